/* Diagonal transforms: the card's vector, and that networks compute what they computed before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lowp/lowp.h>

#include "quantize/recipe.h"
#include "quantize/transform/scale.h"
#include "support/architecture_file.h"

enum { WINDOWS = 2, CONTEXT = 64 };

static const char *text;
static size_t n_text;
static char source_path[64], out_path[64];

static void ok(lp_status status)
{
    if (status != LP_OK) fail_msg("%s", lp_error());
}

static int setup(void **state)
{
    (void)state;
    text = lp_embedded_text("embedded-calibration", &n_text);
    snprintf(source_path, sizeof source_path, "/tmp/lowp-transform-%d.gguf", (int)getpid());
    snprintf(out_path, sizeof out_path, "/tmp/lowp-transform-%d-out.gguf", (int)getpid());
    return lp_model_write_random("tiny", 3, source_path, true, NULL) != LP_OK;
}

static int teardown(void **state)
{
    (void)state;
    unlink(source_path);
    unlink(out_path);
    return 0;
}

static lp_status quantize_with(const char *path, const char *recipe, const char *format, const char *words, size_t n_words, int64_t context)
{
    lp_model *model;
    lp_quantize_result result;
    ok(lp_model_open(path, &model));
    lp_quantize_options o = {.packing = lp_packing_by_name(format), .recipe = recipe, .model = model, .calibration = words,
                             .n_calibration = n_words, .calibration_context = context, .calibration_windows = WINDOWS, .force = true};
    lp_status status = lp_quantize(lp_model_gguf(model), out_path, &o, NULL, &result);
    if (status == LP_OK) lp_quantize_result_free(&result);
    lp_model_close(model);
    return status;
}

static lp_status quantize(const char *path, const char *recipe, const char *format)
{
    return quantize_with(path, recipe, format, text, n_text, CONTEXT);
}

static lp_eval_result evaluate(const char *path)
{
    lp_model *model;
    lp_eval_result r;
    lp_eval_options o = {.n_context = CONTEXT, .n_windows = WINDOWS, .hash = true};
    size_t n;
    const char *test = lp_embedded_text("embedded", &n);
    ok(lp_model_open(path, &model));
    ok(lp_eval(model, test, n, &o, NULL, &r));
    lp_model_close(model);
    return r;
}

/* How many of a file's tensors differ from the source's in their values. */
static int count_changed(void)
{
    lp_gguf *a, *b;
    int n = 0;
    ok(lp_container_open(source_path, &a));
    ok(lp_container_open(out_path, &b));
    for (int64_t i = 0; i < lp_gguf_tensor_count(a); i++) {
        const lp_tensor *x = lp_gguf_tensor_at(a, i), *y = lp_gguf_tensor_at(b, i);
        float u[4096], v[4096];
        lp_tensor_decode_row(x, 0, u);
        lp_tensor_decode_row(y, 0, v);
        n += memcmp(u, v, (size_t)x->dim[0] * sizeof *u) != 0;
    }
    lp_gguf_close(a);
    lp_gguf_close(b);
    return n;
}

static void smooth_scales_are_those_of_the_card(void **state)
{
    (void)state;
    const float a[3] = {1, 4, 16}, w[6] = {2, -1, .25f, -.5f, 1, .0625f};
    const double half[3] = {.70710678, 2, 8}, one[3] = {1, 4, 16}, zero[3] = {.5, 1, 4};
    double s[3];
    lp_scale_smooth(.5, 3, a, w, 2, s);
    for (int i = 0; i < 3; i++) assert_true(fabs(s[i] - half[i]) < 1e-8);
    lp_scale_smooth(1, 3, a, w, 2, s);
    for (int i = 0; i < 3; i++) assert_true(fabs(s[i] - one[i]) < 1e-12);
    lp_scale_smooth(0, 3, a, w, 2, s);
    for (int i = 0; i < 3; i++) assert_true(fabs(s[i] - zero[i]) < 1e-12);
    lp_scale_smooth(.5, 3, (float[]){1, 0, 16}, w, 2, s);
    assert_true(s[1] == 1); /* a channel that calibration never saw */
}

static void powers_of_two_change_weights_and_not_one_bit_of_the_logits(void **state)
{
    (void)state;
    lp_eval_result before = evaluate(source_path);
    ok(quantize(source_path, "smooth(alpha=0.5,powers=yes)", "f32"));
    assert_true(count_changed() >= 2 * 7); /* two norms and five matrices in each of two layers */
    lp_eval_result after = evaluate(out_path);
    assert_string_equal(after.logits_sha256, before.logits_sha256);
}

static void other_scales_move_the_logits_by_rounding_alone(void **state)
{
    (void)state;
    lp_eval_result before = evaluate(source_path);
    ok(quantize(source_path, "smooth(alpha=0.8)", "f32"));
    assert_true(count_changed() >= 2 * 7);
    lp_eval_result after = evaluate(out_path);
    assert_string_not_equal(after.logits_sha256, before.logits_sha256);
    assert_true(fabs(after.cross_entropy_nats - before.cross_entropy_nats) < 1e-5);
}

