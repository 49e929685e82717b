/* The knapsack as its solvers see it. Card: allocate/solver-practice. */
#ifndef LP_ALLOCATE_SOLVE_H
#define LP_ALLOCATE_SOLVE_H

#include <lowp/allocate.h>

#include "base/arena.h"

/* A choice that no other of its class dominates, shifted so that each class's least loss and least cost of each kind are 0. */
typedef struct lp_item {
    double loss;
    int64_t cost[LP_MOST_BUDGETS];
    int index; /* in the caller's class */
} lp_item;

typedef struct lp_item_class {
    lp_item *item; /* [n], ascending by first cost, then by index */
    int n;
} lp_item_class;

typedef struct lp_reduced {
    lp_item_class *class_list; /* [n_classes] */
    int64_t n_classes;
    int64_t budget[LP_MOST_BUDGETS]; /* what is left when every class takes its cheapest cost of each kind */
    int n_budgets;
    double shift;              /* sum of the least losses */
} lp_reduced;

/* Multipliers u >= 0 and what they prove: every solution has loss >= bound. */
typedef struct lp_dual {
    double u[LP_MOST_BUDGETS];
    double bound;
} lp_dual;

/* Greedy along the lower convex hulls of one budget; steps in descending slope, ties by lower class, then lower step.
 * stop: the loss where the first step does not fit; skip: going on with the other classes, which never is more; choice of
 * the latter. The linear relaxation's value and multiplier are in dual. */
typedef struct lp_greedy {
    double stop, skip;
    int *choice; /* [n_classes], index into items */
} lp_greedy;
lp_status lp_hull_greedy(const lp_reduced *problem, lp_arena *arena, lp_greedy *greedy, lp_dual *dual);

/* Lagrangian bound of several budgets by subgradient steps; choice: a feasible solution if one was met (*found). */
lp_status lp_lagrange(const lp_reduced *problem, lp_arena *arena, lp_dual *dual, int *choice, double *loss, bool *found);

/* L(u). minimum: [n_classes] min_j l + u c, or NULL. */
double lp_lagrangian(const lp_reduced *problem, const double *u, double *minimum);

/* Searches for a solution below *loss by lists of undominated partial sums, keeping at most most_states at a time; improves
 * choice and *loss. *bound: what is proven afterwards. */
lp_status lp_list_search(const lp_reduced *problem, const lp_dual *dual, int64_t most_states, int *choice, double *loss,
                         bool *found, double *bound);

#endif
