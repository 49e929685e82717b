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

#endif
