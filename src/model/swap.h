/* Tensors of a session read in another format, and forwards that begin in the middle: what measuring the worth of a tensor's
 * bits needs. Sessions with f32 activations only: there no weight's format changes the graph. */
#ifndef LP_MODEL_SWAP_H
#define LP_MODEL_SWAP_H

#include <lowp/session.h>

/* From now on every op that reads the tensor of this name reads replacement's bytes instead (same shape; they must live as
 * long); NULL: the model's own again. Errors: LP_USAGE (no op reads it, other shape), LP_RESOURCE. */
lp_status lp_session_swap(lp_session *session, const char *name, const lp_tensor *replacement);

/* Where a forward may begin so that it computes all that depends on the tensor: the first op of a stage, not between a
 * layer's keys and its attention. -1: no op reads it. */
int32_t lp_session_start_of(const lp_session *session, const char *name);

/* The first op that reads the tensor, -1: none; the value that it writes after the batch has passed it, as n x width. */
int32_t lp_session_reader_of(const lp_session *session, const char *name);
const float *lp_session_output_of(const lp_session *session, int32_t op, int64_t *n, int64_t *width);

/* Rows of the tensor that one token is multiplied with: all, those of the experts in use, or none of an embedding that is only
 * looked up. */
int64_t lp_session_product_rows(const lp_session *session, const char *name);

/* Bytes of all values that live when op is about to run, for a batch of the session's size. */
size_t lp_session_state_bytes(const lp_session *session, int32_t op);

/* Copies these values out of the arena or back into it, for the batch that lp_session_begin has set. */
void lp_session_save(const lp_session *session, int32_t op, void *state);
void lp_session_restore(lp_session *session, int32_t op, const void *state);

/* The parts of lp_session_forward: checks the batch and hands out cache pages (the batch's arrays must live until its ops have
 * run); the logits, with failed rows blanked. */
lp_status lp_session_begin(lp_session *session, const lp_batch *batch);
const float *lp_session_logits(lp_session *session);

/* Runs the ops [first, end) on the batch that was set; end -1: all. */
void lp_session_run_ops(lp_session *session, int32_t first, int32_t end);

#endif
