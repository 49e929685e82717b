/* The table of scenarios. CALL(f) is f, and notes that it was called: a test compares with the public headers. */
#include "scenarios.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/fail.h"
#include "inject.h"
#include "model/hf/hf.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode_forms.h"
#include "support/architecture_file.h"
#include "support/llama_file.h"
#include "support/vocabulary_file.h"

enum { MAX_CALLED = 512 };
static const char *called[MAX_CALLED];
static int n_called;

bool scenarios_called(const char *function)
{
    for (int i = 0; i < n_called; i++)
        if (strcmp(called[i], function) == 0) return true;
    return false;
}

static void note(const char *function)
{
    if (scenarios_called(function)) return;
    if (n_called == MAX_CALLED) abort();
    called[n_called++] = function;
}

#define CALL(f) (note(#f), f)

/* The next step of a chain that stops at the first failure. */
#define THEN(status, expression)                  \
    do {                                          \
        if ((status) == LP_OK) (status) = (expression); \
    } while (0)

#define ADD_VALUE(result, expression)             \
    do {                                          \
        __typeof__(expression) value_ = (expression); \
        lp_sha256_add(result, &value_, sizeof value_); \
    } while (0)

static void add_text(lp_sha256 *result, const char *s) { lp_sha256_add(result, s, strlen(s)); }

/* ---- files -------------------------------------------------------------------------------------------------------- */

static char small[200], quantized[200], folder[200], stats_path[200], legacy[200], edited[200], text_path[200], out_path[200],
    table_path[200], report_path[200], link_path[200], fresh_path[200], legacy_out[200], spm_path[200], bert_path[200],
    unigram_path[200], merges_path[200];

/* The small vocabulary has letters alone. */
bool scenarios_edits_are_whole = true;

static const char text[] = "thequickbrownfoxjumpsoverthelazydogandthelazydogsleepsforallofthelongandquietafternoonwhilethequickbrown";

static const llama_shape shape = {.n_vocab = 40, .n_embd = 32, .n_layer = 2, .n_head = 4, .n_head_kv = 2, .head_size = 8,
                                  .n_ffn = 64, .n_context = 64, .epsilon = 1e-5f, .tied = false};

static const char chat_template[] =
    "{% set ns = namespace(n=0) %}{% macro show(m, tail='') %}<{{ m.role }}>{{ m.content|trim }}{{ tail }}{% endmacro %}"
    "{% for m in messages if m.role != 'none' %}{% set ns.n = ns.n + 1 %}{{ show(m, tail='\\n') }}{{ {'n': [ns.n, 1.5]}|tojson(indent=2) }}"
    "{{ m.content.split(' ')|join('-')|upper }}{% endfor %}{{ messages|map(attribute='role')|list }}"
    "{{ extra.list|sort|unique|list }}{% if add_generation_prompt %}{{ strftime_now('%Y %b') }}{% endif %}";

/* Files of other architectures and their folders: experts, norms of 1 + w, lists of factors. */
static const char *const others[] = {"qwen2moe", "gemma2", "phi3", "stablelm2"};
enum { N_OTHERS = sizeof others / sizeof *others };
static char other_file[N_OTHERS][200], other_folder[N_OTHERS][200];

/* A variable-length GGUF image for reading from memory. */
static char *image;
static size_t n_image;

static void ok(lp_status s)
{
    if (s != LP_OK) fail_msg("%s: %s", lp_status_name(s), lp_error());
}

static float coarse(void *context, const char *name, int64_t i)
{
    float w = lcg_weight(context, name, i);
    return (float)(int)(w * 64) / 64;
}

void scenarios_prepare(void)
{
    static const struct {
        char *path;
        const char *name;
    } paths[] = {{small, "small.gguf"}, {quantized, "quantized.gguf"}, {folder, "folder"}, {stats_path, "stats.gguf"},
                 {legacy, "stats.dat"}, {edited, "edited.gguf"}, {text_path, "text.txt"}, {out_path, "out"}, {table_path, "sensitivities.json"}, {report_path, "report.html"}, {link_path, "link.gguf"},
                 {fresh_path, SCENARIOS_FRESH}, {legacy_out, "out.dat"}, {spm_path, "spm.gguf"},
                 {bert_path, "bert.gguf"}, {unigram_path, "unigram.gguf"},
                 {merges_path, "merges.gguf"}};
    for (size_t i = 0; i < sizeof paths / sizeof *paths; i++) snprintf(paths[i].path, 200, "%s", test_path(paths[i].name));
    uint32_t state = 12345;
    llama_write(small, &shape, lp_packing_by_name("f16"), coarse, &state, NULL);
    lp_model *model;
    lp_stats *stats;
    lp_convert_result converted;
    ok(lp_convert(small, folder, &(lp_convert_options){.force = true}, NULL, &converted));
    setenv("TMPDIR", test_path(""), 1); /* so that what a temporary file leaves behind is seen */
    for (int i = 0; i < N_OTHERS; i++) {
        char name[40];
        snprintf(name, sizeof name, "%s.gguf", others[i]);
        snprintf(other_file[i], 200, "%s", test_path(name));
        snprintf(other_folder[i], 200, "%s", test_path(others[i]));
        architecture_write(other_file[i], card_shape(others[i]), NULL, 1);
        ok(lp_convert(other_file[i], other_folder[i], &(lp_convert_options){.force = true}, NULL, &converted));
    }
    ok(lp_model_open(small, &model));
    ok(lp_calibrate(model, text, strlen(text), &(lp_calibrate_options){.n_context = 16, .n_windows = 2, .text_name = "fox"}, NULL,
                    &stats));
    ok(lp_stats_write(stats, stats_path, true));
    ok(lp_stats_write_legacy(stats, legacy, true));
    lp_stats_free(stats);
    lp_quantize_result result;
    ok(lp_quantize(lp_model_gguf(model), quantized, &(lp_quantize_options){.packing = lp_packing_by_name("q8_0"), .force = true},
                   NULL, &result));
    lp_quantize_result_free(&result);
    lp_model_close(model);
    FILE *f = fopen(text_path, "wb");
    assert_int_equal(fwrite(text, 1, strlen(text), f), strlen(text));
    fclose(f);
    vocabulary_file spm = VOCABULARY_SPM, bert = VOCABULARY_BERT;
    spm.name = "Phi-3 mini"; /* whose special tokens take spaces along */
    vocabulary_write(spm_path, &spm);
    vocabulary_write(bert_path, &bert);
    static uint32_t table[1 + 0x200 + 1] = {4 * 0x200}; /* A becomes a */
    static const char key[] = "tokenizer.ggml.precompiled_charsmap";
    table[1] = 0x80u << 10;
    table[1 + (0x80 ^ 'A')] = 'A' | 0x100u | 0x100u << 10;
    table[1 + (0x80 ^ 'A' ^ 0x100)] = 0x80000000u;
    memcpy(&table[1 + 0x200], "a", 2);
    vocabulary_file unigram = VOCABULARY_SPM;
    unigram.model = "t5";
    unigram.yes = "tokenizer.ggml.remove_extra_whitespaces";
    unigram.extra = (lp_gguf_key){{key, sizeof key - 1}, LP_GGUF_ARRAY, LP_GGUF_U8, sizeof table - 2, (const uint8_t *)table, sizeof table - 2};
    static char long_token[3001]; /* so that the tree of pieces grows */
    static const char *long_tokens[19];
    memset(long_token, 'z', sizeof long_token - 1);
    memcpy(long_tokens, spm_tokens, sizeof long_tokens);
    long_tokens[15] = long_token;
    unigram.tokens = long_tokens;
    vocabulary_write(unigram_path, &unigram);
    static const char *const merges[] = {"h e", "\xe2\x96\x81 t"};
    vocabulary_file merged = VOCABULARY_SPM;
    merged.merges = merges;
    merged.n_merges = 2;
    merged.yes = LP_KEY_BY_MERGES;
    vocabulary_write(merges_path, &merged);
    ok(lp_text_read(small, &image, &n_image));
    char command[500];
    snprintf(command, sizeof command, "ln -s out.gguf '%s'", link_path);
    assert_int_equal(system(command), 0);
}

