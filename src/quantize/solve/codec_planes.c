/* Formats of our own as the column solver sees them: codes of any element with a list of values, scaled by an element or by an
 * element under a second scale, with offsets alike. Cards: ptq/gptq.md, formats/arbitrary-bitwidth.md. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/half.h"
#include "format/canonical.h"
#include "quantize/encode.h"
#include "quantize/levels.h"
#include "quantize/planes.h"
#include "quantize/solve/codec.h"

/* The scales or the offsets of the units. a and b are the place in a list of values, or the bits of a float of the hardware. */
typedef struct parameter {
    int node, outer;         /* nodes of what a unit stores, and of what multiplies it; -1: none */
    const lp_levels *levels; /* of node */
    int64_t per_outer;       /* units that share an outer value */
} parameter;

typedef struct lp_plane_codec {
    const lp_canonical *c;
    lp_levels *levels[LP_MAX_NODES];
    parameter scale, zero;   /* zero.node -1: no offsets */
    lp_offset offset;
    bool has_tensor_scale;
    float tensor_scale;
    uint8_t tensor_scale_bytes[4];
} lp_plane_codec;

/* ---- stored numbers ------------------------------------------------------------------------------------------------ */

/* Steps of an f16 between two trials for a scale, by the bits of the codes: fine beside what rounding to so many levels leaves. */
static const int trial_step[9] = {0, 64, 40, 24, 16, 12, 8, 6, 4};

/* Of a float of the hardware a step keeps the sign and stays finite. */
static bool float_at(const lp_node *node, int32_t from, int32_t code, float *value)
{
    const int bits = node->format->element.bits;
    const uint32_t sign = UINT32_C(1) << (bits - 1), exponent = node->reader == LP_READ_F16 ? 0x7c00u : 0xffu << (bits - 9);
    const uint32_t a = (uint32_t)from, b = (uint32_t)code;
    if ((bits < 32 && b >> bits) || ((a ^ b) & sign) || (b & exponent) == exponent) return false;
    *value = bits == 32 ? lp_f32_from_bits(b) : node->reader == LP_READ_F16 ? lp_f16_to_f32((uint16_t)b) : lp_bf16_to_f32((uint16_t)b);
    return true;
}

static bool value_at(const lp_plane_codec *own, const parameter *p, int32_t from, int32_t code, float *value)
{
    if (!p->levels->n) return float_at(&own->c->node[p->node], from, code, value);
    if (code < 0 || code >= p->levels->n) return false;
    *value = p->levels->value[code];
    return true;
}

/* The code in the file; and back. */
static uint32_t code_of(const parameter *p, int32_t a) { return p->levels->n ? p->levels->code[a] : (uint32_t)a; }

static int32_t place_of(const lp_plane_codec *own, const parameter *p, uint32_t code)
{
    if (!p->levels->n) return (int32_t)code;
    return lp_levels_nearest(p->levels, (float)lp_element_value(&own->c->node[p->node].format->element, code));
}

static int step_of(const lp_plane_codec *own, const parameter *p, int code_bits)
{
    if (p->levels->n) return 1;
    const int mantissa = own->c->node[p->node].format->element.mantissa, step = trial_step[code_bits];
    if (mantissa > 10) return step << (mantissa - 10);
    return step >> (10 - mantissa) ? step >> (10 - mantissa) : 1;
}

/* ---- what the solver calls ------------------------------------------------------------------------------------------ */

static void set_unit(const lp_coder *coder, const int32_t a[LP_TILE], const int32_t b[LP_TILE], const lp_unit *unit,
                     float scale[LP_TILE], float offset[LP_TILE], bool valid[LP_TILE])
{
    const lp_plane_codec *own = ((const lp_codec *)coder->data)->own;
    for (int l = 0; l < LP_TILE; l++) {
        float s, z = 0.0f;
        offset[l] = 0.0f;
        valid[l] = value_at(own, &own->scale, unit->a[l], a[l], &s) &&
                   (own->zero.node < 0 || value_at(own, &own->zero, unit->b[l], b[l], &z));
        if (!valid[l]) continue;
        scale[l] = unit->super_scale[l] * s;
        if (own->has_tensor_scale) scale[l] = own->tensor_scale * scale[l];
        if (own->zero.node < 0) continue;
        z = unit->super_offset[l] * z;
        offset[l] = own->offset == LP_OFFSET_PLUS ? z : own->offset == LP_OFFSET_MINUS ? -z : -(scale[l] * z);
    }
}

