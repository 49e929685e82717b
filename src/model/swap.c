/* Tensors of a session read in another format, and forwards that begin in the middle. */
#include "model/swap.h"

#include <string.h>

#include "base/fail.h"
#include "model/model.h"
#include "model/session_parts.h"

/* ---- tensors ------------------------------------------------------------------------------------------------------- */

static bool is_part_of(const lp_value *v, const char *name) { return v->tensor && strcmp(v->tensor->name, name) == 0; }

lp_status lp_session_swap(lp_session *s, const char *name, const lp_tensor *replacement)
{
    const lp_tensor *own = lp_gguf_find_tensor(lp_model_gguf(s->model), name);
    bool found = false;
    if (!own) return lp_fail(LP_USAGE, "%s: no tensor of this name", name);
    if (!replacement) replacement = own;
    if (memcmp(own->dim, replacement->dim, sizeof own->dim) != 0)
        return lp_fail(LP_USAGE, "%s: a replacement of %lld x %lld for %lld x %lld", name, (long long)replacement->dim[0],
                       (long long)replacement->dim[1], (long long)own->dim[0], (long long)own->dim[1]);
    for (int32_t v = 0; v < s->graph.n_values; v++) {
        lp_value *value = &s->graph.value[v];
        if (!is_part_of(value, name)) continue;
        found = true;
        if (!s->swapped[v].original) s->swapped[v].original = value->tensor;
        const lp_tensor *original = s->swapped[v].original; /* all of the tensor, or a view of some of its rows */
        lp_tensor *now = &s->swapped[v].view;
        *now = *original;
        now->packing = replacement->packing;
        now->data = replacement->data;
        now->n_bytes = replacement->n_bytes;
        value->tensor = replacement == own ? original : now;
        if (s->weight[v].source) LP_TRY(lp_session_read_matrix(s, value->tensor, &s->weight[v]));
    }
    return found ? LP_OK : lp_fail(LP_USAGE, "%s: no operator reads this tensor", name);
}

int32_t lp_session_reader_of(const lp_session *s, const char *name)
{
    const lp_graph *g = &s->graph;
    for (int32_t i = 0; i < g->n_ops; i++)
        for (int k = 0; k < LP_OP_INPUTS; k++) {
            if (g->op[i].in[k] < 0) continue;
            if (is_part_of(&g->value[g->op[i].in[k]], name)) return i;
        }
    return -1;
}

int64_t lp_session_product_rows(const lp_session *s, const char *name)
{
    const lp_graph *g = &s->graph;
    int64_t n = 0;
    for (int32_t i = 0; i < g->n_ops; i++) {
        const lp_op *op = &g->op[i];
        if ((op->id != LP_OP_LINEAR && op->id != LP_OP_EXPERT_LINEAR) || !is_part_of(&g->value[op->in[1]], name)) continue;
        n += lp_tensor_rows(g->value[op->in[1]].tensor) * (op->id == LP_OP_EXPERT_LINEAR ? op->n_used : 1);
    }
    return n;
}

/* A layer's keys are in the cache, which is no part of the saved state: a start between them and their attention moves back. */
static int32_t before_keys(const lp_graph *g, int32_t start)
{
    for (int32_t i = 0; i < start; i++) {
        if (g->op[i].id != LP_OP_CACHE_APPEND) continue;
        for (int32_t a = start; a < g->n_ops; a++)
            if (g->op[a].id == LP_OP_ATTENTION && g->op[a].layer == g->op[i].layer) return i;
    }
    return start;
}

int32_t lp_session_start_of(const lp_session *s, const char *name)
{
    const lp_graph *g = &s->graph;
    int32_t i = lp_session_reader_of(s, name);
    if (i < 0) return -1;
    i = before_keys(g, i);
    while (i > 0 && g->op[i - 1].stage == g->op[i].stage) i--;
    return i;
}

/* ---- states -------------------------------------------------------------------------------------------------------- */

static int32_t root(const lp_graph *g, int32_t v)
{
    while (g->value[v].alias >= 0) v = g->value[v].alias;
    return v;
}

/* Whether the memory of a value is written before op and read from it on. */
static bool is_live(const lp_graph *g, int32_t value, int32_t op)
{
    bool written = false, read = false;
    if (g->value[value].storage == LP_STORAGE_NONE || g->value[value].alias >= 0) return false;
    for (int32_t i = 0; i < op && !written; i++) written = g->op[i].out >= 0 && root(g, g->op[i].out) == value;
    for (int32_t i = op; i < g->n_ops && written && !read; i++)
        for (int k = 0; k < LP_OP_INPUTS; k++) read |= g->op[i].in[k] >= 0 && root(g, g->op[i].in[k]) == value;
    return read;
}

/* Rows that the batch has of a value. */
static int64_t rows_of(const lp_session *s, const lp_value *v)
{
    int64_t n = v->rows == LP_ROWS_TOKENS ? s->exec.n_tokens : v->rows == LP_ROWS_WANTED ? s->exec.n_wanted : v->rows;
    return v->repeat > 1 ? s->exec.n_tokens * v->repeat : n;
}

size_t lp_session_state_bytes(const lp_session *s, int32_t op)
{
    size_t n = 0;
    for (int32_t v = 0; v < s->graph.n_values; v++)
        if (is_live(&s->graph, v, op)) n += s->graph.value[v].n_bytes;
    return n;
}

/* All are float32: without int8 activations there is no other storage. */
static size_t bytes_of(const lp_session *s, int32_t v)
{
    const lp_value *value = &s->graph.value[v];
    return (size_t)(rows_of(s, value) * value->width) * sizeof(float);
}

void lp_session_save(const lp_session *s, int32_t op, void *state)
{
    uint8_t *to = state;
    for (int32_t v = 0; v < s->graph.n_values; v++) {
        if (!is_live(&s->graph, v, op)) continue;
        memcpy(to, s->exec.arena + s->graph.value[v].offset, bytes_of(s, v));
        to += bytes_of(s, v);
    }
}

void lp_session_restore(lp_session *s, int32_t op, const void *state)
{
    const uint8_t *from = state;
    for (int32_t v = 0; v < s->graph.n_values; v++) {
        if (!is_live(&s->graph, v, op)) continue;
        memcpy(s->exec.arena + s->graph.value[v].offset, from, bytes_of(s, v));
        from += bytes_of(s, v);
    }
}

const float *lp_session_output_of(const lp_session *s, int32_t op, int64_t *n, int64_t *width)
{
    const lp_value *v = &s->graph.value[s->graph.op[op].out];
    *n = rows_of(s, v);
    *width = v->width;
    return (const float *)(const void *)(s->exec.arena + v->offset);
}

void lp_session_run_ops(lp_session *s, int32_t first, int32_t end)
{
    if (end < 0) end = s->graph.n_ops;
    if (first >= end) return;
    lp_exec_run_ops(&s->exec, first, end);
}
