/* Completion for shells, from the same tables as --help. */
#include "cli.h"

#include <string.h>

const char *const cli_shells[] = {"bash", "zsh", "fish", NULL};

/* ---- what can stand as a value ----------------------------------------------------------------------------------- */

typedef enum value_kind { NO_VALUE, ANYTHING, A_FILE, WORDS } value_kind;

/* Formats that quantize writes, and mixtures. */
static void put_formats(FILE *out)
{
    const char *space = "";
    for (int i = 0; i < lp_packing_count(); i++)
        if (lp_packing_at(i)->can_encode) fprintf(out, "%s%s", space, lp_packing_at(i)->name), space = " ";
    for (int i = 0; i < lp_mixture_count(); i++) fprintf(out, "%s%s", space, lp_mixture_name(lp_mixture_at(i))), space = " ";
}

static void put_isas(FILE *out) { fputs("ref avx2 avx512 neon", out); }

static void put_verbs(FILE *out)
{
    for (int i = 0; cli_verbs[i]; i++) fprintf(out, "%s%s", i ? " " : "", cli_verbs[i]->name);
}

/* By the word that stands for the value in --help. What is not here cannot be guessed. */
static const struct {
    const char *value;
    value_kind kind;
    void (*words)(FILE *);
} values[] = {{"FILE", A_FILE, NULL}, {"OUT", A_FILE, NULL}, {"STATS", A_FILE, NULL}, {"F", WORDS, put_formats}, {"NAME", WORDS, put_isas}};
enum { N_VALUES = sizeof values / sizeof *values };

static value_kind kind_of(const cli_option *o)
{
    if (o->kind == CLI_FLAG) return NO_VALUE;
    if (o->choices) return WORDS;
    for (int i = 0; i < N_VALUES; i++)
        if (o->kind == CLI_TEXT && strcmp(values[i].value, o->value) == 0) return values[i].kind;
    return ANYTHING;
}

static void put_words(FILE *out, const cli_option *o)
{
    for (int i = 0; o->choices && o->choices[i]; i++) fprintf(out, "%s%s", i ? " " : "", o->choices[i]);
    for (int i = 0; !o->choices && i < N_VALUES; i++)
        if (values[i].words && strcmp(values[i].value, o->value) == 0) values[i].words(out);
}

/* Operands are files, and what this prints. */
static void put_operands(FILE *out, const cli_verb *verb)
{
    if (verb == &cli_help) put_verbs(out);
    else if (strstr(verb->usage, "MODEL")) fputs("embedded", out);
}

/* With what the shell reads specially escaped. */
static void put_escaped(FILE *out, const char *text, const char *special)
{
    for (; *text; text++) {
        if (strchr(special, *text)) fputc('\\', out);
        fputc(*text, out);
    }
}

/* Inside single quotes of a POSIX shell; special: what is escaped in there besides. */
static void put_quoted(FILE *out, const char *text, const char *special)
{
    for (; *text; text++) {
        if (*text == '\'') fputs("'\\''", out);
        else if (strchr(special, *text)) fprintf(out, "\\%c", *text);
        else fputc(*text, out);
    }
}

/* ---- bash -------------------------------------------------------------------------------------------------------- */

static void print_bash(FILE *out)
{
    fputs("# bash completion for lowp, made by 'lowp help --completion bash'\n"
          "_lowp()\n{\n"
          "    local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD - 1]} verb=${COMP_WORDS[1]}\n"
          "    local options= words= files=\n"
          "    COMPREPLY=()\n"
          "    # bash cuts --option=value into three words\n"
          "    if [[ $word == = ]]; then word=\n"
          "    elif [[ $before == = && $COMP_CWORD -gt 2 ]]; then before=${COMP_WORDS[COMP_CWORD - 2]}\n"
          "    fi\n"
          "    if ((COMP_CWORD == 1)); then\n"
          "        COMPREPLY=($(compgen -W '", out);
    put_verbs(out);
    fputs(" --help --version' -- \"$word\"))\n        return\n    fi\n    case $verb in\n", out);
    for (int i = 0; cli_verbs[i]; i++) {
        const cli_verb *verb = cli_verbs[i];
        const cli_option *tables[CLI_MOST_TABLES];
        cli_list_tables(verb, tables);
        fprintf(out, "        %s)\n            options='", verb->name);
        for (int k = 0; tables[k]; k++)
            for (const cli_option *o = tables[k]; o->name; o++) {
                fprintf(out, "%s--%s", o == tables[0] ? "" : " ", o->name);
                if (o->letter) fprintf(out, " -%c", o->letter);
            }
        fputs("'\n            words='", out);
        put_operands(out, verb);
        fprintf(out, "' files=%s\n            case $before in\n", verb == &cli_help ? "" : "yes");
        for (int k = 0; tables[k]; k++)
            for (const cli_option *o = tables[k]; o->name; o++) {
                value_kind kind = kind_of(o);
                if (kind == NO_VALUE) continue;
                fprintf(out, "                --%s", o->name);
                if (o->letter) fprintf(out, " | -%c", o->letter);
                fputs(") options= words='", out);
                if (kind == WORDS) put_words(out, o);
                fprintf(out, "' files=%s ;;\n", kind == A_FILE ? "yes" : "");
            }
        fputs("            esac\n            ;;\n", out);
    }
    fputs("    esac\n"
          "    if [[ $word == -* && -n $options ]]; then\n"
          "        COMPREPLY=($(compgen -W \"$options\" -- \"$word\"))\n"
          "        return\n"
          "    fi\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$word\"; [[ -z $files ]] || compgen -f -- \"$word\")\n"
          "    [[ -z $files ]] || compopt -o filenames 2>/dev/null\n"
          "}\n"
          "complete -F _lowp lowp\n", out);
}

