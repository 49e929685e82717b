/* Architectures of config.json, and names of tensors there and here. Cards: runtime/architectures, runtime/llama-decoder. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "model/hf/hf.h"

#define KEPT LP_HF_ROWS_KEPT
#define Q LP_HF_ROWS_Q
#define K LP_HF_ROWS_K

/* In the order of a GGUF file. */
static const lp_hf_name names[] = {
    {"model.embed_tokens.weight", "token_embd.weight", 0, false, KEPT, 0},
    {"input_layernorm.weight", "attn_norm.weight", LP_HF_PRE_NORMS, true, KEPT, LP_HF_NORM},
    {"input_layernorm.bias", "attn_norm.bias", LP_HF_LAYER_NORMS, true, KEPT, 0},
    {"self_attn.q_proj.weight", "attn_q.weight", LP_HF_SPLIT, true, Q, 0},
    {"self_attn.q_proj.bias", "attn_q.bias", LP_HF_QKV_BIAS, true, Q, 0},
    {"self_attn.q_norm.weight", "attn_q_norm.weight", LP_HF_QK_NORMS, true, KEPT, LP_HF_NORM},
    {"self_attn.q_layernorm.norms.*.weight", "attn_q_norm.weight", LP_HF_OWN_NORMS, true, Q, LP_HF_WIDE},
    {"self_attn.k_proj.weight", "attn_k.weight", LP_HF_SPLIT, true, K, 0},
    {"self_attn.k_proj.bias", "attn_k.bias", LP_HF_QKV_BIAS, true, K, 0},
    {"self_attn.k_norm.weight", "attn_k_norm.weight", LP_HF_QK_NORMS, true, KEPT, LP_HF_NORM},
    {"self_attn.k_layernorm.norms.*.weight", "attn_k_norm.weight", LP_HF_OWN_NORMS, true, K, LP_HF_WIDE},
    {"self_attn.v_proj.weight", "attn_v.weight", LP_HF_SPLIT, true, KEPT, 0},
    {"self_attn.v_proj.bias", "attn_v.bias", LP_HF_QKV_BIAS, true, KEPT, 0},
    {"self_attn.qkv_proj.weight", "attn_qkv.weight", LP_HF_FUSED, true, KEPT, 0},
    {"self_attn.o_proj.weight", "attn_output.weight", 0, true, KEPT, 0},
    {"self_attn.o_proj.bias", "attn_output.bias", LP_HF_BIAS, true, KEPT, 0},
    {"post_attention_layernorm.weight", "post_attention_norm.weight", LP_HF_POST_NORMS, true, KEPT, LP_HF_NORM},
    {"post_attention_layernorm.weight", "ffn_norm.weight", LP_HF_FFN_NORM, true, KEPT, 0},
    {"post_attention_layernorm.bias", "ffn_norm.bias", LP_HF_LAYER_NORMS, true, KEPT, 0},
    {"pre_feedforward_layernorm.weight", "ffn_norm.weight", LP_HF_GEMMA, true, KEPT, LP_HF_NORM},
    {"block_sparse_moe.gate.weight", "ffn_gate_inp.weight", LP_HF_MIXTRAL, true, KEPT, LP_HF_WIDE},
    {"block_sparse_moe.experts.*.w1.weight", "ffn_gate_exps.weight", LP_HF_MIXTRAL, true, KEPT, 0},
    {"block_sparse_moe.experts.*.w3.weight", "ffn_up_exps.weight", LP_HF_MIXTRAL, true, KEPT, 0},
    {"block_sparse_moe.experts.*.w2.weight", "ffn_down_exps.weight", LP_HF_MIXTRAL, true, KEPT, 0},
    {"mlp.gate.weight", "ffn_gate_inp.weight", LP_HF_EXPERTS, true, KEPT, LP_HF_WIDE},
    {"mlp.experts.gate_up_proj", "ffn_gate_up_exps.weight", LP_HF_EXPERTS | LP_HF_STACKED, true, KEPT, 0},
    {"mlp.experts.down_proj", "ffn_down_exps.weight", LP_HF_EXPERTS | LP_HF_STACKED, true, KEPT, 0},
    {"mlp.experts.*.gate_proj.weight", "ffn_gate_exps.weight", LP_HF_EXPERTS, true, KEPT, 0},
    {"mlp.experts.*.up_proj.weight", "ffn_up_exps.weight", LP_HF_EXPERTS, true, KEPT, 0},
    {"mlp.experts.*.down_proj.weight", "ffn_down_exps.weight", LP_HF_EXPERTS, true, KEPT, 0},
    {"mlp.shared_expert_gate.weight", "ffn_gate_inp_shexp.weight", LP_HF_SHARED, true, KEPT, LP_HF_ROW | LP_HF_WIDE},
    {"mlp.shared_expert.gate_proj.weight", "ffn_gate_shexp.weight", LP_HF_SHARED, true, KEPT, 0},
    {"mlp.shared_expert.up_proj.weight", "ffn_up_shexp.weight", LP_HF_SHARED, true, KEPT, 0},
    {"mlp.shared_expert.down_proj.weight", "ffn_down_shexp.weight", LP_HF_SHARED, true, KEPT, 0},
    {"mlp.gate_proj.weight", "ffn_gate.weight", LP_HF_GATED, true, KEPT, 0},
    {"mlp.gate_proj.bias", "ffn_gate.bias", LP_HF_GATED | LP_HF_BIAS, true, KEPT, 0},
    {"mlp.up_proj.weight", "ffn_up.weight", LP_HF_GATED, true, KEPT, 0},
    {"mlp.up_proj.bias", "ffn_up.bias", LP_HF_GATED | LP_HF_BIAS, true, KEPT, 0},
    {"mlp.down_proj.weight", "ffn_down.weight", LP_HF_GATED, true, KEPT, 0},
    {"mlp.down_proj.bias", "ffn_down.bias", LP_HF_GATED | LP_HF_BIAS, true, KEPT, 0},
    {"mlp.gate_up_proj.weight", "ffn_up.weight", LP_HF_FUSED, true, KEPT, 0},
    {"mlp.down_proj.weight", "ffn_down.weight", LP_HF_FUSED, true, KEPT, 0},
    {"mlp.c_fc.weight", "ffn_up.weight", LP_HF_NO_GATE, true, KEPT, 0},
    {"mlp.c_fc.bias", "ffn_up.bias", LP_HF_NO_GATE, true, KEPT, 0},
    {"mlp.c_proj.weight", "ffn_down.weight", LP_HF_NO_GATE, true, KEPT, 0},
    {"mlp.c_proj.bias", "ffn_down.bias", LP_HF_NO_GATE, true, KEPT, 0},
    {"post_feedforward_layernorm.weight", "post_ffw_norm.weight", LP_HF_POST_NORMS, true, KEPT, LP_HF_NORM},
    {"model.norm.weight", "output_norm.weight", 0, false, KEPT, LP_HF_NORM},
    {"model.norm.bias", "output_norm.bias", LP_HF_LAYER_NORMS, false, KEPT, 0},
    {"lm_head.weight", "output.weight", 0, false, KEPT, 0},
};
enum { N_NAMES = sizeof names / sizeof *names };
_Static_assert((int)N_NAMES <= (int)LP_HF_MAX_NAMES, "more names than an importer has room for");

