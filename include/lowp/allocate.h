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

/* ---- sensitivities: what a bit is worth --------------------------------------------------------------------------- */

/* What a model lost against the reference, on one text. Means over the scored positions unless said otherwise. */
typedef struct lp_swap_metrics {
    double kl;            /* KL(reference || model), nats per token */
    double kl_error;      /* standard error of that mean, positions taken as independent */
    double loss_increase; /* of the cross-entropy; may be negative */
    double logit_noise;   /* sum of (f' - f)^2 / sum of f^2 over the logits: 10^(-SQNR/10) */
    double agreement;     /* part of the positions whose first choice is the same */
    double local_error;   /* of the swapped tensor's own output: sum of (y' - y)^2 / sum of y^2; 0 where no single tensor was swapped */
    double weight_error;  /* sum of (w' - w)^2 over the tensor; 0 where no single tensor was swapped */
} lp_swap_metrics;

typedef struct lp_sensitivity_options {
    int64_t n_context; /* tokens per window; 0: 512, or the model's context where that is shorter */
    int64_t n_windows; /* spread evenly over the text; 0: 8; fewer where the text is shorter */
    lp_pool *pool;
} lp_sensitivity_options;

/* One way to store a tensor, and what it was measured to cost. */
typedef struct lp_tensor_option {
    const char *format;      /* as --tensor takes it: "q4_k" */
    uint64_t n_bytes;        /* of the tensor */
    lp_swap_metrics metrics; /* everything else as the reference has it */
    double ns;               /* measured time of one token's product on this machine; 0: not measured */
    bool measured;           /* through the whole network; otherwise kl is an estimate from those that are */
    bool local;              /* local_error and weight_error are measured */
} lp_tensor_option;

typedef struct lp_tensor_class {
    const char *name;
    int64_t n_values;
    int64_t n_rows, n_columns;
    lp_tensor_option *option; /* [n_options], in the order of the candidates, no format twice */
    int n_options;
} lp_tensor_class;

/* The table of sensitivities, with where it comes from. */
typedef struct lp_sensitivity {
    char model_sha256[65], text_sha256[65], stats_sha256[65]; /* stats: "" if none were used */
    char recipe[512];
    int64_t n_context, n_windows, n_predictions;
    lp_tensor_class *class_list; /* [n_classes] tensors that a choice can be made for, in directory order */
    int64_t n_classes;
    struct lp_arena *memory;     /* of all this */
} lp_sensitivity;

/* JSON, every number so that it reads back to the same bits. Errors of reading: LP_INPUT with the place. */
LP_API lp_status lp_sensitivity_write(const lp_sensitivity *table, const char *path);
LP_API lp_status lp_sensitivity_read(const char *path, lp_sensitivity **out);
LP_API void lp_sensitivity_free(lp_sensitivity *table); /* NULL is allowed */

/* ---- the best file of a given size --------------------------------------------------------------------------------- */

/* Words that stand for all formats of a kind that are worth trying at a size: those of GGUF, which llama.cpp runs too, and ours. */
#define LP_CANDIDATES_GGUF "gguf"
#define LP_CANDIDATES_OWN "own"

typedef struct lp_allocate_options {
    uint64_t n_bytes;            /* budget of the whole file */
    double milliseconds;         /* budget of the products of one token, as measured on this machine; 0: none */
    const char *const *formats;  /* [n_formats] candidates, and words as above; NULL: LP_CANDIDATES_GGUF */
    int n_formats;
    lp_quantize_options quantize; /* search, statistics, rules (a tensor with a rule has no choice), pool */
    const char *sensitivity_recipe; /* candidates are made by this instead of quantize.recipe, which is slow perhaps; NULL: the same.
                                  * What is measured is then of these candidates, not of the file to come */
    lp_sensitivity_options sensitivity;
    const char *scratch;         /* a path beside which candidates are written for the time of the call */
    const char *table;           /* sensitivities are read from and added to this file; NULL: none */
    int n_anchors;               /* options of each tensor that are measured through the network, spread over their sizes; the
                                  * others follow from the error of the layer's own output; 0: all are measured */
    int n_rounds;                /* most corrections around the solution; -1: until none helps */
} lp_allocate_options;

/* A point of the size-loss curve as the additive model sees it. */
typedef struct lp_curve_point {
    uint64_t n_bytes;
    double predicted;
} lp_curve_point;

/* A file in which all tensors have one format. */
typedef struct lp_single {
    const char *format;
    uint64_t n_bytes;
    lp_swap_metrics metrics;
} lp_single;

typedef struct lp_allocation {
    lp_sensitivity *table;
    int *choice;               /* [n_classes] option of each class */
    lp_tensor_rule *rules;     /* [n_rules] the same as rules for lp_quantize, the caller's own first */
    int n_rules;
    const lp_packing *base;    /* of the tensors that no rule names */
    const lp_packing **packings; /* [n_packings] of our own, which the rules point to */
    int n_packings;
    uint64_t n_bytes;          /* of the file that these rules give */
    double objective, lower_bound, relaxation; /* of the problem that was solved last: KL in nats per token */
    bool optimal;
    double predicted;          /* sum of the table's KL over the choice */
    lp_swap_metrics joint;     /* of the choice, measured together */
    lp_swap_metrics first;     /* of the additive model's choice, before corrections */
    int n_rounds;              /* corrections that were kept */
    double milliseconds;       /* of the products of one token; 0: not measured */
    lp_single *singles;        /* [n_singles] ascending by size */
    int n_singles;
    lp_curve_point *curve;     /* [n_curve] ascending by size */
    int n_curve;
    double work;               /* ops that measuring took / ops without kept activations */
    double seconds;
} lp_allocation;

/* Measures what each tensor loses in each candidate format on the text, chooses so that the sum is least and the file no
 * larger than the budget, measures the choice as a whole, corrects it around the solution, and never returns a choice that is
 * worse on the text than a single-format file of at most that size. Errors: LP_USAGE: a budget below the smallest file (the
 * text says how large that is); a table of another model or text. */
LP_API lp_status lp_allocate(const lp_model *model, const char *text, size_t n_text, const lp_allocate_options *options,
                             const lp_progress *progress, lp_allocation *result);

/* One HTML page that needs nothing else: bits of every tensor, the curve of size and loss, bytes and errors. model and file:
 * their names, for the title. */
LP_API lp_status lp_allocation_write_report(const lp_allocation *allocation, const char *model, const char *file,
                                            const char *path, bool force);

LP_API void lp_allocation_free(lp_allocation *result);

#ifdef __cplusplus
}
#endif
#endif
