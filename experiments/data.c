/* Test data of the studies, and quantizers that do all their rounding by lowp. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/tensor.h>

#include "study.h"

uint64_t study_random(uint64_t *state)
{
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

double study_uniform(uint64_t *state) { return ((double)(study_random(state) >> 12) + 0.5) * 0x1p-52; }

double study_normal(uint64_t *state)
{
    double r = sqrt(-2 * log(study_uniform(state)));
    return r * cos(2 * M_PI * study_uniform(state));
}

static double student(uint64_t *state, int freedom)
{
    double normal = study_normal(state), squares = 0;
    for (int i = 0; i < freedom; i++) {
        double z = study_normal(state);
        squares += z * z;
    }
    return normal / sqrt(squares / freedom);
}

static double draw(study_data data, uint64_t *state)
{
    switch (data) {
    case STUDY_UNIFORM:
        return 2 * study_uniform(state) - 1;
    case STUDY_GAUSSIAN:
        return study_normal(state);
    case STUDY_LAPLACE: {
        double u = study_uniform(state) - 0.5;
        return u < 0 ? log(1 + 2 * u) : -log(1 - 2 * u);
    }
    case STUDY_T5:
        return student(state, 5);
    case STUDY_T3:
        return student(state, 3);
    case STUDY_OUTLIERS: {
        double z = study_normal(state);
        return study_uniform(state) < 0.01 ? 8 * z : z;
    }
    }
    return 0;
}

float *study_values(study_data data, int64_t n, uint64_t seed)
{
    float *x = study_allocate(n, sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = (float)draw(data, &seed);
    return x;
}

float *study_card_values(int64_t n)
{
    float *x = study_allocate(n, sizeof *x);
    uint32_t state = 1;
    for (int64_t i = 0; i < n; i++) {
        int64_t sum = -131070;
        for (int k = 0; k < 4; k++) {
            state = 1664525u * state + 1013904223u;
            sum += state >> 16;
        }
        x[i] = (float)sum / 131072.0f;
    }
    return x;
}

/* ---- quantizers -------------------------------------------------------------------------------------------------- */

static void check(lp_status status)
{
    if (status != LP_OK) {
        fprintf(stderr, "%s\n", lp_error());
        exit((int)status);
    }
}

const lp_element *study_element(const char *text)
{
    static struct {
        char text[64];
        lp_format *format;
    } known[256];
    static int n_known;
    for (int i = 0; i < n_known; i++)
        if (strcmp(known[i].text, text) == 0) return &known[i].format->element;
    if (n_known == 256 || strlen(text) >= sizeof known->text) {
        fprintf(stderr, "%s: too many elements, or too long a text\n", text);
        exit(2);
    }
    check(lp_format_parse(text, &known[n_known].format));
    strcpy(known[n_known].text, text);
    return &known[n_known++].format->element;
}

double study_largest(const lp_element *element)
{
    double largest = 0;
    for (uint32_t code = 0; code < (uint32_t)1 << element->bits; code++) {
        double value = lp_element_value(element, code);
        if (isfinite(value) && value > largest) largest = value;
    }
    return largest;
}

void study_round_scaled(const lp_element *element, const float *x, int64_t n, double s, float *y)
{
    float scale = (float)s;
    for (int64_t i = 0; i < n; i++) y[i] = x[i] / scale;
    bool is_int = element->kind == LP_ELEMENT_INT || element->kind == LP_ELEMENT_FIXED;
    lp_rounding rounding = {.overflow = is_int ? LP_OVERFLOW_SYMMETRIC : LP_OVERFLOW_SATURATE};
    check(lp_round_f32(element, &rounding, y, n, y, NULL));
    for (int64_t i = 0; i < n; i++) y[i] *= scale;
}

static double absmax(const float *x, int64_t n)
{
    double a = 0;
    for (int64_t i = 0; i < n; i++) { /* no fmax: gcc 12 for aarch64 fails on it */
        double v = fabs((double)x[i]);
        a = v > a ? v : a;
    }
    return a;
}

static double power_of_two(double x, lp_rounding_mode mode)
{
    const lp_element *scale = study_element("e8m0");
    lp_rounding rounding = {.mode = mode};
    double y;
    check(lp_round_f64(scale, &rounding, &x, 1, &y, NULL));
    return y;
}

void study_quantize(const lp_element *element, study_scale rule, double q, const float *x, int64_t n, int64_t block,
                    float *y)
{
    if (q == 0) q = study_largest(element);
    const lp_element *e4m3 = rule == STUDY_SCALE_E4M3 ? study_element("e4m3") : NULL;
    double tensor = absmax(x, n) / q / 448;
    for (int64_t first = 0; first < n; first += block) {
        int64_t m = n - first < block ? n - first : block;
        double a = absmax(x + first, m), s = a / q;
        if (a == 0) {
            memset(y + first, 0, (size_t)m * sizeof *y);
            continue;
        }
        if (rule == STUDY_SCALE_CEIL)
            s = power_of_two(s, LP_ROUND_UP);
        else if (rule == STUDY_SCALE_FLOOR)
            s = power_of_two(a, LP_ROUND_DOWN) / power_of_two(q, LP_ROUND_DOWN);
        else if (rule == STUDY_SCALE_E4M3) {
            s /= tensor;
            check(lp_round_f64(e4m3, NULL, &s, 1, &s, NULL));
            s *= tensor;
        }
        study_round_scaled(element, x + first, m, s, y + first);
    }
}

double study_decibel(const float *x, const float *y, int64_t n)
{
    double signal = 0, noise = 0;
    for (int64_t i = 0; i < n; i++) {
        double e = (double)x[i] - y[i];
        signal += (double)x[i] * x[i];
        noise += e * e;
    }
    return noise == 0 ? INFINITY : 10 * log10(signal / noise);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double study_wasserstein(double *a, double *b, int64_t n)
{
    qsort(a, (size_t)n, sizeof *a, ascending);
    qsort(b, (size_t)n, sizeof *b, ascending);
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += fabs(a[i] - b[i]);
    return sum / (double)n;
}

double study_best_decibel(const lp_element *element, double q, const float *x, int64_t n, double widest, int n_steps,
                          double *best_scale)
{
    if (q == 0) q = study_largest(element);
    double best = -INFINITY, a = absmax(x, n);
    float *y = study_allocate(n, sizeof *y);
    for (int i = (int)(widest * n_steps); i > 0; i--) {
        double s = a / q * i / n_steps;
        study_round_scaled(element, x, n, s, y);
        double d = study_decibel(x, y, n);
        if (d > best) {
            best = d;
            if (best_scale) *best_scale = s;
        }
    }
    free(y);
    return best;
}

void study_packed(const char *text, lp_search search, const float *x, int64_t n_rows, int64_t k, float *y)
{
    lp_format *format;
    const lp_packing *packing;
    uint64_t n_bytes = 0;
    check(lp_format_parse(text, &format));
    check(lp_packing_create(format, &packing));
    lp_packing_tensor_bytes(packing, k, n_rows, &n_bytes);
    void *bytes = study_allocate((int64_t)n_bytes, 1);
    check(lp_encode_rows(packing, search, x, n_rows, k, NULL, bytes));
    lp_tensor tensor = {.packing = packing, .n_dims = 2, .dim = {k, n_rows, 1, 1}, .data = bytes};
    for (int64_t r = 0; r < n_rows; r++) lp_tensor_decode_row(&tensor, r, y + r * k);
    free(bytes);
    lp_packing_free(packing);
    lp_format_free(format);
}
