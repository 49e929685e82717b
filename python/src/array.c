/* Arrays of others, read where they lie: the buffer protocol, else DLPack; and arrays of our own, exported. */
#include "binding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

/* ---- DLPack: the part of its ABI that a reader needs ------------------------------------------------------------- */

typedef struct dl_tensor {
    void *data;
    struct { int32_t type, id; } device;
    int32_t n_dims;
    struct { uint8_t code, bits; uint16_t lanes; } dtype;
    int64_t *shape, *strides; /* strides in elements, NULL: contiguous */
    uint64_t byte_offset;
} dl_tensor;

typedef struct dl_managed {
    dl_tensor tensor;
    void *context;
    void (*deleter)(struct dl_managed *);
} dl_managed;

/* The same since DLPack 1.0, which can say that the memory is read-only. */
typedef struct dl_managed_versioned {
    uint32_t major, minor;
    void *context;
    void (*deleter)(struct dl_managed_versioned *);
    uint64_t flags;
    dl_tensor tensor;
} dl_managed_versioned;

enum { DL_CPU = 1, DL_UINT = 1, DL_FLOAT = 2, DL_BFLOAT = 4 };

static bool unknown_type(const char *what)
{
    PyErr_Format(PyExc_TypeError, "lowp reads arrays of float32, float16, bfloat16, float64 and uint8; this one is of %s", what);
    return false;
}

static bool dl_kind(const dl_tensor *t, binding_kind *kind)
{
    static const struct {
        uint8_t code, bits;
        binding_kind kind;
    } rows[] = {{DL_FLOAT, 32, BINDING_F32}, {DL_FLOAT, 64, BINDING_F64}, {DL_FLOAT, 16, BINDING_F16}, {DL_BFLOAT, 16, BINDING_BF16},
                {DL_UINT, 8, BINDING_U8}, {DL_UINT, 16, BINDING_U16}};
    for (size_t i = 0; t->dtype.lanes == 1 && i < sizeof rows / sizeof *rows; i++)
        if (rows[i].code == t->dtype.code && rows[i].bits == t->dtype.bits) return *kind = rows[i].kind, true;
    char what[64];
    snprintf(what, sizeof what, "DLPack type (%d, %d bits, %d lanes)", t->dtype.code, t->dtype.bits, t->dtype.lanes);
    return unknown_type(what);
}

static bool read_dlpack(const dl_tensor *t, binding_view *view)
{
    if (t->device.type != DL_CPU) {
        PyErr_Format(PyExc_TypeError, "the array lies on another device (DLPack %d): move it to the CPU first", (int)t->device.type);
        return false;
    }
    if (t->n_dims < 0 || t->n_dims > BINDING_MOST_DIMS) {
        PyErr_Format(PyExc_TypeError, "an array of %d dimensions", (int)t->n_dims);
        return false;
    }
    if (!dl_kind(t, &view->kind)) return false;
    view->data = (const char *)t->data + t->byte_offset;
    view->n_dims = (int)t->n_dims;
    Py_ssize_t step = (Py_ssize_t)binding_item_size(view);
    for (int i = view->n_dims - 1; i >= 0; i--) {
        view->dim[i] = (Py_ssize_t)t->shape[i];
        view->stride[i] = t->strides ? (Py_ssize_t)t->strides[i] * (Py_ssize_t)binding_item_size(view) : step;
        step *= view->dim[i];
    }
    return true;
}

