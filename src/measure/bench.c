/* Benchmarks: each timing stands beside a probe of the machine made in the same minute. Card: kernels/stream-roofline. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/bench.h>
#include <lowp/isa.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/random.h"
#include "kernel/kernel.h"
#include "kernel/probe.h"
#include "measure/windows.h"

enum { MAX_REPEAT = 99 };

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

static double median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

/* ---- probe --------------------------------------------------------------------------------------------------------- */

typedef struct probe_job {
    const uint8_t *memory;
    size_t n_bytes;      /* of each pass, per thread */
    int n_passes;
    uint64_t n_rounds;
    uint64_t (*peak)(lp_isa isa, uint64_t n); /* NULL: reading */
    uint64_t done[1024]; /* by thread; also what the reads gave, so that none is left out */
} probe_job;

static void probe_part(void *context, int thread, int n_threads)
{
    probe_job *j = context;
    (void)n_threads;
    if (j->peak) {
        j->done[thread] = j->peak(lp_isa_current(), j->n_rounds);
        return;
    }
    for (int i = 0; i < j->n_passes; i++)
        j->done[thread] += lp_probe_read(lp_isa_current(), j->memory + (size_t)thread * j->n_bytes, j->n_bytes);
}

/* Best of five: a probe asks what the machine can do, so disturbances are left out. */
static double best_seconds(lp_pool *pool, probe_job *j)
{
    double best = 1e30;
    for (int i = 0; i < 5; i++) {
        double start = lp_seconds();
        lp_pool_run(pool, probe_part, j);
        double s = lp_seconds() - start;
        if (s < best) best = s;
    }
    return best;
}

lp_status lp_probe_machine(lp_pool *pool, lp_probe *probe)
{
    int n = lp_pool_threads(pool);
    size_t per_thread = ((size_t)256 << 20) / (size_t)n & ~(size_t)511, total = per_thread * (size_t)n;
    uint8_t *memory = lp_aligned_alloc(total);
    probe_job *j = calloc(1, sizeof *j);
    if (!memory || !j) {
        lp_aligned_free(memory);
        free(j);
        return lp_fail_memory(total, "the bandwidth probe");
    }
    memset(memory, 1, total);
    *j = (probe_job){.memory = memory, .n_bytes = per_thread, .n_passes = 1};
    probe->read_gbytes_per_s = (double)total / best_seconds(pool, j) * 1e-9;
    *j = (probe_job){.memory = memory, .n_bytes = 512 << 10, .n_passes = 64};
    probe->l2_read_gbytes_per_s = (double)n * 64.0 * (512 << 10) / best_seconds(pool, j) * 1e-9;
    *j = (probe_job){.peak = lp_probe_int8, .n_rounds = 1 << 18};
    probe->int8_gmacs_per_s = (double)n * (double)lp_probe_int8(lp_isa_current(), 1) * (1 << 18) / best_seconds(pool, j) * 1e-9;
    *j = (probe_job){.peak = lp_probe_f32, .n_rounds = 1 << 18};
    probe->f32_gmacs_per_s = (double)n * (double)lp_probe_f32(lp_isa_current(), 1) * (1 << 18) / best_seconds(pool, j) * 1e-9;
    lp_aligned_free(memory);
    free(j);
    return LP_OK;
}

/* ---- kernels ------------------------------------------------------------------------------------------------------- */

/* A matrix product: rows x cols weights of a packing, n tokens. */
typedef struct product {
    lp_weight weight;
    lp_tensor tensor;
    const lp_kernels *kernels;
    int64_t n;
    uint8_t *canonical, *tiles, *act, *scratch;
    float *x, *y;
    size_t scratch_bytes;
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
    p->tensor = (lp_tensor){.name = "bench", .n_dims = 2, .dim = {cols, LP_TILE_ROWS, 1, 1}, .packing = packing,
                            .data = p->canonical, .n_bytes = planes.n_bytes};
    lp_weight_pack_tile(&p->tensor, 0, p->tiles);
    for (size_t t = 1; t < n_tiles; t++) memcpy(p->tiles + t * tile_bytes, p->tiles, tile_bytes);
    p->weight = (lp_weight){&p->tensor, rows, cols, lp_packing_units(packing, cols), tile_bytes, p->tiles};
    return LP_OK;
}

typedef struct bench_format {
    const char *name, *text; /* text: of a format of our own, or NULL */
} bench_format;

typedef struct bench_case {
    const bench_format *format;
    int64_t rows, n; /* rows 0: as many as make 256 MiB */
    const char *what;
} bench_case;

