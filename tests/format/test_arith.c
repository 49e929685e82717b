/* Emulated arithmetic: vectors of the cards, and exact results in every mode. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <lowp/arith.h>

#include "base/half.h"
#include "base/random.h"
#include "crc32.h"
#include "round_oracle.h"

static lp_element element_of(const char *text)
{
    lp_format *format;
    if (lp_format_parse(text, &format) != LP_OK) fail_msg("%s: %s", text, lp_error());
    lp_element element = format->element;
    lp_format_free(format);
    return element;
}

static uint32_t crc_of_operation(const char *text, lp_operation operation)
{
    static float a[65536], b[65536], y[65536];
    static uint8_t codes[65536];
    lp_element e = element_of(text);
    int n_codes = 1 << e.bits, n = n_codes * n_codes;
    for (int i = 0; i < n; i++) {
        a[i] = (float)lp_element_value(&e, (uint32_t)(i / n_codes));
        b[i] = (float)lp_element_value(&e, (uint32_t)(i % n_codes));
    }
    assert_int_equal(lp_arith_f32(operation, &e, NULL, a, b, NULL, n, y, NULL), LP_OK);
    lp_rounding none = {0};
    for (int i = 0; i < n; i++) {
        uint8_t code;
        assert_int_equal(lp_round_codes_f32(&e, &none, y + i, 1, &code, NULL), LP_OK);
        codes[i] = code;
    }
    return crc32_of(codes, (size_t)n);
}

static void posit_tables_have_the_checksums_of_the_card(void **state)
{
    (void)state;
    static const struct { const char *text; uint32_t add, mul, div; } rows[] = {
        {"p4.1", 0xa0dbd82a, 0x5d042ed5, 0x4477430f}, {"p8.0", 0x7b1a50cf, 0xe36c8b93, 0x51c2532d},
        {"p8.2", 0x3c0f3cf0, 0xf9c27ad2, 0xb4dcff0d}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(crc_of_operation(rows[i].text, LP_OPERATION_ADD), rows[i].add);
        assert_int_equal(crc_of_operation(rows[i].text, LP_OPERATION_MUL), rows[i].mul);
        assert_int_equal(crc_of_operation(rows[i].text, LP_OPERATION_DIV), rows[i].div);
    }
}

static float dot_of(const char *text, lp_accumulation how, const float *a, const float *b, int n)
{
    lp_element e = element_of(text);
    lp_arith arith = {.accumulation = how, .sum = &e};
    float y;
    if (lp_arith_dot_f32(&arith, a, b, n, &y) != LP_OK) fail_msg("%s", lp_error());
    return y;
}

static void a_quire_keeps_what_rounding_each_step_loses(void **state)
{
    (void)state;
    const float a[3] = {64, 1, -64}, b[3] = {1, 0.5f, 1};
    assert_true(dot_of("p8.0", LP_ACCUMULATE_EXACT, a, b, 3) == 0.5f);
    assert_true(dot_of("p8.0", LP_ACCUMULATE_ROUNDED, a, b, 3) == 0);
    const float c[5] = {1.5f, -3.25f, 64, 1.0f / 64, 7}, d[5] = {2, 0.5f, 64, 1.0f / 64, -3};
    assert_true(dot_of("f32", LP_ACCUMULATE_EXACT, c, d, 5) == 4076.375244140625f);
    assert_true(dot_of("p8.0", LP_ACCUMULATE_EXACT, c, d, 5) == 64);
    assert_true(dot_of("p8.0", LP_ACCUMULATE_ROUNDED, c, d, 5) == 32);
}

static void a_quire_does_not_depend_on_the_order_and_holds_all_of_float32(void **state)
{
    (void)state;
    enum { N = 200 };
    float a[N], b[N], first = 0;
    for (int i = 0; i < N; i++) {
        uint32_t w[4];
        lp_philox((uint32_t[4]){(uint32_t)i, 0, 0, 3}, (uint32_t[2]){1, 2}, w);
        a[i] = lp_f32_from_bits(w[0] & 0xbfffffffu);
        b[i] = lp_f32_from_bits(w[1] & 0xbfffffffu);
    }
    for (int turn = 0; turn < N; turn++) {
        float y = dot_of("f32", LP_ACCUMULATE_EXACT, a, b, N);
        if (turn == 0) first = y;
        assert_true(y == first && isfinite(y));
        float s = a[0], t = b[0];
        memmove(a, a + 1, sizeof a - sizeof *a);
        memmove(b, b + 1, sizeof b - sizeof *b);
        a[N - 1] = s;
        b[N - 1] = t;
    }
    const float big[4] = {3.4028235e38f, 0x1p-149f, -3.4028235e38f, 0}, same[4] = {3.4028235e38f, 0x1p-149f, 3.4028235e38f, 1};
    lp_element f32 = element_of("f32");
    lp_arith arith = {.accumulation = LP_ACCUMULATE_EXACT, .sum = &f32, .rounding = {.mode = LP_ROUND_UP}};
    float y;
    assert_int_equal(lp_arith_dot_f32(&arith, big, same, 4, &y), LP_OK);
    assert_true(y == 0x1p-149f);
    arith.rounding.mode = LP_ROUND_NEAREST_EVEN;
    assert_int_equal(lp_arith_dot_f32(&arith, big, same, 3, &y), LP_OK);
    assert_true(y == 0);
    const float infinite[2] = {INFINITY, -INFINITY}, one[2] = {1, 1};
    assert_int_equal(lp_arith_dot_f32(&arith, infinite, one, 2, &y), LP_OK);
    assert_true(y != y);
}

static void harmonic_sums_stop_where_the_pychop_card_says(void **state)
{
    (void)state;
    static const struct { const char *text; int n; float sum; } rows[] = {
        {"f16", 513, 7.0859375f}, {"bf16", 65, 5.0625f}, {"e4m3", 9, 3}, {"e5m2", 5, 2}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lp_element e = element_of(rows[i].text);
        float sum = 0, one = 1, before;
        int n = 0;
        do {
            float divisor = (float)++n, term;
            before = sum;
            assert_int_equal(lp_arith_f32(LP_OPERATION_DIV, &e, NULL, &one, &divisor, NULL, 1, &term, NULL), LP_OK);
            assert_int_equal(lp_arith_f32(LP_OPERATION_ADD, &e, NULL, &sum, &term, NULL, 1, &sum, NULL), LP_OK);
        } while (sum != before);
        assert_int_equal(n, rows[i].n);
        assert_true(sum == rows[i].sum);
    }
}

static void l_mul_gives_the_bits_of_its_card(void **state)
{
    (void)state;
    static const struct { float x, y; uint32_t bits; } rows[] = {
        {1, 1, 0x3f880000}, {1.5f, 1.5f, 0x40080000}, {3, 5, 0x41680000}, {0.1f, 0.2f, 0x3ca1999a}, {-2.5f, 4, 0xc1280000},
        {1.25f, 1.125f, 0x3fb80000}, {1.75f, 1.75f, 0x40480000}, {1e-3f, 1e3f, 0x3f85126f}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        assert_int_equal(lp_f32_bits(lp_l_mul(23, rows[i].x, rows[i].y)), rows[i].bits);
        assert_int_equal(lp_f32_bits(lp_l_mul(23, rows[i].y, rows[i].x)), rows[i].bits);
    }
    assert_true(lp_l_mul(3, 0x1p-100f, 0x1p-100f) == 0 && isinf(lp_l_mul(3, 0x1p100f, -0x1p100f)));
    float zero_times_infinity = lp_l_mul(3, 0, INFINITY);
    assert_true(zero_times_infinity != zero_times_infinity && lp_l_mul(3, 0, 5) == 0 && lp_l_mul(3, 0x1p-130f, 5) == 0);
}

static void l_mul_errs_as_much_as_its_card_measured(void **state)
{
    (void)state;
    static const struct { int m; double bias, mean, rms; } rows[] = {
        {2, .143, .146, .169}, {3, .049, .058, .0695}, {4, .0485, .053, .061}, {5, .004, .027, .032}, {10, .004, .0266, .031}};
    enum { N = 200000 };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double bias = 0, mean = 0, square = 0;
        for (uint32_t k = 0; k < N; k++) {
            uint32_t w[4];
            lp_philox((uint32_t[4]){k, 1, 2, 3}, (uint32_t[2]){4, 5}, w);
            float x = lp_f32_from_bits(0x3f800000u | w[0] >> 9), y = lp_f32_from_bits(0x3f800000u | w[1] >> 9);
            double error = (double)lp_l_mul(rows[i].m, x, y) / ((double)x * (double)y) - 1;
            bias += error;
            mean += fabs(error);
            square += error * error;
        }
        assert_true(fabs(bias / N - rows[i].bias) < 0.001);
        assert_true(fabs(mean / N - rows[i].mean) < 0.001);
        assert_true(fabs(sqrt(square / N) - rows[i].rms) < 0.001);
    }
}

/* x op y lies at a tie or just beside it in the element, which float64 alone cannot tell. */
static void results_are_rounded_once_in_every_mode(void **state)
{
    (void)state;
    static const char *const texts[] = {"bf16", "f16", "e4m3", "e8m22ieee", "p16.1", "q3.4"};
    const float one = 1, tiny[] = {0x1p-140f, -0x1p-140f, 0x1p-60f, -0x1p-60f, 0};
    for (size_t t = 0; t < sizeof texts / sizeof *texts; t++) {
        lp_element e = element_of(texts[t]);
        for (int m = 0; m < LP_ROUND_STOCHASTIC; m++)
            for (int k = 0; k < 5; k++) {
                lp_rounding r = {.mode = (lp_rounding_mode)m};
                float y;
                double near = 1 + (tiny[k] > 0 ? 0x1p-52 : tiny[k] < 0 ? -0x1p-53 : 0), expected;
                assert_int_equal(lp_arith_f32(LP_OPERATION_ADD, &e, &r, &one, tiny + k, NULL, 1, &y, NULL), LP_OK);
                assert_int_equal(lp_round_f64(&e, &r, &near, 1, &expected, NULL), LP_OK);
                assert_true((double)y == expected);
                /* fma: (1 + 2^-p)(1) + tiny: a tie between 1 and its successor, moved by what is far below */
                float tie = 1 + (e.kind == LP_ELEMENT_FLOAT ? ldexpf(1, -e.mantissa - 1) : e.kind == LP_ELEMENT_FIXED ? 0x1p-5f : 0x1p-13f);
                near = (double)tie + (tiny[k] > 0 ? 0x1p-52 : tiny[k] < 0 ? -0x1p-52 : 0);
                assert_int_equal(lp_arith_f32(LP_OPERATION_FMA, &e, &r, &tie, &one, tiny + k, 1, &y, NULL), LP_OK);
                assert_int_equal(lp_round_f64(&e, &r, &near, 1, &expected, NULL), LP_OK);
                assert_true((double)y == expected);
            }
        float third, a = 1, b = 3, two = 2, root, back;
        lp_rounding down = {.mode = LP_ROUND_DOWN}, up = {.mode = LP_ROUND_UP};
        assert_int_equal(lp_arith_f32(LP_OPERATION_DIV, &e, &down, &a, &b, NULL, 1, &third, NULL), LP_OK);
        assert_int_equal(lp_arith_f32(LP_OPERATION_DIV, &e, &up, &a, &b, NULL, 1, &back, NULL), LP_OK);
        assert_true((double)third < 1.0 / 3 && (double)back > 1.0 / 3);
        assert_int_equal(lp_arith_f32(LP_OPERATION_SQRT, &e, &down, &two, NULL, NULL, 1, &root, NULL), LP_OK);
        assert_int_equal(lp_arith_f32(LP_OPERATION_SQRT, &e, &up, &two, NULL, NULL, 1, &back, NULL), LP_OK);
        assert_true((double)root * (double)root < 2 && (double)back * (double)back > 2);
    }
}

