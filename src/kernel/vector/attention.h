/* Attention over vectors of 16 lanes: lanes are key positions for the scores and components for the values; up to 6
 * queries share what is loaded. A template: the instruction set's v16.h and elementwise.h come first. The groups are
 * outermost, so that a page of keys and values stays in the cache while all queries pass over it. Pages are used for the first
 * time in an order that no hardware prefetcher follows, so the scores ask for the page of values as they go, line by line, and
 * the values for the next page of keys: memory is read in order while the previous page is at work. */

#include <stdbool.h>
#include <string.h>

enum { QUERIES = 6 };

/* Vectors that n queries take at a time: enough independent chains, no more than there are registers. */
INLINE int vectors_for(int n) { return n == 1 ? V16_TILES_1 : n == 2 ? V16_TILES_2 : V16_TILES_6; }
enum { MOST_VECTORS = V16_TILES_1, MOST_SCORES = V16_SCORES_1 };

/* Scores of 16*n_vectors positions for n queries: p[m*256 + position]. */
INLINE void score_block(int n_vectors, int n, const float *const *q, const float *key, int64_t d, float scale, float *p,
                        const float *ahead)
{
    v16 s[QUERIES][MOST_SCORES];
    UNROLL for (int m = 0; m < n; m++)
        UNROLL for (int v = 0; v < n_vectors; v++) s[m][v] = v16_set1(0);
    for (int64_t i = 0; i < d; i++, key += LP_ATTENTION_GROUP) {
        v16 k[MOST_SCORES];
        UNROLL for (int v = 0; v < n_vectors; v++) prefetch_l2(ahead + 16 * (i * n_vectors + v));
        UNROLL for (int v = 0; v < n_vectors; v++) k[v] = v16_load(key + 16 * v);
        UNROLL for (int m = 0; m < n; m++) {
            v16 x = v16_set1(q[m][i]);
            UNROLL for (int v = 0; v < n_vectors; v++) s[m][v] = v16_fma(x, k[v], s[m][v]);
        }
    }
    UNROLL for (int m = 0; m < n; m++)
        UNROLL for (int v = 0; v < n_vectors; v++)
            v16_store(p + m * LP_ATTENTION_GROUP + 16 * v, v16_mul(s[m][v], v16_set1(scale)));
}

/* ahead: d values for each of n_keys positions, which are fetched. */
INLINE void score_n(int n, const float *const *q, const float *key, int64_t n_keys, int64_t d, float scale, float *p,
                    const float *ahead)
{
    const int most = vectors_for(n);
    int64_t t = 0;
    if (n == 1 && MOST_SCORES > most)
        for (; t + 16 * (MOST_SCORES - 1) < n_keys; t += 16 * MOST_SCORES)
            score_block(MOST_SCORES, n, q, key + t, d, scale, p + t, ahead + t * d);
    for (; t + 16 * (most - 1) < n_keys; t += 16 * most) score_block(most, n, q, key + t, d, scale, p + t, ahead + t * d);
    for (; t < n_keys; t += 16) score_block(1, n, q, key + t, d, scale, p + t, ahead + t * d);
}

/* o[m] = chain of fmaf(p, v, o) over the positions [t0, t1), for n queries; from +0 if t0 is 0. The last vector may have
 * fewer than 16 components: then n_vectors is 1. with_l: also the chains l[m] = l[m] + p. */
INLINE void value_block(int n_vectors, int n, const float *p, const float *value, int64_t t0, int64_t t1, int64_t d,
                        int64_t last, float *const *o, bool with_l, float *l, const float *ahead)
{
    v16 sum[QUERIES][MOST_VECTORS];
    float sum_l[QUERIES];
    UNROLL for (int m = 0; m < n; m++) {
        sum_l[m] = with_l ? l[m] : 0;
        UNROLL for (int v = 0; v < n_vectors; v++)
            sum[m][v] = t0 == 0 ? v16_set1(0) : last < 16 ? v16_load_n(o[m] + 16 * v, last) : v16_load(o[m] + 16 * v);
    }
    value += t0 * d;
    ahead += t0 * d;
    for (int64_t t = t0; t < t1; t++, value += d, ahead += d) {
        v16 x[MOST_VECTORS];
        UNROLL for (int v = 0; v < n_vectors; v++) prefetch_l2(ahead + 16 * v);
        UNROLL for (int v = 0; v < n_vectors; v++) x[v] = last < 16 ? v16_load_n(value + 16 * v, last) : v16_load(value + 16 * v);
        UNROLL for (int m = 0; m < n; m++) {
            v16 w = v16_set1(p[m * LP_ATTENTION_GROUP + t]);
            UNROLL for (int v = 0; v < n_vectors; v++) sum[m][v] = v16_fma(w, x[v], sum[m][v]);
            if (with_l) sum_l[m] += p[m * LP_ATTENTION_GROUP + t];
        }
    }
    UNROLL for (int m = 0; m < n; m++) {
        if (with_l) l[m] = sum_l[m];
        UNROLL for (int v = 0; v < n_vectors; v++) {
            if (last < 16) v16_store_n(o[m] + 16 * v, sum[m][v], last);
            else v16_store(o[m] + 16 * v, sum[m][v]);
        }
    }
}

