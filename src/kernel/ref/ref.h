/* The parts of the reference table. */
#ifndef LP_KERNEL_REF_H
#define LP_KERNEL_REF_H

#include "kernel/kernel.h"

void lp_ref_init_linear(lp_kernels *kernels);
void lp_ref_init_vector(lp_kernels *kernels);
void lp_ref_init_attention(lp_kernels *kernels);

#endif
