/* The option parser: driven by each verb's tables, which also make its --help, the man page and completion. */
#include "cli.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const cli_option common_options[] = {
    {"threads", 0, CLI_INTEGER, offsetof(cli_common, n_threads), "N", 1, 1024, NULL, "threads; default: one per processor"},
    {"seed", 0, CLI_INTEGER, offsetof(cli_common, seed), "N", 0, 4294967295.0, NULL, "of everything random; default 0"},
    {"isa", 0, CLI_TEXT, offsetof(cli_common, isa), "NAME", 0, 0, NULL,
     "instruction set: ref, avx2, avx512 or neon (also LOWP_ISA); the results are the same"},
    {"json", 0, CLI_FLAG, offsetof(cli_common, json), NULL, 0, 0, NULL, "print one JSON object"},
    {"quiet", 'q', CLI_FLAG, offsetof(cli_common, quiet), NULL, 0, 0, NULL, "no progress and no notes"},
    {"verbose", 'v', CLI_FLAG, offsetof(cli_common, verbose), NULL, 0, 0, NULL, "more detail"},
    {"help", 'h', CLI_FLAG, offsetof(cli_common, help), NULL, 0, 0, NULL, "print this text"},
    {0},
};

static const cli_option write_options[] = {
    {"force", 0, CLI_FLAG, offsetof(cli_common, force), NULL, 0, 0, NULL, "replace an output that exists"},
    {0},
};

static const cli_option dry_run_options[] = {
    {"dry-run", 0, CLI_FLAG, offsetof(cli_common, dry_run), NULL, 0, 0, NULL, "say what would be done, and do nothing"},
    {0},
};

/* ---- nearest name ------------------------------------------------------------------------------------------------ */

enum { LONGEST_NAME = 40 };

/* Insertions, deletions, replacements and swaps of neighbours that turn a into b. */
static int distance(const char *a, const char *b)
{
    size_t n = strlen(a), m = strlen(b);
    if (n > LONGEST_NAME || m > LONGEST_NAME) return LONGEST_NAME;
    int rows[3][LONGEST_NAME + 1];
    for (size_t j = 0; j <= m; j++) rows[0][j] = (int)j;
    for (size_t i = 1; i <= n; i++) {
        int *row = rows[i % 3], *above = rows[(i + 2) % 3], *two_above = rows[(i + 1) % 3];
        row[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int d = above[j - 1] + (a[i - 1] != b[j - 1]);
            if (above[j] + 1 < d) d = above[j] + 1;
            if (row[j - 1] + 1 < d) d = row[j - 1] + 1;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] && two_above[j - 2] + 1 < d)
                d = two_above[j - 2] + 1;
            row[j] = d;
        }
    }
    return rows[n % 3][m];
}

const char *cli_nearest(const char *word, const char *const *names)
{
    const char *best = NULL;
    int least = strlen(word) < 5 ? 2 : 3; /* a name must be nearer than this */
    for (; *names; names++) {
        int d = distance(word, *names);
        if (strlen(word) >= 3 && strncmp(word, *names, strlen(word)) == 0) d = 1;
        if (d < least) least = d, best = *names;
    }
    return best;
}

/* ---- tables ------------------------------------------------------------------------------------------------------ */

const cli_option *const cli_common_options = common_options;

void cli_list_tables(const cli_verb *verb, const cli_option **tables)
{
    int n = 0;
    for (int i = 0; i < 4 && verb->options[i]; i++) tables[n++] = verb->options[i];
    if (verb->writes) tables[n++] = write_options;
    if (verb->long_running) tables[n++] = dry_run_options;
    tables[n++] = common_options;
    tables[n] = NULL;
}

static const cli_option *find_option(const cli_option **tables, const char *name, size_t n_name, char letter)
{
    for (; *tables; tables++)
        for (const cli_option *o = *tables; o->name; o++)
            if (letter ? o->letter == letter : strlen(o->name) == n_name && memcmp(o->name, name, n_name) == 0) return o;
    return NULL;
}

static lp_status unknown_option(const cli_verb *verb, const cli_option **tables, const char *argument)
{
    const char *names[64];
    int n = 0;
    for (; *tables; tables++)
        for (const cli_option *o = *tables; o->name && n < 63; o++) names[n++] = o->name;
    names[n] = NULL;
    char word[LONGEST_NAME + 1], advice[128];
    size_t length = strcspn(argument, "=");
    const char *near = NULL;
    if (strncmp(argument, "--", 2) == 0 && length - 2 < sizeof word) {
        memcpy(word, argument + 2, length - 2);
        word[length - 2] = 0;
        near = cli_nearest(word, names);
    }
    if (near)
        snprintf(advice, sizeof advice, "did you mean --%s? 'lowp %s --help' lists the options", near, verb->name);
    else
        snprintf(advice, sizeof advice, "'lowp %s --help' lists the options", verb->name);
    return cli_fail(LP_USAGE, advice, "%s: unknown option %.*s", verb->name, (int)(length > 200 ? 200 : length), argument);
}

/* ---- values ------------------------------------------------------------------------------------------------------ */

static lp_status bad_number(const cli_option *option, const char *value)
{
    const char *kind = option->kind == CLI_INTEGER ? "an integer" : "a number";
    return cli_fail(LP_USAGE, NULL, "--%s: '%.100s' is not %s from %.15g to %.15g", option->name, value, kind,
                    option->least, option->most);
}

