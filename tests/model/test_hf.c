/* Folders of every architecture: GGUF to folder to GGUF and back without losing a bit, the same logits from either, and what is
 * refused. `--write LABEL FOLDER` writes the card's small model as a folder, for peers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/half.h"
#include "file/gguf.h"
#include "file/safetensors.h"
#include "model/hf/hf.h"
#include "support/architecture_file.h"
#include "support/folder_file.h"

enum { N_VOCAB = 32, N_LOGITS = 6 * N_VOCAB };

static void ok(lp_status status)
{
    if (status != LP_OK) fail_msg("%s: %s", lp_status_name(status), lp_error());
}

static void refused(lp_status status, lp_status wanted, const char *reason)
{
    if (status != wanted) fail_msg("%s where %s is expected: %s", lp_status_name(status), lp_status_name(wanted), lp_error());
    if (!strstr(lp_error(), reason)) fail_msg("'%s' is not in '%s'", reason, lp_error());
}

static void convert(const char *from, const char *to)
{
    lp_convert_result r;
    ok(lp_convert(from, to, &(lp_convert_options){.force = true}, NULL, &r));
}

/* A path inside a folder, in one of four buffers by turns. */
static const char *in_folder(const char *folder, const char *file)
{
    static char path[4][400];
    static int turn;
    turn = (turn + 1) % 4;
    snprintf(path[turn], sizeof path[turn], "%s/%s", folder, file);
    return path[turn];
}

static void run(const char *path, float out[N_LOGITS])
{
    static const int32_t tokens[6] = {1, 7, 3, 31, 0, 12}, position[6] = {0, 1, 2, 3, 4, 5};
    const float *logits;
    lp_model *model;
    lp_session *session;
    ok(lp_model_open(path, &model));
    ok(lp_session_create(model, &(lp_session_options){.n_batch = 6}, NULL, &session));
    ok(lp_session_forward(session, &(lp_batch){6, tokens, NULL, position, NULL}, &logits));
    memcpy(out, logits, N_LOGITS * sizeof *out);
    lp_session_close(session);
    lp_model_close(model);
}

static void same_tensors(const char *a_path, const char *b_path)
{
    lp_gguf *a, *b;
    ok(lp_gguf_open(a_path, &a));
    ok(lp_gguf_open(b_path, &b));
    assert_int_equal(lp_gguf_tensor_count(a), lp_gguf_tensor_count(b));
    for (int64_t i = 0; i < lp_gguf_tensor_count(a); i++) {
        const lp_tensor *x = lp_gguf_tensor_at(a, i), *y = lp_gguf_find_tensor(b, x->name);
        if (!y) fail_msg("%s is lost", x->name);
        if (x->packing != y->packing || x->n_dims != y->n_dims || memcmp(x->dim, y->dim, sizeof x->dim) || memcmp(x->data, y->data, x->n_bytes))
            fail_msg("%s: differs after a way through a folder", x->name);
    }
    lp_gguf_close(a);
    lp_gguf_close(b);
}

/* Every number of the architecture's own keys is in the other file too. */
static void same_keys(const char *a_path, const char *b_path, const char *architecture)
{
    lp_gguf *a, *b;
    size_t n = strlen(architecture);
    ok(lp_gguf_open(a_path, &a));
    ok(lp_gguf_open(b_path, &b));
    for (int64_t i = 0; i < lp_gguf_key_count(a); i++) {
        const lp_gguf_key *k = lp_gguf_key_at(a, i);
        char name[200];
        if (k->key.n <= n || memcmp(k->key.data, architecture, n) || k->key.data[n] != '.') continue;
        snprintf(name, sizeof name, "%.*s", (int)k->key.n, k->key.data);
        /* these follow from others where they have their usual values */
        if (strstr(name, "key_length") || strstr(name, "value_length") || strstr(name, "use_parallel_residual")) continue;
        const lp_gguf_key *other = lp_gguf_find(b, name);
        if (!other) fail_msg("key %s is lost", name);
        if (k->n_raw != other->n_raw || memcmp(k->raw, other->raw, k->n_raw)) fail_msg("key %s has another value", name);
    }
    lp_gguf_close(a);
    lp_gguf_close(b);
}

