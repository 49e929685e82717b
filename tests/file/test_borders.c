/* Checks of sizes at their borders: each text and file in memory of just its size, cut at every byte, and one more or one less than is
 * allowed. tools/mutate.py moves the checks by one and expects these tests to notice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

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

/* A copy that ends where its memory ends. */
static void *exact(const void *data, size_t n)
{
    void *copy = malloc(n ? n : 1);
    assert_non_null(copy);
    if (n) memcpy(copy, data, n);
    return copy;
}

static void message_has(const char *text)
{
    if (!strstr(lp_error(), text)) fail_msg("'%s' is not in '%s'", text, lp_error());
}

/* "needs A bytes at offset ..., but the file ends after B more": B < A. */
static void message_is_consistent(void)
{
    unsigned long long need, left, at;
    const char *needs = strstr(lp_error(), " needs ");
    if (needs && sscanf(needs, " needs %llu bytes at offset %llu, but the file ends after %llu", &need, &at, &left) == 3 && left >= need)
        fail_msg("%s", lp_error());
}

/* ---- names -------------------------------------------------------------------------------------------------------- */

/* By the definition: the number that the bytes say needs just so many bytes, is no surrogate, no NUL and at most 10FFFF. */
static bool is_character(const uint8_t *p, size_t n)
{
    static const uint32_t least[] = {1, 0x80, 0x800, 0x10000};
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0}, mask[] = {0x7f, 0x1f, 0x0f, 0x07};
    if ((p[0] & (uint8_t)~mask[n - 1]) != lead[n - 1]) return false;
    uint32_t c = p[0] & mask[n - 1];
    for (size_t i = 1; i < n; i++) {
        if ((p[i] & 0xc0) != 0x80) return false;
        c = c << 6 | (p[i] & 0x3f);
    }
    return c >= least[n - 1] && c <= 0x10ffff && (c < 0xd800 || c > 0xdfff);
}

static void names_are_text_by_the_definition_of_utf8(void **state)
{
    (void)state;
    static const uint8_t later[] = {0x00, 0x41, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0};
    enum { N_LATER = sizeof later };
    uint8_t *four = malloc(4), *three = malloc(3), *two = malloc(2), *one = malloc(1);
    for (int a = 0; a < 256; a++)
        for (int b = 0; b < 256; b++) {
            one[0] = two[0] = three[0] = four[0] = (uint8_t)a;
            two[1] = three[1] = four[1] = (uint8_t)b;
            assert_int_equal(lp_name_is_text((lp_string){(char *)one, 1}), is_character(one, 1));
            assert_int_equal(lp_name_is_text((lp_string){(char *)two, 2}), is_character(two, 2) || (is_character(two, 1) && is_character(two + 1, 1)));
            if (a < 0xc0 || b < 0x80) continue; /* more characters in a row say nothing new */
            for (int i = 0; i < N_LATER; i++) {
                three[2] = four[2] = later[i];
                bool three_is = is_character(three, 3) || (is_character(three, 2) && is_character(three + 2, 1));
                assert_int_equal(lp_name_is_text((lp_string){(char *)three, 3}), three_is);
                for (int k = 0; k < N_LATER; k++) {
                    four[3] = later[k];
                    bool four_is = is_character(four, 4) || (is_character(four, 3) && is_character(four + 3, 1)) ||
                                   (is_character(four, 2) && (is_character(four + 2, 2) || (is_character(four + 2, 1) && is_character(four + 3, 1))));
                    assert_int_equal(lp_name_is_text((lp_string){(char *)four, 4}), four_is);
                }
            }
        }
    free(one);
    free(two);
    free(three);
    free(four);
}

static void a_printable_name_fills_its_buffer_and_no_more(void **state)
{
    (void)state;
    char name[100], *shown = malloc(LP_PRINTABLE);
    memset(name, 'a', sizeof name);
    for (size_t n = 1; n < sizeof name; n++)
        for (int escaped = 0; escaped < 2; escaped++) {
            name[n - 1] = escaped ? '\n' : 'a';
            lp_name_printable((lp_string){name, n}, shown);
            size_t length = n + (escaped ? 3 : 0);
            bool fits = length <= LP_PRINTABLE - 4;
            if (fits) assert_int_equal(strlen(shown), length);
            assert_int_equal(strstr(shown, "...") == NULL, fits);
            name[n - 1] = 'a';
        }
    free(shown);
}

