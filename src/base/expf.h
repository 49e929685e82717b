/* The steps of exp in float32, shared by lp_expf and the vector kernels: the constants stand here once.
 *
 *   x above EXPF_MAX: +inf; below EXPF_MIN: +0; NaN: NaN
 *   n = rint(x * LOG2E)                                  (nearest even)
 *   r = fmaf(n, -LN2_HI, x); r = fmaf(n, -LN2_LO, r)
 *   q = C0; q = fmaf(q, r, C1); ... q = fmaf(q, r, C5)
 *   y = fmaf(q, fl(r*r), r); y = fl(y + 1)
 *   exp = y * 2^n, rounded once (in two exact-then-rounded factors 2^(n>>1), 2^(n-(n>>1)), or one scalef)
 */
#ifndef LP_BASE_EXPF_H
#define LP_BASE_EXPF_H

#define LP_EXPF_MAX 0x1.62e42ep6f   /* 88.7228394: the last float whose exp is finite */
#define LP_EXPF_MIN (-0x1.9fe368p6f) /* -103.972076: the last float whose exp rounds above 0 */
#define LP_EXPF_LOG2E 0x1.715476p0f
#define LP_EXPF_LN2_HI 0x1.62e43p-1f
#define LP_EXPF_LN2_LO (-0x1.05c61p-29f)
#define LP_EXPF_C0 0x1.a293d2p-13f
#define LP_EXPF_C1 0x1.6d436ap-10f
#define LP_EXPF_C2 0x1.110fep-7f
#define LP_EXPF_C3 0x1.5554fp-5f
#define LP_EXPF_C4 0x1.555556p-3f
#define LP_EXPF_C5 0.5f

/* The steps of tanh in float32, shared by lp_tanhf and the vector kernels. With a = |x|:
 *   a < LP_TANHF_SMALL: z = fl(a*a); q = T0; q = fmaf(q, z, T1); ... T5; y = fmaf(fl(a*z), q, a)
 *   otherwise, NaN too: y = fl(1 - fl(2 / fl(exp(fl(2a)) + 1)))
 *   tanh = y with the sign of x
 * T: (tanh(a)/a - 1)/a^2 as a polynomial of a^2, interpolated at Chebyshev nodes. */
#define LP_TANHF_SMALL 0.75f
#define LP_TANHF_T0 0x1.f4908ap-10f
#define LP_TANHF_T1 (-0x1.03f99ap-7f)
#define LP_TANHF_T2 0x1.622538p-6f
#define LP_TANHF_T3 (-0x1.b9d7aep-5f)
#define LP_TANHF_T4 0x1.111042p-3f
#define LP_TANHF_T5 (-0x1.555554p-2f)

/* GELU in its tanh form, z/2 (1 + tanh(sqrt(2/pi) (z + 0.044715 z^3))), is z / (1 + exp(-u)) with
 * u = fl(z * fmaf(fl(z*z), LP_GELUF_CUBE, LP_GELUF_LINE)): every operation rounded, as in silu. */
#define LP_GELUF_LINE 0x1.988454p0f  /* 2 sqrt(2/pi) */
#define LP_GELUF_CUBE 0x1.2444f2p-4f /* 0.044715 of it */

#endif
