/* Statistics of activations: what they hold, look-up, and reading either file form. Card: ptq/imatrix.md. */
#include "calibrate/stats.h"

#include <float.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "base/half.h"
#include "base/map.h"
#include "base/sha256.h"

lp_status lp_stats_bad(const lp_stats *stats, lp_string item, const char *format, ...)
{
    char text[512], name[LP_PRINTABLE];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return lp_fail(LP_INPUT, "%s: %s%s%s", stats->path, lp_name_printable(item, name), item.n ? ": " : "", text);
}

lp_status lp_stats_create(const char *name, lp_stats **out)
{
    *out = NULL;
    lp_stats *stats = calloc(1, sizeof *stats);
    if (!stats) return lp_fail_memory(sizeof *stats, "statistics");
    stats->path = lp_arena_copy_string(&stats->arena, name, strlen(name));
    if (!stats->path) {
        lp_stats_free(stats);
        return LP_RESOURCE;
    }
    stats->source.text = stats->source.text_sha256 = stats->source.model_sha256 = "";
    *out = stats;
    return LP_OK;
}

void lp_stats_free(lp_stats *stats)
{
    if (!stats) return;
    lp_names_free(&stats->names);
    free(stats->entry);
    lp_arena_free(&stats->arena);
    free(stats);
}

/* ---- entries ----------------------------------------------------------------------------------------------------- */

static bool is_amount(float x) { return x >= 0 && x <= FLT_MAX; } /* false for NaN */

/* A new entry with room for its values, not yet counted. */
static lp_status new_entry(lp_stats *stats, lp_string name, int64_t n_values, int64_t n_matrices, lp_stats_entry **out)
{
    if (name.n == 0) return lp_stats_bad(stats, name, "entry %lld has no name", (long long)stats->n_entries);
    if (!lp_name_is_text(name)) return lp_stats_bad(stats, name, "the name is not valid UTF-8, or has a NUL byte");
    if (n_values < 1 || n_matrices < 1 || n_values % n_matrices != 0)
        return lp_stats_bad(stats, name, "%lld values for %lld matrices (at least one channel each is required)",
                            (long long)n_values, (long long)n_matrices);
    if (lp_names_find(&stats->names, name) >= 0) return lp_stats_bad(stats, name, "duplicate entry");
    if (stats->n_entries == stats->capacity) {
        int64_t capacity = stats->capacity ? 2 * stats->capacity : 64;
        lp_stats_entry *grown = realloc(stats->entry, (size_t)capacity * sizeof *grown);
        if (!grown) return lp_fail_memory((size_t)capacity * sizeof *grown, "statistics");
        stats->entry = grown;
        stats->capacity = capacity;
    }
    size_t n_floats;
    if (!lp_mul_size(2, (size_t)n_values, &n_floats) || !lp_add_size(n_floats, (size_t)n_matrices, &n_floats))
        return lp_stats_bad(stats, name, "its size overflows (%lld values)", (long long)n_values);
    lp_stats_entry e = {.n_values = n_values, .n_matrices = n_matrices};
    e.name = lp_arena_copy_string(&stats->arena, name.data, name.n);
    e.sum = lp_arena_alloc_array(&stats->arena, n_floats, sizeof(float));
    if (!e.name || !e.sum) return LP_RESOURCE;
    e.mean = e.sum + n_values;
    e.count = e.mean + n_values;
    stats->entry[stats->n_entries] = e;
    *out = &stats->entry[stats->n_entries];
    return LP_OK;
}

/* Checks the sums and counts of a new entry, forms the means and counts it in. */
static lp_status finish_entry(lp_stats *stats, lp_stats_entry *e)
{
    lp_string name = {e->name, strlen(e->name)};
    int64_t n = e->n_values / e->n_matrices;
    for (int64_t m = 0; m < e->n_matrices; m++) {
        float count = e->count[m];
        if (!is_amount(count))
            return lp_stats_bad(stats, name, "count %lld is %g (a finite number >= 0 is required)", (long long)m, (double)count);
        for (int64_t i = m * n; i < (m + 1) * n; i++) {
            if (!is_amount(e->sum[i]))
                return lp_stats_bad(stats, name, "value %lld is %g (a finite number >= 0 is required)", (long long)i,
                                    (double)e->sum[i]);
            e->mean[i] = count > 0 ? e->sum[i] / count : 1.0f;
            if (!is_amount(e->mean[i]))
                return lp_stats_bad(stats, name, "value %lld has an infinite mean (%g / %g)", (long long)i, (double)e->sum[i],
                                    (double)count);
        }
    }
    uint32_t index;
    bool is_new;
    LP_TRY(lp_names_add(&stats->names, name, &index, &is_new));
    stats->n_entries++;
    return LP_OK;
}

lp_status lp_stats_add_entry(lp_stats *stats, const char *name, int64_t n, int64_t n_matrices, const double *sums,
                             const double *count)
{
    int64_t n_values;
    if (!lp_mul_i64(n, n_matrices, &n_values)) n_values = 0;
    lp_stats_entry *e = NULL;
    LP_TRY(new_entry(stats, (lp_string){name, strlen(name)}, n_values, n_matrices, &e));
    for (int64_t i = 0; i < n_values; i++) e->sum[i] = (float)sums[i];
    for (int64_t m = 0; m < n_matrices; m++) e->count[m] = (float)count[m];
    return finish_entry(stats, e);
}

