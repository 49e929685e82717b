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
INLINE uint64_t bits_f64(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }
INLINE double f64_of(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }

/* ---- random words ------------------------------------------------------------------------------------------------ */

enum { PHILOX_LANES = 16, N_WORDS = LP_LANES_MOST + 4 * PHILOX_LANES };

/* Words of the counters first .. first + 15, Philox4x32-10 in 16 lanes. */
INLINE void philox_lanes(const lp_lanes *c, uint32_t first, uint32_t *out)
{
    uint32_t c0[PHILOX_LANES], c1[PHILOX_LANES], c2[PHILOX_LANES], c3[PHILOX_LANES];
    uint32_t k0 = c->seed[0], k1 = c->seed[1];
    for (uint32_t i = 0; i < PHILOX_LANES; i++) {
        c0[i] = first + i;
        c1[i] = c->tensor;
        c2[i] = c->step;
        c3[i] = 0;
    }
    for (int round = 0; round < 10; round++) {
        for (int i = 0; i < PHILOX_LANES; i++) {
            uint64_t p0 = (uint64_t)0xd2511f53u * c0[i], p1 = (uint64_t)0xcd9e8d57u * c2[i];
            c0[i] = (uint32_t)(p1 >> 32) ^ c1[i] ^ k0;
            c1[i] = (uint32_t)p1;
            c2[i] = (uint32_t)(p0 >> 32) ^ c3[i] ^ k1;
            c3[i] = (uint32_t)p0;
        }
        k0 += 0x9e3779b9u;
        k1 += 0xbb67ae85u;
    }
    for (int i = 0; i < PHILOX_LANES; i++) {
        out[4 * i] = c0[i];
        out[4 * i + 1] = c1[i];
        out[4 * i + 2] = c2[i];
        out[4 * i + 3] = c3[i];
    }
}

/* Fills words and returns where the word of `index` stands. */
static const uint32_t *random_words(const lp_lanes *c, uint64_t index, int64_t n, uint32_t words[N_WORDS])
{
    int64_t skip = (int64_t)(index % 4);
    for (int64_t i = 0; i < n + skip; i += 4 * PHILOX_LANES)
        philox_lanes(c, (uint32_t)((index / 4) + (uint64_t)(i / 4)), words + i);
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

INLINE uint32_t select(uint32_t mask, uint32_t yes, uint32_t no) { return (mask & yes) | (~mask & no); }
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
    lift = select(is_small & l->skip, 23u << 23, lift);
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
                      (tie & (select(negative, c->tie_negative, c->tie_positive) | (odd & c->tie_odd))) |
                      (inexact & (select(negative, c->any_negative, c->any_positive) | (~odd & c->any_even)));
        } else {
            float high = rest * inverse * 0x1p16f; /* fraction * 2^16, exact; then 16 bits and what follows */
            int32_t top = (int32_t)high;
            uint32_t fraction = (uint32_t)top << 16 | (uint32_t)(int32_t)((high - (float)top) * 0x1p16f);
            fraction = select(c->equal, inexact & 1u << 31, fraction);
            uint32_t total = fraction + (word & c->random_mask);
            outward = total < fraction ? UINT32_MAX : 0;
        }
        y = outward ? y + step : y;
        steps += outward & 1;
    }
    if (rung) {
        uint32_t binades = (shift_bits >> 23) - (lift >> 23) - min_field;
        uint32_t k = steps + (binades << c->mantissa);
        *rung = select(is_small & l->skip, steps << c->mantissa, k);
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

INLINE void ladder_codes_f32(const lp_lanes *c, lp_lane_rule rule, bool is_scaled, const float *x, int64_t n, uint32_t *codes,
                             const uint32_t *words)
{
    const ladder_f32 l = make_ladder_f32(c);
    const uint32_t twos = -(uint32_t)c->twos_complement, mask = c->code_mask, zero_sign = -(uint32_t)c->negative_zero;
    const uint32_t first_normal = 1u << c->mantissa, sign_bit = c->sign_bit, add = c->code_add;
    const uint32_t beyond_0 = c->beyond_code[0], beyond_1 = c->beyond_code[1];
    const uint32_t infinite_0 = c->infinite_code[0], infinite_1 = c->infinite_code[1], nan = c->nan_code;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits = bits_f32(x[i]), sign = bits & 1u << 31, k;
        float a = f32_of(bits ^ sign);
        float r = ladder_lane(c, &l, rule, is_scaled, x[i], rule == LP_LANE_STOCHASTIC ? words[i] : 0, &k);
        k &= ~(l.flush & (k < first_normal ? UINT32_MAX : 0));
        uint32_t minus = sign ? UINT32_MAX : 0;
        uint32_t as_float = k | (minus & sign_bit & (k ? UINT32_MAX : zero_sign));
        uint32_t as_integer = ((k ^ minus) - minus + add) & mask;
        uint32_t code = select(twos, as_integer, as_float);
        float top = sign ? l.top[1] : l.top[0];
        code = r > top ? select(minus, beyond_1, beyond_0) : code;
        code = a == INFINITY ? select(minus, infinite_1, infinite_0) : code;
        codes[i] = a == a ? code : nan;
    }
}

