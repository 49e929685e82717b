/* Posits beside floats and integers of their width, tables bit for bit, and the quire. Card: formats/posit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/arith.h>

#include "study.h"

static uint32_t crc32(const void *bytes, size_t n)
{
    uint32_t crc = 0xffffffffu;
    for (size_t i = 0; i < n; i++) {
        crc ^= ((const uint8_t *)bytes)[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (0xedb88320u & -(crc & 1));
    }
    return ~crc;
}

typedef struct posit_row {
    const char *name;
    uint32_t values, encoded, add, mul, div; /* the card's CRCs; 0: it has none */
} posit_row;

/* The values by code as float64, NaR as one certain NaN. */
static void show_values(study *s, const posit_row *row, const lp_element *e)
{
    static const uint64_t nar = 0x7ff8000000000000u;
    uint32_t n = (uint32_t)1 << e->bits;
    double *values = study_allocate(n, sizeof *values);
    for (uint32_t code = 0; code < n; code++) {
        values[code] = lp_element_value(e, code);
        if (isnan(values[code])) memcpy(&values[code], &nar, sizeof nar);
    }
    study_word(s, crc32(values, n * sizeof *values), row->values, "%s: values", row->name);
    free(values);
}

/* CRC of n codes, a byte each (two for 16 bits). */
static uint32_t crc_of_codes(const lp_element *e, const float *x, int64_t n)
{
    uint8_t *packed = study_allocate((int64_t)lp_codes_bytes(e, n), 1), *wide = study_allocate(n, 1);
    lp_round_codes_f32(e, NULL, x, n, packed, NULL);
    for (int64_t i = 0; e->bits == 4 && i < n; i++) wide[i] = packed[i / 2] >> i % 2 * 4 & 15;
    uint32_t crc = e->bits == 4 ? crc32(wide, (size_t)n) : crc32(packed, (size_t)n * (size_t)(e->bits / 8));
    free(packed);
    free(wide);
    return crc;
}

static void show_codes(study *s, const posit_row *row, const lp_element *e)
{
    static uint16_t half[65536];
    static float x[65536];
    for (int i = 0; i < 65536; i++) half[i] = (uint16_t)i;
    lp_codes_values_f32(study_element("f16"), half, 65536, x, NULL);
    study_word(s, crc_of_codes(e, x, 65536), row->encoded, "%s: codes of all float16", row->name);
}

/* All pairs of codes, the first operand outermost. */
static void show_operations(study *s, const posit_row *row, const lp_element *e)
{
    static const lp_operation operations[3] = {LP_OPERATION_ADD, LP_OPERATION_MUL, LP_OPERATION_DIV};
    static const char *const names[3] = {"sums", "products", "quotients"};
    const uint32_t expected[3] = {row->add, row->mul, row->div};
    int64_t n = (int64_t)1 << e->bits, pairs = n * n;
    float *a = study_allocate(pairs, sizeof *a), *b = study_allocate(pairs, sizeof *b),
          *y = study_allocate(pairs, sizeof *y);
    for (int64_t i = 0; i < pairs; i++) {
        a[i] = (float)lp_element_value(e, (uint32_t)(i / n));
        b[i] = (float)lp_element_value(e, (uint32_t)(i % n));
    }
    for (int o = 0; o < 3; o++) {
        lp_arith_f32(operations[o], e, NULL, a, b, NULL, pairs, y, NULL);
        study_word(s, crc_of_codes(e, y, pairs), expected[o], "%s: %s", row->name, names[o]);
    }
    free(a);
    free(b);
    free(y);
}

static void show_tables(study *s)
{
    static const posit_row rows[] = {
        {"p4.0", 0x8b651585, 0, 0, 0, 0},
        {"p4.1", 0x5d34920b, 0x7e96520e, 0xa0dbd82a, 0x5d042ed5, 0x4477430f},
        {"p8.0", 0x7c59c185, 0x9f0ccc89, 0x7b1a50cf, 0xe36c8b93, 0x51c2532d},
        {"p8.1", 0x1355f3b5, 0x1c1ef850, 0, 0, 0},
        {"p8.2", 0x66a98d3a, 0x9b8999a7, 0x3c0f3cf0, 0xf9c27ad2, 0xb4dcff0d},
        {"p16.1", 0x6aebb845, 0x2a2b80c3, 0, 0, 0},
        {"p16.2", 0xab25b6a4, 0, 0, 0, 0},
    };
    study_heading(s, "CRC-32 of tables");
    for (int r = 0; r < 7; r++) {
        const lp_element *e = study_element(rows[r].name);
        show_values(s, &rows[r], e);
        if (rows[r].encoded) show_codes(s, &rows[r], e);
        if (rows[r].add) show_operations(s, &rows[r], e);
    }
}