/* The chains of l go on in the shadow of the first components. ahead: as many values as there are at `value`, fetched. */
INLINE void value_n(int n, const float *p, const float *value, int64_t t0, int64_t t1, int64_t d, float *const *o, float *l,
                    const float *ahead)
{
    const int most = vectors_for(n);
    float *at[QUERIES];
    int64_t i = 0;
    for (int m = 0; m < n; m++) at[m] = o[m];
    while (i < d) {
        int64_t step = d - i >= 16 * most ? 16 * most : d - i >= 16 ? 16 : d - i;
        if (step == 16 * most) {
            if (i == 0) value_block(most, n, p, value + i, t0, t1, d, 16, at, true, l, ahead + i);
            else value_block(most, n, p, value + i, t0, t1, d, 16, at, false, NULL, ahead + i);
        } else {
            if (i == 0) value_block(1, n, p, value + i, t0, t1, d, step, at, true, l, ahead + i);
            else value_block(1, n, p, value + i, t0, t1, d, step, at, false, NULL, ahead + i);
        }
        for (int m = 0; m < n; m++) at[m] += step;
        i += step;
    }
}

#define ATTEND(n)                                                                                                       \
    static __attribute__((noinline)) void score_##n(const float *const *q, const float *key, int64_t n_keys, int64_t d, \
                                                    float scale, float *p, const float *ahead)                          \
    {                                                                                                                   \
        score_n(n, q, key, n_keys, d, scale, p, ahead);                                                                 \
    }                                                                                                                   \
    static __attribute__((noinline)) void value_##n(const float *p, const float *value, int64_t t0, int64_t t1,         \
                                                    int64_t d, float *const *o, float *l, const float *ahead)           \
    {                                                                                                                   \
        value_n(n, p, value, t0, t1, d, o, l, ahead);                                                                   \
    }
ATTEND(1)
ATTEND(2)
ATTEND(3)
ATTEND(4)
ATTEND(5)
ATTEND(6)
typedef void score_function(const float *const *q, const float *key, int64_t n_keys, int64_t d, float scale, float *p,
                            const float *ahead);
typedef void value_function(const float *p, const float *value, int64_t t0, int64_t t1, int64_t d, float *const *o, float *l,
                            const float *ahead);
static score_function *const score_functions[QUERIES] = {score_1, score_2, score_3, score_4, score_5, score_6};
static value_function *const value_functions[QUERIES] = {value_1, value_2, value_3, value_4, value_5, value_6};

/* s becomes exp(s - max) of the n first positions; returns max. */
static float exponentials(float *p, int64_t n)
{
    v16 top = v16_set1(-INFINITY);
    int64_t t = 0;
    for (; t + 16 <= n; t += 16) top = v16_max(v16_load(p + t), top);
    if (t < n) top = v16_first(v16_max(v16_load(p + t), top), top, n - t);
    float max = v16_reduce_max(top);
    for (t = 0; t < n; t += 16) v16_store(p + t, v16_exp(v16_sub(v16_load(p + t), v16_set1(max))));
    return max;
}

/* (l, o) and the maximum of the group join those so far. */
static void merge_group(float *max, float *l, float *o, float max2, float l2, const float *o2, int64_t d)
{
    float joint = *max > max2 ? *max : max2, e[16] = {*max - joint, max2 - joint};
    v16_store(e, v16_exp(v16_load(e)));
    float scaled = l2 * e[1];
    *l = fmaf(*l, e[0], scaled);
    *max = joint;
    v16 e1 = v16_set1(e[0]), e2 = v16_set1(e[1]);
    int64_t i = 0;
    for (; i + 16 <= d; i += 16) v16_store(o + i, v16_fma(v16_load(o + i), e1, v16_mul(v16_load(o2 + i), e2)));
    if (i < d) v16_store_n(o + i, v16_fma(v16_load_n(o + i, d - i), e1, v16_mul(v16_load_n(o2 + i, d - i), e2)), d - i);
}

