/* The corners of tokenizers: keys of SentencePiece and WordPiece files at their borders, each range of characters that is
 * treated apart, well-formed UTF-8 by its definition, and what makes two tokenizers unequal. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <lowp/lowp.h>

#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode.h"
#include "support/vocabulary_file.h"

static char path[] = "/tmp/lowp-edges-XXXXXX";

static lp_status load(const vocabulary_file *v, lp_tokenizer **out)
{
    lp_gguf *g;
    vocabulary_write(path, v);
    lp_status status = lp_gguf_open(path, &g);
    if (status != LP_OK) fail_msg("%s", lp_error());
    status = lp_tokenizer_create(g, out);
    lp_gguf_close(g);
    return status;
}

static lp_tokenizer *loaded(const vocabulary_file *v)
{
    lp_tokenizer *t;
    if (load(v, &t) != LP_OK) fail_msg("%s", lp_error());
    return t;
}

/* Ids of a text as "1 2 3". */
static const char *ids_of(const lp_tokenizer *t, const char *text, bool parse_special)
{
    static char out[400];
    int32_t *ids;
    size_t n, at = 0;
    if (lp_tokenizer_encode(t, text, strlen(text), parse_special, false, &ids, &n) != LP_OK) return lp_error();
    out[0] = 0;
    for (size_t i = 0; i < n && at < sizeof out - 12; i++) at += (size_t)snprintf(out + at, sizeof out - at, "%s%d", i ? " " : "", ids[i]);
    free(ids);
    return out;
}

/* ---- keys --------------------------------------------------------------------------------------------------------- */

static const float nan_scores[19] = {0, 0, 0, (float)__builtin_nan("")};
static const float infinite_scores[19] = {0, 0, 0, __builtin_inff()};
static const int32_t type_minus[19] = {-1}, type_seven[19] = {7};

