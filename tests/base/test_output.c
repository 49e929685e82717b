/* Output files: whole or not at all, whatever happens. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/fail.h"
#include "base/map.h"
#include "base/output.h"
#include "base/random.h"
#include "base/sha256.h"

static const char temporary[] = ".out.lowp-tmp";

static int enter_folder(void **state)
{
    char *folder = strdup("/tmp/lowp-test-output-XXXXXX");
    *state = folder;
    umask(022);
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

static bool exists(const char *path)
{
    struct stat s;
    return lstat(path, &s) == 0;
}

static void write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

static void assert_text(const char *path, const char *expected)
{
    char text[1000] = "";
    FILE *file = fopen(path, "r");
    assert_non_null(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    assert_string_equal(text, expected);
}

static lp_output *create(const char *path, bool force)
{
    lp_output *output;
    assert_int_equal(lp_output_create(path, force, &output), LP_OK);
    return output;
}

static void assert_refused(const char *path, bool force, lp_status expected, const char *text)
{
    lp_output *output = (lp_output *)1;
    assert_int_equal(lp_output_create(path, force, &output), expected);
    assert_null(output);
    if (strstr(lp_error(), text) == NULL) fail_msg("'%s' lacks '%s'", lp_error(), text);
}

static void write_whole(const char *path, const char *text)
{
    lp_output *output = create(path, true);
    assert_int_equal(lp_output_write(output, text, strlen(text)), LP_OK);
    assert_int_equal(lp_output_finish(output, NULL), LP_OK);
}

static void the_file_appears_at_the_end_with_its_bytes_hash_and_mode(void **state)
{
    (void)state;
    umask(027);
    lp_output *output = create("out", false);
    assert_true(exists(temporary));
    assert_int_equal(lp_output_reserve(output, 3), LP_OK);
    assert_int_equal(lp_output_write(output, "ab", 2), LP_OK);
    assert_int_equal(lp_output_write(output, NULL, 0), LP_OK);
    assert_int_equal(lp_output_write(output, "c", 1), LP_OK);
    assert_int_equal(lp_output_size(output), 3);
    assert_false(exists("out"));
    char hex[65];
    assert_int_equal(lp_output_finish(output, hex), LP_OK);
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_text("out", "abc");
    assert_false(exists(temporary));
    struct stat s;
    assert_int_equal(stat("out", &s), 0);
    assert_int_equal(s.st_mode & 07777, 0640);
}

static void writes_of_every_size_arrive_in_order(void **state)
{
    (void)state;
    static const size_t most[] = {100, 5000, 3u << 20};
    size_t n_all = 9u << 20;
    uint8_t *data = malloc(n_all);
    for (size_t i = 0; i < n_all; i += 4) {
        uint32_t word = (uint32_t)i * 2654435761u;
        memcpy(data + i, &word, 4);
    }
    for (size_t k = 0; k < sizeof most / sizeof *most; k++) {
        size_t n = k == 0 ? 2500000 : n_all, at = 0;
        lp_output *output = create("out", true);
        for (uint64_t i = 0; at < n; i++) {
            size_t piece = lp_random_word(k, i, 0, 0, 0, 0) % most[k];
            if (piece > n - at) piece = n - at;
            assert_int_equal(lp_output_write(output, data + at, piece), LP_OK);
            at += piece;
        }
        char hex[65], expected[65];
        assert_int_equal(lp_output_size(output), n);
        assert_int_equal(lp_output_finish(output, hex), LP_OK);
        lp_sha256 hash;
        lp_sha256_begin(&hash);
        lp_sha256_add(&hash, data, n);
        lp_sha256_end(&hash, expected);
        assert_string_equal(hex, expected);
        lp_map map;
        assert_int_equal(lp_map_open("out", &map), LP_OK);
        assert_int_equal(map.n_bytes, n);
        assert_memory_equal(map.data, data, n);
        lp_map_close(&map);
    }
    free(data);
}

static void a_file_that_exists_is_replaced_only_by_force_and_keeps_its_mode(void **state)
{
    (void)state;
    write_text("out", "old");
    assert_int_equal(chmod("out", 0604), 0);
    assert_refused("out", false, LP_USAGE, "out: exists");
    assert_false(exists(temporary));
    assert_text("out", "old");
    write_whole("out", "new");
    assert_text("out", "new");
    struct stat s;
    assert_int_equal(stat("out", &s), 0);
    assert_int_equal(s.st_mode & 07777, 0604);
}

static void an_aborted_output_leaves_everything_as_it_was(void **state)
{
    (void)state;
    write_text("out", "old");
    lp_output *output = create("out", true);
    assert_int_equal(lp_output_write(output, "new", 3), LP_OK);
    lp_output_abort(output);
    assert_text("out", "old");
    assert_false(exists(temporary));
    lp_output_abort(NULL);
}

static void what_is_no_file_is_refused_even_by_force(void **state)
{
    (void)state;
    assert_int_equal(mkdir("out", 0700), 0);
    assert_refused("out", true, LP_USAGE, "out: exists and is not a regular file");
    assert_int_equal(mkfifo("pipe", 0600), 0);
    assert_refused("pipe", true, LP_USAGE, "pipe: exists and is not a regular file");
    assert_refused("/dev/null", true, LP_USAGE, "not a regular file");
    assert_int_equal(symlink("/dev/null", "link"), 0);
    assert_refused("link", true, LP_USAGE, "link: exists and is not a regular file");
    assert_refused("", true, LP_USAGE, "names no file");
    assert_refused("out/", true, LP_USAGE, "names no file");
    assert_refused("out/..", true, LP_USAGE, "names no file");
    assert_refused("/", true, LP_USAGE, "names no file");
}

static void a_folder_that_is_missing_or_no_folder_is_bad_input(void **state)
{
    (void)state;
    assert_refused("missing/out", false, LP_INPUT, "missing/out: the folder missing cannot be opened (No such file or directory)");
    write_text("file", "");
    assert_refused("file/out", false, LP_INPUT, "Not a directory");
    char name[300];
    memset(name, 'n', 250);
    name[250] = 0;
    assert_refused(name, false, LP_INPUT, "File name too long");
}

static void symbolic_links_are_resolved_and_stay(void **state)
{
    (void)state;
    assert_int_equal(mkdir("folder", 0700), 0);
    write_text("folder/out", "old");
    assert_int_equal(symlink("folder/second", "first"), 0);
    assert_int_equal(symlink("out", "folder/second"), 0); /* relative to its own folder */
    assert_refused("first", false, LP_USAGE, "first: exists");
    lp_output *output = create("first", true);
    assert_true(exists("folder/.out.lowp-tmp"));
    assert_int_equal(lp_output_write(output, "new", 3), LP_OK);
    assert_int_equal(lp_output_finish(output, NULL), LP_OK);
    assert_text("folder/out", "new");
    char link[100];
    assert_int_equal(readlink("first", link, sizeof link), 13);

    char absolute[200]; /* to a file that does not exist yet */
    assert_non_null(getcwd(absolute, 100));
    strcat(absolute, "/folder/later");
    assert_int_equal(symlink(absolute, "dangling"), 0);
    output = create("dangling", false);
    assert_int_equal(lp_output_finish(output, NULL), LP_OK);
    assert_text("folder/later", "");

    assert_int_equal(symlink("round", "round"), 0);
    assert_refused("round", true, LP_INPUT, "symbolic links in a row");
}