static void each_index_of_names_has_a_seed_of_its_own_and_an_end(void **state)
{
    (void)state;
    lp_names a = {0}, b = {0}, full = {.n = UINT32_C(1) << 30, .capacity = UINT32_C(1) << 30};
    uint32_t index;
    bool is_new;
    ok(lp_names_add(&a, (lp_string){"x", 1}, &index, &is_new));
    ok(lp_names_add(&b, (lp_string){"x", 1}, &index, &is_new));
    assert_memory_not_equal(a.seed, b.seed, sizeof a.seed);
    lp_names_free(&a);
    lp_names_free(&b);
    assert_int_equal(lp_names_add(&full, (lp_string){"x", 1}, &index, &is_new), LP_RESOURCE);
    message_has("18446744073709551615");
}

/* ---- JSON --------------------------------------------------------------------------------------------------------- */

static const lp_json_limits limits = {.n_bytes = 1 << 20, .n_nodes = 1000, .depth = 20};

static lp_status parse(const char *text, size_t n, lp_json_document *d, char **copy)
{
    *copy = exact(text, n);
    return lp_json_parse("x", *copy, n, &limits, d);
}

static void every_beginning_of_a_json_text_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "{\"a\":[1,-2.5e+3,1E9,true,false,null,\"\\ud83d\\ude00\\u00e9\\n\xc3\xa9\"],\"b\":{\"c\":\"\",\"\\\\\":{}},\"d\":[[]]}",
        "[0.5,\"x\"]", "\"plain\"", "\"\\u00e9\"", "\"\\udbff\\udfff\"", "true", "null", "{\"a\":1}",
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        size_t n = strlen(texts[i]);
        for (size_t cut = 0; cut <= n; cut++) {
            lp_json_document d;
            char *copy;
            assert_int_equal(parse(texts[i], cut, &d, &copy), cut == n ? LP_OK : LP_INPUT);
            lp_json_free(&d);
            free(copy);
        }
    }
}

static void what_ends_a_json_text_too_early_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *text, *reason;
    } cases[] = {
        {"\"\\ud83d\\ude00", "a string without an end"}, {"{\"", "a string without an end"}, {"1e", "an exponent without digits"},
        {"1e+", "an exponent without digits"}, {"1.", "a number ends with its point"}, {"\"\\", "a string without an end"},
        {"\"\\u12", "four hexadecimal digits"}, {"\"\\udc00\\udc00\"", "half of a surrogate pair"}, {"\"\\ud800\\ud800\"", "half of a surrogate pair"},
        {"\"\\ud800\\ue000\"", "half of a surrogate pair"}, {"\"a\x1f\"", "a control character"}, {"\"\x80\"", "UTF-8"}, {"\x80", "UTF-8"},
        {"\xc3", "UTF-8"}, {"[1", "an array without an end"}, {"{\"a\":1", "an object without an end"}, {"{\"a\"", "a colon is missing"}, {"{", "a name in quotes"},
        {"-", "not a number"}, {"01", "not a number"}, {"[1,]", ""}, {"1 2", "something follows"}, {"truetrue", "something follows"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lp_json_document d;
        char *copy;
        assert_int_equal(parse(cases[i].text, strlen(cases[i].text), &d, &copy), LP_INPUT);
        message_has(cases[i].reason);
        free(copy);
    }
    lp_json_document d;
    char *copy;
    assert_int_equal(parse("{\"a\":", 5, &d, &copy), LP_INPUT);
    assert_null(strstr(lp_error(), "colon"));
    free(copy);
}

static void strings_without_escapes_lie_in_the_text(void **state)
{
    (void)state;
    static const char *const texts[] = {"\"ab\"", "\" \"", "\"a b\x7f\"", "\"\"", "\"\xc3\xa9\""};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        lp_json_document d;
        char *copy;
        size_t n = strlen(texts[i]);
        ok(parse(texts[i], n, &d, &copy));
        assert_ptr_equal(d.node[0].text, copy + 1);
        assert_int_equal(d.node[0].n, n - 2);
        assert_null(d.decoded);
        lp_json_free(&d);
        free(copy);
    }
}

static void limits_of_json_hold_exactly(void **state)
{
    (void)state;
    lp_json_document d;
    ok(lp_json_parse("x", "[1,2]", 5, &(lp_json_limits){5, 3, 1}, &d));
    lp_json_free(&d);
    assert_int_equal(lp_json_parse("x", "[1,2]", 5, &(lp_json_limits){4, 3, 1}, &d), LP_INPUT);
    assert_int_equal(lp_json_parse("x", "[1,2]", 5, &(lp_json_limits){5, 2, 1}, &d), LP_INPUT);
    assert_int_equal(lp_json_parse("x", "[1,2]", 5, &(lp_json_limits){5, 3, 0}, &d), LP_INPUT);
    assert_int_equal(lp_json_parse("x", "1", UINT32_MAX, &(lp_json_limits){SIZE_MAX, 3, 1}, &d), LP_INPUT);
    message_has("4294967295");
    for (size_t n = 510; n < 514; n++) {
        char text[520], *copy;
        double value;
        memset(text, '0', sizeof text);
        memcpy(text, "1.", 2);
        ok(parse(text, n, &d, &copy));
        assert_int_equal(lp_json_real(&d.node[0], &value), n < 512);
        lp_json_free(&d);
        free(copy);
    }
}

