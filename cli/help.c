/* lowp help: what the verbs' tables say, on the terminal, as a man page, for shells, and as JSON. */
#include "cli.h"

#include <string.h>

/* ---- on the terminal --------------------------------------------------------------------------------------------- */

enum { HELP_WIDTH = 80, HELP_COLUMN = 26 };

/* Prints words from column `at` on, wrapped, later lines indented. Newlines in the text are kept. */
static void print_wrapped(FILE *out, const char *text, int at, int indent)
{
    while (*text) {
        int n = (int)strcspn(text, " \n");
        if (at > indent && at + 1 + n > HELP_WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
        } else if (at > indent) {
            at += fprintf(out, " ");
        }
        at += fprintf(out, "%.*s", n, text);
        text += n;
        if (*text == '\n') {
            fprintf(out, "\n%*s", text[1] ? indent : 0, "");
            at = indent;
            text++;
        }
        while (*text == ' ') text++;
    }
    fputc('\n', out);
}

/* "a|b|c" from column `at` on, broken behind a bar where the line ends. Returns the column reached. */
static int print_choices(FILE *out, const char *const *choices, int at)
{
    int indent = at;
    for (; *choices; choices++) {
        if (at > indent && at + (int)strlen(*choices) + (choices[1] != NULL) > HELP_WIDTH) at = fprintf(out, "\n%*s", indent, "") - 1;
        at += fprintf(out, "%s%s", *choices, choices[1] ? "|" : "");
    }
    return at;
}

static void print_option(FILE *out, const cli_option *o)
{
    char letter[5] = "    ";
    if (o->letter) snprintf(letter, sizeof letter, "-%c, ", o->letter);
    int at = fprintf(out, "  %s--%s%s", letter, o->name, o->choices || o->value ? " " : "");
    if (o->value) at += fprintf(out, "%s", o->value); /* long lists of choices name a value and stand in the text */
    else if (o->choices) at = print_choices(out, o->choices, at);
    if (at > HELP_COLUMN - 2) {
        fputc('\n', out);
        at = 0;
    }
    fprintf(out, "%*s", HELP_COLUMN - at, "");
    print_wrapped(out, o->help, HELP_COLUMN, HELP_COLUMN);
}

void cli_print_help(const cli_verb *verb)
{
    FILE *out = cli_out();
    fprintf(out, "lowp %s: %s\n\nUsage\n  lowp %s %s\n\n", verb->name, verb->summary, verb->name, verb->usage);
    print_wrapped(out, verb->details, 0, 0);
    const cli_option *tables[CLI_MOST_TABLES];
    cli_list_tables(verb, tables);
    fputs("\nOptions\n", out);
    for (int i = 0; tables[i]; i++)
        for (const cli_option *o = tables[i]; o->name; o++) print_option(out, o);
    fputs("\nExamples\n", out);
    for (const char *line = verb->examples; *line;) {
        int n = (int)strcspn(line, "\n");
        fprintf(out, "  %.*s\n", n, line);
        line += n + (line[n] == '\n');
    }
}

void cli_print_overview(FILE *out)
{
    fprintf(out, "lowp %s: numbers of few bits for language models\n\nUsage\n  lowp VERB [options] INPUT [-o OUTPUT]\n\nVerbs\n",
            lp_version());
    for (int i = 0; cli_verbs[i]; i++) fprintf(out, "  %-10s %s\n", cli_verbs[i]->name, cli_verbs[i]->summary);
    fputs("\n'lowp VERB --help' shows a verb's options and examples. A model is a GGUF file,\n"
          "a folder of safetensors, or 'embedded': a small one inside the program, so that\n"
          "everything can be tried at once:\n\n"
          "  lowp info embedded\n"
          "  lowp quantize embedded -o small.gguf --format q4_k\n"
          "  lowp compare embedded small.gguf --text embedded\n"
          "  lowp run small.gguf -p \"It was a dark and\"\n\n"
          "Exit codes: 0 done, 1 a check failed, 2 usage, 3 bad input, 4 out of memory or disk,\n"
          "5 valid but not supported here, 130 interrupted.\n",
          out);
}

