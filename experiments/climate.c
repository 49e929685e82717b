/* Long runs in few bits, nearest against stochastic rounding: heat in the ground and Lorenz 63, compared by the
 * Wasserstein distance of what they visit. Every operation is rounded. Card: formats/climate-low-precision. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/arith.h>

#include "study.h"

/* ---- Wasserstein distance ---------------------------------------------------------------------------------------- */

enum { MOST = 50 };
typedef double costs[MOST][MOST];

/* Least mean cost of a one-to-one assignment: shortest augmenting paths with potentials. */
static double assignment(costs c, int n)
{
    double u[MOST + 1] = {0}, v[MOST + 1] = {0};
    int of[MOST + 1] = {0}, before[MOST + 1];
    for (int i = 1; i <= n; i++) {
        double least[MOST + 1];
        bool used[MOST + 1] = {false};
        for (int j = 0; j <= n; j++) least[j] = INFINITY;
        int j0 = 0;
        of[0] = i;
        do {
            used[j0] = true;
            int row = of[j0], next = 0;
            double delta = INFINITY;
            for (int j = 1; j <= n; j++)
                if (!used[j]) {
                    double reduced = c[row - 1][j - 1] - u[row] - v[j];
                    if (reduced < least[j]) {
                        least[j] = reduced;
                        before[j] = j0;
                    }
                    if (least[j] < delta) {
                        delta = least[j];
                        next = j;
                    }
                }
            for (int j = 0; j <= n; j++)
                if (used[j]) {
                    u[of[j]] += delta;
                    v[j] -= delta;
                } else
                    least[j] -= delta;
            j0 = next;
        } while (of[j0] != 0);
        do {
            of[j0] = of[before[j0]];
            j0 = before[j0];
        } while (j0);
    }
    double sum = 0;
    for (int j = 1; j <= n; j++) sum += c[of[j] - 1][j - 1];
    return sum / n;
}

static double sinkhorn(costs c, int n, double epsilon)
{
    double u[MOST], v[MOST], change = 1;
    for (int i = 0; i < n; i++) u[i] = v[i] = 1;
    for (int round = 0; round < 20000 && change > 1e-9; round++) {
        change = 0;
        for (int j = 0; j < n; j++) {
            double sum = 0;
            for (int i = 0; i < n; i++) sum += exp(-c[i][j] / epsilon) * u[i];
            v[j] = 1.0 / n / sum;
        }
        for (int i = 0; i < n; i++) {
            double sum = 0;
            for (int j = 0; j < n; j++) sum += exp(-c[i][j] / epsilon) * v[j];
            double next = 1.0 / n / sum;
            change = fmax(change, fabs(next / u[i] - 1));
            u[i] = next;
        }
    }
    double cost = 0;
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) cost += u[i] * exp(-c[i][j] / epsilon) * c[i][j] * v[j];
    return cost;
}

static void distances(costs c, double (*p)[2], double (*q)[2], int n)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < n; j++) c[i][j] = hypot(p[i][0] - q[j][0], p[i][1] - q[j][1]);
}

