/* The parameters of one block: scale and offset of the least weighted squared error. */
#ifndef LP_QUANTIZE_FIT_H
#define LP_QUANTIZE_FIT_H

#include "quantize/levels.h"

/* What a block may choose from. */
typedef struct lp_fit_rule {
    const lp_levels *element;
    bool negative_scale;    /* the scale may be negative */
    bool has_offset;        /* x = scale * element + offset */
    float least_offset, most_offset; /* 0 or infinite: the signs that an offset may have */
} lp_fit_rule;

typedef struct lp_fit {
    float scale, offset;
    float curvature, weight; /* sum w v^2 and sum w: what an error of the scale, of the offset costs */
} lp_fit;

/* Covers the block: the largest magnitude is the largest value, without search. */
lp_fit lp_fit_cover(const lp_fit_rule *rule, const float *x, int64_t n);

/* Minimises E = sum w (x - (scale v(code) + offset))^2 over scale, offset and codes, beginning with scales from 0.5 to 1.05
 * of the covering one; each trial's scale and offset are the least-squares ones of its codes, and the best is iterated. w: [n]
 * weights >= 0, or NULL: 1. */
lp_fit lp_fit_search(const lp_fit_rule *rule, const float *x, const float *w, int64_t n);

/* Least-squares scale and offset of given values v[n] (of codes); `fixed_scale`: of the offset alone. */
lp_fit lp_fit_values(const lp_fit_rule *rule, const float *x, const float *w, const float *v, int64_t n, const float *fixed_scale);

/* Values v of the nearest codes of (x - offset) / scale; code: [n] or NULL. Returns E. */
double lp_fit_codes(const lp_levels *element, const float *x, const float *w, int64_t n, float scale, float offset, uint32_t *code,
                    float *v);

#endif
