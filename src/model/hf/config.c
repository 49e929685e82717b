/* config.json to keys, and back. Cards: runtime/architectures, runtime/llama-decoder (llama3 scaling). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/function.h"
#include "model/hf/hf.h"

static bool present(const lp_json *node) { return node && node->kind != LP_JSON_NULL; }

/* An integer member in 1 .. most; absent or null: *value stays, unless required. */
static lp_status read_size(const lp_hf_file *f, const char *name, bool required, int64_t most, int64_t *value)
{
    const lp_json *node = lp_json_find(f->json.node, name);
    if (!present(node)) return required ? lp_fail(LP_INPUT, "%s: %s: missing", f->path, name) : LP_OK;
    if (!lp_json_integer(node, value) || *value < 1 || *value > most)
        return lp_fail(LP_INPUT, "%s: %s: no integer of 1 to %lld", f->path, name, (long long)most);
    return LP_OK;
}

static lp_status read_real(const lp_hf_file *f, const lp_json *object, const char *name, bool required, double *value)
{
    const lp_json *node = lp_json_find(object, name);
    if (!present(node)) return required ? lp_fail(LP_INPUT, "%s: %s: missing", f->path, name) : LP_OK;
    if (!lp_json_real(node, value) || !(*value > 0) || *value > 1e30)
        return lp_fail(LP_INPUT, "%s: %s: no positive number", f->path, name);
    return LP_OK;
}

/* What the "llama3" scaling divides the frequencies by. */
static lp_status llama3_factors(const lp_hf_file *f, const lp_json *scaling, double base, lp_gguf_writer *writer, lp_arena *arena,
                                lp_hf_shape *shape)
{
    double factor = 0, low = 1, high = 4, old = 8192;
    LP_TRY(read_real(f, scaling, "factor", true, &factor));
    LP_TRY(read_real(f, scaling, "low_freq_factor", true, &low));
    LP_TRY(read_real(f, scaling, "high_freq_factor", true, &high));
    LP_TRY(read_real(f, scaling, "original_max_position_embeddings", true, &old));
    if (!(high > low)) return lp_fail(LP_INPUT, "%s: rope_scaling: high_freq_factor is not above low_freq_factor", f->path);
    shape->rope_factors = lp_arena_alloc_array(arena, (size_t)shape->head_size / 2, sizeof(float));
    if (!shape->rope_factors) return LP_RESOURCE;
    for (int64_t i = 0; i < shape->head_size / 2; i++) {
        double wave = 6.283185307179586 * lp_exp((double)(2 * i) / (double)shape->head_size * lp_log(base));
        double s = (old / wave - low) / (high - low);
        double divisor = wave < old / high ? 1 : wave > old / low ? factor : 1 / ((1 - s) / factor + s);
        shape->rope_factors[i] = (float)divisor;
    }
    LP_TRY(lp_gguf_writer_set_f32(writer, "lowp.rope_llama3.factor", (float)factor));
    LP_TRY(lp_gguf_writer_set_f32(writer, "lowp.rope_llama3.low", (float)low));
    LP_TRY(lp_gguf_writer_set_f32(writer, "lowp.rope_llama3.high", (float)high));
    return lp_gguf_writer_set_f32(writer, "lowp.rope_llama3.original", (float)old);
}

static lp_status read_rope(const lp_hf_file *f, lp_gguf_writer *writer, lp_arena *arena, lp_hf_shape *shape)
{
    const lp_json *root = f->json.node, *scaling = lp_json_find(root, "rope_scaling"), *newer = lp_json_find(root, "rope_parameters");
    double base = 10000, factor = 1;
    if (present(newer)) scaling = newer; /* transformers 5 writes both facts there */
    LP_TRY(read_real(f, root, "rope_theta", false, &base));
    if (present(newer)) LP_TRY(read_real(f, newer, "rope_theta", false, &base));
    LP_TRY(lp_gguf_writer_set_f32(writer, "llama.rope.freq_base", (float)base));
    if (!present(scaling)) return LP_OK;
    const lp_json *type = lp_json_find(scaling, "rope_type");
    if (!type) type = lp_json_find(scaling, "type");
    if (!present(type) || lp_json_is(type, "default")) return LP_OK;
    if (lp_json_is(type, "llama3")) return llama3_factors(f, scaling, base, writer, arena, shape);
    if (!lp_json_is(type, "linear")) {
        char item[LP_PRINTABLE];
        lp_fail(LP_UNSUPPORTED, "%s: rope_scaling: type '%s' cannot be converted", f->path,
                type->kind == LP_JSON_STRING ? lp_name_printable(lp_json_string(type), item) : "?");
        return lp_hint(LP_UNSUPPORTED, "known ones: default, linear, llama3");
    }
    LP_TRY(read_real(f, scaling, "factor", true, &factor));
    LP_TRY(lp_gguf_writer_set_string(writer, "llama.rope.scaling.type", "linear"));
    return lp_gguf_writer_set_f32(writer, "llama.rope.scaling.factor", (float)factor);
}

