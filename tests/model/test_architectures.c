/* Every architecture: the logits of card runtime/architectures, the same bits on every instruction set, number of threads,
 * chunking and company, and refusals. `--print` prints the golden table anew, `--write LABEL PATH` one of the files;
 * `--logits PATH` gives the logits of the card's six tokens as float32. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/sha256.h"
#include "kernel/kernel.h"
#include "support/architecture_file.h"

enum { N_VOCAB = 32 };

static const struct {
    const char *label;
    int64_t n_values;
    float logits[4];
} card[] = {
    {"qwen2", 4496, {2.40757f, .67348f, .49353f, 1.66046f}},
    {"qwen3", 6000, {-.33243f, -.13962f, -.31493f, -.02011f}},
    {"qwen3moe", 8432, {.48731f, 1.11861f, -.55649f, -.36019f}},
    {"mixtral", 11472, {-.91370f, .83781f, -.61450f, -.37683f}},
    {"phi3", 12960, {-.38303f, 1.00661f, 2.11479f, .53559f}},
    {"gemma3", 17136, {.58086f, 1.68545f, -.70619f, .41218f}},
    {"gemma2", 6032, {.47095f, -1.46333f, .22936f, .00822f}},
    {"olmo2", 4992, {-.28566f, .39410f, -1.02329f, -.08792f}},
    {"stablelm", 13120, {2.09907f, 1.38899f, .41871f, 2.49034f}},
    {"granite", 4432, {-.15198f, .06000f, .09808f, .19029f}},
    {"starcoder2", 3920, {1.96859f, -.74245f, 1.64337f, .05459f}},
    {"mistral", 4432, {-.87642f, -.42907f, .20461f, -.54521f}},
};
enum { N_CARD = sizeof card / sizeof card[0] };

static lp_model *open_file(const char *path)
{
    lp_model *model;
    if (lp_model_open(path, &model) != LP_OK) fail_msg("%s", lp_error());
    return model;
}

static void run_card(const char *path, float out[6 * N_VOCAB])
{
    static const int32_t tokens[6] = {1, 7, 3, 31, 0, 12}, position[6] = {0, 1, 2, 3, 4, 5};
    const float *logits;
    lp_session *session;
    lp_model *model = open_file(path);
    if (lp_session_create(model, &(lp_session_options){.n_batch = 6}, NULL, &session) != LP_OK) fail_msg("%s", lp_error());
    if (lp_session_forward(session, &(lp_batch){6, tokens, NULL, position, NULL}, &logits) != LP_OK) fail_msg("%s", lp_error());
    memcpy(out, logits, 6 * N_VOCAB * sizeof *out);
    lp_session_close(session);
    lp_model_close(model);
}

static void expect_card(const char *label)
{
    const char *path = test_path("card.gguf");
    float logits[6 * N_VOCAB];
    int row = 0;
    while (strcmp(card[row].label, label)) row++;
    assert_int_equal(architecture_write(path, card_shape(label), NULL, 1), card[row].n_values);
    run_card(path, logits);
    for (int i = 0; i < 4; i++)
        if (!(fabsf(logits[5 * N_VOCAB + i] - card[row].logits[i]) < 3e-5f))
            fail_msg("%s: logit %d is %.5f, the card says %.5f", label, i, (double)logits[5 * N_VOCAB + i], (double)card[row].logits[i]);
}

#define CARD(label)                                          \
    static void label##_gives_the_logits_of_the_card(void **unused) \
    {                                                        \
        (void)unused;                                        \
        expect_card(#label);                                 \
    }
CARD(qwen2)
CARD(qwen3)
CARD(qwen3moe)
CARD(mixtral)
CARD(phi3)
CARD(gemma3)
CARD(gemma2)
CARD(olmo2)
CARD(stablelm)
CARD(granite)
CARD(starcoder2)
CARD(mistral)

static void phi3_uses_its_short_factors_in_the_original_context(void **unused)
{
    (void)unused;
    static const float wanted[4] = {-1.79842f, -.63724f, .58224f, .89783f};
    static const int32_t tokens[4] = {1, 7, 3, 31}, position[4] = {0, 1, 2, 3};
    const char *path = test_path("short.gguf");
    const float *logits;
    lp_session *session;
    architecture_write(path, card_shape("phi3"), NULL, 1);
    lp_model *model = open_file(path);
    if (lp_session_create(model, &(lp_session_options){.n_context = 4, .n_batch = 4}, NULL, &session) != LP_OK) fail_msg("%s", lp_error());
    if (lp_session_forward(session, &(lp_batch){4, tokens, NULL, position, NULL}, &logits) != LP_OK) fail_msg("%s", lp_error());
    for (int i = 0; i < 4; i++)
        if (!(fabsf(logits[3 * N_VOCAB + i] - wanted[i]) < 3e-5f)) fail_msg("logit %d: %g", i, (double)logits[3 * N_VOCAB + i]);
    lp_session_close(session);
    lp_model_close(model);
}

static void experts_of_equal_score_are_chosen_by_lower_index(void **unused)
{
    (void)unused;
    const float tied[5] = {1, 3, 3, 1, 3}, failed[5] = {1, NAN, 3, 1, 3}, far[5] = {-500, 0, -500, -500, -500};
    float route[8];
    lp_route_experts(tied, 5, 4, true, 1, route);
    const float order[4] = {1, 2, 4, 0};
    for (int i = 0; i < 4; i++) assert_true(route[i] == order[i]);
    assert_true(route[4] == route[5] && route[5] == route[6] && route[6] > route[7]);
    assert_true(fabsf(route[4] + route[5] + route[6] + route[7] - 1) < 1e-6f);
    lp_route_experts(tied, 5, 2, true, 2.5f, route);
    assert_true(route[2] == 1.25f && route[3] == 1.25f);
    lp_route_experts(tied, 5, 2, false, 1, route); /* p itself: e^3 of 3 e^3 + 2 e */
    assert_true(route[0] == 1 && route[1] == 2 && fabsf(route[2] - 0.305748f) < 1e-5f && route[2] == route[3]);
    lp_route_experts(failed, 5, 2, true, 1, route);
    assert_true(route[0] == 0 && route[1] == 1 && isnan(route[2]) && isnan(route[3]));
    lp_route_experts(far, 5, 3, true, 1, route); /* weights that vanish still have an expert each */
    assert_true(route[0] == 1 && route[1] == 0 && route[2] == 2 && route[3] == 1 && route[4] == 0 && route[5] == 0);
}

