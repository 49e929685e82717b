/* Text to token ids: special tokens, words, merges. Card: runtime/tokenizers. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "model/tokenizer/split_stages.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/unicode_forms.h"

/* Words come back: each is remembered by where it stood and where its ids stand in the output. */
typedef struct known_word {
    uint32_t text, n_text;
    uint32_t ids, n_ids; /* n_ids 0: empty */
} known_word;

enum { LONGEST_KNOWN = 64, MOST_KNOWN = 1 << 14 };

typedef struct session {
    const lp_tokenizer *tokenizer;
    const uint8_t *text; /* well-formed UTF-8, but where keeps_bytes holds */
    size_t n_text;
    lp_text_buffer normal; /* fragments of the text as the words are taken from, where that differs */
    const uint8_t *base;   /* text or normal.data: where words begin to count */
    lp_ids out;
    known_word *known;
    size_t known_mask;
    lp_bpe_scratch scratch;
    uint8_t *characters; /* [2 max_token] a word in byte characters */
    lp_spm_scratch spm;
    lp_unigram_scratch unigram;
    bool normalizes;     /* BPE: fragments become NFC in `normal` */
    bool after_special;  /* at the start, too */
} session;

/* Token whose text is the whole word, or -1. */
static int32_t whole_word(const session *s, const uint8_t *word, size_t n)
{
    const lp_tokenizer *t = s->tokenizer;
    if (n > t->max_token) return -1; /* a text has at least as many bytes as it stands for */
    size_t length = 0;
    for (size_t i = 0; i < n; i++) length += (size_t)lp_utf8_encode_short(lp_byte_character(word[i]), s->characters + length);
    return lp_vocabulary_find(&t->vocabulary, s->characters, length);
}

static lp_status no_token(const session *s, const uint8_t *word, size_t n)
{
    size_t i = 0;
    while (i + 1 < n && s->tokenizer->byte_id[word[i]] >= 0) i++;
    return lp_fail(LP_INPUT, "text: byte 0x%02x at %zu: the vocabulary has no token for it and no unknown token", word[i],
                   (size_t)(word - s->base) + i);
}

/* Appends the ids of a word: merges of byte characters. */
static lp_status new_word_bpe(session *s, const uint8_t *word, size_t n)
{
    const lp_tokenizer *t = s->tokenizer;
    LP_TRY(lp_ids_reserve(&s->out, n));
    int32_t *ids = s->out.id + s->out.n;
    if (t->split->whole_word_first && (ids[0] = whole_word(s, word, n)) >= 0) {
        s->out.n++;
        return LP_OK;
    }
    bool complete = true;
    for (size_t i = 0; i < n; i++) complete &= (ids[i] = t->byte_id[word[i]]) >= 0;
    if (!complete && t->unknown < 0) return no_token(s, word, n);
    size_t n_ids = n;
    LP_TRY(lp_bpe_merge(&t->merges, &s->scratch, ids, &n_ids));
    for (size_t i = 0; !complete && i < n_ids; i++)
        if (ids[i] < 0) ids[i] = t->unknown;
    s->out.n += n_ids;
    return LP_OK;
}

static lp_status new_word_spm(session *s, const uint8_t *word, size_t n)
{
    return lp_spm_encode(&s->tokenizer->spm, &s->spm, word, n, false, &s->out);
}

/* A run of newlines that is a token is not merged. */
static lp_status new_word_gemma4(session *s, const uint8_t *word, size_t n)
{
    int32_t id = word[0] == '\n' && n <= s->tokenizer->max_token ? lp_vocabulary_find(&s->tokenizer->vocabulary, word, n) : -1;
    if (id < 0) return new_word_spm(s, word, n);
    LP_TRY(lp_ids_reserve(&s->out, 1));
    s->out.id[s->out.n++] = id;
    return LP_OK;
}

static lp_status new_word_unigram(session *s, const uint8_t *word, size_t n)
{
    return lp_unigram_encode(&s->tokenizer->unigram, &s->unigram, word, n, &s->out);
}

static lp_status new_word_wordpiece(session *s, const uint8_t *word, size_t n)
{
    return lp_wordpiece_encode(&s->tokenizer->wordpiece, word, n, &s->out);
}

