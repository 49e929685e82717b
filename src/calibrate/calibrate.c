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
#include "model/session.h"

/* Running sums of one weight, or of the experts that one tensor holds. */
typedef struct sums {
    const char *weight;
    double *sum;   /* [n_matrices][k] of x^2, in token order */
    double *count; /* [n_matrices] rows */
    int64_t k, n_matrices;
} sums;

typedef struct calibration {
    sums *entry; /* in the order in which the forward reaches them */
    int64_t n, room;
    lp_status status; /* of the first failure inside the observer */
} calibration;

static sums *find_sums(calibration *c, const char *weight, int64_t n_matrices, int64_t k)
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
    double *sum = calloc((size_t)n_matrices, ((size_t)k + 1) * sizeof *sum); /* sizes of a model that is loaded */
    if (!sum) return NULL;
    c->entry[c->n] = (sums){weight, sum, sum + n_matrices * k, k, n_matrices};
    return &c->entry[c->n++];
}

static void add_rows(calibration *c, const char *weight, int64_t matrix, int64_t n_matrices, const float *rows, int64_t n, int64_t k)
{
    if (c->status != LP_OK) return;
    sums *s = find_sums(c, weight, n_matrices, k);
    if (!s) {
        c->status = lp_fail_memory((size_t)(n_matrices * k) * sizeof(double), weight);
        return;
    }
    double *sum = s->sum + matrix * k;
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < k; i++) sum[i] += (double)rows[t * k + i] * (double)rows[t * k + i];
    s->count[matrix] += (double)n;
}

static void observe(void *context, const char *weight, const float *rows, int64_t n, int64_t k)
{
    add_rows(context, weight, 0, 1, rows, n, k);
}

static void observe_expert(void *context, const char *weight, int32_t expert, int32_t n_experts, const float *row, int64_t k)
{
    add_rows(context, weight, expert, n_experts, row, 1, k);
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

/* Of the model's file, or of the one that its folder or shards amount to. */
static void digest_model(const lp_gguf *gguf, char hex[65])
{
    lp_sha256 hash;
    lp_sha256_begin(&hash);
    for (uint64_t at = 0, n; at < lp_gguf_size(gguf); at += n) {
        n = lp_gguf_size(gguf) - at;
        const uint8_t *bytes = lp_gguf_bytes(gguf, at, &n);
        lp_sha256_add(&hash, bytes, (size_t)n);
    }
    lp_sha256_end(&hash, hex);
}

static lp_status finish(const calibration *c, const lp_model *model, const lp_windows *w, const char *text, size_t n_text,
                        const lp_calibrate_options *options, lp_stats **out)
{
    const lp_gguf *gguf = lp_model_gguf(model);
    char text_sha256[65], model_sha256[65];
    digest(text, n_text, text_sha256);
    digest_model(gguf, model_sha256);
    LP_TRY(lp_stats_create("calibration", out));
    const lp_stats_source source = {.n_tokens = w->n_windows * w->n_context,
                                    .n_chunks = (uint32_t)w->n_windows,
                                    .chunk_size = (uint32_t)w->n_context,
                                    .text = options->text_name,
                                    .text_sha256 = text_sha256,
                                    .model_sha256 = model_sha256};
    LP_TRY(lp_stats_set_source(*out, &source));
    for (int64_t i = 0; i < c->n; i++) {
        const sums *s = &c->entry[i];
        for (int64_t k = 0; k < s->n_matrices * s->k; k++)
            if (!(s->sum[k] < INFINITY))
                return lp_fail(LP_CHECK, "%s: an activation of channel %lld is not finite", s->weight, (long long)(k % s->k));
        LP_TRY(lp_stats_add_entry(*out, s->weight, s->k, s->n_matrices, s->sum, s->count));
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
        s = lp_session_observe_experts(session, observe_expert, &c);
    }
    if (s == LP_OK) s = lp_windows_run(&w, &session, 1, progress, "calibrating", watch_failure, &c);
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
