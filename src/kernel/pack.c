/* Repacking weights into tiles (layout.h) and the portable reading of a tile. */
#include <string.h>

#include "base/half.h"
#include "kernel/layout.h"
#include "tensor/row.h"

static int64_t min_i64(int64_t a, int64_t b) { return a < b ? a : b; }

static size_t float_bytes(const lp_packing *packing) { return (size_t)packing->n_bytes / (size_t)packing->n_values; }

size_t lp_weight_tile_bytes(const lp_packing *packing, int64_t cols)
{
    const lp_unit_class *units = lp_packing_units(packing, cols);
    size_t n;
    if (!units) {
        n = (size_t)cols * LP_TILE_ROWS * float_bytes(packing);
    } else {
        lp_tile_layout l = lp_tile_layout_of(units);
        int64_t chunks = cols / LP_CHUNK;
        n = (size_t)(chunks / l.group_chunks) * lp_tile_group_bytes(&l, l.group_chunks);
        if (chunks % l.group_chunks) n += lp_tile_group_bytes(&l, chunks % l.group_chunks);
    }
    n = (n + 63) & ~(size_t)63;
    return units && units->row_scale ? n + LP_TILE_ROWS * sizeof(float) : n;
}

size_t lp_linear_scratch_bytes(int64_t cols)
{
    size_t integer = lp_scratch_panel_cols(cols) * 20 + (size_t)cols * 4 * LP_PANEL_TILES + (size_t)cols / 4 * LP_BATCH_TOKENS;
    /* Decoded weights: one row and tiles of float32. */
    size_t decoded = (size_t)min_i64(cols, LP_DECODE_COLS) * 4 * (1 + LP_TILE_ROWS * LP_DECODE_TILES);
    return (integer > decoded ? integer : decoded) + 128;
}

/* Where the parts of a chunk lie. */
typedef struct chunk_place {
    size_t header, scale, offset, code;
} chunk_place;

static chunk_place place_of_chunk(const lp_tile_layout *l, int64_t chunk, int64_t chunks)
{
    int64_t group = chunk / l->group_chunks, inside = chunk % l->group_chunks;
    int64_t n = min_i64(l->group_chunks, chunks - group * l->group_chunks);
    chunk_place p;
    p.header = (size_t)group * lp_tile_group_bytes(l, l->group_chunks);
    p.scale = p.header + l->header_bytes + (size_t)inside * l->scale_bytes;
    p.offset = p.header + l->header_bytes + (size_t)n * l->scale_bytes + (size_t)inside * l->offset_bytes;
    p.code = p.header + l->header_bytes + (size_t)n * (l->scale_bytes + l->offset_bytes) +
             (size_t)inside * l->code_bytes;
    return p;
}

static void put_u16(uint8_t *p, uint16_t v) { memcpy(p, &v, 2); }
static void put_u32(uint8_t *p, uint32_t v) { memcpy(p, &v, 4); }

/* A group's four codes are four bytes of a word: fields move in all of them at once. */
static uint32_t spread(uint32_t byte) { return byte * 0x01010101u; }

/* Bits [from, from + bits) of groups [first, first + 8/bits) as one word of a plane, the first lowest. */
static uint32_t gather_fields(const uint8_t *code, int first, int from, int bits)
{
    uint32_t word = 0;
    for (int f = 0; f < 8 / bits; f++)
        word |= ((lp_read_u32(code + 4 * (first + f)) >> from) & spread((1u << bits) - 1)) << (bits * f);
    return word;
}

/* dst: the chunk's planes. */
static void put_codes(uint8_t *dst, int bits, int row, const uint8_t *code)
{
    uint8_t *lane = dst + 4 * row;
    if (bits == 8) {
        for (int g = 0; g < 8; g++) memcpy(lane + 64 * g, code + 4 * g, 4);
    } else if (bits >= 4) {
        for (int v = 0; v < 4; v++)
            put_u32(lane + 64 * v, (lp_read_u32(code + 4 * v) & spread(15)) | (lp_read_u32(code + 4 * v + 16) & spread(15)) << 4);
        if (bits == 5) put_u32(lane + 256, gather_fields(code, 0, 4, 1));
        for (int i = 0; i < 2 && bits == 6; i++) put_u32(lane + 256 + 64 * i, gather_fields(code, 4 * i, 4, 2));
    } else {
        for (int i = 0; i < 2; i++) put_u32(lane + 64 * i, gather_fields(code, 4 * i, 0, 2));
        if (bits == 3) put_u32(lane + 128, gather_fields(code, 0, 2, 1));
    }
}

