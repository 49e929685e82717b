/* A bounded reader of JSON texts. Cards: formats/safetensors-container.md, runtime/unigram-and-tokenizer-json.md. */
#include "file/json.h"

#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "file/names.h"

typedef struct parser {
    const char *name;
    const uint8_t *text;
    size_t at, n, n_decoded;
    const lp_json_limits *limits;
    lp_json_document *out;
} parser;

static lp_status bad(const parser *p, const char *what)
{
    return lp_fail(LP_INPUT, "%s: byte %zu of its JSON: %s", p->name, p->at, what);
}

static void skip_space(parser *p)
{
    while (p->at < p->n && (p->text[p->at] == ' ' || p->text[p->at] == '\n' || p->text[p->at] == '\r' || p->text[p->at] == '\t'))
        p->at++;
}

/* Index of a new node in *index: nodes move when the array grows. */
static lp_status add_node(parser *p, lp_json_kind kind, size_t *index)
{
    lp_json_document *d = p->out;
    if (d->n_nodes == p->limits->n_nodes)
        return lp_fail(LP_INPUT, "%s: byte %zu of its JSON: more than %zu values", p->name, p->at, p->limits->n_nodes);
    if (d->n_nodes == d->capacity) {
        size_t capacity = d->capacity ? 2 * d->capacity : 64, n_bytes;
        if (capacity > p->limits->n_nodes) capacity = p->limits->n_nodes;
        lp_json *grown = lp_mul_size(capacity, sizeof *grown, &n_bytes) ? realloc(d->node, n_bytes) : NULL;
        if (!grown) return lp_fail_memory(capacity * sizeof *grown, "a JSON text");
        d->node = grown;
        d->capacity = capacity;
    }
    *index = d->n_nodes++;
    d->node[*index] = (lp_json){.kind = kind, .span = 1};
    return LP_OK;
}

/* ---- strings ----------------------------------------------------------------------------------------------------- */

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Four hexadecimal digits at `at`, or -1. */
static int32_t hex4(const parser *p, size_t at)
{
    int32_t value = 0;
    if (p->n - at < 4) return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(p->text[at + (size_t)i]);
        if (digit < 0) return -1;
        value = value * 16 + digit;
    }
    return value;
}

static void put_utf8(parser *p, uint32_t c)
{
    char *out = p->out->decoded;
    if (c < 0x80) {
        out[p->n_decoded++] = (char)c;
        return;
    }
    int n = c < 0x800 ? 1 : c < 0x10000 ? 2 : 3;
    static const uint8_t lead[] = {0, 0xc0, 0xe0, 0xf0};
    out[p->n_decoded++] = (char)(lead[n] | c >> (6 * n));
    while (n--) out[p->n_decoded++] = (char)(0x80 | (c >> (6 * n) & 63));
}

/* What stands behind a backslash; a text of n bytes decodes to at most n. */
static lp_status decode_escape(parser *p)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (p->at >= p->n) return bad(p, "a string without an end");
    const char *plain = p->text[p->at] ? strchr(from, p->text[p->at]) : NULL;
    if (plain) {
        p->at++;
        p->out->decoded[p->n_decoded++] = to[plain - from];
        return LP_OK;
    }
    if (p->text[p->at] != 'u') return bad(p, "an escape that does not exist");
    int32_t c = hex4(p, p->at + 1);
    if (c < 0) return bad(p, "\\u wants four hexadecimal digits");
    size_t next = p->at + 5;
    if (c >= 0xd800 && c < 0xe000) { /* half of a pair: the other half must follow */
        int32_t low = c < 0xdc00 && p->n - next >= 6 && p->text[next] == '\\' && p->text[next + 1] == 'u' ? hex4(p, next + 2) : -1;
        if (low < 0xdc00 || low >= 0xe000) return bad(p, "half of a surrogate pair");
        c = 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00);
        next += 6;
    }
    p->at = next;
    put_utf8(p, (uint32_t)c);
    return LP_OK;
}

/* After the opening quote. The text was checked to be UTF-8. */
static lp_status parse_string(parser *p, size_t index)
{
    size_t begin = p->at, end = begin;
    while (end < p->n && p->text[end] != '"' && p->text[end] != '\\' && p->text[end] >= 0x20) end++;
    if (end < p->n && p->text[end] == '"') {
        p->out->node[index].text = (const char *)p->text + begin;
        p->out->node[index].n = (uint32_t)(end - begin);
        p->at = end + 1;
        return LP_OK;
    }
    if (!p->out->decoded && !(p->out->decoded = malloc(p->n + 1))) return lp_fail_memory(p->n, "the strings of a JSON text");
    size_t first = p->n_decoded;
    for (;;) {
        if (p->at >= p->n) return bad(p, "a string without an end");
        uint8_t c = p->text[p->at];
        if (c == '"') break;
        if (c < 0x20) return bad(p, "a control character inside a string");
        p->at++;
        if (c == '\\') LP_TRY(decode_escape(p));
        else p->out->decoded[p->n_decoded++] = (char)c;
    }
    p->at++;
    p->out->node[index].text = p->out->decoded + first;
    p->out->node[index].n = (uint32_t)(p->n_decoded - first);
    return LP_OK;
}

