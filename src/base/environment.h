/* The floating-point environment that results are defined in: nearest-even, subnormals kept, no traps. */
#ifndef LP_BASE_ENVIRONMENT_H
#define LP_BASE_ENVIRONMENT_H

#include <stdint.h>

/* Sets the environment of the calling thread and returns the one before, for lp_environment_leave. The compiler knows
 * nothing of it: the arithmetic belongs into a function that is called in between. Not fenv.h, which touches the x87
 * unit too and takes a hundred times longer. */
static inline uint64_t lp_environment_enter(void)
{
#if defined(__x86_64__) || defined(__SSE__)
    uint32_t before, wanted = 0x1f80; /* MXCSR: all exceptions masked, nearest, neither FTZ nor DAZ */
    __asm__ volatile("stmxcsr %0" : "=m"(before) : : "memory");
    if ((before & ~0x3fu) != wanted) __asm__ volatile("ldmxcsr %0" : : "m"(wanted) : "memory");
    return before;
#elif defined(__aarch64__)
    uint64_t before, wanted = 0; /* FPCR */
    __asm__ volatile("mrs %0, fpcr" : "=r"(before) : : "memory");
    if (before != wanted) __asm__ volatile("msr fpcr, %0" : : "r"(wanted) : "memory");
    return before;
#else
#error "the floating-point environment of this processor is not known: add it in base/environment.h"
#endif
}

static inline void lp_environment_leave(uint64_t before)
{
#if defined(__x86_64__) || defined(__SSE__)
    uint32_t mxcsr = (uint32_t)before;
    if ((mxcsr & ~0x3fu) != 0x1f80) __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
#else
    if (before != 0) __asm__ volatile("msr fpcr, %0" : : "r"(before) : "memory");
#endif
}

#endif
