/* The n-th call into the file system fails, or does a part, n = 1, 2, ...: the library says so and names the file, every file
 * is whole or as it was, nothing temporary is left, and what must be tried again is. */
#include <errno.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "inject.h"
#include "scenarios.h"
#include "support/llama_file.h"
#include "watch.h"

enum { POINTS = 40, MAX_FILES = 64 };

/* What goes wrong, and whether the work must end well all the same. */
typedef struct fault {
    const char *what;
    inject_call call;
    int error; /* 0: a part is read or written */
    bool is_harmless;
} fault;

static const fault faults[] = {
    {"no descriptor is left", INJECT_OPEN, EMFILE, false},
    {"open meets an I/O error", INJECT_OPEN, EIO, false},
    {"no inode is left", INJECT_OPENAT, ENOSPC, false},
    {"openat meets an I/O error", INJECT_OPENAT, EIO, false},
    {"fopen meets an I/O error", INJECT_FOPEN, EIO, false},
    {"a read meets an I/O error", INJECT_READ, EIO, false},
    {"a read is interrupted", INJECT_READ, EINTR, true},
    {"reads are short", INJECT_READ, 0, true},
    {"a write meets an I/O error", INJECT_WRITE, EIO, false},
    {"the disk is full", INJECT_WRITE, ENOSPC, false},
    {"a write is interrupted", INJECT_WRITE, EINTR, true},
    {"writes are short", INJECT_WRITE, 0, true},
    {"a write in place meets an I/O error", INJECT_PWRITE, EIO, false},
    {"a write in place is interrupted", INJECT_PWRITE, EINTR, true},
    {"writes in place are short", INJECT_PWRITE, 0, true},
    {"fsync meets an I/O error", INJECT_FSYNC, EIO, false},
    {"fsync finds the disk full", INJECT_FSYNC, ENOSPC, false},
    {"fsync is interrupted", INJECT_FSYNC, EINTR, true},
    {"fstat meets an I/O error", INJECT_FSTAT, EIO, false},
    {"fstatat meets an I/O error", INJECT_FSTATAT, EIO, false},
    {"the free disk cannot be asked", INJECT_FSTATVFS, EIO, false},
    {"asking for the free disk is interrupted", INJECT_FSTATVFS, EINTR, true},
    {"a file cannot be mapped", INJECT_MMAP, ENOMEM, false},
    {"rename meets an I/O error", INJECT_RENAME, EIO, false},
    {"rename finds the disk full", INJECT_RENAME, ENOSPC, false},
    {"a folder cannot be made", INJECT_MKDIR, ENOSPC, false},
    {"no lock is left", INJECT_FLOCK, ENOLCK, false},
    {"locking is interrupted", INJECT_FLOCK, EINTR, true},
    {"the mode cannot be set", INJECT_FCHMOD, EIO, false},
    {"a link cannot be read", INJECT_READLINK, EIO, false},
};
enum { N_FAULTS = sizeof faults / sizeof *faults };

/* ---- every file of the folder, before and after ------------------------------------------------------------------- */

typedef struct snapshot {
    int n;
    struct {
        char path[256], sha256[65];
    } file[MAX_FILES];
} snapshot;

static snapshot before, after, *filled;

static int add_to_snapshot(const char *path, const struct stat *s, int type, struct FTW *where)
{
    (void)s;
    (void)where;
    if (type != FTW_F || strstr(path, "edited")) return 0; /* made anew for each edit, which looks after it */
    if (filled->n == MAX_FILES) return 1;
    char buffer[4096];
    lp_sha256 hash;
    lp_sha256_begin(&hash);
    FILE *f = fopen(path, "rb");
    if (!f) return 1;
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, f)) > 0;) lp_sha256_add(&hash, buffer, n);
    fclose(f);
    snprintf(filled->file[filled->n].path, 256, "%s", path);
    lp_sha256_end(&hash, filled->file[filled->n++].sha256);
    return 0;
}

static void take(snapshot *s)
{
    s->n = 0;
    filled = s;
    assert_int_equal(nftw(test_path(""), add_to_snapshot, 8, FTW_PHYS), 0);
}

/* Runs repeat their outputs, so a file is what it was before, or missing where the scenario makes it anew. */
static void check_files(const char *name, const char *what, uint64_t nth)
{
    take(&after);
    for (int i = 0; i < after.n; i++) {
        int k = 0;
        while (k < before.n && strcmp(before.file[k].path, after.file[i].path) != 0) k++;
        if (k == before.n) fail_msg("%s: %s (%llu): %s appeared", name, what, (unsigned long long)nth, after.file[i].path);
        if (strcmp(before.file[k].sha256, after.file[i].sha256) != 0)
            fail_msg("%s: %s (%llu): %s is another file", name, what, (unsigned long long)nth, after.file[i].path);
    }
    for (int k = 0; k < before.n; k++) {
        int i = 0;
        while (i < after.n && strcmp(before.file[k].path, after.file[i].path) != 0) i++;
        if (i == after.n && !strstr(before.file[k].path, SCENARIOS_FRESH))
            fail_msg("%s: %s (%llu): %s is lost", name, what, (unsigned long long)nth, before.file[k].path);
    }
}

/* ---- the loop ----------------------------------------------------------------------------------------------------- */

