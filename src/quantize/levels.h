/* Numbers to the codes of an element: nearest code and its value, for every solver. */
#ifndef LP_QUANTIZE_LEVELS_H
#define LP_QUANTIZE_LEVELS_H

#include <lowp/format.h>

/* Finite values of an element in ascending order. Elements above 8 bits that are floats of the hardware have no list. */
typedef struct lp_levels {
    int n;            /* values in the list; 0: rounded as f16, bf16 or f32 */
    float *value;     /* [n] */
    uint32_t *code;   /* [n] */
    float *edge;      /* [n_edges], a power of two: x belongs to value i if edge[i-1] < x <= edge[i]; infinite at the end */
    int n_edges;
    bool is_uniform;  /* the values are consecutive integers from value[0] on */
    int bits;         /* of the element */
    float least, most; /* finite values */
} lp_levels;

/* Errors: LP_UNSUPPORTED (an element of more than 16 bits that is no float of the hardware), LP_RESOURCE. */
lp_status lp_levels_create(const lp_element *element, lp_levels **out);
void lp_levels_free(lp_levels *levels); /* NULL is allowed */

/* Index of the nearest value of a list: beyond its ends the end, between two as the element's rule for ties says; where both
 * codes or none are even, the smaller magnitude. x is no NaN. */
int lp_levels_nearest(const lp_levels *levels, float x);

/* Nearest code and its value; a float of the hardware may give an infinity. */
uint32_t lp_levels_round(const lp_levels *levels, float x, float *value);

/* Writes code i of a plane's row: bits [i*bits, (i+1)*bits) of dst, which were zero. */
void lp_code_write(uint8_t *dst, int bits, int64_t i, uint32_t code);

#endif
