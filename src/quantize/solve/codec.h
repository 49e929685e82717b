/* Formats as the column solver sees them - GGUF's blocks and planes of our own - and bytes put together from its codes. */
#ifndef LP_QUANTIZE_SOLVE_CODEC_H
#define LP_QUANTIZE_SOLVE_CODEC_H

#include <lowp/quantize.h>

#include "format/rows.h"
#include "quantize/search/lanes.h"
#include "quantize/solve/sweep.h"

/* How a and b of a unit are stored in a block of GGUF. */
typedef enum lp_scale_code {
    LP_SCALE_CODE_F16,      /* a: bits of the scale; b: bits of the offset */
    LP_SCALE_CODE_SUPER,    /* a times the block's scale; minus b times its second scale */
    LP_SCALE_CODE_EXPONENT  /* a: the exponent byte */
} lp_scale_code;

typedef struct lp_codec lp_codec;
struct lp_codec {
    lp_coder coder;
    const lp_packing *packing;
    /* Rows l < n of the tile to plane[i] + l * planes->row_bytes[i], which the caller owns. */
    void (*store)(const lp_codec *codec, const lp_tile_rows *rows, int64_t k, int n, const lp_planes *planes,
                  uint8_t *const plane[LP_MAX_PLANES]);
    uint8_t stored[256];         /* code in the file of each level */

    /* blocks of GGUF */
    const lp_encode_format *format;
    lp_scale_code scale_code;
    int least_a, most_a, most_b; /* SUPER */

    struct lp_plane_codec *own;  /* codec_planes.c; NULL for blocks */
};

/* *exists is false where the format has no codes that columns could be rounded to one by one (code books, floats, scales that
 * reach over more than LP_SWEEP_COLS columns). tensor: its scale is found here, where the format has one. A codec does not move:
 * its coder points to it. Errors: LP_RESOURCE. */
lp_status lp_codec_create(const lp_packing *packing, const lp_tensor *tensor, lp_codec *codec, bool *exists);
void lp_codec_free(lp_codec *codec);

/* codec_planes.c: for a packing with planes. */
lp_status lp_codec_create_planes(const lp_packing *packing, const lp_tensor *tensor, lp_codec *codec, bool *exists);
void lp_codec_free_planes(lp_codec *codec);

#endif