static bool open_dlpack(PyObject *array, binding_view *view)
{
    PyObject *method = PyObject_GetAttrString(array, "__dlpack__"), *none = PyTuple_New(0);
    PyObject *version = Py_BuildValue("{s:(ii)}", "max_version", 1, 0);
    if (method && none && version) view->capsule = PyObject_Call(method, none, version);
    if (!view->capsule && method && PyErr_ExceptionMatches(PyExc_TypeError)) { /* from before 1.0 */
        PyErr_Clear();
        view->capsule = PyObject_CallNoArgs(method);
    }
    Py_XDECREF(method);
    Py_XDECREF(none);
    Py_XDECREF(version);
    if (!view->capsule) return false;
    if (!PyCapsule_IsValid(view->capsule, "dltensor_versioned")) {
        const dl_managed *managed = PyCapsule_GetPointer(view->capsule, "dltensor");
        return managed && read_dlpack(&managed->tensor, view);
    }
    const dl_managed_versioned *managed = PyCapsule_GetPointer(view->capsule, "dltensor_versioned");
    if (managed && managed->major == 1) return read_dlpack(&managed->tensor, view);
    if (managed) PyErr_Format(PyExc_BufferError, "DLPack %d: only versions up to 1 are known", (int)managed->major);
    return false;
}

/* ---- the buffer protocol ----------------------------------------------------------------------------------------- */

static bool open_buffer(PyObject *array, binding_view *view)
{
    if (PyObject_GetBuffer(array, &view->buffer, PyBUF_RECORDS_RO) < 0) return false;
    const Py_buffer *b = &view->buffer;
    const char *format = b->format ? b->format : "B";
    bool order = *format && strchr("@=<>!", *format);
    view->swapped = order && (*format == '>' || *format == '!');
    static const struct {
        char letter;
        Py_ssize_t size;
        binding_kind kind;
    } rows[] = {{'f', 4, BINDING_F32}, {'d', 8, BINDING_F64}, {'e', 2, BINDING_F16}, {'B', 1, BINDING_U8}, {'c', 1, BINDING_U8},
                {'H', 2, BINDING_U16}};
    const char *letter = format + order;
    size_t i = 0, n = sizeof rows / sizeof *rows;
    while (i < n && !(*letter == rows[i].letter && !letter[1] && b->itemsize == rows[i].size)) i++;
    if (i == n) {
        char what[80];
        snprintf(what, sizeof what, "buffer format '%.32s' (%zd bytes)", format, b->itemsize);
        return unknown_type(what);
    }
    view->kind = rows[i].kind;
    view->data = b->buf;
    view->n_dims = b->ndim;
    if (b->ndim > BINDING_MOST_DIMS) {
        PyErr_Format(PyExc_TypeError, "an array of %d dimensions", b->ndim);
        return false;
    }
    for (int k = 0; k < b->ndim; k++) view->dim[k] = b->shape[k], view->stride[k] = b->strides[k];
    return true;
}

/* ---- views ------------------------------------------------------------------------------------------------------- */

size_t binding_item_size(const binding_view *view)
{
    static const size_t sizes[] = {[BINDING_F32] = 4, [BINDING_F64] = 8, [BINDING_F16] = 2, [BINDING_BF16] = 2, [BINDING_U8] = 1, [BINDING_U16] = 2};
    return sizes[view->kind];
}

bool binding_open(PyObject *array, const char *element, binding_view *view)
{
    *view = (binding_view){0};
    bool ok;
    if (PyObject_CheckBuffer(array)) {
        ok = open_buffer(array, view);
    } else if (PyObject_HasAttrString(array, "__dlpack__")) {
        ok = open_dlpack(array, view);
    } else {
        PyErr_SetString(PyExc_TypeError, "lowp takes arrays: NumPy's, or whatever has the buffer protocol or DLPack");
        return false;
    }
    view->n = 1;
    for (int i = 0; ok && i < view->n_dims; i++) view->n *= view->dim[i];
    if (ok && element && view->kind != BINDING_U8 && view->kind != BINDING_U16) {
        PyErr_Format(PyExc_TypeError, "codes of '%s' must lie in an array of uint8 or uint16", element);
        ok = false;
    }
    if (ok && element && strcmp(element, "bf16") == 0 && view->kind == BINDING_U16) view->kind = BINDING_BF16;
    if (!ok) binding_close(view);
    return ok;
}

