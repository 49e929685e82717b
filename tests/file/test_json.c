/* The JSON reader: one test per verdict, then values. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "file/json.h"
#include "file/safetensors.h"

static const lp_json_limits limits = {1 << 20, 100, 4};

typedef struct verdict {
    const char *what, *text;
    const char *reason; /* NULL: accepted */
} verdict;

static const verdict verdicts[] = {
    {"an empty text is rejected", "", "a value is missing"},
    {"spaces alone are rejected", " \n", "a value is missing"},
    {"null is accepted", " null ", NULL},
    {"a cut word is rejected", "nul", "not a value"},
    {"a word in capitals is rejected", "True", "not a value"},
    {"NaN is rejected", "NaN", "not a value"},
    {"a second value is rejected", "1 2", "something follows"},
    {"a comment is rejected", "1 //", "something follows"},
    {"an open object is rejected", "{", "quotes is missing"},
    {"an object cut after a member is rejected", "{\"a\":1", "object without an end"},
    {"an open array is rejected", "[1", "array without an end"},
    {"a comma at an array's end is rejected", "[1,]", "not a value"},
    {"a comma at an object's end is rejected", "{\"a\":1,}", "quotes is missing"},
    {"a missing comma is rejected", "[1 2]", "a comma is missing"},
    {"a missing colon is rejected", "{\"a\" 1}", "a colon is missing"},
    {"a name without quotes is rejected", "{a:1}", "quotes is missing"},
    {"the wrong bracket is rejected", "[1}", "a comma is missing"},
    {"a duplicate name is rejected", "{\"a\":1,\"b\":2,\"a\":3}", "a: duplicate"},
    {"a duplicate by an escape is rejected", "{\"a\":1,\"\\u0061\":2}", "a: duplicate"},
    {"a duplicate among many is rejected",
     "{\"0\":0,\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,\"8\":0,\"9\":0,\"a\":0,\"b\":0,\"c\":0,\"d\":0,\"3\":0}",
     "3: duplicate"},
    {"the same name in two objects is accepted", "[{\"a\":1},{\"a\":{\"a\":2}}]", NULL},
    {"four levels are accepted", "[[[[1]]]]", NULL},
    {"five levels are rejected", "[[[[[1]]]]]", "more than 4 deep"},
    {"a leading zero is rejected", "01", "not a number"},
    {"a plus is rejected", "+1", "not a value"},
    {"a lone minus is rejected", "-", "not a number"},
    {"a point without digits is rejected", "1.", "ends with its point"},
    {"a point first is rejected", ".5", "not a value"},
    {"an exponent without digits is rejected", "1e+", "exponent without digits"},
    {"every form of a number is accepted", "[0,-0,1,-1.5,1e5,1E-5,1.25e+3]", NULL},
    {"an open string is rejected", "\"a", "string without an end"},
    {"a string cut in an escape is rejected", "\"\\", "string without an end"},
    {"a line break in a string is rejected", "\"a\nb\"", "control character"},
    {"an unknown escape is rejected", "\"\\x41\"", "escape that does not exist"},
    {"a short \\u is rejected", "\"\\u12\"", "four hexadecimal"},
    {"a lone high surrogate is rejected", "\"\\ud83d\"", "surrogate"},
    {"a lone low surrogate is rejected", "\"\\ude00\"", "surrogate"},
    {"two high surrogates are rejected", "\"\\ud83d\\ud83d\"", "surrogate"},
    {"a byte 0xff is rejected", "\"\xff\"", "UTF-8"},
    {"an overlong sequence is rejected", "\"\xc0\xaf\"", "UTF-8"},
    {"an encoded surrogate is rejected", "\"\xed\xa0\x80\"", "UTF-8"},
    {"a cut sequence is rejected", "\"\xe2\x82\"", "UTF-8"},
    {"a byte-order mark is rejected", "\xef\xbb\xbf{}", "not a value"},
};

static void verdict_holds(void **state)
{
    const verdict *v = *state;
    size_t n = strlen(v->text);
    char *exact = malloc(n ? n : 1); /* a sanitizer sees a read of one byte too many */
    memcpy(exact, v->text, n);
    lp_json_document d;
    lp_status status = lp_json_parse("f.json", exact, n, &limits, &d);
    assert_int_equal(status, v->reason ? LP_INPUT : LP_OK);
    if (v->reason) {
        assert_int_equal(strncmp(lp_error(), "f.json: ", 8), 0);
        if (!strstr(lp_error(), v->reason)) fail_msg("'%s' is not in '%s'", v->reason, lp_error());
        assert_null(d.node);
    }
    lp_json_free(&d);
    free(exact);
}