#define LLAMA (LP_HF_PRE_NORMS | LP_HF_FFN_NORM | LP_HF_SPLIT | LP_HF_QKV_BIAS | LP_HF_BIAS | LP_HF_GATED | LP_HF_RMS)
#define QWEN3 (LP_HF_PRE_NORMS | LP_HF_FFN_NORM | LP_HF_SPLIT | LP_HF_QK_NORMS | LP_HF_RMS)
#define GEMMA (LP_HF_PRE_NORMS | LP_HF_POST_NORMS | LP_HF_GEMMA | LP_HF_SPLIT | LP_HF_GATED | LP_HF_RMS)
#define OLMO (LP_HF_POST_NORMS | LP_HF_SPLIT | LP_HF_QK_NORMS | LP_HF_GATED | LP_HF_RMS)

/* Of several rows with one gguf name, the first whose `with` fits a file is what it becomes. */
static const lp_hf_architecture architectures[] = {
    {"MixtralForCausalLM", "mixtral", "llama", .has = (LLAMA & ~(LP_HF_GATED | LP_HF_BIAS | LP_HF_QKV_BIAS)) | LP_HF_MIXTRAL,
     .activation = "silu", .base = 1e6, .windows = LP_HF_WINDOWS_ALL, .with_experts = true},
    {"MistralForCausalLM", "mistral", "llama", .has = LLAMA & ~(LP_HF_BIAS | LP_HF_QKV_BIAS), .activation = "silu",
     .windows = LP_HF_WINDOWS_ALL, .with_windows = true},
    {"LlamaForCausalLM", "llama", "llama", .has = LLAMA | LP_HF_BIAS_FLAGS, .activation = "silu"},
    {"Qwen2ForCausalLM", "qwen2", "qwen2", .has = LLAMA & ~LP_HF_BIAS, .activation = "silu", .windows = LP_HF_WINDOWS_LATE},
    {"Qwen3ForCausalLM", "qwen3", "qwen3", .has = QWEN3 | LP_HF_GATED, .activation = "silu", .head_size = 128,
     .windows = LP_HF_WINDOWS_LATE},
    {"Qwen2MoeForCausalLM", "qwen2_moe", "qwen2moe",
     .has = (LLAMA & ~(LP_HF_GATED | LP_HF_BIAS)) | LP_HF_EXPERTS | LP_HF_SHARED, .activation = "silu"},
    {"Qwen3MoeForCausalLM", "qwen3_moe", "qwen3moe", .has = QWEN3 | LP_HF_EXPERTS, .activation = "silu"},
    {"Gemma2ForCausalLM", "gemma2", "gemma2", .has = GEMMA | LP_HF_CAPS, .activation = "gelu_pytorch_tanh", .head_size = 256,
     .windows = LP_HF_WINDOWS_PATTERN, .tied = true},
    {"Gemma3ForCausalLM", "gemma3_text", "gemma3", .has = GEMMA | LP_HF_QK_NORMS | LP_HF_FINAL_CAP | LP_HF_LOCAL_BASE,
     .activation = "gelu_pytorch_tanh", .head_size = 256, .base = 1e6, .windows = LP_HF_WINDOWS_PATTERN, .tied = true},
    {"Phi3ForCausalLM", "phi3", "phi3", .has = LP_HF_PRE_NORMS | LP_HF_FFN_NORM | LP_HF_FUSED | LP_HF_RMS | LP_HF_LONG_ROPE,
     .activation = "silu", .rotated = 1, .windows = LP_HF_WINDOWS_ALL},
    {"GraniteForCausalLM", "granite", "granite", .has = LLAMA | LP_HF_SCALES | LP_HF_BIAS_FLAGS, .activation = "silu"},
    {"Olmo3ForCausalLM", "olmo3", "olmo2", .has = OLMO, .activation = "silu", .windows = LP_HF_WINDOWS_PATTERN,
     .with_windows = true},
    {"Olmo2ForCausalLM", "olmo2", "olmo2", .has = OLMO, .activation = "silu"},
    {"Starcoder2ForCausalLM", "starcoder2", "starcoder2",
     .has = LP_HF_PRE_NORMS | LP_HF_FFN_NORM | LP_HF_LAYER_NORMS | LP_HF_NORM_EPSILON | LP_HF_SPLIT | LP_HF_QKV_BIAS |
            LP_HF_BIAS | LP_HF_NO_GATE,
     .activation = "gelu_pytorch_tanh", .windows = LP_HF_WINDOWS_ALL},
    {"StableLmForCausalLM", "stablelm", "stablelm",
     .has = LP_HF_PRE_NORMS | LP_HF_FFN_NORM | LP_HF_LAYER_NORMS | LP_HF_LAYER_NORM_EPS | LP_HF_SPLIT | LP_HF_QKV_BIAS |
            LP_HF_GATED | LP_HF_OWN_NORMS | LP_HF_STABLELM,
     .activation = "silu", .rotated = 0.25},
};
enum { N_ARCHITECTURES = sizeof architectures / sizeof *architectures };