static void expect_round_trips(const char *label, const char *packing)
{
    char file[300], folder[300], back[300], again[320], last[300];
    float a[N_LOGITS], b[N_LOGITS];
    snprintf(file, sizeof file, "%s", test_path("a.gguf"));
    snprintf(back, sizeof back, "%s", test_path("b.gguf"));
    snprintf(last, sizeof last, "%s", test_path("c.gguf"));
    snprintf(folder, sizeof folder, "%s", test_path(label));
    snprintf(again, sizeof again, "%s-again", folder);
    architecture_write(file, card_shape(label), packing ? lp_packing_by_name(packing) : NULL, 1);
    convert(file, folder);
    convert(folder, back);
    same_tensors(file, back);
    same_keys(file, back, card_shape(label)->architecture);
    run(file, a);
    run(folder, b);
    assert_memory_equal(a, b, sizeof a);
    run(back, b);
    assert_memory_equal(a, b, sizeof a);
    /* and from a folder of 16 bits on, where every norm was rounded */
    narrow_folder(in_folder(folder, "model.safetensors"));
    convert(folder, back);
    convert(back, again);
    same_file(in_folder(folder, "model.safetensors"), in_folder(again, "model.safetensors"));
    same_file(in_folder(folder, "tokenizer.json"), in_folder(again, "tokenizer.json"));
    convert(again, last);
    same_file(back, last);
    run(folder, a);
    run(back, b);
    assert_memory_equal(a, b, sizeof a);
}

static void trip(void **state)
{
    expect_round_trips(*state, NULL);
    expect_round_trips(*state, "f16");
    expect_round_trips(*state, "bf16");
}

/* ---- parts ------------------------------------------------------------------------------------------------------- */

static const char *make_folder(const char *label)
{
    static char folder[300];
    char file[300];
    snprintf(file, sizeof file, "%s", test_path("source.gguf"));
    snprintf(folder, sizeof folder, "%s", test_path("folder"));
    architecture_write(file, card_shape(label), NULL, 1);
    convert(file, folder);
    return folder;
}

static void experts_lie_one_after_the_other_in_the_order_of_their_numbers(void **state)
{
    (void)state;
    lp_safetensors_folder f;
    lp_gguf *g;
    ok(lp_safetensors_folder_open(make_folder("mixtral"), &f));
    ok(lp_gguf_open(test_path("source.gguf"), &g));
    static const char *const pairs[][2] = {{"w1", "blk.1.ffn_gate_exps.weight"}, {"w3", "blk.1.ffn_up_exps.weight"}, {"w2", "blk.1.ffn_down_exps.weight"}};
    for (int p = 0; p < 3; p++) {
        const lp_tensor *t = lp_gguf_find_tensor(g, pairs[p][1]);
        for (int e = 0; e < 4; e++) {
            char name[100];
            snprintf(name, sizeof name, "model.layers.1.block_sparse_moe.experts.%d.%s.weight", e, pairs[p][0]);
            const lp_safetensor *s = lp_safetensors_folder_find(&f, name);
            assert_non_null(s);
            assert_int_equal(s->n_bytes, t->n_bytes / 4);
            assert_int_equal(s->dim[0], t->dim[1]);
            assert_int_equal(s->dim[1], t->dim[0]);
            assert_memory_equal(s->data, t->data + (size_t)e * s->n_bytes, s->n_bytes);
        }
    }
    lp_gguf_close(g);
    lp_safetensors_folder_close(&f);
}