/* ---- zsh --------------------------------------------------------------------------------------------------------- */

static void print_zsh_option(FILE *out, const cli_option *o)
{
    value_kind kind = kind_of(o);
    const char *repeated = o->kind == CLI_LIST ? "*" : "";
    for (int shape = o->letter ? 0 : 1; shape < 2; shape++) {
        fputs(" \\\n                '", out);
        if (o->letter) fprintf(out, "(-%c --%s)", o->letter, o->name);
        if (shape == 0) fprintf(out, "%s-%c%s[", repeated, o->letter, kind == NO_VALUE ? "" : "+");
        else fprintf(out, "%s--%s%s[", repeated, o->name, kind == NO_VALUE ? "" : "=");
        put_quoted(out, o->help, "[]\\");
        fputc(']', out);
        if (kind != NO_VALUE) {
            fputc(':', out);
            put_quoted(out, o->value ? o->value : o->name, ":\\");
            fputc(':', out);
        }
        if (kind == A_FILE) fputs("_files", out);
        if (kind == WORDS) fputc('(', out), put_words(out, o), fputc(')', out);
        fputc('\'', out);
    }
}

static void print_zsh(FILE *out)
{
    fputs("#compdef lowp\n# zsh completion for lowp, made by 'lowp help --completion zsh'\n"
          "_lowp_operands()\n{\n"
          "    (( $# )) && compadd -- \"$@\"\n"
          "    _files\n"
          "}\n"
          "_lowp()\n{\n    local -a verbs\n    verbs=(\n", out);
    for (int i = 0; cli_verbs[i]; i++) {
        fprintf(out, "        '%s:", cli_verbs[i]->name);
        put_quoted(out, cli_verbs[i]->summary, "\\");
        fputs("'\n", out);
    }
    fputs("    )\n    if (( CURRENT == 2 )); then\n"
          "        _describe verb verbs\n"
          "        compadd -- --help --version\n"
          "        return\n    fi\n"
          "    local verb=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $verb in\n", out);
    for (int i = 0; cli_verbs[i]; i++) {
        const cli_option *tables[CLI_MOST_TABLES];
        cli_list_tables(cli_verbs[i], tables);
        fprintf(out, "        %s)\n            _arguments -s -S", cli_verbs[i]->name);
        for (int k = 0; tables[k]; k++)
            for (const cli_option *o = tables[k]; o->name; o++) print_zsh_option(out, o);
        fputs(" \\\n                '*:operand:", out);
        if (cli_verbs[i] == &cli_help) fputc('(', out), put_verbs(out), fputc(')', out);
        else fputs("{_lowp_operands ", out), put_operands(out, cli_verbs[i]), fputc('}', out);
        fputs("'\n            ;;\n", out);
    }
    fputs("    esac\n}\n"
          "# read by compinit, or by hand\n"
          "if [[ $funcstack[1] == _lowp ]]; then _lowp \"$@\"; else compdef _lowp lowp; fi\n", out);
}

/* ---- fish -------------------------------------------------------------------------------------------------------- */

static void print_fish_option(FILE *out, const char *verb, const cli_option *o)
{
    value_kind kind = kind_of(o);
    fprintf(out, "complete -c lowp -n '__lowp_verb %s' -l %s", verb, o->name);
    if (o->letter) fprintf(out, " -s %c", o->letter);
    if (kind == ANYTHING) fputs(" -x", out);
    if (kind == A_FILE) fputs(" -r -F", out);
    if (kind == WORDS) fputs(" -x -a '", out), put_words(out, o), fputc('\'', out);
    fputs(" -d '", out);
    put_escaped(out, o->help, "'\\");
    fputs("'\n", out);
}

static void print_fish(FILE *out)
{
    fputs("# fish completion for lowp, made by 'lowp help --completion fish'\n"
          "function __lowp_verb\n"
          "    set -l words (commandline -opc)\n"
          "    if test (count $argv) -eq 0\n"
          "        test (count $words) -eq 1\n"
          "    else\n"
          "        test (count $words) -ge 2 -a \"$words[2]\" = $argv[1]\n"
          "    end\n"
          "end\n"
          "complete -c lowp -f\n"
          "complete -c lowp -n __lowp_verb -l help -d 'print the overview'\n"
          "complete -c lowp -n __lowp_verb -l version -d 'print the version'\n", out);
    for (int i = 0; cli_verbs[i]; i++) {
        const cli_verb *verb = cli_verbs[i];
        fprintf(out, "complete -c lowp -n __lowp_verb -a %s -d '", verb->name);
        put_escaped(out, verb->summary, "'\\");
        fprintf(out, "'\ncomplete -c lowp -n '__lowp_verb %s' %s -a '", verb->name, verb == &cli_help ? "-f" : "-F");
        put_operands(out, verb);
        fputs("'\n", out);
        const cli_option *tables[CLI_MOST_TABLES];
        cli_list_tables(verb, tables);
        for (int k = 0; tables[k]; k++)
            for (const cli_option *o = tables[k]; o->name; o++) print_fish_option(out, verb->name, o);
    }
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

void cli_print_completion(FILE *out, int shell)
{
    static void (*const printers[])(FILE *) = {print_bash, print_zsh, print_fish};
    _Static_assert(sizeof printers / sizeof *printers + 1 == sizeof cli_shells / sizeof *cli_shells, "a printer for each shell");
    printers[shell](out);
}
