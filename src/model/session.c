/* Sessions: a planned graph with its memory, repacked weights and cache. */
#include "model/session.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/environment.h"
#include "base/fail.h"
#include "model/model.h"
#include "model/session_parts.h"
#include "model/swap.h"

static const int64_t DEFAULT_BATCH = 512;

/* Fills in defaults and checks ranges. */
static lp_status settle_options(const lp_model *model, const lp_session_options *given, lp_session_options *o)
{
    const lp_model_info *m = lp_model_get_info(model);
    *o = *given;
    if (o->n_context == 0) o->n_context = m->n_context;
    if (o->n_sequences == 0) o->n_sequences = 1;
    if (o->n_batch == 0) o->n_batch = DEFAULT_BATCH;
    if (o->n_context < 1 || o->n_context > m->n_context)
        return lp_fail(LP_USAGE, "a context of %lld tokens is outside 1 .. %lld, what %s was made for", (long long)o->n_context,
                       (long long)m->n_context, lp_gguf_path(lp_model_gguf(model)));
    if (o->n_sequences < 1 || o->n_sequences > 65536)
        return lp_fail(LP_USAGE, "%d sequences: outside 1 .. 65536", o->n_sequences);
    if (o->n_batch < 1 || o->n_batch > 65536)
        return lp_fail(LP_USAGE, "a batch of %lld tokens is outside 1 .. 65536", (long long)o->n_batch);
    if (o->n_logits == 0) o->n_logits = o->n_batch;
    if (o->n_logits < 1 || o->n_logits > o->n_batch)
        return lp_fail(LP_USAGE, "%lld rows of logits: outside 1 .. %lld", (long long)o->n_logits, (long long)o->n_batch);
    return LP_OK;
}

static bool is_read_by_linear(const lp_graph *g, int32_t value)
{
    for (int32_t i = 0; i < g->n_ops; i++)
        if (lp_op_reads_matrix(&g->op[i], value)) return true;
    return false;
}

static bool is_read_as_vector(const lp_graph *g, int32_t value)
{
    for (int32_t i = 0; i < g->n_ops; i++)
        if (lp_op_reads_vector(&g->op[i], value)) return true;
    return false;
}

/* Whether linear layers read the weight repacked: float weights always, those with integer units unless activations are
 * f32; the others are decoded as they are used. */
static bool is_repacked(const lp_session_options *o, const lp_tensor *t)
{
    if (t->packing->is_float) return true;
    return o->activations != LP_ACTIVATION_F32 && lp_packing_units(t->packing, t->dim[0]);
}

static lp_status build(const lp_model *model, const lp_session_options *o, lp_graph *graph)
{
    lp_graph_init(graph);
    lp_status s = lp_model_build_graph(model, graph);
    if (s == LP_OK && o->activations != LP_ACTIVATION_F32) s = lp_graph_lower_activations(graph);
    if (s == LP_OK) s = lp_graph_plan(graph, o->n_batch, o->n_logits);
    if (s != LP_OK) lp_graph_free(graph);
    return s;
}

static size_t tiles_bytes(const lp_tensor *t)
{
    size_t n_tiles = ((size_t)lp_tensor_rows(t) + LP_TILE_ROWS - 1) / LP_TILE_ROWS, n;
    return lp_mul_size(n_tiles, lp_weight_tile_bytes(t->packing, t->dim[0]), &n) ? n : SIZE_MAX / 2;
}

static uint64_t memory_of(const lp_model *model, const lp_session_options *o, const lp_graph *g)
{
    const lp_model_info *m = lp_model_get_info(model);
    uint64_t n = lp_cache_bytes(m->n_layer, m->n_head_kv, m->head_size, o->n_sequences, o->n_context);
    if (n == 0) return 0;
    n += g->arena_bytes + 2 * (uint64_t)o->n_context * (uint64_t)model->n_rotated * sizeof(float);
    n += (uint64_t)lp_pool_threads(o->pool) * lp_exec_scratch_bytes(g, o->n_context);
    for (int32_t v = 0; v < g->n_values; v++) {
        const lp_tensor *t = g->value[v].tensor;
        if (t && is_read_by_linear(g, v) && is_repacked(o, t) && !lp_add_u64(n, tiles_bytes(t), &n)) return 0;
    }
    return n;
}

uint64_t lp_session_memory(const lp_model *model, const lp_session_options *options)
{
    lp_session_options o;
    lp_graph g;
    if (settle_options(model, options, &o) != LP_OK || build(model, &o, &g) != LP_OK) return 0;
    uint64_t n = memory_of(model, &o, &g);
    lp_graph_free(&g);
    return n;
}

