/* Keys of byte-level BPE to tokenizer.json. Card: runtime/unigram-and-tokenizer-json. */
#include <string.h>

#include "base/fail.h"
#include "model/hf/hf.h"
#include "model/tokenizer/tokenizer.h"

static void put_pre(const lp_hf_split *split, lp_json_text *out)
{
    bool list = split->regex || split->digits;
    lp_json_puts(out, "  \"pre_tokenizer\": ");
    if (list) lp_json_puts(out, "{\"type\": \"Sequence\", \"pretokenizers\": [");
    if (split->regex) {
        lp_json_puts(out, "{\"type\": \"Split\", \"pattern\": {\"Regex\": ");
        lp_json_quote(out, split->regex, strlen(split->regex));
        lp_json_puts(out, "}, \"behavior\": \"Isolated\", \"invert\": false}, ");
    }
    if (split->digits) lp_json_puts(out, "{\"type\": \"Digits\", \"individual_digits\": true}, ");
    lp_json_printf(out, "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": %s}",
                   split->regex ? "false" : "true");
    lp_json_puts(out, list ? "]},\n" : ",\n");
}

static void put_post(lp_string bos, int64_t id, lp_json_text *out)
{
    lp_json_puts(out, "  \"post_processor\": {\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": ");
    lp_json_quote(out, bos.data, bos.n);
    lp_json_puts(out, ", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"pair\": [{\"Sequence\": {\"id\": \"A\", "
                      "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"B\", \"type_id\": 1}}], \"special_tokens\": {");
    lp_json_quote(out, bos.data, bos.n);
    lp_json_puts(out, ": {\"id\": ");
    lp_json_quote(out, bos.data, bos.n);
    lp_json_printf(out, ", \"ids\": [%lld], \"tokens\": [", (long long)id);
    lp_json_quote(out, bos.data, bos.n);
    lp_json_puts(out, "]}}},\n");
}

static void put_added(const lp_string *text, const int32_t *type, const uint8_t *flags, int64_t n, lp_json_text *out)
{
    bool first = true;
    lp_json_puts(out, "  \"added_tokens\": [");
    for (int64_t id = 0; id < n; id++) {
        if (type[id] != LP_TOKEN_CONTROL && type[id] != LP_TOKEN_USER_DEFINED && type[id] != LP_TOKEN_UNKNOWN) continue;
        lp_json_printf(out, "%s\n    {\"id\": %lld, \"content\": ", first ? "" : ",", (long long)id);
        lp_json_quote(out, text[id].data, text[id].n);
        lp_json_printf(out, ", \"single_word\": %s, \"lstrip\": %s, \"rstrip\": %s, \"normalized\": false, \"special\": %s}",
                       flags[id] & LP_TOKEN_SINGLE_WORD ? "true" : "false", flags[id] & LP_TOKEN_LSTRIP ? "true" : "false",
                       flags[id] & LP_TOKEN_RSTRIP ? "true" : "false", type[id] == LP_TOKEN_USER_DEFINED ? "false" : "true");
        first = false;
    }
    lp_json_puts(out, "\n  ],\n");
}

static void put_list(const lp_string *text, int64_t n, bool with_ids, lp_json_text *out)
{
    for (int64_t i = 0; i < n; i++) {
        lp_json_puts(out, i ? ",\n      " : "\n      ");
        lp_json_quote(out, text[i].data, text[i].n);
        if (with_ids) lp_json_printf(out, ": %lld", (long long)i);
    }
}

/* Tokens that only fill the embedding's rows are left out: reading makes them again. */
static int64_t without_padding(const lp_string *text, const int32_t *type, int64_t n)
{
    while (n > 0 && type[n - 1] == LP_TOKEN_UNUSED && text[n - 1].n > 4 && memcmp(text[n - 1].data, "[PAD", 4) == 0) n--;
    return n;
}

static const lp_hf_split *split_of(lp_string pre)
{
    for (int i = 0; i < lp_hf_split_count(); i++)
        if (pre.n == strlen(lp_hf_splits[i].pre) && memcmp(pre.data, lp_hf_splits[i].pre, pre.n) == 0) return &lp_hf_splits[i];
    if ((pre.n == 6 && memcmp(pre.data, "llama3", 6) == 0) || (pre.n == 8 && memcmp(pre.data, "llama-v3", 8) == 0))
        return split_of((lp_string){"llama-bpe", 9});
    return pre.n == 0 ? &lp_hf_splits[0] : NULL;
}

static void put_named(const lp_gguf *gguf, const lp_string *text, int64_t n, lp_json_text *out)
{
    static const char *const named[][2] = {{"bos_token", "tokenizer.ggml.bos_token_id"}, {"eos_token", "tokenizer.ggml.eos_token_id"},
                                           {"unk_token", "tokenizer.ggml.unknown_token_id"}, {"pad_token", "tokenizer.ggml.padding_token_id"}};
    lp_json_puts(out, "{\n");
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        int64_t id = -1;
        if (lp_gguf_get_i64(gguf, named[i][1], false, &id) != LP_OK || id < 0 || id >= n) continue;
        lp_json_printf(out, "  \"%s\": ", named[i][0]);
        lp_json_quote(out, text[id].data, text[id].n);
        lp_json_puts(out, ",\n");
    }
}

