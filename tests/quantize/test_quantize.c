/* Whole files: what is converted, what is copied, what is refused, and that nothing is left behind. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <lowp/quantize.h>

#include "base/half.h"
#include "base/sha256.h"
#include "data.h"
#include "quantize/glob.h"

static char folder[64], source_path[96], out_path[96], temporary_path[96];

static const lp_packing *packing(const char *name)
{
    const lp_packing *p = lp_packing_by_name(name);
    assert_non_null(p);
    return p;
}

static void ok(lp_status status)
{
    if (status != LP_OK) print_error("%s\n", lp_error());
    assert_int_equal(status, LP_OK);
}

/* ---- the source -------------------------------------------------------------------------------------------------- */

static const struct {
    const char *name, *packing;
    int n_dims;
    int64_t dim[4];
} source_tensors[] = {
    {"token_embd.weight", "f16", 2, {512, 70, 1, 1}},
    {"blk.0.norm.weight", "f16", 1, {512, 1, 1, 1}},
    {"blk.0.up.weight", "f32", 2, {512, 300, 1, 1}},
    {"blk.0.down.weight", "bf16", 2, {96, 40, 1, 1}}, /* no multiple of 256 */
    {"blk.0.odd.weight", "f32", 2, {40, 3, 1, 1}},    /* nor of 32 */
    {"blk.0.experts.weight", "f32", 3, {256, 5, 3, 1}},
    {"blk.0.old.weight", "q8_0", 2, {256, 9, 1, 1}},
    {"blk.0.empty.weight", "f32", 2, {256, 0, 1, 1}},
    {"counts", "i32", 1, {7, 1, 1, 1}},
};
enum { N_TENSORS = sizeof source_tensors / sizeof source_tensors[0] };

static int64_t n_values(int t)
{
    const int64_t *d = source_tensors[t].dim;
    return d[0] * d[1] * d[2] * d[3];
}

/* poison: index of a value of blk.0.up.weight that becomes NaN, or -1. */
static void write_source(int64_t poison)
{
    lp_gguf_writer *writer;
    ok(lp_gguf_writer_create(source_path, true, &writer));
    ok(lp_gguf_writer_set_string(writer, "general.architecture", "llama"));
    ok(lp_gguf_writer_set_u32(writer, "general.file_type", 1));
    ok(lp_gguf_writer_set_string(writer, "lowp.stats.sha256", "of an earlier life"));
    ok(lp_gguf_writer_set_u32(writer, "general.alignment", 64));
    const int32_t list[3] = {3, 1, 2};
    ok(lp_gguf_writer_set_i32s(writer, "some.list", list, 3));
    for (int t = 0; t < N_TENSORS; t++)
        ok(lp_gguf_writer_add_tensor(writer, source_tensors[t].name, source_tensors[t].n_dims, source_tensors[t].dim,
                                     packing(source_tensors[t].packing)));
    ok(lp_gguf_writer_begin_data(writer));
    for (int t = 0; t < N_TENSORS; t++) {
        int64_t n = n_values(t);
        float *x = calloc((size_t)n + 1, sizeof *x);
        uint8_t *bytes = calloc((size_t)n + 1, sizeof *x);
        assert_true(x && bytes);
        card_data((uint32_t)t + 1, 0.05f, n, x);
        const lp_packing *p = packing(source_tensors[t].packing);
        if (p->can_encode) ok(lp_encode_rows(p, LP_SEARCH_REFERENCE, x, n / source_tensors[t].dim[0], source_tensors[t].dim[0], NULL, bytes));
        else for (int i = 0; i < 28; i++) bytes[i] = (uint8_t)(i + 1);
        if (t == 2 && poison >= 0) memcpy(bytes + 4 * poison, &(float){NAN}, 4);
        ok(lp_gguf_writer_write(writer, bytes, lp_packing_row_bytes(p, source_tensors[t].dim[0]) * (size_t)(n / source_tensors[t].dim[0])));
        free(x);
        free(bytes);
    }
    ok(lp_gguf_writer_finish(writer, NULL));
}

static lp_gguf *open_source(void)
{
    lp_gguf *gguf;
    ok(lp_gguf_open(source_path, &gguf));
    return gguf;
}

static int set_up(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/lowp-test-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(source_path, sizeof source_path, "%s/source.gguf", folder);
    snprintf(out_path, sizeof out_path, "%s/out.gguf", folder);
    snprintf(temporary_path, sizeof temporary_path, "%s/.out.gguf.lowp-tmp", folder);
    write_source(-1);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(source_path);
    unlink(out_path);
    return rmdir(folder); /* fails if anything else was left */
}

