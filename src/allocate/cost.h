/* What a format costs in time on this machine. Card: allocate/ohq (its measured table). */
#ifndef LP_ALLOCATE_COST_H
#define LP_ALLOCATE_COST_H

#include <lowp/allocate.h>

/* Median nanoseconds of the product of the tensor with one token's vector, as a session would run it (int8 activations for
 * quantized weights), with as many copies of the weights in turn as make n_bytes: caches hold no more than they would in a
 * model of that size. */
lp_status lp_cost_measure(const lp_tensor *tensor, uint64_t n_bytes, lp_pool *pool, double *ns);

#endif
