/* The fitter's inner loops, compiled once per instruction set. */
#include "quantize/fit_lanes.h"

#include <string.h>

#ifndef LP_LANES_ISA
#define LP_LANES_ISA ref
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

enum { PIECE = 64 };

static const float rounder = 12582912.0f; /* 1.5 * 2^23: adding it rounds to whole numbers, ties to even */

void JOIN(lp_fit_trials_, LP_LANES_ISA)(const lp_levels *element, const float *x, const float *w, int64_t n, lp_fit_trials *trials)
{
    float inverse[LP_FIT_LANES], offset[LP_FIT_LANES], t[LP_FIT_LANES], v[LP_FIT_LANES];
    double sum_v[LP_FIT_LANES] = {0}, sum_vv[LP_FIT_LANES] = {0}, sum_xv[LP_FIT_LANES] = {0};
    memcpy(inverse, trials->inverse, sizeof inverse);
    memcpy(offset, trials->offset, sizeof offset);
    for (int64_t j = 0; j < n; j++) {
        const float xj = x[j];
        for (int l = 0; l < LP_FIT_LANES; l++) t[l] = (xj - offset[l]) * inverse[l];
        if (element->is_uniform) {
            const float least = element->least, most = element->most;
            for (int l = 0; l < LP_FIT_LANES; l++) {
                float u = t[l] < least ? least : t[l];
                u = u > most ? most : u;
                v[l] = (u + rounder) - rounder;
            }
        } else {
            for (int l = 0; l < LP_FIT_LANES; l++) v[l] = element->value[0];
            for (int i = 0; i + 1 < element->n; i++) {
                const float edge = element->edge[i], next = element->value[i + 1];
                for (int l = 0; l < LP_FIT_LANES; l++) v[l] = t[l] > edge ? next : v[l];
            }
        }
        const double a = w ? (double)w[j] : 1.0, ac = a * (double)xj;
        for (int l = 0; l < LP_FIT_LANES; l++) {
            const double b = (double)v[l], ab = a * b;
            sum_v[l] += ab;
            sum_vv[l] += ab * b;
            sum_xv[l] += ac * b;
        }
    }
    memcpy(trials->v, sum_v, sizeof sum_v);
    memcpy(trials->vv, sum_vv, sizeof sum_vv);
    memcpy(trials->xv, sum_xv, sizeof sum_xv);
}

void JOIN(lp_fit_nearest_, LP_LANES_ISA)(const lp_levels *element, const float *x, int64_t n, int32_t *index)
{
    if (element->is_uniform) {
        const float least = element->least, most = element->most;
        for (int64_t j = 0; j < n; j++) {
            float u = x[j] < least ? least : x[j];
            u = u > most ? most : u;
            index[j] = (int32_t)(((u + rounder) - rounder) - least);
        }
        return;
    }
    for (int64_t first = 0; first < n; first += PIECE) {
        int32_t at[PIECE] = {0};
        float t[PIECE] = {0};
        const int64_t m = n - first < PIECE ? n - first : PIECE, whole = (m + 15) & ~(int64_t)15;
        memcpy(t, x + first, (size_t)m * sizeof *t);
        for (int i = 0; i + 1 < element->n; i++) {
            const float edge = element->edge[i];
            for (int64_t j = 0; j < whole; j++) at[j] += t[j] > edge;
        }
        memcpy(index + first, at, (size_t)m * sizeof *at);
    }
}
