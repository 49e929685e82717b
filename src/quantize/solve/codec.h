/* GGUF's block formats as the column solver sees them, and blocks put together from its codes. */
#ifndef LP_QUANTIZE_SOLVE_CODEC_H
#define LP_QUANTIZE_SOLVE_CODEC_H

#include <lowp/quantize.h>

#include "quantize/search/lanes.h"
#include "quantize/solve/sweep.h"

/* How a and b of a unit are stored. */
typedef enum lp_scale_code {
    LP_SCALE_CODE_F16,      /* a: bits of the scale; b: bits of the offset */
    LP_SCALE_CODE_SUPER,    /* a times the block's scale; minus b times its second scale */
    LP_SCALE_CODE_EXPONENT  /* a: the exponent byte */
} lp_scale_code;

typedef struct lp_codec {
    lp_coder coder;
    const lp_packing *packing;
    const lp_encode_format *format;
    lp_scale_code scale_code;
    int least_a, most_a, most_b; /* SUPER */
    uint8_t stored[256];         /* code in the file of each level */
} lp_codec;

/* False: the format has no codes that columns could be rounded to one by one (code books, floats). */
bool lp_codec_create(const lp_packing *packing, lp_codec *codec);

/* Bytes of the n <= LP_TILE first rows: row l at dst + l * row_bytes. */
void lp_codec_store(const lp_codec *codec, const lp_tile_rows *rows, int64_t k, int n, uint8_t *dst, size_t row_bytes);

#endif
