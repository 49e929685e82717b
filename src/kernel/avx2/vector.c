/* Everything but the integer linear layers, with AVX2: the templates of vector/ and the int8 activations. */
#include "kernel/avx2/avx2.h"
#include "kernel/avx2/v16.h"
#include "kernel/vector/elementwise.h"
#include "kernel/vector/attention.h"
#include "kernel/vector/linear_f32.h"
#include "kernel/avx2/v8.h"
#include "kernel/vector/vocabulary.h"

INLINE uint32_t reduce_max(__m256i x)
{
    __m128i four = _mm_max_epu32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    __m128i two = _mm_max_epu32(four, _mm_shuffle_epi32(four, 0x4e));
    return (uint32_t)_mm_cvtsi128_si32(_mm_max_epu32(two, _mm_shuffle_epi32(two, 0xb1)));
}

INLINE int32_t reduce_add(__m256i x)
{
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(x), _mm256_extracti128_si256(x, 1));
    __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

static void quantize_i8(const float *x, int64_t k, const lp_act_row *row)
{
    const __m256i magnitude = _mm256_set1_epi32(0x7fffffff);
    for (int64_t b = 0; b < k / LP_ACT_BLOCK; b++) {
        __m256 v[4];
        __m256i q[4], most = _mm256_setzero_si256();
        UNROLL for (int i = 0; i < 4; i++) {
            v[i] = _mm256_loadu_ps(x + b * LP_ACT_BLOCK + 8 * i);
            /* As integers magnitudes keep their order, with infinities and NaN on top. */
            most = _mm256_max_epu32(most, _mm256_and_si256(_mm256_castps_si256(v[i]), magnitude));
            q[i] = _mm256_setzero_si256();
        }
        uint32_t top = reduce_max(most);
        float a = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)top))), scale = 0;
        if (top >= 0x7f800000u) {
            scale = NAN;
        } else if (a >= 0x1p-100f) {
            __m256 inverse = _mm256_set1_ps(127.0f / a);
            scale = a / 127.0f;
            UNROLL for (int i = 0; i < 4; i++) q[i] = _mm256_cvtps_epi32(_mm256_mul_ps(v[i], inverse));
        }
        __m256i words0 = _mm256_packs_epi32(q[0], q[1]), words1 = _mm256_packs_epi32(q[2], q[3]);
        __m256i bytes = _mm256_permutevar8x32_epi32(_mm256_packs_epi16(words0, words1),
                                                    _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7));
        _mm256_storeu_si256((__m256i *)(void *)(row->code + b * LP_ACT_BLOCK), bytes);
        int32_t s0 = reduce_add(_mm256_add_epi32(q[0], q[1])), s1 = reduce_add(_mm256_add_epi32(q[2], q[3]));
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

void lp_kernels_init_avx2(lp_kernels *kernels)
{
    lp_avx2_init_integer(kernels);
    set_vector_kernels(kernels);
}
