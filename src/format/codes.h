/* Strings of codes of 1 to 32 bits, the first in the lowest bits of the first byte (arbitrary-bitwidth.md). */
#ifndef LP_FORMAT_CODES_H
#define LP_FORMAT_CODES_H

#include <stdint.h>

/* n codes at whole bytes: bytes has room for (n bits + 7) / 8. */
void lp_codes_pack(const uint32_t *codes, int64_t n, int bits, uint8_t *bytes);
void lp_codes_unpack(const uint8_t *bytes, int64_t n, int bits, uint32_t *codes);

#endif
