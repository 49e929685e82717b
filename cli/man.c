/* The man page, in mdoc(7), from the same tables as --help. */
#include "cli.h"

#include <string.h>

static const char date[] = "November 24, 2026"; /* when this page's form changed last */

/* One word of text or of a macro's argument. */
static void put_word(FILE *out, const char *word, size_t n, bool at_start)
{
    if (at_start && (*word == '.' || *word == '\'')) fputs("\\&", out);
    for (size_t i = 0; i < n; i++) {
        if (word[i] == '\\') fputs("\\e", out);
        else if (word[i] == '-') fputs("\\-", out);
        else fputc(word[i], out);
    }
}

/* Paragraphs, filled: a sentence ends its line, as mdoc wants it. */
static void put_text(FILE *out, const char *text)
{
    size_t at = 0;
    while (*text) {
        size_t n = strcspn(text, " \n");
        if (at && at + 1 + n > 78) at = 0, fputc('\n', out);
        if (at) fputc(' ', out);
        put_word(out, text, n, !at);
        at += n + 1;
        bool sentence = n && strchr(".?!", text[n - 1]);
        text += n;
        if (text[0] == '\n' && text[1] == '\n') {
            fputs("\n.Pp", out);
            sentence = true;
        }
        text += strspn(text, " \n");
        if (sentence && *text) at = 0, fputc('\n', out);
    }
    fputc('\n', out);
}

static void put_lines(FILE *out, const char *text)
{
    fputs(".Bd -literal -offset indent\n", out);
    for (size_t n; *text; text += n + (text[n] == '\n')) {
        n = strcspn(text, "\n");
        put_word(out, text, n, true);
        fputc('\n', out);
    }
    fputs(".Ed\n", out);
}

/* Arguments begin with \& so that none is taken for a macro's name. */
static void put_option(FILE *out, const cli_option *o)
{
    fputs(".It ", out);
    if (o->letter) fprintf(out, "Fl %c , ", o->letter);
    fputs("Fl \\-", out);
    put_word(out, o->name, strlen(o->name), false);
    if (o->value || o->choices) fputs(" Ar ", out);
    for (int i = 0; !o->value && o->choices && o->choices[i]; i++) {
        fputs(i ? " | \\&" : "\\&", out);
        put_word(out, o->choices[i], strlen(o->choices[i]), false);
    }
    if (o->value) fputs("\\&", out), put_word(out, o->value, strlen(o->value), false);
    fputc('\n', out);
    put_text(out, o->help);
}

static void put_verb(FILE *out, const cli_verb *verb)
{
    fprintf(out, ".Ss %s\n.Dl lowp %s%s", verb->name, verb->name, *verb->usage ? " " : "");
    put_word(out, verb->usage, strlen(verb->usage), false);
    fputs("\n.Pp\n", out);
    put_text(out, verb->details);
    const cli_option *tables[CLI_MOST_TABLES];
    cli_list_tables(verb, tables);
    if (tables[0] != cli_common_options) fputs(".Bl -tag -width Ds\n", out);
    for (int i = 0; tables[i] && tables[i] != cli_common_options; i++)
        for (const cli_option *o = tables[i]; o->name; o++) put_option(out, o);
    if (tables[0] != cli_common_options) fputs(".El\n", out);
    fputs(".Pp\nExamples:\n", out);
    put_lines(out, verb->examples);
}

void cli_print_man(FILE *out)
{
    fprintf(out, ".\\\" Made by 'lowp help --man'.\n.Dd %s\n.Dt LOWP 1\n.Os\n.Sh NAME\n.Nm lowp\n.Nd numbers of few bits for language models\n",
            date);
    fputs(".Sh SYNOPSIS\n.Nm\n.Ar verb\n.Op Ar options\n.Ar input\n.Op Fl o Ar output\n", out);
    fputs(".Nm\n.Fl \\-help | \\-version\n.Sh DESCRIPTION\n", out);
    put_text(out, "lowp makes language models smaller by giving each weight fewer bits, measures what that cost, and runs them. "
                  "A model is a GGUF file, a folder of safetensors, or the word embedded: a small model inside the program. "
                  "A text is a file, - for stdin, or one of the texts inside the program, embedded and embedded-calibration. "
                  "Results go to stdout, everything else to stderr. Options may stand before and after the operands; -- ends them. "
                  "No result depends on the number of threads or on the instruction set.\n\nThe verbs are:");
    fputs(".Bl -tag -width calibrate\n", out);
    for (int i = 0; cli_verbs[i]; i++) {
        fprintf(out, ".It Cm \\&%s\n", cli_verbs[i]->name);
        put_text(out, cli_verbs[i]->summary);
    }
    fputs(".El\n.Sh OPTIONS OF ALL VERBS\n.Bl -tag -width Ds\n", out);
    for (const cli_option *o = cli_common_options; o->name; o++) put_option(out, o);
    fputs(".El\n.Sh VERBS\n", out);
    for (int i = 0; cli_verbs[i]; i++) put_verb(out, cli_verbs[i]);
    fputs(".Sh ENVIRONMENT\n.Bl -tag -width LOWP_ISA\n.It Ev LOWP_ISA\n", out);
    put_text(out, "The instruction set, where --isa is not given.");
    fputs(".El\n.Sh EXIT STATUS\n.Bl -tag -width 130 -compact\n", out);
    static const struct {
        int code;
        const char *meaning;
    } codes[] = {{LP_OK, "done"}, {LP_CHECK, "a check failed: verify found a problem, diff a difference"},
                 {LP_USAGE, "wrong usage, or the output exists"}, {LP_INPUT, "bad input: the file is missing or its bytes are wrong"},
                 {LP_RESOURCE, "out of memory or disk, or stdout cannot be written"},
                 {LP_UNSUPPORTED, "valid, but not supported by this build"}, {LP_INTERRUPTED, "interrupted"}};
    for (size_t i = 0; i < sizeof codes / sizeof *codes; i++) {
        fprintf(out, ".It %d\n", codes[i].code);
        put_text(out, codes[i].meaning);
    }
    fputs(".El\n", out);
}
