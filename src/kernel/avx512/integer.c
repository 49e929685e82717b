/* Integer linear layers with AVX-512 VNNI: unsigned weight codes times signed activations, one 32-bit lane per output
 * row, sums started at -zero * (sum of activation codes). Card: kernels/ggml-cpu-kernels.md. */
#include <immintrin.h>
#include <string.h>

#include "kernel/avx512/avx512.h"
#include "kernel/layout.h"

/* What distinguishes two classes of units at compile time; the table's contents and the zero are data. */
typedef struct shape {
    int bits;
    bool table;
    int unit;
    lp_tile_scale scale;
    lp_offset_kind offset;
} shape;

/* gcc 12 spills the accumulators of its own intrinsic; through this it keeps them in registers. */
INLINE __m512i dot4(__m512i sum, __m512i unsigned_codes, __m512i signed_codes)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unsigned_codes), "v"(signed_codes));
    return sum;
}

INLINE __m512i load512(const void *p) { return _mm512_loadu_si512(p); }
INLINE __m512i broadcast4(const void *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return _mm512_set1_epi32(v);
}
INLINE __m512 f16x16(const uint8_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p)); }
INLINE __m512 u8x16(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}
INLINE __m512 i8x16(const uint8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

/* sum | (plane, bits from .. moved to bits to ..) & mask */
INLINE __m512i merge_field(__m512i code, __m512i plane, int from, int to, int mask)
{
    __m512i moved = from == to  ? plane
                    : from < to ? _mm512_slli_epi16(plane, (uint8_t)(to - from))
                                : _mm512_srli_epi16(plane, (uint8_t)(from - to));
    return _mm512_ternarylogic_epi32(code, moved, _mm512_set1_epi8((char)mask), 0xf8);
}

/* Groups 0 .. 7 of a chunk as bytes. */
INLINE void unpack_codes(shape s, const uint8_t *p, __m512i table, __m512i code[8])
{
    const __m512i low4 = _mm512_set1_epi8(15), low2 = _mm512_set1_epi8(3);
    if (s.bits == 8) {
        UNROLL for (int g = 0; g < 8; g++) code[g] = load512(p + 64 * g);
    } else if (s.bits >= 4) {
        UNROLL for (int v = 0; v < 4; v++) {
            __m512i q = load512(p + 64 * v);
            code[v] = _mm512_and_si512(q, low4);
            code[v + 4] = _mm512_and_si512(_mm512_srli_epi16(q, 4), low4);
        }
        if (s.table) {
            UNROLL for (int g = 0; g < 8; g++) code[g] = _mm512_shuffle_epi8(table, code[g]);
        }
        if (s.bits == 5) {
            __m512i high = load512(p + 256);
            UNROLL for (int g = 0; g < 8; g++) code[g] = merge_field(code[g], high, g, 4, 16);
        }
        if (s.bits == 6) {
            UNROLL for (int g = 0; g < 8; g++)
                code[g] = merge_field(code[g], load512(p + 256 + 64 * (g / 4)), 2 * (g % 4), 4, 48);
        }
    } else {
        UNROLL for (int g = 0; g < 8; g++) {
            __m512i q = load512(p + 64 * (g / 4));
            code[g] = _mm512_and_si512(g % 4 ? _mm512_srli_epi16(q, (uint8_t)(2 * (g % 4))) : q, low2);
        }
        if (s.bits == 3) {
            __m512i high = load512(p + 128);
            UNROLL for (int g = 0; g < 8; g++) code[g] = merge_field(code[g], high, g, 2, 4);
        }
    }
}

/* The constants of a group: d and -dmin of the 16 rows. */
typedef struct header {
    __m512 d, minus_dmin;
} header;

INLINE header load_header(shape s, const uint8_t *p)
{
    header h = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    if (s.scale >= LP_TILE_SCALE_BLOCK) h.d = f16x16(p);
    if (s.offset == LP_OFFSET_KIND_SUPER)
        h.minus_dmin = _mm512_castsi512_ps(
            _mm512_xor_si512(_mm512_castps_si512(f16x16(p + 32)), _mm512_set1_epi32((int)0x80000000u)));
    return h;
}

/* w_u and o_u of unit u of the chunk whose scales and offsets these are. */
INLINE __m512 unit_scale(shape s, header h, const uint8_t *scale, int u)
{
    switch (s.scale) {
    case LP_TILE_SCALE_F16: return f16x16(scale + 32 * u);
    case LP_TILE_SCALE_BF16:
        return _mm512_castsi512_ps(_mm512_slli_epi32(
            _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(scale + 32 * u))), 16));
    case LP_TILE_SCALE_BLOCK: return h.d;
    case LP_TILE_SCALE_SUPER: return _mm512_mul_ps(h.d, i8x16(scale + 16 * u));
    default: {
        __m512i both = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(scale + 16 * u)));
        return _mm512_mul_ps(h.d, _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(15))));
    }
    }
}

