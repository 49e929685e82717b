/* The n-th allocation fails, n = 1, 2, ..., in everything that the library does: it says so, leaks nothing, leaves no half
 * file, and works again. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api_functions.h"
#include "inject.h"
#include "scenarios.h"
#include "support/llama_file.h"
#include "watch.h"

enum { POINTS = 150, SLOW_POINTS = 6 };

static void fail_at(const scenario *s, uint64_t nth, bool stays, const char *wanted, uint64_t *n_refused)
{
    char hex[65];
    size_t blocks = inject_live_blocks(), files = open_files();
    inject_begin(&(inject_plan){.calls = INJECT_MEMORY, .nth = nth, .stays = stays});
    lp_status status = watched(s, hex);
    inject_end();
    if (status == LP_OK) { /* it did without, or the digest's own buffers were hit */
        if (strcmp(hex, wanted) != 0) fail_msg("%s: allocation %llu%s: another result", s->name, (unsigned long long)nth, stays ? " on" : "");
    } else {
        ++*n_refused;
        if (status != LP_RESOURCE)
            fail_msg("%s: allocation %llu%s: %s: %s", s->name, (unsigned long long)nth, stays ? " on" : "", lp_status_name(status), lp_error());
        if (!*lp_error()) fail_msg("%s: allocation %llu: no text", s->name, (unsigned long long)nth);
    }
    if (inject_live_blocks() != blocks)
        fail_msg("%s: allocation %llu%s: %zu blocks leaked", s->name, (unsigned long long)nth, stays ? " on" : "",
                 inject_live_blocks() - blocks);
    if (open_files() != files) fail_msg("%s: allocation %llu: an open file leaked", s->name, (unsigned long long)nth);
    check_no_temporary(s->name, nth);
}

static void one_scenario(void **state)
{
    const scenario *s = *state;
    char wanted[65], again[65];
    if (watched(s, wanted) != LP_OK) fail_msg("%s: %s", s->name, lp_error());
    inject_begin(&(inject_plan){.calls = INJECT_MEMORY});
    assert_int_equal(watched(s, again), LP_OK);
    uint64_t n = inject_end(), n_refused = 0, points = s->is_slow ? SLOW_POINTS : POINTS;
    assert_string_equal(wanted, again);
    uint64_t step = n / points + 1;
    for (uint64_t nth = 1; nth <= n; nth += nth < 20 && !s->is_slow ? 1 : step) { /* the first ones all: every kind of object */
        fail_at(s, nth, false, wanted, &n_refused);
        fail_at(s, nth, true, wanted, &n_refused);
    }
    fail_at(s, n + 1000, false, wanted, &n_refused);
    if (n && !n_refused) fail_msg("%s: no failure of %llu was noticed", s->name, (unsigned long long)n);
    assert_int_equal(watched(s, again), LP_OK);
    assert_string_equal(wanted, again);
    print_message("# %s: %llu allocations, %llu refusals\n", s->name, (unsigned long long)n, (unsigned long long)n_refused);
}

static void every_function_of_the_public_headers_is_in_a_scenario(void **state)
{
    (void)state;
    static const char *const functions[] = {
#define NAME(f) #f,
        API_FUNCTIONS(NAME)};
    for (size_t i = 0; i < sizeof functions / sizeof *functions; i++)
        if (!scenarios_called(functions[i]))
            fail_msg("%s is called by no scenario: add it to tests/hard/scenarios.c, so that its memory and I/O are made to fail",
                     functions[i]);
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[128];
    char name[64][120];
    int n = 0;
    scenarios_prepare();
    for (int i = 0; i < n_scenarios && i < 64; i++) {
        if (argc > 1 && !strstr(scenarios[i].name, argv[1])) continue;
        snprintf(name[i], sizeof name[i], "when memory fails: %s", scenarios[i].name);
        tests[n++] = (struct CMUnitTest){.name = name[i], .test_func = one_scenario, .initial_state = (void *)(uintptr_t)&scenarios[i]};
    }
    if (argc <= 1) tests[n++] = (struct CMUnitTest)cmocka_unit_test(every_function_of_the_public_headers_is_in_a_scenario);
    return _cmocka_run_group_tests("memory", tests, (size_t)n, NULL, NULL);
}
