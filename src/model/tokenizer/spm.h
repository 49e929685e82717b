/* SentencePiece as a greedy merge, by score or by a list of merges: the "llama" and "gemma4" vocabularies. */
#ifndef LP_MODEL_TOKENIZER_SPM_H
#define LP_MODEL_TOKENIZER_SPM_H

#include <stdbool.h>

#include "model/tokenizer/bpe.h"
#include "model/tokenizer/ids.h"
#include "model/tokenizer/vocabulary.h"

#define LP_SPM_SPACE "\xe2\x96\x81" /* U+2581 stands for a space in token texts */

typedef struct lp_spm {
    const lp_vocabulary *vocabulary;
    const int32_t *byte_id; /* [256] "<0xXX>", else the one-byte text, else the unknown token; -1: none */
    uint32_t *rank;         /* [n tokens] place of the score, highest first; equal scores have equal ranks */
    size_t max_token;       /* bytes of the longest token's text */
    const lp_merges *merges; /* these decide instead of the scores; NULL: the scores do */
} lp_spm;

/* scores[n], finite. Errors: LP_RESOURCE. */
lp_status lp_spm_rank(uint32_t **rank, lp_arena *arena, const float *scores, size_t n);

/* True if no token holds U+2581 behind another character: then none reaches over the start of a word, and words can be encoded
 * one by one. */
bool lp_spm_words_end(const lp_vocabulary *vocabulary);

/* Work memory; zero-initialised is empty. */
typedef struct lp_spm_scratch {
    uint8_t *text;      /* with spaces escaped */
    uint32_t *symbol;   /* 4 numbers a symbol */
    uint64_t *heap;     /* 2 keys a symbol */
    size_t n_text, n;   /* bytes and symbols that there is room for */
    lp_bpe_scratch bpe;
    lp_ids ids;         /* of the characters, for merges */
} lp_spm_scratch;
void lp_spm_scratch_free(lp_spm_scratch *scratch);

/* Appends the ids of a text, after one more space if space_before. Bytes outside well-formed UTF-8 are characters
 * of their own; always the adjacent pair merges whose joined text is the token of the highest
 * score (with merges: that stands first in their list), the leftmost of equals; characters that are no token become their bytes' tokens. Time: n log n.
 * Errors: LP_RESOURCE; LP_USAGE for more than 2^32 - 2 bytes; LP_INPUT for a byte without a token. */
lp_status lp_spm_encode(const lp_spm *spm, lp_spm_scratch *scratch, const uint8_t *text, size_t n, bool space_before,
                        lp_ids *out);

#endif
