/* BitMoD: each group of 128 weights has one of four code tables. Card: formats/bitmod-datatypes. */
#include <math.h>
#include <stdlib.h>

#include <lowp/quantize.h>

#include "study.h"

enum { N = 1024, GROUP = 128, TABLES = 4 };

static const struct {
    const char *element;
    double top; /* what the group's largest magnitude is mapped to */
    const char *name;
} tables[2][TABLES] = {{{"bm3erp", 4, "ER+"}, {"bm3ern", 4, "ER-"}, {"bm3eap", 6, "EA+"}, {"bm3ean", 6, "EA-"}},
                       {{"bm4erp", 12, "ER+"}, {"bm4ern", 12, "ER-"}, {"bm4eap", 16, "EA+"}, {"bm4ean", 16, "EA-"}}};

static double squared(const float *x, const float *y, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++) sum += ((double)x[i] - y[i]) * ((double)x[i] - y[i]);
    return sum;
}

/* A group under an f16 scale, as the method's code has it. */
static void group(const char *element, double top, const float *x, float *y)
{
    float s = 0;
    for (int i = 0; i < GROUP; i++) s = fmaxf(s, fabsf(x[i]));
    s = fminf(fmaxf(s / (float)top, 1e-5f), 1e4f);
    lp_round_f32(study_element("f16"), NULL, &s, 1, &s, NULL);
    study_round_scaled(study_element(element), x, GROUP, s, y);
}

static double single(const char *element, double top, const float *x, int64_t n, double *errors)
{
    float *y = study_allocate(n, sizeof *y);
    for (int64_t g = 0; g < n / GROUP; g++) {
        group(element, top, x + g * GROUP, y + g * GROUP);
        if (errors) errors[g] = squared(x + g * GROUP, y + g * GROUP, GROUP);
    }
    double decibel = study_decibel(x, y, n);
    free(y);
    return decibel;
}

/* Integers with a zero point between the group's least and largest value. */
static double asymmetric(const char *element, int levels, const float *x, int64_t n)
{
    const lp_element *e = study_element(element);
    float *y = study_allocate(n, sizeof *y), u[GROUP];
    for (int64_t first = 0; first < n; first += GROUP) {
        float lo = x[first], hi = lo;
        for (int i = 0; i < GROUP; i++) {
            lo = fminf(lo, x[first + i]);
            hi = fmaxf(hi, x[first + i]);
        }
        float s = (hi - lo) / (float)(levels - 1), zero = rintf(-lo / s);
        for (int i = 0; i < GROUP; i++) u[i] = x[first + i] / s + zero;
        lp_round_f32(e, NULL, u, GROUP, u, NULL);
        for (int i = 0; i < GROUP; i++) y[first + i] = (u[i] - zero) * s;
    }
    double decibel = study_decibel(x, y, n);
    free(y);
    return decibel;
}

static double mixture(int set, const float *x, int64_t n, int *chosen)
{
    float *y = study_allocate(n, sizeof *y);
    for (int64_t g = 0; g < n / GROUP; g++) {
        double best = INFINITY;
        float trial[GROUP];
        for (int t = 0; t < TABLES; t++) {
            group(tables[set][t].element, tables[set][t].top, x + g * GROUP, trial);
            double e = squared(x + g * GROUP, trial, GROUP);
            if (e < best) {
                best = e;
                if (chosen) chosen[g] = t;
                for (int i = 0; i < GROUP; i++) y[g * GROUP + i] = trial[i];
            }
        }
    }
    double decibel = study_decibel(x, y, n);
    free(y);
    return decibel;
}

