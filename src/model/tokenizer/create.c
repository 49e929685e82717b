/* From a vocabulary's arrays to a tokenizer. Card: runtime/tokenizers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode.h"

static const char *const named_keys[] = {
    [LP_NAMED_BOS] = "tokenizer.ggml.bos_token_id",         [LP_NAMED_EOS] = "tokenizer.ggml.eos_token_id",
    [LP_NAMED_EOT] = "tokenizer.ggml.eot_token_id",         [LP_NAMED_EOM] = "tokenizer.ggml.eom_token_id",
    [LP_NAMED_UNKNOWN] = "tokenizer.ggml.unknown_token_id", [LP_NAMED_FIM_PAD] = "tokenizer.ggml.fim_pad_token_id",
    [LP_NAMED_FIM_REP] = "tokenizer.ggml.fim_rep_token_id", [LP_NAMED_FIM_SEP] = "tokenizer.ggml.fim_sep_token_id",
    [LP_NAMED_SEPARATOR] = "tokenizer.ggml.seperator_token_id", /* sic */
};
_Static_assert(sizeof named_keys / sizeof *named_keys == LP_NAMED_COUNT, "a key for every named token");

const char *lp_named_token_key(lp_named_token which) { return named_keys[which]; }

const lp_token_flag_key lp_token_flag_keys[LP_TOKEN_FLAG_KEYS] = {{"lowp.tokenizer.lstrip", LP_TOKEN_LSTRIP},
                                                                  {"lowp.tokenizer.rstrip", LP_TOKEN_RSTRIP},
                                                                  {"lowp.tokenizer.single_word", LP_TOKEN_SINGLE_WORD}};

/* Files do not mark which tokens end an answer; it is known by the texts that the model families use. */
static const char *const end_texts[] = {
    "<|eot_id|>", "<|im_end|>", "<|end|>", "<|return|>", "<|call|>", "<end_of_turn>", "<|endoftext|>", "</s>",
    "<|eom_id|>", "<EOT>", "_<EOT>", "[EOT]", "[EOS]", "<|end_of_text|>", "<end_of_utterance>", "<eos>",
    "<turn|>", "<|tool_response>", "<|flush|>", "<|calls|>", "[e~[", "<\uff5cend\u2581of\u2581sentence\uff5c>",
    /* padding, repository and file separators of fill-in-the-middle */
    "<|fim_pad|>", "<fim-pad>", "<fim_pad>", "<PAD>", "[PAD]", "<|fim_repo|>", "<|repo_name|>", "<fim-repo>", "<REPO>",
    "<reponame>", "<|file_sep|>",
};

/* Before, between and behind the parts of fill-in-the-middle: control, whatever the file says. */
static const char *const middle_texts[] = {
    "<|fim_prefix|>", "<fim-prefix>", "<fim_prefix>", "<\uff5cfim\u2581begin\uff5c>", "<PRE>", "\u2581<PRE>",
    "<|code_prefix|>", "<|prefix|>", "<|fim_suffix|>", "<fim-suffix>", "<fim_suffix>", "<\uff5cfim\u2581hole\uff5c>",
    "<SUF>", "\u2581<SUF>", "<|code_suffix|>", "<|suffix|>", "<|fim_middle|>", "<fim-middle>", "<fim_middle>",
    "<\uff5cfim\u2581end\uff5c>", "<MID>", "\u2581<MID>", "<|code_middle|>", "<|middle|>",
};

static int32_t find_text(const lp_vocabulary *vocabulary, const char *text)
{
    return lp_vocabulary_find(vocabulary, text, strlen(text));
}