lp_status lp_stats_add_raw(lp_stats *stats, lp_string name, int64_t n_values, int64_t n_matrices, const uint8_t *sums,
                           const uint8_t *count)
{
    lp_stats_entry *e = NULL;
    LP_TRY(new_entry(stats, name, n_values, n_matrices, &e));
    memcpy(e->sum, sums, (size_t)n_values * sizeof(float));
    memcpy(e->count, count, (size_t)n_matrices * sizeof(float));
    return finish_entry(stats, e);
}

static int by_name(const void *a, const void *b, void *context)
{
    const lp_stats *stats = context;
    return strcmp(stats->entry[*(const int64_t *)a].name, stats->entry[*(const int64_t *)b].name);
}

int64_t *lp_stats_sorted(const lp_stats *stats)
{
    size_t n = (size_t)stats->n_entries;
    int64_t *order = malloc((n + 1) * sizeof *order);
    if (!order) {
        lp_fail_memory((n + 1) * sizeof *order, "statistics");
        return NULL;
    }
    for (size_t i = 0; i < n; i++) order[i] = (int64_t)i;
    qsort_r(order, n, sizeof *order, by_name, (void *)stats);
    return order;
}

/* ---- where they come from ---------------------------------------------------------------------------------------- */

lp_status lp_stats_add_dataset(lp_stats *stats, lp_string text)
{
    /* Few: files name one or two. Those with many double the list. */
    if ((stats->n_datasets & (stats->n_datasets - 1)) == 0) {
        size_t capacity = stats->n_datasets ? 2 * (size_t)stats->n_datasets : 1;
        lp_string *grown = lp_arena_alloc_array(&stats->arena, capacity, sizeof *grown);
        if (!grown) return LP_RESOURCE;
        if (stats->n_datasets) memcpy(grown, stats->dataset, (size_t)stats->n_datasets * sizeof *grown);
        stats->dataset = grown;
    }
    char *copy = lp_arena_copy_string(&stats->arena, text.data, text.n);
    if (!copy) return LP_RESOURCE;
    stats->dataset[stats->n_datasets++] = (lp_string){copy, text.n};
    return LP_OK;
}

static lp_status keep_text(lp_stats *stats, const char **text)
{
    if (!*text) *text = "";
    *text = lp_arena_copy_string(&stats->arena, *text, strlen(*text));
    return *text ? LP_OK : LP_RESOURCE;
}

lp_status lp_stats_set_source(lp_stats *stats, const lp_stats_source *source)
{
    lp_stats_source s = *source;
    LP_TRY(keep_text(stats, &s.text));
    LP_TRY(keep_text(stats, &s.text_sha256));
    LP_TRY(keep_text(stats, &s.model_sha256));
    stats->source = s;
    if (*s.text && stats->n_datasets == 0) return lp_stats_add_dataset(stats, (lp_string){s.text, strlen(s.text)});
    return LP_OK;
}

/* ---- reading ----------------------------------------------------------------------------------------------------- */

lp_status lp_stats_read_memory(const void *data, size_t n, const char *name, lp_stats **out)
{
    *out = NULL;
    lp_stats *stats;
    LP_TRY(lp_stats_create(name, &stats));
    bool is_gguf = n >= 4 && memcmp(data, "GGUF", 4) == 0;
    lp_status status = is_gguf ? lp_stats_read_gguf(stats, data, n) : lp_stats_read_legacy(stats, data, n);
    if (status != LP_OK) {
        lp_stats_free(stats);
        return status;
    }
    lp_sha256 hash;
    lp_sha256_begin(&hash);
    lp_sha256_add(&hash, data, n);
    lp_sha256_end(&hash, stats->sha256);
    *out = stats;
    return LP_OK;
}

lp_status lp_stats_read(const char *path, lp_stats **out)
{
    *out = NULL;
    lp_map map;
    LP_TRY(lp_map_open(path, &map));
    lp_status status = lp_stats_read_memory(map.data ? map.data : (const uint8_t *)"", map.n_bytes, path, out);
    if (lp_map_failed(&map)) {
        lp_stats_free(*out);
        *out = NULL;
        status = lp_fail(LP_INPUT, "%s: the file was truncated or could not be read while it was in use", path);
    }
    lp_map_close(&map);
    return status;
}

/* ---- look-up ----------------------------------------------------------------------------------------------------- */

const float *lp_stats_mean_square(const lp_stats *stats, const char *weight, int64_t *n)
{
    int64_t index = lp_names_find(&stats->names, (lp_string){weight, strlen(weight)});
    *n = index < 0 ? 0 : stats->entry[index].n_values;
    return index < 0 ? NULL : stats->entry[index].mean;
}

int64_t lp_stats_tokens(const lp_stats *stats) { return stats->source.n_tokens; }
int64_t lp_stats_count(const lp_stats *stats) { return stats->n_entries; }

const char *lp_stats_name_at(const lp_stats *stats, int64_t index)
{
    return index >= 0 && index < stats->n_entries ? stats->entry[index].name : NULL;
}

const char *lp_stats_sha256(const lp_stats *stats) { return stats->sha256; }