static void show_distance(study *s)
{
    static double p[3][2] = {{2, 3}, {4, 5}, {6, 1}}, q[3][2] = {{1, 3}, {4, 6}, {7, 1}}, a[MOST][2], b[MOST][2];
    static costs c;
    study_heading(s, "the distance itself");
    distances(c, p, q, 3);
    study_figure(s, assignment(c, 3), 1, 1e-12, "three points in the plane");
    double x[1000], y[1000], z[1000];
    uint64_t state = 900;
    for (int i = 0; i < 1000; i++) {
        x[i] = study_normal(&state);
        y[i] = x[i];
        z[i] = x[i] + 0.75;
    }
    study_figure(s, study_wasserstein(x, y, 1000), 0, 0, "a sample and itself");
    study_figure(s, study_wasserstein(x, z, 1000), 0.75, 1e-12, "a sample and itself, moved by 0.75");
    double mean = 0;
    for (int i = 0; i < MOST; i++)
        for (int k = 0; k < 2; k++) {
            a[i][k] = study_normal(&state);
            b[i][k] = study_normal(&state) + 1;
        }
    distances(c, a, b, MOST);
    for (int i = 0; i < MOST; i++)
        for (int j = 0; j < MOST; j++) mean += c[i][j] / (MOST * MOST);
    double exact = assignment(c, MOST), entropic = sinkhorn(c, MOST, 0.02 * mean);
    study_claim(s, entropic, '>', exact, "50 points: Sinkhorn is not below the exact distance");
    study_figure(s, entropic / exact, 1, 0.01, "50 points: Sinkhorn / exact, epsilon 0.02 of the mean cost");
    study_reason(s, "the card does not give its points; the excess depends on them, and halves with epsilon");
    study_figure(s, sinkhorn(c, MOST, 0.01 * mean) / exact, 1, 0.01,
                 "50 points: Sinkhorn / exact, epsilon 0.01 of the mean cost");
}

/* ---- heat in the ground ------------------------------------------------------------------------------------------ */

enum { POINTS = 61, YEARS_10 = 175200 };

typedef struct profile {
    double t1, t10, t20, mean;
} profile;

static profile look(const double *t)
{
    profile p = {t[1], t[10], t[20], 0};
    for (int i = 0; i < POINTS; i++) p.mean += t[i] / POINTS;
    return p;
}

static profile heat_double(void)
{
    double t[POINTS], next[POINTS], xi = 1800 * 7e-7;
    for (int i = 0; i < POINTS; i++) t[i] = i ? 273.15 : 280;
    next[0] = 280;
    for (int step = 0; step < YEARS_10; step++) {
        for (int m = 1; m < POINTS - 1; m++) next[m] = t[m] + xi * ((t[m + 1] - 2 * t[m]) + t[m - 1]);
        next[POINTS - 1] = t[POINTS - 1] + xi * (t[POINTS - 2] - t[POINTS - 1]);
        memcpy(t, next, sizeof t);
    }
    return look(t);
}

/* Arithmetic in one element: every result of an array is rounded; random words are those of the call and the item. */
typedef struct machine {
    const lp_element *element;
    lp_rounding rounding;
} machine;

static void operate(machine *m, lp_operation operation, const float *a, const float *b, int64_t n, float *y)
{
    m->rounding.step++;
    if (lp_arith_f32(operation, m->element, &m->rounding, a, b, NULL, n, y, NULL) != LP_OK) {
        fprintf(stderr, "%s\n", lp_error());
        exit(1);
    }
}

static float constant(const machine *m, double x)
{
    double y;
    lp_round_f64(m->element, NULL, &x, 1, &y, NULL);
    return (float)y;
}

static profile heat(const char *element, lp_rounding_mode mode, uint64_t seed)
{
    machine m = {study_element(element), {.mode = mode, .seed = seed}};
    enum { INNER = POINTS - 2 };
    float t[POINTS], next[POINTS], two[INNER], xi[INNER], w[INNER], d = constant(&m, 7e-7), dt = constant(&m, 1800), x;
    lp_arith_f32(LP_OPERATION_MUL, m.element, NULL, &dt, &d, NULL, 1, &x, NULL);
    for (int i = 0; i < POINTS; i++) t[i] = constant(&m, i ? 273.15 : 280);
    for (int i = 0; i < INNER; i++) {
        two[i] = 2;
        xi[i] = x;
    }
    next[0] = t[0];
    for (int step = 0; step < YEARS_10; step++) {
        operate(&m, LP_OPERATION_MUL, two, t + 1, INNER, w);
        operate(&m, LP_OPERATION_SUB, t + 2, w, INNER, w);
        operate(&m, LP_OPERATION_ADD, w, t, INNER, w);
        operate(&m, LP_OPERATION_MUL, xi, w, INNER, w);
        operate(&m, LP_OPERATION_ADD, t + 1, w, INNER, next + 1);
        float bottom;
        operate(&m, LP_OPERATION_SUB, &t[POINTS - 2], &t[POINTS - 1], 1, &bottom);
        operate(&m, LP_OPERATION_MUL, xi, &bottom, 1, &bottom);
        operate(&m, LP_OPERATION_ADD, &t[POINTS - 1], &bottom, 1, &next[POINTS - 1]);
        memcpy(t, next, sizeof t);
    }
    double wide[POINTS];
    for (int i = 0; i < POINTS; i++) wide[i] = t[i];
    return look(wide);
}

