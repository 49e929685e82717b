/* The reference table. */
#include "kernel/ref/ref.h"

void lp_kernels_init_ref(lp_kernels *kernels)
{
    kernels->isa = LP_ISA_REF;
    lp_ref_init_linear(kernels);
    lp_ref_init_vector(kernels);
    lp_ref_init_attention(kernels);
}
