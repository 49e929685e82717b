/* RoPE and windows of config.json as keys, and back. Cards: runtime/architectures, runtime/llama-decoder (llama3 scaling). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/function.h"
#include "model/hf/hf.h"
#include "model/model.h"

/* What a reader of one kind of scaling needs. */
typedef struct scaling {
    const lp_hf_file *file;
    const lp_hf_architecture *architecture;
    const lp_json *node;
    double base;
    lp_gguf_writer *writer;
    lp_arena *arena;
    lp_hf_shape *shape;
} scaling;

static lp_status set_real(const scaling *s, const char *suffix, double value)
{
    lp_hf_key key;
    return lp_gguf_writer_set_f32(s->writer, lp_hf_key_of(&key, s->architecture, suffix), (float)value);
}

static lp_status set_size(const scaling *s, const char *suffix, int64_t value)
{
    lp_hf_key key;
    return lp_gguf_writer_set_u32(s->writer, lp_hf_key_of(&key, s->architecture, suffix), (uint32_t)value);
}

static lp_status set_type(const scaling *s, const char *type)
{
    lp_hf_key key;
    return lp_gguf_writer_set_string(s->writer, lp_hf_key_of(&key, s->architecture, "rope.scaling.type"), type);
}

static lp_status add_factors(const scaling *s, const char *name, float **value)
{
    *value = lp_arena_alloc_array(s->arena, (size_t)s->shape->n_rotated / 2, sizeof **value);
    if (!*value) return LP_RESOURCE;
    s->shape->factors[s->shape->n_factors++] = (lp_hf_factors){name, *value, s->shape->n_rotated / 2};
    return LP_OK;
}

/* ---- kinds ------------------------------------------------------------------------------------------------------- */

static const char *const llama3_keys[4][2] = {{"factor", "lowp.rope_llama3.factor"},
                                              {"low_freq_factor", "lowp.rope_llama3.low"},
                                              {"high_freq_factor", "lowp.rope_llama3.high"},
                                              {"original_max_position_embeddings", "lowp.rope_llama3.original"}};

/* GGUF has only what the frequencies are divided by; the numbers behind it are kept in keys of our own. */
static lp_status read_llama3(const scaling *s)
{
    double v[4] = {0};
    float *out;
    for (int i = 0; i < 4; i++) {
        LP_TRY(lp_hf_read_real(s->file, s->node, llama3_keys[i][0], true, &v[i]));
        LP_TRY(lp_gguf_writer_set_f32(s->writer, llama3_keys[i][1], (float)v[i]));
    }
    double factor = v[0], low = v[1], high = v[2], old = v[3];
    if (!(high > low)) return lp_fail(LP_INPUT, "%s: rope_scaling: high_freq_factor is not above low_freq_factor", s->file->path);
    LP_TRY(add_factors(s, "rope_freqs.weight", &out));
    for (int64_t i = 0; i < s->shape->n_rotated / 2; i++) {
        double wave = 6.283185307179586 * lp_exp((double)(2 * i) / (double)s->shape->n_rotated * lp_log(s->base));
        double share = (old / wave - low) / (high - low);
        double divisor = wave < old / high ? 1 : wave > old / low ? factor : 1 / ((1 - share) / factor + share);
        out[i] = (float)divisor;
    }
    return LP_OK;
}

static lp_status read_linear(const scaling *s)
{
    double factor = 1;
    LP_TRY(lp_hf_read_real(s->file, s->node, "factor", true, &factor));
    LP_TRY(set_type(s, "linear"));
    return set_real(s, "rope.scaling.factor", factor);
}

/* Members of YaRN that only their default can be converted of. */
static const struct {
    const char *hf, *gguf;
    double value;
} yarn_constants[] = {{"beta_fast", "rope.scaling.yarn_beta_fast", 32}, {"beta_slow", "rope.scaling.yarn_beta_slow", 1}};

