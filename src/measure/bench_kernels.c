/* Matrix products and attention beside the machine's read bandwidth and instruction peak, probed before and after every single
 * timing. Card: kernels/stream-roofline. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/random.h"
#include "kernel/kernel.h"
#include "kernel/probe.h"
#include "measure/bench.h"

enum {
    PAIRS = 9,       /* timings whose median is reported */
    MOST_PAIRS = 27, /* tried to find so many between probes that agree within a tenth */
    TRIES = 3        /* of a whole measurement that came out faster than the machine */
};
static const double MOST_FRACTION = 1.05; /* above it something else was measured than the row says */

/* ---- one measurement ------------------------------------------------------------------------------------------------- */

typedef struct work {
    lp_pool_fn run;
    void *context;
    double bytes, macs;                           /* of a run: bytes that must be read at least once */
    const uint8_t *memory;                        /* what the probe reads, every thread its part */
    size_t memory_bytes;
    bool in_cache;                                /* the bandwidth is that of the second-level cache */
    uint64_t (*peak)(lp_isa isa, uint64_t n);     /* the instruction */
} work;

typedef struct rates {
    double read, peak;
} rates;

static rates probe_once(lp_pool *pool, const work *w)
{
    size_t part = w->memory_bytes / (size_t)lp_pool_threads(pool);
    rates r = {w->in_cache ? lp_probe_read_once(pool, w->memory, part < LP_PROBE_L2_BYTES ? part : LP_PROBE_L2_BYTES, LP_PROBE_L2_PASSES)
                           : lp_probe_read_once(pool, w->memory, part, 1),
               lp_probe_peak_once(pool, w->peak)};
    return r;
}

static bool agree(double a, double b) { return fmax(a, b) < 1.1 * fmin(a, b); }

/* Medians of the time and of the fractions; pairs around which a probe changed do not count unless too few are left. */
static void measure(lp_pool *pool, const work *w, lp_bench_row *row)
{
    double seconds[2][MOST_PAIRS], bandwidth[2][MOST_PAIRS], peak[2][MOST_PAIRS];
    int n[2] = {0, 0}, inner = 1 + (int)(2e7 / (w->macs + w->bytes)); /* small ones are timed several at a time */
    lp_pool_run(pool, w->run, w->context); /* warms up */
    rates before = probe_once(pool, w);
    for (int i = 0; i < MOST_PAIRS && n[1] < PAIRS; i++) {
        double start = lp_bench_seconds(pool);
        for (int k = 0; k < inner; k++) lp_pool_run(pool, w->run, w->context);
        double s = (lp_bench_seconds(pool) - start) / inner;
        rates after = probe_once(pool, w);
        int calm = agree(before.read, after.read) && agree(before.peak, after.peak);
        seconds[calm][n[calm]] = s;
        bandwidth[calm][n[calm]] = w->bytes / s * 1e-9 / fmax(before.read, after.read);
        peak[calm][n[calm]++] = w->macs / s * 1e-9 / fmax(before.peak, after.peak);
        before = after;
    }
    int use = n[1] >= 3 || n[1] >= n[0];
    double median = lp_bench_median(seconds[use], n[use]);
    row->median_ns = median * 1e9;
    row->gbytes_per_s = w->bytes / median * 1e-9;
    row->gmacs_per_s = w->macs / median * 1e-9;
    row->fraction_bandwidth = lp_bench_median(bandwidth[use], n[use]);
    row->fraction_peak = lp_bench_median(peak[use], n[use]);
}

/* ---- matrix products ------------------------------------------------------------------------------------------------- */

/* rows x cols weights of a packing, n tokens. */
typedef struct product {
    lp_weight weight;
    lp_tensor tensor;
    const lp_kernels *kernels;
    int64_t n;
    uint8_t *canonical, *tiles, *act, *scratch;
    float *x, *y;
    size_t scratch_bytes, canonical_bytes; /* canonical: of one tile */
} product;

