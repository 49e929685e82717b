/* Elements: what one code means. Words to elements and back, and the exact value of every code. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/function.h"
#include "format/rounder.h"
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

/* The FP4 table of XR-NPE's source (posit.md): no subnormal, and not E2M1. */
static const float xrfp4[16] = {0, 0.25f, 0.375f, 0.5f, 0.75f, 1, 1.5f, 2,
                                -0.0f, -0.25f, -0.375f, -0.5f, -0.75f, -1, -1.5f, -2};

/* BitMoD (bitmod-datatypes.md): small floats whose code of -0 has a special value: extra resolution (er) or extra
 * asymmetry (ea), positive or negative. */
#define BITMOD3(NAME, SPECIAL) static const float NAME[8] = {0, 1, 2, 4, SPECIAL, -1, -2, -4}
#define BITMOD4(NAME, SPECIAL) \
    static const float NAME[16] = {0, 1, 2, 3, 4, 6, 8, 12, SPECIAL, -1, -2, -3, -4, -6, -8, -12}
BITMOD3(bm3erp, 3);
BITMOD3(bm3ern, -3);
BITMOD3(bm3eap, 6);
BITMOD3(bm3ean, -6);
BITMOD4(bm4erp, 10);
BITMOD4(bm4ern, -10);
BITMOD4(bm4eap, 16);
BITMOD4(bm4ean, -16);

/* Fixed points of "code = median of its cell, edge = midpoint of codes" for N(0, 1) (ternary-binary.md). */
static const float an1[2] = {-0.674490f, 0.674490f};
static const float an2[4] = {-1.265720f, -0.377754f, 0.377754f, 1.265720f};
static const float an3[8] = {-1.792025f, -1.113729f, -0.625420f, -0.202624f, 0.202624f, 0.625420f, 1.113729f, 1.792025f};

static const struct {
    const char *name;
    const float *values;
    int bits; /* 2^bits values */
    lp_tie tie;
} tables[] = {{"nf4", nf4, 4, LP_TIE_LOWER},       {"fp4", fp4, 4, LP_TIE_SMALLER},     {"af4", af4, 4, LP_TIE_LOWER},
              {"iq4nl", iq4nl, 4, LP_TIE_UPPER},   {"e2m1uz", e2m1uz, 4, LP_TIE_SMALLER}, {"dyn8", lp_dyn8, 8, LP_TIE_LOWER},
              {"xrfp4", xrfp4, 4, LP_TIE_EVEN_CODE}, {"bm3erp", bm3erp, 3, LP_TIE_LOWER}, {"bm3ern", bm3ern, 3, LP_TIE_LOWER},
              {"bm3eap", bm3eap, 3, LP_TIE_LOWER}, {"bm3ean", bm3ean, 3, LP_TIE_LOWER},   {"bm4erp", bm4erp, 4, LP_TIE_LOWER},
              {"bm4ern", bm4ern, 4, LP_TIE_LOWER}, {"bm4eap", bm4eap, 4, LP_TIE_LOWER},   {"bm4ean", bm4ean, 4, LP_TIE_LOWER},
              {"an1", an1, 1, LP_TIE_UPPER},       {"an2", an2, 2, LP_TIE_UPPER},         {"an3", an3, 3, LP_TIE_UPPER}};

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

static int default_bias(int exponent, lp_specials specials)
{
    return (1 << (exponent - 1)) - (specials == LP_SPECIALS_FNUZ ? 0 : 1);
}

