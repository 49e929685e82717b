/* An element and a rounding rule made ready: what the exact reference and the vector kernels share. */
#ifndef LP_FORMAT_ROUNDER_H
#define LP_FORMAT_ROUNDER_H

#include <string.h>

#include <lowp/round.h>

typedef enum lp_rounder_shape {
    LP_SHAPE_LADDER, /* magnitudes numbered 0, 1, 2 ..., equidistant inside each binade: floats, integers, fixed point */
    LP_SHAPE_POSIT,
    LP_SHAPE_TABLE,  /* at most 256 listed values */
    LP_SHAPE_COMPLEX
} lp_rounder_shape;

typedef struct lp_rounder {
    lp_element element;
    lp_rounding rounding;
    lp_rounder_shape shape;
    uint32_t random_mask; /* bits of a random word that count */

    /* LADDER: rung k is the magnitude (2^mantissa + m) 2^(e - mantissa), k = (e - e_min) 2^mantissa + m + first, and below
     * 2^e_min, where the steps stay equal, k 2^(e_min - mantissa). */
    bool is_uniform;         /* equal steps 2^-fraction everywhere */
    bool no_zero;            /* the least rung is 2^e_min: e8m0 */
    bool has_negative_zero;
    bool has_infinity, has_nan;
    int e_min, mantissa;
    int64_t top[2];          /* largest rung of positive, negative values */

    /* TABLE: distinct values, ascending, and their codes */
    int n;
    double value[256];
    uint8_t code[256];
} lp_rounder;

/* Errors: LP_USAGE where the rule cannot be applied to the element. */
lp_status lp_rounder_make(const lp_element *element, const lp_rounding *rounding, lp_rounder *out);

/* A rounded number: its code (0 where the element has none for it: NaN) and its value (NaN: positive). */
typedef struct lp_rounded {
    double value;
    uint32_t code;
} lp_rounded;

/* The specification: x rounded under one random word, by integer arithmetic on its bits. */
lp_rounded lp_round_one(const lp_rounder *rounder, double x, uint32_t word);

/* EXPONENT: sign(q) (|q| / Q)^(1/a), in float64; of half integers the borders. */
double lp_exponent_value(const lp_element *element, double q);

/* Complex elements. */
uint32_t lp_round_complex(double re, double im);

/* floor((x - a) / (b - a) * 2^32), exactly, for 0 <= a <= x < b or 0 >= a >= x > b with values of at most 53 bits. */
uint64_t lp_fraction_32(double a, double x, double b);

/* 2^e, -1022 <= e <= 1023 */
static inline double lp_power_of_two(int e)
{
    uint64_t bits = (uint64_t)(e + 1023) << 52;
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static inline bool lp_is_stochastic(lp_rounding_mode mode)
{
    return mode == LP_ROUND_STOCHASTIC || mode == LP_ROUND_STOCHASTIC_EQUAL;
}

#endif
