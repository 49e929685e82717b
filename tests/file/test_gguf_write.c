/* Writing GGUF files: bytes, order, refusals, and reading back. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lowp/gguf.h>

#include "base/sha256.h"
#include "folder.h"
#include "format/crc32.h"
#include "random_model.h"

static void check(lp_status status)
{
    if (status != LP_OK) fail_msg("%s", lp_error());
}

static lp_gguf_writer *create(const char *path)
{
    lp_gguf_writer *writer = NULL;
    check(lp_gguf_writer_create(path, true, &writer));
    return writer;
}

static lp_string text(const char *s) { return (lp_string){s, strlen(s)}; }

static void the_toy_file_of_the_card_is_written_byte_for_byte(void **state)
{
    (void)state;
    const char *path = path_of("toy.gguf");
    lp_gguf_writer *writer = create(path);
    check(lp_gguf_writer_set_string(writer, "general.architecture", "toy"));
    check(lp_gguf_writer_set_u32(writer, "general.alignment", 32));
    check(lp_gguf_writer_set_i32s(writer, "toy.list", (const int32_t[]){1, -2, 3}, 3));
    check(lp_gguf_writer_add_tensor(writer, "a", 2, (const int64_t[]){3, 2}, lp_packing_by_name("f32")));
    check(lp_gguf_writer_add_tensor(writer, "b", 1, (const int64_t[]){32}, lp_packing_by_name("q8_0")));
    assert_int_equal(lp_gguf_writer_size(writer), 320);
    check(lp_gguf_writer_begin_data(writer));
    check(lp_gguf_writer_write(writer, (const float[]){1, 2, 3, 4, 5, 6}, 24));
    uint8_t block[34] = {0x00, 0x2c};
    for (int i = 0; i < 32; i++) block[2 + i] = (uint8_t)(i - 16);
    check(lp_gguf_writer_write(writer, block, 34));
    char sha256[65];
    check(lp_gguf_writer_finish(writer, sha256));

    builder file = read_file(path), expected = {0};
    put_toy(&expected);
    assert_int_equal(file.n, 320);
    assert_int_equal(crc32_of(file.data, file.n), 0xf226e6a2);
    assert_memory_equal(file.data, expected.data, 320);
    lp_sha256 hash;
    char hex[65];
    lp_sha256_begin(&hash);
    lp_sha256_add(&hash, file.data, file.n);
    lp_sha256_end(&hash, hex);
    assert_string_equal(sha256, hex);
    free(file.data);
    free(expected.data);
}

/* Copies keys, tensors and data of an opened file, the data in pieces of at most n_piece bytes. */
static void copy(const lp_gguf *gguf, const char *path, size_t n_piece)
{
    lp_gguf_writer *writer = create(path);
    for (int64_t i = 0; i < lp_gguf_key_count(gguf); i++) check(lp_gguf_writer_copy_key(writer, lp_gguf_key_at(gguf, i)));
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(gguf, i);
        check(lp_gguf_writer_add_tensor(writer, t->name, t->n_dims, t->dim, t->packing));
    }
    uint64_t size = lp_gguf_writer_size(writer);
    check(lp_gguf_writer_begin_data(writer));
    /* Pieces go over the borders of tensors too. */
    builder all = {0};
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++)
        put(&all, lp_gguf_tensor_at(gguf, i)->data, lp_gguf_tensor_at(gguf, i)->n_bytes);
    for (size_t at = 0; at < all.n; at += n_piece)
        check(lp_gguf_writer_write(writer, all.data + at, all.n - at < n_piece ? all.n - at : n_piece));
    free(all.data);
    check(lp_gguf_writer_finish(writer, NULL));
    builder file = read_file(path);
    assert_int_equal(file.n, size);
    free(file.data);
}