static void what_stands_at_the_temporary_name_is_never_followed_nor_damaged(void **state)
{
    (void)state;
    write_text("precious", "precious");
    assert_int_equal(symlink("precious", temporary), 0);
    assert_refused("out", false, LP_USAGE, "out: the temporary name .out.lowp-tmp beside it is taken");
    assert_text("precious", "precious");
    assert_true(exists(temporary));
    assert_int_equal(unlink(temporary), 0);

    assert_int_equal(link("precious", temporary), 0); /* a hard link cannot be told from a stale file */
    write_whole("out", "new");
    assert_text("precious", "precious");
    assert_text("out", "new");

    assert_int_equal(mkdir(temporary, 0700), 0);
    assert_refused("out", true, LP_USAGE, "is taken");
    assert_int_equal(rmdir(temporary), 0);
    assert_int_equal(mkfifo(temporary, 0600), 0);
    assert_refused("out", true, LP_USAGE, "is taken");
    assert_text("out", "new");
}

static void a_stale_temporary_file_is_replaced(void **state)
{
    (void)state;
    write_text(temporary, "a long rest of a process that was killed");
    assert_int_equal(chmod(temporary, 0400), 0);
    write_whole("out", "new");
    assert_text("out", "new");
    assert_false(exists(temporary));
    struct stat s;
    assert_int_equal(stat("out", &s), 0);
    assert_int_equal(s.st_mode & 07777, 0644);
}

