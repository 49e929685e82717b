/* Formats as data: values of elements, format text, the table of names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <lowp/format.h>

#include "crc32.h"

static lp_format *parsed(const char *text)
{
    lp_format *format;
    if (lp_format_parse(text, &format) != LP_OK) fail_msg("%s: %s", text, lp_error());
    return format;
}

static lp_element element_of(const char *text)
{
    lp_format *format = parsed(text);
    lp_element element = format->element;
    assert_null(format->scale);
    lp_format_free(format);
    return element;
}

/* ---- elements ---- */

static uint32_t table_crc(const char *text, int n_codes)
{
    lp_element element = element_of(text);
    float values[256];
    assert_int_equal(element.n_levels, n_codes);
    for (int c = 0; c < n_codes; c++) values[c] = (float)lp_element_value(&element, (uint32_t)c);
    return crc32_of(values, (size_t)n_codes * sizeof values[0]);
}

static void minifloats_have_the_values_of_the_microscaling_card(void **state)
{
    (void)state;
    assert_int_equal(table_crc("e2m1", 16), 0x866770b6);
    assert_int_equal(table_crc("e2m3", 64), 0x50f19834);
    assert_int_equal(table_crc("e3m2", 64), 0xce26bb00);
    assert_int_equal(table_crc("e4m3", 256), 0x2fdee9ac);
    assert_int_equal(table_crc("e5m2", 256), 0x3d83fd11);
    assert_int_equal(table_crc("e4m3fnuz", 256), 0xf2dfa052);
    assert_int_equal(table_crc("e5m2fnuz", 256), 0x09c70b84);
    assert_int_equal(table_crc("ue4m3", 128), 0x3d2ec64c);
    assert_int_equal(table_crc("ue5m3", 256), 0x14be0efa);
}

static void code_tables_have_the_values_of_their_cards(void **state)
{
    (void)state;
    assert_int_equal(table_crc("nf4", 16), 0xc471f81a);
    assert_int_equal(table_crc("fp4", 16), 0xe405a66d);
    lp_element iq4nl = element_of("iq4nl"), af4 = element_of("af4"), e2m1 = element_of("e2m1"), uz = element_of("e2m1uz");
    assert_true(lp_element_value(&iq4nl, 0) == -127 && lp_element_value(&iq4nl, 8) == 1 && lp_element_value(&iq4nl, 15) == 113);
    assert_true(lp_element_value(&af4, 0) == 1 && lp_element_value(&af4, 8) == 0 && lp_element_value(&af4, 15) == -1);
    for (uint32_t c = 0; c < 16; c++) assert_true(lp_element_value(&uz, c) == lp_element_value(&e2m1, c));
    assert_false(__builtin_signbit(lp_element_value(&uz, 8)));
    assert_true(__builtin_signbit(lp_element_value(&e2m1, 8)));
}

static void e8m0_is_every_power_of_two_and_one_nan(void **state)
{
    (void)state;
    lp_element e8m0 = element_of("e8m0");
    assert_int_equal(e8m0.bits, 8);
    double expected = 0x1p-127;
    for (uint32_t c = 0; c < 255; c++, expected *= 2) assert_true(lp_element_value(&e8m0, c) == expected);
    assert_true(lp_element_value(&e8m0, 255) != lp_element_value(&e8m0, 255));
    lp_element same = element_of("ue8m0");
    assert_true(same.bits == 8 && same.bias == 127 && !same.is_signed);
}

static void wide_floats_have_the_values_of_their_bits(void **state)
{
    (void)state;
    lp_element f16 = element_of("f16"), bf16 = element_of("bf16"), f32 = element_of("f32");
    const lp_packing *packing = lp_packing_by_name("f16");
    for (uint32_t c = 0; c < 65536; c++) {
        uint16_t h = (uint16_t)c;
        uint32_t wide = c << 16;
        float half, brain;
        lp_packing_decode(packing, &h, 1, &half);
        memcpy(&brain, &wide, 4);
        double v = lp_element_value(&f16, c), w = lp_element_value(&bf16, c), x = lp_element_value(&f32, wide);
        assert_true(v == (double)half || (v != v && half != half));
        assert_true(w == (double)brain || (w != w && brain != brain));
        assert_true(x == w || (x != x && w != w));
    }
    assert_true(lp_element_value(&f32, 1) == 0x1p-149);
    assert_true(lp_element_value(&f32, 0x7f7fffff) == 0x1.fffffep127);
}

