/* The constants of the branch-free loops. */
#include "format/round_lanes.h"

#include <math.h>
#include <string.h>

#include <lowp/isa.h>

#include "base/half.h"

const lp_lane_functions *lp_lane_functions_current(void)
{
    switch (lp_isa_current()) {
#if defined(__x86_64__)
    case LP_ISA_AVX2: return &lp_lane_functions_avx2;
    case LP_ISA_AVX512: return &lp_lane_functions_avx512;
#elif defined(__aarch64__)
    case LP_ISA_NEON: return &lp_lane_functions_neon;
#endif
    default: return NULL;
    }
}

static void set_rule(const lp_rounding *rule, lp_lanes *out)
{
    static const struct { /* columns: outward if above half; ties >= 0, < 0, odd; any >= 0, < 0, even */
        lp_rounding_mode mode;
        uint8_t above, tie_positive, tie_negative, tie_odd, positive, negative, even;
    } rows[] = {
        {LP_ROUND_NEAREST_EVEN, 1, 0, 0, 1, 0, 0, 0}, {LP_ROUND_NEAREST_AWAY, 1, 1, 1, 0, 0, 0, 0},
        {LP_ROUND_NEAREST_ZERO, 1, 0, 0, 0, 0, 0, 0}, {LP_ROUND_HALF_UP, 1, 1, 0, 0, 0, 0, 0},
        {LP_ROUND_HALF_DOWN, 1, 0, 1, 0, 0, 0, 0},    {LP_ROUND_TOWARD_ZERO, 0, 0, 0, 0, 0, 0, 0},
        {LP_ROUND_UP, 0, 0, 0, 0, 1, 0, 0},           {LP_ROUND_DOWN, 0, 0, 0, 0, 0, 1, 0},
        {LP_ROUND_ODD, 0, 0, 0, 0, 0, 0, 1},
    };
    out->rule = rule->mode == LP_ROUND_NEAREST_EVEN ? LP_LANE_NEAREST_EVEN
                : lp_is_stochastic(rule->mode)      ? LP_LANE_STOCHASTIC
                                                    : LP_LANE_DIRECTED;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (rows[i].mode == rule->mode) {
            out->above_half = -(uint32_t)rows[i].above;
            out->tie_positive = -(uint32_t)rows[i].tie_positive;
            out->tie_negative = -(uint32_t)rows[i].tie_negative;
            out->tie_odd = -(uint32_t)rows[i].tie_odd;
            out->any_positive = -(uint32_t)rows[i].positive;
            out->any_negative = -(uint32_t)rows[i].negative;
            out->any_even = -(uint32_t)rows[i].even;
        }
    out->seed[0] = (uint32_t)rule->seed;
    out->seed[1] = (uint32_t)(rule->seed >> 32);
    out->tensor = rule->tensor;
    out->step = rule->step;
}

