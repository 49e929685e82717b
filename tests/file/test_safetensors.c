/* One test per verdict on a safetensors file (formats/safetensors-container.md), then folders and the writer. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "file/safetensors.h"

#include "folder.h"

static const char card_header[] =
    "{\"__metadata__\":{\"k\":\"v\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,3],\"data_offsets\":[0,24]},"
    "\"b\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[24,28]}}";

/* A header as it is, and n bytes of data. */
static void put_file(builder *b, const char *header, size_t n_data)
{
    put_u64(b, strlen(header));
    put(b, header, strlen(header));
    put_zeros(b, n_data);
}

static void put_card(builder *b)
{
    put_u64(b, 144);
    put(b, card_header, strlen(card_header));
    while (b->n < 152) put_u8(b, ' ');
    for (int i = 1; i <= 6; i++) put_f32(b, (float)i);
    put_u16(b, 0x3f80);
    put_u16(b, 0xc000);
}

#define T(dtype, shape, offsets) "{\"dtype\":\"" dtype "\",\"shape\":" shape ",\"data_offsets\":" offsets "}"

typedef struct verdict {
    const char *what, *header;
    size_t n_data;
    const char *reason; /* NULL: accepted */
    lp_status status;   /* 0: LP_INPUT */
} verdict;

static const verdict verdicts[] = {
    {"an empty header is accepted", "{}", 0, NULL, 0},
    {"metadata alone is accepted", "{\"__metadata__\":{\"a\":\"b\"}}", 0, NULL, 0},
    {"padding is accepted", "{}      ", 0, NULL, 0},
    {"an open brace is rejected", "{", 0, "quotes is missing", 0},
    {"a leading space is rejected", " {}", 0, "begin with '{'", 0},
    {"an array is rejected", "[]", 0, "begin with '{'", 0},
    {"bytes that are no UTF-8 are rejected", "{\"\xff\":1}", 0, "UTF-8", 0},
    {"a hole is rejected", "{\"a\":" T("F32", "[6]", "[0,24]") ",\"b\":" T("F32", "[1]", "[28,32]") "}", 32, "a hole", 0},
    {"a hole at the start is rejected", "{\"a\":" T("F32", "[1]", "[4,8]") "}", 8, "a hole", 0},
    {"an overlap is rejected", "{\"a\":" T("F32", "[6]", "[0,24]") ",\"b\":" T("F32", "[1]", "[20,24]") "}", 24, "an overlap", 0},
    {"the same bytes twice are rejected", "{\"a\":" T("U8", "[4]", "[0,4]") ",\"b\":" T("U8", "[4]", "[0,4]") "}", 4, "an overlap", 0},
    {"an end before its begin is rejected", "{\"a\":" T("F32", "[1]", "[8,4]") "}", 8, "before its begin", 0},
    {"too few bytes for the shape are rejected", "{\"a\":" T("F32", "[2]", "[0,4]") "}", 4, "needs 8 bytes", 0},
    {"too many bytes for the shape are rejected", "{\"a\":" T("F32", "[1]", "[0,8]") "}", 8, "needs 4 bytes", 0},
    {"a shape that overflows is rejected", "{\"a\":" T("F32", "[4294967296,4294967296]", "[0,0]") "}", 0, "overflows", 0},
    {"bits that overflow are rejected", "{\"a\":" T("F64", "[4503599627370496,1024]", "[0,0]") "}", 0, "overflows", 0},
    {"a trailing byte is rejected", "{\"a\":" T("F32", "[1]", "[0,4]") "}", 5, "1 bytes follow", 0},
    {"bytes without tensors are rejected", "{}", 1, "1 bytes follow", 0},
    {"missing data is rejected", "{\"a\":" T("F32", "[1]", "[0,4]") "}", 3, "the buffer has 3", 0},
    {"an odd number of F4 is rejected", "{\"a\":" T("F4", "[3]", "[0,2]") "}", 2, "misaligned", 0},
    {"an even number of F4 is accepted", "{\"a\":" T("F4", "[4]", "[0,2]") "}", 2, NULL, 0},
    {"four F6 are accepted", "{\"a\":" T("F6_E2M3", "[4]", "[0,3]") "}", 3, NULL, 0},
    {"an unknown dtype is rejected", "{\"a\":" T("F17", "[1]", "[0,4]") "}", 4, "dtype 'F17' is unknown", 0},
    {"a dtype in small letters is rejected", "{\"a\":" T("f32", "[1]", "[0,4]") "}", 4, "is unknown", 0},
    {"a negative offset is rejected", "{\"a\":" T("F32", "[1]", "[-4,0]") "}", 4, "an offset is no integer", 0},
    {"a fractional offset is rejected", "{\"a\":" T("F32", "[1]", "[0,4.0]") "}", 4, "an offset is no integer", 0},
    {"an offset above 2^53 is rejected", "{\"a\":" T("F32", "[1]", "[0,9007199254740993]") "}", 4, "an offset is no integer", 0},
    {"three offsets are rejected", "{\"a\":" T("F32", "[1]", "[0,4,4]") "}", 4, "no pair", 0},
    {"a negative dimension is rejected", "{\"a\":" T("F32", "[-1]", "[0,4]") "}", 4, "a dimension", 0},
    {"a shape that is no array is rejected", "{\"a\":" T("F32", "1", "[0,4]") "}", 4, "shape is missing", 0},
    {"a missing dtype is rejected", "{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", 4, "dtype is missing", 0},
    {"a missing shape is rejected", "{\"a\":{\"dtype\":\"U8\",\"data_offsets\":[0,4]}}", 4, "shape is missing", 0},
    {"missing offsets are rejected", "{\"a\":{\"dtype\":\"U8\",\"shape\":[4]}}", 4, "data_offsets is missing", 0},
    {"a tensor that is no object is rejected", "{\"a\":1}", 0, "by an object", 0},
    {"a duplicate tensor is rejected", "{\"a\":" T("U8", "[0]", "[0,0]") ",\"a\":" T("U8", "[0]", "[0,0]") "}", 0, "a: duplicate", 0},
    {"a duplicate by an escape is rejected", "{\"a\":" T("U8", "[0]", "[0,0]") ",\"\\u0061\":" T("U8", "[0]", "[0,0]") "}", 0, "a: duplicate", 0},
    {"metadata that is no object is rejected", "{\"__metadata__\":[]}", 0, "no object", 0},
    {"a metadata value that is no string is rejected", "{\"__metadata__\":{\"a\":1}}", 0, "no string", 0},
    {"a nesting bomb is rejected", "{\"a\":[[[[[[[[]]]]]]]]}", 0, "more than 4 deep", 0},
    {"a rank of 0 is accepted", "{\"a\":" T("F32", "[]", "[0,4]") "}", 4, NULL, 0},
    {"an empty tensor is accepted", "{\"a\":" T("F32", "[0,5]", "[0,0]") "}", 0, NULL, 0},
    {"an empty tensor between others is accepted", "{\"a\":" T("U8", "[2]", "[0,2]") ",\"e\":" T("U8", "[0]", "[2,2]") ",\"b\":" T("U8", "[2]", "[2,4]") "}", 4, NULL, 0},
    {"tensors in another order than their data are accepted", "{\"b\":" T("U8", "[2]", "[2,4]") ",\"a\":" T("U8", "[2]", "[0,2]") "}", 4, NULL, 0},
    {"nine dimensions are not supported", "{\"a\":" T("U8", "[1,1,1,1,1,1,1,1,1]", "[0,1]") "}", 1, "9 dimensions", LP_UNSUPPORTED},
    {"a name with NUL is rejected", "{\"a\\u0000\":" T("U8", "[0]", "[0,0]") "}", 0, "NUL", 0},
};

