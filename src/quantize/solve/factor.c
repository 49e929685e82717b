/* Cholesky from the last column to the first, in double precision. Card: ptq/gptq.md, steps 2 to 5. */
#include "quantize/solve/factor.h"

#include <lowp/isa.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/fail.h"

enum { PANEL = 32 };

static lp_factor_update_fn *update_function(void)
{
    switch (lp_isa_current()) {
#if defined(__x86_64__)
    case LP_ISA_AVX512: return lp_factor_update_avx512;
    case LP_ISA_AVX2: return lp_factor_update_avx2;
#endif
    default: return lp_factor_update_ref;
    }
}

/* ---- factorisation ------------------------------------------------------------------------------------------------ */

typedef struct trailing {
    double *t;
    int64_t k, j0, j1;
    lp_factor_update_fn *update;
} trailing;

/* Rows of about equal area: row b costs b. */
static int64_t border(int64_t n, int part, int n_parts)
{
    return (int64_t)((double)n * sqrt((double)part / (double)n_parts));
}

static void update_part(void *context, int thread, int n_threads)
{
    const trailing *x = context;
    int64_t first = border(x->j0, thread, n_threads), last = thread + 1 == n_threads ? x->j0 : border(x->j0, thread + 1, n_threads);
    if (first < last) x->update(x->t, x->k, x->j0, x->j1, first, last);
}

/* Finishes the rows [j0, j1) from the last one down. */
static bool factor_panel(double *t, int64_t k, int64_t j0, int64_t j1, lp_factor_update_fn *update)
{
    for (int64_t j = j1 - 1; j >= j0; j--) {
        double *row = t + j * k, pivot = row[j];
        if (!(pivot > 0.0) || !isfinite(pivot)) return false;
        double root = sqrt(pivot);
        for (int64_t i = 0; i < j; i++) row[i] /= root;
        row[j] = root;
        update(t, k, j, j + 1, j0, j);
    }
    return true;
}

bool lp_factor_f64(const double *h, int64_t k, const int64_t *order, double added, lp_pool *pool, double *lower)
{
    double *t = lower;
    for (int64_t i = 0; i < k; i++) {
        int64_t a = order[i];
        for (int64_t j = 0; j <= i; j++) {
            int64_t b = order[j];
            t[i * k + j] = a >= b ? h[a * k + b] : h[b * k + a];
        }
        t[i * k + i] += added;
    }
    lp_factor_update_fn *update = update_function();
    double least = 0.0; /* a pivot that lost all its digits is none */
    for (int64_t i = 0; i < k; i++) least = fmax(least, t[i * k + i]);
    least *= 1e-15;
    for (int64_t j1 = k; j1 > 0; j1 -= PANEL) {
        int64_t j0 = j1 > PANEL ? j1 - PANEL : 0;
        if (!factor_panel(t, k, j0, j1, update)) return false;
        for (int64_t j = j0; j < j1; j++)
            if (t[j * k + j] * t[j * k + j] < least) return false;
        trailing x = {t, k, j0, j1, update};
        lp_pool_run(pool, update_part, &x);
    }
    return true;
}

/* ---- order, dead columns, damping --------------------------------------------------------------------------------- */

typedef struct energy {
    double value;
    int64_t column;
} energy;

static int larger_first(const void *a, const void *b)
{
    const energy *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? 1 : -1;
    return x->column < y->column ? -1 : 1;
}

static lp_status choose_order(const double *diagonal, int64_t k, bool by_energy, int64_t *order)
{
    for (int64_t i = 0; i < k; i++) order[i] = i;
    if (!by_energy) return LP_OK;
    energy *e = malloc((size_t)k * sizeof *e);
    if (!e) return lp_fail_memory((size_t)k * sizeof *e, "the order of columns");
    for (int64_t i = 0; i < k; i++) e[i] = (energy){diagonal[i], i};
    qsort(e, (size_t)k, sizeof *e, larger_first);
    for (int64_t i = 0; i < k; i++) order[i] = e[i].column;
    free(e);
    return LP_OK;
}

