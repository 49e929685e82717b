/* Block floating point and K-sort: what a permutation of key channels does to logits. Card:
 * formats/block-floating-point. */
#include <math.h>
#include <stdlib.h>

#include "study.h"

enum { TOKENS = 512, QUERIES = 64, DIM = 128 };

static void show_vector(study *s)
{
    static const int int4[32] = {0, 0, 0, 0,  0,  3, -2, 0, 0, 0,  0, -1, 0, 5, 0, 0,
                                 0, 0, 1, -3, -1, 0, 0,  0, 1, -1, 1, -6, 0, 0, 0, 0},
                     int8[32] = {-1, 0,  4,  -7,  4,   45, -38, 1, -3, -1,  7,  -18,  1, 76, -1, 1,
                                 6,  -4, 10, -43, -12, 1,  -2,  0, 10, -12, 14, -100, 0, 2,  -5, -1};
    float x[32], y[32];
    for (int i = 0; i < 32; i++) x[i] = (float)((((37 * i + 11) % 101) - 50) * ldexp(1, i % 7 - 5));
    study_heading(s, "the card's vector of 32");
    for (int wide = 0; wide < 2; wide++) {
        study_quantize(study_element(wide ? "i8" : "i4"), STUDY_SCALE_FLOOR, 0, x, 32, 32, y);
        int differ = 0;
        for (int i = 0; i < 32; i++) differ += y[i] != (float)(wide ? int8[i] : int4[i] * 16);
        study_figure(s, differ, 0, 0, "%d bits: codes that differ", wide ? 8 : 4);
        study_figure(s, study_decibel(x, y, 32), wide ? 40.66 : 17.01, 0.005, "%d bits, dB", wide ? 8 : 4);
    }
    float mx[32];
    study_packed("mxint8", LP_SEARCH_RTN, x, 1, 32, mx);
    int differ = 0;
    for (int i = 0; i < 32; i++) differ += mx[i] != y[i];
    study_figure(s, differ, 0, 0, "values that differ from MXINT8's");
}

typedef struct heads {
    float k[TOKENS][DIM], q[QUERIES][DIM], norm[DIM];
} heads;

static int by_norm(const void *a, const void *b)
{
    const float *x = *(const float *const *)a, *y = *(const float *const *)b;
    return *x < *y ? -1 : *x > *y;
}

static void permutation(const heads *h, int *order)
{
    const float *at[DIM];
    for (int c = 0; c < DIM; c++) at[c] = &h->norm[c];
    qsort(at, DIM, sizeof *at, by_norm);
    for (int c = 0; c < DIM; c++) order[c] = (int)(at[c] - h->norm);
}

static void draw(heads *h, double beta, uint64_t seed)
{
    double scale[DIM];
    for (int c = 0; c < DIM; c++) scale[c] = exp(study_normal(&seed));
    for (int i = 0; i < 6; i++) scale[study_random(&seed) % DIM] *= 12;
    for (int c = 0; c < DIM; c++) {
        double squares = 0;
        for (int t = 0; t < TOKENS; t++) {
            h->k[t][c] = (float)(scale[c] * study_normal(&seed));
            squares += (double)h->k[t][c] * h->k[t][c];
        }
        for (int t = 0; t < QUERIES; t++) h->q[t][c] = (float)(pow(scale[c], -beta) * study_normal(&seed));
        h->norm[c] = (float)sqrt(squares);
    }
}

/* Signal to noise of the logits with keys in blocks of n channels, taken in this order. */
static double logits(const heads *h, const int *order, int n)
{
    float(*k)[DIM] = study_allocate(TOKENS, sizeof *k), (*y)[DIM] = study_allocate(TOKENS, sizeof *y);
    for (int t = 0; t < TOKENS; t++)
        for (int c = 0; c < DIM; c++) k[t][c] = h->k[t][order ? order[c] : c];
    study_quantize(study_element("i4"), STUDY_SCALE_FLOOR, 0, &k[0][0], TOKENS * DIM, n, &y[0][0]);
    double signal = 0, noise = 0;
    for (int i = 0; i < QUERIES; i++)
        for (int t = 0; t < TOKENS; t++) {
            double exact = 0, ours = 0;
            for (int c = 0; c < DIM; c++) {
                double q = h->q[i][order ? order[c] : c];
                exact += q * k[t][c];
                ours += q * y[t][c];
            }
            signal += exact * exact;
            noise += (exact - ours) * (exact - ours);
        }
    free(k);
    free(y);
    return 10 * log10(signal / noise);
}

