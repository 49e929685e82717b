/* Integer linear layers with AVX-512 VNNI: unsigned weight codes times signed activations, one 32-bit lane per output
 * row, sums started at -zero * (sum of activation codes). Card: kernels/ggml-cpu-kernels.md. */
#include "kernel/avx512/v16.h"
#include "kernel/vector/integer.h"

/* gcc 12 spills the accumulators of its own intrinsic; through this it keeps them in registers. */
INLINE __m512i dot4(__m512i sum, __m512i unsigned_codes, __m512i signed_codes)
{
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sum) : "v"(unsigned_codes), "v"(signed_codes));
    return sum;
}

/* With the 4 bytes at p in every lane. */
INLINE __m512i dot4_broadcast(__m512i sum, __m512i unsigned_codes, const uint8_t *p)
{
    __asm__("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(unsigned_codes), "m"(*(const uint8_t(*)[4])p));
    return sum;
}

INLINE __m512i load512(const void *p) { return _mm512_loadu_si512(p); }
/* Loaded once: gcc would load again for every use, and loads are what bounds these loops. */
INLINE __m512i load_once(const void *p)
{
    __m512i x = load512(p);
    __asm__("" : "+v"(x));
    return x;
}
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

/* Bits from .. of the bytes of a plane at bits to .. (bits of neighbours come along). */
INLINE __m512i move_field(__m512i plane, int from, int to)
{
    if (from == to) return plane;
    return from < to ? _mm512_slli_epi16(plane, (uint8_t)(to - from)) : _mm512_srli_epi16(plane, (uint8_t)(from - to));
}

/* code | (plane, bits from .. moved to bits to ..) & mask */
INLINE __m512i merge_field(__m512i code, __m512i plane, int from, int to, int mask)
{
    return _mm512_ternarylogic_epi32(code, move_field(plane, from, to), _mm512_set1_epi8((char)mask), 0xf8);
}

/* The same where those bits of code are not 0: code & ~mask | ... & mask */
INLINE __m512i replace_field(__m512i code, __m512i plane, int from, int to, int mask)
{
    return _mm512_ternarylogic_epi32(code, move_field(plane, from, to), _mm512_set1_epi8((char)mask), 0xd8);
}

/* Groups 0 .. 7 of a chunk as bytes. In place: the last four times 16, which saves shifts; of 2-bit codes these are then the
 * groups in the order of group_at. */
INLINE void unpack_codes(shape s, bool in_place, const uint8_t *p, __m512i table, __m512i code[8])
{
    const __m512i low4 = _mm512_set1_epi8(15), high4 = _mm512_set1_epi8((char)0xf0), low2 = _mm512_set1_epi8(3);
    if (s.bits == 8) {
        UNROLL for (int g = 0; g < 8; g++) code[g] = load512(p + 64 * g);
    } else if (s.bits == 5 && s.table) { /* the table is there twice, and of an index the low 6 bits count: no masks */
        __m512i q[4];
        UNROLL for (int v = 0; v < 4; v++) q[v] = load_once(p + 64 * v); /* in order: hardware prefetchers follow */
        const __m512i high = load_once(p + 256);
        UNROLL for (int v = 0; v < 4; v++) {
            code[v] = _mm512_permutexvar_epi8(replace_field(q[v], high, v, 4, 16), table);
            code[v + 4] = _mm512_permutexvar_epi8(replace_field(_mm512_srli_epi16(q[v], 4), high, v + 4, 4, 16), table);
        }
    } else if (s.bits >= 4) {
        UNROLL for (int v = 0; v < 4; v++) {
            __m512i q = load_once(p + 64 * v);
            code[v] = _mm512_and_si512(q, low4);
            code[v + 4] = in_place ? _mm512_and_si512(q, high4) : _mm512_and_si512(_mm512_srli_epi16(q, 4), low4);
        }
        if (s.bits == 5) {
            __m512i high = load_once(p + 256);
            UNROLL for (int g = 0; g < 8; g++) code[g] = merge_field(code[g], high, g, 4, 16);
        }
        if (s.table) {
            UNROLL for (int g = 0; g < 8; g++) code[g] = _mm512_shuffle_epi8(table, code[g]);
        }
        if (s.bits == 6) {
            __m512i high[2] = {load_once(p + 256), load_once(p + 320)};
            UNROLL for (int g = 0; g < 8; g++) code[g] = merge_field(code[g], high[g / 4], 2 * (g % 4), 4, 48);
        }
    } else if (in_place) { /* fields 2 and 3 times 16: one shift a vector */
        UNROLL for (int i = 0; i < 2; i++) {
            __m512i q = load_once(p + 64 * i), moved = _mm512_srli_epi16(q, 2), high2 = _mm512_set1_epi8(48);
            code[2 * i] = _mm512_and_si512(q, low2);
            code[2 * i + 1] = _mm512_and_si512(moved, low2);
            code[2 * i + 4] = _mm512_and_si512(q, high2);
            code[2 * i + 5] = _mm512_and_si512(moved, high2);
        }
    } else {
        __m512i low[2] = {load_once(p), load_once(p + 64)};
        UNROLL for (int g = 0; g < 8; g++) {
            __m512i q = low[g / 4];
            code[g] = _mm512_and_si512(g % 4 ? _mm512_srli_epi16(q, (uint8_t)(2 * (g % 4))) : q, low2);
        }
        if (s.bits == 3) {
            __m512i high = load_once(p + 128);
            UNROLL for (int g = 0; g < 8; g++) code[g] = merge_field(code[g], high, g, 2, 4);
        }
    }
}

INLINE int group_at(shape s, bool in_place, int i)
{
    static const int of_pairs[8] = {0, 1, 4, 5, 2, 3, 6, 7};
    return in_place && s.bits == 2 ? of_pairs[i] : i;
}

/* The constants of a group: d and -dmin of the 16 rows. */
typedef struct header {
    __m512 d, minus_dmin;
} header;

INLINE header load_header(shape s, const uint8_t *p)
{
    header h = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    if (lp_scale_has_header(s.scale)) h.d = f16x16(p);
    if (s.offset == LP_OFFSET_KIND_SUPER)
        h.minus_dmin = _mm512_castsi512_ps(
            _mm512_xor_si512(_mm512_castps_si512(f16x16(p + 32)), _mm512_set1_epi32((int)0x80000000u)));
    return h;
}

/* w_u and o_u of unit u of the chunk whose scales and offsets these are. */
INLINE __m512 unit_scale(shape s, header h, const uint8_t *scale, int u)
{
    switch (s.scale) {
    case LP_SCALE_F16: return f16x16(scale + 32 * u);
    case LP_SCALE_BF16:
        return _mm512_castsi512_ps(_mm512_slli_epi32(
            _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(scale + 32 * u))), 16));
    case LP_SCALE_F32: return _mm512_loadu_ps(scale + 64 * u);
    case LP_SCALE_BLOCK: return h.d;
    case LP_SCALE_NONE: return _mm512_set1_ps(1);
    case LP_SCALE_SUPER: return _mm512_mul_ps(h.d, i8x16(scale + 16 * u));
    default: {
        __m512i both = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(scale + 16 * u)));
        return _mm512_mul_ps(h.d, _mm512_cvtepi32_ps(_mm512_and_si512(both, _mm512_set1_epi32(15))));
    }
    }
}