INLINE __m512 unit_offset(shape s, header h, const uint8_t *scale, const uint8_t *offset, int u)
{
    if (s.offset == LP_OFFSET_KIND_F16) return f16x16(offset + 32 * u);
    if (s.scale != LP_TILE_SCALE_SUPER4) return _mm512_mul_ps(h.minus_dmin, u8x16(offset + 16 * u));
    __m512i both = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(scale + 16 * u)));
    return _mm512_mul_ps(h.minus_dmin, _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 4)));
}

INLINE __m512i load_table(const lp_unit_class *c, shape s)
{
    return s.table ? _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)c->table))
                   : _mm512_setzero_si512();
}

/* Activation rows m .. m+5 and their start values: row i is at stride * i from row 0, in both. */
typedef struct tokens {
    const uint8_t *code;  /* int8 [cols] */
    const uint8_t *scale; /* float [cols/32] */
    const uint8_t *h;     /* float [cols/unit] */
    const uint8_t *start; /* int32 [cols/unit] */
    size_t stride;
} tokens;

static tokens prepare_tokens(const lp_weight *w, const void *act, int64_t first, int n, void *scratch)
{
    int64_t cols = w->cols, units = cols / w->units->unit;
    tokens t;
    lp_act_row row = lp_act_row_at((void *)(uintptr_t)act, cols, first);
    t.stride = lp_act_row_bytes(cols);
    t.code = (const uint8_t *)row.code;
    t.scale = (const uint8_t *)row.scale;
    t.h = (const uint8_t *)(w->units->unit == 16 ? row.h16 : row.h32);
    t.start = (const uint8_t *)lp_panel_start(scratch, cols);
    __m512i minus_zero = _mm512_set1_epi32(-w->units->zero);
    for (int i = 0; i < n; i++) {
        row = lp_act_row_at((void *)(uintptr_t)act, cols, first + i);
        const int32_t *sum = w->units->unit == 16 ? row.sum16 : row.sum32;
        int32_t *start = (int32_t *)(void *)((uint8_t *)lp_panel_start(scratch, cols) + t.stride * (size_t)i);
        for (int64_t u = 0; u < units; u += 16) {
            __mmask16 mask = lane_mask(units - u);
            _mm512_mask_storeu_epi32(start + u, mask,
                                     _mm512_mullo_epi32(_mm512_maskz_loadu_epi32(mask, sum + u), minus_zero));
        }
    }
    return t;
}

/* ---- matrix-vector: unpacked in registers, up to 3 tokens ------------------------------------------------------------ */

enum { PREFETCH_BYTES = 2048 };

INLINE void fused_tile(shape s, int n_tokens, const lp_unit_class *units, const uint8_t *p, int64_t cols, tokens t,
                       float *y, int64_t ldy, __mmask16 rows)
{
    const lp_tile_layout l = lp_tile_layout_make(s.bits, s.unit, s.scale, s.offset);
    const int per_chunk = LP_CHUNK / s.unit;
    const __m512i table = load_table(units, s);
    __m512 sum[3], offset_sum[3];
    UNROLL for (int m = 0; m < n_tokens; m++) sum[m] = offset_sum[m] = _mm512_setzero_ps();
    for (int64_t chunk = 0, chunks = cols / LP_CHUNK; chunk < chunks;) {
        int64_t n = chunks - chunk < l.group_chunks ? chunks - chunk : l.group_chunks;
        header h = load_header(s, p);
        const uint8_t *scale = p + l.header_bytes, *offset = scale + (size_t)n * l.scale_bytes;
        p = offset + (size_t)n * l.offset_bytes;
        for (int64_t end = chunk + n; chunk < end; chunk++) {
            __m512i code[8];
            UNROLL for (size_t line = 0; line <= l.code_bytes / 64; line++)
                _mm_prefetch((const char *)p + PREFETCH_BYTES + 64 * line, _MM_HINT_T0);
            unpack_codes(s, p, table, code);
            UNROLL for (int u = 0; u < per_chunk; u++) {
                __m512 w = unit_scale(s, h, scale, u);
                UNROLL for (int m = 0; m < n_tokens; m++) {
                    size_t row = t.stride * (size_t)m;
                    __m512i a = broadcast4(t.start + row + 4 * (size_t)u);
                    UNROLL for (int g = 8 / per_chunk * u; g < 8 / per_chunk * (u + 1); g++)
                        a = dot4(a, code[g], broadcast4(t.code + row + 4 * (size_t)g));
                    __m512 product = _mm512_mul_ps(w, _mm512_castsi512_ps(broadcast4(t.scale + row)));
                    sum[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a), product, sum[m]);
                    if (s.offset != LP_OFFSET_KIND_NONE)
                        offset_sum[m] = _mm512_fmadd_ps(unit_offset(s, h, scale, offset, u),
                                                        _mm512_castsi512_ps(broadcast4(t.h + row + 4 * (size_t)u)),
                                                        offset_sum[m]);
                }
            }
            p += l.code_bytes;
            scale += l.scale_bytes;
            offset += l.offset_bytes;
            t.code += LP_CHUNK;
            t.scale += 4;
            t.start += 4 * per_chunk;
            t.h += 4 * per_chunk;
        }
    }
    UNROLL for (int m = 0; m < n_tokens; m++)
        _mm512_mask_storeu_ps(y + m * ldy, rows,
                              s.offset == LP_OFFSET_KIND_NONE ? sum[m] : _mm512_add_ps(sum[m], offset_sum[m]));
}

