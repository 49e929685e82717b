/* Branch-free rounding, written so that compilers turn the loops into vectors of any width: the file of each instruction
 * set includes this. The results are those of lp_round_one. No name is external but the table at the end.
 *
 * |x| + 2^(e + 23 - mantissa), e the exponent of |x| or the least normal one, has the step of the element as its last
 * place: the processor's own rounding does the work, the difference of the sum's bits counts steps. */
#include <math.h>
#include <string.h>

#include "format/round_lanes.h"

#define INLINE static inline __attribute__((always_inline))

INLINE uint32_t bits_f32(float x) { uint32_t u; memcpy(&u, &x, 4); return u; }
INLINE float f32_of(uint32_t u) { float x; memcpy(&x, &u, 4); return x; }
/* floor(rest 2^32) of 0 <= rest < 1. Where only signed conversion exists: above the middle the subtraction is exact. */
INLINE uint32_t fraction_bits(float rest)
{
    if (HAS_UNSIGNED_CONVERSION) return (uint32_t)(rest * 0x1p32f);
    uint32_t high = rest >= 0.5f ? 1u << 31 : 0;
    float low = rest - (rest >= 0.5f ? 0.5f : 0.0f);
    return (uint32_t)(int32_t)(low * 0x1p32f) ^ high;
}