static void integers_are_twos_complement_unsigned_bipolar_ternary_or_fixed(void **state)
{
    (void)state;
    lp_element i4 = element_of("i4"), u4 = element_of("u4"), b3 = element_of("b3"), b1 = element_of("b1"), t = element_of("t"),
               i16 = element_of("i16"), q = element_of("q1.6"), u1 = element_of("u1");
    for (uint32_t c = 0; c < 16; c++) {
        assert_true(lp_element_value(&i4, c) == (c < 8 ? (double)c : (double)c - 16));
        assert_true(lp_element_value(&u4, c) == (double)c);
    }
    for (uint32_t c = 0; c < 8; c++) assert_true(lp_element_value(&b3, c) == 2 * (double)c - 7);
    assert_true(lp_element_value(&b1, 0) == -1 && lp_element_value(&b1, 1) == 1);
    assert_true(lp_element_value(&u1, 0) == 0 && lp_element_value(&u1, 1) == 1);
    assert_true(lp_element_value(&t, 0) == -1 && lp_element_value(&t, 1) == 0 && lp_element_value(&t, 2) == 1);
    assert_true(lp_element_value(&t, 3) != lp_element_value(&t, 3));
    assert_true(lp_element_value(&i16, 0x8000) == -32768 && lp_element_value(&i16, 0x7fff) == 32767);
    for (uint32_t c = 0; c < 256; c++) assert_true(lp_element_value(&q, c) == (double)(int8_t)c / 64);
    assert_true(lp_element_value(&i4, 16) != lp_element_value(&i4, 16));
}

/* Every accepted float has only values that a float32 holds, in ascending order of magnitude. */
static void every_float_that_is_accepted_fits_float32(void **state)
{
    (void)state;
    static const char *suffixes[] = {"", "ieee", "fn", "fnuz", "none"};
    int n_accepted = 0;
    for (int s = 0; s < 2; s++)
        for (int e = 0; e <= 10; e++)
            for (int m = 0; m <= 8; m++)
                for (int x = 0; x < 5; x++) {
                    char text[32];
                    snprintf(text, sizeof text, "%se%dm%d%s", s ? "u" : "", e, m, suffixes[x]);
                    lp_format *format;
                    if (lp_format_parse(text, &format) != LP_OK) continue;
                    n_accepted++;
                    double before = -1;
                    for (uint32_t c = 0; c < 1u << (e + m); c++) {
                        double v = lp_element_value(&format->element, c);
                        if (v != v) continue;
                        if ((double)(float)v != v || v <= before) fail_msg("%s: code %u", text, c);
                        before = v;
                    }
                    lp_format_free(format);
                }
    assert_true(n_accepted > 500);
}

/* ---- text ---- */

static void assert_refused_at(const char *text, int column)
{
    lp_format *format = (lp_format *)(uintptr_t)1;
    char wanted[32];
    snprintf(wanted, sizeof wanted, "column %d:", column);
    if (lp_format_parse(text, &format) != LP_USAGE) fail_msg("%s was accepted", text);
    assert_null(format);
    if (column && !strstr(lp_error(), wanted)) fail_msg("%s: not at column %d: %s", text, column, lp_error());
}

