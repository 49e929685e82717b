/* Minifloats of 3 to 8 bits against integers: tables, GPTQ with their rounding, and the Pareto set of a bit-level cost
 * model. Card: formats/minifloat. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "study.h"

/* ---- tables ------------------------------------------------------------------------------------------------------ */

static void show_tables(study *s)
{
    static const double e2m1[8] = {0, .5, 1, 1.5, 2, 3, 4, 6}, e3m0[8] = {0, .25, .5, 1, 2, 4, 8, 16};
    int differ = 0;
    study_heading(s, "values");
    for (uint32_t code = 0; code < 8; code++) differ += lp_element_value(study_element("e2m1"), code) != e2m1[code];
    study_figure(s, differ, 0, 0, "E2M1: codes that differ from the card's");
    differ = 0;
    for (uint32_t code = 0; code < 8; code++) differ += lp_element_value(study_element("e3m0"), code) != e3m0[code];
    study_figure(s, differ, 0, 0, "E3M0: codes that differ from the card's");
    for (int m = 1; m <= 6; m++) {
        char text[16];
        snprintf(text, sizeof text, "e1m%dnoneb0", m);
        const lp_element *e = study_element(text);
        double unit = lp_element_value(e, 1);
        differ = 0;
        for (uint32_t code = 0; code < (uint32_t)2 << m; code++) differ += lp_element_value(e, code) != unit * code;
        study_figure(s, differ, 0, 0, "E1M%d: magnitudes that are not integers times a unit", m);
    }
}

static void show_invariance(study *s)
{
    enum { N = 100000 };
    static const char *const pairs[3][2] = {
        {"e2m1noneb1", "e2m1noneb2"}, {"e4m3noneb7", "e4m3noneb8"}, {"e3m2noneb3", "e3m2noneb4"}};
    float *x = study_values(STUDY_GAUSSIAN, N, 1100), *twice = study_allocate(N, sizeof *twice);
    uint8_t *a = study_allocate(N, 1), *b = study_allocate(N, 1);
    for (int i = 0; i < N; i++) twice[i] = x[i] / 2; /* under twice the scale */
    study_heading(s, "bias b with scale s against bias b + 1 with scale 2 s");
    for (int p = 0; p < 3; p++) {
        const lp_element *e = study_element(pairs[p][0]), *f = study_element(pairs[p][1]);
        lp_round_codes_f32(e, NULL, x, N, a, NULL);
        lp_round_codes_f32(f, NULL, twice, N, b, NULL);
        study_figure(s, memcmp(a, b, lp_codes_bytes(e, N)) != 0, 0, 0, "%s: do codes differ", pairs[p][0]);
    }
    free(x);
    free(twice);
    free(a);
    free(b);
}

static void show_noise(study *s)
{
    enum { N = 400000 };
    static const struct {
        const char *element;
        double decibel;
    } rows[] = {{"i4", 18.9},       {"e2m1", 18.9},     {"e3m0", 14.3},    {"e2m5none", 42.4},
                {"e3m4none", 37.6}, {"e4m3none", 31.6}, {"e5m2none", 25.6}};
    study_heading(s, "Gaussian, one scale of least squared error, dB");
    double figures[7][3];
    for (int k = 0; k < 3; k++) {
        float *x = study_values(STUDY_GAUSSIAN, N, 1110 + (uint64_t)k);
        for (int r = 0; r < 7;
             r++) /* powers of two: the scale matters over an octave only, anywhere below the largest value */
            figures[r][k] = study_best_decibel(study_element(rows[r].element), 0, x, N, r == 2 ? 2 : 1, 100, NULL);
        free(x);
    }
    for (int r = 0; r < 7; r++) study_sampled(s, figures[r], 3, rows[r].decibel, 0.2, "%s", rows[r].element);
}

/* ---- GPTQ with the rounding of any element ----------------------------------------------------------------------- */

enum { D = 64, ROWS = 64, TOKENS = 4096 };

