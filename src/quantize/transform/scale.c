/* Scales of channels: chosen group by group on the float network, folded, proven. */
#include "quantize/transform/scale.h"

#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/fail.h"
#include "base/function.h"
#include "file/gguf.h"
#include "format/rows.h"
#include "measure/windows.h"
#include "model/model.h"
#include "quantize/encode.h"

enum { TRIAL_ROWS = 48, TRIAL_LANES = 16 }; /* rows of a weight that AWQ's trials look at, evenly spread */

/* A tensor's scales: of its columns, and of its rows (divided). Of a vector the columns are divided. */
typedef struct change {
    double *column, *row;
    float *value; /* the changed values */
} change;

typedef struct scaling {
    const lp_gguf *gguf;
    const lp_scale_options *options;
    lp_packing_of *packing_of;
    void *context;
    lp_pool *pool;
    change *change; /* [n_tensors] */
} scaling;

/* ---- policies ----------------------------------------------------------------------------------------------------- */

/* x^p for x > 0 by the project's own functions: scales decide bytes. */
static double power(double x, double p) { return lp_exp(p * lp_log(x)); }

void lp_scale_smooth(double alpha, int64_t k, const float *largest_input, const float *w, int64_t n_rows, double *s)
{
    for (int64_t j = 0; j < k; j++) {
        double a = (double)largest_input[j], most = 1e-5;
        for (int64_t r = 0; r < n_rows; r++) { /* no fmax: gcc 12 for aarch64 fails on it */
            double v = fabs((double)w[r * k + j]);
            most = v > most ? v : most;
        }
        s[j] = a > 0 ? fmax(power(a, alpha) / power(most, 1 - alpha), 1e-5) : 1;
    }
}

/* Mean |x| to a power, the middle of the range at 1. Dead channels stay as they are and do not count. */
static void magnitude_scales(const lp_moments *m, double ratio, double *s)
{
    double most = 0, least = DBL_MAX;
    for (int64_t j = 0; j < m->k; j++) {
        s[j] = m->magnitude[j] > 0 ? fmax(power(m->magnitude[j], ratio), 1e-4) : 0;
        if (s[j] > 0) most = fmax(most, s[j]), least = fmin(least, s[j]);
    }
    double middle = most > 0 ? sqrt(most * least) : 1;
    for (int64_t j = 0; j < m->k; j++) s[j] = s[j] > 0 ? s[j] / middle : 1;
}

static void round_to_powers(int64_t k, double *s)
{
    for (int64_t j = 0; j < k; j++) {
        int e;
        double f = frexp(s[j], &e); /* f in [0.5, 1) */
        s[j] = ldexp(1.0, f > 0.70710678118654752 ? e : e - 1);
    }
}

/* ---- AWQ's trials -------------------------------------------------------------------------------------------------- */

typedef struct trials {
    const scaling *scaling;
    const lp_driver_group *group;
    float *rows;        /* [n_rows][k] of all weights */
    const lp_packing **packing; /* [n_rows / TRIAL_LANES] of each sixteen rows */
    int64_t n_rows;     /* a multiple of TRIAL_LANES */
    float *h;           /* [k][k] */
    double *loss;       /* [grid] */
    lp_status *status;  /* [grid] */
} trials;

/* Sum over sixteen rows of e H e^T. */
static double quadratic(const float *e, const float *h, int64_t k)
{
    double sum = 0;
    float *t = malloc((size_t)k * TRIAL_LANES * sizeof *t); /* [k][row] */
    if (!t) return INFINITY;
    for (int64_t j = 0; j < k; j++)
        for (int l = 0; l < TRIAL_LANES; l++) t[j * TRIAL_LANES + l] = e[l * k + j];
    for (int64_t i = 0; i < k; i++) {
        float y[TRIAL_LANES] = {0};
        for (int64_t j = 0; j < k; j++)
            for (int l = 0; l < TRIAL_LANES; l++) y[l] += t[j * TRIAL_LANES + l] * h[i * k + j];
        for (int l = 0; l < TRIAL_LANES; l++) sum += (double)t[i * TRIAL_LANES + l] * (double)y[l];
    }
    free(t);
    return sum;
}

