/* tokenizer.json of every kind of model: the cards' vocabularies give the cards' ids, and what cannot be kept is refused by name. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "file/gguf.h"
#include "model/hf/tokenizer.h"

#define SPACE "\xe2\x96\x81"

static char message[512];

/* A tokenizer from the text of a tokenizer.json, by way of GGUF's keys. */
static lp_status from_json(const char *json, int64_t n_vocab, char *warning, lp_tokenizer **out)
{
    static const lp_json_limits limits = {1 << 20, 1 << 16, 32};
    char path[] = "tokenizer.json", ignored[160];
    lp_hf_file file = {.path = path, .map.slot = -1}, none = {.path = path, .map.slot = -1};
    lp_arena arena = {0};
    lp_gguf_writer *writer;
    lp_gguf_parts parts = {0};
    lp_gguf *gguf = NULL;
    *out = NULL;
    lp_status status = lp_json_parse(path, json, strlen(json), &limits, &file.json);
    if (status != LP_OK) fail_msg("%s", lp_error());
    assert_int_equal(lp_gguf_writer_create_dry(&writer), LP_OK);
    status = lp_hf_read_tokenizer(&file, &none, &none, n_vocab, writer, &arena, warning ? warning : ignored, 160);
    if (status == LP_OK) {
        parts.data = calloc(1, sizeof *parts.data);
        parts.map = calloc(1, sizeof *parts.map);
        parts.buffer = malloc(1);
        status = lp_gguf_writer_header(writer, &parts.image, &parts.n_image);
        if (status == LP_OK) status = lp_gguf_open_parts(&parts, "tokenizer.json", &gguf);
        if (status == LP_OK) status = lp_tokenizer_create(gguf, out);
        lp_gguf_close(gguf);
    }
    snprintf(message, sizeof message, "%s", status == LP_OK ? "" : lp_error());
    lp_gguf_writer_abort(writer);
    lp_arena_free(&arena);
    lp_json_free(&file.json);
    return status;
}

static lp_tokenizer *create(const char *json, int64_t n_vocab)
{
    lp_tokenizer *t;
    if (from_json(json, n_vocab, NULL, &t) != LP_OK) fail_msg("%s", message);
    return t;
}

/* Wanted ends with -1. */
static void expect(const lp_tokenizer *t, const char *text, bool add_special, const int32_t *wanted)
{
    int32_t *ids;
    size_t n, i = 0;
    if (lp_tokenizer_encode(t, text, strlen(text), true, add_special, &ids, &n) != LP_OK) fail_msg("%s: %s", text, lp_error());
    for (; wanted[i] >= 0; i++)
        if (i >= n || ids[i] != wanted[i]) fail_msg("\"%s\": id %zu of %zu is %d, not %d", text, i, n, i < n ? ids[i] : -1, wanted[i]);
    if (i != n) fail_msg("\"%s\": %zu ids, not %zu", text, n, i);
    free(ids);
}

#define IDS(...) ((int32_t[]){__VA_ARGS__, -1})

/* A whole file; parts may be NULL for null. */
static const char *file_of(const char *added, const char *normalizer, const char *pre, const char *post, const char *model)
{
    static char text[65536];
    int n = snprintf(text, sizeof text,
                     "{\"version\": \"1.0\", \"added_tokens\": [%s], \"normalizer\": %s, \"pre_tokenizer\": %s, \"post_processor\": %s, \"decoder\": null, \"model\": %s}",
                     added ? added : "", normalizer ? normalizer : "null", pre ? pre : "null", post ? post : "null", model);
    assert_true(n > 0 && (size_t)n < sizeof text);
    return text;
}

#define ADDED(id, text, more) "{\"id\": " #id ", \"content\": \"" text "\", \"special\": true, \"normalized\": false" more "}"
#define PREPEND "{\"type\": \"Sequence\", \"normalizers\": [{\"type\": \"Prepend\", \"prepend\": \"" SPACE "\"}, " REPLACE "]}"
#define REPLACE "{\"type\": \"Replace\", \"pattern\": {\"String\": \" \"}, \"content\": \"" SPACE "\"}"
#define METASPACE(scheme, split) "{\"type\": \"Metaspace\", \"replacement\": \"" SPACE "\", \"prepend_scheme\": \"" scheme "\", \"split\": " split "}"
#define BOS "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"<s>\", \"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], " \
            "\"special_tokens\": {\"<s>\": {\"id\": \"<s>\", \"ids\": [1], \"tokens\": [\"<s>\"]}}}"

