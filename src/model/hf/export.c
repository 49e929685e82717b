/* A GGUF file as a Hugging Face folder. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/checked.h"
#include "base/fail.h"
#include "base/half.h"
#include "base/output.h"
#include "file/gguf.h"
#include "model/hf/convert.h"
#include "model/model.h"

static const char *const file_names[] = {"model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"};
enum { N_FILES = sizeof file_names / sizeof *file_names };

/* Where a tensor of the folder comes from. */
typedef struct origin {
    const uint8_t *data; /* n_bytes in GGUF: the tensor, or a part of it */
    uint64_t n_bytes;
    int64_t n_rows;      /* of q or k, where they are permuted */
    float *values;       /* instead of data: a norm without its 1; from the arena */
    bool narrow;         /* F32 here, 16 bits there */
} origin;

typedef struct exporter {
    const lp_gguf *gguf;
    const lp_hf_architecture *architecture;
    lp_arena arena;
    lp_hf_shape shape;
    uint32_t has;             /* the architecture's, and LP_HF_STACKED where the file is so */
    bool permutes;
    origin *origins;
    lp_safetensor_declared *declared; /* [n], user: its origin */
    size_t n;
    const char *dtype;        /* of the matrices, as config.json writes it */
    lp_json_text text[N_FILES]; /* [0]: the header of model.safetensors */
    uint64_t n_data;
    lp_names bf16, f16;       /* tensors that were narrower once */
} exporter;

static const lp_safetensors_type *type_of(const char *packing)
{
    for (int i = 0; i < lp_safetensors_type_count(); i++)
        if (lp_safetensors_types[i].packing && strcmp(lp_safetensors_types[i].packing, packing) == 0) return &lp_safetensors_types[i];
    return NULL;
}

/* The names in an array of strings, as a set: tensors look themselves up. Absent: the empty set. */
static lp_status read_names(const lp_gguf *gguf, const char *key, lp_names *names)
{
    const lp_gguf_key *list = lp_gguf_find(gguf, key);
    if (!list || list->type != LP_GGUF_ARRAY || list->element != LP_GGUF_STRING) return LP_OK;
    const uint8_t *p = list->raw, *end = p + list->n_raw; /* lengths were checked when the file was opened, but it may change */
    for (uint64_t i = 0; i < list->n_elements; i++) {
        size_t left = (size_t)(end - p), n = left < 8 ? 0 : (size_t)lp_read_u64(p);
        if (left < 8 || n > left - 8) return lp_fail(LP_INPUT, "%s: %s: the file changed while it was read", lp_gguf_path(gguf), key);
        uint32_t index;
        bool is_new;
        LP_TRY(lp_names_add(names, (lp_string){(const char *)p + 8, n}, &index, &is_new));
        p += 8 + n;
    }
    return LP_OK;
}

/* 16 bits with the value of 32; false if there are none. */
static bool narrow_value(const lp_safetensors_type *type, uint32_t bits, uint16_t *out)
{
    if (strcmp(type->name, "BF16") == 0) {
        *out = (uint16_t)(bits >> 16);
        return (bits & 0xffff) == 0;
    }
    *out = lp_f16_from_f32(lp_f32_from_bits(bits));
    return lp_f32_bits(lp_f16_to_f32(*out)) == bits;
}

/* What came from 16 bits goes back, if every value still fits. */
static const lp_safetensors_type *narrowed(const exporter *x, const lp_tensor *t, const uint8_t *values)
{
    lp_string name = {t->name, strlen(t->name)};
    const char *to = lp_names_find(&x->bf16, name) >= 0 ? "bf16" : lp_names_find(&x->f16, name) >= 0 ? "f16" : NULL;
    const lp_safetensors_type *type = to ? type_of(to) : NULL;
    uint16_t ignored;
    for (uint64_t i = 0; type && i < t->n_bytes / 4; i++)
        if (!narrow_value(type, lp_read_u32(values + 4 * i), &ignored)) type = NULL;
    return type;
}

