/* What the processor can do at most: instruction peaks and reading, in assembly so that no compiler has a say. Card:
 * kernels/stream-roofline. */
#ifndef LP_KERNEL_PROBE_H
#define LP_KERNEL_PROBE_H

#include <stddef.h>
#include <stdint.h>

#include <lowp/isa.h>

/* Runs n rounds of independent int8 dot products (fused multiply-adds) on registers and returns the multiply-accumulates
 * done. ref: of plain C on one chain per lane, whatever the compiler makes of it. */
uint64_t lp_probe_int8(lp_isa isa, uint64_t n);
uint64_t lp_probe_f32(lp_isa isa, uint64_t n);

/* Reads n bytes (a multiple of 512, aligned to 64) and returns a value that depends on all of them. */
uint64_t lp_probe_read(lp_isa isa, const void *data, size_t n);

#endif
