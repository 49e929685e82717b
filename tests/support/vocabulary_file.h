/* Small GGUF files with a vocabulary: the keys of tokenizers, right or wrong. */
#ifndef TESTS_VOCABULARY_FILE_H
#define TESTS_VOCABULARY_FILE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <lowp/gguf.h>

typedef struct vocabulary_file {
    const char *model, *name;       /* tokenizer.ggml.model, general.name or NULL */
    const char *const *tokens;      /* [n] */
    int n;
    const float *scores;            /* [n_scores] or NULL */
    int n_scores;
    const int32_t *types;           /* [n_types] or NULL */
    int n_types;
    const char *const *merges;      /* [n_merges] or NULL */
    int n_merges;
    int bos, eos, unknown, separator; /* ids; -1: no key */
    const char *yes, *no;           /* a key that is true, one that is false, or NULL */
    lp_gguf_key extra;              /* any key more, if it has a name */
} vocabulary_file;

static inline void vocabulary_ok(lp_status s)
{
    if (s != LP_OK) fail_msg("%s: %s", lp_status_name(s), lp_error());
}

static inline void vocabulary_strings(lp_gguf_writer *w, const char *key, const char *const *text, int n)
{
    lp_string s[1024];
    assert_true(n <= 1024);
    for (int i = 0; i < n; i++) s[i] = (lp_string){text[i], strlen(text[i])};
    vocabulary_ok(lp_gguf_writer_set_strings(w, key, s, (uint64_t)n));
}

static inline void vocabulary_write(const char *path, const vocabulary_file *v)
{
    lp_gguf_writer *w;
    vocabulary_ok(lp_gguf_writer_create(path, true, &w));
    vocabulary_ok(lp_gguf_writer_set_string(w, "tokenizer.ggml.model", v->model));
    if (v->name) vocabulary_ok(lp_gguf_writer_set_string(w, "general.name", v->name));
    vocabulary_strings(w, "tokenizer.ggml.tokens", v->tokens, v->n);
    if (v->merges) vocabulary_strings(w, "tokenizer.ggml.merges", v->merges, v->n_merges);
    if (v->types) vocabulary_ok(lp_gguf_writer_set_i32s(w, "tokenizer.ggml.token_type", v->types, (uint64_t)v->n_types));
    if (v->scores) {
        const char *key = "tokenizer.ggml.scores";
        const lp_gguf_key k = {{key, strlen(key)}, LP_GGUF_ARRAY, LP_GGUF_F32, (uint64_t)v->n_scores, (const uint8_t *)v->scores,
                               (size_t)v->n_scores * 4};
        vocabulary_ok(lp_gguf_writer_copy_key(w, &k));
    }
    const struct {
        const char *key;
        int id;
    } ids[] = {{"tokenizer.ggml.bos_token_id", v->bos}, {"tokenizer.ggml.eos_token_id", v->eos},
               {"tokenizer.ggml.unknown_token_id", v->unknown}, {"tokenizer.ggml.seperator_token_id", v->separator}};
    for (int i = 0; i < 4; i++)
        if (ids[i].id >= 0) vocabulary_ok(lp_gguf_writer_set_u32(w, ids[i].key, (uint32_t)ids[i].id));
    if (v->yes) vocabulary_ok(lp_gguf_writer_set_bool(w, v->yes, true));
    if (v->no) vocabulary_ok(lp_gguf_writer_set_bool(w, v->no, false));
    if (v->extra.key.n) vocabulary_ok(lp_gguf_writer_copy_key(w, &v->extra));
    vocabulary_ok(lp_gguf_writer_begin_data(w));
    vocabulary_ok(lp_gguf_writer_finish(w, NULL));
}

/* Two that work. */
static const char *const spm_tokens[] = {"<unk>", "<s>", "</s>", "<|sys|>", "\xe2\x96\x81", "t", "h", "e", "q", "u", "i", "c", "k",
                                         "\xe2\x96\x81t", "he", "\xe2\x96\x81the", "<0x41>", "<0xG1>", "<0xC3>"};
static const float spm_scores[] = {0, 0, 0, 0, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -12, 0, 0, 0};
static const int32_t spm_types[] = {2, 3, 3, 3, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 6, 6, 6};
#define VOCABULARY_SPM                                                                                                       \
    {                                                                                                                        \
        .model = "llama", .tokens = spm_tokens, .n = 19, .scores = spm_scores, .n_scores = 19, .types = spm_types, .n_types = 19, \
        .bos = 1, .eos = 2, .unknown = 0, .separator = -1                                                                    \
    }

static const char *const bert_tokens[] = {"[PAD]", "[UNK]", "[CLS]", "[SEP]", "\xe2\x96\x81" "the", "\xe2\x96\x81" "quick", "\xe2\x96\x81" "f",
                                          "o", "x", "\xe2\x96\x81" "cafe", "\xe2\x96\x81,", "\xe2\x96\x81\xe4\xb8\xad", "s"};
#define VOCABULARY_BERT                                                                                                      \
    {                                                                                                                        \
        .model = "bert", .tokens = bert_tokens, .n = 13, .bos = 2, .eos = -1, .unknown = 1, .separator = 3                   \
    }

#endif
