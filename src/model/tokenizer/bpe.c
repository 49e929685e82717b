/* Byte-pair merges over token ids. Card: runtime/tokenizers. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "model/tokenizer/bpe.h"
#include "model/tokenizer/heap.h"

#define NO_PAIR UINT64_MAX
#define NO_RANK UINT32_MAX
#define NONE UINT32_MAX

static inline uint64_t pair_of(int32_t left, int32_t right) { return (uint64_t)(uint32_t)left << 32 | (uint32_t)right; }

static inline size_t first_slot(const lp_merges *merges, uint64_t pair)
{
    uint64_t h = pair * UINT64_C(0x9e3779b97f4a7c15);
    return (h ^ h << 31) * UINT64_C(0xd6e8feb86659fd93) >> merges->shift;
}

/* Slot of a pair, or the empty one where it would go. */
static inline lp_merge *find_slot(const lp_merges *merges, uint64_t pair)
{
    size_t mask = ((size_t)1 << (64 - merges->shift)) - 1;
    size_t at = first_slot(merges, pair);
    while (merges->slot[at].pair != pair && merges->slot[at].pair != NO_PAIR) at = (at + 1) & mask;
    return &merges->slot[at];
}

static inline const lp_merge *find(const lp_merges *merges, int32_t left, int32_t right)
{
    static const lp_merge none = {NO_PAIR, NO_RANK, -1};
    if (left < 0 || right < 0) return &none;
    return find_slot(merges, pair_of(left, right)); /* empty slots have NO_RANK */
}

static inline uint32_t rank_of(const lp_merges *merges, int32_t left, int32_t right)
{
    return find(merges, left, right)->rank;
}

static lp_status bad_merge(const char *name, size_t index, lp_string text, const char *what)
{
    return lp_fail(LP_INPUT, "%s: tokenizer.ggml.merges[%zu] \"%.*s\": %s", name, index, (int)(text.n < 80 ? text.n : 80),
                   text.data, what);
}

lp_status lp_merges_build(lp_merges *merges, lp_arena *arena, const lp_vocabulary *vocabulary, const lp_string *texts,
                          size_t n, const char *name)
{
    int log2_slots = 4;
    while (log2_slots < 40 && (size_t)1 << log2_slots < 2 * n) log2_slots++;
    size_t n_slots = (size_t)1 << log2_slots;
    if (n > n_slots / 2 || n >= NO_RANK) return lp_fail_memory(SIZE_MAX, "merges");
    merges->shift = 64 - log2_slots;
    merges->slot = lp_arena_alloc_array(arena, n_slots, sizeof *merges->slot);
    merges->list = lp_arena_alloc_array(arena, n, sizeof *merges->list);
    if (!merges->slot || !merges->list) return LP_RESOURCE;
    for (size_t i = 0; i < n_slots; i++) merges->slot[i] = (lp_merge){NO_PAIR, NO_RANK, -1};

    char *joined = NULL;
    size_t room = 0;
    lp_status status = LP_OK;
    for (size_t i = 0; i < n && status == LP_OK; i++) {
        lp_string text = texts[i];
        const char *space = text.n > 1 ? memchr(text.data + 1, ' ', text.n - 1) : NULL;
        if (!space) {
            status = bad_merge(name, i, text, "no space between two parts");
            break;
        }
        size_t n_left = (size_t)(space - text.data), n_right = text.n - n_left - 1;
        if (text.n > room) {
            char *grown = realloc(joined, 2 * text.n);
            if (!grown) {
                status = lp_fail_memory(2 * text.n, "merges");
                break;
            }
            joined = grown;
            room = 2 * text.n;
        }
        memcpy(joined, text.data, n_left);
        memcpy(joined + n_left, space + 1, n_right);
        int32_t left = lp_vocabulary_find(vocabulary, text.data, n_left);
        int32_t right = lp_vocabulary_find(vocabulary, space + 1, n_right);
        int32_t merged = lp_vocabulary_find(vocabulary, joined, n_left + n_right);
        if (left < 0 || right < 0 || merged < 0) {
            status = bad_merge(name, i, text, left < 0    ? "the left part is not a token"
                                              : right < 0 ? "the right part is not a token"
                                                          : "the two parts together are not a token");
            break;
        }
        lp_merge *slot = find_slot(merges, pair_of(left, right));
        if (slot->pair != NO_PAIR) continue;
        *slot = (lp_merge){pair_of(left, right), (uint32_t)merges->n, merged};
        merges->list[merges->n++] = *slot;
    }
    free(joined);
    return status;
}

