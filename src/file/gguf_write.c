/* Writing GGUF files, version 3: the same calls give the same bytes. Card: formats/gguf-container.md. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "base/half.h"
#include "base/output.h"
#include "file/gguf.h"

/* A key as it will stand in the file. */
typedef struct entry {
    char *key;      /* owned; n_key bytes, then NUL */
    size_t n_key;
    uint8_t *value; /* owned: type, and for arrays element type and count, then the values */
    size_t n_value;
} entry;

typedef struct declared {
    char *name;
    int n_dims;
    int64_t dim[4];
    uint32_t type;
    uint64_t offset;  /* in the data section */
    uint64_t n_bytes; /* without padding */
} declared;

struct lp_gguf_writer {
    lp_output *output;
    entry *entries;     /* [n_entries] */
    size_t n_entries, entry_capacity;
    lp_names keys;      /* number = index in entries */
    declared *tensors;  /* [n_tensors] */
    size_t n_tensors, tensor_capacity;
    lp_names names;
    uint32_t alignment;
    uint64_t n_key_bytes, n_directory_bytes; /* of header and keys; of the directory */
    uint64_t n_data_bytes;                   /* with padding */

    bool has_begun;
    size_t current;     /* tensor being written */
    uint64_t n_written; /* of it */
};

lp_status lp_gguf_writer_create_dry(lp_gguf_writer **out)
{
    lp_gguf_writer *writer = *out = calloc(1, sizeof *writer);
    if (!writer) return lp_fail_memory(sizeof *writer, "a GGUF writer");
    writer->alignment = LP_GGUF_ALIGNMENT;
    writer->n_key_bytes = LP_GGUF_HEADER;
    return LP_OK;
}

lp_status lp_gguf_writer_create(const char *path, bool force, lp_gguf_writer **out)
{
    LP_TRY(lp_gguf_writer_create_dry(out));
    lp_status status = lp_output_create(path, force, &(*out)->output);
    if (status != LP_OK) {
        free(*out);
        *out = NULL;
    }
    return status;
}

static void free_writer(lp_gguf_writer *writer)
{
    for (size_t i = 0; i < writer->n_entries; i++) {
        free(writer->entries[i].key);
        free(writer->entries[i].value);
    }
    for (size_t i = 0; i < writer->n_tensors; i++) free(writer->tensors[i].name);
    free(writer->entries);
    free(writer->tensors);
    lp_names_free(&writer->keys);
    lp_names_free(&writer->names);
    free(writer);
}

void lp_gguf_writer_abort(lp_gguf_writer *writer)
{
    if (!writer) return;
    lp_output_abort(writer->output);
    free_writer(writer);
}

static void put_u32(uint8_t **at, uint32_t value)
{
    memcpy(*at, &value, 4);
    *at += 4;
}

static void put_u64(uint8_t **at, uint64_t value)
{
    memcpy(*at, &value, 8);
    *at += 8;
}

static void put_bytes(uint8_t **at, const void *data, size_t n)
{
    if (n) memcpy(*at, data, n);
    *at += n;
}

/* Room for one more element; false: out of memory. */
static bool reserve(void **array, size_t n, size_t *capacity, size_t size)
{
    if (n < *capacity) return true;
    size_t grown = *capacity ? 2 * *capacity : 32, n_bytes;
    void *p = lp_mul_size(grown, size, &n_bytes) ? realloc(*array, n_bytes) : NULL;
    if (!p) return false;
    *array = p;
    *capacity = grown;
    return true;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static lp_status check_key(const lp_gguf_writer *writer, lp_string key)
{
    char item[LP_PRINTABLE];
    if (writer->has_begun) return lp_fail(LP_USAGE, "%s: key set after the data began", lp_name_printable(key, item));
    if (key.n == 0 || key.n > LP_GGUF_MAX_KEY || !lp_name_is_text(key))
        return lp_fail(LP_USAGE, "%s: a key must be UTF-8 of 1 to %d bytes (it has %zu)", lp_name_printable(key, item),
                       LP_GGUF_MAX_KEY, key.n);
    return LP_OK;
}

static lp_status check_alignment(const uint8_t *value, size_t n)
{
    uint32_t alignment = n == 8 && lp_read_u32(value) == LP_GGUF_U32 ? lp_read_u32(value + 4) : 0;
    if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > LP_GGUF_MAX_ALIGNMENT)
        return lp_fail(LP_USAGE, "general.alignment: must be a u32, a power of two up to %d", LP_GGUF_MAX_ALIGNMENT);
    return LP_OK;
}

