/* lowp.Model, and what is done with whole models: measured, compared, quantized. */
#include "binding.h"

#include <stdlib.h>
#include <string.h>

PyTypeObject *binding_model_type;

static const lp_model *model_of(PyObject *self) { return ((binding_model *)self)->model; }

static PyObject *model_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"path", NULL};
    PyObject *path;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&:Model", names, PyUnicode_FSConverter, &path)) return NULL;
    lp_model *model = NULL;
    lp_status status;
    Py_BEGIN_ALLOW_THREADS
    status = lp_model_open(PyBytes_AsString(path), &model);
    Py_END_ALLOW_THREADS
    Py_DECREF(path);
    if (status) return binding_fail(status);
    binding_model *self = (binding_model *)PyType_GenericAlloc(type, 0);
    if (self) self->model = model;
    else lp_model_close(model);
    return (PyObject *)self;
}

static void model_dealloc(PyObject *self)
{
    lp_model_close(((binding_model *)self)->model);
    binding_free(self);
}

/* ---- what it is -------------------------------------------------------------------------------------------------- */

static PyObject *get_path(PyObject *self, void *closure)
{
    (void)closure;
    return PyUnicode_DecodeFSDefault(lp_gguf_path(lp_model_gguf(model_of(self))));
}

static PyObject *get_info(PyObject *self, void *closure)
{
    (void)closure;
    const lp_model_info *i = lp_model_get_info(model_of(self));
    double bits = i->n_parameters ? 8.0 * (double)i->n_tensor_bytes / (double)i->n_parameters : 0;
    return Py_BuildValue("{s:s,s:N,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:L,s:K,s:K,s:d}", "architecture", i->architecture, "name",
                         PyUnicode_DecodeUTF8(i->name, (Py_ssize_t)strlen(i->name), "replace"), "n_context", (long long)i->n_context,
                         "n_vocab", (long long)i->n_vocab, "n_embd", (long long)i->n_embd, "n_layer", (long long)i->n_layer, "n_head",
                         (long long)i->n_head, "n_head_kv", (long long)i->n_head_kv, "head_size", (long long)i->head_size, "n_ffn",
                         (long long)i->n_ffn, "n_parameters", (long long)i->n_parameters, "n_tensor_bytes",
                         (unsigned long long)i->n_tensor_bytes, "n_file_bytes", (unsigned long long)i->n_file_bytes, "bits_per_weight", bits);
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

static PyObject *list_of_ids(const int32_t *ids, size_t n)
{
    PyObject *list = PyList_New((Py_ssize_t)n);
    for (size_t i = 0; list && i < n; i++) {
        PyObject *id = PyLong_FromLong(ids[i]);
        if (!id || PyList_SetItem(list, (Py_ssize_t)i, id) < 0) Py_CLEAR(list);
    }
    return list;
}

static PyObject *tokenize(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"text", "parse_special", "add_special", NULL};
    const char *text;
    Py_ssize_t n;
    int parse_special = 0, add_special = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s#|pp:tokenize", names, &text, &n, &parse_special, &add_special)) return NULL;
    int32_t *ids;
    size_t n_ids;
    lp_status status = lp_tokenizer_encode(lp_model_tokenizer(model_of(self)), text, (size_t)n, parse_special, add_special, &ids, &n_ids);
    if (status) return binding_fail(status);
    PyObject *list = list_of_ids(ids, n_ids);
    free(ids);
    return list;
}

static PyObject *detokenize(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids", "show_special", NULL};
    PyObject *object;
    int show_special = 0;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O|p:detokenize", names, &object, &show_special)) return NULL;
    int32_t *ids;
    size_t n_ids, n;
    if (!binding_ids(object, lp_model_get_info(model_of(self))->n_vocab, &ids, &n_ids)) return NULL;
    char *text = NULL;
    lp_status status = lp_tokenizer_decode(lp_model_tokenizer(model_of(self)), ids, n_ids, show_special, &text, &n);
    PyObject *result = status ? binding_fail(status) : PyUnicode_DecodeUTF8(text, (Py_ssize_t)n, "replace");
    free(text);
    free(ids);
    return result;
}

