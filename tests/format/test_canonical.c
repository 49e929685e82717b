/* Formats of our own as planes: where bytes lie and what they mean, read here by a second, plain reader. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/half.h"
#include "format/rows.h"
#include "tensor/row.h"

static const lp_packing *packing_of(const char *text)
{
    lp_format *format;
    const lp_packing *packing = NULL;
    if (lp_format_parse(text, &format) != LP_OK || lp_packing_create(format, &packing) != LP_OK) fail_msg("%s", lp_error());
    lp_format_free(format);
    return packing;
}

static uint32_t bits_at(const uint8_t *row, int64_t i, int bits)
{
    uint32_t code = 0;
    for (int b = 0; b < bits; b++) code |= (uint32_t)(row[(i * bits + b) / 8] >> (i * bits + b) % 8 & 1) << b;
    return code;
}

static uint8_t *random_bytes(size_t n, uint32_t seed)
{
    uint8_t *p = malloc(n + 1);
    for (size_t i = 0; i < n; i++) p[i] = (uint8_t)((seed = seed * 1664525u + 1013904223u) >> 24) & 0xbf; /* halves below 2 */
    return p;
}

static void planes_follow_each_other_at_multiples_of_64(void **state)
{
    (void)state;
    lp_planes p;
    const lp_packing *packing = packing_of("u4:16:(u6:8:f16)-min(u6:8:f16)");
    assert_true(lp_packing_planes(packing, 300, 3, &p));
    const size_t rows[] = {150, 15, 6, 15, 6}; /* 300 codes of 4 bits; 19 blocks, 6 bits each; 3 halves; the offsets alike */
    assert_int_equal(p.n, 5);
    size_t at = 0;
    for (int i = 0; i < 5; i++) {
        at = (at + 63) / 64 * 64;
        assert_int_equal(p.offset[i], at);
        assert_int_equal(p.row_bytes[i], rows[i]);
        at += 3 * rows[i];
    }
    assert_int_equal(p.n_bytes, at);
    uint64_t n;
    assert_true(lp_packing_tensor_bytes(packing, 300, 3, &n));
    assert_int_equal(n, at);
    assert_false(lp_packing_tensor_bytes(packing, INT64_MAX / 2, 3, &n));
    assert_false(lp_packing_tensor_bytes(packing, INT64_MAX / 5, INT64_MAX / 2, &n));
    assert_false(lp_packing_tensor_bytes(packing, -1, 3, &n));
    assert_true(lp_packing_tensor_bytes(packing, 0, 3, &n) && n == 0);
    lp_packing_free(packing);
}

static void integers_with_a_half_per_block_decode_by_their_formula(void **state)
{
    (void)state;
    enum { K = 77, ROWS = 3, BLOCK = 12 }; /* seven blocks, the last of five */
    for (int bits = 2; bits <= 8; bits++) {
        char text[32];
        lp_planes p;
        snprintf(text, sizeof text, "i%d:%d:f16", bits, BLOCK);
        const lp_packing *packing = packing_of(text);
        assert_true(lp_packing_planes(packing, K, ROWS, &p));
        uint8_t *bytes = random_bytes(p.n_bytes, (uint32_t)bits);
        lp_tensor t = {.name = "w", .n_dims = 2, .dim = {K, ROWS, 1, 1}, .packing = packing, .data = bytes, .n_bytes = p.n_bytes};
        for (int64_t r = 0; r < ROWS; r++) {
            float y[K], part[9];
            lp_tensor_decode_row(&t, r, y);
            lp_tensor_decode(&t, r, 61, 9, part);
            for (int64_t i = 0; i < K; i++) {
                int code = (int)bits_at(bytes + p.offset[0] + (size_t)r * p.row_bytes[0], i, bits);
                float q = (float)(code - (code >> (bits - 1) ? 1 << bits : 0));
                float s = lp_f16_to_f32(lp_read_u16(bytes + p.offset[1] + (size_t)(r * 7 + i / BLOCK) * 2));
                assert_int_equal(lp_f32_bits(y[i]), lp_f32_bits(s * q));
                if (i >= 61 && i < 70) assert_int_equal(lp_f32_bits(part[i - 61]), lp_f32_bits(y[i]));
            }
        }
        free(bytes);
        lp_packing_free(packing);
    }
}

