/* Rounding one number: the specification that all other code for it must equal (pychop.md, posit.md). The number's bits
 * are an integer, a position between two neighbours is an integer and a remainder: nothing here is rounded twice. */
#include <math.h>
#include <string.h>

#include "format/rounder.h"

/* |x| = significand * 2^(exponent - 52), the leading bit at 52; x finite and not 0. */
typedef struct parts {
    uint64_t significand;
    int exponent;
} parts;

static parts parts_of(double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    uint64_t fraction = bits & ((UINT64_C(1) << 52) - 1);
    int exponent = (int)(bits >> 52 & 2047);
    if (exponent) return (parts){fraction | UINT64_C(1) << 52, exponent - 1023};
    int shift = __builtin_clzll(fraction) - 11;
    return (parts){fraction << shift, -1022 - shift};
}

/* Where |x| stands between its inner and its outer neighbour. */
typedef struct place {
    bool exact;
    int half;          /* -1, 0, 1: below, at, above the midpoint */
    uint64_t fraction; /* floor of the place * 2^32 */
    bool inner_is_odd; /* the code; the outer neighbour's is the other */
    bool negative;     /* outward is down */
} place;

/* Whether the outer neighbour is taken. */
static bool outward(const lp_rounder *r, place p, uint32_t word)
{
    if (p.exact) return false;
    switch (r->rounding.mode) {
    case LP_ROUND_NEAREST_EVEN: return p.half > 0 || (p.half == 0 && p.inner_is_odd);
    case LP_ROUND_NEAREST_AWAY: return p.half >= 0;
    case LP_ROUND_NEAREST_ZERO: return p.half > 0;
    case LP_ROUND_HALF_UP: return p.half > 0 || (p.half == 0 && !p.negative);
    case LP_ROUND_HALF_DOWN: return p.half > 0 || (p.half == 0 && p.negative);
    case LP_ROUND_TOWARD_ZERO: return false;
    case LP_ROUND_UP: return !p.negative;
    case LP_ROUND_DOWN: return p.negative;
    case LP_ROUND_ODD: return !p.inner_is_odd;
    case LP_ROUND_STOCHASTIC: return p.fraction + (word & r->random_mask) >= UINT64_C(1) << 32;
    case LP_ROUND_STOCHASTIC_EQUAL: return word >> 31;
    case LP_ROUND_MODE_COUNT: break;
    }
    return false;
}

/* ---- ladders ----------------------------------------------------------------------------------------------------- */

static double value_of(const lp_rounder *r, uint32_t code) { return lp_element_value(&r->element, code); }

static lp_rounded of_code(const lp_rounder *r, uint32_t code) { return (lp_rounded){value_of(r, code), code}; }

static lp_rounded of_rung(const lp_rounder *r, bool negative, int64_t k)
{
    const lp_element *e = &r->element;
    uint32_t mask = e->bits < 32 ? (1u << e->bits) - 1 : UINT32_MAX, code = (uint32_t)k;
    if (e->kind == LP_ELEMENT_FLOAT) {
        if (negative && (k || r->has_negative_zero)) code |= 1u << (e->bits - 1);
    } else {
        if (negative) code = -code;
        if (e->n_levels < 1 << e->bits) code += (uint32_t)e->n_levels / 2; /* ternary: 0 1 2 */
        code &= mask;
    }
    return of_code(r, code);
}

/* A NaN; where the element has no code for it, that of 0. Of an input it is positive, of an overflow signed. */
static lp_rounded of_nan(const lp_rounder *r, bool negative)
{
    const lp_element *e = &r->element;
    uint32_t code = 0;
    if (!r->has_nan) return (lp_rounded){NAN, of_rung(r, false, 0).code};
    uint32_t ones = (uint32_t)((UINT64_C(1) << (e->exponent + e->mantissa)) - 1);
    if (e->specials == LP_SPECIALS_FNUZ) return (lp_rounded){NAN, 1u << (e->bits - 1)};
    if (e->specials == LP_SPECIALS_FN) code = ones;
    if (e->specials == LP_SPECIALS_IEEE) code = (ones >> e->mantissa << e->mantissa) | 1u << (e->mantissa - 1);
    if (negative && e->is_signed) code |= 1u << (e->bits - 1);
    return (lp_rounded){NAN, code};
}

