/* The corners of this room that no file in use reaches: edits of every type, containers put together wrongly, arguments at
 * their borders. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/stat.h>

#include <cmocka.h>

#include <lowp/lowp.h>

#include "file/gguf.h"
#include "file/json.h"
#include "file/safetensors.h"
#include "folder.h"

static void ok(lp_status status)
{
    if (status != LP_OK) fail_msg("%s: %s", lp_status_name(status), lp_error());
}

static void refused(lp_status status, lp_status wanted, const char *what, const char *reason)
{
    if (status != wanted) fail_msg("%s: %s where %s is expected: %s", what, lp_status_name(status), lp_status_name(wanted), lp_error());
    if (!strstr(lp_error(), reason)) fail_msg("%s: '%s' is not in '%s'", what, reason, lp_error());
}

/* ---- edits -------------------------------------------------------------------------------------------------------- */

/* A file with a key of each type, "k.TYPE", and some that programs read. */
static void put_keys(builder *b)
{
    static const struct {
        const char *key;
        uint32_t type;
        size_t n;
    } keys[] = {{"k.u8", 0, 1}, {"k.i8", 1, 1}, {"k.u16", 2, 2}, {"k.i16", 3, 2}, {"k.u32", 4, 4}, {"k.i32", 5, 4}, {"k.f32", 6, 4},
                {"k.bool", 7, 1}, {"k.u64", 10, 8}, {"k.i64", 11, 8}, {"k.f64", 12, 8}, {"toy.size", 4, 4}, {"toyota", 4, 4},
                {"tokenizer.x", 4, 4}, {"split.count", 4, 4}, {"general.alignment", 4, 0}};
    const size_t n = sizeof keys / sizeof *keys;
    put_header(b, 3, 1, n + 3);
    put_key(b, "general.architecture", 8);
    put_string(b, "toy");
    put_key(b, "k.string", 8);
    put_string(b, "text");
    put_array(b, "k.list", 5, 1);
    put_u32(b, 1);
    for (size_t i = 0; i < n; i++) {
        put_key(b, keys[i].key, keys[i].type);
        if (keys[i].n == 0) put_u32(b, 32);
        else put_zeros(b, keys[i].n);
    }
    put_tensor(b, "t", 1, DIMS(2), 0, 0);
    put_padding(b, 32);
    put_f32(b, 1);
    put_f32(b, 2);
    put_padding(b, 32);
}

typedef struct edit_case {
    const char *key, *type, *value;
    lp_status status;
    const char *text; /* LP_OK: the value as it is read then, NULL: gone; else a part of the reason */
    bool force, again; /* written again, not in place */
} edit_case;

