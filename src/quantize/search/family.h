/* The family of weighted scale and offset searches, on sixteen lanes. Included once, by lanes.c.
 *
 * x and w are [n][lane]. Each fills scale[lane], offset[lane] (only AFFINE and RANGE: value = scale * level + offset) and
 * code[n][lane], level - first. In comments l is a level, i an inverse scale. All sums run in order of j from +0. */
#ifndef LP_QUANTIZE_SEARCH_FAMILY_H
#define LP_QUANTIZE_SEARCH_FAMILY_H

#include <math.h>
#include <string.h>

#include "base/half.h"
#include "quantize/search/lanes.h"
#include "quantize/search/round.h"

typedef float lanes[LP_LANES];

/* nearest() clamped and as a float, in fewer steps, for the hot loops: v must be within the range above or NaN, which gives
 * first. */
static inline float nearest_clamped(float v, float first, float last)
{
    const float shift = 12582912.0f; /* 1.5 2^23: the sum's last bit is worth 1 */
    float t = v + shift;
    t = t > shift + first ? t : shift + first;
    t = t < shift + last ? t : shift + last;
    return t - shift;
}

/* Midpoints of IQ4's levels: a value at one belongs to the upper level. */
static const float table_midpoint[15] = {-115.5f, -93.5f, -74.0f, -57.0f, -42.0f, -28.5f, -16.0f, -4.5f,
                                         7.0f,    19.0f,  31.5f,  45.5f,  61.0f,  79.0f,  101.0f};
static const float table_step[15] = {23.0f, 21.0f, 18.0f, 16.0f, 14.0f, 13.0f, 12.0f, 11.0f, 12.0f, 12.0f, 13.0f, 15.0f, 16.0f, 20.0f, 24.0f};
#define TABLE_FIRST (-127.0f)

/* The level nearest to v, as a number. Steps are added instead of looked up: exact, and no gather. */
static inline float table_level(float v)
{
    float q = TABLE_FIRST;
    for (int k = 0; k < 15; k++) q += v >= table_midpoint[k] ? table_step[k] : 0.0f;
    return q;
}

static inline int table_code(float v)
{
    int code = 0;
    for (int k = 0; k < 15; k++) code += v >= table_midpoint[k];
    return code;
}

static inline float trial(const lp_scale_search *s, int k)
{
    return s->base + s->step * (float)k + s->span;
}

/* The first value of largest magnitude, and that magnitude. */
static inline void find_extreme(int n, const lanes *restrict x, lanes extreme, lanes magnitude)
{
    lanes e, a; /* locals, here and below: the compiler sees that nothing else points at them */
    for (int l = 0; l < LP_LANES; l++) e[l] = a[l] = 0.0f;
    for (int j = 0; j < n; j++) {
        for (int l = 0; l < LP_LANES; l++) {
            float v = x[j][l], size = fabsf(v), largest = a[l];
            e[l] = size > largest ? v : e[l];
            a[l] = size > largest ? size : largest;
        }
    }
    memcpy(extreme, e, sizeof e);
    memcpy(magnitude, a, sizeof a);
}

/* sum w x l and sum w l^2 at inverse scale i. */
static inline void correlate(const lp_scale_search *s, int n, const lanes *restrict x, const lanes *restrict w,
                             const lanes i, lanes sum_xl, lanes sum_ll)
{
    float first = (float)s->first, last = (float)s->last;
    lanes xl, ll;
    for (int l = 0; l < LP_LANES; l++) xl[l] = ll[l] = 0.0f;
    if (s->table) {
        for (int j = 0; j < n; j++) {
            for (int l = 0; l < LP_LANES; l++) {
                float q = table_level(i[l] * x[j][l]), wq = w[j][l] * q;
                xl[l] += wq * x[j][l];
                ll[l] += wq * q;
            }
        }
    } else {
        for (int j = 0; j < n; j++) {
            for (int l = 0; l < LP_LANES; l++) {
                float q = nearest_clamped(i[l] * x[j][l], first, last);
                xl[l] += w[j][l] * x[j][l] * q;
                ll[l] += w[j][l] * q * q;
            }
        }
    }
    memcpy(sum_xl, xl, sizeof xl);
    memcpy(sum_ll, ll, sizeof ll);
}

