/* Small files of every architecture. */
#include "support/architecture_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { N_VOCAB = 32 };

#define COMMON .n_layer = 2, .n_head = 4, .n_head_kv = 2, .n_context = 64
const architecture_shape card_shapes[] = {
    {"qwen2", "qwen2", COMMON, .n_embd = 16, .head_size = 4, .n_ffn = 24, .epsilon = 1e-6f, .base = 1e6f, .qkv_bias = true},
    {"qwen3", "qwen3", COMMON, .n_embd = 16, .head_size = 8, .n_ffn = 24, .epsilon = 1e-6f, .base = 1e6f, .head_norms = true},
    {"qwen3moe", "qwen3moe", COMMON, .n_embd = 16, .head_size = 8, .n_ffn = 12, .epsilon = 1e-6f, .base = 1e6f,
     .head_norms = true, .n_experts = 4, .n_used = 2},
    {"qwen2moe", "qwen2moe", COMMON, .n_embd = 16, .head_size = 4, .n_ffn = 12, .epsilon = 1e-6f, .base = 1e6f, .qkv_bias = true,
     .untied = true, .n_experts = 4, .n_used = 2, .n_shared = 20},
    {"fused", "qwen3moe", COMMON, .n_embd = 16, .head_size = 8, .n_ffn = 12, .epsilon = 1e-6f, .base = 1e6f,
     .head_norms = true, .n_experts = 4, .n_used = 2, .fused_experts = true},
    {"mixtral", "llama", COMMON, .n_embd = 16, .head_size = 4, .n_ffn = 24, .epsilon = 1e-5f, .base = 1e6f, .n_experts = 4,
     .n_used = 2},
    {"phi3", "phi3", .n_embd = 32, .n_layer = 2, .n_head = 4, .n_head_kv = 2, .head_size = 8, .n_ffn = 24, .n_context = 8,
     .epsilon = 1e-5f, .base = 1e4f, .untied = true, .fused = true},
    {"gemma3", "gemma3", .n_embd = 16, .n_layer = 6, .n_head = 4, .n_head_kv = 2, .n_context = 64, .head_size = 8, .n_ffn = 24,
     .epsilon = 1e-6f, .base = 1e6f, .head_norms = true, .post_norms = true, .window = 3},
    {"gemma2", "gemma2", COMMON, .n_embd = 16, .head_size = 8, .n_ffn = 24, .epsilon = 1e-6f, .base = 1e4f, .post_norms = true,
     .window = 3},
    {"olmo2", "olmo2", COMMON, .n_embd = 16, .head_size = 4, .n_ffn = 24, .epsilon = 1e-6f, .base = 5e5f, .untied = true,
     .no_pre_norm = true, .post_norms = true, .row_norms = true},
    {"stablelm", "stablelm", COMMON, .n_embd = 32, .head_size = 8, .n_ffn = 24, .epsilon = 1e-5f, .base = 1e4f, .untied = true,
     .layer_norm = true, .rotated = 2},
    {"stablelm2", "stablelm", COMMON, .n_embd = 32, .head_size = 8, .n_ffn = 24, .epsilon = 1e-5f, .base = 1e4f, .untied = true,
     .layer_norm = true, .rotated = 2, .qkv_bias = true, .own_norms = true, .parallel = true},
    {"granite", "granite", COMMON, .n_embd = 16, .head_size = 4, .n_ffn = 24, .epsilon = 1e-5f, .base = 1e4f},
    {"starcoder2", "starcoder2", COMMON, .n_embd = 16, .head_size = 4, .n_ffn = 24, .epsilon = 1e-5f, .base = 1e5f,
     .layer_norm = true, .all_bias = true, .no_gate = true},
    {"llama", "llama", COMMON, .n_embd = 16, .head_size = 4, .n_ffn = 24, .epsilon = 1e-5f, .base = 1e4f},
    {"mistral", "llama", COMMON, .n_embd = 16, .head_size = 4, .n_ffn = 24, .epsilon = 1e-5f, .base = 1e4f, .window = 3},
    {"yarn", "llama", COMMON, .n_embd = 16, .head_size = 4, .n_ffn = 24, .epsilon = 1e-5f, .base = 1e4f, .yarn = "yarn"},
};
const int n_card_shapes = sizeof card_shapes / sizeof card_shapes[0];

const architecture_shape *card_shape(const char *label)
{
    for (int i = 0; i < n_card_shapes; i++)
        if (strcmp(card_shapes[i].label, label) == 0) return &card_shapes[i];
    return NULL;
}

static void ok(lp_status s)
{
    if (s != LP_OK) fail_msg("%s: %s", lp_status_name(s), lp_error());
}

typedef struct plan {
    struct {
        char name[48];
        int64_t dim[3];
    } t[128];
    int n, layer;
} plan;

static void add(plan *p, const char *name, int64_t width, int64_t rows, int64_t count)
{
    char layer[16] = "";
    if (p->layer >= 0) snprintf(layer, sizeof layer, "blk.%d.", p->layer);
    snprintf(p->t[p->n].name, sizeof p->t[0].name, "%s%s", layer, name);
    p->t[p->n].dim[0] = width;
    p->t[p->n].dim[1] = rows;
    p->t[p->n++].dim[2] = count;
}

