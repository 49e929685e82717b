/* One continuation by a model: an iterator over its tokens. */
#include "binding.h"

#include <stdlib.h>

PyTypeObject *binding_generation_type;

typedef struct generation {
    PyObject_HEAD
    PyObject *model; /* kept open */
    lp_pool *pool;
    lp_session *session;
    lp_sampler *sampler;
    const float *logits;
    int64_t n_context, n_left;
    int32_t token;     /* drawn last, not yet computed */
    bool has_token;
    bool busy;         /* a thread computes without the interpreter's lock */
    const char *finish; /* NULL: goes on; "stop", "length", "context" */
} generation;

static void dealloc(PyObject *self)
{
    generation *g = (generation *)self;
    lp_session_close(g->session);
    lp_sampler_free(g->sampler);
    lp_pool_destroy(g->pool);
    Py_XDECREF(g->model);
    binding_free(self);
}

static lp_status prefill(generation *g, const int32_t *ids, int64_t n)
{
    enum { CHUNK = 512 };
    int32_t position[CHUNK];
    uint8_t wants[CHUNK];
    binding_progress progress;
    binding_progress_init(&progress, NULL);
    for (int64_t first = 0; first < n; first += CHUNK) {
        int64_t count = n - first < CHUNK ? n - first : CHUNK;
        for (int64_t i = 0; i < count; i++) {
            position[i] = (int32_t)(first + i);
            wants[i] = first + i == n - 1;
        }
        lp_batch batch = {.n_tokens = count, .token = ids + first, .position = position, .wants_logits = wants};
        lp_status status = lp_session_forward(g->session, &batch, &g->logits);
        if (!status && progress.progress.cancelled(&progress)) status = LP_INTERRUPTED;
        if (status) return status;
        for (int64_t i = 0; i < count; i++) lp_sampler_accept(g->sampler, ids[first + i]);
    }
    return LP_OK;
}

static lp_status prepare(generation *g, const lp_model *model, const lp_sampler_options *sampling, lp_activation activations, int threads,
                         const int32_t *ids, size_t n_ids)
{
    lp_status status = lp_pool_create(threads, &g->pool);
    lp_session_options options = {.pool = g->pool, .n_context = g->n_context, .n_logits = 1, .activations = activations};
    if (!status) status = lp_sampler_create(sampling, (int32_t)lp_model_get_info(model)->n_vocab, &g->sampler);
    if (!status) status = lp_session_create(model, &options, NULL, &g->session);
    return status ? status : prefill(g, ids, (int64_t)n_ids);
}

PyObject *binding_generate(PyObject *self, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"ids", "max_tokens", "context", "temperature", "top_k", "top_p", "min_p", "typical_p", "repeat_penalty",
                            "frequency_penalty", "presence_penalty", "repeat_last_n", "seed", "activations", "threads", NULL};
    PyObject *object;
    long long n_tokens, n_context;
    lp_sampler_options s = lp_sampler_defaults();
    const char *activations;
    unsigned long seed;
    int threads;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OLLdiddddddiksi:_generation", names, &object, &n_tokens, &n_context, &s.temperature, &s.top_k,
                                     &s.top_p, &s.min_p, &s.typical_p, &s.repeat_penalty, &s.frequency_penalty, &s.presence_penalty,
                                     &s.repeat_last_n, &seed, &activations, &threads))
        return NULL;
    s.seed = (uint32_t)seed;
    const lp_model *model = ((binding_model *)self)->model;
    const lp_model_info *info = lp_model_get_info(model);
    lp_activation activation;
    int32_t *ids;
    size_t n_ids;
    if (!binding_activation(activations, &activation) || !binding_ids(object, info->n_vocab, &ids, &n_ids)) return NULL;
    int64_t longest = n_context ? n_context : info->n_context, wanted = (int64_t)n_ids + n_tokens;
    bool fits = n_ids && n_tokens >= 0 && n_context >= 0 && n_context <= info->n_context && (int64_t)n_ids <= longest;
    if (!n_ids) binding_usage("the prompt is empty");
    else if (n_tokens < 0 || n_context < 0) binding_usage("max_tokens and context are not negative");
    else if (n_context > info->n_context) binding_usage("context %lld is more than the model's %lld", n_context, (long long)info->n_context);
    else if (!fits) binding_usage("the prompt has %zd tokens, more than the context of %lld", (Py_ssize_t)n_ids, (long long)longest);
    generation *g = fits ? (generation *)PyType_GenericAlloc(binding_generation_type, 0) : NULL;
    if (g) {
        g->model = Py_NewRef(self);
        g->n_left = n_tokens;
        g->n_context = wanted < longest ? wanted : longest;
        lp_status status;
        Py_BEGIN_ALLOW_THREADS
        status = prepare(g, model, &s, activation, threads, ids, n_ids);
        Py_END_ALLOW_THREADS
        if (status) {
            binding_fail(status);
            Py_CLEAR(g);
        }
    }
    free(ids);
    return (PyObject *)g;
}

/* The next token, drawn; the one before is computed first. */
static lp_status step(generation *g)
{
    int32_t position = (int32_t)lp_session_length(g->session, 0);
    lp_status status = LP_OK;
    if (g->has_token && position >= g->n_context) {
        g->finish = "context";
        return LP_OK;
    }
    if (g->has_token) status = lp_session_forward(g->session, &(lp_batch){.n_tokens = 1, .token = &g->token, .position = &position}, &g->logits);
    if (!status) status = lp_sampler_draw(g->sampler, g->logits, &g->token);
    if (status) return status;
    g->has_token = true;
    lp_sampler_accept(g->sampler, g->token);
    if (lp_tokenizer_ends_generation(lp_model_tokenizer(lp_session_model(g->session)), g->token)) g->finish = "stop";
    return LP_OK;
}

static PyObject *next(PyObject *self)
{
    generation *g = (generation *)self;
    if (g->busy) return binding_usage("this generation is in use by another thread");
    if (!g->finish && g->n_left <= 0) g->finish = "length";
    if (g->finish) return NULL;
    lp_status status;
    g->busy = true;
    Py_BEGIN_ALLOW_THREADS
    status = step(g);
    Py_END_ALLOW_THREADS
    g->busy = false;
    if (status) return binding_fail(status);
    if (g->finish) return NULL;
    g->n_left--;
    lp_string bytes = lp_tokenizer_bytes(lp_model_tokenizer(lp_session_model(g->session)), g->token, false);
    return Py_BuildValue("(iy#)", (int)g->token, bytes.data ? bytes.data : "", (Py_ssize_t)bytes.n);
}

static PyObject *get_finish(PyObject *self, void *closure)
{
    (void)closure;
    const char *finish = ((generation *)self)->finish;
    return finish ? PyUnicode_FromString(finish) : Py_NewRef(Py_None);
}

static PyObject *iter(PyObject *self) { return Py_NewRef(self); }

static PyGetSetDef properties[] = {
    {"finish", get_finish, NULL, "Why it ended: 'stop' (the model ended the text), 'length', 'context'; None: it did not.", NULL},
    {NULL, NULL, NULL, NULL, NULL},
};

static PyType_Slot slots[] = {{Py_tp_dealloc, (void *)dealloc}, {Py_tp_iter, (void *)iter}, {Py_tp_iternext, (void *)next},
                              {Py_tp_getset, (void *)properties}, {0, NULL}};

PyType_Spec binding_generation_spec = {"lowp._lowp.Generation", sizeof(generation), 0,
                                       Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};
