/* The encoders: the reference's bytes, and what must hold for any data. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <lowp/isa.h>
#include <lowp/quantize.h>

#include "data.h"
#include "format/crc32.h"
#include "quantize/encode.h"

enum { K = 512, ROWS = 37, MAX_BYTES = ROWS * K * 4 };

static const struct {
    const char *name;
    uint32_t plain, weighted; /* CRC-32 of the card's row, without and with importance 1 + i mod 7 */
} reference[] = {
    {"q4_0", 0x6edcb1fb, 0xc46a2a03}, {"q4_1", 0x54e26749, 0xaff35dc5}, {"q5_0", 0x6e91aadc, 0xf76d0a4c},
    {"q5_1", 0x42e63057, 0x867e9027}, {"q8_0", 0x76f5277e, 0x76f5277e}, {"mxfp4", 0xa4996ed4, 0xa4996ed4},
    {"q2_k", 0x2809a175, 0x3454b62b}, {"q3_k", 0xf843cdaa, 0x386b72b5}, {"q4_k", 0xc865c74b, 0x890e4ab1},
    {"q5_k", 0xfedef475, 0x28b6461d}, {"q6_k", 0xc6c6e060, 0x950272ff}, {"iq4_nl", 0x6d6af2f1, 0xc4b919ac},
    {"iq4_xs", 0x4ebdf719, 0xe76549a4}, {"nvfp4", 0xb2af2613, 0xb2af2613}, {"tq1_0", 0x05d040d2, 0x05d040d2},
    {"tq2_0", 0x94808f34, 0x94808f34}, {"q1_0", 0x06079bd9, 0x06079bd9}, {"q2_0", 0x02e096d4, 0x02e096d4},
    {"iq3_s", 0xd812c589, 0x4a5ed1b7}, {"iq3_xxs", 0xda953e5b, 0x00d1bd8a}, {"iq2_s", 0xc26a72e3, 0x763dbfa4},
    {"iq2_xs", 0, 0xf63cbb99}, {"iq2_xxs", 0, 0xdb94dab3}, {"iq1_m", 0x966d4a4f, 0xd838949f}, {"iq1_s", 0, 0xb7fd8c62},
};
enum { N_FORMATS = sizeof reference / sizeof reference[0] };

static uint8_t bytes[MAX_BYTES], other[MAX_BYTES];
static float values[ROWS * K], decoded[ROWS * K], again[ROWS * K], importance[K];

static const lp_packing *packing_of(int i)
{
    const lp_packing *packing = lp_packing_by_name(reference[i].name);
    assert_non_null(packing);
    return packing;
}

static void encode(const lp_packing *packing, lp_search search, const float *x, int64_t n_rows, const float *w, void *dst)
{
    lp_status status = lp_encode_rows(packing, search, x, n_rows, K, w, dst);
    if (status != LP_OK) print_error("%s: %s\n", packing->name, lp_error());
    assert_int_equal(status, LP_OK);
}

/* Code books are not rounded to, and some formats need importance. */
static bool can(const lp_packing *packing, lp_search search, const float *w)
{
    return lp_encode_has_search(packing, search) && (w || !lp_encode_needs_importance(packing, search));
}

static void card_importance(void)
{
    for (int i = 0; i < K; i++) importance[i] = (float)(1 + i % 7);
}

/* ---- the reference's bytes --------------------------------------------------------------------------------------- */

static void the_card_s_row_gives_the_reference_s_bytes(void **state)
{
    (void)state;
    card_data(1, 1.0f, K, values);
    assert_int_equal(crc32_of(values, K * 4), 0xa754bf4b);
    for (int i = 0; i < N_FORMATS; i++) {
        const lp_packing *packing = packing_of(i);
        if (!can(packing, LP_SEARCH_REFERENCE, NULL)) continue;
        encode(packing, LP_SEARCH_REFERENCE, values, 1, NULL, bytes);
        uint32_t crc = crc32_of(bytes, lp_packing_row_bytes(packing, K));
        if (crc != reference[i].plain) print_error("%s: %08x\n", packing->name, crc);
        assert_int_equal(crc, reference[i].plain);
    }
}

static void the_card_s_row_with_importance_gives_the_reference_s_bytes(void **state)
{
    (void)state;
    card_data(1, 1.0f, K, values);
    card_importance();
    for (int i = 0; i < N_FORMATS; i++) {
        const lp_packing *packing = packing_of(i);
        encode(packing, LP_SEARCH_REFERENCE, values, 1, importance, bytes);
        uint32_t crc = crc32_of(bytes, lp_packing_row_bytes(packing, K));
        if (crc != reference[i].weighted) print_error("%s: %08x\n", packing->name, crc);
        assert_int_equal(crc, reference[i].weighted);
    }
}

