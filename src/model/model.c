/* Opening a model: metadata to shapes, checked. Card: runtime/llama-decoder. */
#include "model/model.h"

#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/function.h"
#include "file/gguf.h"
#include "model/embedded.h"
#include "model/hf/hf.h"

/* Rows of the builder. */
static const lp_architecture architectures[] = {
    {.name = "llama", .adjacent_pairs = true, .expert_keys = true, .window_period = 1},
    {.name = "qwen2", .window_period = 1},
    {.name = "qwen3", .qk_norm = LP_QK_HEADS, .window_period = 1},
    {.name = "qwen2moe", .experts = true, .expert_keys = true, .raw_experts = true, .shared_expert = true},
    {.name = "qwen3moe", .qk_norm = LP_QK_HEADS, .experts = true, .expert_keys = true},
    {.name = "gemma2", .post_norms = true, .gelu = true, .head = LP_HEAD_TIED, .scaled_embedding = true, .cap_keys = true,
     .attention_cap = 50, .final_cap = 30, .window_period = 2, .window = 4096, .odd_layers = 46},
    {.name = "gemma3", .post_norms = true, .qk_norm = LP_QK_HEADS, .gelu = true, .scaled_embedding = true,
     .window_period = 6, .local_rope = true, .local_base = 10000, .odd_layers = 62},
    {.name = "phi3", .partial_rope = true, .fused = true, .long_rope = true, .window_period = 1},
    {.name = "granite", .adjacent_pairs = true, .scale_keys = true},
    {.name = "olmo2", .no_pre_norm = true, .post_norms = true, .qk_norm = LP_QK_ROW, .head = LP_HEAD_REQUIRED,
     .window_period = 4, .local_rope = true},
    {.name = "starcoder2", .layer_norm = true, .gelu = true, .no_gate = true, .window_period = 1},
    {.name = "stablelm", .partial_rope = true, .layer_norm = true, .qk_norm = LP_QK_OPTIONAL, .parallel = true,
     .head = LP_HEAD_REQUIRED},
};
enum { N_ARCHITECTURES = sizeof architectures / sizeof architectures[0] };

const lp_architecture *lp_architecture_find(lp_string name)
{
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if (strlen(architectures[i].name) == name.n && memcmp(architectures[i].name, name.data, name.n) == 0) return &architectures[i];
    return NULL;
}

static char architecture_list[256];
static pthread_once_t list_once = PTHREAD_ONCE_INIT;

static void make_list(void)
{
    size_t n = 0;
    for (int i = 0; i < N_ARCHITECTURES && n < sizeof architecture_list; i++)
        n += (size_t)snprintf(architecture_list + n, sizeof architecture_list - n, "%s%s", i ? ", " : "", architectures[i].name);
}

const char *lp_model_architectures(void)
{
    pthread_once(&list_once, make_list);
    return architecture_list;
}

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

/* A factor that must be a usable positive number. */
static lp_status read_factor(key_reader *r, const char *suffix, bool required, double *value)
{
    double v = *value;
    LP_TRY(lp_gguf_get_f64(r->gguf, full_key(r, suffix), required, &v));
    if (!(v > 0x1p-40 && v < 0x1p40))
        return lp_fail(LP_INPUT, "%s: key %s: %g is no usable factor", lp_gguf_path(r->gguf), r->key, v);
    *value = v;
    return LP_OK;
}

/* The same where 0 means that there is none: *value stays. */
static lp_status read_factor_or_zero(key_reader *r, const char *suffix, double *value)
{
    double v = 0;
    LP_TRY(lp_gguf_get_f64(r->gguf, full_key(r, suffix), false, &v));
    return v == 0 ? LP_OK : read_factor(r, suffix, false, value);
}

static bool is_text(lp_string s, const char *text) { return s.n == strlen(text) && memcmp(s.data, text, s.n) == 0; }

static lp_status read_scaling(key_reader *r, lp_model *m)
{
    lp_string type = {"linear", 6};
    double factor = 1, magnitude = 1;
    LP_TRY(lp_gguf_get_string(r->gguf, full_key(r, "rope.scaling.type"), false, &type));
    LP_TRY(read_factor_or_zero(r, "rope.scale_linear", &factor));
    LP_TRY(read_factor_or_zero(r, "rope.scaling.factor", &factor));
    LP_TRY(read_factor_or_zero(r, "rope.scaling.attn_factor", &magnitude));
    m->n_original = m->info.n_context;
    LP_TRY(read_size(r, "rope.scaling.original_context_length", false, 1, MAX_CONTEXT, &m->n_original));
    m->rope_scale = m->rope_magnitude = 1;
    if (is_text(type, "none")) return LP_OK;
    m->rope_scale = 1 / factor;
    if (is_text(type, "linear")) return LP_OK;
    m->rope_magnitude = magnitude;
    if (is_text(type, "longrope") && m->architecture->long_rope) return LP_OK;
    if (!is_text(type, "yarn"))
        return lp_fail(LP_UNSUPPORTED, "%s: RoPE scaling '%.*s' is not built for %s (known: none, linear, yarn%s)",
                       lp_gguf_path(r->gguf), (int)(type.n < 32 ? type.n : 32), type.data, m->architecture->name,
                       m->architecture->long_rope ? ", longrope" : "");
    m->yarn = true;
    m->rope_magnitude = magnitude * (1 + 0.1 * lp_log(factor));
    return LP_OK;
}