static double rounded(const char *element, double x)
{
    double y;
    lp_round_f64(study_element(element), NULL, &x, 1, &y, NULL);
    return y;
}

static void show_rounding(study *s)
{
    static const struct {
        const char *element;
        double x, y;
    } rows[] = {{"p8.0", 48, 32},
                {"p8.0", 96, 64},
                {"p8.0", 1000, 64},
                {"p8.0", 1e-5, 0x1p-6},
                {"p8.0", -1e-5, -0x1p-6},
                {"p8.2", 5 * 0x1p20, 0x1p24},
                {"p8.2", 3 * 0x1p20, 0x1p20},
                {"p4.1", 9, 16},
                {"p4.1", 8, 4},
                {"p4.1", 0.7, 0.5}};
    study_heading(s, "rounding");
    for (int i = 0; i < 10; i++)
        study_figure(s, rounded(rows[i].element, rows[i].x), rows[i].y, 0, "%s of %g", rows[i].element, rows[i].x);
}

static double dot(const char *element, lp_accumulation accumulation, const float *a, const float *b, int64_t n)
{
    lp_arith arith = {.accumulation = accumulation, .sum = study_element(element)};
    float y;
    lp_arith_dot_f32(&arith, a, b, n, &y);
    return y;
}

static void show_quire(study *s)
{
    static const float a[3] = {64, 1, -64}, b[3] = {1, 0.5f, 1}, c[5] = {1.5f, -3.25f, 64, 1 / 64.0f, 7},
                       d[5] = {2, 0.5f, 64, 1 / 64.0f, -3};
    study_heading(s, "the quire");
    study_figure(s, dot("p8.0", LP_ACCUMULATE_EXACT, a, b, 3), 0.5, 0, "64 + 0.5 - 64 in a quire");
    study_rival(s, dot("p8.0", LP_ACCUMULATE_ROUNDED, a, b, 3), "every step rounded");
    study_figure(s, dot("p8.0", LP_ACCUMULATE_ROUNDED, a, b, 3), 0, 0, "64 + 0.5 - 64, every step rounded");
    study_figure(s, dot("p8.0", LP_ACCUMULATE_EXACT, c, d, 5), 64, 0, "sum of five products in a quire");
    study_figure(s, dot("p8.0", LP_ACCUMULATE_ROUNDED, c, d, 5), 32, 0, "sum of five products, every step rounded");
    float x[100], y[100], first = 0;
    int different = 0;
    uint64_t state = 800;
    for (int i = 0; i < 100; i++) {
        x[i] = (float)rounded("p8.0", study_normal(&state));
        y[i] = (float)rounded("p8.0", study_normal(&state));
    }
    for (int trial = 0; trial < 50; trial++) {
        for (int i = 99; i > 0; i--) {
            int j = (int)(study_random(&state) % (uint64_t)(i + 1));
            float u = x[i], v = y[i];
            x[i] = x[j];
            y[i] = y[j];
            x[j] = u;
            y[j] = v;
        }
        float z = (float)dot("p8.0", LP_ACCUMULATE_EXACT, x, y, 100);
        different += trial > 0 && z != first;
        first = z;
    }
    study_figure(s, different, 0, 0, "orders of 100 terms that change the result, of 50");
}

/* The scale of least squared error over eight octaves. */
static double best(const char *element, const float *x, int64_t n)
{
    float *y = study_allocate(n, sizeof *y);
    double decibel = -INFINITY, at = 0;
    for (int step = 0; step <= 96; step++) {
        double s = exp2(-4 + step / 12.0);
        study_round_scaled(study_element(element), x, n, s, y);
        double d = study_decibel(x, y, n);
        if (d > decibel) {
            decibel = d;
            at = s;
        }
    }
    for (double f = 0.95; f < 1.05; f += 0.005) {
        study_round_scaled(study_element(element), x, n, at * f, y);
        decibel = fmax(decibel, study_decibel(x, y, n));
    }
    free(y);
    return decibel;
}

