/* tokenizer.json to keys: vocabulary, named tokens, what stands around a text. Cards: runtime/unigram-and-tokenizer-json,
 * runtime/tokenizers. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "model/hf/tokenizer.h"

lp_status lp_hf_unknown(const lp_hf_file *file, const char *part, const lp_json *type, const char *known)
{
    char item[LP_PRINTABLE] = "?";
    if (type && type->kind == LP_JSON_STRING) lp_name_printable(lp_json_string(type), item);
    lp_fail(LP_UNSUPPORTED, "%s: %s: '%s' cannot be converted", file->path, part, item);
    return lp_hint(LP_UNSUPPORTED, "known here: %s", known);
}

void lp_hf_warn(lp_hf_tokenizer *t, const char *format, ...)
{
    va_list list;
    if (t->warning[0]) return;
    va_start(list, format);
    vsnprintf(t->warning, t->n_warning, format, list);
    va_end(list);
}

/* ---- vocabulary -------------------------------------------------------------------------------------------------- */

lp_status lp_hf_put_token(lp_hf_tokenizer *t, lp_string text, const lp_json *id_node, int32_t type)
{
    char item[LP_PRINTABLE];
    int64_t id;
    if (!lp_json_integer(id_node, &id) || id < 0 || id >= t->n_vocab)
        return lp_fail(LP_INPUT, "%s: token %s: its id is none of 0 to %lld", t->file->path, lp_name_printable(text, item),
                       (long long)t->n_vocab - 1);
    lp_string old = t->text[id];
    if (old.data && (old.n != text.n || memcmp(old.data, text.data, text.n) != 0))
        return lp_fail(LP_INPUT, "%s: token %s: another token has the id %lld", t->file->path, lp_name_printable(text, item), (long long)id);
    t->text[id] = text;
    t->type[id] = type;
    if (id >= t->n) t->n = id + 1;
    return LP_OK;
}

lp_status lp_hf_put_vocabulary(lp_hf_tokenizer *t)
{
    const lp_json *vocab = lp_json_find(t->model, "vocab");
    if (!vocab || vocab->kind != LP_JSON_OBJECT) return lp_fail(LP_INPUT, "%s: model: vocab: missing or no object", t->file->path);
    const lp_json *at = vocab + 1;
    for (uint32_t i = 0; i < vocab->n; i++, at += 1 + at[1].span)
        LP_TRY(lp_hf_put_token(t, lp_json_string(at), at + 1, LP_TOKEN_NORMAL));
    return LP_OK;
}

static lp_status put_added(lp_hf_tokenizer *t, const lp_json *token, uint32_t index, bool normalizes)
{
    static const struct {
        const char *name;
        lp_token_flag flag;
    } flags[] = {{"lstrip", LP_TOKEN_LSTRIP}, {"rstrip", LP_TOKEN_RSTRIP}, {"single_word", LP_TOKEN_SINGLE_WORD}};
    const lp_json *content = lp_json_find(token, "content"), *id = lp_json_find(token, "id");
    if (!content || content->kind != LP_JSON_STRING)
        return lp_fail(LP_INPUT, "%s: added_tokens[%u]: content: missing or no string", t->file->path, index);
    int32_t type = lp_hf_is_true(lp_json_find(token, "special")) ? LP_TOKEN_CONTROL : LP_TOKEN_USER_DEFINED;
    int64_t known;
    if (lp_json_integer(id, &known) && known >= 0 && known < t->n && t->type[known] == LP_TOKEN_UNKNOWN) type = LP_TOKEN_UNKNOWN;
    LP_TRY(lp_hf_put_token(t, lp_json_string(content), id, type));
    if (normalizes && lp_hf_is_true(lp_json_find(token, "normalized")))
        lp_hf_warn(t, "added token %.40s: is looked for before the normalizer, not behind it", content->text);
    lp_json_integer(id, &known);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (lp_hf_is_true(lp_json_find(token, flags[i].name))) t->flags[known] |= (uint8_t)flags[i].flag;
    return LP_OK;
}

