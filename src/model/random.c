/* Models of random weights: shapes for benchmarks and tests, a function of the seed alone. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/model.h>
#include <lowp/pool.h>

#include "base/fail.h"
#include "base/function.h"
#include "base/half.h"
#include "base/random.h"

typedef struct shape_row {
    const char *name;
    int64_t n_layer, n_embd, n_head, n_head_kv, n_ffn, n_vocab, n_context;
    bool tied;
} shape_row;

static const shape_row shapes[] = {
    {"1.1b", 22, 2048, 32, 4, 5632, 32000, 2048, false},
    {"tiny", 2, 64, 4, 2, 192, 512, 1024, true},
};

static const double STANDARD_DEVIATION = 0.02;
enum { PIECE = 1 << 20 }; /* values generated and written at a time; even */

/* ---- weights ------------------------------------------------------------------------------------------------------- */

typedef struct piece {
    uint16_t *out;
    int64_t first, n; /* values of the tensor, first even */
    uint64_t seed;
    uint32_t word;    /* of the tensor */
} piece;

/* Box and Muller: two normal values from two words. */
static void fill_part(void *context, int thread, int n_threads)
{
    const piece *p = context;
    int64_t a, b;
    lp_pool_part((p->n + 1) / 2, thread, n_threads, &a, &b);
    for (int64_t i = a; i < b; i++) {
        uint64_t index = (uint64_t)(p->first + 2 * i);
        double u = ((double)lp_random_word(p->seed, index, p->word, 0, LP_RANDOM_INIT, 0) + 0.5) * 0x1p-32;
        double v = ((double)lp_random_word(p->seed, index + 1, p->word, 0, LP_RANDOM_INIT, 0) + 0.5) * 0x1p-32;
        double r = STANDARD_DEVIATION * sqrt(-2 * lp_log(u)), angle = 6.283185307179586 * v;
        p->out[2 * i] = lp_f16_from_f32((float)(r * lp_cos(angle)));
        if (2 * i + 1 < p->n) p->out[2 * i + 1] = lp_f16_from_f32((float)(r * lp_sin(angle)));
    }
}

static lp_status write_normal(lp_gguf_writer *w, lp_pool *pool, const char *name, int64_t n, uint64_t seed, uint16_t *buffer)
{
    for (int64_t first = 0; first < n; first += PIECE) {
        piece p = {buffer, first, n - first < PIECE ? n - first : PIECE, seed, lp_tensor_word(name)};
        lp_pool_run(pool, fill_part, &p);
        LP_TRY(lp_gguf_writer_write(w, buffer, (size_t)p.n * sizeof *buffer));
    }
    return LP_OK;
}

/* ---- vocabulary ---------------------------------------------------------------------------------------------------- */