/* NULL, or why the element is refused: every value must be a float32. bias NULL: the usual one. */
static const char *make_float(bool is_signed, int exponent, int mantissa, lp_specials specials, const int *own_bias,
                              lp_element *out)
{
    if (exponent < 1 || exponent > 8) return "a float has 1 to 8 exponent bits";
    if (mantissa > 23) return "a float has at most 23 mantissa bits";
    if (specials == LP_SPECIALS_FNUZ && !is_signed) return "fnuz needs a sign";
    int bits = is_signed + exponent + mantissa;
    int bias = own_bias ? *own_bias : default_bias(exponent, specials);
    *out = (lp_element){.kind = LP_ELEMENT_FLOAT, .bits = bits, .n_levels = bits < 31 ? 1 << bits : INT32_MAX,
                        .is_signed = is_signed, .exponent = exponent, .mantissa = mantissa, .bias = bias,
                        .specials = specials};
    bool top_is_special = specials == LP_SPECIALS_IEEE || (specials == LP_SPECIALS_FN && mantissa == 0);
    int largest = (1 << exponent) - (top_is_special ? 2 : 1) - bias;
    int smallest = is_power_of_two(out) ? -bias : 1 - bias - mantissa;
    if (largest > 127 || smallest < -149) return "its range exceeds that of f32";
    if (specials == LP_SPECIALS_IEEE && exponent + mantissa == 1) return "none of its codes but 0 is finite";
    if (specials == LP_SPECIALS_FN && exponent + mantissa == 1 && is_signed) return "none of its codes but 0 is finite";
    return NULL;
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
    double fraction = (double)mantissa * lp_power_of_two(-e->mantissa), value;
    if (is_power_of_two(e)) value = lp_power_of_two((int)exponent - e->bias);
    else if (exponent) value = (1 + fraction) * lp_power_of_two((int)exponent - e->bias);
    else value = fraction * lp_power_of_two(1 - e->bias);
    return negative ? -value : value;
}

/* Posit Standard 2022, section 3.4, for any es: regime, exponent and fraction behind the sign (posit.md). */
static double posit_value(int n, int es, uint32_t code)
{
    uint32_t mask = (n < 32 ? 1u << n : 0) - 1, nar = 1u << (n - 1);
    if (code == 0) return 0;
    if (code == nar) return NAN;
    bool negative = code & nar;
    if (negative) code = -code & mask;
    int at = n - 2, run = 0; /* at: next bit */
    uint32_t first = code >> at & 1;
    while (at >= 0 && (code >> at & 1) == first) at--, run++;
    at--; /* the terminating bit, if there is one */
    int k = first ? run - 1 : -run, exponent = 0;
    for (int i = 0; i < es; i++, at--) exponent = exponent * 2 + (at >= 0 ? (int)(code >> at & 1) : 0);
    double fraction = 0;
    if (at >= 0) fraction = (double)(code & ((1u << (at + 1)) - 1)) * lp_power_of_two(-(at + 1));
    double value = (1 + fraction) * lp_power_of_two(k * (1 << es) + exponent);
    return negative ? -value : value;
}

static double power_value(const lp_element *e, uint32_t code)
{
    uint32_t top = 1u << (e->bits - 1), k = code & (top - 1);
    bool has_zero = e->n_levels < 1 << e->bits;
    if (has_zero && k == 0) return code ? NAN : 0;
    double value = lp_power_of_two((int)k - has_zero);
    return code & top ? -value : value;
}

/* Whole 1/a as products, which are right to the last bit but a few; others by exp and log. */
double lp_exponent_value(const lp_element *e, double q)
{
    double x = fabs(q) / (double)((1 << (e->bits - 1)) - 1), y = x;
    int n = 1000 % e->fraction == 0 ? 1000 / e->fraction : 0;
    if (n == 0 || n > 8) y = x == 0 || x == 1 ? x : lp_exp(lp_log(x) * 1000 / e->fraction);
    for (int i = 1; i < n && n <= 8; i++) y *= x;
    return q < 0 ? -y : y;
}

static double exponent_code_value(const lp_element *e, uint32_t code)
{
    uint32_t top = 1u << (e->bits - 1);
    if (code == top) return NAN; /* not in use: the range is symmetric */
    double q = (double)code - (code > top ? 2.0 * top : 0);
    return (double)(float)lp_exponent_value(e, q);
}

static const signed char quarter_turns[] = {1, 0, -1, 0};

double lp_element_imaginary(const lp_element *element, uint32_t code)
{
    return element->kind == LP_ELEMENT_COMPLEX ? quarter_turns[(code + 3) % 4] : 0;
}

