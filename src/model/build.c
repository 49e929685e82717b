/* The builder: tensor names and flags of an architecture to a graph. Card: runtime/llama-decoder. */
#include <stdarg.h>
#include <stdio.h>

#include "base/fail.h"
#include "model/model.h"

typedef struct builder {
    const lp_model *model;
    lp_graph *graph;
    lp_status status; /* of the first failure; what follows does nothing */
    int32_t layer;
} builder;

/* The tensor of a name, of a layer where b->layer >= 0. Absent: NULL, an error if required. */
static const lp_tensor *find(builder *b, const char *name, bool required)
{
    char full[80];
    if (b->layer < 0)
        snprintf(full, sizeof full, "%s", name);
    else
        snprintf(full, sizeof full, "blk.%d.%s", b->layer, name);
    const lp_tensor *t = lp_gguf_find_tensor(b->model->gguf, full);
    if (!t && required && b->status == LP_OK)
        b->status = lp_fail(LP_INPUT, "%s: tensor %s: missing", lp_gguf_path(b->model->gguf), full);
    if (t && !t->packing->can_decode && b->status == LP_OK) {
        b->status = lp_fail(LP_UNSUPPORTED, "%s: tensor %s: decoding %s is not built", lp_gguf_path(b->model->gguf), full,
                            t->packing->name);
        return NULL;
    }
    return t;
}

/* A weight of the wanted shape: width values a row, n_rows rows. -1 if absent or after a failure. */
static int32_t weight(builder *b, const char *name, bool required, int64_t width, int64_t n_rows)
{
    if (b->status != LP_OK) return -1;
    const lp_tensor *t = find(b, name, required);
    if (!t || b->status != LP_OK) return -1;
    if (t->dim[0] != width || lp_tensor_rows(t) != n_rows) {
        b->status = lp_fail(LP_INPUT, "%s: tensor %s: shape %lld x %lld, but the metadata says %lld x %lld",
                            lp_gguf_path(b->model->gguf), t->name, (long long)t->dim[0], (long long)lp_tensor_rows(t),
                            (long long)width, (long long)n_rows);
        return -1;
    }
    return lp_graph_weight(b->graph, t);
}

static int32_t op(builder *b, lp_op o)
{
    o.layer = b->layer;
    return b->status == LP_OK ? lp_graph_op(b->graph, o) : -1;
}

static int32_t norm(builder *b, int32_t x, const char *name)
{
    int32_t w = weight(b, name, true, b->model->info.n_embd, 1);
    return op(b, (lp_op){.id = LP_OP_RMS_NORM, .in = {x, w, -1}, .epsilon = (float)b->model->info.rms_epsilon});
}

/* y = W x (+ bias where the file has one). */
static int32_t linear(builder *b, int32_t x, const char *name, int64_t width, int64_t n_rows)
{
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    int32_t w = weight(b, full, true, width, n_rows);
    int32_t y = op(b, (lp_op){.id = LP_OP_LINEAR, .in = {x, w, -1}});
    snprintf(full, sizeof full, "%s.bias", name);
    int32_t bias = weight(b, full, false, n_rows, 1);
    return bias < 0 ? y : op(b, (lp_op){.id = LP_OP_BIAS, .in = {y, bias, -1}});
}

static int32_t attention(builder *b, int32_t x)
{
    const lp_model_info *m = &b->model->info;
    int64_t q_width = m->n_head * m->head_size, kv_width = m->n_head_kv * m->head_size;
    int32_t tokens = b->graph->tokens, h = norm(b, x, "attn_norm.weight");
    int32_t q = linear(b, h, "attn_q", m->n_embd, q_width);
    int32_t k = linear(b, h, "attn_k", m->n_embd, kv_width);
    int32_t v = linear(b, h, "attn_v", m->n_embd, kv_width);
    int32_t heads = (int32_t)m->n_head, heads_kv = (int32_t)m->n_head_kv, d = (int32_t)m->head_size;
    q = op(b, (lp_op){.id = LP_OP_ROPE, .in = {q, tokens, -1}, .n_heads = heads, .head_size = d});
    k = op(b, (lp_op){.id = LP_OP_ROPE, .in = {k, tokens, -1}, .n_heads = heads_kv, .head_size = d});
    int32_t state = lp_graph_state(b->graph);
    op(b, (lp_op){.id = LP_OP_CACHE_APPEND, .in = {k, v, tokens}, .out = state, .n_heads = heads_kv, .head_size = d});
    int32_t o = op(b, (lp_op){.id = LP_OP_ATTENTION, .in = {q, state, tokens}, .n_heads = heads, .head_size = d});
    return linear(b, o, "attn_output", q_width, m->n_embd);
}

static int32_t feed_forward(builder *b, int32_t x)
{
    const lp_model_info *m = &b->model->info;
    int32_t u = norm(b, x, "ffn_norm.weight");
    int32_t gate = linear(b, u, "ffn_gate", m->n_embd, m->n_ffn);
    int32_t up = linear(b, u, "ffn_up", m->n_embd, m->n_ffn);
    int32_t h = op(b, (lp_op){.id = LP_OP_SILU_MUL, .in = {gate, up, -1}});
    return linear(b, h, "ffn_down", m->n_ffn, m->n_embd);
}

lp_status lp_model_build_graph(const lp_model *model, lp_graph *graph)
{
    const lp_model *m = model;
    builder b = {m, graph, LP_OK, -1};
    graph->n_layers = (int32_t)m->info.n_layer;
    graph->n_heads = (int32_t)m->info.n_head;
    graph->n_heads_kv = (int32_t)m->info.n_head_kv;
    graph->head_size = (int32_t)m->info.head_size;

    int32_t tokens = lp_graph_input_tokens(graph);
    int32_t table = weight(&b, "token_embd.weight", true, m->info.n_embd, m->info.n_vocab);
    int32_t x = op(&b, (lp_op){.id = LP_OP_EMBED, .in = {tokens, table, -1}});
    for (b.layer = 0; b.layer < m->info.n_layer && b.status == LP_OK; b.layer++) {
        x = op(&b, (lp_op){.id = LP_OP_ADD, .in = {x, attention(&b, x), -1}});
        x = op(&b, (lp_op){.id = LP_OP_ADD, .in = {x, feed_forward(&b, x), -1}, .ends_layer = true});
    }
    b.layer = -1;
    x = op(&b, (lp_op){.id = LP_OP_SELECT, .in = {x, tokens, -1}});
    x = norm(&b, x, "output_norm.weight");
    bool tied = !lp_gguf_find_tensor(m->gguf, "output.weight");
    int32_t logits = linear(&b, x, tied ? "token_embd" : "output", m->info.n_embd, m->info.n_vocab);
    if (b.status != LP_OK) return b.status;
    return lp_graph_finish(graph, logits);
}
