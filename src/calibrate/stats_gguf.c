/* Statistics as a GGUF file, in the form that llama.cpp's imatrix tool writes. Card: ptq/imatrix.md.
 *
 * Per weight two F32 tensors in order of names: NAME.in_sum2 [channels, matrices] and NAME.counts [1, matrices], trailing
 * dimensions of 1 left out. Keys: general.type "imatrix", imatrix.datasets, imatrix.chunk_count, imatrix.chunk_size, and
 * our own lowp.*, which other readers pass over. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "calibrate/stats.h"

static const char sums_suffix[] = ".in_sum2", counts_suffix[] = ".counts";
enum { N_SUMS_SUFFIX = sizeof sums_suffix - 1, N_COUNTS_SUFFIX = sizeof counts_suffix - 1, MAX_NAME = 64 };

/* The weight's name if a tensor's name ends with the suffix; else n is 0. */
static lp_string stem(const char *name, const char *suffix, size_t n_suffix)
{
    size_t n = strlen(name);
    if (n <= n_suffix || memcmp(name + n - n_suffix, suffix, n_suffix) != 0) return (lp_string){name, 0};
    return (lp_string){name, n - n_suffix};
}

static lp_string whole(const char *s) { return (lp_string){s, strlen(s)}; }

/* The tensor of the same weight with the other suffix. */
static const lp_tensor *partner(const lp_gguf *gguf, lp_string weight, const char *suffix)
{
    char name[MAX_NAME + sizeof sums_suffix];
    memcpy(name, weight.data, weight.n); /* weight.n < MAX_NAME: it is part of a tensor's name */
    strcpy(name + weight.n, suffix);
    return lp_gguf_find_tensor(gguf, name);
}

static lp_status check_f32(const lp_stats *stats, const lp_tensor *tensor)
{
    if (strcmp(tensor->packing->name, "f32") == 0) return LP_OK;
    return lp_stats_bad(stats, whole(tensor->name), "has type %s (f32 is required)", tensor->packing->name);
}

static lp_status read_pair(lp_stats *stats, lp_string weight, const lp_tensor *sums, const lp_tensor *counts)
{
    LP_TRY(check_f32(stats, sums));
    LP_TRY(check_f32(stats, counts));
    return lp_stats_add_raw(stats, weight, lp_tensor_values(sums), lp_tensor_values(counts), sums->data, counts->data);
}

static lp_status read_entries(lp_stats *stats, const lp_gguf *gguf)
{
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) {
        const lp_tensor *tensor = lp_gguf_tensor_at(gguf, i);
        lp_string weight = stem(tensor->name, sums_suffix, N_SUMS_SUFFIX);
        if (weight.n) {
            const lp_tensor *counts = partner(gguf, weight, counts_suffix);
            if (!counts) return lp_stats_bad(stats, whole(tensor->name), "its .counts tensor is missing");
            LP_TRY(read_pair(stats, weight, tensor, counts));
            continue;
        }
        weight = stem(tensor->name, counts_suffix, N_COUNTS_SUFFIX);
        if (weight.n && !partner(gguf, weight, sums_suffix))
            return lp_stats_bad(stats, whole(tensor->name), "its .in_sum2 tensor is missing");
    }
    if (stats->n_entries == 0) return lp_stats_bad(stats, whole(""), "has no statistics (no tensor NAME.in_sum2)");
    return LP_OK;
}

static lp_status read_u32(const lp_gguf *gguf, const char *key, uint32_t *value)
{
    int64_t read = 0;
    LP_TRY(lp_gguf_get_i64(gguf, key, false, &read));
    if (read < 0 || read > UINT32_MAX)
        return lp_fail(LP_INPUT, "%s: %s: is %lld (0 to 2^32 - 1 is allowed)", lp_gguf_path(gguf), key, (long long)read);
    *value = (uint32_t)read;
    return LP_OK;
}

static lp_status read_datasets(lp_stats *stats, const lp_gguf *gguf)
{
    const lp_gguf_key *key = lp_gguf_find(gguf, "imatrix.datasets");
    if (!key) return LP_OK;
    if (key->type != LP_GGUF_ARRAY || key->element != LP_GGUF_STRING)
        return lp_stats_bad(stats, key->key, "is no array of strings");
    lp_string *text = malloc((key->n_elements + 1) * sizeof *text);
    if (!text) return lp_fail_memory((key->n_elements + 1) * sizeof *text, "imatrix.datasets");
    lp_status status = lp_gguf_strings(key, text);
    for (uint64_t i = 0; status == LP_OK && i < key->n_elements; i++) status = lp_stats_add_dataset(stats, text[i]);
    free(text);
    return status;
}

/* A string key as a C string in the arena; "" if absent. */
static lp_status read_text(lp_stats *stats, const lp_gguf *gguf, const char *key, const char **out)
{
    lp_string text = {"", 0};
    LP_TRY(lp_gguf_get_string(gguf, key, false, &text));
    *out = lp_arena_copy_string(&stats->arena, text.data, text.n);
    return *out ? LP_OK : LP_RESOURCE;
}