/* Memory that the system can still give, in bytes; UINT64_MAX where it does not tell. */
static uint64_t available_memory(void)
{
    FILE *f = fopen("/proc/meminfo", "re");
    unsigned long long kib;
    char line[128];
    uint64_t n = UINT64_MAX;
    if (!f) return n;
    while (fgets(line, sizeof line, f))
        if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1) n = (uint64_t)kib * 1024;
    fclose(f);
    return n;
}

/* ---- weights ------------------------------------------------------------------------------------------------------- */

typedef struct pack_job {
    const lp_tensor *tensor;
    uint8_t *tiles;
    size_t tile_bytes;
    int64_t n_tiles;
} pack_job;

static void pack_part(void *context, int thread, int n_threads)
{
    const pack_job *j = context;
    int64_t first, last;
    lp_pool_part(j->n_tiles, thread, n_threads, &first, &last);
    for (int64_t t = first; t < last; t++) lp_weight_pack_tile(j->tensor, t, j->tiles + (size_t)t * j->tile_bytes);
}

static lp_status check_finite(const lp_session *s, const lp_tensor *t)
{
    int64_t rows = lp_tensor_rows(t);
    for (int64_t r = 0; r < rows; r++) {
        int64_t column = lp_tensor_find_nonfinite(t, r);
        if (column < 0) continue;
        lp_fail(LP_INPUT, "%s: tensor %s: row %lld, column %lld: not finite", lp_gguf_path(lp_model_gguf(s->model)), t->name,
                (long long)r, (long long)column);
        return lp_hint(LP_INPUT, "`lowp verify` lists every such place");
    }
    return LP_OK;
}

lp_status lp_session_read_matrix(lp_session *s, const lp_tensor *t, lp_weight *w)
{
    lp_aligned_free((void *)(uintptr_t)w->tiles);
    *w = (lp_weight){.source = t, .rows = lp_tensor_rows(t), .cols = t->dim[0], .units = lp_packing_units(t->packing, t->dim[0])};
    if (!is_repacked(&s->options, t)) return LP_OK;
    w->tile_bytes = lp_weight_tile_bytes(t->packing, t->dim[0]);
    size_t n_bytes = tiles_bytes(t);
    uint8_t *tiles = lp_aligned_alloc(n_bytes);
    if (!tiles) return lp_fail_memory(n_bytes, t->name);
    w->tiles = tiles;
    pack_job job = {t, tiles, w->tile_bytes, (w->rows + LP_TILE_ROWS - 1) / LP_TILE_ROWS};
    lp_pool_run(s->options.pool, pack_part, &job);
    return LP_OK;
}

static lp_status load_matrix(lp_session *s, int32_t v)
{
    const lp_tensor *t = s->graph.value[v].tensor;
    LP_TRY(check_finite(s, t));
    LP_TRY(lp_session_read_matrix(s, t, &s->weight[v]));
    if (s->weight[v].tiles) /* so that two copies are never resident */
        lp_gguf_drop_pages(lp_model_gguf(s->model), t, 0, s->weight[v].rows);
    return LP_OK;
}

static lp_status load_vector(lp_session *s, int32_t v)
{
    const lp_tensor *t = s->graph.value[v].tensor;
    LP_TRY(check_finite(s, t));
    int64_t rows = lp_tensor_rows(t); /* more than one: a vector for every head */
    size_t n_bytes = (size_t)(rows * t->dim[0]) * sizeof(float);
    float *p = lp_aligned_alloc(n_bytes);
    if (!p) return lp_fail_memory(n_bytes, t->name);
    s->vector[v] = p;
    for (int64_t r = 0; r < rows; r++) lp_tensor_decode_row(t, r, p + r * t->dim[0]);
    return LP_OK;
}

static lp_status load_weights(lp_session *s, const lp_progress *progress)
{
    const lp_graph *g = &s->graph;
    s->weight = calloc((size_t)g->n_values, sizeof *s->weight);
    s->vector = calloc((size_t)g->n_values, sizeof *s->vector);
    s->swapped = calloc((size_t)g->n_values, sizeof *s->swapped);
    if (!s->weight || !s->vector || !s->swapped) return lp_fail_memory((size_t)g->n_values * sizeof *s->weight, "weights");
    for (int32_t v = 0; v < g->n_values; v++) {
        if (!g->value[v].tensor) continue;
        if (progress && progress->cancelled && progress->cancelled(progress->context))
            return lp_fail(LP_INTERRUPTED, "interrupted while loading");
        if (progress && progress->report) progress->report(progress->context, "loading", v, g->n_values);
        if (is_read_by_linear(g, v)) LP_TRY(load_matrix(s, v));
        if (is_read_as_vector(g, v)) LP_TRY(load_vector(s, v));
    }
    return lp_gguf_check_intact(lp_model_gguf(s->model));
}