INLINE uint64_t bits_f64(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
INLINE double f64_of(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }

/* ---- random words ------------------------------------------------------------------------------------------------ */

/* Each instruction set's file has defined, before it includes this: words64, a vector of 64-bit lanes; N_LANES; multiply
 * (low halves of the lanes to 64 bits), high_half, both_xor, set_all, first_counters (lane numbers so that store puts
 * the words of counters in order) and store. */
enum { N_WORDS = LP_LANES_MOST + 8 * N_LANES };

/* Philox4x32-10 of 2 N_LANES counters at once; a lane's low half is a word, the rest is left over. */
INLINE void philox_lanes(const words64 c1_first, const words64 c2_first, const words64 keys[20], uint32_t first, uint32_t *out)
{
    words64 c0[2], c1[2], c2[2], c3[2];
    for (int i = 0; i < 2; i++) {
        c0[i] = first_counters(first + (uint32_t)(i * N_LANES));
        c1[i] = c1_first;
        c2[i] = c2_first;
        c3[i] = set_all(0);
    }
#pragma GCC unroll 10
    for (int round = 0; round < 10; round++)
        for (int i = 0; i < 2; i++) {
            words64 p0 = multiply(c0[i], set_all(0xd2511f53u)), p1 = multiply(c2[i], set_all(0xcd9e8d57u));
            c0[i] = both_xor(high_half(p1), c1[i], keys[2 * round]);
            c2[i] = both_xor(high_half(p0), c3[i], keys[2 * round + 1]);
            c1[i] = p1;
            c3[i] = p0;
        }
    for (int i = 0; i < 2; i++) store(out + i * 4 * N_LANES, c0[i], c1[i], c2[i], c3[i]);
}

/* Fills words and returns where the word of `index` stands. The keys of the rounds are in memory as whole vectors: made
 * in the loop from general registers they would cost as much as the products. */
static const uint32_t *random_words(const lp_lanes *c, uint64_t index, int64_t n, uint32_t words[N_WORDS])
{
    words64 keys[20];
    for (uint32_t round = 0; round < 10; round++) {
        keys[2 * round] = set_all(c->seed[0] + round * 0x9e3779b9u);
        keys[2 * round + 1] = set_all(c->seed[1] + round * 0xbb67ae85u);
    }
    words64 c1 = set_all(c->tensor), c2 = set_all(c->step);
    int64_t skip = (int64_t)(index % 4);
    for (int64_t i = 0; i < n + skip; i += 8 * N_LANES)
        philox_lanes(c1, c2, keys, (uint32_t)((index / 4) + (uint64_t)(i / 4)), words + i);
    return words + skip;
}

/* ---- ladders, float32 -------------------------------------------------------------------------------------------- */

typedef struct ladder_f32 {
    float min_normal, limit, top[2], beyond[2], infinite[2];
    uint32_t lift; /* exponent field to add: 23 - mantissa */
    uint32_t zero_sign, skip, flush, min_field;
} ladder_f32;

INLINE ladder_f32 make_ladder_f32(const lp_lanes *c)
{
    ladder_f32 l = {.min_normal = (float)f64_of((uint64_t)(c->e_min + 1023) << 52), .limit = (float)c->limit,
                    .lift = (uint32_t)(23 - c->mantissa) << 23, .zero_sign = c->negative_zero ? 1u << 31 : 0,
                    .skip = -(uint32_t)c->skip_subnormals, .flush = -(uint32_t)c->flush_subnormals,
                    .min_field = (uint32_t)(c->e_min + 127)};
    for (int i = 0; i < 2; i++) {
        l.top[i] = (float)c->top[i];
        l.beyond[i] = fabsf((float)c->beyond[i]);
        l.infinite[i] = fabsf((float)c->infinite[i]);
    }
    return l;
}

INLINE uint32_t select32(uint32_t mask, uint32_t yes, uint32_t no) { return (mask & yes) | (~mask & no); }
INLINE float select_f32(bool choose, float yes, float no) { return choose ? yes : no; }

/* One number: its rounded magnitude, and the rung (steps below 2^e_min counted too). */
INLINE float ladder_lane(const lp_lanes *c, const ladder_f32 *l, lp_lane_rule rule, bool is_scaled, float x, uint32_t word,
                         uint32_t *rung)
{
    uint32_t bits = bits_f32(x), sign = bits & 1u << 31, negative = (uint32_t)((int32_t)bits >> 31);
    float full = f32_of(bits ^ sign), a = full, min_normal = l->min_normal, limit = l->limit, back = 1;
    uint32_t min_field = l->min_field;
    if (is_scaled) {
        bool large = a >= 1;
        back = large ? 0x1p64f : 0x1p-64f;
        float scale = large ? 0x1p-64f : 0x1p64f;
        a *= scale;
        min_normal *= scale;
        limit = 0x1p64f;
        min_field += large ? -64u : 64u;
    }
    a = a < limit ? a : limit; /* NaN too */
    float base = a > min_normal ? a : min_normal;
    uint32_t lift = l->lift;
    uint32_t is_small = a < min_normal ? UINT32_MAX : 0;
    lift = select32(is_small & l->skip, 23u << 23, lift);
    uint32_t shift_bits = (bits_f32(base) & 0x7f800000u) + lift;
    float shift = f32_of(shift_bits), sum = a + shift, y = sum - shift;
    uint32_t steps = bits_f32(sum) - shift_bits;
    if (rule != LP_LANE_NEAREST_EVEN) {
        float step = f32_of(shift_bits - (23u << 23)), inverse = f32_of((277u << 23) - shift_bits);
        uint32_t over = y > a ? 1 : 0;
        y = y > a ? y - step : y;
        steps -= over;
        float rest = a - y;
        uint32_t outward, inexact = rest > 0 ? UINT32_MAX : 0;
        if (rule == LP_LANE_DIRECTED) {
            float twice = rest + rest;
            uint32_t above = twice > step ? UINT32_MAX : 0, tie = twice == step ? UINT32_MAX : 0, odd = -(steps & 1);
            outward = (above & c->above_half) |
                      (tie & (select32(negative, c->tie_negative, c->tie_positive) | (odd & c->tie_odd))) |
                      (inexact & (select32(negative, c->any_negative, c->any_positive) | (~odd & c->any_even)));
        } else {
            float high = rest * inverse * 0x1p16f; /* fraction * 2^16, exact; then 16 bits and what follows */
            int32_t top = (int32_t)high;
            uint32_t fraction = (uint32_t)top << 16 | (uint32_t)(int32_t)((high - (float)top) * 0x1p16f);
            fraction = select32(c->equal, inexact & 1u << 31, fraction);
            uint32_t total = fraction + (word & c->random_mask);
            outward = total < fraction ? UINT32_MAX : 0;
        }
        y = outward ? y + step : y;
        steps += outward & 1;
    }
    if (rung) {
        uint32_t binades = (shift_bits >> 23) - (lift >> 23) - min_field;
        uint32_t k = steps + (binades << c->mantissa);
        *rung = select32(is_small & l->skip, steps << c->mantissa, k);
    }
    return is_scaled ? y * back : y;
}

INLINE void ladder_values_f32(const lp_lanes *c, lp_lane_rule rule, bool is_scaled, const float *x, int64_t n, float *y,
                              const uint32_t *words)
{
    const ladder_f32 l = make_ladder_f32(c);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = bits_f32(x[i]), sign = bits & 1u << 31;
        float a = f32_of(bits ^ sign);
        float r = ladder_lane(c, &l, rule, is_scaled, x[i], rule == LP_LANE_STOCHASTIC ? words[i] : 0, NULL);
        r = f32_of(bits_f32(r) & ~(l.flush & (r < l.min_normal ? UINT32_MAX : 0)));
        float top = sign ? l.top[1] : l.top[0], beyond = sign ? l.beyond[1] : l.beyond[0],
              infinite = sign ? l.infinite[1] : l.infinite[0];
        r = select_f32(r > top, beyond, r);
        r = select_f32(a == INFINITY, infinite, r);
        uint32_t z = bits_f32(r);
        z = r == r ? z : 0x7fc00000u;
        z = a == a ? z : 0x7fc00000u;
        y[i] = f32_of(z | (z ? sign : sign & l.zero_sign));
    }
}

