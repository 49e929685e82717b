/* Format text: parsed by recursive descent, printed in one canonical form. The grammar stands in lowp/format.h. */
#include "format/text.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

enum {
    MAX_DEPTH = 3,          /* scales under scales */
    MAX_BLOCK = 1 << 24     /* values or rows per scale */
};

/* ---- parse ------------------------------------------------------------------------------------------------------- */

typedef struct parser {
    char text[LP_FORMAT_TEXT_MAX + 1]; /* lower case, what cannot be printed replaced */
    size_t at;
} parser;

/* LP_USAGE with the text and a caret under character `at`; advice may be NULL. */
static lp_status fail_at(const parser *p, size_t at, const char *advice, const char *message, ...)
    __attribute__((format(printf, 4, 5)));

static lp_status fail_at(const parser *p, size_t at, const char *advice, const char *message, ...)
{
    char what[LP_FORMAT_TEXT_MAX + 256];
    va_list arguments;
    va_start(arguments, message);
    vsnprintf(what, sizeof what, message, arguments);
    va_end(arguments);
    lp_fail(LP_USAGE, "format %s: column %zu: %s", p->text, at + 1, what);
    lp_hint(LP_USAGE, "  %s", p->text);
    return lp_hint(LP_USAGE, "  %*s^%s%s", (int)at, "", advice ? " " : "", advice ? advice : "");
}

static lp_status allocate(lp_format **out)
{
    *out = calloc(1, sizeof **out);
    return *out ? LP_OK : lp_fail_memory(sizeof **out, "a format");
}

/* Length of the word at the parser: letters, digits, '_' and '.', and a minus before a digit (i8f-3). */
static size_t word_length(const parser *p)
{
    const char *word = p->text + p->at;
    size_t n = 0;
    for (;;) {
        n += strspn(word + n, "abcdefghijklmnopqrstuvwxyz0123456789_.");
        if (n == 0 || word[n] != '-' || word[n + 1] < '0' || word[n + 1] > '9') return n;
        n++;
    }
}

static bool word_is(const parser *p, size_t n, const char *word)
{
    return strlen(word) == n && memcmp(p->text + p->at, word, n) == 0;
}

static bool take(parser *p, char c)
{
    if (p->text[p->at] != c) return false;
    p->at++;
    return true;
}

/* {v,v,...}: a table written out. */
static lp_status parse_table(parser *p, lp_element *out)
{
    enum { MOST = sizeof out->own_table / sizeof *out->own_table };
    size_t open = p->at++;
    *out = (lp_element){.kind = LP_ELEMENT_TABLE, .is_signed = true, .tie = LP_TIE_SMALLER};
    do {
        const char *number = p->text + p->at;
        char *end = p->text + p->at;
        double v = *number == '-' || *number == '.' || (*number >= '0' && *number <= '9') ? strtod(number, &end) : 0;
        if (end == number || !(v >= -1e30 && v <= 1e30))
            return fail_at(p, p->at, "such as {-7,-3,-1,0,1,3,7}", "here stands a value of the table, within -1e30 .. 1e30");
        if (out->n_levels == MOST) return fail_at(p, p->at, NULL, "a table that is written out has at most %d values", MOST);
        out->own_table[out->n_levels++] = (float)v + 0.0f; /* -0 becomes +0 */
        p->at = (size_t)(end - p->text);
    } while (take(p, ','));
    if (!take(p, '}')) return fail_at(p, p->at, NULL, "the table of column %zu is not closed here", open + 1);
    if (out->n_levels < 2) return fail_at(p, open, NULL, "a table has 2 to %d values", MOST);
    for (out->bits = 1; 1 << out->bits < out->n_levels;) out->bits++;
    return LP_OK;
}

