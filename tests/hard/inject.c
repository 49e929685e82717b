/* The redirected calls: __wrap_X stands for X in the library and in the tests, __real_X is libc's. */
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static const char *const names[INJECT_N_CALLS] = {
    "malloc", "calloc", "realloc", "strdup", "strndup", "asprintf", "open_memstream", "pthread_create",
    "open", "openat", "fopen", "read", "write", "pwrite", "fsync", "fstat", "fstatat", "fstatvfs", "mmap", "rename", "mkdir",
    "flock", "fchmod", "readlink"};

const char *inject_name(inject_call call) { return names[call]; }

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static inject_plan plan;
static uint64_t n_calls;
static bool paused;

void inject_pause(bool is_paused) { paused = is_paused; }

void inject_begin(const inject_plan *wanted)
{
    pthread_mutex_lock(&lock);
    plan = *wanted;
    n_calls = 0;
    pthread_mutex_unlock(&lock);
}

uint64_t inject_end(void)
{
    pthread_mutex_lock(&lock);
    uint64_t n = n_calls;
    plan = (inject_plan){0};
    pthread_mutex_unlock(&lock);
    return n;
}

/* Whether this call is to fail; errno is set then. is_short: NULL if a part is no answer for this call. */
static bool fails(inject_call call, bool *is_short)
{
    bool hit = false;
    pthread_mutex_lock(&lock);
    if (is_short) *is_short = false;
    if (!paused && plan.calls & INJECT_BIT(call)) {
        n_calls++;
        hit = plan.nth && (n_calls == plan.nth || (plan.stays && n_calls > plan.nth));
        if (hit && plan.is_short) {
            if (is_short) *is_short = true;
            hit = false;
        }
        if (hit) errno = INJECT_BIT(call) & INJECT_MEMORY ? ENOMEM : plan.error;
    }
    pthread_mutex_unlock(&lock);
    return hit;
}

/* ---- what is held: open addressing, so that nothing is allocated for it ------------------------------------------- */

enum { N_SLOTS = 1 << 18 };
static struct {
    uintptr_t p;
    size_t n;
} held[N_SLOTS];
static size_t n_held, bytes_held, bytes_peak;

static size_t slot_of(uintptr_t p) { return (size_t)((p >> 4) * UINT64_C(0x9e3779b97f4a7c15) >> 20) % N_SLOTS; }

static void hold(const void *pointer, size_t n)
{
    uintptr_t p = (uintptr_t)pointer;
    if (!p) return;
    pthread_mutex_lock(&lock);
    size_t i = slot_of(p);
    while (held[i].p && held[i].p != p) i = (i + 1) % N_SLOTS;
    if (held[i].p == 0) n_held++;
    else bytes_held -= held[i].n;
    if (n_held > N_SLOTS / 2) abort();
    held[i].p = p;
    held[i].n = n;
    bytes_held += n;
    if (bytes_held > bytes_peak) bytes_peak = bytes_held;
    pthread_mutex_unlock(&lock);
}

/* What libc itself allocated (getline and the like) is not in the table. */
static void let_go(const void *pointer)
{
    uintptr_t p = (uintptr_t)pointer;
    if (!p) return;
    pthread_mutex_lock(&lock);
    size_t i = slot_of(p);
    while (held[i].p && held[i].p != p) i = (i + 1) % N_SLOTS;
    if (held[i].p) {
        bytes_held -= held[i].n;
        n_held--;
        size_t hole = i;
        for (size_t k = (i + 1) % N_SLOTS; held[k].p; k = (k + 1) % N_SLOTS) { /* close the gap */
            size_t home = slot_of(held[k].p);
            if ((k - home) % N_SLOTS >= (k - hole) % N_SLOTS) {
                held[hole] = held[k];
                hole = k;
            }
        }
        held[hole].p = 0;
    }
    pthread_mutex_unlock(&lock);
}

