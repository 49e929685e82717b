/* Shapes and rows of tensors. */
#include <lowp/tensor.h>

#include "format/rows.h"
#include "tensor/row.h"

int64_t lp_tensor_values(const lp_tensor *tensor)
{
    return tensor->dim[0] * tensor->dim[1] * tensor->dim[2] * tensor->dim[3];
}

int64_t lp_tensor_rows(const lp_tensor *tensor)
{
    return tensor->dim[0] == 0 ? 0 : tensor->dim[1] * tensor->dim[2] * tensor->dim[3];
}

lp_row lp_tensor_row(const lp_tensor *tensor, int64_t row)
{
    lp_planes planes;
    int64_t n_rows = tensor->plane_rows ? tensor->plane_rows : lp_tensor_rows(tensor);
    lp_packing_planes(tensor->packing, tensor->dim[0], n_rows, &planes); /* fits: the tensor has these bytes */
    return lp_planes_row(&planes, tensor->data, tensor->first_row + row);
}

void lp_tensor_decode(const lp_tensor *tensor, int64_t row, int64_t first, int64_t n, float *dst)
{
    lp_row r = lp_tensor_row(tensor, row);
    lp_row_decode(tensor->packing, &r, tensor->dim[0], first, n, dst);
}

void lp_tensor_decode_row(const lp_tensor *tensor, int64_t row, float *dst)
{
    lp_tensor_decode(tensor, row, 0, tensor->dim[0], dst);
}

int64_t lp_tensor_find_nonfinite(const lp_tensor *tensor, int64_t row)
{
    lp_row r = lp_tensor_row(tensor, row);
    return lp_row_find_nonfinite(tensor->packing, &r, tensor->dim[0]);
}

lp_tensor lp_tensor_rows_of(const lp_tensor *tensor, int64_t first, int64_t n)
{
    lp_tensor view = *tensor;
    view.n_dims = 2;
    view.dim[1] = n;
    view.dim[2] = view.dim[3] = 1;
    view.plane_rows = tensor->plane_rows ? tensor->plane_rows : lp_tensor_rows(tensor);
    view.first_row = tensor->first_row + first;
    return view;
}