typedef lp_status new_word(session *s, const uint8_t *word, size_t n);
static new_word *const new_words[] = {[LP_TOKENIZER_BPE] = new_word_bpe,
                                      [LP_TOKENIZER_SPM] = new_word_spm,
                                      [LP_TOKENIZER_GEMMA4] = new_word_gemma4,
                                      [LP_TOKENIZER_UNIGRAM] = new_word_unigram,
                                      [LP_TOKENIZER_WORDPIECE] = new_word_wordpiece};
_Static_assert(sizeof new_words / sizeof *new_words == LP_TOKENIZER_KIND_COUNT, "a function for every kind");

/* Appends the ids of the word at base[at..end), known or new. */
static lp_status encode_word(session *s, size_t at, size_t end)
{
    const uint8_t *word = s->base + at;
    size_t n = end - at;
    new_word *encode_new_word = new_words[s->tokenizer->kind];
    if (n > LONGEST_KNOWN || end > UINT32_MAX || s->out.n > UINT32_MAX) return encode_new_word(s, word, n);
    known_word *known = &s->known[lp_hash_bytes(word, n) & s->known_mask];
    if (known->n_ids && known->n_text == n && !memcmp(s->base + known->text, word, n)) {
        LP_TRY(lp_ids_reserve(&s->out, known->n_ids));
        for (uint32_t i = 0; i < known->n_ids; i++) s->out.id[s->out.n + i] = s->out.id[known->ids + i];
        s->out.n += known->n_ids;
        return LP_OK;
    }
    size_t first = s->out.n;
    LP_TRY(encode_new_word(s, word, n));
    *known = (known_word){(uint32_t)at, (uint32_t)n, (uint32_t)first, (uint32_t)(s->out.n - first)};
    return LP_OK;
}

/* ---- fragments between special tokens ----------------------------------------------------------------------------- */

static bool escaped_space(const uint8_t *text, size_t n) { return n >= 3 && !memcmp(text, LP_SPM_SPACE, 3); }

/* What stands in front of the fragment at `at`. */
static lp_space_before space_before(const session *s, size_t at)
{
    const lp_tokenizer *t = s->tokenizer;
    if (!t->adds_space || (t->space_once ? at > 0 : !s->after_special)) return LP_SPACE_NEVER;
    return t->space_unless ? LP_SPACE_UNLESS : LP_SPACE_ALWAYS;
}

static lp_status fragment_bpe(session *s, size_t at, size_t end)
{
    if (s->normalizes) {
        size_t first = s->normal.n;
        LP_TRY(lp_normalize(LP_NFC, s->text + at, end - at, &s->normal));
        s->base = s->normal.data;
        at = first;
        end = s->normal.n;
    }
    lp_split_walk walk = {.split = s->tokenizer->split, .text = s->base, .at = at, .n = end};
    while (walk.at < end) {
        size_t begin = walk.at;
        LP_TRY(encode_word(s, begin, lp_split_walk_next(&walk)));
    }
    return LP_OK;
}

/* End of the word at `at`: where a space follows another character, if no token goes on there, and around newlines. */
static size_t spm_word_end(const lp_tokenizer *t, const uint8_t *text, size_t at, size_t end)
{
    bool lines = t->kind == LP_TOKENIZER_GEMMA4;
    if (!t->words_end && !lines) return end;
    for (size_t i = at + 1; i < end; i++) {
        if (t->words_end && text[i] == ' ' && text[i - 1] != ' ' && !(i - at >= 3 && escaped_space(text + i - 3, 3))) return i;
        if (lines && (text[i] == '\n') != (text[i - 1] == '\n')) return i;
    }
    return end;
}

static lp_status fragment_spm(session *s, size_t at, size_t end)
{
    const lp_tokenizer *t = s->tokenizer;
    lp_space_before before = space_before(s, at);
    bool present = s->base[at] == ' ' || escaped_space(s->base + at, end - at);
    if (before == LP_SPACE_ALWAYS || (before == LP_SPACE_UNLESS && !present)) {
        size_t stop = spm_word_end(t, s->base, at, end);
        LP_TRY(lp_spm_encode(&t->spm, &s->spm, s->base + at, stop - at, true, &s->out));
        at = stop;
    }
    while (at < end) {
        size_t begin = at;
        at = spm_word_end(t, s->base, at, end);
        LP_TRY(encode_word(s, begin, at));
    }
    return LP_OK;
}