static const edit_case edit_cases[] = {
    {"k.u8", NULL, "255", LP_OK, "255", false, false},
    {"k.u8", NULL, "256", LP_USAGE, "'256' is no u8", false, false},
    {"k.u8", NULL, "-1", LP_USAGE, "'-1' is no u8", false, false},
    {"k.u8", NULL, "1x", LP_USAGE, "no u8", false, false},
    {"k.u8", NULL, "x", LP_USAGE, "no u8", false, false},
    {"k.u8", NULL, ":", LP_USAGE, "no u8", false, false},
    {"k.u8", NULL, "/", LP_USAGE, "no u8", false, false},
    {"k.u8", NULL, "", LP_USAGE, "no u8", false, false},
    {"k.i8", NULL, "-128", LP_OK, "-128", false, false},
    {"k.i8", NULL, "-129", LP_USAGE, "no i8", false, false},
    {"k.i8", NULL, "127", LP_OK, "127", false, false},
    {"k.i8", NULL, "128", LP_USAGE, "no i8", false, false},
    {"k.i8", NULL, "-", LP_USAGE, "no i8", false, false},
    {"k.i8", NULL, "-1x", LP_USAGE, "no i8", false, false},
    {"k.u16", NULL, "65535", LP_OK, "65535", false, false},
    {"k.u16", NULL, "65536", LP_USAGE, "no u16", false, false},
    {"k.i16", NULL, "-32768", LP_OK, "-32768", false, false},
    {"k.i16", NULL, "32768", LP_USAGE, "no i16", false, false},
    {"k.u32", NULL, "4294967295", LP_OK, "4294967295", false, false},
    {"k.u32", NULL, "4294967296", LP_USAGE, "no u32", false, false},
    {"k.i32", NULL, "-2147483648", LP_OK, "-2147483648", false, false},
    {"k.i32", NULL, "-2147483649", LP_USAGE, "no i32", false, false},
    {"k.u64", NULL, "9223372036854775807", LP_OK, "9223372036854775807", false, false},
    {"k.u64", NULL, "18446744073709551616", LP_USAGE, "no u64", false, false},
    {"k.i64", NULL, "-9223372036854775808", LP_OK, "-9223372036854775808", false, false},
    {"k.i64", NULL, "-9223372036854775809", LP_USAGE, "no i64", false, false},
    {"k.i64", NULL, "9223372036854775808", LP_USAGE, "no i64", false, false},
    {"k.f32", NULL, "1.5", LP_OK, "1.5", false, false},
    {"k.f32", NULL, "1e39", LP_USAGE, "no finite number", false, false},
    {"k.f32", NULL, "nan", LP_USAGE, "no finite number", false, false},
    {"k.f32", NULL, "", LP_USAGE, "no finite number", false, false},
    {"k.f32", NULL, "1.5 ", LP_USAGE, "no finite number", false, false},
    {"k.f64", NULL, "1e39", LP_OK, "1e+39", false, false},
    {"k.f64", NULL, "1e999", LP_USAGE, "no finite number", false, false},
    {"k.bool", NULL, "true", LP_OK, "true", false, false},
    {"k.bool", NULL, "false", LP_OK, "false", false, false},
    {"k.bool", NULL, "1", LP_USAGE, "no bool", false, false},
    {"k.string", NULL, "TEXT", LP_OK, "TEXT", false, false},
    {"k.string", NULL, "longer", LP_OK, "longer", false, true},
    {"k.string", "string", "four", LP_OK, "four", false, false},
    {"k.string", "u32", "4", LP_USAGE, "has type string", false, false},
    {"k.string", NULL, NULL, LP_OK, NULL, false, true},
    {"k.list", NULL, "1", LP_USAGE, "arrays cannot be edited", false, false},
    {"k.list", NULL, NULL, LP_OK, NULL, false, true},
    {"new", NULL, "1", LP_USAGE, "needs its type", false, false},
    {"new", NULL, NULL, LP_USAGE, "no such key", false, false},
    {"new", "u32", NULL, LP_USAGE, "no such key", false, false},
    {"new", "u128", "1", LP_USAGE, "no type of a single value", false, false},
    {"new", "array", "1", LP_USAGE, "no type of a single value", false, false},
    {"new", "i16", "-5", LP_OK, "-5", false, true},
    {"new", "f64", "0.5", LP_OK, "0.5", false, true},
    {"new", "string", "", LP_OK, "", false, true},
    {"general.name", "string", "n", LP_OK, "n", false, true},
    {"general.architecture", NULL, "toy", LP_USAGE, "--force", false, false},
    {"general.architecture", NULL, "tox", LP_OK, "tox", true, false},
    {"general.alignment", NULL, "64", LP_USAGE, "--force", false, false},
    {"general.alignment", NULL, "64", LP_OK, "64", true, true},
    {"general.file_type", "u32", "1", LP_USAGE, "--force", false, false},
    {"general.quantization_version", "u32", "2", LP_USAGE, "--force", false, false},
    {"general.type", "string", "model", LP_USAGE, "--force", false, false},
    {"toy.size", NULL, "3", LP_USAGE, "--force", false, false},
    {"toyota", NULL, "3", LP_OK, "3", false, false},
    {"tokenizer.x", NULL, "3", LP_USAGE, "--force", false, false},
    {"split.count", NULL, "1", LP_USAGE, "--force", false, false},
    {"tokenizer.chat_template", "string", "{{ 1 }}", LP_OK, "{{ 1 }}", false, true},
};

/* A scalar of any type as text. */
static void print_key(const lp_gguf *g, const char *key, char *out, size_t n)
{
    int64_t i;
    double d;
    bool b;
    lp_string s;
    if (lp_gguf_get_i64(g, key, true, &i) == LP_OK) snprintf(out, n, "%lld", (long long)i);
    else if (lp_gguf_get_f64(g, key, true, &d) == LP_OK) snprintf(out, n, "%g", d);
    else if (lp_gguf_get_bool(g, key, true, &b) == LP_OK) snprintf(out, n, "%s", b ? "true" : "false");
    else if (lp_gguf_get_string(g, key, true, &s) == LP_OK) snprintf(out, n, "%.*s", (int)s.n, s.data);
    else snprintf(out, n, "?");
}

