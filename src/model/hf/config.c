/* config.json to keys, and back: one table for both ways. Card: runtime/architectures. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "model/hf/hf.h"
#include "model/model.h"

typedef enum row_kind { SIZE, REAL } row_kind;

/* A number that both worlds have. */
typedef struct config_row {
    const char *hf, *gguf; /* gguf: behind the architecture's name and a point */
    uint32_t of;           /* LP_HF_* */
    row_kind kind;
    bool required;         /* in config.json */
    double most;           /* SIZE: largest value */
    double fallback;       /* value that an absent member has and its key needs, 0: the key is left out */
    int kept;              /* SIZE: where in lp_hf_shape, -1: nowhere */
} config_row;

#define KEPT_IN(field) (int)offsetof(lp_hf_shape, field)
static const config_row rows[] = {
    {"max_position_embeddings", "context_length", 0, SIZE, true, 1 << 24, 0, KEPT_IN(n_context)},
    {"hidden_size", "embedding_length", 0, SIZE, true, 1 << 20, 0, KEPT_IN(n_embd)},
    {"num_hidden_layers", "block_count", 0, SIZE, true, 4096, 0, KEPT_IN(n_layer)},
    {"intermediate_size", "feed_forward_length", 0, SIZE, true, 1 << 20, 0, -1},
    {"num_attention_heads", "attention.head_count", 0, SIZE, true, 4096, 0, KEPT_IN(n_head)},
    {"num_key_value_heads", "attention.head_count_kv", 0, SIZE, false, 4096, 0, KEPT_IN(n_head_kv)},
    {"rms_norm_eps", "attention.layer_norm_rms_epsilon", LP_HF_RMS, REAL, true, 0, 0, -1},
    {"layer_norm_eps", "attention.layer_norm_epsilon", LP_HF_LAYER_NORM_EPS, REAL, true, 0, 0, -1},
    {"norm_epsilon", "attention.layer_norm_epsilon", LP_HF_NORM_EPSILON, REAL, true, 0, 0, -1},
    {"num_local_experts", "expert_count", LP_HF_MIXTRAL, SIZE, true, 4096, 0, KEPT_IN(n_experts)},
    {"num_experts", "expert_count", LP_HF_EXPERTS, SIZE, true, 4096, 0, KEPT_IN(n_experts)},
    {"num_experts_per_tok", "expert_used_count", LP_HF_MIXTRAL, SIZE, true, 4096, 0, -1},
    {"num_experts_per_tok", "expert_used_count", LP_HF_EXPERTS, SIZE, true, 4096, 0, -1},
    {"moe_intermediate_size", "expert_feed_forward_length", LP_HF_EXPERTS, SIZE, true, 1 << 20, 0, -1},
    {"shared_expert_intermediate_size", "expert_shared_feed_forward_length", LP_HF_SHARED, SIZE, true, 1 << 20, 0, -1},
    {"embedding_multiplier", "embedding_scale", LP_HF_SCALES, REAL, false, 0, 1, -1},
    {"attention_multiplier", "attention.scale", LP_HF_SCALES, REAL, false, 0, 1, -1},
    {"residual_multiplier", "residual_scale", LP_HF_SCALES, REAL, false, 0, 1, -1},
    {"logits_scaling", "logit_scale", LP_HF_SCALES, REAL, false, 0, 1, -1},
    {"attn_logit_softcapping", "attn_logit_softcapping", LP_HF_CAPS, REAL, true, 0, 0, -1},
    {"final_logit_softcapping", "final_logit_softcapping", LP_HF_CAPS, REAL, true, 0, 0, -1},
    {"final_logit_softcapping", "final_logit_softcapping", LP_HF_FINAL_CAP, REAL, false, 0, 0, -1},
};
enum { N_ROWS = sizeof rows / sizeof *rows };

/* What must be so, because GGUF has no word for anything else. Written as it stands. */
static const struct {
    uint32_t of;
    const char *hf, *text; /* text: as JSON */
    bool required;         /* absent means something else */
} facts[] = {
    {LP_HF_EXPERTS | LP_HF_QK_NORMS, "norm_topk_prob", "true", true},
    {LP_HF_EXPERTS | LP_HF_SHARED, "norm_topk_prob", "false", false},
    {LP_HF_EXPERTS, "decoder_sparse_step", "1", false},
    {LP_HF_EXPERTS, "mlp_only_layers", "[]", false},
    {LP_HF_EXPERTS, "use_sliding_window", "false", false},
    {LP_HF_GEMMA | LP_HF_FINAL_CAP, "attn_logit_softcapping", "null", false},
    {LP_HF_GEMMA, "use_bidirectional_attention", "null", false},
    {LP_HF_NO_GATE, "use_bias", "true", false},
    {0, "pad_token_id", "null", false},
};
enum { N_FACTS = sizeof facts / sizeof *facts };