enum { SEEDS = 4 };

static void show_depth(study *s, const double *t, int n, double card, double tolerance, const char *where)
{
    if (n == 1)
        study_figure(s, t[0], card, tolerance, "K %s", where);
    else
        study_sampled(s, t, n, card, tolerance, "K %s, %d seeds", where, n);
}

/* n profiles, of as many seeds. */
static void show_profiles(study *s, const char *name, const profile *p, int n, profile card, profile tolerance)
{
    double t1[SEEDS], t10[SEEDS], t20[SEEDS], mean[SEEDS];
    for (int i = 0; i < n; i++) {
        t1[i] = p[i].t1;
        t10[i] = p[i].t10;
        t20[i] = p[i].t20;
        mean[i] = p[i].mean;
    }
    study_heading(s, "heat, 10 years: %s", name);
    show_depth(s, t1, n, card.t1, tolerance.t1, "at 1 m");
    show_depth(s, t10, n, card.t10, tolerance.t10, "at 10 m");
    show_depth(s, t20, n, card.t20, tolerance.t20, "at 20 m");
    show_depth(s, mean, n, card.mean, tolerance.mean, "on average");
}

static void show_heat(study *s)
{
    static const struct {
        const char *name, *element;
        lp_rounding_mode mode;
        profile card, tolerance;
    } rows[] = {
        {"float32, nearest",
         "f32",
         LP_ROUND_NEAREST_EVEN,
         {279.5992, 276.5352, 274.2788, 274.4669},
         {5e-5, 5e-5, 5e-5, 5e-5}},
        {"float32, stochastic",
         "f32",
         LP_ROUND_STOCHASTIC,
         {279.7399, 277.4934, 275.4868, 275.0894},
         {1e-3, 1e-3, 1e-3, 1e-3}},
        {"16 bits after the point, nearest",
         "e8m16",
         LP_ROUND_NEAREST_EVEN,
         {276.17, 273.15, 273.15, 273.32},
         {5e-3, 5e-3, 5e-3, 5e-3}},
        {"float16, nearest", "f16", LP_ROUND_NEAREST_EVEN, {273.25, 273.25, 273.25, 273.36}, {0, 0, 0, 5e-3}},
        {"float16, stochastic", "f16", LP_ROUND_STOCHASTIC, {279.75, 277.50, 276.50, 275.44}, {1.5, 2, 2, 1}},
        {"bfloat16, nearest", "bf16", LP_ROUND_NEAREST_EVEN, {274, 274, 274, 274.10}, {0, 0, 0, 5e-3}},
        {"bfloat16, stochastic", "bf16", LP_ROUND_STOCHASTIC, {280, 276, 276, 275.67}, {4, 6, 6, 2}},
    };
    profile exact = heat_double(), float32 = {0};
    show_profiles(s, "float64", &exact, 1, (profile){279.7400, 277.4936, 275.4871, 275.0893},
                  (profile){5e-5, 5e-5, 5e-5, 5e-5});
    for (int i = 0; i < 7; i++) {
        profile p[SEEDS];
        int n = rows[i].mode == LP_ROUND_STOCHASTIC && i == 1 ? SEEDS : 1;
        for (int k = 0; k < n; k++) p[k] = heat(rows[i].element, rows[i].mode, 901 + (uint64_t)k);
        show_profiles(s, rows[i].name, p, n, rows[i].card, rows[i].tolerance);
        if (i == 0) {
            float32 = p[0];
            study_claim(s, fabs(p[0].t20 - exact.t20), '>', 1, "wrong at 20 m by more than 1 K");
        }
        if (i == 1 || i == 4) {
            study_claim(s, fabs(p[0].mean - exact.mean), '<', fabs(float32.mean - exact.mean),
                        "error of the mean, less than float32's to nearest");
            study_paper(s, "stochastic rounding removes the stagnation");
        }
    }
}