/* Codes at inverse scale i of x - base; code 0 in lanes that are off. */
static inline void codes_at(const lp_scale_search *s, int n, const lanes *restrict x, const lanes i, const lanes base,
                            const int32_t off[LP_LANES], uint8_t (*restrict code)[LP_LANES])
{
    int first = s->first, last = s->last;
    int32_t keep[LP_LANES];
    for (int l = 0; l < LP_LANES; l++) keep[l] = off[l] ? 0 : 255;
    for (int j = 0; j < n; j++) {
        int32_t q[LP_LANES]; /* one width at a time: loops over two do not become vectors */
        for (int l = 0; l < LP_LANES; l++) q[l] = (clamp(nearest(i[l] * (x[j][l] - base[l])), first, last) - first) & keep[l];
        for (int l = 0; l < LP_LANES; l++) code[j][l] = (uint8_t)q[l];
    }
}

static const lanes no_base;

static inline void search_extreme(const lp_scale_search *s, int n, const lanes *restrict x, lanes scale,
                                  uint8_t (*restrict code)[LP_LANES])
{
    lanes extreme, magnitude, i;
    int32_t off[LP_LANES];
    if (s->kind == LP_KIND_LARGEST) {
        for (int l = 0; l < LP_LANES; l++) extreme[l] = 0.0f;
        for (int j = 0; j < n; j++)
            for (int l = 0; l < LP_LANES; l++) extreme[l] = x[j][l] > extreme[l] ? x[j][l] : extreme[l];
        memcpy(magnitude, extreme, sizeof magnitude);
    } else {
        find_extreme(n, x, extreme, magnitude);
    }
    for (int l = 0; l < LP_LANES; l++) {
        off[l] = !(magnitude[l] > 0.0f) || magnitude[l] < s->floor;
        i[l] = s->span / extreme[l];
        scale[l] = off[l] ? 0.0f : s->kind == LP_KIND_LARGEST ? extreme[l] / s->span : 1.0f / i[l];
    }
    codes_at(s, n, x, i, no_base, off, code);
}

/* A zero scale has level 0 everywhere. */
static inline void search_divided(const lp_scale_search *s, int n, const lanes *restrict x, lanes scale,
                                  uint8_t (*restrict code)[LP_LANES])
{
    static const int32_t none_off[LP_LANES];
    lanes extreme, magnitude, i;
    find_extreme(n, x, extreme, magnitude);
    for (int j = 0; j < n; j++) /* a NaN, of a sum that overflowed, is for the caller to refuse */
        for (int l = 0; l < LP_LANES; l++) extreme[l] = x[j][l] == x[j][l] ? extreme[l] : x[j][l];
    for (int l = 0; l < LP_LANES; l++) {
        scale[l] = extreme[l] / s->span;
        i[l] = scale[l] != 0.0f ? 1.0f / scale[l] : 0.0f;
    }
    codes_at(s, n, x, i, no_base, none_off, code);
}

static inline void search_correlation(const lp_scale_search *s, int n, const lanes *restrict x, const lanes *restrict w,
                                      lanes scale, uint8_t (*restrict code)[LP_LANES])
{
    lanes extreme, magnitude, i, best_i, best, xl, ll;
    int32_t off[LP_LANES];
    find_extreme(n, x, extreme, magnitude);
    for (int l = 0; l < LP_LANES; l++) {
        off[l] = magnitude[l] < s->floor;
        /* The table's start is a scale that is inverted, two roundings; the others' is a quotient. */
        best_i[l] = s->table ? 1.0f / (-extreme[l] / s->span) : s->span / extreme[l];
    }
    correlate(s, n, x, w, best_i, xl, ll);
    for (int l = 0; l < LP_LANES; l++) {
        scale[l] = ll[l] != 0.0f ? xl[l] / ll[l] : 0.0f; /* NaN where a sum overflowed: the caller refuses it */
        best[l] = scale[l] * xl[l];
    }
    for (int k = s->first_trial; k <= s->last_trial; k++) {
        if (k == 0 && s->skip_zero) continue;
        for (int l = 0; l < LP_LANES; l++) i[l] = trial(s, k) / extreme[l];
        correlate(s, n, x, w, i, xl, ll);
        for (int l = 0; l < LP_LANES; l++) {
            int better = (ll[l] > 0.0f) & (xl[l] * xl[l] > best[l] * ll[l]);
            float d = xl[l] / ll[l];
            best_i[l] = better ? i[l] : best_i[l];
            scale[l] = better ? d : scale[l];
            best[l] = better ? d * xl[l] : best[l];
        }
    }
    for (int l = 0; l < LP_LANES; l++) scale[l] = off[l] ? 0.0f : scale[l];
    if (!s->table) codes_at(s, n, x, best_i, no_base, off, code);
}