/* Checks h and returns the mean of its diagonal in *mean, dead columns left out. */
static lp_status check_moments(const double *h, int64_t k, double *mean, int64_t *n_dead)
{
    double sum = 0.0;
    *n_dead = 0;
    for (int64_t i = 0; i < k; i++) {
        for (int64_t j = 0; j <= i; j++)
            if (!isfinite(h[i * k + j]))
                return lp_fail(LP_CHECK, "the second moment of channels %" PRId64 " and %" PRId64 " is not finite", i, j);
        double d = h[i * k + i];
        if (d < 0.0) return lp_fail(LP_CHECK, "the mean square of channel %" PRId64 " is negative (%g)", i, d);
        if (d == 0.0) ++*n_dead;
        sum += d;
    }
    int64_t alive = k - *n_dead;
    *mean = alive > 0 ? sum / (double)alive : 1.0;
    return LP_OK;
}

/* R as float32 rows: the sweep reads along a row. */
static void transpose(const double *lower, int64_t k, float *r)
{
    enum { TILE = 32 };
    memset(r, 0, (size_t)k * (size_t)k * sizeof *r);
    for (int64_t j0 = 0; j0 < k; j0 += TILE)
        for (int64_t i0 = 0; i0 <= j0; i0 += TILE)
            for (int64_t j = j0; j < j0 + TILE && j < k; j++)
                for (int64_t i = i0; i < i0 + TILE && i <= j; i++) r[i * k + j] = (float)lower[j * k + i];
}

static lp_status factor_with(const double *h, double damp, double mean, lp_pool *pool, lp_factor *f, double *work)
{
    int64_t k = f->k;
    bool done = false;
    for (int attempt = 0; attempt < 4 && !done; attempt++) {
        f->damp = attempt == 0 ? damp : fmax(damp, 0.01) * (double)(1 << attempt);
        done = lp_factor_f64(h, k, f->order, f->damp * mean, pool, work);
    }
    if (done) {
        transpose(work, k, f->r);
        return LP_OK;
    }
    f->failed = true;
    memset(f->r, 0, (size_t)k * (size_t)k * sizeof *f->r);
    for (int64_t i = 0; i < k; i++) f->r[i * k + i] = (float)sqrt(f->diagonal[i] + damp * mean);
    return LP_OK;
}

lp_status lp_factor_create(const double *h, int64_t k, double damp, bool by_energy, lp_pool *pool, lp_factor *out)
{
    memset(out, 0, sizeof *out);
    lp_factor *f = out;
    f->k = k;
    double mean = 0;
    LP_TRY(check_moments(h, k, &mean, &f->n_dead));
    size_t n, n_bytes;
    if (!lp_mul_size((size_t)k, (size_t)k, &n) || !lp_mul_size(n, sizeof(double), &n_bytes)) return lp_fail_memory(SIZE_MAX, "a factor");
    double *work = lp_aligned_alloc(2 * n_bytes), *copy = work + n;
    f->r = lp_aligned_alloc(n * sizeof *f->r);
    f->order = malloc((size_t)k * sizeof *f->order);
    f->diagonal = malloc((size_t)k * sizeof *f->diagonal);
    lp_status status = LP_OK;
    if (!work || !f->r || !f->order || !f->diagonal) {
        status = lp_fail_memory(2 * n_bytes, "a factor of second moments");
    } else {
        memcpy(copy, h, n_bytes);
        for (int64_t i = 0; i < k; i++) /* a dead column's products are zero: alone, it rounds to nearest */
            if (copy[i * k + i] == 0.0) copy[i * k + i] = mean;
        for (int64_t i = 0; i < k; i++) f->diagonal[i] = copy[i * k + i];
        status = choose_order(f->diagonal, k, by_energy, f->order);
        if (status == LP_OK) {
            for (int64_t i = 0; i < k; i++) f->diagonal[i] = copy[f->order[i] * k + f->order[i]];
            status = factor_with(copy, damp, mean, pool, f, work);
        }
    }
    lp_aligned_free(work);
    if (status != LP_OK) lp_factor_free(f);
    return status;
}

void lp_factor_free(lp_factor *factor)
{
    lp_aligned_free(factor->r);
    free(factor->order);
    free(factor->diagonal);
    memset(factor, 0, sizeof *factor);
}
