/* The searches of IQ2 and IQ3: signs apart, magnitudes to the best patterns of a code book for several trial scales.
 *
 * A magnitude is s (2 l + 1) with levels l; the search maximises (sum w x q)^2 / sum w q^2 over the trials, as the weighted
 * squared error's complement. A pattern outside the book gives way to the near entry with the least sum sqrt(w) (s q - x)^2.
 * Card: formats/gguf-block-formats.md. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "quantize/search/block.h"
#include "quantize/search/book.h"
#include "quantize/search/round.h"

enum { VALUES = 256, MOST_SUB = 32 };

typedef struct method {
    lp_book_id book;
    int n;                  /* values per scale */
    bool parity;            /* only seven signs of eight are stored: their number is even */
    bool positive_start;    /* trials around a fit to 0 .. levels instead of around the largest value */
    int n_trials;           /* on either side of the start */
    float step;
    bool all_again;         /* with the scale found, all patterns are chosen again, not only those outside the book */
    bool always_again;      /* even if all were inside */
    bool off_at_first;      /* before any trial counts, patterns count as outside */
    bool keep_vanished;     /* patterns stay in a block whose scales all are 0 */
    float floor;            /* below, a sub-block is 0 */
    float sigma_factor;
    float plain_sigma;      /* weights without importance: this times sigma2, plus x^2 */
    float fudge;            /* of the stored scale */
} method;

typedef struct fit {
    float scale[VALUES / 16];
    uint8_t code[VALUES / 16]; /* of the scale */
    uint16_t index[VALUES / 4];
    uint8_t signs[VALUES / 8];
    float d;
} fit;

/* A sub-block while it is searched. */
typedef struct sub {
    const method *m;
    const lp_book *book;
    int n_groups;
    float x[MOST_SUB], w[MOST_SUB], root[MOST_SUB]; /* magnitudes, weights, their roots */
    uint8_t signs[MOST_SUB / 8];
} sub;

/* ---- parts -------------------------------------------------------------------------------------------------------- */

static void weigh(const method *m, const float *x, const float *importance, float sigma2, sub *s)
{
    for (int i = 0; i < m->n; i++) {
        float square = x[i] * x[i];
        s->w[i] = importance ? importance[i] * sqrtf(sigma2 + square) : m->plain_sigma != 0.0f ? m->plain_sigma * sigma2 + square : square;
        s->root[i] = sqrtf(s->w[i]);
    }
}

/* Magnitudes and signs; where the number of signs must be even, the cheapest value of eight changes its own. */
static void take_signs(const method *m, const float *x, sub *s)
{
    for (int k = 0; k < m->n / 8; k++) {
        unsigned signs = 0;
        int cheapest = 8 * k;
        for (int i = 8 * k; i < 8 * k + 8; i++) {
            bool negative = !(x[i] >= 0.0f);
            s->x[i] = negative ? -x[i] : x[i];
            signs |= (unsigned)negative << i % 8;
            if (s->w[i] * x[i] * x[i] < s->w[cheapest] * x[cheapest] * x[cheapest]) cheapest = i;
        }
        if (m->parity && __builtin_parity(signs)) {
            s->x[cheapest] = -s->x[cheapest];
            signs ^= 1u << cheapest % 8;
        }
        s->signs[k] = (uint8_t)signs;
    }
}

static int best_near(const lp_book *book, const uint16_t *list, const float *x, const float *root, float scale)
{
    float least = FLT_MAX;
    int best = list[1];
    for (int j = 1; j <= list[0]; j++) {
        float error = 0.0f;
        for (int i = 0; i < book->dims; i++) {
            float difference = scale * (float)(2 * lp_book_level(book, list[j], i) + 1) - x[i];
            error += root[i] * difference * difference;
        }
        if (error < least) {
            least = error;
            best = list[j];
        }
    }
    return best;
}