static lp_status set_choice(const cli_option *option, const char *value, int *index)
{
    char list[256] = "";
    for (int i = 0; option->choices[i]; i++) {
        if (strcmp(option->choices[i], value) == 0) {
            *index = i;
            return LP_OK;
        }
        size_t n = strlen(list);
        snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", option->choices[i]);
    }
    const char *near = cli_nearest(value, option->choices);
    char advice[128];
    if (near) snprintf(advice, sizeof advice, "did you mean %s?", near);
    return cli_fail(LP_USAGE, near ? advice : NULL, "--%s: '%.100s' is none of %s", option->name, value, list);
}

static lp_status set_value(const cli_option *option, const char *value, void *options)
{
    void *field = (char *)options + option->offset;
    char *end;
    errno = 0;
    switch (option->kind) {
    case CLI_FLAG: *(bool *)field = true; return LP_OK;
    case CLI_TEXT: *(const char **)field = value; return LP_OK;
    case CLI_INTEGER: {
        long long x = strtoll(value, &end, 10);
        bool begins = *value == '-' || (*value >= '0' && *value <= '9');
        if (!begins || *end || errno || (double)x < option->least || (double)x > option->most)
            return bad_number(option, value);
        *(int64_t *)field = x;
        return LP_OK;
    }
    case CLI_REAL: {
        double x = strtod(value, &end);
        bool begins = *value == '-' || *value == '.' || (*value >= '0' && *value <= '9');
        if (!begins || *end || !isfinite(x) || strpbrk(value, "xX") || !(x >= option->least && x <= option->most))
            return bad_number(option, value);
        *(double *)field = x;
        return LP_OK;
    }
    case CLI_CHOICE: return set_choice(option, value, field);
    case CLI_LIST: {
        cli_list *list = field;
        list->text = cli_realloc(list->text, (size_t)(list->n + 1) * sizeof *list->text);
        list->text[list->n++] = value;
        return LP_OK;
    }
    }
    return LP_USAGE;
}

/* ---- parsing ----------------------------------------------------------------------------------------------------- */

typedef struct arguments {
    const cli_verb *verb;
    const cli_option *tables[CLI_MOST_TABLES];
    int n, at;
    char **text;
    void *options;
} arguments;

static lp_status take_value(arguments *a, const cli_option *option, const char *attached, const char *written)
{
    if (option->kind == CLI_FLAG) {
        if (attached) return cli_fail(LP_USAGE, NULL, "--%s takes no value", option->name);
        return set_value(option, NULL, a->options);
    }
    if (!attached && a->at >= a->n)
        return cli_fail(LP_USAGE, NULL, "%s needs a value (%s)", written, option->value);
    return set_value(option, attached ? attached : a->text[a->at++], a->options);
}

static lp_status parse_long(arguments *a, const char *argument)
{
    size_t n = strcspn(argument + 2, "=");
    const cli_option *option = find_option(a->tables, argument + 2, n, 0);
    if (!option) return unknown_option(a->verb, a->tables, argument);
    char written[LONGEST_NAME + 3];
    snprintf(written, sizeof written, "--%s", option->name);
    return take_value(a, option, argument[n + 2] == '=' ? argument + n + 3 : NULL, written);
}

/* -q, -qv, -n 5, -n5 */
static lp_status parse_short(arguments *a, const char *argument)
{
    for (const char *c = argument + 1; *c; c++) {
        const cli_option *option = find_option(a->tables, NULL, 0, *c);
        if (!option) return unknown_option(a->verb, a->tables, argument);
        if (option->kind != CLI_FLAG) {
            char written[3] = {'-', *c, 0};
            return take_value(a, option, c[1] ? c + 1 : NULL, written);
        }
        lp_status status = take_value(a, option, NULL, NULL);
        if (status) return status;
    }
    return LP_OK;
}

static lp_status add_operand(const cli_verb *verb, cli_common *common, const char *argument)
{
    if (common->n_operands == verb->most_operands)
        return cli_fail(LP_USAGE, NULL, "%s: one argument too many: '%.200s' (usage: lowp %s %s)", verb->name, argument,
                        verb->name, verb->usage);
    common->operand[common->n_operands++] = argument;
    return LP_OK;
}

lp_status cli_parse(const cli_verb *verb, int n_arguments, char **text, void *options)
{
    arguments a = {.verb = verb, .n = n_arguments, .text = text, .options = options};
    cli_list_tables(verb, a.tables);
    cli_common *common = options;
    bool only_operands = false;
    while (a.at < a.n) {
        const char *argument = a.text[a.at++];
        lp_status status = LP_OK;
        if (only_operands || argument[0] != '-' || !argument[1])
            status = add_operand(verb, common, argument);
        else if (strcmp(argument, "--") == 0)
            only_operands = true;
        else if (argument[1] == '-')
            status = parse_long(&a, argument);
        else
            status = parse_short(&a, argument);
        if (status) return status;
    }
    if (!common->help && common->n_operands < verb->least_operands) {
        char advice[128];
        snprintf(advice, sizeof advice, "'lowp %s --help' shows an example", verb->name);
        return cli_fail(LP_USAGE, advice, "%s: too few arguments (usage: lowp %s %s)", verb->name, verb->name, verb->usage);
    }
    return LP_OK;
}

void cli_free_options(const cli_verb *verb, void *options)
{
    const cli_option *tables[CLI_MOST_TABLES];
    cli_list_tables(verb, tables);
    for (int i = 0; tables[i]; i++)
        for (const cli_option *o = tables[i]; o->name; o++)
            if (o->kind == CLI_LIST) free(((cli_list *)(void *)((char *)options + o->offset))->text);
    free(options);
}
