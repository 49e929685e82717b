/* The `lowp` program: finds the verb, parses its options, runs it, and turns its status into an exit code. */
#include "cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const cli_verb *const verbs[] = {&cli_info,    &cli_formats, &cli_cast,     &cli_quantize, &cli_calibrate, &cli_eval,
                                        &cli_compare, &cli_run,     &cli_tokenize, &cli_verify,    &cli_convert,
                                        &cli_diff,    &cli_edit,    &cli_bench};
enum { N_VERBS = sizeof verbs / sizeof *verbs };

static void print_help(FILE *out)
{
    fprintf(out, "lowp %s: numbers of few bits for language models\n\nUsage\n  lowp VERB [options] INPUT [-o OUTPUT]\n\nVerbs\n",
            lp_version());
    for (int i = 0; i < N_VERBS; i++) fprintf(out, "  %-10s %s\n", verbs[i]->name, verbs[i]->summary);
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

static const cli_verb *find_verb(const char *name)
{
    for (int i = 0; i < N_VERBS; i++)
        if (strcmp(verbs[i]->name, name) == 0) return verbs[i];
    return NULL;
}

static lp_status unknown_verb(const char *name)
{
    const char *names[N_VERBS + 1], *near;
    for (int i = 0; i < N_VERBS; i++) names[i] = verbs[i]->name;
    names[N_VERBS] = NULL;
    near = cli_nearest(name, names);
    char advice[128];
    if (near)
        snprintf(advice, sizeof advice, "did you mean '%s'? 'lowp --help' lists the verbs", near);
    else
        snprintf(advice, sizeof advice, "the verb comes first; 'lowp --help' lists them");
    return cli_fail(LP_USAGE, advice, "unknown verb '%.200s'", name);
}

static lp_status run_verb(const cli_verb *verb, int n_arguments, char **arguments)
{
    void *options = cli_alloc(verb->options_size);
    memcpy(options, verb->defaults, verb->options_size);
    cli_common *common = options;
    lp_status status = cli_parse(verb, n_arguments, arguments, options);
    if (!status && common->help)
        cli_print_help(verb);
    else if (!status && (status = lp_isa_select(common->isa)) == LP_OK)
        status = verb->run(options);
    cli_free_options(verb, options);
    return status;
}

static lp_status run(int argc, char **argv)
{
    if (argc < 2) {
        print_help(stderr);
        return cli_fail(LP_USAGE, NULL, "a verb is missing");
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        fprintf(cli_out(), "lowp %s\n", lp_version());
        return LP_OK;
    }
    bool help = strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0;
    if (help && argc == 2) {
        print_help(cli_out());
        return LP_OK;
    }
    const cli_verb *verb = find_verb(help ? argv[2] : word);
    if (!verb) return unknown_verb(help ? argv[2] : word);
    if (help) {
        cli_print_help(verb);
        return LP_OK;
    }
    return run_verb(verb, argc - 2, argv + 2);
}

int main(int argc, char **argv)
{
    /* A standard stream that the caller closed must not be the number of a file that is opened later. */
    for (int fd = 0; fd <= 2; fd++)
        if (fcntl(fd, F_GETFD) < 0) (void)!open("/dev/null", fd == 0 ? O_WRONLY : O_RDONLY);
    cli_catch_interrupts();
    lp_status status = run(argc, argv);
    lp_status written = cli_out_finish();
    if (written) status = written; /* cli_out_finish's text says why */
    if (status && status != LP_CHECK) cli_print_error(status);
    return (int)status;
}
