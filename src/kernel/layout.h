/* The tile: how the weights of 16 output rows lie in memory for every integer kernel.
 *
 * A chunk is 32 consecutive k. Byte position (r, j) of a 64-byte vector is 4*r + j: lane r of 32 bits is output row r, its
 * bytes are 4 consecutive k. Group g of a chunk is k = 4g .. 4g+3, so a chunk has 8 groups. The codes of a chunk are
 * planes of such vectors, 64 bytes per bit of the code:
 *
 *   8 bits  8 vectors; vector g holds group g
 *   4 bits  4 vectors; vector v: low nibbles are group v, high nibbles group v + 4     (also the low 4 of 5 and 6 bits)
 *   2 bits  2 vectors; bits 2f of vector i are group 4i + f                            (also the low 2 of 3 bits)
 *   and behind them, for 6 bits a plane of the high 2 bits (laid out like 2 bits), for 5 and 3 bits one vector whose
 *   bit g is the high bit of group g.
 *
 * Chunks come in groups of 8 (packings of 256 values) or 2 (the others; the last group of an odd count has 1), so that
 * the scales of n chunks stand together in front of their codes and keep these aligned:
 *
 *   [header: f16 d[16], f16 dmin[16]][scales of n chunks][offsets of n chunks][codes of n chunks]
 *
 * with a scale or offset stored per unit as 16 values, one per row. What a header, a scale and an offset are is given by
 * the class. A tile is the sequence of its groups: one stream, at the format's own number of bits (6-bit sub-scales
 * take 8). Float weights are simply [k][16 rows] in their stored type. */
#ifndef LP_KERNEL_LAYOUT_H
#define LP_KERNEL_LAYOUT_H

#include <stddef.h>
#include <stdint.h>

#include "format/split.h"
#include "kernel/kernel.h"

enum {
    LP_CHUNK = 32,             /* values of k */
    LP_PANEL_TILES = 2,        /* tiles that a matrix-matrix kernel unpacks at a time */
    LP_PANEL_COLS = 1536,      /* columns of them: a multiple of every packing's block */
    LP_BATCH_TOKENS = 144,      /* tokens that pass over a panel before the next is unpacked: what the second level holds */
    LP_DECODE_COLS = 1024,     /* columns that linear_f32 decodes at a time: a multiple of every packing's block */
    LP_DECODE_TILES = 4
};

/* A tile keeps scales as the class has them (lp_scale_kind):
 *
 *   F16 BF16 F32   no header; a scale per unit; offsets per unit as their kind says
 *   BLOCK          header d: the units of 256 values share one scale; nothing per unit
 *   SUPER          header d (and dmin): int8 per unit; offsets uint8 per unit
 *   SUPER4         header d, dmin: one byte per unit, low nibble scale, high nibble offset
 *   NONE           nothing: the scale of a unit is 1
 *
 * and where the class has a scale of the row, the tile ends with f32[16]. */
typedef struct lp_tile_layout {
    int bits;                /* of a code */
    int unit;                /* 16 or 32 */
    int group_chunks;        /* 8 or 2 */
    lp_scale_kind scale;
    lp_offset_kind offset;
    size_t header_bytes;     /* per group */
    size_t scale_bytes;      /* per chunk */
    size_t offset_bytes;     /* per chunk */
    size_t code_bytes;       /* per chunk */
} lp_tile_layout;

static inline bool lp_scale_has_header(lp_scale_kind scale)
{
    return scale == LP_SCALE_BLOCK || scale == LP_SCALE_SUPER || scale == LP_SCALE_SUPER4;
}

