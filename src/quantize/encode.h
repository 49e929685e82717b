/* Encoding as the quantizer calls it. */
#ifndef LP_QUANTIZE_ENCODE_H
#define LP_QUANTIZE_ENCODE_H

#include <lowp/quantize.h>

#include "format/rows.h"

/* Encodes rows that begin with row first_row of their tensor: messages count from there. plane[i] is where the first of
 * them goes in plane i of a tensor with these planes (blocks have one plane); planes of a format of our own are zeros, and
 * the scale of the tensor stands in its plane. The caller has set the floating-point environment. */
lp_status lp_encode_rows_from(const lp_packing *packing, lp_search search, const float *src, int64_t first_row, int64_t n_rows,
                              int64_t k, const float *importance, const lp_planes *planes, uint8_t *const plane[LP_MAX_PLANES]);

/* The scale of a tensor that covers all of source, to its plane of a packing that has one. */
lp_status lp_encode_set_tensor_scale(const lp_packing *packing, const lp_tensor *source, uint8_t *plane);

/* Prepares the bytes of a whole tensor in another packing: planes begin as zeros, and one scale for the tensor is found. */
lp_status lp_encode_begin(const lp_packing *packing, const lp_tensor *source, uint8_t *bytes);

/* Whether importance changes what is stored. */
bool lp_encode_uses_importance(const lp_packing *packing, lp_search search);
/* Whether there is no encoding without it. */
bool lp_encode_needs_importance(const lp_packing *packing, lp_search search);
/* Whether the packing can be encoded in this way: there is no plain rounding to code books. */
bool lp_encode_has_search(const lp_packing *packing, lp_search search);

#endif
