/* A file to a smaller file, tensor by tensor: rows are decoded, encoded and compared in pieces, so that memory is a few
 * rows. Threads take chunks of rows in turn; each chunk's result depends on its rows alone. */
#include <lowp/quantize.h>

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/arena.h"
#include "base/checked.h"
#include "base/fail.h"
#include "base/map.h"
#include "base/sha256.h"
#include "file/gguf.h"
#include "quantize/calibrated.h"
#include "quantize/encode.h"
#include "quantize/plan.h"
#include "quantize/planes.h"
#include "tensor/row.h"

enum {
    CHUNK_BYTES = 512 << 10, /* of float32 rows that a thread works on at once */
    CHUNK_ROWS = 64,         /* at most */
    CHUNKS_PER_THREAD = 3,   /* in a piece */
    HASH_BYTES = 4 << 20     /* of the source between two looks at progress */
};

/* What a thread found wrong, if anything: its text lives in that thread otherwise. */
typedef struct failure {
    lp_status status;
    int64_t chunk;
    char text[512];
} failure;

typedef struct job {
    const lp_gguf *source;
    lp_quantize_options settled; /* with what the recipe says */
    lp_model *changed;           /* the source with transforms folded in, which is then the source; NULL: none */
    const lp_progress *progress;
    lp_quantize_result *result;
    lp_gguf_writer *writer; /* owned; NULL once it is finished or aborted */
    lp_solved *solved;      /* [n_rows] tensors that a calibrated recipe has finished; NULL: none */
    double done, total;     /* bytes of the source hashed and read */

    /* buffers for the largest tensor */
    int n_threads;
    float *values;          /* [n_threads][2][chunk values]: decoded source, decoded result */
    size_t n_values;        /* per thread and half */
    uint8_t *out[2];        /* pieces of plane 0: one is written while the other is filled */
    uint8_t *behind;        /* the other planes of the tensor at hand, written after it */
    double *sums;           /* [piece rows][2]: sum of (x - x')^2 and of x^2 */
    failure *failures;      /* [n_threads] */
} job;

/* One piece of a tensor, as the threads see it. */
typedef struct piece {
    job *job;
    const lp_quantize_step *step;
    const lp_quantize_row *row;
    const lp_planes *planes; /* of the tensor that is written */
    int64_t first_row, n_rows, chunk_rows;
    uint8_t *out;
    const uint8_t *pending; /* bytes of the piece before, written by the calling thread meanwhile */
    size_t n_pending;
    lp_status write_status;
    atomic_llong next; /* chunk */
} piece;

static bool is_cancelled(const lp_progress *progress)
{
    return progress && progress->cancelled && progress->cancelled(progress->context);
}

static lp_status step_progress(job *j, const char *what, double bytes)
{
    j->done += bytes;
    if (j->progress && j->progress->report) j->progress->report(j->progress->context, what, j->done, j->total);
    if (is_cancelled(j->progress)) return lp_fail(LP_INTERRUPTED, "%s: interrupted", lp_gguf_path(j->source));
    return LP_OK;
}

/* ---- sizes of the buffers ---------------------------------------------------------------------------------------- */

static int64_t chunk_rows(int64_t k)
{
    int64_t n = CHUNK_BYTES / 4 / (k > 0 ? k : 1);
    return n < 1 ? 1 : n > CHUNK_ROWS ? CHUNK_ROWS : n;
}

static int64_t piece_rows(const job *j, int64_t k) { return chunk_rows(k) * CHUNKS_PER_THREAD * j->n_threads; }

