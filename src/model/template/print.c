/* The output of a rendering: Python's str() and repr(), JSON written and read. */
#include "model/template/template.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"

void lp_emit(lp_render *r, const char *data, const uint8_t *origin, size_t n, uint8_t origin_of_all)
{
    if (!lp_render_step(r, n) || !n) return;
    if (n > LP_TEMPLATE_OUTPUT - r->n_out) {
        lp_render_fail(r, "output: more than 16 MiB");
        return;
    }
    if (r->n_out + n > r->out_room) {
        size_t room = 2 * (r->n_out + n) + 1024;
        char *out = realloc(r->out, room);
        if (out) r->out = out;
        uint8_t *mark = realloc(r->out_origin, room);
        if (mark) r->out_origin = mark;
        if (!out || !mark) {
            r->status = lp_fail_memory(room, "the text of a chat template");
            return;
        }
        r->out_room = room;
    }
    memcpy(r->out + r->n_out, data, n);
    if (origin) memcpy(r->out_origin + r->n_out, origin, n);
    else memset(r->out_origin + r->n_out, origin_of_all, n);
    r->n_out += n;
}

static void emit(lp_render *r, const char *s) { lp_emit(r, s, NULL, strlen(s), 0); }

static void emit_text(lp_render *r, const lp_text *t) { lp_emit(r, t->data, t->origin, t->n, t->origin_of_all); }

lp_value lp_capture(lp_render *r, size_t begin)
{
    if (r->status) return lp_undefined();
    size_t n = r->n_out - begin;
    r->n_out = begin;
    if (!n) return lp_text_of(r, "", NULL, 0, 0);
    const uint8_t *origin = r->out_origin + begin;
    bool mixed = memcmp(origin, origin + 1, n - 1) != 0; /* some differ from their neighbour */
    return lp_text_copy(r, r->out + begin, mixed ? origin : NULL, n, *origin);
}

/* The shortest digits that read back as x, as Python writes them. */
static void real_text(double x, char *out, size_t n, bool json)
{
    if (isnan(x) || isinf(x)) {
        snprintf(out, n, "%s", isnan(x) ? json ? "NaN" : "nan" : x > 0 ? json ? "Infinity" : "inf" : json ? "-Infinity" : "-inf");
        return;
    }
    char digits[40];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(digits, sizeof digits, "%.*e", precision, x);
        double back = strtod(digits, NULL);
        if (back <= x && back >= x) break;
    }
    int exponent = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (exponent < -4 || exponent >= 16) {
        char *e = strchr(digits, 'e');
        snprintf(out, n, "%.*se%c%02d", (int)(e - digits), digits, exponent < 0 ? '-' : '+', abs(exponent));
        return;
    }
    int n_digits = 0;
    for (char *c = digits; *c != 'e'; c++) n_digits += *c >= '0' && *c <= '9';
    int decimals = n_digits - 1 - exponent;
    snprintf(out, n, "%.*f", decimals > 0 ? decimals : 1, x);
}

static void emit_repr_text(lp_render *r, const lp_text *t)
{
    bool single = memchr(t->data, '\'', t->n) != NULL, both = single && memchr(t->data, '"', t->n);
    char quote[2] = {single && !both ? '"' : '\'', 0};
    emit(r, quote);
    for (size_t at = 0; at < t->n && !r->status;) {
        size_t next;
        uint32_t c = lp_character_at(t->data, at, &next);
        char escape[16] = "";
        if (c == '\\' || c == (uint32_t)*quote) snprintf(escape, sizeof escape, "\\%c", (char)c);
        else if (c == '\n') snprintf(escape, sizeof escape, "\\n");
        else if (c == '\r') snprintf(escape, sizeof escape, "\\r");
        else if (c == '\t') snprintf(escape, sizeof escape, "\\t");
        else if (c < 32 || (c >= 0x7f && c <= 0xa0) || c == 0xad) snprintf(escape, sizeof escape, "\\x%02x", c);
        else if (lp_is_space(c) && c != ' ') snprintf(escape, sizeof escape, "\\u%04x", c);
        uint8_t origin = t->origin ? t->origin[at] : t->origin_of_all;
        if (*escape) lp_emit(r, escape, NULL, strlen(escape), origin);
        else lp_emit(r, t->data + at, NULL, next - at, origin);
        at = next;
    }
    emit(r, quote);
}