static void a_second_writer_is_refused_and_the_first_is_not_disturbed(void **state)
{
    (void)state;
    lp_output *output = create("out", false);
    assert_int_equal(lp_output_write(output, "first", 5), LP_OK);
    assert_refused("out", true, LP_USAGE, "out: another process is writing it");
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        lp_output *second;
        /* The lock belongs to the open file, which the child shares: it opens its own and is refused as well. */
        _exit(lp_output_create("out", true, &second) == LP_USAGE ? 0 : 1);
    }
    int result;
    waitpid(child, &result, 0);
    assert_int_equal(WEXITSTATUS(result), 0);
    assert_int_equal(lp_output_finish(output, NULL), LP_OK);
    assert_text("out", "first");
    write_whole("out", "second");
    assert_text("out", "second");
}

static void a_file_may_be_replaced_while_it_is_mapped_as_input(void **state)
{
    (void)state;
    write_text("out", "input");
    lp_map map;
    assert_int_equal(lp_map_open("out", &map), LP_OK);
    lp_output *output = create("out", true);
    assert_int_equal(lp_output_write(output, map.data, map.n_bytes), LP_OK);
    assert_int_equal(lp_output_write(output, "+", 1), LP_OK);
    assert_int_equal(lp_output_finish(output, NULL), LP_OK);
    assert_memory_equal(map.data, "input", 5);
    assert_false(lp_map_failed(&map));
    lp_map_close(&map);
    assert_text("out", "input+");
}

static void without_force_a_file_that_appeared_meanwhile_is_kept(void **state)
{
    (void)state;
    lp_output *output = create("out", false);
    assert_int_equal(lp_output_write(output, "ours", 4), LP_OK);
    write_text("out", "theirs");
    assert_int_equal(lp_output_finish(output, NULL), LP_USAGE);
    assert_non_null(strstr(lp_error(), "out: exists"));
    assert_text("out", "theirs");
    assert_false(exists(temporary));
}

static void a_temporary_file_that_somebody_removed_or_replaced_is_an_error(void **state)
{
    (void)state;
    write_text("out", "old");
    lp_output *output = create("out", true);
    assert_int_equal(unlink(temporary), 0);
    assert_int_equal(lp_output_finish(output, NULL), LP_RESOURCE);
    assert_non_null(strstr(lp_error(), "was removed while it was written"));
    output = create("out", true);
    assert_int_equal(unlink(temporary), 0);
    write_text(temporary, "theirs");
    assert_int_equal(lp_output_finish(output, NULL), LP_RESOURCE);
    assert_text(temporary, "theirs");
    assert_text("out", "old");
}

static void more_than_the_free_disk_is_refused_with_both_numbers(void **state)
{
    (void)state;
    lp_output *output = create("out", false);
    assert_int_equal(lp_output_reserve(output, 0), LP_OK);
    assert_int_equal(lp_output_reserve(output, UINT64_MAX), LP_RESOURCE);
    assert_non_null(strstr(lp_error(), "out: 18446744073709551615 bytes are needed, the disk has "));
    lp_output_abort(output);
    assert_false(exists(temporary));
}

/* The limit for a file stands for a disk that is full: the write fails halfway. */
static void a_write_that_fails_leaves_nothing_behind(void **state)
{
    (void)state;
    write_text("out", "old");
    struct rlimit before, limit;
    getrlimit(RLIMIT_FSIZE, &before);
    limit = before;
    limit.rlim_cur = 3000000;
    void (*handler)(int) = signal(SIGXFSZ, SIG_IGN);
    char *data = calloc(1, 5000000);
    lp_output *output = create("out", true), *other = create("other", true);
    setrlimit(RLIMIT_FSIZE, &limit);
    lp_status reserved = lp_output_reserve(output, 3000001), fits = lp_output_reserve(other, 3000000);
    lp_status first = lp_output_write(output, data, 5000000), second = lp_output_write(output, data, 1), last = lp_output_finish(output, NULL);
    bool told = strstr(lp_error(), "out: cannot be written after ") && strstr(lp_error(), strerror(EFBIG));
    lp_status buffered = LP_OK; /* small writes: the failure comes with the flush */
    for (int i = 0; i < 3001; i++) buffered = lp_output_write(other, data, 1000);
    lp_status flushed = lp_output_finish(other, NULL);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, handler);
    free(data);
    assert_int_equal(reserved, LP_RESOURCE);
    assert_int_equal(fits, LP_OK);
    assert_int_equal(first, LP_RESOURCE);
    assert_int_equal(second, LP_RESOURCE);
    assert_int_equal(last, LP_RESOURCE);
    assert_true(told);
    assert_int_equal(buffered, LP_OK);
    assert_int_equal(flushed, LP_RESOURCE);
    assert_text("out", "old");
    assert_false(exists(temporary));
    assert_false(exists("other"));
    assert_false(exists(".other.lowp-tmp"));
}

