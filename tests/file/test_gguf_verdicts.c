/* One test per verdict on a GGUF file: the lists of formats/gguf-container.md and runtime/llama-cpp-peer.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <lowp/gguf.h>

#include "build.h"

/* A file made by `make`, or the toy file with n bytes at `at` replaced by value (little-endian); then cut to `size`
 * bytes where that is not 0. Expected: LP_OK (reason, if any, is in a warning), or a status with reason in the text. */
typedef struct verdict {
    const char *what;
    void (*make)(builder *);
    size_t at, n;
    uint64_t value;
    size_t size;
    lp_status status;
    const char *reason, *item;
} verdict;

/* Byte positions in the toy file. */
enum {
    AT_VERSION = 4, AT_N_TENSORS = 8, AT_N_KEYS = 16, AT_KEY_LENGTH = 24, AT_KEY = 32, AT_KEY_TYPE = 52, AT_STRING = 56,
    AT_ALIGNMENT_TYPE = 92, AT_ALIGNMENT = 96, AT_ELEMENT_TYPE = 120, AT_COUNT = 124, AT_A = 144, AT_A_DIMS = 153,
    AT_A_DIM0 = 157, AT_A_DIM1 = 165, AT_A_TYPE = 173, AT_A_OFFSET = 177, AT_B_NAME = 193, AT_B_DIMS = 194, AT_B_DIM0 = 198,
    AT_B_TYPE = 206, AT_B_OFFSET = 210
};

static void empty_file(builder *b) { (void)b; }
static void html(builder *b) { put(b, "<!DOCTYPE html><html><body>404</body></html>", 44); }
static void lfs(builder *b) { put(b, "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", 57); }
static void zip(builder *b) { put(b, "PK\3\4\0\0\0\0\0\0", 10); }
static void gzip(builder *b) { put(b, "\x1f\x8b\x08\0\0\0\0\0", 8); }
static void ggjt(builder *b) { put(b, "tjgg\3\0\0\0\0\0\0\0", 12); }
static void json(builder *b) { put(b, "{\"a\":1}", 7); }
static void noise(builder *b) { put(b, "\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a", 10); }
static void three_bytes(builder *b) { put(b, "GGU", 3); }
static void bare_magic(builder *b) { put(b, "GGUF", 4); }

static void safetensors(builder *b)
{
    put_u64(b, 2);
    put(b, "{}", 2);
}

static void big_endian(builder *b)
{
    put(b, "GGUF\0\0\0\3\0\0\0\0\0\0\0\2\0\0\0\0\0\0\0\3", 24);
    put_zeros(b, 100);
}

static void nothing_declared(builder *b) { put_header(b, 3, 0, 0); }

static void version_2(builder *b)
{
    put_toy(b);
    b->data[AT_VERSION] = 2;
}

static void trailing(builder *b)
{
    put_toy(b);
    put_zeros(b, 7);
}

static void trailing_without_tensors(builder *b)
{
    put_header(b, 3, 0, 0);
    put_padding(b, 32);
    put_u8(b, 1);
}

static void padded_without_tensors(builder *b)
{
    put_header(b, 3, 0, 0);
    put_padding(b, 32);
}

/* ---- keys ---- */

static void scalar(builder *b, const char *key, uint32_t type, const void *value, size_t n)
{
    put_header(b, 3, 0, 1);
    put_key(b, key, type);
    put(b, value, n);
}

