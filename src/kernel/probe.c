/* Instruction peaks and reading. */
#include "kernel/probe.h"

/* Sixteen independent chains hide every latency; a round runs each once. The registers zmm16 and up are free without
 * being named: this file is compiled for the baseline, which has none. */
enum { CHAINS = 16 };

#if defined(__x86_64__)

#define TEN_SIX(op) \
    op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(8) op(9) op(10) op(11) op(12) op(13) op(14) op(15)

#define STRING(x) #x
#define DOT512(i) "vpdpbusd %%zmm30, %%zmm31, %%zmm" STRING(i) "\n\t"
#define FMA512(i) "vfmadd231ps %%zmm30, %%zmm31, %%zmm" STRING(i) "\n\t"
#define FMA256(i) "vfmadd231ps %%ymm0, %%ymm1, %%ymm" STRING(i) "\n\t"
/* AVX2 has no int8 dot: a byte multiply, a widening add and an add stand for one. */
#define DOT256(i) "vpmaddubsw %%ymm0, %%ymm1, %%ymm2\n\tvpmaddwd %%ymm2, %%ymm1, %%ymm3\n\tvpaddd %%ymm3, %%ymm" STRING(i) ", %%ymm" STRING(i) "\n\t"

#define REPEAT(body, ...)                                                                                           \
    __asm__ volatile("1:\n\t" body "dec %0\n\tjnz 1b\n\t" : "+r"(n) : : "cc", __VA_ARGS__)

#define CLOBBER                                                                                                     \
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10", "xmm11", "xmm12",      \
        "xmm13", "xmm14", "xmm15"

uint64_t lp_probe_int8(lp_isa isa, uint64_t n)
{
    uint64_t rounds = n;
    if (n == 0) return 0;
    switch (isa) {
    case LP_ISA_AVX512:
        REPEAT("vpxord %%zmm30, %%zmm30, %%zmm30\n\tvpxord %%zmm31, %%zmm31, %%zmm31\n\t" TEN_SIX(DOT512), CLOBBER);
        __asm__ volatile("vzeroupper");
        return rounds * CHAINS * 64;
    case LP_ISA_AVX2:
        REPEAT(DOT256(4) DOT256(5) DOT256(6) DOT256(7) DOT256(8) DOT256(9) DOT256(10) DOT256(11), CLOBBER);
        __asm__ volatile("vzeroupper");
        return rounds * 8 * 32;
    default: {
        int32_t a[CHAINS] = {0};
        for (; n; n--)
            for (int i = 0; i < CHAINS; i++) {
                a[i] += (int8_t)n * (int8_t)(i + 3);
                __asm__ volatile("" : "+m"(a[i]));
            }
        return rounds * CHAINS;
    }
    }
}

uint64_t lp_probe_f32(lp_isa isa, uint64_t n)
{
    uint64_t rounds = n;
    if (n == 0) return 0;
    switch (isa) {
    case LP_ISA_AVX512:
        REPEAT("vpxord %%zmm30, %%zmm30, %%zmm30\n\tvpxord %%zmm31, %%zmm31, %%zmm31\n\t" TEN_SIX(FMA512), CLOBBER);
        __asm__ volatile("vzeroupper");
        return rounds * CHAINS * 16;
    case LP_ISA_AVX2:
        __asm__ volatile("vzeroall" : : : CLOBBER);
        REPEAT(FMA256(2) FMA256(3) FMA256(4) FMA256(5) FMA256(6) FMA256(7) FMA256(8) FMA256(9) FMA256(10) FMA256(11) FMA256(12)
                   FMA256(13),
               CLOBBER);
        __asm__ volatile("vzeroupper");
        return rounds * 12 * 8;
    default: {
        float a[CHAINS] = {0};
        for (; n; n--)
            for (int i = 0; i < CHAINS; i++) {
                a[i] += (float)i * 0.5f;
                __asm__ volatile("" : "+m"(a[i]));
            }
        return rounds * CHAINS;
    }
    }
}