static void parts_above_a_bound_come_from_a_temporary_file_that_is_gone(void **state)
{
    (void)state;
    const char *folder = make_folder("mixtral");
    char temporary[300], room[300];
    snprintf(temporary, sizeof temporary, "%s", test_path("temporary"));
    snprintf(room, sizeof room, "%s", getenv("TMPDIR") ? getenv("TMPDIR") : "");
    assert_int_equal(mkdir(temporary, 0777), 0);
    setenv("TMPDIR", temporary, 1);
    lp_gguf *a, *b;
    ok(lp_hf_open_within(folder, 1000, &a));
    assert_int_equal(rmdir(temporary), 0); /* empty again, though the model is open */
    assert_int_equal(lp_hf_open_within(folder, 1000, &b), LP_RESOURCE);
    assert_non_null(strstr(lp_error(), "TMPDIR"));
    assert_null(b);
    if (*room) setenv("TMPDIR", room, 1);
    else unsetenv("TMPDIR");
    ok(lp_hf_open(folder, &b));
    assert_int_equal(a->n_maps, b->n_maps + 1);
    for (int64_t i = 0; i < lp_gguf_tensor_count(a); i++) {
        const lp_tensor *x = lp_gguf_tensor_at(a, i), *y = lp_gguf_tensor_at(b, i);
        assert_string_equal(x->name, y->name);
        assert_memory_equal(x->data, y->data, x->n_bytes);
    }
    ok(lp_gguf_check_intact(a));
    lp_gguf_close(a);
    lp_gguf_close(b);
}

static float *norm_of(const char *folder, lp_safetensors **file)
{
    ok(lp_safetensors_open(in_folder(folder, "model.safetensors"), file));
    for (uint32_t i = 0; i < (*file)->n; i++) {
        const lp_safetensor *t = &(*file)->tensor[i];
        if (t->name.n == 17 && memcmp(t->name.data, "model.norm.weight", 17) == 0) return (float *)(uintptr_t)t->data;
    }
    fail_msg("no model.norm.weight");
    return NULL;
}

static void norms_of_gemma_come_back_even_where_adding_one_rounds(void **state)
{
    (void)state;
    static const float odd[] = {-0.0f, 0x1.fcp-30f, -0x1.23456p-20f, 0x1p-149f, 0.1f, -0.99999f, 300.7f, -1.0f};
    const char *folder = make_folder("gemma3");
    lp_safetensors *file;
    float *norm = norm_of(folder, &file);
    size_t at = (size_t)((const uint8_t *)norm - file->data), n;
    lp_safetensors_close(file);
    char *bytes = read_whole(in_folder(folder, "model.safetensors"), &n);
    memcpy(bytes + at, odd, sizeof odd);
    write_whole(in_folder(folder, "model.safetensors"), bytes, n);
    free(bytes);
    convert(folder, test_path("odd.gguf"));
    lp_gguf *g;
    ok(lp_gguf_open(test_path("odd.gguf"), &g));
    const float *sum = (const float *)(const void *)lp_gguf_find_tensor(g, "output_norm.weight")->data;
    for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) assert_true(sum[i] == 1 + odd[i]);
    assert_non_null(lp_gguf_find(g, LP_HF_REST "output_norm.weight"));
    assert_null(lp_gguf_find(g, LP_HF_REST "blk.0.attn_norm.weight"));
    lp_gguf_close(g);
    char again[300];
    snprintf(again, sizeof again, "%s", test_path("odd-again"));
    convert(test_path("odd.gguf"), again);
    same_file(in_folder(folder, "model.safetensors"), in_folder(again, "model.safetensors"));
}

/* Without the record of an importer, fl(s - 1) must do or the file is refused. */
static void norms_of_gemma_that_less_one_cannot_hold_are_refused(void **state)
{
    (void)state;
    lp_convert_result r;
    size_t n;
    make_folder("gemma2");
    char *bytes = read_whole(test_path("source.gguf"), &n);
    lp_gguf *g;
    ok(lp_gguf_open(test_path("source.gguf"), &g));
    const lp_tensor *t = lp_gguf_find_tensor(g, "blk.1.ffn_norm.weight");
    size_t at = (size_t)(t->data - g->data) + 4;
    lp_gguf_close(g);
    const float lost = 0.1f;
    memcpy(bytes + at, &lost, sizeof lost);
    write_whole(test_path("source.gguf"), bytes, n);
    free(bytes);
    refused(lp_convert(test_path("source.gguf"), test_path("none"), &(lp_convert_options){0}, NULL, &r), LP_UNSUPPORTED,
            "blk.1.ffn_norm.weight: value 1:");
    assert_int_not_equal(access(test_path("none"), F_OK), 0);
}

