/* Second moments of what a layer reads: sums of products of channels, in double precision and in order of tokens.
 * Card: ptq/gptq.md, step 1. */
#ifndef LP_CALIBRATE_MOMENTS_H
#define LP_CALIBRATE_MOMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include <lowp/pool.h>
#include <lowp/status.h>

/* The product of two float32 values is exact in double, so each entry is a chain of additions in order of tokens: its bits
 * depend on neither vectors, threads, nor how the tokens were cut into calls. */
typedef struct lp_moments {
    int64_t k, n_rows;
    double *h;          /* [k][k]: lower triangle, sum of x[i] x[j]; after the end all sums are means */
    double *cross;      /* [k][k]: sum of (z[i] - x[i]) x[j], z being what the same layer reads in the float model; NULL */
    double *magnitude;  /* [k] sum of |x| */
    float *largest;     /* [k] largest |x| */
    double *left, *right; /* [MOMENT_ROWS][k] of a piece, as double */
} lp_moments;

lp_status lp_moments_create(int64_t k, bool cross, lp_moments *out);
void lp_moments_free(lp_moments *moments);

/* n rows of k values; z: the float model's rows, needed with cross. */
void lp_moments_add(lp_moments *moments, const float *x, const float *z, int64_t n, lp_pool *pool);

/* Divides by the number of rows, once all are in. */
void lp_moments_finish(lp_moments *moments);

/* sum[i][j] += a[t][i] * b[t][j] for t ascending, i in [i0, i1), j in [0, i] or, if whole, [0, k). */
typedef void lp_moments_add_fn(const double *a, const double *b, int64_t n, int64_t k, int64_t i0, int64_t i1, bool whole, double *sum);
lp_moments_add_fn lp_moments_add_ref, lp_moments_add_avx2, lp_moments_add_avx512;

#endif
