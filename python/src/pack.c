/* Arrays to packed codes and back. */
#include "binding.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const lp_packing *binding_packing(const char *name)
{
    const lp_packing *packing = lp_packing_by_name(name);
    if (packing) return packing;
    lp_format *format;
    lp_status status = lp_format_parse(name, &format);
    if (status) return binding_fail(status), NULL;
    packing = format->packing;
    for (int i = 0; !packing && i < lp_packing_count(); i++) {
        lp_format *other;
        if (!*lp_packing_at(i)->text || lp_format_parse(lp_packing_at(i)->text, &other)) continue;
        const lp_packing *of_other = other->packing;
        other->packing = NULL;
        if (lp_format_equal(format, other)) packing = lp_packing_at(i);
        other->packing = of_other;
        lp_format_free(other);
    }
    status = packing ? LP_OK : lp_packing_create(format, &packing); /* planes of our own */
    lp_format_free(format);
    return status ? binding_fail(status), NULL : packing;
}

/* Rows are shared out among threads when there are many values. */
enum { VALUES_PER_THREAD = 1 << 16 };

typedef struct work {
    const lp_packing *packing;
    lp_search search;
    const float *values, *importance;
    float *decoded;
    char *codes;
    int64_t n_rows, k;
    size_t row_bytes; /* 0: planes of the whole */
    bool failed;
} work;

/* Whether rows can be shared out; a format of our own has planes that all rows share. */
static bool has_rows(const lp_packing *packing) { return !packing->format; }

static void encode_part(void *context, int thread, int n_threads)
{
    work *w = context;
    int64_t first, last;
    lp_pool_part(w->n_rows, thread, n_threads, &first, &last);
    if (first < last && lp_encode_rows(w->packing, w->search, w->values + first * w->k, last - first, w->k, w->importance,
                                       w->codes + (size_t)first * w->row_bytes))
        __atomic_store_n(&w->failed, true, __ATOMIC_RELAXED);
}

static void decode_part(void *context, int thread, int n_threads)
{
    work *w = context;
    int64_t first, last;
    lp_pool_part(w->n_rows, thread, n_threads, &first, &last);
    uint64_t n_bytes = 0;
    (void)lp_packing_tensor_bytes(w->packing, w->k, w->n_rows, &n_bytes);
    lp_tensor tensor = {.name = "array", .n_dims = 2, .dim = {w->k, w->n_rows, 1, 1}, .packing = w->packing,
                        .data = (const uint8_t *)w->codes, .n_bytes = (size_t)n_bytes};
    for (int64_t i = first; i < last; i++) lp_tensor_decode_row(&tensor, i, w->decoded + i * w->k);
}

static lp_status run(work *w, lp_pool_fn part, int n_threads)
{
    int64_t n = w->n_rows * w->k / VALUES_PER_THREAD, most = n_threads ? n_threads : sysconf(_SC_NPROCESSORS_ONLN);
    if (n > w->n_rows) n = w->n_rows;
    if (n > most || !has_rows(w->packing)) n = has_rows(w->packing) ? most : 1;
    lp_pool *pool = NULL;
    lp_status status = n > 1 ? lp_pool_create((int)n, &pool) : LP_OK;
    if (status) return status;
    lp_pool_run(pool, part, w);
    lp_pool_destroy(pool);
    /* the message, with the place in the whole array, is made on this thread */
    return w->failed ? lp_encode_rows(w->packing, w->search, w->values, w->n_rows, w->k, w->importance, w->codes) : LP_OK;
}