/* ---- GGUF --------------------------------------------------------------------------------------------------------- */

static lp_status open_exact(const void *data, size_t n, lp_gguf **g, void **copy)
{
    *copy = exact(data, n);
    return lp_gguf_open_memory(*copy, n, "x", g);
}

static void a_file_of_just_its_signature_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t n;
        const char *says;
    } cases[] = {
        {"<", 1, "HTML"}, {"{", 1, "JSON"}, {"lmgg", 4, "ggml"}, {"\x1f\x8b", 2, "gzip"}, {"\xfd" "7zXZ", 5, "XZ"}, {"PK\x03\x04", 4, "ZIP"},
        {"\1\0\0\0\0\0\0\0{", 9, "safetensors"}, {"\1\0\0\0\0\0\0\0", 8, "starts with bytes 01 00 00 00"},
        {"\0\0\0\0\1\0\0\0{", 9, "starts with bytes 00 00 00 00"}, {"abcd", 4, "starts with bytes 61 62 63 64"}, {"abc", 3, "it has 3 bytes"},
        {"\xfd" "7zX", 4, "starts with bytes"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lp_gguf *g;
        void *copy;
        assert_int_equal(open_exact(cases[i].data, cases[i].n, &g, &copy), LP_INPUT);
        message_has(cases[i].says);
        free(copy);
    }
}

static void put_rich(builder *b)
{
    put_header(b, 3, 3, 6);
    put_key(b, "general.architecture", 8);
    put_string(b, "toy");
    put_array(b, "strings", 8, 3);
    put_string(b, "one");
    put_string(b, "");
    put_string(b, "three");
    put_array(b, "numbers", 6, 2);
    put_f32(b, 1);
    put_f32(b, 2);
    put_key(b, "wide", 12);
    put_zeros(b, 8);
    put_array(b, "none", 8, 0);
    put_array(b, "last", 8, 1);
    put_string(b, "");
    put_tensor(b, "a", 1, DIMS(3), 0, 0);
    put_tensor(b, "b", 4, DIMS(2, 1, 1, 2), 1, 32);
    put_tensor(b, "c", 2, DIMS(32, 2), 8, 64);
    put_padding(b, 32);
    put_zeros(b, 12);
    put_padding(b, 32);
    put_zeros(b, 8);
    put_padding(b, 32);
    put_zeros(b, 68);
}

static void every_beginning_of_a_file_is_refused_with_numbers_that_agree(void **state)
{
    (void)state;
    builder b = {0};
    put_rich(&b);
    for (size_t cut = 0; cut <= b.n; cut++) {
        lp_gguf *g;
        void *copy;
        lp_status status = open_exact(b.data, cut, &g, &copy);
        if (status != (cut < b.n ? LP_INPUT : LP_OK)) fail_msg("%zu of %zu bytes: %s", cut, b.n, lp_error());
        if (cut < b.n) message_is_consistent();
        lp_gguf_close(g);
        free(copy);
    }
    free(b.data);
}

static void a_file_with_a_key_cut_after_each_part_is_refused_with_numbers_that_agree(void **state)
{
    (void)state;
    static const uint8_t types[] = {0, 3, 4, 7, 8, 9, 10, 12};
    for (size_t i = 0; i < sizeof types; i++) {
        builder b = {0};
        put_header(&b, 3, 0, 1);
        put_key(&b, "k", types[i]);
        if (types[i] == 9) put_u32(&b, 8), put_u64(&b, 1);
        if (types[i] >= 8) put_string(&b, "abcdefgh");
        else put_zeros(&b, 8);
        for (size_t cut = 24; cut < b.n; cut++) {
            lp_gguf *g;
            void *copy;
            if (open_exact(b.data, cut, &g, &copy) == LP_INPUT) message_is_consistent();
            lp_gguf_close(g);
            free(copy);
        }
        free(b.data);
    }
}

