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

/* A norm of whole rows, or of n_heads parts of a row with one weight of `width` values or n_weights of them. */
static int32_t norm_parts(builder *b, int32_t x, const char *name, bool layer_norm, int64_t width, int64_t n_weights,
                          int32_t n_heads)
{
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    int32_t w = weight(b, full, true, width, n_weights);
    return op(b, (lp_op){.id = layer_norm ? LP_OP_LAYER_NORM : LP_OP_RMS_NORM,
                         .in = {x, w, -1},
                         .epsilon = (float)b->model->info.rms_epsilon,
                         .n_heads = n_heads});
}

static int32_t norm(builder *b, int32_t x, const char *name)
{
    const lp_model *m = b->model;
    int32_t y = norm_parts(b, x, name, m->architecture->layer_norm, m->info.n_embd, 1, 0);
    if (!m->architecture->layer_norm) return y;
    char full[64];
    snprintf(full, sizeof full, "%s.bias", name);
    int32_t bias = weight(b, full, true, m->info.n_embd, 1);
    return op(b, (lp_op){.id = LP_OP_BIAS, .in = {y, bias, -1}});
}

static bool has(builder *b, const char *name) { return b->status == LP_OK && find(b, name, false) != NULL; }

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

/* The same for rows [first, first + n_rows) of a tensor of n_all rows, which has no bias. */
static int32_t linear_rows(builder *b, int32_t x, const char *name, int64_t width, int64_t n_all, int64_t first, int64_t n_rows)
{
    int32_t whole = weight(b, name, true, width, n_all);
    if (whole < 0) return -1;
    int32_t w = lp_graph_weight_rows(b->graph, b->graph->value[whole].tensor, first, n_rows);
    return op(b, (lp_op){.id = LP_OP_LINEAR, .in = {x, w, -1}});
}

static int32_t scale(builder *b, int32_t x, double factor)
{
    return factor == 1 ? x : op(b, (lp_op){.id = LP_OP_SCALE, .in = {x, -1, -1}, .factor = (float)factor});
}

/* The norm of q or k, before RoPE. */
static int32_t head_norm(builder *b, int32_t x, const char *name, int32_t n_heads)
{
    lp_qk_norm kind = b->model->architecture->qk_norm;
    int64_t d = b->model->info.head_size;
    char full[64];
    snprintf(full, sizeof full, "%s.weight", name);
    if (kind == LP_QK_HEADS) return norm_parts(b, x, name, false, d, 1, n_heads);
    if (kind == LP_QK_ROW) return norm_parts(b, x, name, false, d * n_heads, 1, 0);
    if (kind == LP_QK_OPTIONAL && has(b, full))
        return norm_parts(b, x, name, b->model->architecture->layer_norm, d, n_heads, n_heads);
    return x;
}

static int32_t rope(builder *b, int32_t x, int32_t n_heads)
{
    const lp_model *m = b->model;
    if (m->n_rotated == 0) return x;
    bool own = m->architecture->local_rope && m->has_window[b->layer];
    return op(b, (lp_op){.id = LP_OP_ROPE, .in = {x, b->graph->tokens, -1}, .n_heads = n_heads,
                         .head_size = (int32_t)m->info.head_size,
                         .rotated = (int32_t)m->n_rotated, .halves = !m->architecture->adjacent_pairs, .rope_table = own});
}

