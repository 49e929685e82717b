/* Opening safetensors files: every rule of the format is checked. Card: formats/safetensors-container.md. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "base/half.h"
#include "file/safetensors.h"

/* The order of the reference's list, by which its writer sorts. */
const lp_safetensors_type lp_safetensors_types[] = {
    {"BOOL", 8, NULL},         {"F4", 4, NULL},      {"F6_E2M3", 6, NULL},     {"F6_E3M2", 6, NULL},
    {"U8", 8, NULL},           {"I8", 8, "i8"},      {"F8_E5M2", 8, NULL},     {"F8_E4M3", 8, NULL},
    {"F8_E8M0", 8, NULL},      {"F8_E4M3FNUZ", 8, NULL}, {"F8_E5M2FNUZ", 8, NULL}, {"I16", 16, "i16"},
    {"U16", 16, NULL},         {"F16", 16, "f16"},   {"BF16", 16, "bf16"},     {"I32", 32, "i32"},
    {"U32", 32, NULL},         {"F32", 32, "f32"},   {"C64", 64, NULL},        {"F64", 64, "f64"},
    {"I64", 64, "i64"},        {"U64", 64, NULL},
};
enum { N_TYPES = sizeof lp_safetensors_types / sizeof *lp_safetensors_types };
int lp_safetensors_type_count(void) { return N_TYPES; }

static lp_status bad(const lp_safetensors *f, const char *item, const char *what)
{
    return lp_fail(LP_INPUT, "%s: %s%s%s", f->path, item, *item ? ": " : "", what);
}

static const lp_safetensors_type *find_type(const lp_json *name)
{
    for (int i = 0; i < N_TYPES; i++)
        if (lp_json_is(name, lp_safetensors_types[i].name)) return &lp_safetensors_types[i];
    return NULL;
}

/* An integer of the header: 0 .. 2^53. */
static bool is_size(const lp_json *node, int64_t *value)
{
    return lp_json_integer(node, value) && *value >= 0 && *value <= INT64_C(1) << 53;
}

static lp_status read_shape(const lp_safetensors *f, const char *item, const lp_json *shape, lp_safetensor *t)
{
    if (!shape || shape->kind != LP_JSON_ARRAY) return bad(f, item, "shape is missing or no array");
    if (shape->n > LP_SAFETENSORS_MAX_DIMS)
        return lp_fail(LP_UNSUPPORTED, "%s: %s: %u dimensions (at most %d are supported)", f->path, item, shape->n,
                       LP_SAFETENSORS_MAX_DIMS);
    t->n_dims = (int)shape->n;
    for (int i = 0; i < t->n_dims; i++)
        if (!is_size(shape + 1 + i, &t->dim[i])) return bad(f, item, "a dimension is no integer of 0 to 2^53");
    return LP_OK;
}

/* Bytes that shape and dtype ask for. */
static lp_status count_bytes(const lp_safetensors *f, const char *item, const lp_safetensor *t, uint64_t *n_bytes)
{
    uint64_t n = 1, bits;
    for (int i = 0; i < t->n_dims; i++)
        if (!lp_mul_u64(n, (uint64_t)t->dim[i], &n)) return bad(f, item, "the size of its shape overflows");
    if (!lp_mul_u64(n, (uint64_t)t->type->bits, &bits)) return bad(f, item, "the size of its shape overflows");
    if (bits % 8)
        return lp_fail(LP_INPUT, "%s: %s: misaligned: %llu values of %s do not fill whole bytes", f->path, item,
                       (unsigned long long)n, t->type->name);
    *n_bytes = bits / 8;
    return LP_OK;
}

