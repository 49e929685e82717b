/* Failing memory and failing I/O: the calls of the program into libc, counted, and made to fail where a test wants it. The
 * linker redirects them (--wrap, see meson.build), so the library has no hook for it. */
#ifndef TESTS_HARD_INJECT_H
#define TESTS_HARD_INJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Calls that take something from the system. */
typedef enum inject_call {
    /* memory */
    INJECT_MALLOC, INJECT_CALLOC, INJECT_REALLOC, INJECT_STRDUP, INJECT_STRNDUP, INJECT_ASPRINTF, INJECT_MEMSTREAM, INJECT_THREAD,
    /* files */
    INJECT_OPEN, INJECT_OPENAT, INJECT_FOPEN, INJECT_READ, INJECT_WRITE, INJECT_PWRITE, INJECT_FSYNC, INJECT_FSTAT,
    INJECT_FSTATAT, INJECT_FSTATVFS, INJECT_MMAP, INJECT_RENAME, INJECT_MKDIR, INJECT_FLOCK, INJECT_FCHMOD, INJECT_READLINK,
    INJECT_N_CALLS
} inject_call;


#define INJECT_BIT(call) (UINT32_C(1) << (call))
#define INJECT_MEMORY (INJECT_BIT(INJECT_OPEN) - 1)

/* What goes wrong. */
typedef struct inject_plan {
    uint32_t calls;    /* INJECT_BITs of the calls that are counted */
    uint64_t nth;      /* 1: the first of them; 0: none */
    bool stays;        /* all after it too */
    int error;         /* errno; memory: always ENOMEM */
    bool is_short;     /* READ, WRITE, PWRITE: a part of the bytes instead of an error */
} inject_plan;

void inject_begin(const inject_plan *plan);
uint64_t inject_end(void); /* nothing fails any more; how many calls were counted */

/* While paused nothing is counted and nothing fails: for what a test does itself. */
void inject_pause(bool is_paused);

const char *inject_name(inject_call call);

/* Memory that the program holds from malloc and its like, bytes, and the most that it was since inject_peak_reset. */
size_t inject_live_blocks(void);
size_t inject_live_bytes(void);
void inject_peak_reset(void);
size_t inject_peak_bytes(void);

#endif
