/* Texts by their bytes, for finding every one that a text begins with. */
#ifndef LP_MODEL_TOKENIZER_TRIE_H
#define LP_MODEL_TOKENIZER_TRIE_H

#include <lowp/gguf.h>

#include "base/arena.h"

typedef struct lp_trie_edge {
    uint32_t from; /* state; the byte stands apart */
    uint32_t to;   /* 0: empty slot */
} lp_trie_edge;

/* States are numbered from 0, the empty text; edges lie in open addressing, at most half full. */
typedef struct lp_trie {
    lp_trie_edge *edge; /* [mask + 1] */
    uint8_t *byte;      /* [mask + 1] of the edge */
    size_t mask;
    int32_t *id;        /* [n_states] of the text that ends here; -1: none */
    uint32_t n_states;
} lp_trie;

/* texts[id] for each of n ids; of equal texts the first id counts, empty ones are no texts. Errors: LP_RESOURCE; LP_UNSUPPORTED
 * beyond 2^31 bytes. */
lp_status lp_trie_build(lp_trie *trie, lp_arena *arena, const lp_string *texts, const int32_t *ids, size_t n);

/* State after one more byte; 0: no text goes on so. */
static inline uint32_t lp_trie_step(const lp_trie *trie, uint32_t state, uint8_t byte)
{
    uint64_t h = ((uint64_t)state << 8 | byte) * UINT64_C(0x9e3779b97f4a7c15);
    for (size_t at = (h ^ h >> 32) & trie->mask;; at = (at + 1) & trie->mask)
        if (!trie->edge[at].to || (trie->edge[at].from == state && trie->byte[at] == byte)) return trie->edge[at].to;
}

#endif
