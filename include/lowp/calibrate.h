/* Statistics of activations, and llama.cpp's importance files. */
#ifndef LOWP_CALIBRATE_H
#define LOWP_CALIBRATE_H

#include <stddef.h>
#include <stdint.h>

#include <lowp/progress.h>
#include <lowp/session.h>
#include <lowp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lp_stats lp_stats;

typedef struct lp_calibrate_options {
    int64_t n_context; /* tokens per window; 0: 512, or the model's context where that is shorter */
    int64_t n_windows; /* 0: all of the text */
    lp_activation activations;
    lp_pool *pool;
    const char *text_name; /* recorded in the file */
} lp_calibrate_options;

/* Runs the text through the model in windows and sums x^2 per input channel of every linear layer (f64, token order),
 * the output head or tied embedding included. */
LP_API lp_status lp_calibrate(const lp_model *model, const char *text, size_t n_text,
                              const lp_calibrate_options *options, const lp_progress *progress, lp_stats **out);

/* Reads either of llama.cpp's importance files: the GGUF form or the legacy .dat. Errors: LP_INPUT with file and entry
 * (NaN, negative value, truncated, size < 1). */
LP_API lp_status lp_stats_read(const char *path, lp_stats **out);
LP_API lp_status lp_stats_read_memory(const void *data, size_t n, const char *name, lp_stats **out);

/* Writes the GGUF form ("NAME.in_sum2", "NAME.counts", imatrix.* keys and our own lowp.* keys), or the legacy form. */
LP_API lp_status lp_stats_write(const lp_stats *stats, const char *path, bool force);
LP_API lp_status lp_stats_write_legacy(const lp_stats *stats, const char *path, bool force);
LP_API void lp_stats_free(lp_stats *stats); /* NULL is allowed */

/* Mean of x^2 per input channel of a weight: n values (several experts follow each other); NULL if absent. */
LP_API const float *lp_stats_mean_square(const lp_stats *stats, const char *weight, int64_t *n);
LP_API int64_t lp_stats_tokens(const lp_stats *stats);
LP_API int64_t lp_stats_count(const lp_stats *stats); /* entries */
LP_API const char *lp_stats_name_at(const lp_stats *stats, int64_t index);
LP_API const char *lp_stats_sha256(const lp_stats *stats); /* of the file that it was read from, or "" */

#ifdef __cplusplus
}
#endif
#endif