/* Flags that tensors tell: true where layer 0 has the tensor (or, inverted, has it not). */
static const struct {
    uint32_t of;
    const char *hf, *tensor;
    bool inverted;
} told[] = {
    {LP_HF_BIAS_FLAGS, "attention_bias", "blk.0.attn_q.bias", false},
    {LP_HF_BIAS_FLAGS, "mlp_bias", "blk.0.ffn_up.bias", false},
    {LP_HF_STABLELM, "use_qkv_bias", "blk.0.attn_q.bias", false},
    {LP_HF_STABLELM, "qk_layernorm", "blk.0.attn_q_norm.weight", false},
    {LP_HF_STABLELM, "use_parallel_residual", "blk.0.ffn_norm.weight", true},
};
enum { N_TOLD = sizeof told / sizeof *told };

static bool belongs(uint32_t of, const lp_hf_architecture *a) { return (of & a->has) == of; }

lp_status lp_hf_read_size(const lp_hf_file *f, const lp_json *object, const char *name, bool required, int64_t most, int64_t *value)
{
    const lp_json *node = lp_json_find(object, name);
    if (!lp_hf_present(node)) return required ? lp_fail(LP_INPUT, "%s: %s: missing", f->path, name) : LP_OK;
    if (!lp_json_integer(node, value) || *value < 1 || *value > most)
        return lp_fail(LP_INPUT, "%s: %s: no integer of 1 to %lld", f->path, name, (long long)most);
    return LP_OK;
}

lp_status lp_hf_read_real(const lp_hf_file *f, const lp_json *object, const char *name, bool required, double *value)
{
    const lp_json *node = lp_json_find(object, name);
    if (!lp_hf_present(node)) return required ? lp_fail(LP_INPUT, "%s: %s: missing", f->path, name) : LP_OK;
    if (!lp_json_real(node, value) || !(*value > 0) || *value > 1e30)
        return lp_fail(LP_INPUT, "%s: %s: no positive number", f->path, name);
    return LP_OK;
}

static lp_status read_row(const lp_hf_file *f, const lp_hf_architecture *a, const config_row *row, lp_gguf_writer *writer, lp_hf_shape *shape)
{
    lp_hf_key key;
    if (row->kind == REAL) {
        double value = row->fallback;
        LP_TRY(lp_hf_read_real(f, f->json.node, row->hf, row->required, &value));
        return value == 0 ? LP_OK : lp_gguf_writer_set_f32(writer, lp_hf_key_of(&key, a, row->gguf), (float)value);
    }
    int64_t value = 0;
    if (row->kept == KEPT_IN(n_head_kv)) value = shape->n_head;
    LP_TRY(lp_hf_read_size(f, f->json.node, row->hf, row->required, (int64_t)row->most, &value));
    if (row->kept >= 0) memcpy((char *)shape + row->kept, &value, sizeof value);
    return lp_gguf_writer_set_u32(writer, lp_hf_key_of(&key, a, row->gguf), (uint32_t)value);
}

static bool says(const lp_json *node, const char *text)
{
    switch (node->kind) {
    case LP_JSON_BOOL: return strcmp(text, node->n ? "true" : "false") == 0;
    case LP_JSON_NUMBER: return node->n == strlen(text) && memcmp(node->text, text, node->n) == 0;
    case LP_JSON_ARRAY: return node->n == 0 && strcmp(text, "[]") == 0;
    default: return false;
    }
}

/* false where null is the fact: transformers takes both for no. */
static bool is_no(const lp_json *node, const char *text)
{
    return strcmp(text, "null") == 0 && node->kind == LP_JSON_BOOL && !node->n;
}

static lp_status check_facts(const lp_hf_file *f, const lp_hf_architecture *a)
{
    for (int i = 0; i < N_FACTS; i++) {
        const lp_json *node = lp_json_find(f->json.node, facts[i].hf);
        if (facts[i].of == 0 || !belongs(facts[i].of, a)) continue;
        if (!lp_hf_present(node) ? !facts[i].required : says(node, facts[i].text) || is_no(node, facts[i].text)) continue;
        lp_fail(LP_UNSUPPORTED, "%s: %s: %s cannot be converted", f->path, facts[i].hf,
                lp_hf_present(node) ? "this value" : "absent, which means another value,");
        return lp_hint(LP_UNSUPPORTED, "GGUF has no key for it; %s is what can", facts[i].text);
    }
    return LP_OK;
}

