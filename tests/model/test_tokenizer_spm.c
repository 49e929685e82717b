/* SentencePiece vocabularies: the card's ids, the plain way on random texts, spaces, bytes, hard inputs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <time.h>

#include "mini_spm.h"

static mini_spm m;

static lp_tokenizer *create(void)
{
    lp_tokenizer *t;
    if (lp_tokenizer_create_from(&m.source, &t) != LP_OK) fail_msg("%s", lp_error());
    return t;
}

static void expect(const lp_tokenizer *t, const char *text, size_t n, bool add_special, const int32_t *wanted)
{
    int32_t *ids;
    size_t n_ids, i = 0;
    assert_int_equal(lp_tokenizer_encode(t, text, n, true, add_special, &ids, &n_ids), LP_OK);
    for (; wanted[i] >= 0; i++) {
        assert_true(i < n_ids);
        assert_int_equal(ids[i], wanted[i]);
    }
    assert_int_equal(n_ids, i);
    free(ids);
}
#define EXPECT(t, text, add, ...) expect(t, text, sizeof text - 1, add, (int32_t[]){__VA_ARGS__, -1})

static void the_cards_vocabulary_gives_the_cards_ids(void **state)
{
    (void)state;
    mini_spm_fill(&m, false);
    lp_tokenizer *t = create();
    EXPECT(t, "ab", true, 1, 265);
    EXPECT(t, "abab", true, 1, 267, 261);
    EXPECT(t, "abba", true, 1, 265, 263);
    EXPECT(t, " ab", true, 1, 259, 265);
    EXPECT(t, "c", true, 1, 259, 102);
    EXPECT(t, "a b", true, 1, 264, 259, 261);
    EXPECT(t, "\xc3\xa9", true, 1, 259, 198, 172);
    EXPECT(t, "a</s>b", true, 1, 264, 2, 259, 261);
    EXPECT(t, "", true, 1);
    expect(t, NULL, 0, false, (int32_t[]){-1});
    EXPECT(t, "ab", false, 265);
    lp_tokenizer_free(t);
}

static void end_of_text_is_added_where_the_file_asks_for_it(void **state)
{
    (void)state;
    mini_spm_fill(&m, false);
    m.source.adds_eos = true;
    lp_tokenizer *t = create(), *without;
    assert_true(lp_tokenizer_adds_eos(t));
    EXPECT(t, "ab", true, 1, 265, 2);
    EXPECT(t, "", true, 1, 2);
    EXPECT(t, "ab", false, 265);
    m.source.adds_eos = false;
    without = create();
    assert_false(lp_tokenizer_adds_eos(without));
    assert_false(lp_tokenizer_equal(t, without));
    lp_tokenizer_free(t);
    lp_tokenizer_free(without);
    m.source.adds_eos = true;
    m.source.named[LP_NAMED_EOS] = -1;
    assert_int_equal(lp_tokenizer_create_from(&m.source, &t), LP_INPUT);
}

static void without_a_space_prefix_text_begins_as_it_is(void **state)
{
    (void)state;
    mini_spm_fill(&m, false);
    m.source.adds_space = 0;
    lp_tokenizer *t = create();
    EXPECT(t, "ab", true, 1, 262);
    EXPECT(t, "a</s>b a", true, 1, 260, 2, 261, 264);
    lp_tokenizer_free(t);
}

static void bytes_of_any_kind_come_back(void **state)
{
    (void)state;
    mini_spm_fill(&m, true);
    lp_tokenizer *t = create();
    static const char bytes[] = "\xff ab\x80\xe4\xbd\xf0\x9f  \x00 \xe2\x96\x81" "a\xe4";
    for (int control = 0; control < 2; control++) {
        int32_t *ids;
        char *text;
        size_t n_ids, n;
        assert_int_equal(lp_tokenizer_encode(t, bytes, sizeof bytes - 1, false, control, &ids, &n_ids), LP_OK);
        assert_int_equal(lp_tokenizer_decode(t, ids, n_ids, false, &text, &n), LP_OK);
        /* U+2581 itself is read as a space: the vocabulary cannot tell them apart */
        assert_int_equal(n, sizeof bytes - 3);
        assert_memory_equal(text, bytes, 13);
        assert_memory_equal(text + 13, " a\xe4", 3);
        free(ids);
        free(text);
    }
    lp_tokenizer_free(t);
}

static void white_space_behind_a_special_token_goes_with_it_where_the_family_says_so(void **state)
{
    (void)state;
    mini_spm_fill(&m, false);
    m.source.special_take_space = true;
    lp_tokenizer *t = create();
    EXPECT(t, "a</s> \t\nb", false, 264, 2, 259, 261);
    EXPECT(t, "a<s> b", false, 264, 1, 259, 259, 261);
    lp_tokenizer_free(t);
}

