/* The block driver. The model's graph is cut at the ends of its layers; between two cuts nothing lives but the residual stream,
 * which is kept for every window while one layer's weights are in memory. */
#include "calibrate/driver.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/environment.h"
#include "base/fail.h"
#include "file/gguf.h"
#include "graph/exec.h"
#include "kernel/kernel.h"
#include "measure/windows.h"
#include "model/model.h"

enum { HEAD_ROWS = 64 }; /* of the output head's input at once */

/* A matrix in float, as kernels want it, and the tensor that it says it comes from. */
typedef struct matrix {
    lp_tensor tensor;
    uint8_t *tiles;
} matrix;

/* A network: the float one, or the one with new weights. */
typedef struct network {
    lp_weight *weight;   /* [n_values] of the layer in memory */
    matrix *matrix;      /* [n_values] tiles that this network owns */
    float *residual;     /* [n_windows][n_context][E] before the next layer; NULL: not kept */
} network;

typedef struct group {
    lp_driver_group shown;
    int32_t input;       /* value that the weights read, -1: none */
    int32_t reader;      /* first op that reads it */
    lp_moments moments;
    float *z;            /* [n_context][k] what the float network's layer reads; NULL without cross */
} group;

typedef struct driver {
    const lp_model *model;
    const lp_gguf *gguf;
    const lp_driver_options *options;
    const lp_progress *progress;
    lp_windows windows;
    lp_graph graph;
    int32_t *layer;      /* [n_ops] of each op, before the graph's own are set to the one layer of the cache */
    lp_cache cache;
    lp_exec exec;
    float *rope;
    float **vector;      /* [n_values] */
    int32_t *sequence, *position, *token, *wanted; /* [n_context] */
    network plain, changed;
    int32_t tied;        /* the embedding's value if the output head reads it too, else -1 */
    matrix embedding;    /* new weights of the embedding; tensor.data NULL: none */
    int64_t width;       /* E */
    double done, total;  /* passes over the text, layer by layer */
} driver;

/* ---- progress ------------------------------------------------------------------------------------------------------ */

static lp_status step_progress(driver *d, const char *what, double steps)
{
    const lp_progress *p = d->progress;
    d->done += steps;
    if (p && p->cancelled && p->cancelled(p->context)) return lp_fail(LP_INTERRUPTED, "interrupted");
    if (p && p->report) p->report(p->context, what, d->done, d->total);
    return LP_OK;
}

/* ---- creation ------------------------------------------------------------------------------------------------------ */

static lp_status load_vectors(driver *d)
{
    const lp_graph *g = &d->graph;
    for (int32_t v = 0; v < g->n_values; v++) {
        const lp_tensor *t = g->value[v].tensor;
        bool read = false;
        for (int32_t i = 0; t && i < g->n_ops; i++) read |= lp_op_reads_vector(&g->op[i], v);
        if (!read) continue;
        int64_t rows = lp_tensor_rows(t);
        d->vector[v] = lp_aligned_alloc((size_t)(rows * t->dim[0]) * sizeof(float));
        if (!d->vector[v]) return lp_fail_memory((size_t)(rows * t->dim[0]) * sizeof(float), t->name);
        for (int64_t r = 0; r < rows; r++) lp_tensor_decode_row(t, r, d->vector[v] + r * t->dim[0]);
    }
    return LP_OK;
}

static lp_status build_graph(driver *d)
{
    lp_graph *g = &d->graph;
    lp_graph_init(g);
    LP_TRY(lp_model_build_graph(d->model, g));
    LP_TRY(lp_graph_plan(g, d->windows.n_context, HEAD_ROWS));
    d->layer = malloc((size_t)g->n_ops * sizeof *d->layer);
    if (!d->layer) return lp_fail_memory((size_t)g->n_ops * sizeof *d->layer, "the graph");
    d->tied = -1;
    for (int32_t i = 0; i < g->n_ops; i++) {
        lp_op *op = &g->op[i];
        d->layer[i] = op->layer;
        op->layer = op->layer < 0 ? -1 : 0; /* the cache holds one layer, the one at work */
        if (op->id == LP_OP_EMBED)
            for (int32_t j = 0; j < g->n_ops; j++)
                if (lp_op_reads_matrix(&g->op[j], op->in[1])) d->tied = op->in[1];
    }
    return LP_OK;
}