static bool exists(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0;
}

static void quantize(const lp_quantize_options *options, lp_quantize_result *result)
{
    lp_gguf *source = open_source();
    ok(lp_quantize(source, out_path, options, NULL, result));
    lp_gguf_close(source);
}

static lp_status refused(const lp_quantize_options *options, const char *part)
{
    lp_gguf *source = open_source();
    lp_quantize_result result;
    lp_status status = lp_quantize(source, out_path, options, NULL, &result);
    lp_gguf_close(source);
    assert_int_not_equal(status, LP_OK);
    if (!strstr(lp_error(), part)) print_error("%s\n", lp_error());
    assert_non_null(strstr(lp_error(), part));
    assert_null(result.rows);
    assert_false(exists(out_path) || exists(temporary_path));
    return status;
}

static void hash_file(const char *path, char hex[65])
{
    FILE *in = fopen(path, "rb");
    assert_non_null(in);
    lp_sha256 hash;
    lp_sha256_begin(&hash);
    uint8_t buffer[4096];
    for (size_t n; (n = fread(buffer, 1, sizeof buffer, in)) > 0;) lp_sha256_add(&hash, buffer, n);
    fclose(in);
    lp_sha256_end(&hash, hex);
}

/* ---- files ------------------------------------------------------------------------------------------------------- */

static void matrices_get_the_format_and_the_rest_stays(void **state)
{
    (void)state;
    lp_quantize_result r;
    lp_quantize_options options = {.packing = packing("q4_k"), .force = true};
    quantize(&options, &r);
    static const char *const wanted[N_TENSORS] = {"q4_k", "f32", "q4_k", "q5_0", "f16", "q4_k", "q4_k", "q4_k", "i32"};
    assert_int_equal(r.n_rows, N_TENSORS);
    lp_gguf *source = open_source(), *out;
    ok(lp_gguf_open(out_path, &out));
    for (int t = 0; t < N_TENSORS; t++) {
        const lp_tensor *from = lp_gguf_tensor_at(source, t), *to = lp_gguf_tensor_at(out, t);
        assert_string_equal(r.rows[t].name, source_tensors[t].name);
        assert_string_equal(to->name, source_tensors[t].name);
        assert_string_equal(r.rows[t].packing->name, wanted[t]);
        assert_ptr_equal(to->packing, r.rows[t].packing);
        assert_int_equal(to->n_bytes, r.rows[t].n_bytes);
        assert_int_equal(r.rows[t].fallback != NULL, t == 3 || t == 4);
        assert_memory_equal(to->dim, from->dim, sizeof to->dim);
        if (!to->packing->can_decode) {
            assert_memory_equal(to->data, from->data, from->n_bytes);
            continue;
        }
        /* The bytes are those of the encoder on the decoded rows, and the error is theirs. */
        int64_t n = lp_tensor_values(from), k = from->dim[0];
        float *x = calloc((size_t)n + 1, sizeof *x), *y = calloc((size_t)n + 1, sizeof *y);
        uint8_t *bytes = calloc((size_t)n + 1, sizeof *x);
        lp_packing_decode(from->packing, from->data, n, x);
        ok(lp_encode_rows(to->packing, LP_SEARCH_REFERENCE, x, lp_tensor_rows(from), k, NULL, bytes));
        assert_memory_equal(bytes, to->data, to->n_bytes);
        lp_packing_decode(to->packing, to->data, n, y);
        double error = 0, power = 0;
        for (int64_t i = 0; i < n; i++) {
            error += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
            power += (double)x[i] * x[i];
        }
        double relative = power > 0 ? sqrt(error / power) : 0;
        assert_true(fabs(r.rows[t].error - relative) <= 1e-12);
        free(x);
        free(y);
        free(bytes);
    }
    assert_int_equal(r.n_bytes, lp_gguf_size(out));
    assert_true(r.bits_per_weight == 8.0 * (double)r.n_tensor_bytes / (double)r.n_parameters);
    assert_true(r.requantized);
    lp_gguf_close(source);
    lp_gguf_close(out);
    lp_quantize_result_free(&r);
    unlink(out_path);
}