bool binding_ids(PyObject *object, int64_t n_vocab, int32_t **ids, size_t *n)
{
    Py_ssize_t size = PySequence_Check(object) ? PySequence_Size(object) : -1;
    *ids = NULL;
    if (size < 0) {
        if (!PyErr_Occurred()) PyErr_SetString(PyExc_TypeError, "token ids are a sequence of integers");
        return false;
    }
    *ids = malloc((size_t)size * sizeof **ids + 1);
    *n = (size_t)size;
    if (!*ids) return PyErr_NoMemory(), false;
    for (Py_ssize_t i = 0; i < size; i++) {
        PyObject *item = PySequence_GetItem(object, i), *index = item ? PyNumber_Index(item) : NULL;
        long id = index ? PyLong_AsLong(index) : -1;
        Py_XDECREF(item);
        Py_XDECREF(index);
        if (!PyErr_Occurred() && (id < 0 || id >= n_vocab)) binding_usage("token id %ld is none of the %lld of this model", id, (long long)n_vocab);
        if (PyErr_Occurred()) {
            free(*ids);
            *ids = NULL;
            return false;
        }
        (*ids)[i] = (int32_t)id;
    }
    return true;
}

/* ---- chats ------------------------------------------------------------------------------------------------------- */

/* The model's own template, or the one given. NULL: an exception is set. */
static lp_template *template_of(const lp_model *model, const char *text, Py_ssize_t n)
{
    lp_string source = {text, (size_t)n};
    lp_template *out;
    lp_status status = text ? LP_OK : lp_gguf_get_string(lp_model_gguf(model), "tokenizer.chat_template", true, &source);
    if (!status) status = lp_template_parse(source.data, source.n, &out);
    if (!status) return out;
    binding_fail(status);
    return NULL;
}

static PyObject *chat(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"variables", "as_text", "add_generation_prompt", "template", "now", NULL};
    const char *variables, *source = NULL;
    Py_ssize_t n_variables, n_source = 0;
    int as_text, prompt;
    long long now;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s#ppz#L:_chat", names, &variables, &n_variables, &as_text, &prompt, &source, &n_source, &now))
        return NULL;
    const lp_model *model = model_of(self);
    const lp_tokenizer *tokenizer = lp_model_tokenizer(model);
    lp_template *template = template_of(model, source, n_source);
    if (!template) return NULL;
    lp_chat c = {.add_generation_prompt = prompt, .variables = variables, .n_variables = (size_t)n_variables, .now = now};
    if (lp_tokenizer_bos(tokenizer) >= 0) c.bos_token = lp_tokenizer_token(tokenizer, lp_tokenizer_bos(tokenizer));
    if (lp_tokenizer_eos(tokenizer) >= 0) c.eos_token = lp_tokenizer_token(tokenizer, lp_tokenizer_eos(tokenizer));
    PyObject *result = NULL;
    if (as_text) {
        lp_rendering text;
        lp_status status = lp_template_render(template, &c, &text);
        if (status) binding_fail(status);
        else result = PyUnicode_DecodeUTF8(text.text, (Py_ssize_t)text.n, "replace"), lp_rendering_free(&text);
    } else {
        int32_t *ids;
        size_t n;
        lp_status status = lp_chat_encode(tokenizer, template, &c, &ids, &n);
        if (status) binding_fail(status);
        else result = list_of_ids(ids, n), free(ids);
    }
    lp_template_free(template);
    return result;
}

/* ---- measuring --------------------------------------------------------------------------------------------------- */

bool binding_activation(const char *name, lp_activation *out)
{
    static const char *const names[] = {"default", "f32", "i8"};
    for (int i = 0; i < 3; i++)
        if (strcmp(names[i], name) == 0) return *out = (lp_activation)i, true;
    binding_usage("activations '%s': default, f32 or i8", name);
    return false;
}

