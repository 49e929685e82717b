/* A session's inner parts, for measurements that look inside a forward. */
#ifndef LP_MODEL_SESSION_H
#define LP_MODEL_SESSION_H

#include <lowp/session.h>

#include "graph/exec.h"

/* Called after the last op of each layer with the residual stream: n rows of width values. NULL: off. */
typedef void (*lp_layer_watcher)(void *context, int64_t layer, const float *rows, int64_t n, int64_t width);
void lp_session_watch_layers(lp_session *session, lp_layer_watcher watcher, void *context);

/* As lp_observer for layers of experts: one row of k values that expert number `expert` of n_experts reads. weight: the tensor
 * that holds them all; where each has a tensor of its own, that one, and the expert is 0 of 1. */
typedef void (*lp_expert_observer)(void *context, const char *weight, int32_t expert, int32_t n_experts, const float *row, int64_t k);
/* Errors: LP_UNSUPPORTED if the choice of experts comes too late to tell whose a row is: with a quantized router. */
lp_status lp_session_observe_experts(lp_session *session, lp_expert_observer observer, void *context);

/* The planned graph, for benchmarks and tests. */
const lp_graph *lp_session_graph(const lp_session *session);

#endif
