/* Unigram and its table of replacements, merges by rank, words one by one, normalization forms. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/random.h"
#include "mini_spm.h"
#include "model/tokenizer/unicode_forms.h"

/* ---- a small table of replacements: A is a, a tab a space, U+00E9 e, U+200B nothing --------------------------------- */

enum { N_UNITS = 0x1000 };
typedef struct table {
    uint32_t size, unit[N_UNITS];
    char text[16];
} table;

/* Adds the last byte of a text behind the unit at `at`; `next` is the offset of its own children, or of its value. */
static uint32_t add_unit(table *t, uint32_t at, uint32_t offset, uint8_t byte, uint32_t next, bool leaf, uint32_t value)
{
    uint32_t place = at ^ offset ^ byte;
    t->unit[place] = byte | (leaf ? 0x100u : 0) | next << 10;
    if (leaf) t->unit[place ^ next] = 0x80000000u | value;
    return place;
}

static void fill_table(table *t)
{
    memset(t, 0, sizeof *t);
    t->size = 4 * N_UNITS;
    t->unit[0] = 0x80u << 10;
    memcpy(t->text, "a\0 \0e\0", 7);
    add_unit(t, 0, 0x80, 'A', 0x100, true, 0);
    add_unit(t, 0, 0x80, '\t', 0x300, true, 2);
    uint32_t e = add_unit(t, 0, 0x80, 0xc3, 0x400, false, 0);
    add_unit(t, e, 0x400, 0xa9, 0x100, true, 4);
    uint32_t z = add_unit(t, 0, 0x80, 0xe2, 0x600, false, 0);
    z = add_unit(t, z, 0x600, 0x80, 0xc00, false, 0);
    add_unit(t, z, 0xc00, 0x8b, 0x100, true, 5);
}

static const struct {
    const char *text;
    float score;
    int32_t type;
} pieces[] = {{"<unk>", 0, LP_TOKEN_UNKNOWN}, {"<s>", 0, LP_TOKEN_CONTROL}, {U2581, -2, LP_TOKEN_NORMAL}, {"a", -3, LP_TOKEN_NORMAL},
              {"b", -3.5f, LP_TOKEN_NORMAL},  {"ab", -4, LP_TOKEN_NORMAL},  {U2581 "a", -3.25f, LP_TOKEN_NORMAL}, {U2581 "ab", -5, LP_TOKEN_NORMAL},
              {"e", -4, LP_TOKEN_NORMAL},     {"bb", -5, LP_TOKEN_UNUSED},  {"xyx", -9, LP_TOKEN_USER_DEFINED},   {"aaa", -6.5f, LP_TOKEN_NORMAL}};
enum { N_PIECES = sizeof pieces / sizeof *pieces };
static lp_string tokens[N_PIECES];
static int32_t types[N_PIECES];
static float scores[N_PIECES];

static lp_tokenizer_source source_of(const table *t)
{
    for (int i = 0; i < N_PIECES; i++) {
        tokens[i] = (lp_string){pieces[i].text, strlen(pieces[i].text)};
        types[i] = pieces[i].type;
        scores[i] = pieces[i].score;
    }
    lp_tokenizer_source s = {.name = "small", .model = {"t5", 2}, .tokens = tokens, .types = types, .scores = scores, .n_tokens = N_PIECES,
                             .adds_bos = -1, .adds_space = 1, .collapses_spaces = true};
    if (t) s.charsmap = (const uint8_t *)t, s.n_charsmap = 4 + sizeof t->unit + 7;
    for (int i = 0; i < LP_NAMED_COUNT; i++) s.named[i] = -1;
    s.named[LP_NAMED_UNKNOWN] = 0;
    return s;
}

static lp_tokenizer *create(const lp_tokenizer_source *source)
{
    lp_tokenizer *t;
    if (lp_tokenizer_create_from(source, &t) != LP_OK) fail_msg("%s", lp_error());
    return t;
}

