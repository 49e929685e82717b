/* Rounding loops compiled for AVX-512. */
#include <immintrin.h>
#include <stdint.h>

typedef __m512i words64;
enum { N_LANES = 8, HAS_UNSIGNED_CONVERSION = 1 };

static inline words64 multiply(words64 a, words64 b) { return _mm512_mul_epu32(a, b); }
static inline words64 high_half(words64 a) { return _mm512_srli_epi64(a, 32); }
static inline words64 both_xor(words64 a, words64 b, words64 c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }
static inline words64 set_all(uint32_t a) { return _mm512_set1_epi64((long long)a); }

/* Lane 2 j is counter j, lane 2 j + 1 counter 4 + j: unpacking puts them in order. */
static inline words64 first_counters(uint32_t first)
{
    return _mm512_add_epi32(_mm512_set1_epi32((int)first), _mm512_set_epi64(7, 3, 6, 2, 5, 1, 4, 0));
}

static inline void store(uint32_t *out, words64 c0, words64 c1, words64 c2, words64 c3)
{
    __m512i low = _mm512_mask_shuffle_epi32(c0, 0xaaaa, c1, _MM_PERM_CCAA);
    __m512i high = _mm512_mask_shuffle_epi32(c2, 0xaaaa, c3, _MM_PERM_CCAA);
    _mm512_storeu_si512(out, _mm512_unpacklo_epi64(low, high));
    _mm512_storeu_si512(out + 16, _mm512_unpackhi_epi64(low, high));
}

#include "format/codes_template.h"
#include "format/round_lanes_template.h"

const lp_lane_functions lp_lane_functions_avx512 = {values_f32, values_f64, codes_f32, decode_f32, pack_codes, unpack_codes};
