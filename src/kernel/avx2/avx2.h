/* AVX2, FMA, F16C: the parts of the table. */
#ifndef LP_KERNEL_AVX2_H
#define LP_KERNEL_AVX2_H

#include "kernel/kernel.h"

void lp_avx2_init_integer(lp_kernels *kernels);

#endif
