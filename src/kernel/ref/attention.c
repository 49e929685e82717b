/* Reference of attention: groups of 256 positions, each with its own maximum, merged in ascending order. */
#include <math.h>
#include <string.h>

#include "base/function.h"
#include "kernel/ref/ref.h"

size_t lp_attention_scratch_bytes(int64_t n_queries, int64_t d)
{
    /* Maximum and sum of every query; the scores of up to 8 queries in a group and their values. */
    return ((size_t)n_queries * 2 + 8 * (LP_ATTENTION_GROUP + (size_t)d)) * sizeof(float) + 64;
}

/* The sums of one group (or of the groups so far): largest score, sum of p, sum of p*v [d]. */
typedef struct group_sum {
    float max, l;
    float *o;
} group_sum;

/* Positions [first, n_keys) of the group. */
static void attend_group(const float *q, int64_t first, int64_t n_keys, const float *key, const float *value, int64_t d,
                         float scale, float cap, float *p, group_sum *sum)
{
    sum->max = -INFINITY;
    for (int64_t t = first; t < n_keys; t++) {
        float s = 0;
        for (int64_t i = 0; i < d; i++) s = fmaf(q[i], key[i * LP_ATTENTION_GROUP + t], s);
        p[t] = s * scale;
        if (cap != 0) {
            float share = p[t] / cap;
            p[t] = cap * lp_tanhf(share);
        }
        if (p[t] > sum->max) sum->max = p[t];
    }
    sum->l = 0;
    memset(sum->o, 0, (size_t)d * sizeof(float));
    for (int64_t t = first; t < n_keys; t++) {
        p[t] = lp_expf(p[t] - sum->max);
        sum->l += p[t];
        for (int64_t i = 0; i < d; i++) sum->o[i] = fmaf(p[t], value[t * d + i], sum->o[i]);
    }
}

static void merge(group_sum *a, const group_sum *b, int64_t d)
{
    float max = a->max > b->max ? a->max : b->max;
    float e1 = lp_expf(a->max - max), e2 = lp_expf(b->max - max);
    float l2 = b->l * e2;
    a->l = fmaf(a->l, e1, l2);
    for (int64_t i = 0; i < d; i++) {
        float o2 = b->o[i] * e2;
        a->o[i] = fmaf(a->o[i], e1, o2);
    }
    a->max = max;
}

static void attention_window(const float *q, int64_t ldq, int64_t n, const int64_t *first_key, const int64_t *n_keys,
                             const float *const *key, const float *const *value, int64_t d, float scale, float cap,
                             float *out, int64_t ldo, void *scratch)
{
    float *p = scratch;
    for (int64_t i = 0; i < n; i++) {
        group_sum total = {0, 0, out + i * ldo}, one = {0, 0, p + LP_ATTENTION_GROUP};
        int64_t from = first_key && first_key[i] > 0 ? first_key[i] : 0, g0 = from / LP_ATTENTION_GROUP;
        if (n_keys[i] <= from) {
            memset(total.o, 0, (size_t)d * sizeof(float));
            continue;
        }
        for (int64_t g = g0; g * LP_ATTENTION_GROUP < n_keys[i]; g++) {
            int64_t left = n_keys[i] - g * LP_ATTENTION_GROUP;
            attend_group(q + i * ldq, g == g0 ? from % LP_ATTENTION_GROUP : 0,
                         left < LP_ATTENTION_GROUP ? left : LP_ATTENTION_GROUP, key[g], value[g], d, scale, cap, p,
                         g == g0 ? &total : &one);
            if (g > g0) merge(&total, &one, d);
        }
        for (int64_t j = 0; j < d; j++) total.o[j] /= total.l;
    }
}

static void attention(const float *q, int64_t ldq, int64_t n, const int64_t *n_keys, const float *const *key,
                      const float *const *value, int64_t d, float scale, float *out, int64_t ldo, void *scratch)
{
    attention_window(q, ldq, n, NULL, n_keys, key, value, d, scale, 0, out, ldo, scratch);
}

void lp_ref_init_attention(lp_kernels *kernels)
{
    kernels->attention = attention;
    kernels->attention_window = attention_window;
}
