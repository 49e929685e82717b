/* Formats of our own as planes: the tree of a format, flattened. Card: formats/arbitrary-bitwidth. */
#ifndef LP_FORMAT_CANONICAL_H
#define LP_FORMAT_CANONICAL_H

#include "format/layout.h"
#include "format/text.h"

enum { LP_MAX_NODES = 15, LP_CANONICAL_BITS = 8 };

/* How codes of a plane become float32. */
typedef enum lp_code_reader { LP_READ_TABLE, LP_READ_F16, LP_READ_BF16, LP_READ_F32, LP_READ_ELEMENT } lp_code_reader;

/* A format within the format: the values themselves, or scales or offsets of another node. */
typedef struct lp_node {
    const lp_format *format;
    int codes;             /* plane */
    int tensor_scale;      /* plane of one value, or -1 */
    int scale, zero;       /* nodes, or -1 */
    lp_code_reader reader;
    float value[256];      /* TABLE: of each code; NaN where it is not in use */
} lp_node;

typedef struct lp_canonical {
    lp_layout layout;      /* first: a pointer to its packing is a pointer to it */
    lp_format *format;     /* owned */
    char text[LP_FORMAT_TEXT_MAX + 1];
    int n_nodes, n_planes;
    lp_node node[LP_MAX_NODES]; /* [0]: the values */

    /* canonical_units.c: for the integer kernels */
    lp_unit_class units;
    uint8_t stored[256];   /* code of the unit class for each code */
    uint8_t table[32];     /* value + zero by stored code, where the class has a table */
    float constant;        /* value of a code = constant * (table or stored code - zero): a power of two */
} lp_canonical;

static inline const lp_canonical *lp_canonical_of(const lp_packing *packing)
{
    return packing->format ? (const lp_canonical *)packing : NULL;
}

/* Values of a node where its parent has n: one per block. */
static inline int64_t lp_node_length(const lp_node *parent, int64_t n)
{
    int64_t block = parent->format->block[0];
    return n == 0 ? 0 : block == 0 ? 1 : n / block + (n % block != 0);
}

/* Codes [first, first + n) of a plane's row. */
void lp_codes_read(const uint8_t *src, int bits, int64_t first, int64_t n, uint32_t *code);

/* Values [first, first + n) of a node of `length` values, scales and offsets applied. n <= LP_NODE_STEP. */
enum { LP_NODE_STEP = 256 };
void lp_node_decode(const lp_canonical *c, int node, const lp_row *row, int64_t length, int64_t first, int64_t n, float *dst);

/* Value of a plane that holds one for the tensor. */
float lp_node_tensor_scale(const lp_node *node, const lp_row *row);

/* Fills the last part of c; without a class, layout.units stays NULL. */
void lp_canonical_set_units(lp_canonical *c);
void lp_canonical_split(const lp_packing *packing, const lp_row *row, int64_t k, int64_t first, lp_split *out);

#endif
