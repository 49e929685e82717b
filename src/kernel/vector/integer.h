/* The frame of the integer linear layers, the same for every instruction set: which class a weight has, where activations
 * and start values lie, panels and blocks of tokens. A template in two parts: this one comes first; then the instruction
 * set defines
 *
 *   FUSED_TOKENS                  most tokens of a call that does without panels, 3 or more: unpacking again for every 6
 *                                 tokens costs less than it takes to write panels and read them
 *   PANEL_TILES                   panels of a register tile: 1 or 2
 *   CENTRED                       1: byte codes and table values are used as signed value - zero and their sums start at
 *                                 0; the others start at -zero * (sum of x codes)
 *   KINDS(KIND)                   KIND(name, bits, table, unit, scale) for every product of panels that is compiled apart
 *   kind_of(class)                which one a class needs
 *   fused_tile(shape, n, ...)     one tile times n <= BLOCK_TOKENS tokens, unpacked in registers
 *   unpack_tile(shape, ...)       columns of one tile to a panel, or its offsets (unit_offset)
 *   multiply(shape, tiles, n, ..) panels times n <= BLOCK_TOKENS tokens
 *
 * and includes integer_driver.h, which makes linear_i8 of them. */
#include <stdbool.h>
#include <string.h>

#include "kernel/layout.h"

enum { BLOCK_TOKENS = 6 }; /* most tokens of a register tile */

/* What distinguishes two classes of units at compile time; the table's contents and the zero are data. */
typedef struct shape {
    int bits;
    bool table;
    int unit;
    lp_scale_kind scale;
    lp_offset_kind offset;
} shape;

/* Activation rows m, m+1, ... and their start values; row i is i strides from row 0. */
typedef struct tokens {
    const uint8_t *code;  /* int8 [cols] */
    const uint8_t *scale; /* float [cols/32] */
    const uint8_t *h;     /* float [cols/unit] */
    const uint8_t *start; /* int32 [cols/unit] */
    size_t stride, start_stride;
} tokens;

/* Outputs y[m*ldy + 16*i + lane] of tile i and token m; rows that exist from the first tile on. These structs go to kernels
 * by reference: a copy on the stack would be read with wider loads than it was written with, and wait for all earlier stores. */
typedef struct output {
    float *y;
    int64_t ldy;
    int64_t rows;
    const uint8_t *row_scale; /* of the first tile: float[16] that the finished chains are multiplied by; NULL: none */
    size_t row_scale_stride;  /* bytes to that of the next tile */
} output;

/* Row m of several that lie `stride` apart, from two pointers that stand three rows apart: all six rows are within reach
 * of an addressing mode, so that no kernel needs a pointer per row. */
INLINE const uint8_t *at_token(const uint8_t *first, const uint8_t *third, size_t stride, int m)
{
    return m < 3 ? first + stride * (size_t)m : third + stride * (size_t)(m - 3);
}

/* Moves through a tile: groups of chunks, each with its constants in front. */
typedef struct walk {
    const uint8_t *header, *scale, *offset, *code;
} walk;

INLINE walk enter_group(const lp_tile_layout *l, const uint8_t *group, int64_t n)
{
    walk w = {group, group + l->header_bytes, group + l->header_bytes + (size_t)n * l->scale_bytes, NULL};
    w.code = w.offset + (size_t)n * l->offset_bytes;
    return w;
}

INLINE void next_chunk(const lp_tile_layout *l, walk *w)
{
    w->scale += l->scale_bytes;
    w->offset += l->offset_bytes;
    w->code += l->code_bytes;
}

INLINE void next_chunk_of_tokens(tokens *t, int units_per_chunk)
{
    t->code += LP_CHUNK;
    t->scale += 4;
    t->start += 4 * units_per_chunk;
    t->h += 4 * units_per_chunk;
}

INLINE void next_chunk_of_panel(lp_panel *p, int units_per_chunk)
{
    p->code += LP_CHUNK * LP_TILE_ROWS;
    p->scale += LP_TILE_ROWS * units_per_chunk;
}
