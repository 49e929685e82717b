/* Changing the metadata of a GGUF file: in place where it fits, else by writing it again. */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <lowp/convert.h>

#include "base/checked.h"
#include "base/fail.h"
#include "base/half.h"
#include "file/gguf.h"

/* A change made ready: the bytes that the key will have. */
typedef struct edit {
    const lp_key_change *change;
    const lp_gguf_key *old; /* NULL: a new key */
    lp_gguf_key now;        /* raw: value */
    uint8_t *value;         /* owned */
} edit;

static bool key_begins(const char *key, const char *prefix) { return strncmp(key, prefix, strlen(prefix)) == 0; }

/* What only tells about a model, or is read by nobody here. */
static bool is_harmless(const lp_gguf *gguf, const char *key)
{
    static const char *const strict[] = {"general.architecture", "general.alignment", "general.file_type", "general.quantization_version",
                                         "general.type"};
    lp_string architecture = {"", 0};
    for (size_t i = 0; i < sizeof strict / sizeof *strict; i++)
        if (strcmp(key, strict[i]) == 0) return false;
    if (lp_gguf_get_architecture(gguf, false, &architecture) == LP_OK && architecture.n &&
        strncmp(key, architecture.data, architecture.n) == 0 && key[architecture.n] == '.')
        return false;
    if (lp_gguf_is_format_key((lp_string){key, strlen(key)})) return false;
    if (strcmp(key, "tokenizer.chat_template") == 0) return true;
    return !key_begins(key, "tokenizer.") && !key_begins(key, "split.");
}

static lp_status bad_value(const edit *e, const char *wanted)
{
    return lp_fail(LP_USAGE, "%s: '%.100s' is no %s", e->change->key, e->change->value, wanted);
}

static const struct {
    int64_t least;
    uint64_t most;
} ranges[LP_GGUF_TYPE_COUNT] = {
    [LP_GGUF_U8] = {0, UINT8_MAX},          [LP_GGUF_I8] = {INT8_MIN, INT8_MAX},   [LP_GGUF_U16] = {0, UINT16_MAX},
    [LP_GGUF_I16] = {INT16_MIN, INT16_MAX}, [LP_GGUF_U32] = {0, UINT32_MAX},       [LP_GGUF_I32] = {INT32_MIN, INT32_MAX},
    [LP_GGUF_U64] = {0, UINT64_MAX},        [LP_GGUF_I64] = {INT64_MIN, INT64_MAX},
};

/* The value of an integer type, little-endian, cut to its bytes. */
static lp_status parse_integer(const edit *e, lp_gguf_type type, uint64_t *bits)
{
    const char *text = e->change->value;
    char *end;
    errno = 0;
    bool negative = text[0] == '-';
    if (!negative && !(text[0] >= '0' && text[0] <= '9')) return bad_value(e, lp_gguf_type_name(type));
    if (negative) {
        long long v = strtoll(text, &end, 10);
        *bits = (uint64_t)v;
        if (errno || *end || end == text || v < ranges[type].least) return bad_value(e, lp_gguf_type_name(type));
    } else {
        *bits = strtoull(text, &end, 10);
        if (errno || *end || *bits > ranges[type].most) return bad_value(e, lp_gguf_type_name(type));
    }
    return LP_OK;
}

static lp_status parse_float(const edit *e, lp_gguf_type type, uint64_t *bits)
{
    char *end;
    double d = strtod(e->change->value, &end);
    float f = (float)d;
    if (!*e->change->value || *end || !isfinite(d) || (type == LP_GGUF_F32 && !isfinite(f))) return bad_value(e, "finite number");
    *bits = 0;
    if (type == LP_GGUF_F32) memcpy(bits, &f, 4);
    else memcpy(bits, &d, 8);
    return LP_OK;
}

