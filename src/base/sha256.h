/* SHA-256 (FIPS 180-4). */
#ifndef LP_BASE_SHA256_H
#define LP_BASE_SHA256_H

#include <stdbool.h>
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

/* The compression function over whole blocks: the portable one, and the one in the processor's instructions, to be
 * called only where it has them. Both give the same bits; the functions above choose. */
void lp_sha256_blocks_portable(uint32_t state[8], const uint8_t *data, size_t n_blocks);
bool lp_sha256_has_instructions(void);
void lp_sha256_blocks_instructions(uint32_t state[8], const uint8_t *data, size_t n_blocks);
extern const uint32_t lp_sha256_constants[64];

#endif