static void product_part(void *context, int thread, int n_threads)
{
    const product *p = context;
    int64_t first, last;
    lp_pool_part(p->weight.rows / LP_TILE_ROWS, thread, n_threads, &first, &last);
    void *scratch = p->scratch + (size_t)thread * p->scratch_bytes;
    if (p->weight.units)
        p->kernels->linear_i8(&p->weight, first, last, p->act, p->n, p->y, p->weight.rows, scratch);
    else
        p->kernels->linear_f32(&p->weight, first, last, p->x, p->weight.cols, p->n, p->y, p->weight.rows, scratch);
}

static void product_free(product *p)
{
    lp_aligned_free(p->canonical);
    lp_aligned_free(p->tiles);
    lp_aligned_free(p->act);
    lp_aligned_free(p->scratch);
    lp_aligned_free(p->x);
    lp_aligned_free(p->y);
}

static lp_status product_make(product *p, const lp_packing *packing, int64_t rows, int64_t cols, int64_t n, int n_threads)
{
    lp_planes planes;
    lp_packing_planes(packing, cols, LP_TILE_ROWS, &planes);
    size_t tile_bytes = lp_weight_tile_bytes(packing, cols);
    size_t n_tiles = (size_t)(rows / LP_TILE_ROWS);
    memset(p, 0, sizeof *p);
    p->kernels = lp_kernels_current();
    p->n = n;
    p->scratch_bytes = (lp_linear_scratch_bytes(cols) + 63) & ~(size_t)63;
    p->canonical_bytes = planes.n_bytes;
    p->canonical = lp_aligned_alloc(planes.n_bytes);
    p->tiles = lp_aligned_alloc(n_tiles * tile_bytes);
    p->act = lp_aligned_alloc((size_t)n * lp_act_row_bytes(cols));
    p->scratch = lp_aligned_alloc((size_t)n_threads * p->scratch_bytes);
    p->x = lp_aligned_alloc((size_t)(n * cols) * sizeof(float));
    p->y = lp_aligned_alloc((size_t)(n * rows) * sizeof(float));
    if (!p->canonical || !p->tiles || !p->act || !p->scratch || !p->x || !p->y) {
        product_free(p);
        return lp_fail_memory(n_tiles * tile_bytes, "a benchmark");
    }
    for (size_t i = 0; i < planes.n_bytes; i++) /* top bits clear: every scale is a normal, finite number */
        p->canonical[i] = (uint8_t)(lp_random_word(1, i, 0, 0, LP_RANDOM_INIT, 0) & 0x3f) | 0x10;
    for (int64_t i = 0; i < n * cols; i++) p->x[i] = (float)(lp_random_word(2, (uint64_t)i, 0, 0, LP_RANDOM_INIT, 0) >> 8) * 0x1p-24f - 0.5f;
    for (int64_t t = 0; t < n; t++) {
        lp_act_row row = lp_act_row_at(p->act, cols, t);
        p->kernels->quantize_i8(p->x + t * cols, cols, &row);
    }
    memset(p->y, 0, (size_t)(n * rows) * sizeof(float));
    p->tensor = (lp_tensor){.name = "bench", .n_dims = 2, .dim = {cols, LP_TILE_ROWS, 1, 1}, .packing = packing,
                            .data = p->canonical, .n_bytes = planes.n_bytes};
    lp_weight_pack_tile(&p->tensor, 0, p->tiles);
    for (size_t t = 1; t < n_tiles; t++) memcpy(p->tiles + t * tile_bytes, p->tiles, tile_bytes);
    p->weight = (lp_weight){&p->tensor, rows, cols, lp_packing_units(packing, cols), tile_bytes, p->tiles};
    return LP_OK;
}

typedef struct product_case {
    int64_t rows, n; /* rows 0: as many as make 256 MiB */
    const char *what;
} product_case;

static const product_case product_cases[] = {
    {0, 1, "gemv, memory"}, {128, 1, "gemv, cache"}, {1024, 64, "gemm"}, {1024, 512, "gemm"}};
enum { N_CASES = sizeof product_cases / sizeof product_cases[0] };

