/* Speed beside the machine's own bandwidth and instruction peak, probed in the same minute. */
#ifndef LOWP_BENCH_H
#define LOWP_BENCH_H

#include <stddef.h>
#include <stdint.h>

#include <lowp/model.h>
#include <lowp/pool.h>
#include <lowp/progress.h>
#include <lowp/session.h>
#include <lowp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The machine, as measured. */
typedef struct lp_probe {
    double read_gbytes_per_s;  /* of arrays beyond the caches, with the pool's threads */
    double l2_read_gbytes_per_s; /* per thread set, arrays of 512 KiB per thread */
    double int8_gmacs_per_s;   /* peak of the ISA's int8 dot instruction, all threads */
    double f32_gmacs_per_s;    /* peak of fused multiply-add, all threads */
} lp_probe;

/* Takes under a second. */
LP_API lp_status lp_probe_machine(lp_pool *pool, lp_probe *probe);

typedef struct lp_bench_row {
    char name[64];            /* "decode", "prefill", "gemv q4_0" */
    char shape[64];
    double median_ns;
    double tokens_per_s;      /* model rows; 0 otherwise */
    double gbytes_per_s;      /* bytes that must move: of the weights as their format stores them, or of the cache */
    double gmacs_per_s;
    double fraction_bandwidth, fraction_peak; /* of the probe in the same minute */
} lp_bench_row;

/* Matrix products of the main formats in cache and from memory, and attention over 32768 positions. rows: [*n_rows] room; set
 * to the number used, on failure too. Every timing stands between two probes; medians of 9. Errors: LP_CHECK if a row comes out
 * at more than 1.05 of the bandwidth or peak, three times in a row. */
LP_API lp_status lp_bench_kernels(lp_pool *pool, const lp_progress *progress, lp_bench_row *rows, size_t *n_rows);

/* The same products of one format: a name ("q4_k"), or the text of any format whose values are small integers times a power of
 * two ("i5:32:f16", "{-5,-2,0,1,3}:32:f16"); "attention": only that. Errors: as lp_format_parse; LP_UNSUPPORTED. */
LP_API lp_status lp_bench_format(lp_pool *pool, const char *format, const lp_progress *progress, lp_bench_row *rows,
                                 size_t *n_rows);

/* Decode and prefill of a model; n_prompt and n_generate tokens, median of n_repeat. Two rows. */
LP_API lp_status lp_bench_model(const lp_model *model, lp_pool *pool, lp_activation activations, int64_t n_prompt,
                                int64_t n_generate, int n_repeat, const lp_progress *progress, lp_bench_row rows[2],
                                lp_probe *probe);

#ifdef __cplusplus
}
#endif
#endif
