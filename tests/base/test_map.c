/* Mapped files, and files that shrink under the map. */
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fail.h"
#include "base/map.h"

static size_t page; /* bytes */

/* A folder of its own for each test, removed afterwards. */
static int enter_folder(void **state)
{
    char *folder = strdup("/tmp/lowp-test-map-XXXXXX");
    *state = folder;
    page = (size_t)sysconf(_SC_PAGESIZE);
    return mkdtemp(folder) && chdir(folder) == 0 ? 0 : -1;
}

static int leave_folder(void **state)
{
    char command[100];
    snprintf(command, sizeof command, "rm -rf %s", (char *)*state);
    int r = chdir("/") == 0 && system(command) == 0 ? 0 : -1;
    free(*state);
    return r;
}

static uint8_t byte_at(size_t i) { return (uint8_t)(i * 7 + i / 256 + 1); }

static void write_file(const char *path, size_t n)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    for (size_t i = 0; i < n; i++) fputc(byte_at(i), file);
    assert_int_equal(fclose(file), 0);
}

static lp_map open_map(const char *path)
{
    lp_map map;
    assert_int_equal(lp_map_open(path, &map), LP_OK);
    return map;
}

static void a_map_has_the_bytes_of_the_file(void **state)
{
    (void)state;
    static const size_t sizes[] = {1, 100, 4095, 4096, 4097, 300000};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        write_file("file", sizes[i]);
        lp_map map = open_map("file");
        assert_int_equal(map.n_bytes, sizes[i]);
        for (size_t j = 0; j < sizes[i]; j++) assert_int_equal(map.data[j], byte_at(j));
        assert_false(lp_map_failed(&map));
        lp_map_close(&map);
        assert_null(map.data);
        lp_map_close(&map); /* closed already */
    }
}

static void an_empty_file_is_mapped_as_nothing(void **state)
{
    (void)state;
    write_file("empty", 0);
    lp_map map = open_map("empty");
    assert_null(map.data);
    assert_int_equal(map.n_bytes, 0);
    assert_false(lp_map_failed(&map));
    lp_map_drop(&map, 0, 100);
    lp_map_close(&map);
}

static void what_is_no_regular_file_is_refused_by_name(void **state)
{
    (void)state;
    lp_map map;
    assert_int_equal(lp_map_open("missing", &map), LP_INPUT);
    assert_string_equal(lp_error(), "missing: cannot open (No such file or directory)");
    assert_int_equal(lp_map_open(".", &map), LP_INPUT);
    assert_string_equal(lp_error(), ".: is a folder");
    assert_int_equal(lp_map_open("/dev/null", &map), LP_INPUT);
    assert_string_equal(lp_error(), "/dev/null: is not a regular file");
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_int_equal(lp_map_open("pipe", &map), LP_INPUT); /* without waiting for a writer */
    assert_string_equal(lp_error(), "pipe: is not a regular file");
    assert_null(map.data);
    lp_map_close(&map);
}

static void a_file_that_shrinks_reads_as_zeros_and_the_map_tells(void **state)
{
    (void)state;
    write_file("file", 100 * page);
    write_file("other", 3 * page);
    lp_map map = open_map("file"), other = open_map("other");
    assert_int_equal(truncate("file", (off_t)(10 * page + 5)), 0);
    assert_int_equal(map.data[10 * page + 4], byte_at(10 * page + 4));
    size_t sum = 0;
    for (size_t i = 11 * page; i < 100 * page; i += page / 2 + 1) sum += map.data[i];
    assert_int_equal(sum, 0);
    assert_true(lp_map_failed(&map));
    assert_false(lp_map_failed(&other));
    assert_int_equal(map.data[99 * page], 0); /* again, and still */
    assert_int_equal(map.data[0], byte_at(0));
    lp_map_drop(&map, 0, 100 * page);
    assert_int_equal(map.data[50 * page], 0);
    lp_map_close(&map);
    write_file("file", 100 * page); /* the slot is given again, clean */
    map = open_map("file");
    assert_int_equal(map.data[99 * page], byte_at(99 * page));
    assert_false(lp_map_failed(&map));
    lp_map_close(&map);
    lp_map_close(&other);
}