INLINE void ladder_codes_f32(const lp_lanes *lanes, lp_lane_rule rule, bool is_scaled, const float *restrict x, int64_t n,
                             uint32_t *restrict codes, const uint32_t *restrict words)
{
    const lp_lanes constants = *lanes, *c = &constants; /* which no store can change */
    const ladder_f32 l = make_ladder_f32(c);
    const uint32_t keep = ~l.flush;
    const uint32_t twos = -(uint32_t)c->twos_complement, mask = c->code_mask, zero_sign = -(uint32_t)c->negative_zero;
    const uint32_t first_normal = 1u << c->mantissa, sign_bit = c->sign_bit, add = c->code_add;
    const uint32_t beyond_0 = c->beyond_code[0], beyond_1 = c->beyond_code[1];
    const uint32_t infinite_0 = c->infinite_code[0], infinite_1 = c->infinite_code[1], nan = c->nan_code;
    const uint32_t top_0 = bits_f32(l.top[0]), top_1 = bits_f32(l.top[1]);
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = bits_f32(x[i]), sign = bits & 1u << 31, k;
        float a = f32_of(bits ^ sign);
        float r = ladder_lane(c, &l, rule, is_scaled, x[i], rule == LP_LANE_STOCHASTIC ? words[i] : 0, &k);
        uint32_t kept = keep | (k < first_normal ? 0 : UINT32_MAX);
        k &= kept;
        r = f32_of(bits_f32(r) & kept); /* also below an unsigned 0: flushing comes before the range */
        uint32_t minus = (uint32_t)((int32_t)bits >> 31);
        uint32_t as_float = k | (minus & sign_bit & ((k != 0 ? UINT32_MAX : 0) | zero_sign));
        uint32_t as_integer = ((k ^ minus) - minus + add) & mask;
        uint32_t code = select32(twos, as_integer, as_float);
        float top = f32_of(select32(minus, top_1, top_0));
        code = select32(r > top ? UINT32_MAX : 0, select32(minus, beyond_1, beyond_0), code);
        code = select32(a == INFINITY ? UINT32_MAX : 0, select32(minus, infinite_1, infinite_0), code);
        codes[i] = select32(a == a ? UINT32_MAX : 0, code, nan);
    }
}

/* ---- ladders, float64 -------------------------------------------------------------------------------------------- */

INLINE uint64_t select64(uint64_t mask, uint64_t yes, uint64_t no) { return (mask & yes) | (~mask & no); }

