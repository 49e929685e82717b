/* The graph: typed values and operators, one list for every model. Passes run over it: shapes, activation lowering, memory
 * plan, execution. */
#ifndef LP_GRAPH_GRAPH_H
#define LP_GRAPH_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/status.h>
#include <lowp/tensor.h>

#include "base/arena.h"

/* What a value is to the graph. */
typedef enum lp_role {
    LP_ROLE_INPUT,  /* given with each forward: the token list */
    LP_ROLE_WEIGHT, /* a tensor of the file */
    LP_ROLE_STATE,  /* kept between forwards: a layer's cache */
    LP_ROLE_ACT,    /* computed by an op, lives in the arena */
    LP_ROLE_OUTPUT  /* as ACT, alive until the next forward */
} lp_role;

/* How the rows of a value lie in memory. */
typedef enum lp_storage {
    LP_STORAGE_NONE,   /* inputs, states and weights: not in the arena */
    LP_STORAGE_F32,    /* [rows][width] float32 */
    LP_STORAGE_ACT_I8  /* [rows] of lp_act_row: int8 in blocks of 32 */
} lp_storage;

/* Row counts that are known only when the batch is. */
enum { LP_ROWS_TOKENS = -1, LP_ROWS_WANTED = -2 };

typedef struct lp_value {
    lp_role role;
    lp_storage storage;
    int64_t rows;            /* >= 0, or LP_ROWS_* */
    int32_t repeat;          /* rows per token (the chosen experts); 0: 1 */
    int64_t width;           /* values per row */
    const lp_tensor *tensor; /* WEIGHT */
    int32_t producer;        /* first op that writes it, -1: none */
    int32_t first, last;     /* PLAN: life in stages, inclusive */
    int32_t alias;           /* PLAN: the value whose memory this one shares (in-place ops), -1: own memory */
    size_t offset, n_bytes;  /* PLAN: place in the arena for the largest batch */
} lp_value;

typedef enum lp_op_id {
    LP_OP_EMBED,        /* (tokens, W) -> x[T][E]: decoded rows of W */
    LP_OP_RMS_NORM,     /* (x, w) -> y */
    LP_OP_ENCODE_I8,    /* (x) -> a: int8 in blocks of 32 */
    LP_OP_LINEAR,       /* (x or a, W) -> y = W x */
    LP_OP_BIAS,         /* (x, b) -> y = x + b, in place */
    LP_OP_ROPE,         /* (x, tokens) -> y, rotated by position, in place */
    LP_OP_CACHE_APPEND, /* (k, v, tokens) -> state */
    LP_OP_ATTENTION,    /* (q, state, tokens) -> o */
    LP_OP_SILU_MUL,     /* (gate, up) -> y, in place */
    LP_OP_ADD,          /* (a, b) -> y = a + b, in place of a */
    LP_OP_LAYER_NORM,   /* (x, w) -> y, the bias apart */
    LP_OP_GELU_MUL,     /* (gate, up) -> y, in place */
    LP_OP_GELU,         /* (x) -> y, in place */
    LP_OP_SCALE,        /* (x) -> y = x * factor, in place */
    LP_OP_SOFT_CAP,     /* (x) -> y = factor * tanh(x / factor), in place */
    LP_OP_ROUTE,        /* (scores[T][X]) -> route[T][2U]: the U chosen experts, best first, then their weights */
    LP_OP_EXPERT_LINEAR, /* (x or a, W of expert 0, route) -> y[T U]: row (t, u) = W_expert x; W of the others follow it */
    LP_OP_COMBINE,      /* (y[T U], route) -> sum over u of weight * y */
    LP_OP_GATED_ADD,    /* (a, b, g[T][1]) -> y = a + sigmoid(g) * b, in place of a */
    LP_OP_SELECT,       /* (x, tokens) -> rows that want logits */
    LP_OP_COUNT
} lp_op_id;

enum { LP_OP_INPUTS = 3 };

typedef struct lp_op {
    lp_op_id id;
    int32_t in[LP_OP_INPUTS]; /* values, -1: none */
    int32_t out;
    int32_t layer;            /* -1: none */
    float epsilon;            /* RMS_NORM, LAYER_NORM */
    float factor;             /* SCALE, SOFT_CAP; ROUTE: of the weights; ATTENTION: of the scores */
    float cap;                /* ATTENTION: soft cap of the scores, 0: none */
    int32_t window;           /* ATTENTION: positions that a query sees, its own included; 0: all */
    int32_t rotated;          /* ROPE: values per head that turn */
    int32_t rope_table;       /* ROPE: 0, or 1: that of layers with a window */
    bool halves;              /* ROPE: pairs (i, i + rotated/2), not (2i, 2i+1) */
    int32_t n_experts, n_used; /* ROUTE, EXPERT_LINEAR, COMBINE */
    bool raw;                 /* ROUTE: the weights of the chosen experts are not divided by their sum */
    int32_t n_heads, head_size; /* ROPE, ATTENTION; CACHE_APPEND: of k and v; norms: heads of a row, each its own; 0: one */
    bool ends_layer;          /* MARK: out is the residual stream after `layer` */
    int32_t stage;            /* PLAN: a barrier stands before the first op of each stage */
} lp_op;

typedef struct lp_graph {
    lp_value *value;
    int32_t n_values, value_room;
    lp_op *op;
    int32_t n_ops, op_room;
    int32_t tokens;      /* the INPUT value */
    int32_t logits;      /* the OUTPUT value */
    int32_t n_layers, n_heads, n_heads_kv, head_size;
    size_t arena_bytes;  /* PLAN */
    int32_t n_stages;    /* PLAN */
    lp_tensor **view;    /* [n_views] rows of tensors of the file */
    int32_t n_views, view_room;
    bool failed;         /* out of memory while building; checked once by lp_graph_finish */
} lp_graph;

void lp_graph_init(lp_graph *graph);
void lp_graph_free(lp_graph *graph);

/* Building. Each returns the index of a new value (or, in place, of the value that shares the memory of its input);
 * failures are remembered and reported by lp_graph_finish. */
int32_t lp_graph_input_tokens(lp_graph *graph);
int32_t lp_graph_state(lp_graph *graph);
int32_t lp_graph_weight(lp_graph *graph, const lp_tensor *tensor);

/* Rows [first, first + n) of a tensor as a weight of its own, under the tensor's name. The graph owns the view. */
int32_t lp_graph_weight_rows(lp_graph *graph, const lp_tensor *tensor, int64_t first, int64_t n);

/* Whether op reads value as a matrix, and as a vector. */
bool lp_op_reads_matrix(const lp_op *op, int32_t value);
bool lp_op_reads_vector(const lp_op *op, int32_t value);

/* Adds an op; its output's shape comes from the op's shape rule. layer may be -1. */
int32_t lp_graph_op(lp_graph *graph, lp_op op);

/* Checks shapes. Errors: LP_INPUT naming op and widths (a file whose tensors do not fit each other), LP_RESOURCE. */
lp_status lp_graph_finish(lp_graph *graph, int32_t logits);

/* Pass: puts an ENCODE_I8 before linear layers with quantized weights, one per input value. */
lp_status lp_graph_lower_activations(lp_graph *graph);

/* Pass: stages (runs of ops without a barrier) and a place in one arena for every activation. */
lp_status lp_graph_plan(lp_graph *graph, int64_t max_tokens, int64_t max_wanted);

/* Name of an operator, for messages. */
const char *lp_op_name(lp_op_id id);

#endif