static void a_file_that_shrinks_within_its_last_page_is_noticed_too(void **state)
{
    (void)state;
    write_file("file", 2 * page + 100);
    lp_map map = open_map("file");
    assert_int_equal(truncate("file", (off_t)(2 * page + 50)), 0);
    assert_true(lp_map_failed(&map));
    assert_int_equal(truncate("file", (off_t)(2 * page + 100)), 0);
    assert_true(lp_map_failed(&map)); /* from then on */
    lp_map_close(&map);
}

static void a_file_shorter_by_one_byte_is_noticed(void **state)
{
    (void)state;
    for (size_t n = page - 1; n <= page + 1; n++) {
        write_file("file", n);
        lp_map map = open_map("file");
        assert_false(lp_map_failed(&map));
        assert_int_equal(truncate("file", (off_t)n - 1), 0);
        assert_true(lp_map_failed(&map));
        lp_map_close(&map);
    }
}

static void the_first_and_the_last_byte_of_a_missing_page_read_as_zero(void **state)
{
    (void)state;
    for (int last = 0; last < 2; last++) {
        write_file("file", 2 * page);
        lp_map map = open_map("file");
        assert_int_equal(truncate("file", 0), 0);
        assert_int_equal(map.data[last ? 2 * page - 1 : 0], 0);
        assert_true(lp_map_failed(&map));
        lp_map_close(&map);
    }
}

static void a_file_that_is_replaced_keeps_its_old_bytes_in_the_map(void **state)
{
    (void)state;
    write_file("file", 3 * page);
    write_file("new", 10);
    lp_map map = open_map("file");
    assert_int_equal(rename("new", "file"), 0);
    for (size_t i = 0; i < 3 * page; i++) assert_int_equal(map.data[i], byte_at(i));
    assert_false(lp_map_failed(&map));
    lp_map_close(&map);
}

static void *read_all(void *argument)
{
    const lp_map *map = argument;
    size_t sum = 0;
    for (size_t i = 0; i < map->n_bytes; i += page) sum += ((const volatile uint8_t *)map->data)[i];
    return (void *)sum;
}

static void several_threads_may_meet_the_missing_pages_at_once(void **state)
{
    (void)state;
    write_file("file", 400 * page);
    lp_map map = open_map("file");
    assert_int_equal(truncate("file", 0), 0);
    pthread_t thread[4];
    for (int i = 0; i < 4; i++) assert_int_equal(pthread_create(&thread[i], NULL, read_all, &map), 0);
    for (int i = 0; i < 4; i++) {
        void *sum;
        pthread_join(thread[i], &sum);
        assert_null(sum);
    }
    assert_true(lp_map_failed(&map));
    lp_map_close(&map);
}

/* Were each replaced apart, there would be more mappings than the system allows (vm.max_map_count is 65530). */
static void any_number_of_missing_pages_reads_as_zeros(void **state)
{
    (void)state;
    const size_t n_pages = 300000;
    int file = open("sparse", O_RDWR | O_CREAT, 0600);
    assert_int_equal(ftruncate(file, (off_t)(n_pages * page)), 0);
    lp_map map = open_map("sparse");
    assert_int_equal(ftruncate(file, 0), 0);
    close(file);
    size_t sum = 0;
    for (size_t i = 1; i < n_pages; i += 2) sum += map.data[i * page];
    assert_int_equal(sum, 0);
    lp_map_close(&map);
}

static void dropping_pages_changes_no_byte_and_takes_whole_pages_only(void **state)
{
    (void)state;
    write_file("file", 20 * page + 7);
    lp_map map = open_map("file");
    const size_t range[][2] = {{0, 20 * page + 7}, {1, page}, {page - 1, 2}, {0, 0}, {20 * page, 7}, {20 * page, SIZE_MAX},
                               {SIZE_MAX, SIZE_MAX}, {3 * page, SIZE_MAX - page}, {20 * page + 7, 1}};
    for (size_t i = 0; i < sizeof range / sizeof *range; i++) {
        lp_map_drop(&map, range[i][0], range[i][1]);
        for (size_t j = 0; j < map.n_bytes; j++) assert_int_equal(map.data[j], byte_at(j));
    }
    lp_map_close(&map);
}

