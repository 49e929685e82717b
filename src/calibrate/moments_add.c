/* The loop of second moments, compiled once per instruction set; the bits are the same for all. */
#include "calibrate/moments.h"

#ifndef LP_LANES_ISA
#define LP_LANES_ISA ref
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

/* Sums of HIGH x WIDE entries stay in registers: compilers turn plain arrays of this shape into shuffles. */
typedef double vector __attribute__((vector_size(64), aligned(8), may_alias));
#ifdef __AVX512F__
enum { HIGH = 8, VECTORS = 2 };
#else
enum { HIGH = 4, VECTORS = 1 };
#endif
enum { LANES = sizeof(vector) / sizeof(double), WIDE = VECTORS * LANES };

/* HIGH rows of sums at once, so that a loaded value of b serves all of them. */
static void add_strip(const double *restrict a, const double *restrict b, int64_t n, int64_t k, int64_t i, int64_t j,
                      double *restrict sum)
{
    vector s[HIGH][VECTORS];
    for (int r = 0; r < HIGH; r++)
        for (int v = 0; v < VECTORS; v++) s[r][v] = *(const vector *)(const void *)(sum + (i + r) * k + j + v * LANES);
    for (int64_t t = 0; t < n; t++) {
        const double *restrict x = a + t * k + i;
        vector y[VECTORS];
        for (int v = 0; v < VECTORS; v++) y[v] = *(const vector *)(const void *)(b + t * k + j + v * LANES);
        for (int r = 0; r < HIGH; r++)
            for (int v = 0; v < VECTORS; v++) s[r][v] += x[r] * y[v];
    }
    for (int r = 0; r < HIGH; r++)
        for (int v = 0; v < VECTORS; v++) *(vector *)(void *)(sum + (i + r) * k + j + v * LANES) = s[r][v];
}

static void add_some(const double *a, const double *b, int64_t n, int64_t k, int64_t i, int64_t j0, int64_t j1, double *sum)
{
    int64_t j = j0;
    for (; j + LANES <= j1; j += LANES) {
        vector s = *(const vector *)(const void *)(sum + i * k + j);
        for (int64_t t = 0; t < n; t++) s += a[t * k + i] * *(const vector *)(const void *)(b + t * k + j);
        *(vector *)(void *)(sum + i * k + j) = s;
    }
    for (; j < j1; j++) {
        double s = sum[i * k + j];
        for (int64_t t = 0; t < n; t++) s += a[t * k + i] * b[t * k + j];
        sum[i * k + j] = s;
    }
}

void JOIN(lp_moments_add_, LP_LANES_ISA)(const double *a, const double *b, int64_t n, int64_t k, int64_t i0, int64_t i1, bool whole,
                                         double *sum)
{
    int64_t i = i0;
    for (; i + HIGH <= i1; i += HIGH) {
        int64_t end = whole ? k : i + 1, j = 0; /* what all HIGH rows have in whole strips, then the rest of each */
        for (; j + WIDE <= end; j += WIDE) add_strip(a, b, n, k, i, j, sum);
        for (int r = 0; r < HIGH; r++) add_some(a, b, n, k, i + r, j, whole ? k : i + r + 1, sum);
    }
    for (; i < i1; i++) add_some(a, b, n, k, i, 0, whole ? k : i + 1, sum);
}