static lp_status parse_value(edit *e, lp_gguf_type type)
{
    const char *text = e->change->value;
    uint64_t bits = 0;
    size_t n = strlen(text), n_raw = lp_gguf_type_bytes(type);
    if (type == LP_GGUF_STRING) {
        if (!lp_name_is_text((lp_string){text, n})) return bad_value(e, "UTF-8 text");
        if (n > LP_GGUF_MAX_STRING && !key_begins(e->change->key, "tokenizer."))
            return lp_fail(LP_USAGE, "%s: %zu bytes (at most %d are allowed)", e->change->key, n, LP_GGUF_MAX_STRING);
        n_raw = 8 + n;
    } else if (type == LP_GGUF_BOOL) {
        bits = strcmp(text, "true") == 0;
        if (!bits && strcmp(text, "false") != 0) return bad_value(e, "bool (true, false)");
    } else if (type == LP_GGUF_F32 || type == LP_GGUF_F64) {
        LP_TRY(parse_float(e, type, &bits));
    } else {
        LP_TRY(parse_integer(e, type, &bits));
    }
    if (!(e->value = malloc(n_raw))) return lp_fail_memory(n_raw, "a value");
    if (type == LP_GGUF_STRING) {
        uint64_t length = n;
        memcpy(e->value, &length, 8);
        memcpy(e->value + 8, text, n);
    } else memcpy(e->value, &bits, n_raw);
    e->now = (lp_gguf_key){{e->change->key, strlen(e->change->key)}, type, type, 1, e->value, n_raw};
    return LP_OK;
}

static lp_status prepare(const lp_gguf *gguf, bool force, edit *e)
{
    const lp_key_change *c = e->change;
    lp_gguf_type type = LP_GGUF_TYPE_COUNT;
    e->old = lp_gguf_find(gguf, c->key);
    if (!e->old && (!c->type || !c->value)) {
        lp_fail(LP_USAGE, "%s: %s: the file has no such key", lp_gguf_path(gguf), c->key);
        return c->value ? lp_hint(LP_USAGE, "a new key needs its type: %s:string=...", c->key) : LP_USAGE;
    }
    if (!force && !is_harmless(gguf, c->key)) {
        lp_fail(LP_USAGE, "%s: %s: a change of this key can make the model unusable", lp_gguf_path(gguf), c->key);
        return lp_hint(LP_USAGE, "--force changes it all the same");
    }
    if (!c->value) return LP_OK;
    for (int t = 0; c->type && t < LP_GGUF_TYPE_COUNT; t++)
        if (strcmp(c->type, lp_gguf_type_name((uint32_t)t)) == 0) type = (lp_gguf_type)t;
    if (c->type && (type == LP_GGUF_TYPE_COUNT || type == LP_GGUF_ARRAY)) {
        lp_fail(LP_USAGE, "%s: '%.40s' is no type of a single value", c->key, c->type);
        return lp_hint(LP_USAGE, "they are u8 i8 u16 i16 u32 i32 u64 i64 f32 f64 bool string");
    }
    if (e->old && e->old->type == LP_GGUF_ARRAY) return lp_fail(LP_USAGE, "%s: %s: arrays cannot be edited", lp_gguf_path(gguf), c->key);
    if (e->old && c->type && type != e->old->type)
        return lp_fail(LP_USAGE, "%s: %s: has type %s, which is kept", lp_gguf_path(gguf), c->key, lp_gguf_type_name(e->old->type));
    return parse_value(e, e->old ? e->old->type : type);
}

/* ---- in place ---------------------------------------------------------------------------------------------------- */

/* 0, or the errno. */
static int write_at(int file, const uint8_t *bytes, size_t n, uint64_t at)
{
    for (size_t done = 0; done < n;) {
        ssize_t k = pwrite(file, bytes + done, n - done, (off_t)(at + done));
        if (k > 0) done += (size_t)k;
        else if (k == 0) return EIO;
        else if (errno != EINTR) return errno;
    }
    return 0;
}

static int write_and_sync(int file, const lp_gguf *gguf, const edit *edits, size_t n, const uint8_t *old)
{
    for (size_t i = 0; i < n; i++) {
        size_t n_raw = edits[i].now.n_raw;
        int error = write_at(file, old ? old : edits[i].value, n_raw, (uint64_t)(edits[i].old->raw - gguf->data));
        if (error) return error;
        if (old) old += n_raw;
    }
    int r;
    do r = fsync(file);
    while (r != 0 && errno == EINTR);
    return r == 0 ? 0 : errno;
}

/* A write that fails is taken back, as far as the disk lets us. The old values are copied first: the mapping shows what is
 * written. */
