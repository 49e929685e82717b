/* Integer linear layers with AVX2: 8 output rows to a register. Small unsigned codes: byte products are added up as 16 bit
 * while 2 * code * 127 * additions <= 32767. Bytes and tables, centred to signed: magnitude times x with the sign moved
 * over, each 16-bit pair at most 2 * 128 * 127. Exact always. Card: kernels/ggml-cpu-kernels.md. */
#include "kernel/avx2/avx2.h"
#include "kernel/avx2/v16.h"
#include "kernel/vector/integer.h"

#define FUSED_TOKENS 3
#define PANEL_TILES 1
#define CENTRED 1
/* The name tells the unit and how many pairs of products fit into 16 bits; s: signed codes. */
#define KINDS(KIND) \
    KIND(u32_8, 4, false, 32, F16) KIND(u32_4, 5, false, 32, F16) KIND(u32_s, 8, false, 32, F16) \
    KIND(u16_4, 4, false, 16, F16) KIND(u16_2, 6, false, 16, F16) KIND(u16_s, 8, false, 16, F16) \
    KIND(u32_2, 6, false, 32, F16)
static int kind_of(const lp_unit_class *c)
{
    bool is_signed = c->table || c->code_bits == 8;
    if (c->unit == 32) return is_signed ? 2 : c->code_bits > 5 ? 6 : c->code_bits > 4;
    return is_signed ? 5 : c->code_bits > 5 ? 4 : 3;
}

INLINE bool has_signed_codes(shape s) { return s.table || s.bits == 8; }
/* Additions of two byte products that 16 bits hold. */
INLINE int additions(shape s) { return has_signed_codes(s) ? 1 : s.bits <= 4 ? 8 : s.bits == 5 ? 4 : 2; }

INLINE __m256i load256(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE __m256i broadcast4(const void *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return _mm256_set1_epi32(v);
}
INLINE float read_float(const void *p)
{
    float v;
    memcpy(&v, p, 4);
    return v;
}

/* plane, bits from .. moved to bits to .., masked. */
INLINE __m256i field(__m256i plane, int from, int to, int mask)
{
    __m256i moved = from == to  ? plane
                    : from < to ? _mm256_slli_epi16(plane, to - from)
                                : _mm256_srli_epi16(plane, from - to);
    return _mm256_and_si256(moved, _mm256_set1_epi8((char)mask));
}

/* What turns stored codes into signed ones: the centred table, or the zero. */
typedef struct centring {
    __m256i low, high; /* the zero, or the table's values of codes 0 .. 15 and, for 5 bits, 16 .. 31 */
} centring;

INLINE centring load_centre(const lp_unit_class *c, shape s)
{
    const __m256i zero = _mm256_set1_epi8((char)c->zero);
    centring t = {zero, zero};
    if (s.table) t.low = _mm256_sub_epi8(_mm256_broadcastsi128_si256(load128(c->table)), zero);
    if (s.table && s.bits == 5) t.high = _mm256_sub_epi8(_mm256_broadcastsi128_si256(load128(c->table + 16)), zero);
    return t;
}

/* Group g (4 columns) of rows 8*half .. 8*half + 7 of the chunk at p. */
INLINE __m256i group_code(shape s, const uint8_t *p, centring centre, int g, int half)
{
    p += 32 * half;
    if (s.bits == 8) return _mm256_sub_epi8(load256(p + 64 * g), centre.low);
    if (s.bits < 4) {
        __m256i c = field(load256(p + 64 * (g / 4)), 2 * (g % 4), 0, 3);
        return s.bits == 3 ? _mm256_or_si256(c, field(load256(p + 128), g, 2, 4)) : c;
    }
    __m256i c = field(load256(p + 64 * (g % 4)), g / 4 * 4, 0, 15);
    if (s.table && s.bits == 4) return _mm256_shuffle_epi8(centre.low, c);
    if (s.bits == 5) c = _mm256_or_si256(c, field(load256(p + 256), g, 4, 16));
    if (s.bits == 6) c = _mm256_or_si256(c, field(load256(p + 256 + 64 * (g / 4)), 2 * (g % 4), 4, 48));
    if (s.table) /* the fifth bit, moved to the top of its byte, chooses the half */
        c = _mm256_blendv_epi8(_mm256_shuffle_epi8(centre.low, c), _mm256_shuffle_epi8(centre.high, c), _mm256_slli_epi16(c, 3));
    return c;
}

/* Products of 2 + 2 neighbours as 16 bit. */
INLINE __m256i pairs(shape s, __m256i code, __m256i x)
{
    return has_signed_codes(s) ? _mm256_maddubs_epi16(_mm256_abs_epi8(code), _mm256_sign_epi8(x, code))
                               : _mm256_maddubs_epi16(code, x);
}

INLINE __m256i widen(__m256i sum, __m256i words) { return _mm256_add_epi32(sum, _mm256_madd_epi16(words, _mm256_set1_epi16(1))); }

typedef struct header {
    v16 d, minus_dmin;
} header;

INLINE header load_header(shape s, const uint8_t *p)
{
    header h = {v16_set1(0), v16_set1(0)};
    if (lp_scale_has_header(s.scale)) h.d = v16_load_f16(p);
    if (s.offset == LP_OFFSET_KIND_SUPER) h.minus_dmin = v16_negate(v16_load_f16(p + 32));
    return h;
}

INLINE v16 from_u8(__m128i x)
{
    return EACH(_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(x)), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(x, 8))));
}
INLINE v16 from_i8(__m128i x)
{
    return EACH(_mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(x, 8))));
}

