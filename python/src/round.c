/* Arrays rounded to the values, or to the codes, of an element. */
#include "binding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { VALUES_PER_THREAD = 1 << 16 };

typedef struct request {
    lp_format *format;
    lp_rounding rounding;
    int n_threads;
    const char *element; /* of the input's codes */
    PyObject *array;
} request;

/* The number whose name is given. false: an exception is set, with the list. */
static bool choose(const char *what, const char *name, const char *(*name_of)(int), int *out)
{
    char list[256] = "";
    for (int i = 0; name_of(i); i++) {
        if (strcmp(name_of(i), name) == 0) return *out = i, true;
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", name_of(i));
    }
    binding_usage("%s '%s': none of %s", what, name, list);
    return false;
}

static const char *mode_name(int i) { return lp_rounding_mode_name((lp_rounding_mode)i); }
static const char *overflow_name(int i) { return lp_overflow_name((lp_overflow)i); }
static const char *subnormals_name(int i) { return lp_subnormals_name((lp_subnormals)i); }

/* false: an exception is set, nothing to free. */
static bool parse(PyObject *args, PyObject *kwargs, const char *signature, request *r)
{
    static char *names[] = {"array", "format", "element", "rounding", "overflow", "subnormals", "random_bits", "seed", "first", "threads", NULL};
    const char *text, *mode, *overflow, *subnormals;
    unsigned long long seed, first;
    int mode_index, overflow_index, subnormals_index;
    *r = (request){0};
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, signature, names, &r->array, &text, &r->element, &mode, &overflow, &subnormals,
                                     &r->rounding.random_bits, &seed, &first, &r->n_threads) ||
        !binding_threads(r->n_threads))
        return false;
    r->rounding.seed = seed;
    r->rounding.first = first;
    if (!choose("rounding", mode, mode_name, &mode_index) || !choose("overflow", overflow, overflow_name, &overflow_index) ||
        !choose("subnormals", subnormals, subnormals_name, &subnormals_index))
        return false;
    r->rounding.mode = (lp_rounding_mode)mode_index;
    r->rounding.overflow = (lp_overflow)overflow_index;
    r->rounding.subnormals = (lp_subnormals)subnormals_index;
    lp_status status = lp_format_parse(text, &r->format);
    if (status) return binding_fail(status), false;
    status = lp_rounding_check(&r->format->element, &r->rounding);
    if (!status && !r->format->scale) return true;
    if (status) binding_fail(status);
    else binding_usage("format '%s' has scales, which are chosen for a block: use quantize and dequantize", text);
    lp_format_free(r->format);
    return false;
}

static bool pool_for(Py_ssize_t n, int n_threads, lp_pool **pool)
{
    *pool = NULL;
    long most = n_threads ? n_threads : sysconf(_SC_NPROCESSORS_ONLN), wanted = (long)(n / VALUES_PER_THREAD);
    return wanted <= 1 || binding_pool((int)(wanted < most ? wanted : most), pool);
}

/* The input's values as one run of float32 or float64; *owned is freed by the caller. NULL: an exception is set. */
static const void *values_of(const binding_view *view, const char *element, void **owned)
{
    if (view->kind == BINDING_F64) return binding_bytes(view, owned);
    float *floats;
    const float *values = binding_floats(view, element, &floats);
    *owned = floats;
    return values;
}

static PyObject *round_view(const binding_view *view, const request *r)
{
    bool f64 = view->kind == BINDING_F64;
    PyObject *out = binding_array_new(f64 ? "d" : "f", f64 ? sizeof(double) : sizeof(float), view->n_dims, view->dim);
    if (!out || !view->n) return out;
    void *owned = NULL;
    lp_pool *pool;
    lp_status status = LP_OK;
    const void *x = values_of(view, r->element, &owned);
    bool ok = x && pool_for(view->n, r->n_threads, &pool);
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        status = f64 ? lp_round_f64(&r->format->element, &r->rounding, x, view->n, binding_array_data(out), pool)
                     : lp_round_f32(&r->format->element, &r->rounding, x, view->n, binding_array_data(out), pool);
        lp_pool_destroy(pool);
        Py_END_ALLOW_THREADS
    }
    free(owned);
    if (ok && !status) return out;
    Py_DECREF(out);
    return status ? binding_fail(status) : NULL;
}