static void wrong_texts_are_refused_at_the_character(void **state)
{
    (void)state;
    static const struct { const char *text; int column; } wrong[] = {
        {"", 0}, {"e2m1:0:e8m0", 6}, {"e9m9", 1}, {"e0m3", 1}, {"e4m24", 1}, {"p8.9", 1}, {"p2.0", 1}, {"p17.1", 1}, {"p16.4", 1}, {"p8.", 1}, {"q3.40", 1},
        {"q0.0", 1}, {"i99", 1}, {"i1", 1}, {"i0", 1}, {"u0", 1}, {"u17", 1}, {"u04", 1}, {"b9", 1}, {"f64", 1}, {"s9", 1}, {"s1z", 1}, {"i8f100", 1}, {"e1m0ieee", 1},
        {"c3", 1}, {"a9.500", 1}, {"a4.5", 1}, {"a4.000", 1}, {"e4m3b200", 1}, {"e4m3b", 1}, {"e2m1:32:", 9}, {"e2m1:32", 8}, {"e2m1:", 6}, {"e2m1::f16", 6}, {"e2m1:-1:f16", 6}, {"e2m1:032:f16", 6},
        {"e2m1:99999999999:f16", 6}, {"e2m1:16777217:f16", 6}, {"e2m1:all:f16", 6}, {"e2m1:16x:f16", 6}, {"e2m1:x16:f16", 6},
        {"e2m1:4x4x4:f16", 6}, {"u4:32:f16+", 11}, {"u4:32:f16-", 11}, {"u4:32:f16+max", 11}, {"u4:32:f16-zero", 10},
        {"u4:32:f16+min(", 15}, {"u4:32:f16+min(f16", 18}, {"u4:32:f16+min()", 15}, {"u4:32:f16+minf16", 11}, {"u4+min", 3},
        {"u4:32:(u6:8:f16)-min", 21}, {"u4:32:(u6:8:f16", 16}, {"u4:32:u6:8:f16", 10}, {"u4:32:f16:i8", 11},
        {"u4:32:f16:f32:f32", 14}, {"nf4:64:(dyn9:256:f32)", 9}, {"u4:32:f16@q4_0", 10}, {"i4:32:f16@q9_9", 11},
        {"i4:32:f16@", 11}, {"i4:32:f16@q4_0 ", 15}, {"i4:32:f16@q4_0x", 11}, {"f32@f32", 5}, {"i4@iq2_xs", 4}, {"(i4)", 1},
        {"i4 :32:f16", 3}, {"e4m3x", 1}, {"ue4m3fnuz", 1}, {"e8m3fn", 1}, {"e8m0none", 1}, {"i4:32:mxfp4", 7},
        {"u4:32:(u6:8:(u8:4:(u8:2:f16)))", 25}, {"mxfp4:32:f16", 1}, {"f", 1}, {"@", 1}, {"i4|nf4", 7}, {"i4|i5:32:f16", 4}, {"i4|i4:32:f16", 4}, {"i4|:32:f16", 4}, {"u4:32:(u6|i6:8:f16)", 10},
        {"i4|u4|nf4|fp4|af4:32:f16", 14},
        {"i4\n", 3}, {"\xc3\xa9", 1}};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) assert_refused_at(wrong[i].text, wrong[i].column);
}