static void awq_composes_with_error_feedback(void **state)
{
    (void)state;
    ok(quantize(source_path, "awq(grid=4)+gptq(reach=1)+descend(passes=1)", "q4_0"));
    assert_true(evaluate(out_path).cross_entropy_nats > 0);
}

static void every_architecture_is_walked_and_scaled(void **state)
{
    (void)state;
    char letters[160]; /* all that the vocabulary of these files has */
    for (int i = 0; i < 160; i++) letters[i] = (char)('a' + i * i % 26);
    for (int i = 0; i < n_card_shapes; i++) {
        char path[80];
        snprintf(path, sizeof path, "%s.card", source_path);
        architecture_write(path, &card_shapes[i], NULL, 1);
        lp_status status = quantize_with(path, "smooth(powers=yes)+gptq(prefix=group,align=1)", "q8_0", letters, 160, 8);
        if (status != LP_OK) fail_msg("%s: %s", card_shapes[i].label, lp_error());
        unlink(path);
    }
}

static void activations_that_are_not_finite_are_named_and_leave_no_file(void **state)
{
    (void)state;
    char path[80];
    lp_gguf *gguf;
    snprintf(path, sizeof path, "%s.bad", source_path);
    ok(lp_model_write_random("tiny", 3, path, true, NULL));
    ok(lp_container_open(path, &gguf));
    long offset = (long)lp_gguf_find_tensor(gguf, "blk.0.attn_v.weight")->offset;
    lp_gguf_close(gguf);
    FILE *f = fopen(path, "r+b");
    assert_non_null(f);
    assert_int_equal(fseek(f, offset, SEEK_SET), 0);
    assert_int_equal(fwrite((uint8_t[]){0, 0x7e}, 1, 2, f), 2); /* NaN */
    fclose(f);
    unlink(out_path);
    assert_int_equal(quantize(path, "gptq(prefix=float)", "q4_0"), LP_INPUT); /* the weight itself is met first */
    assert_non_null(strstr(lp_error(), "blk.0.attn_v.weight: row 0, column 0: the value is not finite"));
    assert_int_equal(quantize(path, "smooth", "q4_0"), LP_CHECK);
    assert_non_null(strstr(lp_error(), "blk.0.ffn_gate.weight: an activation of channel 0 is not finite"));
    assert_int_equal(access(out_path, F_OK), -1);
    unlink(path);
}

static void recipes_print_as_what_they_parse_to(void **state)
{
    (void)state;
    static const char *const texts[] = {"reference", "rtn", "imatrix", "rtn+smooth(alpha=0.25)", "awq(grid=7)+clip(reach=3)",
                                        "gptq", "gptq(damp=0.1,order=act,prefix=group)+descend(passes=2,reach=0)", "gptaq", "best"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lp_recipe a, b;
        char printed[512], again[512];
        ok(lp_recipe_parse(texts[i], &a));
        assert_true(lp_recipe_print(&a, printed, sizeof printed) < sizeof printed);
        ok(lp_recipe_parse(printed, &b));
        lp_recipe_print(&b, again, sizeof again);
        assert_string_equal(again, printed);
        assert_memory_equal(&a.solve.passes, &b.solve.passes, sizeof a.solve.passes);
    }
    for (int i = 0; i < lp_method_count(); i++) {
        lp_recipe r;
        ok(lp_recipe_parse(lp_method_at(i)->name, &r));
    }
}

static void recipes_that_make_no_sense_are_refused_with_advice(void **state)
{
    (void)state;
    static const struct {
        const char *text, *error;
    } cases[] = {{"gtpq", "unknown stage or method 'gtpq'"},      {"gptq(damp=x)", "'x' is no number from 0 to 10"},
                 {"gptq(order=down)", "not one of natural, act"}, {"gptq+gptq", "gptq cannot stand here"},
                 {"descend", "needs codes to begin with"},        {"gptq(damp", "does not end with ')'"},
                 {"gptq(reach=1.5)", "is no whole number"},       {"+", "names no stage"},
                 {"smooth(alpha=2)", "is no number from 0 to 1"}, {"gptq(damp)", "is not NAME=VALUE"},
                 {"gptq(prefix=layer,align=1)", "align needs prefix=group"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lp_recipe r;
        assert_int_equal(lp_recipe_parse(cases[i].text, &r), LP_USAGE);
        if (!strstr(lp_error(), cases[i].error)) fail_msg("%s: %s", cases[i].text, lp_error());
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(smooth_scales_are_those_of_the_card),
        cmocka_unit_test(powers_of_two_change_weights_and_not_one_bit_of_the_logits),
        cmocka_unit_test(other_scales_move_the_logits_by_rounding_alone),
        cmocka_unit_test(awq_composes_with_error_feedback),
        cmocka_unit_test(every_architecture_is_walked_and_scaled),
        cmocka_unit_test(activations_that_are_not_finite_are_named_and_leave_no_file),
        cmocka_unit_test(recipes_print_as_what_they_parse_to),
        cmocka_unit_test(recipes_that_make_no_sense_are_refused_with_advice),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
