/* The allocation solver against brute force, the cards' optima, and its own promises. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>
#include <lowp/allocate.h>

#include "allocate/solve/solve.h"
#include "hawqv3.h"

enum { MOST_CHOICES = 8 };

typedef struct problem {
    lp_knapsack k;
    lp_choice_class *class_list;
    lp_choice *choice; /* [n_classes][MOST_CHOICES] */
} problem;

static problem new_problem(int64_t n)
{
    problem p = {.class_list = calloc((size_t)n, sizeof *p.class_list), .choice = calloc((size_t)n * MOST_CHOICES, sizeof *p.choice)};
    assert_true(p.class_list && p.choice);
    for (int64_t i = 0; i < n; i++) p.class_list[i].choice = p.choice + i * MOST_CHOICES;
    p.k = (lp_knapsack){.class_list = p.class_list, .n_classes = n, .n_budgets = 1};
    return p;
}

static void add(problem *p, int64_t i, double loss, int64_t c0, int64_t c1, int64_t c2)
{
    p->choice[i * MOST_CHOICES + p->class_list[i].n_choices++] = (lp_choice){loss, {c0, c1, c2}};
}

static void free_problem(problem *p)
{
    free(p->class_list);
    free(p->choice);
}

static lp_knapsack_result solve(const problem *p)
{
    lp_knapsack_result r;
    if (lp_knapsack_solve(&p->k, &r) != LP_OK) fail_msg("%s", lp_error());
    return r;
}

static double solve_objective(const problem *p)
{
    lp_knapsack_result r = solve(p);
    double v = r.objective;
    assert_true(r.optimal);
    lp_knapsack_result_free(&r);
    return v;
}

/* ---- the card's instances ------------------------------------------------------------------------------------------ */

static void the_toy_has_optimum_twelve(void **unused)
{
    (void)unused;
    static const int64_t cost[3][3] = {{2, 3, 5}, {1, 4, 6}, {3, 4, 7}};
    static const double loss[3][3] = {{10, 6, 1}, {9, 4, 2}, {12, 7, 3}};
    problem p = new_problem(3);
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < 3; j++) add(&p, i, loss[i][j], cost[i][j], 0, 0);
    p.k.budget[0] = 13;
    lp_knapsack_result r = solve(&p);
    assert_true(r.objective == 12 && r.optimal && r.lower_bound == 12);
    assert_int_equal(r.cost[0], 13);
    assert_int_equal(r.choice[0], 2);
    assert_int_equal(r.choice[1], 1);
    assert_int_equal(r.choice[2], 1);
    lp_knapsack_result_free(&r);
    free_problem(&p);
}

static uint64_t card_next(uint64_t *x)
{
    *x = *x * 6364136223846793005u + 1442695040888963407u;
    return *x >> 33;
}

static problem card_problem(uint64_t seed, int n, double average)
{
    static const int bits[4] = {2, 3, 4, 8};
    problem p = new_problem(n);
    double all = 0;
    for (int i = 0; i < n; i++) {
        int64_t size = 1 + (int64_t)(card_next(&seed) % 1000), sensitivity = 1 + (int64_t)(card_next(&seed) % 100000);
        all += (double)size;
        for (int b = 0; b < 4; b++) {
            int64_t base = size * sensitivity >> (2 * bits[b]);
            int64_t jitter = base >= 4 ? (int64_t)(card_next(&seed) % (uint64_t)(1 + base / 4)) : 0;
            add(&p, i, (double)(base + jitter), size * bits[b], 0, 0);
        }
    }
    p.k.budget[0] = (int64_t)floor(all * average);
    return p;
}

static const struct {
    int n;
    double average;
    int64_t capacity;
    double optimum, stop, skip, relaxation;
} card_rows[4] = {
    {10, 3.0, 14082, 3517037, 3857707, 3788751, 3487938.943},
    {50, 4.0, 105912, 5461420, 5481088, 5465720, 5443718.745},
    {200, 3.5, 349937, 36727865, 36961231, 36735731, 36721679.922},
    {500, 4.25, 1034301, 45688679, 45761408, 45691435, 45687177.662},
};

static void the_cards_generator_begins_as_the_card_says(void **unused)
{
    (void)unused;
    problem p = card_problem(1, 10, 3.0);
    static const double want[4][2] = {{1550, 2178393}, {2325, 657047}, {3100, 150215}, {6200, 644}};
    for (int j = 0; j < 4; j++) {
        assert_true((double)p.choice[j].cost[0] == want[j][0]);
        assert_true(p.choice[j].loss == want[j][1]);
    }
    free_problem(&p);
}

