/* GGUF's block formats as the column solver sees them. Cards: ptq/gptq.md, formats/gguf-block-formats.md. */
#include "quantize/solve/codec.h"

#include <string.h>

#include "base/fail.h"
#include "base/half.h"
#include "format/layout.h"
#include "format/split.h"
#include "quantize/encode.h"

/* Which formats, and what their scales are made of. */
static const struct {
    const char *name;
    lp_scale_code scale_code;
    int least_a, most_a, most_b; /* SUPER */
    int step, step_b;
} rows[] = {
    {"q4_0", LP_SCALE_CODE_F16, 0, 0, 0, 16, 0},       {"q4_1", LP_SCALE_CODE_F16, 0, 0, 0, 24, 24},
    {"q5_0", LP_SCALE_CODE_F16, 0, 0, 0, 12, 0},       {"q5_1", LP_SCALE_CODE_F16, 0, 0, 0, 16, 16},
    {"q8_0", LP_SCALE_CODE_F16, 0, 0, 0, 4, 0},        {"iq4_nl", LP_SCALE_CODE_F16, 0, 0, 0, 16, 0},
    {"iq4_xs", LP_SCALE_CODE_SUPER, -32, 31, 0, 1, 0}, {"mxfp4", LP_SCALE_CODE_EXPONENT, 0, 254, 0, 1, 0},
    {"q2_k", LP_SCALE_CODE_SUPER, 0, 15, 15, 1, 1},    {"q3_k", LP_SCALE_CODE_SUPER, -32, 31, 0, 1, 0},
    {"q4_k", LP_SCALE_CODE_SUPER, 0, 63, 63, 1, 1},    {"q5_k", LP_SCALE_CODE_SUPER, 0, 63, 63, 1, 1},
    {"q6_k", LP_SCALE_CODE_SUPER, -128, 127, 0, 1, 0},
};

static float exponent_scale(int32_t a)
{
    uint32_t bits = (uint32_t)lp_mxfp4_scale((uint8_t)a) << 16; /* bf16 */
    float scale;
    memcpy(&scale, &bits, sizeof scale);
    return scale;
}

/* ---- scales ------------------------------------------------------------------------------------------------------- */

static bool is_f16_step(int32_t from, int32_t to)
{
    return to >= 0 && to <= 0xffff && (from & 0x8000) == (to & 0x8000) && (to & 0x7c00) != 0x7c00;
}

static void set_unit(const lp_coder *coder, const int32_t a[LP_TILE], const int32_t b[LP_TILE], const lp_unit *unit,
                     float scale[LP_TILE], float offset[LP_TILE], bool valid[LP_TILE])
{
    const lp_codec *c = coder->data;
    for (int l = 0; l < LP_TILE; l++) {
        offset[l] = 0.0f;
        switch (c->scale_code) {
        case LP_SCALE_CODE_F16:
            valid[l] = is_f16_step(unit->a[l], a[l]) && is_f16_step(unit->b[l], b[l]);
            if (!valid[l]) break;
            scale[l] = lp_f16_to_f32((uint16_t)a[l]);
            offset[l] = lp_f16_to_f32((uint16_t)b[l]);
            break;
        case LP_SCALE_CODE_SUPER:
            valid[l] = a[l] >= c->least_a && a[l] <= c->most_a && b[l] >= 0 && b[l] <= c->most_b;
            scale[l] = unit->super_scale[l] * (float)a[l];
            if (c->most_b) offset[l] = -(unit->super_offset[l] * (float)b[l]);
            break;
        case LP_SCALE_CODE_EXPONENT:
            valid[l] = a[l] >= c->least_a && a[l] <= c->most_a;
            if (valid[l]) scale[l] = exponent_scale(a[l]);
            break;
        }
    }
}

static void read_units(const lp_codec *c, const uint8_t *block, int l, lp_unit *unit)
{
    lp_split split;
    memset(&split, 0, sizeof split);
    lp_packing_split(c->packing, block, &split);
    bool super = c->scale_code == LP_SCALE_CODE_SUPER;
    for (int u = 0; u < c->coder.block / c->coder.unit; u++) {
        unit[u].super_scale[l] = super ? lp_f16_to_f32(split.scale16[0]) : 1.0f;
        unit[u].super_offset[l] = super && c->most_b ? lp_f16_to_f32(split.offset16[0]) : 1.0f;
        unit[u].a[l] = super ? split.sub[u] : c->scale_code == LP_SCALE_CODE_EXPONENT ? block[0] : split.scale16[u];
        unit[u].b[l] = super ? split.sub_offset[u] : split.offset16[u];
    }
}

