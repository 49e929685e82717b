/* One table per instruction set: the reference, overridden by what the instruction set does better. */
#include <pthread.h>

#include "kernel/kernel.h"

static lp_kernels tables[LP_ISA_COUNT];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void fill_tables(void)
{
    for (int i = 0; i < LP_ISA_COUNT; i++) {
        lp_kernels_init_ref(&tables[i]);
        tables[i].isa = (lp_isa)i;
    }
#if defined(__x86_64__)
    lp_kernels_init_avx2(&tables[LP_ISA_AVX2]);
    lp_kernels_init_avx512(&tables[LP_ISA_AVX512]);
#elif defined(__aarch64__)
    lp_kernels_init_neon(&tables[LP_ISA_NEON]);
#endif
}

const lp_kernels *lp_kernels_of(lp_isa isa)
{
    if ((int)isa < 0 || isa >= LP_ISA_COUNT || !lp_isa_available(isa)) return NULL;
    pthread_once(&once, fill_tables);
    return &tables[isa];
}

const lp_kernels *lp_kernels_current(void) { return lp_kernels_of(lp_isa_current()); }