static void decoding_leaves_out_one_space_at_the_start_only(void **state)
{
    (void)state;
    mini_spm_fill(&m, false);
    lp_tokenizer *t = create();
    char *text;
    size_t n;
    assert_int_equal(lp_tokenizer_decode(t, (int32_t[]){1, 265, 265, 2}, 4, false, &text, &n), LP_OK);
    assert_string_equal(text, "ab ab");
    free(text);
    assert_int_equal(lp_tokenizer_decode(t, (int32_t[]){259, 265}, 2, false, &text, &n), LP_OK);
    assert_string_equal(text, "ab");
    free(text);
    assert_int_equal(lp_tokenizer_decode(t, (int32_t[]){1, 265}, 2, true, &text, &n), LP_OK);
    assert_string_equal(text, "<s> ab");
    free(text);
    lp_string s = lp_tokenizer_bytes(t, 265, false);
    assert_int_equal(s.n, 3);
    assert_memory_equal(s.data, " ab", 3);
    s = lp_tokenizer_bytes(t, 3 + 0xa9, false);
    assert_int_equal(s.n, 1);
    assert_int_equal((uint8_t)s.data[0], 0xa9);
    lp_tokenizer_free(t);
}

static void merges_are_those_of_the_plain_way(void **state)
{
    (void)state;
    static const char *const parts[] = {"a", "b", "ab", " ", "  ", "c", "d", "cd", "\xc3\xa9", "aa", "\xe4", "\xff"};
    mini_spm_fill(&m, true);
    lp_tokenizer *t = create();
    for (uint32_t round = 0; round < 4000; round++) {
        uint8_t text[128], escaped[400];
        size_t n = 0, begin[400], n_ids;
        int32_t wanted[400], *ids;
        for (uint32_t k = 0; k < round % 40; k++) {
            uint64_t at = (uint64_t)round << 16 | k;
            const char *part = parts[(at * UINT64_C(0x9e3779b97f4a7c15) >> 40) % (sizeof parts / sizeof *parts)];
            memcpy(text + n, part, strlen(part));
            n += strlen(part);
        }
        size_t n_wanted = n ? plain_spm(&m.source, true, text, n, wanted, escaped, begin) : 0;
        assert_int_equal(lp_tokenizer_encode(t, (const char *)text, n, false, false, &ids, &n_ids), LP_OK);
        assert_int_equal(n_ids, n_wanted);
        if (n_ids) assert_memory_equal(ids, wanted, n_ids * sizeof *ids);
        free(ids);
    }
    lp_tokenizer_free(t);
}

static void a_vocabulary_that_lacks_a_byte_uses_the_unknown_token_or_fails(void **state)
{
    (void)state;
    mini_spm_fill(&m, false);
    m.tokens[3 + 'c'] = (lp_string){"<none>", 6};
    lp_tokenizer *t = create();
    EXPECT(t, "c", false, 259, 0);
    lp_tokenizer_free(t);
    m.source.named[LP_NAMED_UNKNOWN] = -1;
    t = create();
    int32_t *ids;
    size_t n;
    assert_int_equal(lp_tokenizer_encode(t, "ac", 2, false, false, &ids, &n), LP_INPUT);
    assert_null(ids);
    assert_non_null(strstr(lp_error(), "0x63"));
    lp_tokenizer_free(t);
    m.scores[7] = NAN;
    assert_int_equal(lp_tokenizer_create_from(&m.source, &t), LP_INPUT);
    assert_non_null(strstr(lp_error(), "scores[7]"));
}

/* A quadratic merge of these would take minutes. */
static void a_megabyte_of_one_thing_takes_seconds_at_most(void **state)
{
    (void)state;
    static const char *const units[] = {"a", " ", "\xf0\x9f\x98\x80", "\xff", "ab", "\xc3\xa9"};
    mini_spm_fill(&m, true);
    lp_tokenizer *t = create();
    for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
        size_t n_unit = strlen(units[i]), n = (1 << 20) / n_unit * n_unit, n_ids, length;
        char *text = malloc(n), *back;
        int32_t *ids;
        assert_non_null(text);
        for (size_t k = 0; k < n; k++) text[k] = units[i][k % n_unit];
        clock_t begin = clock();
        assert_int_equal(lp_tokenizer_encode(t, text, n, true, true, &ids, &n_ids), LP_OK);
        assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 20);
        assert_int_equal(lp_tokenizer_decode(t, ids, n_ids, false, &back, &length), LP_OK);
        assert_int_equal(length, n);
        assert_memory_equal(back, text, n);
        free(ids);
        free(back);
        free(text);
    }
    lp_tokenizer_free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cards_vocabulary_gives_the_cards_ids),
        cmocka_unit_test(end_of_text_is_added_where_the_file_asks_for_it),
        cmocka_unit_test(without_a_space_prefix_text_begins_as_it_is),
        cmocka_unit_test(bytes_of_any_kind_come_back),
        cmocka_unit_test(white_space_behind_a_special_token_goes_with_it_where_the_family_says_so),
        cmocka_unit_test(decoding_leaves_out_one_space_at_the_start_only),
        cmocka_unit_test(merges_are_those_of_the_plain_way),
        cmocka_unit_test(a_vocabulary_that_lacks_a_byte_uses_the_unknown_token_or_fails),
        cmocka_unit_test(a_megabyte_of_one_thing_takes_seconds_at_most),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