static void expect(const lp_tokenizer *t, const char *text, size_t n, const int32_t *wanted)
{
    int32_t *ids;
    size_t n_ids, i = 0;
    if (lp_tokenizer_encode(t, text, n, true, false, &ids, &n_ids) != LP_OK) fail_msg("%s", lp_error());
    for (; wanted[i] >= 0; i++)
        if (i >= n_ids || ids[i] != wanted[i]) fail_msg("\"%s\": id %zu of %zu is %d, not %d", text, i, n_ids, i < n_ids ? ids[i] : -1, wanted[i]);
    assert_int_equal(i, n_ids);
    free(ids);
}
#define EXPECT(t, text, ...) expect(t, text, sizeof text - 1, (int32_t[]){__VA_ARGS__, -1})

static void the_table_replaces_the_longest_text_and_spaces_collapse(void **state)
{
    (void)state;
    table map;
    fill_table(&map);
    lp_tokenizer_source source = source_of(&map);
    lp_tokenizer *t = create(&source);
    EXPECT(t, "AB", 6, 0);
    EXPECT(t, "\t\ta\t b  ", 6, 2, 4);
    EXPECT(t, "\xc3\xa9", 2, 8);
    EXPECT(t, "a\xe2\x80\x8b" "b", 7);       /* joined by what vanishes */
    EXPECT(t, "\xe2\x80\x8b \xe2\x80\x8b", -1);
    EXPECT(t, "a\xc3", 6, 0);                 /* U+FFFD is unknown here */
    EXPECT(t, "\xc3\xa9\xa9" "b", 2, 8, 0, 4); /* one replaced, one invalid */
    EXPECT(t, "a<s>b", 6, 1, 2, 4);
    EXPECT(t, "abb", 6, 9);                    /* unused tokens count */
    EXPECT(t, "axyxb", 6, 10, 2, 4);
    assert_true(lp_tokenizer_equal(t, t));
    lp_tokenizer *plain;
    source.charsmap = NULL;
    source.n_charsmap = 0;
    plain = create(&source);
    assert_false(lp_tokenizer_equal(t, plain));
    lp_tokenizer_free(plain);
    lp_tokenizer_free(t);
}

static void a_table_that_points_outside_itself_is_refused_or_replaces_nothing(void **state)
{
    (void)state;
    static table map;
    lp_tokenizer *t;
    lp_tokenizer_source source = source_of(&map);
    static const struct {
        uint32_t size;
        size_t n;
    } bad[] = {{4 * N_UNITS + 2, 0}, {0, 0}, {4 * N_UNITS + 8, 4 + 4 * N_UNITS + 7}, {UINT32_MAX, 0}, {4 * N_UNITS, 3}, {4 * N_UNITS, 4 + 4 * N_UNITS}, {4 * N_UNITS, 4 + 4 * N_UNITS + 1}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        fill_table(&map);
        map.size = bad[i].size;
        if (bad[i].n) source.n_charsmap = bad[i].n;
        assert_int_equal(lp_tokenizer_create_from(&source, &t), LP_INPUT);
        assert_non_null(strstr(lp_error(), "precompiled_charsmap"));
        source.n_charsmap = 4 + sizeof map.unit + 7;
    }
    fill_table(&map);
    map.text[4] = (char)0xff;
    assert_int_equal(lp_tokenizer_create_from(&source, &t), LP_INPUT);
    /* Random units: no walk leaves them, none goes on for ever. */
    for (uint32_t round = 0; round < 200; round++) {
        fill_table(&map);
        for (int i = 0; i < 40; i++) {
            uint32_t place = lp_random_word(3, (uint32_t)i, round, 0, 0, 0) % N_UNITS;
            map.unit[place] = lp_random_word(3, (uint32_t)i, round, 1, 0, 0);
        }
        for (uint32_t c = 0; c < 256; c++) map.unit[0x80 ^ c] = (map.unit[0x80 ^ c] & 0xffffff00u) | c; /* every byte goes on */
        t = create(&source);
        int32_t *ids;
        size_t n;
        char text[256];
        for (int i = 0; i < 256; i++) text[i] = (char)lp_random_word(3, (uint32_t)i, round, 2, 0, 0);
        assert_int_equal(lp_tokenizer_encode(t, text, sizeof text, true, false, &ids, &n), LP_OK);
        free(ids);
        lp_tokenizer_free(t);
    }
}

