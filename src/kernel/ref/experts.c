/* Choosing experts and joining what they gave: the same code for every instruction set, there is little of it. */
#include <math.h>
#include <stdbool.h>

#include "base/function.h"
#include "kernel/kernel.h"

void lp_route_experts(const float *score, int64_t n, int64_t n_used, bool normalize, float factor, float *route)
{
    float max = -INFINITY, sum = 0, chosen = 0;
    float *weight = route + n_used;
    for (int64_t i = 0; i < n; i++)
        if (score[i] > max) max = score[i];
    for (int64_t i = 0; i < n; i++) sum += lp_expf(score[i] - max);
    if (!(sum >= 1 && sum < INFINITY)) { /* a sequence that has failed stays failed */
        for (int64_t u = 0; u < n_used; u++) {
            route[u] = (float)u;
            weight[u] = NAN;
        }
        return;
    }
    for (int64_t u = 0; u < n_used; u++) { /* p falls strictly from pick to pick, or the index rises */
        int64_t best = -1;
        float p_best = 0;
        for (int64_t i = 0; i < n; i++) {
            float p = lp_expf(score[i] - max) / sum;
            bool taken = u > 0 && (p > weight[u - 1] || (p == weight[u - 1] && i <= (int64_t)route[u - 1]));
            if (taken || (best >= 0 && p <= p_best)) continue;
            best = i;
            p_best = p;
        }
        route[u] = (float)best;
        weight[u] = p_best;
        chosen += p_best;
    }
    if (chosen < 6.1035e-5f) chosen = 6.1035e-5f;
    for (int64_t u = 0; u < n_used; u++) {
        if (normalize) weight[u] = weight[u] / chosen;
        weight[u] = weight[u] * factor;
    }
}

void lp_combine_experts(const float *x, const float *weight, int64_t n_used, int64_t width, float *y)
{
    for (int64_t i = 0; i < width; i++) y[i] = weight[0] * x[i];
    for (int64_t u = 1; u < n_used; u++)
        for (int64_t i = 0; i < width; i++) y[i] = fmaf(weight[u], x[u * width + i], y[i]);
}

void lp_add_gated(const float *x, float gate, int64_t width, float *y)
{
    float share = 1 / (1 + lp_expf(-gate));
    for (int64_t i = 0; i < width; i++) y[i] = fmaf(share, x[i], y[i]);
}