/* ---- create -------------------------------------------------------------------------------------------------------- */

static lp_status allocate(lp_session *s)
{
    const lp_model_info *m = lp_model_get_info(s->model);
    const lp_session_options *o = &s->options;
    uint64_t need = memory_of(s->model, o, &s->graph), have = available_memory();
    if (need == 0 || need > have) {
        lp_fail(LP_RESOURCE, "%s: needs %llu MiB of memory for a context of %lld tokens, %llu MiB are free",
                lp_gguf_path(lp_model_gguf(s->model)), (unsigned long long)(need >> 20), (long long)o->n_context,
                (unsigned long long)(have >> 20));
        return lp_hint(LP_RESOURCE, "choose a smaller context or a smaller model");
    }
    LP_TRY(lp_cache_init(&s->cache, m->n_layer, m->n_head_kv, m->head_size, o->n_sequences, o->n_context));
    lp_exec *x = &s->exec;
    bool two = s->model->architecture->local_rope && s->model->window > 0;
    size_t half = (size_t)(s->model->n_rotated / 2), n_rope = (size_t)o->n_context * half;
    x->scratch_bytes = lp_exec_scratch_bytes(&s->graph, o->n_context);
    x->arena = lp_aligned_alloc(s->graph.arena_bytes);
    x->scratch = lp_aligned_alloc((size_t)lp_pool_threads(o->pool) * x->scratch_bytes);
    s->rope = lp_aligned_alloc((two ? 4 : 2) * n_rope * sizeof(float) + 64);
    s->sequence_zero = calloc((size_t)o->n_batch, sizeof *s->sequence_zero);
    s->wanted = calloc((size_t)o->n_batch, sizeof *s->wanted);
    s->next = calloc((size_t)o->n_sequences, sizeof *s->next);
    if (!x->arena || !x->scratch || !s->rope || !s->sequence_zero || !s->wanted || !s->next)
        return lp_fail_memory(s->graph.arena_bytes, "a session");
    uint64_t environment = lp_environment_enter();
    for (int i = 0; i < 2; i++) {
        float *table = s->rope + (i && two ? 2 * n_rope : 0);
        if (i == 0 || two) lp_model_rope_table(s->model, o->n_context, i, table, table + n_rope);
        x->rope_cosine[i] = table;
        x->rope_sine[i] = table + n_rope;
    }
    lp_environment_leave(environment);
    x->rope_half = (int64_t)half;
    return LP_OK;
}

lp_status lp_session_create(const lp_model *model, const lp_session_options *options, const lp_progress *progress,
                            lp_session **out)
{
    *out = NULL;
    lp_session_options o;
    LP_TRY(settle_options(model, options, &o));
    lp_session *s = calloc(1, sizeof *s);
    if (!s) return lp_fail_memory(sizeof *s, "a session");
    s->model = model;
    s->options = o;
    lp_status status = build(model, &o, &s->graph);
    if (status == LP_OK) status = allocate(s);
    if (status == LP_OK) status = load_weights(s, progress);
    if (status != LP_OK) {
        lp_session_close(s);
        return status;
    }
    s->exec.graph = &s->graph;
    s->exec.kernels = lp_kernels_current();
    s->exec.pool = o.pool;
    s->exec.cache = &s->cache;
    s->exec.weight = s->weight;
    s->exec.vector = s->vector;
    *out = s;
    return LP_OK;
}

void lp_session_close(lp_session *session)
{
    if (!session) return;
    for (int32_t v = 0; v < session->graph.n_values; v++) {
        if (session->weight) lp_aligned_free((void *)(uintptr_t)session->weight[v].tiles);
        if (session->vector) lp_aligned_free(session->vector[v]);
    }
    free(session->weight);
    free(session->vector);
    free(session->swapped);
    lp_aligned_free(session->exec.arena);
    lp_aligned_free(session->exec.scratch);
    lp_aligned_free(session->rope);
    free(session->sequence_zero);
    free(session->wanted);
    free(session->next);
    lp_cache_free(&session->cache);
    lp_graph_free(&session->graph);
    free(session);
}

/* ---- forward ------------------------------------------------------------------------------------------------------- */

