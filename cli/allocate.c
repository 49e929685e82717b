/* --size and its relatives: the best file of a given size, as `lowp quantize` offers it. */
#include "allocate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool cli_allocate_wanted(const cli_allocate *o) { return o->size || o->bpw > 0; }

/* ---- options ------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *unit;
    double bytes; /* 0: bits per weight */
} units[] = {
    {"bpw", 0},      {"kb", 1e3},           {"mb", 1e6},           {"gb", 1e9},           {"k", 1024},      {"m", 1048576},
    {"g", 1073741824}, {"kib", 1024},       {"mib", 1048576},      {"gib", 1073741824},   {"b", 1},         {"", 1},
};

static lp_status parse_size(const char *text, int64_t n_parameters, uint64_t *n_bytes)
{
    char *unit;
    double value = strtod(text, &unit);
    while (*unit == ' ') unit++;
    for (size_t i = 0; i < sizeof units / sizeof units[0] && unit != text && value > 0; i++) {
        if (strcasecmp(unit, units[i].unit) != 0) continue;
        double bytes = units[i].bytes > 0 ? value * units[i].bytes : value * (double)n_parameters / 8;
        if (bytes >= 1 && bytes < 9e18) {
            *n_bytes = (uint64_t)floor(bytes);
            return LP_OK;
        }
    }
    return cli_fail(LP_USAGE, "for example 18MB (10^6 bytes), 4.7G (2^30 bytes) or 4.5bpw (bits per weight)",
                    "--size: '%.100s' is no size", text);
}

/* "q4_k,e2m1:32:e8m0" as a list; the text holds it. Commas within brackets belong to a format. */
static lp_status parse_candidates(char *text, const char ***formats, int *n)
{
    int room = 1, depth = 0;
    for (const char *c = text; *c; c++) room += *c == ',';
    *formats = cli_alloc((size_t)room * sizeof **formats);
    *n = 0;
    for (char *word = text, *c = text; *word; c++) {
        depth += *c == '(' || *c == '{' || *c == '[';
        depth -= *c == ')' || *c == '}' || *c == ']';
        if (*c && (*c != ',' || depth > 0)) continue;
        const lp_packing *packing;
        bool last = !*c;
        *c = 0;
        if (strcmp(word, LP_CANDIDATES_GGUF) != 0 && strcmp(word, LP_CANDIDATES_OWN) != 0) {
            lp_status status = cli_writable_format(word, "--candidates", &packing);
            if (status) return status;
            lp_packing_free(packing); /* the library makes its own from the text */
        }
        (*formats)[(*n)++] = word;
        word = last ? c : c + 1;
        if (last) break;
    }
    return *n ? LP_OK : cli_fail(LP_USAGE, NULL, "--candidates: the list is empty");
}

/* ---- the work ------------------------------------------------------------------------------------------------------ */

/* Importance from the text itself, where no statistics were given. */
static lp_status calibrate(const cli_common *common, const lp_model *model, const char *text, size_t n_text, lp_pool *pool,
                           lp_stats **stats)
{
    cli_progress progress;
    lp_calibrate_options o = {.pool = pool, .n_windows = 32, .text_name = "calibration"};
    cli_progress_begin(&progress, common);
    lp_status status = lp_calibrate(model, text, n_text, &o, &progress.progress, stats);
    cli_progress_end(&progress);
    return status;
}

static lp_status choose(const cli_common *common, const lp_model *model, const char *text, size_t n_text,
                        const lp_allocate_options *o, lp_allocation *result)
{
    cli_progress progress;
    cli_progress_begin(&progress, common);
    lp_status status = lp_allocate(model, text, n_text, o, &progress.progress, result);
    cli_progress_end(&progress);
    return status;
}

