/* Cross-entropy and perplexity of a model on a text. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/environment.h"
#include "base/fail.h"
#include "base/function.h"
#include "base/sha256.h"
#include "measure/divergence.h"
#include "measure/windows.h"

typedef struct eval_state {
    lp_pool *pool;
    const lp_chunk *chunk;
    double *nll;        /* [n_chunk] of the rows of the chunk */
    double sum, sum2;   /* in token order */
    int64_t n;
    bool hash;
    lp_sha256 sha;
} eval_state;

static void score_part(void *context, int thread, int n_threads)
{
    const eval_state *e = context;
    const lp_chunk *c = e->chunk;
    int64_t first, last;
    lp_pool_part(c->n, thread, n_threads, &first, &last);
    for (int64_t r = first; r < last; r++) {
        if (c->target[r] < 0) continue;
        const float *row = c->logits[0] + r * c->n_vocab;
        e->nll[r] = lp_log_sum_exp(row, c->n_vocab) - (double)row[c->target[r]];
    }
}

static lp_status use_chunk(void *context, const lp_chunk *chunk)
{
    eval_state *e = context;
    e->chunk = chunk;
    lp_pool_run(e->pool, score_part, e);
    for (int64_t r = 0; r < chunk->n; r++) {
        if (chunk->target[r] < 0) continue;
        if (!(e->nll[r] < INFINITY))
            return lp_fail(LP_CHECK, "window %lld: a row of logits is not finite", (long long)chunk->window);
        e->sum += e->nll[r];
        e->sum2 += e->nll[r] * e->nll[r];
        e->n++;
    }
    if (e->hash) lp_sha256_add(&e->sha, chunk->logits[0], (size_t)(chunk->n * chunk->n_vocab) * sizeof(float));
    return LP_OK;
}

static lp_status evaluate(const lp_model *model, const lp_windows *w, const lp_eval_options *options,
                          const lp_progress *progress, lp_eval_result *result)
{
    eval_state e = {.pool = options->pool, .hash = options->hash};
    lp_session *session = NULL;
    lp_sha256_begin(&e.sha);
    e.nll = calloc((size_t)w->n_chunk, sizeof *e.nll);
    if (!e.nll) return lp_fail_memory((size_t)w->n_chunk * sizeof *e.nll, "scores");
    lp_status s = lp_windows_session(w, model, options, progress, &session);
    if (s == LP_OK) s = lp_windows_run(w, &session, 1, progress, "evaluating", use_chunk, &e);
    if (s == LP_OK) s = lp_gguf_check_intact(lp_model_gguf(model));
    lp_session_close(session);
    free(e.nll);
    if (s != LP_OK) return s;
    double n = (double)e.n, mean = e.sum / n;
    result->cross_entropy_nats = mean;
    result->standard_error_nats = e.n > 1 ? sqrt(fmax(0, e.sum2 / n - mean * mean) / (n - 1)) : 0;
    result->perplexity = lp_exp(mean);
    result->n_predictions = e.n;
    if (e.hash) lp_sha256_end(&e.sha, result->logits_sha256);
    return LP_OK;
}

lp_status lp_eval(const lp_model *model, const char *text, size_t n_text, const lp_eval_options *options,
                  const lp_progress *progress, lp_eval_result *result)
{
    double start = lp_seconds();
    lp_windows w;
    memset(result, 0, sizeof *result);
    LP_TRY(lp_windows_open(model, text, n_text, options, &w));
    uint64_t environment = lp_environment_enter();
    lp_status s = evaluate(model, &w, options, progress, result);
    lp_environment_leave(environment);
    result->n_windows = w.n_windows;
    result->n_tokens = w.n_tokens;
    result->seconds = lp_seconds() - start;
    lp_windows_close(&w);
    return s;
}
