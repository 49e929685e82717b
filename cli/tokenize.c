/* lowp tokenize: text to token ids, and back. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct tokenize_options {
    cli_common common;
    bool ids;
} tokenize_options;

/* Ids between white space or commas. *ids from malloc. */
static lp_status read_ids(const char *text, size_t n, int32_t n_vocab, int32_t **ids, size_t *n_ids)
{
    int32_t *list = NULL;
    size_t count = 0, room = 0;
    for (size_t i = 0; i < n;) {
        if (strchr(" \t\r\n,", text[i]) && text[i]) {
            i++;
            continue;
        }
        size_t first = i;
        int64_t id = 0;
        for (; i < n && text[i] >= '0' && text[i] <= '9' && id <= n_vocab; i++) id = 10 * id + (text[i] - '0');
        bool ends = i == n || (text[i] && strchr(" \t\r\n,", text[i]));
        if (i == first || !ends || id >= n_vocab) {
            free(list);
            size_t length = strcspn(text + first, " \t\r\n,");
            return cli_fail(LP_INPUT, NULL, "stdin: '%.*s' (number %zu) is not a token id from 0 to %d",
                            (int)(length > 40 ? 40 : length), text + first, count + 1, (int)n_vocab - 1);
        }
        if (count == room) {
            room = 2 * room + 256;
            list = cli_realloc(list, room * sizeof *list);
        }
        list[count++] = (int32_t)id;
    }
    *ids = list;
    *n_ids = count;
    return LP_OK;
}

static lp_status to_text(const lp_tokenizer *tokenizer, const tokenize_options *options, const char *text, size_t n)
{
    int32_t *ids = NULL;
    char *bytes = NULL;
    size_t n_ids = 0, n_bytes = 0;
    lp_status status = read_ids(text, n, lp_tokenizer_size(tokenizer), &ids, &n_ids);
    if (!status) status = lp_tokenizer_decode(tokenizer, ids, n_ids, true, &bytes, &n_bytes);
    if (status) {
        free(ids);
        return status;
    }
    if (options->common.json) {
        cli_json json;
        cli_json_begin(&json, "tokenize");
        cli_json_bytes(&json, "text", bytes, n_bytes);
        cli_json_unsigned(&json, "n_ids", n_ids);
        cli_json_end(&json);
    } else {
        fwrite(bytes, 1, n_bytes, cli_out());
    }
    free(bytes);
    free(ids);
    return LP_OK;
}

static lp_status to_ids(const lp_tokenizer *tokenizer, const tokenize_options *options, const char *text, size_t n)
{
    int32_t *ids = NULL;
    size_t n_ids;
    lp_status status = lp_tokenizer_encode(tokenizer, text, n, false, false, &ids, &n_ids);
    if (status) return status;
    FILE *out = cli_out();
    if (options->common.json) {
        cli_json json;
        cli_json_begin(&json, "tokenize");
        cli_json_unsigned(&json, "n_ids", n_ids);
        cli_json_array(&json, "ids");
        for (size_t i = 0; i < n_ids; i++) cli_json_integer(&json, NULL, ids[i]);
        cli_json_close(&json);
        cli_json_end(&json);
    } else if (options->common.verbose) {
        for (size_t i = 0; i < n_ids; i++) {
            lp_string s = lp_tokenizer_bytes(tokenizer, ids[i], true);
            fprintf(out, "%6d  \"", (int)ids[i]);
            cli_print_bytes(out, s.data, s.n, false);
            fputs("\"\n", out);
        }
    } else {
        for (size_t i = 0; i < n_ids; i++) fprintf(out, "%s%d", i ? " " : "", (int)ids[i]);
        fputc('\n', out);
    }
    free(ids);
    return LP_OK;
}

static lp_status run(const void *argument)
{
    const tokenize_options *options = argument;
    lp_model *model;
    lp_status status = lp_model_open(options->common.operand[0], &model);
    if (status) return status;
    char *text = NULL;
    size_t n;
    const lp_tokenizer *tokenizer = lp_model_tokenizer(model);
    status = lp_text_read("-", &text, &n);
    if (!status) status = options->ids ? to_text(tokenizer, options, text, n) : to_ids(tokenizer, options, text, n);
    free(text);
    lp_model_close(model);
    return status;
}

static const cli_option options_table[] = {
    {"ids", 0, CLI_FLAG, offsetof(tokenize_options, ids), NULL, 0, 0, NULL, "the other way: ids on stdin to text"},
    {0},
};

static const tokenize_options defaults = {0};

const cli_verb cli_tokenize = {
    .name = "tokenize",
    .usage = "MODEL [--ids] < INPUT",
    .summary = "text on stdin to token ids, or back",
    .details = "Ids are printed on one line; -v prints a line per token with its text. No BOS is added, and special "
               "tokens written out in the text count as plain text.",
    .examples = "echo 'It was a dark night.' | lowp tokenize embedded\n"
                "echo 'It was a dark night.' | lowp tokenize embedded | lowp tokenize embedded --ids\n"
                "echo 'It was a dark night.' | lowp tokenize embedded -v\n",
    .options = {options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
