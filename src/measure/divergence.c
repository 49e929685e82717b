/* Log-softmax and divergence of rows of logits, in f64. Card: ptq/evaluation-protocol. */
#include "measure/divergence.h"

#include "base/function.h"

double lp_log_sum_exp(const float *logits, int64_t n)
{
    float max = logits[0];
    for (int64_t i = 1; i < n; i++)
        if (logits[i] > max) max = logits[i];
    double lane[8] = {0}; /* lane j sums i = j mod 8: the written order of this sum */
    for (int64_t i = 0; i < n; i++) lane[i % 8] += lp_exp((double)logits[i] - (double)max);
    double sum = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
    return (double)max + lp_log(sum);
}

void lp_log_softmax(const float *logits, int64_t n, double *out)
{
    double total = lp_log_sum_exp(logits, n);
    for (int64_t i = 0; i < n; i++) out[i] = (double)logits[i] - total;
}

double lp_kl_between(const float *reference, double reference_total, const float *logits, double total, int64_t n)
{
    double lane[8] = {0};
    for (int64_t i = 0; i < n; i++) {
        double lp = (double)reference[i] - reference_total, lq = (double)logits[i] - total;
        lane[i % 8] += lp_exp(lp) * (lp - lq);
    }
    double kl = ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
    return kl > 0 || kl != kl ? kl : 0; /* below 0 only by rounding */
}

double lp_kl_divergence(const float *reference, const float *logits, int64_t n)
{
    return lp_kl_between(reference, lp_log_sum_exp(reference, n), logits, lp_log_sum_exp(logits, n), n);
}
