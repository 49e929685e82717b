/* The block driver on the embedded model: what it shows is what a whole session computes, on the float network and on the new
 * one; and files made with recipes. */
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

#include "calibrate/driver.h"
#include "measure/windows.h"

enum { CONTEXT = 64, WINDOWS = 3, MOST = 32 };

static const char *text;
static size_t n_text;
static lp_model *model;
static char out_path[64];

static void ok(lp_status status)
{
    if (status != LP_OK) fail_msg("%s", lp_error());
}

static int setup(void **state)
{
    (void)state;
    text = lp_embedded_text("embedded-calibration", &n_text);
    snprintf(out_path, sizeof out_path, "/tmp/lowp-driver-%d.gguf", (int)getpid());
    return lp_model_open("embedded", &model) != LP_OK;
}

static int teardown(void **state)
{
    (void)state;
    unlink(out_path);
    lp_model_close(model);
    return 0;
}

/* ---- what sessions and the driver saw ------------------------------------------------------------------------------- */

typedef struct seen {
    char name[64];
    lp_moments moments;
} seen;

typedef struct record {
    seen entry[MOST];
    int n;
    const char *only; /* suffix of the weights that a session's observer keeps */
    int64_t damage;   /* times that solve was called before it begins to change weights; < 0: it never does */
} record;

static void forget(record *r)
{
    for (int i = 0; i < r->n; i++) lp_moments_free(&r->entry[i].moments);
}

static void observe(void *context, const char *weight, const float *rows, int64_t n, int64_t k)
{
    record *r = context;
    int i = 0;
    if (!strstr(weight, r->only)) return;
    while (i < r->n && strcmp(r->entry[i].name, weight) != 0) i++;
    if (i == r->n) {
        assert_true(r->n++ < MOST);
        snprintf(r->entry[i].name, sizeof r->entry[i].name, "%s", weight);
        ok(lp_moments_create(k, false, &r->entry[i].moments));
    }
    lp_moments_add(&r->entry[i].moments, rows, NULL, n, NULL);
}

static lp_status ignore(void *context, const lp_chunk *chunk)
{
    (void)context, (void)chunk;
    return LP_OK;
}

static void run_session(const lp_model *m, record *r)
{
    lp_windows w;
    lp_session *session;
    lp_eval_options o = {.n_context = CONTEXT, .n_windows = WINDOWS, .protocol = LP_PROTOCOL_LLAMA_CPP, .hash = true,
                         .activations = LP_ACTIVATION_F32};
    ok(lp_windows_open(m, text, n_text, &o, &w));
    ok(lp_windows_session(&w, m, &o, NULL, &session));
    lp_session_observe(session, observe, r);
    ok(lp_windows_run(&w, &session, 1, NULL, "", ignore, NULL));
    for (int i = 0; i < r->n; i++) lp_moments_finish(&r->entry[i].moments);
    lp_session_close(session);
    lp_windows_close(&w);
}

static lp_status keep(void *context, const lp_driver_group *group, float *const *value)
{
    record *r = context;
    assert_non_null(group->moments);
    assert_true(r->n < MOST);
    seen *s = &r->entry[r->n++];
    int64_t k = group->k;
    snprintf(s->name, sizeof s->name, "%s", group->weight[0]->name);
    ok(lp_moments_create(k, group->moments->cross != NULL, &s->moments));
    s->moments.n_rows = group->moments->n_rows;
    memcpy(s->moments.h, group->moments->h, (size_t)(k * k) * sizeof(double));
    if (s->moments.cross) memcpy(s->moments.cross, group->moments->cross, (size_t)(k * k) * sizeof(double));
    for (int i = 0; value && i < group->n_weights; i++)
        for (int64_t row = 0; row < lp_tensor_rows(group->weight[i]); row++) {
            float *out = value[i] + row * k;
            lp_tensor_decode_row(group->weight[i], row, out);
            for (int64_t j = 0; r->damage >= 0 && r->n > r->damage && j < k; j++) out[j] = rintf(out[j] * 32.0f) / 32.0f;
        }
    return LP_OK;
}

static void run_driver(record *r, lp_prefix prefix, bool cross, int n_threads)
{
    lp_pool *pool;
    lp_driver_coverage coverage;
    ok(lp_pool_create(n_threads, &pool));
    lp_driver_options o = {.n_context = CONTEXT, .n_windows = WINDOWS, .prefix = prefix, .cross = cross, .pool = pool, .solve = keep, .context = r};
    ok(lp_driver_run(model, text, n_text, &o, NULL, &coverage));
    assert_int_equal(coverage.n_windows, WINDOWS);
    lp_pool_destroy(pool);
}

static const seen *find(const record *r, const char *name)
{
    for (int i = 0; i < r->n; i++)
        if (strcmp(r->entry[i].name, name) == 0) return &r->entry[i];
    fail_msg("%s: not seen", name);
    return NULL;
}

/* Lower triangles, bit for bit. */
static void same_moments(const seen *a, const seen *b)
{
    assert_int_equal(a->moments.n_rows, b->moments.n_rows);
    for (int64_t i = 0; i < a->moments.k; i++)
        assert_memory_equal(a->moments.h + i * a->moments.k, b->moments.h + i * b->moments.k, (size_t)(i + 1) * sizeof(double));
}

static void the_moments_of_the_float_network_are_those_of_a_session_bit_for_bit(void **state)
{
    (void)state;
    record session = {.only = ""}, driver = {.damage = -1};
    run_session(model, &session);
    run_driver(&driver, LP_PREFIX_FLOAT, false, 2);
    assert_int_equal(driver.n, 4 * 4 + 1); /* four groups in each of four layers, and the tied embedding */
    for (int i = 0; i < driver.n; i++) same_moments(&driver.entry[i], find(&session, driver.entry[i].name));
    forget(&session), forget(&driver);
}

