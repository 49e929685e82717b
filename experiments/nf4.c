/* NF4 and its rivals in absmax blocks of 64, with scales rounded a second time or searched. Card: formats/nf4. */
#include <math.h>
#include <stdlib.h>

#include "study.h"

enum { N = 1600000, BLOCK = 64 };

/* Rows of 256 blocks in a format that files can hold. */
static double packed(const char *text, lp_search search, const float *x)
{
    int64_t k = 64 * 256, n_rows = N / k;
    float *y = study_allocate(n_rows * k, sizeof *y);
    study_packed(text, search, x, n_rows, k, y);
    double decibel = study_decibel(x, y, n_rows * k);
    free(y);
    return decibel;
}

/* Q4_0: the value of largest magnitude, with its sign, becomes -8. */
static double signed_maximum(const float *x)
{
    const lp_element *i4 = study_element("i4");
    float *y = study_allocate(N, sizeof *y), u[BLOCK];
    for (int64_t first = 0; first < N; first += BLOCK) {
        float top = 0;
        for (int i = 0; i < BLOCK; i++)
            if (fabsf(x[first + i]) > fabsf(top)) top = x[first + i];
        float s = top / -8;
        for (int i = 0; i < BLOCK; i++) u[i] = x[first + i] / s;
        lp_round_f32(i4, NULL, u, BLOCK, u, NULL);
        for (int i = 0; i < BLOCK; i++) y[first + i] = u[i] * s;
    }
    double decibel = study_decibel(x, y, N);
    free(y);
    return decibel;
}

static double from_least_to_most(const float *x)
{
    const lp_element *u4 = study_element("u4");
    float *y = study_allocate(N, sizeof *y), u[BLOCK];
    for (int64_t first = 0; first < N; first += BLOCK) {
        float lo = x[first], hi = lo;
        for (int i = 0; i < BLOCK; i++) {
            lo = fminf(lo, x[first + i]);
            hi = fmaxf(hi, x[first + i]);
        }
        float s = (hi - lo) / 15;
        for (int i = 0; i < BLOCK; i++) u[i] = (x[first + i] - lo) / s;
        lp_round_f32(u4, NULL, u, BLOCK, u, NULL);
        for (int i = 0; i < BLOCK; i++) y[first + i] = fmaf(u[i], s, lo);
    }
    double decibel = study_decibel(x, y, N);
    free(y);
    return decibel;
}

/* Per block the scale of least squared error among +-0.5 .. 1.3 of absmax / q, each refitted by least squares to its
 * codes. both: negative scales too (for elements that are not symmetric). */
static double searched(const char *text, double q, lp_overflow overflow, bool both, const float *x, int64_t n)
{
    const lp_element *element = study_element(text);
    lp_rounding rounding = {.overflow = overflow};
    double noise = 0, signal = 0;
    float u[BLOCK];
    for (int64_t first = 0; first < n; first += BLOCK) {
        float a = 0;
        for (int i = 0; i < BLOCK; i++) a = fmaxf(a, fabsf(x[first + i]));
        double best = INFINITY, xx = 0;
        for (int i = 0; i < BLOCK; i++) xx += (double)x[first + i] * x[first + i];
        for (int step = 50; step <= 130; step += 1)
            for (int sign = 1; sign >= (both ? -1 : 1); sign -= 2) {
                float s = (float)(sign * (double)a / q * step / 100);
                for (int i = 0; i < BLOCK; i++) u[i] = x[first + i] / s;
                lp_round_f32(element, &rounding, u, BLOCK, u, NULL);
                double xu = 0, uu = 0;
                for (int i = 0; i < BLOCK; i++) {
                    xu += (double)x[first + i] * u[i];
                    uu += (double)u[i] * u[i];
                }
                best = fmin(best, uu > 0 ? xx - xu * xu / uu : xx);
            }
        noise += best;
        signal += xx;
    }
    return 10 * log10(signal / noise);
}

static double plain(const char *text, double q, const float *x)
{
    float *y = study_allocate(N, sizeof *y);
    study_quantize(study_element(text), STUDY_SCALE_REAL, q, x, N, BLOCK, y);
    double decibel = study_decibel(x, y, N);
    free(y);
    return decibel;
}

/* NF4 under scales that are rounded to the dynamic map, 256 under one absmax, after their mean is taken off. The worst
 * relative error of a scale goes to *worst. */