static void emit_repr(lp_render *r, lp_value v, bool top, int depth)
{
    char number[64];
    if (!lp_render_step(r, 0)) return;
    if (depth > LP_TEMPLATE_JSON_DEPTH) {
        lp_render_fail(r, "values nested deeper than 128");
        return;
    }
    switch (v.kind) {
    case LP_VALUE_UNDEFINED: emit(r, top ? "" : "Undefined"); return;
    case LP_VALUE_NONE: emit(r, "None"); return;
    case LP_VALUE_BOOL: emit(r, v.boolean ? "True" : "False"); return;
    case LP_VALUE_INT: snprintf(number, sizeof number, "%lld", (long long)v.integer); emit(r, number); return;
    case LP_VALUE_REAL: real_text(v.real, number, sizeof number, false); emit(r, number); return;
    case LP_VALUE_STRING:
        if (top) emit_text(r, v.text);
        else emit_repr_text(r, v.text);
        return;
    case LP_VALUE_LIST: case LP_VALUE_TUPLE:
        emit(r, v.kind == LP_VALUE_LIST ? "[" : "(");
        for (size_t i = 0; i < v.list->n && !r->status; i++) {
            if (i) emit(r, ", ");
            emit_repr(r, v.list->item[i], false, depth + 1);
        }
        emit(r, v.kind == LP_VALUE_LIST ? "]" : v.list->n == 1 ? ",)" : ")");
        return;
    case LP_VALUE_DICT:
        emit(r, "{");
        for (size_t i = 0; i < v.dict->n && !r->status; i++) {
            if (i) emit(r, ", ");
            emit_repr(r, v.dict->key[i], false, depth + 1);
            emit(r, ": ");
            emit_repr(r, v.dict->value[i], false, depth + 1);
        }
        emit(r, "}");
        return;
    default: lp_render_fail(r, "a %s cannot be printed", lp_kind_name(v));
    }
}

void lp_emit_value(lp_render *r, lp_value v) { emit_repr(r, v, true, 0); }

lp_value lp_to_text(lp_render *r, lp_value v)
{
    if (v.kind == LP_VALUE_STRING) return v;
    size_t begin = r->n_out;
    lp_emit_value(r, v);
    return lp_capture(r, begin);
}

/* ---- JSON, written ----------------------------------------------------------------------------------------------- */

static void emit_json_text(lp_render *r, const lp_text *t, bool ascii)
{
    emit(r, "\"");
    for (size_t at = 0; at < t->n && !r->status;) {
        size_t next;
        uint32_t c = lp_character_at(t->data, at, &next);
        static const char from[] = "\"\\\b\f\n\r\t", to[] = "\"\\bfnrt";
        const char *known = c && c < 128 ? strchr(from, (int)c) : NULL;
        char escape[16] = "";
        if (known) snprintf(escape, sizeof escape, "\\%c", to[known - from]);
        else if (c < 32 || (ascii && c > 126 && c < 0x10000)) snprintf(escape, sizeof escape, "\\u%04x", c);
        else if (ascii && c >= 0x10000)
            snprintf(escape, sizeof escape, "\\u%04x\\u%04x", 0xd800 + ((c - 0x10000) >> 10), 0xdc00 + ((c - 0x10000) & 1023));
        if (ascii && c == 0x7f) escape[0] = 0;
        uint8_t origin = t->origin ? t->origin[at] : t->origin_of_all;
        if (*escape) lp_emit(r, escape, NULL, strlen(escape), origin);
        else lp_emit(r, t->data + at, NULL, next - at, origin);
        at = next;
    }
    emit(r, "\"");
}

static void new_line(lp_render *r, const lp_json_style *style, int depth)
{
    if (style->indent < 0) return;
    emit(r, "\n");
    for (int64_t i = 0; i < style->indent * depth && !r->status; i++) emit(r, " ");
}

