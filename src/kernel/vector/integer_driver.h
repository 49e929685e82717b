/* Second part of the template integer.h: the instances of every class, and linear_i8. */

/* n <= LP_BATCH_TOKENS rows of the activations from `first` on. */
static tokens prepare_tokens(const lp_weight *w, const void *act, int64_t first, int64_t n, void *scratch)
{
    const lp_unit_class *c = w->units;
    const int64_t units = w->cols / c->unit;
    int32_t factor = CENTRED && (c->table || c->code_bits == 8) ? 0 : -c->zero;
    lp_act_row row = lp_act_row_at((void *)(uintptr_t)act, w->cols, first);
    int32_t *start = lp_scratch_sums(scratch, w->cols);
    tokens t = {(const uint8_t *)row.code, (const uint8_t *)row.scale, (const uint8_t *)(c->unit == 16 ? row.h16 : row.h32),
                (const uint8_t *)start, lp_act_row_bytes(w->cols), (size_t)units * sizeof *start};
    for (int64_t i = 0; i < n; i++, start += units) {
        row = lp_act_row_at((void *)(uintptr_t)act, w->cols, first + i);
        const int32_t *sum = c->unit == 16 ? row.sum16 : row.sum32;
        for (int64_t u = 0; u < units; u++) start[u] = factor * sum[u];
    }
    return t;
}

/* From row n and chunk `chunk` on. */
INLINE tokens skip_tokens(const tokens *all, int64_t n, int64_t chunk, int units_per_chunk)
{
    tokens t = *all;
    size_t rows = t.stride * (size_t)n, units = (size_t)(chunk * units_per_chunk) * 4;
    t.code += rows + (size_t)chunk * LP_CHUNK;
    t.scale += rows + (size_t)chunk * 4;
    t.h += rows + units;
    t.start += t.start_stride * (size_t)n + units;
    return t;
}

/* y = sum, or y + sum. */
INLINE void put_sum(float *y, v16 sum, bool add_to_y, int64_t rows)
{
    if (rows >= LP_TILE_ROWS) v16_store(y, add_to_y ? v16_add(v16_load(y), sum) : sum);
    else if (rows > 0) v16_store_n(y, add_to_y ? v16_add(v16_load_n(y, rows), sum) : sum, rows);
}

/* Adds the chains of fmaf(o_u, h_u, z) over ascending units to y; tile i has its offsets i * stride further on. */
INLINE void add_offset_sums(int n_tiles, int n_tokens, const float *offset, int64_t stride, int64_t units, const tokens *t,
                            const output *out)
{
    v16 z[PANEL_TILES][BLOCK_TOKENS];
    const uint8_t *h = t->h, *h3 = t->h + 3 * t->stride;
    UNROLL for (int i = 0; i < n_tiles; i++)
        UNROLL for (int m = 0; m < n_tokens; m++) z[i][m] = v16_set1(0);
    for (int64_t u = 0; u < units; u++, h += 4, h3 += 4, offset += LP_TILE_ROWS) {
        v16 o[PANEL_TILES];
        UNROLL for (int i = 0; i < n_tiles; i++) o[i] = v16_load(offset + i * stride);
        UNROLL for (int m = 0; m < n_tokens; m++) {
            float x;
            memcpy(&x, at_token(h, h3, t->stride, m), 4);
            UNROLL for (int i = 0; i < n_tiles; i++) z[i][m] = v16_fma(o[i], v16_set1(x), z[i][m]);
        }
    }
    UNROLL for (int i = 0; i < n_tiles; i++)
        UNROLL for (int m = 0; m < n_tokens; m++)
            put_sum(out->y + m * out->ldy + LP_TILE_ROWS * i, z[i][m], true, out->rows - LP_TILE_ROWS * i);
}

/* Times the scale of the row, where there is one. */
INLINE v16 times_row(const output *out, int tile, v16 sum)
{
    if (!out->row_scale) return sum;
    return v16_mul(sum, v16_load((const float *)(const void *)(out->row_scale + out->row_scale_stride * (size_t)tile)));
}