static void write_read_write_is_byte_identical(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 40; seed++) {
        builder b = {0};
        put_random_model(&b, seed);
        lp_gguf *gguf;
        check(lp_gguf_open_memory(b.data, b.n, "model", &gguf));
        copy(gguf, path_of("first.gguf"), 1 + seed * 3);
        lp_gguf_close(gguf);
        check(lp_gguf_open(path_of("first.gguf"), &gguf));
        copy(gguf, path_of("second.gguf"), 1 << 20);
        lp_gguf_close(gguf);
        builder first = read_file(path_of("first.gguf")), second = read_file(path_of("second.gguf"));
        assert_int_equal(first.n, second.n);
        assert_memory_equal(first.data, second.data, first.n);
        /* A whole file of version 3 comes back as it was; of version 2, with the new version. */
        b.data[TOY_VERSION] = 3;
        assert_int_equal(first.n, b.n);
        assert_memory_equal(first.data, b.data, b.n);
        free(first.data);
        free(second.data);
        free(b.data);
    }
}

static void every_kind_of_value_reads_back(void **state)
{
    (void)state;
    lp_gguf_writer *writer = create(path_of("keys.gguf"));
    check(lp_gguf_writer_set_u32(writer, "u32", UINT32_MAX));
    check(lp_gguf_writer_set_u64(writer, "u64", UINT64_C(1) << 40));
    check(lp_gguf_writer_set_f32(writer, "f32", -0.25f));
    check(lp_gguf_writer_set_bool(writer, "bool", true));
    check(lp_gguf_writer_set_string(writer, "string", "caf\xc3\xa9"));
    check(lp_gguf_writer_set_strings(writer, "strings", (const lp_string[]){text("a"), {"x\0y", 3}, text("")}, 3));
    check(lp_gguf_writer_set_strings(writer, "none", NULL, 0));
    check(lp_gguf_writer_set_i32s(writer, "no numbers", NULL, 0));
    check(lp_gguf_writer_finish(writer, NULL)); /* no tensors: begin_data is not needed */
    lp_gguf *gguf;
    check(lp_gguf_open(path_of("keys.gguf"), &gguf));
    assert_null(lp_gguf_warning(gguf, 0));
    int64_t i;
    double d;
    bool flag = false;
    lp_string s, list[3];
    check(lp_gguf_get_i64(gguf, "u32", true, &i));
    assert_int_equal(i, UINT32_MAX);
    check(lp_gguf_get_i64(gguf, "u64", true, &i));
    assert_int_equal(i, INT64_C(1) << 40);
    check(lp_gguf_get_f64(gguf, "f32", true, &d));
    assert_true(d == -0.25);
    check(lp_gguf_get_bool(gguf, "bool", true, &flag));
    assert_true(flag);
    check(lp_gguf_get_string(gguf, "string", true, &s));
    assert_int_equal(s.n, 5);
    check(lp_gguf_strings(lp_gguf_find(gguf, "strings"), list));
    assert_int_equal(list[1].n, 3);
    assert_memory_equal(list[1].data, "x\0y", 3);
    assert_int_equal(lp_gguf_find(gguf, "none")->n_elements, 0);
    assert_int_equal(lp_gguf_find(gguf, "none")->element, LP_GGUF_STRING);
    lp_gguf_close(gguf);
}

static void setting_a_key_again_replaces_it_in_place(void **state)
{
    (void)state;
    lp_gguf_writer *writer = create(path_of("again.gguf"));
    check(lp_gguf_writer_set_string(writer, "first", "short"));
    check(lp_gguf_writer_set_u32(writer, "second", 2));
    check(lp_gguf_writer_set_string(writer, "first", "a good deal longer"));
    check(lp_gguf_writer_set_u64(writer, "second", 3));
    uint64_t size = lp_gguf_writer_size(writer);
    check(lp_gguf_writer_finish(writer, NULL));
    lp_gguf *gguf;
    check(lp_gguf_open(path_of("again.gguf"), &gguf));
    assert_int_equal(lp_gguf_size(gguf), size);
    assert_int_equal(lp_gguf_key_count(gguf), 2);
    assert_memory_equal(lp_gguf_key_at(gguf, 0)->key.data, "first", 5);
    lp_string s;
    check(lp_gguf_get_string(gguf, "first", true, &s));
    assert_int_equal(s.n, 18);
    assert_int_equal(lp_gguf_find(gguf, "second")->type, LP_GGUF_U64);
    lp_gguf_close(gguf);
}

