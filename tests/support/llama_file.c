/* Small Llama files for tests. */
#include "support/llama_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static char folder[64];

static void remove_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    if (system(command) != 0) fprintf(stderr, "could not remove %s\n", folder);
}

const char *test_path(const char *name)
{
    static char path[8][160];
    static int at;
    if (!folder[0]) {
        strcpy(folder, "/tmp/lowp-test-XXXXXX");
        if (!mkdtemp(folder)) abort();
        atexit(remove_folder);
    }
    char *p = path[at++ % 8];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

float lcg_weight(void *context, const char *name, int64_t i)
{
    uint32_t *s = context;
    (void)i;
    *s = *s * 1664525u + 1013904223u;
    float u = ((float)(*s >> 16) - 32768.0f) / 32768.0f;
    return strstr(name, "norm") ? 1 + 0.25f * u : 0.5f * u;
}

static void ok(lp_status s)
{
    if (s != LP_OK) fail_msg("%s: %s", lp_status_name(s), lp_error());
}

typedef struct tensor_plan {
    char name[48];
    int64_t width, rows; /* rows 0: a vector */
    const lp_packing *packing;
} tensor_plan;

static int64_t plan_tensors(const llama_shape *s, const lp_packing *packing, tensor_plan *t)
{
    int64_t n = 0, q = s->n_head * s->head_size, kv = s->n_head_kv * s->head_size;
    t[n++] = (tensor_plan){"token_embd.weight", s->n_embd, s->n_vocab, NULL};
    for (int i = 0; i < s->n_layer; i++) {
        const struct {
            const char *name;
            int64_t width, rows;
        } layer[] = {{"attn_norm", s->n_embd, 0}, {"attn_q", s->n_embd, q},        {"attn_k", s->n_embd, kv},
                     {"attn_v", s->n_embd, kv},   {"attn_output", q, s->n_embd},   {"ffn_norm", s->n_embd, 0},
                     {"ffn_gate", s->n_embd, s->n_ffn}, {"ffn_up", s->n_embd, s->n_ffn}, {"ffn_down", s->n_ffn, s->n_embd}};
        for (size_t k = 0; k < sizeof layer / sizeof layer[0]; k++) {
            t[n] = (tensor_plan){"", layer[k].width, layer[k].rows, NULL};
            snprintf(t[n++].name, sizeof t->name, "blk.%d.%s.weight", i, layer[k].name);
        }
    }
    t[n++] = (tensor_plan){"output_norm.weight", s->n_embd, 0, NULL};
    if (!s->tied) t[n++] = (tensor_plan){"output.weight", s->n_embd, s->n_vocab, NULL};
    for (int64_t i = 0; i < n; i++) {
        t[i].packing = lp_packing_by_name("f32");
        if (t[i].rows && packing) t[i].packing = t[i].width % packing->n_values == 0 ? packing : lp_packing_by_name("f16");
    }
    return n;
}

static void set_keys(lp_gguf_writer *w, const llama_shape *s, const llama_oddities *odd)
{
    static const llama_oddities none;
    if (!odd) odd = &none;
    ok(lp_gguf_writer_set_string(w, "general.architecture", "llama"));
#define SIZE(key, own, other) ok(lp_gguf_writer_set_u32(w, key, (uint32_t)((other) ? ((other) < 0 ? 0 : (other)) : (own))))
    SIZE("llama.context_length", s->n_context, 0);
    SIZE("llama.embedding_length", s->n_embd, odd->n_embd_key);
    SIZE("llama.block_count", s->n_layer, odd->n_layer_key);
    SIZE("llama.feed_forward_length", s->n_ffn, 0);
    SIZE("llama.attention.head_count", s->n_head, odd->n_head_key);
    SIZE("llama.attention.head_count_kv", s->n_head_kv, odd->n_head_kv_key);
    SIZE("llama.attention.key_length", s->head_size, 0);
    SIZE("llama.attention.value_length", s->head_size, 0);
    SIZE("llama.rope.dimension_count", s->head_size, odd->rope_key);
#undef SIZE
    if (!odd->no_epsilon) ok(lp_gguf_writer_set_f32(w, "llama.attention.layer_norm_rms_epsilon", s->epsilon));
    char text[512][8];
    lp_string token[512];
    int32_t type[512];
    int64_t n = s->n_vocab < 512 ? s->n_vocab : 512;
    for (int64_t i = 0; i < n; i++) {
        snprintf(text[i], sizeof text[i], i < 26 ? "%c" : "t%d", i < 26 ? (int)('a' + i) : (int)i);
        token[i] = (lp_string){text[i], strlen(text[i])};
        type[i] = 1;
    }
    const lp_string merge[] = {{"t 2", 3}};
    ok(lp_gguf_writer_set_string(w, "tokenizer.ggml.model", "gpt2"));
    ok(lp_gguf_writer_set_string(w, "tokenizer.ggml.pre", "gpt-2"));
    ok(lp_gguf_writer_set_strings(w, "tokenizer.ggml.tokens", token, (uint64_t)n));
    ok(lp_gguf_writer_set_i32s(w, "tokenizer.ggml.token_type", type, (uint64_t)n));
    ok(lp_gguf_writer_set_strings(w, "tokenizer.ggml.merges", merge, 0));
    ok(lp_gguf_writer_set_u32(w, "tokenizer.ggml.bos_token_id", 0));
    ok(lp_gguf_writer_set_u32(w, "tokenizer.ggml.eos_token_id", 1));
}

void llama_write(const char *path, const llama_shape *shape, const lp_packing *packing, llama_value value, void *context,
                 const llama_oddities *odd)
{
    lp_gguf_writer *w;
    tensor_plan *t = calloc((size_t)shape->n_layer * 9 + 3, sizeof *t);
    int64_t n = plan_tensors(shape, packing, t);
    ok(lp_gguf_writer_create(path, true, &w));
    set_keys(w, shape, odd);
    for (int64_t i = 0; i < n; i++)
        ok(lp_gguf_writer_add_tensor(w, t[i].name, t[i].rows ? 2 : 1, (int64_t[]){t[i].width, t[i].rows}, t[i].packing));
    ok(lp_gguf_writer_begin_data(w));
    for (int64_t i = 0; i < n; i++) {
        int64_t rows = t[i].rows ? t[i].rows : 1, n_values = rows * t[i].width;
        uint64_t n_bytes;
        if (!lp_packing_tensor_bytes(t[i].packing, t[i].width, rows, &n_bytes)) fail_msg("%s", t[i].name);
        float *x = malloc((size_t)n_values * sizeof *x);
        void *bytes = malloc(n_bytes);
        for (int64_t k = 0; k < n_values; k++) x[k] = value(context, t[i].name, k);
        ok(lp_encode_rows(t[i].packing, LP_SEARCH_RTN, x, rows, t[i].width, NULL, bytes));
        ok(lp_gguf_writer_write(w, bytes, n_bytes));
        free(x);
        free(bytes);
    }
    free(t);
    ok(lp_gguf_writer_finish(w, NULL));
}
