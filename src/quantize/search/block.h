/* Encoders of one block at a time: formats whose search branches too much, or is too little work, for lanes.h. Plain C
 * without vectors, so the bytes are the same on every machine. Card: formats/gguf-block-formats.md. */
#ifndef LP_QUANTIZE_SEARCH_BLOCK_H
#define LP_QUANTIZE_SEARCH_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

typedef enum lp_importance_use {
    LP_IMPORTANCE_UNUSED,
    LP_IMPORTANCE_USED,  /* better with it */
    LP_IMPORTANCE_NEEDED /* refused without it */
} lp_importance_use;

typedef struct lp_block_encoder {
    const char *name; /* of the packing */
    lp_importance_use importance;
    /* Encodes the values of one block. importance: as many weights >= 0, or NULL. False: the scale is not finite in f16. */
    bool (*encode)(const float *x, const float *importance, uint8_t *block);
    bool (*rtn)(const float *x, const float *importance, uint8_t *block); /* plain rounding; NULL: there is none */
} lp_block_encoder;

/* NULL: none of that name. */
const lp_block_encoder *lp_block_encoder_find(const char *name);

/* pattern.c and cuts.c: the formats with code books. */
bool lp_encode_iq3_xxs(const float *x, const float *importance, uint8_t *block);
bool lp_encode_iq3_s(const float *x, const float *importance, uint8_t *block);
bool lp_encode_iq2_xxs(const float *x, const float *importance, uint8_t *block);
bool lp_encode_iq2_xs(const float *x, const float *importance, uint8_t *block);
bool lp_encode_iq2_s(const float *x, const float *importance, uint8_t *block);
bool lp_encode_iq1_s(const float *x, const float *importance, uint8_t *block);
bool lp_encode_iq1_m(const float *x, const float *importance, uint8_t *block);

#endif
