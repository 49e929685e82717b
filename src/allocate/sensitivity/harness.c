/* Swap-and-evaluate on windows of a text. The activations before the swapped tensor are kept and restored, so that a swap costs
 * the rest of the network only. All sums f64, in token order. */
#include "allocate/sensitivity/harness.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/environment.h"
#include "base/fail.h"
#include "graph/graph.h"
#include "measure/divergence.h"
#include "measure/windows.h"
#include "model/session.h"
#include "model/swap.h"

enum { USUAL_CONTEXT = 512, USUAL_WINDOWS = 8, LANES = 8 };

/* What one position says. */
typedef struct position {
    double kl, nll, noise;
    int64_t first; /* choice */
} position;

/* The same of the reference. */
typedef struct reference {
    double total; /* log-sum-exp */
    double nll, power;
    int64_t first;
} reference;

struct lp_harness {
    const lp_model *model;
    lp_pool *pool;
    lp_session *session;
    lp_windows windows;
    int64_t *window;       /* [n_windows] index in the text */
    int64_t n_windows, n_rows; /* rows: scored positions of a window */
    int32_t *position;     /* [n_context] 0, 1, ... */
    uint8_t *wants;        /* [n_context] */
    float *logits;         /* [n_windows][n_rows][n_vocab] of the reference */
    reference *reference;  /* [n_windows * n_rows] */
    position *score;       /* [n_windows * n_rows] */
    int64_t n_vocab;
    int32_t start;         /* op before which the states stand; -1: none kept */
    uint8_t *state;        /* [n_windows][state_bytes] */
    size_t state_bytes;
    float *output;         /* of the op that reads the tensor of the last lp_harness_start: [n_windows][output_values] */
    int64_t output_values;
    int32_t output_op;
    int64_t ops_run, ops_whole;
};

/* ---- one position -------------------------------------------------------------------------------------------------- */

static int64_t first_choice(const float *x, int64_t n)
{
    int64_t best = 0;
    for (int64_t i = 1; i < n; i++)
        if (x[i] > x[best]) best = i; /* ties: lower id */
    return best;
}

/* Sums of (a - b)^2 and of a^2 in lanes, so that compilers vectorise it; then the lanes in order. */
static void add_squares(const float *a, const float *b, int64_t n, double *error, double *power)
{
    double e[LANES] = {0}, p[LANES] = {0};
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            double x = (double)a[i + l], d = x - (double)b[i + l];
            e[l] += d * d;
            p[l] += x * x;
        }
    for (int l = 0; i < n; i++, l++) {
        double x = (double)a[i], d = x - (double)b[i];
        e[l] += d * d;
        p[l] += x * x;
    }
    for (int l = 0; l < LANES; l++) {
        *error += e[l];
        *power += p[l];
    }
}

/* ---- rows of a window, split over threads -------------------------------------------------------------------------- */

typedef struct scoring {
    lp_harness *h;
    int64_t window;
    const int32_t *target;
    const float *logits;
} scoring;

static void keep_part(void *context, int thread, int n_threads)
{
    const scoring *s = context;
    lp_harness *h = s->h;
    int64_t first, last, v = h->n_vocab;
    lp_pool_part(h->n_rows, thread, n_threads, &first, &last);
    for (int64_t r = first; r < last; r++) {
        float *kept = h->logits + (s->window * h->n_rows + r) * v;
        reference *ref = &h->reference[s->window * h->n_rows + r];
        double none = 0;
        memcpy(kept, s->logits + r * v, (size_t)v * sizeof *kept);
        ref->total = lp_log_sum_exp(kept, v);
        ref->nll = ref->total - (double)kept[s->target[r]];
        ref->first = first_choice(kept, v);
        ref->power = 0;
        add_squares(kept, kept, v, &none, &ref->power);
    }
}

static void score_part(void *context, int thread, int n_threads)
{
    const scoring *s = context;
    lp_harness *h = s->h;
    int64_t first, last, v = h->n_vocab;
    lp_pool_part(h->n_rows, thread, n_threads, &first, &last);
    for (int64_t r = first; r < last; r++) {
        const float *kept = h->logits + (s->window * h->n_rows + r) * v, *q = s->logits + r * v;
        const reference *ref = &h->reference[s->window * h->n_rows + r];
        position *o = &h->score[s->window * h->n_rows + r];
        double total = lp_log_sum_exp(q, v), power = 0;
        o->kl = lp_kl_between(kept, ref->total, q, total, v);
        o->nll = total - (double)q[s->target[r]];
        o->first = first_choice(q, v);
        o->noise = 0;
        add_squares(kept, q, v, &o->noise, &power);
    }
}