/* The entry for group g at a scale and its inverse; *inside says whether the rounded pattern was one. */
static int choose(const sub *s, int g, float inverse, float scale, bool *inside)
{
    const lp_book *book = s->book;
    const float *x = s->x + g * book->dims;
    unsigned pattern = 0;
    for (int i = 0; i < book->dims; i++)
        pattern |= (unsigned)clamp(nearest(0.5f * (inverse * x[i] - 1.0f)), 0, book->n_levels - 1) << book->bits * i;
    int place = book->place[pattern];
    *inside = place >= 0;
    return place >= 0 ? place : best_near(book, book->near - 1 - place, x, s->root + g * book->dims, scale);
}

static void correlate(const sub *s, const uint16_t *index, float *sum_xq, float *sum_qq)
{
    float xq = 0.0f, qq = 0.0f;
    for (int g = 0, j = 0; g < s->n_groups; g++)
        for (int i = 0; i < s->book->dims; i++, j++) {
            float q = (float)(2 * lp_book_level(s->book, index[g], i) + 1);
            xq += s->w[j] * s->x[j] * q;
            qq += s->w[j] * q * q;
        }
    *sum_xq = xq;
    *sum_qq = qq;
}

/* The scale of levels 0 .. top that fits best: nine trials, then coordinate descent. Negative values (a sign that parity
 * changed) have the level that the reference's bytes give them. */
static float positive_scale(const sub *s, float largest, int top)
{
    float inverse = (float)top / largest, least = 0.0f;
    int level[MOST_SUB];
    {
        float scale = 1.0f / inverse;
        for (int i = 0; i < s->m->n; i++) {
            float difference = s->x[i] - scale * (float)(uint8_t)nearest(inverse * s->x[i]);
            least += s->w[i] * difference * difference;
        }
    }
    for (int k = -4; k <= 4; k++) {
        if (k == 0) continue;
        float trial = (0.1f * (float)k + (float)top) / largest, scale = 1.0f / trial, error = 0.0f;
        for (int i = 0; i < s->m->n; i++) {
            int l = nearest(trial * s->x[i]);
            float difference = s->x[i] - scale * (float)(l < top ? l : top);
            error += s->w[i] * difference * difference;
        }
        if (error < least) {
            least = error;
            inverse = trial;
        }
    }
    float xl = 0.0f, ll = 0.0f;
    for (int i = 0; i < s->m->n; i++) {
        int l = nearest(inverse * s->x[i]);
        l = l < top ? l : top;
        level[i] = (uint8_t)l;
        xl += s->w[i] * s->x[i] * (float)l;
        ll += s->w[i] * (float)l * (float)l;
    }
    for (int sweep = 0; sweep < 5; sweep++) {
        bool changed = false;
        for (int i = 0; i < s->m->n; i++) {
            float w = s->w[i], x = s->x[i], l = (float)level[i], rest_xl = xl - w * x * l, rest_ll = ll - w * l * l;
            if (!(rest_xl > 0.0f && rest_ll > 0.0f)) continue;
            int r = nearest(x * rest_ll / rest_xl);
            r = r < top ? r : top;
            if (r == level[i]) continue;
            rest_xl += w * x * (float)r;
            rest_ll += w * (float)r * (float)r;
            if (!(rest_xl * rest_xl * ll > xl * xl * rest_ll)) continue;
            level[i] = (uint8_t)r;
            xl = rest_xl;
            ll = rest_ll;
            changed = true;
        }
        if (!changed) break;
    }
    return ll > 0.0f ? xl / ll : 0.0f;
}

/* ---- a sub-block -------------------------------------------------------------------------------------------------- */

