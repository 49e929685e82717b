/* Exact sums of products of float32: a fixed-point number wide enough for all of them (posit.md's quire for any format). */
#ifndef LP_FORMAT_QUIRE_H
#define LP_FORMAT_QUIRE_H

#include <stdbool.h>
#include <stdint.h>

/* Two's complement, limb 0 lowest, the last bit stands for 2^-298. Products reach 2^256: 86 bits are left for carries. */
enum { LP_QUIRE_LIMBS = 10 };
typedef struct lp_quire {
    uint64_t limb[LP_QUIRE_LIMBS];
    double special; /* sum of the terms that are not finite: NaN or infinite, or 0 */
} lp_quire;

void lp_quire_clear(lp_quire *quire);
void lp_quire_add(lp_quire *quire, float a, float b); /* + a b */

/* The sum as a float64, an inexact one with an odd last bit. */
double lp_quire_to_odd(const lp_quire *quire);

#endif