static lp_status summarise(const lp_harness *h, lp_swap_metrics *m)
{
    double kl = 0, kl2 = 0, change = 0, noise = 0, power = 0;
    int64_t n = h->n_windows * h->n_rows, same = 0;
    for (int64_t i = 0; i < n; i++) {
        const position *p = &h->score[i];
        kl += p->kl;
        kl2 += p->kl * p->kl;
        change += p->nll - h->reference[i].nll;
        noise += p->noise;
        power += h->reference[i].power;
        same += p->first == h->reference[i].first;
    }
    double count = (double)n;
    memset(m, 0, sizeof *m);
    m->kl = kl / count;
    double variance = n > 1 ? (kl2 - kl * kl / count) / (count - 1) : 0;
    m->kl_error = variance > 0 ? sqrt(variance / count) : 0;
    m->loss_increase = change / count;
    m->logit_noise = power > 0 ? noise / power : 0;
    m->agreement = (double)same / count;
    return isfinite(m->kl) && isfinite(m->loss_increase)
               ? LP_OK
               : lp_fail(LP_CHECK, "%s: a row of logits is not finite", lp_gguf_path(lp_model_gguf(h->model)));
}

/* ---- windows ------------------------------------------------------------------------------------------------------- */

/* Makes window w the session's batch; the cache forgets the one before. */
static lp_status begin_window(lp_harness *h, int64_t w)
{
    const lp_windows *t = &h->windows;
    lp_batch batch = {.n_tokens = t->n_context, .token = t->token + h->window[w] * t->n_context, .position = h->position,
                      .wants_logits = h->wants};
    LP_TRY(lp_session_truncate(h->session, 0, 0));
    return lp_session_begin(h->session, &batch);
}

static void run_ops(lp_harness *h, int32_t first, int32_t end)
{
    int32_t n = lp_session_graph(h->session)->n_ops;
    lp_session_run_ops(h->session, first, end);
    h->ops_run += (end < 0 ? n : end) - first;
}

static const int32_t *targets(const lp_harness *h, int64_t w)
{
    return h->windows.token + h->window[w] * h->windows.n_context + 1;
}

/* Runs every window from `start` on, whose states are kept (0: from the tokens), and scores it. */
static lp_status run_windows(lp_harness *h, int32_t start, lp_pool_fn use, const lp_progress *progress, const char *what)
{
    int32_t n_ops = lp_session_graph(h->session)->n_ops;
    uint64_t environment = lp_environment_enter();
    lp_status status = LP_OK;
    for (int64_t w = 0; w < h->n_windows && status == LP_OK; w++) {
        if (progress && progress->cancelled && progress->cancelled(progress->context)) {
            status = lp_fail(LP_INTERRUPTED, "interrupted");
            break;
        }
        if (what && progress && progress->report) progress->report(progress->context, what, (double)w, (double)h->n_windows);
        status = begin_window(h, w);
        if (status != LP_OK) break;
        if (start > 0) lp_session_restore(h->session, start, h->state + (size_t)w * h->state_bytes);
        run_ops(h, start, -1);
        h->ops_whole += n_ops;
        scoring s = {.h = h, .window = w, .target = targets(h, w), .logits = lp_session_logits(h->session)};
        lp_pool_run(h->pool, use, &s);
    }
    lp_environment_leave(environment);
    return status;
}

/* ---- opening ------------------------------------------------------------------------------------------------------- */

static lp_status allocate(lp_harness *h)
{
    const lp_windows *t = &h->windows;
    size_t n_context = (size_t)t->n_context, n = (size_t)(h->n_windows * h->n_rows), n_logits = n * (size_t)h->n_vocab * sizeof(float);
    h->window = calloc((size_t)h->n_windows, sizeof *h->window);
    h->position = calloc(n_context, sizeof *h->position);
    h->wants = calloc(n_context, 1);
    h->logits = malloc(n_logits);
    h->reference = calloc(n, sizeof *h->reference);
    h->score = calloc(n, sizeof *h->score);
    if (!h->window || !h->position || !h->wants || !h->logits || !h->reference || !h->score) {
        lp_fail_memory(n_logits, "the reference's logits");
        return lp_hint(LP_RESOURCE, "measure on fewer windows");
    }
    for (int64_t w = 0; w < h->n_windows; w++) h->window[w] = w * t->n_windows / h->n_windows;
    for (size_t i = 0; i < n_context; i++) {
        h->position[i] = (int32_t)i;
        h->wants[i] = i + 1 < n_context;
    }
    return LP_OK;
}

