/* What the kernel tests share: buffers between guard pages, random and adversarial inputs, comparison of bits, weights. */
#ifndef LP_TESTS_KERNEL_HARNESS_H
#define LP_TESTS_KERNEL_HARNESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernel/kernel.h"

/* A buffer whose last byte touches a page that cannot be read or written; another such page lies before it. The start is
 * aligned to the largest power of two (up to 64) that divides the size. */
void *guarded(size_t n_bytes);
void free_all_guarded(void); /* all that guarded() gave since the last call */

/* Deterministic randomness. */
void seed_random(uint64_t seed);
uint64_t random_word(void);
int64_t random_below(int64_t n);
float random_normal(void); /* about N(0, 1) */

/* How inputs are drawn. */
typedef enum draw {
    DRAW_NORMAL,  /* N(0, 1), some zeros */
    DRAW_EXTREME, /* any finite float, signed zeros, subnormals, the largest */
    DRAW_SPECIAL, /* like EXTREME, with a few NaN and infinities */
    DRAW_COUNT
} draw;
void fill_floats(float *x, int64_t n, draw how);

/* Number of values that differ; NaNs compare equal whatever their bits. */
int64_t count_different(const float *a, const float *b, int64_t n);

/* A random matrix of a packing, its tiles, and the tensor that they come from, between guard pages. Normal: finite
 * scales; EXTREME and SPECIAL: any bytes. dims: rows are split over dim[1] and dim[2] where that works out. */
typedef struct weight_box {
    lp_tensor tensor;
    lp_weight weight;
} weight_box;
void make_weight(weight_box *box, const lp_packing *packing, int64_t rows, int64_t cols, draw how, bool with_tiles);

/* n activation rows of random values, quantized by the reference, between guard pages. */
void *make_activations(int64_t cols, int64_t n, draw how);

/* Speeds: returns the exit code. */
int run_bench(int argc, char **argv);

#endif
