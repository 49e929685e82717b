/* Everything but the integer linear layers, with AVX-512: the templates of vector/ and the int8 activations. */
#include <math.h>

#include "kernel/avx512/v16.h"
#include "kernel/vector/elementwise.h"
#include "kernel/vector/attention.h"
#include "kernel/vector/linear_f32.h"
#include "kernel/avx512/v8.h"
#include "kernel/vector/vocabulary.h"

static void quantize_i8(const float *x, int64_t k, const lp_act_row *row)
{
    const __m512i magnitude = _mm512_set1_epi32(0x7fffffff);
    for (int64_t b = 0; b < k / LP_ACT_BLOCK; b++) {
        __m512 x0 = _mm512_loadu_ps(x + b * LP_ACT_BLOCK), x1 = _mm512_loadu_ps(x + b * LP_ACT_BLOCK + 16);
        /* As integers magnitudes keep their order, with infinities and NaN on top. */
        uint32_t top = _mm512_reduce_max_epu32(_mm512_max_epu32(_mm512_and_si512(_mm512_castps_si512(x0), magnitude),
                                                                _mm512_and_si512(_mm512_castps_si512(x1), magnitude)));
        float a = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)top)));
        __m512i q0 = _mm512_setzero_si512(), q1 = q0;
        float scale = 0;
        if (top >= 0x7f800000u) {
            scale = NAN;
        } else if (a >= 0x1p-100f) {
            __m512 inverse = _mm512_set1_ps(127.0f / a);
            scale = a / 127.0f;
            q0 = _mm512_cvtps_epi32(_mm512_mul_ps(x0, inverse));
            q1 = _mm512_cvtps_epi32(_mm512_mul_ps(x1, inverse));
        }
        _mm_storeu_si128((__m128i *)(void *)(row->code + b * LP_ACT_BLOCK), _mm512_cvtsepi32_epi8(q0));
        _mm_storeu_si128((__m128i *)(void *)(row->code + b * LP_ACT_BLOCK + 16), _mm512_cvtsepi32_epi8(q1));
        int32_t s0 = _mm512_reduce_add_epi32(q0), s1 = _mm512_reduce_add_epi32(q1);
        row->scale[b] = scale;
        row->sum16[2 * b] = s0;
        row->sum16[2 * b + 1] = s1;
        row->sum32[b] = s0 + s1;
        row->h16[2 * b] = (float)s0 * scale;
        row->h16[2 * b + 1] = (float)s1 * scale;
        row->h32[b] = (float)(s0 + s1) * scale;
    }
}

#include "kernel/vector/table.h"

void lp_kernels_init_avx512(lp_kernels *kernels)
{
    lp_avx512_init_integer(kernels);
    set_vector_kernels(kernels);
}
