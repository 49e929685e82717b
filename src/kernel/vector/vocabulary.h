/* Sums over a vocabulary in float64, eight lanes. A template: the instruction set's v8.h comes first. The order of
 * operations is that of ref/vector.c. */
#include "base/exp_f64.h"

/* 2^n for integral n: the sum with 1.5 * 2^52 has n in its low bits. */
INLINE v8 v8_power(v8 n) { return v8_exponent_bits(v8_add(n, v8_set1(0x1.8p52)), 1023); }

/* The steps of lp_exp in every lane; x <= 700. */
INLINE v8 v8_exp(v8 x)
{
    static const double c[] = LP_EXP_C;
    v8 inside = v8_max(v8_set1(LP_EXP_MIN), x); /* NaN stays: it is the second operand */
    v8 n = v8_rint(v8_mul(inside, v8_set1(LP_EXP_LOG2E)));
    v8 high = v8_fma(n, v8_set1(-LP_EXP_LN2_HI), inside);
    v8 r = v8_fma(n, v8_set1(-LP_EXP_LN2_LO), high);
    v8 low = v8_fma(n, v8_set1(-LP_EXP_LN2_LO), v8_sub(high, r));
    v8 q = v8_set1(c[0]);
    UNROLL for (int i = 1; i < (int)(sizeof c / sizeof *c); i++) q = v8_fma(q, r, v8_set1(c[i]));
    v8 sum = v8_add(v8_set1(1), r);
    low = v8_add(v8_fma(v8_mul(r, r), q, low), v8_add(v8_sub(v8_set1(1), sum), r));
    v8 half = v8_floor(v8_mul(n, v8_set1(0.5)));
    v8 y = v8_mul(v8_mul(v8_add(sum, low), v8_power(half)), v8_power(v8_sub(n, half)));
    return v8_zero_below(x, v8_set1(LP_EXP_MIN), y);
}

INLINE double v8_tree(v8 x)
{
    double lane[8];
    v8_store(lane, x);
    return ((lane[0] + lane[4]) + (lane[2] + lane[6])) + ((lane[1] + lane[5]) + (lane[3] + lane[7]));
}

/* The last n % 8 values, the others 0: a term of them is set to +0, which no lane notices. */
INLINE v8 load_end(const float *p, int64_t n)
{
    float all[8] = {0};
    memcpy(all, p, (size_t)n * sizeof *p);
    return v8_load(all);
}

INLINE v8 only_first(v8 x, int64_t n)
{
    double lane[8];
    v8_store(lane, x);
    for (int64_t i = n; i < 8; i++) lane[i] = 0;
    return v8_load_f64(lane);
}

static double exp_sum(const float *x, int64_t n, float max)
{
    v8 sum = v8_set1(0), top = v8_set1((double)max);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) sum = v8_add(sum, v8_exp(v8_sub(v8_load(x + i), top)));
    if (i < n) sum = v8_add(sum, only_first(v8_exp(v8_sub(load_end(x + i, n - i), top)), n - i));
    return v8_tree(sum);
}

INLINE v8 kl_term(v8 p, v8 total_p, v8 q, v8 total_q)
{
    v8 a = v8_sub(p, total_p), b = v8_sub(q, total_q);
    return v8_mul(v8_exp(a), v8_sub(a, b));
}

static double kl_sum(const float *p, double total_p, const float *q, double total_q, int64_t n)
{
    v8 sum = v8_set1(0), tp = v8_set1(total_p), tq = v8_set1(total_q);
    int64_t i = 0;
    for (; i + 8 <= n; i += 8) sum = v8_add(sum, kl_term(v8_load(p + i), tp, v8_load(q + i), tq));
    if (i < n)
        sum = v8_add(sum, only_first(kl_term(load_end(p + i, n - i), tp, load_end(q + i, n - i), tq), n - i));
    return v8_tree(sum);
}
