/* lowp quantize: a smaller file of the same model. */
#include "allocate.h"
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct quantize_options {
    cli_common common;
    const char *output, *format, *stats, *recipe, *calibration;
    int64_t calibration_context, calibration_windows;
    cli_list rules;
    cli_allocate allocate;
} quantize_options;

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void print_json(const quantize_options *options, const lp_gguf *source, const char *format,
                       const lp_quantize_result *r, const lp_allocation *allocation)
{
    cli_json json;
    cli_json_begin(&json, "quantize");
    cli_json_text(&json, "source", options->common.operand[0]);
    cli_json_text(&json, "output", options->output);
    if (options->common.dry_run) cli_json_bool(&json, "dry_run", true);
    cli_json_text(&json, "format", format);
    cli_json_text(&json, "recipe", options->recipe ? options->recipe : "reference");
    cli_json_text(&json, "calibration", options->calibration);
    cli_json_text(&json, "stats", options->stats);
    cli_json_unsigned(&json, "source_bytes", lp_gguf_size(source));
    cli_json_unsigned(&json, "n_bytes", r->n_bytes);
    cli_json_integer(&json, "n_parameters", r->n_parameters);
    cli_json_real(&json, "bits_per_weight", r->bits_per_weight);
    cli_json_real(&json, "file_bits_per_weight", r->file_bits_per_weight);
    cli_json_real(&json, "seconds", r->seconds);
    cli_json_unsigned(&json, "peak_bytes", r->peak_bytes);
    cli_json_text(&json, "sha256", r->sha256[0] ? r->sha256 : NULL);
    cli_json_bool(&json, "requantized", r->requantized);
    if (allocation) cli_allocate_json(&json, allocation);
    cli_json_array(&json, "tensors");
    for (int64_t i = 0; i < r->n_rows; i++) {
        const lp_quantize_row *row = &r->rows[i];
        cli_json_object(&json, NULL);
        cli_json_text(&json, "name", row->name);
        cli_json_text(&json, "format", row->packing->name);
        cli_json_text(&json, "source_format", row->source->name);
        cli_json_real(&json, "error", row->error);
        cli_json_text(&json, "method", row->method);
        cli_json_text(&json, "fallback", row->fallback);
        cli_json_bool(&json, "importance", row->importance);
        cli_json_unsigned(&json, "n_bytes", row->n_bytes);
        cli_json_close(&json);
    }
    cli_json_close(&json);
    cli_json_end(&json);
}

static bool same_group(const lp_quantize_row *a, const lp_quantize_row *b)
{
    bool same_reason = a->fallback == b->fallback || (a->fallback && b->fallback && strcmp(a->fallback, b->fallback) == 0);
    return lp_packing_equal(a->source, b->source) && lp_packing_equal(a->packing, b->packing) && a->importance == b->importance &&
           same_reason && strcmp(a->method, b->method) == 0;
}

static int64_t row_values(const lp_quantize_row *row)
{
    int64_t n = 1;
    for (int d = 0; d < row->n_dims; d++) n *= row->dim[d];
    return n;
}

static int64_t count_important(const lp_quantize_result *r)
{
    int64_t n = 0;
    for (int64_t i = 0; i < r->n_rows; i++) n += r->rows[i].importance;
    return n;
}

/* Tensors whose codes something else than the plain searches chose. */
static int64_t count_solved(const lp_quantize_result *r)
{
    int64_t n = 0;
    for (int64_t i = 0; i < r->n_rows; i++)
        n += *r->rows[i].method && strcmp(r->rows[i].method, "reference") != 0 && strcmp(r->rows[i].method, "rtn") != 0;
    return n;
}

/* One line for all tensors that were treated alike. */
static void print_groups(FILE *out, const lp_quantize_result *r, bool dry_run)
{
    bool important = count_important(r) > 0, solved = count_solved(r) > 0;
    char columns[128];
    snprintf(columns, sizeof columns, ">tensors|from|to|>weights|>size|>bits%s%s%s|remark", dry_run ? "" : "|>error",
             important ? "|importance" : "", solved ? "|method" : "");
    cli_table *table = cli_table_create(columns);
    for (int64_t i = 0; i < r->n_rows; i++) {
        bool first = true;
        for (int64_t j = 0; j < i && first; j++) first = !same_group(&r->rows[i], &r->rows[j]);
        if (!first) continue;
        int64_t n_tensors = 0, n_values = 0;
        uint64_t n_bytes = 0;
        double worst = 0;
        for (int64_t j = i; j < r->n_rows; j++) {
            const lp_quantize_row *row = &r->rows[j];
            if (!same_group(&r->rows[i], row)) continue;
            n_tensors++;
            n_values += row_values(row);
            n_bytes += row->n_bytes;
            if (row->error > worst) worst = row->error;
        }
        const lp_quantize_row *row = &r->rows[i];
        cli_table_cell(table, "%s", cli_count(n_tensors).text);
        cli_table_cell(table, "%s", row->source->name);
        cli_table_cell(table, "%s", row->packing->name);
        cli_table_cell(table, "%s", cli_count(n_values).text);
        cli_table_cell(table, "%s", cli_bytes(n_bytes).text);
        cli_table_cell(table, "%.4g", n_values ? 8.0 * (double)n_bytes / (double)n_values : 0);
        if (!dry_run) cli_table_cell(table, "%.3f %%", 100 * worst);
        if (important) cli_table_cell(table, "%s", row->importance ? "yes" : "-");
        if (solved) cli_table_cell(table, "%s", row->method);
        cli_table_cell(table, "%s", row->fallback ? row->fallback : lp_packing_equal(row->source, row->packing) ? "kept" : "");
    }
    cli_table_print(table, out);
}

