/* Opening GGUF files: every promise of the container is checked here. Card: formats/gguf-container.md. */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "base/half.h"
#include "file/gguf.h"

static const char download_hint[] = "is the download complete?";

/* The unread part of the file. */
typedef struct reader {
    lp_gguf *gguf;
    const uint8_t *at, *end;
} reader;

static uint64_t left(const reader *r) { return (uint64_t)(r->end - r->at); }
static uint64_t position(const reader *r) { return (uint64_t)(r->at - r->gguf->data); }

/* ---- errors ------------------------------------------------------------------------------------------------------ */

/* LP_INPUT with "FILE: ITEM: text"; item may be "". */
static lp_status bad(const reader *r, const char *item, const char *format, ...) __attribute__((format(printf, 3, 4)));

static lp_status bad(const reader *r, const char *item, const char *format, ...)
{
    char text[512];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return lp_fail(LP_INPUT, "%s: %s%s%s", r->gguf->path, item, *item ? ": " : "", text);
}

static lp_status truncated(const reader *r, const char *item, uint64_t need, const char *what)
{
    bad(r, item, "%s needs %llu bytes at offset %llu, but the file ends after %llu more", what, (unsigned long long)need,
        (unsigned long long)position(r), (unsigned long long)left(r));
    return lp_hint(LP_INPUT, "%s", download_hint);
}

/* ---- files that are something else ------------------------------------------------------------------------------- */

typedef struct signature {
    const char *start;
    size_t n;
    const char *is, *advice;
} signature;

static const signature signatures[] = {
    {"<", 1, "is an HTML or XML page, not a GGUF file", "the link led to a web page: download the file itself"},
    {"version https://git-lfs", 23, "is a Git LFS pointer, not the GGUF file itself", "fetch the file with `git lfs pull`"},
    {"PK\x03\x04", 4, "is a ZIP archive (a PyTorch checkpoint?), not a GGUF file", "convert it to GGUF first"},
    {"\x1f\x8b", 2, "is a gzip file, not a GGUF file", "unpack it first"},
    {"\x28\xb5\x2f\xfd", 4, "is a Zstandard file, not a GGUF file", "unpack it first"},
    {"\xfd" "7zXZ", 5, "is an XZ file, not a GGUF file", "unpack it first"},
    {"lmgg", 4, "is a model file older than GGUF (ggml)", "convert it again from the original model"},
    {"fmgg", 4, "is a model file older than GGUF (ggmf)", "convert it again from the original model"},
    {"tjgg", 4, "is a model file older than GGUF (ggjt)", "convert it again from the original model"},
    {"algg", 4, "is an adapter file older than GGUF (ggla)", "convert it again from the original adapter"},
    {"{", 1, "is a JSON text, not a GGUF file", NULL},
};

static lp_status wrong_magic(const reader *r)
{
    const uint8_t *data = r->gguf->data;
    uint64_t n = r->gguf->n_bytes;
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const signature *s = &signatures[i];
        if (n < s->n || memcmp(data, s->start, s->n) != 0) continue;
        bad(r, "", "%s", s->is);
        return s->advice ? lp_hint(LP_INPUT, "%s", s->advice) : LP_INPUT;
    }
    /* safetensors: the length of a JSON object, then the object */
    if (n >= 9 && data[8] == '{' && lp_read_u64(data) < UINT64_C(1) << 32) {
        bad(r, "", "is a safetensors file, not a GGUF file");
        return lp_hint(LP_INPUT, "convert it to GGUF first");
    }
    if (n < 4) return bad(r, "", "is not a GGUF file: it has %llu bytes", (unsigned long long)n);
    const uint8_t *start = data;
    return bad(r, "", "is not a GGUF file: it starts with bytes %02x %02x %02x %02x, not 47 47 55 46", start[0], start[1],
               start[2], start[3]);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static const struct {
    const char *name;
    size_t n_bytes;
} types[] = {
    [LP_GGUF_U8] = {"u8", 1},   [LP_GGUF_I8] = {"i8", 1},         [LP_GGUF_U16] = {"u16", 2},
    [LP_GGUF_I16] = {"i16", 2}, [LP_GGUF_U32] = {"u32", 4},       [LP_GGUF_I32] = {"i32", 4},
    [LP_GGUF_F32] = {"f32", 4}, [LP_GGUF_BOOL] = {"bool", 1},     [LP_GGUF_STRING] = {"string", 0},
    [LP_GGUF_ARRAY] = {"array", 0}, [LP_GGUF_U64] = {"u64", 8},   [LP_GGUF_I64] = {"i64", 8},
    [LP_GGUF_F64] = {"f64", 8},
};
_Static_assert(sizeof types / sizeof *types == LP_GGUF_TYPE_COUNT, "a row per type");

