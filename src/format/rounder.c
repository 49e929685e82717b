/* Making a rounder: which rules fit which elements. */
#include "format/rounder.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "format/text.h"

static const char *const mode_names[] = {"nearest-even", "nearest-away", "nearest-zero", "half-up", "half-down", "toward-zero",
                                         "up", "down", "odd", "stochastic", "stochastic-equal"};
_Static_assert(sizeof mode_names / sizeof *mode_names == LP_ROUND_MODE_COUNT, "one name per mode");

static const char *const overflow_names[] = {"saturate", "symmetric", "zero", "infinity", "nan", "wrap"};
_Static_assert(sizeof overflow_names / sizeof *overflow_names == LP_OVERFLOW_COUNT, "one name per rule");

static const char *const subnormal_names[] = {"keep", "flush", "none"};
_Static_assert(sizeof subnormal_names / sizeof *subnormal_names == LP_SUBNORMALS_COUNT, "one name per rule");

const char *lp_rounding_mode_name(lp_rounding_mode mode)
{
    return (unsigned)mode < LP_ROUND_MODE_COUNT ? mode_names[mode] : NULL;
}

const char *lp_overflow_name(lp_overflow overflow)
{
    return (unsigned)overflow < LP_OVERFLOW_COUNT ? overflow_names[overflow] : NULL;
}

const char *lp_subnormals_name(lp_subnormals subnormals)
{
    return (unsigned)subnormals < LP_SUBNORMALS_COUNT ? subnormal_names[subnormals] : NULL;
}

/* ---- the value sets ---------------------------------------------------------------------------------------------- */

static void make_float(lp_rounder *r)
{
    const lp_element *e = &r->element;
    r->no_zero = !e->is_signed && e->mantissa == 0; /* bare powers of two */
    r->mantissa = e->mantissa;
    r->e_min = (r->no_zero ? 0 : 1) - e->bias;
    int64_t all = INT64_C(1) << (e->exponent + e->mantissa), top = all - 1;
    r->has_infinity = e->specials == LP_SPECIALS_IEEE;
    r->has_nan = e->specials == LP_SPECIALS_FN || e->specials == LP_SPECIALS_FNUZ || (r->has_infinity && e->mantissa > 0);
    r->has_negative_zero = e->is_signed && e->specials != LP_SPECIALS_FNUZ;
    if (e->specials == LP_SPECIALS_IEEE) top -= INT64_C(1) << e->mantissa;
    if (e->specials == LP_SPECIALS_FN) top--;
    r->top[0] = top;
    r->top[1] = e->is_signed ? top : 0;
}

static void make_integer(lp_rounder *r)
{
    const lp_element *e = &r->element;
    r->is_uniform = true;
    r->mantissa = 0;
    r->e_min = -e->fraction;
    bool is_ternary = e->is_signed && e->n_levels < 1 << e->bits;
    int64_t half = INT64_C(1) << (e->bits - 1);
    r->top[0] = !e->is_signed ? 2 * half - 1 : is_ternary ? e->n_levels / 2 : half - 1;
    r->top[1] = !e->is_signed ? 0 : is_ternary ? e->n_levels / 2 : half;
}

typedef struct coded_value {
    double value;
    uint32_t code;
} coded_value;

/* Equal values side by side, the lowest code first: it is the one that is written. +0 and -0 are equal. */
static int by_value(const void *a, const void *b)
{
    const coded_value *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return x->code < y->code ? -1 : x->code > y->code;
}

