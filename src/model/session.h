/* A session's inner parts, for measurements that look inside a forward. */
#ifndef LP_MODEL_SESSION_H
#define LP_MODEL_SESSION_H

#include <lowp/session.h>

#include "graph/exec.h"

/* Called after the last op of each layer with the residual stream: n rows of width values. NULL: off. */
typedef void (*lp_layer_watcher)(void *context, int64_t layer, const float *rows, int64_t n, int64_t width);
void lp_session_watch_layers(lp_session *session, lp_layer_watcher watcher, void *context);

/* The planned graph, for benchmarks and tests. */
const lp_graph *lp_session_graph(const lp_session *session);

#endif
