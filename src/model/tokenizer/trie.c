/* Texts by their bytes. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "model/tokenizer/trie.h"

/* The slot of an edge, or the empty one where it would go. */
static size_t slot_of(const lp_trie *trie, uint32_t state, uint8_t byte)
{
    uint64_t h = ((uint64_t)state << 8 | byte) * UINT64_C(0x9e3779b97f4a7c15);
    size_t at = (h ^ h >> 32) & trie->mask;
    while (trie->edge[at].to && (trie->edge[at].from != state || trie->byte[at] != byte)) at = (at + 1) & trie->mask;
    return at;
}

/* Twice the slots. */
static bool grow(lp_trie *trie)
{
    lp_trie old = *trie;
    trie->mask = 2 * old.mask + 1;
    trie->edge = calloc(trie->mask + 1, sizeof *trie->edge);
    trie->byte = malloc(trie->mask + 1);
    if (!trie->edge || !trie->byte) {
        free(trie->edge);
        free(trie->byte);
        *trie = old;
        return false;
    }
    for (size_t i = 0; i <= old.mask; i++) {
        if (!old.edge[i].to) continue;
        size_t at = slot_of(trie, old.edge[i].from, old.byte[i]);
        trie->edge[at] = old.edge[i];
        trie->byte[at] = old.byte[i];
    }
    free(old.edge);
    free(old.byte);
    return true;
}

/* Adds a text; id has room for its states. */
static bool insert(lp_trie *trie, lp_string text, int32_t id)
{
    uint32_t state = 0;
    for (size_t i = 0; i < text.n; i++) {
        size_t at = slot_of(trie, state, (uint8_t)text.data[i]);
        if (!trie->edge[at].to) {
            if (2 * (size_t)trie->n_states > trie->mask) {
                if (!grow(trie)) return false;
                at = slot_of(trie, state, (uint8_t)text.data[i]);
            }
            trie->edge[at] = (lp_trie_edge){state, trie->n_states};
            trie->byte[at] = (uint8_t)text.data[i];
            trie->id[trie->n_states++] = -1;
        }
        state = trie->edge[at].to;
    }
    if (state && trie->id[state] < 0) trie->id[state] = id;
    return true;
}

/* Moves the finished arrays into the arena. */
static lp_status keep(lp_trie *trie, lp_arena *arena)
{
    lp_trie built = *trie;
    trie->edge = lp_arena_alloc_array(arena, built.mask + 1, sizeof *trie->edge);
    trie->byte = lp_arena_alloc(arena, built.mask + 1);
    trie->id = lp_arena_alloc_array(arena, built.n_states, sizeof *trie->id);
    bool complete = trie->edge && trie->byte && trie->id;
    if (complete) {
        memcpy(trie->edge, built.edge, (built.mask + 1) * sizeof *trie->edge);
        memcpy(trie->byte, built.byte, built.mask + 1);
        memcpy(trie->id, built.id, built.n_states * sizeof *trie->id);
    }
    free(built.edge);
    free(built.byte);
    free(built.id);
    return complete ? LP_OK : LP_RESOURCE;
}

lp_status lp_trie_build(lp_trie *trie, lp_arena *arena, const lp_string *texts, const int32_t *ids, size_t n)
{
    size_t n_bytes = 1, n_ids;
    for (size_t i = 0; i < n; i++)
        if (!lp_add_size(n_bytes, texts[ids[i]].n, &n_bytes) || n_bytes > INT32_MAX)
            return lp_fail(LP_UNSUPPORTED, "token texts of more than 2^31 bytes");
    *trie = (lp_trie){.mask = 63, .n_states = 1};
    trie->edge = calloc(trie->mask + 1, sizeof *trie->edge);
    trie->byte = malloc(trie->mask + 1);
    trie->id = lp_mul_size(n_bytes, sizeof *trie->id, &n_ids) ? malloc(n_ids) : NULL;
    bool complete = trie->edge && trie->byte && trie->id;
    if (complete) trie->id[0] = -1;
    for (size_t i = 0; i < n && complete; i++) complete = insert(trie, texts[ids[i]], ids[i]);
    if (complete) return keep(trie, arena);
    free(trie->edge);
    free(trie->byte);
    free(trie->id);
    *trie = (lp_trie){0};
    return lp_fail_memory(n_bytes * sizeof *trie->id, "token texts");
}
