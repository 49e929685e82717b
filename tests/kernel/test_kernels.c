/* Every kernel of every instruction set against the reference, bit for bit; with --bench, their speed. Buffers end at
 * guard pages, outputs are compared with everything around them. */
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/function.h"
#include "base/half.h"
#include "kernel/harness.h"
#include "kernel/layout.h"
#include "tensor/row.h"

/* What one test is about. */
typedef struct test_subject {
    lp_isa isa;
    const lp_packing *packing;
} test_subject;

#define EXPECT(condition)                                                 \
    do {                                                                  \
        if (!(condition)) {                                               \
            printf("# line %d: expected %s\n", __LINE__, #condition);     \
            return false;                                                 \
        }                                                                 \
    } while (0)

static const lp_kernels *ref(void) { return lp_kernels_of(LP_ISA_REF); }
static const lp_kernels *fast(const test_subject *subject) { return lp_kernels_of(subject->isa); }

static float *floats(int64_t n, draw how)
{
    float *x = guarded((size_t)n * sizeof *x);
    fill_floats(x, n, how);
    return x;
}

static const int64_t row_counts[] = {1, 15, 16, 17, 48, 100};
static const int64_t token_counts[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 33, 65, 100};
#define LENGTH(a) ((int64_t)(sizeof(a) / sizeof *(a)))

/* ---- linear layers ---------------------------------------------------------------------------------------------------- */

typedef void linear_call(const lp_kernels *k, const lp_weight *w, int64_t tile0, int64_t tile1, const void *x, int64_t n,
                         float *y, int64_t ldy);

static void call_i8(const lp_kernels *k, const lp_weight *w, int64_t tile0, int64_t tile1, const void *x, int64_t n,
                    float *y, int64_t ldy)
{
    size_t bytes = lp_linear_scratch_bytes(w->cols);
    k->linear_i8(w, tile0, tile1, x, n, y, ldy, guarded(bytes));
}

static void call_f32(const lp_kernels *k, const lp_weight *w, int64_t tile0, int64_t tile1, const void *x, int64_t n,
                     float *y, int64_t ldy)
{
    size_t bytes = lp_linear_scratch_bytes(w->cols);
    k->linear_f32(w, tile0, tile1, x, w->cols + 1, n, y, ldy, guarded(bytes));
}

/* All tiles in one call of the reference, and in up to three calls of the other. */
static bool compare_linear(const lp_kernels *k, linear_call *call, const lp_weight *w, const void *x, int64_t n)
{
    int64_t ldy = w->rows + random_below(3), size = (n - 1) * ldy + w->rows, tiles = (w->rows + 15) / 16;
    float *expected = guarded((size_t)size * 4), *y = guarded((size_t)size * 4);
    int64_t cut1 = random_below(tiles + 1), cut2 = cut1 + random_below(tiles - cut1 + 1);
    call(ref(), w, 0, tiles, x, n, expected, ldy);
    call(k, w, 0, cut1, x, n, y, ldy);
    call(k, w, cut1, cut2, x, n, y, ldy);
    call(k, w, cut2, tiles, x, n, y, ldy);
    int64_t different = count_different(expected, y, size);
    if (different)
        printf("# %ld rows, %ld columns, %ld tokens: %ld of %ld values differ\n", (long)w->rows, (long)w->cols, (long)n,
               (long)different, (long)size);
    return different == 0;
}

/* Of our own: every width, scale and offset that kernels have classes for, and some that have none; constants of rows and of
 * the tensor; rows whose last block is short. */
static const char *const own_formats[] = {
    "b1:64:f16", "u1:32:f16+min", "i2:32:f16", "i3:32:f16", "i3:16:(i6:16:f16)", "i4:128:f16", "i4:16:f16", "i4:256:f16", "i4:row:f32", "i8:row:f32",
    "i4:32:f32", "i8:32:f32", "i5:48:f16", "i6:64:f16", "i7:32:bf16", "i8:64:e8m0", "i4:32:(i6:8:f16)", "i4:16:(i6:16:f16)", "iq4nl:16:(i6:16:f16)",
    "u4:128:f16+zero", "u4:32:(u6:8:f16)-min(u6:8:f16)", "u2:16:(u4:16:f16)-min(u4:16:f16)", "u2:32:(u6:8:f16)-min(u6:8:f16)", "u5:32:f16-min",
    "e2m1:16:e4m3:f32", "e2m1:32:f16", "e2m3:32:e8m0", "e3m0:32:f16", "q1.6:32:e8m0", "t:256:f16", "u4:32:(dyn8:256:f32)+min(f32)",
    "{-127,-108,-92,-78,-66,-56,-47,-39,-32,-26,-20,-15,-11,-7,-4,-1,1,4,7,11,15,20,26,32,39,47,56,66,78,92,108,127}:32:f16",
    "{-5,-2,0,1,3}:32:f16", "{-0.75,-0.125,0.25,2}:16:f16",
};
enum { N_OWN = sizeof own_formats / sizeof *own_formats };
static const lp_packing *own[N_OWN];

static int granularity(const lp_packing *packing) { return packing->format ? 32 : packing->n_values; }

static bool integer_layers_give_the_reference_bits(const test_subject *subject)
{
    const lp_packing *packing = subject->packing;
    static const int64_t blocks[] = {1, 2, 3, 5, 11, 34};
    const int step = granularity(packing);
    int turn = 0;
    seed_random(7 + packing->gguf_id);
    for (int64_t r = 0; r < LENGTH(row_counts); r++)
        for (int64_t t = 0; t < LENGTH(token_counts); t++, turn++) {
            if (packing->format && (r + t) % 3) continue; /* they share their kernels: a third of the shapes, others for each */
            int64_t cols = blocks[turn % LENGTH(blocks)] * step;
            if (cols > 1280) cols = 5 * step;
            if (row_counts[r] == 17 && token_counts[t] > 9) /* several panels of columns, the last one odd */
                cols = (2 * LP_PANEL_COLS / step + 3) * step;
            draw how = (draw)(turn % DRAW_COUNT);
            weight_box box;
            make_weight(&box, packing, row_counts[r], cols, how, true);
            void *act = make_activations(cols, token_counts[t], how);
            EXPECT(compare_linear(fast(subject), call_i8, &box.weight, act, token_counts[t]));
            free_all_guarded();
        }
    return true;
}

/* The reference reads tiles; this reads the blocks of the tensor. */
static bool reference_layers_follow_the_units_of_the_source(const test_subject *subject)
{
    const lp_packing *packing = subject->packing;
    const lp_unit_class *c = lp_packing_unit_class(packing);
    int64_t rows = 35, cols = packing->format ? 9 * 32 : 3 * packing->n_values, n = 2;
    seed_random(3);
    for (int how = DRAW_NORMAL; how < DRAW_COUNT; how++) {
        weight_box box;
        make_weight(&box, packing, rows, cols, (draw)how, true);
        void *act = make_activations(cols, n, (draw)how);
        float *y = guarded((size_t)(rows * n) * 4), *expected = guarded((size_t)(rows * n) * 4);
        call_i8(ref(), &box.weight, 0, 3, act, n, y, rows);
        for (int64_t m = 0; m < n; m++)
            for (int64_t r = 0; r < rows; r++) {
                lp_act_row x = lp_act_row_at(act, cols, m);
                float sum = 0, offset = 0, row_scale = 1;
                for (int64_t b = 0; b * c->block < cols; b++) {
                    lp_split s;
                    lp_row row = lp_tensor_row(&box.tensor, r);
                    int64_t n_block = cols - b * c->block < c->block ? cols - b * c->block : c->block;
                    lp_row_split(packing, &row, cols, b * c->block, &s);
                    if (c->row_scale) row_scale = s.row_scale;
                    for (int64_t u = 0; u < n_block / c->unit; u++) {
                        int64_t k = b * c->block + u * c->unit, dot = 0;
                        for (int64_t i = 0; i < c->unit; i++) {
                            int code = s.code[u * c->unit + i];
                            dot += ((c->table ? c->table[code] : code) - c->zero) * x.code[k + i];
                        }
                        float w = c->scale == LP_SCALE_F16     ? lp_f16_to_f32(s.scale16[u])
                                  : c->scale == LP_SCALE_BF16  ? lp_bf16_to_f32(s.scale16[u])
                                  : c->scale == LP_SCALE_F32   ? s.scale32[u]
                                  : c->scale == LP_SCALE_NONE  ? 1
                                  : c->scale == LP_SCALE_BLOCK ? lp_f16_to_f32(s.scale16[0])
                                                               : lp_f16_to_f32(s.scale16[0]) * (float)s.sub[u];
                        sum = fmaf((float)dot, w * x.scale[k / 32], sum);
                        float o = c->offset == LP_OFFSET_KIND_F16   ? lp_f16_to_f32(s.offset16[u])
                                  : c->offset == LP_OFFSET_KIND_F32 ? s.offset32[u]
                                                                    : -(lp_f16_to_f32(s.offset16[0]) * (float)s.sub_offset[u]);
                        offset = fmaf(o, c->unit == 16 ? x.h16[k / 16] : x.h32[k / 32], offset);
                    }
                }
                if (c->row_scale) sum = sum * row_scale;
                expected[m * rows + r] = c->offset == LP_OFFSET_KIND_NONE ? sum : sum + offset;
            }
        EXPECT(count_different(expected, y, rows * n) == 0);
        free_all_guarded();
    }
    return true;
}

static bool float_layers_give_the_reference_bits(const test_subject *subject)
{
    const lp_packing *packing = subject->packing;
    static const int64_t counts[] = {1, 7, 32, 33, 255, 1100};
    int turn = 0;
    seed_random(11 + packing->gguf_id);
    for (int64_t r = 0; r < LENGTH(row_counts); r++)
        for (int64_t t = 0; t < LENGTH(token_counts); t++, turn++) {
            int64_t cols = counts[turn % LENGTH(counts)], n = token_counts[t];
            draw how = (draw)(turn % DRAW_COUNT);
            if (!packing->is_float && !packing->format) cols = 32 * 256 / packing->n_values * packing->n_values / 32 * (turn % 5 ? 1 : 5);
            if (!packing->is_float && (turn % 4 || n > 9)) continue; /* decoding is slow; the loops are those of f32 */
            weight_box box;
            make_weight(&box, packing, row_counts[r], cols, how, packing->is_float && turn % 7 != 0);
            float *x = guarded((size_t)((n - 1) * (cols + 1) + cols) * 4);
            for (int64_t m = 0; m < n; m++) fill_floats(x + m * (cols + 1), cols, how);
            EXPECT(compare_linear(fast(subject), call_f32, &box.weight, x, n));
            free_all_guarded();
        }
    return true;
}

/* ---- activations and element-wise functions ----------------------------------------------------------------------------- */

static const int64_t lengths[] = {1, 2, 7, 15, 16, 17, 31, 33, 100, 511, 512, 513, 576, 1100, 2048, 2560, 3000, 5000};

static bool activations_give_the_reference_bits(const test_subject *subject)
{
    seed_random(5);
    for (int turn = 0; turn < 60; turn++) {
        int64_t k = 32 * (1 + random_below(40)), n = (int64_t)lp_act_row_bytes(k);
        float *x = floats(k, (draw)(turn % DRAW_COUNT));
        if (turn % 4 == 1) /* exact halves decide ties */
            for (int64_t i = 0; i < k; i++) x[i] = i % 32 ? (float)(i % 256 - 127) * 0.5f : 127;
        uint8_t *expected = guarded((size_t)n), *out = guarded((size_t)n);
        lp_act_row a = lp_act_row_at(expected, k, 0), b = lp_act_row_at(out, k, 0);
        ref()->quantize_i8(x, k, &a);
        fast(subject)->quantize_i8(x, k, &b);
        EXPECT(memcmp(a.code, b.code, (size_t)k) == 0);
        EXPECT(memcmp(a.sum16, b.sum16, (size_t)k / 16 * 4) == 0);
        EXPECT(memcmp(a.sum32, b.sum32, (size_t)k / 32 * 4) == 0);
        EXPECT(count_different(a.scale, b.scale, k / 32) == 0);
        EXPECT(count_different(a.h16, b.h16, k / 16) == 0);
        EXPECT(count_different(a.h32, b.h32, k / 32) == 0);
        size_t used = (size_t)((uint8_t *)(a.h32 + k / 32) - expected);
        EXPECT(memcmp(expected + used, out + used, (size_t)n - used) == 0);
        free_all_guarded();
    }
    return true;
}

static bool same_f64(double a, double b) { return memcmp(&a, &b, sizeof a) == 0 || (a != a && b != b); }

static bool sums_over_a_vocabulary_give_the_reference_bits(const test_subject *subject)
{
    seed_random(16);
    for (int turn = 0; turn < LENGTH(lengths) * DRAW_COUNT; turn++) {
        int64_t n = lengths[turn / DRAW_COUNT];
        draw how = (draw)(turn % DRAW_COUNT);
        float *p = floats(n, how), *q = floats(n, how), top[2] = {-INFINITY, -INFINITY};
        for (int64_t i = 0; i < n; i++) {
            if (p[i] > top[0]) top[0] = p[i];
            if (q[i] > top[1]) top[1] = q[i];
        }
        double total[2] = {(double)top[0] + 1.25, (double)top[1] + 0.75};
        EXPECT(same_f64(ref()->exp_sum(p, n, top[0]), fast(subject)->exp_sum(p, n, top[0])));
        EXPECT(same_f64(ref()->kl_sum(p, total[0], q, total[1], n), fast(subject)->kl_sum(p, total[0], q, total[1], n)));
        free_all_guarded();
    }
    return true;
}

static bool functions_give_the_reference_bits(const test_subject *subject)
{
    seed_random(6);
    for (int turn = 0; turn < LENGTH(lengths) * DRAW_COUNT; turn++) {
        int64_t n = lengths[turn / DRAW_COUNT];
        draw how = (draw)(turn % DRAW_COUNT);
        float *a = floats(n, how), *b = floats(n, how), *y = guarded((size_t)n * 4), *expected = guarded((size_t)n * 4);
        ref()->exp_f32(a, n, expected);
        fast(subject)->exp_f32(a, n, y);
        EXPECT(count_different(expected, y, n) == 0);
        ref()->add(a, b, n, expected);
        fast(subject)->add(a, b, n, y);
        EXPECT(count_different(expected, y, n) == 0);
        ref()->silu_mul(a, b, n, expected);
        fast(subject)->silu_mul(a, b, n, y);
        EXPECT(count_different(expected, y, n) == 0);
        ref()->rms_norm(a, b, n, 1e-5f, expected);
        fast(subject)->rms_norm(a, b, n, 1e-5f, y);
        EXPECT(count_different(expected, y, n) == 0);
        ref()->layer_norm(a, b, n, 1e-5f, expected);
        fast(subject)->layer_norm(a, b, n, 1e-5f, y);
        EXPECT(count_different(expected, y, n) == 0);
        ref()->gelu_mul(a, b, n, expected);
        fast(subject)->gelu_mul(a, b, n, y);
        EXPECT(count_different(expected, y, n) == 0);
        ref()->gelu(a, n, expected);
        memcpy(y, a, (size_t)n * 4);
        fast(subject)->gelu(y, n, y);
        EXPECT(count_different(expected, y, n) == 0);
        ref()->scale(a, 0.3f, n, expected);
        memcpy(y, a, (size_t)n * 4);
        fast(subject)->scale(y, 0.3f, n, y);
        EXPECT(count_different(expected, y, n) == 0);
        ref()->soft_cap(a, turn % 2 ? 50 : 0.7f, n, expected);
        memcpy(y, a, (size_t)n * 4);
        fast(subject)->soft_cap(y, turn % 2 ? 50 : 0.7f, n, y);
        EXPECT(count_different(expected, y, n) == 0);
        float dot[2] = {ref()->dot_f32(a, b, n), fast(subject)->dot_f32(a, b, n)};
        EXPECT(count_different(dot, dot + 1, 1) == 0);
        memcpy(y, a, (size_t)n * 4); /* in place */
        fast(subject)->silu_mul(y, b, n, y);
        ref()->silu_mul(a, b, n, expected);
        EXPECT(count_different(expected, y, n) == 0);
        memcpy(y, a, (size_t)n * 4);
        fast(subject)->add(y, b, n, y);
        ref()->add(a, b, n, expected);
        EXPECT(count_different(expected, y, n) == 0);
        free_all_guarded();
    }
    return true;
}

/* A sample of every exponent, and the neighbourhoods of the two ends. */
static bool exp_gives_the_bits_of_lp_expf_everywhere(const test_subject *subject)
{
    enum { BLOCK = 4096 };
    static float x[BLOCK], y[BLOCK];
    for (uint64_t base = 0; base < 0x100000000u; base += (uint64_t)BLOCK * 1021) {
        for (uint64_t i = 0; i < BLOCK; i++) x[i] = lp_f32_from_bits((uint32_t)(base + i * 1021));
        fast(subject)->exp_f32(x, BLOCK, y);
        for (int i = 0; i < BLOCK; i++) {
            float expected = lp_expf(x[i]);
            EXPECT(count_different(&expected, &y[i], 1) == 0);
        }
    }
    for (int end = 0; end < 3; end++)
        for (int i = 0; i < BLOCK; i++) {
            float near = lp_f32_from_bits((const uint32_t[]){0x42b17218u, 0xc2cff1b4u, 0xc2aeac50u}[end] + (uint32_t)(i - BLOCK / 2)),
                  expected = lp_expf(near), got;
            fast(subject)->exp_f32(&near, 1, &got);
            EXPECT(count_different(&expected, &got, 1) == 0);
        }
    return true;
}

static bool rotations_give_the_reference_bits(const test_subject *subject)
{
    static const int64_t sizes[] = {2, 6, 16, 30, 32, 64, 80, 128, 256};
    seed_random(8);
    for (int64_t i = 0; i < LENGTH(sizes) * DRAW_COUNT; i++) {
        int64_t d = sizes[i / DRAW_COUNT], heads = 1 + random_below(5);
        draw how = (draw)(i % DRAW_COUNT);
        float *x = floats(d * heads, how), *y = guarded((size_t)(d * heads) * 4), *c = floats(d / 2, how), *s = floats(d / 2, how);
        memcpy(y, x, (size_t)(d * heads) * 4);
        ref()->rope_pairs(x, heads, d, c, s);
        fast(subject)->rope_pairs(y, heads, d, c, s);
        EXPECT(count_different(x, y, d * heads) == 0);
        int64_t r = 2 + 2 * random_below(d / 2); /* all of the head, or its first values */
        memcpy(y, x, (size_t)(d * heads) * 4);
        ref()->rope_halves(x, heads, d, r, c, s);
        fast(subject)->rope_halves(y, heads, d, r, c, s);
        EXPECT(count_different(x, y, d * heads) == 0);
        free_all_guarded();
    }
    return true;
}

/* The vector of the card audit/reproducibility: 4096 terms, bf16 by bf16. */
static void fill_canonical(float *a, float *w)
{
    seed_random(2024);
    for (int i = 0; i < 4096; i++) {
        a[i] = lp_bf16_to_f32(lp_bf16_from_f32((float)((int64_t)(random_word() >> 40) - 8388608) / 8388608.0f));
        w[i] = lp_bf16_to_f32(lp_bf16_from_f32((float)((int64_t)(random_word() >> 40) - 8388608) / 8388608.0f));
    }
}

static bool the_canonical_dot_is_3f45c900(const test_subject *subject)
{
    static float a[4096], w[4096];
    fill_canonical(a, w);
    EXPECT(lp_f32_bits(fast(subject)->dot_f32(a, w, 4096)) == 0x3f45c900);
    return true;
}

/* ---- attention -------------------------------------------------------------------------------------------------------------- */

static bool attention_gives_the_reference_bits(const test_subject *subject)
{
    static const int64_t sizes[] = {1, 5, 16, 24, 64, 80, 96, 128, 200, 256};
    static const int64_t queries[] = {1, 2, 3, 5, 6, 7, 13, 16};
    seed_random(9);
    for (int turn = 0; turn < 60; turn++) {
        int64_t d = sizes[turn % LENGTH(sizes)], n = queries[turn % LENGTH(queries)];
        int64_t longest = (const int64_t[]){1, 17, 200, 256, 257, 300, 520, 700}[random_below(8)];
        int64_t groups = (longest + 255) / 256, ldq = d + random_below(3), ldo = d + random_below(3);
        draw how = turn % 6 == 5 ? DRAW_SPECIAL : DRAW_NORMAL;
        const float *keys[3], *values[3];
        int64_t n_keys[16];
        for (int64_t g = 0; g < groups; g++) {
            float *k = floats(d * 256, how), *v = floats(d * 256, how);
            /* Positions that nobody sees may hold anything. */
            for (int64_t t = longest - g * 256; t < 256; t++)
                for (int64_t i = 0; i < d; i++) k[i * 256 + t] = v[t * d + i] = NAN;
            keys[g] = k;
            values[g] = v;
        }
        for (int64_t i = 0; i < n; i++)
            n_keys[i] = turn % 3 == 0 ? random_below(longest + 1) : longest - n + i + 1 > 0 ? longest - n + i + 1 : 0;
        float *q = guarded((size_t)((n - 1) * ldq + d) * 4);
        for (int64_t i = 0; i < n; i++) fill_floats(q + i * ldq, d, how);
        int64_t size = (n - 1) * ldo + d;
        float *expected = guarded((size_t)size * 4), *out = guarded((size_t)size * 4);
        size_t scratch = lp_attention_scratch_bytes(n, d);
        ref()->attention(q, ldq, n, n_keys, keys, values, d, 0.125f, expected, ldo, guarded(scratch));
        fast(subject)->attention(q, ldq, n, n_keys, keys, values, d, 0.125f, out, ldo, guarded(scratch));
        EXPECT(count_different(expected, out, size) == 0);
        float cap = turn % 2 ? 5 : 0; /* without cap and window it is the same function */
        ref()->attention_window(q, ldq, n, NULL, n_keys, keys, values, d, 0.125f, 0, out, ldo, guarded(scratch));
        EXPECT(count_different(expected, out, size) == 0);
        int64_t window = 1 + random_below(turn % 4 ? 40 : 400), first[16];
        for (int64_t i = 0; i < n; i++) first[i] = n_keys[i] > window ? n_keys[i] - window : 0;
        ref()->attention_window(q, ldq, n, first, n_keys, keys, values, d, 0.125f, cap, expected, ldo, guarded(scratch));
        fast(subject)->attention_window(q, ldq, n, first, n_keys, keys, values, d, 0.125f, cap, out, ldo, guarded(scratch));
        EXPECT(count_different(expected, out, size) == 0);
        free_all_guarded();
    }
    return true;
}

static bool a_query_of_a_batch_gets_the_bits_that_it_gets_alone(const test_subject *subject)
{
    int64_t d = 64, n = 9, n_keys[9];
    seed_random(10);
    const float *key[2] = {floats(d * 256, DRAW_NORMAL), floats(d * 256, DRAW_NORMAL)};
    const float *value[2] = {floats(d * 256, DRAW_NORMAL), floats(d * 256, DRAW_NORMAL)};
    float *q = floats(n * d, DRAW_NORMAL), *together = guarded((size_t)(n * d) * 4), *alone = guarded((size_t)d * 4);
    void *scratch = guarded(lp_attention_scratch_bytes(n, d));
    for (int64_t i = 0; i < n; i++) n_keys[i] = 250 + 3 * i;
    q[3 * d] = NAN;
    fast(subject)->attention(q, d, n, n_keys, key, value, d, 0.125f, together, d, scratch);
    for (int64_t i = 0; i < n; i++) {
        fast(subject)->attention(q + i * d, d, 1, n_keys + i, key, value, d, 0.125f, alone, d, scratch);
        EXPECT(count_different(alone, together + i * d, d) == 0);
        EXPECT((isnan(alone[0]) != 0) == (i == 3));
    }
    free_all_guarded();
    return true;
}

/* ---- negative controls ---------------------------------------------------------------------------------------------------- */

static bool a_reordered_sum_is_noticed(const test_subject *subject)
{
    static float a[4096], w[4096];
    (void)subject;
    fill_canonical(a, w);
    float other = 0; /* one chain: the card gives its bits too */
    for (int i = 0; i < 4096; i++) other = fmaf(a[i], w[i], other);
    EXPECT(lp_f32_bits(other) == 0x3f45c936);
    float expected = ref()->dot_f32(a, w, 4096);
    EXPECT(count_different(&expected, &other, 1) == 1);
    EXPECT(fabsf(expected - other) < 1e-4f);
    return true;
}

static bool dies_of(int (*crime)(volatile uint8_t *buffer, size_t n))
{
    pid_t child = fork();
    if (child == 0) {
        signal(SIGSEGV, SIG_DFL);
        signal(SIGBUS, SIG_DFL);
        _exit(crime(guarded(100), 100));
    }
    int status;
    return child > 0 && waitpid(child, &status, 0) == child && WIFSIGNALED(status) &&
           (WTERMSIG(status) == SIGSEGV || WTERMSIG(status) == SIGBUS);
}

static int read_past_end(volatile uint8_t *buffer, size_t n) { return buffer[n]; }
static int write_before(volatile uint8_t *buffer, size_t n)
{
    (void)n;
    buffer[-4096] = 1;
    return 0;
}

static bool a_read_past_the_end_and_a_write_before_the_start_are_caught(const test_subject *subject)
{
    (void)subject;
    EXPECT(dies_of(read_past_end));
    EXPECT(dies_of(write_before));
    return true;
}

/* ---- the list --------------------------------------------------------------------------------------------------------------- */

enum { MAX_TESTS = 1024 };
static struct test {
    char name[128];
    bool (*function)(const test_subject *subject);
    test_subject subject;
} tests[MAX_TESTS];
static int n_tests;

static void list(const char *name, bool (*function)(const test_subject *subject), lp_isa isa, const lp_packing *packing)
{
    if (n_tests == MAX_TESTS) abort();
    struct test *t = &tests[n_tests++];
    snprintf(t->name, sizeof t->name, "%s: %s%s%s", lp_isa_name(isa), packing ? packing->name : "", packing ? " " : "", name);
    t->function = function;
    t->subject = (test_subject){isa, packing};
}

/* Formats of our own that only the float path computes. */
static const char *const decoded_formats[] = {"nf4:64:f16", "p8.1:32:f16", "e4m3:128:f32", "af4:5:bf16", "i8:row:f32+min"};
enum { N_DECODED = sizeof decoded_formats / sizeof *decoded_formats };

static const lp_packing *make_own(const char *text)
{
    lp_format *format;
    const lp_packing *packing = NULL;
    if (lp_format_parse(text, &format) != LP_OK || lp_packing_create(format, &packing) != LP_OK) {
        printf("# %s: %s\n", text, lp_error());
        abort();
    }
    lp_format_free(format);
    return packing; /* lives as long as the program */
}

static void list_own(lp_isa isa)
{
    for (int i = 0; i < N_OWN; i++) {
        if (!own[i]) own[i] = make_own(own_formats[i]);
        if (isa == LP_ISA_REF) list("layers follow the units of the source", reference_layers_follow_the_units_of_the_source, isa, own[i]);
        else list("integer layers give the reference bits", integer_layers_give_the_reference_bits, isa, own[i]);
    }
    for (int i = 0; i < N_DECODED && isa != LP_ISA_REF; i++)
        list("float layers give the reference bits", float_layers_give_the_reference_bits, isa, make_own(decoded_formats[i]));
}

static void list_isa(lp_isa isa)
{
    list_own(isa);
    for (int i = 0; i < lp_packing_count(); i++) {
        const lp_packing *packing = lp_packing_at(i);
        bool has_units = lp_packing_unit_class(packing) != NULL;
        if (isa == LP_ISA_REF) {
            if (has_units)
                list("layers follow the units of the source", reference_layers_follow_the_units_of_the_source, isa, packing);
            continue;
        }
        if (has_units) list("integer layers give the reference bits", integer_layers_give_the_reference_bits, isa, packing);
        if (packing->can_decode) list("float layers give the reference bits", float_layers_give_the_reference_bits, isa, packing);
    }
    list("the canonical dot is 3f45c900", the_canonical_dot_is_3f45c900, isa, NULL);
    list("exp gives the bits of lp_expf everywhere", exp_gives_the_bits_of_lp_expf_everywhere, isa, NULL);
    list("a query of a batch gets the bits that it gets alone", a_query_of_a_batch_gets_the_bits_that_it_gets_alone, isa, NULL);
    if (isa == LP_ISA_REF) return;
    list("activations give the reference bits", activations_give_the_reference_bits, isa, NULL);
    list("functions give the reference bits", functions_give_the_reference_bits, isa, NULL);
    list("sums over a vocabulary give the reference bits", sums_over_a_vocabulary_give_the_reference_bits, isa, NULL);
    list("rotations give the reference bits", rotations_give_the_reference_bits, isa, NULL);
    list("attention gives the reference bits", attention_gives_the_reference_bits, isa, NULL);
}

/* In a process of its own, so that a fault ends one test only. */
static bool passes(const struct test *t)
{
    fflush(stdout);
    pid_t child = fork();
    if (child == 0) {
        bool passed = t->function(&t->subject);
        fflush(stdout);
        _exit(passed ? 0 : 1);
    }
    int status;
    if (child < 0 || waitpid(child, &status, 0) != child) return false;
    if (WIFSIGNALED(status)) printf("# ended by signal %d\n", WTERMSIG(status));
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Prints TAP by itself: this program also runs where cmocka is not, under an emulator of another processor. */
int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--bench") == 0) return run_bench(argc - 2, argv + 2);
    for (int isa = 0; isa < LP_ISA_COUNT; isa++)
        if (lp_isa_available((lp_isa)isa)) list_isa((lp_isa)isa);
    list("a reordered sum is noticed", a_reordered_sum_is_noticed, LP_ISA_REF, NULL);
    list("a read past the end and a write before the start are caught",
         a_read_past_the_end_and_a_write_before_the_start_are_caught, LP_ISA_REF, NULL);
    int failed = 0;
    printf("1..%d\n", n_tests);
    for (int i = 0; i < n_tests; i++) {
        bool passed = passes(&tests[i]);
        printf("%s %d - %s\n", passed ? "ok" : "not ok", i + 1, tests[i].name);
        failed += !passed;
    }
    return failed != 0;
}