static lp_status read_yarn(const scaling *s)
{
    double factor = 1, magnitude = 0;
    int64_t original = s->shape->n_context;
    LP_TRY(lp_hf_read_real(s->file, s->node, "factor", true, &factor));
    LP_TRY(lp_hf_read_real(s->file, s->node, "attention_factor", false, &magnitude));
    LP_TRY(lp_hf_read_size(s->file, s->node, "original_max_position_embeddings", false, 1 << 24, &original));
    for (int i = 0; i < 2; i++) {
        double value = yarn_constants[i].value;
        LP_TRY(lp_hf_read_real(s->file, s->node, yarn_constants[i].hf, false, &value));
        if (value != yarn_constants[i].value)
            return lp_fail(LP_UNSUPPORTED, "%s: rope_scaling: %s: %g cannot be converted (%g can)", s->file->path, yarn_constants[i].hf,
                           value, yarn_constants[i].value);
    }
    const lp_json *truncate = lp_json_find(s->node, "truncate");
    if (lp_hf_present(lp_json_find(s->node, "mscale")) || lp_hf_present(lp_json_find(s->node, "mscale_all_dim")) ||
        (lp_hf_present(truncate) && !(truncate->kind == LP_JSON_BOOL && truncate->n)))
        return lp_fail(LP_UNSUPPORTED, "%s: rope_scaling: mscale, mscale_all_dim or truncate cannot be converted", s->file->path);
    LP_TRY(set_type(s, "yarn"));
    LP_TRY(set_real(s, "rope.scaling.factor", factor));
    LP_TRY(set_size(s, "rope.scaling.original_context_length", original));
    /* GGUF's factor multiplies what follows from the scale; config.json's stands instead of it. */
    return magnitude == 0 ? LP_OK : set_real(s, "rope.scaling.attn_factor", magnitude / (1 + 0.1 * lp_log(factor)));
}

/* What cos and sin are multiplied by where nothing is said. */
static double long_magnitude(int64_t context, int64_t original)
{
    double ratio = (double)context / (double)original;
    return ratio <= 1 ? 1 : sqrt(1 + lp_log(ratio) / lp_log((double)original));
}

static lp_status read_list(const scaling *s, const char *name, const char *tensor)
{
    const lp_json *list = lp_json_find(s->node, name);
    int64_t n = s->shape->n_rotated / 2;
    float *out;
    if (!list || list->kind != LP_JSON_ARRAY || list->n != n)
        return lp_fail(LP_INPUT, "%s: rope_scaling: %s: no list of %lld numbers", s->file->path, name, (long long)n);
    LP_TRY(add_factors(s, tensor, &out));
    for (int64_t i = 0; i < n; i++) {
        double value = 0;
        if (!lp_json_real(list + 1 + i, &value) || !(value > 1e-6 && value < 1e6)) /* a number has no parts: the next follows */
            return lp_fail(LP_INPUT, "%s: rope_scaling: %s[%lld]: no usable factor", s->file->path, name, (long long)i);
        out[i] = (float)value;
    }
    return LP_OK;
}

static lp_status read_longrope(const scaling *s)
{
    int64_t original = s->shape->n_context;
    if (!(s->architecture->has & LP_HF_LONG_ROPE))
        return lp_fail(LP_UNSUPPORTED, "%s: rope_scaling: longrope is not built for %s", s->file->path, s->architecture->class_name);
    LP_TRY(lp_hf_read_size(s->file, s->file->json.node, "original_max_position_embeddings", false, 1 << 24, &original));
    LP_TRY(lp_hf_read_size(s->file, s->node, "original_max_position_embeddings", false, 1 << 24, &original));
    double magnitude = long_magnitude(s->shape->n_context, original);
    LP_TRY(lp_hf_read_real(s->file, s->node, "attention_factor", false, &magnitude));
    LP_TRY(read_list(s, "long_factor", "rope_factors_long.weight"));
    LP_TRY(read_list(s, "short_factor", "rope_factors_short.weight"));
    LP_TRY(set_type(s, "longrope"));
    LP_TRY(set_size(s, "rope.scaling.original_context_length", original));
    return set_real(s, "rope.scaling.attn_factor", magnitude);
}

