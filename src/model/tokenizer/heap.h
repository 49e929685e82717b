/* A binary heap of 64-bit keys, least first. */
#ifndef LP_MODEL_TOKENIZER_HEAP_H
#define LP_MODEL_TOKENIZER_HEAP_H

#include <stddef.h>
#include <stdint.h>

/* key has room for one more than *n. */
static inline void lp_heap_push(uint64_t *key, size_t *n, uint64_t value)
{
    size_t at = (*n)++;
    for (; at; at = (at - 1) / 2) {
        size_t parent = (at - 1) / 2;
        if (key[parent] <= value) break;
        key[at] = key[parent];
    }
    key[at] = value;
}

/* Takes the least of *n >= 1 keys. */
static inline uint64_t lp_heap_pop(uint64_t *key, size_t *n)
{
    uint64_t least = key[0], value = key[--*n];
    size_t at = 0, child;
    while ((child = 2 * at + 1) < *n) {
        if (child + 1 < *n && key[child + 1] < key[child]) child++;
        if (value <= key[child]) break;
        key[at] = key[child];
        at = child;
    }
    key[at] = value;
    return least;
}

#endif
