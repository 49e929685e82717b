/* lowp bench: speed beside what the machine itself can do, measured in the same minute. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct bench_options {
    cli_common common;
    const char *random, *output, *format;
    int64_t n_prompt, n_generate, n_repeat;
    int activations;
} bench_options;

enum { MOST_ROWS = 256 };

/* ---- results ----------------------------------------------------------------------------------------------------- */

static void json_rows(const lp_bench_row *rows, size_t n, const lp_probe *probe, int n_threads)
{
    cli_json json;
    cli_json_begin(&json, "bench");
    cli_json_text(&json, "cpu", lp_cpu_name());
    cli_json_text(&json, "isa", lp_isa_name(lp_isa_current()));
    cli_json_integer(&json, "threads", n_threads);
    cli_json_object(&json, "probe");
    cli_json_real(&json, "read_gbytes_per_s", probe->read_gbytes_per_s);
    cli_json_real(&json, "l2_read_gbytes_per_s", probe->l2_read_gbytes_per_s);
    cli_json_real(&json, "int8_gmacs_per_s", probe->int8_gmacs_per_s);
    cli_json_real(&json, "f32_gmacs_per_s", probe->f32_gmacs_per_s);
    cli_json_close(&json);
    cli_json_array(&json, "rows");
    for (size_t i = 0; i < n; i++) {
        const lp_bench_row *r = &rows[i];
        cli_json_object(&json, NULL);
        cli_json_text(&json, "name", r->name);
        cli_json_text(&json, "shape", r->shape);
        cli_json_real(&json, "median_ns", r->median_ns);
        if (r->tokens_per_s > 0) cli_json_real(&json, "tokens_per_second", r->tokens_per_s);
        cli_json_real(&json, "gbytes_per_s", r->gbytes_per_s);
        cli_json_real(&json, "gmacs_per_s", r->gmacs_per_s);
        cli_json_real(&json, "fraction_bandwidth", r->fraction_bandwidth);
        cli_json_real(&json, "fraction_peak", r->fraction_peak);
        cli_json_close(&json);
    }
    cli_json_close(&json);
    cli_json_end(&json);
}

static void print_rows(const lp_bench_row *rows, size_t n, const lp_probe *probe, int n_threads)
{
    FILE *out = cli_out();
    bool speeds = n > 0 && rows[0].tokens_per_s > 0;
    fprintf(out, "%s, %s, %d thread%s\n", lp_cpu_name(), lp_isa_name(lp_isa_current()), n_threads, n_threads == 1 ? "" : "s");
    fprintf(out, "this machine now: memory %.1f GB/s, L2 cache %.1f GB/s, int8 %.0f GMAC/s, float %.0f GMAC/s\n\n",
            probe->read_gbytes_per_s, probe->l2_read_gbytes_per_s, probe->int8_gmacs_per_s, probe->f32_gmacs_per_s);
    cli_table *table = cli_table_create(speeds ? "name|shape|>tokens/s|>GB/s|>of memory|>GMAC/s|>of peak"
                                               : "name|shape|>microseconds|>GB/s|>of memory|>GMAC/s|>of peak");
    for (size_t i = 0; i < n; i++) {
        const lp_bench_row *r = &rows[i];
        cli_table_cell(table, "%s", r->name);
        cli_table_cell(table, "%s", r->shape);
        cli_table_cell(table, "%.2f", speeds ? r->tokens_per_s : r->median_ns / 1000);
        cli_table_cell(table, "%.1f", r->gbytes_per_s);
        cli_table_cell(table, "%.0f %%", 100 * r->fraction_bandwidth);
        cli_table_cell(table, "%.1f", r->gmacs_per_s);
        cli_table_cell(table, "%.0f %%", 100 * r->fraction_peak);
    }
    cli_table_print(table, out);
}

static void print_result(const bench_options *options, const lp_bench_row *rows, size_t n, const lp_probe *probe,
                         int n_threads)
{
    if (options->common.json)
        json_rows(rows, n, probe, n_threads);
    else
        print_rows(rows, n, probe, n_threads);
}

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

static lp_status bench_kernels(const bench_options *options, lp_pool *pool, cli_progress *progress)
{
    lp_bench_row *rows = cli_alloc(MOST_ROWS * sizeof *rows);
    size_t n = MOST_ROWS;
    lp_probe probe;
    lp_status status = lp_probe_machine(pool, &probe);
    if (status) n = 0;
    else if (options->format) status = lp_bench_format(pool, options->format, &progress->progress, rows, &n);
    else status = lp_bench_kernels(pool, &progress->progress, rows, &n);
    cli_progress_end(progress);
    if (!status || status == LP_CHECK) print_result(options, rows, n, &probe, lp_pool_threads(pool));
    free(rows);
    return status;
}

/* ---- models ------------------------------------------------------------------------------------------------------ */

/* Opens the model of random weights: a file that is kept (-o), or one that vanishes with the program, since its name is
 * removed as soon as it is mapped. */
static lp_status open_random(const bench_options *options, cli_progress *progress, lp_model **model)
{
    uint64_t seed = (uint64_t)options->common.seed;
    if (options->output) {
        lp_status status = lp_model_write_random(options->random, seed, options->output, options->common.force, &progress->progress);
        return status ? status : lp_model_open(options->output, model);
    }
    const char *folder = getenv("TMPDIR");
    char path[4096], file[4128];
    int n = snprintf(path, sizeof path, "%s/lowp-bench-XXXXXX", folder && *folder ? folder : "/tmp");
    if (n >= (int)sizeof path || !mkdtemp(path))
        return cli_fail(LP_RESOURCE, "set TMPDIR to a folder with room, or keep the file: -o FILE",
                        "%.500s: a temporary folder cannot be made", path);
    snprintf(file, sizeof file, "%s/random.gguf", path);
    lp_status status = lp_model_write_random(options->random, seed, file, false, &progress->progress);
    if (!status) {
        status = lp_model_open(file, model);
        unlink(file);
    }
    rmdir(path);
    return status;
}

