/* The small byte-level vocabulary of the tokenizer's card, its merges, and merging done the slow, plain way. */
#ifndef TESTS_MODEL_MINI_VOCABULARY_H
#define TESTS_MODEL_MINI_VOCABULARY_H

#include <assert.h>
#include <string.h>

#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode.h"

/* 0..255 bytes, 256..267 merges, 268 control; from 269 on what only `extended` has: merges that overlap themselves, a
 * token of each other type, and special texts that overlap. */
static const char *const mini_merges[] = {"h e", "l l", "he ll", "hell o", "\xc4\xa0 w", "o r", "\xc4\xa0w or", "\xc4\xa0wor l",
                                          "\xc4\xa0worl d", "\xc4\xa0 \xc4\xa0", "l o", "\xc3\x83 \xc2\xa9",
                                          /* extended */
                                          "a a", "aa aa", "a b", "b a", "ab a", "\xc4\xa0\xc4\xa0 \xc4\xa0\xc4\xa0", "\xc3\xaf \xc2\xbf",
                                          "aa a", "\xc3\xaf\xc2\xbf \xc2\xbd", "1 2", "' l"};
static const char *const mini_tokens[] = {"he", "ll", "hell", "hello", "\xc4\xa0w", "or", "\xc4\xa0wor", "\xc4\xa0worl", "\xc4\xa0world",
                                          "\xc4\xa0\xc4\xa0", "lo", "\xc3\x83\xc2\xa9", "<|im_start|>",
                                          /* extended */
                                          "aa", "aaaa", "ab", "ba", "aba", "\xc4\xa0\xc4\xa0\xc4\xa0\xc4\xa0", "\xc3\xaf\xc2\xbf", "aaa",
                                          "\xc3\xaf\xc2\xbf\xc2\xbd", "12", "'l", "<unk>", "xyx", "yxy", "xyxy", "x", "<|im_start|>xy"};
enum {
    MINI_MERGES = 12, MINI_TOKENS = 269, MINI_CONTROL = 268,
    EXTENDED_MERGES = sizeof mini_merges / sizeof *mini_merges,
    EXTENDED_TOKENS = 256 + sizeof mini_tokens / sizeof *mini_tokens,
    MINI_UNKNOWN = 280, MINI_XYX = 281, MINI_YXY = 282, MINI_XYXY = 283, MINI_X = 284, MINI_START_XY = 285
};

typedef struct mini {
    char byte_text[256][2];
    lp_string tokens[EXTENDED_TOKENS], merges[EXTENDED_MERGES];
    int32_t types[EXTENDED_TOKENS];
    lp_tokenizer_source source;
} mini;

static inline void mini_fill(mini *m, const char *pre, bool extended)
{
    memset(m, 0, sizeof *m);
    for (int b = 0; b < 256; b++) {
        int n = lp_utf8_encode_short(lp_byte_character((uint8_t)b), (uint8_t *)m->byte_text[b]);
        m->tokens[b] = (lp_string){m->byte_text[b], (size_t)n};
    }
    for (int i = 0; 256 + i < EXTENDED_TOKENS; i++) m->tokens[256 + i] = (lp_string){mini_tokens[i], strlen(mini_tokens[i])};
    for (int i = 0; i < EXTENDED_MERGES; i++) m->merges[i] = (lp_string){mini_merges[i], strlen(mini_merges[i])};
    for (int i = 0; i < EXTENDED_TOKENS; i++) m->types[i] = LP_TOKEN_NORMAL;
    m->types[MINI_CONTROL] = m->types[MINI_START_XY] = LP_TOKEN_CONTROL;
    m->types[MINI_UNKNOWN] = LP_TOKEN_UNKNOWN;
    for (int id = MINI_XYX; id <= MINI_X; id++) m->types[id] = LP_TOKEN_USER_DEFINED;
    m->source = (lp_tokenizer_source){.name = "mini", .model = {"gpt2", 4}, .pre = {pre, strlen(pre)}, .tokens = m->tokens,
                                      .n_tokens = extended ? EXTENDED_TOKENS : MINI_TOKENS, .types = m->types,
                                      .merges = m->merges, .n_merges = extended ? EXTENDED_MERGES : MINI_MERGES,
                                      .adds_bos = -1};
    for (int i = 0; i < LP_NAMED_COUNT; i++) m->source.named[i] = -1;
}

/* ---- the plain way ---- */

/* A fuzzer that follows each comparison is to follow those of the library. */
#ifdef __clang__
#define PLAIN static inline __attribute__((no_sanitize("coverage")))
#else
#define PLAIN static inline
#endif

typedef struct plain_piece {
    size_t at, n;
} plain_piece;

PLAIN bool plain_equal(const char *text, plain_piece p, const char *wanted, size_t n)
{
    return p.n == n && !memcmp(text + p.at, wanted, n);
}

