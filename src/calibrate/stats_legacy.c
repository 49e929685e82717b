/* Statistics in llama.cpp's legacy importance file (.dat). Card: ptq/imatrix.md.
 *
 * Little-endian: int32 number of entries; per entry int32 n, n bytes of name, int32 calls, int32 number of values, float32
 * values = mean * calls; then, in newer files, int32 calls of the run, int32 n, n bytes of the dataset's name. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/half.h"
#include "base/output.h"
#include "calibrate/stats.h"

typedef struct reader {
    const lp_stats *stats;
    const uint8_t *at, *end;
} reader;

static size_t left(const reader *r) { return (size_t)(r->end - r->at); }

static lp_status take(reader *r, lp_string item, size_t n, const char *what, const uint8_t **out)
{
    if (n > left(r)) {
        lp_stats_bad(r->stats, item, "%s needs %zu bytes, but the file ends after %zu more", what, n, left(r));
        lp_hint(LP_INPUT, "is the file complete, and an importance file?");
        return LP_INPUT;
    }
    *out = r->at;
    r->at += n;
    return LP_OK;
}

/* An int32 in [low, INT32_MAX]. */
static lp_status take_count(reader *r, lp_string item, int32_t low, const char *what, int32_t *out)
{
    const uint8_t *p;
    LP_TRY(take(r, item, 4, what, &p));
    *out = (int32_t)lp_read_u32(p);
    if (*out < low) return lp_stats_bad(r->stats, item, "%s is %d (at least %d is required)", what, *out, low);
    return LP_OK;
}

static lp_status take_text(reader *r, lp_string item, int32_t low, const char *what, lp_string *out)
{
    int32_t n;
    const uint8_t *p;
    LP_TRY(take_count(r, item, low, what, &n));
    LP_TRY(take(r, item, (size_t)n, what, &p));
    *out = (lp_string){(const char *)p, (size_t)n};
    return LP_OK;
}

static lp_status read_entry(lp_stats *stats, reader *r)
{
    lp_string name;
    int32_t n_calls, n_values;
    const uint8_t *values;
    LP_TRY(take_text(r, (lp_string){"", 0}, 1, "the name of an entry", &name));
    LP_TRY(take_count(r, name, 0, "the number of calls", &n_calls));
    LP_TRY(take_count(r, name, 1, "the number of values", &n_values));
    LP_TRY(take(r, name, (size_t)n_values * sizeof(float), "the list of values", &values));
    float count = n_calls > 0 ? (float)n_calls : 1.0f; /* 0 calls: the values are the means */
    return lp_stats_add_raw(stats, name, n_values, 1, values, (const uint8_t *)&count);
}

lp_status lp_stats_read_legacy(lp_stats *stats, const uint8_t *data, size_t n)
{
    reader r = {stats, data, data + n};
    lp_string file = {"", 0};
    int32_t n_entries, n_calls = 0;
    LP_TRY(take_count(&r, file, 1, "the number of entries", &n_entries));
    if ((size_t)n_entries > left(&r) / 17) {
        lp_stats_bad(stats, file, "claims %d entries, but %zu bytes are left (an entry takes at least 17)", n_entries,
                     left(&r));
        return lp_hint(LP_INPUT, "is it an importance file?");
    }
    for (int32_t i = 0; i < n_entries; i++) LP_TRY(read_entry(stats, &r));
    if (left(&r) > 0) { /* older files end here */
        lp_string dataset;
        LP_TRY(take_count(&r, file, 0, "the number of calls of the run", &n_calls));
        LP_TRY(take_text(&r, file, 0, "the name of the dataset", &dataset));
        if (dataset.n) LP_TRY(lp_stats_add_dataset(stats, dataset));
        if (left(&r) > 0) return lp_stats_bad(stats, file, "%zu bytes follow the end", left(&r));
    }
    return lp_stats_set_source(stats, &(lp_stats_source){.n_chunks = (uint32_t)n_calls, .chunk_size = 1});
}