/* ---- SentencePiece BPE -------------------------------------------------------------------------------------------- */

/* Vocabulary L of the card: 0 to 2 special, 3 + b byte b, 259 U+2581, a, b, ab, ba, U+2581 a, U+2581 ab. */
static const char *model_l(const char *merges, const char *more)
{
    static char text[16384];
    size_t n = (size_t)snprintf(text, sizeof text, "{\"type\": \"BPE\", \"unk_token\": \"<unk>\", \"fuse_unk\": true, \"byte_fallback\": true%s, \"vocab\": "
                                "{\"<unk>\": 0, \"<s>\": 1, \"</s>\": 2", more);
    for (int b = 0; b < 256; b++) n += (size_t)snprintf(text + n, sizeof text - n, ", \"<0x%02X>\": %d", (unsigned)b, 3 + b);
    snprintf(text + n, sizeof text - n, ", \"" SPACE "\": 259, \"a\": 260, \"b\": 261, \"ab\": 262, \"ba\": 263, \"" SPACE "a\": 264, \"" SPACE "ab\": 265}, "
             "\"merges\": [%s]}", merges);
    return text;
}
#define MERGES_L "\"b a\", \"a b\", \"" SPACE " a\", \"" SPACE "a b\", \"" SPACE " ab\""
#define ADDED_L ADDED(0, "<unk>", "") ", " ADDED(1, "<s>", "") ", " ADDED(2, "</s>", "")

static void sentencepiece_bpe_gives_the_cards_ids(void **state)
{
    (void)state;
    lp_tokenizer *t = create(file_of(ADDED_L, PREPEND, NULL, BOS, model_l(MERGES_L, "")), 266);
    expect(t, "ab", true, IDS(1, 265));
    expect(t, " ab", true, IDS(1, 259, 265));
    expect(t, "aba", true, IDS(1, 264, 263));
    expect(t, "a  b", true, IDS(1, 264, 259, 259, 261));
    expect(t, "\xc3\xa9", true, IDS(1, 259, 198, 172));
    expect(t, "a</s>b", true, IDS(1, 264, 2, 259, 261));
    expect(t, "\n", true, IDS(1, 259, 13));
    expect(t, "", true, IDS(1));
    lp_tokenizer_free(t);
}

static void metaspace_places_the_first_space_as_its_scheme_says(void **state)
{
    (void)state;
    lp_tokenizer *t = create(file_of(ADDED_L, NULL, METASPACE("first", "false"), BOS, model_l(MERGES_L, "")), 266);
    expect(t, "ab</s>ab", true, IDS(1, 265, 2, 262));
    expect(t, " ab", true, IDS(1, 265)); /* no second one */
    expect(t, "</s>ab", true, IDS(1, 2, 262));
    lp_tokenizer_free(t);
    t = create(file_of(ADDED_L, NULL, METASPACE("always", "false"), BOS, model_l(MERGES_L, "")), 266);
    expect(t, "ab</s>ab", true, IDS(1, 265, 2, 265));
    lp_tokenizer_free(t);
    t = create(file_of(ADDED_L, REPLACE, NULL, NULL, model_l(MERGES_L, "")), 266);
    expect(t, "ab ab", true, IDS(262, 265));
    lp_tokenizer_free(t);
}

static void merges_that_no_scores_can_say_are_refused(void **state)
{
    (void)state;
    lp_tokenizer *t;
    assert_int_equal(from_json(file_of(ADDED_L, PREPEND, NULL, BOS, model_l("\"a b\", \"" SPACE " a\", \"b a\", \"" SPACE "a b\"", "")), 266, NULL, &t), LP_UNSUPPORTED);
    assert_non_null(strstr(message, "are missing"));
    assert_int_equal(from_json(file_of(ADDED_L, PREPEND, NULL, BOS,
                                       model_l("\"" SPACE "a b\", \"b a\", \"a b\", \"" SPACE " a\", \"" SPACE " ab\"", "")), 266, NULL, &t), LP_UNSUPPORTED);
    assert_non_null(strstr(message, "do not stand together"));
    assert_int_equal(from_json(file_of(ADDED_L, PREPEND, NULL, BOS, model_l(MERGES_L, ", \"ignore_merges\": true")), 266, NULL, &t), LP_UNSUPPORTED);
    assert_int_equal(from_json(file_of(ADDED_L, NULL, NULL, BOS, model_l(MERGES_L, "")), 266, NULL, &t), LP_UNSUPPORTED);
}