/* At most five sweeps; each replaces one level at a time by the best one for the scale that the other values ask for,
 * if (sum w x l)^2 / sum w l^2 grows. A lane that a sweep leaves alone stays as it is in the next. */
static inline void descend(const lp_scale_search *s, int n, const lanes *restrict x, const lanes *restrict w,
                           int32_t (*restrict level)[LP_LANES], lanes xl, lanes ll)
{
    int first = s->first, last = s->last;
    int any_start = s->any_start;
    for (int sweep = 0; sweep < 5; sweep++) {
        int n_changed = 0;
        for (int j = 0; j < n; j++) {
            int changed[LP_LANES];
            for (int l = 0; l < LP_LANES; l++) {
                float wj = w[j][l], xj = x[j][l], q = (float)level[j][l];
                float rest_xl = xl[l] - wj * xj * q, rest_ll = ll[l] - wj * q * q;
                int r = clamp(nearest(xj * rest_ll / rest_xl), first, last);
                float p = (float)r;
                float new_xl = rest_xl + wj * xj * p, new_ll = rest_ll + wj * p * p;
                int ok = (rest_xl > 0.0f) & (any_start | (rest_ll > 0.0f)) & (r != level[j][l]) & (new_ll > 0.0f) &
                         (new_xl * new_xl * ll[l] > xl[l] * xl[l] * new_ll);
                level[j][l] = ok ? r : level[j][l];
                xl[l] = ok ? new_xl : xl[l];
                ll[l] = ok ? new_ll : ll[l];
                changed[l] = ok;
            }
            for (int l = 0; l < LP_LANES; l++) n_changed += changed[l];
        }
        if (!n_changed) break;
    }
}

/* Scale of the levels found by descent. */
static inline void finish_descent(const lp_scale_search *s, int n, const lanes *restrict x, const lanes *restrict w,
                                  const lanes i, const int32_t off[LP_LANES], lanes scale, uint8_t (*restrict code)[LP_LANES])
{
    int32_t level[LP_SEARCH_MAX][LP_LANES];
    lanes xl, ll;
    correlate(s, n, x, w, i, xl, ll);
    for (int j = 0; j < n; j++)
        for (int l = 0; l < LP_LANES; l++) level[j][l] = clamp(nearest(i[l] * x[j][l]), s->first, s->last);
    descend(s, n, x, w, level, xl, ll);
    for (int l = 0; l < LP_LANES; l++) scale[l] = off[l] ? 0.0f : ll[l] > 0.0f ? xl[l] / ll[l] : 0.0f;
    for (int j = 0; j < n; j++)
        for (int l = 0; l < LP_LANES; l++) code[j][l] = (uint8_t)(off[l] ? 0 : level[j][l] - s->first);
}

static inline void search_descent(const lp_scale_search *s, int n, const lanes *restrict x, const lanes *restrict w,
                                  lanes scale, uint8_t (*restrict code)[LP_LANES])
{
    lanes extreme, magnitude, i;
    int32_t off[LP_LANES];
    find_extreme(n, x, extreme, magnitude);
    for (int l = 0; l < LP_LANES; l++) {
        off[l] = magnitude[l] < s->floor;
        i[l] = s->span / extreme[l];
    }
    finish_descent(s, n, x, w, i, off, scale, code);
}

