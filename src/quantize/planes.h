/* Rows of float32 to the planes of a format of our own. */
#ifndef LP_QUANTIZE_PLANES_H
#define LP_QUANTIZE_PLANES_H

#include <lowp/quantize.h>

#include "format/rows.h"

/* n_rows rows of k finite values; plane[i] is where row 0 of plane i goes, zeros. importance: [k] or NULL. The tensor's
 * scale, where the format has one, stands in its plane already. first_row: of the tensor, for messages. */
lp_status lp_planes_encode(const lp_packing *packing, lp_search search, const float *src, int64_t first_row, int64_t n_rows, int64_t k,
                           const float *importance, const lp_planes *planes, uint8_t *const plane[LP_MAX_PLANES]);

/* Plane of the one scale of the tensor, or -1; and what it should be where the largest magnitude is `most`, as its bytes. */
int lp_planes_tensor_scale(const lp_packing *packing);
lp_status lp_planes_set_tensor_scale(const lp_packing *packing, float most, uint8_t *plane);

#endif
