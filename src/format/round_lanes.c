/* The constants of the branch-free loops. */
#include "format/round_lanes.h"

#include <math.h>

#include <lowp/isa.h>

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
    bool fits = e_top + 1 + 23 - out->mantissa <= 127 && out->e_min - out->mantissa >= -126;
    out->kind = fits ? LP_LANE_LADDER : LP_LANE_LADDER_SCALED;
    return true;
}

bool lp_lanes_make(const lp_rounder *r, lp_lanes *out)
{
    const lp_element *e = &r->element;
    *out = (lp_lanes){.bits = e->bits};
    set_rule(&r->rounding, out);
    bool is_equal = r->rounding.mode == LP_ROUND_STOCHASTIC_EQUAL;
    out->equal = -(uint32_t)is_equal;
    out->random_mask = is_equal ? 1u << 31 : r->random_mask;
    out->sign_bit = 1u << (e->bits - 1);
    out->code_mask = e->bits < 32 ? (1u << e->bits) - 1 : UINT32_MAX;
    if (r->shape == LP_SHAPE_LADDER) return make_ladder(r, out);
    if (r->shape != LP_SHAPE_POSIT || r->rounding.mode != LP_ROUND_NEAREST_EVEN) return false;
    out->kind = LP_LANE_POSIT;
    out->es = e->exponent;
    out->top[0] = lp_power_of_two((e->bits - 2) << e->exponent);
    return true;
}