enum { WHOLE = 300000 };

/* Writes files of one repeated letter until killed. Refusals are part of the game. */
static void write_letters(char first, int n_letters)
{
    static char data[WHOLE];
    for (int i = 0;; i++) {
        lp_output *output;
        if (lp_output_create("out", true, &output) != LP_OK) continue;
        memset(data, first + i % n_letters, sizeof data);
        for (int at = 0; at < WHOLE; at += WHOLE / 10) lp_output_write(output, data + at, WHOLE / 10);
        if (lp_output_finish(output, NULL) != LP_OK) _exit(1);
    }
}

/* The letter of the file, if it is whole. */
static int letter_of_whole_file(void)
{
    lp_map map;
    assert_int_equal(lp_map_open("out", &map), LP_OK);
    assert_int_equal(map.n_bytes, WHOLE);
    int letter = map.data[0];
    for (size_t i = 0; i < WHOLE; i++) assert_int_equal(map.data[i], letter);
    lp_map_close(&map);
    return letter;
}

static pid_t start(char first, int n_letters)
{
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) write_letters(first, n_letters);
    return child;
}

static void sleep_us(long us)
{
    struct timespec pause = {.tv_nsec = us * 1000};
    nanosleep(&pause, NULL);
}

static void assert_killed(pid_t child)
{
    int result;
    kill(child, SIGKILL);
    waitpid(child, &result, 0);
    assert_true(WIFSIGNALED(result)); /* it did not end by an error of its own */
}

static void a_killed_process_never_leaves_a_torn_file(void **state)
{
    (void)state;
    char text[WHOLE + 1];
    memset(text, 'z', WHOLE);
    text[WHOLE] = 0;
    write_whole("out", text);
    for (int trial = 0; trial < 25; trial++) {
        pid_t child = start('a', 26);
        sleep_us(2000 + trial * 731 % 9000);
        assert_killed(child);
        letter_of_whole_file();
    }
    write_whole("out", "and the rest is no obstacle");
    assert_false(exists(temporary));
}

static void processes_that_write_the_same_file_do_not_mix(void **state)
{
    (void)state;
    pid_t child[3];
    for (int i = 0; i < 3; i++) child[i] = start((char)('a' + i), 1);
    while (!exists("out")) sleep_us(1000);
    for (int i = 0; i < 60; i++) {
        sleep_us(2000);
        assert_in_range(letter_of_whole_file(), 'a', 'c');
    }
    for (int i = 0; i < 3; i++) assert_killed(child[i]);
    assert_in_range(letter_of_whole_file(), 'a', 'c');
}

/* ---- files that belong together ------------------------------------------------------------------------------------ */

enum { SET = 3 };
static const char *const set_names[SET] = {"one", "two", "three"};

static void prepare_set(lp_output *output[SET], const char *text)
{
    for (int i = 0; i < SET; i++) {
        output[i] = create(set_names[i], true);
        assert_int_equal(lp_output_write(output[i], text, strlen(text)), LP_OK);
        assert_int_equal(lp_output_prepare(output[i], i ? output[0] : NULL), LP_OK);
    }
}

static void assert_no_temporaries(void)
{
    assert_false(exists(".one.lowp-tmp"));
    assert_false(exists(".two.lowp-tmp"));
    assert_false(exists(".three.lowp-tmp"));
}