/* Words of a normalized text end where U+2581 follows another character. */
static lp_status fragment_unigram(session *s, size_t at, size_t end)
{
    const lp_tokenizer *t = s->tokenizer;
    size_t first = s->normal.n;
    LP_TRY(lp_unigram_normalize(&t->unigram, s->text + at, end - at, space_before(s, at), &s->normal));
    s->base = s->normal.data;
    for (size_t i = first, begin = first; begin < s->normal.n; begin = i) {
        for (i = t->words_end ? begin + 1 : s->normal.n; i < s->normal.n; i++)
            if (escaped_space(s->base + i, s->normal.n - i) && !(i - begin >= 3 && escaped_space(s->base + i - 3, 3))) break;
        LP_TRY(encode_word(s, begin, i));
    }
    return LP_OK;
}

static lp_status fragment_wordpiece(session *s, size_t at, size_t end)
{
    return lp_wordpiece_encode(&s->tokenizer->wordpiece, s->base + at, end - at, &s->out);
}

static lp_status encode_plain(session *s, size_t at, size_t end)
{
    static lp_status (*const fragment[])(session *, size_t, size_t) = {
        [LP_TOKENIZER_BPE] = fragment_bpe,    [LP_TOKENIZER_SPM] = fragment_spm,       [LP_TOKENIZER_GEMMA4] = fragment_spm,
        [LP_TOKENIZER_UNIGRAM] = fragment_unigram, [LP_TOKENIZER_WORDPIECE] = fragment_wordpiece};
    _Static_assert(sizeof fragment / sizeof *fragment == LP_TOKENIZER_KIND_COUNT, "a function for every kind");
    if (at == end) return LP_OK;
    lp_status status = fragment[s->tokenizer->kind](s, at, end);
    s->after_special = false;
    return status;
}

/* ---- special tokens ----------------------------------------------------------------------------------------------- */

/* Whether \w of the patterns matches: letters, marks, decimal digits, connectors, joiners, letters in circles. */
static bool in_word(uint32_t c)
{
    return lp_category_set(c) & (LP_LETTERS | LP_MARKS | LP_SET(LP_ND) | LP_SET(LP_NL) | LP_SET(LP_PC)) || c == 0x200c || c == 0x200d ||
           (c >= 0x24b6 && c <= 0x24e9) || (c >= 0x1f130 && c <= 0x1f149) || (c >= 0x1f150 && c <= 0x1f169) || (c >= 0x1f170 && c <= 0x1f189);
}

/* The character that ends at `at` > 0, its start in *begin; U+FFFD for what is no UTF-8. */
static uint32_t character_before(const session *s, size_t at, size_t *begin)
{
    size_t next, from = at - 1;
    while (from > 0 && at - from < 4 && (s->text[from] & 0xc0) == 0x80) from--;
    if (lp_utf8_length(s->text + from, at - from) != at - from) return *begin = at - 1, 0xfffd;
    *begin = from;
    return lp_utf8_decode(s->text, from, &next);
}

static uint32_t character_at(const session *s, size_t at, size_t *end)
{
    size_t length = lp_utf8_length(s->text + at, s->n_text - at);
    if (!length) return *end = at + 1, 0xfffd;
    return lp_utf8_decode(s->text, at, end);
}

/* Applies the flags of a match behind text that is done up to `from`; false: it is none. */
static bool adjust(const session *s, size_t from, lp_special_match *match)
{
    uint8_t flags = s->tokenizer->flags ? s->tokenizer->flags[match->id] : 0;
    size_t next;
    if (match->end <= from && match->begin < from) return false; /* swallowed as white space */
    if (match->begin < from) match->begin = from;
    if (flags & LP_TOKEN_SINGLE_WORD) {
        if (match->begin && in_word(character_before(s, match->begin, &next))) return false;
        if (match->end < s->n_text && in_word(character_at(s, match->end, &next))) return false;
    }
    if (flags & LP_TOKEN_LSTRIP)
        while (match->begin > from && lp_category_set(character_before(s, match->begin, &next)) & LP_SPACES) match->begin = next;
    if (flags & LP_TOKEN_RSTRIP)
        while (match->end < s->n_text && lp_category_set(character_at(s, match->end, &next)) & LP_SPACES) match->end = next;
    if (flags & LP_TOKEN_RSTRIP_ASCII)
        while (match->end < s->n_text && s->text[match->end] && strchr(" \t\n\v\f\r", s->text[match->end])) match->end++;
    return true;
}