/* ---- ladders, float64 -------------------------------------------------------------------------------------------- */

INLINE void ladder_values_f64(const lp_lanes *c, lp_lane_rule rule, const double *x, int64_t n, double *y, const uint32_t *words)
{
    const uint64_t lift_usual = (uint64_t)(52 - c->mantissa) << 52, skip = -(uint64_t)c->skip_subnormals;
    const uint64_t zero_sign = c->negative_zero ? UINT64_C(1) << 63 : 0, flush = -(uint64_t)c->flush_subnormals;
    const double min_normal = f64_of((uint64_t)(c->e_min + 1023) << 52), limit = c->limit;
    const double top_0 = c->top[0], top_1 = c->top[1], beyond_0 = fabs(c->beyond[0]), beyond_1 = fabs(c->beyond[1]);
    const double infinite_0 = fabs(c->infinite[0]), infinite_1 = fabs(c->infinite[1]);
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
            steps -= r > a ? 1 : 0;
            r = r > a ? r - step : r;
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
                uint64_t fraction = bits_f64(whole) - bits_f64(0x1p52) - (whole - 0x1p52 > part ? 1 : 0);
                fraction = (equal & inexact & UINT64_C(1) << 31) | (~equal & fraction);
                uint64_t total = fraction + (words[i] & random_mask);
                outward = total >> 32 ? UINT64_MAX : 0;
            }
            r = outward ? r + step : r;
        }
        r = f64_of(bits_f64(r) & ~(flush & (r < min_normal ? UINT64_MAX : 0)));
        r = r > (negative ? top_1 : top_0) ? (negative ? beyond_1 : beyond_0) : r;
        r = full == (double)INFINITY ? (negative ? infinite_1 : infinite_0) : r;
        uint64_t z = bits_f64(r);
        z = r == r ? z : UINT64_C(0x7ff8000000000000);
        z = full == full ? z : UINT64_C(0x7ff8000000000000);
        y[i] = f64_of(z | (z ? sign : sign & zero_sign));
    }
}

/* ---- posits ------------------------------------------------------------------------------------------------------ */

/* The exponent's low es bits and the fraction are one field; nearest-even happens `cut` bits above its end, with the
 * last two bits of the regime above it for the parity of codes without exponent bits. A carry out of the field is the
 * next regime, as it should be. */
INLINE void posit_f32(const lp_lanes *c, const float *x, int64_t n, float *y, uint32_t *codes)
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
        if (codes) {
            uint32_t regime = k >= 0 ? (2u << (k >= 0 ? k + 1 : 0)) - 2 : 1; /* run bits */
            int32_t room = bits - 1 - run;
            uint32_t above = room >= 0 ? regime << (room >= 0 ? room : 0) : regime >> 1;
            uint32_t code = above + rounded;
            code = (sign ? -code : code) & code_mask;
            codes[i] = select(is_special, nar, code & ~is_zero);
        } else {
            uint32_t z = ((uint32_t)k << (23 + es)) + (127u << 23) + (rounded << cut);
            z = select(is_zero, 0, z | sign);
            y[i] = f32_of(select(is_special, 0x7fc00000u | sign, z));
        }
    }
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
        posit_f32(c, x, n, y, NULL);
        return;
    }
    LADDER_F32(values, y)
}

static void codes_f32(const lp_lanes *c, const float *x, int64_t n, uint32_t *codes, uint64_t index)
{
    if (c->kind == LP_LANE_POSIT) {
        posit_f32(c, x, n, NULL, codes);
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
