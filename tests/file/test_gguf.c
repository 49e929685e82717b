/* Reading GGUF files: values, look-up, damage of every kind, and the cost of hostile files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <fcntl.h>
#include <signal.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include <lowp/gguf.h>

#include "build.h"
#include "file/names.h"
#include "folder.h"
#include "random_model.h"

static lp_gguf *open_bytes(const builder *b)
{
    lp_gguf *gguf = NULL;
    if (lp_gguf_open_memory(b->data, b->n, "memory", &gguf) != LP_OK) fail_msg("%s", lp_error());
    return gguf;
}

/* Reads everything that a file offers; the sum keeps the reads alive. */
static uint64_t read_everything(const lp_gguf *gguf)
{
    uint64_t sum = 0;
    for (int64_t i = 0; i < lp_gguf_key_count(gguf); i++) {
        const lp_gguf_key *key = lp_gguf_key_at(gguf, i);
        for (size_t j = 0; j < key->key.n; j++) sum += (uint8_t)key->key.data[j];
        for (size_t j = 0; j < key->n_raw; j++) sum += key->raw[j];
        if (key->element == LP_GGUF_STRING) {
            lp_string *strings = malloc((key->n_elements + 1) * sizeof *strings);
            assert_int_equal(lp_gguf_strings(key, strings), LP_OK);
            for (uint64_t j = 0; j < key->n_elements; j++)
                if (strings[j].n) sum += (uint8_t)strings[j].data[strings[j].n - 1];
            free(strings);
        }
    }
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) {
        const lp_tensor *tensor = lp_gguf_tensor_at(gguf, i);
        for (size_t j = 0; j < tensor->n_bytes; j++) sum += tensor->data[j];
        assert_ptr_equal(lp_gguf_find_tensor(gguf, tensor->name), tensor);
    }
    return sum;
}

static void the_toy_file_has_its_keys_and_tensors(void **state)
{
    (void)state;
    builder b = {0};
    put_toy(&b);
    lp_gguf *gguf = open_bytes(&b);
    assert_string_equal(lp_gguf_path(gguf), "memory");
    assert_int_equal(lp_gguf_version(gguf), 3);
    assert_int_equal(lp_gguf_size(gguf), 320);
    assert_int_equal(lp_gguf_key_count(gguf), 3);
    assert_null(lp_gguf_key_at(gguf, 3));
    assert_null(lp_gguf_key_at(gguf, -1));
    assert_null(lp_gguf_find(gguf, "toy"));

    lp_string text;
    assert_int_equal(lp_gguf_get_string(gguf, "general.architecture", true, &text), LP_OK);
    assert_int_equal(text.n, 3);
    assert_memory_equal(text.data, "toy", 3);
    const lp_gguf_key *list = lp_gguf_find(gguf, "toy.list");
    assert_non_null(list);
    assert_ptr_equal(list, lp_gguf_key_at(gguf, 2));
    assert_int_equal(list->type, LP_GGUF_ARRAY);
    assert_int_equal(list->element, LP_GGUF_I32);
    assert_int_equal(list->n_elements, 3);
    int64_t value;
    assert_int_equal(lp_gguf_array_i64(list, 1, &value), LP_OK);
    assert_int_equal(value, -2);
    assert_int_equal(lp_gguf_array_i64(list, 3, &value), LP_USAGE);

    assert_int_equal(lp_gguf_tensor_count(gguf), 2);
    const lp_tensor *a = lp_gguf_tensor_at(gguf, 0), *q = lp_gguf_find_tensor(gguf, "b");
    assert_string_equal(a->name, "a");
    assert_int_equal(a->n_dims, 2);
    assert_int_equal(a->dim[0], 3);
    assert_int_equal(a->dim[1], 2);
    assert_int_equal(a->dim[2], 1);
    assert_int_equal(a->offset, 224);
    assert_int_equal(a->n_bytes, 24);
    assert_int_equal(lp_tensor_rows(a), 2);
    float row[32];
    lp_tensor_decode_row(a, 1, row);
    assert_true(row[0] == 4 && row[1] == 5 && row[2] == 6);
    assert_non_null(q);
    assert_int_equal(q->n_bytes, 34);
    assert_ptr_equal(q->data, b.data + 256);
    lp_tensor_decode_row(q, 0, row);
    assert_true(row[0] == -1.0f && row[31] == 15.0f / 16);
    assert_null(lp_gguf_find_tensor(gguf, "c"));
    assert_null(lp_gguf_tensor_at(gguf, 2));
    assert_int_equal(lp_gguf_check_intact(gguf), LP_OK);
    lp_gguf_drop_pages(gguf, a, 0, 2);
    lp_gguf_close(gguf);
    lp_gguf_close(NULL);
    free(b.data);
}