static void counts_that_cannot_fit_are_refused_before_anything_is_read(void **state)
{
    (void)state;
    builder b = {0};
    lp_gguf *g;
    put_header(&b, 3, 3, 0);
    put_zeros(&b, 98);
    assert_int_equal(lp_gguf_open_memory(b.data, b.n, "x", &g), LP_INPUT);
    message_has("claims 3 tensors, but 98 bytes are left (a directory entry");
    put_u8(&b, 0);
    assert_int_equal(lp_gguf_open_memory(b.data, b.n, "x", &g), LP_INPUT);
    message_has("tensor 0");
    free(b.data);
    b = (builder){0};
    put_header(&b, 3, 2, 1);
    put_key(&b, "k", 8);
    put_string(&b, "a text that takes the place of an entry");
    put_zeros(&b, 65);
    assert_int_equal(lp_gguf_open_memory(b.data, b.n, "x", &g), LP_INPUT);
    message_has("claims 2 tensors, but 65 bytes are left for the directory");
    put_u8(&b, 0);
    assert_int_equal(lp_gguf_open_memory(b.data, b.n, "x", &g), LP_INPUT);
    message_has("tensor 0");
    free(b.data);
    b = (builder){0};
    put_header(&b, 3, 0, 2);
    put_zeros(&b, 27);
    assert_int_equal(lp_gguf_open_memory(b.data, b.n, "x", &g), LP_INPUT);
    message_has("claims 2 keys, but 27 bytes are left");
    put_u8(&b, 0);
    assert_int_equal(lp_gguf_open_memory(b.data, b.n, "x", &g), LP_INPUT);
    message_has("key 0");
    free(b.data);
}

static void dimensions_hold_up_to_the_largest_number(void **state)
{
    (void)state;
    static const struct {
        uint64_t dim;
        const char *says;
    } cases[] = {{INT64_MAX, "overflows"}, {UINT64_C(1) << 63, "at most 2^63 - 1"}, {UINT64_MAX, "at most 2^63 - 1"}};
    for (size_t i = 0; i < 3; i++) {
        builder b = {0};
        lp_gguf *g;
        put_header(&b, 3, 1, 0);
        put_tensor(&b, "a", 1, DIMS(cases[i].dim), 0, 0);
        put_padding(&b, 32);
        put_zeros(&b, 64);
        assert_int_equal(lp_gguf_open_memory(b.data, b.n, "x", &g), LP_INPUT);
        message_has(cases[i].says);
        free(b.data);
    }
    uint64_t n;
    const lp_packing *f32 = lp_packing_by_name("f32"), *q8 = lp_packing_by_name("q8_0");
    assert_false(lp_gguf_tensor_bytes(f32, 1, (int64_t[]){-1}, &n));
    assert_false(lp_gguf_tensor_bytes(f32, 2, (int64_t[]){-1, -1}, &n));
    assert_false(lp_gguf_tensor_bytes(q8, 1, (int64_t[]){31}, &n));
    assert_false(lp_gguf_tensor_bytes(q8, 2, (int64_t[]){33, 0}, &n));
    assert_true(lp_gguf_tensor_bytes(q8, 2, (int64_t[]){32, 0}, &n));
    assert_int_equal(n, 0);
}

static void long_strings_belong_to_tokenizer_keys(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool is_array;
        size_t n;
        lp_status status;
    } cases[] = {{"tokenizer.", false, LP_GGUF_MAX_STRING + 1, LP_OK}, {"tokenizer", false, LP_GGUF_MAX_STRING + 1, LP_INPUT},
                 {"tokenizerx", false, LP_GGUF_MAX_STRING + 1, LP_INPUT}, {"k", false, LP_GGUF_MAX_STRING, LP_OK},
                 {"k", true, LP_GGUF_MAX_STRING, LP_OK}, {"k", true, LP_GGUF_MAX_STRING + 1, LP_INPUT}};
    char *text = calloc(LP_GGUF_MAX_STRING + 1, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        builder b = {0};
        lp_gguf *g;
        put_header(&b, 3, 0, 1);
        if (cases[i].is_array) put_array(&b, cases[i].key, 8, 1);
        else put_key(&b, cases[i].key, 8);
        put_string_n(&b, text, cases[i].n);
        assert_int_equal(lp_gguf_open_memory(b.data, b.n, "x", &g), cases[i].status);
        lp_gguf_close(g);
        free(b.data);
    }
    free(text);
}