static lp_status allocate_network(driver *d, network *n, bool residual)
{
    size_t values = (size_t)d->graph.n_values, floats = 0;
    n->weight = calloc(values, sizeof *n->weight);
    n->matrix = calloc(values, sizeof *n->matrix);
    if (!n->weight || !n->matrix) return lp_fail_memory(values * sizeof *n->weight, "weights");
    if (!residual) return LP_OK;
    bool fits = lp_mul_size((size_t)d->windows.n_windows, (size_t)d->windows.n_context, &floats) &&
                lp_mul_size(floats, (size_t)d->width * sizeof(float), &floats);
    n->residual = fits ? lp_aligned_alloc(floats) : NULL;
    return n->residual ? LP_OK : lp_fail_memory(fits ? floats : SIZE_MAX, "the residual stream of all windows");
}

static lp_status prepare(driver *d)
{
    const lp_model_info *m = lp_model_get_info(d->model);
    size_t n = (size_t)d->windows.n_context, values = (size_t)d->graph.n_values;
    lp_exec *x = &d->exec;
    d->width = m->n_embd;
    LP_TRY(lp_cache_init(&d->cache, 1, m->n_head_kv, m->head_size, 1, d->windows.n_context));
    bool two = d->model->architecture->local_rope && d->model->window > 0;
    size_t half = (size_t)(d->model->n_rotated / 2), n_rope = n * half;
    x->scratch_bytes = lp_exec_scratch_bytes(&d->graph, d->windows.n_context);
    x->arena = lp_aligned_alloc(d->graph.arena_bytes);
    x->scratch = lp_aligned_alloc((size_t)lp_pool_threads(d->options->pool) * x->scratch_bytes);
    d->rope = lp_aligned_alloc((two ? 4 : 2) * n_rope * sizeof(float) + 64);
    d->vector = calloc(values, sizeof *d->vector);
    d->token = calloc(4 * n, sizeof *d->token);
    if (!x->arena || !x->scratch || !d->rope || !d->vector || !d->token) return lp_fail_memory(d->graph.arena_bytes, "activations");
    d->position = d->token + n;
    d->sequence = d->position + n; /* zeros */
    d->wanted = d->sequence + n;
    for (size_t i = 0; i < n; i++) d->position[i] = (int32_t)i;
    for (int i = 0; i < 2; i++) {
        float *table = d->rope + (i && two ? 2 * n_rope : 0);
        if (i == 0 || two) lp_model_rope_table(d->model, d->windows.n_context, i, table, table + n_rope);
        x->rope_cosine[i] = table;
        x->rope_sine[i] = table + n_rope;
    }
    x->rope_half = (int64_t)half;
    x->graph = &d->graph;
    x->kernels = lp_kernels_current();
    x->pool = d->options->pool;
    x->cache = &d->cache;
    x->vector = d->vector;
    x->token = d->token;
    x->sequence = d->sequence;
    x->position = d->position;
    x->wanted = d->wanted;
    x->n_tokens = d->windows.n_context;
    lp_cache_extend(&d->cache, 0, d->windows.n_context);
    LP_TRY(load_vectors(d));
    bool both = d->options->prefix != LP_PREFIX_FLOAT;
    LP_TRY(allocate_network(d, &d->plain, d->options->cross || !both || d->tied >= 0));
    return allocate_network(d, &d->changed, both);
}

/* ---- weights ------------------------------------------------------------------------------------------------------- */

typedef struct pack_job {
    const matrix *matrix;
    size_t tile_bytes;
    int64_t n_tiles;
} pack_job;

static void pack_part(void *context, int thread, int n_threads)
{
    const pack_job *j = context;
    int64_t first, last;
    lp_pool_part(j->n_tiles, thread, n_threads, &first, &last);
    for (int64_t t = first; t < last; t++)
        lp_weight_pack_tile(&j->matrix->tensor, t, j->matrix->tiles + (size_t)t * j->tile_bytes);
}

