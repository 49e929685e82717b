/* What the kernel files of every instruction set share. */
#ifndef LP_KERNEL_SIMD_H
#define LP_KERNEL_SIMD_H

#include <stdint.h>

#define INLINE static inline __attribute__((always_inline))

/* Register tiles are arrays of vectors: their loops must vanish before registers are assigned. */
#if defined(__clang__)
#define UNROLL _Pragma("clang loop unroll(full)")
#else
#define UNROLL _Pragma("GCC unroll 16")
#endif

/* Size of the next block of tokens, at most 6, so that what is left never ends in a block of 1 or 2 if that can be
 * avoided: 7 is 4 + 3, 8 is 4 + 4, 13 is 6 + 4 + 3. */
static inline int tokens_of_block(int64_t left)
{
    return left <= 6 ? (int)left : left == 7 || left == 8 ? 4 : left == 9 ? 5 : 6;
}

#endif