static lp_status bench_model(const bench_options *options, lp_pool *pool, cli_progress *progress)
{
    const char *path = options->common.operand[1];
    if (!path == !options->random)
        return cli_fail(LP_USAGE, "for example: lowp bench model embedded", "bench model: give a MODEL or --random SHAPE");
    lp_model *model = NULL;
    lp_status status = path ? lp_model_open(path, &model) : open_random(options, progress, &model);
    if (status) {
        cli_progress_end(progress);
        return status;
    }
    lp_bench_row rows[2];
    lp_probe probe;
    status = lp_bench_model(model, pool, cli_activation(options->activations), options->n_prompt, options->n_generate,
                            (int)options->n_repeat, &progress->progress, rows, &probe);
    cli_progress_end(progress);
    if (!status && !options->common.json) {
        char name[320];
        cli_describe_model(model, name, sizeof name);
        fprintf(cli_out(), "%s\n", name);
    }
    if (!status) print_result(options, rows, 2, &probe, lp_pool_threads(pool));
    lp_model_close(model);
    return status;
}

/* ---- the verb ---------------------------------------------------------------------------------------------------- */

static lp_status run(const void *argument)
{
    static const char *const subjects[] = {"kernel", "model", NULL};
    const bench_options *options = argument;
    const char *subject = options->common.n_operands ? options->common.operand[0] : "kernel";
    bool model = strcmp(subject, "model") == 0;
    if (!model && strcmp(subject, "kernel") != 0) {
        const char *near = cli_nearest(subject, subjects);
        char advice[64];
        snprintf(advice, sizeof advice, "did you mean '%s'?", near ? near : "");
        return cli_fail(LP_USAGE, near ? advice : "a model: lowp bench model FILE", "bench: '%.200s' is neither kernel nor model", subject);
    }
    if (!model && (options->common.n_operands > 1 || options->random || options->output))
        return cli_fail(LP_USAGE, NULL, "bench kernel takes no model");
    if (model && options->format) return cli_fail(LP_USAGE, NULL, "--format goes with bench kernel");
    if (options->output && !options->random) return cli_fail(LP_USAGE, NULL, "-o goes with --random");
    if (options->common.dry_run) {
        fprintf(cli_out(), "would measure %s\n", model ? "prefill and decode of a model" : "matrix products of the main formats and attention");
        return LP_OK;
    }
    lp_status status = options->output ? cli_check_output(options->output, options->common.force) : LP_OK;
    lp_pool *pool;
    if (!status) status = cli_pool(&options->common, &pool);
    if (status) return status;
    cli_progress progress;
    cli_progress_begin(&progress, &options->common);
    status = model ? bench_model(options, pool, &progress) : bench_kernels(options, pool, &progress);
    lp_pool_destroy(pool);
    return status;
}

static const cli_option options_table[] = {
    {"format", 0, CLI_TEXT, offsetof(bench_options, format), "F", 0, 0, NULL,
     "of bench kernel: the products of this format only, a name or a format's text (q4_k, i5:32:f16, "
     "'{-5,-2,0,1,3}:32:f16'); 'attention': only that"},
    {"random", 0, CLI_TEXT, offsetof(bench_options, random), "SHAPE", 0, 0, NULL,
     "a model of random weights instead of a file: 1.1b (a Llama of 1.1 billion parameters, 2.2 GB) or tiny"},
    {"output", 'o', CLI_TEXT, offsetof(bench_options, output), "FILE", 0, 0, NULL,
     "keep the random model, so that it can be quantized and measured again"},
    {"prompt", 'p', CLI_INTEGER, offsetof(bench_options, n_prompt), "N", 1, 1048576, NULL,
     "tokens of the prompt; default 512"},
    {"tokens", 'n', CLI_INTEGER, offsetof(bench_options, n_generate), "N", 1, 1048576, NULL,
     "tokens to generate; default 64"},
    {"repeat", 0, CLI_INTEGER, offsetof(bench_options, n_repeat), "N", 1, 1000, NULL,
     "repetitions, of which the median is printed; default 3"},
    {"activations", 0, CLI_CHOICE, offsetof(bench_options, activations), NULL, 0, 0, cli_activation_names,
     "default: i8 for quantized weights, f32 for float ones"},
    {0},
};

static const bench_options defaults = {.n_prompt = 512, .n_generate = 64, .n_repeat = 3, .activations = -1};

const cli_verb cli_bench = {
    .name = "bench",
    .usage = "[kernel | model MODEL | model --random SHAPE] [options]",
    .summary = "speed, beside what this machine can do at most",
    .details = "'kernel' (the default) times matrix products of the main formats and attention; 'model' the prefill and "
               "decode of a model. A row that comes out faster than 1.05 times the machine fails the run. Memory bandwidth and instruction peak are measured in the same minute, since both change from "
               "minute to minute on shared machines.",
    .examples = "lowp bench model embedded -p 128 -n 32\n"
                "lowp bench model --random tiny -p 64 -n 16 --json\n",
    .options = {options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 0,
    .most_operands = 2,
    .writes = true,
    .long_running = true,
    .run = run,
};
