/* The column solver: the vectors and identities of card ptq/gptq.md, and its formats. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "quantize/encode.h"
#include "quantize/solve/descend.h"
#include "quantize/solve/factor.h"
#include "quantize/solve_data.h"

#include <lowp/isa.h>

/* ---- the card's generator ------------------------------------------------------------------------------------------ */

static double *normals(uint64_t seed, int64_t n)
{
    double *x = malloc((size_t)n * sizeof *x);
    for (int64_t i = 0; i < n; i++) x[i] = normal(&seed);
    return x;
}

/* AR(seed, T, n, rho): each row an autoregressive walk. */
static double *walks(uint64_t seed, int64_t t, int64_t n, double rho)
{
    double *x = malloc((size_t)(t * n) * sizeof *x);
    for (int64_t r = 0; r < t; r++)
        for (int64_t j = 0; j < n; j++) x[r * n + j] = j ? rho * x[r * n + j - 1] + sqrt(1 - rho * rho) * normal(&seed) : normal(&seed);
    return x;
}

static double *second_moments(const double *x, int64_t t, int64_t n)
{
    double *h = calloc((size_t)(n * n), sizeof *h);
    for (int64_t r = 0; r < t; r++)
        for (int64_t i = 0; i < n; i++)
            for (int64_t j = 0; j < n; j++) h[i * n + j] += 2.0 / (double)t * x[r * n + i] * x[r * n + j];
    return h;
}

/* ---- a layer of rows with one asymmetric scale each ----------------------------------------------------------------- */

typedef struct layer {
    int64_t k, n;
    int bits;
    double *w, *h;          /* [n][k]; [k][k] */
    double *q;              /* [n][k] out */
    int *code;              /* [n][k] out */
    double loss;
} layer;

static lp_status no_fit(const lp_coder *coder, int n, const float (*c)[LP_TILE], const float *importance, lp_unit *unit)
{
    (void)coder, (void)n, (void)c, (void)importance, (void)unit;
    return LP_OK;
}

/* Scale and zero point of a row, zero included; as one unit in the solver's terms: levels 0 .. 2^b - 1. */
static void row_scale(const layer *x, int64_t row, double *scale, double *offset)
{
    double low = 0, high = 0;
    for (int64_t j = 0; j < x->k; j++) {
        low = fmin(low, x->w[row * x->k + j]);
        high = fmax(high, x->w[row * x->k + j]);
    }
    int most = (1 << x->bits) - 1;
    *scale = (float)((high - low) / most);
    *offset = (float)-(rint(-low / *scale) * *scale);
}

/* order: NULL: by diagonal; feedback: NULL r: rounding to nearest. */
static void solve(layer *x, double damp, bool by_energy, bool feedback)
{
    int64_t k = x->k, *order = malloc((size_t)k * sizeof *order);
    double mean = 0, *lower = calloc((size_t)(k * k), sizeof *lower), *r = calloc((size_t)(k * k), sizeof *r);
    lp_factor factor;
    assert_int_equal(lp_factor_create(x->h, k, damp, by_energy, NULL, &factor), LP_OK);
    memcpy(order, factor.order, (size_t)k * sizeof *order);
    lp_factor_free(&factor);
    for (int64_t i = 0; i < k; i++) mean += x->h[i * k + i] / (double)k;
    assert_true(lp_factor_f64(x->h, k, order, damp * mean, NULL, lower));
    for (int64_t i = 0; i < k; i++)
        for (int64_t j = i; j < k; j++)
            if (feedback || i == j) r[i * k + j] = lower[j * k + i];
    lp_coder coder = {.grid = {.low = 0, .high = (float)((1 << x->bits) - 1)}, .unit = (int)k, .block = (int)k, .fit = no_fit};
    lp_sweep sweep = {.k = k, .order = order, .r = r, .given = true};
    double *w = calloc((size_t)k * LP_TILE, sizeof *w), *s = calloc((size_t)k * LP_TILE, sizeof *s), *q = calloc((size_t)k * LP_TILE, sizeof *q);
    uint8_t *code = calloc((size_t)k, LP_TILE);
    x->q = malloc((size_t)(k * x->n) * sizeof *x->q);
    x->code = malloc((size_t)(k * x->n) * sizeof *x->code);
    x->loss = 0;
    for (int64_t first = 0; first < x->n; first += LP_TILE) {
        lp_unit unit = {0};
        lp_tile_rows rows = {.w = w, .s = s, .q = q, .code = code, .unit = &unit};
        memset(w, 0, (size_t)k * LP_TILE * sizeof *w);
        memset(s, 0, (size_t)k * LP_TILE * sizeof *s);
        for (int l = 0; l < LP_TILE && first + l < x->n; l++) {
            double scale, offset;
            row_scale(x, first + l, &scale, &offset);
            unit.scale[l] = (float)scale;
            unit.offset[l] = (float)offset;
            for (int64_t j = 0; j < k; j++) w[j * LP_TILE + l] = x->w[(first + l) * k + j];
        }
        assert_int_equal(lp_sweep_f64(&sweep, &coder, &rows), LP_OK);
        for (int l = 0; l < LP_TILE && first + l < x->n; l++) {
            x->loss += rows.loss[l];
            for (int64_t j = 0; j < k; j++) {
                x->q[(first + l) * k + j] = q[j * LP_TILE + l];
                x->code[(first + l) * k + j] = code[j * LP_TILE + l];
            }
        }
    }
    free(order), free(lower), free(r), free(w), free(s), free(q), free(code);
}

