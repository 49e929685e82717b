/* Building statistics of activations, and the two file forms. Card: ptq/imatrix.md. */
#ifndef LP_CALIBRATE_STATS_H
#define LP_CALIBRATE_STATS_H

#include <stddef.h>
#include <stdint.h>

#include <lowp/calibrate.h>
#include <lowp/gguf.h>
#include <lowp/status.h>

#include "base/arena.h"
#include "file/names.h"

/* Sums of x^2 per input channel of one weight. Several matrices (experts) of a weight follow each other. Kept as float32,
 * as the file has them, so that statistics just computed and the same read back give equal bits. */
typedef struct lp_stats_entry {
    char *name;         /* of the weight */
    int64_t n_values;   /* n_matrices * channels */
    int64_t n_matrices;
    float *sum;         /* [n_values] */
    float *count;       /* [n_matrices] rows that were summed: tokens, or calls in a legacy file */
    float *mean;        /* [n_values] sum / count; 1 where a matrix saw no row */
} lp_stats_entry;

/* How the sums came about. Texts may be NULL or "": not known. */
typedef struct lp_stats_source {
    int64_t n_tokens;         /* 0: not known */
    uint32_t n_chunks;        /* windows of text */
    uint32_t chunk_size;      /* rows that count as one call: tokens per window; 1 in statistics from a legacy file */
    const char *text;         /* name of the calibration text */
    const char *text_sha256;
    const char *model_sha256;
} lp_stats_source;

struct lp_stats {
    lp_arena arena;           /* everything below but the index */
    char *path;               /* for messages */
    lp_stats_entry *entry;    /* [n_entries] in order of arrival */
    int64_t n_entries, capacity;
    lp_names names;           /* number = index in entry */
    lp_stats_source source;
    lp_string *dataset;       /* [n_datasets] imatrix.datasets */
    uint64_t n_datasets;
    char sha256[65];          /* of the file read, or "" */
};

/* Empty statistics; name stands for the path in messages. */
lp_status lp_stats_create(const char *name, lp_stats **out);

/* Adds a weight: sums [n_matrices][n] and count [n_matrices] are copied. Errors: LP_INPUT with the name (empty or
 * duplicate, n or n_matrices below 1, a value that is NaN, negative or not finite in float32). */
lp_status lp_stats_add_entry(lp_stats *stats, const char *name, int64_t n, int64_t n_matrices, const double *sums,
                             const double *count);

/* Copies the texts; a text given becomes the only dataset unless there are datasets already. */
lp_status lp_stats_set_source(lp_stats *stats, const lp_stats_source *source);

/* ---- between the files of this subject --------------------------------------------------------------------------- */

/* As lp_stats_add_entry with float32 at any address, as a file has them; n_values = n_matrices * channels. */
lp_status lp_stats_add_raw(lp_stats *stats, lp_string name, int64_t n_values, int64_t n_matrices, const uint8_t *sums,
                           const uint8_t *count);
lp_status lp_stats_add_dataset(lp_stats *stats, lp_string text);

/* LP_INPUT with "FILE: ITEM: text". */
lp_status lp_stats_bad(const lp_stats *stats, lp_string item, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Indices of the entries in ascending order of name (bytes): malloc'ed, or NULL with the error text set. */
int64_t *lp_stats_sorted(const lp_stats *stats);

lp_status lp_stats_read_gguf(lp_stats *stats, const void *data, size_t n);
lp_status lp_stats_read_legacy(lp_stats *stats, const uint8_t *data, size_t n);

#endif
