/* The `lowp` program: finds the verb, parses its options, runs it, and turns its status into an exit code. */
#include "cli.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const cli_verb *const cli_verbs[] = {
    &cli_info,
    &cli_formats,
    &cli_methods,
    &cli_cast,
    &cli_quantize,
    &cli_calibrate,
    &cli_eval,
    &cli_compare,
    &cli_run,
    &cli_tokenize,
    &cli_verify,
    &cli_convert,
    &cli_diff,
    &cli_edit,
    &cli_bench,
    &cli_help,
    NULL,
};

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
        cli_print_overview(stderr);
        return cli_fail(LP_USAGE, NULL, "a verb is missing");
    }
    const char *word = argv[1];
    if (strcmp(word, "--version") == 0) {
        fprintf(cli_out(), "lowp %s\n", lp_version());
        return LP_OK;
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) word = cli_help.name;
    const cli_verb *verb;
    lp_status status = cli_find_verb(word, &verb);
    return status ? status : run_verb(verb, argc - 2, argv + 2);
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
