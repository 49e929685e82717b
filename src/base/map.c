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
#include <unistd.h>

#include "base/fail.h"

enum { N_SLOTS = 1024 };

/* One mapping. The handler reads first, last, first and believes them if both firsts agree: first is 0 while the slot
 * changes hands. */
typedef struct map_slot {
    _Atomic uintptr_t first; /* address; 0: free */
    _Atomic uintptr_t last;  /* end of the last page */
    _Atomic bool failed;
    int file;                /* kept open to see a file that shrank within its last page, where no fault happens */
} map_slot;

static map_slot slots[N_SLOTS];
static pthread_mutex_t slots_lock = PTHREAD_MUTEX_INITIALIZER; /* for taking a slot; the handler takes no lock */
static struct sigaction previous;
static uintptr_t page_size;
static int install_error;

static map_slot *slot_of(uintptr_t address)
{
    for (int i = 0; i < N_SLOTS; i++) {
        uintptr_t first = atomic_load(&slots[i].first), last = atomic_load(&slots[i].last);
        if (first && address >= first && address < last && atomic_load(&slots[i].first) == first) return &slots[i];
    }
    return NULL;
}

static bool map_zeros(uintptr_t first, uintptr_t last)
{
    return mmap((void *)first, last - first, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED;
}

/* A fault of somebody else's, or a signal that somebody sent. */
static void pass_on(int signal_number, siginfo_t *info, void *context)
{
    if (previous.sa_flags & SA_SIGINFO) {
        previous.sa_sigaction(signal_number, info, context);
    } else if (previous.sa_handler != SIG_DFL && previous.sa_handler != SIG_IGN) {
        previous.sa_handler(signal_number);
    } else if (info->si_code > 0 || previous.sa_handler == SIG_DFL) {
        /* A fault ends the process as if we were not there: it comes again after the return. A signal that was sent
         * has to be sent again. */
        signal(signal_number, SIG_DFL);
        if (info->si_code <= 0) raise(signal_number);
    }
}

static void on_bus_error(int signal_number, siginfo_t *info, void *context)
{
    int saved_errno = errno;
    uintptr_t address = (uintptr_t)info->si_addr, page = address & ~(page_size - 1);
    bool unreadable = info->si_code == BUS_ADRERR || info->si_code == BUS_MCEERR_AR;
    map_slot *slot = unreadable ? slot_of(address) : NULL;
    if (slot) {
        atomic_store(&slot->failed, true);
        /* Where the system allows no more separate mappings, one from here to the end (beyond the end of the file too,
         * if it shrank). */
        if (map_zeros(page, page + page_size) || map_zeros(page, atomic_load(&slot->last))) {
            errno = saved_errno;
            return;
        }
    }
    pass_on(signal_number, info, context);
    errno = saved_errno;
}

static void install_handler(void)
{
    page_size = (uintptr_t)sysconf(_SC_PAGESIZE);
    struct sigaction action = {.sa_sigaction = on_bus_error, .sa_flags = SA_SIGINFO | SA_ONSTACK | SA_RESTART};
    sigemptyset(&action.sa_mask);
    install_error = sigaction(SIGBUS, &action, &previous) == 0 ? 0 : errno;
}

static int take_slot(uintptr_t first, uintptr_t last, int file)
{
    int taken = -1;
    pthread_mutex_lock(&slots_lock);
    for (int i = 0; i < N_SLOTS && taken < 0; i++) {
        if (atomic_load(&slots[i].first)) continue;
        slots[i].file = file;
        atomic_store(&slots[i].failed, false);
        atomic_store(&slots[i].last, last);
        atomic_store(&slots[i].first, first);
        taken = i;
    }
    pthread_mutex_unlock(&slots_lock);
    return taken;
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
    if (slot < 0) {
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
    pthread_once(&once, install_handler);
    if (install_error) return lp_fail(LP_RESOURCE, "%s: no SIGBUS handler (%s)", path, strerror(install_error));
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