/* ---- matrix-matrix: a panel of two tiles as bytes, a register tile of 2 x 6 ------------------------------------------- */

INLINE void unpack_tile(shape s, const lp_unit_class *units, const uint8_t *p, int64_t cols, lp_panel panel)
{
    const lp_tile_layout l = lp_tile_layout_make(s.bits, s.unit, s.scale, s.offset);
    const int per_chunk = LP_CHUNK / s.unit;
    const __m512i table = load_table(units, s);
    for (int64_t chunk = 0, chunks = cols / LP_CHUNK; chunk < chunks;) {
        int64_t n = chunks - chunk < l.group_chunks ? chunks - chunk : l.group_chunks;
        header h = load_header(s, p);
        const uint8_t *scale = p + l.header_bytes, *offset = scale + (size_t)n * l.scale_bytes;
        p = offset + (size_t)n * l.offset_bytes;
        for (int64_t end = chunk + n; chunk < end; chunk++) {
            __m512i code[8];
            unpack_codes(s, p, table, code);
            UNROLL for (int g = 0; g < 8; g++) _mm512_store_si512(panel.code + 64 * g, code[g]);
            UNROLL for (int u = 0; u < per_chunk; u++) {
                _mm512_store_ps(panel.scale + 16 * u, unit_scale(s, h, scale, u));
                if (s.offset != LP_OFFSET_KIND_NONE)
                    _mm512_store_ps(panel.offset + 16 * u, unit_offset(s, h, scale, offset, u));
            }
            p += l.code_bytes;
            scale += l.scale_bytes;
            offset += l.offset_bytes;
            panel.code += 512;
            panel.scale += 16 * per_chunk;
            panel.offset += 16 * per_chunk;
        }
    }
}

INLINE const uint8_t *at_token(const uint8_t *first, const uint8_t *third, size_t stride, int m)
{
    return m < 3 ? first + stride * (size_t)m : third + stride * (size_t)(m - 3);
}