static void unknown_key(builder *b) { scalar(b, "someone.elses.key", 10, "\1\2\3\4\5\6\7\x8", 8); }
static void key_type_13(builder *b) { scalar(b, "k", 13, "\0\0\0\0\0\0\0\0", 8); }
static void key_type_huge(builder *b) { scalar(b, "k", UINT32_MAX, "\0\0\0\0\0\0\0\0", 8); }
static void bool_0(builder *b) { scalar(b, "k", 7, "\0", 1); }
static void bool_1(builder *b) { scalar(b, "k", 7, "\1", 1); }
static void bool_2(builder *b) { scalar(b, "k", 7, "\2", 1); }
static void f64_cut(builder *b) { scalar(b, "k", 12, "\0\0\0\0\0\0\0", 7); }
static void empty_key(builder *b) { scalar(b, "", 4, "\0\0\0\0", 4); }
static void key_latin1(builder *b) { scalar(b, "caf\xe9", 4, "\0\0\0\0", 4); }
static void key_utf8(builder *b) { scalar(b, "caf\xc3\xa9", 4, "\0\0\0\0", 4); }
static void key_overlong(builder *b) { scalar(b, "\xc0\xaf", 4, "\0\0\0\0", 4); }
static void key_surrogate(builder *b) { scalar(b, "\xed\xa0\x80", 4, "\0\0\0\0", 4); }
static void key_cut_sequence(builder *b) { scalar(b, "a\xe2\x82", 4, "\0\0\0\0", 4); }
static void key_above_unicode(builder *b) { scalar(b, "\xf4\x90\x80\x80", 4, "\0\0\0\0", 4); }

static void key_nul(builder *b)
{
    put_header(b, 3, 0, 1);
    put_string_n(b, "a\0b", 3);
    put_u32(b, 4);
    put_u32(b, 0);
}

static void long_key(builder *b, size_t n)
{
    put_header(b, 3, 0, 1);
    put_u64(b, n);
    for (size_t i = 0; i < n; i++) put_u8(b, 'k');
    put_u32(b, 4);
    put_u32(b, 0);
}

static void key_65535(builder *b) { long_key(b, 65535); }
static void key_65536(builder *b) { long_key(b, 65536); }

static void duplicate_key(builder *b)
{
    put_header(b, 3, 0, 3);
    for (int i = 0; i < 3; i++) {
        put_key(b, i == 1 ? "other" : "again", 0);
        put_u8(b, 1);
    }
}

static void duplicate_alignment(builder *b)
{
    put_header(b, 3, 0, 2);
    for (uint32_t i = 0; i < 2; i++) {
        put_key(b, "general.alignment", 4);
        put_u32(b, 32);
    }
}

static void array(builder *b, uint32_t element, uint64_t n, size_t n_bytes)
{
    put_header(b, 3, 0, 1);
    put_array(b, "list", element, n);
    put_zeros(b, n_bytes);
}

static void array_empty(builder *b) { array(b, 4, 0, 0); }
static void array_empty_strings(builder *b) { array(b, 8, 0, 0); }
static void array_exact(builder *b) { array(b, 12, 3, 24); }
static void array_short(builder *b) { array(b, 12, 3, 23); }
static void array_negative(builder *b) { array(b, 4, UINT64_MAX, 64); }
static void array_wraps(builder *b) { array(b, 4, UINT64_C(1) << 62, 64); } /* times 4 is 0 */
static void array_of_arrays(builder *b) { array(b, 9, 1, 64); }
static void array_of_arrays_empty(builder *b) { array(b, 9, 0, 64); }
static void array_element_13(builder *b) { array(b, 13, 1, 64); }
static void array_strings_short(builder *b) { array(b, 8, 9, 64); }
static void array_bools(builder *b) { array(b, 7, 5, 5); }

static void array_bool_3(builder *b)
{
    array(b, 7, 5, 4);
    put_u8(b, 3);
}

static void array_string_wraps(builder *b)
{
    array(b, 8, 2, 8);
    put_u64(b, UINT64_MAX);
    put_zeros(b, 32);
}

static void string_value(builder *b, const char *key, size_t n, int as_array)
{
    put_header(b, 3, 0, 1);
    if (as_array) put_array(b, key, 8, 1);
    else put_key(b, key, 8);
    put_u64(b, n);
    put_zeros(b, n);
}

static void string_1m(builder *b) { string_value(b, "general.name", 1 << 20, 0); }
static void string_above_1m(builder *b) { string_value(b, "general.name", (1 << 20) + 1, 0); }
static void strings_above_1m(builder *b) { string_value(b, "general.tags", (1 << 20) + 1, 1); }
static void template_above_1m(builder *b) { string_value(b, "tokenizer.chat_template", (1 << 20) + 1, 0); }
static void tokens_above_1m(builder *b) { string_value(b, "tokenizer.ggml.tokens", (1 << 20) + 1, 1); }