/* MADV_DONTNEED of a private file mapping leaves pages in the page cache but takes them out of the process. */
static size_t resident_pages(const lp_map *map)
{
    FILE *file = fopen("/proc/self/smaps", "r");
    if (file == NULL) return SIZE_MAX;
    char line[512];
    size_t kb = SIZE_MAX;
    bool inside = false;
    while (fgets(line, sizeof line, file)) {
        unsigned long first, last;
        if (sscanf(line, "%lx-%lx ", &first, &last) == 2) inside = first == (uintptr_t)map->data;
        else if (inside && sscanf(line, "Rss: %zu kB", &kb) == 1) break;
    }
    fclose(file);
    return kb == SIZE_MAX ? SIZE_MAX : kb * 1024 / page;
}

static void dropped_pages_leave_memory(void **state)
{
    (void)state;
    write_file("file", 64 * page);
    lp_map map = open_map("file");
    volatile uint8_t sink = 0;
    for (size_t i = 0; i < 64; i++) sink = (uint8_t)(sink + map.data[i * page]);
    if (resident_pages(&map) == SIZE_MAX) skip();
    assert_int_equal(resident_pages(&map), 64);
    lp_map_drop(&map, 1, 64 * page - 1);
    assert_int_equal(resident_pages(&map), 1);
    lp_map_close(&map);
}

static volatile sig_atomic_t n_foreign;
static sigjmp_buf foreign_jump;
static void on_foreign(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number, (void)info, (void)context;
    n_foreign++;
    siglongjmp(foreign_jump, 1);
}

static void (*beneath)(int, siginfo_t *, void *); /* ours, which on_foreign_chaining replaced */
static void on_foreign_chaining(int signal_number, siginfo_t *info, void *context)
{
    if (++n_foreign > 100) _exit(100); /* round and round */
    beneath(signal_number, info, context);
}

enum { NOT_STARTED = 99 };

/* In a child: the handler is installed once a process, and here other tests came before. */
static void in_child(const char *mode, int *result)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit none = {0, 0};
        setrlimit(RLIMIT_CORE, &none);
        execl("/proc/self/exe", "test_map", mode, (char *)NULL);
        _exit(NOT_STARTED);
    }
    waitpid(child, result, 0);
    if (WIFEXITED(*result) && WEXITSTATUS(*result) == NOT_STARTED) skip(); /* qemu-user cannot start itself */
}

static const uint8_t *map_beyond_end(void)
{
    int file = open("foreign", O_RDWR | O_CREAT | O_TRUNC, 0600);
    return mmap(NULL, page, PROT_READ, MAP_SHARED, file, 0);
}

/* Run as `test_map chain`: a handler that was there before ours gets the faults that are not ours. */
static int check_chain(void)
{
    struct sigaction action = {.sa_sigaction = on_foreign, .sa_flags = SA_SIGINFO};
    sigaction(SIGBUS, &action, NULL);
    write_file("file", 3 * page);
    lp_map map = open_map("file");
    const volatile uint8_t *foreign = map_beyond_end();
    if (sigsetjmp(foreign_jump, 1) == 0) {
        (void)*foreign;
        return 1; /* no fault */
    }
    if (n_foreign != 1 || lp_map_failed(&map)) return 2;
    if (truncate("file", 0) != 0 || map.data[page] != 0 || n_foreign != 1) return 3;
    if (sigsetjmp(foreign_jump, 1) == 0) {
        raise(SIGBUS);
        return 4;
    }
    if (n_foreign != 2) return 5;

    /* Another library puts its handler above ours, and passes on to ours what it does not know. */
    struct sigaction above = {.sa_sigaction = on_foreign_chaining, .sa_flags = SA_SIGINFO}, ours;
    sigaction(SIGBUS, &above, &ours);
    beneath = ours.sa_sigaction;
    if (map.data[2 * page] != 0) return 6; /* mapped with zeros by way of the other */
    if (n_foreign != 3) return 7;
    write_file("file", 3 * page);
    lp_map again = open_map("file"); /* ours is above again */
    if (truncate("file", 0) != 0 || again.data[page] != 0 || n_foreign != 3) return 8;
    if (sigsetjmp(foreign_jump, 1) == 0) {
        (void)*foreign;
        return 9;
    }
    return n_foreign == 5 ? 0 : 10; /* both others saw it, once */
}

