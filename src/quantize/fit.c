/* One block's scale and offset by trial, least squares and alternation. Sums are f64 in index order. */
#include "quantize/fit.h"

#include <lowp/isa.h>

#include <math.h>

#include "base/half.h"
#include "quantize/fit_lanes.h"

enum { PIECE = 256, N_TRIALS = 18, N_ROUNDS = 3 };

static const float first_trial = 1.06f, trial_step = 0.035f; /* of the covering scale */

/* ---- codes under a scale --------------------------------------------------------------------------------------------- */

static lp_fit_trials_fn *trials_function(void)
{
    switch (lp_isa_current()) {
#if defined(__x86_64__)
    case LP_ISA_AVX512: return lp_fit_trials_avx512;
    case LP_ISA_AVX2: return lp_fit_trials_avx2;
#endif
    default: return lp_fit_trials_ref;
    }
}

static lp_fit_nearest_fn *nearest_function(void)
{
    switch (lp_isa_current()) {
#if defined(__x86_64__)
    case LP_ISA_AVX512: return lp_fit_nearest_avx512;
    case LP_ISA_AVX2: return lp_fit_nearest_avx2;
#endif
    default: return lp_fit_nearest_ref;
    }
}

static float inverse_of(float scale)
{
    float inverse = scale != 0 ? 1.0f / scale : 0;
    return isfinite(inverse) ? inverse : 0;
}

/* Values and codes of t, n <= PIECE, which have the element's units. */
static void nearest_codes(const lp_levels *element, const float *t, int64_t n, uint32_t *code, float *v)
{
    int32_t index[PIECE];
    if (!element->n) {
        uint32_t unwanted;
        for (int64_t j = 0; j < n; j++) *(code ? code + j : &unwanted) = lp_levels_round(element, t[j], &v[j]);
        return;
    }
    if (lp_fit_has_lanes(element)) nearest_function()(element, t, n, index);
    else
        for (int64_t j = 0; j < n; j++) index[j] = lp_levels_nearest(element, t[j]);
    for (int64_t j = 0; j < n; j++) v[j] = element->value[index[j]];
    for (int64_t j = 0; code && j < n; j++) code[j] = element->code[index[j]];
}

double lp_fit_codes(const lp_levels *element, const float *x, const float *w, int64_t n, float scale, float offset, uint32_t *code,
                    float *v)
{
    double error = 0;
    const float inverse = inverse_of(scale);
    for (int64_t first = 0; first < n; first += PIECE) {
        float t[PIECE];
        const int64_t m = n - first < PIECE ? n - first : PIECE;
        for (int64_t j = 0; j < m; j++) t[j] = (x[first + j] - offset) * inverse;
        nearest_codes(element, t, m, code ? code + first : NULL, v + first);
        for (int64_t j = first; j < first + m; j++) {
            double d = (double)x[j] - ((double)scale * (double)v[j] + (double)offset);
            error += (w ? (double)w[j] : 1.0) * d * d;
        }
    }
    return error;
}

/* ---- least squares --------------------------------------------------------------------------------------------------- */

typedef struct sums {
    double w, v, vv, x, xv, xx;
} sums;

static void add_values(sums *s, const float *x, const float *w, const float *v, int64_t n)
{
    for (int64_t j = 0; j < n; j++) {
        double a = w ? (double)w[j] : 1.0, b = (double)v[j], c = (double)x[j];
        s->w += a;
        s->v += a * b;
        s->vv += a * b * b;
        s->x += a * c;
        s->xv += a * c * b;
        s->xx += a * c * c;
    }
}

static double clamp(double x, double least, double most) { return x < least ? least : x > most ? most : x; }

/* Scale and offset of least error for the sums, and that error. */
static lp_fit solve(const lp_fit_rule *rule, const sums *s, const float *fixed_scale, double *error)
{
    double scale = fixed_scale ? (double)*fixed_scale : s->vv > 0 ? s->xv / s->vv : 0, offset = 0;
    if (rule->has_offset) {
        double determinant = s->w * s->vv - s->v * s->v;
        if (fixed_scale) offset = s->w > 0 ? (s->x - scale * s->v) / s->w : 0;
        else if (determinant > 1e-9 * s->w * s->vv) offset = (s->vv * s->x - s->v * s->xv) / determinant;
        offset = clamp(offset, (double)rule->least_offset, (double)rule->most_offset);
        if (!fixed_scale && s->vv > 0) scale = (s->xv - offset * s->v) / s->vv;
    }
    if (!fixed_scale && !rule->negative_scale && scale < 0) scale = 0;
    *error = s->xx - 2 * (scale * s->xv + offset * s->x) + scale * scale * s->vv + 2 * scale * offset * s->v + offset * offset * s->w;
    return (lp_fit){(float)scale, (float)offset, (float)s->vv, (float)s->w};
}

lp_fit lp_fit_values(const lp_fit_rule *rule, const float *x, const float *w, const float *v, int64_t n, const float *fixed_scale)
{
    sums s = {0};
    double error;
    add_values(&s, x, w, v, n);
    return solve(rule, &s, fixed_scale, &error);
}

/* Of the nearest codes under a scale and offset. */
static lp_fit refit(const lp_fit_rule *rule, const float *x, const float *w, int64_t n, float scale, float offset, double *error)
{
    sums s = {0};
    float v[PIECE];
    for (int64_t j = 0; j < n; j += PIECE) {
        int64_t part = n - j < PIECE ? n - j : PIECE;
        lp_fit_codes(rule->element, x + j, w ? w + j : NULL, part, scale, offset, NULL, v);
        add_values(&s, x + j, w ? w + j : NULL, v, part);
    }
    return solve(rule, &s, NULL, error);
}