/* Which layers see a window only. */
static lp_status read_windows(key_reader *r, lp_model *m)
{
    const lp_architecture *a = m->architecture;
    int64_t n_layer = m->info.n_layer, period = a->window_period;
    if (!(m->has_window = calloc((size_t)n_layer, 1))) return lp_fail_memory((size_t)n_layer, "the layers");
    if (period == 0) return LP_OK;
    m->window = a->window;
    LP_TRY(read_size(r, "attention.sliding_window", false, 0, INT32_MAX, &m->window));
    if (m->window >= m->info.n_context) m->window = 0; /* nothing is outside */
    if (m->window == 0) return LP_OK;
    const lp_gguf_key *k = lp_gguf_find(r->gguf, full_key(r, "attention.sliding_window_pattern"));
    if (k && k->type == LP_GGUF_ARRAY) {
        if (k->n_elements != (uint64_t)n_layer)
            return lp_fail(LP_INPUT, "%s: key %s: %llu elements for %lld layers", lp_gguf_path(r->gguf), r->key,
                           (unsigned long long)k->n_elements, (long long)n_layer);
        for (int64_t i = 0; i < n_layer; i++) {
            int64_t v;
            LP_TRY(lp_gguf_array_i64(k, (uint64_t)i, &v));
            m->has_window[i] = v != 0;
        }
        return LP_OK;
    }
    LP_TRY(read_size(r, "attention.sliding_window_pattern", false, 1, INT32_MAX, &period));
    for (int64_t i = 0; i < n_layer; i++) m->has_window[i] = period == 1 || i % period < period - 1;
    return LP_OK;
}

static lp_status read_experts(key_reader *r, lp_model *m)
{
    const lp_architecture *a = m->architecture;
    if (!a->expert_keys) return LP_OK;
    LP_TRY(read_size(r, "expert_count", a->experts, a->experts, 4096, &m->n_experts));
    if (m->n_experts == 0) return LP_OK;
    LP_TRY(read_size(r, "expert_used_count", true, 1, m->n_experts, &m->n_experts_used));
    LP_TRY(read_size(r, "expert_feed_forward_length", false, 1, MAX_WIDTH, &m->info.n_ffn));
    m->n_shared = m->info.n_ffn;
    if (a->shared_expert) LP_TRY(read_size(r, "expert_shared_feed_forward_length", false, 1, MAX_WIDTH, &m->n_shared));
    return read_factor_or_zero(r, "expert_weights_scale", &m->expert_scale);
}

static lp_status read_factors(key_reader *r, lp_model *m)
{
    const lp_architecture *a = m->architecture;
    const lp_model_info *i = &m->info;
    m->embedding_scale = a->scaled_embedding ? sqrt((double)i->n_embd) : 1;
    m->residual_scale = m->logit_scale = m->expert_scale = 1;
    m->attention_scale = 1 / sqrt((double)(a->odd_layers && i->n_layer == a->odd_layers ? i->n_embd / i->n_head : i->head_size));
    m->attention_cap = a->attention_cap;
    m->final_cap = a->final_cap;
    if (a->cap_keys) LP_TRY(read_factor_or_zero(r, "attn_logit_softcapping", &m->attention_cap));
    if (a->scaled_embedding) LP_TRY(read_factor_or_zero(r, "final_logit_softcapping", &m->final_cap));
    if (!a->scale_keys) return LP_OK;
    double logits = 1;
    bool finetuned = true;
    LP_TRY(read_factor_or_zero(r, "embedding_scale", &m->embedding_scale));
    LP_TRY(read_factor_or_zero(r, "residual_scale", &m->residual_scale));
    LP_TRY(read_factor_or_zero(r, "attention.scale", &m->attention_scale));
    LP_TRY(read_factor(r, "logit_scale", true, &logits));
    m->logit_scale = 1 / logits;
    LP_TRY(lp_gguf_get_bool(r->gguf, full_key(r, "rope.scaling.finetuned"), false, &finetuned));
    if (!finetuned) m->n_rotated = 0;
    return LP_OK;
}