/* tr((W - Q) (H + added I) (W - Q)^T) */
static double trace(const layer *x, double added)
{
    double sum = 0;
    for (int64_t r = 0; r < x->n; r++)
        for (int64_t i = 0; i < x->k; i++)
            for (int64_t j = 0; j < x->k; j++)
                sum += (x->w[r * x->k + i] - x->q[r * x->k + i]) * (x->h[i * x->k + j] + (i == j ? added : 0)) *
                       (x->w[r * x->k + j] - x->q[r * x->k + j]);
    return sum;
}

static void release(layer *x)
{
    free(x->q), free(x->code);
    x->q = NULL, x->code = NULL;
}

/* ---- tests ---------------------------------------------------------------------------------------------------------- */

static double small_h[16] = {2.8, 1.2, .4, .8, 1.2, 2.4, .8, .4, .4, .8, 2.8, .8, .8, .4, .8, 1.6};
static double small_w[8] = {1.2, -.7, .4, 2, .3, .9, -1.1, -.2};

static void the_worked_example_of_the_card_comes_out(void **state)
{
    (void)state;
    const int gptq[8] = {2, 0, 2, 3, 2, 3, 0, 2}, rtn[8] = {2, 0, 1, 3, 2, 3, 0, 2};
    layer x = {.k = 4, .n = 2, .bits = 2, .w = small_w, .h = small_h};
    solve(&x, .01, false, true);
    assert_memory_equal(x.code, gptq, sizeof gptq);
    assert_true(fabs(x.loss - 1.662036) < 2e-6);
    assert_true(fabs(trace(&x, 0) * 2.5 - 4.115556) < 4e-6);
    release(&x);
    solve(&x, .01, false, false);
    assert_memory_equal(x.code, rtn, sizeof rtn);
    assert_true(fabs(trace(&x, 0) * 2.5 - 5.465556) < 4e-6);
    release(&x);
    solve(&x, .01, true, true); /* a heuristic, not a guarantee */
    assert_memory_equal(x.code, rtn, sizeof rtn);
    release(&x);
}

static void the_sum_of_column_losses_is_the_trace_form(void **state)
{
    (void)state;
    double *x = walks(11, 256, 48, .9), *h = second_moments(x, 256, 48), *w = normals(12, 20 * 48), mean = 0;
    for (int i = 0; i < 48; i++) mean += h[i * 49] / 48;
    for (int bits = 2; bits <= 4; bits++)
        for (int order = 0; order < 2; order++) {
            layer l = {.k = 48, .n = 20, .bits = bits, .w = w, .h = h};
            solve(&l, .01, order, true);
            double form = trace(&l, .01 * mean);
            assert_true(fabs(l.loss - form) <= 1e-12 * form);
            release(&l);
        }
    free(x), free(h), free(w);
}