/* Run as `test_map default`: without another handler a foreign fault ends the process as ever. */
static int check_default(void)
{
    write_file("file", page);
    lp_map map = open_map("file");
    const volatile uint8_t *foreign = map_beyond_end();
    return *foreign + map.data[0] > 1000 ? 1 : 2;
}

static void foreign_faults_go_to_the_handler_that_was_there_before(void **state)
{
    (void)state;
    int result;
    in_child("chain", &result);
    assert_true(WIFEXITED(result));
    assert_int_equal(WEXITSTATUS(result), 0);
}

static void foreign_faults_end_the_process_where_no_handler_was(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* the sanitizer's handler is there */
#endif
    int result;
    in_child("default", &result);
    assert_true(WIFSIGNALED(result));
    assert_int_equal(WTERMSIG(result), SIGBUS);
}

static void more_mappings_than_the_table_holds_are_refused(void **state)
{
    (void)state;
    enum { N = 1100 };
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_max < N + 50) skip();
    struct rlimit before = limit;
    limit.rlim_cur = limit.rlim_max < 4096 ? limit.rlim_max : 4096;
    setrlimit(RLIMIT_NOFILE, &limit);
    write_file("file", 10);
    static lp_map maps[N];
    int n = 0;
    lp_status status = LP_OK;
    while (n < N && (status = lp_map_open("file", &maps[n])) == LP_OK) n++;
    assert_int_equal(status, LP_RESOURCE);
    assert_non_null(strstr(lp_error(), "too many files"));
    assert_int_equal(n, 1024);
    for (int i = 0; i < n; i++) assert_int_equal(maps[i].data[9], byte_at(9));
    while (n) lp_map_close(&maps[--n]);
    lp_map map = open_map("file");
    lp_map_close(&map);
    setrlimit(RLIMIT_NOFILE, &before);
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(int n_arguments, char **arguments)
{
    page = (size_t)sysconf(_SC_PAGESIZE);
    if (n_arguments > 1) return strcmp(arguments[1], "chain") == 0 ? check_chain() : check_default();
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_map_has_the_bytes_of_the_file),
        IN_FOLDER(an_empty_file_is_mapped_as_nothing),
        IN_FOLDER(what_is_no_regular_file_is_refused_by_name),
        IN_FOLDER(a_file_that_shrinks_reads_as_zeros_and_the_map_tells),
        IN_FOLDER(a_file_that_shrinks_within_its_last_page_is_noticed_too),
        IN_FOLDER(a_file_shorter_by_one_byte_is_noticed),
        IN_FOLDER(the_first_and_the_last_byte_of_a_missing_page_read_as_zero),
        IN_FOLDER(a_file_that_is_replaced_keeps_its_old_bytes_in_the_map),
        IN_FOLDER(several_threads_may_meet_the_missing_pages_at_once),
        IN_FOLDER(any_number_of_missing_pages_reads_as_zeros),
        IN_FOLDER(dropping_pages_changes_no_byte_and_takes_whole_pages_only),
        IN_FOLDER(dropped_pages_leave_memory),
        IN_FOLDER(foreign_faults_go_to_the_handler_that_was_there_before),
        IN_FOLDER(foreign_faults_end_the_process_where_no_handler_was),
        IN_FOLDER(more_mappings_than_the_table_holds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
