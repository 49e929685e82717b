/* Signs, ternary values and NVFP4, block by block, and the table of all encoders of this kind. */
#include "quantize/search/block.h"

#include <math.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>

#include "base/half.h"

/* Writes d as f16; false if it is not finite there. */
static bool put_scale(float d, uint8_t *p)
{
    uint16_t bits = lp_f16_from_f32(d);
    memcpy(p, &bits, 2);
    return (bits & 0x7c00u) != 0x7c00u;
}

static float largest(const float *x, int n)
{
    float most = 0.0f;
    for (int j = 0; j < n; j++) most = fabsf(x[j]) > most ? fabsf(x[j]) : most;
    return most;
}

/* ---- signs and ternary values ------------------------------------------------------------------------------------- */

/* d = mean |x|, bit set for x >= 0. */
static bool encode_q1_0(const float *x, const float *importance, uint8_t *block)
{
    (void)importance;
    float sum = 0.0f;
    for (int j = 0; j < 128; j++) sum += fabsf(x[j]);
    memset(block + 2, 0, 16);
    for (int j = 0; j < 128; j++) block[2 + j / 8] |= (uint8_t)((x[j] >= 0.0f) << j % 8);
    return put_scale(sum / 128.0f, block);
}

/* Nearest of -1 0 1 to x times the inverse scale, ties away from zero, as 0 1 2. */
static int trit(float x, float inverse)
{
    float v = x * inverse;
    return v >= 0.5f ? 2 : v <= -0.5f ? 0 : 1;
}

static float inverse_of(float d) { return d > 0.0f ? 1.0f / d : 0.0f; }

static bool encode_q2_0(const float *x, const float *importance, uint8_t *block)
{
    (void)importance;
    float d = largest(x, 64), inverse = inverse_of(d);
    memset(block + 2, 0, 16);
    for (int j = 0; j < 64; j++) block[2 + j / 4] |= (uint8_t)(trit(x[j], inverse) << 2 * (j % 4));
    return put_scale(d, block);
}

static bool encode_tq2_0(const float *x, const float *importance, uint8_t *block)
{
    (void)importance;
    float d = largest(x, 256), inverse = inverse_of(d);
    memset(block, 0, 64);
    for (int j = 0; j < 256; j++) block[32 * (j / 128) + j % 32] |= (uint8_t)(trit(x[j], inverse) << 2 * (j / 32 % 4));
    return put_scale(d, block + 64);
}

/* Five ternary digits `stride` apart, the first the most significant, as the byte whose multiples by 3 bring them up. */
static uint8_t five_trits(const float *x, int stride, int n, float inverse)
{
    int v = 0;
    for (int i = 0; i < 5; i++) v = 3 * v + (i < n ? trit(x[i * stride], inverse) : 0);
    return (uint8_t)((256 * v + 242) / 243);
}

static bool encode_tq1_0(const float *x, const float *importance, uint8_t *block)
{
    (void)importance;
    float d = largest(x, 256), inverse = inverse_of(d);
    for (int m = 0; m < 32; m++) block[m] = five_trits(x + m, 32, 5, inverse);
    for (int m = 0; m < 16; m++) block[32 + m] = five_trits(x + 160 + m, 16, 5, inverse);
    for (int m = 0; m < 4; m++) block[48 + m] = five_trits(x + 240 + m, 4, 4, inverse);
    return put_scale(d, block + 52);
}

/* ---- NVFP4 -------------------------------------------------------------------------------------------------------- */

/* UE4M3 code of a scale as files have it: ties up, 448 for all from 256 on, 7 units for the largest subnormals. */
static uint8_t ue4m3_of_files(float v)
{
    if (!(v >= 0x1p-6f)) { /* 2^-6 is the least normal */
        int unit = (int)(v * 512.0f + 0.5f);
        return (uint8_t)(unit > 7 ? 7 : unit);
    }
    uint32_t code = ((lp_f32_bits(v) + 0x80000u) >> 20) - 120 * 8; /* exponent bias 127 to 7, 3 bits of mantissa */
    return (uint8_t)(code >= 0x78 ? 0x7e : code);
}

