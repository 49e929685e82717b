/* The arithmetic of a forward pass: one table of functions, filled with the reference and overridden per instruction set.
 *
 * Every function states its result bit for bit; the reference in ref/ is that statement in C, and each fast path gives
 * the same bits (NaNs compare equal). Sums of integers are exact in any order; each float chain has a written order.
 * Threads split outputs (tiles of 16 rows, tokens, heads), never a chain. See shared contract in docs/architecture.md.
 */
#ifndef LP_KERNEL_KERNEL_H
#define LP_KERNEL_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#include <lowp/isa.h>
#include <lowp/tensor.h>

#include "format/rows.h"

enum {
    LP_TILE_ROWS = 16,        /* output rows of a tile: one SIMD lane is one row */
    LP_ACT_BLOCK = 32,        /* values per activation scale */
    LP_ATTENTION_GROUP = 256, /* positions per attention group and cache page */
    LP_REDUCE_LANES = 16,
    LP_REDUCE_CHUNK = 512
};

/* ---- activations ------------------------------------------------------------------------------------------------- */

/* One row of k activations as int8 in blocks of 32; k is a multiple of 32. A row lies in one buffer of
 * lp_act_row_bytes(k) bytes, aligned to 64; the arrays follow each other in this order. */
typedef struct lp_act_row {
    int8_t *code;    /* [k] */
    float *scale;    /* [k/32] s_a */
    int32_t *sum16;  /* [k/16] exact sums of codes */
    int32_t *sum32;  /* [k/32] */
    float *h16;      /* [k/16] fl((float)sum16 * s_a) */
    float *h32;      /* [k/32] fl((float)sum32 * s_a) */
} lp_act_row;

static inline size_t lp_act_row_bytes(int64_t k)
{
    size_t n = (size_t)k;
    return (n + n / 32 * 4 + n / 16 * 4 + n / 32 * 4 + n / 16 * 4 + n / 32 * 4 + 63) & ~(size_t)63;
}

static inline lp_act_row lp_act_row_at(void *buffer, int64_t k, int64_t row)
{
    lp_act_row r;
    uint8_t *p = (uint8_t *)buffer + (size_t)row * lp_act_row_bytes(k);
    size_t n = (size_t)k;
    r.code = (int8_t *)p;
    p += n;
    r.scale = (float *)(void *)p;
    p += n / 32 * 4;
    r.sum16 = (int32_t *)(void *)p;
    p += n / 16 * 4;
    r.sum32 = (int32_t *)(void *)p;
    p += n / 32 * 4;
    r.h16 = (float *)(void *)p;
    p += n / 16 * 4;
    r.h32 = (float *)(void *)p;
    return r;
}

/* ---- weights, repacked -------------------------------------------------------------------------------------------- */

/* A matrix y = W x as the kernels want it: tiles of 16 output rows, each one sequential stream; the last tile is padded
 * with rows of zeros. The layout is the same for every ISA (kernel/pack.c describes it). */
typedef struct lp_weight {
    const lp_tensor *source;      /* canonical bytes: name, packing, dim[0] = cols, rows = product of the others */
    int64_t rows, cols;
    const lp_unit_class *units;   /* of a quantized packing; NULL: float */
    size_t tile_bytes;            /* a multiple of 64 */
    const uint8_t *tiles;         /* [ceil(rows/16)][tile_bytes]; NULL: computed from the canonical bytes (f32 activations) */
} lp_weight;

size_t lp_weight_tile_bytes(const lp_packing *packing, int64_t cols);

/* Writes tile (rows 16*tile .. +15) to dst[tile_bytes], aligned to 64. */
void lp_weight_pack_tile(const lp_tensor *source, int64_t tile, uint8_t *dst);

/* Scratch bytes that one thread needs for any linear_* call with this many columns. */
size_t lp_linear_scratch_bytes(int64_t cols);