static void edits_of_every_type_hold_their_ranges(void **state)
{
    (void)state;
    builder b = {0};
    put_keys(&b);
    for (size_t i = 0; i < sizeof edit_cases / sizeof *edit_cases; i++) {
        const edit_case *c = &edit_cases[i];
        const lp_key_change change = {c->key, c->type, c->value};
        const char *path = path_of("edit.gguf");
        bool in_place;
        char what[100], text[64];
        snprintf(what, sizeof what, "%s:%s=%s", c->key, c->type ? c->type : "", c->value ? c->value : "(none)");
        write_file(path, b.data, b.n);
        for (int dry = 1; dry >= 0; dry--) { /* a dry run has the same answer and changes nothing */
            lp_status status = lp_gguf_edit(path, &change, 1, c->force, dry, &in_place);
            if (c->status != LP_OK) refused(status, c->status, what, c->text);
            else if (status != LP_OK || in_place == c->again) fail_msg("%s: %d %s", what, in_place, lp_error());
            if (!dry && status == LP_OK) continue;
            builder now = read_file(path);
            assert_int_equal(now.n, b.n);
            assert_memory_equal(now.data, b.data, b.n);
            free(now.data);
        }
        if (c->status != LP_OK) continue;
        lp_gguf *g;
        ok(lp_gguf_open(path, &g));
        if (!c->text) {
            assert_null(lp_gguf_find(g, c->key));
        } else {
            print_key(g, c->key, text, sizeof text);
            if (strcmp(text, c->text) != 0) fail_msg("%s: reads %s", what, text);
        }
        assert_memory_equal(lp_gguf_find_tensor(g, "t")->data, b.data + b.n - 32, 8);
        lp_gguf_close(g);
    }
    free(b.data);
}

static void a_key_is_changed_once_and_a_string_is_bounded(void **state)
{
    (void)state;
    builder b = {0};
    put_keys(&b);
    const char *path = path_of("twice.gguf");
    write_file(path, b.data, b.n);
    bool in_place;
    const lp_key_change twice[] = {{"k.u8", NULL, "1"}, {"k.i8", NULL, "1"}, {"k.u8", NULL, "2"}};
    refused(lp_gguf_edit(path, twice, 3, false, false, &in_place), LP_USAGE, "twice", "k.u8: is changed twice");
    const lp_key_change second[] = {{"k.u8", NULL, "x"}, {"k.i8", NULL, "1"}, {"k.i16", NULL, "1"}};
    refused(lp_gguf_edit(path, second, 3, false, false, &in_place), LP_USAGE, "the first of three", "k.u8");
    char *large = malloc(LP_GGUF_MAX_STRING + 2);
    memset(large, 'x', LP_GGUF_MAX_STRING + 1);
    large[LP_GGUF_MAX_STRING + 1] = 0;
    refused(lp_gguf_edit(path, &(lp_key_change){"k.string", NULL, large}, 1, false, false, &in_place), LP_USAGE, "large", "at most");
    ok(lp_gguf_edit(path, &(lp_key_change){"tokenizer.chat_template", "string", large}, 1, false, false, &in_place));
    large[LP_GGUF_MAX_STRING] = 0;
    ok(lp_gguf_edit(path, &(lp_key_change){"k.string", NULL, large}, 1, false, false, &in_place));
    lp_gguf *g;
    ok(lp_gguf_open(path, &g));
    assert_int_equal(lp_gguf_find(g, "k.string")->n_raw, LP_GGUF_MAX_STRING + 8);
    lp_gguf_close(g);
    refused(lp_gguf_edit(path_of("absent.gguf"), twice, 1, false, false, &in_place), LP_INPUT, "absent", "absent.gguf");
    free(large);
    free(b.data);
}

static void a_file_without_an_architecture_can_be_edited(void **state)
{
    (void)state;
    builder b = {0};
    put_header(&b, 3, 0, 2);
    put_key(&b, "a.b", 4);
    put_u32(&b, 1);
    put_key(&b, "general.architecture", 8);
    put_string(&b, "");
    const char *path = path_of("bare.gguf");
    write_file(path, b.data, b.n);
    bool in_place;
    ok(lp_gguf_edit(path, &(lp_key_change){"a.b", NULL, "2"}, 1, false, false, &in_place));
    free(b.data);
    b = (builder){0};
    put_header(&b, 3, 0, 2);
    put_key(&b, "a.b", 4);
    put_u32(&b, 1);
    put_key(&b, "general.architecture", 4);
    put_u32(&b, 1);
    write_file(path, b.data, b.n);
    ok(lp_gguf_edit(path, &(lp_key_change){"a.b", NULL, "2"}, 1, false, false, &in_place));
    free(b.data);
}

