/* Containers: folders of safetensors to GGUF and back, split files, changes of metadata. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include <lowp/lowp.h>

#include "base/half.h"
#include "file/gguf.h"
#include "model/hf/convert.h"
#include "support/folder_file.h"
#include "support/llama_file.h"

static const llama_shape shape = {.n_vocab = 40, .n_embd = 32, .n_layer = 2, .n_head = 4, .n_head_kv = 2, .head_size = 8,
                                  .n_ffn = 48, .n_context = 64, .epsilon = 1e-5f, .tied = false};

/* Values that F16 and BF16 hold. */
static float coarse_weight(void *context, const char *name, int64_t i)
{
    float w = lcg_weight(context, name, i);
    return (float)(int)(w * 64) / 64;
}

static void ok(lp_status status)
{
    if (status != LP_OK) fail_msg("%s: %s", lp_status_name(status), lp_error());
}

static void refused(lp_status status, lp_status wanted, const char *reason)
{
    if (status != wanted) fail_msg("%s where %s is expected: %s", lp_status_name(status), lp_status_name(wanted), lp_error());
    if (!strstr(lp_error(), reason)) fail_msg("'%s' is not in '%s'", reason, lp_error());
}

static lp_convert_result convert(const char *from, const char *to)
{
    lp_convert_result r;
    ok(lp_convert(from, to, &(lp_convert_options){.force = true}, NULL, &r));
    return r;
}

static void write_gguf(const char *path, const char *packing)
{
    uint32_t state = 12345;
    llama_write(path, &shape, lp_packing_by_name(packing), coarse_weight, &state, NULL);
}

/* A fresh folder under a name, and the path of a file in it. */
static const char *make_folder(const char *name)
{
    write_gguf(test_path("source.gguf"), "f16");
    convert(test_path("source.gguf"), test_path(name));
    return test_path(name);
}

static const char *in_folder(const char *name, const char *file)
{
    char path[100];
    snprintf(path, sizeof path, "%s/%s", name, file);
    return test_path(path);
}

/* ---- round trips ------------------------------------------------------------------------------------------------- */

static void gguf_to_folder_to_gguf_keeps_every_byte_of_the_tensors(void **state)
{
    (void)state;
    const char *const packings[] = {"f32", "f16", "bf16"};
    for (int p = 0; p < 3; p++) {
        lp_gguf *a, *b;
        write_gguf(test_path("a.gguf"), packings[p]);
        assert_true(convert(test_path("a.gguf"), test_path("dir")).is_folder);
        assert_false(convert(test_path("dir"), test_path("b.gguf")).is_folder);
        ok(lp_gguf_open(test_path("a.gguf"), &a));
        ok(lp_gguf_open(test_path("b.gguf"), &b));
        assert_int_equal(lp_gguf_tensor_count(a), lp_gguf_tensor_count(b));
        for (int64_t i = 0; i < lp_gguf_tensor_count(a); i++) {
            const lp_tensor *x = lp_gguf_tensor_at(a, i), *y = lp_gguf_find_tensor(b, x->name);
            assert_non_null(y);
            assert_ptr_equal(x->packing, y->packing);
            assert_memory_equal(x->dim, y->dim, sizeof x->dim);
            assert_memory_equal(x->data, y->data, x->n_bytes);
        }
        lp_gguf_close(a);
        lp_gguf_close(b);
    }
}

static void folder_to_gguf_to_folder_is_the_same_file_even_with_narrow_norms(void **state)
{
    (void)state;
    make_folder("one");
    narrow_folder(in_folder("one", "model.safetensors"));
    convert(test_path("one"), test_path("between.gguf"));
    lp_gguf *g;
    ok(lp_gguf_open(test_path("between.gguf"), &g));
    assert_string_equal(lp_gguf_find_tensor(g, "output_norm.weight")->packing->name, "f32");
    assert_string_equal(lp_gguf_find_tensor(g, "output.weight")->packing->name, "bf16");
    lp_gguf_close(g);
    convert(test_path("between.gguf"), test_path("two"));
    same_file(in_folder("one", "model.safetensors"), in_folder("two", "model.safetensors"));
    same_file(in_folder("one", "tokenizer.json"), in_folder("two", "tokenizer.json"));
}