typedef struct measured {
    const char *text;
    Py_ssize_t n_text;
    lp_eval_options options;
    binding_progress progress;
} measured;

/* What evaluate and compare share; the caller destroys options.pool. */
static bool measured_begin(measured *m, long long context, long long windows, const char *protocol, const char *activations, int hash,
                           int threads, PyObject *progress)
{
    bool llama_cpp = strcmp(protocol, "llama.cpp") == 0;
    if (!llama_cpp && strcmp(protocol, "windows") != 0) return binding_usage("protocol '%s': windows or llama.cpp", protocol), false;
    m->options = (lp_eval_options){.n_context = context, .n_windows = windows, .hash = hash,
                                   .protocol = llama_cpp ? LP_PROTOCOL_LLAMA_CPP : LP_PROTOCOL_WINDOWS};
    binding_progress_init(&m->progress, progress);
    if (context < 0 || windows < 0) return binding_usage("context and windows are not negative"), false;
    return binding_activation(activations, &m->options.activations) && binding_pool(threads, &m->options.pool);
}

static PyObject *evaluate(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"text", "context", "windows", "protocol", "activations", "hash", "threads", "progress", NULL};
    measured m;
    long long context, windows;
    const char *protocol, *activations;
    int hash, threads;
    PyObject *progress;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "s#LLsspiO:_evaluate", names, &m.text, &m.n_text, &context, &windows, &protocol,
                                     &activations, &hash, &threads, &progress) ||
        !measured_begin(&m, context, windows, protocol, activations, hash, threads, progress))
        return NULL;
    lp_eval_result r;
    lp_status status;
    Py_BEGIN_ALLOW_THREADS
    status = lp_eval(model_of(self), m.text, (size_t)m.n_text, &m.options, &m.progress.progress, &r);
    lp_pool_destroy(m.options.pool);
    Py_END_ALLOW_THREADS
    if (status || PyErr_Occurred()) return binding_fail(status);
    PyObject *sha = hash ? PyUnicode_FromString(r.logits_sha256) : Py_NewRef(Py_None);
    return Py_BuildValue("{s:d,s:d,s:d,s:L,s:L,s:L,s:N,s:d}", "perplexity", r.perplexity, "cross_entropy_nats", r.cross_entropy_nats,
                         "standard_error_nats", r.standard_error_nats, "n_predictions", (long long)r.n_predictions, "n_windows",
                         (long long)r.n_windows, "n_tokens", (long long)r.n_tokens, "logits_sha256", sha, "seconds", r.seconds);
}

static PyObject *compare(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)self;
    static char *names[] = {"reference", "model", "text", "context", "windows", "protocol", "activations", "threads", "progress", NULL};
    PyObject *reference, *model, *progress;
    measured m;
    long long context, windows;
    const char *protocol, *activations;
    int threads;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O!O!s#LLssiO:compare", names, binding_model_type, &reference, binding_model_type, &model,
                                     &m.text, &m.n_text, &context, &windows, &protocol, &activations, &threads, &progress) ||
        !measured_begin(&m, context, windows, protocol, activations, 0, threads, progress))
        return NULL;
    lp_compare_result r;
    lp_status status;
    Py_BEGIN_ALLOW_THREADS
    status = lp_compare(model_of(reference), model_of(model), m.text, (size_t)m.n_text, &m.options, &m.progress.progress, &r, NULL);
    lp_pool_destroy(m.options.pool);
    Py_END_ALLOW_THREADS
    if (status || PyErr_Occurred()) return binding_fail(status);
    return Py_BuildValue("{s:d,s:d,s:d,s:d,s:d,s:d,s:d,s:d,s:d,s:d,s:L,s:L,s:d}", "kl_mean_nats", r.kl_mean_nats, "kl_p90_nats", r.kl_p90_nats,
                         "kl_p99_nats", r.kl_p99_nats, "kl_p999_nats", r.kl_p999_nats, "kl_max_nats", r.kl_max_nats, "top1_agreement",
                         r.top1_agreement, "cross_entropy_nats", r.cross_entropy_nats, "reference_cross_entropy_nats",
                         r.reference_cross_entropy_nats, "probability_change_mean", r.probability_change_mean, "probability_change_rms",
                         r.probability_change_rms, "n_predictions", (long long)r.n_predictions, "n_windows", (long long)r.n_windows,
                         "seconds", r.seconds);
}

