/* Rounding: arrays of float32 or float64 to the values, or to the packed codes, of any element of lowp/format.h. Every
 * result is that of exact real arithmetic rounded once, whatever the instruction set and the number of threads. */
#ifndef LOWP_ROUND_H
#define LOWP_ROUND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/format.h>
#include <lowp/pool.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Which of the two neighbours lo <= x <= hi in the element's value set is taken; a value of the set stays. */
typedef enum lp_rounding_mode {
    LP_ROUND_NEAREST_EVEN,     /* nearer one; ties by the element's own rule, which for all but tables is the even code */
    LP_ROUND_NEAREST_AWAY,     /* ties to the larger magnitude */
    LP_ROUND_NEAREST_ZERO,     /* ties to the smaller magnitude */
    LP_ROUND_HALF_UP,          /* ties toward +infinity */
    LP_ROUND_HALF_DOWN,        /* ties toward -infinity */
    LP_ROUND_TOWARD_ZERO,      /* between neighbours on different sides of zero: to the one of x's sign */
    LP_ROUND_UP,               /* toward +infinity */
    LP_ROUND_DOWN,             /* toward -infinity */
    LP_ROUND_ODD,              /* the neighbour with the odd code */
    LP_ROUND_STOCHASTIC,       /* away from zero with probability (|x| - |inner|)/(|outer| - |inner|) */
    LP_ROUND_STOCHASTIC_EQUAL, /* either with probability 1/2 */
    LP_ROUND_MODE_COUNT
} lp_rounding_mode;

/* What becomes of a result beyond the largest value. Rounding comes first, on the value set continued without end:
 * 464 is a tie between 448 and 480 in e4m3 and gives 448, more than that overflows. */
typedef enum lp_overflow {
    LP_OVERFLOW_SATURATE,  /* the end of the range */
    LP_OVERFLOW_SYMMETRIC, /* the range is cut to -max .. max first: i8 gives -127 for -128 */
    LP_OVERFLOW_ZERO,      /* 0 */
    LP_OVERFLOW_INFINITY,  /* infinity, or NaN where the element has no infinity. As in IEEE 754, a finite x that is
                            * rounded toward zero (or to odd, or away from its infinity) stops at the largest value */
    LP_OVERFLOW_NAN,       /* NaN */
    LP_OVERFLOW_WRAP,      /* modulo 2^bits: integers and fixed point */
    LP_OVERFLOW_COUNT
} lp_overflow;

typedef enum lp_subnormals {
    LP_SUBNORMALS_KEEP,  /* as the element has them */
    LP_SUBNORMALS_FLUSH, /* a result below the least normal value becomes 0 of its sign */
    LP_SUBNORMALS_NONE,  /* they are not in the value set: x below the least normal value rounds to it or to 0 */
    LP_SUBNORMALS_COUNT
} lp_subnormals;

/* All zeros: nearest-even, saturating, subnormals kept.
 *
 * NaN: values become the NaN 0x7fc00000 with the sign of the input (float64: 0x7ff8000000000000); codes become the
 * element's NaN (0x7f of e4m3, 0x7e of e5m2, 0x80 of fnuz, NaR of posits), and that of the value nearest to 0 where it has none. A NaN that stands for
 * an overflow has the sign of x in its code too, where the element has both.
 * Infinities stay infinities under LP_OVERFLOW_INFINITY where the element has them; they become the end of the range
 * when saturating, 0, or NaN by the other rules, and are as NaN when wrapping. In posits they are NaR.
 * Zero: -0 stays where the element has it, and a negative x that rounds to 0 gives it.
 * Posits: magnitudes are rounded on the infinite bit string, so the midpoint of two codes is the value of the code of
 * one bit more between them; nearest modes never give 0 or NaR for a finite x that is not 0.
 * Elements without zero (e8m0, b3): what lies below the least value becomes it; negative x in unsigned elements are
 * below.
 *
 * Random bits come from Philox4x32-10, counter-based: for item i of the array word i % 4 of the counter
 * (i / 4, tensor, step, 0) under the key (low, high word of seed). A result depends on x, seed, tensor, step and i alone.
 * LP_ROUND_STOCHASTIC goes outward if and only if floor(fraction * 2^32) + word >= 2^32, and with 0 < n < 32 random
 * bits the top n bits of the word alone count; between neighbours on different sides of zero "outward" is up. A fraction
 * below 2^-32 never goes outward. LP_ROUND_STOCHASTIC_EQUAL goes outward if the top bit of the word is set. */
typedef struct lp_rounding {
    lp_rounding_mode mode;
    lp_overflow overflow;
    lp_subnormals subnormals;
    int random_bits;       /* 1 .. 32, 0 stands for 32 */
    uint64_t seed;
    uint32_t tensor, step; /* words of the counter: 0 for single arrays */
    uint64_t first;        /* index of the array's first item: 0, or where a part of a larger array begins */
} lp_rounding;

/* "nearest-even", "nearest-away", "nearest-zero", "half-up", "half-down", "toward-zero", "up", "down", "odd",
 * "stochastic", "stochastic-equal"; "saturate", "symmetric", "zero", "infinity", "nan", "wrap"; "keep", "flush", "none".
 * NULL for a number that is none. */
LP_API const char *lp_rounding_mode_name(lp_rounding_mode mode);
LP_API const char *lp_overflow_name(lp_overflow overflow);
LP_API const char *lp_subnormals_name(lp_subnormals subnormals);

/* LP_USAGE if the rule cannot be applied to the element: wrapping floats, infinity or NaN where an element has neither,
 * subnormals of what is no float, random_bits outside 0 .. 32. The three functions below refuse the same. */
LP_API lp_status lp_rounding_check(const lp_element *element, const lp_rounding *rounding);

/* Rounds n values to values of the element: y[i] for x[i]. y may be x itself; else they must not overlap. rounding NULL
 * stands for all zeros, pool NULL for the calling thread. Complex elements take pairs (real, imaginary part), n even.
 * Errors: LP_USAGE. */
LP_API lp_status lp_round_f32(const lp_element *element, const lp_rounding *rounding, const float *x, int64_t n, float *y,
                              lp_pool *pool);

/* From float64, rounded once: exact also where going through float32 would round twice. */
LP_API lp_status lp_round_f64(const lp_element *element, const lp_rounding *rounding, const double *x, int64_t n, double *y,
                              lp_pool *pool);

/* Bytes of n packed codes: code i takes bits [i*bits, (i+1)*bits) of a little-endian string of bits, the last byte is
 * filled with zeros. 0 if n is negative or the size exceeds PTRDIFF_MAX. Complex elements have one code per pair. */
LP_API size_t lp_codes_bytes(const lp_element *element, int64_t n);

/* The packed codes of the rounded values; codes has lp_codes_bytes. Errors: LP_USAGE. */
LP_API lp_status lp_round_codes_f32(const lp_element *element, const lp_rounding *rounding, const float *x, int64_t n,
                                    void *codes, lp_pool *pool);
LP_API lp_status lp_round_codes_f64(const lp_element *element, const lp_rounding *rounding, const double *x, int64_t n,
                                    void *codes, lp_pool *pool);

/* The n values of packed codes (n / 2 pairs of complex ones); NaN for codes without a value. */
LP_API lp_status lp_codes_values_f32(const lp_element *element, const void *codes, int64_t n, float *y, lp_pool *pool);
LP_API lp_status lp_codes_values_f64(const lp_element *element, const void *codes, int64_t n, double *y, lp_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