/* ---- numbers and words ------------------------------------------------------------------------------------------- */

static size_t digits(const parser *p, size_t at)
{
    while (at < p->n && p->text[at] >= '0' && p->text[at] <= '9') at++;
    return at;
}

static lp_status parse_number(parser *p, size_t index)
{
    size_t begin = p->at, at = begin, end;
    if (p->text[at] == '-') at++;
    end = digits(p, at);
    if (end == at || (p->text[at] == '0' && end - at > 1)) return bad(p, "not a number");
    at = end;
    if (at < p->n && p->text[at] == '.') {
        end = digits(p, at + 1);
        if (end == at + 1) return bad(p, "a number ends with its point");
        at = end;
    }
    if (at < p->n && (p->text[at] == 'e' || p->text[at] == 'E')) {
        at++;
        if (at < p->n && (p->text[at] == '+' || p->text[at] == '-')) at++;
        end = digits(p, at);
        if (end == at) return bad(p, "an exponent without digits");
        at = end;
    }
    p->out->node[index].text = (const char *)p->text + begin;
    p->out->node[index].n = (uint32_t)(at - begin);
    p->at = at;
    return LP_OK;
}

static bool take_word(parser *p, const char *word)
{
    size_t n = strlen(word);
    if (p->n - p->at < n || memcmp(p->text + p->at, word, n) != 0) return false;
    p->at += n;
    return true;
}

/* ---- arrays and objects ------------------------------------------------------------------------------------------ */

static lp_status duplicate(const parser *p, const lp_json *name)
{
    char item[LP_PRINTABLE];
    return lp_fail(LP_INPUT, "%s: %s: duplicate name in its JSON", p->name, lp_name_printable(lp_json_string(name), item));
}

static const lp_json *next_name(const lp_json *name) { return name + 1 + (name + 1)->span; }

/* Few names are compared with each other, many go through a table. */
static lp_status check_duplicates(const parser *p, const lp_json *object)
{
    const lp_json *a = object + 1;
    if (object->n <= 12) {
        for (uint32_t i = 0; i < object->n; i++, a = next_name(a)) {
            const lp_json *b = object + 1;
            for (uint32_t j = 0; j < i; j++, b = next_name(b))
                if (a->n == b->n && (a->n == 0 || memcmp(a->text, b->text, a->n) == 0)) return duplicate(p, a);
        }
        return LP_OK;
    }
    lp_names names = {0};
    lp_status status = LP_OK;
    for (uint32_t i = 0; i < object->n && status == LP_OK; i++, a = next_name(a)) {
        uint32_t index;
        bool is_new;
        status = lp_names_add(&names, lp_json_string(a), &index, &is_new);
        if (status == LP_OK && !is_new) status = duplicate(p, a);
    }
    lp_names_free(&names);
    return status;
}

static lp_status parse_value(parser *p, int depth);

static lp_status parse_member(parser *p, int depth)
{
    size_t index;
    if (p->at >= p->n || p->text[p->at] != '"') return bad(p, "a name in quotes is missing");
    p->at++;
    LP_TRY(add_node(p, LP_JSON_STRING, &index));
    LP_TRY(parse_string(p, index));
    skip_space(p);
    if (p->at >= p->n || p->text[p->at] != ':') return bad(p, "a colon is missing");
    p->at++;
    return parse_value(p, depth);
}

/* After the opening bracket. */
static lp_status parse_parts(parser *p, size_t index, int depth)
{
    bool is_object = p->out->node[index].kind == LP_JSON_OBJECT;
    uint8_t close = is_object ? '}' : ']';
    if (depth == p->limits->depth)
        return lp_fail(LP_INPUT, "%s: byte %zu of its JSON: nested more than %d deep", p->name, p->at, p->limits->depth);
    skip_space(p);
    uint32_t n = 0;
    bool is_closed = p->at < p->n && p->text[p->at] == close;
    while (!is_closed) {
        skip_space(p);
        LP_TRY(is_object ? parse_member(p, depth + 1) : parse_value(p, depth + 1));
        n++;
        skip_space(p);
        if (p->at >= p->n) return bad(p, is_object ? "an object without an end" : "an array without an end");
        is_closed = p->text[p->at] == close;
        if (is_closed) break;
        if (p->text[p->at] != ',') return bad(p, "a comma is missing");
        p->at++;
    }
    p->at++;
    lp_json *node = &p->out->node[index];
    node->n = n;
    node->span = (uint32_t)(p->out->n_nodes - index);
    return is_object ? check_duplicates(p, node) : LP_OK;
}