/* ---- quantizing -------------------------------------------------------------------------------------------------- */

static PyObject *row_dict(const lp_quantize_row *row)
{
    PyObject *shape = PyTuple_New(row->n_dims); /* slowest first, as NumPy has it; GGUF counts the other way round */
    for (int i = 0; shape && i < row->n_dims; i++)
        if (PyTuple_SetItem(shape, i, PyLong_FromLongLong(row->dim[row->n_dims - 1 - i])) < 0) Py_CLEAR(shape);
    if (!shape) return NULL;
    return Py_BuildValue("{s:s,s:N,s:s,s:s,s:s,s:z,s:d,s:K,s:O}", "name", row->name, "shape", shape, "source_format", row->source->name, "format",
                         row->packing->name, "method", row->method, "fallback", row->fallback, "error", row->error, "n_bytes", (unsigned long long)row->n_bytes,
                         "importance", row->importance ? Py_True : Py_False);
}

static PyObject *result_dict(const lp_quantize_result *r)
{
    PyObject *rows = PyList_New(0);
    for (int64_t i = 0; rows && i < r->n_rows; i++) {
        PyObject *row = row_dict(&r->rows[i]);
        if (!row || PyList_Append(rows, row) < 0) Py_CLEAR(rows);
        Py_XDECREF(row);
    }
    if (!rows) return NULL;
    return Py_BuildValue("{s:K,s:d,s:d,s:L,s:d,s:K,s:s,s:O,s:N}", "n_bytes", (unsigned long long)r->n_bytes, "bits_per_weight",
                         r->bits_per_weight, "file_bits_per_weight", r->file_bits_per_weight, "n_parameters", (long long)r->n_parameters,
                         "seconds", r->seconds, "peak_bytes", (unsigned long long)r->peak_bytes, "sha256", r->sha256, "requantized",
                         r->requantized ? Py_True : Py_False, "tensors", rows);
}

/* rules: [(glob, format)]. *out keeps pointers into it. */
static bool read_rules(PyObject *rules, lp_tensor_rule **out, int *n)
{
    Py_ssize_t size = PyList_Size(rules);
    *out = NULL;
    if (size < 0) return false;
    *out = calloc((size_t)size + 1, sizeof **out);
    if (!*out) return PyErr_NoMemory(), false;
    for (*n = 0; *n < size; ++*n) {
        const char *glob, *format;
        if (!PyArg_ParseTuple(PyList_GetItem(rules, *n), "ss", &glob, &format)) return false;
        (*out)[*n] = (lp_tensor_rule){glob, binding_packing(format)};
        if (!(*out)[*n].packing) return false;
    }
    return true;
}