static void scales_of_scales_and_the_tensors_scale_multiply_outer_first(void **state)
{
    (void)state;
    enum { K = 600 };
    lp_planes p;
    const lp_packing *packing = packing_of("iq4nl:16:(i6:16:f16)");
    assert_true(lp_packing_planes(packing, K, 1, &p));
    uint8_t *bytes = random_bytes(p.n_bytes, 5);
    lp_row row = lp_planes_row(&p, bytes, 0);
    float y[K];
    lp_row_decode(packing, &row, K, 0, K, y);
    static const float iq4nl[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};
    for (int64_t i = 0; i < K; i++) {
        int sub = (int)bits_at(row.plane[1], i / 16, 6);
        float d = lp_f16_to_f32(lp_read_u16(row.plane[2] + i / 256 * 2)), s = (float)(sub - (sub >> 5 ? 64 : 0)) * d;
        assert_int_equal(lp_f32_bits(y[i]), lp_f32_bits(s * iq4nl[bits_at(row.plane[0], i, 4)]));
    }
    free(bytes);
    lp_packing_free(packing);

    packing = packing_of("i4:16:e4m3:f32");
    assert_true(lp_packing_planes(packing, K, 2, &p));
    bytes = random_bytes(p.n_bytes, 6);
    float outer = 0.37f;
    memcpy(bytes + p.offset[2], &outer, 4);
    assert_int_equal(p.row_bytes[2], 0);
    row = lp_planes_row(&p, bytes, 1);
    lp_row_decode(packing, &row, K, 0, K, y);
    lp_format *e4m3;
    assert_int_equal(lp_format_parse("e4m3", &e4m3), LP_OK);
    for (int64_t i = 0; i < K; i++) {
        int code = (int)bits_at(row.plane[0], i, 4);
        float s = outer * (float)lp_element_value(&e4m3->element, row.plane[1][i / 16]);
        assert_int_equal(lp_f32_bits(y[i]), lp_f32_bits(s * (float)(code - (code >> 3 ? 16 : 0))));
    }
    lp_format_free(e4m3);
    free(bytes);
    lp_packing_free(packing);
}

static void offsets_are_added_subtracted_or_taken_from_the_code(void **state)
{
    (void)state;
    static const char *const texts[] = {"u3:8:f16+min", "u3:8:f16-min", "u3:8:f16+zero"};
    enum { K = 20 };
    for (int f = 0; f < 3; f++) {
        lp_planes p;
        const lp_packing *packing = packing_of(texts[f]);
        assert_true(lp_packing_planes(packing, K, 1, &p));
        uint8_t *bytes = random_bytes(p.n_bytes, (uint32_t)f);
        lp_row row = lp_planes_row(&p, bytes, 0);
        float y[K];
        lp_row_decode(packing, &row, K, 0, K, y);
        for (int64_t i = 0; i < K; i++) {
            float q = (float)bits_at(row.plane[0], i, 3), s = lp_f16_to_f32(lp_read_u16(row.plane[1] + i / 8 * 2));
            float m = f == 2 ? (float)bits_at(row.plane[2], i / 8, 3) : lp_f16_to_f32(lp_read_u16(row.plane[2] + i / 8 * 2));
            float product = s * q, expected = f == 0 ? product + m : f == 1 ? product - m : s * (q - m);
            assert_int_equal(lp_f32_bits(y[i]), lp_f32_bits(expected));
        }
        free(bytes);
        lp_packing_free(packing);
    }
}

