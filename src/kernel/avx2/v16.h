/* Vectors of 16 float32 lanes in two AVX2 registers. */
#ifndef LP_KERNEL_AVX2_V16_H
#define LP_KERNEL_AVX2_V16_H

#include <immintrin.h>
#include <math.h>

#include "base/expf.h"
#include "kernel/kernel.h"
#include "kernel/simd.h"

typedef struct v16 {
    __m256 a, b; /* lanes 0-7, 8-15 */
} v16;

/* Vectors of a register tile that go with 1, 2, up to 6 others: a power of two each. */
enum { V16_TILES_1 = 4, V16_TILES_2 = 2, V16_TILES_6 = 1 };
/* The same for the scores of one query, where a whole group fits into registers. */
enum { V16_SCORES_1 = 4 };

/* The first n of 8 lanes; n may be anything. */
INLINE __m256i lanes(int64_t n)
{
    int32_t count = n > 8 ? 8 : (int32_t)n;
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(count), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

#define EACH(expression_a, expression_b) ((v16){expression_a, expression_b})

INLINE void prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }
INLINE void prefetch_l2(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T1); }
INLINE v16 v16_load(const float *p) { return EACH(_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)); }
INLINE v16 v16_load_n(const float *p, int64_t n)
{
    return EACH(_mm256_maskload_ps(p, lanes(n)), n > 8 ? _mm256_maskload_ps(p + 8, lanes(n - 8)) : _mm256_setzero_ps());
}
INLINE void v16_store(float *p, v16 x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
INLINE void v16_store_n(float *p, v16 x, int64_t n)
{
    _mm256_maskstore_ps(p, lanes(n), x.a);
    if (n > 8) _mm256_maskstore_ps(p + 8, lanes(n - 8), x.b);
}
INLINE v16 v16_set1(float x) { return EACH(_mm256_set1_ps(x), _mm256_set1_ps(x)); }
INLINE v16 v16_fma(v16 x, v16 y, v16 z) { return EACH(_mm256_fmadd_ps(x.a, y.a, z.a), _mm256_fmadd_ps(x.b, y.b, z.b)); }
INLINE v16 v16_add(v16 x, v16 y) { return EACH(_mm256_add_ps(x.a, y.a), _mm256_add_ps(x.b, y.b)); }
INLINE v16 v16_sub(v16 x, v16 y) { return EACH(_mm256_sub_ps(x.a, y.a), _mm256_sub_ps(x.b, y.b)); }
INLINE v16 v16_mul(v16 x, v16 y) { return EACH(_mm256_mul_ps(x.a, y.a), _mm256_mul_ps(x.b, y.b)); }
INLINE v16 v16_div(v16 x, v16 y) { return EACH(_mm256_div_ps(x.a, y.a), _mm256_div_ps(x.b, y.b)); }
INLINE v16 v16_max(v16 x, v16 y) { return EACH(_mm256_max_ps(x.a, y.a), _mm256_max_ps(x.b, y.b)); }
INLINE v16 v16_rint(v16 x)
{
    return EACH(_mm256_round_ps(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                _mm256_round_ps(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
INLINE v16 v16_negate(v16 x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return EACH(_mm256_xor_ps(x.a, sign), _mm256_xor_ps(x.b, sign));
}
INLINE v16 v16_abs(v16 x)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return EACH(_mm256_andnot_ps(sign, x.a), _mm256_andnot_ps(sign, x.b));
}
/* The magnitude of x, which is not negative, with the sign of y. */
INLINE v16 v16_with_sign(v16 x, v16 y)
{
    const __m256 sign = _mm256_set1_ps(-0.0f);
    return EACH(_mm256_or_ps(x.a, _mm256_and_ps(y.a, sign)), _mm256_or_ps(x.b, _mm256_and_ps(y.b, sign)));
}
/* Per lane: u where x < y, v otherwise (NaN too). */
INLINE v16 v16_if_less(v16 x, v16 y, v16 u, v16 v)
{
    return EACH(_mm256_blendv_ps(v.a, u.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
                _mm256_blendv_ps(v.b, u.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)));
}
/* x in the n first lanes, y in the others. */
INLINE v16 v16_first(v16 x, v16 y, int64_t n)
{
    return EACH(_mm256_blendv_ps(y.a, x.a, _mm256_castsi256_ps(lanes(n))),
                _mm256_blendv_ps(y.b, x.b, _mm256_castsi256_ps(lanes(n - 8))));
}
INLINE __m128i load128(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE v16 v16_load_f16(const uint8_t *p) { return EACH(_mm256_cvtph_ps(load128(p)), _mm256_cvtph_ps(load128(p + 16))); }
INLINE v16 v16_load_bf16(const uint8_t *p)
{
    return EACH(_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load128(p)), 16)),
                _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load128(p + 16)), 16)));
}