static void a_folder_in_memory_is_the_file_that_converting_writes(void **state)
{
    (void)state;
    make_folder("dir");
    convert(test_path("dir"), test_path("file.gguf"));
    lp_gguf *g;
    size_t n;
    char *file = read_whole(test_path("file.gguf"), &n);
    ok(lp_container_open(test_path("dir"), &g));
    assert_int_equal(lp_gguf_size(g), n);
    for (uint64_t at = 0, k; at < n; at += k) {
        k = 1000;
        const uint8_t *bytes = lp_gguf_bytes(g, at, &k);
        assert_true(k > 0 && k <= 1000 && at + k <= n);
        assert_memory_equal(bytes, file + at, k);
    }
    lp_gguf_close(g);
    free(file);
    lp_model *model;
    ok(lp_model_open(test_path("dir"), &model));
    assert_int_equal(lp_model_get_info(model)->n_head_kv, 2);
    lp_model_close(model);
}

static void what_a_file_tells_about_a_model_survives_a_folder(void **state)
{
    (void)state;
    bool in_place;
    const lp_key_change changes[] = {{"general.license", "string", "a \"licence\"\n\xc3\xa9"}, {"general.name", "string", "a name"}};
    write_gguf(test_path("note.gguf"), "f16");
    ok(lp_gguf_edit(test_path("note.gguf"), changes, 2, false, false, &in_place));
    convert(test_path("note.gguf"), test_path("note"));
    lp_gguf *g;
    ok(lp_container_open(test_path("note"), &g));
    for (int i = 0; i < 2; i++) {
        lp_string value;
        ok(lp_gguf_get_string(g, changes[i].key, true, &value));
        assert_int_equal(value.n, strlen(changes[i].value));
        assert_memory_equal(value.data, changes[i].value, value.n);
    }
    lp_gguf_close(g);
}

static void rows_of_q_and_k_move_as_the_card_says(void **state)
{
    (void)state;
    make_folder("dir");
    lp_safetensors_folder f;
    lp_gguf *g;
    ok(lp_safetensors_folder_open(test_path("dir"), &f));
    ok(lp_gguf_open(test_path("source.gguf"), &g));
    const char *const pairs[][2] = {{"model.layers.1.self_attn.q_proj.weight", "blk.1.attn_q.weight"},
                                    {"model.layers.1.self_attn.k_proj.weight", "blk.1.attn_k.weight"}};
    for (int p = 0; p < 2; p++) {
        const lp_safetensor *hf = lp_safetensors_folder_find(&f, pairs[p][0]);
        const lp_tensor *t = lp_gguf_find_tensor(g, pairs[p][1]);
        int64_t heads = p ? 2 : 4, d = 8, differ = 0;
        size_t row = 2 * 32;
        for (int64_t h = 0; h < heads; h++)
            for (int64_t half = 0; half < 2; half++)
                for (int64_t i = 0; i < d / 2; i++) {
                    const uint8_t *from = hf->data + (size_t)(h * d + half * (d / 2) + i) * row;
                    assert_memory_equal(from, t->data + (size_t)(h * d + 2 * i + half) * row, row);
                    differ += memcmp(from, t->data + (size_t)(h * d + half * (d / 2) + i) * row, row) != 0;
                }
        assert_true(differ > 0);
    }
    const lp_safetensor *v = lp_safetensors_folder_find(&f, "model.layers.1.self_attn.v_proj.weight");
    assert_memory_equal(v->data, lp_gguf_find_tensor(g, "blk.1.attn_v.weight")->data, v->n_bytes);
    lp_gguf_close(g);
    lp_safetensors_folder_close(&f);
}

/* ---- config.json ------------------------------------------------------------------------------------------------- */