size_t lp_gguf_type_bytes(uint32_t type) { return type < LP_GGUF_TYPE_COUNT ? types[type].n_bytes : 0; }
const char *lp_gguf_type_name(uint32_t type) { return type < LP_GGUF_TYPE_COUNT ? types[type].name : "unknown"; }

/* Token texts, merges, chat templates and embedded tokenizer.json files may be long. */
static bool may_be_long(lp_string key) { return key.n >= 10 && memcmp(key.data, "tokenizer.", 10) == 0; }

/* One length-prefixed string. limit: most bytes it may have. */
static lp_status read_string(reader *r, const char *item, const char *what, uint64_t limit, lp_string *out)
{
    if (left(r) < 8) return truncated(r, item, 8, what);
    uint64_t n = lp_read_u64(r->at);
    if (n > left(r) - 8) {
        bad(r, item, "%s claims a length of %llu bytes, but %llu are left", what, (unsigned long long)n,
            (unsigned long long)(left(r) - 8));
        return lp_hint(LP_INPUT, "%s", download_hint);
    }
    if (n > limit)
        return bad(r, item, "%s has %llu bytes (at most %llu are allowed)", what, (unsigned long long)n,
                   (unsigned long long)limit);
    *out = (lp_string){(const char *)r->at + 8, (size_t)n};
    r->at += 8 + n;
    return LP_OK;
}

static lp_status skip_strings(reader *r, const char *item, uint64_t n, uint64_t limit)
{
    lp_string ignored;
    for (uint64_t i = 0; i < n; i++) {
        /* the common case in three operations; a failure takes the long way for its message */
        if (left(r) >= 8) {
            uint64_t length = lp_read_u64(r->at);
            if (length <= left(r) - 8 && length <= limit) {
                r->at += 8 + length;
                continue;
            }
        }
        char what[48];
        snprintf(what, sizeof what, "string %llu of the array", (unsigned long long)i);
        LP_TRY(read_string(r, item, what, limit, &ignored));
    }
    return LP_OK;
}

static lp_status skip_values(reader *r, const char *item, const lp_gguf_key *key)
{
    uint64_t limit = may_be_long(key->key) ? UINT64_MAX : LP_GGUF_MAX_STRING;
    bool is_array = key->type == LP_GGUF_ARRAY;
    if (key->element == LP_GGUF_STRING) {
        if (is_array) return skip_strings(r, item, key->n_elements, limit);
        lp_string ignored;
        return read_string(r, item, "the string", limit, &ignored);
    }
    size_t size = lp_gguf_type_bytes(key->element);
    if (key->n_elements > left(r) / size) {
        uint64_t need;
        if (!lp_mul_u64(key->n_elements, size, &need)) need = UINT64_MAX;
        return truncated(r, item, need, is_array ? "the array" : "the value");
    }
    size_t n = (size_t)key->n_elements * size;
    if (key->element == LP_GGUF_BOOL)
        for (size_t i = 0; i < n; i++)
            if (r->at[i] > 1) return bad(r, item, "a bool has the value %u (0 or 1 is allowed)", r->at[i]);
    r->at += n;
    return LP_OK;
}

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static lp_status read_alignment(reader *r, const lp_gguf_key *key)
{
    if (key->type != LP_GGUF_U32)
        return bad(r, "general.alignment", "has type %s (u32 is required)", lp_gguf_type_name(key->type));
    uint32_t alignment = lp_read_u32(key->raw);
    if (alignment == 0 || (alignment & (alignment - 1)) != 0 || alignment > LP_GGUF_MAX_ALIGNMENT)
        return bad(r, "general.alignment", "is %u (a power of two up to %d is required)", alignment, LP_GGUF_MAX_ALIGNMENT);
    r->gguf->alignment = alignment;
    return LP_OK;
}