/* Makes tiles of a tensor with float values for value v of a network. */
static lp_status pack(driver *d, network *n, int32_t v, const lp_tensor *tensor)
{
    matrix *m = &n->matrix[v];
    int64_t rows = lp_tensor_rows(tensor);
    pack_job job = {m, lp_weight_tile_bytes(tensor->packing, tensor->dim[0]), (rows + LP_TILE_ROWS - 1) / LP_TILE_ROWS};
    size_t n_bytes = 0;
    bool fits = lp_mul_size(job.tile_bytes, (size_t)job.n_tiles, &n_bytes);
    m->tensor = *tensor;
    lp_aligned_free(m->tiles); /* a weight that two groups read is installed twice */
    m->tiles = fits ? lp_aligned_alloc(n_bytes) : NULL;
    if (!m->tiles) return lp_fail_memory(fits ? n_bytes : SIZE_MAX, tensor->name);
    lp_pool_run(d->options->pool, pack_part, &job);
    n->weight[v] = (lp_weight){.source = &m->tensor, .rows = rows, .cols = tensor->dim[0], .tile_bytes = job.tile_bytes, .tiles = m->tiles};
    return LP_OK;
}

static void free_tiles(driver *d, network *n)
{
    for (int32_t v = 0; n->matrix && v < d->graph.n_values; v++) {
        lp_aligned_free(n->matrix[v].tiles);
        n->matrix[v].tiles = NULL;
    }
}

/* The matrices that the ops [first, last) read: both networks share them until new ones come. Quantized source weights are
 * read by their formula, without tiles. */
static lp_status load_matrices(driver *d, int32_t first, int32_t last)
{
    const lp_graph *g = &d->graph;
    for (int32_t v = 0; v < g->n_values; v++) {
        const lp_tensor *t = g->value[v].tensor;
        bool read = false;
        for (int32_t i = first; t && i < last; i++) read |= lp_op_reads_matrix(&g->op[i], v);
        if (!read) continue;
        if (t->packing->is_float) {
            LP_TRY(pack(d, &d->plain, v, t));
            lp_gguf_drop_pages(d->gguf, t, 0, lp_tensor_rows(t));
        } else {
            d->plain.weight[v] = (lp_weight){.source = t, .rows = lp_tensor_rows(t), .cols = t->dim[0], .units = lp_packing_units(t->packing, t->dim[0])};
        }
        d->changed.weight[v] = d->plain.weight[v];
    }
    return LP_OK;
}

/* New values of a whole tensor go to every value that is it or a part of it. */
static lp_status install(driver *d, const lp_tensor *tensor, float *value, int32_t first, int32_t last)
{
    const lp_graph *g = &d->graph;
    for (int32_t v = 0; v < g->n_values; v++) {
        const lp_tensor *t = g->value[v].tensor;
        bool read = false;
        for (int32_t i = first; t && i < last; i++) read |= lp_op_reads_matrix(&g->op[i], v);
        if (!read || strcmp(t->name, tensor->name) != 0) continue;
        int64_t row = t->first_row; /* t is a view of rows of the tensor, or all of it */
        lp_tensor view = *t;
        view.first_row = view.plane_rows = 0;
        view.packing = lp_packing_by_name("f32");
        view.data = (const uint8_t *)(value + row * t->dim[0]);
        view.n_bytes = (size_t)lp_tensor_values(t) * sizeof(float);
        LP_TRY(pack(d, &d->changed, v, &view));
    }
    return LP_OK;
}

/* ---- running ------------------------------------------------------------------------------------------------------- */

static float *value_rows(const driver *d, int32_t v) { return (float *)(void *)(d->exec.arena + d->graph.value[v].offset); }

static float *residual_of(const driver *d, const network *n, int64_t window)
{
    return n->residual + window * d->windows.n_context * d->width;
}

/* Puts a window's residual stream where the op that begins a layer reads it. */
static void enter(driver *d, const network *n, int64_t window, int32_t stream)
{
    memcpy(value_rows(d, stream), residual_of(d, n, window), (size_t)(d->windows.n_context * d->width) * sizeof(float));
    d->exec.weight = n->weight;
}

/* A layer's ops and the values of the residual stream before and behind it. */
typedef struct layer_part {
    int32_t first, last;   /* ops */
    int32_t in, out;       /* values */
    int32_t layer;
} layer_part;

/* Runs the layer on all windows; the stream behind it takes the place of the one before. */
static lp_status advance(driver *d, network *n, const layer_part *part, const char *what)
{
    for (int64_t w = 0; w < d->windows.n_windows; w++) {
        enter(d, n, w, part->in);
        lp_exec_run_ops(&d->exec, part->first, part->last);
        memcpy(residual_of(d, n, w), value_rows(d, part->out), (size_t)(d->windows.n_context * d->width) * sizeof(float));
        LP_TRY(step_progress(d, what, 1));
    }
    return LP_OK;
}

