/* lowp convert: between GGUF files and folders of safetensors. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct convert_options {
    cli_common common;
    const char *output, *shard_size;
} convert_options;

/* "4.7G" is 2^30 bytes each, "4700MB" 10^6. */
static lp_status parse_size(const char *text, uint64_t *n)
{
    static const struct {
        const char *name;
        double bytes;
    } units[] = {{"", 1}, {"K", 1024.0}, {"M", 1048576.0}, {"G", 1073741824.0}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}};
    char *end;
    double value = strtod(text, &end);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        if (strcmp(end, units[i].name) == 0 && end != text && value * units[i].bytes >= 1 && value * units[i].bytes < 1e18) {
            *n = (uint64_t)(value * units[i].bytes);
            return LP_OK;
        }
    return cli_fail(LP_USAGE, "for example: --shard-size 4G", "--shard-size: '%.100s' is no size", text);
}

static void print_json(const convert_options *options, const lp_convert_result *r)
{
    cli_json json;
    cli_json_begin(&json, "convert");
    cli_json_text(&json, "source", options->common.operand[0]);
    cli_json_text(&json, "output", options->output);
    if (options->common.dry_run) cli_json_bool(&json, "dry_run", true);
    cli_json_text(&json, "container", r->is_folder ? "safetensors" : "gguf");
    cli_json_integer(&json, "n_files", r->n_files);
    cli_json_integer(&json, "n_tensors", r->n_tensors);
    cli_json_unsigned(&json, "n_bytes", r->n_bytes);
    cli_json_end(&json);
}

static lp_status run(const void *argument)
{
    const convert_options *options = argument;
    lp_convert_options c = {.force = options->common.force, .dry_run = options->common.dry_run};
    lp_convert_result result;
    if (!options->output) return cli_fail(LP_USAGE, NULL, "-o OUT is missing");
    lp_status status = options->shard_size ? parse_size(options->shard_size, &c.shard_bytes) : LP_OK;
    if (status) return status;
    cli_progress progress;
    cli_progress_begin(&progress, &options->common);
    status = lp_convert(options->common.operand[0], options->output, &c, &progress.progress, &result);
    cli_progress_end(&progress);
    if (status) return status;
    if (options->common.json) {
        print_json(options, &result);
        return LP_OK;
    }
    fprintf(cli_out(), "%s%s -> %s (%s, %s, %s, %s)\n", options->common.dry_run ? "would write: " : "", options->common.operand[0],
            options->output, result.is_folder ? "a folder of safetensors" : "GGUF", cli_number(result.n_files, "file").text,
            cli_number(result.n_tensors, "tensor").text, cli_bytes(result.n_bytes).text);
    return LP_OK;
}

static const cli_option options_table[] = {
    {"output", 'o', CLI_TEXT, offsetof(convert_options, output), "OUT", 0, 0, NULL,
     "a GGUF file if it ends with .gguf or MODEL is a folder; else a folder"},
    {"shard-size", 0, CLI_TEXT, offsetof(convert_options, shard_size), "S", 0, 0, NULL,
     "write OUT-00001-of-0000N.gguf, each with at most S bytes of tensors (4G, 500MB)"},
    {0},
};

static const convert_options defaults = {0};

const cli_verb cli_convert = {
    .name = "convert",
    .usage = "MODEL -o OUT [--shard-size S]",
    .summary = "between GGUF files and folders of safetensors",
    .details = "A folder has config.json, tokenizer.json and model.safetensors (or shards with an index), as Hugging Face "
               "writes them. Tensors keep their bytes; vectors of 16 bits are F32 in a GGUF file and come back as they "
               "were. Experts are one tensor in a GGUF file, and gemma's norms 1 + w. What the other container cannot hold is refused by name: quantized types, unknown architectures, "
               "pre-tokenizers or tensors. Every verb also takes such a folder as MODEL. GGUF to GGUF joins or splits "
               "shards.",
    .examples = "lowp convert embedded -o folder\nlowp convert folder -o again.gguf\nlowp diff embedded again.gguf\n"
                "lowp convert embedded -o split.gguf --shard-size 4MB\nlowp info split-00001-of-00003.gguf\n",
    .options = {options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 1,
    .most_operands = 1,
    .writes = true,
    .long_running = true,
    .run = run,
};
