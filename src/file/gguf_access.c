/* Reading keys and tensors of an opened GGUF file. */
#include <string.h>

#include "base/fail.h"
#include "base/half.h"
#include "file/gguf.h"
#include "format/rows.h"

const char *lp_gguf_path(const lp_gguf *gguf) { return gguf->path; }
uint32_t lp_gguf_version(const lp_gguf *gguf) { return gguf->version; }
uint64_t lp_gguf_size(const lp_gguf *gguf) { return gguf->n_bytes; }

lp_status lp_gguf_check_intact(const lp_gguf *gguf)
{
    bool failed = false;
    for (int i = 0; i < gguf->n_maps; i++) failed |= lp_map_failed(&gguf->map[i]);
    if (!failed) return LP_OK;
    lp_fail(LP_INPUT, "%s: the file was truncated or could not be read while it was in use", gguf->path);
    return lp_hint(LP_INPUT, "do not change the file while it is read; check the disk");
}

void lp_gguf_drop_pages(const lp_gguf *gguf, const lp_tensor *tensor, int64_t first_row, int64_t last_row)
{
    int64_t n_rows = lp_tensor_rows(tensor);
    if (n_rows <= 0) return;
    if (first_row < 0) first_row = 0;
    if (last_row > n_rows) last_row = n_rows;
    if (first_row >= last_row) return;
    lp_planes planes;
    int64_t all = tensor->plane_rows ? tensor->plane_rows : n_rows;
    if (!lp_packing_planes(tensor->packing, tensor->dim[0], all, &planes)) return;
    lp_row first = lp_planes_row(&planes, tensor->data, tensor->first_row + first_row);
    for (int i = 0; i < planes.n; i++)
        lp_gguf_drop_bytes(gguf, first.plane[i], planes.row_bytes[i] * (size_t)(last_row - first_row));
}

void lp_gguf_drop_bytes(const lp_gguf *gguf, const uint8_t *bytes, size_t n)
{
    for (int i = 0; i < gguf->n_maps; i++) {
        const lp_map *map = &gguf->map[i];
        uintptr_t at = (uintptr_t)bytes, start = (uintptr_t)map->data;
        if (map->data && at >= start && at - start < map->n_bytes) lp_map_drop(map, (size_t)(at - start), n);
    }
}

const uint8_t *lp_gguf_bytes(const lp_gguf *gguf, uint64_t at, uint64_t *n)
{
    static const uint8_t zeros[4096];
    if (!gguf->part) {
        if (*n > gguf->n_bytes - at) *n = gguf->n_bytes - at;
        return gguf->data + at;
    }
    if (at < gguf->data_start) {
        if (*n > gguf->data_start - at) *n = gguf->data_start - at;
        return gguf->data + at;
    }
    /* The last tensor that begins at or before `at`; an empty one has a successor at the same place, or none. */
    uint64_t low = 0, high = gguf->n_tensors;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (gguf->tensor[middle].offset <= at) low = middle;
        else high = middle;
    }
    const lp_tensor *t = &gguf->tensor[low];
    uint64_t inside = at - t->offset, limit;
    if (inside < t->n_bytes) {
        limit = t->n_bytes - inside;
        if (*n > limit) *n = limit;
        return t->data + inside;
    }
    limit = (low + 1 < gguf->n_tensors ? gguf->tensor[low + 1].offset : gguf->n_bytes) - at;
    if (limit > sizeof zeros) limit = sizeof zeros;
    if (*n > limit) *n = limit;
    return zeros;
}

