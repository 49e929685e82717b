/* Measurements against the numbers of card ptq/evaluation-protocol, and identities. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fenv.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/llama_file.h"

static void divergence_matches_the_card(void **unused)
{
    (void)unused;
    const float p[4] = {2, 1, 0, -1}, q[4] = {1.8f, 1.1f, .1f, -.9f};
    assert_true(fabs(lp_kl_divergence(p, q, 4) - .010583672654715) < 1e-8); /* the logits are float32 */
    assert_true(fabs(lp_kl_divergence(q, p, 4) - .010815965954707) < 1e-8);
    assert_true(lp_kl_divergence(p, p, 4) == 0);
}

static void adding_a_constant_to_logits_changes_nothing(void **unused)
{
    (void)unused;
    float p[4] = {2, 1, 0, -1}, q[4] = {1.5f, 1, .25f, -1}, q8[4];
    for (int i = 0; i < 4; i++) q8[i] = q[i] + 8;
    assert_true(fabs(lp_kl_divergence(p, q, 4) - lp_kl_divergence(p, q8, 4)) < 1e-15);
}

static void logits_of_ten_thousand_do_not_give_nan(void **unused)
{
    (void)unused;
    const float p[3] = {1e4f, -1e4f, 0}, q[3] = {-1e4f, 1e4f, 0};
    assert_true(isfinite(lp_kl_divergence(p, q, 3)));
    assert_true(lp_kl_divergence(p, q, 3) > 1e4);
    assert_true(lp_kl_divergence(p, p, 3) == 0);
}

static void log_softmax_sums_to_one(void **unused)
{
    (void)unused;
    float x[1000];
    double y[1000], sum = 0;
    for (int i = 0; i < 1000; i++) x[i] = (float)(i * 37 % 101) * 0.2f - 9;
    lp_log_softmax(x, 1000, y);
    for (int i = 0; i < 1000; i++) sum += exp(y[i]);
    assert_true(fabs(sum - 1) < 1e-12);
}

/* A model whose head is zero is uniform over its vocabulary. */
static float no_head(void *context, const char *name, int64_t i)
{
    return strcmp(name, "output.weight") == 0 ? 0 : lcg_weight(context, name, i);
}

static void a_uniform_model_has_the_perplexity_of_its_vocabulary(void **unused)
{
    (void)unused;
    const llama_shape shape = {.n_vocab = 32, .n_embd = 16, .n_layer = 1, .n_head = 2, .n_head_kv = 2, .head_size = 8,
                               .n_ffn = 24, .n_context = 64, .epsilon = 1e-5f};
    uint32_t state = 1;
    lp_model *model;
    const char *path = test_path("uniform.gguf");
    char text[2000];
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + i % 26);
    llama_write(path, &shape, NULL, no_head, &state, NULL);
    assert_int_equal(lp_model_open(path, &model), LP_OK);
    lp_eval_result r;
    lp_eval_options o = {.n_context = 50, .n_chunk = 7};
    if (lp_eval(model, text, sizeof text, &o, NULL, &r) != LP_OK) fail_msg("%s", lp_error());
    assert_true(fabs(r.perplexity - 32) < 1e-10);
    assert_int_equal(r.n_windows, 40);
    assert_int_equal(r.n_predictions, 40 * 49);
    o.protocol = LP_PROTOCOL_LLAMA_CPP;
    o.n_windows = 3;
    assert_int_equal(lp_eval(model, text, sizeof text, &o, NULL, &r), LP_OK);
    assert_int_equal(r.n_predictions, 3 * 24); /* positions 25 .. 48 */
    lp_model_close(model);
}

static void contexts_and_texts_out_of_range_are_refused(void **unused)
{
    (void)unused;
    lp_model *model;
    lp_eval_result r;
    size_t n;
    const char *text = lp_embedded_text("embedded", &n);
    assert_int_equal(lp_model_open("embedded", &model), LP_OK);
    assert_int_equal(lp_eval(model, text, n, &(lp_eval_options){.n_context = 1025}, NULL, &r), LP_USAGE);
    assert_int_equal(lp_eval(model, text, n, &(lp_eval_options){.n_context = 1}, NULL, &r), LP_USAGE);
    assert_int_equal(lp_eval(model, text, n, &(lp_eval_options){.n_context = -5}, NULL, &r), LP_USAGE);
    assert_int_equal(lp_eval(model, text, 100, &(lp_eval_options){.n_context = 512}, NULL, &r), LP_INPUT);
    assert_non_null(strstr(lp_error(), "512"));
    lp_model_close(model);
}

