/* Tokenizers from the keys of a file: what is read, and what is refused by the name of its key. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "mini_vocabulary.h"

static char path[] = "/tmp/lowp-test-tokenizer-XXXXXX";
static mini m;

/* Keys that a case leaves out or writes with another type. */
typedef enum fault {
    NO_FAULT, NO_MODEL, NO_TOKENS, NO_MERGES, NO_TYPES, TOKENS_NUMBERS, MERGES_TEXT, TYPES_STRINGS, TYPES_SHORT, BOS_RANGE, BOS_TEXT,
    ADD_BOS_NUMBER, MODEL_ODD, NO_SCORES
} fault;

static lp_status load(fault f, lp_tokenizer **t)
{
    lp_gguf_writer *w;
    lp_gguf *gguf;
    mini_fill(&m, "gpt-2", true);
    assert_int_equal(lp_gguf_writer_create(path, true, &w), LP_OK);
    if (f != NO_MODEL) assert_int_equal(lp_gguf_writer_set_string(w, "tokenizer.ggml.model", f == MODEL_ODD ? "rwkv" : f == NO_SCORES ? "llama" : "gpt2"), LP_OK);
    assert_int_equal(lp_gguf_writer_set_string(w, "tokenizer.ggml.pre", "qwen2"), LP_OK);
    if (f == TOKENS_NUMBERS)
        assert_int_equal(lp_gguf_writer_set_i32s(w, "tokenizer.ggml.tokens", m.types, EXTENDED_TOKENS), LP_OK);
    else if (f != NO_TOKENS)
        assert_int_equal(lp_gguf_writer_set_strings(w, "tokenizer.ggml.tokens", m.tokens, EXTENDED_TOKENS), LP_OK);
    if (f == MERGES_TEXT)
        assert_int_equal(lp_gguf_writer_set_string(w, "tokenizer.ggml.merges", "h e"), LP_OK);
    else if (f != NO_MERGES)
        assert_int_equal(lp_gguf_writer_set_strings(w, "tokenizer.ggml.merges", m.merges, EXTENDED_MERGES), LP_OK);
    if (f == TYPES_STRINGS)
        assert_int_equal(lp_gguf_writer_set_strings(w, "tokenizer.ggml.token_type", m.tokens, EXTENDED_TOKENS), LP_OK);
    else if (f != NO_TYPES)
        assert_int_equal(lp_gguf_writer_set_i32s(w, "tokenizer.ggml.token_type", m.types, EXTENDED_TOKENS - (f == TYPES_SHORT)), LP_OK);
    if (f == BOS_TEXT)
        assert_int_equal(lp_gguf_writer_set_string(w, "tokenizer.ggml.bos_token_id", "5"), LP_OK);
    else
        assert_int_equal(lp_gguf_writer_set_u32(w, "tokenizer.ggml.bos_token_id", f == BOS_RANGE ? EXTENDED_TOKENS : 5), LP_OK);
    assert_int_equal(lp_gguf_writer_set_u32(w, "tokenizer.ggml.eos_token_id", MINI_CONTROL), LP_OK);
    assert_int_equal(lp_gguf_writer_set_u32(w, "tokenizer.ggml.unknown_token_id", MINI_UNKNOWN), LP_OK);
    if (f == ADD_BOS_NUMBER)
        assert_int_equal(lp_gguf_writer_set_f32(w, "tokenizer.ggml.add_bos_token", 1), LP_OK);
    else
        assert_int_equal(lp_gguf_writer_set_bool(w, "tokenizer.ggml.add_bos_token", true), LP_OK);
    assert_int_equal(lp_gguf_writer_begin_data(w), LP_OK);
    assert_int_equal(lp_gguf_writer_finish(w, NULL), LP_OK);
    assert_int_equal(lp_gguf_open(path, &gguf), LP_OK);
    lp_status status = lp_tokenizer_create(gguf, t);
    lp_gguf_close(gguf);
    return status;
}

static void every_key_is_read(void **state)
{
    (void)state;
    lp_tokenizer *t, *same;
    assert_int_equal(load(NO_FAULT, &t), LP_OK);
    m.source.pre = (lp_string){"qwen2", 5};
    m.source.named[LP_NAMED_BOS] = 5;
    m.source.named[LP_NAMED_EOS] = MINI_CONTROL;
    m.source.adds_bos = 1;
    assert_int_equal(lp_tokenizer_create_from(&m.source, &same), LP_OK);
    assert_true(lp_tokenizer_equal(t, same));
    assert_int_equal(lp_tokenizer_bos(t), 5);
    assert_int_equal(lp_tokenizer_eos(t), MINI_CONTROL);
    assert_int_equal(t->unknown, MINI_UNKNOWN);
    assert_true(lp_tokenizer_adds_bos(t));
    assert_true(lp_tokenizer_ends_generation(t, MINI_CONTROL));
    lp_tokenizer_free(same);
    lp_tokenizer_free(t);
    assert_int_equal(load(NO_TYPES, &t), LP_OK); /* then all are normal */
    assert_int_equal(t->type[MINI_CONTROL], LP_TOKEN_NORMAL);
    lp_tokenizer_free(t);
}

static void a_key_that_is_missing_or_of_another_type_is_named(void **state)
{
    (void)state;
    static const struct {
        fault fault;
        lp_status status;
        const char *words;
    } known[] = {{NO_MODEL, LP_INPUT, "tokenizer.ggml.model"}, {NO_TOKENS, LP_INPUT, "tokenizer.ggml.tokens"},
                 {NO_MERGES, LP_INPUT, "tokenizer.ggml.merges"}, {TOKENS_NUMBERS, LP_INPUT, "tokenizer.ggml.tokens"},
                 {MERGES_TEXT, LP_INPUT, "tokenizer.ggml.merges"}, {TYPES_STRINGS, LP_INPUT, "tokenizer.ggml.token_type"},
                 {TYPES_SHORT, LP_INPUT, "tokenizer.ggml.token_type"}, {BOS_RANGE, LP_INPUT, "tokenizer.ggml.bos_token_id"},
                 {BOS_TEXT, LP_INPUT, "tokenizer.ggml.bos_token_id"}, {ADD_BOS_NUMBER, LP_INPUT, "tokenizer.ggml.add_bos_token"},
                 {MODEL_ODD, LP_UNSUPPORTED, "\"rwkv\""}, {NO_SCORES, LP_INPUT, "tokenizer.ggml.scores"}};
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        lp_tokenizer *t = (lp_tokenizer *)1;
        assert_int_equal(load(known[i].fault, &t), known[i].status);
        assert_null(t);
        if (!strstr(lp_error(), known[i].words) || strncmp(lp_error(), path, strlen(path)))
            fail_msg("\"%s\" does not begin with the file and say \"%s\"", lp_error(), known[i].words);
    }
}

int main(void)
{
    int file = mkstemp(path);
    if (file < 0) return 1;
    close(file);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_key_is_read),
        cmocka_unit_test(a_key_that_is_missing_or_of_another_type_is_named),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
