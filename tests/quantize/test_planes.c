/* The fitter of formats of our own beside plain rounding, on the same data. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lowp/isa.h>
#include <lowp/quantize.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tensor/row.h"

enum { K = 500, ROWS = 6 }; /* no multiple of any block below but 4 */

static const lp_packing *packing_of(const char *text)
{
    lp_format *format;
    const lp_packing *packing = NULL;
    if (lp_format_parse(text, &format) != LP_OK || lp_packing_create(format, &packing) != LP_OK) fail_msg("%s", lp_error());
    lp_format_free(format);
    return packing;
}

/* Weights as a trained model has them: bell-shaped, a few large. */
static void fill(float *x, int64_t n, uint32_t seed)
{
    for (int64_t i = 0; i < n; i++) {
        float sum = 0;
        for (int j = 0; j < 6; j++) sum += (float)((seed = seed * 1664525u + 1013904223u) >> 8) * 0x1p-24f - 0.5f;
        x[i] = 0.02f * sum * (seed % 50 == 0 ? 3.0f : 1.0f);
    }
}

/* Sum w (x - x')^2 of the rows encoded and decoded. */
static double error_of(const lp_packing *packing, lp_search search, const float *x, const float *importance, const float *weight)
{
    uint64_t n_bytes;
    assert_true(lp_packing_tensor_bytes(packing, K, ROWS, &n_bytes));
    uint8_t *bytes = malloc((size_t)n_bytes);
    float y[K];
    double error = 0;
    if (lp_encode_rows(packing, search, x, ROWS, K, importance, bytes) != LP_OK) fail_msg("%s: %s", packing->name, lp_error());
    lp_tensor t = {.name = "w", .n_dims = 2, .dim = {K, ROWS, 1, 1}, .packing = packing, .data = bytes, .n_bytes = (size_t)n_bytes};
    for (int64_t r = 0; r < ROWS; r++) {
        lp_tensor_decode_row(&t, r, y);
        for (int64_t i = 0; i < K; i++) {
            double d = (double)x[r * K + i] - (double)y[i];
            error += (weight ? (double)weight[i] : 1.0) * d * d;
        }
    }
    free(bytes);
    return error;
}

static const char *const formats[] = {"i4:128:f16", "i3:32:f16", "nf4:64:f32", "e2m1:16:e4m3:f32", "e2m1:32:e8m0", "u5:32:f16+min", "u4:128:f16+zero",
                                      "i4:16:(i6:16:f16)", "iq4nl:16:(i6:16:f16)", "u4:32:(u6:8:f16)-min(u6:8:f16)", "b2:64:f16", "t:64:f16",
                                      "i8:row:f32", "{-9,-5,-2,0,1,4,8}:32:f16"};
enum { N_FORMATS = sizeof formats / sizeof *formats };

static void the_fitted_error_is_below_that_of_covering_scales(void **state)
{
    (void)state;
    float x[ROWS * K];
    fill(x, ROWS * K, 1);
    for (int f = 0; f < N_FORMATS; f++) {
        const lp_packing *packing = packing_of(formats[f]);
        double plain = error_of(packing, LP_SEARCH_RTN, x, NULL, NULL), fitted = error_of(packing, LP_SEARCH_REFERENCE, x, NULL, NULL);
        printf("# %-34s rms error %.3f %% of plain rounding's\n", formats[f], 100 * sqrt(fitted / plain));
        if (!(fitted < 0.995 * plain)) fail_msg("%s: %g is not below %g", formats[f], fitted, plain);
        lp_packing_free(packing);
    }
}

static void importance_lowers_the_error_of_what_matters(void **state)
{
    (void)state;
    float x[ROWS * K], w[K];
    fill(x, ROWS * K, 2);
    for (int i = 0; i < K; i++) w[i] = i % 7 == 0 ? 20.0f : 0.1f;
    for (int f = 0; f < N_FORMATS; f++) {
        const lp_packing *packing = packing_of(formats[f]);
        double without = error_of(packing, LP_SEARCH_REFERENCE, x, NULL, w), with = error_of(packing, LP_SEARCH_REFERENCE, x, w, w);
        if (!(with <= without)) fail_msg("%s: %g is not below %g", formats[f], with, without);
        lp_packing_free(packing);
    }
}