/* The format's reference search gives the scales; its codes are left. */
static lp_status fit_block(const lp_coder *coder, int n, const float (*x)[LP_TILE], const float *importance, lp_unit *unit)
{
    const lp_codec *c = coder->data;
    float rows_of[LP_TILE * LP_BLOCK_MAX];
    uint8_t bytes[LP_TILE * LP_BYTES_MAX];
    for (int j = 0; j < n; j++)
        for (int l = 0; l < LP_TILE; l++) rows_of[l * n + j] = x[j][l];
    lp_planes planes;
    uint8_t *plane[LP_MAX_PLANES] = {bytes};
    lp_packing_planes(c->packing, n, LP_TILE, &planes);
    LP_TRY(lp_encode_rows_from(c->packing, LP_SEARCH_REFERENCE, rows_of, 0, LP_TILE, n, importance, &planes, plane));
    for (int l = 0; l < LP_TILE; l++) read_units(c, bytes + l * c->packing->n_bytes, l, unit);
    for (int u = 0; u < n / coder->unit; u++) {
        bool valid[LP_TILE];
        int32_t a[LP_TILE], b[LP_TILE];
        memcpy(a, unit[u].a, sizeof a);
        memcpy(b, unit[u].b, sizeof b);
        set_unit(coder, a, b, &unit[u], unit[u].scale, unit[u].offset, valid);
    }
    return LP_OK;
}

/* ---- levels ------------------------------------------------------------------------------------------------------- */

static void set_levels(lp_codec *c, const lp_unit_class *units)
{
    lp_grid *grid = &c->coder.grid;
    if (!units->table) {
        int low = -units->zero, high = (1 << units->code_bits) - 1 - units->zero;
        if (low == -128) low = -127; /* Q8_0 is symmetric */
        grid->low = (float)low;
        grid->high = (float)high;
        for (int v = low; v <= high; v++) c->stored[v - low] = (uint8_t)(v + c->format->zero);
        return;
    }
    for (int v = -128, n = 0; v < 128; v++)
        for (int code = 0; code < 1 << units->code_bits; code++) {
            if (units->table[code] - units->zero != v) continue;
            grid->level[n] = (float)v;
            c->stored[n] = (uint8_t)code;
            grid->n_levels = ++n;
            break; /* of two zeros the first */
        }
    for (int i = 0; i + 1 < grid->n_levels; i++) grid->middle[i] = 0.5f * (grid->level[i] + grid->level[i + 1]);
}

/* ---- bytes -------------------------------------------------------------------------------------------------------- */

static void store_blocks(const lp_codec *codec, const lp_tile_rows *tile, int64_t k, int n, const lp_planes *planes,
                         uint8_t *const plane[LP_MAX_PLANES])
{
    const lp_encode_format *format = codec->format;
    int n_units = codec->coder.block / codec->coder.unit, size = format->n_bytes;
    uint8_t code[LP_BLOCK_MAX][LP_LANES], bytes[LP_BYTES_MAX][LP_LANES];
    uint8_t *dst = plane[0];
    for (int64_t column = 0, block = 0; column < k; column += format->n_values, block++) {
        const lp_unit *unit = tile->unit + block * n_units;
        lp_encode_scales scales = {0};
        for (int j = 0; j < format->n_values; j++)
            for (int l = 0; l < LP_LANES; l++) code[j][l] = codec->stored[tile->code[(column + j) * LP_TILE + l]];
        for (int l = 0; l < LP_LANES; l++) {
            if (codec->scale_code == LP_SCALE_CODE_SUPER) {
                scales.d[l] = lp_f16_from_f32(unit->super_scale[l]);
                scales.m[l] = lp_f16_from_f32(unit->super_offset[l]);
                for (int u = 0; u < n_units; u++) {
                    scales.sub[u][l] = (uint8_t)(unit[u].a[l] - codec->least_a);
                    scales.sub_offset[u][l] = (uint8_t)unit[u].b[l];
                }
            } else {
                scales.d[l] = (uint16_t)unit->a[l];
                scales.m[l] = (uint16_t)unit->b[l];
            }
        }
        lp_encode_store(format, &scales, (const uint8_t(*)[LP_LANES])code, bytes);
        for (int l = 0; l < n; l++)
            for (int b = 0; b < size; b++) dst[(size_t)l * planes->row_bytes[0] + (size_t)(block * size + b)] = bytes[b][l];
    }
}

/* ---- the codec of a packing ----------------------------------------------------------------------------------------- */

lp_status lp_codec_create(const lp_packing *packing, const lp_tensor *tensor, lp_codec *codec, bool *exists)
{
    memset(codec, 0, sizeof *codec);
    *exists = false;
    if (packing->format) return lp_codec_create_planes(packing, tensor, codec, exists);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (strcmp(rows[i].name, packing->name) != 0) continue;
        const lp_unit_class *units = lp_packing_unit_class(packing);
        codec->packing = packing;
        codec->store = store_blocks;
        codec->format = lp_encode_format_find(packing->name);
        codec->scale_code = rows[i].scale_code;
        codec->least_a = rows[i].least_a;
        codec->most_a = rows[i].most_a;
        codec->most_b = rows[i].most_b;
        codec->coder = (lp_coder){.unit = units->unit, .block = packing->n_values, .step = rows[i].step, .step_b = rows[i].step_b,
                                  .fit = fit_block, .set = set_unit, .data = codec};
        set_levels(codec, units);
        *exists = true;
    }
    return LP_OK;
}

void lp_codec_free(lp_codec *codec)
{
    if (codec->own) lp_codec_free_planes(codec);
}