/* w of a norm that holds 1 + w: fl(s - 1), or the bits that importing kept. Refused where neither gives s again. */
static lp_status unshift(exporter *x, const lp_tensor *t, float **out)
{
    char text[LP_GGUF_MAX_NAME + 32];
    snprintf(text, sizeof text, LP_HF_REST "%s", t->name);
    const lp_gguf_key *rest = lp_gguf_find(x->gguf, text);
    float *w = *out = lp_arena_alloc_array(&x->arena, (size_t)t->dim[0], sizeof *w);
    if (!w) return LP_RESOURCE;
    if (t->n_dims != 1 || t->packing != lp_packing_by_name("f32"))
        return lp_fail(LP_UNSUPPORTED, "%s: %s: a norm that is no vector of f32", lp_gguf_path(x->gguf), t->name);
    for (int64_t i = 0; i < t->dim[0]; i++) w[i] = lp_hf_unshift(lp_f32_from_bits(lp_read_u32(t->data + 4 * i)));
    for (uint64_t i = 0; rest && rest->type == LP_GGUF_ARRAY && i + 1 < rest->n_elements; i += 2) {
        int64_t at = 0, bits = 0;
        if (lp_gguf_array_i64(rest, i, &at) != LP_OK || lp_gguf_array_i64(rest, i + 1, &bits) != LP_OK || at < 0 || at >= t->dim[0])
            return lp_fail(LP_INPUT, "%s: key %s: no list of positions and values", lp_gguf_path(x->gguf), text);
        float exact = lp_f32_from_bits((uint32_t)bits);
        if (lp_f32_bits(lp_hf_shift(exact)) == lp_read_u32(t->data + 4 * at)) w[at] = exact; /* else the norm was changed since */
    }
    for (int64_t i = 0; i < t->dim[0]; i++) {
        if (lp_f32_bits(lp_hf_shift(w[i])) == lp_read_u32(t->data + 4 * i)) continue;
        return lp_fail(LP_UNSUPPORTED, "%s: %s: value %lld: %s keeps weight - 1, which float32 does not hold exactly here",
                       lp_gguf_path(x->gguf), t->name, (long long)i, x->architecture->class_name);
    }
    return LP_OK;
}

static lp_status declare(exporter *x, const lp_tensor *t, const lp_hf_name *row, int64_t layer, int64_t part, int64_t n_parts,
                         float *values, const lp_safetensors_type *type, const lp_safetensors_type *narrower)
{
    char name[256];
    lp_hf_make_name(row, layer, part, false, name, sizeof name);
    lp_safetensor_declared *d = &x->declared[x->n];
    origin *o = &x->origins[x->n];
    d->name = lp_arena_copy_string(&x->arena, name, strlen(name));
    if (!d->name) return LP_RESOURCE;
    uint64_t n_bytes = t->n_bytes / (uint64_t)n_parts;
    *o = (origin){.data = t->data + n_bytes * (uint64_t)(part < 0 ? 0 : part), .n_bytes = n_bytes,
                  .values = values, .narrow = narrower != NULL};
    if (x->permutes && row->rows != LP_HF_ROWS_KEPT) o->n_rows = t->dim[t->n_dims - 1];
    d->type = narrower ? narrower : type;
    d->n_dims = part < 0 ? t->n_dims : t->n_dims - 1;
    for (int k = 0; k < d->n_dims; k++) d->dim[k] = t->dim[d->n_dims - 1 - k];
    if (row->flags & LP_HF_ROW && t->n_dims == 1) {
        d->n_dims = 2;
        d->dim[1] = d->dim[0];
        d->dim[0] = 1;
    }
    d->n_bytes = narrower ? n_bytes / 2 : n_bytes;
    d->user = o;
    x->n_data += d->n_bytes;
    x->n++;
    return LP_OK;
}

static bool is_factors(const lp_tensor *t)
{
    static const char *const names[] = {"rope_freqs.weight", "rope_factors_long.weight", "rope_factors_short.weight"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(t->name, names[i]) == 0) return true;
    return false;
}

static int64_t parts_of(const exporter *x, const lp_hf_name *row)
{
    if (!lp_hf_has_parts(row)) return 1;
    return row->rows == LP_HF_ROWS_KEPT ? x->shape.n_experts : row->rows == LP_HF_ROWS_Q ? x->shape.n_head : x->shape.n_head_kv;
}

