/* Importance files: both forms of llama.cpp, read, written, refused. Card: ptq/imatrix.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <math.h>

#include <cmocka.h>

#include <lowp/calibrate.h>
#include <lowp/gguf.h>

#include "base/sha256.h"
#include "calibrate/stats.h"
#include "folder.h"

static void check(lp_status status)
{
    if (status != LP_OK) fail_msg("%s", lp_error());
}

static void put_text(builder *b, const char *s)
{
    put_u32(b, (uint32_t)strlen(s));
    put(b, s, strlen(s));
}

/* Vector 4 of the card. */
static void put_vector(builder *b)
{
    put_u32(b, 1);
    put_text(b, "blk.0.ffn_up.weight");
    put_u32(b, 2);
    put_u32(b, 4);
    put(b, (const float[]){2, 8, .5f, 4}, 16);
    put_u32(b, 2);
    put_text(b, "a.txt");
}

static void assert_means(const lp_stats *stats, const char *name, int64_t n, const float *mean)
{
    int64_t n_read = -1;
    const float *read = lp_stats_mean_square(stats, name, &n_read);
    assert_non_null(read);
    assert_int_equal(n_read, n);
    assert_memory_equal(read, mean, (size_t)n * sizeof *mean);
}

static void the_legacy_vector_of_the_card_reads_and_writes(void **state)
{
    (void)state;
    builder b = {0};
    put_vector(&b);
    assert_int_equal(b.n, 64);
    assert_memory_equal(b.data, "\1\0\0\0\x13\0\0\0blk.", 12);
    assert_memory_equal(b.data + 51, "\2\0\0\0\5\0\0\0a.txt", 13);
    write_file(path_of("v.dat"), b.data, b.n);
    lp_stats *stats;
    check(lp_stats_read(path_of("v.dat"), &stats));
    assert_int_equal(lp_stats_count(stats), 1);
    assert_string_equal(lp_stats_name_at(stats, 0), "blk.0.ffn_up.weight");
    assert_null(lp_stats_name_at(stats, 1));
    assert_means(stats, "blk.0.ffn_up.weight", 4, (const float[]){1, 4, .25f, 2});
    int64_t n;
    assert_null(lp_stats_mean_square(stats, "blk.1.ffn_up.weight", &n));
    assert_int_equal(n, 0);
    lp_sha256 hash;
    char hex[65];
    lp_sha256_begin(&hash);
    lp_sha256_add(&hash, b.data, b.n);
    lp_sha256_end(&hash, hex);
    assert_string_equal(lp_stats_sha256(stats), hex);
    check(lp_stats_write_legacy(stats, path_of("w.dat"), false));
    assert_int_equal(lp_stats_write_legacy(stats, path_of("w.dat"), false), LP_USAGE);
    builder w = read_file(path_of("w.dat"));
    assert_int_equal(w.n, b.n);
    assert_memory_equal(w.data, b.data, b.n);
    /* and through the GGUF form */
    check(lp_stats_write(stats, path_of("v.gguf"), false));
    lp_stats_free(stats);
    check(lp_stats_read(path_of("v.gguf"), &stats));
    assert_means(stats, "blk.0.ffn_up.weight", 4, (const float[]){1, 4, .25f, 2});
    check(lp_stats_write_legacy(stats, path_of("w.dat"), true));
    lp_stats_free(stats);
    builder x = read_file(path_of("w.dat"));
    assert_int_equal(x.n, b.n);
    assert_memory_equal(x.data, b.data, b.n);
    free(b.data);
    free(w.data);
    free(x.data);
}

/* Two plain weights and one of three experts, the second of which saw nothing. */
static lp_stats *make_stats(void)
{
    lp_stats *stats;
    check(lp_stats_create("computed", &stats));
    check(lp_stats_add_entry(stats, "output.weight", 3, 1, (const double[]){3e5, 0, 1.0 / 3}, &(double){1024}));
    check(lp_stats_add_entry(stats, "blk.0.ffn_up_exps.weight", 2, 3, (const double[]){10, 20, 0, 0, 5, 7},
                             (const double[]){10, 0, 3}));
    check(lp_stats_add_entry(stats, "blk.0.attn_q.weight", 1, 1, &(double){7}, &(double){3}));
    check(lp_stats_set_source(stats, &(lp_stats_source){.n_tokens = 1024, .n_chunks = 2, .chunk_size = 512,
                                                        .text = "calibration.txt", .text_sha256 = "aa", .model_sha256 = "bb"}));
    return stats;
}

