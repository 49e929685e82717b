/* SentencePiece's table of replacements: the longest text that it holds at a position becomes another. */
#ifndef LP_MODEL_TOKENIZER_CHARSMAP_H
#define LP_MODEL_TOKENIZER_CHARSMAP_H

#include <lowp/gguf.h>

#include "base/arena.h"

/* A double array of units (Kanda 2018), then the replacements, each ended by a zero byte. No units: nothing is replaced. */
typedef struct lp_charsmap {
    const uint32_t *unit; /* [n_units] */
    uint32_t n_units;
    const char *text;     /* [n_text], the last byte is zero */
    uint32_t n_text;
} lp_charsmap;

/* A copy of tokenizer.ggml.precompiled_charsmap. name: the file. Errors: LP_INPUT where the sizes do not fit, or a replacement is
 * no UTF-8; LP_RESOURCE. What its units point to is checked at each step of a walk. */
lp_status lp_charsmap_build(lp_charsmap *charsmap, lp_arena *arena, const uint8_t *bytes, size_t n, const char *name);

/* Bytes at the start of text[0..n) that are replaced, and by what; 0: none. At most 255 bytes are looked at. */
size_t lp_charsmap_find(const lp_charsmap *charsmap, const uint8_t *text, size_t n, lp_string *replacement);

#endif
