/* A GGUF file as a Hugging Face folder. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fail.h"
#include "base/half.h"
#include "base/output.h"
#include "file/gguf.h"
#include "model/hf/convert.h"

static const char *const file_names[] = {"model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"};
enum { N_FILES = sizeof file_names / sizeof *file_names };

/* Where a tensor of the folder comes from. */
typedef struct origin {
    const lp_tensor *tensor;
    const lp_hf_name *name;
    bool narrow; /* F32 here, 16 bits there */
} origin;

typedef struct exporter {
    const lp_gguf *gguf;
    const lp_hf_architecture *architecture;
    lp_arena arena;
    int64_t n_head, n_head_kv, head_size;
    origin *origins;
    lp_safetensor_declared *declared; /* [n], user: its origin */
    size_t n;
    const char *dtype;        /* of the matrices, as config.json writes it */
    lp_json_text text[N_FILES]; /* [0]: the header of model.safetensors */
    uint64_t n_data;
    lp_names bf16, f16;       /* vectors that were narrower once */
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
    const uint8_t *p = list->raw; /* lengths were checked when the file was opened */
    for (uint64_t i = 0; i < list->n_elements; i++) {
        size_t n = (size_t)lp_read_u64(p);
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

/* A vector that came from 16 bits goes back, if every value still fits. */
static const lp_safetensors_type *narrowed(const exporter *x, const lp_tensor *t)
{
    lp_string name = {t->name, strlen(t->name)};
    const char *to = lp_names_find(&x->bf16, name) >= 0 ? "bf16" : lp_names_find(&x->f16, name) >= 0 ? "f16" : NULL;
    const lp_safetensors_type *type = to ? type_of(to) : NULL;
    uint16_t ignored;
    for (int64_t i = 0; type && i < t->dim[0]; i++)
        if (!narrow_value(type, lp_read_u32(t->data + 4 * i), &ignored)) type = NULL;
    return type;
}

static lp_status add_tensor(exporter *x, const lp_tensor *t)
{
    const char *file = lp_gguf_path(x->gguf);
    int64_t layer;
    char name[256];
    if (strcmp(t->name, "rope_freqs.weight") == 0) return LP_OK; /* stands in config.json */
    const lp_hf_name *row = lp_hf_find_name(x->architecture, (lp_string){t->name, strlen(t->name)}, true, &layer);
    if (!row) return lp_fail(LP_UNSUPPORTED, "%s: %s: a tensor that has no name in %s", file, t->name, x->architecture->class_name);
    const lp_safetensors_type *type = type_of(t->packing->name);
    if (!t->packing->is_float || !type) {
        lp_fail(LP_UNSUPPORTED, "%s: %s: has type %s, which safetensors files cannot hold", file, t->name, t->packing->name);
        return lp_hint(LP_UNSUPPORTED, "only F32, F16 and BF16 tensors can be converted");
    }
    int64_t rows = (row->rows == LP_HF_ROWS_Q ? x->n_head : x->n_head_kv) * x->head_size;
    bool permuted = x->architecture->permutes && row->rows != LP_HF_ROWS_KEPT;
    if (t->n_dims > 2 || (permuted && t->dim[t->n_dims - 1] != rows))
        return lp_fail(LP_INPUT, "%s: %s: its shape does not fit the heads", file, t->name);
    lp_hf_make_name(row, layer, false, name, sizeof name);
    lp_safetensor_declared *d = &x->declared[x->n];
    origin *o = &x->origins[x->n];
    d->name = lp_arena_copy_string(&x->arena, name, strlen(name));
    if (!d->name) return LP_RESOURCE;
    *o = (origin){.tensor = t, .name = row};
    const lp_safetensors_type *narrower = t->n_dims == 1 && strcmp(type->name, "F32") == 0 ? narrowed(x, t) : NULL;
    o->narrow = narrower != NULL;
    d->type = narrower ? narrower : type;
    d->n_dims = t->n_dims;
    for (int k = 0; k < t->n_dims; k++) d->dim[k] = t->dim[t->n_dims - 1 - k];
    d->n_bytes = narrower ? t->n_bytes / 2 : t->n_bytes;
    d->user = o;
    x->n_data += d->n_bytes;
    if (t->n_dims == 2) x->dtype = strcmp(type->name, "F32") == 0 ? "float32" : strcmp(type->name, "F16") == 0 ? "float16" : "bfloat16";
    x->n++;
    return LP_OK;
}

static lp_status read_heads(exporter *x)
{
    int64_t embedding = 0;
    LP_TRY(lp_gguf_get_i64(x->gguf, "llama.embedding_length", true, &embedding));
    LP_TRY(lp_gguf_get_i64(x->gguf, "llama.attention.head_count", true, &x->n_head));
    x->n_head_kv = x->n_head;
    LP_TRY(lp_gguf_get_i64(x->gguf, "llama.attention.head_count_kv", false, &x->n_head_kv));
    if (x->n_head < 1 || x->n_head > 4096 || x->n_head_kv < 1 || x->n_head_kv > 4096)
        return lp_fail(LP_INPUT, "%s: llama.attention.head_count: %lld", lp_gguf_path(x->gguf), (long long)x->n_head);
    x->head_size = embedding / x->n_head;
    LP_TRY(lp_gguf_get_i64(x->gguf, "llama.attention.key_length", false, &x->head_size));
    if (x->head_size < 2 || x->head_size > 1024 || x->head_size % 2)
        return lp_fail(LP_INPUT, "%s: a head size of %lld", lp_gguf_path(x->gguf), (long long)x->head_size);
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

/* Everything but the tensors' bytes. */
static lp_status prepare(exporter *x)
{
    lp_string name;
    char *header;
    LP_TRY(lp_gguf_get_architecture(x->gguf, true, &name));
    x->architecture = lp_hf_architecture_of_gguf(name);
    if (!x->architecture)
        return lp_fail(LP_UNSUPPORTED, "%s: architecture '%.*s' cannot be converted (known: llama)", lp_gguf_path(x->gguf),
                       (int)(name.n < 64 ? name.n : 64), name.data);
    LP_TRY(read_heads(x));
    LP_TRY(read_names(x->gguf, "lowp.convert.bf16", &x->bf16));
    LP_TRY(read_names(x->gguf, "lowp.convert.f16", &x->f16));
    size_t n = (size_t)lp_gguf_tensor_count(x->gguf);
    x->origins = lp_arena_alloc_array(&x->arena, n, sizeof *x->origins);
    x->declared = lp_arena_alloc_array(&x->arena, n, sizeof *x->declared);
    if (!x->origins || !x->declared) return LP_RESOURCE;
    for (size_t i = 0; i < n; i++) LP_TRY(add_tensor(x, lp_gguf_tensor_at(x->gguf, (int64_t)i)));
    bool tied = !lp_gguf_find_tensor(x->gguf, "output.weight");
    LP_TRY(lp_hf_write_config(x->gguf, x->architecture, tied, x->dtype ? x->dtype : "float32", &x->text[3]));
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
    const lp_tensor *t = o->tensor;
    bool permuted = x->architecture->permutes && o->name->rows != LP_HF_ROWS_KEPT;
    if (!permuted && !o->narrow) return lp_output_write(output, t->data, t->n_bytes);
    uint8_t *bytes = malloc(t->n_bytes + 1);
    if (!bytes) return lp_fail_memory(t->n_bytes, "a tensor");
    if (permuted)
        lp_hf_permute(t->data, bytes, o->name->rows == LP_HF_ROWS_Q ? x->n_head : x->n_head_kv, x->head_size,
                      t->n_bytes / (size_t)t->dim[t->n_dims - 1], false);
    else memcpy(bytes, t->data, t->n_bytes);
    for (int64_t i = 0; o->narrow && i < t->dim[0]; i++) { /* in place: two bytes never reach a value that is still to come */
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
        const lp_tensor *t = ((const origin *)d->user)->tensor;
        lp_gguf_drop_pages(x->gguf, t, 0, lp_tensor_rows(t));
        done += (double)d->n_bytes;
        if (progress && progress->report) progress->report(progress->context, d->name, done, (double)x->n_data);
    }
    return lp_gguf_check_intact(x->gguf);
}

static lp_status write_file(const exporter *x, int which, const char *folder, const lp_progress *progress)
{
    char path[4200];
    lp_output *output;
    snprintf(path, sizeof path, "%s/%s", folder, file_names[which]);
    LP_TRY(lp_output_create(path, true, &output));
    lp_status status = which == 0 ? lp_output_reserve(output, x->text[0].n + x->n_data) : LP_OK;
    if (status == LP_OK) status = lp_output_write(output, x->text[which].data, x->text[which].n);
    if (status == LP_OK && which == 0) status = write_tensors(x, output, progress);
    if (status == LP_OK) return lp_output_finish(output, NULL);
    lp_output_abort(output);
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

/* A new folder is filled under a hidden name beside its own; one that exists gets its files replaced one by one. */
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
    for (int i = 0; i < N_FILES && status == LP_OK; i++) status = write_file(x, i, folder, progress);
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