/* Two shards, alignment 16384: padding between the tensors that no memory has. */
static void a_joined_file_is_read_the_same_from_every_place(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        builder b = {0};
        put_header(&b, 3, 2, 4);
        put_key(&b, "general.architecture", 8);
        put_string(&b, "toy");
        put_key(&b, "general.alignment", 4);
        put_u32(&b, 16384);
        put_key(&b, "split.no", 5);
        put_u32(&b, (uint32_t)i);
        put_key(&b, "split.count", 5);
        put_u32(&b, 2);
        put_tensor(&b, i ? "c" : "a", 1, DIMS(33), 24, 0);
        put_tensor(&b, i ? "d" : "b", 1, DIMS(5000), 24, 16384);
        for (int t = 0; t < 2; t++) {
            put_padding(&b, 16384);
            for (int k = 0; k < (t ? 5000 : 33); k++) put_u8(&b, (uint8_t)(1 + k % 255));
        }
        put_padding(&b, 16384);
        write_file(path_of(i ? "m-00002-of-00002.gguf" : "m-00001-of-00002.gguf"), b.data, b.n);
        free(b.data);
    }
    lp_convert_result r;
    lp_gguf *g;
    ok(lp_convert(path_of("m-00001-of-00002.gguf"), path_of("joined.gguf"), &(lp_convert_options){.force = true}, NULL, &r));
    builder whole = read_file(path_of("joined.gguf"));
    ok(lp_container_open(path_of("m-00001-of-00002.gguf"), &g));
    assert_int_equal(lp_gguf_size(g), whole.n);
    static const uint64_t asked[] = {1, 2, 33, 34, 4096, 4097, 100000};
    for (size_t k = 0; k < sizeof asked / sizeof *asked; k++)
        for (uint64_t at = 0; at < whole.n; at += at % 16384 < 5100 || at % 16384 > 12000 ? 1 : 97) {
            uint64_t n = asked[k];
            const uint8_t *bytes = lp_gguf_bytes(g, at, &n);
            if (n < 1 || n > asked[k] || n > whole.n - at || memcmp(bytes, whole.data + at, n) != 0)
                fail_msg("%llu bytes at %llu of %zu", (unsigned long long)n, (unsigned long long)at, whole.n);
        }
    lp_gguf_close(g);
    free(whole.data);
}

/* In another process, as it were: the length of the last string grows by one after opening. */
static void strings_that_grew_by_one_since_opening_lead_nowhere(void **state)
{
    (void)state;
    builder b = {0};
    put_header(&b, 3, 0, 1);
    put_array(&b, "k", 8, 2);
    put_string(&b, "one");
    put_string(&b, "");
    uint8_t *copy = exact(b.data, b.n);
    lp_gguf *g;
    lp_string s[2];
    ok(lp_gguf_open_memory(copy, b.n, "x", &g));
    ok(lp_gguf_strings(lp_gguf_find(g, "k"), s)); /* just 8 bytes are left for the last one */
    copy[b.n - 8] = 1;
    assert_int_not_equal(lp_gguf_strings(lp_gguf_find(g, "k"), s), LP_OK);
    copy[b.n - 8] = 0;
    copy[b.n - 19] = 4; /* the first one's length: 7 bytes are left then */
    assert_int_not_equal(lp_gguf_strings(lp_gguf_find(g, "k"), s), LP_OK);
    lp_gguf_close(g);
    free(copy);
    free(b.data);
}

/* ---- GGUF: split files, edits, writing -------------------------------------------------------------------------------- */

static void write_first_shard(const char *name, const char *extra_key, int count)
{
    builder b = {0};
    put_header(&b, 3, 0, 3u + (extra_key != NULL));
    put_key(&b, "general.architecture", 8);
    put_string(&b, "toy");
    put_key(&b, "split.no", 5);
    put_u32(&b, 0);
    put_key(&b, "split.count", 5);
    put_u32(&b, (uint32_t)count);
    if (extra_key) put_key(&b, extra_key, 0), put_u8(&b, 1);
    write_file(name, b.data, b.n);
    free(b.data);
}

/* The message must tell of the name, from a path that ends where its memory ends. */
static void refused_by_name(const char *name)
{
    lp_gguf *g;
    char *path = exact(name, strlen(name) + 1);
    write_first_shard(path, NULL, 2);
    assert_int_equal(lp_container_open(path, &g), LP_INPUT);
    message_has("its name does not end with -00001-of-00002.gguf");
    free(path);
}

static void shards_may_have_names_without_a_stem(void **state)
{
    (void)state;
    char *old = getcwd(NULL, 0);
    assert_int_equal(chdir(folder), 0);
    refused_by_name("m.gguf");
    refused_by_name("00001-of-00002.gguf");
    lp_gguf *g;
    write_first_shard("-00001-of-00002.gguf", NULL, 2);
    assert_int_equal(lp_container_open("-00001-of-00002.gguf", &g), LP_INPUT);
    message_has("-00002-of-00002.gguf");
    assert_int_equal(chdir(old), 0);
    free(old);
}

