/* SentencePiece's table of replacements. Card: runtime/unigram-and-tokenizer-json, precompiled charsmap. */
#include <string.h>

#include "base/fail.h"
#include "model/tokenizer/charsmap.h"
#include "model/tokenizer/unicode.h"

enum { LONGEST = 255 }; /* a cyclic array must not make a walk as long as the text */

lp_status lp_charsmap_build(lp_charsmap *charsmap, lp_arena *arena, const uint8_t *bytes, size_t n, const char *name)
{
    const char *key = "tokenizer.ggml.precompiled_charsmap";
    uint32_t n_trie = 0;
    *charsmap = (lp_charsmap){0};
    if (!n) return LP_OK;
    if (n > UINT32_MAX / 2) return lp_fail(LP_INPUT, "%s: %s: %zu bytes are too many", name, key, n);
    if (n >= 4) memcpy(&n_trie, bytes, 4);
    if (n < 4 || n_trie < 4 || n_trie % 4 || n_trie >= n - 4)
        return lp_fail(LP_INPUT, "%s: %s: %zu bytes do not hold a table of %u bytes and its replacements", name, key, n, n_trie);
    if (bytes[n - 1]) return lp_fail(LP_INPUT, "%s: %s: the last replacement has no end", name, key);
    if (lp_utf8_valid_prefix(bytes + 4 + n_trie, n - 4 - n_trie) < n - 4 - n_trie)
        return lp_fail(LP_INPUT, "%s: %s: a replacement is no UTF-8", name, key);
    uint8_t *copy = lp_arena_alloc_array(arena, n, 1);
    if (!copy) return LP_RESOURCE;
    memcpy(copy, bytes + 4, n - 4);
    *charsmap = (lp_charsmap){(const uint32_t *)(const void *)copy, n_trie / 4, (const char *)copy + n_trie, (uint32_t)(n - 4 - n_trie)};
    return LP_OK;
}

static uint32_t offset_of(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

size_t lp_charsmap_find(const lp_charsmap *charsmap, const uint8_t *text, size_t n, lp_string *replacement)
{
    size_t found = 0;
    if (!charsmap->n_units) return 0;
    uint32_t at = offset_of(charsmap->unit[0]);
    for (size_t i = 0; i < n && i < LONGEST && text[i]; i++) {
        at ^= text[i];
        if (at >= charsmap->n_units || (charsmap->unit[at] & 0x800000ff) != text[i]) break;
        uint32_t unit = charsmap->unit[at];
        at ^= offset_of(unit);
        if (!(unit & 0x100)) continue;
        if (at >= charsmap->n_units) break;
        uint32_t value = charsmap->unit[at] & 0x7fffffff;
        /* A replacement begins with a character. */
        if (value >= charsmap->n_text || ((uint8_t)charsmap->text[value] & 0xc0) == 0x80) break;
        *replacement = (lp_string){charsmap->text + value, strlen(charsmap->text + value)};
        found = i + 1;
    }
    return lp_utf8_valid_prefix(text, found) == found ? found : 0; /* nor is half a character replaced */
}
