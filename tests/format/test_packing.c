/* Byte layouts: the table, decoding against the check values of gguf-block-formats.md, split, scan for NaN. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <lowp/format.h>
#include <lowp/tensor.h>

#include "base/half.h"
#include "crc32.h"
#include "format/split.h"

enum { MAX_VALUES = 512, MAX_BYTES = 4096 };

static uint32_t lcg(uint32_t *r) { return *r = *r * 1664525u + 1013904223u; }

static const lp_packing *packing_of(const char *name)
{
    const lp_packing *packing = lp_packing_by_name(name);
    assert_non_null(packing);
    return packing;
}

/* ---- the table ---- */

static void every_id_and_name_finds_its_own_row(void **state)
{
    (void)state;
    assert_int_equal(lp_packing_count(), 35);
    for (int i = 0; i < lp_packing_count(); i++) {
        const lp_packing *packing = lp_packing_at(i);
        assert_ptr_equal(lp_packing_by_id(packing->gguf_id), packing);
        assert_ptr_equal(lp_packing_by_name(packing->name), packing);
        if (i) assert_true(packing->gguf_id > lp_packing_at(i - 1)->gguf_id);
        assert_true(packing->n_values > 0 && packing->n_bytes > 0);
        assert_true(packing->can_decode || !packing->can_encode);
    }
    assert_null(lp_packing_at(-1));
    assert_null(lp_packing_at(lp_packing_count()));
}

static void names_ignore_case_and_may_carry_the_suffix_gguf(void **state)
{
    (void)state;
    assert_ptr_equal(lp_packing_by_name("Q4_K"), packing_of("q4_k"));
    assert_ptr_equal(lp_packing_by_name("mxfp4@GGUF"), packing_of("mxfp4"));
    assert_null(lp_packing_by_name("q4"));
    assert_null(lp_packing_by_name("q4_0_"));
    assert_null(lp_packing_by_name(""));
    assert_null(lp_packing_by_name("@gguf"));
}

static void removed_and_unknown_ids_have_no_row(void **state)
{
    (void)state;
    static const uint32_t ids[] = {4, 5, 31, 32, 33, 36, 37, 38, 43, 1000, UINT32_MAX};
    for (size_t i = 0; i < sizeof ids / sizeof ids[0]; i++) assert_null(lp_packing_by_id(ids[i]));
}

