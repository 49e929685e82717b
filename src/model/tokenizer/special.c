/* Special tokens in text (Aho and Corasick 1975). Card: runtime/tokenizers, special-token partition. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "model/tokenizer/heap.h"
#include "model/tokenizer/special.h"

#define NO UINT32_MAX

/* ---- building ----------------------------------------------------------------------------------------------------- */

static uint32_t child_of(const lp_special *special, uint32_t state, uint8_t byte)
{
    if (!state) return special->root[byte];
    uint32_t child = special->state[state].child;
    while (child && special->state[child].byte != byte) child = special->state[child].sibling;
    return child;
}

static uint32_t step(const lp_special *special, uint32_t state, uint8_t byte)
{
    for (;;) {
        uint32_t child = child_of(special, state, byte);
        if (child || !state) return child;
        state = special->state[state].fail;
    }
}

static void insert(lp_special *special, lp_string text, uint32_t rank)
{
    uint32_t state = 0;
    for (size_t i = 0; i < text.n; i++) {
        uint8_t byte = (uint8_t)text.data[i];
        uint32_t child = child_of(special, state, byte);
        if (!child) {
            child = special->n_states++;
            special->state[child] = (lp_special_state){.depth = special->state[state].depth + 1, .rank = NO, .byte = byte};
            if (state) {
                special->state[child].sibling = special->state[state].child;
                special->state[state].child = child;
            } else {
                special->root[byte] = child;
            }
        }
        state = child;
    }
    if (special->state[state].rank == NO) special->state[state].rank = rank;
}

/* Sets fail and shorter by increasing depth; queue has room for every state. */
static void link_suffixes(lp_special *special, uint32_t *queue)
{
    uint32_t n = 0;
    for (int b = 0; b < 256; b++)
        if (special->root[b]) queue[n++] = special->root[b];
    for (uint32_t i = 0; i < n; i++) {
        lp_special_state *state = &special->state[queue[i]];
        const lp_special_state *fail = &special->state[state->fail];
        state->shorter = fail->rank != NO ? state->fail : fail->shorter;
        for (uint32_t child = state->child; child; child = special->state[child].sibling) {
            special->state[child].fail = step(special, state->fail, special->state[child].byte);
            queue[n++] = child;
        }
    }
}

typedef struct ranked {
    uint64_t n;
    int32_t id;
} ranked;

static int by_rank(const void *a, const void *b)
{
    const ranked *x = a, *y = b;
    if (x->n != y->n) return x->n > y->n ? -1 : 1;
    return (x->id > y->id) - (x->id < y->id);
}

lp_status lp_special_build(lp_special *special, lp_arena *arena, const lp_string *text_of, const int32_t *ids, size_t n)
{
    size_t n_states = 1;
    for (size_t i = 0; i < n; i++)
        if (!lp_add_size(n_states, text_of[ids[i]].n, &n_states) || n_states >= NO)
            return lp_fail(LP_UNSUPPORTED, "special tokens of more than 2^32 bytes");
    special->n = (uint32_t)n;
    special->state = lp_arena_alloc_array(arena, n_states, sizeof *special->state);
    special->id = lp_arena_alloc_array(arena, n, sizeof *special->id);
    ranked *order = malloc((n + 1) * sizeof *order);
    uint32_t *queue = malloc(n_states * sizeof *queue);
    lp_status status = special->state && special->id ? LP_OK : LP_RESOURCE;
    if (status == LP_OK && (!order || !queue)) status = lp_fail_memory(n_states * sizeof *queue, "special tokens");
    if (status == LP_OK) {
        for (size_t i = 0; i < n; i++) order[i] = (ranked){text_of[ids[i]].n, ids[i]};
        qsort(order, n, sizeof *order, by_rank);
        special->n_states = 1;
        special->state[0].rank = NO;
        for (size_t i = 0; i < n; i++) {
            special->id[i] = order[i].id;
            if (order[i].n) insert(special, text_of[order[i].id], (uint32_t)i);
        }
        link_suffixes(special, queue);
    }
    free(order);
    free(queue);
    return status;
}

/* ---- walking ------------------------------------------------------------------------------------------------------ */

void lp_special_walk_end(lp_special_walk *walk)
{
    free(walk->end);
    free(walk->node);
    free(walk->taken);
    free(walk->covered);
    free(walk->heap);
    *walk = (lp_special_walk){0};
}

