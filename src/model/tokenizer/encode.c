/* Text to token ids: special tokens, words, merges. Card: runtime/tokenizers. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
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
    int32_t *ids;
    size_t n_ids, room;
    known_word *known;
    size_t known_mask;
    lp_bpe_scratch scratch;
    uint8_t *characters; /* [2 max_token] a word in byte characters */
} session;

static lp_status reserve(session *s, size_t n)
{
    size_t wanted, bytes;
    if (!lp_add_size(s->n_ids, n, &wanted)) return lp_fail_memory(SIZE_MAX, "token ids");
    if (wanted <= s->room) return LP_OK;
    size_t room = wanted + wanted / 2 + 64;
    if (!lp_mul_size(room, sizeof *s->ids, &bytes)) return lp_fail_memory(SIZE_MAX, "token ids");
    int32_t *grown = realloc(s->ids, bytes);
    if (!grown) return lp_fail_memory(bytes, "token ids");
    s->ids = grown;
    s->room = room;
    return LP_OK;
}

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
    LP_TRY(reserve(s, n));
    int32_t *ids = s->ids + s->n_ids;
    if (t->split->whole_word_first && (ids[0] = whole_word(s, word, n)) >= 0) {
        s->n_ids++;
        return LP_OK;
    }
    bool complete = true;
    for (size_t i = 0; i < n; i++) complete &= (ids[i] = t->byte_id[word[i]]) >= 0;
    if (!complete && t->unknown < 0) return no_token(s, word, n);
    size_t n_ids = n;
    LP_TRY(lp_bpe_merge(&t->merges, &s->scratch, ids, &n_ids));
    for (size_t i = 0; !complete && i < n_ids; i++)
        if (ids[i] < 0) ids[i] = t->unknown;
    s->n_ids += n_ids;
    return LP_OK;
}

static lp_status encode_word(session *s, size_t at, size_t end)
{
    const uint8_t *word = s->text + at;
    size_t n = end - at;
    if (n > LONGEST_KNOWN || end > UINT32_MAX || s->n_ids > UINT32_MAX) return encode_new_word(s, word, n);
    known_word *known = &s->known[lp_hash_bytes(word, n) & s->known_mask];
    if (known->n_ids && known->n_text == n && !memcmp(s->text + known->text, word, n)) {
        LP_TRY(reserve(s, known->n_ids));
        for (uint32_t i = 0; i < known->n_ids; i++) s->ids[s->n_ids + i] = s->ids[known->ids + i];
        s->n_ids += known->n_ids;
        return LP_OK;
    }
    size_t first = s->n_ids;
    LP_TRY(encode_new_word(s, word, n));
    *known = (known_word){(uint32_t)at, (uint32_t)n, (uint32_t)first, (uint32_t)(s->n_ids - first)};
    return LP_OK;
}

static lp_status encode_plain(session *s, size_t at, size_t end)
{
    while (at < end) {
        size_t next = lp_split_next(s->tokenizer->split, s->text, at, end);
        LP_TRY(encode_word(s, at, next));
        at = next;
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
        status = reserve(s, 1);
        if (status != LP_OK) break;
        s->ids[s->n_ids++] = match.id;
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
    s->known = calloc(n_known, sizeof *s->known);
    s->characters = malloc(2 * s->tokenizer->max_token + 1);
    if (!s->known || !s->characters) return lp_fail_memory(n_known * sizeof *s->known, "a tokenizer's words");
    return reserve(s, s->n_text / 4 + 2);
}

lp_status lp_tokenizer_encode(const lp_tokenizer *tokenizer, const char *text, size_t n, bool parse_special,
                              bool add_bos, int32_t **ids, size_t *n_ids)
{
    *ids = NULL;
    *n_ids = 0;
    if (n > INT32_MAX) return lp_fail(LP_USAGE, "text: %zu bytes, at most 2147483647 are tokenized at once", n);
    session s = {.tokenizer = tokenizer, .text = (const uint8_t *)text, .n_text = n};
    uint8_t *replaced = NULL;
    lp_status status = LP_OK;
    if (lp_utf8_valid_prefix(s.text, n) < n) {
        status = replace_invalid(s.text, n, &replaced, &s.n_text);
        s.text = replaced;
    }
    if (status == LP_OK) status = begin(&s);
    if (status == LP_OK && add_bos && tokenizer->adds_bos) s.ids[s.n_ids++] = tokenizer->bos;
    if (status == LP_OK) status = encode_text(&s, parse_special);
    free(replaced);
    free(s.known);
    free(s.characters);
    lp_bpe_scratch_free(&s.scratch);
    if (status != LP_OK || !s.n_ids) {
        free(s.ids);
        return status;
    }
    int32_t *fitted = realloc(s.ids, s.n_ids * sizeof *s.ids);
    *ids = fitted ? fitted : s.ids;
    *n_ids = s.n_ids;
    return LP_OK;
}