static lp_status put_flags(lp_hf_tokenizer *t)
{
    int32_t *ids = lp_arena_alloc_array(t->arena, (size_t)t->n_vocab, sizeof *ids);
    if (!ids) return LP_RESOURCE;
    for (int k = 0; k < LP_TOKEN_FLAG_KEYS; k++) {
        uint64_t n = 0;
        for (int64_t id = 0; id < t->n; id++)
            if (t->flags[id] & lp_token_flag_keys[k].flag) ids[n++] = (int32_t)id;
        if (n) LP_TRY(lp_gguf_writer_set_i32s(t->writer, lp_token_flag_keys[k].key, ids, n));
    }
    return LP_OK;
}

lp_status lp_hf_finish_vocabulary(lp_hf_tokenizer *t, bool normalizes)
{
    const lp_json *added = lp_json_find(t->file->json.node, "added_tokens");
    if (lp_hf_present(added) && added->kind != LP_JSON_ARRAY) return lp_fail(LP_INPUT, "%s: added_tokens: no array", t->file->path);
    const lp_json *at = added ? added + 1 : NULL;
    for (uint32_t i = 0; at && i < added->n; i++, at += at->span) LP_TRY(put_added(t, at, i, normalizes));
    for (int64_t id = 0; id < t->n; id++)
        if (!t->text[id].data)
            return lp_fail(LP_INPUT, "%s: no token has the id %lld (there are %lld)", t->file->path, (long long)id, (long long)t->n);
    for (int64_t id = t->n; id < t->n_vocab; id++) { /* rows of the embedding without a token */
        char name[32];
        int n = snprintf(name, sizeof name, "[PAD%lld]", (long long)id);
        t->text[id] = (lp_string){lp_arena_copy_string(t->arena, name, (size_t)n), (size_t)n};
        t->type[id] = LP_TOKEN_UNUSED;
        if (!t->text[id].data) return LP_RESOURCE;
    }
    return put_flags(t);
}

int64_t lp_hf_find_token(const lp_hf_tokenizer *t, const lp_json *text)
{
    if (text && text->kind == LP_JSON_OBJECT) text = lp_json_find(text, "content");
    if (!text || text->kind != LP_JSON_STRING) return -1;
    for (int64_t id = 0; id < t->n; id++)
        if (t->text[id].n == text->n && memcmp(t->text[id].data, text->text, text->n) == 0) return id;
    return -1;
}

/* ---- named tokens ------------------------------------------------------------------------------------------------ */

/* Ids of named tokens, and those that `single` puts before and behind a text; -1: none. */
typedef struct named {
    int64_t bos, eos, unk, pad, before, behind;
} named;

static void read_named(const lp_hf_tokenizer *t, bool wordpiece, named *found)
{
    const struct {
        const char *text, *other_text, *id;
        int64_t *to;
    } rows[] = {{wordpiece ? "cls_token" : "bos_token", "cls_token", "bos_token_id", &found->bos},
                {wordpiece ? "sep_token" : "eos_token", "eos_token", "eos_token_id", &found->eos},
                {"unk_token", NULL, NULL, &found->unk},
                {"pad_token", NULL, NULL, &found->pad}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        int64_t id = lp_hf_find_token(t, lp_json_find(t->tokenizer_config->json.node, rows[i].text));
        const lp_json *other = rows[i].id ? lp_json_find(t->config->json.node, rows[i].id) : NULL;
        if (other && other->kind == LP_JSON_ARRAY && other->n) other++; /* several ends: the first */
        if (id < 0 && (!lp_json_integer(other, &id) || id < 0 || id >= t->n)) id = -1;
        *rows[i].to = id;
    }
}

/* One more token around a text. */
static lp_status add_around(const lp_hf_tokenizer *t, int64_t id, bool seen, named *found)
{
    int64_t *place = seen ? &found->behind : &found->before;
    if (id < 0) return lp_fail(LP_INPUT, "%s: post_processor: a token that the vocabulary lacks", t->file->path);
    if (*place >= 0) return lp_fail(LP_UNSUPPORTED, "%s: post_processor: more than one token %s a text cannot be converted", t->file->path, seen ? "behind" : "before");
    *place = id;
    return LP_OK;
}

