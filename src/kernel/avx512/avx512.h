/* AVX-512 (F, BW, VL, VNNI, VBMI): shared by its kernel files. */
#ifndef LP_KERNEL_AVX512_H
#define LP_KERNEL_AVX512_H

#include <immintrin.h>

#include "kernel/kernel.h"
#include "kernel/simd.h"

/* The first n lanes, n >= 1. */
INLINE __mmask16 lane_mask(int64_t n) { return n >= 16 ? (__mmask16)0xffff : (__mmask16)((1u << n) - 1); }

void lp_avx512_init_integer(lp_kernels *kernels);

#endif
