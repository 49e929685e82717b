/* Sets of names from untrusted files: a hash table with SipHash-1-3 (Aumasson and Bernstein 2012) under a random key. */
#include "file/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "base/fail.h"
#include "base/half.h"

static inline uint64_t rotate(uint64_t x, int n) { return (x << n) | (x >> (64 - n)); }

static inline void sip_round(uint64_t v[4])
{
    v[0] += v[1];
    v[2] += v[3];
    v[1] = rotate(v[1], 13) ^ v[0];
    v[3] = rotate(v[3], 16) ^ v[2];
    v[0] = rotate(v[0], 32) + v[3];
    v[2] += v[1];
    v[3] = rotate(v[3], 21) ^ v[0];
    v[1] = rotate(v[1], 17) ^ v[2];
    v[2] = rotate(v[2], 32);
}

static uint64_t hash_name(const uint64_t seed[2], lp_string name)
{
    uint64_t v[4] = {seed[0] ^ 0x736f6d6570736575u, seed[1] ^ 0x646f72616e646f6du, seed[0] ^ 0x6c7967656e657261u,
                     seed[1] ^ 0x7465646279746573u};
    const uint8_t *p = (const uint8_t *)name.data;
    size_t n_words = name.n / 8;
    for (size_t i = 0; i < n_words; i++, p += 8) {
        uint64_t word = lp_read_u64(p);
        v[3] ^= word;
        sip_round(v);
        v[0] ^= word;
    }
    uint64_t last = (uint64_t)name.n << 56;
    for (size_t i = 0; i < name.n % 8; i++) last |= (uint64_t)p[i] << (8 * i);
    v[3] ^= last;
    sip_round(v);
    v[0] ^= last;
    v[2] ^= 0xff;
    for (int i = 0; i < 3; i++) sip_round(v);
    return v[0] ^ v[1] ^ v[2] ^ v[3];
}

static void draw_seed(uint64_t seed[2])
{
    if (getrandom(seed, 16, GRND_NONBLOCK) == 16) return;
    /* Early in boot there is no entropy yet: the time and the address space layout must do. */
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    seed[0] = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15u ^ (uint64_t)now.tv_sec;
    seed[1] = (uint64_t)(uintptr_t)seed * 0xd6e8feb86659fd93u;
}

static bool same(lp_string a, lp_string b) { return a.n == b.n && (a.n == 0 || memcmp(a.data, b.data, a.n) == 0); }

/* The slot that holds the name, or the free one where it belongs. At least half of the slots are free. */
static size_t find_slot(const lp_names *names, lp_string name, uint32_t hash)
{
    size_t mask = 2 * (size_t)names->capacity - 1, at = hash & mask;
    for (;; at = (at + 1) & mask) {
        uint64_t slot = names->slot[at];
        if (slot == 0) return at;
        if ((uint32_t)(slot >> 32) == hash && same(names->name[(uint32_t)slot - 1], name)) return at;
    }
}

static lp_status grow(lp_names *names)
{
    if (names->capacity == 0) draw_seed(names->seed);
    if (names->capacity >= UINT32_C(1) << 30) return lp_fail_memory(SIZE_MAX, "an index of names");
    uint32_t capacity = names->capacity ? 2 * names->capacity : 16;
    size_t n_slots = 2 * (size_t)capacity;
    lp_string *name = realloc(names->name, capacity * sizeof *name);
    if (!name) return lp_fail_memory(capacity * sizeof *name, "an index of names");
    names->name = name;
    uint64_t *slot = calloc(n_slots, sizeof *slot);
    if (!slot) return lp_fail_memory(n_slots * sizeof *slot, "an index of names");
    /* A slot keeps 32 bits of the hash: enough to place it in any table that 2^30 names can need. */
    for (size_t i = 0; i < 2 * (size_t)names->capacity; i++) {
        if (names->slot[i] == 0) continue;
        size_t at = (names->slot[i] >> 32) & (n_slots - 1);
        while (slot[at]) at = (at + 1) & (n_slots - 1);
        slot[at] = names->slot[i];
    }
    free(names->slot);
    names->slot = slot;
    names->capacity = capacity;
    return LP_OK;
}

lp_status lp_names_add(lp_names *names, lp_string name, uint32_t *index, bool *is_new)
{
    if (names->n == names->capacity) LP_TRY(grow(names));
    uint32_t hash = (uint32_t)(hash_name(names->seed, name) >> 32);
    size_t at = find_slot(names, name, hash);
    *is_new = names->slot[at] == 0;
    if (*is_new) {
        names->name[names->n++] = name;
        names->slot[at] = (uint64_t)hash << 32 | names->n;
    }
    *index = (uint32_t)names->slot[at] - 1;
    return LP_OK;
}

int64_t lp_names_find(const lp_names *names, lp_string name)
{
    if (names->n == 0) return -1;
    uint64_t slot = names->slot[find_slot(names, name, (uint32_t)(hash_name(names->seed, name) >> 32))];
    return slot ? (int64_t)(uint32_t)slot - 1 : -1;
}

void lp_names_free(lp_names *names)
{
    free(names->name);
    free(names->slot);
    *names = (lp_names){0};
}

bool lp_name_is_text(lp_string name)
{
    const uint8_t *p = (const uint8_t *)name.data, *end = p + name.n;
    while (p < end) {
        uint8_t c = *p++;
        if (c == 0) return false;
        if (c < 0x80) continue;
        /* Lead byte: number of continuation bytes, and the range of the first one (Unicode, table 3-7), which excludes
         * overlong forms, surrogates and values above 10FFFF. */
        int n;
        uint8_t low = 0x80, high = 0xbf;
        if (c >= 0xc2 && c <= 0xdf) n = 1;
        else if (c >= 0xe0 && c <= 0xef) n = 2;
        else if (c >= 0xf0 && c <= 0xf4) n = 3;
        else return false;
        if (c == 0xe0) low = 0xa0;
        if (c == 0xed) high = 0x9f;
        if (c == 0xf0) low = 0x90;
        if (c == 0xf4) high = 0x8f;
        if (end - p < n) return false;
        for (int i = 0; i < n; i++, p++) {
            if (*p < low || *p > high) return false;
            low = 0x80;
            high = 0xbf;
        }
    }
    return true;
}

const char *lp_name_printable(lp_string name, char buffer[LP_PRINTABLE])
{
    size_t at = 0;
    for (size_t i = 0; i < name.n; i++) {
        uint8_t c = (uint8_t)name.data[i];
        bool plain = c >= 0x20 && c < 0x7f;
        size_t need = plain ? 1 : 4;
        if (at + need + 4 > LP_PRINTABLE) { /* room for "..." and NUL is kept */
            memcpy(buffer + at, "...", 3);
            at += 3;
            break;
        }
        if (plain) buffer[at++] = (char)c;
        else {
            static const char digit[] = "0123456789abcdef";
            buffer[at++] = '\\';
            buffer[at++] = 'x';
            buffer[at++] = digit[c >> 4];
            buffer[at++] = digit[c & 15];
        }
    }
    buffer[at] = '\0';
    return buffer;
}
