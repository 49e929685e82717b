/* Safetensors: one file, or a folder of shards with an index. Card: formats/safetensors-container.md. */
#ifndef LP_FILE_SAFETENSORS_H
#define LP_FILE_SAFETENSORS_H

#include <lowp/format.h>
#include <lowp/status.h>

#include "base/map.h"
#include "file/json.h"
#include "file/names.h"

enum { LP_SAFETENSORS_MAX_HEADER = 100000000, LP_SAFETENSORS_MAX_DIMS = 8 };

/* A dtype: a row of the format's list. */
typedef struct lp_safetensors_type {
    const char *name;    /* "BF16" */
    int bits;            /* of a value */
    const char *packing; /* the GGUF type that has the same bytes, or NULL */
} lp_safetensors_type;

/* In the order by which the reference writer sorts. */
extern const lp_safetensors_type lp_safetensors_types[];
int lp_safetensors_type_count(void);

typedef struct lp_safetensor {
    lp_string name;      /* may hold anything but NUL */
    const lp_safetensors_type *type;
    int n_dims;          /* 0 .. 8 */
    int64_t dim[LP_SAFETENSORS_MAX_DIMS]; /* slowest first, as in the file */
    const uint8_t *data;
    uint64_t begin, n_bytes; /* begin: from the start of the data buffer */
} lp_safetensor;

typedef struct lp_safetensors {
    char *path;
    lp_map map;
    const uint8_t *data; /* the whole file */
    uint64_t n_file_bytes, data_start;
    lp_json_document header;
    lp_safetensor *tensor; /* [n], in the header's order */
    uint32_t n;
    lp_names names;        /* number = index in tensor */
} lp_safetensors;

/* Everything that the container promises is checked. Errors: LP_INPUT naming file and item; LP_UNSUPPORTED for more than
 * 8 dimensions; LP_RESOURCE. */
lp_status lp_safetensors_open(const char *path, lp_safetensors **out);
lp_status lp_safetensors_open_memory(const void *data, size_t n, const char *name, lp_safetensors **out);
void lp_safetensors_close(lp_safetensors *file); /* NULL is allowed */

/* All tensors of a folder: of model.safetensors.index.json and its shards, or of model.safetensors. */
typedef struct lp_safetensors_folder {
    lp_safetensors **file; /* [n_files] */
    uint32_t n_files;
    const lp_safetensor **tensor; /* [names.n], by number */
    lp_names names;
} lp_safetensors_folder;

lp_status lp_safetensors_folder_open(const char *path, lp_safetensors_folder *out);
void lp_safetensors_folder_close(lp_safetensors_folder *folder);
const lp_safetensor *lp_safetensors_folder_find(const lp_safetensors_folder *folder, const char *name); /* NULL: absent */

/* ---- writing ----------------------------------------------------------------------------------------------------- */

/* A tensor to be written; sorted by lp_safetensors_header. */
typedef struct lp_safetensor_declared {
    const char *name;
    const lp_safetensors_type *type;
    int n_dims;
    int64_t dim[4]; /* slowest first */
    uint64_t n_bytes;
    const void *user; /* the caller's */
} lp_safetensor_declared;

/* Sorts as the reference writer does (larger types first, then by name) and makes the length and the padded header:
 * *n bytes to be freed. metadata: further members of __metadata__ as JSON, each with a comma before it. */
lp_status lp_safetensors_header(lp_safetensor_declared *tensor, size_t n_tensors, const char *metadata, char **bytes, size_t *n);

/* A text that grows, for writing JSON. failed: out of memory, and everything after it is dropped. */
typedef struct lp_json_text {
    char *data;
    size_t n, capacity;
    bool failed;
} lp_json_text;

void lp_json_put(lp_json_text *text, const char *bytes, size_t n);
void lp_json_puts(lp_json_text *text, const char *s);
void lp_json_printf(lp_json_text *text, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* In quotes and escaped; bytes that are not UTF-8 become U+FFFD. */
void lp_json_quote(lp_json_text *text, const char *bytes, size_t n);

#endif
