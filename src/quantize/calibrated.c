/* What the block driver shows is solved here, weight by weight; the driver's next layers see what the new weights decode to. */
#include "quantize/calibrated.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/fail.h"
#include "quantize/encode.h"

typedef struct run {
    const lp_gguf *source;
    const lp_quantize_options *options;
    const lp_recipe *recipe;
    const lp_quantize_step *steps;
    lp_quantize_result *result;
    lp_solved *solved;
} run;

void lp_solved_free(lp_solved *solved, int64_t n)
{
    for (int64_t i = 0; solved && i < n; i++) lp_aligned_free(solved[i].bytes);
    free(solved);
}

static int64_t find_row(const run *r, const lp_tensor *tensor)
{
    for (int64_t i = 0; i < r->result->n_rows; i++)
        if (r->steps[i].tensor == tensor) return i;
    return -1;
}

/* ---- rows over threads -------------------------------------------------------------------------------------------- */

typedef struct rows_job {
    const run *run;
    const lp_tensor *tensor;
    const lp_packing *packing; /* of bytes */
    const float *importance;   /* [k] or NULL */
    uint8_t *bytes;
    float *value;              /* NULL: not wanted */
    lp_status *status;         /* [n_threads] */
    char (*text)[512];
} rows_job;

static lp_status encode_some(const rows_job *j, int64_t first, int64_t last)
{
    int64_t k = j->tensor->dim[0];
    lp_planes planes;
    lp_packing_planes(j->packing, k, lp_tensor_rows(j->tensor), &planes); /* fits: the plan knows its size */
    float *row = malloc((size_t)k * sizeof *row * LP_LANES);
    if (!row) return lp_fail_memory((size_t)k * sizeof *row * LP_LANES, "rows");
    lp_status status = LP_OK;
    for (int64_t r = first; r < last && status == LP_OK; r += LP_LANES) {
        int64_t n = last - r < LP_LANES ? last - r : LP_LANES;
        for (int64_t i = 0; i < n; i++) lp_tensor_decode_row(j->tensor, r + i, row + i * k);
        uint8_t *plane[LP_MAX_PLANES];
        for (int i = 0; i < planes.n; i++) plane[i] = j->bytes + planes.offset[i] + planes.row_bytes[i] * (size_t)r;
        status = lp_encode_rows_from(j->packing, j->run->recipe->search, row, r, n, k, j->importance, &planes, plane);
    }
    free(row);
    return status;
}

static void encode_part(void *context, int thread, int n_threads)
{
    const rows_job *j = context;
    int64_t first, last, n = lp_tensor_rows(j->tensor);
    lp_pool_part((n + LP_LANES - 1) / LP_LANES, thread, n_threads, &first, &last);
    last = last * LP_LANES < n ? last * LP_LANES : n;
    j->status[thread] = first * LP_LANES < last ? encode_some(j, first * LP_LANES, last) : LP_OK;
    if (j->status[thread] != LP_OK) snprintf(j->text[thread], sizeof j->text[thread], "%s", lp_error());
}

/* The reference search, or plain rounding. */
static lp_status encode_matrix(const rows_job *job)
{
    rows_job j = *job;
    LP_TRY(lp_encode_begin(j.packing, j.tensor, j.bytes));
    lp_pool *pool = j.run->options->pool;
    size_t n = (size_t)(pool ? lp_pool_threads(pool) : 1);
    j.status = calloc(n, sizeof *j.status);
    j.text = calloc(n, sizeof *j.text);
    lp_status status = LP_OK;
    if (!j.status || !j.text) {
        status = lp_fail_memory(n * sizeof *j.text, "rows");
    } else {
        lp_pool_run(pool, encode_part, &j);
        for (size_t t = 0; t < n && status == LP_OK; t++) /* parts ascend: the first failure is that of the first row */
            if (j.status[t] != LP_OK) status = lp_fail(j.status[t], "%s", j.text[t]);
    }
    free(j.status);
    free(j.text);
    return status;
}

