/* Decoding of every built byte layout to float32: products left to right, every step rounded (gguf-block-formats.md). */
#include <string.h>

#include "base/half.h"
#include "format/layout.h"

/* Doubled values of E2M1, code 8 being +0: the other factor 1/2 is in the scale. */
static const float e2m1_doubled[16] = {0, 1, 2, 3, 4, 6, 8, 12, 0, -1, -2, -3, -4, -6, -8, -12};
static const float iq4_values[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

static inline float half_at(const uint8_t *p) { return lp_f16_to_f32(lp_read_u16(p)); }

/* lp_f16_to_f32 without branches, so that loops over it become vectors. */
static inline float half_select(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, magnitude = (uint32_t)(h & 0x7fffu) << 13;
    uint32_t quiet = (h & 0x3ffu) ? 0x400000u : 0u;
    uint32_t normal = magnitude + (112u << 23), special = magnitude | 0x7f800000u | quiet;
    uint32_t tiny = lp_f32_bits((float)(int32_t)(h & 0x3ffu) * 0x1p-24f);
    uint32_t finite = (h & 0x7c00u) ? normal : tiny;
    return lp_f32_from_bits(sign | ((h & 0x7c00u) == 0x7c00u ? special : finite));
}

void lp_decode_f32(const uint8_t *src, int64_t n_blocks, float *dst)
{
    if (n_blocks > 0) memcpy(dst, src, (size_t)n_blocks * sizeof *dst);
}

void lp_decode_f16(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (int64_t i = 0; i < n_blocks; i++) dst[i] = half_select(lp_read_u16(src + 2 * i));
}

void lp_decode_bf16(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (int64_t i = 0; i < n_blocks; i++) dst[i] = lp_bf16_to_f32(lp_read_u16(src + 2 * i));
}

void lp_decode_q4_0(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 18, dst += 32) {
        float d = half_at(src);
        const uint8_t *qs = src + 2;
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)((qs[j] & 15) - 8) * d;
            dst[j + 16] = (float)((qs[j] >> 4) - 8) * d;
        }
    }
}

void lp_decode_q4_1(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 20, dst += 32) {
        float d = half_at(src), m = half_at(src + 2);
        const uint8_t *qs = src + 4;
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)(qs[j] & 15) * d + m;
            dst[j + 16] = (float)(qs[j] >> 4) * d + m;
        }
    }
}

/* Bit j of qh as 16 for every j: the fifth bits of a block of 32, spread so that the loops after it become vectors. */
static inline void fifth_bits(uint32_t qh, uint8_t bit[32])
{
    for (int j = 0; j < 32; j++) bit[j] = (uint8_t)((qh >> j & 1u) << 4);
}

void lp_decode_q5_0(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 22, dst += 32) {
        float d = half_at(src);
        const uint8_t *qs = src + 6;
        uint8_t bit[32];
        fifth_bits(lp_read_u32(src + 2), bit);
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)(((qs[j] & 15) | bit[j]) - 16) * d;
            dst[j + 16] = (float)(((qs[j] >> 4) | bit[j + 16]) - 16) * d;
        }
    }
}

void lp_decode_q5_1(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 24, dst += 32) {
        float d = half_at(src), m = half_at(src + 2);
        const uint8_t *qs = src + 8;
        uint8_t bit[32];
        fifth_bits(lp_read_u32(src + 4), bit);
        for (int j = 0; j < 16; j++) {
            dst[j] = (float)((qs[j] & 15) | bit[j]) * d + m;
            dst[j + 16] = (float)((qs[j] >> 4) | bit[j + 16]) * d + m;
        }
    }
}

void lp_decode_q8_0(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 34, dst += 32) {
        float d = half_at(src);
        for (int j = 0; j < 32; j++) dst[j] = (float)(int8_t)src[2 + j] * d;
    }
}

void lp_decode_q2_k(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 84) {
        const uint8_t *scales = src, *qs = src + 16;
        float d = half_at(src + 80), dmin = half_at(src + 82);
        for (int b = 0; b < 16; b++, dst += 16) { /* sub-block b: half b/8, bit pair b/2 % 4, bytes 16 (b % 2) .. */
            float w = d * (float)(scales[b] & 15), o = dmin * (float)(scales[b] >> 4);
            const uint8_t *q = qs + 32 * (b / 8) + 16 * (b % 2);
            int shift = 2 * (b / 2 % 4);
            for (int l = 0; l < 16; l++) dst[l] = w * (float)(q[l] >> shift & 3) - o;
        }
    }
}

void lp_decode_q3_k(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 110) {
        const uint8_t *hmask = src, *qs = src + 32;
        float d = half_at(src + 108);
        int8_t scale[16];
        lp_k3_scales(src + 96, scale);
        for (int b = 0; b < 16; b++, dst += 16) {
            float w = d * (float)scale[b];
            const uint8_t *q = qs + 32 * (b / 8) + 16 * (b % 2), *h = hmask + 16 * (b % 2);
            int shift = 2 * (b / 2 % 4), high = b / 2;
            for (int l = 0; l < 16; l++)
                dst[l] = w * (float)((q[l] >> shift & 3) + (h[l] >> high & 1) * 4 - 4);
        }
    }
}

void lp_decode_q4_k(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 144) {
        float d = half_at(src), dmin = half_at(src + 2);
        uint8_t scale[8], minimum[8];
        lp_k4_scales(src + 4, scale, minimum);
        const uint8_t *qs = src + 16;
        for (int p = 0; p < 4; p++, qs += 32, dst += 64) {
            float w0 = d * (float)scale[2 * p], o0 = dmin * (float)minimum[2 * p];
            float w1 = d * (float)scale[2 * p + 1], o1 = dmin * (float)minimum[2 * p + 1];
            for (int l = 0; l < 32; l++) {
                dst[l] = w0 * (float)(qs[l] & 15) - o0;
                dst[l + 32] = w1 * (float)(qs[l] >> 4) - o1;
            }
        }
    }
}

