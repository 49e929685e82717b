/* Calibration: mean squares of what every linear layer reads. Card: ptq/imatrix. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/environment.h"
#include "base/fail.h"
#include "base/sha256.h"
#include "calibrate/stats.h"
#include "file/gguf.h"
#include "measure/windows.h"

/* Running sums of one weight. */
typedef struct sums {
    const char *weight;
    double *sum; /* [k] of x^2, in token order */
    int64_t k, n_rows;
} sums;

typedef struct calibration {
    sums *entry; /* in the order in which the forward reaches them */
    int64_t n, room;
    lp_status status; /* of the first failure inside the observer */
} calibration;

static sums *find_sums(calibration *c, const char *weight, int64_t k)
{
    for (int64_t i = 0; i < c->n; i++)
        if (strcmp(c->entry[i].weight, weight) == 0) return &c->entry[i];
    if (c->n == c->room) {
        int64_t room = c->room ? 2 * c->room : 64;
        sums *p = realloc(c->entry, (size_t)room * sizeof *p);
        if (!p) return NULL;
        c->entry = p;
        c->room = room;
    }
    double *sum = calloc((size_t)k, sizeof *sum);
    if (!sum) return NULL;
    c->entry[c->n] = (sums){weight, sum, k, 0};
    return &c->entry[c->n++];
}

static void observe(void *context, const char *weight, const float *rows, int64_t n, int64_t k)
{
    calibration *c = context;
    if (c->status != LP_OK) return;
    sums *s = find_sums(c, weight, k);
    if (!s) {
        c->status = lp_fail_memory((size_t)k * sizeof(double), weight);
        return;
    }
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < k; i++) s->sum[i] += (double)rows[t * k + i] * (double)rows[t * k + i];
    s->n_rows += n;
}

static lp_status watch_failure(void *context, const lp_chunk *chunk)
{
    const calibration *c = context;
    (void)chunk;
    return c->status;
}

static void digest(const void *data, size_t n, char hex[65])
{
    lp_sha256 hash;
    lp_sha256_begin(&hash);
    lp_sha256_add(&hash, data, n);
    lp_sha256_end(&hash, hex);
}

static lp_status finish(const calibration *c, const lp_model *model, const lp_windows *w, const char *text, size_t n_text,
                        const lp_calibrate_options *options, lp_stats **out)
{
    const lp_gguf *gguf = lp_model_gguf(model);
    char text_sha256[65], model_sha256[65];
    digest(text, n_text, text_sha256);
    digest(gguf->data, gguf->n_bytes, model_sha256);
    LP_TRY(lp_stats_create("calibration", out));
    const lp_stats_source source = {.n_tokens = w->n_windows * w->n_context,
                                    .n_chunks = (uint32_t)w->n_windows,
                                    .chunk_size = (uint32_t)w->n_context,
                                    .text = options->text_name,
                                    .text_sha256 = text_sha256,
                                    .model_sha256 = model_sha256};
    LP_TRY(lp_stats_set_source(*out, &source));
    for (int64_t i = 0; i < c->n; i++) {
        double count = (double)c->entry[i].n_rows;
        for (int64_t k = 0; k < c->entry[i].k; k++)
            if (!(c->entry[i].sum[k] < INFINITY))
                return lp_fail(LP_CHECK, "%s: an activation of channel %lld is not finite", c->entry[i].weight, (long long)k);
        LP_TRY(lp_stats_add_entry(*out, c->entry[i].weight, c->entry[i].k, 1, c->entry[i].sum, &count));
    }
    return lp_gguf_check_intact(gguf);
}

lp_status lp_calibrate(const lp_model *model, const char *text, size_t n_text, const lp_calibrate_options *options,
                       const lp_progress *progress, lp_stats **out)
{
    *out = NULL;
    calibration c = {.status = LP_OK};
    lp_session *session = NULL;
    lp_windows w;
    int64_t longest = lp_model_get_info(model)->n_context;
    lp_eval_options o = {.n_context = options->n_context ? options->n_context : longest < 512 ? longest : 512,
                         .n_windows = options->n_windows,
                         .protocol = LP_PROTOCOL_LLAMA_CPP, /* BOS in front of each window iff the file asks */
                         .activations = options->activations,
                         .hash = true, /* every row goes through the output head: the tied embedding is a linear layer too */
                         .pool = options->pool};
    LP_TRY(lp_windows_open(model, text, n_text, &o, &w));
    uint64_t environment = lp_environment_enter();
    lp_status s = lp_windows_session(&w, model, &o, progress, &session);
    if (s == LP_OK) {
        lp_session_observe(session, observe, &c);
        s = lp_windows_run(&w, &session, 1, progress, "calibrating", watch_failure, &c);
    }
    if (s == LP_OK) s = finish(&c, model, &w, text, n_text, options, out);
    lp_environment_leave(environment);
    if (s != LP_OK) {
        lp_stats_free(*out);
        *out = NULL;
    }
    lp_session_close(session);
    lp_windows_close(&w);
    for (int64_t i = 0; i < c.n; i++) free(c.entry[i].sum);
    free(c.entry);
    return s;
}