static void joining_leaves_out_the_keys_of_splitting_and_no_other(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        bool stays;
    } cases[] = {{"split.", true}, {"split.x", false}, {"splitx.x", true}, {"k", true}};
    lp_gguf *g;
    builder b = {0};
    put_header(&b, 3, 0, 2);
    put_key(&b, "split.no", 5);
    put_u32(&b, 1);
    put_key(&b, "split.count", 5);
    put_u32(&b, 2);
    write_file(path_of("k-00002-of-00002.gguf"), b.data, b.n);
    free(b.data);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        write_first_shard(path_of("k-00001-of-00002.gguf"), cases[i].key, 2);
        ok(lp_container_open(path_of("k-00001-of-00002.gguf"), &g));
        assert_int_equal(lp_gguf_find(g, cases[i].key) != NULL, cases[i].stays);
        assert_null(lp_gguf_find(g, "split.count"));
        lp_gguf_close(g);
    }
    for (int count = 0; count < 2; count++) { /* one file is no split one: as it is */
        write_first_shard(path_of("one.gguf"), NULL, count);
        ok(lp_container_open(path_of("one.gguf"), &g));
        assert_non_null(lp_gguf_find(g, "split.count"));
        assert_null(g->part);
        lp_gguf_close(g);
    }
}

static void a_text_that_is_no_utf8_is_no_value(void **state)
{
    (void)state;
    bool in_place;
    write_first_shard(path_of("e.gguf"), NULL, 0);
    assert_int_equal(lp_gguf_edit(path_of("e.gguf"), &(lp_key_change){"toy.text", "string", "a\xff"}, 1, true, false, &in_place), LP_USAGE);
    message_has("UTF-8");
}

static void a_writer_takes_sizes_and_alignments_up_to_the_largest(void **state)
{
    (void)state;
    lp_gguf_writer *w;
    const lp_packing *i8 = lp_packing_by_name("i8");
    ok(lp_gguf_writer_create_dry(&w));
    ok(lp_gguf_writer_set_u32(w, "general.alignment", LP_GGUF_MAX_ALIGNMENT));
    assert_int_equal(lp_gguf_writer_set_u32(w, "general.alignment", 2 * LP_GGUF_MAX_ALIGNMENT), LP_USAGE);
    assert_int_equal(lp_gguf_writer_add_tensor(w, "a", 1, (int64_t[]){INT64_MAX}, i8), LP_USAGE);
    ok(lp_gguf_writer_add_tensor(w, "a", 1, (int64_t[]){INT64_MAX - LP_GGUF_MAX_ALIGNMENT}, i8));
    lp_gguf_writer_abort(w);
}

static void an_architecture_is_changed_once_and_the_old_one_kept(void **state)
{
    (void)state;
    lp_gguf_writer *w;
    uint8_t *image;
    size_t n;
    lp_gguf *g;
    lp_string old;
    for (int times = 1; times < 3; times++) {
        ok(lp_gguf_writer_create_dry(&w));
        ok(lp_gguf_writer_set_string(w, "general.architecture", "toy"));
        for (int i = 0; i < times; i++) ok(lp_gguf_writer_change_architecture(w, "new", "old.name"));
        ok(lp_gguf_writer_header(w, &image, &n));
        ok(lp_gguf_open_memory(image, n, "x", &g));
        ok(lp_gguf_strings(lp_gguf_find(g, "old.name"), &old));
        assert_int_equal(old.n, 3);
        assert_memory_equal(old.data, "toy", 3);
        ok(lp_gguf_strings(lp_gguf_find(g, "general.architecture"), &old));
        assert_memory_equal(old.data, "new", 3);
        lp_gguf_close(g);
        lp_gguf_writer_abort(w);
        free(image);
    }
    ok(lp_gguf_writer_create_dry(&w)); /* a number is no architecture that could be kept */
    ok(lp_gguf_writer_set_u32(w, "general.architecture", 1));
    ok(lp_gguf_writer_change_architecture(w, "new", "old.name"));
    ok(lp_gguf_writer_header(w, &image, &n));
    ok(lp_gguf_open_memory(image, n, "x", &g));
    assert_null(lp_gguf_find(g, "old.name"));
    lp_gguf_close(g);
    lp_gguf_writer_abort(w);
    free(image);
    ok(lp_gguf_writer_create_dry(&w));
    ok(lp_gguf_writer_change_architecture(w, "new", "old.name"));
    ok(lp_gguf_writer_header(w, &image, &n));
    ok(lp_gguf_open_memory(image, n, "x", &g));
    assert_null(lp_gguf_find(g, "old.name"));
    lp_gguf_close(g);
    lp_gguf_writer_abort(w);
    free(image);
}

/* ---- safetensors -------------------------------------------------------------------------------------------------- */

static lp_status open_safetensors(const char *header, size_t n_data, lp_safetensors **f, void **copy)
{
    builder b = {0};
    put_string(&b, header);
    put_zeros(&b, n_data);
    *copy = exact(b.data, b.n);
    lp_status status = lp_safetensors_open_memory(*copy, b.n, "x", f);
    free(b.data);
    return status;
}