static void values_of_the_grid_come_back(void **state)
{
    (void)state;
    static const char *const exact[] = {"i4:128:f16", "i4:32:bf16", "i5:row:f32"};
    float x[ROWS * K];
    for (int i = 0; i < ROWS * K; i++) x[i] = (float)(i * 7 % 15 - 7) * 0.25f;
    for (size_t f = 0; f < sizeof exact / sizeof *exact; f++) {
        const lp_packing *packing = packing_of(exact[f]);
        double relative = error_of(packing, LP_SEARCH_REFERENCE, x, NULL, NULL) / (ROWS * K * 1.2); /* scales have 11 bits */
        if (!(relative < 1e-5)) fail_msg("%s: %g", exact[f], relative);
        lp_packing_free(packing);
    }
}

static void rows_of_zeros_stay_zeros(void **state)
{
    (void)state;
    float x[ROWS * K] = {0};
    for (int f = 0; f < N_FORMATS; f++) {
        if (formats[f][0] == 'b') continue; /* has no zero */
        const lp_packing *packing = packing_of(formats[f]);
        assert_true(error_of(packing, LP_SEARCH_REFERENCE, x, NULL, NULL) < 1e-12);
        assert_true(error_of(packing, LP_SEARCH_RTN, x, NULL, NULL) < 1e-12);
        lp_packing_free(packing);
    }
}

static void a_scale_beyond_its_format_is_an_error_that_names_the_place(void **state)
{
    (void)state;
    float x[ROWS * K];
    fill(x, ROWS * K, 3);
    x[2 * K + 140] = 3e6f;
    uint64_t n_bytes;
    const lp_packing *packing = packing_of("i4:128:f16");
    assert_true(lp_packing_tensor_bytes(packing, K, ROWS, &n_bytes));
    uint8_t *bytes = malloc((size_t)n_bytes);
    assert_int_equal(lp_encode_rows(packing, LP_SEARCH_RTN, x, ROWS, K, NULL, bytes), LP_INPUT);
    assert_non_null(strstr(lp_error(), "row 2, column 128"));
    x[2 * K + 140] = NAN;
    assert_int_equal(lp_encode_rows(packing, LP_SEARCH_REFERENCE, x, ROWS, K, NULL, bytes), LP_INPUT);
    assert_non_null(strstr(lp_error(), "row 2, column 140"));
    free(bytes);
    lp_packing_free(packing);
}

static void the_fitted_bytes_do_not_depend_on_the_instruction_set(void **state)
{
    (void)state;
    lp_isa before = lp_isa_current();
    float x[ROWS * K], importance[K];
    fill(x, ROWS * K, 5);
    for (int i = 0; i < K; i++) importance[i] = (float)(1 + i % 7);
    for (int f = 0; f < N_FORMATS; f++) {
        const lp_packing *packing = packing_of(formats[f]);
        uint64_t n_bytes;
        assert_true(lp_packing_tensor_bytes(packing, K, ROWS, &n_bytes));
        uint8_t *first = malloc((size_t)n_bytes), *bytes = malloc((size_t)n_bytes);
        for (int isa = 0, n_runs = 0; isa < 8; isa++) {
            if (lp_isa_select(lp_isa_name((lp_isa)isa)) != LP_OK) continue;
            assert_int_equal(lp_encode_rows(packing, LP_SEARCH_REFERENCE, x, ROWS, K, importance, n_runs ? bytes : first), LP_OK);
            if (n_runs++) assert_memory_equal(bytes, first, (size_t)n_bytes);
        }
        free(first), free(bytes);
        lp_packing_free(packing);
    }
    assert_int_equal(lp_isa_select(lp_isa_name(before)), LP_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_fitted_error_is_below_that_of_covering_scales),
        cmocka_unit_test(importance_lowers_the_error_of_what_matters),
        cmocka_unit_test(values_of_the_grid_come_back),
        cmocka_unit_test(rows_of_zeros_stay_zeros),
        cmocka_unit_test(a_scale_beyond_its_format_is_an_error_that_names_the_place),
        cmocka_unit_test(the_fitted_bytes_do_not_depend_on_the_instruction_set),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
