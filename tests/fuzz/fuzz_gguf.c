/* Fuzzes GGUF files: what opens is consistent, can be read to its last byte, and survives writing and reading. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/gguf.h>

#include "file/gguf.h"
#include "gguf_mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed);

static void require(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "%s (last error: %s)\n", what, lp_error());
    abort();
}

static volatile uint64_t sink; /* keeps the reads alive */

static void read_bytes(const void *p, size_t n)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < n; i++) sum += ((const uint8_t *)p)[i];
    sink += sum;
}

static void read_key(const lp_gguf *gguf, const lp_gguf_key *key)
{
    char *name = malloc(key->key.n + 1);
    require(name != NULL, "memory");
    memcpy(name, key->key.data, key->key.n);
    name[key->key.n] = '\0';
    require(lp_gguf_find(gguf, name) == key, "a key is not found");
    require(strlen(name) == key->key.n && key->key.n > 0, "a key with NUL");
    int64_t i = 0;
    double d = 0;
    bool flag = false;
    lp_string s = {0};
    int n_types = 0;
    n_types += lp_gguf_get_i64(gguf, name, true, &i) == LP_OK;
    n_types += lp_gguf_get_f64(gguf, name, true, &d) == LP_OK;
    n_types += lp_gguf_get_bool(gguf, name, true, &flag) == LP_OK;
    n_types += lp_gguf_get_string(gguf, name, true, &s) == LP_OK;
    bool too_large = key->type == LP_GGUF_U64 && key->raw[7] >= 0x80;
    require(n_types == (key->type != LP_GGUF_ARRAY && !too_large), "a value of no type, or of two");
    read_bytes(s.data, s.n);
    read_bytes(key->raw, key->n_raw);
    if (key->element == LP_GGUF_STRING) {
        lp_string *strings = malloc((key->n_elements + 1) * sizeof *strings);
        require(strings && lp_gguf_strings(key, strings) == LP_OK, "strings");
        for (uint64_t k = 0; k < key->n_elements; k++) read_bytes(strings[k].data, strings[k].n);
        free(strings);
    } else if (key->n_elements) {
        (void)lp_gguf_array_i64(key, 0, &i);
        (void)lp_gguf_array_i64(key, key->n_elements - 1, &i);
        (void)lp_gguf_array_f64(key, key->n_elements - 1, &d);
    }
    require(lp_gguf_array_i64(key, key->n_elements, &i) == LP_USAGE, "an index beyond the end");
    free(name);
}

static void read_tensor(const lp_gguf *gguf, const lp_tensor *t)
{
    require(lp_gguf_find_tensor(gguf, t->name) == t, "a tensor is not found");
    require(t->n_bytes == 0 || (t->offset <= lp_gguf_size(gguf) && t->n_bytes <= lp_gguf_size(gguf) - t->offset), "data outside");
    read_bytes(t->data, t->n_bytes);
    int64_t rows = lp_tensor_rows(t), values = lp_tensor_values(t);
    require(rows >= 0 && values >= 0, "a negative shape");
    if (values == 0) return;
    uint64_t n_bytes;
    require(lp_packing_tensor_bytes(t->packing, t->dim[0], rows, &n_bytes) && n_bytes == t->n_bytes, "size of a tensor");
    int64_t bad = lp_tensor_find_nonfinite(t, rows - 1);
    require(bad >= -1 && bad < t->dim[0], "the place that is not finite");
    if (!t->packing->can_decode) return;
    float *row = malloc((size_t)t->dim[0] * sizeof *row);
    require(row != NULL, "memory");
    lp_tensor_decode_row(t, 0, row);
    lp_tensor_decode_row(t, rows - 1, row);
    read_bytes(row, (size_t)t->dim[0] * sizeof *row);
    free(row);
}

/* The file that a writer makes of what was read, in memory; NULL if it would be too large to be worth it. */
static uint8_t *rewrite(const lp_gguf *gguf, size_t *n)
{
    lp_gguf_writer *writer;
    uint8_t *header = NULL, *file = NULL;
    size_t n_header;
    require(lp_gguf_writer_create_dry(&writer) == LP_OK, "a writer");
    for (int64_t i = 0; i < lp_gguf_key_count(gguf); i++)
        require(lp_gguf_writer_copy_key(writer, lp_gguf_key_at(gguf, i)) == LP_OK, "a key cannot be copied");
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(gguf, i);
        require(lp_gguf_writer_add_tensor(writer, t->name, t->n_dims, t->dim, t->packing) == LP_OK, "a tensor cannot be declared");
    }
    *n = (size_t)lp_gguf_writer_size(writer);
    if (*n <= MUTATE_BYTES) {
        require(lp_gguf_writer_header(writer, &header, &n_header) == LP_OK, "a header");
        file = calloc(*n, 1);
        require(file != NULL, "memory");
        memcpy(file, header, n_header);
        size_t at = n_header;
        for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) {
            const lp_tensor *t = lp_gguf_tensor_at(gguf, i);
            require(t->n_bytes <= *n - at, "the declared size is too small");
            if (t->n_bytes) memcpy(file + at, t->data, t->n_bytes);
            at += (t->n_bytes + gguf->alignment - 1) / gguf->alignment * gguf->alignment;
        }
        require(at == *n, "the declared size");
        free(header);
    }
    lp_gguf_writer_abort(writer);
    return file;
}

static void round_trip(const lp_gguf *gguf)
{
    size_t n, n_again;
    uint8_t *file = rewrite(gguf, &n);
    if (!file) return;
    lp_gguf *second;
    require(lp_gguf_open_memory(file, n, "rewritten", &second) == LP_OK, "a rewritten file does not open");
    require(lp_gguf_warning(second, 0) == NULL, "a warning about a rewritten file");
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) {
        const lp_tensor *a = lp_gguf_tensor_at(gguf, i), *b = lp_gguf_tensor_at(second, i);
        require(b && strcmp(a->name, b->name) == 0 && a->n_bytes == b->n_bytes, "a tensor changed");
        require(a->n_bytes == 0 || memcmp(a->data, b->data, a->n_bytes) == 0, "a tensor's data changed");
    }
    uint8_t *again = rewrite(second, &n_again);
    require(again && n_again == n && memcmp(file, again, n) == 0, "write, read, write differs");
    lp_gguf_close(second);
    free(file);
    free(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    lp_gguf *gguf = (lp_gguf *)1;
    lp_status status = lp_gguf_open_memory(data, n, "fuzz", &gguf);
    if (status != LP_OK) {
        require((status == LP_INPUT || status == LP_UNSUPPORTED) && gguf == NULL && strncmp(lp_error(), "fuzz: ", 6) == 0, "how it was refused");
        return 0;
    }
    for (int64_t i = 0; i < lp_gguf_key_count(gguf); i++) read_key(gguf, lp_gguf_key_at(gguf, i));
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) read_tensor(gguf, lp_gguf_tensor_at(gguf, i));
    for (int i = 0; lp_gguf_warning(gguf, i); i++) require(lp_gguf_warning(gguf, i)[0] != '\0', "an empty warning");
    round_trip(gguf);
    lp_gguf_close(gguf);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed)
{
    return mutate_gguf(data, n, room, seed);
}
