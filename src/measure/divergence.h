/* Pieces of a divergence, so that a log-sum is computed once. */
#ifndef LP_MEASURE_DIVERGENCE_H
#define LP_MEASURE_DIVERGENCE_H

#include <lowp/measure.h>

/* ln sum exp(logits), f64, maximum subtracted. */
double lp_log_sum_exp(const float *logits, int64_t n);

/* KL from rows whose lp_log_sum_exp are known. */
double lp_kl_between(const float *reference, double reference_total, const float *logits, double total, int64_t n);

#endif