void binding_close(binding_view *view)
{
    if (view->buffer.obj) PyBuffer_Release(&view->buffer);
    Py_CLEAR(view->capsule); /* its destructor frees a tensor that nobody took over */
}

bool binding_contiguous(const binding_view *view)
{
    Py_ssize_t step = (Py_ssize_t)binding_item_size(view);
    if (view->swapped && step > 1) return false;
    for (int i = view->n_dims - 1; i >= 0; i--) {
        if (view->dim[i] != 1 && view->stride[i] != step && view->n) return false;
        step *= view->dim[i];
    }
    return true;
}

/* All elements one behind the other, last dimension fastest, in this machine's byte order. */
static void gather(const binding_view *view, char *out)
{
    size_t size = binding_item_size(view);
    int last = view->n_dims - 1;
    Py_ssize_t index[BINDING_MOST_DIMS] = {0}, n = last < 0 ? 1 : view->dim[last], step = last < 0 ? 0 : view->stride[last];
    for (Py_ssize_t done = 0; done < view->n; done += n) {
        const char *at = view->data;
        for (int k = 0; k < last; k++) at += index[k] * view->stride[k];
        for (Py_ssize_t i = 0; i < n; i++, at += step, out += size) {
            if (view->swapped) for (size_t b = 0; b < size; b++) out[b] = at[size - 1 - b];
            else if (size == 4) memcpy(out, at, 4);
            else if (size == 2) memcpy(out, at, 2);
            else memcpy(out, at, size);
        }
        for (int k = last - 1; k >= 0 && ++index[k] == view->dim[k]; k--) index[k] = 0;
    }
}

const void *binding_bytes(const binding_view *view, void **owned)
{
    *owned = NULL;
    if (binding_contiguous(view)) return view->data;
    *owned = malloc((size_t)view->n * binding_item_size(view) + 1);
    if (!*owned) return PyErr_NoMemory();
    gather(view, *owned);
    return *owned;
}

/* Codes of an element of at most 16 bits. */
static bool decode_codes(const binding_view *view, const char *element, const void *codes, float *out)
{
    lp_format *format;
    lp_status status = lp_format_parse(element, &format);
    if (status) return binding_fail(status), false;
    for (Py_ssize_t i = 0; i < view->n; i++) {
        uint32_t code = view->kind == BINDING_U8 ? ((const uint8_t *)codes)[i] : ((const uint16_t *)codes)[i];
        out[i] = (float)lp_element_value(&format->element, format->element.bits < 16 ? code & ((1u << format->element.bits) - 1) : code);
    }
    lp_format_free(format);
    return true;
}

const float *binding_floats(const binding_view *view, const char *element, float **owned)
{
    *owned = NULL;
    if (view->kind == BINDING_F64) {
        PyErr_SetString(PyExc_TypeError, "the array is float64: rounding it to float32 first would round twice; say so by x.astype('float32')");
        return NULL;
    }
    bool codes = view->kind == BINDING_U8 || view->kind == BINDING_U16;
    if (codes && !element) {
        unknown_type("integers, which stand for no values here");
        return NULL;
    }
    if (view->kind == BINDING_F32 && binding_contiguous(view)) return (const float *)(const void *)view->data;
    *owned = malloc((size_t)view->n * sizeof **owned + 1);
    if (!*owned) return (const float *)PyErr_NoMemory();
    if (view->kind == BINDING_F32) {
        gather(view, (char *)*owned);
        return *owned;
    }
    void *copy;
    const void *bytes = binding_bytes(view, &copy);
    bool ok = bytes != NULL;
    if (ok && codes) ok = decode_codes(view, element, bytes, *owned);
    else if (ok) lp_packing_decode(lp_packing_by_name(view->kind == BINDING_F16 ? "f16" : "bf16"), bytes, view->n, *owned);
    free(copy);
    if (ok) return *owned;
    free(*owned);
    *owned = NULL;
    return NULL;
}