static void an_alignment_set_after_tensors_moves_them(void **state)
{
    (void)state;
    lp_gguf_writer *writer = create(path_of("aligned.gguf"));
    check(lp_gguf_writer_add_tensor(writer, "a", 1, (const int64_t[]){3}, lp_packing_by_name("f32")));
    check(lp_gguf_writer_add_tensor(writer, "b", 1, (const int64_t[]){3}, lp_packing_by_name("f32")));
    check(lp_gguf_writer_set_u32(writer, "general.alignment", 256));
    check(lp_gguf_writer_begin_data(writer));
    check(lp_gguf_writer_write(writer, (const float[]){1, 2, 3, 4, 5, 6}, 24));
    check(lp_gguf_writer_finish(writer, NULL));
    lp_gguf *gguf;
    check(lp_gguf_open(path_of("aligned.gguf"), &gguf));
    const lp_tensor *b = lp_gguf_find_tensor(gguf, "b");
    assert_int_equal(b->offset, 512);
    assert_memory_equal(b->data, ((const float[]){4, 5, 6}), 12);
    assert_int_equal(lp_gguf_size(gguf), 768);
    lp_gguf_close(gguf);
}

static void what_a_reader_would_reject_is_refused(void **state)
{
    (void)state;
    const lp_packing *f32 = lp_packing_by_name("f32"), *q8_0 = lp_packing_by_name("q8_0");
    static char long_key[65537], long_name[66], long_string[(1 << 20) + 2];
    memset(long_key, 'k', 65536);
    memset(long_name, 'n', 65);
    memset(long_string, 's', (1 << 20) + 1);
    lp_gguf_writer *writer = create(path_of("refused.gguf"));
    assert_int_equal(lp_gguf_writer_set_u32(writer, "", 1), LP_USAGE);
    assert_int_equal(lp_gguf_writer_set_u32(writer, "caf\xe9", 1), LP_USAGE);
    assert_int_equal(lp_gguf_writer_set_u32(writer, long_key, 1), LP_USAGE);
    assert_int_equal(lp_gguf_writer_set_u32(writer, long_key + 1, 1), LP_OK);
    assert_int_equal(lp_gguf_writer_set_string(writer, "k", long_string), LP_USAGE);
    assert_int_equal(lp_gguf_writer_set_string(writer, "tokenizer.chat_template", long_string), LP_OK);
    assert_int_equal(lp_gguf_writer_set_string(writer, "k", long_string + 1), LP_OK);
    assert_int_equal(lp_gguf_writer_set_u32(writer, "general.alignment", 24), LP_USAGE);
    assert_int_equal(lp_gguf_writer_set_u32(writer, "general.alignment", 1 << 21), LP_USAGE);
    assert_int_equal(lp_gguf_writer_set_u64(writer, "general.alignment", 32), LP_USAGE);
    assert_int_equal(lp_gguf_writer_add_tensor(writer, "", 1, (const int64_t[]){3}, f32), LP_USAGE);
    assert_int_equal(lp_gguf_writer_add_tensor(writer, long_name, 1, (const int64_t[]){3}, f32), LP_USAGE);
    assert_int_equal(lp_gguf_writer_add_tensor(writer, long_name + 1, 1, (const int64_t[]){3}, f32), LP_OK);
    assert_int_equal(lp_gguf_writer_add_tensor(writer, long_name + 1, 1, (const int64_t[]){3}, f32), LP_USAGE);
    assert_int_equal(lp_gguf_writer_add_tensor(writer, "t", 0, (const int64_t[]){3}, f32), LP_USAGE);
    assert_int_equal(lp_gguf_writer_add_tensor(writer, "t", 5, (const int64_t[]){1, 1, 1, 1, 1}, f32), LP_USAGE);
    assert_int_equal(lp_gguf_writer_add_tensor(writer, "t", 1, (const int64_t[]){-1}, f32), LP_USAGE);
    assert_int_equal(lp_gguf_writer_add_tensor(writer, "t", 2, (const int64_t[]){16, 2}, q8_0), LP_USAGE);
    assert_int_equal(lp_gguf_writer_add_tensor(writer, "t", 2, (const int64_t[]){INT64_C(1) << 40, INT64_C(1) << 40}, f32), LP_USAGE);
    assert_int_equal(lp_gguf_writer_add_tensor(writer, "t", 1, (const int64_t[]){INT64_C(1) << 61}, f32), LP_USAGE);
    assert_int_equal(lp_gguf_writer_write(writer, "", 1), LP_USAGE);
    check(lp_gguf_writer_begin_data(writer));
    assert_int_equal(lp_gguf_writer_begin_data(writer), LP_USAGE);
    assert_int_equal(lp_gguf_writer_set_u32(writer, "late", 1), LP_USAGE);
    assert_int_equal(lp_gguf_writer_add_tensor(writer, "late", 1, (const int64_t[]){3}, f32), LP_USAGE);
    check(lp_gguf_writer_write(writer, (const float[]){1, 2, 3}, 12));
    assert_int_equal(lp_gguf_writer_write(writer, "x", 1), LP_USAGE);
    check(lp_gguf_writer_write(writer, NULL, 0));
    lp_gguf_writer_abort(writer);
    lp_gguf_writer_abort(NULL);
    assert_int_not_equal(access(path_of("refused.gguf"), F_OK), 0);
}