lp_status lp_hf_find_architecture(const char *file, const lp_json *config, const lp_hf_architecture **out)
{
    const lp_json *list = lp_json_find(config, "architectures"), *type = lp_json_find(config, "model_type");
    bool has_class = list && list->kind == LP_JSON_ARRAY && list->n > 0 && list[1].kind == LP_JSON_STRING;
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if (has_class ? lp_json_is(list + 1, architectures[i].class_name) : lp_json_is(type, architectures[i].model_type)) {
            *out = &architectures[i];
            return LP_OK;
        }
    const lp_json *shown = has_class ? list + 1 : type;
    if (!shown || shown->kind != LP_JSON_STRING) return lp_fail(LP_INPUT, "%s: architectures: missing", file);
    char item[LP_PRINTABLE], known[600];
    size_t n = 0;
    for (int i = 0; i < N_ARCHITECTURES && n < sizeof known; i++)
        n += (size_t)snprintf(known + n, sizeof known - n, "%s%s", i ? ", " : "", architectures[i].class_name);
    lp_fail(LP_UNSUPPORTED, "%s: architecture '%s' cannot be converted", file, lp_name_printable(lp_json_string(shown), item));
    return lp_hint(LP_UNSUPPORTED, "known ones: %s", known);
}

const lp_hf_architecture *lp_hf_architecture_of_gguf(lp_string name, bool has_experts, bool has_windows)
{
    for (int i = 0; i < N_ARCHITECTURES; i++) {
        const lp_hf_architecture *a = &architectures[i];
        if (name.n == strlen(a->gguf) && memcmp(name.data, a->gguf, name.n) == 0 && (!a->with_experts || has_experts) &&
            (!a->with_windows || has_windows))
            return a;
    }
    return NULL;
}