static void decode_part(void *context, int thread, int n_threads)
{
    const rows_job *j = context;
    int64_t first, last, k = j->tensor->dim[0];
    lp_pool_part(lp_tensor_rows(j->tensor), thread, n_threads, &first, &last);
    lp_tensor encoded = *j->tensor;
    encoded.packing = j->packing;
    encoded.data = j->bytes;
    for (int64_t r = first; r < last; r++) lp_tensor_decode_row(&encoded, r, j->value + r * k);
}

/* ---- groups ------------------------------------------------------------------------------------------------------- */

/* The solver of a group is made when its first weight needs it. */
typedef struct shared {
    const lp_moments *moments;
    lp_solve_options options;
    lp_solver solver;
    bool made;
    float *importance; /* [k] mean squares */
} shared;

static lp_status make_importance(shared *s)
{
    if (s->importance || !s->moments) return LP_OK;
    int64_t k = s->moments->k;
    s->importance = malloc((size_t)k * sizeof *s->importance);
    if (!s->importance) return lp_fail_memory((size_t)k * sizeof *s->importance, "importance");
    for (int64_t i = 0; i < k; i++) s->importance[i] = (float)s->moments->h[i * k + i];
    return LP_OK;
}

static lp_status make_solver(const run *r, shared *s)
{
    if (!s->made) LP_TRY(lp_solver_create(&s->options, s->moments, r->options->pool, &s->solver));
    s->made = true;
    return LP_OK;
}

/* The format's own search, weighted where a calibrated layer reads the tensor. */
static lp_status search_weight(run *r, shared *s, int64_t index, uint8_t *bytes)
{
    const lp_quantize_step *step = &r->steps[index];
    lp_quantize_row *row = &r->result->rows[index];
    rows_job job = {.run = r, .tensor = step->tensor, .packing = row->packing, .bytes = bytes};
    if (s->moments && lp_encode_uses_importance(row->packing, r->recipe->search)) {
        LP_TRY(make_importance(s));
        job.importance = s->importance;
    }
    if (!job.importance && lp_encode_needs_importance(row->packing, r->recipe->search)) {
        lp_fail(LP_USAGE, "format %s needs importance, and no calibrated layer reads this tensor", row->packing->name);
        return lp_hint(LP_USAGE, "Give this tensor another format: --tensor '%s=q4_k'.", row->name);
    }
    row->importance = job.importance != NULL;
    return encode_matrix(&job);
}

static lp_status solve_weight(run *r, shared *s, int64_t index, uint8_t *bytes)
{
    const lp_quantize_step *step = &r->steps[index];
    lp_quantize_row *row = &r->result->rows[index];
    if (r->recipe->solves && s->moments) {
        lp_codec codec;
        bool exists;
        double loss;
        LP_TRY(lp_codec_create(row->packing, step->tensor, &codec, &exists));
        lp_status status = exists ? make_solver(r, s) : LP_OK;
        if (exists && status == LP_OK) status = lp_solve_matrix(&s->solver, &codec, step->tensor, r->options->pool, bytes, &loss);
        lp_codec_free(&codec);
        LP_TRY(status);
        if (!exists) return search_weight(r, s, index, bytes);
        row->method = s->solver.factor.failed ? "to nearest: the moments are not positive definite"
                      : r->recipe->solve.feedback ? "gptq" : "clip";
        row->importance = true;
        return LP_OK;
    }
    return search_weight(r, s, index, bytes);
}