/* Gemma names its activation twice; the newer name counts. */
static lp_status check_activation(const lp_hf_file *f, const lp_hf_architecture *a)
{
    const lp_json *node = lp_json_find(f->json.node, "hidden_activation");
    const char *name = "hidden_activation";
    char item[LP_PRINTABLE];
    if (!lp_hf_present(node) || !(a->has & LP_HF_GEMMA)) node = lp_json_find(f->json.node, name = "hidden_act");
    if (!lp_hf_present(node) || lp_json_is(node, a->activation)) return LP_OK;
    if (a->has & LP_HF_GEMMA && lp_json_is(node, "gelu")) return LP_OK; /* early Gemma files meant the tanh form */
    return lp_fail(LP_UNSUPPORTED, "%s: %s: '%s' is not built for %s (known: %s)", f->path, name,
                   node->kind == LP_JSON_STRING ? lp_name_printable(lp_json_string(node), item) : "?", a->class_name, a->activation);
}

/* What the score scale of Gemma is 1 / sqrt of. */
static double score_divisor(const lp_hf_architecture *a, const lp_hf_shape *s)
{
    const lp_architecture *m = lp_architecture_find((lp_string){a->gguf, strlen(a->gguf)});
    return (double)(m->odd_layers == s->n_layer ? s->n_embd / s->n_head : s->head_size);
}

static lp_status read_heads(const lp_hf_file *f, const lp_hf_architecture *a, lp_gguf_writer *writer, lp_hf_shape *shape)
{
    lp_hf_key key;
    double divisor = 256; /* the default of both Gemmas */
    shape->head_size = a->head_size ? a->head_size : shape->n_embd / shape->n_head;
    LP_TRY(lp_hf_read_size(f, f->json.node, "head_dim", false, 1024, &shape->head_size));
    if (shape->head_size < 2 || shape->head_size % 2)
        return lp_fail(LP_INPUT, "%s: head_dim: %lld is not even", f->path, (long long)shape->head_size);
    if (shape->head_size * shape->n_head != shape->n_embd) {
        LP_TRY(lp_gguf_writer_set_u32(writer, lp_hf_key_of(&key, a, "attention.key_length"), (uint32_t)shape->head_size));
        LP_TRY(lp_gguf_writer_set_u32(writer, lp_hf_key_of(&key, a, "attention.value_length"), (uint32_t)shape->head_size));
    }
    if (!(a->has & LP_HF_GEMMA)) return LP_OK;
    LP_TRY(lp_hf_read_real(f, f->json.node, "query_pre_attn_scalar", false, &divisor));
    if (divisor == score_divisor(a, shape)) return LP_OK;
    return lp_fail(LP_UNSUPPORTED, "%s: query_pre_attn_scalar: %g cannot be converted: GGUF has no key for it, and its readers take %g",
                   f->path, divisor, score_divisor(a, shape));
}

lp_status lp_hf_read_config(const lp_hf_file *f, const lp_hf_architecture *a, lp_gguf_writer *writer, lp_arena *arena,
                            lp_hf_shape *shape)
{
    const lp_json *root = f->json.node, *tied = lp_json_find(root, "tie_word_embeddings");
    lp_hf_key key;
    if (lp_hf_present(lp_json_find(root, "quantization_config"))) {
        lp_fail(LP_UNSUPPORTED, "%s: quantization_config: folders of quantized weights cannot be converted", f->path);
        return lp_hint(LP_UNSUPPORTED, "convert the original model and quantize it with lowp");
    }
    LP_TRY(check_activation(f, a));
    LP_TRY(check_facts(f, a));
    const lp_json *name = lp_json_find(root, "_name_or_path");
    LP_TRY(lp_gguf_writer_set_string(writer, "general.architecture", a->gguf));
    if (name && name->kind == LP_JSON_STRING && name->n && name->n < 256) {
        char *copy = lp_arena_copy_string(arena, name->text, name->n);
        if (!copy) return LP_RESOURCE;
        LP_TRY(lp_gguf_writer_set_string(writer, "general.name", copy));
    }
    for (int i = 0; i < N_ROWS; i++)
        if (belongs(rows[i].of, a)) LP_TRY(read_row(f, a, &rows[i], writer, shape));
    LP_TRY(lp_hf_read_size(f, root, "vocab_size", true, INT32_MAX / 2, &shape->n_vocab));
    LP_TRY(lp_gguf_writer_set_u32(writer, lp_hf_key_of(&key, a, "vocab_size"), (uint32_t)shape->n_vocab));
    LP_TRY(read_heads(f, a, writer, shape));
    shape->tied = tied && tied->kind == LP_JSON_BOOL ? tied->n != 0 : a->tied;
    shape->untied = tied && tied->kind == LP_JSON_BOOL && !tied->n;
    LP_TRY(lp_hf_read_rope(f, a, writer, arena, shape));
    return lp_hf_read_windows(f, a, writer, arena, shape);
}

