/* Building a graph: values, operators, shape rules, and the pass that lowers activations to int8. */
#include "graph/graph.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "format/rows.h"

/* ---- shape rules: one row per operator ---------------------------------------------------------------------------- */

typedef struct lp_shape {
    lp_role role;
    lp_storage storage;
    int64_t rows, width;
    int32_t alias; /* input that the output overwrites, as index into op->in; -1: new memory */
    int32_t repeat;
} lp_shape;

static const lp_value *input(const lp_graph *g, const lp_op *op, int i) { return &g->value[op->in[i]]; }

/* Length of a row of a weight, and how many rows it has. */
static int64_t columns(const lp_value *w) { return w->tensor->dim[0]; }
static int64_t rows(const lp_value *w) { return lp_tensor_rows(w->tensor); }

static bool shape_embed(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_F32, LP_ROWS_TOKENS, columns(input(g, op, 1)), -1, 0};
    return true;
}

static bool shape_norm(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *x = input(g, op, 0), *w = input(g, op, 1);
    int64_t heads = op->n_heads ? op->n_heads : 1; /* one weight for all of them, or each its own */
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_F32, x->rows, x->width, -1, 0};
    return columns(w) * heads == x->width && (rows(w) == 1 || rows(w) == heads);
}

static bool shape_encode(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *x = input(g, op, 0);
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_ACT_I8, x->rows, x->width, -1, x->repeat};
    return x->storage == LP_STORAGE_F32 && x->width % 32 == 0;
}

static bool shape_linear(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *x = input(g, op, 0), *w = input(g, op, 1);
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_F32, x->rows, rows(w), -1, 0};
    return columns(w) == x->width;
}

static bool shape_bias(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *x = input(g, op, 0), *b = input(g, op, 1);
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_F32, x->rows, x->width, 0, 0};
    return columns(b) == x->width && rows(b) == 1;
}

static bool shape_rope(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *x = input(g, op, 0);
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_F32, x->rows, x->width, 0, 0};
    return x->width == (int64_t)op->n_heads * op->head_size && op->rotated % 2 == 0 && op->rotated <= op->head_size &&
           (op->halves || op->rotated == op->head_size);
}

static bool shape_append(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *k = input(g, op, 0), *v = input(g, op, 1);
    *s = (lp_shape){LP_ROLE_STATE, LP_STORAGE_NONE, 0, 0, -1, 0};
    return k->width == v->width && k->width == (int64_t)op->n_heads * op->head_size;
}

static bool shape_attention(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *q = input(g, op, 0);
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_F32, q->rows, q->width, -1, 0};
    return q->width == (int64_t)op->n_heads * op->head_size;
}

static bool shape_pair(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *a = input(g, op, 0), *b = input(g, op, 1);
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_F32, a->rows, a->width, 0, a->repeat};
    return a->width == b->width && a->rows == b->rows && a->repeat == b->repeat;
}

static bool shape_gated(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    return shape_pair(g, op, s) && input(g, op, 2)->width == 1 && input(g, op, 2)->rows == s->rows && s->repeat == 0;
}

static bool shape_same(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *x = input(g, op, 0);
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_F32, x->rows, x->width, 0, x->repeat};
    return x->storage == LP_STORAGE_F32;
}

static bool shape_route(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *x = input(g, op, 0);
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_F32, x->rows, 2 * (int64_t)op->n_used, -1, 0};
    return x->width == op->n_experts && op->n_used <= op->n_experts;
}

static bool shape_expert(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *x = input(g, op, 0), *w = input(g, op, 1), *route = input(g, op, 2);
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_F32, x->rows, rows(w), -1, op->n_used};
    for (int32_t e = 0; e < op->n_experts; e++)
        if (columns(w + e) != x->width || rows(w + e) != rows(w)) return false;
    return route->width == 2 * (int64_t)op->n_used && (x->repeat == 0 || x->repeat == op->n_used);
}

static bool shape_combine(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *x = input(g, op, 0);
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_F32, x->rows, x->width, -1, 0};
    return x->repeat == op->n_used && input(g, op, 1)->width == 2 * (int64_t)op->n_used;
}

static bool shape_select(const lp_graph *g, const lp_op *op, lp_shape *s)
{
    const lp_value *x = input(g, op, 0);
    *s = (lp_shape){LP_ROLE_ACT, LP_STORAGE_F32, LP_ROWS_WANTED, x->width, -1, 0};
    return x->rows == LP_ROWS_TOKENS;
}