static lp_status open_session(lp_harness *h, const lp_progress *progress)
{
    lp_session_options o = {.pool = h->pool,
                            .n_context = h->windows.n_context,
                            .n_batch = h->windows.n_context,
                            .activations = LP_ACTIVATION_F32};
    return lp_session_create(h->model, &o, progress, &h->session);
}

lp_status lp_harness_open(const lp_model *model, const char *text, size_t n_text, const lp_sensitivity_options *options,
                          const lp_progress *progress, lp_harness **out)
{
    int64_t longest = lp_model_get_info(model)->n_context;
    *out = NULL;
    lp_harness *h = calloc(1, sizeof *h);
    if (!h) return lp_fail_memory(sizeof *h, "measuring");
    h->model = model;
    h->pool = options->pool;
    h->n_vocab = lp_model_get_info(model)->n_vocab;
    h->start = h->output_op = -1;
    lp_eval_options o = {.n_context = options->n_context ? options->n_context : longest < USUAL_CONTEXT ? longest : USUAL_CONTEXT};
    lp_status status = lp_windows_open(model, text, n_text, &o, &h->windows);
    if (status == LP_OK) {
        int64_t wanted = options->n_windows ? options->n_windows : USUAL_WINDOWS;
        h->n_windows = wanted < h->windows.n_windows ? wanted : h->windows.n_windows;
        h->n_rows = h->windows.n_context - 1;
        status = allocate(h);
    }
    if (status == LP_OK) status = open_session(h, progress);
    if (status == LP_OK) status = run_windows(h, 0, keep_part, progress, "reference");
    for (int64_t i = 0; status == LP_OK && i < h->n_windows * h->n_rows; i++)
        if (!isfinite(h->reference[i].nll))
            status = lp_fail(LP_CHECK, "%s: a row of logits is not finite", lp_gguf_path(lp_model_gguf(model)));
    if (status != LP_OK) {
        lp_harness_close(h);
        return status;
    }
    h->ops_run = h->ops_whole = 0;
    *out = h;
    return LP_OK;
}

void lp_harness_close(lp_harness *h)
{
    if (!h) return;
    lp_session_close(h->session);
    lp_windows_close(&h->windows);
    free(h->window);
    free(h->position);
    free(h->wants);
    free(h->logits);
    free(h->reference);
    free(h->score);
    free(h->state);
    free(h->output);
    free(h);
}

int64_t lp_harness_windows(const lp_harness *h) { return h->n_windows; }
int64_t lp_harness_context(const lp_harness *h) { return h->windows.n_context; }
int64_t lp_harness_predictions(const lp_harness *h) { return h->n_windows * h->n_rows; }

/* ---- measuring ----------------------------------------------------------------------------------------------------- */

lp_status lp_harness_set(lp_harness *h, const char *name, const lp_tensor *tensor)
{
    h->start = -1; /* what was kept is of another base */
    return lp_session_swap(h->session, name, tensor);
}

lp_status lp_harness_evaluate(lp_harness *h, const lp_progress *progress, lp_swap_metrics *metrics)
{
    LP_TRY(run_windows(h, 0, score_part, progress, NULL));
    return summarise(h, metrics);
}

int32_t lp_harness_order(const lp_harness *h, const char *name) { return lp_session_start_of(h->session, name); }

int64_t lp_harness_product_rows(const lp_harness *h, const char *name) { return lp_session_product_rows(h->session, name); }

lp_status lp_harness_begin(lp_harness *h)
{
    h->start = 0;
    h->output_op = -1;
    free(h->state);
    h->state = NULL;
    h->state_bytes = 0;
    return LP_OK;
}

/* Moves the states of all windows from the start before to this one. */
static lp_status advance(lp_harness *h, int32_t start)
{
    size_t n_bytes = lp_session_state_bytes(h->session, start);
    uint8_t *state = start > 0 ? malloc((size_t)h->n_windows * n_bytes + 1) : NULL;
    if (start > 0 && !state) return lp_fail_memory((size_t)h->n_windows * n_bytes, "activations");
    for (int64_t w = 0; w < h->n_windows && start > 0; w++) {
        lp_status status = begin_window(h, w);
        if (status != LP_OK) {
            free(state);
            return status;
        }
        if (h->start > 0) lp_session_restore(h->session, h->start, h->state + (size_t)w * h->state_bytes);
        run_ops(h, h->start, start);
        lp_session_save(h->session, start, state + (size_t)w * n_bytes);
    }
    free(h->state);
    h->state = state;
    h->state_bytes = n_bytes;
    h->start = start;
    return LP_OK;
}