static lp_status read_template(const lp_hf_tokenizer *t, const lp_json *node, named *found)
{
    const lp_json *single = lp_json_find(node, "single"), *ids = lp_json_find(node, "special_tokens");
    bool seen = false;
    if (!single || single->kind != LP_JSON_ARRAY) return lp_hf_unknown(t->file, "post_processor", lp_json_find(node, "type"), "TemplateProcessing with a list `single`");
    const lp_json *at = single + 1;
    for (uint32_t i = 0; i < single->n; i++, at += at->span) {
        const lp_json *sequence = lp_json_find(at, "Sequence"), *special = lp_json_find(at, "SpecialToken");
        if (sequence) {
            if (seen || !lp_json_is(lp_json_find(sequence, "id"), "A"))
                return lp_hf_unknown(t->file, "post_processor: single", lp_json_find(sequence, "id"), "one Sequence, A");
            seen = true;
            continue;
        }
        const lp_json *name = lp_json_find(special, "id"), *row = NULL;
        char text[256];
        if (name && name->kind == LP_JSON_STRING && name->n < sizeof text) {
            memcpy(text, name->text, name->n);
            text[name->n] = 0;
            row = lp_json_find(lp_json_find(ids, text), "ids");
        }
        int64_t id = -1;
        if (row && row->kind == LP_JSON_ARRAY && row->n == 1) lp_json_integer(row + 1, &id);
        if (id < 0) id = lp_hf_find_token(t, name);
        LP_TRY(add_around(t, id, seen, found));
    }
    return LP_OK;
}

static lp_status read_post(const lp_hf_tokenizer *t, const lp_json *node, named *found, int depth)
{
    const lp_json *type = lp_json_find(node, "type"), *list = lp_json_find(node, "processors");
    if (!lp_hf_present(node) || lp_json_is(type, "ByteLevel")) return LP_OK;
    if (lp_json_is(type, "Sequence") && list && list->kind == LP_JSON_ARRAY && depth < 2) {
        const lp_json *at = list + 1;
        for (uint32_t i = 0; i < list->n; i++, at += at->span) LP_TRY(read_post(t, at, found, depth + 1));
        return LP_OK;
    }
    if (lp_json_is(type, "TemplateProcessing")) return read_template(t, node, found);
    if (!lp_json_is(type, "BertProcessing") && !lp_json_is(type, "RobertaProcessing"))
        return lp_hf_unknown(t->file, "post_processor", type, "ByteLevel, TemplateProcessing, BertProcessing, RobertaProcessing");
    for (int i = 0; i < 2; i++) { /* ["text", id] */
        const lp_json *pair = lp_json_find(node, i ? "sep" : "cls");
        int64_t id = -1;
        if (!pair || pair->kind != LP_JSON_ARRAY || pair->n != 2 || !lp_json_integer(pair + 2, &id) || id < 0 || id >= t->n) id = -1;
        LP_TRY(add_around(t, id, i, found));
    }
    return LP_OK;
}

