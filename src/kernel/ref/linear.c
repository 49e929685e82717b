/* Reference of the linear layers and of the int8 activations. */
#include <math.h>
#include <string.h>

#include "base/half.h"
#include "kernel/layout.h"
#include "kernel/ref/ref.h"

static void quantize_block(const float *x, int8_t *code, float *scale)
{
    uint32_t top = 0; /* bits of max|x|: the order of magnitudes, with infinities and NaN on top */
    for (int i = 0; i < LP_ACT_BLOCK; i++) {
        uint32_t u = lp_f32_bits(x[i]) & 0x7fffffffu;
        if (u > top) top = u;
    }
    float a = lp_f32_from_bits(top);
    memset(code, 0, LP_ACT_BLOCK);
    if (top >= 0x7f800000u) {
        *scale = NAN;
    } else if (a < 0x1p-100f) {
        *scale = 0;
    } else {
        float inverse = 127.0f / a;
        *scale = a / 127.0f;
        for (int i = 0; i < LP_ACT_BLOCK; i++) code[i] = (int8_t)rintf(x[i] * inverse);
    }
}

static int32_t sum_codes(const int8_t *code, int n)
{
    int32_t sum = 0;
    for (int i = 0; i < n; i++) sum += code[i];
    return sum;
}

static void quantize_i8(const float *x, int64_t k, const lp_act_row *row)
{
    for (int64_t b = 0; b < k / LP_ACT_BLOCK; b++) {
        const int8_t *code = row->code + b * LP_ACT_BLOCK;
        quantize_block(x + b * LP_ACT_BLOCK, row->code + b * LP_ACT_BLOCK, &row->scale[b]);
        row->sum16[2 * b] = sum_codes(code, 16);
        row->sum16[2 * b + 1] = sum_codes(code + 16, 16);
        row->sum32[b] = row->sum16[2 * b] + row->sum16[2 * b + 1];
        row->h16[2 * b] = (float)row->sum16[2 * b] * row->scale[b];
        row->h16[2 * b + 1] = (float)row->sum16[2 * b + 1] * row->scale[b];
        row->h32[b] = (float)row->sum32[b] * row->scale[b];
    }
}

/* One output: row r of an unpacked tile times one activation row. */
static float dot_units(const lp_unit_class *c, const lp_panel *panel, const float *offset, float row_scale, int r,
                       int64_t cols, const lp_act_row *x)
{
    float y = 0, z = 0;
    const float *h = c->unit == 16 ? x->h16 : x->h32;
    for (int64_t u = 0; u < cols / c->unit; u++) {
        int32_t sum = 0;
        for (int64_t k = u * c->unit; k < (u + 1) * c->unit; k++)
            sum += ((int32_t)panel->code[(k / 4 * LP_TILE_ROWS + r) * 4 + k % 4] - c->zero) * x->code[k];
        float t = panel->scale[u * LP_TILE_ROWS + r] * x->scale[u * c->unit / LP_ACT_BLOCK];
        y = fmaf((float)sum, t, y);
        if (c->offset != LP_OFFSET_KIND_NONE) z = fmaf(offset[u * LP_TILE_ROWS + r], h[u], z);
    }
    if (c->row_scale) y = y * row_scale;
    return c->offset != LP_OFFSET_KIND_NONE ? y + z : y;
}

static void linear_i8(const lp_weight *w, int64_t tile0, int64_t tile1, const void *act, int64_t n, float *y, int64_t ldy,
                      void *scratch)
{
    lp_panel panel = lp_scratch_whole_panel(scratch, w->cols);
    float *offset = lp_scratch_offsets(scratch, w->cols);
    for (int64_t tile = tile0; tile < tile1; tile++) {
        const uint8_t *packed = w->tiles + (size_t)tile * w->tile_bytes;
        lp_tile_unpack(w->units, packed, w->cols, 0, w->cols / LP_CHUNK, &panel);
        if (w->units->offset != LP_OFFSET_KIND_NONE) lp_tile_unpack_offsets(w->units, packed, w->cols, offset);
        const float *row_scale = lp_tile_row_scales(packed, w->tile_bytes);
        for (int64_t m = 0; m < n; m++) {
            lp_act_row x = lp_act_row_at((void *)(uintptr_t)act, w->cols, m);
            for (int r = 0; r < LP_TILE_ROWS && tile * LP_TILE_ROWS + r < w->rows; r++)
                y[m * ldy + tile * LP_TILE_ROWS + r] = dot_units(w->units, &panel, offset, row_scale[r], r, w->cols, &x);
        }
    }
}

/* Row r of a tile of float weights, or of the canonical bytes, as float32. */
static void row_to_f32(const lp_weight *w, int64_t row, float *dst)
{
    const lp_packing *packing = w->source->packing;
    if (!w->tiles || !packing->is_float) {
        lp_tensor_decode_row(w->source, row, dst);
        return;
    }
    size_t size = (size_t)packing->n_bytes / (size_t)packing->n_values;
    const uint8_t *lane = w->tiles + (size_t)(row / LP_TILE_ROWS) * w->tile_bytes + (size_t)(row % LP_TILE_ROWS) * size;
    for (int64_t k = 0; k < w->cols; k++)
        lp_packing_decode(packing, lane + (size_t)k * LP_TILE_ROWS * size, 1, &dst[k]);
}

static void linear_f32(const lp_weight *w, int64_t tile0, int64_t tile1, const float *x, int64_t ldx, int64_t n, float *y,
                       int64_t ldy, void *scratch)
{
    float *row = (float *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63);
    for (int64_t r = tile0 * LP_TILE_ROWS; r < tile1 * LP_TILE_ROWS && r < w->rows; r++) {
        row_to_f32(w, r, row);
        for (int64_t m = 0; m < n; m++) {
            float sum = 0;
            for (int64_t k = 0; k < w->cols; k++) sum = fmaf(row[k], x[m * ldx + k], sum);
            y[m * ldy + r] = sum;
        }
    }
}

void lp_ref_init_linear(lp_kernels *kernels)
{
    kernels->quantize_i8 = quantize_i8;
    kernels->linear_i8 = linear_i8;
    kernels->linear_f32 = linear_f32;
}
