/* The exact part: lists of partial sums, class by class, without those that are dominated or cannot beat the best solution
 * known. Card: allocate/solver-practice, D and F. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "allocate/solve/solve.h"
#include "base/fail.h"

/* A partial sum over the classes so far. */
typedef struct state {
    int64_t cost[LP_MOST_BUDGETS];
    double loss;
    uint32_t parent; /* in the level before */
    int32_t item;    /* taken of this level's class */
} state;

typedef struct trace {
    uint32_t parent;
    int32_t item;
} trace;

typedef struct search {
    const lp_reduced *p;
    const lp_dual *dual;
    int64_t *order;       /* [n_classes]: class of each level */
    double *minimum;      /* [n_classes] min_j l + u c of class i */
    double *gap;          /* [n_classes] second least minus least reduced cost */
    trace **level;        /* [n_classes] how each state came about */
    state *now, *next;
    int64_t n, room, next_room;
    double limit;         /* states whose bound is above are of no use */
    double dropped;       /* least bound of a state that was given up for lack of room */
} search;

static int larger_gap_first(const void *a, const void *b, void *context)
{
    const double *gap = context;
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    if (gap[x] != gap[y]) return gap[x] > gap[y] ? -1 : 1;
    return x < y ? -1 : 1;
}

static double weighted(const search *s, const int64_t *cost)
{
    double v = 0;
    for (int k = 0; k < s->p->n_budgets; k++) v += s->dual->u[k] * (double)cost[k];
    return v;
}

static lp_status begin(search *s)
{
    const lp_reduced *p = s->p;
    size_t n = (size_t)p->n_classes + 1;
    s->order = malloc(n * sizeof *s->order);
    s->minimum = malloc(n * sizeof *s->minimum);
    s->gap = malloc(n * sizeof *s->gap);
    s->level = calloc(n, sizeof *s->level);
    s->room = s->next_room = 1024;
    s->now = malloc((size_t)s->room * sizeof *s->now);
    s->next = malloc((size_t)s->room * sizeof *s->next);
    if (!s->order || !s->minimum || !s->gap || !s->level || !s->now || !s->next)
        return lp_fail_memory(n * 32 + 2048 * sizeof(state), "the allocation");
    lp_lagrangian(p, s->dual->u, s->minimum);
    for (int64_t i = 0; i < p->n_classes; i++) {
        const lp_item_class *c = &p->class_list[i];
        double first = INFINITY, second = INFINITY;
        for (int j = 0; j < c->n; j++) {
            double v = c->item[j].loss + weighted(s, c->item[j].cost);
            if (v < first) {
                second = first;
                first = v;
            } else if (v < second) {
                second = v;
            }
        }
        s->order[i] = i;
        s->gap[i] = second - first;
    }
    qsort_r(s->order, (size_t)p->n_classes, sizeof *s->order, larger_gap_first, s->gap);
    return LP_OK;
}

static void end(search *s)
{
    for (int64_t i = 0; s->level && i < s->p->n_classes; i++) free(s->level[i]);
    free(s->level);
    free(s->order);
    free(s->minimum);
    free(s->gap);
    free(s->now);
    free(s->next);
}

static int compare_costs(const int64_t *a, const int64_t *b, int n)
{
    for (int k = 0; k < n; k++)
        if (a[k] != b[k]) return a[k] < b[k] ? -1 : 1;
    return 0;
}

/* Whether a state kept before, whose first cost is no larger, is at least as good in all else. */
static bool is_dominated(const search *s, const state *kept, int64_t n, const state *x)
{
    if (s->p->n_budgets == 1) return n > 0 && kept[n - 1].loss <= x->loss; /* kept losses descend */
    for (int64_t i = n; i-- > 0;) {
        bool better = kept[i].loss <= x->loss;
        for (int k = 1; better && k < s->p->n_budgets; k++) better = kept[i].cost[k] <= x->cost[k];
        if (better) return true;
    }
    return false;
}

/* The next state of the list that item j makes of the states now, skipping what is infeasible or hopeless. rest: least
 * reduced costs of the classes that are still to come, less what the budgets give back. */