uint64_t lp_probe_read(lp_isa isa, const void *data, size_t n)
{
    uint64_t out = 0, rounds = n / 512;
    const void *p = data;
    if (rounds == 0) return 0;
#define LOAD512(i) "vporq " STRING(i) "*64(%1), %%zmm" STRING(i) ", %%zmm" STRING(i) "\n\t"
#define LOAD256(i) "vpor " STRING(i) "*32(%1), %%ymm" STRING(i) ", %%ymm" STRING(i) "\n\t"
    switch (isa) {
    case LP_ISA_AVX512:
        __asm__ volatile("1:\n\t" LOAD512(0) LOAD512(1) LOAD512(2) LOAD512(3) LOAD512(4) LOAD512(5) LOAD512(6) LOAD512(7)
                         "add $512, %1\n\tdec %0\n\tjnz 1b\n\tvmovq %%xmm0, %2\n\tvzeroupper"
                         : "+r"(rounds), "+r"(p), "=r"(out) : : "cc", "memory", CLOBBER);
        return out;
    case LP_ISA_AVX2:
        __asm__ volatile("1:\n\t" TEN_SIX(LOAD256) "add $512, %1\n\tdec %0\n\tjnz 1b\n\tvmovq %%xmm0, %2\n\tvzeroupper"
                         : "+r"(rounds), "+r"(p), "=r"(out) : : "cc", "memory", CLOBBER);
        return out;
    default: {
        const uint64_t *q = data;
        for (size_t i = 0; i < n / 8; i++) out |= q[i];
        __asm__ volatile("" : "+r"(out));
        return out;
    }
    }
}

#elif defined(__aarch64__)

#define EIGHT(op) op(0) op(1) op(2) op(3) op(4) op(5) op(6) op(7) op(16) op(17) op(18) op(19) op(20) op(21) op(22) op(23)
#define STRING(x) #x
#define DOT(i) "sdot v" STRING(i) ".4s, v30.16b, v31.16b\n\t"
#define FMA(i) "fmla v" STRING(i) ".4s, v30.4s, v31.4s\n\t"
#define CLOBBER                                                                                                     \
    "cc", "v0", "v1", "v2", "v3", "v4", "v5", "v6", "v7", "v16", "v17", "v18", "v19", "v20", "v21", "v22", "v23", "v30", "v31"

uint64_t lp_probe_int8(lp_isa isa, uint64_t n)
{
    uint64_t rounds = n;
    (void)isa;
    if (n == 0) return 0;
    __asm__ volatile(".arch armv8.2-a+dotprod\n1:\n\t" EIGHT(DOT) "subs %0, %0, #1\n\tbne 1b" : "+r"(n) : : CLOBBER);
    return rounds * CHAINS * 16;
}

uint64_t lp_probe_f32(lp_isa isa, uint64_t n)
{
    uint64_t rounds = n;
    (void)isa;
    if (n == 0) return 0;
    __asm__ volatile("movi v30.4s, #0\n\tmovi v31.4s, #0\n1:\n\t" EIGHT(FMA) "subs %0, %0, #1\n\tbne 1b" : "+r"(n) : : CLOBBER);
    return rounds * CHAINS * 4;
}

uint64_t lp_probe_read(lp_isa isa, const void *data, size_t n)
{
    const uint64_t *p = data;
    uint64_t out = 0;
    (void)isa;
    for (size_t i = 0; i < n / 8; i++) out |= p[i];
    __asm__ volatile("" : "+r"(out));
    return out;
}

#else

uint64_t lp_probe_int8(lp_isa isa, uint64_t n)
{
    int32_t a[CHAINS] = {0};
    (void)isa;
    for (uint64_t k = n; k; k--)
        for (int i = 0; i < CHAINS; i++) {
            a[i] += (int8_t)k * (int8_t)(i + 3);
            __asm__ volatile("" : "+m"(a[i]));
        }
    return n * CHAINS;
}

uint64_t lp_probe_f32(lp_isa isa, uint64_t n)
{
    float a[CHAINS] = {0};
    (void)isa;
    for (uint64_t k = n; k; k--)
        for (int i = 0; i < CHAINS; i++) {
            a[i] = a[i] * 0.5f + 1;
            __asm__ volatile("" : "+m"(a[i]));
        }
    return n * CHAINS;
}

uint64_t lp_probe_read(lp_isa isa, const void *data, size_t n)
{
    const uint64_t *p = data;
    uint64_t out = 0;
    (void)isa;
    for (size_t i = 0; i < n / 8; i++) out |= p[i];
    __asm__ volatile("" : "+m"(out));
    return out;
}

#endif
