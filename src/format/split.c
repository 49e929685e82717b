/* Every quantized byte layout as unsigned codes and scales, for kernels that pack weights (gguf-block-formats.md). */
#include "format/split.h"

#include <string.h>

#include "base/half.h"
#include "format/layout.h"

/* Value + zero of each code, as bytes. */
static const uint8_t iq4_table[16] = {1, 24, 45, 63, 79, 93, 106, 118, 129, 141, 153, 166, 181, 197, 217, 241};
static const uint8_t e2m1_table[16] = {12, 13, 14, 15, 16, 18, 20, 24, 12, 11, 10, 9, 8, 6, 4, 0};

/* Short names, so that the table below stays a table. */
#define F16 LP_SCALE_F16
#define BF16 LP_SCALE_BF16
#define BLOCK LP_SCALE_BLOCK
#define SUPER LP_SCALE_SUPER
#define SUPER4 LP_SCALE_SUPER4
#define NO_OFFSET LP_OFFSET_KIND_NONE
#define OFFSET_F16 LP_OFFSET_KIND_F16
#define OFFSET_SUPER LP_OFFSET_KIND_SUPER

/*                                    bits zero  table       unit  scale  offset       block  max_abs row_scale */
const lp_unit_class lp_units_q4_0   = {4,    8,  NULL,       32,   F16,   NO_OFFSET,     32,    8, false};
const lp_unit_class lp_units_q4_1   = {4,    0,  NULL,       32,   F16,   OFFSET_F16,    32,   15, false};
const lp_unit_class lp_units_q5_0   = {5,   16,  NULL,       32,   F16,   NO_OFFSET,     32,   16, false};
const lp_unit_class lp_units_q5_1   = {5,    0,  NULL,       32,   F16,   OFFSET_F16,    32,   31, false};
const lp_unit_class lp_units_q8_0   = {8,  128,  NULL,       32,   F16,   NO_OFFSET,     32,  128, false};
const lp_unit_class lp_units_q2_k   = {2,    0,  NULL,       16,   SUPER4, OFFSET_SUPER, 256,    3, false};
const lp_unit_class lp_units_q3_k   = {3,    4,  NULL,       16,   SUPER, NO_OFFSET,    256,    4, false};
const lp_unit_class lp_units_q4_k   = {4,    0,  NULL,       32,   SUPER, OFFSET_SUPER, 256,   15, false};
const lp_unit_class lp_units_q5_k   = {5,    0,  NULL,       32,   SUPER, OFFSET_SUPER, 256,   31, false};
const lp_unit_class lp_units_q6_k   = {6,   32,  NULL,       16,   SUPER, NO_OFFSET,    256,   32, false};
const lp_unit_class lp_units_iq4_nl = {4,  128,  iq4_table,  32,   F16,   NO_OFFSET,     32,  127, false};
const lp_unit_class lp_units_iq4_xs = {4,  128,  iq4_table,  32,   SUPER, NO_OFFSET,    256,  127, false};
const lp_unit_class lp_units_tq1_0  = {2,    1,  NULL,       32,   BLOCK,  NO_OFFSET,    256,    1, false};
const lp_unit_class lp_units_tq2_0  = {2,    1,  NULL,       32,   BLOCK,  NO_OFFSET,    256,    2, false};
const lp_unit_class lp_units_mxfp4  = {4,   12,  e2m1_table, 32,   BF16,  NO_OFFSET,     32,   12, false};
const lp_unit_class lp_units_nvfp4  = {4,   12,  e2m1_table, 16,   BF16,  NO_OFFSET,     64,   12, false};
const lp_unit_class lp_units_q1_0   = {2,    1,  NULL,       32,   F16,   NO_OFFSET,    128,    1, false}; /* codes 0 and 2 */
const lp_unit_class lp_units_q2_0   = {2,    1,  NULL,       32,   F16,   NO_OFFSET,     64,    2, false};

/* n bytes to 2n codes: low nibbles, then high ones. */
static inline void nibbles(const uint8_t *qs, int n, uint8_t *restrict code)
{
    for (int j = 0; j < n; j++) {
        code[j] = qs[j] & 15;
        code[j + n] = qs[j] >> 4;
    }
}

/* n bytes to 4n codes: bits 0-1 of each, then bits 2-3, ... */
static inline void pairs(const uint8_t *qs, int n, uint8_t *restrict code)
{
    for (int r = 0; r < 4; r++)
        for (int j = 0; j < n; j++) code[n * r + j] = qs[j] >> 2 * r & 3;
}

void lp_split_q4_0(const uint8_t *block, lp_split *out)
{
    out->scale16[0] = lp_read_u16(block);
    nibbles(block + 2, 16, out->code);
}

void lp_split_q4_1(const uint8_t *block, lp_split *out)
{
    out->scale16[0] = lp_read_u16(block);
    out->offset16[0] = lp_read_u16(block + 2);
    nibbles(block + 4, 16, out->code);
}

static void fifth_bits(uint32_t qh, uint8_t *code)
{
    for (int j = 0; j < 32; j++) code[j] |= (uint8_t)((qh >> j & 1u) << 4);
}

void lp_split_q5_0(const uint8_t *block, lp_split *out)
{
    out->scale16[0] = lp_read_u16(block);
    nibbles(block + 6, 16, out->code);
    fifth_bits(lp_read_u32(block + 2), out->code);
}

void lp_split_q5_1(const uint8_t *block, lp_split *out)
{
    out->scale16[0] = lp_read_u16(block);
    out->offset16[0] = lp_read_u16(block + 2);
    nibbles(block + 8, 16, out->code);
    fifth_bits(lp_read_u32(block + 4), out->code);
}

