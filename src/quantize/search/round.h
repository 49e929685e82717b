/* Rounding as the reference searches do it. */
#ifndef LP_QUANTIZE_SEARCH_ROUND_H
#define LP_QUANTIZE_SEARCH_ROUND_H

#include "base/half.h"

/* Nearest integer, ties to even, for |v| <= 4194303; beyond it what the bits give, which degenerate blocks rely on. */
static inline int nearest(float v)
{
    return (int)(lp_f32_bits(v + 12582912.0f) & 0x7fffffu) - 0x400000;
}

static inline int clamp(int v, int low, int high)
{
    v = v < high ? v : high;
    return v > low ? v : low;
}

#endif