/* A token that ends generation is control, whatever the file says: a text must not be able to hold one. */
static void mark_ends(lp_tokenizer *t, const lp_tokenizer_source *source)
{
    static const lp_named_token ends[] = {LP_NAMED_EOS, LP_NAMED_EOT, LP_NAMED_EOM, LP_NAMED_FIM_PAD, LP_NAMED_FIM_REP,
                                          LP_NAMED_FIM_SEP};
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (source->named[ends[i]] >= 0) t->ends_generation[source->named[ends[i]]] = true;
    for (size_t i = 0; i < sizeof end_texts / sizeof *end_texts; i++) {
        int32_t id = find_text(&t->vocabulary, end_texts[i]);
        if (id < 0 || (t->kind == LP_TOKENIZER_GEMMA4 && !strcmp(end_texts[i], "</s>"))) continue; /* HTML's, there */
        t->ends_generation[id] = true;
        t->type[id] = LP_TOKEN_CONTROL;
    }
    for (size_t i = 0; i < sizeof middle_texts / sizeof *middle_texts; i++) {
        int32_t id = find_text(&t->vocabulary, middle_texts[i]);
        if (id >= 0) t->type[id] = LP_TOKEN_CONTROL;
    }
    /* Where <|return|> and <|call|> end an answer, <|end|> only ends one of its messages. */
    int32_t end = find_text(&t->vocabulary, "<|end|>");
    if (end >= 0 && end != t->eos && find_text(&t->vocabulary, "<|return|>") >= 0 &&
        find_text(&t->vocabulary, "<|call|>") >= 0)
        t->ends_generation[end] = false;
}

static bool is_special(uint8_t type)
{
    return type == LP_TOKEN_CONTROL || type == LP_TOKEN_UNKNOWN || type == LP_TOKEN_USER_DEFINED;
}

/* Phi-3's special tokens take the white space behind them along, which its files do not say; it is known by their name. */
static bool takes_space(const lp_tokenizer *t, int32_t id)
{
    static const char *const keep[] = {"<unk>", "<s>", "<|endoftext|>"};
    if (!is_special(t->type[id])) return false;
    for (size_t i = 0; i < sizeof keep / sizeof *keep; i++)
        if (id == find_text(&t->vocabulary, keep[i])) return false;
    return true;
}

/* Byte that "<0xXX>" names; -1: another text. */
static int named_byte(lp_string text)
{
    if (text.n != 6 || memcmp(text.data, "<0x", 3) || text.data[5] != '>') return -1;
    int value = 0;
    for (int i = 3; i < 5; i++) {
        const char *digits = "0123456789ABCDEF", *digit = memchr(digits, text.data[i], 16);
        if (!digit) return -1;
        value = 16 * value + (int)(digit - digits);
    }
    return value;
}

/* Writes what a normal text of byte-level BPE stands for: byte characters mapped back, others as they are. */
static char *decode_byte_characters(lp_string text, char *out)
{
    const uint8_t *p = (const uint8_t *)text.data;
    for (size_t at = 0, next; at < text.n; at = next) {
        int byte = lp_character_byte(lp_utf8_decode(p, at, &next));
        if (byte >= 0) {
            *out++ = (char)byte;
        } else {
            memcpy(out, p + at, next - at);
            out += next - at;
        }
    }
    return out;
}

/* The same of SentencePiece: U+2581 is a space. */
static char *decode_spaces(lp_string text, char *out)
{
    for (size_t at = 0; at < text.n;) {
        if (text.n - at >= 3 && !memcmp(text.data + at, LP_SPM_SPACE, 3)) {
            *out++ = ' ';
            at += 3;
        } else {
            *out++ = text.data[at++];
        }
    }
    return out;
}

/* Bytes that each token stands for; a special text stands for itself. */
static lp_status decode_tokens(lp_tokenizer *t)
{
    const lp_vocabulary *v = &t->vocabulary;
    size_t n_bytes = 0;
    for (int32_t id = 0; id < v->n; id++) n_bytes += v->text[id].n; /* their sum was checked */
    char *out = lp_arena_alloc(&t->arena, n_bytes);
    t->bytes = lp_arena_alloc_array(&t->arena, (size_t)v->n, sizeof *t->bytes);
    if (!out || !t->bytes) return LP_RESOURCE;
    for (int32_t id = 0; id < v->n; id++) {
        lp_string text = v->text[id];
        const uint8_t *p = (const uint8_t *)text.data;
        char *begin = out;
        if (is_special(t->type[id]) || lp_utf8_valid_prefix(p, text.n) < text.n) {
            t->bytes[id] = text;
            continue;
        }
        if (t->kind == LP_TOKENIZER_BPE)
            out = decode_byte_characters(text, out);
        else if (t->type[id] == LP_TOKEN_BYTE && named_byte(text) >= 0)
            *out++ = (char)named_byte(text);
        else
            out = decode_spaces(text, out);
        t->bytes[id] = (lp_string){begin, (size_t)(out - begin)};
    }
    return LP_OK;
}

