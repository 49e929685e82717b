/* Mixtures as the plan asks them. */
#ifndef LP_QUANTIZE_MIXTURE_H
#define LP_QUANTIZE_MIXTURE_H

#include <lowp/gguf.h>
#include <lowp/quantize.h>

/* The format of a matrix of the model. */
const lp_packing *lp_mixture_choose(const lp_mixture *mixture, const lp_gguf *source, const lp_tensor *tensor);

#endif