static lp_status check_batch(lp_session *s, const lp_batch *b)
{
    const lp_session_options *o = &s->options;
    int64_t n_vocab = lp_model_get_info(s->model)->n_vocab;
    if (b->n_tokens < 1 || b->n_tokens > o->n_batch)
        return lp_fail(LP_USAGE, "a batch of %lld tokens is outside 1 .. %lld", (long long)b->n_tokens, (long long)o->n_batch);
    memcpy(s->next, s->cache.length, (size_t)o->n_sequences * sizeof *s->next);
    for (int64_t t = 0; t < b->n_tokens; t++) {
        int32_t sequence = b->sequence ? b->sequence[t] : 0;
        if (b->token[t] < 0 || b->token[t] >= n_vocab)
            return lp_fail(LP_USAGE, "token %lld of the batch: id %d is outside 0 .. %lld", (long long)t, b->token[t],
                           (long long)n_vocab - 1);
        if (sequence < 0 || sequence >= o->n_sequences)
            return lp_fail(LP_USAGE, "token %lld of the batch: sequence %d is outside 0 .. %d", (long long)t, sequence,
                           o->n_sequences - 1);
        if (b->position[t] != s->next[sequence])
            return lp_fail(LP_USAGE, "token %lld of the batch: position %d, but sequence %d continues at %lld", (long long)t,
                           b->position[t], sequence, (long long)s->next[sequence]);
        if (b->position[t] >= o->n_context)
            return lp_fail(LP_USAGE, "token %lld of the batch: position %d is beyond the context of %lld", (long long)t,
                           b->position[t], (long long)o->n_context);
        s->next[sequence]++;
    }
    return LP_OK;
}

/* Rows with a value that is not finite are returned as NaN throughout. */
static void blank_failed_rows(float *logits, int64_t n, int64_t n_vocab)
{
    for (int64_t r = 0; r < n; r++) {
        float *row = logits + r * n_vocab;
        uint32_t bad = 0;
        for (int64_t i = 0; i < n_vocab; i++) {
            uint32_t u;
            memcpy(&u, &row[i], 4);
            bad |= (u & 0x7f800000u) == 0x7f800000u;
        }
        if (bad)
            for (int64_t i = 0; i < n_vocab; i++) row[i] = NAN;
    }
}

lp_status lp_session_begin(lp_session *s, const lp_batch *batch)
{
    lp_exec *x = &s->exec;
    LP_TRY(check_batch(s, batch));
    x->n_tokens = batch->n_tokens;
    x->token = batch->token;
    x->sequence = batch->sequence ? batch->sequence : s->sequence_zero;
    x->position = batch->position;
    x->wanted = s->wanted;
    x->n_wanted = 0;
    for (int64_t t = 0; t < batch->n_tokens; t++)
        if (!batch->wants_logits || batch->wants_logits[t]) s->wanted[x->n_wanted++] = (int32_t)t;
    if (x->n_wanted > s->options.n_logits)
        return lp_fail(LP_USAGE, "%lld rows of logits wanted, the session holds %lld", (long long)x->n_wanted,
                       (long long)s->options.n_logits);
    for (int64_t q = 0; q < s->options.n_sequences; q++)
        if (s->next[q] > s->cache.length[q]) lp_cache_extend(&s->cache, q, s->next[q]);
    return LP_OK;
}

const float *lp_session_logits(lp_session *s)
{
    const lp_value *out = &s->graph.value[s->graph.logits];
    float *rows = (float *)(void *)(s->exec.arena + out->offset);
    blank_failed_rows(rows, s->exec.n_wanted, out->width);
    return rows;
}

lp_status lp_session_forward(lp_session *session, const lp_batch *batch, const float **logits)
{
    LP_TRY(lp_session_begin(session, batch));
    lp_exec_run(&session->exec);
    const float *rows = lp_session_logits(session);
    if (logits) *logits = rows;
    return LP_OK;
}

lp_status lp_session_truncate(lp_session *session, int sequence, int64_t n)
{
    if (sequence < 0 || sequence >= session->options.n_sequences || n < 0)
        return lp_fail(LP_USAGE, "sequence %d, position %lld: out of range", sequence, (long long)n);
    lp_cache_truncate(&session->cache, sequence, n);
    return LP_OK;
}

int64_t lp_session_length(const lp_session *session, int sequence)
{
    return sequence < 0 || sequence >= session->options.n_sequences ? 0 : session->cache.length[sequence];
}

const lp_model *lp_session_model(const lp_session *session) { return session->model; }
int64_t lp_session_batch_size(const lp_session *session) { return session->options.n_batch; }
const lp_graph *lp_session_graph(const lp_session *session) { return &session->graph; }

