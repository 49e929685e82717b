/* Fuzzes the keys of tokenizers in GGUF files: a tokenizer is made or refused by name, and one that was made encodes any text. The
 * mutator makes files of random vocabularies that are right, and then spoils a part. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/tokenizer.h>

#include "file/gguf.h"
#include "gguf_mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed);

static void require(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "%s (last error: %s)\n", what, lp_error());
    abort();
}

static void encode(const lp_tokenizer *t, const char *text, size_t n)
{
    int32_t *ids;
    size_t n_ids, n_decoded;
    char *decoded;
    lp_status status = lp_tokenizer_encode(t, text, n, n & 1, true, &ids, &n_ids);
    require(status == LP_OK || status == LP_INPUT || status == LP_USAGE, "how a text was refused");
    if (status != LP_OK) return;
    for (size_t i = 0; i < n_ids; i++) require(ids[i] >= 0 && ids[i] < lp_tokenizer_size(t), "an id outside");
    require(lp_tokenizer_decode(t, ids, n_ids, true, &decoded, &n_decoded) == LP_OK, "ids that cannot be decoded");
    free(decoded);
    free(ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char plain[] = "The caf\xc3\xa9 <s>a ab\xe2\x96\x81" "b 123\n\n\xef\xac\x81 \xff\xf0\x9f\x98\x80 [MASK] x";
    lp_gguf *g;
    lp_tokenizer *t = (lp_tokenizer *)1;
    if (n > MUTATE_BYTES || lp_gguf_open_memory(data, n, "fuzz", &g) != LP_OK) return 0;
    lp_status status = lp_tokenizer_create(g, &t);
    if (status == LP_OK) {
        for (int32_t id = -1; id <= lp_tokenizer_size(t); id++) (void)lp_tokenizer_bytes(t, id, true);
        require(lp_tokenizer_equal(t, t), "not equal to itself");
        encode(t, plain, sizeof plain - 1);
        encode(t, (const char *)data + n / 2, n - n / 2 < 300 ? n - n / 2 : 300);
        lp_tokenizer_free(t);
    } else {
        require((status == LP_INPUT || status == LP_UNSUPPORTED) && !t && strncmp(lp_error(), "fuzz: ", 6) == 0, "how it was refused");
    }
    lp_gguf_close(g);
    return 0;
}

static lp_string pick(uint32_t *s, const char *const *from, size_t n)
{
    const char *text = from[mutate_random(s, (uint32_t)n)];
    return (lp_string){text, strlen(text)};
}

/* Keys of a tokenizer; NULL if the writer refused. */
static uint8_t *make_file(uint32_t *s, size_t *n)
{
    enum { MOST = 48 };
    static const char *const models[] = {"gpt2", "llama", "bert", "t5", "unigram"}, *const pres[] = {"gpt-2", "llama-bpe", "qwen2", "tekken", "deepseek-v3", "default", "?"};
    static const char *const texts[] = {"a", "b", "ab", "aab", "\xe2\x96\x81", "\xe2\x96\x81" "a", "<s>", "</s>", "<unk>", "<0x41>", "<0xFF>", "", "x", "\xc4\xa0", "\xc4\xa0" "a",
                                        "[MASK]", "[CLS]", "1", "12", "\xc3\xa9", "\xff", "<|im_end|>", "ba", "T", "h", "e", "he", "The"};
    static const char *const merges[] = {"a b", "aa b", "a a", "h e", "T he", "a", "", " b", "b a", "a b c"};
    static const char *const flags[] = {"tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token", "tokenizer.ggml.add_space_prefix",
                                        "tokenizer.ggml.remove_extra_whitespaces", "tokenizer.ggml.escape_whitespaces",
                                        "tokenizer.ggml.normalizer.lowercase", "tokenizer.ggml.normalizer.strip_accents"};
    static const char *const ids[] = {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id", "tokenizer.ggml.unknown_token_id", "tokenizer.ggml.seperator_token_id"};
    lp_gguf_writer *w;
    lp_string token[MOST], merge[MOST];
    int32_t type[MOST];
    float score[MOST];
    uint8_t map[64], *bytes = NULL;
    uint32_t n_tokens = 1 + mutate_random(s, MOST - 1), n_merges = mutate_random(s, 8), spoiled = mutate_random(s, 12);
    for (uint32_t i = 0; i < MOST; i++) {
        token[i] = i < sizeof texts / sizeof *texts && mutate_random(s, 4) ? (lp_string){texts[i], strlen(texts[i])} : pick(s, texts, sizeof texts / sizeof *texts);
        merge[i] = pick(s, merges, sizeof merges / sizeof *merges);
        type[i] = (int32_t)mutate_random(s, spoiled == 0 ? 9 : 7);
        score[i] = -(float)mutate_random(s, 100) / 8;
    }
    if (spoiled == 1) score[0] = __builtin_nanf("");
    for (size_t i = 0; i < sizeof map; i++) map[i] = (uint8_t)mutate_random(s, mutate_random(s, 2) ? 8 : 256);
    uint32_t n_units = 4 * mutate_random(s, 12);
    memcpy(map, &n_units, 4);
    map[sizeof map - 1] = (uint8_t)(mutate_random(s, 8) == 0);
    if (lp_gguf_writer_create_dry(&w) != LP_OK) return NULL;
    const lp_string model = pick(s, models, sizeof models / sizeof *models), pre = pick(s, pres, sizeof pres / sizeof *pres);
    lp_gguf_writer_set_string(w, "tokenizer.ggml.model", model.data);
    if (mutate_random(s, 4)) lp_gguf_writer_set_string(w, "tokenizer.ggml.pre", pre.data);
    lp_gguf_writer_set_strings(w, "tokenizer.ggml.tokens", token, n_tokens);
    if (mutate_random(s, 8)) lp_gguf_writer_set_strings(w, "tokenizer.ggml.merges", merge, n_merges);
    if (mutate_random(s, 4)) lp_gguf_writer_set_i32s(w, "tokenizer.ggml.token_type", type, n_tokens - (spoiled == 2));
    const char *key = "tokenizer.ggml.scores", *charsmap = "tokenizer.ggml.precompiled_charsmap";
    const uint32_t n_scores = n_tokens - (spoiled == 3);
    const lp_gguf_key scores = {{key, strlen(key)}, LP_GGUF_ARRAY, LP_GGUF_F32, n_scores, (const uint8_t *)score, n_scores * 4};
    if (mutate_random(s, 8)) lp_gguf_writer_copy_key(w, &scores);
    const lp_gguf_key replacements = {{charsmap, strlen(charsmap)}, LP_GGUF_ARRAY, LP_GGUF_U8, sizeof map, map, sizeof map};
    if (mutate_random(s, 3) == 0) lp_gguf_writer_copy_key(w, &replacements);
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        if (mutate_random(s, 3) == 0) lp_gguf_writer_set_bool(w, flags[i], mutate_random(s, 2));
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++)
        if (mutate_random(s, 3)) lp_gguf_writer_set_u32(w, ids[i], mutate_random(s, n_tokens + (spoiled == 4)));
    if (lp_gguf_writer_header(w, &bytes, n) != LP_OK) bytes = NULL;
    lp_gguf_writer_abort(w);
    return bytes;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed)
{
    uint32_t state = seed * 2654435761u + 1;
    size_t n_made;
    if (mutate_random(&state, 4)) return mutate_gguf(data, n, room, seed);
    uint8_t *made = make_file(&state, &n_made);
    if (made && n_made <= room) {
        memcpy(data, made, n_made);
        n = n_made;
        if (mutate_random(&state, 3) == 0) data[mutate_random(&state, (uint32_t)n)] = (uint8_t)mutate_random(&state, 256);
    }
    free(made);
    return n;
}