/* The chains go on from y unless the panels are of the first columns. */
INLINE void multiply_and_put(shape s, int n_tiles, int n_tokens, const lp_panel *panel, int64_t n_chunks, const tokens *t,
                             bool is_first, const output *out)
{
    v16 sum[PANEL_TILES][BLOCK_TOKENS];
    UNROLL for (int i = 0; i < n_tiles; i++)
        UNROLL for (int m = 0; m < n_tokens; m++) {
            const float *y = out->y + m * out->ldy + LP_TILE_ROWS * i;
            int64_t rows = out->rows - LP_TILE_ROWS * i;
            sum[i][m] = is_first ? v16_set1(0) : rows >= LP_TILE_ROWS ? v16_load(y) : v16_load_n(y, rows);
        }
    multiply(s, n_tiles, n_tokens, panel, n_chunks, *t, sum);
    UNROLL for (int i = 0; i < n_tiles; i++)
        UNROLL for (int m = 0; m < n_tokens; m++)
            put_sum(out->y + m * out->ldy + LP_TILE_ROWS * i, times_row(out, i, sum[i][m]), false, out->rows - LP_TILE_ROWS * i);
}

INLINE void fused_and_put(shape s, int n_tokens, const lp_unit_class *units, const uint8_t *tile, int64_t cols,
                          const tokens *t, const output *out)
{
    v16 sum[BLOCK_TOKENS], offset[BLOCK_TOKENS];
    fused_tile(s, n_tokens, units, tile, cols, *t, sum, offset);
    UNROLL for (int m = 0; m < n_tokens; m++)
        put_sum(out->y + m * out->ldy, s.offset == LP_OFFSET_KIND_NONE ? times_row(out, 0, sum[m]) : v16_add(sum[m], offset[m]),
                false, out->rows);
}

/* All offsets of a tile, if its class has any. */
INLINE void unpack_offsets(shape s, const uint8_t *tile, int64_t cols, float *offset)
{
    const lp_tile_layout l = lp_tile_layout_make(s.bits, s.unit, s.scale, s.offset);
    if (s.offset == LP_OFFSET_KIND_NONE) return;
    for (int64_t chunk = 0, chunks = cols / LP_CHUNK; chunk < chunks;) {
        int64_t n = chunks - chunk < l.group_chunks ? chunks - chunk : l.group_chunks;
        header h = load_header(s, tile);
        walk p = enter_group(&l, tile, n);
        for (int64_t end = chunk + n; chunk < end; chunk++, next_chunk(&l, &p))
            UNROLL for (int u = 0; u < LP_CHUNK / s.unit; u++, offset += LP_TILE_ROWS)
                v16_store(offset, unit_offset(s, h, p.scale, p.offset, u));
        tile = p.code;
    }
}

/* Chunks [first_chunk, first_chunk + n_chunks) of a tile; first_chunk is the first of its group. */
INLINE void unpack_columns(shape s, const lp_unit_class *units, const uint8_t *tile, int64_t cols, int64_t first_chunk,
                           int64_t n_chunks, lp_panel panel)
{
    const lp_tile_layout l = lp_tile_layout_make(s.bits, s.unit, s.scale, s.offset);
    const int per_chunk = LP_CHUNK / s.unit;
    const int64_t chunks = cols / LP_CHUNK, end = first_chunk + n_chunks;
    tile += (size_t)(first_chunk / l.group_chunks) * lp_tile_group_bytes(&l, l.group_chunks);
    for (int64_t chunk = first_chunk; chunk < end;) {
        int64_t n = chunks - chunk < l.group_chunks ? chunks - chunk : l.group_chunks;
        header h = load_header(s, tile);
        walk p = enter_group(&l, tile, n);
        for (int64_t stop = chunk + n; chunk < stop; chunk++, next_chunk(&l, &p)) {
            unpack_codes_to(s, units, p.code, panel.code);
            UNROLL for (int u = 0; u < per_chunk; u++) v16_store(panel.scale + LP_TILE_ROWS * u, unit_scale(s, h, p.scale, u));
            next_chunk_of_panel(&panel, per_chunk);
        }
        tile = p.code;
    }
}

/* ---- instances ------------------------------------------------------------------------------------------------------ */

