/* A mutator that knows the directory of a GGUF file: it parses what can be parsed, changes keys and tensors as such,
 * writes a file whose counts and offsets are right, and then, half of the time, spoils one field of it. */
#ifndef TESTS_FUZZ_GGUF_MUTATE_H
#define TESTS_FUZZ_GGUF_MUTATE_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <lowp/format.h>

enum { MUTATE_KEYS = 32, MUTATE_TENSORS = 16, MUTATE_FIELDS = 512, MUTATE_BYTES = 1 << 16 };

typedef struct mutate_span {
    size_t at, n;
} mutate_span;

/* A key: name, type (with element type and count of an array), and the bytes of the value. */
typedef struct mutate_key {
    mutate_span name, value;
    uint32_t type, element;
    uint64_t count;
} mutate_key;

typedef struct mutate_tensor {
    mutate_span name;
    uint32_t n_dims, type;
    uint64_t dim[4];
} mutate_tensor;

typedef struct mutate_file {
    const uint8_t *data; /* spans point into it */
    size_t n, at;
    uint32_t version;
    int n_keys, n_tensors;
    mutate_key key[MUTATE_KEYS];
    mutate_tensor tensor[MUTATE_TENSORS];
    uint32_t alignment;
    size_t data_start;
} mutate_file;

/* What was written, and the places of its numbers. */
typedef struct mutate_output {
    uint8_t *data;
    size_t n, room;
    int full;
    int n_fields;
    struct {
        size_t at;
        int width;
    } field[MUTATE_FIELDS];
} mutate_output;

static inline uint32_t mutate_random(uint32_t *state, uint32_t below)
{
    *state = *state * 1664525u + 1013904223u;
    return below ? (*state >> 8) % below : 0;
}

static inline int mutate_number(mutate_file *f, int width, uint64_t *value)
{
    *value = 0;
    if (f->n - f->at < (size_t)width) return 0;
    memcpy(value, f->data + f->at, (size_t)width);
    f->at += (size_t)width;
    return 1;
}

static inline int mutate_text(mutate_file *f, mutate_span *span)
{
    uint64_t n;
    if (!mutate_number(f, 8, &n) || n > f->n - f->at) return 0;
    *span = (mutate_span){f->at, (size_t)n};
    f->at += (size_t)n;
    return 1;
}

static inline int mutate_read_key(mutate_file *f, mutate_key *key)
{
    static const uint8_t width[] = {1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8};
    uint64_t type, element;
    if (!mutate_text(f, &key->name) || !mutate_number(f, 4, &type)) return 0;
    element = type;
    key->count = 1;
    if (type == 9 && !(mutate_number(f, 4, &element) && mutate_number(f, 8, &key->count))) return 0;
    if (element > 12 || element == 9) return 0;
    key->type = (uint32_t)type;
    key->element = (uint32_t)element;
    key->value.at = f->at;
    mutate_span ignored;
    for (uint64_t i = 0; i < key->count; i++) {
        if (element == 8) {
            if (!mutate_text(f, &ignored)) return 0;
        } else if (f->n - f->at < width[element]) return 0;
        else f->at += width[element];
    }
    key->value.n = f->at - key->value.at;
    if (key->name.n == 17 && memcmp(f->data + key->name.at, "general.alignment", 17) == 0 && type == 4)
        memcpy(&f->alignment, f->data + key->value.at, 4);
    return 1;
}

static inline int mutate_read_tensor(mutate_file *f, mutate_tensor *t)
{
    uint64_t n_dims, type, offset;
    if (!mutate_text(f, &t->name) || !mutate_number(f, 4, &n_dims) || n_dims < 1 || n_dims > 4) return 0;
    for (uint64_t i = 0; i < n_dims; i++)
        if (!mutate_number(f, 8, &t->dim[i])) return 0;
    if (!mutate_number(f, 4, &type) || !mutate_number(f, 8, &offset)) return 0;
    t->n_dims = (uint32_t)n_dims;
    t->type = (uint32_t)type;
    return 1;
}