static lp_status read_key(reader *r, uint64_t index, lp_gguf_key *key)
{
    char item[LP_PRINTABLE];
    snprintf(item, sizeof item, "key %llu", (unsigned long long)index);
    LP_TRY(read_string(r, item, "its name", LP_GGUF_MAX_KEY, &key->key));
    if (key->key.n == 0) return bad(r, item, "its name is empty");
    lp_name_printable(key->key, item);
    if (!lp_name_is_text(key->key)) return bad(r, item, "key is not valid UTF-8, or has a NUL byte");
    if (left(r) < 4) return truncated(r, item, 4, "the type");
    uint32_t type = lp_read_u32(r->at);
    r->at += 4;
    if (type >= LP_GGUF_TYPE_COUNT) return bad(r, item, "value type %u is unknown (0 to %d exist)", type, LP_GGUF_TYPE_COUNT - 1);
    key->type = key->element = (lp_gguf_type)type;
    key->n_elements = 1;
    if (type == LP_GGUF_ARRAY) {
        if (left(r) < 12) return truncated(r, item, 12, "the array's header");
        uint32_t element = lp_read_u32(r->at);
        key->n_elements = lp_read_u64(r->at + 4);
        r->at += 12;
        if (element == LP_GGUF_ARRAY) return bad(r, item, "arrays of arrays are not allowed");
        if (element >= LP_GGUF_TYPE_COUNT)
            return bad(r, item, "element type %u is unknown (0 to %d exist)", element, LP_GGUF_TYPE_COUNT - 1);
        key->element = (lp_gguf_type)element;
    }
    key->raw = r->at;
    LP_TRY(skip_values(r, item, key));
    key->n_raw = (size_t)(r->at - key->raw);
    return LP_OK;
}

static bool key_is(const lp_gguf_key *key, const char *name)
{
    size_t n = strlen(name);
    return key->key.n == n && memcmp(key->key.data, name, n) == 0;
}

/* The array grows with what was really read, so that a count that lies costs nothing, and never beyond the count, whose
 * entries fit into the file: 48 bytes for 14 of it. */