static void show_noise(study *s)
{
    enum { N = 200000, SAMPLES = 3 };
    static const struct {
        const char *name;
        study_data data;
        struct {
            const char *element;
            bool is_posit;
            double decibel, tolerance;
        } columns[10];
    } rows[] = {
        {"Gaussian",
         STUDY_GAUSSIAN,
         {{"p8.0", true, 41.3, .2},
          {"p8.1", true, 37.5, .2},
          {"p8.2", true, 31.6, .2},
          {"i8", false, 40.0, .2},
          {"e2m5none", false, 42.4, .2},
          {"e3m4none", false, 37.6, .2},
          {"e4m3none", false, 31.6, .2},
          {"p4.0", true, 17.0, .2},
          {"p4.1", true, 14.2, .2},
          {"e2m1", false, 18.9, .2}}},
        {"Student t(5)",
         STUDY_T5,
         {{"p8.0", true, 39.2, .2},
          {"i8", false, 29.7, 3},
          {"e2m5none", false, 34.3, 3},
          {"e3m4none", false, 37.5, .2},
          {"e4m3none", false, 31.5, .2}}},
        {"Laplace",
         STUDY_LAPLACE,
         {{"p8.0", true, 39.5, .2},
          {"i8", false, 34.7, .2},
          {"e2m5none", false, 39.0, .2},
          {"e3m4none", false, 37.5, .2},
          {"e4m3none", false, 31.5, .2}}},
    };
    double gaussian_posit = 0, gaussian_int = 0, student_posit = 0, student_e3m4 = 0;
    for (int r = 0; r < 3; r++) {
        study_heading(s, "%s, best scale of the tensor, dB", rows[r].name);
        for (int c = 0; c < 10 && rows[r].columns[c].element; c++) {
            double figures[SAMPLES], mean = 0;
            for (int k = 0; k < SAMPLES; k++) {
                float *x = study_values(rows[r].data, N, 810 + (uint64_t)(r * SAMPLES + k));
                figures[k] = rows[r].columns[c].is_posit
                                 ? best(rows[r].columns[c].element, x, N)
                                 : study_best_decibel(study_element(rows[r].columns[c].element), 0, x, N, 1, 100, NULL);
                mean += figures[k] / SAMPLES;
                free(x);
            }
            study_sampled(s, figures, SAMPLES, rows[r].columns[c].decibel, rows[r].columns[c].tolerance, "%s",
                          rows[r].columns[c].element);
            if (r == 0 && c == 3)
                study_reason(s, "the card's search was too coarse: the best range of the whole distribution gives "
                                "40.54 dB (fp8-vs-int8)");
            if (r == 0 && c == 0) gaussian_posit = mean;
            if (r == 0 && c == 3) gaussian_int = mean;
            if (r == 1 && c == 0) student_posit = mean;
            if (r == 1 && c == 3) student_e3m4 = mean;
        }
    }
    study_heading(s, "what must hold");
    study_claim(s, gaussian_posit, '>', gaussian_int, "posit(8,0) beats INT8 on Gaussian data, dB");
    study_claim(s, student_posit, '>', student_e3m4, "posit(8,0) beats E3M4 on Student t(5), dB");
    float *x = study_values(STUDY_GAUSSIAN, N, 820), *y = study_allocate(N, sizeof *y);
    study_round_scaled(study_element("p8.0"), x, N, 8, y);
    study_measured(s, study_decibel(x, y, N), "posit(8,0) where the scale puts sigma at 1/8, dB");
    study_rival(s, gaussian_posit, "best scale");
    free(x);
    free(y);
}

int main(int argc, char **argv)
{
    study *s = study_begin(argc, argv, "posit", "Posits and the quire",
                           "XR-NPE (2025); Gustafson and Yonemoto, Beating Floating Point at its Own Game (2017)");
    show_tables(s);
    show_rounding(s);
    show_quire(s);
    show_noise(s);
    study_finding(s, "All tables agree bit for bit. posit(8,0) is the best 8-bit element for heavy tails with one "
                     "scale a tensor, if the scale is "
                     "right; posit(4,1) is 5 dB below E2M1.");
    return study_end(s);
}