static void assert_hex(const uint8_t *p, const char *hex)
{
    char text[3];
    for (size_t i = 0; hex[2 * i]; i++) {
        snprintf(text, sizeof text, "%02x", p[i]);
        assert_memory_equal(text, hex + 2 * i, 2);
    }
}

static void the_first_block_of_the_card_s_row_has_the_card_s_bytes(void **state)
{
    (void)state;
    card_data(1, 1.0f, K, values);
    static const char *const block[][2] = {
        {"q4_0", "292d77c6d49c7aa0e739aa5e3b95a7d8b108"},
        {"q8_0", "331deee7be3f2881ec0c19672dd0ee0494fee9405515ed1a59b523ccb60d214d3088"},
        {"mxfp4", "7ca95a5d25a32f6ad132c6d41c39504ee0"},
    };
    for (int i = 0; i < 3; i++) {
        encode(lp_packing_by_name(block[i][0]), LP_SEARCH_REFERENCE, values, 1, NULL, bytes);
        assert_hex(bytes, block[i][1]);
    }
}

static void float_formats_round_each_value_to_nearest_even(void **state)
{
    (void)state;
    const float x[4] = {1.00048828125f, 1.00146484375f, -65504.0f, 0x1p-25f}; /* two ties, the largest half, below half the least */
    const uint16_t half[4] = {0x3c00, 0x3c02, 0xfbff, 0x0000};
    assert_int_equal(lp_encode_rows(lp_packing_by_name("f16"), LP_SEARCH_REFERENCE, x, 1, 4, NULL, bytes), LP_OK);
    assert_memory_equal(bytes, half, sizeof half);
    const float y[2] = {1.00390625f, 1.01171875f};
    const uint16_t brain[2] = {0x3f80, 0x3f82};
    assert_int_equal(lp_encode_rows(lp_packing_by_name("bf16"), LP_SEARCH_REFERENCE, y, 1, 2, NULL, bytes), LP_OK);
    assert_memory_equal(bytes, brain, sizeof brain);
    assert_int_equal(lp_encode_rows(lp_packing_by_name("f32"), LP_SEARCH_REFERENCE, y, 2, 1, NULL, bytes), LP_OK);
    assert_memory_equal(bytes, y, sizeof y);
}

/* ---- properties -------------------------------------------------------------------------------------------------- */

static void every_isa_gives_the_same_bytes(void **state)
{
    (void)state;
    card_data(5, 0.05f, ROWS * K, values);
    card_importance();
    for (int i = 0; i < N_FORMATS; i++) {
        const lp_packing *packing = packing_of(i);
        size_t n = lp_packing_row_bytes(packing, K) * ROWS;
        for (int mode = 0; mode < 3; mode++) {
            lp_search search = mode == 2 ? LP_SEARCH_RTN : LP_SEARCH_REFERENCE;
            const float *w = mode == 1 ? importance : NULL;
            if (!can(packing, search, w)) continue;
            assert_int_equal(lp_isa_select("ref"), LP_OK);
            encode(packing, search, values, ROWS, w, bytes);
            for (int isa = 1; isa < LP_ISA_COUNT; isa++) {
                if (!lp_isa_available((lp_isa)isa)) continue;
                assert_int_equal(lp_isa_select(lp_isa_name((lp_isa)isa)), LP_OK);
                encode(packing, search, values, ROWS, w, other);
                assert_memory_equal(bytes, other, n);
            }
        }
    }
    assert_int_equal(lp_isa_select(NULL), LP_OK);
}

static void a_row_s_bytes_do_not_depend_on_its_neighbours(void **state)
{
    (void)state;
    card_data(6, 0.05f, ROWS * K, values);
    card_importance();
    for (int i = 0; i < N_FORMATS; i++) {
        const lp_packing *packing = packing_of(i);
        size_t row = lp_packing_row_bytes(packing, K);
        memset(bytes, 0xa5, sizeof bytes);
        encode(packing, LP_SEARCH_REFERENCE, values, ROWS, importance, bytes);
        assert_int_equal(bytes[row * ROWS], 0xa5); /* nothing behind the last row */
        for (int r = 0; r < ROWS; r++) {
            encode(packing, LP_SEARCH_REFERENCE, values + r * K, 1, importance, other);
            assert_memory_equal(bytes + row * (size_t)r, other, row);
        }
    }
}