INLINE __m512 unit_offset(shape s, header h, const uint8_t *scale, const uint8_t *offset, int u)
{
    if (s.offset == LP_OFFSET_KIND_F16) return f16x16(offset + 32 * u);
    if (s.offset == LP_OFFSET_KIND_F32) return _mm512_loadu_ps(offset + 64 * u);
    if (s.scale != LP_SCALE_SUPER4) return _mm512_mul_ps(h.minus_dmin, u8x16(offset + 16 * u));
    __m512i both = _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)(const void *)(scale + 16 * u)));
    return _mm512_mul_ps(h.minus_dmin, _mm512_cvtepi32_ps(_mm512_srli_epi32(both, 4)));
}

INLINE __m512i load_table(const lp_unit_class *c, shape s)
{
    if (s.table && s.bits == 5) return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)c->table));
    return s.table ? _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)c->table))
                   : _mm512_setzero_si512();
}

INLINE __m512 broadcast_float(const void *p) { return _mm512_castsi512_ps(broadcast4(p)); }

/* ---- matrix-vector: unpacked in registers ------------------------------------------------------------------------------ */

enum { PREFETCH_BYTES = 4096 };

INLINE void fused_tile(shape s, int n_tokens, const lp_unit_class *units, const uint8_t *tile, int64_t cols, tokens t,
                       v16 *sum, v16 *offset_sum)
{
    const lp_tile_layout l = lp_tile_layout_make(s.bits, s.unit, s.scale, s.offset);
    const int per_chunk = LP_CHUNK / s.unit, per_unit = 8 / per_chunk;
    /* Few tokens: two chains a unit, so that the latency of one of 8 products does not fill the scheduler. */
    const bool two_chains = n_tokens <= 2 && s.unit == 32, in_place = two_chains && (s.bits == 4 || s.bits == 2) && !s.table;
    const __m512i table = load_table(units, s);
    UNROLL for (int m = 0; m < n_tokens; m++) sum[m] = offset_sum[m] = _mm512_setzero_ps();
    for (int64_t chunk = 0, chunks = cols / LP_CHUNK; chunk < chunks;) {
        int64_t n = chunks - chunk < l.group_chunks ? chunks - chunk : l.group_chunks;
        header h = load_header(s, tile);
        walk p = enter_group(&l, tile, n);
        for (const uint8_t *line = tile; line < p.code; line += 64) prefetch(line + PREFETCH_BYTES);
        for (int64_t end = chunk + n; chunk < end; chunk++) {
            __m512i code[8];
            UNROLL for (size_t line = 0; line < l.code_bytes / 64; line++)
                prefetch(p.code + PREFETCH_BYTES + 64 * line);
            unpack_codes(s, in_place, p.code, table, code);
            UNROLL for (int u = 0; u < per_chunk; u++) {
                __m512 w = unit_scale(s, h, p.scale, u);
                UNROLL for (int m = 0; m < n_tokens; m++) {
                    const size_t row = t.stride * (size_t)m;
                    __m512i a = broadcast4(t.start + t.start_stride * (size_t)m + 4 * u);
                    __m512i b = _mm512_setzero_si512();
                    UNROLL for (int g = per_unit * u; g < per_unit * (u + 1); g++) {
                        const uint8_t *x = t.code + row + 4 * group_at(s, in_place, g);
                        if (two_chains && g >= 4) b = dot4_broadcast(b, code[g], x);
                        else a = dot4_broadcast(a, code[g], x);
                    }
                    if (two_chains) a = _mm512_add_epi32(a, in_place ? _mm512_srai_epi32(b, 4) : b);
                    __m512 product = broadcast_float(t.scale + row);
                    if (s.scale != LP_SCALE_NONE) product = _mm512_mul_ps(w, product);
                    sum[m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a), product, sum[m]);
                    if (s.offset != LP_OFFSET_KIND_NONE)
                        offset_sum[m] = _mm512_fmadd_ps(unit_offset(s, h, p.scale, p.offset, u),
                                                        broadcast_float(t.h + row + 4 * u), offset_sum[m]);
                }
            }
            next_chunk(&l, &p);
            next_chunk_of_tokens(&t, per_chunk);
        }
        tile = p.code;
    }
}

