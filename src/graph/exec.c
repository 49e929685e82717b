/* The executor: what each operator does with its part of the rows, tiles or heads. */
#include "graph/exec.h"

#include <string.h>

/* Most queries of one attention call: enough to share a page of keys, few enough to spread over threads. */
enum { QUERY_BLOCK = 16 };

static void *memory(const lp_exec *x, int32_t value) { return x->arena + x->graph->value[value].offset; }
static float *floats(const lp_exec *x, int32_t value) { return memory(x, value); }

const float *lp_exec_rows(const lp_exec *exec, int32_t value) { return floats(exec, value); }

static int64_t row_count(const lp_exec *x, int32_t value)
{
    int64_t n = x->graph->value[value].rows, repeat = x->graph->value[value].repeat;
    if (repeat > 1) return x->n_tokens * repeat;
    return n == LP_ROWS_TOKENS ? x->n_tokens : n == LP_ROWS_WANTED ? x->n_wanted : n;
}

/* ---- one function per operator: its part of the work --------------------------------------------------------------- */

static void run_embed(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    const lp_tensor *w = x->graph->value[op->in[1]].tensor;
    int64_t first, last, width = w->dim[0];
    lp_pool_part(x->n_tokens, thread, n_threads, &first, &last);
    for (int64_t t = first; t < last; t++) lp_tensor_decode_row(w, x->token[t], floats(x, op->out) + t * width);
}

static void run_norm(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    const lp_tensor *w = x->graph->value[op->in[1]].tensor;
    int64_t first, last, width = x->graph->value[op->out].width, heads = op->n_heads ? op->n_heads : 1, d = width / heads;
    int64_t step = lp_tensor_rows(w) > 1 ? d : 0; /* of the weight from head to head */
    lp_pool_part(row_count(x, op->out), thread, n_threads, &first, &last);
    for (int64_t t = first; t < last; t++)
        for (int64_t h = 0; h < heads; h++) {
            const float *in = floats(x, op->in[0]) + t * width + h * d, *weight = x->vector[op->in[1]] + h * step;
            float *out = floats(x, op->out) + t * width + h * d;
            if (op->id == LP_OP_RMS_NORM) x->kernels->rms_norm(in, weight, d, op->epsilon, out);
            else x->kernels->layer_norm(in, weight, d, op->epsilon, out);
        }
}

static void run_encode(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    int64_t first, last, width = x->graph->value[op->out].width;
    lp_pool_part(row_count(x, op->out), thread, n_threads, &first, &last);
    for (int64_t t = first; t < last; t++) {
        lp_act_row row = lp_act_row_at(memory(x, op->out), width, t);
        x->kernels->quantize_i8(floats(x, op->in[0]) + t * width, width, &row);
    }
}

static void run_linear(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    const lp_value *in = &x->graph->value[op->in[0]];
    const lp_weight *w = &x->weight[op->in[1]];
    int64_t first, last, n = row_count(x, op->out), n_tiles = (w->rows + LP_TILE_ROWS - 1) / LP_TILE_ROWS;
    lp_pool_part(n_tiles, thread, n_threads, &first, &last);
    if (first == last || n == 0) return;
    void *scratch = x->scratch + (size_t)thread * x->scratch_bytes;
    if (in->storage == LP_STORAGE_ACT_I8)
        x->kernels->linear_i8(w, first, last, memory(x, op->in[0]), n, floats(x, op->out), w->rows, scratch);
    else
        x->kernels->linear_f32(w, first, last, floats(x, op->in[0]), w->cols, n, floats(x, op->out), w->rows, scratch);
}

static void run_bias(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    int64_t first, last, width = x->graph->value[op->out].width;
    const float *bias = x->vector[op->in[1]];
    lp_pool_part(row_count(x, op->out), thread, n_threads, &first, &last);
    for (int64_t t = first; t < last; t++) {
        float *y = floats(x, op->out) + t * width;
        x->kernels->add(y, bias, width, y);
    }
}