static lp_status parse_element(parser *p, lp_element *out)
{
    if (p->text[p->at] == '{') return parse_table(p, out);
    size_t n = word_length(p);
    const char *word = p->text + p->at, *why;
    if (n == 0) return fail_at(p, p->at, "such as i4, e4m3, nf4", "an element is missing");
    if (!lp_element_parse(word, n, out, &why)) {
        if (why) return fail_at(p, p->at, NULL, "%.*s: %s", (int)n, word, why);
        char name[LP_FORMAT_TEXT_MAX + 1], advice[LP_FORMAT_TEXT_MAX + 64];
        memcpy(name, word, n);
        name[n] = '\0';
        const char *near = lp_element_suggest(word, n);
        if (lp_format_row_find(name)) snprintf(advice, sizeof advice, "%s is a whole format: it stands alone", name);
        else if (near) snprintf(advice, sizeof advice, "did you mean %s?", near);
        else snprintf(advice, sizeof advice, "elements are u1..u16 i2..i16 b1..b8 t q1.6 e4m3 f16 nf4 ... (lowp formats)");
        return fail_at(p, p->at, advice, "no element is called %s", name);
    }
    p->at += n;
    return LP_OK;
}

/* A size of a block at text[0 .. n): "all" gives 0. */
static bool parse_size(const char *text, size_t n, int *out)
{
    if (n == 3 && memcmp(text, "all", 3) == 0) {
        *out = 0;
        return true;
    }
    int v = 0;
    if (n == 0 || text[0] == '0') return false;
    for (size_t i = 0; i < n; i++) {
        if (text[i] < '0' || text[i] > '9') return false;
        v = v * 10 + (text[i] - '0');
        if (v > MAX_BLOCK) return false;
    }
    *out = v;
    return true;
}

static lp_status parse_block(parser *p, int block[2])
{
    size_t n = word_length(p);
    const char *word = p->text + p->at, *x = memchr(word, 'x', n);
    bool valid = true;
    block[0] = 0;
    block[1] = 1;
    if (word_is(p, n, "tensor")) block[1] = 0;
    else if (x) valid = parse_size(word, (size_t)(x - word), &block[1]) && parse_size(x + 1, n - (size_t)(x + 1 - word), &block[0]);
    else if (!word_is(p, n, "row")) valid = parse_size(word, n, &block[0]) && block[0] > 0;
    if (!valid)
        return fail_at(p, p->at, "such as 32, 16x16, row, tensor", n ? "%.*s is no block size (1 to %d values)"
                                                                   : "%.*sa block size is missing (1 to %d values)",
                       (int)n, word, MAX_BLOCK);
    p->at += n;
    return LP_OK;
}

static lp_status parse_format(parser *p, int depth, lp_format *out);

/* A format in parentheses, or one element where `bare` allows it, as a new format at *out. */
static lp_status parse_nested(parser *p, int depth, bool bare, lp_format **out)
{
    if (depth > MAX_DEPTH)
        return fail_at(p, p->at, NULL, "scales under scales go at most %d deep", MAX_DEPTH);
    LP_TRY(allocate(out));
    if (bare && p->text[p->at] != '(') return parse_element(p, &(*out)->element);
    size_t open = p->at;
    if (!take(p, '(')) return fail_at(p, p->at, NULL, "an opening parenthesis is missing");
    LP_TRY(parse_format(p, depth, *out));
    if (!take(p, ')')) return fail_at(p, p->at, NULL, "the parenthesis of column %zu is not closed here", open + 1);
    return LP_OK;
}

static bool is_bare(const lp_format *format) { return format->scale == NULL; }

static lp_status parse_offset(parser *p, int depth, lp_format *out)
{
    bool minus = p->text[p->at] == '-';
    size_t sign = p->at++, n = word_length(p);
    const lp_element *usual; /* format of the offset where none is written */
    if (word_is(p, n, "min")) {
        out->offset = minus ? LP_OFFSET_MINUS : LP_OFFSET_PLUS;
        usual = &out->scale->element;
    } else if (word_is(p, n, "zero") && !minus) {
        out->offset = LP_OFFSET_ZERO;
        usual = &out->element;
    } else if (word_is(p, n, "zero")) {
        return fail_at(p, sign, NULL, "a zero point is written +zero");
    } else {
        return fail_at(p, p->at, NULL, "after %c stands min%s", minus ? '-' : '+', minus ? "" : " or zero");
    }
    p->at += n;
    if (p->text[p->at] == '(') return parse_nested(p, depth + 1, false, &out->zero);
    if (out->offset != LP_OFFSET_ZERO && !is_bare(out->scale))
        return fail_at(p, p->at, NULL, "the scale has a scale of its own, so the format of min must be written: min(...)");
    if (depth + 1 > MAX_DEPTH) return fail_at(p, sign, NULL, "scales under scales go at most %d deep", MAX_DEPTH);
    LP_TRY(allocate(&out->zero));
    out->zero->element = *usual;
    return LP_OK;
}