static void an_incomplete_file_does_not_appear(void **state)
{
    (void)state;
    const char *path = path_of("incomplete.gguf"), *temporary = path_of(".incomplete.gguf.lowp-tmp");
    lp_gguf_writer *writer = create(path);
    check(lp_gguf_writer_add_tensor(writer, "t", 1, (const int64_t[]){3}, lp_packing_by_name("f32")));
    check(lp_gguf_writer_begin_data(writer));
    check(lp_gguf_writer_write(writer, "12345678901", 11));
    assert_int_equal(access(temporary, F_OK), 0);
    assert_int_equal(lp_gguf_writer_finish(writer, NULL), LP_USAGE);
    assert_non_null(strstr(lp_error(), "t: 11 of its 12 bytes"));
    assert_int_not_equal(access(path, F_OK), 0);
    assert_int_not_equal(access(temporary, F_OK), 0);
}

static void an_existing_file_is_kept_without_force(void **state)
{
    (void)state;
    const char *path = path_of("exists.gguf");
    write_file(path, "mine", 4);
    lp_gguf_writer *writer = (lp_gguf_writer *)1;
    assert_int_equal(lp_gguf_writer_create(path, false, &writer), LP_USAGE);
    assert_null(writer);
    check(lp_gguf_writer_create(path, true, &writer));
    lp_gguf_writer_abort(writer);
    builder b = read_file(path);
    assert_int_equal(b.n, 4);
    free(b.data);
    assert_int_equal(lp_gguf_writer_create(path_of("absent/x.gguf"), true, &writer), LP_INPUT);
}

static void output_may_replace_its_own_input(void **state)
{
    (void)state;
    builder b = {0};
    put_random_model(&b, 5);
    const char *path = path_of("same.gguf");
    write_file(path, b.data, b.n);
    lp_gguf *gguf;
    check(lp_gguf_open(path, &gguf));
    copy(gguf, path, 100);
    check(lp_gguf_check_intact(gguf)); /* the mapping still shows the old file */
    lp_gguf_close(gguf);
    check(lp_gguf_open(path, &gguf));
    assert_int_equal(lp_gguf_size(gguf), b.n);
    lp_gguf_close(gguf);
    free(b.data);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_toy_file_of_the_card_is_written_byte_for_byte),
        cmocka_unit_test(write_read_write_is_byte_identical),
        cmocka_unit_test(every_kind_of_value_reads_back),
        cmocka_unit_test(setting_a_key_again_replaces_it_in_place),
        cmocka_unit_test(an_alignment_set_after_tensors_moves_them),
        cmocka_unit_test(what_a_reader_would_reject_is_refused),
        cmocka_unit_test(an_incomplete_file_does_not_appear),
        cmocka_unit_test(an_existing_file_is_kept_without_force),
        cmocka_unit_test(output_may_replace_its_own_input),
    };
    int failed = cmocka_run_group_tests_name("gguf write", tests, NULL, NULL);
    return remove_folder() == 0 ? failed : 1;
}