static void keys_of_sentencepiece_files_are_checked(void **state)
{
    (void)state;
    static const uint8_t words[] = "\1\0\0\0\0\0\0\0a";
    const vocabulary_file spm = VOCABULARY_SPM;
    const struct {
        vocabulary_file file;
        const char *reason;
    } cases[] = {
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .bos = 1, .eos = 2, .unknown = 0, .separator = -1}, "tokenizer.ggml.scores: missing"},
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .scores = spm_scores, .n_scores = 18, .bos = 1, .eos = 2, .unknown = 0, .separator = -1}, "tokenizer.ggml.scores: not an array of at least 19"},
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .scores = nan_scores, .n_scores = 19, .bos = 1, .eos = 2, .unknown = 0, .separator = -1}, "tokenizer.ggml.scores[3]"},
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .scores = infinite_scores, .n_scores = 19, .bos = 1, .eos = 2, .unknown = 0, .separator = -1}, "tokenizer.ggml.scores[3]"},
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .scores = spm_scores, .n_scores = 19, .types = type_minus, .n_types = 19, .bos = 1, .eos = 2, .unknown = 0, .separator = -1}, "token_type[0]: -1"},
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .scores = spm_scores, .n_scores = 19, .types = type_seven, .n_types = 19, .bos = 1, .eos = 2, .unknown = 0, .separator = -1}, "token_type[0]: 7"},
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .scores = spm_scores, .n_scores = 19, .types = spm_types, .n_types = 18, .bos = 1, .eos = 2, .unknown = 0, .separator = -1}, "token_type: not an array"},
        {{.model = "llama", .tokens = spm_tokens, .n = 0, .scores = spm_scores, .n_scores = 19, .bos = -1, .eos = -1, .unknown = -1, .separator = -1}, "no tokens"},
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .scores = spm_scores, .n_scores = 19, .bos = 19, .eos = 2, .unknown = 0, .separator = -1}, "bos_token_id: 19 is not a token"},
        {{.model = "llama", .tokens = spm_tokens, .n = 2, .scores = spm_scores, .n_scores = 2, .bos = -1, .eos = -1, .unknown = 0, .separator = -1, .yes = "tokenizer.ggml.add_eos_token"}, "add_eos_token is set"},
        {{.model = "llama", .tokens = spm_tokens, .n = 1, .scores = spm_scores, .n_scores = 1, .bos = -1, .eos = -1, .unknown = 0, .separator = -1, .yes = "tokenizer.ggml.add_bos_token"}, "add_bos_token is set"},
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .bos = 1, .eos = 2, .unknown = 0, .separator = -1, .extra = {{"tokenizer.ggml.scores", 21}, LP_GGUF_ARRAY, LP_GGUF_STRING, 1, words, 9}}, "scores: not an array"},
        {{.model = "llama", .tokens = spm_tokens, .n = 1, .bos = -1, .eos = -1, .unknown = 0, .separator = -1, .extra = {{"tokenizer.ggml.scores", 21}, LP_GGUF_ARRAY, LP_GGUF_STRING, 1, words, 9}}, "scores: not an array of numbers"},
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .bos = 1, .eos = 2, .unknown = 0, .separator = -1, .extra = {{"tokenizer.ggml.scores", 21}, LP_GGUF_U32, LP_GGUF_U32, 1, words, 4}}, "scores: not an array"},
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .scores = spm_scores, .n_scores = 19, .bos = 1, .eos = 2, .unknown = 0, .separator = -1, .extra = {{"tokenizer.ggml.add_eos_token", 28}, LP_GGUF_U32, LP_GGUF_U32, 1, words, 4}}, "add_eos_token"},
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .scores = spm_scores, .n_scores = 19, .bos = 1, .eos = 2, .unknown = 0, .separator = -1, .extra = {{"tokenizer.ggml.add_space_prefix", 31}, LP_GGUF_U32, LP_GGUF_U32, 1, words, 4}}, "add_space_prefix"},
        {{.model = "llama", .tokens = spm_tokens, .n = 19, .scores = spm_scores, .n_scores = 19, .bos = 1, .eos = 2, .unknown = 0, .separator = -1, .extra = {{"tokenizer.ggml.pre", 18}, LP_GGUF_U32, LP_GGUF_U32, 1, words, 4}}, "tokenizer.ggml.pre"},
        {{.model = "bert", .tokens = bert_tokens, .n = 13, .bos = 2, .eos = -1, .unknown = 1, .separator = -1}, "seperator_token_id: missing"},
        {{.model = "bert", .tokens = bert_tokens, .n = 13, .bos = -1, .eos = -1, .unknown = 1, .separator = 3}, "bos_token_id: missing"},
        {{.model = "bert", .tokens = bert_tokens, .n = 13, .bos = 2, .eos = -1, .unknown = -1, .separator = 3}, "unknown_token_id: missing"},
        {{.model = "bert", .tokens = bert_tokens, .n = 13, .bos = 2, .eos = -1, .unknown = 1, .separator = 3, .extra = {{"tokenizer.ggml.normalizer.lowercase", 35}, LP_GGUF_U32, LP_GGUF_U32, 1, words, 4}}, "normalizer.lowercase"},
        {{.model = "bert", .tokens = bert_tokens, .n = 13, .bos = 2, .eos = -1, .unknown = 1, .separator = 3, .extra = {{"tokenizer.ggml.normalizer.strip_accents", 39}, LP_GGUF_U32, LP_GGUF_U32, 1, words, 4}}, "normalizer.strip_accents"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lp_tokenizer *t = (lp_tokenizer *)1;
        lp_status status = load(&cases[i].file, &t);
        if (status != LP_INPUT || t) fail_msg("case %zu: %s: %s", i, lp_status_name(status), lp_error());
        if (strncmp(lp_error(), path, strlen(path)) || !strstr(lp_error(), cases[i].reason))
            fail_msg("case %zu: '%s' does not begin with the file and say '%s'", i, lp_error(), cases[i].reason);
    }
    lp_tokenizer_free(loaded(&spm));
}

#define KEY(name, type, element, n, bytes) {{name, sizeof name - 1}, type, element, n, (const uint8_t *)(bytes), sizeof bytes - 1}
#define SCALAR(name, type, bytes) KEY(name, type, type, 1, bytes)
#define LIST(name, element, n, bytes) KEY(name, LP_GGUF_ARRAY, element, n, bytes)
#define CHARSMAP "tokenizer.ggml.precompiled_charsmap"

/* t5 keeps its ends elsewhere, and has a normalizer. */
static vocabulary_file unigram_file(void)
{
    vocabulary_file v = VOCABULARY_SPM;
    v.model = "t5";
    return v;
}