/* ---- config.json ------------------------------------------------------------------------------------------------- */

static int64_t integer_of(const char *folder, const char *key, int64_t index)
{
    lp_gguf *g;
    int64_t value = -1;
    ok(lp_container_open(folder, &g));
    const lp_gguf_key *k = lp_gguf_find(g, key);
    if (k && k->type == LP_GGUF_ARRAY) ok(lp_gguf_array_i64(k, (uint64_t)index, &value));
    else if (k) ok(lp_gguf_get_i64(g, key, true, &value));
    lp_gguf_close(g);
    return value;
}

static double real_of(const char *folder, const char *key)
{
    lp_gguf *g;
    double value = NAN;
    ok(lp_container_open(folder, &g));
    ok(lp_gguf_get_f64(g, key, false, &value));
    lp_gguf_close(g);
    return value;
}

static void transformers_5_writes_rope_parameters_and_they_are_read(void **state)
{
    (void)state;
    const char *folder = make_folder("gemma3");
    replace(in_folder(folder, "config.json"), "\"rope_theta\": 1000000.0,\n  \"rope_local_base_freq\": 10000.0,",
            "\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"linear\", \"factor\": 8.0, \"rope_theta\": 500000.0}, "
            "\"sliding_attention\": {\"rope_type\": \"default\", \"rope_theta\": 20000.0}},");
    assert_true(real_of(folder, "gemma3.rope.freq_base") == 500000);
    assert_true(real_of(folder, "gemma3.rope.freq_base_swa") == 20000);
    assert_true(real_of(folder, "gemma3.rope.scaling.factor") == 8);
    folder = make_folder("stablelm");
    replace(in_folder(folder, "config.json"), "\"rope_theta\": 10000.0,\n  \"partial_rotary_factor\": 0.25,",
            "\"rope_parameters\": {\"rope_type\": \"default\", \"rope_theta\": 30000.0, \"partial_rotary_factor\": 0.5},");
    assert_true(real_of(folder, "stablelm.rope.freq_base") == 30000);
    assert_int_equal(integer_of(folder, "stablelm.rope.dimension_count", 0), 4);
}

static void windows_are_read_as_each_architecture_means_them(void **state)
{
    (void)state;
    const char *folder = make_folder("qwen2"), *config = in_folder(folder, "config.json");
    char path[400];
    snprintf(path, sizeof path, "%s", config);
    replace(path, "\"sliding_window\": null,", "\"sliding_window\": 5, \"max_window_layers\": 1,");
    assert_int_equal(integer_of(folder, "qwen2.attention.sliding_window", 0), -1);
    replace(path, "\"max_window_layers\": 1,", "\"max_window_layers\": 1, \"use_sliding_window\": true,");
    assert_int_equal(integer_of(folder, "qwen2.attention.sliding_window", 0), 5);
    assert_int_equal(integer_of(folder, "qwen2.attention.sliding_window_pattern", 0), 0);
    assert_int_equal(integer_of(folder, "qwen2.attention.sliding_window_pattern", 1), 1);
    float a[N_LOGITS], b[N_LOGITS];
    convert(folder, test_path("late.gguf"));
    run(folder, a);
    char again[300];
    snprintf(again, sizeof again, "%s", test_path("late"));
    convert(test_path("late.gguf"), again);
    run(again, b);
    assert_memory_equal(a, b, sizeof a);
    assert_int_equal(integer_of(again, "qwen2.attention.sliding_window_pattern", 0), 0);

    folder = make_folder("gemma3"); /* five of six by default: no key then */
    snprintf(path, sizeof path, "%s", in_folder(folder, "config.json"));
    assert_int_equal(integer_of(folder, "gemma3.attention.sliding_window_pattern", 0), -1);
    replace(path, "\"layer_types\": [\"sliding_attention\"", "\"layer_types\": [\"full_attention\"");
    assert_int_equal(integer_of(folder, "gemma3.attention.sliding_window_pattern", 0), 0);
    assert_int_equal(integer_of(folder, "gemma3.attention.sliding_window_pattern", 1), 1);
    assert_int_equal(integer_of(folder, "gemma3.attention.sliding_window_pattern", 5), 0);

    folder = make_folder("olmo2");
    snprintf(path, sizeof path, "%s", in_folder(folder, "config.json"));
    replace(path, "Olmo2ForCausalLM", "Olmo3ForCausalLM");
    replace(path, "\"tie_word", "\"sliding_window\": 3, \"tie_word");
    assert_int_equal(integer_of(folder, "olmo2.attention.sliding_window", 0), 3);
    convert(folder, test_path("olmo3.gguf"));
    convert(test_path("olmo3.gguf"), again);
    size_t n;
    char *text = read_whole(in_folder(again, "config.json"), &n);
    assert_non_null(strstr(text, "Olmo3ForCausalLM"));
    assert_non_null(strstr(text, "\"layer_types\": [\"sliding_attention\", \"sliding_attention\"]"));
    free(text);
}