typedef struct layer {
    float w[ROWS][D];
    double h[D][D]; /* X^T X */
} layer;

static void correlated(layer *l, uint64_t seed)
{
    for (int r = 0; r < ROWS; r++)
        for (int i = 0; i < D; i++) l->w[r][i] = (float)study_normal(&seed);
    memset(l->h, 0, sizeof l->h);
    for (int t = 0; t < TOKENS; t++) {
        double x[D];
        for (int i = 0; i < D; i++)
            x[i] = i ? 0.9 * x[i - 1] + sqrt(1 - 0.81) * study_normal(&seed) : study_normal(&seed);
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++) l->h[i][j] += x[i] * x[j];
    }
}

/* Upper Cholesky factor U of the inverse of h + damping: inverse = U^T U. */
static void factor(const layer *l, double (*u)[D])
{
    static double a[D][2 * D];
    double trace = 0;
    for (int i = 0; i < D; i++) trace += l->h[i][i] / D;
    for (int i = 0; i < D; i++)
        for (int j = 0; j < D; j++) {
            a[i][j] = l->h[i][j] + (i == j ? 0.01 * trace : 0);
            a[i][D + j] = i == j;
        }
    for (int p = 0; p < D; p++) { /* positive definite: no pivoting */
        double inverse = 1 / a[p][p];
        for (int j = 0; j < 2 * D; j++) a[p][j] *= inverse;
        for (int i = 0; i < D; i++) {
            double f = a[i][p];
            for (int j = 0; i != p && j < 2 * D; j++) a[i][j] -= f * a[p][j];
        }
    }
    memset(u, 0, sizeof(double[D][D]));
    for (int i = 0; i < D; i++)
        for (int j = i; j < D; j++) {
            double sum = a[i][D + j];
            for (int k = 0; k < i; k++) sum -= u[k][i] * u[k][j];
            u[i][j] = i == j ? sqrt(sum) : sum / u[i][i];
        }
}

/* Squared error of the outputs, with the rounding error of each column fed to the later ones or not. */
static double output_error(const layer *l, const char *element, bool feedback)
{
    const lp_element *e = study_element(element);
    static double u[D][D];
    factor(l, u);
    double total = 0;
    for (int r = 0; r < ROWS; r++) {
        double w[D], error[D];
        float largest = 0;
        for (int i = 0; i < D; i++) {
            w[i] = l->w[r][i];
            largest = fmaxf(largest, fabsf(l->w[r][i]));
        }
        double s = largest / study_largest(e);
        for (int i = 0; i < D; i++) {
            float x = (float)w[i], y;
            study_round_scaled(e, &x, 1, s, &y);
            error[i] = y - (double)l->w[r][i];
            for (int j = i + 1; feedback && j < D; j++) w[j] -= (w[i] - y) / u[i][i] * u[i][j];
        }
        for (int i = 0; i < D; i++)
            for (int j = 0; j < D; j++) total += error[i] * l->h[i][j] * error[j];
    }
    return total;
}

static void show_feedback(study *s)
{
    static const char *const elements[4] = {"e2m1", "i4", "e2m3", "e3m2"};
    layer *l = study_allocate(1, sizeof *l);
    correlated(l, 1120);
    study_heading(s, "GPTQ with the element's rounding: output error removed, %%");
    for (int k = 0; k < 4; k++) {
        double removed = 100 * (1 - output_error(l, elements[k], true) / output_error(l, elements[k], false));
        if (k == 0)
            study_figure(s, removed, 81, 5, "%s", elements[k]);
        else
            study_claim(s, removed, '>', 50, "%s", elements[k]);
    }
    free(l);
}

/* ---- cost and the Pareto set ------------------------------------------------------------------------------------- */

enum { MOST = 32, K = 256, OUT = 48, IN = 96 };

typedef struct choice {
    char text[16], name[16];
    int bits, e, m; /* e 0: an integer */
} choice;

typedef struct point {
    int w, a;
    double cost, decibel;
    bool is_pareto;
} point;