/* sum w (x - l / i)^2 */
static inline void positive_error(const lp_scale_search *s, int n, const lanes *restrict x, const lanes *restrict w,
                                  const lanes i, lanes error)
{
    int last = s->last;
    lanes e, d;
    for (int l = 0; l < LP_LANES; l++) {
        e[l] = 0.0f;
        d[l] = 1.0f / i[l];
    }
    for (int j = 0; j < n; j++) {
        for (int l = 0; l < LP_LANES; l++) {
            int q = nearest(i[l] * x[j][l]);
            q = q < last ? q : last;
            float difference = x[j][l] - d[l] * (float)q;
            e[l] += w[j][l] * difference * difference;
        }
    }
    memcpy(error, e, sizeof e);
}

static inline void search_positive(const lp_scale_search *s, int n, const lanes *restrict x, const lanes *restrict w,
                                   lanes scale, uint8_t (*restrict code)[LP_LANES])
{
    lanes largest, i, best_i, best, error;
    int32_t off[LP_LANES];
    for (int l = 0; l < LP_LANES; l++) largest[l] = 0.0f;
    for (int j = 0; j < n; j++)
        for (int l = 0; l < LP_LANES; l++) largest[l] = largest[l] > x[j][l] ? largest[l] : x[j][l];
    for (int l = 0; l < LP_LANES; l++) {
        off[l] = largest[l] < s->floor;
        best_i[l] = s->span / largest[l];
    }
    positive_error(s, n, x, w, best_i, best);
    for (int k = s->first_trial; k <= s->last_trial; k++) {
        if (k == 0 && s->skip_zero) continue;
        for (int l = 0; l < LP_LANES; l++) i[l] = trial(s, k) / largest[l];
        positive_error(s, n, x, w, i, error);
        for (int l = 0; l < LP_LANES; l++) {
            int better = error[l] < best[l];
            best[l] = better ? error[l] : best[l];
            best_i[l] = better ? i[l] : best_i[l];
        }
    }
    finish_descent(s, n, x, w, best_i, off, scale, code);
}

/* sum w |l s + m - x|^p. */
static inline void affine_error(const lp_scale_search *s, int n, const lanes *restrict x, const lanes *restrict w,
                                const lanes *restrict level, const lanes scale, const lanes offset, lanes error)
{
    lanes e;
    for (int l = 0; l < LP_LANES; l++) e[l] = 0.0f;
    if (s->absolute) {
        for (int j = 0; j < n; j++)
            for (int l = 0; l < LP_LANES; l++) e[l] += w[j][l] * fabsf(scale[l] * level[j][l] + offset[l] - x[j][l]);
    } else {
        for (int j = 0; j < n; j++) {
            for (int l = 0; l < LP_LANES; l++) {
                float difference = scale[l] * level[j][l] + offset[l] - x[j][l];
                e[l] += w[j][l] * (difference * difference);
            }
        }
    }
    memcpy(error, e, sizeof e);
}

/* The least value, at most 0; the largest; sums of the weights and of w x. */
static inline void affine_begin(int n, const lanes *restrict x, const lanes *restrict w, lanes least, lanes largest,
                                lanes sum_w, lanes sum_x)
{
    lanes low, high, a, b;
    for (int l = 0; l < LP_LANES; l++) {
        low[l] = high[l] = x[0][l];
        a[l] = w[0][l];
        b[l] = w[0][l] * x[0][l];
    }
    for (int j = 1; j < n; j++) {
        for (int l = 0; l < LP_LANES; l++) {
            low[l] = x[j][l] < low[l] ? x[j][l] : low[l];
            high[l] = x[j][l] > high[l] ? x[j][l] : high[l];
            a[l] += w[j][l];
            b[l] += w[j][l] * x[j][l];
        }
    }
    for (int l = 0; l < LP_LANES; l++) low[l] = low[l] > 0.0f ? 0.0f : low[l];
    memcpy(least, low, sizeof low);
    memcpy(largest, high, sizeof high);
    memcpy(sum_w, a, sizeof a);
    memcpy(sum_x, b, sizeof b);
}