static lp_status allocate_buffers(job *j, const lp_quantize_step *steps)
{
    size_t n_out = 1, n_rows = 1, n_behind = 1;
    j->n_threads = j->settled.pool ? lp_pool_threads(j->settled.pool) : 1;
    for (int64_t i = 0; i < j->result->n_rows; i++) {
        const lp_quantize_row *row = &j->result->rows[i];
        if (steps[i].copy) continue;
        int64_t k = row->dim[0], rows = piece_rows(j, k), all = lp_tensor_rows(steps[i].tensor);
        if (rows > all) rows = all;
        size_t values = (size_t)(chunk_rows(k) * k);
        lp_planes planes;
        lp_packing_planes(row->packing, k, all, &planes); /* fits: the plan knows its size */
        size_t bytes = planes.row_bytes[0] * (size_t)rows;
        if (planes.n_bytes - planes.size[0] > n_behind) n_behind = planes.n_bytes - planes.size[0];
        if (values > j->n_values) j->n_values = values;
        if (bytes > n_out) n_out = bytes;
        if ((size_t)rows > n_rows) n_rows = (size_t)rows;
    }
    size_t n_values;
    if (!lp_mul_size(j->n_values + 16, (size_t)j->n_threads * 2 * sizeof(float), &n_values)) return lp_fail_memory(SIZE_MAX, "rows");
    j->values = lp_aligned_alloc(n_values);
    j->out[0] = lp_aligned_alloc(n_out);
    j->out[1] = lp_aligned_alloc(n_out);
    j->behind = lp_aligned_alloc(n_behind);
    j->sums = lp_aligned_alloc(n_rows * 2 * sizeof(double));
    j->failures = calloc((size_t)j->n_threads, sizeof *j->failures);
    if (!j->values || !j->out[0] || !j->out[1] || !j->behind || !j->sums || !j->failures)
        return lp_fail_memory(n_values + 2 * n_out + n_behind, "rows");
    return LP_OK;
}

static void free_buffers(job *j)
{
    lp_aligned_free(j->values);
    lp_aligned_free(j->out[0]);
    lp_aligned_free(j->out[1]);
    lp_aligned_free(j->behind);
    lp_aligned_free(j->sums);
    free(j->failures);
}

/* ---- rows -------------------------------------------------------------------------------------------------------- */

/* Sum of (x - y)^2 and of x^2 over a row: lane j mod 8 in order of j, then the lanes in order. */
static void add_squares(const float *x, const float *y, int64_t k, double sums[2])
{
    double error[8] = {0}, power[8] = {0};
    int64_t j = 0;
    for (; j + 8 <= k; j += 8) {
        for (int l = 0; l < 8; l++) {
            double a = (double)x[j + l], d = a - (double)y[j + l];
            error[l] += d * d;
            power[l] += a * a;
        }
    }
    for (int l = 0; j < k; j++, l++) {
        double a = (double)x[j], d = a - (double)y[j];
        error[l] += d * d;
        power[l] += a * a;
    }
    sums[0] = sums[1] = 0.0;
    for (int l = 0; l < 8; l++) {
        sums[0] += error[l];
        sums[1] += power[l];
    }
}

/* Where row `row` of the tensor goes: plane 0 of the piece, and the planes behind it. */
static void planes_at(const piece *p, int64_t row, uint8_t *plane[LP_MAX_PLANES])
{
    const lp_planes *planes = p->planes;
    plane[0] = p->out + planes->row_bytes[0] * (size_t)(row - p->first_row);
    for (int i = 1; i < planes->n; i++)
        plane[i] = p->job->behind + (planes->offset[i] - planes->size[0]) + planes->row_bytes[i] * (size_t)row;
}

/* Encodes rows that may belong to several matrices with importance of their own. */
static lp_status encode_chunk(const piece *p, const float *x, int64_t first, int64_t n)
{
    const lp_tensor *tensor = p->step->tensor;
    int64_t k = tensor->dim[0];
    while (n > 0) {
        int64_t part = n;
        const float *importance = p->step->importance;
        uint8_t *plane[LP_MAX_PLANES];
        if (p->step->per_matrix) {
            int64_t matrix = first / tensor->dim[1], end = (matrix + 1) * tensor->dim[1];
            if (first + part > end) part = end - first;
            importance += matrix * k;
        }
        planes_at(p, first, plane);
        LP_TRY(lp_encode_rows_from(p->row->packing, p->job->settled.search, x, first, part, k, importance, p->planes, plane));
        x += part * k;
        first += part;
        n -= part;
    }
    return LP_OK;
}