static lp_status solve_group(void *context, const lp_driver_group *group, float *const *value)
{
    run *r = context;
    shared s = {.moments = group->moments, .options = r->recipe->solve};
    if (group->layer < 0 && strcmp(group->weight[0]->name, "token_embd.weight") == 0) s.options.damp = r->recipe->damp_tied;
    lp_status status = LP_OK;
    for (int i = 0; i < group->n_weights && status == LP_OK; i++) {
        const lp_tensor *tensor = group->weight[i];
        int64_t index = find_row(r, tensor);
        const lp_quantize_row *row = &r->result->rows[index];
        rows_job job = {.run = r, .tensor = tensor, .packing = tensor->packing, .bytes = (uint8_t *)(uintptr_t)tensor->data,
                        .value = value ? value[i] : NULL};
        if (!r->steps[index].copy && !r->solved[index].bytes) {
            uint8_t *bytes = lp_aligned_alloc((size_t)row->n_bytes);
            if (!bytes) status = lp_fail_memory((size_t)row->n_bytes, tensor->name);
            r->solved[index].bytes = bytes;
            if (status == LP_OK) status = solve_weight(r, &s, index, bytes);
            if (status != LP_OK) { /* name the tensor, keep the line that says what to do */
                char text[1024];
                snprintf(text, sizeof text, "%s", lp_error());
                lp_fail(status, "%s: %s: %s", lp_gguf_path(r->source), tensor->name, text);
            }
        }
        if (r->solved[index].bytes) {
            job.packing = row->packing;
            job.bytes = r->solved[index].bytes;
        }
        if (status == LP_OK && value) lp_pool_run(r->options->pool, decode_part, &job);
    }
    if (s.made) lp_solver_free(&s.solver);
    free(s.importance);
    return status;
}

static lp_status check_text(const lp_quantize_options *options)
{
    if (options->model && options->calibration) return LP_OK;
    lp_fail(LP_USAGE, "the recipe needs a calibration text");
    return lp_hint(LP_USAGE, "Pass one with --calibration FILE, or --calibration embedded-calibration.");
}

static lp_driver_options driver_options(const lp_quantize_options *options)
{
    enum { USUAL_WINDOWS = 128 }; /* the residual stream of all of them is kept */
    int64_t n_windows = options->calibration_windows ? options->calibration_windows : USUAL_WINDOWS;
    return (lp_driver_options){.n_context = options->calibration_context, .n_windows = n_windows, .pool = options->pool};
}

static const lp_packing *planned_packing(void *context, const lp_tensor *tensor)
{
    const run *r = context;
    int64_t index = find_row(r, tensor);
    return index < 0 || r->steps[index].copy ? NULL : r->result->rows[index].packing;
}

lp_status lp_quantize_transformed(const lp_quantize_options *options, const lp_recipe *recipe, const lp_quantize_step *steps,
                                  const lp_quantize_result *result, const lp_progress *progress, lp_model **out)
{
    *out = NULL;
    if (recipe->scale.policy == LP_SCALE_POLICY_NONE) return LP_OK;
    LP_TRY(check_text(options));
    run r = {.options = options, .recipe = recipe, .steps = steps, .result = (lp_quantize_result *)(uintptr_t)result};
    lp_driver_options driver = driver_options(options);
    lp_scale_options scale = recipe->scale;
    scale.search = recipe->search;
    return lp_scale_model(options->model, options->calibration, options->n_calibration, &driver, &scale, planned_packing, &r, progress, out);
}

lp_status lp_quantize_calibrated(const lp_gguf *source, const lp_quantize_options *options, const lp_recipe *recipe,
                                 const lp_quantize_step *steps, lp_quantize_result *result, const lp_progress *progress,
                                 lp_solved *solved)
{
    if (!recipe->measured) return LP_OK;
    LP_TRY(check_text(options));
    run r = {source, options, recipe, steps, result, solved};
    lp_driver_options driver = driver_options(options);
    driver.prefix = (lp_prefix)recipe->prefix;
    driver.cross = recipe->solve.align > 0.0 && driver.prefix != LP_PREFIX_FLOAT;
    driver.solve = solve_group;
    driver.context = &r;
    lp_driver_coverage coverage;
    return lp_driver_run(options->model, options->calibration, options->n_calibration, &driver, progress, &coverage);
}