/* n_tiles x n_tokens outputs. With offsets y holds the offset sums already. */
INLINE void multiply_panel(int unit, int n_tiles, int n_tokens, const lp_panel *panel, int64_t cols, tokens t,
                           bool has_offset, float *y, int64_t ldy, const __mmask16 *rows)
{
    const int per_chunk = LP_CHUNK / unit;
    __m512 sum[2][6];
    UNROLL for (int i = 0; i < n_tiles; i++)
        UNROLL for (int m = 0; m < n_tokens; m++) sum[i][m] = _mm512_setzero_ps();
    const uint8_t *code0 = panel[0].code, *code1 = panel[n_tiles - 1].code;
    const float *scale0 = panel[0].scale, *scale1 = panel[n_tiles - 1].scale;
    const uint8_t *x = t.code, *x3 = x + 3 * t.stride, *s = t.scale, *s3 = s + 3 * t.stride, *b = t.start,
                  *b3 = b + 3 * t.stride;
    for (int64_t chunk = cols / LP_CHUNK; chunk > 0; chunk--) {
        UNROLL for (int u = 0; u < per_chunk; u++) {
            __m512i a[2][6];
            UNROLL for (int i = 0; i < n_tiles; i++)
                UNROLL for (int m = 0; m < n_tokens; m++) a[i][m] = broadcast4(at_token(b, b3, t.stride, m) + 4 * u);
            UNROLL for (int g = 8 / per_chunk * u; g < 8 / per_chunk * (u + 1); g++) {
                __m512i c0 = load512(code0 + 64 * g), c1 = load512(code1 + 64 * g);
                UNROLL for (int m = 0; m < n_tokens; m++) {
                    __m512i v = broadcast4(at_token(x, x3, t.stride, m) + 4 * g);
                    a[0][m] = dot4(a[0][m], c0, v);
                    if (n_tiles > 1) a[1][m] = dot4(a[1][m], c1, v);
                }
            }
            __m512 w0 = _mm512_load_ps(scale0 + 16 * u), w1 = _mm512_load_ps(scale1 + 16 * u);
            UNROLL for (int m = 0; m < n_tokens; m++) {
                __m512 v = _mm512_castsi512_ps(broadcast4(at_token(s, s3, t.stride, m)));
                sum[0][m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a[0][m]), _mm512_mul_ps(w0, v), sum[0][m]);
                if (n_tiles > 1)
                    sum[1][m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a[1][m]), _mm512_mul_ps(w1, v), sum[1][m]);
            }
        }
        code0 += 512;
        code1 += 512;
        scale0 += 16 * per_chunk;
        scale1 += 16 * per_chunk;
        x += LP_CHUNK;
        x3 += LP_CHUNK;
        s += 4;
        s3 += 4;
        b += 4 * per_chunk;
        b3 += 4 * per_chunk;
    }
    UNROLL for (int i = 0; i < n_tiles; i++)
        UNROLL for (int m = 0; m < n_tokens; m++) {
            float *out = y + m * ldy + 16 * i;
            if (has_offset) sum[i][m] = _mm512_add_ps(sum[i][m], _mm512_maskz_loadu_ps(rows[i], out));
            _mm512_mask_storeu_ps(out, rows[i], sum[i][m]);
        }
}

/* y = chain of fmaf(o_u, h_u, y) over ascending units. */
static void offset_sums(const lp_panel *panel, int n_tiles, int64_t units, tokens t, int n_tokens, float *y, int64_t ldy,
                        const __mmask16 *rows)
{
    for (int i = 0; i < n_tiles; i++) {
        for (int m = 0; m < n_tokens; m += 3) {
            const uint8_t *h0 = t.h + t.stride * (size_t)m, *h1 = m + 1 < n_tokens ? h0 + t.stride : h0,
                          *h2 = m + 2 < n_tokens ? h1 + t.stride : h0;
            __m512 z0 = _mm512_setzero_ps(), z1 = z0, z2 = z0;
            for (int64_t u = 0; u < units; u++) {
                __m512 o = _mm512_load_ps(panel[i].offset + 16 * u);
                z0 = _mm512_fmadd_ps(o, _mm512_castsi512_ps(broadcast4(h0 + 4 * u)), z0);
                z1 = _mm512_fmadd_ps(o, _mm512_castsi512_ps(broadcast4(h1 + 4 * u)), z1);
                z2 = _mm512_fmadd_ps(o, _mm512_castsi512_ps(broadcast4(h2 + 4 * u)), z2);
            }
            _mm512_mask_storeu_ps(y + m * ldy + 16 * i, rows[i], z0);
            if (m + 1 < n_tokens) _mm512_mask_storeu_ps(y + (m + 1) * ldy + 16 * i, rows[i], z1);
            if (m + 2 < n_tokens) _mm512_mask_storeu_ps(y + (m + 2) * ldy + 16 * i, rows[i], z2);
        }
    }
}

typedef void multiply_function(const lp_panel *panel, int64_t cols, tokens t, bool has_offset, float *y, int64_t ldy,
                               const __mmask16 *rows);

#define MULTIPLY(unit, tiles, n)                                                                                      \
    static __attribute__((noinline)) void multiply_##unit##_##tiles##_##n(                                            \
        const lp_panel *panel, int64_t cols, tokens t, bool has_offset, float *y, int64_t ldy, const __mmask16 *rows) \
    {                                                                                                                 \
        multiply_panel(unit, tiles, n, panel, cols, t, has_offset, y, ldy, rows);                                     \
    }
#define MULTIPLY_ALL(unit, tiles) \
    MULTIPLY(unit, tiles, 1) MULTIPLY(unit, tiles, 2) MULTIPLY(unit, tiles, 3) MULTIPLY(unit, tiles, 4) \
    MULTIPLY(unit, tiles, 5) MULTIPLY(unit, tiles, 6)
