/* Candidates: the whole model in each format, so that a tensor's option is what a quantizer of any recipe wrote. */
#ifndef LP_ALLOCATE_CANDIDATES_H
#define LP_ALLOCATE_CANDIDATES_H

#include <lowp/allocate.h>

typedef struct lp_candidate {
    const lp_packing *packing; /* owned; freed if it is one of our own */
    lp_gguf *file;
    uint64_t n_bytes; /* of the file */
} lp_candidate;

typedef struct lp_candidates {
    lp_candidate *list;
    int n;
} lp_candidates;

/* Quantizes to every candidate format. A file is removed as soon as it is open: nothing is left behind however the program
 * ends. Errors: LP_USAGE for a format that cannot be written here. */
lp_status lp_candidates_make(const lp_model *model, const lp_allocate_options *options, const lp_progress *progress,
                             lp_candidates *out);
void lp_candidates_free(lp_candidates *candidates);

/* The candidates' packing that stores the same: one that outlives the candidates' files. */
const lp_packing *lp_candidates_packing(const lp_candidates *candidates, const lp_packing *packing);

/* The candidate whose file comes closest to the budget from below, or the smallest. */
int lp_candidates_base(const lp_candidates *candidates, uint64_t n_bytes);

#endif