/* ---- the scale that covers a block ----------------------------------------------------------------------------------- */

typedef struct range {
    float least, most;
} range;

static range range_of(const float *x, int64_t n)
{
    range r = {x[0], x[0]};
    for (int64_t j = 1; j < n; j++) {
        if (x[j] < r.least) r.least = x[j];
        if (x[j] > r.most) r.most = x[j];
    }
    return r;
}

/* Smallest positive scale under which both ends lie within the element's values; an end that has no value of its sign
 * does not count. */
static float cover(const lp_levels *e, range r)
{
    float a = e->most > 0 && r.most > 0 ? r.most / e->most : 0, b = e->least < 0 && r.least < 0 ? r.least / e->least : 0;
    return a > b ? a : b;
}

/* With an offset: what the element's range must be stretched by. */
static lp_fit cover_with_offset(const lp_fit_rule *rule, range r)
{
    const lp_levels *e = rule->element;
    float low = r.least, high = r.most;
    /* The offset is what the element's least value stands for, if its sign allows that. */
    float scale = (high - low) / (e->most - e->least);
    float offset = (float)clamp((double)(low - scale * e->least), (double)rule->least_offset, (double)rule->most_offset);
    range rest = {low - offset, high - offset};
    if (offset == 0) scale = cover(e, rest);
    return (lp_fit){.scale = scale, .offset = offset};
}

lp_fit lp_fit_cover(const lp_fit_rule *rule, const float *x, int64_t n)
{
    range r = range_of(x, n), turned = {-r.most, -r.least};
    lp_fit fit = {.curvature = 1, .weight = 1};
    if (rule->has_offset) {
        lp_fit both = cover_with_offset(rule, r);
        fit.scale = both.scale;
        fit.offset = both.offset;
        return fit;
    }
    fit.scale = cover(rule->element, r);
    float other = cover(rule->element, turned);
    /* Of two signs the one that wastes less of the range; or that has values for the larger end, where there is one sign. */
    bool both_signs = rule->element->least < 0 && rule->element->most > 0;
    if (rule->negative_scale && (both_signs ? other < fit.scale : other > fit.scale)) fit.scale = -other;
    return fit;
}

/* ---- search ----------------------------------------------------------------------------------------------------------- */

/* What a trial's sums have in common with all others. */
static sums sums_of_block(const float *x, const float *w, int64_t n)
{
    sums s = {0};
    for (int64_t j = 0; j < n; j++) {
        double a = w ? (double)w[j] : 1.0, c = (double)x[j];
        s.w += a;
        s.x += a * c;
        s.xx += a * c * c;
    }
    return s;
}

static void keep_best(lp_fit fit, double error, lp_fit *best, double *least)
{
    if (!(error < *least)) return;
    *least = error;
    *best = fit;
}

static void try_scales(const lp_fit_rule *rule, const float *x, const float *w, int64_t n, lp_fit from, lp_fit *best,
                       double *least)
{
    const lp_levels *e = rule->element;
    float middle = from.offset + from.scale * (e->least + e->most) / 2; /* trials shrink the range around its middle */
    float scale[N_TRIALS], offset[N_TRIALS];
    for (int t = 0; t < N_TRIALS; t++) {
        scale[t] = from.scale * (first_trial - trial_step * (float)t);
        offset[t] = from.offset;
        if (rule->has_offset && from.offset != 0)
            offset[t] = (float)clamp((double)(middle - scale[t] * (e->least + e->most) / 2), (double)rule->least_offset, (double)rule->most_offset);
    }
    if (!lp_fit_has_lanes(e)) {
        for (int t = 0; t < N_TRIALS; t++) {
            double error;
            lp_fit fit = refit(rule, x, w, n, scale[t], offset[t], &error);
            keep_best(fit, error, best, least);
        }
        return;
    }
    lp_fit_trials trials = {0};
    sums s = sums_of_block(x, w, n);
    for (int t = 0; t < N_TRIALS; t++) {
        trials.inverse[t] = inverse_of(scale[t]);
        trials.offset[t] = offset[t];
    }
    trials_function()(e, x, w, n, &trials);
    for (int t = 0; t < N_TRIALS; t++) {
        double error;
        s.v = trials.v[t];
        s.vv = trials.vv[t];
        s.xv = trials.xv[t];
        lp_fit fit = solve(rule, &s, NULL, &error);
        keep_best(fit, error, best, least);
    }
}
_Static_assert((int)N_TRIALS <= (int)LP_FIT_LANES, "all trials side by side");

lp_fit lp_fit_search(const lp_fit_rule *rule, const float *x, const float *w, int64_t n)
{
    lp_fit best = {0};
    double least = INFINITY;
    range r = range_of(x, n), turned = {-r.most, -r.least};
    lp_fit from = rule->has_offset ? cover_with_offset(rule, r) : (lp_fit){.scale = cover(rule->element, r)};
    try_scales(rule, x, w, n, from, &best, &least);
    if (rule->negative_scale) {
        if (!rule->has_offset) {
            from.scale = -cover(rule->element, turned);
            try_scales(rule, x, w, n, from, &best, &least);
        }
    }
    for (int i = 0; i < N_ROUNDS; i++) {
        double error;
        lp_fit fit = refit(rule, x, w, n, best.scale, best.offset, &error);
        if (!(error < least)) break;
        least = error;
        best = fit;
    }
    return best;
}
