/* UTF-8: what is well formed, and streams that must not show half a character. */
#include <string.h>

#include <lowp/tokenizer.h>

#include "model/tokenizer/unicode.h"

/* Length that a lead byte announces; 0: none can start here. */
static size_t announced(uint8_t lead)
{
    if (lead < 0x80) return 1;
    if (lead < 0xc2) return 0; /* continuation bytes; C0 and C1 only begin overlong forms */
    if (lead < 0xe0) return 2;
    if (lead < 0xf0) return 3;
    return lead < 0xf5 ? 4 : 0;
}

/* The second byte excludes overlong forms, surrogates and code points above U+10FFFF. */
static bool second_fits(uint8_t lead, uint8_t second)
{
    switch (lead) {
    case 0xe0: return second >= 0xa0 && second <= 0xbf;
    case 0xed: return second >= 0x80 && second <= 0x9f;
    case 0xf0: return second >= 0x90 && second <= 0xbf;
    case 0xf4: return second >= 0x80 && second <= 0x8f;
    default: return second >= 0x80 && second <= 0xbf;
    }
}

size_t lp_utf8_length(const uint8_t *text, size_t n)
{
    size_t length = announced(text[0]);
    if (length <= 1) return length;
    if (length > n || !second_fits(text[0], text[1])) return 0;
    for (size_t i = 2; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    return length;
}

size_t lp_utf8_valid_prefix(const uint8_t *text, size_t n)
{
    size_t at = 0;
    while (at < n) {
        uint64_t eight;
        if (n - at >= 8 && (memcpy(&eight, text + at, 8), !(eight & UINT64_C(0x8080808080808080)))) {
            at += 8;
            continue;
        }
        size_t length = lp_utf8_length(text + at, n - at);
        if (!length) break;
        at += length;
    }
    return at;
}

size_t lp_utf8_encode(uint32_t c, uint8_t out[4])
{
    if (c < 0x800) return (size_t)lp_utf8_encode_short(c, out);
    size_t k = 0;
    if (c >= 0x10000) {
        out[k++] = (uint8_t)(0xf0 | c >> 18);
        out[k++] = (uint8_t)(0x80 | (c >> 12 & 63));
    } else {
        out[k++] = (uint8_t)(0xe0 | c >> 12);
    }
    out[k++] = (uint8_t)(0x80 | (c >> 6 & 63));
    out[k++] = (uint8_t)(0x80 | (c & 63));
    return k;
}

/* Bytes at the end of text that begin a well-formed sequence without completing it: 0 to 3. */
static size_t incomplete_tail(const uint8_t *text, size_t n)
{
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        const uint8_t *p = text + n - back;
        if ((*p & 0xc0) == 0x80) continue;
        return announced(*p) > back && (back == 1 || second_fits(p[0], p[1])) ? back : 0;
    }
    return 0;
}

size_t lp_utf8_stream_push(lp_utf8_stream *stream, const char *bytes, size_t n, char *out)
{
    size_t held = (size_t)stream->n_held;
    memcpy(out, stream->held, held);
    if (n) memcpy(out + held, bytes, n);
    size_t total = held + n, keep = n ? incomplete_tail((const uint8_t *)out, total) : 0;
    memcpy(stream->held, out + total - keep, keep);
    stream->n_held = (int)keep;
    return total - keep;
}