static lp_status build_special(lp_tokenizer *t)
{
    const lp_vocabulary *v = &t->vocabulary;
    int32_t *ids = malloc(((size_t)v->n + 1) * sizeof *ids);
    if (!ids) return lp_fail_memory((size_t)v->n * sizeof *ids, "special tokens");
    size_t n_all = 0, n_user = 0;
    for (int32_t id = 0; id < v->n; id++)
        if (is_special(t->type[id])) ids[n_all++] = id;
    lp_status status = lp_special_build(&t->special, &t->arena, v->text, ids, n_all);
    for (size_t i = 0; i < n_all; i++)
        if (t->type[ids[i]] == LP_TOKEN_USER_DEFINED) ids[n_user++] = ids[i];
    if (status == LP_OK) status = lp_special_build(&t->user_defined, &t->arena, v->text, ids, n_user);
    free(ids);
    return status;
}

static bool is_text(lp_string s, const char *text) { return s.n == strlen(text) && !memcmp(s.data, text, s.n); }

static int shown(lp_string s) { return (int)(s.n < 80 ? s.n : 80); }

static lp_status choose_split(lp_tokenizer *t, const lp_tokenizer_source *source)
{
    lp_string pre = source->pre;
    if (!pre.n || is_text(pre, "default")) pre = (lp_string){"gpt-2", 5};
    t->split = lp_split_find(pre.data, pre.n);
    if (t->split) return LP_OK;
    char names[2048];
    lp_split_names(names, sizeof names);
    lp_fail(LP_UNSUPPORTED, "%s: tokenizer.ggml.pre: pre-tokenizer \"%.*s\" is not known", source->name, shown(pre), pre.data);
    return lp_hint(LP_UNSUPPORTED, "known ones: %s", names);
}

static const char *const kind_names[] = {[LP_TOKENIZER_BPE] = "gpt2",      [LP_TOKENIZER_SPM] = "llama",
                                         [LP_TOKENIZER_GEMMA4] = "gemma4", [LP_TOKENIZER_UNIGRAM] = "t5",
                                         [LP_TOKENIZER_WORDPIECE] = "bert"};
_Static_assert(sizeof kind_names / sizeof *kind_names == LP_TOKENIZER_KIND_COUNT, "a name for every kind");

lp_status lp_tokenizer_find_kind(const char *name, lp_string model, lp_tokenizer_kind *kind)
{
    for (int i = 0; i < LP_TOKENIZER_KIND_COUNT; i++)
        if (is_text(model, kind_names[i])) return *kind = (lp_tokenizer_kind)i, LP_OK;
    lp_fail(LP_UNSUPPORTED, "%s: tokenizer.ggml.model: tokenizer \"%.*s\" is not supported", name, shown(model), model.data);
    return lp_hint(LP_UNSUPPORTED, "known ones: gpt2 (byte-level BPE), llama and gemma4 (SentencePiece), t5 (Unigram), bert (WordPiece)");
}

bool lp_tokenizer_kind_has_scores(lp_tokenizer_kind kind) { return kind == LP_TOKENIZER_SPM || kind == LP_TOKENIZER_UNIGRAM; }

