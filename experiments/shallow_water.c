/* Turbulent shallow water over a ridge in few bits: the distribution of its flow against float64's, rounded to nearest
 * and stochastically after every operation. Card: formats/climate-low-precision (model b; its parameters are ours).
 *
 * Vector-invariant equations on a C-grid, periodic both ways: with h = H + eta, U = u h, V = v h, q = (f + zeta) / h
 * and B = g eta + (u^2 + v^2) / 2, u_t =  q V - B_x + F - r u + nu lap u,   v_t = -q U - B_y - r v + nu lap v,   eta_t
 * = -U_x - V_y, third-order Adams-Bashforth. u lies on the west face of a cell, v on its south face, q on the
 * south-west corner. The unit of length is the grid's step. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "study.h"

enum {
    NX = 24,
    NY = 24,
    N = NX * NY,
    SPIN_UP = 12000,
    STEPS = 24000,
    EVERY = 40,
    PROBES = 36,
    TOTAL = STEPS / EVERY * PROBES
};

static const double coriolis = 3, gravity = 49, wind = 0.03, drag = 0.003, viscosity = 0.01, dt = 0.025;

/* Sums and products of at most 24 bits are computed in float64 and rounded by lowp: to nearest that is the exact result
 * rounded once, since 53 >= 2 * 24 + 2; a stochastic choice sees fractions that are exact to 2^-29. */
typedef struct water {
    const lp_element *element; /* NULL: float64 */
    lp_rounding rounding;
    double u[N], v[N], eta[N];
    double du[3][N], dv[3][N], deta[3][N]; /* tendencies of the last three steps */
    double depth[N], force[N];
} water;

static void round_field(water *w, double *y)
{
    w->rounding.step++;
    if (w->element) lp_round_f64(w->element, &w->rounding, y, N, y, NULL);
}

typedef enum operation { ADD, SUB, MUL, DIV } operation;

static void combine(water *w, operation o, const double *a, const double *b, double *y)
{
    switch (o) {
    case ADD:
        for (int i = 0; i < N; i++) y[i] = a[i] + b[i];
        break;
    case SUB:
        for (int i = 0; i < N; i++) y[i] = a[i] - b[i];
        break;
    case MUL:
        for (int i = 0; i < N; i++) y[i] = a[i] * b[i];
        break;
    case DIV:
        for (int i = 0; i < N; i++) y[i] = a[i] / b[i];
        break;
    }
    round_field(w, y);
}

static void scale(water *w, double c, const double *a, double *y)
{
    if (w->element) lp_round_f64(w->element, NULL, &c, 1, &c, NULL);
    for (int i = 0; i < N; i++) y[i] = c * a[i];
    round_field(w, y);
}

/* y(i, j) = a(i + di, j + dj). */
static void shift(const double *a, int di, int dj, double *y)
{
    for (int j = 0; j < NY; j++)
        for (int i = 0; i < NX; i++) y[j * NX + i] = a[(j + dj + NY) % NY * NX + (i + di + NX) % NX];
}

/* y = (a + a shifted) / 2; y may not be a. */
static void average(water *w, const double *a, int di, int dj, double *y)
{
    double t[N];
    shift(a, di, dj, t);
    combine(w, ADD, a, t, y);
    for (int i = 0; i < N; i++) y[i] /= 2; /* exact */
}

/* y = a - a shifted, or with the sign turned. */
static void difference(water *w, const double *a, int di, int dj, bool turned, double *y)
{
    double t[N];
    shift(a, di, dj, t);
    combine(w, SUB, turned ? t : a, turned ? a : t, y);
}

/* out += nu lap a - r a */
static void friction(water *w, const double *a, double *out)
{
    double east[N], north[N], west[N], south[N], four[N], t[N];
    shift(a, 1, 0, east);
    shift(a, -1, 0, west);
    shift(a, 0, 1, north);
    shift(a, 0, -1, south);
    combine(w, ADD, east, west, east);
    combine(w, ADD, north, south, north);
    combine(w, ADD, east, north, t);
    for (int i = 0; i < N; i++) four[i] = 4 * a[i]; /* exact */
    combine(w, SUB, t, four, t);
    scale(w, viscosity, t, t);
    combine(w, ADD, out, t, out);
    scale(w, drag, a, t);
    combine(w, SUB, out, t, out);
}

