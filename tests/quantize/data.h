/* Data for the tests of this room: the card's generator and pseudo-normal values. */
#ifndef TESTS_QUANTIZE_DATA_H
#define TESTS_QUANTIZE_DATA_H

#include <stdint.h>

/* The card's data X: each value from four steps of an LCG. *s begins as 1. */
static inline float card_value(uint32_t *s)
{
    int32_t t = -131070;
    for (int i = 0; i < 4; i++) {
        *s = *s * 1664525u + 1013904223u;
        t += (int32_t)(*s >> 16);
    }
    return (float)t / 131072.0f;
}

static inline void card_data(uint32_t seed, float scale, int64_t n, float *x)
{
    for (int64_t i = 0; i < n; i++) x[i] = scale * card_value(&seed);
}

#endif
