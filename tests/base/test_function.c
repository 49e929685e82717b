/* exp, log, sin, cos against MPFR at random arguments and where reductions, poles and subnormals are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/expf.h"
#include "base/function.h"
#include "base/half.h"
#include "base/random.h"
#include "function_reference.h"

enum { N_RANDOM = 60000 };

static double from_bits(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }
static uint64_t bits_of(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }

static uint64_t random_u64(uint64_t i, uint32_t stream)
{
    return (uint64_t)lp_random_word(7, 2 * i, stream, 0, 0, 0) << 32 | lp_random_word(7, 2 * i + 1, stream, 0, 0, 0);
}

static double uniform(uint64_t i, uint32_t stream, double low, double high)
{
    return low + (high - low) * (double)(random_u64(i, stream) >> 11) * 0x1p-53;
}

typedef struct subject {
    double (*ours)(double);
    mpfr_function exact;
    double worst, at;
} subject;

static void try_one(subject *s, double x)
{
    double y = s->ours(x), error = error_f64(s->exact, x, y);
    if (!(error <= s->worst)) { /* NaN too */
        s->worst = error;
        s->at = x;
    }
}

/* x and its neighbours. */
static void try_around(subject *s, double x, int n)
{
    double up = x, down = x;
    try_one(s, x);
    for (int i = 0; i < n; i++) {
        try_one(s, up = nextafter(up, INFINITY));
        try_one(s, down = nextafter(down, -INFINITY));
    }
}

static void assert_within(const subject *s, double bound)
{
    if (!(s->worst <= bound)) fail_msg("%.4f ulp at %a, allowed is %g", s->worst, s->at, bound);
}

static void exp_is_within_one_ulp(void **state)
{
    (void)state;
    subject s = {.ours = lp_exp, .exact = mpfr_exp};
    for (uint64_t i = 0; i < N_RANDOM; i++) {
        try_one(&s, uniform(i, 0, -745.13, 709.78));
        try_one(&s, uniform(i, 1, -1, 1));
        if (i % 4 == 0) try_one(&s, uniform(i, 2, -745.13, -708)); /* subnormal results */
        double tiny = from_bits((random_u64(i, 3) & 0x800fffffffffffffu) | (uint64_t)(900 + i % 128) << 52);
        if (i % 4 == 1) try_one(&s, tiny);
    }
    for (int n = -2149; n <= 2047; n++) { /* where n changes, and where r = 0 */
        double x = n * 0.34657359027997264;
        if (x > -745.1 && x < 709.7) try_around(&s, x, 3);
    }
    assert_within(&s, 0.75); /* 0.73 where the result is subnormal; the header promises 1 */
}

static void exp_has_the_right_ends(void **state)
{
    (void)state;
    const double last_finite = 0x1.62e42fefa39efp+9, last_positive = -0x1.74910d52d3051p+9;
    assert_true(error_f64(mpfr_exp, last_finite, lp_exp(last_finite)) <= 1);
    assert_true(lp_exp(nextafter(last_finite, INFINITY)) == INFINITY);
    assert_true(lp_exp(last_positive) == 0x1p-1074);
    assert_true(bits_of(lp_exp(nextafter(last_positive, -INFINITY))) == 0);
    assert_true(lp_exp(INFINITY) == INFINITY && lp_exp(1e300) == INFINITY);
    assert_true(bits_of(lp_exp(-INFINITY)) == 0 && bits_of(lp_exp(-1e300)) == 0);
    assert_true(lp_exp(0) == 1 && lp_exp(-0.0) == 1);
    assert_true(lp_exp(0x1p-60) == 1 && lp_exp(-0x1p-1074) == 1);
    assert_true(isnan(lp_exp(NAN)));
    mpfr_t x, t; /* the two ends themselves: where the exact value passes 2^-1075 and the last midpoint */
    mpfr_inits2(200, x, t, (mpfr_ptr)0);
    mpfr_set_d(x, last_positive, MPFR_RNDN);
    mpfr_exp(t, x, MPFR_RNDN);
    assert_true(mpfr_cmp_ui_2exp(t, 1, -1075) > 0);
    mpfr_set_d(x, nextafter(last_positive, -INFINITY), MPFR_RNDN);
    mpfr_exp(t, x, MPFR_RNDN);
    assert_true(mpfr_cmp_ui_2exp(t, 1, -1075) < 0);
    mpfr_set_d(x, nextafter(last_finite, INFINITY), MPFR_RNDN);
    mpfr_exp(t, x, MPFR_RNDN);
    assert_true(mpfr_cmp_d(t, 0x1.fffffffffffffp+1023) > 0);
    mpfr_clears(x, t, (mpfr_ptr)0);
}

