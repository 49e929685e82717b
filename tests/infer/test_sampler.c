/* The sampler: every number of its card, and what must not change a token. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/sample.h>

#include "base/random.h"
#include "infer/sample/select.h"

static const float card[8] = {2, 1.5f, 1, 0.5f, 0, -0.5f, -1, -3};

/* Nothing cuts, nothing penalises. */
static lp_sampler_options plain(void)
{
    lp_sampler_options o = lp_sampler_defaults();
    o.temperature = 1;
    o.top_k = 0;
    o.top_p = 1;
    o.min_p = 0;
    return o;
}

static lp_sampler *create(lp_sampler_options o, int32_t n)
{
    lp_sampler *s;
    assert_int_equal(lp_sampler_create(&o, n, &s), LP_OK);
    return s;
}

static int32_t draw(lp_sampler *s, const float *logits)
{
    int32_t token = -1;
    assert_int_equal(lp_sampler_draw(s, logits, &token), LP_OK);
    return token;
}

/* After one draw the candidates are ids[0..n) with probabilities p, within 1e-6. */
static void expect(lp_sampler_options o, const float *logits, int32_t n_vocab, size_t n, const int32_t *ids, const double *p)
{
    lp_sampler *s = create(o, n_vocab);
    draw(s, logits);
    const int32_t *got;
    const float *q;
    assert_int_equal(lp_sampler_candidates(s, &got, &q), n);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(got[i], ids[i]);
        if (p) assert_true(fabs((double)q[i] - p[i]) < 1e-6);
    }
    lp_sampler_free(s);
}

static void the_defaults_are_those_of_the_field(void **state)
{
    (void)state;
    lp_sampler_options o = lp_sampler_defaults();
    assert_true(o.temperature == 0.8 && o.top_k == 40 && o.top_p == 0.95 && o.min_p == 0.05 && o.typical_p == 1);
    assert_true(o.repeat_penalty == 1 && o.frequency_penalty == 0 && o.presence_penalty == 0);
    assert_true(o.repeat_last_n == 64 && o.seed == 0);
}

/* The logits after the penalties, seen through the probabilities: ln p_i - ln p_j = l_i - l_j. */
static void expect_penalised(lp_sampler *s, const double *wanted)
{
    draw(s, card);
    const int32_t *ids;
    const float *p;
    assert_int_equal(lp_sampler_candidates(s, &ids, &p), 8);
    double l[8];
    for (int i = 0; i < 8; i++) l[ids[i]] = log((double)p[i]);
    for (int i = 0; i < 8; i++) assert_true(fabs(l[i] - l[1] - (wanted[i] - wanted[1])) < 2e-6);
}

static void penalties_follow_the_card(void **state)
{
    (void)state;
    lp_sampler_options o = plain();
    o.repeat_penalty = 1.3;
    o.frequency_penalty = 0.1;
    o.presence_penalty = 0.2;
    lp_sampler *s = create(o, 8);
    const int32_t accepted[] = {0, 0, 6, 4};
    for (int i = 0; i < 4; i++) lp_sampler_accept(s, accepted[i]);
    expect_penalised(s, (double[]){1.138462, 1.5, 1, 0.5, -0.3, -0.5, -1.6, -3});
    lp_sampler_free(s);
}

static void penalties_forget_what_left_the_window(void **state)
{
    (void)state;
    lp_sampler_options o = plain();
    o.frequency_penalty = 0.25;
    o.repeat_last_n = 3;
    lp_sampler *s = create(o, 8);
    const int32_t accepted[] = {7, 7, 7, 0, 0, 3, 0};
    for (int i = 0; i < 7; i++) lp_sampler_accept(s, accepted[i]);
    expect_penalised(s, (double[]){1.5, 1.5, 1, 0.25, 0, -0.5, -1, -3}); /* 0 twice, 3 once */
    lp_sampler_free(s);
    o.repeat_last_n = -1;
    s = create(o, 8);
    for (int i = 0; i < 7; i++) lp_sampler_accept(s, accepted[i]);
    expect_penalised(s, (double[]){1.25, 1.5, 1, 0.25, 0, -0.5, -1, -3.75}); /* all of them */
    lp_sampler_free(s);
    o.repeat_last_n = 0;
    s = create(o, 8);
    for (int i = 0; i < 7; i++) lp_sampler_accept(s, accepted[i]);
    expect_penalised(s, (double[]){2, 1.5, 1, 0.5, 0, -0.5, -1, -3});
    lp_sampler_free(s);
}