static void yarn_keeps_an_attention_factor_that_is_not_its_own(void **state)
{
    (void)state;
    const char *folder = make_folder("yarn");
    replace(in_folder(folder, "config.json"), "\"factor\": 4.0,", "\"factor\": 4.0, \"attention_factor\": 1.5,");
    double own = 1 + 0.1 * log(4), got = real_of(folder, "llama.rope.scaling.attn_factor");
    assert_true(fabs(got * own - 1.5) < 1e-6);
    char again[300];
    snprintf(again, sizeof again, "%s", test_path("again"));
    convert(folder, test_path("y.gguf"));
    convert(test_path("y.gguf"), again);
    assert_true(real_of(again, "llama.rope.scaling.attn_factor") == got);
}

static void a_file_with_experts_is_mixtral_and_one_with_windows_mistral(void **state)
{
    (void)state;
    static const char *const cases[][2] = {{"mixtral", "MixtralForCausalLM"}, {"mistral", "MistralForCausalLM"}, {"yarn", "LlamaForCausalLM"}};
    for (int i = 0; i < 3; i++) {
        size_t n;
        char *text = read_whole(in_folder(make_folder(cases[i][0]), "config.json"), &n);
        assert_non_null(strstr(text, cases[i][1]));
        free(text);
    }
}

static void keys_that_config_json_has_no_word_for_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *label, *key, *type, *bad, *good;
    } cases[] = {{"mixtral", "llama.expert_weights_scale", "f32", "2.5", "1"},
                 {"granite", "granite.rope.scaling.finetuned", "bool", "false", "true"},
                 {"olmo2", "olmo2.rope.freq_base_swa", "f32", "10000", "500000"}};
    for (int i = 0; i < 3; i++) {
        lp_convert_result r;
        bool in_place;
        lp_key_change change = {cases[i].key, cases[i].type, cases[i].bad};
        make_folder(cases[i].label);
        ok(lp_gguf_edit(test_path("source.gguf"), &change, 1, true, false, &in_place));
        refused(lp_convert(test_path("source.gguf"), test_path("none"), &(lp_convert_options){0}, NULL, &r), LP_UNSUPPORTED, cases[i].key);
        change.value = cases[i].good;
        ok(lp_gguf_edit(test_path("source.gguf"), &change, 1, true, false, &in_place));
        convert(test_path("source.gguf"), test_path("some"));
    }
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

typedef struct refusal {
    const char *what, *label, *file, *from, *to;
    lp_status status;
    const char *reason;
} refusal;

