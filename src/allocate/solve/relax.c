/* Bounds of the knapsack: greedy along convex hulls (one budget), Lagrangian multipliers (several).
 * Card: allocate/solver-practice, A, B and E. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "allocate/solve/solve.h"
#include "base/fail.h"

double lp_lagrangian(const lp_reduced *p, const double *u, double *minimum)
{
    double total = 0;
    for (int64_t i = 0; i < p->n_classes; i++) {
        double least = INFINITY;
        for (int j = 0; j < p->class_list[i].n; j++) {
            const lp_item *item = &p->class_list[i].item[j];
            double v = item->loss;
            for (int k = 0; k < p->n_budgets; k++) v += u[k] * (double)item->cost[k];
            if (v < least) least = v;
        }
        if (minimum) minimum[i] = least;
        total += least;
    }
    for (int k = 0; k < p->n_budgets; k++) total -= u[k] * (double)p->budget[k];
    return total;
}

/* ---- one budget ---------------------------------------------------------------------------------------------------- */

/* A step along a class's hull: from the item before to this one. */
typedef struct hull_step {
    double slope; /* loss saved per cost added, > 0 */
    int64_t class_index, cost;
    double loss;  /* saved */
    int rank, item;
} hull_step;

static int steeper_first(const void *a, const void *b)
{
    const hull_step *x = a, *y = b;
    if (x->slope != y->slope) return x->slope > y->slope ? -1 : 1;
    if (x->class_index != y->class_index) return x->class_index < y->class_index ? -1 : 1;
    return x->rank - y->rank;
}

/* Items on the lower left convex hull, as indices; items come in ascending cost without dominated ones. */
static int find_hull(const lp_item_class *c, int *hull)
{
    int n = 0;
    for (int j = 0; j < c->n; j++) {
        const lp_item *d = &c->item[j];
        while (n > 1) {
            const lp_item *a = &c->item[hull[n - 2]], *b = &c->item[hull[n - 1]];
            double left = (a->loss - b->loss) * (double)(d->cost[0] - b->cost[0]);
            double right = (b->loss - d->loss) * (double)(b->cost[0] - a->cost[0]);
            if (left > right) break;
            n--;
        }
        hull[n++] = j;
    }
    return n;
}

static lp_status list_steps(const lp_reduced *p, lp_arena *arena, hull_step **steps, int64_t *n_steps)
{
    size_t room = 0;
    int most = 1;
    for (int64_t i = 0; i < p->n_classes; i++) {
        room += (size_t)p->class_list[i].n;
        if (p->class_list[i].n > most) most = p->class_list[i].n;
    }
    hull_step *s = lp_arena_alloc_array(arena, room + 1, sizeof *s);
    int *hull = lp_arena_alloc_array(arena, (size_t)most, sizeof *hull);
    if (!s || !hull) return LP_RESOURCE;
    int64_t n = 0;
    for (int64_t i = 0; i < p->n_classes; i++) {
        const lp_item_class *c = &p->class_list[i];
        int n_hull = find_hull(c, hull);
        for (int h = 1; h < n_hull; h++) {
            const lp_item *a = &c->item[hull[h - 1]], *b = &c->item[hull[h]];
            int64_t cost = b->cost[0] - a->cost[0];
            s[n++] = (hull_step){(a->loss - b->loss) / (double)cost, i, cost, a->loss - b->loss, h, hull[h]};
        }
    }
    qsort(s, (size_t)n, sizeof *s, steeper_first);
    *steps = s;
    *n_steps = n;
    return LP_OK;
}

lp_status lp_hull_greedy(const lp_reduced *p, lp_arena *arena, lp_greedy *greedy, lp_dual *dual)
{
    hull_step *step;
    int64_t n, left = p->budget[0];
    double loss = 0;
    bool stopped = false;
    LP_TRY(list_steps(p, arena, &step, &n));
    greedy->choice = lp_arena_alloc_array(arena, (size_t)p->n_classes + 1, sizeof *greedy->choice);
    bool *frozen = lp_arena_alloc_array(arena, (size_t)p->n_classes + 1, sizeof *frozen);
    if (!greedy->choice || !frozen) return LP_RESOURCE;
    for (int64_t i = 0; i < p->n_classes; i++) loss += p->class_list[i].item[0].loss; /* the cheapest: every hull begins there */
    memset(dual, 0, sizeof *dual);
    for (int64_t s = 0; s < n; s++) {
        int64_t i = step[s].class_index;
        if (frozen[i]) continue;
        if (step[s].cost <= left) {
            greedy->choice[i] = step[s].item;
            loss -= step[s].loss;
            left -= step[s].cost;
            continue;
        }
        frozen[i] = true;
        if (stopped) continue;
        stopped = true;
        greedy->stop = loss;
        dual->u[0] = step[s].slope;
        dual->bound = loss - step[s].slope * (double)left;
    }
    greedy->skip = loss;
    if (!stopped) {
        greedy->stop = loss;
        dual->bound = loss;
    }
    return LP_OK;
}