/* The token that is added is the one that the key names. */
static lp_status put_named(const lp_hf_tokenizer *t, bool wordpiece)
{
    named found = {-1, -1, -1, -1, -1, -1};
    read_named(t, wordpiece, &found);
    LP_TRY(read_post(t, lp_json_find(t->file->json.node, "post_processor"), &found, 0));
    if (found.before >= 0) found.bos = found.before;
    if (found.behind >= 0 && found.eos >= 0 && found.behind != found.eos)
        return lp_fail(LP_UNSUPPORTED, "%s: post_processor: token %lld behind a text is not eos_token, %lld", t->file->path, (long long)found.behind, (long long)found.eos);
    if (found.behind >= 0) found.eos = found.behind;
    for (int64_t id = 0; id < t->n && found.unk < 0; id++)
        if (t->type[id] == LP_TOKEN_UNKNOWN) found.unk = id;
    if (wordpiece && (found.before < 0 || found.behind < 0))
        return lp_fail(LP_UNSUPPORTED, "%s: post_processor: a text between two tokens, [CLS] and [SEP], is expected of WordPiece", t->file->path);
    const struct {
        const char *key;
        int64_t id;
    } keys[] = {{lp_named_token_key(LP_NAMED_BOS), found.bos},
                {lp_named_token_key(wordpiece ? LP_NAMED_SEPARATOR : LP_NAMED_EOS), found.eos},
                {lp_named_token_key(LP_NAMED_UNKNOWN), found.unk},
                {"tokenizer.ggml.padding_token_id", found.pad}};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        if (keys[i].id >= 0) LP_TRY(lp_gguf_writer_set_u32(t->writer, keys[i].key, (uint32_t)keys[i].id));
    const lp_json *adds = lp_json_find(t->tokenizer_config->json.node, "add_bos_token");
    bool before = adds && adds->kind == LP_JSON_BOOL ? adds->n : found.before >= 0;
    LP_TRY(lp_gguf_writer_set_bool(t->writer, "tokenizer.ggml.add_bos_token", before && found.bos >= 0));
    return found.behind >= 0 ? lp_gguf_writer_set_bool(t->writer, "tokenizer.ggml.add_eos_token", true) : LP_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static lp_status read_model(lp_hf_tokenizer *t)
{
    static const struct {
        const char *type;
        lp_status (*read)(lp_hf_tokenizer *);
        bool wordpiece;
    } kinds[] = {{"BPE", lp_hf_read_bpe, false}, {"Unigram", lp_hf_read_unigram, false}, {"WordPiece", lp_hf_read_wordpiece, true}};
    const lp_json *type = lp_json_find(t->model, "type");
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!lp_json_is(type, kinds[i].type)) continue;
        LP_TRY(kinds[i].read(t));
        LP_TRY(lp_gguf_writer_set_strings(t->writer, "tokenizer.ggml.tokens", t->text, (uint64_t)t->n_vocab));
        LP_TRY(lp_gguf_writer_set_i32s(t->writer, "tokenizer.ggml.token_type", t->type, (uint64_t)t->n_vocab));
        return put_named(t, kinds[i].wordpiece);
    }
    return lp_hf_unknown(t->file, "model", type, "BPE, Unigram, WordPiece");
}

lp_status lp_hf_read_tokenizer(const lp_hf_file *f, const lp_hf_file *tokenizer_config, const lp_hf_file *config, int64_t n_vocab,
                               lp_gguf_writer *writer, lp_arena *arena, char *warning, size_t n_warning)
{
    const lp_json *root = f->json.node, *chat = lp_json_find(tokenizer_config->json.node, "chat_template");
    lp_hf_tokenizer t = {.file = f, .tokenizer_config = tokenizer_config, .config = config, .model = lp_json_find(root, "model"),
                         .writer = writer, .arena = arena, .n_vocab = n_vocab, .warning = warning, .n_warning = n_warning};
    warning[0] = '\0';
    if (!lp_json_is(lp_json_find(root, "version"), "1.0")) return lp_fail(LP_UNSUPPORTED, "%s: version: \"1.0\" is expected", f->path);
    t.text = lp_arena_alloc_array(arena, (size_t)n_vocab, sizeof *t.text);
    t.type = lp_arena_alloc_array(arena, (size_t)n_vocab, sizeof *t.type);
    t.flags = lp_arena_alloc_array(arena, (size_t)n_vocab, 1);
    if (!t.text || !t.type || !t.flags) return LP_RESOURCE;
    LP_TRY(read_model(&t));
    if (!chat || chat->kind != LP_JSON_STRING) return LP_OK;
    char *text = lp_arena_copy_string(arena, chat->text, chat->n);
    return text ? lp_gguf_writer_set_string(writer, "tokenizer.chat_template", text) : LP_RESOURCE;
}