/* ---- the best sum, by trying every cut ----------------------------------------------------------------------------- */

static double best_sum(const uint8_t *text, size_t n)
{
    double best = n ? -1e9 : 0;
    for (int id = 2; id < N_PIECES && n; id++) {
        size_t length = tokens[id].n;
        if (length > n || memcmp(text, tokens[id].data, length)) continue;
        double sum = (types[id] == LP_TOKEN_USER_DEFINED ? 0 : (double)scores[id]) + best_sum(text + length, n - length);
        if (sum > best) best = sum;
    }
    return best;
}

static void no_cut_has_a_better_sum(void **state)
{
    (void)state;
    lp_tokenizer_source source = source_of(NULL);
    lp_tokenizer *t = create(&source);
    for (uint32_t round = 0; round < 500; round++) {
        char text[12], whole[3 + sizeof text] = U2581;
        size_t n = 1 + lp_random_word(5, 0, round, 0, 0, 0) % sizeof text, n_ids;
        for (size_t i = 0; i < n; i++) text[i] = "aabbe"[lp_random_word(5, (uint32_t)i, round, 1, 0, 0) % 5];
        memcpy(whole + 3, text, n);
        int32_t *ids;
        double sum = 0;
        assert_int_equal(lp_tokenizer_encode(t, text, n, true, false, &ids, &n_ids), LP_OK);
        for (size_t i = 0; i < n_ids; i++) sum += (double)scores[ids[i]];
        assert_true(sum == best_sum((const uint8_t *)whole, n + 3)); /* the scores are quarters: sums are exact */
        free(ids);
    }
    lp_tokenizer_free(t);
}

/* ---- words -------------------------------------------------------------------------------------------------------- */

static void words_one_by_one_are_the_text_as_a_whole(void **state)
{
    (void)state;
    static mini_spm m;
    static const char *const parts[] = {"a", "b", "ab", " ", "  ", U2581, "x", "\xc3\xa9", "\n", "\xff", "<s>", "aaa", "e"};
    mini_spm_fill(&m, false);
    lp_tokenizer_source unigram = source_of(NULL), *sources[] = {&m.source, &unigram};
    unigram.collapses_spaces = false;
    for (int k = 0; k < 2; k++) {
        lp_tokenizer *t = create(sources[k]);
        assert_true(t->words_end);
        for (uint32_t round = 0; round < 2000; round++) {
            char text[128];
            size_t n = 0, n_words, n_whole;
            for (uint32_t i = 0; i < 20; i++) {
                const char *part = parts[lp_random_word(7, i, round, (uint32_t)k, 0, 0) % (sizeof parts / sizeof *parts)];
                memcpy(text + n, part, strlen(part));
                n += strlen(part);
            }
            int32_t *words, *whole;
            t->words_end = true;
            assert_int_equal(lp_tokenizer_encode(t, text, n, true, false, &words, &n_words), LP_OK);
            t->words_end = false;
            assert_int_equal(lp_tokenizer_encode(t, text, n, true, false, &whole, &n_whole), LP_OK);
            assert_int_equal(n_words, n_whole);
            assert_memory_equal(words, whole, n_words * sizeof *words);
            free(words);
            free(whole);
        }
        lp_tokenizer_free(t);
    }
    mini_spm_fill(&m, true); /* "d" U+2581 reaches over the start of a word */
    lp_tokenizer *t = create(&m.source);
    assert_false(t->words_end);
    lp_tokenizer_free(t);
}

static const char *const rank_merges[] = {"b a", "a b", U2581 " a", U2581 "a b", U2581 " ab"};

static void merges_decide_where_the_file_says_so(void **state)
{
    (void)state;
    static mini_spm m;
    lp_string list[5];
    mini_spm_fill(&m, false);
    for (int i = 0; i < 5; i++) list[i] = (lp_string){rank_merges[i], strlen(rank_merges[i])};
    m.source.merges = list;
    m.source.n_merges = 5;
    m.source.by_merges = true;
    lp_tokenizer *t = create(&m.source);
    EXPECT(t, "abab", 264, 263, 261);  /* by scores: 267 261 */
    EXPECT(t, "\xc3\xa9 a", 259, 198, 172, 264);
    lp_tokenizer_free(t);
    m.source.model = (lp_string){"gemma4", 6};
    m.tokens[8] = (lp_string){"\n\n", 2}; /* a run of newlines that no merge makes */
    t = create(&m.source);
    EXPECT(t, "ab\n\nab a\n", 262, 8, 262, 264, 13);
    lp_tokenizer_free(t);
}