static lp_status time_product(lp_pool *pool, const bench_case *c, const lp_packing *packing, lp_bench_row *row)
{
    const int64_t cols = 4096;
    int64_t rows = c->rows;
    if (rows == 0) rows = ((int64_t)256 << 20) / (int64_t)lp_weight_tile_bytes(packing, cols) * LP_TILE_ROWS;
    product p;
    lp_probe before, after;
    double t[9];
    LP_TRY(product_make(&p, packing, rows, cols, c->n, lp_pool_threads(pool)));
    lp_status s = lp_probe_machine(pool, &before);
    double bytes = (double)(rows / LP_TILE_ROWS) * (double)p.weight.tile_bytes, macs = (double)rows * (double)cols * (double)c->n;
    int inner = 1 + (int)(2e7 / (macs + bytes)); /* small products are timed several at a time */
    for (int i = 0; s == LP_OK && i < 9; i++) {
        double start = lp_seconds();
        for (int k = 0; k < inner; k++) lp_pool_run(pool, product_part, &p);
        t[i] = (lp_seconds() - start) / inner;
    }
    if (s == LP_OK) s = lp_probe_machine(pool, &after);
    if (s == LP_OK) {
        double seconds = median(t, 9);
        double read = c->rows ? before.l2_read_gbytes_per_s : before.read_gbytes_per_s;
        double read_after = c->rows ? after.l2_read_gbytes_per_s : after.read_gbytes_per_s;
        double peak = p.weight.units ? before.int8_gmacs_per_s : before.f32_gmacs_per_s;
        double peak_after = p.weight.units ? after.int8_gmacs_per_s : after.f32_gmacs_per_s;
        snprintf(row->name, sizeof row->name, "%s %s", c->what, c->format->name);
        snprintf(row->shape, sizeof row->shape, "%lldx%lldx%lld", (long long)rows, (long long)cols, (long long)c->n);
        row->median_ns = seconds * 1e9;
        row->gbytes_per_s = bytes / seconds * 1e-9;
        row->gmacs_per_s = macs / seconds * 1e-9;
        row->fraction_bandwidth = row->gbytes_per_s / (read > read_after ? read : read_after);
        row->fraction_peak = row->gmacs_per_s / (peak > peak_after ? peak : peak_after);
    }
    product_free(&p);
    return s;
}

static lp_status bench_product(lp_pool *pool, const bench_case *c, lp_bench_row *row)
{
    lp_format *format;
    const lp_packing *packing;
    if (!c->format->text) return time_product(pool, c, lp_packing_by_name(c->format->name), row);
    LP_TRY(lp_format_parse(c->format->text, &format));
    lp_status status = lp_packing_create(format, &packing);
    lp_format_free(format);
    if (status != LP_OK) return status;
    status = time_product(pool, c, packing, row);
    lp_packing_free(packing);
    return status;
}

lp_status lp_bench_kernels(lp_pool *pool, const lp_progress *progress, lp_bench_row *rows, size_t *n_rows)
{
    /* The last ones are of our own: a table that somebody made up beside integers of its width, and a row's one scale. */
    static const bench_format formats[] = {
        {"f16", NULL}, {"q8_0", NULL}, {"q6_k", NULL}, {"q5_k", NULL}, {"q4_k", NULL}, {"q4_0", NULL}, {"q4_1", NULL},
        {"iq4_nl", NULL}, {"mxfp4", NULL}, {"q3_k", NULL}, {"q2_k", NULL},
        {"int5", "i5:32:f16"},
        {"table5", "{-127,-108,-92,-78,-66,-56,-47,-39,-32,-26,-20,-15,-11,-7,-4,-1,1,4,7,11,15,20,26,32,39,47,56,66,78,92,108,127}:32:f16"},
        {"i4:row:f32", "i4:row:f32"}, {"iq4nl:16:(i6:16:f16)", "iq4nl:16:(i6:16:f16)"},
    };
    size_t n = 0, room = *n_rows, total = sizeof formats / sizeof formats[0];
    for (size_t f = 0; f < total; f++) {
        const bench_case cases[] = {{&formats[f], 0, 1, "gemv, memory"}, {&formats[f], 128, 1, "gemv, cache"}, {&formats[f], 1024, 64, "gemm"}};
        for (size_t i = 0; i < sizeof cases / sizeof cases[0] && n < room; i++) {
            if (progress && progress->cancelled && progress->cancelled(progress->context)) return lp_fail(LP_INTERRUPTED, "interrupted");
            if (progress && progress->report) progress->report(progress->context, "kernels", (double)(3 * f + i), (double)(3 * total));
            memset(&rows[n], 0, sizeof rows[n]);
            LP_TRY(bench_product(pool, &cases[i], &rows[n]));
            n++;
        }
    }
    *n_rows = n;
    return LP_OK;
}

/* ---- models -------------------------------------------------------------------------------------------------------- */

/* Weight bytes and multiply-accumulates of one token. */
static void token_cost(const lp_model *model, double *bytes, double *macs)
{
    const lp_gguf *g = lp_model_gguf(model);
    bool tied = !lp_gguf_find_tensor(g, "output.weight");
    *bytes = *macs = 0;
    for (int64_t i = 0; i < lp_gguf_tensor_count(g); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(g, i);
        if (t->n_dims < 2 || (!tied && strcmp(t->name, "token_embd.weight") == 0)) continue;
        *bytes += (double)t->n_bytes;
        *macs += (double)lp_tensor_values(t);
    }
}

