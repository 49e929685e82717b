/* Coordinate descent for one type; included by sweep.c behind sweep_real.h. */

#define lanes NAME(lanes)
#define vector NAME(vector)

static void NAME(start_gradient)(const lp_descent *x, lp_tile_rows *rows)
{
    lanes d[LP_SWEEP_COLS];
    const lanes *w = rows->w, *q = rows->q;
    if (rows->y) memcpy(rows->s, rows->y, (size_t)x->k * sizeof *d);
    else memset(rows->s, 0, (size_t)x->k * sizeof *d);
    for (int64_t first = 0; first < x->k; first += LP_SWEEP_COLS) {
        int64_t last = x->k - first < LP_SWEEP_COLS ? x->k : first + LP_SWEEP_COLS;
        for (int64_t j = first; j < last; j++)
            for (int l = 0; l < LP_TILE; l++) d[j - first][l] = w[j][l] - q[j][l];
        NAME(feed)(x->h, x->k, (const lanes *)d, first, last, 0, x->k, rows->s);
    }
}

/* g after q[j] has grown by change. */
static inline void NAME(take_change)(const lp_descent *x, int64_t j, const REAL *restrict change, lanes *restrict g)
{
    const REAL *restrict h = x->h + j * x->k;
    const vector c = *(const vector *)(const void *)change;
    for (int64_t i = 0; i < x->k; i++) *NAME(as_vector)(g + i) -= c * h[i];
}

static bool NAME(descend_codes)(const lp_descent *x, const lp_coder *coder, lp_tile_rows *rows)
{
    lanes *q = rows->q, *g = rows->s, inverse = {0}, scale = {0}, offset = {0}, t, value, index, change;
    bool moved = false;
    for (int64_t j = 0; j < x->k; j++) {
        const lp_unit *unit = &rows->unit[j / coder->unit];
        const REAL over = (REAL)1 / x->h[j * x->k + j];
        if (j % coder->unit == 0) {
            for (int l = 0; l < LP_TILE; l++) {
                scale[l] = (REAL)unit->scale[l];
                offset[l] = (REAL)unit->offset[l];
            }
            NAME(invert)(scale, inverse);
        }
        for (int l = 0; l < LP_TILE; l++) t[l] = q[j][l] + g[j][l] * over;
        NAME(nearest)(&coder->grid, t, inverse, scale, offset, value, index);
        bool any = false;
        for (int l = 0; l < LP_TILE; l++) {
            change[l] = value[l] - q[j][l];
            any |= change[l] != 0;
        }
        if (!any) continue;
        moved = true;
        memcpy(q[j], value, sizeof value);
        for (int l = 0; l < LP_TILE; l++) rows->code[j * LP_TILE + l] = (uint8_t)index[l];
        NAME(take_change)(x, j, change, g);
    }
    return moved;
}

/* Sums over the columns of a unit, v the levels: v g, 1 g, v H v, v H 1, 1 H 1. */
typedef struct NAME(unit_sums) {
    lanes vg, g, vhv, vh, h;
} NAME(unit_sums);

static void NAME(sum_unit)(const lp_descent *x, int64_t j0, int n, const lanes *restrict v, const lanes *restrict g,
                           NAME(unit_sums) *restrict sums)
{
    memset(sums, 0, sizeof *sums);
    for (int i = 0; i < n; i++) {
        const REAL *h = x->h + (j0 + i) * x->k + j0;
        lanes hv = {0};
        REAL all = 0;
        for (int j = 0; j < n; j++) {
            for (int l = 0; l < LP_TILE; l++) hv[l] += v[j][l] * h[j];
            all += h[j];
        }
        for (int l = 0; l < LP_TILE; l++) {
            sums->vg[l] += v[i][l] * g[j0 + i][l];
            sums->g[l] += g[j0 + i][l];
            sums->vhv[l] += v[i][l] * hv[l];
            sums->vh[l] += hv[l];
            sums->h[l] += all;
        }
    }
}

static void NAME(levels)(const lp_grid *grid, const uint8_t *code, lanes *restrict v, int n)
{
    for (int i = 0; i < n; i++)
        for (int l = 0; l < LP_TILE; l++) {
            int c = code[i * LP_TILE + l];
            v[i][l] = grid->n_levels ? (REAL)grid->level[c] : (REAL)grid->low + (REAL)c;
        }
}

/* The best a and b around those of the unit, codes kept. */
static bool NAME(descend_unit)(const lp_descent *x, const lp_coder *coder, lp_tile_rows *rows, int64_t j0)
{
    lp_unit *unit = &rows->unit[j0 / coder->unit], best = *unit;
    lanes v[LP_UNIT_MAX], *q = rows->q, *g = rows->s, least = {0};
    NAME(unit_sums) sums;
    const int n = x->k - j0 < coder->unit ? (int)(x->k - j0) : coder->unit, reach_b = coder->step_b ? x->reach_b : 0;
    bool moved = false;
    NAME(levels)(&coder->grid, rows->code + j0 * LP_TILE, v, n);
    NAME(sum_unit)(x, j0, n, (const lanes *)v, (const lanes *)g, &sums);
    for (int i = -x->reach; i <= x->reach; i++)
        for (int m = -reach_b; m <= reach_b; m++) {
            int32_t a[LP_TILE], b[LP_TILE];
            float scale[LP_TILE], offset[LP_TILE];
            bool valid[LP_TILE];
            if (i == 0 && m == 0) continue;
            for (int l = 0; l < LP_TILE; l++) {
                a[l] = unit->a[l] + i * coder->step;
                b[l] = unit->b[l] + m * coder->step_b;
            }
            coder->set(coder, a, b, unit, scale, offset, valid);
            for (int l = 0; l < LP_TILE; l++) {
                if (!valid[l]) continue;
                REAL ds = (REAL)scale[l] - (REAL)unit->scale[l], dz = (REAL)offset[l] - (REAL)unit->offset[l];
                REAL change = ds * ds * sums.vhv[l] + (REAL)2 * ds * dz * sums.vh[l] + dz * dz * sums.h[l] -
                              (REAL)2 * (ds * sums.vg[l] + dz * sums.g[l]);
                if (!(change < least[l])) continue;
                least[l] = change;
                best.a[l] = a[l];
                best.b[l] = b[l];
                best.scale[l] = scale[l];
                best.offset[l] = offset[l];
                moved = true;
            }
        }
    if (!moved) return false;
    *unit = best;
    for (int i = 0; i < n; i++) {
        lanes change;
        for (int l = 0; l < LP_TILE; l++) {
            REAL value = (REAL)unit->scale[l] * v[i][l] + (REAL)unit->offset[l];
            change[l] = value - q[j0 + i][l];
            q[j0 + i][l] = value;
        }
        NAME(take_change)(x, j0 + i, change, g);
    }
    return true;
}

static void NAME(descend_rows)(const lp_descent *x, const lp_coder *coder, lp_tile_rows *rows)
{
    NAME(start_gradient)(x, rows);
    for (int pass = 0; pass < x->passes; pass++) {
        bool moved = NAME(descend_codes)(x, coder, rows);
        if (x->reach > 0 && coder->step)
            for (int64_t j = 0; j < x->k; j += coder->unit) moved |= NAME(descend_unit)(x, coder, rows, j);
        if (!moved) return;
    }
}

#undef lanes
#undef vector
