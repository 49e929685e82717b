/* exp, log, sin, cos in float64, exp and tanh in float32 from the project's own polynomials.
 *
 * The float64 functions keep what the argument reduction and the leading sum lose in a second, low part, so that about
 * half an ulp of the final addition remains. The polynomials interpolate at Chebyshev nodes, one degree more than
 * needed. */
#include "base/function.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "base/exp_f64.h"
#include "base/expf.h"
#include "base/half.h"

static inline double f64_from_bits(uint64_t u) { double x; memcpy(&x, &u, 8); return x; }
static inline uint64_t f64_bits(double x) { uint64_t u; memcpy(&u, &x, 8); return u; }

/* Horner; the coefficients from the highest degree down. */
static inline double polynomial(const double *c, int n, double x)
{
    double p = c[0];
    for (int i = 1; i < n; i++) p = fma(p, x, c[i]);
    return p;
}

#define POLYNOMIAL(c, x) polynomial(c, (int)(sizeof(c) / sizeof *(c)), x)

float lp_expf(float x)
{
    if (x != x) return x;
    if (x > LP_EXPF_MAX) return INFINITY;
    if (x < LP_EXPF_MIN) return 0;
    float n = rintf(x * LP_EXPF_LOG2E);
    float r = fmaf(n, -LP_EXPF_LN2_HI, x);
    r = fmaf(n, -LP_EXPF_LN2_LO, r);
    float q = LP_EXPF_C0;
    q = fmaf(q, r, LP_EXPF_C1);
    q = fmaf(q, r, LP_EXPF_C2);
    q = fmaf(q, r, LP_EXPF_C3);
    q = fmaf(q, r, LP_EXPF_C4);
    q = fmaf(q, r, LP_EXPF_C5);
    float y = fmaf(q, r * r, r) + 1;
    int e = (int)n, half = e >> 1; /* 2^e itself may be outside the range of normal numbers */
    return y * lp_f32_from_bits((uint32_t)(half + 127) << 23) * lp_f32_from_bits((uint32_t)(e - half + 127) << 23);
}

float lp_siluf(float z) { return z / (1 + lp_expf(-z)); }

float lp_tanhf(float x)
{
    float a = fabsf(x), y;
    if (a < LP_TANHF_SMALL) {
        float z = a * a, q = LP_TANHF_T0, az = a * z;
        q = fmaf(q, z, LP_TANHF_T1);
        q = fmaf(q, z, LP_TANHF_T2);
        q = fmaf(q, z, LP_TANHF_T3);
        q = fmaf(q, z, LP_TANHF_T4);
        q = fmaf(q, z, LP_TANHF_T5);
        y = fmaf(az, q, a);
    } else {
        float e = lp_expf(2 * a), denominator = e + 1, share = 2 / denominator;
        y = 1 - share;
    }
    return copysignf(y, x);
}

float lp_geluf(float z)
{
    float square = z * z, u = z * fmaf(square, LP_GELUF_CUBE, LP_GELUF_LINE), denominator = 1 + lp_expf(-u);
    return z / denominator;
}

static const double exp_c[] = LP_EXP_C;

double lp_exp(double x)
{
    if (x != x) return x;
    if (x > LP_EXP_MAX) return INFINITY;
    if (x < LP_EXP_MIN) return 0;
    double n = rint(x * LP_EXP_LOG2E);
    double high = fma(n, -LP_EXP_LN2_HI, x); /* exact */
    double r = fma(n, -LP_EXP_LN2_LO, high), low = fma(n, -LP_EXP_LN2_LO, high - r);
    double sum = 1 + r;
    low = fma(r * r, POLYNOMIAL(exp_c, r), low) + ((1 - sum) + r);
    int e = (int)n, half = e >> 1;
    return (sum + low) * f64_from_bits((uint64_t)(half + 1023) << 52) * f64_from_bits((uint64_t)(e - half + 1023) << 52);
}

/* With s = f / (2 + f): log(1 + f) = 2 atanh(s) = f - f^2/2 + s (f^2/2 + z P(z)), z = s^2 <= 0.0295; relative error 2^-54 */
static const double log_c[] = {0x1.0c135adcf3011p-3, 0x1.0fbd140544b63p-3, 0x1.3b1c43c68eb6dp-3, 0x1.745cf8c09a9d4p-3,
                               0x1.c71c7201fc0e6p-3, 0x1.249249247670ap-2, 0x1.9999999999a3ap-2, 0x1.5555555555555p-1};