static bool make_ladder(const lp_rounder *r, lp_lanes *out)
{
    enum { UNIFORM = 17 }; /* 16 bits and the limit above them */
    const lp_element *e = &r->element;
    if (r->no_zero || r->rounding.overflow == LP_OVERFLOW_WRAP) return false;
    if (!r->is_uniform && r->mantissa == 0) return false; /* the parity of a code is that of the binade */
    out->mantissa = r->is_uniform ? UNIFORM : r->mantissa;
    out->e_min = r->is_uniform ? r->e_min + UNIFORM : r->e_min;
    int e_top; /* exponent of the largest value */
    if (r->is_uniform) e_top = r->e_min + e->bits - 1;
    else e_top = r->e_min + (int)(r->top[0] >> r->mantissa) - 1;
    if (!r->is_uniform && e_top < r->e_min) e_top = r->e_min; /* subnormals only */
    out->limit = lp_power_of_two(e_top + 1);
    for (int negative = 0; negative < 2; negative++) {
        double far = negative ? -1e300 : 1e300;
        lp_rounded beyond = lp_round_one(r, far, UINT32_MAX), infinite = lp_round_one(r, far * 1e300, UINT32_MAX);
        out->beyond[negative] = beyond.value;
        out->beyond_code[negative] = beyond.code;
        out->infinite[negative] = infinite.value;
        out->infinite_code[negative] = infinite.code;
        int64_t k = r->top[negative], binade = k >> r->mantissa, rest = k - (binade << r->mantissa);
        if (r->is_uniform) out->top[negative] = (double)k * lp_power_of_two(r->e_min);
        else if (binade == 0) out->top[negative] = (double)k * lp_power_of_two(r->e_min - r->mantissa);
        else
            out->top[negative] = (double)(rest + (INT64_C(1) << r->mantissa)) *
                                 lp_power_of_two(r->e_min + (int)binade - 1 - r->mantissa);
    }
    out->nan_code = lp_round_one(r, NAN, 0).code;
    out->negative_zero = r->has_negative_zero;
    out->skip_subnormals = r->rounding.subnormals == LP_SUBNORMALS_NONE;
    out->flush_subnormals = r->rounding.subnormals == LP_SUBNORMALS_FLUSH;
    out->twos_complement = e->kind != LP_ELEMENT_FLOAT;
    out->code_add = out->twos_complement && e->n_levels < 1 << e->bits ? (uint32_t)e->n_levels / 2 : 0;
    /* The sum with 2^(e + 23 - mantissa), the step and its inverse must be normal. */
    bool fits = out->mantissa < 23 && e_top + 1 + 23 - out->mantissa <= 127 && out->e_min - out->mantissa >= -126;
    out->kind = fits ? LP_LANE_LADDER : LP_LANE_LADDER_SCALED;
    out->is_wide = out->mantissa >= 23;
    bool saturates = out->beyond[0] == out->top[0] && out->infinite[0] == out->top[0] && -out->beyond[1] == out->top[1] &&
                     -out->infinite[1] == out->top[1];
    bool is_proportional = out->rule == LP_LANE_STOCHASTIC && !out->equal;
    bool is_plain = (out->rule == LP_LANE_NEAREST_EVEN || is_proportional) && r->rounding.subnormals == LP_SUBNORMALS_KEEP;
    if (fits) { /* below 22 bits: the sum with one and a half of the power stays in its binade */
        out->is_plain = is_plain && saturates && out->mantissa < 22 && (out->negative_zero || out->twos_complement || !e->is_signed);
    } else { /* steps of the element are steps of float32's bits */
        bool overflows = isinf(out->beyond[0]) && isinf(out->infinite[0]);
        out->is_plain = is_plain && (saturates || overflows) && out->e_min == -126 && e->is_signed && out->negative_zero &&
                        !(is_proportional && out->is_wide);
        out->top_bits = lp_f32_bits(overflows ? INFINITY : (float)out->top[0]);
    }
    return true;
}

/* Orders float32 as integers, and back. */
static uint32_t order_of(float x)
{
    uint32_t u = lp_f32_bits(x);
    return u >> 31 ? ~u : u | 1u << 31;
}

static float float_at(uint32_t order) { return lp_f32_from_bits(order >> 31 ? order & ~(1u << 31) : ~order); }

static bool reaches(const lp_rounder *r, uint32_t order, double value)
{
    return lp_round_one(r, (double)float_at(order), 0).value >= value;
}

