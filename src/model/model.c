/* Opening a model: metadata to shapes, checked. Card: runtime/llama-decoder. */
#include "model/model.h"

#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/function.h"
#include "file/gguf.h"
#include "model/embedded.h"
#include "model/hf/hf.h"

/* Rows of the builder. */
static const lp_architecture architectures[] = {
    {"llama", true},
};
enum { N_ARCHITECTURES = sizeof architectures / sizeof architectures[0] };

const char *lp_model_architectures(void) { return "llama"; }

/* Bounds on what sizes memory: far above any real model, far below an overflow. */
enum { MAX_LAYERS = 4096, MAX_HEADS = 4096, MAX_WIDTH = 1 << 20, MAX_CONTEXT = 1 << 24 };

typedef struct key_reader {
    const lp_gguf *gguf;
    const char *architecture;
    char key[128];
} key_reader;

static const char *full_key(key_reader *r, const char *suffix)
{
    size_t a = strlen(r->architecture), b = strlen(suffix);
    memcpy(r->key, r->architecture, a);
    r->key[a] = '.';
    memcpy(r->key + a + 1, suffix, b + 1);
    return r->key;
}

/* An integer key in [least, most]; absent: *value stays, unless required. */
static lp_status read_size(key_reader *r, const char *suffix, bool required, int64_t least, int64_t most, int64_t *value)
{
    const char *key = full_key(r, suffix);
    LP_TRY(lp_gguf_get_i64(r->gguf, key, required, value));
    if (*value < least || *value > most)
        return lp_fail(LP_INPUT, "%s: key %s: %lld is outside %lld .. %lld", lp_gguf_path(r->gguf), key, (long long)*value,
                       (long long)least, (long long)most);
    return LP_OK;
}

/* A head count may be one number or one per layer; the builder needs them equal. */
static lp_status read_heads(key_reader *r, const char *suffix, bool required, int64_t *value)
{
    const lp_gguf_key *k = lp_gguf_find(r->gguf, full_key(r, suffix));
    if (!k || k->type != LP_GGUF_ARRAY) return read_size(r, suffix, required, 1, MAX_HEADS, value);
    for (uint64_t i = 0; i < k->n_elements; i++) {
        int64_t v;
        LP_TRY(lp_gguf_array_i64(k, i, &v));
        if (i > 0 && v != *value)
            return lp_fail(LP_UNSUPPORTED, "%s: key %s: head counts differ between layers (%lld and %lld)", lp_gguf_path(r->gguf),
                           r->key, (long long)*value, (long long)v);
        *value = v;
    }
    if (k->n_elements == 0 || *value < 1 || *value > MAX_HEADS)
        return lp_fail(LP_INPUT, "%s: key %s: no usable head count", lp_gguf_path(r->gguf), r->key);
    return LP_OK;
}

static lp_status read_scaling(key_reader *r, lp_model *m)
{
    lp_string type = {"linear", 6};
    double factor = 0;
    LP_TRY(lp_gguf_get_string(r->gguf, full_key(r, "rope.scaling.type"), false, &type));
    LP_TRY(lp_gguf_get_f64(r->gguf, full_key(r, "rope.scale_linear"), false, &factor));
    LP_TRY(lp_gguf_get_f64(r->gguf, full_key(r, "rope.scaling.factor"), false, &factor));
    m->rope_scale = 1;
    if (type.n == 4 && memcmp(type.data, "none", 4) == 0) return LP_OK;
    if (type.n != 6 || memcmp(type.data, "linear", 6) != 0)
        return lp_fail(LP_UNSUPPORTED, "%s: RoPE scaling '%.*s' is not built (known: none, linear)", lp_gguf_path(r->gguf),
                       (int)(type.n < 32 ? type.n : 32), type.data);
    if (factor == 0) return LP_OK;
    if (!(factor > 0x1p-20 && factor < 0x1p20))
        return lp_fail(LP_INPUT, "%s: key %s: %g is no scaling factor", lp_gguf_path(r->gguf), r->key, factor);
    m->rope_scale = 1 / factor;
    return LP_OK;
}

