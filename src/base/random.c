/* Philox4x32-10 and MT19937. */
#include "base/random.h"

/* Salmon, Moraes, Dror, Shaw: Parallel random numbers: as easy as 1, 2, 3 (SC11). */
void lp_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3], k0 = key[0], k1 = key[1];
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xd2511f53u * c0, p1 = (uint64_t)0xcd9e8d57u * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9e3779b9u; /* golden ratio */
        k1 += 0xbb67ae85u; /* sqrt(3) - 1 */
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

uint32_t lp_random_word(uint64_t seed, uint64_t index, uint32_t tensor, uint32_t step, uint32_t purpose, uint32_t member)
{
    uint32_t counter[4] = {(uint32_t)(index / 4), tensor, step, purpose << 24 | member};
    uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, out[4];
    lp_philox(counter, key, out);
    return out[index % 4];
}

uint32_t lp_tensor_word(const char *name)
{
    uint32_t hash = 0x811c9dc5u;
    for (; *name; name++) hash = (hash ^ (uint8_t)*name) * 0x01000193u;
    return hash;
}

enum { MT_N = 624, MT_M = 397 };

void lp_mt19937_seed(lp_mt19937 *mt, uint32_t seed)
{
    mt->state[0] = seed;
    for (uint32_t i = 1; i < MT_N; i++) {
        uint32_t before = mt->state[i - 1];
        mt->state[i] = 1812433253u * (before ^ before >> 30) + i;
    }
    mt->at = MT_N;
}

/* All 624 words of the next state. */
static void twist(lp_mt19937 *mt)
{
    for (int i = 0; i < MT_N; i++) {
        uint32_t y = (mt->state[i] & 0x80000000u) | (mt->state[(i + 1) % MT_N] & 0x7fffffffu);
        mt->state[i] = mt->state[(i + MT_M) % MT_N] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
    }
    mt->at = 0;
}

uint32_t lp_mt19937_next(lp_mt19937 *mt)
{
    if (mt->at >= MT_N) twist(mt);
    uint32_t y = mt->state[mt->at++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680u;
    y ^= y << 15 & 0xefc60000u;
    return y ^ y >> 18;
}

double lp_mt19937_uniform(lp_mt19937 *mt)
{
    uint64_t low = lp_mt19937_next(mt), high = lp_mt19937_next(mt);
    double u = (double)(high << 32 | low) * 0x1p-64;
    return u < 1 ? u : 0x1.fffffffffffffp-1;
}