static lp_status check_source(const lp_tokenizer_source *source)
{
    lp_tokenizer_kind kind = LP_TOKENIZER_BPE;
    LP_TRY(lp_tokenizer_find_kind(source->name, source->model, &kind));
    if (source->n_tokens <= 0)
        return lp_fail(LP_INPUT, "%s: tokenizer.ggml.tokens: no tokens", source->name);
    for (int32_t i = 0; source->types && i < source->n_tokens; i++)
        if (source->types[i] < 0 || source->types[i] >= LP_TOKEN_TYPE_COUNT)
            return lp_fail(LP_INPUT, "%s: tokenizer.ggml.token_type[%d]: %d is not a type (0 to 6)", source->name, i,
                           source->types[i]);
    for (int i = 0; i < LP_NAMED_COUNT; i++)
        if (source->named[i] < -1 || source->named[i] >= source->n_tokens)
            return lp_fail(LP_INPUT, "%s: %s: %d is not a token (there are %d)", source->name, named_keys[i],
                           source->named[i], source->n_tokens);
    bool scored = lp_tokenizer_kind_has_scores(kind);
    if (scored && !source->scores)
        return lp_fail(LP_INPUT, "%s: tokenizer.ggml.scores: missing", source->name);
    for (int32_t i = 0; scored && i < source->n_tokens; i++)
        if (!isfinite(source->scores[i]))
            return lp_fail(LP_INPUT, "%s: tokenizer.ggml.scores[%d]: not a finite number", source->name, i);
    static const lp_named_token needed[] = {LP_NAMED_BOS, LP_NAMED_SEPARATOR, LP_NAMED_UNKNOWN};
    for (size_t i = 0; kind == LP_TOKENIZER_WORDPIECE && i < sizeof needed / sizeof *needed; i++)
        if (source->named[needed[i]] < 0)
            return lp_fail(LP_INPUT, "%s: %s: missing", source->name, named_keys[needed[i]]);
    if (source->adds_eos && kind != LP_TOKENIZER_WORDPIECE && source->named[LP_NAMED_EOS] < 0)
        return lp_fail(LP_INPUT, "%s: tokenizer.ggml.add_eos_token is set, but there is no %s", source->name,
                       named_keys[LP_NAMED_EOS]);
    if (source->adds_bos == 1 && source->named[LP_NAMED_BOS] < 0)
        return lp_fail(LP_INPUT, "%s: tokenizer.ggml.add_bos_token is set, but there is no %s", source->name,
                       named_keys[LP_NAMED_BOS]);
    return LP_OK;
}

static lp_status fill_bpe(lp_tokenizer *t, const lp_tokenizer_source *source)
{
    LP_TRY(choose_split(t, source));
    LP_TRY(lp_merges_build(&t->merges, &t->arena, &t->vocabulary, source->merges, source->n_merges, source->name));
    for (int b = 0; b < 256; b++) {
        uint8_t text[2];
        t->byte_id[b] = lp_vocabulary_find(&t->vocabulary, text, (size_t)lp_utf8_encode_short(lp_byte_character((uint8_t)b), text));
    }
    return LP_OK;
}

/* What bytes become that no token holds; true if all have a token of their own. */
static bool find_byte_tokens(lp_tokenizer *t)
{
    bool complete = true;
    for (int b = 0; b < 256; b++) {
        char text[8];
        snprintf(text, sizeof text, "<0x%02X>", (unsigned)b);
        t->byte_id[b] = lp_vocabulary_find(&t->vocabulary, text, 6);
        complete &= t->byte_id[b] >= 0;
        text[0] = (char)b;
        if (t->byte_id[b] < 0) t->byte_id[b] = lp_vocabulary_find(&t->vocabulary, text, 1);
        if (t->byte_id[b] < 0) t->byte_id[b] = t->unknown;
    }
    return complete;
}

static void fill_spaces(lp_tokenizer *t, const lp_tokenizer_source *source, bool adds_space)
{
    t->adds_space = adds_space;
    t->space_once = adds_space && source->space_once;
    t->space_unless = adds_space && source->space_unless;
    t->words_end = lp_spm_words_end(&t->vocabulary);
}

static lp_status fill_spm(lp_tokenizer *t, const lp_tokenizer_source *source)
{
    fill_spaces(t, source, source->adds_space != 0);
    find_byte_tokens(t);
    t->spm = (lp_spm){.vocabulary = &t->vocabulary, .byte_id = t->byte_id, .max_token = t->max_token};
    if (source->by_merges) {
        t->spm.merges = &t->merges;
        LP_TRY(lp_merges_build(&t->merges, &t->arena, &t->vocabulary, source->merges, source->n_merges, source->name));
    }
    return lp_spm_rank(&t->spm.rank, &t->arena, source->scores, (size_t)source->n_tokens);
}

