/* GGUF files: read (versions 2 and 3, mapped or from memory) and written (version 3). */
#ifndef LOWP_GGUF_H
#define LOWP_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/status.h>
#include <lowp/tensor.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lp_gguf lp_gguf;

/* Bytes that are not NUL-terminated; they lie in the mapping. */
typedef struct lp_string {
    const char *data;
    size_t n;
} lp_string;

typedef enum lp_gguf_type {
    LP_GGUF_U8, LP_GGUF_I8, LP_GGUF_U16, LP_GGUF_I16, LP_GGUF_U32, LP_GGUF_I32, LP_GGUF_F32, LP_GGUF_BOOL,
    LP_GGUF_STRING, LP_GGUF_ARRAY, LP_GGUF_U64, LP_GGUF_I64, LP_GGUF_F64, LP_GGUF_TYPE_COUNT
} lp_gguf_type;

/* One key and its value, as stored. For an array, element is the type of its n_elements elements and raw is where they
 * begin; a scalar has n_elements 1. raw has n_raw bytes, unaligned, little-endian; every string in it begins with its
 * u64 length. */
typedef struct lp_gguf_key {
    lp_string key;
    lp_gguf_type type;
    lp_gguf_type element; /* arrays: of the elements; scalars: = type */
    uint64_t n_elements;
    const uint8_t *raw;
    size_t n_raw;
} lp_gguf_key;

/* Maps the file and checks everything that the container promises: sizes, alignment, offsets, duplicate names, types.
 * Nothing is allocated beyond a small multiple of the directory. Errors: LP_INPUT naming file, item and reason. */
LP_API lp_status lp_gguf_open(const char *path, lp_gguf **out);

/* The same from n bytes that the caller keeps until lp_gguf_close. name stands for the path in messages. */
LP_API lp_status lp_gguf_open_memory(const void *data, size_t n, const char *name, lp_gguf **out);
LP_API void lp_gguf_close(lp_gguf *gguf); /* NULL is allowed */

LP_API const char *lp_gguf_path(const lp_gguf *gguf); /* path, or the name given for memory */
LP_API uint32_t lp_gguf_version(const lp_gguf *gguf);
LP_API uint64_t lp_gguf_size(const lp_gguf *gguf); /* bytes of the file */

/* LP_INPUT if the mapped file was truncated or failed while being read (its missing pages then read as zeros): call
 * after using tensor data and before trusting what was computed. */
LP_API lp_status lp_gguf_check_intact(const lp_gguf *gguf);

/* Tells the system that the pages of rows [first_row, last_row) are not needed for now (no effect in memory). */
LP_API void lp_gguf_drop_pages(const lp_gguf *gguf, const lp_tensor *tensor, int64_t first_row, int64_t last_row);

/* Warnings collected while opening (trailing bytes, ...): one per call, index 0 ..; NULL after the last. */
LP_API const char *lp_gguf_warning(const lp_gguf *gguf, int index);

LP_API int64_t lp_gguf_key_count(const lp_gguf *gguf);
LP_API const lp_gguf_key *lp_gguf_key_at(const lp_gguf *gguf, int64_t index); /* file order */
LP_API const lp_gguf_key *lp_gguf_find(const lp_gguf *gguf, const char *key); /* NULL: absent */

/* Typed reads of one key. If the key is absent, *value is left as it is and LP_OK returned unless required. Integers of
 * any width and sign are accepted where they fit; a float key takes f32 or f64. Errors: LP_INPUT with file and key. */
LP_API lp_status lp_gguf_get_i64(const lp_gguf *gguf, const char *key, bool required, int64_t *value);
LP_API lp_status lp_gguf_get_f64(const lp_gguf *gguf, const char *key, bool required, double *value);
LP_API lp_status lp_gguf_get_bool(const lp_gguf *gguf, const char *key, bool required, bool *value);
LP_API lp_status lp_gguf_get_string(const lp_gguf *gguf, const char *key, bool required, lp_string *value);

/* general.architecture; of a file with tensors in formats of our own, where that is "lowp", lowp.base_architecture. */
LP_API lp_status lp_gguf_get_architecture(const lp_gguf *gguf, bool required, lp_string *name);

/* Element of an array key (index < n_elements); strings must be walked with lp_gguf_strings. i64 takes bools too, as 0
 * and 1. Errors name the key alone: LP_USAGE (index), LP_INPUT (type, or above 2^63 - 1). */