static void comparison_of_a_model_with_itself_is_zero_to_the_last_bit(void **unused)
{
    (void)unused;
    lp_model *model;
    lp_compare_result r;
    lp_layer_difference layers[4];
    size_t n;
    const char *text = lp_embedded_text("embedded", &n);
    assert_int_equal(lp_model_open("embedded", &model), LP_OK);
    const lp_eval_options o = {.n_context = 64, .n_windows = 2};
    if (lp_compare(model, model, text, n, &o, NULL, &r, layers) != LP_OK) fail_msg("%s", lp_error());
    assert_true(r.kl_mean_nats == 0 && r.kl_max_nats == 0 && r.top1_agreement == 1);
    assert_true(r.cross_entropy_nats == r.reference_cross_entropy_nats);
    for (int i = 0; i < 4; i++) assert_true(layers[i].relative_rms == 0);
    lp_eval_result e;
    assert_int_equal(lp_eval(model, text, n, &o, NULL, &e), LP_OK);
    assert_true(e.cross_entropy_nats == r.cross_entropy_nats);
    lp_model_close(model);
}

static void spread_windows_lie_evenly_over_the_text_and_their_error_is_that_of_the_mean(void **unused)
{
    (void)unused;
    const llama_shape shape = {.n_vocab = 32, .n_embd = 16, .n_layer = 1, .n_head = 2, .n_head_kv = 2, .head_size = 8,
                               .n_ffn = 24, .n_context = 64, .epsilon = 1e-5f};
    const char *paths[2] = {test_path("spread-a.gguf"), NULL};
    char copy[512], text[2000]; /* 40 windows of 50 letters, one token each */
    uint32_t state = 1, letter = 3;
    lp_model *model[2];
    lp_compare_result r, alone, other;
    snprintf(copy, sizeof copy, "%s", paths[0]);
    for (size_t i = 0; i < sizeof text; i++) text[i] = (char)('a' + ((letter = letter * 1664525u + 1013904223u) >> 16) % 26);
    for (int i = 0; i < 2; i++) {
        paths[i] = i ? test_path("spread-b.gguf") : copy;
        llama_write(paths[i], &shape, NULL, lcg_weight, &state, NULL);
        assert_int_equal(lp_model_open(paths[i], &model[i]), LP_OK);
    }
    lp_eval_options o = {.n_context = 50, .n_windows = 2, .spread = true};
    if (lp_compare(model[0], model[1], text, sizeof text, &o, NULL, &r, NULL) != LP_OK) fail_msg("%s", lp_error());
    o.n_windows = 1;
    assert_int_equal(lp_compare(model[0], model[1], text, sizeof text, &o, NULL, &alone, NULL), LP_OK);
    assert_int_equal(lp_compare(model[0], model[1], text + 20 * 50, 50, &o, NULL, &other, NULL), LP_OK);
    assert_true(alone.kl_mean_nats > 0 && alone.kl_mean_nats != other.kl_mean_nats);
    assert_true(fabs(r.kl_mean_nats - (alone.kl_mean_nats + other.kl_mean_nats) / 2) < 1e-14);
    assert_true(fabs(r.kl_window_error_nats - fabs(alone.kl_mean_nats - other.kl_mean_nats) / 2) < 1e-14);
    assert_true(alone.kl_window_error_nats == 0);
    lp_model_close(model[0]);
    lp_model_close(model[1]);
}

static void the_callers_rounding_mode_changes_no_bit_and_is_kept(void **unused)
{
    (void)unused;
    lp_model *model;
    size_t n;
    const char *text = lp_embedded_text("embedded", &n);
    const lp_eval_options o = {.n_context = 64, .n_windows = 1, .hash = true};
    lp_eval_result nearest, down;
    assert_int_equal(lp_model_open("embedded", &model), LP_OK);
    assert_int_equal(lp_eval(model, text, n, &o, NULL, &nearest), LP_OK);
    fesetround(FE_DOWNWARD);
    lp_status s = lp_eval(model, text, n, &o, NULL, &down);
    int mode = fegetround();
    fesetround(FE_TONEAREST);
    assert_int_equal(s, LP_OK);
    assert_int_equal(mode, FE_DOWNWARD);
    assert_string_equal(nearest.logits_sha256, down.logits_sha256);
    assert_true(nearest.cross_entropy_nats == down.cross_entropy_nats);
    lp_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(divergence_matches_the_card),
        cmocka_unit_test(adding_a_constant_to_logits_changes_nothing),
        cmocka_unit_test(logits_of_ten_thousand_do_not_give_nan),
        cmocka_unit_test(log_softmax_sums_to_one),
        cmocka_unit_test(a_uniform_model_has_the_perplexity_of_its_vocabulary),
        cmocka_unit_test(contexts_and_texts_out_of_range_are_refused),
        cmocka_unit_test(comparison_of_a_model_with_itself_is_zero_to_the_last_bit),
        cmocka_unit_test(spread_windows_lie_evenly_over_the_text_and_their_error_is_that_of_the_mean),
        cmocka_unit_test(the_callers_rounding_mode_changes_no_bit_and_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
