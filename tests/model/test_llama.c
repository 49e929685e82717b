/* The Llama decoder against tiny model A of card runtime/llama-decoder, and files that must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "support/llama_file.h"

static const llama_shape model_a = {.n_vocab = 32, .n_embd = 16, .n_layer = 2, .n_head = 4, .n_head_kv = 2, .head_size = 4,
                                    .n_ffn = 24, .n_context = 64, .epsilon = 1e-5f, .tied = true};
static const int32_t tokens[6] = {1, 7, 3, 31, 0, 12};

/* Logits [6][32] of the six tokens, `step` tokens a forward. */
static void run(const char *path, int step, float out[6][32])
{
    lp_model *model;
    lp_session *session;
    if (lp_model_open(path, &model) != LP_OK) fail_msg("%s", lp_error());
    if (lp_session_create(model, &(lp_session_options){.n_batch = 6}, NULL, &session) != LP_OK) fail_msg("%s", lp_error());
    for (int first = 0; first < 6; first += step) {
        int32_t position[6];
        for (int i = 0; i < step; i++) position[i] = first + i;
        const float *logits;
        lp_batch batch = {.n_tokens = step, .token = tokens + first, .position = position};
        if (lp_session_forward(session, &batch, &logits) != LP_OK) fail_msg("%s", lp_error());
        memcpy(out[first], logits, (size_t)step * 32 * sizeof(float));
    }
    lp_session_close(session);
    lp_model_close(model);
}

static const char *write_a(const char *name, const llama_oddities *odd)
{
    uint32_t state = 12345;
    const char *path = test_path(name);
    llama_write(path, &model_a, NULL, lcg_weight, &state, odd);
    return path;
}

static void tiny_model_a_gives_the_logits_of_the_card(void **unused)
{
    (void)unused;
    static const float first[8] = {1.348244f, 0.422432f, 1.251018f, 1.417109f, 0.727948f, 0.544875f, -0.108314f, -1.927959f};
    static const float last[32] = {.04422f,   .73584f,   .91733f,  .81682f,  1.11474f,  2.12810f,  .64809f,   -1.54389f,
                                   .34790f,   1.10835f,  -1.14169f, -1.13844f, -1.35271f, .41793f,  .16979f,   .05677f,
                                   -2.28847f, -.35671f,  -1.08597f, -.18236f, 1.84964f,  .29886f,   -.09038f,  -.89495f,
                                   -.60710f,  -.19418f,  -.36796f, 1.42916f, 1.88767f,  .11968f,   -.98279f,  -.53593f};
    static const int best[6] = {28, 25, 4, 29, 0, 5};
    float logits[6][32];
    run(write_a("a.gguf", NULL), 6, logits);
    for (int i = 0; i < 8; i++) assert_true(fabsf(logits[0][i] - first[i]) < 2e-5f);
    for (int i = 0; i < 32; i++) assert_true(fabsf(logits[5][i] - last[i]) < 2e-5f);
    for (int p = 0; p < 6; p++) {
        int m = 0;
        for (int i = 1; i < 32; i++)
            if (logits[p][i] > logits[p][m]) m = i;
        assert_int_equal(m, best[p]);
    }
}

static void one_forward_of_six_tokens_equals_six_of_one_and_three_of_two(void **unused)
{
    (void)unused;
    float six[6][32], one[6][32], two[6][32];
    const char *path = write_a("chunks.gguf", NULL);
    run(path, 6, six);
    run(path, 1, one);
    run(path, 2, two);
    assert_memory_equal(six, one, sizeof six);
    assert_memory_equal(six, two, sizeof six);
}

/* Rows of q and k in the order that makes adjacent pairs of what NEOX would pair. */
typedef struct permuted {
    uint32_t state;
    float row[16][16];
    char name[48];
} permuted;

static float neox_weight(void *context, const char *name, int64_t i)
{
    permuted *p = context;
    int64_t rows = strstr(name, "attn_q") ? 16 : strstr(name, "attn_k") ? 8 : 0;
    if (!rows) return lcg_weight(&p->state, name, i);
    if (i == 0)
        for (int64_t r = 0; r < rows; r++)
            for (int64_t k = 0; k < 16; k++) {
                int64_t head = r / 4, half = r % 4 / 2, pair = r % 2;
                p->row[head * 4 + 2 * pair + half][k] = lcg_weight(&p->state, name, r * 16 + k);
            }
    return p->row[i / 16][i % 16];
}