static void integers_are_read_from_every_width_where_they_fit(void **state)
{
    (void)state;
    static const struct {
        uint32_t type;
        size_t n;
        uint64_t bits;
        int64_t value;
    } rows[] = {
        {0, 1, 0xff, 255}, {1, 1, 0xff, -1}, {2, 2, 0xfffe, 65534}, {3, 2, 0xfffe, -2}, {4, 4, 0xffffffff, 4294967295},
        {5, 4, 0xffffffff, -1}, {10, 8, INT64_MAX, INT64_MAX}, {11, 8, UINT64_MAX, -1}, {11, 8, UINT64_C(1) << 63, INT64_MIN},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        builder b = {0};
        put_header(&b, 3, 0, 2);
        put_key(&b, "k", rows[i].type);
        put(&b, &rows[i].bits, rows[i].n);
        put_array(&b, "list", rows[i].type, 2);
        put_zeros(&b, rows[i].n);
        put(&b, &rows[i].bits, rows[i].n);
        lp_gguf *gguf = open_bytes(&b);
        int64_t value = 77;
        assert_int_equal(lp_gguf_get_i64(gguf, "k", true, &value), LP_OK);
        assert_true(value == rows[i].value);
        assert_int_equal(lp_gguf_array_i64(lp_gguf_find(gguf, "list"), 1, &value), LP_OK);
        assert_true(value == rows[i].value);
        double real;
        assert_int_equal(lp_gguf_get_f64(gguf, "k", true, &real), LP_INPUT);
        assert_int_equal(lp_gguf_array_f64(lp_gguf_find(gguf, "list"), 1, &real), LP_INPUT);
        lp_gguf_close(gguf);
        free(b.data);
    }
}

static void typed_reads_name_file_key_and_reason(void **state)
{
    (void)state;
    builder b = {0};
    put_header(&b, 3, 0, 6);
    put_key(&b, "big", 10);
    put_u64(&b, UINT64_C(1) << 63);
    put_key(&b, "real", 6);
    put_f32(&b, 0.5f);
    put_key(&b, "double", 12);
    put(&b, &(double){0.1}, 8);
    put_key(&b, "flag", 7);
    put_u8(&b, 1);
    put_array(&b, "flags", 7, 2);
    put_u16(&b, 0x0100);
    put_key(&b, "text", 8);
    put_string(&b, "");
    lp_gguf *gguf = open_bytes(&b);
    int64_t i = 5;
    double d = 5;
    bool flag = false;
    lp_string s = {"x", 1};
    assert_int_equal(lp_gguf_get_i64(gguf, "big", true, &i), LP_INPUT);
    assert_string_equal(lp_error(), "memory: big: is 9223372036854775808 (at most 2^63 - 1 is allowed)");
    assert_int_equal(lp_gguf_get_i64(gguf, "real", true, &i), LP_INPUT);
    assert_string_equal(lp_error(), "memory: real: has type f32 (an integer is required)");
    assert_int_equal(lp_gguf_get_i64(gguf, "flags", false, &i), LP_INPUT);
    assert_string_equal(lp_error(), "memory: flags: has type array of bool (an integer is required)");
    assert_int_equal(lp_gguf_get_i64(gguf, "absent", true, &i), LP_INPUT);
    assert_string_equal(lp_error(), "memory: absent: the key is missing");
    assert_int_equal(lp_gguf_get_i64(gguf, "absent", false, &i), LP_OK);
    assert_int_equal(i, 5);
    assert_int_equal(lp_gguf_get_f64(gguf, "real", true, &d), LP_OK);
    assert_true(d == 0.5);
    assert_int_equal(lp_gguf_get_f64(gguf, "double", true, &d), LP_OK);
    assert_true(d == 0.1);
    assert_int_equal(lp_gguf_get_f64(gguf, "flag", true, &d), LP_INPUT);
    assert_int_equal(lp_gguf_get_bool(gguf, "flag", true, &flag), LP_OK);
    assert_true(flag);
    assert_int_equal(lp_gguf_get_bool(gguf, "real", true, &flag), LP_INPUT);
    assert_int_equal(lp_gguf_get_string(gguf, "text", true, &s), LP_OK);
    assert_int_equal(s.n, 0);
    assert_int_equal(lp_gguf_get_string(gguf, "flag", true, &s), LP_INPUT);
    assert_int_equal(lp_gguf_strings(lp_gguf_find(gguf, "flags"), &s), LP_INPUT);
    assert_int_equal(lp_gguf_array_i64(lp_gguf_find(gguf, "flags"), 1, &i), LP_OK);
    assert_int_equal(i, 1);
    lp_gguf_close(gguf);
    free(b.data);
}