static void the_file_tells_how_it_was_made(void **state)
{
    (void)state;
    lp_quantize_result r;
    const lp_tensor_rule rules[] = {{"token_*", packing("q6_k")}, {"blk.?.up.weight", packing("q8_0")}};
    lp_quantize_options options = {.packing = packing("q4_0"), .search = LP_SEARCH_RTN, .rules = rules, .n_rules = 2};
    quantize(&options, &r);
    char hex[65];
    hash_file(out_path, hex);
    assert_string_equal(r.sha256, hex);
    hash_file(source_path, hex);
    lp_gguf *out;
    ok(lp_gguf_open(out_path, &out));
    int64_t number = 0;
    lp_string text = {0};
    ok(lp_gguf_get_i64(out, "general.file_type", true, &number));
    assert_int_equal(number, 2);
    ok(lp_gguf_get_i64(out, "general.quantization_version", true, &number));
    assert_int_equal(number, 2);
    ok(lp_gguf_get_string(out, "lowp.source.sha256", true, &text));
    assert_memory_equal(text.data, hex, 64);
    ok(lp_gguf_get_string(out, "lowp.recipe", true, &text));
    static const char recipe[] = "rtn q4_0; token_*=q6_k; blk.?.up.weight=q8_0";
    assert_int_equal(text.n, strlen(recipe));
    assert_memory_equal(text.data, recipe, text.n);
    assert_null(lp_gguf_find(out, "lowp.stats.sha256")); /* the source's own would be wrong here */
    bool requantized = false;
    ok(lp_gguf_get_bool(out, "lowp.requantized", true, &requantized));
    assert_true(requantized);
    static const char *const order[] = {"general.architecture", "general.file_type", "general.alignment", "some.list"};
    for (int i = 0; i < 4; i++) {
        const lp_gguf_key *key = lp_gguf_key_at(out, i);
        assert_memory_equal(key->key.data, order[i], strlen(order[i]));
    }
    assert_ptr_equal(lp_gguf_find_tensor(out, "token_embd.weight")->packing, packing("q6_k"));
    assert_ptr_equal(lp_gguf_find_tensor(out, "blk.0.up.weight")->packing, packing("q8_0"));
    assert_ptr_equal(lp_gguf_find_tensor(out, "blk.0.experts.weight")->packing, packing("q4_0"));
    lp_gguf_close(out);
    lp_quantize_result_free(&r);
    unlink(out_path);
}

static void the_bytes_do_not_depend_on_the_number_of_threads(void **state)
{
    (void)state;
    char first[65] = "";
    double error = 0;
    for (int n = 0; n <= 5; n++) {
        lp_pool *pool = NULL;
        if (n) ok(lp_pool_create(n, &pool));
        lp_quantize_result r;
        lp_quantize_options options = {.packing = packing("q3_k"), .force = true, .pool = pool};
        quantize(&options, &r);
        if (n == 0) {
            strcpy(first, r.sha256);
            error = r.rows[2].error;
        }
        assert_string_equal(first, r.sha256);
        assert_true(error == r.rows[2].error);
        lp_quantize_result_free(&r);
        lp_pool_destroy(pool);
    }
    unlink(out_path);
}

static void a_dry_run_knows_the_size_and_writes_nothing(void **state)
{
    (void)state;
    static const char *const names[] = {"q4_k", "q8_0", "mxfp4", "f16", "f32"};
    for (int i = 0; i < 5; i++) {
        lp_quantize_result dry, wet;
        lp_quantize_options options = {.packing = packing(names[i]), .dry_run = true};
        quantize(&options, &dry);
        assert_false(exists(out_path) || exists(temporary_path));
        options.dry_run = false;
        quantize(&options, &wet);
        assert_int_equal(dry.n_bytes, wet.n_bytes);
        assert_int_equal(dry.n_tensor_bytes, wet.n_tensor_bytes);
        assert_string_equal(dry.sha256, "");
        lp_quantize_result_free(&dry);
        lp_quantize_result_free(&wet);
        unlink(out_path);
    }
}

static void a_tensor_that_has_the_format_is_copied(void **state)
{
    (void)state;
    lp_quantize_result r;
    lp_quantize_options options = {.packing = packing("q8_0")};
    quantize(&options, &r);
    lp_gguf *source = open_source(), *out;
    ok(lp_gguf_open(out_path, &out));
    const lp_tensor *from = lp_gguf_tensor_at(source, 6), *to = lp_gguf_tensor_at(out, 6);
    assert_memory_equal(from->data, to->data, from->n_bytes);
    assert_true(r.rows[6].error == 0.0);
    assert_false(r.requantized);
    assert_null(lp_gguf_find(out, "lowp.requantized"));
    lp_gguf_close(source);
    lp_gguf_close(out);
    lp_quantize_result_free(&r);
    unlink(out_path);
}