static int list_choices(choice *list)
{
    int n = 0;
    for (int bits = 3; bits <= 8; bits++) {
        list[n] = (choice){.bits = bits, .m = bits - 1};
        snprintf(list[n].text, sizeof list[n].text, "i%d", bits);
        snprintf(list[n].name, sizeof list[n].name, "INT%d", bits);
        n++;
        for (int e = 2; e <= bits - 2; e++) { /* E1 is an integer */
            list[n] = (choice){.bits = bits, .e = e, .m = bits - 1 - e};
            snprintf(list[n].text, sizeof list[n].text, "e%dm%dnone", e, bits - 1 - e);
            snprintf(list[n].name, sizeof list[n].name, "E%dM%d", e, bits - 1 - e);
            n++;
        }
    }
    return n;
}

/* The card's model: multiplier, exponent adder, alignment shifter and exact accumulator of a product of sums of K
 * terms. */
static double cost(const choice *a, const choice *b)
{
    double log_k = log2(K);
    if (!a->e && !b->e) return a->bits * b->bits + (a->bits + b->bits + log_k);
    double width = (a->e ? 1 << a->e : 0) + a->m + (b->e ? 1 << b->e : 0) + b->m + log_k;
    double exponents = (a->e > b->e ? a->e : b->e) + 1;
    return (a->m + 1) * (b->m + 1) + exponents + width * log2(width) / 2 + width;
}

static void multiply(const float *x, const float *w, float *y)
{
    for (int i = 0; i < IN; i++)
        for (int o = 0; o < OUT; o++) {
            float sum = 0;
            for (int k = 0; k < K; k++) sum += x[i * K + k] * w[o * K + k];
            y[i * OUT + o] = sum;
        }
}

static int by_cost(const void *a, const void *b)
{
    const point *p = a, *q = b;
    return p->cost != q->cost                                          ? (p->cost < q->cost ? -1 : 1)
           : (p->decibel > q->decibel) - (p->decibel < q->decibel) > 0 ? -1
                                                                       : 1;
}

static void draw(const char *path, const choice *list, const point *points, int n)
{
    FILE *f = path ? fopen(path, "w") : NULL;
    if (!f) return;
    double most_cost = 0, most = 0;
    for (int i = 0; i < n; i++) {
        most_cost = fmax(most_cost, points[i].cost);
        most = fmax(most, points[i].decibel);
    }
    double sx = 620 / log2(most_cost / 16), sy = 380 / most;
    fprintf(f, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"760\" height=\"470\" font-family=\"sans-serif\" "
               "font-size=\"11\">\n"
               "<rect width=\"760\" height=\"470\" fill=\"white\"/>\n"
               "<text x=\"60\" y=\"18\" font-size=\"13\">Weights x activations: signal to noise of a product of "
               "matrices (dB) against "
               "cost (LUT equivalents)</text>\n");
    for (double c = 16; c <= most_cost; c *= 2)
        fprintf(f,
                "<line x1=\"%.1f\" y1=\"30\" x2=\"%.1f\" y2=\"420\" stroke=\"#ddd\"/><text x=\"%.1f\" "
                "y=\"436\">%.0f</text>\n",
                60 + sx * log2(c / 16), 60 + sx * log2(c / 16), 54 + sx * log2(c / 16), c);
    for (double d = 0; d <= most; d += 10)
        fprintf(f,
                "<line x1=\"60\" y1=\"%.1f\" x2=\"740\" y2=\"%.1f\" stroke=\"#ddd\"/><text x=\"36\" "
                "y=\"%.1f\">%.0f</text>\n",
                420 - sy * d, 420 - sy * d, 424 - sy * d, d);
    for (int i = 0; i < n; i++) {
        const choice *w = &list[points[i].w], *a = &list[points[i].a];
        const char *colour = !w->e && !a->e ? "#1f6fb4" : w->e && a->e ? "#d1495b" : "#edae49";
        double x = 60 + sx * log2(points[i].cost / 16), y = 420 - sy * points[i].decibel;
        fprintf(
            f,
            "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"%s\" fill=\"%s\"><title>W %s, A %s: %.0f, %.2f dB</title></circle>\n",
            x, y, points[i].is_pareto ? "4.5" : "2", colour, w->name, a->name, points[i].cost, points[i].decibel);
    }
    static const char *const legend[3][2] = {
        {"#1f6fb4", "integers"}, {"#edae49", "one of each"}, {"#d1495b", "floats; large: Pareto set"}};
    for (int i = 0; i < 3; i++)
        fprintf(f, "<circle cx=\"%d\" cy=\"456\" r=\"4.5\" fill=\"%s\"/><text x=\"%d\" y=\"460\">%s</text>\n",
                70 + 120 * i, legend[i][0], 80 + 120 * i, legend[i][1]);
    fprintf(f, "</svg>\n");
    fclose(f);
}

