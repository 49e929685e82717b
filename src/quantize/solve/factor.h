/* The triangular factor of a layer's second moments, on which error feedback runs. Card: ptq/gptq.md. */
#ifndef LP_QUANTIZE_SOLVE_FACTOR_H
#define LP_QUANTIZE_SOLVE_FACTOR_H

#include <stdbool.h>
#include <stdint.h>

#include <lowp/pool.h>
#include <lowp/status.h>

/* H + damp mean(diag H) I = R R^T with R upper triangular, rows and columns in the order in which columns are rounded. Then
 * tr((W - Q) H (W - Q)^T) is the squared norm of (W - Q) R, and column j of that product depends on the first j columns
 * alone: the column's error once later columns are free. U = R^-1 is the factor of the inverse of the published method
 * (H^-1 = U^T U); it is not needed. */
typedef struct lp_factor {
    int64_t k;
    int64_t *order;    /* [k] column at each position */
    float *r;          /* [k][k]: row i holds R[i][j] for j >= i, zeros before */
    double *diagonal;  /* [k] of H at each position, dead columns raised, without damping */
    double damp;       /* that made H positive definite: a part of the mean of the diagonal */
    int64_t n_dead;    /* columns with H[j][j] = 0: rounded to nearest, no feedback from or to them */
    bool failed;       /* not positive definite with any damping: R is the diagonal alone, rounding to nearest */
} lp_factor;

/* h: [k][k], the lower triangle is read. by_energy: columns by descending diagonal (stable), else as they stand. If a pivot
 * vanishes the damping is doubled (from at least 0.01) up to three times. Errors: LP_RESOURCE; LP_CHECK (NaN, infinity or a
 * negative diagonal: the index is in the text). */
lp_status lp_factor_create(const double *h, int64_t k, double damp, bool by_energy, lp_pool *pool, lp_factor *out);
void lp_factor_free(lp_factor *factor);

/* The same in double precision, for identities: r[k][k] row-major, upper. False: not positive definite. */
bool lp_factor_f64(const double *h, int64_t k, const int64_t *order, double added, lp_pool *pool, double *lower);

/* Rows b of the lower triangle t [k][k] with b < j0: t[b][a] -= t[j][a] t[j][b] for j = j1-1 down to j0, a <= b. Each entry
 * is a chain of products and differences, so that vectors and threads change nothing. */
typedef void lp_factor_update_fn(double *t, int64_t k, int64_t j0, int64_t j1, int64_t b0, int64_t b1);
lp_factor_update_fn lp_factor_update_ref, lp_factor_update_avx2, lp_factor_update_avx512;

#endif