static lp_status do_chunk(const piece *p, int64_t chunk, int thread)
{
    const job *j = p->job;
    const lp_tensor *tensor = p->step->tensor;
    int64_t k = tensor->dim[0], at = chunk * p->chunk_rows, n = p->n_rows - at < p->chunk_rows ? p->n_rows - at : p->chunk_rows;
    int64_t first = p->first_row + at;
    float *x = j->values + (size_t)thread * 2 * j->n_values, *y = x + j->n_values;
    for (int64_t r = 0; r < n; r++) lp_tensor_decode_row(tensor, first + r, x + r * k);
    LP_TRY(encode_chunk(p, x, first, n));
    for (int64_t r = 0; r < n; r++) {
        uint8_t *plane[LP_MAX_PLANES];
        lp_row row;
        planes_at(p, first + r, plane);
        for (int i = 0; i < p->planes->n; i++) row.plane[i] = plane[i];
        lp_row_decode(p->row->packing, &row, k, 0, k, y);
        add_squares(x + r * k, y, k, j->sums + 2 * (at + r));
    }
    return LP_OK;
}

static void do_piece(void *context, int thread, int n_threads)
{
    piece *p = context;
    (void)n_threads;
    if (thread == 0 && p->n_pending) p->write_status = lp_gguf_writer_write(p->job->writer, p->pending, p->n_pending);
    failure *failed = &p->job->failures[thread];
    int64_t n_chunks = (p->n_rows + p->chunk_rows - 1) / p->chunk_rows;
    for (;;) {
        int64_t chunk = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (chunk >= n_chunks) return;
        failed->status = do_chunk(p, chunk, thread);
        if (failed->status == LP_OK) continue;
        failed->chunk = chunk;
        snprintf(failed->text, sizeof failed->text, "%s", lp_error());
        return;
    }
}