static const refusal refusals[] = {
    {"experts without renormalisation are refused", "qwen3moe", "config.json", "\"norm_topk_prob\": true", "\"norm_topk_prob\": false",
     LP_UNSUPPORTED, "norm_topk_prob"},
    {"an absent norm_topk_prob is refused, since it means false", "qwen3moe", "config.json", "norm_topk_prob", "norm_topk_qrob",
     LP_UNSUPPORTED, "norm_topk_prob"},
    {"layers without experts among others are refused", "qwen3moe", "config.json", "\"mlp_only_layers\": []", "\"mlp_only_layers\": [0]",
     LP_UNSUPPORTED, "mlp_only_layers"},
    {"a missing expert is refused by name", "mixtral", "config.json", "\"num_local_experts\": 4", "\"num_local_experts\": 5", LP_INPUT,
     "experts.4.w"},
    {"an expert too many is refused by name", "mixtral", "config.json", "\"num_local_experts\": 4", "\"num_local_experts\": 3", LP_INPUT,
     "experts.3.w"},
    {"experts of different shapes are refused", "mixtral", "model.safetensors", "experts.2.w1.weight\":{\"dtype\":\"F32\",\"shape\":[24,16]",
     "experts.2.w1.weight\":{\"dtype\":\"F32\",\"shape\":[16,24]", LP_INPUT, "differs from that of the other parts"},
    {"a missing norm of a head is refused", "stablelm2", "model.safetensors", "1.self_attn.q_layernorm.norms.3", "1.self_attn.q_layernorm.norms.4",
     LP_INPUT, "q_layernorm.norms.4"},
    {"a score scale that no reader knows is refused", "gemma2", "config.json", "\"query_pre_attn_scalar\": 8", "\"query_pre_attn_scalar\": 9",
     LP_UNSUPPORTED, "query_pre_attn_scalar"},
    {"a gemma2 without its cap is refused", "gemma2", "config.json", "\"attn_logit_softcapping\": 2.0", "\"attn_logit_softcapping\": null",
     LP_INPUT, "attn_logit_softcapping"},
    {"a cap of scores in gemma3 is refused", "gemma3", "config.json", "\"attn_logit_softcapping\": null", "\"attn_logit_softcapping\": 50.0",
     LP_UNSUPPORTED, "attn_logit_softcapping"},
    {"another activation is refused", "gemma3", "config.json", "\"hidden_activation\": \"gelu_pytorch_tanh\"", "\"hidden_activation\": \"relu\"",
     LP_UNSUPPORTED, "'relu' is not built"},
    {"longrope elsewhere than in phi3 is refused", "qwen3", "config.json", "{", "{\"rope_scaling\": {\"rope_type\": \"longrope\"},",
     LP_UNSUPPORTED, "longrope"},
    {"a list of factors of another length is refused", "phi3", "config.json", "\"long_factor\": [1.0, ", "\"long_factor\": [", LP_INPUT,
     "long_factor: no list of 4"},
    {"a factor of 0 is refused", "phi3", "config.json", "\"long_factor\": [1.0", "\"long_factor\": [0.0", LP_INPUT, "long_factor[0]"},
    {"other ramps of YaRN are refused", "yarn", "config.json", "\"factor\": 4.0", "\"factor\": 4.0, \"beta_fast\": 16.0", LP_UNSUPPORTED, "beta_fast"},
    {"mscale of YaRN is refused", "yarn", "config.json", "\"factor\": 4.0", "\"factor\": 4.0, \"mscale\": 1.0", LP_UNSUPPORTED, "mscale"},
    {"a scaling of the local layers is refused", "gemma3", "config.json", "{",
     "{\"rope_parameters\": {\"full_attention\": {\"rope_type\": \"default\"}, \"sliding_attention\": {\"rope_type\": \"linear\", \"factor\": 2.0}},",
     LP_UNSUPPORTED, "sliding_attention"},
    {"an odd part of a head is refused", "stablelm", "config.json", "\"partial_rotary_factor\": 0.25", "\"partial_rotary_factor\": 0.4",
     LP_INPUT, "partial_rotary_factor"},
    {"types of layers for other layers are refused", "gemma3", "config.json", "\"layer_types\": [\"sliding_attention\", ", "\"layer_types\": [",
     LP_INPUT, "layer_types: no list of 6"},
    {"an unknown type of layer is refused", "gemma3", "config.json", "\"layer_types\": [\"sliding", "\"layer_types\": [\"chunked",
     LP_UNSUPPORTED, "layer_types[0]"},
    {"a head that is missing is refused", "phi3", "model.safetensors", "lm_head.weight\"", "lm_head.wxight\"", LP_UNSUPPORTED, "lm_head.wxight"},
    {"a head that config.json promises is refused if absent", "qwen2", "config.json", "\"tie_word_embeddings\": true",
     "\"tie_word_embeddings\": false", LP_INPUT, "lm_head.weight: missing"},
    {"a number of experts above 4096 is refused", "qwen3moe", "config.json", "\"num_experts\": 4", "\"num_experts\": 5000", LP_INPUT, "num_experts"},
};

