/* Errors in ulps against MPFR. */
#ifndef LP_TESTS_FUNCTION_REFERENCE_H
#define LP_TESTS_FUNCTION_REFERENCE_H

#include <math.h>
#include <mpfr.h>

typedef int (*mpfr_function)(mpfr_t, const mpfr_t, mpfr_rnd_t);

/* |y - f(x)| in units of the last place that a result of n_bits, not below 2^min_exponent, has at f(x). */
static inline double error_in_ulps(mpfr_function f, double x, double y, int n_bits, int min_exponent)
{
    mpfr_t exact_x, t;
    mpfr_init2(exact_x, 53);
    mpfr_init2(t, 140);
    mpfr_set_d(exact_x, x, MPFR_RNDN);
    f(t, exact_x, MPFR_RNDN);
    long exponent = mpfr_zero_p(t) || mpfr_get_exp(t) - n_bits < min_exponent ? min_exponent : mpfr_get_exp(t) - n_bits;
    mpfr_sub_d(t, t, y, MPFR_RNDN);
    mpfr_mul_2si(t, t, -exponent, MPFR_RNDN);
    double error = fabs(mpfr_get_d(t, MPFR_RNDN));
    mpfr_clear(exact_x);
    mpfr_clear(t);
    return error;
}

static inline double error_f64(mpfr_function f, double x, double y) { return error_in_ulps(f, x, y, 53, -1074); }
static inline double error_f32(mpfr_function f, double x, float y) { return error_in_ulps(f, x, (double)y, 24, -149); }

#endif
