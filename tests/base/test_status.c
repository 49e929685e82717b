/* The thread's error text. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/fail.h"

static void a_failure_sets_the_text_and_a_hint_adds_a_line(void **state)
{
    (void)state;
    lp_status status = lp_hint(lp_fail(LP_INPUT, "%s: %s: bad (%d)", "f", "t", 7), "try %d", 8);
    assert_int_equal(status, LP_INPUT);
    assert_string_equal(lp_error(), "f: t: bad (7)\ntry 8");
}

static void a_text_may_contain_the_text_before_it(void **state)
{
    (void)state;
    lp_fail(LP_INPUT, "inner");
    lp_fail(LP_INPUT, "outer: %s", lp_error());
    assert_string_equal(lp_error(), "outer: inner");
}

static void long_texts_are_cut_and_stay_terminated(void **state)
{
    (void)state;
    char text[5000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    lp_hint(lp_fail(LP_INPUT, "%s", text), "%s", text);
    assert_true(strlen(lp_error()) < 2048);
    assert_true(strlen(lp_error()) > 2000);
    lp_hint(lp_fail(LP_INPUT, "%.2040s", text), "%s", text);
    assert_int_equal(strlen(lp_error()), 2047);
}

static void *other_thread(void *argument)
{
    (void)argument;
    int first_is_empty = lp_error()[0] == 0;
    lp_fail(LP_INPUT, "other");
    return first_is_empty ? NULL : (void *)1;
}

static void each_thread_has_its_own_text(void **state)
{
    (void)state;
    lp_fail(LP_INPUT, "mine");
    pthread_t thread;
    void *result;
    assert_int_equal(pthread_create(&thread, NULL, other_thread, NULL), 0);
    pthread_join(thread, &result);
    assert_null(result);
    assert_string_equal(lp_error(), "mine");
}

static void every_status_has_a_name(void **state)
{
    (void)state;
    static const lp_status all[] = {LP_OK, LP_CHECK, LP_USAGE, LP_INPUT, LP_RESOURCE, LP_UNSUPPORTED, LP_INTERRUPTED};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        assert_string_not_equal(lp_status_name(all[i]), "unknown status");
        for (size_t j = 0; j < i; j++) assert_string_not_equal(lp_status_name(all[i]), lp_status_name(all[j]));
    }
    assert_string_equal(lp_status_name((lp_status)77), "unknown status");
    assert_int_equal(lp_fail_memory(123, "a test"), LP_RESOURCE);
    assert_string_equal(lp_error(), "out of memory (123 bytes for a test)");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failure_sets_the_text_and_a_hint_adds_a_line),
        cmocka_unit_test(a_text_may_contain_the_text_before_it),
        cmocka_unit_test(long_texts_are_cut_and_stay_terminated),
        cmocka_unit_test(each_thread_has_its_own_text),
        cmocka_unit_test(every_status_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