/* ---- the table ----------------------------------------------------------------------------------------------------- */

typedef struct lp_kernels {
    lp_isa isa;

    /* Activations to int8, per block of 32: a = max|x|, q = rne(x * fl(127/a)), s = fl(a/127); a < 2^-100: zeros and
     * s = 0. Sums and h as lp_act_row says. A non-finite x in the block: codes 0 and s = NaN, h = NaN. */
    void (*quantize_i8)(const float *x, int64_t k, const lp_act_row *row);

    /* y[m*ldy + r] for rows r of tiles [tile0, tile1) (r < w->rows) and tokens m in [0, n). act: rows of lp_act_row
     * buffers for w->cols. Per output: for units u ascending, A_u = exact sum of (table[code]-zero)*x, t = fl(w_u*s_a),
     * y = fmaf((float)A_u, t, y) from +0; with an offset z = fmaf(o_u, h_u, z) ascending from +0, y = fl(y + z). */
    void (*linear_i8)(const lp_weight *w, int64_t tile0, int64_t tile1, const void *act, int64_t n, float *y,
                      int64_t ldy, void *scratch);

    /* The same for float weights (F32, F16, BF16), or quantized ones decoded by their formula (w->tiles NULL): y = chain
     * of fmaf(w, x, y) in ascending k from +0. x: token m at x + m*ldx. */
    void (*linear_f32)(const lp_weight *w, int64_t tile0, int64_t tile1, const float *x, int64_t ldx, int64_t n,
                       float *y, int64_t ldy, void *scratch);

    /* y = fl(fl(x*r)*w), r = fl(1/fl(sqrt(fl(fl(S/n)+eps)))); S: lane j sums fmaf(x,x,lane) over k = j mod 16 within
     * chunks of 512 from +0, lanes by tree (j,j+8),(j,j+4),(j,j+2),(j,j+1), chunks by the left-balanced tree. */
    void (*rms_norm)(const float *x, const float *weight, int64_t n, float epsilon, float *y);

    /* Adjacent pairs (2i, 2i+1) of n_heads heads of size d: a' = fmaf(a, c, -fl(b*s)), b' = fmaf(a, s, fl(b*c)).
     * cos, sin: [d/2] of the token's position. In place. */
    void (*rope_pairs)(float *x, int64_t n_heads, int64_t d, const float *cosine, const float *sine);

    /* The same for pairs (i, i + r/2) of the first r values of each head; the others stay. cos, sin: [r/2]. In place. */
    void (*rope_halves)(float *x, int64_t n_heads, int64_t d, int64_t r, const float *cosine, const float *sine);

    /* m = fl(S/n) with S the sum of x by the lanes and trees of rms_norm (lane = fl(lane + x)); c = fl(x - m);
     * y = fl(fl(c*r)*w) with r of c as in rms_norm. y is not x. */
    void (*layer_norm)(const float *x, const float *weight, int64_t n, float epsilon, float *y);

    /* y = fl(silu(gate) * up), silu(z) = fl(z / fl(1 + exp(-z))). y may be gate. */
    void (*silu_mul)(const float *gate, const float *up, int64_t n, float *y);

    /* y = fl(gelu(gate) * up); y = gelu(x): the tanh form, by the steps of lp_geluf. y may be gate or x. */
    void (*gelu_mul)(const float *gate, const float *up, int64_t n, float *y);
    void (*gelu)(const float *x, int64_t n, float *y);

    /* y = fl(a + b). y may be a. */
    void (*add)(const float *a, const float *b, int64_t n, float *y);

    /* y = fl(x * factor). y may be x. */
    void (*scale)(const float *x, float factor, int64_t n, float *y);

    /* y = fl(cap * tanh(fl(x / cap))), tanh by the steps of lp_tanhf. y may be x. */
    void (*soft_cap)(const float *x, float cap, int64_t n, float *y);

    /* n queries of one key/value head: query i (q + i*ldq, [d]) sees positions 0 .. n_keys[i]-1. Pages hold 256 positions
     * each: key[g] is [d][256] (position fastest), value[g] is [256][d]. s = chain over d of fmaf(q, k, s) from +0, then
     * fl(s*scale). Per group of 256: m = max, p = exp(s-m), l = fl(l+p) and o = fmaf(p, v, o) over ascending position
     * from +0; groups merge ascending: M = max(m1,m), e1 = exp(m1-M), e2 = exp(m-M), l = fmaf(l1, e1, fl(l2*e2)), o
     * alike; the first non-empty group is taken as it is. out + i*ldo = fl(o/l); no key: 0.
     * scratch: lp_attention_scratch_bytes(n, d). */
    void (*attention)(const float *q, int64_t ldq, int64_t n, const int64_t *n_keys, const float *const *key,
                      const float *const *value, int64_t d, float scale, float *out, int64_t ldo, void *scratch);

    /* The same where query i sees positions first_key[i] .. n_keys[i]-1 only, and scores pass soft_cap if cap is not 0:
     * chains start at the first position seen, groups before it are empty. Pages that no query sees are not read. */
    void (*attention_window)(const float *q, int64_t ldq, int64_t n, const int64_t *first_key, const int64_t *n_keys,
                             const float *const *key, const float *const *value, int64_t d, float scale, float cap,
                             float *out, int64_t ldo, void *scratch);

    /* exp of each, the steps of base/expf.h. y may be x. */
    void (*exp_f32)(const float *x, int64_t n, float *y);

    /* Over a vocabulary, f64: lane j sums i = j mod 8 ascending from +0, lanes by ((0+4)+(2+6)) + ((1+5)+(3+7)), exp by
     * the steps of base/exp_f64.h. exp_sum: exp(x - max) with x <= max. kl_sum: exp(a) * (a - b) with a = p - total_p,
     * b = q - total_q, every operation rounded; a <= 700. */
    double (*exp_sum)(const float *x, int64_t n, float max);
    double (*kl_sum)(const float *p, double total_p, const float *q, double total_q, int64_t n);

    /* Canonical dot: lane j sums fmaf(a, b, lane) over k = j mod 16 in chunks of 512, trees as in rms_norm. */
    float (*dot_f32)(const float *a, const float *b, int64_t n);
} lp_kernels;

