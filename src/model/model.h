/* A model: its file, tokenizer, shapes, and the builder that makes its graph. */
#ifndef LP_MODEL_MODEL_H
#define LP_MODEL_MODEL_H

#include <lowp/model.h>

#include "graph/graph.h"

/* An architecture: a row of the one builder. Further ones differ by flags. */
typedef struct lp_architecture {
    const char *name;    /* general.architecture, and the prefix of its keys */
    bool adjacent_pairs; /* RoPE rotates (2i, 2i+1); NEOX layouts rotate (i, i + d/2) */
} lp_architecture;

struct lp_model {
    lp_gguf *gguf;
    lp_tokenizer *tokenizer;
    lp_model_info info;
    const lp_architecture *architecture;
    char *name;
    double rope_scale;            /* position multiplier: 1 / factor of linear scaling */
    const lp_tensor *rope_factors; /* [d/2] divisors of the frequencies, or NULL */
};

/* Builds the model's graph in float32 activations. The model must outlive it. Errors: LP_INPUT naming the tensor. */
lp_status lp_model_build_graph(const lp_model *model, lp_graph *graph);

/* cos and sin of every position below n_context: [n_context][head_size/2] each, computed in f64, rounded once. */
void lp_model_rope_table(const lp_model *model, int64_t n_context, float *cosine, float *sine);

#endif
