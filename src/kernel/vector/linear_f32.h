/* Float linear layers over vectors of 16 lanes, one lane per output row: chains of fmaf over ascending k. A template: the
 * instruction set's v16.h comes first. Weights are converted as they are loaded; a register tile of several tiles of rows
 * times several tokens hides the latency of the chains. */
#include "kernel/layout.h"

enum { PREFETCH_BYTES = 1024 };

typedef enum weight_type { WEIGHT_F32, WEIGHT_F16, WEIGHT_BF16, WEIGHT_TYPES } weight_type;

INLINE v16 load_weights(weight_type type, const uint8_t *p)
{
    if (type == WEIGHT_F32) return v16_load((const float *)(const void *)p);
    return type == WEIGHT_F16 ? v16_load_f16(p) : v16_load_bf16(p);
}

/* A call's outputs: y[m*ldy + 16*i + lane] for tile i and token m. */
typedef struct output {
    float *y;
    int64_t ldy;
    int64_t rows;  /* left from the first tile on */
    bool resume;   /* the chains go on from y */
} output;

INLINE void multiply_tiles(weight_type type, int n_tiles, int n_tokens, const uint8_t *tile, size_t tile_stride,
                           int64_t n_k, const float *x, int64_t ldx, const output *out)
{
    v16 sum[4][6];
    const size_t step = type == WEIGHT_F32 ? 64 : 32;
    UNROLL for (int i = 0; i < n_tiles; i++)
        UNROLL for (int m = 0; m < n_tokens; m++) {
            int64_t rows = out->rows - 16 * i;
            const float *y = out->y + m * out->ldy + 16 * i;
            sum[i][m] = !out->resume ? v16_set1(0) : rows < 16 ? v16_load_n(y, rows) : v16_load(y);
        }
    const float *x3 = x + 3 * ldx;
    for (int64_t k = 0; k < n_k; k++, tile += step) {
        v16 w[4];
        if (n_tokens < 4) {
            UNROLL for (int i = 0; i < n_tiles; i++) prefetch(tile + tile_stride * (size_t)i + PREFETCH_BYTES);
        }
        UNROLL for (int i = 0; i < n_tiles; i++) w[i] = load_weights(type, tile + tile_stride * (size_t)i);
        UNROLL for (int m = 0; m < n_tokens; m++) {
            v16 v = v16_set1(m < 3 ? x[m * ldx + k] : x3[(m - 3) * ldx + k]);
            UNROLL for (int i = 0; i < n_tiles; i++) sum[i][m] = v16_fma(w[i], v, sum[i][m]);
        }
    }
    UNROLL for (int i = 0; i < n_tiles; i++)
        UNROLL for (int m = 0; m < n_tokens; m++) {
            int64_t rows = out->rows - 16 * i;
            float *y = out->y + m * out->ldy + 16 * i;
            if (rows < 16) v16_store_n(y, sum[i][m], rows);
            else v16_store(y, sum[i][m]);
        }
}

typedef void multiply_function(const uint8_t *tile, size_t tile_stride, int64_t n_k, const float *x, int64_t ldx,
                               const output *out);

