/* Memory that is freed all at once, and aligned blocks. */
#include "base/arena.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/checked.h"
#include "base/fail.h"

enum {
    ALIGNMENT = 64,              /* a cache line and the widest vector */
    HUGE_PAGE = 2 << 20,         /* from this size on blocks are aligned to it, and huge pages advised */
    CHUNK_MIN = 64 << 10,
    CHUNK_MAX = 4 << 20
};

/* calloc leaves fresh pages of the system untouched, so that a large block costs memory only where it is used. The
 * pointer that calloc gave stands just below the aligned one. */
static void *aligned_zeroed(size_t n)
{
    size_t alignment = n >= HUGE_PAGE ? HUGE_PAGE : ALIGNMENT, total;
    if (!lp_add_size(n, alignment + sizeof(void *), &total) || total > PTRDIFF_MAX) return NULL;
    char *base = calloc(1, total);
    if (base == NULL) return NULL;
    char *p = base + (alignment - ((uintptr_t)base & (alignment - 1))); /* at least malloc's own alignment above base */
    memcpy(p - sizeof(void *), &base, sizeof base);
    if (alignment == HUGE_PAGE) (void)madvise(p, n & ~((size_t)HUGE_PAGE - 1), MADV_HUGEPAGE); /* advice only */
    return p;
}

void *lp_aligned_alloc(size_t n)
{
    void *p = aligned_zeroed(n);
    if (p == NULL) lp_fail_memory(n, "a buffer");
    return p;
}

void lp_aligned_free(void *p)
{
    if (p == NULL) return;
    void *base;
    memcpy(&base, (char *)p - sizeof base, sizeof base);
    free(base);
}

struct lp_arena_chunk {
    struct lp_arena_chunk *next; /* older, or a large one */
    size_t n_bytes;              /* after this header, which fills ALIGNMENT bytes */
    size_t n_used;               /* multiple of ALIGNMENT */
};

_Static_assert(_Alignof(max_align_t) >= sizeof(void *), "room below the aligned block");
_Static_assert(sizeof(struct lp_arena_chunk) <= ALIGNMENT, "the header fits before the first block");

static char *chunk_data(struct lp_arena_chunk *chunk) { return (char *)chunk + ALIGNMENT; }

static struct lp_arena_chunk *chunk_create(size_t n_bytes)
{
    size_t total;
    if (!lp_add_size(n_bytes, ALIGNMENT, &total)) return NULL;
    struct lp_arena_chunk *chunk = aligned_zeroed(total);
    if (chunk) chunk->n_bytes = n_bytes;
    return chunk;
}

void *lp_arena_alloc(lp_arena *arena, size_t n)
{
    size_t padded;
    if (!lp_add_size(n ? n : 1, ALIGNMENT - 1, &padded)) {
        lp_fail_memory(n, "an arena");
        return NULL;
    }
    padded &= ~(size_t)(ALIGNMENT - 1);
    struct lp_arena_chunk *head = arena->chunk;
    if (head == NULL || head->n_bytes - head->n_used < padded) {
        size_t wanted = CHUNK_MIN, most = arena->most_chunk ? arena->most_chunk : CHUNK_MAX;
        while (wanted < most && wanted < arena->n_bytes) wanted *= 2;
        bool own = padded > wanted / 4; /* its own chunk, so that the rest of the current one stays in use */
        struct lp_arena_chunk *chunk = chunk_create(own ? padded : wanted);
        if (chunk == NULL) {
            lp_fail_memory(n, "an arena");
            return NULL;
        }
        arena->n_bytes += chunk->n_bytes;
        if (own && head) {
            chunk->next = head->next;
            head->next = chunk;
        } else {
            chunk->next = head;
            arena->chunk = chunk;
        }
        head = chunk;
    }
    void *p = chunk_data(head) + head->n_used;
    head->n_used += padded;
    return p;
}

void *lp_arena_alloc_array(lp_arena *arena, size_t count, size_t size)
{
    size_t n;
    if (!lp_mul_size(count, size, &n)) {
        lp_fail(LP_RESOURCE, "out of memory (%zu items of %zu bytes for an arena)", count, size);
        return NULL;
    }
    return lp_arena_alloc(arena, n);
}

char *lp_arena_copy_string(lp_arena *arena, const char *s, size_t n)
{
    size_t n_bytes;
    if (!lp_add_size(n, 1, &n_bytes)) {
        lp_fail_memory(n, "a string");
        return NULL;
    }
    char *copy = lp_arena_alloc(arena, n_bytes);
    if (copy && n) memcpy(copy, s, n); /* the NUL is there already */
    return copy;
}

void lp_arena_free(lp_arena *arena)
{
    for (struct lp_arena_chunk *chunk = arena->chunk; chunk;) {
        struct lp_arena_chunk *next = chunk->next;
        lp_aligned_free(chunk);
        chunk = next;
    }
    *arena = (lp_arena){0};
}