static void run_rope(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    int64_t first, last, width = x->graph->value[op->out].width;
    lp_pool_part(x->n_tokens, thread, n_threads, &first, &last);
    for (int64_t t = first; t < last; t++) {
        int64_t at = x->position[t] * x->rope_half;
        const float *cosine = x->rope_cosine[op->rope_table] + at, *sine = x->rope_sine[op->rope_table] + at;
        float *row = floats(x, op->out) + t * width;
        if (op->halves) x->kernels->rope_halves(row, op->n_heads, op->head_size, op->rotated, cosine, sine);
        else x->kernels->rope_pairs(row, op->n_heads, op->head_size, cosine, sine);
    }
}

static void run_append(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    int64_t first, last, d = op->head_size, width = (int64_t)op->n_heads * d;
    lp_pool_part(x->n_tokens, thread, n_threads, &first, &last);
    for (int64_t t = first; t < last; t++) {
        int64_t group = x->position[t] / LP_ATTENTION_GROUP, slot = x->position[t] % LP_ATTENTION_GROUP;
        for (int64_t h = 0; h < op->n_heads; h++) {
            float *keys = lp_cache_keys(x->cache, x->sequence[t], group, op->layer, h);
            float *values = lp_cache_values(x->cache, x->sequence[t], group, op->layer, h);
            const float *k = floats(x, op->in[0]) + t * width + h * d;
            const float *v = floats(x, op->in[1]) + t * width + h * d;
            for (int64_t i = 0; i < d; i++) keys[i * LP_ATTENTION_GROUP + slot] = k[i];
            memcpy(values + slot * d, v, (size_t)d * sizeof *v);
        }
    }
}

/* Queries of the tokens [t0, t1) of one sequence for one head, or of all heads of a group for one token. */
static void attend(const lp_exec *x, const lp_op *op, int64_t t0, int64_t t1, int64_t head, int64_t n_heads, void *scratch)
{
    const lp_cache *cache = x->cache;
    int64_t d = op->head_size, width = (int64_t)op->n_heads * d, share = op->n_heads / cache->n_heads;
    int64_t n = (t1 - t0) * n_heads, n_keys[QUERY_BLOCK], first_key[QUERY_BLOCK], longest = 0;
    for (int64_t i = 0; i < n; i++) {
        n_keys[i] = (int64_t)x->position[t0 + i / n_heads] + 1;
        first_key[i] = op->window && n_keys[i] > op->window ? n_keys[i] - op->window : 0;
        if (n_keys[i] > longest) longest = n_keys[i];
    }
    int64_t n_groups = (longest + LP_ATTENTION_GROUP - 1) / LP_ATTENTION_GROUP;
    const float **keys = scratch, **values = keys + cache->pages_per_sequence;
    for (int64_t g = 0; g < n_groups; g++) {
        keys[g] = lp_cache_keys(cache, x->sequence[t0], g, op->layer, head / share);
        values[g] = lp_cache_values(cache, x->sequence[t0], g, op->layer, head / share);
    }
    uintptr_t rest = ((uintptr_t)(values + cache->pages_per_sequence) + 63) & ~(uintptr_t)63;
    int64_t stride = n_heads > 1 ? d : width; /* of queries: heads of one token, or tokens of one head */
    const float *q = floats(x, op->in[0]) + t0 * width + head * d;
    float *out = floats(x, op->out) + t0 * width + head * d;
    if (op->window || op->cap != 0)
        x->kernels->attention_window(q, stride, n, first_key, n_keys, keys, values, d, op->factor, op->cap, out, stride,
                                     (void *)rest);
    else
        x->kernels->attention(q, stride, n, n_keys, keys, values, d, op->factor, out, stride, (void *)rest);
}

static void run_attention(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    void *scratch = x->scratch + (size_t)thread * x->scratch_bytes;
    int64_t unit = 0, share = op->n_heads / x->cache->n_heads;
    for (int64_t t = 0; t < x->n_tokens;) {
        int64_t end = t + 1; /* a run of tokens of one sequence */
        while (end < x->n_tokens && end - t < QUERY_BLOCK && x->sequence[end] == x->sequence[t]) end++;
        bool by_token = end - t < 4 && share <= QUERY_BLOCK;
        int64_t step = by_token ? share : 1;
        for (int64_t u = by_token ? t : end - 1; u < end; u++)
            for (int64_t h = 0; h < op->n_heads; h += step)
                if (unit++ % n_threads == thread) attend(x, op, by_token ? u : t, u + 1, h, step, scratch);
        t = end;
    }
}

