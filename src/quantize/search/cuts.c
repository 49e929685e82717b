/* The searches of IQ1: the best cuts of the sorted values into -1, 0 and 1, shifted by an eighth to either side, then the
 * code book's pattern for every eight. Card: formats/gguf-block-formats.md. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "quantize/search/block.h"
#include "quantize/search/book.h"
#include "quantize/search/round.h"

enum { VALUES = 256, MOST_SUB = 32 };

/* Values of the levels 0 1 2 with the shift up (0) and down (1). */
static const float values_of[2][3] = {{-0.875f, 0.125f, 1.125f}, {-1.125f, -0.125f, 0.875f}};

typedef struct cuts {
    float scale;   /* 0: nothing fits */
    int low, high; /* of the sorted values: so many are -1, and from high on they are 1 */
    int down[2];   /* shift of the first and the second half */
} cuts;

typedef struct fit {
    float scale[VALUES / 16], w[VALUES];
    uint16_t index[VALUES / 8];
    uint8_t down[VALUES / 8], code[VALUES / 16];
    float largest;
} fit;

static void weigh(const float *x, const float *importance, float *w)
{
    float sum = 0.0f;
    for (int i = 0; i < VALUES; i++) sum += x[i] * x[i];
    float sigma2 = 2.0f * sum / (float)VALUES;
    for (int i = 0; i < VALUES; i++) w[i] = importance ? importance[i] * sqrtf(sigma2 + x[i] * x[i]) : x[i] * x[i];
}

static void sort(const float *x, int n, int *order)
{
    for (int i = 0; i < n; i++) {
        int j = i;
        for (; j > 0 && x[order[j - 1]] > x[i]; j--) order[j] = order[j - 1];
        order[j] = i;
    }
}

static void keep_better(float xq, float qq, float *best, cuts *c, int low, int high, int down0, int down1)
{
    if (!(qq > 0.0f && xq * xq > *best * qq)) return;
    c->scale = xq / qq;
    *best = c->scale * xq;
    c->low = low;
    c->high = high;
    c->down[0] = down0;
    c->down[1] = down1;
}

/* IQ1_S: one shift for all. */
static cuts cut_together(const float *x, const float *w, int n, const int *order)
{
    float sum_x[MOST_SUB + 1] = {0}, sum_w[MOST_SUB + 1] = {0}, best = -FLT_MAX;
    cuts c = {.low = -1};
    for (int j = 0; j < n; j++) {
        sum_x[j + 1] = sum_x[j] + w[order[j]] * x[order[j]];
        sum_w[j + 1] = sum_w[j] + w[order[j]];
    }
    for (int low = 0; low <= n; low++)
        for (int high = low; high <= n; high++)
            for (int down = 0; down < 2; down++) {
                const float *v = values_of[down];
                float xq = sum_x[low] * v[0] + (sum_x[high] - sum_x[low]) * v[1] + (sum_x[n] - sum_x[high]) * v[2];
                float qq = sum_w[low] * v[0] * v[0] + (sum_w[high] - sum_w[low]) * v[1] * v[1] + (sum_w[n] - sum_w[high]) * v[2] * v[2];
                keep_better(xq, qq, &best, &c, low, high, down, down);
            }
    return c;
}

/* IQ1_M: a shift for each half; sums per half. */
static cuts cut_halves(const float *x, const float *w, int n, const int *order)
{
    float sum_x[2][MOST_SUB + 1], sum_w[2][MOST_SUB + 1], best = -FLT_MAX;
    cuts c = {.low = -1};
    for (int h = 0; h < 2; h++) {
        sum_x[h][0] = sum_w[h][0] = 0.0f;
        for (int j = 0; j < n; j++) {
            bool here = order[j] / (n / 2) == h;
            sum_x[h][j + 1] = here ? sum_x[h][j] + w[order[j]] * x[order[j]] : sum_x[h][j];
            sum_w[h][j + 1] = here ? sum_w[h][j] + w[order[j]] : sum_w[h][j];
        }
    }
    for (int low = 0; low <= n; low++)
        for (int high = low; high <= n; high++) {
            float xq[2][2], qq[2][2]; /* [shift][half] */
            for (int h = 0; h < 2; h++)
                for (int down = 0; down < 2; down++) {
                    const float *v = values_of[down], below = v[0] * v[0] - v[1] * v[1], above = v[1] * v[1] - v[2] * v[2];
                    xq[down][h] = sum_x[h][n] * v[2] - (sum_x[h][low] + sum_x[h][high]);
                    qq[down][h] = sum_w[h][n] * v[2] * v[2] + sum_w[h][low] * below + sum_w[h][high] * above;
                }
            for (int k = 0; k < 4; k++)
                keep_better(xq[k / 2][0] + xq[k % 2][1], qq[k / 2][0] + qq[k % 2][1], &best, &c, low, high, k / 2, k % 2);
        }
    return c;
}

static int best_near(const lp_book *book, const uint16_t *list, const float *x, const float *w, float scale, const float *value)
{
    float least = FLT_MAX;
    int best = list[1];
    for (int j = 1; j <= list[0]; j++) {
        float error = 0.0f;
        for (int i = 0; i < 8; i++) {
            float difference = scale * value[lp_book_level(book, list[j], i)] - x[i];
            error += w[i] * difference * difference;
        }
        if (error < least) {
            least = error;
            best = list[j];
        }
    }
    return best;
}

/* Adds the products of eight values with an entry, times `by`. */
static void correlate(const lp_book *book, int entry, const float *value, float by, const float *x, const float *w, float *xq, float *qq)
{
    for (int i = 0; i < 8; i++) {
        float q = value[lp_book_level(book, entry, i)] * by;
        *xq += w[i] * q * x[i];
        *qq += w[i] * q * q;
    }
}

