/* Rows of the packing table: a public packing and the functions that read its bytes. */
#ifndef LP_FORMAT_LAYOUT_H
#define LP_FORMAT_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include <lowp/format.h>

#include "format/rows.h"
#include "format/split.h"

/* What find_nonfinite looks at in a block. */
typedef enum lp_scan_kind {
    LP_SCAN_NONE, /* integers, and scales that have no code for NaN */
    LP_SCAN_F16,  /* halves at offsets scan_at[0] and, unless negative, scan_at[1] */
    LP_SCAN_BF16, /* at scan_at[0] */
    LP_SCAN_F32,  /* at scan_at[0] */
    LP_SCAN_F64,  /* at scan_at[0] */
    LP_SCAN_E8M0, /* a byte at scan_at[0]; 255 is NaN */
    LP_SCAN_IQ1M  /* a half spread over the top nibbles of four 16-bit words at scan_at[0] */
} lp_scan_kind;

/* How rows are read: one instance for blocks, one for planes. As the functions of rows.h. */
typedef struct lp_packing_functions {
    bool (*planes)(const lp_packing *packing, int64_t k, int64_t n_rows, lp_planes *out);
    void (*decode)(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, int64_t n, float *dst);
    int64_t (*find_nonfinite)(const lp_packing *packing, const lp_row *row, int64_t k);
    void (*split)(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, lp_split *out);
} lp_packing_functions;

typedef struct lp_layout {
    lp_packing packing; /* first: a pointer to it is a pointer to its row */
    void (*decode)(const uint8_t *src, int64_t n_blocks, float *dst); /* NULL: not built */
    const lp_unit_class *units;                                      /* NULL: no units */
    void (*split)(const uint8_t *block, lp_split *out);              /* NULL iff units is */
    lp_scan_kind scan;
    int scan_at[2];
    const lp_packing_functions *functions;
} lp_layout;