static const struct {
    const char *name;
    bool (*shape)(const lp_graph *g, const lp_op *op, lp_shape *s); /* false: the inputs do not fit each other */
} rule[] = {
    [LP_OP_EMBED] = {"embed", shape_embed},
    [LP_OP_RMS_NORM] = {"rms_norm", shape_norm},
    [LP_OP_ENCODE_I8] = {"encode_i8", shape_encode},
    [LP_OP_LINEAR] = {"linear", shape_linear},
    [LP_OP_BIAS] = {"bias", shape_bias},
    [LP_OP_ROPE] = {"rope", shape_rope},
    [LP_OP_CACHE_APPEND] = {"cache_append", shape_append},
    [LP_OP_ATTENTION] = {"attention", shape_attention},
    [LP_OP_SILU_MUL] = {"silu_mul", shape_pair},
    [LP_OP_ADD] = {"add", shape_pair},
    [LP_OP_LAYER_NORM] = {"layer_norm", shape_norm},
    [LP_OP_GELU_MUL] = {"gelu_mul", shape_pair},
    [LP_OP_GELU] = {"gelu", shape_same},
    [LP_OP_SCALE] = {"scale", shape_same},
    [LP_OP_SOFT_CAP] = {"soft_cap", shape_same},
    [LP_OP_ROUTE] = {"route", shape_route},
    [LP_OP_EXPERT_LINEAR] = {"expert_linear", shape_expert},
    [LP_OP_COMBINE] = {"combine", shape_combine},
    [LP_OP_GATED_ADD] = {"gated_add", shape_gated},
    [LP_OP_SELECT] = {"select", shape_select},
};
_Static_assert(sizeof rule / sizeof rule[0] == LP_OP_COUNT, "one row per operator");

const char *lp_op_name(lp_op_id id) { return rule[id].name; }

/* ---- building ------------------------------------------------------------------------------------------------------ */

void lp_graph_init(lp_graph *graph)
{
    memset(graph, 0, sizeof *graph);
    graph->tokens = graph->logits = -1;
}

void lp_graph_free(lp_graph *graph)
{
    for (int32_t i = 0; i < graph->n_views; i++) free(graph->view[i]);
    free(graph->view);
    free(graph->value);
    free(graph->op);
    lp_graph_init(graph);
}

/* Room for one more element of an array that doubles. */
static bool grow(void **array, int32_t n, int32_t *room, size_t size)
{
    if (n < *room) return true;
    int32_t want = *room ? *room * 2 : 64;
    void *p = realloc(*array, (size_t)want * size);
    if (!p) return false;
    *array = p;
    *room = want;
    return true;
}

static int32_t add_value(lp_graph *g, lp_value v)
{
    void *array = g->value;
    if (!grow(&array, g->n_values, &g->value_room, sizeof *g->value)) {
        g->failed = true;
        return 0;
    }
    g->value = array;
    g->value[g->n_values] = v;
    return g->n_values++;
}

int32_t lp_graph_input_tokens(lp_graph *graph)
{
    return graph->tokens = add_value(graph, (lp_value){.role = LP_ROLE_INPUT, .rows = LP_ROWS_TOKENS, .producer = -1, .alias = -1});
}

int32_t lp_graph_state(lp_graph *graph)
{
    return add_value(graph, (lp_value){.role = LP_ROLE_STATE, .producer = -1, .alias = -1});
}

int32_t lp_graph_weight(lp_graph *graph, const lp_tensor *tensor)
{
    for (int32_t i = 0; i < graph->n_values; i++)
        if (graph->value[i].tensor == tensor) return i;
    return add_value(graph, (lp_value){.role = LP_ROLE_WEIGHT, .tensor = tensor, .producer = -1, .alias = -1});
}

int32_t lp_graph_weight_rows(lp_graph *graph, const lp_tensor *tensor, int64_t first, int64_t n)
{
    void *array = graph->view;
    lp_tensor *t = malloc(sizeof *t);
    if (!t || !grow(&array, graph->n_views, &graph->view_room, sizeof *graph->view)) {
        free(t);
        graph->failed = true;
        return 0;
    }
    *t = lp_tensor_rows_of(tensor, first, n);
    graph->view = array;
    graph->view[graph->n_views++] = t;
    return add_value(graph, (lp_value){.role = LP_ROLE_WEIGHT, .tensor = t, .producer = -1, .alias = -1});
}

bool lp_op_reads_matrix(const lp_op *op, int32_t value)
{
    if (op->id == LP_OP_EXPERT_LINEAR) return value >= op->in[1] && value < op->in[1] + op->n_experts;
    return op->id == LP_OP_LINEAR && op->in[1] == value;
}

