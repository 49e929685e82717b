/* Elements: what one code means. Words to elements and back, and the exact value of every code. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "format/text.h"

/* ---- tables (nf4.md, gguf-block-formats.md) ---------------------------------------------------------------------- */

static const float nf4[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f,
    -0.18477343022823334f, -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f,
    0.24611230194568634f, 0.33791524171829224f, 0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f};

/* bitsandbytes' FP4: twelfths, and not E2M1. */
static const float fp4[16] = {0.0f / 12, 0.0625f / 12, 8.0f / 12, 12.0f / 12, 4.0f / 12, 6.0f / 12, 2.0f / 12, 3.0f / 12,
                              -0.0f / 12, -0.0625f / 12, -8.0f / 12, -12.0f / 12, -4.0f / 12, -6.0f / 12, -2.0f / 12,
                              -3.0f / 12};

static const float af4[16] = {1.0f, 0.72424863f, 0.55496234f, 0.42563882f, 0.31675666f, 0.21961274f, 0.12934483f,
                              0.04273164f, 0.0f, -0.04934812f, -0.14982478f, -0.25607552f, -0.3736951f, -0.51243739f,
                              -0.69441008f, -1.0f};

static const float iq4nl[16] = {-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113};

/* E2M1 without -0, as GGUF's MXFP4 and NVFP4 have it. */
static const float e2m1uz[16] = {0, 0.5f, 1, 1.5f, 2, 3, 4, 6, 0, -0.5f, -1, -1.5f, -2, -3, -4, -6};

static const struct {
    const char *name;
    const float *values;
} tables[] = {{"nf4", nf4}, {"fp4", fp4}, {"af4", af4}, {"iq4nl", iq4nl}, {"e2m1uz", e2m1uz}};

/* ---- floats ------------------------------------------------------------------------------------------------------ */

static const char *const special_names[] = {
    [LP_SPECIALS_IEEE] = "ieee", [LP_SPECIALS_FN] = "fn", [LP_SPECIALS_FNUZ] = "fnuz", [LP_SPECIALS_NONE] = "none"};
enum { N_SPECIALS = sizeof special_names / sizeof special_names[0] };

/* Names of widths that are not written eXmY. */
static const struct {
    const char *name;
    int exponent, mantissa;
} float_names[] = {{"f32", 8, 23}, {"f16", 5, 10}, {"bf16", 8, 7}};
enum { N_FLOAT_NAMES = sizeof float_names / sizeof float_names[0] };

/* What a float without a suffix means. */
static lp_specials default_specials(bool is_signed, int exponent, int mantissa)
{
    int bits = exponent + mantissa + is_signed;
    if (!is_signed) return bits >= 7 ? LP_SPECIALS_FN : LP_SPECIALS_NONE;
    if (exponent == 4 && mantissa == 3) return LP_SPECIALS_FN;
    return bits >= 8 ? LP_SPECIALS_IEEE : LP_SPECIALS_NONE;
}

/* An unsigned float without mantissa is a bare power of two, zero not included: OCP's E8M0. */
static bool is_power_of_two(const lp_element *e)
{
    return e->kind == LP_ELEMENT_FLOAT && !e->is_signed && e->mantissa == 0;
}

/* NULL, or why the element is refused: every value must be a float32. */
static const char *make_float(bool is_signed, int exponent, int mantissa, lp_specials specials, lp_element *out)
{
    if (exponent < 1 || exponent > 8) return "a float has 1 to 8 exponent bits";
    if (mantissa > 23) return "a float has at most 23 mantissa bits";
    if (specials == LP_SPECIALS_FNUZ && !is_signed) return "fnuz needs a sign";
    int bits = is_signed + exponent + mantissa;
    int bias = (1 << (exponent - 1)) - (specials == LP_SPECIALS_FNUZ ? 0 : 1);
    *out = (lp_element){.kind = LP_ELEMENT_FLOAT, .bits = bits, .n_levels = bits < 31 ? 1 << bits : INT32_MAX,
                        .is_signed = is_signed, .exponent = exponent, .mantissa = mantissa, .bias = bias,
                        .specials = specials};
    bool top_is_special = specials == LP_SPECIALS_IEEE || (specials == LP_SPECIALS_FN && mantissa == 0);
    int largest = (1 << exponent) - (top_is_special ? 2 : 1) - bias;
    int smallest = is_power_of_two(out) ? -bias : 1 - bias - mantissa;
    if (largest > 127 || smallest < -149) return "its range exceeds that of f32";
    return NULL;
}

static double power_of_two(int e) /* |e| <= 1022 */
{
    uint64_t bits = (uint64_t)(e + 1023) << 52;
    double d;
    memcpy(&d, &bits, sizeof d);
    return d;
}

