/* The small SentencePiece vocabulary of the tokenizer's card, and merging by score done the slow, plain way. */
#ifndef TESTS_MODEL_MINI_SPM_H
#define TESTS_MODEL_MINI_SPM_H

#include <stdio.h>
#include <string.h>

#include "mini_vocabulary.h"
#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode.h"

#define U2581 "\xe2\x96\x81"

/* 0 unknown, 1 BOS, 2 EOS, 3 + b byte b, then these; from 268 on what only `extended` has: ties, a pair of characters that
 * are no tokens, a token that two cuts make, a user-defined text. */
static const struct {
    const char *text;
    float score;
} mini_spm_tokens[] = {{U2581, -5}, {"a", -6}, {"b", -7}, {"ab", -2}, {"ba", -1.5f}, {U2581 "a", -3}, {U2581 "ab", -4},
                       {"abab", -3.5f}, {U2581 "aba", -10}, /* extended */ {"aa", -2}, {"cd", -1}, {"aaa", -2.5f},
                       {U2581 U2581, -3}, {"d" U2581, -1}, {"\xc3\xa9\xc3\xa9", -1}, {"xx", -1}};
enum {
    MINI_SPM_TOKENS = 268, EXTENDED_SPM_TOKENS = 259 + sizeof mini_spm_tokens / sizeof *mini_spm_tokens,
    MINI_SPM_USER = EXTENDED_SPM_TOKENS - 1
};

typedef struct mini_spm {
    char byte_text[256][8];
    lp_string tokens[EXTENDED_SPM_TOKENS];
    int32_t types[EXTENDED_SPM_TOKENS];
    float scores[EXTENDED_SPM_TOKENS];
    lp_tokenizer_source source;
} mini_spm;

static inline void mini_spm_fill(mini_spm *m, bool extended)
{
    memset(m, 0, sizeof *m);
    m->tokens[0] = (lp_string){"<unk>", 5};
    m->tokens[1] = (lp_string){"<s>", 3};
    m->tokens[2] = (lp_string){"</s>", 4};
    m->types[0] = LP_TOKEN_UNKNOWN;
    m->types[1] = m->types[2] = LP_TOKEN_CONTROL;
    for (int b = 0; b < 256; b++) {
        snprintf(m->byte_text[b], sizeof *m->byte_text, "<0x%02X>", (unsigned)b);
        m->tokens[3 + b] = (lp_string){m->byte_text[b], 6};
        m->types[3 + b] = LP_TOKEN_BYTE;
    }
    for (int i = 259; i < EXTENDED_SPM_TOKENS; i++) {
        m->tokens[i] = (lp_string){mini_spm_tokens[i - 259].text, strlen(mini_spm_tokens[i - 259].text)};
        m->types[i] = i == MINI_SPM_USER ? LP_TOKEN_USER_DEFINED : LP_TOKEN_NORMAL;
        m->scores[i] = mini_spm_tokens[i - 259].score;
    }
    m->source = (lp_tokenizer_source){.name = "mini", .model = {"llama", 5}, .tokens = m->tokens, .scores = m->scores,
                                      .n_tokens = extended ? EXTENDED_SPM_TOKENS : MINI_SPM_TOKENS, .types = m->types,
                                      .adds_bos = -1, .adds_space = -1};
    for (int i = 0; i < LP_NAMED_COUNT; i++) m->source.named[i] = -1;
    m->source.named[LP_NAMED_BOS] = 1;
    m->source.named[LP_NAMED_EOS] = 2;
    m->source.named[LP_NAMED_UNKNOWN] = 0;
}

PLAIN int32_t plain_spm_find(const lp_tokenizer_source *source, const uint8_t *text, size_t n)
{
    for (int32_t id = 0; id < source->n_tokens; id++)
        if (source->tokens[id].n == n && !memcmp(source->tokens[id].data, text, n)) return id;
    return -1;
}

/* Ids of text without special tokens: escape it, then look at all pairs for each merge. escaped has room for 3 n + 3
 * bytes, begin and out for as many numbers plus one. What two symbols make is looked up when they become neighbours. */
PLAIN size_t plain_spm(const lp_tokenizer_source *source, bool space_before, const uint8_t *text, size_t n, int32_t *out,
                               uint8_t *escaped, size_t *begin)
{
    size_t length = 0, count = 0, n_out = 0;
    if (space_before) memcpy(escaped, U2581, 3), length = 3;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == ' ')
            memcpy(escaped + length, U2581, 3), length += 3;
        else
            escaped[length++] = text[i];
    }
    for (size_t at = 0, k; at < length; at += k ? k : 1) {
        k = lp_utf8_length(escaped + at, length - at);
        begin[count++] = at;
    }
    begin[count] = length;
    int32_t *pair = out; /* [count] of symbols i and i + 1, until the ids are written */
    for (size_t i = 0; i + 1 < count; i++) pair[i] = plain_spm_find(source, escaped + begin[i], begin[i + 2] - begin[i]);
    for (;;) {
        size_t best = count;
        float best_score = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            int32_t id = pair[i];
            if (id >= 0 && (best == count || source->scores[id] > best_score)) best = i, best_score = source->scores[id];
        }
        if (best == count) break;
        memmove(begin + best + 1, begin + best + 2, (count - best - 1) * sizeof *begin);
        memmove(pair + best, pair + best + 1, (count - best - 1) * sizeof *pair);
        count--;
        for (size_t i = best ? best - 1 : 0; i <= best && i + 1 < count; i++)
            pair[i] = plain_spm_find(source, escaped + begin[i], begin[i + 2] - begin[i]);
    }
    for (size_t i = 0; i < count; i++) {
        int32_t id = plain_spm_find(source, escaped + begin[i], begin[i + 1] - begin[i]);
        if (id >= 0) out[n_out++] = id;
        else
            for (size_t k = begin[i]; k < begin[i + 1]; k++) out[n_out++] = 3 + escaped[k];
    }
    return n_out;
}

#endif