INLINE v16 unit_scale(shape s, header h, const uint8_t *scale, int u)
{
    switch (s.scale) {
    case LP_SCALE_F16: return v16_load_f16(scale + 32 * u);
    case LP_SCALE_BF16: return v16_load_bf16(scale + 32 * u);
    case LP_SCALE_F32: return v16_load((const float *)(const void *)(scale + 64 * u));
    case LP_SCALE_BLOCK: return h.d;
    case LP_SCALE_NONE: return v16_set1(1);
    case LP_SCALE_SUPER: return v16_mul(h.d, from_i8(load128(scale + 16 * u)));
    default: return v16_mul(h.d, from_u8(_mm_and_si128(load128(scale + 16 * u), _mm_set1_epi8(15))));
    }
}

INLINE v16 unit_offset(shape s, header h, const uint8_t *scale, const uint8_t *offset, int u)
{
    if (s.offset == LP_OFFSET_KIND_F16) return v16_load_f16(offset + 32 * u);
    if (s.offset == LP_OFFSET_KIND_F32) return v16_load((const float *)(const void *)(offset + 64 * u));
    if (s.scale != LP_SCALE_SUPER4) return v16_mul(h.minus_dmin, from_u8(load128(offset + 16 * u)));
    __m128i high = _mm_and_si128(_mm_srli_epi16(load128(scale + 16 * u), 4), _mm_set1_epi8(15));
    return v16_mul(h.minus_dmin, from_u8(high));
}

INLINE v16 add_unit(v16 sum, __m256i a, __m256i b, v16 scale, float x_scale)
{
    return v16_fma(EACH(_mm256_cvtepi32_ps(a), _mm256_cvtepi32_ps(b)), v16_mul(scale, v16_set1(x_scale)), sum);
}

enum { PREFETCH_BYTES = 4096 };

INLINE void fused_tile(shape s, int n_tokens, const lp_unit_class *units, const uint8_t *tile, int64_t cols, tokens t,
                       v16 *sum, v16 *offset_sum)
{
    const lp_tile_layout l = lp_tile_layout_make(s.bits, s.unit, s.scale, s.offset);
    const int per_chunk = LP_CHUNK / s.unit, per_unit = 8 / per_chunk;
    const centring centre = load_centre(units, s);
    UNROLL for (int m = 0; m < n_tokens; m++) sum[m] = offset_sum[m] = v16_set1(0);
    for (int64_t chunk = 0, chunks = cols / LP_CHUNK; chunk < chunks;) {
        int64_t n = chunks - chunk < l.group_chunks ? chunks - chunk : l.group_chunks;
        header h = load_header(s, tile);
        walk p = enter_group(&l, tile, n);
        for (int64_t end = chunk + n; chunk < end; chunk++) {
            UNROLL for (size_t line = 0; line <= l.code_bytes / 64; line++)
                prefetch(p.code + PREFETCH_BYTES + 64 * line);
            UNROLL for (int u = 0; u < per_chunk; u++) {
                __m256i a[BLOCK_TOKENS][2], words[BLOCK_TOKENS];
                UNROLL for (int half = 0; half < 2; half++) {
                    UNROLL for (int m = 0; m < n_tokens; m++) a[m][half] = broadcast4(t.start + t.start_stride * (size_t)m + 4 * u);
                    UNROLL for (int g = 0; g < per_unit; g++) {
                        const int first = g % additions(s) == 0, last = (g + 1) % additions(s) == 0 || g + 1 == per_unit;
                        __m256i code = group_code(s, p.code, centre, per_unit * u + g, half);
                        UNROLL for (int m = 0; m < n_tokens; m++) {
                            __m256i x = broadcast4(t.code + t.stride * (size_t)m + 4 * (per_unit * u + g));
                            words[m] = first ? pairs(s, code, x) : _mm256_add_epi16(words[m], pairs(s, code, x));
                            if (last) a[m][half] = widen(a[m][half], words[m]);
                        }
                    }
                }
                v16 w = unit_scale(s, h, p.scale, u);
                UNROLL for (int m = 0; m < n_tokens; m++) {
                    const size_t row = t.stride * (size_t)m;
                    sum[m] = add_unit(sum[m], a[m][0], a[m][1], w, read_float(t.scale + row));
                    if (s.offset != LP_OFFSET_KIND_NONE)
                        offset_sum[m] = v16_fma(unit_offset(s, h, p.scale, p.offset, u),
                                                v16_set1(read_float(t.h + row + 4 * u)), offset_sum[m]);
                }
            }
            next_chunk(&l, &p);
            next_chunk_of_tokens(&t, per_chunk);
        }
        tile = p.code;
    }
}