/* Field f of the word of a plane, moved to bit `to` of each byte. */
static uint32_t field_of(const uint8_t *plane, int f, int bits, int to)
{
    return ((lp_read_u32(plane) >> (bits * f)) & spread((1u << bits) - 1)) << to;
}

static void get_codes(const uint8_t *src, int bits, int row, uint8_t *code)
{
    const uint8_t *lane = src + 4 * row;
    for (int g = 0; g < 8; g++) {
        uint32_t word = bits == 8   ? lp_read_u32(lane + 64 * g)
                        : bits >= 4 ? field_of(lane + 64 * (g % 4), g / 4, 4, 0)
                                    : field_of(lane + 64 * (g / 4), g % 4, 2, 0);
        if (bits == 6) word |= field_of(lane + 256 + 64 * (g / 4), g % 4, 2, 4);
        if (bits == 5) word |= field_of(lane + 256, g, 1, 4);
        if (bits == 3) word |= field_of(lane + 128, g, 1, 2);
        put_u32(code + 4 * g, word);
    }
}

/* Scales and offsets of the units of one chunk; first: index of its first unit in the split block. */
static void put_scales(uint8_t *tile, const chunk_place *p, const lp_tile_layout *l, int row, const lp_split *s, int first)
{
    int n = LP_CHUNK / l->unit;
    if (l->header_bytes) put_u16(tile + p->header + 2 * row, s->scale16[0]);
    if (l->offset == LP_OFFSET_KIND_SUPER) put_u16(tile + p->header + 32 + 2 * row, s->offset16[0]);
    for (int u = 0; u < n; u++) {
        uint8_t *scale = tile + p->scale, *offset = tile + p->offset;
        switch (l->scale) {
        case LP_SCALE_F16: case LP_SCALE_BF16:
            put_u16(scale + 32 * u + 2 * row, s->scale16[first + u]);
            break;
        case LP_SCALE_F32:
            memcpy(scale + 64 * u + 4 * row, &s->scale32[first + u], 4);
            break;
        case LP_SCALE_SUPER:
            scale[16 * u + row] = (uint8_t)s->sub[first + u];
            break;
        case LP_SCALE_SUPER4:
            scale[16 * u + row] = (uint8_t)((s->sub[first + u] & 15) | s->sub_offset[first + u] << 4);
            break;
        default: /* BLOCK: in the header; NONE */
            break;
        }
        if (l->offset == LP_OFFSET_KIND_F16) put_u16(offset + 32 * u + 2 * row, s->offset16[first + u]);
        if (l->offset == LP_OFFSET_KIND_F32) memcpy(offset + 64 * u + 4 * row, &s->offset32[first + u], 4);
        if (l->offset_bytes && l->offset == LP_OFFSET_KIND_SUPER) offset[16 * u + row] = s->sub_offset[first + u];
    }
}

static float scale_of(const uint8_t *tile, const chunk_place *p, const lp_tile_layout *l, int u, int row)
{
    const uint8_t *scale = tile + p->scale, *header = tile + p->header + 2 * row;
    switch (l->scale) {
    case LP_SCALE_F16: return lp_f16_to_f32(lp_read_u16(scale + 32 * u + 2 * row));
    case LP_SCALE_BF16: return lp_bf16_to_f32(lp_read_u16(scale + 32 * u + 2 * row));
    case LP_SCALE_F32: return lp_f32_from_bits(lp_read_u32(scale + 64 * u + 4 * row));
    case LP_SCALE_BLOCK: return lp_f16_to_f32(lp_read_u16(header));
    case LP_SCALE_NONE: return 1;
    case LP_SCALE_SUPER: return lp_f16_to_f32(lp_read_u16(header)) * (float)(int8_t)scale[16 * u + row];
    default: return lp_f16_to_f32(lp_read_u16(header)) * (float)(scale[16 * u + row] & 15);
    }
}

static float offset_of(const uint8_t *tile, const chunk_place *p, const lp_tile_layout *l, int u, int row)
{
    if (l->offset == LP_OFFSET_KIND_F16) return lp_f16_to_f32(lp_read_u16(tile + p->offset + 32 * u + 2 * row));
    if (l->offset == LP_OFFSET_KIND_F32) return lp_f32_from_bits(lp_read_u32(tile + p->offset + 64 * u + 4 * row));
    uint8_t m = l->scale == LP_SCALE_SUPER4 ? (uint8_t)(tile[p->scale + (size_t)(16 * u + row)] >> 4)
                                                 : tile[p->offset + (size_t)(16 * u + row)];
    float product = lp_f16_to_f32(lp_read_u16(tile + p->header + 32 + 2 * row)) * (float)m;
    return -product;
}

