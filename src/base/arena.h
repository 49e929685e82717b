/* Memory that is freed all at once. */
#ifndef LP_BASE_ARENA_H
#define LP_BASE_ARENA_H

#include <stddef.h>

/* Zero-initialised is empty and valid. Not for use by several threads at once. */
typedef struct lp_arena {
    struct lp_arena_chunk *chunk;
    size_t n_bytes;    /* of all chunks */
    size_t most_chunk; /* chunks double with the arena up to this; 0: up to 4 MiB */
} lp_arena;

/* Zeroed memory, aligned to 64; NULL when out of memory (and the error text set). n = 0 gives a valid pointer. */
void *lp_arena_alloc(lp_arena *arena, size_t n);
void *lp_arena_alloc_array(lp_arena *arena, size_t count, size_t size); /* product checked */
char *lp_arena_copy_string(lp_arena *arena, const char *s, size_t n);   /* NUL is added */
void lp_arena_free(lp_arena *arena);

/* Zeroed memory aligned to 64 (huge pages advised from 2 MiB), freed by lp_aligned_free. NULL: out of memory. */
void *lp_aligned_alloc(size_t n);
void lp_aligned_free(void *p);

#endif
