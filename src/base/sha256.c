/* SHA-256 (FIPS 180-4): padding, the portable compression function and the choice of a faster one. */
#include "base/sha256.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

const uint32_t lp_sha256_constants[64] = {
    0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
    0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
    0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
    0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
    0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
    0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
    0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
    0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2};

static inline uint32_t rotate(uint32_t x, int n) { return x >> n | x << (32 - n); }

static inline uint32_t read_big_endian(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline void write_big_endian(uint8_t *p, uint32_t x)
{
    p[0] = (uint8_t)(x >> 24);
    p[1] = (uint8_t)(x >> 16);
    p[2] = (uint8_t)(x >> 8);
    p[3] = (uint8_t)x;
}

void lp_sha256_blocks_portable(uint32_t state[8], const uint8_t *data, size_t n_blocks)
{
    for (; n_blocks; n_blocks--, data += 64) {
        uint32_t w[64];
        for (int t = 0; t < 16; t++) w[t] = read_big_endian(data + 4 * t);
        for (int t = 16; t < 64; t++) {
            uint32_t s0 = rotate(w[t - 15], 7) ^ rotate(w[t - 15], 18) ^ w[t - 15] >> 3;
            uint32_t s1 = rotate(w[t - 2], 17) ^ rotate(w[t - 2], 19) ^ w[t - 2] >> 10;
            w[t] = s1 + w[t - 7] + s0 + w[t - 16];
        }
        uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
        uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
        for (int t = 0; t < 64; t++) {
            uint32_t t1 = h + (rotate(e, 6) ^ rotate(e, 11) ^ rotate(e, 25)) + ((e & f) ^ (~e & g)) +
                          lp_sha256_constants[t] + w[t];
            uint32_t t2 = (rotate(a, 2) ^ rotate(a, 13) ^ rotate(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));
            h = g;
            g = f;
            f = e;
            e = d + t1;
            d = c;
            c = b;
            b = a;
            a = t1 + t2;
        }
        state[0] += a;
        state[1] += b;
        state[2] += c;
        state[3] += d;
        state[4] += e;
        state[5] += f;
        state[6] += g;
        state[7] += h;
    }
}

static void blocks(uint32_t state[8], const uint8_t *data, size_t n_blocks)
{
    static _Atomic int fast = -1; /* whether the processor has the instructions; -1: not asked yet */
    int known = atomic_load_explicit(&fast, memory_order_relaxed);
    if (known < 0) {
        known = lp_sha256_has_instructions();
        atomic_store_explicit(&fast, known, memory_order_relaxed);
    }
    if (known) lp_sha256_blocks_instructions(state, data, n_blocks);
    else lp_sha256_blocks_portable(state, data, n_blocks);
}

void lp_sha256_begin(lp_sha256 *hash)
{
    *hash = (lp_sha256){.state = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, /* fractions of sqrt(2), sqrt(3), ... */
                                  0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19}};
}

void lp_sha256_add(lp_sha256 *hash, const void *data, size_t n)
{
    if (n == 0) return; /* data may be NULL */
    const uint8_t *p = data;
    size_t n_held = hash->n_bytes % 64;
    hash->n_bytes += n;
    if (n_held) {
        size_t n_fill = 64 - n_held < n ? 64 - n_held : n;
        memcpy(hash->block + n_held, p, n_fill);
        if (n_held + n_fill < 64) return;
        blocks(hash->state, hash->block, 1);
        p += n_fill;
        n -= n_fill;
    }
    if (n / 64) blocks(hash->state, p, n / 64);
    memcpy(hash->block, p + n / 64 * 64, n % 64);
}

void lp_sha256_end(lp_sha256 *hash, char hex[65])
{
    static const uint8_t padding[64] = {0x80};
    uint64_t n_bits = hash->n_bytes * 8;
    uint8_t length[8];
    write_big_endian(length, (uint32_t)(n_bits >> 32));
    write_big_endian(length + 4, (uint32_t)n_bits);
    lp_sha256_add(hash, padding, 1 + (119 - hash->n_bytes % 64) % 64);
    lp_sha256_add(hash, length, sizeof length);
    for (int i = 0; i < 64; i++) hex[i] = "0123456789abcdef"[hash->state[i / 8] >> (28 - i % 8 * 4) & 15];
    hex[64] = 0;
}
