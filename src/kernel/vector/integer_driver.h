/* Second part of the template integer.h: the instances of every class, and linear_i8. */

static tokens prepare_tokens(const lp_weight *w, const void *act, int64_t first, int n, void *scratch)
{
    const lp_unit_class *c = w->units;
    int64_t units = w->cols / c->unit;
    int32_t factor = CENTRED && (c->table || c->code_bits == 8) ? 0 : -c->zero;
    lp_act_row row = lp_act_row_at((void *)(uintptr_t)act, w->cols, first);
    int32_t *start = lp_panel_start(scratch, w->cols);
    tokens t;
    t.stride = lp_act_row_bytes(w->cols);
    t.code = (const uint8_t *)row.code;
    t.scale = (const uint8_t *)row.scale;
    t.h = (const uint8_t *)(c->unit == 16 ? row.h16 : row.h32);
    t.start = (const uint8_t *)start;
    for (int i = 0; i < n; i++, start += t.stride / 4) {
        row = lp_act_row_at((void *)(uintptr_t)act, w->cols, first + i);
        const int32_t *sum = c->unit == 16 ? row.sum16 : row.sum32;
        for (int64_t u = 0; u < units; u++) start[u] = factor * sum[u];
    }
    return t;
}

/* y = chain of fmaf(o_u, h_u, y) over ascending units: the main sums are added to it later. */
INLINE void offset_sums(const lp_panel *panel, int64_t units, int n_tokens, tokens t, output out)
{
    v16 z[BLOCK_TOKENS];
    const uint8_t *h = t.h, *h3 = t.h + 3 * t.stride;
    UNROLL for (int m = 0; m < n_tokens; m++) z[m] = v16_set1(0);
    for (int64_t u = 0; u < units; u++, h += 4, h3 += 4) {
        v16 o = v16_load(panel->offset + LP_TILE_ROWS * u);
        UNROLL for (int m = 0; m < n_tokens; m++) {
            float x;
            memcpy(&x, at_token(h, h3, t.stride, m), 4);
            z[m] = v16_fma(o, v16_set1(x), z[m]);
        }
    }
    UNROLL for (int m = 0; m < n_tokens; m++) {
        if (out.rows < LP_TILE_ROWS) v16_store_n(out.y + m * out.ldy, z[m], out.rows);
        else v16_store(out.y + m * out.ldy, z[m]);
    }
}

/* y = sum, or y + sum where y holds the offsets' part. */
INLINE void put_sum(float *y, v16 sum, bool has_offset, int64_t rows)
{
    if (rows >= LP_TILE_ROWS) v16_store(y, has_offset ? v16_add(sum, v16_load(y)) : sum);
    else if (rows > 0) v16_store_n(y, has_offset ? v16_add(sum, v16_load_n(y, rows)) : sum, rows);
}

INLINE void multiply_and_put(shape s, int n_tiles, int n_tokens, const lp_panel *panel, int64_t cols, tokens t,
                             bool has_offset, output out)
{
    v16 sum[PANEL_TILES][BLOCK_TOKENS];
    multiply(s, n_tiles, n_tokens, panel, cols, t, sum);
    UNROLL for (int i = 0; i < n_tiles; i++)
        UNROLL for (int m = 0; m < n_tokens; m++)
            put_sum(out.y + m * out.ldy + LP_TILE_ROWS * i, sum[i][m], has_offset, out.rows - LP_TILE_ROWS * i);
}

INLINE void fused_and_put(shape s, int n_tokens, const lp_unit_class *units, const uint8_t *tile, int64_t cols, tokens t,
                          output out)
{
    v16 sum[FUSED_TOKENS], offset[FUSED_TOKENS];
    fused_tile(s, n_tokens, units, tile, cols, t, sum, offset);
    UNROLL for (int m = 0; m < n_tokens; m++)
        put_sum(out.y + m * out.ldy, s.offset == LP_OFFSET_KIND_NONE ? sum[m] : v16_add(sum[m], offset[m]), false, out.rows);
}

