/* WordPiece. Card: runtime/tokenizers. */
#include <stdlib.h>
#include <string.h>

#include "model/tokenizer/spm.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/wordpiece.h"

/* The word that is being read, after U+2581. */
typedef struct word {
    uint8_t *text;
    size_t n, room;
} word;

enum { N_SPACE = sizeof LP_SPM_SPACE - 1, LONGEST_CHARACTER = 4 };

static const lp_mapping *find_mapping(const lp_mapping *table, size_t n, uint32_t c)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table[middle].from < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && table[low].from == c ? &table[low] : NULL;
}

/* Code points of c without accents, at most three. */
static int unaccented(uint32_t c, uint32_t out[3])
{
    int n = 0;
    if (c >= 0xac00 && c < 0xd7a4) { /* a syllable is its letters */
        uint32_t index = c - 0xac00, last = index % 28;
        out[n++] = 0x1100 + index / 588;
        out[n++] = 0x1161 + index % 588 / 28;
        if (last) out[n++] = 0x11a7 + last;
        return n;
    }
    const lp_mapping *found = find_mapping(lp_unaccented, lp_n_unaccented, c);
    if (!found) return out[0] = c, !(lp_category_set(c) & LP_SET(LP_MN));
    while (n < 3 && found->to[n]) out[n] = found->to[n], n++;
    return n;
}

static int lower(uint32_t c, uint32_t out[3])
{
    const lp_mapping *found = c < 0x80 ? NULL : find_mapping(lp_lower, lp_n_lower, c);
    int n = 0;
    if (!found) return out[0] = c - 'A' < 26 ? c + 32 : c, 1;
    while (n < 3 && found->to[n]) out[n] = found->to[n], n++;
    return n;
}

/* The ranges that BERT's code isolates; the sixth begins at U+2B920 there, not at U+2B820. */
static bool is_han(uint32_t c)
{
    return (c >= 0x4e00 && c <= 0x9fff) || (c >= 0x3400 && c <= 0x4dbf) || (c >= 0x20000 && c <= 0x2a6df) ||
           (c >= 0x2a700 && c <= 0x2b73f) || (c >= 0x2b740 && c <= 0x2b81f) || (c >= 0x2b920 && c <= 0x2ceaf) ||
           (c >= 0xf900 && c <= 0xfaff) || (c >= 0x2f800 && c <= 0x2fa1f);
}

static lp_status append(word *w, uint32_t c)
{
    if (w->room - w->n < LONGEST_CHARACTER) {
        size_t room = 2 * w->room;
        uint8_t *grown = realloc(w->text, room);
        if (!grown) return lp_fail_memory(room, "a word");
        w->text = grown;
        w->room = room;
    }
    w->n += lp_utf8_encode(c, w->text + w->n);
    return LP_OK;
}

static bool too_long(const lp_wordpiece *wp, const word *w)
{
    size_t n = 0;
    if (!wp->most_characters || w->n - N_SPACE <= wp->most_characters) return false;
    for (size_t i = N_SPACE; i < w->n; i++) n += (w->text[i] & 0xc0) != 0x80;
    return n > wp->most_characters;
}

/* Appends the ids of the word, if it is not empty, and empties it. */
static lp_status end_word(const lp_wordpiece *wp, word *w, lp_ids *out)
{
    if (w->n == N_SPACE) return LP_OK;
    LP_TRY(lp_ids_reserve(out, w->n));
    size_t first = out->n;
    bool whole_unknown = too_long(wp, w);
    for (size_t at = 0; at < w->n;) {
        size_t length = w->n - at < wp->max_token ? w->n - at : wp->max_token;
        int32_t id = -1;
        while (length && !whole_unknown && (id = lp_vocabulary_find(wp->vocabulary, w->text + at, length)) < 0) length--;
        if (id < 0) {
            out->n = first;
            out->id[out->n++] = wp->unknown;
            break;
        }
        out->id[out->n++] = id;
        at += length;
    }
    w->n = N_SPACE;
    return LP_OK;
}

static lp_status add(const lp_wordpiece *wp, word *w, uint32_t c, lp_ids *out)
{
    uint32_t set = lp_category_set(c), lowered[3] = {c};
    if (set & LP_SPACES && (!(set & LP_SET(LP_CONTROL_SPACE)) || c == '\t')) return end_word(wp, w, out);
    if (!c || c == 0xfffd || set & (LP_SET(LP_CC) | LP_SET(LP_CONTROL_SPACE) | LP_SET(LP_CF) | LP_SET(LP_CO) | LP_SET(LP_CS))) return LP_OK;
    bool alone = set & LP_PUNCTUATION || (c < 0x80 && set & LP_SYMBOLS) || is_han(c);
    int n = wp->lowercase ? lower(c, lowered) : 1;
    if (alone) LP_TRY(end_word(wp, w, out));
    for (int i = 0; i < n; i++) LP_TRY(append(w, lowered[i]));
    return alone ? end_word(wp, w, out) : LP_OK;
}

lp_status lp_wordpiece_encode(const lp_wordpiece *wordpiece, const uint8_t *text, size_t n, lp_ids *out)
{
    word w = {.room = 64};
    if (!(w.text = malloc(w.room))) return lp_fail_memory(w.room, "a word");
    memcpy(w.text, LP_SPM_SPACE, N_SPACE);
    w.n = N_SPACE;
    lp_status status = LP_OK;
    for (size_t at = 0; at < n && status == LP_OK;) {
        uint32_t plain[3];
        plain[0] = lp_utf8_decode(text, at, &at);
        int count = wordpiece->strip_accents && plain[0] >= 0x80 ? unaccented(plain[0], plain) : 1;
        for (int i = 0; i < count && status == LP_OK; i++) status = add(wordpiece, &w, plain[i], out);
    }
    if (status == LP_OK) status = end_word(wordpiece, &w, out);
    free(w.text);
    return status;
}