static void print_every_tensor(FILE *out, const lp_quantize_result *r, bool dry_run)
{
    cli_table *table = cli_table_create(dry_run ? "name|shape|from|to|>size|remark" : "name|shape|from|to|>size|>error|remark");
    for (int64_t i = 0; i < r->n_rows; i++) {
        const lp_quantize_row *row = &r->rows[i];
        cli_table_cell(table, "%s", row->name);
        cli_table_cell(table, "%s", cli_shape(row->n_dims, row->dim).text);
        cli_table_cell(table, "%s", row->source->name);
        cli_table_cell(table, "%s", row->packing->name);
        cli_table_cell(table, "%s", cli_bytes(row->n_bytes).text);
        if (!dry_run) cli_table_cell(table, "%.3f %%", 100 * row->error);
        cli_table_cell(table, "%s", row->fallback ? row->fallback : "");
    }
    cli_table_print(table, out);
}

static void print_human(const quantize_options *options, const lp_gguf *source, const lp_quantize_result *r,
                        const lp_allocation *allocation)
{
    FILE *out = cli_out();
    bool dry_run = options->common.dry_run;
    uint64_t source_tensor_bytes, before = lp_gguf_size(source);
    int64_t n = cli_parameters(source, &source_tensor_bytes);
    fprintf(out, "%s%s -> %s\n", dry_run ? "would write: " : "", options->common.operand[0], options->output);
    fprintf(out, "size             %s -> %s (%.2f times smaller)\n", cli_bytes(before).text, cli_bytes(r->n_bytes).text,
            r->n_bytes ? (double)before / (double)r->n_bytes : 0);
    fprintf(out, "bits per weight  %.3f -> %.3f (whole file: %.3f)\n",
            n ? 8.0 * (double)source_tensor_bytes / (double)n : 0, r->bits_per_weight, r->file_bits_per_weight);
    if (!dry_run) {
        fprintf(out, "time             %s, %s of memory at most\n", cli_seconds(r->seconds).text,
                cli_bytes(r->peak_bytes).text);
        if (options->common.verbose) fprintf(out, "sha256           %s\n", r->sha256);
    }
    if (allocation) cli_allocate_print(out, allocation);
    else fputc('\n', out);
    if (options->common.verbose)
        print_every_tensor(out, r, dry_run);
    else
        print_groups(out, r, dry_run);
    if (!dry_run && !options->common.verbose)
        fputs("\nerror: rms of the change relative to the tensor's rms, the worst of a line.\n"
              "'lowp compare' tells what it costs.\n",
              out);
}

/* ---- work -------------------------------------------------------------------------------------------------------- */

/* "GLOB=F": splits at the last '='. The glob's copy is freed by the caller. */
static lp_status parse_rule(const char *text, lp_tensor_rule *rule)
{
    const char *equals = strrchr(text, '=');
    if (!equals || equals == text || !equals[1])
        return cli_fail(LP_USAGE, "for example: --tensor 'blk.0.*=q8_0'", "--tensor: '%.200s' is not GLOB=FORMAT", text);
    lp_status status = cli_writable_format(equals + 1, "--tensor", &rule->packing);
    if (status) return status;
    char *glob = cli_copy(text);
    glob[equals - text] = 0;
    rule->glob = glob;
    return LP_OK;
}

static void free_rules(lp_tensor_rule *rules, int n)
{
    for (int i = 0; i < n; i++) {
        free((void *)(uintptr_t)rules[i].glob);
        lp_packing_free(rules[i].packing);
    }
    free(rules);
}