static void keys_of_our_own_have_a_type_and_a_range(void **state)
{
    (void)state;
    static const struct {
        const char *model;
        lp_gguf_key key;
        const char *reason;
    } cases[] = {
        {"t5", SCALAR(LP_KEY_BY_MERGES, LP_GGUF_U32, "\1\0\0\0"), LP_KEY_BY_MERGES},
        {"t5", SCALAR(LP_KEY_SPACE_ONCE, LP_GGUF_U32, "\1\0\0\0"), LP_KEY_SPACE_ONCE},
        {"t5", SCALAR(LP_KEY_SPACE_UNLESS, LP_GGUF_U32, "\1\0\0\0"), LP_KEY_SPACE_UNLESS},
        {"t5", SCALAR(LP_KEY_SPACE_LAST, LP_GGUF_U32, "\1\0\0\0"), LP_KEY_SPACE_LAST},
        {"t5", SCALAR(LP_KEY_STRIPS, LP_GGUF_U32, "\1\0\0\0"), LP_KEY_STRIPS},
        {"t5", SCALAR(LP_KEY_WHITE_SPACE, LP_GGUF_U32, "\1\0\0\0"), LP_KEY_WHITE_SPACE},
        {"t5", SCALAR("tokenizer.ggml.remove_extra_whitespaces", LP_GGUF_U32, "\1\0\0\0"), "remove_extra_whitespaces"},
        {"t5", SCALAR(LP_KEY_MOST_CHARACTERS, LP_GGUF_F32, "\0\0\0\0"), LP_KEY_MOST_CHARACTERS},
        {"t5", SCALAR(LP_KEY_MOST_CHARACTERS, LP_GGUF_I32, "\xff\xff\xff\xff"), "-1 is no length"},
        {"t5", SCALAR(LP_KEY_MOST_CHARACTERS, LP_GGUF_U64, "\0\0\0\0\1\0\0\0"), "4294967296 is no length"},
        {"t5", SCALAR(CHARSMAP, LP_GGUF_U32, "\0\0\0\0"), "not an array of bytes"},
        {"t5", LIST(CHARSMAP, LP_GGUF_F32, 1, "\0\0\0\0"), "not an array of bytes"},
        {"t5", LIST(CHARSMAP, LP_GGUF_I8, 3, "\0\0\0"), CHARSMAP},
        {"t5", SCALAR("lowp.tokenizer.lstrip", LP_GGUF_U32, "\1\0\0\0"), "not an array"},
        {"t5", LIST("lowp.tokenizer.lstrip", LP_GGUF_I32, 1, "\xff\xff\xff\xff"), "lstrip[0]: not a token"},
        {"t5", LIST("lowp.tokenizer.lstrip", LP_GGUF_I32, 1, "\x13\0\0\0"), "not a token (there are 19)"},
        {"t5", LIST("lowp.tokenizer.lstrip", LP_GGUF_F32, 1, "\0\0\0\0"), "lstrip[0]: not a token"},
        {"llama", SCALAR("tokenizer.ggml.token_type", LP_GGUF_U32, "\1\0\0\0"), "token_type: not an array"},
        {"llama", SCALAR("tokenizer.ggml.eot_token_id", LP_GGUF_I32, "\xff\xff\xff\xff"), "-1 is not a token"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        vocabulary_file v = unigram_file();
        v.model = cases[i].model;
        v.extra = cases[i].key;
        if (strcmp(cases[i].reason, "token_type: not an array") == 0) v.types = NULL;
        lp_tokenizer *t;
        if (load(&v, &t) != LP_INPUT) fail_msg("case %zu: %s", i, lp_error());
        if (!strstr(lp_error(), cases[i].reason)) fail_msg("case %zu: '%s' is not in '%s'", i, cases[i].reason, lp_error());
    }
}

static void each_difference_makes_unigram_tokenizers_unequal(void **state)
{
    (void)state;
    static const float other_scores[] = {0, 0, 0, 0, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -99, 0, 0, 0};
    static const lp_gguf_key keys[] = {
        SCALAR(LP_KEY_SPACE_LAST, LP_GGUF_BOOL, "\1"),
        SCALAR(LP_KEY_STRIPS, LP_GGUF_BOOL, "\1"), SCALAR(LP_KEY_WHITE_SPACE, LP_GGUF_BOOL, "\1"),
        SCALAR("tokenizer.ggml.remove_extra_whitespaces", LP_GGUF_BOOL, "\1"),
        LIST("lowp.tokenizer.lstrip", LP_GGUF_I32, 1, "\3\0\0\0"), LIST("lowp.tokenizer.lstrip", LP_GGUF_I32, 1, "\2\0\0\0"),
        LIST(CHARSMAP, LP_GGUF_U8, 10, "\4\0\0\0\0\0\0\0a\0"), LIST(CHARSMAP, LP_GGUF_U8, 10, "\4\0\0\0\0\0\0\0b\0"), LIST(CHARSMAP, LP_GGUF_U8, 10, "\4\0\0\0\0\4\0\0a\0"),
    };
    enum { N = sizeof keys / sizeof *keys };
    lp_tokenizer *t[N + 2];
    vocabulary_file v = unigram_file();
    t[N] = loaded(&v);
    v.scores = other_scores;
    t[N + 1] = loaded(&v);
    for (int i = 0; i < N; i++) {
        v = unigram_file();
        v.extra = keys[i];
        t[i] = loaded(&v);
        lp_tokenizer *same = loaded(&v);
        assert_true(lp_tokenizer_equal(t[i], same));
        lp_tokenizer_free(same);
    }
    for (int i = 0; i < N + 2; i++)
        for (int k = 0; k < N + 2; k++)
            if (lp_tokenizer_equal(t[i], t[k]) != (i == k)) fail_msg("cases %d and %d", i, k);
    for (int i = 0; i < N + 2; i++) lp_tokenizer_free(t[i]);
}

static void where_keys_are_absent_the_kinds_own_ids_count(void **state)
{
    (void)state;
    vocabulary_file v = VOCABULARY_SPM;
    v.bos = v.eos = v.unknown = -1;
    lp_tokenizer *t = loaded(&v);
    assert_int_equal(lp_tokenizer_bos(t), 1);
    assert_int_equal(lp_tokenizer_eos(t), 2);
    assert_true(lp_tokenizer_adds_bos(t) && !lp_tokenizer_adds_eos(t));
    lp_tokenizer_free(t);
    v.n = v.n_scores = 1; /* too few tokens for them */
    v.types = NULL;
    t = loaded(&v);
    assert_int_equal(lp_tokenizer_bos(t), -1);
    assert_false(lp_tokenizer_adds_bos(t));
    lp_tokenizer_free(t);
}

static void phi_3_is_known_by_its_name_alone(void **state)
{
    (void)state;
    static const char *const names[] = {"Phi-3 mini", "my PHI3", "phi-2", "a name of more than sixty-three characters, the first of which are not phi-3"};
    for (int i = 0; i < 4; i++) {
        vocabulary_file v = VOCABULARY_SPM;
        v.name = names[i];
        lp_tokenizer *t = loaded(&v);
        /* <|sys|> takes the spaces behind it along, <s> does not */
        assert_string_equal(ids_of(t, "<|sys|> \t\n q<s> q<|sys|> ", true), i < 2 ? "3 4 8 1 4 4 8 3" : "3 4 4 0 0 4 8 1 4 4 8 3 4 4");
        lp_tokenizer_free(t);
    }
    static const uint8_t number[4];
    vocabulary_file v = VOCABULARY_SPM;
    v.extra = (lp_gguf_key){{"general.name", 12}, LP_GGUF_U32, LP_GGUF_U32, 1, number, 4};
    lp_tokenizer *t = loaded(&v);
    assert_string_equal(ids_of(t, "<|sys|> q", true), "3 4 4 8");
    lp_tokenizer_free(t);
}

static void texts_that_only_look_like_byte_tokens_are_texts(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "<0x41>", "<0xG1>", "<0x4g>", "<0x411", "<1x41>", "<0x4>"};
    static const int32_t types[] = {2, 3, 3, 6, 6, 6, 6, 6, 6};
    vocabulary_file v = VOCABULARY_SPM;
    v.tokens = tokens;
    v.n = v.n_scores = v.n_types = 9;
    v.types = types;
    lp_tokenizer *t = loaded(&v);
    static const char *const bytes[] = {"A", "<0xG1>", "<0x4g>", "<0x411", "<1x41>", "<0x4>"};
    for (int i = 0; i < 6; i++) {
        lp_string s = lp_tokenizer_bytes(t, 3 + i, false);
        assert_int_equal(s.n, strlen(bytes[i]));
        assert_memory_equal(s.data, bytes[i], s.n);
    }
    assert_int_equal(lp_tokenizer_token(t, -1).n, 0);
    assert_int_equal(lp_tokenizer_token(t, 9).n, 0);
    assert_int_equal(lp_tokenizer_bytes(t, 9, true).n, 0);
    lp_tokenizer_free(t);
}