/* The borders are found by bisection: the smallest float32 that rounds to a value or beyond it. */
static bool make_few(const lp_rounder *r, lp_lanes *out)
{
    const lp_element *e = &r->element;
    if (e->bits > 4 || r->shape == LP_SHAPE_POSIT || r->shape == LP_SHAPE_COMPLEX || lp_is_stochastic(r->rounding.mode) || r->has_infinity ||
        r->rounding.overflow != LP_OVERFLOW_SATURATE)
        return false;
    lp_rounded value[16];
    int n = 0;
    for (uint32_t code = 0; code < 1u << e->bits; code++) {
        double v = lp_element_value(e, code);
        if (isnan(v)) continue;
        lp_rounded y = lp_round_one(r, v, 0); /* of several codes of one value the one that is written */
        if (y.value == 0) y = lp_round_one(r, 0, 0);
        int at = 0;
        while (at < n && value[at].value < y.value) at++;
        if (at < n && value[at].value == y.value) continue;
        memmove(value + at + 1, value + at, (size_t)(n - at) * sizeof *value);
        value[at] = y;
        n++;
    }
    for (int i = 0; i < 16; i++) {
        out->few_value[i] = (float)value[i < n ? i : n - 1].value;
        out->few_code[i] = value[i < n ? i : n - 1].code;
        out->few_border[i] = INFINITY;
        if (i == 0 || i >= n) continue;
        uint32_t low = order_of(-INFINITY), high = order_of(INFINITY); /* rounds to less; rounds to value[i] or more */
        uint32_t guess = order_of((float)((value[i - 1].value + value[i].value) / 2)); /* of all nearest modes the place */
        if (!reaches(r, guess - 2, value[i].value) && reaches(r, guess + 2, value[i].value)) {
            low = guess - 2;
            high = guess + 2;
        }
        while (high - low > 1) {
            uint32_t middle = low + (high - low) / 2;
            if (reaches(r, middle, value[i].value)) high = middle;
            else low = middle;
        }
        out->few_border[i] = float_at(high);
    }
    out->nan_code = lp_round_one(r, NAN, 0).code;
    out->negative_zero = r->has_negative_zero;
    out->kind = LP_LANE_FEW;
    return true;
}

bool lp_lanes_make(const lp_rounder *r, int64_t n, lp_lanes *out)
{
    enum { FEW_WORTH = 500 }; /* numbers that cost as much as finding the borders */
    const lp_element *e = &r->element;
    *out = (lp_lanes){.bits = e->bits};
    set_rule(&r->rounding, out);
    bool is_equal = r->rounding.mode == LP_ROUND_STOCHASTIC_EQUAL;
    out->equal = -(uint32_t)is_equal;
    out->random_mask = is_equal ? 1u << 31 : r->random_mask;
    out->sign_bit = 1u << (e->bits - 1);
    out->code_mask = e->bits < 32 ? (1u << e->bits) - 1 : UINT32_MAX;
    if (r->shape == LP_SHAPE_LADDER && make_ladder(r, out)) return true;
    if (n >= FEW_WORTH && make_few(r, out)) return true;
    if (r->shape != LP_SHAPE_POSIT || r->rounding.mode != LP_ROUND_NEAREST_EVEN) return false;
    out->kind = LP_LANE_POSIT;
    out->es = e->exponent;
    out->top[0] = lp_power_of_two((e->bits - 2) << e->exponent);
    return true;
}

bool lp_lane_codes_make(const lp_element *e, lp_lane_codes *out)
{
    lp_rounder r;
    const lp_rounding nearest = {.mode = LP_ROUND_NEAREST_EVEN};
    if (e->kind == LP_ELEMENT_COMPLEX || lp_rounder_make(e, &nearest, &r) != LP_OK) return false;
    if (r.shape == LP_SHAPE_POSIT) {
        *out = (lp_lane_codes){.is_posit = true, .bits = e->bits, .es = e->exponent};
        return e->bits >= 3 && e->bits <= 16 && e->exponent <= 8 && (e->bits - 2) << e->exponent <= 126;
    }
    if (r.shape != LP_SHAPE_LADDER || r.no_zero) return false;
    *out = (lp_lane_codes){.is_integer = e->kind != LP_ELEMENT_FLOAT, .is_signed = r.top[1] > 0, .negative_zero = r.has_negative_zero,
                           .mantissa = r.mantissa, .e_min = r.e_min, .bits = e->bits};
    int e_step = out->is_integer ? r.e_min : r.e_min - r.mantissa;
    out->is_even = r.e_min == -126;
    out->step = out->is_even ? 0 : (float)lp_power_of_two(e_step);
    for (int i = 0; i < 2; i++) out->top[i] = (uint32_t)r.top[i];
    if (out->is_integer) return (e->n_levels == 0 || e->n_levels >= 1 << e->bits) && e->bits <= 24 && e_step >= -126;
    return !r.is_uniform && r.mantissa >= 1 && r.mantissa <= 23 && r.e_min >= -126 && (out->is_even || e_step >= -126);
}
