/* What tests of the column solver round: correlated inputs, weights, and the layer's error. */
#ifndef LP_TESTS_QUANTIZE_SOLVE_DATA_H
#define LP_TESTS_QUANTIZE_SOLVE_DATA_H

#include <stdlib.h>

#include "quantize/data.h"
#include "quantize/solve/solve.h"
#include "tensor/row.h"

enum { K = 512, ROWS = 19 };

/* The generator of card ptq/gptq.md. */
static double uniform(uint64_t *state)
{
    uint64_t z = *state += 0x9E3779B97F4A7C15u;
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
    z = (z ^ z >> 27) * 0x94D049BB133111EBu;
    return (double)((z ^ z >> 31) >> 11) * 0x1p-53;
}

static double normal(uint64_t *state)
{
    double s = 0;
    for (int i = 0; i < 12; i++) s += uniform(state);
    return s - 6;
}

/* Correlated inputs of uneven energy and weights, and their moments. */
static lp_moments *make_moments(int64_t k)
{
    static lp_moments m;
    uint64_t seed = 7;
    float *x = malloc(1024 * (size_t)k * sizeof *x);
    for (int t = 0; t < 1024; t++)
        for (int64_t j = 0; j < k; j++)
            x[t * k + j] = j % 64 ? .8f * x[t * k + j - 1] + .6f * (float)normal(&seed) : (float)normal(&seed);
    assert_int_equal(lp_moments_create(k, false, &m), LP_OK);
    lp_moments_add(&m, x, NULL, 1024, NULL);
    lp_moments_finish(&m);
    free(x);
    return &m;
}

static float *make_weights(void)
{
    float *w = malloc(ROWS * K * sizeof *w);
    card_data(3, .05f, ROWS * K, w);
    return w;
}

/* tr(D H D^T) of ROWS rows of m->k weights and of what their bytes decode to. */
static double error_of(const lp_moments *m, const float *w, const uint8_t *bytes, const lp_packing *packing)
{
    float *q = malloc(ROWS * K * sizeof *q);
    double sum = 0;
    lp_tensor t = {.name = "w", .n_dims = 2, .dim = {m->k, ROWS, 1, 1}, .packing = packing, .data = bytes};
    for (int r = 0; r < ROWS; r++) lp_tensor_decode_row(&t, r, q + r * m->k);
    for (int r = 0; r < ROWS; r++)
        for (int64_t i = 0; i < m->k; i++) {
            double d = (double)w[r * m->k + i] - (double)q[r * m->k + i];
            for (int64_t j = 0; j <= i; j++)
                sum += (i == j ? 1 : 2) * d * m->h[i * m->k + j] * ((double)w[r * m->k + j] - (double)q[r * m->k + j]);
        }
    free(q);
    return sum;
}

static double solved_error(const lp_moments *m, const float *w, const lp_packing *packing, const lp_solve_options *o, uint8_t *bytes)
{
    lp_tensor tensor = {.name = "w", .n_dims = 2, .dim = {m->k, ROWS, 1, 1}, .packing = lp_packing_by_name("f32"),
                        .data = (const uint8_t *)w, .n_bytes = ROWS * (size_t)m->k * sizeof *w};
    lp_solver solver;
    lp_codec codec;
    bool exists;
    double loss;
    assert_int_equal(lp_codec_create(packing, &tensor, &codec, &exists), LP_OK);
    assert_true(exists);
    assert_int_equal(lp_solver_create(o, m, NULL, &solver), LP_OK);
    assert_int_equal(lp_solve_matrix(&solver, &codec, &tensor, NULL, bytes, &loss), LP_OK);
    lp_solver_free(&solver);
    lp_codec_free(&codec);
    return error_of(m, w, bytes, packing);
}

#endif
