/* Integer linear layers with NEON dot products of signed bytes: 4 output rows to a register. Codes of up to 6 bits are used
 * as they are and their sums start at -zero * (sum of x codes); bytes and tables are centred. */
#include "kernel/neon/neon.h"
#include "kernel/neon/v16.h"
#include "kernel/vector/integer.h"

#define FUSED_TOKENS 3
#define PANEL_TILES 1
#define CENTRED 1
#define KINDS(KIND) KIND(u16, 4, false, 16, F16) KIND(u32, 4, false, 32, F16)
static int kind_of(const lp_unit_class *c) { return c->unit == 32; }

INLINE int8x16_t broadcast4(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return vreinterpretq_s8_s32(vdupq_n_s32(v));
}
INLINE int32x4_t broadcast_int(const uint8_t *p)
{
    int32_t v;
    memcpy(&v, p, 4);
    return vdupq_n_s32(v);
}
INLINE float read_float(const uint8_t *p)
{
    float v;
    memcpy(&v, p, 4);
    return v;
}

/* plane, bits from .. moved to bits to .., masked. A shift by a vector: positive counts to the left. */
INLINE uint8x16_t field(uint8x16_t plane, int from, int to, int mask)
{
    return vandq_u8(vshlq_u8(plane, vdupq_n_s8((int8_t)(to - from))), vdupq_n_u8((uint8_t)mask));
}

/* What turns stored codes into signed ones: the centred table, or the zero. */
INLINE uint8x16x2_t load_centre(const lp_unit_class *c, shape s)
{
    uint8x16_t zero = vdupq_n_u8((uint8_t)c->zero);
    uint8x16x2_t t = {{zero, zero}};
    if (s.table) t.val[0] = vsubq_u8(vld1q_u8(c->table), zero);
    if (s.table && s.bits == 5) t.val[1] = vsubq_u8(vld1q_u8(c->table + 16), zero);
    return t;
}

/* Group g (4 columns) of rows 4*quarter .. 4*quarter + 3 of the chunk at p. */
INLINE int8x16_t group_code(shape s, const uint8_t *p, uint8x16x2_t centre, int g, int quarter)
{
    uint8x16_t c;
    p += 16 * quarter;
    if (s.bits == 8) {
        c = vsubq_u8(vld1q_u8(p + 64 * g), centre.val[0]);
    } else if (s.bits < 4) {
        c = field(vld1q_u8(p + 64 * (g / 4)), 2 * (g % 4), 0, 3);
        if (s.bits == 3) c = vorrq_u8(c, field(vld1q_u8(p + 128), g, 2, 4));
    } else {
        c = field(vld1q_u8(p + 64 * (g % 4)), g / 4 * 4, 0, 15);
        if (s.table && s.bits == 4) c = vqtbl1q_u8(centre.val[0], c);
        if (s.bits == 5) c = vorrq_u8(c, field(vld1q_u8(p + 256), g, 4, 16));
        if (s.bits == 6) c = vorrq_u8(c, field(vld1q_u8(p + 256 + 64 * (g / 4)), 2 * (g % 4), 4, 48));
        if (s.table && s.bits == 5) c = vqtbl2q_u8(centre, c);
    }
    return vreinterpretq_s8_u8(c);
}

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

INLINE v16 from_u8(uint8x16_t x)
{
    uint16x8_t low = vmovl_u8(vget_low_u8(x)), high = vmovl_u8(vget_high_u8(x));
    return (v16){{vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
                  vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(high)))}};
}
INLINE v16 from_i8(int8x16_t x)
{
    int16x8_t low = vmovl_s8(vget_low_s8(x)), high = vmovl_s8(vget_high_s8(x));
    return (v16){{vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
                  vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high)))}};
}

INLINE v16 unit_scale(shape s, header h, const uint8_t *scale, int u)
{
    switch (s.scale) {
    case LP_SCALE_F16: return v16_load_f16(scale + 32 * u);
    case LP_SCALE_BF16: return v16_load_bf16(scale + 32 * u);
    case LP_SCALE_F32: return v16_load((const float *)(const void *)(scale + 64 * u));
    case LP_SCALE_BLOCK: return h.d;
    case LP_SCALE_NONE: return v16_set1(1);
    case LP_SCALE_SUPER: return v16_mul(h.d, from_i8(vreinterpretq_s8_u8(vld1q_u8(scale + 16 * u))));
    default: return v16_mul(h.d, from_u8(vandq_u8(vld1q_u8(scale + 16 * u), vdupq_n_u8(15))));
    }
}

INLINE v16 unit_offset(shape s, header h, const uint8_t *scale, const uint8_t *offset, int u)
{
    if (s.offset == LP_OFFSET_KIND_F16) return v16_load_f16(offset + 32 * u);
    if (s.offset == LP_OFFSET_KIND_F32) return v16_load((const float *)(const void *)(offset + 64 * u));
    if (s.scale != LP_SCALE_SUPER4) return v16_mul(h.minus_dmin, from_u8(vld1q_u8(offset + 16 * u)));
    return v16_mul(h.minus_dmin, from_u8(vshrq_n_u8(vld1q_u8(scale + 16 * u), 4)));
}

