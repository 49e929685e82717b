/* Training with bits masked away: bfloat16 words cut, exponents clipped, and the sharpness of the logits as a warning.
 * Card: formats/precision-stability. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study.h"

/* ---- masks ------------------------------------------------------------------------------------------------------- */

/* E8Mm by masking is rounding to bfloat16 and then toward zero to m bits. */
static float masked(float x, int m, lp_rounding_mode mode)
{
    static const lp_element *elements[8];
    if (!elements[m]) {
        char text[8];
        snprintf(text, sizeof text, "e8m%d", m);
        elements[m] = study_element(m == 7 ? "bf16" : text);
    }
    lp_rounding rounding = {.mode = mode};
    float y;
    lp_round_f32(study_element("bf16"), NULL, &x, 1, &y, NULL);
    lp_round_f32(elements[m], &rounding, &y, 1, &y, NULL);
    return y;
}

static uint32_t word(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits >> 16;
}

static void show_masks(study *s)
{
    static const struct {
        float x;
        int m;
        uint32_t word;
    } rows[] = {{1.9921875f, 7, 0x3fff}, {1.9921875f, 6, 0x3ffe}, {1.9921875f, 4, 0x3ff8}, {1.9921875f, 2, 0x3fe0},
                {-3.140625f, 7, 0xc049}, {-3.140625f, 6, 0xc048}, {-3.140625f, 5, 0xc048}, {-3.140625f, 4, 0xc048},
                {-3.140625f, 3, 0xc040}, {0.1f, 7, 0x3dcd},       {0.1f, 6, 0x3dcc},       {0.1f, 4, 0x3dc8},
                {0.1f, 3, 0x3dc0},       {1e-3f, 7, 0x3a83},      {1e-3f, 6, 0x3a82},      {1e-3f, 4, 0x3a80}};
    study_heading(s, "words after masking");
    for (int i = 0; i < 16; i++)
        study_word(s, word(masked(rows[i].x, rows[i].m, LP_ROUND_TOWARD_ZERO)), rows[i].word, "%g to %d bits",
                   (double)rows[i].x, rows[i].m);
    /* The card cuts float32 words: bias of the truncation to m bits, x uniform in [1, 2). */
    enum { N = 1000000 };
    static const struct {
        const char *element;
        double bias;
    } biases[] = {{"bf16", -.0027}, {"e8m5", -.0108}, {"e8m4", -.0215}, {"e8m3", -.0427}, {"e8m2", -.0841}};
    float *x = study_allocate(N, sizeof *x), *y = study_allocate(N, sizeof *y);
    uint64_t state = 960;
    for (int i = 0; i < N; i++) x[i] = (float)(1 + study_uniform(&state));
    study_heading(s, "mean relative error, x uniform in [1, 2)");
    for (int k = 0; k < 5; k++) {
        double bias[2] = {0, 0};
        for (int nearest = 0; nearest < 2; nearest++) {
            lp_rounding rounding = {.mode = nearest ? LP_ROUND_NEAREST_EVEN : LP_ROUND_TOWARD_ZERO};
            lp_round_f32(study_element(biases[k].element), &rounding, x, N, y, NULL);
            for (int i = 0; i < N; i++) bias[nearest] += ((double)y[i] / x[i] - 1) / N;
        }
        study_figure(s, bias[0], biases[k].bias, 1e-4, "%s, masked", biases[k].element);
        study_rival(s, bias[1], "to nearest");
        study_claim(s, fabs(bias[1]), '<', 0.0013 * 1.05, "%s, to nearest: bias", biases[k].element);
    }
    free(x);
    free(y);
}

/* ---- sharpness --------------------------------------------------------------------------------------------------- */

static double cross_entropy(const double *z, int n, int target)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += exp(z[i] - z[target]);
    return log(sum);
}

static double sharpest(const double *z, int n, int target, double epsilon)
{
    double moved[16];
    for (int i = 0; i < n; i++) moved[i] = z[i] + (i == target ? -1 : 1) * epsilon * (fabs(z[i]) + 1);
    return cross_entropy(moved, n, target);
}

