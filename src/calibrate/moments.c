/* Second moments: pieces of rows, split over threads by rows of the matrix. */
#include "calibrate/moments.h"

#include <lowp/isa.h>

#include <math.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/fail.h"

enum { MOMENT_ROWS = 64 };

static lp_moments_add_fn *add_function(void)
{
    switch (lp_isa_current()) {
#if defined(__x86_64__)
    case LP_ISA_AVX512: return lp_moments_add_avx512;
    case LP_ISA_AVX2: return lp_moments_add_avx2;
#endif
    default: return lp_moments_add_ref;
    }
}

lp_status lp_moments_create(int64_t k, bool cross, lp_moments *out)
{
    memset(out, 0, sizeof *out);
    size_t n, n_bytes;
    if (k < 1 || !lp_mul_size((size_t)k, (size_t)k, &n) || !lp_mul_size(n, sizeof(double), &n_bytes))
        return lp_fail_memory(SIZE_MAX, "second moments");
    out->k = k;
    out->h = lp_aligned_alloc(n_bytes);
    out->cross = cross ? lp_aligned_alloc(n_bytes) : NULL;
    out->left = lp_aligned_alloc((size_t)(2 * MOMENT_ROWS * k) * sizeof(double));
    out->magnitude = lp_aligned_alloc((size_t)k * sizeof(double));
    out->largest = lp_aligned_alloc((size_t)k * sizeof(float));
    if (!out->h || !out->left || !out->magnitude || !out->largest || (cross && !out->cross)) {
        lp_moments_free(out);
        return lp_fail_memory(n_bytes, "second moments");
    }
    out->right = out->left + MOMENT_ROWS * k;
    return LP_OK;
}

void lp_moments_free(lp_moments *moments)
{
    lp_aligned_free(moments->h);
    lp_aligned_free(moments->cross);
    lp_aligned_free(moments->left);
    lp_aligned_free(moments->magnitude);
    lp_aligned_free(moments->largest);
    memset(moments, 0, sizeof *moments);
}

typedef struct piece {
    lp_moments *moments;
    int64_t n;
    lp_moments_add_fn *add;
} piece;

/* Row i of the triangle costs i; borders are multiples of four so that strips are not cut. */
static int64_t border(int64_t k, int part, int n_parts, bool whole)
{
    double share = (double)part / (double)n_parts;
    return part == n_parts ? k : (int64_t)((double)k * (whole ? share : sqrt(share))) & ~(int64_t)3;
}

static void add_part(void *context, int thread, int n_threads)
{
    const piece *p = context;
    lp_moments *m = p->moments;
    p->add(m->right, m->right, p->n, m->k, border(m->k, thread, n_threads, false), border(m->k, thread + 1, n_threads, false), false, m->h);
    if (m->cross)
        p->add(m->left, m->right, p->n, m->k, border(m->k, thread, n_threads, true), border(m->k, thread + 1, n_threads, true), true, m->cross);
}

static void add_channels(lp_moments *m, const float *x, int64_t n)
{
    for (int64_t t = 0; t < n; t++)
        for (int64_t i = 0; i < m->k; i++) {
            float a = fabsf(x[t * m->k + i]);
            m->magnitude[i] += (double)a;
            m->largest[i] = a > m->largest[i] ? a : m->largest[i];
        }
}

void lp_moments_add(lp_moments *moments, const float *x, const float *z, int64_t n, lp_pool *pool)
{
    lp_moments *m = moments;
    add_channels(m, x, n);
    for (int64_t first = 0; first < n; first += MOMENT_ROWS) {
        piece p = {m, n - first < MOMENT_ROWS ? n - first : MOMENT_ROWS, add_function()};
        for (int64_t i = 0; i < p.n * m->k; i++) m->right[i] = (double)x[first * m->k + i];
        if (m->cross)
            for (int64_t i = 0; i < p.n * m->k; i++) m->left[i] = (double)z[first * m->k + i] - (double)x[first * m->k + i];
        lp_pool_run(pool, add_part, &p);
    }
    m->n_rows += n;
}

void lp_moments_finish(lp_moments *moments)
{
    int64_t k = moments->k;
    double n = (double)(moments->n_rows ? moments->n_rows : 1);
    for (int64_t i = 0; i < k; i++) {
        moments->magnitude[i] /= n;
        for (int64_t j = 0; j <= i; j++) moments->h[i * k + j] /= n;
        for (int64_t j = 0; moments->cross && j < k; j++) moments->cross[i * k + j] /= n;
    }
}