/* The error of the first chunk that has one: chunks are taken in order, so that it is the same for any number of threads. */
static lp_status check_failures(const job *j, const char *name)
{
    const failure *first = NULL;
    for (int t = 0; t < j->n_threads; t++) {
        const failure *f = &j->failures[t];
        if (f->status != LP_OK && (!first || f->chunk < first->chunk)) first = f;
    }
    return first ? lp_fail(first->status, "%s: %s: %s", lp_gguf_path(j->source), name, first->text) : LP_OK;
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* Rows that were read are not needed again; from one piece further back, so that pages across a border go as well. */
static void drop_behind(const job *j, const lp_tensor *tensor, int64_t first_row, int64_t n_rows)
{
    lp_gguf_drop_pages(j->source, tensor, first_row - n_rows, first_row + n_rows);
}

static lp_status convert_tensor(job *j, const lp_quantize_step *step, lp_quantize_row *row)
{
    const lp_tensor *tensor = step->tensor;
    int64_t k = tensor->dim[0], n_rows = lp_tensor_rows(tensor), rows = piece_rows(j, k);
    size_t n_pending = 0;
    lp_planes planes;
    lp_packing_planes(row->packing, k, n_rows, &planes);
    size_t row_bytes = planes.row_bytes[0], n_behind = planes.n_bytes - planes.size[0];
    memset(j->behind, 0, n_behind);
    int index = lp_planes_tensor_scale(row->packing); /* needs a look at all of the tensor first */
    if (index >= 0) LP_TRY(lp_encode_set_tensor_scale(row->packing, tensor, j->behind + (planes.offset[index] - planes.size[0])));
    double error = 0.0, power = 0.0;
    int half = 0;
    for (int64_t first = 0; first < n_rows; first += rows, half ^= 1) {
        piece p = {.job = j, .step = step, .row = row, .planes = &planes, .first_row = first, .n_rows = n_rows - first < rows ? n_rows - first : rows,
                   .chunk_rows = chunk_rows(k), .out = j->out[half], .pending = j->out[half ^ 1], .n_pending = n_pending};
        lp_pool_run(j->settled.pool, do_piece, &p);
        LP_TRY(p.write_status);
        LP_TRY(check_failures(j, row->name));
        for (int64_t r = 0; r < p.n_rows; r++) {
            error += j->sums[2 * r];
            power += j->sums[2 * r + 1];
        }
        n_pending = row_bytes * (size_t)p.n_rows;
        drop_behind(j, tensor, first, p.n_rows);
        LP_TRY(step_progress(j, row->name, (double)tensor->n_bytes * (double)p.n_rows / (double)n_rows));
        if (first + rows >= n_rows) LP_TRY(lp_gguf_writer_write(j->writer, j->out[half], n_pending));
    }
    row->error = power > 0.0 ? sqrt(error / power) : 0.0;
    return n_behind ? lp_gguf_writer_write(j->writer, j->behind, n_behind) : LP_OK;
}

/* A tensor whose bytes exist already. */
static lp_status write_solved(job *j, const lp_quantize_step *step, lp_quantize_row *row, const uint8_t *bytes)
{
    const lp_tensor *tensor = step->tensor;
    int64_t k = tensor->dim[0], n_rows = lp_tensor_rows(tensor);
    lp_tensor solved = *tensor;
    solved.packing = row->packing;
    solved.data = bytes;
    double error = 0.0, power = 0.0;
    for (int64_t r = 0; r < n_rows; r++) {
        float *x = j->values, *y = x + j->n_values;
        double sums[2];
        lp_tensor_decode_row(tensor, r, x);
        lp_tensor_decode_row(&solved, r, y);
        add_squares(x, y, k, sums);
        error += sums[0];
        power += sums[1];
    }
    row->error = power > 0.0 ? sqrt(error / power) : 0.0;
    LP_TRY(lp_gguf_writer_write(j->writer, bytes, (size_t)row->n_bytes));
    drop_behind(j, tensor, 0, n_rows);
    return step_progress(j, row->name, (double)tensor->n_bytes);
}

static lp_status copy_tensor(job *j, const lp_quantize_step *step)
{
    const lp_tensor *tensor = step->tensor;
    for (size_t at = 0, n; at < tensor->n_bytes; at += n) {
        n = tensor->n_bytes - at < HASH_BYTES ? tensor->n_bytes - at : HASH_BYTES;
        LP_TRY(lp_gguf_writer_write(j->writer, tensor->data + at, n));
        lp_gguf_drop_bytes(j->source, tensor->data + at, n);
        LP_TRY(step_progress(j, tensor->name, (double)n));
    }
    return LP_OK;
}

/* ---- metadata ---------------------------------------------------------------------------------------------------- */

static lp_status hash_source(job *j, char hex[65])
{
    const lp_gguf *source = j->source;
    lp_sha256 hash;
    lp_sha256_begin(&hash);
    for (uint64_t at = 0, n; at < source->n_bytes; at += n) {
        n = HASH_BYTES;
        const uint8_t *bytes = lp_gguf_bytes(source, at, &n);
        lp_sha256_add(&hash, bytes, (size_t)n);
        lp_gguf_drop_bytes(source, bytes, (size_t)n);
        LP_TRY(step_progress(j, "hash", (double)n));
    }
    lp_sha256_end(&hash, hex);
    return LP_OK;
}

/* Keys that tell how a file was made and would be wrong in the next one. */
static bool is_stale(const lp_gguf_key *key)
{
    static const char *const stale[] = {"lowp.version", "lowp.recipe", "lowp.source.sha256", "lowp.stats.sha256",
                                       "lowp.calibration.sha256", "lowp.requantized"};
    for (size_t i = 0; i < sizeof stale / sizeof stale[0]; i++)
        if (key->key.n == strlen(stale[i]) && !memcmp(key->key.data, stale[i], key->key.n)) return true;
    return false;
}

/* The keys that this program adds or replaces. */
typedef struct provenance {
    char *recipe;
    char source_sha256[65];
    const char *stats_sha256; /* "": none */
    char calibration_sha256[65]; /* of the text; "": none */
    uint32_t file_type;
    bool has_file_type, requantized;
} provenance;

static lp_status set_keys(lp_gguf_writer *writer, const lp_gguf *source, const provenance *p)
{
    for (int64_t i = 0; i < lp_gguf_key_count(source); i++) {
        const lp_gguf_key *key = lp_gguf_key_at(source, i);
        if (!is_stale(key) && !lp_gguf_is_format_key(key->key)) LP_TRY(lp_gguf_writer_copy_key(writer, key));
    }
    lp_string architecture = {0};
    LP_TRY(lp_gguf_get_architecture(source, false, &architecture));
    if (architecture.n) LP_TRY(lp_gguf_writer_copy_string(writer, "general.architecture", architecture));
    if (p->has_file_type) LP_TRY(lp_gguf_writer_set_u32(writer, "general.file_type", p->file_type));
    LP_TRY(lp_gguf_writer_set_u32(writer, "general.quantization_version", 2));
    LP_TRY(lp_gguf_writer_set_string(writer, "lowp.version", lp_version()));
    LP_TRY(lp_gguf_writer_set_string(writer, "lowp.recipe", p->recipe));
    LP_TRY(lp_gguf_writer_set_string(writer, "lowp.source.sha256", p->source_sha256));
    if (*p->stats_sha256) LP_TRY(lp_gguf_writer_set_string(writer, "lowp.stats.sha256", p->stats_sha256));
    if (*p->calibration_sha256) LP_TRY(lp_gguf_writer_set_string(writer, "lowp.calibration.sha256", p->calibration_sha256));
    if (p->requantized) LP_TRY(lp_gguf_writer_set_bool(writer, "lowp.requantized", true));
    return LP_OK;
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

/* Keys and directory; the file's size is known then. */
static lp_status declare(job *j, const lp_gguf *original, const provenance *p)
{
    LP_TRY(set_keys(j->writer, original, p));
    for (int64_t i = 0; i < j->result->n_rows; i++) {
        const lp_quantize_row *row = &j->result->rows[i];
        LP_TRY(lp_gguf_writer_add_tensor(j->writer, row->name, row->n_dims, row->dim, row->packing));
    }
    j->result->n_bytes = lp_gguf_writer_size(j->writer);
    return LP_OK;
}

static lp_status write_file(job *j, const lp_quantize_step *steps, const lp_gguf *original)
{
    lp_quantize_result *result = j->result;
    LP_TRY(lp_gguf_writer_begin_data(j->writer));
    for (int64_t i = 0; i < result->n_rows; i++) {
        lp_quantize_row *row = &result->rows[i];
        if (steps[i].copy) LP_TRY(copy_tensor(j, &steps[i]));
        else if (j->solved && j->solved[i].bytes) LP_TRY(write_solved(j, &steps[i], row, j->solved[i].bytes));
        else LP_TRY(convert_tensor(j, &steps[i], row));
    }
    LP_TRY(lp_gguf_check_intact(original));
    lp_gguf_writer *writer = j->writer;
    j->writer = NULL;
    return lp_gguf_writer_finish(writer, result->sha256);
}

/* What a calibrated recipe does before the file is written: transforms, from which a changed source comes, and finished tensors. */
static lp_status calibrate(job *j, lp_quantize_step *steps, const lp_recipe *recipe)
{
    lp_quantize_result *result = j->result;
    LP_TRY(lp_quantize_transformed(&j->settled, recipe, steps, result, j->progress, &j->changed));
    if (j->changed) {
        j->settled.model = j->changed;
        j->source = lp_model_gguf(j->changed);
        for (int64_t i = 0; i < result->n_rows; i++) {
            steps[i].tensor = lp_gguf_tensor_at(j->source, i);
            steps[i].copy = lp_packing_equal(result->rows[i].packing, steps[i].tensor->packing);
        }
    }
    j->solved = calloc((size_t)result->n_rows + 1, sizeof *j->solved);
    if (!j->solved) return lp_fail_memory((size_t)result->n_rows * sizeof *j->solved, "the plan");
    return lp_quantize_calibrated(j->source, &j->settled, recipe, steps, result, j->progress, j->solved);
}

static lp_status run(job *j, const char *path, lp_quantize_step *steps, const lp_recipe *recipe, provenance *p)
{
    const lp_quantize_options *options = &j->settled;
    const lp_gguf *original = j->source;
    p->has_file_type = options->mixture || options->packing->file_type >= 0;
    p->file_type = options->mixture ? lp_mixture_file_type(options->mixture) : (uint32_t)options->packing->file_type;
    p->requantized = j->result->requantized;
    p->stats_sha256 = options->stats ? lp_stats_sha256(options->stats) : "";
    p->recipe = lp_quantize_recipe(options);
    if (recipe->calibrated && options->calibration) {
        lp_sha256 hash;
        lp_sha256_begin(&hash);
        lp_sha256_add(&hash, options->calibration, options->n_calibration);
        lp_sha256_end(&hash, p->calibration_sha256);
    }
    if (!p->recipe) return lp_fail_memory(64, "the recipe");
    if (options->dry_run) {
        memset(p->source_sha256, '0', 64);
        LP_TRY(lp_gguf_writer_create_dry(&j->writer));
        return declare(j, original, p);
    }
    j->total = (double)j->source->n_bytes;
    for (int64_t i = 0; i < j->result->n_rows; i++) j->total += (double)steps[i].tensor->n_bytes;
    LP_TRY(allocate_buffers(j, steps));
    LP_TRY(lp_gguf_writer_create(path, options->force, &j->writer)); /* first: a refusal should not take a second */
    LP_TRY(hash_source(j, p->source_sha256));
    if (recipe->calibrated) LP_TRY(calibrate(j, steps, recipe));
    LP_TRY(declare(j, original, p));
    return write_file(j, steps, original);
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void finish_result(lp_quantize_result *result, double seconds)
{
    double n = (double)(result->n_parameters ? result->n_parameters : 1);
    result->bits_per_weight = 8.0 * (double)result->n_tensor_bytes / n;
    result->file_bits_per_weight = 8.0 * (double)result->n_bytes / n;
    result->seconds = seconds;
    struct rusage usage;
    if (getrusage(RUSAGE_SELF, &usage) == 0) result->peak_bytes = (uint64_t)usage.ru_maxrss * 1024;
}

lp_status lp_quantize(const lp_gguf *source, const char *path, const lp_quantize_options *options, const lp_progress *progress,
                      lp_quantize_result *result)
{
    double start = now();
    memset(result, 0, sizeof *result);
    lp_quantize_step *steps = NULL;
    provenance p = {0};
    lp_recipe recipe;
    job j = {.source = source, .settled = *options, .progress = progress, .result = result};
    lp_status status = lp_recipe_parse(options->recipe, &recipe);
    if (status == LP_OK && options->recipe) j.settled.search = recipe.search;
    if (status == LP_OK && options->stats && recipe.scale.policy != LP_SCALE_POLICY_NONE)
        status = lp_fail(LP_USAGE, "%s: statistics of the model do not fit its scaled channels: use --calibration alone", lp_gguf_path(source));
    if (status == LP_OK) status = lp_quantize_plan(source, &j.settled, result, &steps);
    if (status == LP_OK) status = run(&j, path, steps, &recipe, &p);
    lp_solved_free(j.solved, result->n_rows);
    lp_gguf_writer_abort(j.writer);
    lp_model_close(j.changed);
    free_buffers(&j);
    free(p.recipe);
    free(steps);
    if (status == LP_OK) finish_result(result, now() - start);
    else lp_quantize_result_free(result);
    return status;
}

void lp_quantize_result_free(lp_quantize_result *result)
{
    free(result->rows);
    memset(result, 0, sizeof *result);
}