static void cuts_follow_the_card(void **state)
{
    (void)state;
    const int32_t ids[] = {0, 1, 2, 3};
    lp_sampler_options o = plain();
    o.top_k = 4;
    expect(o, card, 8, 4, ids, (double[]){0.455054, 0.276004, 0.167405, 0.101537});
    o.top_p = 0.8;
    expect(o, card, 8, 3, ids, NULL);
    o.top_k = 0;
    expect(o, card, 8, 4, ids, NULL);
    o = plain();
    o.min_p = 0.2;
    expect(o, card, 8, 4, ids, NULL);
    o = plain();
    o.typical_p = 0.5;
    expect(o, card, 8, 3, ids, NULL);
    o.typical_p = 0.25; /* 1 is the most typical one, and 0.245 of the probability; 2 comes next */
    expect(o, card, 8, 2, (int32_t[]){1, 2}, NULL);
}

static void cuts_of_four_probabilities_follow_the_card(void **state)
{
    (void)state;
    float logits[4];
    for (int i = 0; i < 4; i++) logits[i] = (float)log(0.1 * (i + 1));
    const int32_t ids[] = {3, 2, 1, 0};
    lp_sampler_options o = plain();
    o.top_p = 0.7;
    expect(o, logits, 4, 2, ids, (double[]){0.571429, 0.428571});
    o.top_p = 0.8;
    expect(o, logits, 4, 3, ids, (double[]){0.444444, 0.333333, 0.222222});
    o.top_p = 0;
    expect(o, logits, 4, 1, ids, (double[]){1});
    o = plain();
    o.min_p = 0.26;
    expect(o, logits, 4, 3, ids, NULL);
    o.min_p = 0.51;
    expect(o, logits, 4, 2, ids, NULL);
    o.min_p = 0.76;
    expect(o, logits, 4, 1, ids, NULL);
}

static void the_same_seed_draws_the_same_tokens(void **state)
{
    (void)state;
    static const struct {
        uint32_t seed;
        int32_t token[16];
    } known[] = {{42, {2, 0, 2, 1, 0, 0, 0, 0, 0, 1, 0, 1, 3, 0, 3, 1}}, {0, {1, 2, 2, 2, 1, 0, 0, 0, 0, 0, 2, 0, 0, 2, 0, 1}}};
    for (int k = 0; k < 2; k++) {
        lp_sampler_options o = lp_sampler_defaults();
        o.top_k = 4;
        o.seed = known[k].seed;
        lp_sampler *s = create(o, 8);
        for (int i = 0; i < 16; i++) assert_int_equal(draw(s, card), known[k].token[i]);
        lp_sampler_free(s);
    }
}

static void temperature_zero_takes_the_first_maximum_and_draws_nothing(void **state)
{
    (void)state;
    lp_sampler_options o = lp_sampler_defaults();
    o.temperature = 0;
    lp_sampler *s = create(o, 6);
    const float tied[6] = {-1, 3, 0, 3, 3, -INFINITY};
    assert_int_equal(draw(s, tied), 1);
    const float zeros[6] = {-1, -0.0f, 0.0f, -2, -3, -4}; /* -0 equals +0 */
    assert_int_equal(draw(s, zeros), 1);
    const int32_t *ids;
    const float *p;
    assert_int_equal(lp_sampler_candidates(s, &ids, &p), 1);
    assert_true(p[0] == 1);
    lp_sampler_free(s);
    o.temperature = 1e-300; /* above 0, but not as a float32 */
    s = create(o, 6);
    assert_int_equal(draw(s, tied), 1);
    lp_sampler_free(s);
}