static void a_shared_expert_is_added_by_the_sigmoid_of_its_score(void **unused)
{
    (void)unused;
    const float x[3] = {1, -2, 4}, start[3] = {10, 20, 30};
    float y[3];
    memcpy(y, start, sizeof y);
    lp_add_gated(x, 0, 3, y);
    assert_true(y[0] == 10.5f && y[1] == 19 && y[2] == 32);
    memcpy(y, start, sizeof y);
    lp_add_gated(x, -200, 3, y); /* no expert at all, and no NaN */
    assert_memory_equal(y, start, sizeof y);
    lp_add_gated(x, 200, 3, y);
    assert_true(y[0] == 11 && y[1] == 18 && y[2] == 34);
}

/* ---- the same bits ------------------------------------------------------------------------------------------------- */

enum { N_TOKENS = 300, WINDOW = 70 }; /* over one attention group; windows that leave it */

static const struct {
    const char *label, *sha256;
} golden[] = {
#include "architectures_golden.h"
};
enum { N_GOLDEN = sizeof golden / sizeof golden[0] };

/* The card's model at widths that int8 activations want, with a longer context. */
static lp_model *open_wide(const char *label)
{
    architecture_shape s = *card_shape(label);
    s.n_embd = 64;
    s.n_ffn = 96;
    s.head_size = strcmp(label, "phi3") ? 24 : 8; /* its factors are four */
    if (!strcmp(label, "phi3")) s.n_head = 8, s.n_head_kv = 4;
    if (s.rotated) s.rotated = 6;
    if (s.window) s.window = WINDOW;
    s.n_context = N_TOKENS;
    const char *path = test_path("wide.gguf");
    architecture_write(path, &s, lp_packing_by_name("q8_0"), 0.4f);
    return open_file(path);
}

