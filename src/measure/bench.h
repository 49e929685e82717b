/* What the benchmarks of kernels and of models share. */
#ifndef LP_MEASURE_BENCH_H
#define LP_MEASURE_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include <lowp/bench.h>
#include <lowp/isa.h>

/* What every thread reads again and again from its second-level cache: bytes, and passes of about a third of a millisecond. */
enum { LP_PROBE_L2_BYTES = 512 << 10, LP_PROBE_L2_PASSES = 64 };

/* Sorts x. */
double lp_bench_median(double *x, int n);

/* A clock for a pool: with one thread its own processor time, so that programs beside it do not count; else a steady clock. */
double lp_bench_seconds(const lp_pool *pool);

/* One measurement: every thread reads its own n_bytes (whole multiples of 512 of them) n_passes times. GB/s of all. */
double lp_probe_read_once(lp_pool *pool, const uint8_t *memory, size_t n_bytes, int n_passes);

/* One measurement of about a millisecond: GMAC/s of all threads; peak is a function of kernel/probe.h. */
double lp_probe_peak_once(lp_pool *pool, uint64_t (*peak)(lp_isa isa, uint64_t n));

#endif
