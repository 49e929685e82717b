/* The steps of exp in float64, shared by lp_exp and the vector kernels: the constants stand here once.
 *
 *   x above EXP_MAX: +inf; below EXP_MIN: +0; NaN: NaN
 *   n = rint(x * LOG2E)
 *   high = fma(n, -LN2_HI, x) (exact); r = fma(n, -LN2_LO, high); low = fma(n, -LN2_LO, high - r)
 *   q = Horner of LP_EXP_C in r, by fma
 *   sum = 1 + r; low = fma(r * r, q, low) + ((1 - sum) + r)
 *   exp = (sum + low) * 2^n, in two factors 2^floor(n/2) and 2^(n - floor(n/2))
 */
#ifndef LP_BASE_EXP_F64_H
#define LP_BASE_EXP_F64_H

#define LP_EXP_MAX 0x1.62e42fefa39efp+9    /* the last argument whose exp is finite */
#define LP_EXP_MIN (-0x1.74910d52d3051p+9) /* the last argument whose exp rounds above 0 */
#define LP_EXP_LOG2E 0x1.71547652b82fep+0
#define LP_EXP_LN2_HI 0x1.62e42fefa2000p-1 /* 40 bits: a product with an exponent is exact */
#define LP_EXP_LN2_LO 0x1.9ef35793c7673p-41

/* (exp(r) - 1 - r) / r^2 on |r| <= 0.35, relative error 2^-57; from the highest degree down */
#define LP_EXP_C                                                                                                      \
    {0x1.1f75a3caadff5p-29, 0x1.af5282aacdb2ep-26, 0x1.27e4da1e12fb1p-22, 0x1.71ddfff6573d6p-19,                      \
     0x1.a01a01a74077ap-16, 0x1.a01a01ac9de9ep-13, 0x1.6c16c16c16214p-10, 0x1.111111110ff8bp-7,                       \
     0x1.5555555555556p-5,  0x1.5555555555557p-3,  0.5}

#endif
