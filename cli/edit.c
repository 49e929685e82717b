/* lowp edit: changes the metadata of a GGUF file. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct edit_options {
    cli_common common;
    cli_list set, remove;
} edit_options;

/* "KEY=VALUE" or "KEY:TYPE=VALUE". The key's copy is freed by the caller. */
static lp_status parse_change(const char *text, lp_key_change *change)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals == text)
        return cli_fail(LP_USAGE, "for example: general.name=books, or lowp.note:string=text for a new key", "'%.200s' is not KEY=VALUE",
                        text);
    char *key = cli_copy(text);
    key[equals - text] = 0;
    char *colon = strrchr(key, ':');
    if (colon) *colon = 0;
    *change = (lp_key_change){.key = key, .type = colon ? colon + 1 : NULL, .value = equals + 1};
    return LP_OK;
}

static void print_result(const edit_options *options, size_t n, bool in_place)
{
    const cli_common *common = &options->common;
    if (common->json) {
        cli_json json;
        cli_json_begin(&json, "edit");
        cli_json_text(&json, "file", common->operand[0]);
        if (common->dry_run) cli_json_bool(&json, "dry_run", true);
        cli_json_integer(&json, "n_changes", (int64_t)n);
        cli_json_bool(&json, "in_place", in_place);
        cli_json_end(&json);
        return;
    }
    fprintf(cli_out(), "%s%s: %s %s\n", common->dry_run ? "would change: " : "", common->operand[0],
            cli_number((int64_t)n, "key").text, in_place ? "changed in place" : "changed, file written again");
}

static lp_status run(const void *argument)
{
    const edit_options *options = argument;
    size_t n = 0, n_most = (size_t)(options->common.n_operands - 1 + options->set.n + options->remove.n);
    lp_key_change *changes = cli_alloc((n_most + 1) * sizeof *changes);
    lp_status status = n_most ? LP_OK : cli_fail(LP_USAGE, NULL, "KEY=VALUE is missing");
    for (int i = 1; i < options->common.n_operands && !status; i++)
        if ((status = parse_change(options->common.operand[i], &changes[n])) == LP_OK) n++;
    for (int i = 0; i < options->set.n && !status; i++)
        if ((status = parse_change(options->set.text[i], &changes[n])) == LP_OK) n++;
    for (int i = 0; i < options->remove.n && !status; i++)
        changes[n++] = (lp_key_change){.key = cli_copy(options->remove.text[i])};
    bool in_place = false;
    if (!status)
        status = lp_gguf_edit(options->common.operand[0], changes, n, options->common.force, options->common.dry_run, &in_place);
    if (!status) print_result(options, n, in_place);
    for (size_t i = 0; i < n; i++) free((void *)(uintptr_t)changes[i].key);
    free(changes);
    return status;
}

static const cli_option options_table[] = {
    {"set", 0, CLI_LIST, offsetof(edit_options, set), "KEY=VALUE", 0, 0, NULL, "the same as the operand; may be repeated"},
    {"remove", 0, CLI_LIST, offsetof(edit_options, remove), "KEY", 0, 0, NULL, "remove a key; may be repeated"},
    {0},
};

static const edit_options defaults = {0};

const cli_verb cli_edit = {
    .name = "edit",
    .usage = "FILE KEY=VALUE...",
    .summary = "change the metadata of a GGUF file",
    .details = "A key keeps its type; a new one names it: KEY:TYPE=VALUE (u32, f32, bool, string, ...). Where every value "
               "has as many bytes as before, the file is changed in place; else it is written again beside itself and "
               "renamed. Keys that a model depends on are changed with --force only.",
    .examples = "lowp convert embedded -o copy.gguf\nlowp edit copy.gguf general.name=my-books lowp.note:string=hello\n"
                "lowp edit copy.gguf llama.context_length=512 --force\nlowp edit copy.gguf --remove lowp.note --dry-run\n",
    .options = {options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 1,
    .most_operands = 4,
    .writes = true,
    .long_running = true,
    .run = run,
};
