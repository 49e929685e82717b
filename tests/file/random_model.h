/* Small random GGUF files with keys of every type and tensors of many formats. */
#ifndef TESTS_FILE_RANDOM_MODEL_H
#define TESTS_FILE_RANDOM_MODEL_H

#include <stdio.h>

#include <lowp/format.h>

#include "build.h"

static inline uint32_t random_u32(uint32_t *r)
{
    *r = *r * 1664525u + 1013904223u;
    return *r >> 8 ^ *r << 24;
}

static inline void put_random_bytes(builder *b, size_t n, uint32_t *r)
{
    for (size_t i = 0; i < n; i++) put_u8(b, (uint8_t)random_u32(r));
}

/* Appends a file; returns the number of its bytes that a reader needs: all but the last padding. */
static inline size_t put_random_model(builder *b, uint32_t seed)
{
    static const size_t bytes[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    uint32_t r = seed * 2654435761u + 1, alignment = 1u << (3 + random_u32(&r) % 4);
    uint32_t n_keys = 14 + random_u32(&r) % 12, n_tensors = 2 + random_u32(&r) % 6;
    char name[64];
    put_header(b, 2 + random_u32(&r) % 2, n_tensors, n_keys + 1);
    for (uint32_t i = 0; i < n_keys; i++) {
        uint32_t type = i < 13 ? i : random_u32(&r) % 13, element = type, n = 1;
        snprintf(name, sizeof name, "key.%u.%u", i, random_u32(&r) % 1000);
        if (type == 9) {
            do element = random_u32(&r) % 13;
            while (element == 9);
            n = random_u32(&r) % 9;
            put_array(b, name, element, n);
        } else put_key(b, name, type);
        for (uint32_t j = 0; j < n; j++) {
            if (element == 8) {
                uint32_t length = random_u32(&r) % 20;
                put_u64(b, length);
                put_random_bytes(b, length, &r);
            } else if (element == 7) put_u8(b, random_u32(&r) % 2);
            else put_random_bytes(b, bytes[element], &r);
        }
    }
    put_key(b, "general.alignment", 4);
    put_u32(b, alignment);
    uint64_t offset = 0;
    size_t size[8] = {0}, padded[8] = {0};
    for (uint32_t i = 0; i < n_tensors; i++) {
        const lp_packing *packing = lp_packing_at((int)(random_u32(&r) % (uint32_t)lp_packing_count()));
        uint32_t n_dims = 1 + random_u32(&r) % 4;
        uint64_t dim[4] = {(uint64_t)packing->n_values * (1 + random_u32(&r) % 2), 1, 1, 1};
        size[i] = (size_t)(dim[0] / (uint64_t)packing->n_values) * (size_t)packing->n_bytes;
        for (uint32_t d = 1; d < n_dims; d++) {
            dim[d] = random_u32(&r) % 8 == 0 ? 0 : 1 + random_u32(&r) % 2;
            size[i] *= (size_t)dim[d];
        }
        padded[i] = (size[i] + alignment - 1) / alignment * alignment;
        snprintf(name, sizeof name, "blk.%u.tensor.%u", i, random_u32(&r) % 1000);
        put_tensor(b, name, n_dims, dim, packing->gguf_id, offset);
        offset += padded[i];
    }
    size_t start = b->n, needed = start;
    put_padding(b, alignment);
    for (uint32_t i = 0; i < n_tensors; i++) {
        put_random_bytes(b, size[i], &r);
        if (size[i]) needed = b->n;
        put_zeros(b, padded[i] - size[i]);
    }
    return needed;
}

#endif