static void a_forbidden_token_is_never_a_candidate(void **state)
{
    (void)state;
    const float logits[5] = {-INFINITY, 1, -INFINITY, 1, -INFINITY};
    expect(plain(), logits, 5, 2, (int32_t[]){1, 3}, (double[]){0.5, 0.5});
    lp_sampler_options o = plain();
    o.top_k = 4;
    expect(o, logits, 5, 2, (int32_t[]){1, 3}, (double[]){0.5, 0.5});
    o.typical_p = 0.9;
    expect(o, logits, 5, 2, (int32_t[]){1, 3}, (double[]){0.5, 0.5});
}

static void refuse(float bad, int at)
{
    float logits[8];
    memcpy(logits, card, sizeof card);
    logits[at] = bad;
    lp_sampler *s = create(lp_sampler_defaults(), 8);
    int32_t token;
    assert_int_equal(lp_sampler_draw(s, logits, &token), LP_INPUT);
    const int32_t *ids;
    const float *p;
    assert_int_equal(lp_sampler_candidates(s, &ids, &p), 0);
    lp_sampler_free(s);
}

static void logits_that_are_no_numbers_are_refused(void **state)
{
    (void)state;
    refuse(NAN, 0);
    refuse(-NAN, 7);
    refuse(INFINITY, 3);
    const float none[2] = {-INFINITY, -INFINITY};
    lp_sampler *s = create(lp_sampler_defaults(), 2);
    int32_t token;
    assert_int_equal(lp_sampler_draw(s, none, &token), LP_INPUT);
    lp_sampler_free(s);
    lp_sampler_options o = lp_sampler_defaults();
    o.repeat_penalty = 1e-10;
    s = create(o, 2);
    const float huge[2] = {3e38f, 0};
    assert_int_equal(draw(s, huge), 0);
    lp_sampler_accept(s, 0);
    assert_int_equal(lp_sampler_draw(s, huge, &token), LP_INPUT);
    lp_sampler_free(s);
}

static void refuse_options(lp_sampler_options o, const char *name)
{
    lp_sampler *s;
    assert_int_equal(lp_sampler_create(&o, 8, &s), LP_USAGE);
    assert_null(s);
    assert_non_null(strstr(lp_error(), name));
}