static void show_sorting(study *s)
{
    enum { SAMPLES = 8 };
    static const struct {
        double beta;
        int n;
        double plain, sorted;
    } rows[] = {{0, 16, 17.3, 15.9},  {0, 32, 15.5, 13.7}, {0.5, 16, 10.1, 14.1},
                {0.5, 32, 8.4, 10.3}, {1, 16, 5.7, 15.7},  {1, 32, 4.3, 11.1}};
    heads *h = study_allocate(1, sizeof *h);
    for (int r = 0; r < 6; r++) {
        double plain[SAMPLES], sorted[SAMPLES], gain = 0, unchanged = 0;
        for (int k = 0; k < SAMPLES; k++) {
            int order[DIM];
            draw(h, rows[r].beta, 1000 + (uint64_t)k);
            permutation(h, order);
            plain[k] = logits(h, NULL, rows[r].n);
            sorted[k] = logits(h, order, rows[r].n);
            gain += (sorted[k] - plain[k]) / SAMPLES;
            if (r % 2) unchanged = fmax(unchanged, fabs(logits(h, order, DIM) - logits(h, NULL, DIM)));
        }
        study_heading(s, "4 bits, blocks of %d, keys of scale s, queries of s^-%g: dB of the logits", rows[r].n,
                      rows[r].beta);
        /* The card's two seeds differ by up to 2.8 dB. */
        study_sampled(s, plain, SAMPLES, rows[r].plain, 2.8, "not sorted");
        study_sampled(s, sorted, SAMPLES, rows[r].sorted, 2.8, "sorted");
        if (rows[r].beta == 0)
            study_figure(s, gain, -2.3, 1.3, "gain by sorting: it loses");
        else if (rows[r].beta == 1) {
            study_claim(s, gain, '>', 6, "gain by sorting");
            study_paper(s, "gains for blocks of 64 and 32");
        } else
            study_claim(s, gain, '>', 0, "gain by sorting");
        if (r % 2) study_figure(s, unchanged, 0, 1e-9, "blocks of %d: change by sorting", DIM);
    }
    free(h);
}

/* Integer queries and keys, rotated by RoPE in pairs (i, i + DIM / 2): how many logits a permutation of both changes.
 */
static int changed(bool rotary, bool pairs, uint64_t seed)
{
    int order[DIM], count = 0;
    double q[DIM], k[DIM];
    for (int c = 0; c < DIM; c++) order[c] = c;
    int n = pairs ? DIM / 2 : DIM;
    for (int i = n - 1; i > 0; i--) {
        int j = (int)(study_random(&seed) % (uint64_t)(i + 1)), o = order[i];
        order[i] = order[j];
        order[j] = o;
    }
    for (int c = 0; pairs && c < DIM / 2; c++) order[DIM / 2 + c] = order[c] + DIM / 2;
    for (int trial = 0; trial < 100; trial++) {
        for (int c = 0; c < DIM; c++) {
            q[c] = (double)(study_random(&seed) % 255) - 127;
            k[c] = (double)(study_random(&seed) % 15) - 7;
        }
        /* Positions 5 and 3; the tables go with the pairs where pairs stay together, else by place. */
        double logit[2] = {0, 0}, magnitude = 0;
        for (int permuted = 0; permuted < 2; permuted++)
            for (int i = 0; i < DIM / 2; i++) {
                int a = permuted ? order[i] : i, b = permuted ? order[i + DIM / 2] : i + DIM / 2;
                double angle = rotary ? 2 * pow(10000, -2.0 * (permuted && pairs ? order[i] : i) / DIM) : 0;
                double c = rotary ? cos(angle) : 1, sn = rotary ? sin(angle) : 0;
                logit[permuted] += c * (q[a] * k[a] + q[b] * k[b]) + sn * (q[a] * k[b] - q[b] * k[a]);
                magnitude += fabs(q[a] * k[a]) + fabs(q[b] * k[b]);
            }
        count += rotary ? fabs(logit[0] - logit[1]) > 1e-12 * magnitude : logit[0] != logit[1];
    }
    return count;
}

static void show_exactness(study *s)
{
    study_heading(s, "logits changed by permuting queries and keys alike, of 100");
    study_figure(s, changed(false, false, 1010), 0, 0, "integers, any permutation: exact");
    study_figure(s, changed(true, true, 1011), 0, 0, "RoPE, pairs kept and tables permuted");
    study_claim(s, changed(true, false, 1012), '>', 90, "RoPE, pairs split: must fail");
}

int main(int argc, char **argv)
{
    study *s = study_begin(argc, argv, "block-floating-point", "Block floating point with sorted key channels",
                           "Accurate Block Quantization in LLMs with Outliers (2024)");
    show_vector(s);
    show_sorting(s);
    show_exactness(s);
    study_finding(s, "Sorting key channels gains 6 dB and more where large queries meet small keys, and loses where "
                     "queries are all alike: "
                     "whether to sort has to be measured on the model's queries.");
    return study_end(s);
}
