/* Coordinate descent on the layer's quadratic: codes, then scales and offsets, one at a time, each to the best that the
 * format holds. It never makes the error larger. Card: ptq/decoupleq.md (alternation), without its real-valued step: every
 * step ends on what can be stored. */
#ifndef LP_QUANTIZE_SOLVE_DESCEND_H
#define LP_QUANTIZE_SOLVE_DESCEND_H

#include "quantize/solve/sweep.h"

/* The error of a row is (w - q) H (w - q)^T - 2 y (w - q)^T up to a constant, y being what the row starts with (0: none).
 * g = (w - q) H + y is minus half its gradient. */
typedef struct lp_descent {
    int64_t k;
    const float *h;       /* [k][k], symmetric, in order of columns */
    int passes;           /* over all codes, then all units */
    int reach, reach_b;   /* trials in each direction around a and b; 0: codes alone */
} lp_descent;

/* rows: w, q, y, code and unit as the sweep left them; s becomes g. */
typedef void lp_descend_fn(const lp_descent *descent, const lp_coder *coder, lp_tile_rows *rows);
lp_descend_fn lp_descend_ref, lp_descend_avx2, lp_descend_avx512;

#endif