static void run_gate(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    int64_t first, last, width = x->graph->value[op->out].width;
    lp_pool_part(row_count(x, op->out), thread, n_threads, &first, &last);
    if (first == last) return;
    float *y = floats(x, op->out) + first * width;
    const float *up = floats(x, op->in[1]) + first * width;
    if (op->id == LP_OP_SILU_MUL) x->kernels->silu_mul(y, up, (last - first) * width, y);
    else x->kernels->gelu_mul(y, up, (last - first) * width, y);
}

/* GELU, SCALE, SOFT_CAP. */
static void run_unary(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    int64_t first, last, width = x->graph->value[op->out].width;
    lp_pool_part(row_count(x, op->out), thread, n_threads, &first, &last);
    float *y = floats(x, op->out) + first * width;
    int64_t n = (last - first) * width;
    if (op->id == LP_OP_GELU) x->kernels->gelu(y, n, y);
    if (op->id == LP_OP_SCALE) x->kernels->scale(y, op->factor, n, y);
    if (op->id == LP_OP_SOFT_CAP) x->kernels->soft_cap(y, op->factor, n, y);
}

static void run_route(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    int64_t first, last;
    lp_pool_part(x->n_tokens, thread, n_threads, &first, &last);
    for (int64_t t = first; t < last; t++)
        lp_route_experts(floats(x, op->in[0]) + t * op->n_experts, op->n_experts, op->n_used, !op->raw, op->factor,
                         floats(x, op->out) + 2 * t * op->n_used);
}

/* Tiles of every expert are split over threads; a token's row goes through the tiles of its experts. */
static void run_expert(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    const lp_value *in = &x->graph->value[op->in[0]];
    const float *route = floats(x, op->in[2]);
    int64_t first, last, rows = x->graph->value[op->out].width, used = op->n_used, share = in->repeat ? 1 : used;
    void *scratch = x->scratch + (size_t)thread * x->scratch_bytes;
    lp_pool_part((rows + LP_TILE_ROWS - 1) / LP_TILE_ROWS, thread, n_threads, &first, &last);
    if (first == last) return;
    for (int32_t e = 0; e < op->n_experts; e++) /* expert by expert, so that its tiles stay in the cache */
        for (int64_t r = 0; r < x->n_tokens * used; r++) {
            if ((int32_t)route[r / used * 2 * used + r % used] != e) continue;
            const lp_weight *w = &x->weight[op->in[1] + e];
            float *y = floats(x, op->out) + r * rows;
            if (in->storage == LP_STORAGE_ACT_I8)
                x->kernels->linear_i8(w, first, last,
                                      (const uint8_t *)memory(x, op->in[0]) + (size_t)(r / share) * lp_act_row_bytes(in->width),
                                      1, y, rows, scratch);
            else
                x->kernels->linear_f32(w, first, last, floats(x, op->in[0]) + r / share * in->width, w->cols, 1, y, rows,
                                       scratch);
        }
}

static void run_combine(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    int64_t first, last, width = x->graph->value[op->out].width, used = op->n_used;
    lp_pool_part(x->n_tokens, thread, n_threads, &first, &last);
    for (int64_t t = first; t < last; t++)
        lp_combine_experts(floats(x, op->in[0]) + t * used * width, floats(x, op->in[1]) + t * 2 * used + used, used, width,
                           floats(x, op->out) + t * width);
}

static void run_add(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    int64_t first, last, width = x->graph->value[op->out].width;
    lp_pool_part(row_count(x, op->out), thread, n_threads, &first, &last);
    if (first == last) return;
    float *y = floats(x, op->out) + first * width;
    x->kernels->add(y, floats(x, op->in[1]) + first * width, (last - first) * width, y);
}

static void run_gated_add(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    int64_t first, last, width = x->graph->value[op->out].width;
    lp_pool_part(row_count(x, op->out), thread, n_threads, &first, &last);
    for (int64_t r = first; r < last; r++)
        lp_add_gated(floats(x, op->in[1]) + r * width, floats(x, op->in[2])[r], width, floats(x, op->out) + r * width);
}

static void run_select(const lp_exec *x, const lp_op *op, int thread, int n_threads)
{
    int64_t first, last, width = x->graph->value[op->out].width;
    lp_pool_part(x->n_wanted, thread, n_threads, &first, &last);
    for (int64_t r = first; r < last; r++)
        memcpy(floats(x, op->out) + r * width, floats(x, op->in[0]) + x->wanted[r] * width, (size_t)width * sizeof(float));
}

