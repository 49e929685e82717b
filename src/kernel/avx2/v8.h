/* Vectors of 8 float64 lanes in two AVX2 registers. */
#ifndef LP_KERNEL_AVX2_V8_H
#define LP_KERNEL_AVX2_V8_H

#include <immintrin.h>
#include <string.h>

#include "kernel/simd.h"

typedef struct v8 {
    __m256d a, b; /* lanes 0-3, 4-7 */
} v8;

#define BOTH(expression_a, expression_b) ((v8){expression_a, expression_b})

INLINE v8 v8_load(const float *p) { return BOTH(_mm256_cvtps_pd(_mm_loadu_ps(p)), _mm256_cvtps_pd(_mm_loadu_ps(p + 4))); }
INLINE v8 v8_load_f64(const double *p) { return BOTH(_mm256_loadu_pd(p), _mm256_loadu_pd(p + 4)); }
INLINE void v8_store(double *p, v8 x)
{
    _mm256_storeu_pd(p, x.a);
    _mm256_storeu_pd(p + 4, x.b);
}
INLINE v8 v8_set1(double x) { return BOTH(_mm256_set1_pd(x), _mm256_set1_pd(x)); }
INLINE v8 v8_add(v8 x, v8 y) { return BOTH(_mm256_add_pd(x.a, y.a), _mm256_add_pd(x.b, y.b)); }
INLINE v8 v8_sub(v8 x, v8 y) { return BOTH(_mm256_sub_pd(x.a, y.a), _mm256_sub_pd(x.b, y.b)); }
INLINE v8 v8_mul(v8 x, v8 y) { return BOTH(_mm256_mul_pd(x.a, y.a), _mm256_mul_pd(x.b, y.b)); }
INLINE v8 v8_fma(v8 x, v8 y, v8 z) { return BOTH(_mm256_fmadd_pd(x.a, y.a, z.a), _mm256_fmadd_pd(x.b, y.b, z.b)); }
INLINE v8 v8_max(v8 x, v8 y) { return BOTH(_mm256_max_pd(x.a, y.a), _mm256_max_pd(x.b, y.b)); }
INLINE v8 v8_rint(v8 x)
{
    return BOTH(_mm256_round_pd(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC),
                _mm256_round_pd(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
INLINE v8 v8_floor(v8 x)
{
    return BOTH(_mm256_round_pd(x.a, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC),
                _mm256_round_pd(x.b, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC));
}
/* The low bits of x as an integer, plus bias, in the place of the exponent. */
INLINE __m256d exponent_bits(__m256d x, int64_t bias)
{
    return _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_add_epi64(_mm256_castpd_si256(x), _mm256_set1_epi64x(bias)), 52));
}
INLINE v8 v8_exponent_bits(v8 x, int64_t bias) { return BOTH(exponent_bits(x.a, bias), exponent_bits(x.b, bias)); }
INLINE v8 v8_zero_below(v8 x, v8 least, v8 y)
{
    return BOTH(_mm256_andnot_pd(_mm256_cmp_pd(x.a, least.a, _CMP_LT_OQ), y.a),
                _mm256_andnot_pd(_mm256_cmp_pd(x.b, least.b, _CMP_LT_OQ), y.b));
}

#endif
