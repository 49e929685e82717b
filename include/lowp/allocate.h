/* Allocation: which tensor gets how many bits. A solver that proves its answer, and the measurements that feed it. */
#ifndef LOWP_ALLOCATE_H
#define LOWP_ALLOCATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/model.h>
#include <lowp/pool.h>
#include <lowp/progress.h>
#include <lowp/quantize.h>
#include <lowp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* ---- the solver: multiple-choice knapsack ------------------------------------------------------------------------- */

enum { LP_MOST_BUDGETS = 4 };

/* One way to treat a class. Costs are integers (bytes, nanoseconds): round costs up and budgets down before solving. */
typedef struct lp_choice {
    double loss;                   /* finite; may be negative */
    int64_t cost[LP_MOST_BUDGETS]; /* >= 0 */
} lp_choice;

/* What is decided together: a tensor, or tensors that are tied. */
typedef struct lp_choice_class {
    const lp_choice *choice;
    int n_choices;
} lp_choice_class;

typedef struct lp_knapsack {
    const lp_choice_class *class_list; /* [n_classes] */
    int64_t n_classes;
    int64_t budget[LP_MOST_BUDGETS];
    int n_budgets;                     /* 1 .. LP_MOST_BUDGETS */
    int64_t most_states;               /* partial solutions kept at a time; 0: about a million. A search that would need
                                        * more gives its best without the proof */
} lp_knapsack;

typedef struct lp_knapsack_result {
    int *choice;               /* [n_classes], index into the class's choices */
    double objective;          /* sum of losses, in class order */
    double lower_bound;        /* no solution is better: = objective where optimal */
    double relaxation;         /* of the linear relaxation (one budget), or the Lagrangian bound */
    bool optimal;
    int64_t cost[LP_MOST_BUDGETS];
} lp_knapsack_result;

/* Chooses one choice of each class so that the sum of losses is least and no budget is exceeded. Of equal choices of a class
 * the first is taken. Errors: LP_USAGE: an empty class, a loss that is not finite, a negative cost, costs beyond 2^62, or a
 * budget below what the cheapest choices need (the text says how much that is). */
LP_API lp_status lp_knapsack_solve(const lp_knapsack *problem, lp_knapsack_result *result);
LP_API void lp_knapsack_result_free(lp_knapsack_result *result);

#ifdef __cplusplus
}
#endif
#endif