static void a_file_can_be_quantized_in_place(void **state)
{
    (void)state;
    lp_quantize_result r, in_place;
    lp_quantize_options options = {.packing = packing("q5_k"), .force = true};
    quantize(&options, &r);
    lp_gguf *source = open_source();
    ok(lp_quantize(source, source_path, &options, NULL, &in_place));
    lp_gguf_close(source);
    assert_string_equal(r.sha256, in_place.sha256);
    lp_quantize_result_free(&r);
    lp_quantize_result_free(&in_place);
    unlink(out_path);
    write_source(-1);
}

/* ---- importance -------------------------------------------------------------------------------------------------- */

/* A legacy importance file with one entry of n values 1 + i mod 7. */
static lp_stats *make_stats(const char *name, int32_t n)
{
    uint8_t *file = calloc(1, (size_t)n * 4 + 256), *at = file;
    assert_non_null(file);
    int32_t n_name = (int32_t)strlen(name);
    const int32_t head[2] = {1, n_name};
    memcpy(at, head, 8);
    memcpy(at + 8, name, (size_t)n_name);
    at += 8 + n_name;
    const int32_t counts[2] = {1, n};
    memcpy(at, counts, 8);
    at += 8;
    for (int32_t i = 0; i < n; i++, at += 4) memcpy(at, &(float){(float)(1 + i % 7 + i / 256)}, 4);
    const int32_t tail[2] = {1, 0};
    memcpy(at, tail, 8);
    at += 8;
    lp_stats *stats;
    ok(lp_stats_read_memory(file, (size_t)(at - file), "test", &stats));
    free(file);
    return stats;
}

static void only_tensors_with_statistics_use_importance_and_their_rows_say_so(void **state)
{
    (void)state;
    lp_stats *stats = make_stats("blk.0.up.weight", 512);
    lp_quantize_result r;
    lp_quantize_options options = {.packing = packing("q4_k"), .stats = stats};
    quantize(&options, &r);
    for (int t = 0; t < N_TENSORS; t++) assert_int_equal(r.rows[t].importance, t == 2);
    lp_gguf *source = open_source(), *out;
    ok(lp_gguf_open(out_path, &out));
    const lp_tensor *from = lp_gguf_tensor_at(source, 2), *to = lp_gguf_tensor_at(out, 2);
    uint8_t *bytes = malloc(to->n_bytes);
    int64_t n;
    const float *w = lp_stats_mean_square(stats, "blk.0.up.weight", &n);
    ok(lp_encode_rows(to->packing, LP_SEARCH_REFERENCE, (const float *)(const void *)from->data, 300, 512, w, bytes));
    assert_memory_equal(bytes, to->data, to->n_bytes);
    lp_string text;
    ok(lp_gguf_get_string(out, "lowp.stats.sha256", true, &text));
    assert_int_equal(text.n, 64);
    assert_memory_equal(text.data, lp_stats_sha256(stats), 64);
    free(bytes);
    lp_gguf_close(source);
    lp_gguf_close(out);
    lp_quantize_result_free(&r);
    lp_stats_free(stats);
    unlink(out_path);
}

static void every_expert_has_its_own_importance(void **state)
{
    (void)state;
    lp_stats *stats = make_stats("blk.0.experts.weight", 3 * 256);
    lp_quantize_result r;
    lp_quantize_options options = {.packing = packing("q6_k"), .stats = stats};
    quantize(&options, &r);
    assert_true(r.rows[5].importance);
    lp_gguf *source = open_source(), *out;
    ok(lp_gguf_open(out_path, &out));
    const lp_tensor *from = lp_gguf_tensor_at(source, 5), *to = lp_gguf_tensor_at(out, 5);
    int64_t n;
    const float *w = lp_stats_mean_square(stats, from->name, &n), *x = (const float *)(const void *)from->data;
    uint8_t bytes[5 * 210];
    for (int expert = 0; expert < 3; expert++) {
        ok(lp_encode_rows(to->packing, LP_SEARCH_REFERENCE, x + expert * 5 * 256, 5, 256, w + expert * 256, bytes));
        assert_memory_equal(bytes, to->data + expert * 5 * 210, sizeof bytes);
    }
    lp_gguf_close(source);
    lp_gguf_close(out);
    lp_quantize_result_free(&r);
    lp_stats_free(stats);
    unlink(out_path);
}