/* Whatever comes before the first thing that makes no sense. */
static inline void mutate_parse(mutate_file *f, const uint8_t *data, size_t n)
{
    uint64_t version, n_tensors, n_keys;
    *f = (mutate_file){.data = data, .n = n, .at = n < 4 ? n : 4, .version = 3, .alignment = 32};
    if (!mutate_number(f, 4, &version) || !mutate_number(f, 8, &n_tensors) || !mutate_number(f, 8, &n_keys)) return;
    f->version = (uint32_t)version;
    while ((uint64_t)f->n_keys < n_keys && f->n_keys < MUTATE_KEYS)
        if (mutate_read_key(f, &f->key[f->n_keys])) f->n_keys++;
        else return;
    while ((uint64_t)f->n_tensors < n_tensors && f->n_tensors < MUTATE_TENSORS)
        if (mutate_read_tensor(f, &f->tensor[f->n_tensors])) f->n_tensors++;
        else return;
    f->data_start = f->at;
}

static inline void mutate_put(mutate_output *o, const void *bytes, size_t n)
{
    if (n > o->room - o->n) {
        o->full = 1;
        return;
    }
    if (n) memcpy(o->data + o->n, bytes, n);
    o->n += n;
}

static inline void mutate_put_number(mutate_output *o, int width, uint64_t value)
{
    if (o->n_fields < MUTATE_FIELDS) {
        o->field[o->n_fields].at = o->n;
        o->field[o->n_fields++].width = width;
    }
    mutate_put(o, &value, (size_t)width);
}

static inline void mutate_put_text(mutate_output *o, const mutate_file *f, mutate_span span)
{
    mutate_put_number(o, 8, span.n);
    mutate_put(o, f->data + span.at, span.n);
}

static inline void mutate_pad(mutate_output *o, uint32_t alignment)
{
    uint64_t zero = 0;
    while (o->n % alignment && !o->full) mutate_put(o, &zero, 1);
}

/* The bytes of a tensor, or 0 where it has no sensible size. */
static inline size_t mutate_size(const mutate_tensor *t)
{
    const lp_packing *p = lp_packing_by_id(t->type);
    uint64_t n = 1;
    for (uint32_t d = 0; d < t->n_dims; d++)
        if (__builtin_mul_overflow(n, t->dim[d], &n) || n > MUTATE_BYTES) return 0;
    return p && t->dim[0] % (uint64_t)p->n_values == 0 ? (size_t)(n / (uint64_t)p->n_values) * (size_t)p->n_bytes : 0;
}

static inline void mutate_write(const mutate_file *f, mutate_output *o, uint32_t *state)
{
    uint32_t alignment = f->alignment && f->alignment <= 4096 && !(f->alignment & (f->alignment - 1)) ? f->alignment : 32;
    uint64_t offset = 0;
    mutate_put(o, "GGUF", 4);
    mutate_put_number(o, 4, f->version);
    mutate_put_number(o, 8, (uint64_t)f->n_tensors);
    mutate_put_number(o, 8, (uint64_t)f->n_keys);
    for (int i = 0; i < f->n_keys; i++) {
        const mutate_key *k = &f->key[i];
        mutate_put_text(o, f, k->name);
        mutate_put_number(o, 4, k->type);
        if (k->type == 9) {
            mutate_put_number(o, 4, k->element);
            mutate_put_number(o, 8, k->count);
        }
        mutate_put(o, f->data + k->value.at, k->value.n);
    }
    for (int i = 0; i < f->n_tensors; i++) {
        const mutate_tensor *t = &f->tensor[i];
        mutate_put_text(o, f, t->name);
        mutate_put_number(o, 4, t->n_dims);
        for (uint32_t d = 0; d < t->n_dims; d++) mutate_put_number(o, 8, t->dim[d]);
        mutate_put_number(o, 4, t->type);
        mutate_put_number(o, 8, offset);
        offset += (mutate_size(t) + alignment - 1) / alignment * alignment;
    }
    if (f->n_tensors) mutate_pad(o, alignment);
    /* The old data as far as it goes, then random bytes. */
    size_t from = (f->data_start + alignment - 1) / alignment * alignment;
    for (uint64_t i = 0; i < offset && !o->full; i++, from++) {
        uint8_t byte = f->data_start && from < f->n ? f->data[from] : (uint8_t)mutate_random(state, 256);
        mutate_put(o, &byte, 1);
    }
}