/* The offsets of what is already declared, under another alignment. */
static void realign(lp_gguf_writer *writer, uint32_t alignment)
{
    writer->alignment = alignment;
    writer->n_data_bytes = 0;
    for (size_t i = 0; i < writer->n_tensors; i++) {
        declared *t = &writer->tensors[i];
        t->offset = writer->n_data_bytes;
        lp_align_u64(t->offset + t->n_bytes, alignment, &writer->n_data_bytes);
    }
}

/* Appends or replaces a key. Takes value (to be freed), in every case. */
static lp_status put_key(lp_gguf_writer *writer, lp_string key, uint8_t *value, size_t n_value)
{
    lp_status status = check_key(writer, key);
    bool is_alignment = key.n == 17 && memcmp(key.data, "general.alignment", 17) == 0;
    if (status == LP_OK && is_alignment) status = check_alignment(value, n_value);
    if (status != LP_OK) goto fail;

    int64_t known = lp_names_find(&writer->keys, key);
    if (known >= 0) {
        entry *e = &writer->entries[known];
        writer->n_key_bytes += n_value - e->n_value;
        free(e->value);
        e->value = value;
        e->n_value = n_value;
    } else {
        char *copy = malloc(key.n + 1);
        if (!copy || !reserve((void **)&writer->entries, writer->n_entries, &writer->entry_capacity, sizeof(entry))) {
            free(copy);
            status = lp_fail_memory(key.n + sizeof(entry), "a GGUF key");
            goto fail;
        }
        memcpy(copy, key.data, key.n);
        copy[key.n] = '\0';
        uint32_t index;
        bool is_new;
        status = lp_names_add(&writer->keys, (lp_string){copy, key.n}, &index, &is_new);
        if (status != LP_OK) {
            free(copy);
            goto fail;
        }
        writer->entries[writer->n_entries++] = (entry){copy, key.n, value, n_value};
        writer->n_key_bytes += 8 + key.n + n_value;
    }
    if (is_alignment) realign(writer, lp_read_u32(value + 4));
    return LP_OK;
fail:
    free(value);
    return status;
}

static lp_string text_of(const char *s) { return (lp_string){s, strlen(s)}; }

/* Memory for a value: its type, for an array the element type and count, then n bytes that *at points at. */
static uint8_t *new_value(lp_gguf_type type, lp_gguf_type element, uint64_t n_elements, size_t n, uint8_t **at,
                          size_t *n_value)
{
    uint8_t *value = lp_add_size(n, 16, n_value) ? malloc(*n_value) : NULL;
    if (!value) {
        lp_fail_memory(n, "a GGUF value");
        return NULL;
    }
    *at = value;
    put_u32(at, type);
    if (type == LP_GGUF_ARRAY) {
        put_u32(at, element);
        put_u64(at, n_elements);
    }
    *n_value = (size_t)(*at - value) + n;
    return value;
}

/* A value whose elements stand in memory as they do in the file. */
static lp_status put_plain(lp_gguf_writer *writer, lp_string key, lp_gguf_type type, lp_gguf_type element,
                           uint64_t n_elements, const void *raw, size_t n)
{
    uint8_t *at;
    size_t n_value;
    uint8_t *value = new_value(type, element, n_elements, n, &at, &n_value);
    if (!value) return LP_RESOURCE;
    put_bytes(&at, raw, n);
    return put_key(writer, key, value, n_value);
}

lp_status lp_gguf_writer_copy_key(lp_gguf_writer *writer, const lp_gguf_key *key)
{
    return put_plain(writer, key->key, key->type, key->element, key->n_elements, key->raw, key->n_raw);
}

lp_status lp_gguf_writer_set_u16(lp_gguf_writer *writer, const char *key, uint16_t value)
{
    return put_plain(writer, text_of(key), LP_GGUF_U16, LP_GGUF_U16, 1, &value, 2);
}

lp_status lp_gguf_writer_set_i32(lp_gguf_writer *writer, const char *key, int32_t value)
{
    return put_plain(writer, text_of(key), LP_GGUF_I32, LP_GGUF_I32, 1, &value, 4);
}