static double twice(const float *x, double *worst)
{
    enum { N_BLOCKS = N / BLOCK };
    float *scale = study_allocate(N_BLOCKS, sizeof *scale), *rounded = study_allocate(N_BLOCKS, sizeof *rounded),
          *y = study_allocate(N, sizeof *y);
    double sum = 0;
    for (int b = 0; b < N_BLOCKS; b++) {
        for (int i = 0; i < BLOCK; i++) scale[b] = fmaxf(scale[b], fabsf(x[b * BLOCK + i]));
        sum += scale[b];
    }
    float mean = (float)(sum / N_BLOCKS);
    for (int b = 0; b < N_BLOCKS; b++) rounded[b] = scale[b] - mean;
    study_quantize(study_element("dyn8"), STUDY_SCALE_REAL, 1, rounded, N_BLOCKS, 256, rounded);
    *worst = 0;
    for (int b = 0; b < N_BLOCKS; b++) {
        rounded[b] += mean;
        *worst = fmax(*worst, fabs((double)rounded[b] / scale[b] - 1));
        for (int i = 0; i < BLOCK; i++) y[b * BLOCK + i] = x[b * BLOCK + i] / scale[b];
        lp_round_f32(study_element("nf4"), NULL, y + b * BLOCK, BLOCK, y + b * BLOCK, NULL);
        for (int i = 0; i < BLOCK; i++) y[b * BLOCK + i] *= rounded[b];
    }
    double decibel = study_decibel(x, y, N);
    free(scale);
    free(rounded);
    free(y);
    return decibel;
}

static void show_card_vector(study *s)
{
    float *x = study_card_values(128), y[128];
    static const double largest[2] = {0.671783447265625, 0.768218994140625};
    study_heading(s, "the cards' vector, 128 values");
    for (int b = 0; b < 2; b++) {
        float a = 0;
        for (int i = 0; i < BLOCK; i++) a = fmaxf(a, fabsf(x[b * BLOCK + i]));
        study_figure(s, a, largest[b], 0, "absmax of block %d", b);
    }
    study_quantize(study_element("nf4"), STUDY_SCALE_REAL, 1, x, 128, BLOCK, y);
    study_figure(s, study_decibel(x, y, 128), 21.14, 0.01, "NF4, dB");
    study_quantize(study_element("fp4"), STUDY_SCALE_REAL, 1, x, 128, BLOCK, y);
    study_figure(s, study_decibel(x, y, 128), 18.30, 0.01, "FP4, dB");
    free(x);
}

int main(int argc, char **argv)
{
    study *s = study_begin(
        argc, argv, "nf4", "NF4, FP4 and rivals in blocks of 64",
        "Understanding the Impact of Post-Training Quantization on Large Language Models (2023); QLoRA (2023)");
    float *x = study_values(STUDY_GAUSSIAN, N, 500);
    show_card_vector(s);
    study_heading(s, "Gaussian, blocks of 64 under their absmax, dB");
    double nf4 = plain("nf4", 1, x), fp4 = plain("fp4", 1, x), e2m1 = plain("e2m1", 6, x), int4 = plain("i4", 7, x),
           q4_0 = signed_maximum(x), asymmetric = from_least_to_most(x);
    study_figure(s, nf4, 20.73, 0.05, "NF4");
    study_rival(s, int4, "INT4");
    study_figure(s, plain("af4", 1, x), 20.39, 0.05, "AF4");
    study_figure(s, fp4, 18.28, 0.05, "bitsandbytes' FP4");
    study_figure(s, e2m1, 19.52, 0.05, "E2M1");
    study_figure(s, int4, 19.37, 0.05, "INT4, absmax / 7");
    study_figure(s, q4_0, 20.46, 0.05, "Q4_0's rule, signed maximum / -8");
    study_figure(s, asymmetric, 20.95, 0.05, "INT4 with a zero point, least to largest");
    study_heading(s, "scales searched per block for least squared error, dB");
    int64_t n = N / 8;
    double nf4_searched = searched("nf4", 1, LP_OVERFLOW_SATURATE, false, x, n);
    study_figure(s, nf4_searched, 21.40, 0.05, "NF4");
    study_rival(s, nf4, "absmax");
    study_figure(s, searched("i4", 8, LP_OVERFLOW_SATURATE, true, x, n), 20.94, 0.05, "Q4_0's grid");
    study_figure(s, searched("i4", 7, LP_OVERFLOW_SYMMETRIC, false, x, n), 20.05, 0.05, "INT4, -7 .. 7");
    study_measured(s, packed("nf4:64:f32", LP_SEARCH_REFERENCE, x),
                   "NF4 by lowp quantize's own fit (trial and least squares)");
    study_heading(s, "double quantization");
    double worst, rounded_scales = twice(x, &worst);
    study_figure(s, packed("nf4:64:f32", LP_SEARCH_RTN, x), 20.73, 0.05, "NF4 as planes of a file, dB");
    study_figure(s, nf4 - rounded_scales, 0.002, 0.002, "lost by 8-bit scales (dynamic map, 256), dB");
    study_figure(s, worst * 100, 1.0, 0.3, "worst error of a scale, %%");
    study_heading(s, "what must hold");
    study_claim(s, fp4, '<', e2m1, "bitsandbytes' FP4 is worse than E2M1");
    study_claim(s, nf4, '<', asymmetric, "NF4 loses to INT4 with a zero point");
    study_claim(s, nf4_searched - nf4, '>', nf4 - q4_0, "a scale search moves more than the table");
    study_finding(s, "NF4's table is worth 1.4 dB over INT4 but 0.3 dB over Q4_0's use of the same integers, and a "
                     "search of the scale is "
                     "worth more than the table; bitsandbytes' FP4 is the worst of all.");
    free(x);
    return study_end(s);
}