static PyObject *encode_view(const binding_view *view, const char *element, const lp_packing *packing, lp_search search, const float *importance,
                             Py_ssize_t n_importance, int n_threads)
{
    if (!view->n_dims) return binding_usage("a 0-d array has no rows to quantize: give x.reshape(1)");
    Py_ssize_t k = view->dim[view->n_dims - 1], dim[BINDING_MOST_DIMS];
    if (k % packing->n_values)
        return binding_usage("the last dimension is %zd, no multiple of the %d values of a block of %s", k, packing->n_values, packing->name);
    if (importance && n_importance != k) return binding_usage("importance has %zd values, the rows have %zd", n_importance, k);
    work w = {.packing = packing, .search = search, .importance = importance, .k = k, .n_rows = k ? view->n / k : 0,
              .row_bytes = has_rows(packing) ? lp_packing_row_bytes(packing, k) : 0};
    uint64_t n_bytes = 0;
    if (!has_rows(packing) && view->n && !lp_packing_tensor_bytes(packing, k, w.n_rows, &n_bytes))
        return binding_usage("%lld rows of %zd values cannot be stored as %s", (long long)w.n_rows, k, packing->name);
    memcpy(dim, view->dim, sizeof dim);
    dim[view->n_dims - 1] = (Py_ssize_t)w.row_bytes;
    if (!has_rows(packing)) dim[0] = (Py_ssize_t)n_bytes;
    PyObject *out = binding_array_new("B", 1, has_rows(packing) ? view->n_dims : 1, dim);
    if (!out || !view->n) return out;
    float *owned;
    w.values = binding_floats(view, element, &owned);
    w.codes = binding_array_data(out);
    lp_status status = LP_OK;
    if (w.values) {
        Py_BEGIN_ALLOW_THREADS
        status = run(&w, encode_part, n_threads);
        Py_END_ALLOW_THREADS
        free(owned);
    }
    if (w.values && !status) return out;
    Py_DECREF(out);
    return status ? binding_fail(status) : NULL;
}

static PyObject *encode(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)self;
    static char *names[] = {"array", "format", "element", "rtn", "importance", "threads", NULL};
    PyObject *array, *weights = Py_None;
    const char *name, *element = NULL;
    int rtn = 0, n_threads = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Os|zpOi:encode", names, &array, &name, &element, &rtn, &weights, &n_threads)) return NULL;
    const lp_packing *packing = binding_threads(n_threads) ? binding_packing(name) : NULL;
    if (!packing) return NULL;
    binding_view view, importance;
    float *owned = NULL;
    const float *importance_values = NULL;
    bool weighted = weights != Py_None, opened = false, opened_weights = false;
    PyObject *result = NULL;
    if (!packing->can_encode) binding_usage("format '%s' cannot be written", packing->name);
    else opened = binding_open(array, element, &view);
    if (opened && weighted) {
        opened_weights = binding_open(weights, NULL, &importance);
        if (opened_weights) importance_values = binding_floats(&importance, NULL, &owned);
    }
    if (opened && (!weighted || importance_values))
        result = encode_view(&view, element, packing, rtn ? LP_SEARCH_RTN : LP_SEARCH_REFERENCE, importance_values,
                             weighted ? importance.n : 0, n_threads);
    free(owned);
    if (opened_weights) binding_close(&importance);
    if (opened) binding_close(&view);
    lp_packing_free(packing);
    return result;
}

/* shape NULL: rows along the last axis, as the bytes lie. */
static PyObject *decode_view(const binding_view *view, const lp_packing *packing, int n_dims, const Py_ssize_t *shape, int n_threads)
{
    if (view->kind != BINDING_U8) {
        PyErr_SetString(PyExc_TypeError, "packed codes are an array of uint8, or bytes");
        return NULL;
    }
    Py_ssize_t dim[BINDING_MOST_DIMS];
    if (shape) {
        memcpy(dim, shape, (size_t)n_dims * sizeof *dim);
    } else if (!has_rows(packing)) {
        return binding_usage("the planes of %s need a shape: dequantize(data, format, shape=...)", packing->name);
    } else if (!view->n_dims) {
        return binding_usage("a 0-d array has no rows of codes");
    } else {
        n_dims = view->n_dims;
        memcpy(dim, view->dim, sizeof dim);
        if (dim[n_dims - 1] % packing->n_bytes)
            return binding_usage("a row has %zd bytes, no multiple of the %d bytes of a block of %s", dim[n_dims - 1], packing->n_bytes, packing->name);
        dim[n_dims - 1] = dim[n_dims - 1] / packing->n_bytes * packing->n_values;
    }
    PyObject *out = binding_array_new("f", sizeof(float), n_dims, dim);
    if (!out) return NULL;
    Py_ssize_t n = 1;
    for (int i = 0; i < n_dims; i++) n *= dim[i];
    work w = {.packing = packing, .k = n_dims ? dim[n_dims - 1] : 1};
    w.n_rows = n ? n / w.k : 0;
    uint64_t n_bytes = 0;
    if (n && (!lp_packing_tensor_bytes(packing, w.k, w.n_rows, &n_bytes) || (uint64_t)view->n != n_bytes)) {
        Py_DECREF(out);
        return binding_usage("%lld rows of %lld values in %s have %llu bytes, there are %zd", (long long)w.n_rows, (long long)w.k, packing->name,
                             (unsigned long long)n_bytes, view->n);
    }
    if (!n) return out;
    w.row_bytes = has_rows(packing) ? lp_packing_row_bytes(packing, w.k) : 0;
    void *owned;
    w.decoded = binding_array_data(out);
    w.codes = (char *)(uintptr_t)binding_bytes(view, &owned);
    lp_status status = LP_OK;
    if (w.codes) {
        Py_BEGIN_ALLOW_THREADS
        status = run(&w, decode_part, n_threads);
        Py_END_ALLOW_THREADS
        free(owned);
    }
    if (w.codes && !status) return out;
    Py_DECREF(out);
    return status ? binding_fail(status) : NULL;
}

