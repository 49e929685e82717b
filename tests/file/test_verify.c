/* Verify: problems are found wherever they are, by any number of threads, and reported once per tensor. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <lowp/quantize.h>

#include "folder.h"

typedef struct problems {
    int n;
    char item[16][80], text[16][160];
} problems;

static void collect(void *context, const char *item, const char *problem)
{
    problems *p = context;
    if (p->n < 16) {
        snprintf(p->item[p->n], sizeof p->item[0], "%s", item);
        snprintf(p->text[p->n], sizeof p->text[0], "%s", problem);
    }
    p->n++;
}

/* A tensor of each packing that has scales or float values, and a large f32 one of 3 pieces and a bit. */
enum { LARGE_ROWS = 200, LARGE_ROW = 4096 };
static builder good_file(void)
{
    builder b = {0};
    int n = lp_packing_count();
    uint64_t offset = 0;
    put_header(&b, 3, (uint64_t)n + 1, 0);
    for (int i = 0; i < n; i++) {
        const lp_packing *p = lp_packing_at(i);
        put_tensor(&b, p->name, 2, DIMS((uint64_t)p->n_values, 2), p->gguf_id, offset);
        offset += ((uint64_t)p->n_bytes * 2 + 31) / 32 * 32;
    }
    put_tensor(&b, "large", 2, DIMS(LARGE_ROW, LARGE_ROWS), 0, offset);
    offset += (uint64_t)LARGE_ROW * LARGE_ROWS * 4;
    put_padding(&b, 32);
    put_zeros(&b, offset);
    return b;
}

/* Where a tensor's data begins in the file. */
static size_t place_of(const builder *b, const char *name)
{
    lp_gguf *gguf;
    assert_int_equal(lp_gguf_open_memory(b->data, b->n, "memory", &gguf), LP_OK);
    const lp_tensor *t = lp_gguf_find_tensor(gguf, name);
    assert_non_null(t);
    size_t offset = (size_t)t->offset;
    lp_gguf_close(gguf);
    return offset;
}

static lp_status verify(const builder *b, int n_threads, problems *p)
{
    lp_pool *pool = NULL;
    if (n_threads) assert_int_equal(lp_pool_create(n_threads, &pool), LP_OK);
    write_file(path_of("v.gguf"), b->data, b->n);
    p->n = 0;
    lp_status status = lp_verify(path_of("v.gguf"), pool, NULL, collect, p);
    lp_pool_destroy(pool);
    return status;
}

static void a_good_file_has_no_problem(void **state)
{
    (void)state;
    builder b = good_file();
    problems p;
    assert_int_equal(verify(&b, 0, &p), LP_OK);
    assert_int_equal(p.n, 0);
    assert_int_equal(verify(&b, 3, &p), LP_OK);
    assert_int_equal(lp_verify(path_of("v.gguf"), NULL, NULL, NULL, NULL), LP_OK);
    free(b.data);
}

static void a_bad_value_is_found_wherever_it_is(void **state)
{
    (void)state;
    builder b = good_file();
    size_t at = place_of(&b, "large");
    static const size_t values[] = {0, 1, LARGE_ROW - 1, LARGE_ROW, 262143, 262144, 262145, 524288, 786431, 786432,
                                    (size_t)LARGE_ROW * LARGE_ROWS - 1};
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        for (int n_threads = 0; n_threads < 4; n_threads++) {
            uint8_t *value = b.data + at + values[i] * 4;
            memcpy(value, (uint32_t[]){0xff800000}, 4);
            problems p;
            char expected[100];
            snprintf(expected, sizeof expected, "a value is not finite (row %zu, column %zu, type f32)", values[i] / LARGE_ROW,
                     values[i] % LARGE_ROW);
            assert_int_equal(verify(&b, n_threads, &p), LP_CHECK);
            assert_int_equal(p.n, 1);
            assert_string_equal(p.item[0], "large");
            assert_string_equal(p.text[0], expected);
            memset(value, 0, 4);
        }
    }
    free(b.data);
}

