/* What the studies share: a table of figures beside the cards', test data, block quantizers whose rounding is lowp's.
 */
#ifndef LOWP_STUDY_H
#define LOWP_STUDY_H

#include <stdbool.h>
#include <stdint.h>

#include <lowp/format.h>
#include <lowp/quantize.h>
#include <lowp/round.h>

/* ---- results ----------------------------------------------------------------------------------------------------- */

/* One study a program. The arguments are [--tap] [FILE]: FILE gets the rows as JSON, --tap prints a test a row instead
 * of the table. A row's text is copied. */
typedef struct study study;
study *study_begin(int argc, char **argv, const char *name, const char *title, const char *source);

/* Rows that follow stand under this heading. */
void study_heading(study *s, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A computed figure beside the same one in the card: within if |ours - expected| <= tolerance. */
void study_figure(study *s, double ours, double expected, double tolerance, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* The same from several samples of random data: ours is their mean. A card's figure comes from one sample: where it
 * lies outside the tolerance, but within 3 standard deviations of such a sample more, the row says so. */
void study_sampled(study *s, const double *ours, int n, double expected, double tolerance, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

/* A CRC-32 or other word of bits, which must be equal. */
void study_word(study *s, uint32_t ours, uint32_t expected, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A statement that must hold: ours relation rival; relation is '<' or '>' or '='. */
void study_claim(study *s, double ours, char relation, double rival, const char *format, ...)
    __attribute__((format(printf, 5, 6)));

/* A measured figure to which no card has a counterpart. */
void study_measured(study *s, double ours, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Of the last row: the figure of the paper, the same data by something simpler, a reason. A row that is out of its
 * tolerance or whose statement fails, and has a reason, is reported as such and does not fail the study. */
void study_paper(study *s, const char *format, ...) __attribute__((format(printf, 2, 3)));
void study_rival(study *s, double value, const char *name);
void study_reason(study *s, const char *text);

/* What the study shows, in a sentence or two. */
void study_finding(study *s, const char *text);

/* The path of a file beside the JSON with another ending, NULL if no JSON is written. */
const char *study_beside(study *s, const char *ending);

/* Prints, writes and frees; the exit status: 0, or 1 if a row without a reason is out. */
int study_end(study *s);

/* ---- data -------------------------------------------------------------------------------------------------------- */

typedef enum study_data {
    STUDY_UNIFORM, /* -1 .. 1 */
    STUDY_GAUSSIAN,
    STUDY_LAPLACE,
    STUDY_T5, /* Student's t, 5 degrees of freedom */
    STUDY_T3,
    STUDY_OUTLIERS /* Gaussian, 1 % of them times 8 */
} study_data;

/* n values; the same for the same seed. The caller frees. */
float *study_values(study_data data, int64_t n, uint64_t seed);

uint64_t study_random(uint64_t *state); /* 64 bits (splitmix64) */
double study_uniform(uint64_t *state);  /* (0, 1) */
double study_normal(uint64_t *state);

/* The cards' near-Gaussian vector: four steps of a linear congruential generator a value, from 1. */
float *study_card_values(int64_t n);

void *study_allocate(int64_t n, int64_t size); /* zeros; ends the program where there is no memory */

/* ---- quantizers -------------------------------------------------------------------------------------------------- */

/* The element that a text describes; ends the program if it describes none. Lives until the program ends. */
const lp_element *study_element(const char *text);

double study_largest(const lp_element *element); /* largest finite value */

/* How the scale of a block follows from its largest magnitude a and the element's largest value q. */
typedef enum study_scale {
    STUDY_SCALE_REAL,  /* a / q, float32 */
    STUDY_SCALE_CEIL,  /* least power of two >= a / q */
    STUDY_SCALE_FLOOR, /* 2^(floor(log2 a) - floor(log2 q)): OCP's rule */
    STUDY_SCALE_E4M3   /* a / q, rounded to e4m3 under one float32 scale of the tensor (NVFP4) */
} study_scale;

/* y = what x becomes in blocks of `block` values (n for one scale) with a symmetric range. q is the value that the
 * largest magnitude of a block is mapped to; 0 stands for the element's largest. */
void study_quantize(const lp_element *element, study_scale scale, double q, const float *x, int64_t n, int64_t block,
                    float *y);

/* y = s * round(x / s), saturating symmetrically, ties as the element has them. */
void study_round_scaled(const lp_element *element, const float *x, int64_t n, double s, float *y);

/* y = what a file in this format holds of n_rows rows of k values. */
void study_packed(const char *text, lp_search search, const float *x, int64_t n_rows, int64_t k, float *y);

/* 10 log10 (sum x^2 / sum (x - y)^2), infinite where nothing was lost. */
double study_decibel(const float *x, const float *y, int64_t n);

/* The Wasserstein distance of two samples of the same size on the line; both get sorted. */
double study_wasserstein(double *a, double *b, int64_t n);

/* The one scale of n values with the least squared error, tried from `widest` * max|x| / q downward in steps of 1 /
 * n_steps. */
double study_best_decibel(const lp_element *element, double q, const float *x, int64_t n, double widest, int n_steps,
                          double *best_scale);

#endif