static lp_status time_product(lp_pool *pool, const product_case *c, const lp_packing *packing, lp_bench_row *row)
{
    const int64_t cols = 4096;
    int64_t rows = c->rows;
    if (rows == 0) rows = ((int64_t)256 << 20) / (int64_t)lp_weight_tile_bytes(packing, cols) * LP_TILE_ROWS;
    product p;
    LP_TRY(product_make(&p, packing, rows, cols, c->n, lp_pool_threads(pool)));
    size_t n_tiles = (size_t)(rows / LP_TILE_ROWS);
    work w = {.run = product_part, .context = &p, .memory = p.tiles, .memory_bytes = n_tiles * p.weight.tile_bytes,
              .in_cache = c->rows != 0, .bytes = (double)n_tiles * (double)p.canonical_bytes,
              .macs = (double)rows * (double)cols * (double)c->n, .peak = p.weight.units ? lp_probe_int8 : lp_probe_f32};
    measure(pool, &w, row);
    snprintf(row->shape, sizeof row->shape, "%lldx%lldx%lld", (long long)rows, (long long)cols, (long long)c->n);
    product_free(&p);
    return LP_OK;
}

/* ---- attention ------------------------------------------------------------------------------------------------------- */

typedef struct attention_case {
    const char *what;
    int64_t n;      /* queries per key/value head: heads of a group, or tokens of a prompt */
    int heads;      /* key/value heads; 0: one for each thread */
    bool is_prompt; /* each query sees one position more than the one before */
} attention_case;

static const attention_case attention_cases[] = {
    {"attention, decode, 1 query a head", 1, 8, false},
    {"attention, decode, 4 queries a head", 4, 8, false},
    {"attention, prefill", 64, 0, true},
};
enum {
    ATTENTION_CASES = sizeof attention_cases / sizeof attention_cases[0],
    HEAD_SIZE = 128,
    CONTEXT = 32768,
    PAGES = CONTEXT / LP_ATTENTION_GROUP,
    MOST_QUERIES = 64
};

typedef struct attention_work {
    const lp_kernels *kernels;
    int64_t n, heads, n_keys[MOST_QUERIES];
    float *cache;            /* [heads][PAGES][key page, value page] */
    float *q, *out;          /* [heads][n][HEAD_SIZE] */
    const float **page;      /* [heads][keys PAGES, values PAGES] */
    uint8_t *scratch;
    size_t scratch_bytes;
} attention_work;

static void attention_part(void *context, int thread, int n_threads)
{
    const attention_work *a = context;
    int64_t first, last;
    lp_pool_part(a->heads, thread, n_threads, &first, &last);
    for (int64_t h = first; h < last; h++) {
        const float **keys = a->page + h * 2 * PAGES;
        int64_t at = h * a->n * HEAD_SIZE;
        a->kernels->attention(a->q + at, HEAD_SIZE, a->n, a->n_keys, keys, keys + PAGES, HEAD_SIZE, 0.088388347f, a->out + at,
                              HEAD_SIZE, a->scratch + (size_t)thread * a->scratch_bytes);
    }
}

static void attention_free(attention_work *a)
{
    lp_aligned_free(a->cache);
    lp_aligned_free(a->q);
    lp_aligned_free(a->out);
    lp_aligned_free((void *)a->page);
    lp_aligned_free(a->scratch);
}

static void fill(float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++) x[i] = (float)(lp_random_word(4, (uint64_t)i, 0, 0, LP_RANDOM_INIT, 0) >> 8) * 0x1p-23f - 1;
}

