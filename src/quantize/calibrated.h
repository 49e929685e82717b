/* Tensors quantized with a calibration text, before the file is written. */
#ifndef LP_QUANTIZE_CALIBRATED_H
#define LP_QUANTIZE_CALIBRATED_H

#include "quantize/plan.h"
#include "quantize/recipe.h"

/* The finished bytes of a tensor; NULL: it is converted while the file is written. */
typedef struct lp_solved {
    uint8_t *bytes;
} lp_solved;

/* The model with the recipe's transforms folded in, *out; NULL if it has none. result: the plan for `options->model`. */
lp_status lp_quantize_transformed(const lp_quantize_options *options, const lp_recipe *recipe, const lp_quantize_step *steps,
                                  const lp_quantize_result *result, const lp_progress *progress, lp_model **out);

/* Runs the recipe over the whole model. solved: [result->n_rows], zeroed; freed by lp_solved_free in case of an error too. */
lp_status lp_quantize_calibrated(const lp_gguf *source, const lp_quantize_options *options, const lp_recipe *recipe,
                                 const lp_quantize_step *steps, lp_quantize_result *result, const lp_progress *progress,
                                 lp_solved *solved);
void lp_solved_free(lp_solved *solved, int64_t n);

#endif