/* Adds the bytes of a file that a scenario wrote; unlike the library it does not fail. */
static void add_file(lp_sha256 *result, const char *path)
{
    char buffer[4096];
    inject_pause(true);
    FILE *f = fopen(path, "rb");
    if (!f) abort();
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, f)) > 0;) lp_sha256_add(result, buffer, n);
    fclose(f);
    inject_pause(false);
}

/* ---- GGUF --------------------------------------------------------------------------------------------------------- */

static lp_status read_gguf(lp_sha256 *result)
{
    lp_gguf *g, *m;
    lp_status s = CALL(lp_gguf_open)(small, &g);
    if (s != LP_OK) return s;
    add_text(result, CALL(lp_gguf_path)(g));
    ADD_VALUE(result, CALL(lp_gguf_version)(g));
    ADD_VALUE(result, CALL(lp_gguf_size)(g));
    for (int64_t i = 0; i < CALL(lp_gguf_key_count)(g); i++) {
        const lp_gguf_key *k = CALL(lp_gguf_key_at)(g, i);
        lp_sha256_add(result, k->raw, k->n_raw);
    }
    for (int64_t i = 0; i < CALL(lp_gguf_tensor_count)(g); i++) {
        const lp_tensor *t = CALL(lp_gguf_tensor_at)(g, i);
        float row[64];
        if (CALL(lp_gguf_find_tensor)(g, t->name) != t) s = LP_CHECK;
        CALL(lp_tensor_decode_row)(t, CALL(lp_tensor_rows)(t) - 1, row);
        lp_sha256_add(result, row, (size_t)t->dim[0] * 4);
        ADD_VALUE(result, CALL(lp_tensor_values)(t));
    }
    int64_t n = 0;
    double d = 0;
    bool flag = true;
    lp_string name = {0}, tokens[64];
    THEN(s, CALL(lp_gguf_get_i64)(g, "llama.block_count", true, &n));
    THEN(s, CALL(lp_gguf_get_f64)(g, "llama.attention.layer_norm_rms_epsilon", true, &d));
    THEN(s, CALL(lp_gguf_get_bool)(g, "absent", false, &flag));
    THEN(s, CALL(lp_gguf_get_string)(g, "general.architecture", true, &name));
    THEN(s, CALL(lp_gguf_get_architecture)(g, true, &name));
    const lp_gguf_key *list = CALL(lp_gguf_find)(g, "tokenizer.ggml.tokens");
    THEN(s, CALL(lp_gguf_strings)(list, tokens));
    THEN(s, CALL(lp_gguf_array_i64)(CALL(lp_gguf_find)(g, "tokenizer.ggml.token_type"), 1, &n));
    double none;
    if (CALL(lp_gguf_array_f64)(list, 0, &none) == LP_OK) s = LP_CHECK;
    CALL(lp_gguf_drop_pages)(g, CALL(lp_gguf_tensor_at)(g, 0), 0, 1);
    THEN(s, CALL(lp_gguf_check_intact)(g));
    if (CALL(lp_gguf_warning)(g, 0)) s = LP_CHECK;
    ADD_VALUE(result, n);
    ADD_VALUE(result, d);
    CALL(lp_gguf_close)(g);
    THEN(s, CALL(lp_gguf_open_memory)(image, n_image, "memory", &m));
    if (s == LP_OK) lp_gguf_close(m);
    return s;
}

static lp_status write_gguf(lp_sha256 *result)
{
    lp_gguf *g;
    lp_gguf_writer *w = NULL;
    const lp_packing *f32 = CALL(lp_packing_by_name)("f32");
    const lp_string strings[] = {{"one", 3}, {"two", 3}};
    const int32_t ints[] = {1, -2, 3};
    const float values[] = {1, 2, 3, 4};
    char sha256[65] = "";
    lp_status s = CALL(lp_gguf_open)(small, &g);
    if (s != LP_OK) return s;
    THEN(s, CALL(lp_gguf_writer_create)(out_path, true, &w));
    for (int64_t i = 0; i < lp_gguf_key_count(g); i++) THEN(s, CALL(lp_gguf_writer_copy_key)(w, lp_gguf_key_at(g, i)));
    THEN(s, CALL(lp_gguf_writer_set_u16)(w, "a.u16", 1));
    THEN(s, CALL(lp_gguf_writer_set_i32)(w, "a.i32", -1));
    THEN(s, CALL(lp_gguf_writer_set_u32)(w, "a.u32", 1));
    THEN(s, CALL(lp_gguf_writer_set_u64)(w, "a.u64", 1));
    THEN(s, CALL(lp_gguf_writer_set_f32)(w, "a.f32", 1));
    THEN(s, CALL(lp_gguf_writer_set_bool)(w, "a.bool", true));
    THEN(s, CALL(lp_gguf_writer_set_string)(w, "a.string", "text"));
    THEN(s, CALL(lp_gguf_writer_set_strings)(w, "a.strings", strings, 2));
    THEN(s, CALL(lp_gguf_writer_set_i32s)(w, "a.i32s", ints, 3));
    static const float two_floats[2] = {0.5f, -1};
    THEN(s, CALL(lp_gguf_writer_set_f32s)(w, "test.f32s", two_floats, 2));
    THEN(s, CALL(lp_gguf_writer_set_u8s)(w, "test.u8s", (const uint8_t *)"abc", 3));
    THEN(s, CALL(lp_gguf_writer_add_tensor)(w, "t", 1, (int64_t[]){4}, f32));
    if (s == LP_OK) ADD_VALUE(result, CALL(lp_gguf_writer_size)(w));
    THEN(s, CALL(lp_gguf_writer_begin_data)(w));
    THEN(s, CALL(lp_gguf_writer_write)(w, values, sizeof values));
    if (s == LP_OK) s = CALL(lp_gguf_writer_finish)(w, sha256);
    else CALL(lp_gguf_writer_abort)(w);
    lp_gguf_close(g);
    add_text(result, sha256);
    if (s == LP_OK) add_file(result, out_path);
    return s;
}

