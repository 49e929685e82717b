/* Texts of tokens, and the token of a text. */
#ifndef LP_MODEL_TOKENIZER_VOCABULARY_H
#define LP_MODEL_TOKENIZER_VOCABULARY_H

#include <lowp/gguf.h>

#include "base/arena.h"

typedef struct lp_vocabulary {
    lp_string *text; /* [n] */
    int32_t n;
    int32_t *slot; /* [mask + 1] open addressing, linear probing; -1: empty */
    size_t mask;
} lp_vocabulary;

/* Copies n texts into the arena. Of equal texts the lowest id is found. */
lp_status lp_vocabulary_build(lp_vocabulary *vocabulary, lp_arena *arena, const lp_string *texts, int32_t n);

/* Token with this text, or -1. */
int32_t lp_vocabulary_find(const lp_vocabulary *vocabulary, const void *text, size_t n);

/* The printable stand-in of a byte in token texts: a code point below 0x180. Bytes that print stand for themselves, the
 * other 68 for U+0100, U+0101, ... in increasing order. */
uint32_t lp_byte_character(uint8_t byte);

/* Inverse; -1: the code point stands for no byte. */
int lp_character_byte(uint32_t code_point);

/* Hash of n bytes; equal on every machine. */
uint64_t lp_hash_bytes(const void *data, size_t n);

#endif
