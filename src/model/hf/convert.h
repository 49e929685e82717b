/* Writing a folder. */
#ifndef LP_MODEL_HF_CONVERT_H
#define LP_MODEL_HF_CONVERT_H

#include <lowp/convert.h>

#include "model/hf/hf.h"

/* Errors: LP_UNSUPPORTED naming what a folder cannot hold. result is set in every case. */
lp_status lp_hf_export(const lp_gguf *gguf, const char *path, const lp_convert_options *options, const lp_progress *progress,
                       lp_convert_result *result);

#endif