INLINE void ladder_values_f64(const lp_lanes *c, lp_lane_rule rule, const double *x, int64_t n, double *y, const uint32_t *words)
{
    const uint64_t lift_usual = (uint64_t)(52 - c->mantissa) << 52, skip = -(uint64_t)c->skip_subnormals;
    const uint64_t zero_sign = c->negative_zero ? UINT64_C(1) << 63 : 0, flush = -(uint64_t)c->flush_subnormals;
    const double min_normal = f64_of((uint64_t)(c->e_min + 1023) << 52), limit = c->limit;
    const uint64_t top_0 = bits_f64(c->top[0]), top_1 = bits_f64(c->top[1]), nan = UINT64_C(0x7ff8000000000000);
    const uint64_t beyond_0 = bits_f64(fabs(c->beyond[0])), beyond_1 = bits_f64(fabs(c->beyond[1]));
    const uint64_t infinite_0 = bits_f64(fabs(c->infinite[0])), infinite_1 = bits_f64(fabs(c->infinite[1]));
    const uint64_t above_half = (uint64_t)(int64_t)(int32_t)c->above_half, tie_odd = (uint64_t)(int64_t)(int32_t)c->tie_odd;
    const uint64_t tie_positive = (uint64_t)(int64_t)(int32_t)c->tie_positive;
    const uint64_t tie_negative = (uint64_t)(int64_t)(int32_t)c->tie_negative;
    const uint64_t any_positive = (uint64_t)(int64_t)(int32_t)c->any_positive;
    const uint64_t any_negative = (uint64_t)(int64_t)(int32_t)c->any_negative;
    const uint64_t any_even = (uint64_t)(int64_t)(int32_t)c->any_even;
    const uint64_t random_mask = c->random_mask, equal = (uint64_t)(int64_t)(int32_t)c->equal;
    for (int64_t i = 0; i < n; i++) {
        uint64_t bits = bits_f64(x[i]), sign = bits & UINT64_C(1) << 63, negative = -(bits >> 63);
        double full = f64_of(bits ^ sign), a = full < limit ? full : limit, base = a > min_normal ? a : min_normal;
        uint64_t is_small = a < min_normal ? UINT64_MAX : 0, skips = is_small & skip;
        uint64_t lift = (skips & UINT64_C(52) << 52) | (~skips & lift_usual);
        uint64_t shift_bits = (bits_f64(base) & UINT64_C(0x7ff0000000000000)) + lift;
        double shift = f64_of(shift_bits), sum = a + shift, r = sum - shift;
        if (rule != LP_LANE_NEAREST_EVEN) {
            uint64_t steps = bits_f64(sum) - shift_bits;
            double step = f64_of(shift_bits - (UINT64_C(52) << 52)), inverse = f64_of((UINT64_C(2098) << 52) - shift_bits);
            uint64_t over = r > a ? UINT64_MAX : 0;
            steps += over;
            r = f64_of(select64(over, bits_f64(r - step), bits_f64(r)));
            double rest = a - r;
            uint64_t outward, inexact = rest > 0 ? UINT64_MAX : 0;
            if (rule == LP_LANE_DIRECTED) {
                double twice = rest + rest;
                uint64_t above = twice > step ? UINT64_MAX : 0, tie = twice == step ? UINT64_MAX : 0, odd = -(steps & 1);
                uint64_t tie_sign = (negative & tie_negative) | (~negative & tie_positive);
                uint64_t any_sign = (negative & any_negative) | (~negative & any_positive);
                outward = (above & above_half) | (tie & (tie_sign | (odd & tie_odd))) |
                          (inexact & (any_sign | (~odd & any_even)));
            } else {
                double part = rest * inverse * 0x1p32, whole = part + 0x1p52; /* its last bits are the nearest integer */
                uint64_t fraction = bits_f64(whole) - bits_f64(0x1p52) + (whole - 0x1p52 > part ? UINT64_MAX : 0);
                fraction = (equal & inexact & UINT64_C(1) << 31) | (~equal & fraction);
                uint64_t total = fraction + (words[i] & random_mask);
                outward = -(total >> 32);
            }
            r = f64_of(select64(outward, bits_f64(r + step), bits_f64(r)));
        }
        r = f64_of(bits_f64(r) & ~(flush & (r < min_normal ? UINT64_MAX : 0)));
        uint64_t z = bits_f64(r);
        z = select64(r > f64_of(select64(negative, top_1, top_0)) ? UINT64_MAX : 0, select64(negative, beyond_1, beyond_0), z);
        z = select64(full == (double)INFINITY ? UINT64_MAX : 0, select64(negative, infinite_1, infinite_0), z);
        z = select64(z > UINT64_C(0x7ff0000000000000) || full != full ? UINT64_MAX : 0, nan, z);
        y[i] = f64_of(z | (sign & ((z != 0 ? UINT64_MAX : 0) | zero_sign)));
    }
}

/* ---- posits ------------------------------------------------------------------------------------------------------ */

/* The exponent's low es bits and the fraction are one field; nearest-even happens `cut` bits above its end, with the
 * last two bits of the regime above it for the parity of codes without exponent bits. A carry out of the field is the
 * next regime, as it should be. */