static void hash_logits(const lp_model *model, int n_threads, int64_t chunk, int partners, char hex[65])
{
    lp_pool *pool;
    lp_session *session;
    int64_t room = chunk * (partners + 1);
    if (lp_pool_create(n_threads, &pool) != LP_OK) fail_msg("%s", lp_error());
    lp_session_options o = {.pool = pool, .n_context = N_TOKENS, .n_sequences = partners + 1, .n_batch = room};
    if (lp_session_create(model, &o, NULL, &session) != LP_OK) fail_msg("%s", lp_error());
    int32_t *token = malloc((size_t)room * 4), *sequence = malloc((size_t)room * 4), *position = malloc((size_t)room * 4);
    uint8_t *wants = malloc((size_t)room);
    lp_sha256 hash;
    lp_sha256_begin(&hash);
    for (int64_t first = 0; first < N_TOKENS; first += chunk) {
        int64_t n = 0, last = first + chunk < N_TOKENS ? first + chunk : N_TOKENS;
        for (int64_t i = first; i < last; i++)
            for (int s = partners; s >= 0; s--) {
                token[n] = (int32_t)((i * i * 7 + i / 3 + 5 * s) % N_VOCAB);
                sequence[n] = s;
                position[n] = (int32_t)i;
                wants[n++] = s == 0;
            }
        const float *logits;
        if (lp_session_forward(session, &(lp_batch){n, token, sequence, position, wants}, &logits) != LP_OK) fail_msg("%s", lp_error());
        for (int64_t i = 0; i < (last - first) * N_VOCAB; i++) assert_true(isfinite(logits[i]));
        lp_sha256_add(&hash, logits, (size_t)((last - first) * N_VOCAB) * sizeof(float));
    }
    lp_sha256_end(&hash, hex);
    free(token);
    free(sequence);
    free(position);
    free(wants);
    lp_session_close(session);
    lp_pool_destroy(pool);
}

static void check_isa(const char *isa)
{
    static const struct {
        int threads, partners;
        int64_t chunk;
    } way[] = {{1, 0, N_TOKENS}, {2, 0, 7}, {3, 0, 64}, {1, 0, 1}, {2, 1, 5}};
    if (lp_isa_select(isa) != LP_OK) skip();
    for (int row = 0; row < N_GOLDEN; row++) {
        lp_model *model = open_wide(golden[row].label);
        bool is_ref = strcmp(isa, "ref") == 0; /* slow, and what the others are compared with */
        for (size_t i = is_ref ? 2 : 0; i < (is_ref ? 3 : sizeof way / sizeof way[0]); i++) {
            char hex[65];
            hash_logits(model, way[i].threads, way[i].chunk, way[i].partners, hex);
            if (strcmp(hex, golden[row].sha256))
                fail_msg("%s, %s, %d threads, chunks of %lld, %d partners: %s", golden[row].label, isa, way[i].threads,
                         (long long)way[i].chunk, way[i].partners, hex);
        }
        lp_model_close(model);
    }
}

static void the_reference_gives_the_golden_logits_of_every_architecture(void **unused)
{
    (void)unused;
    check_isa("ref");
}

static void avx2_gives_the_golden_logits_of_every_architecture(void **unused)
{
    (void)unused;
    check_isa("avx2");
}

static void avx512_gives_the_golden_logits_of_every_architecture(void **unused)
{
    (void)unused;
    check_isa("avx512");
}

static void neon_gives_the_golden_logits_of_every_architecture(void **unused)
{
    (void)unused;
    check_isa("neon");
}

