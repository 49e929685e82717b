/* From a template's text to tokens, and errors that name a place in it. */
#include "model/template/lex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "model/tokenizer/unicode.h"

/* ---- errors ------------------------------------------------------------------------------------------------------ */

void lp_template_position(const char *text, size_t n, size_t at, uint32_t *line, uint32_t *column)
{
    *line = 1;
    *column = 1;
    for (size_t i = 0; i < at && i < n; i++) {
        if (text[i] == '\n') ++*line, *column = 1;
        else if (((uint8_t)text[i] & 0xc0) != 0x80) ++*column;
    }
}

enum { KEPT_AT_ONCE = 16 << 10 };

void *lp_lex_wrong(parser *p, size_t at, const char *what)
{
    if (p->status) return NULL;
    uint32_t line, column;
    lp_template_position(p->text, p->n, at, &line, &column);
    p->status = lp_fail(LP_INPUT, "chat template: line %u, column %u: %s", line, column, what);
    return NULL;
}

char *lp_lex_keep(parser *p, size_t n)
{
    if (p->status) return NULL;
    bool is_large = n >= KEPT_AT_ONCE / 4;
    if (is_large || p->n_kept < n + 1) {
        char *block = lp_arena_alloc(&p->owner->arena, is_large ? n + 1 : KEPT_AT_ONCE);
        if (!block) p->status = LP_RESOURCE;
        if (!block || is_large) return block;
        p->kept = block;
        p->n_kept = KEPT_AT_ONCE;
    }
    char *out = p->kept;
    p->kept += n + 1;
    p->n_kept -= n + 1;
    return out;
}

/* ---- tokens ------------------------------------------------------------------------------------------------------ */

bool lp_lex_in_name(char c, bool first)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (!first && c >= '0' && c <= '9');
}

static size_t put_utf8(char *out, uint32_t c)
{
    if (c < 0x80) return out[0] = (char)c, 1;
    if (c < 0x800) return out[0] = (char)(0xc0 | c >> 6), out[1] = (char)(0x80 | (c & 63)), 2;
    if (c < 0x10000)
        return out[0] = (char)(0xe0 | c >> 12), out[1] = (char)(0x80 | (c >> 6 & 63)), out[2] = (char)(0x80 | (c & 63)), 3;
    out[0] = (char)(0xf0 | c >> 18);
    out[1] = (char)(0x80 | (c >> 12 & 63));
    out[2] = (char)(0x80 | (c >> 6 & 63));
    out[3] = (char)(0x80 | (c & 63));
    return 4;
}

/* Python's escapes; `digits` hexadecimal digits after \x, \u, \U, up to three octal ones. */
static void read_string(parser *p)
{
    static const char plain[] = "n\nt\tr\r\\\\''\"\"a\ab\bf\fv\v";
    char quote = p->text[p->at++];
    size_t begin = p->at, end = begin;
    while (end < p->n && p->text[end] != quote) end += p->text[end] == '\\' ? 2 : 1;
    if (end >= p->n) {
        lp_lex_wrong(p, begin - 1, "a string that does not end");
        return;
    }
    char *out = lp_lex_keep(p, end - begin);
    if (!out) return;
    size_t n = 0;
    for (size_t i = begin; i < end;) {
        if (p->text[i] != '\\') {
            out[n++] = p->text[i++];
            continue;
        }
        char c = p->text[i + 1];
        const char *known = NULL;
        for (const char *k = plain; *k; k += 2)
            if (*k == c) known = k + 1;
        size_t digits = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
        if (known) {
            out[n++] = *known;
            i += 2;
        } else if (c == '\n') {
            i += 2;
        } else if (digits || (c >= '0' && c <= '7')) {
            uint32_t value = 0;
            size_t k = i + (digits ? 2 : 1), first = k, most = digits ? digits : 3, base = digits ? 16 : 8;
            for (; k < end && k - first < most; k++) {
                char d = p->text[k];
                uint32_t x = d >= '0' && d <= '9' ? (uint32_t)(d - '0') : d >= 'a' && d <= 'f' ? (uint32_t)(d - 'a' + 10)
                             : d >= 'A' && d <= 'F' ? (uint32_t)(d - 'A' + 10) : 99;
                if (x >= base) break;
                value = value * (uint32_t)base + x;
            }
            if ((digits && k - first != digits) || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
                lp_lex_wrong(p, i, "an escape that is no character");
                return;
            }
            n += put_utf8(out + n, value);
            i = k;
        } else if (c == 'N') {
            lp_lex_wrong(p, i, "\\N{...} is not supported");
            return;
        } else {
            out[n++] = p->text[i++];
        }
    }
    p->token.kind = STRING;
    p->token.text = (lp_string){out, n};
    p->at = end + 1;
}