static void emit_json_key(lp_render *r, lp_value key)
{
    if (key.kind == LP_VALUE_STRING) return;
    if (key.kind > LP_VALUE_REAL || key.kind == LP_VALUE_UNDEFINED) lp_render_fail(r, "a %s is no JSON key", lp_kind_name(key));
}

static size_t least_key(lp_render *r, const lp_dict *d, const bool *done)
{
    size_t best = d->n;
    for (size_t i = 0; i < d->n && !r->status; i++)
        if (!done[i] && (best == d->n || lp_value_order(r, d->key[i], d->key[best], false) < 0)) best = i;
    return best;
}

void lp_emit_json(lp_render *r, lp_value v, const lp_json_style *style, int depth)
{
    char number[64];
    if (!lp_render_step(r, 0)) return;
    if (depth > LP_TEMPLATE_JSON_DEPTH) {
        lp_render_fail(r, "JSON nested deeper than 128");
        return;
    }
    switch (v.kind) {
    case LP_VALUE_NONE: emit(r, "null"); return;
    case LP_VALUE_BOOL: emit(r, v.boolean ? "true" : "false"); return;
    case LP_VALUE_INT: snprintf(number, sizeof number, "%lld", (long long)v.integer); emit(r, number); return;
    case LP_VALUE_REAL: real_text(v.real, number, sizeof number, true); emit(r, number); return;
    case LP_VALUE_STRING: emit_json_text(r, v.text, style->ascii); return;
    case LP_VALUE_LIST: case LP_VALUE_TUPLE:
        emit(r, "[");
        for (size_t i = 0; i < v.list->n && !r->status; i++) {
            if (i) lp_emit(r, style->item, NULL, style->n_item, 0);
            new_line(r, style, depth + 1);
            lp_emit_json(r, v.list->item[i], style, depth + 1);
        }
        if (v.list->n) new_line(r, style, depth);
        emit(r, "]");
        return;
    case LP_VALUE_DICT: {
        bool *done = style->sort ? lp_render_alloc(r, v.dict->n + 1) : NULL;
        emit(r, "{");
        for (size_t k = 0; k < v.dict->n && !r->status; k++) {
            size_t i = style->sort ? least_key(r, v.dict, done) : k;
            if (r->status) return;
            if (done) done[i] = true;
            if (k) lp_emit(r, style->item, NULL, style->n_item, 0);
            new_line(r, style, depth + 1);
            emit_json_key(r, v.dict->key[i]);
            bool quoted = v.dict->key[i].kind == LP_VALUE_STRING;
            if (!quoted) emit(r, "\"");
            lp_emit_json(r, v.dict->key[i], style, depth + 1);
            if (!quoted) emit(r, "\"");
            lp_emit(r, style->colon, NULL, style->n_colon, 0);
            lp_emit_json(r, v.dict->value[i], style, depth + 1);
        }
        if (v.dict->n) new_line(r, style, depth);
        emit(r, "}");
        return;
    }
    default: lp_render_fail(r, "a %s is no JSON", lp_kind_name(v));
    }
}

/* ---- JSON, read -------------------------------------------------------------------------------------------------- */

typedef struct reader {
    lp_render *r;
    const char *text;
    size_t n, at;
    int depth;
} reader;

static lp_value bad(reader *j)
{
    if (!j->r->status) j->r->status = lp_fail(LP_INPUT, "variables of the chat template: byte %zu: no valid JSON (depth at most 128)", j->at);
    return lp_undefined();
}

static void blanks(reader *j)
{
    while (j->at < j->n && strchr(" \t\r\n", j->text[j->at]) && j->text[j->at]) j->at++;
}

static bool word(reader *j, const char *w)
{
    size_t n = strlen(w);
    if (n > j->n - j->at || memcmp(j->text + j->at, w, n) != 0) return false;
    j->at += n;
    return true;
}

static bool hex4(reader *j, uint32_t *out)
{
    *out = 0;
    for (int i = 0; i < 4; i++, j->at++) {
        char c = j->at < j->n ? j->text[j->at] : 0;
        int d = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
        if (d < 0) return false;
        *out = *out << 4 | (uint32_t)d;
    }
    return true;
}