static lp_status forward(lp_session *s, int64_t first, int64_t n, const int32_t *token, const int32_t *position, uint8_t *wants)
{
    memset(wants, 0, (size_t)n);
    wants[n - 1] = 1;
    lp_batch batch = {.n_tokens = n, .token = token + first, .position = position + first, .wants_logits = wants};
    return lp_session_forward(s, &batch, NULL);
}

typedef struct model_times {
    double prefill[MAX_REPEAT], decode[MAX_REPEAT]; /* seconds */
} model_times;

static lp_status time_model(lp_session *s, int64_t n_prompt, int64_t n_generate, int n_repeat, const lp_progress *progress, model_times *t)
{
    int64_t n = n_prompt + n_generate, batch = lp_session_batch_size(s), n_vocab = lp_model_get_info(lp_session_model(s))->n_vocab;
    int32_t *token = malloc((size_t)n * 4), *position = malloc((size_t)n * 4);
    uint8_t *wants = malloc((size_t)n);
    lp_status status = token && position && wants ? LP_OK : lp_fail_memory((size_t)n * 9, "tokens");
    for (int64_t i = 0; status == LP_OK && i < n; i++) {
        token[i] = (int32_t)(lp_random_word(3, (uint64_t)i, 0, 0, LP_RANDOM_INIT, 0) % (uint64_t)n_vocab);
        position[i] = (int32_t)i;
    }
    for (int r = -1; status == LP_OK && r < n_repeat; r++) { /* the first, untimed, warms up */
        if (progress && progress->cancelled && progress->cancelled(progress->context)) status = lp_fail(LP_INTERRUPTED, "interrupted");
        if (progress && progress->report) progress->report(progress->context, "timing", r + 1, n_repeat + 1);
        double start = lp_seconds();
        if (status == LP_OK) status = lp_session_truncate(s, 0, 0);
        for (int64_t i = 0; status == LP_OK && i < n_prompt; i += batch)
            status = forward(s, i, n_prompt - i < batch ? n_prompt - i : batch, token, position, wants);
        double middle = lp_seconds();
        for (int64_t i = n_prompt; status == LP_OK && i < n; i++) status = forward(s, i, 1, token, position, wants);
        if (r < 0) continue;
        t->prefill[r] = middle - start;
        t->decode[r] = lp_seconds() - middle;
    }
    free(token);
    free(position);
    free(wants);
    return status;
}

lp_status lp_bench_model(const lp_model *model, lp_pool *pool, lp_activation activations, int64_t n_prompt, int64_t n_generate,
                         int n_repeat, const lp_progress *progress, lp_bench_row rows[2], lp_probe *probe)
{
    const lp_model_info *m = lp_model_get_info(model);
    if (n_prompt < 1 || n_generate < 1 || n_prompt > m->n_context || n_generate > m->n_context - n_prompt)
        return lp_fail(LP_USAGE, "%lld + %lld tokens do not fit the model's context of %lld", (long long)n_prompt,
                       (long long)n_generate, (long long)m->n_context);
    if (n_repeat < 1 || n_repeat > MAX_REPEAT) return lp_fail(LP_USAGE, "%d repeats: outside 1 .. %d", n_repeat, MAX_REPEAT);
    lp_session *s = NULL;
    model_times t;
    lp_probe after;
    lp_session_options o = {.pool = pool, .n_context = n_prompt + n_generate, .n_batch = n_prompt < 512 ? n_prompt : 512,
                            .n_logits = 1, .activations = activations};
    LP_TRY(lp_session_create(model, &o, progress, &s));
    lp_status status = lp_probe_machine(pool, probe);
    if (status == LP_OK) status = time_model(s, n_prompt, n_generate, n_repeat, progress, &t);
    if (status == LP_OK) status = lp_probe_machine(pool, &after);
    lp_session_close(s);
    LP_TRY(status);
    if (after.read_gbytes_per_s > probe->read_gbytes_per_s) probe->read_gbytes_per_s = after.read_gbytes_per_s;
    double bytes, macs;
    token_cost(model, &bytes, &macs);
    const struct {
        const char *name;
        double *seconds;
        int64_t n;
        double passes; /* over the weights */
    } run[2] = {{"decode", t.decode, n_generate, (double)n_generate},
                {"prefill", t.prefill, n_prompt, (double)((n_prompt + o.n_batch - 1) / o.n_batch)}};
    for (int i = 0; i < 2; i++) {
        double seconds = median(run[i].seconds, n_repeat);
        memset(&rows[i], 0, sizeof rows[i]);
        snprintf(rows[i].name, sizeof rows[i].name, "%s", run[i].name);
        snprintf(rows[i].shape, sizeof rows[i].shape, "%lld tokens", (long long)run[i].n);
        rows[i].median_ns = seconds * 1e9;
        rows[i].tokens_per_s = (double)run[i].n / seconds;
        rows[i].gbytes_per_s = bytes * run[i].passes / seconds * 1e-9;
        rows[i].gmacs_per_s = macs * (double)run[i].n / seconds * 1e-9;
        rows[i].fraction_bandwidth = rows[i].gbytes_per_s / probe->read_gbytes_per_s;
        rows[i].fraction_peak = rows[i].gmacs_per_s / probe->int8_gmacs_per_s;
    }
    return LP_OK;
}
