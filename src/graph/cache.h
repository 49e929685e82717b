/* The cache pool: keys and values of every sequence in pages of 256 positions. */
#ifndef LP_GRAPH_CACHE_H
#define LP_GRAPH_CACHE_H

#include <stddef.h>
#include <stdint.h>

#include <lowp/status.h>

/* A page holds 256 positions (one attention group) of all layers and key/value heads: for each (layer, head) the keys
 * [d][256], position fastest, then the values [256][d], both float32. */
typedef struct lp_cache {
    int64_t n_layers, n_heads, d;
    int64_t n_sequences, pages_per_sequence;
    size_t page_floats;
    float *memory;     /* [n_sequences * pages_per_sequence][page_floats] */
    int32_t *table;    /* [n_sequences][pages_per_sequence]: page in memory, -1: none */
    int32_t *free_page; /* stack of n_free pages */
    int64_t n_free;
    int64_t *length;   /* [n_sequences] positions held */
} lp_cache;

/* Bytes of keys and values; 0 on overflow. */
size_t lp_cache_bytes(int64_t n_layers, int64_t n_heads, int64_t d, int64_t n_sequences, int64_t n_context);

lp_status lp_cache_init(lp_cache *cache, int64_t n_layers, int64_t n_heads, int64_t d, int64_t n_sequences, int64_t n_context);
void lp_cache_free(lp_cache *cache);

/* Gives sequence the pages for positions below n (n <= pages_per_sequence * 256), without allocation. */
void lp_cache_extend(lp_cache *cache, int64_t sequence, int64_t n);

/* Forgets positions >= n. */
void lp_cache_truncate(lp_cache *cache, int64_t sequence, int64_t n);

static inline float *lp_cache_keys(const lp_cache *cache, int64_t sequence, int64_t group, int64_t layer, int64_t head)
{
    int32_t page = cache->table[sequence * cache->pages_per_sequence + group];
    return cache->memory + (size_t)page * cache->page_floats +
           (size_t)((layer * cache->n_heads + head) * cache->d * 512);
}

static inline float *lp_cache_values(const lp_cache *cache, int64_t sequence, int64_t group, int64_t layer, int64_t head)
{
    return lp_cache_keys(cache, sequence, group, layer, head) + cache->d * 256;
}

#endif