/* ---- Lorenz 63 --------------------------------------------------------------------------------------------------- */

enum { LANES = 8, STATE = 3 * LANES, SPIN_UP = 20000, SAMPLES = 8000, EVERY = 10, TOTAL = LANES * SAMPLES };

/* LANES systems side by side: x, y, z of all lanes. Rounded where m has an element, else in float64. */
typedef struct lorenz {
    machine m;
    float v[STATE];
    float ten[LANES], r[LANES], b[LANES], half[STATE], whole[STATE], sixth[STATE];
    int lanes;
} lorenz;

static void start(lorenz *l, const char *element, lp_rounding_mode mode, int lanes, uint64_t seed)
{
    *l = (lorenz){.m = {study_element(element), {.mode = mode, .seed = seed}}, .lanes = lanes};
    uint64_t state = seed;
    for (int i = 0; i < 3 * lanes; i++) {
        l->v[i] = constant(&l->m, (i < 2 * lanes ? 0 : 20) + 5 * study_normal(&state));
        l->half[i] = constant(&l->m, 0.005);
        l->whole[i] = constant(&l->m, 0.01);
        l->sixth[i] = constant(&l->m, 0.01 / 6);
    }
    for (int i = 0; i < lanes; i++) {
        l->ten[i] = 10;
        l->r[i] = 28;
        l->b[i] = constant(&l->m, 8.0 / 3);
    }
}

static void slope(lorenz *l, const float *v, float *k)
{
    int n = l->lanes;
    const float *x = v, *y = v + n, *z = v + 2 * n;
    float t[LANES];
    machine *m = &l->m;
    operate(m, LP_OPERATION_SUB, y, x, n, t);
    operate(m, LP_OPERATION_MUL, l->ten, t, n, k);
    operate(m, LP_OPERATION_SUB, l->r, z, n, t);
    operate(m, LP_OPERATION_MUL, x, t, n, t);
    operate(m, LP_OPERATION_SUB, t, y, n, k + n);
    operate(m, LP_OPERATION_MUL, l->b, z, n, t);
    operate(m, LP_OPERATION_MUL, x, y, n, k + 2 * n);
    operate(m, LP_OPERATION_SUB, k + 2 * n, t, n, k + 2 * n);
}

/* y = v + h k */
static void move(lorenz *l, const float *h, const float *k, float *y)
{
    operate(&l->m, LP_OPERATION_MUL, h, k, 3 * l->lanes, y);
    operate(&l->m, LP_OPERATION_ADD, l->v, y, 3 * l->lanes, y);
}

static void advance(lorenz *l)
{
    float k1[STATE], k2[STATE], k3[STATE], k4[STATE], at[STATE];
    int n = 3 * l->lanes;
    slope(l, l->v, k1);
    move(l, l->half, k1, at);
    slope(l, at, k2);
    move(l, l->half, k2, at);
    slope(l, at, k3);
    move(l, l->whole, k3, at);
    slope(l, at, k4);
    for (int i = 0; i < n; i++) { /* times two is exact */
        k2[i] *= 2;
        k3[i] *= 2;
    }
    operate(&l->m, LP_OPERATION_ADD, k1, k2, n, k1);
    operate(&l->m, LP_OPERATION_ADD, k1, k3, n, k1);
    operate(&l->m, LP_OPERATION_ADD, k1, k4, n, k1);
    move(l, l->sixth, k1, at);
    memcpy(l->v, at, sizeof at);
}