static lp_rounded of_infinity(const lp_rounder *r, bool negative)
{
    const lp_element *e = &r->element;
    if (!r->has_infinity || (negative && !e->is_signed)) return of_nan(r, negative);
    uint32_t code = (uint32_t)(((UINT64_C(1) << e->exponent) - 1) << e->mantissa);
    if (negative) code |= 1u << (e->bits - 1);
    return (lp_rounded){negative ? -INFINITY : INFINITY, code};
}

/* The end of the range; of unsigned elements below it, the least value. */
static lp_rounded of_end(const lp_rounder *r, bool negative) { return of_rung(r, negative, r->top[negative]); }

/* |x| lies beyond the last rung: k is the rung where the ladder goes on. */
static lp_rounded overflow(const lp_rounder *r, bool negative, bool is_infinite, int64_t k)
{
    lp_rounding_mode mode = r->rounding.mode;
    switch (r->rounding.overflow) {
    case LP_OVERFLOW_SATURATE:
    case LP_OVERFLOW_SYMMETRIC: break;
    case LP_OVERFLOW_ZERO: return of_rung(r, negative && r->has_negative_zero, 0);
    case LP_OVERFLOW_NAN: return of_nan(r, negative);
    case LP_OVERFLOW_INFINITY: {
        bool stops = mode == LP_ROUND_TOWARD_ZERO || mode == LP_ROUND_ODD || mode == (negative ? LP_ROUND_UP : LP_ROUND_DOWN);
        if (is_infinite || !stops) return of_infinity(r, negative);
        break;
    }
    case LP_OVERFLOW_WRAP: return is_infinite ? of_nan(r, false) : of_rung(r, negative, k);
    case LP_OVERFLOW_COUNT: break;
    }
    return of_end(r, negative);
}

static lp_rounded round_on_ladder(const lp_rounder *r, double x, uint32_t word)
{
    bool negative = signbit(x);
    if (x == 0) return of_rung(r, negative && r->has_negative_zero, 0);
    if (isinf(x)) return overflow(r, negative, true, 0);
    parts a = parts_of(x);
    if (r->no_zero && a.exponent < r->e_min) return negative ? overflow(r, true, false, 0) : of_rung(r, false, 0);
    bool is_small = a.exponent < r->e_min; /* below the least normal value, where the steps stay equal */
    bool skips = is_small && r->rounding.subnormals == LP_SUBNORMALS_NONE;
    int binade = r->is_uniform || is_small ? r->e_min : a.exponent;
    int step = skips ? r->e_min : binade - r->mantissa; /* |x| lies between multiples of 2^step */
    int shift = 52 - a.exponent + step;                 /* bits of the significand below a step */
    uint64_t k = 0, rest = 0;
    place p = {.exact = true, .half = -1, .negative = negative};
    if (shift <= 0) {
        k = shift > -64 ? a.significand << -shift : 0; /* modulo 2^64: all that wrapping needs */
        if (shift < -9 && r->rounding.overflow != LP_OVERFLOW_WRAP) return overflow(r, negative, false, 0);
    } else if (shift < 64) {
        k = a.significand >> shift;
        rest = a.significand - (k << shift);
        uint64_t half = UINT64_C(1) << (shift - 1);
        p.half = rest < half ? -1 : rest > half;
        p.fraction = shift > 32 ? rest >> (shift - 32) : rest << (32 - shift);
        p.exact = rest == 0;
    } else {
        p.exact = false;
        p.fraction = shift < 96 ? a.significand >> (shift - 32) : 0;
    }
    p.inner_is_odd = k & 1;
    if (r->no_zero) {
        k = (uint64_t)(binade - r->e_min);
        p.inner_is_odd = k & 1;
    } else if (!r->is_uniform && !is_small) {
        k += (uint64_t)(binade - r->e_min) << r->mantissa;
        p.inner_is_odd = k & 1;
    }
    bool up = outward(r, p, word);
    k = skips ? (uint64_t)up << r->mantissa : k + up;
    if (r->rounding.subnormals == LP_SUBNORMALS_FLUSH && k < UINT64_C(1) << r->mantissa) k = 0; /* also below an unsigned 0 */
    bool beyond = shift < -9 || k > (uint64_t)r->top[negative] || (negative && r->no_zero);
    if (beyond) return overflow(r, negative, false, (int64_t)k);
    return of_rung(r, negative && (k || r->has_negative_zero), (int64_t)k);
}