static void tendencies(water *w, double *du, double *dv, double *deta)
{
    double h[N], hx[N], hy[N], corner[N], flux_u[N], flux_v[N], q[N], b[N], s[N], t[N];
    combine(w, ADD, w->depth, w->eta, h);
    average(w, h, -1, 0, hx);
    average(w, h, 0, -1, hy);
    average(w, hx, 0, -1, corner);
    combine(w, MUL, w->u, hx, flux_u);
    combine(w, MUL, w->v, hy, flux_v);
    difference(w, w->v, -1, 0, false, q);
    difference(w, w->u, 0, -1, false, t);
    combine(w, SUB, q, t, q);
    for (int i = 0; i < N; i++) t[i] = coriolis;
    combine(w, ADD, q, t, q);
    combine(w, DIV, q, corner, q);
    /* Energy: squares of the faces of a cell. */
    combine(w, MUL, w->u, w->u, s);
    average(w, s, 1, 0, t);
    combine(w, MUL, w->v, w->v, s);
    average(w, s, 0, 1, b);
    combine(w, ADD, b, t, b);
    for (int i = 0; i < N; i++) b[i] /= 2;
    scale(w, gravity, w->eta, t);
    combine(w, ADD, b, t, b);
    /* u */
    average(w, flux_v, -1, 0, s);
    combine(w, MUL, q, s, s);
    average(w, s, 0, 1, du);
    difference(w, b, -1, 0, false, t);
    combine(w, SUB, du, t, du);
    combine(w, ADD, du, w->force, du);
    friction(w, w->u, du);
    /* v */
    average(w, flux_u, 0, -1, s);
    combine(w, MUL, q, s, s);
    average(w, s, 1, 0, t);
    difference(w, b, 0, -1, true, dv);
    combine(w, SUB, dv, t, dv);
    friction(w, w->v, dv);
    /* eta */
    difference(w, flux_u, 1, 0, false, deta);
    difference(w, flux_v, 0, 1, false, t);
    combine(w, ADD, deta, t, deta);
}

/* x += dt (23 a - 16 b + 5 c) / 12 */
static void step_field(water *w, double *x, const double *a, const double *b, const double *c)
{
    double s[N], t[N];
    scale(w, 23.0 / 12 * dt, a, s);
    scale(w, 16.0 / 12 * dt, b, t);
    combine(w, SUB, s, t, s);
    scale(w, 5.0 / 12 * dt, c, t);
    combine(w, ADD, s, t, s);
    combine(w, ADD, x, s, x);
}

typedef struct flow {
    double *u, *eta; /* [TOTAL] */
    bool is_finite;
} flow;

static flow run(const char *element, lp_rounding_mode mode, uint64_t seed)
{
    flow out = {study_allocate(TOTAL, sizeof(double)), study_allocate(TOTAL, sizeof(double)), true};
    water *w = study_allocate(1, sizeof *w);
    w->element = element ? study_element(element) : NULL;
    w->rounding = (lp_rounding){.mode = mode, .seed = seed};
    for (int j = 0; j < NY; j++)
        for (int i = 0; i < NX; i++) {
            int at = j * NX + i;
            w->depth[at] = 1 - 0.3 * exp(-(i - NX / 2) * (i - NX / 2) / 8.0);
            w->force[at] = wind * sin(4 * M_PI * (j + 0.5) / NY);
            w->u[at] = 0.5 * sin(4 * M_PI * (j + 0.5) / NY) + 0.1 * study_normal(&seed);
            w->v[at] = 0.1 * study_normal(&seed);
        }
    double *const fields[5] = {w->depth, w->force, w->u, w->v, w->eta};
    for (int k = 0; k < 5 && w->element; k++) lp_round_f64(w->element, NULL, fields[k], N, fields[k], NULL);
    for (int step = 0; step < SPIN_UP + STEPS; step++) {
        int a = step % 3, b = (step + 2) % 3, c = (step + 1) % 3;
        tendencies(w, w->du[a], w->dv[a], w->deta[a]);
        step_field(w, w->u, w->du[a], w->du[b], w->du[c]);
        step_field(w, w->v, w->dv[a], w->dv[b], w->dv[c]);
        step_field(w, w->eta, w->deta[a], w->deta[b], w->deta[c]);
        if (step >= SPIN_UP && (step - SPIN_UP) % EVERY == 0)
            for (int p = 0; p < PROBES; p++) {
                int at = p / 6 * 4 * NX + p % 6 * 4, k = (step - SPIN_UP) / EVERY * PROBES + p;
                out.u[k] = w->u[at];
                out.eta[k] = w->eta[at];
                out.is_finite &= isfinite(w->u[at]) && isfinite(w->eta[at]);
            }
    }
    free(w);
    return out;
}