double lp_element_value(const lp_element *element, uint32_t code)
{
    int bits = element->bits;
    if (bits < 32 && code >> bits) return NAN;
    bool is_listed = element->kind == LP_ELEMENT_INT || element->kind == LP_ELEMENT_TABLE;
    if (is_listed && code >= (uint32_t)element->n_levels) return NAN;
    switch (element->kind) {
    case LP_ELEMENT_INT:
        if (!element->is_signed) return (double)code;
        if (element->n_levels < 1 << bits) return (double)code - (double)(element->n_levels / 2); /* t: -1 0 1 */
        return (double)code - (code >> (bits - 1) ? lp_power_of_two(bits) : 0);
    case LP_ELEMENT_BIPOLAR: return 2 * (double)code - (lp_power_of_two(bits) - 1);
    case LP_ELEMENT_FLOAT: return float_value(element, code);
    case LP_ELEMENT_TABLE: return (double)(element->table ? element->table : element->own_table)[code];
    case LP_ELEMENT_FIXED: {
        bool negative = element->is_signed && code >> (bits - 1);
        return ((double)code - (negative ? lp_power_of_two(bits) : 0)) * lp_power_of_two(-element->fraction);
    }
    case LP_ELEMENT_POSIT: return posit_value(bits, element->exponent, code);
    case LP_ELEMENT_POWER: return power_value(element, code);
    case LP_ELEMENT_EXPONENT: return exponent_code_value(element, code);
    case LP_ELEMENT_COMPLEX: return quarter_turns[code];
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

static bool read_text(word_reader *r, const char *text)
{
    size_t n = strlen(text);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, text, n) != 0) return false;
    r->at += n;
    return true;
}

static bool rest_is(const word_reader *r, const char *text)
{
    size_t n = (size_t)(r->end - r->at);
    return strlen(text) == n && memcmp(r->at, text, n) == 0;
}

/* A number with an optional minus sign and up to three digits, into *out. */
static bool read_signed(word_reader *r, int *out)
{
    bool minus = read_char(r, '-');
    int hundreds = 0;
    if (r->end - r->at >= 3 && r->at[0] >= '1' && r->at[0] <= '9' && r->at[1] >= '0' && r->at[1] <= '9' && r->at[2] >= '0' &&
        r->at[2] <= '9') {
        hundreds = 100 * (r->at[0] - '0') + 10 * (r->at[1] - '0') + (r->at[2] - '0');
        r->at += 3;
        *out = minus ? -hundreds : hundreds;
        return true;
    }
    int v = read_number(r);
    if (v < 0 || (minus && v == 0)) return false;
    *out = minus ? -v : v;
    return true;
}

