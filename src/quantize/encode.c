/* Rows of float32 to blocks: checks the values, forms batches of sixteen blocks, writes their bytes. */
#include <lowp/isa.h>
#include <lowp/quantize.h>

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/environment.h"
#include "base/fail.h"
#include "base/half.h"
#include "quantize/encode.h"
#include "quantize/planes.h"
#include "quantize/search/block.h"
#include "quantize/search/lanes.h"

static lp_encode_batch_fn *batch_function(void)
{
    switch (lp_isa_current()) {
#if defined(__x86_64__)
    case LP_ISA_AVX512: return lp_encode_batch_avx512;
    case LP_ISA_AVX2: return lp_encode_batch_avx2;
#endif
    default: return lp_encode_batch_ref;
    }
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

/* Index of the first value that is not finite, or -1. */
static int64_t find_nonfinite(const float *x, int64_t n)
{
    enum { CHUNK = 256 };
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t end = n - i < CHUNK ? n : i + CHUNK;
        uint32_t any = 0; /* a carry out of an exponent that is all ones; no exit, so that the loop becomes vectors */
        for (int64_t j = i; j < end; j++) any |= (lp_f32_bits(x[j]) & 0x7fffffffu) + 0x00800000u;
        if (!(any & 0x80000000u)) continue;
        for (int64_t j = i; j < end; j++)
            if (!isfinite(x[j])) return j;
    }
    return -1;
}

static lp_status check_values(const float *src, int64_t first_row, int64_t n_rows, int64_t k)
{
    int64_t bad = find_nonfinite(src, n_rows * k);
    if (bad < 0) return LP_OK;
    return lp_fail(LP_INPUT, "row %" PRId64 ", column %" PRId64 ": the value is not finite (%g)", first_row + bad / k, bad % k,
                   (double)src[bad]);
}

static lp_status check_importance(const float *importance, int64_t k)
{
    for (int64_t j = 0; j < k; j++)
        if (!(importance[j] >= 0.0f) || !isfinite(importance[j]))
            return lp_fail(LP_INPUT, "importance of column %" PRId64 " is no weight (%g)", j, (double)importance[j]);
    return LP_OK;
}

/* ---- float packings ---------------------------------------------------------------------------------------------- */

