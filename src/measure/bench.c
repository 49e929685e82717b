/* The probe of the machine, and models beside it. Card: kernels/stream-roofline. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lowp/bench.h>
#include <lowp/isa.h>

#include "base/arena.h"
#include "base/fail.h"
#include "base/random.h"
#include "kernel/probe.h"
#include "measure/bench.h"
#include "measure/windows.h"

enum { MAX_REPEAT = 99 };

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

double lp_bench_median(double *x, int n)
{
    qsort(x, (size_t)n, sizeof *x, ascending);
    return n % 2 ? x[n / 2] : 0.5 * (x[n / 2 - 1] + x[n / 2]);
}

double lp_bench_seconds(const lp_pool *pool)
{
    struct timespec t;
    if (lp_pool_threads(pool) > 1 || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t) != 0) return lp_seconds();
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- probe --------------------------------------------------------------------------------------------------------- */

typedef struct probe_job {
    const uint8_t *memory;
    size_t n_bytes;      /* of each pass, per thread */
    int n_passes;
    uint64_t n_rounds;
    uint64_t (*peak)(lp_isa isa, uint64_t n); /* NULL: reading */
    _Atomic uint64_t done; /* also what the reads gave, so that none is left out */
} probe_job;

static void probe_part(void *context, int thread, int n_threads)
{
    probe_job *j = context;
    uint64_t done = 0;
    (void)n_threads;
    for (int i = 0; !j->peak && i < j->n_passes; i++)
        done |= lp_probe_read(lp_isa_current(), j->memory + (size_t)thread * j->n_bytes, j->n_bytes);
    j->done += j->peak ? j->peak(lp_isa_current(), j->n_rounds) : done;
}

static double seconds_of(lp_pool *pool, probe_job *j)
{
    double start = lp_bench_seconds(pool);
    lp_pool_run(pool, probe_part, j);
    return lp_bench_seconds(pool) - start;
}

double lp_probe_read_once(lp_pool *pool, const uint8_t *memory, size_t n_bytes, int n_passes)
{
    probe_job j = {.memory = memory, .n_bytes = n_bytes & ~(size_t)511, .n_passes = n_passes};
    return (double)lp_pool_threads(pool) * (double)n_passes * (double)j.n_bytes / seconds_of(pool, &j) * 1e-9;
}

double lp_probe_peak_once(lp_pool *pool, uint64_t (*peak)(lp_isa isa, uint64_t n))
{
    probe_job j = {.peak = peak, .n_rounds = 1 << 18};
    double seconds = seconds_of(pool, &j);
    return (double)j.done / seconds * 1e-9;
}

/* Best of five: a probe asks what the machine can do, so disturbances are left out. */
lp_status lp_probe_machine(lp_pool *pool, lp_probe *probe)
{
    size_t n = (size_t)lp_pool_threads(pool), per_thread = ((size_t)256 << 20) / n & ~(size_t)511;
    uint8_t *memory = lp_aligned_alloc(per_thread * n);
    if (!memory) return lp_fail_memory(per_thread * n, "the bandwidth probe");
    memset(memory, 1, per_thread * n);
    *probe = (lp_probe){0};
    for (int i = 0; i < 5; i++) {
        probe->read_gbytes_per_s = fmax(probe->read_gbytes_per_s, lp_probe_read_once(pool, memory, per_thread, 1));
        probe->l2_read_gbytes_per_s = fmax(probe->l2_read_gbytes_per_s, lp_probe_read_once(pool, memory, LP_PROBE_L2_BYTES, LP_PROBE_L2_PASSES));
        probe->int8_gmacs_per_s = fmax(probe->int8_gmacs_per_s, lp_probe_peak_once(pool, lp_probe_int8));
        probe->f32_gmacs_per_s = fmax(probe->f32_gmacs_per_s, lp_probe_peak_once(pool, lp_probe_f32));
    }
    lp_aligned_free(memory);
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
        double seconds = lp_bench_median(run[i].seconds, n_repeat);
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