static void a_view_of_rows_reads_the_same_rows(void **state)
{
    (void)state;
    enum { K = 40, ROWS = 9 };
    static const char *const texts[] = {"u5:32:f16+min", "q8_0"};
    for (int f = 0; f < 2; f++) {
        const lp_packing *packing = lp_packing_by_name(texts[f]) ? lp_packing_by_name(texts[f]) : packing_of(texts[f]);
        int64_t k = packing->format ? K : 64;
        uint64_t n;
        assert_true(lp_packing_tensor_bytes(packing, k, ROWS, &n));
        uint8_t *bytes = random_bytes((size_t)n, 8);
        lp_tensor t = {.name = "w", .n_dims = 3, .dim = {k, 3, 3, 1}, .packing = packing, .data = bytes, .n_bytes = (size_t)n};
        lp_tensor some = lp_tensor_rows_of(&t, 2, 6), fewer = lp_tensor_rows_of(&some, 3, 2);
        assert_int_equal(lp_tensor_rows(&fewer), 2);
        for (int64_t r = 0; r < 2; r++) {
            float a[64], b[64];
            lp_tensor_decode_row(&t, 5 + r, a);
            lp_tensor_decode_row(&fewer, r, b);
            assert_memory_equal(a, b, (size_t)k * sizeof *a);
        }
        free(bytes);
        lp_packing_free(packing);
    }
}

static void a_value_that_is_not_finite_is_found(void **state)
{
    (void)state;
    lp_planes p;
    const lp_packing *packing = packing_of("i4:32:f16");
    assert_true(lp_packing_planes(packing, 100, 2, &p));
    uint8_t *bytes = random_bytes(p.n_bytes, 9);
    for (size_t i = 0; i < p.size[0]; i++) bytes[i] |= 0x11; /* no zeros, which would hide a factor */
    lp_row row = lp_planes_row(&p, bytes, 1);
    assert_int_equal(lp_row_find_nonfinite(packing, &row, 100), -1);
    bytes[p.offset[1] + p.row_bytes[1] + 4] = 0;
    bytes[p.offset[1] + p.row_bytes[1] + 5] = 0x7c;
    assert_int_equal(lp_row_find_nonfinite(packing, &row, 100), 64);
    free(bytes);
    lp_packing_free(packing);
    packing = packing_of("{-1,0,1}:32:f16"); /* code 3 is not in use */
    assert_true(lp_packing_planes(packing, 32, 1, &p));
    bytes = calloc(1, p.n_bytes);
    row = lp_planes_row(&p, bytes, 0);
    assert_int_equal(lp_row_find_nonfinite(packing, &row, 32), -1);
    bytes[1] = 0xc0;
    assert_int_equal(lp_row_find_nonfinite(packing, &row, 32), 7);
    free(bytes);
    lp_packing_free(packing);
}

/* The unit class and its split give what decoding gives: w (value - zero) + o. */
static void units_stand_for_the_decoded_values(void **state)
{
    (void)state;
    static const char *const texts[] = {"b2:32:f16", "t:256:f16", "i7:64:f32", "u4:128:f16+zero", "e2m1:16:e4m3:f32", "e2m3:32:e8m0", "i8:row:f32",
                                        "{-9,-4,-1,0,2,5,11}:32:f16", "u4:32:(u6:8:f16)-min(u6:8:f16)", "q1.6:32:e8m0"};
    enum { K = 416 };
    for (size_t f = 0; f < sizeof texts / sizeof *texts; f++) {
        const lp_packing *packing = packing_of(texts[f]);
        const lp_unit_class *u = lp_packing_units(packing, K);
        assert_non_null(u);
        assert_null(lp_packing_units(packing, K + 8));
        lp_planes p;
        assert_true(lp_packing_planes(packing, K, 1, &p));
        uint8_t *bytes = random_bytes(p.n_bytes, (uint32_t)f);
        if (strcmp(texts[f], "t:256:f16") == 0) memset(bytes, 0x24, p.size[0]); /* no code 3 */
        if (texts[f][0] == '{') memset(bytes, 0x5a, p.size[0]);                  /* no code 7 */
        lp_row row = lp_planes_row(&p, bytes, 0);
        float y[K];
        lp_row_decode(packing, &row, K, 0, K, y);
        for (int64_t first = 0; first < K; first += u->block) {
            lp_split s;
            lp_row_split(packing, &row, K, first, &s);
            for (int64_t i = 0; i < u->block && first + i < K; i++) {
                int64_t n = i / u->unit;
                double q = (u->table ? u->table[s.code[i]] : s.code[i]) - u->zero, o = 0;
                double w = u->scale == LP_SCALE_F16     ? (double)lp_f16_to_f32(s.scale16[n])
                           : u->scale == LP_SCALE_BF16  ? (double)lp_bf16_to_f32(s.scale16[n])
                           : u->scale == LP_SCALE_F32   ? (double)s.scale32[n]
                           : u->scale == LP_SCALE_NONE  ? 1
                           : u->scale == LP_SCALE_BLOCK ? (double)lp_f16_to_f32(s.scale16[0])
                                                        : (double)lp_f16_to_f32(s.scale16[0]) * s.sub[n];
                if (u->row_scale) w *= (double)s.row_scale;
                if (u->offset == LP_OFFSET_KIND_F32) o = (double)s.offset32[n];
                if (u->offset == LP_OFFSET_KIND_SUPER) o = -(double)lp_f16_to_f32(s.offset16[0]) * s.sub_offset[n];
                assert_true(fabs(q) <= u->max_abs);
                double value = w * q + o, size = fabs(w * q) + fabs(o);
                if (!(fabs(value - (double)y[first + i]) <= 3e-7 * size)) fail_msg("%s: column %d", texts[f], (int)(first + i));
            }
        }
        free(bytes);
        lp_packing_free(packing);
    }
}