static void strings_are_decoded(void **state)
{
    (void)state;
    static const char text[] = "{\"\\u0061\\\"b\":\"x\\n\\u00e9\\ud83d\\ude00\\u0000\\/\",\"plain\":\"\xc3\xa9\"}";
    lp_json_document d;
    assert_int_equal(lp_json_parse("f", text, sizeof text - 1, &limits, &d), LP_OK);
    const lp_json *value = lp_json_find(d.node, "a\"b");
    assert_non_null(value);
    assert_int_equal(value->n, 10);
    assert_memory_equal(value->text, "x\n\xc3\xa9\xf0\x9f\x98\x80\0/", 10);
    assert_true(lp_json_is(lp_json_find(d.node, "plain"), "\xc3\xa9"));
    assert_null(lp_json_find(d.node, "absent"));
    lp_json_free(&d);
}

static void numbers_are_exact_or_refused(void **state)
{
    (void)state;
    static const char text[] = "[9223372036854775807,-9223372036854775808,9223372036854775808,1.0,1e3,0.1,1e999,\"1\"]";
    lp_json_document d;
    int64_t i;
    double x;
    assert_int_equal(lp_json_parse("f", text, sizeof text - 1, &limits, &d), LP_OK);
    const lp_json *v = d.node + 1;
    assert_true(lp_json_integer(v, &i) && i == INT64_MAX);
    assert_true(lp_json_integer(v + 1, &i) && i == INT64_MIN);
    for (int k = 2; k < 5; k++) assert_false(lp_json_integer(v + k, &i));
    assert_true(lp_json_real(v + 4, &x) && x == 1000);
    assert_true(lp_json_real(v + 5, &x) && x == 0.1);
    assert_false(lp_json_real(v + 6, &x));
    assert_false(lp_json_integer(v + 7, &i) || lp_json_real(v + 7, &x));
    lp_json_free(&d);
}

static void limits_are_kept(void **state)
{
    (void)state;
    lp_json_document d;
    const lp_json_limits few = {1 << 20, 3, 4}, small = {4, 100, 4};
    assert_int_equal(lp_json_parse("f", "[1,2]", 5, &few, &d), LP_OK);
    lp_json_free(&d);
    assert_int_equal(lp_json_parse("f", "[1,2,3]", 7, &few, &d), LP_INPUT);
    assert_int_equal(lp_json_parse("f", "[1,2]", 5, &small, &d), LP_INPUT);
}

static void what_is_quoted_is_read_back(void **state)
{
    (void)state;
    static const char bytes[] = "a\"\\\n\x01\x7f/\xc3\xa9\xf0\x9f\x98\x80";
    lp_json_text text = {0};
    lp_json_quote(&text, bytes, sizeof bytes - 1);
    assert_false(text.failed);
    lp_json_document d;
    assert_int_equal(lp_json_parse("f", text.data, text.n, &limits, &d), LP_OK);
    assert_true(lp_json_is(d.node, bytes));
    lp_json_free(&d);
    text.n = 0;
    lp_json_quote(&text, "\xff" "a\xe2\x82", 4);
    lp_json_put(&text, "", 1);
    assert_string_equal(text.data, "\"\\ufffda\\ufffd\\ufffd\"");
    free(text.data);
}

int main(void)
{
    enum { N = sizeof verdicts / sizeof *verdicts };
    static struct CMUnitTest tests[N + 4];
    for (size_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){verdicts[i].what, verdict_holds, NULL, NULL, (void *)(uintptr_t)&verdicts[i]};
    tests[N] = (struct CMUnitTest)cmocka_unit_test(strings_are_decoded);
    tests[N + 1] = (struct CMUnitTest)cmocka_unit_test(numbers_are_exact_or_refused);
    tests[N + 2] = (struct CMUnitTest)cmocka_unit_test(limits_are_kept);
    tests[N + 3] = (struct CMUnitTest)cmocka_unit_test(what_is_quoted_is_read_back);
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