INLINE void posit_f32(const lp_lanes *c, bool wants_codes, const float *x, int64_t n, float *y, uint32_t *restrict codes)
{
    const int bits = c->bits, es = c->es;
    const float most = (float)c->top[0], least = 1.0f / most;
    const uint32_t field_mask = (1u << (23 + es)) - 1, code_mask = c->code_mask, nar = c->sign_bit;
    for (int64_t i = 0; i < n; i++) {
        uint32_t u = bits_f32(x[i]), sign = u & 1u << 31;
        float full = f32_of(u ^ sign), a = full > least ? full : least;
        a = a < most ? a : most;
        uint32_t b = bits_f32(a) - (127u << 23), field = b & field_mask; /* exponent without bias */
        int32_t k = (int32_t)b >> (23 + es);
        int32_t run = k >= 0 ? k + 2 : 1 - k;
        uint32_t string = field | (k >= 0 ? 2u : 1u) << (23 + es);
        uint32_t cut = (uint32_t)(run + es + 24 - bits);
        uint32_t half = (1u << (cut - 1)) - 1 + (string >> cut & 1);
        uint32_t rounded = (field + half) >> cut; /* in units of the last bit; parity came from the string */
        uint32_t is_special = !(full < INFINITY) ? UINT32_MAX : 0, is_zero = full == 0 ? UINT32_MAX : 0;
        if (wants_codes) {
            /* k + 1 ones and a zero, or -k zeros and a one; the largest value has no room for its zero */
            uint32_t ones = k >= 0 ? UINT32_MAX : 0, run_bits = (uint32_t)run;
            uint32_t regime = select32(ones, (1u << run_bits) - 2, 1);
            uint32_t code = (regime << ((uint32_t)bits + 15 - run_bits) >> 16) + rounded;
            uint32_t minus = (uint32_t)((int32_t)u >> 31);
            code = ((code ^ minus) - minus) & code_mask;
            codes[i] = select32(is_special, nar, code & ~is_zero);
        } else {
            uint32_t z = ((uint32_t)k << (23 + es)) + (127u << 23) + (rounded << cut);
            z = select32(is_zero, 0, z | sign);
            y[i] = f32_of(select32(is_special, 0x7fc00000u | sign, z));
        }
    }
}

/* ---- the quickest -------------------------------------------------------------------------------------------------

 * Nearest-even and saturating. Rounding keeps the order and the ends are values: clamped first, a number needs nothing
 * more after. NaN passes all comparisons as the second operand and is put in its one form at the end. */
INLINE void plain_f32(const lp_lanes *c, bool is_signed_zero, const float *x, int64_t n, float *y)
{
    const float low = -(float)c->top[1], high = (float)c->top[0];
    const uint32_t lift = ((uint32_t)(23 - c->mantissa) << 23) + 0x400000; /* one and a half: sums of both signs stay above */
    const uint32_t min_normal = (uint32_t)(c->e_min + 127) << 23;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = bits_f32(x[i]), sign = bits & 1u << 31;
        float a = low > x[i] ? low : x[i];
        a = high < a ? high : a;
        uint32_t exponent = bits_f32(a) & 0x7f800000u;
        float shift = f32_of((exponent > min_normal ? exponent : min_normal) + lift);
        uint32_t z = bits_f32((a + shift) - shift);
        if (is_signed_zero) z |= sign;
        y[i] = f32_of(x[i] == x[i] ? z : sign | 0x7fc00000u);
    }
}

/* Elements with float32's exponents: the bits themselves are the ladder. */
INLINE void plain_scaled_f32(const lp_lanes *c, const float *x, int64_t n, float *y)
{
    const uint32_t cut = (uint32_t)(23 - c->mantissa), one = cut ? 1 : 0, half = cut ? (1u << cut) / 2 - 1 : 0, mask = UINT32_MAX << cut,
                   top = c->top_bits;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = bits_f32(x[i]), a = bits & 0x7fffffffu;
        uint32_t r = (a + half + (a >> cut & one)) & mask;
        r = r < top ? r : top;
        r = a > 0x7f800000u ? 0x7fc00000u : r;
        y[i] = f32_of(r | (bits & 1u << 31));
    }
}

