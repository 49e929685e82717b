/* The column solver for one type: REAL is float or double, NAME(x) makes the names of its functions. Included by sweep.c
 * alone; every loop over lanes is a plain loop of LP_TILE. */

typedef REAL NAME(lanes)[LP_TILE];
/* The same as one value, where a loop's sums must stay in registers: compilers turn arrays of arrays into shuffles. */
typedef REAL NAME(vector) __attribute__((vector_size(LP_TILE * sizeof(REAL)), aligned(4), may_alias));
#define lanes NAME(lanes)
#define vector NAME(vector)

static inline vector *NAME(as_vector)(lanes *x) { return (vector *)(void *)x; }
static inline const vector *NAME(as_const)(const lanes *x) { return (const vector *)(const void *)x; }

/* Nearest level of x = scale * level + offset, in each row. */
static inline void NAME(nearest)(const lp_grid *grid, const REAL *restrict x, const REAL *restrict inverse, const REAL *restrict scale,
                                 const REAL *restrict offset, REAL *restrict q, REAL *restrict index)
{
    REAL t[LP_TILE], v[LP_TILE];
    for (int l = 0; l < LP_TILE; l++) t[l] = (x[l] - offset[l]) * inverse[l];
    if (grid->n_levels == 0) {
        const REAL low = (REAL)grid->low, high = (REAL)grid->high;
        for (int l = 0; l < LP_TILE; l++) {
            REAL u = t[l] > low ? t[l] : low;
            u = u < high ? u : high;
            v[l] = (u + ROUNDER) - ROUNDER;
            index[l] = v[l] - low;
        }
    } else {
        for (int l = 0; l < LP_TILE; l++) v[l] = (REAL)grid->level[0];
        for (int l = 0; l < LP_TILE; l++) index[l] = 0;
        for (int i = 0; i + 1 < grid->n_levels; i++) {
            const REAL middle = (REAL)grid->middle[i], next = (REAL)grid->level[i + 1];
            for (int l = 0; l < LP_TILE; l++) {
                bool above = t[l] > middle;
                v[l] = above ? next : v[l];
                index[l] += above ? (REAL)1 : (REAL)0;
            }
        }
    }
    for (int l = 0; l < LP_TILE; l++) q[l] = scale[l] * v[l] + offset[l];
}

static inline void NAME(invert)(const REAL *restrict scale, REAL *restrict inverse)
{
    for (int l = 0; l < LP_TILE; l++) inverse[l] = scale[l] != 0 ? (REAL)1 / scale[l] : (REAL)0;
}

/* s[j] of columns [j0, j1) take what the errors d of columns [i0, i1) add, each in order of i. */
static void NAME(feed)(const REAL *restrict r, int64_t k, const lanes *restrict d, int64_t i0, int64_t i1, int64_t j0, int64_t j1,
                       lanes *restrict s)
{
    enum { WIDE = 8 };
    int64_t j = j0;
    for (; j + WIDE <= j1; j += WIDE) {
        vector sum[WIDE], *at = NAME(as_vector)(s + j);
        for (int c = 0; c < WIDE; c++) sum[c] = at[c];
        for (int64_t i = i0; i < i1; i++) {
            const REAL *restrict row = r + i * k + j;
            const vector e = *NAME(as_const)(d + (i - i0));
            for (int c = 0; c < WIDE; c++) sum[c] += e * row[c];
        }
        for (int c = 0; c < WIDE; c++) at[c] = sum[c];
    }
    for (; j < j1; j++) {
        vector sum = *NAME(as_const)((const lanes *)s + j);
        for (int64_t i = i0; i < i1; i++) sum += *NAME(as_const)(d + (i - i0)) * r[i * k + j];
        *NAME(as_vector)(s + j) = sum;
    }
}

/* What the weights of columns [j0, j0 + n) stand at, errors so far shared out best: c = w + y with y R = s on them. */
static void NAME(current)(const REAL *restrict r, int64_t k, const lanes *restrict w, const lanes *restrict s, int64_t j0, int n,
                          lanes *restrict c)
{
    for (int j = 0; j < n; j++) { /* c holds y at first */
        const REAL inverse = (REAL)1 / r[(j0 + j) * k + j0 + j];
        vector sum = *NAME(as_const)(s + j0 + j);
        for (int i = 0; i < j; i++) sum -= *NAME(as_const)((const lanes *)c + i) * r[(j0 + i) * k + j0 + j];
        *NAME(as_vector)(c + j) = sum * inverse;
    }
    for (int j = 0; j < n; j++)
        for (int l = 0; l < LP_TILE; l++) c[j][l] += w[j0 + j][l];
}

