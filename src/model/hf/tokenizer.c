/* tokenizer.json of byte-level BPE to keys, and back. Cards: runtime/unigram-and-tokenizer-json, runtime/tokenizers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "model/hf/hf.h"
#include "model/tokenizer/tokenizer.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
#define REST " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Patterns are compared as texts and never run. */
const lp_hf_split lp_hf_splits[] = {
    {"gpt-2", false, NULL, false},
    {"smollm", false, NULL, true},
    {"llama-bpe", true, CONTRACTIONS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" REST, false},
    {"dbrx", false, CONTRACTIONS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" REST, false},
    {"qwen2", false, CONTRACTIONS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" REST, false},
};
int lp_hf_split_count(void) { return (int)(sizeof lp_hf_splits / sizeof *lp_hf_splits); }

static bool present(const lp_json *node) { return node && node->kind != LP_JSON_NULL; }
static bool is_true(const lp_json *node) { return node && node->kind == LP_JSON_BOOL && node->n; }

/* LP_UNSUPPORTED naming a part and its type. */
static lp_status unknown(const lp_hf_file *f, const char *part, const lp_json *type, const char *known)
{
    char item[LP_PRINTABLE] = "?";
    if (type && type->kind == LP_JSON_STRING) lp_name_printable(lp_json_string(type), item);
    lp_fail(LP_UNSUPPORTED, "%s: %s: '%s' cannot be converted", f->path, part, item);
    return lp_hint(LP_UNSUPPORTED, "known here: %s", known);
}

/* ---- pre-tokenizer ----------------------------------------------------------------------------------------------- */

/* What a chain of pre-tokenizers amounts to. */
typedef struct chain {
    const lp_json *regex;
    bool digits, bytes, own_regex;
} chain;

static lp_status read_split(const lp_hf_file *f, const lp_json *node, chain *c)
{
    const lp_json *regex = lp_json_find(lp_json_find(node, "pattern"), "Regex"), *behavior = lp_json_find(node, "behavior");
    bool inverted = is_true(lp_json_find(node, "invert"));
    bool isolates = lp_json_is(behavior, "Isolated") || (lp_json_is(behavior, "Removed") && inverted);
    if (!regex || regex->kind != LP_JSON_STRING || !isolates || (inverted && lp_json_is(behavior, "Isolated")) || c->regex)
        return unknown(f, "pre_tokenizer: Split", behavior, "one Split that isolates what a Regex matches");
    c->regex = regex;
    return LP_OK;
}

static lp_status read_pre(const lp_hf_file *f, const lp_json *node, chain *c, int depth)
{
    const lp_json *type = lp_json_find(node, "type"), *list = lp_json_find(node, "pretokenizers");
    if (c->bytes) return unknown(f, "pre_tokenizer", type, "ByteLevel stands last");
    if (lp_json_is(type, "Sequence") && list && list->kind == LP_JSON_ARRAY && depth < 2) {
        const lp_json *at = list + 1;
        for (uint32_t i = 0; i < list->n; i++, at += at->span) LP_TRY(read_pre(f, at, c, depth + 1));
        return LP_OK;
    }
    if (lp_json_is(type, "Split")) return read_split(f, node, c);
    if (lp_json_is(type, "Digits") && is_true(lp_json_find(node, "individual_digits"))) {
        c->digits = true;
        return LP_OK;
    }
    if (!lp_json_is(type, "ByteLevel") || is_true(lp_json_find(node, "add_prefix_space")))
        return unknown(f, "pre_tokenizer", type, "Split by a known pattern, Digits one by one, ByteLevel without a prefix space");
    const lp_json *own = lp_json_find(node, "use_regex");
    c->bytes = true;
    c->own_regex = !own || is_true(own);
    return LP_OK;
}

static lp_status find_pre(const lp_hf_file *f, bool whole_word_first, const char **pre)
{
    chain c = {0};
    const lp_json *node = lp_json_find(f->json.node, "pre_tokenizer");
    if (!present(node)) return lp_fail(LP_UNSUPPORTED, "%s: pre_tokenizer: missing (ByteLevel is expected)", f->path);
    LP_TRY(read_pre(f, node, &c, 0));
    for (int i = 0; i < lp_hf_split_count() && c.bytes && c.own_regex == !c.regex; i++) {
        const lp_hf_split *row = &lp_hf_splits[i];
        bool same_regex = row->regex ? lp_json_is(c.regex, row->regex) : !c.regex;
        if (!same_regex || row->digits != c.digits || row->whole_word_first != whole_word_first) continue;
        *pre = row->pre;
        return LP_OK;
    }
    lp_fail(LP_UNSUPPORTED, "%s: pre_tokenizer: not a known one%s%.*s%s", f->path, c.regex ? " (pattern " : "",
            c.regex ? (int)(c.regex->n < 300 ? c.regex->n : 300) : 0, c.regex ? c.regex->text : "", c.regex ? ")" : "");
    return lp_hint(LP_UNSUPPORTED, "known ones: those of gpt-2, smollm, llama-bpe, dbrx and qwen2");
}

/* ---- vocabulary -------------------------------------------------------------------------------------------------- */

typedef struct vocabulary {
    lp_string *text; /* [room] data NULL: no token yet */
    int32_t *type;
    int64_t n, room; /* n: highest id + 1 */
} vocabulary;

static lp_status put_token(const lp_hf_file *f, vocabulary *v, lp_string text, const lp_json *id_node, int32_t type)
{
    char item[LP_PRINTABLE];
    int64_t id;
    if (!lp_json_integer(id_node, &id) || id < 0 || id >= v->room)
        return lp_fail(LP_INPUT, "%s: token %s: its id is none of 0 to %lld", f->path, lp_name_printable(text, item),
                       (long long)v->room - 1);
    lp_string old = v->text[id];
    if (old.data && (old.n != text.n || memcmp(old.data, text.data, text.n) != 0))
        return lp_fail(LP_INPUT, "%s: token %s: another token has the id %lld", f->path, lp_name_printable(text, item), (long long)id);
    v->text[id] = text;
    v->type[id] = type;
    if (id >= v->n) v->n = id + 1;
    return LP_OK;
}

static lp_status read_vocabulary(const lp_hf_file *f, const lp_json *model, int64_t n_vocab, lp_arena *arena, vocabulary *v)
{
    const lp_json *vocab = lp_json_find(model, "vocab"), *added = lp_json_find(f->json.node, "added_tokens");
    if (!vocab || vocab->kind != LP_JSON_OBJECT) return lp_fail(LP_INPUT, "%s: model: vocab: missing or no object", f->path);
    v->room = n_vocab;
    v->text = lp_arena_alloc_array(arena, (size_t)n_vocab, sizeof *v->text);
    v->type = lp_arena_alloc_array(arena, (size_t)n_vocab, sizeof *v->type);
    if (!v->text || !v->type) return LP_RESOURCE;
    const lp_json *at = vocab + 1;
    for (uint32_t i = 0; i < vocab->n; i++, at += 1 + at[1].span)
        LP_TRY(put_token(f, v, lp_json_string(at), at + 1, LP_TOKEN_NORMAL));
    if (present(added) && added->kind != LP_JSON_ARRAY) return lp_fail(LP_INPUT, "%s: added_tokens: no array", f->path);
    at = added ? added + 1 : NULL;
    for (uint32_t i = 0; at && i < added->n; i++, at += at->span) {
        const lp_json *content = lp_json_find(at, "content");
        if (!content || content->kind != LP_JSON_STRING)
            return lp_fail(LP_INPUT, "%s: added_tokens[%u]: content: missing or no string", f->path, i);
        if (is_true(lp_json_find(at, "single_word")))
            return lp_fail(LP_UNSUPPORTED, "%s: added_tokens[%u]: single_word cannot be converted", f->path, i);
        bool special = is_true(lp_json_find(at, "special"));
        LP_TRY(put_token(f, v, lp_json_string(content), lp_json_find(at, "id"), special ? LP_TOKEN_CONTROL : LP_TOKEN_USER_DEFINED));
    }
    for (int64_t id = 0; id < v->n; id++)
        if (!v->text[id].data) return lp_fail(LP_INPUT, "%s: no token has the id %lld (there are %lld)", f->path, (long long)id, (long long)v->n);
    for (int64_t id = v->n; id < n_vocab; id++) { /* rows of the embedding without a token */
        char name[32];
        int n = snprintf(name, sizeof name, "[PAD%lld]", (long long)id);
        v->text[id] = (lp_string){lp_arena_copy_string(arena, name, (size_t)n), (size_t)n};
        v->type[id] = LP_TOKEN_UNUSED;
        if (!v->text[id].data) return LP_RESOURCE;
    }
    return LP_OK;
}

/* "a b", from that or from ["a", "b"]. */
static lp_status read_merges(const lp_hf_file *f, const lp_json *model, lp_arena *arena, lp_gguf_writer *writer)
{
    const lp_json *merges = lp_json_find(model, "merges");
    if (!merges || merges->kind != LP_JSON_ARRAY) return lp_fail(LP_INPUT, "%s: model: merges: missing or no array", f->path);
    lp_string *text = lp_arena_alloc_array(arena, merges->n, sizeof *text);
    size_t n_bytes = 0;
    const lp_json *at = merges + 1;
    for (uint32_t i = 0; i < merges->n; i++, at += at->span) {
        bool pair = at->kind == LP_JSON_ARRAY && at->n == 2 && at[1].kind == LP_JSON_STRING && at[2].kind == LP_JSON_STRING;
        if (pair && (memchr(at[1].text, ' ', at[1].n) || memchr(at[2].text, ' ', at[2].n)))
            return lp_fail(LP_UNSUPPORTED, "%s: merges[%u]: a side holds a space", f->path, i);
        if (!pair && at->kind != LP_JSON_STRING) return lp_fail(LP_INPUT, "%s: merges[%u]: neither a string nor a pair", f->path, i);
        if (pair && (!lp_add_size(n_bytes, (size_t)at[1].n + at[2].n + 1, &n_bytes))) return lp_fail_memory(n_bytes, "merges");
    }
    char *out = lp_arena_alloc(arena, n_bytes);
    if (!text || !out) return LP_RESOURCE;
    at = merges + 1;
    for (uint32_t i = 0; i < merges->n; i++, at += at->span) {
        if (at->kind == LP_JSON_STRING) {
            text[i] = lp_json_string(at);
            continue;
        }
        size_t n = (size_t)at[1].n + at[2].n + 1;
        memcpy(out, at[1].text, at[1].n);
        out[at[1].n] = ' ';
        memcpy(out + at[1].n + 1, at[2].text, at[2].n);
        text[i] = (lp_string){out, n};
        out += n;
    }
    return lp_gguf_writer_set_strings(writer, "tokenizer.ggml.merges", text, merges->n);
}

/* ---- named tokens ------------------------------------------------------------------------------------------------ */

static int64_t id_of(const vocabulary *v, const lp_json *text)
{
    if (text && text->kind == LP_JSON_OBJECT) text = lp_json_find(text, "content");
    if (!text || text->kind != LP_JSON_STRING) return -1;
    for (int64_t id = 0; id < v->n; id++)
        if (v->text[id].n == text->n && memcmp(v->text[id].data, text->text, text->n) == 0) return id;
    return -1;
}

static lp_status read_named(const lp_hf_file *tokenizer_config, const lp_hf_file *config, const vocabulary *v, lp_gguf_writer *writer,
                            int64_t *bos)
{
    static const struct {
        const char *text, *id, *key;
    } named[] = {{"bos_token", "bos_token_id", "tokenizer.ggml.bos_token_id"},
                 {"eos_token", "eos_token_id", "tokenizer.ggml.eos_token_id"},
                 {"unk_token", NULL, "tokenizer.ggml.unknown_token_id"},
                 {"pad_token", NULL, "tokenizer.ggml.padding_token_id"}};
    for (size_t i = 0; i < sizeof named / sizeof *named; i++) {
        int64_t id = id_of(v, lp_json_find(tokenizer_config->json.node, named[i].text));
        const lp_json *other = named[i].id ? lp_json_find(config->json.node, named[i].id) : NULL;
        if (other && other->kind == LP_JSON_ARRAY && other->n) other++; /* several ends: the first */
        if (id < 0 && (!lp_json_integer(other, &id) || id < 0 || id >= v->n)) continue;
        LP_TRY(lp_gguf_writer_set_u32(writer, named[i].key, (uint32_t)id));
        if (i == 0) *bos = id;
    }
    return LP_OK;
}

/* Whether `single` puts the first token before a text, and something behind it. */
static lp_status read_post(const lp_hf_file *f, const lp_json *node, bool *before, bool *after, int depth)
{
    const lp_json *type = lp_json_find(node, "type"), *list = lp_json_find(node, "processors");
    if (!present(node) || lp_json_is(type, "ByteLevel")) return LP_OK;
    if (lp_json_is(type, "Sequence") && list && list->kind == LP_JSON_ARRAY && depth < 2) {
        const lp_json *at = list + 1;
        for (uint32_t i = 0; i < list->n; i++, at += at->span) LP_TRY(read_post(f, at, before, after, depth + 1));
        return LP_OK;
    }
    const lp_json *single = lp_json_find(node, "single");
    if (!lp_json_is(type, "TemplateProcessing") || !single || single->kind != LP_JSON_ARRAY)
        return unknown(f, "post_processor", type, "ByteLevel, TemplateProcessing");
    bool seen = false;
    const lp_json *at = single + 1;
    for (uint32_t i = 0; i < single->n; i++, at += at->span) {
        if (lp_json_find(at, "Sequence")) seen = true;
        else if (seen) *after = true;
        else *before = true;
    }
    return LP_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static lp_status check_model(const lp_hf_file *f, const lp_json *model, char *warning, size_t n_warning)
{
    const lp_json *root = f->json.node, *type = lp_json_find(model, "type"), *normalizer = lp_json_find(root, "normalizer");
    const lp_json *prefix = lp_json_find(model, "continuing_subword_prefix"), *suffix = lp_json_find(model, "end_of_word_suffix");
    const lp_json *decoder = lp_json_find(root, "decoder");
    if (!lp_json_is(lp_json_find(root, "version"), "1.0")) return lp_fail(LP_UNSUPPORTED, "%s: version: \"1.0\" is expected", f->path);
    if (!lp_json_is(type, "BPE")) return unknown(f, "model", type, "BPE");
    if (is_true(lp_json_find(model, "byte_fallback")))
        return lp_fail(LP_UNSUPPORTED, "%s: model: byte_fallback (a SentencePiece vocabulary) cannot be converted", f->path);
    if ((present(prefix) && prefix->n) || (present(suffix) && suffix->n) || present(lp_json_find(model, "dropout")))
        return lp_fail(LP_UNSUPPORTED, "%s: model: continuing_subword_prefix, end_of_word_suffix or dropout cannot be converted", f->path);
    if (present(decoder) && !lp_json_is(lp_json_find(decoder, "type"), "ByteLevel"))
        return unknown(f, "decoder", lp_json_find(decoder, "type"), "ByteLevel");
    if (!present(normalizer)) return LP_OK;
    if (!lp_json_is(lp_json_find(normalizer, "type"), "NFC")) return unknown(f, "normalizer", lp_json_find(normalizer, "type"), "NFC, or none");
    snprintf(warning, n_warning, "the normalizer NFC is not applied: texts in another form get other token ids");
    return LP_OK;
}

lp_status lp_hf_read_tokenizer(const lp_hf_file *f, const lp_hf_file *tokenizer_config, const lp_hf_file *config, int64_t n_vocab,
                               lp_gguf_writer *writer, lp_arena *arena, char *warning, size_t n_warning)
{
    const lp_json *model = lp_json_find(f->json.node, "model"), *chat = lp_json_find(tokenizer_config->json.node, "chat_template");
    const char *pre = NULL;
    vocabulary v = {0};
    int64_t bos = -1;
    bool before = false, after = false;
    warning[0] = '\0';
    LP_TRY(check_model(f, model, warning, n_warning));
    LP_TRY(find_pre(f, is_true(lp_json_find(model, "ignore_merges")), &pre));
    LP_TRY(read_vocabulary(f, model, n_vocab, arena, &v));
    LP_TRY(lp_gguf_writer_set_string(writer, "tokenizer.ggml.model", "gpt2"));
    LP_TRY(lp_gguf_writer_set_string(writer, "tokenizer.ggml.pre", pre));
    LP_TRY(lp_gguf_writer_set_strings(writer, "tokenizer.ggml.tokens", v.text, (uint64_t)n_vocab));
    LP_TRY(lp_gguf_writer_set_i32s(writer, "tokenizer.ggml.token_type", v.type, (uint64_t)n_vocab));
    LP_TRY(read_merges(f, model, arena, writer));
    LP_TRY(read_named(tokenizer_config, config, &v, writer, &bos));
    LP_TRY(read_post(f, lp_json_find(f->json.node, "post_processor"), &before, &after, 0));
    const lp_json *adds = lp_json_find(tokenizer_config->json.node, "add_bos_token");
    if (adds && adds->kind == LP_JSON_BOOL) before = adds->n;
    LP_TRY(lp_gguf_writer_set_bool(writer, "tokenizer.ggml.add_bos_token", before && bos >= 0));
    if (after) LP_TRY(lp_gguf_writer_set_bool(writer, "tokenizer.ggml.add_eos_token", true));
    if (!chat || chat->kind != LP_JSON_STRING) return LP_OK;
    char *text = lp_arena_copy_string(arena, chat->text, chat->n);
    return text ? lp_gguf_writer_set_string(writer, "tokenizer.chat_template", text) : LP_RESOURCE;
}

/* ---- the other way ----------------------------------------------------------------------------------------------- */

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

static void put_added(const lp_string *text, const int32_t *type, int64_t n, lp_json_text *out)
{
    bool first = true;
    lp_json_puts(out, "  \"added_tokens\": [");
    for (int64_t id = 0; id < n; id++) {
        if (type[id] != LP_TOKEN_CONTROL && type[id] != LP_TOKEN_USER_DEFINED && type[id] != LP_TOKEN_UNKNOWN) continue;
        lp_json_printf(out, "%s\n    {\"id\": %lld, \"content\": ", first ? "" : ",", (long long)id);
        lp_json_quote(out, text[id].data, text[id].n);
        lp_json_printf(out, ", \"single_word\": false, \"lstrip\": false, \"rstrip\": false, \"normalized\": false, \"special\": %s}",
                       type[id] == LP_TOKEN_USER_DEFINED ? "false" : "true");
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
static lp_status write_all(const lp_gguf *gguf, lp_string *text, int32_t *type, lp_string *merges, lp_json_text *out, lp_json_text *config)
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
    LP_TRY(lp_gguf_get_string(gguf, "tokenizer.ggml.pre", false, &pre));
    LP_TRY(lp_gguf_get_string(gguf, "tokenizer.chat_template", false, &chat));
    LP_TRY(lp_gguf_get_i64(gguf, "tokenizer.ggml.bos_token_id", false, &bos));
    const lp_hf_split *split = split_of(pre);
    if (!split) {
        lp_fail(LP_UNSUPPORTED, "%s: tokenizer.ggml.pre: '%.*s' has no form in tokenizer.json here", lp_gguf_path(gguf),
                (int)(pre.n < 64 ? pre.n : 64), pre.data);
        return lp_hint(LP_UNSUPPORTED, "known ones: gpt-2, smollm, llama-bpe, dbrx, qwen2");
    }
    add_bos = split->whole_word_first && bos >= 0;
    LP_TRY(lp_gguf_get_bool(gguf, "tokenizer.ggml.add_bos_token", false, &add_bos));

    n = without_padding(text, type, n);
    lp_json_puts(out, "{\n  \"version\": \"1.0\",\n  \"truncation\": null,\n  \"padding\": null,\n");
    put_added(text, type, n, out);
    lp_json_puts(out, "  \"normalizer\": null,\n");
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
    lp_string *merges = lp_arena_alloc_array(&arena, (size_t)lp_gguf_find(gguf, "tokenizer.ggml.merges")->n_elements, sizeof *merges);
    lp_status status = text && type && merges ? write_all(gguf, text, type, merges, tokenizer, tokenizer_config) : LP_RESOURCE;
    lp_arena_free(&arena);
    return status;
}