/* ---- Unigram ------------------------------------------------------------------------------------------------------ */

#define MODEL_U(more) "{\"type\": \"Unigram\", \"unk_id\": 0, \"vocab\": [[\"<unk>\", 0], [\"" SPACE "\", -2], [\"a\", -3], [\"b\", -3.5], [\"ab\", -4], " \
    "[\"" SPACE "a\", -3.25], [\"" SPACE "ab\", -5], [\"ba\", -6.5], [\"c\", -7], [\"bc\", -10.5], [\"abc\", -7.5]" more "]}"

static void unigram_gives_the_cards_ids(void **state)
{
    (void)state;
    lp_tokenizer *t = create(file_of(ADDED(11, "<s>", ""), NULL, METASPACE("always", "true"), NULL, MODEL_U("")), 12);
    expect(t, "", false, IDS(-1));
    expect(t, "a", false, IDS(5));
    expect(t, "ab", false, IDS(6));
    expect(t, "abc", false, IDS(1, 10));
    expect(t, "ab c", false, IDS(6, 1, 8));
    expect(t, "abab", false, IDS(6, 4));
    expect(t, " ab", false, IDS(6));
    expect(t, "ab  a", false, IDS(6, 1, 5));
    expect(t, "xyz", false, IDS(1, 0));
    expect(t, "axyb", false, IDS(5, 0, 3));
    expect(t, "\xc3\xa9", false, IDS(1, 0));
    expect(t, "bc", false, IDS(1, 9)); /* a tie: the longest last piece */
    expect(t, "bca", false, IDS(1, 9, 2));
    expect(t, "a<s>a b", false, IDS(5, 11, 5, 1, 3));
    lp_tokenizer_free(t);
    t = create(file_of(ADDED(11, "<s>", ""), NULL, METASPACE("first", "true"), NULL, MODEL_U("")), 12);
    expect(t, "a<s>a b", false, IDS(5, 11, 2, 1, 3));
    lp_tokenizer_free(t);
    t = create(file_of(ADDED(11, "<s>", ""), NULL, METASPACE("never", "true"), NULL, MODEL_U("")), 12);
    expect(t, "a<s>a b", false, IDS(2, 11, 2, 1, 3));
    lp_tokenizer_free(t);
}

static void of_equal_sums_the_longest_last_piece_wins(void **state)
{
    (void)state;
    lp_tokenizer *t = create(file_of(NULL, NULL, METASPACE("never", "false"), NULL,
                                     "{\"type\": \"Unigram\", \"unk_id\": 5, \"vocab\": [[\"a\", -1], [\"b\", -1], [\"c\", -1], [\"ab\", -2], [\"bc\", -2], [\"<unk>\", 0]]}"), 6);
    expect(t, "abc", false, IDS(0, 4));
    lp_tokenizer_free(t);
    /* GGUF always has an unknown token. */
    assert_int_equal(from_json(file_of(NULL, NULL, METASPACE("never", "false"), NULL, "{\"type\": \"Unigram\", \"unk_id\": null, \"vocab\": [[\"a\", -1]]}"), 1, NULL, &t),
                     LP_UNSUPPORTED);
    assert_non_null(strstr(message, "unk_id"));
}

static void unknown_characters_become_the_tokens_of_their_bytes(void **state)
{
    (void)state;
    char more[8192];
    size_t n = 0;
    for (int b = 0; b < 256; b++) n += (size_t)snprintf(more + n, sizeof more - n, ", [\"<0x%02X>\", 0]", (unsigned)b);
    static char model[16384];
    snprintf(model, sizeof model, "{\"type\": \"Unigram\", \"unk_id\": 0, \"byte_fallback\": true, \"vocab\": [[\"<unk>\", 0], [\"" SPACE "\", -2], [\"a\", -3], "
             "[\"b\", -3.5], [\"" SPACE "a\", -3.25]%s]}", more);
    lp_tokenizer *t = create(file_of(NULL, NULL, METASPACE("always", "true"), NULL, model), 261);
    expect(t, "a\xc3\xa9" "b", false, IDS(4, 5 + 0xc3, 5 + 0xa9, 3));
    expect(t, "xy", false, IDS(1, 5 + 'x', 5 + 'y'));
    lp_tokenizer_free(t);
    lp_tokenizer *none;
    model[strlen(model) - 3 - strlen(", [\"<0xFF>\", 0]") + 1] = 0; /* one is missing */
    strcat(model, "]}");
    assert_int_equal(from_json(file_of(NULL, NULL, METASPACE("always", "true"), NULL, model), 261, NULL, &none), LP_UNSUPPORTED);
    assert_non_null(strstr(message, "255 of the 256"));
}