/* ---- instances ------------------------------------------------------------------------------------------------------ */

typedef void offsets_function(const lp_panel *panel, int64_t units, tokens t, output out);
typedef void multiply_function(const lp_panel *panel, int64_t cols, tokens t, bool has_offset, output out);
typedef void fused_function(const lp_unit_class *units, const uint8_t *tile, int64_t cols, int n_tokens, tokens t, output out);
typedef void unpack_function(const lp_unit_class *units, const uint8_t *tile, int64_t cols, lp_panel *panel);

#define OFFSETS(n)                                                                        \
    static void offsets_##n(const lp_panel *panel, int64_t units, tokens t, output out)   \
    {                                                                                     \
        offset_sums(panel, units, n, t, out);                                             \
    }
OFFSETS(1)
OFFSETS(2)
OFFSETS(3)
OFFSETS(4)
OFFSETS(5)
OFFSETS(6)
static offsets_function *const offsets_functions[BLOCK_TOKENS] = {offsets_1, offsets_2, offsets_3,
                                                                  offsets_4, offsets_5, offsets_6};

#define MULTIPLY(name, bits, table, unit, tiles, n)                                                                   \
    static __attribute__((noinline)) void multiply_##name##_##tiles##_##n(const lp_panel *panel, int64_t cols,        \
                                                                          tokens t, bool has_offset, output out)      \
    {                                                                                                                 \
        const shape s = {bits, table, unit, LP_TILE_SCALE_F16, LP_OFFSET_KIND_NONE};                                  \
        multiply_and_put(s, tiles, n, panel, cols, t, has_offset, out);                                               \
    }
#define MULTIPLY_TOKENS(name, bits, table, unit, tiles)                                                         \
    MULTIPLY(name, bits, table, unit, tiles, 1) MULTIPLY(name, bits, table, unit, tiles, 2)                     \
    MULTIPLY(name, bits, table, unit, tiles, 3) MULTIPLY(name, bits, table, unit, tiles, 4)                     \
    MULTIPLY(name, bits, table, unit, tiles, 5) MULTIPLY(name, bits, table, unit, tiles, 6)
