/* The pool of threads. */
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/environment.h"
#include "base/fail.h"
#include <lowp/pool.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static lp_pool *make(int n_threads)
{
    lp_pool *pool;
    assert_int_equal(lp_pool_create(n_threads, &pool), LP_OK);
    assert_non_null(pool);
    return pool;
}

typedef struct calls {
    int count[1024];    /* per thread; plain, so that a sanitizer sees a missing order */
    int n_threads;
    pthread_t caller;
    bool first_is_caller;
} calls;

static void count_call(void *context, int thread, int n_threads)
{
    calls *c = context;
    c->count[thread]++;
    if (thread == 0) {
        c->n_threads = n_threads;
        c->first_is_caller = pthread_equal(pthread_self(), c->caller);
    }
}

static void every_thread_runs_once_a_region_and_thread_0_is_the_caller(void **state)
{
    (void)state;
    static const int sizes[] = {1, 2, 3, 7, 64};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        lp_pool *pool = make(sizes[i]);
        assert_int_equal(lp_pool_threads(pool), sizes[i]);
        calls c = {.caller = pthread_self()};
        for (int region = 1; region <= 200; region++) {
            lp_pool_run(pool, count_call, &c);
            for (int t = 0; t < sizes[i]; t++) assert_int_equal(c.count[t], region);
        }
        assert_int_equal(c.n_threads, sizes[i]);
        assert_true(c.first_is_caller);
        lp_pool_destroy(pool);
    }
}

static void no_pool_runs_on_the_caller_alone(void **state)
{
    (void)state;
    calls c = {.caller = pthread_self()};
    lp_pool_run(NULL, count_call, &c);
    lp_pool_barrier(NULL);
    assert_int_equal(c.count[0], 1);
    assert_int_equal(c.n_threads, 1);
    assert_int_equal(lp_pool_threads(NULL), 1);
    lp_pool_destroy(NULL);
}

static void a_number_of_threads_outside_its_range_is_refused(void **state)
{
    (void)state;
    lp_pool *pool;
    static const int bad[] = {-1, 1025, INT32_MIN, INT32_MAX};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(lp_pool_create(bad[i], &pool), LP_USAGE);
        assert_null(pool);
        assert_non_null(strstr(lp_error(), "outside 1 .. 1024"));
    }
    pool = make(0);
    assert_in_range(lp_pool_threads(pool), 1, 1024);
    lp_pool_destroy(pool);
}

typedef struct rounds {
    lp_pool *pool;
    int n_rounds;
    int value[64];       /* plain */
    _Atomic int n_wrong;
} rounds;

/* Each thread writes its value, then checks all others' after the barrier: both orders are needed. */
static void step_together(void *context, int thread, int n_threads)
{
    rounds *r = context;
    for (int round = 1; round <= r->n_rounds; round++) {
        r->value[thread] = round;
        lp_pool_barrier(r->pool);
        if (r->value[(thread + 1) % n_threads] != round || r->value[(thread + n_threads - 1) % n_threads] != round)
            atomic_fetch_add(&r->n_wrong, 1);
        lp_pool_barrier(r->pool);
    }
}

static void a_barrier_orders_what_threads_wrote_before_it(void **state)
{
    (void)state;
    static const int sizes[] = {2, 3, 7};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        rounds r = {.pool = make(sizes[i]), .n_rounds = 2000};
        lp_pool_run(r.pool, step_together, &r);
        assert_int_equal(r.n_wrong, 0);
        lp_pool_destroy(r.pool);
    }
}

static void seven_threads_pass_20000_barriers_in_seconds_on_any_number_of_processors(void **state)
{
    (void)state;
    rounds r = {.pool = make(7), .n_rounds = 10000};
    double start = now();
    lp_pool_run(r.pool, step_together, &r);
    assert_true(now() - start < 10); /* 0.5 s on two free processors */
    assert_int_equal(r.n_wrong, 0);
    lp_pool_destroy(r.pool);
}

static void sleep_in_turn(void *context, int thread, int n_threads)
{
    _Atomic int *done = context;
    struct timespec pause = {.tv_nsec = (thread + 1) * 3000000L / n_threads};
    nanosleep(&pause, NULL);
    atomic_fetch_add(done, 1);
}

static void parked_threads_wake_for_the_next_region(void **state)
{
    (void)state;
    lp_pool *pool = make(3);
    _Atomic int done = 0;
    for (int region = 1; region <= 20; region++) {
        lp_pool_run(pool, sleep_in_turn, &done); /* the caller parks too: it is the fastest */
        assert_int_equal(done, 3 * region);
        struct timespec pause = {.tv_nsec = 3000000};
        nanosleep(&pause, NULL); /* longer than the spinning */
    }
    lp_pool_destroy(pool);
}

typedef struct environment_seen {
    bool nearest[4], subnormals[4];
} environment_seen;

/* Whether this thread rounds to nearest in both directions, and keeps subnormals as operands and results. */
static void see_environment(void *context, int thread, int n_threads)
{
    (void)n_threads;
    environment_seen *seen = context;
    volatile float one = 1, third = 3, tiny = 0x1p-126f, half = 0.5f, subnormal = 0x1p-140f, two = 2;
    seen->nearest[thread] = one / third == 0x1.555556p-2f && -one / third == -0x1.555556p-2f && one + 0x1p-25f == one;
    seen->subnormals[thread] = tiny * half == 0x1p-127f && subnormal * two == 0x1p-139f;
}

