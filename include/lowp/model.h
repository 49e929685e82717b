/* Models: a file's metadata and tensors as a graph that can run. */
#ifndef LOWP_MODEL_H
#define LOWP_MODEL_H

#include <stdint.h>

#include <lowp/gguf.h>
#include <lowp/progress.h>
#include <lowp/status.h>
#include <lowp/tokenizer.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lp_model lp_model;

/* Shapes, in the field's letters. */
typedef struct lp_model_info {
    const char *architecture; /* "llama", "qwen2", ... */
    const char *name;         /* general.name, or "" */
    int64_t n_context;        /* longest context that it was trained for */
    int64_t n_vocab;          /* V: rows of the token embedding */
    int64_t n_embd;           /* E */
    int64_t n_layer;          /* L */
    int64_t n_head, n_head_kv; /* H, Hkv */
    int64_t head_size;        /* D */
    int64_t n_ffn;            /* F */
    double rms_epsilon, rope_base;
    int64_t n_parameters;     /* values of all tensors */
    uint64_t n_tensor_bytes, n_file_bytes;
} lp_model_info;

/* path: a GGUF file (the first of a split one), a folder with model.safetensors (or shards and their index), config.json
 * and tokenizer.json, or "embedded" for the model inside the program. Checks shapes against the metadata.
 * Errors: LP_INPUT; LP_UNSUPPORTED (architecture, pre-tokenizer) naming what it is and what is known. */
LP_API lp_status lp_model_open(const char *path, lp_model **out);
LP_API lp_status lp_model_open_memory(const void *data, size_t n, const char *name, lp_model **out);
LP_API void lp_model_close(lp_model *model); /* NULL is allowed */

LP_API const lp_model_info *lp_model_get_info(const lp_model *model);
LP_API const lp_gguf *lp_model_gguf(const lp_model *model);
LP_API const lp_tokenizer *lp_model_tokenizer(const lp_model *model);

/* Opens a container without demanding that it is a model: split files, folders and "embedded" work too. A folder reads as
 * the GGUF file that lp_convert would write. */
LP_API lp_status lp_container_open(const char *path, lp_gguf **out);

/* Texts inside the program: "embedded", "embedded-calibration". NULL: unknown name. */
LP_API const char *lp_embedded_text(const char *name, size_t *n);

/* Architectures that the builder knows, as a list for messages: "llama, qwen2, ...". */
LP_API const char *lp_model_architectures(void);

/* Writes a Llama of random weights N(0, 0.02), F16, norms 1, with a byte vocabulary: shape is "1.1b" (22 layers, width
 * 2048, 32 heads, 4 key/value heads, FFN 5632, vocabulary 32000, untied) or "tiny" (2 layers, width 64). A function of
 * seed only. */
LP_API lp_status lp_model_write_random(const char *shape, uint64_t seed, const char *path, bool force,
                                       const lp_progress *progress);

#ifdef __cplusplus
}
#endif
#endif
