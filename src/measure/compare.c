/* Divergence of a model from a reference, both run in step: no file of logits. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/environment.h"
#include "base/fail.h"
#include "base/function.h"
#include "model/session.h"
#include "measure/divergence.h"
#include "measure/windows.h"

/* What one position says. */
typedef struct position_score {
    double kl, nll, reference_nll, change; /* change: of the correct token's probability */
    bool agree;
} position_score;

typedef struct compare_state {
    lp_pool *pool;
    const lp_chunk *chunk;
    position_score *row; /* [n_chunk] */
    double *kl;          /* [n_predictions], in token order */
    double *window_kl;   /* [n_windows] sums */
    int64_t n_windows;
    int64_t n, n_agree;
    double kl_sum, nll, reference_nll, change, change2;
} compare_state;

static int64_t argmax(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i; /* ties: lower id */
    return best;
}

static void score_part(void *context, int thread, int n_threads)
{
    const compare_state *s = context;
    const lp_chunk *c = s->chunk;
    int64_t first, last, v = c->n_vocab;
    lp_pool_part(c->n, thread, n_threads, &first, &last);
    for (int64_t r = first; r < last; r++) {
        const float *p = c->logits[0] + r * v, *q = c->logits[1] + r * v;
        double total_p = lp_log_sum_exp(p, v), total_q = lp_log_sum_exp(q, v);
        position_score *o = &s->row[r];
        o->reference_nll = total_p - (double)p[c->target[r]];
        o->nll = total_q - (double)q[c->target[r]];
        o->kl = lp_kl_between(p, total_p, q, total_q, v);
        o->change = lp_exp(-o->nll) - lp_exp(-o->reference_nll);
        o->agree = argmax(p, v) == argmax(q, v);
    }
}

static lp_status use_chunk(void *context, const lp_chunk *chunk)
{
    compare_state *s = context;
    s->chunk = chunk;
    lp_pool_run(s->pool, score_part, s);
    for (int64_t r = 0; r < chunk->n; r++) {
        const position_score *o = &s->row[r];
        if (!(o->kl < INFINITY && o->nll < INFINITY && o->reference_nll < INFINITY))
            return lp_fail(LP_CHECK, "window %lld: a row of logits is not finite", (long long)chunk->window);
        s->kl[s->n++] = o->kl;
        s->kl_sum += o->kl;
        s->window_kl[chunk->window] += o->kl;
        s->nll += o->nll;
        s->reference_nll += o->reference_nll;
        s->change += o->change;
        s->change2 += o->change * o->change;
        s->n_agree += o->agree;
    }
    return LP_OK;
}

/* ---- per layer: residual streams of both sessions ------------------------------------------------------------------ */

typedef struct layer_state {
    float *rows;          /* of the reference: [n_layers][n_chunk][width] */
    int64_t n_layers, n_chunk, width;
    double *error, *power; /* [n_layers] sums of squares */
} layer_state;

static void keep_reference(void *context, int64_t layer, const float *rows, int64_t n, int64_t width)
{
    layer_state *l = context;
    memcpy(l->rows + layer * l->n_chunk * l->width, rows, (size_t)(n * width) * sizeof *rows);
}

static void add_difference(void *context, int64_t layer, const float *rows, int64_t n, int64_t width)
{
    layer_state *l = context;
    const float *reference = l->rows + layer * l->n_chunk * l->width;
    for (int64_t i = 0; i < n * width; i++) {
        double d = (double)rows[i] - (double)reference[i];
        l->error[layer] += d * d;
        l->power[layer] += (double)reference[i] * (double)reference[i];
    }
}

static lp_status begin_layers(layer_state *l, const lp_windows *w, const lp_model *reference, const lp_model *model,
                              lp_session *const *session)
{
    const lp_model_info *a = lp_model_get_info(reference), *b = lp_model_get_info(model);
    if (a->n_layer != b->n_layer || a->n_embd != b->n_embd)
        return lp_fail(LP_USAGE, "layers cannot be compared: %lld of width %lld against %lld of width %lld", (long long)a->n_layer,
                       (long long)a->n_embd, (long long)b->n_layer, (long long)b->n_embd);
    *l = (layer_state){.n_layers = a->n_layer, .n_chunk = w->n_chunk, .width = a->n_embd};
    size_t n_bytes = (size_t)(l->n_layers * l->n_chunk * l->width) * sizeof(float);
    l->rows = malloc(n_bytes);
    l->error = calloc((size_t)l->n_layers, sizeof(double));
    l->power = calloc((size_t)l->n_layers, sizeof(double));
    if (!l->rows || !l->error || !l->power) return lp_fail_memory(n_bytes, "layer outputs");
    lp_session_watch_layers(session[0], keep_reference, l);
    lp_session_watch_layers(session[1], add_difference, l);
    return LP_OK;
}