static void one_point(const scenario *s, const fault *f, uint64_t nth, bool stays, const char *wanted)
{
    char hex[65];
    size_t blocks = inject_live_blocks(), files = open_files();
    scenarios_edits_are_whole = !(stays && f->call == INJECT_PWRITE);
    inject_begin(&(inject_plan){.calls = INJECT_BIT(f->call), .nth = nth, .stays = stays, .error = f->error, .is_short = f->error == 0});
    lp_status status = watched(s, hex);
    inject_end();
    scenarios_edits_are_whole = true;
    unsigned long long n = nth;
    if (status == LP_OK && strcmp(hex, wanted) != 0) fail_msg("%s: %s (%llu): another result", s->name, f->what, n);
    if (status != LP_OK && f->is_harmless) fail_msg("%s: %s (%llu): %s", s->name, f->what, n, lp_error());
    if (status != LP_OK && status != LP_RESOURCE && status != LP_INPUT)
        fail_msg("%s: %s (%llu): %s: %s", s->name, f->what, n, lp_status_name(status), lp_error());
    if (status != LP_OK && !strstr(lp_error(), "/lowp-test-")) fail_msg("%s: %s (%llu): no file is named: %s", s->name, f->what, n, lp_error());
    if (inject_live_blocks() != blocks) fail_msg("%s: %s (%llu): memory leaked", s->name, f->what, n);
    if (open_files() != files) fail_msg("%s: %s (%llu): an open file leaked", s->name, f->what, n);
    check_no_temporary(s->name, nth);
    check_files(s->name, f->what, nth);
}

static void one_scenario(void **state)
{
    const scenario *s = *state;
    char wanted[65], again[65];
    if (watched(s, wanted) != LP_OK) fail_msg("%s: %s", s->name, lp_error());
    take(&before);
    uint64_t n_points = 0;
    for (int i = 0; i < N_FAULTS; i++) {
        const fault *f = &faults[i];
        inject_begin(&(inject_plan){.calls = INJECT_BIT(f->call)});
        assert_int_equal(watched(s, again), LP_OK);
        uint64_t n = inject_end(), step = n / POINTS + 1;
        for (uint64_t nth = 1; nth <= n; nth += step, n_points++) {
            one_point(s, f, nth, false, wanted);
            if (f->error != EINTR) one_point(s, f, nth, true, wanted);
            assert_int_equal(watched(s, again), LP_OK); /* what a failure removed is there again */
        }
    }
    assert_string_equal(wanted, again);
    print_message("# %s: %llu points of failure\n", s->name, (unsigned long long)n_points);
    assert_true(n_points > 0);
}

/* Sets of files over older, different ones of the same names: shards, and the files of a folder. */
static void a_set_whose_nth_rename_or_fsync_fails_stays_the_old_one(void **state)
{
    (void)state;
    static const llama_shape shape = {.n_vocab = 40, .n_embd = 32, .n_layer = 2, .n_head = 4, .n_head_kv = 2, .head_size = 8,
                                      .n_ffn = 48, .n_context = 64, .epsilon = 1e-5f};
    char old[256], new[256], to[256];
    uint32_t seed = 1;
    snprintf(old, sizeof old, "%s", test_path("set-old.gguf"));
    snprintf(new, sizeof new, "%s", test_path("set-new.gguf"));
    llama_write(old, &shape, lp_packing_by_name("f16"), lcg_weight, &seed, NULL);
    llama_write(new, &shape, lp_packing_by_name("f16"), lcg_weight, &seed, NULL);
    for (int folder = 0; folder < 2; folder++) {
        lp_convert_options options = {.force = true, .shard_bytes = folder ? 0 : 8000};
        lp_convert_result r;
        snprintf(to, sizeof to, "%s", test_path(folder ? "set-folder" : "set.gguf"));
        assert_int_equal(lp_convert(old, to, &options, NULL, &r), LP_OK);
        assert_true(r.n_files >= 4);
        static const inject_call calls[] = {INJECT_RENAME, INJECT_FSYNC};
        for (int c = 0; c < 2; c++)
            for (int nth = 1; nth <= r.n_files; nth++) {
                take(&before);
                inject_begin(&(inject_plan){.calls = INJECT_BIT(calls[c]), .nth = (uint64_t)nth, .error = EIO});
                lp_status status = lp_convert(new, to, &options, NULL, &r);
                inject_end();
                assert_int_equal(status, LP_RESOURCE);
                check_files("a set of files", c ? "fsync" : "rename", (uint64_t)nth);
                check_no_temporary("a set of files", (uint64_t)nth);
            }
        assert_int_equal(lp_convert(new, to, &options, NULL, &r), LP_OK);
        take(&after);
        int n_changed = 0;
        for (int i = 0; i < before.n; i++) n_changed += strcmp(before.file[i].sha256, after.file[i].sha256) != 0;
        assert_true(n_changed >= (folder ? 1 : 3)); /* so that the checks above could have failed */
    }
}

int main(int argc, char **argv)
{
    static struct CMUnitTest tests[65];
    char name[64][120];
    int n = 0;
    scenarios_prepare();
    for (int i = 0; i < n_scenarios && n < 64; i++) {
        if (!scenarios[i].does_io || (argc > 1 && !strstr(scenarios[i].name, argv[1]))) continue;
        snprintf(name[n], sizeof name[n], "when I/O fails: %s", scenarios[i].name);
        tests[n] = (struct CMUnitTest){.name = name[n], .test_func = one_scenario, .initial_state = (void *)(uintptr_t)&scenarios[i]};
        n++;
    }
    if (argc < 2 || strstr("a set of files", argv[1])) tests[n++] = (struct CMUnitTest)cmocka_unit_test(a_set_whose_nth_rename_or_fsync_fails_stays_the_old_one);
    return _cmocka_run_group_tests("io", tests, (size_t)n, NULL, NULL);
}