#define MULTIPLY_ROW(name, tiles)                                                                               \
    {multiply_##name##_##tiles##_1, multiply_##name##_##tiles##_2, multiply_##name##_##tiles##_3,               \
     multiply_##name##_##tiles##_4, multiply_##name##_##tiles##_5, multiply_##name##_##tiles##_6},
#if PANEL_TILES == 2
#define KIND(name, bits, table, unit) \
    MULTIPLY_TOKENS(name, bits, table, unit, 1) MULTIPLY_TOKENS(name, bits, table, unit, 2)
#define KIND_ROW(name, bits, table, unit) {MULTIPLY_ROW(name, 1) MULTIPLY_ROW(name, 2)},
#else
#define KIND(name, bits, table, unit) MULTIPLY_TOKENS(name, bits, table, unit, 1)
#define KIND_ROW(name, bits, table, unit) {MULTIPLY_ROW(name, 1)},
#endif
KINDS(KIND)
/* [kind][tiles - 1][tokens - 1] */
static multiply_function *const multiply_functions[][PANEL_TILES][BLOCK_TOKENS] = {KINDS(KIND_ROW)};

#define CLASS(name, bits, table, unit, scale, offset)                                                               \
    static void fused_##name(const lp_unit_class *units, const uint8_t *tile, int64_t cols, int n_tokens, tokens t, \
                             output out)                                                                            \
    {                                                                                                               \
        const shape s = {bits, table, unit, LP_TILE_SCALE_##scale, LP_OFFSET_KIND_##offset};                        \
        if (n_tokens == 1) fused_and_put(s, 1, units, tile, cols, t, out);                                          \
        else if (n_tokens == 2) fused_and_put(s, 2, units, tile, cols, t, out);                                     \
        else fused_and_put(s, 3, units, tile, cols, t, out);                                                        \
    }                                                                                                               \
    static void unpack_##name(const lp_unit_class *units, const uint8_t *tile, int64_t cols, lp_panel *panel)       \
    {                                                                                                               \
        const shape s = {bits, table, unit, LP_TILE_SCALE_##scale, LP_OFFSET_KIND_##offset};                        \
        unpack_tile(s, units, tile, cols, *panel);                                                                  \
    }
#include "kernel/classes.h"
#undef CLASS

typedef struct class_row {
    shape shape;
    fused_function *fused;
    unpack_function *unpack;
} class_row;

#define CLASS(name, bits, table, unit, scale, offset) \
    {{bits, table, unit, LP_TILE_SCALE_##scale, LP_OFFSET_KIND_##offset}, fused_##name, unpack_##name},
static const class_row classes[] = {
#include "kernel/classes.h"
};
#undef CLASS

static const class_row *find_class(const lp_unit_class *c)
{
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        const shape *s = &classes[i].shape;
        if (s->bits == c->code_bits && s->table == (c->table != NULL) && s->unit == c->unit &&
            s->scale == lp_tile_scale_of(c) && s->offset == c->offset)
            return &classes[i];
    }
    return NULL;
}

/* ---- the loop over tiles and tokens ---------------------------------------------------------------------------------- */

static void linear_matrix(const lp_weight *w, unpack_function *unpack, int64_t tile0, int64_t tile1, const void *act,
                          int64_t n, float *y, int64_t ldy, void *scratch)
{
    const bool has_offset = w->units->offset != LP_OFFSET_KIND_NONE;
    const int kind = kind_of(w->units);
    lp_panel panel[PANEL_TILES];
    for (int i = 0; i < PANEL_TILES; i++) panel[i] = lp_panel_at(scratch, w->cols, i);
    for (int64_t tile = tile0; tile < tile1; tile += PANEL_TILES) {
        int n_tiles = tile1 - tile < PANEL_TILES ? 1 : PANEL_TILES;
        for (int i = 0; i < n_tiles; i++)
            unpack(w->units, w->tiles + (size_t)(tile + i) * w->tile_bytes, w->cols, &panel[i]);
        for (int64_t m = 0; m < n;) {
            int block = tokens_of_block(n - m);
            tokens t = prepare_tokens(w, act, m, block, scratch);
            output out = {y + m * ldy + tile * LP_TILE_ROWS, ldy, w->rows - tile * LP_TILE_ROWS};
            for (int i = 0; i < n_tiles && has_offset; i++) {
                output part = {out.y + LP_TILE_ROWS * i, ldy, out.rows - LP_TILE_ROWS * i};
                offsets_functions[block - 1](&panel[i], w->cols / w->units->unit, t, part);
            }
            multiply_functions[kind][n_tiles - 1][block - 1](panel, w->cols, t, has_offset, out);
            m += block;
        }
    }
}

static void linear_i8(const lp_weight *w, int64_t tile0, int64_t tile1, const void *act, int64_t n, float *y, int64_t ldy,
                      void *scratch)
{
    const class_row *c = find_class(w->units);
    if (n <= 0) return;
    if (n > FUSED_TOKENS || !c) {
        linear_matrix(w, c ? c->unpack : unpack_any, tile0, tile1, act, n, y, ldy, scratch);
        return;
    }
    tokens t = prepare_tokens(w, act, 0, (int)n, scratch);
    for (int64_t tile = tile0; tile < tile1; tile++) {
        output out = {y + tile * LP_TILE_ROWS, ldy, w->rows - tile * LP_TILE_ROWS};
        c->fused(w->units, w->tiles + (size_t)tile * w->tile_bytes, w->cols, (int)n, t, out);
    }
}
