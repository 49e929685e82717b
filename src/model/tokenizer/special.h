/* Texts that are tokens by themselves, found in a text before anything else looks at it. */
#ifndef LP_MODEL_TOKENIZER_SPECIAL_H
#define LP_MODEL_TOKENIZER_SPECIAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/gguf.h>

#include "base/arena.h"

/* State of the automaton: a prefix of some text. State 0 is the empty one. */
typedef struct lp_special_state {
    uint32_t child, sibling; /* longer prefixes; 0: none */
    uint32_t fail;           /* the longest proper suffix that is a state */
    uint32_t shorter;        /* the longest proper suffix that is a whole text; 0: none */
    uint32_t depth;          /* bytes */
    uint32_t rank;           /* of the text that ends here; NO: none */
    uint8_t byte;
} lp_special_state;

/* Aho-Corasick automaton over n texts, ranked by length (longest first), then id. */
typedef struct lp_special {
    lp_special_state *state;
    uint32_t n_states;
    uint32_t root[256]; /* child of state 0 by byte; 0: none */
    int32_t *id;        /* [n] by rank */
    uint32_t n;
} lp_special;

/* ids in any order; of equal texts the lowest id counts, empty texts never match. Errors: LP_RESOURCE. */
lp_status lp_special_build(lp_special *special, lp_arena *arena, const lp_string *text_of, const int32_t *ids, size_t n);

typedef struct lp_special_match {
    size_t begin, end;
    int32_t id;
} lp_special_match;

/* A walk through a text. Zero-initialise, then set special, text, n. */
typedef struct lp_special_walk {
    const lp_special *special;
    const uint8_t *text;
    size_t n;
    size_t at;      /* bytes seen */
    uint32_t state; /* after them */
    /* Occurrences that overlap one another: only they compete. */
    size_t *end;    /* [n_found] */
    uint32_t *node; /* [n_found] state; once resolved, that of the match */
    bool *taken;    /* [n_found] is a match */
    size_t n_found, room, next;
    uint8_t *covered; /* [n_covered] bytes of the group that belong to a match */
    size_t n_covered;
    uint64_t *heap;
} lp_special_walk;

/* The next match, left to right; *found false at the end. The matches are those of cutting the text at every occurrence
 * of the longest text, then what is left at those of the next, and so on, in time that does not depend on how many
 * texts there are. Errors: LP_RESOURCE. */
lp_status lp_special_next(lp_special_walk *walk, lp_special_match *match, bool *found);
void lp_special_walk_end(lp_special_walk *walk);

#endif