static lp_status try_ratio(trials *t, int trial)
{
    int64_t k = t->group->k;
    const lp_moments *m = t->group->moments;
    double *s = malloc((size_t)k * sizeof *s);
    float *x = malloc((size_t)k * TRIAL_LANES * 2 * sizeof *x), *y = x ? x + k * TRIAL_LANES : NULL, *weight = malloc((size_t)k * sizeof *weight);
    uint8_t *bytes = NULL;
    lp_status status = s && x && weight ? LP_OK : lp_fail_memory((size_t)k * TRIAL_LANES * 13, "trials");
    t->loss[trial] = 0;
    if (status == LP_OK) {
        magnitude_scales(m, (double)trial / t->scaling->options->grid, s);
        if (t->scaling->options->powers) round_to_powers(k, s);
        for (int64_t j = 0; j < k; j++) weight[j] = (float)(m->h[j * k + j] / (s[j] * s[j]));
    }
    for (int64_t r = 0; r < t->n_rows && status == LP_OK; r += TRIAL_LANES) {
        const float *w = t->rows + r * k;
        const lp_packing *packing = t->packing[r / TRIAL_LANES];
        bool weighted = lp_encode_uses_importance(packing, t->scaling->options->search);
        for (int64_t i = 0; i < TRIAL_LANES * k; i++) x[i] = (float)((double)w[i] * s[i % k]);
        lp_planes planes;
        lp_packing_planes(packing, k, TRIAL_LANES, &planes); /* fits: the plan has more of these rows */
        uint8_t *larger = realloc(bytes, planes.n_bytes);
        status = larger ? LP_OK : lp_fail_memory(planes.n_bytes, "trials");
        if (larger) bytes = larger;
        if (status == LP_OK) status = lp_encode_rows(packing, t->scaling->options->search, x, TRIAL_LANES, k, weighted ? weight : NULL, bytes);
        if (status != LP_OK) break;
        for (int l = 0; l < TRIAL_LANES; l++) {
            lp_row row = lp_planes_row(&planes, bytes, l);
            lp_row_decode(packing, &row, k, 0, k, y + l * k);
        }
        for (int64_t i = 0; i < TRIAL_LANES * k; i++) x[i] = (float)((double)y[i] / s[i % k]) - w[i];
        t->loss[trial] += quadratic(x, t->h, k);
    }
    free(s), free(x), free(weight), free(bytes);
    return status;
}

static void try_ratios(void *context, int thread, int n_threads)
{
    trials *t = context;
    for (int i = thread; i < t->scaling->options->grid; i += n_threads) t->status[i] = try_ratio(t, i);
}

/* Rows of the group's weights, sixteen by sixteen; weights of less than sixteen rows, or that stay as they are, are left out. */
static lp_status load_trial_rows(trials *t)
{
    const lp_driver_group *g = t->group;
    size_t n = (size_t)g->n_weights * TRIAL_ROWS;
    t->rows = malloc(n * (size_t)g->k * sizeof *t->rows);
    t->packing = malloc(n * sizeof *t->packing);
    t->h = malloc((size_t)(g->k * g->k) * sizeof *t->h);
    if (!t->rows || !t->packing || !t->h) return lp_fail_memory(n * (size_t)g->k * sizeof *t->rows, "trials");
    for (int i = 0; i < g->n_weights; i++) {
        const lp_packing *packing = t->scaling->packing_of(t->scaling->context, g->weight[i]);
        int64_t n_rows = lp_tensor_rows(g->weight[i]), take = n_rows < TRIAL_ROWS ? n_rows / TRIAL_LANES * TRIAL_LANES : TRIAL_ROWS;
        if (!packing || packing->is_float) continue;
        for (int64_t r = 0; r < take; r++) {
            lp_tensor_decode_row(g->weight[i], r * n_rows / take, t->rows + t->n_rows * g->k);
            t->packing[t->n_rows++ / TRIAL_LANES] = packing;
        }
    }
    for (int64_t i = 0; i < g->k; i++)
        for (int64_t j = 0; j <= i; j++) t->h[i * g->k + j] = t->h[j * g->k + i] = (float)g->moments->h[i * g->k + j];
    return LP_OK;
}

static lp_status search_ratio(const scaling *x, const lp_driver_group *group, double *s)
{
    trials t = {.scaling = x, .group = group};
    int best = 0, grid = x->options->grid;
    t.loss = calloc((size_t)grid, sizeof *t.loss);
    t.status = calloc((size_t)grid, sizeof *t.status);
    lp_status status = t.loss && t.status ? load_trial_rows(&t) : lp_fail_memory((size_t)grid * sizeof *t.loss, "trials");
    if (status == LP_OK) {
        lp_pool_run(x->pool, try_ratios, &t);
        for (int i = 0; i < grid && status == LP_OK; i++) {
            if (t.status[i] != LP_OK) status = lp_fail(t.status[i], "a trial of scales failed (power %d of %d)", i, grid);
            if (t.loss[i] < t.loss[best]) best = i;
        }
        magnitude_scales(group->moments, (double)best / grid, s);
    }
    free(t.rows), free((void *)t.packing), free(t.h), free(t.loss), free(t.status);
    return status;
}

