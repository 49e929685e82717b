/* model Unigram of tokenizer.json. Card: runtime/unigram-and-tokenizer-json. */
#include <math.h>
#include <string.h>

#include "base/fail.h"
#include "model/hf/tokenizer.h"

/* base64 into out[3 n / 4]; false: it is none. */
static bool decode_base64(const char *text, size_t n, uint8_t *out, size_t *n_out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    uint32_t bits = 0;
    *n_out = 0;
    if (n % 4) return false;
    size_t padding = n && text[n - 1] == '=' ? 1 + (text[n - 2] == '=') : 0;
    for (size_t i = 0; i < n; i++) {
        const char *digit = i < n - padding ? memchr(digits, text[i], 64) : digits;
        if (!digit) return false;
        bits = bits << 6 | (uint32_t)(digit - digits);
        if (i % 4 != 3) continue;
        for (int k = 16; k >= 0; k -= 8) out[(*n_out)++] = (uint8_t)(bits >> k);
    }
    *n_out -= padding;
    return true;
}

static lp_status put_charsmap(lp_hf_tokenizer *t, const lp_json *text)
{
    lp_charsmap checked;
    size_t n;
    uint8_t *bytes = lp_arena_alloc(t->arena, (size_t)text->n / 4 * 3 + 3);
    if (!bytes) return LP_RESOURCE;
    if (!decode_base64(text->text, text->n, bytes, &n)) return lp_fail(LP_INPUT, "%s: normalizer: precompiled_charsmap: is no base64", t->file->path);
    LP_TRY(lp_charsmap_build(&checked, t->arena, bytes, n, t->file->path));
    return n ? lp_gguf_writer_set_u8s(t->writer, "tokenizer.ggml.precompiled_charsmap", bytes, n) : LP_OK;
}

/* [text, score] each; the place is the id. */
static lp_status put_pieces(lp_hf_tokenizer *t, float *score)
{
    const lp_json *vocab = lp_json_find(t->model, "vocab");
    bool rounded = false;
    if (!vocab || vocab->kind != LP_JSON_ARRAY) return lp_fail(LP_INPUT, "%s: model: vocab: missing or no array", t->file->path);
    if (vocab->n > t->n_vocab)
        return lp_fail(LP_INPUT, "%s: model: vocab: %u tokens, but the embedding has %lld rows", t->file->path, vocab->n, (long long)t->n_vocab);
    const lp_json *at = vocab + 1;
    for (uint32_t i = 0; i < vocab->n; i++, at += at->span) {
        double value;
        if (at->kind != LP_JSON_ARRAY || at->n != 2 || at[1].kind != LP_JSON_STRING || !lp_json_real(at + 2, &value) || !isfinite((float)value))
            return lp_fail(LP_INPUT, "%s: model: vocab[%u]: is no pair of a text and a finite score", t->file->path, i);
        t->text[i] = lp_json_string(at + 1);
        t->type[i] = LP_TOKEN_NORMAL;
        score[i] = (float)value;
        rounded |= (double)score[i] != value;
    }
    t->n = vocab->n;
    if (rounded) lp_hf_warn(t, "scores are rounded to float32: cuts of almost equal scores may change");
    return LP_OK;
}

/* Of equal texts the last would count there, and the first here. */
static lp_status check_texts(const lp_hf_tokenizer *t)
{
    lp_vocabulary v;
    char item[LP_PRINTABLE];
    LP_TRY(lp_vocabulary_build(&v, t->arena, t->text, (int32_t)t->n));
    for (int32_t id = 0; id < t->n; id++)
        if (t->text[id].n && lp_vocabulary_find(&v, t->text[id].data, t->text[id].n) != id)
            return lp_fail(LP_UNSUPPORTED, "%s: model: vocab[%d]: token %s stands there twice", t->file->path, id, lp_name_printable(t->text[id], item));
    return LP_OK;
}

/* Tokens of bytes are what unknown characters become, if byte_fallback says so and all are there; else they are plain texts. */
static lp_status type_bytes(lp_hf_tokenizer *t)
{
    int n = 0;
    for (int64_t id = 0; id < t->n; id++) {
        lp_string s = t->text[id];
        const char *digits = "0123456789ABCDEF";
        if (s.n != 6 || memcmp(s.data, "<0x", 3) || s.data[5] != '>' || !memchr(digits, s.data[3], 16) || !memchr(digits, s.data[4], 16)) continue;
        n++;
        t->type[id] = LP_TOKEN_BYTE;
    }
    bool wanted = lp_hf_is_true(lp_json_find(t->model, "byte_fallback"));
    if (wanted ? n == 256 : n == 0) return LP_OK;
    return lp_fail(LP_UNSUPPORTED, "%s: model: byte_fallback is %s, but %d of the 256 tokens of bytes are there", t->file->path, wanted ? "true" : "false", n);
}

lp_status lp_hf_read_unigram(lp_hf_tokenizer *t)
{
    lp_hf_spaces spaces;
    const lp_json *unk = lp_json_find(t->model, "unk_id");
    float *score = lp_arena_alloc_array(t->arena, (size_t)t->n_vocab, sizeof *score);
    if (!score) return LP_RESOURCE;
    LP_TRY(lp_hf_read_spaces(t, &spaces));
    if (!spaces.escapes) return lp_fail(LP_UNSUPPORTED, "%s: pre_tokenizer: Unigram without Metaspace cannot be converted", t->file->path);
    LP_TRY(put_pieces(t, score));
    LP_TRY(check_texts(t));
    LP_TRY(type_bytes(t));
    int64_t id;
    if (lp_hf_present(unk)) {
        if (!lp_json_integer(unk, &id) || id < 0 || id >= t->n) return lp_fail(LP_INPUT, "%s: model: unk_id: is no token", t->file->path);
        t->type[id] = LP_TOKEN_UNKNOWN;
    } else if (!lp_hf_is_true(lp_json_find(t->model, "byte_fallback"))) {
        return lp_fail(LP_UNSUPPORTED, "%s: model: unk_id: null cannot be converted: t5 vocabularies have an unknown token", t->file->path);
    }
    LP_TRY(lp_hf_finish_vocabulary(t, lp_hf_present(lp_json_find(t->file->json.node, "normalizer"))));
    LP_TRY(lp_gguf_writer_set_string(t->writer, "tokenizer.ggml.model", "t5"));
    LP_TRY(lp_gguf_writer_set_string(t->writer, "tokenizer.ggml.pre", "default"));
    LP_TRY(lp_gguf_writer_set_f32s(t->writer, "tokenizer.ggml.scores", score, (uint64_t)t->n_vocab));
    LP_TRY(lp_gguf_writer_set_bool(t->writer, "tokenizer.ggml.add_eos_token", false)); /* unless something stands behind a text */
    if (spaces.charsmap) LP_TRY(put_charsmap(t, spaces.charsmap));
    return lp_hf_put_spaces(t, &spaces);
}