static void add_matrix(plan *p, const char *name, int64_t width, int64_t rows, bool bias)
{
    char full[48];
    snprintf(full, sizeof full, "%s.weight", name);
    add(p, full, width, rows, 0);
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias) add(p, full, rows, 0, 0);
}

static void add_norm(plan *p, const char *name, int64_t width, bool bias)
{
    char full[48];
    snprintf(full, sizeof full, "%s.weight", name);
    add(p, full, width, 0, 0);
    snprintf(full, sizeof full, "%s.bias", name);
    if (bias) add(p, full, width, 0, 0);
}

static void add_layer(plan *p, const architecture_shape *s)
{
    int64_t e = s->n_embd, d = s->head_size, q = s->n_head * d, kv = s->n_head_kv * d, f = s->n_ffn, x = s->n_experts;
    bool bias = s->qkv_bias || s->all_bias;
    if (!s->no_pre_norm) add_norm(p, "attn_norm", e, s->layer_norm);
    if (s->fused) {
        add_matrix(p, "attn_qkv", e, q + 2 * kv, false);
    } else {
        add_matrix(p, "attn_q", e, q, bias);
        if (s->head_norms || s->row_norms) add_norm(p, "attn_q_norm", s->row_norms ? q : d, false);
        if (s->own_norms) add(p, "attn_q_norm.weight", d, s->n_head, 0);
        add_matrix(p, "attn_k", e, kv, bias);
        if (s->head_norms || s->row_norms) add_norm(p, "attn_k_norm", s->row_norms ? kv : d, false);
        if (s->own_norms) add(p, "attn_k_norm.weight", d, s->n_head_kv, 0);
        add_matrix(p, "attn_v", e, kv, bias);
    }
    add_matrix(p, "attn_output", q, e, s->all_bias);
    if (s->post_norms) add_norm(p, "post_attention_norm", e, false);
    if (!s->no_pre_norm && !s->parallel) add_norm(p, "ffn_norm", e, s->layer_norm);
    if (x) {
        add_matrix(p, "ffn_gate_inp", e, x, false);
        if (s->fused_experts) add(p, "ffn_gate_up_exps.weight", e, 2 * f, x);
        else add(p, "ffn_gate_exps.weight", e, f, x);
        if (!s->fused_experts) add(p, "ffn_up_exps.weight", e, f, x);
        add(p, "ffn_down_exps.weight", f, e, x);
        if (s->n_shared) {
            add(p, "ffn_gate_inp_shexp.weight", e, 0, 0);
            add_matrix(p, "ffn_gate_shexp", e, s->n_shared, false);
            add_matrix(p, "ffn_up_shexp", e, s->n_shared, false);
            add_matrix(p, "ffn_down_shexp", s->n_shared, e, false);
        }
    } else {
        if (!s->no_gate && !s->fused) add_matrix(p, "ffn_gate", e, f, false);
        add_matrix(p, "ffn_up", e, s->fused ? 2 * f : f, s->all_bias);
        add_matrix(p, "ffn_down", f, e, s->all_bias);
    }
    if (s->post_norms) add_norm(p, "post_ffw_norm", e, false);
}