static bool advance(search *s, const lp_item *item, int64_t *at, double rest, state *out)
{
    for (; *at < s->n; (*at)++) {
        const state *from = &s->now[*at];
        bool fits = true;
        for (int k = 0; k < s->p->n_budgets; k++) {
            out->cost[k] = from->cost[k] + item->cost[k];
            fits &= out->cost[k] <= s->p->budget[k];
        }
        out->loss = from->loss + item->loss;
        if (!fits || out->loss + weighted(s, out->cost) + rest > s->limit) continue;
        out->parent = (uint32_t)*at;
        return true;
    }
    return false;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* Keeps the most promising states of next[n]. */
static lp_status narrow(search *s, int64_t *n, int64_t most, double rest)
{
    if (*n <= most) return LP_OK;
    double *bound = malloc((size_t)*n * 2 * sizeof *bound), *sorted = bound + *n;
    if (!bound) return lp_fail_memory((size_t)*n * 16, "the allocation");
    for (int64_t i = 0; i < *n; i++) sorted[i] = bound[i] = s->next[i].loss + weighted(s, s->next[i].cost) + rest;
    qsort(sorted, (size_t)*n, sizeof *sorted, ascending);
    double limit = sorted[most];
    if (limit < s->dropped) s->dropped = limit;
    int64_t kept = 0;
    for (int64_t i = 0; i < *n; i++)
        if (bound[i] < limit) s->next[kept++] = s->next[i];
    if (kept == 0) s->next[kept++] = s->next[0]; /* all alike */
    *n = kept;
    free(bound);
    return LP_OK;
}

/* Merges the lists that the items of a class make; each is in the order of the states now, by cost. */
static lp_status merge_class(search *s, const lp_item_class *c, double rest, int64_t most)
{
    int n_lists = c->n;
    int64_t *at = calloc((size_t)n_lists, sizeof *at), n = 0;
    state *head = malloc((size_t)n_lists * sizeof *head);
    bool *alive = malloc((size_t)n_lists);
    lp_status status = at && head && alive ? LP_OK : lp_fail_memory((size_t)n_lists * sizeof *head, "the allocation");
    for (int j = 0; status == LP_OK && j < n_lists; j++) {
        alive[j] = advance(s, &c->item[j], &at[j], rest, &head[j]);
        head[j].item = j;
    }
    while (status == LP_OK) {
        int best = -1;
        for (int j = 0; j < n_lists; j++) {
            if (!alive[j]) continue;
            int order = best < 0 ? -1 : compare_costs(head[j].cost, head[best].cost, s->p->n_budgets);
            if (order < 0 || (order == 0 && head[j].loss < head[best].loss)) best = j;
        }
        if (best < 0) break;
        if (!is_dominated(s, s->next, n, &head[best])) {
            if (n == s->next_room) {
                state *more = realloc(s->next, (size_t)s->next_room * 2 * sizeof *more);
                if (!more) {
                    status = lp_fail_memory((size_t)s->next_room * 2 * sizeof *more, "the allocation");
                    break;
                }
                s->next = more;
                s->next_room *= 2;
            }
            s->next[n++] = head[best];
            if (n >= 4 * most) { /* the list of one class must not grow without end */
                status = narrow(s, &n, most, rest);
                if (status != LP_OK) break;
            }
        }
        at[best]++;
        alive[best] = advance(s, &c->item[best], &at[best], rest, &head[best]);
        head[best].item = best;
    }
    free(at);
    free(head);
    free(alive);
    if (status == LP_OK) status = narrow(s, &n, most, rest);
    if (status != LP_OK) return status;
    state *old = s->now;
    int64_t old_room = s->room;
    s->now = s->next;
    s->room = s->next_room;
    s->next = old;
    s->next_room = old_room;
    s->n = n;
    return LP_OK;
}

static lp_status run(search *s, int64_t most, int *choice, double *loss, bool *found)
{
    const lp_reduced *p = s->p;
    double rest = 0;
    for (int k = 0; k < p->n_budgets; k++) rest -= s->dual->u[k] * (double)p->budget[k];
    for (int64_t i = 0; i < p->n_classes; i++) rest += s->minimum[i];
    memset(&s->now[0], 0, sizeof s->now[0]);
    s->n = 1;
    for (int64_t l = 0; l < p->n_classes && s->n > 0; l++) {
        int64_t i = s->order[l];
        rest -= s->minimum[i];
        LP_TRY(merge_class(s, &p->class_list[i], rest, most));
        trace *t = malloc(((size_t)s->n + 1) * sizeof *t);
        if (!t) return lp_fail_memory((size_t)s->n * sizeof *t, "the allocation");
        for (int64_t k = 0; k < s->n; k++) t[k] = (trace){s->now[k].parent, s->now[k].item};
        s->level[l] = t;
    }
    int64_t best = -1;
    for (int64_t k = 0; k < s->n; k++)
        if (s->now[k].loss < *loss && (best < 0 || s->now[k].loss < s->now[best].loss)) best = k;
    if (best < 0) return LP_OK;
    *found = true;
    *loss = s->now[best].loss;
    for (int64_t l = p->n_classes, k = best; l-- > 0;) {
        choice[s->order[l]] = s->level[l][k].item;
        k = s->level[l][k].parent;
    }
    return LP_OK;
}

lp_status lp_list_search(const lp_reduced *problem, const lp_dual *dual, int64_t most_states, int *choice, double *loss,
                         bool *found, double *bound)
{
    search s = {.p = problem, .dual = dual, .dropped = INFINITY};
    /* Rounding of sums must not discard what is better: far above the error of a sum of losses, far below what counts. */
    s.limit = *found ? *loss + 1e-11 * (fabs(*loss) + fabs(dual->bound)) : INFINITY;
    lp_status status = begin(&s);
    if (status == LP_OK) status = run(&s, most_states, choice, loss, found);
    end(&s);
    *bound = s.dropped < *loss ? s.dropped : *loss;
    return status;
}
