/* WordPiece: the "bert" vocabularies, in which a word's first piece begins with U+2581. */
#ifndef LP_MODEL_TOKENIZER_WORDPIECE_H
#define LP_MODEL_TOKENIZER_WORDPIECE_H

#include <stdbool.h>

#include "model/tokenizer/ids.h"
#include "model/tokenizer/vocabulary.h"

typedef struct lp_wordpiece {
    const lp_vocabulary *vocabulary;
    size_t max_token; /* bytes of the longest token's text */
    int32_t unknown;  /* of a word that cannot be cut into tokens */
    bool lowercase, strip_accents;
    uint32_t most_characters; /* of a word; longer ones are unknown. 0: no limit */
} lp_wordpiece;

/* Appends the ids of a text of well-formed UTF-8: controls (U+000B, U+000C and U+0085 too), U+FFFD go away, accents if wanted (canonical
 * decomposition without non-spacing marks), letters become lower case if wanted; words end at white space; punctuation,
 * symbols of ASCII and Han characters are words; of each word always the longest token that fits. Without a limit
 * words are of any length, as in llama.cpp. Time: linear. Errors: LP_RESOURCE. */
lp_status lp_wordpiece_encode(const lp_wordpiece *wordpiece, const uint8_t *text, size_t n, lp_ids *out);

#endif
