/* Diagonal transforms: a channel of an activation is divided by s, the columns of the weights that read it are multiplied, and the
 * network computes the same. Cards: ptq/smoothquant.md, ptq/awq.md. */
#ifndef LP_QUANTIZE_TRANSFORM_SCALE_H
#define LP_QUANTIZE_TRANSFORM_SCALE_H

#include <lowp/quantize.h>

#include "calibrate/driver.h"

typedef enum lp_scale_policy {
    LP_SCALE_POLICY_NONE,
    LP_SCALE_POLICY_SMOOTH, /* s = a^alpha / w^(1 - alpha), a and w the largest magnitudes of input and weights; 1 where a is 0 */
    LP_SCALE_POLICY_AWQ     /* s = (mean |x|)^ratio over the root of its largest and least; ratio by the error of the layer's output,
                             * of grid trials from 0 on; 0 is no transform */
} lp_scale_policy;

typedef struct lp_scale_options {
    int policy;
    double alpha;
    int grid;
    bool powers;     /* s rounded to powers of two: folding is exact, and the network's bits stay */
    lp_search search; /* AWQ: how weights are rounded in a trial */
} lp_scale_options;

/* The format that a tensor will have; NULL: it stays. */
typedef const lp_packing *lp_packing_of(void *context, const lp_tensor *tensor);

/* A model like `model` with scales folded into its norms and weights; the tensors that change are F32 in memory, the others are
 * those of `model`, which must outlive it. Compares both networks on the first window of the text before it returns.
 * Errors: as lp_driver_run; LP_CHECK (the networks differ). */
lp_status lp_scale_model(const lp_model *model, const char *text, size_t n_text, const lp_driver_options *driver,
                         const lp_scale_options *options, lp_packing_of *packing_of, void *context, const lp_progress *progress,
                         lp_model **out);

/* s[k] of a group; w: [n_rows][k], all weights of the group below each other. For tests. */
void lp_scale_smooth(double alpha, int64_t k, const float *largest_input, const float *w, int64_t n_rows, double *s);

#endif