/* Rounding upward, subnormals flushed. Returns the control word. */
static uint64_t distort(void)
{
#if defined(__x86_64__)
    uint32_t mxcsr = 0x1f80u | 0x8000u | 0x40u | 0x4000u; /* FTZ, DAZ, up */
    __asm__ volatile("ldmxcsr %0" : : "m"(mxcsr) : "memory");
    return mxcsr;
#else
    uint64_t fpcr = 1u << 24 | 1u << 22; /* FZ, up */
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr) : "memory");
    return fpcr;
#endif
}

static void the_callers_floating_point_environment_is_replaced_and_restored(void **state)
{
    (void)state;
    for (int n_threads = 0; n_threads <= 3; n_threads++) { /* 0: no pool */
        uint64_t original = lp_environment_enter();
        uint64_t distorted = distort(); /* before the threads start: they would inherit it */
        lp_pool *pool = NULL;
        lp_status status = n_threads ? lp_pool_create(n_threads, &pool) : LP_OK;
        environment_seen seen = {0};
        lp_pool_run(pool, see_environment, &seen);
        uint64_t after = lp_environment_enter();
        lp_environment_leave(original);
        assert_int_equal(status, LP_OK);
        assert_int_equal(after & ~0x3full, distorted); /* but for the exception flags */
        for (int t = 0; t < (n_threads ? n_threads : 1); t++) {
            assert_true(seen.nearest[t]);
            assert_true(seen.subnormals[t]);
        }
        lp_pool_destroy(pool);
    }
}

static _Atomic int handled_by_caller; /* 1: yes, -1: by another thread */
static pthread_t signal_target;
static void on_signal(int signal_number)
{
    (void)signal_number;
    handled_by_caller = pthread_equal(pthread_self(), signal_target) ? 1 : -1;
}

static void wait_for_signal(void *context, int thread, int n_threads)
{
    (void)context, (void)thread, (void)n_threads;
    if (thread == 0) return;
    for (int i = 0; i < 200 && !handled_by_caller; i++) {
        if (thread == 1 && i == 5) kill(getpid(), SIGUSR1);
        struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL);
    }
}

static void signals_from_outside_are_left_to_the_callers_threads(void **state)
{
    (void)state;
    signal_target = pthread_self();
    struct sigaction action = {.sa_handler = on_signal}, before;
    sigaction(SIGUSR1, &action, &before);
    lp_pool *pool = make(4);
    lp_pool_run(pool, wait_for_signal, NULL);
    lp_pool_destroy(pool);
    sigaction(SIGUSR1, &before, NULL);
    assert_int_equal(handled_by_caller, 1);
}

static void a_thread_that_cannot_be_started_is_an_error_and_leaves_none_behind(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* their shadow memory is above any limit */
#endif
    enum { NO_LIMIT = 77 };
    pid_t child = fork(); /* the limit stays in the child */
    assert_true(child >= 0);
    if (child == 0) {
        struct rlimit limit = {256u << 20, 256u << 20}; /* address space for some 20 stacks of 8 MiB */
        setrlimit(RLIMIT_AS, &limit);
        if (mmap(NULL, 512u << 20, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED) _exit(NO_LIMIT);
        lp_pool *pool = (lp_pool *)1;
        lp_status status = lp_pool_create(1000, &pool);
        bool good = status == LP_RESOURCE && pool == NULL && strstr(lp_error(), "could not be started") != NULL;
        good = good && lp_pool_create(3, &pool) == LP_OK; /* the stacks are free again */
        lp_pool_destroy(pool);
        _exit(good ? 0 : 1);
    }
    int result;
    waitpid(child, &result, 0);
    assert_true(WIFEXITED(result));
    if (WEXITSTATUS(result) == NO_LIMIT) skip(); /* qemu-user does not keep it */
    assert_int_equal(WEXITSTATUS(result), 0);
}

static void parts_cover_all_items_in_order_and_differ_by_at_most_one(void **state)
{
    (void)state;
    for (int n_threads = 1; n_threads <= 17; n_threads++) {
        for (int64_t n = 0; n < 60; n++) {
            int64_t expected = 0;
            for (int t = 0; t < n_threads; t++) {
                int64_t first, last;
                lp_pool_part(n, t, n_threads, &first, &last);
                assert_int_equal(first, expected);
                assert_in_range(last - first, n / n_threads, (n + n_threads - 1) / n_threads);
                expected = last;
            }
            assert_int_equal(expected, n);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_thread_runs_once_a_region_and_thread_0_is_the_caller),
        cmocka_unit_test(no_pool_runs_on_the_caller_alone),
        cmocka_unit_test(a_number_of_threads_outside_its_range_is_refused),
        cmocka_unit_test(a_barrier_orders_what_threads_wrote_before_it),
        cmocka_unit_test(seven_threads_pass_20000_barriers_in_seconds_on_any_number_of_processors),
        cmocka_unit_test(parked_threads_wake_for_the_next_region),
        cmocka_unit_test(the_callers_floating_point_environment_is_replaced_and_restored),
        cmocka_unit_test(signals_from_outside_are_left_to_the_callers_threads),
        cmocka_unit_test(a_thread_that_cannot_be_started_is_an_error_and_leaves_none_behind),
        cmocka_unit_test(parts_cover_all_items_in_order_and_differ_by_at_most_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