/* Squared error of the unit's columns, rounded with feedback among them, for one choice of scale and offset. */
static void NAME(try_unit)(const lp_grid *grid, const REAL *restrict r, int64_t k, int64_t j0, int n, const lanes *restrict c,
                           const REAL *restrict scale, const REAL *restrict offset, REAL *restrict loss)
{
    lanes d[LP_UNIT_MAX], s[LP_UNIT_MAX], inverse, x, q, index;
    NAME(invert)(scale, inverse);
    memset(s, 0, (size_t)n * sizeof *s);
    for (int l = 0; l < LP_TILE; l++) loss[l] = 0;
    for (int j = 0; j < n; j++) {
        const REAL pivot = r[(j0 + j) * k + j0 + j], over = (REAL)1 / pivot;
        for (int l = 0; l < LP_TILE; l++) x[l] = c[j][l] + s[j][l] * over;
        NAME(nearest)(grid, x, inverse, scale, offset, q, index);
        for (int l = 0; l < LP_TILE; l++) {
            REAL e = (x[l] - q[l]) * pivot;
            loss[l] += e * e;
            d[j][l] = c[j][l] - q[l];
        }
        for (int i = j + 1; i < n; i++) {
            *NAME(as_vector)(s + i) += *NAME(as_const)((const lanes *)d + j) * r[(j0 + j) * k + j0 + i];
        }
    }
}

/* Moves a and b of the unit to the best of the trials around them. */
static void NAME(search_unit)(const lp_sweep *sweep, const lp_coder *coder, const REAL *r, int64_t j0, int n, const lanes *c,
                              lp_unit *unit)
{
    int reach_b = coder->step_b ? sweep->reach_b : 0;
    lanes best, scale, offset, loss;
    for (int l = 0; l < LP_TILE; l++) {
        scale[l] = (REAL)unit->scale[l];
        offset[l] = (REAL)unit->offset[l];
    }
    NAME(try_unit)(&coder->grid, r, sweep->k, j0, n, c, scale, offset, best);
    for (int round = 0; round < sweep->rounds; round++) {
        int32_t a0[LP_TILE], b0[LP_TILE], a[LP_TILE], b[LP_TILE];
        bool moved = false;
        memcpy(a0, unit->a, sizeof a0);
        memcpy(b0, unit->b, sizeof b0);
        for (int i = -sweep->reach; i <= sweep->reach; i++)
            for (int m = -reach_b; m <= reach_b; m++) {
                float trial_scale[LP_TILE], trial_offset[LP_TILE];
                bool valid[LP_TILE];
                if (i == 0 && m == 0) continue;
                for (int l = 0; l < LP_TILE; l++) {
                    a[l] = a0[l] + i * coder->step;
                    b[l] = b0[l] + m * coder->step_b;
                }
                coder->set(coder, a, b, unit, trial_scale, trial_offset, valid);
                for (int l = 0; l < LP_TILE; l++) {
                    scale[l] = (REAL)(valid[l] ? trial_scale[l] : unit->scale[l]);
                    offset[l] = (REAL)(valid[l] ? trial_offset[l] : unit->offset[l]);
                }
                NAME(try_unit)(&coder->grid, r, sweep->k, j0, n, c, scale, offset, loss);
                for (int l = 0; l < LP_TILE; l++) {
                    if (!valid[l] || !(loss[l] < best[l])) continue;
                    best[l] = loss[l];
                    unit->a[l] = a[l];
                    unit->b[l] = b[l];
                    unit->scale[l] = trial_scale[l];
                    unit->offset[l] = trial_offset[l];
                    moved = true;
                }
            }
        if (!moved) return;
    }
}

/* Columns at positions [j0, j1); d gets w - q of each. */
static void NAME(round_columns)(const lp_sweep *sweep, const lp_coder *coder, lp_tile_rows *rows, int64_t j0, int64_t j1, lanes *d)
{
    const lanes *w = rows->w;
    lanes *s = rows->s, *q = rows->q, inverse = {0}, scale = {0}, offset = {0}, x, index;
    const REAL *r = sweep->r;
    const lp_unit *last = NULL;
    for (int64_t j = j0; j < j1; j++) {
        int64_t column = sweep->order[j];
        const lp_unit *unit = &rows->unit[column / coder->unit];
        const REAL pivot = r[j * sweep->k + j], over = (REAL)1 / pivot;
        if (unit != last) {
            for (int l = 0; l < LP_TILE; l++) {
                scale[l] = (REAL)unit->scale[l];
                offset[l] = (REAL)unit->offset[l];
            }
            NAME(invert)(scale, inverse);
            last = unit;
        }
        for (int l = 0; l < LP_TILE; l++) x[l] = w[column][l] + s[j][l] * over;
        NAME(nearest)(&coder->grid, x, inverse, scale, offset, q[column], index);
        for (int l = 0; l < LP_TILE; l++) {
            REAL e = (x[l] - q[column][l]) * pivot;
            rows->loss[l] += (double)(e * e);
            d[j - j0][l] = w[column][l] - q[column][l];
            rows->code[column * LP_TILE + l] = (uint8_t)index[l];
        }
        NAME(feed)(r, sweep->k, (const lanes *)(d + (j - j0)), j, j + 1, j + 1, j1, s);
    }
}