static void string_all_ones(builder *b)
{
    put_header(b, 3, 0, 1);
    put_key(b, "k", 8);
    put_u64(b, UINT64_MAX);
    put_zeros(b, 16);
}

static void string_wraps_position(builder *b)
{
    put_header(b, 3, 0, 1);
    put_key(b, "k", 8);
    put_u64(b, UINT64_MAX - 40); /* position + 8 + this is inside the file again */
    put_zeros(b, 16);
}

static void duplicate_tokens(builder *b)
{
    put_header(b, 3, 0, 1);
    put_array(b, "tokenizer.ggml.tokens", 8, 2);
    put_string(b, "same");
    put_string(b, "same");
}

static void alignment_key(builder *b, uint32_t type, uint64_t value, size_t n)
{
    put_header(b, 3, 1, 1);
    put_key(b, "general.alignment", type);
    put(b, &value, n);
    put_tensor(b, "t", 1, DIMS(2), 0, 0);
    put_padding(b, value > 0 && value <= 1 << 20 ? (size_t)value : 32);
    put_zeros(b, 8);
}

static void alignment_1(builder *b) { alignment_key(b, 4, 1, 4); }
static void alignment_64(builder *b) { alignment_key(b, 4, 64, 4); }
static void alignment_1m(builder *b) { alignment_key(b, 4, 1 << 20, 4); }
static void alignment_2m(builder *b) { alignment_key(b, 4, 1 << 21, 4); }
static void alignment_2_31(builder *b) { alignment_key(b, 4, UINT32_C(1) << 31, 4); }
static void alignment_3(builder *b) { alignment_key(b, 4, 3, 4); }
static void alignment_u64(builder *b) { alignment_key(b, 10, 32, 8); }
static void alignment_i32(builder *b) { alignment_key(b, 5, 32, 4); }

/* ---- tensors ---- */

/* One tensor with n_bytes of data. */
static void one_tensor(builder *b, const char *name, uint32_t n_dims, const uint64_t *dim, uint32_t type, size_t n_bytes)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, name, n_dims, dim, type, 0);
    put_padding(b, 32);
    put_zeros(b, n_bytes);
}

static void dims_4(builder *b) { one_tensor(b, "t", 4, DIMS(1, 2, 3, 4), 0, 96); }
static void dims_0(builder *b) { one_tensor(b, "t", 0, DIMS(1), 0, 96); }
static void dims_5(builder *b) { one_tensor(b, "t", 5, DIMS(1, 1, 1, 1, 1), 0, 96); }
static void dims_many(builder *b) { one_tensor(b, "t", 3, DIMS(1, 1, 1), 0, 96); b->data[24 + 9 + 3] = 0x80; }
static void dimension_0(builder *b) { one_tensor(b, "t", 2, DIMS(4, 0), 0, 0); }
static void dimension_0_first(builder *b) { one_tensor(b, "t", 2, DIMS(0, 4), 8, 0); }
static void dimension_2_63(builder *b) { one_tensor(b, "t", 1, DIMS(UINT64_C(1) << 63), 0, 96); }
static void dimension_all_ones(builder *b) { one_tensor(b, "t", 1, DIMS(UINT64_MAX), 0, 96); }
static void dims_wrap(builder *b) { one_tensor(b, "t", 3, DIMS(UINT64_C(1) << 32, UINT64_C(1) << 32, 4), 0, 96); }
static void dims_wrap_small(builder *b) { one_tensor(b, "t", 2, DIMS(UINT64_C(1) << 62, 8), 24, 96); }
static void dims_wrap_empty(builder *b) { one_tensor(b, "t", 3, DIMS(UINT64_C(1) << 62, 0, 8), 24, 0); }
static void bytes_wrap(builder *b) { one_tensor(b, "t", 1, DIMS(UINT64_C(1) << 62), 0, 96); } /* values fit, bytes do not */
static void bytes_wrap_block(builder *b) { one_tensor(b, "t", 2, DIMS(UINT64_C(1) << 58, 31), 8, 96); }
static void exabyte(builder *b) { one_tensor(b, "t", 2, DIMS(UINT64_C(1) << 30, UINT64_C(1) << 30), 0, 96); }
static void row_not_block(builder *b) { one_tensor(b, "t", 2, DIMS(16, 2), 8, 96); } /* values would be one block */
static void row_not_super_block(builder *b) { one_tensor(b, "t", 2, DIMS(128, 2), 12, 144); }
static void type_4(builder *b) { one_tensor(b, "t", 1, DIMS(32), 4, 96); }
static void type_5(builder *b) { one_tensor(b, "t", 1, DIMS(32), 5, 96); }
static void type_31(builder *b) { one_tensor(b, "t", 1, DIMS(32), 31, 96); }
static void type_33(builder *b) { one_tensor(b, "t", 1, DIMS(32), 33, 96); }
static void type_36(builder *b) { one_tensor(b, "t", 1, DIMS(32), 36, 96); }
static void type_38(builder *b) { one_tensor(b, "t", 1, DIMS(32), 38, 96); }
static void type_99(builder *b) { one_tensor(b, "t", 1, DIMS(32), 99, 96); }
static void type_all_ones(builder *b) { one_tensor(b, "t", 1, DIMS(32), UINT32_MAX, 96); }
static void type_i64(builder *b) { one_tensor(b, "t", 1, DIMS(3), 27, 24); }
static void type_mxfp4(builder *b) { one_tensor(b, "t", 1, DIMS(64), 39, 34); }
static void data_missing(builder *b) { one_tensor(b, "t", 1, DIMS(8), 0, 31); }
static void last_padding_missing(builder *b) { one_tensor(b, "t", 1, DIMS(3), 0, 12); }

