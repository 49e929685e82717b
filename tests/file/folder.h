/* A temporary folder per test program, and whole files. */
#ifndef TESTS_FILE_FOLDER_H
#define TESTS_FILE_FOLDER_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "build.h"

static char folder[] = "/tmp/lowp-file-XXXXXX";

/* Path of a file in the folder; four results are valid at a time. */
static inline const char *path_of(const char *name)
{
    static char path[4][256];
    static int next;
    char *p = path[next++ % 4];
    snprintf(p, sizeof path[0], "%s/%s", folder, name);
    return p;
}

static inline void write_file(const char *path, const void *data, size_t n)
{
    FILE *f = fopen(path, "wb");
    if (!f || fwrite(data, 1, n, f) != n || fclose(f) != 0) abort();
}

static inline builder read_file(const char *path)
{
    builder b = {0};
    uint8_t buffer[4096];
    FILE *f = fopen(path, "rb");
    if (!f) abort();
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, f)) > 0;) put(&b, buffer, n);
    fclose(f);
    return b;
}

static inline int remove_folder(void)
{
    char command[300];
    snprintf(command, sizeof command, "rm -rf %s", folder);
    return system(command);
}

#endif