static void spaces_collapse_where_the_file_says_so(void **state)
{
    (void)state;
#define COLLAPSE(to) "{\"type\": \"Replace\", \"pattern\": {\"Regex\": \" {2,}\"}, \"content\": \"" to "\"}"
#define STRIP "{\"type\": \"Strip\", \"strip_left\": false, \"strip_right\": true}"
    lp_tokenizer *t = create(file_of(NULL, COLLAPSE(" "), METASPACE("always", "true"), NULL, MODEL_U("")), 11);
    expect(t, "  a   b  ", false, IDS(5, 1, 3, 1)); /* one stays at the end */
    expect(t, "   ", false, IDS(1));
    lp_tokenizer_free(t);
    t = create(file_of(NULL, "{\"type\": \"Sequence\", \"normalizers\": [" STRIP ", " COLLAPSE(SPACE) "]}", METASPACE("always", "true"), NULL, MODEL_U("")), 11);
    expect(t, "  a   b \xc2\x85 ", false, IDS(5, 1, 3));
    expect(t, "   ", false, IDS(-1));
    lp_tokenizer_free(t);
    t = create(file_of(NULL, NULL, "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"WhitespaceSplit\"}, " METASPACE("always", "true") "]}", NULL, MODEL_U("")), 11);
    expect(t, "\t a\n\xe3\x80\x80" "b ", false, IDS(5, 1, 3));
    lp_tokenizer_free(t);
}

/* ---- WordPiece ---------------------------------------------------------------------------------------------------- */

#define BERT "{\"type\": \"BertNormalizer\", \"clean_text\": true, \"handle_chinese_chars\": true, \"strip_accents\": null, \"lowercase\": true}"
#define BERT_POST "{\"type\": \"BertProcessing\", \"sep\": [\"[SEP]\", 2], \"cls\": [\"[CLS]\", 1]}"
#define MODEL_W "{\"type\": \"WordPiece\", \"unk_token\": \"[UNK]\", \"continuing_subword_prefix\": \"##\", \"max_input_chars_per_word\": 5, \"vocab\": " \
    "{\"[UNK]\": 0, \"[CLS]\": 1, \"[SEP]\": 2, \"a\": 3, \"##b\": 4, \"ab\": 5, \"##c\": 6, \"abc\": 7, \",\": 8, \"\xe4\xbd\xa0\": 9, \"e\": 10}}"
#define ADDED_W ADDED(0, "[UNK]", "") ", " ADDED(1, "[CLS]", "") ", " ADDED(2, "[SEP]", "")

static void wordpiece_gives_the_cards_ids(void **state)
{
    (void)state;
    lp_tokenizer *t = create(file_of(ADDED_W, BERT, "{\"type\": \"BertPreTokenizer\"}", BERT_POST, MODEL_W), 11);
    expect(t, "ABCB", true, IDS(1, 7, 4, 2));
    expect(t, "ab,c", true, IDS(1, 5, 8, 0, 2));
    expect(t, "a\xe4\xbd\xa0" "b", true, IDS(1, 3, 9, 0, 2));
    expect(t, "\xc3\x89", true, IDS(1, 10, 2));
    expect(t, "abcbc", true, IDS(1, 7, 4, 6, 2));
    expect(t, "abcbcb", true, IDS(1, 0, 2)); /* six characters */
    expect(t, "a\xcc\x81" "b", true, IDS(1, 5, 2));
    expect(t, "a\xe1\xa0\x8e" "b", true, IDS(1, 5, 2));
    expect(t, "", true, IDS(1, 2));
    lp_tokenizer_free(t);
}

/* ---- special tokens ----------------------------------------------------------------------------------------------- */

#define BYTES "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": true}"
#define MODEL_B "{\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"\xc4\xa0\": 2, \"_\": 3, \"<m>\": 4}, \"merges\": []}"