static void show_sharpness(study *s)
{
    static const double z[4] = {2, 0.5, -1, 0};
    double f = cross_entropy(z, 4, 0), most = sharpest(z, 4, 0, 5e-3);
    study_heading(s, "sharpness of the loss at logits (2, 0.5, -1, 0)");
    study_figure(s, f, 0.342349582, 1e-9, "loss");
    study_figure(s, most, 0.348770704, 1e-9, "largest loss in the box");
    study_figure(s, 100 * (most - f) / (1 + f), 0.478349, 1e-6, "sharpness");
    uint64_t state = 961;
    double apart = 0, exceeded = 0;
    for (int trial = 0; trial < 200; trial++) {
        double v[6], best = -INFINITY;
        int n = 2 + trial % 5, vertices = 1;
        for (int i = 0; i < n; i++) {
            v[i] = 2 * study_normal(&state);
            vertices *= 3;
        }
        double closed = sharpest(v, n, trial % n, 5e-3);
        for (int code = 0; code < vertices; code++) {
            double w[6];
            for (int i = 0, c = code; i < n; i++, c /= 3) w[i] = v[i] + (c % 3 - 1) * 5e-3 * (fabs(v[i]) + 1);
            best = fmax(best, cross_entropy(w, n, trial % n));
        }
        apart = fmax(apart, fabs(best - closed));
        for (int k = 0; k < 50; k++) {
            double w[6];
            for (int i = 0; i < n; i++) w[i] = v[i] + (2 * study_uniform(&state) - 1) * 5e-3 * (fabs(v[i]) + 1);
            exceeded += cross_entropy(w, n, trial % n) > closed + 1e-12;
        }
    }
    study_figure(s, apart, 0, 1e-12, "closed form against all sign patterns, 200 sets of logits");
    study_figure(s, exceeded, 0, 0, "random points of the box above the closed form");
}

/* ---- training ---------------------------------------------------------------------------------------------------- */

enum { INPUTS = 8, HIDDEN = 16, CLASSES = 4, BATCH = 32, STEPS = 200, SEEDS = 12 };

typedef struct network {
    float w1[HIDDEN][INPUTS], w2[CLASSES][HIDDEN];
} network;

/* How the tensors that enter a product are rounded. */
typedef struct operand {
    const lp_element *element; /* NULL: left as they are */
    lp_rounding rounding;
} operand;

static void round_tensor(operand *o, const float *x, int64_t n, float *y)
{
    if (!o->element) {
        memmove(y, x, (size_t)n * sizeof *y);
        return;
    }
    o->rounding.step++;
    lp_round_f32(study_element("bf16"), NULL, x, n, y, NULL);
    lp_round_f32(o->element, &o->rounding, y, n, y, NULL);
}

/* Trains a classifier of clusters by gradient descent with inputs, weights and gradients of every product rounded; the
 * mean loss of the last 20 steps. */
static double train(operand o, double rate, uint64_t seed)
{
    network w, r;
    float centre[CLASSES][INPUTS];
    uint64_t state = seed;
    for (int i = 0; i < CLASSES * INPUTS; i++) centre[i / INPUTS][i % INPUTS] = (float)(1.2 * study_normal(&state));
    for (int i = 0; i < HIDDEN * INPUTS; i++)
        w.w1[i / INPUTS][i % INPUTS] = (float)(study_normal(&state) / sqrt(INPUTS));
    for (int i = 0; i < CLASSES * HIDDEN; i++)
        w.w2[i / HIDDEN][i % HIDDEN] = (float)(study_normal(&state) / sqrt(HIDDEN));
    double late = 0;
    for (int step = 0; step < STEPS; step++) {
        float x[BATCH][INPUTS], a[BATCH][HIDDEN], rounded_a[BATCH][HIDDEN], d[BATCH][CLASSES], da[BATCH][HIDDEN];
        int label[BATCH];
        double loss = 0;
        for (int b = 0; b < BATCH; b++) {
            label[b] = (int)(study_random(&state) % CLASSES);
            for (int i = 0; i < INPUTS; i++) x[b][i] = centre[label[b]][i] + (float)study_normal(&state);
        }
        round_tensor(&o, &w.w1[0][0], HIDDEN * INPUTS, &r.w1[0][0]);
        round_tensor(&o, &w.w2[0][0], CLASSES * HIDDEN, &r.w2[0][0]);
        round_tensor(&o, &x[0][0], BATCH * INPUTS, &x[0][0]);
        for (int b = 0; b < BATCH; b++)
            for (int h = 0; h < HIDDEN; h++) {
                float sum = 0;
                for (int i = 0; i < INPUTS; i++) sum += r.w1[h][i] * x[b][i];
                a[b][h] = sum > 0 ? sum : 0;
            }
        round_tensor(&o, &a[0][0], BATCH * HIDDEN, &rounded_a[0][0]);
        for (int b = 0; b < BATCH; b++) {
            double z[CLASSES], top = -INFINITY, sum = 0;
            for (int c = 0; c < CLASSES; c++) {
                z[c] = 0;
                for (int h = 0; h < HIDDEN; h++) z[c] += (double)r.w2[c][h] * rounded_a[b][h];
                top = fmax(top, z[c]);
            }
            for (int c = 0; c < CLASSES; c++) sum += exp(z[c] - top);
            loss += (log(sum) + top - z[label[b]]) / BATCH;
            for (int c = 0; c < CLASSES; c++) d[b][c] = (float)((exp(z[c] - top) / sum - (c == label[b])) / BATCH);
        }
        if (!isfinite(loss) || loss > 1e3) return 1e3;
        round_tensor(&o, &d[0][0], BATCH * CLASSES, &d[0][0]);
        for (int b = 0; b < BATCH; b++)
            for (int h = 0; h < HIDDEN; h++) {
                float sum = 0;
                for (int c = 0; c < CLASSES; c++) sum += r.w2[c][h] * d[b][c];
                da[b][h] = a[b][h] > 0 ? sum : 0;
            }
        round_tensor(&o, &da[0][0], BATCH * HIDDEN, &da[0][0]);
        for (int b = 0; b < BATCH; b++)
            for (int h = 0; h < HIDDEN; h++) {
                for (int c = 0; c < CLASSES; c++) w.w2[c][h] -= (float)rate * d[b][c] * rounded_a[b][h];
                for (int i = 0; i < INPUTS; i++) w.w1[h][i] -= (float)rate * da[b][h] * x[b][i];
            }
        if (step >= STEPS - 20) late += loss / 20;
    }
    return late;
}

