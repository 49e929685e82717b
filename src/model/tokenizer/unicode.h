/* Code points and their categories, as the scanners of the pre-tokenizers need them. */
#ifndef LP_MODEL_TOKENIZER_UNICODE_H
#define LP_MODEL_TOKENIZER_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* General categories, in the order of tools/unicode_table.py. The controls that count as white space stand apart from
 * Cc, so that every class of the patterns is a set of categories. */
enum lp_category {
    LP_LU, LP_LL, LP_LT, LP_LM, LP_LO, LP_MN, LP_MC, LP_ME, LP_ND, LP_NL, LP_NO, LP_PC, LP_PD, LP_PS, LP_PE, LP_PI,
    LP_PF, LP_PO, LP_SM, LP_SC, LP_SK, LP_SO, LP_ZS, LP_ZL, LP_ZP, LP_CC, LP_CF, LP_CS, LP_CO, LP_CN,
    LP_NEWLINE,       /* U+000A, U+000D */
    LP_CONTROL_SPACE, /* U+0009, U+000B, U+000C, U+0085 */
    LP_CATEGORY_COUNT
};
_Static_assert(LP_CATEGORY_COUNT == 32, "a set of categories is a uint32_t");

/* Sets of categories. */
#define LP_SET(category) (UINT32_C(1) << (category))
#define LP_LETTERS (LP_SET(LP_LU) | LP_SET(LP_LL) | LP_SET(LP_LT) | LP_SET(LP_LM) | LP_SET(LP_LO)) /* \p{L} */
#define LP_MARKS (LP_SET(LP_MN) | LP_SET(LP_MC) | LP_SET(LP_ME))                                   /* \p{M} */
#define LP_NUMBERS (LP_SET(LP_ND) | LP_SET(LP_NL) | LP_SET(LP_NO))                                 /* \p{N} */
#define LP_PUNCTUATION \
    (LP_SET(LP_PC) | LP_SET(LP_PD) | LP_SET(LP_PS) | LP_SET(LP_PE) | LP_SET(LP_PI) | LP_SET(LP_PF) | LP_SET(LP_PO)) /* \p{P} */
#define LP_SYMBOLS (LP_SET(LP_SM) | LP_SET(LP_SC) | LP_SET(LP_SK) | LP_SET(LP_SO)) /* \p{S} */
#define LP_NEWLINES LP_SET(LP_NEWLINE)                                                             /* [\r\n] */
#define LP_SPACES \
    (LP_SET(LP_ZS) | LP_SET(LP_ZL) | LP_SET(LP_ZP) | LP_NEWLINES | LP_SET(LP_CONTROL_SPACE)) /* \s */

/* Two stages: block of 256 code points, then the category. */
extern const uint8_t lp_category_block[0x110000 / 256];
extern const uint8_t lp_category_of[];

static inline uint32_t lp_category_set(uint32_t code_point)
{
    return LP_SET(lp_category_of[(size_t)lp_category_block[code_point >> 8] * 256 + (code_point & 255)]);
}

/* A code point that becomes others; 0 in `to`: no more. Sorted by `from`. */
typedef struct lp_mapping {
    uint32_t from, to[3];
} lp_mapping;
extern const lp_mapping lp_unaccented[], lp_lower[];
extern const size_t lp_n_unaccented, lp_n_lower;

/* Bytes of the well-formed UTF-8 sequence at text[0..n), n >= 1; 0 if there is none: a lone continuation byte, a
 * truncated or overlong sequence, a surrogate, a code point above U+10FFFF. */
size_t lp_utf8_length(const uint8_t *text, size_t n);

/* Bytes at the start of text that are well-formed UTF-8. */
size_t lp_utf8_valid_prefix(const uint8_t *text, size_t n);

/* Code point of a well-formed sequence; *next is its end. */
static inline uint32_t lp_utf8_decode(const uint8_t *text, size_t at, size_t *next)
{
    const uint8_t *p = text + at;
    if (p[0] < 0x80) return *next = at + 1, p[0];
    if (p[0] < 0xe0) return *next = at + 2, (uint32_t)(p[0] & 31) << 6 | (p[1] & 63);
    if (p[0] < 0xf0) return *next = at + 3, (uint32_t)(p[0] & 15) << 12 | (uint32_t)(p[1] & 63) << 6 | (p[2] & 63);
    return *next = at + 4,
           (uint32_t)(p[0] & 7) << 18 | (uint32_t)(p[1] & 63) << 12 | (uint32_t)(p[2] & 63) << 6 | (p[3] & 63);
}

/* Writes a code point below 0x800 (the byte characters and their kind need no more); returns 1 or 2. */
static inline int lp_utf8_encode_short(uint32_t code_point, uint8_t *out)
{
    if (code_point < 0x80) return out[0] = (uint8_t)code_point, 1;
    out[0] = (uint8_t)(0xc0 | code_point >> 6);
    out[1] = (uint8_t)(0x80 | (code_point & 63));
    return 2;
}

/* Writes a code point; returns 1 to 4. */
size_t lp_utf8_encode(uint32_t code_point, uint8_t out[4]);

#endif