/* decode.c */
void lp_decode_f32(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_f16(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_bf16(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_q4_0(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_q4_1(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_q5_0(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_q5_1(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_q8_0(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_q2_k(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_q3_k(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_q4_k(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_q5_k(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_q6_k(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_iq4_nl(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_iq4_xs(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_tq1_0(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_tq2_0(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_mxfp4(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_nvfp4(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_q1_0(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_q2_0(const uint8_t *src, int64_t n_blocks, float *dst);

/* split.c: the same layouts as integers and scales. */
extern const lp_unit_class lp_units_q4_0, lp_units_q4_1, lp_units_q5_0, lp_units_q5_1, lp_units_q8_0, lp_units_q2_k,
    lp_units_q3_k, lp_units_q4_k, lp_units_q5_k, lp_units_q6_k, lp_units_iq4_nl, lp_units_iq4_xs, lp_units_tq1_0,
    lp_units_tq2_0, lp_units_mxfp4, lp_units_nvfp4, lp_units_q1_0, lp_units_q2_0;
void lp_split_q4_0(const uint8_t *block, lp_split *out);
void lp_split_q4_1(const uint8_t *block, lp_split *out);
void lp_split_q5_0(const uint8_t *block, lp_split *out);
void lp_split_q5_1(const uint8_t *block, lp_split *out);
void lp_split_q8_0(const uint8_t *block, lp_split *out);
void lp_split_q2_k(const uint8_t *block, lp_split *out);
void lp_split_q3_k(const uint8_t *block, lp_split *out);
void lp_split_q4_k(const uint8_t *block, lp_split *out);
void lp_split_q5_k(const uint8_t *block, lp_split *out);
void lp_split_q6_k(const uint8_t *block, lp_split *out);
void lp_split_iq4_nl(const uint8_t *block, lp_split *out);
void lp_split_iq4_xs(const uint8_t *block, lp_split *out);
void lp_split_tq1_0(const uint8_t *block, lp_split *out);
void lp_split_tq2_0(const uint8_t *block, lp_split *out);
void lp_split_mxfp4(const uint8_t *block, lp_split *out);
void lp_split_nvfp4(const uint8_t *block, lp_split *out);
void lp_split_q1_0(const uint8_t *block, lp_split *out);
void lp_split_q2_0(const uint8_t *block, lp_split *out);

/* iq.c: both for the formats with code books. */
extern const lp_unit_class lp_units_iq2_xxs, lp_units_iq2_xs, lp_units_iq2_s, lp_units_iq3_xxs, lp_units_iq3_s, lp_units_iq1_s,
    lp_units_iq1_m;
void lp_decode_iq2_xxs(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_iq2_xs(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_iq3_xxs(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_iq1_s(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_iq3_s(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_iq2_s(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_decode_iq1_m(const uint8_t *src, int64_t n_blocks, float *dst);
void lp_split_iq2_xxs(const uint8_t *block, lp_split *out);
void lp_split_iq2_xs(const uint8_t *block, lp_split *out);
void lp_split_iq3_xxs(const uint8_t *block, lp_split *out);
void lp_split_iq1_s(const uint8_t *block, lp_split *out);
void lp_split_iq3_s(const uint8_t *block, lp_split *out);
void lp_split_iq2_s(const uint8_t *block, lp_split *out);
void lp_split_iq1_m(const uint8_t *block, lp_split *out);

/* ---- fields that decode and split both read ---------------------------------------------------------------------- */

/* Q4_K and Q5_K: eight 6-bit scales and eight 6-bit minimums in 12 bytes. */
static inline void lp_k4_scales(const uint8_t x[12], uint8_t scale[8], uint8_t minimum[8])
{
    for (int b = 0; b < 4; b++) {
        scale[b] = x[b] & 63;
        minimum[b] = x[b + 4] & 63;
        scale[b + 4] = (uint8_t)((x[b + 8] & 15) | (x[b] >> 6) << 4);
        minimum[b + 4] = (uint8_t)(x[b + 8] >> 4 | (x[b + 4] >> 6) << 4);
    }
}

/* Q3_K: sixteen 6-bit scales in 12 bytes, excess 32. */
static inline void lp_k3_scales(const uint8_t x[12], int8_t scale[16])
{
    for (int b = 0; b < 16; b++) {
        int low = b < 8 ? x[b] & 15 : x[b - 8] >> 4;
        int high = x[8 + b % 4] >> 2 * (b / 4) & 3;
        scale[b] = (int8_t)((low | high << 4) - 32);
    }
}

/* IQ4_XS: eight 6-bit scales, excess 32; sh holds the high pairs, sl the low nibbles. */
static inline void lp_iq4_xs_scales(unsigned sh, const uint8_t sl[4], int8_t scale[8])
{
    for (int b = 0; b < 8; b++) {
        unsigned low = (unsigned)(sl[b / 2] >> 4 * (b % 2)) & 15u, high = sh >> 2 * b & 3u;
        scale[b] = (int8_t)((int)(low | high << 4) - 32);
    }
}

/* The digit of TQ1_0 that a factor of 3^n brings to the top: 0, 1 or 2. */
static inline uint8_t lp_tq1_digit(uint8_t byte, uint8_t power) { return (uint8_t)((uint8_t)(byte * power) * 3 >> 8); }

/* bf16 bits of 2^(e - 128), half of the E8M0 scale (the other factor is in the table of doubled E2M1 values). The two
 * lowest are subnormal; 255 is NaN. */
static inline uint16_t lp_mxfp4_scale(uint8_t e)
{
    if (e == 255) return 0x7fc0;
    return (uint16_t)(e >= 2 ? (e - 1) << 7 : 0x20 << e);
}

/* bf16 bits of half of an NVFP4 scale, exact. Bit 7 is ignored; 0 and 0x7F stand for 0, as in GGUF's definition. */
static inline uint16_t lp_nvfp4_scale(uint8_t c)
{
    unsigned exponent = c >> 3 & 15u, mantissa = c & 7u;
    if (c == 0 || c == 0x7f) return 0;
    if (exponent) return (uint16_t)((exponent + 119) << 7 | mantissa << 4); /* 2^(exponent - 7 - 1): 127 - 8 */
    if (mantissa == 0) return 0;                                           /* 0x80 */
    int top = mantissa >= 4 ? 2 : mantissa >= 2 ? 1 : 0;                   /* mantissa * 2^-10, normalised */
    return (uint16_t)((unsigned)(117 + top) << 7 | ((mantissa << (7 - top)) & 127u));
}

#endif
