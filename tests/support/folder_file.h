/* Whole files and folders of safetensors for tests. */
#ifndef TESTS_FOLDER_FILE_H
#define TESTS_FOLDER_FILE_H

#include <stddef.h>

/* The bytes of a file, with a NUL behind them; to be freed. */
char *read_whole(const char *path, size_t *n);
void write_whole(const char *path, const char *data, size_t n);
void same_file(const char *a, const char *b);

/* Replaces the first occurrence of a text in a file. */
void replace(const char *path, const char *from, const char *to);

/* Rewrites a safetensors file, all of its F32 and F16 tensors as BF16. */
void narrow_folder(const char *path);

#endif