static void set_keys(lp_gguf_writer *w, const architecture_shape *s)
{
    char key[96];
#define KEY(name) (snprintf(key, sizeof key, "%s.%s", s->architecture, name), key)
#define SIZE(name, value) ok(lp_gguf_writer_set_u32(w, KEY(name), (uint32_t)(value)))
#define REAL(name, value) ok(lp_gguf_writer_set_f32(w, KEY(name), value))
    ok(lp_gguf_writer_set_string(w, "general.architecture", s->architecture));
    SIZE("context_length", s->n_context);
    SIZE("embedding_length", s->n_embd);
    SIZE("block_count", s->n_layer);
    SIZE("feed_forward_length", s->n_ffn);
    SIZE("attention.head_count", s->n_head);
    SIZE("attention.head_count_kv", s->n_head_kv);
    SIZE("attention.key_length", s->head_size);
    SIZE("attention.value_length", s->head_size);
    SIZE("rope.dimension_count", s->rotated ? s->rotated : s->head_size);
    REAL("rope.freq_base", s->base);
    REAL(s->layer_norm ? "attention.layer_norm_epsilon" : "attention.layer_norm_rms_epsilon", s->epsilon);
    if (s->window) SIZE("attention.sliding_window", s->window);
    if (s->n_experts) {
        SIZE("expert_count", s->n_experts);
        SIZE("expert_used_count", s->n_used);
        if (strcmp(s->architecture, "llama")) SIZE("expert_feed_forward_length", s->n_ffn);
        if (s->n_shared) SIZE("expert_shared_feed_forward_length", s->n_shared);
    }
    if (strcmp(s->label, "gemma2") == 0) {
        REAL("attn_logit_softcapping", 2);
        REAL("final_logit_softcapping", 3);
    }
    if (strcmp(s->label, "granite") == 0) {
        REAL("embedding_scale", 12);
        REAL("attention.scale", 1.0f / 64);
        REAL("residual_scale", 0.22f);
        REAL("logit_scale", 8);
    }
    if (strcmp(s->label, "phi3") == 0) {
        SIZE("rope.scaling.original_context_length", 4);
        REAL("rope.scaling.attn_factor", sqrtf(1.5f));
        ok(lp_gguf_writer_set_string(w, KEY("rope.scaling.type"), "longrope"));
    }
    if (strcmp(s->architecture, "stablelm") == 0) ok(lp_gguf_writer_set_bool(w, KEY("use_parallel_residual"), s->parallel));
    if (s->yarn) {
        ok(lp_gguf_writer_set_string(w, KEY("rope.scaling.type"), s->yarn));
        REAL("rope.scaling.factor", 4);
        SIZE("rope.scaling.original_context_length", 16);
    }
    char text[N_VOCAB][8];
    lp_string token[N_VOCAB];
    int32_t type[N_VOCAB];
    for (int i = 0; i < N_VOCAB; i++) {
        snprintf(text[i], sizeof text[i], i < 26 ? "%c" : i == 26 ? "ab" : "t%d", i < 26 ? 'a' + i : i);
        token[i] = (lp_string){text[i], strlen(text[i])};
        type[i] = 1;
    }
    const lp_string merge[] = {{"a b", 3}};
    ok(lp_gguf_writer_set_string(w, "tokenizer.ggml.model", "gpt2"));
    ok(lp_gguf_writer_set_string(w, "tokenizer.ggml.pre", "gpt-2"));
    ok(lp_gguf_writer_set_strings(w, "tokenizer.ggml.tokens", token, N_VOCAB));
    ok(lp_gguf_writer_set_i32s(w, "tokenizer.ggml.token_type", type, N_VOCAB));
    ok(lp_gguf_writer_set_strings(w, "tokenizer.ggml.merges", merge, 1));
    ok(lp_gguf_writer_set_u32(w, "tokenizer.ggml.bos_token_id", 0));
    ok(lp_gguf_writer_set_u32(w, "tokenizer.ggml.eos_token_id", 1));
}

static float factor_of(const char *name, int64_t i)
{
    static const float far[] = {1, 1.5f, 3, 5}, near[] = {1, 1.25f, 1.5f, 2};
    return strstr(name, "long") ? far[i] : near[i];
}

int64_t architecture_write(const char *path, const architecture_shape *s, const lp_packing *packing, float gain)
{
    lp_gguf_writer *w;
    plan *p = calloc(1, sizeof *p);
    const lp_packing *f32 = lp_packing_by_name("f32");
    uint32_t state = 12345;
    int64_t drawn = 0;
    p->layer = -1;
    add(p, "token_embd.weight", s->n_embd, N_VOCAB, 0);
    for (p->layer = 0; p->layer < s->n_layer; p->layer++) add_layer(p, s);
    p->layer = -1;
    add_norm(p, "output_norm", s->n_embd, s->layer_norm);
    if (s->untied) add(p, "output.weight", s->n_embd, N_VOCAB, 0);
    if (s->fused) {
        add(p, "rope_factors_long.weight", s->head_size / 2, 0, 0);
        add(p, "rope_factors_short.weight", s->head_size / 2, 0, 0);
    }
    ok(lp_gguf_writer_create(path, true, &w));
    set_keys(w, s);
    for (int pass = 0; pass < 2; pass++) {
        if (pass) ok(lp_gguf_writer_begin_data(w));
        for (int i = 0; i < p->n; i++) {
            const char *name = p->t[i].name;
            const int64_t *dim = p->t[i].dim;
            bool fits = packing && dim[1] && !strstr(name, "norm") && dim[0] % packing->n_values == 0 && !strstr(name, "gate_inp");
            const lp_packing *format = fits ? packing : f32;
            if (!pass) {
                ok(lp_gguf_writer_add_tensor(w, name, dim[2] ? 3 : dim[1] ? 2 : 1, dim, format));
                continue;
            }
            int64_t rows = (dim[1] ? dim[1] : 1) * (dim[2] ? dim[2] : 1), n = rows * dim[0];
            size_t n_bytes = (size_t)rows * lp_packing_row_bytes(format, dim[0]);
            float *x = malloc((size_t)n * sizeof *x);
            void *bytes = malloc(n_bytes);
            bool factors = strncmp(name, "rope_factors", 12) == 0, vector = dim[1] == 0 || strstr(name, "norm");
            for (int64_t k = 0; k < n; k++) {
                if (factors) {
                    x[k] = factor_of(name, k);
                    continue;
                }
                x[k] = lcg_weight(&state, "", k) * (vector ? 0.5f : gain);
                if (strstr(name, "norm.weight")) x[k] += 1;
                drawn++;
            }
            ok(lp_encode_rows(format, LP_SEARCH_RTN, x, rows, dim[0], NULL, bytes));
            ok(lp_gguf_writer_write(w, bytes, n_bytes));
            free(x);
            free(bytes);
        }
    }
    free(p);
    ok(lp_gguf_writer_finish(w, NULL));
    return drawn;
}