static void the_cards_optima_are_found_and_proven(void **unused)
{
    (void)unused;
    for (int s = 0; s < 4; s++) {
        problem p = card_problem((uint64_t)s + 1, card_rows[s].n, card_rows[s].average);
        assert_int_equal(p.k.budget[0], card_rows[s].capacity);
        lp_knapsack_result r = solve(&p);
        assert_true(r.objective == card_rows[s].optimum);
        assert_true(r.optimal && r.lower_bound == r.objective);
        assert_true(fabs(r.relaxation - card_rows[s].relaxation) < 6e-4);
        assert_true(r.cost[0] <= p.k.budget[0]);
        lp_knapsack_result_free(&r);
        free_problem(&p);
    }
}

/* The generator's choices are undominated and its first cost is the least, so that the items are the choices, shifted. */
static void greedy_loses_what_the_card_says(void **unused)
{
    (void)unused;
    for (int s = 0; s < 4; s++) {
        problem p = card_problem((uint64_t)s + 1, card_rows[s].n, card_rows[s].average);
        lp_arena arena = {0};
        lp_reduced r = {.n_classes = p.k.n_classes, .n_budgets = 1, .budget = {p.k.budget[0]}};
        r.class_list = lp_arena_alloc_array(&arena, (size_t)r.n_classes, sizeof *r.class_list);
        for (int64_t i = 0; i < r.n_classes; i++) {
            r.class_list[i].item = lp_arena_alloc_array(&arena, 4, sizeof(lp_item));
            for (int j = 0; j < 4; j++) {
                const lp_choice *c = &p.choice[i * MOST_CHOICES + j];
                if (j && c->loss >= p.choice[i * MOST_CHOICES + j - 1].loss) continue;
                r.class_list[i].item[r.class_list[i].n++] = (lp_item){c->loss, {c->cost[0] - p.choice[i * MOST_CHOICES].cost[0]}, j};
            }
            r.budget[0] -= p.choice[i * MOST_CHOICES].cost[0];
        }
        lp_greedy greedy;
        lp_dual dual;
        assert_int_equal(lp_hull_greedy(&r, &arena, &greedy, &dual), LP_OK);
        assert_true(greedy.stop == card_rows[s].stop);
        assert_true(greedy.skip == card_rows[s].skip);
        lp_arena_free(&arena);
        free_problem(&p);
    }
}

static void five_hundred_classes_take_less_than_a_second(void **unused)
{
    (void)unused;
    problem p = card_problem(4, 500, 4.25);
    struct timespec a, b; /* of this thread: other programs on the machine do not count */
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &a);
    assert_true(solve_objective(&p) == card_rows[3].optimum);
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &b);
    double seconds = (double)(b.tv_sec - a.tv_sec) + 1e-9 * (double)(b.tv_nsec - a.tv_nsec);
    print_message("# 500 classes: %.3f s\n", seconds);
    assert_true(seconds < 1);
    free_problem(&p);
}

/* ---- HAWQ-V3's data -------------------------------------------------------------------------------------------------- */

typedef enum kind { SIZE, BOPS, LATENCY } kind;

/* Costs in integers: half parameters; bit operations / 64; nanoseconds x 10^-2. */
static int64_t hawq_cost(int i, int bits, kind k)
{
    const hawq_layer *l = &hawq_layers[i];
    switch (k) {
    case SIZE: return (int64_t)l->parameters * (bits / 4);
    case BOPS: return (int64_t)l->macs * (bits == 8 ? 4 : 1);
    case LATENCY: return (int64_t)llround((bits == 8 ? l->ms8 : l->ms4) * 1e8);
    }
    return 0;
}

/* Tied layers are one class: (4,6), (9,11), (14,16). */
static int hawq_class(int i) { return i == 6 ? 4 : i == 11 ? 9 : i == 16 ? 14 : i; }

