/* lowp compare: what a smaller model lost, token by token, against its reference. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>

typedef struct compare_options {
    cli_measure measure;
    bool per_layer;
} compare_options;

enum { USUAL_CONTEXT = 1024 };

static void print_json(const compare_options *options, const lp_compare_result *r, const lp_layer_difference *layers,
                       int64_t n_layers)
{
    cli_json json;
    cli_json_begin(&json, "compare");
    cli_json_text(&json, "reference", options->measure.common.operand[0]);
    cli_json_text(&json, "model", options->measure.common.operand[1]);
    cli_json_text(&json, "text", options->measure.text);
    cli_json_real(&json, "kl_mean_nats", r->kl_mean_nats);
    cli_json_real(&json, "kl_window_error_nats", r->kl_window_error_nats);
    cli_json_real(&json, "kl_p90_nats", r->kl_p90_nats);
    cli_json_real(&json, "kl_p99_nats", r->kl_p99_nats);
    cli_json_real(&json, "kl_p999_nats", r->kl_p999_nats);
    cli_json_real(&json, "kl_max_nats", r->kl_max_nats);
    cli_json_real(&json, "top1_agreement", r->top1_agreement);
    cli_json_real(&json, "cross_entropy_nats", r->cross_entropy_nats);
    cli_json_real(&json, "reference_cross_entropy_nats", r->reference_cross_entropy_nats);
    cli_json_real(&json, "perplexity", exp(r->cross_entropy_nats));
    cli_json_real(&json, "reference_perplexity", exp(r->reference_cross_entropy_nats));
    cli_json_real(&json, "probability_change_mean", r->probability_change_mean);
    cli_json_real(&json, "probability_change_rms", r->probability_change_rms);
    cli_json_integer(&json, "n_predictions", r->n_predictions);
    cli_json_integer(&json, "n_windows", r->n_windows);
    cli_json_text(&json, "protocol", cli_protocol_names[options->measure.protocol]);
    if (layers) {
        cli_json_array(&json, "layers");
        for (int64_t i = 0; i < n_layers; i++) {
            cli_json_object(&json, NULL);
            cli_json_integer(&json, "layer", layers[i].layer);
            cli_json_real(&json, "relative_rms", layers[i].relative_rms);
            cli_json_close(&json);
        }
        cli_json_close(&json);
    }
    cli_json_real(&json, "seconds", r->seconds);
    cli_json_text(&json, "isa", lp_isa_name(lp_isa_current()));
    cli_json_end(&json);
}

static void print_sentence(FILE *out, const lp_compare_result *r)
{
    if (r->kl_max_nats == 0) {
        fputs("The two models give exactly the same probabilities everywhere.\n", out);
        return;
    }
    double change = 100 * (exp(r->cross_entropy_nats - r->reference_cross_entropy_nats) - 1);
    fprintf(out, "In plain words: both have the same first choice in %.1f of 100 places, and the\n"
                 "model's perplexity is %.2g %% %s. (KL: 0 is identical; smaller is better.)\n",
            100 * r->top1_agreement, fabs(change), change < 0 ? "lower" : "higher");
}

static void print_human(const lp_model *reference, const lp_model *model, const compare_options *options,
                        const lp_compare_result *r, const lp_layer_difference *layers, int64_t n_layers)
{
    FILE *out = cli_out();
    char name[320];
    cli_describe_model(reference, name, sizeof name);
    fprintf(out, "reference           %s\n", name);
    cli_describe_model(model, name, sizeof name);
    fprintf(out, "model               %s\n", name);
    fprintf(out, "text                %s: %s, %s predictions\n\n", options->measure.text,
            cli_number(r->n_windows, "window").text, cli_count(r->n_predictions).text);
    fprintf(out, "KL divergence       %.6f nats per token on average\n", r->kl_mean_nats);
    if (r->n_windows > 1) fprintf(out, "  standard error    %.6f over windows\n", r->kl_window_error_nats);
    fprintf(out, "  99 %% are below    %.6f\n", r->kl_p99_nats);
    fprintf(out, "  99.9 %% are below  %.6f\n", r->kl_p999_nats);
    fprintf(out, "  the worst         %.6f\n", r->kl_max_nats);
    fprintf(out, "same first choice   %.2f %%\n", 100 * r->top1_agreement);
    fprintf(out, "perplexity          %.4f (reference %.4f)\n", exp(r->cross_entropy_nats),
            exp(r->reference_cross_entropy_nats));
    if (options->measure.common.verbose)
        fprintf(out, "probability of the true token changes by %+.4f %% on average, %.4f %% rms\n",
                100 * r->probability_change_mean, 100 * r->probability_change_rms);
    fprintf(out, "time                %s\n\n", cli_seconds(r->seconds).text);
    if (layers) {
        fputs("Relative difference after each layer\n", out);
        cli_table *table = cli_table_create(">layer|>relative rms");
        for (int64_t i = 0; i < n_layers; i++) {
            cli_table_cell(table, "%lld", (long long)layers[i].layer);
            cli_table_cell(table, "%.6f", layers[i].relative_rms);
        }
        cli_table_print(table, out);
        fputc('\n', out);
    }
    print_sentence(out, r);
}

static lp_status dry_run(const lp_model *reference, const lp_model *model, const compare_options *options,
                         const char *text, size_t n_text)
{
    const cli_measure *m = &options->measure;
    int64_t n_context = cli_window_length(reference, m->n_context, USUAL_CONTEXT), n_tokens, n_windows;
    lp_status status = cli_count_windows(reference, m, text, n_text, n_context, &n_tokens, &n_windows);
    if (status) return status;
    lp_session_options session = {.n_context = n_context, .n_batch = m->n_chunk,
                                  .activations = cli_activation(m->activations)};
    uint64_t n_bytes = lp_session_memory(reference, &session) + lp_session_memory(model, &session);
    if (m->common.json) {
        cli_json json;
        cli_json_begin(&json, "compare");
        cli_json_bool(&json, "dry_run", true);
        cli_json_integer(&json, "n_windows", n_windows);
        cli_json_integer(&json, "n_context", n_context);
        cli_json_unsigned(&json, "memory_bytes", n_bytes);
        cli_json_end(&json);
    } else {
        fprintf(cli_out(), "would compare on %s of %s tokens, with %s of memory\n", cli_number(n_windows, "window").text,
                cli_count(n_context).text, cli_bytes(n_bytes).text);
    }
    return LP_OK;
}

static lp_status compare(const lp_model *reference, const lp_model *model, const compare_options *options,
                         const char *text, size_t n_text)
{
    const cli_measure *m = &options->measure;
    if (!lp_tokenizer_equal(lp_model_tokenizer(reference), lp_model_tokenizer(model)))
        return cli_fail(LP_USAGE, "compare a model with the one that it was made from",
                        "%.200s, %.200s: the vocabularies differ (%d and %d tokens)", m->common.operand[0],
                        m->common.operand[1], (int)lp_tokenizer_size(lp_model_tokenizer(reference)),
                        (int)lp_tokenizer_size(lp_model_tokenizer(model)));
    if (m->common.dry_run) return dry_run(reference, model, options, text, n_text);
    lp_pool *pool;
    lp_status status = cli_pool(&m->common, &pool);
    if (status) return status;
    int64_t n_layers = lp_model_get_info(model)->n_layer;
    lp_layer_difference *layers = options->per_layer ? cli_alloc((size_t)n_layers * sizeof *layers) : NULL;
    lp_eval_options eval = cli_eval_options(m, pool);
    lp_compare_result result;
    cli_progress progress;
    cli_progress_begin(&progress, &m->common);
    status = lp_compare(reference, model, text, n_text, &eval, &progress.progress, &result, layers);
    cli_progress_end(&progress);
    if (!status && m->common.json)
        print_json(options, &result, layers, n_layers);
    else if (!status)
        print_human(reference, model, options, &result, layers, n_layers);
    free(layers);
    lp_pool_destroy(pool);
    return status;
}

static lp_status run(const void *argument)
{
    const compare_options *options = argument;
    const cli_common *common = &options->measure.common;
    lp_model *reference = NULL, *model = NULL;
    char *text = NULL;
    size_t n_text;
    lp_status status = lp_model_open(common->operand[0], &reference);
    if (!status) status = lp_model_open(common->operand[1], &model);
    if (!status) status = cli_read_text(&options->measure, &text, &n_text);
    if (!status) status = compare(reference, model, options, text, n_text);
    free(text);
    lp_model_close(model);
    lp_model_close(reference);
    return status;
}

static const cli_option options_table[] = {
    {"per-layer", 0, CLI_FLAG, offsetof(compare_options, per_layer), NULL, 0, 0, NULL,
     "also how far the hidden state after every layer is from the reference's"},
    {0},
};

static const compare_options defaults = {.measure = {.activations = -1}};

const cli_verb cli_compare = {
    .name = "compare",
    .usage = "REFERENCE MODEL --text FILE [options]",
    .summary = "what a smaller model lost against its reference",
    .details = "Both models read the same text side by side. At every token the probabilities that they give to the "
               "next one are compared: KL divergence (0 is identical), how often the first choice is the same, and "
               "both perplexities. The text is cut into windows as in 'lowp eval'.",
    .examples = "lowp quantize embedded -o small.gguf --format q4_k\n"
                "lowp compare embedded small.gguf --text embedded --windows 4\n",
    .options = {cli_text_options, cli_protocol_options, options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 2,
    .most_operands = 2,
    .long_running = true,
    .run = run,
};