size_t inject_live_blocks(void) { return n_held; }
size_t inject_live_bytes(void) { return bytes_held; }
void inject_peak_reset(void) { bytes_peak = bytes_held; }
size_t inject_peak_bytes(void) { return bytes_peak; }

/* ---- memory ------------------------------------------------------------------------------------------------------- */

void *__real_malloc(size_t n);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *p, size_t n);
void __real_free(void *p);

void *__wrap_malloc(size_t n)
{
    void *p = fails(INJECT_MALLOC, NULL) ? NULL : __real_malloc(n);
    hold(p, n);
    return p;
}

void *__wrap_calloc(size_t count, size_t size)
{
    void *p = fails(INJECT_CALLOC, NULL) ? NULL : __real_calloc(count, size);
    hold(p, count * size);
    return p;
}

void *__wrap_realloc(void *old, size_t n)
{
    if (fails(INJECT_REALLOC, NULL)) return NULL;
    let_go(old); /* before its address can belong to another thread */
    void *p = __real_realloc(old, n);
    hold(p, n);
    return p;
}

void __wrap_free(void *p)
{
    let_go(p);
    __real_free(p);
}

char *__wrap_strndup(const char *s, size_t n)
{
    size_t length = strnlen(s, n);
    char *p = fails(INJECT_STRNDUP, NULL) ? NULL : __real_malloc(length + 1);
    if (!p) return NULL;
    memcpy(p, s, length);
    p[length] = 0;
    hold(p, length + 1);
    return p;
}

char *__wrap_strdup(const char *s)
{
    size_t length = strlen(s);
    char *p = fails(INJECT_STRDUP, NULL) ? NULL : __real_malloc(length + 1);
    if (!p) return NULL;
    memcpy(p, s, length + 1);
    hold(p, length + 1);
    return p;
}

int __wrap_asprintf(char **out, const char *format, ...)
{
    if (fails(INJECT_ASPRINTF, NULL)) return -1;
    va_list arguments;
    va_start(arguments, format);
    int n = vasprintf(out, format, arguments);
    va_end(arguments);
    if (n >= 0) hold(*out, (size_t)n + 1);
    return n;
}

FILE *__real_open_memstream(char **p, size_t *n);
FILE *__wrap_open_memstream(char **p, size_t *n) { return fails(INJECT_MEMSTREAM, NULL) ? NULL : __real_open_memstream(p, n); }

int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *), void *argument)
{
    return fails(INJECT_THREAD, NULL) ? EAGAIN : __real_pthread_create(thread, attributes, run, argument);
}

/* ---- files -------------------------------------------------------------------------------------------------------- */

