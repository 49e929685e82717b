/* L-Mul: a product by one integer addition, beside the products of 8-bit floats. Card: formats/l-mul. */
#include <math.h>
#include <stdlib.h>

#include <lowp/arith.h>

#include "study.h"

enum { N = 200000, SAMPLES = 6 };

typedef struct errors {
    double bias, absolute, rms;
} errors;

static errors relative_errors(const double *exact, const double *y)
{
    errors e = {0};
    for (int i = 0; i < N; i++) {
        double d = y[i] / exact[i] - 1;
        e.bias += d / N;
        e.absolute += fabs(d) / N;
        e.rms += d * d / N;
    }
    e.rms = sqrt(e.rms);
    return e;
}

static void show_products(study *s)
{
    static const struct {
        const char *what;
        float x, y;
        double product; /* the card's bits, as the value that they are */
    } rows[] = {
        {"1 x 1", 1, 1, 0x1.1p0},
        {"1.5 x 1.5", 1.5f, 1.5f, 2.125},
        {"3 x 5", 3, 5, 14.5},
        {"0.1 x 0.2", 0.1f, 0.2f, 0x1.433334p-6},
        {"-2.5 x 4", -2.5f, 4, -10.5},
        {"1.25 x 1.125", 1.25f, 1.125f, 1.4375},
        {"1.75 x 1.75", 1.75f, 1.75f, 3.125},
        {"1e-3 x 1e3", 1e-3f, 1e3f, 0x1.0a24dep0},
    };
    study_heading(s, "float32, l = 4: exact bits");
    for (int i = 0; i < 8; i++) {
        study_figure(s, lp_l_mul(23, rows[i].x, rows[i].y), rows[i].product, 0, "%s", rows[i].what);
        study_rival(s, (double)rows[i].x * rows[i].y, "exact product");
    }
}

/* The paper's formula, before anything is said about carries. */
static double as_written(int m, double x, double y)
{
    int l = m <= 3 ? m : m == 4 ? 3 : 4;
    return 1 + (x - 1) + (y - 1) + ldexp(1, -l);
}

static double bit_form(int m, double x, double y) { return lp_l_mul(m, (float)x, (float)y); }

static void show_three(study *s, const char *name, const errors *e, const double *expected, double tolerance)
{
    double bias[SAMPLES], absolute[SAMPLES], rms[SAMPLES];
    for (int k = 0; k < SAMPLES; k++) {
        bias[k] = e[k].bias;
        absolute[k] = e[k].absolute;
        rms[k] = e[k].rms;
    }
    study_sampled(s, bias, SAMPLES, expected[0], tolerance, "%s: bias", name);
    study_sampled(s, absolute, SAMPLES, expected[1], tolerance, "%s: mean absolute", name);
    study_sampled(s, rms, SAMPLES, expected[2], tolerance, "%s: rms", name);
}

static double mean_rms(const errors *e)
{
    double sum = 0;
    for (int k = 0; k < SAMPLES; k++) sum += e[k].rms;
    return sum / SAMPLES;
}

/* Pairs of mantissas, uniform in [1, 2), and their exact products. */
typedef struct pairs {
    float *x, *y, *rx, *ry, *p; /* rx, ry: rounded; p: product */
    double *exact, *product;
} pairs;

static void draw_pairs(pairs *a, int sample)
{
    uint64_t state = 300 + 1000 * (uint64_t)sample;
    for (int i = 0; i < N; i++) {
        a->x[i] = (float)(1 + study_uniform(&state));
        a->y[i] = (float)(1 + study_uniform(&state));
        a->exact[i] = (double)a->x[i] * a->y[i];
    }
}

static errors round_errors(pairs *a, const lp_element *element)
{
    lp_round_f32(element, NULL, a->x, N, a->rx, NULL);
    lp_round_f32(element, NULL, a->y, N, a->ry, NULL);
    lp_arith_f32(LP_OPERATION_MUL, element, NULL, a->rx, a->ry, NULL, N, a->p, NULL);
    for (int i = 0; i < N; i++) a->product[i] = a->p[i];
    return relative_errors(a->exact, a->product);
}

/* of_rounded: the function sees operands of m bits; else it rounds them itself. */
static errors function_errors(pairs *a, double (*function)(int, double, double), int m, double correction,
                              bool of_rounded)
{
    for (int i = 0; i < N; i++)
        a->product[i] = (of_rounded ? function(m, a->rx[i], a->ry[i]) : function(m, a->x[i], a->y[i])) / correction;
    return relative_errors(a->exact, a->product);
}