typedef void offsets_function(const float *offset, int64_t stride, int64_t units, const tokens *t, const output *out);
typedef void multiply_function(const lp_panel *panel, int64_t n_chunks, const tokens *t, bool is_first, const output *out);
typedef void fused_function(const lp_unit_class *units, const uint8_t *tile, int64_t cols, int n_tokens, const tokens *t, const output *out);
typedef void unpack_function(const lp_unit_class *units, const uint8_t *tile, int64_t cols, int64_t first_chunk,
                             int64_t n_chunks, lp_panel *panel);
typedef void unpack_offsets_function(const lp_unit_class *units, const uint8_t *tile, int64_t cols, float *offset);

#define OFFSETS(tiles, n)                                                                                              \
    static void add_offsets_##tiles##_##n(const float *offset, int64_t stride, int64_t units, const tokens *t, const output *out)    \
    {                                                                                                                  \
        add_offset_sums(tiles, n, offset, stride, units, t, out);                                                      \
    }
#define OFFSETS_TOKENS(tiles) \
    OFFSETS(tiles, 1) OFFSETS(tiles, 2) OFFSETS(tiles, 3) OFFSETS(tiles, 4) OFFSETS(tiles, 5) OFFSETS(tiles, 6)
#define OFFSETS_ROW(tiles)                                                                                             \
    {add_offsets_##tiles##_1, add_offsets_##tiles##_2, add_offsets_##tiles##_3, add_offsets_##tiles##_4,               \
     add_offsets_##tiles##_5, add_offsets_##tiles##_6},
OFFSETS_TOKENS(1)
#if PANEL_TILES == 2
OFFSETS_TOKENS(2)
static offsets_function *const offsets_functions[PANEL_TILES][BLOCK_TOKENS] = {OFFSETS_ROW(1) OFFSETS_ROW(2)};
#else
static offsets_function *const offsets_functions[PANEL_TILES][BLOCK_TOKENS] = {OFFSETS_ROW(1)};
#endif

#define MULTIPLY(name, bits, table, unit, scale, tiles, n)                                                            \
    static __attribute__((noinline)) void multiply_##name##_##tiles##_##n(const lp_panel *panel, int64_t n_chunks,    \
                                                                          const tokens *t, bool is_first, const output *out)        \
    {                                                                                                                 \
        const shape s = {bits, table, unit, LP_SCALE_##scale, LP_OFFSET_KIND_NONE};                                   \
        multiply_and_put(s, tiles, n, panel, n_chunks, t, is_first, out);                                             \
    }
#define MULTIPLY_TOKENS(name, bits, table, unit, scale, tiles)                                                  \
    MULTIPLY(name, bits, table, unit, scale, tiles, 1) MULTIPLY(name, bits, table, unit, scale, tiles, 2)       \
    MULTIPLY(name, bits, table, unit, scale, tiles, 3) MULTIPLY(name, bits, table, unit, scale, tiles, 4)       \
    MULTIPLY(name, bits, table, unit, scale, tiles, 5) MULTIPLY(name, bits, table, unit, scale, tiles, 6)
#define MULTIPLY_ROW(name, tiles)                                                                               \
    {multiply_##name##_##tiles##_1, multiply_##name##_##tiles##_2, multiply_##name##_##tiles##_3,               \
     multiply_##name##_##tiles##_4, multiply_##name##_##tiles##_5, multiply_##name##_##tiles##_6},
#if PANEL_TILES == 2
#define KIND(name, bits, table, unit, scale) \
    MULTIPLY_TOKENS(name, bits, table, unit, scale, 1) MULTIPLY_TOKENS(name, bits, table, unit, scale, 2)
#define KIND_ROW(name, bits, table, unit, scale) {MULTIPLY_ROW(name, 1) MULTIPLY_ROW(name, 2)},
#else
#define KIND(name, bits, table, unit, scale) MULTIPLY_TOKENS(name, bits, table, unit, scale, 1)
#define KIND_ROW(name, bits, table, unit, scale) {MULTIPLY_ROW(name, 1)},
#endif
KINDS(KIND)
/* [kind][tiles - 1][tokens - 1] */
static multiply_function *const multiply_functions[][PANEL_TILES][BLOCK_TOKENS] = {KINDS(KIND_ROW)};

#if FUSED_TOKENS > 3
#define FUSED_MORE                                                      \
    else if (n_tokens == 4) fused_and_put(s, 4, units, tile, cols, t, out); \
    else if (n_tokens == 5) fused_and_put(s, 5, units, tile, cols, t, out); \
    else if (n_tokens == 6) fused_and_put(s, 6, units, tile, cols, t, out);
#else
#define FUSED_MORE
#endif
#define CLASS(name, bits, table, unit, scale, offset)                                                               \
    static void fused_##name(const lp_unit_class *units, const uint8_t *tile, int64_t cols, int n_tokens, const tokens *t, \
                             const output *out)                                                                            \
    {                                                                                                               \
        const shape s = {bits, table, unit, LP_SCALE_##scale, LP_OFFSET_KIND_##offset};                        \
        if (n_tokens == 1) fused_and_put(s, 1, units, tile, cols, t, out);                                          \
        else if (n_tokens == 2) fused_and_put(s, 2, units, tile, cols, t, out);                                     \
        else if (n_tokens == 3) fused_and_put(s, 3, units, tile, cols, t, out);                                     \
        FUSED_MORE                                                                                                  \
    }                                                                                                               \
    static void unpack_##name(const lp_unit_class *units, const uint8_t *tile, int64_t cols, int64_t first_chunk,   \
                              int64_t n_chunks, lp_panel *panel)                                                    \
    {                                                                                                               \
        const shape s = {bits, table, unit, LP_SCALE_##scale, LP_OFFSET_KIND_##offset};                        \
        unpack_columns(s, units, tile, cols, first_chunk, n_chunks, *panel);                                        \
    }                                                                                                               \
    static void unpack_offsets_##name(const lp_unit_class *units, const uint8_t *tile, int64_t cols, float *out)    \
    {                                                                                                               \
        const shape s = {bits, table, unit, LP_SCALE_##scale, LP_OFFSET_KIND_##offset};                        \
        (void)units;                                                                                                \
        unpack_offsets(s, tile, cols, out);                                                                         \
    }
#include "kernel/classes.h"
#undef CLASS

typedef struct class_row {
    shape shape;
    fused_function *fused;
    unpack_function *unpack;
    unpack_offsets_function *unpack_offsets;
} class_row;

#define CLASS(name, bits, table, unit, scale, offset) \
    {{bits, table, unit, LP_SCALE_##scale, LP_OFFSET_KIND_##offset}, fused_##name, unpack_##name, \
     unpack_offsets_##name},
static const class_row classes[] = {
#include "kernel/classes.h"
};
#undef CLASS

/* A class without kernels of its own: portable, then centred where its kind wants it. */
static void unpack_any(const lp_unit_class *units, const uint8_t *tile, int64_t cols, int64_t first_chunk, int64_t n_chunks,
                       lp_panel *panel)
{
    lp_tile_unpack(units, tile, cols, first_chunk, n_chunks, panel);
    if (CENTRED && (units->table || units->code_bits == 8))
        for (int64_t i = 0; i < n_chunks * LP_CHUNK * LP_TILE_ROWS; i++)
            panel->code[i] = (uint8_t)(panel->code[i] - units->zero);
}
static const class_row any_class = {{0, false, 0, LP_SCALE_F16, LP_OFFSET_KIND_NONE}, NULL, unpack_any,
                                    lp_tile_unpack_offsets};

static const class_row *find_class(const lp_unit_class *c)
{
    for (size_t i = 0; i < sizeof classes / sizeof *classes; i++) {
        const shape *s = &classes[i].shape;
        if (s->bits == c->code_bits && s->table == (c->table != NULL) && s->unit == c->unit &&
            s->scale == c->scale && s->offset == c->offset)
            return &classes[i];
    }
    return &any_class;
}

/* ---- the loops over tiles and tokens --------------------------------------------------------------------------------- */

/* A call's weights and the rows of activations at hand: n <= LP_BATCH_TOKENS, y of the first of them. */
typedef struct batch {
    const lp_weight *w;
    const class_row *c;
    int64_t tile0, tile1;
    tokens t;
    int64_t n;
    float *y;
    int64_t ldy;
    void *scratch;
} batch;

static const uint8_t *tile_at(const batch *b, int64_t tile) { return b->w->tiles + (size_t)tile * b->w->tile_bytes; }

static output output_at(const batch *b, int64_t tile, int64_t m)
{
    output out = {b->y + m * b->ldy + tile * LP_TILE_ROWS, b->ldy, b->w->rows - tile * LP_TILE_ROWS, NULL, b->w->tile_bytes};
    if (b->w->units->row_scale) out.row_scale = (const uint8_t *)lp_tile_row_scales(tile_at(b, tile), b->w->tile_bytes);
    return out;
}

static void linear_fused(const batch *b)
{
    for (int64_t tile = b->tile0; tile < b->tile1; tile++)
        for (int64_t m = 0; m < b->n;) {
            const int block = tokens_of_block(b->n - m);
            const tokens t = skip_tokens(&b->t, m, 0, 0);
            const output out = output_at(b, tile, m);
            b->c->fused(b->w->units, tile_at(b, tile), b->w->cols, block, &t, &out);
            m += block;
        }
}

/* Panels in the nearest cache serve all rows of the batch; y waits in memory between blocks of columns. */
static void linear_panels(const batch *b)
{
    const int kind = kind_of(b->w->units), per_chunk = LP_CHUNK / b->w->units->unit;
    const int64_t chunks = b->w->cols / LP_CHUNK, most = LP_PANEL_COLS / LP_CHUNK;
    lp_panel panel[PANEL_TILES];
    for (int i = 0; i < PANEL_TILES; i++) panel[i] = lp_scratch_panel(b->scratch, i);
    for (int64_t tile = b->tile0; tile < b->tile1; tile += PANEL_TILES) {
        const int n_tiles = b->tile1 - tile < PANEL_TILES ? 1 : PANEL_TILES;
        for (int64_t chunk = 0; chunk < chunks; chunk += most) {
            const int64_t n_chunks = chunks - chunk < most ? chunks - chunk : most;
            for (int i = 0; i < n_tiles; i++)
                b->c->unpack(b->w->units, tile_at(b, tile + i), b->w->cols, chunk, n_chunks, &panel[i]);
            for (int64_t m = 0; m < b->n;) {
                const int block = tokens_of_block(b->n - m);
                const tokens t = skip_tokens(&b->t, m, chunk, per_chunk);
                output out = output_at(b, tile, m);
                if (chunk + n_chunks < chunks) out.row_scale = NULL; /* not yet finished */
                multiply_functions[kind][n_tiles - 1][block - 1](panel, n_chunks, &t, chunk == 0, &out);
                m += block;
            }
        }
    }
}

static void add_offsets(const batch *b)
{
    float *offset = lp_scratch_offsets(b->scratch, b->w->cols);
    for (int64_t tile = b->tile0; tile < b->tile1; tile += PANEL_TILES) {
        const int n_tiles = b->tile1 - tile < PANEL_TILES ? 1 : PANEL_TILES;
        for (int i = 0; i < n_tiles; i++)
            b->c->unpack_offsets(b->w->units, tile_at(b, tile + i), b->w->cols, offset + i * b->w->cols);
        for (int64_t m = 0; m < b->n;) {
            const int block = tokens_of_block(b->n - m);
            const tokens t = skip_tokens(&b->t, m, 0, 0);
            const output out = output_at(b, tile, m);
            offsets_functions[n_tiles - 1][block - 1](offset, b->w->cols, b->w->cols / b->w->units->unit, &t, &out);
            m += block;
        }
    }
}

static void linear_i8(const lp_weight *w, int64_t tile0, int64_t tile1, const void *act, int64_t n, float *y, int64_t ldy,
                      void *scratch)
{
    batch b = {.w = w, .c = find_class(w->units), .tile0 = tile0, .tile1 = tile1, .ldy = ldy, .scratch = scratch};
    for (int64_t m = 0; m < n; m += b.n) {
        b.n = n - m < LP_BATCH_TOKENS ? n - m : LP_BATCH_TOKENS;
        b.t = prepare_tokens(w, act, m, b.n, scratch);
        b.y = y + m * ldy;
        if (b.n <= FUSED_TOKENS && b.c->fused) {
            linear_fused(&b);
        } else {
            linear_panels(&b);
            if (w->units->offset != LP_OFFSET_KIND_NONE) add_offsets(&b);
        }
    }
}
