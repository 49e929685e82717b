/* Sixteen blocks encoded in lockstep: the batch, the plans that are data, and the entry per instruction set.
 *
 * A block's sums run in the order of its values, so vectors cannot help inside a block; they hold sixteen blocks
 * instead, value j of all of them side by side. Every loop over lanes is a plain C loop of LP_LANES, which compilers
 * turn into vector instructions; the bits are those of the scalar algorithm on any machine.
 * Card: formats/gguf-block-formats.md, reference quantisation; ptq/imatrix.md. */
#ifndef LP_QUANTIZE_SEARCH_LANES_H
#define LP_QUANTIZE_SEARCH_LANES_H

#include <stdbool.h>
#include <stdint.h>

/* Blocks in a batch, values per block and per search, sub-blocks and bytes per block at most. */
enum { LP_LANES = 16, LP_BLOCK_MAX = 256, LP_SEARCH_MAX = 32, LP_SUB_MAX = 16, LP_BYTES_MAX = 210 };

/* ---- searches ---------------------------------------------------------------------------------------------------- */

/* How one scale (and offset) is found for n values with weights. All round x times a trial inverse scale to levels
 * first .. last and differ in what they try and what they minimise. */
typedef enum lp_search_kind {
    /* scale = extreme value / span; a positive span takes the extreme's magnitude. No codes */
    LP_KIND_QUOTIENT,
    /* offset = least value of either sign, scale = range / span. No codes */
    LP_KIND_RANGE,
    /* a power of two by the exponent of the largest magnitude (MX floor rule). No codes */
    LP_KIND_EXPONENT,
    /* inverse scale = span / extreme value, and scale its inverse */
    LP_KIND_EXTREME,
    /* scale = extreme value / span, and inverse scale its inverse */
    LP_KIND_DIVIDED,
    /* for values >= 0: scale = largest / span */
    LP_KIND_LARGEST,
    /* trials keep the largest (sum w x l)^2 / (sum w l^2), the weighted squared error's complement; scale refitted */
    LP_KIND_CORRELATION,
    /* one start, then coordinate descent on the same objective: one level at a time */
    LP_KIND_DESCENT,
    /* trials keep the least sum w (x - l / i)^2 (scale not refitted), then coordinate descent; values >= 0 */
    LP_KIND_POSITIVE,
    /* scale and offset <= 0 by weighted least squares for each trial, least sum w |x - (s l + m)|^p kept */
    LP_KIND_AFFINE
} lp_search_kind;

/* Trial k of first_trial .. last_trial has the inverse scale (base + step k + span) / extent, where extent is the signed
 * extreme, the largest value, or the range. skip_zero leaves out k = 0, which is the start itself. */
typedef struct lp_scale_search {
    lp_search_kind kind;
    int first, last;       /* levels */
    float span;            /* numerator of the start: the level that the extreme value gets */
    float base, step;
    int first_trial, last_trial;
    bool skip_zero;
    bool absolute;         /* AFFINE: absolute differences instead of squares */
    bool any_start;        /* DESCENT: a level may change although the others' sum w l^2 is not positive */
    bool table;            /* levels are codes 0..15 of the IQ4 table */
    float floor;           /* below this magnitude all is zero */
} lp_scale_search;

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/* Weight of value x in the fit, sigma2 being the mean square that the plan names. */
typedef enum lp_weighting {
    LP_WEIGHT_NONE,
    LP_WEIGHT_SQUARE,     /* x^2 */
    LP_WEIGHT_MAGNITUDE,  /* |x| */
    LP_WEIGHT_RMS,        /* sqrt(mean square of the sub-block) + |x| */
    LP_WEIGHT_IMPORTANCE, /* w */
    LP_WEIGHT_ROOT        /* w sqrt(sigma2 + x^2) */
} lp_weighting;

typedef enum lp_sigma { LP_SIGMA_NONE, LP_SIGMA_BLOCK, LP_SIGMA_ROW } lp_sigma;

