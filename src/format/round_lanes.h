/* Rounding many numbers at once: the rules of a rounder as constants for branch-free loops, and the functions that each
 * instruction set has for them. Elements and rules that these loops do not serve go through lp_round_one. */
#ifndef LP_FORMAT_ROUND_LANES_H
#define LP_FORMAT_ROUND_LANES_H

#include <stdbool.h>
#include <stdint.h>

#include "format/rounder.h"

typedef enum lp_lane_kind {
    LP_LANE_LADDER,
    LP_LANE_LADDER_SCALED, /* float32 only: exponents so wide that numbers are first scaled by 2^64 or 2^-64 */
    LP_LANE_POSIT,         /* float32 only, to nearest, ties to even */
    LP_LANE_FEW            /* float32 only: at most 16 values, found by comparing with the borders between them */
} lp_lane_kind;

typedef enum lp_lane_rule { LP_LANE_NEAREST_EVEN, LP_LANE_DIRECTED, LP_LANE_STOCHASTIC } lp_lane_rule;

typedef struct lp_lanes {
    lp_lane_kind kind;
    lp_lane_rule rule;
    int mantissa;        /* LADDER: bits of a step below its binade, at least 1; uniform ladders pretend to have 17 */
    int e_min;           /* and then e_min is 17 higher, so that every value is below 2^e_min */
    double limit;        /* a power of two above every value; larger magnitudes overflow like it */
    double top[2];       /* largest magnitude of positive, negative values */
    double beyond[2];    /* what a finite magnitude beyond it becomes: with its sign, or NaN */
    double infinite[2];
    uint32_t beyond_code[2], infinite_code[2], nan_code;
    bool negative_zero, skip_subnormals, flush_subnormals;
    /* DIRECTED: all ones or zero. Outward if beyond the middle; at it and x >= 0, x < 0, inner code odd; if not exact and
     * x >= 0, x < 0, inner code even. */
    uint32_t above_half, tie_positive, tie_negative, tie_odd, any_positive, any_negative, any_even;
    /* STOCHASTIC */
    uint32_t random_mask, equal; /* equal: all ones: every fraction counts as 1/2 */
    uint32_t seed[2], tensor, step;
    /* codes */
    int bits;
    uint32_t sign_bit, code_mask, code_add;
    bool twos_complement;
    int es;              /* POSIT */
    /* float32 to nearest even, saturating: a clamp before the rounding does what selects do after it */
    bool is_plain;
    bool is_wide;        /* float32's own 23 bits: no sum of float32 has room for a step; float64 and plain rounding serve */
    uint32_t top_bits;   /* plain and scaled: largest magnitude, as bits */
    /* FEW: the value and code below the first border, and from each border on; unused borders are infinite */
    float few_value[16], few_border[16];
    uint32_t few_code[16];
} lp_lanes;

/* False if only lp_round_one serves this rounder, or is quicker for n numbers. */
bool lp_lanes_make(const lp_rounder *rounder, int64_t n, lp_lanes *out);

/* Codes whose values are found by arithmetic on their bits. Of sign and magnitude: the magnitude shifted into float32's
 * fields; the others are integers with one step. */
typedef struct lp_lane_codes {
    bool is_integer, is_signed, negative_zero, is_even; /* is_even: the formula of normal numbers holds below them too */
    bool is_posit;       /* of at most 16 bits, values within float32 */
    int mantissa, e_min, bits, es;
    uint32_t top[2];     /* largest magnitude with a value, of positive and negative codes */
    float step;          /* of integers, and of what lies below the normal numbers */
} lp_lane_codes;

/* False if only lp_element_value, or a table of it, serves this element. */
bool lp_lane_codes_make(const lp_element *element, lp_lane_codes *out);

/* n numbers, of stochastic rules at most LP_LANES_MOST at a time; index: of the first in the stream of random words. */
enum { LP_LANES_MOST = 512 };
typedef struct lp_lane_functions {
    void (*values_f32)(const lp_lanes *lanes, const float *x, int64_t n, float *y, uint64_t index);
    void (*values_f64)(const lp_lanes *lanes, const double *x, int64_t n, double *y, uint64_t index);
    void (*codes_f32)(const lp_lanes *lanes, const float *x, int64_t n, uint32_t *codes, uint64_t index);
    /* False: there are codes that stand for no finite number, and their values are not set. */
    bool (*decode_f32)(const lp_lane_codes *c, const uint32_t *codes, int64_t n, float *y);
    /* lp_codes_pack and lp_codes_unpack */
    void (*pack)(const uint32_t *codes, int64_t n, int bits, uint8_t *bytes);
    void (*unpack)(const uint8_t *bytes, int64_t n, int bits, uint32_t *codes);
} lp_lane_functions;

extern const lp_lane_functions lp_lane_functions_avx2, lp_lane_functions_avx512, lp_lane_functions_neon;

/* Of the instruction set in use; NULL for plain C. */
const lp_lane_functions *lp_lane_functions_current(void);

#endif