#define MULTIPLY(type, tiles, n)                                                                                      \
    static __attribute__((noinline)) void multiply_##type##_##tiles##_##n(                                            \
        const uint8_t *tile, size_t tile_stride, int64_t n_k, const float *x, int64_t ldx, const output *out)         \
    {                                                                                                                 \
        multiply_tiles(WEIGHT_##type, tiles, n, tile, tile_stride, n_k, x, ldx, out);                                 \
    }
#define MULTIPLY_TOKENS(type, tiles)                                                                         \
    MULTIPLY(type, tiles, 1) MULTIPLY(type, tiles, 2) MULTIPLY(type, tiles, 3)                               \
    MULTIPLY(type, tiles, 4) MULTIPLY(type, tiles, 5) MULTIPLY(type, tiles, 6)
#define MULTIPLY_TYPE(type) MULTIPLY_TOKENS(type, 1) MULTIPLY_TOKENS(type, 2) MULTIPLY_TOKENS(type, 4)
MULTIPLY_TYPE(F32)
MULTIPLY_TYPE(F16)
MULTIPLY_TYPE(BF16)
#define ROW(type, tiles)                                                                                     \
    {multiply_##type##_##tiles##_1, multiply_##type##_##tiles##_2, multiply_##type##_##tiles##_3,            \
     multiply_##type##_##tiles##_4, multiply_##type##_##tiles##_5, multiply_##type##_##tiles##_6}
/* [type][log2 of tiles][tokens - 1] */
static multiply_function *const multiply_functions[WEIGHT_TYPES][3][6] = {
    {ROW(F32, 1), ROW(F32, 2), ROW(F32, 4)},
    {ROW(F16, 1), ROW(F16, 2), ROW(F16, 4)},
    {ROW(BF16, 1), ROW(BF16, 2), ROW(BF16, 4)}};

/* All tokens times n_tiles tiles (1 .. 4) at tile, n_k columns from x on. */
static void multiply_all(weight_type type, const uint8_t *tile, size_t tile_stride, int64_t n_tiles, int64_t n_k,
                         const float *x, int64_t ldx, int64_t n, const output *out)
{
    for (int64_t m = 0; m < n;) {
        int tokens = tokens_of_block(n - m);
        for (int64_t i = 0; i < n_tiles;) {
            int most = tokens == 1 ? V16_TILES_1 : tokens == 2 ? V16_TILES_2 : V16_TILES_6;
            int size = n_tiles - i >= 4 && most >= 4 ? 2 : n_tiles - i >= 2 && most >= 2 ? 1 : 0;
            output part = {out->y + m * out->ldy + 16 * i, out->ldy, out->rows - 16 * i, out->resume};
            multiply_functions[type][size][tokens - 1](tile + tile_stride * (size_t)i, tile_stride, n_k, x + m * ldx, ldx,
                                                       &part);
            i += (int64_t)1 << size;
        }
        m += tokens;
    }
}

/* Rows of the tile from the canonical bytes, columns [k, k + n_k): panel[n_k][16], float32; missing rows are zeros. */
static void decode_tile(const lp_weight *w, int64_t tile, int64_t k, int64_t n_k, float *row, float *panel)
{
    for (int64_t r = 0; r < LP_TILE_ROWS; r++) {
        int64_t at = tile * LP_TILE_ROWS + r;
        if (at < w->rows) lp_tensor_decode(w->source, at, k, n_k, row);
        for (int64_t i = 0; i < n_k; i++) panel[i * LP_TILE_ROWS + r] = at < w->rows ? row[i] : 0;
    }
}

static void linear_decoded(const lp_weight *w, int64_t tile, int64_t n_tiles, const float *x, int64_t ldx, int64_t n,
                           output out, void *scratch)
{
    int64_t most = w->cols < LP_DECODE_COLS ? w->cols : LP_DECODE_COLS;
    float *panel = (float *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63), *row = panel + LP_DECODE_TILES * LP_TILE_ROWS * most;
    for (int64_t k = 0; k < w->cols; k += most) {
        int64_t n_k = w->cols - k < most ? w->cols - k : most;
        for (int64_t i = 0; i < n_tiles; i++) decode_tile(w, tile + i, k, n_k, row, panel + i * LP_TILE_ROWS * most);
        out.resume = k > 0;
        multiply_all(WEIGHT_F32, (const uint8_t *)panel, (size_t)(LP_TILE_ROWS * most) * sizeof(float), n_tiles, n_k, x + k,
                     ldx, n, &out);
    }
}

static void linear_f32(const lp_weight *w, int64_t tile0, int64_t tile1, const float *x, int64_t ldx, int64_t n, float *y,
                       int64_t ldy, void *scratch)
{
    const lp_packing *packing = w->source->packing;
    for (int64_t tile = tile0; tile < tile1; tile += LP_DECODE_TILES) {
        int64_t n_tiles = tile1 - tile < LP_DECODE_TILES ? tile1 - tile : LP_DECODE_TILES;
        output out = {y + tile * LP_TILE_ROWS, ldy, w->rows - tile * LP_TILE_ROWS, false};
        if (!w->tiles || !packing->is_float) {
            linear_decoded(w, tile, n_tiles, x, ldx, n, out, scratch);
            continue;
        }
        weight_type type = packing->n_bytes == 4 ? WEIGHT_F32 : packing->gguf_id == 1 ? WEIGHT_F16 : WEIGHT_BF16;
        multiply_all(type, w->tiles + (size_t)tile * w->tile_bytes, w->tile_bytes, n_tiles, w->cols, x, ldx, n, &out);
    }
}