static int64_t rows_of(const lp_tensor *t) { return t->dim[1] * t->dim[2] * t->dim[3]; }

static void pack_float_row(const uint8_t *src, int64_t cols, size_t size, int row, uint8_t *dst)
{
    uint8_t *lane = dst + (size_t)row * size;
    if (size == 2)
        for (int64_t k = 0; k < cols; k++) memcpy(lane + k * LP_TILE_ROWS * 2, src + k * 2, 2);
    else
        for (int64_t k = 0; k < cols; k++) memcpy(lane + k * LP_TILE_ROWS * 4, src + k * 4, 4);
}

static void pack_quantized_row(const lp_tensor *source, const lp_unit_class *units, int64_t row, int lane, uint8_t *dst,
                               size_t tile_bytes)
{
    lp_tile_layout l = lp_tile_layout_of(units);
    lp_row planes = lp_tensor_row(source, row);
    int64_t chunks = source->dim[0] / LP_CHUNK, per_block = units->block / LP_CHUNK;
    for (int64_t chunk = 0; chunk < chunks; chunk += per_block) {
        lp_split s;
        lp_row_split(source->packing, &planes, source->dim[0], chunk * LP_CHUNK, &s);
        for (int64_t i = 0; i < min_i64(per_block, chunks - chunk); i++) {
            chunk_place p = place_of_chunk(&l, chunk + i, chunks);
            put_codes(dst + p.code, l.bits, lane, s.code + LP_CHUNK * i);
            put_scales(dst, &p, &l, lane, &s, (int)i * (LP_CHUNK / l.unit));
        }
        if (units->row_scale) memcpy(dst + tile_bytes - 4 * (size_t)(LP_TILE_ROWS - lane), &s.row_scale, 4);
    }
}

void lp_weight_pack_tile(const lp_tensor *source, int64_t tile, uint8_t *dst)
{
    const lp_unit_class *units = lp_packing_units(source->packing, source->dim[0]);
    int64_t cols = source->dim[0], first = tile * LP_TILE_ROWS;
    int n = (int)min_i64(LP_TILE_ROWS, rows_of(source) - first);
    size_t tile_bytes = lp_weight_tile_bytes(source->packing, cols);
    memset(dst, 0, tile_bytes);
    for (int r = 0; r < n; r++) {
        if (units) pack_quantized_row(source, units, first + r, r, dst, tile_bytes);
        else pack_float_row(lp_tensor_row(source, first + r).plane[0], cols, float_bytes(source->packing), r, dst);
    }
}

void lp_tile_unpack(const lp_unit_class *units, const uint8_t *tile, int64_t cols, int64_t first_chunk, int64_t n_chunks,
                    lp_panel *panel)
{
    lp_tile_layout l = lp_tile_layout_of(units);
    int n = LP_CHUNK / l.unit;
    for (int64_t chunk = 0; chunk < n_chunks; chunk++) {
        chunk_place p = place_of_chunk(&l, first_chunk + chunk, cols / LP_CHUNK);
        for (int r = 0; r < LP_TILE_ROWS; r++) {
            uint8_t code[LP_CHUNK];
            get_codes(tile + p.code, l.bits, r, code);
            for (int k = 0; k < LP_CHUNK; k++)
                panel->code[((chunk * 8 + k / 4) * LP_TILE_ROWS + r) * 4 + k % 4] =
                    units->table ? units->table[code[k]] : code[k];
            for (int u = 0; u < n; u++) panel->scale[(chunk * n + u) * LP_TILE_ROWS + r] = scale_of(tile, &p, &l, u, r);
        }
    }
}

void lp_tile_unpack_offsets(const lp_unit_class *units, const uint8_t *tile, int64_t cols, float *offset)
{
    lp_tile_layout l = lp_tile_layout_of(units);
    int n = LP_CHUNK / l.unit;
    for (int64_t chunk = 0; chunk < cols / LP_CHUNK; chunk++) {
        chunk_place p = place_of_chunk(&l, chunk, cols / LP_CHUNK);
        for (int u = 0; u < n; u++)
            for (int r = 0; r < LP_TILE_ROWS; r++)
                offset[(chunk * n + u) * LP_TILE_ROWS + r] = offset_of(tile, &p, &l, u, r);
    }
}