static lp_status add_tensor(exporter *x, const lp_tensor *t)
{
    const char *file = lp_gguf_path(x->gguf);
    int64_t layer, part;
    if (is_factors(t)) return LP_OK; /* stands in config.json */
    const lp_hf_name *row = lp_hf_find_name(x->has, (lp_string){t->name, strlen(t->name)}, true, &layer, &part);
    if (!row) return lp_fail(LP_UNSUPPORTED, "%s: %s: a tensor that has no name in %s", file, t->name, x->architecture->class_name);
    const lp_safetensors_type *type = type_of(t->packing->name);
    if (!t->packing->is_float || !type) {
        lp_fail(LP_UNSUPPORTED, "%s: %s: has type %s, which safetensors files cannot hold", file, t->name, t->packing->name);
        return lp_hint(LP_UNSUPPORTED, "only F32, F16 and BF16 tensors can be converted");
    }
    bool permuted = x->permutes && row->rows != LP_HF_ROWS_KEPT, stacked = lp_hf_has_parts(row);
    int64_t n_parts = parts_of(x, row), rows = (row->rows == LP_HF_ROWS_Q ? x->shape.n_head : x->shape.n_head_kv) * x->shape.head_size;
    if (permuted && t->dim[t->n_dims - 1] != rows) return lp_fail(LP_INPUT, "%s: %s: its shape does not fit the heads", file, t->name);
    if (t->n_dims > (row->of & LP_HF_STACKED ? 3 : 2 + stacked) || (stacked && (t->n_dims < 2 || t->dim[t->n_dims - 1] != n_parts)))
        return lp_fail(LP_INPUT, "%s: %s: has %d dimensions, or not %lld parts", file, t->name, t->n_dims, (long long)n_parts);
    bool vector = t->n_dims == 1 || row->flags & LP_HF_WIDE;
    float *values = NULL;
    if (x->architecture->has & LP_HF_GEMMA && row->flags & LP_HF_NORM) LP_TRY(unshift(x, t, &values));
    const lp_safetensors_type *narrower = NULL;
    if (vector && strcmp(type->name, "F32") == 0) narrower = narrowed(x, t, values ? (const uint8_t *)values : t->data);
    for (int64_t p = 0; p < n_parts; p++) LP_TRY(declare(x, t, row, layer, stacked ? p : -1, n_parts, values, type, narrower));
    if (!vector) x->dtype = strcmp(type->name, "F32") == 0 ? "float32" : strcmp(type->name, "F16") == 0 ? "float16" : "bfloat16";
    return LP_OK;
}

/* Parts count each: the tensors of the folder. */
static lp_status count_tensors(const exporter *x, size_t *n)
{
    *n = 0;
    for (int64_t i = 0; i < lp_gguf_tensor_count(x->gguf); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(x->gguf, i);
        int64_t layer, part;
        const lp_hf_name *row = lp_hf_find_name(x->has, (lp_string){t->name, strlen(t->name)}, true, &layer, &part);
        bool fits = row && t->dim[t->n_dims - 1] == parts_of(x, row); /* what does not is refused later */
        if (!lp_add_size(*n, fits ? (size_t)parts_of(x, row) : 1, n)) return lp_fail_memory(SIZE_MAX, "tensors");
    }
    return LP_OK;
}

static void put_notes(const lp_gguf *gguf, lp_json_text *out)
{
    for (int64_t i = 0; i < lp_gguf_key_count(gguf); i++) {
        const lp_gguf_key *key = lp_gguf_key_at(gguf, i);
        lp_string value;
        if (key->type != LP_GGUF_STRING || !lp_hf_is_note(key->key) || lp_gguf_strings(key, &value) != LP_OK) continue;
        if (key->key.n > 256) continue; /* nobody's */
        char name[300];
        int n = snprintf(name, sizeof name, "gguf.%.*s", (int)key->key.n, key->key.data);
        lp_json_puts(out, ",");
        lp_json_quote(out, name, (size_t)n);
        lp_json_puts(out, ":");
        lp_json_quote(out, value.data, value.n);
    }
    lp_json_put(out, "", 1);
}

