/* Texts of tokens, and the token of a text. */
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "model/tokenizer/vocabulary.h"

uint64_t lp_hash_bytes(const void *data, size_t n)
{
    const uint64_t odd1 = UINT64_C(0x9e3779b97f4a7c15), odd2 = UINT64_C(0xd6e8feb86659fd93);
    const uint8_t *p = data;
    uint64_t h = n * odd1, word;
    for (; n >= 8; p += 8, n -= 8) {
        memcpy(&word, p, 8);
        h = (h ^ word) * odd2;
        h ^= h >> 32;
    }
    word = 0;
    for (size_t i = 0; i < n; i++) word |= (uint64_t)p[i] << (8 * i);
    h = (h ^ word) * odd2;
    h ^= h >> 32;
    h *= odd1;
    return h ^ h >> 29;
}

/* Bytes that stand for themselves: those that print in Latin-1, without the space and the soft hyphen. */
static bool prints(uint32_t byte) { return (byte > 0x20 && byte < 0x7f) || (byte > 0xa0 && byte != 0xad); }

uint32_t lp_byte_character(uint8_t byte)
{
    if (prints(byte)) return byte;
    if (byte <= 0x20) return 0x100u + byte;
    return byte == 0xad ? 0x143 : 0x121u + byte - 0x7f; /* 0x7f .. 0xa0 come after the 33 below 0x21 */
}

int lp_character_byte(uint32_t code_point)
{
    if (code_point < 0x100) return prints(code_point) ? (int)code_point : -1;
    if (code_point <= 0x120) return (int)code_point - 0x100;
    if (code_point <= 0x142) return (int)code_point - 0x121 + 0x7f;
    return code_point == 0x143 ? 0xad : -1;
}

int32_t lp_vocabulary_find(const lp_vocabulary *vocabulary, const void *text, size_t n)
{
    for (size_t at = lp_hash_bytes(text, n) & vocabulary->mask;; at = (at + 1) & vocabulary->mask) {
        int32_t id = vocabulary->slot[at];
        if (id < 0 || (vocabulary->text[id].n == n && !memcmp(vocabulary->text[id].data, text, n))) return id;
    }
}

lp_status lp_vocabulary_build(lp_vocabulary *vocabulary, lp_arena *arena, const lp_string *texts, int32_t n)
{
    size_t n_bytes = 0, n_slots = 16;
    for (int32_t i = 0; i < n; i++)
        if (!lp_add_size(n_bytes, texts[i].n, &n_bytes)) return lp_fail_memory(SIZE_MAX, "token texts");
    while (n_slots < 2 * (size_t)n) n_slots *= 2;
    char *data = lp_arena_alloc(arena, n_bytes);
    vocabulary->text = lp_arena_alloc_array(arena, (size_t)n, sizeof *vocabulary->text);
    vocabulary->slot = lp_arena_alloc_array(arena, n_slots, sizeof *vocabulary->slot);
    if (!data || !vocabulary->text || !vocabulary->slot) return LP_RESOURCE;
    vocabulary->n = n;
    vocabulary->mask = n_slots - 1;
    memset(vocabulary->slot, 0xff, n_slots * sizeof *vocabulary->slot);
    for (int32_t id = 0; id < n; id++) {
        if (texts[id].n) memcpy(data, texts[id].data, texts[id].n);
        vocabulary->text[id] = (lp_string){data, texts[id].n};
        data += texts[id].n;
        if (!texts[id].n || lp_vocabulary_find(vocabulary, texts[id].data, texts[id].n) >= 0) continue;
        size_t at = lp_hash_bytes(texts[id].data, texts[id].n) & vocabulary->mask;
        while (vocabulary->slot[at] >= 0) at = (at + 1) & vocabulary->mask;
        vocabulary->slot[at] = id;
    }
    return LP_OK;
}
