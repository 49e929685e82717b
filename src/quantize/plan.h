/* What becomes of each tensor, decided before a byte is written. */
#ifndef LP_QUANTIZE_PLAN_H
#define LP_QUANTIZE_PLAN_H

#include <lowp/quantize.h>

typedef struct lp_quantize_step {
    const lp_tensor *tensor;
    bool copy;               /* byte for byte: stored as wanted already, or no numbers to convert */
    const float *importance; /* [dim[0]], or one after the other per matrix; NULL */
    bool per_matrix;         /* importance has dim[0] values for each of the tensor's matrices (experts) */
} lp_quantize_step;

/* Fills result's rows (freed by lp_quantize_result_free, in case of an error too) and *steps, as many, to be freed. */
lp_status lp_quantize_plan(const lp_gguf *source, const lp_quantize_options *options, lp_quantize_result *result,
                           lp_quantize_step **steps);

/* "reference q4_k; output.weight=q6_k": the search, the format, the rules. To be freed; NULL: out of memory. */
char *lp_quantize_recipe(const lp_quantize_options *options);

#endif