static void sizes_of_safetensors_hold_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n_data;
        lp_status status;
        const char *says;
    } cases[] = {
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[9007199254740992],\"data_offsets\":[0,0]}}", 0, LP_INPUT, "needs 9007199254740992 bytes"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[9007199254740993],\"data_offsets\":[0,0]}}", 0, LP_INPUT, "no integer of 0 to 2^53"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, LP_OK, ""},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,1]}}", 1, LP_UNSUPPORTED, "9 dimensions"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[1,0]}}", 1, LP_INPUT, "ends at 0, before its begin 1"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]}}", 2, LP_OK, ""},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[0],\"data_offsets\":[0,0]},\"b\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]}}", 2, LP_OK, ""},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, LP_INPUT, "an overlap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[1,2]}}", 2, LP_INPUT, "a hole"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", 2, LP_INPUT, "1 bytes follow"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}", 2, LP_INPUT, "ends at byte 3 of the buffer"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lp_safetensors *f;
        void *copy;
        lp_status status = open_safetensors(cases[i].header, cases[i].n_data, &f, &copy);
        if (status != cases[i].status) fail_msg("%s: %s", cases[i].header, lp_error());
        if (status != LP_OK) message_has(cases[i].says);
        lp_safetensors_close(f);
        free(copy);
    }
    uint8_t length[8] = {0};
    lp_safetensors *f;
    for (uint64_t more = 0; more < 2; more++) {
        uint64_t n = LP_SAFETENSORS_MAX_HEADER + more;
        memcpy(length, &n, 8);
        assert_int_equal(lp_safetensors_open_memory(length, 8, "x", &f), LP_INPUT);
        message_has(more ? "at most" : "but 0 are left");
    }
}

static void every_beginning_of_a_safetensors_file_is_refused(void **state)
{
    (void)state;
    builder b = {0};
    put_string(&b, "{\"__metadata__\":{\"format\":\"pt\"},\"a\":{\"dtype\":\"F32\",\"shape\":[2,1],\"data_offsets\":[0,8]}}");
    put_zeros(&b, 8);
    for (size_t cut = 0; cut <= b.n; cut++) {
        lp_safetensors *f;
        void *copy = exact(b.data, cut);
        assert_int_equal(lp_safetensors_open_memory(copy, cut, "x", &f), cut == b.n ? LP_OK : LP_INPUT);
        lp_safetensors_close(f);
        free(copy);
    }
    free(b.data);
}

static void texts_are_quoted_byte_by_byte(void **state)
{
    (void)state;
    static const struct {
        const char *bytes, *quoted;
    } cases[] = {{" ", "\" \""}, {"\x1f", "\"\\u001f\""}, {"\x7f", "\"\x7f\""}, {"\x80", "\"\\ufffd\""}, {"\xc3", "\"\\ufffd\""},
                 {"\xf0\x9f\x98", "\"\\ufffd\\ufffd\\ufffd\""}, {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""}, {"\"\\", "\"\\\"\\\\\""}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        lp_json_text t = {0};
        size_t n = strlen(cases[i].bytes);
        char *copy = exact(cases[i].bytes, n);
        lp_json_quote(&t, copy, n);
        assert_int_equal(t.n, strlen(cases[i].quoted));
        assert_memory_equal(t.data, cases[i].quoted, t.n);
        free(copy);
        free(t.data);
    }
    lp_json_text t = {0};
    char longest[257];
    memset(longest, 'a', sizeof longest);
    longest[255] = 0;
    lp_json_printf(&t, "%s", "");
    lp_json_printf(&t, "%s", longest);
    assert_false(t.failed);
    assert_int_equal(t.n, 255);
    longest[255] = 'a', longest[256] = 0;
    lp_json_printf(&t, "%s", longest);
    assert_true(t.failed);
    free(t.data);
}

static void a_header_of_safetensors_has_an_end(void **state)
{
    (void)state;
    char *metadata = malloc(LP_SAFETENSORS_MAX_HEADER), *header;
    size_t n, fixed = strlen("{\"__metadata__\":{\"format\":\"pt\"}}");
    memset(metadata, ' ', LP_SAFETENSORS_MAX_HEADER);
    metadata[LP_SAFETENSORS_MAX_HEADER - fixed] = 0;
    ok(lp_safetensors_header(NULL, 0, metadata, &header, &n));
    assert_int_equal(n, 8 + LP_SAFETENSORS_MAX_HEADER);
    free(header);
    metadata[LP_SAFETENSORS_MAX_HEADER - fixed] = ' ';
    metadata[LP_SAFETENSORS_MAX_HEADER - fixed + 1] = 0;
    assert_int_equal(lp_safetensors_header(NULL, 0, metadata, &header, &n), LP_UNSUPPORTED);
    free(metadata);
}