/* What the op that reads the tensor first gives, in the base: lp_swap_metrics.local_error compares with it. */
static lp_status keep_output(lp_harness *h, int32_t op)
{
    free(h->output);
    h->output = NULL;
    h->output_op = op;
    for (int64_t w = 0; w < h->n_windows; w++) {
        int64_t n, width;
        LP_TRY(begin_window(h, w));
        if (h->start > 0) lp_session_restore(h->session, h->start, h->state + (size_t)w * h->state_bytes);
        run_ops(h, h->start, op + 1);
        const float *y = lp_session_output_of(h->session, op, &n, &width);
        if (!h->output) {
            h->output_values = n * width;
            h->output = malloc((size_t)(h->n_windows * h->output_values) * sizeof *y);
            if (!h->output) return lp_fail_memory((size_t)(h->n_windows * h->output_values) * sizeof *y, "a layer's output");
        }
        memcpy(h->output + w * h->output_values, y, (size_t)h->output_values * sizeof *y);
    }
    return LP_OK;
}

lp_status lp_harness_start(lp_harness *h, const char *name, const lp_progress *progress)
{
    int32_t start = lp_session_start_of(h->session, name), reader = lp_session_reader_of(h->session, name);
    if (start < 0) return lp_fail(LP_USAGE, "%s: no operator reads this tensor", name);
    if (h->start < 0 || start < h->start) return lp_fail(LP_USAGE, "%s: tensors must come in the order of the forward", name);
    if (progress && progress->cancelled && progress->cancelled(progress->context)) return lp_fail(LP_INTERRUPTED, "interrupted");
    uint64_t environment = lp_environment_enter();
    lp_status status = start > h->start ? advance(h, start) : LP_OK;
    if (status == LP_OK && reader != h->output_op) status = keep_output(h, reader);
    lp_environment_leave(environment);
    return status;
}

/* The op's own error, in windows order. */
static lp_status measure_output(lp_harness *h, lp_swap_metrics *m)
{
    double error = 0, power = 0;
    for (int64_t w = 0; w < h->n_windows; w++) {
        int64_t n, width;
        LP_TRY(begin_window(h, w));
        if (h->start > 0) lp_session_restore(h->session, h->start, h->state + (size_t)w * h->state_bytes);
        run_ops(h, h->start, h->output_op + 1);
        const float *y = lp_session_output_of(h->session, h->output_op, &n, &width);
        add_squares(h->output + w * h->output_values, y, n * width, &error, &power);
    }
    m->local_error = power > 0 ? error / power : 0;
    return LP_OK;
}

static lp_status weight_error(const lp_tensor *a, const lp_tensor *b, double *out)
{
    int64_t k = a->dim[0], n = lp_tensor_rows(a);
    float *x = malloc((size_t)k * 2 * sizeof *x + 1), *y = x + k;
    if (!x) return lp_fail_memory((size_t)k * 2 * sizeof *x, "rows");
    double power = 0;
    *out = 0;
    for (int64_t r = 0; r < n; r++) {
        lp_tensor_decode_row(a, r, x);
        lp_tensor_decode_row(b, r, y);
        add_squares(x, y, k, out, &power);
    }
    free(x);
    return LP_OK;
}

static lp_status swap(lp_harness *h, const char *name, const lp_tensor *tensor, const lp_tensor *base, bool whole,
                      lp_swap_metrics *metrics)
{
    memset(metrics, 0, sizeof *metrics);
    LP_TRY(lp_session_swap(h->session, name, tensor));
    lp_status status = whole ? run_windows(h, h->start, score_part, NULL, NULL) : LP_OK;
    if (status == LP_OK && whole) status = summarise(h, metrics);
    uint64_t environment = lp_environment_enter();
    if (status == LP_OK) status = measure_output(h, metrics);
    const lp_tensor *own = lp_gguf_find_tensor(lp_model_gguf(h->model), name);
    if (status == LP_OK) status = weight_error(own, tensor ? tensor : own, &metrics->weight_error);
    lp_environment_leave(environment);
    lp_status back = lp_session_swap(h->session, name, base);
    return status != LP_OK ? status : back;
}

lp_status lp_harness_swap(lp_harness *h, const char *name, const lp_tensor *tensor, const lp_tensor *base,
                          lp_swap_metrics *metrics)
{
    return swap(h, name, tensor, base, true, metrics);
}

lp_status lp_harness_swap_local(lp_harness *h, const char *name, const lp_tensor *tensor, const lp_tensor *base,
                                lp_swap_metrics *metrics)
{
    return swap(h, name, tensor, base, false, metrics);
}

void lp_harness_work(const lp_harness *h, int64_t *run, int64_t *whole)
{
    *run = h->ops_run;
    *whole = h->ops_whole;
}
