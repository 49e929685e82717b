/* 16-bit floats: every pattern, and every place where rounding decides. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/half.h"
#include "half_reference.h"

static void every_f16_has_the_value_of_its_bits(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        float f = lp_f16_to_f32((uint16_t)h);
        unsigned sign = h & 0x8000, a = h & 0x7fff;
        if (a > F16_INFINITY) assert_int_equal(lp_f32_bits(f), sign << 16 | 0x7fc00000 | (h & 0x3ff) << 13); /* payload, quiet */
        else if (a == F16_INFINITY) assert_true(f == (sign ? -INFINITY : INFINITY));
        else assert_true((double)f == (sign ? -f16_value(a) : f16_value(a)) && !signbit(f) == !sign);
    }
}

static void every_f16_survives_the_way_through_f32(void **state)
{
    (void)state;
    for (unsigned h = 0; h < 65536; h++) {
        unsigned expected = (h & 0x7fff) > F16_INFINITY ? h | 0x200 : h; /* NaN becomes quiet */
        assert_int_equal(lp_f16_from_f32(lp_f16_to_f32((uint16_t)h)), expected);
    }
}

static void check_f16(uint32_t bits, unsigned low)
{
    float f = lp_f32_from_bits(bits);
    unsigned expected = f16_nearest((double)f, low);
    assert_int_equal(lp_f16_from_f32(f), expected);
    assert_int_equal(lp_f16_from_f32(-f), expected | 0x8000);
}

static void f32_to_f16_is_nearest_even_around_every_value_and_midpoint(void **state)
{
    (void)state;
    enum { AROUND = 40 };
    for (unsigned low = 0; low < F16_INFINITY; low++) {
        uint32_t first = lp_f32_bits((float)f16_value(low)), last = lp_f32_bits((float)f16_value(low + 1));
        uint32_t middle = lp_f32_bits((float)((f16_value(low) + f16_value(low + 1)) / 2));
        for (uint32_t i = 0; i <= AROUND; i++) {
            if (first + i <= last) check_f16(first + i, low);
            if (last - i >= first) check_f16(last - i, low);
            if (middle - i >= first) check_f16(middle - i, low);
            if (middle + i <= last) check_f16(middle + i, low);
        }
    }
}

static void f32_to_f16_overflows_to_infinity_and_keeps_nan(void **state)
{
    (void)state;
    assert_int_equal(lp_f16_from_f32(65504), 0x7bff);
    assert_int_equal(lp_f16_from_f32(0x1.ffdffep15f), 0x7bff); /* the last below the midpoint 65520 */
    assert_int_equal(lp_f16_from_f32(65520), 0x7c00);
    assert_int_equal(lp_f16_from_f32(-0x1p16f), 0xfc00);
    assert_int_equal(lp_f16_from_f32(0x1.fffffep127f), 0x7c00);
    assert_int_equal(lp_f16_from_f32(-INFINITY), 0xfc00);
    assert_int_equal(lp_f16_from_f32(-0.0f), 0x8000);
    assert_int_equal(lp_f16_from_f32(0x1p-149f), 0);
    static const uint32_t nan[] = {0x7fc00000, 0xffc00000, 0x7f800001, 0xff800001, 0x7fffffff, 0xffbfffff, 0x7f802000};
    for (size_t i = 0; i < sizeof nan / sizeof *nan; i++) {
        unsigned h = lp_f16_from_f32(lp_f32_from_bits(nan[i]));
        assert_true((h & 0x7e00) == 0x7e00);
        assert_int_equal(h >> 15, nan[i] >> 31);
    }
}

/* From the definition: the two neighbours are the upper halves; the distance decides. */
static unsigned bf16_reference(uint32_t u)
{
    uint32_t low = u & 0xffff0000u, distance = u & 0xffffu;
    bool up = distance > 0x8000u || (distance == 0x8000u && (low >> 16 & 1));
    return (low >> 16) + (up ? 1 : 0);
}

static void bf16_is_the_upper_half_and_rounds_nearest_even(void **state)
{
    (void)state;
    for (unsigned b = 0; b < 65536; b++) {
        assert_int_equal(lp_f32_bits(lp_bf16_to_f32((uint16_t)b)), b << 16);
        bool is_nan = (b & 0x7f80) == 0x7f80 && (b & 0x7f);
        assert_int_equal(lp_bf16_from_f32(lp_bf16_to_f32((uint16_t)b)), is_nan ? b | 0x40 : b);
        static const uint32_t low[] = {0, 1, 2, 0x7ffe, 0x7fff, 0x8000, 0x8001, 0x8002, 0xfffe, 0xffff};
        for (size_t i = 0; i < sizeof low / sizeof *low; i++) {
            uint32_t u = b << 16 | low[i];
            unsigned rounded = lp_bf16_from_f32(lp_f32_from_bits(u));
            if ((u & 0x7fffffff) > 0x7f800000) assert_int_equal(rounded & 0xffc0, b >> 15 ? 0xffc0 : 0x7fc0); /* quiet, sign kept */
            else assert_int_equal(rounded, bf16_reference(u));
        }
    }
    assert_int_equal(lp_bf16_from_f32(0x1.fffffep127f), 0x7f80);
}

static void unaligned_numbers_are_read_in_little_endian_order(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0xff, 1, 2, 3, 4, 5, 6, 7, 8};
    assert_int_equal(lp_read_u16(bytes + 1), 0x0201);
    assert_int_equal(lp_read_u32(bytes + 1), 0x04030201);
    assert_true(lp_read_u64(bytes + 1) == 0x0807060504030201);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_f16_has_the_value_of_its_bits),
        cmocka_unit_test(every_f16_survives_the_way_through_f32),
        cmocka_unit_test(f32_to_f16_is_nearest_even_around_every_value_and_midpoint),
        cmocka_unit_test(f32_to_f16_overflows_to_infinity_and_keeps_nan),
        cmocka_unit_test(bf16_is_the_upper_half_and_rounds_nearest_even),
        cmocka_unit_test(unaligned_numbers_are_read_in_little_endian_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
