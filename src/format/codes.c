/* Strings of codes of 1 to 32 bits. */
#include "format/codes.h"

#include <string.h>

void lp_codes_pack(const uint32_t *codes, int64_t n, int bits, uint8_t *bytes)
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
    if (bits == 4) {
        for (int64_t i = 0; i + 1 < n; i += 2) bytes[i / 2] = (uint8_t)(codes[i] | codes[i + 1] << 4);
        if (n % 2) bytes[n / 2] = (uint8_t)codes[n - 1];
        return;
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

void lp_codes_unpack(const uint8_t *bytes, int64_t n, int bits, uint32_t *codes)
{
    if (bits == 8) {
        for (int64_t i = 0; i < n; i++) codes[i] = bytes[i];
        return;
    }
    if (bits == 4) {
        for (int64_t i = 0; i < n; i++) codes[i] = i % 2 ? bytes[i / 2] >> 4 : bytes[i / 2] & 15;
        return;
    }
    uint64_t waiting = 0;
    int n_waiting = 0;
    const uint64_t mask = (UINT64_C(1) << bits) - 1;
    for (int64_t i = 0; i < n; i++) {
        for (; n_waiting < bits; n_waiting += 8) waiting |= (uint64_t)*bytes++ << n_waiting;
        codes[i] = (uint32_t)(waiting & mask);
        waiting >>= bits;
        n_waiting -= bits;
    }
}
