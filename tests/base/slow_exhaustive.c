/* Every float32: exp against MPFR, f32 to f16 against the definition. A minute or two on two cores; not in the default
 * tests (meson test --suite slow). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/expf.h"
#include "base/function.h"
#include "base/half.h"
#include "function_reference.h"
#include "half_reference.h"
#include <lowp/pool.h>

typedef struct exp_search {
    double worst[1024]; /* per thread */
    _Atomic uint64_t n_beyond;
} exp_search;

/* libm's exp in float64 is within 2^-52 of the truth, 2^-28 of an ulp of float32: it finds the arguments that MPFR has
 * to decide. */
static void search_exp(void *context, int thread, int n_threads)
{
    exp_search *search = context;
    int64_t first, last;
    lp_pool_part(INT64_C(1) << 32, thread, n_threads, &first, &last);
    double worst = 0;
    for (int64_t i = first; i < last; i++) {
        float x = lp_f32_from_bits((uint32_t)i), y = lp_expf(x);
        if (!(x >= LP_EXPF_MIN && x <= LP_EXPF_MAX)) {
            bool good = x != x ? y != y : lp_f32_bits(y) == (x > 0 ? 0x7f800000u : 0);
            if (!good) atomic_fetch_add(&search->n_beyond, 1);
            continue;
        }
        double t = exp((double)x);
        double ulp = t < 0x1p-126 ? 0x1p-149 : ldexp(1, ilogb(t) - 23), error = fabs((double)y - t) / ulp;
        if (error > 0.97 && error > worst - 1e-6) error = error_f32(mpfr_exp, (double)x, y);
        if (!(error <= worst)) worst = error;
        if (!(error <= 1)) atomic_fetch_add(&search->n_beyond, 1);
    }
    search->worst[thread] = worst;
    mpfr_free_cache();
}

static void expf_is_within_one_ulp_for_every_float(void **state)
{
    (void)state;
    lp_pool *pool;
    assert_int_equal(lp_pool_create(0, &pool), LP_OK);
    exp_search *search = calloc(1, sizeof *search);
    lp_pool_run(pool, search_exp, search);
    double worst = 0;
    for (int t = 0; t < lp_pool_threads(pool); t++)
        if (search->worst[t] > worst) worst = search->worst[t];
    print_message("worst error of lp_expf: %.6f ulp\n", worst);
    assert_int_equal(search->n_beyond, 0);
    free(search);
    lp_pool_destroy(pool);
}

static void check_halves(void *context, int thread, int n_threads)
{
    _Atomic uint64_t *n_wrong = context;
    int64_t first, last;
    lp_pool_part(F16_INFINITY, thread, n_threads, &first, &last);
    for (unsigned low = (unsigned)first; low < (unsigned)last; low++) { /* all floats from one f16 to the next */
        double middle = (f16_value(low) + f16_value(low + 1)) / 2;
        uint32_t end = lp_f32_bits((float)f16_value(low + 1));
        for (uint32_t u = lp_f32_bits((float)f16_value(low)); u < end; u++) {
            double v = (double)lp_f32_from_bits(u);
            unsigned expected = v < middle || (v == middle && low % 2 == 0) ? low : low + 1;
            if (lp_f16_from_f32(lp_f32_from_bits(u)) != expected || lp_f16_from_f32(lp_f32_from_bits(u | 0x80000000u)) != (expected | 0x8000))
                atomic_fetch_add(n_wrong, 1);
        }
    }
    if (thread == 0)
        for (uint32_t u = lp_f32_bits(0x1p16f); u <= 0x7f800000u; u++)
            if (lp_f16_from_f32(lp_f32_from_bits(u)) != 0x7c00) atomic_fetch_add(n_wrong, 1);
}

static void f32_to_f16_is_nearest_even_for_every_float(void **state)
{
    (void)state;
    lp_pool *pool;
    assert_int_equal(lp_pool_create(0, &pool), LP_OK);
    _Atomic uint64_t n_wrong = 0;
    lp_pool_run(pool, check_halves, &n_wrong);
    assert_int_equal(n_wrong, 0);
    lp_pool_destroy(pool);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(expf_is_within_one_ulp_for_every_float),
        cmocka_unit_test(f32_to_f16_is_nearest_even_for_every_float),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
