/* A pool of threads with a static partition: no result of the library depends on the number of threads. */
#ifndef LOWP_POOL_H
#define LOWP_POOL_H

#include <stdint.h>

#include <lowp/status.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct lp_pool lp_pool;

/* Work of one thread of a region: thread is 0 .. n_threads-1; thread 0 is the caller. */
typedef void (*lp_pool_fn)(void *context, int thread, int n_threads);

/* n_threads: 1 .. 1024, or 0 for the number of processors online. The calling thread is one of them. Every worker (and,
 * inside lp_pool_run, the caller) computes in binary32 nearest-even with subnormals, whatever the caller's environment.
 * Errors: LP_USAGE (range), LP_RESOURCE (a thread could not be started). */
LP_API lp_status lp_pool_create(int n_threads, lp_pool **out);
LP_API void lp_pool_destroy(lp_pool *pool); /* NULL is allowed */
LP_API int lp_pool_threads(const lp_pool *pool);

/* Runs fn on every thread and returns when all are done. Not reentrant: one region at a time per pool. A NULL pool runs
 * fn(context, 0, 1) on the caller. Workers spin for a short while between regions, then park. */
LP_API void lp_pool_run(lp_pool *pool, lp_pool_fn fn, void *context);

/* Inside a region: returns once every thread of it has called. What threads wrote before is visible to all after. */
LP_API void lp_pool_barrier(lp_pool *pool);

/* The part [first, last) of n items that belongs to a thread: contiguous, sizes differ by at most one. */
static inline void lp_pool_part(int64_t n, int thread, int n_threads, int64_t *first, int64_t *last)
{
    int64_t q = n / n_threads, r = n % n_threads, t = thread;
    *first = t * q + (t < r ? t : r);
    *last = *first + q + (t < r ? 1 : 0);
}

#ifdef __cplusplus
}
#endif
#endif