/* Ids of one word of n bytes, n_out of them, written to out[n]; -1: a piece that is no token. text: room for 2 n bytes,
 * piece: for n. For merge by merge in order of rank: join the leftmost pair, and begin again. */
PLAIN size_t plain_word(const lp_tokenizer_source *source, const uint8_t *word, size_t n, int32_t *out, char *text,
                                plain_piece *piece)
{
    size_t length = 0, n_pieces = n;
    for (size_t i = 0; i < n; i++) {
        piece[i].at = length;
        length += (size_t)lp_utf8_encode_short(lp_byte_character(word[i]), (uint8_t *)text + length);
        piece[i].n = length - piece[i].at;
    }
    for (size_t rank = 0; rank < source->n_merges;) {
        lp_string merge = source->merges[rank];
        size_t left = 1, i = 0;
        while (merge.data[left] != ' ') left++;
        while (i + 1 < n_pieces && !(plain_equal(text, piece[i], merge.data, left) &&
                                     plain_equal(text, piece[i + 1], merge.data + left + 1, merge.n - left - 1)))
            i++;
        if (i + 1 >= n_pieces) {
            rank++;
            continue;
        }
        piece[i].n += piece[i + 1].n;
        n_pieces--;
        memmove(piece + i + 1, piece + i + 2, (n_pieces - i - 1) * sizeof *piece);
        rank = 0;
    }
    for (size_t i = 0; i < n_pieces; i++) {
        out[i] = -1;
        for (int32_t id = 0; id < source->n_tokens && out[i] < 0; id++)
            if (plain_equal(text, piece[i], source->tokens[id].data, source->tokens[id].n)) out[i] = id;
    }
    return n_pieces;
}

/* What two tokens merge into, for merging by looking at every pair without comparing texts. */
typedef struct plain_table {
    int16_t rank[EXTENDED_TOKENS][EXTENDED_TOKENS]; /* -1: nothing */
    int16_t merged[EXTENDED_MERGES];                /* by rank */
} plain_table;

PLAIN int32_t plain_find(const lp_tokenizer_source *source, const char *text, size_t n)
{
    for (int32_t id = 0; id < source->n_tokens; id++)
        if (plain_equal(text, (plain_piece){0, n}, source->tokens[id].data, source->tokens[id].n)) return id;
    return -1;
}

PLAIN void plain_table_fill(plain_table *t, const lp_tokenizer_source *source)
{
    memset(t->rank, 0xff, sizeof t->rank);
    for (size_t rank = 0; rank < source->n_merges; rank++) {
        lp_string merge = source->merges[rank];
        size_t left = 1;
        char joined[64];
        while (merge.data[left] != ' ') left++;
        memcpy(joined, merge.data, left);
        memcpy(joined + left, merge.data + left + 1, merge.n - left - 1);
        t->rank[plain_find(source, merge.data, left)][plain_find(source, merge.data + left + 1, merge.n - left - 1)] = (int16_t)rank;
        t->merged[rank] = (int16_t)plain_find(source, joined, merge.n - 1);
    }
}

/* The ids of plain_word: the leftmost pair of the lowest rank, again and again. */
PLAIN size_t plain_word_by_table(const plain_table *t, const uint8_t *word, size_t n, int32_t *out)
{
    for (size_t i = 0; i < n; i++) out[i] = word[i];
    for (;;) {
        size_t best = n;
        int best_rank = EXTENDED_MERGES;
        for (size_t i = 0; i + 1 < n; i++) {
            int rank = t->rank[out[i]][out[i + 1]];
            if (rank >= 0 && rank < best_rank) best = i, best_rank = rank;
        }
        if (best == n) return n;
        out[best] = t->merged[best_rank];
        n--;
        memmove(out + best + 1, out + best + 2, (n - best - 1) * sizeof *out);
    }
}

/* Cuts text at special tokens as the card says: longest text first, each from the left; owner[i] is the id + 1 of the
 * token that covers byte i, 0: none. */
PLAIN void plain_special(const lp_tokenizer_source *source, bool parse_special, const uint8_t *text, size_t n, int32_t *owner)
{
    memset(owner, 0, n * sizeof *owner);
    for (size_t length = 16; length; length--) /* none is longer */
        for (int32_t id = 0; id < source->n_tokens; id++) {
            int32_t type = source->types[id];
            bool candidate = type == LP_TOKEN_USER_DEFINED || (parse_special && (type == LP_TOKEN_CONTROL || type == LP_TOKEN_UNKNOWN));
            if (!candidate || source->tokens[id].n != length) continue;
            for (size_t at = 0; at + length <= n; at++) {
                bool fits = !memcmp(text + at, source->tokens[id].data, length);
                for (size_t i = 0; fits && i < length; i++) fits = !owner[at + i];
                if (!fits) continue;
                for (size_t i = 0; i < length; i++) owner[at + i] = id + 1;
                at += length - 1;
            }
        }
}

#endif