static lp_status read_rope(key_reader *r, lp_model *m)
{
    lp_model_info *i = &m->info;
    const lp_architecture *a = m->architecture;
    m->n_rotated = i->head_size;
    LP_TRY(read_size(r, "rope.dimension_count", false, 1, 1024, &m->n_rotated));
    if (i->head_size % 2 || m->n_rotated % 2 || m->n_rotated > i->head_size || (!a->partial_rope && m->n_rotated != i->head_size))
        return lp_fail(LP_INPUT, "%s: key %s: %lld, but the head size is %lld (%s for this architecture)", lp_gguf_path(m->gguf),
                       full_key(r, "rope.dimension_count"), (long long)m->n_rotated, (long long)i->head_size,
                       a->partial_rope ? "even and no more" : "equal and even");
    i->rope_base = 10000;
    LP_TRY(lp_gguf_get_f64(m->gguf, full_key(r, "rope.freq_base"), false, &i->rope_base));
    if (!(i->rope_base >= 1 && i->rope_base < 1e30))
        return lp_fail(LP_INPUT, "%s: key %s: %g", lp_gguf_path(m->gguf), r->key, i->rope_base);
    m->local_base = a->local_base > 0 ? a->local_base : i->rope_base;
    if (a->local_rope) LP_TRY(lp_gguf_get_f64(m->gguf, full_key(r, "rope.freq_base_swa"), false, &m->local_base));
    if (!(m->local_base >= 1 && m->local_base < 1e30))
        return lp_fail(LP_INPUT, "%s: key %s: %g", lp_gguf_path(m->gguf), r->key, m->local_base);
    return read_scaling(r, m);
}

static lp_status read_shapes(lp_model *m)
{
    lp_model_info *i = &m->info;
    key_reader r = {.gguf = m->gguf, .architecture = m->architecture->name};
    LP_TRY(read_size(&r, "block_count", true, 1, MAX_LAYERS, &i->n_layer));
    LP_TRY(read_size(&r, "embedding_length", true, 1, MAX_WIDTH, &i->n_embd));
    i->n_ffn = 1; /* with experts the key may be missing: read_experts has the last word */
    LP_TRY(read_size(&r, "feed_forward_length", !m->architecture->experts, m->architecture->experts ? 0 : 1, MAX_WIDTH, &i->n_ffn));
    LP_TRY(read_size(&r, "context_length", true, 1, MAX_CONTEXT, &i->n_context));
    LP_TRY(read_heads(&r, "attention.head_count", true, &i->n_head));
    i->n_head_kv = i->n_head;
    LP_TRY(read_heads(&r, "attention.head_count_kv", false, &i->n_head_kv));
    if (i->n_head % i->n_head_kv)
        return lp_fail(LP_INPUT, "%s: key %s: %lld heads are no multiple of %lld key/value heads", lp_gguf_path(m->gguf),
                       full_key(&r, "attention.head_count"), (long long)i->n_head, (long long)i->n_head_kv);
    i->head_size = i->n_embd / i->n_head;
    LP_TRY(read_size(&r, "attention.key_length", false, 1, 1024, &i->head_size));
    int64_t value_length = i->head_size;
    LP_TRY(read_size(&r, "attention.value_length", false, 1, 1024, &value_length));
    if (value_length != i->head_size)
        return lp_fail(LP_UNSUPPORTED, "%s: key and value heads of different sizes (%lld, %lld)", lp_gguf_path(m->gguf),
                       (long long)i->head_size, (long long)value_length);
    const char *epsilon = m->architecture->layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon";
    LP_TRY(lp_gguf_get_f64(m->gguf, full_key(&r, epsilon), true, &i->rms_epsilon));
    if (!(i->rms_epsilon >= 0 && i->rms_epsilon < 1))
        return lp_fail(LP_INPUT, "%s: key %s: %g", lp_gguf_path(m->gguf), r.key, i->rms_epsilon);
    LP_TRY(read_rope(&r, m));
    LP_TRY(read_factors(&r, m));
    LP_TRY(read_windows(&r, m));
    return read_experts(&r, m);
}

/* Divisors of the frequencies: r/2 values of f32, or none. */
static lp_status find_factors(const lp_model *m, const char *name, const lp_tensor **out)
{
    const lp_tensor *t = lp_gguf_find_tensor(m->gguf, name);
    if (t && (lp_tensor_values(t) != m->n_rotated / 2 || t->packing != lp_packing_by_name("f32")))
        return lp_fail(LP_INPUT, "%s: tensor %s: wants %lld values of f32", lp_gguf_path(m->gguf), name,
                       (long long)m->n_rotated / 2);
    *out = t;
    return LP_OK;
}

