/* The knapsack from the caller's classes to a proven choice. Card: allocate/solver-practice. */
#include "allocate/solve/solve.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

enum { BEAM = 4096, MOST_STATES = 1 << 20, MOST_STATES_SEVERAL = 1 << 14 };

static lp_status check(const lp_knapsack *p)
{
    int64_t sum[LP_MOST_BUDGETS] = {0};
    if (p->n_classes < 1 || p->n_budgets < 1 || p->n_budgets > LP_MOST_BUDGETS)
        return lp_fail(LP_USAGE, "allocation: %" PRId64 " classes, %d budgets: nothing to choose", p->n_classes, p->n_budgets);
    for (int64_t i = 0; i < p->n_classes; i++) {
        const lp_choice_class *c = &p->class_list[i];
        int64_t most[LP_MOST_BUDGETS] = {0};
        if (c->n_choices < 1) return lp_fail(LP_USAGE, "allocation: class %" PRId64 " has no choice", i);
        for (int j = 0; j < c->n_choices; j++) {
            if (!isfinite(c->choice[j].loss))
                return lp_fail(LP_USAGE, "allocation: class %" PRId64 ", choice %d: the loss is not finite", i, j);
            for (int k = 0; k < p->n_budgets; k++) {
                if (c->choice[j].cost[k] < 0)
                    return lp_fail(LP_USAGE, "allocation: class %" PRId64 ", choice %d: the cost %" PRId64 " is negative", i, j,
                                   c->choice[j].cost[k]);
                if (c->choice[j].cost[k] > most[k]) most[k] = c->choice[j].cost[k];
            }
        }
        for (int k = 0; k < p->n_budgets; k++)
            if (__builtin_add_overflow(sum[k], most[k], &sum[k]) || sum[k] > (int64_t)1 << 62)
                return lp_fail(LP_USAGE, "allocation: the costs of budget %d exceed 2^62", k);
    }
    return LP_OK;
}

static bool dominates(const lp_choice *a, const lp_choice *b, int n_budgets, bool before)
{
    bool equal = a->loss == b->loss;
    if (a->loss > b->loss) return false;
    for (int k = 0; k < n_budgets; k++) {
        if (a->cost[k] > b->cost[k]) return false;
        equal &= a->cost[k] == b->cost[k];
    }
    return !equal || before;
}

static int cheaper_first(const void *a, const void *b)
{
    const lp_item *x = a, *y = b;
    for (int k = 0; k < LP_MOST_BUDGETS; k++)
        if (x->cost[k] != y->cost[k]) return x->cost[k] < y->cost[k] ? -1 : 1;
    return x->index - y->index;
}

static lp_status reduce_class(const lp_knapsack *p, int64_t i, lp_arena *arena, lp_reduced *r)
{
    const lp_choice_class *c = &p->class_list[i];
    lp_item_class *out = &r->class_list[i];
    out->item = lp_arena_alloc_array(arena, (size_t)c->n_choices, sizeof *out->item);
    if (!out->item) return LP_RESOURCE;
    double least = INFINITY;
    int64_t cheapest[LP_MOST_BUDGETS];
    for (int k = 0; k < p->n_budgets; k++) cheapest[k] = INT64_MAX;
    for (int j = 0; j < c->n_choices; j++) {
        bool dropped = false;
        for (int o = 0; o < c->n_choices && !dropped; o++)
            dropped = o != j && dominates(&c->choice[o], &c->choice[j], p->n_budgets, o < j);
        if (dropped) continue;
        lp_item *item = &out->item[out->n++];
        item->loss = c->choice[j].loss;
        item->index = j;
        if (item->loss < least) least = item->loss;
        for (int k = 0; k < p->n_budgets; k++) {
            item->cost[k] = c->choice[j].cost[k];
            if (item->cost[k] < cheapest[k]) cheapest[k] = item->cost[k];
        }
    }
    for (int j = 0; j < out->n; j++) {
        out->item[j].loss -= least;
        for (int k = 0; k < p->n_budgets; k++) out->item[j].cost[k] -= cheapest[k];
    }
    qsort(out->item, (size_t)out->n, sizeof *out->item, cheaper_first);
    r->shift += least;
    for (int k = 0; k < p->n_budgets; k++) r->budget[k] -= cheapest[k];
    return LP_OK;
}