static void error_feedback_beats_rounding_by_what_the_card_measured(void **state)
{
    (void)state;
    static const struct {
        double rho, ratio[3];
    } cases[] = {{.9, {.206, .176, .221}}, {.5, {.702, .682, .719}}, {0, {.940, .960, .936}}};
    static const double rtn_error[3] = {12.118, 2.6105, .44924};
    double *w = normals(12, 32 * 64);
    for (int c = 0; c < 3; c++) {
        double *x = walks(11, 512, 64, cases[c].rho), *h = second_moments(x, 512, 64);
        for (int bits = 2; bits <= 4; bits++) {
            layer a = {.k = 64, .n = 32, .bits = bits, .w = w, .h = h}, b = a;
            solve(&a, .01, false, true);
            solve(&b, .01, false, false);
            double ratio = trace(&a, 0) / trace(&b, 0), error = trace(&b, 0) / 2 / 32;
            assert_true(fabs(ratio - cases[c].ratio[bits - 2]) < 2e-3);
            if (c == 0) assert_true(fabs(error / rtn_error[bits - 2] - 1) < 1e-3);
            if (c == 0) {
                static const int sums[3] = {2904, 7011, 15347};
                int sum = 0;
                for (int i = 0; i < 32 * 64; i++) sum += a.code[i];
                assert_int_equal(sum, sums[bits - 2]);
            }
            release(&a), release(&b);
        }
        free(x), free(h);
    }
    free(w);
}

static void columns_of_large_input_first_helps_where_energies_differ(void **state)
{
    (void)state;
    static const double plain[3] = {.828, .746, .744}, act[3] = {.764, .668, .689};
    double *x = walks(21, 512, 64, .5), *w = normals(12, 32 * 64);
    for (int i = 0; i < 512 * 64; i++) x[i] *= exp2(i % 64 / 16.0);
    double *h = second_moments(x, 512, 64);
    for (int bits = 2; bits <= 4; bits++) {
        layer a = {.k = 64, .n = 32, .bits = bits, .w = w, .h = h}, b = a, c = a;
        solve(&a, .01, false, true), solve(&b, .01, true, true), solve(&c, .01, false, false);
        assert_true(fabs(trace(&a, 0) / trace(&c, 0) - plain[bits - 2]) < 3e-3);
        assert_true(fabs(trace(&b, 0) / trace(&c, 0) - act[bits - 2]) < 3e-3);
        release(&a), release(&b), release(&c);
    }
    free(x), free(h), free(w);
}

static void a_diagonal_h_gives_rounding_to_nearest(void **state)
{
    (void)state;
    double h[16 * 16] = {0}, *w = normals(5, 16 * 16);
    for (int i = 0; i < 16; i++) h[17 * i] = 1 + i;
    layer a = {.k = 16, .n = 16, .bits = 3, .w = w, .h = h}, b = a;
    solve(&a, .01, false, true), solve(&b, .01, false, false);
    assert_memory_equal(a.code, b.code, 256 * sizeof(int));
    release(&a), release(&b), free(w);
}

static void the_factor_gives_h_back(void **state)
{
    (void)state;
    enum { N = 70 }; /* more than two panels, no multiple of one */
    double *x = walks(3, 200, N, .8), *h = second_moments(x, 200, N), *lower = calloc(N * N, sizeof *lower), worst = 0;
    int64_t order[N];
    for (int i = 0; i < N; i++) order[i] = (i * 37) % N;
    assert_true(lp_factor_f64(h, N, order, .25, NULL, lower));
    for (int i = 0; i < N; i++)
        for (int j = 0; j < N; j++) { /* R[i][m] = lower[m][i] */
            double sum = 0;
            for (int m = i > j ? i : j; m < N; m++) sum += lower[m * N + i] * lower[m * N + j];
            worst = fmax(worst, fabs(sum - h[order[i] * N + order[j]] - (i == j ? .25 : 0)));
        }
    assert_true(worst < 1e-12);
    free(x), free(h), free(lower);
}