static lp_status time_attention(lp_pool *pool, const attention_case *c, lp_bench_row *row)
{
    const int n_threads = lp_pool_threads(pool);
    const int64_t page = (int64_t)HEAD_SIZE * LP_ATTENTION_GROUP, head = 2 * PAGES * page;
    attention_work a = {.kernels = lp_kernels_current(), .n = c->n, .heads = c->heads ? c->heads : n_threads};
    size_t vectors = (size_t)(a.heads * a.n * HEAD_SIZE) * sizeof(float), cache = (size_t)(a.heads * head) * sizeof(float);
    double pairs = 0;
    a.scratch_bytes = (lp_attention_scratch_bytes(c->n, HEAD_SIZE) + 63) & ~(size_t)63;
    a.cache = lp_aligned_alloc(cache);
    a.q = lp_aligned_alloc(vectors);
    a.out = lp_aligned_alloc(vectors);
    a.page = lp_aligned_alloc((size_t)a.heads * 2 * PAGES * sizeof *a.page);
    a.scratch = lp_aligned_alloc((size_t)n_threads * a.scratch_bytes);
    if (!a.cache || !a.q || !a.out || !a.page || !a.scratch) {
        attention_free(&a);
        return lp_fail_memory(cache, "a benchmark");
    }
    fill(a.q, a.heads * a.n * HEAD_SIZE);
    fill(a.cache, page);
    for (int64_t i = 1; i < a.heads * 2 * PAGES; i++) memcpy(a.cache + i * page, a.cache, (size_t)page * sizeof(float));
    for (int64_t h = 0; h < a.heads; h++)
        for (int64_t g = 0; g < PAGES; g++) {
            a.page[h * 2 * PAGES + g] = a.cache + h * head + 2 * g * page;
            a.page[h * 2 * PAGES + PAGES + g] = a.cache + h * head + (2 * g + 1) * page;
        }
    for (int64_t i = 0; i < c->n; i++) {
        a.n_keys[i] = c->is_prompt ? CONTEXT - c->n + i + 1 : CONTEXT;
        pairs += (double)a.n_keys[i];
    }
    work w = {.run = attention_part, .context = &a, .memory = (const uint8_t *)a.cache, .memory_bytes = cache, .bytes = (double)cache,
              .macs = 2 * HEAD_SIZE * pairs * (double)a.heads, .peak = lp_probe_f32};
    measure(pool, &w, row);
    snprintf(row->shape, sizeof row->shape, "%lldx%lldx%dx%d", (long long)a.heads, (long long)c->n, CONTEXT, HEAD_SIZE);
    attention_free(&a);
    return LP_OK;
}

/* ---- all of them ------------------------------------------------------------------------------------------------------ */

/* Where the rows go. */
typedef struct table {
    lp_pool *pool;
    const lp_progress *progress;
    lp_bench_row *rows;
    size_t n, room, total; /* total: for progress */
} table;

static lp_status report(const table *t)
{
    const lp_progress *p = t->progress;
    if (p && p->cancelled && p->cancelled(p->context)) return lp_fail(LP_INTERRUPTED, "interrupted");
    if (p && p->report) p->report(p->context, "kernels", (double)t->n, (double)t->total);
    return LP_OK;
}

static bool is_too_fast(const lp_bench_row *r) { return r->fraction_bandwidth > MOST_FRACTION || r->fraction_peak > MOST_FRACTION; }

static lp_status add_products(table *t, const char *name, const lp_packing *packing)
{
    for (int i = 0; i < N_CASES && t->n < t->room; i++) {
        lp_bench_row *row = &t->rows[t->n];
        LP_TRY(report(t));
        for (int k = 0; k < TRIES && (k == 0 || is_too_fast(row)); k++) {
            memset(row, 0, sizeof *row);
            LP_TRY(time_product(t->pool, &product_cases[i], packing, row));
        }
        snprintf(row->name, sizeof row->name, "%s %s", product_cases[i].what, name);
        t->n++;
    }
    return LP_OK;
}

/* format: a name of GGUF's, or the text of a format of our own. */
static lp_status add_format(table *t, const char *name, const char *text)
{
    const lp_packing *packing = lp_packing_by_name(text);
    if (packing) {
        if (!packing->is_float && !lp_packing_units(packing, 4096))
            return lp_fail(LP_UNSUPPORTED, "%.200s: there are no products of this type", text);
        return add_products(t, name, packing);
    }
    lp_format *format;
    LP_TRY(lp_format_parse(text, &format));
    lp_status status = lp_packing_create(format, &packing);
    lp_format_free(format);
    LP_TRY(status);
    if (!packing->is_float && !lp_packing_units(packing, 4096))
        status = lp_hint(lp_fail(LP_UNSUPPORTED, "%.200s: its values do not fit the integer kernels", text),
                         "values have to be integers up to 127 times a power of two, scales per 16, 32, ... values or per row");
    else
        status = add_products(t, name, packing);
    lp_packing_free(packing);
    return status;
}