/* Codes and outer values of one parameter in row l. */
static void read_parameter(const lp_plane_codec *own, const parameter *p, const lp_row *row, int n_units, int l, lp_unit *unit, bool is_scale)
{
    uint32_t code[LP_SWEEP_COLS];
    float outer[LP_SWEEP_COLS];
    const lp_node *node = &own->c->node[p->node];
    const int64_t n_outer = lp_node_length(node, n_units);
    lp_codes_read(row->plane[node->codes], node->format->element.bits, 0, n_units, code);
    if (p->outer >= 0) lp_node_decode(own->c, p->outer, row, n_outer, 0, n_outer, outer);
    for (int u = 0; u < n_units; u++) {
        (is_scale ? unit[u].a : unit[u].b)[l] = place_of(own, p, code[u]);
        (is_scale ? unit[u].super_scale : unit[u].super_offset)[l] = p->outer >= 0 ? outer[u / p->per_outer] : 1.0f;
    }
}

/* The fitter of such formats gives the scales; its codes are left. */
static lp_status fit_block(const lp_coder *coder, int n, const float (*x)[LP_TILE], const float *importance, lp_unit *unit)
{
    const lp_codec *codec = coder->data;
    const lp_plane_codec *own = codec->own;
    float rows_of[LP_TILE * LP_SWEEP_COLS];
    const int n_units = (n + coder->unit - 1) / coder->unit;
    lp_planes planes;
    uint8_t *plane[LP_MAX_PLANES];
    for (int j = 0; j < n; j++)
        for (int l = 0; l < LP_TILE; l++) rows_of[l * n + j] = x[j][l];
    lp_packing_planes(codec->packing, n, LP_TILE, &planes);
    uint8_t *bytes = calloc(planes.n_bytes, 1);
    if (!bytes) return lp_fail_memory(planes.n_bytes, "a block");
    for (int i = 0; i < planes.n; i++) plane[i] = bytes + planes.offset[i];
    if (own->has_tensor_scale) {
        const int index = own->c->node[0].tensor_scale;
        memcpy(plane[index], own->tensor_scale_bytes, planes.size[index]);
    }
    lp_status status = lp_encode_rows_from(codec->packing, LP_SEARCH_REFERENCE, rows_of, 0, LP_TILE, n, importance, &planes, plane);
    for (int l = 0; l < LP_TILE && status == LP_OK; l++) {
        const lp_row row = lp_planes_row(&planes, bytes, l);
        read_parameter(own, &own->scale, &row, n_units, l, unit, true);
        if (own->zero.node >= 0) read_parameter(own, &own->zero, &row, n_units, l, unit, false);
        else
            for (int u = 0; u < n_units; u++) unit[u].b[l] = 0;
    }
    free(bytes);
    for (int u = 0; u < n_units && status == LP_OK; u++) {
        bool valid[LP_TILE];
        set_unit(coder, unit[u].a, unit[u].b, &unit[u], unit[u].scale, unit[u].offset, valid);
    }
    return status;
}

static void store_parameter(const lp_plane_codec *own, const parameter *p, const lp_unit *unit, int64_t n_units, int l, bool is_scale,
                            const lp_planes *planes, uint8_t *const plane[LP_MAX_PLANES])
{
    const lp_node *node = &own->c->node[p->node];
    uint8_t *dst = plane[node->codes] + (size_t)l * planes->row_bytes[node->codes];
    memset(dst, 0, planes->row_bytes[node->codes]);
    for (int64_t u = 0; u < n_units; u++)
        lp_code_write(dst, node->format->element.bits, u, code_of(p, (is_scale ? unit[u].a : unit[u].b)[l]));
    if (p->outer < 0) return;
    const lp_node *outer = &own->c->node[p->outer];
    dst = plane[outer->codes] + (size_t)l * planes->row_bytes[outer->codes];
    memset(dst, 0, planes->row_bytes[outer->codes]);
    for (int64_t u = 0; u < n_units; u += p->per_outer) {
        float value;
        uint32_t code = lp_levels_round(own->levels[p->outer], (is_scale ? unit[u].super_scale : unit[u].super_offset)[l], &value);
        lp_code_write(dst, outer->format->element.bits, u / p->per_outer, code);
    }
}

static void store_planes(const lp_codec *codec, const lp_tile_rows *tile, int64_t k, int n, const lp_planes *planes,
                         uint8_t *const plane[LP_MAX_PLANES])
{
    const lp_plane_codec *own = codec->own;
    const lp_node *value = &own->c->node[0];
    const int64_t n_units = (k + codec->coder.unit - 1) / codec->coder.unit;
    for (int l = 0; l < n; l++) {
        uint8_t *dst = plane[value->codes] + (size_t)l * planes->row_bytes[value->codes];
        memset(dst, 0, planes->row_bytes[value->codes]);
        for (int64_t j = 0; j < k; j++)
            lp_code_write(dst, value->format->element.bits, j, codec->stored[tile->code[j * LP_TILE + l]]);
        store_parameter(own, &own->scale, tile->unit, n_units, l, true, planes, plane);
        if (own->zero.node >= 0) store_parameter(own, &own->zero, tile->unit, n_units, l, false, planes, plane);
    }
}