static bool grow(void **memory, size_t n, size_t size)
{
    size_t bytes;
    void *grown = lp_mul_size(n, size, &bytes) ? realloc(*memory, bytes) : NULL;
    if (grown) *memory = grown;
    return grown != NULL;
}

static lp_status add_occurrence(lp_special_walk *walk, uint32_t node)
{
    if (walk->n_found == walk->room) {
        size_t room = walk->room ? 2 * walk->room : 16;
        if (!grow((void **)&walk->end, room, sizeof *walk->end) || !grow((void **)&walk->node, room, sizeof *walk->node) ||
            !grow((void **)&walk->taken, room, sizeof *walk->taken) || !grow((void **)&walk->heap, room, sizeof *walk->heap))
            return lp_fail_memory(room * 32, "special tokens in a text");
        walk->room = room;
    }
    walk->end[walk->n_found] = walk->at;
    walk->node[walk->n_found] = node;
    walk->taken[walk->n_found++] = false;
    return LP_OK;
}

/* Collects the next group of occurrences that overlap one another, in [*low, *high). */
static lp_status find_group(lp_special_walk *walk, size_t *low, size_t *high)
{
    const lp_special *special = walk->special;
    walk->n_found = 0;
    while (walk->at < walk->n) {
        if (!walk->state && !walk->n_found) { /* most of a text */
            while (walk->at < walk->n && !special->root[walk->text[walk->at]]) walk->at++;
            if (walk->at == walk->n) break;
        }
        uint32_t state = step(special, walk->state, walk->text[walk->at]);
        /* Every later occurrence begins at or after the prefix that state stands for. */
        if (walk->n_found && walk->at + 1 - special->state[state].depth >= *high) break;
        walk->state = state;
        walk->at++;
        uint32_t node = special->state[state].rank != NO ? state : special->state[state].shorter;
        if (!node) continue;
        size_t begin = walk->at - special->state[node].depth;
        *low = !walk->n_found || begin < *low ? begin : *low;
        *high = walk->at;
        LP_TRY(add_occurrence(walk, node));
    }
    return LP_OK;
}

/* Chooses within a group: by rank, then from the left. A match that is already chosen is at least as long, so it overlaps
 * a candidate iff it covers the candidate's first or last byte. */
static lp_status resolve(lp_special_walk *walk, size_t low, size_t high)
{
    const lp_special_state *state = walk->special->state;
    size_t n = 0;
    if (high - low > walk->n_covered) {
        if (!grow((void **)&walk->covered, high - low, 1)) return lp_fail_memory(high - low, "special tokens in a text");
        walk->n_covered = high - low;
    }
    memset(walk->covered, 0, high - low);
    for (size_t i = 0; i < walk->n_found; i++)
        lp_heap_push(walk->heap, &n, (uint64_t)state[walk->node[i]].rank << 32 | i);
    while (n) {
        size_t i = (uint32_t)lp_heap_pop(walk->heap, &n);
        uint32_t node = walk->node[i];
        size_t end = walk->end[i], begin = end - state[node].depth;
        if (walk->covered[end - 1 - low]) continue;
        if (!walk->covered[begin - low]) {
            memset(walk->covered + (begin - low), 1, end - begin);
            walk->taken[i] = true;
        } else if (state[node].shorter) {
            walk->node[i] = state[node].shorter;
            lp_heap_push(walk->heap, &n, (uint64_t)state[walk->node[i]].rank << 32 | i);
        }
    }
    return LP_OK;
}

lp_status lp_special_next(lp_special_walk *walk, lp_special_match *match, bool *found)
{
    *found = false;
    if (walk->special->n_states <= 1) return LP_OK;
    for (;;) {
        while (walk->next < walk->n_found && !walk->taken[walk->next]) walk->next++;
        if (walk->next < walk->n_found) {
            const lp_special_state *state = &walk->special->state[walk->node[walk->next]];
            size_t end = walk->end[walk->next++];
            *match = (lp_special_match){end - state->depth, end, walk->special->id[state->rank]};
            *found = true;
            return LP_OK;
        }
        size_t low = 0, high = 0;
        LP_TRY(find_group(walk, &low, &high));
        walk->next = 0;
        if (!walk->n_found) return LP_OK;
        LP_TRY(resolve(walk, low, high));
    }
}
