/* Encodes sixteen blocks in lockstep: weights, scales of sub-blocks, their super-scales, codes, bytes. Compiled once per
 * instruction set; the bits are the same for all (no operation is fused or reordered). */
#include "quantize/search/family.h"

#include <limits.h>

#ifndef LP_LANES_ISA
#define LP_LANES_ISA ref
#define LP_STORE_INSTANCE
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

/* What is known of the sixteen blocks between the steps. */
typedef struct work {
    lanes scale[LP_SUB_MAX], offset[LP_SUB_MAX]; /* of each sub-block */
    lanes sum_w[LP_SUB_MAX];                     /* sum of its weights */
    uint8_t sub[LP_SUB_MAX][LP_LANES];           /* codes of the scales */
    uint8_t sub_offset[LP_SUB_MAX][LP_LANES];    /* codes of the offsets */
    lanes d, m;                                  /* scale and offset to be stored */
    lanes stored_d, stored_m;                    /* after rounding to f16 */
    uint16_t bits_d[LP_LANES], bits_m[LP_LANES];
} work;

/* ---- weights ----------------------------------------------------------------------------------------------------- */

static void mean_square(int n, const lanes *restrict x, float factor, lanes mean)
{
    lanes sum;
    for (int l = 0; l < LP_LANES; l++) sum[l] = 0.0f;
    for (int j = 0; j < n; j++)
        for (int l = 0; l < LP_LANES; l++) sum[l] += x[j][l] * x[j][l];
    for (int l = 0; l < LP_LANES; l++) mean[l] = factor * sum[l] / (float)n;
}

static void weigh(lp_weighting weighting, int n, const lanes *restrict x, const lanes sigma2, lanes *restrict w)
{
    lanes rms;
    switch (weighting) {
    case LP_WEIGHT_NONE:
    case LP_WEIGHT_IMPORTANCE:
        return;
    case LP_WEIGHT_SQUARE:
        for (int j = 0; j < n; j++)
            for (int l = 0; l < LP_LANES; l++) w[j][l] = x[j][l] * x[j][l];
        return;
    case LP_WEIGHT_MAGNITUDE:
        for (int j = 0; j < n; j++)
            for (int l = 0; l < LP_LANES; l++) w[j][l] = fabsf(x[j][l]);
        return;
    case LP_WEIGHT_RMS:
        mean_square(n, x, 1.0f, rms);
        for (int l = 0; l < LP_LANES; l++) rms[l] = sqrtf(rms[l]);
        for (int j = 0; j < n; j++)
            for (int l = 0; l < LP_LANES; l++) w[j][l] = rms[l] + fabsf(x[j][l]);
        return;
    case LP_WEIGHT_ROOT:
        for (int j = 0; j < n; j++)
            for (int l = 0; l < LP_LANES; l++) w[j][l] = w[j][l] * sqrtf(sigma2[l] + x[j][l] * x[j][l]);
        return;
    }
}

/* ---- scales ------------------------------------------------------------------------------------------------------ */

static void search_quotient(const lp_scale_search *s, int n, const lanes *restrict x, lanes scale)
{
    lanes extreme, magnitude;
    find_extreme(n, x, extreme, magnitude);
    for (int l = 0; l < LP_LANES; l++) scale[l] = (s->span > 0.0f ? magnitude[l] : extreme[l]) / s->span;
}

static void search_range(const lp_scale_search *s, int n, const lanes *restrict x, lanes scale, lanes offset)
{
    lanes least, largest;
    memcpy(least, x[0], sizeof least);
    memcpy(largest, x[0], sizeof largest);
    for (int j = 1; j < n; j++) {
        for (int l = 0; l < LP_LANES; l++) {
            least[l] = x[j][l] < least[l] ? x[j][l] : least[l];
            largest[l] = x[j][l] > largest[l] ? x[j][l] : largest[l];
        }
    }
    for (int l = 0; l < LP_LANES; l++) {
        scale[l] = (largest[l] - least[l]) / s->span;
        offset[l] = least[l];
    }
}