/* ---- the verb ---------------------------------------------------------------------------------------------------- */

lp_status cli_find_verb(const char *name, const cli_verb **verb)
{
    const char *names[CLI_MOST_VERBS + 1] = {NULL};
    for (int i = 0; cli_verbs[i] && i < CLI_MOST_VERBS; i++) {
        *verb = cli_verbs[i];
        if (strcmp((names[i] = cli_verbs[i]->name), name) == 0) return LP_OK;
    }
    const char *near = cli_nearest(name, names);
    char advice[128];
    if (near)
        snprintf(advice, sizeof advice, "did you mean '%s'? 'lowp --help' lists the verbs", near);
    else
        snprintf(advice, sizeof advice, "the verb comes first; 'lowp --help' lists them");
    return cli_fail(LP_USAGE, advice, "unknown verb '%.200s'", name);
}

typedef struct help_options {
    cli_common common;
    bool man;
    int shell; /* index in cli_shells, or -1 */
} help_options;

static void print_json(void)
{
    cli_json json;
    cli_json_begin(&json, "help");
    cli_json_array(&json, "verbs");
    for (int i = 0; cli_verbs[i]; i++) {
        const cli_option *tables[CLI_MOST_TABLES];
        cli_list_tables(cli_verbs[i], tables);
        cli_json_object(&json, NULL);
        cli_json_text(&json, "name", cli_verbs[i]->name);
        cli_json_text(&json, "usage", cli_verbs[i]->usage);
        cli_json_text(&json, "summary", cli_verbs[i]->summary);
        cli_json_array(&json, "options");
        for (int k = 0; tables[k]; k++)
            for (const cli_option *o = tables[k]; o->name; o++) {
                char letter[2] = {o->letter, 0};
                cli_json_object(&json, NULL);
                cli_json_text(&json, "name", o->name);
                cli_json_text(&json, "letter", o->letter ? letter : NULL);
                cli_json_text(&json, "value", o->value);
                cli_json_array(&json, "choices");
                for (int c = 0; o->choices && o->choices[c]; c++) cli_json_text(&json, NULL, o->choices[c]);
                cli_json_close(&json);
                cli_json_text(&json, "help", o->help);
                cli_json_close(&json);
            }
        cli_json_close(&json);
        cli_json_close(&json);
    }
    cli_json_close(&json);
    cli_json_end(&json);
}

static lp_status run(const void *argument)
{
    const help_options *options = argument;
    const char *name = options->common.operand[0];
    const cli_verb *verb = NULL;
    lp_status status = name ? cli_find_verb(name, &verb) : LP_OK;
    if (status) return status;
    if (options->man) cli_print_man(cli_out());
    else if (options->shell >= 0) cli_print_completion(cli_out(), options->shell);
    else if (options->common.json) print_json();
    else if (verb) cli_print_help(verb);
    else cli_print_overview(cli_out());
    return LP_OK;
}

static const cli_option options_table[] = {
    {"man", 0, CLI_FLAG, offsetof(help_options, man), NULL, 0, 0, NULL, "print the man page lowp(1), for 'man -l FILE'"},
    {"completion", 0, CLI_CHOICE, offsetof(help_options, shell), NULL, 0, 0, cli_shells,
     "print what makes this shell complete verbs, options and their values"},
    {0},
};

static const help_options defaults = {.shell = -1};

const cli_verb cli_help = {
    .name = "help",
    .usage = "[VERB] [--man | --completion SHELL]",
    .summary = "this overview, one verb's help, the man page, shell completion",
    .details = "Without VERB: all verbs, a line each. The man page and the completions are made from the same tables as "
               "--help; an installation puts them where man and the shells look. --json has the tables themselves.",
    .examples = "lowp help quantize\nlowp help --man >lowp.1\nlowp help --completion bash >lowp.bash\n",
    .options = {options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 0,
    .most_operands = 1,
    .run = run,
};
