/* WordPiece over the small vocabulary of the card: ids, accents, case, what is a word, hard inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "model/tokenizer/tokenizer.h"
#include "model/tokenizer/unicode.h"

#define S "\xe2\x96\x81"
static const char *const texts[] = {"[UNK]", "[CLS]", "[SEP]", S "a", "b", S "ab", "c", S "abc", S ",", S "\u4f60", S "e", S "A", "\u0301"};
enum { N_TEXTS = sizeof texts / sizeof *texts, UPPER_A = 11 };

static lp_tokenizer *create(bool keeps)
{
    static lp_string tokens[N_TEXTS];
    static int32_t types[N_TEXTS];
    for (int i = 0; i < N_TEXTS; i++) {
        tokens[i] = (lp_string){texts[i], strlen(texts[i])};
        types[i] = i < 3 ? LP_TOKEN_CONTROL : LP_TOKEN_NORMAL;
    }
    lp_tokenizer_source source = {.name = "mini", .model = {"bert", 4}, .tokens = tokens, .n_tokens = N_TEXTS, .types = types,
                                  .adds_bos = -1, .adds_space = -1, .keeps_case = keeps, .keeps_accents = keeps};
    for (int i = 0; i < LP_NAMED_COUNT; i++) source.named[i] = -1;
    lp_tokenizer *t = NULL;
    assert_int_equal(lp_tokenizer_create_from(&source, &t), LP_INPUT); /* without its three special tokens */
    assert_null(t);
    source.named[LP_NAMED_UNKNOWN] = 0;
    source.named[LP_NAMED_BOS] = 1;
    source.named[LP_NAMED_SEPARATOR] = 2;
    if (lp_tokenizer_create_from(&source, &t) != LP_OK) fail_msg("%s", lp_error());
    return t;
}

static void expect(const lp_tokenizer *t, const char *text, size_t n, bool special, const int32_t *wanted)
{
    int32_t *ids;
    size_t n_ids, i = 0;
    assert_int_equal(lp_tokenizer_encode(t, text, n, special, special, &ids, &n_ids), LP_OK);
    for (; wanted[i] >= 0; i++) {
        assert_true(i < n_ids);
        assert_int_equal(ids[i], wanted[i]);
    }
    assert_int_equal(n_ids, i);
    free(ids);
}
#define EXPECT(t, text, special, ...) expect(t, text, sizeof text - 1, special, (int32_t[]){__VA_ARGS__, -1})

static void the_cards_vocabulary_gives_the_cards_ids(void **state)
{
    (void)state;
    lp_tokenizer *t = create(false);
    EXPECT(t, "ABCB", true, 1, 7, 4, 2);
    EXPECT(t, "ab,c", true, 1, 5, 8, 0, 2);
    EXPECT(t, "a\u4f60" "b", true, 1, 3, 9, 0, 2);
    EXPECT(t, "\u00c9", true, 1, 10, 2);
    EXPECT(t, "a\u0301" "b", true, 1, 5, 2);
    EXPECT(t, "a\u180e" "b", true, 1, 5, 2);
    EXPECT(t, "", true, 1, 2);
    EXPECT(t, "a[SEP]ab", true, 1, 3, 2, 5, 2);
    EXPECT(t, "abcbcb", false, 7, 4, 6, 4);
    assert_true(lp_tokenizer_adds_bos(t) && lp_tokenizer_adds_eos(t));
    assert_int_equal(lp_tokenizer_eos(t), 2);
    lp_tokenizer_free(t);
}

static void words_end_at_white_space_and_controls_vanish(void **state)
{
    (void)state;
    lp_tokenizer *t = create(false);
    EXPECT(t, " a\tab\n\u3000\xc2\x85" "abc  ", false, 3, 5, 7);
    EXPECT(t, "a\x07\x7f" "b\xff\ufffd" "c", false, 7); /* a byte that is no UTF-8 becomes U+FFFD */
    expect(t, "a\0b", 3, false, (int32_t[]){5, -1});
    EXPECT(t, "[SEP]", false, 0, 0, 0); /* brackets are words */
    lp_tokenizer_free(t);
}

static void case_and_accents_stay_where_the_file_says_so(void **state)
{
    (void)state;
    lp_tokenizer *t = create(true), *other = create(false);
    EXPECT(t, "A", false, UPPER_A);
    EXPECT(t, "a\u0301", false, 3, 12);
    EXPECT(t, "\u00c9", false, 0);
    assert_false(lp_tokenizer_equal(t, other));
    lp_tokenizer_free(t);
    lp_tokenizer_free(other);
}

static void decoding_joins_pieces_and_leaves_out_the_first_space(void **state)
{
    (void)state;
    lp_tokenizer *t = create(false);
    char *text;
    size_t n;
    assert_int_equal(lp_tokenizer_decode(t, (int32_t[]){1, 7, 4, 3, 2}, 5, false, &text, &n), LP_OK);
    assert_string_equal(text, "abcb a");
    free(text);
    lp_tokenizer_free(t);
}

/* Counts of Unicode 16.0. */
static void the_mappings_are_sorted_and_complete(void **state)
{
    (void)state;
    for (size_t i = 1; i < lp_n_unaccented; i++) assert_true(lp_unaccented[i - 1].from < lp_unaccented[i].from);
    for (size_t i = 1; i < lp_n_lower; i++) assert_true(lp_lower[i - 1].from < lp_lower[i].from);
    assert_int_equal(lp_lower[lp_n_lower - 1].from, 0x1e921);
    assert_int_equal(lp_lower[0].from, 'A');
    assert_int_equal(lp_unaccented[0].from, 0xc0);
    assert_int_equal(lp_unaccented[0].to[0], 'A');
    assert_int_equal(lp_unaccented[0].to[1], 0);
}

static void a_megabyte_of_one_thing_takes_seconds_at_most(void **state)
{
    (void)state;
    static const char *const units[] = {"a", " ", "\xf0\x9f\x98\x80", "\xff", "b", "\xea\xb0\x81", ","};
    lp_tokenizer *t = create(false);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n_unit = strlen(units[i]), n = (1 << 20) / n_unit * n_unit, n_ids;
        char *text = malloc(n);
        int32_t *ids;
        assert_non_null(text);
        for (size_t k = 0; k < n; k++) text[k] = units[i][k % n_unit];
        clock_t begin = clock();
        assert_int_equal(lp_tokenizer_encode(t, text, n, true, true, &ids, &n_ids), LP_OK);
        assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 20);
        assert_int_equal(n_ids, strchr(" \xff", units[i][0]) ? 2 : units[i][0] == ',' ? n + 2 : 3);
        free(ids);
        free(text);
    }
    lp_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cards_vocabulary_gives_the_cards_ids),
        cmocka_unit_test(words_end_at_white_space_and_controls_vanish),
        cmocka_unit_test(case_and_accents_stay_where_the_file_says_so),
        cmocka_unit_test(decoding_joins_pieces_and_leaves_out_the_first_space),
        cmocka_unit_test(the_mappings_are_sorted_and_complete),
        cmocka_unit_test(a_megabyte_of_one_thing_takes_seconds_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