static void assert_made(const lp_stats *stats)
{
    assert_means(stats, "output.weight", 3, (const float[]){3e5f / 1024, 0, (float)(1.0 / 3) / 1024});
    assert_means(stats, "blk.0.ffn_up_exps.weight", 6, (const float[]){1, 2, 1, 1, 5.0f / 3, 7.0f / 3});
    assert_means(stats, "blk.0.attn_q.weight", 1, (const float[]){7.0f / 3});
}

static void statistics_read_back_bit_for_bit_from_the_gguf_form(void **state)
{
    (void)state;
    lp_stats *stats = make_stats();
    assert_made(stats);
    assert_string_equal(lp_stats_sha256(stats), "");
    check(lp_stats_write(stats, path_of("s.gguf"), true));
    lp_stats_free(stats);
    check(lp_stats_read(path_of("s.gguf"), &stats));
    assert_made(stats);
    assert_int_equal(lp_stats_tokens(stats), 1024);
    assert_int_equal(lp_stats_count(stats), 3);
    assert_string_equal(stats->source.text, "calibration.txt");
    assert_string_equal(stats->source.text_sha256, "aa");
    assert_string_equal(stats->source.model_sha256, "bb");
    assert_int_equal(strlen(lp_stats_sha256(stats)), 64);
    check(lp_stats_write(stats, path_of("t.gguf"), true));
    lp_stats_free(stats);
    builder s = read_file(path_of("s.gguf")), t = read_file(path_of("t.gguf"));
    assert_int_equal(s.n, t.n);
    assert_memory_equal(s.data, t.data, s.n);
    free(s.data);
    free(t.data);
}

static void the_gguf_form_is_laid_out_as_llama_cpp_writes_it(void **state)
{
    (void)state;
    lp_stats *stats = make_stats();
    check(lp_stats_write(stats, path_of("s.gguf"), true));
    lp_stats_free(stats);
    lp_gguf *gguf;
    check(lp_gguf_open(path_of("s.gguf"), &gguf));
    static const char *const names[] = {"blk.0.attn_q.weight.in_sum2", "blk.0.attn_q.weight.counts",
                                        "blk.0.ffn_up_exps.weight.in_sum2", "blk.0.ffn_up_exps.weight.counts",
                                        "output.weight.in_sum2", "output.weight.counts"};
    static const int n_dims[] = {1, 1, 2, 2, 1, 1};
    static const int64_t dims[][2] = {{1, 1}, {1, 1}, {2, 3}, {1, 3}, {3, 1}, {1, 1}};
    assert_int_equal(lp_gguf_tensor_count(gguf), 6);
    for (int i = 0; i < 6; i++) {
        const lp_tensor *t = lp_gguf_tensor_at(gguf, i);
        assert_string_equal(t->name, names[i]);
        assert_string_equal(t->packing->name, "f32");
        assert_int_equal(t->n_dims, n_dims[i]);
        assert_memory_equal(t->dim, dims[i], sizeof dims[i]);
    }
    lp_string s;
    check(lp_gguf_get_string(gguf, "general.type", true, &s));
    assert_memory_equal(s.data, "imatrix", 7);
    assert_int_equal(lp_gguf_find(gguf, "imatrix.chunk_count")->type, LP_GGUF_U32);
    assert_int_equal(lp_gguf_find(gguf, "imatrix.chunk_size")->type, LP_GGUF_U32);
    const lp_gguf_key *datasets = lp_gguf_find(gguf, "imatrix.datasets");
    assert_int_equal(datasets->type, LP_GGUF_ARRAY);
    assert_int_equal(datasets->n_elements, 1);
    check(lp_gguf_strings(datasets, &s));
    assert_int_equal(s.n, 15);
    assert_memory_equal(s.data, "calibration.txt", 15);
    lp_gguf_close(gguf);
}

