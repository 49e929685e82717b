/* Byte-pair merges over token ids. */
#ifndef LP_MODEL_TOKENIZER_BPE_H
#define LP_MODEL_TOKENIZER_BPE_H

#include <stddef.h>
#include <stdint.h>

#include "model/tokenizer/vocabulary.h"

typedef struct lp_merge {
    uint64_t pair; /* left id << 32 | right id; UINT64_MAX: empty slot */
    uint32_t rank; /* lower merges first */
    int32_t merged;
} lp_merge;

typedef struct lp_merges {
    lp_merge *slot; /* open addressing, linear probing, at most half full */
    int shift;      /* 64 - log2 of the number of slots */
    lp_merge *list; /* [n] by rank */
    size_t n;       /* distinct pairs */
} lp_merges;

/* From texts "left right", cut at the first space that is not the first byte. Of equal pairs the first counts.
 * Errors: LP_INPUT naming the merge if it has no second part, or a part or the result is not a token. */
lp_status lp_merges_build(lp_merges *merges, lp_arena *arena, const lp_vocabulary *vocabulary, const lp_string *texts,
                          size_t n, const char *name);

/* Work memory of long words; zero-initialised is empty. */
typedef struct lp_bpe_scratch {
    uint32_t *symbol; /* 3 numbers a symbol: rank of the pair that begins here, previous, next */
    uint64_t *heap;   /* 2 keys a symbol */
    size_t n;         /* symbols that there is room for */
} lp_bpe_scratch;
void lp_bpe_scratch_free(lp_bpe_scratch *scratch);

/* Merges id[0..*n) in place: always the adjacent pair of the lowest rank, the leftmost of equals, until none is left.
 * Ids below 0 stand for bytes without a token and merge with nothing. */
lp_status lp_bpe_merge(const lp_merges *merges, lp_bpe_scratch *scratch, int32_t *id, size_t *n);

#endif
