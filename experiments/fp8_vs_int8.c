/* Eight bits with one scale for the tensor: integers against floats with every split of the bits, each with the range
 * of least squared error. Card: formats/fp8-vs-int8. */
#include <math.h>
#include <stdlib.h>

#include "study.h"

enum { N = 400000, STEPS = 100, N_COLUMNS = 7, SAMPLES = 3 };

static const char *const names[N_COLUMNS] = {"INT8", "E2M5", "E3M4", "E4M3", "E5M2", "INT4", "E2M1"};
static const char *const elements[N_COLUMNS] = {"i8", "e2m5none", "e3m4none", "e4m3none", "e5m2none", "i4", "e2m1"};

static const struct {
    const char *name;
    study_data data;
    double decibel[N_COLUMNS];
    double wide; /* tolerance of the columns whose step follows the largest sample (INT8, E2M5, INT4, E2M1) */
} rows[] = {
    {"uniform", STUDY_UNIFORM, {48.1, 44.4, 38.4, 32.2, 26.2, 23.5, 20.0}, 0.2},
    {"Gaussian", STUDY_GAUSSIAN, {40.0, 42.4, 37.6, 31.6, 25.6, 18.9, 18.9}, 0.2},
    {"Laplace", STUDY_LAPLACE, {34.7, 39.0, 37.5, 31.5, 25.6, 15.6, 17.3}, 0.2},
    {"Student t(5)", STUDY_T5, {29.7, 34.3, 37.5, 31.5, 25.6, 14.4, 16.3}, 3},
    {"Student t(3)", STUDY_T3, {13.3, 17.0, 32.5, 31.9, 25.7, 6.8, 7.6}, 3},
};

/* INT8 on the whole normal distribution, by sums over a fine grid: the best over all ranges. */
static double whole_gaussian(void)
{
    enum { POINTS = 400000 };
    const lp_element *i8 = study_element("i8");
    float *x = study_allocate(POINTS, sizeof *x), *y = study_allocate(POINTS, sizeof *y);
    for (int i = 0; i < POINTS; i++) x[i] = (float)(8.0 * (i + 0.5) / POINTS);
    double best = INFINITY;
    for (int range = 350; range <= 500; range += 5) {
        study_round_scaled(i8, x, POINTS, range / 100.0 / 127, y);
        double noise = 0, weight = 0;
        for (int i = 0; i < POINTS; i++) {
            double w = exp(-0.5 * (double)x[i] * x[i]), e = (double)x[i] - y[i];
            noise += w * e * e;
            weight += w;
        }
        best = fmin(best, noise / weight);
    }
    free(x);
    free(y);
    return -10 * log10(best);
}

static void show_table(study *s)
{
    double gaussian[N_COLUMNS] = {0}, minmax[2] = {0, 0};
    float *y = study_allocate(N, sizeof *y);
    for (int i = 0; i < 5; i++) {
        double figures[N_COLUMNS][SAMPLES];
        for (int sample = 0; sample < SAMPLES; sample++) {
            float *x = study_values(rows[i].data, N, 400 + (uint64_t)(i * SAMPLES + sample));
            for (int c = 0; c < N_COLUMNS; c++)
                figures[c][sample] = study_best_decibel(study_element(elements[c]), 0, x, N, 1, STEPS, NULL);
            if (sample == 0 && (rows[i].data == STUDY_GAUSSIAN || rows[i].data == STUDY_LAPLACE)) {
                study_quantize(study_element("i8"), STUDY_SCALE_REAL, 0, x, N, N, y);
                minmax[rows[i].data == STUDY_LAPLACE] = study_decibel(x, y, N);
            }
            free(x);
        }
        study_heading(s, "%s, best range, dB", rows[i].name);
        for (int c = 0; c < N_COLUMNS; c++) {
            bool narrow = c >= 2 && c <= 4;
            study_sampled(s, figures[c], SAMPLES, rows[i].decibel[c], narrow ? 0.2 : rows[i].wide, "%s", names[c]);
            if (rows[i].data == STUDY_GAUSSIAN) gaussian[c] = figures[c][0];
            if (rows[i].data == STUDY_GAUSSIAN && c == 0)
                study_reason(s, "the card's search was too coarse: the best range of the whole distribution gives more "
                                "(row below)");
            if (rows[i].data == STUDY_GAUSSIAN && c == 0) study_rival(s, minmax[0], "range of the largest value");
            if (rows[i].data == STUDY_LAPLACE && c == 0) study_rival(s, minmax[1], "range of the largest value");
        }
    }
    free(y);
    study_heading(s, "what must hold");
    study_figure(s, minmax[0], 38.1, 0.5, "INT8 with the range of the largest value, Gaussian, dB");
    study_reason(s, "it is 52.87 - 20 log10(max / sigma): the card's sample had a largest value of 5.5 sigma, ours of "
                    "4.9; 4.9 is what "
                    "400 000 samples have on average");
    study_measured(s, whole_gaussian(), "INT8 with the best range, whole normal distribution, dB");
    study_figure(s, minmax[1], 32.6, 1.5, "INT8 with the range of the largest value, Laplace, dB");
    study_figure(s, gaussian[3] - gaussian[4], 6.0, 0.3, "a bit of mantissa: E4M3 - E5M2, Gaussian, dB");
    study_figure(s, gaussian[2] - gaussian[3], 6.0, 0.3, "a bit of mantissa: E3M4 - E4M3, Gaussian, dB");
}