/* Levels at inverse scale i of x - base, and sum w l, sum w l^2, sum w l x. */
static inline void affine_levels(const lp_scale_search *s, int n, const lanes *restrict x, const lanes *restrict w,
                                 const lanes i, const lanes base, lanes *restrict level, lanes sum_l, lanes sum_ll, lanes sum_xl)
{
    float last = (float)s->last;
    lanes a, b, c;
    for (int l = 0; l < LP_LANES; l++) a[l] = b[l] = c[l] = 0.0f;
    for (int j = 0; j < n; j++) {
        for (int l = 0; l < LP_LANES; l++) {
            float q = nearest_clamped(i[l] * (x[j][l] - base[l]), 0.0f, last), wq = w[j][l] * q;
            level[j][l] = q;
            a[l] += wq;
            b[l] += wq * q;
            c[l] += wq * x[j][l];
        }
    }
    memcpy(sum_l, a, sizeof a);
    memcpy(sum_ll, b, sizeof b);
    memcpy(sum_xl, c, sizeof c);
}

/* The inverse scale of a trial. A range so small that the quotient overflows has all levels 0, as from 0. */
static inline float inverse_or_zero(float span, float range)
{
    float i = span / range;
    return fabsf(i) <= 3.4028235e38f ? i : 0.0f;
}

static inline void search_affine(const lp_scale_search *s, int n, const lanes *restrict x, const lanes *restrict w,
                                 lanes scale, lanes offset, uint8_t (*restrict code)[LP_LANES])
{
    lanes level[LP_SEARCH_MAX];
    lanes least, largest, sum_w, sum_x, sum_l, sum_ll, sum_xl, i, best_i, base, best, d, m, error;
    int32_t off[LP_LANES];
    affine_begin(n, x, w, least, largest, sum_w, sum_x);
    for (int l = 0; l < LP_LANES; l++) {
        off[l] = largest[l] <= least[l];
        offset[l] = base[l] = least[l];
        scale[l] = 1.0f / (s->span / (largest[l] - least[l]));
        best_i[l] = inverse_or_zero(s->span, largest[l] - least[l]);
    }
    affine_levels(s, n, x, w, best_i, base, level, sum_l, sum_ll, sum_xl);
    affine_error(s, n, x, w, (const lanes *)level, scale, offset, best);
    for (int k = s->first_trial; k <= s->last_trial; k++) {
        lanes from, determinant; /* the offset of the best so far: the next trials start at it */
        memcpy(from, offset, sizeof from);
        for (int l = 0; l < LP_LANES; l++) i[l] = inverse_or_zero(trial(s, k), largest[l] - from[l]);
        affine_levels(s, n, x, w, i, from, level, sum_l, sum_ll, sum_xl);
        for (int l = 0; l < LP_LANES; l++) {
            determinant[l] = sum_w[l] * sum_ll[l] - sum_l[l] * sum_l[l];
            float slope = (sum_w[l] * sum_xl[l] - sum_x[l] * sum_l[l]) / determinant[l];
            float constant = (sum_ll[l] * sum_x[l] - sum_l[l] * sum_xl[l]) / determinant[l];
            float through_zero = sum_xl[l] / sum_ll[l];
            d[l] = constant > 0.0f ? through_zero : slope;
            m[l] = constant > 0.0f ? 0.0f : constant;
        }
        affine_error(s, n, x, w, (const lanes *)level, d, m, error);
        for (int l = 0; l < LP_LANES; l++) {
            int better = (determinant[l] > 0.0f) & (error[l] < best[l]);
            best[l] = better ? error[l] : best[l];
            scale[l] = better ? d[l] : scale[l];
            offset[l] = better ? m[l] : offset[l];
            best_i[l] = better ? i[l] : best_i[l];
            base[l] = better ? from[l] : base[l];
        }
    }
    for (int l = 0; l < LP_LANES; l++) {
        scale[l] = off[l] ? 0.0f : scale[l];
        offset[l] = off[l] ? least[l] : offset[l];
    }
    codes_at(s, n, x, best_i, base, off, code);
}

#endif