/* 2^(floor(log2 largest) - 3): the value of half a step of E2M1, at least 2^-128. */
static void search_exponent(int n, const lanes *restrict x, lanes scale)
{
    lanes extreme, magnitude;
    find_extreme(n, x, extreme, magnitude);
    for (int l = 0; l < LP_LANES; l++) {
        int e = (int)(lp_f32_bits(magnitude[l]) >> 23) - 2; /* the stored E8M0 code */
        e = e > 0 ? e : 0;
        scale[l] = lp_f32_from_bits(e < 2 ? 0x200000u << e : (uint32_t)(e - 1) << 23);
    }
}

static void search(const lp_scale_search *s, int n, const lanes *restrict x, const lanes *restrict w, lanes scale,
                   lanes offset, uint8_t (*restrict code)[LP_LANES])
{
    switch (s->kind) {
    case LP_KIND_QUOTIENT: search_quotient(s, n, x, scale); return;
    case LP_KIND_RANGE: search_range(s, n, x, scale, offset); return;
    case LP_KIND_EXPONENT: search_exponent(n, x, scale); return;
    case LP_KIND_EXTREME:
    case LP_KIND_LARGEST: search_extreme(s, n, x, scale, code); return;
    case LP_KIND_DIVIDED: search_divided(s, n, x, scale, code); return;
    case LP_KIND_CORRELATION: search_correlation(s, n, x, w, scale, code); return;
    case LP_KIND_DESCENT: search_descent(s, n, x, w, scale, code); return;
    case LP_KIND_POSITIVE: search_positive(s, n, x, w, scale, code); return;
    case LP_KIND_AFFINE: search_affine(s, n, x, w, scale, offset, code); return;
    }
}

static void fit_sub_blocks(const lp_encode_format *format, const lp_encode_plan *plan, lp_encode_batch *batch, work *k)
{
    lanes sigma2;
    memcpy(sigma2, batch->row_mean, sizeof sigma2);
    if (plan->sigma == LP_SIGMA_BLOCK) mean_square(format->n_values, (const lanes *)batch->x, plan->sigma_factor, sigma2);
    int n = format->n_sub;
    for (int b = 0; b < format->n_values / n; b++) {
        const lanes *x = (const lanes *)batch->x + b * n;
        lanes *w = batch->w + b * n;
        weigh(plan->weighting, n, x, sigma2, w);
        lanes sum;
        for (int l = 0; l < LP_LANES; l++) sum[l] = 0.0f;
        if (plan->super && plan->weighting != LP_WEIGHT_NONE)
            for (int j = 0; j < n; j++)
                for (int l = 0; l < LP_LANES; l++) sum[l] += w[j][l];
        memcpy(k->sum_w[b], sum, sizeof sum);
        search(plan->sub, n, x, (const lanes *)w, k->scale[b], k->offset[b], batch->code + b * n);
    }
}

static void fit_super(const lp_encode_format *format, const lp_encode_plan *plan, work *k)
{
    int n_sub = format->n_values / format->n_sub;
    if (!plan->super) {
        memcpy(k->d, k->scale[0], sizeof k->d);
        memcpy(k->m, k->offset[0], sizeof k->m);
        return;
    }
    lanes unused;
    search(plan->super, n_sub, (const lanes *)k->scale, (const lanes *)k->sum_w, k->d, unused, k->sub);
    if (format->at_offset < 0) return;
    lanes below[LP_SUB_MAX];
    for (int b = 0; b < n_sub; b++)
        for (int l = 0; l < LP_LANES; l++) below[b][l] = -k->offset[b][l];
    search(plan->super, n_sub, (const lanes *)below, (const lanes *)k->sum_w, k->m, unused, k->sub_offset);
}

/* Rounds d and m to their stored form; returns the lanes where one is not finite. */
static uint32_t store_scales(const lp_encode_format *format, work *k)
{
    uint32_t bad = 0;
    for (int l = 0; l < LP_LANES; l++) {
        if (format->exponent) {
            memcpy(&k->stored_d[l], &k->d[l], sizeof(float));
            continue;
        }
        k->bits_d[l] = lp_f16_from_f32(k->d[l]);
        k->bits_m[l] = format->at_offset < 0 ? 0 : lp_f16_from_f32(k->m[l]);
        k->stored_d[l] = lp_f16_to_f32(k->bits_d[l]);
        k->stored_m[l] = lp_f16_to_f32(k->bits_m[l]);
        bad |= (uint32_t)((k->bits_d[l] & 0x7c00u) == 0x7c00u || (k->bits_m[l] & 0x7c00u) == 0x7c00u) << l;
    }
    return bad;
}