/* ---- equality ----------------------------------------------------------------------------------------------------- */

static void each_difference_makes_tokenizers_unequal(void **state)
{
    (void)state;
    static const char *const other_tokens[] = {"<unk>", "<s>", "</s>", "<|sys|>", "\xe2\x96\x81", "t", "h", "f", "q", "u", "i", "c", "k",
                                               "\xe2\x96\x81t", "he", "\xe2\x96\x81the", "<0x41>", "<0xG1>", "<0xC3>"};
    static const char *const longer_tokens[] = {"<unk>", "<s>", "</s>", "<|sys|>", "\xe2\x96\x81", "tt", "h", "e", "q", "u", "i", "c", "k",
                                                "\xe2\x96\x81t", "he", "\xe2\x96\x81the", "<0x41>", "<0xG1>", "<0xC3>"};
    static const float other_scores[] = {0, 0, 0, 0, -1, -3, -2, -4, -5, -6, -7, -8, -9, -10, -11, -12, 0, 0, 0};
    static const float same_order[] = {0, 0, 0, 0, -1, -2, -3, -4, -5, -6, -7, -8, -9, -10, -11, -99, 0, 0, 0};
    static const int32_t other_types[] = {2, 3, 3, 4, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 6, 6, 6};
    const vocabulary_file spm = VOCABULARY_SPM, bert = VOCABULARY_BERT;
    vocabulary_file v[16];
    int n = 0;
    for (int i = 0; i < 12; i++) v[i] = spm;
    v[n++].extra = (lp_gguf_key)SCALAR(LP_KEY_SPACE_ONCE, LP_GGUF_BOOL, "\1");
    v[n++].extra = (lp_gguf_key)SCALAR(LP_KEY_SPACE_UNLESS, LP_GGUF_BOOL, "\1");
    v[n++].tokens = other_tokens;
    v[n++].tokens = longer_tokens;
    v[n++].scores = other_scores;
    v[n++].types = other_types;
    v[n++].bos = 4;
    v[n++].no = "tokenizer.ggml.add_bos_token";
    v[n++].yes = "tokenizer.ggml.add_eos_token";
    v[n++].no = "tokenizer.ggml.add_space_prefix";
    v[n].name = "Phi-3";
    n++;
    v[n].n = v[n].n_scores = v[n].n_types = 18;
    n++;
    lp_tokenizer *a = loaded(&spm), *b = loaded(&bert);
    assert_true(lp_tokenizer_equal(a, a));
    assert_false(lp_tokenizer_equal(a, b));
    for (int i = 0; i < n; i++) {
        lp_tokenizer *t = loaded(&v[i]);
        if (lp_tokenizer_equal(a, t) || lp_tokenizer_equal(t, a)) fail_msg("case %d is equal", i);
        lp_tokenizer_free(t);
    }
    vocabulary_file w = spm;
    w.scores = same_order; /* only the order of scores counts */
    lp_tokenizer *t = loaded(&w);
    assert_true(lp_tokenizer_equal(a, t));
    lp_tokenizer_free(t);
    w = spm;
    w.yes = "tokenizer.ggml.add_eos_token";
    lp_tokenizer *e1 = loaded(&w);
    w.eos = 3;
    lp_tokenizer *e2 = loaded(&w);
    assert_false(lp_tokenizer_equal(e1, e2));
    lp_tokenizer_free(e1);
    lp_tokenizer_free(e2);
    lp_tokenizer_free(a);
    static const char *const keys[] = {"tokenizer.ggml.normalizer.lowercase", "tokenizer.ggml.normalizer.strip_accents"};
    for (int i = 0; i < 2; i++) {
        w = bert;
        w.no = keys[i];
        t = loaded(&w);
        assert_false(lp_tokenizer_equal(b, t));
        lp_tokenizer_free(t);
    }
    w = bert;
    w.unknown = 0;
    t = loaded(&w);
    assert_false(lp_tokenizer_equal(b, t));
    lp_tokenizer_free(t);
    lp_tokenizer_free(b);
}