/* ---- several budgets ----------------------------------------------------------------------------------------------- */

enum { STEPS = 2000, PATIENCE = 20 };

/* The solution that minimises l + u c, its costs and loss. */
static double lagrangian_choice(const lp_reduced *p, const double *u, int *choice, int64_t *cost)
{
    double loss = 0;
    memset(cost, 0, LP_MOST_BUDGETS * sizeof *cost);
    for (int64_t i = 0; i < p->n_classes; i++) {
        double least = INFINITY;
        for (int j = 0; j < p->class_list[i].n; j++) {
            const lp_item *item = &p->class_list[i].item[j];
            double v = item->loss;
            for (int k = 0; k < p->n_budgets; k++) v += u[k] * (double)item->cost[k];
            if (v < least) {
                least = v;
                choice[i] = j;
            }
        }
        const lp_item *item = &p->class_list[i].item[choice[i]];
        loss += item->loss;
        for (int k = 0; k < p->n_budgets; k++) cost[k] += item->cost[k];
    }
    return loss;
}

/* A first scale of the multipliers: the whole loss over each budget. */
static void start_multipliers(const lp_reduced *p, double *u)
{
    double all = 0;
    for (int64_t i = 0; i < p->n_classes; i++) {
        double most = 0;
        for (int j = 0; j < p->class_list[i].n; j++)
            if (p->class_list[i].item[j].loss > most) most = p->class_list[i].item[j].loss;
        all += most;
    }
    for (int k = 0; k < p->n_budgets; k++) u[k] = all / ((double)p->budget[k] + 1) / p->n_budgets;
}

lp_status lp_lagrange(const lp_reduced *p, lp_arena *arena, lp_dual *dual, int *choice, double *loss, bool *found)
{
    int *trial = lp_arena_alloc_array(arena, (size_t)p->n_classes + 1, sizeof *trial);
    if (!trial) return LP_RESOURCE;
    double u[LP_MOST_BUDGETS] = {0}, theta = 2;
    int64_t cost[LP_MOST_BUDGETS];
    memset(dual, 0, sizeof *dual);
    dual->bound = lp_lagrangian(p, dual->u, NULL); /* all multipliers 0 */
    *found = false;
    *loss = INFINITY;
    start_multipliers(p, u);
    for (int step = 0, since = 0; step < STEPS && theta > 1e-9; step++) {
        double value = lagrangian_choice(p, u, trial, cost), bound = lp_lagrangian(p, u, NULL), norm = 0;
        bool fits = true;
        for (int k = 0; k < p->n_budgets; k++) fits &= cost[k] <= p->budget[k];
        if (fits && value < *loss) {
            *found = true;
            *loss = value;
            memcpy(choice, trial, (size_t)p->n_classes * sizeof *choice);
        }
        if (bound > dual->bound) {
            dual->bound = bound;
            memcpy(dual->u, u, sizeof u);
            since = 0;
        } else if (++since >= PATIENCE) {
            theta /= 2;
            since = 0;
            memcpy(u, dual->u, sizeof u);
        }
        /* Costs of different kinds are measured against their budgets, so that nanoseconds and bytes weigh alike. */
        double excess[LP_MOST_BUDGETS];
        for (int k = 0; k < p->n_budgets; k++) {
            excess[k] = (double)(cost[k] - p->budget[k]) / ((double)p->budget[k] + 1);
            norm += excess[k] * excess[k];
        }
        if (norm == 0) break;
        double target = *found ? *loss : bound + fabs(bound) * 0.1 + 1e-12, t = theta * (target - bound) / norm;
        if (t <= 0) t = theta * (fabs(bound) * 1e-3 + 1e-15) / norm;
        for (int k = 0; k < p->n_budgets; k++) {
            u[k] += t * excess[k] / ((double)p->budget[k] + 1);
            if (u[k] < 0) u[k] = 0;
        }
    }
    return LP_OK;
}
