/* What a session consists of, for the files that run parts of it. */
#ifndef LP_MODEL_SESSION_PARTS_H
#define LP_MODEL_SESSION_PARTS_H

#include "model/session.h"

/* A value that reads another tensor's bytes for now (swap.c). */
typedef struct lp_swapped {
    const lp_tensor *original; /* NULL: never swapped */
    lp_tensor view;            /* what is read instead */
} lp_swapped;

struct lp_session {
    const lp_model *model;
    lp_session_options options;
    lp_graph graph;
    lp_cache cache;
    lp_exec exec;
    lp_weight *weight;      /* [n_values] */
    float **vector;         /* [n_values] */
    lp_swapped *swapped;    /* [n_values] */
    float *rope;            /* cosines, then sines: [n_context][r/2] each; twice where windows have their own */
    int32_t *sequence_zero; /* [n_batch] zeros, for batches that name no sequence */
    int32_t *wanted;        /* [n_batch] */
    int64_t *next;          /* [n_sequences] next position, while a batch is checked */
    lp_observer observer;
    lp_expert_observer expert_observer;
    lp_layer_watcher layer_watcher;
    void *observer_context, *expert_context, *layer_context;
};

/* Makes w read tensor t, repacked if this session's linear layers want it so; the tiles that it had are freed. */
lp_status lp_session_read_matrix(lp_session *session, const lp_tensor *t, lp_weight *w);

#endif