/* ---- the other way ----------------------------------------------------------------------------------------------- */

void lp_hf_put_real(lp_json_text *out, double value)
{
    char text[40];
    if (value == floor(value) && fabs(value) < 1e9 && value != 0) {
        lp_json_printf(out, "%lld.0", (long long)value);
        return;
    }
    for (int digits = 1; digits <= 9; digits++) {
        snprintf(text, sizeof text, "%.*g", digits, value);
        if ((float)strtod(text, NULL) == (float)value) break;
    }
    for (char *p = text; *p; p++)
        if (*p == ',') *p = '.'; /* a locale's point */
    lp_json_puts(out, text);
    if (!strpbrk(text, ".e")) lp_json_puts(out, ".0");
}

static lp_status read_bounded(const lp_gguf *gguf, const lp_hf_architecture *a, const char *suffix, bool required, int64_t least,
                              int64_t most, int64_t *value)
{
    lp_hf_key key;
    LP_TRY(lp_gguf_get_i64(gguf, lp_hf_key_of(&key, a, suffix), required, value));
    if (*value >= least && *value <= most) return LP_OK;
    return lp_fail(LP_INPUT, "%s: key %s: %lld is outside %lld .. %lld", lp_gguf_path(gguf), key.text, (long long)*value,
                   (long long)least, (long long)most);
}

lp_status lp_hf_read_shape(const lp_gguf *gguf, const lp_hf_architecture *a, lp_hf_shape *s)
{
    const lp_tensor *embedding = lp_gguf_find_tensor(gguf, "token_embd.weight");
    if (!embedding) return lp_fail(LP_INPUT, "%s: tensor token_embd.weight: missing", lp_gguf_path(gguf));
    s->n_vocab = lp_tensor_rows(embedding);
    s->tied = !lp_gguf_find_tensor(gguf, "output.weight");
    for (int i = 0; i < N_ROWS; i++) {
        if (rows[i].kept < 0 || !belongs(rows[i].of, a)) continue;
        int64_t value = rows[i].kept == KEPT_IN(n_head_kv) ? s->n_head : 0;
        LP_TRY(read_bounded(gguf, a, rows[i].gguf, rows[i].required, 1, (int64_t)rows[i].most, &value));
        memcpy((char *)s + rows[i].kept, &value, sizeof value);
    }
    s->head_size = s->n_embd / s->n_head;
    LP_TRY(read_bounded(gguf, a, "attention.key_length", false, 2, 1024, &s->head_size));
    s->n_rotated = s->head_size;
    LP_TRY(read_bounded(gguf, a, "rope.dimension_count", false, 2, s->head_size, &s->n_rotated));
    if (s->head_size % 2) return lp_fail(LP_INPUT, "%s: a head size of %lld", lp_gguf_path(gguf), (long long)s->head_size);
    return LP_OK;
}

static lp_status put_row(const lp_gguf *gguf, const lp_hf_architecture *a, const config_row *row, lp_json_text *out)
{
    lp_hf_key key;
    int64_t size = 0;
    double real = 0;
    lp_hf_key_of(&key, a, row->gguf);
    if (!lp_gguf_find(gguf, key.text) && !row->required && row->fallback == 0) return LP_OK;
    if (row->kind == SIZE) {
        LP_TRY(lp_gguf_get_i64(gguf, key.text, true, &size));
        lp_json_printf(out, "  \"%s\": %lld,\n", row->hf, (long long)size);
        return LP_OK;
    }
    LP_TRY(lp_gguf_get_f64(gguf, key.text, row->required, &real));
    if (real == 0) return LP_OK; /* stands for the default in GGUF too */
    lp_json_printf(out, "  \"%s\": ", row->hf);
    lp_hf_put_real(out, real);
    lp_json_puts(out, ",\n");
    return LP_OK;
}

