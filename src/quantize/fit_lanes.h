/* The two inner loops of the fitter, per instruction set: the vector width is the only difference, the bits are the same. */
#ifndef LP_QUANTIZE_FIT_LANES_H
#define LP_QUANTIZE_FIT_LANES_H

#include "quantize/levels.h"

enum {
    LP_FIT_LANES = 24,     /* trials side by side */
    LP_FIT_LIST_MAX = 64   /* values of an element that are compared one by one; longer lists are searched */
};

/* Whether these loops serve the element. */
static inline bool lp_fit_has_lanes(const lp_levels *element)
{
    return element->is_uniform || (element->n > 0 && element->n <= LP_FIT_LIST_MAX);
}

/* Sums over a block of a trial's values v: w v, w v v, w x v, each in index order. */
typedef struct lp_fit_trials {
    float inverse[LP_FIT_LANES], offset[LP_FIT_LANES]; /* in: v is nearest to (x - offset) * inverse */
    double v[LP_FIT_LANES], vv[LP_FIT_LANES], xv[LP_FIT_LANES];
} lp_fit_trials;

/* w: [n] or NULL: 1. */
typedef void lp_fit_trials_fn(const lp_levels *element, const float *x, const float *w, int64_t n, lp_fit_trials *trials);
lp_fit_trials_fn lp_fit_trials_ref, lp_fit_trials_avx2, lp_fit_trials_avx512;

/* index[i] as lp_levels_nearest(element, x[i]). */
typedef void lp_fit_nearest_fn(const lp_levels *element, const float *x, int64_t n, int32_t *index);
lp_fit_nearest_fn lp_fit_nearest_ref, lp_fit_nearest_avx2, lp_fit_nearest_avx512;

#endif