static void statistics_of_another_size_are_refused(void **state)
{
    (void)state;
    lp_stats *stats = make_stats("blk.0.up.weight", 500);
    lp_quantize_options options = {.packing = packing("q4_k"), .stats = stats};
    assert_int_equal(refused(&options, "blk.0.up.weight: the statistics have 500 columns, the tensor 512"), LP_INPUT);
    lp_stats_free(stats);
}

/* ---- refusals ---------------------------------------------------------------------------------------------------- */

static void a_rule_without_a_tensor_is_refused_with_the_nearest_name(void **state)
{
    (void)state;
    const lp_tensor_rule rules[] = {{"*", packing("q8_0")}, {"blk.0.uo.weight", packing("q8_0")}, {"*.norm.*", packing("f16")}};
    lp_quantize_options options = {.packing = packing("q4_0"), .rules = rules, .n_rules = 2};
    assert_int_equal(refused(&options, "nearest name is blk.0.up.weight"), LP_USAGE);
    options.rules = rules + 2;
    options.n_rules = 1;
    assert_int_equal(refused(&options, "one-dimensional"), LP_USAGE);
}

static void formats_that_cannot_be_written_are_refused(void **state)
{
    (void)state;
    const lp_tensor_rule rule = {"*", packing("q8_1")};
    lp_quantize_options options = {.packing = packing("iq2_xs")};
    assert_int_equal(refused(&options, "iq2_xs"), LP_USAGE);
    options = (lp_quantize_options){.packing = packing("q4_0"), .rules = &rule, .n_rules = 1};
    assert_int_equal(refused(&options, "q8_1"), LP_USAGE);
}

static void a_value_that_is_not_finite_names_tensor_row_and_column(void **state)
{
    (void)state;
    write_source(200 * 512 + 33);
    for (int n = 1; n <= 4; n++) {
        lp_pool *pool;
        ok(lp_pool_create(n, &pool));
        lp_quantize_options options = {.packing = packing("q4_0"), .pool = pool};
        assert_int_equal(refused(&options, "source.gguf: blk.0.up.weight: row 200, column 33"), LP_INPUT);
        lp_pool_destroy(pool);
    }
    write_source(-1);
}

static bool cancel_later(void *context) { return ++*(int *)context > 3; }

static void cancelling_leaves_nothing_behind(void **state)
{
    (void)state;
    int calls = 0;
    lp_progress progress = {.cancelled = cancel_later, .context = &calls};
    lp_quantize_options options = {.packing = packing("q4_k")};
    lp_quantize_result r;
    lp_gguf *source = open_source();
    assert_int_equal(lp_quantize(source, out_path, &options, &progress, &r), LP_INTERRUPTED);
    lp_gguf_close(source);
    assert_false(exists(out_path) || exists(temporary_path));
}

static void an_output_that_exists_is_kept_unless_forced(void **state)
{
    (void)state;
    FILE *f = fopen(out_path, "wb");
    fputs("mine", f);
    fclose(f);
    lp_quantize_options options = {.packing = packing("q4_0")};
    lp_quantize_result r;
    lp_gguf *source = open_source();
    assert_int_equal(lp_quantize(source, out_path, &options, NULL, &r), LP_USAGE);
    struct stat s;
    assert_int_equal(stat(out_path, &s), 0);
    assert_int_equal(s.st_size, 4);
    options.force = true;
    ok(lp_quantize(source, out_path, &options, NULL, &r));
    assert_int_equal(stat(out_path, &s), 0);
    assert_int_equal(s.st_size, r.n_bytes);
    lp_gguf_close(source);
    lp_quantize_result_free(&r);
    unlink(out_path);
}

/* ---- patterns ---------------------------------------------------------------------------------------------------- */

