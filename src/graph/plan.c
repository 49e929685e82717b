/* The memory plan: stages between barriers, and a place in one arena for every activation. */
#include <stdlib.h>

#include "base/checked.h"
#include "base/fail.h"
#include "graph/graph.h"
#include "kernel/kernel.h"

/* The value whose memory v uses. */
static int32_t root(const lp_graph *g, int32_t v)
{
    while (g->value[v].alias >= 0) v = g->value[v].alias;
    return v;
}

/* Ops of one stage run without waiting for each other: none reads or overwrites what another of the stage writes, and
 * none overwrites what another reads. */
static lp_status assign_stages(lp_graph *g)
{
    unsigned char *touched = calloc((size_t)g->n_values + 1, 1); /* 1: read, 2: written, since the last barrier */
    if (!touched) return lp_fail_memory((size_t)g->n_values, "the memory plan");
    int32_t stage = 0;
    for (int32_t i = 0; i < g->n_ops; i++) {
        lp_op *op = &g->op[i];
        bool wait = touched[root(g, op->out)] != 0;
        for (int k = 0; k < LP_OP_INPUTS; k++)
            if (op->in[k] >= 0 && (touched[root(g, op->in[k])] & 2)) wait = true;
        if (wait) {
            stage++;
            for (int32_t v = 0; v < g->n_values; v++) touched[v] = 0;
        }
        op->stage = stage;
        touched[root(g, op->out)] |= 2;
        for (int k = 0; k < LP_OP_INPUTS; k++)
            if (op->in[k] >= 0) touched[root(g, op->in[k])] |= 1;
    }
    g->n_stages = stage + 1;
    free(touched);
    return LP_OK;
}

static void assign_lives(lp_graph *g)
{
    for (int32_t v = 0; v < g->n_values; v++) {
        g->value[v].first = INT32_MAX;
        g->value[v].last = -1;
    }
    for (int32_t i = 0; i < g->n_ops; i++) {
        const lp_op *op = &g->op[i];
        for (int k = -1; k < LP_OP_INPUTS; k++) {
            int32_t used = k < 0 ? op->out : op->in[k];
            if (used < 0) continue;
            lp_value *v = &g->value[root(g, used)];
            if (op->stage < v->first) v->first = op->stage;
            if (op->stage > v->last) v->last = op->stage;
            if (g->value[used].role == LP_ROLE_OUTPUT) v->last = INT32_MAX;
        }
    }
}

static bool value_bytes(const lp_value *v, int64_t max_tokens, int64_t max_wanted, size_t *out)
{
    int64_t n_rows = v->rows == LP_ROWS_TOKENS ? max_tokens : v->rows == LP_ROWS_WANTED ? max_wanted : v->rows;
    if (v->width > INT64_MAX / 8) return false;
    if (v->repeat > 1) n_rows *= v->repeat;
    size_t row = v->storage == LP_STORAGE_ACT_I8 ? lp_act_row_bytes(v->width) : (size_t)v->width * sizeof(float);
    size_t n;
    if (!lp_mul_size((size_t)n_rows, row, &n) || !lp_add_size(n, 63, out)) return false;
    *out &= ~(size_t)63;
    return true;
}

static int larger_first(const void *a, const void *b, void *graph)
{
    const lp_graph *g = graph;
    int32_t i = *(const int32_t *)a, k = *(const int32_t *)b;
    size_t x = g->value[i].n_bytes, y = g->value[k].n_bytes;
    if (x != y) return x < y ? 1 : -1;
    return i < k ? -1 : 1;
}

/* Largest first, each at the lowest place that no value alive at the same time covers. */
static lp_status assign_places(lp_graph *g, int64_t max_tokens, int64_t max_wanted)
{
    int32_t *order = malloc((size_t)(g->n_values + 1) * sizeof *order), n = 0;
    if (!order) return lp_fail_memory((size_t)g->n_values * sizeof *order, "the memory plan");
    for (int32_t i = 0; i < g->n_values; i++) {
        lp_value *v = &g->value[i];
        if (v->storage == LP_STORAGE_NONE || v->alias >= 0 || v->last < 0) continue;
        if (!value_bytes(v, max_tokens, max_wanted, &v->n_bytes)) {
            free(order);
            return lp_fail(LP_RESOURCE, "activations of %lld tokens of width %lld overflow the address space",
                           (long long)max_tokens, (long long)v->width);
        }
        order[n++] = i;
    }
    qsort_r(order, (size_t)n, sizeof *order, larger_first, g);
    g->arena_bytes = 0;
    for (int32_t i = 0; i < n; i++) {
        lp_value *v = &g->value[order[i]];
        size_t at = 0;
        for (bool moved = true; moved;) {
            moved = false;
            for (int32_t k = 0; k < i; k++) {
                const lp_value *u = &g->value[order[k]];
                bool together = u->first <= v->last && v->first <= u->last;
                if (together && at < u->offset + u->n_bytes && u->offset < at + v->n_bytes) {
                    at = u->offset + u->n_bytes;
                    moved = true;
                }
            }
        }
        v->offset = at;
        if (at + v->n_bytes > g->arena_bytes) g->arena_bytes = at + v->n_bytes;
    }
    free(order);
    return LP_OK;
}

lp_status lp_graph_plan(lp_graph *graph, int64_t max_tokens, int64_t max_wanted)
{
    LP_TRY(assign_stages(graph));
    assign_lives(graph);
    LP_TRY(assign_places(graph, max_tokens, max_wanted));
    for (int32_t i = 0; i < graph->n_values; i++) { /* in-place values lie where their source lies */
        const lp_value *r = &graph->value[root(graph, i)];
        graph->value[i].offset = r->offset;
        graph->value[i].n_bytes = r->n_bytes;
    }
    return LP_OK;
}