/* Stochastic and saturating: in steps of the element the number is a whole part and a fraction, both exact. */
INLINE void plain_stochastic_f32(const lp_lanes *lanes, bool is_signed_zero, const float *restrict x, int64_t n,
                                 float *restrict y, const uint32_t *restrict words)
{
    const uint32_t limit = bits_f32((float)lanes->limit), top_0 = bits_f32((float)lanes->top[0]), top_1 = bits_f32((float)lanes->top[1]);
    const uint32_t mask = lanes->random_mask, lower = (uint32_t)lanes->mantissa << 23;
    const uint32_t min_normal = (uint32_t)(lanes->e_min + 127) << 23;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = bits_f32(x[i]), sign = bits & 1u << 31;
        uint32_t magnitude = bits ^ sign, a = magnitude < limit ? magnitude : limit; /* NaN too */
        uint32_t exponent = a & 0x7f800000u;
        exponent = exponent > min_normal ? exponent : min_normal;
        uint32_t step = exponent - lower;
        float t = f32_of(a) * f32_of((254u << 23) - step), whole = (float)(int32_t)t;
        uint32_t fraction = fraction_bits(t - whole), total = fraction + (words[i] & mask);
        whole = total < fraction ? whole + 1 : whole;
        uint32_t r = bits_f32(whole * f32_of(step)), top = is_signed_zero ? top_0 : sign ? top_1 : top_0;
        uint32_t z = r < top ? r : top;
        if (is_signed_zero) z |= sign;
        else z |= z ? sign : 0;
        y[i] = f32_of(magnitude > 0x7f800000u ? sign | 0x7fc00000u : z);
    }
}

/* As plain_scaled_f32: a carry out of the bits below the step is the step outward. */
INLINE void plain_scaled_stochastic_f32(const lp_lanes *c, const float *restrict x, int64_t n, float *restrict y,
                                        const uint32_t *restrict words)
{
    const uint32_t cut = (uint32_t)(23 - c->mantissa), mask = UINT32_MAX << cut, top = c->top_bits, random_mask = c->random_mask;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = bits_f32(x[i]), a = bits & 0x7fffffffu;
        uint32_t r = (a + ((words[i] & random_mask) >> (32 - cut))) & mask;
        r = r < top ? r : top;
        r = a > 0x7f800000u ? 0x7fc00000u : r;
        y[i] = f32_of(r | (bits & 1u << 31));
    }
}

/* The codes of the same: the rung is the difference of the sum's bits, and binades above the first. */
INLINE void plain_codes_f32(const lp_lanes *c, bool is_integer, const float *restrict x, int64_t n, uint32_t *restrict codes)
{
    const uint32_t cut = (uint32_t)(23 - c->mantissa), lift = cut << 23, min_normal = (uint32_t)(c->e_min + 127) << 23;
    const uint32_t top_0 = bits_f32((float)c->top[0]), top_1 = bits_f32((float)c->top[1]);
    const uint32_t nan = c->nan_code, mask = c->code_mask, add = c->code_add, sign_shift = (uint32_t)(32 - c->bits);
    const uint32_t zero_sign = c->negative_zero ? 1 : 0, sign_bit = c->sign_bit;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = bits_f32(x[i]), sign = bits & 1u << 31, magnitude = bits ^ sign, top = sign ? top_1 : top_0;
        uint32_t a = magnitude < top ? magnitude : top, exponent = a & 0x7f800000u;
        exponent = exponent > min_normal ? exponent : min_normal;
        uint32_t shift = exponent + lift;
        uint32_t k = bits_f32(f32_of(a) + f32_of(shift)) - shift + ((exponent - min_normal) >> cut);
        if (is_integer) {
            uint32_t minus = (uint32_t)((int32_t)bits >> 31);
            k = ((k ^ minus) - minus + add) & mask;
        } else {
            k |= (k | zero_sign) ? (sign >> sign_shift) & sign_bit : 0;
        }
        codes[i] = magnitude > 0x7f800000u ? nan : k;
    }
}

/* As plain_scaled_f32. */
INLINE void plain_scaled_codes_f32(const lp_lanes *c, const float *restrict x, int64_t n, uint32_t *restrict codes)
{
    const uint32_t cut = (uint32_t)(23 - c->mantissa), half = (1u << cut) / 2 - 1, top = c->top_bits, nan = c->nan_code;
    const uint32_t sign_shift = (uint32_t)(32 - c->bits), sign_bit = c->sign_bit;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = bits_f32(x[i]), a = bits & 0x7fffffffu;
        uint32_t r = a + half + (a >> cut & 1);
        r = (r < top ? r : top) >> cut;
        codes[i] = a > 0x7f800000u ? nan : r | (bits >> sign_shift & sign_bit);
    }
}