static lp_status open_exact(builder *b, lp_safetensors **file, uint8_t **exact)
{
    *exact = malloc(b->n ? b->n : 1);
    if (b->n) memcpy(*exact, b->data, b->n);
    free(b->data);
    return lp_safetensors_open_memory(*exact, b->n, "dir/f", file);
}

static void verdict_holds(void **state)
{
    const verdict *v = *state;
    builder b = {0};
    uint8_t *exact;
    lp_safetensors *file;
    put_file(&b, v->header, v->n_data);
    lp_status status = open_exact(&b, &file, &exact);
    assert_int_equal(status, !v->reason ? LP_OK : v->status ? v->status : LP_INPUT);
    if (v->reason) {
        assert_null(file);
        assert_int_equal(strncmp(lp_error(), "dir/f: ", 7), 0);
        if (!strstr(lp_error(), v->reason)) fail_msg("'%s' is not in '%s'", v->reason, lp_error());
    }
    lp_safetensors_close(file);
    free(exact);
}

static void refuse(builder *b, const char *reason)
{
    uint8_t *exact;
    lp_safetensors *file;
    assert_int_equal(open_exact(b, &file, &exact), LP_INPUT);
    if (!strstr(lp_error(), reason)) fail_msg("'%s' is not in '%s'", reason, lp_error());
    free(exact);
}

static void lengths_that_lie_are_rejected(void **state)
{
    (void)state;
    builder b = {0};
    put_zeros(&b, 7);
    refuse(&b, "it has 7 bytes");
    b = (builder){0};
    put_u64(&b, 100000001);
    put_zeros(&b, 100);
    refuse(&b, "at most 100000000");
    b = (builder){0};
    put_u64(&b, 3);
    put(&b, "{}", 2);
    refuse(&b, "but 2 are left");
    b = (builder){0};
    put_u64(&b, UINT64_MAX);
    refuse(&b, "are allowed");
    b = (builder){0};
    put_u64(&b, 0);
    refuse(&b, "begin with '{'");
}

static void the_cards_file_is_read(void **state)
{
    (void)state;
    builder b = {0};
    uint8_t *exact;
    lp_safetensors *file;
    put_card(&b);
    assert_int_equal(b.n, 180);
    assert_int_equal(open_exact(&b, &file, &exact), LP_OK);
    assert_int_equal(file->n, 2);
    assert_string_equal(file->tensor[0].type->name, "F32");
    assert_int_equal(file->tensor[0].n_dims, 2);
    assert_int_equal(file->tensor[0].dim[1], 3);
    assert_memory_equal(file->tensor[1].data, "\x80\x3f\x00\xc0", 4);
    lp_safetensors_close(file);
    free(exact);
}