static void patterns_match_whole_names(void **state)
{
    (void)state;
    static const struct {
        const char *glob, *name;
        bool match;
    } cases[] = {
        {"a", "a", true},          {"a", "ab", false},       {"", "", true},           {"*", "", true},
        {"?", "", false},          {"a*c", "abbbc", true},   {"a*c", "abbbcd", false}, {"*ab", "aaab", true},
        {"*a*b*", "xxaxxbxx", true}, {"a?c*", "abc", true},  {"**x**", "x", true},     {"*aab", "aaaab", true},
        {"blk.*.ffn_*.weight", "blk.12.ffn_up.weight", true}, {"blk.*.ffn_*.weight", "blk.12.attn_q.weight", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        assert_int_equal(lp_glob_match(cases[i].glob, cases[i].name), cases[i].match);
}

static void a_pattern_of_many_stars_takes_no_time(void **state)
{
    (void)state;
    char name[20001], glob[2001];
    memset(name, 'a', 20000);
    name[20000] = 0;
    for (int i = 0; i < 1000; i++) memcpy(glob + 2 * i, "*a", 2);
    strcpy(glob + 1999, "b"); /* never matches: a matcher that recurses would not return */
    assert_false(lp_glob_match(glob, name));
}

static void distance_counts_edits(void **state)
{
    (void)state;
    assert_int_equal(lp_glob_distance("blk.0.up", "blk.0.up"), 0);
    assert_int_equal(lp_glob_distance("blk.0.uo", "blk.0.up"), 1);
    assert_int_equal(lp_glob_distance("kitten", "sitting"), 3);
    assert_int_equal(lp_glob_distance("*out*", "output"), 3);
    assert_int_equal(lp_glob_distance("", "abc"), 3);
}

/* The types that llama.cpp chooses for the same model (tests/peers/check_mixtures.py compares all). */
static void a_mixture_chooses_by_role_and_layer(void **state)
{
    (void)state;
    static const struct { const char *mixture, *tensor, *format; } rows[] = {
        {"q4_k_m", "token_embd.weight", "q6_k"},      {"q4_k_m", "blk.0.attn_q.weight", "q4_k"},
        {"q4_k_m", "blk.3.attn_v.weight", "q6_k"},    {"q4_k_m", "blk.0.attn_v.weight", "q4_k"},
        {"q4_k_m", "blk.2.ffn_down.weight", "q6_k"},  {"Q3_K_M", "blk.1.attn_v.weight", "q5_k"},
        {"q3_k_m", "blk.2.attn_v.weight", "q4_k"},    {"q3_k_m", "blk.0.attn_output.weight", "q4_k"},
        {"q3_k_s", "blk.0.attn_v.weight", "q3_k"},    {"iq3_m", "blk.0.ffn_up.weight", "iq3_s"},
        {"q4_k_s", "blk.0.attn_norm.weight", "f32"},  {"iq3_xs", "blk.0.attn_k.weight", "iq3_xxs"},
    };
    lp_gguf *source;
    ok(lp_container_open("embedded", &source));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lp_quantize_options options = {.mixture = lp_mixture_by_name(rows[i].mixture), .dry_run = true};
        lp_quantize_result result = {0};
        bool found = false;
        assert_non_null(options.mixture);
        options.packing = lp_mixture_base(options.mixture);
        ok(lp_quantize(source, "none.gguf", &options, NULL, &result));
        for (int64_t r = 0; r < result.n_rows; r++) {
            if (strcmp(result.rows[r].name, rows[i].tensor) != 0) continue;
            found = true;
            if (strcmp(result.rows[r].packing->name, rows[i].format) != 0) print_error("%s: %s\n", rows[i].mixture, rows[i].tensor);
            assert_string_equal(result.rows[r].packing->name, rows[i].format);
        }
        assert_true(found);
        lp_quantize_result_free(&result);
    }
    lp_gguf_close(source);
    assert_null(lp_mixture_by_name("q4_k"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matrices_get_the_format_and_the_rest_stays),
        cmocka_unit_test(the_file_tells_how_it_was_made),
        cmocka_unit_test(the_bytes_do_not_depend_on_the_number_of_threads),
        cmocka_unit_test(a_dry_run_knows_the_size_and_writes_nothing),
        cmocka_unit_test(a_tensor_that_has_the_format_is_copied),
        cmocka_unit_test(a_file_can_be_quantized_in_place),
        cmocka_unit_test(only_tensors_with_statistics_use_importance_and_their_rows_say_so),
        cmocka_unit_test(every_expert_has_its_own_importance),
        cmocka_unit_test(statistics_of_another_size_are_refused),
        cmocka_unit_test(a_rule_without_a_tensor_is_refused_with_the_nearest_name),
        cmocka_unit_test(formats_that_cannot_be_written_are_refused),
        cmocka_unit_test(a_value_that_is_not_finite_names_tensor_row_and_column),
        cmocka_unit_test(cancelling_leaves_nothing_behind),
        cmocka_unit_test(an_output_that_exists_is_kept_unless_forced),
        cmocka_unit_test(patterns_match_whole_names),
        cmocka_unit_test(a_pattern_of_many_stars_takes_no_time),
        cmocka_unit_test(distance_counts_edits),
        cmocka_unit_test(a_mixture_chooses_by_role_and_layer),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
