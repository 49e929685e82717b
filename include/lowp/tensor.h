/* A tensor: name, shape, format, bytes. */
#ifndef LOWP_TENSOR_H
#define LOWP_TENSOR_H

#include <stddef.h>
#include <stdint.h>

#include <lowp/format.h>

#ifdef __cplusplus
extern "C" {
#endif

/* A view: the bytes belong to the file or buffer that it was read from. dim[0] varies fastest, as in GGUF: a matrix
 * with y = W x has dim[0] = length of x and dim[1] = length of y. */
typedef struct lp_tensor {
    const char *name;          /* ends with NUL */
    int n_dims;                /* 1 .. 4 */
    int64_t dim[4];            /* 1 beyond n_dims */
    const lp_packing *packing; /* how the values are stored */
    const uint8_t *data;       /* n_bytes bytes; rows (runs of dim[0] values) follow each other, in each plane */
    size_t n_bytes;
    uint64_t offset;           /* of data in its file, bytes from the file's start */
    int64_t first_row, plane_rows; /* a view of rows: data and n_bytes are those of a tensor of plane_rows rows, this one's
                                * begin at first_row. 0 and 0: all of them */
} lp_tensor;

/* Number of values, and of rows (values / dim[0]; 0 for an empty tensor). */
LP_API int64_t lp_tensor_values(const lp_tensor *tensor);
LP_API int64_t lp_tensor_rows(const lp_tensor *tensor);

/* Decodes row (0-based) into dst[dim[0]], float32, by the format's formula. */
LP_API void lp_tensor_decode_row(const lp_tensor *tensor, int64_t row, float *dst);

/* The same for columns [first, first + n) of a row; first and n are multiples of the packing's block. */
LP_API void lp_tensor_decode(const lp_tensor *tensor, int64_t row, int64_t first, int64_t n, float *dst);

/* First column of the row whose scale or value is not finite, or -1. */
LP_API int64_t lp_tensor_find_nonfinite(const lp_tensor *tensor, int64_t row);

/* Rows [first, first + n) as a matrix of their own: a view of the same bytes. */
LP_API lp_tensor lp_tensor_rows_of(const lp_tensor *tensor, int64_t first, int64_t n);

#ifdef __cplusplus
}
#endif
#endif
