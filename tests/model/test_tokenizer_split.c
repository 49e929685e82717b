/* Pre-tokenizers: the card's pieces, classes of characters, and the ids of a real text. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/tokenizer.h>

#include "base/sha256.h"
#include "model/tokenizer/split_stages.h"
#include "model/tokenizer/unicode.h"

static const char *source_root;

/* The pieces of text, joined by '|', are `wanted`. */
static void expect(const char *names, const char *text, const char *wanted)
{
    size_t n = strlen(text);
    for (const char *name = names; *name;) {
        size_t n_name = strcspn(name, " "), at = 0, length = 0;
        const lp_split *split = lp_split_find(name, n_name);
        char got[256];
        assert_non_null(split);
        lp_split_walk walk = {.split = split, .text = (const uint8_t *)text, .n = n};
        while (at < n) {
            size_t next = lp_split_walk_next(&walk);
            assert_true(next > at && next <= n);
            if (at) got[length++] = '|';
            memcpy(got + length, text + at, next - at);
            length += next - at;
            at = next;
        }
        got[length] = 0;
        if (strcmp(got, wanted)) fail_msg("%.*s: \"%s\", wanted \"%s\"", (int)n_name, name, got, wanted);
        name += n_name + (name[n_name] == ' ');
    }
}

static void pieces_follow_the_card(void **state)
{
    (void)state;
    expect("gpt-2", "x = 12345;", "x| =| 12345|;");
    expect("smollm qwen2", "x = 12345;", "x| =| |1|2|3|4|5|;");
    expect("llama-bpe", "x = 12345;", "x| =| |123|45|;");
    expect("gpt-2 smollm", "I'LL can't", "I|'|LL| can|'t");
    expect("llama-bpe qwen2", "I'LL can't", "I|'LL| can|'t");
    expect("gpt-2 smollm", "a\n\n  b\t", "a|\n\n | b|\t");
    expect("llama-bpe qwen2", "a\n\n  b\t", "a|\n\n| | b|\t");
    expect("gpt-2", "#$%\r\n\nend ", "#$%|\r\n|\n|end| ");
    expect("llama-bpe", "#$%\r\n\nend ", "#$%\r\n\n|end| ");
    expect("gpt-2", "caf\u00e9 \u4f60\u597d 3\u00bd", "caf\u00e9| \u4f60\u597d| 3\u00bd");
    expect("smollm", "caf\u00e9 \u4f60\u597d 3\u00bd", "caf\u00e9| \u4f60\u597d| |3|\u00bd");
    expect("llama-bpe", "caf\u00e9 \u4f60\u597d 3\u00bd", "caf\u00e9| \u4f60\u597d| |3\u00bd");
    expect("gpt-2", "  12  34", " | 12| | 34");
    expect("smollm", "  12  34", "  |1|2|  |3|4");
    expect("llama-bpe", "  12  34", " | |12| | |34");
    expect("gpt-2", "if (a<=10) {\n    return 0;\n}", "if| (|a|<=|10|)| {|\n   | return| 0|;|\n|}");
    expect("llama-bpe", "if (a<=10) {\n    return 0;\n}", "if| (|a|<=|10|)| {\n|   | return| |0|;\n|}");
}

static void contractions_are_taken_in_their_case(void **state)
{
    (void)state;
    expect("gpt-2", "'s't're've'm'll'd'r'x", "'s|'t|'re|'ve|'m|'ll|'d|'|r|'|x");
    expect("qwen2", "'S'T'Re'vE'M'lL'D", "'S|'T|'Re|'vE|'M|'lL|'D");
    expect("qwen2", "'r'x'", "'r|'x|'");   /* the apostrophe is a prefix of letters */
    expect("ufakzeka", "'s a's", "'s| a|'s");
    expect("ufakzeka", "'st", "'st");
    expect("qwen2", "'st", "'s|t");
    expect("gpt-2", "'st", "'s|t");
    expect("qwen2", "'\u017ft", "'\u017f|t"); /* long s, by case folding */
    expect("gpt-2", "'\u017ft", "'|\u017ft");
    expect("gpt-2 qwen2", "'", "'");
}

