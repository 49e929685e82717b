/* Containers: between GGUF files and folders of safetensors, and changes of metadata in place. */
#ifndef LOWP_CONVERT_H
#define LOWP_CONVERT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/progress.h>
#include <lowp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lp_convert_options {
    bool force;           /* replace what exists */
    bool dry_run;         /* everything but writing */
    uint64_t shard_bytes; /* GGUF: begin another file before its tensors exceed this; 0: one file */
} lp_convert_options;

typedef struct lp_convert_result {
    bool is_folder;       /* OUT is a folder of safetensors; else GGUF */
    int n_files;
    int64_t n_tensors;
    uint64_t n_bytes;     /* of all files written */
} lp_convert_result;

/* Writes source (whatever lp_container_open takes) to path: as GGUF if source is a folder or path ends with ".gguf", else
 * as a folder with model.safetensors, config.json, tokenizer.json and tokenizer_config.json. Tensors keep their bytes;
 * vectors of 16 bits are F32 in GGUF and come back as they were. Errors: LP_UNSUPPORTED naming what the other container
 * cannot hold (quantized types, an architecture, a tokenizer); LP_USAGE if path exists. */
LP_API lp_status lp_convert(const char *source, const char *path, const lp_convert_options *options,
                            const lp_progress *progress, lp_convert_result *result);

/* A change of metadata. The type of a key that exists is kept. */
typedef struct lp_key_change {
    const char *key;
    const char *type;  /* of a new key: u8 ... f64, bool, string; NULL: the key must exist */
    const char *value; /* as text; NULL: the key is removed */
} lp_key_change;

/* Changes scalar keys and strings of the GGUF file at path: in place where every value has as many bytes as before, else
 * the file is written again. Without force only what tells about a model may be changed: general.* but architecture,
 * alignment, file_type and quantization_version, tokenizer.chat_template, and keys that no program reads.
 * *in_place tells how. Errors: LP_USAGE (unknown key, a value that is none of its type, an array), LP_INPUT. */
LP_API lp_status lp_gguf_edit(const char *path, const lp_key_change *changes, size_t n, bool force, bool dry_run,
                              bool *in_place);

#ifdef __cplusplus
}
#endif
#endif