static lp_status read_keys(reader *r)
{
    lp_gguf *gguf = r->gguf;
    uint64_t n = gguf->n_keys;
    for (uint64_t i = 0; i < n; i++) {
        if (i == gguf->key_capacity) {
            uint64_t capacity = i ? 2 * i : 64;
            if (capacity > n) capacity = n;
            lp_gguf_key *grown = realloc(gguf->key, capacity * sizeof *grown);
            if (!grown) return lp_fail_memory(capacity * sizeof *grown, "the keys of a GGUF file");
            gguf->key = grown;
            gguf->key_capacity = capacity;
        }
        lp_gguf_key *key = &gguf->key[i];
        LP_TRY(read_key(r, i, key));
        uint32_t first;
        bool is_new;
        LP_TRY(lp_names_add(&gguf->key_names, key->key, &first, &is_new));
        if (!is_new) {
            char item[LP_PRINTABLE];
            return bad(r, lp_name_printable(key->key, item), "duplicate key (number %u and number %llu)", first,
                       (unsigned long long)i);
        }
        if (key_is(key, "general.alignment")) LP_TRY(read_alignment(r, key));
    }
    return LP_OK;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

bool lp_gguf_tensor_bytes(const lp_packing *packing, int n_dims, const int64_t *dim, uint64_t *n_bytes)
{
    int64_t n_values = 1, n_rows = 1;
    bool empty = false;
    for (int i = 0; i < n_dims; i++) {
        if (dim[i] < 0) return false;
        /* An empty tensor's other dimensions must multiply without overflow too: readers form such products. */
        int64_t d = dim[i] ? dim[i] : 1;
        empty |= dim[i] == 0;
        if (!lp_mul_i64(n_values, d, &n_values)) return false;
        if (i > 0) n_rows *= d; /* divides n_values */
    }
    if (dim[0] % packing->n_values != 0) return false;
    *n_bytes = 0;
    if (empty) return true;
    return lp_packing_tensor_bytes(packing, dim[0], n_rows, n_bytes);
}

/* Types that ggml once had: 4 and 5 were Q4_2 and Q4_3, the others packed for one kernel each. */
static bool is_removed_type(uint32_t id)
{
    return id == 4 || id == 5 || (id >= 31 && id <= 33) || (id >= 36 && id <= 38);
}

/* Counts the name bytes of the directory and checks that it fits into the file, allocating nothing. */
static lp_status measure_directory(reader r, uint64_t *n_name_bytes)
{
    *n_name_bytes = 0;
    for (uint64_t i = 0; i < r.gguf->n_tensors; i++) {
        char item[LP_PRINTABLE];
        snprintf(item, sizeof item, "tensor %llu", (unsigned long long)i);
        lp_string name;
        LP_TRY(read_string(&r, item, "its name", LP_GGUF_MAX_NAME, &name));
        if (name.n == 0) return bad(&r, item, "its name is empty");
        lp_name_printable(name, item);
        if (!lp_name_is_text(name)) return bad(&r, item, "tensor name is not valid UTF-8, or has a NUL byte");
        if (left(&r) < 4) return truncated(&r, item, 4, "the number of dimensions");
        uint32_t n_dims = lp_read_u32(r.at);
        if (n_dims < 1 || n_dims > 4) return bad(&r, item, "has %u dimensions (1 to 4 are allowed)", n_dims);
        uint64_t need = 4 + 8 * (uint64_t)n_dims + 12;
        if (left(&r) < need) return truncated(&r, item, need, "its directory entry");
        r.at += need;
        *n_name_bytes += name.n + 1;
    }
    return LP_OK;
}

/* Shape, type and place of one tensor. end: where the data of the tensors before it ends, padded, from data_start. The
 * entry was measured once; a file that another process rewrites meanwhile must not be trusted to be the same. */
static lp_status read_tensor(reader *r, lp_tensor *tensor, char *name, const char *names_end, uint64_t *end)
{
    if (left(r) < 12) return bad(r, "", "the file changed while it was read");
    lp_string view = {(const char *)r->at + 8, (size_t)lp_read_u64(r->at)};
    uint32_t n_dims = view.n > LP_GGUF_MAX_NAME || left(r) < 12 + view.n ? 0 : lp_read_u32(r->at + 8 + view.n);
    if (n_dims < 1 || n_dims > 4 || view.n + 1 > (size_t)(names_end - name) || left(r) < 24 + view.n + 8 * (size_t)n_dims)
        return bad(r, "", "the file changed while it was read");
    memcpy(name, view.data, view.n);
    name[view.n] = '\0';
    char item[LP_PRINTABLE];
    lp_name_printable(view, item);
    r->at += 8 + view.n;

    tensor->name = name;
    tensor->n_dims = (int)n_dims;
    r->at += 4;
    for (int i = 0; i < 4; i++) tensor->dim[i] = 1;
    for (int i = 0; i < tensor->n_dims; i++, r->at += 8) {
        uint64_t dim = lp_read_u64(r->at);
        if (dim > INT64_MAX)
            return bad(r, item, "dimension %d is %llu (at most 2^63 - 1 is allowed)", i, (unsigned long long)dim);
        tensor->dim[i] = (int64_t)dim;
    }
    uint32_t type = lp_read_u32(r->at);
    uint64_t offset = lp_read_u64(r->at + 4);
    r->at += 12;

    tensor->packing = lp_packing_by_id(type);
    if (!tensor->packing)
        return bad(r, item, "tensor type %u %s", type,
                   is_removed_type(type) ? "was removed from the format" : "is unknown");
    if (tensor->dim[0] % tensor->packing->n_values != 0)
        return bad(r, item, "rows of %lld values are no multiple of the block of %s (%d values)", (long long)tensor->dim[0],
                   tensor->packing->name, tensor->packing->n_values);
    uint64_t n_bytes;
    if (!lp_gguf_tensor_bytes(tensor->packing, tensor->n_dims, tensor->dim, &n_bytes))
        return bad(r, item, "the size of its shape (%lld x %lld x %lld x %lld) overflows", (long long)tensor->dim[0],
                   (long long)tensor->dim[1], (long long)tensor->dim[2], (long long)tensor->dim[3]);
    tensor->n_bytes = (size_t)n_bytes;

    uint32_t alignment = r->gguf->alignment;
    if (offset % alignment != 0)
        return bad(r, item, "data offset %llu is no multiple of the alignment (%u)", (unsigned long long)offset, alignment);
    if (offset != *end)
        return bad(r, item, "data offset is %llu, but the tensors before it end at %llu (%s)", (unsigned long long)offset,
                   (unsigned long long)*end, offset < *end ? "they overlap" : "a hole");
    tensor->offset = offset; /* relative until the data section's start is known */
    if (!lp_add_u64(offset, n_bytes, end) || !lp_align_u64(*end, alignment, end))
        return bad(r, item, "the end of its data overflows (offset %llu, %llu bytes)", (unsigned long long)offset,
                   (unsigned long long)n_bytes);
    return LP_OK;
}

static lp_status read_directory(reader *r, uint64_t *data_end)
{
    lp_gguf *gguf = r->gguf;
    *data_end = 0;
    uint64_t n_name_bytes;
    LP_TRY(measure_directory(*r, &n_name_bytes));
    /* Here the directory is known to lie in the file: its length bounds both allocations. */
    gguf->tensor = calloc(gguf->n_tensors ? gguf->n_tensors : 1, sizeof *gguf->tensor);
    gguf->name_bytes = malloc(n_name_bytes ? n_name_bytes : 1);
    if (!gguf->tensor || !gguf->name_bytes)
        return lp_fail_memory(gguf->n_tensors * sizeof *gguf->tensor + n_name_bytes, "the directory of a GGUF file");
    char *name = gguf->name_bytes;
    for (uint64_t i = 0; i < gguf->n_tensors; i++) {
        LP_TRY(read_tensor(r, &gguf->tensor[i], name, gguf->name_bytes + n_name_bytes, data_end));
        lp_string view = {name, strlen(name)}; /* up to a NUL, should one have appeared */
        uint32_t first;
        bool is_new;
        LP_TRY(lp_names_add(&gguf->tensor_names, view, &first, &is_new));
        if (!is_new) {
            char item[LP_PRINTABLE];
            return bad(r, lp_name_printable(view, item), "duplicate tensor name (number %u and number %llu)", first,
                       (unsigned long long)i);
        }
        name += view.n + 1;
    }
    return LP_OK;
}

/* Places the tensors in the file and checks that all of their bytes are there. */
static lp_status place_data(reader *r, uint64_t data_end)
{
    lp_gguf *gguf = r->gguf;
    uint64_t n_bytes = gguf->n_bytes, end = position(r);
    if (!lp_align_u64(end, gguf->alignment, &gguf->data_start))
        return bad(r, "", "the start of the tensor data overflows");
    for (uint64_t i = 0; i < gguf->n_tensors; i++) {
        lp_tensor *tensor = &gguf->tensor[i];
        if (!lp_add_u64(tensor->offset, gguf->data_start, &tensor->offset) ||
            !lp_add_u64(tensor->offset, tensor->n_bytes, &end))
            return bad(r, "", "the end of the tensor data overflows");
        if (tensor->n_bytes == 0) { /* any valid address will do */
            tensor->data = gguf->data;
            continue;
        }
        if (gguf->part) {
            tensor->data = gguf->part[i];
            continue;
        }
        if (end > n_bytes) {
            char item[LP_PRINTABLE];
            bad(r, lp_name_printable((lp_string){tensor->name, strlen(tensor->name)}, item),
                "its data ends at byte %llu, but the file has %llu bytes", (unsigned long long)end,
                (unsigned long long)n_bytes);
            uint64_t whole;
            if (!lp_add_u64(gguf->data_start, data_end, &whole)) whole = UINT64_MAX;
            return lp_hint(LP_INPUT, "%s The whole file has %llu bytes, %llu are missing.", download_hint,
                           (unsigned long long)whole, (unsigned long long)(whole - n_bytes));
        }
        tensor->data = gguf->data + tensor->offset;
    }
    uint64_t whole;
    bool known = lp_add_u64(gguf->data_start, data_end, &whole);
    if (gguf->part && known) gguf->n_bytes = gguf->n_tensors ? whole : n_bytes;
    else if (known && n_bytes > whole)
        lp_gguf_warn(gguf, "%llu bytes follow the last tensor (ignored)", (unsigned long long)(n_bytes - whole));
    return LP_OK;
}

/* ---- the whole file ---------------------------------------------------------------------------------------------- */

static lp_status read_header(reader *r)
{
    lp_gguf *gguf = r->gguf;
    if (gguf->n_bytes == 0) {
        bad(r, "", "the file is empty (0 bytes)");
        return lp_hint(LP_INPUT, "%s", download_hint);
    }
    if (gguf->n_bytes < 4 || memcmp(r->at, "GGUF", 4) != 0) return wrong_magic(r);
    if (gguf->n_bytes < LP_GGUF_HEADER) return truncated(r, "", LP_GGUF_HEADER, "the header");
    gguf->version = lp_read_u32(r->at + 4);
    gguf->n_tensors = lp_read_u64(r->at + 8);
    gguf->n_keys = lp_read_u64(r->at + 16);
    r->at += LP_GGUF_HEADER;

    if (gguf->version != 0 && (gguf->version & 0xffff) == 0) {
        bad(r, "", "is a big-endian GGUF file (version field %08x)", gguf->version);
        return lp_hint(LP_INPUT, "use the little-endian file, or convert it with gguf_convert_endian.py");
    }
    if (gguf->version < 2 || gguf->version > 3) {
        bad(r, "", "GGUF version %u is not supported (2 and 3 are)", gguf->version);
        return lp_hint(LP_INPUT, gguf->version == 1 ? "convert it again from the original model"
                                                    : "is the file damaged, or newer than this program?");
    }
    /* Smallest entries: a key of one byte with a one-byte value, and a tensor of one dimension with one byte of name. */
    if (gguf->n_keys > left(r) / 14)
        return bad(r, "", "claims %llu keys, but %llu bytes are left (a key takes at least 14)",
                   (unsigned long long)gguf->n_keys, (unsigned long long)left(r));
    if (gguf->n_tensors > left(r) / 33)
        return bad(r, "", "claims %llu tensors, but %llu bytes are left (a directory entry takes at least 33)",
                   (unsigned long long)gguf->n_tensors, (unsigned long long)left(r));
    return LP_OK;
}

static lp_status parse(lp_gguf *gguf)
{
    reader r = {gguf, gguf->data, gguf->data + gguf->n_bytes};
    LP_TRY(read_header(&r));
    LP_TRY(read_keys(&r));
    if (gguf->n_tensors > left(&r) / 33)
        return bad(&r, "", "claims %llu tensors, but %llu bytes are left for the directory (an entry takes at least 33)",
                   (unsigned long long)gguf->n_tensors, (unsigned long long)left(&r));
    uint64_t data_end;
    LP_TRY(read_directory(&r, &data_end));
    LP_TRY(place_data(&r, data_end));
    LP_TRY(lp_gguf_read_formats(gguf));
    return lp_gguf_check_intact(gguf);
}

static lp_gguf *new_gguf(const char *name)
{
    lp_gguf *gguf = calloc(1, sizeof *gguf);
    if (gguf) gguf->path = strdup(name);
    if (!gguf || !gguf->path) {
        lp_fail_memory(sizeof *gguf, "a GGUF file");
        lp_gguf_close(gguf);
        return NULL;
    }
    gguf->alignment = LP_GGUF_ALIGNMENT;
    return gguf;
}

/* Parses; on failure the file is closed. */
static lp_status finish_open(lp_gguf *gguf, lp_gguf **out)
{
    lp_status status = parse(gguf);
    if (status != LP_OK) {
        lp_gguf_close(gguf);
        return status;
    }
    *out = gguf;
    return LP_OK;
}

lp_status lp_gguf_open(const char *path, lp_gguf **out)
{
    *out = NULL;
    lp_gguf *gguf = new_gguf(path);
    if (!gguf) return LP_RESOURCE;
    gguf->map = malloc(sizeof *gguf->map);
    lp_status status = gguf->map ? lp_map_open(path, gguf->map) : lp_fail_memory(sizeof *gguf->map, "a GGUF file");
    if (status != LP_OK) {
        lp_gguf_close(gguf);
        return status;
    }
    gguf->n_maps = 1;
    gguf->n_bytes = gguf->map->n_bytes;
    gguf->data = gguf->map->data ? gguf->map->data : (const uint8_t *)"";
    return finish_open(gguf, out);
}

lp_status lp_gguf_open_parts(lp_gguf_parts *parts, const char *name, lp_gguf **out)
{
    *out = NULL;
    lp_gguf *gguf = new_gguf(name);
    if (!gguf) {
        lp_gguf_parts_free(parts);
        return LP_RESOURCE;
    }
    gguf->data = parts->image;
    gguf->n_bytes = parts->n_image;
    gguf->part = parts->data;
    gguf->map = parts->map;
    gguf->n_maps = parts->n_maps;
    gguf->owned[0] = parts->image;
    gguf->owned[1] = (void *)(uintptr_t)parts->data;
    gguf->owned[2] = parts->buffer;
    *parts = (lp_gguf_parts){0};
    return finish_open(gguf, out);
}

void lp_gguf_parts_free(lp_gguf_parts *parts)
{
    for (int i = 0; i < parts->n_maps; i++) lp_map_close(&parts->map[i]);
    free(parts->map);
    free(parts->image);
    free((void *)(uintptr_t)parts->data);
    free(parts->buffer);
    *parts = (lp_gguf_parts){0};
}

void lp_gguf_warn(lp_gguf *gguf, const char *format, ...)
{
    if ((size_t)gguf->n_warnings == sizeof gguf->warning / sizeof *gguf->warning) return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(gguf->warning[gguf->n_warnings++], sizeof gguf->warning[0], format, arguments);
    va_end(arguments);
}

lp_status lp_gguf_open_memory(const void *data, size_t n, const char *name, lp_gguf **out)
{
    *out = NULL;
    lp_gguf *gguf = new_gguf(name);
    if (!gguf) return LP_RESOURCE;
    gguf->n_bytes = n;
    gguf->data = n ? data : (const uint8_t *)"";
    return finish_open(gguf, out);
}

void lp_gguf_close(lp_gguf *gguf)
{
    if (!gguf) return;
    lp_names_free(&gguf->key_names);
    lp_names_free(&gguf->tensor_names);
    free(gguf->key);
    free(gguf->tensor);
    free(gguf->name_bytes);
    for (size_t i = 0; i < gguf->n_packings; i++) lp_packing_free(gguf->packing[i]);
    free(gguf->packing);
    free(gguf->path);
    for (int i = 0; i < gguf->n_maps; i++) lp_map_close(&gguf->map[i]);
    free(gguf->map);
    for (size_t i = 0; i < sizeof gguf->owned / sizeof *gguf->owned; i++) free(gguf->owned[i]);
    free(gguf);
}