static lp_status fill_gemma4(lp_tokenizer *t, const lp_tokenizer_source *source)
{
    fill_spaces(t, source, false);
    find_byte_tokens(t);
    t->spm = (lp_spm){.vocabulary = &t->vocabulary, .byte_id = t->byte_id, .max_token = t->max_token, .merges = &t->merges};
    return lp_merges_build(&t->merges, &t->arena, &t->vocabulary, source->merges, source->n_merges, source->name);
}

static bool is_type(const lp_tokenizer_source *source, int32_t id, lp_token_type type)
{
    return (source->types ? source->types[id] : LP_TOKEN_NORMAL) == (int32_t)type;
}

/* Only these are cut out of a text by their scores. */
static bool is_scored(const lp_tokenizer_source *source, int32_t id)
{
    return is_type(source, id, LP_TOKEN_NORMAL) || is_type(source, id, LP_TOKEN_USER_DEFINED) || is_type(source, id, LP_TOKEN_UNUSED);
}

static lp_status fill_unigram(lp_tokenizer *t, const lp_tokenizer_source *source)
{
    size_t n = (size_t)source->n_tokens, n_ids = 0;
    fill_spaces(t, source, source->adds_space > 0);
    if (lp_vocabulary_find(&t->vocabulary, LP_SPM_SPACE, 3) < 0) t->words_end = false; /* unknown ones fuse over it */
    double *score = lp_arena_alloc_array(&t->arena, n, sizeof *score);
    int32_t *ids = malloc((n + 1) * sizeof *ids);
    if (!score || !ids) {
        free(ids);
        return lp_fail_memory(n * sizeof *score, "scores");
    }
    double least = INFINITY;
    for (int32_t id = 0; id < source->n_tokens; id++) {
        score[id] = is_type(source, id, LP_TOKEN_USER_DEFINED) ? 0 : (double)source->scores[id];
        if (is_type(source, id, LP_TOKEN_NORMAL) && score[id] < least) least = score[id];
        if (is_scored(source, id)) ids[n_ids++] = id;
    }
    t->unigram = (lp_unigram){.score = score, .unknown = t->unknown, .collapses = source->collapses_spaces,
                               .keeps_last = source->keeps_last_space, .strips = source->strips_end, .white_space = source->all_white_space};
    t->unigram.unknown_score = (least < INFINITY ? least : 0) - 10;
    if (find_byte_tokens(t)) t->unigram.byte_id = t->byte_id;
    lp_status status = lp_trie_build(&t->unigram.trie, &t->arena, source->tokens, ids, n_ids);
    free(ids);
    LP_TRY(status);
    return lp_charsmap_build(&t->unigram.charsmap, &t->arena, source->charsmap, source->n_charsmap, source->name);
}

/* Texts always stand between the classification token and the separator. */
static lp_status fill_wordpiece(lp_tokenizer *t, const lp_tokenizer_source *source)
{
    t->eos = source->named[LP_NAMED_SEPARATOR];
    t->adds_bos = t->adds_eos = t->adds_space = true;
    t->wordpiece = (lp_wordpiece){.vocabulary = &t->vocabulary, .max_token = t->max_token, .unknown = t->unknown,
                                  .lowercase = !source->keeps_case, .strip_accents = !source->keeps_accents,
                                  .most_characters = source->most_characters};
    return LP_OK;
}

/* Whether BOS is put in front where the file does not say. */
static bool family_adds_bos(const lp_tokenizer *t)
{
    return t->kind == LP_TOKENIZER_BPE ? t->split->adds_bos : t->kind != LP_TOKENIZER_UNIGRAM;
}

static lp_status fill_flags(lp_tokenizer *t, const lp_tokenizer_source *source)
{
    if (!source->special_take_space && !source->flags) return LP_OK;
    uint8_t *flags = lp_arena_alloc(&t->arena, (size_t)source->n_tokens);
    if (!flags) return LP_RESOURCE;
    for (int32_t id = 0; id < source->n_tokens; id++) {
        flags[id] = source->flags ? source->flags[id] : 0;
        if (source->special_take_space && takes_space(t, id)) flags[id] |= LP_TOKEN_RSTRIP_ASCII;
    }
    t->flags = flags;
    return LP_OK;
}