static errors logarithmic_errors(pairs *a, double constant)
{
    for (int i = 0; i < N; i++) {
        double sum = (double)a->x[i] - 1 + a->y[i] - 1 + constant;
        a->product[i] = sum < 1 ? 1 + sum : 2 * sum;
    }
    return relative_errors(a->exact, a->product);
}

static void show_errors(study *s)
{
    static const struct {
        int m;
        const char *element; /* of m bits of mantissa */
        double written[3], bits[3];
    } rows[] = {
        {2, "e5m2", {.024, .086, .105}, {.143, .146, .169}},   {3, "e4m3", {-.034, .072, .089}, {.049, .058, .0695}},
        {4, "e3m4", {-.034, .071, .087}, {.0485, .053, .061}}, {5, "e8m5", {-.064, .076, .096}, {.004, .027, .032}},
        {10, "f16", {-.064, .075, .096}, {.004, .0266, .031}},
    };
    static const double exact_absolute[3] = {.070, .035, .018}, exact_rms[3] = {.087, .0435, .022};
    pairs a = {study_allocate(N, sizeof(float)), study_allocate(N, sizeof(float)), study_allocate(N, sizeof(float)),
               study_allocate(N, sizeof(float)), study_allocate(N, sizeof(float)), study_allocate(N, sizeof(double)),
               study_allocate(N, sizeof(double))};
    errors written[5][SAMPLES], bits[5][SAMPLES], fp[5][SAMPLES], corrected[SAMPLES], seven[SAMPLES], bf16[SAMPLES],
        mitchell[SAMPLES], sixteenth[SAMPLES];
    double best = INFINITY, best_constant = 0;
    for (int sample = 0; sample < SAMPLES; sample++) {
        draw_pairs(&a, sample);
        for (int k = 0; k < 5; k++) {
            fp[k][sample] = round_errors(&a, study_element(rows[k].element));
            written[k][sample] = function_errors(&a, as_written, rows[k].m, 1, true);
            bits[k][sample] = function_errors(&a, bit_form, rows[k].m, 1, false);
        }
        corrected[sample] = function_errors(&a, bit_form, 4, 1.0485, false);
        bf16[sample] = round_errors(&a, study_element("bf16"));
        seven[sample] = function_errors(&a, bit_form, 7, 1, false);
        mitchell[sample] = logarithmic_errors(&a, 0);
        sixteenth[sample] = function_errors(&a, bit_form, 23, 1, false);
        for (int c = 40; sample == 0 && c <= 70; c++) {
            double rms = logarithmic_errors(&a, c / 1000.0).rms;
            if (rms < best) {
                best = rms;
                best_constant = c / 1000.0;
            }
        }
    }
    for (int k = 0; k < 5; k++) {
        study_heading(s, "%d bits of mantissa, relative errors", rows[k].m);
        show_three(s, "formula as written", written[k], rows[k].written, 0.0005);
        show_three(s, "bit form", bits[k], rows[k].bits, 0.0005);
        if (k < 3) {
            study_figure(s, fp[k][0].absolute, exact_absolute[k], 0.0005, "product rounded to %s: mean absolute",
                         rows[k].element);
            study_figure(s, fp[k][0].rms, exact_rms[k], 0.0005, "product rounded to %s: rms", rows[k].element);
        } else
            study_measured(s, mean_rms(fp[k]), "product rounded to %s: rms", rows[k].element);
    }
    study_heading(s, "Mitchell's product, and constants");
    static const double no_constant[3] = {-.0385, .0385, .0484}, constant[3] = {.004, .0266, .0310};
    show_three(s, "no constant", mitchell, no_constant, 0.0005);
    show_three(s, "1/16", sixteenth, constant, 0.0005);
    study_figure(s, best_constant, 0.057, 0.003, "constant of least rms");

    study_heading(s, "what the paper claims");
    study_claim(s, mean_rms(bits[1]), '<', mean_rms(fp[0]), "rms at 3 bits against a product in E5M2");
    study_paper(s, "\"3 bits better than E5M2\"");
    study_claim(s, mean_rms(bits[2]), '<', mean_rms(fp[1]), "rms at 4 bits against a product in E4M3");
    study_paper(s, "\"4 bits comparable to E4M3\"");
    study_reason(s, "the claim is not true: L-Mul at 4 bits errs more than E4M3, and with a bias of +4.9 %");
    study_claim(s, mean_rms(corrected), '<', mean_rms(fp[1]), "the same, divided by 1.0485");
    study_measured(s, mean_rms(seven), "rms at 7 bits");
    study_rival(s, mean_rms(bf16), "product in bf16");
    free(a.x);
    free(a.y);
    free(a.rx);
    free(a.ry);
    free(a.p);
    free(a.exact);
    free(a.product);
}