/* ---- long texts --------------------------------------------------------------------------------------------------- */

static double seconds_for(const lp_tokenizer *t, const char *unit, size_t n)
{
    size_t n_unit = strlen(unit), n_ids;
    char *text = malloc(n);
    int32_t *ids;
    assert_non_null(text);
    for (size_t k = 0; k < n; k++) text[k] = unit[k % n_unit];
    clock_t begin = clock();
    assert_int_equal(lp_tokenizer_encode(t, text, n, true, false, &ids, &n_ids), LP_OK);
    double taken = (double)(clock() - begin) / CLOCKS_PER_SEC;
    free(ids);
    free(text);
    return taken;
}

static void a_text_twice_as_long_takes_about_twice_as_long(void **state)
{
    (void)state;
    static const char *const units[] = {"a", " ", "\xf0\x9f\x98\x80", "\xff", "ab ", "\xe2\x80", U2581, "\n"};
    static mini_spm m;
    lp_string list[5];
    mini_spm_fill(&m, true);
    for (int i = 0; i < 5; i++) list[i] = (lp_string){rank_merges[i], strlen(rank_merges[i])};
    lp_tokenizer_source unigram = source_of(NULL), whole = unigram, gemma4 = m.source;
    whole.collapses_spaces = false;
    gemma4.model = (lp_string){"gemma4", 6};
    gemma4.merges = list;
    gemma4.n_merges = 5;
    const lp_tokenizer_source *sources[] = {&unigram, &whole, &gemma4, &m.source};
    for (size_t k = 0; k < sizeof sources / sizeof *sources; k++) {
        lp_tokenizer *t = create(sources[k]);
        for (size_t i = 0; i < sizeof units / sizeof *units; i++) {
            double one = seconds_for(t, units[i], 1 << 18), two = seconds_for(t, units[i], 1 << 19);
            if (two > 4 * one + 0.3) fail_msg("tokenizer %zu, \"%s\": %.3f s, then %.3f s", k, units[i], one, two);
        }
        lp_tokenizer_free(t);
    }
}

/* ---- normalization forms ------------------------------------------------------------------------------------------ */