void lp_bpe_scratch_free(lp_bpe_scratch *scratch)
{
    free(scratch->symbol);
    free(scratch->heap);
    *scratch = (lp_bpe_scratch){0};
}

/* Words of few symbols: the least rank by a scan over all pairs. */
enum { SHORT_WORD = 24 };

static size_t merge_short(const lp_merges *merges, int32_t *id, size_t n)
{
    const lp_merge *pair[SHORT_WORD]; /* pair[i] is that of symbols i, i + 1 */
    for (size_t i = 0; i + 1 < n; i++) pair[i] = find(merges, id[i], id[i + 1]);
    while (n > 1) {
        size_t best = 0;
        for (size_t i = 1; i + 1 < n; i++)
            if (pair[i]->rank < pair[best]->rank) best = i;
        if (pair[best]->rank == NO_RANK) break;
        id[best] = pair[best]->merged;
        n--;
        for (size_t i = best + 1; i < n; i++) id[i] = id[i + 1];
        for (size_t i = best + 1; i + 1 < n; i++) pair[i] = pair[i + 1];
        if (best) pair[best - 1] = find(merges, id[best - 1], id[best]);
        if (best + 1 < n) pair[best] = find(merges, id[best], id[best + 1]);
    }
    return n;
}

static lp_status reserve(lp_bpe_scratch *scratch, size_t n)
{
    if (n <= scratch->n) return LP_OK;
    lp_bpe_scratch_free(scratch);
    size_t n_symbol, n_heap;
    if (!lp_mul_size(n, 3 * sizeof *scratch->symbol, &n_symbol) || !lp_mul_size(n, 2 * sizeof *scratch->heap, &n_heap))
        return lp_fail_memory(SIZE_MAX, "a long word");
    scratch->symbol = malloc(n_symbol);
    scratch->heap = malloc(n_heap);
    if (!scratch->symbol || !scratch->heap) {
        lp_bpe_scratch_free(scratch);
        return lp_fail_memory(n_symbol + n_heap, "a long word");
    }
    scratch->n = n;
    return LP_OK;
}

/* Long words: symbols in a list, candidate pairs in a heap by (rank, position). A key is stale, and skipped, when the
 * pair at its position has another rank by now. A merge removes one key and adds at most two, so 2 n keys suffice. */
static size_t merge_long(const lp_merges *merges, lp_bpe_scratch *scratch, int32_t *id, size_t n)
{
    uint32_t *rank = scratch->symbol, *previous = rank + n, *next = previous + n;
    uint64_t *heap = scratch->heap;
    size_t n_heap = 0;
    for (size_t i = 0; i < n; i++) {
        previous[i] = i ? (uint32_t)i - 1 : NONE;
        next[i] = i + 1 < n ? (uint32_t)i + 1 : NONE;
        rank[i] = i + 1 < n ? rank_of(merges, id[i], id[i + 1]) : NO_RANK;
        if (rank[i] != NO_RANK) lp_heap_push(heap, &n_heap, (uint64_t)rank[i] << 32 | i);
    }
    while (n_heap) {
        uint64_t key = lp_heap_pop(heap, &n_heap);
        uint32_t at = (uint32_t)key;
        if (rank[at] != key >> 32) continue;
        uint32_t gone = next[at], before = previous[at], after = next[gone];
        id[at] = merges->list[rank[at]].merged;
        rank[gone] = NO_RANK;
        next[at] = after;
        if (after != NONE) previous[after] = at;
        rank[at] = after != NONE ? rank_of(merges, id[at], id[after]) : NO_RANK;
        if (rank[at] != NO_RANK) lp_heap_push(heap, &n_heap, (uint64_t)rank[at] << 32 | at);
        if (before == NONE) continue;
        rank[before] = rank_of(merges, id[before], id[at]);
        if (rank[before] != NO_RANK) lp_heap_push(heap, &n_heap, (uint64_t)rank[before] << 32 | before);
    }
    size_t n_left = 0;
    for (uint32_t i = 0; i != NONE; i = next[i]) id[n_left++] = id[i];
    return n_left;
}

lp_status lp_bpe_merge(const lp_merges *merges, lp_bpe_scratch *scratch, int32_t *id, size_t *n)
{
    if (*n <= SHORT_WORD) {
        *n = merge_short(merges, id, *n);
        return LP_OK;
    }
    if (*n >= NONE) return lp_fail(LP_USAGE, "a word of %zu bytes", *n);
    LP_TRY(reserve(scratch, *n));
    *n = merge_long(merges, scratch, id, *n);
    return LP_OK;
}