/* ---- few values -------------------------------------------------------------------------------------------------- */

INLINE void few_f32(const lp_lanes *lanes, bool wants_codes, const float *x, int64_t n, float *y, uint32_t *restrict codes)
{
    const lp_lanes constants = *lanes, *c = &constants;
    const uint32_t zero_sign = c->negative_zero ? 1u << 31 : 0, sign_code = c->negative_zero ? c->sign_bit : 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t sign = bits_f32(x[i]) & 1u << 31;
        uint32_t z = wants_codes ? c->few_code[0] : bits_f32(c->few_value[0]);
#pragma GCC unroll 16
        for (int k = 1; k < 16; k++) z = x[i] >= c->few_border[k] ? (wants_codes ? c->few_code[k] : bits_f32(c->few_value[k])) : z;
        if (wants_codes) {
            uint32_t minus = z == 0 && sign ? sign_code : 0;
            codes[i] = x[i] == x[i] ? z | minus : c->nan_code;
        } else {
            z |= z == 0 ? sign & zero_sign : 0;
            y[i] = f32_of(x[i] == x[i] ? z : sign | 0x7fc00000u);
        }
    }
}

/* ---- codes back to values ---------------------------------------------------------------------------------------- */

INLINE bool decode_lanes(const lp_lane_codes *c, bool is_integer, bool is_even, const uint32_t *restrict codes, int64_t n,
                         float *restrict y)
{
    const uint32_t sign_bit = c->is_signed ? 1u << (c->bits - 1) : 0, rest = (c->bits < 32 ? (1u << c->bits) - 1 : UINT32_MAX) & ~sign_bit;
    const uint32_t sign_shift = (uint32_t)(32 - c->bits), cut = (uint32_t)(23 - c->mantissa), first_normal = 1u << c->mantissa;
    const uint32_t base = (uint32_t)(c->e_min + 126) << 23, top_0 = c->top[0], top_1 = c->top[1];
    const uint32_t no_zero = c->negative_zero ? 0 : UINT32_MAX;
    const float step = c->step;
    uint32_t special = 0;
    for (int64_t i = 0; i < n; i++) {
        if (is_integer) {
            y[i] = (float)(int32_t)((codes[i] ^ sign_bit) - sign_bit) * step;
            continue;
        }
        uint32_t k = codes[i] & rest, sign = (codes[i] & sign_bit) << sign_shift;
        uint32_t top = sign ? top_1 : top_0, z = (k << cut) + base;
        special |= (top - k) | ((k - 1) & sign & no_zero); /* its top bit: beyond the top, and a 0 with a sign */
        if (!is_even) z = k < first_normal ? bits_f32((float)(int32_t)k * step) : z;
        y[i] = f32_of(z | sign);
    }
    return special >> 31 == 0;
}

/* The length of the regime is a float's exponent; what follows it, shifted up, has the fields of a float already. */
INLINE void decode_posit(const lp_lane_codes *c, const uint32_t *restrict codes, int64_t n, float *restrict y)
{
    const uint32_t bits = (uint32_t)c->bits, es = (uint32_t)c->es, nar = 1u << (bits - 1), mask = nar - 1;
    for (int64_t i = 0; i < n; i++) {
        uint32_t code = codes[i], minus = code & nar ? UINT32_MAX : 0, m = ((code ^ minus) - minus) & mask;
        uint32_t ones = m >> (bits - 2) ? UINT32_MAX : 0;
        uint32_t log2_after = (bits_f32((float)(int32_t)(2 * ((m ^ ones) & mask) + 1)) >> 23) - 127; /* 0 if all bits are the regime */
        uint32_t run = bits - 1 - log2_after, k = ones ? run - 1 : -run;
        uint32_t field = (m << (33 - bits)) << (run + 1) >> (9 - es);
        uint32_t z = (((k << es) + 127) << 23) + field;
        z |= minus & 1u << 31;
        z = m ? z : minus & 0x7fc00000u; /* zero, and NaR */
        y[i] = f32_of(z);
    }
}