static lp_status NAME(fit_block)(const lp_sweep *sweep, const lp_coder *coder, lp_tile_rows *rows, int64_t column, bool as_it_is)
{
    lanes c[LP_SWEEP_COLS];
    float now[LP_SWEEP_COLS][LP_TILE];
    const lanes *w = rows->w;
    const int n = sweep->k - column < coder->block ? (int)(sweep->k - column) : coder->block;
    if (as_it_is) memcpy(c, w + column, (size_t)n * sizeof *c);
    else NAME(current)(sweep->r, sweep->k, w, rows->s, column, n, c);
    for (int j = 0; j < n; j++)
        for (int l = 0; l < LP_TILE; l++) now[j][l] = (float)c[j][l];
    return coder->fit(coder, n, (const float(*)[LP_TILE])now, sweep->importance + column, rows->unit + column / coder->unit);
}

/* Columns in their own order, each unit's scale chosen when its first column is reached. */
static lp_status NAME(sweep_in_order)(const lp_sweep *sweep, const lp_coder *coder, lp_tile_rows *rows)
{
    lanes d[LP_SWEEP_COLS], c[LP_UNIT_MAX];
    lanes *s = rows->s;
    int64_t k = sweep->k, unit = coder->unit;
    for (int64_t first = 0; first < k; first += LP_SWEEP_COLS) {
        int64_t last = k - first < LP_SWEEP_COLS ? k : first + LP_SWEEP_COLS;
        for (int64_t j = first; j < last; j += unit) {
            const int64_t end = last - j < unit ? last : j + unit;
            if (j % coder->block == 0) LP_TRY(NAME(fit_block)(sweep, coder, rows, j, false));
            if (sweep->reach > 0 && coder->step) {
                NAME(current)(sweep->r, k, rows->w, (const lanes *)s, j, (int)(end - j), c);
                NAME(search_unit)(sweep, coder, sweep->r, j, (int)(end - j), (const lanes *)c, &rows->unit[j / unit]);
            }
            NAME(round_columns)(sweep, coder, rows, j, end, d + (j - first));
            NAME(feed)(sweep->r, k, (const lanes *)(d + (j - first)), j, end, end, last, s);
        }
        NAME(feed)(sweep->r, k, (const lanes *)d, first, last, last, k, s);
    }
    return LP_OK;
}

/* Columns in any order, scales chosen before. */
static lp_status NAME(sweep_fixed)(const lp_sweep *sweep, const lp_coder *coder, lp_tile_rows *rows)
{
    lanes d[LP_SWEEP_COLS];
    lanes *s = rows->s;
    int64_t k = sweep->k;
    for (int64_t column = 0; column < k && !sweep->given; column += coder->block)
        LP_TRY(NAME(fit_block)(sweep, coder, rows, column, true));
    for (int64_t first = 0; first < k; first += LP_SWEEP_COLS) {
        int64_t last = k - first < LP_SWEEP_COLS ? k : first + LP_SWEEP_COLS;
        for (int64_t j = first; j < last; j += LP_SWEEP_STEP) {
            int64_t end = last - j < LP_SWEEP_STEP ? last : j + LP_SWEEP_STEP;
            NAME(round_columns)(sweep, coder, rows, j, end, d + (j - first));
            NAME(feed)(sweep->r, k, (const lanes *)(d + (j - first)), j, end, end, last, s);
        }
        NAME(feed)(sweep->r, k, (const lanes *)d, first, last, last, k, s);
    }
    return LP_OK;
}

/* Aims at W z where the columns read x: with y = W E[(z - x) x^T] the best weights are W + y H^-1, and the error that a row starts
 * with is y R^-T: s R^T = y. */
static void NAME(align)(const lp_sweep *sweep, lp_tile_rows *rows)
{
    int64_t k = sweep->k;
    const REAL *r = sweep->r;
    lanes *s = rows->s, *y = rows->y;
    memset(y, 0, (size_t)k * sizeof *y);
    for (int64_t first = 0; first < k; first += LP_SWEEP_COLS) {
        int64_t last = k - first < LP_SWEEP_COLS ? k : first + LP_SWEEP_COLS;
        NAME(feed)(sweep->cross, k, (const lanes *)rows->w + first, first, last, 0, k, y);
    }
    for (int64_t i = k - 1; i >= 0; i--) {
        const REAL *restrict row = r + i * k, over = (REAL)1 / row[i];
        vector sum = *NAME(as_const)((const lanes *)y + sweep->order[i]);
        for (int64_t j = i + 1; j < k; j++) sum -= *NAME(as_const)((const lanes *)s + j) * row[j];
        *NAME(as_vector)(s + i) = sum * over;
    }
}

static lp_status NAME(sweep_rows)(const lp_sweep *sweep, const lp_coder *coder, lp_tile_rows *rows)
{
    for (int l = 0; l < LP_TILE; l++) rows->loss[l] = 0.0;
    if (sweep->cross) NAME(align)(sweep, rows);
    return sweep->fixed || sweep->given ? NAME(sweep_fixed)(sweep, coder, rows) : NAME(sweep_in_order)(sweep, coder, rows);
}

#undef lanes
#undef vector