static lp_status parse_value(parser *p, int depth)
{
    size_t index;
    skip_space(p);
    if (p->at >= p->n) return bad(p, "a value is missing");
    uint8_t c = p->text[p->at];
    if (c == '{' || c == '[') {
        p->at++;
        LP_TRY(add_node(p, c == '{' ? LP_JSON_OBJECT : LP_JSON_ARRAY, &index));
        return parse_parts(p, index, depth);
    }
    if (c == '"') {
        p->at++;
        LP_TRY(add_node(p, LP_JSON_STRING, &index));
        return parse_string(p, index);
    }
    if (c == '-' || (c >= '0' && c <= '9')) {
        LP_TRY(add_node(p, LP_JSON_NUMBER, &index));
        return parse_number(p, index);
    }
    bool is_true = c == 't';
    if (c == 'n' && take_word(p, "null")) return add_node(p, LP_JSON_NULL, &index);
    if (!take_word(p, is_true ? "true" : "false")) return bad(p, "not a value");
    LP_TRY(add_node(p, LP_JSON_BOOL, &index));
    p->out->node[index].n = is_true;
    return LP_OK;
}

/* Well-formed UTF-8; NUL is no JSON anyway. */
static lp_status check_utf8(parser *p)
{
    size_t at = 0;
    while (at < p->n) { /* runs of ASCII, and the pieces between them */
        size_t end = at;
        while (end < p->n && p->text[end] < 0x80) end++;
        at = end;
        while (end < p->n && p->text[end] >= 0x80) end++;
        if (end > at && !lp_name_is_text((lp_string){(const char *)p->text + at, end - at})) {
            p->at = at;
            return bad(p, "not valid UTF-8");
        }
        at = end;
    }
    return LP_OK;
}

lp_status lp_json_parse(const char *name, const char *text, size_t n, const lp_json_limits *limits, lp_json_document *out)
{
    *out = (lp_json_document){0};
    if (n > limits->n_bytes || n >= UINT32_MAX)
        return lp_fail(LP_INPUT, "%s: its JSON has %zu bytes (at most %zu are allowed)", name, n, limits->n_bytes);
    parser p = {.name = name, .text = (const uint8_t *)text, .n = n, .limits = limits, .out = out};
    lp_status status = check_utf8(&p);
    if (status == LP_OK) status = parse_value(&p, 0);
    if (status == LP_OK) {
        skip_space(&p);
        if (p.at < n) status = bad(&p, "something follows the value");
    }
    if (status != LP_OK) lp_json_free(out);
    return status;
}

void lp_json_free(lp_json_document *document)
{
    free(document->node);
    free(document->decoded);
    *document = (lp_json_document){0};
}

/* ---- access ------------------------------------------------------------------------------------------------------ */

bool lp_json_is(const lp_json *node, const char *text)
{
    return node && node->kind == LP_JSON_STRING && node->n == strlen(text) && memcmp(node->text, text, node->n) == 0;
}

const lp_json *lp_json_find(const lp_json *object, const char *name)
{
    if (!object || object->kind != LP_JSON_OBJECT) return NULL;
    const lp_json *at = object + 1;
    for (uint32_t i = 0; i < object->n; i++, at = next_name(at))
        if (lp_json_is(at, name)) return at + 1;
    return NULL;
}

bool lp_json_integer(const lp_json *node, int64_t *value)
{
    if (!node || node->kind != LP_JSON_NUMBER) return false;
    bool negative = node->text[0] == '-';
    int64_t v = 0;
    for (uint32_t i = negative; i < node->n; i++) {
        if (node->text[i] < '0' || node->text[i] > '9') return false;
        int digit = node->text[i] - '0';
        if (!lp_mul_i64(v, 10, &v) || __builtin_sub_overflow(v, digit, &v)) return false; /* negated: reaches -2^63 */
    }
    if (!negative && v == INT64_MIN) return false;
    *value = negative ? v : -v;
    return true;
}

bool lp_json_real(const lp_json *node, double *value)
{
    char text[512];
    if (!node || node->kind != LP_JSON_NUMBER || node->n >= sizeof text) return false;
    memcpy(text, node->text, node->n);
    text[node->n] = '\0';
    locale_t plain = newlocale(LC_ALL_MASK, "C", (locale_t)0); /* the program's locale may write a comma */
    if (!plain) return false;
    *value = strtod_l(text, NULL, plain);
    freelocale(plain);
    return isfinite(*value);
}