/* ---- matrix-matrix: panels of two tiles as bytes, a register tile of 2 x 6 --------------------------------------------- */

INLINE void unpack_codes_to(shape s, const lp_unit_class *units, const uint8_t *p, uint8_t *out)
{
    __m512i code[8];
    unpack_codes(s, false, p, load_table(units, s), code);
    UNROLL for (int g = 0; g < 8; g++) _mm512_store_si512(out + 64 * g, code[g]);
}

#define FUSED_TOKENS 32
#define PANEL_TILES 2
#define CENTRED 0
#define KINDS(KIND) KIND(u16, 4, false, 16, F16) KIND(u32, 4, false, 32, F16) KIND(row, 4, false, 32, NONE)
static int kind_of(const lp_unit_class *c) { return c->unit == 16 ? 0 : c->scale == LP_SCALE_NONE ? 2 : 1; }

INLINE void multiply(shape shape_, int n_tiles, int n_tokens, const lp_panel *panel, int64_t n_chunks, tokens t,
                     v16 sum[PANEL_TILES][BLOCK_TOKENS])
{
    const int per_chunk = LP_CHUNK / shape_.unit, per_unit = 8 / per_chunk;
    lp_panel p0 = panel[0], p1 = panel[n_tiles - 1];
    tokens t3 = {t.code + 3 * t.stride, t.scale + 3 * t.stride, t.h, t.start + 3 * t.start_stride,
                 t.stride, t.start_stride};
    for (; n_chunks > 0; n_chunks--) {
        UNROLL for (int u = 0; u < per_chunk; u++) {
            __m512i a[PANEL_TILES][BLOCK_TOKENS];
            UNROLL for (int i = 0; i < n_tiles; i++)
                UNROLL for (int m = 0; m < n_tokens; m++)
                    a[i][m] = broadcast4(at_token(t.start, t3.start, t.start_stride, m) + 4 * u);
            UNROLL for (int g = per_unit * u; g < per_unit * (u + 1); g++) {
                __m512i c0 = load512(p0.code + 64 * g), c1 = load512(p1.code + 64 * g);
                UNROLL for (int m = 0; m < n_tokens; m++) {
                    __m512i x = broadcast4(at_token(t.code, t3.code, t.stride, m) + 4 * g);
                    a[0][m] = dot4(a[0][m], c0, x);
                    if (n_tiles > 1) a[1][m] = dot4(a[1][m], c1, x);
                }
            }
            const bool scaled = shape_.scale != LP_SCALE_NONE;
            __m512 w0 = _mm512_load_ps(p0.scale + 16 * u), w1 = _mm512_load_ps(p1.scale + 16 * u);
            UNROLL for (int m = 0; m < n_tokens; m++) {
                __m512 s = broadcast_float(at_token(t.scale, t3.scale, t.stride, m));
                sum[0][m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a[0][m]), scaled ? _mm512_mul_ps(w0, s) : s, sum[0][m]);
                if (n_tiles > 1)
                    sum[1][m] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(a[1][m]), scaled ? _mm512_mul_ps(w1, s) : s, sum[1][m]);
            }
        }
        next_chunk_of_panel(&p0, per_chunk);
        next_chunk_of_panel(&p1, per_chunk);
        next_chunk_of_tokens(&t, per_chunk);
        next_chunk_of_tokens(&t3, per_chunk);
    }
}

#include "kernel/vector/integer_driver.h"

void lp_avx512_init_integer(lp_kernels *kernels) { kernels->linear_i8 = linear_i8; }