static void absurd_lengths_and_depths_are_refused(void **state)
{
    (void)state;
    char text[70000];
    memset(text, '(', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_refused_at(text, 0);
    text[200] = '\0';
    assert_refused_at(text, 1);
    memset(text, '9', 255);
    text[0] = 'i';
    text[255] = '\0';
    assert_refused_at(text, 1);
    text[0] = '\0';
    for (int i = 0; i < 40; i++) strcat(text, "u4:2:(");
    assert_refused_at(text, 24);
}

static void an_error_shows_the_text_a_caret_and_the_nearest_name(void **state)
{
    (void)state;
    lp_format *format;
    assert_int_equal(lp_format_parse("u4:32:f17+min", &format), LP_USAGE);
    assert_non_null(strstr(lp_error(), "format u4:32:f17+min: column 7: no element is called f17\n"));
    assert_non_null(strstr(lp_error(), "\n  u4:32:f17+min\n        ^ did you mean f16?"));
    assert_int_equal(lp_format_parse("q4k", &format), LP_USAGE);
    assert_non_null(strstr(lp_error(), "did you mean q4_k?"));
    assert_int_equal(lp_format_parse("i4:32:f16@q4_1", &format), LP_USAGE);
    assert_non_null(strstr(lp_error(), "u4:32:f16+min"));
    assert_int_equal(lp_format_parse("iq2_xs", &format), LP_USAGE);
    assert_non_null(strstr(lp_error(), "a byte layout that no format text"));
}

static void assert_prints(const char *text, const char *canonical)
{
    char buffer[300];
    lp_format *format = parsed(text);
    size_t n = lp_format_print(format, buffer, sizeof buffer);
    assert_string_equal(buffer, canonical);
    assert_int_equal(n, strlen(canonical));
    lp_format *again = parsed(buffer);
    assert_true(lp_format_equal(format, again));
    lp_format_free(again);
    lp_format_free(format);
}

static void texts_print_in_one_canonical_form_and_parse_back(void **state)
{
    (void)state;
    assert_prints("e2m1:32:e8m0", "mxfp4");
    assert_prints("MXFP4", "mxfp4");
    assert_prints("E2M1none:1x32:(ue8m0)", "mxfp4");
    assert_prints("e2m1:16:e4m3:f32", "nvfp4");
    assert_prints("u4:32:(u6:8:f16)-min(u6:8:f16)@q4_k", "q4_k");
    assert_prints("u4:32:(u6:8:f16)-min(u6:8:f16)", "u4:32:(u6:8:f16)-min(u6:8:f16)");
    assert_prints("q4_0@gguf", "q4_0");
    assert_prints("mxfp4@gguf", "mxfp4@gguf");
    assert_prints("u4:32:f16+min(f16)", "u4:32:f16+min");
    assert_prints("u4:32:f16+min(bf16)", "u4:32:f16+min(bf16)");
    assert_prints("u4:128:f16+zero", "uint4");
    assert_prints("u4:64:f16+zero(u4)", "u4:64:f16+zero");
    assert_prints("u4:64:f16+zero(u8:16:f32)", "u4:64:f16+zero(u8:16:f32)");
    assert_prints("i4:16x16:ue4m3:f32", "i4:16x16:ue4m3:f32");
    assert_prints("i8:1xall:f32", "int8");
    assert_prints("i8:allxall:f32", "i8:tensor:f32");
    assert_prints("i8:allx1:f32", "i8:allx1:f32");
    assert_prints("e5m10", "f16");
    assert_prints("e8m7ieee", "bf16");
    assert_prints("e8m23", "f32");
    assert_prints("e4m3fn", "e4m3");
    assert_prints("e4m3ieee", "e4m3ieee");
    assert_prints("u4:32:(u6:8:(u8:4:f16))", "u4:32:(u6:8:(u8:4:f16))");
    assert_prints("u4:32:(u6:8:(u8:4:f16+zero))", "u4:32:(u6:8:(u8:4:f16+zero))");
    assert_prints("nf4:64:(u8:256:f32:f32+zero)", "nf4:64:(u8:256:f32:f32+zero)");
    assert_prints("q0.15", "q0.15");
    assert_prints("q15.0", "q15.0");
    assert_prints("i8f3", "q4.3");
    assert_prints("i8f12", "i8f12");
    assert_prints("i8f-3", "i8f-3");
    assert_prints("u4f0", "u4");
    assert_prints("u4f2:32:f16-min", "u4f2:32:f16-min");
    assert_prints("e4m3b11", "e4m3b11");
    assert_prints("e4m3fnuzb8", "e4m3fnuz");
    assert_prints("e2m1b-3", "e2m1b-3");
    assert_prints("e5m10b16", "e5m10b16");
    assert_prints("p16.1:32:f16", "p16.1:32:f16");
    assert_prints("s3z", "s3z");
    assert_prints("a4.500", "a4.500");
    assert_prints("a8.650", "a8.650");
    assert_prints("i4|nf4:64:f16", "i4|nf4:64:f16");
    assert_prints("bm3erp|bm3ern|bm3eap|bm3ean:128:f16", "bitmod3");
    assert_prints("s8", "s8");
    assert_prints("nf4:64:(dyn8:256:f32)", "nf4:64:(dyn8:256:f32)");
    assert_prints("b8:16777216:bf16", "b8:16777216:bf16");
}

static void parsing_fills_the_structure(void **state)
{
    (void)state;
    lp_format *f = parsed("u4:32:(u6:8:f16)-min(u6:8:f16)@q4_k");
    assert_true(f->element.kind == LP_ELEMENT_INT && f->element.bits == 4 && !f->element.is_signed);
    assert_true(f->block[0] == 32 && f->block[1] == 1 && f->offset == LP_OFFSET_MINUS && !f->tensor_scale);
    assert_true(f->scale->element.bits == 6 && f->scale->block[0] == 8 && f->scale->scale->element.exponent == 5);
    assert_true(f->zero->element.bits == 6 && f->zero->scale->element.mantissa == 10 && !f->zero->scale->scale);
    assert_ptr_equal(f->packing, lp_packing_by_name("q4_k"));
    lp_format_free(f);
    f = parsed("i4:4x16:ue4m3:f32");
    assert_true(f->block[0] == 16 && f->block[1] == 4 && f->tensor_scale->element.bits == 32);
    assert_true(f->offset == LP_OFFSET_NONE && !f->zero && !f->packing);
    lp_format_free(f);
    f = parsed("i8:row:f32");
    assert_true(f->block[0] == 0 && f->block[1] == 1);
    lp_format_free(f);
    f = parsed("u4:64:f16+zero");
    assert_true(f->offset == LP_OFFSET_ZERO && f->zero->element.bits == 4 && !f->zero->scale);
    lp_format_free(f);
    f = parsed("e2m1");
    assert_true(f->block[0] == 0 && f->block[1] == 0 && !f->scale);
    lp_format_free(f);
    lp_format_free(NULL);
}

static void printing_truncates_as_snprintf_does(void **state)
{
    (void)state;
    lp_format *f = parsed("u4:64:f16+zero(u8:16:f32)");
    char buffer[12];
    memset(buffer, '#', sizeof buffer);
    assert_int_equal(lp_format_print(f, NULL, 0), 25);
    assert_int_equal(lp_format_print(f, buffer, 8), 25);
    assert_memory_equal(buffer, "u4:64:f\0####", 12);
    assert_int_equal(lp_format_print(f, buffer, 1), 25);
    assert_int_equal(buffer[0], '\0');
    lp_format_free(f);
}

static void formats_that_differ_anywhere_are_not_equal(void **state)
{
    (void)state;
    static const char *texts[] = {
        "i4", "u4", "b4", "i5", "t", "nf4", "fp4", "e2m1", "e2m1uz", "q1.2", "q2.1", "e4m3", "e4m3ieee", "e4m3fnuz", "e3m4",
        "i4:32:f16", "i4:row:f16", "i4:tensor:f16", "i4:2x32:f16", "i4:32:bf16", "i4:32:f16:f32", "i4:32:f16:f16",
        "i4:32:f16+min", "i4:32:f16-min", "i4:32:f16+zero", "i4:32:f16+zero(f16)", "i4:32:f16+min(f32)", "i4:32:f16@q4_0",
        "i4:32:(f16:2:f16)", "i4|u4:32:f16", "i4|nf4:32:f16", "i4|u4|nf4:32:f16"};
    enum { N = sizeof texts / sizeof texts[0] };
    lp_format *formats[N];
    for (int i = 0; i < N; i++) formats[i] = parsed(texts[i]);
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) assert_int_equal(lp_format_equal(formats[i], formats[j]), i == j);
    assert_false(lp_format_equal(formats[0], NULL));
    for (int i = 0; i < N; i++) lp_format_free(formats[i]);
}