INLINE void fused_tile(shape s, int n_tokens, const lp_unit_class *units, const uint8_t *tile, int64_t cols, tokens t,
                       v16 *sum, v16 *offset_sum)
{
    const lp_tile_layout l = lp_tile_layout_make(s.bits, s.unit, s.scale, s.offset);
    const int per_chunk = LP_CHUNK / s.unit, per_unit = 8 / per_chunk;
    const uint8x16x2_t centre = load_centre(units, s);
    UNROLL for (int m = 0; m < n_tokens; m++) sum[m] = offset_sum[m] = v16_set1(0);
    for (int64_t chunk = 0, chunks = cols / LP_CHUNK; chunk < chunks;) {
        int64_t n = chunks - chunk < l.group_chunks ? chunks - chunk : l.group_chunks;
        header h = load_header(s, tile);
        walk p = enter_group(&l, tile, n);
        for (int64_t end = chunk + n; chunk < end; chunk++) {
            UNROLL for (int u = 0; u < per_chunk; u++) {
                v16 w = unit_scale(s, h, p.scale, u);
                UNROLL for (int q = 0; q < 4; q++) {
                    int32x4_t a[BLOCK_TOKENS];
                    UNROLL for (int m = 0; m < n_tokens; m++) a[m] = broadcast_int(t.start + t.start_stride * (size_t)m + 4 * u);
                    UNROLL for (int g = per_unit * u; g < per_unit * (u + 1); g++) {
                        int8x16_t code = group_code(s, p.code, centre, g, q);
                        UNROLL for (int m = 0; m < n_tokens; m++)
                            a[m] = vdotq_s32(a[m], code, broadcast4(t.code + t.stride * (size_t)m + 4 * g));
                    }
                    UNROLL for (int m = 0; m < n_tokens; m++)
                        sum[m].r[q] = vfmaq_f32(sum[m].r[q], vcvtq_f32_s32(a[m]),
                                                vmulq_n_f32(w.r[q], read_float(t.scale + t.stride * (size_t)m)));
                }
                if (s.offset != LP_OFFSET_KIND_NONE) {
                    v16 o = unit_offset(s, h, p.scale, p.offset, u);
                    UNROLL for (int m = 0; m < n_tokens; m++)
                        offset_sum[m] = v16_fma(o, v16_set1(read_float(t.h + t.stride * (size_t)m + 4 * u)), offset_sum[m]);
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
    const uint8x16x2_t centre = load_centre(units, s);
    UNROLL for (int g = 0; g < 8; g++)
        UNROLL for (int q = 0; q < 4; q++)
            vst1q_u8(out + 64 * g + 16 * q, vreinterpretq_u8_s8(group_code(s, p, centre, g, q)));
}

/* Two quarters of a tile at a time: 12 sums of int32 and 12 of float32. */
INLINE void multiply_half(shape shape_, int half, int n_tokens, lp_panel p, int64_t n_chunks, tokens t, v16 *sum)
{
    const int per_chunk = LP_CHUNK / shape_.unit, per_unit = 8 / per_chunk;
    tokens t3 = {t.code + 3 * t.stride, t.scale + 3 * t.stride, t.h, t.start + 3 * t.start_stride,
                 t.stride, t.start_stride};
    float32x4_t y[BLOCK_TOKENS][2];
    UNROLL for (int m = 0; m < n_tokens; m++) {
        y[m][0] = sum[m].r[2 * half];
        y[m][1] = sum[m].r[2 * half + 1];
    }
    p.code += 32 * half;
    p.scale += 8 * half;
    for (; n_chunks > 0; n_chunks--) {
        UNROLL for (int u = 0; u < per_chunk; u++) {
            int32x4_t a[BLOCK_TOKENS][2];
            UNROLL for (int m = 0; m < n_tokens; m++)
                a[m][0] = a[m][1] = broadcast_int(at_token(t.start, t3.start, t.start_stride, m) + 4 * u);
            UNROLL for (int g = per_unit * u; g < per_unit * (u + 1); g++) {
                int8x16_t c0 = vreinterpretq_s8_u8(vld1q_u8(p.code + 64 * g));
                int8x16_t c1 = vreinterpretq_s8_u8(vld1q_u8(p.code + 64 * g + 16));
                UNROLL for (int m = 0; m < n_tokens; m++) {
                    int8x16_t x = broadcast4(at_token(t.code, t3.code, t.stride, m) + 4 * g);
                    a[m][0] = vdotq_s32(a[m][0], c0, x);
                    a[m][1] = vdotq_s32(a[m][1], c1, x);
                }
            }
            float32x4_t w0 = vld1q_f32(p.scale + 16 * u), w1 = vld1q_f32(p.scale + 16 * u + 4);
            UNROLL for (int m = 0; m < n_tokens; m++) {
                float s = read_float(at_token(t.scale, t3.scale, t.stride, m));
                y[m][0] = vfmaq_f32(y[m][0], vcvtq_f32_s32(a[m][0]), vmulq_n_f32(w0, s));
                y[m][1] = vfmaq_f32(y[m][1], vcvtq_f32_s32(a[m][1]), vmulq_n_f32(w1, s));
            }
        }
        next_chunk_of_panel(&p, per_chunk);
        next_chunk_of_tokens(&t, per_chunk);
        next_chunk_of_tokens(&t3, per_chunk);
    }
    UNROLL for (int m = 0; m < n_tokens; m++) {
        sum[m].r[2 * half] = y[m][0];
        sum[m].r[2 * half + 1] = y[m][1];
    }
}

INLINE void multiply(shape s, int n_tiles, int n_tokens, const lp_panel *panel, int64_t n_chunks, tokens t,
                     v16 sum[PANEL_TILES][BLOCK_TOKENS])
{
    (void)n_tiles;
    multiply_half(s, 0, n_tokens, panel[0], n_chunks, t, sum[0]);
    multiply_half(s, 1, n_tokens, panel[0], n_chunks, t, sum[0]);
}

#include "kernel/vector/integer_driver.h"

void lp_neon_init_integer(lp_kernels *kernels) { kernels->linear_i8 = linear_i8; }