static void every_white_space_counts(void **state)
{
    (void)state;
    /* U+0085 and U+3000 are, U+200B and U+001C are not; one before a letter stays with the run only if it is no space */
    expect("gpt-2", "a\xc2\x85\u3000b", "a|\xc2\x85|\u3000|b");
    expect("llama-bpe", "a\xc2\x85\u3000b", "a|\xc2\x85|\u3000b");
    expect("gpt-2", "\u2003\u2028 b", "\u2003\u2028| b");
    expect("gpt-2", "\u200bb", "\u200b|b");
    expect("gpt-2", " \x1c\x1d", " \x1c\x1d");
    expect("gpt-2", "  ", "  ");
    expect("gpt-2", " \n ", " \n ");
    expect("llama-bpe", " \n ", " \n| ");
    expect("llama-bpe", " \r \n\n  x", " \r \n\n| | x");
    expect("llama-bpe", "\t\n\v\f\r x", "\t\n\v\f\r| x");
}

static void combining_marks_belong_where_the_pattern_says(void **state)
{
    (void)state;
    expect("gpt-2", "e\u0301a", "e|\u0301|a");
    expect("qwen2", "e\u0301a", "e|\u0301a");
    expect("qwen35", "e\u0301a", "e\u0301a");
    expect("qwen35", "!e\u0301 \u0301a", "!e\u0301| \u0301a");
}

static void patterns_one_after_another_cut_each_others_pieces(void **state)
{
    (void)state;
    expect("falcon", "x = 12345;", "x| |=| |123|45|;");
    expect("falcon", "I'll  (go)", "I|'|ll|  |(|go|)");
    expect("falcon", "12\u00bd3456 7890", "12\u00bd|345|6| |789|0");
    expect("falcon", "a \u00a9\u20ac b", "a| \u00a9\u20ac| b");
    expect("deepseek-llm", "Hello, w\u00f6rld!  \n\n12345 x", "Hello|,| w|\u00f6|rld|!|  |\n|\n|12345| x");
    expect("deepseek-llm", "\u4f60\u597d \u05d0\u05d1 \uff01\u3002", "\u4f60\u597d| \u05d0\u05d1| \uff01|\u3002");
    expect("deepseek-coder", "int x=12;\r\n\ty", "int| x|=|1|2|;|\r|\n|\ty");
    expect("deepseek-coder", "caf\u00e9 \u4f60\u597d 3\u00bd", "caf\u00e9| |\u4f60\u597d| |3|\u00bd");
    expect("deepseek-v3", "x = 12345;", "x| =| |123|45|;");
    expect("deepseek-v3", "I'll (go)!\n\n  z", "I|'ll| (|go|)!\n\n| | z");
    expect("deepseek-v3", "\u4f60\u597da\u3042 !\u00e9b\x07\x07" "c", "\u4f60\u597d|a|\u3042| !|\u00e9b|\x07|\x07" "c");
}

static void words_end_where_lower_case_ends(void **state)
{
    (void)state;
    expect("tekken gpt-4o", "HelloWorld ABCdef XMLHttp", "Hello|World| ABCdef| XMLHttp");
    expect("tekken gpt-4o", "aB", "a|B");
    expect("tekken", "I'll", "I|'ll");
    expect("gpt-4o", "I'll CAN'T x'yz", "I'll| CAN'T| x|'yz");
    expect("tekken", "1234", "1|2|3|4");
    expect("gpt-4o", "1234", "123|4");
    expect("tekken gpt-4o", "a://\n/b", "a|://\n/|b");
    /* a mark is a prefix, upper case and lower case: what the pattern tries first decides */
    expect("tekken gpt-4o", "\u0301A", "\u0301|A");
    expect("tekken gpt-4o", "\u4f60A\u597dB", "\u4f60A\u597d|B");
    expect("tekken gpt-4o", "!!\u0301 !\u0301", "!!\u0301| !\u0301");
}

static void every_name_of_a_row_is_found(void **state)
{
    (void)state;
    char names[2048];
    lp_split_names(names, sizeof names);
    int n = 0;
    for (char *name = strtok(names, " "); name; name = strtok(NULL, " "), n++) {
        const lp_split *split = lp_split_find(name, strlen(name));
        assert_non_null(split);
        assert_non_null(strstr(split->names, name));
    }
    assert_int_equal(n, 65);
    assert_null(lp_split_find("", 0));
    assert_null(lp_split_find("gpt-", 4));
    assert_null(lp_split_find("gpt-22", 6));
}