static void end_layers(layer_state *l, lp_layer_difference *out)
{
    for (int64_t i = 0; out && l->rows && i < l->n_layers; i++)
        out[i] = (lp_layer_difference){i, l->power[i] > 0 ? sqrt(l->error[i] / l->power[i]) : 0};
    free(l->rows);
    free(l->error);
    free(l->power);
}

/* ---- results ------------------------------------------------------------------------------------------------------- */

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Of the mean over windows, which score equally many positions. */
static double window_error(const compare_state *s)
{
    double sum = 0, n = (double)s->n_windows, mean = s->kl_sum / n;
    for (int64_t i = 0; i < s->n_windows; i++) sum += (s->window_kl[i] - mean) * (s->window_kl[i] - mean);
    return n > 1 ? sqrt(sum / (n * (n - 1))) * n / (double)s->n : 0;
}

static void fill(const compare_state *s, lp_compare_result *r)
{
    double n = (double)s->n;
    qsort(s->kl, (size_t)s->n, sizeof *s->kl, ascending);
#define PERCENTILE(numerator, denominator) s->kl[((numerator)*s->n + (denominator)-1) / (denominator)-1]
    r->kl_mean_nats = s->kl_sum / n;
    r->kl_window_error_nats = window_error(s);
    r->kl_p90_nats = PERCENTILE(90, 100);
    r->kl_p99_nats = PERCENTILE(99, 100);
    r->kl_p999_nats = PERCENTILE(999, 1000);
    r->kl_max_nats = s->kl[s->n - 1];
#undef PERCENTILE
    r->top1_agreement = (double)s->n_agree / n;
    r->cross_entropy_nats = s->nll / n;
    r->reference_cross_entropy_nats = s->reference_nll / n;
    r->probability_change_mean = s->change / n;
    r->probability_change_rms = sqrt(s->change2 / n);
    r->n_predictions = s->n;
}

static lp_status compare(const lp_model *reference, const lp_model *model, const lp_windows *w, const lp_eval_options *options,
                         const lp_progress *progress, lp_compare_result *result, lp_layer_difference *layers)
{
    compare_state s = {.pool = options->pool, .n_windows = w->n_windows};
    layer_state l = {0};
    lp_session *session[2] = {NULL, NULL};
    size_t n_bytes = (size_t)w->n_predictions * sizeof *s.kl;
    s.row = calloc((size_t)w->n_chunk, sizeof *s.row);
    s.kl = malloc(n_bytes);
    s.window_kl = calloc((size_t)w->n_windows, sizeof *s.window_kl);
    lp_status status = s.row && s.kl && s.window_kl ? LP_OK : lp_fail_memory(n_bytes, "scores");
    if (status == LP_OK) status = lp_windows_session(w, reference, options, progress, &session[0]);
    if (status == LP_OK) status = lp_windows_session(w, model, options, progress, &session[1]);
    if (status == LP_OK && layers) status = begin_layers(&l, w, reference, model, session);
    if (status == LP_OK) status = lp_windows_run(w, session, 2, progress, "comparing", use_chunk, &s);
    if (status == LP_OK) status = lp_gguf_check_intact(lp_model_gguf(reference));
    if (status == LP_OK) status = lp_gguf_check_intact(lp_model_gguf(model));
    if (status == LP_OK) fill(&s, result);
    end_layers(&l, status == LP_OK ? layers : NULL);
    lp_session_close(session[0]);
    lp_session_close(session[1]);
    free(s.row);
    free(s.kl);
    free(s.window_kl);
    return status;
}

lp_status lp_compare(const lp_model *reference, const lp_model *model, const char *text, size_t n_text,
                     const lp_eval_options *options, const lp_progress *progress, lp_compare_result *result,
                     lp_layer_difference *layers)
{
    double start = lp_seconds();
    lp_windows w;
    lp_eval_options o = *options;
    memset(result, 0, sizeof *result);
    o.hash = false;
    const char *a = lp_gguf_path(lp_model_gguf(reference)), *b = lp_gguf_path(lp_model_gguf(model));
    if (lp_model_get_info(reference)->n_vocab != lp_model_get_info(model)->n_vocab ||
        !lp_tokenizer_equal(lp_model_tokenizer(reference), lp_model_tokenizer(model)))
        return lp_fail(LP_USAGE, "%s and %s have different vocabularies: their predictions cannot be compared", a, b);
    int64_t shorter = lp_model_get_info(model)->n_context;
    if (lp_model_get_info(reference)->n_context < shorter) shorter = lp_model_get_info(reference)->n_context;
    if (o.n_context == 0) o.n_context = shorter < 1024 ? shorter : 1024;
    LP_TRY(lp_windows_open(model, text, n_text, &o, &w));
    uint64_t environment = lp_environment_enter();
    lp_status s = compare(reference, model, &w, &o, progress, result, layers);
    lp_environment_leave(environment);
    result->n_windows = w.n_windows;
    result->seconds = lp_seconds() - start;
    lp_windows_close(&w);
    return s;
}