static void a_mapped_file_reads_as_the_same_bytes_in_memory(void **state)
{
    (void)state;
    builder b = {0};
    put_random_model(&b, 7);
    write_file(path_of("model.gguf"), b.data, b.n);
    lp_gguf *mapped, *memory = open_bytes(&b);
    assert_int_equal(lp_gguf_open(path_of("model.gguf"), &mapped), LP_OK);
    assert_int_equal(read_everything(mapped), read_everything(memory));
    for (int64_t i = 0; i < lp_gguf_tensor_count(mapped); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(mapped, i);
        lp_gguf_drop_pages(mapped, t, 0, lp_tensor_rows(t));
        lp_gguf_drop_pages(mapped, t, -5, INT64_MAX);
    }
    assert_int_equal(read_everything(mapped), read_everything(memory));
    assert_int_equal(lp_gguf_check_intact(mapped), LP_OK);
    lp_gguf_close(mapped);
    lp_gguf_close(memory);
    free(b.data);
}

static void what_cannot_be_opened_is_named(void **state)
{
    (void)state;
    lp_gguf *gguf = (lp_gguf *)1;
    assert_int_equal(lp_gguf_open(path_of("absent.gguf"), &gguf), LP_INPUT);
    assert_null(gguf);
    assert_non_null(strstr(lp_error(), "absent.gguf"));
    assert_int_equal(lp_gguf_open(folder, &gguf), LP_INPUT);
    assert_null(gguf);
    write_file(path_of("empty.gguf"), "", 0);
    assert_int_equal(lp_gguf_open(path_of("empty.gguf"), &gguf), LP_INPUT);
    assert_non_null(strstr(lp_error(), "empty.gguf: the file is empty (0 bytes)\n"));
}

/* Every prefix, from a heap block of just its size. The only ones that open are those that lack padding alone. */
static void check_truncation(const builder *b, size_t n_needed)
{
    for (size_t n = 0; n < b->n; n++) {
        uint8_t *exact = malloc(n ? n : 1);
        memcpy(exact, b->data, n);
        lp_gguf *gguf = NULL;
        lp_status status = lp_gguf_open_memory(exact, n, "cut", &gguf);
        if (status != (n < n_needed ? LP_INPUT : LP_OK)) fail_msg("%zu of %zu bytes: %d %s", n, b->n, (int)status, lp_error());
        if (gguf) read_everything(gguf);
        lp_gguf_close(gguf);
        free(exact);
    }
}

static void the_toy_file_cut_at_any_byte_is_rejected(void **state)
{
    (void)state;
    builder b = {0};
    put_toy(&b);
    check_truncation(&b, 290);
    free(b.data);
}

static void a_random_model_cut_at_any_byte_is_rejected(void **state)
{
    (void)state;
    for (uint32_t seed = 0; seed < 4; seed++) {
        builder b = {0};
        size_t n_needed = put_random_model(&b, seed);
        check_truncation(&b, n_needed);
        free(b.data);
    }
}

