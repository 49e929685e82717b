/* A matrix rounded by error feedback: sixteen rows are a tile, tiles are taken by threads in turn; a tile's bytes depend on its
 * rows alone. Card: ptq/gptq.md. */
#include "quantize/solve/solve.h"

#include <lowp/isa.h>

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/fail.h"
#include "quantize/encode.h"
#include "quantize/solve/descend.h"

static lp_sweep_fn *sweep_function(void)
{
    switch (lp_isa_current()) {
#if defined(__x86_64__)
    case LP_ISA_AVX512: return lp_sweep_avx512;
    case LP_ISA_AVX2: return lp_sweep_avx2;
#endif
    default: return lp_sweep_ref;
    }
}

static lp_descend_fn *descend_function(void)
{
    switch (lp_isa_current()) {
#if defined(__x86_64__)
    case LP_ISA_AVX512: return lp_descend_avx512;
    case LP_ISA_AVX2: return lp_descend_avx2;
#endif
    default: return lp_descend_ref;
    }
}

/* ---- what a group shares ------------------------------------------------------------------------------------------ */

/* H in single precision and full, the damping that the factor needed added. */
static void take_moments(lp_solver *s, const lp_moments *m)
{
    int64_t k = s->k;
    double mean = 0.0;
    int64_t n_alive = 0;
    for (int64_t i = 0; i < k; i++) {
        mean += m->h[i * k + i];
        n_alive += m->h[i * k + i] > 0.0;
        s->importance[i] = (float)m->h[i * k + i];
    }
    mean = n_alive ? mean / (double)n_alive : 1.0;
    for (int64_t i = 0; s->h && i < k; i++) {
        for (int64_t j = 0; j <= i; j++) s->h[i * k + j] = s->h[j * k + i] = (float)m->h[i * k + j];
        double own = m->h[i * k + i] > 0.0 ? m->h[i * k + i] : mean;
        s->h[i * k + i] = (float)(own + s->factor.damp * mean);
    }
    for (int64_t i = 0; s->cross && i < k * k; i++) s->cross[i] = (float)(m->cross[i] * s->options->align);
}

/* Without feedback R is the diagonal alone. */
static void drop_feedback(lp_factor *f)
{
    memset(f->r, 0, (size_t)(f->k * f->k) * sizeof *f->r);
    for (int64_t i = 0; i < f->k; i++) f->r[i * f->k + i] = (float)sqrt(f->diagonal[i]);
}

lp_status lp_solver_create(const lp_solve_options *options, const lp_moments *moments, lp_pool *pool, lp_solver *out)
{
    memset(out, 0, sizeof *out);
    out->options = options;
    out->k = moments->k;
    size_t n = (size_t)(moments->k * moments->k) * sizeof(float);
    LP_TRY(lp_factor_create(moments->h, moments->k, options->damp, options->by_energy, pool, &out->factor));
    if (!options->feedback) drop_feedback(&out->factor);
    bool cross = moments->cross && options->align > 0.0 && !out->factor.failed && options->feedback;
    out->h = options->passes > 0 && !out->factor.failed ? lp_aligned_alloc(n) : NULL;
    out->cross = cross ? lp_aligned_alloc(n) : NULL;
    out->importance = malloc((size_t)out->k * sizeof *out->importance);
    if ((options->passes > 0 && !out->factor.failed && !out->h) || (cross && !out->cross) || !out->importance) {
        lp_solver_free(out);
        return lp_fail_memory(n, "second moments");
    }
    take_moments(out, moments);
    return LP_OK;
}

void lp_solver_free(lp_solver *solver)
{
    lp_factor_free(&solver->factor);
    lp_aligned_free(solver->h);
    lp_aligned_free(solver->cross);
    free(solver->importance);
    memset(solver, 0, sizeof *solver);
}

/* ---- tiles -------------------------------------------------------------------------------------------------------- */

/* What a thread found wrong, if anything: its text lives in that thread otherwise. */
typedef struct failure {
    lp_status status;
    int64_t tile;
    char text[512];
} failure;

typedef struct job {
    const lp_solver *solver;
    const lp_codec *codec;
    const lp_tensor *tensor;
    uint8_t *bytes;
    lp_planes planes;
    double *loss;       /* [n_tiles][LP_TILE] */
    uint8_t *scratch;   /* [n_threads][scratch_bytes] */
    size_t scratch_bytes;
    failure *failures;  /* [n_threads] */
    int64_t n_rows, n_tiles;
    atomic_llong next;  /* tile */
} job;

/* Arrays of one thread: w, s, q, y [k][LP_TILE], a row, codes, units. */
static size_t scratch_bytes(int64_t k, int unit)
{
    size_t lanes = (size_t)k * LP_TILE;
    return 4 * lanes * sizeof(float) + (((size_t)k * sizeof(float) + 63) & ~(size_t)63) + lanes + (size_t)((k + unit - 1) / unit) * sizeof(lp_unit) + 64;
}

