/* Emulated arithmetic: exact operations on float32 numbers as float64 rounded to odd, then lp_round_one. Products of two
 * float32 are exact in float64, and nothing of float32's range under- or overflows there. */
#include <lowp/arith.h>

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "base/half.h"
#include "base/random.h"
#include "format/quire.h"
#include "format/rounder.h"

/* ---- operations rounded to odd ----------------------------------------------------------------------------------- */

/* The exact result is s + error, s the nearest float64: an inexact one becomes the neighbour with the odd last bit. */
static double to_odd(double s, double error)
{
    if (error == 0 || !isfinite(s)) return s;
    uint64_t bits;
    memcpy(&bits, &s, sizeof bits);
    if (!(bits & 1)) bits += (error > 0) == (s > 0) ? 1 : UINT64_MAX;
    memcpy(&s, &bits, sizeof s);
    return s;
}

static double add_to_odd(double a, double b)
{
    double s = a + b, part = s - a;
    if (!isfinite(s)) return s;
    return to_odd(s, (a - (s - part)) + (b - part));
}

static double divide_to_odd(double a, double b)
{
    double q = a / b;
    if (!isfinite(q) || !isfinite(b) || q == 0) return q;
    double rest = fma(-q, b, a); /* a - q b, exactly */
    return to_odd(q, b > 0 ? rest : -rest);
}

static double root_to_odd(double a)
{
    double s = sqrt(a);
    if (!isfinite(s) || s == 0) return s;
    return to_odd(s, fma(-s, s, a));
}

/* ---- L-Mul ------------------------------------------------------------------------------------------------------- */

static uint32_t with_mantissa(uint32_t magnitude, int bits)
{
    if (bits >= 23) return magnitude;
    uint32_t cut = (uint32_t)(23 - bits), half = (1u << (cut - 1)) - 1 + (magnitude >> cut & 1);
    return (magnitude + half) >> cut << cut;
}

float lp_l_mul(int mantissa, float x, float y)
{
    uint32_t u = lp_f32_bits(x), v = lp_f32_bits(y), sign = (u ^ v) & 1u << 31;
    u &= 0x7fffffffu;
    v &= 0x7fffffffu;
    if (u >= 0x7f800000u || v >= 0x7f800000u) return x * y;
    if (u < 0x00800000u || v < 0x00800000u) return lp_f32_from_bits(sign);
    int l = mantissa <= 3 ? mantissa : mantissa == 4 ? 3 : 4;
    int64_t z = (int64_t)with_mantissa(u, mantissa) + with_mantissa(v, mantissa) - (0x3f800000 - (INT64_C(1) << (23 - l)));
    if (z < 0x00800000) return lp_f32_from_bits(sign);
    if (z >= 0x7f800000) return lp_f32_from_bits(sign | 0x7f800000u);
    return lp_f32_from_bits(sign | (uint32_t)z);
}

static int mantissa_of(const lp_element *e)
{
    return e->kind == LP_ELEMENT_FLOAT && e->mantissa >= 1 ? e->mantissa : 23;
}

/* ---- arrays ------------------------------------------------------------------------------------------------------ */

static uint32_t word_at(const lp_rounding *rule, uint64_t index)
{
    if (!lp_is_stochastic(rule->mode)) return 0;
    return lp_random_word(rule->seed, rule->first + index, rule->tensor, rule->step, LP_RANDOM_ROUND, 0);
}

static float rounded(const lp_rounder *r, double x, uint64_t index)
{
    if (isnan(x)) return lp_f32_from_bits(0x7fc00000u); /* of two operands none is first: positive */
    double y = lp_round_one(r, x, word_at(&r->rounding, index)).value;
    return isnan(y) ? lp_f32_from_bits(0x7fc00000u | (signbit(x) ? 1u << 31 : 0)) : (float)y;
}

typedef struct elementwise {
    lp_rounder rounder;
    lp_operation operation;
    const float *a, *b, *c;
    float *y;
    int64_t n;
} elementwise;

static double operate(const elementwise *j, int64_t i)
{
    double a = (double)j->a[i];
    switch (j->operation) {
    case LP_OPERATION_ADD: return add_to_odd(a, (double)j->b[i]);
    case LP_OPERATION_SUB: return add_to_odd(a, -(double)j->b[i]);
    case LP_OPERATION_MUL: return a * (double)j->b[i];
    case LP_OPERATION_DIV: return divide_to_odd(a, (double)j->b[i]);
    case LP_OPERATION_SQRT: return root_to_odd(a);
    case LP_OPERATION_FMA: return add_to_odd(a * (double)j->b[i], (double)j->c[i]);
    case LP_OPERATION_L_MUL: return (double)lp_l_mul(mantissa_of(&j->rounder.element), j->a[i], j->b[i]);
    case LP_OPERATION_COUNT: break;
    }
    return NAN;
}

