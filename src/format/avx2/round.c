/* Rounding loops compiled for AVX2. */
#include <immintrin.h>
#include <stdint.h>

typedef __m256i words64;
enum { N_LANES = 4, HAS_UNSIGNED_CONVERSION = 0 };

static inline words64 multiply(words64 a, words64 b) { return _mm256_mul_epu32(a, b); }
static inline words64 high_half(words64 a) { return _mm256_srli_epi64(a, 32); }
static inline words64 both_xor(words64 a, words64 b, words64 c) { return _mm256_xor_si256(_mm256_xor_si256(a, b), c); }
static inline words64 set_all(uint32_t a) { return _mm256_set1_epi64x((long long)a); }

/* Lane 2 j is counter j, lane 2 j + 1 counter 2 + j: unpacking puts them in order. */
static inline words64 first_counters(uint32_t first)
{
    return _mm256_add_epi32(_mm256_set1_epi32((int)first), _mm256_set_epi64x(3, 1, 2, 0));
}

static inline void store(uint32_t *out, words64 c0, words64 c1, words64 c2, words64 c3)
{
    __m256i low = _mm256_blend_epi32(c0, _mm256_slli_epi64(c1, 32), 0xaa);
    __m256i high = _mm256_blend_epi32(c2, _mm256_slli_epi64(c3, 32), 0xaa);
    _mm256_storeu_si256((__m256i *)(void *)out, _mm256_unpacklo_epi64(low, high));
    _mm256_storeu_si256((__m256i *)(void *)(out + 8), _mm256_unpackhi_epi64(low, high));
}

#include "format/codes_template.h"
#include "format/round_lanes_template.h"

const lp_lane_functions lp_lane_functions_avx2 = {values_f32, values_f64, codes_f32, decode_f32, pack_codes, unpack_codes};
