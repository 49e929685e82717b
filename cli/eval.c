/* lowp eval: cross-entropy and perplexity of a model on a text. */
#include "cli.h"

#include <stdlib.h>

typedef struct eval_options {
    cli_measure measure;
    bool hash;
} eval_options;

enum { USUAL_CONTEXT = 1024 };

static void print_json(const lp_model *model, const eval_options *options, const lp_eval_result *r, int64_t n_context,
                       int n_threads)
{
    const lp_model_info *info = lp_model_get_info(model);
    cli_json json;
    cli_json_begin(&json, "eval");
    cli_json_text(&json, "model", lp_gguf_path(lp_model_gguf(model)));
    cli_json_text(&json, "text", options->measure.text);
    cli_json_real(&json, "cross_entropy_nats", r->cross_entropy_nats);
    cli_json_real(&json, "standard_error_nats", r->standard_error_nats);
    cli_json_real(&json, "perplexity", r->perplexity);
    cli_json_integer(&json, "n_predictions", r->n_predictions);
    cli_json_integer(&json, "n_windows", r->n_windows);
    cli_json_integer(&json, "n_context", n_context);
    cli_json_integer(&json, "n_tokens", r->n_tokens);
    cli_json_text(&json, "protocol", cli_protocol_names[options->measure.protocol]);
    if (options->hash) cli_json_text(&json, "logits_sha256", r->logits_sha256);
    cli_json_integer(&json, "n_parameters", info->n_parameters);
    cli_json_real(&json, "seconds", r->seconds);
    cli_json_integer(&json, "threads", n_threads);
    cli_json_text(&json, "isa", lp_isa_name(lp_isa_current()));
    cli_json_end(&json);
}

static void print_human(const lp_model *model, const eval_options *options, const lp_eval_result *r, int64_t n_context,
                        int n_threads)
{
    FILE *out = cli_out();
    char name[320];
    cli_describe_model(model, name, sizeof name);
    double tokens_per_s = r->seconds > 0 ? (double)(r->n_windows * n_context) / r->seconds : 0;
    fprintf(out, "model          %s\n", name);
    fprintf(out, "text           %s: %s of %s tokens, %s predictions\n", options->measure.text,
            cli_number(r->n_windows, "window").text, cli_count(n_context).text, cli_count(r->n_predictions).text);
    fprintf(out, "cross-entropy  %.5f +- %.5f nats per token\n", r->cross_entropy_nats, r->standard_error_nats);
    fprintf(out, "perplexity     %.4f +- %.4f\n", r->perplexity, r->perplexity * r->standard_error_nats);
    if (options->hash) fprintf(out, "logits sha256  %s\n", r->logits_sha256);
    fprintf(out, "time           %s, %s tokens/s (%d thread%s, %s)\n", cli_seconds(r->seconds).text,
            cli_count((int64_t)tokens_per_s).text, n_threads, n_threads == 1 ? "" : "s", lp_isa_name(lp_isa_current()));
    fprintf(out, "\nOn average the model is as unsure of the next token as if it chose among %.3g\n"
                 "equally likely ones. Lower is better; the number depends on the tokenizer.\n",
            r->perplexity);
}

static lp_status dry_run(const lp_model *model, const eval_options *options, const char *text, size_t n_text,
                         int64_t n_context)
{
    int64_t n_tokens, n_windows;
    lp_status status = cli_count_windows(model, &options->measure, text, n_text, n_context, &n_tokens, &n_windows);
    if (status) return status;
    lp_session_options session = {.n_context = n_context, .n_batch = options->measure.n_chunk,
                                  .activations = cli_activation(options->measure.activations)};
    uint64_t n_bytes = lp_session_memory(model, &session);
    if (options->measure.common.json) {
        cli_json json;
        cli_json_begin(&json, "eval");
        cli_json_bool(&json, "dry_run", true);
        cli_json_integer(&json, "n_tokens", n_tokens);
        cli_json_integer(&json, "n_windows", n_windows);
        cli_json_integer(&json, "n_context", n_context);
        cli_json_unsigned(&json, "memory_bytes", n_bytes);
        cli_json_end(&json);
    } else {
        fprintf(cli_out(), "would evaluate %s of %s tokens (the text has %s), with %s of memory\n",
                cli_number(n_windows, "window").text, cli_count(n_context).text, cli_count(n_tokens).text, cli_bytes(n_bytes).text);
    }
    return LP_OK;
}

static lp_status evaluate(const lp_model *model, const eval_options *options, const char *text, size_t n_text)
{
    const cli_measure *m = &options->measure;
    int64_t n_context = cli_window_length(model, m->n_context, USUAL_CONTEXT);
    if (m->common.dry_run) return dry_run(model, options, text, n_text, n_context);
    lp_pool *pool;
    lp_status status = cli_pool(&m->common, &pool);
    if (status) return status;
    lp_eval_options eval = cli_eval_options(m, pool);
    eval.hash = options->hash;
    lp_eval_result result;
    cli_progress progress;
    cli_progress_begin(&progress, &m->common);
    status = lp_eval(model, text, n_text, &eval, &progress.progress, &result);
    cli_progress_end(&progress);
    if (!status && m->common.json)
        print_json(model, options, &result, n_context, lp_pool_threads(pool));
    else if (!status)
        print_human(model, options, &result, n_context, lp_pool_threads(pool));
    lp_pool_destroy(pool);
    return status;
}

static lp_status run(const void *argument)
{
    const eval_options *options = argument;
    lp_model *model = NULL;
    char *text = NULL;
    size_t n_text;
    lp_status status = lp_model_open(options->measure.common.operand[0], &model);
    if (!status) status = cli_read_text(&options->measure, &text, &n_text);
    if (!status) status = evaluate(model, options, text, n_text);
    free(text);
    lp_model_close(model);
    return status;
}

static const cli_option options_table[] = {
    {"hash", 0, CLI_FLAG, offsetof(eval_options, hash), NULL, 0, 0, NULL,
     "also print the SHA-256 of all logits: equal on every machine, whatever the threads and the instruction set"},
    {0},
};

static const eval_options defaults = {.measure = {.activations = -1}};

const cli_verb cli_eval = {
    .name = "eval",
    .usage = "MODEL --text FILE [options]",
    .summary = "how well a model predicts a text: perplexity",
    .details = "The text is cut into windows of --context tokens (default 1024, or the model's context where that is "
               "shorter) that do not overlap; the model predicts every token of a window from those before it. "
               "Special tokens written out in the text count as plain text.",
    .examples = "lowp eval embedded --text embedded --windows 4\n"
                "lowp eval embedded --text embedded --windows 2 --context 256 --json\n",
    .options = {cli_text_options, cli_protocol_options, options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 1,
    .most_operands = 1,
    .long_running = true,
    .run = run,
};
