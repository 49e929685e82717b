/* Reference of the reductions and element-wise functions. */
#include <math.h>

#include "base/function.h"
#include "kernel/ref/ref.h"

/* Lane j sums fmaf(a, b, lane) over k = j mod 16 of at most 512 values; the lanes by the tree 8, 4, 2, 1. */
static float dot_chunk(const float *a, const float *b, int64_t n)
{
    float lane[LP_REDUCE_LANES] = {0};
    for (int64_t k = 0; k < n; k++) lane[k % LP_REDUCE_LANES] = fmaf(a[k], b[k], lane[k % LP_REDUCE_LANES]);
    for (int width = LP_REDUCE_LANES / 2; width > 0; width /= 2)
        for (int j = 0; j < width; j++) lane[j] += lane[j + width];
    return lane[0];
}

/* Left-balanced tree over the chunks: sums of 2^i chunks wait at level i until their right neighbour is complete; what
 * is left at the end joins from the right. */
static float dot_f32(const float *a, const float *b, int64_t n)
{
    float waiting[64];
    int depth = 0;
    for (int64_t chunk = 0; chunk * LP_REDUCE_CHUNK < n; chunk++) {
        int64_t first = chunk * LP_REDUCE_CHUNK, left = n - first;
        float sum = dot_chunk(a + first, b + first, left < LP_REDUCE_CHUNK ? left : LP_REDUCE_CHUNK);
        for (int64_t i = chunk; i & 1; i >>= 1) sum = waiting[--depth] + sum;
        waiting[depth++] = sum;
    }
    if (depth == 0) return 0;
    float sum = waiting[--depth];
    while (depth > 0) sum = waiting[--depth] + sum;
    return sum;
}

static void rms_norm(const float *x, const float *weight, int64_t n, float epsilon, float *y)
{
    float mean = dot_f32(x, x, n) / (float)n;
    float r = 1.0f / sqrtf(mean + epsilon);
    for (int64_t i = 0; i < n; i++) {
        float scaled = x[i] * r;
        y[i] = scaled * weight[i];
    }
}

static void layer_norm(const float *x, const float *weight, int64_t n, float epsilon, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = 1;
    float mean = dot_f32(x, y, n) / (float)n; /* fmaf(x, 1, lane) is fl(lane + x) */
    for (int64_t i = 0; i < n; i++) y[i] = x[i] - mean;
    rms_norm(y, weight, n, epsilon, y);
}

static void rope_halves(float *x, int64_t n_heads, int64_t d, int64_t r, const float *cosine, const float *sine)
{
    for (int64_t h = 0; h < n_heads; h++)
        for (int64_t i = 0; i < r / 2; i++) {
            float *first = x + h * d + i, *second = first + r / 2, a = *first, b = *second, c = cosine[i], s = sine[i];
            float bs = b * s, bc = b * c;
            *first = fmaf(a, c, -bs);
            *second = fmaf(a, s, bc);
        }
}

static void rope_pairs(float *x, int64_t n_heads, int64_t d, const float *cosine, const float *sine)
{
    for (int64_t h = 0; h < n_heads; h++)
        for (int64_t i = 0; i < d / 2; i++) {
            float *pair = x + h * d + 2 * i, a = pair[0], b = pair[1], c = cosine[i], s = sine[i];
            float bs = b * s, bc = b * c;
            pair[0] = fmaf(a, c, -bs);
            pair[1] = fmaf(a, s, bc);
        }
}

static void silu_mul(const float *gate, const float *up, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++) {
        float denominator = 1.0f + lp_expf(-gate[i]);
        float silu = gate[i] / denominator;
        y[i] = silu * up[i];
    }
}

static void gelu(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = lp_geluf(x[i]);
}

static void gelu_mul(const float *gate, const float *up, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++) {
        float value = lp_geluf(gate[i]);
        y[i] = value * up[i];
    }
}

static void scale(const float *x, float factor, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = x[i] * factor;
}

static void soft_cap(const float *x, float cap, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++) {
        float share = x[i] / cap;
        y[i] = cap * lp_tanhf(share);
    }
}

static void add(const float *a, const float *b, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = a[i] + b[i];
}

static void exp_f32(const float *x, int64_t n, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = lp_expf(x[i]);
}

static double tree8(const double lane[8])
{
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

static double exp_sum(const float *x, int64_t n, float max)
{
    double lane[8] = {0};
    for (int64_t i = 0; i < n; i++) lane[i % 8] += lp_exp((double)x[i] - (double)max);
    return tree8(lane);
}

static double kl_sum(const float *p, double total_p, const float *q, double total_q, int64_t n)
{
    double lane[8] = {0};
    for (int64_t i = 0; i < n; i++) {
        double a = (double)p[i] - total_p, b = (double)q[i] - total_q;
        lane[i % 8] += lp_exp(a) * (a - b);
    }
    return tree8(lane);
}

void lp_ref_init_vector(lp_kernels *kernels)
{
    kernels->dot_f32 = dot_f32;
    kernels->rms_norm = rms_norm;
    kernels->rope_pairs = rope_pairs;
    kernels->silu_mul = silu_mul;
    kernels->add = add;
    kernels->layer_norm = layer_norm;
    kernels->rope_halves = rope_halves;
    kernels->gelu = gelu;
    kernels->gelu_mul = gelu_mul;
    kernels->scale = scale;
    kernels->soft_cap = soft_cap;
    kernels->exp_f32 = exp_f32;
    kernels->exp_sum = exp_sum;
    kernels->kl_sum = kl_sum;
}