/* What the builder obeys and config.json has no word for. */
static lp_status check_unsaid(const lp_gguf *gguf, const lp_hf_architecture *a)
{
    const lp_architecture *m = lp_architecture_find((lp_string){a->gguf, strlen(a->gguf)});
    lp_hf_key key;
    double weights = 0, base = 10000, local = m->local_base;
    bool finetuned = true;
    if (m->expert_keys) LP_TRY(lp_gguf_get_f64(gguf, lp_hf_key_of(&key, a, "expert_weights_scale"), false, &weights));
    if (weights != 0 && weights != 1)
        return lp_fail(LP_UNSUPPORTED, "%s: key %s: %g has no place in config.json of %s", lp_gguf_path(gguf), key.text, weights, a->class_name);
    if (m->scale_keys) LP_TRY(lp_gguf_get_bool(gguf, lp_hf_key_of(&key, a, "rope.scaling.finetuned"), false, &finetuned));
    if (!finetuned)
        return lp_fail(LP_UNSUPPORTED, "%s: key %s: a model without RoPE has no place in config.json of %s", lp_gguf_path(gguf), key.text, a->class_name);
    if (!m->local_rope || a->has & LP_HF_LOCAL_BASE) return LP_OK;
    LP_TRY(lp_gguf_get_f64(gguf, lp_hf_key_of(&key, a, "rope.freq_base"), false, &base));
    if (local == 0) local = base;
    LP_TRY(lp_gguf_get_f64(gguf, lp_hf_key_of(&key, a, "rope.freq_base_swa"), false, &local));
    if (local == base) return LP_OK;
    return lp_fail(LP_UNSUPPORTED, "%s: key %s: %g has no place in config.json of %s", lp_gguf_path(gguf), key.text, local, a->class_name);
}

static lp_status put_token_ids(const lp_gguf *gguf, lp_json_text *out)
{
    static const char *const ids[][2] = {{"bos_token_id", "tokenizer.ggml.bos_token_id"}, {"eos_token_id", "tokenizer.ggml.eos_token_id"}};
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        int64_t id = 0;
        if (!lp_gguf_find(gguf, ids[i][1])) continue;
        LP_TRY(lp_gguf_get_i64(gguf, ids[i][1], true, &id));
        lp_json_printf(out, "  \"%s\": %lld,\n", ids[i][0], (long long)id);
    }
    return LP_OK;
}

lp_status lp_hf_write_config(const lp_gguf *gguf, const lp_hf_architecture *a, const lp_hf_shape *shape, const char *dtype,
                             lp_json_text *out)
{
    lp_string name = {"", 0};
    LP_TRY(check_unsaid(gguf, a));
    LP_TRY(lp_gguf_get_string(gguf, "general.name", false, &name));
    lp_json_puts(out, "{\n  \"_name_or_path\": ");
    lp_json_quote(out, name.data, name.n);
    lp_json_printf(out, ",\n  \"architectures\": [\"%s\"],\n  \"model_type\": \"%s\",\n  \"hidden_act\": \"%s\",\n", a->class_name,
                   a->model_type, a->activation);
    if (a->has & LP_HF_GEMMA)
        lp_json_printf(out, "  \"hidden_activation\": \"%s\",\n  \"query_pre_attn_scalar\": %.0f,\n", a->activation, score_divisor(a, shape));
    for (int i = 0; i < N_ROWS; i++)
        if (belongs(rows[i].of, a)) LP_TRY(put_row(gguf, a, &rows[i], out));
    if (a->head_size || shape->head_size * shape->n_head != shape->n_embd)
        lp_json_printf(out, "  \"head_dim\": %lld,\n", (long long)shape->head_size);
    LP_TRY(put_token_ids(gguf, out));
    LP_TRY(lp_hf_write_rope(gguf, a, shape, out));
    LP_TRY(lp_hf_write_windows(gguf, a, shape, out));
    for (int i = 0; i < N_FACTS; i++)
        if (belongs(facts[i].of, a)) lp_json_printf(out, "  \"%s\": %s,\n", facts[i].hf, facts[i].text);
    for (int i = 0; i < N_TOLD; i++) {
        if (!belongs(told[i].of, a)) continue;
        bool flag = (lp_gguf_find_tensor(gguf, told[i].tensor) != NULL) != told[i].inverted;
        lp_json_printf(out, "  \"%s\": %s,\n", told[i].hf, flag ? "true" : "false");
    }
    lp_json_printf(out, "  \"tie_word_embeddings\": %s,\n  \"torch_dtype\": \"%s\",\n  \"vocab_size\": %lld\n}\n",
                   shape->tied ? "true" : "false", dtype, (long long)shape->n_vocab);
    return LP_OK;
}
