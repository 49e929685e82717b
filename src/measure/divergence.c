/* Log-softmax and divergence of rows of logits, in f64. Card: ptq/evaluation-protocol. */
#include "measure/divergence.h"

#include "base/function.h"
#include "kernel/kernel.h"

double lp_log_sum_exp(const float *logits, int64_t n)
{
    float max = logits[0];
    for (int64_t i = 1; i < n; i++)
        if (logits[i] > max) max = logits[i];
    double sum = lp_kernels_current()->exp_sum(logits, n, max);
    return (double)max + lp_log(sum);
}

void lp_log_softmax(const float *logits, int64_t n, double *out)
{
    double total = lp_log_sum_exp(logits, n);
    for (int64_t i = 0; i < n; i++) out[i] = (double)logits[i] - total;
}

double lp_kl_between(const float *reference, double reference_total, const float *logits, double total, int64_t n)
{
    double kl = lp_kernels_current()->kl_sum(reference, reference_total, logits, total, n);
    return kl > 0 || kl != kl ? kl : 0; /* below 0 only by rounding */
}

double lp_kl_divergence(const float *reference, const float *logits, int64_t n)
{
    return lp_kl_between(reference, lp_log_sum_exp(reference, n), logits, lp_log_sum_exp(logits, n), n);
}