typedef void (*run_fn)(const lp_exec *x, const lp_op *op, int thread, int n_threads);

static const run_fn run[] = {
    [LP_OP_EMBED] = run_embed,         [LP_OP_RMS_NORM] = run_norm,   [LP_OP_ENCODE_I8] = run_encode,
    [LP_OP_LINEAR] = run_linear,       [LP_OP_BIAS] = run_bias,       [LP_OP_ROPE] = run_rope,
    [LP_OP_CACHE_APPEND] = run_append, [LP_OP_ATTENTION] = run_attention, [LP_OP_SILU_MUL] = run_gate,
    [LP_OP_ADD] = run_add,             [LP_OP_LAYER_NORM] = run_norm, [LP_OP_GELU_MUL] = run_gate,
    [LP_OP_GELU] = run_unary,          [LP_OP_SCALE] = run_unary,     [LP_OP_SOFT_CAP] = run_unary,
    [LP_OP_ROUTE] = run_route,         [LP_OP_EXPERT_LINEAR] = run_expert, [LP_OP_COMBINE] = run_combine,
    [LP_OP_GATED_ADD] = run_gated_add, [LP_OP_SELECT] = run_select,
};
_Static_assert(sizeof run / sizeof run[0] == LP_OP_COUNT, "one function per operator");

/* ---- all of them --------------------------------------------------------------------------------------------------- */

size_t lp_exec_scratch_bytes(const lp_graph *graph, int64_t n_context)
{
    size_t most = 0, n_pages = (size_t)(n_context / LP_ATTENTION_GROUP + 1);
    for (int32_t i = 0; i < graph->n_ops; i++) {
        const lp_op *op = &graph->op[i];
        size_t n = 0;
        if (op->id == LP_OP_LINEAR || op->id == LP_OP_EXPERT_LINEAR) n = lp_linear_scratch_bytes(graph->value[op->in[1]].tensor->dim[0]);
        if (op->id == LP_OP_ATTENTION) n = lp_attention_scratch_bytes(QUERY_BLOCK, op->head_size) + 2 * n_pages * sizeof(float *) + 64;
        if (n > most) most = n;
    }
    return (most + 63) & ~(size_t)63;
}

typedef struct op_range {
    const lp_exec *exec;
    int32_t first, last;
} op_range;

static void run_stages(void *context, int thread, int n_threads)
{
    const op_range *range = context;
    const lp_exec *x = range->exec;
    int32_t stage = range->first < range->last ? x->graph->op[range->first].stage : 0;
    for (int32_t i = range->first; i < range->last; i++) {
        const lp_op *op = &x->graph->op[i];
        if (op->stage != stage) {
            if (n_threads > 1) lp_pool_barrier(x->pool);
            stage = op->stage;
        }
        run[op->id](x, op, thread, n_threads);
    }
}

typedef struct one_op {
    const lp_exec *exec;
    const lp_op *op;
} one_op;

static void run_one(void *context, int thread, int n_threads)
{
    const one_op *o = context;
    run[o->op->id](o->exec, o->op, thread, n_threads);
}

static void watch(const lp_exec *x, lp_value_watcher watcher, const lp_op *op, int32_t value)
{
    if (watcher && value >= 0 && x->graph->value[value].storage == LP_STORAGE_F32)
        watcher(x->watch_context, x->graph, op, floats(x, value), row_count(x, value), x->graph->value[value].width);
}

void lp_exec_run_ops(lp_exec *exec, int32_t first, int32_t last)
{
    if (!exec->before && !exec->after) {
        op_range range = {exec, first, last};
        lp_pool_run(exec->pool, run_stages, &range);
        return;
    }
    for (int32_t i = first; i < last; i++) {
        one_op o = {exec, &exec->graph->op[i]};
        watch(exec, exec->before, o.op, o.op->in[0]);
        lp_pool_run(exec->pool, run_one, &o);
        watch(exec, exec->after, o.op, o.op->out);
    }
}

void lp_exec_run(lp_exec *exec) { lp_exec_run_ops(exec, 0, exec->graph->n_ops); }
