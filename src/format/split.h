/* A quantized block as integers and scales: what the integer kernels see of a packing. */
#ifndef LP_FORMAT_SPLIT_H
#define LP_FORMAT_SPLIT_H

#include <stdbool.h>
#include <stdint.h>

#include <lowp/format.h>

/* Every quantized GGUF type is: value = w_u * (table[code] - zero) + o_u, with w_u and o_u constant over a unit. */
typedef enum lp_scale_kind {
    LP_SCALE_F16,   /* w_u = f16 of the unit */
    LP_SCALE_BF16,  /* w_u = bf16 of the unit (powers of two, subnormals included: MXFP4 with its 1/2 folded in) */
    LP_SCALE_F32,   /* w_u = f32 of the unit, exact: products of an f16 and a small integer with a power of two (IQ1-IQ3) */
    LP_SCALE_BLOCK, /* w_u = f16 of 256 values (TQ1_0, TQ2_0) */
    LP_SCALE_SUPER, /* w_u = f16 of 256 values * int8 of the unit (exact in f32) */
    LP_SCALE_SUPER4, /* the same with 4-bit scale and offset, which share a byte (Q2_K) */
    LP_SCALE_NONE   /* w_u = 1: what scale there is multiplies the finished row */
} lp_scale_kind;

typedef enum lp_offset_kind {
    LP_OFFSET_KIND_NONE,
    LP_OFFSET_KIND_F16,   /* o_u = +f16 of the unit (Q4_1, Q5_1) */
    LP_OFFSET_KIND_F32,   /* o_u = +f32 of the unit */
    LP_OFFSET_KIND_SUPER  /* o_u = -fl(f16 dmin of the block * uint8 of the unit) (Q2_K, Q4_K, Q5_K) */
} lp_offset_kind;

typedef struct lp_unit_class {
    int code_bits;          /* width of a stored code: 2 3 4 5 6 8; codes are unsigned */
    int zero;               /* subtracted from the table's value: 8 for Q4_0, 32 for Q6_K, 128 for Q8_0 (code = q + 128) */
    const uint8_t *table;   /* value + zero of each code, as uint8 (IQ types: zero 128; MXFP4: zero 12): [16], or [32] for
                             * 5 bits; NULL: identity */
    int unit;               /* values per unit: 16 or 32 */
    lp_scale_kind scale;
    lp_offset_kind offset;
    int block;              /* values per split call: n_values of the packing */
    int max_abs;            /* largest |table[code] - zero| */
    bool row_scale;         /* the format has a scale that is constant along a row: it multiplies the finished chain */
} lp_unit_class;

/* One block, split (the last of a row of our own formats may be shorter). n = block / unit units. */
typedef struct lp_split {
    uint8_t code[256];      /* in order of k */
    uint16_t scale16[16];   /* F16, BF16: of each unit; SUPER: [0] is d of the block */
    float scale32[16];      /* F32: of each unit */
    int8_t sub[16];         /* SUPER: of each unit */
    uint16_t offset16[16];  /* F16: of each unit; SUPER: [0] is dmin of the block */
    float offset32[16];     /* F32: of each unit */
    uint8_t sub_offset[16]; /* SUPER: of each unit */
    float row_scale;        /* where the class has one */
} lp_split;

/* NULL for float and integer packings, which have no units. */
const lp_unit_class *lp_packing_unit_class(const lp_packing *packing);
void lp_packing_split(const lp_packing *packing, const uint8_t *block, lp_split *out);

#endif