static lp_status add_attention(table *t)
{
    for (int i = 0; i < ATTENTION_CASES && t->n < t->room; i++) {
        lp_bench_row *row = &t->rows[t->n];
        LP_TRY(report(t));
        for (int k = 0; k < TRIES && (k == 0 || is_too_fast(row)); k++) {
            memset(row, 0, sizeof *row);
            LP_TRY(time_attention(t->pool, &attention_cases[i], row));
        }
        snprintf(row->name, sizeof row->name, "%s", attention_cases[i].what);
        t->n++;
    }
    return LP_OK;
}

/* No row may be faster than the machine. */
static lp_status check_rows(const lp_bench_row *rows, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (is_too_fast(&rows[i]))
            return lp_hint(lp_fail(LP_CHECK, "%s: %.2f of the bandwidth and %.2f of the peak that were probed beside it", rows[i].name,
                                   rows[i].fraction_bandwidth, rows[i].fraction_peak),
                           "nothing is faster than the machine: its speed changed while it was measured, so measure again");
    return LP_OK;
}

/* The last ones are of our own: rows with one scale, ternary, and a table that somebody made up beside integers of its width. */
static const struct { const char *name, *text; } formats[] = {
    {"f16", "f16"}, {"q8_0", "q8_0"}, {"q6_k", "q6_k"}, {"q5_k", "q5_k"}, {"q4_k", "q4_k"}, {"q4_0", "q4_0"}, {"q4_1", "q4_1"},
    {"iq4_nl", "iq4_nl"}, {"iq4_xs", "iq4_xs"}, {"mxfp4", "mxfp4@gguf"}, {"q3_k", "q3_k"}, {"q2_k", "q2_k"}, {"q2_0", "q2_0"},
    {"tq2_0", "tq2_0"}, {"tq1_0", "tq1_0"}, {"iq3_s", "iq3_s"}, {"iq3_xxs", "iq3_xxs"}, {"iq2_s", "iq2_s"}, {"iq2_xxs", "iq2_xxs"},
    {"i8:row:f32", "i8:row:f32"}, {"i4:row:f16", "i4:row:f16"}, {"i4:128:f16", "i4:128:f16"}, {"i3:128:f16", "i3:128:f16"},
    {"i2:128:f16", "i2:128:f16"}, {"i6:32:f16", "i6:32:f16"},
    {"int5", "i5:32:f16"},
    {"table5", "{-127,-108,-92,-78,-66,-56,-47,-39,-32,-26,-20,-15,-11,-7,-4,-1,1,4,7,11,15,20,26,32,39,47,56,66,78,92,108,127}:32:f16"},
};
enum { N_FORMATS = sizeof formats / sizeof formats[0] };

lp_status lp_bench_kernels(lp_pool *pool, const lp_progress *progress, lp_bench_row *rows, size_t *n_rows)
{
    table t = {.pool = pool, .progress = progress, .rows = rows, .room = *n_rows, .total = N_FORMATS * N_CASES + ATTENTION_CASES};
    lp_status status = LP_OK;
    for (size_t f = 0; f < N_FORMATS && status == LP_OK; f++) status = add_format(&t, formats[f].name, formats[f].text);
    if (status == LP_OK) status = add_attention(&t);
    *n_rows = t.n;
    return status == LP_OK ? check_rows(rows, t.n) : status;
}

lp_status lp_bench_format(lp_pool *pool, const char *format, const lp_progress *progress, lp_bench_row *rows, size_t *n_rows)
{
    table t = {.pool = pool, .progress = progress, .rows = rows, .room = *n_rows, .total = N_CASES};
    bool attention = strcmp(format, "attention") == 0;
    if (attention) t.total = ATTENTION_CASES;
    lp_status status = attention ? add_attention(&t) : add_format(&t, format, format);
    *n_rows = t.n;
    return status == LP_OK ? check_rows(rows, t.n) : status;
}
