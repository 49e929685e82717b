/* The code books of the IQ formats: patterns of small levels, in the order of their indices. */
#ifndef LP_FORMAT_CODEBOOK_H
#define LP_FORMAT_CODEBOOK_H

#include <stdint.h>

/* Eight levels 0 .. 2 of 2 bits each, element 0 lowest. */
extern const uint16_t lp_codebook_iq2_xxs[256], lp_codebook_iq2_xs[512], lp_codebook_iq2_s[1024], lp_codebook_iq1[2048];
/* Four levels 0 .. 7 of 3 bits each. */
extern const uint16_t lp_codebook_iq3_xxs[256], lp_codebook_iq3_s[512];

#endif