static void elementwise_part(void *context, int thread, int n_threads)
{
    const elementwise *j = context;
    int64_t first, last;
    lp_pool_part(j->n, thread, n_threads, &first, &last);
    for (int64_t i = first; i < last; i++) j->y[i] = rounded(&j->rounder, operate(j, i), (uint64_t)i);
}

static lp_status make(const lp_element *element, const lp_rounding *rounding, lp_rounder *out)
{
    LP_TRY(lp_rounder_make(element, rounding, out));
    if (out->shape == LP_SHAPE_COMPLEX) return lp_fail(LP_USAGE, "arithmetic: complex elements have no real results");
    return LP_OK;
}

lp_status lp_arith_f32(lp_operation operation, const lp_element *element, const lp_rounding *rounding, const float *a,
                       const float *b, const float *c, int64_t n, float *y, lp_pool *pool)
{
    elementwise j = {.operation = operation, .a = a, .b = b, .c = c, .y = y, .n = n};
    if ((unsigned)operation >= LP_OPERATION_COUNT || n < 0)
        return lp_fail(LP_USAGE, "arithmetic: operation %d on %lld numbers", (int)operation, (long long)n);
    LP_TRY(make(element, rounding, &j.rounder));
    lp_pool_run(n > 1000 ? pool : NULL, elementwise_part, &j);
    return LP_OK;
}

/* ---- dot products ------------------------------------------------------------------------------------------------ */

typedef struct product {
    const lp_arith *arith;
    lp_rounder product, sum;
    const float *a, *b;
    float *y;
    int64_t m, n, k;
} product;

static float dot(const product *j, const float *a, const float *b, uint64_t index)
{
    const lp_arith *arith = j->arith;
    int mantissa = mantissa_of(&j->product.element);
    if (arith->accumulation == LP_ACCUMULATE_EXACT) {
        lp_quire quire;
        lp_quire_clear(&quire);
        for (int64_t i = 0; i < j->k; i++)
            if (arith->l_mul) lp_quire_add(&quire, lp_l_mul(mantissa, a[i], b[i]), 1);
            else lp_quire_add(&quire, a[i], b[i]);
        return rounded(&j->sum, lp_quire_to_odd(&quire), index);
    }
    float sum = 0;
    for (int64_t i = 0; i < j->k; i++, index += 2) {
        double term = arith->l_mul ? (double)lp_l_mul(mantissa, a[i], b[i]) : (double)a[i] * (double)b[i];
        if (arith->accumulation == LP_ACCUMULATE_ROUNDED) term = (double)rounded(&j->product, term, index);
        sum = rounded(&j->sum, add_to_odd(term, (double)sum), index + 1);
    }
    return sum;
}

static void product_part(void *context, int thread, int n_threads)
{
    const product *j = context;
    int64_t first, last;
    lp_pool_part(j->m * j->n, thread, n_threads, &first, &last);
    for (int64_t i = first; i < last; i++)
        j->y[i] = dot(j, j->a + i / j->n * j->k, j->b + i % j->n * j->k, (uint64_t)(2 * i * j->k));
}

lp_status lp_arith_matmul_f32(const lp_arith *arith, const float *a, const float *b, int64_t m, int64_t n, int64_t k, float *y,
                              lp_pool *pool)
{
    product j = {.arith = arith, .a = a, .b = b, .y = y, .m = m, .n = n, .k = k};
    int64_t n_outputs, n_terms;
    if (m < 0 || n < 0 || k < 0 || !lp_mul_i64(m, n, &n_outputs) || !lp_mul_i64(n_outputs, 2 * (k > 0 ? k : 1), &n_terms))
        return lp_fail(LP_USAGE, "arithmetic: a product of %lld x %lld and %lld x %lld", (long long)m, (long long)k, (long long)n,
                       (long long)k);
    if ((unsigned)arith->accumulation > LP_ACCUMULATE_EXACT || !arith->sum)
        return lp_fail(LP_USAGE, "arithmetic: a dot product needs a way of accumulation (%d) and the accumulator's element",
                       (int)arith->accumulation);
    if (arith->l_mul && arith->accumulation == LP_ACCUMULATE_FUSED)
        return lp_hint(lp_fail(LP_USAGE, "arithmetic: L-Mul is a product of its own, a fused sum has none"),
                       "accumulate rounded or exactly");
    LP_TRY(make(arith->sum, &arith->rounding, &j.sum));
    LP_TRY(make(arith->product ? arith->product : arith->sum, &arith->rounding, &j.product));
    lp_pool_run(n_outputs > 1 ? pool : NULL, product_part, &j);
    return LP_OK;
}

lp_status lp_arith_dot_f32(const lp_arith *arith, const float *a, const float *b, int64_t n, float *y)
{
    return lp_arith_matmul_f32(arith, a, b, 1, 1, n, y, NULL);
}