const char *lp_gguf_warning(const lp_gguf *gguf, int index)
{
    return index >= 0 && index < gguf->n_warnings ? gguf->warning[index] : NULL;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

int64_t lp_gguf_key_count(const lp_gguf *gguf) { return (int64_t)gguf->n_keys; }

const lp_gguf_key *lp_gguf_key_at(const lp_gguf *gguf, int64_t index)
{
    return index >= 0 && (uint64_t)index < gguf->n_keys ? &gguf->key[index] : NULL;
}

const lp_gguf_key *lp_gguf_find(const lp_gguf *gguf, const char *key)
{
    int64_t index = lp_names_find(&gguf->key_names, (lp_string){key, strlen(key)});
    return index < 0 ? NULL : &gguf->key[index];
}

bool lp_gguf_integer(lp_gguf_type type, const uint8_t *p, int64_t *value)
{
    switch (type) {
    case LP_GGUF_U8: *value = *p; return true;
    case LP_GGUF_I8: *value = (int8_t)*p; return true;
    case LP_GGUF_U16: *value = lp_read_u16(p); return true;
    case LP_GGUF_I16: *value = (int16_t)lp_read_u16(p); return true;
    case LP_GGUF_U32: *value = lp_read_u32(p); return true;
    case LP_GGUF_I32: *value = (int32_t)lp_read_u32(p); return true;
    case LP_GGUF_I64: *value = (int64_t)lp_read_u64(p); return true;
    case LP_GGUF_U64:
        if (lp_read_u64(p) > INT64_MAX) return false;
        *value = (int64_t)lp_read_u64(p);
        return true;
    default: return false;
    }
}

bool lp_gguf_float(lp_gguf_type type, const uint8_t *p, double *value)
{
    if (type == LP_GGUF_F32) *value = (double)lp_f32_from_bits(lp_read_u32(p));
    else if (type == LP_GGUF_F64) memcpy(value, p, 8);
    else return false;
    return true;
}

static lp_status wrong_type(const lp_gguf *gguf, const lp_gguf_key *found, const char *key, const char *wanted)
{
    bool is_array = found->type == LP_GGUF_ARRAY;
    return lp_fail(LP_INPUT, "%s: %s: has type %s%s (%s is required)", gguf->path, key,
                   is_array ? "array of " : "", lp_gguf_type_name(found->element), wanted);
}

/* *found = NULL and LP_OK if the key is absent and need not be there. */
static lp_status find_value(const lp_gguf *gguf, const char *key, bool required, const lp_gguf_key **found)
{
    *found = lp_gguf_find(gguf, key);
    if (*found || !required) return LP_OK;
    return lp_fail(LP_INPUT, "%s: %s: the key is missing", gguf->path, key);
}

lp_status lp_gguf_get_i64(const lp_gguf *gguf, const char *key, bool required, int64_t *value)
{
    const lp_gguf_key *found;
    LP_TRY(find_value(gguf, key, required, &found));
    if (!found || lp_gguf_integer(found->type, found->raw, value)) return LP_OK;
    if (found->type == LP_GGUF_U64)
        return lp_fail(LP_INPUT, "%s: %s: is %llu (at most 2^63 - 1 is allowed)", gguf->path, key,
                       (unsigned long long)lp_read_u64(found->raw));
    return wrong_type(gguf, found, key, "an integer");
}

lp_status lp_gguf_get_f64(const lp_gguf *gguf, const char *key, bool required, double *value)
{
    const lp_gguf_key *found;
    LP_TRY(find_value(gguf, key, required, &found));
    if (!found || lp_gguf_float(found->type, found->raw, value)) return LP_OK;
    return wrong_type(gguf, found, key, "a float");
}

lp_status lp_gguf_get_bool(const lp_gguf *gguf, const char *key, bool required, bool *value)
{
    const lp_gguf_key *found;
    LP_TRY(find_value(gguf, key, required, &found));
    if (!found) return LP_OK;
    if (found->type != LP_GGUF_BOOL) return wrong_type(gguf, found, key, "a bool");
    *value = *found->raw != 0;
    return LP_OK;
}

lp_status lp_gguf_get_string(const lp_gguf *gguf, const char *key, bool required, lp_string *value)
{
    const lp_gguf_key *found;
    LP_TRY(find_value(gguf, key, required, &found));
    if (!found) return LP_OK;
    if (found->type != LP_GGUF_STRING) return wrong_type(gguf, found, key, "a string");
    return lp_gguf_strings(found, value);
}

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

/* These functions know no file: the caller's message adds it. */
static lp_status bad_index(const lp_gguf_key *key, uint64_t index)
{
    char item[LP_PRINTABLE];
    return lp_fail(LP_USAGE, "%s: element %llu of %llu was asked for", lp_name_printable(key->key, item),
                   (unsigned long long)index, (unsigned long long)key->n_elements);
}

static lp_status bad_element(const lp_gguf_key *key, const char *wanted)
{
    char item[LP_PRINTABLE];
    return lp_fail(LP_INPUT, "%s: has elements of type %s (%s is required)", lp_name_printable(key->key, item),
                   lp_gguf_type_name(key->element), wanted);
}

lp_status lp_gguf_array_i64(const lp_gguf_key *key, uint64_t index, int64_t *value)
{
    if (index >= key->n_elements) return bad_index(key, index);
    const uint8_t *p = key->raw + index * lp_gguf_type_bytes(key->element);
    if (key->element == LP_GGUF_BOOL) {
        *value = *p;
        return LP_OK;
    }
    return lp_gguf_integer(key->element, p, value) ? LP_OK : bad_element(key, "an integer below 2^63");
}

lp_status lp_gguf_array_f64(const lp_gguf_key *key, uint64_t index, double *value)
{
    if (index >= key->n_elements) return bad_index(key, index);
    const uint8_t *p = key->raw + index * lp_gguf_type_bytes(key->element);
    return lp_gguf_float(key->element, p, value) ? LP_OK : bad_element(key, "a float");
}

lp_status lp_gguf_strings(const lp_gguf_key *key, lp_string *out)
{
    if (key->element != LP_GGUF_STRING) return bad_element(key, "a string");
    const uint8_t *p = key->raw, *end = p + key->n_raw;
    for (uint64_t i = 0; i < key->n_elements; i++) {
        /* Lengths were checked when the file was opened; one that another process changed since must not lead outside. */
        size_t left = (size_t)(end - p);
        uint64_t n = left < 8 ? 0 : lp_read_u64(p);
        if (left < 8 || n > left - 8) return bad_element(key, "an unchanged string");
        out[i] = (lp_string){(const char *)p + 8, (size_t)n};
        p += 8 + n;
    }
    return LP_OK;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

int64_t lp_gguf_tensor_count(const lp_gguf *gguf) { return (int64_t)gguf->n_tensors; }

const lp_tensor *lp_gguf_tensor_at(const lp_gguf *gguf, int64_t index)
{
    return index >= 0 && (uint64_t)index < gguf->n_tensors ? &gguf->tensor[index] : NULL;
}

const lp_tensor *lp_gguf_find_tensor(const lp_gguf *gguf, const char *name)
{
    int64_t index = lp_names_find(&gguf->tensor_names, (lp_string){name, strlen(name)});
    return index < 0 ? NULL : &gguf->tensor[index];
}