static void llama3_scaling_becomes_the_cards_factors(void **state)
{
    (void)state;
    static const char config[] =
        "{\"architectures\":[\"LlamaForCausalLM\"],\"hidden_size\":4096,\"intermediate_size\":14336,\"num_hidden_layers\":32,"
        "\"num_attention_heads\":32,\"num_key_value_heads\":8,\"max_position_embeddings\":131072,\"rms_norm_eps\":1e-05,"
        "\"vocab_size\":128256,\"rope_theta\":500000.0,\"rope_scaling\":{\"factor\":8.0,\"high_freq_factor\":4.0,"
        "\"low_freq_factor\":1.0,\"original_max_position_embeddings\":8192,\"rope_type\":\"llama3\"}}";
    static const float card[] = {1, 1.207484f, 1.553415f, 2.026313f, 2.694530f, 3.684253f, 5.257327f, 8};
    write_whole(test_path("config.json"), config, strlen(config));
    char folder[200];
    snprintf(folder, sizeof folder, "%s", test_path(""));
    lp_hf_file file;
    const lp_hf_architecture *architecture;
    lp_gguf_writer *writer;
    lp_arena arena = {0};
    lp_hf_shape s = {0};
    ok(lp_hf_file_open(folder, "config.json", true, &file));
    ok(lp_hf_find_architecture(file.path, file.json.node, &architecture));
    ok(lp_gguf_writer_create_dry(&writer));
    ok(lp_hf_read_config(&file, architecture, writer, &arena, &s));
    assert_int_equal(s.head_size, 128);
    for (int i = 0; i < 28; i++) assert_true(s.factors[0].value[i] == 1);
    for (int i = 28; i < 64; i++) {
        float want = card[i < 36 ? i - 28 : 7];
        assert_true(s.factors[0].value[i] > want * 0.999999f && s.factors[0].value[i] < want * 1.000001f);
    }
    lp_gguf_writer_abort(writer);
    lp_hf_file_close(&file);
    lp_arena_free(&arena);
}

typedef struct refusal {
    const char *what, *file, *from, *to;
    lp_status status;
    const char *reason;
} refusal;

