/* Speed of the kernels beside the processor's own peaks, probed in the same run. Usage: test_kernels --bench
 * [NAME [ROWS COLUMNS [TOKENS]]], where NAME is part of a packing's or function's name, or the text of a format of our own. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernel/harness.h"
#include "kernel/probe.h"

static const char *filter = "";
static int64_t only_tokens; /* 0: all */
static bool is_wanted(const char *name) { return strstr(name, filter) != NULL; }

/* The thread's own time: everything here is one thread, and other programs may share the processor. */
static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median of several timings of at least about 2 ms each. */
typedef void work(void *context);
static double time_of(work *run, void *context)
{
    enum { REPEATS = 9 };
    double ns[REPEATS], once;
    run(context);
    once = now_ns();
    run(context);
    once = now_ns() - once;
    int rounds = once > 2e6 ? 1 : (int)(2e6 / (once + 1)) + 1;
    for (int i = 0; i < REPEATS; i++) {
        double start = now_ns();
        for (int j = 0; j < rounds; j++) run(context);
        ns[i] = (now_ns() - start) / rounds;
    }
    qsort(ns, REPEATS, sizeof *ns, by_size);
    return ns[REPEATS / 2];
}

/* ---- probes ---------------------------------------------------------------------------------------------------------- */

typedef struct probe_box {
    lp_isa isa;
    void *data;
    size_t n;
    uint64_t result;
} probe_box;

static void probe_int8(void *p) { ((probe_box *)p)->result = lp_probe_int8(((probe_box *)p)->isa, 20000); }
static void probe_f32(void *p) { ((probe_box *)p)->result = lp_probe_f32(((probe_box *)p)->isa, 20000); }
static void probe_read(void *p)
{
    probe_box *b = p;
    b->result |= lp_probe_read(b->isa, b->data, b->n);
}

typedef struct peaks {
    double int8, f32; /* MAC per ns */
    double memory, l2; /* bytes per ns */
} peaks;

static peaks probe_instructions(lp_isa isa)
{
    peaks p = {0};
    probe_box box = {isa, NULL, 0, 0};
    double ns = time_of(probe_int8, &box);
    p.int8 = (double)box.result / ns;
    ns = time_of(probe_f32, &box);
    p.f32 = (double)box.result / ns;
    return p;
}

static peaks probe(lp_isa isa)
{
    peaks p = probe_instructions(isa);
    probe_box box = {isa, NULL, (size_t)256 << 20, 0};
    box.data = aligned_alloc(64, box.n);
    if (!box.data) abort();
    memset(box.data, 1, box.n);
    p.memory = (double)box.n / time_of(probe_read, &box);
    box.n = (size_t)512 << 10;
    p.l2 = (double)box.n / time_of(probe_read, &box);
    free(box.data);
    return p;
}

/* ---- linear layers ------------------------------------------------------------------------------------------------------ */

typedef struct linear_box {
    const lp_kernels *k;
    lp_weight w;
    const void *x;
    float *y;
    void *scratch;
    int64_t n;
    bool is_float;
} linear_box;

static void run_linear(void *p)
{
    linear_box *b = p;
    int64_t tiles = (b->w.rows + 15) / 16;
    if (b->is_float) b->k->linear_f32(&b->w, 0, tiles, b->x, b->w.cols, b->n, b->y, b->w.rows, b->scratch);
    else b->k->linear_i8(&b->w, 0, tiles, b->x, b->n, b->y, b->w.rows, b->scratch);
}

