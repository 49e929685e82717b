/* Calibration of mixtures of experts: whose rows are whose, and what quantizing makes of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/architecture_file.h"

static const char text[] = "abcdefghijklmnopqrstuvwxyzzyxwvutsrqponmlkjihgfedcbathequickbrownfoxjumpsoverthelazydogab";
enum { N_EXPERTS = 4, N_USED = 2 };

static void ok(lp_status status)
{
    if (status != LP_OK) fail_msg("%s: %s", lp_status_name(status), lp_error());
}

/* The card's mixture at a width that blocks of 256 want. */
static const char *write_model(const char *label, const lp_packing *packing)
{
    static char path[300];
    architecture_shape s = *card_shape(label);
    s.n_embd = s.n_ffn = 256;
    s.head_size = 64;
    s.n_layer = 1;
    snprintf(path, sizeof path, "%s", test_path("moe.gguf"));
    architecture_write(path, &s, packing, 0.2f);
    return path;
}

static lp_stats *calibrate(const char *path, int n_threads, lp_activation activations)
{
    lp_model *model;
    lp_stats *stats;
    lp_pool *pool;
    ok(lp_pool_create(n_threads, &pool));
    ok(lp_model_open(path, &model));
    ok(lp_calibrate(model, text, strlen(text), &(lp_calibrate_options){.n_context = 16, .pool = pool, .activations = activations}, NULL, &stats));
    lp_model_close(model);
    lp_pool_destroy(pool);
    return stats;
}

static const float *mean_of(const lp_stats *stats, const char *weight, int64_t wanted)
{
    int64_t n;
    const float *mean = lp_stats_mean_square(stats, weight, &n);
    if (!mean) fail_msg("%s has no statistics", weight);
    assert_int_equal(n, wanted);
    return mean;
}

/* Rows of every expert, from the file that the statistics make. */
static void read_counts(const lp_stats *stats, const char *weight, float count[N_EXPERTS])
{
    lp_gguf *g;
    char name[100];
    ok(lp_stats_write(stats, test_path("stats.gguf"), true));
    ok(lp_gguf_open(test_path("stats.gguf"), &g));
    snprintf(name, sizeof name, "%s.counts", weight);
    const lp_tensor *t = lp_gguf_find_tensor(g, name);
    assert_non_null(t);
    assert_int_equal(t->n_bytes, N_EXPERTS * sizeof(float));
    memcpy(count, t->data, t->n_bytes);
    lp_gguf_close(g);
}

static void every_row_counts_for_the_experts_that_were_chosen(void **state)
{
    (void)state;
    static const char *const weights[] = {"blk.0.ffn_gate_exps.weight", "blk.0.ffn_up_exps.weight", "blk.0.ffn_down_exps.weight"};
    const lp_packing *const packings[] = {NULL, lp_packing_by_name("q8_0")}; /* in float, and through int8 activations */
    for (int p = 0; p < 2; p++) {
        lp_stats *stats = calibrate(write_model("mixtral", packings[p]), 2, LP_ACTIVATION_DEFAULT);
        float count[3][N_EXPERTS];
        for (int w = 0; w < 3; w++) {
            double all = 0;
            read_counts(stats, weights[w], count[w]);
            for (int e = 0; e < N_EXPERTS; e++) {
                assert_true(count[w][e] > 0);
                all += (double)count[w][e];
            }
            assert_true(all == (double)(N_USED * lp_stats_tokens(stats)));
            assert_memory_equal(count[w], count[0], sizeof count[w]);
        }
        /* the experts and the router read the same rows: each row is summed for as many experts as are used */
        const float *router = mean_of(stats, "blk.0.ffn_gate_inp.weight", 256), *gate = mean_of(stats, weights[0], 256 * N_EXPERTS);
        assert_memory_equal(gate, mean_of(stats, weights[1], 256 * N_EXPERTS), 256 * N_EXPERTS * sizeof(float));
        for (int k = 0; k < 256; k++) {
            double sum = 0, want = (double)router[k] * (double)(N_USED * lp_stats_tokens(stats));
            for (int e = 0; e < N_EXPERTS; e++) sum += (double)gate[256 * e + k] * (double)count[0][e];
            assert_true(fabs(sum - want) <= 1e-5 * want);
        }
        assert_true(memcmp(gate, gate + 256, 256 * sizeof(float)) != 0);
        lp_stats_free(stats);
    }
}

static void statistics_of_experts_do_not_depend_on_threads(void **state)
{
    (void)state;
    const char *path = write_model("qwen3moe", NULL);
    lp_stats *a = calibrate(path, 1, LP_ACTIVATION_DEFAULT), *b = calibrate(path, 3, LP_ACTIVATION_DEFAULT);
    assert_int_equal(lp_stats_count(a), lp_stats_count(b));
    for (int64_t i = 0; i < lp_stats_count(a); i++) {
        int64_t n, m;
        const char *name = lp_stats_name_at(a, i);
        const float *x = lp_stats_mean_square(a, name, &n), *y = lp_stats_mean_square(b, name, &m);
        assert_non_null(y);
        assert_int_equal(n, m);
        assert_memory_equal(x, y, (size_t)n * sizeof *x);
    }
    lp_stats_free(a);
    lp_stats_free(b);
}

