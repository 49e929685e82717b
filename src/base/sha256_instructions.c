/* The compression function of SHA-256 in the processors' own instructions: SHA-NI on x86-64, SHA2 on aarch64. */
#include "base/sha256.h"

#if defined(__x86_64__)

#include <cpuid.h>
#include <immintrin.h>

bool lp_sha256_has_instructions(void)
{
    enum { SSSE3 = 1 << 9, SSE41 = 1 << 19, SHA = 1 << 29 }; /* leaf 1 ecx, leaf 1 ecx, leaf 7 ebx */
    unsigned eax, ebx, ecx, edx;
    if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & SSSE3) || !(ecx & SSE41)) return false;
    return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && (ebx & SHA);
}

/* sha256rnds2 keeps the state as the vectors (a b e f) and (c d g h), highest word first, and does two rounds; the
 * next four words of the schedule come from the last sixteen by sha256msg1, an addition and sha256msg2. */
__attribute__((target("sha,sse4.1,ssse3"))) /* not for the whole file: detection must run anywhere */
void lp_sha256_blocks_instructions(uint32_t state[8], const uint8_t *data, size_t n_blocks)
{
    const __m128i swap = _mm_set_epi8(12, 13, 14, 15, 8, 9, 10, 11, 4, 5, 6, 7, 0, 1, 2, 3);
    __m128i dcba = _mm_loadu_si128((const __m128i *)state), hgfe = _mm_loadu_si128((const __m128i *)(state + 4));
    __m128i cdab = _mm_shuffle_epi32(dcba, 0xb1), efgh = _mm_shuffle_epi32(hgfe, 0x1b);
    __m128i abef = _mm_alignr_epi8(cdab, efgh, 8), cdgh = _mm_blend_epi16(efgh, cdab, 0xf0);
    for (; n_blocks; n_blocks--, data += 64) {
        __m128i abef_before = abef, cdgh_before = cdgh, w[4];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) { /* four rounds each; unrolled so that w[] is in registers */
            __m128i words;
            if (i < 4) {
                words = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(data + 16 * i)), swap);
            } else {
                __m128i w_7 = _mm_alignr_epi8(w[(i + 3) & 3], w[(i + 2) & 3], 4); /* w[t-7] .. w[t-4] */
                words = _mm_add_epi32(_mm_sha256msg1_epu32(w[i & 3], w[(i + 1) & 3]), w_7);
                words = _mm_sha256msg2_epu32(words, w[(i + 3) & 3]);
            }
            w[i & 3] = words;
            __m128i sum = _mm_add_epi32(words, _mm_loadu_si128((const __m128i *)(lp_sha256_constants + 4 * i)));
            cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
            abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
        }
        abef = _mm_add_epi32(abef, abef_before);
        cdgh = _mm_add_epi32(cdgh, cdgh_before);
    }
    __m128i feba = _mm_shuffle_epi32(abef, 0x1b), dchg = _mm_shuffle_epi32(cdgh, 0xb1);
    _mm_storeu_si128((__m128i *)state, _mm_blend_epi16(feba, dchg, 0xf0));
    _mm_storeu_si128((__m128i *)(state + 4), _mm_alignr_epi8(dchg, feba, 8));
}

#elif defined(__aarch64__) && (!defined(__clang__) || __clang_major__ >= 16) /* older ones declare them by -march only */

#include <arm_neon.h>
#include <sys/auxv.h>

bool lp_sha256_has_instructions(void) { return getauxval(AT_HWCAP) >> 6 & 1; /* HWCAP_SHA2 */ }

__attribute__((target("+crypto")))
void lp_sha256_blocks_instructions(uint32_t state[8], const uint8_t *data, size_t n_blocks)
{
    uint32x4_t abcd = vld1q_u32(state), efgh = vld1q_u32(state + 4);
    for (; n_blocks; n_blocks--, data += 64) {
        uint32x4_t abcd_before = abcd, efgh_before = efgh, w[4];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) { /* four rounds each; unrolled so that w[] is in registers */
            if (i < 4) w[i] = vreinterpretq_u32_u8(vrev32q_u8(vld1q_u8(data + 16 * i)));
            else w[i & 3] = vsha256su1q_u32(vsha256su0q_u32(w[i & 3], w[(i + 1) & 3]), w[(i + 2) & 3], w[(i + 3) & 3]);
            uint32x4_t sum = vaddq_u32(w[i & 3], vld1q_u32(lp_sha256_constants + 4 * i)), abcd_first = abcd;
            abcd = vsha256hq_u32(abcd, efgh, sum);
            efgh = vsha256h2q_u32(efgh, abcd_first, sum);
        }
        abcd = vaddq_u32(abcd, abcd_before);
        efgh = vaddq_u32(efgh, efgh_before);
    }
    vst1q_u32(state, abcd);
    vst1q_u32(state + 4, efgh);
}

#else

bool lp_sha256_has_instructions(void) { return false; }

void lp_sha256_blocks_instructions(uint32_t state[8], const uint8_t *data, size_t n_blocks)
{
    lp_sha256_blocks_portable(state, data, n_blocks);
}

#endif