/* ---- codes ------------------------------------------------------------------------------------------------------- */

/* Toward zero; what no int holds becomes INT_MIN, as the processors that wrote the reference files do. */
static inline int truncate(float v)
{
    return fabsf(v) < 2147483648.0f ? (int)v : INT_MIN;
}

/* Codes from the unrounded scale: trunc(x / d + bias), or nearest with ties away. */
static void code_simple(const lp_encode_format *format, const lp_encode_plan *plan, lp_encode_batch *batch, const work *k)
{
    lanes i, m;
    int32_t code[LP_LANES];
    for (int l = 0; l < LP_LANES; l++) {
        i[l] = k->d[l] != 0.0f ? 1.0f / k->d[l] : 0.0f;
        m[l] = format->at_offset < 0 ? 0.0f : k->m[l];
    }
    int top = plan->sub->last - plan->sub->first;
    float bias = plan->bias;
    if (plan->final == LP_FINAL_TRUNCATE) {
        for (int j = 0; j < format->n_values; j++) {
            for (int l = 0; l < LP_LANES; l++) {
                int q = (int8_t)truncate((batch->x[j][l] - m[l]) * i[l] + bias);
                code[l] = q < top ? q : top;
            }
            for (int l = 0; l < LP_LANES; l++) batch->code[j][l] = (uint8_t)code[l];
        }
    } else {
        for (int j = 0; j < format->n_values; j++) {
            for (int l = 0; l < LP_LANES; l++) {
                float v = batch->x[j][l] * i[l];
                int q = truncate(v);
                float rest = v - (float)q;
                code[l] = q + (rest >= 0.5f) - (rest <= -0.5f);
            }
            for (int l = 0; l < LP_LANES; l++) batch->code[j][l] = (uint8_t)code[l];
        }
    }
}

/* Nearest entries with the unrounded scales, sub-block by sub-block. */
static void code_table(const lp_encode_format *format, const lp_encode_plan *plan, lp_encode_batch *batch, const work *k)
{
    int n = format->n_sub;
    for (int b = 0; b < format->n_values / n; b++) {
        lanes inverse;
        for (int l = 0; l < LP_LANES; l++) {
            float d = plan->super ? k->d[l] * (float)(k->sub[b][l] + plan->super->first) : k->d[l];
            inverse[l] = d != 0.0f ? 1.0f / d : 0.0f;
        }
        int32_t code[LP_LANES];
        for (int j = b * n; j < (b + 1) * n; j++) {
            for (int l = 0; l < LP_LANES; l++) code[l] = table_code(inverse[l] * batch->x[j][l]);
            for (int l = 0; l < LP_LANES; l++) batch->code[j][l] = (uint8_t)code[l];
        }
    }
}

/* Codes with the scales as stored, sub-block by sub-block. */
static void code_stored(const lp_encode_format *format, const lp_encode_plan *plan, lp_encode_batch *batch, const work *k)
{
    int n = format->n_sub, first = plan->sub->first, last = plan->sub->last;
    for (int b = 0; b < format->n_values / n; b++) {
        lanes d, m;
        for (int l = 0; l < LP_LANES; l++) {
            if (plan->super) {
                d[l] = k->stored_d[l] * (float)(k->sub[b][l] + plan->super->first);
                m[l] = format->at_offset < 0 ? 0.0f : k->stored_m[l] * (float)k->sub_offset[b][l];
            } else {
                d[l] = k->stored_d[l];
                m[l] = format->at_offset < 0 ? 0.0f : -k->stored_m[l];
            }
        }
        int32_t kept[LP_LANES], fresh[LP_LANES]; /* all ones, the one or the other */
        for (int l = 0; l < LP_LANES; l++) kept[l] = -(d[l] == 0.0f);
        for (int l = 0; l < LP_LANES; l++) fresh[l] = ~kept[l];
        int zero = format->zero;
        for (int j = b * n; j < (b + 1) * n; j++) {
            int32_t q[LP_LANES];
            if (plan->sub->table)
                for (int l = 0; l < LP_LANES; l++) q[l] = table_code((batch->x[j][l] + m[l]) / d[l]);
            else
                for (int l = 0; l < LP_LANES; l++) q[l] = clamp(nearest((batch->x[j][l] + m[l]) / d[l]), first, last) + zero;
            for (int l = 0; l < LP_LANES; l++) q[l] = (q[l] & fresh[l]) | (batch->code[j][l] & kept[l]);
            for (int l = 0; l < LP_LANES; l++) batch->code[j][l] = (uint8_t)q[l];
        }
    }
}

