/* The column solver: weights of sixteen rows rounded column by column, each column's error fed to the columns behind it.
 * Card: ptq/gptq.md.
 *
 * Sixteen rows run side by side, one lane a row; a row's sums run in the order of columns, so that the bits depend on
 * neither vectors, threads nor the size of a block. With H = R R^T (factor.h), d = w - q and s[j] the sum over i < j of
 * fl(d[i] R[i][j]) in that order, the error of column j is e[j] = s[j] + d[j] R[j][j]: the code nearest to
 * w[j] + s[j] / R[j][j] makes it least. The sum of e^2 is tr((W - Q) H (W - Q)^T). */
#ifndef LP_QUANTIZE_SOLVE_SWEEP_H
#define LP_QUANTIZE_SOLVE_SWEEP_H

#include <stdbool.h>
#include <stdint.h>

#include <lowp/status.h>

enum {
    LP_TILE = 16,       /* rows */
    LP_SWEEP_COLS = 256, /* columns whose errors are kept before they reach the rest of the row; a multiple of every block */
    LP_SWEEP_STEP = 32,  /* columns that are rounded in one go where no scale is to be chosen */
    LP_UNIT_MAX = 256    /* columns that share a scale */
};

/* The values of a code at scale 1: whole numbers low .. high, or a table. */
typedef struct lp_grid {
    float low, high;
    int n_levels;          /* of a table; 0: whole numbers */
    float level[256];      /* ascending */
    float middle[256];     /* between level[i] and level[i + 1]; a value on it takes the lower */
} lp_grid;

/* Scale and offset of one unit in each row: value = scale * level + offset. a and b are what is stored for them. */
typedef struct lp_unit {
    float scale[LP_TILE], offset[LP_TILE];
    float super_scale[LP_TILE], super_offset[LP_TILE]; /* 1, or what a and b multiply */
    int32_t a[LP_TILE], b[LP_TILE];
} lp_unit;

/* All that the solver sees of a format (COD). */
typedef struct lp_coder lp_coder;
struct lp_coder {
    lp_grid grid;
    int unit;      /* columns that share a scale; the last of a row may have fewer */
    int block;     /* columns that are fitted at once, a multiple of unit that divides LP_SWEEP_COLS; the last may have fewer */
    int step;      /* of a between two neighbours that are worth a trial; 0: nothing to search */
    int step_b;    /* of b; 0: no offset, or a fixed one */
    /* Units of n columns, a block or what is left of the row, from what their weights stand at: c[n][LP_TILE]. importance: [n],
     * of each column. Errors: LP_INPUT (a scale is not finite). */
    lp_status (*fit)(const lp_coder *coder, int n, const float (*c)[LP_TILE], const float *importance, lp_unit *unit);
    /* Sets scale and offset from a and b of each row. False in a row: such codes do not exist, nothing is set there. */
    void (*set)(const lp_coder *coder, const int32_t a[LP_TILE], const int32_t b[LP_TILE], const lp_unit *unit,
                float scale[LP_TILE], float offset[LP_TILE], bool valid[LP_TILE]);
    const void *data;
};

typedef struct lp_sweep {
    int64_t k;
    const int64_t *order;    /* [k] column at each position */
    const void *r;           /* [k][k] */
    const void *cross;       /* [k][k] of columns, moments.h: the rows aim at what the float network's layer gives; NULL */
    const float *importance; /* [k] of columns: what the reference search weighs by */
    bool fixed;              /* all units are fitted on the weights as they come, before the first column is rounded; needed
                              * if order is not ascending */
    bool given;              /* units are given and not fitted at all */
    int reach, reach_b;      /* trials in each direction around a fitted a and b, by the error with feedback; 0: none */
    int rounds;              /* of such trials, around the best so far */
} lp_sweep;

/* Rows of a tile in every stage. Arrays are of float, or of double in the double instance. */
typedef struct lp_tile_rows {
    const void *w;     /* [k][LP_TILE] weights */
    void *s;           /* [k][LP_TILE] by position; in: 0; out: undefined */
    void *y;           /* [k][LP_TILE] out: W times cross; NULL without */
    void *q;           /* [k][LP_TILE] out: values of the codes */
    uint8_t *code;     /* [k][LP_TILE] out: index of the level (whole numbers: level - low) */
    lp_unit *unit;     /* [k / unit, rounded up] */
    double loss[LP_TILE]; /* out: sum of e^2 in order of columns */
} lp_tile_rows;

typedef lp_status lp_sweep_fn(const lp_sweep *sweep, const lp_coder *coder, lp_tile_rows *rows);
lp_sweep_fn lp_sweep_ref, lp_sweep_avx2, lp_sweep_avx512, lp_sweep_f64;

#endif