static lp_status embed(driver *d, network *n, int32_t last, int32_t out)
{
    const lp_windows *w = &d->windows;
    for (int64_t window = 0; window < w->n_windows; window++) {
        memcpy(d->token, w->token + window * w->n_context, (size_t)w->n_context * sizeof *d->token);
        if (w->bos >= 0) d->token[0] = w->bos;
        lp_exec_run_ops(&d->exec, 0, last);
        memcpy(residual_of(d, n, window), value_rows(d, out), (size_t)(w->n_context * d->width) * sizeof(float));
    }
    return LP_OK;
}

/* Inputs of the groups, window by window: the float network's first where they are wanted. */
static lp_status collect_window(driver *d, group *g, int n_groups, const layer_part *part, int64_t window)
{
    int64_t n = d->windows.n_context;
    network *measured = d->options->prefix == LP_PREFIX_FLOAT ? &d->plain : &d->changed;
    for (int both = d->options->cross ? 0 : 1; both < 2; both++) {
        network *net = both == 0 ? &d->plain : measured;
        int32_t at = part->first;
        enter(d, net, window, part->in);
        for (int i = 0; i < n_groups; i++) {
            if (g[i].input < 0) continue;
            lp_exec_run_ops(&d->exec, at, g[i].reader);
            at = g[i].reader;
            const float *rows = value_rows(d, g[i].input);
            if (both == 0) memcpy(g[i].z, rows, (size_t)(n * g[i].shown.k) * sizeof(float));
            else lp_moments_add(&g[i].moments, rows, g[i].z, n, d->options->pool);
        }
    }
    return LP_OK;
}

/* The output head's inputs: rows are selected in pieces, so that logits need no room. */
static void collect_head(driver *d, group *g, const layer_part *part, const network *net, int64_t window)
{
    int64_t n = d->windows.n_context;
    for (int64_t first = 0; first < n; first += HEAD_ROWS) {
        enter(d, net, window, part->in);
        d->exec.n_wanted = n - first < HEAD_ROWS ? n - first : HEAD_ROWS;
        for (int64_t i = 0; i < d->exec.n_wanted; i++) d->wanted[i] = (int32_t)(first + i);
        lp_exec_run_ops(&d->exec, part->first, g->reader);
        lp_moments_add(&g->moments, value_rows(d, g->input), NULL, d->exec.n_wanted, d->options->pool);
    }
}

/* ---- groups -------------------------------------------------------------------------------------------------------- */

static void free_groups(group *g, int n)
{
    for (int i = 0; i < n; i++) {
        lp_moments_free(&g[i].moments);
        lp_aligned_free(g[i].z);
        free(g[i].shown.weight);
    }
    free(g);
}

static bool holds(const group *g, const lp_tensor *tensor)
{
    for (int i = 0; i < g->shown.n_weights; i++)
        if (g->shown.weight[i] == tensor) return true;
    return false;
}

static lp_status add_weight(driver *d, group *g, int32_t v)
{
    const lp_tensor *tensor = lp_gguf_find_tensor(d->gguf, d->graph.value[v].tensor->name);
    if (holds(g, tensor)) return LP_OK;
    const lp_tensor **grown = realloc(g->shown.weight, (size_t)(g->shown.n_weights + 1) * sizeof *grown);
    if (!grown) return lp_fail_memory((size_t)(g->shown.n_weights + 1) * sizeof *grown, "a group of weights");
    g->shown.weight = grown;
    grown[g->shown.n_weights++] = tensor;
    g->shown.k = tensor->dim[0];
    return LP_OK;
}

static const lp_op *producer(const lp_graph *g, int32_t value)
{
    for (int32_t i = 0; i < g->n_ops; i++)
        if (g->op[i].out == value) return &g->op[i];
    return NULL;
}

/* Whether only linear layers read a value. */
static bool is_private(const lp_graph *g, int32_t value)
{
    for (int32_t i = 0; i < g->n_ops; i++)
        for (int k = 0; k < LP_OP_INPUTS; k++)
            if (g->op[i].in[k] == value && (g->op[i].id != LP_OP_LINEAR || k != 0)) return false;
    return true;
}

/* Where the channels of a group's input can be scaled: the norm before it, or the factor of a gated activation that passes no
 * nonlinear function. */