/* ---- WordPiece ---------------------------------------------------------------------------------------------------- */

static void put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) {
        *out++ = (char)c;
    } else if (c < 0x800) {
        *out++ = (char)(0xc0 | c >> 6);
        *out++ = (char)(0x80 | (c & 63));
    } else {
        if (c < 0x10000) {
            *out++ = (char)(0xe0 | c >> 12);
        } else {
            *out++ = (char)(0xf0 | c >> 18);
            *out++ = (char)(0x80 | (c >> 12 & 63));
        }
        *out++ = (char)(0x80 | (c >> 6 & 63));
        *out++ = (char)(0x80 | (c & 63));
    }
    *out = 0;
}

/* "aCb" is three words where C stands alone, one where it does not: the number of unknown tokens tells. */
static size_t words_around(const lp_tokenizer *t, uint32_t c)
{
    char text[16] = "a";
    int32_t *ids;
    size_t n;
    put_utf8(text + 1, c);
    strcat(text, "b");
    if (lp_tokenizer_encode(t, text, strlen(text), false, false, &ids, &n) != LP_OK) fail_msg("%s", lp_error());
    free(ids);
    return n;
}

/* ---- special tokens ----------------------------------------------------------------------------------------------- */

static bool has_id(const lp_tokenizer *t, const char *text, int32_t id)
{
    int32_t *ids;
    size_t n;
    bool found = false;
    if (lp_tokenizer_encode(t, text, strlen(text), true, false, &ids, &n) != LP_OK) fail_msg("%s", lp_error());
    for (size_t i = 0; i < n; i++) found |= ids[i] == id;
    free(ids);
    return found;
}