/* ---- positions in gaps of any size ------------------------------------------------------------------------------- */

typedef unsigned __int128 u128;

/* x / b in units of 2^-120, |x| <= |b|; what is cut off makes the last bit 1 if `up`. The callers' differences are then
 * right to the last of their 32 bits: quotients of numbers of 53 bits are no nearer to a multiple of 2^-32 than that. */
static u128 scaled(double x, int top, bool up)
{
    if (x == 0) return 0;
    parts a = parts_of(x);
    int shift = a.exponent - 52 - top + 120;
    if (shift >= 0) return (u128)a.significand << shift;
    if (shift <= -64) return up;
    u128 cut = a.significand >> -shift;
    return cut + (up && cut << -shift != a.significand);
}

/* floor(part / whole * 2^32) */
static uint64_t quotient(u128 part, u128 whole)
{
    uint64_t q = 0;
    for (int i = 0; i < 32; i++) {
        part <<= 1;
        q <<= 1;
        if (part >= whole) {
            part -= whole;
            q |= 1;
        }
    }
    return q;
}

uint64_t lp_fraction_32(double a, double x, double b)
{
    int top = parts_of(b).exponent;
    u128 from = scaled(a, top, true), at = scaled(x, top, false), to = scaled(b, top, false);
    if (at <= from) return 0;
    return quotient(at - from, to - from);
}

/* The same for a < 0 < b and any x between. */
static uint64_t fraction_across(double a, double x, double b)
{
    int top = parts_of(fabs(a) > b ? a : b).exponent;
    __int128 from = -(__int128)scaled(-a, top, false), to = (__int128)scaled(b, top, false);
    __int128 at = x < 0 ? -(__int128)scaled(-x, top, true) : (__int128)scaled(x, top, false);
    return quotient((u128)(at - from), (u128)(to - from));
}

/* -1, 0, 1: x below, at, above (a + b) / 2, exactly (two-sum). */
static int compare_with_middle(double x, double a, double b)
{
    double sum = a + b, part = sum - a, error = (a - (sum - part)) + (b - part), twice = 2 * x;
    if (twice != sum) return twice < sum ? -1 : 1;
    return error > 0 ? -1 : error < 0;
}

/* ---- posits ------------------------------------------------------------------------------------------------------ */

