/* lowp.Format: a number format. */
#include "binding.h"

#include <math.h>
#include <stdlib.h>

typedef struct format_object {
    PyObject_HEAD
    lp_format *format;
} format_object;

static PyObject *format_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"text", NULL};
    const char *text;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s:Format", names, &text)) return NULL;
    lp_format *format;
    lp_status status = lp_format_parse(text, &format);
    if (status) return binding_fail(status);
    format_object *self = (format_object *)PyType_GenericAlloc(type, 0);
    if (self) self->format = format;
    else lp_format_free(format);
    return (PyObject *)self;
}

static void format_dealloc(PyObject *self)
{
    lp_format_free(((format_object *)self)->format);
    binding_free(self);
}

static PyObject *print(const lp_format *format)
{
    char text[512];
    size_t n = lp_format_print(format, text, sizeof text);
    return PyUnicode_FromStringAndSize(text, (Py_ssize_t)(n < sizeof text ? n : sizeof text - 1));
}

static PyObject *format_str(PyObject *self) { return print(((format_object *)self)->format); }

static PyObject *format_repr(PyObject *self)
{
    PyObject *text = format_str(self), *repr = text ? PyUnicode_FromFormat("Format(%R)", text) : NULL;
    Py_XDECREF(text);
    return repr;
}