static lp_status read_default(const scaling *s)
{
    int64_t original = 0;
    if (!(s->architecture->has & LP_HF_LONG_ROPE)) return LP_OK;
    LP_TRY(lp_hf_read_size(s->file, s->file->json.node, "original_max_position_embeddings", false, 1 << 24, &original));
    return original ? set_size(s, "rope.scaling.original_context_length", original) : LP_OK;
}

static const struct {
    const char *name;
    lp_status (*read)(const scaling *s);
} kinds[] = {{"default", read_default}, {"linear", read_linear}, {"llama3", read_llama3},
             {"yarn", read_yarn},       {"longrope", read_longrope}, {"su", read_longrope}};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

static lp_status read_kind(const scaling *s)
{
    const lp_json *type = lp_json_find(s->node, "rope_type");
    if (!lp_hf_present(type)) type = lp_json_find(s->node, "type");
    if (!lp_hf_present(type)) return read_default(s);
    for (int i = 0; i < N_KINDS; i++)
        if (lp_json_is(type, kinds[i].name)) return kinds[i].read(s);
    char item[LP_PRINTABLE];
    lp_fail(LP_UNSUPPORTED, "%s: rope_scaling: type '%s' cannot be converted", s->file->path,
            type->kind == LP_JSON_STRING ? lp_name_printable(lp_json_string(type), item) : "?");
    return lp_hint(LP_UNSUPPORTED, "known ones: default, linear, llama3, yarn, longrope");
}

/* The part of a head that turns. */
static lp_status read_rotated(const scaling *s, const lp_json *newer)
{
    double share = s->architecture->rotated;
    s->shape->n_rotated = s->shape->head_size;
    if (share > 0) {
        LP_TRY(lp_hf_read_real(s->file, s->file->json.node, "partial_rotary_factor", false, &share));
        LP_TRY(lp_hf_read_real(s->file, newer, "partial_rotary_factor", false, &share));
        double n = share * (double)s->shape->head_size;
        if (!(n >= 2 && n <= (double)s->shape->head_size) || (int64_t)n % 2)
            return lp_fail(LP_INPUT, "%s: partial_rotary_factor: %g of %lld values is no even number of them", s->file->path, share,
                           (long long)s->shape->head_size);
        s->shape->n_rotated = (int64_t)n;
    }
    return set_size(s, "rope.dimension_count", s->shape->n_rotated);
}

lp_status lp_hf_read_rope(const lp_hf_file *f, const lp_hf_architecture *a, lp_gguf_writer *writer, lp_arena *arena,
                          lp_hf_shape *shape)
{
    const lp_json *root = f->json.node, *newer = lp_json_find(root, "rope_parameters"), *local = NULL;
    scaling s = {f, a, lp_json_find(root, "rope_scaling"), a->base > 0 ? a->base : 10000, writer, arena, shape};
    double local_base = 10000;
    if (lp_hf_present(newer)) { /* transformers 5: all there, per kind of layer where there are two */
        local = lp_json_find(newer, "sliding_attention");
        if (lp_json_find(newer, "full_attention")) newer = lp_json_find(newer, "full_attention");
        s.node = newer;
    }
    LP_TRY(lp_hf_read_real(f, root, "rope_theta", false, &s.base));
    LP_TRY(lp_hf_read_real(f, newer, "rope_theta", false, &s.base));
    LP_TRY(set_real(&s, "rope.freq_base", s.base));
    if (a->has & LP_HF_LOCAL_BASE) {
        LP_TRY(lp_hf_read_real(f, root, "rope_local_base_freq", false, &local_base));
        LP_TRY(lp_hf_read_real(f, local, "rope_theta", false, &local_base));
        LP_TRY(set_real(&s, "rope.freq_base_swa", local_base));
    }
    const lp_json *local_type = lp_json_find(local, "rope_type");
    if (lp_hf_present(local_type) && !lp_json_is(local_type, "default"))
        return lp_fail(LP_UNSUPPORTED, "%s: rope_parameters: sliding_attention: a scaling there cannot be converted", f->path);
    LP_TRY(read_rotated(&s, newer));
    return read_kind(&s);
}