static void find_gain(const driver *d, group *g)
{
    const lp_graph *graph = &d->graph;
    const lp_op *op = producer(graph, g->input);
    if (!op || !is_private(graph, g->input)) return;
    for (int32_t i = 0; i < graph->n_ops; i++) /* a tied embedding is looked up too */
        if (d->tied >= 0 && graph->op[i].in[1] == d->tied && graph->op[i].in[0] == g->input) return;
    bool biased = op->id == LP_OP_BIAS;
    const lp_op *norm = biased ? producer(graph, op->in[0]) : op;
    if (norm && (norm->id == LP_OP_RMS_NORM || norm->id == LP_OP_LAYER_NORM) && norm->n_heads == 0) {
        g->shown.gain[g->shown.n_gains++] = graph->value[norm->in[1]].tensor;
        if (biased) g->shown.gain[g->shown.n_gains++] = graph->value[op->in[1]].tensor;
    } else if (op->id == LP_OP_SILU_MUL || op->id == LP_OP_GELU_MUL) {
        const lp_op *up = producer(graph, op->in[1]);
        if (!up || up->id != LP_OP_LINEAR) return;
        const lp_tensor *view = graph->value[up->in[1]].tensor, *whole = lp_gguf_find_tensor(d->gguf, view->name);
        if (lp_tensor_rows(view) == lp_tensor_rows(whole)) g->shown.rows = whole; /* of a fused matrix only a part is it */
    }
}

/* Weights by the value that they read, in order of their first reader. */
static lp_status find_groups(driver *d, const layer_part *part, group **out, int *n_out)
{
    const lp_graph *graph = &d->graph;
    group *g = calloc((size_t)(part->last - part->first) + 1, sizeof *g);
    int n = 0;
    *out = g;
    *n_out = 0;
    if (!g) return lp_fail_memory(sizeof *g, "groups of weights");
    for (int32_t i = part->first; i < part->last; i++) {
        const lp_op *op = &graph->op[i];
        bool expert = op->id == LP_OP_EXPERT_LINEAR;
        if (op->id != LP_OP_LINEAR && !expert) continue;
        int at = n;
        for (int k = 0; k < n; k++)
            if (!expert && g[k].input == op->in[0]) at = k;
        if (at == n) {
            g[n].input = expert ? -1 : op->in[0];
            g[n].reader = i;
            g[n].shown.layer = part->layer;
            *n_out = ++n;
        }
        for (int32_t e = 0; e < (expert ? op->n_experts : 1); e++) LP_TRY(add_weight(d, &g[at], op->in[1] + e));
    }
    return LP_OK;
}

static lp_status begin_group(driver *d, group *g, bool cross)
{
    if (g->input < 0) return LP_OK;
    find_gain(d, g);
    LP_TRY(lp_moments_create(g->shown.k, cross, &g->moments));
    if (!cross) return LP_OK;
    g->z = lp_aligned_alloc((size_t)(d->windows.n_context * g->shown.k) * sizeof(float));
    return g->z ? LP_OK : lp_fail_memory((size_t)(d->windows.n_context * g->shown.k) * sizeof(float), "activations");
}

/* Hands a measured group to the caller and installs what comes back for the ops [first, last). */
static lp_status solve_group(driver *d, group *g, int32_t first, int32_t last, float **keep)
{
    int n = g->shown.n_weights;
    bool wants = d->options->prefix != LP_PREFIX_FLOAT;
    float **value = calloc((size_t)n, sizeof *value);
    lp_status status = value ? LP_OK : lp_fail_memory((size_t)n * sizeof *value, "new weights");
    if (g->input >= 0) {
        lp_moments_finish(&g->moments);
        g->shown.moments = &g->moments;
    }
    for (int i = 0; status == LP_OK && wants && i < n; i++) {
        size_t n_bytes = (size_t)lp_tensor_values(g->shown.weight[i]) * sizeof(float);
        value[i] = lp_aligned_alloc(n_bytes);
        if (!value[i]) status = lp_fail_memory(n_bytes, g->shown.weight[i]->name);
    }
    if (status == LP_OK) status = d->options->solve(d->options->context, &g->shown, wants ? value : NULL);
    for (int i = 0; status == LP_OK && wants && i < n; i++) status = install(d, g->shown.weight[i], value[i], first, last);
    for (int i = 0; value && i < n; i++) {
        if (keep && i == 0 && status == LP_OK) *keep = value[i];
        else lp_aligned_free(value[i]);
    }
    free(value);
    return status;
}

