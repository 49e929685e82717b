/* Vectors of 8 float64 lanes in four NEON registers. */
#ifndef LP_KERNEL_NEON_V8_H
#define LP_KERNEL_NEON_V8_H

#include <arm_neon.h>
#include <string.h>

#include "kernel/simd.h"

typedef struct v8 {
    float64x2_t r[4];
} v8;

#define ALL4(expression) \
    ((v8){{({ enum { i = 0 }; expression; }), ({ enum { i = 1 }; expression; }), ({ enum { i = 2 }; expression; }), ({ enum { i = 3 }; expression; })}})

INLINE v8 v8_load(const float *p) { return ALL4(vcvt_f64_f32(vld1_f32(p + 2 * i))); }
INLINE v8 v8_load_f64(const double *p) { return ALL4(vld1q_f64(p + 2 * i)); }
INLINE void v8_store(double *p, v8 x)
{
    UNROLL for (int i = 0; i < 4; i++) vst1q_f64(p + 2 * i, x.r[i]);
}
INLINE v8 v8_set1(double x) { return ALL4(vdupq_n_f64(x)); }
INLINE v8 v8_add(v8 x, v8 y) { return ALL4(vaddq_f64(x.r[i], y.r[i])); }
INLINE v8 v8_sub(v8 x, v8 y) { return ALL4(vsubq_f64(x.r[i], y.r[i])); }
INLINE v8 v8_mul(v8 x, v8 y) { return ALL4(vmulq_f64(x.r[i], y.r[i])); }
INLINE v8 v8_fma(v8 x, v8 y, v8 z) { return ALL4(vfmaq_f64(z.r[i], x.r[i], y.r[i])); }
INLINE v8 v8_max(v8 x, v8 y) { return ALL4(vmaxq_f64(x.r[i], y.r[i])); }
INLINE v8 v8_rint(v8 x) { return ALL4(vrndnq_f64(x.r[i])); }
INLINE v8 v8_floor(v8 x) { return ALL4(vrndmq_f64(x.r[i])); }
/* The low bits of x as an integer, plus bias, in the place of the exponent. */
INLINE v8 v8_exponent_bits(v8 x, int64_t bias)
{
    return ALL4(vreinterpretq_f64_s64(vshlq_n_s64(vaddq_s64(vreinterpretq_s64_f64(x.r[i]), vdupq_n_s64(bias)), 52)));
}
INLINE v8 v8_zero_below(v8 x, v8 least, v8 y)
{
    return ALL4(vreinterpretq_f64_u64(vbicq_u64(vreinterpretq_u64_f64(y.r[i]), vcltq_f64(x.r[i], least.r[i]))));
}

#endif