static bool decode_f32(const lp_lane_codes *c, const uint32_t *codes, int64_t n, float *y)
{
    if (c->is_posit) {
        decode_posit(c, codes, n, y);
        return true;
    }
    if (c->is_integer) return decode_lanes(c, true, false, codes, n, y);
    return c->is_even ? decode_lanes(c, false, true, codes, n, y) : decode_lanes(c, false, false, codes, n, y);
}

/* ---- the functions ----------------------------------------------------------------------------------------------- */

#define LADDER_F32(WHAT, OUT)                                                                                        \
    uint32_t room[N_WORDS];                                                                                          \
    bool is_scaled = c->kind == LP_LANE_LADDER_SCALED;                                                               \
    switch (c->rule) {                                                                                               \
    case LP_LANE_NEAREST_EVEN:                                                                                       \
        if (is_scaled) ladder_##WHAT##_f32(c, LP_LANE_NEAREST_EVEN, true, x, n, OUT, room);                          \
        else ladder_##WHAT##_f32(c, LP_LANE_NEAREST_EVEN, false, x, n, OUT, room);                                   \
        break;                                                                                                       \
    case LP_LANE_DIRECTED:                                                                                           \
        if (is_scaled) ladder_##WHAT##_f32(c, LP_LANE_DIRECTED, true, x, n, OUT, room);                              \
        else ladder_##WHAT##_f32(c, LP_LANE_DIRECTED, false, x, n, OUT, room);                                       \
        break;                                                                                                       \
    case LP_LANE_STOCHASTIC: {                                                                                       \
        const uint32_t *words = random_words(c, index, n, room);                                                     \
        if (is_scaled) ladder_##WHAT##_f32(c, LP_LANE_STOCHASTIC, true, x, n, OUT, words);                           \
        else ladder_##WHAT##_f32(c, LP_LANE_STOCHASTIC, false, x, n, OUT, words);                                    \
        break;                                                                                                       \
    }                                                                                                                \
    }

static void values_f32(const lp_lanes *c, const float *x, int64_t n, float *y, uint64_t index)
{
    if (c->kind == LP_LANE_POSIT) {
        posit_f32(c, false, x, n, y, NULL);
        return;
    }
    if (c->kind == LP_LANE_FEW) {
        few_f32(c, false, x, n, y, NULL);
        return;
    }
    if (c->is_plain && c->rule == LP_LANE_STOCHASTIC) {
        uint32_t room[N_WORDS];
        const uint32_t *words = random_words(c, index, n, room);
        if (c->kind == LP_LANE_LADDER_SCALED) plain_scaled_stochastic_f32(c, x, n, y, words);
        else if (c->negative_zero) plain_stochastic_f32(c, true, x, n, y, words);
        else plain_stochastic_f32(c, false, x, n, y, words);
        return;
    }
    if (c->is_plain) {
        if (c->kind == LP_LANE_LADDER_SCALED) plain_scaled_f32(c, x, n, y);
        else if (c->negative_zero) plain_f32(c, true, x, n, y);
        else plain_f32(c, false, x, n, y);
        return;
    }
    LADDER_F32(values, y)
}

static void codes_f32(const lp_lanes *c, const float *x, int64_t n, uint32_t *codes, uint64_t index)
{
    if (c->kind == LP_LANE_POSIT) {
        posit_f32(c, true, x, n, NULL, codes);
        return;
    }
    if (c->kind == LP_LANE_FEW) {
        few_f32(c, true, x, n, NULL, codes);
        return;
    }
    if (c->is_plain && c->rule == LP_LANE_NEAREST_EVEN) {
        if (c->kind == LP_LANE_LADDER_SCALED) plain_scaled_codes_f32(c, x, n, codes);
        else if (c->twos_complement) plain_codes_f32(c, true, x, n, codes);
        else plain_codes_f32(c, false, x, n, codes);
        return;
    }
    LADDER_F32(codes, codes)
}

static void values_f64(const lp_lanes *c, const double *x, int64_t n, double *y, uint64_t index)
{
    uint32_t room[N_WORDS];
    switch (c->rule) {
    case LP_LANE_NEAREST_EVEN: ladder_values_f64(c, LP_LANE_NEAREST_EVEN, x, n, y, room); break;
    case LP_LANE_DIRECTED: ladder_values_f64(c, LP_LANE_DIRECTED, x, n, y, room); break;
    case LP_LANE_STOCHASTIC: ladder_values_f64(c, LP_LANE_STOCHASTIC, x, n, y, random_words(c, index, n, room)); break;
    }
}