static lp_status encode_floats(const lp_packing *packing, const float *src, int64_t first_row, int64_t n_rows, int64_t k,
                               void *dst)
{
    int64_t n = n_rows * k;
    if (packing->n_bytes == 4) {
        memcpy(dst, src, (size_t)n * 4);
        return LP_OK;
    }
    bool half = !strcmp(packing->name, "f16");
    uint16_t exponent = half ? 0x7c00u : 0x7f80u;
    uint8_t *out = dst;
    for (int64_t i = 0; i < n; i++) {
        uint16_t bits = half ? lp_f16_from_f32(src[i]) : lp_bf16_from_f32(src[i]);
        if ((bits & exponent) == exponent)
            return lp_fail(LP_INPUT, "row %" PRId64 ", column %" PRId64 ": the value would be infinite in %s (%g)",
                           first_row + i / k, i % k, packing->name, (double)src[i]);
        memcpy(out + 2 * i, &bits, 2);
    }
    return LP_OK;
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

/* Mean squares of up to sixteen rows, each sum in order of its columns; the rows side by side hide the additions' delay. */
static void row_means(const float *src, int64_t n_rows, int64_t k, float mean[LP_LANES])
{
    const float *row[LP_LANES];
    float sum[LP_LANES] = {0};
    for (int l = 0; l < LP_LANES; l++) row[l] = src + (l < n_rows ? l : 0) * k;
    for (int64_t j = 0; j < k; j++)
        for (int l = 0; l < LP_LANES; l++) sum[l] += row[l][j] * row[l][j];
    for (int l = 0; l < LP_LANES; l++) mean[l] = sum[l] / (float)k;
}

/* A batch of n_used blocks that follow each other in src, the first being block `first` of a row group. */
typedef struct group {
    const lp_encode_format *format;
    const lp_encode_plan *plan;
    const float *src;        /* of the group's first row */
    const float *importance; /* [k] or NULL */
    int64_t k;
    float mean[LP_LANES];    /* of the rows, where the plan asks */
} group;

static void fill_batch(const group *g, int64_t first, int n_used, lp_encode_batch *batch)
{
    const float *x[LP_LANES], *w[LP_LANES];
    int n = g->format->n_values;
    int64_t per_row = g->k / n;
    for (int l = 0; l < LP_LANES; l++) {
        int64_t block = first + (l < n_used ? l : 0); /* idle lanes repeat the first block */
        x[l] = g->src + block * n;
        w[l] = g->importance ? g->importance + block % per_row * n : NULL;
        batch->row_mean[l] = g->mean[block / per_row];
    }
    for (int j = 0; j < n; j++)
        for (int l = 0; l < LP_LANES; l++) batch->x[j][l] = x[l][j];
    if (!g->importance) return;
    for (int j = 0; j < n; j++)
        for (int l = 0; l < LP_LANES; l++) batch->w[j][l] = w[l][j];
}

static void take_bytes(const lp_encode_batch *batch, int n_used, int n_bytes, uint8_t *dst)
{
    for (int l = 0; l < n_used; l++)
        for (int b = 0; b < n_bytes; b++) dst[l * n_bytes + b] = batch->bytes[b][l];
}

static lp_status encode_blocks(group *g, int64_t first_row, int64_t n_rows, void *dst)
{
    lp_encode_batch_fn *encode = batch_function();
    lp_encode_batch batch;
    int64_t per_row = g->k / g->format->n_values;
    uint8_t *out = dst;
    const float *src = g->src;
    for (int64_t row = 0; row < n_rows; row += LP_LANES) { /* so many rows make whole batches, whatever their length */
        int64_t rows = n_rows - row < LP_LANES ? n_rows - row : LP_LANES;
        g->src = src + row * g->k;
        if (g->plan->sigma == LP_SIGMA_ROW) row_means(g->src, rows, g->k, g->mean);
        for (int64_t first = 0; first < rows * per_row; first += LP_LANES) {
            int n_used = (int)(rows * per_row - first < LP_LANES ? rows * per_row - first : LP_LANES);
            fill_batch(g, first, n_used, &batch);
            uint32_t bad = encode(g->format, g->plan, &batch) & ((1u << n_used) - 1u);
            if (bad) {
                int64_t block = first + __builtin_ctz(bad), column = block % per_row * g->format->n_values;
                return lp_fail(LP_INPUT, "row %" PRId64 ", columns %" PRId64 " to %" PRId64 ": the scale would be infinite in f16",
                               first_row + row + block / per_row, column, column + g->format->n_values - 1);
            }
            take_bytes(&batch, n_used, g->format->n_bytes, out);
            out += n_used * g->format->n_bytes;
        }
    }
    return LP_OK;
}

/* Block by block, for formats without lanes. */
static lp_status encode_singly(const lp_packing *packing, bool (*encode)(const float *, const float *, uint8_t *), const float *src,
                               int64_t first_row, int64_t n_rows, int64_t k, const float *importance, void *dst)
{
    uint8_t *out = dst;
    for (int64_t row = 0; row < n_rows; row++)
        for (int64_t column = 0; column < k; column += packing->n_values, out += packing->n_bytes)
            if (!encode(src + row * k + column, importance ? importance + column : NULL, out))
                return lp_fail(LP_INPUT, "row %" PRId64 ", columns %" PRId64 " to %" PRId64 ": the scale would be infinite in f16",
                               first_row + row, column, column + packing->n_values - 1);
    return LP_OK;
}

bool lp_encode_uses_importance(const lp_packing *packing, lp_search search)
{
    const lp_encode_format *format = lp_encode_format_find(packing->name);
    const lp_block_encoder *encoder = lp_block_encoder_find(packing->name);
    if (packing->format) return search != LP_SEARCH_RTN;
    if (encoder) return encoder->importance != LP_IMPORTANCE_UNUSED && search != LP_SEARCH_RTN;
    if (!format || search == LP_SEARCH_RTN) return false;
    lp_weighting weighting = format->weighted.weighting;
    return weighting == LP_WEIGHT_IMPORTANCE || weighting == LP_WEIGHT_ROOT;
}

bool lp_encode_needs_importance(const lp_packing *packing, lp_search search)
{
    const lp_block_encoder *encoder = lp_block_encoder_find(packing->name);
    return encoder && encoder->importance == LP_IMPORTANCE_NEEDED && search != LP_SEARCH_RTN;
}

bool lp_encode_has_search(const lp_packing *packing, lp_search search)
{
    const lp_block_encoder *encoder = lp_block_encoder_find(packing->name);
    return !encoder || search != LP_SEARCH_RTN || encoder->rtn;
}

lp_status lp_encode_rows_from(const lp_packing *packing, lp_search search, const float *src, int64_t first_row, int64_t n_rows,
                              int64_t k, const float *importance, const lp_planes *planes, uint8_t *const plane[LP_MAX_PLANES])
{
    const lp_encode_format *format = lp_encode_format_find(packing->name);
    const lp_block_encoder *encoder = lp_block_encoder_find(packing->name);
    if (!packing->can_encode || (!packing->is_float && !format && !encoder && !packing->format))
        return lp_fail(LP_USAGE, "%s: this format cannot be encoded", packing->name);
    if (n_rows < 0 || k < 0 || k % packing->n_values != 0)
        return lp_fail(LP_USAGE, "a row of %" PRId64 " values is no multiple of a %s block (%d)", k, packing->name, packing->n_values);
    if (!lp_encode_has_search(packing, search))
        return lp_fail(LP_USAGE, "%s: patterns of a code book cannot be found by rounding alone", packing->name);
    if (!importance && lp_encode_needs_importance(packing, search)) {
        lp_fail(LP_USAGE, "%s: this format needs importance", packing->name);
        return lp_hint(LP_USAGE, "Make statistics with 'lowp calibrate' and pass them with --stats.");
    }
    if (n_rows == 0 || k == 0) return LP_OK;
    LP_TRY(check_values(src, first_row, n_rows, k));
    if (!lp_encode_uses_importance(packing, search)) importance = NULL;
    if (importance) LP_TRY(check_importance(importance, k));
    if (packing->format) return lp_planes_encode(packing, search, src, first_row, n_rows, k, importance, planes, plane);
    uint8_t *dst = plane[0];
    if (packing->is_float) return encode_floats(packing, src, first_row, n_rows, k, dst);
    if (encoder)
        return encode_singly(packing, search == LP_SEARCH_RTN ? encoder->rtn : encoder->encode, src, first_row, n_rows, k, importance, dst);

    const lp_encode_plan *plan = search == LP_SEARCH_RTN ? &format->rtn : importance ? &format->weighted : &format->plain;
    group g = {.format = format, .plan = plan, .src = src, .importance = importance, .k = k};
    return encode_blocks(&g, first_row, n_rows, dst);
}

static float largest(const float *x, int64_t n, float most)
{
    for (int64_t i = 0; i < n; i++)
        if (fabsf(x[i]) > most) most = fabsf(x[i]);
    return most;
}

lp_status lp_encode_set_tensor_scale(const lp_packing *packing, const lp_tensor *source, uint8_t *plane)
{
    float most = 0, *row = malloc((size_t)source->dim[0] * sizeof *row + 1);
    if (!row) return lp_fail_memory((size_t)source->dim[0] * sizeof *row, "a row");
    for (int64_t r = 0; r < lp_tensor_rows(source); r++) {
        lp_tensor_decode_row(source, r, row);
        most = largest(row, source->dim[0], most);
    }
    free(row);
    return lp_planes_set_tensor_scale(packing, most, plane);
}

lp_status lp_encode_begin(const lp_packing *packing, const lp_tensor *source, uint8_t *bytes)
{
    lp_planes planes;
    int index = lp_planes_tensor_scale(packing);
    if (!packing->format) return LP_OK;
    lp_packing_planes(packing, source->dim[0], lp_tensor_rows(source), &planes);
    memset(bytes, 0, planes.n_bytes);
    return index < 0 ? LP_OK : lp_encode_set_tensor_scale(packing, source, bytes + planes.offset[index]);
}

lp_status lp_encode_rows(const lp_packing *packing, lp_search search, const float *src, int64_t n_rows, int64_t k,
                         const float *importance, void *dst)
{
    lp_planes planes;
    uint8_t *plane[LP_MAX_PLANES];
    if (!lp_packing_planes(packing, k, n_rows, &planes))
        return lp_fail(LP_USAGE, "%" PRId64 " rows of %" PRId64 " values are no whole blocks of %s (%d), or too many", n_rows, k,
                       packing->name, packing->n_values);
    if (packing->format) memset(dst, 0, planes.n_bytes);
    for (int i = 0; i < planes.n; i++) plane[i] = (uint8_t *)dst + planes.offset[i];
    uint64_t before = lp_environment_enter();
    int index = lp_planes_tensor_scale(packing);
    lp_status status = index < 0 ? LP_OK : lp_planes_set_tensor_scale(packing, largest(src, n_rows * k, 0), plane[index]);
    if (status == LP_OK) status = lp_encode_rows_from(packing, search, src, 0, n_rows, k, importance, &planes, plane);
    lp_environment_leave(before);
    return status;
}