static lp_status load_rows(const job *j, int64_t first, int n, float *w, float *row)
{
    int64_t k = j->solver->k;
    memset(w, 0, (size_t)k * LP_TILE * sizeof *w);
    for (int l = 0; l < n; l++) {
        lp_tensor_decode_row(j->tensor, first + l, row);
        for (int64_t i = 0; i < k; i++) {
            if (!isfinite(row[i]))
                return lp_fail(LP_INPUT, "row %" PRId64 ", column %" PRId64 ": the value is not finite (%g)", first + l, i, (double)row[i]);
            w[i * LP_TILE + l] = row[i];
        }
    }
    return LP_OK;
}

static lp_status do_tile(const job *j, int64_t tile, int thread)
{
    const lp_solver *s = j->solver;
    const lp_solve_options *o = s->options;
    size_t lanes = (size_t)s->k * LP_TILE;
    float *w = (float *)(void *)(j->scratch + (size_t)thread * j->scratch_bytes), *sums = w + lanes, *q = sums + lanes, *y = q + lanes;
    float *row = y + lanes;
    uint8_t *code = (uint8_t *)(row + ((s->k + 15) & ~(int64_t)15));
    int64_t first = tile * LP_TILE;
    int n = j->n_rows - first < LP_TILE ? (int)(j->n_rows - first) : LP_TILE;
    LP_TRY(load_rows(j, first, n, w, row));
    memset(sums, 0, lanes * sizeof *sums);
    lp_tile_rows rows = {.w = w, .s = sums, .q = q, .y = s->cross ? y : NULL, .code = code, .unit = (lp_unit *)(void *)(code + lanes)};
    lp_sweep sweep = {.k = s->k, .order = s->factor.order, .r = s->factor.r, .cross = s->cross, .importance = s->importance,
                      .fixed = o->fixed || o->by_energy, .reach = o->reach, .reach_b = o->reach_b, .rounds = o->rounds};
    LP_TRY(sweep_function()(&sweep, &j->codec->coder, &rows));
    if (s->h) {
        lp_descent descent = {s->k, s->h, o->passes, o->descent_reach, o->descent_reach};
        descend_function()(&descent, &j->codec->coder, &rows);
    }
    uint8_t *plane[LP_MAX_PLANES];
    for (int i = 0; i < j->planes.n; i++) plane[i] = j->bytes + j->planes.offset[i] + (size_t)first * j->planes.row_bytes[i];
    j->codec->store(j->codec, &rows, s->k, n, &j->planes, plane);
    for (int l = 0; l < LP_TILE; l++) j->loss[tile * LP_TILE + l] = l < n ? rows.loss[l] : 0.0;
    return LP_OK;
}

static void do_tiles(void *context, int thread, int n_threads)
{
    job *j = context;
    (void)n_threads;
    for (;;) {
        int64_t tile = atomic_fetch_add_explicit(&j->next, 1, memory_order_relaxed);
        if (tile >= j->n_tiles) return;
        failure *failed = &j->failures[thread];
        failed->status = do_tile(j, tile, thread);
        if (failed->status == LP_OK) continue;
        failed->tile = tile;
        snprintf(failed->text, sizeof failed->text, "%s", lp_error());
        return;
    }
}

/* The error of the first tile that has one: tiles are taken in order, so that it is the same for any number of threads. */
static lp_status check_failures(const job *j, int n_threads)
{
    const failure *first = NULL;
    for (int t = 0; t < n_threads; t++) {
        const failure *f = &j->failures[t];
        if (f->status != LP_OK && (!first || f->tile < first->tile)) first = f;
    }
    return first ? lp_fail(first->status, "%s", first->text) : LP_OK;
}

lp_status lp_solve_matrix(const lp_solver *solver, const lp_codec *codec, const lp_tensor *tensor, lp_pool *pool, uint8_t *bytes,
                          double *loss)
{
    job j = {.solver = solver, .codec = codec, .tensor = tensor, .bytes = bytes};
    int n_threads = pool ? lp_pool_threads(pool) : 1;
    size_t n_scratch = 0;
    j.n_rows = lp_tensor_rows(tensor);
    lp_packing_planes(codec->packing, solver->k, j.n_rows, &j.planes); /* fits: the caller's bytes hold it */
    LP_TRY(lp_encode_begin(codec->packing, tensor, bytes));
    j.n_tiles = (j.n_rows + LP_TILE - 1) / LP_TILE;
    j.scratch_bytes = (scratch_bytes(solver->k, codec->coder.unit) + 63) & ~(size_t)63;
    bool fits = lp_mul_size(j.scratch_bytes, (size_t)n_threads, &n_scratch);
    j.scratch = fits ? lp_aligned_alloc(n_scratch) : NULL;
    j.failures = calloc((size_t)n_threads, sizeof *j.failures);
    j.loss = calloc((size_t)j.n_tiles * LP_TILE + 1, sizeof *j.loss);
    lp_status status = LP_OK;
    if (!j.scratch || !j.failures || !j.loss) {
        status = lp_fail_memory(fits ? n_scratch : SIZE_MAX, tensor->name);
    } else {
        lp_pool_run(pool, do_tiles, &j);
        status = check_failures(&j, n_threads);
        *loss = 0.0;
        for (int64_t i = 0; i < j.n_tiles * LP_TILE; i++) *loss += j.loss[i];
    }
    lp_aligned_free(j.scratch);
    free(j.failures);
    free(j.loss);
    return status;
}