/* The same, nearest with ties to even. */
static uint8_t ue4m3_nearest(float v)
{
    if (!(v >= 0x1p-6f)) return (uint8_t)rintf(v * 512.0f);
    uint32_t u = lp_f32_bits(v), code = ((u + 0x7ffffu + (u >> 20 & 1u)) >> 20) - 120 * 8;
    return (uint8_t)(code > 0x7e ? 0x7e : code);
}

/* Value of a code, halved: one step of doubled E2M1 values. */
static float ue4m3_half(uint8_t code)
{
    if (code < 8) return (float)code * 0x1p-10f;
    return lp_f32_from_bits((uint32_t)(code + 119 * 8) << 20);
}

static uint8_t e2m1_code(float x, float step)
{
    static const float midpoint[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5.0f, 7.0f, 10.0f};
    int q = 0;
    if (step == 0.0f) return 0;
    for (int t = 0; t < 7; t++) q += fabsf(x) > midpoint[t] * step;
    return (uint8_t)(q | (x < 0.0f && q > 0) << 3);
}

static bool encode_nvfp4_with(uint8_t (*scale_code)(float), const float *x, uint8_t *block)
{
    for (int s = 0; s < 4; s++, x += 16) {
        uint8_t code = scale_code(largest(x, 16) / 6.0f);
        float step = ue4m3_half(code);
        block[s] = code;
        for (int j = 0; j < 8; j++)
            block[4 + 8 * s + j] = (uint8_t)(e2m1_code(x[j], step) | e2m1_code(x[j + 8], step) << 4);
    }
    return true;
}

static bool encode_nvfp4(const float *x, const float *importance, uint8_t *block)
{
    (void)importance;
    return encode_nvfp4_with(ue4m3_of_files, x, block);
}

static bool round_nvfp4(const float *x, const float *importance, uint8_t *block)
{
    (void)importance;
    return encode_nvfp4_with(ue4m3_nearest, x, block);
}

/* ---- the table ---------------------------------------------------------------------------------------------------- */

static const lp_block_encoder encoders[] = {
    {"tq1_0", LP_IMPORTANCE_UNUSED, encode_tq1_0, encode_tq1_0},
    {"tq2_0", LP_IMPORTANCE_UNUSED, encode_tq2_0, encode_tq2_0},
    {"nvfp4", LP_IMPORTANCE_UNUSED, encode_nvfp4, round_nvfp4},
    {"q1_0", LP_IMPORTANCE_UNUSED, encode_q1_0, encode_q1_0},
    {"iq3_s", LP_IMPORTANCE_USED, lp_encode_iq3_s, NULL},
    {"iq3_xxs", LP_IMPORTANCE_USED, lp_encode_iq3_xxs, NULL},
    {"iq2_s", LP_IMPORTANCE_USED, lp_encode_iq2_s, NULL},
    {"iq2_xs", LP_IMPORTANCE_NEEDED, lp_encode_iq2_xs, NULL},
    {"iq2_xxs", LP_IMPORTANCE_NEEDED, lp_encode_iq2_xxs, NULL},
    {"iq1_m", LP_IMPORTANCE_USED, lp_encode_iq1_m, NULL},
    {"iq1_s", LP_IMPORTANCE_NEEDED, lp_encode_iq1_s, NULL},
    {"q2_0", LP_IMPORTANCE_UNUSED, encode_q2_0, encode_q2_0},
};

const lp_block_encoder *lp_block_encoder_find(const char *name)
{
    for (size_t i = 0; i < sizeof encoders / sizeof encoders[0]; i++)
        if (!strcasecmp(encoders[i].name, name)) return &encoders[i];
    return NULL;
}
