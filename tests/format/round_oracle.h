/* Rounding by the definition: all values of an element in a list, neighbours by search, comparisons exact in float64 or
 * float128. Shares nothing with src/format but lp_element_value. */
#ifndef ROUND_ORACLE_H
#define ROUND_ORACLE_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/round.h>

#if defined(__aarch64__)
typedef long double wide_float; /* 113 bits there */
#else
typedef __float128 wide_float;
#endif

typedef struct oracle_value {
    double value;  /* >= 0 on the positive side; both sides are listed */
    uint32_t code;
} oracle_value;

typedef struct oracle {
    lp_element element;
    int n;              /* finite values, ascending, without -0 and doubles */
    oracle_value *v;
    double next[2];     /* the value beyond the end of the positive, negative side, were the set continued */
    double least_normal;
} oracle;

static int oracle_order(const void *a, const void *b)
{
    const oracle_value *x = a, *y = b;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return x->code < y->code ? -1 : x->code > y->code;
}

static inline void oracle_make(oracle *o, const lp_element *e)
{
    *o = (oracle){.element = *e};
    o->v = malloc(sizeof *o->v << e->bits);
    int n = 0;
    for (uint32_t c = 0; c < 1u << e->bits; c++) {
        double value = lp_element_value(e, c);
        if (isfinite(value)) o->v[n++] = (oracle_value){value, c};
    }
    qsort(o->v, (size_t)n, sizeof *o->v, oracle_order);
    for (int i = 0; i < n; i++)
        if (o->n == 0 || o->v[o->n - 1].value != o->v[i].value) o->v[o->n++] = o->v[i];
    const oracle_value *last = o->v + o->n - 1;
    bool doubles = e->kind == LP_ELEMENT_FLOAT && e->mantissa == 0;
    o->next[0] = doubles ? 2 * last->value : last->value + (last->value - last[-1].value);
    o->next[1] = doubles ? 2 * o->v[0].value : o->v[0].value - (o->v[1].value - o->v[0].value);
    if (e->kind == LP_ELEMENT_FLOAT) o->least_normal = ldexp(1, 1 - e->bias);
}

static inline void oracle_free(oracle *o) { free(o->v); }

/* Midpoint of a posit's codes c and c + 1: the code of one bit more, read off as a string of bits. */
static inline double posit_middle(const lp_element *e, uint32_t code)
{
    char s[40];
    int n = e->bits + 1, es = e->exponent;
    for (int i = 0; i < n; i++) s[i] = (char)('0' + ((2 * code + 1) >> (n - 1 - i) & 1));
    s[n] = 0;
    int run = (int)strspn(s + 1, s[1] == '1' ? "1" : "0"), at = 1 + run + 1;
    int k = s[1] == '1' ? run - 1 : -run;
    double exponent = 0, fraction = 1, weight = 0.5;
    for (int i = 0; i < es; i++, at++) exponent = 2 * exponent + (at < n && s[at] == '1');
    for (; at < n; at++, weight /= 2) fraction += s[at] == '1' ? weight : 0;
    return ldexp(fraction, k * (1 << es) + (int)exponent);
}

typedef struct oracle_result {
    double value;
    uint32_t code;
    bool any_code; /* NaN without a code of its own */
} oracle_result;

static oracle_result oracle_special(const oracle *o, double value, bool negative)
{
    bool has_specials = o->element.kind == LP_ELEMENT_FLOAT || o->element.kind == LP_ELEMENT_POSIT;
    for (uint32_t c = 0; has_specials && c < 1u << o->element.bits; c++) {
        double v = lp_element_value(&o->element, c);
        if ((isnan(value) && isnan(v)) || v == value) return (oracle_result){value, c, isnan(value)};
    }
    if (isinf(value) && has_specials) return oracle_special(o, NAN, negative);
    int zero = 0; /* where there is no NaN: the code of the value nearest to 0 */
    for (int i = 1; i < o->n; i++)
        if (fabs(o->v[i].value) <= fabs(o->v[zero].value)) zero = i;
    return (oracle_result){value, o->v[zero].code, false};
}