static void log_is_within_one_ulp(void **state)
{
    (void)state;
    subject s = {.ours = lp_log, .exact = mpfr_log};
    for (uint64_t i = 0; i < N_RANDOM; i++) {
        uint64_t u = random_u64(i, 4) % 0x7ff0000000000000u;
        if (u) try_one(&s, from_bits(u)); /* every exponent, subnormals too */
        try_one(&s, uniform(i, 5, 0.5, 2));
        if (i % 4 == 0) try_one(&s, from_bits(1 + (random_u64(i, 6) & 0x000fffffffffffffu) % 0x000fffffffffffffu));
        if (i % 4 == 1) try_one(&s, 1 + uniform(i, 7, -1, 1) * ldexp(1, -(int)(i / 4 % 50)));
    }
    try_around(&s, nextafter(1, 0), 0);
    for (int k = -1074; k < 1024; k++) { /* powers of two, and sqrt(1/2) times them, where the exponent changes */
        try_around(&s, ldexp(1, k), k > -1000 ? 3 : 0);
        if (k > -1000) try_around(&s, ldexp(0x1.6a09e667f3bcdp-1, k), 3);
    }
    for (int n = 2; n < 2000; n++) try_one(&s, n);
    try_one(&s, 0x1.fffffffffffffp+1023);
    try_one(&s, 0x1p-1074);
    assert_within(&s, 0.65);
}

static void log_has_the_right_ends(void **state)
{
    (void)state;
    assert_true(bits_of(lp_log(1)) == 0);
    assert_true(lp_log(0) == -INFINITY && lp_log(-0.0) == -INFINITY);
    assert_true(lp_log(INFINITY) == INFINITY);
    assert_true(isnan(lp_log(-1)) && isnan(lp_log(-0x1p-1074)) && isnan(lp_log(-INFINITY)) && isnan(lp_log(NAN)));
}

/* Both at the same arguments; the worst cases are next to the multiples of pi/2. */
static void try_angles(subject *s)
{
    for (uint64_t i = 0; i < N_RANDOM; i++) {
        try_one(s, uniform(i, 8, -4, 4));
        try_one(s, uniform(i, 9, -0x1p24, 0x1p24));
        if (i % 4 == 0) try_one(s, (double)(random_u64(i, 10) % 0x1000000)); /* a position at frequency 1 */
        if (i % 4 == 1) try_one(s, ldexp(uniform(i, 11, -1, 1), -(int)(i / 4 % 60)));
        if (i % 4 == 2) try_one(s, uniform(i, 12, -0x1p31, 0x1p31));
    }
    mpfr_t half_pi, t;
    mpfr_inits2(200, half_pi, t, (mpfr_ptr)0);
    mpfr_const_pi(half_pi, MPFR_RNDN);
    mpfr_div_ui(half_pi, half_pi, 4, MPFR_RNDN); /* pi/4: where the quadrant changes, too */
    for (uint64_t i = 0; i < 20000; i++) {
        unsigned long n = i < 5000 ? (unsigned long)i : (unsigned long)(random_u64(i, 13) % 21361414); /* up to 2^24 */
        mpfr_mul_ui(t, half_pi, n, MPFR_RNDN);
        try_around(s, mpfr_get_d(t, MPFR_RNDN), 1);
    }
    mpfr_clears(half_pi, t, (mpfr_ptr)0);
    /* Among all doubles to 2^24, those close to multiples of pi/2 (from the continued fraction of pi/2). */
    static const double close[] = {0x1.921fb54442d18p+0, 0x1.6p+4, 0x1.63p+8, 355, 710, 103993, 104348, 208341, 312689, 833719,
                                   1146408, 4272943, 5419351, 5419351 * 2.0, 0x1p24};
    for (size_t i = 0; i < sizeof close / sizeof *close; i++) {
        try_around(s, close[i], 3);
        try_around(s, -close[i], 3);
    }
}

static void sin_is_within_one_ulp(void **state)
{
    (void)state;
    subject s = {.ours = lp_sin, .exact = mpfr_sin};
    try_angles(&s);
    assert_within(&s, 0.80);
}

