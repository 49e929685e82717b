/* What a change cost: cross-entropy, divergence. */
#ifndef LOWP_MEASURE_H
#define LOWP_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/progress.h>
#include <lowp/session.h>
#include <lowp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum lp_protocol {
    LP_PROTOCOL_WINDOWS,  /* text tokenised whole, no BOS added; windows do not overlap; every prediction inside scores */
    LP_PROTOCOL_LLAMA_CPP /* as llama-perplexity: BOS replaces the first token iff the file asks, n/2 .. n-2 score */
} lp_protocol;

typedef struct lp_eval_options {
    int64_t n_context;   /* tokens per window; 0: 1024, or the model's context where that is shorter */
    int64_t n_windows;   /* most windows; 0: all */
    lp_protocol protocol;
    lp_activation activations;
    int64_t n_chunk;     /* most tokens of one forward; 0: 512 */
    bool hash;           /* compute logits_sha256 */
    bool spread;         /* the windows lie evenly over the text, not at its beginning */
    lp_pool *pool;
} lp_eval_options;

typedef struct lp_eval_result {
    double cross_entropy_nats; /* mean of -ln p of the next token, f64, in token order */
    double standard_error_nats; /* of that mean, predictions taken as independent */
    double perplexity;
    int64_t n_predictions, n_windows, n_tokens; /* n_tokens: of the text */
    char logits_sha256[65];   /* "" unless asked for */
    double seconds;
} lp_eval_result;

/* Errors: LP_USAGE (context above the model's, or < 2), LP_INPUT (text shorter than one window). */
LP_API lp_status lp_eval(const lp_model *model, const char *text, size_t n_text, const lp_eval_options *options,
                         const lp_progress *progress, lp_eval_result *result);

typedef struct lp_compare_result {
    double kl_mean_nats, kl_p90_nats, kl_p99_nats, kl_p999_nats, kl_max_nats; /* KL(reference || model) per position */
    double top1_agreement;
    double cross_entropy_nats, reference_cross_entropy_nats;
    double probability_change_mean, probability_change_rms; /* of the correct token */
    int64_t n_predictions, n_windows;
    double seconds;
    double kl_window_error_nats; /* standard error of kl_mean_nats, windows taken as independent; 0: a single one */
} lp_compare_result;

/* One row of --per-layer: how far the model's residual stream after a layer is from the reference's. */
typedef struct lp_layer_difference {
    int64_t layer;
    double relative_rms; /* rms(difference) / rms(reference) over all positions and channels */
} lp_layer_difference;

/* Runs both models in step on the same tokens. layers: NULL, or [L of the model] to be filled.
 * Errors: as lp_eval; LP_USAGE if the vocabularies differ. */
LP_API lp_status lp_compare(const lp_model *reference, const lp_model *model, const char *text, size_t n_text,
                            const lp_eval_options *options, const lp_progress *progress, lp_compare_result *result,
                            lp_layer_difference *layers);

/* Log-softmax of n logits in f64 (maximum subtracted), written to out[n]. For tests and measurements. */
LP_API void lp_log_softmax(const float *logits, int64_t n, double *out);

/* sum_v P ln(P/Q) in nats from two rows of logits, f64; exactly 0 for equal rows. */
LP_API double lp_kl_divergence(const float *reference, const float *logits, int64_t n);

/* Reads a whole file, or stdin for "-", or an embedded text ("embedded", "embedded-calibration"). *out from malloc. */
LP_API lp_status lp_text_read(const char *path, char **out, size_t *n);

#ifdef __cplusplus
}
#endif
#endif