static void slope_double(const double *v, double *k)
{
    k[0] = 10 * (v[1] - v[0]);
    k[1] = v[0] * (28 - v[2]) - v[1];
    k[2] = v[0] * v[1] - 8.0 / 3 * v[2];
}

static void advance_double(double *v)
{
    double k[4][3], at[3];
    static const double h[3] = {0.005, 0.005, 0.01};
    slope_double(v, k[0]);
    for (int s = 0; s < 3; s++) {
        for (int i = 0; i < 3; i++) at[i] = v[i] + h[s] * k[s][i];
        slope_double(at, k[s + 1]);
    }
    for (int i = 0; i < 3; i++) v[i] += 0.01 / 6 * (k[0][i] + 2 * k[1][i] + 2 * k[2][i] + k[3][i]);
}

/* z of all lanes, every EVERY steps after the spin-up. */
static double *visit_double(uint64_t seed)
{
    double *z = study_allocate(TOTAL, sizeof *z);
    for (int lane = 0; lane < LANES; lane++) {
        double v[3];
        for (int i = 0; i < 3; i++) v[i] = (i < 2 ? 0 : 20) + 5 * study_normal(&seed);
        for (int64_t step = 0; step < SPIN_UP + (int64_t)SAMPLES * EVERY; step++) {
            advance_double(v);
            if (step >= SPIN_UP && step % EVERY == 0) z[lane * SAMPLES + (step - SPIN_UP) / EVERY] = v[2];
        }
    }
    return z;
}

static double *visit(const char *element, lp_rounding_mode mode, uint64_t seed)
{
    double *z = study_allocate(TOTAL, sizeof *z);
    lorenz l;
    start(&l, element, mode, LANES, seed);
    for (int64_t step = 0; step < SPIN_UP + (int64_t)SAMPLES * EVERY; step++) {
        advance(&l);
        if (step >= SPIN_UP && step % EVERY == 0)
            for (int lane = 0; lane < LANES; lane++)
                z[lane * SAMPLES + (step - SPIN_UP) / EVERY] = l.v[2 * LANES + lane];
    }
    return z;
}

/* Brent: follows one orbit until it has fallen into a cycle; l is then on the cycle. Its length, 0 if none shows in
 * `most` steps. */
static int64_t find_cycle(lorenz *l, int64_t most)
{
    float saved[3];
    memcpy(saved, l->v, sizeof saved);
    int64_t power = 1, length = 0;
    for (int64_t step = 0; step < most; step++) {
        advance(l);
        length++;
        if (memcmp(saved, l->v, sizeof saved) == 0) return length;
        if (length == power) {
            memcpy(saved, l->v, sizeof saved);
            power *= 2;
            length = 0;
        }
    }
    return 0;
}

/* The distance of an endless run with nearest rounding, that is of its cycle, from the reference; NaN if there is none.
 */
static double cycle_distance(const char *element, uint64_t seed, double *reference, int64_t *length)
{
    lorenz l;
    start(&l, element, LP_ROUND_NEAREST_EVEN, 1, seed);
    *length = find_cycle(&l, 1000000);
    if (*length == 0) return NAN;
    double *cycle = study_allocate(*length, sizeof *cycle), *z = study_allocate(TOTAL, sizeof *z);
    for (int64_t i = 0; i < *length; i++) {
        cycle[i] = l.v[2];
        advance(&l);
    }
    for (int64_t i = 0; i < TOTAL; i++) z[i] = cycle[i * *length / TOTAL % *length];
    if (*length > TOTAL)
        for (int64_t i = 0; i < TOTAL; i++) z[i] = cycle[i * EVERY % *length];
    double d = study_wasserstein(reference, z, TOTAL);
    free(cycle);
    free(z);
    return d;
}