/* What the metadata does not tell: the vocabulary's rows and the frequency divisors. */
static lp_status read_tensors(lp_model *m)
{
    const lp_tensor *embedding = lp_gguf_find_tensor(m->gguf, "token_embd.weight");
    if (!embedding) return lp_fail(LP_INPUT, "%s: tensor token_embd.weight: missing", lp_gguf_path(m->gguf));
    m->info.n_vocab = lp_tensor_rows(embedding);
    if (m->info.n_vocab < 1 || m->info.n_vocab > INT32_MAX / 2)
        return lp_fail(LP_INPUT, "%s: tensor token_embd.weight: %lld rows", lp_gguf_path(m->gguf), (long long)m->info.n_vocab);
    LP_TRY(find_factors(m, "rope_freqs.weight", &m->rope_factors));
    if (!m->architecture->long_rope) return LP_OK;
    LP_TRY(find_factors(m, "rope_factors_long.weight", &m->long_factors));
    LP_TRY(find_factors(m, "rope_factors_short.weight", &m->short_factors));
    if (!m->long_factors != !m->short_factors)
        return lp_fail(LP_INPUT, "%s: tensor rope_factors_%s.weight: missing beside the other one", lp_gguf_path(m->gguf),
                       m->long_factors ? "short" : "long");
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
    LP_TRY(lp_gguf_get_architecture(m->gguf, true, &name));
    m->architecture = lp_architecture_find(name);
    if (!m->architecture)
        return lp_fail(LP_UNSUPPORTED, "%s: architecture '%.*s' is not built (known: %s)", lp_gguf_path(m->gguf),
                       (int)(name.n < 64 ? name.n : 64), name.data, lp_model_architectures());
    m->info.architecture = m->architecture->name;
    return LP_OK;
}

/* Takes gguf over, also on error. */
lp_status lp_model_open_gguf(lp_gguf *gguf, lp_model **out)
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
    return lp_model_open_gguf(gguf, out);
}

lp_status lp_model_open_memory(const void *data, size_t n, const char *name, lp_model **out)
{
    lp_gguf *gguf;
    *out = NULL;
    LP_TRY(lp_gguf_open_memory(data, n, name, &gguf));
    return lp_model_open_gguf(gguf, out);
}

void lp_model_close(lp_model *model)
{
    if (!model) return;
    lp_tokenizer_free(model->tokenizer);
    lp_gguf_close(model->gguf);
    free(model->name);
    free(model->has_window);
    free(model);
}

const lp_model_info *lp_model_get_info(const lp_model *model) { return &model->info; }
const lp_gguf *lp_model_gguf(const lp_model *model) { return model->gguf; }
const lp_tokenizer *lp_model_tokenizer(const lp_model *model) { return model->tokenizer; }

/* How much of frequency i YaRN leaves as it was: 1 for the fast ones, 0 for the slow ones. */
static double yarn_share(const lp_model *m, int64_t i)
{
    const double two_pi = 6.28318530717958648, log_base = lp_log(m->info.rope_base), r = (double)m->n_rotated;
    double low = floor(r * lp_log((double)m->n_original / (32 * two_pi)) / (2 * log_base));
    double high = ceil(r * lp_log((double)m->n_original / two_pi) / (2 * log_base));
    if (low < 0) low = 0;
    if (high > r - 1) high = r - 1;
    double width = high - low < 0.001 ? 0.001 : high - low, ramp = ((double)i - low) / width;
    return ramp < 0 ? 1 : ramp > 1 ? 0 : 1 - ramp;
}

void lp_model_rope_table(const lp_model *model, int64_t n_context, bool local, float *cosine, float *sine)
{
    const lp_model *m = model;
    int64_t r = m->n_rotated, half = r / 2;
    bool own = local && m->architecture->local_rope;
    double log_base = lp_log(own ? m->local_base : m->info.rope_base), magnitude = own ? 1 : m->rope_magnitude;
    const lp_tensor *factors = own ? NULL : m->rope_factors;
    if (m->long_factors) factors = n_context > m->n_original ? m->long_factors : m->short_factors;
    for (int64_t i = 0; i < half; i++) {
        double inverse = lp_exp(-((double)(2 * i) / (double)r) * log_base);
        if (!own && m->yarn) {
            double share = yarn_share(m, i), slow = inverse * m->rope_scale;
            inverse = slow * (1 - share) + inverse * share;
        } else if (!own) {
            inverse *= m->rope_scale;
        }
        float factor = 1;
        if (factors) lp_packing_decode(factors->packing, factors->data + i * 4, 1, &factor);
        for (int64_t p = 0; p < n_context; p++) {
            double angle = (double)p * inverse / (double)factor;
            cosine[p * half + i] = (float)(lp_cos(angle) * magnitude);
            sine[p * half + i] = (float)(lp_sin(angle) * magnitude);
        }
    }
}
