/* The IQ1, IQ2 and IQ3 layouts: patterns of a code book with signs, as integers and scales, and decoded from these.
 *
 * A value is w q with an integer q of at most 6 bits and w an f16 times a small integer times a power of two: w and the
 * product are exact in float32, so decoding from the split gives the bits of the card's formulas.
 * Card: formats/gguf-block-formats.md. */
#include "base/half.h"
#include "format/codebook.h"
#include "format/layout.h"

/* ---- values ------------------------------------------------------------------------------------------------------- */

enum { NEGATIVE = 8 }; /* bit of a code: the sign, or of IQ1 the delta's */

/* Value + 128 of a code. IQ2: 8 25 43. IQ3_XXS: 4 12 20 28 36 44 52 62. IQ3_S: 1 3 .. 15. IQ1: 8 level + 1, or with the
 * negative delta 8 level - 1, in units of an eighth. Codes that never occur are 0. */
static const uint8_t iq2_values[16] = {136, 153, 171, 128, 128, 128, 128, 128, 120, 103, 85, 128, 128, 128, 128, 128};
static const uint8_t iq3_xxs_values[16] = {132, 140, 148, 156, 164, 172, 180, 190, 124, 116, 108, 100, 92, 84, 76, 66};
static const uint8_t iq3_s_values[16] = {129, 131, 133, 135, 137, 139, 141, 143, 127, 125, 123, 121, 119, 117, 115, 113};
static const uint8_t iq1_values[16] = {121, 129, 137, 128, 128, 128, 128, 128, 119, 127, 135, 128, 128, 128, 128, 128};

#define IQ(values, unit, scale, max_abs) {4, 128, values, unit, scale, LP_OFFSET_KIND_NONE, 256, max_abs, false}
const lp_unit_class lp_units_iq2_xxs = IQ(iq2_values, 32, LP_SCALE_F32, 43);
const lp_unit_class lp_units_iq2_xs = IQ(iq2_values, 16, LP_SCALE_F32, 43);
const lp_unit_class lp_units_iq2_s = IQ(iq2_values, 16, LP_SCALE_F32, 43);
const lp_unit_class lp_units_iq3_xxs = IQ(iq3_xxs_values, 32, LP_SCALE_F32, 62);
const lp_unit_class lp_units_iq3_s = IQ(iq3_s_values, 32, LP_SCALE_SUPER, 15);
const lp_unit_class lp_units_iq1_s = IQ(iq1_values, 32, LP_SCALE_F32, 9);
const lp_unit_class lp_units_iq1_m = IQ(iq1_values, 16, LP_SCALE_F32, 9);

/* ---- patterns ----------------------------------------------------------------------------------------------------- */

/* Eight codes of a pattern of 2-bit levels; signs holds a bit for each. */
static inline void put_eight(unsigned pattern, unsigned signs, uint8_t *code)
{
    for (int i = 0; i < 8; i++) code[i] = (uint8_t)((pattern >> 2 * i & 3u) | (signs >> i & 1u) * NEGATIVE);
}

/* Four codes of a pattern of 3-bit levels. */
static inline void put_four(unsigned pattern, unsigned signs, uint8_t *code)
{
    for (int i = 0; i < 4; i++) code[i] = (uint8_t)((pattern >> 3 * i & 7u) | (signs >> i & 1u) * NEGATIVE);
}

/* Seven sign bits and the eighth, which makes the number of signs even. */
static inline unsigned with_parity(unsigned seven) { return seven | (unsigned)__builtin_parity(seven) << 7; }

/* d (2 s + 1) / divisor, exact. */
static inline float odd_scale(float d, unsigned s, float divisor) { return d * (float)(2 * s + 1) / divisor; }

void lp_split_iq2_xxs(const uint8_t *block, lp_split *out)
{
    float d = lp_f16_to_f32(lp_read_u16(block));
    for (int b = 0; b < 8; b++) {
        const uint8_t *index = block + 2 + 8 * b;
        uint32_t word = lp_read_u32(index + 4);
        out->scale32[b] = odd_scale(d, word >> 28, 8.0f);
        for (int k = 0; k < 4; k++)
            put_eight(lp_codebook_iq2_xxs[index[k]], with_parity(word >> 7 * k & 127u), out->code + 32 * b + 8 * k);
    }
}

/* Sixteen scales of a nibble each. */
static void nibble_scales(const uint8_t *block, const uint8_t *scales, lp_split *out)
{
    float d = lp_f16_to_f32(lp_read_u16(block));
    for (int b = 0; b < 16; b++) out->scale32[b] = odd_scale(d, scales[b / 2] >> 4 * (b % 2) & 15u, 8.0f);
}

void lp_split_iq2_xs(const uint8_t *block, lp_split *out)
{
    nibble_scales(block, block + 66, out);
    for (int k = 0; k < 32; k++) {
        unsigned word = lp_read_u16(block + 2 + 2 * k);
        put_eight(lp_codebook_iq2_xs[word & 511u], with_parity(word >> 9), out->code + 8 * k);
    }
}

