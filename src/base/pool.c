/* The pool of threads: static partition, spin then park. */
#include <lowp/pool.h>

#include <errno.h>
#include <limits.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/arena.h"
#include "base/environment.h"
#include "base/fail.h"

enum {
    MAX_THREADS = 1024,
    SPIN = 500,        /* pauses before parking, 10 to 25 microseconds: when the awaited thread is not running, the core is
                        * wanted for it (a busy core made 2000 pauses four times slower than 500) */
    SPIN_CROWDED = 20, /* with more threads than processors the awaited one is probably not running */
    LINE = 64
};

/* A word that threads wait on until it changes. The sleepers are counted so that a change costs no system call while
 * everybody spins. */
typedef struct lp_event {
    _Alignas(LINE) _Atomic uint32_t word;
    _Atomic uint32_t n_sleepers;
} lp_event;

typedef struct lp_worker {
    struct lp_pool *pool;
    pthread_t thread;
    int index; /* 1 .. n_threads - 1 */
} lp_worker;

struct lp_pool {
    int n_threads, spin;
    lp_worker *workers; /* [n_threads - 1] */
    lp_pool_fn fn;      /* of the region; written before start changes */
    void *context;
    bool stop;          /* likewise */
    lp_event start;     /* number of regions begun */
    lp_event running;   /* workers that have not finished the region */
    lp_event barrier;   /* number of barriers passed */
    _Alignas(LINE) _Atomic int n_arrived; /* at the current barrier */
};

static inline void pause_briefly(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb" : : : "memory"); /* yield is a no-op on most cores */
#endif
}

/* Parking: the kernel compares the word itself, so a change between our look and the call is not missed. */
static void futex_wait(_Atomic uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake_all(_Atomic uint32_t *word) { syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0); }

/* Sequential consistency pairs the change with n_sleepers: either the sleeper's count is seen here, or the sleeper's
 * futex_wait sees the change. */
static void event_wake(lp_event *event)
{
    if (atomic_load(&event->n_sleepers) != 0) futex_wake_all(&event->word);
}

/* Waits until the word differs from `old` (if_zero false) or is zero (if_zero true). */
static void event_wait(lp_event *event, uint32_t old, bool if_zero, int spin)
{
    for (int i = 0; i < spin; i++) {
        uint32_t now = atomic_load_explicit(&event->word, memory_order_acquire);
        if (if_zero ? now == 0 : now != old) return;
        pause_briefly();
    }
    atomic_fetch_add(&event->n_sleepers, 1);
    for (;;) {
        uint32_t now = atomic_load(&event->word);
        if (if_zero ? now == 0 : now != old) break;
        futex_wait(&event->word, now);
    }
    atomic_fetch_sub(&event->n_sleepers, 1);
}

static void *worker_main(void *argument)
{
    lp_worker *worker = argument;
    lp_pool *pool = worker->pool;
    uint32_t seen = 0; /* regions begun: none before all workers exist */
    lp_environment_enter();
    for (;;) {
        event_wait(&pool->start, seen, false, pool->spin);
        seen++;
        if (pool->stop) return NULL;
        pool->fn(pool->context, worker->index, pool->n_threads);
        lp_environment_enter(); /* in case fn changed it */
        if (atomic_fetch_sub(&pool->running.word, 1) == 1) event_wake(&pool->running);
    }
}

static void begin_region(lp_pool *pool)
{
    atomic_fetch_add(&pool->start.word, 1);
    event_wake(&pool->start);
}

static void stop_workers(lp_pool *pool, int n)
{
    pool->stop = true;
    begin_region(pool);
    for (int i = 0; i < n; i++) pthread_join(pool->workers[i].thread, NULL);
}

/* Signals from outside are the business of the caller's threads; faults must reach the thread that caused them (a
 * blocked SIGBUS would end the process, see map.c). */
static void signals_of_workers(sigset_t *set)
{
    static const int faults[] = {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGABRT, SIGSYS, SIGPROF};
    sigfillset(set);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) sigdelset(set, faults[i]);
}

static lp_status start_workers(lp_pool *pool)
{
    sigset_t before, blocked;
    signals_of_workers(&blocked);
    pthread_sigmask(SIG_BLOCK, &blocked, &before);
    int n = 0, error = 0;
    for (; n < pool->n_threads - 1; n++) {
        lp_worker *worker = &pool->workers[n];
        *worker = (lp_worker){.pool = pool, .index = n + 1};
        error = pthread_create(&worker->thread, NULL, worker_main, worker);
        if (error) break;
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0) return LP_OK;
    stop_workers(pool, n);
    return lp_hint(lp_fail(LP_RESOURCE, "thread %d of %d could not be started (%s)", n + 2, pool->n_threads, strerror(error)),
                   "use fewer threads");
}

static int processors_online(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0) return CPU_COUNT(&set);
    long n = sysconf(_SC_NPROCESSORS_ONLN); /* more processors than the set can hold */
    return n < 1 ? 1 : n > MAX_THREADS ? MAX_THREADS : (int)n;
}

lp_status lp_pool_create(int n_threads, lp_pool **out)
{
    *out = NULL;
    int n_processors = processors_online();
    if (n_threads == 0) n_threads = n_processors < MAX_THREADS ? n_processors : MAX_THREADS;
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return lp_fail(LP_USAGE, "number of threads: %d is outside 1 .. %d", n_threads, MAX_THREADS);
    lp_pool *pool = lp_aligned_alloc(sizeof *pool + (size_t)n_threads * sizeof(lp_worker));
    if (pool == NULL) return LP_RESOURCE;
    pool->n_threads = n_threads;
    pool->spin = n_threads <= n_processors ? SPIN : SPIN_CROWDED;
    pool->workers = (lp_worker *)(pool + 1);
    lp_status status = start_workers(pool);
    if (status != LP_OK) {
        lp_aligned_free(pool);
        return status;
    }
    *out = pool;
    return LP_OK;
}

void lp_pool_destroy(lp_pool *pool)
{
    if (pool == NULL) return;
    stop_workers(pool, pool->n_threads - 1);
    lp_aligned_free(pool);
}

int lp_pool_threads(const lp_pool *pool) { return pool ? pool->n_threads : 1; }

void lp_pool_run(lp_pool *pool, lp_pool_fn fn, void *context)
{
    uint64_t before = lp_environment_enter();
    if (pool == NULL || pool->n_threads == 1) {
        fn(context, 0, 1);
    } else {
        pool->fn = fn;
        pool->context = context;
        atomic_store_explicit(&pool->running.word, (uint32_t)pool->n_threads - 1, memory_order_relaxed);
        begin_region(pool);
        fn(context, 0, pool->n_threads);
        event_wait(&pool->running, 0, true, pool->spin);
    }
    lp_environment_leave(before);
}

void lp_pool_barrier(lp_pool *pool)
{
    if (pool == NULL || pool->n_threads == 1) return;
    uint32_t passed = atomic_load_explicit(&pool->barrier.word, memory_order_relaxed); /* cannot change before we arrive */
    if (atomic_fetch_add(&pool->n_arrived, 1) + 1 == pool->n_threads) {
        atomic_store_explicit(&pool->n_arrived, 0, memory_order_relaxed); /* published by the next line */
        atomic_fetch_add(&pool->barrier.word, 1);
        event_wake(&pool->barrier);
    } else {
        event_wait(&pool->barrier, passed, false, pool->spin);
    }
}
