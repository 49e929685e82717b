/* Text to token ids: special tokens, words, merges. Card: runtime/tokenizers. */
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "model/tokenizer/split_stages.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode.h"

/* Words come back: each is remembered by where it stood in the text and where its ids stand in the output. */
typedef struct known_word {
    uint32_t text, n_text;
    uint32_t ids, n_ids; /* n_ids 0: empty */
} known_word;

enum { LONGEST_KNOWN = 64, MOST_KNOWN = 1 << 14 };

typedef struct session {
    const lp_tokenizer *tokenizer;
    const uint8_t *text; /* well-formed UTF-8 */
    size_t n_text;
    lp_ids out;
    known_word *known;
    size_t known_mask;
    lp_bpe_scratch scratch;
    uint8_t *characters; /* [2 max_token] a word in byte characters */
    lp_spm_scratch spm;
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
                   (size_t)(word - s->text) + i);
}

/* Appends the ids of a word. */
static lp_status encode_new_word(session *s, const uint8_t *word, size_t n)
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

static lp_status encode_word(session *s, size_t at, size_t end)
{
    const uint8_t *word = s->text + at;
    size_t n = end - at;
    if (n > LONGEST_KNOWN || end > UINT32_MAX || s->out.n > UINT32_MAX) return encode_new_word(s, word, n);
    known_word *known = &s->known[lp_hash_bytes(word, n) & s->known_mask];
    if (known->n_ids && known->n_text == n && !memcmp(s->text + known->text, word, n)) {
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

static lp_status encode_plain(session *s, size_t at, size_t end)
{
    const lp_tokenizer *t = s->tokenizer;
    if (at < end && t->kind == LP_TOKENIZER_SPM) {
        bool space_before = t->adds_space && s->after_special;
        s->after_special = false;
        return lp_spm_encode(&t->spm, &s->spm, s->text + at, end - at, space_before, &s->out);
    }
    if (t->kind == LP_TOKENIZER_WORDPIECE) return lp_wordpiece_encode(&t->wordpiece, s->text + at, end - at, &s->out);
    lp_split_walk walk = {.split = t->split, .text = s->text, .at = at, .n = end};
    while (walk.at < end) {
        size_t begin = walk.at;
        LP_TRY(encode_word(s, begin, lp_split_walk_next(&walk)));
    }
    return LP_OK;
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
        status = encode_plain(s, at, found ? match.begin : s->n_text);
        if (status != LP_OK || !found) break;
        status = lp_ids_reserve(&s->out, 1);
        if (status != LP_OK) break;
        s->out.id[s->out.n++] = match.id;
        s->after_special = true;
        at = match.end;
        if (s->tokenizer->takes_space && s->tokenizer->takes_space[match.id])
            while (at < s->n_text && strchr(" \t\n\v\f\r", s->text[at]) && s->text[at]) at++;
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
    s->known = calloc(n_known, sizeof *s->known);
    s->characters = malloc(2 * s->tokenizer->max_token + 1);
    if (!s->known || !s->characters) return lp_fail_memory(n_known * sizeof *s->known, "a tokenizer's words");
    return lp_ids_reserve(&s->out, s->n_text / 4 + 2);
}

lp_status lp_tokenizer_encode(const lp_tokenizer *tokenizer, const char *text, size_t n, bool parse_special,
                              bool add_special, int32_t **ids, size_t *n_ids)
{
    *ids = NULL;
    *n_ids = 0;
    if (n > INT32_MAX) return lp_fail(LP_USAGE, "text: %zu bytes, at most 2147483647 are tokenized at once", n);
    session s = {.tokenizer = tokenizer, .text = (const uint8_t *)text, .n_text = n, .after_special = true};
    uint8_t *replaced = NULL;
    lp_status status = LP_OK;
    /* Tokens of bytes keep what is no UTF-8. */
    if (tokenizer->kind != LP_TOKENIZER_SPM && lp_utf8_valid_prefix(s.text, n) < n) {
        status = replace_invalid(s.text, n, &replaced, &s.n_text);
        s.text = replaced;
    }
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
    if (status != LP_OK || !s.out.n) {
        free(s.out.id);
        return status;
    }
    int32_t *fitted = realloc(s.out.id, s.out.n * sizeof *s.out.id);
    *ids = fitted ? fitted : s.out.id;
    *n_ids = s.out.n;
    return LP_OK;
}