/* ---- writing ----------------------------------------------------------------------------------------------------- */

static lp_status write_i32(lp_output *output, int64_t value)
{
    int32_t v = (int32_t)value;
    return lp_output_write(output, &v, sizeof v);
}

static lp_status write_text(lp_output *output, lp_string text)
{
    LP_TRY(write_i32(output, (int64_t)text.n));
    return lp_output_write(output, text.data, text.n);
}

/* Chunks that the busiest matrix saw, rounded up. */
static int64_t calls_of(const lp_stats *stats, const lp_stats_entry *e)
{
    double most = 0;
    for (int64_t m = 0; m < e->n_matrices; m++)
        if ((double)e->count[m] > most) most = (double)e->count[m];
    double size = stats->source.chunk_size ? stats->source.chunk_size : 1;
    double calls = ceil(most / size);
    return calls > INT32_MAX ? INT32_MAX : (int64_t)calls;
}

static lp_status write_entry(const lp_stats *stats, const lp_stats_entry *e, lp_output *output)
{
    int64_t n_calls = calls_of(stats, e), n = e->n_values / e->n_matrices;
    if (e->n_values > INT32_MAX)
        return lp_fail(LP_USAGE, "%s: %lld values are too many for a legacy importance file", e->name, (long long)e->n_values);
    LP_TRY(write_text(output, (lp_string){e->name, strlen(e->name)}));
    LP_TRY(write_i32(output, n_calls));
    LP_TRY(write_i32(output, e->n_values));
    for (int64_t m = 0; m < e->n_matrices; m++) {
        for (int64_t i = m * n; i < (m + 1) * n; i++) {
            /* Sums over calls already (a legacy file was read) are kept bit for bit. */
            float value = e->count[m] == (float)n_calls && n_calls > 0 ? e->sum[i] : e->mean[i] * (float)n_calls;
            if (!isfinite(value))
                return lp_fail(LP_USAGE, "%s: value %lld overflows in a legacy importance file", e->name, (long long)i);
            LP_TRY(lp_output_write(output, &value, sizeof value));
        }
    }
    return LP_OK;
}

/* A weight that saw no row in any matrix has nothing to say, and a legacy file cannot say that. */
static bool has_data(const lp_stats_entry *e)
{
    for (int64_t m = 0; m < e->n_matrices; m++)
        if (e->count[m] > 0) return true;
    return false;
}

static lp_status write_all(const lp_stats *stats, lp_output *output, const int64_t *order)
{
    int64_t n_entries = 0;
    uint64_t n_bytes = 0;
    for (int64_t i = 0; i < stats->n_entries; i++) {
        const lp_stats_entry *e = &stats->entry[i];
        n_entries += has_data(e);
        n_bytes += strlen(e->name) + 12 + (uint64_t)e->n_values * sizeof(float);
    }
    if (n_entries == 0) return lp_fail(LP_USAGE, "%s: there are no statistics to write", stats->path);
    LP_TRY(lp_output_reserve(output, n_bytes));
    LP_TRY(write_i32(output, n_entries));
    for (int64_t i = 0; i < stats->n_entries; i++)
        if (has_data(&stats->entry[order[i]])) LP_TRY(write_entry(stats, &stats->entry[order[i]], output));
    LP_TRY(write_i32(output, stats->source.n_chunks));
    lp_string none = {"", 0};
    return write_text(output, stats->n_datasets ? stats->dataset[stats->n_datasets - 1] : none);
}

lp_status lp_stats_write_legacy(const lp_stats *stats, const char *path, bool force)
{
    int64_t *order = lp_stats_sorted(stats);
    if (!order) return LP_RESOURCE;
    lp_output *output = NULL;
    lp_status status = lp_output_create(path, force, &output);
    if (status == LP_OK) {
        status = write_all(stats, output, order);
        if (status == LP_OK) status = lp_output_finish(output, NULL);
        else lp_output_abort(output);
    }
    free(order);
    return status;
}
