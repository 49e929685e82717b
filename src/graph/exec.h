/* Running a planned graph on a ragged batch. */
#ifndef LP_GRAPH_EXEC_H
#define LP_GRAPH_EXEC_H

#include <lowp/pool.h>

#include "graph/cache.h"
#include "graph/graph.h"
#include "kernel/kernel.h"

/* Sees a value while its memory holds it: n rows of width float32. op is the op that is about to read it (before) or has
 * just written it (after). On the caller's thread. */
typedef void (*lp_value_watcher)(void *context, const lp_graph *graph, const lp_op *op, const float *rows, int64_t n,
                                 int64_t width);

typedef struct lp_exec {
    const lp_graph *graph;
    const lp_kernels *kernels;
    lp_pool *pool;
    lp_cache *cache;
    uint8_t *arena;              /* graph->arena_bytes */
    uint8_t *scratch;            /* [threads][scratch_bytes] */
    size_t scratch_bytes;        /* of one thread, a multiple of 64 */
    const lp_weight *weight;     /* [n_values]: of WEIGHT values that linear layers read */
    float *const *vector;        /* [n_values]: of WEIGHT values that norms and biases read, as float32 */
    const float *rope_cosine[2]; /* [n_context][rope_half] each: of all layers, and of those with a window */
    const float *rope_sine[2];
    int64_t rope_half;           /* pairs of a head that turn */

    /* the batch */
    int64_t n_tokens, n_wanted;
    const int32_t *token, *sequence, *position; /* [n_tokens] */
    const int32_t *wanted;       /* [n_wanted]: index of the token of each row of logits */

    /* Watchers: NULL: none. With one, ops run one by one. */
    lp_value_watcher before, after;
    void *watch_context;
} lp_exec;

/* Scratch that one thread needs for any op of the graph, sequences having up to n_context positions. */
size_t lp_exec_scratch_bytes(const lp_graph *graph, int64_t n_context);

/* Where an activation's rows lie in memory. */
const float *lp_exec_rows(const lp_exec *exec, int32_t value);

/* Runs all ops. No allocation, no lock but the pool's barrier. */
void lp_exec_run(lp_exec *exec);

/* Runs the ops [first, last) alone: what they read and others made lies in the arena already. */
void lp_exec_run_ops(lp_exec *exec, int32_t first, int32_t last);

#endif