lp_status lp_hf_read_windows(const lp_hf_file *f, const lp_hf_architecture *a, lp_gguf_writer *writer, lp_arena *arena,
                             const lp_hf_shape *shape)
{
    const lp_json *root = f->json.node, *use = lp_json_find(root, "use_sliding_window"), *types = lp_json_find(root, "layer_types");
    const lp_architecture *m = lp_architecture_find((lp_string){a->gguf, strlen(a->gguf)});
    int64_t window = m->window, late = 28, period = m->window_period, n = shape->n_layer;
    lp_hf_key key;
    if (a->windows == LP_HF_WINDOWS_NONE) return LP_OK;
    if (a->windows == LP_HF_WINDOWS_LATE && !(use && use->kind == LP_JSON_BOOL && use->n)) return LP_OK;
    if (lp_json_find(root, "sliding_window") && !lp_hf_present(lp_json_find(root, "sliding_window"))) window = 0;
    LP_TRY(lp_hf_read_size(f, root, "sliding_window", false, INT32_MAX, &window));
    if (window == 0 && m->window == 0) return LP_OK;
    LP_TRY(lp_gguf_writer_set_u32(writer, lp_hf_key_of(&key, a, "attention.sliding_window"), (uint32_t)window));
    if (a->windows == LP_HF_WINDOWS_ALL || window == 0) return LP_OK;
    const lp_json *first = lp_json_find(root, "max_window_layers");
    if (lp_hf_present(first) && (!lp_json_integer(first, &late) || late < 0))
        return lp_fail(LP_INPUT, "%s: max_window_layers: no integer of 0 or more", f->path);
    if (a->windows == LP_HF_WINDOWS_PATTERN) LP_TRY(lp_hf_read_size(f, root, "sliding_window_pattern", false, INT32_MAX, &period));
    int32_t *has = lp_arena_alloc_array(arena, (size_t)n, sizeof *has);
    if (!has) return LP_RESOURCE;
    bool usual = true;
    if (lp_hf_present(types) && (types->kind != LP_JSON_ARRAY || types->n != n))
        return lp_fail(LP_INPUT, "%s: layer_types: no list of %lld strings", f->path, (long long)n);
    for (int64_t i = 0; i < n; i++) {
        has[i] = a->windows == LP_HF_WINDOWS_LATE ? i >= late : period == 1 || i % period < period - 1;
        if (lp_hf_present(types)) {
            const lp_json *type = types + 1 + i; /* a string has no parts: the next follows */
            has[i] = lp_json_is(type, "sliding_attention");
            if (!has[i] && !lp_json_is(type, "full_attention"))
                return lp_fail(LP_UNSUPPORTED, "%s: layer_types[%lld]: neither full_attention nor sliding_attention", f->path, (long long)i);
        }
        usual = usual && has[i] == (m->window_period == 1 || i % m->window_period < m->window_period - 1);
    }
    return usual ? LP_OK : lp_gguf_writer_set_i32s(writer, lp_hf_key_of(&key, a, "attention.sliding_window_pattern"), has, (uint64_t)n);
}

/* ---- the other way ----------------------------------------------------------------------------------------------- */

static void put_factors(const lp_tensor *t, const char *name, lp_json_text *out)
{
    lp_json_printf(out, ", \"%s\": [", name);
    for (int64_t i = 0; i < t->dim[0]; i++) {
        float value;
        lp_packing_decode(t->packing, t->data + 4 * i, 1, &value);
        if (i) lp_json_puts(out, ", ");
        lp_hf_put_real(out, (double)value);
    }
    lp_json_puts(out, "]");
}