static PyObject *format_compare(PyObject *a, PyObject *b, int operation)
{
    if ((operation != Py_EQ && operation != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) Py_RETURN_NOTIMPLEMENTED;
    bool equal = lp_format_equal(((format_object *)a)->format, ((format_object *)b)->format);
    return PyBool_FromLong(equal == (operation == Py_EQ));
}

static Py_hash_t format_hash(PyObject *self)
{
    PyObject *text = format_str(self);
    Py_hash_t hash = text ? PyObject_Hash(text) : -1;
    Py_XDECREF(text);
    return hash;
}

static PyObject *format_reduce(PyObject *self, PyObject *args)
{
    (void)args;
    return Py_BuildValue("(O(N))", (PyObject *)Py_TYPE(self), format_str(self));
}

/* ---- properties -------------------------------------------------------------------------------------------------- */

static PyObject *get_bits(PyObject *self, void *closure)
{
    (void)closure;
    return PyFloat_FromDouble(lp_format_bits(((format_object *)self)->format));
}

static PyObject *get_element(PyObject *self, void *closure)
{
    (void)closure;
    static const char *const kinds[] = {"int", "bipolar", "float", "table", "fixed", "posit", "power", "exponent", "complex"};
    static const char *const specials[] = {"ieee", "fn", "fnuz", "none"};
    const lp_element *e = &((format_object *)self)->format->element;
    if (e->kind == LP_ELEMENT_FLOAT)
        return Py_BuildValue("{s:s,s:i,s:O,s:i,s:i,s:i,s:s}", "kind", kinds[e->kind], "bits", e->bits, "signed", e->is_signed ? Py_True : Py_False,
                             "exponent", e->exponent, "mantissa", e->mantissa, "bias", e->bias, "specials", specials[e->specials]);
    PyObject *dict = Py_BuildValue("{s:s,s:i,s:O,s:i}", "kind", (size_t)e->kind < sizeof kinds / sizeof *kinds ? kinds[e->kind] : "other",
                                   "bits", e->bits, "signed", e->is_signed ? Py_True : Py_False, "n_levels", e->n_levels);
    const char *more = e->kind == LP_ELEMENT_FIXED ? "fraction" : e->kind == LP_ELEMENT_POSIT ? "exponent" : NULL;
    PyObject *value = dict && more ? PyLong_FromLong(e->kind == LP_ELEMENT_FIXED ? e->fraction : e->exponent) : NULL;
    if (dict && more && (!value || PyDict_SetItemString(dict, more, value) < 0)) Py_CLEAR(dict);
    Py_XDECREF(value);
    return dict;
}

static PyObject *get_block(PyObject *self, void *closure)
{
    (void)closure;
    const lp_format *f = ((format_object *)self)->format;
    if (!f->scale) Py_RETURN_NONE;
    PyObject *block = PyTuple_New(2);
    for (int i = 0; block && i < 2; i++) { /* rows, values: as the text writes them */
        PyObject *n = f->block[1 - i] ? PyLong_FromLong(f->block[1 - i]) : Py_NewRef(Py_None);
        if (!n || PyTuple_SetItem(block, i, n) < 0) Py_CLEAR(block);
    }
    return block;
}

static PyObject *get_packing(PyObject *self, void *closure)
{
    (void)closure;
    const lp_packing *packing = ((format_object *)self)->format->packing;
    return packing ? PyUnicode_FromString(packing->name) : Py_NewRef(Py_None);
}

static PyObject *get_scale(PyObject *self, void *closure)
{
    (void)closure;
    const lp_format *scale = ((format_object *)self)->format->scale;
    return scale ? PyObject_CallFunction((PyObject *)Py_TYPE(self), "N", print(scale)) : Py_NewRef(Py_None);
}

static PyObject *get_values(PyObject *self, void *closure)
{
    (void)closure;
    const lp_element *e = &((format_object *)self)->format->element;
    if (e->kind == LP_ELEMENT_COMPLEX) return binding_usage("the values of a complex element are no list of real numbers");
    if (e->bits > 16) return binding_usage("values of an element of %d bits: only those of at most 16 are listed", e->bits);
    Py_ssize_t n = (Py_ssize_t)1 << e->bits;
    PyObject *array = binding_array_new("d", sizeof(double), 1, &n);
    double *value = array ? binding_array_data(array) : NULL;
    for (Py_ssize_t i = 0; value && i < n; i++) value[i] = lp_element_value(e, (uint32_t)i);
    return array;
}

static PyGetSetDef properties[] = {
    {"bits", get_bits, NULL, "Bits per value, scales and offsets spread over their blocks.", NULL},
    {"element", get_element, NULL, "The element as a dict: kind, bits, signed, and the fields of its kind.", NULL},
    {"block", get_block, NULL, "(rows, values) that share a scale, None for all of an axis; None without a scale.", NULL},
    {"scale", get_scale, NULL, "Format of the scales, or None.", NULL},
    {"packing", get_packing, NULL, "Name of the byte layout that stores it in files, or None.", NULL},
    {"_values", get_values, NULL, "The element's values by code.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyMethodDef format_methods[] = {{"__reduce__", format_reduce, METH_NOARGS, NULL}, {NULL, NULL, 0, NULL}};

static PyType_Slot slots[] = {
    {Py_tp_new, (void *)format_new}, {Py_tp_dealloc, (void *)format_dealloc}, {Py_tp_str, (void *)format_str},
    {Py_tp_repr, (void *)format_repr}, {Py_tp_richcompare, (void *)format_compare}, {Py_tp_hash, (void *)format_hash},
    {Py_tp_getset, (void *)properties}, {Py_tp_methods, (void *)format_methods}, {0, NULL},
};

PyType_Spec binding_format_spec = {"lowp._lowp.Format", sizeof(format_object), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

/* ---- the table of names ------------------------------------------------------------------------------------------ */

static PyObject *rows(PyObject *self, PyObject *args)
{
    (void)self, (void)args;
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < lp_format_row_count(); i++) {
        const lp_format_row *row = lp_format_row_at(i);
        PyObject *item = Py_BuildValue("(sss)", row->name, row->text, row->note);
        if (!item || PyList_Append(list, item) < 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

static PyObject *packings(PyObject *self, PyObject *args)
{
    (void)self, (void)args;
    PyObject *list = PyList_New(0);
    for (int i = 0; list && i < lp_packing_count(); i++) {
        const lp_packing *p = lp_packing_at(i);
        if (!p->can_decode) continue;
        PyObject *item = Py_BuildValue("(siiO)", p->name, p->n_values, p->n_bytes, p->can_encode ? Py_True : Py_False);
        if (!item || PyList_Append(list, item) < 0) Py_CLEAR(list);
        Py_XDECREF(item);
    }
    return list;
}

PyMethodDef binding_format_methods[] = {
    {"format_rows", rows, METH_NOARGS, "format_rows() -> [(name, text, note)]"},
    {"packings", packings, METH_NOARGS, "packings() -> [(name, values per block, bytes per block, can be written)]"},
    {NULL, NULL, 0, NULL},
};