/* "|" and an element, as often as they stand there. */
static lp_status parse_alternatives(parser *p, int depth, lp_format *out)
{
    for (size_t at = p->at; take(p, '|'); at = p->at) {
        if (depth > 0) return fail_at(p, at, NULL, "scales and offsets have no choice of elements");
        if (out->n_alternatives == LP_MAX_ALTERNATIVES)
            return fail_at(p, at, NULL, "a block chooses among at most %d elements", LP_MAX_ALTERNATIVES + 1);
        lp_element *next = &out->alternative[out->n_alternatives];
        LP_TRY(parse_element(p, next));
        if (next->bits != out->element.bits || next->kind == LP_ELEMENT_COMPLEX || out->element.kind == LP_ELEMENT_COMPLEX)
            return fail_at(p, at + 1, NULL, "elements to choose from have one width: %d bits, not %d", out->element.bits, next->bits);
        bool repeats = lp_element_equal(next, &out->element);
        for (int i = 0; i < out->n_alternatives; i++) repeats |= lp_element_equal(next, &out->alternative[i]);
        if (repeats) return fail_at(p, at + 1, NULL, "this element stands here twice");
        out->n_alternatives++;
    }
    return LP_OK;
}

/* depth: how many scales this format lies under. */
static lp_status parse_format(parser *p, int depth, lp_format *out)
{
    LP_TRY(parse_element(p, &out->element));
    LP_TRY(parse_alternatives(p, depth, out));
    if (out->n_alternatives && p->text[p->at] != ':')
        return fail_at(p, p->at, "such as :128:f16", "a choice of elements is made per block, and a block is missing");
    if (!take(p, ':')) return LP_OK;
    LP_TRY(parse_block(p, out->block));
    if (!take(p, ':')) return fail_at(p, p->at, "such as :f16 or :e8m0", "a block needs a scale");
    if (p->text[p->at] != '(' && word_length(p) == 0)
        return fail_at(p, p->at, "such as f16, e8m0, (u6:8:f16)", "a block needs a scale");
    LP_TRY(parse_nested(p, depth + 1, true, &out->scale));
    if (take(p, ':')) {
        size_t at = p->at;
        LP_TRY(allocate(&out->tensor_scale));
        LP_TRY(parse_element(p, &out->tensor_scale->element));
        if (out->tensor_scale->element.kind != LP_ELEMENT_FLOAT)
            return fail_at(p, at, "such as f32", "the scale of the tensor is a float");
    }
    if (p->text[p->at] == '+' || p->text[p->at] == '-') LP_TRY(parse_offset(p, depth, out));
    return LP_OK;
}

/* Format and packing up to the end of the text, which is no name. */
static lp_status parse_whole(parser *p, lp_format *out)
{
    LP_TRY(parse_format(p, 0, out));
    size_t end = p->at;
    if (take(p, '@')) {
        char name[LP_FORMAT_TEXT_MAX + 1], stored[LP_FORMAT_TEXT_MAX + 1];
        size_t at = p->at, n = word_length(p);
        memcpy(name, p->text + at, n);
        name[n] = '\0';
        const lp_packing *packing = lp_packing_by_name(name);
        if (!packing || packing->is_float || !packing->text[0])
            return fail_at(p, at, "such as q4_0, q4_k, iq4_nl", n ? "no packing is called %s" : "a packing is missing%s", name);
        /* The text of a packing ends with its own name. */
        size_t n_stored = strlen(packing->text) - strlen(packing->name) - 1;
        lp_format_print_text(out, stored, sizeof stored);
        if (strlen(stored) != n_stored || memcmp(stored, packing->text, n_stored) != 0)
            return fail_at(p, end, NULL, "%s stores %.*s, which is another format", packing->name, (int)n_stored,
                           packing->text);
        out->packing = packing;
        p->at += n;
    }
    if (p->text[p->at] == '\0') return LP_OK;
    return fail_at(p, p->at, NULL, "%c does not belong here", p->text[p->at]);
}