/* "PREFIX N ." at the start of a name: what follows it, and N; NULL if it is not there. */
static const char *after_number(const char *text, const char *end, const char *prefix, size_t n_prefix, int64_t *number)
{
    if ((size_t)(end - text) < n_prefix || memcmp(text, prefix, n_prefix) != 0) return NULL;
    const char *p = text + n_prefix, *digits = p;
    int64_t value = 0;
    while (p < end && p - digits < 6 && *p >= '0' && *p <= '9') value = 10 * value + (*p++ - '0');
    if (p == digits || (*digits == '0' && p - digits > 1) || p == end || *p != '.') return NULL;
    *number = value;
    return p + 1;
}

/* Whether a name is a row's, and the number where the row has a star. */
static bool matches(const char *row, const char *text, const char *end, int64_t *part)
{
    const char *star = strchr(row, '*');
    if (!star) return (size_t)(end - text) == strlen(row) && memcmp(text, row, strlen(row)) == 0;
    const char *rest = after_number(text, end, row, (size_t)(star - row), part);
    return rest && (size_t)(end - rest) == strlen(star + 2) && memcmp(rest, star + 2, (size_t)(end - rest)) == 0;
}

const lp_hf_name *lp_hf_find_name(uint32_t has, lp_string name, bool is_gguf, int64_t *layer, int64_t *part)
{
    const char *prefix = is_gguf ? "blk." : "model.layers.", *end = name.data + name.n;
    const char *rest = after_number(name.data, end, prefix, strlen(prefix), layer);
    if (!rest) *layer = -1;
    for (const lp_hf_name *row = names; row < names + N_NAMES; row++) {
        *part = -1;
        if (row->in_layer == (rest != NULL) && (row->of & has) == row->of &&
            matches(is_gguf ? row->gguf : row->hf, rest ? rest : name.data, end, part))
            return row;
    }
    return NULL;
}

int lp_hf_name_place(const lp_hf_name *name) { return (int)(name - names); }

void lp_hf_make_name(const lp_hf_name *name, int64_t layer, int64_t part, bool is_gguf, char *out, size_t n_out)
{
    const char *text = is_gguf ? name->gguf : name->hf, *star = strchr(text, '*');
    int n = 0;
    out[0] = '\0';
    if (name->in_layer) n = snprintf(out, n_out, "%s%lld.", is_gguf ? "blk." : "model.layers.", (long long)layer);
    if (star) snprintf(out + n, n_out - (size_t)n, "%.*s%lld%s", (int)(star - text), text, (long long)part, star + 1);
    else snprintf(out + n, n_out - (size_t)n, "%s", text);
}

bool lp_hf_is_note(lp_string key)
{
    static const char *const held[] = {"architecture", "name", "alignment", "file_type", "quantization_version", "type"};
    if (key.n <= 8 || memcmp(key.data, "general.", 8) != 0) return false;
    for (size_t i = 0; i < sizeof held / sizeof *held; i++)
        if (key.n - 8 == strlen(held[i]) && memcmp(key.data + 8, held[i], key.n - 8) == 0) return false;
    return true;
}

void lp_hf_permute(const uint8_t *src, uint8_t *dst, int64_t n_heads, int64_t head_size, size_t row_bytes, bool to_gguf)
{
    for (int64_t h = 0; h < n_heads; h++)
        for (int64_t i = 0; i < head_size / 2; i++)
            for (int64_t half = 0; half < 2; half++) {
                size_t halves = (size_t)(h * head_size + half * (head_size / 2) + i) * row_bytes;
                size_t pairs = (size_t)(h * head_size + 2 * i + half) * row_bytes;
                memcpy(dst + (to_gguf ? pairs : halves), src + (to_gguf ? halves : pairs), row_bytes);
            }
}