/* Tiles of random codes with ordinary scales: one tile packed from the packing's own bytes, repeated. */
static void bench_linear(const lp_kernels *k, const lp_packing *packing, int64_t rows, int64_t cols, const peaks *memory)
{
    static const int64_t tokens[] = {1, 2, 3, 4, 6, 8, 16, 32, 64, 512};
    weight_box one;
    linear_box b = {.k = k, .is_float = packing->is_float};
    make_weight(&one, packing, 16, cols, DRAW_NORMAL, true);
    int64_t tiles = rows / 16;
    uint8_t *data = aligned_alloc(4096, (one.weight.tile_bytes * (size_t)tiles + 4095) / 4096 * 4096);
    if (!data) abort();
    for (int64_t t = 0; t < tiles; t++) memcpy(data + one.weight.tile_bytes * (size_t)t, one.weight.tiles, one.weight.tile_bytes);
    b.w = one.weight;
    b.w.rows = rows;
    b.w.tiles = data;
    b.scratch = malloc(lp_linear_scratch_bytes(cols));
    b.y = malloc((size_t)rows * 512 * 4);
    size_t footprint = b.w.tile_bytes * (size_t)tiles;
    bool in_l2 = footprint < (size_t)900 << 10, in_memory = footprint > (size_t)64 << 20;
    for (int i = 0; i < (int)(sizeof tokens / sizeof *tokens); i++) {
        b.n = tokens[i];
        if (only_tokens && b.n != only_tokens) continue;
        if (in_memory && b.n > 3) break;
        peaks p = probe_instructions(k->isa);
        float *x = guarded((size_t)(b.n * cols) * 4);
        fill_floats(x, b.n * cols, DRAW_NORMAL);
        b.x = b.is_float ? (void *)x : make_activations(cols, b.n, DRAW_NORMAL);
        double ns = time_of(run_linear, &b), macs = (double)(b.n * rows * cols) / ns,
               bytes = (double)(b.w.tile_bytes * (size_t)tiles) / ns;
        printf("%-7s %-7s %5ld x %5ld  n %3ld %-6s %10.0f ns  %7.1f GMAC/s (%.2f of peak)  %6.1f GB/s", lp_isa_name(k->isa),
               packing->name, (long)rows, (long)cols, (long)b.n, in_l2 ? "L2" : in_memory ? "memory" : "L3", ns, macs,
               macs / (b.is_float ? p.f32 : p.int8), bytes);
        if (in_l2 || in_memory) printf(" (%.2f of probe)", bytes / (in_l2 ? memory->l2 : memory->memory));
        printf("\n");
    }
    free(data);
    free(b.y);
    free(b.scratch);
    free_all_guarded();
}

/* ---- packing ---------------------------------------------------------------------------------------------------------- */

typedef struct pack_box {
    const lp_tensor *source;
    uint8_t *dst;
} pack_box;

static void run_pack(void *p) { lp_weight_pack_tile(((pack_box *)p)->source, 0, ((pack_box *)p)->dst); }

static void bench_pack(const lp_packing *packing, int64_t cols)
{
    weight_box one;
    make_weight(&one, packing, 16, cols, DRAW_NORMAL, true);
    pack_box b = {&one.tensor, (uint8_t *)(uintptr_t)one.weight.tiles};
    double ns = time_of(run_pack, &b);
    printf("pack    %-7s 16 x %ld  %10.0f ns  %.3f ns each\n", packing->name, (long)cols, ns, ns / (double)(16 * cols));
    free_all_guarded();
}

/* ---- the others ----------------------------------------------------------------------------------------------------------- */

typedef struct vector_box {
    const lp_kernels *k;
    int64_t n;
    float *x, *y, *z;
    lp_act_row row;
    const float *key[8], *value[8];
    int64_t n_keys[64], d;
    void *scratch;
} vector_box;

static void run_quantize(void *p) { vector_box *b = p; b->k->quantize_i8(b->x, b->n, &b->row); }
static void run_norm(void *p) { vector_box *b = p; b->k->rms_norm(b->x, b->z, b->n, 1e-5f, b->y); }
static void run_silu(void *p) { vector_box *b = p; b->k->silu_mul(b->x, b->z, b->n, b->y); }
static void run_add(void *p) { vector_box *b = p; b->k->add(b->x, b->z, b->n, b->y); }
static void run_exp(void *p) { vector_box *b = p; b->k->exp_f32(b->x, b->n, b->y); }
static void run_rope(void *p) { vector_box *b = p; b->k->rope_pairs(b->y, b->n / 64, 64, b->z, b->z + 32); }
static void run_attention(void *p)
{
    vector_box *b = p;
    b->k->attention(b->x, b->d, b->n, b->n_keys, b->key, b->value, b->d, 0.125f, b->y, b->d, b->scratch);
}