static void a_single_word_is_bounded_by_what_patterns_call_no_word(void **state)
{
    (void)state;
    static const uint32_t in[] = {'a', '_', '7', 0x200c, 0x200d, 0x24b6, 0x24e9, 0x1f130, 0x1f149, 0x1f150, 0x1f169, 0x1f170, 0x1f189, 0x301, 0x2160},
                          out[] = {' ', '-', '$', 0x200b, 0x200e, 0x24b5, 0x24ea, 0x1f12f, 0x1f14a, 0x1f14f, 0x1f16a, 0x1f16f, 0x1f18a};
    vocabulary_file v = VOCABULARY_SPM;
    v.extra = (lp_gguf_key)LIST("lowp.tokenizer.single_word", LP_GGUF_I32, 1, "\3\0\0\0");
    lp_tokenizer *t = loaded(&v);
    for (size_t i = 0; i < sizeof in / sizeof *in + sizeof out / sizeof *out; i++) {
        bool is_in = i < sizeof in / sizeof *in;
        uint32_t c = is_in ? in[i] : out[i - sizeof in / sizeof *in];
        char character[8], before[40], behind[40];
        put_utf8(character, c);
        snprintf(before, sizeof before, "%s<|sys|>", character);
        snprintf(behind, sizeof behind, "<|sys|>%s", character);
        if (has_id(t, before, 3) == is_in || has_id(t, behind, 3) == is_in) fail_msg("U+%04X", c);
    }
    static const char *const broken[] = {"\xff<|sys|>", "<|sys|>\xff", "\x80\x80\x80\x80\x80\x80<|sys|>", "<|sys|>\xe2\x96", "\xe2\x96<|sys|>", "<|sys|>"};
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) assert_true(has_id(t, broken[i], 3));
    lp_tokenizer_free(t);
}