/* By value, from constants where the caller is specialised: everything folds. */
static inline __attribute__((always_inline)) lp_tile_layout lp_tile_layout_make(int bits, int unit, lp_scale_kind scale,
                                                                                lp_offset_kind offset)
{
    lp_tile_layout l;
    size_t units = (size_t)(LP_CHUNK / unit);
    l.bits = bits;
    l.unit = unit;
    l.scale = scale;
    l.offset = offset;
    l.group_chunks = scale >= LP_SCALE_BLOCK ? 8 : 2;
    l.header_bytes = !lp_scale_has_header(scale) ? 0 : offset == LP_OFFSET_KIND_SUPER ? 64 : 32;
    l.scale_bytes = scale <= LP_SCALE_BF16 ? 32 * units : scale == LP_SCALE_F32 ? 64 * units
                    : scale == LP_SCALE_BLOCK || scale == LP_SCALE_NONE ? 0 : 16 * units;
    l.offset_bytes = offset == LP_OFFSET_KIND_F16 ? 32 * units : offset == LP_OFFSET_KIND_F32 ? 64 * units
                     : offset == LP_OFFSET_KIND_SUPER && scale != LP_SCALE_SUPER4 ? 16 * units : 0;
    l.code_bytes = (size_t)bits * 64;
    return l;
}

static inline lp_tile_layout lp_tile_layout_of(const lp_unit_class *c)
{
    return lp_tile_layout_make(c->code_bits, c->unit, c->scale, c->offset);
}

static inline __attribute__((always_inline)) size_t lp_tile_group_bytes(const lp_tile_layout *l, int64_t n_chunks)
{
    return l->header_bytes + (size_t)n_chunks * (l->scale_bytes + l->offset_bytes + l->code_bytes);
}

/* Columns of a tile unpacked: what the matrix-matrix kernels and the reference read. Codes are bytes table[code] (not
 * centred). */
typedef struct lp_panel {
    uint8_t *code;  /* [columns/4][16 rows][4] */
    float *scale;   /* [columns/unit][16] w_u */
} lp_panel;

/* The parts of a linear call's scratch, each aligned to 64:
 * two panels of LP_PANEL_COLS columns, or one of all; offsets o_u [cols/unit][16] of LP_PANEL_TILES tiles, cols values apart; and where sums of products
 * start, -zero * (sum of codes): int32 [LP_BATCH_TOKENS][cols/16]. */
static inline uint8_t *lp_scratch_start(void *scratch) { return (uint8_t *)(((uintptr_t)scratch + 63) & ~(uintptr_t)63); }

static inline size_t lp_scratch_panel_cols(int64_t cols)
{
    return (size_t)(cols > LP_PANEL_COLS * LP_PANEL_TILES ? cols : LP_PANEL_COLS * LP_PANEL_TILES);
}

static inline lp_panel lp_scratch_panel(void *scratch, int i)
{
    uint8_t *p = lp_scratch_start(scratch) + (size_t)i * LP_PANEL_COLS * 20;
    lp_panel panel = {p, (float *)(void *)(p + LP_PANEL_COLS * 16)};
    return panel;
}

static inline lp_panel lp_scratch_whole_panel(void *scratch, int64_t cols)
{
    uint8_t *p = lp_scratch_start(scratch);
    lp_panel panel = {p, (float *)(void *)(p + (size_t)cols * 16)};
    return panel;
}

static inline float *lp_scratch_offsets(void *scratch, int64_t cols)
{
    return (float *)(void *)(lp_scratch_start(scratch) + lp_scratch_panel_cols(cols) * 20);
}

static inline int32_t *lp_scratch_sums(void *scratch, int64_t cols)
{
    return (int32_t *)(void *)(lp_scratch_start(scratch) + lp_scratch_panel_cols(cols) * 20 + (size_t)cols * 4 * LP_PANEL_TILES);
}

/* Of a tile whose class has them: f32[16]. */
static inline const float *lp_tile_row_scales(const uint8_t *tile, size_t tile_bytes)
{
    return (const float *)(const void *)(tile + tile_bytes - LP_TILE_ROWS * sizeof(float));
}

/* The portable forms, of any class: n_chunks chunks from first_chunk on, and all offsets (the class must have some). */
void lp_tile_unpack(const lp_unit_class *units, const uint8_t *tile, int64_t cols, int64_t first_chunk, int64_t n_chunks,
                    lp_panel *panel);
void lp_tile_unpack_offsets(const lp_unit_class *units, const uint8_t *tile, int64_t cols, float *offset);

#endif
