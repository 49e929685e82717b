/* What the files of the Python extension share. Limited API of Python 3.11: one binary serves all later versions. */
#ifndef LOWP_PYTHON_BINDING_H
#define LOWP_PYTHON_BINDING_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdbool.h>

#include <lowp/lowp.h>

/* ---- errors (module.c) ------------------------------------------------------------------------------------------- */

/* Sets the exception that belongs to a status, with lp_error()'s text unless one is set already. Returns NULL. */
PyObject *binding_fail(lp_status status);
/* Sets lowp.UsageError. Returns NULL. */
PyObject *binding_usage(const char *format, ...);

/* ---- arrays (array.c) -------------------------------------------------------------------------------------------- */

enum { BINDING_MOST_DIMS = 64 };

typedef enum binding_kind { BINDING_F32, BINDING_F64, BINDING_F16, BINDING_BF16, BINDING_U8, BINDING_U16 } binding_kind;

/* Someone else's array, through the buffer protocol or DLPack; nothing is copied. */
typedef struct binding_view {
    const char *data; /* of the first element */
    binding_kind kind;
    bool swapped;     /* big-endian */
    int n_dims;
    Py_ssize_t dim[BINDING_MOST_DIMS], stride[BINDING_MOST_DIMS]; /* strides in bytes */
    Py_ssize_t n;     /* elements */
    Py_buffer buffer; /* buffer.obj: NULL if it came through DLPack */
    PyObject *capsule;
} binding_view;

/* element: NULL, or the name of the format whose codes the integers of the array are ("bf16", "e4m3").
 * false: an exception is set. */
bool binding_open(PyObject *array, const char *element, binding_view *view);
void binding_close(binding_view *view);
size_t binding_item_size(const binding_view *view);
bool binding_contiguous(const binding_view *view); /* and in this machine's byte order */

/* The values as contiguous float32: the array's own memory where it is that, else a copy in *owned (free it). Values of
 * other kinds of at most 32 bits are widened exactly; float64 is refused, as a second rounding would follow. NULL: an
 * exception is set. */
const float *binding_floats(const binding_view *view, const char *element, float **owned);
/* The bytes of a contiguous copy, likewise. */
const void *binding_bytes(const binding_view *view, void **owned);

/* A new array of zeros that owns its memory and exports it; format: of the struct module, one letter. */
PyObject *binding_array_new(const char *format, size_t item_size, int n_dims, const Py_ssize_t *dim);
void *binding_array_data(PyObject *array);

/* ---- long work (module.c) ---------------------------------------------------------------------------------------- */

/* Ctrl-C stops the work; callable(what, done, total) is told where it stands, unless None. */
typedef struct binding_progress {
    lp_progress progress;
    PyObject *callable;
} binding_progress;
void binding_progress_init(binding_progress *progress, PyObject *callable);

/* Whether a number of threads is one, 0 .. 1024. false: an exception is set. */
bool binding_threads(int n);
/* A pool of n threads, 0: one per processor. false: an exception is set. */
bool binding_pool(int n_threads, lp_pool **pool);

/* ---- types and functions of the other files ---------------------------------------------------------------------- */

extern PyType_Spec binding_array_spec, binding_format_spec, binding_model_spec, binding_generation_spec;
extern PyTypeObject *binding_array_type, *binding_model_type, *binding_generation_type;
extern PyMethodDef binding_array_methods[], binding_format_methods[], binding_pack_methods[], binding_round_methods[],
    binding_model_methods[];

typedef struct binding_model {
    PyObject_HEAD
    lp_model *model;
} binding_model;

/* The packing of a name or text, for lp_packing_free; NULL: an exception is set, which suggests the nearest. */
const lp_packing *binding_packing(const char *name);
bool binding_activation(const char *name, lp_activation *out); /* "default" "f32" "i8" */

/* A sequence of integers as ids below n_vocab; free(*ids). false: an exception is set. */
bool binding_ids(PyObject *object, int64_t n_vocab, int32_t **ids, size_t *n);

/* Model._generation(ids, ...) (generate.c) */
PyObject *binding_generate(PyObject *model, PyObject *args, PyObject *kwargs);

/* tp_dealloc's last act for types made from specs */
void binding_free(PyObject *self);

#endif
