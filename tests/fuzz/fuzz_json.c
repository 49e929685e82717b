/* Fuzzes JSON texts: what is read is consistent, and reads the same after it was written. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/status.h>

#include "file/json.h"
#include "file/safetensors.h"

#include "text_mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed);

static void require(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "%s (last error: %s)\n", what, lp_error());
    abort();
}

/* Writes a value and checks that its nodes lie inside it. Returns the node after it. */
static const lp_json *write_value(const lp_json *node, const lp_json *end, lp_json_text *out)
{
    require(node < end && node->span >= 1 && node->span <= (size_t)(end - node), "a span beyond its parent");
    const lp_json *after = node + node->span, *at = node + 1;
    int64_t i;
    double d;
    switch (node->kind) {
    case LP_JSON_NULL: lp_json_puts(out, "null"); break;
    case LP_JSON_BOOL: lp_json_puts(out, node->n ? "true" : "false"); break;
    case LP_JSON_NUMBER:
        require(node->n > 0, "an empty number");
        if (lp_json_integer(node, &i)) {
            char text[32];
            snprintf(text, sizeof text, "%lld", (long long)i);
            require(i == 0 || (strlen(text) == node->n && memcmp(text, node->text, node->n) == 0), "an integer's value");
        }
        (void)lp_json_real(node, &d);
        lp_json_put(out, node->text, node->n);
        break;
    case LP_JSON_STRING: lp_json_quote(out, node->text, node->n); break;
    case LP_JSON_ARRAY:
    case LP_JSON_OBJECT:
        lp_json_puts(out, node->kind == LP_JSON_ARRAY ? "[" : "{");
        for (uint32_t k = 0; k < node->n; k++) {
            if (k) lp_json_puts(out, ",");
            if (node->kind == LP_JSON_OBJECT) {
                require(at < after && at->kind == LP_JSON_STRING && at->span == 1, "a name");
                lp_json_quote(out, at->text, at->n);
                lp_json_puts(out, ":");
                at++;
            }
            at = write_value(at, after, out);
        }
        lp_json_puts(out, node->kind == LP_JSON_ARRAY ? "]" : "}");
        break;
    }
    require(at == after, "parts that do not fill their parent");
    return after;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const lp_json_limits limits = {1 << 20, 1 << 16, 32};
    lp_json_document d, again;
    lp_status status = lp_json_parse("fuzz", (const char *)data, n, &limits, &d);
    if (status != LP_OK) {
        require(status == LP_INPUT && d.node == NULL && strncmp(lp_error(), "fuzz: ", 6) == 0, "how it was refused");
        return 0;
    }
    lp_json_text first = {0}, second = {0};
    require(write_value(d.node, d.node + d.n_nodes, &first) == d.node + d.n_nodes && !first.failed, "the whole");
    static const lp_json_limits wider = {8 << 20, 1 << 16, 32};
    require(lp_json_parse("again", first.data, first.n, &wider, &again) == LP_OK, "a written text is refused");
    require(again.n_nodes == d.n_nodes, "a written text has other values");
    write_value(again.node, again.node + again.n_nodes, &second);
    require(second.n == first.n && memcmp(first.data, second.data, first.n) == 0, "write, read, write differs");
    free(first.data);
    free(second.data);
    lp_json_free(&d);
    lp_json_free(&again);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed)
{
    static const char *const fragments[] = {
        "{}", "[]", "{\"a\":1}", "[1,2]", "\"\"", "\"a\"", "\"\\u0000\"", "\"\\ud83d\\ude00\"", "\"\\ud83d\"", "\"\\ude00\"", "\"\\u00e9\"",
        "\"\\\\\"", "\"\\/\\b\\f\\n\\r\\t\"", "\"\xc3\xa9\"", "\"\xed\xa0\x80\"", "null", "true", "false", "nul", "0", "-0", "01", "-1", "1.5", "1.",
        ".5", "1e5", "1E+5", "1e-5", "1e", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "-9223372036854775809",
        "1e308", "1e309", "4.9e-324", "NaN", "Infinity", ",", ":", ",\"b\":2", ",\"a\":1", " ", "\n", "\xef\xbb\xbf", "[[[[[[[[", "]]]]]]]]"};
    static const text_grammar grammar = {fragments, sizeof fragments / sizeof *fragments, "{[", "}]", "{}[],:\" \n"};
    return text_mutate(&grammar, data, n, room, seed);
}