/* A file that was not there before: the other way of renaming. */
static lp_status write_new_gguf(lp_sha256 *result)
{
    lp_gguf_writer *w;
    remove(fresh_path);
    lp_status s = lp_gguf_writer_create(fresh_path, false, &w);
    if (s != LP_OK) return s;
    s = lp_gguf_writer_set_u32(w, "a", 1);
    THEN(s, lp_gguf_writer_begin_data(w));
    if (s == LP_OK) s = lp_gguf_writer_finish(w, NULL);
    else lp_gguf_writer_abort(w);
    if (s == LP_OK) add_file(result, fresh_path);
    return s;
}

static lp_status abandon_gguf(lp_sha256 *result)
{
    lp_gguf_writer *w;
    lp_status s = lp_gguf_writer_create(link_path, true, &w);
    if (s != LP_OK) return s;
    THEN(s, lp_gguf_writer_set_u32(w, "a", 1));
    THEN(s, lp_gguf_writer_begin_data(w));
    lp_gguf_writer_abort(w);
    ADD_VALUE(result, s);
    return s;
}

/* ---- containers --------------------------------------------------------------------------------------------------- */

static lp_status convert(const char *from, const char *to, uint64_t shard_bytes, lp_sha256 *result)
{
    lp_convert_result r;
    lp_status s = CALL(lp_convert)(from, to, &(lp_convert_options){.force = true, .shard_bytes = shard_bytes}, NULL, &r);
    if (s == LP_OK) ADD_VALUE(result, r.n_bytes);
    return s;
}

static lp_status folder_to_gguf(lp_sha256 *result)
{
    char path[220];
    snprintf(path, sizeof path, "%s.gguf", out_path);
    lp_status s = convert(folder, path, 0, result);
    if (s == LP_OK) add_file(result, path);
    return s;
}

static lp_status to_folder(const char *from, lp_sha256 *result)
{
    char path[260], command[300];
    snprintf(path, sizeof path, "%s-folder", out_path);
    lp_status s = convert(from, path, 0, result);
    static const char *const names[] = {"model.safetensors", "config.json", "tokenizer.json", "tokenizer_config.json"};
    for (int i = 0; s == LP_OK && i < 4; i++) {
        snprintf(path, sizeof path, "%s-folder/%s", out_path, names[i]);
        add_file(result, path);
    }
    snprintf(command, sizeof command, "rm -rf '%s-folder'", out_path);
    if (s == LP_OK && system(command) != 0) s = LP_CHECK; /* so that the next run makes a new one */
    return s;
}

static lp_status gguf_to_folder(lp_sha256 *result) { return to_folder(small, result); }

static lp_status other_ggufs_to_folders(lp_sha256 *result)
{
    lp_status s = LP_OK;
    for (int i = 0; i < N_OTHERS; i++) THEN(s, to_folder(other_file[i], result));
    return s;
}

/* With what is copied in memory, and in a temporary file. */
static lp_status open_other_folders(size_t most_in_memory, lp_sha256 *result)
{
    lp_status s = LP_OK;
    for (int i = 0; i < N_OTHERS; i++) {
        lp_gguf *g = NULL;
        THEN(s, lp_hf_open_within(other_folder[i], most_in_memory, &g));
        for (int64_t t = 0; s == LP_OK && t < lp_gguf_tensor_count(g); t++) {
            const lp_tensor *tensor = lp_gguf_tensor_at(g, t);
            add_text(result, tensor->name);
            lp_sha256_add(result, tensor->data, tensor->n_bytes);
        }
        lp_gguf_close(g);
    }
    return s;
}

static lp_status other_folders_in_memory(lp_sha256 *result) { return open_other_folders(SIZE_MAX, result); }
static lp_status other_folders_in_a_file(lp_sha256 *result) { return open_other_folders(0, result); }

static lp_status split_and_join(lp_sha256 *result)
{
    char path[260];
    lp_gguf *g = NULL;
    snprintf(path, sizeof path, "%s-split.gguf", out_path);
    lp_status s = convert(small, path, 16384, result);
    snprintf(path, sizeof path, "%s-split-00001-of-00003.gguf", out_path);
    THEN(s, CALL(lp_container_open)(path, &g));
    if (s == LP_OK) ADD_VALUE(result, lp_gguf_tensor_count(g));
    lp_gguf_close(g);
    return s;
}

static lp_status edit(const lp_key_change *changes, size_t n, lp_sha256 *result)
{
    char *copy, command[500];
    size_t n_copy;
    bool in_place;
    snprintf(command, sizeof command, "cp '%s' '%s'", small, edited);
    if (system(command) != 0) return LP_CHECK;
    lp_status s = CALL(lp_gguf_edit)(edited, changes, n, true, false, &in_place);
    if (s != LP_OK) {
        if (strstr(lp_error(), "written, but its folder")) return s; /* the new file is in its place */
        snprintf(command, sizeof command, "cmp -s '%s' '%s'", small, edited);
        return system(command) == 0 || !scenarios_edits_are_whole ? s : lp_fail(LP_CHECK, "half of an edit was left: %s", lp_error());
    }
    ADD_VALUE(result, in_place);
    THEN(s, CALL(lp_text_read)(edited, &copy, &n_copy));
    if (s == LP_OK) {
        lp_sha256_add(result, copy, n_copy);
        free(copy);
    }
    return s;
}

static lp_status edit_in_place(lp_sha256 *result)
{
    return edit((lp_key_change[]){{"llama.context_length", NULL, "32"}, {"tokenizer.ggml.eos_token_id", NULL, "2"}}, 2, result);
}

static lp_status edit_again(lp_sha256 *result)
{
    return edit((lp_key_change[]){{"general.name", "string", "another name"}, {"tokenizer.ggml.eos_token_id", NULL, NULL}}, 2, result);
}

static lp_status read_text(lp_sha256 *result)
{
    char *bytes;
    size_t n;
    lp_status s = CALL(lp_text_read)(text_path, &bytes, &n);
    if (s != LP_OK) return s;
    lp_sha256_add(result, bytes, n);
    free(bytes);
    s = CALL(lp_text_read)("embedded", &bytes, &n);
    if (s != LP_OK) return s;
    ADD_VALUE(result, n);
    free(bytes);
    return s;
}