static lp_status smooth(const scaling *x, const lp_driver_group *group, double *s)
{
    int64_t n_rows = 0, at = 0;
    for (int i = 0; i < group->n_weights; i++) n_rows += lp_tensor_rows(group->weight[i]);
    float *w = malloc((size_t)(n_rows * group->k) * sizeof *w);
    if (!w) return lp_fail_memory((size_t)(n_rows * group->k) * sizeof *w, "weights");
    for (int i = 0; i < group->n_weights; i++)
        for (int64_t r = 0; r < lp_tensor_rows(group->weight[i]); r++, at++) lp_tensor_decode_row(group->weight[i], r, w + at * group->k);
    lp_scale_smooth(x->options->alpha, group->k, group->moments->largest, w, n_rows, s);
    free(w);
    return LP_OK;
}

/* ---- groups ------------------------------------------------------------------------------------------------------- */

static change *change_of(scaling *x, const lp_tensor *tensor) { return &x->change[tensor - lp_gguf_tensor_at(x->gguf, 0)]; }

static lp_status remember(double **place, const double *s, int64_t k)
{
    *place = malloc((size_t)k * sizeof **place);
    if (!*place) return lp_fail_memory((size_t)k * sizeof **place, "scales");
    memcpy(*place, s, (size_t)k * sizeof *s);
    return LP_OK;
}

static lp_status scale_group(void *context, const lp_driver_group *group, float *const *value)
{
    scaling *x = context;
    (void)value;
    if (!group->moments || (group->n_gains == 0 && !group->rows)) return LP_OK;
    for (int64_t j = 0; j < group->k; j++)
        if (!isfinite(group->moments->magnitude[j]))
            return lp_fail(LP_CHECK, "%s: an activation of channel %" PRId64 " is not finite", group->weight[0]->name, j);
    double *s = malloc((size_t)group->k * sizeof *s);
    lp_status status = s ? LP_OK : lp_fail_memory((size_t)group->k * sizeof *s, "scales");
    if (status == LP_OK) status = x->options->policy == LP_SCALE_POLICY_SMOOTH ? smooth(x, group, s) : search_ratio(x, group, s);
    if (status == LP_OK && x->options->powers) round_to_powers(group->k, s);
    for (int i = 0; i < group->n_weights && status == LP_OK; i++) status = remember(&change_of(x, group->weight[i])->column, s, group->k);
    for (int i = 0; i < group->n_gains && status == LP_OK; i++) status = remember(&change_of(x, group->gain[i])->column, s, group->k);
    if (group->rows && status == LP_OK) status = remember(&change_of(x, group->rows)->row, s, group->k);
    free(s);
    return status;
}

/* ---- the changed model --------------------------------------------------------------------------------------------- */

static bool is_vector(const lp_tensor *t) { return lp_tensor_rows(t) == 1; }

static void fold(const lp_tensor *t, const change *c)
{
    int64_t k = t->dim[0];
    for (int64_t r = 0; r < lp_tensor_rows(t); r++) {
        float *row = c->value + r * k;
        lp_tensor_decode_row(t, r, row);
        for (int64_t j = 0; j < k; j++) {
            double v = (double)row[j];
            if (c->column) v = is_vector(t) ? v / c->column[j] : v * c->column[j];
            if (c->row) v /= c->row[r];
            row[j] = (float)v;
        }
    }
}

static lp_status build(scaling *x, lp_gguf_parts *parts)
{
    int64_t n = lp_gguf_tensor_count(x->gguf);
    lp_gguf_writer *writer;
    size_t n_values = 0;
    LP_TRY(lp_gguf_writer_create_dry(&writer));
    lp_status status = LP_OK;
    for (int64_t i = 0; i < lp_gguf_key_count(x->gguf) && status == LP_OK; i++) status = lp_gguf_writer_copy_key(writer, lp_gguf_key_at(x->gguf, i));
    for (int64_t i = 0; i < n && status == LP_OK; i++) {
        const lp_tensor *t = lp_gguf_tensor_at(x->gguf, i);
        bool changed = x->change[i].column || x->change[i].row;
        status = lp_gguf_writer_add_tensor(writer, t->name, t->n_dims, t->dim, changed ? lp_packing_by_name("f32") : t->packing);
        if (changed) n_values += (size_t)lp_tensor_values(t);
    }
    if (status == LP_OK) status = lp_gguf_writer_header(writer, &parts->image, &parts->n_image);
    lp_gguf_writer_abort(writer);
    LP_TRY(status);
    parts->data = malloc(((size_t)n + 1) * sizeof *parts->data);
    float *values = malloc((n_values + 1) * sizeof *values);
    parts->buffer = values;
    if (!parts->data || !values) return lp_fail_memory(n_values * sizeof *values, "scaled weights");
    for (int64_t i = 0; i < n; i++) {
        const lp_tensor *t = lp_gguf_tensor_at(x->gguf, i);
        parts->data[i] = t->data;
        if (!x->change[i].column && !x->change[i].row) continue;
        x->change[i].value = values;
        parts->data[i] = (const uint8_t *)values;
        values += lp_tensor_values(t);
        fold(t, &x->change[i]);
    }
    return LP_OK;
}