static lp_status read_tensor(lp_safetensors *f, const lp_json *name, lp_safetensor *t)
{
    char item[LP_PRINTABLE];
    const lp_json *value = name + 1;
    t->name = lp_json_string(name);
    lp_name_printable(t->name, item);
    if (memchr(t->name.data, 0, t->name.n)) return bad(f, item, "its name has a NUL byte");
    if (value->kind != LP_JSON_OBJECT) return bad(f, item, "is not described by an object");
    const lp_json *dtype = lp_json_find(value, "dtype"), *offsets = lp_json_find(value, "data_offsets");
    if (!dtype || dtype->kind != LP_JSON_STRING) return bad(f, item, "dtype is missing or no string");
    t->type = find_type(dtype);
    if (!t->type) {
        char shown[LP_PRINTABLE];
        return lp_fail(LP_INPUT, "%s: %s: dtype '%s' is unknown", f->path, item, lp_name_printable(lp_json_string(dtype), shown));
    }
    LP_TRY(read_shape(f, item, lp_json_find(value, "shape"), t));
    int64_t begin, end;
    if (!offsets || offsets->kind != LP_JSON_ARRAY || offsets->n != 2)
        return bad(f, item, "data_offsets is missing or no pair");
    if (!is_size(offsets + 1, &begin) || !is_size(offsets + 2, &end))
        return bad(f, item, "an offset is no integer of 0 to 2^53");
    if (end < begin)
        return lp_fail(LP_INPUT, "%s: %s: ends at %lld, before its begin %lld", f->path, item, (long long)end, (long long)begin);
    uint64_t need = 0;
    LP_TRY(count_bytes(f, item, t, &need));
    t->begin = (uint64_t)begin;
    t->n_bytes = (uint64_t)(end - begin);
    if (need != t->n_bytes)
        return lp_fail(LP_INPUT, "%s: %s: its shape of %s needs %llu bytes, but it has %llu", f->path, item, t->type->name,
                       (unsigned long long)need, (unsigned long long)t->n_bytes);
    return LP_OK;
}

static lp_status read_metadata(const lp_safetensors *f, const lp_json *metadata)
{
    if (metadata->kind != LP_JSON_OBJECT) return bad(f, "__metadata__", "is no object");
    const lp_json *at = metadata + 1;
    for (uint32_t i = 0; i < metadata->n; i++, at += 2)
        if (at[1].kind != LP_JSON_STRING) return bad(f, "__metadata__", "a value is no string");
    return LP_OK;
}

static int by_place(const void *a, const void *b)
{
    const lp_safetensor *x = *(const lp_safetensor *const *)a, *y = *(const lp_safetensor *const *)b;
    if (x->begin != y->begin) return x->begin < y->begin ? -1 : 1;
    if (x->n_bytes != y->n_bytes) return x->n_bytes < y->n_bytes ? -1 : 1;
    return x < y ? -1 : x > y;
}

/* The tensors tile the buffer: no hole, no overlap, nothing behind. */
static lp_status check_tiling(lp_safetensors *f, const lp_safetensor **sorted)
{
    uint64_t at = 0, n_data = f->n_file_bytes - f->data_start;
    for (uint32_t i = 0; i < f->n; i++) sorted[i] = &f->tensor[i];
    qsort(sorted, f->n, sizeof *sorted, by_place);
    for (uint32_t i = 0; i < f->n; i++) {
        const lp_safetensor *t = sorted[i];
        char item[LP_PRINTABLE];
        if (t->begin != at)
            return lp_fail(LP_INPUT, "%s: %s: begins at %llu where %llu is expected (%s)", f->path,
                           lp_name_printable(t->name, item), (unsigned long long)t->begin, (unsigned long long)at,
                           t->begin > at ? "a hole" : "an overlap");
        at += t->n_bytes; /* below 2^54 */
        if (at > n_data) {
            lp_fail(LP_INPUT, "%s: %s: its data ends at byte %llu of the buffer, but the buffer has %llu", f->path,
                    lp_name_printable(t->name, item), (unsigned long long)at, (unsigned long long)n_data);
            return lp_hint(LP_INPUT, "is the download complete?");
        }
    }
    if (at == n_data) return LP_OK;
    return lp_fail(LP_INPUT, "%s: %llu bytes follow the last tensor", f->path, (unsigned long long)(n_data - at));
}