static void a_bad_scale_is_found_in_every_scaled_type(void **state)
{
    (void)state;
    builder b = good_file();
    problems p;
    int n_found = 0;
    for (int i = 0; i < lp_packing_count(); i++) {
        const lp_packing *packing = lp_packing_at(i);
        size_t at = place_of(&b, packing->name);
        uint8_t *second = b.data + at + packing->n_bytes; /* the second row's block */
        memset(second, 0xff, (size_t)packing->n_bytes);
        lp_status status = verify(&b, 2, &p);
        bool has_bad = packing->gguf_id != 40 && !(packing->gguf_id >= 24 && packing->gguf_id <= 27);
        assert_int_equal(status, has_bad ? LP_CHECK : LP_OK); /* nvfp4 decodes every scale to a number; integers have none */
        assert_int_equal(p.n, has_bad ? 1 : 0);
        if (has_bad) {
            assert_string_equal(p.item[0], packing->name);
            assert_non_null(strstr(p.text[0], "(row 1, column 0, "));
            assert_non_null(strstr(p.text[0], packing->is_float || packing->n_values == 1 ? "a value" : "a scale"));
            n_found++;
        }
        memset(second, 0, (size_t)packing->n_bytes);
    }
    assert_true(n_found > 20);
    free(b.data);
}

static void each_tensor_is_reported_once_in_order(void **state)
{
    (void)state;
    builder b = good_file();
    size_t q8_0 = place_of(&b, "q8_0"), f16 = place_of(&b, "f16"), large = place_of(&b, "large");
    memset(b.data + q8_0, 0xff, 68);
    memset(b.data + f16, 0xff, 4);
    memset(b.data + large + 100, 0xff, (size_t)LARGE_ROW * LARGE_ROWS * 4 - 200);
    for (int n_threads = 1; n_threads < 4; n_threads++) {
        problems p;
        assert_int_equal(verify(&b, n_threads, &p), LP_CHECK);
        assert_non_null(strstr(lp_error(), "3 of 36 tensors"));
        assert_int_equal(p.n, 3);
        assert_string_equal(p.item[0], "f16");
        assert_string_equal(p.item[1], "q8_0");
        assert_string_equal(p.item[2], "large");
        assert_string_equal(p.text[2], "a value is not finite (row 0, column 25, type f32)");
    }
    free(b.data);
}

static void a_container_that_cannot_be_parsed_is_bad_input(void **state)
{
    (void)state;
    builder b = good_file();
    problems p;
    b.n--;
    assert_int_equal(verify(&b, 0, &p), LP_INPUT);
    assert_int_equal(p.n, 0);
    assert_int_equal(lp_verify(path_of("absent.gguf"), NULL, NULL, collect, &p), LP_INPUT);
    free(b.data);
}

static void a_file_of_empty_tensors_and_none_is_good(void **state)
{
    (void)state;
    builder b = {0}, none = {0};
    put_header(&b, 3, 1, 0);
    put_tensor(&b, "t", 2, DIMS(0, 5), 8, 0);
    put_header(&none, 3, 0, 0);
    problems p;
    assert_int_equal(verify(&b, 2, &p), LP_OK);
    assert_int_equal(verify(&none, 2, &p), LP_OK);
    free(b.data);
    free(none.data);
}

typedef struct watch {
    int n_reports, stop_after;
    double last;
} watch;

static void watch_report(void *context, const char *what, double done, double total)
{
    watch *w = context;
    assert_string_equal(what, "verify");
    assert_true(done > w->last && done <= total);
    w->last = done;
    w->n_reports++;
}

static bool watch_cancelled(void *context)
{
    watch *w = context;
    return w->n_reports >= w->stop_after;
}

static void progress_reaches_the_total_and_can_stop_it(void **state)
{
    (void)state;
    builder b = good_file();
    write_file(path_of("v.gguf"), b.data, b.n);
    watch w = {.stop_after = 1000};
    lp_progress progress = {watch_report, watch_cancelled, &w};
    assert_int_equal(lp_verify(path_of("v.gguf"), NULL, &progress, collect, NULL), LP_OK);
    assert_true(w.n_reports > 0);
    w = (watch){.stop_after = 0};
    assert_int_equal(lp_verify(path_of("v.gguf"), NULL, &progress, collect, NULL), LP_INTERRUPTED);
    free(b.data);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_good_file_has_no_problem),
        cmocka_unit_test(a_bad_value_is_found_wherever_it_is),
        cmocka_unit_test(a_bad_scale_is_found_in_every_scaled_type),
        cmocka_unit_test(each_tensor_is_reported_once_in_order),
        cmocka_unit_test(a_container_that_cannot_be_parsed_is_bad_input),
        cmocka_unit_test(a_file_of_empty_tensors_and_none_is_good),
        cmocka_unit_test(progress_reaches_the_total_and_can_stop_it),
    };
    int failed = cmocka_run_group_tests_name("verify", tests, NULL, NULL);
    return remove_folder() == 0 ? failed : 1;
}