/* ---- proof --------------------------------------------------------------------------------------------------------- */

typedef struct difference {
    double error, power;
} difference;

static lp_status add_difference(void *context, const lp_chunk *chunk)
{
    difference *d = context;
    for (int64_t i = 0; i < chunk->n * chunk->n_vocab; i++) {
        double a = (double)chunk->logits[0][i], e = a - (double)chunk->logits[1][i];
        d->error += e * e;
        d->power += a * a;
    }
    return LP_OK;
}

/* Both networks on one window: folding in float32 moves logits by rounding alone. */
static lp_status prove(const lp_model *a, const lp_model *b, const char *text, size_t n_text, const lp_driver_options *driver)
{
    enum { MOST = 128 }; /* tokens */
    lp_windows w;
    lp_session *session[2] = {NULL, NULL};
    int64_t longest = lp_model_get_info(a)->n_context, n = driver->n_context && driver->n_context < MOST ? driver->n_context : MOST;
    lp_eval_options o = {.n_context = longest < n ? longest : n, .n_windows = 1, .hash = true, .activations = LP_ACTIVATION_F32, .pool = driver->pool};
    difference d = {0, 0};
    LP_TRY(lp_windows_open(a, text, n_text, &o, &w));
    lp_status status = lp_windows_session(&w, a, &o, NULL, &session[0]);
    if (status == LP_OK) status = lp_windows_session(&w, b, &o, NULL, &session[1]);
    if (status == LP_OK) status = lp_windows_run(&w, session, 2, NULL, "comparing", add_difference, &d);
    lp_session_close(session[0]);
    lp_session_close(session[1]);
    lp_windows_close(&w);
    if (status != LP_OK) return status;
    if (!(d.error <= 1e-8 * d.power))
        return lp_fail(LP_CHECK, "%s: the network with scaled channels differs from the original (relative rms of the logits %.3g)",
                       lp_gguf_path(lp_model_gguf(a)), sqrt(d.error / d.power));
    return LP_OK;
}

lp_status lp_scale_model(const lp_model *model, const char *text, size_t n_text, const lp_driver_options *driver,
                         const lp_scale_options *options, lp_packing_of *packing_of, void *context, const lp_progress *progress,
                         lp_model **out)
{
    scaling x = {.gguf = lp_model_gguf(model), .options = options, .packing_of = packing_of, .context = context, .pool = driver->pool};
    int64_t n = lp_gguf_tensor_count(x.gguf);
    lp_driver_options o = *driver;
    lp_driver_coverage coverage;
    lp_gguf_parts parts = {0};
    lp_gguf *gguf;
    *out = NULL;
    x.change = calloc((size_t)n + 1, sizeof *x.change);
    if (!x.change) return lp_fail_memory((size_t)n * sizeof *x.change, "scales");
    o.prefix = LP_PREFIX_FLOAT;
    o.cross = false;
    o.solve = scale_group;
    o.context = &x;
    lp_status status = lp_driver_run(model, text, n_text, &o, progress, &coverage);
    if (status == LP_OK) status = build(&x, &parts);
    if (status == LP_OK) {
        status = lp_gguf_open_parts(&parts, lp_gguf_path(x.gguf), &gguf);
        if (status == LP_OK) status = lp_model_open_gguf(gguf, out);
    } else {
        lp_gguf_parts_free(&parts);
    }
    if (status == LP_OK) status = prove(model, *out, text, n_text, driver);
    if (status != LP_OK) {
        lp_model_close(*out);
        *out = NULL;
    }
    for (int64_t i = 0; i < n; i++) free(x.change[i].column), free(x.change[i].row);
    free(x.change);
    return status;
}
