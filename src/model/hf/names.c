/* Names of tensors and the order of rows, there and here. Cards: runtime/architectures, runtime/llama-decoder. */
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "model/hf/hf.h"

static const lp_hf_name llama_names[] = {
    {"model.embed_tokens.weight", "token_embd.weight", false, LP_HF_ROWS_KEPT},
    {"input_layernorm.weight", "attn_norm.weight", true, LP_HF_ROWS_KEPT},
    {"self_attn.q_proj.weight", "attn_q.weight", true, LP_HF_ROWS_Q},
    {"self_attn.q_proj.bias", "attn_q.bias", true, LP_HF_ROWS_Q},
    {"self_attn.k_proj.weight", "attn_k.weight", true, LP_HF_ROWS_K},
    {"self_attn.k_proj.bias", "attn_k.bias", true, LP_HF_ROWS_K},
    {"self_attn.v_proj.weight", "attn_v.weight", true, LP_HF_ROWS_KEPT},
    {"self_attn.v_proj.bias", "attn_v.bias", true, LP_HF_ROWS_KEPT},
    {"self_attn.o_proj.weight", "attn_output.weight", true, LP_HF_ROWS_KEPT},
    {"self_attn.o_proj.bias", "attn_output.bias", true, LP_HF_ROWS_KEPT},
    {"post_attention_layernorm.weight", "ffn_norm.weight", true, LP_HF_ROWS_KEPT},
    {"mlp.gate_proj.weight", "ffn_gate.weight", true, LP_HF_ROWS_KEPT},
    {"mlp.gate_proj.bias", "ffn_gate.bias", true, LP_HF_ROWS_KEPT},
    {"mlp.up_proj.weight", "ffn_up.weight", true, LP_HF_ROWS_KEPT},
    {"mlp.up_proj.bias", "ffn_up.bias", true, LP_HF_ROWS_KEPT},
    {"mlp.down_proj.weight", "ffn_down.weight", true, LP_HF_ROWS_KEPT},
    {"mlp.down_proj.bias", "ffn_down.bias", true, LP_HF_ROWS_KEPT},
    {"model.norm.weight", "output_norm.weight", false, LP_HF_ROWS_KEPT},
    {"lm_head.weight", "output.weight", false, LP_HF_ROWS_KEPT},
    {0},
};

static const lp_hf_architecture architectures[] = {
    {"LlamaForCausalLM", "llama", "llama", llama_names, true},
    {"MistralForCausalLM", "mistral", "llama", llama_names, true},
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
    char item[LP_PRINTABLE];
    lp_fail(LP_UNSUPPORTED, "%s: architecture '%s' cannot be converted", file, lp_name_printable(lp_json_string(shown), item));
    return lp_hint(LP_UNSUPPORTED, "known ones: LlamaForCausalLM, MistralForCausalLM");
}

const lp_hf_architecture *lp_hf_architecture_of_gguf(lp_string name)
{
    for (int i = 0; i < N_ARCHITECTURES; i++)
        if (name.n == strlen(architectures[i].gguf) && memcmp(name.data, architectures[i].gguf, name.n) == 0)
            return &architectures[i];
    return NULL;
}

/* "PREFIX N ." at the start of a name: what follows it, and N; NULL if it is not there. */
static const char *after_layer(const char *text, const char *end, const char *prefix, int64_t *layer)
{
    size_t n = strlen(prefix);
    if ((size_t)(end - text) < n || memcmp(text, prefix, n) != 0) return NULL;
    const char *p = text + n, *digits = p;
    int64_t value = 0;
    while (p < end && p - digits < 6 && *p >= '0' && *p <= '9') value = 10 * value + (*p++ - '0');
    if (p == digits || (*digits == '0' && p - digits > 1) || p == end || *p != '.') return NULL;
    *layer = value;
    return p + 1;
}

const lp_hf_name *lp_hf_find_name(const lp_hf_architecture *architecture, lp_string name, bool is_gguf, int64_t *layer)
{
    const char *end = name.data + name.n, *rest = after_layer(name.data, end, is_gguf ? "blk." : "model.layers.", layer);
    if (!rest) *layer = -1;
    lp_string part = rest ? (lp_string){rest, (size_t)(end - rest)} : name;
    for (const lp_hf_name *row = architecture->names; row->hf; row++) {
        const char *known = is_gguf ? row->gguf : row->hf;
        if (row->in_layer == (rest != NULL) && part.n == strlen(known) && memcmp(part.data, known, part.n) == 0) return row;
    }
    return NULL;
}

void lp_hf_make_name(const lp_hf_name *name, int64_t layer, bool is_gguf, char *out, size_t n_out)
{
    const char *part = is_gguf ? name->gguf : name->hf;
    if (name->in_layer) snprintf(out, n_out, "%s%lld.%s", is_gguf ? "blk." : "model.layers.", (long long)layer, part);
    else snprintf(out, n_out, "%s", part);
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