static void show_lorenz(study *s)
{
    enum { STARTS = 3 };
    static const char ten_bits[] =
        "with this order of operations the cycle at 10 bits is so long that it covers the attractor; the card's order "
        "gave another cycle";
    static const struct {
        int bits;
        const char *element;
        double nearest, stochastic, period; /* the card's; 0: it has none */
    } rows[] = {{23, "f32", 0, .014, 0}, {10, "e8m10", .23, .029, 54378}, {9, "e8m9", .53, 0, 6226},
                {8, "e8m8", 0, .040, 0}, {7, "e8m7", .57, .088, 964},     {6, "e8m6", 1.18, .25, 0}};
    double *reference = visit_double(902), natural = 0;
    study_heading(s, "Lorenz 63: Wasserstein distance of z from a float64 run");
    for (int k = 0; k < 3; k++) {
        double *other = visit_double(910 + (uint64_t)k);
        double d = study_wasserstein(reference, other, TOTAL);
        natural = fmax(natural, d);
        study_figure(s, d, 0.031, 0.06, "float64 from other states");
        free(other);
    }
    for (int r = 0; r < 6; r++) {
        double nearest = 0, length = 0;
        if (rows[r].nearest != 0) {
            for (int k = 0; k < STARTS; k++) {
                int64_t steps;
                nearest += cycle_distance(rows[r].element, 920 + (uint64_t)k, reference, &steps) / STARTS;
                length = k == 0 ? (double)steps : fmin(length, (double)steps);
            }
            study_measured(s, nearest, "%d bits, nearest: cycles of %d orbits, mean", rows[r].bits, STARTS);
            study_paper(s, "card: %.2f, one orbit", rows[r].nearest);
            study_claim(s, nearest, '>', natural, "%d bits, nearest: beyond the natural spread", rows[r].bits);
            if (rows[r].bits == 10) study_reason(s, ten_bits);
            study_claim(s, length, '>', 0, "%d bits, nearest: all fall into cycles; the shortest, in steps",
                        rows[r].bits);
            if (rows[r].period != 0) study_paper(s, "card: %.0f, one orbit", rows[r].period);
        }
        if (rows[r].stochastic != 0) {
            double *z = visit(rows[r].element, LP_ROUND_STOCHASTIC, 903);
            double d = study_wasserstein(reference, z, TOTAL);
            study_figure(s, d, rows[r].stochastic, 0.06, "%d bits, stochastic", rows[r].bits);
            if (nearest != 0)
                study_claim(s, d, '<', nearest, "%d bits: stochastic is nearer than nearest", rows[r].bits);
            if (nearest != 0 && rows[r].bits == 10) study_reason(s, ten_bits);
            if (rows[r].bits >= 10)
                study_claim(s, d, '<', 2 * natural, "%d bits, stochastic: within twice the natural spread",
                            rows[r].bits);
            free(z);
        }
    }
    free(reference);
    lorenz l;
    start(&l, "e8m10", LP_ROUND_STOCHASTIC, 1, 920);
    study_figure(s, (double)find_cycle(&l, 200000), 0, 0, "10 bits, stochastic: period in 200 000 steps");
}

int main(int argc, char **argv)
{
    study *s = study_begin(argc, argv, "climate", "Long runs in few bits, nearest and stochastic rounding",
                           "Climate Modelling in Low-Precision (Paxton and others, J. Climate 2022)");
    show_distance(s);
    show_heat(s);
    show_lorenz(s);
    study_finding(s, "In ten years of heat conduction float32 rounded to nearest is wrong by 1.2 K at 20 m; rounded "
                     "stochastically it is right to a "
                     "millikelvin, and float16 rounded stochastically is nearer than float32 to nearest. In Lorenz 63 "
                     "nearest rounding falls into cycles, which at 9 bits and fewer misrepresent the attractor; 10 "
                     "bits rounded stochastically cannot be told from float64.");
    return study_end(s);
}