/* ---- which formats --------------------------------------------------------------------------------------------------- */

/* A node of scales or offsets in the solver's terms; false where a unit's value depends on more than its code and one outer value. */
static bool describe(const lp_plane_codec *own, int index, parameter *p)
{
    *p = (parameter){.node = index, .outer = -1, .per_outer = 1};
    if (index < 0) return true;
    const lp_node *node = &own->c->node[index];
    p->levels = own->levels[index];
    p->outer = node->scale;
    if (node->scale < 0) return true;
    p->per_outer = node->format->block[0];
    return node->tensor_scale < 0 && node->zero < 0 && own->c->node[node->scale].scale < 0 && p->per_outer > 0;
}

/* Columns that are fitted at once; 0: they would be too many, or leave a part of a block behind. */
static int block_of(const lp_plane_codec *own, int64_t unit)
{
    int64_t block = unit;
    const parameter *both[2] = {&own->scale, &own->zero};
    for (int i = 0; i < 2; i++)
        if (both[i]->per_outer <= LP_SWEEP_COLS && both[i]->per_outer * unit > block) block = both[i]->per_outer * unit;
        else if (both[i]->per_outer > LP_SWEEP_COLS) return 0;
    for (int i = 0; i < 2; i++)
        if (block % (both[i]->per_outer * unit) != 0) return 0;
    return block <= LP_SWEEP_COLS && LP_SWEEP_COLS % block == 0 ? (int)block : 0;
}

static void set_levels(lp_codec *codec, const lp_levels *levels)
{
    lp_grid *grid = &codec->coder.grid;
    for (int i = 0; i < levels->n; i++) codec->stored[i] = (uint8_t)levels->code[i];
    if (levels->is_uniform) {
        grid->low = levels->least;
        grid->high = levels->most;
        return;
    }
    grid->n_levels = levels->n;
    for (int i = 0; i < levels->n; i++) grid->level[i] = levels->value[i];
    for (int i = 0; i + 1 < levels->n; i++) grid->middle[i] = 0.5f * (levels->value[i] + levels->value[i + 1]);
}

static lp_status prepare(lp_codec *codec, const lp_tensor *tensor, bool *exists)
{
    lp_plane_codec *own = codec->own;
    const lp_node *value = &own->c->node[0];
    for (int i = 0; i < own->c->n_nodes; i++) LP_TRY(lp_levels_create(&own->c->node[i].format->element, &own->levels[i]));
    const int64_t unit = value->format->block[0];
    if (value->scale < 0 || unit < 1 || unit > LP_UNIT_MAX || own->levels[0]->n < 2) return LP_OK;
    if (!describe(own, value->scale, &own->scale) || !describe(own, value->zero, &own->zero)) return LP_OK;
    const int block = block_of(own, unit);
    if (!block) return LP_OK;
    own->offset = value->format->offset;
    own->has_tensor_scale = value->tensor_scale >= 0;
    if (own->has_tensor_scale) {
        lp_row row;
        LP_TRY(lp_encode_set_tensor_scale(codec->packing, tensor, own->tensor_scale_bytes));
        row.plane[value->tensor_scale] = own->tensor_scale_bytes;
        own->tensor_scale = lp_node_tensor_scale(value, &row);
    }
    codec->coder = (lp_coder){.unit = (int)unit, .block = block, .fit = fit_block, .set = set_unit, .data = codec};
    set_levels(codec, own->levels[0]);
    const int bits = value->format->element.bits;
    codec->coder.step = step_of(own, &own->scale, bits);
    codec->coder.step_b = own->zero.node >= 0 ? step_of(own, &own->zero, bits) : 0;
    codec->store = store_planes;
    *exists = true;
    return LP_OK;
}

lp_status lp_codec_create_planes(const lp_packing *packing, const lp_tensor *tensor, lp_codec *codec, bool *exists)
{
    codec->packing = packing;
    codec->own = calloc(1, sizeof *codec->own);
    if (!codec->own) return lp_fail_memory(sizeof *codec->own, "a format");
    codec->own->c = lp_canonical_of(packing);
    lp_status status = prepare(codec, tensor, exists);
    if (status != LP_OK) lp_codec_free_planes(codec);
    return status;
}

void lp_codec_free_planes(lp_codec *codec)
{
    for (int i = 0; i < LP_MAX_NODES; i++) lp_levels_free(codec->own->levels[i]);
    free(codec->own);
    codec->own = NULL;
}
