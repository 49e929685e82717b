/* Recipes: a text of stages, and the table of published methods, each a short text. */
#ifndef LP_QUANTIZE_RECIPE_H
#define LP_QUANTIZE_RECIPE_H

#include <lowp/quantize.h>

#include "calibrate/driver.h"
#include "quantize/solve/solve.h"
#include "quantize/transform/scale.h"

/* What the stages of a recipe ask for. */
typedef struct lp_recipe {
    lp_search search;         /* of tensors that no calibrated stage treats */
    bool calibrated;          /* a text is needed */
    bool measured;            /* the block driver runs on the network that is quantized */
    bool solves;              /* columns are rounded by the solver; otherwise the reference search, with measured importance */
    int prefix;               /* lp_prefix */
    lp_solve_options solve;
    lp_scale_options scale;   /* transforms before anything is rounded */
    double damp_tied;         /* instead of solve.damp for a matrix that is embedding and output head at once: its rows are added
                               * to the residual stream too, where every channel counts */
} lp_recipe;

/* "gptq(damp=0.01,order=act)+descend(passes=4)", or the name of a method. NULL or "": the reference search. Errors: LP_USAGE with
 * the stage or parameter and what is known. */
lp_status lp_recipe_parse(const char *text, lp_recipe *out);

/* The stages with all parameters, by which the same result comes again. As snprintf. */
size_t lp_recipe_print(const lp_recipe *recipe, char *buffer, size_t n);

#endif
