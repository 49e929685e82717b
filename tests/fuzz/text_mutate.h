/* A mutator for texts with a grammar: it inserts and exchanges fragments of the language, and moves, doubles and removes what
 * stands between brackets. */
#ifndef TESTS_FUZZ_TEXT_MUTATE_H
#define TESTS_FUZZ_TEXT_MUTATE_H

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

extern size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t room) __attribute__((weak)); /* absent in replays */

typedef struct text_grammar {
    const char *const *fragment; /* [n] pieces of the language */
    size_t n;
    const char *open, *close;    /* brackets: open[i] is closed by close[i] */
    const char *border;          /* characters between words, brackets included */
} text_grammar;

static inline uint32_t text_random(uint32_t *state, size_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return below ? (*state >> 8) % (uint32_t)below : 0;
}

/* Replaces [from, to) with bytes as far as the room allows. */
static inline size_t text_splice(uint8_t *data, size_t n, size_t room, size_t from, size_t to, const void *bytes, size_t n_bytes)
{
    if (n - (to - from) + n_bytes > room) return n;
    memmove(data + from + n_bytes, data + to, n - to);
    if (n_bytes) memcpy(data + from, bytes, n_bytes);
    return n - (to - from) + n_bytes;
}

/* A group in brackets that begins at or after a random place: [from, to); false if there is none. */
static inline int text_group(const text_grammar *g, const uint8_t *data, size_t n, uint32_t *state, size_t *from, size_t *to)
{
    size_t start = text_random(state, n + 1);
    for (size_t i = 0; i < n; i++) {
        size_t at = (start + i) % n;
        const char *kind = data[at] ? strchr(g->open, data[at]) : NULL;
        if (!kind) continue;
        uint8_t open = data[at], close = (uint8_t)g->close[kind - g->open];
        int depth = 0;
        for (size_t k = at; k < n; k++) {
            depth += data[k] == open;
            if (data[k] == close && --depth == 0) {
                *from = at;
                *to = k + 1;
                return 1;
            }
        }
    }
    return 0;
}

static inline int text_is_border(const text_grammar *g, uint8_t c) { return c && strchr(g->border, c) != NULL; }

static inline size_t text_mutate(const text_grammar *g, uint8_t *data, size_t n, size_t room, uint32_t seed)
{
    uint32_t state = seed * 2654435761u + 1;
    static uint8_t kept[1 << 16];
    if (text_random(&state, 4) == 0 && LLVMFuzzerMutate) return LLVMFuzzerMutate(data, n, room);
    for (uint32_t steps = 1 + text_random(&state, 4); steps > 0; steps--) {
        size_t from = text_random(&state, n + 1), to = from, a, b;
        const char *fragment = g->fragment[text_random(&state, g->n)];
        switch (text_random(&state, 8)) {
        case 0: n = text_splice(data, n, room, from, from, fragment, strlen(fragment)); break;
        case 1: /* another word */
            while (from > 0 && !text_is_border(g, data[from - 1])) from--;
            while (to < n && !text_is_border(g, data[to])) to++;
            n = text_splice(data, n, room, from, to, fragment, strlen(fragment));
            break;
        case 2: /* a group goes */
            if (n && text_group(g, data, n, &state, &a, &b)) n = text_splice(data, n, room, a, b, "", 0);
            break;
        case 3: /* a group comes twice, or at another place */
            if (n && text_group(g, data, n, &state, &a, &b) && b - a < sizeof kept) {
                size_t length = b - a;
                memcpy(kept, data + a, length);
                if (text_random(&state, 2)) n = text_splice(data, n, room, a, b, "", 0);
                from = text_random(&state, n + 1);
                n = text_splice(data, n, room, from, from, kept, length);
            }
            break;
        case 4: /* a group is a fragment now */
            if (n && text_group(g, data, n, &state, &a, &b)) n = text_splice(data, n, room, a, b, fragment, strlen(fragment));
            break;
        case 5: /* a group around a group */
            if (n && text_group(g, data, n, &state, &a, &b)) {
                size_t kind = text_random(&state, strlen(g->open));
                n = text_splice(data, n, room, b, b, &g->close[kind], 1);
                n = text_splice(data, n, room, a, a, &g->open[kind], 1);
            }
            break;
        case 6: /* a short piece goes */
            to += text_random(&state, n - from < 16 ? n - from + 1 : 16);
            n = text_splice(data, n, room, from, to, "", 0);
            break;
        default:
            if (from < n) data[from] = (uint8_t)text_random(&state, text_random(&state, 4) ? 128 : 256);
            break;
        }
    }
    if (n == 0 && room > 0) data[n++] = (uint8_t)g->open[0];
    return n;
}

#endif