static void an_unknown_architecture_is_refused_with_the_list(void **unused)
{
    (void)unused;
    architecture_shape s = *card_shape("qwen2");
    lp_model *model;
    const char *path = test_path("unknown.gguf");
    s.architecture = "gptneox";
    architecture_write(path, &s, NULL, 1);
    assert_int_equal(lp_model_open(path, &model), LP_UNSUPPORTED);
    assert_non_null(strstr(lp_error(), "gptneox"));
    assert_non_null(strstr(lp_error(), "llama, qwen2, qwen3"));
}

static void what_an_architecture_needs_and_lacks_is_named(void **unused)
{
    (void)unused;
    lp_model *model;
    const char *path = test_path("lacks.gguf");
    architecture_shape s = *card_shape("qwen3");
    s.head_norms = false;
    architecture_write(path, &s, NULL, 1);
    assert_int_equal(lp_model_open(path, &model), LP_INPUT);
    assert_non_null(strstr(lp_error(), "blk.0.attn_q_norm.weight"));
    s = *card_shape("olmo2");
    s.untied = false;
    architecture_write(path, &s, NULL, 1);
    assert_int_equal(lp_model_open(path, &model), LP_INPUT);
    assert_non_null(strstr(lp_error(), "output.weight"));
    s = *card_shape("mixtral");
    s.n_used = 5;
    architecture_write(path, &s, NULL, 1);
    assert_int_equal(lp_model_open(path, &model), LP_INPUT);
    assert_non_null(strstr(lp_error(), "expert_used_count"));
    s = *card_shape("yarn");
    s.yarn = "spiral";
    architecture_write(path, &s, NULL, 1);
    assert_int_equal(lp_model_open(path, &model), LP_UNSUPPORTED);
    assert_non_null(strstr(lp_error(), "spiral"));
}

static int print_table(void)
{
    for (int i = 0; i < n_card_shapes; i++) {
        char hex[65];
        lp_model *model = open_wide(card_shapes[i].label);
        hash_logits(model, 2, N_TOKENS, 0, hex);
        printf("    {\"%s\", \"%s\"},\n", card_shapes[i].label, hex);
        lp_model_close(model);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--write") == 0) {
        const architecture_shape *s = card_shape(argv[2]);
        return !s || architecture_write(argv[3], s, NULL, 1) == 0;
    }
    if (argc == 3 && strcmp(argv[1], "--logits") == 0) {
        float logits[6 * N_VOCAB];
        run_card(argv[2], logits);
        return fwrite(logits, sizeof logits, 1, stdout) != 1;
    }
    if (argc > 1 && strcmp(argv[1], "--print") == 0) return lp_isa_select("ref") == LP_OK ? print_table() : 1;
    const struct CMUnitTest tests[] = {
#define ROW(label) cmocka_unit_test(label##_gives_the_logits_of_the_card)
        ROW(qwen2), ROW(qwen3), ROW(qwen3moe), ROW(mixtral), ROW(phi3), ROW(gemma3), ROW(gemma2), ROW(olmo2), ROW(stablelm),
        ROW(granite), ROW(starcoder2), ROW(mistral),
        cmocka_unit_test(phi3_uses_its_short_factors_in_the_original_context),
        cmocka_unit_test(experts_of_equal_score_are_chosen_by_lower_index),
        cmocka_unit_test(a_shared_expert_is_added_by_the_sigmoid_of_its_score),
        cmocka_unit_test(the_reference_gives_the_golden_logits_of_every_architecture),
        cmocka_unit_test(avx2_gives_the_golden_logits_of_every_architecture),
        cmocka_unit_test(avx512_gives_the_golden_logits_of_every_architecture),
        cmocka_unit_test(neon_gives_the_golden_logits_of_every_architecture),
        cmocka_unit_test(an_unknown_architecture_is_refused_with_the_list),
        cmocka_unit_test(what_an_architecture_needs_and_lacks_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