static lp_status write_in_place(const char *path, const lp_gguf *gguf, const edit *edits, size_t n)
{
    size_t n_old = 0;
    for (size_t i = 0; i < n; i++) n_old += edits[i].now.n_raw; /* of distinct keys of a file in memory: no overflow */
    uint8_t *old = malloc(n_old + 1), *at = old;
    if (!old) return lp_fail_memory(n_old, "the old values");
    for (size_t i = 0; i < n; at += edits[i++].now.n_raw) memcpy(at, edits[i].old->raw, edits[i].now.n_raw);
    int file = open(path, O_WRONLY | O_CLOEXEC);
    int error = file < 0 ? errno : 0;
    lp_status status = error ? lp_fail(LP_INPUT, "%s: cannot be written (%s)", path, strerror(error)) : LP_OK;
    if (status == LP_OK && (error = write_and_sync(file, gguf, edits, n, NULL)) != 0) {
        status = lp_fail(LP_RESOURCE, "%s: write failed (%s)", path, strerror(error));
        if (write_and_sync(file, gguf, edits, n, old) != 0) lp_hint(status, "the old values could not be written back: check the file");
    }
    if (file >= 0) close(file);
    free(old);
    return status;
}

/* ---- again ------------------------------------------------------------------------------------------------------- */

static const edit *edit_of(const edit *edits, size_t n, const lp_gguf_key *key)
{
    for (size_t i = 0; i < n; i++)
        if (edits[i].old == key) return &edits[i];
    return NULL;
}

static lp_status fill(const lp_gguf *gguf, const edit *edits, size_t n, lp_gguf_writer *writer)
{
    for (uint64_t k = 0; k < gguf->n_keys; k++) {
        const edit *e = edit_of(edits, n, &gguf->key[k]);
        if (!e) LP_TRY(lp_gguf_writer_copy_key(writer, &gguf->key[k]));
        else if (e->value) LP_TRY(lp_gguf_writer_copy_key(writer, &e->now));
    }
    for (size_t i = 0; i < n; i++)
        if (!edits[i].old) LP_TRY(lp_gguf_writer_copy_key(writer, &edits[i].now));
    for (uint64_t t = 0; t < gguf->n_tensors; t++) {
        const lp_tensor *tensor = &gguf->tensor[t];
        LP_TRY(lp_gguf_writer_add_tensor(writer, tensor->name, tensor->n_dims, tensor->dim, tensor->packing));
    }
    return LP_OK;
}

static lp_status write_again(const char *path, const lp_gguf *gguf, const edit *edits, size_t n, bool dry_run)
{
    lp_gguf_writer *writer;
    LP_TRY(dry_run ? lp_gguf_writer_create_dry(&writer) : lp_gguf_writer_create(path, true, &writer));
    lp_status status = fill(gguf, edits, n, writer);
    if (status == LP_OK && !dry_run) status = lp_gguf_writer_begin_data(writer);
    for (uint64_t t = 0; t < gguf->n_tensors && status == LP_OK && !dry_run; t++) {
        status = lp_gguf_writer_write(writer, gguf->tensor[t].data, gguf->tensor[t].n_bytes);
        lp_gguf_drop_pages(gguf, &gguf->tensor[t], 0, INT64_MAX);
    }
    if (status == LP_OK && !dry_run) status = lp_gguf_check_intact(gguf);
    if (status == LP_OK && !dry_run) return lp_gguf_writer_finish(writer, NULL);
    lp_gguf_writer_abort(writer);
    return status;
}

lp_status lp_gguf_edit(const char *path, const lp_key_change *changes, size_t n, bool force, bool dry_run, bool *in_place)
{
    lp_gguf *gguf;
    *in_place = true;
    LP_TRY(lp_gguf_open(path, &gguf));
    edit *edits = calloc(n + 1, sizeof *edits);
    lp_status status = edits ? LP_OK : lp_fail_memory(n * sizeof *edits, "changes");
    for (size_t i = 0; i < n && status == LP_OK; i++) {
        edits[i].change = &changes[i];
        for (size_t k = 0; k < i && status == LP_OK; k++)
            if (strcmp(changes[k].key, changes[i].key) == 0) status = lp_fail(LP_USAGE, "%s: is changed twice", changes[i].key);
        if (status == LP_OK) status = prepare(gguf, force, &edits[i]);
        if (status == LP_OK && (!edits[i].old || !edits[i].value || edits[i].now.n_raw != edits[i].old->n_raw)) *in_place = false;
        /* another alignment moves all data */
        if (status == LP_OK && strcmp(changes[i].key, "general.alignment") == 0) *in_place = false;
    }
    if (status == LP_OK && *in_place && !dry_run) status = write_in_place(path, gguf, edits, n);
    else if (status == LP_OK && !*in_place) status = write_again(path, gguf, edits, n, dry_run);
    for (size_t i = 0; edits && i < n; i++) free(edits[i].value);
    free(edits);
    lp_gguf_close(gguf);
    return status;
}