/* ---- our own arrays ---------------------------------------------------------------------------------------------- */

typedef struct array {
    PyObject_HEAD
    void *data;
    char format[2];
    int n_dims;
    Py_ssize_t item_size, n_bytes;
    Py_ssize_t dim[BINDING_MOST_DIMS], stride[BINDING_MOST_DIMS];
} array;

PyTypeObject *binding_array_type;

/* Large arrays come straight from the system, in large pages where it has them: the faults of small ones cost more than
 * what is computed. Both kinds are zeros. */
enum { LARGE = 4 << 20 };

static void *zeros(size_t n)
{
    if (n < LARGE) return calloc(1, n + 1);
    void *data = mmap(NULL, n, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (data == MAP_FAILED) return NULL;
    (void)madvise(data, n, MADV_HUGEPAGE);
    return data;
}

static void forget(void *data, size_t n)
{
    if (n < LARGE) free(data);
    else if (data) munmap(data, n);
}

PyObject *binding_array_new(const char *format, size_t item_size, int n_dims, const Py_ssize_t *dim)
{
    array *a = (array *)PyType_GenericAlloc(binding_array_type, 0);
    if (!a) return NULL;
    a->format[0] = *format;
    a->n_dims = n_dims;
    a->item_size = (Py_ssize_t)item_size;
    a->n_bytes = a->item_size;
    bool fits = true;
    for (int i = n_dims - 1; i >= 0; i--) {
        a->dim[i] = dim[i];
        a->stride[i] = a->n_bytes;
        fits = fits && !__builtin_mul_overflow(a->n_bytes, dim[i], &a->n_bytes);
    }
    a->data = fits ? zeros((size_t)a->n_bytes) : NULL;
    if (a->data) return (PyObject *)a;
    Py_DECREF(a);
    return PyErr_NoMemory();
}

void *binding_array_data(PyObject *self) { return ((array *)self)->data; }

static int export(PyObject *self, Py_buffer *buffer, int flags)
{
    array *a = (array *)self;
    *buffer = (Py_buffer){.buf = a->data, .obj = Py_NewRef(self), .len = a->n_bytes, .itemsize = a->item_size, .ndim = a->n_dims};
    if (flags & PyBUF_FORMAT) buffer->format = a->format;
    if (flags & PyBUF_ND) buffer->shape = a->dim;
    if ((flags & PyBUF_STRIDES) == PyBUF_STRIDES) buffer->strides = a->stride;
    return 0;
}

static void dealloc(PyObject *self)
{
    forget(((array *)self)->data, (size_t)((array *)self)->n_bytes);
    binding_free(self);
}

static PyType_Slot slots[] = {
    {Py_tp_dealloc, (void *)dealloc},
    {Py_bf_getbuffer, (void *)export},
    {Py_tp_doc, (void *)"Memory of lowp's, exported by the buffer protocol: numpy.asarray(array), memoryview(array)."},
    {0, NULL},
};

PyType_Spec binding_array_spec = {"lowp._lowp.Array", sizeof(array), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

/* For tests: where the values that lowp computes with lie. */
static PyObject *address_of(PyObject *self, PyObject *args)
{
    (void)self;
    PyObject *object;
    const char *element = NULL;
    if (!PyArg_ParseTuple(args, "O|z:_address_of", &object, &element)) return NULL;
    binding_view view;
    float *owned = NULL;
    if (!binding_open(object, element, &view)) return NULL;
    const float *values = binding_floats(&view, element, &owned);
    PyObject *result = values ? PyLong_FromVoidPtr((void *)(uintptr_t)values) : NULL;
    free(owned);
    binding_close(&view);
    return result;
}

PyMethodDef binding_array_methods[] = {
    {"_address_of", address_of, METH_VARARGS, "_address_of(array) -> int: where the float32 values that lowp reads lie."},
    {NULL, NULL, 0, NULL},
};
