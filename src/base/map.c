/* Mapped files and the SIGBUS handler that keeps a shrinking file from ending the process. */
#include "base/map.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fail.h"

enum {
    N_SLOTS = 1024,
    N_LEVELS = 4,
    /* Unreadable pages of one file that are replaced one by one; then all from the next one to the end are (beyond the
     * end of the file anyway, if it shrank): the system limits the number of separate mappings. */
    MAX_FAULTS = 256
};

/* One mapping. The handler reads first, last, first and believes them if both firsts agree: first is 0 while the slot
 * changes hands. */
typedef struct map_slot {
    _Atomic uintptr_t first; /* address; 0: free */
    _Atomic uintptr_t last;  /* end of the last page */
    _Atomic bool failed;
    _Atomic int n_faults;
    int file;                /* kept open to see a file that shrank within its last page, where no fault happens */
} map_slot;

static map_slot slots[N_SLOTS];
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER; /* for taking a slot or a level; handlers take no lock */
static uintptr_t page_size;

static map_slot *slot_of(uintptr_t address)
{
    for (int i = 0; i < N_SLOTS; i++) {
        uintptr_t first = atomic_load(&slots[i].first), last = atomic_load(&slots[i].last);
        if (first && address >= first && address < last && atomic_load(&slots[i].first) == first) return &slots[i];
    }
    return NULL;
}

static void read_page_size(void) { page_size = (uintptr_t)sysconf(_SC_PAGESIZE); }

/* Called in the signal handler, where libc promises nothing of mmap: the system call itself. */
static bool map_zeros(uintptr_t first, uintptr_t last)
{
    const int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
#if __SIZEOF_POINTER__ == 8
    return syscall(SYS_mmap, first, last - first, PROT_READ, flags, -1, (off_t)0) == (long)first;
#else
    return syscall(SYS_mmap2, first, last - first, PROT_READ, flags, -1, 0) == (long)first;
#endif
}

/* A fault of somebody else's, or a signal that somebody sent. */
static void pass_on(const struct sigaction *previous, int signal_number, siginfo_t *info, void *context)
{
    if (previous->sa_flags & SA_SIGINFO) {
        previous->sa_sigaction(signal_number, info, context);
    } else if (previous->sa_handler != SIG_DFL && previous->sa_handler != SIG_IGN) {
        previous->sa_handler(signal_number);
    } else if (info->si_code > 0 || previous->sa_handler == SIG_DFL) {
        /* A fault ends the process as if we were not there: it comes again after the return. A signal that was sent
         * has to be sent again. */
        signal(signal_number, SIG_DFL);
        if (info->si_code <= 0) raise(signal_number);
    }
}

static void handle(const struct sigaction *previous, int signal_number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    bool unreadable = info->si_code == BUS_ADRERR || info->si_code == BUS_MCEERR_AR;
    map_slot *slot = unreadable ? slot_of((uintptr_t)info->si_addr) : NULL;
    bool done = false;
    if (slot) {
        uintptr_t page = (uintptr_t)info->si_addr & ~(page_size - 1);
        atomic_store(&slot->failed, true);
        bool is_one_of_many = atomic_fetch_add(&slot->n_faults, 1) >= MAX_FAULTS;
        done = map_zeros(page, is_one_of_many ? atomic_load(&slot->last) : page + page_size);
    }
    if (!done) pass_on(previous, signal_number, info, context);
    errno = saved_errno;
}

/* Our handler may be replaced by one that passes foreign faults on to it. To come back above that one, without the two
 * passing a fault to each other for ever, takes another function with its own predecessor. previous[i] is written once,
 * before handler i is installed. */
static struct sigaction previous[N_LEVELS];
static void handle_0(int n, siginfo_t *info, void *context) { handle(&previous[0], n, info, context); }
static void handle_1(int n, siginfo_t *info, void *context) { handle(&previous[1], n, info, context); }
static void handle_2(int n, siginfo_t *info, void *context) { handle(&previous[2], n, info, context); }
static void handle_3(int n, siginfo_t *info, void *context) { handle(&previous[3], n, info, context); }
static void (*const handlers[N_LEVELS])(int, siginfo_t *, void *) = {handle_0, handle_1, handle_2, handle_3};
static int n_levels; /* used so far */

static bool is_same_handler(const struct sigaction *a, const struct sigaction *b)
{
    if ((a->sa_flags ^ b->sa_flags) & SA_SIGINFO) return false;
    return a->sa_flags & SA_SIGINFO ? a->sa_sigaction == b->sa_sigaction : a->sa_handler == b->sa_handler;
}