lp_status lp_hf_read_config(const lp_hf_file *f, const lp_hf_architecture *architecture, lp_gguf_writer *writer, lp_arena *arena,
                            lp_hf_shape *shape)
{
    const lp_json *root = f->json.node, *act = lp_json_find(root, "hidden_act"), *tied = lp_json_find(root, "tie_word_embeddings");
    int64_t context = 0, embedding = 0, ffn = 0;
    double epsilon = 0;
    char item[LP_PRINTABLE];
    if (present(lp_json_find(root, "quantization_config"))) {
        lp_fail(LP_UNSUPPORTED, "%s: quantization_config: folders of quantized weights cannot be converted", f->path);
        return lp_hint(LP_UNSUPPORTED, "convert the original model and quantize it with lowp");
    }
    if (present(act) && !lp_json_is(act, "silu"))
        return lp_fail(LP_UNSUPPORTED, "%s: hidden_act: '%s' is not built (known: silu)", f->path,
                       act->kind == LP_JSON_STRING ? lp_name_printable(lp_json_string(act), item) : "?");
    LP_TRY(read_size(f, "num_hidden_layers", true, 4096, &shape->n_layer));
    LP_TRY(read_size(f, "hidden_size", true, 1 << 20, &embedding));
    LP_TRY(read_size(f, "intermediate_size", true, 1 << 20, &ffn));
    LP_TRY(read_size(f, "max_position_embeddings", true, 1 << 24, &context));
    LP_TRY(read_size(f, "num_attention_heads", true, 4096, &shape->n_head));
    LP_TRY(read_size(f, "vocab_size", true, INT32_MAX / 2, &shape->n_vocab));
    shape->n_head_kv = shape->n_head;
    LP_TRY(read_size(f, "num_key_value_heads", false, 4096, &shape->n_head_kv));
    shape->head_size = embedding / shape->n_head;
    LP_TRY(read_size(f, "head_dim", false, 1024, &shape->head_size));
    if (shape->head_size < 2 || shape->head_size % 2)
        return lp_fail(LP_INPUT, "%s: head_dim: %lld is not even", f->path, (long long)shape->head_size);
    LP_TRY(read_real(f, root, "rms_norm_eps", true, &epsilon));
    shape->tied = tied && tied->kind == LP_JSON_BOOL && tied->n;

    const struct {
        const char *key;
        int64_t value;
    } sizes[] = {{"llama.context_length", context},           {"llama.embedding_length", embedding},
                 {"llama.block_count", shape->n_layer},       {"llama.feed_forward_length", ffn},
                 {"llama.attention.head_count", shape->n_head}, {"llama.attention.head_count_kv", shape->n_head_kv},
                 {"llama.rope.dimension_count", shape->head_size}, {"llama.vocab_size", shape->n_vocab}};
    const lp_json *name = lp_json_find(root, "_name_or_path");
    LP_TRY(lp_gguf_writer_set_string(writer, "general.architecture", architecture->gguf));
    if (name && name->kind == LP_JSON_STRING && name->n && name->n < 256) {
        char *copy = lp_arena_copy_string(arena, name->text, name->n);
        if (!copy) return LP_RESOURCE;
        LP_TRY(lp_gguf_writer_set_string(writer, "general.name", copy));
    }
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
        LP_TRY(lp_gguf_writer_set_u32(writer, sizes[i].key, (uint32_t)sizes[i].value));
    if (shape->head_size * shape->n_head != embedding) {
        LP_TRY(lp_gguf_writer_set_u32(writer, "llama.attention.key_length", (uint32_t)shape->head_size));
        LP_TRY(lp_gguf_writer_set_u32(writer, "llama.attention.value_length", (uint32_t)shape->head_size));
    }
    LP_TRY(lp_gguf_writer_set_f32(writer, "llama.attention.layer_norm_rms_epsilon", (float)epsilon));
    return read_rope(f, writer, arena, shape);
}

/* ---- the other way ----------------------------------------------------------------------------------------------- */

/* The shortest decimal text that is this float. */
static void put_float(lp_json_text *out, double value)
{
    char text[40];
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if ((float)strtod(text, NULL) == (float)value) break;
    }
    for (char *p = text; *p; p++)
        if (*p == ',') *p = '.'; /* a locale's point */
    lp_json_puts(out, text);
    if (!strpbrk(text, ".e")) lp_json_puts(out, ".0");
}