static void each_expert_is_quantized_by_its_own_importance_and_the_router_is_kept(void **state)
{
    (void)state;
    const char *const formats[] = {"iq2_xs", "q4_k"}, *const weight = "blk.0.ffn_down_exps.weight";
    const char *path = write_model("qwen3moe", NULL);
    lp_stats *stats = calibrate(path, 2, LP_ACTIVATION_DEFAULT);
    const float *mean = mean_of(stats, weight, 256 * N_EXPERTS);
    lp_gguf *source, *g;
    ok(lp_gguf_open(path, &source));
    for (int f = 0; f < 2; f++) {
        const lp_packing *packing = lp_packing_by_name(formats[f]);
        lp_quantize_result result;
        ok(lp_quantize(source, test_path("q.gguf"), &(lp_quantize_options){.packing = packing, .stats = stats, .force = true}, NULL, &result));
        lp_quantize_result_free(&result);
        ok(lp_gguf_open(test_path("q.gguf"), &g));
        assert_string_equal(lp_gguf_find_tensor(g, "blk.0.ffn_gate_inp.weight")->packing->name, "f32");
        assert_string_equal(lp_gguf_find_tensor(g, "blk.0.ffn_gate_exps.weight")->packing->name, formats[f]);
        const lp_tensor *t = lp_gguf_find_tensor(g, weight);
        const float *x = (const float *)(const void *)lp_gguf_find_tensor(source, weight)->data;
        size_t n = t->n_bytes / N_EXPERTS;
        uint8_t *alone = malloc(n), *others = malloc(n);
        for (int e = 0; e < N_EXPERTS; e++) {
            ok(lp_encode_rows(packing, LP_SEARCH_REFERENCE, x + 256 * 256 * e, 256, 256, mean + 256 * e, alone));
            assert_memory_equal(t->data + n * (size_t)e, alone, n);
            ok(lp_encode_rows(packing, LP_SEARCH_REFERENCE, x + 256 * 256 * e, 256, 256, mean + 256 * ((e + 1) % N_EXPERTS), others));
            assert_memory_not_equal(alone, others, n);
        }
        free(alone);
        free(others);
        lp_gguf_close(g);
    }
    lp_gguf_close(source);
    lp_stats_free(stats);
}

static void a_quantized_router_is_refused_where_it_hides_whose_rows_they_are(void **state)
{
    (void)state;
    const lp_packing *q8 = lp_packing_by_name("q8_0");
    const lp_tensor_rule rule = {"*ffn_gate_inp*", q8};
    lp_quantize_result result;
    lp_gguf *source;
    lp_model *model;
    lp_stats *stats;
    ok(lp_gguf_open(write_model("mixtral", NULL), &source));
    ok(lp_quantize(source, test_path("q.gguf"), &(lp_quantize_options){.packing = q8, .rules = &rule, .n_rules = 1, .force = true}, NULL, &result));
    lp_quantize_result_free(&result);
    lp_gguf_close(source);
    ok(lp_model_open(test_path("q.gguf"), &model));
    lp_calibrate_options o = {.n_context = 16};
    assert_int_equal(lp_calibrate(model, text, strlen(text), &o, NULL, &stats), LP_UNSUPPORTED);
    assert_non_null(strstr(lp_error(), "the router is quantized"));
    assert_null(stats);
    o.activations = LP_ACTIVATION_F32;
    ok(lp_calibrate(model, text, strlen(text), &o, NULL, &stats));
    assert_non_null(mean_of(stats, "blk.0.ffn_gate_exps.weight", 256 * N_EXPERTS));
    lp_stats_free(stats);
    lp_model_close(model);
}

static void a_folder_gives_the_statistics_of_its_file(void **state)
{
    (void)state;
    lp_convert_result r;
    char folder[300];
    snprintf(folder, sizeof folder, "%s", test_path("folder"));
    const char *path = write_model("mixtral", NULL);
    ok(lp_convert(path, folder, &(lp_convert_options){.force = true}, NULL, &r));
    ok(lp_convert(folder, test_path("moe.gguf"), &(lp_convert_options){.force = true}, NULL, &r));
    lp_stats *a = calibrate(path, 2, LP_ACTIVATION_DEFAULT), *b = calibrate(folder, 2, LP_ACTIVATION_DEFAULT);
    ok(lp_stats_write(a, test_path("a.gguf"), true)); /* the digest of the model is in it */
    ok(lp_stats_write(b, test_path("b.gguf"), true));
    lp_gguf *x, *y;
    lp_string p, q;
    ok(lp_gguf_open(test_path("a.gguf"), &x));
    ok(lp_gguf_open(test_path("b.gguf"), &y));
    ok(lp_gguf_get_string(x, "lowp.model.sha256", true, &p));
    ok(lp_gguf_get_string(y, "lowp.model.sha256", true, &q));
    assert_int_equal(p.n, 64);
    assert_memory_equal(p.data, q.data, 64);
    assert_int_equal(lp_stats_count(a), lp_stats_count(b));
    lp_gguf_close(x);
    lp_gguf_close(y);
    lp_stats_free(a);
    lp_stats_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_counts_for_the_experts_that_were_chosen),
        cmocka_unit_test(statistics_of_experts_do_not_depend_on_threads),
        cmocka_unit_test(each_expert_is_quantized_by_its_own_importance_and_the_router_is_kept),
        cmocka_unit_test(a_quantized_router_is_refused_where_it_hides_whose_rows_they_are),
        cmocka_unit_test(a_folder_gives_the_statistics_of_its_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