/* Warns before the work, not after it. */
static void warn_requantize(const quantize_options *options, const lp_gguf *source)
{
    for (int64_t i = 0; i < lp_gguf_tensor_count(source); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(source, i);
        if (t->n_dims < 2 || t->packing->is_float || !t->packing->can_decode) continue;
        cli_note(&options->common,
                 "warning: %s: %s: already quantized (%s). Quantizing again loses more than quantizing the float "
                 "original would; the output records it.",
                 lp_gguf_path(source), t->name, t->packing->name);
        return;
    }
}

static lp_status write_and_print(const quantize_options *options, const lp_gguf *source, const lp_quantize_options *q,
                                 const lp_allocation *allocation)
{
    lp_quantize_result result = {0};
    cli_progress progress;
    cli_progress_begin(&progress, &options->common);
    lp_status status = lp_quantize(source, options->output, q, &progress.progress, &result);
    cli_progress_end(&progress);
    if (status) return status;
    const char *format = q->mixture ? lp_mixture_name(q->mixture) : allocation ? NULL : q->packing->name;
    if (options->common.json) print_json(options, source, format, &result, allocation);
    else print_human(options, source, &result, allocation);
    lp_quantize_result_free(&result);
    return LP_OK;
}

static lp_status quantize(const quantize_options *options, const lp_gguf *source, const lp_quantize_options *given)
{
    lp_pool *pool;
    lp_status status = cli_pool(&options->common, &pool);
    if (status) return status;
    lp_quantize_options chosen_options = *given, *q = &chosen_options;
    q->pool = pool;
    lp_allocation allocation = {0};
    bool chosen = cli_allocate_wanted(&options->allocate);
    warn_requantize(options, source);
    if (chosen) status = cli_allocate_run(&options->common, &options->allocate, options->output, q, &allocation);
    if (!status) status = write_and_print(options, source, q, chosen ? &allocation : NULL);
    if (q->stats != given->stats) lp_stats_free((lp_stats *)(uintptr_t)q->stats); /* made by the way */
    lp_allocation_free(&allocation);
    lp_pool_destroy(pool);
    return status;
}

static lp_status check_options(const quantize_options *options, lp_quantize_options *q)
{
    if (!options->output) return cli_fail(LP_USAGE, NULL, "-o OUT is missing");
    lp_status status = LP_OK;
    if (cli_allocate_wanted(&options->allocate)) {
        if (options->format) return cli_fail(LP_USAGE, NULL, "--format and --size exclude each other");
        if (!options->common.dry_run) status = cli_check_output(options->output, options->common.force);
        return status;
    }
    if (!options->format)
        return cli_fail(LP_USAGE, "q4_k is a good first choice; 'lowp formats' lists the others", "--format F or --size S is missing");
    q->mixture = lp_mixture_by_name(options->format);
    if (q->mixture) q->packing = lp_mixture_base(q->mixture);
    else status = cli_writable_format(options->format, "--format", &q->packing);
    if (!status && !options->common.dry_run) status = cli_check_output(options->output, options->common.force);
    return status;
}

/* The source: a model with its calibration text where the recipe needs one, else any container. */
typedef struct opened {
    lp_model *model;
    lp_gguf *container;
    lp_stats *stats;
    char *text;
} opened;

static lp_status open_source(const quantize_options *options, lp_quantize_options *q, opened *o, const lp_gguf **source)
{
    bool calibrated;
    lp_status status = lp_recipe_check(options->recipe, &calibrated);
    bool allocates = cli_allocate_wanted(&options->allocate), needs_text = calibrated || allocates;
    const char *text = options->calibration;
    if (!text && allocates && !strcmp(options->common.operand[0], "embedded")) text = "embedded-calibration";
    if (!status && allocates && !text)
        return cli_fail(LP_USAGE, "some hundred kilobytes of the kind that the model is used for; 'embedded-calibration' is inside the program",
                        "--size needs --calibration TEXT to measure on");
    if (!status && options->calibration && !needs_text)
        return cli_fail(LP_USAGE, "for example: --recipe gptq", "--calibration: this recipe uses no calibration text");
    if (!status && calibrated && !text)
        return cli_fail(LP_USAGE, "'--calibration embedded-calibration' takes one that is inside the program",
                        "--recipe %.100s: needs --calibration TEXT", options->recipe);
    if (!status && needs_text) status = lp_text_read(text, &o->text, &q->n_calibration);
    if (!status && needs_text) status = lp_model_open(options->common.operand[0], &o->model);
    if (!status && !needs_text) status = lp_container_open(options->common.operand[0], &o->container);
    if (!status && options->stats) status = lp_stats_read(options->stats, &o->stats);
    q->model = o->model;
    q->calibration = o->text;
    q->stats = o->stats;
    *source = o->model ? lp_model_gguf(o->model) : o->container;
    return status;
}

static void close_source(opened *o)
{
    lp_stats_free(o->stats);
    lp_gguf_close(o->container);
    lp_model_close(o->model);
    free(o->text);
}