/* Makes sure that one of our handlers is the current one. Under slots_lock. 0, or the errno. */
static int install_locked(void)
{
    struct sigaction now, ours = {.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigemptyset(&ours.sa_mask);
    if (sigaction(SIGBUS, NULL, &now) != 0) return errno;
    for (int i = 0; i < n_levels; i++)
        if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == handlers[i]) return 0;
    int level = 0;
    while (level < n_levels && !is_same_handler(&previous[level], &now)) level++;
    if (level == N_LEVELS) return 0; /* the process keeps changing it: theirs stays */
    if (level == n_levels) previous[n_levels++] = now;
    ours.sa_sigaction = handlers[level];
    return sigaction(SIGBUS, &ours, NULL) == 0 ? 0 : errno;
}

static int install_handler(void)
{
    pthread_mutex_lock(&slots_lock);
    int error = install_locked();
    pthread_mutex_unlock(&slots_lock);
    return error;
}

/* N_SLOTS if there is none. */
static int take_slot(uintptr_t first, uintptr_t last, int file)
{
    int slot = 0;
    pthread_mutex_lock(&slots_lock);
    while (slot < N_SLOTS && atomic_load(&slots[slot].first)) slot++;
    if (slot < N_SLOTS) {
        slots[slot].file = file;
        atomic_store(&slots[slot].failed, false);
        atomic_store(&slots[slot].n_faults, 0);
        atomic_store(&slots[slot].last, last);
        atomic_store(&slots[slot].first, first);
    }
    pthread_mutex_unlock(&slots_lock);
    return slot;
}

static uintptr_t round_up_to_page(uintptr_t n) { return (n + page_size - 1) & ~(page_size - 1); }

static lp_status map_open_file(const char *path, int file, lp_map *map)
{
    struct stat s;
    if (fstat(file, &s) != 0) return lp_fail(LP_INPUT, "%s: cannot be examined (%s)", path, strerror(errno));
    if (S_ISDIR(s.st_mode)) return lp_fail(LP_INPUT, "%s: is a folder", path);
    if (!S_ISREG(s.st_mode)) return lp_fail(LP_INPUT, "%s: is not a regular file", path);
    if ((uint64_t)s.st_size > PTRDIFF_MAX)
        return lp_fail(LP_RESOURCE, "%s: too large to be mapped (%llu bytes)", path, (unsigned long long)s.st_size);
    if (s.st_size == 0) {
        close(file);
        return LP_OK;
    }
    size_t n = (size_t)s.st_size;
    void *p = mmap(NULL, n, PROT_READ, MAP_PRIVATE, file, 0);
    if (p == MAP_FAILED) return lp_fail(LP_RESOURCE, "%s: cannot be mapped (%zu bytes: %s)", path, n, strerror(errno));
    int slot = take_slot((uintptr_t)p, round_up_to_page((uintptr_t)p + n), file);
    if (slot == N_SLOTS) {
        munmap(p, n);
        return lp_fail(LP_RESOURCE, "%s: too many files are mapped (%d)", path, N_SLOTS);
    }
    *map = (lp_map){.data = p, .n_bytes = n, .slot = slot};
    return LP_OK;
}

lp_status lp_map_open(const char *path, lp_map *map)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *map = (lp_map){.slot = -1};
    pthread_once(&once, read_page_size);
    int error = install_handler();
    if (error) return lp_fail(LP_RESOURCE, "%s: the SIGBUS handler cannot be installed (%s)", path, strerror(error));
    /* O_NONBLOCK: opening a pipe must not wait for a writer. */
    int file = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (file < 0) {
        lp_status status = errno == EMFILE || errno == ENFILE || errno == ENOMEM ? LP_RESOURCE : LP_INPUT;
        return lp_fail(status, "%s: cannot open (%s)", path, strerror(errno));
    }
    lp_status status = map_open_file(path, file, map);
    if (status != LP_OK) close(file);
    return status;
}

void lp_map_close(lp_map *map)
{
    if (map->data) {
        map_slot *slot = &slots[map->slot];
        int file = slot->file;
        atomic_store(&slot->first, 0); /* before the addresses are free for another mapping, which takes another slot */
        munmap((void *)(uintptr_t)map->data, map->n_bytes);
        close(file);
    }
    *map = (lp_map){.slot = -1};
}

bool lp_map_failed(const lp_map *map)
{
    if (map->data == NULL) return false;
    map_slot *slot = &slots[map->slot];
    struct stat s;
    if (!atomic_load(&slot->failed) && (fstat(slot->file, &s) != 0 || (uint64_t)s.st_size < map->n_bytes))
        atomic_store(&slot->failed, true);
    return atomic_load(&slot->failed);
}

void lp_map_drop(const lp_map *map, size_t first, size_t n)
{
    if (map->data == NULL || first >= map->n_bytes) return;
    size_t last = n < map->n_bytes - first ? first + n : map->n_bytes;
    first = round_up_to_page(first);
    last = last == map->n_bytes ? round_up_to_page(last) : last & ~(page_size - 1); /* the last page has no neighbour */
    if (first < last) (void)madvise((void *)((uintptr_t)map->data + first), last - first, MADV_DONTNEED); /* advice only */
}
