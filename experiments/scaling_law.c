/* The predicted loss of training in floats of few bits: the law's own figures. Card: formats/fp-scaling-law. */
#include <math.h>
#include <stdlib.h>

#include "study.h"

static const double n0 = 69.2343, alpha = 0.2368, d0 = 68973.0621, beta = 0.5162, floor_loss = 1.9061,
                    gamma_ = 11334.5197, delta = 3.1926, nu = 2.9543;

static double strength(double e, double m) { return pow(e + 0.5, delta) * pow(m + 0.5, nu); }

/* What the format costs. n parameters, d tokens, block values a scale. */
static double penalty(double n, double d, double e, double m, double block)
{
    return pow(d, beta) / pow(n, alpha) * log2(block) / (gamma_ * strength(e, m));
}

static double loss(double n, double d, double e, double m, double block)
{
    return n0 / pow(n, alpha) + d0 / pow(d, beta) + floor_loss + penalty(n, d, e, m, block);
}

static double critical(double n, double e, double m, double block)
{
    return pow(d0 * gamma_ * pow(n, alpha) * strength(e, m) / log2(block), 1 / (2 * beta));
}

static void show_figures(study *s)
{
    study_heading(s, "tokens beyond which the loss rises, 10^9 parameters, blocks of 128");
    static const struct {
        const char *name;
        double e, m, tokens, digits;
        const char *paper;
    } dcrit[] = {{"E2M1", 2, 1, 3.928e11, 5e8, "0.4 T"},
                 {"E4M3", 4, 3, 2.733e13, 5e10, "27 T"},
                 {"E8M7", 8, 7, 1.73e15, 5e12, "1730 T"}};
    for (int i = 0; i < 3; i++) {
        study_figure(s, critical(1e9, dcrit[i].e, dcrit[i].m, 128), dcrit[i].tokens, dcrit[i].digits, "%s",
                     dcrit[i].name);
        study_paper(s, "%s", dcrit[i].paper);
    }
    study_heading(s, "loss");
    study_figure(s, loss(679e6, 100e9, 4, 3, 32), 2.612113, 1e-6, "679 M parameters, 100 G tokens, E4M3, blocks of 32");
    study_figure(s, penalty(679e6, 100e9, 4, 3, 32), 0.000346, 1e-6, "of it the format's part");
    study_figure(s, loss(679e6, 100e9, 2, 1, 32), 2.639353, 1e-6, "679 M parameters, 100 G tokens, E2M1, blocks of 32");
    study_figure(s, penalty(679e6, 100e9, 2, 1, 32), 0.027586, 1e-6, "of it the format's part");
    study_figure(s, loss(1.2e9, 100e9, 2, 1, 128), 2.574750, 1e-6,
                 "1.2 G parameters, 100 G tokens, E2M1, blocks of 128");
    study_figure(s, loss(154e6, 20e9, 3, 2, 64), 3.036869, 1e-6, "154 M parameters, 20 G tokens, E3M2, blocks of 64");
    study_heading(s, "(E + 0.5)^delta (M + 0.5)^nu");
    static const struct {
        int e, m;
        double value, tolerance;
    } rows[] = {{2, 1, 61.757, 5e-4}, {1, 2, 54.679, 5e-4}, {3, 0, 7.041, 5e-4}, {4, 3, 4929, .5},  {3, 4, 4643, .5},
                {5, 2, 3462, .5},     {2, 5, 2868, 1},      {3, 2, 817.8, .05},  {2, 3, 754.8, .05}};
    for (int i = 0; i < 9; i++)
        study_figure(s, strength(rows[i].e, rows[i].m), rows[i].value, rows[i].tolerance, "E%dM%d", rows[i].e,
                     rows[i].m);
}

static void show_layouts(study *s)
{
    static const int expected[17] = {
        [3] = 1, [4] = 2, [5] = 2, [6] = 3, [7] = 3, [8] = 4, [9] = 4, [10] = 5, [12] = 6, [16] = 8};
    study_heading(s, "exponent bits of the best layout");
    for (int bits = 3; bits <= 16; bits++) {
        int best = 0;
        for (int e = 1; e < bits; e++)
            if (strength(e, bits - 1 - e) > strength(best, bits - 1 - best)) best = e;
        if (expected[bits])
            study_figure(s, best, expected[bits], 0, "%d bits", bits);
        else
            study_measured(s, best, "%d bits", bits);
    }
    study_heading(s, "shape of the law");
    double at = critical(1e9, 2, 1, 128), step = at * 1e-4;
    double derivative = (loss(1e9, at + step, 2, 1, 128) - loss(1e9, at - step, 2, 1, 128)) / (2 * step) * at;
    study_figure(s, derivative, 0, 1e-6, "D dL/dD at the critical number of tokens");
    study_claim(s, loss(1e9, 1e11, 2, 1, 128), '>', loss(1e9, 1e11, 2, 1, 32), "larger blocks lose");
    study_claim(s, loss(1e9, 1e11, 3, 1, 128), '<', loss(1e9, 1e11, 2, 1, 128), "an exponent bit gains");
    study_claim(s, loss(1e9, 1e11, 2, 2, 128), '<', loss(1e9, 1e11, 2, 1, 128), "a mantissa bit gains");
    study_claim(s, loss(2e9, 1e11, 2, 1, 128), '<', loss(1e9, 1e11, 2, 1, 128), "more parameters gain");
    study_figure(s, penalty(1e9, 1e11, 2, 1, 1), 0, 0, "no penalty for a scale a value");
}

/* The law ranks E3M2 above E2M3; the error of a block of 32 ranks them the other way. */
static void show_disagreement(study *s)
{
    enum { N = 1 << 18 };
    float *x = study_values(STUDY_GAUSSIAN, N, 950), *y = study_allocate(N, sizeof *y);
    study_quantize(study_element("e3m2"), STUDY_SCALE_CEIL, 0, x, N, 32, y);
    double e3m2 = study_decibel(x, y, N);
    study_quantize(study_element("e2m3"), STUDY_SCALE_CEIL, 0, x, N, 32, y);
    double e2m3 = study_decibel(x, y, N);
    study_heading(s, "against rounding of Gaussian data in MX blocks, dB");
    study_claim(s, strength(3, 2), '>', strength(2, 3), "the law puts E3M2 before E2M3");
    study_figure(s, e2m3, 30.95, 0.05, "MXFP6 E2M3");
    study_figure(s, e3m2, 25.5, 0.1, "MXFP6 E3M2");
    study_claim(s, e2m3, '>', e3m2, "rounding puts E2M3 before E3M2");
    free(x);
    free(y);
}

int main(int argc, char **argv)
{
    study *s = study_begin(argc, argv, "fp-scaling-law", "The loss of training in floats of few bits, as predicted",
                           "Scaling Laws for Floating Point Quantization Training (2025)");
    show_figures(s);
    show_layouts(s);
    show_disagreement(s);
    study_finding(s, "The law's figures follow from its constants. It ranks E3M2 before E2M3, where rounding in MX "
                     "blocks says the opposite by "
                     "5 dB: it is no guide to the element of a block format.");
    return study_end(s);
}
