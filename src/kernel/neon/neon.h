/* aarch64 with dotprod: the parts of the table. */
#ifndef LP_KERNEL_NEON_H
#define LP_KERNEL_NEON_H

#include "kernel/kernel.h"

void lp_neon_init_integer(lp_kernels *kernels);

#endif