static void fit_sub(const lp_book *book, int n, const float *x, const float *w, bool halves, fit *f, int b)
{
    int order[MOST_SUB], level[MOST_SUB];
    sort(x, n, order);
    cuts c = halves ? cut_halves(x, w, n, order) : cut_together(x, w, n, order);
    if (c.low < 0) return;
    for (int j = 0; j < n; j++) level[order[j]] = j < c.low ? 0 : j < c.high ? 1 : 2;
    bool flip = c.scale < 0.0f, all_inside = true;
    c.scale = fabsf(c.scale);
    uint16_t *index = f->index + b * (n / 8);
    uint8_t *down = f->down + b * (n / 8);
    for (int g = 0; g < n / 8; g++) {
        int shift = c.down[halves ? g : 0];
        down[g] = (uint8_t)(flip ? 1 - shift : shift);
        unsigned pattern = 0;
        for (int i = 0; i < 8; i++) pattern |= (unsigned)(flip ? 2 - level[8 * g + i] : level[8 * g + i]) << 2 * i;
        int place = book->place[pattern];
        all_inside &= place >= 0;
        index[g] = (uint16_t)(place >= 0 ? place
                                         : best_near(book, book->near - 1 - place, x + 8 * g, w + 8 * g, c.scale, values_of[down[g]]));
    }
    float xq = 0.0f, qq = 0.0f;
    for (int g = 0; g < n / 8 && !all_inside; g++) correlate(book, index[g], values_of[down[g]], 1.0f, x + 8 * g, w + 8 * g, &xq, &qq);
    if (!all_inside && xq > 0.0f && qq > 0.0f) c.scale = xq / qq;
    f->scale[b] = c.scale;
    f->largest = f->largest > c.scale ? f->largest : c.scale;
}

/* False for values far beyond what an f16 scale reaches: sums would overflow in the search. */
static bool fit_block(const float *x, const float *importance, int n, bool halves, float floor, fit *f)
{
    const lp_book *book = lp_book_get(LP_BOOK_IQ1);
    memset(f, 0, sizeof *f);
    weigh(x, importance, f->w);
    for (int b = 0; b < VALUES / n; b++) {
        float most = 0.0f;
        for (int i = 0; i < n; i++) most = most > fabsf(x[b * n + i]) ? most : fabsf(x[b * n + i]);
        if (most > 0x1p27f) return false;
        if (most < floor) continue;
        fit_sub(book, n, x + b * n, f->w + b * n, halves, f, b);
    }
    if (!(f->largest > 0.0f)) return true;
    float inverse = 1.0f / (f->largest / 15.0f);
    for (int b = 0; b < VALUES / n; b++) f->code[b] = (uint8_t)clamp(nearest(0.5f * (inverse * f->scale[b] - 1.0f)), 0, 7);
    return true;
}

bool lp_encode_iq1_s(const float *x, const float *importance, uint8_t *block)
{
    fit f;
    if (!fit_block(x, importance, 32, false, 1e-12f, &f)) return false;
    for (int b = 0; b < 8; b++) {
        unsigned word = 0;
        for (int g = 0; g < 4; g++) {
            block[2 + 4 * b + g] = (uint8_t)f.index[4 * b + g];
            word |= (unsigned)(f.index[4 * b + g] >> 8) << 3 * g;
        }
        if (f.largest > 0.0f) word |= (unsigned)f.code[b] << 12 | (unsigned)f.down[4 * b] << 15;
        block[34 + 2 * b] = (uint8_t)word;
        block[35 + 2 * b] = (uint8_t)(word >> 8);
    }
    uint16_t bits = lp_f16_from_f32(f.largest / 15.0f * 1.125f);
    memcpy(block, &bits, 2);
    return (bits & 0x7c00u) != 0x7c00u;
}

/* The block's scale is fitted once more, to what is stored. */
bool lp_encode_iq1_m(const float *x, const float *importance, uint8_t *block)
{
    const lp_book *book = lp_book_get(LP_BOOK_IQ1);
    fit f;
    float d = 0.0f, xq = 0.0f, qq = 0.0f;
    bool any;
    if (!fit_block(x, importance, 16, true, 1e-7f, &f)) return false;
    any = f.largest > 0.0f;
    if (any) {
        d = f.largest / 15.0f;
        for (int k = 0; k < 32; k++)
            correlate(book, f.index[k], values_of[f.down[k]], (float)(2 * f.code[k / 2] + 1), x + 8 * k, f.w + 8 * k, &xq, &qq);
        if (qq > 0.0f) d = xq / qq;
    }
    unsigned bits = lp_f16_from_f32(d * 1.1125f), word[4] = {0};
    memset(block + 32, 0, 16);
    for (int k = 0; k < 32; k++) {
        block[k] = (uint8_t)f.index[k];
        block[32 + k / 2] |= (uint8_t)((f.index[k] >> 8 | (any ? f.down[k] << 3 : 0)) << 4 * (k % 2));
    }
    for (int b = 0; b < 16; b++) word[b / 4] |= (unsigned)f.code[b] << 3 * (b % 4);
    for (int i = 0; i < 4; i++) {
        word[i] |= (bits >> 4 * i & 15u) << 12;
        block[48 + 2 * i] = (uint8_t)word[i];
        block[49 + 2 * i] = (uint8_t)(word[i] >> 8);
    }
    return (bits & 0x7c00u) != 0x7c00u;
}