static void cos_is_within_one_ulp(void **state)
{
    (void)state;
    subject s = {.ours = lp_cos, .exact = mpfr_cos};
    try_angles(&s);
    assert_within(&s, 0.80);
}

static void sin_and_cos_have_their_symmetries_and_ends(void **state)
{
    (void)state;
    assert_true(bits_of(lp_sin(0)) == 0 && bits_of(lp_sin(-0.0)) == bits_of(-0.0));
    assert_true(lp_cos(0) == 1 && lp_cos(-0.0) == 1);
    assert_true(lp_sin(0x1p-1074) == 0x1p-1074 && lp_cos(0x1p-1074) == 1);
    for (uint64_t i = 0; i < 20000; i++) {
        double x = uniform(i, 14, 0, 0x1p24);
        assert_true(bits_of(lp_sin(-x)) == bits_of(-lp_sin(x)));
        assert_true(bits_of(lp_cos(-x)) == bits_of(lp_cos(x)));
        assert_true(fabs(lp_sin(x)) <= 1 && fabs(lp_cos(x)) <= 1);
    }
    assert_true(isnan(lp_sin(INFINITY)) && isnan(lp_cos(-INFINITY)) && isnan(lp_sin(NAN)) && isnan(lp_cos(NAN)));
    assert_true(isnan(lp_sin(0x1p32)) && isnan(lp_cos(-0x1p40))); /* outside the domain: never imprecise */
    assert_true(error_f64(mpfr_sin, 0x1p31, lp_sin(0x1p31)) <= 1);
}

static void expf_is_within_one_ulp(void **state)
{
    (void)state;
    double worst = 0;
    float at = 0;
    for (uint64_t i = 0; i < 3 * N_RANDOM; i++) {
        double low = i % 3 == 0 ? -103.97 : i % 3 == 1 ? -1 : -103.97, high = i % 3 == 0 ? 88.72 : i % 3 == 1 ? 1 : -87;
        float x = (float)uniform(i, 15, low, high);
        double error = error_f32(mpfr_exp, (double)x, lp_expf(x));
        if (!(error <= worst)) worst = error, at = x;
    }
    if (!(worst <= 1)) fail_msg("%.4f ulp at %a", worst, (double)at);
    assert_true(worst > 0.9); /* the steps are those whose worst is 0.98, not others */
}

static void expf_has_the_right_ends(void **state)
{
    (void)state;
    assert_true(lp_expf(LP_EXPF_MAX) < INFINITY && error_f32(mpfr_exp, (double)LP_EXPF_MAX, lp_expf(LP_EXPF_MAX)) <= 1);
    assert_true(lp_expf(nextafterf(LP_EXPF_MAX, INFINITY)) == INFINITY);
    assert_true(lp_expf(LP_EXPF_MIN) == 0x1p-149f);
    assert_true(lp_f32_bits(lp_expf(nextafterf(LP_EXPF_MIN, -INFINITY))) == 0);
    assert_true(lp_f32_bits(lp_expf(-INFINITY)) == 0 && lp_expf(INFINITY) == INFINITY);
    assert_true(lp_expf(0) == 1 && lp_expf(-0.0f) == 1);
    assert_true(isnan(lp_expf(NAN)));
}

/* The bits, so that a change of the steps, or of a compiler, is seen on every machine. */
static void the_bits_of_all_functions_are_those_of_the_first_version(void **state)
{
    (void)state;
    uint32_t hash = 0x811c9dc5u;
    for (uint64_t i = 0; i < 20000; i++) {
        float e = lp_expf((float)uniform(i, 16, -104, 89)), silu = lp_siluf((float)uniform(i, 17, -100, 100));
        uint64_t word[5] = {(uint64_t)lp_f32_bits(e) << 32 | lp_f32_bits(silu), bits_of(lp_exp(uniform(i, 18, -746, 710))),
                            bits_of(lp_log(uniform(i, 19, 0, 100))), bits_of(lp_sin(uniform(i, 20, -1e5, 1e5))),
                            bits_of(lp_cos(uniform(i, 21, -1e5, 1e5)))};
        for (size_t j = 0; j < sizeof word; j++) hash = (hash ^ ((const uint8_t *)word)[j]) * 0x01000193u;
    }
    assert_int_equal(hash, 0x11e223a1);
}