static void name_n(builder *b, size_t n)
{
    char name[80];
    memset(name, 'n', sizeof name);
    name[n] = 0;
    one_tensor(b, name, 1, DIMS(8), 0, 32);
}

static void name_64(builder *b) { name_n(b, 64); }
static void name_65(builder *b) { name_n(b, 65); }
static void name_0(builder *b) { name_n(b, 0); }
static void name_bad_utf8(builder *b) { one_tensor(b, "t\xff", 1, DIMS(8), 0, 32); }

static void name_nul(builder *b)
{
    name_n(b, 3);
    b->data[24 + 8 + 1] = 0;
}

static void two_tensors(builder *b, const char *first, const char *second, uint64_t offset, size_t n_bytes)
{
    put_header(b, 3, 2, 0);
    put_tensor(b, first, 1, DIMS(3), 0, 0);
    put_tensor(b, second, 1, DIMS(8), 0, offset);
    put_padding(b, 32);
    put_zeros(b, n_bytes);
}

static void two_good(builder *b) { two_tensors(b, "a", "b", 32, 64); }
static void two_same_names(builder *b) { two_tensors(b, "a", "a", 32, 64); }
static void overlap(builder *b) { two_tensors(b, "a", "b", 0, 64); }
static void hole(builder *b) { two_tensors(b, "a", "b", 64, 96); }
static void misaligned(builder *b) { two_tensors(b, "a", "b", 12, 64); }
static void past_end(builder *b) { two_tensors(b, "a", "b", UINT64_C(1) << 40, 64); }
static void offset_wraps(builder *b) { two_tensors(b, "a", "b", UINT64_MAX - 31, 64); }
static void second_cut(builder *b) { two_tensors(b, "a", "b", 32, 63); }

static void first_offset_not_0(builder *b)
{
    put_header(b, 3, 1, 0);
    put_tensor(b, "a", 1, DIMS(8), 0, 32);
    put_padding(b, 32);
    put_zeros(b, 64);
}

static void empty_between(builder *b)
{
    put_header(b, 3, 3, 0);
    put_tensor(b, "a", 1, DIMS(8), 0, 0);
    put_tensor(b, "none", 2, DIMS(32, 0), 8, 32);
    put_tensor(b, "b", 1, DIMS(8), 0, 32);
    put_padding(b, 32);
    put_zeros(b, 64);
}

/* Two tensors whose sizes add up to more than 2^64. */
static void sum_wraps(builder *b)
{
    put_header(b, 3, 3, 0);
    put_tensor(b, "a", 1, DIMS(INT64_MAX - 31), 24, 0);
    put_tensor(b, "b", 1, DIMS(INT64_MAX - 31), 24, INT64_MAX - 31);
    put_tensor(b, "c", 1, DIMS(INT64_MAX - 31), 24, UINT64_MAX - 63);
    put_padding(b, 32);
    put_zeros(b, 64);
}