static lp_status put_llama3(const lp_gguf *gguf, lp_json_text *out)
{
    lp_json_puts(out, "  \"rope_scaling\": {\"rope_type\": \"llama3\"");
    for (int i = 0; i < 4; i++) {
        double value = 0;
        if (!lp_gguf_find(gguf, llama3_keys[i][1]))
            return lp_fail(LP_UNSUPPORTED, "%s: rope_freqs.weight: the file does not tell the scaling behind these factors", lp_gguf_path(gguf));
        LP_TRY(lp_gguf_get_f64(gguf, llama3_keys[i][1], true, &value));
        lp_json_printf(out, ", \"%s\": ", llama3_keys[i][0]);
        if (i == 3) lp_json_printf(out, "%.0f", value);
        else lp_hf_put_real(out, value);
    }
    lp_json_puts(out, "},\n");
    return LP_OK;
}

static lp_status put_yarn(const lp_gguf *gguf, const lp_hf_architecture *a, double factor, double magnitude, int64_t original, lp_json_text *out)
{
    for (int i = 0; i < 2; i++) {
        lp_hf_key key;
        double value = yarn_constants[i].value;
        LP_TRY(lp_gguf_get_f64(gguf, lp_hf_key_of(&key, a, yarn_constants[i].gguf), false, &value));
        if (value != yarn_constants[i].value)
            return lp_fail(LP_UNSUPPORTED, "%s: key %s: %g cannot be converted (%g can)", lp_gguf_path(gguf), key.text, value, yarn_constants[i].value);
    }
    lp_json_puts(out, "  \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": ");
    lp_hf_put_real(out, factor);
    lp_json_printf(out, ", \"original_max_position_embeddings\": %lld", (long long)original);
    if (magnitude != 1) {
        lp_json_puts(out, ", \"attention_factor\": ");
        lp_hf_put_real(out, magnitude * (1 + 0.1 * lp_log(factor)));
    }
    lp_json_puts(out, "},\n");
    return LP_OK;
}

static lp_status put_longrope(const lp_gguf *gguf, const lp_hf_shape *shape, double magnitude, int64_t original, lp_json_text *out)
{
    static const char *const tensors[2][2] = {{"rope_factors_long.weight", "long_factor"}, {"rope_factors_short.weight", "short_factor"}};
    lp_json_printf(out, "  \"original_max_position_embeddings\": %lld,\n  \"rope_scaling\": {\"type\": \"longrope\"", (long long)original);
    for (int i = 0; i < 2; i++) {
        const lp_tensor *t = lp_gguf_find_tensor(gguf, tensors[i][0]);
        if (!t || t->n_dims != 1 || t->dim[0] != shape->n_rotated / 2 || t->packing != lp_packing_by_name("f32"))
            return lp_fail(LP_INPUT, "%s: tensor %s: missing, or no %lld values of f32", lp_gguf_path(gguf), tensors[i][0],
                           (long long)shape->n_rotated / 2);
        put_factors(t, tensors[i][1], out);
    }
    if ((float)magnitude != (float)long_magnitude(shape->n_context, original)) {
        lp_json_puts(out, ", \"attention_factor\": ");
        lp_hf_put_real(out, magnitude);
    }
    lp_json_puts(out, "},\n");
    return LP_OK;
}

static bool is_text(lp_string s, const char *text) { return s.n == strlen(text) && memcmp(s.data, text, s.n) == 0; }

static lp_status put_scaling(const lp_gguf *gguf, const lp_hf_architecture *a, const lp_hf_shape *shape, lp_json_text *out)
{
    lp_hf_key key;
    lp_string type = {"linear", 6};
    double factor = 0, magnitude = 1;
    int64_t original = shape->n_context;
    LP_TRY(lp_gguf_get_string(gguf, lp_hf_key_of(&key, a, "rope.scaling.type"), false, &type));
    LP_TRY(lp_gguf_get_f64(gguf, lp_hf_key_of(&key, a, "rope.scale_linear"), false, &factor));
    LP_TRY(lp_gguf_get_f64(gguf, lp_hf_key_of(&key, a, "rope.scaling.factor"), false, &factor));
    LP_TRY(lp_gguf_get_f64(gguf, lp_hf_key_of(&key, a, "rope.scaling.attn_factor"), false, &magnitude));
    bool has_original = lp_gguf_find(gguf, lp_hf_key_of(&key, a, "rope.scaling.original_context_length")) != NULL;
    LP_TRY(lp_gguf_get_i64(gguf, key.text, false, &original));
    if (original < 1 || original > 1 << 24) return lp_fail(LP_INPUT, "%s: key %s: %lld", lp_gguf_path(gguf), key.text, (long long)original);
    if (lp_gguf_find_tensor(gguf, "rope_freqs.weight")) return put_llama3(gguf, out);
    if (lp_gguf_find_tensor(gguf, "rope_factors_long.weight")) return put_longrope(gguf, shape, magnitude == 0 ? 1 : magnitude, original, out);
    if (is_text(type, "yarn")) return put_yarn(gguf, a, factor == 0 ? 1 : factor, magnitude == 0 ? 1 : magnitude, original, out);
    if (!is_text(type, "none") && !is_text(type, "linear"))
        return lp_fail(LP_UNSUPPORTED, "%s: %s.rope.scaling.type: this scaling cannot be converted", lp_gguf_path(gguf), a->gguf);
    if (a->has & LP_HF_LONG_ROPE && has_original)
        lp_json_printf(out, "  \"original_max_position_embeddings\": %lld,\n", (long long)original);
    if (is_text(type, "none") || factor == 0) return LP_OK;
    lp_json_puts(out, "  \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": ");
    lp_hf_put_real(out, factor);
    lp_json_puts(out, "},\n");
    return LP_OK;
}

lp_status lp_hf_write_rope(const lp_gguf *gguf, const lp_hf_architecture *a, const lp_hf_shape *shape, lp_json_text *out)
{
    lp_hf_key key;
    const lp_architecture *m = lp_architecture_find((lp_string){a->gguf, strlen(a->gguf)});
    double base = 10000, local_base = m->local_base;
    LP_TRY(lp_gguf_get_f64(gguf, lp_hf_key_of(&key, a, "rope.freq_base"), false, &base));
    lp_json_puts(out, "  \"rope_theta\": ");
    lp_hf_put_real(out, base);
    lp_json_puts(out, ",\n");
    if (a->has & LP_HF_LOCAL_BASE) {
        LP_TRY(lp_gguf_get_f64(gguf, lp_hf_key_of(&key, a, "rope.freq_base_swa"), false, &local_base));
        lp_json_puts(out, "  \"rope_local_base_freq\": ");
        lp_hf_put_real(out, local_base);
        lp_json_puts(out, ",\n");
    }
    if (a->rotated > 0) { /* readers cut share times size to an integer: half a value more is safe from rounding */
        double share = (double)shape->n_rotated / (double)shape->head_size;
        bool exact = (int64_t)((double)(float)share * (double)shape->head_size) == shape->n_rotated && (double)(float)share == share;
        lp_json_puts(out, "  \"partial_rotary_factor\": ");
        lp_hf_put_real(out, exact ? share : ((double)shape->n_rotated + 0.5) / (double)shape->head_size);
        lp_json_puts(out, ",\n");
    } else if (shape->n_rotated != shape->head_size) {
        return lp_fail(LP_UNSUPPORTED, "%s: %s.rope.dimension_count: %lld of %lld values: %s turns all", lp_gguf_path(gguf), a->gguf,
                       (long long)shape->n_rotated, (long long)shape->head_size, a->class_name);
    }
    return put_scaling(gguf, a, shape, out);
}

/* Which layers have a window, as the builder reads it: has[n_layer]. */
static lp_status read_pattern(const lp_gguf *gguf, const lp_hf_architecture *a, const lp_hf_shape *shape, int64_t period, uint8_t *has)
{
    lp_hf_key name;
    const lp_gguf_key *k = lp_gguf_find(gguf, lp_hf_key_of(&name, a, "attention.sliding_window_pattern"));
    if (k && k->type == LP_GGUF_ARRAY && k->n_elements != (uint64_t)shape->n_layer)
        return lp_fail(LP_INPUT, "%s: key %s: %llu elements for %lld layers", lp_gguf_path(gguf), name.text,
                       (unsigned long long)k->n_elements, (long long)shape->n_layer);
    if (k && k->type != LP_GGUF_ARRAY) LP_TRY(lp_gguf_get_i64(gguf, name.text, true, &period));
    if (period < 1) return lp_fail(LP_INPUT, "%s: key %s: %lld", lp_gguf_path(gguf), name.text, (long long)period);
    for (int64_t i = 0; i < shape->n_layer; i++) {
        int64_t value = period == 1 || i % period < period - 1;
        if (k && k->type == LP_GGUF_ARRAY) LP_TRY(lp_gguf_array_i64(k, (uint64_t)i, &value));
        has[i] = value != 0;
    }
    return LP_OK;
}

static void put_types(const uint8_t *has, int64_t n, lp_json_text *out)
{
    lp_json_puts(out, "  \"layer_types\": [");
    for (int64_t i = 0; i < n; i++) lp_json_printf(out, "%s\"%s_attention\"", i ? ", " : "", has[i] ? "sliding" : "full");
    lp_json_puts(out, "],\n");
}

lp_status lp_hf_write_windows(const lp_gguf *gguf, const lp_hf_architecture *a, const lp_hf_shape *shape, lp_json_text *out)
{
    const lp_architecture *m = lp_architecture_find((lp_string){a->gguf, strlen(a->gguf)});
    lp_hf_key key;
    int64_t window = m->window, n = shape->n_layer, n_full = 0;
    if (m->window_period == 0) return LP_OK;
    LP_TRY(lp_gguf_get_i64(gguf, lp_hf_key_of(&key, a, "attention.sliding_window"), false, &window));
    if (window < 0 || window > INT32_MAX) return lp_fail(LP_INPUT, "%s: key %s: %lld", lp_gguf_path(gguf), key.text, (long long)window);
    if (a->windows == LP_HF_WINDOWS_NONE) return LP_OK; /* a row with windows was chosen where there are some */
    if (window == 0) {
        lp_json_puts(out, "  \"sliding_window\": null,\n");
        return LP_OK;
    }
    uint8_t *has = calloc((size_t)n, 1);
    if (!has) return lp_fail_memory((size_t)n, "the layers");
    lp_status status = read_pattern(gguf, a, shape, m->window_period, has);
    for (int64_t i = 0; i < n; i++) n_full += !has[i];
    if (status == LP_OK && a->windows == LP_HF_WINDOWS_ALL && n_full)
        status = lp_fail(LP_UNSUPPORTED, "%s: %s.attention.sliding_window_pattern: %s has a window in every layer", lp_gguf_path(gguf),
                         a->gguf, a->class_name);
    if (status == LP_OK) {
        lp_json_printf(out, "  \"sliding_window\": %lld,\n", (long long)window);
        if (a->windows == LP_HF_WINDOWS_LATE)
            lp_json_printf(out, "  \"use_sliding_window\": true,\n  \"max_window_layers\": %lld,\n", (long long)n_full);
        if (a->windows != LP_HF_WINDOWS_ALL) put_types(has, n, out);
    }
    free(has);
    return status;
}