/* The text that a name stands for, or NULL. */
static const char *text_of_name(const char *name)
{
    const lp_format_row *row = lp_format_row_find(name);
    if (row) return row->text;
    const lp_packing *packing = strchr(name, '@') ? lp_packing_by_name(name) : NULL; /* "q4_0@gguf" */
    return packing && packing->text[0] ? packing->text : NULL;
}

lp_status lp_format_parse(const char *text, lp_format **out)
{
    *out = NULL;
    size_t n = strnlen(text, LP_FORMAT_TEXT_MAX + 1);
    if (n == 0) return lp_hint(lp_fail(LP_USAGE, "format: empty text"), "such as q4_k, mxfp4, i4:128:f16 (lowp formats)");
    if (n > LP_FORMAT_TEXT_MAX) return lp_fail(LP_USAGE, "format: text of more than %d characters", LP_FORMAT_TEXT_MAX);
    parser p = {.at = 0};
    for (size_t i = 0; i < n; i++) {
        unsigned char c = (unsigned char)text[i];
        p.text[i] = (char)(c > ' ' && c < 127 ? (c >= 'A' && c <= 'Z' ? c + 32 : c) : '?');
    }
    const char *named = text_of_name(p.text);
    if (named) {
        memset(p.text, 0, sizeof p.text);
        memcpy(p.text, named, strlen(named));
    } else if (word_length(&p) == n) {
        /* One word that is no name: where it is no element either, the rows know more names than the elements. */
        lp_element element;
        const char *why, *near = lp_format_suggest(p.text);
        const lp_packing *packing = lp_packing_by_name(p.text);
        bool unknown = !lp_element_parse(p.text, n, &element, &why) && !why;
        if (unknown && packing)
            return lp_fail(LP_USAGE, "format %s: a byte layout that no format text describes", packing->name);
        if (unknown && near) {
            char advice[64];
            snprintf(advice, sizeof advice, "did you mean %s?", near);
            return fail_at(&p, 0, advice, "no format is called %s", p.text);
        }
    }
    lp_status status = allocate(out);
    if (status == LP_OK) status = parse_whole(&p, *out);
    if (status != LP_OK) {
        lp_format_free(*out);
        *out = NULL;
    }
    return status;
}

void lp_format_free(lp_format *format)
{
    if (!format) return;
    lp_format_free(format->scale);
    lp_format_free(format->tensor_scale);
    lp_format_free(format->zero);
    free(format);
}

/* ---- print ------------------------------------------------------------------------------------------------------- */

typedef struct printer {
    char *buffer;
    size_t room, n; /* n: length of the whole text, which may exceed the room */
} printer;

static void put(printer *out, const char *text)
{
    size_t n = strlen(text);
    for (size_t i = 0; i < n; i++)
        if (out->n + i + 1 < out->room) out->buffer[out->n + i] = text[i];
    out->n += n;
}

static void put_size(printer *out, int size)
{
    char text[16] = "all";
    if (size) snprintf(text, sizeof text, "%d", size);
    put(out, text);
}

static void put_block(printer *out, const int block[2])
{
    if (block[0] == 0 && block[1] <= 1) {
        put(out, block[1] ? "row" : "tensor");
        return;
    }
    if (block[1] != 1) {
        put_size(out, block[1]);
        put(out, "x");
    }
    put_size(out, block[0]);
}