static void scaling_by_a_power_of_two_scales_the_values_exactly(void **state)
{
    (void)state;
    card_importance();
    for (int i = 0; i < N_FORMATS; i++) {
        const lp_packing *packing = packing_of(i);
        for (int mode = 0; mode < 3; mode++) {
            lp_search search = mode == 2 ? LP_SEARCH_RTN : LP_SEARCH_REFERENCE;
            const float *w = mode == 1 ? importance : NULL;
            if (!can(packing, search, w)) continue;
            card_data(7, 8.0f, 4 * K, values);
            encode(packing, search, values, 4, w, bytes);
            lp_packing_decode(packing, bytes, 4 * K, decoded);
            for (int j = 0; j < 4 * K; j++) values[j] *= 16.0f;
            encode(packing, search, values, 4, w, bytes);
            lp_packing_decode(packing, bytes, 4 * K, again);
            for (int j = 0; j < 4 * K; j++) assert_true(again[j] == 16.0f * decoded[j]);
        }
    }
}

/* Card imatrix.md, check 5. Factors that are no power of two change the rounding of sums, not the outcome that counts. */
static void importance_counts_only_relative_to_itself(void **state)
{
    (void)state;
    card_data(8, 1.0f, 4 * K, values);
    float weights[K];
    for (int i = 0; i < N_FORMATS; i++) {
        const lp_packing *packing = packing_of(i);
        size_t n = lp_packing_row_bytes(packing, K) * 4;
        for (int j = 0; j < K; j++) weights[j] = 1.0f;
        encode(packing, LP_SEARCH_REFERENCE, values, 4, weights, bytes);
        for (int j = 0; j < K; j++) weights[j] = 0x1p-12f;
        encode(packing, LP_SEARCH_REFERENCE, values, 4, weights, other);
        assert_memory_equal(bytes, other, n);
    }
}

static void zero_rows_decode_to_zeros(void **state)
{
    (void)state;
    memset(values, 0, sizeof values);
    card_importance();
    for (int i = 0; i < N_FORMATS; i++) {
        const lp_packing *packing = packing_of(i);
        for (int mode = 0; mode < 3; mode++) {
            if (!can(packing, mode == 2 ? LP_SEARCH_RTN : LP_SEARCH_REFERENCE, mode == 1 ? importance : NULL)) continue;
            encode(packing, mode == 2 ? LP_SEARCH_RTN : LP_SEARCH_REFERENCE, values, 2, mode == 1 ? importance : NULL, bytes);
            lp_packing_decode(packing, bytes, 2 * K, decoded);
            for (int j = 0; j < 2 * K; j++) assert_true(decoded[j] == 0.0f);
        }
    }
}

/* One scale per block that the extreme value determines. Not so for k-quants: their decoded sub-blocks no longer reach
 * the level that chose the sub-scale. */
static void plain_rounding_of_already_rounded_values_keeps_them(void **state)
{
    (void)state;
    static const char *const names[] = {"q4_0", "q5_0", "q8_0", "iq4_nl", "mxfp4"};
    card_data(9, 2.0f, 16 * K, values);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const lp_packing *packing = lp_packing_by_name(names[i]);
        if (!can(packing, LP_SEARCH_RTN, NULL)) continue;
        encode(packing, LP_SEARCH_RTN, values, 16, NULL, bytes);
        lp_packing_decode(packing, bytes, 16 * K, decoded);
        encode(packing, LP_SEARCH_RTN, decoded, 16, NULL, bytes);
        lp_packing_decode(packing, bytes, 16 * K, again);
        assert_memory_equal(decoded, again, 16 * K * sizeof(float));
    }
}

/* Half a step of the stored scale, and the step that the two-sided range cuts off at its positive end. */
static void plain_rounding_stays_within_a_step(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        float steps, levels;
    } cases[] = {{"q4_0", 1.01f, 8}, {"q5_0", 1.01f, 16}, {"q8_0", 0.51f, 127}};
    card_data(10, 2.0f, 16 * K, values);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const lp_packing *packing = lp_packing_by_name(cases[i].name);
        if (!can(packing, LP_SEARCH_RTN, NULL)) continue;
        encode(packing, LP_SEARCH_RTN, values, 16, NULL, bytes);
        lp_packing_decode(packing, bytes, 16 * K, decoded);
        for (int b = 0; b < 16 * K / 32; b++) {
            float largest = 0;
            for (int j = 0; j < 32; j++) largest = fmaxf(largest, fabsf(values[32 * b + j]));
            for (int j = 0; j < 32; j++)
                assert_true(fabsf(values[32 * b + j] - decoded[32 * b + j]) <= cases[i].steps * largest / cases[i].levels);
        }
    }
}