lp_status lp_gguf_writer_set_u32(lp_gguf_writer *writer, const char *key, uint32_t value)
{
    return put_plain(writer, text_of(key), LP_GGUF_U32, LP_GGUF_U32, 1, &value, 4);
}

lp_status lp_gguf_writer_set_u64(lp_gguf_writer *writer, const char *key, uint64_t value)
{
    return put_plain(writer, text_of(key), LP_GGUF_U64, LP_GGUF_U64, 1, &value, 8);
}

lp_status lp_gguf_writer_set_f32(lp_gguf_writer *writer, const char *key, float value)
{
    return put_plain(writer, text_of(key), LP_GGUF_F32, LP_GGUF_F32, 1, &value, 4);
}

lp_status lp_gguf_writer_set_bool(lp_gguf_writer *writer, const char *key, bool value)
{
    uint8_t byte = value;
    return put_plain(writer, text_of(key), LP_GGUF_BOOL, LP_GGUF_BOOL, 1, &byte, 1);
}

static lp_status put_numbers(lp_gguf_writer *writer, const char *key, lp_gguf_type element, const void *value, uint64_t n, size_t size)
{
    size_t n_bytes;
    if (!lp_mul_size(n, size, &n_bytes)) return lp_fail(LP_USAGE, "%s: %llu elements overflow", key, (unsigned long long)n);
    return put_plain(writer, text_of(key), LP_GGUF_ARRAY, element, n, value, n_bytes);
}

lp_status lp_gguf_writer_set_i32s(lp_gguf_writer *writer, const char *key, const int32_t *value, uint64_t n)
{
    return put_numbers(writer, key, LP_GGUF_I32, value, n, sizeof *value);
}

lp_status lp_gguf_writer_set_f32s(lp_gguf_writer *writer, const char *key, const float *value, uint64_t n)
{
    return put_numbers(writer, key, LP_GGUF_F32, value, n, sizeof *value);
}

lp_status lp_gguf_writer_set_u8s(lp_gguf_writer *writer, const char *key, const uint8_t *value, uint64_t n)
{
    return put_numbers(writer, key, LP_GGUF_U8, value, n, sizeof *value);
}

/* One string, or an array of them. A reader refuses what is longer than the container allows. */
static lp_status put_strings(lp_gguf_writer *writer, const char *key, lp_gguf_type type, const lp_string *string, uint64_t n)
{
    size_t n_bytes = 0;
    bool may_be_long = strncmp(key, "tokenizer.", 10) == 0;
    for (uint64_t i = 0; i < n; i++) {
        if (!may_be_long && string[i].n > LP_GGUF_MAX_STRING)
            return lp_fail(LP_USAGE, "%s: string %llu has %zu bytes (at most %d are allowed)", key, (unsigned long long)i,
                           string[i].n, LP_GGUF_MAX_STRING);
        if (!lp_add_size(n_bytes, 8, &n_bytes) || !lp_add_size(n_bytes, string[i].n, &n_bytes))
            return lp_fail(LP_USAGE, "%s: the size of the strings overflows", key);
    }
    uint8_t *at;
    size_t n_value;
    uint8_t *value = new_value(type, LP_GGUF_STRING, n, n_bytes, &at, &n_value);
    if (!value) return LP_RESOURCE;
    for (uint64_t i = 0; i < n; i++) {
        put_u64(&at, string[i].n);
        put_bytes(&at, string[i].data, string[i].n);
    }
    return put_key(writer, text_of(key), value, n_value);
}

lp_status lp_gguf_writer_set_string(lp_gguf_writer *writer, const char *key, const char *value)
{
    lp_string string = text_of(value);
    return put_strings(writer, key, LP_GGUF_STRING, &string, 1);
}

lp_status lp_gguf_writer_copy_string(lp_gguf_writer *writer, const char *key, lp_string value)
{
    return put_strings(writer, key, LP_GGUF_STRING, &value, 1);
}

lp_status lp_gguf_writer_set_strings(lp_gguf_writer *writer, const char *key, const lp_string *value, uint64_t n)
{
    return put_strings(writer, key, LP_GGUF_ARRAY, value, n);
}