INLINE void unpack_codes_to(shape s, const lp_unit_class *units, const uint8_t *p, uint8_t *out)
{
    const centring centre = load_centre(units, s);
    UNROLL for (int g = 0; g < 8; g++)
        UNROLL for (int half = 0; half < 2; half++)
            _mm256_store_si256((__m256i *)(void *)(out + 64 * g + 32 * half), group_code(s, p, centre, g, half));
}

/* Half a tile at a time: 6 sums of 16 or 32 bit and 6 of float32 fill the registers. */
INLINE void multiply_half(shape shape_, int half, int n_tokens, lp_panel p, int64_t n_chunks, tokens t, __m256 *sum)
{
    const int per_chunk = LP_CHUNK / shape_.unit, per_unit = 8 / per_chunk;
    tokens t3 = {t.code + 3 * t.stride, t.scale + 3 * t.stride, t.h, t.start + 3 * t.start_stride,
                 t.stride, t.start_stride};
    p.code += 32 * half;
    p.scale += 8 * half;
    for (; n_chunks > 0; n_chunks--) {
        UNROLL for (int u = 0; u < per_chunk; u++) {
            __m256i a[BLOCK_TOKENS], words[BLOCK_TOKENS];
            UNROLL for (int g = 0; g < per_unit; g++) {
                const int first = g % additions(shape_) == 0, last = (g + 1) % additions(shape_) == 0 || g + 1 == per_unit;
                __m256i code = _mm256_load_si256((const __m256i *)(const void *)(p.code + 64 * (per_unit * u + g)));
                UNROLL for (int m = 0; m < n_tokens; m++) {
                    __m256i x = broadcast4(at_token(t.code, t3.code, t.stride, m) + 4 * (per_unit * u + g));
                    words[m] = first ? pairs(shape_, code, x) : _mm256_add_epi16(words[m], pairs(shape_, code, x));
                    if (last)
                        a[m] = widen(g < additions(shape_) ? broadcast4(at_token(t.start, t3.start, t.start_stride, m) + 4 * u) : a[m],
                                     words[m]);
                }
            }
            __m256 w = _mm256_load_ps(p.scale + 16 * u);
            UNROLL for (int m = 0; m < n_tokens; m++) {
                __m256 s = _mm256_set1_ps(read_float(at_token(t.scale, t3.scale, t.stride, m)));
                sum[m] = _mm256_fmadd_ps(_mm256_cvtepi32_ps(a[m]), _mm256_mul_ps(w, s), sum[m]);
            }
        }
        next_chunk_of_panel(&p, per_chunk);
        next_chunk_of_tokens(&t, per_chunk);
        next_chunk_of_tokens(&t3, per_chunk);
    }
}

INLINE void multiply(shape s, int n_tiles, int n_tokens, const lp_panel *panel, int64_t n_chunks, tokens t,
                     v16 sum[PANEL_TILES][BLOCK_TOKENS])
{
    __m256 low[BLOCK_TOKENS], high[BLOCK_TOKENS];
    (void)n_tiles;
    UNROLL for (int m = 0; m < n_tokens; m++) {
        low[m] = sum[0][m].a;
        high[m] = sum[0][m].b;
    }
    multiply_half(s, 0, n_tokens, panel[0], n_chunks, t, low);
    multiply_half(s, 1, n_tokens, panel[0], n_chunks, t, high);
    UNROLL for (int m = 0; m < n_tokens; m++) sum[0][m] = EACH(low[m], high[m]);
}

#include "kernel/vector/integer_driver.h"

void lp_avx2_init_integer(lp_kernels *kernels) { kernels->linear_i8 = linear_i8; }