static lp_status put_scaling(const lp_gguf *gguf, lp_json_text *out)
{
    lp_string type = {"linear", 6};
    double factor = 0, l3[4] = {0};
    static const char *const keys[] = {"lowp.rope_llama3.factor", "lowp.rope_llama3.low", "lowp.rope_llama3.high",
                                       "lowp.rope_llama3.original"};
    LP_TRY(lp_gguf_get_string(gguf, "llama.rope.scaling.type", false, &type));
    LP_TRY(lp_gguf_get_f64(gguf, "llama.rope.scaling.factor", false, &factor));
    if (lp_gguf_find_tensor(gguf, "rope_freqs.weight")) {
        for (int i = 0; i < 4; i++) {
            if (!lp_gguf_find(gguf, keys[i]))
                return lp_fail(LP_UNSUPPORTED, "%s: rope_freqs.weight: the file does not tell the scaling behind these factors",
                               lp_gguf_path(gguf));
            LP_TRY(lp_gguf_get_f64(gguf, keys[i], true, &l3[i]));
        }
        lp_json_puts(out, "  \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": ");
        put_float(out, l3[0]);
        lp_json_puts(out, ", \"low_freq_factor\": ");
        put_float(out, l3[1]);
        lp_json_puts(out, ", \"high_freq_factor\": ");
        put_float(out, l3[2]);
        lp_json_printf(out, ", \"original_max_position_embeddings\": %.0f},\n", l3[3]);
        return LP_OK;
    }
    bool none = type.n == 4 && memcmp(type.data, "none", 4) == 0, linear = type.n == 6 && memcmp(type.data, "linear", 6) == 0;
    if (!none && !linear)
        return lp_fail(LP_UNSUPPORTED, "%s: llama.rope.scaling.type: this scaling cannot be converted", lp_gguf_path(gguf));
    if (none || factor == 0) return LP_OK;
    lp_json_puts(out, "  \"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": ");
    put_float(out, factor);
    lp_json_puts(out, "},\n");
    return LP_OK;
}

lp_status lp_hf_write_config(const lp_gguf *gguf, const lp_hf_architecture *architecture, bool tied, const char *dtype,
                             lp_json_text *out)
{
    static const struct {
        const char *hf, *gguf;
        bool required;
    } sizes[] = {{"hidden_size", "llama.embedding_length", true},
                 {"intermediate_size", "llama.feed_forward_length", true},
                 {"num_hidden_layers", "llama.block_count", true},
                 {"num_attention_heads", "llama.attention.head_count", true},
                 {"num_key_value_heads", "llama.attention.head_count_kv", false},
                 {"head_dim", "llama.attention.key_length", false},
                 {"max_position_embeddings", "llama.context_length", true},
                 {"bos_token_id", "tokenizer.ggml.bos_token_id", false},
                 {"eos_token_id", "tokenizer.ggml.eos_token_id", false}};
    double epsilon = 0, base = 10000;
    const lp_tensor *embedding = lp_gguf_find_tensor(gguf, "token_embd.weight");
    if (!embedding) return lp_fail(LP_INPUT, "%s: tensor token_embd.weight: missing", lp_gguf_path(gguf));
    lp_string name = {"", 0};
    LP_TRY(lp_gguf_get_string(gguf, "general.name", false, &name));
    lp_json_puts(out, "{\n  \"_name_or_path\": ");
    lp_json_quote(out, name.data, name.n);
    lp_json_printf(out, ",\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n  \"hidden_act\": \"silu\",\n",
                   architecture->class_name, architecture->model_type);
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        int64_t value = 0;
        if (!sizes[i].required && !lp_gguf_find(gguf, sizes[i].gguf)) continue;
        LP_TRY(lp_gguf_get_i64(gguf, sizes[i].gguf, true, &value));
        lp_json_printf(out, "  \"%s\": %lld,\n", sizes[i].hf, (long long)value);
    }
    LP_TRY(lp_gguf_get_f64(gguf, "llama.attention.layer_norm_rms_epsilon", true, &epsilon));
    LP_TRY(lp_gguf_get_f64(gguf, "llama.rope.freq_base", false, &base));
    lp_json_puts(out, "  \"rms_norm_eps\": ");
    put_float(out, epsilon);
    lp_json_puts(out, ",\n  \"rope_theta\": ");
    put_float(out, base);
    lp_json_puts(out, ",\n");
    LP_TRY(put_scaling(gguf, out));
    bool attention_bias = lp_gguf_find_tensor(gguf, "blk.0.attn_q.bias"), mlp_bias = lp_gguf_find_tensor(gguf, "blk.0.ffn_up.bias");
    lp_json_printf(out, "  \"attention_bias\": %s,\n  \"mlp_bias\": %s,\n  \"tie_word_embeddings\": %s,\n", attention_bias ? "true" : "false",
                   mlp_bias ? "true" : "false", tied ? "true" : "false");
    lp_json_printf(out, "  \"torch_dtype\": \"%s\",\n  \"vocab_size\": %lld\n}\n", dtype, (long long)lp_tensor_rows(embedding));
    return LP_OK;
}