/* A value that lies on somebody's border. */
static inline uint64_t mutate_border(uint32_t *state, uint64_t old, size_t n)
{
    switch (mutate_random(state, 9)) {
    case 0: return old + 1;
    case 1: return old - 1;
    case 2: return UINT64_MAX - mutate_random(state, 64);
    case 3: return (UINT64_C(1) << mutate_random(state, 64)) - mutate_random(state, 2);
    case 4: return n - mutate_random(state, 64);
    case 5: return old * 2;
    case 6: return old ^ UINT64_C(1) << mutate_random(state, 64);
    case 7: return UINT64_C(0) - old;
    default: return mutate_random(state, 70);
    }
}

static inline void mutate_change(mutate_file *f, uint32_t *state)
{
    uint32_t kind = mutate_random(state, 12);
    if (f->n_keys && kind < 5) {
        int i = (int)mutate_random(state, (uint32_t)f->n_keys), j = (int)mutate_random(state, (uint32_t)f->n_keys);
        mutate_key *k = &f->key[i];
        if (kind == 0) f->key[i] = f->key[--f->n_keys];
        else if (kind == 1 && f->n_keys < MUTATE_KEYS) f->key[f->n_keys++] = *k;
        else if (kind == 2) k->name = f->key[j].name;
        else if (kind == 3) { /* another key's value */
            mutate_span name = k->name;
            *k = f->key[j];
            k->name = name;
        } else k->type = k->element = mutate_random(state, 14);
        return;
    }
    if (f->n_tensors == 0) return;
    int i = (int)mutate_random(state, (uint32_t)f->n_tensors), j = (int)mutate_random(state, (uint32_t)f->n_tensors);
    mutate_tensor *t = &f->tensor[i];
    switch (kind) {
    case 5: f->tensor[i] = f->tensor[--f->n_tensors]; break;
    case 6:
        if (f->n_tensors < MUTATE_TENSORS) f->tensor[f->n_tensors++] = *t;
        break;
    case 7: t->name = f->tensor[j].name; break;
    case 8: { /* another type that has a row of blocks */
        const lp_packing *p = lp_packing_at((int)mutate_random(state, (uint32_t)lp_packing_count()));
        t->type = p->gguf_id;
        t->dim[0] = (uint64_t)p->n_values * mutate_random(state, 4);
        break;
    }
    case 9: t->dim[mutate_random(state, t->n_dims)] = mutate_random(state, 5); break;
    case 10: {
        uint64_t *dim = &t->dim[mutate_random(state, t->n_dims)];
        *dim = mutate_border(state, *dim, f->n);
        break;
    }
    default:
        t->n_dims = 1 + mutate_random(state, 4);
        for (int d = 1; d < 4; d++)
            if (t->dim[d] == 0) t->dim[d] = 1;
        break;
    }
}

static inline size_t mutate_gguf(uint8_t *data, size_t n, size_t room, uint32_t seed)
{
    static mutate_file f;
    static mutate_output o;
    static uint8_t written[MUTATE_BYTES];
    uint32_t state = seed * 2654435761u + 1;
    if (mutate_random(&state, 4) != 0) {
        mutate_parse(&f, data, n);
        for (uint32_t steps = 1 + mutate_random(&state, 3); steps > 0; steps--) mutate_change(&f, &state);
        o = (mutate_output){.data = written, .room = room < sizeof written ? room : sizeof written};
        mutate_write(&f, &o, &state);
        if (!o.full) {
            if (mutate_random(&state, 2)) {
                size_t at = o.field[mutate_random(&state, (uint32_t)o.n_fields)].at;
                for (int i = 0; i < o.n_fields; i++) {
                    if (o.field[i].at != at) continue;
                    uint64_t value = 0;
                    memcpy(&value, written + at, (size_t)o.field[i].width);
                    value = mutate_border(&state, value, o.n);
                    memcpy(written + at, &value, (size_t)o.field[i].width);
                }
            }
            memcpy(data, written, o.n);
            n = o.n;
        }
    }
    /* Now and then bytes, and the length. */
    if (n && mutate_random(&state, 3) == 0) data[mutate_random(&state, (uint32_t)n)] = (uint8_t)mutate_random(&state, 256);
    if (n && mutate_random(&state, 8) == 0) n -= mutate_random(&state, (uint32_t)(n < 64 ? n : 64));
    if (n < room && mutate_random(&state, 8) == 0) data[n++] = (uint8_t)mutate_random(&state, 256);
    return n ? n : 1;
}

#endif