/* ---- watching ------------------------------------------------------------------------------------------------------ */

/* Whether an op before `end` is a linear layer with the same input and a weight of the same tensor: parts of one tensor read
 * the same rows, and these are told once. */
static bool was_told(const lp_graph *g, const lp_op *op, int32_t end)
{
    const lp_tensor *t = g->value[op->in[1]].tensor;
    for (int32_t i = 0; i < end; i++) {
        const lp_op *other = &g->op[i];
        if (other->id == op->id && other->in[0] == op->in[0] && g->value[other->in[1]].tensor->name == t->name) return true;
    }
    return false;
}

static bool is_encoded(const lp_graph *g, const lp_op *op) { return g->value[op->in[0]].storage == LP_STORAGE_ACT_I8; }

/* Rows of what an EXPERT_LINEAR reads, each to the experts that were chosen for it. */
static void tell_experts(const lp_session *s, const lp_op *op, const float *rows, int64_t width)
{
    const lp_graph *g = &s->graph;
    const float *route = lp_exec_rows(&s->exec, op->in[2]);
    int64_t used = op->n_used, share = g->value[op->in[0]].repeat ? 1 : used;
    const char *first = g->value[op->in[1]].tensor->name;
    for (int64_t r = 0; r < s->exec.n_tokens * used; r++) {
        int32_t e = (int32_t)route[r / used * 2 * used + r % used];
        const char *name = g->value[op->in[1] + e].tensor->name;
        bool together = op->n_experts > 1 && g->value[op->in[1] + 1].tensor->name == first;
        s->expert_observer(s->expert_context, name, together ? e : 0, together ? op->n_experts : 1, rows + r / share * width, width);
    }
}

/* Linear layers that read the value an op is about to read: directly, or through its int8 form. */
static void tell_observer(void *context, const lp_graph *g, const lp_op *op, const float *rows, int64_t n, int64_t width)
{
    const lp_session *s = context;
    bool encodes = op->id == LP_OP_ENCODE_I8;
    if (!encodes && op->id != LP_OP_LINEAR && op->id != LP_OP_EXPERT_LINEAR) return;
    for (int32_t i = 0; i < g->n_ops; i++) {
        const lp_op *reader = &g->op[i];
        bool experts = reader->id == LP_OP_EXPERT_LINEAR;
        if (encodes ? reader->in[0] != op->out || (!experts && reader->id != LP_OP_LINEAR) : reader != op) continue;
        if (was_told(g, reader, i)) continue;
        if (experts && s->expert_observer) tell_experts(s, reader, rows, width);
        if (!experts && s->observer) s->observer(s->observer_context, g->value[reader->in[1]].tensor->name, rows, n, width);
    }
}

static void tell_layer(void *context, const lp_graph *g, const lp_op *op, const float *rows, int64_t n, int64_t width)
{
    const lp_session *s = context;
    (void)g;
    if (s->layer_watcher && op->ends_layer) s->layer_watcher(s->layer_context, op->layer, rows, n, width);
}

static void set_watchers(lp_session *s)
{
    s->exec.watch_context = s;
    s->exec.before = s->observer || s->expert_observer ? tell_observer : NULL;
    s->exec.after = s->layer_watcher ? tell_layer : NULL;
}

void lp_session_observe(lp_session *session, lp_observer observer, void *context)
{
    session->observer = observer;
    session->observer_context = context;
    set_watchers(session);
}

lp_status lp_session_observe_experts(lp_session *session, lp_expert_observer observer, void *context)
{
    const lp_graph *g = &session->graph;
    for (int32_t i = 0; i < g->n_ops && observer; i++) {
        const lp_op *op = &g->op[i];
        if (op->id != LP_OP_EXPERT_LINEAR || !is_encoded(g, op) || g->value[op->in[2]].producer < g->value[op->in[0]].producer) continue;
        lp_fail(LP_UNSUPPORTED, "%s: %s: its inputs cannot be told apart by expert, because the router is quantized",
                lp_gguf_path(lp_model_gguf(session->model)), g->value[op->in[1]].tensor->name);
        return lp_hint(LP_UNSUPPORTED, "calibrate the model before it was quantized, or with f32 activations");
    }
    session->expert_observer = observer;
    session->expert_context = context;
    set_watchers(session);
    return LP_OK;
}

void lp_session_watch_layers(lp_session *session, lp_layer_watcher watcher, void *context)
{
    session->layer_watcher = watcher;
    session->layer_context = context;
    set_watchers(session);
}