/* Counts of Unicode 16.0, as the tokenizers library's classes have them. */
static void the_table_has_the_classes_of_unicode_16(void **state)
{
    (void)state;
    int letters = 0, numbers = 0, marks = 0, spaces = 0, unassigned = 0;
    for (uint32_t c = 0; c < 0x110000; c++) {
        uint32_t set = lp_category_set(c);
        letters += (set & LP_LETTERS) != 0;
        numbers += (set & LP_NUMBERS) != 0;
        marks += (set & LP_MARKS) != 0;
        spaces += (set & LP_SPACES) != 0;
        unassigned += set == LP_SET(LP_CN);
    }
    assert_int_equal(letters, 141028);
    assert_int_equal(numbers, 1911);
    assert_int_equal(marks, 2501);
    assert_int_equal(spaces, 25);
    assert_true(lp_category_set(0x1c89) & LP_LETTERS); /* new in 16 */
    assert_true(lp_category_set('\n') == LP_NEWLINES && lp_category_set('\r') == LP_NEWLINES);
    assert_int_equal(unassigned, 819533);
}

/* The scanner has its own classes of ASCII: a character alone and before a letter is cut as the table says. */
static void ascii_classes_equal_the_table(void **state)
{
    (void)state;
    const lp_split *split = lp_split_find("gpt-2", 5);
    for (uint8_t c = 1; c < 0x80; c++) {
        uint32_t set = lp_category_set(c);
        const uint8_t with_letter[] = {c, 'z'}, with_number[] = {c, '7'}, with_other[] = {c, '#'}, spaced[] = {'\t', c};
        assert_int_equal(lp_split_next(split, with_letter, 0, 2), c == ' ' || set & LP_LETTERS ? 2 : 1);
        assert_int_equal(lp_split_next(split, with_number, 0, 2), c == ' ' || set & LP_NUMBERS ? 2 : 1);
        assert_int_equal(lp_split_next(split, with_other, 0, 2), c == ' ' || !(set & (LP_LETTERS | LP_NUMBERS | LP_SPACES)) ? 2 : 1);
        assert_int_equal(lp_split_next(split, spaced, 0, 2), set & LP_SPACES ? 2 : 1);
    }
}

static char *read_file(const char *name, size_t *n)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/models/%s", source_root, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = malloc(1 << 20);
    assert_non_null(text);
    *n = fread(text, 1, 1 << 20, file);
    fclose(file);
    return text;
}

static void the_embedded_model_tokenizes_its_text_as_the_tokenizers_library(void **state)
{
    (void)state;
    char path[4096], digest[65];
    lp_gguf *gguf;
    lp_tokenizer *t;
    snprintf(path, sizeof path, "%s/models/books-4m-f16.gguf", source_root);
    assert_int_equal(lp_gguf_open(path, &gguf), LP_OK);
    assert_int_equal(lp_tokenizer_create(gguf, &t), LP_OK);
    lp_gguf_close(gguf); /* the tokenizer keeps its own copies */
    size_t n, n_ids, at = 0;
    char *text = read_file("test.txt", &n);
    int32_t *ids;
    assert_int_equal(lp_tokenizer_encode(t, text, n, false, true, &ids, &n_ids), LP_OK);
    lp_sha256 hash;
    lp_sha256_begin(&hash);
    lp_sha256_add(&hash, ids, n_ids * sizeof *ids);
    lp_sha256_end(&hash, digest);
    assert_int_equal(n_ids, 19869);
    assert_string_equal(digest, "4ece4545d49a62d4e76ede5113297777c51f600c8bf1aad27b28af87088a9aed"); /* tokenizers 0.23.3 */
    for (size_t i = 0; i < n_ids; i++) {
        lp_string s = lp_tokenizer_bytes(t, ids[i], false);
        assert_true(s.n <= n - at);
        assert_memory_equal(text + at, s.data, s.n);
        at += s.n;
    }
    assert_int_equal(at, n);
    assert_int_equal(lp_tokenizer_size(t), 4096);
    assert_int_equal(lp_tokenizer_bos(t), 0);
    assert_false(lp_tokenizer_adds_bos(t));
    assert_true(lp_tokenizer_ends_generation(t, 0));
    free(ids);
    free(text);
    lp_tokenizer_free(t);
}

int main(int argc, char **argv)
{
    source_root = argc > 1 ? argv[1] : ".";
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pieces_follow_the_card),
        cmocka_unit_test(contractions_are_taken_in_their_case),
        cmocka_unit_test(every_white_space_counts),
        cmocka_unit_test(combining_marks_belong_where_the_pattern_says),
        cmocka_unit_test(patterns_one_after_another_cut_each_others_pieces),
        cmocka_unit_test(words_end_where_lower_case_ends),
        cmocka_unit_test(every_name_of_a_row_is_found),
        cmocka_unit_test(the_table_has_the_classes_of_unicode_16),
        cmocka_unit_test(ascii_classes_equal_the_table),
        cmocka_unit_test(the_embedded_model_tokenizes_its_text_as_the_tokenizers_library),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