/* Where the final codes come from. */
typedef enum lp_final {
    LP_FINAL_SEARCH,   /* those of the search */
    LP_FINAL_TRUNCATE, /* trunc(x / d + bias) with d before its rounding to f16: the simple types' reference */
    LP_FINAL_AWAY,     /* nearest, ties away from zero, same d (Q8_0) */
    LP_FINAL_TABLE,    /* nearest table entry, same d (IQ4_NL) */
    LP_FINAL_STORED,   /* nearest with the scales as stored; a zero scale keeps the search's codes */
    LP_FINAL_E2M1      /* nearest E2M1 value, ties to the smaller magnitude */
} lp_final;

typedef struct lp_encode_plan {
    lp_weighting weighting;
    lp_sigma sigma;
    float sigma_factor;
    const lp_scale_search *sub;   /* scale and offset of each sub-block */
    const lp_scale_search *super; /* codes of the sub-blocks' scales, and of their offsets; NULL: scales are stored as f16 */
    lp_final final;
    float bias;                   /* TRUNCATE */
} lp_encode_plan;

/* Fields of `bits` bits, taken from code >> shift, in runs of `group` bytes: field f of byte m of run r holds value
 * r * group * 8 / bits + f * group + m. */
typedef struct lp_plane {
    int bits, shift, group, at;
} lp_plane;

typedef enum lp_sub_layout {
    LP_SUB_NONE,
    LP_SUB_NIBBLES,  /* Q2_K: scale low, offset high */
    LP_SUB_SIX,      /* Q3_K: 16 six-bit scales, offset by 32 */
    LP_SUB_SIX_PAIR, /* Q4_K, Q5_K: 8 six-bit scales and 8 six-bit offsets */
    LP_SUB_BYTES,    /* Q6_K: int8 */
    LP_SUB_SPLIT     /* IQ4_XS: 8 six-bit scales, offset by 32: a word of high pairs, then nibbles */
} lp_sub_layout;

typedef struct lp_encode_format {
    const char *name;        /* of the packing */
    int n_values, n_bytes;   /* per block */
    int n_sub;               /* values per sub-block */
    int zero;                /* code of level 0 */
    int at_scale;            /* byte of d */
    int at_offset;           /* byte of the f16 m of d q + m, or of dmin where sub-blocks have offsets; -1: none */
    bool exponent;           /* d is one byte, the exponent of 2^(e - 128) in units of half an E2M1 step, instead of an f16 */
    lp_sub_layout sub_layout;
    int at_sub;
    lp_plane plane[2];       /* bits 0: unused */
    lp_encode_plan plain, weighted, rtn;
} lp_encode_format;

/* The encoded (not float) packings. NULL: none of that name. */
const lp_encode_format *lp_encode_format_find(const char *name);

/* ---- a batch ----------------------------------------------------------------------------------------------------- */

typedef struct lp_encode_batch {
    float x[LP_BLOCK_MAX][LP_LANES];      /* values, [j][block] */
    float w[LP_BLOCK_MAX][LP_LANES];      /* in: importance where the plan reads it; then the weights of the fit */
    float row_mean[LP_LANES];             /* in: mean square of the block's row, for LP_SIGMA_ROW */
    uint8_t code[LP_BLOCK_MAX][LP_LANES];
    uint8_t bytes[LP_BYTES_MAX][LP_LANES]; /* out: the blocks, [byte][block] */
} lp_encode_batch;

/* Encodes the sixteen blocks of a batch. Returns a mask of lanes whose stored scale or offset is not finite. */
typedef uint32_t lp_encode_batch_fn(const lp_encode_format *format, const lp_encode_plan *plan, lp_encode_batch *batch);
/* Scales of sixteen blocks as they are stored. */
typedef struct lp_encode_scales {
    uint16_t d[LP_LANES], m[LP_LANES];       /* f16 bits of scale and offset; d the byte where it is an exponent */
    uint8_t sub[LP_SUB_MAX][LP_LANES];       /* codes of the sub-blocks' scales, from 0 for the least */
    uint8_t sub_offset[LP_SUB_MAX][LP_LANES];
} lp_encode_scales;

/* The bytes of sixteen blocks whose codes [value][block] and scales somebody else chose. */
void lp_encode_store(const lp_encode_format *format, const lp_encode_scales *scales, const uint8_t (*code)[LP_LANES],
                     uint8_t (*bytes)[LP_LANES]);

lp_encode_batch_fn lp_encode_batch_ref;
lp_encode_batch_fn lp_encode_batch_avx2;
lp_encode_batch_fn lp_encode_batch_avx512;

#endif