static void put_table(printer *out, const lp_element *element)
{
    for (int i = 0; i < element->n_levels; i++) {
        char number[32];
        for (int digits = 1; digits <= 9; digits++) { /* the fewest that give the same value again */
            snprintf(number, sizeof number, "%.*g", digits, (double)element->own_table[i]);
            if ((float)strtod(number, NULL) == element->own_table[i]) break;
        }
        put(out, i ? "," : "{");
        put(out, number);
    }
    put(out, "}");
}

static void put_element(printer *out, const lp_element *element)
{
    char word[32];
    if (element->kind == LP_ELEMENT_TABLE && !element->table_name) {
        put_table(out, element);
        return;
    }
    lp_element_print(element, word);
    put(out, word);
}

static void put_format(printer *out, const lp_format *format);

static void put_parenthesised(printer *out, const lp_format *format)
{
    put(out, "(");
    put_format(out, format);
    put(out, ")");
}

static void put_format(printer *out, const lp_format *format)
{
    put_element(out, &format->element);
    for (int i = 0; i < format->n_alternatives; i++) {
        put(out, "|");
        put_element(out, &format->alternative[i]);
    }
    if (!format->scale) return;
    put(out, ":");
    put_block(out, format->block);
    put(out, ":");
    if (is_bare(format->scale)) put_element(out, &format->scale->element);
    else put_parenthesised(out, format->scale);
    if (format->tensor_scale) {
        put(out, ":");
        put_element(out, &format->tensor_scale->element);
    }
    if (format->offset == LP_OFFSET_NONE || !format->zero) return;
    bool is_zero = format->offset == LP_OFFSET_ZERO;
    put(out, is_zero ? "+zero" : format->offset == LP_OFFSET_PLUS ? "+min" : "-min");
    const lp_element *usual = is_zero ? &format->element : &format->scale->element;
    bool omitted = is_bare(format->zero) && (is_zero || is_bare(format->scale)) &&
                   lp_element_equal(&format->zero->element, usual);
    if (!omitted) put_parenthesised(out, format->zero);
}

size_t lp_format_print_text(const lp_format *format, char *buffer, size_t n)
{
    printer out = {buffer, n, 0};
    put_format(&out, format);
    if (format->packing) {
        put(&out, "@");
        put(&out, format->packing->name);
    }
    if (n) buffer[out.n < n ? out.n : n - 1] = '\0';
    return out.n;
}

size_t lp_format_print(const lp_format *format, char *buffer, size_t n)
{
    char text[LP_FORMAT_TEXT_MAX + 1];
    if (lp_format_print_text(format, text, sizeof text) < sizeof text)
        for (int i = 0; i < lp_format_row_count(); i++) {
            const lp_format_row *row = lp_format_row_at(i);
            if (strcmp(row->text, text) == 0) return (size_t)snprintf(buffer, n, "%s", row->name);
        }
    return lp_format_print_text(format, buffer, n);
}

/* ---- properties -------------------------------------------------------------------------------------------------- */

bool lp_format_equal(const lp_format *a, const lp_format *b)
{
    if (!a || !b) return a == b;
    if (a->n_alternatives != b->n_alternatives) return false;
    for (int i = 0; i < a->n_alternatives; i++)
        if (!lp_element_equal(&a->alternative[i], &b->alternative[i])) return false;
    return lp_element_equal(&a->element, &b->element) && a->block[0] == b->block[0] && a->block[1] == b->block[1] &&
           a->offset == b->offset && a->packing == b->packing && lp_format_equal(a->scale, b->scale) &&
           lp_format_equal(a->tensor_scale, b->tensor_scale) && lp_format_equal(a->zero, b->zero);
}

double lp_format_bits(const lp_format *format)
{
    if (format->packing) return 8.0 * format->packing->n_bytes / format->packing->n_values;
    double bits = format->element.bits;
    if (format->block[0] && format->block[1]) {
        double values = (double)format->block[0] * format->block[1];
        if (format->n_alternatives) bits += (format->n_alternatives > 1 ? 2 : 1) / values; /* the selector */
        if (format->scale) bits += lp_format_bits(format->scale) / values;
        if (format->zero) bits += lp_format_bits(format->zero) / values;
    }
    return bits;
}