void lp_split_iq2_s(const uint8_t *block, lp_split *out)
{
    const uint8_t *low = block + 2, *signs = block + 34, *high = block + 66;
    nibble_scales(block, block + 74, out);
    for (int k = 0; k < 32; k++) {
        unsigned index = low[k] | (high[k / 4] >> 2 * (k % 4) & 3u) << 8;
        put_eight(lp_codebook_iq2_s[index], signs[k], out->code + 8 * k);
    }
}

void lp_split_iq3_xxs(const uint8_t *block, lp_split *out)
{
    float d = lp_f16_to_f32(lp_read_u16(block));
    for (int b = 0; b < 8; b++) {
        const uint8_t *index = block + 2 + 8 * b;
        uint32_t word = lp_read_u32(block + 66 + 4 * b);
        out->scale32[b] = odd_scale(d, word >> 28, 4.0f);
        for (int k = 0; k < 8; k++) {
            unsigned signs = with_parity(word >> 7 * (k / 2) & 127u) >> 4 * (k % 2);
            put_four(lp_codebook_iq3_xxs[index[k]], signs, out->code + 32 * b + 4 * k);
        }
    }
}

void lp_split_iq3_s(const uint8_t *block, lp_split *out)
{
    const uint8_t *low = block + 2, *high = block + 66, *signs = block + 74, *scales = block + 106;
    out->scale16[0] = lp_read_u16(block);
    for (int b = 0; b < 8; b++) out->sub[b] = (int8_t)(2 * (scales[b / 2] >> 4 * (b % 2) & 15) + 1);
    for (int k = 0; k < 64; k++) {
        unsigned index = low[k] | (high[k / 8] >> k % 8 & 1u) << 8;
        put_four(lp_codebook_iq3_s[index], (unsigned)signs[k / 2] >> 4 * (k % 2), out->code + 4 * k);
    }
}

void lp_split_iq1_s(const uint8_t *block, lp_split *out)
{
    float d = lp_f16_to_f32(lp_read_u16(block));
    for (int b = 0; b < 8; b++) {
        unsigned word = lp_read_u16(block + 34 + 2 * b), delta = word >> 15 ? 0xffu : 0u;
        out->scale32[b] = odd_scale(d, word >> 12 & 7u, 8.0f);
        for (int k = 0; k < 4; k++) {
            unsigned index = block[2 + 4 * b + k] | (word >> 3 * k & 7u) << 8;
            put_eight(lp_codebook_iq1[index], delta, out->code + 32 * b + 8 * k);
        }
    }
}

void lp_split_iq1_m(const uint8_t *block, lp_split *out)
{
    const uint8_t *high = block + 32, *scales = block + 48;
    unsigned half = 0;
    for (int i = 0; i < 4; i++) half |= (unsigned)(lp_read_u16(scales + 2 * i) >> 12) << 4 * i;
    float d = lp_f16_to_f32((uint16_t)half);
    for (int b = 0; b < 16; b++)
        out->scale32[b] = odd_scale(d, (unsigned)lp_read_u16(scales + b / 4 * 2) >> 3 * (b % 4) & 7u, 8.0f);
    for (int k = 0; k < 32; k++) {
        unsigned nibble = high[k / 2] >> 4 * (k % 2) & 15u;
        put_eight(lp_codebook_iq1[block[k] | (nibble & 7u) << 8], nibble >> 3 ? 0xffu : 0u, out->code + 8 * k);
    }
}

/* ---- decoding ----------------------------------------------------------------------------------------------------- */

static void decode_block(const lp_unit_class *units, const lp_split *s, float *restrict dst)
{
    for (int u = 0; u < 256 / units->unit; u++) {
        float w = units->scale == LP_SCALE_SUPER ? lp_f16_to_f32(s->scale16[0]) * (float)s->sub[u] : s->scale32[u];
        for (int k = u * units->unit; k < (u + 1) * units->unit; k++)
            dst[k] = w * (float)(units->table[s->code[k]] - units->zero);
    }
}

#define DECODE(NAME, BYTES)                                                                  \
    void lp_decode_##NAME(const uint8_t *src, int64_t n_blocks, float *dst)                  \
    {                                                                                        \
        for (; n_blocks > 0; n_blocks--, src += (BYTES), dst += 256) {                       \
            lp_split s;                                                                      \
            lp_split_##NAME(src, &s);                                                        \
            decode_block(&lp_units_##NAME, &s, dst);                                         \
        }                                                                                    \
    }
DECODE(iq2_xxs, 66)
DECODE(iq2_xs, 74)
DECODE(iq2_s, 82)
DECODE(iq3_xxs, 98)
DECODE(iq3_s, 110)
DECODE(iq1_s, 50)
DECODE(iq1_m, 56)
