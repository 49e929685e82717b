/* The block driver: walks a model layer by layer with a calibration text, shows what each group of linear layers reads, and
 * lets the layers behind see what became of their weights. Memory: the weights of one layer, its statistics, and the residual
 * stream of all windows. */
#ifndef LP_CALIBRATE_DRIVER_H
#define LP_CALIBRATE_DRIVER_H

#include <lowp/model.h>
#include <lowp/pool.h>
#include <lowp/progress.h>

#include "calibrate/moments.h"

/* On which network the inputs of a layer are measured. */
typedef enum lp_prefix {
    LP_PREFIX_FLOAT, /* the model as it is */
    LP_PREFIX_LAYER, /* new weights in all layers before */
    LP_PREFIX_GROUP  /* new weights in everything before, the same layer's included */
} lp_prefix;

/* Weights that read one value, or that no calibration reaches. */
typedef struct lp_driver_group {
    int32_t layer;             /* -1: embedding or output head */
    int64_t k;
    int n_weights;
    const lp_tensor **weight;  /* [n_weights] of the file, whole */
    /* What makes the value's channel j, if nothing else reads the value: a transform may divide by s[j] here what it multiplies the
     * weights' column j by. Vectors (gain and bias of a norm), or a matrix whose row j it is. */
    const lp_tensor *gain[2];
    int n_gains;
    const lp_tensor *rows;
    const lp_moments *moments; /* finished; NULL: no linear layer reads a measured value with them (embeddings, experts) */
} lp_driver_group;

typedef struct lp_driver_options {
    int64_t n_context; /* tokens per window; 0: 512, or the model's context where that is shorter */
    int64_t n_windows; /* 0: all of the text */
    lp_prefix prefix;
    bool cross;        /* moments have cross: the float network runs beside the new one */
    lp_pool *pool;
    /* Called once for every group. value[i]: [rows of weight i][k] to be filled with what the new weight decodes to; NULL
     * with LP_PREFIX_FLOAT, where nobody reads it. */
    lp_status (*solve)(void *context, const lp_driver_group *group, float *const *value);
    void *context;
} lp_driver_options;

typedef struct lp_driver_coverage {
    int64_t n_windows, n_tokens;
} lp_driver_coverage;

/* Errors: LP_USAGE and LP_INPUT as lp_eval, LP_RESOURCE, LP_INTERRUPTED, and what solve returns. */
lp_status lp_driver_run(const lp_model *model, const char *text, size_t n_text, const lp_driver_options *options,
                        const lp_progress *progress, lp_driver_coverage *coverage);

#endif