/* Up to 6 queries over one group, each with keys in it. next_key: the page of keys that follows, or any page. */
static void attend_group(int n, const float *const *q, const int64_t *count, const float *key, const float *value,
                         const float *next_key, int64_t d, float scale, float *p, float *const *o, float *max, float *l)
{
    int64_t least = LP_ATTENTION_GROUP, most = 0;
    for (int m = 0; m < n; m++) {
        if (count[m] < least) least = count[m];
        if (count[m] > most) most = count[m];
    }
    score_functions[n - 1](q, key, most, d, scale, p, value);
    for (int m = 0; m < n; m++) {
        max[m] = exponentials(p + m * LP_ATTENTION_GROUP, count[m]);
        l[m] = 0;
    }
    value_functions[n - 1](p, value, 0, least, d, o, l, next_key);
    for (int m = 0; m < n; m++)
        if (count[m] > least)
            value_functions[0](p + m * LP_ATTENTION_GROUP, value, least, count[m], d, o + m, l + m, value);
}

/* The same where query m starts at first[m] of the group (below count[m]) and scores may be capped. */
static void attend_group_window(int n, const float *const *q, const int64_t *first, const int64_t *count, const float *key,
                                const float *value, const float *next_key, int64_t d, float scale, float cap, float *p, float *const *o,
                                float *max, float *l)
{
    int64_t start = 0, end = LP_ATTENTION_GROUP, most = 0, least = LP_ATTENTION_GROUP; /* [start, end): all see it */
    for (int m = 0; m < n; m++) {
        if (first[m] > start) start = first[m];
        if (first[m] < least) least = first[m];
        if (count[m] < end) end = count[m];
        if (count[m] > most) most = count[m];
    }
    int64_t skip = least & ~(int64_t)15; /* whole vectors that nobody sees */
    score_functions[n - 1](q, key + skip, most - skip, d, scale, p + skip, value + skip * d);
    for (int m = 0; m < n; m++) {
        float *s = p + m * LP_ATTENTION_GROUP;
        int64_t from = first[m] & ~(int64_t)15;
        if (cap != 0)
            for (int64_t t = from; t < count[m]; t += 16) v16_store(s + t, soft_cap_of(v16_load(s + t), v16_set1(cap)));
        for (int64_t t = from; t < first[m]; t++) s[t] = -INFINITY; /* no part in the maximum, and 0 after exp */
        max[m] = exponentials(s + from, count[m] - from);
        l[m] = 0;
    }
    for (int m = 0; m < n; m++) {
        int64_t to = end > start ? start : count[m];
        memset(o[m], 0, (size_t)d * sizeof(float));
        if (to > first[m]) value_functions[0](p + m * LP_ATTENTION_GROUP, value, first[m], to, d, o + m, l + m, value);
    }
    if (end <= start) return;
    value_functions[n - 1](p, value, start, end, d, o, l, next_key);
    for (int m = 0; m < n; m++)
        if (count[m] > end) value_functions[0](p + m * LP_ATTENTION_GROUP, value, end, count[m], d, o + m, l + m, value);
}