static void refusal_holds(void **state)
{
    const refusal *r = *state;
    char path[400];
    const char *folder = make_folder(r->label);
    snprintf(path, sizeof path, "%s", in_folder(folder, r->file));
    replace(path, r->from, r->to);
    lp_gguf *g = (lp_gguf *)1;
    refused(lp_container_open(folder, &g), r->status, r->reason);
    assert_null(g);
}

int main(int argc, char **argv)
{
    if (argc == 4 && strcmp(argv[1], "--write") == 0) {
        lp_convert_result r;
        const architecture_shape *s = card_shape(argv[2]);
        if (!s || architecture_write(test_path("card.gguf"), s, NULL, 1) == 0) return 2;
        if (lp_convert(test_path("card.gguf"), argv[3], &(lp_convert_options){.force = true}, NULL, &r) == LP_OK) return 0;
        fprintf(stderr, "%s\n", lp_error());
        return 1;
    }
    static const struct CMUnitTest fixed[] = {
        cmocka_unit_test(experts_lie_one_after_the_other_in_the_order_of_their_numbers),
        cmocka_unit_test(parts_above_a_bound_come_from_a_temporary_file_that_is_gone),
        cmocka_unit_test(norms_of_gemma_come_back_even_where_adding_one_rounds),
        cmocka_unit_test(norms_of_gemma_that_less_one_cannot_hold_are_refused),
        cmocka_unit_test(transformers_5_writes_rope_parameters_and_they_are_read),
        cmocka_unit_test(windows_are_read_as_each_architecture_means_them),
        cmocka_unit_test(yarn_keeps_an_attention_factor_that_is_not_its_own),
        cmocka_unit_test(keys_that_config_json_has_no_word_for_are_refused),
        cmocka_unit_test(a_file_with_experts_is_mixtral_and_one_with_windows_mistral),
    };
    enum { N_FIXED = sizeof fixed / sizeof *fixed, N_REFUSALS = sizeof refusals / sizeof *refusals, ROOM = 64 };
    static struct CMUnitTest tests[N_FIXED + N_REFUSALS + ROOM];
    static char names[ROOM][80];
    size_t n = 0;
    for (int i = 0; i < n_card_shapes && i < ROOM; i++) {
        snprintf(names[i], sizeof names[i], "%s keeps every bit through a folder, logits too", card_shapes[i].label);
        tests[n++] = (struct CMUnitTest){names[i], trip, NULL, NULL, (void *)(uintptr_t)card_shapes[i].label};
    }
    for (size_t i = 0; i < N_FIXED; i++) tests[n++] = fixed[i];
    for (size_t i = 0; i < N_REFUSALS; i++)
        tests[n++] = (struct CMUnitTest){refusals[i].what, refusal_holds, NULL, NULL, (void *)(uintptr_t)&refusals[i]};
    return _cmocka_run_group_tests("hf", tests, n, NULL, NULL);
}
