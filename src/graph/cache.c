/* The cache pool. */
#include "graph/cache.h"

#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/fail.h"

enum { POSITIONS = 256 };

static bool sizes(int64_t n_layers, int64_t n_heads, int64_t d, int64_t n_sequences, int64_t n_context, int64_t *pages,
                  size_t *page_floats, size_t *n_bytes)
{
    *pages = n_context / POSITIONS + (n_context % POSITIONS != 0);
    size_t n;
    return lp_mul_size((size_t)n_layers, (size_t)n_heads, &n) && lp_mul_size(n, (size_t)d, &n) &&
           lp_mul_size(n, 2 * POSITIONS, page_floats) && lp_mul_size(*page_floats, (size_t)*pages, &n) &&
           lp_mul_size(n, (size_t)n_sequences, &n) && lp_mul_size(n, sizeof(float), n_bytes);
}

size_t lp_cache_bytes(int64_t n_layers, int64_t n_heads, int64_t d, int64_t n_sequences, int64_t n_context)
{
    int64_t pages;
    size_t page_floats, n_bytes;
    return sizes(n_layers, n_heads, d, n_sequences, n_context, &pages, &page_floats, &n_bytes) ? n_bytes : 0;
}

lp_status lp_cache_init(lp_cache *cache, int64_t n_layers, int64_t n_heads, int64_t d, int64_t n_sequences, int64_t n_context)
{
    memset(cache, 0, sizeof *cache);
    cache->n_layers = n_layers;
    cache->n_heads = n_heads;
    cache->d = d;
    cache->n_sequences = n_sequences;
    size_t n_bytes;
    if (!sizes(n_layers, n_heads, d, n_sequences, n_context, &cache->pages_per_sequence, &cache->page_floats, &n_bytes))
        return lp_fail(LP_RESOURCE, "a cache of %lld positions overflows the address space", (long long)n_context);
    int64_t n_pages = n_sequences * cache->pages_per_sequence;
    cache->memory = lp_aligned_alloc(n_bytes);
    cache->table = malloc((size_t)n_pages * sizeof *cache->table);
    cache->free_page = malloc((size_t)n_pages * sizeof *cache->free_page);
    cache->length = calloc((size_t)n_sequences, sizeof *cache->length);
    if (!cache->memory || !cache->table || !cache->free_page || !cache->length) {
        lp_cache_free(cache);
        return lp_fail_memory(n_bytes, "the key/value cache");
    }
    for (int64_t i = 0; i < n_pages; i++) {
        cache->table[i] = -1;
        cache->free_page[i] = (int32_t)(n_pages - 1 - i); /* the lowest page is taken first */
    }
    cache->n_free = n_pages;
    return LP_OK;
}

void lp_cache_free(lp_cache *cache)
{
    lp_aligned_free(cache->memory);
    free(cache->table);
    free(cache->free_page);
    free(cache->length);
    memset(cache, 0, sizeof *cache);
}

void lp_cache_extend(lp_cache *cache, int64_t sequence, int64_t n)
{
    int32_t *table = cache->table + sequence * cache->pages_per_sequence;
    for (int64_t g = 0; g * POSITIONS < n; g++)
        if (table[g] < 0) table[g] = cache->free_page[--cache->n_free];
    if (n > cache->length[sequence]) cache->length[sequence] = n;
}

void lp_cache_truncate(lp_cache *cache, int64_t sequence, int64_t n)
{
    int32_t *table = cache->table + sequence * cache->pages_per_sequence;
    for (int64_t g = cache->pages_per_sequence - 1; g >= 0 && g * POSITIONS >= n; g--) {
        if (table[g] >= 0) cache->free_page[cache->n_free++] = table[g];
        table[g] = -1;
    }
    if (n < cache->length[sequence]) cache->length[sequence] = n;
}