/* Single bytes, all values; then bursts of random bytes. What opens must be readable to the last byte. */
static void a_damaged_file_is_rejected_or_can_be_read(void **state)
{
    (void)state;
    builder b = {0};
    put_random_model(&b, 3);
    uint8_t *copy = malloc(b.n);
    size_t n_opened = 0, n_rejected = 0;
    uint32_t r = 1;
    for (size_t i = 0; i < 60000; i++) {
        memcpy(copy, b.data, b.n);
        size_t at = i < b.n ? i : (random_u32(&r) % b.n) * (random_u32(&r) % 64) / 64; /* the directory more often */
        size_t n = i < b.n ? 1 : 1 + random_u32(&r) % 4;
        for (size_t j = at; j < at + n && j < b.n; j++) copy[j] = (uint8_t)(i < b.n ? copy[j] + 1 + i % 255 : random_u32(&r));
        lp_gguf *gguf = NULL;
        lp_status status = lp_gguf_open_memory(copy, b.n, "damaged", &gguf);
        if (status == LP_OK) read_everything(gguf);
        else assert_int_equal(status, LP_INPUT);
        n_opened += status == LP_OK;
        n_rejected += status != LP_OK;
        lp_gguf_close(gguf);
    }
    assert_true(n_opened > 1000 && n_rejected > 1000); /* both sides of the line were tried */
    free(copy);
    free(b.data);
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* 2 * 10^5 keys and tensors each: a quadratic reader would take minutes; the limit is far above a linear one. */
static void many_keys_and_tensors_take_linear_time(void **state)
{
    (void)state;
    enum { N = 200000 };
    builder b = {0};
    char name[32];
    put_header(&b, 3, N, N);
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "key.%d", i);
        put_key(&b, name, 0);
        put_u8(&b, (uint8_t)i);
    }
    for (int i = 0; i < N; i++) {
        snprintf(name, sizeof name, "tensor.%d", i);
        put_tensor(&b, name, 1, DIMS(0), 0, 0);
    }
    double start = seconds();
    lp_gguf *gguf = open_bytes(&b);
    for (int i = 0; i < N; i += 7) {
        int64_t value = -1;
        snprintf(name, sizeof name, "key.%d", i);
        assert_int_equal(lp_gguf_get_i64(gguf, name, true, &value), LP_OK);
        assert_int_equal(value, i & 255);
        snprintf(name, sizeof name, "tensor.%d", i);
        assert_ptr_equal(lp_gguf_find_tensor(gguf, name), lp_gguf_tensor_at(gguf, i));
    }
    assert_true(seconds() - start < 10);
    lp_gguf_close(gguf);
    free(b.data);
}

static void a_large_vocabulary_opens_quickly(void **state)
{
    (void)state;
    enum { N = 300000 };
    builder b = {0};
    put_header(&b, 3, 0, 1);
    put_array(&b, "tokenizer.ggml.tokens", 8, N);
    char text[32];
    for (int i = 0; i < N; i++) {
        snprintf(text, sizeof text, "token %d", i);
        put_string(&b, text);
    }
    double start = seconds();
    lp_gguf *gguf = open_bytes(&b);
    assert_true(seconds() - start < 1); /* 2 ms where nothing else runs */
    lp_string *strings = malloc(N * sizeof *strings);
    assert_int_equal(lp_gguf_strings(lp_gguf_find(gguf, "tokenizer.ggml.tokens"), strings), LP_OK);
    assert_int_equal(strings[N - 1].n, 12);
    assert_memory_equal(strings[N - 1].data, "token 299999", 12);
    free(strings);
    lp_gguf_close(gguf);
    free(b.data);
}

static void offsets_beyond_4_gib_are_read(void **state)
{
    (void)state;
    builder b = {0};
    uint64_t big = (UINT64_C(4) << 30) + 64;
    put_header(&b, 3, 2, 0);
    put_tensor(&b, "big", 1, DIMS(big), 24, 0);
    put_tensor(&b, "after", 1, DIMS(4), 0, big);
    put_padding(&b, 32);
    const char *path = path_of("sparse.gguf");
    write_file(path, b.data, b.n);
    int file = open(path, O_WRONLY);
    float values[4] = {1, 2, 3, 4};
    assert_int_equal(pwrite(file, values, 16, (off_t)(b.n + big)), 16); /* a hole before it: no disk is used */
    close(file);
    lp_gguf *gguf;
    assert_int_equal(lp_gguf_open(path, &gguf), LP_OK);
    const lp_tensor *after = lp_gguf_find_tensor(gguf, "after");
    assert_true(after->offset == b.n + big);
    assert_memory_equal(after->data, values, 16);
    assert_true(lp_gguf_size(gguf) == b.n + big + 16);
    lp_gguf_close(gguf);
    assert_int_equal(truncate(path, (off_t)(b.n + big + 15)), 0);
    assert_int_equal(lp_gguf_open(path, &gguf), LP_INPUT);
    unlink(path);
    free(b.data);
}

static struct sigaction librarys; /* the library's SIGBUS handler: cmocka puts its own before each test */