/* Distance of the final loss from bfloat16's, over paired seeds. */
static double distance(const char *element, lp_rounding_mode mode, double rate)
{
    operand plain = {study_element("bf16"), {0}}, o = {study_element(element), {.mode = mode, .seed = 962}};
    double sum = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        sum += (train(o, rate, 970 + seed) - train(plain, rate, 970 + seed)) / SEEDS;
    return sum;
}

/* The smallest learning rate, in steps of sqrt(2), at which half of the runs end above the loss of guessing. */
static double diverging(const char *element, lp_rounding_mode mode)
{
    for (double rate = 0.25; rate < 300; rate *= 1.1) {
        int lost = 0;
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            operand o = {study_element(element), {.mode = mode, .seed = 962}};
            lost += train(o, rate, 970 + seed) > log(CLASSES);
        }
        if (2 * lost >= SEEDS) return rate;
    }
    return INFINITY;
}

static void show_training(study *s)
{
    double plain = diverging("bf16", LP_ROUND_NEAREST_EVEN), mask = diverging("e8m2", LP_ROUND_TOWARD_ZERO);
    study_heading(s, "a small classifier, all operands of products cut");
    study_claim(s, mask, '<', plain, "learning rate that diverges: E8M2 masked before bfloat16");
    study_paper(s, "fewer mantissa bits narrow the usable rates");
    study_reason(s, "not so here: in plain gradient descent of a small network masking shrinks gradients, which acts "
                    "like a smaller rate; the "
                    "paper trains transformers with Adam, which undoes the shrinking");
    study_measured(s, diverging("e8m2", LP_ROUND_NEAREST_EVEN), "learning rate that diverges: E8M2 to nearest");
    study_measured(s, diverging("e8m2", LP_ROUND_STOCHASTIC), "learning rate that diverges: E8M2 stochastic");
    for (int m = 2; m <= 3; m++) {
        const char *element = m == 2 ? "e8m2" : "e8m3";
        double cut = distance(element, LP_ROUND_TOWARD_ZERO, 0.05);
        study_claim(s, fabs(distance(element, LP_ROUND_NEAREST_EVEN, 0.05)), '<', cut,
                    "loss beyond bfloat16's at rate 0.05: E8M%d to nearest, masked", m);
        study_claim(s, fabs(distance(element, LP_ROUND_STOCHASTIC, 0.05)), '<', cut,
                    "loss beyond bfloat16's at rate 0.05: E8M%d stochastic, masked", m);
    }
    study_measured(s, distance("e8m2", LP_ROUND_TOWARD_ZERO, 0.8), "loss beyond bfloat16's at rate 0.8: E8M2 masked");
    study_rival(s, distance("e8m2", LP_ROUND_NEAREST_EVEN, 0.8), "to nearest");
}

int main(int argc, char **argv)
{
    study *s = study_begin(
        argc, argv, "precision-stability", "Masked bits and the sharpness of logits",
        "To FP8 and Back Again: Quantifying the Effects of Reducing Precision on LLM Training Stability (2024)");
    show_masks(s);
    show_sharpness(s);
    show_training(s);
    study_finding(s, "Masking shrinks every operand, by 8 % at two bits, where rounding to nearest does not. In a "
                     "small network that "
                     "acts as a smaller learning rate: slower at small rates, where rounding stays close to bfloat16, "
                     "and not less stable at "
                     "large ones. The closed form of the sharpness is exact.");
    return study_end(s);
}
