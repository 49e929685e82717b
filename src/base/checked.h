/* Sizes from untrusted numbers: every product and sum is checked. */
#ifndef LP_BASE_CHECKED_H
#define LP_BASE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Each sets *out and returns true, or returns false on overflow. */
static inline bool lp_mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool lp_add_size(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }
static inline bool lp_mul_i64(int64_t a, int64_t b, int64_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool lp_mul_u64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_mul_overflow(a, b, out); }
static inline bool lp_add_u64(uint64_t a, uint64_t b, uint64_t *out) { return !__builtin_add_overflow(a, b, out); }

/* n rounded up to a multiple of a power of two; false on overflow. */
static inline bool lp_align_u64(uint64_t n, uint64_t alignment, uint64_t *out)
{
    if (!lp_add_u64(n, alignment - 1, out)) return false;
    *out &= ~(alignment - 1);
    return true;
}

#endif