static void what_integers_cannot_say_has_no_units(void **state)
{
    (void)state;
    static const char *const texts[] = {"nf4:64:f16", "e4m3:128:f32", "i4:12:f16", "i8:row:f32+min", "p8.1:32:f16"};
    for (size_t f = 0; f < sizeof texts / sizeof *texts; f++) {
        const lp_packing *packing = packing_of(texts[f]);
        assert_null(lp_packing_units(packing, 1536));
        lp_packing_free(packing);
    }
}

static void formats_without_planes_are_refused_with_the_reason(void **state)
{
    (void)state;
    static const struct {
        const char *text, *why;
    } cases[] = {{"i4:16x16:f16", "several rows share"}, {"i12:32:f16", "more than 8 bits"}, {"i4", "no scale"},
                 {"q4_0", "byte layout"},                {"i4:32:e8m20", "at most 16 bits"}, {"c2:32:f16", "complex"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lp_format *format;
        const lp_packing *packing;
        assert_int_equal(lp_format_parse(cases[i].text, &format), LP_OK);
        assert_int_equal(lp_packing_create(format, &packing), LP_UNSUPPORTED);
        assert_null(packing);
        assert_non_null(strstr(lp_error(), cases[i].why));
        lp_format_free(format);
    }
}

static void a_written_table_prints_as_it_parses(void **state)
{
    (void)state;
    static const char *const texts[] = {"{-7,-3,-1,0,1,3,7}:32:f16", "{0.1,-2.5,1e-06}:row:f32", "{1,2}:16:({-1,3,5}:8:f16)"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lp_format *a, *b;
        char text[256];
        assert_int_equal(lp_format_parse(texts[i], &a), LP_OK);
        lp_format_print(a, text, sizeof text);
        assert_string_equal(text, texts[i]);
        assert_int_equal(lp_format_parse(text, &b), LP_OK);
        assert_true(lp_format_equal(a, b));
        lp_format_free(a);
        lp_format_free(b);
    }
    static const char *const wrong[] = {"{1}:32:f16", "{1,2:32:f16", "{1,,2}:32:f16", "{}:32:f16", "{1,nan}:32:f16", "{1,-inf}:32:f16", "{1,1e99}:32:f16",
                                        "{0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2,3,4,5,6,7,8,9,0,1,2}:32:f16"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lp_format *f;
        if (lp_format_parse(wrong[i], &f) != LP_USAGE) fail_msg("%s", wrong[i]);
        assert_null(f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(planes_follow_each_other_at_multiples_of_64),
        cmocka_unit_test(integers_with_a_half_per_block_decode_by_their_formula),
        cmocka_unit_test(scales_of_scales_and_the_tensors_scale_multiply_outer_first),
        cmocka_unit_test(offsets_are_added_subtracted_or_taken_from_the_code),
        cmocka_unit_test(a_view_of_rows_reads_the_same_rows),
        cmocka_unit_test(a_value_that_is_not_finite_is_found),
        cmocka_unit_test(units_stand_for_the_decoded_values),
        cmocka_unit_test(what_integers_cannot_say_has_no_units),
        cmocka_unit_test(formats_without_planes_are_refused_with_the_reason),
        cmocka_unit_test(a_written_table_prints_as_it_parses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