static lp_status fill(lp_tokenizer *t, const lp_tokenizer_source *source)
{
    static lp_status (*const fill_kind[])(lp_tokenizer *, const lp_tokenizer_source *) = {[LP_TOKENIZER_BPE] = fill_bpe,
                                                                                          [LP_TOKENIZER_SPM] = fill_spm,
                                                                                          [LP_TOKENIZER_GEMMA4] = fill_gemma4,
                                                                                          [LP_TOKENIZER_UNIGRAM] = fill_unigram,
                                                                                          [LP_TOKENIZER_WORDPIECE] = fill_wordpiece};
    _Static_assert(sizeof fill_kind / sizeof *fill_kind == LP_TOKENIZER_KIND_COUNT, "a function for every kind");
    size_t n = (size_t)source->n_tokens;
    LP_TRY(lp_tokenizer_find_kind(source->name, source->model, &t->kind));
    LP_TRY(lp_vocabulary_build(&t->vocabulary, &t->arena, source->tokens, source->n_tokens));
    for (int32_t id = 0; id < source->n_tokens; id++)
        if (t->vocabulary.text[id].n > t->max_token) t->max_token = t->vocabulary.text[id].n;
    t->bos = source->named[LP_NAMED_BOS];
    t->eos = source->named[LP_NAMED_EOS];
    t->unknown = source->named[LP_NAMED_UNKNOWN];
    t->adds_eos = source->adds_eos;
    LP_TRY(fill_kind[t->kind](t, source));
    if (t->kind != LP_TOKENIZER_WORDPIECE) t->adds_bos = source->adds_bos < 0 ? family_adds_bos(t) && t->bos >= 0 : source->adds_bos;
    t->type = lp_arena_alloc(&t->arena, n);
    t->ends_generation = lp_arena_alloc_array(&t->arena, n, sizeof *t->ends_generation);
    if (!t->type || !t->ends_generation) return LP_RESOURCE;
    for (size_t i = 0; i < n; i++) t->type[i] = source->types ? (uint8_t)source->types[i] : LP_TOKEN_NORMAL;
    mark_ends(t, source);
    LP_TRY(fill_flags(t, source));
    LP_TRY(decode_tokens(t));
    return build_special(t);
}

lp_status lp_tokenizer_create_from(const lp_tokenizer_source *source, lp_tokenizer **out)
{
    *out = NULL;
    LP_TRY(check_source(source));
    lp_tokenizer *t = calloc(1, sizeof *t);
    if (!t) return lp_fail_memory(sizeof *t, "a tokenizer");
    lp_status status = fill(t, source);
    if (status == LP_OK)
        *out = t;
    else
        lp_tokenizer_free(t);
    return status;
}

void lp_tokenizer_free(lp_tokenizer *tokenizer)
{
    if (!tokenizer) return;
    lp_arena_free(&tokenizer->arena);
    free(tokenizer);
}

static bool in_range(const lp_tokenizer *t, int32_t id) { return id >= 0 && id < t->vocabulary.n; }

lp_string lp_tokenizer_bytes(const lp_tokenizer *tokenizer, int32_t id, bool show_special)
{
    if (!in_range(tokenizer, id)) return (lp_string){"", 0};
    uint8_t type = tokenizer->type[id];
    if (!show_special && (type == LP_TOKEN_CONTROL || type == LP_TOKEN_UNKNOWN)) return (lp_string){"", 0};
    return tokenizer->bytes[id];
}

