/* Rounding arrays: the work is cut into pieces whose results do not depend on the cuts. */
#include <lowp/round.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "base/half.h"
#include "base/random.h"
#include "format/codes.h"
#include "format/rounder.h"
#include "format/round_lanes.h"

enum { PIECE = 512 }; /* numbers at a time in buffers on the stack; a multiple of 8, so that pieces of codes end with a byte */

typedef struct job {
    lp_rounder rounder;
    lp_lanes lanes;
    const lp_lane_functions *fast; /* NULL: number by number */
    const float *x32;   /* one of the two is the input */
    const double *x64;
    float *y32;         /* one of the three is the output */
    double *y64;
    uint8_t *codes;
    int64_t n;          /* numbers; of complex elements, pairs */
} job;

/* ---- number by number: the specification ------------------------------------------------------------------------- */

static uint32_t word_of(const lp_rounding *rule, int64_t i)
{
    if (!lp_is_stochastic(rule->mode)) return 0;
    return lp_random_word(rule->seed, rule->first + (uint64_t)i, rule->tensor, rule->step, LP_RANDOM_ROUND, 0);
}

/* Every NaN is quiet, without payload, with the sign of the input. */
static float float_of(double value, double x)
{
    return isnan(value) ? lp_f32_from_bits(0x7fc00000u | (signbit(x) ? 0x80000000u : 0)) : (float)value;
}

static double double_of(double value, double x)
{
    uint64_t nan = UINT64_C(0x7ff8000000000000) | (signbit(x) ? UINT64_C(1) << 63 : 0);
    if (isnan(value)) memcpy(&value, &nan, sizeof value);
    return value;
}

static double input(const job *j, int64_t i) { return j->x32 ? (double)j->x32[i] : j->x64[i]; }

static void output(const job *j, int64_t i, double value, double x)
{
    if (j->y32) j->y32[i] = float_of(value, x);
    else j->y64[i] = double_of(value, x);
}

static void exact_piece(const job *j, int64_t first, int64_t n, uint32_t *codes)
{
    const lp_element *e = &j->rounder.element;
    for (int64_t i = first; i < first + n; i++) {
        if (e->kind == LP_ELEMENT_COMPLEX) {
            double re = input(j, 2 * i), im = input(j, 2 * i + 1);
            bool is_nan = isnan(re) || isnan(im);
            uint32_t code = is_nan ? 0 : lp_round_complex(re, im);
            if (codes) {
                codes[i - first] = code;
                continue;
            }
            output(j, 2 * i, is_nan ? NAN : lp_element_value(e, code), re);
            output(j, 2 * i + 1, is_nan ? NAN : lp_element_imaginary(e, code), im);
        } else {
            double x = input(j, i);
            lp_rounded y = lp_round_one(&j->rounder, x, word_of(&j->rounder.rounding, i));
            if (codes) codes[i - first] = y.code;
            else output(j, i, y.value, x);
        }
    }
}

/* ---- all together ------------------------------------------------------------------------------------------------ */

static void round_part(void *context, int thread, int n_threads)
{
    const job *j = context;
    const lp_rounding *rule = &j->rounder.rounding;
    int bits = j->rounder.element.bits;
    int64_t first, last;
    lp_pool_part((j->n + PIECE - 1) / PIECE, thread, n_threads, &first, &last);
    first *= PIECE;
    last = last * PIECE < j->n ? last * PIECE : j->n;
    uint32_t codes[PIECE];
    int64_t piece = PIECE;
    if (!j->codes && !lp_is_stochastic(rule->mode)) piece = last - first; /* no buffers */
    for (int64_t i = first; i < last; i += piece) {
        int64_t n = last - i < piece ? last - i : piece;
        if (!j->codes) {
            if (!j->fast) exact_piece(j, i, n, NULL);
            else if (j->x32) j->fast->values_f32(&j->lanes, j->x32 + i, n, j->y32 + i, rule->first + (uint64_t)i);
            else j->fast->values_f64(&j->lanes, j->x64 + i, n, j->y64 + i, rule->first + (uint64_t)i);
            continue;
        }
        if (j->fast && j->x32) j->fast->codes_f32(&j->lanes, j->x32 + i, n, codes, rule->first + (uint64_t)i);
        else exact_piece(j, i, n, codes);
        (j->fast ? j->fast->pack : lp_codes_pack)(codes, n, bits, j->codes + i / 8 * bits);
    }
}

/* x and y have n numbers, complex elements take two for one code. */
static lp_status start(const lp_element *element, const lp_rounding *rounding, int64_t n, job *j)
{
    j->x32 = NULL;
    j->x64 = NULL;
    j->y32 = NULL;
    j->y64 = NULL;
    j->codes = NULL;
    if (n < 0) return lp_fail(LP_USAGE, "rounding: %lld numbers", (long long)n);
    LP_TRY(lp_rounder_make(element, rounding, &j->rounder));
    if (element->kind == LP_ELEMENT_COMPLEX && n % 2)
        return lp_hint(lp_fail(LP_USAGE, "rounding: %lld numbers are no pairs", (long long)n),
                       "complex elements take a real and an imaginary part each");
    j->n = element->kind == LP_ELEMENT_COMPLEX ? n / 2 : n;
    j->fast = lp_lanes_make(&j->rounder, j->n, &j->lanes) ? lp_lane_functions_current() : NULL;
    return LP_OK;
}