MULTIPLY_ALL(16, 1)
MULTIPLY_ALL(16, 2)
MULTIPLY_ALL(32, 1)
MULTIPLY_ALL(32, 2)
#define MULTIPLY_ROW(unit, tiles)                                                                    \
    {multiply_##unit##_##tiles##_1, multiply_##unit##_##tiles##_2, multiply_##unit##_##tiles##_3,    \
     multiply_##unit##_##tiles##_4, multiply_##unit##_##tiles##_5, multiply_##unit##_##tiles##_6}
/* [unit 32][two tiles][tokens - 1] */
static multiply_function *const multiply_functions[2][2][6] = {{MULTIPLY_ROW(16, 1), MULTIPLY_ROW(16, 2)},
                                                               {MULTIPLY_ROW(32, 1), MULTIPLY_ROW(32, 2)}};

/* ---- classes ------------------------------------------------------------------------------------------------------- */

typedef void fused_function(const lp_unit_class *units, const uint8_t *tile, int64_t cols, int n_tokens, tokens t,
                            float *y, int64_t ldy, __mmask16 rows);
typedef void unpack_function(const lp_unit_class *units, const uint8_t *tile, int64_t cols, lp_panel *panel);

#define CLASS(name, bits, table, unit, scale, offset)                                                               \
    static void fused_##name(const lp_unit_class *units, const uint8_t *tile, int64_t cols, int n_tokens, tokens t, \
                             float *y, int64_t ldy, __mmask16 rows)                                                 \
    {                                                                                                               \
        const shape s = {bits, table, unit, LP_TILE_SCALE_##scale, LP_OFFSET_KIND_##offset};                        \
        if (n_tokens == 1) fused_tile(s, 1, units, tile, cols, t, y, ldy, rows);                                    \
        else if (n_tokens == 2) fused_tile(s, 2, units, tile, cols, t, y, ldy, rows);                               \
        else fused_tile(s, 3, units, tile, cols, t, y, ldy, rows);                                                  \
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

static __mmask16 tile_rows(const lp_weight *w, int64_t tile) { return lane_mask(w->rows - tile * LP_TILE_ROWS); }

static void linear_matrix(const lp_weight *w, unpack_function *unpack, int64_t tile0, int64_t tile1, const void *act,
                          int64_t n, float *y, int64_t ldy, void *scratch)
{
    bool has_offset = w->units->offset != LP_OFFSET_KIND_NONE;
    lp_panel panel[LP_PANEL_TILES];
    for (int i = 0; i < LP_PANEL_TILES; i++) panel[i] = lp_panel_at(scratch, w->cols, i);
    for (int64_t tile = tile0; tile < tile1; tile += LP_PANEL_TILES) {
        int n_tiles = tile1 - tile < LP_PANEL_TILES ? 1 : LP_PANEL_TILES;
        __mmask16 rows[LP_PANEL_TILES] = {0};
        for (int i = 0; i < n_tiles; i++) {
            unpack(w->units, w->tiles + (size_t)(tile + i) * w->tile_bytes, w->cols, &panel[i]);
            rows[i] = tile_rows(w, tile + i);
        }
        for (int64_t m = 0; m < n;) {
            int tokens_now = tokens_of_block(n - m);
            tokens t = prepare_tokens(w, act, m, tokens_now, scratch);
            float *out = y + m * ldy + tile * LP_TILE_ROWS;
            if (has_offset) offset_sums(panel, n_tiles, w->cols / w->units->unit, t, tokens_now, out, ldy, rows);
            multiply_functions[w->units->unit == 32][n_tiles - 1][tokens_now - 1](panel, w->cols, t, has_offset, out, ldy,
                                                                                  rows);
            m += tokens_now;
        }
    }
}

static void linear_i8(const lp_weight *w, int64_t tile0, int64_t tile1, const void *act, int64_t n, float *y, int64_t ldy,
                      void *scratch)
{
    const class_row *c = find_class(w->units);
    if (n <= 0) return;
    if (n > 3 || !c) {
        linear_matrix(w, c ? c->unpack : lp_tile_unpack, tile0, tile1, act, n, y, ldy, scratch);
        return;
    }
    tokens t = prepare_tokens(w, act, 0, (int)n, scratch);
    for (int64_t tile = tile0; tile < tile1; tile++)
        c->fused(w->units, w->tiles + (size_t)tile * w->tile_bytes, w->cols, (int)n, t, y + tile * LP_TILE_ROWS, ldy,
                 tile_rows(w, tile));
}

void lp_avx512_init_integer(lp_kernels *kernels) { kernels->linear_i8 = linear_i8; }