static problem hawq_problem(const double fraction[3], int class_of[HAWQ_LAYERS])
{
    problem p = new_problem(HAWQ_LAYERS);
    p.k.n_classes = 0;
    p.k.n_budgets = 0;
    kind used[3];
    for (int k = 0; k < 3; k++)
        if (fraction[k] >= 0) used[p.k.n_budgets++] = (kind)k;
    for (int i = 0; i < HAWQ_LAYERS; i++) {
        if (hawq_class(i) != i) {
            class_of[i] = class_of[hawq_class(i)];
        } else {
            class_of[i] = (int)p.k.n_classes++;
            add(&p, class_of[i], 0, 0, 0, 0);
            add(&p, class_of[i], 0, 0, 0, 0);
        }
        for (int j = 0; j < 2; j++) {
            lp_choice *c = &p.choice[class_of[i] * MOST_CHOICES + j];
            c->loss += hawq_layers[i].trace * (j ? hawq_layers[i].error8 : hawq_layers[i].error4);
            for (int b = 0; b < p.k.n_budgets; b++) c->cost[b] += hawq_cost(i, j ? 8 : 4, used[b]);
        }
    }
    for (int b = 0; b < p.k.n_budgets; b++) {
        double low = 0, high = 0;
        for (int i = 0; i < HAWQ_LAYERS; i++) {
            low += (double)hawq_cost(i, 4, used[b]);
            high += (double)hawq_cost(i, 8, used[b]);
        }
        p.k.budget[b] = (int64_t)floor(low + fraction[used[b]] * (high - low));
    }
    return p;
}

static void hawq_optima_are_those_of_exhaustive_search(void **unused)
{
    (void)unused;
    static const struct {
        double fraction[3];
        const char *bits;
        double objective;
    } rows[] = {
        {{.25, -1, -1}, "8888888888888844444", 0.118300}, {{.50, -1, -1}, "8888888888888884844", 0.074506},
        {{.75, -1, -1}, "8888888888888488884", 0.033441}, {{-1, .25, -1}, "8884848444444444444", 0.460424},
        {{-1, .50, -1}, "8884888848884444444", 0.215689}, {{-1, .75, -1}, "8888888848888484884", 0.079965},
        {{-1, -1, .25}, "8884848444444444444", 0.460424}, {{-1, -1, .50}, "8888848848884484844", 0.202674},
        {{-1, -1, .75}, "8888888848888484884", 0.079965}, {{.5, .5, .5}, "8884888848884444444", 0.215689},
        {{.25, .4, .4}, "8884848848484484844", 0.280209}, {{0, -1, -1}, "4444444444444444444", 1.307713},
        {{1, -1, -1}, "8888888888888888888", 0.004258},
    };
    for (size_t t = 0; t < sizeof rows / sizeof rows[0]; t++) {
        int class_of[HAWQ_LAYERS];
        char bits[HAWQ_LAYERS + 1] = {0};
        problem p = hawq_problem(rows[t].fraction, class_of);
        lp_knapsack_result r = solve(&p);
        for (int i = 0; i < HAWQ_LAYERS; i++) bits[i] = r.choice[class_of[i]] ? '8' : '4';
        assert_string_equal(bits, rows[t].bits);
        assert_true(fabs(r.objective - rows[t].objective) < 6e-7);
        assert_true(r.optimal);
        /* The limit that it needed gives it again. */
        memcpy(p.k.budget, r.cost, sizeof r.cost);
        lp_knapsack_result again = solve(&p);
        assert_memory_equal(again.choice, r.choice, (size_t)p.k.n_classes * sizeof *r.choice);
        lp_knapsack_result_free(&again);
        lp_knapsack_result_free(&r);
        free_problem(&p);
    }
}

static void hawq_relaxations_are_the_cards(void **unused)
{
    (void)unused;
    static const double gain[3][3] = {{1.193277, 1.251782, 1.285631}, {0.861899, 1.120708, 1.237202}, {0.907956, 1.113345, 1.244406}};
    for (int k = 0; k < 3; k++)
        for (int f = 0; f < 3; f++) {
            double fraction[3] = {-1, -1, -1};
            int class_of[HAWQ_LAYERS];
            fraction[k] = 0.25 * (f + 1);
            problem p = hawq_problem(fraction, class_of);
            lp_knapsack_result r = solve(&p);
            assert_true(fabs(1.307713 - r.relaxation - gain[k][f]) < 2e-6);
            lp_knapsack_result_free(&r);
            free_problem(&p);
        }
}

/* ---- brute force ----------------------------------------------------------------------------------------------------- */