/* ---- layers -------------------------------------------------------------------------------------------------------- */

static lp_status solve_layer(driver *d, const layer_part *part, group *g, int n_groups)
{
    bool step_by_step = d->options->prefix == LP_PREFIX_GROUP;
    int stride = step_by_step ? 1 : n_groups;
    for (int first = 0; first < n_groups; first += stride) {
        for (int i = first; i < first + stride; i++) LP_TRY(begin_group(d, &g[i], d->options->cross));
        bool any = false;
        for (int i = first; i < first + stride; i++) any |= g[i].input >= 0;
        for (int64_t w = 0; any && w < d->windows.n_windows; w++) {
            LP_TRY(collect_window(d, g + first, stride, part, w));
            LP_TRY(step_progress(d, g[first].shown.weight[0]->name, 1));
        }
        for (int i = first; i < first + stride; i++) {
            LP_TRY(solve_group(d, &g[i], part->first, part->last, NULL));
            lp_moments_free(&g[i].moments);
        }
    }
    return LP_OK;
}

static lp_status do_layer(driver *d, const layer_part *part)
{
    group *g = NULL;
    int n = 0;
    char what[32];
    snprintf(what, sizeof what, "layer %d", part->layer);
    lp_status status = load_matrices(d, part->first, part->last);
    if (status == LP_OK) status = find_groups(d, part, &g, &n);
    if (status == LP_OK) status = solve_layer(d, part, g, n);
    if (status == LP_OK && (d->options->cross || d->options->prefix == LP_PREFIX_FLOAT)) status = advance(d, &d->plain, part, what);
    if (status == LP_OK && d->options->prefix != LP_PREFIX_FLOAT) status = advance(d, &d->changed, part, what);
    free_groups(g, n);
    free_tiles(d, &d->plain);
    free_tiles(d, &d->changed);
    return status;
}

/* The output head; net: whose residual stream it reads. keep: the new values of a tied embedding. */
static lp_status do_head(driver *d, const layer_part *part, const network *net, float **keep)
{
    group *g = NULL;
    int n = 0;
    lp_status status = find_groups(d, part, &g, &n);
    if (status == LP_OK && n > 0) status = begin_group(d, &g[0], false);
    for (int64_t w = 0; status == LP_OK && n > 0 && w < d->windows.n_windows; w++) {
        collect_head(d, &g[0], part, net, w);
        status = step_progress(d, "output head", 1);
    }
    if (status == LP_OK && n > 0) status = solve_group(d, &g[0], 0, 0, keep);
    free_groups(g, n);
    return status;
}

/* An embedding that no linear layer reads. */
static lp_status do_embedding(driver *d, const lp_tensor *table, float **keep)
{
    group g = {.input = -1, .shown = {.layer = -1, .k = table->dim[0], .n_weights = 1}};
    const lp_tensor *one = lp_gguf_find_tensor(d->gguf, table->name);
    g.shown.weight = &one;
    return solve_group(d, &g, 0, 0, keep);
}

/* ---- the whole ------------------------------------------------------------------------------------------------------ */

/* Ops of layer i (0 .. n-1), of the part before (i = -1) and behind (i = n). */
static layer_part part_of(const driver *d, int32_t i)
{
    const lp_graph *g = &d->graph;
    int32_t n = g->n_layers, first = 0;
    layer_part p = {.layer = i < n ? i : -1, .in = -1, .out = -1};
    while (first < g->n_ops && d->layer[first] < 0) first++; /* where layer 0 begins */
    if (i < 0) {
        p.last = first;
    } else {
        p.first = first;
        while (p.first < g->n_ops && d->layer[p.first] >= 0 && d->layer[p.first] < i) p.first++;
        p.last = p.first;
        while (p.last < g->n_ops && (i < n ? d->layer[p.last] == i : true)) p.last++;
        p.in = g->op[p.first - 1].out;
    }
    p.out = g->op[p.last - 1].out;
    return p;
}

static void use_embedding(driver *d, const lp_tensor *table, float *value)
{
    if (!value) return;
    d->embedding.tensor = *table;
    d->embedding.tensor.packing = lp_packing_by_name("f32");
    d->embedding.tensor.data = (const uint8_t *)value;
    d->embedding.tensor.n_bytes = (size_t)lp_tensor_values(table) * sizeof(float);
}