static void show_card(study *s)
{
    static const int chosen[2][N / GROUP] = {{2, 3, 3, 3, 2, 0, 3, 0}, {2, 1, 1, 1, 1, 1, 1, 0}};
    static const double mixed[2] = {14.61, 20.02};
    float *x = study_card_values(N);
    for (int set = 0; set < 2; set++) {
        study_heading(s, "%d bits, the cards' vector, dB", set + 3);
        int ours[N / GROUP], equal = 0;
        double all = mixture(set, x, N, ours);
        for (int g = 0; g < N / GROUP; g++) equal += ours[g] == chosen[set][g];
        study_figure(s, equal, 8, 0, "groups with the card's table");
        double fp = single(set ? "e2m1" : "{0,1,2,4,0,-1,-2,-4}", set ? 6 : 4, x, N, NULL);
        double symmetric = single(set ? "i4" : "i3", set ? 7 : 3, x, N, NULL);
        double zero_point = set ? asymmetric("u4", 16, x, N) : asymmetric("u3", 8, x, N);
        study_figure(s, all, mixed[set], 0.01, "one of four tables");
        study_rival(s, zero_point, "INT with a zero point");
        static const double single_expected[TABLES] = {13.66, 13.79, 13.95, 14.06};
        for (int t = 0; t < TABLES; t++) {
            double alone = single(tables[set][t].element, tables[set][t].top, x, N, NULL);
            if (set == 0)
                study_figure(s, alone, single_expected[t], 0.01, "%s alone", tables[set][t].name);
            else
                study_measured(s, alone, "%s alone", tables[set][t].name);
        }
        study_figure(s, fp, set ? 18.98 : 12.95, 0.01, set ? "FP4" : "FP3");
        study_figure(s, symmetric, set ? 19.40 : 12.24, 0.01, "INT, symmetric");
        study_figure(s, zero_point, set ? 20.77 : 14.23, 0.01, "INT with a zero point");
        float *y = study_allocate(N, sizeof *y);
        study_packed(set ? "u4:128:f16+zero" : "u3:128:f16+zero", LP_SEARCH_REFERENCE, x, 1, N, y);
        study_measured(s, study_decibel(x, y, N), "INT with a zero point, fitted by lowp quantize");
        free(y);
    }
    free(x);
}

/* Whether a table and its mirror image serve a group equally: neither special value is used. The first is taken then.
 */
static bool tied(int set, int table, const float *x)
{
    float y[GROUP], z[GROUP];
    group(tables[set][table].element, tables[set][table].top, x, y);
    group(tables[set][table ^ 1].element, tables[set][table ^ 1].top, x, z);
    return squared(x, y, GROUP) == squared(x, z, GROUP);
}

static void show_identities(study *s)
{
    int64_t n = 128 * 2000;
    float *x = study_values(STUDY_GAUSSIAN, n, 600), *negative = study_allocate(n, sizeof *negative);
    for (int64_t i = 0; i < n; i++) negative[i] = -x[i];
    for (int set = 0; set < 2; set++) {
        int *chosen = study_allocate(n / GROUP, sizeof *chosen),
            *mirrored = study_allocate(n / GROUP, sizeof *mirrored);
        double a = mixture(set, x, n, chosen), b = mixture(set, negative, n, mirrored);
        int unswapped = 0;
        for (int64_t g = 0; g < n / GROUP; g++)
            unswapped += (chosen[g] ^ 1) != mirrored[g] && !tied(set, chosen[g], x + g * GROUP);
        study_heading(s, "%d bits, Gaussian, 2000 groups", set + 3);
        study_figure(s, unswapped, 0, 0, "groups whose negative does not take the mirrored table, ties aside");
        study_figure(s, a - b, 0, 1e-9, "change by negating, dB");
        double best = 0;
        for (int t = 0; t < TABLES; t++)
            best = fmax(best, single(tables[set][t].element, tables[set][t].top, x, n, NULL));
        study_claim(s, a, '>', best, "a table a group beats the best single table, dB");
        double zero_point = set ? asymmetric("u4", 16, x, n) : asymmetric("u3", 8, x, n);
        study_claim(s, a, '>', zero_point, "beats INT%d with a zero point, dB", set + 3);
        free(chosen);
        free(mirrored);
    }
    float zeros[GROUP] = {0}, y[GROUP];
    group("bm3eap", 6, zeros, y);
    study_figure(s, squared(zeros, y, GROUP), 0, 0, "squared error of a group of zeros");
    free(x);
    free(negative);
}

int main(int argc, char **argv)
{
    study *s = study_begin(argc, argv, "bitmod", "BitMoD: a choice of four code tables a group",
                           "BitMoD: Bit-serial Mixture-of-Datatype LLM Acceleration (2025)");
    show_card(s);
    show_identities(s);
    study_finding(s, "At 3 bits the choice among four tables beats every single table and integers with a zero point; "
                     "at 4 bits it beats "
                     "them on Gaussian data, and they are better on the cards' vector, whose tails are shorter.");
    return study_end(s);
}