static lp_status choose_architecture(exporter *x, lp_string name)
{
    const lp_architecture *built = lp_architecture_find(name);
    lp_hf_key key;
    int64_t n_experts = 0, window = 0;
    if (built) {
        snprintf(key.text, sizeof key.text, "%s.expert_count", built->name);
        LP_TRY(lp_gguf_get_i64(x->gguf, key.text, false, &n_experts));
        snprintf(key.text, sizeof key.text, "%s.attention.sliding_window", built->name);
        LP_TRY(lp_gguf_get_i64(x->gguf, key.text, false, &window));
        x->permutes = built->adjacent_pairs;
        x->architecture = lp_hf_architecture_of_gguf(name, n_experts > 0, window > 0);
    }
    if (x->architecture) {
        x->has = x->architecture->has | (lp_gguf_find_tensor(x->gguf, "blk.0.ffn_gate_up_exps.weight") ? LP_HF_STACKED : 0);
        return LP_OK;
    }
    lp_fail(LP_UNSUPPORTED, "%s: architecture '%.*s' cannot be converted", lp_gguf_path(x->gguf), (int)(name.n < 64 ? name.n : 64), name.data);
    return lp_hint(LP_UNSUPPORTED, "known ones: %s", lp_model_architectures());
}

/* Everything but the tensors' bytes. */
static lp_status prepare(exporter *x)
{
    lp_string name;
    char *header;
    LP_TRY(lp_gguf_get_architecture(x->gguf, true, &name));
    LP_TRY(choose_architecture(x, name));
    LP_TRY(lp_hf_read_shape(x->gguf, x->architecture, &x->shape));
    LP_TRY(read_names(x->gguf, "lowp.convert.bf16", &x->bf16));
    LP_TRY(read_names(x->gguf, "lowp.convert.f16", &x->f16));
    size_t n;
    LP_TRY(count_tensors(x, &n));
    x->origins = lp_arena_alloc_array(&x->arena, n, sizeof *x->origins);
    x->declared = lp_arena_alloc_array(&x->arena, n, sizeof *x->declared);
    if (!x->origins || !x->declared) return LP_RESOURCE;
    for (int64_t i = 0; i < lp_gguf_tensor_count(x->gguf); i++) LP_TRY(add_tensor(x, lp_gguf_tensor_at(x->gguf, i)));
    LP_TRY(lp_hf_write_config(x->gguf, x->architecture, &x->shape, x->dtype ? x->dtype : "float32", &x->text[3]));
    LP_TRY(lp_hf_write_tokenizer(x->gguf, &x->text[1], &x->text[2]));
    lp_json_text notes = {0};
    put_notes(x->gguf, &notes);
    lp_status status = notes.failed ? lp_fail_memory(notes.n, "metadata") : lp_safetensors_header(x->declared, x->n, notes.data, &header, &n);
    free(notes.data);
    LP_TRY(status);
    x->text[0] = (lp_json_text){.data = header, .n = n};
    for (int i = 0; i < N_FILES; i++)
        if (x->text[i].failed) return lp_fail_memory(x->text[i].n, file_names[i]);
    return LP_OK;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static lp_status write_tensor(const exporter *x, const lp_safetensor_declared *d, lp_output *output)
{
    const origin *o = d->user;
    if (!o->n_rows && !o->narrow) return lp_output_write(output, o->values ? (const void *)o->values : o->data, o->n_bytes);
    uint8_t *bytes = malloc(o->n_bytes + 1);
    if (!bytes) return lp_fail_memory(o->n_bytes, "a tensor");
    if (o->n_rows)
        lp_hf_permute(o->data, bytes, o->n_rows / x->shape.head_size, x->shape.head_size, o->n_bytes / (size_t)o->n_rows, false);
    else memcpy(bytes, o->values ? (const void *)o->values : o->data, o->n_bytes);
    for (uint64_t i = 0; o->narrow && i < o->n_bytes / 4; i++) { /* in place: two bytes never reach a value that is still to come */
        uint16_t value;
        narrow_value(d->type, lp_read_u32(bytes + 4 * i), &value);
        memcpy(bytes + 2 * i, &value, 2);
    }
    lp_status status = lp_output_write(output, bytes, d->n_bytes);
    free(bytes);
    return status;
}

static lp_status write_tensors(const exporter *x, lp_output *output, const lp_progress *progress)
{
    double done = 0;
    for (size_t i = 0; i < x->n; i++) {
        const lp_safetensor_declared *d = &x->declared[i];
        if (progress && progress->cancelled && progress->cancelled(progress->context)) return lp_fail(LP_INTERRUPTED, "interrupted");
        LP_TRY(write_tensor(x, d, output));
        const origin *o = d->user;
        lp_gguf_drop_bytes(x->gguf, o->data, o->n_bytes);
        done += (double)d->n_bytes;
        if (progress && progress->report) progress->report(progress->context, d->name, done, (double)x->n_data);
    }
    return lp_gguf_check_intact(x->gguf);
}

/* Whole on the disk, but not yet renamed: *out, NULL on error. */
static lp_status write_file(const exporter *x, int which, const char *folder, const lp_progress *progress, const lp_output *beside,
                            lp_output **out)
{
    char path[4200];
    lp_output *output;
    *out = NULL;
    snprintf(path, sizeof path, "%s/%s", folder, file_names[which]);
    LP_TRY(lp_output_create(path, true, &output));
    lp_status status = which == 0 ? lp_output_reserve(output, x->text[0].n + x->n_data) : LP_OK;
    if (status == LP_OK) status = lp_output_write(output, x->text[which].data, x->text[which].n);
    if (status == LP_OK && which == 0) status = write_tensors(x, output, progress);
    if (status == LP_OK) status = lp_output_prepare(output, beside);
    if (status == LP_OK) *out = output;
    else lp_output_abort(output);
    return status;
}

static void remove_folder(const char *folder)
{
    char path[4200];
    for (int i = 0; i < N_FILES; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, file_names[i]);
        (void)unlink(path);
    }
    (void)rmdir(folder);
}