static void silu_rounds_every_operation(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        float z = (float)uniform(i, 22, -90, 90);
        volatile float e = lp_expf(-z), d = 1 + e, q = z / d;
        assert_int_equal(lp_f32_bits(lp_siluf(z)), lp_f32_bits(q));
    }
    assert_true(lp_siluf(0) == 0 && lp_siluf(100) == 100);
    assert_true(lp_f32_bits(lp_siluf(-200)) == 0x80000000u);
}

static void tanhf_is_within_two_ulp_and_odd(void **state)
{
    (void)state;
    double worst = 0;
    float at = 0;
    for (uint64_t i = 0; i < 3 * N_RANDOM; i++) {
        float x = i % 3 == 0 ? (float)uniform(i, 23, -10, 10) : i % 3 == 1 ? (float)uniform(i, 24, 0.74, 0.76)
                                                             : (float)ldexp(uniform(i, 24, -1, 1), -(int)(i / 3 % 120));
        if (x == 0) continue;
        double error = error_f32(mpfr_tanh, (double)x, lp_tanhf(x));
        if (!(error <= worst)) worst = error, at = x;
        assert_int_equal(lp_f32_bits(lp_tanhf(-x)), lp_f32_bits(-lp_tanhf(x)));
    }
    if (!(worst <= 2)) fail_msg("%.4f ulp at %a", worst, (double)at);
    assert_true(worst > 0.9);
    assert_true(lp_tanhf(INFINITY) == 1 && lp_tanhf(-INFINITY) == -1 && lp_tanhf(100) == 1 && isnan(lp_tanhf(NAN)));
    assert_int_equal(lp_f32_bits(lp_tanhf(-0.0f)), 0x80000000u);
    assert_true(lp_tanhf(0x1p-149f) == 0x1p-149f);
}

static void geluf_is_the_tanh_form(void **state)
{
    (void)state;
    mpfr_t z, t, c;
    mpfr_inits2(200, z, t, c, (mpfr_ptr)0);
    for (uint64_t i = 0; i < N_RANDOM; i++) {
        float x = (float)uniform(i, 25, -12, 12);
        mpfr_set_d(z, (double)x, MPFR_RNDN);
        mpfr_pow_ui(t, z, 3, MPFR_RNDN);
        mpfr_set_ui(c, 44715, MPFR_RNDN);
        mpfr_div_ui(c, c, 1000000, MPFR_RNDN);
        mpfr_mul(t, t, c, MPFR_RNDN);
        mpfr_add(t, t, z, MPFR_RNDN);
        mpfr_const_pi(c, MPFR_RNDN);
        mpfr_ui_div(c, 2, c, MPFR_RNDN);
        mpfr_sqrt(c, c, MPFR_RNDN);
        mpfr_mul(t, t, c, MPFR_RNDN);
        mpfr_tanh(t, t, MPFR_RNDN);
        mpfr_add_ui(t, t, 1, MPFR_RNDN);
        mpfr_mul(t, t, z, MPFR_RNDN);
        mpfr_div_ui(t, t, 2, MPFR_RNDN);
        double error = fabs((double)lp_geluf(x) - mpfr_get_d(t, MPFR_RNDN)), bound = 0x1p-22 * (fabsf(x) > 1 ? fabs((double)x) : 1);
        if (!(error <= bound)) fail_msg("gelu(%a): error %g", (double)x, error);
    }
    mpfr_clears(z, t, c, (mpfr_ptr)0);
    assert_true(lp_geluf(0) == 0 && lp_geluf(1e30f) == 1e30f && lp_geluf(-1e30f) == 0 && isnan(lp_geluf(NAN)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exp_is_within_one_ulp),
        cmocka_unit_test(exp_has_the_right_ends),
        cmocka_unit_test(log_is_within_one_ulp),
        cmocka_unit_test(log_has_the_right_ends),
        cmocka_unit_test(sin_is_within_one_ulp),
        cmocka_unit_test(cos_is_within_one_ulp),
        cmocka_unit_test(sin_and_cos_have_their_symmetries_and_ends),
        cmocka_unit_test(expf_is_within_one_ulp),
        cmocka_unit_test(expf_has_the_right_ends),
        cmocka_unit_test(the_bits_of_all_functions_are_those_of_the_first_version),
        cmocka_unit_test(silu_rounds_every_operation),
        cmocka_unit_test(tanhf_is_within_two_ulp_and_odd),
        cmocka_unit_test(geluf_is_the_tanh_form),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
