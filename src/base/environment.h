/* The floating-point environment that results are defined in: nearest-even, subnormals kept, no traps. */
#ifndef LP_BASE_ENVIRONMENT_H
#define LP_BASE_ENVIRONMENT_H

#include <fenv.h>
#include <stdint.h>

/* Sets the environment of the calling thread and returns the one before, for lp_environment_leave. The compiler knows
 * nothing of it: the arithmetic belongs into a function that is called in between. fenv.h would touch the x87 unit too
 * and take a hundred times longer. */
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
    int before = fegetround(); /* what C offers: the rounding, but not the flushing of subnormals */
    if (before != FE_TONEAREST) fesetround(FE_TONEAREST);
    return (uint64_t)before;
#endif
}

static inline void lp_environment_leave(uint64_t before)
{
#if defined(__x86_64__) || defined(__SSE__)
    uint32_t mxcsr = (uint32_t)before; /* with the exception flags of before */
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
#elif defined(__aarch64__)
    __asm__ volatile("msr fpcr, %0" : : "r"(before) : "memory");
#else
    fesetround((int)before);
#endif
}

#endif