static double bits_of(const char *text)
{
    lp_format *format = parsed(text);
    double bits = lp_format_bits(format);
    lp_format_free(format);
    return bits;
}

static void bits_spread_scales_over_their_blocks(void **state)
{
    (void)state;
    assert_true(bits_of("i4") == 4);
    assert_true(bits_of("e2m1:32:e8m0") == 4.25);
    assert_true(bits_of("e2m1:16:e4m3:f32") == 4.5);
    assert_true(bits_of("i4:16x16:ue4m3:f32") == 4 + 7.0 / 256);
    assert_true(bits_of("i8:row:f32") == 8);
    assert_true(bits_of("i8:tensor:f32") == 8);
    assert_true(bits_of("u4:32:f16+min") == 5);
    assert_true(bits_of("u4:128:f16+zero") == 4 + 20.0 / 128);
    assert_true(bits_of("nf4:64:(u8:256:f32)") == 4 + (8 + 32.0 / 256) / 64);
    assert_true(bits_of("t:256:f16@tq1_0") == 1.6875);
    assert_true(bits_of("bitmod3") == 3 + 18.0 / 128);
    assert_true(bits_of("i4|nf4:64:f16") == 4 + 17.0 / 64);
}

/* Where codes are stored one by one the text alone gives the size of the block, for others (base 3, bytes for 7-bit
 * scales) the packing does. */
static void text_and_packing_agree_on_the_bits(void **state)
{
    (void)state;
    int n = 0;
    for (int i = 0; i < lp_packing_count(); i++) {
        const lp_packing *packing = lp_packing_at(i);
        double stored = 8.0 * packing->n_bytes / packing->n_values;
        assert_true(packing->can_decode || !packing->text[0]);
        if (!packing->text[0]) continue; /* code books */
        assert_true(bits_of(packing->text) == stored);
        char text[64];
        snprintf(text, sizeof text, "%s", packing->text);
        if (strchr(text, '@')) *strchr(text, '@') = '\0';
        if (strcmp(packing->name, "tq1_0") == 0 || strcmp(packing->name, "nvfp4") == 0) continue;
        assert_true(bits_of(text) == stored);
        n++;
    }
    assert_int_equal(n, 18);
}