static lp_status run(const void *argument)
{
    const quantize_options *options = argument;
    lp_quantize_options q = {.recipe = options->recipe, .force = options->common.force, .dry_run = options->common.dry_run,
                             .calibration_context = options->calibration_context, .calibration_windows = options->calibration_windows};
    lp_status status = check_options(options, &q);
    lp_tensor_rule *rules = cli_alloc((size_t)options->rules.n * sizeof *rules);
    while (!status && q.n_rules < options->rules.n) {
        status = parse_rule(options->rules.text[q.n_rules], &rules[q.n_rules]);
        if (!status) q.n_rules++;
    }
    q.rules = rules;
    opened o = {0};
    const lp_gguf *source = NULL;
    if (!status) status = open_source(options, &q, &o, &source);
    if (!status) status = quantize(options, source, &q);
    close_source(&o);
    free_rules(rules, q.n_rules);
    lp_packing_free(q.packing);
    return status;
}

static const cli_option options_table[] = {
    {"format", 0, CLI_TEXT, offsetof(quantize_options, format), "F", 0, 0, NULL,
     "format of every matrix, embedding and output head included ('lowp formats' lists them; any text such as i4:16:(i6:16:f16), 'table(FILE):32:f16'), or a mixture of formats by role and layer: "
     "q2_k_s q2_k_m q3_k_s q3_k_m q3_k_l q4_k_s q4_k_m q5_k_s q5_k_m iq2_m iq3_xs iq3_m"},
    {"output", 'o', CLI_TEXT, offsetof(quantize_options, output), "OUT", 0, 0, NULL, "the file to write"},
    {"stats", 0, CLI_TEXT, offsetof(quantize_options, stats), "STATS", 0, 0, NULL,
     "importance of every input channel, from 'lowp calibrate' or llama.cpp's imatrix"},
    {"recipe", 0, CLI_TEXT, offsetof(quantize_options, recipe), "R", 0, 0, NULL,
     "how codes are chosen: stages such as 'gptq(damp=0.01)+descend', or a method ('lowp methods' lists both); default: the format's "
     "reference search"},
    {"calibration", 0, CLI_TEXT, offsetof(quantize_options, calibration), "TEXT", 0, 0, NULL,
     "text that a recipe's statistics, and with --size the losses, are measured on: a file, '-' or embedded-calibration; of the model's "
     "own kind, but not the one that it is evaluated on"},
    {"calibration-windows", 0, CLI_INTEGER, offsetof(quantize_options, calibration_windows), "N", 1, 2147483647, NULL,
     "only its first N windows; default: 128 at most"},
    {"calibration-context", 0, CLI_INTEGER, offsetof(quantize_options, calibration_context), "N", 2, 2147483647, NULL,
     "tokens per window; default 512"},
    {"tensor", 0, CLI_LIST, offsetof(quantize_options, rules), "GLOB=F", 0, 0, NULL,
     "another format for the tensors whose name matches (* and ?); may be repeated, the first match counts"},
    CLI_ALLOCATE_OPTIONS(offsetof(quantize_options, allocate)),
    {0},
};

static const quantize_options defaults = {.allocate = {.n_rounds = -1, .n_anchors = 3}};

const cli_verb cli_quantize = {
    .name = "quantize",
    .usage = "MODEL -o OUT (--format F | --size S) [options]",
    .summary = "write a smaller model: fewer bits for every matrix",
    .details = "Norms and other one-dimensional tensors stay F32. A row whose length is no multiple of the format's "
               "block gets a fallback format, which is reported. The same source and options give the same bytes, "
               "whatever the threads and the instruction set. The output appears whole or not at all; the source may "
               "be replaced by itself with --force.",
    .examples = "lowp quantize embedded -o small.gguf --format q4_k\n"
                "lowp quantize embedded -o mixed.gguf --format q3_k --tensor 'token_embd.*=q6_k'\n"
                "lowp quantize embedded -o own.gguf --format 'i4:16:(i6:16:f16)'\n"
                "lowp calibrate embedded --text embedded-calibration -o stats.gguf --windows 8\n"
                "lowp quantize embedded -o better.gguf --format q3_k --stats stats.gguf\n"
                "lowp quantize embedded -o best.gguf --format q3_k --recipe gptq --calibration embedded-calibration --calibration-windows 8\n"
                "lowp quantize embedded -o none.gguf --format q2_k --dry-run\n"
                "lowp quantize embedded -o size.gguf --size 4.9bpw --stats stats.gguf --candidates q4_k,q5_k --sensitivity-windows 1 "
                "--sensitivity-context 64 --sensitivity-rounds 0\n",
    .options = {options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 1,
    .most_operands = 1,
    .writes = true,
    .long_running = true,
    .run = run,
};