lp_status cli_allocate_run(const cli_common *common, const cli_allocate *options, const char *output, lp_quantize_options *q,
                           lp_allocation *result)
{
    lp_allocate_options o = {.scratch = output, .table = options->sensitivities, .milliseconds = options->milliseconds,
                             .n_rounds = (int)options->n_rounds, .n_anchors = (int)options->n_anchors};
    const char **formats = NULL;
    char *names = NULL;
    lp_stats *stats = NULL;
    int64_t n_parameters = lp_model_get_info(q->model)->n_parameters;
    bool calibrated;
    lp_status status = lp_recipe_check(q->recipe, &calibrated);
    if (!status && options->size) status = parse_size(options->size, n_parameters, &o.n_bytes);
    else o.n_bytes = (uint64_t)floor(options->bpw * (double)n_parameters / 8);
    if (!status && options->candidates) {
        names = cli_copy(options->candidates);
        status = parse_candidates(names, &formats, &o.n_formats);
        o.formats = formats;
    }
    o.sensitivity_recipe = options->sensitivity_recipe;
    if (!status) status = lp_recipe_check(options->sensitivity_recipe, &calibrated);
    if (!status && !q->stats && !q->recipe) {
        status = calibrate(common, q->model, q->calibration, q->n_calibration, q->pool, &stats);
        q->stats = stats;
    }
    o.quantize = *q;
    o.sensitivity = (lp_sensitivity_options){.n_context = options->n_context, .n_windows = options->n_windows, .pool = q->pool};
    if (!status && options->report) status = cli_check_output(options->report, common->force);
    if (!status) status = choose(common, q->model, q->calibration, q->n_calibration, &o, result);
    if (!status && options->report)
        status = lp_allocation_write_report(result, common->operand[0], output, options->report, common->force);
    if (!status) {
        q->packing = result->base;
        q->mixture = NULL;
        q->rules = result->rules;
        q->n_rules = result->n_rules;
    }
    free(names);
    free(formats);
    return status;
}

/* ---- results ------------------------------------------------------------------------------------------------------- */

void cli_allocate_json(cli_json *json, const lp_allocation *r)
{
    cli_json_object(json, "allocation");
    cli_json_real(json, "objective", r->objective);
    cli_json_real(json, "lower_bound", r->lower_bound);
    cli_json_real(json, "relaxation", r->relaxation);
    cli_json_bool(json, "optimal", r->optimal);
    cli_json_real(json, "predicted_kl_nats", r->predicted);
    cli_json_real(json, "kl_nats", r->joint.kl);
    cli_json_real(json, "kl_standard_error", r->joint.kl_error);
    cli_json_real(json, "kl_before_corrections_nats", r->first.kl);
    cli_json_integer(json, "corrections", r->n_rounds);
    cli_json_integer(json, "n_predictions", r->table->n_predictions);
    if (r->milliseconds > 0) {
        cli_json_real(json, "token_milliseconds", r->milliseconds);
        cli_json_text(json, "timed_on", lp_isa_name(lp_isa_current()));
    }
    cli_json_real(json, "work", r->work);
    cli_json_real(json, "seconds", r->seconds);
    cli_json_array(json, "single_formats");
    for (int i = 0; i < r->n_singles; i++) {
        cli_json_object(json, NULL);
        cli_json_text(json, "format", r->singles[i].format);
        cli_json_unsigned(json, "n_bytes", r->singles[i].n_bytes);
        cli_json_real(json, "kl_nats", r->singles[i].metrics.kl);
        cli_json_close(json);
    }
    cli_json_close(json);
    cli_json_close(json);
}

void cli_allocate_print(FILE *out, const lp_allocation *r)
{
    fprintf(out, "\nchosen by measurement on %s predictions, in %s:\n", cli_count(r->table->n_predictions).text,
            cli_seconds(r->seconds).text);
    fprintf(out, "KL on that text  %.6f +- %.6f nats per token (sum of the tensors' own: %.6f)\n", r->joint.kl, r->joint.kl_error,
            r->predicted);
    if (r->n_rounds)
        fprintf(out, "corrections      %d, from %.6f\n", r->n_rounds, r->first.kl);
    fprintf(out, "%s  %.6f, lower bound %.6f%s\n", r->n_rounds ? "last problem   " : "problem        ", r->objective, r->lower_bound,
            r->optimal ? " (proven: no choice is better)" : "");
    if (r->milliseconds > 0) fprintf(out, "products         %.4g ms a token, timed on this machine (%s)\n", r->milliseconds, lp_isa_name(lp_isa_current()));
    cli_table *table = cli_table_create("all tensors in|>size|>KL there");
    for (int i = 0; i < r->n_singles; i++) {
        cli_table_cell(table, "%s", r->singles[i].format);
        cli_table_cell(table, "%s", cli_bytes(r->singles[i].n_bytes).text);
        cli_table_cell(table, "%.6f", r->singles[i].metrics.kl);
    }
    cli_table_print(table, out);
    fputc('\n', out);
}