static void put_shard_index(const char *name, size_t n_name, int n_shards)
{
    builder b = {0};
    put(&b, "{\"weight_map\":{", 15);
    for (int i = 0; i < n_shards; i++) {
        char item[600];
        int n = n_shards > 1 ? snprintf(item, sizeof item, "%s\"t%d\":\"s%d\"", i ? "," : "", i, i)
                             : snprintf(item, sizeof item, "\"t0\":\"%.*s\"", (int)n_name, name);
        put(&b, item, (size_t)n);
    }
    put(&b, "}}", 2);
    write_file(path_of("model.safetensors.index.json"), b.data, b.n);
    free(b.data);
}

static void shards_of_a_folder_have_short_names_and_are_not_too_many(void **state)
{
    (void)state;
    lp_safetensors_folder f;
    char name[257];
    memset(name, 's', sizeof name);
    for (int i = 0; i < 513; i++) {
        char header[100], file[8];
        builder b = {0};
        snprintf(header, sizeof header, "{\"t%d\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]}}", i);
        snprintf(file, sizeof file, "s%d", i);
        put_string(&b, header);
        put_u8(&b, 0);
        write_file(path_of(file), b.data, b.n);
        if (i == 0) write_file(path_of("s"), b.data, b.n);
        free(b.data);
    }
    put_shard_index(NULL, 0, 512);
    ok(lp_safetensors_folder_open(folder, &f));
    assert_int_equal(f.n_files, 512);
    lp_safetensors_folder_close(&f);
    put_shard_index(NULL, 0, 513);
    assert_int_equal(lp_safetensors_folder_open(folder, &f), LP_UNSUPPORTED);
    message_has("more than 512 shards");
    put_shard_index(name, 1, 1);
    ok(lp_safetensors_folder_open(folder, &f));
    lp_safetensors_folder_close(&f);
    put_shard_index(name, 255, 1); /* a name, of a file that is not there */
    assert_int_equal(lp_safetensors_folder_open(folder, &f), LP_INPUT);
    message_has("No such file");
    put_shard_index(name, 256, 1);
    assert_int_equal(lp_safetensors_folder_open(folder, &f), LP_INPUT);
    assert_null(strstr(lp_error(), "File name too long"));
}

static int make_folder(void **state) { return (void)state, mkdtemp(folder) ? 0 : -1; }
static int clean(void **state) { return (void)state, remove_folder(); }

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_text_by_the_definition_of_utf8),
        cmocka_unit_test(a_printable_name_fills_its_buffer_and_no_more),
        cmocka_unit_test(each_index_of_names_has_a_seed_of_its_own_and_an_end),
        cmocka_unit_test(every_beginning_of_a_json_text_is_refused),
        cmocka_unit_test(what_ends_a_json_text_too_early_is_told),
        cmocka_unit_test(strings_without_escapes_lie_in_the_text),
        cmocka_unit_test(limits_of_json_hold_exactly),
        cmocka_unit_test(a_file_of_just_its_signature_is_known),
        cmocka_unit_test(every_beginning_of_a_file_is_refused_with_numbers_that_agree),
        cmocka_unit_test(a_file_with_a_key_cut_after_each_part_is_refused_with_numbers_that_agree),
        cmocka_unit_test(counts_that_cannot_fit_are_refused_before_anything_is_read),
        cmocka_unit_test(dimensions_hold_up_to_the_largest_number),
        cmocka_unit_test(long_strings_belong_to_tokenizer_keys),
        cmocka_unit_test(a_joined_file_is_read_the_same_from_every_place),
        cmocka_unit_test(strings_that_grew_by_one_since_opening_lead_nowhere),
        cmocka_unit_test(shards_may_have_names_without_a_stem),
        cmocka_unit_test(joining_leaves_out_the_keys_of_splitting_and_no_other),
        cmocka_unit_test(a_text_that_is_no_utf8_is_no_value),
        cmocka_unit_test(a_writer_takes_sizes_and_alignments_up_to_the_largest),
        cmocka_unit_test(an_architecture_is_changed_once_and_the_old_one_kept),
        cmocka_unit_test(sizes_of_safetensors_hold_exactly),
        cmocka_unit_test(every_beginning_of_a_safetensors_file_is_refused),
        cmocka_unit_test(texts_are_quoted_byte_by_byte),
        cmocka_unit_test(a_header_of_safetensors_has_an_end),
        cmocka_unit_test(shards_of_a_folder_have_short_names_and_are_not_too_many),
    };
    return cmocka_run_group_tests(tests, make_folder, clean);
}