static void what_a_token_swallowed_is_no_token_any_more(void **state)
{
    (void)state;
    static const char *const tokens[] = {"<unk>", "<s>", "</s>", "<|sys|>", " ", "t", "h", "e", "q", "u", "i", "c", "k",
                                         " t", "he", "\xe2\x96\x81the", "<0x41>", "<0x20>", "<0xC3>"};
    static const int32_t types[] = {2, 3, 3, 3, 4, 1, 1, 1, 1, 1, 1, 1, 1, 4, 1, 1, 6, 6, 6};
    vocabulary_file v = VOCABULARY_SPM;
    v.tokens = tokens;
    v.types = types;
    v.no = "tokenizer.ggml.add_space_prefix";
    lp_tokenizer *t = loaded(&v);
    assert_true(has_id(t, "<|sys|> ", 4));
    assert_true(has_id(t, "<|sys|> t", 13));
    lp_tokenizer_free(t);
    v.extra = (lp_gguf_key)LIST("lowp.tokenizer.rstrip", LP_GGUF_I32, 1, "\3\0\0\0");
    t = loaded(&v);
    assert_false(has_id(t, "<|sys|> ", 4));
    assert_false(has_id(t, "<|sys|>   h", 4));
    assert_string_equal(ids_of(t, "<|sys|> h", true), "3 6");
    lp_tokenizer_free(t);
}

static void each_range_of_han_stands_alone_and_its_neighbours_do_not(void **state)
{
    (void)state;
    static const uint32_t ranges[][2] = {{0x4e00, 0x9fff}, {0x3400, 0x4dbf}, {0x20000, 0x2a6df}, {0x2a700, 0x2b73f},
                                         {0x2b740, 0x2b81f}, {0x2b920, 0x2ceaf}, {0xf900, 0xfaff}, {0x2f800, 0x2fa1f}};
    vocabulary_file v = VOCABULARY_BERT;
    v.no = "tokenizer.ggml.normalizer.strip_accents"; /* compatibility ideographs would be mapped first */
    lp_tokenizer *t = loaded(&v);
    for (int i = 0; i < 8; i++) {
        for (int end = 0; end < 2; end++) assert_int_equal(words_around(t, ranges[i][end]), 3);
        for (int side = 0; side < 2; side++) {
            uint32_t c = side ? ranges[i][1] + 1 : ranges[i][0] - 1;
            bool other = false;
            for (int k = 0; k < 8; k++) other |= c >= ranges[k][0] && c <= ranges[k][1];
            if (!other) assert_true(words_around(t, c) < 3);
        }
    }
    lp_tokenizer_free(t);
}

static void letters_are_lowered_and_taken_apart(void **state)
{
    (void)state;
    const vocabulary_file v = VOCABULARY_BERT;
    lp_tokenizer *t = loaded(&v);
    assert_string_equal(ids_of(t, "THE Quick, f\xc3\xb6x caf\xc3\xa9 s", false), "4 5 10 6 7 8 9 1");
    assert_string_equal(ids_of(t, "f\xc4\xb0x", false), "1");       /* dotted capital I: two code points when lowered */
    assert_string_equal(ids_of(t, "\xea\xb0\x80 \xea\xb0\x81", false), "1 1"); /* syllables of two and of three letters */
    assert_string_equal(ids_of(t, "fo\xcc\x81x", false), "6 7 8");  /* a mark alone vanishes */
    assert_string_equal(ids_of(t, "f\xe2\x80\x8bo\xef\xbf\xbd\x01x\xee\x80\x80", false), "6 7 8"); /* controls, U+FFFD, private use */
    vocabulary_file keeps = VOCABULARY_BERT;
    keeps.no = "tokenizer.ggml.normalizer.strip_accents";
    lp_tokenizer *k = loaded(&keeps);
    assert_string_equal(ids_of(k, "THE F\xc4\xb0 \xc3\x89", false), "4 1 1");
    lp_tokenizer_free(k);
    lp_tokenizer_free(t);
}

/* ---- UTF-8 -------------------------------------------------------------------------------------------------------- */