/* uN, iN, bN, and fixed point: iNfF, uNfF. */
static bool parse_integer(word_reader r, lp_element *out, const char **why)
{
    char letter = *r.at++;
    int bits = read_number(&r), fraction = 0;
    bool is_fixed = bits >= 0 && letter != 'b' && read_char(&r, 'f');
    if (bits < 0 || (is_fixed && !read_signed(&r, &fraction)) || r.at != r.end) return false;
    if (fraction < -99 || fraction > 99) *why = "the binary point of fixed point stands -99 to 99 bits from the end";
    if (letter == 'u' && (bits < 1 || bits > 16)) *why = "an unsigned integer has 1 to 16 bits";
    if (letter == 'i' && (bits < 2 || bits > 16)) *why = "a signed integer has 2 to 16 bits";
    if (letter == 'b' && (bits < 1 || bits > 8)) *why = "a bipolar integer has 1 to 8 bits";
    if (*why) return false;
    *out = (lp_element){.kind = letter == 'b' ? LP_ELEMENT_BIPOLAR : fraction ? LP_ELEMENT_FIXED : LP_ELEMENT_INT,
                        .bits = bits, .n_levels = 1 << bits, .is_signed = letter != 'u', .fraction = fraction};
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

/* pN.ES */
static bool parse_posit(word_reader r, lp_element *out, const char **why)
{
    r.at++;
    int bits = read_number(&r);
    if (bits < 0 || !read_char(&r, '.')) return false;
    int es = read_number(&r);
    if (es < 0 || r.at != r.end) return false;
    if (bits < 3 || bits > 16) *why = "a posit has 3 to 16 bits";
    else if (es > bits - 3) *why = "a posit has at most n - 3 exponent bits";
    else if ((bits - 2) << es > 126) *why = "its range exceeds that of f32: (n - 2) 2^es is more than 126";
    if (*why) return false;
    *out = (lp_element){.kind = LP_ELEMENT_POSIT, .bits = bits, .n_levels = 1 << bits, .is_signed = true, .exponent = es};
    return true;
}

/* aN.EEE */
static bool parse_exponent(word_reader r, lp_element *out, const char **why)
{
    r.at++;
    int bits = read_number(&r), thousandths = 0;
    if (bits < 0 || !read_char(&r, '.') || r.end - r.at != 3) return false;
    for (; r.at < r.end; r.at++) {
        if (*r.at < '0' || *r.at > '9') return false;
        thousandths = 10 * thousandths + (*r.at - '0');
    }
    if (bits < 2 || bits > 8) *why = "power exponents have 2 to 8 bits";
    else if (thousandths < 100) *why = "the exponent is 0.100 to 0.999 (1 is a plain integer)";
    if (*why) return false;
    *out = (lp_element){.kind = LP_ELEMENT_EXPONENT, .bits = bits, .n_levels = (1 << bits) - 1, .is_signed = true,
                        .fraction = thousandths};
    return true;
}

/* sN, sNz */
static bool parse_power(word_reader r, lp_element *out, const char **why)
{
    r.at++;
    int bits = read_number(&r);
    bool has_zero = bits >= 0 && read_char(&r, 'z');
    if (bits < 0 || r.at != r.end) return false;
    if (bits < 1 + has_zero || bits > 8) {
        *why = has_zero ? "powers of two with zero have 2 to 8 bits" : "powers of two have 1 to 8 bits";
        return false;
    }
    *out = (lp_element){.kind = LP_ELEMENT_POWER, .bits = bits, .n_levels = (1 << bits) - has_zero, .is_signed = true};
    return true;
}

/* [u]eXmY, a suffix for the special values, and bBIAS. */
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
    /* fnuz before fn, which it begins with */
    static const lp_specials order[N_SPECIALS] = {LP_SPECIALS_FNUZ, LP_SPECIALS_FN, LP_SPECIALS_IEEE, LP_SPECIALS_NONE};
    for (int i = 0; i < N_SPECIALS; i++)
        if (read_text(&r, special_names[order[i]])) {
            specials = (int)order[i];
            break;
        }
    int bias;
    bool has_bias = read_char(&r, 'b'), is_wrong = has_bias && !read_signed(&r, &bias);
    if (is_wrong || r.at != r.end) {
        *why = "after the widths of a float stands nothing, or ieee, fn, fnuz or none, and b with a bias";
        return false;
    }
    *why = make_float(is_signed, exponent, mantissa, (lp_specials)specials, has_bias ? &bias : NULL, out);
    return *why == NULL;
}

