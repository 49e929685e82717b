/* What bench refuses, where it stops, and that one clock serves for both the probe and what stands beside it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "kernel/probe.h"
#include "measure/bench.h"

enum { ROOM = 4 };

static void formats_without_integer_products_are_refused_and_leave_no_row(void **unused)
{
    (void)unused;
    lp_bench_row rows[ROOM];
    size_t n = ROOM;
    assert_int_equal(lp_bench_format(NULL, "nf4:64:f32", NULL, rows, &n), LP_UNSUPPORTED);
    assert_int_equal(n, 0);
    assert_non_null(strstr(lp_error(), "nf4:64:f32"));
    n = ROOM;
    assert_int_equal(lp_bench_format(NULL, "no such format", NULL, rows, &n), LP_USAGE);
    assert_int_equal(n, 0);
}

static bool at_once(void *context)
{
    (void)context;
    return true;
}

static void a_bench_that_is_interrupted_has_no_rows(void **unused)
{
    (void)unused;
    lp_bench_row rows[ROOM];
    lp_progress progress = {.cancelled = at_once};
    size_t n = ROOM;
    assert_int_equal(lp_bench_kernels(NULL, &progress, rows, &n), LP_INTERRUPTED);
    assert_int_equal(n, 0);
    n = ROOM;
    assert_int_equal(lp_bench_format(NULL, "attention", &progress, rows, &n), LP_INTERRUPTED);
    assert_int_equal(n, 0);
}

static void the_median_is_the_middle_or_the_mean_of_two(void **unused)
{
    (void)unused;
    double odd[] = {9, 1, 5}, even[] = {8, 2, 4, 6};
    assert_true(lp_bench_median(odd, 3) == 5);
    assert_true(lp_bench_median(even, 4) == 5);
}

static void twenty_times_the_reading_takes_longer(void **unused)
{
    (void)unused;
    static const uint8_t memory[1 << 16];
    double start = lp_bench_seconds(NULL);
    double once = lp_probe_read_once(NULL, memory, sizeof memory, 200);
    double middle = lp_bench_seconds(NULL);
    double again = lp_probe_read_once(NULL, memory, sizeof memory, 4000);
    double end = lp_bench_seconds(NULL);
    assert_true(once > 0 && again > 0 && lp_probe_peak_once(NULL, lp_probe_f32) > 0);
    assert_true(end - middle > middle - start); /* the reads are not left out: 20 times as many */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats_without_integer_products_are_refused_and_leave_no_row),
        cmocka_unit_test(a_bench_that_is_interrupted_has_no_rows),
        cmocka_unit_test(the_median_is_the_middle_or_the_mean_of_two),
        cmocka_unit_test(twenty_times_the_reading_takes_longer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
