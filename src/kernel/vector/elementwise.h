/* Reductions and element-wise functions over vectors of 16 lanes. A template: the instruction set's v16.h comes first.
 * The order of operations is that of ref/vector.c. */
#include "base/expf.h"

/* The steps of lp_expf in every lane. */
INLINE v16 v16_exp(v16 x)
{
    v16 n = v16_rint(v16_mul(x, v16_set1(LP_EXPF_LOG2E)));
    v16 r = v16_fma(n, v16_set1(-LP_EXPF_LN2_HI), x);
    r = v16_fma(n, v16_set1(-LP_EXPF_LN2_LO), r);
    v16 q = v16_set1(LP_EXPF_C0);
    q = v16_fma(q, r, v16_set1(LP_EXPF_C1));
    q = v16_fma(q, r, v16_set1(LP_EXPF_C2));
    q = v16_fma(q, r, v16_set1(LP_EXPF_C3));
    q = v16_fma(q, r, v16_set1(LP_EXPF_C4));
    q = v16_fma(q, r, v16_set1(LP_EXPF_C5));
    v16 y = v16_add(v16_fma(q, v16_mul(r, r), r), v16_set1(1));
    return v16_clamp_exp(x, v16_times_power(y, n));
}

static void exp_f32(const float *x, int64_t n, float *y)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, v16_exp(v16_load(x + i)));
    if (i < n) v16_store_n(y + i, v16_exp(v16_load_n(x + i, n - i)), n - i);
}

INLINE v16 silu_of(v16 gate, v16 up)
{
    v16 denominator = v16_add(v16_set1(1), v16_exp(v16_negate(gate)));
    return v16_mul(v16_div(gate, denominator), up);
}

static void silu_mul(const float *gate, const float *up, int64_t n, float *y)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, silu_of(v16_load(gate + i), v16_load(up + i)));
    if (i < n) v16_store_n(y + i, silu_of(v16_load_n(gate + i, n - i), v16_load_n(up + i, n - i)), n - i);
}

INLINE v16 gelu_of(v16 x)
{
    v16 u = v16_mul(x, v16_fma(v16_mul(x, x), v16_set1(LP_GELUF_CUBE), v16_set1(LP_GELUF_LINE)));
    return v16_div(x, v16_add(v16_set1(1), v16_exp(v16_negate(u))));
}

static void gelu(const float *x, int64_t n, float *y)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, gelu_of(v16_load(x + i)));
    if (i < n) v16_store_n(y + i, gelu_of(v16_load_n(x + i, n - i)), n - i);
}

static void gelu_mul(const float *gate, const float *up, int64_t n, float *y)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, v16_mul(gelu_of(v16_load(gate + i)), v16_load(up + i)));
    if (i < n) v16_store_n(y + i, v16_mul(gelu_of(v16_load_n(gate + i, n - i)), v16_load_n(up + i, n - i)), n - i);
}

/* The steps of lp_tanhf in every lane, both ways computed. */
INLINE v16 v16_tanh(v16 x)
{
    v16 a = v16_abs(x), z = v16_mul(a, a), q = v16_set1(LP_TANHF_T0);
    q = v16_fma(q, z, v16_set1(LP_TANHF_T1));
    q = v16_fma(q, z, v16_set1(LP_TANHF_T2));
    q = v16_fma(q, z, v16_set1(LP_TANHF_T3));
    q = v16_fma(q, z, v16_set1(LP_TANHF_T4));
    q = v16_fma(q, z, v16_set1(LP_TANHF_T5));
    v16 e = v16_exp(v16_add(a, a)), large = v16_sub(v16_set1(1), v16_div(v16_set1(2), v16_add(e, v16_set1(1))));
    v16 small = v16_fma(v16_mul(a, z), q, a);
    return v16_with_sign(v16_if_less(a, v16_set1(LP_TANHF_SMALL), small, large), x);
}

INLINE v16 soft_cap_of(v16 x, v16 cap) { return v16_mul(cap, v16_tanh(v16_div(x, cap))); }

static void soft_cap(const float *x, float cap, int64_t n, float *y)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, soft_cap_of(v16_load(x + i), v16_set1(cap)));
    if (i < n) v16_store_n(y + i, soft_cap_of(v16_load_n(x + i, n - i), v16_set1(cap)), n - i);
}

static void scale(const float *x, float factor, int64_t n, float *y)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, v16_mul(v16_load(x + i), v16_set1(factor)));
    if (i < n) v16_store_n(y + i, v16_mul(v16_load_n(x + i, n - i), v16_set1(factor)), n - i);
}

static void add(const float *a, const float *b, int64_t n, float *y)
{
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, v16_add(v16_load(a + i), v16_load(b + i)));
    if (i < n) v16_store_n(y + i, v16_add(v16_load_n(a + i, n - i), v16_load_n(b + i, n - i)), n - i);
}