static double weighted_error(const float *x, const float *y, int64_t n, bool root)
{
    double sum = 0, mean = 0;
    for (int64_t j = 0; j < n; j++) mean += (double)x[j] * x[j] / (double)n;
    for (int64_t j = 0; j < n; j++) {
        double d = (double)x[j] - y[j], w = importance[j % K];
        sum += (root ? w * sqrt(mean + (double)x[j] * x[j]) : w) * d * d;
    }
    return sum;
}

/* Over many blocks, in the weights of the search's own objective. A single block may lose by the rounding of its scale to
 * f16, or in k-quants by that of its sub-scale; q8_0 and mxfp4 have no search. */
static void importance_search_beats_plain_rounding(void **state)
{
    (void)state;
    card_data(11, 0.1f, ROWS * K, values);
    for (int j = 0; j < K; j++) importance[j] = j % 16 == 3 ? 50.0f : 0.5f;
    for (int i = 0; i < N_FORMATS; i++) {
        const lp_packing *packing = packing_of(i);
        bool searched = lp_encode_uses_importance(packing, LP_SEARCH_REFERENCE);
        assert_int_equal(searched, !strstr(" q8_0 mxfp4 nvfp4 tq1_0 tq2_0 q1_0 q2_0 ", packing->name));
        if (!can(packing, LP_SEARCH_RTN, NULL)) continue;
        encode(packing, LP_SEARCH_RTN, values, ROWS, NULL, bytes);
        lp_packing_decode(packing, bytes, ROWS * K, again);
        encode(packing, LP_SEARCH_REFERENCE, values, ROWS, importance, bytes);
        lp_packing_decode(packing, bytes, ROWS * K, decoded);
        bool root = strcmp(packing->name, "q6_k") != 0;
        double with = weighted_error(values, decoded, ROWS * K, root), without = weighted_error(values, again, ROWS * K, root);
        assert_true(searched ? with < 0.9 * without : with <= 1.02 * without);
    }
}

static void a_column_without_importance_does_not_count(void **state)
{
    (void)state;
    card_data(12, 0.1f, 8 * K, values);
    for (int j = 0; j < K; j++) importance[j] = j % 4 == 0 ? 1.0f : 0.0f;
    for (int i = 0; i < N_FORMATS; i++) {
        const lp_packing *packing = packing_of(i);
        encode(packing, LP_SEARCH_REFERENCE, values, 8, importance, bytes);
        lp_packing_decode(packing, bytes, 8 * K, decoded);
        double counted = 0, rest = 0;
        for (int j = 0; j < 8 * K; j++) {
            double d = (double)values[j] - decoded[j];
            if (j % 4 == 0) counted += d * d;
            else rest += d * d / 3;
        }
        if (lp_encode_uses_importance(packing, LP_SEARCH_REFERENCE)) assert_true(counted < 0.95 * rest);
    }
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void values_that_are_not_finite_are_refused_by_row_and_column(void **state)
{
    (void)state;
    card_data(13, 1.0f, 4 * K, values);
    card_importance();
    values[3 * K + 77] = NAN;
    for (int i = 0; i < N_FORMATS; i++) {
        assert_int_equal(lp_encode_rows(packing_of(i), LP_SEARCH_REFERENCE, values, 4, K, importance, bytes), LP_INPUT);
        assert_non_null(strstr(lp_error(), "row 3, column 77"));
    }
    values[3 * K + 77] = 0;
    values[0] = -INFINITY;
    assert_int_equal(lp_encode_rows(lp_packing_by_name("f32"), LP_SEARCH_REFERENCE, values, 4, K, NULL, bytes), LP_INPUT);
    assert_non_null(strstr(lp_error(), "row 0, column 0"));
}

static void scales_that_f16_cannot_hold_are_refused(void **state)
{
    (void)state;
    card_data(14, 1.0f, 20 * K, values);
    for (int j = 0; j < 256; j++) values[18 * K + 256 + j] = (j & 1 ? 1e9f : -1e9f);
    card_importance();
    for (int i = 0; i < N_FORMATS; i++) {
        const lp_packing *packing = packing_of(i);
        for (int mode = 0; mode < 3; mode++) {
            if (!can(packing, mode == 2 ? LP_SEARCH_RTN : LP_SEARCH_REFERENCE, mode == 1 ? importance : NULL)) continue;
            lp_status status = lp_encode_rows(packing, mode == 2 ? LP_SEARCH_RTN : LP_SEARCH_REFERENCE, values, 20, K,
                                              mode == 1 ? importance : NULL, bytes);
            if (!strcmp(packing->name, "mxfp4") || !strcmp(packing->name, "nvfp4")) {
                assert_int_equal(status, LP_OK); /* the one's exponent reaches every float, the other's scale saturates */
                continue;
            }
            if (status != LP_INPUT) print_error("%s, mode %d\n", packing->name, mode);
            assert_int_equal(status, LP_INPUT);
            assert_non_null(strstr(lp_error(), "row 18, columns 256 to "));
        }
    }
    const float large[2] = {0, 65520};
    assert_int_equal(lp_encode_rows(lp_packing_by_name("f16"), LP_SEARCH_REFERENCE, large, 2, 1, NULL, bytes), LP_INPUT);
    assert_non_null(strstr(lp_error(), "row 1, column 0"));
}

static void importance_that_is_no_weight_is_refused(void **state)
{
    (void)state;
    card_data(15, 1.0f, K, values);
    static const float wrong[] = {-1e-9f, NAN, INFINITY};
    for (int i = 0; i < 3; i++) {
        card_importance();
        importance[99] = wrong[i];
        assert_int_equal(lp_encode_rows(lp_packing_by_name("q4_k"), LP_SEARCH_REFERENCE, values, 1, K, importance, bytes), LP_INPUT);
        assert_non_null(strstr(lp_error(), "column 99"));
    }
}

static void rows_that_do_not_fit_and_packings_without_encoder_are_usage_errors(void **state)
{
    (void)state;
    memset(values, 0, sizeof values);
    assert_int_equal(lp_encode_rows(lp_packing_by_name("q4_k"), LP_SEARCH_REFERENCE, values, 1, 288, NULL, bytes), LP_USAGE);
    assert_int_equal(lp_encode_rows(lp_packing_by_name("q4_0"), LP_SEARCH_REFERENCE, values, 1, -32, NULL, bytes), LP_USAGE);
    assert_int_equal(lp_encode_rows(lp_packing_by_name("q8_1"), LP_SEARCH_REFERENCE, values, 1, 256, NULL, bytes), LP_USAGE);
    assert_int_equal(lp_encode_rows(lp_packing_by_name("q4_k"), LP_SEARCH_REFERENCE, values, 0, 256, NULL, bytes), LP_OK);
}

static void a_format_that_needs_importance_says_how_to_get_it(void **state)
{
    (void)state;
    memset(values, 0, sizeof values);
    static const char *const names[] = {"iq1_s", "iq2_xxs", "iq2_xs"};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(lp_encode_rows(lp_packing_by_name(names[i]), LP_SEARCH_REFERENCE, values, 1, K, NULL, bytes), LP_USAGE);
        assert_non_null(strstr(lp_error(), "lowp calibrate"));
    }
}