/* ---- split files -------------------------------------------------------------------------------------------------- */

typedef struct shard {
    int number, count, promised; /* -1: no key */
    const char *tensor;          /* one tensor of this name, or NULL */
    int wrong;                   /* 1: split.no is a text; 2: split.count is a text */
} shard;

static void write_shard(const char *name, const shard *s)
{
    builder b = {0};
    put_header(&b, 3, s->tensor != NULL, 1u + (s->number >= 0) + (s->count >= 0) + (s->promised >= 0));
    put_key(&b, "general.architecture", 8);
    put_string(&b, "toy");
    const struct {
        const char *key;
        int value, is_text;
    } keys[] = {{"split.no", s->number, s->wrong == 1}, {"split.count", s->count, s->wrong == 2}, {"split.tensors.count", s->promised, s->wrong == 3}};
    for (int i = 0; i < 3; i++) {
        if (keys[i].value < 0) continue;
        put_key(&b, keys[i].key, keys[i].is_text ? 8 : 5);
        if (keys[i].is_text) put_string(&b, "one");
        else put_u32(&b, (uint32_t)keys[i].value);
    }
    if (s->tensor) {
        put_tensor(&b, s->tensor, 1, DIMS(3), 0, 0);
        put_padding(&b, 32);
        for (int i = 0; i < 3; i++) put_f32(&b, (float)i);
        put_padding(&b, 32);
    }
    write_file(path_of(name), b.data, b.n);
    free(b.data);
}

