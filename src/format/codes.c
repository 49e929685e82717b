/* Strings of codes of 1 to 32 bits, by plain C. */
#include "format/codes.h"

#include "format/codes_template.h"

void lp_codes_pack(const uint32_t *codes, int64_t n, int bits, uint8_t *bytes) { pack_codes(codes, n, bits, bytes); }

void lp_codes_unpack(const uint8_t *bytes, int64_t n, int bits, uint32_t *codes) { unpack_codes(bytes, n, bits, codes); }