#define BAD LP_INPUT
static const verdict verdicts[] = {
    /* what the file is */
    {"an empty file is rejected as empty", empty_file, .status = BAD, .reason = "empty"},
    {"an HTML page is recognised", html, .status = BAD, .reason = "HTML"},
    {"a Git LFS pointer is recognised", lfs, .status = BAD, .reason = "git lfs pull"},
    {"a ZIP archive is recognised", zip, .status = BAD, .reason = "ZIP"},
    {"a gzip file is recognised", gzip, .status = BAD, .reason = "gzip"},
    {"a safetensors file is recognised", safetensors, .status = BAD, .reason = "safetensors"},
    {"a JSON text is recognised", json, .status = BAD, .reason = "JSON"},
    {"a file older than GGUF is recognised", ggjt, .status = BAD, .reason = "older than GGUF"},
    {"other bytes are shown", noise, .status = BAD, .reason = "01 02 03 04"},
    {"three bytes of the magic are no GGUF file", three_bytes, .status = BAD, .reason = "it has 3 bytes"},
    {"the magic alone is too short", bare_magic, .status = BAD, .reason = "needs 24 bytes"},
    {"a big-endian file is recognised", big_endian, .status = BAD, .reason = "big-endian"},
    {"a file that declares nothing is accepted", nothing_declared, .reason = NULL},
    {"a file without tensors may be padded", padded_without_tensors, .reason = NULL},
    {"bytes after a file without tensors are warned of", trailing_without_tensors, .reason = "1 bytes follow"},
    /* header */
    {"the toy file is accepted", put_toy, .reason = NULL},
    {"version 2 is accepted", version_2, .reason = NULL},
    {"version 0 is rejected", NULL, AT_VERSION, 4, 0, .status = BAD, .reason = "version 0 "},
    {"version 1 is rejected", NULL, AT_VERSION, 4, 1, .status = BAD, .reason = "version 1 "},
    {"version 4 is rejected", NULL, AT_VERSION, 4, 4, .status = BAD, .reason = "version 4 "},
    {"version 03000000 is a big-endian file", NULL, AT_VERSION, 4, 0x03000000, .status = BAD, .reason = "big-endian"},
    {"a tensor count of all ones is rejected", NULL, AT_N_TENSORS, 8, UINT64_MAX, .status = BAD,
     .reason = "18446744073709551615 tensors"},
    {"a key count of all ones is rejected", NULL, AT_N_KEYS, 8, UINT64_MAX, .status = BAD,
     .reason = "18446744073709551615 keys"},
    {"a tensor count that the rest cannot hold is rejected", NULL, AT_N_TENSORS, 8, 9, .status = BAD, .reason = "9 tensors"},
    {"a key count of 4 is rejected", NULL, AT_N_KEYS, 8, 4, .status = BAD, .reason = "tensor 0"},
    {"a key count of 2 is rejected", NULL, AT_N_KEYS, 8, 2, .status = BAD, .reason = ""},
    {"a tensor count of 3 is rejected", NULL, AT_N_TENSORS, 8, 3, .status = BAD, .reason = ""},
    {"a tensor count of 1 leaves a tensor's entry where data begins", NULL, AT_N_TENSORS, 8, 1, .reason = "bytes follow"},
    /* keys */
    {"an unknown key is kept", unknown_key, .reason = NULL},
    {"a key length of all ones is rejected", NULL, AT_KEY_LENGTH, 8, UINT64_MAX, .status = BAD,
     .reason = "length of 18446744073709551615"},
    {"a key length beyond the file is rejected", NULL, AT_KEY_LENGTH, 8, 289, .status = BAD, .reason = "289"},
    {"an empty key is rejected", empty_key, .status = BAD, .reason = "empty"},
    {"a key of 65535 bytes is accepted", key_65535, .reason = NULL},
    {"a key of 65536 bytes is rejected", key_65536, .status = BAD, .reason = "65536"},
    {"a key in UTF-8 is accepted", key_utf8, .reason = NULL},
    {"a key in Latin-1 is rejected", key_latin1, .status = BAD, .reason = "caf\\xe9: key is not valid UTF-8"},
    {"an overlong form in a key is rejected", key_overlong, .status = BAD, .reason = "UTF-8"},
    {"a surrogate in a key is rejected", key_surrogate, .status = BAD, .reason = "UTF-8"},
    {"a sequence cut short in a key is rejected", key_cut_sequence, .status = BAD, .reason = "UTF-8"},
    {"a character above U+10FFFF in a key is rejected", key_above_unicode, .status = BAD, .reason = "UTF-8"},
    {"a key with NUL is rejected", key_nul, .status = BAD, .reason = "NUL", .item = "a\\x00b"},
    {"a duplicate key is rejected", duplicate_key, .status = BAD, .reason = "duplicate key (number 0 and number 2)", .item = "again"},
    {"a duplicate alignment is rejected", duplicate_alignment, .status = BAD, .reason = "duplicate key"},
    {"value type 13 is rejected", key_type_13, .status = BAD, .reason = "value type 13"},
    {"a value type of all ones is rejected", key_type_huge, .status = BAD, .reason = "value type 4294967295"},
    {"a bool of 0 is accepted", bool_0, .reason = NULL},
    {"a bool of 1 is accepted", bool_1, .reason = NULL},
    {"a bool of 2 is rejected", bool_2, .status = BAD, .reason = "value 2"},
    {"a value cut short is rejected", f64_cut, .status = BAD, .reason = "needs 8 bytes"},
    {"a string length of all ones is rejected", string_all_ones, .status = BAD, .reason = "18446744073709551615"},
    {"a string length that wraps the position is rejected", string_wraps_position, .status = BAD, .reason = "claims a length"},
    {"a string of 1 MiB is accepted", string_1m, .reason = NULL},
    {"a longer string is rejected", string_above_1m, .status = BAD, .reason = "1048577", .item = "general.name"},
    {"a longer string in an array is rejected", strings_above_1m, .status = BAD, .reason = "1048577", .item = "general.tags"},
    {"a longer template is accepted", template_above_1m, .reason = NULL},
    {"a longer token is accepted", tokens_above_1m, .reason = NULL},
    {"equal token texts are accepted", duplicate_tokens, .reason = NULL},
    /* arrays */
    {"an array of no elements is accepted", array_empty, .reason = NULL},
    {"an array of no strings is accepted", array_empty_strings, .reason = NULL},
    {"an array that fills the file is accepted", array_exact, .reason = NULL},
    {"an array one byte short is rejected", array_short, .status = BAD, .reason = "needs 24 bytes"},
    {"a negative array length is rejected", array_negative, .status = BAD, .reason = "list"},
    {"an array length that wraps is rejected", array_wraps, .status = BAD, .reason = "needs 18446744073709551615"},
    {"an array of arrays is rejected", array_of_arrays, .status = BAD, .reason = "arrays of arrays"},
    {"an empty array of arrays is rejected", array_of_arrays_empty, .status = BAD, .reason = "arrays of arrays"},
    {"element type 13 is rejected", array_element_13, .status = BAD, .reason = "element type 13"},
    {"an array of more strings than fit is rejected", array_strings_short, .status = BAD, .reason = "string 8 of the array"},
    {"a string length of all ones in an array is rejected", array_string_wraps, .status = BAD, .reason = "string 1 of the array"},
    {"an array of bools is accepted", array_bools, .reason = NULL},
    {"an array with a bool of 3 is rejected", array_bool_3, .status = BAD, .reason = "value 3"},
    {"an element count of 2^32 is rejected", NULL, AT_COUNT, 8, UINT64_C(1) << 32, .status = BAD, .reason = "toy.list"},
    /* alignment */
    {"alignment 1 is accepted", alignment_1, .reason = NULL},
    {"alignment 64 is accepted", alignment_64, .reason = NULL},
    {"alignment 1 MiB is accepted", alignment_1m, .reason = NULL},
    {"alignment 2 MiB is rejected", alignment_2m, .status = BAD, .reason = "2097152"},
    {"alignment 2^31 is rejected", alignment_2_31, .status = BAD, .reason = "2147483648"},
    {"alignment 3 is rejected", alignment_3, .status = BAD, .reason = "is 3"},
    {"alignment 24 is rejected", NULL, AT_ALIGNMENT, 4, 24, .status = BAD, .reason = "is 24", .item = "general.alignment"},
    {"alignment 0 is rejected", NULL, AT_ALIGNMENT, 4, 0, .status = BAD, .reason = "is 0"},
    {"an alignment of type u64 is rejected", alignment_u64, .status = BAD, .reason = "type u64"},
    {"an alignment of type i32 is rejected", alignment_i32, .status = BAD, .reason = "type i32"},
    /* shapes */
    {"four dimensions are accepted", dims_4, .reason = NULL},
    {"no dimension is rejected", dims_0, .status = BAD, .reason = "0 dimensions"},
    {"five dimensions are rejected", dims_5, .status = BAD, .reason = "5 dimensions"},
    {"two thousand million dimensions are rejected", dims_many, .status = BAD, .reason = "2147483651 dimensions"},
    {"a tensor's n_dims of 5 in the toy file is rejected", NULL, AT_B_DIMS, 4, 5, .status = BAD, .reason = "5 dimensions", .item = "b"},
    {"a dimension of 0 is an empty tensor", dimension_0, .reason = NULL},
    {"a row of no blocks is an empty tensor", dimension_0_first, .reason = NULL},
    {"an empty tensor between two others is accepted", empty_between, .reason = NULL},
    {"a dimension of 2^63 is rejected", dimension_2_63, .status = BAD, .reason = "9223372036854775808"},
    {"a dimension of all ones is rejected", dimension_all_ones, .status = BAD, .reason = "18446744073709551615"},
    {"dimensions whose product wraps to 0 are rejected", dims_wrap, .status = BAD, .reason = "overflows"},
    {"dimensions whose product wraps to little are rejected", dims_wrap_small, .status = BAD, .reason = "overflows"},
    {"dimensions of an empty tensor whose product wraps are rejected", dims_wrap_empty, .status = BAD, .reason = "overflows"},
    {"a size in bytes that wraps is rejected", bytes_wrap, .status = BAD, .reason = "overflows"},
    {"a size in blocks that wraps is rejected", bytes_wrap_block, .status = BAD, .reason = "overflows"},
    {"an exabyte tensor is rejected", exabyte, .status = BAD, .reason = "4611686018427387"},
    {"a row that is no multiple of the block is rejected", row_not_block, .status = BAD, .reason = "block of q8_0"},
    {"a row that is half a super-block is rejected", row_not_super_block, .status = BAD, .reason = "block of q4_k"},
    {"31 values of Q8_0 are rejected", NULL, AT_B_DIM0, 8, 31, .status = BAD, .reason = "rows of 31 values", .item = "b"},
    /* types */
    {"the removed type 4 is rejected", type_4, .status = BAD, .reason = "type 4 was removed"},
    {"the removed type 5 is rejected", type_5, .status = BAD, .reason = "type 5 was removed"},
    {"the removed type 31 is rejected", type_31, .status = BAD, .reason = "type 31 was removed"},
    {"the removed type 33 is rejected", type_33, .status = BAD, .reason = "type 33 was removed"},
    {"the removed type 36 is rejected", type_36, .status = BAD, .reason = "type 36 was removed"},
    {"the removed type 38 is rejected", type_38, .status = BAD, .reason = "type 38 was removed"},
    {"the unknown type 99 is rejected", type_99, .status = BAD, .reason = "type 99 is unknown", .item = "t"},
    {"a type of all ones is rejected", type_all_ones, .status = BAD, .reason = "type 4294967295 is unknown"},
    {"type i64 is accepted", type_i64, .reason = NULL},
    {"type mxfp4 is accepted", type_mxfp4, .reason = NULL},
    /* names */
    {"a name of 64 bytes is accepted", name_64, .reason = NULL},
    {"a name of 65 bytes is rejected", name_65, .status = BAD, .reason = "65"},
    {"an empty name is rejected", name_0, .status = BAD, .reason = "empty"},
    {"a name with NUL is rejected", name_nul, .status = BAD, .reason = "NUL"},
    {"a name that is not UTF-8 is rejected", name_bad_utf8, .status = BAD, .reason = "UTF-8", .item = "t\\xff"},
    {"a duplicate name is rejected", two_same_names, .status = BAD, .reason = "duplicate tensor name (number 0 and number 1)"},
    {"name a twice in the toy file is rejected", NULL, AT_B_NAME, 1, 'a', .status = BAD, .reason = "duplicate tensor name"},
    /* places */
    {"two tensors in order are accepted", two_good, .reason = NULL},
    {"overlapping tensors are rejected", overlap, .status = BAD, .reason = "overlap"},
    {"a hole is rejected", hole, .status = BAD, .reason = "hole"},
    {"a misaligned offset is rejected", misaligned, .status = BAD, .reason = "no multiple of the alignment"},
    {"an offset past the end is rejected", past_end, .status = BAD, .reason = "1099511627776"},
    {"an offset that wraps is rejected", offset_wraps, .status = BAD, .reason = "18446744073709551584"},
    {"a first offset other than 0 is rejected", first_offset_not_0, .status = BAD, .reason = "hole"},
    {"offset 64 of b is rejected", NULL, AT_B_OFFSET, 8, 64, .status = BAD, .reason = "hole", .item = "b"},
    {"offset 0 of b is rejected", NULL, AT_B_OFFSET, 8, 0, .status = BAD, .reason = "overlap", .item = "b"},
    {"sizes whose sum wraps are rejected", sum_wraps, .status = BAD, .reason = "overflows"},
    {"missing data is rejected with the numbers", data_missing, .status = BAD, .reason = "ends at byte 96, but the file has 95"},
    {"missing data of the second tensor is rejected", second_cut, .status = BAD, .reason = "1 are missing", .item = "b"},
    {"missing padding after the last tensor is accepted", last_padding_missing, .reason = NULL},
    {"the toy file without its last padding is accepted", NULL, .size = 290, .reason = NULL},
    {"the toy file without its last byte of data is rejected", NULL, .size = 289, .status = BAD, .reason = "download"},
    {"trailing bytes are warned of", trailing, .reason = "7 bytes follow the last tensor"},
};