static lp_status finish(job *j, lp_pool *pool)
{
    if (j->x32 && j->lanes.is_wide && (j->codes || !j->lanes.is_plain)) j->fast = NULL;
    if (j->x64 && j->lanes.kind > LP_LANE_LADDER_SCALED) j->fast = NULL; /* float32 alone */
    lp_pool_run(j->n > 2 * PIECE ? pool : NULL, round_part, j);
    return LP_OK;
}

lp_status lp_round_f32(const lp_element *element, const lp_rounding *rounding, const float *x, int64_t n, float *y, lp_pool *pool)
{
    job j; /* not cleared: of small arrays that would be a part of the time */
    LP_TRY(start(element, rounding, n, &j));
    j.x32 = x;
    j.y32 = y;
    return finish(&j, pool);
}

lp_status lp_round_f64(const lp_element *element, const lp_rounding *rounding, const double *x, int64_t n, double *y, lp_pool *pool)
{
    job j; /* not cleared: of small arrays that would be a part of the time */
    LP_TRY(start(element, rounding, n, &j));
    j.x64 = x;
    j.y64 = y;
    return finish(&j, pool);
}

lp_status lp_round_codes_f32(const lp_element *element, const lp_rounding *rounding, const float *x, int64_t n, void *codes,
                             lp_pool *pool)
{
    job j; /* not cleared: of small arrays that would be a part of the time */
    LP_TRY(start(element, rounding, n, &j));
    j.x32 = x;
    j.codes = codes;
    return finish(&j, pool);
}

lp_status lp_round_codes_f64(const lp_element *element, const lp_rounding *rounding, const double *x, int64_t n, void *codes,
                             lp_pool *pool)
{
    job j; /* not cleared: of small arrays that would be a part of the time */
    LP_TRY(start(element, rounding, n, &j));
    j.x64 = x;
    j.codes = codes;
    return finish(&j, pool);
}

/* ---- codes back to values ---------------------------------------------------------------------------------------- */

size_t lp_codes_bytes(const lp_element *element, int64_t n)
{
    if (element->kind == LP_ELEMENT_COMPLEX) n /= 2;
    int64_t bits;
    if (n < 0 || !lp_mul_i64(n, element->bits, &bits) || bits > INT64_MAX - 7) return 0;
    return (size_t)((bits + 7) / 8);
}

typedef struct decode_job {
    const lp_element *element;
    lp_lane_codes lanes;
    const lp_lane_functions *fast; /* NULL: the table, or one by one */
    const float *table; /* values of all codes, for elements of at most 16 bits; or NULL */
    const uint8_t *codes;
    float *y32;
    double *y64;
    int64_t n;
} decode_job;

static void decode_part(void *context, int thread, int n_threads)
{
    const decode_job *j = context;
    const lp_element *e = j->element;
    bool is_complex = e->kind == LP_ELEMENT_COMPLEX;
    int64_t first, last;
    lp_pool_part((j->n + PIECE - 1) / PIECE, thread, n_threads, &first, &last);
    first *= PIECE;
    last = last * PIECE < j->n ? last * PIECE : j->n;
    uint32_t codes[PIECE];
    for (int64_t at = first; at < last; at += PIECE) {
        int64_t n = last - at < PIECE ? last - at : PIECE;
        (j->fast ? j->fast->unpack : lp_codes_unpack)(j->codes + at / 8 * e->bits, n, e->bits, codes);
        if (j->fast && j->fast->decode_f32(&j->lanes, codes, n, j->y32 + at)) continue;
        if (j->table && j->y32) {
            for (int64_t i = 0; i < n; i++) j->y32[at + i] = j->table[codes[i]];
            continue;
        }
        for (int64_t i = 0; i < n; i++) {
            double value = j->table ? (double)j->table[codes[i]] : lp_element_value(e, codes[i]);
            int64_t to = is_complex ? 2 * (at + i) : at + i;
            if (j->y32) j->y32[to] = float_of(value, 0);
            else j->y64[to] = double_of(value, 0);
            if (is_complex && j->y32) j->y32[to + 1] = (float)lp_element_imaginary(e, codes[i]);
            if (is_complex && j->y64) j->y64[to + 1] = lp_element_imaginary(e, codes[i]);
        }
    }
}

static lp_status decode(decode_job *j, lp_pool *pool)
{
    if (j->n < 0) return lp_fail(LP_USAGE, "decoding: %lld codes", (long long)j->n);
    const lp_element *e = j->element;
    if (e->kind == LP_ELEMENT_COMPLEX) j->n /= 2;
    j->fast = j->y32 && lp_lane_codes_make(e, &j->lanes) ? lp_lane_functions_current() : NULL;
    float *table = NULL;
    if (!j->fast && e->kind != LP_ELEMENT_COMPLEX && e->bits <= 16 && j->n >> e->bits) { /* worth it: at least as many codes as values */
        table = malloc(sizeof *table << e->bits);
        if (!table) return lp_fail_memory(sizeof *table << e->bits, "a table of values");
        for (uint32_t c = 0; c < 1u << e->bits; c++) table[c] = float_of(lp_element_value(e, c), 0);
    }
    j->table = table;
    lp_pool_run(j->n > 2 * PIECE ? pool : NULL, decode_part, j);
    free(table);
    return LP_OK;
}

lp_status lp_codes_values_f32(const lp_element *element, const void *codes, int64_t n, float *y, lp_pool *pool)
{
    decode_job j = {.element = element, .codes = codes, .y32 = y, .n = n};
    return decode(&j, pool);
}

lp_status lp_codes_values_f64(const lp_element *element, const void *codes, int64_t n, double *y, lp_pool *pool)
{
    decode_job j = {.element = element, .codes = codes, .y64 = y, .n = n};
    return decode(&j, pool);
}