void lp_decode_q5_k(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 176) {
        float d = half_at(src), dmin = half_at(src + 2);
        uint8_t scale[8], minimum[8];
        lp_k4_scales(src + 4, scale, minimum);
        const uint8_t *qh = src + 16, *qs = src + 48;
        for (int p = 0; p < 4; p++, qs += 32, dst += 64) {
            float w0 = d * (float)scale[2 * p], o0 = dmin * (float)minimum[2 * p];
            float w1 = d * (float)scale[2 * p + 1], o1 = dmin * (float)minimum[2 * p + 1];
            for (int l = 0; l < 32; l++) {
                int high = qh[l] >> 2 * p;
                dst[l] = w0 * (float)((qs[l] & 15) + (high & 1) * 16) - o0;
                dst[l + 32] = w1 * (float)((qs[l] >> 4) + (high >> 1 & 1) * 16) - o1;
            }
        }
    }
}

void lp_decode_q6_k(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 210) {
        const uint8_t *ql = src, *qh = src + 128, *scales = src + 192;
        float d = half_at(src + 208);
        for (int b = 0; b < 16; b++, dst += 16) { /* element 128 h + 32 r + l: low bits in byte 64 h + 32 (r % 2) + l */
            int h = b / 8, r = b / 2 % 4, l0 = 16 * (b % 2);
            float w = d * (float)(int8_t)scales[b];
            const uint8_t *low = ql + 64 * h + 32 * (r % 2) + l0, *high = qh + 32 * h + l0;
            int low_shift = 4 * (r / 2), high_shift = 2 * r;
            for (int l = 0; l < 16; l++)
                dst[l] = w * (float)(((low[l] >> low_shift & 15) | (high[l] >> high_shift & 3) << 4) - 32);
        }
    }
}

/* Products of a scale with the 16 values of a table: then a code is one load. */
static inline void scaled_table(const float table[16], float w, float v[restrict 16])
{
    for (int i = 0; i < 16; i++) v[i] = w * table[i];
}

/* n bytes to 2n values: low nibbles, then high ones. */
static inline void look_up(const float v[16], const uint8_t *qs, int n, float *restrict dst)
{
    for (int j = 0; j < n; j++) {
        dst[j] = v[qs[j] & 15];
        dst[j + n] = v[qs[j] >> 4];
    }
}

void lp_decode_iq4_nl(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 18, dst += 32) {
        float v[16];
        scaled_table(iq4_values, half_at(src), v);
        look_up(v, src + 2, 16, dst);
    }
}

void lp_decode_iq4_xs(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 136) {
        float d = half_at(src), v[16];
        int8_t scale[8];
        lp_iq4_xs_scales(lp_read_u16(src + 2), src + 4, scale);
        for (int b = 0; b < 8; b++, dst += 32) {
            scaled_table(iq4_values, d * (float)scale[b], v);
            look_up(v, src + 8 + 16 * b, 16, dst);
        }
    }
}

void lp_decode_tq1_0(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    static const uint8_t power[5] = {1, 3, 9, 27, 81};
    for (; n_blocks > 0; n_blocks--, src += 54) {
        float d = half_at(src + 52);
        for (int n = 0; n < 5; n++, dst += 32)
            for (int m = 0; m < 32; m++) dst[m] = (float)(lp_tq1_digit(src[m], power[n]) - 1) * d;
        for (int n = 0; n < 5; n++, dst += 16)
            for (int m = 0; m < 16; m++) dst[m] = (float)(lp_tq1_digit(src[32 + m], power[n]) - 1) * d;
        for (int n = 0; n < 4; n++, dst += 4)
            for (int m = 0; m < 4; m++) dst[m] = (float)(lp_tq1_digit(src[48 + m], power[n]) - 1) * d;
    }
}

void lp_decode_tq2_0(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 66) {
        float d = half_at(src + 64);
        for (int g = 0; g < 2; g++)
            for (int n = 0; n < 4; n++, dst += 32)
                for (int m = 0; m < 32; m++) dst[m] = (float)((src[32 * g + m] >> 2 * n & 3) - 1) * d;
    }
}

void lp_decode_mxfp4(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 17, dst += 32) {
        float v[16];
        scaled_table(e2m1_doubled, lp_bf16_to_f32(lp_mxfp4_scale(src[0])), v);
        look_up(v, src + 1, 16, dst);
    }
}

void lp_decode_nvfp4(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 36)
        for (int s = 0; s < 4; s++, dst += 16) {
            float v[16];
            scaled_table(e2m1_doubled, lp_bf16_to_f32(lp_nvfp4_scale(src[s])), v);
            look_up(v, src + 4 + 8 * s, 8, dst);
        }
}

void lp_decode_q1_0(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 18, dst += 128) {
        float d = half_at(src);
        for (int j = 0; j < 128; j++) dst[j] = src[2 + j / 8] >> j % 8 & 1 ? d : -d;
    }
}

void lp_decode_q2_0(const uint8_t *src, int64_t n_blocks, float *restrict dst)
{
    for (; n_blocks > 0; n_blocks--, src += 18, dst += 64) {
        float d = half_at(src);
        for (int j = 0; j < 64; j++) dst[j] = (float)((src[2 + j / 4] >> 2 * (j % 4) & 3) - 1) * d;
    }
}