static void weights_that_stay_as_they_are_change_nothing_on_any_prefix(void **state)
{
    (void)state;
    record plain = {.damage = -1}, layer = plain, group = plain;
    run_driver(&plain, LP_PREFIX_FLOAT, false, 1);
    run_driver(&layer, LP_PREFIX_LAYER, false, 3);
    run_driver(&group, LP_PREFIX_GROUP, true, 2);
    assert_int_equal(layer.n, plain.n);
    assert_int_equal(group.n, plain.n);
    for (int i = 0; i < plain.n; i++) {
        same_moments(&plain.entry[i], find(&layer, plain.entry[i].name));
        same_moments(&plain.entry[i], find(&group, plain.entry[i].name));
    }
    for (int i = 0; i < group.n; i++) /* the two networks are one */
        for (int64_t j = 0; group.entry[i].moments.cross && j < group.entry[i].moments.k * group.entry[i].moments.k; j++)
            assert_true(group.entry[i].moments.cross[j] == 0);
    forget(&plain), forget(&layer), forget(&group);
}

static void new_weights_are_seen_by_the_layers_behind_them_alone(void **state)
{
    (void)state;
    record plain = {.damage = -1}, layer = {.damage = 5}, group = {.damage = 5}; /* embedding, then layer 0: from layer 1 on */
    run_driver(&plain, LP_PREFIX_FLOAT, false, 2);
    run_driver(&layer, LP_PREFIX_LAYER, false, 2);
    run_driver(&group, LP_PREFIX_GROUP, true, 2);
    same_moments(find(&plain, "blk.0.ffn_down.weight"), find(&group, "blk.0.ffn_down.weight"));
    same_moments(find(&plain, "blk.1.attn_q.weight"), find(&group, "blk.1.attn_q.weight"));
    const lp_moments *p = &find(&plain, "blk.1.ffn_down.weight")->moments, *g = &find(&group, "blk.1.ffn_down.weight")->moments;
    same_moments(find(&plain, "blk.1.ffn_down.weight"), find(&layer, "blk.1.ffn_down.weight")); /* of its own layer: not yet */
    assert_true(p->h[0] != g->h[0]);
    assert_true(g->cross[0] != 0);
    assert_true(p->h[0] != find(&layer, "blk.2.ffn_down.weight")->moments.h[0]);
    forget(&plain), forget(&layer), forget(&group);
}

/* ---- files ---------------------------------------------------------------------------------------------------------- */

static void quantize(const lp_model *m, const char *recipe, const char *format, int n_threads, int64_t n_windows, char sha256[65])
{
    lp_pool *pool;
    lp_quantize_result result;
    ok(lp_pool_create(n_threads, &pool));
    lp_quantize_options o = {.packing = lp_packing_by_name(format), .recipe = recipe, .model = m, .calibration = text,
                             .n_calibration = n_text, .calibration_context = CONTEXT, .calibration_windows = n_windows, .force = true, .pool = pool};
    ok(lp_quantize(lp_model_gguf(m), out_path, &o, NULL, &result));
    strcpy(sha256, result.sha256);
    lp_quantize_result_free(&result);
    lp_pool_destroy(pool);
}

static void a_file_does_not_depend_on_threads_or_instruction_set(void **state)
{
    (void)state;
    char first[65], sha256[65], tiny_path[80];
    const char *recipe = "gptq(reach=1,reach_min=1,prefix=group,align=1)+descend(passes=1)";
    lp_isa before = lp_isa_current();
    lp_model *tiny;
    snprintf(tiny_path, sizeof tiny_path, "%s.tiny", out_path);
    ok(lp_model_write_random("tiny", 1, tiny_path, true, NULL));
    ok(lp_model_open(tiny_path, &tiny));
    for (int isa = 0; isa < LP_ISA_COUNT; isa++) {
        if (!lp_isa_available((lp_isa)isa)) continue;
        ok(lp_isa_select(lp_isa_name((lp_isa)isa)));
        for (int t = 0; t < 3; t++) {
            quantize(tiny, recipe, "q4_1", (int[]){1, 2, 7}[t], WINDOWS, isa + t ? sha256 : first);
            if (isa + t) assert_string_equal(sha256, first);
        }
    }
    ok(lp_isa_select(lp_isa_name(before)));
    lp_model_close(tiny);
    unlink(tiny_path);
}

static void a_recipe_without_its_text_is_refused(void **state)
{
    (void)state;
    lp_quantize_result result;
    lp_quantize_options o = {.packing = lp_packing_by_name("q4_0"), .recipe = "gptq", .force = true};
    assert_int_equal(lp_quantize(lp_model_gguf(model), out_path, &o, NULL, &result), LP_USAGE);
    assert_non_null(strstr(lp_error(), "calibration text"));
    o.recipe = "gptq(dmap=1)";
    assert_int_equal(lp_quantize(lp_model_gguf(model), out_path, &o, NULL, &result), LP_USAGE);
    assert_non_null(strstr(lp_error(), "unknown parameter 'dmap'"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_moments_of_the_float_network_are_those_of_a_session_bit_for_bit),
        cmocka_unit_test(weights_that_stay_as_they_are_change_nothing_on_any_prefix),
        cmocka_unit_test(new_weights_are_seen_by_the_layers_behind_them_alone),
        cmocka_unit_test(a_file_does_not_depend_on_threads_or_instruction_set),
        cmocka_unit_test(a_recipe_without_its_text_is_refused),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