static void file_types_are_those_of_llama_cpp(void **state)
{
    (void)state;
    static const struct { const char *name; int file_type; } rows[] = {
        {"f32", 0}, {"f16", 1}, {"q4_0", 2}, {"q4_1", 3}, {"q8_0", 7}, {"q5_0", 8}, {"q5_1", 9}, {"q2_k", 10},
        {"q3_k", 11}, {"q4_k", 14}, {"q5_k", 16}, {"q6_k", 18}, {"iq4_nl", 25}, {"iq4_xs", 30}, {"bf16", 32},
        {"tq1_0", 36}, {"tq2_0", 37}, {"mxfp4", 38}, {"nvfp4", 39}, {"i8", -1}, {"q8_k", -1}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        assert_int_equal(packing_of(rows[i].name)->file_type, rows[i].file_type);
}

static void row_bytes_count_whole_blocks_and_refuse_overflow(void **state)
{
    (void)state;
    assert_int_equal(lp_packing_row_bytes(packing_of("q4_0"), 4096), 4096 / 32 * 18);
    assert_int_equal(lp_packing_row_bytes(packing_of("q6_k"), 512), 420);
    assert_int_equal(lp_packing_row_bytes(packing_of("q4_0"), 0), 0);
    assert_int_equal(lp_packing_row_bytes(packing_of("q4_0"), 48), 0);
    assert_int_equal(lp_packing_row_bytes(packing_of("q4_k"), 32), 0);
    assert_int_equal(lp_packing_row_bytes(packing_of("f32"), -1), 0);
    assert_int_equal(lp_packing_row_bytes(packing_of("f64"), INT64_MAX), 0);
    assert_int_equal(lp_packing_row_bytes(packing_of("f32"), INT64_MAX / 2), 0);
}

/* ---- decode ---- */

/* The card's stream of bytes, in which no half is infinite or NaN, decoded to 512 values. */
static uint32_t decode_fuzz(const char *name)
{
    const lp_packing *packing = packing_of(name);
    static uint8_t bytes[MAX_BYTES];
    static float values[MAX_VALUES];
    uint32_t r = 7;
    size_t n = lp_packing_row_bytes(packing, MAX_VALUES);
    for (size_t i = 0; i < n; i++) {
        bytes[i] = (uint8_t)(lcg(&r) >> 24);
        if ((bytes[i] & 0x7c) == 0x7c) bytes[i] ^= 4;
    }
    lp_packing_decode(packing, bytes, MAX_VALUES, values);
    return crc32_of(values, sizeof values);
}

#define DECODE_FUZZ(NAME, CRC)                                                              \
    static void NAME##_decodes_random_bytes_as_the_card_says(void **state)                  \
    {                                                                                       \
        (void)state;                                                                        \
        assert_int_equal(decode_fuzz(#NAME), CRC);                                          \
    }
DECODE_FUZZ(q4_0, 0x16c07a70)
DECODE_FUZZ(q4_1, 0x18614b0c)
DECODE_FUZZ(q5_0, 0x31e314aa)
DECODE_FUZZ(q5_1, 0x12aaf733)
DECODE_FUZZ(q8_0, 0xdf5c4003)
DECODE_FUZZ(mxfp4, 0x95dd30dd)
DECODE_FUZZ(nvfp4, 0x818dff32)
DECODE_FUZZ(q2_k, 0x37db0d6d)
DECODE_FUZZ(q3_k, 0xb6ad40cc)
DECODE_FUZZ(q4_k, 0xacc57b58)
DECODE_FUZZ(q5_k, 0x66001ad9)
DECODE_FUZZ(q6_k, 0xdd8afea7)
DECODE_FUZZ(iq4_nl, 0xa8a497bd)
DECODE_FUZZ(iq4_xs, 0x0af21c95)
DECODE_FUZZ(tq1_0, 0xf84611ca)
DECODE_FUZZ(tq2_0, 0xe85bcd2a)
DECODE_FUZZ(iq1_s, 0xde521414)
DECODE_FUZZ(iq2_xxs, 0x54f7c7b4)
DECODE_FUZZ(iq2_xs, 0x7e6e4f31)
DECODE_FUZZ(iq2_s, 0xfddc5494)
DECODE_FUZZ(iq3_xxs, 0x45cee26a)
DECODE_FUZZ(iq3_s, 0xde881866)
DECODE_FUZZ(q1_0, 0x5b15539f)
DECODE_FUZZ(q2_0, 0x7047387d)

/* The card's ternary values packed by its definition, and back. */
static void ternary_values_survive_tq1_0_and_tq2_0(void **state)
{
    (void)state;
    float x[256], y[256];
    int t[256];
    for (int i = 0; i < 256; i++) {
        t[i] = (7 * i + i / 5) % 3;
        x[i] = 0.5f * (float)(t[i] - 1);
    }
    uint8_t one[54] = {0}, two[66] = {0};
    for (int m = 0; m < 52; m++) {
        int n_digits = m < 48 ? 5 : 4, v = 0;
        for (int n = 0; n < n_digits; n++)
            v = v * 3 + t[m < 32 ? 32 * n + m : m < 48 ? 160 + 16 * n + m - 32 : 240 + 4 * n + m - 48];
        if (m >= 48) v *= 3;
        one[m] = (uint8_t)((256 * v + 242) / 243);
    }
    for (int e = 0; e < 256; e++) two[32 * (e / 128) + e % 32] |= (uint8_t)(t[e] << 2 * (e / 32 % 4));
    one[53] = two[65] = 0x38; /* 0.5 */
    assert_int_equal(crc32_of(one, sizeof one), 0xe8909f35);
    assert_int_equal(crc32_of(two, sizeof two), 0x09af6f20);
    lp_packing_decode(packing_of("tq1_0"), one, 256, y);
    assert_memory_equal(x, y, sizeof x);
    lp_packing_decode(packing_of("tq2_0"), two, 256, y);
    assert_memory_equal(x, y, sizeof x);
}

static void all_halves_decode_as_the_scalar_conversion_does(void **state)
{
    (void)state;
    static uint16_t h[65536];
    static float f16[65536], bf16[65536];
    for (int i = 0; i < 65536; i++) h[i] = (uint16_t)i;
    lp_packing_decode(packing_of("f16"), h, 65536, f16);
    lp_packing_decode(packing_of("bf16"), h, 65536, bf16);
    for (int i = 0; i < 65536; i++) {
        assert_int_equal(lp_f32_bits(f16[i]), lp_f32_bits(lp_f16_to_f32((uint16_t)i)));
        assert_int_equal(lp_f32_bits(bf16[i]), (uint32_t)i << 16);
    }
    assert_true(f16[1] == 0x1p-24f && f16[0x3c00] == 1.0f && f16[0x7bff] == 65504.0f);
}

static void mxfp4_reaches_the_subnormals_and_code_8_is_plus_zero(void **state)
{
    (void)state;
    uint8_t block[17] = {0, 0x81, 0x07};
    float y[32];
    lp_packing_decode(packing_of("mxfp4"), block, 32, y);
    assert_true(y[0] == 0x1p-128f && y[1] == 0x1.8p-125f);
    assert_int_equal(lp_f32_bits(y[16]), 0);
    block[0] = 254;
    lp_packing_decode(packing_of("mxfp4"), block, 32, y);
    assert_true(y[0] == 0x1p126f);
    block[0] = 255;
    lp_packing_decode(packing_of("mxfp4"), block, 32, y);
    assert_true(y[0] != y[0]);
}

static void nvfp4_scales_are_halved_ue4m3_with_0_and_7f_as_zero(void **state)
{
    (void)state;
    for (int c = 0; c < 256; c++) {
        uint8_t block[36] = {(uint8_t)c, 0, 0, 0, 0x02};
        float y[64], expected = (float)(c & 7) * 0x1p-9f;
        int exponent = c >> 3 & 15;
        if (exponent) {
            expected = 1.0f + (float)(c & 7) / 8.0f;
            for (int e = 7; e < exponent; e++) expected *= 2.0f;
            for (int e = exponent; e < 7; e++) expected *= 0.5f;
        }
        if (c == 0x7f) expected = 0;
        lp_packing_decode(packing_of("nvfp4"), block, 64, y);
        assert_int_equal(lp_f32_bits(y[0]), lp_f32_bits(expected)); /* code 2 is 1 */
    }
}

/* ---- split ---- */

static float unit_scale(const lp_unit_class *units, const lp_split *split, int u)
{
    switch (units->scale) {
    case LP_SCALE_F16: return lp_f16_to_f32(split->scale16[u]);
    case LP_SCALE_BF16: return lp_bf16_to_f32(split->scale16[u]);
    case LP_SCALE_F32: return split->scale32[u];
    case LP_SCALE_BLOCK: return lp_f16_to_f32(split->scale16[0]);
    case LP_SCALE_SUPER: case LP_SCALE_SUPER4: return lp_f16_to_f32(split->scale16[0]) * (float)split->sub[u];
    case LP_SCALE_NONE: return 1;
    }
    return 0;
}

static float unit_offset(const lp_unit_class *units, const lp_split *split, int u)
{
    switch (units->offset) {
    case LP_OFFSET_KIND_NONE: return 0;
    case LP_OFFSET_KIND_F16: return lp_f16_to_f32(split->offset16[u]);
    case LP_OFFSET_KIND_F32: return split->offset32[u];
    case LP_OFFSET_KIND_SUPER: return -(lp_f16_to_f32(split->offset16[0]) * (float)split->sub_offset[u]);
    }
    return 0;
}

static bool same_value(float a, float b) { return lp_f32_bits(a) == lp_f32_bits(b) || (a != a && b != b); }

static void split_and_decode_give_the_same_bits_for_random_blocks(void **state)
{
    (void)state;
    uint32_t r = 12345;
    int n_quantized = 0;
    for (int i = 0; i < lp_packing_count(); i++) {
        const lp_packing *packing = lp_packing_at(i);
        const lp_unit_class *units = lp_packing_unit_class(packing);
        assert_int_equal(units != NULL, packing->can_decode && !packing->is_float);
        if (!units) continue;
        n_quantized++;
        assert_int_equal(units->block, packing->n_values);
        for (int trial = 0; trial < 3000; trial++) {
            uint8_t block[512];
            float y[256];
            lp_split split;
            for (int k = 0; k < packing->n_bytes; k++) block[k] = (uint8_t)(lcg(&r) >> 24);
            memset(&split, 0xa5, sizeof split);
            lp_packing_split(packing, block, &split);
            lp_packing_decode(packing, block, packing->n_values, y);
            for (int k = 0; k < packing->n_values; k++) {
                int u = k / units->unit, code = split.code[k];
                assert_true(code < 1 << units->code_bits);
                int q = (units->table ? units->table[code] : code) - units->zero;
                assert_true(abs(q) <= units->max_abs);
                float value = unit_scale(units, &split, u) * (float)q;
                if (units->offset != LP_OFFSET_KIND_NONE) value += unit_offset(units, &split, u);
                if (!same_value(value, y[k])) fail_msg("%s: value %d of trial %d", packing->name, k, trial);
            }
        }
    }
    assert_int_equal(n_quantized, 25);
}

static void the_largest_code_value_is_reached(void **state)
{
    (void)state;
    for (int i = 0; i < lp_packing_count(); i++) {
        const lp_unit_class *units = lp_packing_unit_class(lp_packing_at(i));
        if (!units) continue;
        const char *name = lp_packing_at(i)->name;
        int n_levels = !strcmp(name, "tq1_0") || !strcmp(name, "q1_0") ? 3 : 1 << units->code_bits, largest = 0;
        for (int c = 0; c < n_levels; c++) {
            int q = abs((units->table ? units->table[c] : c) - units->zero);
            if (q > largest) largest = q;
        }
        assert_int_equal(largest, units->max_abs);
    }
}

/* ---- scan ---- */

static void scan_finds_the_block_whose_scale_is_not_finite(void **state)
{
    (void)state;
    static const struct { const char *name; int at[2]; } halves[] = {
        {"q4_0", {0, -1}}, {"q4_1", {0, 2}}, {"q5_0", {0, -1}}, {"q5_1", {0, 2}}, {"q8_0", {0, -1}}, {"q8_1", {0, 2}},
        {"q2_k", {80, 82}}, {"q3_k", {108, -1}}, {"q4_k", {0, 2}}, {"q5_k", {0, 2}}, {"q6_k", {208, -1}},
        {"iq4_nl", {0, -1}}, {"iq4_xs", {0, -1}}, {"tq1_0", {52, -1}}, {"tq2_0", {64, -1}}, {"q1_0", {0, -1}},
        {"q2_0", {0, -1}}, {"iq1_s", {0, -1}}, {"iq2_xxs", {0, -1}}, {"iq2_xs", {0, -1}}, {"iq2_s", {0, -1}}, {"iq3_xxs", {0, -1}},
        {"iq3_s", {0, -1}}};
    for (size_t i = 0; i < sizeof halves / sizeof halves[0]; i++) {
        const lp_packing *packing = packing_of(halves[i].name);
        for (int s = 0; s < 2 && halves[i].at[s] >= 0; s++) {
            uint8_t blocks[5 * 256] = {0};
            uint8_t *p = blocks + 3 * packing->n_bytes + halves[i].at[s];
            int64_t n = 5 * packing->n_values;
            p[0] = 0xff, p[1] = 0x7b; /* 65504 */
            assert_int_equal(lp_packing_find_nonfinite(packing, blocks, n), -1);
            p[0] = 0, p[1] = 0xfc;
            assert_int_equal(lp_packing_find_nonfinite(packing, blocks, n), 3);
            p[0] = 1, p[1] = 0x7c;
            assert_int_equal(lp_packing_find_nonfinite(packing, blocks, n), 3);
            assert_int_equal(lp_packing_find_nonfinite(packing, blocks, 3 * packing->n_values), -1);
        }
    }
}

static void scan_of_mxfp4_finds_scale_255_and_nvfp4_has_no_nan(void **state)
{
    (void)state;
    uint8_t mxfp4[3 * 17], nvfp4[2 * 36];
    memset(mxfp4, 0xfe, sizeof mxfp4);
    memset(nvfp4, 0x7f, sizeof nvfp4);
    assert_int_equal(lp_packing_find_nonfinite(packing_of("mxfp4"), mxfp4, 96), -1);
    mxfp4[34] = 0xff;
    assert_int_equal(lp_packing_find_nonfinite(packing_of("mxfp4"), mxfp4, 96), 2);
    assert_int_equal(lp_packing_find_nonfinite(packing_of("nvfp4"), nvfp4, 128), -1);
}

static void scan_of_iq1_m_assembles_its_scale(void **state)
{
    (void)state;
    uint8_t block[56];
    memset(block, 0xff, sizeof block);
    assert_int_equal(lp_packing_find_nonfinite(packing_of("iq1_m"), block, 256), 0);
    block[55] = 0x7f; /* top nibble 7: exponent still all ones */
    assert_int_equal(lp_packing_find_nonfinite(packing_of("iq1_m"), block, 256), 0);
    block[53] = 0xbf; /* bit 10 clear */
    assert_int_equal(lp_packing_find_nonfinite(packing_of("iq1_m"), block, 256), -1);
}

static void scan_of_floats_names_the_first_value_at_any_place(void **state)
{
    (void)state;
    enum { N = 10007 };
    static const int64_t places[] = {0, 1, 4095, 4096, 8191, 8192, N - 1};
    static uint32_t f32[N];
    static uint16_t f16[N], bf16[N];
    static uint64_t f64[N];
    uint32_t r = 3;
    for (int i = 0; i < N; i++) {
        f32[i] = (lcg(&r) & 0x807fffffu) | 0x7f000000u; /* the largest finite exponents */
        f16[i] = (uint16_t)((r & 0x83ffu) | 0x7800u);
        bf16[i] = (uint16_t)((r & 0x807fu) | 0x7f00u);
        f64[i] = 0x7fefffffffffffffu;
    }
    const lp_packing *types[] = {packing_of("f32"), packing_of("f16"), packing_of("bf16"), packing_of("f64")};
    void *arrays[] = {f32, f16, bf16, f64};
    for (int t = 0; t < 4; t++) assert_int_equal(lp_packing_find_nonfinite(types[t], arrays[t], N), -1);
    for (int i = (int)(sizeof places / sizeof places[0]) - 1; i >= 0; i--) {
        f32[places[i]] = 0xff800000u;
        f16[places[i]] = 0x7e01u;
        bf16[places[i]] = 0xff80u;
        f64[places[i]] = 0x7ff0000000000000u;
        for (int t = 0; t < 4; t++) assert_int_equal(lp_packing_find_nonfinite(types[t], arrays[t], N), places[i]);
    }
}

static void scan_of_integers_finds_nothing(void **state)
{
    (void)state;
    uint8_t bytes[64];
    memset(bytes, 0xff, sizeof bytes);
    assert_int_equal(lp_packing_find_nonfinite(packing_of("i8"), bytes, 64), -1);
    assert_int_equal(lp_packing_find_nonfinite(packing_of("i64"), bytes, 8), -1);
}

/* ---- tensors ---- */

static void a_tensor_decodes_the_row_that_is_asked_for(void **state)
{
    (void)state;
    uint8_t bytes[6 * 2 * 18];
    float all[6 * 64], row[64];
    uint32_t r = 99;
    for (size_t i = 0; i < sizeof bytes; i++) bytes[i] = (uint8_t)(lcg(&r) >> 24 & 0x3f);
    lp_tensor tensor = {.name = "w", .n_dims = 3, .dim = {64, 3, 2, 1}, .packing = packing_of("q4_0"), .data = bytes, .n_bytes = sizeof bytes};
    assert_int_equal(lp_tensor_values(&tensor), 384);
    assert_int_equal(lp_tensor_rows(&tensor), 6);
    lp_packing_decode(tensor.packing, bytes, 384, all);
    for (int i = 0; i < 6; i++) {
        lp_tensor_decode_row(&tensor, i, row);
        assert_memory_equal(row, all + 64 * i, sizeof row);
    }
    tensor.dim[0] = 0;
    assert_int_equal(lp_tensor_rows(&tensor), 0);
    assert_int_equal(lp_tensor_values(&tensor), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_id_and_name_finds_its_own_row),
        cmocka_unit_test(names_ignore_case_and_may_carry_the_suffix_gguf),
        cmocka_unit_test(removed_and_unknown_ids_have_no_row),
        cmocka_unit_test(file_types_are_those_of_llama_cpp),
        cmocka_unit_test(row_bytes_count_whole_blocks_and_refuse_overflow),
        cmocka_unit_test(q4_0_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(q4_1_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(q5_0_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(q5_1_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(q8_0_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(mxfp4_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(nvfp4_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(q2_k_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(q3_k_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(q4_k_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(q5_k_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(q6_k_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(iq4_nl_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(iq4_xs_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(tq1_0_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(tq2_0_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(iq1_s_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(iq2_xxs_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(iq2_xs_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(iq2_s_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(iq3_xxs_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(iq3_s_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(q1_0_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(q2_0_decodes_random_bytes_as_the_card_says),
        cmocka_unit_test(ternary_values_survive_tq1_0_and_tq2_0),
        cmocka_unit_test(all_halves_decode_as_the_scalar_conversion_does),
        cmocka_unit_test(mxfp4_reaches_the_subnormals_and_code_8_is_plus_zero),
        cmocka_unit_test(nvfp4_scales_are_halved_ue4m3_with_0_and_7f_as_zero),
        cmocka_unit_test(split_and_decode_give_the_same_bits_for_random_blocks),
        cmocka_unit_test(the_largest_code_value_is_reached),
        cmocka_unit_test(scan_finds_the_block_whose_scale_is_not_finite),
        cmocka_unit_test(scan_of_mxfp4_finds_scale_255_and_nvfp4_has_no_nan),
        cmocka_unit_test(scan_of_iq1_m_assembles_its_scale),
        cmocka_unit_test(scan_of_floats_names_the_first_value_at_any_place),
        cmocka_unit_test(scan_of_integers_finds_nothing),
        cmocka_unit_test(a_tensor_decodes_the_row_that_is_asked_for),
    };
    return cmocka_run_group_tests_name("format packing", tests, NULL, NULL);
}