static lp_rounded round_to_posit(const lp_rounder *r, double x, uint32_t word)
{
    int n = r->element.bits, es = r->element.exponent;
    uint32_t nar = 1u << (n - 1), most = nar - 1, code;
    if (!isfinite(x)) return (lp_rounded){NAN, nar};
    if (x == 0) return (lp_rounded){0, 0};
    parts a = parts_of(x);
    int largest = (n - 2) << es;
    lp_rounding_mode mode = r->rounding.mode;
    bool is_nearest = mode <= LP_ROUND_HALF_DOWN;
    place p = {.negative = x < 0};
    if (a.exponent >= largest) {
        code = most;
    } else if (a.exponent < -largest) {
        if (is_nearest) {
            code = 1;
        } else {
            p.fraction = lp_fraction_32(0, fabs(x), value_of(r, 1));
            code = outward(r, p, word);
        }
    } else {
        /* The bit string: regime, exponent, 52 bits of fraction. */
        int k = a.exponent >> es, run = k >= 0 ? k + 2 : 1 - k;
        u128 regime = k >= 0 ? ((u128)1 << (k + 2)) - 2 : 1;
        u128 string = (regime << es | (u128)(unsigned)(a.exponent - k * (1 << es))) << 52 | (a.significand & ((UINT64_C(1) << 52) - 1));
        int cut = run + es + 52 - (n - 1); /* > 0: es <= n - 3 */
        code = (uint32_t)(string >> cut);
        u128 rest = string & (((u128)1 << cut) - 1), half = (u128)1 << (cut - 1);
        p.exact = rest == 0;
        p.half = rest < half ? -1 : rest > half;
        p.inner_is_odd = code & 1;
        if (mode == LP_ROUND_STOCHASTIC && !p.exact)
            p.fraction = lp_fraction_32(value_of(r, code), fabs(x), value_of(r, code + 1));
        code += outward(r, p, word);
    }
    if (p.negative) code = -code & ((nar << 1) - 1);
    return of_code(r, code);
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

/* Ties of nearest-even between values i and i + 1, as a choice of the upper. */
static bool tie_goes_up(const lp_rounder *r, int i)
{
    switch (r->element.tie) {
    case LP_TIE_LOWER: return false;
    case LP_TIE_UPPER: return true;
    case LP_TIE_SMALLER: return fabs(r->value[i + 1]) < fabs(r->value[i]);
    case LP_TIE_EVEN_CODE: break;
    }
    return r->code[i] & 1 || !(r->code[i + 1] & 1);
}

static lp_rounded round_in_table(const lp_rounder *r, double x, uint32_t word)
{
    int low = 0, high = r->n - 1;
    if (isnan(x)) {
        for (int i = 1; i < r->n; i++)
            if (fabs(r->value[i]) <= fabs(r->value[low])) low = i;
        return (lp_rounded){NAN, r->code[low]};
    }
    if (x <= r->value[low]) return (lp_rounded){r->value[low], r->code[low]};
    if (x >= r->value[high]) return (lp_rounded){r->value[high], r->code[high]};
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (r->value[middle] <= x) low = middle;
        else high = middle;
    }
    double a = r->value[low], b = r->value[high];
    int half;
    if (r->element.kind == LP_ELEMENT_EXPONENT) {
        double middle = lp_exponent_value(&r->element, low - (r->n - 1) / 2 + 0.5); /* the codes are integers in order */
        half = x < middle ? -1 : x > middle;
    } else {
        half = compare_with_middle(x, a, b);
    }
    bool up;
    if (x == a) {
        up = false;
    } else if (r->rounding.mode == LP_ROUND_NEAREST_EVEN) {
        up = half > 0 || (half == 0 && tie_goes_up(r, low));
    } else if (b <= 0) { /* both neighbours on the negative side: outward is down */
        place p = {.half = -half, .negative = true, .inner_is_odd = r->code[high] & 1};
        if (r->rounding.mode == LP_ROUND_STOCHASTIC) p.fraction = lp_fraction_32(-b, -x, -a);
        up = !outward(r, p, word);
    } else {
        place p = {.half = half, .inner_is_odd = r->code[low] & 1};
        if (a < 0 && half == 0) { /* away from zero and toward it are the same between -v and v: up */
            if (r->rounding.mode == LP_ROUND_NEAREST_AWAY) p.half = fabs(b) >= fabs(a) ? 1 : -1;
            if (r->rounding.mode == LP_ROUND_NEAREST_ZERO) p.half = fabs(b) <= fabs(a) ? 1 : -1;
        }
        if (r->rounding.mode == LP_ROUND_STOCHASTIC)
            p.fraction = a >= 0 ? lp_fraction_32(a, x, b) : fraction_across(a, x, b);
        if (a < 0 && r->rounding.mode == LP_ROUND_TOWARD_ZERO) up = x >= 0; /* each side keeps its sign */
        else up = outward(r, p, word);
    }
    int i = up ? high : low;
    return (lp_rounded){r->value[i], r->code[i]};
}

/* ---- complex ----------------------------------------------------------------------------------------------------- */

/* Quarter turns of the nearest of 1 i -1 -i; on the diagonals counter-clockwise (complex-2bit.md). */
uint32_t lp_round_complex(double re, double im)
{
    if (re == 0 && im == 0) return 0;
    if (-re <= im && im < re) return 0;
    if (im >= re && im > -re) return 1;
    return re < 0 && im > re ? 2 : 3;
}

/* ------------------------------------------------------------------------------------------------------------------ */

lp_rounded lp_round_one(const lp_rounder *r, double x, uint32_t word)
{
    switch (r->shape) {
    case LP_SHAPE_LADDER: return isnan(x) ? of_nan(r, false) : round_on_ladder(r, x, word);
    case LP_SHAPE_POSIT: return round_to_posit(r, x, word);
    case LP_SHAPE_TABLE: return round_in_table(r, x, word);
    case LP_SHAPE_COMPLEX: break;
    }
    return of_code(r, lp_round_complex(x, 0));
}
