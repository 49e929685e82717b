/* model BPE of tokenizer.json: byte-level, or SentencePiece's with tokens of bytes. Card: runtime/unigram-and-tokenizer-json. */
#include <stdio.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "model/hf/tokenizer.h"

#define CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)|"
#define REST " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

/* Patterns are compared as texts and never run. */
const lp_hf_split lp_hf_splits[] = {
    {"gpt-2", false, NULL, false, false},
    {"olmo", false, NULL, false, true},
    {"smollm", false, NULL, true, false},
    {"llama-bpe", true, CONTRACTIONS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" REST, false, false},
    {"dbrx", false, CONTRACTIONS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" REST, false, false},
    {"qwen2", false, CONTRACTIONS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" REST, false, true},
    {"deepseek-r1-qwen", false, CONTRACTIONS "[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" REST, false, false},
};
int lp_hf_split_count(void) { return (int)(sizeof lp_hf_splits / sizeof *lp_hf_splits); }

/* ---- pre-tokenizer ----------------------------------------------------------------------------------------------- */

/* What a chain of pre-tokenizers amounts to. */
typedef struct chain {
    const lp_json *regex;
    bool digits, bytes, own_regex;
} chain;

static lp_status read_split(const lp_hf_file *f, const lp_json *node, chain *c)
{
    const lp_json *regex = lp_json_find(lp_json_find(node, "pattern"), "Regex"), *behavior = lp_json_find(node, "behavior");
    bool inverted = lp_hf_is_true(lp_json_find(node, "invert"));
    bool isolates = lp_json_is(behavior, "Isolated") || (lp_json_is(behavior, "Removed") && inverted);
    if (!regex || regex->kind != LP_JSON_STRING || !isolates || (inverted && lp_json_is(behavior, "Isolated")) || c->regex)
        return lp_hf_unknown(f, "pre_tokenizer: Split", behavior, "one Split that isolates what a Regex matches");
    c->regex = regex;
    return LP_OK;
}

static lp_status read_pre(const lp_hf_file *f, const lp_json *node, chain *c, int depth)
{
    const lp_json *type = lp_json_find(node, "type"), *list = lp_json_find(node, "pretokenizers");
    if (c->bytes) return lp_hf_unknown(f, "pre_tokenizer", type, "ByteLevel stands last");
    if (lp_json_is(type, "Sequence") && list && list->kind == LP_JSON_ARRAY && depth < 2) {
        const lp_json *at = list + 1;
        for (uint32_t i = 0; i < list->n; i++, at += at->span) LP_TRY(read_pre(f, at, c, depth + 1));
        return LP_OK;
    }
    if (lp_json_is(type, "Split")) return read_split(f, node, c);
    if (lp_json_is(type, "Digits") && lp_hf_is_true(lp_json_find(node, "individual_digits"))) {
        c->digits = true;
        return LP_OK;
    }
    if (!lp_json_is(type, "ByteLevel") || lp_hf_is_true(lp_json_find(node, "add_prefix_space")))
        return lp_hf_unknown(f, "pre_tokenizer", type, "Split by a known pattern, Digits one by one, ByteLevel without a prefix space");
    const lp_json *own = lp_json_find(node, "use_regex");
    c->bytes = true;
    c->own_regex = !own || lp_hf_is_true(own);
    return LP_OK;
}

static lp_status find_pre(const lp_hf_file *f, bool whole_word_first, bool nfc, const char **pre)
{
    chain c = {0};
    const lp_json *node = lp_json_find(f->json.node, "pre_tokenizer");
    if (!lp_hf_present(node)) return lp_fail(LP_UNSUPPORTED, "%s: pre_tokenizer: missing (ByteLevel is expected)", f->path);
    LP_TRY(read_pre(f, node, &c, 0));
    for (int i = 0; i < lp_hf_split_count() && c.bytes && c.own_regex == !c.regex; i++) {
        const lp_hf_split *row = &lp_hf_splits[i];
        bool same_regex = row->regex ? lp_json_is(c.regex, row->regex) : !c.regex;
        if (!same_regex || row->digits != c.digits || row->whole_word_first != whole_word_first || row->nfc != nfc) continue;
        *pre = row->pre;
        return LP_OK;
    }
    lp_fail(LP_UNSUPPORTED, "%s: pre_tokenizer: not a known one%s%s%.*s%s", f->path, nfc ? " behind NFC" : "", c.regex ? " (pattern " : "",
            c.regex ? (int)(c.regex->n < 300 ? c.regex->n : 300) : 0, c.regex ? c.regex->text : "", c.regex ? ")" : "");
    return lp_hint(LP_UNSUPPORTED, "known ones: those of gpt-2, smollm, llama-bpe, dbrx and qwen2; with NFC those of olmo and qwen2");
}

/* ---- merges -------------------------------------------------------------------------------------------------------- */

/* "a b", from that or from ["a", "b"]. */
lp_status lp_hf_read_merges(lp_hf_tokenizer *t, lp_string **out_merges, size_t *n_merges)
{
    const lp_hf_file *f = t->file;
    const lp_json *merges = lp_json_find(t->model, "merges");
    if (!merges || merges->kind != LP_JSON_ARRAY) return lp_fail(LP_INPUT, "%s: model: merges: missing or no array", f->path);
    lp_string *text = lp_arena_alloc_array(t->arena, merges->n, sizeof *text);
    size_t n_bytes = 0;
    const lp_json *at = merges + 1;
    for (uint32_t i = 0; i < merges->n; i++, at += at->span) {
        bool pair = at->kind == LP_JSON_ARRAY && at->n == 2 && at[1].kind == LP_JSON_STRING && at[2].kind == LP_JSON_STRING;
        if (pair && (memchr(at[1].text, ' ', at[1].n) || memchr(at[2].text, ' ', at[2].n)))
            return lp_fail(LP_UNSUPPORTED, "%s: merges[%u]: a side holds a space", f->path, i);
        if (!pair && at->kind != LP_JSON_STRING) return lp_fail(LP_INPUT, "%s: merges[%u]: neither a string nor a pair", f->path, i);
        if (pair && (!lp_add_size(n_bytes, (size_t)at[1].n + at[2].n + 1, &n_bytes))) return lp_fail_memory(n_bytes, "merges");
    }
    char *out = lp_arena_alloc(t->arena, n_bytes);
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
    *out_merges = text;
    *n_merges = merges->n;
    return LP_OK;
}

/* ---- byte-level --------------------------------------------------------------------------------------------------- */

static lp_status read_byte_level(lp_hf_tokenizer *t)
{
    const lp_json *root = t->file->json.node, *normalizer = lp_json_find(root, "normalizer"), *decoder = lp_json_find(root, "decoder");
    const char *pre = NULL;
    lp_string *merges;
    size_t n;
    bool nfc = lp_json_is(lp_json_find(normalizer, "type"), "NFC");
    if (lp_hf_present(normalizer) && !nfc) return lp_hf_unknown(t->file, "normalizer", lp_json_find(normalizer, "type"), "NFC, or none");
    if (lp_hf_present(decoder) && !lp_json_is(lp_json_find(decoder, "type"), "ByteLevel"))
        return lp_hf_unknown(t->file, "decoder", lp_json_find(decoder, "type"), "ByteLevel");
    LP_TRY(find_pre(t->file, lp_hf_is_true(lp_json_find(t->model, "ignore_merges")), nfc, &pre));
    LP_TRY(lp_hf_put_vocabulary(t));
    LP_TRY(lp_hf_finish_vocabulary(t, nfc));
    LP_TRY(lp_hf_read_merges(t, &merges, &n));
    LP_TRY(lp_gguf_writer_set_string(t->writer, "tokenizer.ggml.model", "gpt2"));
    LP_TRY(lp_gguf_writer_set_string(t->writer, "tokenizer.ggml.pre", pre));
    return lp_gguf_writer_set_strings(t->writer, "tokenizer.ggml.merges", merges, n);
}

/* ---- SentencePiece ------------------------------------------------------------------------------------------------ */

/* Types of the tokens of bytes and of the unknown token; LP_UNSUPPORTED if one of the 256 is missing. */
static lp_status type_tokens(lp_hf_tokenizer *t)
{
    int n = 0;
    for (int64_t id = 0; id < t->n; id++) {
        const char *digits = "0123456789ABCDEF";
        lp_string s = t->text[id];
        if (s.n != 6 || memcmp(s.data, "<0x", 3) || s.data[5] != '>' || !memchr(digits, s.data[3], 16) || !memchr(digits, s.data[4], 16)) continue;
        t->type[id] = LP_TOKEN_BYTE;
        n++;
    }
    if (n != 256) return lp_fail(LP_UNSUPPORTED, "%s: model: byte_fallback: %d of the 256 tokens of bytes are there", t->file->path, n);
    int64_t unknown = lp_hf_find_token(t, lp_json_find(t->model, "unk_token"));
    if (unknown >= 0) t->type[unknown] = LP_TOKEN_UNKNOWN;
    return LP_OK;
}

/* Scores that let a merge by score do what the list of merges does: all merges into one token stand together, and every pair of
 * tokens that make one is among them. Else LP_UNSUPPORTED: other programs would give other ids. */
static lp_status make_scores(lp_hf_tokenizer *t, const lp_merges *merges, const lp_vocabulary *v, float *score)
{
    char item[LP_PRINTABLE];
    int32_t last = -1;
    int64_t rank = 0;
    size_t *into = lp_arena_alloc_array(t->arena, (size_t)t->n, sizeof *into); /* merges of each token */
    if (!into) return LP_RESOURCE;
    for (size_t i = 0; i < merges->n; i++) {
        int32_t id = merges->list[i].merged;
        if (id != last && into[id])
            return lp_fail(LP_UNSUPPORTED, "%s: model: merges: those of token %s do not stand together, so no scores say the same", t->file->path,
                           lp_name_printable(t->text[id], item));
        if (id != last) score[id] = -(float)++rank;
        into[id]++;
        last = id;
    }
    if (rank >= 1 << 24) return lp_fail(LP_UNSUPPORTED, "%s: model: merges: %lld are more than scores can tell apart", t->file->path, (long long)rank);
    for (int64_t id = 0; id < t->n; id++) {
        size_t n = 0;
        if (t->type[id] != LP_TOKEN_NORMAL) continue;
        for (size_t cut = 1; cut < t->text[id].n; cut++) {
            if (((uint8_t)t->text[id].data[cut] & 0xc0) == 0x80) continue;
            int32_t left = lp_vocabulary_find(v, t->text[id].data, cut);
            int32_t right = lp_vocabulary_find(v, t->text[id].data + cut, t->text[id].n - cut);
            n += left >= 0 && right >= 0 && t->type[left] == LP_TOKEN_NORMAL && t->type[right] == LP_TOKEN_NORMAL;
        }
        if (n > into[id])
            return lp_fail(LP_UNSUPPORTED, "%s: model: merges: %zu of the %zu into token %s are missing, so no scores say the same", t->file->path,
                           n - into[id], n, lp_name_printable(t->text[id], item));
        if (!into[id]) score[id] = -(float)(rank + 1);
    }
    return LP_OK;
}

static lp_status read_sentencepiece(lp_hf_tokenizer *t)
{
    lp_hf_spaces spaces;
    lp_string *text;
    lp_vocabulary v;
    lp_merges merges = {0};
    size_t n;
    LP_TRY(lp_hf_read_spaces(t, &spaces));
    if (!spaces.escapes || spaces.collapses || spaces.charsmap || lp_hf_is_true(lp_json_find(t->model, "ignore_merges")))
        return lp_fail(LP_UNSUPPORTED, "%s: model: byte_fallback with a charsmap, with spaces that collapse or stay, or with ignore_merges cannot be converted", t->file->path);
    LP_TRY(lp_hf_put_vocabulary(t));
    LP_TRY(type_tokens(t));
    LP_TRY(lp_hf_finish_vocabulary(t, lp_hf_present(lp_json_find(t->file->json.node, "normalizer"))));
    LP_TRY(lp_hf_read_merges(t, &text, &n));
    float *score = lp_arena_alloc_array(t->arena, (size_t)t->n_vocab, sizeof *score);
    if (!score) return LP_RESOURCE;
    LP_TRY(lp_vocabulary_build(&v, t->arena, t->text, (int32_t)t->n));
    LP_TRY(lp_merges_build(&merges, t->arena, &v, text, n, t->file->path));
    LP_TRY(make_scores(t, &merges, &v, score));
    LP_TRY(lp_gguf_writer_set_string(t->writer, "tokenizer.ggml.model", "llama"));
    LP_TRY(lp_gguf_writer_set_string(t->writer, "tokenizer.ggml.pre", "default"));
    LP_TRY(lp_gguf_writer_set_f32s(t->writer, "tokenizer.ggml.scores", score, (uint64_t)t->n_vocab));
    LP_TRY(lp_gguf_writer_set_strings(t->writer, "tokenizer.ggml.merges", text, n));
    LP_TRY(lp_gguf_writer_set_bool(t->writer, LP_KEY_BY_MERGES, true));
    return lp_hf_put_spaces(t, &spaces);
}

lp_status lp_hf_read_bpe(lp_hf_tokenizer *t)
{
    const lp_json *prefix = lp_json_find(t->model, "continuing_subword_prefix"), *suffix = lp_json_find(t->model, "end_of_word_suffix");
    if ((lp_hf_present(prefix) && prefix->n) || (lp_hf_present(suffix) && suffix->n) || lp_hf_present(lp_json_find(t->model, "dropout")))
        return lp_fail(LP_UNSUPPORTED, "%s: model: continuing_subword_prefix, end_of_word_suffix or dropout cannot be converted", t->file->path);
    return lp_hf_is_true(lp_json_find(t->model, "byte_fallback")) ? read_sentencepiece(t) : read_byte_level(t);
}