/* Chooses experts by their n scores: p = fl(exp(score - max) / sum), the sum in ascending order; the n_used largest p,
 * equal ones by lower index. route: their numbers, best first, then their weights fl(p / max(sum of the chosen in that order,
 * 6.1035e-5)), or p itself without normalize, then times factor. A score that is not finite makes all weights NaN, of the experts 0, 1, ... */
void lp_route_experts(const float *score, int64_t n, int64_t n_used, bool normalize, float factor, float *route);

/* y = fl(w_0 x_0), then fmaf(w_u, x_u, y) for ascending u. x: [n_used][width]. */
void lp_combine_experts(const float *x, const float *weight, int64_t n_used, int64_t width, float *y);

/* y = fmaf(s, x, y) with s = fl(1 / fl(1 + exp(-gate))): an expert that every token has, by its own share. */
void lp_add_gated(const float *x, float gate, int64_t width, float *y);

size_t lp_attention_scratch_bytes(int64_t n_queries, int64_t d);

/* The table of an ISA, NULL if it is not available; and that of lp_isa_current(). */
const lp_kernels *lp_kernels_of(lp_isa isa);
const lp_kernels *lp_kernels_current(void);

/* Each overrides what it does better; called by lp_kernels_of. */
void lp_kernels_init_ref(lp_kernels *kernels);
void lp_kernels_init_avx2(lp_kernels *kernels);
void lp_kernels_init_avx512(lp_kernels *kernels);
void lp_kernels_init_neon(lp_kernels *kernels);

#endif