static void a_file_that_shrinks_while_open_is_noticed(void **state)
{
    (void)state;
    builder b = {0};
    put_header(&b, 3, 1, 0);
    put_tensor(&b, "t", 1, DIMS(1 << 16), 24, 0);
    put_padding(&b, 32);
    for (int i = 0; i < 1 << 16; i++) put_u8(&b, 9);
    const char *path = path_of("shrinks.gguf");
    write_file(path, b.data, b.n);
    lp_gguf *gguf;
    assert_int_equal(lp_gguf_open(path, &gguf), LP_OK);
    assert_int_equal(truncate(path, 100), 0);
    struct sigaction cmockas;
    assert_int_equal(sigaction(SIGBUS, &librarys, &cmockas), 0);
    const lp_tensor *t = lp_gguf_tensor_at(gguf, 0);
    unsigned sum = 0;
    for (size_t i = 0; i < t->n_bytes; i++) sum += t->data[i];
    assert_int_equal(sigaction(SIGBUS, &cmockas, NULL), 0);
    assert_true(sum < 9u << 16);
    assert_int_equal(lp_gguf_check_intact(gguf), LP_INPUT);
    assert_non_null(strstr(lp_error(), "truncated"));
    lp_gguf_close(gguf);
    unlink(path);
    free(b.data);
}

static void names_are_numbered_and_found(void **state)
{
    (void)state;
    lp_names names = {0};
    assert_int_equal(lp_names_find(&names, (lp_string){"a", 1}), -1);
    static char text[5000][8];
    for (uint32_t i = 0; i < 5000; i++) {
        int n = snprintf(text[i], sizeof text[i], "n%u", i);
        uint32_t index;
        bool is_new;
        assert_int_equal(lp_names_add(&names, (lp_string){text[i], (size_t)n}, &index, &is_new), LP_OK);
        assert_true(is_new);
        assert_int_equal(index, i);
        assert_int_equal(lp_names_add(&names, (lp_string){text[i / 2], strlen(text[i / 2])}, &index, &is_new), LP_OK);
        assert_false(is_new);
        assert_int_equal(index, i / 2);
    }
    assert_int_equal(lp_names_find(&names, (lp_string){"n4999", 5}), 4999);
    assert_int_equal(lp_names_find(&names, (lp_string){"n4999", 4}), 499);
    assert_int_equal(lp_names_find(&names, (lp_string){"n5000", 5}), -1);
    assert_int_equal(lp_names_find(&names, (lp_string){"", 0}), -1);
    lp_names_free(&names);
}

static void long_names_are_shortened_in_messages(void **state)
{
    (void)state;
    char text[200], buffer[LP_PRINTABLE];
    memset(text, 'x', sizeof text);
    for (size_t n = 0; n <= sizeof text; n++) {
        lp_name_printable((lp_string){text, n}, buffer);
        assert_true(strlen(buffer) < LP_PRINTABLE);
        if (n < 70) assert_int_equal(strlen(buffer), n);
        else if (n > LP_PRINTABLE) assert_string_equal(buffer + strlen(buffer) - 3, "...");
    }
    memset(text, '\x1b', sizeof text);
    lp_name_printable((lp_string){text, 100}, buffer);
    assert_true(strlen(buffer) < LP_PRINTABLE);
    assert_int_equal(strncmp(buffer, "\\x1b\\x1b", 8), 0);
    lp_name_printable((lp_string){"a\nb", 3}, buffer);
    assert_string_equal(buffer, "a\\x0ab");
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    lp_gguf *absent;
    if (lp_gguf_open(path_of("absent"), &absent) == LP_OK || sigaction(SIGBUS, NULL, &librarys) != 0) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_toy_file_has_its_keys_and_tensors),
        cmocka_unit_test(integers_are_read_from_every_width_where_they_fit),
        cmocka_unit_test(typed_reads_name_file_key_and_reason),
        cmocka_unit_test(a_mapped_file_reads_as_the_same_bytes_in_memory),
        cmocka_unit_test(what_cannot_be_opened_is_named),
        cmocka_unit_test(the_toy_file_cut_at_any_byte_is_rejected),
        cmocka_unit_test(a_random_model_cut_at_any_byte_is_rejected),
        cmocka_unit_test(a_damaged_file_is_rejected_or_can_be_read),
        cmocka_unit_test(many_keys_and_tensors_take_linear_time),
        cmocka_unit_test(a_large_vocabulary_opens_quickly),
        cmocka_unit_test(offsets_beyond_4_gib_are_read),
        cmocka_unit_test(a_file_that_shrinks_while_open_is_noticed),
        cmocka_unit_test(names_are_numbered_and_found),
        cmocka_unit_test(long_names_are_shortened_in_messages),
    };
    int failed = cmocka_run_group_tests_name("gguf", tests, NULL, NULL);
    return remove_folder() == 0 ? failed : 1;
}