static void moments_that_are_not_positive_definite_get_more_damping_or_rounding_to_nearest(void **state)
{
    (void)state;
    double h[4] = {1, 1, 1, 1}, bad[4] = {1, 3, 3, 1}, dead[4] = {0, 0, 0, 2}, nan[4] = {1, NAN, NAN, 1}, negative[4] = {-1, 0, 0, 1};
    lp_factor f;
    assert_int_equal(lp_factor_create(h, 2, 0, false, NULL, &f), LP_OK);
    assert_false(f.failed);
    assert_true(f.damp >= .02);
    lp_factor_free(&f);
    assert_int_equal(lp_factor_create(bad, 2, .01, false, NULL, &f), LP_OK);
    assert_true(f.failed);
    assert_true(f.r[1] == 0);
    lp_factor_free(&f);
    assert_int_equal(lp_factor_create(dead, 2, .01, false, NULL, &f), LP_OK);
    assert_int_equal(f.n_dead, 1);
    assert_true(f.r[0] > 0 && f.r[1] == 0);
    lp_factor_free(&f);
    assert_int_equal(lp_factor_create(nan, 2, .01, false, NULL, &f), LP_CHECK);
    assert_non_null(strstr(lp_error(), "channels 1 and 0"));
    assert_int_equal(lp_factor_create(negative, 2, .01, false, NULL, &f), LP_CHECK);
}

/* ---- formats --------------------------------------------------------------------------------------------------------- */

static const char *const solved_formats[] = {"q4_0", "q4_1", "q5_0", "q5_1", "q8_0", "iq4_nl", "iq4_xs", "mxfp4",
                                             "q2_k", "q3_k", "q4_k", "q5_k", "q6_k"};
enum { N_FORMATS = sizeof solved_formats / sizeof solved_formats[0] };

static void every_step_lowers_the_layers_error_in_every_format(void **state)
{
    (void)state;
    lp_moments *m = make_moments(K);
    float *w = make_weights(), *importance = malloc(K * sizeof *importance);
    uint8_t *bytes = malloc(ROWS * K * 4);
    for (int i = 0; i < K; i++) importance[i] = (float)m->h[i * K + i];
    for (int f = 0; f < N_FORMATS; f++) {
        const lp_packing *packing = lp_packing_by_name(solved_formats[f]);
        const lp_solve_options gptq = {.damp = .01, .feedback = true, .rounds = 1};
        lp_solve_options search = gptq, descend = gptq;
        search.reach = 4, search.reach_b = 2;
        descend.passes = 3, descend.descent_reach = 1;
        assert_int_equal(lp_encode_rows(packing, LP_SEARCH_REFERENCE, w, ROWS, K, importance, bytes), LP_OK);
        double reference = error_of(m, w, bytes, packing), fed = solved_error(m, w, packing, &gptq, bytes);
        double searched = solved_error(m, w, packing, &search, bytes), descended = solved_error(m, w, packing, &descend, bytes);
        print_message("%s: reference %.4g, gptq %.3f, searched %.3f, descended %.3f of it\n", packing->name, reference, fed / reference,
                      searched / reference, descended / reference);
        assert_true(fed < .75 * reference);
        assert_true(searched < fed);
        assert_true(descended < fed);
    }
    lp_moments_free(m);
    free(w), free(importance), free(bytes);
}

static void blocks_put_together_decode_to_the_solvers_values(void **state)
{
    (void)state;
    float *w = make_weights();
    for (int f = 0; f < N_FORMATS; f++) {
        const lp_packing *packing = lp_packing_by_name(solved_formats[f]);
        int n = packing->n_values;
        uint8_t encoded[LP_TILE * LP_BYTES_MAX], stored[LP_TILE * LP_BYTES_MAX], code[LP_BLOCK_MAX * LP_TILE];
        float wanted[LP_TILE * LP_BLOCK_MAX], got[LP_TILE * LP_BLOCK_MAX], c[LP_BLOCK_MAX][LP_TILE];
        lp_unit unit[LP_SUB_MAX];
        lp_codec codec;
        bool exists;
        lp_planes planes;
        uint8_t *plane[LP_MAX_PLANES] = {stored};
        assert_int_equal(lp_codec_create(packing, NULL, &codec, &exists), LP_OK);
        assert_true(exists);
        assert_true(lp_packing_planes(packing, n, LP_TILE, &planes));
        assert_int_equal(lp_encode_rows(packing, LP_SEARCH_REFERENCE, w, LP_TILE, n, NULL, encoded), LP_OK);
        lp_packing_decode(packing, encoded, LP_TILE * n, wanted);
        for (int l = 0; l < LP_TILE; l++)
            for (int j = 0; j < n; j++) c[j][l] = w[l * n + j];
        assert_int_equal(codec.coder.fit(&codec.coder, n, (const float(*)[LP_TILE])c, NULL, unit), LP_OK);
        for (int l = 0; l < LP_TILE; l++) /* the code whose value is what the encoder chose */
            for (int j = 0; j < n; j++) {
                const lp_grid *grid = &codec.coder.grid;
                const lp_unit *u = &unit[j / codec.coder.unit];
                int levels = grid->n_levels ? grid->n_levels : (int)(grid->high - grid->low) + 1, best = 0;
                float least = INFINITY;
                for (int v = 0; v < levels; v++) {
                    float level = grid->n_levels ? grid->level[v] : grid->low + (float)v;
                    float off = fabsf(u->scale[l] * level + u->offset[l] - wanted[l * n + j]);
                    if (off < least) least = off, best = v;
                }
                code[j * LP_TILE + l] = (uint8_t)best;
            }
        lp_tile_rows rows = {.code = code, .unit = unit};
        codec.store(&codec, &rows, n, LP_TILE, &planes, plane);
        lp_packing_decode(packing, stored, LP_TILE * n, got);
        for (int i = 0; i < LP_TILE * n; i++) assert_true(got[i] == wanted[i]);
    }
    free(w);
}