static void the_legacy_form_keeps_means_and_counts_calls(void **state)
{
    (void)state;
    lp_stats *stats = make_stats();
    check(lp_stats_write_legacy(stats, path_of("s.dat"), true));
    lp_stats_free(stats);
    builder b = read_file(path_of("s.dat"));
    assert_memory_equal(b.data, "\3\0\0\0\x13\0\0\0blk.0.attn_q.weight\1\0\0\0\1\0\0\0", 35); /* 3 tokens: one call */
    free(b.data);
    check(lp_stats_read(path_of("s.dat"), &stats));
    assert_means(stats, "output.weight", 3, (const float[]){3e5f / 1024, 0, (float)(1.0 / 3) / 1024}); /* 2 calls: exact */
    assert_means(stats, "blk.0.ffn_up_exps.weight", 6, (const float[]){1, 2, 1, 1, 5.0f / 3, 7.0f / 3});
    assert_int_equal(lp_stats_tokens(stats), 0);
    lp_stats_free(stats);
}

static void a_legacy_file_may_end_after_its_entries(void **state)
{
    (void)state;
    builder b = {0};
    put_vector(&b);
    lp_stats *stats;
    check(lp_stats_read_memory(b.data, b.n - 13, "old.dat", &stats));
    assert_int_equal(lp_stats_count(stats), 1);
    lp_stats_free(stats);
    free(b.data);
}

static void a_legacy_entry_of_no_calls_holds_means(void **state)
{
    (void)state;
    builder b = {0};
    put_vector(&b);
    b.data[27] = 0;
    lp_stats *stats;
    check(lp_stats_read_memory(b.data, b.n, "v.dat", &stats));
    assert_means(stats, "blk.0.ffn_up.weight", 4, (const float[]){2, 8, .5f, 4});
    lp_stats_free(stats);
    free(b.data);
}

static void assert_rejected(const void *data, size_t n, const char *reason)
{
    uint8_t *exact = malloc(n ? n : 1);
    if (n) memcpy(exact, data, n);
    lp_stats *stats = (lp_stats *)1;
    lp_status status = lp_stats_read_memory(exact, n, "bad", &stats);
    if (status != LP_INPUT) fail_msg("status %d, but '%s' was expected", (int)status, reason);
    assert_null(stats);
    if (strncmp(lp_error(), "bad: ", 5) != 0 || !strstr(lp_error(), reason)) fail_msg("'%s' is not in '%s'", reason, lp_error());
    free(exact);
}

static void a_legacy_file_cut_at_any_other_byte_is_rejected(void **state)
{
    (void)state;
    builder b = {0};
    put_vector(&b);
    for (size_t n = 0; n < b.n; n++)
        if (n != b.n - 13) assert_rejected(b.data, n, "");
    free(b.data);
}

static void wrong_numbers_in_a_legacy_file_are_rejected(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        uint32_t value;
        const char *reason;
    } rows[] = {
        {0, 0, "the number of entries is 0"},
        {0, UINT32_MAX, "the number of entries is -1"},
        {0, 1000, "claims 1000 entries"},
        {0, 2, ""},
        {4, 0, "name of an entry is 0"},
        {4, UINT32_MAX, "name of an entry is -1"},
        {4, INT32_MAX, "needs 2147483647 bytes"},
        {8, 0x006b6c62, "NUL"},
        {8, 0xffffffff, "UTF-8"},
        {27, 0x80000000, "the number of calls is -2147483648"},
        {31, 0, "blk.0.ffn_up.weight: the number of values is 0"},
        {31, UINT32_MAX, "the number of values is -1"},
        {31, INT32_MAX, "needs 8589934588 bytes"},
        {31, 5, ""},
        {35, 0x7fc00000, "blk.0.ffn_up.weight: value 0 is nan"},
        {39, 0x7f800000, "value 1 is inf"},
        {43, 0xbf800000, "value 2 is -1"},
        {51, UINT32_MAX, "calls of the run is -1"},
        {55, UINT32_MAX, "dataset is -1"},
        {55, 4, "1 bytes follow the end"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        builder b = {0};
        put_vector(&b);
        memcpy(b.data + rows[i].at, &rows[i].value, 4);
        assert_rejected(b.data, b.n, rows[i].reason);
        free(b.data);
    }
    builder b = {0}; /* the same entry twice */
    put_u32(&b, 2);
    for (int i = 0; i < 2; i++) {
        put_text(&b, "w");
        put_u32(&b, 1);
        put_u32(&b, 1);
        put_f32(&b, 1);
    }
    assert_rejected(b.data, b.n, "w: duplicate entry");
    free(b.data);
    assert_rejected("<html>this is not it</html>", 27, "importance file");
}