/* Of at most 512 values; a lane without a value in the last step keeps what it has. */
INLINE float dot_chunk(const float *a, const float *b, int64_t n)
{
    v16 sum = v16_set1(0);
    int64_t k = 0;
    for (; k + 16 <= n; k += 16) sum = v16_fma(v16_load(a + k), v16_load(b + k), sum);
    if (k < n) sum = v16_first(v16_fma(v16_load_n(a + k, n - k), v16_load_n(b + k, n - k), sum), sum, n - k);
    return v16_tree(sum);
}

/* Four whole chunks side by side: a single chain would wait for its own latency. */
INLINE void dot_chunks(const float *a, const float *b, float sum[4])
{
    v16 lane[4];
    UNROLL for (int c = 0; c < 4; c++) lane[c] = v16_set1(0);
    for (int k = 0; k < LP_REDUCE_CHUNK; k += 16)
        UNROLL for (int c = 0; c < 4; c++)
            lane[c] = v16_fma(v16_load(a + LP_REDUCE_CHUNK * c + k), v16_load(b + LP_REDUCE_CHUNK * c + k), lane[c]);
    UNROLL for (int c = 0; c < 4; c++) sum[c] = v16_tree(lane[c]);
}

/* The left-balanced tree: sums of 2^i chunks wait at level i for their right neighbour. */
static float dot_f32(const float *a, const float *b, int64_t n)
{
    float waiting[64];
    int depth = 0;
    for (int64_t chunk = 0, first = 0; first < n;) {
        float sum[4];
        int64_t n_sums = 4;
        if (n - first >= 4 * LP_REDUCE_CHUNK) {
            dot_chunks(a + first, b + first, sum);
        } else {
            n_sums = 1;
            sum[0] = dot_chunk(a + first, b + first, n - first < LP_REDUCE_CHUNK ? n - first : LP_REDUCE_CHUNK);
        }
        for (int64_t s = 0; s < n_sums; s++, chunk++, first += LP_REDUCE_CHUNK) {
            float joined = sum[s];
            for (int64_t i = chunk; i & 1; i >>= 1) joined = waiting[--depth] + joined;
            waiting[depth++] = joined;
        }
    }
    if (depth == 0) return 0;
    float sum = waiting[--depth];
    while (depth > 0) sum = waiting[--depth] + sum;
    return sum;
}

static void rms_norm(const float *x, const float *weight, int64_t n, float epsilon, float *y)
{
    float mean = dot_f32(x, x, n) / (float)n;
    v16 r = v16_set1(1.0f / sqrtf(mean + epsilon));
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, v16_mul(v16_mul(v16_load(x + i), r), v16_load(weight + i)));
    if (i < n)
        v16_store_n(y + i, v16_mul(v16_mul(v16_load_n(x + i, n - i), r), v16_load_n(weight + i, n - i)), n - i);
}

static void layer_norm(const float *x, const float *weight, int64_t n, float epsilon, float *y)
{
    for (int64_t i = 0; i < n; i++) y[i] = 1;
    v16 mean = v16_set1(dot_f32(x, y, n) / (float)n);
    int64_t i = 0;
    for (; i + 16 <= n; i += 16) v16_store(y + i, v16_sub(v16_load(x + i), mean));
    if (i < n) v16_store_n(y + i, v16_sub(v16_load_n(x + i, n - i), mean), n - i);
    rms_norm(y, weight, n, epsilon, y);
}

static void rope_halves(float *x, int64_t n_heads, int64_t d, int64_t r, const float *cosine, const float *sine)
{
    int64_t half = r / 2;
    for (int64_t h = 0; h < n_heads; h++, x += d)
        for (int64_t i = 0; i < half; i += 16) {
            int64_t n = half - i < 16 ? half - i : 16;
            v16 a = v16_load_n(x + i, n), b = v16_load_n(x + half + i, n);
            v16 c = v16_load_n(cosine + i, n), s = v16_load_n(sine + i, n);
            v16_store_n(x + i, v16_fma(a, c, v16_negate(v16_mul(b, s))), n);
            v16_store_n(x + half + i, v16_fma(a, s, v16_mul(b, c)), n);
        }
}

static void rope_pairs(float *x, int64_t n_heads, int64_t d, const float *cosine, const float *sine)
{
    for (int64_t h = 0; h < n_heads; h++, x += d) {
        int64_t i = 0;
        for (; i + 16 <= d; i += 16)
            v16_store(x + i, v16_rotate_pairs(v16_load(x + i), cosine + i / 2, sine + i / 2));
        for (; i + 2 <= d; i += 2) {
            float a = x[i], b = x[i + 1], c = cosine[i / 2], s = sine[i / 2];
            float bs = b * s, bc = b * c;
            x[i] = fmaf(a, c, -bs);
            x[i + 1] = fmaf(a, s, bc);
        }
    }
}
