/* Choice of the instruction set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <lowp/isa.h>

static void the_reference_is_always_there_and_names_are_those_of_the_manual(void **state)
{
    (void)state;
    static const char *const names[] = {"ref", "avx2", "avx512", "neon"};
    assert_true(lp_isa_available(LP_ISA_REF));
    for (int i = 0; i < LP_ISA_COUNT; i++) assert_string_equal(lp_isa_name((lp_isa)i), names[i]);
    assert_false(lp_isa_available(LP_ISA_COUNT));
    assert_false(lp_isa_available((lp_isa)-1));
    assert_string_equal(lp_isa_name((lp_isa)99), "unknown");
}

/* Whether the list of flags in /proc/cpuinfo has a word; -1 without the file. */
static int has_flag(const char *flag)
{
    FILE *file = fopen("/proc/cpuinfo", "r");
    if (file == NULL) return -1;
    static char line[65536];
    int found = -1;
    while (found < 0 && fgets(line, sizeof line, file)) {
        if (strncmp(line, "flags", 5) != 0 && strncmp(line, "Features", 8) != 0) continue;
        found = 0;
        for (char *word = strtok(line, " \t\n"); word; word = strtok(NULL, " \t\n"))
            if (strcmp(word, flag) == 0) found = 1;
    }
    fclose(file);
    return found;
}

static void what_is_available_agrees_with_the_systems_list(void **state)
{
    (void)state;
#if defined(__x86_64__)
    if (has_flag("fpu") <= 0) skip();
    bool avx2 = has_flag("avx2") > 0 && has_flag("fma") > 0 && has_flag("f16c") > 0;
    bool avx512 = avx2 && has_flag("avx512f") > 0 && has_flag("avx512bw") > 0 && has_flag("avx512vl") > 0 &&
                  has_flag("avx512_vnni") > 0 && has_flag("avx512vbmi") > 0;
    assert_int_equal(lp_isa_available(LP_ISA_AVX2), avx2);
    assert_int_equal(lp_isa_available(LP_ISA_AVX512), avx512);
    assert_false(lp_isa_available(LP_ISA_NEON));
#elif defined(__aarch64__)
    if (has_flag("asimd") <= 0) skip(); /* under qemu-user the list is the host's */
    assert_int_equal(lp_isa_available(LP_ISA_NEON), has_flag("asimddp") > 0);
    assert_false(lp_isa_available(LP_ISA_AVX2));
#endif
}

static void the_best_is_in_use_until_another_is_selected(void **state)
{
    (void)state;
    unsetenv("LOWP_ISA");
    lp_isa best = LP_ISA_REF;
    for (int i = 0; i < LP_ISA_COUNT; i++)
        if (lp_isa_available((lp_isa)i)) best = (lp_isa)i;
    assert_int_equal(lp_isa_current(), best);
    for (int i = 0; i < LP_ISA_COUNT; i++) {
        lp_status status = lp_isa_select(lp_isa_name((lp_isa)i));
        assert_int_equal(status, lp_isa_available((lp_isa)i) ? LP_OK : LP_UNSUPPORTED);
        if (status == LP_OK) assert_int_equal(lp_isa_current(), i);
        else assert_non_null(strstr(lp_error(), lp_isa_name((lp_isa)i)));
    }
    assert_int_equal(lp_isa_select(NULL), LP_OK);
    assert_int_equal(lp_isa_current(), best);
}

static void an_unknown_name_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    assert_int_equal(lp_isa_select("ref"), LP_OK);
    static const char *const unknown[] = {"sse", "AVX2", "avx512f", "avx", "re"};
    for (size_t i = 0; i < sizeof unknown / sizeof *unknown; i++) {
        assert_int_equal(lp_isa_select(unknown[i]), LP_USAGE);
        assert_non_null(strstr(lp_error(), unknown[i]));
        assert_non_null(strstr(lp_error(), "available here: ref"));
        assert_int_equal(lp_isa_current(), LP_ISA_REF);
    }
}

static void the_environment_decides_when_no_name_is_given(void **state)
{
    (void)state;
    setenv("LOWP_ISA", "ref", 1);
    assert_int_equal(lp_isa_select(NULL), LP_OK);
    assert_int_equal(lp_isa_current(), LP_ISA_REF);
    setenv("LOWP_ISA", "nonsense", 1);
    assert_int_equal(lp_isa_select(NULL), LP_USAGE);
    assert_non_null(strstr(lp_error(), "LOWP_ISA"));
    setenv("LOWP_ISA", "", 1);
    assert_int_equal(lp_isa_select(NULL), LP_OK);
    unsetenv("LOWP_ISA");
}

static void the_processor_has_a_name_of_one_line(void **state)
{
    (void)state;
    const char *name = lp_cpu_name();
    assert_true(strlen(name) > 0);
    assert_null(strchr(name, '\n'));
    assert_ptr_equal(lp_cpu_name(), name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_reference_is_always_there_and_names_are_those_of_the_manual),
        cmocka_unit_test(what_is_available_agrees_with_the_systems_list),
        cmocka_unit_test(the_best_is_in_use_until_another_is_selected),
        cmocka_unit_test(an_unknown_name_is_refused_and_changes_nothing),
        cmocka_unit_test(the_environment_decides_when_no_name_is_given),
        cmocka_unit_test(the_processor_has_a_name_of_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
