/* Error feedback into formats of our own. Cards: ptq/gptq.md, formats/arbitrary-bitwidth.md. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/isa.h>

#include "quantize/encode.h"
#include "quantize/solve_data.h"

static const lp_packing *packing_of(const char *text)
{
    lp_format *format;
    const lp_packing *packing = NULL;
    if (lp_format_parse(text, &format) != LP_OK || lp_packing_create(format, &packing) != LP_OK) fail_msg("%s: %s", text, lp_error());
    lp_format_free(format);
    return packing;
}

/* Elements and tables; scales of every kind, signed ones, scales of scales, of the tensor; offsets of every kind. */
static const char *const formats[] = {
    "iq4nl:16:(i6:16:f16)", "i4:16:(i6:16:f16)", "{-127,-82,-48,-20,4,27,54,90}:16:(i6:16:f16)", "{-127,-43,17,87}:32:(i6:8:f16)",
    "i5:32:(i6:8:bf16)", "i4:32:f16", "i3:16:bf16", "nf4:64:f32", "e2m1:16:e4m3:f32", "e2m1:32:e8m0", "i4:128:f16", "i8:256:f16",
    "e3m2:8:(u6:8:f16)", "u4:32:f16-min", "u4:32:f16+min", "u4:32:f16+zero", "u4:32:(u6:8:f16)-min(u6:8:f16)", "u3:16:(u4:16:f16)+min(i6:16:f16)",
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

static uint8_t *room_for(const lp_packing *packing, int64_t k, uint64_t *n_bytes)
{
    assert_true(lp_packing_tensor_bytes(packing, k, ROWS, n_bytes));
    return malloc((size_t)*n_bytes);
}

static void every_step_lowers_the_layers_error_in_every_format(void **state)
{
    (void)state;
    lp_moments *m = make_moments(K);
    float *w = make_weights(), importance[K];
    for (int i = 0; i < K; i++) importance[i] = (float)m->h[i * K + i];
    for (int f = 0; f < N_FORMATS; f++) {
        const lp_packing *packing = packing_of(formats[f]);
        uint64_t n_bytes;
        uint8_t *bytes = room_for(packing, K, &n_bytes);
        const lp_solve_options gptq = {.damp = .01, .feedback = true, .rounds = 1};
        lp_solve_options search = gptq, descend = gptq;
        search.reach = 4, search.reach_b = 2;
        descend.passes = 3, descend.descent_reach = 1;
        assert_int_equal(lp_encode_rows(packing, LP_SEARCH_REFERENCE, w, ROWS, K, importance, bytes), LP_OK);
        double reference = error_of(m, w, bytes, packing), fed = solved_error(m, w, packing, &gptq, bytes);
        double searched = solved_error(m, w, packing, &search, bytes), descended = solved_error(m, w, packing, &descend, bytes);
        print_message("%s: reference %.4g, gptq %.3f, searched %.3f, descended %.3f of it\n", packing->name, reference, fed / reference,
                      searched / reference, descended / reference);
        assert_true(fed < .8 * reference);
        assert_true(searched < fed);
        assert_true(descended < fed);
        free(bytes);
        lp_packing_free(packing);
    }
    lp_moments_free(m);
    free(w);
}

/* The loss that the solver reports is that of the decoded bytes: its values are those that a reader sees. */
static void the_stored_planes_decode_to_the_solvers_values(void **state)
{
    (void)state;
    static const int64_t widths[] = {500, 37}; /* the last block and the last scale of scales are cut short */
    float *w = make_weights();
    for (size_t i = 0; i < sizeof widths / sizeof widths[0]; i++) {
        lp_moments *m = make_moments(widths[i]);
        for (int f = 0; f < N_FORMATS; f++) {
            const lp_packing *packing = packing_of(formats[f]);
            lp_tensor tensor = {.name = "w", .n_dims = 2, .dim = {m->k, ROWS, 1, 1}, .packing = lp_packing_by_name("f32"),
                                .data = (const uint8_t *)w, .n_bytes = ROWS * (size_t)m->k * sizeof *w};
            const lp_solve_options o = {.damp = 1e-9, .feedback = true, .rounds = 1, .reach = 2, .reach_b = 1};
            uint64_t n_bytes;
            uint8_t *bytes = room_for(packing, m->k, &n_bytes);
            lp_solver solver;
            lp_codec codec;
            bool exists;
            double loss;
            assert_int_equal(lp_codec_create(packing, &tensor, &codec, &exists), LP_OK);
            assert_true(exists);
            assert_int_equal(lp_solver_create(&o, m, NULL, &solver), LP_OK);
            assert_int_equal(lp_solve_matrix(&solver, &codec, &tensor, NULL, bytes, &loss), LP_OK);
            double form = error_of(m, w, bytes, packing);
            if (!(fabs(loss - form) <= 1e-4 * form)) fail_msg("%s, %d columns: %g, decoded %g", formats[f], (int)m->k, loss, form);
            lp_solver_free(&solver);
            lp_codec_free(&codec);
            lp_packing_free(packing);
            free(bytes);
        }
        lp_moments_free(m);
    }
    free(w);
}

static void the_bytes_depend_on_neither_instruction_set_nor_threads(void **state)
{
    (void)state;
    static const char *const some[] = {"iq4nl:16:(i6:16:f16)", "u4:32:(u6:8:f16)-min(u6:8:f16)", "e2m1:16:e4m3:f32"};
    static const int n_threads[] = {1, 2, 7};
    const lp_solve_options o = {.damp = .01, .feedback = true, .reach = 2, .reach_b = 1, .rounds = 1, .passes = 1, .descent_reach = 1};
    lp_isa before = lp_isa_current();
    lp_moments *m = make_moments(500);
    float *w = make_weights();
    lp_tensor tensor = {.name = "w", .n_dims = 2, .dim = {500, ROWS, 1, 1}, .packing = lp_packing_by_name("f32"),
                        .data = (const uint8_t *)w, .n_bytes = ROWS * 500 * sizeof *w};
    for (size_t f = 0; f < sizeof some / sizeof some[0]; f++) {
        const lp_packing *packing = packing_of(some[f]);
        uint64_t n_bytes;
        uint8_t *first = room_for(packing, 500, &n_bytes), *bytes = room_for(packing, 500, &n_bytes);
        int n_runs = 0;
        for (int isa = 0; isa < 8; isa++) {
            if (lp_isa_select(lp_isa_name((lp_isa)isa)) != LP_OK) continue;
            for (int t = 0; t < 3; t++, n_runs++) {
                lp_pool *pool;
                lp_solver solver;
                lp_codec codec;
                bool exists;
                double loss;
                memset(n_runs ? bytes : first, 0xa5, (size_t)n_bytes); /* every byte is written */
                assert_int_equal(lp_pool_create(n_threads[t], &pool), LP_OK);
                assert_int_equal(lp_codec_create(packing, &tensor, &codec, &exists), LP_OK);
                assert_int_equal(lp_solver_create(&o, m, pool, &solver), LP_OK);
                assert_int_equal(lp_solve_matrix(&solver, &codec, &tensor, pool, n_runs ? bytes : first, &loss), LP_OK);
                if (n_runs) assert_memory_equal(bytes, first, (size_t)n_bytes);
                lp_solver_free(&solver);
                lp_codec_free(&codec);
                lp_pool_destroy(pool);
            }
        }
        assert_true(n_runs >= 3);
        free(first), free(bytes);
        lp_packing_free(packing);
    }
    assert_int_equal(lp_isa_select(lp_isa_name(before)), LP_OK);
    lp_moments_free(m);
    free(w);
}

/* Such a format is written by its own search; nothing pretends to feed errors on. */
static void formats_whose_scales_reach_too_far_have_no_codec(void **state)
{
    (void)state;
    static const char *const far[] = {"i4:row:f16", "i4:512:f16", "i4:48:f16", "i4:16:(i6:row:f16)", "i4:32:(i6:16:f16)", "f16"};
    for (size_t f = 0; f < sizeof far / sizeof far[0]; f++) {
        const lp_packing *packing = lp_packing_by_name(far[f]);
        lp_codec codec;
        bool exists = true;
        if (!packing) packing = packing_of(far[f]);
        assert_int_equal(lp_codec_create(packing, NULL, &codec, &exists), LP_OK);
        assert_false(exists);
        lp_codec_free(&codec);
        lp_packing_free(packing);
    }
}

/* The same bits spent on a table with signed scales of blocks: what the table of q4_k's size in docs/methods.md rests on. */
static void signed_scales_and_a_table_beat_plain_integers_of_the_same_size(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {{"iq4nl:16:(i6:16:f16)", "i4:16:(i6:16:f16)"},
                                           {"{-127,-82,-48,-20,4,27,54,90}:16:(i6:16:f16)", "i3:16:(i6:16:f16)"},
                                           {"{-127,-43,17,87}:16:(i6:16:f16)", "i2:16:(i6:16:f16)"}};
    const lp_solve_options o = {.damp = .01, .feedback = true, .rounds = 1, .reach = 4, .reach_b = 2};
    lp_moments *m = make_moments(K);
    float *w = make_weights();
    for (size_t p = 0; p < sizeof pairs / sizeof pairs[0]; p++) {
        double error[2];
        for (int i = 0; i < 2; i++) {
            const lp_packing *packing = packing_of(pairs[p][i]);
            uint64_t n_bytes;
            uint8_t *bytes = room_for(packing, K, &n_bytes);
            error[i] = solved_error(m, w, packing, &o, bytes);
            free(bytes);
            lp_packing_free(packing);
        }
        print_message("%s: %.3f of %s\n", pairs[p][0], error[0] / error[1], pairs[p][1]);
        assert_true(error[0] < .97 * error[1]);
    }
    lp_moments_free(m);
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_step_lowers_the_layers_error_in_every_format),
        cmocka_unit_test(the_stored_planes_decode_to_the_solvers_values),
        cmocka_unit_test(the_bytes_depend_on_neither_instruction_set_nor_threads),
        cmocka_unit_test(formats_whose_scales_reach_too_far_have_no_codec),
        cmocka_unit_test(signed_scales_and_a_table_beat_plain_integers_of_the_same_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