lp_status lp_tokenizer_decode(const lp_tokenizer *tokenizer, const int32_t *ids, size_t n_ids, bool show_special,
                              char **text, size_t *n)
{
    size_t length = 0;
    *text = NULL;
    *n = 0;
    for (size_t i = 0; i < n_ids; i++)
        if (!lp_add_size(length, lp_tokenizer_bytes(tokenizer, ids[i], show_special).n, &length))
            return lp_fail_memory(SIZE_MAX, "a text");
    char *out = malloc(length + 1);
    if (!out) return lp_fail_memory(length + 1, "a text");
    size_t at = 0;
    for (size_t i = 0; i < n_ids; i++) {
        lp_string s = lp_tokenizer_bytes(tokenizer, ids[i], show_special);
        if (!at && tokenizer->adds_space && s.n && s.data[0] == ' ') s.data++, s.n--;
        if (s.n) memcpy(out + at, s.data, s.n);
        at += s.n;
    }
    out[at] = 0;
    *text = out;
    *n = at;
    return LP_OK;
}

lp_string lp_tokenizer_token(const lp_tokenizer *tokenizer, int32_t id)
{
    return in_range(tokenizer, id) ? tokenizer->vocabulary.text[id] : (lp_string){"", 0};
}

int32_t lp_tokenizer_size(const lp_tokenizer *tokenizer) { return tokenizer->vocabulary.n; }
int32_t lp_tokenizer_bos(const lp_tokenizer *tokenizer) { return tokenizer->bos; }
int32_t lp_tokenizer_eos(const lp_tokenizer *tokenizer) { return tokenizer->eos; }
bool lp_tokenizer_adds_bos(const lp_tokenizer *tokenizer) { return tokenizer->adds_bos; }
bool lp_tokenizer_adds_eos(const lp_tokenizer *tokenizer) { return tokenizer->adds_eos; }

bool lp_tokenizer_ends_generation(const lp_tokenizer *tokenizer, int32_t id)
{
    return in_range(tokenizer, id) && tokenizer->ends_generation[id];
}

static bool equal_charsmaps(const lp_charsmap *a, const lp_charsmap *b)
{
    return a->n_units == b->n_units && a->n_text == b->n_text && (!a->n_units || (!memcmp(a->unit, b->unit, 4 * (size_t)a->n_units) &&
                                                                                  !memcmp(a->text, b->text, a->n_text)));
}

bool lp_tokenizer_equal(const lp_tokenizer *a, const lp_tokenizer *b)
{
    if (a->kind != b->kind || a->vocabulary.n != b->vocabulary.n || a->split != b->split || a->merges.n != b->merges.n ||
        a->adds_bos != b->adds_bos || (a->adds_bos && a->bos != b->bos) || a->adds_eos != b->adds_eos ||
        (a->adds_eos && a->eos != b->eos) || a->adds_space != b->adds_space ||
        a->space_once != b->space_once || a->space_unless != b->space_unless || !a->flags != !b->flags || !a->spm.merges != !b->spm.merges ||
        a->unigram.collapses != b->unigram.collapses || a->unigram.keeps_last != b->unigram.keeps_last ||
        a->unigram.strips != b->unigram.strips || a->unigram.white_space != b->unigram.white_space ||
        a->wordpiece.most_characters != b->wordpiece.most_characters || !equal_charsmaps(&a->unigram.charsmap, &b->unigram.charsmap) || a->wordpiece.lowercase != b->wordpiece.lowercase ||
        a->wordpiece.strip_accents != b->wordpiece.strip_accents || a->wordpiece.unknown != b->wordpiece.unknown)
        return false;
    for (int32_t id = 0; id < a->vocabulary.n; id++) {
        lp_string x = a->vocabulary.text[id], y = b->vocabulary.text[id];
        if (x.n != y.n || memcmp(x.data, y.data, x.n) || a->type[id] != b->type[id]) return false;
    }
    for (int32_t id = 0; a->kind == LP_TOKENIZER_SPM && id < a->vocabulary.n; id++)
        if (a->spm.rank[id] != b->spm.rank[id]) return false;
    for (int32_t id = 0; a->kind == LP_TOKENIZER_UNIGRAM && id < a->vocabulary.n; id++)
        if (a->unigram.score[id] != b->unigram.score[id]) return false;
    if (a->flags && memcmp(a->flags, b->flags, (size_t)a->vocabulary.n)) return false;
    for (size_t i = 0; i < a->merges.n; i++)
        if (a->merges.list[i].pair != b->merges.list[i].pair) return false;
    return true;
}
