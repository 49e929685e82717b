/* Quantize a file: fewer bits for every matrix. */
#ifndef LOWP_QUANTIZE_H
#define LOWP_QUANTIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/calibrate.h>
#include <lowp/format.h>
#include <lowp/gguf.h>
#include <lowp/model.h>
#include <lowp/pool.h>
#include <lowp/progress.h>
#include <lowp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

/* How codes are chosen. */
typedef enum lp_search {
    LP_SEARCH_REFERENCE, /* the format's reference search: ggml's, with importance where given */
    LP_SEARCH_RTN        /* plain rounding to nearest with the scale that covers the block */
} lp_search;

/* Encodes n_rows rows of k float32 values each into dst (lp_packing_tensor_bytes). Formats of our own are fitted: scales
 * and offsets by trial and least squares, in turn with the codes, so that the weighted squared error is small. importance: [k] weights >= 0
 * per column, or NULL. Errors: LP_USAGE (k no multiple of the block, packing cannot be encoded), LP_INPUT (a value is
 * not finite, or a scale would be infinite: the index is in the text). */
LP_API lp_status lp_encode_rows(const lp_packing *packing, lp_search search, const float *src, int64_t n_rows, int64_t k,
                                const float *importance, void *dst);

/* A rule: tensors whose name matches the glob (* and ?) get this format. The first match counts. */
typedef struct lp_tensor_rule {
    const char *glob;
    const lp_packing *packing;
} lp_tensor_rule;

/* A mixture: a format per role and layer, named as llama.cpp names them ("q4_k_m"). */
typedef struct lp_mixture lp_mixture;
LP_API int lp_mixture_count(void);
LP_API const lp_mixture *lp_mixture_at(int index); /* 0 .. count-1 */
LP_API const lp_mixture *lp_mixture_by_name(const char *name); /* case is ignored; NULL: unknown */
LP_API const char *lp_mixture_name(const lp_mixture *mixture);
LP_API const lp_packing *lp_mixture_base(const lp_mixture *mixture); /* the format of most of its matrices */
LP_API uint32_t lp_mixture_file_type(const lp_mixture *mixture); /* general.file_type of such a file */

/* A published method: a name for a recipe. */
typedef struct lp_method {
    const char *name;
    const char *recipe;
    const char *source; /* where it comes from, one line */
} lp_method;
LP_API int lp_method_count(void);
LP_API const lp_method *lp_method_at(int index); /* 0 .. count-1 */
LP_API const lp_method *lp_method_by_name(const char *name); /* case is ignored; NULL: unknown */

/* A stage of recipes: "name(parameter=value,...)"; stages are joined by +. */
typedef struct lp_stage {
    const char *name;
    const char *note; /* what it does, with its parameters and their defaults */
} lp_stage;
LP_API int lp_stage_count(void);
LP_API lp_stage lp_stage_at(int index); /* 0 .. count-1, in the order in which they may stand */

/* Whether a recipe is well formed, and whether it needs a calibration text. Errors: LP_USAGE. */
LP_API lp_status lp_recipe_check(const char *recipe, bool *needs_calibration);

typedef struct lp_quantize_options {
    const lp_packing *packing;   /* for every matrix, embedding and head included; 1-D tensors stay F32 */
    const lp_mixture *mixture;   /* chooses instead of packing, or NULL */
    lp_search search;
    const lp_stats *stats;       /* importance, or NULL */
    const char *recipe;          /* stages or a method, "gptq(damp=0.01)+descend"; NULL: search above */
    const lp_model *model;       /* the source as a model; a recipe with calibration needs it and the text */
    const char *calibration;     /* [n_calibration] text */
    size_t n_calibration;
    int64_t calibration_context, calibration_windows; /* tokens per window, windows at most; 0: 512, 128 */
    const lp_tensor_rule *rules; /* [n_rules] */
    int n_rules;                 /* a rule that matches no tensor is LP_USAGE */
    bool force;                  /* overwrite */
    bool dry_run;                /* plan and sizes only */
    lp_pool *pool;
} lp_quantize_options;

typedef struct lp_quantize_row {
    const char *name;
    int n_dims;
    int64_t dim[4];
    const lp_packing *source, *packing;
    const char *fallback;  /* NULL, or why the packing is not the one asked for */
    double error;          /* relative rms error against the decoded source; 0 if copied */
    uint64_t n_bytes;
    bool importance;       /* whether weights were used */
    const char *method;    /* how codes were chosen: "gptq", "reference", ...; "" if copied */
} lp_quantize_row;

typedef struct lp_quantize_result {
    lp_quantize_row *rows; /* [n_rows], directory order */
    int64_t n_rows;
    uint64_t n_bytes;          /* of the file */
    uint64_t n_tensor_bytes;
    int64_t n_parameters;
    double bits_per_weight, file_bits_per_weight;
    double seconds;
    uint64_t peak_bytes;       /* peak resident memory of the process */
    char sha256[65];           /* of the file; "" on a dry run */
    bool requantized;          /* some source weights were not float */
} lp_quantize_result;

/* Streams tensor by tensor: memory is a few rows, whatever the model. The file is byte-stable: same source, options and
 * version give the same bytes for any number of threads and any ISA. */
LP_API lp_status lp_quantize(const lp_gguf *source, const char *path, const lp_quantize_options *options,
                             const lp_progress *progress, lp_quantize_result *result);
LP_API void lp_quantize_result_free(lp_quantize_result *result);

/* ---- verify ------------------------------------------------------------------------------------------------------ */

/* Called once per problem: item is a key or tensor name, or "". */
typedef void (*lp_problem_fn)(void *context, const char *item, const char *problem);

/* Everything that a loader checks, and every scale and float weight finite. LP_CHECK if a problem was reported,
 * LP_INPUT if the container cannot be parsed. */
LP_API lp_status lp_verify(const char *path, lp_pool *pool, const lp_progress *progress, lp_problem_fn report, void *context);

#ifdef __cplusplus
}
#endif
#endif
