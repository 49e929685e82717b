/* One SHA-256 of the logits for every instruction set, number of threads, chunking and company in the batch; the hashes are
 * committed, so that every machine and compiler must give them. `test_same_bits --print` prints the table anew. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/random.h"
#include "base/sha256.h"
#include "support/llama_file.h"

enum { N_TOKENS = 520 }; /* over two attention groups and one chunk of reductions */

/* Width 576 and 1100 (no multiple of 32, more than one chunk of 512), nine heads in groups of three; and a shape whose
 * rows fit super-blocks of 256, three heads in one group. */
static const llama_shape wide = {.n_vocab = 300, .n_embd = 576, .n_layer = 1, .n_head = 9, .n_head_kv = 3, .head_size = 64,
                                 .n_ffn = 1100, .n_context = 640, .epsilon = 1e-5f, .tied = true};
static const llama_shape super = {.n_vocab = 201, .n_embd = 256, .n_layer = 2, .n_head = 3, .n_head_kv = 1, .head_size = 48,
                                  .n_ffn = 768, .n_context = 640, .epsilon = 1e-5f, .tied = false};

static const struct {
    const char *format;
    const llama_shape *shape;
    const char *sha256;
} golden[] = {
#include "same_bits_golden.h"
};
enum { N_GOLDEN = sizeof golden / sizeof golden[0] };

static float random_weight(void *context, const char *name, int64_t i)
{
    (void)context;
    float u = (float)(lp_random_word(7, (uint64_t)i, lp_tensor_word(name), 0, LP_RANDOM_INIT, 0) >> 8) * 0x1p-23f - 1;
    return strstr(name, "norm") ? 1 + 0.25f * u : 0.1f * u;
}

static int32_t token_at(int64_t sequence, int64_t i, int64_t n_vocab)
{
    return (int32_t)(lp_random_word(9, (uint64_t)i, (uint32_t)sequence, 0, LP_RANDOM_INIT, 0) % (uint32_t)n_vocab);
}

static lp_model *open_model(int row)
{
    lp_model *model;
    const char *path = test_path("bits.gguf");
    const lp_packing *packing = lp_packing_by_name(golden[row].format), *own = NULL;
    lp_format *format;
    if (!packing) { /* of our own */
        if (lp_format_parse(golden[row].format, &format) != LP_OK || lp_packing_create(format, &own) != LP_OK) fail_msg("%s", lp_error());
        lp_format_free(format);
    }
    llama_write(path, golden[row].shape, packing ? packing : own, random_weight, NULL, NULL);
    lp_packing_free(own);
    if (lp_model_open(path, &model) != LP_OK) fail_msg("%s", lp_error());
    return model;
}

/* Runs sequence 0 in chunks of `chunk` tokens while `partners` other sequences advance beside it. Hash of its logits. */
static void hash_logits(const lp_model *model, int n_threads, int64_t chunk, int partners, char hex[65])
{
    lp_pool *pool;
    lp_session *session;
    int64_t n_vocab = lp_model_get_info(model)->n_vocab, room = chunk * (partners + 1);
    if (lp_pool_create(n_threads, &pool) != LP_OK) fail_msg("%s", lp_error());
    lp_session_options o = {.pool = pool, .n_context = N_TOKENS, .n_sequences = partners + 1, .n_batch = room};
    if (lp_session_create(model, &o, NULL, &session) != LP_OK) fail_msg("%s", lp_error());
    int32_t *token = malloc((size_t)room * 4), *sequence = malloc((size_t)room * 4), *position = malloc((size_t)room * 4);
    uint8_t *wants = malloc((size_t)room);
    lp_sha256 hash;
    lp_sha256_begin(&hash);
    for (int64_t first = 0; first < N_TOKENS; first += chunk) {
        int64_t n = 0, last = first + chunk < N_TOKENS ? first + chunk : N_TOKENS;
        for (int64_t i = first; i < last; i++)
            for (int s = partners; s >= 0; s--) { /* tokens of the sequences alternate */
                token[n] = token_at(s, i, n_vocab);
                sequence[n] = s;
                position[n] = (int32_t)i;
                wants[n++] = s == 0;
            }
        const float *logits;
        lp_batch batch = {n, token, sequence, position, wants};
        if (lp_session_forward(session, &batch, &logits) != LP_OK) fail_msg("%s", lp_error());
        lp_sha256_add(&hash, logits, (size_t)((last - first) * n_vocab) * sizeof(float));
    }
    lp_sha256_end(&hash, hex);
    free(token);
    free(sequence);
    free(position);
    free(wants);
    lp_session_close(session);
    lp_pool_destroy(pool);
}

static void expect(int row, const lp_model *model, int n_threads, int64_t chunk, int partners)
{
    char hex[65];
    hash_logits(model, n_threads, chunk, partners, hex);
    if (strcmp(hex, golden[row].sha256))
        fail_msg("%s, %s, %d threads, chunks of %lld, %d partners: %s, golden %s", golden[row].format,
                 lp_isa_name(lp_isa_current()), n_threads, (long long)chunk, partners, hex, golden[row].sha256);
}

#if defined(__SANITIZE_ADDRESS__) /* errors of memory show in a few of them; the bits are the other builds' business */
static const int threads[] = {3};
static const int64_t chunks[] = {N_TOKENS};
#else
static const int threads[] = {1, 2, 3, 7};
static const int64_t chunks[] = {1, 7, 64, N_TOKENS};
#endif

static void check_isa(const char *isa)
{
    if (lp_isa_select(isa) != LP_OK) skip();
    for (int row = 0; row < N_GOLDEN; row++) {
        lp_model *model = open_model(row);
        for (size_t t = 0; t < sizeof threads / sizeof *threads; t++)
            for (size_t c = 0; c < sizeof chunks / sizeof *chunks; c++)
                if (threads[t] <= 2 || chunks[c] >= 64) expect(row, model, threads[t], chunks[c], 0);
        expect(row, model, 2, 7, 2); /* rows of other sequences beside it */
        lp_model_close(model);
    }
}

static void the_reference_gives_the_golden_logits(void **unused)
{
    (void)unused;
    assert_int_equal(lp_isa_select("ref"), LP_OK);
    for (int row = 0; row < N_GOLDEN; row++) {
        lp_model *model = open_model(row);
        expect(row, model, 2, N_TOKENS, 0);
        lp_model_close(model);
    }
}

static void avx2_gives_the_golden_logits_for_all_threads_and_chunks(void **unused)
{
    (void)unused;
    check_isa("avx2");
}

static void avx512_gives_the_golden_logits_for_all_threads_and_chunks(void **unused)
{
    (void)unused;
    check_isa("avx512");
}

static void neon_gives_the_golden_logits_for_all_threads_and_chunks(void **unused)
{
    (void)unused;
    check_isa("neon");
}

static int print_table(void)
{
    for (int row = 0; row < N_GOLDEN; row++) {
        char hex[65];
        lp_model *model = open_model(row);
        hash_logits(model, 2, N_TOKENS, 0, hex);
        printf("    {\"%s\", &%s, \"%s\"},\n", golden[row].format, golden[row].shape == &wide ? "wide" : "super", hex);
        lp_model_close(model);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1 && strcmp(argv[1], "--print") == 0) return lp_isa_select("ref") == LP_OK ? print_table() : 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_gives_the_golden_logits),
        cmocka_unit_test(avx2_gives_the_golden_logits_for_all_threads_and_chunks),
        cmocka_unit_test(avx512_gives_the_golden_logits_for_all_threads_and_chunks),
        cmocka_unit_test(neon_gives_the_golden_logits_for_all_threads_and_chunks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
