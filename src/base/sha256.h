/* SHA-256 (FIPS 180-4). */
#ifndef LP_BASE_SHA256_H
#define LP_BASE_SHA256_H

#include <stddef.h>
#include <stdint.h>

typedef struct lp_sha256 {
    uint32_t state[8];
    uint64_t n_bytes;
    uint8_t block[64];
} lp_sha256;

void lp_sha256_begin(lp_sha256 *hash);
void lp_sha256_add(lp_sha256 *hash, const void *data, size_t n);
void lp_sha256_end(lp_sha256 *hash, char hex[65]); /* lower case, NUL-terminated */

#endif