lp_status lp_gguf_writer_change_architecture(lp_gguf_writer *writer, const char *name, const char *kept)
{
    static const char key[] = "general.architecture";
    int64_t index = lp_names_find(&writer->keys, text_of(key));
    if (index >= 0) {
        const entry *e = &writer->entries[index];
        lp_string old = {(const char *)e->value + 12, e->n_value - 12}; /* behind type and length */
        if (lp_read_u32(e->value) != LP_GGUF_STRING || (old.n == strlen(name) && memcmp(old.data, name, old.n) == 0)) return LP_OK;
        LP_TRY(put_strings(writer, kept, LP_GGUF_STRING, &old, 1));
    }
    return lp_gguf_writer_set_string(writer, key, name);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

lp_status lp_gguf_writer_add_tensor(lp_gguf_writer *writer, const char *name, int n_dims, const int64_t *dim,
                                    const lp_packing *packing)
{
    lp_string view = text_of(name);
    char item[LP_PRINTABLE];
    lp_name_printable(view, item);
    if (writer->has_begun) return lp_fail(LP_USAGE, "%s: tensor declared after the data began", item);
    if (view.n == 0 || view.n > LP_GGUF_MAX_NAME || !lp_name_is_text(view))
        return lp_fail(LP_USAGE, "%s: a tensor name must be UTF-8 of 1 to %d bytes (it has %zu)", item, LP_GGUF_MAX_NAME,
                       view.n);
    if (n_dims < 1 || n_dims > 4) return lp_fail(LP_USAGE, "%s: %d dimensions (1 to 4 are allowed)", item, n_dims);
    declared t = {.n_dims = n_dims, .type = packing->gguf_id, .offset = writer->n_data_bytes};
    memcpy(t.dim, dim, (size_t)n_dims * sizeof *dim);
    uint64_t end;
    if (!lp_gguf_tensor_bytes(packing, n_dims, dim, &t.n_bytes) || !lp_add_u64(t.offset, t.n_bytes, &end) ||
        !lp_align_u64(end, LP_GGUF_MAX_ALIGNMENT, &end) || end > INT64_MAX)
        return lp_fail(LP_USAGE, "%s: rows of %lld values do not fit blocks of %d, or the size overflows", item,
                       (long long)dim[0], packing->n_values);
    if (lp_names_find(&writer->names, view) >= 0) return lp_fail(LP_USAGE, "%s: duplicate tensor name", item);
    if (packing->format) { /* in the directory: its bytes */
        LP_TRY(lp_gguf_writer_set_format(writer, name, n_dims, dim, packing));
        t.n_dims = 1;
        t.dim[0] = (int64_t)t.n_bytes;
    }
    if (!reserve((void **)&writer->tensors, writer->n_tensors, &writer->tensor_capacity, sizeof t) ||
        !(t.name = strdup(name)))
        return lp_fail_memory(sizeof t, "a GGUF tensor");
    uint32_t index;
    bool is_new;
    lp_status status = lp_names_add(&writer->names, (lp_string){t.name, view.n}, &index, &is_new);
    if (status != LP_OK) {
        free(t.name);
        return status;
    }
    writer->tensors[writer->n_tensors++] = t;
    n_dims = t.n_dims;
    writer->n_directory_bytes += 8 + view.n + 4 + 8 * (uint64_t)n_dims + 12;
    lp_align_u64(t.offset + t.n_bytes, writer->alignment, &writer->n_data_bytes);
    return LP_OK;
}

/* Bytes before the data: padded only if there is any tensor. */
static uint64_t header_bytes(const lp_gguf_writer *writer)
{
    uint64_t n = writer->n_key_bytes + writer->n_directory_bytes;
    if (writer->n_tensors) lp_align_u64(n, writer->alignment, &n);
    return n;
}

uint64_t lp_gguf_writer_size(const lp_gguf_writer *writer) { return header_bytes(writer) + writer->n_data_bytes; }

lp_status lp_gguf_writer_header(const lp_gguf_writer *writer, uint8_t **bytes, size_t *n)
{
    *n = (size_t)header_bytes(writer);
    uint8_t *at = *bytes = calloc(*n, 1);
    if (!at) return lp_fail_memory(*n, "the directory of a GGUF file");
    put_bytes(&at, "GGUF", 4);
    put_u32(&at, 3);
    put_u64(&at, writer->n_tensors);
    put_u64(&at, writer->n_entries);
    for (size_t i = 0; i < writer->n_entries; i++) {
        const entry *e = &writer->entries[i];
        put_u64(&at, e->n_key);
        put_bytes(&at, e->key, e->n_key);
        put_bytes(&at, e->value, e->n_value);
    }
    for (size_t i = 0; i < writer->n_tensors; i++) {
        const declared *t = &writer->tensors[i];
        size_t n_name = strlen(t->name);
        put_u64(&at, n_name);
        put_bytes(&at, t->name, n_name);
        put_u32(&at, (uint32_t)t->n_dims);
        for (int d = 0; d < t->n_dims; d++) put_u64(&at, (uint64_t)t->dim[d]);
        put_u32(&at, t->type);
        put_u64(&at, t->offset);
    }
    return LP_OK;
}

/* ---- data -------------------------------------------------------------------------------------------------------- */

/* Pads the tensors that are complete and goes to the next one that has bytes to come. */
static lp_status advance(lp_gguf_writer *writer)
{
    static const uint8_t zeros[4096];
    while (writer->current < writer->n_tensors) {
        const declared *t = &writer->tensors[writer->current];
        if (writer->n_written < t->n_bytes) return LP_OK;
        uint64_t padding = -t->n_bytes & (writer->alignment - 1);
        while (padding) {
            size_t n = padding < sizeof zeros ? (size_t)padding : sizeof zeros;
            LP_TRY(lp_output_write(writer->output, zeros, n));
            padding -= n;
        }
        writer->current++;
        writer->n_written = 0;
    }
    return LP_OK;
}

lp_status lp_gguf_writer_begin_data(lp_gguf_writer *writer)
{
    if (writer->has_begun) return lp_fail(LP_USAGE, "the data of the GGUF file began already");
    if (!writer->output) return lp_fail(LP_USAGE, "a writer without a file takes no data");
    LP_TRY(lp_output_reserve(writer->output, lp_gguf_writer_size(writer)));
    uint8_t *bytes;
    size_t n;
    LP_TRY(lp_gguf_writer_header(writer, &bytes, &n));
    writer->has_begun = true;
    lp_status status = lp_output_write(writer->output, bytes, n);
    free(bytes);
    return status == LP_OK ? advance(writer) : status;
}

lp_status lp_gguf_writer_write(lp_gguf_writer *writer, const void *data, size_t n)
{
    if (!writer->has_begun) return lp_fail(LP_USAGE, "tensor data came before lp_gguf_writer_begin_data");
    const uint8_t *at = data;
    while (n) {
        if (writer->current == writer->n_tensors)
            return lp_fail(LP_USAGE, "%zu bytes more than the declared tensors have", n);
        uint64_t missing = writer->tensors[writer->current].n_bytes - writer->n_written;
        size_t part = n < missing ? n : (size_t)missing;
        LP_TRY(lp_output_write(writer->output, at, part));
        at += part;
        n -= part;
        writer->n_written += part;
        LP_TRY(advance(writer));
    }
    return LP_OK;
}

static lp_status check_complete(lp_gguf_writer *writer)
{
    if (!writer->has_begun) LP_TRY(lp_gguf_writer_begin_data(writer));
    if (writer->current == writer->n_tensors) return LP_OK;
    const declared *t = &writer->tensors[writer->current];
    return lp_fail(LP_USAGE, "%s: %llu of its %llu bytes were written", t->name, (unsigned long long)writer->n_written,
                   (unsigned long long)t->n_bytes);
}

lp_status lp_gguf_writer_prepare(lp_gguf_writer *writer, const lp_output *beside, lp_output **out)
{
    lp_status status = check_complete(writer);
    if (status == LP_OK) status = lp_output_prepare(writer->output, beside);
    *out = status == LP_OK ? writer->output : NULL;
    if (status != LP_OK) lp_output_abort(writer->output);
    free_writer(writer);
    return status;
}

lp_status lp_gguf_writer_finish(lp_gguf_writer *writer, char *sha256)
{
    lp_status status = check_complete(writer);
    if (status == LP_OK) status = lp_output_finish(writer->output, sha256);
    else lp_output_abort(writer->output);
    free_writer(writer);
    return status;
}
