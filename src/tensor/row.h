/* The bytes of one row of a tensor, in each plane. */
#ifndef LP_TENSOR_ROW_H
#define LP_TENSOR_ROW_H

#include <lowp/tensor.h>

#include "format/rows.h"

lp_row lp_tensor_row(const lp_tensor *tensor, int64_t row);

#endif
