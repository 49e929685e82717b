/* Strings of codes of 1 to 32 bits: plain loops, which the file of each instruction set includes. */
#include <stdint.h>
#include <string.h>

/* Eight codes of at most 8 bits are `bits` bytes: shifts of all at once instead of one after the other. */
#define EIGHT_BYTES(BITS)                                                                                               \
    static void pack_##BITS(const uint32_t *restrict codes, int64_t n_groups, uint8_t *restrict bytes)                  \
    {                                                                                                                   \
        for (int64_t g = 0; g < n_groups; g++, codes += 8, bytes += BITS) {                                             \
            uint32_t low = codes[0] | codes[1] << BITS | codes[2] << 2 * BITS | codes[3] << 3 * BITS;                   \
            uint32_t high = codes[4] | codes[5] << BITS | codes[6] << 2 * BITS | codes[7] << 3 * BITS;                  \
            uint64_t word = low | (uint64_t)high << 4 * BITS;                                                           \
            memcpy(bytes, &word, BITS);                                                                                 \
        }                                                                                                               \
    }                                                                                                                   \
    static void unpack_##BITS(const uint8_t *restrict bytes, int64_t n_groups, uint32_t *restrict codes)                \
    {                                                                                                                   \
        for (; n_groups > 0; n_groups--, codes += 8, bytes += BITS) {                                                   \
            uint64_t word = 0;                                                                                          \
            if (n_groups * BITS >= 8) memcpy(&word, bytes, 8); /* one load; bits of the next group are masked away */    \
            else memcpy(&word, bytes, BITS);                                                                            \
            uint32_t low = (uint32_t)word, high = (uint32_t)(word >> 4 * BITS);                                         \
            for (int i = 0; i < 4; i++) codes[i] = low >> i * BITS & ((1u << BITS) - 1);                                \
            for (int i = 0; i < 4; i++) codes[4 + i] = high >> i * BITS & ((1u << BITS) - 1);                           \
        }                                                                                                               \
    }
EIGHT_BYTES(1)
EIGHT_BYTES(2)
EIGHT_BYTES(3)
EIGHT_BYTES(5)
EIGHT_BYTES(6)
EIGHT_BYTES(7)

typedef struct width {
    void (*pack)(const uint32_t *restrict codes, int64_t n_groups, uint8_t *restrict bytes);
    void (*unpack)(const uint8_t *restrict bytes, int64_t n_groups, uint32_t *restrict codes);
} width;

static const width narrow[8] = {{0},
                                {pack_1, unpack_1}, {pack_2, unpack_2}, {pack_3, unpack_3}, {0},
                                {pack_5, unpack_5}, {pack_6, unpack_6}, {pack_7, unpack_7}};

static void pack_codes(const uint32_t *restrict codes, int64_t n, int bits, uint8_t *restrict bytes)
{
    if (bits == 8) {
        for (int64_t i = 0; i < n; i++) bytes[i] = (uint8_t)codes[i];
        return;
    }
    if (bits == 16) {
        for (int64_t i = 0; i < n; i++) {
            uint16_t half = (uint16_t)codes[i];
            memcpy(bytes + 2 * i, &half, 2);
        }
        return;
    }
    if (bits == 4) { /* pairs as one number each, so that the loop becomes vectors */
        for (int64_t i = 0; i < n / 2; i++) {
            uint64_t pair;
            memcpy(&pair, codes + 2 * i, 8);
            bytes[i] = (uint8_t)(pair | pair >> 28);
        }
        if (n % 2) bytes[n / 2] = (uint8_t)codes[n - 1];
        return;
    }
    if (bits < 8) {
        narrow[bits].pack(codes, n / 8, bytes);
        codes += n / 8 * 8;
        bytes += n / 8 * bits;
        n %= 8;
    }
    uint64_t waiting = 0; /* bits that have not been written, from the lowest */
    int n_waiting = 0;
    for (int64_t i = 0; i < n; i++) {
        waiting |= (uint64_t)codes[i] << n_waiting;
        n_waiting += bits;
        if (n_waiting >= 32) {
            uint32_t word = (uint32_t)waiting;
            memcpy(bytes, &word, 4);
            bytes += 4;
            waiting >>= 32;
            n_waiting -= 32;
        }
    }
    for (; n_waiting > 0; n_waiting -= 8, waiting >>= 8) *bytes++ = (uint8_t)waiting;
}

static void unpack_codes(const uint8_t *restrict bytes, int64_t n, int bits, uint32_t *restrict codes)
{
    if (bits == 8) {
        for (int64_t i = 0; i < n; i++) codes[i] = bytes[i];
        return;
    }
    if (bits == 16) {
        for (int64_t i = 0; i < n; i++) {
            uint16_t half;
            memcpy(&half, bytes + 2 * i, 2);
            codes[i] = half;
        }
        return;
    }
    if (bits == 4) {
        for (int64_t i = 0; i < n / 2; i++) {
            uint64_t pair = (bytes[i] & 15) | (uint64_t)(bytes[i] >> 4) << 32;
            memcpy(codes + 2 * i, &pair, 8);
        }
        if (n % 2) codes[n - 1] = bytes[n / 2] & 15;
        return;
    }
    if (bits < 8) {
        narrow[bits].unpack(bytes, n / 8, codes);
        codes += n / 8 * 8;
        bytes += n / 8 * bits;
        n %= 8;
    }
    const uint64_t mask = (UINT64_C(1) << bits) - 1;
    int64_t n_bytes = (n * bits + 7) / 8, n_wide = n_bytes < 8 ? 0 : ((n_bytes - 8) * 8 + 7) / bits + 1;
    if (n_wide > n) n_wide = n;
    for (int64_t i = 0; i < n_wide; i++) { /* each by a load of its own while eight bytes remain */
        uint64_t word;
        memcpy(&word, bytes + i * bits / 8, 8);
        codes[i] = (uint32_t)(word >> i * bits % 8 & mask);
    }
    uint64_t waiting = 0;
    int n_waiting = 0;
    if (n_wide < n) {
        bytes += n_wide * bits / 8;
        int used = (int)(n_wide * bits % 8);
        if (used) {
            waiting = (uint64_t)*bytes++ >> used;
            n_waiting = 8 - used;
        }
    }
    for (int64_t i = n_wide; i < n; i++) {
        for (; n_waiting < bits; n_waiting += 8) waiting |= (uint64_t)*bytes++ << n_waiting;
        codes[i] = (uint32_t)(waiting & mask);
        waiting >>= bits;
        n_waiting -= bits;
    }
}