/* A new folder is filled under a hidden name beside its own; one that exists gets its files replaced, all or none. */
static lp_status write_folder(const exporter *x, const char *path, bool force, const lp_progress *progress)
{
    char target[4000], temporary[4100];
    struct stat s;
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/') n--;
    if (n >= sizeof target - 300) return lp_fail(LP_USAGE, "%.100s...: the path is too long", path);
    memcpy(target, path, n);
    target[n] = '\0';
    bool exists = stat(target, &s) == 0;
    if (exists && (!S_ISDIR(s.st_mode) || !force)) {
        lp_fail(LP_USAGE, "%s: the output exists", target);
        return S_ISDIR(s.st_mode) ? lp_hint(LP_USAGE, "--force replaces the model's files in it") : LP_USAGE;
    }
    const char *slash = strrchr(target, '/');
    int n_parent = slash ? (int)(slash - target + 1) : 0;
    snprintf(temporary, sizeof temporary, "%.*s.%s.lowp-tmp", n_parent, target, target + n_parent);
    const char *folder = exists ? target : temporary;
    if (!exists) {
        remove_folder(temporary); /* of an earlier run that was killed */
        if (mkdir(temporary, 0777) != 0) return lp_fail(LP_INPUT, "%s: the folder cannot be made (%s)", target, strerror(errno));
    }
    lp_status status = LP_OK;
    lp_output *file[N_FILES];
    int n_ready = 0;
    for (; n_ready < N_FILES && status == LP_OK; n_ready += status == LP_OK)
        status = write_file(x, n_ready, folder, progress, n_ready ? file[0] : NULL, &file[n_ready]);
    if (status == LP_OK) status = lp_output_finish_all(file, N_FILES);
    else while (n_ready) lp_output_abort(file[--n_ready]);
    if (!exists && status == LP_OK && rename(temporary, target) != 0)
        status = lp_fail(LP_RESOURCE, "%s: the folder cannot be renamed (%s)", target, strerror(errno));
    if (!exists && status != LP_OK) remove_folder(temporary);
    return status;
}

lp_status lp_hf_export(const lp_gguf *gguf, const char *path, const lp_convert_options *options, const lp_progress *progress,
                       lp_convert_result *result)
{
    exporter x = {.gguf = gguf};
    lp_status status = prepare(&x);
    if (status == LP_OK && !options->dry_run) status = write_folder(&x, path, options->force, progress);
    *result = (lp_convert_result){.is_folder = true, .n_files = N_FILES, .n_tensors = (int64_t)x.n, .n_bytes = x.n_data};
    for (int i = 0; i < N_FILES; i++) {
        result->n_bytes += x.text[i].n;
        free(x.text[i].data);
    }
    lp_names_free(&x.bf16);
    lp_names_free(&x.f16);
    lp_arena_free(&x.arena);
    return status;
}