static void bench_vectors(const lp_kernels *k)
{
    static const struct { const char *name; work *run; } list[] = {{"quantize_i8", run_quantize}, {"rms_norm", run_norm},
        {"silu_mul", run_silu}, {"add", run_add}, {"exp_f32", run_exp}, {"rope_pairs", run_rope}};
    vector_box b = {.k = k, .n = 2048};
    b.x = guarded((size_t)b.n * 4);
    b.y = guarded((size_t)b.n * 4);
    b.z = guarded((size_t)b.n * 4);
    fill_floats(b.x, b.n, DRAW_NORMAL);
    fill_floats(b.y, b.n, DRAW_NORMAL);
    fill_floats(b.z, b.n, DRAW_NORMAL);
    b.row = lp_act_row_at(guarded(lp_act_row_bytes(b.n)), b.n, 0);
    for (size_t i = 0; i < sizeof list / sizeof *list; i++) {
        if (!is_wanted(list[i].name)) continue;
        double ns = time_of(list[i].run, &b);
        printf("%-7s %-12s %5ld values  %10.0f ns  %6.3f ns each\n", lp_isa_name(k->isa), list[i].name, (long)b.n, ns,
               ns / (double)b.n);
    }
    free_all_guarded();
}

static void bench_attention(const lp_kernels *k, const peaks *p)
{
    static const struct { int64_t n, keys, d; } shapes[] = {{1, 512, 64}, {8, 512, 64}, {16, 512, 64}, {16, 2048, 64},
                                                           {16, 512, 128}, {16, 512, 80}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        vector_box b = {.k = k, .n = shapes[i].n, .d = shapes[i].d};
        for (int g = 0; g < 8; g++) {
            float *key = guarded((size_t)b.d * 1024), *value = guarded((size_t)b.d * 1024);
            fill_floats(key, b.d * 256, DRAW_NORMAL);
            fill_floats(value, b.d * 256, DRAW_NORMAL);
            b.key[g] = key;
            b.value[g] = value;
        }
        double pairs = 0;
        for (int64_t m = 0; m < b.n; m++) {
            b.n_keys[m] = shapes[i].keys - b.n + m + 1;
            pairs += (double)b.n_keys[m];
        }
        b.x = guarded((size_t)(b.n * b.d) * 4);
        b.y = guarded((size_t)(b.n * b.d) * 4);
        fill_floats(b.x, b.n * b.d, DRAW_NORMAL);
        b.scratch = guarded(lp_attention_scratch_bytes(b.n, b.d));
        double ns = time_of(run_attention, &b), macs = pairs * (double)b.d * 2 / ns;
        printf("%-7s attention %2ld queries, %4ld keys, d %3ld  %10.0f ns  %6.1f GMAC/s (%.2f of peak)\n",
               lp_isa_name(k->isa), (long)b.n, (long)shapes[i].keys, (long)b.d, ns, macs, macs / p->f32);
        free_all_guarded();
    }
}

int run_bench(int argc, char **argv)
{
    if (argc > 0) filter = argv[0];
    int64_t rows = argc > 1 ? atol(argv[1]) : 2048, cols = argc > 2 ? atol(argv[2]) : 2048;
    if (argc > 3) only_tokens = atol(argv[3]);
    if (lp_isa_select(NULL) != LP_OK) {
        fprintf(stderr, "%s\n", lp_error());
        return 2;
    }
    const lp_kernels *k = lp_kernels_current();
    peaks p = probe(k->isa);
    printf("%s on %s: int8 %.0f GMAC/s, f32 %.1f GMAC/s, L2 %.0f GB/s, memory %.1f GB/s\n", lp_isa_name(k->isa),
           lp_cpu_name(), p.int8, p.f32, p.l2, p.memory);
    if (strchr(filter, ':')) {
        lp_format *format;
        const lp_packing *packing;
        if (lp_format_parse(filter, &format) != LP_OK || lp_packing_create(format, &packing) != LP_OK) {
            fprintf(stderr, "%s\n", lp_error());
            return 2;
        }
        bench_linear(k, packing, rows, cols, &p);
        lp_packing_free(packing);
        lp_format_free(format);
        return 0;
    }
    for (int i = 0; i < lp_packing_count(); i++) {
        const lp_packing *packing = lp_packing_at(i);
        if (!is_wanted(packing->name) || (!packing->is_float && !lp_packing_unit_class(packing))) continue;
        bench_linear(k, packing, rows, cols, &p);
        bench_pack(packing, cols);
    }
    bench_vectors(k);
    if (is_wanted("attention")) bench_attention(k, &p);
    return 0;
}