/* Dot products of 128 Gaussian terms, sums in float32: rms of the error over the rms of the exact results. */
static double dot_error(const char *product_text, bool l_mul, const float *a, const float *b, int rows,
                        double correction)
{
    const lp_element *product = study_element(product_text), *sum = study_element("f32");
    int64_t n = (int64_t)rows * 128;
    float *ra = study_allocate(n, sizeof *ra), *rb = study_allocate(n, sizeof *rb);
    lp_round_f32(product, NULL, a, n, ra, NULL);
    lp_round_f32(product, NULL, b, n, rb, NULL);
    lp_arith arith = {.product = product, .sum = sum, .l_mul = l_mul};
    double error = 0, signal = 0;
    for (int r = 0; r < rows; r++) {
        double exact = 0;
        for (int i = 0; i < 128; i++) exact += (double)a[r * 128 + i] * b[r * 128 + i];
        float y;
        lp_arith_dot_f32(&arith, ra + r * 128, rb + r * 128, 128, &y);
        double d = y / correction - exact;
        error += d * d;
        signal += exact * exact;
    }
    free(ra);
    free(rb);
    return sqrt(error / signal);
}

static void show_dots(study *s)
{
    int rows = 2000;
    float *a = study_values(STUDY_GAUSSIAN, (int64_t)rows * 128, 301),
          *b = study_values(STUDY_GAUSSIAN, (int64_t)rows * 128, 302);
    study_heading(s, "dot products of 128 Gaussian terms, relative rms error");
    static const struct {
        const char *element, *name;
        double correction;
    } list[] = {{"e5m2", "E5M2", 1}, {"e4m3", "E4M3", 1}, {"e5m4", "E5M4", 1}, {"bf16", "bf16", 1}};
    for (int i = 0; i < 4; i++) {
        double with = dot_error(list[i].element, true, a, b, rows, 1),
               plain = dot_error(list[i].element, false, a, b, rows, 1);
        study_claim(s, with, '>', plain, "L-Mul on %s operands against its products", list[i].name);
    }
    study_measured(s, dot_error("e5m4", true, a, b, rows, 1.0485), "L-Mul on E5M4 operands, divided by 1.0485");
    free(a);
    free(b);
}

static void show_identities(study *s)
{
    uint64_t state = 303;
    double asymmetric = 0, sign = 0, shifted = 0;
    for (int i = 0; i < N; i++) {
        float x = (float)study_normal(&state), y = (float)study_normal(&state);
        float p = lp_l_mul(23, x, y);
        asymmetric += p != lp_l_mul(23, y, x);
        sign += lp_l_mul(23, -x, y) != -p;
        shifted += lp_l_mul(23, x * 0x1p9f, y * 0x1p-4f) != p * 0x1p5f;
    }
    study_heading(s, "identities of the bit form: exceptions in 200 000 pairs");
    study_figure(s, asymmetric, 0, 0, "L(x, y) = L(y, x)");
    study_figure(s, sign, 0, 0, "L(-x, y) = -L(x, y)");
    study_figure(s, shifted, 0, 0, "L(512 x, y / 16) = 32 L(x, y)");
    study_figure(s, lp_l_mul(23, 0, 3), 0, 0, "L(0, 3)");
}

int main(int argc, char **argv)
{
    study *s = study_begin(argc, argv, "l-mul", "L-Mul: multiplication by integer addition",
                           "Addition is All You Need for Energy-efficient Language Models (2024)");
    show_products(s);
    show_errors(s);
    show_dots(s);
    show_identities(s);
    study_finding(
        s,
        "Three bits of L-Mul err less than E5M2 as claimed; four bits are not comparable to E4M3 but worse, with a "
        "bias that "
        "does not average out in a dot product until it is divided away. In dot products ordinary products of the same "
        "operands always err less.");
    return study_end(s);
}