static size_t utf8(uint32_t c, char *out)
{
    if (c < 0x80) return out[0] = (char)c, 1;
    size_t n = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--, c >>= 6) out[i] = (char)(0x80 | (c & 63));
    out[0] = (char)((n == 2 ? 0xc0 : n == 3 ? 0xe0 : 0xf0) | c);
    return n;
}

static lp_value read_text(reader *j)
{
    size_t begin = ++j->at, n = 0, end = begin;
    while (end < j->n && j->text[end] != '"') end += j->text[end] == '\\' ? 2 : 1;
    if (end >= j->n) return bad(j);
    char *out = lp_render_alloc(j->r, end - begin + 1);
    if (!out) return lp_undefined();
    while (j->at < end) {
        char c = j->text[j->at++];
        if (c != '\\') {
            if ((uint8_t)c < 32) return bad(j);
            out[n++] = c;
            continue;
        }
        static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
        char e = j->text[j->at++];
        const char *known = e ? strchr(from, e) : NULL;
        uint32_t high, low;
        if (known) {
            out[n++] = to[known - from];
        } else if (e == 'u' && hex4(j, &high)) {
            if (high >= 0xd800 && high < 0xdc00) {
                if (!word(j, "\\u") || !hex4(j, &low) || low < 0xdc00 || low > 0xdfff) return bad(j);
                high = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
            } else if (high >= 0xdc00 && high < 0xe000) {
                return bad(j);
            }
            n += utf8(high, out + n);
        } else {
            return bad(j);
        }
    }
    j->at = end + 1;
    return lp_text_of(j->r, out, NULL, n, LP_ORIGIN_INPUT);
}

static lp_value read_number(reader *j)
{
    char digits[64];
    size_t n = 0;
    bool real = false;
    while (j->at < j->n && n < sizeof digits - 1 && j->text[j->at] && strchr("0123456789+-.eE", j->text[j->at])) {
        real = real || strchr(".eE", j->text[j->at]);
        digits[n++] = j->text[j->at++];
    }
    digits[n] = 0;
    char *end;
    long long whole = strtoll(digits, &end, 10);
    if (!real && n && !*end && n < 19) return lp_int(whole);
    double x = strtod(digits, &end);
    return !n || *end || digits[0] == '+' || digits[0] == '.' ? bad(j) : lp_real(x);
}

static lp_value read_value(reader *j)
{
    blanks(j);
    if (j->at >= j->n || !lp_render_step(j->r, 0)) return bad(j);
    char c = j->text[j->at];
    if (c == '"') return read_text(j);
    if (word(j, "true")) return lp_bool(true);
    if (word(j, "false")) return lp_bool(false);
    if (word(j, "null")) return lp_none();
    if (c != '[' && c != '{') return read_number(j);
    if (++j->depth > LP_TEMPLATE_JSON_DEPTH) return bad(j);
    j->at++;
    const char *close = c == '[' ? "]" : "}";
    lp_value v = c == '[' ? lp_list_new(j->r, LP_VALUE_LIST, 0) : lp_dict_new(j->r, LP_VALUE_DICT);
    if (j->r->status) return v;
    if (c == '[') v.list->given = true;
    blanks(j);
    bool more = !word(j, close);
    while (more && !j->r->status) {
        lp_value key = lp_undefined();
        blanks(j);
        if (c == '{') {
            if (j->at >= j->n || j->text[j->at] != '"') return bad(j);
            key = read_text(j);
            blanks(j);
            if (j->r->status || !word(j, ":")) return bad(j);
        }
        lp_value item = read_value(j);
        if (j->r->status) return item;
        if (c == '[') lp_list_push(j->r, v, item);
        else lp_dict_set(j->r, v, key, item);
        blanks(j);
        more = word(j, ",");
        if (!more && !word(j, close)) return bad(j);
    }
    j->depth--;
    return v;
}

lp_value lp_json_read(lp_render *r, const char *text, size_t n)
{
    reader j = {.r = r, .text = text, .n = n};
    lp_value v = read_value(&j);
    blanks(&j);
    return j.at < n && !r->status ? bad(&j) : v;
}