/* A tuple of sizes. false: an exception is set. */
static bool read_shape(PyObject *object, int *n_dims, Py_ssize_t *dim)
{
    Py_ssize_t size = PyTuple_Check(object) ? PyTuple_Size(object) : -1, n = 1;
    if (size < 1 || size > BINDING_MOST_DIMS) return binding_usage("a shape has 1 to %d dimensions", (int)BINDING_MOST_DIMS), false;
    *n_dims = (int)size;
    for (Py_ssize_t i = 0; i < size; i++) {
        dim[i] = PyLong_AsSsize_t(PyTuple_GetItem(object, i));
        if (dim[i] == -1 && PyErr_Occurred()) return false;
        if (dim[i] < 0 || __builtin_mul_overflow(n, dim[i], &n)) return binding_usage("a shape of these sizes is none"), false;
    }
    return true;
}

static PyObject *decode(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)self;
    static char *names[] = {"array", "format", "shape", "threads", NULL};
    PyObject *array, *shape = Py_None, *result = NULL;
    const char *name;
    int n_threads = 0, n_dims = 0;
    Py_ssize_t dim[BINDING_MOST_DIMS];
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Os|Oi:decode", names, &array, &name, &shape, &n_threads)) return NULL;
    if (!binding_threads(n_threads) || (shape != Py_None && !read_shape(shape, &n_dims, dim))) return NULL;
    const lp_packing *packing = binding_packing(name);
    binding_view view;
    if (packing && !packing->can_decode) {
        binding_usage("format '%s' stores no float values", packing->name);
    } else if (packing && binding_open(array, NULL, &view)) {
        result = decode_view(&view, packing, n_dims, shape == Py_None ? NULL : dim, n_threads);
        binding_close(&view);
    }
    lp_packing_free(packing);
    return result;
}

static PyObject *packing_of(PyObject *self, PyObject *argument)
{
    (void)self;
    const char *name = PyUnicode_AsUTF8AndSize(argument, NULL);
    const lp_packing *packing = name ? binding_packing(name) : NULL;
    PyObject *row = packing ? Py_BuildValue("(siiO)", packing->name, packing->n_values, packing->n_bytes, packing->can_encode ? Py_True : Py_False) : NULL;
    lp_packing_free(packing);
    return row;
}

PyMethodDef binding_pack_methods[] = {
    {"encode", (PyCFunction)(void (*)(void))encode, METH_VARARGS | METH_KEYWORDS,
     "encode(array, format, element=None, rtn=False, importance=None, threads=0) -> Array of uint8"},
    {"decode", (PyCFunction)(void (*)(void))decode, METH_VARARGS | METH_KEYWORDS, "decode(array, format, shape=None, threads=0) -> Array of float32"},
    {"packing", packing_of, METH_O, "packing(format) -> as packings() has it: the byte layout that stores a format."},
    {NULL, NULL, 0, NULL},
};
