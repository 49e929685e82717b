/* Vectors of 16 float32 lanes in one AVX-512 register. */
#ifndef LP_KERNEL_AVX512_V16_H
#define LP_KERNEL_AVX512_V16_H

#include <math.h>

#include "base/expf.h"
#include "kernel/avx512/avx512.h"

typedef __m512 v16;
/* Vectors of a register tile that go with 1, 2, up to 6 others: a power of two each. */
enum { V16_TILES_1 = 4, V16_TILES_2 = 4, V16_TILES_6 = 4 };
/* The same for the scores of one query, where a whole group fits into registers. */
enum { V16_SCORES_1 = 16 };

INLINE void prefetch(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T0); }
INLINE void prefetch_l2(const void *p) { _mm_prefetch((const char *)p, _MM_HINT_T1); }
INLINE v16 v16_load(const float *p) { return _mm512_loadu_ps(p); }
INLINE v16 v16_load_n(const float *p, int64_t n) { return _mm512_maskz_loadu_ps(lane_mask(n), p); }
INLINE void v16_store(float *p, v16 x) { _mm512_storeu_ps(p, x); }
INLINE void v16_store_n(float *p, v16 x, int64_t n) { _mm512_mask_storeu_ps(p, lane_mask(n), x); }
INLINE v16 v16_set1(float x) { return _mm512_set1_ps(x); }
INLINE v16 v16_fma(v16 a, v16 b, v16 c) { return _mm512_fmadd_ps(a, b, c); }
INLINE v16 v16_add(v16 a, v16 b) { return _mm512_add_ps(a, b); }
INLINE v16 v16_sub(v16 a, v16 b) { return _mm512_sub_ps(a, b); }
INLINE v16 v16_mul(v16 a, v16 b) { return _mm512_mul_ps(a, b); }
INLINE v16 v16_div(v16 a, v16 b) { return _mm512_div_ps(a, b); }
INLINE v16 v16_max(v16 a, v16 b) { return _mm512_max_ps(a, b); }
INLINE v16 v16_rint(v16 x) { return _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE v16 v16_negate(v16 x)
{
    return _mm512_castsi512_ps(_mm512_xor_si512(_mm512_castps_si512(x), _mm512_set1_epi32((int)0x80000000u)));
}
INLINE v16 v16_abs(v16 x) { return _mm512_abs_ps(x); }
/* The magnitude of x, which is not negative, with the sign of y. */
INLINE v16 v16_with_sign(v16 x, v16 y)
{
    __m512i sign = _mm512_and_si512(_mm512_castps_si512(y), _mm512_set1_epi32((int)0x80000000u));
    return _mm512_castsi512_ps(_mm512_or_si512(_mm512_castps_si512(x), sign));
}
/* Per lane: u where x < y, v otherwise (NaN too). */
INLINE v16 v16_if_less(v16 x, v16 y, v16 u, v16 v)
{
    return _mm512_mask_mov_ps(v, _mm512_cmp_ps_mask(x, y, _CMP_LT_OQ), u);
}
/* a in the n first lanes, b in the others. */
INLINE v16 v16_first(v16 a, v16 b, int64_t n) { return _mm512_mask_mov_ps(b, lane_mask(n), a); }
INLINE v16 v16_load_f16(const uint8_t *p) { return _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)p)); }
INLINE v16 v16_load_bf16(const uint8_t *p)
{
    return _mm512_castsi512_ps(
        _mm512_slli_epi32(_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)p)), 16));
}

/* y * 2^n, rounded once; n integral. */
INLINE v16 v16_times_power(v16 y, v16 n) { return _mm512_scalef_ps(y, n); }

/* y = exp(x) where x is inside the range; infinity, 0 outside. */
INLINE v16 v16_clamp_exp(v16 x, v16 y)
{
    y = _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask(x, _mm512_set1_ps(LP_EXPF_MAX), _CMP_GT_OQ), _mm512_set1_ps(INFINITY));
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(x, _mm512_set1_ps(LP_EXPF_MIN), _CMP_NLT_UQ), y);
}

/* Adds lanes j and j + 8, then 4, 2, 1. */
INLINE float v16_tree(v16 x)
{
    __m256 low = _mm512_castps512_ps256(x);
    __m256 high = _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(x), 1));
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}
INLINE float v16_reduce_max(v16 x) { return _mm512_reduce_max_ps(x); }

/* 8 pairs (a, b): fmaf(a, c, -b*s), fmaf(a, s, b*c). */
INLINE v16 v16_rotate_pairs(v16 x, const float *cosine, const float *sine)
{
    const __m512i spread = _mm512_set_epi32(7, 7, 6, 6, 5, 5, 4, 4, 3, 3, 2, 2, 1, 1, 0, 0);
    v16 c = _mm512_permutexvar_ps(spread, _mm512_castps256_ps512(_mm256_loadu_ps(cosine)));
    v16 s = _mm512_permutexvar_ps(spread, _mm512_castps256_ps512(_mm256_loadu_ps(sine)));
    const __mmask16 odd = 0xaaaa;
    v16 product = _mm512_mul_ps(_mm512_movehdup_ps(x), _mm512_mask_blend_ps(odd, s, c));
    return _mm512_fmaddsub_ps(_mm512_moveldup_ps(x), _mm512_mask_blend_ps(odd, c, s), product);
}

#endif
