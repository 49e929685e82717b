/* Vectors of 16 float32 lanes in four NEON registers. */
#ifndef LP_KERNEL_NEON_V16_H
#define LP_KERNEL_NEON_V16_H

#include <arm_neon.h>
#include <math.h>
#include <string.h>

#include "base/expf.h"
#include "kernel/kernel.h"
#include "kernel/simd.h"

typedef struct v16 {
    float32x4_t r[4];
} v16;

/* Vectors of a register tile that go with 1, 2, up to 6 others: a power of two each. */
enum { V16_TILES_1 = 4, V16_TILES_2 = 2, V16_TILES_6 = 1 };
/* The same for the scores of one query, where a whole group fits into registers. */
enum { V16_SCORES_1 = 4 };

#define EACH(expression) \
    ((v16){{({ enum { i = 0 }; expression; }), ({ enum { i = 1 }; expression; }), ({ enum { i = 2 }; expression; }), ({ enum { i = 3 }; expression; })}})

INLINE void prefetch(const void *p) { __builtin_prefetch(p); }
INLINE void prefetch_l2(const void *p) { __builtin_prefetch(p, 0, 2); }
INLINE v16 v16_load(const float *p) { return EACH(vld1q_f32(p + 4 * i)); }
INLINE void v16_store(float *p, v16 x)
{
    UNROLL for (int i = 0; i < 4; i++) vst1q_f32(p + 4 * i, x.r[i]);
}
/* n is at most 16: only the ends of rows come here. */
INLINE v16 v16_load_n(const float *p, int64_t n)
{
    float all[16] = {0};
    memcpy(all, p, (size_t)(n < 16 ? n : 16) * sizeof *p);
    return v16_load(all);
}
INLINE void v16_store_n(float *p, v16 x, int64_t n)
{
    float all[16];
    v16_store(all, x);
    memcpy(p, all, (size_t)(n < 16 ? n : 16) * sizeof *p);
}
INLINE v16 v16_set1(float x) { return EACH(vdupq_n_f32(x)); }
INLINE v16 v16_fma(v16 x, v16 y, v16 z) { return EACH(vfmaq_f32(z.r[i], x.r[i], y.r[i])); }
INLINE v16 v16_add(v16 x, v16 y) { return EACH(vaddq_f32(x.r[i], y.r[i])); }
INLINE v16 v16_sub(v16 x, v16 y) { return EACH(vsubq_f32(x.r[i], y.r[i])); }
INLINE v16 v16_mul(v16 x, v16 y) { return EACH(vmulq_f32(x.r[i], y.r[i])); }
INLINE v16 v16_div(v16 x, v16 y) { return EACH(vdivq_f32(x.r[i], y.r[i])); }
INLINE v16 v16_max(v16 x, v16 y) { return EACH(vmaxnmq_f32(x.r[i], y.r[i])); }
INLINE v16 v16_rint(v16 x) { return EACH(vrndnq_f32(x.r[i])); }
INLINE v16 v16_negate(v16 x) { return EACH(vnegq_f32(x.r[i])); }
INLINE v16 v16_abs(v16 x) { return EACH(vabsq_f32(x.r[i])); }
/* The magnitude of x, which is not negative, with the sign of y. */
INLINE v16 v16_with_sign(v16 x, v16 y) { return EACH(vbslq_f32(vdupq_n_u32(0x80000000u), y.r[i], x.r[i])); }
/* Per lane: u where x < y, v otherwise (NaN too). */
INLINE v16 v16_if_less(v16 x, v16 y, v16 u, v16 v) { return EACH(vbslq_f32(vcltq_f32(x.r[i], y.r[i]), u.r[i], v.r[i])); }
/* x in the n first lanes, y in the others. */
INLINE v16 v16_first(v16 x, v16 y, int64_t n)
{
    const int32x4_t count = vdupq_n_s32((int32_t)n), step = {0, 1, 2, 3};
    return EACH(vbslq_f32(vcgtq_s32(count, vaddq_s32(step, vdupq_n_s32(4 * i))), x.r[i], y.r[i]));
}
INLINE v16 v16_load_f16(const uint8_t *p)
{
    return EACH(vcvt_f32_f16(vreinterpret_f16_u8(vld1_u8(p + 8 * i))));
}
INLINE v16 v16_load_bf16(const uint8_t *p)
{
    return EACH(vreinterpretq_f32_u32(vshll_n_u16(vreinterpret_u16_u8(vld1_u8(p + 8 * i)), 16)));
}

/* y * 2^n, rounded once: the first of two factors is exact. n integral. */
INLINE float32x4_t times_power(float32x4_t y, float32x4_t n)
{
    const int32x4_t bias = vdupq_n_s32(127);
    int32x4_t e = vcvtq_s32_f32(n), half = vshrq_n_s32(e, 1);
    float32x4_t first = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(half, bias), 23));
    float32x4_t second = vreinterpretq_f32_s32(vshlq_n_s32(vaddq_s32(vsubq_s32(e, half), bias), 23));
    return vmulq_f32(vmulq_f32(y, first), second);
}
INLINE v16 v16_times_power(v16 y, v16 n) { return EACH(times_power(y.r[i], n.r[i])); }

/* y = exp(x) where x is inside the range; infinity, 0 outside; a NaN stays. */
INLINE float32x4_t clamp_exp(float32x4_t x, float32x4_t y)
{
    y = vbslq_f32(vcgtq_f32(x, vdupq_n_f32(LP_EXPF_MAX)), vdupq_n_f32(INFINITY), y);
    y = vbslq_f32(vcltq_f32(x, vdupq_n_f32(LP_EXPF_MIN)), vdupq_n_f32(0), y);
    return vbslq_f32(vceqq_f32(x, x), y, x);
}
INLINE v16 v16_clamp_exp(v16 x, v16 y) { return EACH(clamp_exp(x.r[i], y.r[i])); }

/* Adds lanes j and j + 8, then 4, 2, 1. */
INLINE float v16_tree(v16 x)
{
    float32x4_t four = vaddq_f32(vaddq_f32(x.r[0], x.r[2]), vaddq_f32(x.r[1], x.r[3]));
    float32x2_t two = vadd_f32(vget_low_f32(four), vget_high_f32(four));
    return vget_lane_f32(two, 0) + vget_lane_f32(two, 1);
}
INLINE float v16_reduce_max(v16 x)
{
    return vmaxnmvq_f32(vmaxnmq_f32(vmaxnmq_f32(x.r[0], x.r[1]), vmaxnmq_f32(x.r[2], x.r[3])));
}

/* 8 pairs (a, b): fmaf(a, c, -b*s), fmaf(a, s, b*c). */
INLINE v16 v16_rotate_pairs(v16 x, const float *cosine, const float *sine)
{
    v16 y;
    UNROLL for (int i = 0; i < 2; i++) {
        float32x4_t a = vuzp1q_f32(x.r[2 * i], x.r[2 * i + 1]), b = vuzp2q_f32(x.r[2 * i], x.r[2 * i + 1]);
        float32x4_t c = vld1q_f32(cosine + 4 * i), s = vld1q_f32(sine + 4 * i);
        float32x4_t first = vfmaq_f32(vnegq_f32(vmulq_f32(b, s)), a, c), second = vfmaq_f32(vmulq_f32(b, c), a, s);
        y.r[2 * i] = vzip1q_f32(first, second);
        y.r[2 * i + 1] = vzip2q_f32(first, second);
    }
    return y;
}

#endif
