/* Options and steps that eval, compare and calibrate share: the text and how it is cut into windows. */
#include "cli.h"

#include <stdlib.h>

const char *const cli_activation_names[] = {"f32", "i8", NULL};
const char *const cli_protocol_names[] = {"windows", "llama.cpp", NULL};

const cli_option cli_text_options[] = {
    {"text", 0, CLI_TEXT, offsetof(cli_measure, text), "FILE", 0, 0, NULL,
     "the text; '-' is stdin, 'embedded' and 'embedded-calibration' are inside the program"},
    {"context", 0, CLI_INTEGER, offsetof(cli_measure, n_context), "N", 2, 2147483647, NULL,
     "tokens per window; default as described above"},
    {"windows", 0, CLI_INTEGER, offsetof(cli_measure, n_windows), "N", 1, 2147483647, NULL,
     "only the first N windows; default: all"},
    {"activations", 0, CLI_CHOICE, offsetof(cli_measure, activations), NULL, 0, 0, cli_activation_names,
     "number format between the layers; default: i8 (int8 in blocks of 32) for quantized weights, f32 for float ones"},
    {0},
};

const cli_option cli_protocol_options[] = {
    {"protocol", 0, CLI_CHOICE, offsetof(cli_measure, protocol), NULL, 0, 0, cli_protocol_names,
     "windows: every prediction inside a window counts (default); llama.cpp: those of its second half, as "
     "llama-perplexity counts"},
    {"spread", 0, CLI_FLAG, offsetof(cli_measure, spread), NULL, 0, 0, NULL,
     "with --windows: N windows that lie evenly over the text instead of its first N"},
    {"chunk", 0, CLI_INTEGER, offsetof(cli_measure, n_chunk), "N", 1, 1048576, NULL,
     "tokens computed together; changes speed and memory, never a result; default 512"},
    {0},
};

lp_activation cli_activation(int choice)
{
    return choice < 0 ? LP_ACTIVATION_DEFAULT : choice == 0 ? LP_ACTIVATION_F32 : LP_ACTIVATION_I8;
}

lp_status cli_read_text(const cli_measure *options, char **text, size_t *n)
{
    if (!options->text)
        return cli_fail(LP_USAGE, "'--text embedded' takes a text that is inside the program", "--text FILE is missing");
    return lp_text_read(options->text, text, n);
}

int64_t cli_window_length(const lp_model *model, int64_t asked, int64_t usual)
{
    int64_t longest = lp_model_get_info(model)->n_context;
    return asked ? asked : usual < longest ? usual : longest;
}

lp_status cli_count_windows(const lp_model *model, const cli_measure *options, const char *text, size_t n_text,
                            int64_t n_context, int64_t *n_tokens, int64_t *n_windows)
{
    int64_t longest = lp_model_get_info(model)->n_context;
    if (n_context > longest)
        return cli_fail(LP_USAGE, NULL, "--context: %lld is more than the model's context of %lld tokens",
                        (long long)n_context, (long long)longest);
    int32_t *ids;
    size_t n_ids;
    lp_status status = lp_tokenizer_encode(lp_model_tokenizer(model), text, n_text, false, false, &ids, &n_ids);
    if (status) return status;
    free(ids);
    *n_tokens = (int64_t)n_ids;
    *n_windows = *n_tokens / n_context;
    if (options->n_windows && *n_windows > options->n_windows) *n_windows = options->n_windows;
    if (*n_windows == 0)
        return cli_fail(LP_INPUT, "give a longer text or a smaller --context",
                        "%.200s: the text has %lld tokens, less than one window of %lld", options->text,
                        (long long)*n_tokens, (long long)n_context);
    return LP_OK;
}

lp_eval_options cli_eval_options(const cli_measure *options, lp_pool *pool)
{
    return (lp_eval_options){
        .n_context = options->n_context,
        .n_windows = options->n_windows,
        .protocol = options->protocol == 1 ? LP_PROTOCOL_LLAMA_CPP : LP_PROTOCOL_WINDOWS,
        .activations = cli_activation(options->activations),
        .n_chunk = options->n_chunk,
        .spread = options->spread,
        .pool = pool,
    };
}
