/* Tensors in formats of our own in GGUF files: written, read, and refused where the keys contradict the bytes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lowp/model.h>
#include <lowp/quantize.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/llama_file.h"

static const llama_shape shape = {.n_vocab = 60, .n_embd = 100, .n_layer = 1, .n_head = 2, .n_head_kv = 1, .head_size = 50, .n_ffn = 72,
                                  .n_context = 64, .epsilon = 1e-5f, .tied = true};

static void ok(lp_status s)
{
    if (s != LP_OK) fail_msg("%s: %s", lp_status_name(s), lp_error());
}

static const lp_packing *packing_of(const char *text)
{
    lp_format *format;
    const lp_packing *packing = NULL;
    ok(lp_format_parse(text, &format));
    ok(lp_packing_create(format, &packing));
    lp_format_free(format);
    return packing;
}

static void quantize(const char *from, const char *to, const lp_packing *packing)
{
    lp_gguf *g;
    lp_quantize_result r;
    ok(lp_gguf_open(from, &g));
    ok(lp_quantize(g, to, &(lp_quantize_options){.packing = packing, .force = true}, NULL, &r));
    for (int64_t i = 0; i < r.n_rows; i++) assert_null(r.rows[i].fallback); /* rows of 100 values: own formats need none */
    uint64_t n_bytes = r.n_bytes;
    lp_quantize_result_free(&r);
    ok(lp_quantize(g, to, &(lp_quantize_options){.packing = packing, .dry_run = true}, NULL, &r));
    assert_int_equal(r.n_bytes, n_bytes);
    lp_quantize_result_free(&r);
    lp_gguf_close(g);
}

static void a_file_says_what_its_planes_are_and_reads_back(void **state)
{
    (void)state;
    uint32_t seed = 1;
    const char *source = test_path("source.gguf"), *own = test_path("own.gguf"), *again = test_path("again.gguf");
    llama_write(source, &shape, lp_packing_by_name("f32"), lcg_weight, &seed, NULL);
    const lp_packing *packing = packing_of("i4:16:(i6:16:f16)");
    quantize(source, own, packing);
    lp_gguf *g;
    ok(lp_gguf_open(own, &g));
    lp_string s;
    ok(lp_gguf_get_string(g, "general.architecture", true, &s));
    assert_memory_equal(s.data, "lowp", s.n);
    ok(lp_gguf_get_architecture(g, true, &s));
    assert_memory_equal(s.data, "llama", s.n);
    ok(lp_gguf_get_string(g, "lowp.tensor.blk.0.attn_q.weight", true, &s));
    assert_memory_equal(s.data, "100x100 i4:16:(i6:16:f16)", s.n);
    const lp_tensor *t = lp_gguf_find_tensor(g, "blk.0.attn_q.weight");
    assert_true(lp_packing_equal(t->packing, packing));
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->dim[1], 100);
    lp_gguf_close(g);
    lp_model *model;
    ok(lp_model_open(own, &model));
    lp_model_close(model);
    lp_problem_fn none = NULL;
    ok(lp_verify(own, NULL, NULL, none, NULL));

    quantize(own, again, lp_packing_by_name("f16")); /* a file without such tensors is an ordinary one */
    ok(lp_gguf_open(again, &g));
    ok(lp_gguf_get_string(g, "general.architecture", true, &s));
    assert_memory_equal(s.data, "llama", s.n);
    assert_null(lp_gguf_find(g, "lowp.required"));
    assert_null(lp_gguf_find(g, "lowp.base_architecture"));
    assert_null(lp_gguf_find(g, "lowp.tensor.blk.0.attn_q.weight"));
    lp_gguf_close(g);
    lp_packing_free(packing);
}

/* A file with one tensor of 64 bytes and the given description. */
static void expect(const char *key, const char *text, const char *required, lp_status status, const char *why)
{
    lp_gguf_writer *w;
    lp_gguf *g;
    const char *path = test_path("keys.gguf");
    const uint8_t data[64] = {0};
    ok(lp_gguf_writer_create(path, true, &w));
    ok(lp_gguf_writer_set_string(w, "general.architecture", "lowp"));
    if (required) ok(lp_gguf_writer_set_strings(w, "lowp.required", (lp_string[]){{required, strlen(required)}}, 1));
    ok(lp_gguf_writer_set_string(w, key, text));
    ok(lp_gguf_writer_add_tensor(w, "a", 1, (int64_t[]){64}, lp_packing_by_name("i8")));
    ok(lp_gguf_writer_add_tensor(w, "f", 1, (int64_t[]){16}, lp_packing_by_name("f32")));
    ok(lp_gguf_writer_begin_data(w));
    ok(lp_gguf_writer_write(w, data, 64));
    ok(lp_gguf_writer_write(w, data, 64));
    ok(lp_gguf_writer_finish(w, NULL));
    lp_status s = lp_gguf_open(path, &g);
    if (s != status || (why && !strstr(lp_error(), why))) fail_msg("%s = '%s': %s: %s", key, text, lp_status_name(s), lp_error());
    if (s == LP_OK) lp_gguf_close(g);
}

static void keys_that_contradict_the_bytes_are_refused(void **state)
{
    (void)state;
    expect("lowp.tensor.a", "8x8 e4m3", "formats", LP_OK, NULL);
    expect("lowp.tensor.a", "4x4x4 e5m2", NULL, LP_OK, NULL);
    expect("lowp.tensor.a", "8x9 e4m3", NULL, LP_INPUT, "takes 72");
    expect("lowp.tensor.a", "8x8 i4:8:f16", NULL, LP_INPUT, "takes 80");
    expect("lowp.tensor.a", "8x8", NULL, LP_INPUT, "begins with no shape");
    expect("lowp.tensor.a", "8x e4m3", NULL, LP_INPUT, "begins with no shape");
    expect("lowp.tensor.a", "2x2x2x2x4 e4m3", NULL, LP_INPUT, "begins with no shape");
    expect("lowp.tensor.a", "-8x8 e4m3", NULL, LP_INPUT, "begins with no shape");
    expect("lowp.tensor.a", "99999999999999999999x8 e4m3", NULL, LP_INPUT, "begins with no shape");
    expect("lowp.tensor.a", "4611686018427387904x4611686018427387904 e4m3", NULL, LP_INPUT, "overflows");
    expect("lowp.tensor.a", "8x8 e4m", NULL, LP_INPUT, "a: format e4m");
    expect("lowp.tensor.a", "8x8 q4_0", NULL, LP_UNSUPPORTED, "cannot be stored");
    expect("lowp.tensor.b", "8x8 e4m3", NULL, LP_INPUT, "not there");
    expect("lowp.tensor.f", "8x8 e4m3", NULL, LP_INPUT, "of type f32");
    expect("lowp.tensor.a", "8x8 e4m3", "time-travel", LP_UNSUPPORTED, "time-travel");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_file_says_what_its_planes_are_and_reads_back),
        cmocka_unit_test(keys_that_contradict_the_bytes_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