static void attention(const float *q, int64_t ldq, int64_t n, const int64_t *n_keys, const float *const *key,
                      const float *const *value, int64_t d, float scale, float *out, int64_t ldo, void *scratch)
{
    float *p = (float *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63), *group_o = p + QUERIES * LP_ATTENTION_GROUP,
          *max = group_o + QUERIES * d, *l = max + n;
    int64_t longest = 0;
    for (int64_t i = 0; i < n; i++)
        if (n_keys[i] > longest) longest = n_keys[i];
    for (int64_t g = 0; g * LP_ATTENTION_GROUP < longest; g++) {
        const float *next_key = (g + 1) * LP_ATTENTION_GROUP < longest ? key[g + 1] : key[g];
        for (int64_t i = 0; i < n;) {
            const float *query[QUERIES];
            int64_t who[QUERIES], count[QUERIES];
            float *o[QUERIES], group_max[QUERIES], group_l[QUERIES];
            const int most = tokens_of_block(n - i);
            int found = 0;
            for (; i < n && found < most; i++) {
                int64_t left = n_keys[i] - g * LP_ATTENTION_GROUP;
                if (left <= 0) continue;
                who[found] = i;
                query[found] = q + i * ldq;
                count[found] = left < LP_ATTENTION_GROUP ? left : LP_ATTENTION_GROUP;
                o[found] = g == 0 ? out + i * ldo : group_o + found * d;
                found++;
            }
            if (found == 0) break;
            attend_group(found, query, count, key[g], value[g], next_key, d, scale, p, o, group_max, group_l);
            for (int m = 0; m < found; m++) {
                if (g == 0) max[who[m]] = group_max[m], l[who[m]] = group_l[m];
                else merge_group(&max[who[m]], &l[who[m]], out + who[m] * ldo, group_max[m], group_l[m], o[m], d);
            }
        }
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j += 16) {
            float *o = out + i * ldo + j;
            int64_t lanes = d - j < 16 ? d - j : 16;
            v16_store_n(o, n_keys[i] > 0 ? v16_div(v16_load_n(o, lanes), v16_set1(l[i])) : v16_set1(0), lanes);
        }
}

static int64_t window_start(const int64_t *first_key, int64_t i) { return first_key && first_key[i] > 0 ? first_key[i] : 0; }

static void attention_window(const float *q, int64_t ldq, int64_t n, const int64_t *first_key, const int64_t *n_keys,
                             const float *const *key, const float *const *value, int64_t d, float scale, float cap,
                             float *out, int64_t ldo, void *scratch)
{
    float *p = (float *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63), *group_o = p + QUERIES * LP_ATTENTION_GROUP,
          *max = group_o + QUERIES * d, *l = max + n;
    int64_t longest = 0, g0 = INT64_MAX; /* the first group that somebody sees */
    for (int64_t i = 0; i < n; i++) {
        int64_t from = window_start(first_key, i);
        if (n_keys[i] > longest) longest = n_keys[i];
        if (n_keys[i] > from && from / LP_ATTENTION_GROUP < g0) g0 = from / LP_ATTENTION_GROUP;
    }
    for (int64_t g = g0; g < INT64_MAX && g * LP_ATTENTION_GROUP < longest; g++) {
        const float *next_key = (g + 1) * LP_ATTENTION_GROUP < longest ? key[g + 1] : key[g];
        for (int64_t i = 0; i < n;) {
            const float *query[QUERIES];
            int64_t who[QUERIES], first[QUERIES], count[QUERIES];
            bool is_first[QUERIES];
            float *o[QUERIES], group_max[QUERIES], group_l[QUERIES];
            const int most = tokens_of_block(n - i);
            int found = 0;
            for (; i < n && found < most; i++) {
                int64_t left = n_keys[i] - g * LP_ATTENTION_GROUP, start = window_start(first_key, i);
                int64_t from = start - g * LP_ATTENTION_GROUP;
                if (left <= 0 || from >= left || from >= LP_ATTENTION_GROUP) continue;
                first[found] = from > 0 ? from : 0;
                is_first[found] = g == start / LP_ATTENTION_GROUP;
                who[found] = i;
                query[found] = q + i * ldq;
                count[found] = left < LP_ATTENTION_GROUP ? left : LP_ATTENTION_GROUP;
                o[found] = is_first[found] ? out + i * ldo : group_o + found * d;
                found++;
            }
            if (found == 0) break;
            attend_group_window(found, query, first, count, key[g], value[g], next_key, d, scale, cap, p, o, group_max, group_l);
            for (int m = 0; m < found; m++) {
                if (is_first[m]) max[who[m]] = group_max[m], l[who[m]] = group_l[m];
                else merge_group(&max[who[m]], &l[who[m]], out + who[m] * ldo, group_max[m], group_l[m], o[m], d);
            }
        }
    }
    for (int64_t i = 0; i < n; i++)
        for (int64_t j = 0; j < d; j += 16) {
            float *o = out + i * ldo + j;
            int64_t lanes = d - j < 16 ? d - j : 16;
            v16_store_n(o, n_keys[i] > window_start(first_key, i) ? v16_div(v16_load_n(o, lanes), v16_set1(l[i])) : v16_set1(0), lanes);
        }
}
