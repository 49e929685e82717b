/* Swap-and-evaluate: what a model loses on a text when some of its tensors are read in another format. Card:
 * allocate/sensitivity-table. */
#ifndef LP_ALLOCATE_HARNESS_H
#define LP_ALLOCATE_HARNESS_H

#include <lowp/allocate.h>

typedef struct lp_harness lp_harness;

/* Tokenises the text, runs the model on windows spread evenly over it (every prediction inside scores, float32 activations)
 * and keeps its logits. Errors: as lp_eval; LP_RESOURCE naming the bytes. */
lp_status lp_harness_open(const lp_model *model, const char *text, size_t n_text, const lp_sensitivity_options *options,
                          const lp_progress *progress, lp_harness **out);
void lp_harness_close(lp_harness *harness); /* NULL is allowed */

int64_t lp_harness_windows(const lp_harness *harness);
int64_t lp_harness_context(const lp_harness *harness);
int64_t lp_harness_predictions(const lp_harness *harness);

/* Reads the tensor in another format from now on; NULL: its own. It must live until then. */
lp_status lp_harness_set(lp_harness *harness, const char *name, const lp_tensor *tensor);

/* The whole model as it is set now. */
lp_status lp_harness_evaluate(lp_harness *harness, const lp_progress *progress, lp_swap_metrics *metrics);

/* Swaps one by one: a pass over the starts of forwards, in ascending order. Between lp_harness_begin and the end, the tensors
 * that are set (lp_harness_set) are the base, and no other call than these. lp_harness_start moves on to the place where the
 * tensor is first read: names must come in the order of lp_harness_order. lp_harness_swap measures it in another format. */
int32_t lp_harness_order(const lp_harness *harness, const char *name); /* ascending; -1: nothing reads it */
int64_t lp_harness_product_rows(const lp_harness *harness, const char *name); /* of the tensor, for one token */
lp_status lp_harness_begin(lp_harness *harness);
lp_status lp_harness_start(lp_harness *harness, const char *name, const lp_progress *progress);
lp_status lp_harness_swap(lp_harness *harness, const char *name, const lp_tensor *tensor, const lp_tensor *base,
                          lp_swap_metrics *metrics);

/* Only what needs no more of the network than the op that reads the tensor: local_error and weight_error. */
lp_status lp_harness_swap_local(lp_harness *harness, const char *name, const lp_tensor *tensor, const lp_tensor *base,
                                lp_swap_metrics *metrics);

/* Ops run so far times windows, and what they would have been without kept prefixes. */
void lp_harness_work(const lp_harness *harness, int64_t *run, int64_t *whole);

#endif
