/* Timing of single products. Card: allocate/ohq. */
#include "allocate/cost.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/fail.h"
#include "kernel/kernel.h"
#include "measure/windows.h"

enum {
    LEAST_REPEATS = 9,
    MOST_REPEATS = 99,
    MOST_COPIES = 64
};
static const double ENOUGH_SECONDS = 0.03; /* of one product's repeats */
static const uint64_t MOST_BYTES = 256 << 20; /* beyond what caches hold more copies change nothing */

typedef struct product {
    lp_weight weight;
    const lp_kernels *kernels;
    size_t tile_bytes;
    int64_t n_tiles;
    uint8_t *tiles, *act, *scratch; /* tiles: [n_copies][n_tiles][tile_bytes] */
    size_t copy_bytes, scratch_bytes;
    int n_copies, copy;
    float *x, *y;
} product;

static void run_part(void *context, int thread, int n_threads)
{
    const product *p = context;
    lp_weight w = p->weight;
    int64_t first, last;
    void *scratch = p->scratch + (size_t)thread * p->scratch_bytes;
    if (p->tiles) w.tiles = p->tiles + (size_t)p->copy * p->copy_bytes;
    lp_pool_part(p->n_tiles, thread, n_threads, &first, &last);
    if (first == last) return;
    if (w.units) p->kernels->linear_i8(&w, first, last, p->act, 1, p->y, w.rows, scratch);
    else p->kernels->linear_f32(&w, first, last, p->x, w.cols, 1, p->y, w.rows, scratch);
}

static void release(product *p)
{
    lp_aligned_free(p->tiles);
    lp_aligned_free(p->act);
    lp_aligned_free(p->scratch);
    lp_aligned_free(p->x);
    lp_aligned_free(p->y);
}

static lp_status make(product *p, const lp_tensor *t, uint64_t n_bytes, int n_threads)
{
    int64_t k = t->dim[0];
    memset(p, 0, sizeof *p);
    const lp_unit_class *units = lp_packing_units(t->packing, k);
    bool repacked = units || t->packing->is_float; /* otherwise values are decoded from where they lie */
    p->kernels = lp_kernels_current();
    p->tile_bytes = repacked ? lp_weight_tile_bytes(t->packing, k) : 0;
    p->n_tiles = (lp_tensor_rows(t) + LP_TILE_ROWS - 1) / LP_TILE_ROWS;
    p->scratch_bytes = (lp_linear_scratch_bytes(k) + 63) & ~(size_t)63;
    size_t all = SIZE_MAX;
    p->n_copies = 1;
    if (repacked && lp_mul_size((size_t)p->n_tiles, p->tile_bytes, &p->copy_bytes) && p->copy_bytes) {
        uint64_t wanted = (n_bytes < MOST_BYTES ? n_bytes : MOST_BYTES) / p->copy_bytes;
        p->n_copies = wanted < 1 ? 1 : wanted > MOST_COPIES ? MOST_COPIES : (int)wanted;
        if (lp_mul_size(p->copy_bytes, (size_t)p->n_copies, &all)) p->tiles = lp_aligned_alloc(all);
    }
    p->act = lp_aligned_alloc(lp_act_row_bytes((k + 31) / 32 * 32));
    p->scratch = lp_aligned_alloc((size_t)n_threads * p->scratch_bytes);
    p->x = lp_aligned_alloc((size_t)k * sizeof(float));
    p->y = lp_aligned_alloc((size_t)p->n_tiles * LP_TILE_ROWS * sizeof(float));
    if ((repacked && !p->tiles) || !p->act || !p->scratch || !p->x || !p->y) return lp_fail_memory(all, "timing a product");
    for (int64_t i = 0; i < k; i++) p->x[i] = (float)(i * 37 % 101 - 50) / 50.0f;
    p->weight = (lp_weight){.source = t, .rows = lp_tensor_rows(t), .cols = k, .units = units,
                            .tile_bytes = p->tile_bytes};
    if (p->weight.units) {
        lp_act_row row = lp_act_row_at(p->act, k, 0);
        p->kernels->quantize_i8(p->x, k, &row);
    }
    for (int64_t i = 0; i < p->n_tiles && repacked; i++) lp_weight_pack_tile(t, i, p->tiles + (size_t)i * p->tile_bytes);
    for (int c = 1; c < p->n_copies; c++) memcpy(p->tiles + (size_t)c * p->copy_bytes, p->tiles, p->copy_bytes);
    return LP_OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

lp_status lp_cost_measure(const lp_tensor *tensor, uint64_t n_bytes, lp_pool *pool, double *ns)
{
    product p;
    double seconds[MOST_REPEATS], spent = 0;
    int n = 0;
    lp_status status = make(&p, tensor, n_bytes, pool ? lp_pool_threads(pool) : 1);
    for (; status == LP_OK && n < MOST_REPEATS && (n < LEAST_REPEATS || spent < ENOUGH_SECONDS); n++) {
        int rounds = p.n_copies < 4 ? 4 : p.n_copies; /* a single product can be shorter than the clock's step */
        double start = lp_seconds();
        for (int r = 0; r < rounds; r++) {
            p.copy = r % p.n_copies;
            lp_pool_run(pool, run_part, &p);
        }
        double s = lp_seconds() - start;
        spent += s;
        seconds[n] = s / rounds;
    }
    if (status == LP_OK) {
        qsort(seconds, (size_t)n, sizeof *seconds, ascending);
        *ns = seconds[n / 2] * 1e9;
    }
    release(&p);
    return status;
}
