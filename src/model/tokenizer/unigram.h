/* Unigram: the cut of a text into tokens with the highest sum of scores; the "t5" vocabularies. */
#ifndef LP_MODEL_TOKENIZER_UNIGRAM_H
#define LP_MODEL_TOKENIZER_UNIGRAM_H

#include <stdbool.h>

#include "model/tokenizer/charsmap.h"
#include "model/tokenizer/ids.h"
#include "model/tokenizer/trie.h"

typedef struct lp_unigram {
    lp_trie trie;           /* normal, user-defined and unused tokens */
    const double *score;    /* [n tokens]; user-defined ones: 0 */
    double unknown_score;   /* of a character without a token: 10 below the least score of a normal token */
    int32_t unknown;        /* its token; a run of them is one. -1: none */
    const int32_t *byte_id; /* [256] what unknown characters become instead; NULL: the vocabulary lacks one of them */
    lp_charsmap charsmap;
    bool collapses;         /* runs of spaces are one, and go away at both ends of a text */
    bool keeps_last;        /* but one at the end stays */
    bool strips;            /* white space of any kind goes away at the end */
    bool white_space;       /* every character of white space is a space */
} lp_unigram;

/* Work memory; zero-initialised is empty. */
typedef struct lp_unigram_scratch {
    struct lp_unigram_best *best; /* [n] */
    size_t n;
} lp_unigram_scratch;
void lp_unigram_scratch_free(lp_unigram_scratch *scratch);

/* A buffer of text that grows. */
typedef struct lp_text_buffer {
    uint8_t *data; /* [n], from malloc */
    size_t n, room;
} lp_text_buffer;

/* Appends n bytes. Errors: LP_RESOURCE. */
lp_status lp_text_append(lp_text_buffer *buffer, const void *bytes, size_t n);

/* What stands in front of a text. */
typedef enum lp_space_before {
    LP_SPACE_NEVER,
    LP_SPACE_UNLESS, /* a space, unless the text begins with one */
    LP_SPACE_ALWAYS
} lp_space_before;

/* Appends a text as the scores see it: replaced by the charsmap, spaces as U+2581, a byte outside well-formed
 * UTF-8 as U+FFFD. Errors: LP_RESOURCE. */
lp_status lp_unigram_normalize(const lp_unigram *unigram, const uint8_t *text, size_t n, lp_space_before before, lp_text_buffer *out);

/* Appends the ids of a text of well-formed UTF-8 that is normalized. Sums are binary64, from the left; of equal sums the
 * longest last token wins. Time: n times the longest token. Errors: LP_RESOURCE; LP_INPUT for an unknown character if there is
 * no token for it. */
lp_status lp_unigram_encode(const lp_unigram *unigram, lp_unigram_scratch *scratch, const uint8_t *text, size_t n, lp_ids *out);

#endif
