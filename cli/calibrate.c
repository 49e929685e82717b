/* lowp calibrate: statistics of activations, which tell quantize what matters. */
#include "cli.h"

#include <stdlib.h>

typedef struct calibrate_options {
    cli_measure measure;
    const char *output;
    bool legacy;
} calibrate_options;

enum { USUAL_CONTEXT = 512 };

/* How many of the model's matrices the statistics cover. */
static void count_covered(const lp_model *model, const lp_stats *stats, int64_t *n_covered, int64_t *n_matrices)
{
    const lp_gguf *gguf = lp_model_gguf(model);
    *n_covered = *n_matrices = 0;
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(gguf, i);
        int64_t n;
        if (t->n_dims < 2) continue;
        ++*n_matrices;
        *n_covered += lp_stats_mean_square(stats, t->name, &n) != NULL;
    }
}

static void print_result(const lp_model *model, const calibrate_options *options, const lp_stats *stats, double seconds)
{
    int64_t n_covered, n_matrices;
    count_covered(model, stats, &n_covered, &n_matrices);
    if (options->measure.common.json) {
        cli_json json;
        cli_json_begin(&json, "calibrate");
        cli_json_text(&json, "model", lp_gguf_path(lp_model_gguf(model)));
        cli_json_text(&json, "text", options->measure.text);
        cli_json_text(&json, "output", options->output);
        cli_json_integer(&json, "n_tokens", lp_stats_tokens(stats));
        cli_json_integer(&json, "n_entries", lp_stats_count(stats));
        cli_json_integer(&json, "n_matrices", n_matrices);
        cli_json_integer(&json, "n_matrices_covered", n_covered);
        cli_json_real(&json, "seconds", seconds);
        cli_json_end(&json);
        return;
    }
    FILE *out = cli_out();
    fprintf(out, "%s: statistics of %s tokens for %lld of %lld matrices, in %s\n", options->output,
            cli_count(lp_stats_tokens(stats)).text, (long long)n_covered, (long long)n_matrices,
            cli_seconds(seconds).text);
    if (!options->legacy)
        fprintf(out, "Use it: lowp quantize %s -o OUT --format F --stats %s\n", options->measure.common.operand[0],
                options->output);
}

static lp_status dry_run(const lp_model *model, const calibrate_options *options, const char *text, size_t n_text)
{
    int64_t n_context = cli_window_length(model, options->measure.n_context, USUAL_CONTEXT), n_tokens, n_windows;
    lp_status status = cli_count_windows(model, &options->measure, text, n_text, n_context, &n_tokens, &n_windows);
    if (status) return status;
    if (options->measure.common.json) {
        cli_json json;
        cli_json_begin(&json, "calibrate");
        cli_json_bool(&json, "dry_run", true);
        cli_json_integer(&json, "n_tokens", n_windows * n_context);
        cli_json_integer(&json, "n_windows", n_windows);
        cli_json_end(&json);
    } else {
        fprintf(cli_out(), "would run %s of %s tokens and write %s\n", cli_number(n_windows, "window").text,
                cli_count(n_context).text, options->output);
    }
    return LP_OK;
}

static lp_status calibrate(const lp_model *model, const calibrate_options *options, const char *text, size_t n_text)
{
    const cli_measure *m = &options->measure;
    if (m->common.dry_run) return dry_run(model, options, text, n_text);
    lp_pool *pool;
    lp_status status = cli_pool(&m->common, &pool);
    if (status) return status;
    lp_calibrate_options calibrate = {.n_context = m->n_context, .n_windows = m->n_windows,
                                      .activations = cli_activation(m->activations), .pool = pool, .text_name = m->text};
    lp_stats *stats = NULL;
    cli_progress progress;
    cli_progress_begin(&progress, &m->common);
    double start = cli_now_s();
    status = lp_calibrate(model, text, n_text, &calibrate, &progress.progress, &stats);
    double seconds = cli_now_s() - start;
    cli_progress_end(&progress);
    if (!status)
        status = options->legacy ? lp_stats_write_legacy(stats, options->output, m->common.force)
                                 : lp_stats_write(stats, options->output, m->common.force);
    if (!status) print_result(model, options, stats, seconds);
    lp_stats_free(stats);
    lp_pool_destroy(pool);
    return status;
}

static lp_status run(const void *argument)
{
    const calibrate_options *options = argument;
    const cli_common *common = &options->measure.common;
    if (!options->output) return cli_fail(LP_USAGE, NULL, "-o STATS is missing");
    lp_status status = common->dry_run ? LP_OK : cli_check_output(options->output, common->force);
    lp_model *model = NULL;
    char *text = NULL;
    size_t n_text;
    if (!status) status = lp_model_open(common->operand[0], &model);
    if (!status) status = cli_read_text(&options->measure, &text, &n_text);
    if (!status) status = calibrate(model, options, text, n_text);
    free(text);
    lp_model_close(model);
    return status;
}

static const cli_option options_table[] = {
    {"output", 'o', CLI_TEXT, offsetof(calibrate_options, output), "STATS", 0, 0, NULL, "the file to write"},
    {"legacy", 0, CLI_FLAG, offsetof(calibrate_options, legacy), NULL, 0, 0, NULL,
     "write llama.cpp's old .dat form instead of a GGUF file"},
    {0},
};

static const calibrate_options defaults = {.measure = {.activations = -1}};

const cli_verb cli_calibrate = {
    .name = "calibrate",
    .usage = "MODEL --text FILE -o STATS [options]",
    .summary = "measure which inputs of every layer matter",
    .details = "Runs a text through the model in windows of --context tokens (default 512) and writes the sum of "
               "squares of every input channel of every matrix: an importance file, as llama.cpp reads and writes "
               "it. 'lowp quantize --stats' then keeps what matters more exactly. Take a text like those that the "
               "model will be used on, but not the one that it is tested on.",
    .examples = "lowp calibrate embedded --text embedded-calibration -o stats.gguf --windows 8\n",
    .options = {cli_text_options, options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 1,
    .most_operands = 1,
    .writes = true,
    .long_running = true,
    .run = run,
};