LP_API lp_status lp_gguf_array_i64(const lp_gguf_key *key, uint64_t index, int64_t *value);
LP_API lp_status lp_gguf_array_f64(const lp_gguf_key *key, uint64_t index, double *value);

/* Fills out[n_elements] with the strings of an array of strings. */
LP_API lp_status lp_gguf_strings(const lp_gguf_key *key, lp_string *out);

LP_API int64_t lp_gguf_tensor_count(const lp_gguf *gguf);
LP_API const lp_tensor *lp_gguf_tensor_at(const lp_gguf *gguf, int64_t index); /* directory order */
LP_API const lp_tensor *lp_gguf_find_tensor(const lp_gguf *gguf, const char *name); /* NULL: absent */

/* ---- writing ----------------------------------------------------------------------------------------------------- */

typedef struct lp_gguf_writer lp_gguf_writer;

/* Begins a file that appears under its final name only in lp_gguf_writer_finish: bytes go to `.NAME.lowp-tmp` beside
 * it. A symbolic link is resolved first. Errors: LP_USAGE if path exists and not force, or exists and is no regular
 * file; LP_INPUT if its folder does not exist. */
LP_API lp_status lp_gguf_writer_create(const char *path, bool force, lp_gguf_writer **out);

/* Keys are written in the order of their first setting; setting a key again replaces its value in place. */
LP_API lp_status lp_gguf_writer_copy_key(lp_gguf_writer *writer, const lp_gguf_key *key);
LP_API lp_status lp_gguf_writer_set_u16(lp_gguf_writer *writer, const char *key, uint16_t value);
LP_API lp_status lp_gguf_writer_set_i32(lp_gguf_writer *writer, const char *key, int32_t value);
LP_API lp_status lp_gguf_writer_set_u32(lp_gguf_writer *writer, const char *key, uint32_t value);
LP_API lp_status lp_gguf_writer_set_u64(lp_gguf_writer *writer, const char *key, uint64_t value);
LP_API lp_status lp_gguf_writer_set_f32(lp_gguf_writer *writer, const char *key, float value);
LP_API lp_status lp_gguf_writer_set_bool(lp_gguf_writer *writer, const char *key, bool value);
LP_API lp_status lp_gguf_writer_set_string(lp_gguf_writer *writer, const char *key, const char *value);
LP_API lp_status lp_gguf_writer_set_strings(lp_gguf_writer *writer, const char *key, const lp_string *value, uint64_t n);
LP_API lp_status lp_gguf_writer_set_i32s(lp_gguf_writer *writer, const char *key, const int32_t *value, uint64_t n);
LP_API lp_status lp_gguf_writer_set_f32s(lp_gguf_writer *writer, const char *key, const float *value, uint64_t n);
LP_API lp_status lp_gguf_writer_set_u8s(lp_gguf_writer *writer, const char *key, const uint8_t *value, uint64_t n);

/* Declares a tensor; directory order is the order of calls. dim fastest first. A packing of our own sets the keys that tell
 * about it, and makes general.architecture "lowp": set the other keys before. */
LP_API lp_status lp_gguf_writer_add_tensor(lp_gguf_writer *writer, const char *name, int n_dims, const int64_t *dim, const lp_packing *packing);

/* Bytes that the finished file will have, and bytes before the tensor data. */
LP_API uint64_t lp_gguf_writer_size(const lp_gguf_writer *writer);

/* Writes header and directory after checking that the disk has room; then the data of the tensors in order, in pieces of
 * any size. Errors: LP_RESOURCE (disk full, write failed). */
LP_API lp_status lp_gguf_writer_begin_data(lp_gguf_writer *writer);
LP_API lp_status lp_gguf_writer_write(lp_gguf_writer *writer, const void *data, size_t n);

/* Checks that every declared byte came, fsyncs, renames. sha256: 65 bytes for the file's digest in hex, or NULL. The
 * writer is freed in every case; on error the temporary file is removed. */
LP_API lp_status lp_gguf_writer_finish(lp_gguf_writer *writer, char *sha256);

/* Removes the temporary file and frees the writer; NULL is allowed. */
LP_API void lp_gguf_writer_abort(lp_gguf_writer *writer);

#ifdef __cplusplus
}
#endif
#endif