static uint32_t code_of(const oracle *o, double value)
{
    bool minus_zero = value == 0 && signbit(value);
    for (int i = 0, step = 0; step < 1; step++) {
        int low = 0, high = o->n - 1;
        while (low < high) {
            i = (low + high) / 2;
            if (o->v[i].value < value) low = i + 1;
            else high = i;
        }
        if (!minus_zero) return o->v[low].code;
    }
    return 1u << (o->element.bits - 1);
}

static bool has_negative_zero(const lp_element *e)
{
    double v = lp_element_value(e, 1u << (e->bits - 1));
    return e->kind == LP_ELEMENT_FLOAT && e->is_signed && v == 0 && signbit(v);
}

static inline oracle_result oracle_round(const oracle *o, const lp_rounding *r, double x, uint32_t word)
{
    const lp_element *e = &o->element;
    bool is_posit = e->kind == LP_ELEMENT_POSIT, negative = signbit(x);
    bool continued = e->kind == LP_ELEMENT_FLOAT || e->kind == LP_ELEMENT_INT || e->kind == LP_ELEMENT_FIXED;
    if (isnan(x) || (is_posit && isinf(x))) return oracle_special(o, NAN, false);
    int first = 0, last = o->n - 1;
    if (r->overflow == LP_OVERFLOW_SYMMETRIC && -o->v[0].value > o->v[last].value) first++;
    double least = o->v[first].value, most = o->v[last].value;
    double below = first ? o->v[0].value : o->next[1];
    if (least >= 0) below = -1; /* unsigned: whatever is below rounds to the end or is beyond it */
    /* Neighbours a <= x <= b. */
    double a, b;
    uint32_t code_a, code_b;
    bool beyond = false;
    bool skips = r->subnormals == LP_SUBNORMALS_NONE;
    if (x == 0 && lp_element_value(e, code_of(o, 0.0)) == 0) {
        double zero = negative && has_negative_zero(e) ? -0.0 : 0.0;
        return (oracle_result){zero, code_of(o, zero), false};
    }
    if (x >= most) {
        if (!continued || x == most) return (oracle_result){most, code_of(o, most), false};
        a = most, b = o->next[0];
        code_a = o->v[last].code, code_b = code_a + 1;
        if (x >= b) beyond = true;
    } else if (x < least && least >= 0) {
        /* unsigned: the lattice goes on below 0; bare powers of two take their least value */
        if (least > 0) {
            if (x >= 0) return (oracle_result){least, code_of(o, least), false};
            beyond = true;
            a = b = 0, code_a = code_b = 0;
        } else {
            double step = skips ? o->least_normal : o->v[1].value;
            a = -step, b = 0;
            code_a = 1, code_b = 0;
            if (x < a) beyond = true;
            (void)below;
        }
    } else if (x <= least) {
        if (!continued || x == least) return (oracle_result){least, code_of(o, least), false};
        a = below, b = least;
        code_b = o->v[first].code, code_a = code_b + 1;
        if (x <= a) beyond = true;
    } else {
        int low = first, high = last;
        while (high - low > 1) {
            int middle = (low + high) / 2;
            if (o->v[middle].value <= x) low = middle;
            else high = middle;
        }
        a = o->v[low].value, b = o->v[high].value;
        code_a = o->v[low].code, code_b = o->v[high].code;
        if (skips && fabs(x) < o->least_normal) {
            a = x < 0 ? -o->least_normal : 0, b = x < 0 ? 0 : o->least_normal;
            code_a = x < 0, code_b = x > 0; /* parity: 0 is even, its neighbour odd */
        }
    }
    lp_rounding_mode mode = r->mode;
    double y = NAN;
    if (!beyond && (x == a || x == b)) {
        y = x == a ? a : b;
    } else if (!beyond) {
        double inner = fabs(a) < fabs(b) ? a : b, outer = fabs(a) < fabs(b) ? b : a;
        bool across = a < 0 && b > 0;
        double middle = is_posit && !across ? copysign(posit_middle(e, (uint32_t)code_of(o, fabs(inner))), x) : 0;
        if (is_posit && inner == 0) middle = 0; /* nearest modes never reach 0 */
        else if (!is_posit) middle = (double)(((wide_float)a + (wide_float)b) / 2);
        wide_float exact_middle = is_posit ? (wide_float)middle : ((wide_float)a + (wide_float)b) / 2;
        bool lower_half = x < exact_middle, tie = x == exact_middle;
        double even = code_a & 1 ? b : a, odd = code_a & 1 ? a : b;
        if (!(code_a & 1) == !(code_b & 1)) even = odd = b;
        double nearest = lower_half ? a : b;
        if (across) inner = a, outer = b;
        double small = fabs(a) <= fabs(b) ? a : b, large = fabs(b) >= fabs(a) ? b : a;
        if (across && fabs(a) == fabs(b)) small = large = b;
        switch (mode) {
        case LP_ROUND_NEAREST_EVEN:
            if (tie && e->tie == LP_TIE_LOWER) y = a;
            else if (tie && e->tie == LP_TIE_UPPER) y = b;
            else if (tie && e->tie == LP_TIE_SMALLER) y = fabs(b) < fabs(a) ? b : a;
            else y = tie ? even : nearest;
            break;
        case LP_ROUND_NEAREST_AWAY: y = tie ? large : nearest; break;
        case LP_ROUND_NEAREST_ZERO: y = tie ? small : nearest; break;
        case LP_ROUND_HALF_UP: y = tie ? b : nearest; break;
        case LP_ROUND_HALF_DOWN: y = tie ? a : nearest; break;
        case LP_ROUND_TOWARD_ZERO: y = across ? (x < 0 ? a : b) : x > 0 ? a : b; break;
        case LP_ROUND_UP: y = b; break;
        case LP_ROUND_DOWN: y = a; break;
        case LP_ROUND_ODD: y = odd; break;
        case LP_ROUND_STOCHASTIC: {
            wide_float part = (wide_float)x - inner, whole = (wide_float)outer - inner;
            uint64_t q = (uint64_t)(part / whole * 0x1p32);
            while ((wide_float)q * whole / 0x1p32 > part * (whole < 0 ? 1 : 1) && whole > 0) q--;
            uint32_t mask = UINT32_MAX << (32 - (r->random_bits ? r->random_bits : 32));
            y = q + (word & mask) >= UINT64_C(1) << 32 ? outer : inner;
            break;
        }
        case LP_ROUND_STOCHASTIC_EQUAL: y = word >> 31 ? outer : inner; break;
        case LP_ROUND_MODE_COUNT: break;
        }
    }
    if (y > most || y < least) beyond = true;
    if (beyond) {
        double end = negative ? least : most;
        bool stops = isfinite(x) && (mode == LP_ROUND_TOWARD_ZERO || mode == LP_ROUND_ODD ||
                                     mode == (negative ? LP_ROUND_UP : LP_ROUND_DOWN));
        switch (r->overflow) {
        case LP_OVERFLOW_ZERO:
            y = negative && has_negative_zero(e) ? -0.0 : 0.0;
            break;
        case LP_OVERFLOW_INFINITY:
            if (stops) y = end;
            else return oracle_special(o, negative ? -INFINITY : INFINITY, negative);
            break;
        case LP_OVERFLOW_NAN: return oracle_special(o, NAN, negative);
        default: y = end; break;
        }
    }
    if (r->subnormals == LP_SUBNORMALS_FLUSH && fabs(y) < o->least_normal) y = 0;
    if (y == 0) y = negative && has_negative_zero(e) ? -0.0 : 0.0;
    return (oracle_result){y, code_of(o, y), false};
}

#endif