static void make_table(lp_rounder *r)
{
    coded_value all[256];
    int n = 0;
    for (uint32_t code = 0; code < 1u << r->element.bits; code++) {
        double value = lp_element_value(&r->element, code);
        if (!isnan(value)) all[n++] = (coded_value){value, code};
    }
    qsort(all, (size_t)n, sizeof *all, by_value);
    for (int i = 0; i < n; i++) {
        if (r->n && r->value[r->n - 1] == all[i].value) continue;
        r->value[r->n] = all[i].value + 0.0; /* -0 is written as 0 */
        r->code[r->n++] = (uint8_t)all[i].code;
    }
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static lp_status refuse(const lp_element *element, const char *what, const char *advice)
{
    char text[32];
    lp_element_print(element, text);
    lp_fail(LP_USAGE, "rounding to %s: %s", text, what);
    return advice ? lp_hint(LP_USAGE, "%s", advice) : LP_USAGE;
}

static lp_status check_rules(const lp_rounder *r)
{
    const lp_rounding *rule = &r->rounding;
    const lp_element *e = &r->element;
    if ((unsigned)rule->mode >= LP_ROUND_MODE_COUNT || (unsigned)rule->overflow >= LP_OVERFLOW_COUNT ||
        (unsigned)rule->subnormals >= LP_SUBNORMALS_COUNT)
        return lp_fail(LP_USAGE, "rounding: no such rule (mode %d, overflow %d, subnormals %d)", (int)rule->mode,
                       (int)rule->overflow, (int)rule->subnormals);
    if (rule->random_bits < 0 || rule->random_bits > 32)
        return lp_fail(LP_USAGE, "rounding: %d random bits, 1 to 32 are possible", rule->random_bits);
    bool is_ternary = e->kind == LP_ELEMENT_INT && e->n_levels < 1 << e->bits;
    bool is_ladder = r->shape == LP_SHAPE_LADDER && !is_ternary; /* t is a table of three values */
    if (rule->overflow == LP_OVERFLOW_WRAP && !(r->is_uniform && is_ladder))
        return refuse(e, "only integers and fixed point wrap", "saturate, or infinity or nan where the element has them");
    if (rule->overflow == LP_OVERFLOW_INFINITY && !r->has_infinity && !r->has_nan)
        return refuse(e, "it has neither infinity nor NaN", "overflow can saturate");
    if (rule->overflow == LP_OVERFLOW_NAN && !r->has_nan) return refuse(e, "it has no NaN", "overflow can saturate");
    if (rule->overflow == LP_OVERFLOW_ZERO && r->no_zero) return refuse(e, "it has no zero", "overflow can saturate");
    if (rule->overflow != LP_OVERFLOW_SATURATE && !is_ladder)
        return refuse(e, "overflow saturates in posits and tables, other rules are for floats, integers and fixed point", NULL);
    if (rule->subnormals != LP_SUBNORMALS_KEEP && (e->kind != LP_ELEMENT_FLOAT || r->no_zero))
        return refuse(e, "it has no subnormals", NULL);
    if (rule->mode == LP_ROUND_ODD && (is_ternary || r->shape == LP_SHAPE_TABLE) && e->kind != LP_ELEMENT_BIPOLAR)
        return refuse(e, "odd rounding needs neighbours with codes in turn even and odd", NULL);
    if (rule->mode != LP_ROUND_NEAREST_EVEN && r->shape == LP_SHAPE_COMPLEX)
        return refuse(e, "complex values are rounded to the nearest phase", NULL);
    return LP_OK;
}

lp_status lp_rounder_make(const lp_element *element, const lp_rounding *rounding, lp_rounder *out)
{
    memset(out, 0, offsetof(lp_rounder, value)); /* the lists beyond n are never read */
    out->element = *element;
    if (rounding) out->rounding = *rounding;
    switch (element->kind) {
    case LP_ELEMENT_FLOAT: make_float(out); break;
    case LP_ELEMENT_INT:
    case LP_ELEMENT_FIXED: make_integer(out); break;
    case LP_ELEMENT_POSIT:
        out->shape = LP_SHAPE_POSIT;
        out->has_nan = true;
        break;
    case LP_ELEMENT_COMPLEX: out->shape = LP_SHAPE_COMPLEX; break;
    case LP_ELEMENT_BIPOLAR:
    case LP_ELEMENT_EXPONENT:
    case LP_ELEMENT_POWER:
    case LP_ELEMENT_TABLE:
        out->shape = LP_SHAPE_TABLE;
        make_table(out);
        break;
    }
    LP_TRY(check_rules(out));
    int bits = out->rounding.random_bits ? out->rounding.random_bits : 32;
    out->random_mask = UINT32_MAX << (32 - bits);
    if (out->rounding.overflow == LP_OVERFLOW_SYMMETRIC && out->top[1] > out->top[0]) out->top[1] = out->top[0];
    return LP_OK;
}

lp_status lp_rounding_check(const lp_element *element, const lp_rounding *rounding)
{
    lp_rounder rounder;
    return lp_rounder_make(element, rounding, &rounder);
}