static bool has_value(const lp_element *element, double value)
{
    for (uint32_t code = 0; code < 256; code++)
        if (lp_element_value(element, code) == value) return true;
    return false;
}

/* How many finite values of one element are none of the other. */
static int missing(const lp_element *of, const lp_element *in)
{
    int n = 0;
    for (uint32_t code = 0; code < 256; code++) {
        double value = lp_element_value(of, code);
        n += isfinite(value) && !has_value(in, value);
    }
    return n;
}

/* The quantizer with a real bias, as the paper writes it, against lowp's rounding under a scale: F(E, M, mx) is the
 * element with the scale mx / its largest value. Returns the number of samples on which they differ by more than
 * float32 does. */
static int64_t differing(const lp_element *element, int e, int m, double mx, const float *x, int64_t n)
{
    float *y = study_allocate(n, sizeof *y);
    double s = mx / study_largest(element), bias = ldexp(1, e) - log2(mx) + log2(2 - ldexp(1, -m)) - 1;
    study_round_scaled(element, x, n, s, y);
    int64_t count = 0;
    for (int64_t i = 0; i < n; i++) {
        double xc = fmax(-mx, fmin(mx, x[i])), g = xc == 0 ? 1 : fmax(1, floor(log2(fabs(xc)) + bias));
        double step = exp2(g - m - bias), by_formula = rint(xc / step) * step;
        count += fabs(by_formula - y[i]) > 1e-5 * fabs(by_formula);
    }
    free(y);
    return count;
}

static void show_quantizer(study *s)
{
    float *x = study_values(STUDY_GAUSSIAN, N, 420);
    study_heading(s, "the quantizer F(E, M, mx)");
    study_figure(s, (double)missing(study_element("e4m3fnuz"), study_element("e4m3noneb8")), 0, 0,
                 "values of e4m3fnuz not in F(4, 3, bias 8)");
    study_figure(s, study_largest(study_element("e4m3noneb8")), 240, 0, "largest value of F(4, 3, bias 8)");
    study_figure(s, (double)missing(study_element("e4m3"), study_element("e4m3none")), 0, 0,
                 "values of OCP E4M3 not in F(4, 3, 480)");
    study_figure(s, study_largest(study_element("e4m3none")), 480, 0, "largest value of F(4, 3, bias 7)");
    study_figure(s, (double)differing(study_element("e4m3none"), 4, 3, 3.7, x, N) / N * 100, 0, 0.01,
                 "formula against scaled element, E4M3, mx 3.7: %% differing");
    study_figure(s, (double)differing(study_element("e2m5none"), 2, 5, 4.1, x, N) / N * 100, 0, 0.01,
                 "formula against scaled element, E2M5, mx 4.1: %% differing");
    free(x);
}

int main(int argc, char **argv)
{
    study *s = study_begin(argc, argv, "fp8-vs-int8", "Eight bits with one scale for the tensor",
                           "FP8 versus INT8 for efficient deep learning inference (2023)");
    show_table(s);
    show_quantizer(s);
    study_finding(s, "With one scale for the tensor INT8 is best for flat data only; E2M5 wins on Gaussian and Laplace "
                     "data, E3M4 and E4M3 as "
                     "tails grow. E4M3 and E5M2 are never limited by range, always by their mantissa.");
    return study_end(s);
}