static double brute_force(const problem *p)
{
    int at[16] = {0};
    double best = INFINITY;
    for (;;) {
        int64_t cost[3] = {0};
        double loss = 0;
        bool fits = true;
        for (int64_t i = 0; i < p->k.n_classes; i++) {
            const lp_choice *c = &p->choice[i * MOST_CHOICES + at[i]];
            loss += c->loss;
            for (int k = 0; k < 3; k++) cost[k] += c->cost[k];
        }
        for (int k = 0; k < p->k.n_budgets; k++) fits &= cost[k] <= p->k.budget[k];
        if (fits && loss < best) best = loss;
        int64_t i = 0;
        while (i < p->k.n_classes && ++at[i] == p->class_list[i].n_choices) at[i++] = 0;
        if (i == p->k.n_classes) return best;
    }
}

static problem random_problem(uint64_t *seed, int64_t n, int n_budgets, bool real)
{
    problem p = new_problem(n);
    p.k.n_budgets = n_budgets;
    for (int64_t i = 0; i < n; i++) {
        int m = 1 + (int)(card_next(seed) % 5);
        for (int j = 0; j < m; j++) {
            double loss = (double)(card_next(seed) % 1000) - 200;
            if (real) loss += (double)card_next(seed) / 2147483648.0;
            add(&p, i, loss, (int64_t)(card_next(seed) % 60), (int64_t)(card_next(seed) % 60), (int64_t)(card_next(seed) % 60));
        }
    }
    for (int k = 0; k < n_budgets; k++) p.k.budget[k] = 18 * n + (int64_t)(card_next(seed) % (uint64_t)(20 * n));
    return p;
}

static void check_against_brute_force(int n_budgets)
{
    uint64_t seed = 77 + (uint64_t)n_budgets;
    int feasible = 0;
    for (int t = 0; t < 300; t++) {
        problem p = random_problem(&seed, 1 + (int64_t)(card_next(&seed) % 7), n_budgets, t % 2);
        double best = brute_force(&p);
        lp_knapsack_result r;
        lp_status status = lp_knapsack_solve(&p.k, &r);
        assert_int_equal(status, isinf(best) ? LP_USAGE : LP_OK);
        if (status == LP_OK) {
            feasible++;
            assert_true(r.optimal);
            assert_true(fabs(r.objective - best) < 1e-9);
            assert_true(r.relaxation <= r.objective + 1e-9);
            for (int k = 0; k < n_budgets; k++) assert_true(r.cost[k] <= p.k.budget[k]);
            lp_knapsack_result_free(&r);
        }
        free_problem(&p);
    }
    assert_true(feasible > 50);
}

static void one_budget_agrees_with_brute_force(void **unused) { (void)unused; check_against_brute_force(1); }
static void two_budgets_agree_with_brute_force(void **unused) { (void)unused; check_against_brute_force(2); }
static void three_budgets_agree_with_brute_force(void **unused) { (void)unused; check_against_brute_force(3); }

/* ---- promises -------------------------------------------------------------------------------------------------------- */

static void a_larger_budget_is_never_worse(void **unused)
{
    (void)unused;
    problem p = card_problem(1, 10, 3.0);
    double before = INFINITY;
    for (p.k.budget[0] = 9500; p.k.budget[0] < 30000; p.k.budget[0] += 911) {
        double v = solve_objective(&p);
        assert_true(v <= before);
        before = v;
    }
    free_problem(&p);
}

static void the_order_of_classes_does_not_matter(void **unused)
{
    (void)unused;
    problem p = card_problem(2, 50, 4.0), q = new_problem(50);
    for (int64_t i = 0; i < 50; i++)
        for (int j = 0; j < 4; j++) {
            const lp_choice *c = &p.choice[i * MOST_CHOICES + j];
            add(&q, (i * 7 + 3) % 50, c->loss, c->cost[0], 0, 0);
        }
    q.k.budget[0] = p.k.budget[0];
    assert_true(solve_objective(&p) == solve_objective(&q));
    free_problem(&p);
    free_problem(&q);
}

static void a_dominated_choice_is_never_taken(void **unused)
{
    (void)unused;
    problem p = card_problem(2, 50, 4.0);
    lp_knapsack_result before = solve(&p);
    for (int64_t i = 0; i < 50; i++) {
        lp_choice c = p.choice[i * MOST_CHOICES + 1];
        add(&p, i, c.loss + 1, c.cost[0] + 1, 0, 0);
        add(&p, i, c.loss, c.cost[0], 0, 0);
    }
    lp_knapsack_result after = solve(&p);
    assert_memory_equal(before.choice, after.choice, 50 * sizeof *after.choice);
    lp_knapsack_result_free(&before);
    lp_knapsack_result_free(&after);
    free_problem(&p);
}