static lp_status walk(driver *d)
{
    const lp_driver_options *o = d->options;
    int32_t n = d->graph.n_layers, table = -1;
    layer_part before = part_of(d, -1), behind = part_of(d, n);
    network *measured = o->prefix == LP_PREFIX_FLOAT ? &d->plain : &d->changed;
    bool head_first = d->tied >= 0 && o->prefix != LP_PREFIX_FLOAT;
    float *value = NULL;
    for (int32_t i = before.first; i < before.last; i++)
        if (d->graph.op[i].id == LP_OP_EMBED) table = d->graph.op[i].in[1];
    const lp_tensor *embedding = d->graph.value[table].tensor;
    double per_layer = (o->prefix == LP_PREFIX_GROUP ? 5.0 : 2.0) + (o->cross ? 1 : 0);
    d->total = (double)d->windows.n_windows * ((double)n * (per_layer + (head_first ? 1 : 0)) + 1);
    if (d->plain.residual) LP_TRY(embed(d, &d->plain, before.last, before.out));
    if (head_first) { /* the first thing that the new network does is reading its embedding */
        for (int32_t i = 0; i < n; i++) {
            layer_part part = part_of(d, i);
            lp_status status = load_matrices(d, part.first, part.last);
            if (status == LP_OK) status = advance(d, &d->plain, &part, "float model");
            free_tiles(d, &d->plain);
            LP_TRY(status);
        }
        LP_TRY(do_head(d, &behind, &d->plain, &value));
        if (o->cross) LP_TRY(embed(d, &d->plain, before.last, before.out));
    } else if (d->tied < 0) {
        LP_TRY(do_embedding(d, embedding, &value));
    }
    use_embedding(d, embedding, value);
    if (o->prefix != LP_PREFIX_FLOAT) {
        d->graph.value[table].tensor = &d->embedding.tensor;
        lp_status status = embed(d, &d->changed, before.last, before.out);
        d->graph.value[table].tensor = embedding;
        LP_TRY(status);
    }
    for (int32_t i = 0; i < n; i++) {
        layer_part part = part_of(d, i);
        LP_TRY(do_layer(d, &part));
    }
    return head_first ? LP_OK : do_head(d, &behind, measured, NULL);
}

static void free_network(driver *d, network *n)
{
    free_tiles(d, n);
    free(n->weight);
    free(n->matrix);
    lp_aligned_free(n->residual);
}

static void close_driver(driver *d)
{
    free_network(d, &d->plain);
    free_network(d, &d->changed);
    for (int32_t v = 0; d->vector && v < d->graph.n_values; v++) lp_aligned_free(d->vector[v]);
    free(d->vector);
    free(d->layer);
    free(d->token);
    lp_aligned_free(d->rope);
    lp_aligned_free(d->exec.arena);
    lp_aligned_free(d->exec.scratch);
    if (d->embedding.tensor.data) lp_aligned_free((void *)(uintptr_t)d->embedding.tensor.data);
    lp_cache_free(&d->cache);
    lp_graph_free(&d->graph);
    lp_windows_close(&d->windows);
}

lp_status lp_driver_run(const lp_model *model, const char *text, size_t n_text, const lp_driver_options *options,
                        const lp_progress *progress, lp_driver_coverage *coverage)
{
    driver d = {.model = model, .gguf = lp_model_gguf(model), .options = options, .progress = progress};
    int64_t longest = lp_model_get_info(model)->n_context;
    lp_eval_options o = {.n_context = options->n_context ? options->n_context : longest < 512 ? longest : 512,
                         .n_windows = options->n_windows,
                         .protocol = LP_PROTOCOL_LLAMA_CPP}; /* BOS in front of each window iff the file asks */
    LP_TRY(lp_windows_open(model, text, n_text, &o, &d.windows));
    coverage->n_windows = d.windows.n_windows;
    coverage->n_tokens = d.windows.n_windows * d.windows.n_context;
    uint64_t environment = lp_environment_enter();
    lp_status status = build_graph(&d);
    if (status == LP_OK) status = prepare(&d);
    if (status == LP_OK) status = walk(&d);
    if (status == LP_OK) status = lp_gguf_check_intact(d.gguf);
    lp_environment_leave(environment);
    close_driver(&d);
    return status;
}