static void every_packing_that_claims_an_encoder_has_one(void **state)
{
    (void)state;
    memset(values, 0, sizeof values);
    card_importance();
    for (int i = 0; i < lp_packing_count(); i++) {
        const lp_packing *packing = lp_packing_at(i);
        lp_status wanted = packing->can_encode ? LP_OK : LP_USAGE;
        assert_int_equal(lp_encode_rows(packing, LP_SEARCH_REFERENCE, values, 1, K, importance, bytes), wanted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_card_s_row_gives_the_reference_s_bytes),
        cmocka_unit_test(the_card_s_row_with_importance_gives_the_reference_s_bytes),
        cmocka_unit_test(the_first_block_of_the_card_s_row_has_the_card_s_bytes),
        cmocka_unit_test(float_formats_round_each_value_to_nearest_even),
        cmocka_unit_test(every_isa_gives_the_same_bytes),
        cmocka_unit_test(a_row_s_bytes_do_not_depend_on_its_neighbours),
        cmocka_unit_test(scaling_by_a_power_of_two_scales_the_values_exactly),
        cmocka_unit_test(importance_counts_only_relative_to_itself),
        cmocka_unit_test(zero_rows_decode_to_zeros),
        cmocka_unit_test(plain_rounding_of_already_rounded_values_keeps_them),
        cmocka_unit_test(plain_rounding_stays_within_a_step),
        cmocka_unit_test(importance_search_beats_plain_rounding),
        cmocka_unit_test(a_column_without_importance_does_not_count),
        cmocka_unit_test(values_that_are_not_finite_are_refused_by_row_and_column),
        cmocka_unit_test(scales_that_f16_cannot_hold_are_refused),
        cmocka_unit_test(importance_that_is_no_weight_is_refused),
        cmocka_unit_test(rows_that_do_not_fit_and_packings_without_encoder_are_usage_errors),
        cmocka_unit_test(a_format_that_needs_importance_says_how_to_get_it),
        cmocka_unit_test(every_packing_that_claims_an_encoder_has_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