static void bits_that_cost_nothing_are_taken(void **unused)
{
    (void)unused;
    problem p = new_problem(2);
    add(&p, 0, 5, 10, 0, 0);
    add(&p, 0, 1, 10, 0, 0);
    add(&p, 1, 5, 10, 0, 0);
    add(&p, 1, 1, 11, 0, 0);
    p.k.budget[0] = 20;
    lp_knapsack_result r = solve(&p);
    assert_int_equal(r.choice[0], 1);
    assert_int_equal(r.choice[1], 0);
    lp_knapsack_result_free(&r);
    free_problem(&p);
}

static void too_few_states_give_an_answer_without_the_proof(void **unused)
{
    (void)unused;
    problem p = card_problem(1, 10, 3.0);
    p.k.most_states = 2;
    lp_knapsack_result r = solve(&p);
    assert_true(r.objective >= card_rows[0].optimum);
    assert_false(r.optimal);
    assert_true(r.lower_bound <= card_rows[0].optimum);
    assert_true(r.lower_bound >= card_rows[0].relaxation - 1);
    assert_true(r.cost[0] <= p.k.budget[0]);
    lp_knapsack_result_free(&r);
    free_problem(&p);
}

static void a_budget_below_the_cheapest_choices_says_what_they_need(void **unused)
{
    (void)unused;
    problem p = card_problem(1, 10, 3.0);
    lp_knapsack_result r;
    int64_t least = 0;
    for (int i = 0; i < 10; i++) least += p.choice[i * MOST_CHOICES].cost[0];
    p.k.budget[0] = least - 1;
    assert_int_equal(lp_knapsack_solve(&p.k, &r), LP_USAGE);
    char number[32];
    snprintf(number, sizeof number, "%lld", (long long)least);
    assert_non_null(strstr(lp_error(), number));
    p.k.budget[0] = least;
    r = solve(&p);
    for (int i = 0; i < 10; i++) assert_int_equal(r.choice[i], 0);
    lp_knapsack_result_free(&r);
    free_problem(&p);
}

static void wrong_problems_are_refused(void **unused)
{
    (void)unused;
    lp_knapsack_result r;
    problem p = new_problem(2);
    add(&p, 0, 1, 1, 0, 0);
    p.k.budget[0] = 100;
    assert_int_equal(lp_knapsack_solve(&p.k, &r), LP_USAGE); /* class 1 is empty */
    assert_non_null(strstr(lp_error(), "class 1"));
    add(&p, 1, NAN, 1, 0, 0);
    assert_int_equal(lp_knapsack_solve(&p.k, &r), LP_USAGE);
    p.choice[MOST_CHOICES].loss = INFINITY;
    assert_int_equal(lp_knapsack_solve(&p.k, &r), LP_USAGE);
    p.choice[MOST_CHOICES] = (lp_choice){1, {-1}};
    assert_int_equal(lp_knapsack_solve(&p.k, &r), LP_USAGE);
    p.choice[MOST_CHOICES] = (lp_choice){1, {INT64_MAX}};
    assert_int_equal(lp_knapsack_solve(&p.k, &r), LP_USAGE);
    free_problem(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_toy_has_optimum_twelve),
        cmocka_unit_test(the_cards_generator_begins_as_the_card_says),
        cmocka_unit_test(the_cards_optima_are_found_and_proven),
        cmocka_unit_test(greedy_loses_what_the_card_says),
        cmocka_unit_test(five_hundred_classes_take_less_than_a_second),
        cmocka_unit_test(hawq_optima_are_those_of_exhaustive_search),
        cmocka_unit_test(hawq_relaxations_are_the_cards),
        cmocka_unit_test(one_budget_agrees_with_brute_force),
        cmocka_unit_test(two_budgets_agree_with_brute_force),
        cmocka_unit_test(three_budgets_agree_with_brute_force),
        cmocka_unit_test(a_larger_budget_is_never_worse),
        cmocka_unit_test(the_order_of_classes_does_not_matter),
        cmocka_unit_test(a_dominated_choice_is_never_taken),
        cmocka_unit_test(bits_that_cost_nothing_are_taken),
        cmocka_unit_test(too_few_states_give_an_answer_without_the_proof),
        cmocka_unit_test(a_budget_below_the_cheapest_choices_says_what_they_need),
        cmocka_unit_test(wrong_problems_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