static void products_of_matrices_are_their_dot_products(void **state)
{
    (void)state;
    enum { M = 7, N = 5, K = 33 };
    float a[M * K], b[N * K], y[M * N], again[M * N], one;
    lp_element half = element_of("f16"), e4m3 = element_of("e4m3");
    for (int i = 0; i < M * K; i++) a[i] = (float)(i * 37 % 101 - 50) / 16;
    for (int i = 0; i < N * K; i++) b[i] = (float)(i * 53 % 97 - 48) / 32;
    lp_pool *pool;
    assert_int_equal(lp_pool_create(3, &pool), LP_OK);
    for (int how = 0; how <= LP_ACCUMULATE_EXACT; how++)
        for (int mode = 0; mode < 2; mode++) {
            lp_arith arith = {.accumulation = (lp_accumulation)how, .product = &e4m3, .sum = &half, .l_mul = how != LP_ACCUMULATE_FUSED && mode,
                              .rounding = {.mode = mode ? LP_ROUND_STOCHASTIC : LP_ROUND_NEAREST_EVEN, .seed = 3}};
            assert_int_equal(lp_arith_matmul_f32(&arith, a, b, M, N, K, y, pool), LP_OK);
            assert_int_equal(lp_arith_matmul_f32(&arith, a, b, M, N, K, again, NULL), LP_OK);
            assert_memory_equal(y, again, sizeof y);
            for (int i = 0; i < M * N; i++) {
                arith.rounding.first = (uint64_t)(2 * i * K);
                assert_int_equal(lp_arith_dot_f32(&arith, a + i / N * K, b + i % N * K, K, &one), LP_OK);
                assert_true(one == y[i]);
            }
        }
    lp_arith wrong = {.accumulation = LP_ACCUMULATE_FUSED, .sum = &half, .l_mul = true};
    assert_int_equal(lp_arith_dot_f32(&wrong, a, b, 1, &one), LP_USAGE);
    wrong = (lp_arith){.accumulation = LP_ACCUMULATE_ROUNDED};
    assert_int_equal(lp_arith_dot_f32(&wrong, a, b, 1, &one), LP_USAGE);
    lp_pool_destroy(pool);
}