static void options_outside_their_range_are_refused_by_name(void **state)
{
    (void)state;
#define REFUSE(field, number)                        \
    do {                                             \
        lp_sampler_options o = lp_sampler_defaults(); \
        o.field = number;                            \
        refuse_options(o, #field);                   \
    } while (0)
    REFUSE(temperature, NAN);
    REFUSE(temperature, INFINITY);
    REFUSE(top_p, -0.1);
    REFUSE(top_p, 1.1);
    REFUSE(top_p, NAN);
    REFUSE(min_p, 1.5);
    REFUSE(min_p, NAN);
    REFUSE(typical_p, -1);
    REFUSE(typical_p, NAN);
    REFUSE(repeat_penalty, 0);
    REFUSE(repeat_penalty, -1);
    REFUSE(repeat_penalty, NAN);
    REFUSE(repeat_penalty, 1e-39);
    REFUSE(frequency_penalty, INFINITY);
    REFUSE(presence_penalty, NAN);
    REFUSE(repeat_last_n, -2);
    REFUSE(repeat_last_n, INT32_MAX);
    lp_sampler_options o = lp_sampler_defaults();
    lp_sampler *s;
    assert_int_equal(lp_sampler_create(&o, 0, &s), LP_USAGE);
}

/* Deterministic logits of a vocabulary. */
static float *random_logits(int32_t n, uint32_t seed)
{
    float *l = malloc((size_t)n * sizeof *l);
    assert_non_null(l);
    for (int32_t i = 0; i < n; i++) l[i] = (float)(int32_t)(lp_random_word(seed, (uint64_t)i, 1, 0, 1, 0) >> 12) * 0x1p-16f - 8;
    return l;
}

static void draws_follow_the_distribution(void **state)
{
    (void)state;
    enum { N = 20, DRAWS = 1000000 };
    float *logits = random_logits(N, 3);
    for (int i = 0; i < N; i++) logits[i] *= 0.25f;
    for (uint32_t seed = 1; seed <= 5; seed++) {
        lp_sampler_options o = plain();
        o.seed = seed;
        lp_sampler *s = create(o, N);
        int count[N] = {0};
        for (int i = 0; i < DRAWS; i++) count[draw(s, logits)]++;
        double sum = 0, chi = 0;
        for (int i = 0; i < N; i++) sum += exp((double)logits[i]);
        for (int i = 0; i < N; i++) {
            double wanted = DRAWS * exp((double)logits[i]) / sum;
            chi += (count[i] - wanted) * (count[i] - wanted) / wanted;
        }
        assert_true(chi < 43.8); /* 99.9 % point of 19 degrees of freedom */
        lp_sampler_free(s);
    }
    free(logits);
}

/* Options that reach every path of the chain. */
static lp_sampler_options variant(int which)
{
    lp_sampler_options o = plain();
    o.seed = (uint32_t)which;
    if (which & 1) o.top_k = 50;
    if (which & 2) o.top_p = 0.9;
    if (which & 4) o.min_p = 0.02;
    if (which & 8) o.typical_p = 0.7;
    o.temperature = which & 16 ? 0.7 : 1.3;
    return o;
}

static void the_order_of_the_vocabulary_changes_nothing(void **state)
{
    (void)state;
    enum { N = 3000, STEP = 1201 }; /* coprime: i * STEP mod N is a permutation */
    float *logits = random_logits(N, 5), moved[N];
    for (int i = 0; i < N; i++) moved[(i * STEP) % N] = logits[i];
    for (int which = 0; which < 32; which++) {
        lp_sampler *a = create(variant(which), N), *b = create(variant(which), N);
        for (int i = 0; i < 20; i++) assert_int_equal(draw(b, moved), (draw(a, logits) * STEP) % N);
        lp_sampler_free(a);
        lp_sampler_free(b);
    }
    free(logits);
}

static void a_constant_added_to_all_logits_changes_nothing(void **state)
{
    (void)state;
    enum { N = 3000 };
    float *logits = random_logits(N, 6), moved[N];
    for (int i = 0; i < N; i++) moved[i] = logits[i] - 4; /* exact: multiples of 2^-16 below 16 */
    for (int which = 0; which < 32; which++) {
        lp_sampler *a = create(variant(which), N), *b = create(variant(which), N);
        for (int i = 0; i < 20; i++) assert_int_equal(draw(b, moved), draw(a, logits));
        lp_sampler_free(a);
        lp_sampler_free(b);
    }
    free(logits);
}

static const float *sorted_by;

static int by_value_then_id(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    if (sorted_by[x] != sorted_by[y]) return sorted_by[x] > sorted_by[y] ? -1 : 1;
    return (x > y) - (x < y);
}

static void selection_equals_a_full_sort(void **state)
{
    (void)state;
    enum { N = 5000 };
    static float x[N];
    static int32_t order[N], got[N];
    static float value[N];
    lp_arena arena = {0};
    lp_selection selection;
    assert_int_equal(lp_selection_init(&selection, &arena, N), LP_OK);
    for (uint32_t kind = 0; kind < 6; kind++) {
        for (uint32_t i = 0; i < N; i++) {
            uint32_t u = lp_random_word(7, i, kind, 0, 1, 0);
            float any = lp_f32_from_bits(u);
            x[i] = kind == 0   ? (float)(u >> 8)
                   : kind == 1 ? (float)(u & 7)                             /* many equal */
                   : kind == 2 ? 1                                          /* all equal */
                   : kind == 3 ? (any == any ? any : 0)                     /* all magnitudes, both signs, infinities */
                   : kind == 4 ? (float)i                                   /* ascending */
                               : 1 + (float)(u & 1023) * 0x1p-23f;          /* equal in the first digits */
            x[i] += 0.0f;
            order[i] = (int32_t)i;
        }
        sorted_by = x;
        qsort(order, N, sizeof *order, by_value_then_id);
        static const size_t sizes[] = {1, 2, 40, 63, 64, 65, 1000, N - 1, N};
        for (size_t j = 0; j < sizeof sizes / sizeof *sizes; j++) {
            lp_select_top(&selection, x, N, sizes[j], got, value);
            assert_memory_equal(got, order, sizes[j] * sizeof *got);
            for (size_t i = 0; i < sizes[j]; i++) assert_true(value[i] == x[got[i]]);
        }
    }
    lp_arena_free(&arena);
}

/* A cut that looks at part of a large vocabulary keeps what a cut of the whole sorted one keeps. */
static void cuts_of_a_large_vocabulary_keep_the_shortest_prefix(void **state)
{
    (void)state;
    enum { N = 40000 };
    float *logits = random_logits(N, 9);
    static int32_t order[N];
    for (int i = 0; i < N; i++) logits[i] *= 0.5f, order[i] = i;
    sorted_by = logits;
    qsort(order, N, sizeof *order, by_value_then_id);
    double sum = 0, part = 0;
    for (int i = 0; i < N; i++) sum += exp((double)logits[i]);
    size_t kept = 0;
    while (part < 0.9 * sum) part += exp((double)logits[order[kept++]]);
    lp_sampler_options o = plain();
    o.top_p = 0.9;
    expect(o, logits, N, kept, order, NULL);
    for (kept = 1; logits[order[kept]] >= logits[order[0]] + (float)log(0.01);) kept++;
    o = plain();
    o.min_p = 0.01;
    expect(o, logits, N, kept, order, NULL);
    expect(plain(), logits, N, N, order, NULL);
    free(logits);
}

static void every_draw_takes_one_number(void **state)
{
    (void)state;
    lp_sampler_options o = plain();
    o.seed = 1234;
    lp_sampler *s = create(o, 8);
    lp_mt19937 mt;
    lp_mt19937_seed(&mt, 1234);
    for (int i = 0; i < 50; i++) {
        double r = lp_mt19937_uniform(&mt), sum = 0, total = 0;
        for (int j = 0; j < 8; j++) total += exp((double)card[j] - 2);
        int wanted = 0;
        while ((sum += exp((double)card[wanted] - 2)) < r * total) wanted++;
        assert_int_equal(draw(s, card), wanted);
    }
    lp_sampler_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_defaults_are_those_of_the_field),
        cmocka_unit_test(penalties_follow_the_card),
        cmocka_unit_test(penalties_forget_what_left_the_window),
        cmocka_unit_test(cuts_follow_the_card),
        cmocka_unit_test(cuts_of_four_probabilities_follow_the_card),
        cmocka_unit_test(the_same_seed_draws_the_same_tokens),
        cmocka_unit_test(temperature_zero_takes_the_first_maximum_and_draws_nothing),
        cmocka_unit_test(a_forbidden_token_is_never_a_candidate),
        cmocka_unit_test(logits_that_are_no_numbers_are_refused),
        cmocka_unit_test(options_outside_their_range_are_refused_by_name),
        cmocka_unit_test(draws_follow_the_distribution),
        cmocka_unit_test(the_order_of_the_vocabulary_changes_nothing),
        cmocka_unit_test(a_constant_added_to_all_logits_changes_nothing),
        cmocka_unit_test(selection_equals_a_full_sort),
        cmocka_unit_test(cuts_of_a_large_vocabulary_keep_the_shortest_prefix),
        cmocka_unit_test(every_draw_takes_one_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