/* Meson asks for 64-bit file offsets, which renames some functions: both names are redirected. */
#define OPEN(name)                                                     \
    int __real_##name(const char *path, int flags, ...);               \
    int __wrap_##name(const char *path, int flags, ...)                \
    {                                                                  \
        va_list arguments;                                             \
        va_start(arguments, flags);                                    \
        int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;       \
        va_end(arguments);                                             \
        return fails(INJECT_OPEN, NULL) ? -1 : __real_##name(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                   \
    int __real_##name(int folder, const char *path, int flags, ...);   \
    int __wrap_##name(int folder, const char *path, int flags, ...)    \
    {                                                                  \
        va_list arguments;                                             \
        va_start(arguments, flags);                                    \
        int mode = flags & O_CREAT ? va_arg(arguments, int) : 0;       \
        va_end(arguments);                                             \
        return fails(INJECT_OPENAT, NULL) ? -1 : __real_##name(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

/* Streams for reading read through a call that can fail. */
static ssize_t read_cookie(void *cookie, char *buffer, size_t n)
{
    bool is_short;
    if (fails(INJECT_READ, &is_short)) return -1;
    return read((int)(intptr_t)cookie, buffer, is_short && n > 1 ? 1 : n);
}

static int close_cookie(void *cookie) { return close((int)(intptr_t)cookie); }

#define FOPEN(name)                                                    \
    FILE *__real_##name(const char *path, const char *mode);           \
    FILE *__wrap_##name(const char *path, const char *mode)            \
    {                                                                  \
        if (fails(INJECT_FOPEN, NULL)) return NULL;                    \
        if (mode[0] != 'r' || !plan.calls || paused) return __real_##name(path, mode); \
        int file = __real_open64(path, O_RDONLY | O_CLOEXEC);          \
        if (file < 0) return NULL;                                     \
        return fopencookie((void *)(intptr_t)file, "r", (cookie_io_functions_t){.read = read_cookie, .close = close_cookie}); \
    }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t __real_write(int file, const void *data, size_t n);
ssize_t __wrap_write(int file, const void *data, size_t n)
{
    bool is_short;
    if (fails(INJECT_WRITE, &is_short)) return -1;
    return __real_write(file, data, is_short && n > 1 ? n / 2 : n);
}

#define PWRITE(name, offset)                                           \
    ssize_t __real_##name(int file, const void *data, size_t n, offset at); \
    ssize_t __wrap_##name(int file, const void *data, size_t n, offset at)  \
    {                                                                  \
        bool is_short;                                                 \
        if (fails(INJECT_PWRITE, &is_short)) return -1;                \
        return __real_##name(file, data, is_short && n > 1 ? n / 2 : n, at); \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

#define PLAIN(call, name, parameters, arguments)                       \
    int __real_##name parameters;                                      \
    int __wrap_##name parameters { return fails(call, NULL) ? -1 : __real_##name arguments; }
/* The disk is not waited for: it would take most of the time. */
int __wrap_fsync(int file);
int __wrap_fsync(int file)
{
    (void)file;
    return fails(INJECT_FSYNC, NULL) ? -1 : 0;
}
PLAIN(INJECT_FSTAT, fstat, (int file, struct stat *s), (file, s))
PLAIN(INJECT_FSTAT, fstat64, (int file, struct stat64 *s), (file, s))
PLAIN(INJECT_FSTATAT, fstatat, (int folder, const char *path, struct stat *s, int flags), (folder, path, s, flags))
PLAIN(INJECT_FSTATAT, fstatat64, (int folder, const char *path, struct stat64 *s, int flags), (folder, path, s, flags))
PLAIN(INJECT_FSTATVFS, fstatvfs, (int file, struct statvfs *s), (file, s))
PLAIN(INJECT_FSTATVFS, fstatvfs64, (int file, struct statvfs64 *s), (file, s))
PLAIN(INJECT_RENAME, rename, (const char *from, const char *to), (from, to))
PLAIN(INJECT_RENAME, renameat, (int a, const char *from, int b, const char *to), (a, from, b, to))
PLAIN(INJECT_RENAME, renameat2, (int a, const char *from, int b, const char *to, unsigned flags), (a, from, b, to, flags))
PLAIN(INJECT_MKDIR, mkdir, (const char *path, mode_t mode), (path, mode))
PLAIN(INJECT_FLOCK, flock, (int file, int how), (file, how))
PLAIN(INJECT_FCHMOD, fchmod, (int file, mode_t mode), (file, mode))

ssize_t __real_readlink(const char *path, char *buffer, size_t n);
ssize_t __wrap_readlink(const char *path, char *buffer, size_t n)
{
    return fails(INJECT_READLINK, NULL) ? -1 : __real_readlink(path, buffer, n);
}

#define MMAP(name, offset)                                             \
    void *__real_##name(void *p, size_t n, int protection, int flags, int file, offset at); \
    void *__wrap_##name(void *p, size_t n, int protection, int flags, int file, offset at)  \
    {                                                                  \
        return fails(INJECT_MMAP, NULL) ? MAP_FAILED : __real_##name(p, n, protection, flags, file, at); \
    }
MMAP(mmap, off_t)
MMAP(mmap64, off64_t)