/* y * 2^n, rounded once: the first of two factors is exact. n integral. */
INLINE __m256 times_power(__m256 y, __m256 n)
{
    const __m256i bias = _mm256_set1_epi32(127);
    __m256i e = _mm256_cvtps_epi32(n), half = _mm256_srai_epi32(e, 1);
    __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(half, bias), 23));
    __m256 second = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(_mm256_sub_epi32(e, half), bias), 23));
    return _mm256_mul_ps(_mm256_mul_ps(y, first), second);
}
INLINE v16 v16_times_power(v16 y, v16 n) { return EACH(times_power(y.a, n.a), times_power(y.b, n.b)); }

/* y = exp(x) where x is inside the range; infinity, 0 outside. */
INLINE __m256 clamp_exp(__m256 x, __m256 y)
{
    y = _mm256_blendv_ps(y, _mm256_set1_ps(INFINITY), _mm256_cmp_ps(x, _mm256_set1_ps(LP_EXPF_MAX), _CMP_GT_OQ));
    return _mm256_and_ps(y, _mm256_cmp_ps(x, _mm256_set1_ps(LP_EXPF_MIN), _CMP_NLT_UQ));
}
/* A NaN passes through its own steps. */
INLINE __m256 keep_nan(__m256 x, __m256 y) { return _mm256_blendv_ps(y, x, _mm256_cmp_ps(x, x, _CMP_UNORD_Q)); }
INLINE v16 v16_clamp_exp(v16 x, v16 y)
{
    return EACH(keep_nan(x.a, clamp_exp(x.a, y.a)), keep_nan(x.b, clamp_exp(x.b, y.b)));
}

/* Adds lanes j and j + 8, then 4, 2, 1. */
INLINE float v16_tree(v16 x)
{
    __m256 eight = _mm256_add_ps(x.a, x.b);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
INLINE float v16_reduce_max(v16 x)
{
    __m256 eight = _mm256_max_ps(x.a, x.b);
    __m128 four = _mm_max_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_movehdup_ps(two)));
}

/* 4 pairs (a, b): fmaf(a, c, -b*s), fmaf(a, s, b*c). */
INLINE __m256 rotate_pairs(__m256 x, const float *cosine, const float *sine)
{
    const __m256i spread = _mm256_setr_epi32(0, 0, 1, 1, 2, 2, 3, 3);
    __m256 c = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(cosine)), spread);
    __m256 s = _mm256_permutevar8x32_ps(_mm256_castps128_ps256(_mm_loadu_ps(sine)), spread);
    __m256 product = _mm256_mul_ps(_mm256_movehdup_ps(x), _mm256_blend_ps(s, c, 0xaa));
    return _mm256_fmaddsub_ps(_mm256_moveldup_ps(x), _mm256_blend_ps(c, s, 0xaa), product);
}
INLINE v16 v16_rotate_pairs(v16 x, const float *cosine, const float *sine)
{
    return EACH(rotate_pairs(x.a, cosine, sine), rotate_pairs(x.b, cosine + 4, sine + 4));
}

#endif
