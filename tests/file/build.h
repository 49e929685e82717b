/* Builds files byte by byte, right or wrong, for the tests of this room. */
#ifndef TESTS_FILE_BUILD_H
#define TESTS_FILE_BUILD_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct builder {
    uint8_t *data;
    size_t n, capacity;
} builder;

static inline void put(builder *b, const void *data, size_t n)
{
    if (b->n + n > b->capacity) {
        b->capacity = 2 * (b->n + n) + 256;
        b->data = realloc(b->data, b->capacity);
        if (!b->data) abort();
    }
    if (n) memcpy(b->data + b->n, data, n);
    b->n += n;
}

static inline void put_u8(builder *b, uint8_t v) { put(b, &v, 1); }
static inline void put_u16(builder *b, uint16_t v) { put(b, &v, 2); }
static inline void put_u32(builder *b, uint32_t v) { put(b, &v, 4); }
static inline void put_u64(builder *b, uint64_t v) { put(b, &v, 8); }
static inline void put_f32(builder *b, float v) { put(b, &v, 4); }

static inline void put_zeros(builder *b, size_t n)
{
    for (size_t i = 0; i < n; i++) put_u8(b, 0);
}

static inline void put_padding(builder *b, size_t alignment) { put_zeros(b, (alignment - b->n % alignment) % alignment); }

static inline void put_string_n(builder *b, const char *s, size_t n)
{
    put_u64(b, n);
    put(b, s, n);
}

static inline void put_string(builder *b, const char *s) { put_string_n(b, s, strlen(s)); }

static inline void put_header(builder *b, uint32_t version, uint64_t n_tensors, uint64_t n_keys)
{
    put(b, "GGUF", 4);
    put_u32(b, version);
    put_u64(b, n_tensors);
    put_u64(b, n_keys);
}

/* The name and type of a key; its value follows by other calls. */
static inline void put_key(builder *b, const char *key, uint32_t type)
{
    put_string(b, key);
    put_u32(b, type);
}

static inline void put_array(builder *b, const char *key, uint32_t element, uint64_t n)
{
    put_key(b, key, 9);
    put_u32(b, element);
    put_u64(b, n);
}

static inline void put_tensor(builder *b, const char *name, uint32_t n_dims, const uint64_t *dim, uint32_t type,
                              uint64_t offset)
{
    put_string(b, name);
    put_u32(b, n_dims);
    for (uint32_t i = 0; i < n_dims; i++) put_u64(b, dim[i]);
    put_u32(b, type);
    put_u64(b, offset);
}

#define DIMS(...) ((const uint64_t[]){__VA_ARGS__})

/* The toy file of the card formats/gguf-container.md: 320 bytes, CRC-32 f226e6a2. Byte positions in it: */
enum {
    TOY_VERSION = 4, TOY_N_TENSORS = 8, TOY_N_KEYS = 16, TOY_KEY_LENGTH = 24,
    TOY_DATA = 224, TOY_SIZE = 320
};

static inline void put_toy(builder *b)
{
    put_header(b, 3, 2, 3);
    put_key(b, "general.architecture", 8);
    put_string(b, "toy");
    put_key(b, "general.alignment", 4);
    put_u32(b, 32);
    put_array(b, "toy.list", 5, 3);
    put_u32(b, 1);
    put_u32(b, (uint32_t)-2);
    put_u32(b, 3);
    put_tensor(b, "a", 2, DIMS(3, 2), 0, 0);
    put_tensor(b, "b", 1, DIMS(32), 8, 32);
    put_padding(b, 32);
    for (int i = 1; i <= 6; i++) put_f32(b, (float)i);
    put_padding(b, 32);
    put_u16(b, 0x2c00);
    for (int q = -16; q < 16; q++) put_u8(b, (uint8_t)q);
    put_padding(b, 32);
}

#endif