static void the_bytes_depend_on_neither_instruction_set_nor_threads(void **state)
{
    (void)state;
    static const int n_threads[] = {1, 2, 7};
    lp_isa before = lp_isa_current();
    float *w = make_weights();
    uint8_t *first = malloc(ROWS * K), *bytes = malloc(ROWS * K);
    lp_tensor tensor = {.name = "w", .n_dims = 2, .dim = {K, ROWS, 1, 1}, .packing = lp_packing_by_name("f32"),
                        .data = (const uint8_t *)w, .n_bytes = ROWS * K * sizeof *w};
    const lp_packing *packing = lp_packing_by_name("q4_k");
    const lp_solve_options o = {.damp = .01, .feedback = true, .reach = 2, .reach_b = 1, .rounds = 1, .passes = 1, .descent_reach = 1};
    int n_runs = 0;
    for (int isa = 0; isa < 8; isa++) {
        if (lp_isa_select(lp_isa_name((lp_isa)isa)) != LP_OK) continue;
        for (int t = 0; t < 3; t++, n_runs++) {
            lp_pool *pool;
            lp_solver solver;
            lp_codec codec;
            bool exists;
            double loss;
            assert_int_equal(lp_pool_create(n_threads[t], &pool), LP_OK);
            lp_moments *m = make_moments(K);
            assert_int_equal(lp_codec_create(packing, &tensor, &codec, &exists), LP_OK);
            assert_true(exists);
            assert_int_equal(lp_solver_create(&o, m, pool, &solver), LP_OK);
            assert_int_equal(lp_solve_matrix(&solver, &codec, &tensor, pool, n_runs ? bytes : first, &loss), LP_OK);
            if (n_runs) assert_memory_equal(bytes, first, lp_packing_row_bytes(packing, K) * ROWS);
            lp_solver_free(&solver);
            lp_codec_free(&codec);
            lp_moments_free(m);
            lp_pool_destroy(pool);
        }
    }
    assert_true(n_runs >= 3);
    assert_int_equal(lp_isa_select(lp_isa_name(before)), LP_OK);
    free(w), free(first), free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_worked_example_of_the_card_comes_out),
        cmocka_unit_test(the_sum_of_column_losses_is_the_trace_form),
        cmocka_unit_test(error_feedback_beats_rounding_by_what_the_card_measured),
        cmocka_unit_test(columns_of_large_input_first_helps_where_energies_differ),
        cmocka_unit_test(a_diagonal_h_gives_rounding_to_nearest),
        cmocka_unit_test(the_factor_gives_h_back),
        cmocka_unit_test(moments_that_are_not_positive_definite_get_more_damping_or_rounding_to_nearest),
        cmocka_unit_test(every_step_lowers_the_layers_error_in_every_format),
        cmocka_unit_test(blocks_put_together_decode_to_the_solvers_values),
        cmocka_unit_test(the_bytes_depend_on_neither_instruction_set_nor_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