static void drop(flow f)
{
    free(f.u);
    free(f.eta);
}

static double spread(const double *x)
{
    double mean = 0, squares = 0;
    for (int i = 0; i < TOTAL; i++) mean += x[i] / TOTAL;
    for (int i = 0; i < TOTAL; i++) squares += (x[i] - mean) * (x[i] - mean) / TOTAL;
    return sqrt(squares);
}

int main(int argc, char **argv)
{
    static const struct {
        const char *element, *name;
        int bits;
        lp_rounding_mode mode;
    } rows[] = {{"e8m10", "nearest", 10, LP_ROUND_NEAREST_EVEN}, {"e8m10", "stochastic", 10, LP_ROUND_STOCHASTIC},
                {"e8m7", "nearest", 7, LP_ROUND_NEAREST_EVEN},   {"e8m7", "stochastic", 7, LP_ROUND_STOCHASTIC},
                {"e8m5", "nearest", 5, LP_ROUND_NEAREST_EVEN},   {"e8m5", "stochastic", 5, LP_ROUND_STOCHASTIC},
                {"e8m4", "nearest", 4, LP_ROUND_NEAREST_EVEN},   {"e8m4", "stochastic", 4, LP_ROUND_STOCHASTIC}};
    study *s = study_begin(argc, argv, "shallow-water", "Turbulent shallow water over a ridge in few bits",
                           "Climate Modelling in Low-Precision (Paxton and others, J. Climate 2022)");
    flow reference = run(NULL, LP_ROUND_NEAREST_EVEN, 1200);
    double natural_u = 0, natural_eta = 0;
    study_heading(s, "float64");
    study_measured(s, spread(reference.u), "standard deviation of u");
    study_measured(s, spread(reference.eta), "standard deviation of eta");
    for (int k = 0; k < 3; k++) {
        flow other = run(NULL, LP_ROUND_NEAREST_EVEN, 1201 + (uint64_t)k);
        double u = study_wasserstein(reference.u, other.u, TOTAL),
               eta = study_wasserstein(reference.eta, other.eta, TOTAL);
        study_measured(s, u, "Wasserstein distance of u from another float64 run");
        study_measured(s, eta, "Wasserstein distance of eta from another float64 run");
        natural_u = fmax(natural_u, u);
        natural_eta = fmax(natural_eta, eta);
        drop(other);
    }
    double nearest = 0;
    for (int r = 0; r < 8; r++) {
        flow f = run(rows[r].element, rows[r].mode, 1210);
        study_heading(s, "%d bits, %s: Wasserstein distance from float64", rows[r].bits, rows[r].name);
        study_figure(s, f.is_finite, 1, 0, "the run stays finite");
        double u = f.is_finite ? study_wasserstein(reference.u, f.u, TOTAL) : INFINITY;
        double eta = f.is_finite ? study_wasserstein(reference.eta, f.eta, TOTAL) : INFINITY;
        bool is_nearest = rows[r].mode == LP_ROUND_NEAREST_EVEN;
        if (rows[r].bits >= 7) {
            study_claim(s, u, '<', natural_u, "u, within what float64 runs differ by");
            if (rows[r].bits == 10) study_paper(s, "10 bits are often enough");
            study_claim(s, eta, '<', natural_eta, "eta, within what float64 runs differ by");
        } else if (is_nearest) {
            study_claim(s, u, '>', natural_u, "u, beyond what float64 runs differ by");
            study_measured(s, eta, "eta");
        } else {
            study_claim(s, u, '<', nearest, "u, nearer than by rounding to nearest");
            study_paper(s, "stochastic rounding mitigates the error in turbulence");
            study_measured(s, eta, "eta");
        }
        if (is_nearest) nearest = u;
        drop(f);
    }
    drop(reference);
    study_finding(s,
                  "In this turbulent flow 10 and 7 bits cannot be told from float64 by either rounding. At 5 and 4 "
                  "bits nearest rounding "
                  "gives another flow, and stochastic rounding stays about as near as float64 runs are to each other.");
    return study_end(s);
}
