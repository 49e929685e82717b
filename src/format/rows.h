/* The one way to the rows of a tensor: blocks of GGUF and planes of our own formats alike. */
#ifndef LP_FORMAT_ROWS_H
#define LP_FORMAT_ROWS_H

#include <stddef.h>
#include <stdint.h>

#include <lowp/format.h>

#include "format/split.h"

enum {
    LP_MAX_PLANES = 24,   /* three levels of scales and offsets: 15 planes of codes and 7 scales of the tensor */
    LP_PLANE_ALIGNMENT = 64
};

/* Where the planes of a tensor lie. Blocks are a single plane. */
typedef struct lp_planes {
    int n;
    size_t offset[LP_MAX_PLANES];    /* from the tensor's first byte */
    size_t row_bytes[LP_MAX_PLANES]; /* 0: a plane of one value for the tensor */
    size_t size[LP_MAX_PLANES];      /* without the padding behind it */
    size_t n_bytes;                  /* of the tensor */
} lp_planes;

/* The bytes of one row in each plane. */
typedef struct lp_row {
    const uint8_t *plane[LP_MAX_PLANES];
} lp_row;

/* Of n_rows rows of k values. False: there are no such rows, or the size exceeds PTRDIFF_MAX. */
bool lp_packing_planes(const lp_packing *packing, int64_t k, int64_t n_rows, lp_planes *out);

static inline lp_row lp_planes_row(const lp_planes *planes, const uint8_t *data, int64_t row)
{
    lp_row r;
    for (int i = 0; i < planes->n; i++) r.plane[i] = data + planes->offset[i] + (size_t)row * planes->row_bytes[i];
    return r;
}

/* Columns [first, first + n) of a row of k values, by the format's formula. For blocks first and n are multiples of them. */
void lp_row_decode(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, int64_t n, float *dst);

/* First column whose scale or value is not finite, or -1. */
int64_t lp_row_find_nonfinite(const lp_packing *packing, const lp_row *row, int64_t k);

/* The integers and scales of columns first .. of a row: as many as a block of the unit class has, or as are left. The
 * packing has units for k. */
void lp_row_split(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, lp_split *out);

/* What the integer kernels see of rows of k values; NULL: floats, formats without exact integers, and rows that are no
 * whole number of units. */
const lp_unit_class *lp_packing_units(const lp_packing *packing, int64_t k);

#endif