static double float_value(const lp_element *e, uint32_t code)
{
    uint32_t mantissa_mask = (1u << e->mantissa) - 1, exponent_mask = (1u << e->exponent) - 1;
    uint32_t mantissa = code & mantissa_mask, exponent = code >> e->mantissa & exponent_mask;
    bool negative = e->is_signed && code >> (e->bits - 1) & 1;
    switch (e->specials) {
    case LP_SPECIALS_IEEE:
        if (exponent == exponent_mask && mantissa) return NAN;
        if (exponent == exponent_mask) return negative ? -INFINITY : INFINITY;
        break;
    case LP_SPECIALS_FN:
        if (exponent == exponent_mask && mantissa == mantissa_mask) return NAN;
        break;
    case LP_SPECIALS_FNUZ:
        if (negative && exponent == 0 && mantissa == 0) return NAN;
        break;
    case LP_SPECIALS_NONE: break;
    }
    double fraction = (double)mantissa * power_of_two(-e->mantissa), value;
    if (is_power_of_two(e)) value = power_of_two((int)exponent - e->bias);
    else if (exponent) value = (1 + fraction) * power_of_two((int)exponent - e->bias);
    else value = fraction * power_of_two(1 - e->bias);
    return negative ? -value : value;
}

double lp_element_value(const lp_element *element, uint32_t code)
{
    int bits = element->bits;
    if (bits < 32 && code >> bits) return NAN;
    if (element->kind != LP_ELEMENT_FLOAT && code >= (uint32_t)element->n_levels) return NAN;
    switch (element->kind) {
    case LP_ELEMENT_INT:
        if (!element->is_signed) return (double)code;
        if (element->n_levels < 1 << bits) return (double)code - (double)(element->n_levels / 2); /* t: -1 0 1 */
        return (double)code - (code >> (bits - 1) ? power_of_two(bits) : 0);
    case LP_ELEMENT_BIPOLAR: return 2 * (double)code - (power_of_two(bits) - 1);
    case LP_ELEMENT_FLOAT: return float_value(element, code);
    case LP_ELEMENT_TABLE: return (double)element->table[code];
    case LP_ELEMENT_FIXED:
        return ((double)code - (code >> (bits - 1) ? power_of_two(bits) : 0)) * power_of_two(-element->fraction);
    }
    return NAN;
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

typedef struct word_reader {
    const char *at, *end;
} word_reader;

/* Reads one or two digits without a leading zero; -1 if there is none. */
static int read_number(word_reader *r)
{
    const char *first = r->at;
    int v = 0;
    while (r->at < r->end && *r->at >= '0' && *r->at <= '9' && r->at - first < 3) v = v * 10 + (*r->at++ - '0');
    if (r->at == first || r->at - first > 2 || (*first == '0' && r->at - first > 1)) return -1;
    return v;
}

static bool read_char(word_reader *r, char c)
{
    if (r->at == r->end || *r->at != c) return false;
    r->at++;
    return true;
}

static bool rest_is(const word_reader *r, const char *text)
{
    size_t n = (size_t)(r->end - r->at);
    return strlen(text) == n && memcmp(r->at, text, n) == 0;
}

/* uN, iN, bN. */
static bool parse_integer(word_reader r, lp_element *out, const char **why)
{
    char letter = *r.at++;
    int bits = read_number(&r);
    if (bits < 0 || r.at != r.end) return false;
    if (letter == 'u' && (bits < 1 || bits > 16)) *why = "an unsigned integer has 1 to 16 bits";
    if (letter == 'i' && (bits < 2 || bits > 16)) *why = "a signed integer has 2 to 16 bits";
    if (letter == 'b' && (bits < 1 || bits > 8)) *why = "a bipolar integer has 1 to 8 bits";
    if (*why) return false;
    *out = (lp_element){.kind = letter == 'b' ? LP_ELEMENT_BIPOLAR : LP_ELEMENT_INT, .bits = bits, .n_levels = 1 << bits,
                        .is_signed = letter != 'u'};
    return true;
}

/* qI.F: a sign, I integer bits, F fraction bits. */
static bool parse_fixed(word_reader r, lp_element *out, const char **why)
{
    r.at++;
    int integer = read_number(&r);
    if (integer < 0 || !read_char(&r, '.')) return false;
    int fraction = read_number(&r);
    if (fraction < 0 || r.at != r.end) return false;
    int bits = 1 + integer + fraction;
    if (bits < 2 || bits > 16) {
        *why = "fixed point has 2 to 16 bits, the sign included";
        return false;
    }
    *out = (lp_element){.kind = LP_ELEMENT_FIXED, .bits = bits, .n_levels = 1 << bits, .is_signed = true,
                        .fraction = fraction};
    return true;
}

/* [u]eXmY and a suffix for the special values. */
static bool parse_float(word_reader r, lp_element *out, const char **why)
{
    bool is_signed = !read_char(&r, 'u');
    if (!read_char(&r, 'e')) return false;
    int exponent = read_number(&r);
    if (exponent < 0 || !read_char(&r, 'm')) return false;
    int mantissa = read_number(&r);
    if (mantissa < 0) return false;
    if (exponent == 8 && mantissa == 0) is_signed = false; /* OCP's name of the scale leaves the u out */
    int specials = (int)default_specials(is_signed, exponent, mantissa);
    if (r.at != r.end) {
        for (specials = 0; specials < N_SPECIALS && !rest_is(&r, special_names[specials]);) specials++;
        if (specials == N_SPECIALS) {
            *why = "after the widths of a float stands nothing, or ieee, fn, fnuz or none";
            return false;
        }
    }
    *why = make_float(is_signed, exponent, mantissa, (lp_specials)specials, out);
    return *why == NULL;
}

/* Elements of the plan that this version does not compute. */
static const char *not_built(word_reader r)
{
    if (rest_is(&r, "f64")) return "f64 is not built; the widest float is f32";
    if (rest_is(&r, "dyn8")) return "the dynamic 8-bit map dyn8 is not built; scales may be f32, f16, bf16 or integers";
    char letter = *r.at++;
    if (read_number(&r) < 0) return NULL;
    if (letter == 'p' && (r.at == r.end || *r.at == '.'))
        return "posits are not built; minifloats are written e4m3, fixed point q3.4";
    if (letter == 's' && r.at == r.end) return "powers of two are not built; e3m0 has a zero and seven powers of each sign";
    if (letter == 'c' && r.at == r.end) return "complex elements are not built";
    return NULL;
}

bool lp_element_parse(const char *word, size_t n, lp_element *out, const char **why)
{
    word_reader r = {word, word + n};
    *why = NULL;
    if (n == 0) return false;
    if (rest_is(&r, "t")) {
        *out = (lp_element){.kind = LP_ELEMENT_INT, .bits = 2, .n_levels = 3, .is_signed = true};
        return true;
    }
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (rest_is(&r, tables[i].name)) {
            *out = (lp_element){.kind = LP_ELEMENT_TABLE, .bits = 4, .n_levels = 16, .is_signed = true,
                                .table = tables[i].values, .table_name = tables[i].name};
            return true;
        }
    for (int i = 0; i < N_FLOAT_NAMES; i++)
        if (rest_is(&r, float_names[i].name))
            return make_float(true, float_names[i].exponent, float_names[i].mantissa, LP_SPECIALS_IEEE, out) == NULL;
    bool parsed = false;
    if (*word == 'u' || *word == 'i' || *word == 'b') parsed = parse_integer(r, out, why);
    if (*word == 'q') parsed = parse_fixed(r, out, why);
    if (!parsed && !*why && (*word == 'e' || *word == 'u')) parsed = parse_float(r, out, why);
    if (!parsed && !*why) *why = not_built(r);
    return parsed;
}

void lp_element_print(const lp_element *e, char buffer[32])
{
    enum { N = 32 };
    switch (e->kind) {
    case LP_ELEMENT_INT:
        if (e->n_levels == 3 && e->is_signed) snprintf(buffer, N, "t");
        else snprintf(buffer, N, "%c%d", e->is_signed ? 'i' : 'u', e->bits);
        return;
    case LP_ELEMENT_BIPOLAR: snprintf(buffer, N, "b%d", e->bits); return;
    case LP_ELEMENT_TABLE: snprintf(buffer, N, "%s", e->table_name); return;
    case LP_ELEMENT_FIXED: snprintf(buffer, N, "q%d.%d", e->bits - 1 - e->fraction, e->fraction); return;
    case LP_ELEMENT_FLOAT: break;
    }
    for (int i = 0; i < N_FLOAT_NAMES; i++)
        if (e->is_signed && e->specials == LP_SPECIALS_IEEE && e->exponent == float_names[i].exponent &&
            e->mantissa == float_names[i].mantissa) {
            snprintf(buffer, N, "%s", float_names[i].name);
            return;
        }
    bool leave_u_out = e->exponent == 8 && e->mantissa == 0;
    bool is_default = e->specials == default_specials(e->is_signed, e->exponent, e->mantissa);
    snprintf(buffer, N, "%se%dm%d%s", e->is_signed || leave_u_out ? "" : "u", e->exponent, e->mantissa,
             is_default ? "" : special_names[e->specials]);
}

bool lp_element_equal(const lp_element *a, const lp_element *b)
{
    if (a->kind != b->kind || a->bits != b->bits || a->n_levels != b->n_levels || a->is_signed != b->is_signed) return false;
    switch (a->kind) {
    case LP_ELEMENT_INT:
    case LP_ELEMENT_BIPOLAR: return true;
    case LP_ELEMENT_FLOAT:
        return a->exponent == b->exponent && a->mantissa == b->mantissa && a->bias == b->bias && a->specials == b->specials;
    case LP_ELEMENT_TABLE: return strcmp(a->table_name, b->table_name) == 0;
    case LP_ELEMENT_FIXED: return a->fraction == b->fraction;
    }
    return false;
}
