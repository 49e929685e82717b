/* The k greatest of many floats, in order. */
#ifndef LP_INFER_SAMPLE_SELECT_H
#define LP_INFER_SAMPLE_SELECT_H

#include <stddef.h>
#include <stdint.h>

#include <lowp/status.h>

#include "base/arena.h"
#include "base/half.h"

/* An unsigned number that orders as the floats do (NaN excluded, +0 above -0). */
static inline uint32_t lp_float_image(float f)
{
    uint32_t u = lp_f32_bits(f);
    return u ^ ((uint32_t)((int32_t)u >> 31) | 0x80000000u);
}

static inline float lp_image_float(uint32_t image)
{
    return lp_f32_from_bits(image & 0x80000000u ? image ^ 0x80000000u : ~image);
}

/* Work memory for up to n floats. */
typedef struct lp_selection {
    uint64_t *key, *spare; /* [n] */
    uint32_t *histogram;   /* [4][2048] */
} lp_selection;

lp_status lp_selection_init(lp_selection *selection, lp_arena *arena, size_t n);

/* Writes the k <= n greatest of x[n], without NaN, to value and their indices to id: by descending value, equal ones by
 * ascending index. The time is linear in n for any values. */
void lp_select_top(lp_selection *selection, const float *x, size_t n, size_t k, int32_t *id, float *value);

/* Sorts key[0..n) by its upper 32 bits, ascending; equal ones keep their order. */
void lp_sort_keys(lp_selection *selection, size_t n);

#endif
