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
    lp_format_free(format);
    if (!packing) binding_usage("format '%s' has no byte layout; lowp.packings() lists those that have", name);
    return packing;
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
    size_t row_bytes;
    bool failed;
} work;

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
    for (int64_t i = first; i < last; i++) lp_packing_decode(w->packing, w->codes + (size_t)i * w->row_bytes, w->k, w->decoded + i * w->k);
}

static lp_status run(work *w, lp_pool_fn part, int n_threads)
{
    int64_t n = w->n_rows * w->k / VALUES_PER_THREAD, most = n_threads ? n_threads : sysconf(_SC_NPROCESSORS_ONLN);
    if (n > w->n_rows) n = w->n_rows;
    if (n > most) n = most;
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
              .row_bytes = lp_packing_row_bytes(packing, k)};
    memcpy(dim, view->dim, sizeof dim);
    dim[view->n_dims - 1] = (Py_ssize_t)w.row_bytes;
    PyObject *out = binding_array_new("B", 1, view->n_dims, dim);
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
    if (!packing->can_encode) return binding_usage("format '%s' cannot be written", packing->name);
    binding_view view, importance;
    float *owned = NULL;
    const float *importance_values = NULL;
    if (!binding_open(array, element, &view)) return NULL;
    bool weighted = weights != Py_None;
    if (weighted && (!binding_open(weights, NULL, &importance) || !(importance_values = binding_floats(&importance, NULL, &owned)))) {
        binding_close(&view);
        return NULL;
    }
    PyObject *result = encode_view(&view, element, packing, rtn ? LP_SEARCH_RTN : LP_SEARCH_REFERENCE, importance_values,
                                   weighted ? importance.n : 0, n_threads);
    free(owned);
    if (weighted) binding_close(&importance);
    binding_close(&view);
    return result;
}

static PyObject *decode_view(const binding_view *view, const lp_packing *packing, int n_threads)
{
    if (view->kind != BINDING_U8) {
        PyErr_SetString(PyExc_TypeError, "packed codes are an array of uint8, or bytes");
        return NULL;
    }
    if (!view->n_dims) return binding_usage("a 0-d array has no rows of codes");
    Py_ssize_t n_bytes = view->dim[view->n_dims - 1], dim[BINDING_MOST_DIMS];
    if (n_bytes % packing->n_bytes)
        return binding_usage("a row has %zd bytes, no multiple of the %d bytes of a block of %s", n_bytes, packing->n_bytes, packing->name);
    work w = {.packing = packing, .k = n_bytes / packing->n_bytes * packing->n_values, .n_rows = n_bytes ? view->n / n_bytes : 0,
              .row_bytes = (size_t)n_bytes};
    memcpy(dim, view->dim, sizeof dim);
    dim[view->n_dims - 1] = (Py_ssize_t)w.k;
    PyObject *out = binding_array_new("f", sizeof(float), view->n_dims, dim);
    if (!out || !view->n) return out;
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

static PyObject *decode(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)self;
    static char *names[] = {"array", "format", "threads", NULL};
    PyObject *array;
    const char *name;
    int n_threads = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "Os|i:decode", names, &array, &name, &n_threads)) return NULL;
    const lp_packing *packing = binding_threads(n_threads) ? binding_packing(name) : NULL;
    if (!packing) return NULL;
    if (!packing->can_decode) return binding_usage("format '%s' stores no float values", packing->name);
    binding_view view;
    if (!binding_open(array, NULL, &view)) return NULL;
    PyObject *result = decode_view(&view, packing, n_threads);
    binding_close(&view);
    return result;
}

static PyObject *packing_of(PyObject *self, PyObject *argument)
{
    (void)self;
    const char *name = PyUnicode_AsUTF8AndSize(argument, NULL);
    const lp_packing *packing = name ? binding_packing(name) : NULL;
    return packing ? Py_BuildValue("(siiO)", packing->name, packing->n_values, packing->n_bytes, packing->can_encode ? Py_True : Py_False) : NULL;
}

PyMethodDef binding_pack_methods[] = {
    {"encode", (PyCFunction)(void (*)(void))encode, METH_VARARGS | METH_KEYWORDS,
     "encode(array, format, element=None, rtn=False, importance=None, threads=0) -> Array of uint8"},
    {"decode", (PyCFunction)(void (*)(void))decode, METH_VARARGS | METH_KEYWORDS, "decode(array, format, threads=0) -> Array of float32"},
    {"packing", packing_of, METH_O, "packing(format) -> as packings() has it: the byte layout that stores a format."},
    {NULL, NULL, 0, NULL},
};
