/* A session: a model made ready to run, with its cache. */
#ifndef LOWP_SESSION_H
#define LOWP_SESSION_H

#include <stdbool.h>
#include <stdint.h>

#include <lowp/model.h>
#include <lowp/pool.h>
#include <lowp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lp_session lp_session;

typedef enum lp_activation {
    LP_ACTIVATION_DEFAULT, /* i8 for quantized weights, f32 for float weights */
    LP_ACTIVATION_F32,
    LP_ACTIVATION_I8       /* int8 in blocks of 32 for quantized weights; float weights take f32 always */
} lp_activation;

typedef struct lp_session_options {
    lp_pool *pool;             /* NULL: the calling thread alone; kept until the session is closed */
    int64_t n_context;         /* positions per sequence; 0: the model's. Above the model's: LP_USAGE */
    int n_sequences;           /* sequences that the cache holds; 0: 1 */
    int64_t n_batch;           /* most tokens of one forward; 0: 512 */
    int64_t n_logits;          /* most rows of logits of one forward; 0: n_batch */
    lp_activation activations;
} lp_session_options;

/* Bytes that a session with these options takes (cache, activations, repacked weights); 0 if they are out of range, or
 * where memory for planning is missing (lp_error tells). */
LP_API uint64_t lp_session_memory(const lp_model *model, const lp_session_options *options);

/* Plans the memory, allocates all of it and repacks the weights. Nothing is allocated after this. The model must stay
 * open. Errors: LP_USAGE, LP_RESOURCE (naming the bytes), LP_INPUT (a non-finite scale or weight). */
LP_API lp_status lp_session_create(const lp_model *model, const lp_session_options *options,
                                   const lp_progress *progress, lp_session **out);
LP_API void lp_session_close(lp_session *session); /* NULL is allowed */

/* The ragged forward: a list of tokens, each with its sequence and position. A token sees the cached and the listed
 * tokens of its own sequence at positions up to its own. Positions of a sequence must continue where it stands. */
typedef struct lp_batch {
    int64_t n_tokens;
    const int32_t *token;       /* [n_tokens] ids, 0 .. V-1 */
    const int32_t *sequence;    /* [n_tokens], 0 .. n_sequences-1; NULL: all 0 */
    const int32_t *position;    /* [n_tokens] */
    const uint8_t *wants_logits; /* [n_tokens]; NULL: all */
} lp_batch;

/* *logits: [rows that want][V] float32 in batch order, valid until the next forward. A sequence with non-finite values
 * fails alone: its rows are all NaN and the others are untouched; the status is LP_OK.
 * The bits depend on the sequence's own tokens only: not on threads, ISA, chunking, or other sequences of the batch.
 * Errors: LP_USAGE (ids, positions, sizes). */
LP_API lp_status lp_session_forward(lp_session *session, const lp_batch *batch, const float **logits);

/* Forgets positions >= n of a sequence (n = 0: all of it). */
LP_API lp_status lp_session_truncate(lp_session *session, int sequence, int64_t n);
LP_API int64_t lp_session_length(const lp_session *session, int sequence);
LP_API const lp_model *lp_session_model(const lp_session *session);
LP_API int64_t lp_session_batch_size(const lp_session *session);

/* Watches the inputs of linear layers: called after each is computed, on the caller's thread, with n rows of k float32
 * values and the name of a weight that reads them (once per weight). The logits' rows come for the output matrix, or
 * for the tied embedding under its own name. For calibration. */
typedef void (*lp_observer)(void *context, const char *weight, const float *rows, int64_t n, int64_t k);
LP_API void lp_session_observe(lp_session *session, lp_observer observer, void *context);

#ifdef __cplusplus
}
#endif
#endif