/* Unicode's table 3-7, written as the definition: a code point that is encoded in its shortest form. */
static size_t length_by_definition(const uint8_t *p, size_t n)
{
    static const struct {
        uint8_t mask, lead;
        uint32_t least;
    } forms[] = {{0x80, 0x00, 0}, {0xe0, 0xc0, 0x80}, {0xf0, 0xe0, 0x800}, {0xf8, 0xf0, 0x10000}};
    for (size_t k = 0; k < 4; k++) {
        if ((p[0] & forms[k].mask) != forms[k].lead) continue;
        if (k + 1 > n) return 0;
        uint32_t c = (uint32_t)(p[0] & ~forms[k].mask & 0xff);
        for (size_t i = 1; i <= k; i++) {
            if ((p[i] & 0xc0) != 0x80) return 0;
            c = c << 6 | (p[i] & 63);
        }
        return c >= forms[k].least && c < 0x110000 && !(c >= 0xd800 && c < 0xe000) ? k + 1 : 0;
    }
    return 0;
}

static void utf8_is_well_formed_by_its_definition(void **state)
{
    (void)state;
    static const uint8_t third[] = {0x00, 0x7f, 0x80, 0xbf, 0xc0, 0xff};
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++)
            for (size_t i = 0; i < 36; i++) {
                const uint8_t p[4] = {(uint8_t)a, (uint8_t)b, third[i / 6], third[i % 6]};
                for (size_t n = 1; n <= 4; n++)
                    if (lp_utf8_length(p, n) != length_by_definition(p, n)) fail_msg("%02x %02x %02x %02x (%zu)", p[0], p[1], p[2], p[3], n);
            }
}

/* What can still become a character is held back, and nothing else. */
static void streams_hold_back_just_what_can_become_a_character(void **state)
{
    (void)state;
    static const int bytes[] = {0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xc1, 0xc2, 0xdf, 0xe0, 0xe1, 0xec, 0xed, 0xee, 0xef,
                                0xf0, 0xf1, 0xf3, 0xf4, 0xf5, 0xff, 256}; /* the borders of what may follow what; 256: nothing */
    enum { N = sizeof bytes / sizeof *bytes };
    for (int a = 0; a < N - 1; a++)
        for (int b = 0; b < N; b++)
            for (int c = 0; c < N; c++) {
                const uint8_t p[4] = {(uint8_t)bytes[a], (uint8_t)bytes[b], (uint8_t)bytes[c], 0x80};
                size_t n = bytes[b] == 256 ? 1 : bytes[c] == 256 ? 2 : 3;
                lp_utf8_stream stream = {{0}, 0};
                char out[8];
                size_t shown = lp_utf8_stream_push(&stream, (const char *)p, n, out), tail = 0;
                for (size_t back = 1; back <= n && !tail; back++) { /* some continuation makes it well formed */
                    uint8_t rest[4] = {0};
                    memcpy(rest, p + n - back, back);
                    for (int x = 0x80; x < 0xc0 && !tail; x++) {
                        for (size_t k = back; k < 4; k++) rest[k] = (uint8_t)(k == back ? x : 0x80);
                        for (size_t k = back + 1; k <= 4 && !tail; k++)
                            if (length_by_definition(rest, k) == k) tail = back;
                    }
                }
                if (n - shown != tail) fail_msg("%02x %02x %02x of %zu: %zu held, %zu expected", p[0], p[1], p[2], n, n - shown, tail);
            }
}

int main(void)
{
    int file = mkstemp(path);
    if (file < 0) return 1;
    close(file);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_of_sentencepiece_files_are_checked),
        cmocka_unit_test(where_keys_are_absent_the_kinds_own_ids_count),
        cmocka_unit_test(phi_3_is_known_by_its_name_alone),
        cmocka_unit_test(texts_that_only_look_like_byte_tokens_are_texts),
        cmocka_unit_test(each_difference_makes_tokenizers_unequal),
        cmocka_unit_test(each_range_of_han_stands_alone_and_its_neighbours_do_not),
        cmocka_unit_test(letters_are_lowered_and_taken_apart),
        cmocka_unit_test(utf8_is_well_formed_by_its_definition),
        cmocka_unit_test(streams_hold_back_just_what_can_become_a_character),
        cmocka_unit_test(what_a_token_swallowed_is_no_token_any_more),
        cmocka_unit_test(a_single_word_is_bounded_by_what_patterns_call_no_word),
        cmocka_unit_test(each_difference_makes_unigram_tokenizers_unequal),
        cmocka_unit_test(keys_of_our_own_have_a_type_and_a_range),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