static lp_status read_shapes(lp_model *m)
{
    lp_model_info *i = &m->info;
    key_reader r = {.gguf = m->gguf, .architecture = m->architecture->name};
    LP_TRY(read_size(&r, "block_count", true, 1, MAX_LAYERS, &i->n_layer));
    LP_TRY(read_size(&r, "embedding_length", true, 1, MAX_WIDTH, &i->n_embd));
    LP_TRY(read_size(&r, "feed_forward_length", true, 1, MAX_WIDTH, &i->n_ffn));
    LP_TRY(read_size(&r, "context_length", true, 1, MAX_CONTEXT, &i->n_context));
    LP_TRY(read_heads(&r, "attention.head_count", true, &i->n_head));
    i->n_head_kv = i->n_head;
    LP_TRY(read_heads(&r, "attention.head_count_kv", false, &i->n_head_kv));
    if (i->n_head % i->n_head_kv)
        return lp_fail(LP_INPUT, "%s: key llama.attention.head_count: %lld heads are no multiple of %lld key/value heads",
                       lp_gguf_path(m->gguf), (long long)i->n_head, (long long)i->n_head_kv);
    i->head_size = i->n_embd / i->n_head;
    LP_TRY(read_size(&r, "attention.key_length", false, 1, 1024, &i->head_size));
    int64_t value_length = i->head_size, rope = i->head_size;
    LP_TRY(read_size(&r, "attention.value_length", false, 1, 1024, &value_length));
    LP_TRY(read_size(&r, "rope.dimension_count", false, 1, 1024, &rope));
    if (value_length != i->head_size)
        return lp_fail(LP_UNSUPPORTED, "%s: key and value heads of different sizes (%lld, %lld)", lp_gguf_path(m->gguf),
                       (long long)i->head_size, (long long)value_length);
    if (rope != i->head_size || i->head_size % 2)
        return lp_fail(LP_INPUT, "%s: key %s: %lld, but the head size is %lld (equal and even for this architecture)",
                       lp_gguf_path(m->gguf), full_key(&r, "rope.dimension_count"), (long long)rope, (long long)i->head_size);
    LP_TRY(lp_gguf_get_f64(m->gguf, full_key(&r, "attention.layer_norm_rms_epsilon"), true, &i->rms_epsilon));
    if (!(i->rms_epsilon >= 0 && i->rms_epsilon < 1))
        return lp_fail(LP_INPUT, "%s: key %s: %g", lp_gguf_path(m->gguf), r.key, i->rms_epsilon);
    i->rope_base = 10000;
    LP_TRY(lp_gguf_get_f64(m->gguf, full_key(&r, "rope.freq_base"), false, &i->rope_base));
    if (!(i->rope_base >= 1 && i->rope_base < 1e30))
        return lp_fail(LP_INPUT, "%s: key %s: %g", lp_gguf_path(m->gguf), r.key, i->rope_base);
    return read_scaling(&r, m);
}

/* What the metadata does not tell: the vocabulary's rows and the frequency divisors. */
static lp_status read_tensors(lp_model *m)
{
    const lp_tensor *embedding = lp_gguf_find_tensor(m->gguf, "token_embd.weight");
    const lp_tensor *factors = lp_gguf_find_tensor(m->gguf, "rope_freqs.weight");
    if (!embedding) return lp_fail(LP_INPUT, "%s: tensor token_embd.weight: missing", lp_gguf_path(m->gguf));
    m->info.n_vocab = lp_tensor_rows(embedding);
    if (m->info.n_vocab < 1 || m->info.n_vocab > INT32_MAX / 2)
        return lp_fail(LP_INPUT, "%s: tensor token_embd.weight: %lld rows", lp_gguf_path(m->gguf), (long long)m->info.n_vocab);
    if (factors && (lp_tensor_values(factors) != m->info.head_size / 2 || factors->packing != lp_packing_by_name("f32")))
        return lp_fail(LP_INPUT, "%s: tensor rope_freqs.weight: wants %lld values of f32", lp_gguf_path(m->gguf),
                       (long long)m->info.head_size / 2);
    m->rope_factors = factors;
    return LP_OK;
}

static void count_parameters(lp_model *m)
{
    int64_t n = lp_gguf_tensor_count(m->gguf);
    for (int64_t t = 0; t < n; t++) {
        const lp_tensor *tensor = lp_gguf_tensor_at(m->gguf, t);
        m->info.n_parameters += lp_tensor_values(tensor);
        m->info.n_tensor_bytes += tensor->n_bytes;
    }
    m->info.n_file_bytes = lp_gguf_size(m->gguf);
}