static void special_tokens_take_white_space_along_and_stand_alone(void **state)
{
    (void)state;
    lp_tokenizer *t = create(file_of(ADDED(4, "<m>", ""), NULL, BYTES, NULL, MODEL_B), 5);
    expect(t, "a <m> b", false, IDS(0, 2, 4, 2, 1));
    lp_tokenizer_free(t);
    t = create(file_of(ADDED(4, "<m>", ", \"lstrip\": true"), NULL, BYTES, NULL, MODEL_B), 5);
    expect(t, "a <m> b", false, IDS(0, 4, 2, 1));
    expect(t, "a \xe3\x80\x80\t<m><m>", false, IDS(0, 4, 4));
    lp_tokenizer_free(t);
    t = create(file_of(ADDED(4, "<m>", ", \"rstrip\": true"), NULL, BYTES, NULL, MODEL_B), 5);
    expect(t, "a <m> \xc2\xa0 b", false, IDS(0, 2, 4, 1));
    lp_tokenizer_free(t);
}

static void a_single_word_needs_a_border_on_both_sides(void **state)
{
    (void)state;
    const char *model = "{\"type\": \"BPE\", \"vocab\": {\"a\": 0, \"b\": 1, \"\xc4\xa0\": 2, \"_\": 3}, \"merges\": []}";
    lp_tokenizer *t = create(file_of(ADDED(4, "ab", ", \"single_word\": true"), NULL, BYTES, NULL, model), 5);
    expect(t, "ab", false, IDS(4));
    expect(t, "a ab a", false, IDS(0, 2, 4, 2, 0));
    expect(t, "aab", false, IDS(0, 0, 1));
    expect(t, "ab_", false, IDS(0, 1, 3));
    expect(t, "abab ab", false, IDS(0, 1, 0, 1, 2, 4));
    lp_tokenizer_free(t);
}

static void nfc_comes_before_the_words_of_qwen2_only(void **state)
{
    (void)state;
#define QWEN "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Split\", \"pattern\": {\"Regex\": \"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?\\\\p{L}+|" \
    "\\\\p{N}| ?[^\\\\s\\\\p{L}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"}, \"behavior\": \"Isolated\", \"invert\": false}, " \
    "{\"type\": \"ByteLevel\", \"add_prefix_space\": false, \"use_regex\": false}]}"
    const char *model = "{\"type\": \"BPE\", \"vocab\": {\"e\": 0, \"\xc3\x8c\": 1, \"\xc4\xa3\": 2, \"\xc3\x83\": 3, \"\xc2\xa9\": 4}, \"merges\": []}";
    lp_tokenizer *t = create(file_of(NULL, "{\"type\": \"NFC\"}", QWEN, NULL, model), 5);
    expect(t, "e\xcc\x81", false, IDS(3, 4));
    expect(t, "\xc3\xa9", false, IDS(3, 4));
    lp_tokenizer_free(t);
    t = create(file_of(NULL, NULL, QWEN, NULL, model), 5);
    expect(t, "e\xcc\x81", false, IDS(0, 1, 2));
    lp_tokenizer_free(t);
}

/* ---- refusals ----------------------------------------------------------------------------------------------------- */

