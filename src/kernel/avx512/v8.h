/* Vectors of 8 float64 lanes in one AVX-512 register. */
#ifndef LP_KERNEL_AVX512_V8_H
#define LP_KERNEL_AVX512_V8_H

#include <string.h>

#include "kernel/avx512/avx512.h"

typedef __m512d v8;

INLINE v8 v8_load(const float *p) { return _mm512_cvtps_pd(_mm256_loadu_ps(p)); }
INLINE v8 v8_load_f64(const double *p) { return _mm512_loadu_pd(p); }
INLINE void v8_store(double *p, v8 x) { _mm512_storeu_pd(p, x); }
INLINE v8 v8_set1(double x) { return _mm512_set1_pd(x); }
INLINE v8 v8_add(v8 a, v8 b) { return _mm512_add_pd(a, b); }
INLINE v8 v8_sub(v8 a, v8 b) { return _mm512_sub_pd(a, b); }
INLINE v8 v8_mul(v8 a, v8 b) { return _mm512_mul_pd(a, b); }
INLINE v8 v8_fma(v8 a, v8 b, v8 c) { return _mm512_fmadd_pd(a, b, c); }
INLINE v8 v8_max(v8 a, v8 b) { return _mm512_max_pd(a, b); }
INLINE v8 v8_rint(v8 x) { return _mm512_roundscale_pd(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC); }
INLINE v8 v8_floor(v8 x) { return _mm512_roundscale_pd(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC); }
/* The low bits of x as an integer, plus bias, in the place of the exponent. */
INLINE v8 v8_exponent_bits(v8 x, int64_t bias)
{
    return _mm512_castsi512_pd(_mm512_slli_epi64(_mm512_add_epi64(_mm512_castpd_si512(x), _mm512_set1_epi64(bias)), 52));
}
INLINE v8 v8_zero_below(v8 x, v8 least, v8 y) { return _mm512_maskz_mov_pd(_mm512_cmp_pd_mask(x, least, _CMP_NLT_UQ), y); }

#endif