/* A GGUF importance file of one weight w with the given shapes, type and values. */
static void put_gguf(builder *b, const char *type, const char *first, const char *second, uint64_t n, uint64_t n_counts,
                     uint32_t id, const float *values)
{
    put_header(b, 3, 2, 1);
    put_key(b, "general.type", 8);
    put_string(b, type);
    put_tensor(b, first, 1, DIMS(n), 0, 0);
    put_tensor(b, second, 1, DIMS(n_counts), id, (n * 4 + 31) / 32 * 32);
    put_padding(b, 32);
    put(b, values, n * 4);
    put_padding(b, 32);
    put(b, values + n, n_counts * 4);
    put_padding(b, 32);
}

static void wrong_gguf_importance_files_are_rejected(void **state)
{
    (void)state;
    static const struct {
        const char *type, *first, *second;
        uint64_t n, n_counts;
        uint32_t id;
        float values[8];
        const char *reason;
    } rows[] = {
        {"model", "w.in_sum2", "w.counts", 2, 1, 0, {1, 2, 1}, "general.type: is 'model'"},
        {"imatrix", "w.in_sum2", "v.counts", 2, 1, 0, {1, 2, 1}, "w.in_sum2: its .counts tensor is missing"},
        {"imatrix", "w.counts", "x", 2, 1, 0, {1, 2, 1}, "w.counts: its .in_sum2 tensor is missing"},
        {"imatrix", "x", "y", 2, 1, 0, {1, 2, 1}, "no statistics"},
        {"imatrix", ".in_sum2", ".counts", 2, 1, 0, {1, 2, 1}, "no statistics"},
        {"imatrix", "w.in_sum2", "w.counts", 2, 1, 26, {1, 2, 1}, "w.counts: has type i32"},
        {"imatrix", "w.in_sum2", "w.counts", 0, 1, 0, {1}, "w: 0 values"},
        {"imatrix", "w.in_sum2", "w.counts", 2, 0, 0, {1, 2}, "w: 2 values for 0 matrices"},
        {"imatrix", "w.in_sum2", "w.counts", 3, 2, 0, {1, 2, 3, 1, 1}, "w: 3 values for 2 matrices"},
        {"imatrix", "w.in_sum2", "w.counts", 2, 1, 0, {1, NAN, 1}, "w: value 1 is nan"},
        {"imatrix", "w.in_sum2", "w.counts", 2, 1, 0, {-1, 2, 1}, "w: value 0 is -1"},
        {"imatrix", "w.in_sum2", "w.counts", 2, 1, 0, {1, INFINITY, 1}, "w: value 1 is inf"},
        {"imatrix", "w.in_sum2", "w.counts", 2, 1, 0, {1, 2, -1}, "w: count 0 is -1"},
        {"imatrix", "w.in_sum2", "w.counts", 2, 1, 0, {1, 2, NAN}, "w: count 0 is nan"},
        {"imatrix", "w.in_sum2", "w.counts", 2, 1, 0, {1, 2, 1e-42f}, "w: value 0 has an infinite mean"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        builder b = {0};
        put_gguf(&b, rows[i].type, rows[i].first, rows[i].second, rows[i].n, rows[i].n_counts, rows[i].id, rows[i].values);
        assert_rejected(b.data, b.n, rows[i].reason);
        free(b.data);
    }
    builder b = {0};
    put_gguf(&b, "imatrix", "w.in_sum2", "w.counts", 2, 1, 0, (const float[]){1, 2, 1});
    assert_rejected(b.data, b.n - 30, "counts");
    lp_stats *stats;
    check(lp_stats_read_memory(b.data, b.n, "good", &stats));
    assert_means(stats, "w", 2, (const float[]){1, 2});
    lp_stats_free(stats);
    free(b.data);
}

static void unfit_entries_are_refused_while_they_are_added(void **state)
{
    (void)state;
    lp_stats *stats;
    double good = 1, nan = NAN, negative = -1, above = 1e39;
    check(lp_stats_create("computed", &stats));
    assert_int_equal(lp_stats_write(stats, path_of("none.gguf"), true), LP_USAGE);
    assert_int_equal(lp_stats_write_legacy(stats, path_of("none.dat"), true), LP_USAGE);
    assert_int_equal(lp_stats_add_entry(stats, "w", 1, 1, &nan, &good), LP_INPUT);
    assert_string_equal(lp_error(), "computed: w: value 0 is nan (a finite number >= 0 is required)");
    assert_int_equal(lp_stats_add_entry(stats, "w", 1, 1, &negative, &good), LP_INPUT);
    assert_int_equal(lp_stats_add_entry(stats, "w", 1, 1, &above, &good), LP_INPUT);
    assert_int_equal(lp_stats_add_entry(stats, "w", 0, 1, &good, &good), LP_INPUT);
    assert_int_equal(lp_stats_add_entry(stats, "w", 1, 0, &good, &good), LP_INPUT);
    assert_int_equal(lp_stats_add_entry(stats, "w", INT64_MAX, 2, &good, &good), LP_INPUT);
    assert_int_equal(lp_stats_add_entry(stats, "", 1, 1, &good, &good), LP_INPUT);
    assert_int_equal(lp_stats_count(stats), 0);
    check(lp_stats_add_entry(stats, "w", 1, 1, &good, &good));
    assert_int_equal(lp_stats_add_entry(stats, "w", 1, 1, &good, &good), LP_INPUT);
    check(lp_stats_add_entry(stats, "a name that is too long for a tensor and a suffix of eight", 1, 1, &good, &good));
    assert_int_equal(lp_stats_write(stats, path_of("long.gguf"), true), LP_USAGE);
    assert_int_not_equal(access(path_of("long.gguf"), F_OK), 0);
    lp_stats_free(stats);
    lp_stats_free(NULL);
}

static void several_datasets_are_kept(void **state)
{
    (void)state;
    lp_stats *stats = make_stats();
    for (int i = 0; i < 9; i++) check(lp_stats_add_dataset(stats, (lp_string){"123456789", (size_t)i + 1}));
    check(lp_stats_write(stats, path_of("d.gguf"), true));
    lp_stats_free(stats);
    check(lp_stats_read(path_of("d.gguf"), &stats));
    assert_int_equal(stats->n_datasets, 10);
    for (int i = 0; i < 9; i++) assert_int_equal(stats->dataset[i + 1].n, i + 1);
    lp_stats_free(stats);
}

int main(void)
{
    if (!mkdtemp(folder)) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_legacy_vector_of_the_card_reads_and_writes),
        cmocka_unit_test(statistics_read_back_bit_for_bit_from_the_gguf_form),
        cmocka_unit_test(the_gguf_form_is_laid_out_as_llama_cpp_writes_it),
        cmocka_unit_test(the_legacy_form_keeps_means_and_counts_calls),
        cmocka_unit_test(a_legacy_file_may_end_after_its_entries),
        cmocka_unit_test(a_legacy_entry_of_no_calls_holds_means),
        cmocka_unit_test(a_legacy_file_cut_at_any_other_byte_is_rejected),
        cmocka_unit_test(wrong_numbers_in_a_legacy_file_are_rejected),
        cmocka_unit_test(wrong_gguf_importance_files_are_rejected),
        cmocka_unit_test(unfit_entries_are_refused_while_they_are_added),
        cmocka_unit_test(several_datasets_are_kept),
    };
    int failed = cmocka_run_group_tests_name("stats", tests, NULL, NULL);
    return remove_folder() == 0 ? failed : 1;
}