static const refusal refusals[] = {
    {"an unknown architecture is refused with the list", "config.json", "LlamaForCausalLM", "BertModel", LP_UNSUPPORTED, "'BertModel'"},
    {"an unknown activation is refused", "config.json", "silu", "gelu", LP_UNSUPPORTED, "'gelu' is not built"},
    {"a missing size is refused", "config.json", "num_hidden_layers", "num_layers", LP_INPUT, "num_hidden_layers: missing"},
    {"a size of 0 is refused", "config.json", "\"hidden_size\": 32", "\"hidden_size\": 0", LP_INPUT, "hidden_size"},
    {"a fractional size is refused", "config.json", "\"hidden_size\": 32", "\"hidden_size\": 3.2", LP_INPUT, "hidden_size"},
    {"heads that do not fit the rows are refused", "config.json", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4", LP_INPUT, "k_proj"},
    {"fewer layers than tensors are refused", "config.json", "\"num_hidden_layers\": 2", "\"num_hidden_layers\": 1", LP_INPUT, "the model has 1 layers"},
    {"another vocabulary size is refused", "config.json", "\"vocab_size\": 40", "\"vocab_size\": 41", LP_INPUT, "embed_tokens"},
    {"quantized folders are refused", "config.json", "{", "{\"quantization_config\": {},", LP_UNSUPPORTED, "quantization_config"},
    {"an unknown scaling is refused by name", "config.json", "{", "{\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0},", LP_UNSUPPORTED, "'dynamic'"},
    {"a tied head that differs is refused", "config.json", "\"tie_word_embeddings\": false", "\"tie_word_embeddings\": true", LP_INPUT, "lm_head"},
    {"a broken config is refused with the byte", "config.json", "{", "[", LP_INPUT, "byte"},
    {"an unknown tensor is refused by name", "model.safetensors", "mlp.up_proj", "mlp.xp_proj", LP_UNSUPPORTED, "mlp.xp_proj"},
    {"an integer dtype is refused", "model.safetensors", "\"dtype\":\"F16\"", "\"dtype\":\"I16\"", LP_UNSUPPORTED, "I16"},
    {"an unknown tokenizer model is refused by name", "tokenizer.json", "\"BPE\"", "\"WordLevel\"", LP_UNSUPPORTED, "'WordLevel'"},
    {"Unigram without its pre-tokenizer is refused by name", "tokenizer.json", "\"BPE\"", "\"Unigram\"", LP_UNSUPPORTED, "pre_tokenizer: 'ByteLevel'"},
    {"WordPiece without its normalizer is refused by name", "tokenizer.json", "\"BPE\"", "\"WordPiece\"", LP_UNSUPPORTED, "known here: BertNormalizer"},
    {"byte fallback behind byte characters is refused", "tokenizer.json", "\"byte_fallback\": false", "\"byte_fallback\": true", LP_UNSUPPORTED, "pre_tokenizer: 'ByteLevel'"},
    {"a prefix space is refused", "tokenizer.json", "\"add_prefix_space\": false", "\"add_prefix_space\": true", LP_UNSUPPORTED, "pre_tokenizer"},
    {"an unknown pre-tokenizer is refused by name", "tokenizer.json", "{\"type\": \"ByteLevel\"", "{\"type\": \"Metaspace\"", LP_UNSUPPORTED, "'Metaspace'"},
    {"an unknown pattern is refused and printed", "tokenizer.json", "\"pre_tokenizer\": {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true}",
     "\"pre_tokenizer\": {\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"a+\"}, \"behavior\": \"Isolated\", \"invert\": false}, {\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}", LP_UNSUPPORTED, "pattern a+"},
    {"ignore_merges with another pattern is refused", "tokenizer.json", "\"ignore_merges\": false", "\"ignore_merges\": true", LP_UNSUPPORTED, "pre_tokenizer"},
    {"an unknown normalizer is refused by name", "tokenizer.json", "\"normalizer\": null", "\"normalizer\": {\"type\": \"Lowercase\"}", LP_UNSUPPORTED, "'Lowercase'"},
    {"dropout is refused", "tokenizer.json", "\"dropout\": null", "\"dropout\": 0.1", LP_UNSUPPORTED, "dropout"},
    {"a duplicate id is refused", "tokenizer.json", "\"b\": 1", "\"b\": 0", LP_INPUT, "another token has the id 0"},
    {"an id beyond the embedding is refused", "tokenizer.json", "\"b\": 1", "\"b\": 40", LP_INPUT, "its id is none of 0 to 39"},
    {"a gap in the ids is refused", "tokenizer.json", "\"b\": 1,", "", LP_INPUT, "no token has the id 1"},
    {"a duplicate token is refused", "tokenizer.json", "\"b\": 1", "\"a\": 1", LP_INPUT, "duplicate"},
    {"another version is refused", "tokenizer.json", "\"1.0\"", "\"2.0\"", LP_UNSUPPORTED, "version"},
};

static void refusal_holds(void **state)
{
    const refusal *r = *state;
    make_folder("bad");
    replace(in_folder("bad", r->file), r->from, r->to);
    lp_gguf *g = (lp_gguf *)1;
    refused(lp_container_open(test_path("bad"), &g), r->status, r->reason);
    assert_null(g);
}

static void what_a_folder_cannot_hold_is_refused_by_name(void **state)
{
    (void)state;
    lp_convert_result r;
    write_gguf(test_path("q.gguf"), "q8_0");
    refused(lp_convert(test_path("q.gguf"), test_path("none"), &(lp_convert_options){0}, NULL, &r), LP_UNSUPPORTED, "q8_0");
    assert_int_not_equal(access(test_path("none"), F_OK), 0);
    refused(lp_convert(test_path("absent"), test_path("none"), &(lp_convert_options){0}, NULL, &r), LP_INPUT, "absent");
    make_folder("kept");
    refused(lp_convert(test_path("source.gguf"), test_path("kept"), &(lp_convert_options){0}, NULL, &r), LP_USAGE, "exists");
}

static void known_pre_tokenizers_come_back_under_their_names(void **state)
{
    (void)state;
    for (int i = 0; i < lp_hf_split_count(); i++) {
        write_gguf(test_path("pre.gguf"), "f16");
        char text[80];
        snprintf(text, sizeof text, "%s", lp_hf_splits[i].pre);
        bool in_place;
        lp_key_change c = {"tokenizer.ggml.pre", NULL, text};
        ok(lp_gguf_edit(test_path("pre.gguf"), &c, 1, true, false, &in_place));
        convert(test_path("pre.gguf"), test_path("pre"));
        lp_gguf *g;
        lp_string pre;
        ok(lp_container_open(test_path("pre"), &g));
        ok(lp_gguf_get_string(g, "tokenizer.ggml.pre", true, &pre));
        assert_int_equal(pre.n, strlen(text));
        assert_memory_equal(pre.data, text, pre.n);
        lp_gguf_close(g);
    }
}

static void flags_of_special_tokens_come_back(void **state)
{
    (void)state;
    make_folder("flag");
    replace(in_folder("flag", "tokenizer.json"), "\"added_tokens\": [\n  ]",
            "\"added_tokens\": [{\"id\": 1, \"content\": \"b\", \"lstrip\": true, \"rstrip\": false, \"single_word\": true, \"normalized\": false, \"special\": true}]");
    convert(test_path("flag"), test_path("flag.gguf"));
    convert(test_path("flag.gguf"), test_path("back"));
    size_t n;
    char *text = read_whole(in_folder("back", "tokenizer.json"), &n);
    assert_non_null(strstr(text, "\"content\": \"b\", \"single_word\": true, \"lstrip\": true, \"rstrip\": false"));
    free(text);
}

/* ---- shards ------------------------------------------------------------------------------------------------------ */

static void a_split_that_fails_leaves_no_part_behind(void **state)
{
    (void)state;
    lp_convert_result r;
    write_gguf(test_path("w.gguf"), "f16");
    write_whole(test_path("p-00003-of-00003.gguf"), "mine", 4);
    refused(lp_convert(test_path("w.gguf"), test_path("p.gguf"), &(lp_convert_options){.shard_bytes = 16000}, NULL, &r), LP_USAGE, "exists");
    assert_int_not_equal(access(test_path("p-00001-of-00003.gguf"), F_OK), 0);
    assert_int_not_equal(access(test_path("p-00002-of-00003.gguf"), F_OK), 0);
    assert_int_equal(access(test_path("p-00003-of-00003.gguf"), F_OK), 0);
}

static void split_files_are_joined_to_the_same_model(void **state)
{
    (void)state;
    lp_convert_result r;
    lp_gguf *g;
    write_gguf(test_path("w.gguf"), "f16");
    ok(lp_convert(test_path("w.gguf"), test_path("s.gguf"), &(lp_convert_options){.force = true, .shard_bytes = 16000}, NULL, &r));
    assert_int_equal(r.n_files, 3);
    convert(test_path("s-00001-of-00003.gguf"), test_path("joined.gguf"));
    same_file(test_path("w.gguf"), test_path("joined.gguf"));
    refused(lp_container_open(test_path("s-00002-of-00003.gguf"), &g), LP_INPUT, "file 2 of 3");
    assert_int_equal(rename(test_path("s-00003-of-00003.gguf"), test_path("hidden")), 0);
    refused(lp_container_open(test_path("s-00001-of-00003.gguf"), &g), LP_INPUT, "s-00003-of-00003.gguf: cannot open");
    size_t n;
    char *second = read_whole(test_path("s-00002-of-00003.gguf"), &n);
    write_whole(test_path("s-00003-of-00003.gguf"), second, n);
    free(second);
    refused(lp_container_open(test_path("s-00001-of-00003.gguf"), &g), LP_INPUT, "split.no");
    assert_int_equal(rename(test_path("s-00001-of-00003.gguf"), test_path("t.gguf")), 0);
    refused(lp_container_open(test_path("t.gguf"), &g), LP_INPUT, "its name does not end");
}

/* ---- edit -------------------------------------------------------------------------------------------------------- */

static lp_status edit(const char *key, const char *type, const char *value, bool force, bool *in_place)
{
    lp_key_change c = {key, type, value};
    return lp_gguf_edit(test_path("e.gguf"), &c, 1, force, false, in_place);
}

static void edits_in_place_change_nothing_else(void **state)
{
    (void)state;
    bool in_place;
    write_gguf(test_path("e.gguf"), "f16");
    size_t n, m, differ = 0;
    char *before = read_whole(test_path("e.gguf"), &n);
    ok(edit("llama.context_length", NULL, "128", true, &in_place));
    assert_true(in_place);
    char *after = read_whole(test_path("e.gguf"), &m);
    assert_int_equal(n, m);
    for (size_t i = 0; i < n; i++) differ += before[i] != after[i];
    assert_int_equal(differ, 1); /* 64 to 128 */
    free(before);
    free(after);
    ok(edit("general.note", "string", "hello", false, &in_place));
    assert_false(in_place);
    ok(edit("general.note", NULL, "HELLO", false, &in_place));
    assert_true(in_place);
    ok(edit("general.note", NULL, NULL, false, &in_place));
    ok(edit("llama.context_length", NULL, "64", true, &in_place));
    write_gguf(test_path("fresh.gguf"), "f16");
    same_file(test_path("e.gguf"), test_path("fresh.gguf"));
}

static void edits_that_are_wrong_are_refused(void **state)
{
    (void)state;
    bool in_place;
    write_gguf(test_path("e.gguf"), "f16");
    refused(edit("llama.context_length", NULL, "128", false, &in_place), LP_USAGE, "unusable");
    refused(edit("llama.context_length", NULL, "4294967296", true, &in_place), LP_USAGE, "is no u32");
    refused(edit("llama.context_length", NULL, "-1", true, &in_place), LP_USAGE, "is no u32");
    refused(edit("llama.context_length", NULL, "12x", true, &in_place), LP_USAGE, "is no u32");
    refused(edit("llama.context_length", NULL, "", true, &in_place), LP_USAGE, "is no u32");
    refused(edit("llama.context_length", "f32", "1", true, &in_place), LP_USAGE, "has type u32");
    refused(edit("llama.attention.layer_norm_rms_epsilon", NULL, "nan", true, &in_place), LP_USAGE, "finite");
    refused(edit("tokenizer.ggml.tokens", NULL, "a", true, &in_place), LP_USAGE, "arrays");
    refused(edit("no.such", NULL, "a", false, &in_place), LP_USAGE, "no such key");
    refused(edit("no.such", NULL, NULL, false, &in_place), LP_USAGE, "no such key");
    refused(edit("no.such", "q9", "a", false, &in_place), LP_USAGE, "no type");
    refused(edit("no.such", "string", "\xff", false, &in_place), LP_USAGE, "UTF-8");
    refused(edit("general.alignment", "u32", "24", true, &in_place), LP_USAGE, "power of two");
    write_gguf(test_path("fresh.gguf"), "f16");
    same_file(test_path("e.gguf"), test_path("fresh.gguf"));
}

int main(void)
{
    static const struct CMUnitTest fixed[] = {
        cmocka_unit_test(gguf_to_folder_to_gguf_keeps_every_byte_of_the_tensors),
        cmocka_unit_test(folder_to_gguf_to_folder_is_the_same_file_even_with_narrow_norms),
        cmocka_unit_test(a_folder_in_memory_is_the_file_that_converting_writes),
        cmocka_unit_test(what_a_file_tells_about_a_model_survives_a_folder),
        cmocka_unit_test(rows_of_q_and_k_move_as_the_card_says),
        cmocka_unit_test(llama3_scaling_becomes_the_cards_factors),
        cmocka_unit_test(what_a_folder_cannot_hold_is_refused_by_name),
        cmocka_unit_test(flags_of_special_tokens_come_back),
        cmocka_unit_test(known_pre_tokenizers_come_back_under_their_names),
        cmocka_unit_test(a_split_that_fails_leaves_no_part_behind),
        cmocka_unit_test(split_files_are_joined_to_the_same_model),
        cmocka_unit_test(edits_in_place_change_nothing_else),
        cmocka_unit_test(edits_that_are_wrong_are_refused),
    };
    enum { N_FIXED = sizeof fixed / sizeof *fixed, N = sizeof refusals / sizeof *refusals };
    static struct CMUnitTest tests[N_FIXED + N];
    memcpy(tests, fixed, sizeof fixed);
    for (size_t i = 0; i < N; i++)
        tests[N_FIXED + i] = (struct CMUnitTest){refusals[i].what, refusal_holds, NULL, NULL, (void *)(uintptr_t)&refusals[i]};
    return cmocka_run_group_tests_name("convert", tests, NULL, NULL);
}
