/* The loop of second moments, compiled once per instruction set; the bits are the same for all. */
#include "calibrate/moments.h"

#include <string.h>

#ifndef LP_LANES_ISA
#define LP_LANES_ISA ref
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

enum { HIGH = 4, WIDE = 16 };

/* HIGH rows of sums at once, so that a loaded value of b serves all of them. */
static void add_strip(const double *restrict a, const double *restrict b, int64_t n, int64_t k, int64_t i, int64_t j,
                      double *restrict sum)
{
    double s[HIGH][WIDE];
    for (int r = 0; r < HIGH; r++) memcpy(s[r], sum + (i + r) * k + j, sizeof s[r]);
    for (int64_t t = 0; t < n; t++) {
        const double *restrict x = a + t * k + i, *restrict y = b + t * k + j;
        for (int r = 0; r < HIGH; r++)
            for (int c = 0; c < WIDE; c++) s[r][c] += x[r] * y[c];
    }
    for (int r = 0; r < HIGH; r++) memcpy(sum + (i + r) * k + j, s[r], sizeof s[r]);
}

static void add_some(const double *a, const double *b, int64_t n, int64_t k, int64_t i, int64_t j0, int64_t j1, double *sum)
{
    for (int64_t j = j0; j < j1; j++) {
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