static void show_pareto(study *s)
{
    choice list[MOST];
    int n = list_choices(list), n_points = 0;
    float *x = study_values(STUDY_T5, IN * K, 1130), *w = study_values(STUDY_GAUSSIAN, OUT * K, 1131);
    float *xs = study_allocate((int64_t)n * IN * K, sizeof *xs), *ws = study_allocate((int64_t)n * OUT * K, sizeof *ws),
          *exact = study_allocate(IN * OUT, sizeof *exact), *y = study_allocate(IN * OUT, sizeof *y);
    for (int i = 0; i < n; i++) { /* weights a scale a row; activations the best scale of the tensor */
        const lp_element *e = study_element(list[i].text);
        double scale;
        study_quantize(e, STUDY_SCALE_REAL, 0, w, OUT * K, K, ws + (int64_t)i * OUT * K);
        study_best_decibel(e, 0, x, IN * K, 1, 60, &scale);
        study_round_scaled(e, x, IN * K, scale, xs + (int64_t)i * IN * K);
    }
    multiply(x, w, exact);
    point *points = study_allocate((int64_t)n * n, sizeof *points);
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) {
            multiply(xs + (int64_t)j * IN * K, ws + (int64_t)i * OUT * K, y);
            points[n_points++] = (point){i, j, cost(&list[i], &list[j]), study_decibel(exact, y, IN * OUT), false};
        }
    qsort(points, (size_t)n_points, sizeof *points, by_cost);
    double best = -INFINITY;
    int n_pareto = 0, n_integer = 0;
    study_heading(s, "Pareto set: W Gaussian, A Student t(5); dB of the product, and cost");
    for (int i = 0; i < n_points; i++)
        if (points[i].decibel > best) {
            const choice *a = &list[points[i].w], *b = &list[points[i].a];
            best = points[i].decibel;
            points[i].is_pareto = true;
            n_pareto++;
            n_integer += !a->e && !b->e;
            study_measured(s, points[i].decibel, "W %s, A %s", a->name, b->name);
            study_rival(s, points[i].cost, "LUT equivalents");
        }
    study_claim(s, 2 * n_integer, '>', n_pareto, "twice the pairs of integers in the set, against its size");
    study_paper(s, "integers often remain Pareto-optimal");
    draw(study_beside(s, ".svg"), list, points, n_points);
    free(x);
    free(w);
    free(xs);
    free(ws);
    free(exact);
    free(y);
    free(points);
}

int main(int argc, char **argv)
{
    study *s = study_begin(argc, argv, "minifloat", "Minifloats of 3 to 8 bits against integers",
                           "Post-Training Quantization with Low-precision Minifloats and Integers on FPGAs (2024)");
    show_tables(s);
    show_invariance(s);
    show_noise(s);
    show_feedback(s);
    show_pareto(s);
    study_finding(
        s, "E1Mm is an integer, the bias is a scale, and error feedback works with any rounding. By the cost model "
           "integers are the Pareto set up to 8 bits a side; floats (E2) extend it beyond, where the tails of "
           "activations limit INT8.");
    return study_end(s);
}
