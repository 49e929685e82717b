/* model WordPiece of tokenizer.json. Cards: runtime/unigram-and-tokenizer-json, runtime/tokenizers. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "model/hf/tokenizer.h"

static lp_status put_normalizer(lp_hf_tokenizer *t)
{
    const lp_json *root = t->file->json.node, *node = lp_json_find(root, "normalizer"), *pre = lp_json_find(root, "pre_tokenizer");
    const lp_json *strip = lp_json_find(node, "strip_accents");
    if (!lp_json_is(lp_json_find(node, "type"), "BertNormalizer")) return lp_hf_unknown(t->file, "normalizer", lp_json_find(node, "type"), "BertNormalizer");
    if (!lp_json_is(lp_json_find(pre, "type"), "BertPreTokenizer")) return lp_hf_unknown(t->file, "pre_tokenizer", lp_json_find(pre, "type"), "BertPreTokenizer");
    if (!lp_hf_is_true(lp_json_find(node, "clean_text")) || !lp_hf_is_true(lp_json_find(node, "handle_chinese_chars")))
        return lp_fail(LP_UNSUPPORTED, "%s: normalizer: BertNormalizer without clean_text or handle_chinese_chars cannot be converted", t->file->path);
    bool lowercase = lp_hf_is_true(lp_json_find(node, "lowercase"));
    LP_TRY(lp_gguf_writer_set_bool(t->writer, "tokenizer.ggml.normalizer.lowercase", lowercase));
    return lp_gguf_writer_set_bool(t->writer, "tokenizer.ggml.normalizer.strip_accents", lp_hf_present(strip) ? lp_hf_is_true(strip) : lowercase);
}

/* "##x" is "x", and "x" at the start of a word "U+2581 x". */
static lp_status rename_tokens(lp_hf_tokenizer *t)
{
    lp_vocabulary v;
    for (int64_t id = 0; id < t->n; id++) {
        lp_string s = t->text[id];
        if (t->type[id] != LP_TOKEN_NORMAL) continue;
        if (s.n > 2 && !memcmp(s.data, "##", 2)) {
            t->text[id] = (lp_string){s.data + 2, s.n - 2};
            continue;
        }
        char *text = lp_arena_alloc(t->arena, s.n + 3);
        if (!text) return LP_RESOURCE;
        memcpy(text, LP_SPM_SPACE, 3);
        memcpy(text + 3, s.data, s.n);
        t->text[id] = (lp_string){text, s.n + 3};
    }
    LP_TRY(lp_vocabulary_build(&v, t->arena, t->text, (int32_t)t->n));
    for (int32_t id = 0; id < t->n; id++) {
        char item[LP_PRINTABLE];
        if (t->text[id].n && lp_vocabulary_find(&v, t->text[id].data, t->text[id].n) != id)
            return lp_fail(LP_UNSUPPORTED, "%s: model: vocab: token %s would stand there twice", t->file->path, lp_name_printable(t->text[id], item));
    }
    return LP_OK;
}

lp_status lp_hf_read_wordpiece(lp_hf_tokenizer *t)
{
    const lp_json *prefix = lp_json_find(t->model, "continuing_subword_prefix"), *most = lp_json_find(t->model, "max_input_chars_per_word");
    int64_t n_most = 100;
    if (lp_hf_present(prefix) && !lp_json_is(prefix, "##")) return lp_hf_unknown(t->file, "model: continuing_subword_prefix", prefix, "##");
    if (lp_hf_present(most) && (!lp_json_integer(most, &n_most) || n_most < 1 || n_most > UINT32_MAX))
        return lp_fail(LP_INPUT, "%s: model: max_input_chars_per_word: is no length", t->file->path);
    LP_TRY(put_normalizer(t));
    LP_TRY(lp_hf_put_vocabulary(t));
    int64_t unknown = lp_hf_find_token(t, lp_json_find(t->model, "unk_token"));
    if (unknown < 0) return lp_fail(LP_INPUT, "%s: model: unk_token: missing, or no token", t->file->path);
    t->type[unknown] = LP_TOKEN_UNKNOWN;
    LP_TRY(lp_hf_finish_vocabulary(t, true));
    LP_TRY(rename_tokens(t));
    LP_TRY(lp_gguf_writer_set_string(t->writer, "tokenizer.ggml.model", "bert"));
    LP_TRY(lp_gguf_writer_set_string(t->writer, "tokenizer.ggml.pre", "default"));
    LP_TRY(lp_gguf_writer_set_u32(t->writer, "tokenizer.ggml.unknown_token_id", (uint32_t)unknown));
    return lp_gguf_writer_set_u32(t->writer, LP_KEY_MOST_CHARACTERS, (uint32_t)n_most);
}