/* Checked by lp_tokenizer_create before: arrays of the right types, a type per token. */
static lp_status write_all(const lp_gguf *gguf, lp_string *text, int32_t *type, uint8_t *flags, lp_string *merges, lp_json_text *out, lp_json_text *config)
{
    const lp_gguf_key *tokens = lp_gguf_find(gguf, "tokenizer.ggml.tokens"), *merge_key = lp_gguf_find(gguf, "tokenizer.ggml.merges");
    const lp_gguf_key *types = lp_gguf_find(gguf, "tokenizer.ggml.token_type");
    lp_string pre = {"", 0}, chat = {NULL, 0};
    int64_t bos = -1, n = (int64_t)tokens->n_elements;
    bool add_bos = false;
    LP_TRY(lp_gguf_strings(tokens, text));
    LP_TRY(lp_gguf_strings(merge_key, merges));
    for (int64_t i = 0; i < n; i++) {
        int64_t value = LP_TOKEN_NORMAL;
        if (types) LP_TRY(lp_gguf_array_i64(types, (uint64_t)i, &value));
        type[i] = (int32_t)value;
    }
    for (int k = 0; k < LP_TOKEN_FLAG_KEYS; k++) {
        const lp_gguf_key *ids = lp_gguf_find(gguf, lp_token_flag_keys[k].key);
        for (uint64_t i = 0; ids && i < ids->n_elements; i++) {
            int64_t id = 0;
            LP_TRY(lp_gguf_array_i64(ids, i, &id));
            flags[id] |= (uint8_t)lp_token_flag_keys[k].flag;
        }
    }
    LP_TRY(lp_gguf_get_string(gguf, "tokenizer.ggml.pre", false, &pre));
    LP_TRY(lp_gguf_get_string(gguf, "tokenizer.chat_template", false, &chat));
    LP_TRY(lp_gguf_get_i64(gguf, "tokenizer.ggml.bos_token_id", false, &bos));
    const lp_hf_split *split = split_of(pre);
    if (!split) {
        lp_fail(LP_UNSUPPORTED, "%s: tokenizer.ggml.pre: '%.*s' has no form in tokenizer.json here", lp_gguf_path(gguf),
                (int)(pre.n < 64 ? pre.n : 64), pre.data);
        return lp_hint(LP_UNSUPPORTED, "known ones: gpt-2, olmo, smollm, llama-bpe, dbrx, qwen2, deepseek-r1-qwen");
    }
    add_bos = split->whole_word_first && bos >= 0;
    LP_TRY(lp_gguf_get_bool(gguf, "tokenizer.ggml.add_bos_token", false, &add_bos));

    n = without_padding(text, type, n);
    lp_json_puts(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_added(text, type, flags, n, out);
    lp_json_puts(out, split->nfc ? "  \"normalizer\": {\"type\": \"NFC\"},\n" : "  \"normalizer\": null,\n");
    put_pre(split, out);
    if (add_bos && bos >= 0 && bos < n) put_post(text[bos], bos, out);
    else lp_json_puts(out, "  \"post_processor\": null,\n");
    lp_json_puts(out, "  \"decoder\": {\"type\": \"ByteLevel\", \"add_prefix_space\": true, \"trim_offsets\": true, \"use_regex\": true},\n");
    lp_json_puts(out, "  \"model\": {\n    \"type\": \"BPE\",\n    \"dropout\": null,\n    \"unk_token\": null,\n"
                      "    \"continuing_subword_prefix\": null,\n    \"end_of_word_suffix\": null,\n    \"fuse_unk\": false,\n"
                      "    \"byte_fallback\": false,\n");
    lp_json_printf(out, "    \"ignore_merges\": %s,\n    \"vocab\": {", split->whole_word_first ? "true" : "false");
    put_list(text, n, true, out);
    lp_json_puts(out, "\n    },\n    \"merges\": [");
    put_list(merges, (int64_t)merge_key->n_elements, false, out);
    lp_json_puts(out, "\n    ]\n  }\n}\n");

    put_named(gguf, text, n, config);
    if (chat.data) {
        lp_json_puts(config, "  \"chat_template\": ");
        lp_json_quote(config, chat.data, chat.n);
        lp_json_puts(config, ",\n");
    }
    lp_json_printf(config, "  \"add_bos_token\": %s,\n  \"clean_up_tokenization_spaces\": false,\n"
                           "  \"tokenizer_class\": \"PreTrainedTokenizerFast\"\n}\n", add_bos ? "true" : "false");
    return LP_OK;
}

lp_status lp_hf_write_tokenizer(const lp_gguf *gguf, lp_json_text *tokenizer, lp_json_text *tokenizer_config)
{
    lp_tokenizer *checked; /* says what is wrong with the keys, once and in one place */
    LP_TRY(lp_tokenizer_create(gguf, &checked));
    lp_tokenizer_free(checked);
    lp_string model = {"", 0};
    LP_TRY(lp_gguf_get_string(gguf, "tokenizer.ggml.model", true, &model));
    if (model.n != 4 || memcmp(model.data, "gpt2", 4) != 0)
        return lp_fail(LP_UNSUPPORTED, "%s: tokenizer.ggml.model: '%.*s' cannot be converted (known: gpt2)", lp_gguf_path(gguf),
                       (int)(model.n < 64 ? model.n : 64), model.data);
    lp_arena arena = {0};
    size_t n = (size_t)lp_gguf_find(gguf, "tokenizer.ggml.tokens")->n_elements;
    lp_string *text = lp_arena_alloc_array(&arena, n, sizeof *text);
    int32_t *type = lp_arena_alloc_array(&arena, n, sizeof *type);
    uint8_t *flags = lp_arena_alloc(&arena, n);
    lp_string *merges = lp_arena_alloc_array(&arena, (size_t)lp_gguf_find(gguf, "tokenizer.ggml.merges")->n_elements, sizeof *merges);
    lp_status status = text && type && flags && merges ? write_all(gguf, text, type, flags, merges, tokenizer, tokenizer_config) : LP_RESOURCE;
    lp_arena_free(&arena);
    return status;
}
