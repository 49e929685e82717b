/* A matrix rounded by error feedback: rows to tiles, tiles over threads, codes to bytes. */
#ifndef LP_QUANTIZE_SOLVE_SOLVE_H
#define LP_QUANTIZE_SOLVE_SOLVE_H

#include <lowp/pool.h>
#include <lowp/tensor.h>

#include "calibrate/moments.h"
#include "quantize/solve/codec.h"
#include "quantize/solve/factor.h"

typedef struct lp_solve_options {
    double damp;         /* of the mean of the diagonal of H */
    bool by_energy;      /* columns of large input first; scales are fitted before */
    bool fixed;          /* scales are fitted on the weights as they are, before the first column */
    bool feedback;       /* false: each code is the nearest one, only scales are searched */
    int reach, reach_b;  /* of the search for scales by the error with feedback, steps in each direction */
    int rounds;
    int passes;          /* of coordinate descent afterwards; 0: none */
    int descent_reach;   /* of its steps of scales; 0: codes alone */
    double align;        /* how much of the difference to the float network's inputs is made good: 0 .. 1 */
} lp_solve_options;

/* What all weights of a group share. */
typedef struct lp_solver {
    const lp_solve_options *options;
    int64_t k;
    lp_factor factor;
    float *h;            /* [k][k] damped, for descent; NULL without */
    float *cross;        /* [k][k]; NULL without */
    float *importance;   /* [k] mean squares */
} lp_solver;

lp_status lp_solver_create(const lp_solve_options *options, const lp_moments *moments, lp_pool *pool, lp_solver *out);
void lp_solver_free(lp_solver *solver);

/* bytes: all rows of the tensor in the codec's packing. loss: sum of squared errors with feedback, damping included.
 * Errors: LP_INPUT (a value or scale that is not finite). */
lp_status lp_solve_matrix(const lp_solver *solver, const lp_codec *codec, const lp_tensor *tensor, lp_pool *pool, uint8_t *bytes,
                          double *loss);

#endif