/* x: the normed residual stream. */
static int32_t attention(builder *b, int32_t x)
{
    const lp_model *model = b->model;
    const lp_model_info *m = &model->info;
    int64_t q_width = m->n_head * m->head_size, kv_width = m->n_head_kv * m->head_size, all = q_width + 2 * kv_width;
    int32_t tokens = b->graph->tokens, heads = (int32_t)m->n_head, heads_kv = (int32_t)m->n_head_kv, d = (int32_t)m->head_size;
    int32_t q, k, v;
    if (model->architecture->fused && has(b, "attn_qkv.weight")) {
        q = linear_rows(b, x, "attn_qkv.weight", m->n_embd, all, 0, q_width);
        k = linear_rows(b, x, "attn_qkv.weight", m->n_embd, all, q_width, kv_width);
        v = linear_rows(b, x, "attn_qkv.weight", m->n_embd, all, q_width + kv_width, kv_width);
    } else {
        q = linear(b, x, "attn_q", m->n_embd, q_width);
        k = linear(b, x, "attn_k", m->n_embd, kv_width);
        v = linear(b, x, "attn_v", m->n_embd, kv_width);
    }
    q = rope(b, head_norm(b, q, "attn_q_norm", heads), heads);
    k = rope(b, head_norm(b, k, "attn_k_norm", heads_kv), heads_kv);
    int32_t state = lp_graph_state(b->graph);
    op(b, (lp_op){.id = LP_OP_CACHE_APPEND, .in = {k, v, tokens}, .out = state, .n_heads = heads_kv, .head_size = d});
    int32_t o = op(b, (lp_op){.id = LP_OP_ATTENTION,
                              .in = {q, state, tokens},
                              .n_heads = heads,
                              .head_size = d,
                              .factor = (float)model->attention_scale,
                              .cap = (float)model->attention_cap,
                              .window = model->has_window[b->layer] ? (int32_t)model->window : 0});
    return linear(b, o, "attn_output", q_width, m->n_embd);
}

/* The first of n_experts weights that follow each other: of each expert's n_all rows in one tensor, those from `first` on. */
static int32_t parts_of_experts(builder *b, const char *name, int64_t width, int64_t n_all, int64_t first, int64_t n_rows)
{
    int64_t n = b->model->n_experts;
    int32_t result = -1, whole = weight(b, name, true, width, n_all * n);
    for (int64_t e = 0; e < n && whole >= 0; e++) {
        int32_t w = lp_graph_weight_rows(b->graph, b->graph->value[whole].tensor, e * n_all + first, n_rows);
        if (e == 0) result = w;
    }
    return result;
}

/* The same where a tensor holds them alone, or each has a tensor of its own. */
static int32_t expert_weights(builder *b, const char *name, int64_t width, int64_t n_rows)
{
    int32_t first = -1;
    char full[64];
    snprintf(full, sizeof full, "%s_exps.weight", name);
    if (has(b, full)) return parts_of_experts(b, full, width, n_rows, 0, n_rows);
    for (int64_t e = 0; e < b->model->n_experts; e++) {
        snprintf(full, sizeof full, "%s.%d.weight", name, (int)e);
        int32_t w = weight(b, full, true, width, n_rows);
        if (e == 0) first = w;
    }
    return first;
}

/* y + sigmoid(score) * the expert that every token has. */
static int32_t add_shared_expert(builder *b, int32_t x, int32_t y)
{
    int64_t n_embd = b->model->info.n_embd, n_ffn = b->model->n_shared;
    int32_t gate = linear(b, x, "ffn_gate_shexp", n_embd, n_ffn), up = linear(b, x, "ffn_up_shexp", n_embd, n_ffn);
    int32_t h = op(b, (lp_op){.id = LP_OP_SILU_MUL, .in = {gate, up, -1}});
    int32_t shared = linear(b, h, "ffn_down_shexp", n_ffn, n_embd), score = linear(b, x, "ffn_gate_inp_shexp", n_embd, 1);
    return op(b, (lp_op){.id = LP_OP_GATED_ADD, .in = {y, shared, score}});
}

static int32_t experts(builder *b, int32_t x)
{
    const lp_model *m = b->model;
    int64_t n_embd = m->info.n_embd, n_ffn = m->info.n_ffn;
    int32_t n = (int32_t)m->n_experts, used = (int32_t)m->n_experts_used;
    bool fused = has(b, "ffn_gate_up_exps.weight");
    int32_t score = linear(b, x, "ffn_gate_inp", n_embd, n);
    int32_t route = op(b, (lp_op){.id = LP_OP_ROUTE, .in = {score, -1, -1}, .n_experts = n, .n_used = used,
                                 .raw = m->architecture->raw_experts, .factor = (float)m->expert_scale});
    lp_op one = {.id = LP_OP_EXPERT_LINEAR, .n_experts = n, .n_used = used, .in = {x, -1, route}};
    one.in[1] = fused ? parts_of_experts(b, "ffn_gate_up_exps.weight", n_embd, 2 * n_ffn, 0, n_ffn) : expert_weights(b, "ffn_gate", n_embd, n_ffn);
    int32_t gate = op(b, one);
    one.in[1] = fused ? parts_of_experts(b, "ffn_gate_up_exps.weight", n_embd, 2 * n_ffn, n_ffn, n_ffn) : expert_weights(b, "ffn_up", n_embd, n_ffn);
    int32_t up = op(b, one);
    one.in[0] = op(b, (lp_op){.id = LP_OP_SILU_MUL, .in = {gate, up, -1}});
    one.in[1] = expert_weights(b, "ffn_down", n_ffn, n_embd);
    int32_t y = op(b, (lp_op){.id = LP_OP_COMBINE, .in = {op(b, one), route, -1}, .n_experts = n, .n_used = used});
    return m->architecture->shared_expert ? add_shared_expert(b, x, y) : y;
}