static PyObject *quantize_file(PyObject *self, PyObject *args, PyObject *kwargs)
{
    (void)self;
    static char *names[] = {"source", "path", "format", "recipe", "stats", "calibration", "calibration_context", "calibration_windows",
                            "rules", "force", "dry_run", "threads", "progress", NULL};
    PyObject *source = NULL, *path = NULL, *stats_path = NULL, *rules, *callable, *result = NULL;
    const char *format, *recipe, *calibration;
    Py_ssize_t n_calibration;
    long long context, windows;
    int force, dry_run, threads;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "O&O&szO&z#LLO!ppiO:quantize_file", names, PyUnicode_FSConverter, &source, PyUnicode_FSConverter,
                                     &path, &format, &recipe, PyUnicode_FSConverter, &stats_path, &calibration, &n_calibration,
                                     &context, &windows, &PyList_Type, &rules, &force, &dry_run, &threads,
                                     &callable))
        return NULL;
    lp_quantize_options options = {.mixture = lp_mixture_by_name(format), .recipe = recipe, .calibration = calibration,
                                   .n_calibration = (size_t)n_calibration, .calibration_context = context, .calibration_windows = windows,
                                   .force = force, .dry_run = dry_run};
    lp_tensor_rule *read = NULL;
    lp_stats *stats = NULL;
    lp_gguf *gguf = NULL;
    lp_model *model = NULL;
    binding_progress progress;
    binding_progress_init(&progress, callable);
    if (options.mixture || (options.packing = binding_packing(format))) {
        if (read_rules(rules, &read, &options.n_rules) && binding_pool(threads, &options.pool)) {
            options.rules = read;
            const char *in = PyBytes_AsString(source), *to = PyBytes_AsString(path), *from = PyBytes_AsString(stats_path);
            lp_quantize_result r = {0};
            lp_status status = LP_OK;
            Py_BEGIN_ALLOW_THREADS
            if (*from) status = lp_stats_read(from, &stats);
            options.stats = stats;
            if (!status && calibration) status = lp_model_open(in, &model); /* a recipe with calibration runs it */
            else if (!status) status = lp_container_open(in, &gguf);
            options.model = model;
            if (!status) status = lp_quantize(model ? lp_model_gguf(model) : gguf, to, &options, &progress.progress, &r);
            lp_gguf_close(gguf);
            lp_model_close(model);
            lp_stats_free(stats);
            lp_pool_destroy(options.pool);
            Py_END_ALLOW_THREADS
            result = status || PyErr_Occurred() ? binding_fail(status) : result_dict(&r);
            if (!status) lp_quantize_result_free(&r);
        }
    }
    for (int i = 0; read && i < PyList_Size(rules); i++) lp_packing_free(read[i].packing);
    free(read);
    lp_packing_free(options.packing);
    Py_XDECREF(source);
    Py_XDECREF(path);
    Py_XDECREF(stats_path);
    return result;
}

/* ---- the type ---------------------------------------------------------------------------------------------------- */

#define WITH_KEYWORDS(f) (PyCFunction)(void (*)(void))f, METH_VARARGS | METH_KEYWORDS

static PyMethodDef methods[] = {
    {"tokenize", WITH_KEYWORDS(tokenize),
     "tokenize(text, parse_special=False, add_special=False) -> list of ids\n\n"
     "parse_special: texts of control tokens become those tokens; otherwise they stay text. add_special: BOS in front and EOS\n"
     "at the end, each if the file asks for it.\n\n>>> lowp.Model('embedded').tokenize('The old house')\n[488, 1086, 902]"},
    {"detokenize", WITH_KEYWORDS(detokenize), "detokenize(ids, show_special=False) -> str"},
    {"_evaluate", WITH_KEYWORDS(evaluate), NULL},
    {"_chat", WITH_KEYWORDS(chat), NULL},
    {"_generation", WITH_KEYWORDS(binding_generate), NULL},
    {NULL, NULL, 0, NULL},
};

static PyGetSetDef properties[] = {
    {"path", get_path, NULL, "Where it was opened.", NULL},
    {"info", get_info, NULL, "Shapes and sizes, as a dict.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {{Py_tp_new, (void *)model_new}, {Py_tp_dealloc, (void *)model_dealloc}, {Py_tp_methods, (void *)methods},
                              {Py_tp_getset, (void *)properties}, {0, NULL}};

PyType_Spec binding_model_spec = {"lowp._lowp.Model", sizeof(binding_model), 0, Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE, slots};

PyMethodDef binding_model_methods[] = {
    {"compare", WITH_KEYWORDS(compare), NULL},
    {"quantize_file", WITH_KEYWORDS(quantize_file), NULL},
    {NULL, NULL, 0, NULL},
};