static void split_files_must_fit_together(void **state)
{
    (void)state;
    static const struct {
        shard first, second;
        const char *name;
        lp_status status;
        const char *reason;
    } cases[] = {
        {{0, 2, 2, "a", 0}, {1, 2, -1, "b", 0}, "m-00001-of-00002.gguf", LP_OK, ""},
        {{0, 2, -1, "a", 0}, {1, 2, -1, "b", 0}, "m-00001-of-00002.gguf", LP_OK, ""},
        {{0, 2, -1, "a", 0}, {1, 2, -1, NULL, 0}, "m-00001-of-00002.gguf", LP_OK, ""},
        {{-1, 2, -1, "a", 0}, {1, 2, -1, "b", 0}, "m-00001-of-00002.gguf", LP_INPUT, "split.no"},
        {{0, 2, 3, "a", 0}, {1, 2, -1, "b", 0}, "m-00001-of-00002.gguf", LP_INPUT, "3 tensors are promised, the files have 2"},
        {{0, 2, 3, "a", 3}, {1, 2, -1, "b", 0}, "m-00001-of-00002.gguf", LP_INPUT, "split.tensors.count"},
        {{0, 2, -1, "a", 0}, {1, 2, -1, "a", 0}, "m-00001-of-00002.gguf", LP_INPUT, "a: the tensor is in"},
        {{0, 2, -1, "a", 0}, {0, 2, -1, "b", 0}, "m-00001-of-00002.gguf", LP_INPUT, "is number 0 of 2 (1 of 2 is expected)"},
        {{0, 2, -1, "a", 0}, {1, 3, -1, "b", 0}, "m-00001-of-00002.gguf", LP_INPUT, "is number 1 of 3"},
        {{0, 2, -1, "a", 0}, {-1, 2, -1, "b", 0}, "m-00001-of-00002.gguf", LP_INPUT, "split.no"},
        {{0, 2, -1, "a", 0}, {1, -1, -1, "b", 0}, "m-00001-of-00002.gguf", LP_INPUT, "split.count"},
        {{0, 2, -1, "a", 1}, {1, 2, -1, "b", 0}, "m-00001-of-00002.gguf", LP_INPUT, "split.no"},
        {{0, 2, -1, "a", 2}, {1, 2, -1, "b", 0}, "m-00001-of-00002.gguf", LP_INPUT, "split.count"},
        {{1, 2, -1, "a", 0}, {1, 2, -1, "b", 0}, "m-00001-of-00002.gguf", LP_INPUT, "is file 2 of 2 of a split model"},
        {{0, 2, -1, "a", 0}, {1, 2, -1, "b", 0}, "m-00001-of-00003.gguf", LP_INPUT, "does not end with -00001-of-00002.gguf"},
        {{0, 2, -1, "a", 0}, {1, 2, -1, "b", 0}, "m.gguf", LP_INPUT, "does not end with"},
        {{0, 600, -1, "a", 0}, {1, 2, -1, "b", 0}, "m-00001-of-00600.gguf", LP_UNSUPPORTED, "600 files"},
        {{0, 513, -1, "a", 0}, {1, 2, -1, "b", 0}, "m-00001-of-00513.gguf", LP_UNSUPPORTED, "513 files"},
        {{0, 512, -1, "a", 0}, {1, 2, -1, "b", 0}, "m-00001-of-00512.gguf", LP_INPUT, "m-00002-of-00512.gguf"},
        {{0, 1, -1, "a", 0}, {1, 2, -1, "b", 0}, "m-00001-of-00002.gguf", LP_OK, ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lp_gguf *g = NULL;
        char what[32];
        snprintf(what, sizeof what, "case %zu", i);
        write_shard(cases[i].name, &cases[i].first);
        write_shard("m-00002-of-00002.gguf", &cases[i].second);
        lp_status status = lp_container_open(path_of(cases[i].name), &g);
        if (cases[i].status == LP_OK && status != LP_OK) fail_msg("case %zu: %s", i, lp_error());
        if (cases[i].status != LP_OK) refused(status, cases[i].status, what, cases[i].reason);
        lp_gguf_close(g);
    }
    lp_gguf *g = NULL;
    write_shard("m-00001-of-00002.gguf", &cases[0].first);
    remove(path_of("m-00002-of-00002.gguf"));
    refused(lp_container_open(path_of("m-00001-of-00002.gguf"), &g), LP_INPUT, "a missing shard", "m-00002-of-00002.gguf");
}

/* 12 bytes a tensor: between them lies padding, which is nobody's memory. */
static void a_joined_file_reads_like_the_file_that_joining_writes(void **state)
{
    (void)state;
    write_shard("m-00001-of-00002.gguf", &(shard){0, 2, -1, "a", 0});
    write_shard("m-00002-of-00002.gguf", &(shard){1, 2, -1, "b", 0});
    lp_convert_result r;
    lp_gguf *g;
    ok(lp_convert(path_of("m-00001-of-00002.gguf"), path_of("joined.gguf"), &(lp_convert_options){.force = true}, NULL, &r));
    builder whole = read_file(path_of("joined.gguf"));
    ok(lp_container_open(path_of("m-00001-of-00002.gguf"), &g));
    assert_int_equal(lp_gguf_size(g), whole.n);
    for (uint64_t step = 1; step < 9; step += 7)
        for (uint64_t at = 0, n; at < whole.n; at += n) {
            n = step;
            const uint8_t *bytes = lp_gguf_bytes(g, at, &n);
            assert_true(n >= 1 && n <= step && n <= whole.n - at);
            assert_memory_equal(bytes, whole.data + at, n);
        }
    uint64_t much = 5000;
    (void)lp_gguf_bytes(g, whole.n - 1, &much);
    assert_int_equal(much, 1);
    lp_gguf_drop_pages(g, lp_gguf_tensor_at(g, 0), 1, 1);
    lp_gguf_drop_pages(g, lp_gguf_tensor_at(g, 0), -3, 7);
    ok(lp_gguf_check_intact(g));
    lp_gguf_close(g);
    ok(lp_gguf_open(path_of("joined.gguf"), &g));
    much = 5000;
    (void)lp_gguf_bytes(g, whole.n - 2, &much);
    assert_int_equal(much, 2);
    lp_gguf_close(g);
    free(whole.data);
}

/* ---- access ------------------------------------------------------------------------------------------------------- */

static void indices_outside_and_absent_keys_are_answered(void **state)
{
    (void)state;
    builder b = {0};
    put_toy(&b);
    lp_gguf *g;
    ok(lp_gguf_open_memory(b.data, b.n, "toy", &g));
    assert_null(lp_gguf_warning(g, -1));
    assert_null(lp_gguf_warning(g, 0));
    assert_null(lp_gguf_tensor_at(g, -1));
    assert_null(lp_gguf_tensor_at(g, 2));
    assert_null(lp_gguf_key_at(g, -1));
    assert_null(lp_gguf_key_at(g, 3));
    int64_t i = 7;
    double d = 7;
    bool flag = true;
    lp_string s = {"7", 1};
    refused(lp_gguf_get_i64(g, "none", true, &i), LP_INPUT, "i64", "the key is missing");
    refused(lp_gguf_get_f64(g, "none", true, &d), LP_INPUT, "f64", "the key is missing");
    refused(lp_gguf_get_bool(g, "none", true, &flag), LP_INPUT, "bool", "the key is missing");
    refused(lp_gguf_get_string(g, "none", true, &s), LP_INPUT, "string", "the key is missing");
    ok(lp_gguf_get_i64(g, "none", false, &i));
    ok(lp_gguf_get_f64(g, "none", false, &d));
    ok(lp_gguf_get_bool(g, "none", false, &flag));
    ok(lp_gguf_get_string(g, "none", false, &s));
    assert_true(i == 7 && d == 7 && flag && s.n == 1);
    const lp_gguf_key *list = lp_gguf_find(g, "toy.list");
    refused(lp_gguf_array_f64(list, 3, &d), LP_USAGE, "index", "3");
    refused(lp_gguf_array_f64(list, 0, &d), LP_INPUT, "type", "float");
    lp_gguf_warn(g, "one");
    lp_gguf_warn(g, "two");
    lp_gguf_warn(g, "three"); /* no room: the first ones stay */
    assert_string_equal(lp_gguf_warning(g, 1), "two");
    assert_null(lp_gguf_warning(g, 2));
    lp_gguf_close(g);
    assert_int_equal(lp_gguf_type_bytes(LP_GGUF_TYPE_COUNT), 0);
    assert_int_equal(lp_gguf_type_bytes(LP_GGUF_F64), 8);
    assert_string_equal(lp_gguf_type_name(99), "unknown");
    free(b.data);
}

/* Another process may change a file while it is mapped: lengths are checked again where they are used. */
static void strings_that_changed_since_opening_lead_nowhere(void **state)
{
    (void)state;
    builder b = {0};
    put_string(&b, "one");
    put_string(&b, "two");
    lp_gguf_key key = {{"k", 1}, LP_GGUF_ARRAY, LP_GGUF_STRING, 2, b.data, b.n};
    lp_string out[2];
    ok(lp_gguf_strings(&key, out));
    assert_int_equal(out[1].n, 3);
    key.n_raw = 11 + 7; /* the second length is cut */
    refused(lp_gguf_strings(&key, out), LP_INPUT, "cut", "unchanged");
    key.n_raw = b.n;
    b.data[11] = 4; /* one byte beyond */
    refused(lp_gguf_strings(&key, out), LP_INPUT, "long", "unchanged");
    memset(b.data + 11, 0xff, 8);
    refused(lp_gguf_strings(&key, out), LP_INPUT, "huge", "unchanged");
    free(b.data);
}

static void removed_types_are_refused_and_their_neighbours_are_not(void **state)
{
    (void)state;
    static const uint32_t removed[] = {4, 5, 31, 32, 33, 36, 37, 38};
    for (uint32_t id = 0; id < 45; id++) {
        builder b = {0};
        lp_gguf *g;
        bool is_removed = false;
        for (size_t i = 0; i < sizeof removed / sizeof *removed; i++) is_removed |= removed[i] == id;
        put_header(&b, 3, 1, 0);
        put_tensor(&b, "t", 1, DIMS(0), id, 0);
        put_padding(&b, 32);
        lp_status status = lp_gguf_open_memory(b.data, b.n, "f", &g);
        if (is_removed) refused(status, LP_INPUT, "a removed type", "removed");
        else if (lp_packing_by_id(id)) ok(status);
        else refused(status, LP_INPUT, "an unknown type", "type");
        if (status == LP_OK) lp_gguf_close(g);
        free(b.data);
    }
}

/* ---- writing ------------------------------------------------------------------------------------------------------ */

static void a_writer_refuses_what_no_file_can_hold(void **state)
{
    (void)state;
    lp_gguf_writer *w;
    const lp_packing *f32 = lp_packing_by_name("f32"), *q8_0 = lp_packing_by_name("q8_0");
    ok(lp_gguf_writer_create_dry(&w));
    char name[66];
    memset(name, 'n', 65);
    name[65] = 0;
    refused(lp_gguf_writer_add_tensor(w, name, 1, (int64_t[]){1}, f32), LP_USAGE, "a long name", "name");
    refused(lp_gguf_writer_add_tensor(w, "", 1, (int64_t[]){1}, f32), LP_USAGE, "no name", "name");
    refused(lp_gguf_writer_add_tensor(w, "\xff", 1, (int64_t[]){1}, f32), LP_USAGE, "no text", "name");
    name[64] = 0;
    ok(lp_gguf_writer_add_tensor(w, name, 1, (int64_t[]){1}, f32));
    refused(lp_gguf_writer_add_tensor(w, "b", 1, (int64_t[]){31}, q8_0), LP_USAGE, "a part of a block", "b");
    refused(lp_gguf_writer_add_tensor(w, "b", 2, (int64_t[]){INT64_MAX, 2}, f32), LP_USAGE, "an overflow", "b");
    refused(lp_gguf_writer_add_tensor(w, "b", 1, (int64_t[]){INT64_MAX / 4}, f32), LP_USAGE, "an overflow with its offset", "b");
    refused(lp_gguf_writer_begin_data(w), LP_USAGE, "data into no file", "without a file");
    lp_gguf_writer_abort(w);
    ok(lp_gguf_writer_create(path_of("w.gguf"), true, &w));
    ok(lp_gguf_writer_add_tensor(w, "t", 1, (int64_t[]){2}, f32));
    refused(lp_gguf_writer_finish(w, NULL), LP_USAGE, "nothing written", "t");
    ok(lp_gguf_writer_create(path_of("w.gguf"), true, &w));
    char sha256[65];
    ok(lp_gguf_writer_finish(w, sha256)); /* the header comes by itself */
    lp_gguf_writer_abort(NULL);
}

/* ---- JSON and safetensors ----------------------------------------------------------------------------------------- */

static void absent_nodes_have_no_value(void **state)
{
    (void)state;
    const lp_json_limits limits = {1000, 100, 8};
    lp_json_document d;
    char digits[1200];
    int64_t i;
    double x;
    assert_null(lp_json_find(NULL, "a"));
    assert_false(lp_json_is(NULL, "a"));
    assert_false(lp_json_integer(NULL, &i));
    assert_false(lp_json_real(NULL, &x));
    static const char text[] = "\r\n\t [\"a\", 1.5, 1e999, 12, -9223372036854775808, {\"b\": 1}]\r";
    ok(lp_json_parse("f", text, sizeof text - 1, &limits, &d));
    assert_null(lp_json_find(&d.node[0], "a"));
    assert_false(lp_json_real(&d.node[1], &x));
    assert_true(lp_json_real(&d.node[2], &x) && x == 1.5);
    assert_false(lp_json_real(&d.node[3], &x));
    assert_false(lp_json_is(&d.node[2], "1.5"));
    assert_false(lp_json_is(&d.node[1], "ab"));
    assert_false(lp_json_is(&d.node[1], "b"));
    assert_true(lp_json_is(&d.node[1], "a"));
    assert_true(lp_json_integer(&d.node[5], &i) && i == INT64_MIN);
    assert_null(lp_json_find(&d.node[6], "c"));
    lp_json_free(&d);
    memset(digits, '1', 900);
    ok(lp_json_parse("f", digits, 900, &limits, &d));
    assert_false(lp_json_real(&d.node[0], &x)); /* no number that long means something */
    lp_json_free(&d);
    refused(lp_json_parse("f", digits, 1001, &limits, &d), LP_INPUT, "too long", "1001");
}

static void put_safetensors(const char *name, const char *header, size_t n_data)
{
    builder b = {0};
    put_u64(&b, strlen(header));
    put(&b, header, strlen(header));
    put_zeros(&b, n_data);
    write_file(path_of(name), b.data, b.n);
    free(b.data);
}

static void folders_of_shards_must_fit_together(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        lp_status status;
        const char *reason;
    } cases[] = {
        {"{\"weight_map\": {\"a\": \"one.safetensors\", \"b\": \"two.safetensors\"}}", LP_OK, ""},
        {"{\"weight_map\": {\"a\": \"one.safetensors\"}}", LP_OK, ""},
        {"{\"weight_map\": {\"b\": \"two.safetensors\", \"c\": \"two.safetensors\"}}", LP_INPUT, "c: the tensor is not in"},
        {"{\"weight_map\": {\"a\": \"both.safetensors\"}}", LP_INPUT, "names 1 tensors, but its shards have 2"},
        {"{\"weight_map\": {\"c\": \"one.safetensors\"}}", LP_INPUT, "c"},
        {"{\"weight_map\": {\"a\": \"none.safetensors\"}}", LP_INPUT, "none.safetensors"},
        {"{\"weight_map\": {\"a\": \"one.safetensors\", \"b\": \"copy.safetensors\"}}", LP_INPUT, "another shard too"},
        {"{\"weight_map\": {\"a\": \"\"}}", LP_INPUT, "plain file name"},
        {"{\"weight_map\": {\"a\": \".hidden\"}}", LP_INPUT, "plain file name"},
        {"{\"weight_map\": {\"a\": \"../one.safetensors\"}}", LP_INPUT, "plain file name"},
        {"{\"weight_map\": {\"a\": \"x/one.safetensors\"}}", LP_INPUT, "plain file name"},
        {"{\"weight_map\": {\"a\": \"one\\u0000.safetensors\"}}", LP_INPUT, "plain file name"},
        {"{\"weight_map\": {\"a\": 1}}", LP_INPUT, "plain file name"},
        {"{\"weight_map\": []}", LP_INPUT, "weight_map"},
        {"{}", LP_INPUT, "weight_map"},
        {"[1]", LP_INPUT, "weight_map"},
        {"{", LP_INPUT, "byte"},
    };
    put_safetensors("one.safetensors", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    put_safetensors("both.safetensors", "{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},\"z\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2);
    put_safetensors("two.safetensors", "{\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    put_safetensors("copy.safetensors", "{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lp_safetensors_folder f = {0};
        char what[32], with_slash[300];
        snprintf(what, sizeof what, "index %zu", i);
        write_file(path_of("model.safetensors.index.json"), cases[i].index, strlen(cases[i].index));
        snprintf(with_slash, sizeof with_slash, "%s%s", folder, i % 2 ? "//" : "");
        lp_status status = lp_safetensors_folder_open(with_slash, &f);
        if (cases[i].status == LP_OK && status != LP_OK) fail_msg("%s: %s", what, lp_error());
        if (cases[i].status != LP_OK) refused(status, cases[i].status, what, cases[i].reason);
        if (status == LP_OK) assert_non_null(lp_safetensors_folder_find(&f, "a"));
        if (status == LP_OK) assert_null(lp_safetensors_folder_find(&f, "absent"));
        if (status == LP_OK) lp_safetensors_folder_close(&f);
    }
    char name[300];
    memset(name, 'n', 290);
    strcpy(name + 256, "\"}}");
    char index[400];
    snprintf(index, sizeof index, "{\"weight_map\": {\"a\": \"%s", name);
    write_file(path_of("model.safetensors.index.json"), index, strlen(index));
    lp_safetensors_folder f = {0};
    refused(lp_safetensors_folder_open(folder, &f), LP_INPUT, "a long name", "plain file name");
    remove(path_of("model.safetensors.index.json"));
    refused(lp_safetensors_folder_open(folder, &f), LP_INPUT, "no file", "model.safetensors");
}

static void a_header_without_needed_members_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *header, *reason;
    } cases[] = {
        {"{\"a\":{\"shape\":[1],\"data_offsets\":[0,4]}}", "dtype"},
        {"{\"a\":{\"dtype\":4,\"shape\":[1],\"data_offsets\":[0,4]}}", "dtype"},
        {"{\"a\":{\"dtype\":\"F32\",\"data_offsets\":[0,4]}}", "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":1,\"data_offsets\":[0,4]}}", "shape"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1]}}", "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":{\"0\":4}}}", "data_offsets"},
        {"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,4]}}", "data_offsets"},
        {"{\"a\":[]}", "a"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lp_safetensors *f;
        put_safetensors("bad.safetensors", cases[i].header, 4);
        refused(lp_safetensors_open(path_of("bad.safetensors"), &f), LP_INPUT, cases[i].header, cases[i].reason);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(edits_of_every_type_hold_their_ranges),
        cmocka_unit_test(a_key_is_changed_once_and_a_string_is_bounded),
        cmocka_unit_test(a_file_without_an_architecture_can_be_edited),
        cmocka_unit_test(split_files_must_fit_together),
        cmocka_unit_test(a_joined_file_reads_like_the_file_that_joining_writes),
        cmocka_unit_test(indices_outside_and_absent_keys_are_answered),
        cmocka_unit_test(strings_that_changed_since_opening_lead_nowhere),
        cmocka_unit_test(removed_types_are_refused_and_their_neighbours_are_not),
        cmocka_unit_test(a_writer_refuses_what_no_file_can_hold),
        cmocka_unit_test(absent_nodes_have_no_value),
        cmocka_unit_test(folders_of_shards_must_fit_together),
        cmocka_unit_test(a_header_without_needed_members_is_refused),
    };
    if (!mkdtemp(folder)) return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return remove_folder() ? 1 : failed;
}