static lp_status read_source(lp_stats *stats, const lp_gguf *gguf)
{
    lp_stats_source *s = &stats->source;
    lp_string type = {"imatrix", 7};
    LP_TRY(lp_gguf_get_string(gguf, "general.type", false, &type));
    if (type.n != 7 || memcmp(type.data, "imatrix", 7) != 0) {
        char name[LP_PRINTABLE];
        return lp_stats_bad(stats, whole("general.type"), "is '%s' (imatrix is required)", lp_name_printable(type, name));
    }
    LP_TRY(read_u32(gguf, "imatrix.chunk_count", &s->n_chunks));
    LP_TRY(read_u32(gguf, "imatrix.chunk_size", &s->chunk_size));
    if (!lp_mul_i64(s->n_chunks, s->chunk_size, &s->n_tokens)) s->n_tokens = INT64_MAX;
    LP_TRY(lp_gguf_get_i64(gguf, "lowp.n_tokens", false, &s->n_tokens));
    if (s->n_tokens < 0) return lp_stats_bad(stats, whole("lowp.n_tokens"), "is negative (%lld)", (long long)s->n_tokens);
    LP_TRY(read_datasets(stats, gguf));
    LP_TRY(read_text(stats, gguf, "lowp.text", &s->text));
    LP_TRY(read_text(stats, gguf, "lowp.text.sha256", &s->text_sha256));
    return read_text(stats, gguf, "lowp.model.sha256", &s->model_sha256);
}

lp_status lp_stats_read_gguf(lp_stats *stats, const void *data, size_t n)
{
    lp_gguf *gguf;
    LP_TRY(lp_gguf_open_memory(data, n, stats->path, &gguf));
    lp_status status = read_source(stats, gguf);
    if (status == LP_OK) status = read_entries(stats, gguf);
    lp_gguf_close(gguf);
    return status;
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static lp_status set_text(lp_gguf_writer *writer, const char *key, const char *text)
{
    return *text ? lp_gguf_writer_set_string(writer, key, text) : LP_OK;
}

static lp_status write_keys(const lp_stats *stats, lp_gguf_writer *writer)
{
    const lp_stats_source *s = &stats->source;
    LP_TRY(lp_gguf_writer_set_string(writer, "general.type", "imatrix"));
    LP_TRY(lp_gguf_writer_set_strings(writer, "imatrix.datasets", stats->dataset, stats->n_datasets));
    LP_TRY(lp_gguf_writer_set_u32(writer, "imatrix.chunk_count", s->n_chunks));
    LP_TRY(lp_gguf_writer_set_u32(writer, "imatrix.chunk_size", s->chunk_size));
    LP_TRY(lp_gguf_writer_set_u64(writer, "lowp.n_tokens", (uint64_t)s->n_tokens));
    LP_TRY(set_text(writer, "lowp.text", s->text));
    LP_TRY(set_text(writer, "lowp.text.sha256", s->text_sha256));
    return set_text(writer, "lowp.model.sha256", s->model_sha256);
}

static lp_status declare(lp_gguf_writer *writer, const lp_stats_entry *e, const lp_packing *f32)
{
    char name[MAX_NAME + 1];
    size_t n = strlen(e->name);
    if (n + N_SUMS_SUFFIX > MAX_NAME)
        return lp_fail(LP_USAGE, "%s: the name is too long for an importance file (%zu bytes, at most %d)", e->name, n,
                       MAX_NAME - N_SUMS_SUFFIX);
    int n_dims = e->n_matrices > 1 ? 2 : 1;
    memcpy(name, e->name, n);
    strcpy(name + n, sums_suffix);
    LP_TRY(lp_gguf_writer_add_tensor(writer, name, n_dims, (int64_t[]){e->n_values / e->n_matrices, e->n_matrices}, f32));
    strcpy(name + n, counts_suffix);
    return lp_gguf_writer_add_tensor(writer, name, n_dims, (int64_t[]){1, e->n_matrices}, f32);
}

static lp_status write_all(const lp_stats *stats, lp_gguf_writer *writer, const int64_t *order)
{
    const lp_packing *f32 = lp_packing_by_name("f32");
    if (stats->n_entries == 0) return lp_fail(LP_USAGE, "%s: there are no statistics to write", stats->path);
    LP_TRY(write_keys(stats, writer));
    for (int64_t i = 0; i < stats->n_entries; i++) LP_TRY(declare(writer, &stats->entry[order[i]], f32));
    LP_TRY(lp_gguf_writer_begin_data(writer));
    for (int64_t i = 0; i < stats->n_entries; i++) {
        const lp_stats_entry *e = &stats->entry[order[i]];
        LP_TRY(lp_gguf_writer_write(writer, e->sum, (size_t)e->n_values * sizeof(float)));
        LP_TRY(lp_gguf_writer_write(writer, e->count, (size_t)e->n_matrices * sizeof(float)));
    }
    return LP_OK;
}

lp_status lp_stats_write(const lp_stats *stats, const char *path, bool force)
{
    int64_t *order = lp_stats_sorted(stats);
    if (!order) return LP_RESOURCE;
    lp_gguf_writer *writer = NULL;
    lp_status status = lp_gguf_writer_create(path, force, &writer);
    if (status == LP_OK) {
        status = write_all(stats, writer, order);
        if (status == LP_OK) status = lp_gguf_writer_finish(writer, NULL);
        else lp_gguf_writer_abort(writer);
    }
    free(order);
    return status;
}