static PyObject *round_array(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)self;
    request r;
    binding_view view;
    if (!parse(args, kwargs, "OszsssiKKi:round", &r)) return NULL;
    PyObject *out = NULL;
    if (binding_open(r.array, r.element, &view)) {
        out = round_view(&view, &r);
        binding_close(&view);
    }
    lp_format_free(r.format);
    return out;
}

/* Codes of 8 and 16 bits keep the shape, as uint8 and uint16; others are one string of bits. */
static PyObject *codes_of_view(const binding_view *view, const request *r)
{
    const lp_element *e = &r->format->element;
    bool shaped = (e->bits == 8 || e->bits == 16) && e->kind != LP_ELEMENT_COMPLEX, f64 = view->kind == BINDING_F64;
    Py_ssize_t n_bytes = (Py_ssize_t)lp_codes_bytes(e, view->n);
    PyObject *out = shaped ? binding_array_new(e->bits == 8 ? "B" : "H", (size_t)e->bits / 8, view->n_dims, view->dim)
                           : binding_array_new("B", 1, 1, &n_bytes);
    if (!out || !view->n) return out;
    void *owned = NULL;
    lp_pool *pool;
    lp_status status = LP_OK;
    const void *x = values_of(view, r->element, &owned);
    bool ok = x && pool_for(view->n, r->n_threads, &pool);
    if (ok) {
        Py_BEGIN_ALLOW_THREADS
        status = f64 ? lp_round_codes_f64(e, &r->rounding, x, view->n, binding_array_data(out), pool)
                     : lp_round_codes_f32(e, &r->rounding, x, view->n, binding_array_data(out), pool);
        lp_pool_destroy(pool);
        Py_END_ALLOW_THREADS
    }
    free(owned);
    if (ok && !status) return out;
    Py_DECREF(out);
    return status ? binding_fail(status) : NULL;
}

static PyObject *round_codes(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)self;
    request r;
    binding_view view;
    if (!parse(args, kwargs, "OszsssiKKi:codes", &r)) return NULL;
    PyObject *out = NULL;
    if (binding_open(r.array, r.element, &view)) {
        out = codes_of_view(&view, &r);
        binding_close(&view);
    }
    lp_format_free(r.format);
    return out;
}

/* n values of packed codes, one run of float64. */
static PyObject *codes_values(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *array;
    const char *text;
    Py_ssize_t n;
    if (!PyArg_ParseTuple(args, "Osn:codes_values", &array, &text, &n)) return NULL;
    lp_format *format;
    lp_status status = lp_format_parse(text, &format);
    if (status) return binding_fail(status);
    binding_view view;
    PyObject *out = NULL;
    if (binding_open(array, NULL, &view)) {
        size_t needed = n < 0 ? 0 : lp_codes_bytes(&format->element, n), there = (size_t)view.n * binding_item_size(&view);
        void *owned = NULL;
        const void *codes = NULL;
        if (n < 0 || (n && !needed) || needed > there) binding_usage("%zd values of %d bits need %zu bytes, there are %zu", n, format->element.bits, needed, there);
        else if (view.kind != BINDING_U8 && view.kind != BINDING_U16) PyErr_SetString(PyExc_TypeError, "codes are an array of uint8 or uint16, or bytes");
        else codes = binding_bytes(&view, &owned);
        if (codes && (out = binding_array_new("d", sizeof(double), 1, &n)) && n &&
            (status = lp_codes_values_f64(&format->element, codes, n, binding_array_data(out), NULL))) {
            Py_CLEAR(out);
            binding_fail(status);
        }
        free(owned);
        binding_close(&view);
    }
    lp_format_free(format);
    return out;
}

#define WITH_KEYWORDS(f) (PyCFunction)(void (*)(void))f, METH_VARARGS | METH_KEYWORDS

PyMethodDef binding_round_methods[] = {
    {"round", WITH_KEYWORDS(round_array), NULL},
    {"codes", WITH_KEYWORDS(round_codes), NULL},
    {"codes_values", codes_values, METH_VARARGS, "codes_values(codes, format, n) -> Array of float64"},
    {NULL, NULL, 0, NULL},
};