static void the_wrong_rope_layout_gives_the_wrong_logits_of_the_card(void **unused)
{
    (void)unused;
    static const float wrong[4] = {-0.239710f, -1.128498f, 2.157944f, -0.150928f};
    permuted p = {.state = 12345};
    float right[6][32], logits[6][32];
    run(write_a("norm.gguf", NULL), 6, right);
    const char *path = test_path("neox.gguf");
    llama_write(path, &model_a, NULL, neox_weight, &p, NULL);
    run(path, 6, logits);
    for (int i = 0; i < 4; i++) assert_true(fabsf(logits[5][i] - wrong[i]) < 2e-5f);
    for (int i = 0; i < 32; i++) assert_true(fabsf(logits[0][i] - right[0][i]) < 2e-5f); /* at position 0 nothing turns */
}

static float copied_head(void *context, const char *name, int64_t i)
{
    static float table[32 * 16];
    if (strcmp(name, "output.weight") == 0) return table[i];
    float v = lcg_weight(context, name, i);
    if (strcmp(name, "token_embd.weight") == 0) table[i] = v;
    return v;
}

static void a_tied_head_equals_its_copy(void **unused)
{
    (void)unused;
    float tied[6][32], untied[6][32];
    run(write_a("tied.gguf", NULL), 6, tied);
    llama_shape shape = model_a;
    shape.tied = false;
    uint32_t state = 12345;
    const char *path = test_path("untied.gguf");
    llama_write(path, &shape, NULL, copied_head, &state, NULL);
    run(path, 6, untied);
    assert_memory_equal(tied, untied, sizeof tied);
}

static void contradicting_metadata_is_refused_by_name(void **unused)
{
    (void)unused;
    const struct {
        llama_oddities odd;
        const char *word;
    } cases[] = {
        {{.n_head_kv_key = 3}, "head"},           {{.rope_key = 6}, "rope.dimension_count"},
        {{.no_epsilon = true}, "layer_norm_rms_epsilon"}, {{.n_layer_key = -1}, "block_count"},
        {{.n_embd_key = -1}, "embedding_length"}, {{.n_head_key = -1}, "head_count"},
        {{.n_embd_key = 24}, "token_embd.weight"}, {{.n_layer_key = 3}, "blk.2."},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        lp_model *model;
        const char *path = write_a("odd.gguf", &cases[i].odd);
        assert_int_equal(lp_model_open(path, &model), LP_INPUT);
        assert_null(model);
        assert_non_null(strstr(lp_error(), path));
        if (!strstr(lp_error(), cases[i].word)) fail_msg("case %zu: %s", i, lp_error());
    }
}

static void batches_that_do_not_continue_a_sequence_are_refused(void **unused)
{
    (void)unused;
    lp_model *model;
    lp_session *session;
    assert_int_equal(lp_model_open(write_a("batch.gguf", NULL), &model), LP_OK);
    assert_int_equal(lp_session_create(model, &(lp_session_options){.n_context = 65}, NULL, &session), LP_USAGE);
    assert_int_equal(lp_session_create(model, &(lp_session_options){.n_context = 3, .n_batch = 4}, NULL, &session), LP_OK);
    const int32_t good[4] = {0, 1, 2, 3}, far[1] = {1}, big[1] = {32}, negative[1] = {-1}, zero[1] = {0};
    assert_int_equal(lp_session_forward(session, &(lp_batch){1, good, NULL, far, NULL}, NULL), LP_USAGE);
    assert_int_equal(lp_session_forward(session, &(lp_batch){1, big, NULL, zero, NULL}, NULL), LP_USAGE);
    assert_int_equal(lp_session_forward(session, &(lp_batch){1, negative, NULL, zero, NULL}, NULL), LP_USAGE);
    assert_int_equal(lp_session_forward(session, &(lp_batch){1, good, far, zero, NULL}, NULL), LP_USAGE);
    assert_int_equal(lp_session_forward(session, &(lp_batch){4, good, NULL, good, NULL}, NULL), LP_USAGE); /* context 3 */
    assert_int_equal(lp_session_forward(session, &(lp_batch){3, good, NULL, good, NULL}, NULL), LP_OK);
    assert_int_equal(lp_session_truncate(session, 0, 1), LP_OK);
    assert_int_equal(lp_session_forward(session, &(lp_batch){1, good, NULL, far, NULL}, NULL), LP_OK);
    lp_session_close(session);
    lp_model_close(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_model_a_gives_the_logits_of_the_card),
        cmocka_unit_test(one_forward_of_six_tokens_equals_six_of_one_and_three_of_two),
        cmocka_unit_test(the_wrong_rope_layout_gives_the_wrong_logits_of_the_card),
        cmocka_unit_test(a_tied_head_equals_its_copy),
        cmocka_unit_test(contradicting_metadata_is_refused_by_name),
        cmocka_unit_test(batches_that_do_not_continue_a_sequence_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