static void count_problem(void *context, const char *item, const char *problem)
{
    (void)item;
    (void)problem;
    ++*(int *)context;
}

static lp_status verify(lp_sha256 *result)
{
    int n_problems = 0;
    lp_status s = CALL(lp_verify)(quantized, NULL, NULL, count_problem, &n_problems);
    ADD_VALUE(result, n_problems);
    return s;
}

/* ---- models ------------------------------------------------------------------------------------------------------- */

static lp_status open_models(lp_sha256 *result)
{
    lp_model *m = NULL;
    const char *const paths[] = {small, folder};
    lp_status s = LP_OK;
    for (int i = 0; i < 2 && s == LP_OK; i++) {
        s = CALL(lp_model_open)(paths[i], &m);
        if (s != LP_OK) return s;
        ADD_VALUE(result, CALL(lp_model_get_info)(m)->n_parameters);
        ADD_VALUE(result, lp_gguf_tensor_count(CALL(lp_model_gguf)(m)));
        ADD_VALUE(result, lp_tokenizer_size(CALL(lp_model_tokenizer)(m)));
        CALL(lp_model_close)(m);
    }
    THEN(s, CALL(lp_model_open_memory)(image, n_image, "memory", &m));
    if (s == LP_OK) lp_model_close(m);
    return s;
}

static void observe(void *context, const char *weight, const float *rows, int64_t n, int64_t k)
{
    (void)weight;
    lp_sha256_add(context, rows, (size_t)(n * k) * 4);
}

static lp_status run_session(lp_sha256 *result)
{
    lp_model *m;
    lp_session *session = NULL;
    lp_sampler *sampler = NULL;
    lp_status s = lp_model_open(quantized, &m);
    if (s != LP_OK) return s;
    const lp_session_options options = {.n_context = 32, .n_sequences = 2, .n_batch = 8};
    uint64_t n_bytes = CALL(lp_session_memory)(m, &options);
    if (n_bytes == 0) s = LP_RESOURCE; /* it has no status of its own */
    ADD_VALUE(result, n_bytes);
    THEN(s, CALL(lp_session_create)(m, &options, NULL, &session));
    lp_sampler_options o = CALL(lp_sampler_defaults)();
    o.typical_p = 0.9;
    o.repeat_penalty = 1.1;
    THEN(s, CALL(lp_sampler_create)(&o, 40, &sampler));
    if (s == LP_OK) {
        const float *logits;
        int32_t token = 0;
        CALL(lp_session_observe)(session, observe, result);
        const lp_batch batch = {.n_tokens = 3, .token = (int32_t[]){1, 2, 3}, .position = (int32_t[]){0, 1, 2}};
        THEN(s, CALL(lp_session_forward)(session, &batch, &logits));
        if (s == LP_OK) lp_sha256_add(result, logits, 3 * 40 * 4);
        for (int i = 0; i < 4; i++) {
            THEN(s, CALL(lp_sampler_draw)(sampler, logits, &token));
            CALL(lp_sampler_accept)(sampler, token);
            ADD_VALUE(result, token);
        }
        const int32_t *ids;
        const float *p;
        ADD_VALUE(result, CALL(lp_sampler_candidates)(sampler, &ids, &p));
        THEN(s, CALL(lp_session_truncate)(session, 0, 1));
        ADD_VALUE(result, CALL(lp_session_length)(session, 0));
        ADD_VALUE(result, CALL(lp_session_batch_size)(session));
        if (CALL(lp_session_model)(session) != m) s = LP_CHECK;
    }
    CALL(lp_sampler_free)(sampler);
    CALL(lp_session_close)(session);
    lp_model_close(m);
    return s;
}

static lp_status tokenize(lp_sha256 *result)
{
    lp_gguf *g;
    lp_tokenizer *t = NULL, *u = NULL;
    int32_t *ids = NULL;
    size_t n_ids = 0, n = 0;
    char *bytes = NULL, shown[16];
    lp_status s = lp_container_open("embedded", &g);
    if (s != LP_OK) return s;
    THEN(s, CALL(lp_tokenizer_create)(g, &t));
    THEN(s, CALL(lp_tokenizer_create)(g, &u));
    THEN(s, CALL(lp_tokenizer_encode)(t, text, strlen(text), true, true, &ids, &n_ids));
    THEN(s, CALL(lp_tokenizer_decode)(t, ids, n_ids, true, &bytes, &n));
    if (s == LP_OK) {
        lp_sha256_add(result, ids, n_ids * sizeof *ids);
        lp_sha256_add(result, bytes, n);
        ADD_VALUE(result, CALL(lp_tokenizer_bytes)(t, ids[0], true).n);
        ADD_VALUE(result, CALL(lp_tokenizer_token)(t, ids[0]).n);
        ADD_VALUE(result, CALL(lp_tokenizer_size)(t) + CALL(lp_tokenizer_bos)(t) + CALL(lp_tokenizer_eos)(t));
        ADD_VALUE(result, CALL(lp_tokenizer_adds_bos)(t) + CALL(lp_tokenizer_adds_eos)(t) + CALL(lp_tokenizer_ends_generation)(t, 0));
        if (!CALL(lp_tokenizer_equal)(t, u)) s = LP_CHECK;
        lp_utf8_stream stream = {{0}, 0};
        ADD_VALUE(result, CALL(lp_utf8_stream_push)(&stream, "\xc3\xa9", 2, shown));
    }
    free(ids);
    free(bytes);
    CALL(lp_tokenizer_free)(t);
    CALL(lp_tokenizer_free)(u);
    lp_gguf_close(g);
    return s;
}

/* The other kinds of tokenizer, and texts that make their memory grow. */
static lp_status tokenize_with(const char *path, lp_sha256 *result)
{
    static char words[3000];
    static const char odd[] = "the <s> the<|sys|> \t the \xff\xfe caf\xc3\xa9 \xe4\xb8\xad, quick";
    for (size_t i = 0; i + 1 < sizeof words; i++) words[i] = "thequickfoxs"[i % 12];
    lp_gguf *g;
    lp_tokenizer *t = NULL;
    int32_t *ids;
    size_t n;
    lp_status s = lp_gguf_open(path, &g);
    if (s != LP_OK) return s;
    s = lp_tokenizer_create(g, &t);
    const char *const texts[] = {words, path != small ? odd : "the", path != small ? "<|sys|>" : "the", ""};
    for (int k = 0; k < 4 && s == LP_OK; k++) {
        s = lp_tokenizer_encode(t, texts[k], strlen(texts[k]), true, true, &ids, &n);
        if (s != LP_OK) break;
        lp_sha256_add(result, ids, n * sizeof *ids);
        free(ids);
    }
    lp_tokenizer_free(t);
    lp_gguf_close(g);
    return s;
}