/* Fills index and returns the scale; 0 without patterns if there is nothing to fit (then *empty). */
static float search(const sub *s, uint16_t *index, bool *empty)
{
    const method *m = s->m;
    int top = s->book->n_levels;
    float largest = s->x[0], extent, span = (float)(2 * top - 1), best = 0.0f;
    for (int i = 1; i < m->n; i++) largest = largest > s->x[i] ? largest : s->x[i];
    *empty = m->floor > 0.0f ? largest < m->floor : largest == 0.0f;
    if (*empty) return 0.0f;
    extent = m->positive_start ? positive_scale(s, largest, top + 1) * (float)top : largest;
    float scale = m->positive_start ? extent / (float)top : largest / span;
    *empty = m->positive_start && !(extent > 0.0f);
    if (*empty) return 0.0f;

    bool inside[MOST_SUB / 4], any_outside = false;
    for (int g = 0; g < s->n_groups; g++) {
        inside[g] = !m->off_at_first;
        index[g] = 0;
    }
    for (int k = -m->n_trials; k <= m->n_trials; k++) {
        uint16_t trial[MOST_SUB / 4];
        bool trial_inside[MOST_SUB / 4];
        float inverse = (span + (float)k * m->step) / extent, xq, qq;
        for (int g = 0; g < s->n_groups; g++) trial[g] = (uint16_t)choose(s, g, inverse, 1.0f / inverse, &trial_inside[g]);
        correlate(s, trial, &xq, &qq);
        if (!(qq > 0.0f && xq * xq > best * qq)) continue;
        scale = xq / qq;
        best = scale * xq;
        memcpy(index, trial, (size_t)s->n_groups * sizeof *index);
        memcpy(inside, trial_inside, sizeof inside);
    }
    for (int g = 0; g < s->n_groups; g++) any_outside |= !inside[g];
    if (scale > 0.0f && (any_outside || m->always_again)) {
        float inverse = 1.0f / scale, xq, qq;
        bool unused;
        for (int g = 0; g < s->n_groups; g++)
            if (m->all_again || !inside[g]) index[g] = (uint16_t)choose(s, g, inverse, scale, &unused);
        correlate(s, index, &xq, &qq);
        if (qq > 0.0f) scale = xq / qq;
    }
    return scale;
}

/* ---- a block ------------------------------------------------------------------------------------------------------ */

static void fit_block(const method *m, const float *x, const float *importance, fit *f)
{
    sub s = {.m = m, .book = lp_book_get(m->book)};
    float sum = 0.0f, largest = 0.0f;
    s.n_groups = m->n / s.book->dims;
    memset(f, 0, sizeof *f);
    for (int i = 0; i < VALUES; i++) sum += x[i] * x[i];
    float sigma2 = m->sigma_factor * sum / (float)VALUES;
    for (int b = 0; b < VALUES / m->n; b++) {
        uint16_t *index = f->index + b * s.n_groups;
        bool empty;
        weigh(m, x + b * m->n, importance ? importance + b * m->n : NULL, sigma2, &s);
        take_signs(m, x + b * m->n, &s);
        float scale = search(&s, index, &empty);
        if (empty) continue;
        for (int k = 0; k < m->n / 8; k++) f->signs[b * m->n / 8 + k] = (uint8_t)(scale < 0.0f ? ~s.signs[k] : s.signs[k]);
        f->scale[b] = fabsf(scale);
        largest = largest > f->scale[b] ? largest : f->scale[b];
    }
    if (!(largest > 0.0f)) {
        if (!m->keep_vanished) memset(f, 0, sizeof *f);
        return;
    }
    float d = largest / 31.0f, inverse = 1.0f / d;
    f->d = d * m->fudge;
    for (int b = 0; b < VALUES / m->n; b++) f->code[b] = (uint8_t)clamp(nearest(0.5f * (inverse * f->scale[b] - 1.0f)), 0, 15);
}

static bool put_scale(float d, uint8_t *p)
{
    uint16_t bits = lp_f16_from_f32(d);
    memcpy(p, &bits, 2);
    return (bits & 0x7c00u) != 0x7c00u;
}

static void put_nibbles(const uint8_t *code, int n, uint8_t *p)
{
    for (int i = 0; i < n / 2; i++) p[i] = (uint8_t)(code[2 * i] | code[2 * i + 1] << 4);
}