static lp_status reduce(const lp_knapsack *p, lp_arena *arena, lp_reduced *r)
{
    r->n_classes = p->n_classes;
    r->n_budgets = p->n_budgets;
    memcpy(r->budget, p->budget, sizeof r->budget);
    r->class_list = lp_arena_alloc_array(arena, (size_t)p->n_classes, sizeof *r->class_list);
    if (!r->class_list) return LP_RESOURCE;
    for (int64_t i = 0; i < p->n_classes; i++) LP_TRY(reduce_class(p, i, arena, r));
    for (int k = 0; k < p->n_budgets; k++)
        if (r->budget[k] < 0)
            return lp_fail(LP_USAGE, "allocation: budget %d is %" PRId64 ", the cheapest choices need %" PRId64, k, p->budget[k],
                           p->budget[k] - r->budget[k]);
    return LP_OK;
}

/* First bounds and a first solution. */
static lp_status bracket(const lp_reduced *r, lp_arena *arena, lp_dual *dual, int *choice, double *loss, bool *found)
{
    if (r->n_budgets > 1) return lp_lagrange(r, arena, dual, choice, loss, found);
    lp_greedy greedy = {0};
    LP_TRY(lp_hull_greedy(r, arena, &greedy, dual));
    memcpy(choice, greedy.choice, (size_t)r->n_classes * sizeof *choice);
    *loss = greedy.skip;
    *found = true;
    return LP_OK;
}

static lp_status solve(const lp_knapsack *p, lp_arena *arena, lp_knapsack_result *result)
{
    lp_reduced r = {0};
    lp_dual dual;
    double loss = INFINITY, bound = 0;
    bool found = false;
    LP_TRY(check(p));
    LP_TRY(reduce(p, arena, &r));
    int64_t most = p->most_states ? p->most_states : r.n_budgets == 1 ? MOST_STATES : MOST_STATES_SEVERAL;
    int *choice = lp_arena_alloc_array(arena, (size_t)p->n_classes, sizeof *choice);
    if (!choice) return LP_RESOURCE;
    LP_TRY(bracket(&r, arena, &dual, choice, &loss, &found));
    result->relaxation = dual.bound + r.shift;
    /* A narrow search first: the better the solution known, the shorter the lists of the full one. */
    LP_TRY(lp_list_search(&r, &dual, most < BEAM ? most : BEAM, choice, &loss, &found, &bound));
    if (bound < loss || !found) LP_TRY(lp_list_search(&r, &dual, most, choice, &loss, &found, &bound));
    if (!found) {
        lp_fail(LP_USAGE, "allocation: no choice was found that meets all %d budgets together", r.n_budgets);
        return lp_hint(LP_USAGE, "raise one of the budgets");
    }
    result->optimal = bound >= loss;
    for (int64_t i = 0; i < p->n_classes; i++) {
        result->choice[i] = r.class_list[i].item[choice[i]].index;
        const lp_choice *c = &p->class_list[i].choice[result->choice[i]];
        result->objective += c->loss;
        for (int k = 0; k < p->n_budgets; k++) result->cost[k] += c->cost[k];
    }
    double proven = (bound > dual.bound ? bound : dual.bound) + r.shift;
    result->lower_bound = result->optimal || proven > result->objective ? result->objective : proven;
    return LP_OK;
}

lp_status lp_knapsack_solve(const lp_knapsack *problem, lp_knapsack_result *result)
{
    lp_arena arena = {0};
    memset(result, 0, sizeof *result);
    result->choice = calloc((size_t)(problem->n_classes > 0 ? problem->n_classes : 0) + 1, sizeof *result->choice);
    lp_status status = result->choice ? solve(problem, &arena, result) : lp_fail_memory(SIZE_MAX, "the allocation");
    lp_arena_free(&arena);
    if (status != LP_OK) lp_knapsack_result_free(result);
    return status;
}

void lp_knapsack_result_free(lp_knapsack_result *result)
{
    free(result->choice);
    memset(result, 0, sizeof *result);
}