static lp_status tokenize_spm(lp_sha256 *result) { return tokenize_with(spm_path, result); }
static lp_status tokenize_merges(lp_sha256 *result) { return tokenize_with(merges_path, result); }
static lp_status tokenize_wordpiece(lp_sha256 *result) { return tokenize_with(bert_path, result); }
static lp_status tokenize_unigram(lp_sha256 *result) { return tokenize_with(unigram_path, result); }
static lp_status tokenize_bpe(lp_sha256 *result) { return tokenize_with(small, result); }

/* Normalization forms of a text with Hangul, marks in a row and what is composed. */
static lp_status normalize_texts(lp_sha256 *result)
{
    static char marks[3 * 400];
    for (size_t i = 0; i + 2 < sizeof marks; i += 2) memcpy(marks + i, i % 4 ? "\xcc\x81" : "\xcc\xa3", 2);
    static const char hangul[] = "\xea\xb0\x80\xea\xb0\x81\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8 e\xcc\x81 \xef\xac\x81";
    const char *const texts[] = {hangul, marks};
    for (int k = 0; k < 2; k++)
        for (lp_form form = LP_NFC; form <= LP_NFKD; form++) {
            lp_text_buffer out = {0};
            lp_status s = lp_normalize(form, (const uint8_t *)texts[k], strlen(texts[k]), &out);
            if (s == LP_OK) lp_sha256_add(result, out.data, out.n);
            free(out.data);
            if (s != LP_OK) return s;
        }
    return LP_OK;
}

static const lp_chat_message messages[] = {{"system", " be brief ", 10}, {"user", "what is this", 12}, {"none", "x", 1}};
static const char variables[] = "{\"extra\": {\"list\": [3, 1, 2, 1, \"\\u00e9\"]}, \"messages\": [{\"role\": \"user\", \"content\": \"a b c\"}]}";
static const char plain_variables[] = "{\"extra\": {\"list\": [3, 1, 2, 1]}}";

static lp_status render(lp_sha256 *result)
{
    lp_template *t;
    lp_rendering out;
    lp_status s = CALL(lp_template_parse)(chat_template, sizeof chat_template - 1, &t);
    if (s != LP_OK) return s;
    const lp_chat chat = {.message = messages, .n_messages = 3, .add_generation_prompt = true, .now = 1700000000,
                          .variables = plain_variables, .n_variables = sizeof plain_variables - 1};
    s = CALL(lp_template_render)(t, &chat, &out);
    if (s == LP_OK) {
        lp_sha256_add(result, out.text, out.n);
        ADD_VALUE(result, out.n_pieces);
        CALL(lp_rendering_free)(&out);
    }
    CALL(lp_template_free)(t);
    return s;
}

static lp_status encode_chat(lp_sha256 *result)
{
    lp_model *m;
    lp_template *t = NULL;
    int32_t *ids = NULL;
    size_t n_ids = 0;
    static const char source[] = "{{ bos_token }}{% for m in messages %}{{ m.role }} {{ m.content }} {{ extra.list|join('') }}{% endfor %}";
    const lp_chat chat = {.message = messages, .n_messages = 3, .variables = variables, .n_variables = sizeof variables - 1};
    lp_status s = lp_model_open("embedded", &m);
    if (s != LP_OK) return s;
    THEN(s, lp_template_parse(source, sizeof source - 1, &t));
    THEN(s, CALL(lp_chat_encode)(lp_model_tokenizer(m), t, &chat, &ids, &n_ids));
    lp_sha256_add(result, ids, n_ids * sizeof *ids);
    free(ids);
    lp_template_free(t);
    lp_model_close(m);
    return s;
}

/* ---- work --------------------------------------------------------------------------------------------------------- */

static lp_status calibrate(lp_sha256 *result)
{
    lp_model *m;
    lp_stats *stats = NULL;
    lp_status s = lp_model_open(small, &m);
    if (s != LP_OK) return s;
    const lp_calibrate_options options = {.n_context = 16, .n_windows = 2, .text_name = "fox"};
    THEN(s, CALL(lp_calibrate)(m, text, strlen(text), &options, NULL, &stats));
    THEN(s, CALL(lp_stats_write)(stats, out_path, true));
    if (s == LP_OK) add_file(result, out_path);
    CALL(lp_stats_free)(stats);
    lp_model_close(m);
    return s;
}

static lp_status statistics(lp_sha256 *result)
{
    const char *const paths[] = {stats_path, legacy};
    char *bytes = NULL;
    size_t n_bytes;
    lp_stats *stats = NULL;
    lp_status s = LP_OK;
    for (int i = 0; i < 2 && s == LP_OK; i++) {
        s = CALL(lp_stats_read)(paths[i], &stats);
        if (s != LP_OK) return s;
        for (int64_t k = 0; k < CALL(lp_stats_count)(stats); k++) {
            int64_t n;
            const float *mean = CALL(lp_stats_mean_square)(stats, CALL(lp_stats_name_at)(stats, k), &n);
            lp_sha256_add(result, mean, (size_t)n * 4);
        }
        ADD_VALUE(result, CALL(lp_stats_tokens)(stats));
        add_text(result, CALL(lp_stats_sha256)(stats));
        THEN(s, CALL(lp_stats_write_legacy)(stats, legacy_out, true));
        if (s == LP_OK) add_file(result, legacy_out);
        lp_stats_free(stats);
        stats = NULL;
    }
    THEN(s, lp_text_read(stats_path, &bytes, &n_bytes));
    THEN(s, CALL(lp_stats_read_memory)(bytes, n_bytes, "memory", &stats));
    lp_stats_free(stats);
    free(bytes);
    return s;
}

static lp_status quantize_with(const char *format, const char *mixture, const char *with_stats, lp_sha256 *result)
{
    lp_gguf *g;
    lp_stats *stats = NULL;
    lp_quantize_result r;
    lp_status s = lp_gguf_open(small, &g);
    if (s != LP_OK) return s;
    if (with_stats) THEN(s, lp_stats_read(with_stats, &stats));
    const lp_tensor_rule rule = {"output.*", lp_packing_by_name("q8_0")};
    const lp_packing *packing = NULL;
    lp_format *parsed;
    if (format && !(packing = lp_packing_by_name(format))) { /* of our own */
        THEN(s, lp_format_parse(format, &parsed));
        if (s == LP_OK) {
            s = CALL(lp_packing_create)(parsed, &packing);
            lp_format_free(parsed);
        }
    }
    const lp_quantize_options options = {.packing = packing, .mixture = mixture ? lp_mixture_by_name(mixture) : NULL,
                                         .stats = stats, .rules = &rule, .n_rules = 1, .force = true};
    if (s == LP_OK) {
        s = CALL(lp_quantize)(g, out_path, &options, NULL, &r);
        if (s == LP_OK) {
            add_text(result, r.sha256);
            add_file(result, out_path);
            CALL(lp_quantize_result_free)(&r);
        }
    }
    CALL(lp_packing_free)(packing);
    lp_stats_free(stats);
    lp_gguf_close(g);
    return s;
}

