/* The extension module lowp._lowp: errors, interruption, and the list of what it has. */
#include "binding.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static const struct {
    lp_status status;
    const char *name, *doc;
    PyObject **other_base; /* beside lowp.Error */
} error_rows[] = {
    {LP_CHECK, "lowp.CheckError", "A check failed.", NULL},
    {LP_USAGE, "lowp.UsageError", "An argument is outside its range, or the output exists.", &PyExc_ValueError},
    {LP_INPUT, "lowp.InputError", "The input is missing or its bytes are wrong.", &PyExc_ValueError},
    {LP_RESOURCE, "lowp.ResourceError", "Out of memory or disk, or a write failed.", &PyExc_RuntimeError},
    {LP_UNSUPPORTED, "lowp.UnsupportedError", "A valid thing that this build lacks.", &PyExc_NotImplementedError},
};
enum { N_ERRORS = sizeof error_rows / sizeof *error_rows };
static PyObject *errors[N_ERRORS], *base_error;

static PyObject *error_of(lp_status status)
{
    for (int i = 0; i < N_ERRORS; i++)
        if (error_rows[i].status == status) return errors[i];
    return base_error;
}

PyObject *binding_fail(lp_status status)
{
    if (PyErr_Occurred()) return NULL; /* a callback's own exception, or Ctrl-C */
    if (status == LP_INTERRUPTED) {
        PyErr_SetNone(PyExc_KeyboardInterrupt);
        return NULL;
    }
    const char *text = lp_error();
    PyObject *message = PyUnicode_DecodeUTF8(text, (Py_ssize_t)strlen(text), "backslashreplace");
    if (message) PyErr_SetObject(error_of(status), message);
    Py_XDECREF(message);
    return NULL;
}

PyObject *binding_usage(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    PyErr_FormatV(error_of(LP_USAGE), format, arguments);
    va_end(arguments);
    return NULL;
}

static int add_errors(PyObject *module)
{
    base_error = PyErr_NewExceptionWithDoc("lowp.Error", "What all errors of lowp have in common; `status` is the program's exit code.", NULL, NULL);
    if (!base_error || PyModule_AddObjectRef(module, "Error", base_error) < 0) return -1;
    for (int i = 0; i < N_ERRORS; i++) {
        PyObject *bases = error_rows[i].other_base ? PyTuple_Pack(2, base_error, *error_rows[i].other_base) : PyTuple_Pack(1, base_error);
        PyObject *dict = Py_BuildValue("{s:i}", "status", (int)error_rows[i].status);
        if (bases && dict) errors[i] = PyErr_NewExceptionWithDoc(error_rows[i].name, error_rows[i].doc, bases, dict);
        Py_XDECREF(bases);
        Py_XDECREF(dict);
        if (!errors[i] || PyModule_AddObjectRef(module, strchr(error_rows[i].name, '.') + 1, errors[i]) < 0) return -1;
    }
    return 0;
}

/* ---- long work --------------------------------------------------------------------------------------------------- */

static void report(void *context, const char *what, double done, double total)
{
    binding_progress *progress = context;
    if (progress->callable == Py_None) return;
    PyGILState_STATE state = PyGILState_Ensure();
    if (!PyErr_Occurred()) {
        PyObject *result = PyObject_CallFunction(progress->callable, "sdd", what, done, total);
        Py_XDECREF(result);
    }
    PyGILState_Release(state);
}

static bool cancelled(void *context)
{
    (void)context;
    PyGILState_STATE state = PyGILState_Ensure();
    bool stop = PyErr_Occurred() || PyErr_CheckSignals() < 0;
    PyGILState_Release(state);
    return stop;
}

void binding_progress_init(binding_progress *progress, PyObject *callable)
{
    *progress = (binding_progress){{report, cancelled, progress}, callable ? callable : Py_None};
}

bool binding_threads(int n)
{
    if (n >= 0 && n <= 1024) return true;
    binding_usage("threads: %d is not from 0 to 1024", n);
    return false;
}

bool binding_pool(int n_threads, lp_pool **pool)
{
    lp_status status = lp_pool_create(n_threads, pool);
    if (status) binding_fail(status);
    return !status;
}

void binding_free(PyObject *self)
{
    PyTypeObject *type = Py_TYPE(self);
    freefunc release = (freefunc)PyType_GetSlot(type, Py_tp_free);
    release(self);
    Py_DECREF(type);
}

/* ---- the module -------------------------------------------------------------------------------------------------- */

static PyObject *version(PyObject *self, PyObject *args)
{
    (void)self, (void)args;
    return PyUnicode_FromString(lp_version());
}

static PyObject *isa(PyObject *self, PyObject *args)
{
    (void)self, (void)args;
    return PyUnicode_FromString(lp_isa_name(lp_isa_current()));
}

static PyObject *embedded_text(PyObject *self, PyObject *args)
{
    (void)self;
    const char *name = "embedded";
    if (!PyArg_ParseTuple(args, "|s:embedded_text", &name)) return NULL;
    size_t n;
    const char *text = lp_embedded_text(name, &n);
    if (!text) return binding_usage("no text '%s' is built in: embedded, embedded-calibration", name);
    return PyUnicode_DecodeUTF8(text, (Py_ssize_t)n, "replace");
}

static PyMethodDef methods[] = {
    {"version", version, METH_NOARGS, "version() -> str: of the library."},
    {"isa", isa, METH_NOARGS, "isa() -> str: the instruction set in use: ref, avx2, avx512 or neon. Results do not depend on it."},
    {"embedded_text", embedded_text, METH_VARARGS,
     "embedded_text(name='embedded') -> str: a text built into the library, 'embedded' or 'embedded-calibration'."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {PyModuleDef_HEAD_INIT, "lowp._lowp", "The compiled part of lowp.", -1, methods, NULL, NULL, NULL, NULL};

static PyTypeObject *add_type(PyObject *module, PyType_Spec *spec, const char *name)
{
    PyObject *type = PyType_FromSpec(spec);
    if (type && PyModule_AddObjectRef(module, name, type) < 0) Py_CLEAR(type);
    return (PyTypeObject *)type;
}

PyMODINIT_FUNC PyInit__lowp(void);
PyMODINIT_FUNC PyInit__lowp(void)
{
    PyObject *module = PyModule_Create(&definition);
    if (!module) return NULL;
    bool ok = add_errors(module) == 0 && (binding_array_type = add_type(module, &binding_array_spec, "Array")) &&
              add_type(module, &binding_format_spec, "Format") && (binding_model_type = add_type(module, &binding_model_spec, "Model")) &&
              (binding_generation_type = add_type(module, &binding_generation_spec, "Generation")) &&
              PyModule_AddFunctions(module, binding_array_methods) == 0 && PyModule_AddFunctions(module, binding_format_methods) == 0 &&
              PyModule_AddFunctions(module, binding_pack_methods) == 0 &&
              PyModule_AddFunctions(module, binding_round_methods) == 0 && PyModule_AddFunctions(module, binding_model_methods) == 0;
    if (!ok) Py_CLEAR(module);
    return module;
}