/* Accumulating many small terms in few bits stagnates; stochastic rounding and wider accumulators do not. */
static void a_wider_or_stochastic_accumulator_beats_a_narrow_one(void **state)
{
    (void)state;
    enum { N = 4096 };
    static float a[N], b[N];
    for (int i = 0; i < N; i++) a[i] = 0.25f, b[i] = 0.125f; /* 128 */
    lp_element bf16 = element_of("bf16"), f32 = element_of("f32");
    lp_arith narrow = {.accumulation = LP_ACCUMULATE_FUSED, .sum = &bf16}, random = narrow, wide = narrow;
    random.rounding = (lp_rounding){.mode = LP_ROUND_STOCHASTIC, .seed = 7};
    wide.sum = &f32;
    float y[3];
    assert_int_equal(lp_arith_dot_f32(&narrow, a, b, N, y), LP_OK);
    assert_int_equal(lp_arith_dot_f32(&random, a, b, N, y + 1), LP_OK);
    assert_int_equal(lp_arith_dot_f32(&wide, a, b, N, y + 2), LP_OK);
    assert_true(y[0] <= 16 && fabsf(y[1] - 128) < 16 && y[2] == 128);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posit_tables_have_the_checksums_of_the_card),
        cmocka_unit_test(a_quire_keeps_what_rounding_each_step_loses),
        cmocka_unit_test(a_quire_does_not_depend_on_the_order_and_holds_all_of_float32),
        cmocka_unit_test(harmonic_sums_stop_where_the_pychop_card_says),
        cmocka_unit_test(l_mul_gives_the_bits_of_its_card),
        cmocka_unit_test(l_mul_errs_as_much_as_its_card_measured),
        cmocka_unit_test(results_are_rounded_once_in_every_mode),
        cmocka_unit_test(products_of_matrices_are_their_dot_products),
        cmocka_unit_test(a_wider_or_stochastic_accumulator_beats_a_narrow_one),
    };
    return cmocka_run_group_tests_name("format arithmetic", tests, NULL, NULL);
}