static lp_status quantize_q4_0(lp_sha256 *result) { return quantize_with("q4_0", NULL, stats_path, result); }
static lp_status quantize_iq4_nl(lp_sha256 *result) { return quantize_with("iq4_nl", NULL, NULL, result); }
static lp_status quantize_own(lp_sha256 *result)
{
    lp_gguf *g;
    lp_string name = {0};
    lp_status s = quantize_with("u4:16:(u6:8:f16)-min(u6:8:f16)", NULL, stats_path, result);
    THEN(s, lp_gguf_open(out_path, &g));
    if (s != LP_OK) return s;
    s = CALL(lp_gguf_get_architecture)(g, true, &name);
    lp_sha256_add(result, name.data, name.n);
    for (int64_t i = 0; i < lp_gguf_tensor_count(g); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(g, i);
        uint64_t n_bytes = 0;
        float value[16];
        lp_tensor row = CALL(lp_tensor_rows_of)(t, 0, 1);
        CALL(lp_tensor_decode)(&row, 0, 0, 16, value);
        lp_sha256_add(result, value, sizeof value);
        ADD_VALUE(result, CALL(lp_tensor_find_nonfinite)(t, 0));
        if (!CALL(lp_packing_tensor_bytes)(t->packing, t->dim[0], lp_tensor_rows(t), &n_bytes) || n_bytes != t->n_bytes) s = LP_CHECK;
        if (!CALL(lp_packing_equal)(t->packing, t->packing)) s = LP_CHECK;
    }
    lp_gguf_close(g);
    return s;
}

static lp_status quantize_mixture(lp_sha256 *result) { return quantize_with(NULL, "q4_k_m", NULL, result); }

static lp_status quantize_gptq(lp_sha256 *result)
{
    lp_model *m;
    lp_quantize_result r;
    bool calibrated;
    lp_status s = CALL(lp_recipe_check)("gptq", &calibrated);
    THEN(s, lp_model_open(small, &m));
    if (s != LP_OK) return s;
    const lp_quantize_options options = {.packing = lp_packing_by_name("q4_0"), .recipe = "gptq", .model = m, .calibration = text,
                                         .n_calibration = strlen(text), .calibration_context = 16, .calibration_windows = 2, .force = true};
    s = lp_quantize(lp_model_gguf(m), out_path, &options, NULL, &r);
    if (s == LP_OK) {
        add_file(result, out_path);
        lp_quantize_result_free(&r);
    }
    lp_model_close(m);
    return s;
}

static lp_status knapsack(lp_sha256 *result)
{
    static const lp_choice choices[3][3] = {
        {{9, {1}}, {4, {2}}, {1, {4}}}, {{7, {1}}, {5, {3}}, {0, {5}}}, {{8, {2}}, {3, {3}}, {2, {4}}}};
    const lp_choice_class classes[3] = {{choices[0], 3}, {choices[1], 3}, {choices[2], 3}};
    const lp_knapsack problem = {.class_list = classes, .n_classes = 3, .budget = {9}, .n_budgets = 1};
    lp_knapsack_result r;
    lp_status s = CALL(lp_knapsack_solve)(&problem, &r);
    if (s != LP_OK) return s;
    lp_sha256_add(result, r.choice, 3 * sizeof *r.choice);
    ADD_VALUE(result, r.objective);
    CALL(lp_knapsack_result_free)(&r);
    return s;
}

static lp_status allocate(lp_sha256 *result)
{
    static const char *const candidates[] = {"q4_0", "q8_0"};
    lp_model *m;
    lp_allocation a;
    lp_sensitivity *table = NULL;
    lp_status s = lp_model_open(small, &m);
    if (s != LP_OK) return s;
    const lp_allocate_options options = {.n_bytes = lp_gguf_size(lp_model_gguf(m)) / 2,
                                         .formats = candidates,
                                         .n_formats = 2,
                                         .sensitivity = {.n_context = 16, .n_windows = 1},
                                         .scratch = out_path,
                                         .n_rounds = 1};
    s = CALL(lp_allocate)(m, text, strlen(text), &options, NULL, &a);
    if (s == LP_OK) {
        ADD_VALUE(result, a.n_bytes);
        ADD_VALUE(result, a.joint.kl);
        s = CALL(lp_sensitivity_write)(a.table, table_path);
        THEN(s, CALL(lp_allocation_write_report)(&a, "small", "small.gguf", report_path, true));
        CALL(lp_allocation_free)(&a);
    }
    THEN(s, CALL(lp_sensitivity_read)(table_path, &table));
    if (s == LP_OK) add_file(result, table_path);
    CALL(lp_sensitivity_free)(table);
    lp_model_close(m);
    return s;
}

static lp_status emulate(lp_sha256 *result)
{
    static const float a[4] = {1, 2.5f, -3, 0.125f}, b[4] = {0.3f, 7, 2, -1.5f}, c[4] = {1, 1, 1, 1};
    float y[4];
    lp_format *f;
    lp_pool *p = NULL;
    lp_status s = lp_format_parse("e5m2", &f);
    if (s != LP_OK) return s;
    const lp_arith arith = {.accumulation = LP_ACCUMULATE_EXACT, .sum = &f->element};
    THEN(s, lp_pool_create(2, &p));
    THEN(s, CALL(lp_arith_f32)(LP_OPERATION_FMA, &f->element, NULL, a, b, c, 4, y, p));
    if (s == LP_OK) lp_sha256_add(result, y, sizeof y);
    THEN(s, CALL(lp_arith_dot_f32)(&arith, a, b, 4, y));
    if (s == LP_OK) ADD_VALUE(result, y[0]);
    THEN(s, CALL(lp_arith_matmul_f32)(&arith, a, b, 2, 2, 2, y, p));
    if (s == LP_OK) lp_sha256_add(result, y, sizeof y);
    ADD_VALUE(result, CALL(lp_l_mul)(4, 1.5f, 3));
    lp_pool_destroy(p);
    lp_format_free(f);
    return s;
}