static void verdict_holds(void **state)
{
    const verdict *v = *state;
    builder b = {0};
    (v->make ? v->make : put_toy)(&b);
    if (v->n) memcpy(b.data + v->at, &v->value, v->n);
    if (v->size) b.n = v->size;
    /* An exact heap copy, so that a sanitizer sees a read of one byte too many. */
    uint8_t *exact = malloc(b.n ? b.n : 1);
    if (b.n) memcpy(exact, b.data, b.n);
    free(b.data);

    lp_gguf *gguf = NULL;
    lp_status status = lp_gguf_open_memory(exact, b.n, "dir/model.gguf", &gguf);
    if (status != v->status) print_error("%s\n", lp_error());
    assert_int_equal(status, v->status);
    if (v->status == LP_OK) {
        assert_non_null(gguf);
        const char *warning = lp_gguf_warning(gguf, 0);
        if (v->reason) {
            assert_non_null(warning);
            assert_non_null(strstr(warning, v->reason));
            assert_null(lp_gguf_warning(gguf, 1));
        } else assert_null(warning);
    } else {
        assert_null(gguf);
        assert_int_equal(strncmp(lp_error(), "dir/model.gguf: ", 16), 0);
        if (!strstr(lp_error(), v->reason)) fail_msg("'%s' is not in '%s'", v->reason, lp_error());
        if (v->item) {
            size_t n = strlen(v->item);
            assert_int_equal(strncmp(lp_error() + 16, v->item, n), 0);
            assert_int_equal(lp_error()[16 + n], ':');
        }
    }
    lp_gguf_close(gguf);
    free(exact);
}

int main(void)
{
    enum { N = sizeof verdicts / sizeof *verdicts };
    static struct CMUnitTest tests[N];
    for (size_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){verdicts[i].what, verdict_holds, NULL, NULL, (void *)(uintptr_t)&verdicts[i]};
    return cmocka_run_group_tests_name("gguf verdicts", tests, NULL, NULL);
}