static void what_keys_cannot_say_is_refused_by_name(void **state)
{
    (void)state;
    static const char level[] = "{\"type\": \"WordLevel\", \"vocab\": {\"a\": 0}}";
    const struct {
        const char *added, *normalizer, *pre, *post, *model, *words;
        lp_status status;
    } cases[] = {
        {NULL, NULL, BYTES, NULL, level, "'WordLevel'", LP_UNSUPPORTED},
        {NULL, "{\"type\": \"NFKC\"}", BYTES, NULL, MODEL_B, "normalizer: 'NFKC'", LP_UNSUPPORTED},
        {NULL, "{\"type\": \"NFC\"}", "{\"type\": \"Sequence\", \"pretokenizers\": [{\"type\": \"Digits\", \"individual_digits\": true}, " BYTES "]}", NULL, MODEL_B,
         "behind NFC", LP_UNSUPPORTED},
        {NULL, "{\"type\": \"Nmt\"}", METASPACE("always", "true"), NULL, MODEL_U(""), "'Nmt'", LP_UNSUPPORTED},
        {NULL, STRIP, METASPACE("always", "true"), NULL, MODEL_U(""), "Strip without Replace", LP_UNSUPPORTED},
        {NULL, NULL, "{\"type\": \"CharDelimiterSplit\", \"delimiter\": \"x\"}", NULL, MODEL_U(""), "'CharDelimiterSplit'", LP_UNSUPPORTED},
        {NULL, NULL, "{\"type\": \"WhitespaceSplit\"}", NULL, MODEL_U(""), "WhitespaceSplit", LP_UNSUPPORTED},
        {NULL, NULL, METASPACE("always", "true"), NULL, MODEL_U(", [\"a" SPACE "b\", -1]"), "would cut token", LP_UNSUPPORTED},
        {NULL, NULL, METASPACE("always", "true"), NULL, MODEL_U(", [\"a\", -1]"), "stands there twice", LP_UNSUPPORTED},
        {NULL, NULL, METASPACE("always", "true"), NULL, MODEL_U(", [\"x\", 1e39]"), "finite score", LP_INPUT},
        {NULL, "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAA\"}", METASPACE("always", "true"), NULL, MODEL_U(""), "base64", LP_INPUT},
        {NULL, "{\"type\": \"Precompiled\", \"precompiled_charsmap\": \"AAAAAAAA\"}", METASPACE("always", "true"), NULL, MODEL_U(""), "precompiled_charsmap", LP_INPUT},
        {ADDED_W, "{\"type\": \"Lowercase\"}", "{\"type\": \"BertPreTokenizer\"}", BERT_POST, MODEL_W, "'Lowercase'", LP_UNSUPPORTED},
        {ADDED_W, BERT, "{\"type\": \"Whitespace\"}", BERT_POST, MODEL_W, "'Whitespace'", LP_UNSUPPORTED},
        {ADDED_W, BERT, "{\"type\": \"BertPreTokenizer\"}", NULL, MODEL_W, "[CLS]", LP_UNSUPPORTED},
        {NULL, NULL, BYTES, "{\"type\": \"TemplateProcessing\", \"single\": [{\"SpecialToken\": {\"id\": \"a\", \"type_id\": 0}}, {\"SpecialToken\": {\"id\": \"b\", "
         "\"type_id\": 0}}, {\"Sequence\": {\"id\": \"A\", \"type_id\": 0}}], \"special_tokens\": {}}", MODEL_B, "more than one token", LP_UNSUPPORTED},
        {NULL, NULL, BYTES, "{\"type\": \"TemplateProcessing\", \"single\": [{\"Sequence\": {\"id\": \"B\", \"type_id\": 0}}], \"special_tokens\": {}}", MODEL_B, "one Sequence, A",
         LP_UNSUPPORTED},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lp_tokenizer *t;
        lp_status status = from_json(file_of(cases[i].added, cases[i].normalizer, cases[i].pre, cases[i].post, cases[i].model), 16, NULL, &t);
        if (status != cases[i].status || !strstr(message, cases[i].words)) fail_msg("case %zu: %d \"%s\" does not say \"%s\"", i, status, message, cases[i].words);
        assert_null(t);
    }
}

static void what_only_lowp_knows_is_warned_of(void **state)
{
    (void)state;
    lp_tokenizer *t;
    char warning[160];
    assert_int_equal(from_json(file_of(ADDED_L, NULL, METASPACE("first", "false"), BOS, model_l(MERGES_L, "")), 266, warning, &t), LP_OK);
    assert_non_null(strstr(warning, "only lowp knows the key lowp.tokenizer.space_once"));
    lp_tokenizer_free(t);
    assert_int_equal(from_json(file_of(ADDED_L, PREPEND, NULL, BOS, model_l(MERGES_L, "")), 266, warning, &t), LP_OK);
    assert_string_equal(warning, "");
    lp_tokenizer_free(t);
    assert_int_equal(from_json(file_of(NULL, NULL, METASPACE("never", "true"), NULL, MODEL_U(", [\"x\", -0.1]")), 12, warning, &t), LP_OK);
    assert_non_null(strstr(warning, "rounded to float32"));
    lp_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sentencepiece_bpe_gives_the_cards_ids),
        cmocka_unit_test(metaspace_places_the_first_space_as_its_scheme_says),
        cmocka_unit_test(merges_that_no_scores_can_say_are_refused),
        cmocka_unit_test(unigram_gives_the_cards_ids),
        cmocka_unit_test(of_equal_sums_the_longest_last_piece_wins),
        cmocka_unit_test(unknown_characters_become_the_tokens_of_their_bytes),
        cmocka_unit_test(spaces_collapse_where_the_file_says_so),
        cmocka_unit_test(wordpiece_gives_the_cards_ids),
        cmocka_unit_test(special_tokens_take_white_space_along_and_stand_alone),
        cmocka_unit_test(a_single_word_needs_a_border_on_both_sides),
        cmocka_unit_test(nfc_comes_before_the_words_of_qwen2_only),
        cmocka_unit_test(what_keys_cannot_say_is_refused_by_name),
        cmocka_unit_test(what_only_lowp_knows_is_warned_of),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