static lp_status encode_text(session *s, bool parse_special)
{
    lp_special_walk walk = {.text = s->text, .n = s->n_text};
    walk.special = parse_special ? &s->tokenizer->special : &s->tokenizer->user_defined;
    size_t at = 0;
    lp_status status;
    for (;;) {
        lp_special_match match;
        bool found;
        status = lp_special_next(&walk, &match, &found);
        if (status != LP_OK) break;
        if (found && !adjust(s, at, &match)) continue;
        status = encode_plain(s, at, found ? match.begin : s->n_text);
        if (status != LP_OK || !found) break;
        status = lp_ids_reserve(&s->out, 1);
        if (status != LP_OK) break;
        s->out.id[s->out.n++] = match.id;
        s->after_special = true;
        at = match.end;
    }
    lp_special_walk_end(&walk);
    return status;
}

/* A copy of the text in which every byte that is not part of well-formed UTF-8 has become U+FFFD. */
static lp_status replace_invalid(const uint8_t *text, size_t n, uint8_t **out, size_t *n_out)
{
    size_t n_bytes = n, length = 0;
    for (size_t at = 0; at < n;) {
        at += lp_utf8_valid_prefix(text + at, n - at);
        if (at < n) at++, n_bytes += 2; /* n < 2^31 */
    }
    if (!(*out = malloc(n_bytes + 1))) return lp_fail_memory(n_bytes, "a text");
    for (size_t at = 0; at < n;) {
        size_t valid = lp_utf8_valid_prefix(text + at, n - at);
        memcpy(*out + length, text + at, valid);
        length += valid;
        at += valid;
        if (at == n) break;
        memcpy(*out + length, "\xef\xbf\xbd", 3);
        length += 3;
        at++;
    }
    *n_out = length;
    return LP_OK;
}

static lp_status begin(session *s)
{
    size_t n_known = 64;
    while (n_known < MOST_KNOWN && n_known < s->n_text / 16) n_known *= 2;
    s->known_mask = n_known - 1;
    s->base = s->text;
    s->known = calloc(n_known, sizeof *s->known);
    s->characters = malloc(2 * s->tokenizer->max_token + 1);
    if (!s->known || !s->characters) return lp_fail_memory(n_known * sizeof *s->known, "a tokenizer's words");
    return lp_ids_reserve(&s->out, s->n_text / 4 + 2);
}

/* SentencePiece has tokens of bytes, Unigram's normalizer replaces what is no UTF-8 by itself. */
static bool keeps_bytes(const lp_tokenizer *t) { return t->kind == LP_TOKENIZER_SPM || t->kind == LP_TOKENIZER_UNIGRAM; }

lp_status lp_tokenizer_encode(const lp_tokenizer *tokenizer, const char *text, size_t n, bool parse_special,
                              bool add_special, int32_t **ids, size_t *n_ids)
{
    *ids = NULL;
    *n_ids = 0;
    if (n > INT32_MAX) return lp_fail(LP_USAGE, "text: %zu bytes, at most 2147483647 are tokenized at once", n);
    session s = {.tokenizer = tokenizer, .text = (const uint8_t *)text, .n_text = n, .after_special = true};
    uint8_t *replaced = NULL;
    lp_status status = LP_OK;
    if (!keeps_bytes(tokenizer) && lp_utf8_valid_prefix(s.text, n) < n) {
        status = replace_invalid(s.text, n, &replaced, &s.n_text);
        s.text = replaced;
    }
    s.normalizes = status == LP_OK && tokenizer->split && tokenizer->split->nfc && !lp_is_nfc(s.text, s.n_text);
    if (status == LP_OK) status = begin(&s);
    if (status == LP_OK && add_special && tokenizer->adds_bos) s.out.id[s.out.n++] = tokenizer->bos;
    if (status == LP_OK) status = encode_text(&s, parse_special);
    if (status == LP_OK && add_special && tokenizer->adds_eos) {
        status = lp_ids_reserve(&s.out, 1);
        if (status == LP_OK) s.out.id[s.out.n++] = tokenizer->eos;
    }
    free(replaced);
    free(s.known);
    free(s.characters);
    lp_bpe_scratch_free(&s.scratch);
    lp_spm_scratch_free(&s.spm);
    lp_unigram_scratch_free(&s.unigram);
    free(s.normal.data);
    if (status != LP_OK || !s.out.n) {
        free(s.out.id);
        return status;
    }
    int32_t *fitted = realloc(s.out.id, s.out.n * sizeof *s.out.id);
    *ids = fitted ? fitted : s.out.id;
    *n_ids = s.out.n;
    return LP_OK;
}