/* A matrix in a format of our own. */
static lp_status own_format(lp_sha256 *result)
{
    float x[2 * 40], y[40];
    uint8_t *bytes = NULL;
    uint64_t n_bytes;
    lp_format *f;
    const lp_packing *p = NULL;
    for (int i = 0; i < 80; i++) x[i] = (float)(i % 7) - 2.5f;
    lp_status s = lp_format_parse("nf4:16:(i6:4:f16)+min(f16)", &f);
    if (s != LP_OK) return s;
    THEN(s, CALL(lp_packing_create)(f, &p));
    if (s == LP_OK && (!CALL(lp_packing_equal)(p, p) || !CALL(lp_packing_tensor_bytes)(p, 40, 2, &n_bytes))) s = LP_CHECK;
    if (s == LP_OK) bytes = calloc(1, n_bytes);
    if (s == LP_OK && !bytes) s = LP_RESOURCE;
    THEN(s, lp_encode_rows(p, LP_SEARCH_REFERENCE, x, 2, 40, NULL, bytes));
    if (s == LP_OK) {
        lp_sha256_add(result, bytes, n_bytes);
        const lp_tensor t = {.name = "t", .n_dims = 2, .dim = {40, 2, 1, 1}, .packing = p, .data = bytes, .n_bytes = n_bytes};
        const lp_tensor last = CALL(lp_tensor_rows_of)(&t, 1, 1);
        CALL(lp_tensor_decode)(&last, 0, 16, 8, y);
        lp_sha256_add(result, y, 8 * sizeof *y);
        ADD_VALUE(result, CALL(lp_tensor_find_nonfinite)(&t, 1));
    }
    free(bytes);
    CALL(lp_packing_free)(p);
    lp_format_free(f);
    return s;
}

static lp_status round_arrays(lp_sha256 *result)
{
    static const float x[8] = {0, -1.1f, 3.3f, 300, -0.07f, 500, 1e-9f, 448};
    double wide[8];
    float values[8];
    uint8_t codes[8];
    lp_format *f;
    lp_pool *p = NULL;
    lp_status s = lp_format_parse("e4m3", &f);
    if (s != LP_OK) return s;
    const lp_rounding rounding = {.mode = LP_ROUND_STOCHASTIC, .seed = 1};
    const lp_element *e = &f->element;
    for (int i = 0; i < 8; i++) wide[i] = (double)x[i] / 3;
    THEN(s, lp_pool_create(2, &p));
    THEN(s, CALL(lp_rounding_check)(e, &rounding));
    THEN(s, CALL(lp_round_f32)(e, &rounding, x, 8, values, p));
    THEN(s, CALL(lp_round_codes_f32)(e, &rounding, x, 8, codes, p));
    if (s == LP_OK) lp_sha256_add(result, codes, CALL(lp_codes_bytes)(e, 8));
    THEN(s, CALL(lp_codes_values_f32)(e, codes, 8, values, p));
    if (s == LP_OK) lp_sha256_add(result, values, sizeof values);
    THEN(s, CALL(lp_round_codes_f64)(e, &rounding, wide, 8, codes, p));
    THEN(s, CALL(lp_codes_values_f64)(e, codes, 8, wide, p));
    THEN(s, CALL(lp_round_f64)(e, &rounding, wide, 8, wide, p));
    if (s == LP_OK) lp_sha256_add(result, wide, sizeof wide);
    lp_pool_destroy(p);
    lp_format_free(f);
    return s;
}

/* One block of every format that can be written: the searches have tables of their own. */
static lp_status encode_rows(lp_sha256 *result)
{
    float row[256], importance[256];
    uint8_t bytes[1024];
    for (int i = 0; i < 256; i++) importance[i] = 1;
    for (int i = 0; i < 256; i++) row[i] = (float)((i * 37) % 64 - 32) / 16;
    for (int i = 0; i < CALL(lp_packing_count)(); i++) {
        const lp_packing *p = CALL(lp_packing_at)(i);
        if (!p->can_encode) continue;
        lp_status s = CALL(lp_encode_rows)(p, LP_SEARCH_REFERENCE, row, 1, p->n_values, importance, bytes);
        if (s != LP_OK) return s;
        lp_sha256_add(result, bytes, CALL(lp_packing_row_bytes)(p, p->n_values));
    }
    return LP_OK;
}

static lp_status evaluate(lp_sha256 *result)
{
    lp_model *m;
    lp_eval_result r;
    lp_status s = lp_model_open(small, &m);
    if (s != LP_OK) return s;
    const lp_eval_options options = {.n_context = 16, .n_windows = 2, .hash = true};
    s = CALL(lp_eval)(m, text, strlen(text), &options, NULL, &r);
    if (s == LP_OK) add_text(result, r.logits_sha256);
    lp_model_close(m);
    return s;
}

static lp_status compare(lp_sha256 *result)
{
    lp_model *a, *b = NULL;
    lp_compare_result r;
    lp_layer_difference layers[2];
    lp_status s = lp_model_open(small, &a);
    if (s != LP_OK) return s;
    THEN(s, lp_model_open(quantized, &b));
    const lp_eval_options options = {.n_context = 16, .n_windows = 2};
    THEN(s, CALL(lp_compare)(a, b, text, strlen(text), &options, NULL, &r, layers));
    if (s == LP_OK) {
        ADD_VALUE(result, r.kl_mean_nats);
        ADD_VALUE(result, layers[1].relative_rms);
    }
    lp_model_close(a);
    lp_model_close(b);
    return s;
}

static lp_status random_model(lp_sha256 *result)
{
    lp_status s = CALL(lp_model_write_random)("tiny", 1, out_path, true, NULL);
    if (s == LP_OK) add_file(result, out_path);
    return s;
}

static void add_thread(void *context, int thread, int n_threads)
{
    ((int *)context)[thread] = n_threads;
}

static lp_status pool(lp_sha256 *result)
{
    lp_pool *p;
    int seen[4] = {0};
    lp_status s = CALL(lp_pool_create)(4, &p);
    if (s != LP_OK) return s;
    CALL(lp_pool_run)(p, add_thread, seen);
    CALL(lp_pool_barrier)(NULL);
    ADD_VALUE(result, CALL(lp_pool_threads)(p));
    lp_sha256_add(result, seen, sizeof seen);
    CALL(lp_pool_destroy)(p);
    return s;
}

static lp_status formats(lp_sha256 *result)
{
    static const char *const texts[] = {"u4:32:(u6:8:f16)-min(u6:8:f16)@q4_k", "mxfp4", "e2m1:16:ue4m3:f32", "nf4:64:f16"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lp_format *a, *b = NULL;
        char printed[300];
        lp_status s = CALL(lp_format_parse)(texts[i], &a);
        if (s != LP_OK) return s;
        CALL(lp_format_print)(a, printed, sizeof printed);
        add_text(result, printed);
        ADD_VALUE(result, CALL(lp_format_bits)(a));
        ADD_VALUE(result, CALL(lp_element_value)(&a->element, 1));
        ADD_VALUE(result, CALL(lp_element_imaginary)(&a->element, 1));
        THEN(s, CALL(lp_format_parse)(printed, &b));
        if (s == LP_OK && !CALL(lp_format_equal)(a, b)) s = LP_CHECK;
        CALL(lp_format_free)(a);
        lp_format_free(b);
        if (s != LP_OK) return s;
    }
    return LP_OK;
}