static void a_set_of_files_replaces_the_old_one_and_nothing_else_stays(void **state)
{
    (void)state;
    lp_output *output[SET];
    write_text("one", "old"); /* the others are new */
    prepare_set(output, "first");
    assert_text("one", "old");
    assert_false(exists("two"));
    assert_int_equal(lp_output_finish_all(output, SET), LP_OK);
    prepare_set(output, "second");
    for (int i = 0; i < SET; i++) assert_text(set_names[i], "first");
    assert_int_equal(lp_output_finish_all(output, SET), LP_OK);
    for (int i = 0; i < SET; i++) assert_text(set_names[i], "second");
    assert_no_temporaries();
}

static void a_set_that_fails_at_its_last_file_leaves_the_old_files_and_no_new_one(void **state)
{
    (void)state;
    lp_output *output[SET];
    write_text("one", "old");
    prepare_set(output, "new");
    assert_int_equal(unlink(".three.lowp-tmp"), 0);
    assert_int_equal(lp_output_finish_all(output, SET), LP_RESOURCE);
    assert_non_null(strstr(lp_error(), "three: the temporary file"));
    assert_text("one", "old");
    assert_false(exists("two"));
    assert_false(exists("three"));
    assert_no_temporaries();
}

static void a_set_over_several_folders_and_links_is_one_too(void **state)
{
    (void)state;
    lp_output *output[SET];
    assert_int_equal(mkdir("a", 0777), 0);
    write_text("a/there", "old");
    assert_int_equal(symlink("a/there", "two"), 0);
    prepare_set(output, "new");
    assert_int_equal(lp_output_finish_all(output, SET), LP_OK);
    for (int i = 0; i < SET; i++) assert_text(set_names[i], "new");
    assert_text("a/there", "new");
    prepare_set(output, "newer");
    assert_int_equal(unlink(".three.lowp-tmp"), 0);
    assert_int_equal(lp_output_finish_all(output, SET), LP_RESOURCE);
    assert_text("a/there", "new");
    assert_false(exists("a/.there.lowp-tmp"));
    assert_no_temporaries();
}

static void a_set_never_replaces_a_file_without_force(void **state)
{
    (void)state;
    lp_output *output[2] = {create("one", false), create("two", false)};
    for (int i = 0; i < 2; i++) assert_int_equal(lp_output_prepare(output[i], i ? output[0] : NULL), LP_OK);
    write_text("two", "mine");
    assert_int_equal(lp_output_finish_all(output, 2), LP_USAGE);
    assert_false(exists("one"));
    assert_text("two", "mine");
    assert_no_temporaries();
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, enter_folder, leave_folder)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(the_file_appears_at_the_end_with_its_bytes_hash_and_mode),
        IN_FOLDER(writes_of_every_size_arrive_in_order),
        IN_FOLDER(a_file_that_exists_is_replaced_only_by_force_and_keeps_its_mode),
        IN_FOLDER(an_aborted_output_leaves_everything_as_it_was),
        IN_FOLDER(what_is_no_file_is_refused_even_by_force),
        IN_FOLDER(a_folder_that_is_missing_or_no_folder_is_bad_input),
        IN_FOLDER(symbolic_links_are_resolved_and_stay),
        IN_FOLDER(what_stands_at_the_temporary_name_is_never_followed_nor_damaged),
        IN_FOLDER(a_stale_temporary_file_is_replaced),
        IN_FOLDER(a_second_writer_is_refused_and_the_first_is_not_disturbed),
        IN_FOLDER(a_file_may_be_replaced_while_it_is_mapped_as_input),
        IN_FOLDER(without_force_a_file_that_appeared_meanwhile_is_kept),
        IN_FOLDER(a_temporary_file_that_somebody_removed_or_replaced_is_an_error),
        IN_FOLDER(more_than_the_free_disk_is_refused_with_both_numbers),
        IN_FOLDER(a_write_that_fails_leaves_nothing_behind),
        IN_FOLDER(a_killed_process_never_leaves_a_torn_file),
        IN_FOLDER(processes_that_write_the_same_file_do_not_mix),
        IN_FOLDER(a_set_of_files_replaces_the_old_one_and_nothing_else_stays),
        IN_FOLDER(a_set_that_fails_at_its_last_file_leaves_the_old_files_and_no_new_one),
        IN_FOLDER(a_set_over_several_folders_and_links_is_one_too),
        IN_FOLDER(a_set_never_replaces_a_file_without_force),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
