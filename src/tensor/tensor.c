/* Shapes and rows of tensors. */
#include <lowp/tensor.h>

int64_t lp_tensor_values(const lp_tensor *tensor)
{
    return tensor->dim[0] * tensor->dim[1] * tensor->dim[2] * tensor->dim[3];
}

int64_t lp_tensor_rows(const lp_tensor *tensor)
{
    return tensor->dim[0] == 0 ? 0 : tensor->dim[1] * tensor->dim[2] * tensor->dim[3];
}

void lp_tensor_decode_row(const lp_tensor *tensor, int64_t row, float *dst)
{
    size_t n_bytes = lp_packing_row_bytes(tensor->packing, tensor->dim[0]);
    lp_packing_decode(tensor->packing, tensor->data + (size_t)row * n_bytes, tensor->dim[0], dst);
}