/* 2v = 0 1 2 3 4 6 8 12 by code, the sign in bit 3; -0 is never written. stored_d is the value of 2v = 1. */
static void code_e2m1(const lp_encode_format *format, lp_encode_batch *batch, const work *k)
{
    static const float midpoint[7] = {0.5f, 1.5f, 2.5f, 3.5f, 5.0f, 7.0f, 10.0f};
    int32_t code[LP_LANES];
    for (int j = 0; j < format->n_values; j++) {
        for (int l = 0; l < LP_LANES; l++) {
            float x = batch->x[j][l], a = fabsf(x), d = k->stored_d[l];
            int q = 0;
            for (int t = 0; t < 7; t++) q += a > midpoint[t] * d;
            code[l] = q | ((x < 0.0f) & (q > 0)) << 3;
        }
        for (int l = 0; l < LP_LANES; l++) batch->code[j][l] = (uint8_t)code[l];
    }
}

static void choose_codes(const lp_encode_format *format, const lp_encode_plan *plan, lp_encode_batch *batch, const work *k)
{
    switch (plan->final) {
    case LP_FINAL_SEARCH: return;
    case LP_FINAL_TRUNCATE:
    case LP_FINAL_AWAY: code_simple(format, plan, batch, k); return;
    case LP_FINAL_TABLE: code_table(format, plan, batch, k); return;
    case LP_FINAL_STORED:
        if (!plan->super) memset(batch->code, format->zero, sizeof batch->code);
        code_stored(format, plan, batch, k);
        return;
    case LP_FINAL_E2M1: code_e2m1(format, batch, k); return;
    }
}

/* ---- bytes ------------------------------------------------------------------------------------------------------- */

static void put_plane(const lp_encode_format *format, const lp_plane *plane, const uint8_t (*codes)[LP_LANES],
                      uint8_t (*bytes)[LP_LANES])
{
    int fields = 8 / plane->bits, shift = plane->shift, bits = plane->bits, group = plane->group;
    uint8_t mask = (uint8_t)((1 << bits) - 1);
    for (int b = 0; b < format->n_values / fields; b++) {
        const uint8_t(*code)[LP_LANES] = codes + b / group * group * fields + b % group;
        uint8_t byte[LP_LANES] = {0};
        for (int f = 0; f < fields; f++)
            for (int l = 0; l < LP_LANES; l++)
                byte[l] = (uint8_t)(byte[l] | ((code[f * group][l] >> shift) & mask) << (f * bits));
        memcpy(bytes[plane->at + b], byte, sizeof byte);
    }
}