static void read_number(parser *p)
{
    char digits[400];
    size_t n = 0, i = p->at;
    bool real = false;
    for (; i < p->n && n < sizeof digits - 1; i++) {
        char c = p->text[i], next = i + 1 < p->n ? p->text[i + 1] : 0, after = i + 2 < p->n ? p->text[i + 2] : 0;
        bool digit = c >= '0' && c <= '9', digit_next = next >= '0' && next <= '9';
        if (c == '_' && digit_next) continue;
        if (!digit) {
            if (p->dot) break;
            bool point = c == '.' && !real && digit_next;
            bool exponent = (c == 'e' || c == 'E') && !memchr(digits, 'e', n) &&
                            (digit_next || ((next == '+' || next == '-') && after >= '0' && after <= '9'));
            if (!point && !exponent) break;
            real = true;
            if (exponent) {
                digits[n++] = 'e';
                if (!digit_next) digits[n++] = next, i++;
                continue;
            }
        }
        digits[n++] = c;
    }
    digits[n] = 0;
    p->token.kind = real ? REAL : INTEGER;
    p->token.real = strtod(digits, NULL);
    if (!real) {
        for (size_t k = 0; k < n; k++)
            if (__builtin_mul_overflow(p->token.integer, (int64_t)10, &p->token.integer) ||
                __builtin_add_overflow(p->token.integer, (int64_t)(digits[k] - '0'), &p->token.integer)) {
                lp_lex_wrong(p, p->at, "an integer beyond 64 bits");
                return;
            }
    }
    p->at = i;
}

size_t lp_lex_skip_space(const parser *p, size_t at)
{
    while (at < p->n) {
        size_t next;
        uint32_t c = lp_character_at(p->text, at, &next);
        if (!lp_is_space(c)) break;
        at = next;
    }
    return at;
}

bool lp_lex_starts(const parser *p, size_t at, const char *s)
{
    size_t n = strlen(s);
    return n <= p->n - at && memcmp(p->text + at, s, n) == 0;
}

/* Moves to the next token of the open tag. */
void lp_lex_advance(parser *p)
{
    static const char *const operators[] = {"==", "!=", "<=", ">=", "//", "**", "+", "-", "*", "/", "%", "~", "(", ")",
                                            "[",  "]",  "{",  "}",  "<",  ">",  "=", ".", ":", "|", ",", NULL};
    if (p->status || p->token.kind == END_TAG) return;
    p->at = lp_lex_skip_space(p, p->at);
    p->token = (token){.kind = OPERATOR, .at = p->at};
    if (p->at >= p->n) {
        lp_lex_wrong(p, p->at, "the tag is not closed");
        return;
    }
    char c = p->text[p->at];
    if (p->open == 0) {
        bool sign = (c == '-' || (c == '+' && *p->end == '%')) && lp_lex_starts(p, p->at + 1, p->end);
        if (sign || lp_lex_starts(p, p->at, p->end)) {
            p->at += 2 + (size_t)sign;
            if (c == '-') p->at = lp_lex_skip_space(p, p->at);
            else if (!sign && *p->end == '%' && p->at < p->n && p->text[p->at] == '\n') p->at++;
            p->token.kind = END_TAG;
            return;
        }
    }
    if (c == '\'' || c == '"') {
        read_string(p);
    } else if (c >= '0' && c <= '9') {
        read_number(p);
    } else if (lp_lex_in_name(c, true)) {
        size_t begin = p->at;
        while (p->at < p->n && lp_lex_in_name(p->text[p->at], false)) p->at++;
        p->token.kind = NAME;
        p->token.text = (lp_string){p->text + begin, p->at - begin};
    } else {
        const char *const *o = operators;
        while (*o && !lp_lex_starts(p, p->at, *o)) o++;
        if (!*o) {
            lp_lex_wrong(p, p->at, "a character that begins nothing");
            return;
        }
        p->token.text = (lp_string){*o, strlen(*o)};
        p->at += p->token.text.n;
        if (strchr("([{", **o) && (*o)[1] == 0) p->open++;
        if (strchr(")]}", **o) && (*o)[1] == 0 && --p->open < 0) lp_lex_wrong(p, p->token.at, "a bracket that was not opened");
    }
    p->dot = !p->status && p->token.kind == OPERATOR && *p->token.text.data == '.';
}

bool lp_lex_is(const parser *p, token_kind kind, const char *s)
{
    return !p->status && p->token.kind == kind && p->token.text.n == strlen(s) && memcmp(p->token.text.data, s, p->token.text.n) == 0;
}

bool lp_lex_take(parser *p, token_kind kind, const char *s)
{
    if (!lp_lex_is(p, kind, s)) return false;
    lp_lex_advance(p);
    return true;
}

void lp_lex_need(parser *p, token_kind kind, const char *s)
{
    char what[64];
    snprintf(what, sizeof what, "'%s' is missing here", s);
    if (!lp_lex_take(p, kind, s)) lp_lex_wrong(p, p->token.at, what);
}

lp_string lp_lex_name(parser *p)
{
    lp_string name = {"", 0};
    if (p->token.kind != NAME) {
        lp_lex_wrong(p, p->token.at, "a name is missing here");
        return name;
    }
    char *copy = lp_lex_keep(p, p->token.text.n);
    if (!copy) return name;
    memcpy(copy, p->token.text.data, p->token.text.n);
    name = (lp_string){copy, p->token.text.n};
    lp_lex_advance(p);
    return name;
}
