/* A model: its file, tokenizer, shapes, and the builder that makes its graph. */
#ifndef LP_MODEL_MODEL_H
#define LP_MODEL_MODEL_H

#include <lowp/model.h>

#include "graph/graph.h"

typedef enum lp_head_rule { LP_HEAD_OPTIONAL, LP_HEAD_TIED, LP_HEAD_REQUIRED } lp_head_rule; /* output.weight */
typedef enum lp_qk_norm { LP_QK_NONE, LP_QK_HEADS, LP_QK_ROW, LP_QK_OPTIONAL } lp_qk_norm; /* OPTIONAL: where the file has it */

/* An architecture: a row of the one builder. What differs is a flag here; all zero is a Llama with halves rotated. */
typedef struct lp_architecture {
    const char *name;      /* general.architecture, and the prefix of its keys */
    bool adjacent_pairs;   /* RoPE rotates (2i, 2i+1); otherwise (i, i + r/2) */
    bool partial_rope;     /* rope.dimension_count may be less than the head size */
    bool layer_norm;       /* LayerNorm with bias instead of RMS */
    bool no_pre_norm;      /* the branches read the residual stream itself */
    bool post_norms;       /* the branches are normed before they are added */
    lp_qk_norm qk_norm;
    bool gelu;             /* the tanh form, instead of SiLU */
    bool no_gate;          /* down(act(up x)) instead of down(act(gate x) * up x) */
    bool fused;            /* attn_qkv holds q, k, v, and ffn_up gate and up */
    bool parallel;         /* without ffn_norm both branches read attn_norm's output */
    lp_head_rule head;
    bool scaled_embedding; /* by sqrt(E) */
    bool scale_keys;       /* granite's four factors, and rope.scaling.finetuned */
    bool experts;          /* always; otherwise where expert_count is there and not 0 */
    bool expert_keys;      /* understands expert_count at all */
    bool raw_experts;      /* the weights of the chosen experts are not divided by their sum */
    bool shared_expert;    /* one more that every token has, by the sigmoid of a score */
    bool long_rope;        /* rope_factors_long, rope_factors_short */
    double attention_cap, final_cap; /* defaults of the soft caps, 0: none */
    bool cap_keys;         /* understands attn_logit_softcapping */
    int32_t window_period; /* of each so many layers the last sees everything; 1: none does; 0: no windows */
    int64_t window;        /* default of attention.sliding_window */
    bool local_rope;       /* layers with a window have a RoPE of their own: never scaled, its base a key */
    double local_base;     /* default of rope.freq_base_swa; 0: the other base */
    int64_t odd_layers;    /* this many layers: the score scale is 1/sqrt(E div H) (a model of the family that differs) */
} lp_architecture;

/* The row of general.architecture; NULL: not built. */
const lp_architecture *lp_architecture_find(lp_string name);

struct lp_model {
    lp_gguf *gguf;
    lp_tokenizer *tokenizer;
    lp_model_info info;
    const lp_architecture *architecture;
    char *name;
    int64_t n_rotated;             /* values of a head that RoPE turns; 0: none */
    double rope_scale;             /* position multiplier: 1 / factor of linear scaling */
    bool yarn;
    double rope_magnitude;         /* of cos and sin: 1 but for YaRN and long factors */
    int64_t n_original;            /* context before it was stretched */
    double local_base;
    const lp_tensor *rope_factors; /* [r/2] divisors of the frequencies, or NULL */
    const lp_tensor *long_factors, *short_factors;
    double embedding_scale, residual_scale, logit_scale, attention_scale; /* 1: none */
    double attention_cap, final_cap;
    int64_t window;                /* 0: none */
    int64_t n_experts, n_experts_used, n_shared; /* n_shared: width of the shared expert */
    double expert_scale;
    uint8_t *has_window;           /* [n_layer] */
};

/* A model of an opened container, which it takes over, also on error. */
lp_status lp_model_open_gguf(lp_gguf *gguf, lp_model **out);

/* Builds the model's graph in float32 activations. The model must outlive it. Errors: LP_INPUT naming the tensor. */
lp_status lp_model_build_graph(const lp_model *model, lp_graph *graph);

/* cos and sin of every position below n_context: [n_context][n_rotated/2] each, computed in f64, rounded once. local: of
 * layers with a window. n_context chooses between long and short factors. */
void lp_model_rope_table(const lp_model *model, int64_t n_context, bool local, float *cosine, float *sine);

#endif