bool lp_element_parse(const char *word, size_t n, lp_element *out, const char **why)
{
    word_reader r = {word, word + n};
    *why = NULL;
    if (n == 0) return false;
    if (rest_is(&r, "t")) {
        *out = (lp_element){.kind = LP_ELEMENT_INT, .bits = 2, .n_levels = 3, .is_signed = true, .tie = LP_TIE_SMALLER};
        return true;
    }
    if (rest_is(&r, "c2")) {
        *out = (lp_element){.kind = LP_ELEMENT_COMPLEX, .bits = 2, .n_levels = 4, .is_signed = true};
        return true;
    }
    if (rest_is(&r, "f64")) {
        *why = "the widest float is f32";
        return false;
    }
    for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++)
        if (rest_is(&r, tables[i].name)) {
            *out = (lp_element){.kind = LP_ELEMENT_TABLE, .bits = tables[i].bits, .n_levels = 1 << tables[i].bits,
                                .is_signed = true, .table = tables[i].values, .table_name = tables[i].name,
                                .tie = tables[i].tie};
            return true;
        }
    for (int i = 0; i < N_FLOAT_NAMES; i++)
        if (rest_is(&r, float_names[i].name))
            return make_float(true, float_names[i].exponent, float_names[i].mantissa, LP_SPECIALS_IEEE, NULL, out) == NULL;
    bool parsed = false;
    if (*word == 'u' || *word == 'i' || *word == 'b') parsed = parse_integer(r, out, why);
    if (*word == 'q') parsed = parse_fixed(r, out, why);
    if (!parsed && !*why && (*word == 'e' || *word == 'u')) parsed = parse_float(r, out, why);
    if (*word == 'p') parsed = parse_posit(r, out, why);
    if (*word == 'a') parsed = parse_exponent(r, out, why);
    if (*word == 's') parsed = parse_power(r, out, why);
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
    case LP_ELEMENT_TABLE: snprintf(buffer, N, "%s", e->table_name ? e->table_name : "{...}"); return;
    case LP_ELEMENT_FIXED:
        if (e->is_signed && e->fraction >= 0 && e->fraction < e->bits)
            snprintf(buffer, N, "q%d.%d", e->bits - 1 - e->fraction, e->fraction);
        else
            snprintf(buffer, N, "%c%df%d", e->is_signed ? 'i' : 'u', e->bits, e->fraction);
        return;
    case LP_ELEMENT_POSIT: snprintf(buffer, N, "p%d.%d", e->bits, e->exponent); return;
    case LP_ELEMENT_POWER: snprintf(buffer, N, "s%d%s", e->bits, e->n_levels < 1 << e->bits ? "z" : ""); return;
    case LP_ELEMENT_EXPONENT: snprintf(buffer, N, "a%d.%03d", e->bits, e->fraction); return;
    case LP_ELEMENT_COMPLEX: snprintf(buffer, N, "c2"); return;
    case LP_ELEMENT_FLOAT: break;
    }
    for (int i = 0; i < N_FLOAT_NAMES; i++)
        if (e->is_signed && e->specials == LP_SPECIALS_IEEE && e->exponent == float_names[i].exponent &&
            e->mantissa == float_names[i].mantissa && e->bias == default_bias(e->exponent, e->specials)) {
            snprintf(buffer, N, "%s", float_names[i].name);
            return;
        }
    bool leave_u_out = e->exponent == 8 && e->mantissa == 0;
    bool is_default = e->specials == default_specials(e->is_signed, e->exponent, e->mantissa);
    int n = snprintf(buffer, N, "%se%dm%d%s", e->is_signed || leave_u_out ? "" : "u", e->exponent, e->mantissa,
                     is_default ? "" : special_names[e->specials]);
    if (e->bias != default_bias(e->exponent, e->specials)) snprintf(buffer + n, (size_t)(N - n), "b%d", e->bias);
}

bool lp_element_equal(const lp_element *a, const lp_element *b)
{
    if (a->kind != b->kind || a->bits != b->bits || a->n_levels != b->n_levels || a->is_signed != b->is_signed) return false;
    switch (a->kind) {
    case LP_ELEMENT_INT:
    case LP_ELEMENT_BIPOLAR:
    case LP_ELEMENT_POWER:
    case LP_ELEMENT_COMPLEX: return true;
    case LP_ELEMENT_POSIT: return a->exponent == b->exponent;
    case LP_ELEMENT_FLOAT:
        return a->exponent == b->exponent && a->mantissa == b->mantissa && a->bias == b->bias && a->specials == b->specials;
    case LP_ELEMENT_TABLE:
        if (a->table_name && b->table_name) return strcmp(a->table_name, b->table_name) == 0;
        return !a->table_name && !b->table_name && memcmp(a->own_table, b->own_table, sizeof a->own_table) == 0;
    case LP_ELEMENT_FIXED:
    case LP_ELEMENT_EXPONENT: return a->fraction == b->fraction;
    }
    return false;
}
