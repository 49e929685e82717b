/* What a scenario must not leave behind. */
#ifndef TESTS_HARD_WATCH_H
#define TESTS_HARD_WATCH_H

#include <dirent.h>
#include <stdio.h>
#include <string.h>

#include "scenarios.h"
#include "support/llama_file.h"

/* Runs it; hex: digest of what it computed. */
static inline lp_status watched(const scenario *s, char hex[65])
{
    lp_sha256 result;
    lp_sha256_begin(&result);
    lp_status status = s->run(&result);
    lp_sha256_end(&result, hex);
    return status;
}

static inline size_t open_files(void)
{
    size_t n = 0;
    DIR *d = opendir("/proc/self/fd");
    if (!d) return 0;
    while (readdir(d)) n++;
    closedir(d);
    return n;
}

static inline void check_no_temporary(const char *name, uint64_t nth)
{
    DIR *d = opendir(test_path(""));
    if (!d) return;
    for (struct dirent *e; (e = readdir(d));)
        if (strstr(e->d_name, "lowp-tmp")) fail_msg("%s: failure %llu: %s is left behind", name, (unsigned long long)nth, e->d_name);
    closedir(d);
}

#endif