/* Token text of a byte in a byte-level vocabulary, as UTF-8. */
static int byte_token(int byte, char out[4])
{
    bool printable = (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
    int code = byte;
    if (!printable) {
        code = 256;
        for (int b = 0; b < byte; b++) code += !((b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae);
    }
    return code < 0x80 ? snprintf(out, 4, "%c", code) : snprintf(out, 4, "%c%c", 0xc0 | code >> 6, 0x80 | (code & 63));
}

static lp_status set_vocabulary(lp_gguf_writer *w, int64_t n)
{
    char(*text)[24] = calloc((size_t)n, sizeof *text);
    lp_string *token = calloc((size_t)n, sizeof *token);
    int32_t *type = calloc((size_t)n, sizeof *type);
    lp_status s = text && token && type ? LP_OK : lp_fail_memory((size_t)n * sizeof *text, "a vocabulary");
    for (int64_t i = 0; s == LP_OK && i < n; i++) {
        if (i < 256)
            byte_token((int)i, text[i]);
        else
            snprintf(text[i], sizeof text[i], i == 256 ? "he" : "<token_%d>", (int)i);
        token[i] = (lp_string){text[i], strlen(text[i])};
        type[i] = 1;
    }
    static const lp_string merge = {"h e", 3};
    if (s == LP_OK) s = lp_gguf_writer_set_string(w, "tokenizer.ggml.model", "gpt2");
    if (s == LP_OK) s = lp_gguf_writer_set_string(w, "tokenizer.ggml.pre", "gpt-2");
    if (s == LP_OK) s = lp_gguf_writer_set_strings(w, "tokenizer.ggml.tokens", token, (uint64_t)n);
    if (s == LP_OK) s = lp_gguf_writer_set_i32s(w, "tokenizer.ggml.token_type", type, (uint64_t)n);
    if (s == LP_OK) s = lp_gguf_writer_set_strings(w, "tokenizer.ggml.merges", &merge, 1);
    if (s == LP_OK) s = lp_gguf_writer_set_u32(w, "tokenizer.ggml.bos_token_id", 0);
    if (s == LP_OK) s = lp_gguf_writer_set_u32(w, "tokenizer.ggml.eos_token_id", 0);
    if (s == LP_OK) s = lp_gguf_writer_set_bool(w, "tokenizer.ggml.add_bos_token", false);
    free(text);
    free(token);
    free(type);
    return s;
}

/* ---- the file ------------------------------------------------------------------------------------------------------ */

/* A tensor of the file: norms are ones. */
typedef struct tensor_row {
    char name[48];
    int64_t dim[2];
    int n_dims;
} tensor_row;

static int64_t list_tensors(const shape_row *s, tensor_row *t)
{
    int64_t n = 0, d = s->n_embd / s->n_head, kv = s->n_head_kv * d;
    t[n++] = (tensor_row){"token_embd.weight", {s->n_embd, s->n_vocab}, 2};
    for (int64_t i = 0; i < s->n_layer; i++) {
        const struct {
            const char *name;
            int64_t width, rows;
        } layer[] = {
            {"attn_norm", s->n_embd, 1},           {"attn_q", s->n_embd, s->n_embd},    {"attn_k", s->n_embd, kv},
            {"attn_v", s->n_embd, kv},             {"attn_output", s->n_embd, s->n_embd}, {"ffn_norm", s->n_embd, 1},
            {"ffn_gate", s->n_embd, s->n_ffn},     {"ffn_up", s->n_embd, s->n_ffn},     {"ffn_down", s->n_ffn, s->n_embd},
        };
        for (size_t k = 0; k < sizeof layer / sizeof layer[0]; k++) {
            t[n] = (tensor_row){"", {layer[k].width, layer[k].rows}, layer[k].rows == 1 ? 1 : 2};
            snprintf(t[n++].name, sizeof t->name, "blk.%d.%s.weight", (int)i, layer[k].name);
        }
    }
    t[n++] = (tensor_row){"output_norm.weight", {s->n_embd, 1}, 1};
    if (!s->tied) t[n++] = (tensor_row){"output.weight", {s->n_embd, s->n_vocab}, 2};
    return n;
}

static lp_status set_keys(lp_gguf_writer *w, const shape_row *s)
{
    const struct {
        const char *key;
        int64_t value;
    } size[] = {
        {"llama.context_length", s->n_context},      {"llama.embedding_length", s->n_embd},
        {"llama.block_count", s->n_layer},           {"llama.feed_forward_length", s->n_ffn},
        {"llama.attention.head_count", s->n_head},   {"llama.attention.head_count_kv", s->n_head_kv},
        {"llama.rope.dimension_count", s->n_embd / s->n_head}, {"llama.vocab_size", s->n_vocab},
    };
    char name[64];
    snprintf(name, sizeof name, "random %s", s->name);
    LP_TRY(lp_gguf_writer_set_string(w, "general.architecture", "llama"));
    LP_TRY(lp_gguf_writer_set_string(w, "general.name", name));
    LP_TRY(lp_gguf_writer_set_u32(w, "general.file_type", 1));
    for (size_t i = 0; i < sizeof size / sizeof size[0]; i++)
        LP_TRY(lp_gguf_writer_set_u32(w, size[i].key, (uint32_t)size[i].value));
    LP_TRY(lp_gguf_writer_set_f32(w, "llama.attention.layer_norm_rms_epsilon", 1e-5f));
    LP_TRY(lp_gguf_writer_set_f32(w, "llama.rope.freq_base", 10000));
    return set_vocabulary(w, s->n_vocab);
}

static lp_status write_tensors(lp_gguf_writer *w, const tensor_row *t, int64_t n, uint64_t seed, lp_pool *pool,
                               const lp_progress *progress)
{
    const lp_packing *f16 = lp_packing_by_name("f16"), *f32 = lp_packing_by_name("f32");
    for (int64_t i = 0; i < n; i++)
        LP_TRY(lp_gguf_writer_add_tensor(w, t[i].name, t[i].n_dims, t[i].dim, t[i].n_dims == 1 ? f32 : f16));
    LP_TRY(lp_gguf_writer_begin_data(w));
    uint16_t *buffer = malloc((PIECE + 1) * sizeof *buffer);
    if (!buffer) return lp_fail_memory(PIECE * sizeof *buffer, "weights");
    lp_status s = LP_OK;
    for (int64_t i = 0; s == LP_OK && i < n; i++) {
        if (progress && progress->cancelled && progress->cancelled(progress->context))
            s = lp_fail(LP_INTERRUPTED, "interrupted");
        if (progress && progress->report) progress->report(progress->context, "random weights", (double)i, (double)n);
        const float one = 1;
        if (s == LP_OK && t[i].n_dims == 2)
            s = write_normal(w, pool, t[i].name, t[i].dim[0] * t[i].dim[1], seed, buffer);
        for (int64_t k = 0; s == LP_OK && t[i].n_dims == 1 && k < t[i].dim[0]; k++) s = lp_gguf_writer_write(w, &one, 4);
    }
    free(buffer);
    return s;
}

lp_status lp_model_write_random(const char *shape, uint64_t seed, const char *path, bool force, const lp_progress *progress)
{
    const shape_row *s = NULL;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++)
        if (strcmp(shapes[i].name, shape) == 0) s = &shapes[i];
    if (!s) return lp_fail(LP_USAGE, "unknown shape '%s' of a random model (known: 1.1b, tiny)", shape);
    tensor_row *t = calloc((size_t)(s->n_layer * 9 + 3), sizeof *t);
    lp_pool *pool = NULL;
    lp_gguf_writer *w = NULL;
    lp_status status = t ? lp_pool_create(0, &pool) : lp_fail_memory((size_t)s->n_layer * 9 * sizeof *t, "a directory");
    if (status == LP_OK) status = lp_gguf_writer_create(path, force, &w);
    if (status == LP_OK) status = set_keys(w, s);
    if (status == LP_OK) status = write_tensors(w, t, list_tensors(s, t), seed, pool, progress);
    if (status == LP_OK)
        status = lp_gguf_writer_finish(w, NULL);
    else
        lp_gguf_writer_abort(w);
    lp_pool_destroy(pool);
    free(t);
    return status;
}