/* What needs nothing from the system: these cannot fail whatever is missing, which the same loop shows (no point of
 * failure is found in them). */
static lp_status pure(lp_sha256 *result)
{
    size_t n;
    double p[2], kl;
    const float logits[2] = {1, 2};
    float decoded[32];
    const uint8_t block[64] = {0, 0x3c};
    CALL(lp_log_softmax)(logits, 2, p);
    kl = CALL(lp_kl_divergence)(logits, logits, 2);
    ADD_VALUE(result, kl);
    const lp_packing *q8_0 = CALL(lp_packing_by_id)(8);
    CALL(lp_packing_decode)(q8_0, block, 32, decoded);
    ADD_VALUE(result, CALL(lp_packing_find_nonfinite)(q8_0, block, 32));
    add_text(result, CALL(lp_format_row_at)(CALL(lp_format_row_count)() - 1)->name);
    add_text(result, CALL(lp_format_row_find)("mxfp4")->text);
    add_text(result, CALL(lp_format_suggest)("mxfp5"));
    if (!CALL(lp_embedded_text)("embedded", &n)) return LP_CHECK;
    add_text(result, CALL(lp_model_architectures)());
    add_text(result, CALL(lp_status_name)(LP_OK));
    add_text(result, CALL(lp_version)());
    (void)CALL(lp_error)();
    for (int i = 0; i < CALL(lp_mixture_count)(); i++) {
        const lp_mixture *m = CALL(lp_mixture_at)(i);
        if (CALL(lp_mixture_by_name)(CALL(lp_mixture_name)(m)) != m) return LP_CHECK;
        add_text(result, CALL(lp_mixture_base)(m)->name);
        ADD_VALUE(result, CALL(lp_mixture_file_type)(m));
    }
    for (int i = 0; i < CALL(lp_method_count)(); i++) {
        const lp_method *m = CALL(lp_method_at)(i);
        if (CALL(lp_method_by_name)(m->name) != m) return LP_CHECK;
        add_text(result, m->recipe);
    }
    for (int i = 0; i < CALL(lp_stage_count)(); i++) add_text(result, CALL(lp_stage_at)(i).name);
    add_text(result, CALL(lp_rounding_mode_name)(LP_ROUND_ODD));
    add_text(result, CALL(lp_overflow_name)(LP_OVERFLOW_WRAP));
    add_text(result, CALL(lp_subnormals_name)(LP_SUBNORMALS_FLUSH));
    add_text(result, CALL(lp_isa_name)(LP_ISA_REF));
    if (!CALL(lp_isa_available)(LP_ISA_REF)) return LP_CHECK;
    lp_status s = CALL(lp_isa_select)(CALL(lp_isa_name)(CALL(lp_isa_current)()));
    if (!*CALL(lp_cpu_name)()) return LP_CHECK;
    return s;
}

static bool after_one(void *context) { return ++*(int *)context > 1; }

static lp_status bench_kernels(lp_sha256 *result)
{
    static lp_bench_row rows[512];
    size_t n = 512;
    int count = 0;
    lp_progress progress = {.cancelled = after_one, .context = &count};
    lp_status s = CALL(lp_bench_kernels)(NULL, &progress, rows, &n);
    if (s != LP_INTERRUPTED) return s == LP_OK ? LP_CHECK : s;
    n = 512;
    count = 0;
    s = CALL(lp_bench_format)(NULL, "i4:row:f16", &progress, rows, &n);
    (void)result; /* times */
    return s == LP_INTERRUPTED ? LP_OK : s;
}

static lp_status bench_model(lp_sha256 *result)
{
    lp_model *m;
    lp_bench_row rows[2];
    lp_probe probe;
    lp_status s = lp_model_open(quantized, &m);
    if (s != LP_OK) return s;
    s = CALL(lp_bench_model)(m, NULL, LP_ACTIVATION_DEFAULT, 8, 2, 1, NULL, rows, &probe);
    THEN(s, CALL(lp_probe_machine)(NULL, &probe));
    lp_model_close(m);
    (void)result;
    return s;
}

const scenario scenarios[] = {
    {"read a GGUF file", read_gguf, true, false},
    {"write a GGUF file", write_gguf, true, false},
    {"write a new GGUF file", write_new_gguf, true, false},
    {"begin a GGUF file through a link and abandon it", abandon_gguf, true, false},
    {"convert a folder to GGUF", folder_to_gguf, true, false},
    {"convert GGUF to a folder", gguf_to_folder, true, false},
    {"convert GGUF files of other architectures to folders", other_ggufs_to_folders, true, false},
    {"open folders of other architectures", other_folders_in_memory, true, false},
    {"open them with a temporary file", other_folders_in_a_file, true, false},
    {"split a GGUF file and join it", split_and_join, true, false},
    {"edit keys in place", edit_in_place, true, false},
    {"edit keys by writing again", edit_again, true, false},
    {"read a text", read_text, true, false},
    {"verify a file", verify, true, false},
    {"open models", open_models, true, false},
    {"run a session", run_session, false, false},
    {"tokenize", tokenize, false, false},
    {"tokenize with SentencePiece", tokenize_spm, false, false},
    {"tokenize with SentencePiece by merges", tokenize_merges, false, false},
    {"tokenize with WordPiece", tokenize_wordpiece, false, false},
    {"tokenize with Unigram", tokenize_unigram, false, false},
    {"tokenize words of bytes", tokenize_bpe, false, false},
    {"normalize texts", normalize_texts, false, false},
    {"render a chat template", render, false, false},
    {"encode a chat", encode_chat, false, false},
    {"calibrate", calibrate, true, false},
    {"read and write statistics", statistics, true, false},
    {"quantize to q4_0 with statistics", quantize_q4_0, true, false},
    {"quantize to iq4_nl", quantize_iq4_nl, true, false},
    {"quantize to a format of our own", quantize_own, true, false},
    {"quantize to a mixture", quantize_mixture, true, false},
    {"quantize with GPTQ", quantize_gptq, true, true},
    {"solve a knapsack", knapsack, false, false},
    {"choose formats by measurement", allocate, true, true},
    {"round arrays", round_arrays, false, false},
    {"emulate arithmetic", emulate, false, false},
    {"encode a matrix in a format of our own", own_format, false, false},
    {"encode a row of every format", encode_rows, false, false},
    {"evaluate", evaluate, false, false},
    {"compare", compare, false, false},
    {"write a random model", random_model, true, false},
    {"start threads", pool, false, false},
    {"parse and print formats", formats, false, false},
    {"functions that need nothing", pure, false, false},
    {"bench kernels", bench_kernels, false, true},
    {"bench a model", bench_model, false, true},
};
const int n_scenarios = sizeof scenarios / sizeof *scenarios;