bool lp_op_reads_vector(const lp_op *op, int32_t value)
{
    return (op->id == LP_OP_RMS_NORM || op->id == LP_OP_LAYER_NORM || op->id == LP_OP_BIAS) && op->in[1] == value;
}

int32_t lp_graph_op(lp_graph *graph, lp_op op)
{
    if (graph->failed) return 0;
    void *array = graph->op;
    if (!grow(&array, graph->n_ops, &graph->op_room, sizeof *graph->op)) {
        graph->failed = true;
        return 0;
    }
    graph->op = array;
    if (op.id == LP_OP_CACHE_APPEND) { /* its output, the layer's state, exists already */
        graph->op[graph->n_ops++] = op;
        return op.out;
    }
    lp_shape s;
    rule[op.id].shape(graph, &op, &s); /* misfits are reported by lp_graph_finish, in order */
    op.out = add_value(graph, (lp_value){.role = s.role,
                                         .storage = s.storage,
                                         .rows = s.rows,
                                         .width = s.width,
                                         .repeat = s.repeat,
                                         .producer = graph->n_ops,
                                         .alias = s.alias < 0 ? -1 : op.in[s.alias]});
    graph->op[graph->n_ops++] = op;
    return op.out;
}

lp_status lp_graph_finish(lp_graph *graph, int32_t logits)
{
    if (graph->failed) return lp_fail(LP_RESOURCE, "out of memory while building the graph");
    for (int32_t i = 0; i < graph->n_ops; i++) {
        const lp_op *op = &graph->op[i];
        lp_shape s;
        if (rule[op->id].shape(graph, op, &s)) continue;
        const lp_value *a = input(graph, op, 0), *b = op->in[1] < 0 ? a : input(graph, op, 1);
        if (b->tensor)
            return lp_fail(LP_INPUT, "tensor %s: shape %lld x %lld does not fit an input of width %lld (%s)", b->tensor->name,
                           (long long)columns(b), (long long)rows(b), (long long)a->width, rule[op->id].name);
        return lp_fail(LP_INPUT, "layer %d: widths %lld and %lld do not fit (%s)", op->layer, (long long)a->width,
                       (long long)b->width, rule[op->id].name);
    }
    graph->logits = logits;
    graph->value[logits].role = LP_ROLE_OUTPUT;
    return LP_OK;
}

/* ---- pass: activations -------------------------------------------------------------------------------------------- */

static bool wants_i8(const lp_graph *g, const lp_op *op)
{
    if ((op->id != LP_OP_LINEAR && op->id != LP_OP_EXPERT_LINEAR) || g->value[op->in[0]].storage != LP_STORAGE_F32) return false;
    const lp_tensor *w = g->value[op->in[1]].tensor;
    return lp_packing_units(w->packing, w->dim[0]) != NULL;
}

lp_status lp_graph_lower_activations(lp_graph *graph)
{
    lp_op *old = graph->op;
    int32_t n_old = graph->n_ops, n_values_old = graph->n_values;
    int32_t *encoded = malloc((size_t)n_values_old * sizeof *encoded); /* of a value: its int8 form, -1: none yet */
    if (!encoded) return lp_fail_memory((size_t)n_values_old * sizeof *encoded, "the graph");
    for (int32_t i = 0; i < n_values_old; i++) encoded[i] = -1;
    graph->op = NULL;
    graph->n_ops = graph->op_room = 0;
    for (int32_t i = 0; i < n_old && !graph->failed; i++) {
        lp_op op = old[i];
        if (wants_i8(graph, &op)) {
            int32_t x = op.in[0];
            if (encoded[x] < 0)
                encoded[x] = lp_graph_op(graph, (lp_op){.id = LP_OP_ENCODE_I8, .in = {x, -1, -1}, .layer = op.layer});
            op.in[0] = encoded[x];
        }
        void *array = graph->op;
        if (!grow(&array, graph->n_ops, &graph->op_room, sizeof *graph->op)) {
            graph->failed = true;
            break;
        }
        graph->op = array;
        if (op.id != LP_OP_CACHE_APPEND) graph->value[op.out].producer = graph->n_ops;
        graph->op[graph->n_ops++] = op;
    }
    free(encoded);
    free(old);
    if (graph->failed) return lp_fail(LP_RESOURCE, "out of memory while building the graph");
    return lp_graph_finish(graph, graph->logits);
}
