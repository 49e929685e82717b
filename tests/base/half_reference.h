/* f32 to f16 from the definition: values and midpoints as doubles, which hold both exactly. Shares nothing with half.h. */
#ifndef LP_TESTS_HALF_REFERENCE_H
#define LP_TESTS_HALF_REFERENCE_H

#include <math.h>
#include <stdint.h>

enum { F16_INFINITY = 0x7c00 };

/* The value of a positive f16; of infinity: 2^16, where the next value would stand. */
static inline double f16_value(unsigned h)
{
    int exponent = (int)(h >> 10), mantissa = (int)(h & 1023);
    return exponent ? ldexp(1024 + mantissa, exponent - 25) : ldexp(mantissa, -24);
}

/* Nearest-even of a positive value between the f16 `low` and its upper neighbour. */
static inline unsigned f16_nearest(double v, unsigned low)
{
    double middle = (f16_value(low) + f16_value(low + 1)) / 2;
    return v < middle || (v == middle && low % 2 == 0) ? low : low + 1;
}

#endif
