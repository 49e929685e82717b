/* What the files of this room share of an opened GGUF file and of a writer. */
#ifndef LP_FILE_GGUF_H
#define LP_FILE_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/gguf.h>

#include "base/map.h"
#include "base/output.h"
#include "file/names.h"

enum {
    LP_GGUF_HEADER = 24,              /* magic, version, two counts */
    LP_GGUF_MAX_KEY = 65535,          /* bytes of a key */
    LP_GGUF_MAX_NAME = 64,            /* bytes of a tensor's name */
    LP_GGUF_MAX_STRING = 1 << 20,     /* bytes of a string value outside tokenizer.* */
    LP_GGUF_MAX_ALIGNMENT = 1 << 20,
    LP_GGUF_MAX_SHARDS = 512,
    LP_GGUF_ALIGNMENT = 32            /* where general.alignment is absent */
};

struct lp_gguf {
    char *path;
    const uint8_t *data; /* the whole file */
    uint64_t n_bytes;
    lp_map *map;         /* [n_maps] files that tensor data lies in */
    int n_maps;
    const uint8_t *const *part; /* [n_tensors] data of each tensor where it does not follow the directory; else NULL */
    void *owned[3];      /* memory that is freed at the end */
    uint32_t version;
    uint32_t alignment;
    uint64_t data_start; /* of the tensor data, bytes from the file's start */

    lp_gguf_key *key;    /* [n_keys] */
    uint64_t n_keys, key_capacity;
    lp_names key_names;  /* number = index in key */

    lp_tensor *tensor;   /* [n_tensors] */
    uint64_t n_tensors;
    char *name_bytes;    /* the tensors' names, each with its NUL */
    const lp_packing **packing; /* [n_packings] owned: formats of our own that tensors have */
    size_t n_packings;
    lp_names tensor_names;

    char warning[2][160];
    int n_warnings;
};

/* Bytes of one value of a type; 0 for strings, arrays and unknown types. */
size_t lp_gguf_type_bytes(uint32_t type);
const char *lp_gguf_type_name(uint32_t type); /* "u8", ..., "unknown" */

/* Integer or float value at p; false if the type is no integer (no float), or an integer does not fit. */
bool lp_gguf_integer(lp_gguf_type type, const uint8_t *p, int64_t *value);
bool lp_gguf_float(lp_gguf_type type, const uint8_t *p, double *value);

/* A GGUF file that is put together in memory: a header and directory, and for each tensor the place of its data. */
typedef struct lp_gguf_parts {
    uint8_t *image;        /* n_image bytes, as lp_gguf_writer_header makes them; from malloc */
    size_t n_image;
    const uint8_t **data;  /* [number of tensors] in the order of the directory; from malloc */
    lp_map *map;           /* [n_maps] the files that data points into; from malloc */
    int n_maps;
    void *buffer;          /* what else data points into, or NULL; from malloc */
} lp_gguf_parts;

/* Opens it under a name for messages. Takes the parts over, also on error. */
lp_status lp_gguf_open_parts(lp_gguf_parts *parts, const char *name, lp_gguf **out);
void lp_gguf_parts_free(lp_gguf_parts *parts);

/* The whole of a split model from its first file, or the file itself if it is not split. Takes first over, also on
 * error. */
lp_status lp_gguf_join(lp_gguf *first, lp_gguf **out);

/* Bytes of the file from `at` < its size on: *n is lowered to as many as lie together. What was put together reads as the
 * file that a writer would make of it. */
const uint8_t *lp_gguf_bytes(const lp_gguf *gguf, uint64_t at, uint64_t *n);

/* The pages of those bytes are not needed for now. */
void lp_gguf_drop_bytes(const lp_gguf *gguf, const uint8_t *bytes, size_t n);

/* gguf_formats.c. Tensors in formats of our own, where general.architecture says that there are some: shape and packing as
 * their keys describe them. */
lp_status lp_gguf_read_formats(lp_gguf *gguf);

/* Whether a key belongs to such tensors: a file that is written gets its own. */
bool lp_gguf_is_format_key(lp_string key);

/* The keys of one such tensor. */
lp_status lp_gguf_writer_set_format(lp_gguf_writer *writer, const char *name, int n_dims, const int64_t *dim,
                                    const lp_packing *packing);

lp_status lp_gguf_writer_copy_string(lp_gguf_writer *writer, const char *key, lp_string value);

/* Makes general.architecture `name`, and what it was the value of the key `kept`; nothing if it is so already. */
lp_status lp_gguf_writer_change_architecture(lp_gguf_writer *writer, const char *name, const char *kept);

/* Adds a line to what lp_gguf_warning tells, if there is room. */
void lp_gguf_warn(lp_gguf *gguf, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Bytes of a tensor; false if the shape is none: a dimension negative, the number of values above int64, the first
 * dimension no multiple of the block, or more bytes than 2^63 - 1. */
bool lp_gguf_tensor_bytes(const lp_packing *packing, int n_dims, const int64_t *dim, uint64_t *n_bytes);

/* A writer without a file: for sizes (a dry run) and headers alone. Freed by lp_gguf_writer_abort. */
lp_status lp_gguf_writer_create_dry(lp_gguf_writer **out);

/* Header and directory of what was declared, padded to where the data begins: *n bytes to be freed. */
lp_status lp_gguf_writer_header(const lp_gguf_writer *writer, uint8_t **bytes, size_t *n);

/* lp_gguf_writer_finish but for the rename, for files that belong together: lp_output_finish_all ends them. Frees the writer in every
 * case; *out: NULL on error. beside: as for lp_output_prepare. */
lp_status lp_gguf_writer_prepare(lp_gguf_writer *writer, const lp_output *beside, lp_output **out);

#endif