double lp_log(double x)
{
    const uint64_t sqrt_half = 0x3fe6a09e667f3bcdu, one = 0x3ff0000000000000u, mantissa = 0x000fffffffffffffu;
    if (x != x) return x;
    if (x < 0) return NAN;
    if (x == 0) return -INFINITY;
    if (x == INFINITY) return x;
    int k = 0;
    if (x < 0x1p-1022) {
        x *= 0x1p54;
        k = -54;
    }
    uint64_t u = f64_bits(x) + (one - sqrt_half); /* x = 2^k (1 + f), 1 + f in [sqrt(1/2), sqrt(2)) */
    k += (int)(u >> 52) - 1023;
    double f = f64_from_bits((u & mantissa) + sqrt_half) - 1;
    double s = f / (2 + f), z = s * s;
    double square = 0.5 * f * f, square_low = fma(0.5 * f, f, -square);
    double first = f - square, first_low = (f - first) - square;
    double exponent = k * LP_EXP_LN2_HI; /* exact */
    double sum = exponent + first;
    double low = (exponent - sum) + first + first_low - square_low;
    return sum + fma(k, LP_EXP_LN2_LO, fma(s, fma(z, POLYNOMIAL(log_c, z), square), low));
}

#define ANGLE_MAX 0x1p31 /* beyond, sin and cos give NaN rather than something imprecise */
#define TWO_OVER_PI 0x1.45f306dc9c883p-1
#define HALF_PI_1 0x1.921fb54442d18p+0
#define HALF_PI_2 0x1.1a62633145c07p-54
#define HALF_PI_3 (-0x1.f1976b7ed8fbcp-110)

/* (sin(r) - r) / r^3 and (cos(r) - 1 + r^2/2) / r^4 as polynomials of r^2 <= 0.617, relative error 2^-54 */
static const double sin_c[] = {-0x1.ab1635d19009bp-41, 0x1.61217c4c31493p-33, -0x1.ae64540f4d1dbp-26, 0x1.71de3a545e95cp-19,
                               -0x1.a01a01a019927p-13, 0x1.1111111111110p-7,  -0x1.5555555555555p-3};
static const double cos_c[] = {0x1.ab76ea8ab6767p-45,  -0x1.9394b79b331aap-37, 0x1.1eed8dea0c945p-29, -0x1.27e4fb7711f2ap-22,
                               0x1.a01a01a019d03p-16, -0x1.6c16c16c16c16p-10, 0x1.5555555555555p-5};

/* x = n pi/2 + r + low, |r| <= pi/4 (and a little); returns n mod 4. x is finite and |x| <= ANGLE_MAX. */
static int reduce(double x, double *r, double *low)
{
    double n = rint(x * TWO_OVER_PI);
    double first = fma(n, -HALF_PI_1, x); /* exact: a multiple of 2^-53 or of the last bit of x, below 1 */
    double second = n * HALF_PI_2, second_low = fma(n, HALF_PI_2, -second);
    double sum = first - second, other = sum - first; /* either may be the larger one */
    double lost = (first - (sum - other)) - (second + other);
    lost = fma(n, -HALF_PI_3, lost - second_low);
    *r = sum + lost;
    *low = (sum - *r) + lost;
    return (int)((int64_t)n & 3);
}

static double sin_reduced(double r, double low)
{
    double z = r * r;
    return r + fma(r * z, POLYNOMIAL(sin_c, z), fma(-0.5 * z, low, low));
}

static double cos_reduced(double r, double low)
{
    double z = r * r, half = 0.5 * z, half_low = 0.5 * fma(r, r, -z), sum = 1 - half;
    return sum + (fma(z * z, POLYNOMIAL(cos_c, z), fma(-r, low, -half_low)) + ((1 - sum) - half));
}

double lp_sin(double x)
{
    if (!(fabs(x) <= ANGLE_MAX)) return NAN;
    if (fabs(x) < 0x1p-27) return x; /* and -0 */
    double r, low;
    int quadrant = reduce(x, &r, &low);
    double y = quadrant & 1 ? cos_reduced(r, low) : sin_reduced(r, low);
    return quadrant & 2 ? -y : y;
}

double lp_cos(double x)
{
    if (!(fabs(x) <= ANGLE_MAX)) return NAN;
    double r, low;
    int quadrant = reduce(x, &r, &low);
    double y = quadrant & 1 ? sin_reduced(r, low) : cos_reduced(r, low);
    return (quadrant + 1) & 2 ? -y : y;
}
