/* Emulated arithmetic: every operation is the exact result on float32 numbers, rounded once to an element. There is no
 * double rounding in any mode: inner results are kept to odd, so that a second rounding cannot see a tie that was none. */
#ifndef LOWP_ARITH_H
#define LOWP_ARITH_H

#include <stdbool.h>
#include <stdint.h>

#include <lowp/round.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lp_operation {
    LP_OPERATION_ADD,   /* a + b */
    LP_OPERATION_SUB,   /* a - b */
    LP_OPERATION_MUL,   /* a b */
    LP_OPERATION_DIV,   /* a / b */
    LP_OPERATION_SQRT,  /* sqrt(a) */
    LP_OPERATION_FMA,   /* a b + c */
    LP_OPERATION_L_MUL, /* lp_l_mul with the mantissa of the element (23 where it is no float) */
    LP_OPERATION_COUNT
} lp_operation;

/* y[i] = round(operation(a[i], b[i], c[i])); operands that the operation does not have may be NULL. Operands are taken as
 * they are: round them first where they shall be values of the element. x / 0, sqrt(-1) and operations on infinities
 * give what IEEE 754 says, rounded (in posits: NaR). Rounding rules and errors as lp_round_f32; stochastic rounding is
 * that of item i. Its fraction is exact for elements of at most 20 bits of precision. */
LP_API lp_status lp_arith_f32(lp_operation operation, const lp_element *element, const lp_rounding *rounding, const float *a,
                              const float *b, const float *c, int64_t n, float *y, lp_pool *pool);

/* L-Mul (Addition is All You Need, 2024), bit form: x and y rounded to `mantissa` bits (1 .. 23) to nearest even, then
 * the sum of exponent and mantissa fields plus 2^-l, l = mantissa up to 3, 3 for 4, else 4. A zero or subnormal operand
 * gives 0, results below the normal range 0 and beyond it infinity; infinities and NaN as in a product. */
LP_API float lp_l_mul(int mantissa, float x, float y);

typedef enum lp_accumulation {
    LP_ACCUMULATE_ROUNDED, /* each product is rounded to `product`, each sum to `sum` */
    LP_ACCUMULATE_FUSED,   /* sum = round(a b + sum), one rounding a term */
    LP_ACCUMULATE_EXACT    /* a quire: products and sums are exact, the end is rounded once; any order gives the same */
} lp_accumulation;

/* How dot products are computed. Terms in ascending order from 0. Random word of a rounding: index `first` + 2 i for
 * the product of term i, + 2 i + 1 for its sum; in a product of matrices first is 2 k (row N + column) more. */
typedef struct lp_arith {
    lp_accumulation accumulation;
    const lp_element *product; /* NULL: as sum */
    const lp_element *sum;     /* accumulator, and format of the result */
    lp_rounding rounding;
    bool l_mul;                /* products by lp_l_mul with the product's mantissa; not FUSED, and EXACT sums them */
} lp_arith;

/* *y = a . b over n terms. Errors: LP_USAGE. */
LP_API lp_status lp_arith_dot_f32(const lp_arith *arith, const float *a, const float *b, int64_t n, float *y);

/* y[m][n] = a[m][k] times the transpose of b[n][k], rows contiguous. */
LP_API lp_status lp_arith_matmul_f32(const lp_arith *arith, const float *a, const float *b, int64_t m, int64_t n, int64_t k,
                                     float *y, lp_pool *pool);

#ifdef __cplusplus
}
#endif
#endif