/* Four times seven signs, and the scale's code on top. */
static void put_sign_word(const fit *f, int b, uint8_t *p)
{
    uint32_t word = (uint32_t)f->code[b] << 28;
    for (int k = 0; k < 4; k++) word |= (uint32_t)(f->signs[4 * b + k] & 127) << 7 * k;
    memcpy(p, &word, 4);
}

bool lp_encode_iq2_xxs(const float *x, const float *importance, uint8_t *block)
{
    static const method m = {.book = LP_BOOK_IQ2_XXS, .n = 32, .parity = true, .positive_start = true, .n_trials = 6, .step = 0.1f,
                             .all_again = true, .always_again = true, .floor = 1e-15f, .sigma_factor = 1, .fudge = 1};
    fit f;
    fit_block(&m, x, importance, &f);
    for (int b = 0; b < 8; b++) {
        for (int k = 0; k < 4; k++) block[2 + 8 * b + k] = (uint8_t)f.index[4 * b + k];
        put_sign_word(&f, b, block + 6 + 8 * b);
    }
    return put_scale(f.d, block);
}

bool lp_encode_iq2_xs(const float *x, const float *importance, uint8_t *block)
{
    static const method m = {.book = LP_BOOK_IQ2_XS, .n = 16, .parity = true, .n_trials = 9, .step = 0.1f, .floor = 1e-15f,
                             .sigma_factor = 1, .fudge = 1};
    fit f;
    fit_block(&m, x, importance, &f);
    for (int k = 0; k < 32; k++) {
        uint16_t word = (uint16_t)(f.index[k] | (f.signs[k] & 127) << 9);
        memcpy(block + 2 + 2 * k, &word, 2);
    }
    put_nibbles(f.code, 16, block + 66);
    return put_scale(f.d, block);
}

bool lp_encode_iq2_s(const float *x, const float *importance, uint8_t *block)
{
    static const method m = {.book = LP_BOOK_IQ2_S, .n = 16, .n_trials = 9, .step = 0.1f, .keep_vanished = true, .floor = 1e-8f,
                             .sigma_factor = 2, .plain_sigma = 0.25f, .fudge = 0.9875f};
    fit f;
    fit_block(&m, x, importance, &f);
    memset(block + 66, 0, 8);
    for (int k = 0; k < 32; k++) {
        block[2 + k] = (uint8_t)f.index[k];
        block[34 + k] = f.signs[k];
        block[66 + k / 4] |= (uint8_t)(f.index[k] >> 8 << 2 * (k % 4));
    }
    put_nibbles(f.code, 16, block + 74);
    return put_scale(f.d, block);
}

bool lp_encode_iq3_xxs(const float *x, const float *importance, uint8_t *block)
{
    static const method m = {.book = LP_BOOK_IQ3_XXS, .n = 32, .parity = true, .n_trials = 15, .step = 0.2f, .floor = 1e-8f,
                             .sigma_factor = 2, .fudge = 1.0125f};
    fit f;
    fit_block(&m, x, importance, &f);
    for (int k = 0; k < 64; k++) block[2 + k] = (uint8_t)f.index[k];
    for (int b = 0; b < 8; b++) put_sign_word(&f, b, block + 66 + 4 * b);
    return put_scale(f.d, block);
}

bool lp_encode_iq3_s(const float *x, const float *importance, uint8_t *block)
{
    static const method m = {.book = LP_BOOK_IQ3_S, .n = 32, .n_trials = 9, .step = 0.2f, .all_again = true, .off_at_first = true,
                             .keep_vanished = true, .sigma_factor = 2, .fudge = 1.033f};
    fit f;
    fit_block(&m, x, importance, &f);
    memset(block + 66, 0, 8);
    for (int k = 0; k < 64; k++) {
        block[2 + k] = (uint8_t)f.index[k];
        block[66 + k / 8] |= (uint8_t)(f.index[k] >> 8 << k % 8);
    }
    memcpy(block + 74, f.signs, 32);
    put_nibbles(f.code, 8, block + 106);
    return put_scale(f.d, block);
}