void lp_split_q8_0(const uint8_t *block, lp_split *out)
{
    out->scale16[0] = lp_read_u16(block);
    for (int j = 0; j < 32; j++) out->code[j] = block[2 + j] ^ 0x80; /* q + 128 */
}

void lp_split_q2_k(const uint8_t *block, lp_split *out)
{
    out->scale16[0] = lp_read_u16(block + 80);
    out->offset16[0] = lp_read_u16(block + 82);
    for (int b = 0; b < 16; b++) {
        out->sub[b] = block[b] & 15;
        out->sub_offset[b] = block[b] >> 4;
    }
    pairs(block + 16, 32, out->code);
    pairs(block + 48, 32, out->code + 128);
}

void lp_split_q3_k(const uint8_t *block, lp_split *out)
{
    out->scale16[0] = lp_read_u16(block + 108);
    lp_k3_scales(block + 96, out->sub);
    pairs(block + 32, 32, out->code);
    pairs(block + 64, 32, out->code + 128);
    for (int r = 0; r < 8; r++)
        for (int j = 0; j < 32; j++) out->code[32 * r + j] |= (uint8_t)((block[j] >> r & 1) << 2);
}

/* Q4_K and Q5_K. */
static void super_header(const uint8_t *block, lp_split *out)
{
    uint8_t scale[8];
    out->scale16[0] = lp_read_u16(block);
    out->offset16[0] = lp_read_u16(block + 2);
    lp_k4_scales(block + 4, scale, out->sub_offset);
    memcpy(out->sub, scale, sizeof scale); /* at most 63 */
}

void lp_split_q4_k(const uint8_t *block, lp_split *out)
{
    super_header(block, out);
    for (int p = 0; p < 4; p++) nibbles(block + 16 + 32 * p, 32, out->code + 64 * p);
}

void lp_split_q5_k(const uint8_t *block, lp_split *out)
{
    super_header(block, out);
    for (int p = 0; p < 4; p++) nibbles(block + 48 + 32 * p, 32, out->code + 64 * p);
    for (int r = 0; r < 8; r++)
        for (int l = 0; l < 32; l++) out->code[32 * r + l] |= (uint8_t)((block[16 + l] >> r & 1) << 4);
}

void lp_split_q6_k(const uint8_t *block, lp_split *out)
{
    out->scale16[0] = lp_read_u16(block + 208);
    memcpy(out->sub, block + 192, 16);
    for (int h = 0; h < 2; h++) {
        uint8_t high[128];
        nibbles(block + 64 * h, 64, out->code + 128 * h);
        pairs(block + 128 + 32 * h, 32, high);
        for (int l = 0; l < 128; l++) out->code[128 * h + l] |= (uint8_t)(high[l] << 4);
    }
}

void lp_split_iq4_nl(const uint8_t *block, lp_split *out) { lp_split_q4_0(block, out); }

void lp_split_iq4_xs(const uint8_t *block, lp_split *out)
{
    out->scale16[0] = lp_read_u16(block);
    lp_iq4_xs_scales(lp_read_u16(block + 2), block + 4, out->sub);
    for (int b = 0; b < 8; b++) nibbles(block + 8 + 16 * b, 16, out->code + 32 * b);
}

static void same_scale(uint16_t d, lp_split *out)
{
    for (int u = 0; u < 8; u++) out->scale16[u] = d;
}

void lp_split_q1_0(const uint8_t *block, lp_split *out)
{
    same_scale(lp_read_u16(block), out);
    for (int j = 0; j < 128; j++) out->code[j] = (uint8_t)((block[2 + j / 8] >> j % 8 & 1) * 2);
}

void lp_split_q2_0(const uint8_t *block, lp_split *out)
{
    same_scale(lp_read_u16(block), out);
    for (int j = 0; j < 64; j++) out->code[j] = block[2 + j / 4] >> 2 * (j % 4) & 3;
}

void lp_split_tq1_0(const uint8_t *block, lp_split *out)
{
    uint8_t *code = out->code, power = 1;
    same_scale(lp_read_u16(block + 52), out);
    for (int n = 0; n < 5; n++, power = (uint8_t)(power * 3)) {
        for (int m = 0; m < 32; m++) code[32 * n + m] = lp_tq1_digit(block[m], power);
        for (int m = 0; m < 16; m++) code[160 + 16 * n + m] = lp_tq1_digit(block[32 + m], power);
        if (n < 4)
            for (int m = 0; m < 4; m++) code[240 + 4 * n + m] = lp_tq1_digit(block[48 + m], power);
    }
}

void lp_split_tq2_0(const uint8_t *block, lp_split *out)
{
    same_scale(lp_read_u16(block + 64), out);
    pairs(block, 32, out->code);
    pairs(block + 32, 32, out->code + 128);
}

void lp_split_mxfp4(const uint8_t *block, lp_split *out)
{
    out->scale16[0] = lp_mxfp4_scale(block[0]);
    nibbles(block + 1, 16, out->code);
}

void lp_split_nvfp4(const uint8_t *block, lp_split *out)
{
    for (int s = 0; s < 4; s++) {
        out->scale16[s] = lp_nvfp4_scale(block[s]);
        nibbles(block + 4 + 8 * s, 8, out->code + 16 * s);
    }
}

const lp_unit_class *lp_packing_unit_class(const lp_packing *packing) { return ((const lp_layout *)packing)->units; }

void lp_packing_split(const lp_packing *packing, const uint8_t *block, lp_split *out)
{
    ((const lp_layout *)packing)->split(block, out);
}