static lp_status read_tensors(lp_safetensors *f)
{
    const lp_json *root = f->header.node, *at = root + 1;
    f->tensor = calloc((size_t)root->n + 1, sizeof *f->tensor);
    if (!f->tensor) return lp_fail_memory(root->n * sizeof *f->tensor, "a safetensors header");
    for (uint32_t i = 0; i < root->n; i++, at += 1 + at[1].span) {
        uint32_t index;
        bool is_new;
        if (lp_json_is(at, "__metadata__")) {
            LP_TRY(read_metadata(f, at + 1));
            continue;
        }
        LP_TRY(read_tensor(f, at, &f->tensor[f->n]));
        LP_TRY(lp_names_add(&f->names, f->tensor[f->n].name, &index, &is_new)); /* new: the reader saw to it */
        f->n++;
    }
    const lp_safetensor **sorted = malloc(((size_t)f->n + 1) * sizeof *sorted);
    if (!sorted) return lp_fail_memory(f->n * sizeof *sorted, "a safetensors header");
    lp_status status = check_tiling(f, sorted);
    free(sorted);
    for (uint32_t i = 0; i < f->n && status == LP_OK; i++) f->tensor[i].data = f->data + f->data_start + f->tensor[i].begin;
    return status;
}

static lp_status parse(lp_safetensors *f)
{
    static const lp_json_limits limits = {LP_SAFETENSORS_MAX_HEADER, 8 << 20, 4};
    if (f->n_file_bytes < 8)
        return lp_fail(LP_INPUT, "%s: is not a safetensors file: it has %llu bytes", f->path, (unsigned long long)f->n_file_bytes);
    uint64_t n = lp_read_u64(f->data);
    if (n > LP_SAFETENSORS_MAX_HEADER)
        return lp_fail(LP_INPUT, "%s: claims a header of %llu bytes (at most %d are allowed); is it a safetensors file?", f->path,
                       (unsigned long long)n, LP_SAFETENSORS_MAX_HEADER);
    if (n > f->n_file_bytes - 8) {
        lp_fail(LP_INPUT, "%s: claims a header of %llu bytes, but %llu are left", f->path, (unsigned long long)n,
                (unsigned long long)(f->n_file_bytes - 8));
        return lp_hint(LP_INPUT, "is the download complete?");
    }
    f->data_start = 8 + n;
    if (n == 0 || f->data[8] != '{') return bad(f, "", "its header does not begin with '{'");
    LP_TRY(lp_json_parse(f->path, (const char *)f->data + 8, (size_t)n, &limits, &f->header));
    return read_tensors(f);
}

static lp_status open_file(const char *name, const char *path, const void *data, size_t n, lp_safetensors **out)
{
    *out = NULL;
    lp_safetensors *f = calloc(1, sizeof *f);
    if (!f || !(f->path = strdup(name))) {
        free(f);
        return lp_fail_memory(sizeof *f, "a safetensors file");
    }
    f->map.slot = -1;
    lp_status status = path ? lp_map_open(path, &f->map) : LP_OK;
    f->data = path ? f->map.data : data;
    f->n_file_bytes = path ? f->map.n_bytes : n;
    if (status == LP_OK) status = parse(f);
    if (status == LP_OK && path && lp_map_failed(&f->map)) status = bad(f, "", "the file was truncated while it was read");
    if (status == LP_OK) *out = f;
    else lp_safetensors_close(f);
    return status;
}

lp_status lp_safetensors_open(const char *path, lp_safetensors **out) { return open_file(path, path, NULL, 0, out); }

lp_status lp_safetensors_open_memory(const void *data, size_t n, const char *name, lp_safetensors **out)
{
    return open_file(name, NULL, data, n, out);
}

void lp_safetensors_close(lp_safetensors *file)
{
    if (!file) return;
    lp_map_close(&file->map);
    lp_json_free(&file->header);
    lp_names_free(&file->names);
    free(file->tensor);
    free(file->path);
    free(file);
}