static lp_status read_architecture(lp_model *m)
{
    lp_string name;
    LP_TRY(lp_gguf_get_string(m->gguf, "general.architecture", true, &name));
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if (strlen(architectures[i].name) == name.n && memcmp(architectures[i].name, name.data, name.n) == 0)
            m->architecture = &architectures[i];
    if (!m->architecture)
        return lp_fail(LP_UNSUPPORTED, "%s: architecture '%.*s' is not built (known: %s)", lp_gguf_path(m->gguf),
                       (int)(name.n < 64 ? name.n : 64), name.data, lp_model_architectures());
    m->info.architecture = m->architecture->name;
    return LP_OK;
}

/* Takes gguf over, also on error. */
static lp_status open_gguf(lp_gguf *gguf, lp_model **out)
{
    *out = NULL;
    lp_model *m = calloc(1, sizeof *m);
    if (!m) {
        lp_gguf_close(gguf);
        return lp_fail_memory(sizeof *m, "a model");
    }
    m->gguf = gguf;
    lp_string name = {"", 0};
    lp_graph graph;
    lp_graph_init(&graph);
    lp_status s = read_architecture(m);
    if (s == LP_OK) s = lp_gguf_get_string(gguf, "general.name", false, &name);
    if (s == LP_OK && !(m->name = strndup(name.data, name.n))) s = lp_fail_memory(name.n, "a name");
    if (s == LP_OK) s = read_shapes(m);
    if (s == LP_OK) s = read_tensors(m);
    if (s == LP_OK) s = lp_model_build_graph(m, &graph); /* says now what does not fit, rather than when it runs */
    if (s == LP_OK) s = lp_tokenizer_create(gguf, &m->tokenizer);
    lp_graph_free(&graph);
    if (s != LP_OK) {
        lp_model_close(m);
        return s;
    }
    m->info.name = m->name;
    count_parameters(m);
    *out = m;
    return LP_OK;
}

lp_status lp_container_open(const char *path, lp_gguf **out)
{
    if (strcmp(path, "embedded") == 0)
        return lp_gguf_open_memory(lp_embedded_model, lp_embedded_model_size(), "embedded", out);
    if (lp_hf_is_folder(path)) return lp_hf_open(path, out);
    lp_gguf *first;
    *out = NULL;
    LP_TRY(lp_gguf_open(path, &first));
    return lp_gguf_join(first, out);
}

lp_status lp_model_open(const char *path, lp_model **out)
{
    lp_gguf *gguf;
    *out = NULL;
    LP_TRY(lp_container_open(path, &gguf));
    return open_gguf(gguf, out);
}

lp_status lp_model_open_memory(const void *data, size_t n, const char *name, lp_model **out)
{
    lp_gguf *gguf;
    *out = NULL;
    LP_TRY(lp_gguf_open_memory(data, n, name, &gguf));
    return open_gguf(gguf, out);
}

void lp_model_close(lp_model *model)
{
    if (!model) return;
    lp_tokenizer_free(model->tokenizer);
    lp_gguf_close(model->gguf);
    free(model->name);
    free(model);
}

const lp_model_info *lp_model_get_info(const lp_model *model) { return &model->info; }
const lp_gguf *lp_model_gguf(const lp_model *model) { return model->gguf; }
const lp_tokenizer *lp_model_tokenizer(const lp_model *model) { return model->tokenizer; }

void lp_model_rope_table(const lp_model *model, int64_t n_context, float *cosine, float *sine)
{
    int64_t d = model->info.head_size, half = d / 2;
    double log_base = lp_log(model->info.rope_base);
    for (int64_t i = 0; i < half; i++) {
        double inverse = lp_exp(-((double)(2 * i) / (double)d) * log_base) * model->rope_scale;
        float factor = 1;
        if (model->rope_factors) lp_packing_decode(model->rope_factors->packing, model->rope_factors->data + i * 4, 1, &factor);
        for (int64_t p = 0; p < n_context; p++) {
            double angle = (double)p * inverse / (double)factor;
            cosine[p * half + i] = (float)lp_cos(angle);
            sine[p * half + i] = (float)lp_sin(angle);
        }
    }
}