static void every_cut_of_the_cards_file_is_rejected(void **state)
{
    (void)state;
    for (size_t n = 0; n < 180; n++) {
        builder b = {0};
        put_card(&b);
        b.n = n;
        uint8_t *exact;
        lp_safetensors *file;
        assert_int_equal(open_exact(&b, &file, &exact), LP_INPUT);
        free(exact);
    }
}

static void a_written_header_is_sorted_padded_and_read(void **state)
{
    (void)state;
    const lp_safetensors_type *f32 = NULL, *bf16 = NULL;
    for (int i = 0; i < lp_safetensors_type_count(); i++) {
        if (strcmp(lp_safetensors_types[i].name, "F32") == 0) f32 = &lp_safetensors_types[i];
        if (strcmp(lp_safetensors_types[i].name, "BF16") == 0) bf16 = &lp_safetensors_types[i];
    }
    lp_safetensor_declared d[] = {{"z\"", bf16, 1, {2}, 4, NULL}, {"b", f32, 1, {1}, 4, NULL}, {"a", f32, 2, {2, 3}, 24, NULL}};
    char *header;
    size_t n;
    assert_int_equal(lp_safetensors_header(d, 3, "", &header, &n), LP_OK);
    assert_string_equal(d[0].name, "a");
    assert_string_equal(d[2].name, "z\"");
    assert_int_equal(n % 8, 0);
    builder b = {0};
    put(&b, header, n);
    put_zeros(&b, 32);
    free(header);
    uint8_t *exact;
    lp_safetensors *file;
    assert_int_equal(open_exact(&b, &file, &exact), LP_OK);
    assert_int_equal(lp_names_find(&file->names, (lp_string){"z\"", 2}), 2);
    lp_safetensors_close(file);
    free(exact);
}

static void write_text(const char *name, const char *text) { write_file(path_of(name), text, strlen(text)); }

static void write_shard(const char *name, const char *tensor)
{
    builder b = {0};
    char header[200];
    snprintf(header, sizeof header, "{\"%s\":" T("U8", "[3]", "[0,3]") "}", tensor);
    put_file(&b, header, 3);
    write_file(path_of(name), b.data, b.n);
    free(b.data);
}

static void refuse_folder(const char *reason)
{
    lp_safetensors_folder f;
    assert_int_equal(lp_safetensors_folder_open(folder, &f), LP_INPUT);
    if (!strstr(lp_error(), reason)) fail_msg("'%s' is not in '%s'", reason, lp_error());
}

static void shards_are_what_their_index_says(void **state)
{
    (void)state;
    static const char index[] = "model.safetensors.index.json";
    refuse_folder("is in this folder");
    write_shard("one.safetensors", "a");
    write_shard("two.safetensors", "b");
    write_text(index, "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    lp_safetensors_folder f;
    assert_int_equal(lp_safetensors_folder_open(folder, &f), LP_OK);
    assert_int_equal(f.n_files, 2);
    assert_non_null(lp_safetensors_folder_find(&f, "b"));
    assert_null(lp_safetensors_folder_find(&f, "c"));
    lp_safetensors_folder_close(&f);
    write_text(index, "{\"weight_map\":{\"a\":\"two.safetensors\",\"b\":\"one.safetensors\"}}");
    refuse_folder("a: the tensor is not in");
    write_text(index, "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"../two.safetensors\"}}");
    refuse_folder("no plain file name");
    write_text(index, "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"three.safetensors\"}}");
    refuse_folder("cannot open");
    write_text(index, "{\"weight_map\":[]}");
    refuse_folder("weight_map");
    write_shard("two.safetensors", "a");
    write_text(index, "{\"weight_map\":{\"a\":\"one.safetensors\",\"b\":\"two.safetensors\"}}");
    refuse_folder("another shard too");
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int drop_folder(void **state)
{
    (void)state;
    return remove_folder();
}

int main(void)
{
    enum { N = sizeof verdicts / sizeof *verdicts, N_MORE = 5 };
    static struct CMUnitTest tests[N + N_MORE];
    static const struct CMUnitTest more[N_MORE] = {
        cmocka_unit_test(lengths_that_lie_are_rejected),  cmocka_unit_test(the_cards_file_is_read),
        cmocka_unit_test(every_cut_of_the_cards_file_is_rejected),
        cmocka_unit_test(a_written_header_is_sorted_padded_and_read), cmocka_unit_test(shards_are_what_their_index_says)};
    for (size_t i = 0; i < N; i++)
        tests[i] = (struct CMUnitTest){verdicts[i].what, verdict_holds, NULL, NULL, (void *)(uintptr_t)&verdicts[i]};
    memcpy(tests + N, more, sizeof more);
    return cmocka_run_group_tests_name("safetensors", tests, make_folder, drop_folder);
}