/* x: the normed residual stream. */
static int32_t feed_forward(builder *b, int32_t x)
{
    const lp_architecture *a = b->model->architecture;
    const lp_model_info *m = &b->model->info;
    int32_t h;
    if (b->model->n_experts) return experts(b, x);
    if (a->no_gate) {
        h = op(b, (lp_op){.id = LP_OP_GELU, .in = {linear(b, x, "ffn_up", m->n_embd, m->n_ffn), -1, -1}});
    } else {
        int32_t gate, up;
        if (a->fused) {
            gate = linear_rows(b, x, "ffn_up.weight", m->n_embd, 2 * m->n_ffn, 0, m->n_ffn);
            up = linear_rows(b, x, "ffn_up.weight", m->n_embd, 2 * m->n_ffn, m->n_ffn, m->n_ffn);
        } else {
            gate = linear(b, x, "ffn_gate", m->n_embd, m->n_ffn);
            up = linear(b, x, "ffn_up", m->n_embd, m->n_ffn);
        }
        h = op(b, (lp_op){.id = a->gelu ? LP_OP_GELU_MUL : LP_OP_SILU_MUL, .in = {gate, up, -1}});
    }
    return linear(b, h, "ffn_down", m->n_ffn, m->n_embd);
}

/* x + what a branch gave, normed and scaled as the architecture wants it. */
static int32_t join(builder *b, int32_t x, int32_t branch, const char *post_norm, bool ends_layer)
{
    if (b->model->architecture->post_norms) branch = norm(b, branch, post_norm);
    branch = scale(b, branch, b->model->residual_scale);
    return op(b, (lp_op){.id = LP_OP_ADD, .in = {x, branch, -1}, .ends_layer = ends_layer});
}

static int32_t layer(builder *b, int32_t x)
{
    const lp_architecture *a = b->model->architecture;
    int32_t h = a->no_pre_norm ? x : norm(b, x, "attn_norm");
    if (a->parallel && !has(b, "ffn_norm.weight")) {
        int32_t y = attention(b, h), z = feed_forward(b, h);
        return join(b, join(b, x, y, "", false), z, "", true);
    }
    x = join(b, x, attention(b, h), "post_attention_norm", false);
    h = a->no_pre_norm ? x : norm(b, x, "ffn_norm");
    return join(b, x, feed_forward(b, h), "post_ffw_norm", true);
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
    int32_t x = scale(&b, op(&b, (lp_op){.id = LP_OP_EMBED, .in = {tokens, table, -1}}), m->embedding_scale);
    for (b.layer = 0; b.layer < m->info.n_layer && b.status == LP_OK; b.layer++) x = layer(&b, x);
    b.layer = -1;
    x = op(&b, (lp_op){.id = LP_OP_SELECT, .in = {x, tokens, -1}});
    x = norm(&b, x, "output_norm");
    lp_head_rule rule = m->architecture->head;
    bool tied = rule == LP_HEAD_TIED || (rule == LP_HEAD_OPTIONAL && !lp_gguf_find_tensor(m->gguf, "output.weight"));
    int32_t logits = linear(&b, x, tied ? "token_embd" : "output", m->info.n_embd, m->info.n_vocab);
    logits = scale(&b, logits, m->logit_scale);
    if (m->final_cap != 0) logits = op(&b, (lp_op){.id = LP_OP_SOFT_CAP, .in = {logits, -1, -1}, .factor = (float)m->final_cap});
    if (b.status != LP_OK) return b.status;
    return lp_graph_finish(graph, logits);
}