/* ---- names ---- */

static void every_row_parses_and_prints_back_to_its_name(void **state)
{
    (void)state;
    char buffer[64];
    for (int i = 0; i < lp_format_row_count(); i++) {
        const lp_format_row *row = lp_format_row_at(i);
        assert_ptr_equal(lp_format_row_find(row->name), row);
        assert_true(row->note[0] != '\0');
        lp_format *by_name = parsed(row->name), *by_text = parsed(row->text);
        assert_true(lp_format_equal(by_name, by_text));
        lp_format_print(by_text, buffer, sizeof buffer);
        assert_string_equal(buffer, row->name);
        lp_format_free(by_name);
        lp_format_free(by_text);
    }
    assert_null(lp_format_row_at(-1));
    assert_null(lp_format_row_at(lp_format_row_count()));
    assert_null(lp_format_row_find("nothing"));
    assert_ptr_equal(lp_format_row_find("MxFp4"), lp_format_row_find("mxfp4"));
}

static void every_packing_with_a_text_has_a_named_row(void **state)
{
    (void)state;
    for (int i = 0; i < lp_packing_count(); i++) {
        const lp_packing *packing = lp_packing_at(i);
        if (!packing->text[0]) continue;
        lp_format *format = parsed(packing->text);
        char name[64];
        lp_format_print(format, name, sizeof name);
        assert_ptr_equal(format->packing, packing->is_float ? NULL : packing);
        assert_ptr_equal(lp_packing_by_name(name), packing);
        assert_string_equal(lp_format_row_find(name)->text, packing->text);
        lp_format_free(format);
    }
}

static void misspelt_names_find_their_neighbour_and_noise_none(void **state)
{
    (void)state;
    static const struct { const char *text, *near; } rows[] = {
        {"q4k", "q4_k"}, {"Q4-K", "q4_k"}, {"q4_K_M", "q4_k"}, {"mxpf4", "mxfp4"}, {"mxfp", "mxfp4"}, {"nvpf4", "nvfp4"},
        {"mxfp8", "mxfp8_e4m3"}, {"iq4nll", "iq4nl"}, {"bf6", "bf16"}, {"e4m33", "e4m3"}, {"int_4", "int4"}, {"tq20", "tq2_0"}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *near = lp_format_suggest(rows[i].text);
        if (!near || strcmp(near, rows[i].near) != 0) fail_msg("%s: %s", rows[i].text, near ? near : "none");
    }
    assert_null(lp_format_suggest(""));
    assert_null(lp_format_suggest("something else"));
    assert_null(lp_format_suggest("zzzz"));
    char text[1000];
    memset(text, 'q', sizeof text);
    text[999] = '\0';
    assert_null(lp_format_suggest(text));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(minifloats_have_the_values_of_the_microscaling_card),
        cmocka_unit_test(code_tables_have_the_values_of_their_cards),
        cmocka_unit_test(e8m0_is_every_power_of_two_and_one_nan),
        cmocka_unit_test(wide_floats_have_the_values_of_their_bits),
        cmocka_unit_test(integers_are_twos_complement_unsigned_bipolar_ternary_or_fixed),
        cmocka_unit_test(every_float_that_is_accepted_fits_float32),
        cmocka_unit_test(wrong_texts_are_refused_at_the_character),
        cmocka_unit_test(absurd_lengths_and_depths_are_refused),
        cmocka_unit_test(an_error_shows_the_text_a_caret_and_the_nearest_name),
        cmocka_unit_test(texts_print_in_one_canonical_form_and_parse_back),
        cmocka_unit_test(parsing_fills_the_structure),
        cmocka_unit_test(printing_truncates_as_snprintf_does),
        cmocka_unit_test(formats_that_differ_anywhere_are_not_equal),
        cmocka_unit_test(bits_spread_scales_over_their_blocks),
        cmocka_unit_test(text_and_packing_agree_on_the_bits),
        cmocka_unit_test(every_row_parses_and_prints_back_to_its_name),
        cmocka_unit_test(every_packing_with_a_text_has_a_named_row),
        cmocka_unit_test(misspelt_names_find_their_neighbour_and_noise_none),
    };
    return cmocka_run_group_tests_name("format text", tests, NULL, NULL);
}