static void put_sub_scales(const lp_encode_format *format, const lp_encode_scales *k, uint8_t (*bytes)[LP_LANES])
{
    uint8_t(*out)[LP_LANES] = bytes + format->at_sub;
    for (int l = 0; l < LP_LANES; l++) {
        switch (format->sub_layout) {
        case LP_SUB_NONE: break;
        case LP_SUB_NIBBLES:
            for (int b = 0; b < 16; b++) out[b][l] = (uint8_t)(k->sub[b][l] | k->sub_offset[b][l] << 4);
            break;
        case LP_SUB_SIX:
            for (int b = 0; b < 8; b++) out[b][l] = (uint8_t)((k->sub[b][l] & 15) | (k->sub[b + 8][l] & 15) << 4);
            for (int b = 0; b < 4; b++)
                out[8 + b][l] = (uint8_t)(k->sub[b][l] >> 4 | k->sub[b + 4][l] >> 4 << 2 | k->sub[b + 8][l] >> 4 << 4 |
                                          k->sub[b + 12][l] >> 4 << 6);
            break;
        case LP_SUB_SIX_PAIR:
            for (int b = 0; b < 4; b++) {
                out[b][l] = (uint8_t)(k->sub[b][l] | k->sub[b + 4][l] >> 4 << 6);
                out[b + 4][l] = (uint8_t)(k->sub_offset[b][l] | k->sub_offset[b + 4][l] >> 4 << 6);
                out[b + 8][l] = (uint8_t)((k->sub[b + 4][l] & 15) | (k->sub_offset[b + 4][l] & 15) << 4);
            }
            break;
        case LP_SUB_SPLIT: {
            unsigned high = 0;
            for (int b = 0; b < 8; b++) high |= (unsigned)k->sub[b][l] >> 4 << 2 * b;
            out[0][l] = (uint8_t)high;
            out[1][l] = (uint8_t)(high >> 8);
            for (int b = 0; b < 4; b++) out[2 + b][l] = (uint8_t)((k->sub[2 * b][l] & 15) | k->sub[2 * b + 1][l] << 4);
            break;
        }
        case LP_SUB_BYTES:
            for (int b = 0; b < 16; b++) out[b][l] = (uint8_t)(k->sub[b][l] - 128);
            break;
        }
    }
}

/* A block of int8 sub-scales whose scales all vanish is all zero bytes, whatever the search left. */
static void clear_vanished(const lp_encode_format *format, lp_encode_batch *batch, work *k)
{
    for (int l = 0; l < LP_LANES; l++) {
        if (k->d[l] != 0.0f) continue;
        for (int b = 0; b < LP_SUB_MAX; b++) k->sub[b][l] = 128;
        for (int j = 0; j < format->n_values; j++) batch->code[j][l] = 0;
    }
}

static void put_bytes(const lp_encode_format *format, const lp_encode_scales *k, const uint8_t (*code)[LP_LANES],
                      uint8_t (*bytes)[LP_LANES])
{
    for (int p = 0; p < 2; p++)
        if (format->plane[p].bits) put_plane(format, &format->plane[p], code, bytes);
    put_sub_scales(format, k, bytes);
    for (int l = 0; l < LP_LANES; l++) {
        bytes[format->at_scale][l] = (uint8_t)k->d[l];
        if (format->exponent) continue;
        bytes[format->at_scale + 1][l] = (uint8_t)(k->d[l] >> 8);
        if (format->at_offset < 0) continue;
        bytes[format->at_offset][l] = (uint8_t)k->m[l];
        bytes[format->at_offset + 1][l] = (uint8_t)(k->m[l] >> 8);
    }
}

/* The scales of the searches as they are stored. */
static void take_scales(const lp_encode_format *format, const work *k, lp_encode_scales *out)
{
    memcpy(out->sub, k->sub, sizeof out->sub);
    memcpy(out->sub_offset, k->sub_offset, sizeof out->sub_offset);
    for (int l = 0; l < LP_LANES; l++) {
        uint32_t u = lp_f32_bits(k->stored_d[l]);
        out->d[l] = format->exponent ? (uint16_t)(u >> 23 ? (u >> 23) + 1 : u >> 22) : k->bits_d[l];
        out->m[l] = k->bits_m[l];
    }
}

uint32_t JOIN(lp_encode_batch_, LP_LANES_ISA)(const lp_encode_format *format, const lp_encode_plan *plan, lp_encode_batch *batch)
{
    work k;
    fit_sub_blocks(format, plan, batch, &k);
    fit_super(format, plan, &k);
    uint32_t bad = store_scales(format, &k);
    choose_codes(format, plan, batch, &k);
    if (format->sub_layout == LP_SUB_BYTES) clear_vanished(format, batch, &k);
    lp_encode_scales scales;
    take_scales(format, &k, &scales);
    put_bytes(format, &scales, (const uint8_t(*)[LP_LANES])batch->code, batch->bytes);
    return bad;
}

#ifdef LP_STORE_INSTANCE
void lp_encode_store(const lp_encode_format *format, const lp_encode_scales *scales, const uint8_t (*code)[LP_LANES],
                     uint8_t (*bytes)[LP_LANES])
{
    put_bytes(format, scales, code, bytes);
}
#endif
