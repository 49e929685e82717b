/* Runs a fuzzer's function on every file of the folders given, in order of name: the corpus as a test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static int visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

/* In memory of just the file's size, so that sanitizers see a read beyond it. */
static int replay(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file) return 0;
    fseek(file, 0, SEEK_END);
    long n = ftell(file);
    rewind(file);
    uint8_t *data = malloc(n > 0 ? (size_t)n : 1);
    int read_all = n >= 0 && data && fread(data, 1, (size_t)n, file) == (size_t)n;
    fclose(file);
    if (read_all) LLVMFuzzerTestOneInput(data, (size_t)n);
    free(data);
    return read_all;
}

int main(int argc, char **argv)
{
    int n_tests = 0, n_failed = 0;
    for (int i = 1; i < argc; i++) {
        struct dirent **entries;
        int n = scandir(argv[i], &entries, visible, alphasort);
        if (n <= 0) {
            fprintf(stderr, "%s: no files\n", argv[i]);
            return 1;
        }
        for (int k = 0; k < n; k++) {
            char path[4096];
            snprintf(path, sizeof path, "%s/%s", argv[i], entries[k]->d_name);
            int ok = replay(path);
            n_failed += !ok;
            printf("%sok %d - %s\n", ok ? "" : "not ", ++n_tests, entries[k]->d_name);
            fflush(stdout); /* so that the file before a crash is known */
            free(entries[k]);
        }
        free(entries);
    }
    printf("1..%d\n", n_tests);
    return n_failed != 0 || n_tests == 0;
}
