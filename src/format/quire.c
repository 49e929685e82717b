/* Exact sums of products of float32. */
#include "format/quire.h"

#include <math.h>
#include <string.h>

#include "format/rounder.h"

enum { LAST_BIT = -298 };

void lp_quire_clear(lp_quire *q) { memset(q, 0, sizeof *q); }

/* Adds an integer of 64 bits at a bit position, or subtracts it. */
static void add_at(lp_quire *q, uint64_t value, int position, bool minus)
{
    unsigned __int128 wide = (unsigned __int128)value << position % 64;
    uint64_t part[2] = {(uint64_t)wide, (uint64_t)(wide >> 64)};
    bool carry = false;
    for (int i = position / 64, p = 0; i < LP_QUIRE_LIMBS; i++, p++) {
        uint64_t add = p < 2 ? part[p] : 0, result;
        bool out;
        if (minus) {
            out = __builtin_sub_overflow(q->limb[i], add, &result);
            out |= __builtin_sub_overflow(result, (uint64_t)carry, &result);
        } else {
            out = __builtin_add_overflow(q->limb[i], add, &result);
            out |= __builtin_add_overflow(result, (uint64_t)carry, &result);
        }
        q->limb[i] = result;
        carry = out;
        if (p >= 2 && !carry) break;
    }
}

void lp_quire_add(lp_quire *q, float a, float b)
{
    double product = (double)a * (double)b; /* exact: 48 bits */
    if (product == 0) return;
    if (!isfinite(product)) {
        q->special += product;
        return;
    }
    uint64_t bits;
    memcpy(&bits, &product, sizeof bits);
    uint64_t significand = (bits & ((UINT64_C(1) << 52) - 1)) | UINT64_C(1) << 52;
    int position = (int)(bits >> 52 & 2047) - 1023 - 52 - LAST_BIT;
    if (position < 0) { /* the bits that are cut are zeros: the product is a multiple of 2^-298 */
        significand >>= -position;
        position = 0;
    }
    add_at(q, significand, position, bits >> 63);
}

double lp_quire_to_odd(const lp_quire *quire)
{
    lp_quire q = *quire;
    if (q.special != 0) return q.special; /* NaN too */
    bool minus = q.limb[LP_QUIRE_LIMBS - 1] >> 63;
    if (minus) {
        bool carry = true;
        for (int i = 0; i < LP_QUIRE_LIMBS; i++) carry = __builtin_add_overflow(~q.limb[i], (uint64_t)carry, &q.limb[i]);
    }
    int top = LP_QUIRE_LIMBS - 1;
    while (top >= 0 && q.limb[top] == 0) top--;
    if (top < 0) return 0;
    int zeros = __builtin_clzll(q.limb[top]);
    uint64_t high = q.limb[top] << zeros; /* 64 bits from the leading one */
    if (zeros && top) high |= q.limb[top - 1] >> (64 - zeros);
    bool rest = top && zeros && q.limb[top - 1] << zeros;
    if (top && !zeros) rest = q.limb[top - 1] != 0;
    for (int i = 0; i < top - 1; i++) rest |= q.limb[i] != 0;
    uint64_t significand = high >> 11; /* 53 bits */
    significand |= (high & 2047) != 0 || rest;
    double value = (double)significand * lp_power_of_two(top * 64 + 63 - zeros - 52 + LAST_BIT);
    return minus ? -value : value;
}