static void forms_follow_the_standard(void **state)
{
    (void)state;
    static const struct {
        const char *text, *form[LP_FORM_COUNT]; /* NFC, NFD, NFKC, NFKD */
    } cases[] = {
        {"e\xcc\x81", {"\xc3\xa9", "e\xcc\x81", "\xc3\xa9", "e\xcc\x81"}},
        {"\xef\xac\x81", {"\xef\xac\x81", "\xef\xac\x81", "fi", "fi"}},
        {"a\xcc\x81\xcc\xa3", {"\xe1\xba\xa1\xcc\x81", "a\xcc\xa3\xcc\x81", "\xe1\xba\xa1\xcc\x81", "a\xcc\xa3\xcc\x81"}}, /* order of marks */
        {"\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", {"\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8"}},
        {"\xea\xb0\x80", {"\xea\xb0\x80", "\xe1\x84\x80\xe1\x85\xa1", "\xea\xb0\x80", "\xe1\x84\x80\xe1\x85\xa1"}}, /* Hangul: of two letters, */
        {"\xea\xb0\x81", {"\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8"}}, /* of three, */
        {"\xea\xb0\x80\xe1\x86\xa8", {"\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8", "\xea\xb0\x81", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8"}},
        {"\xea\xb0\x81\xe1\x86\xa8", {"\xea\xb0\x81\xe1\x86\xa8", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8\xe1\x86\xa8", "\xea\xb0\x81\xe1\x86\xa8", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa8\xe1\x86\xa8"}},
        {"\xea\xb0\x80\xe1\x86\xa7", {"\xea\xb0\x80\xe1\x86\xa7", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa7", "\xea\xb0\x80\xe1\x86\xa7", "\xe1\x84\x80\xe1\x85\xa1\xe1\x86\xa7"}}, /* no final letter */
        {"\xe1\x84\x80" "a", {"\xe1\x84\x80" "a", "\xe1\x84\x80" "a", "\xe1\x84\x80" "a", "\xe1\x84\x80" "a"}}, /* a consonant without a vowel */
        {"\xed\x9e\xa3", {"\xed\x9e\xa3", "\xe1\x84\x92\xe1\x85\xb5\xe1\x87\x82", "\xed\x9e\xa3", "\xe1\x84\x92\xe1\x85\xb5\xe1\x87\x82"}}, /* the last one */
        {"a\xcc\xa3\xcc\xa3", {"\xe1\xba\xa1\xcc\xa3", "a\xcc\xa3\xcc\xa3", "\xe1\xba\xa1\xcc\xa3", "a\xcc\xa3\xcc\xa3"}}, /* one hides the other */
        {"\xe2\x84\xab", {"\xc3\x85", "A\xcc\x8a", "\xc3\x85", "A\xcc\x8a"}},       /* a singleton */
        {"\xe0\xa5\x98", {"\xe0\xa4\x95\xe0\xa4\xbc", "\xe0\xa4\x95\xe0\xa4\xbc", "\xe0\xa4\x95\xe0\xa4\xbc", "\xe0\xa4\x95\xe0\xa4\xbc"}}, /* excluded */
        {"\xcc\x81" "e", {"\xcc\x81" "e", "\xcc\x81" "e", "\xcc\x81" "e", "\xcc\x81" "e"}},
        {"", {"", "", "", ""}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int form = 0; form < LP_FORM_COUNT; form++) {
            lp_text_buffer out = {0};
            assert_int_equal(lp_normalize((lp_form)form, (const uint8_t *)cases[i].text, strlen(cases[i].text), &out), LP_OK);
            if (out.n != strlen(cases[i].form[form]) || (out.n && memcmp(out.data, cases[i].form[form], out.n))) fail_msg("case %zu, form %d", i, form);
            free(out.data);
        }
    assert_true(lp_is_nfc((const uint8_t *)"plain \xc3\xa9 \xe4\xbd\xa0", 13));
    assert_false(lp_is_nfc((const uint8_t *)"e\xcc\x81", 3));
    assert_false(lp_is_nfc((const uint8_t *)"\xe2\x84\xab", 3));
}

static void a_megabyte_of_marks_is_sorted_in_linear_time(void **state)
{
    (void)state;
    enum { N = 1 << 20 };
    uint8_t *text = malloc(N);
    lp_text_buffer once = {0}, twice = {0};
    assert_non_null(text);
    for (size_t i = 0; i < N; i += 2) memcpy(text + i, i % 4 ? "\xcc\xa3" : "\xcc\x81", 2); /* classes 220 and 230 in turn */
    clock_t begin = clock();
    assert_int_equal(lp_normalize(LP_NFC, text, N, &once), LP_OK);
    assert_true((double)(clock() - begin) / CLOCKS_PER_SEC < 2);
    assert_int_equal(once.n, N);
    assert_memory_equal(once.data, "\xcc\xa3\xcc\xa3", 4);
    assert_memory_equal(once.data + N - 4, "\xcc\x81\xcc\x81", 4);
    assert_int_equal(lp_normalize(LP_NFC, once.data, once.n, &twice), LP_OK);
    assert_memory_equal(once.data, twice.data, N);
    free(text);
    free(once.data);
    free(twice.data);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_replaces_the_longest_text_and_spaces_collapse),
        cmocka_unit_test(a_table_that_points_outside_itself_is_refused_or_replaces_nothing),
        cmocka_unit_test(no_cut_has_a_better_sum),
        cmocka_unit_test(words_one_by_one_are_the_text_as_a_whole),
        cmocka_unit_test(merges_decide_where_the_file_says_so),
        cmocka_unit_test(a_text_twice_as_long_takes_about_twice_as_long),
        cmocka_unit_test(forms_follow_the_standard),
        cmocka_unit_test(a_megabyte_of_marks_is_sorted_in_linear_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
