/* The solver's loops, compiled once per instruction set: the vector width is the only difference, the bits are the same. */
#include "quantize/solve/sweep.h"

#include <string.h>

#include "base/fail.h"
#include "quantize/solve/descend.h"
#include "quantize/solve/factor.h"

#ifndef LP_LANES_ISA
#define LP_LANES_ISA ref
#define LP_DOUBLE_INSTANCE
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

#define REAL float
#define ROUNDER 12582912.0f /* 1.5 * 2^23: adding it rounds to whole numbers, ties to even */
#define NAME(x) JOIN(x, _f32)
#include "quantize/solve/sweep_real.h"
#include "quantize/solve/descend_real.h"
#undef REAL
#undef ROUNDER
#undef NAME

lp_status JOIN(lp_sweep_, LP_LANES_ISA)(const lp_sweep *sweep, const lp_coder *coder, lp_tile_rows *rows)
{
    return sweep_rows_f32(sweep, coder, rows);
}

void JOIN(lp_descend_, LP_LANES_ISA)(const lp_descent *descent, const lp_coder *coder, lp_tile_rows *rows)
{
    descend_rows_f32(descent, coder, rows);
}

#ifdef LP_DOUBLE_INSTANCE
#define REAL double
#define ROUNDER 6755399441055744.0 /* 1.5 * 2^52 */
#define NAME(x) JOIN(x, _f64)
#include "quantize/solve/sweep_real.h"

lp_status lp_sweep_f64(const lp_sweep *sweep, const lp_coder *coder, lp_tile_rows *rows)
{
    return sweep_rows_f64(sweep, coder, rows);
}
#endif

/* ---- the factor's trailing update --------------------------------------------------------------------------------- */

void JOIN(lp_factor_update_, LP_LANES_ISA)(double *t, int64_t k, int64_t j0, int64_t j1, int64_t b0, int64_t b1)
{
    typedef double wide __attribute__((vector_size(64), aligned(8), may_alias));
    enum { LANES = sizeof(wide) / sizeof(double), WIDE = 4 * LANES };
    for (int64_t b = b0; b < b1; b++) {
        double *restrict row = t + b * k;
        int64_t a = 0;
        for (; a + WIDE <= b + 1; a += WIDE) {
            wide sum[4], *at = (wide *)(void *)(row + a);
            for (int c = 0; c < 4; c++) sum[c] = at[c];
            for (int64_t j = j1 - 1; j >= j0; j--) {
                const double *restrict other = t + j * k;
                const wide *x = (const wide *)(const void *)(other + a);
                for (int c = 0; c < 4; c++) sum[c] -= x[c] * other[b];
            }
            for (int c = 0; c < 4; c++) at[c] = sum[c];
        }
        for (; a <= b; a++)
            for (int64_t j = j1 - 1; j >= j0; j--) row[a] -= t[j * k + a] * t[j * k + b];
    }
}
