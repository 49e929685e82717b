/* lowp verify: is this file sound? */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_KEPT = 1000 };

typedef struct problems {
    char *text[MOST_KEPT]; /* "ITEM: what is wrong" */
    int n_kept;
    int64_t n;
} problems;

static void add_problem(void *context, const char *item, const char *problem)
{
    problems *p = context;
    p->n++;
    if (p->n_kept == MOST_KEPT) return;
    size_t n = strlen(item) + strlen(problem) + 3;
    char *text = cli_alloc(n);
    snprintf(text, n, "%s%s%s", item, *item ? ": " : "", problem);
    p->text[p->n_kept++] = text;
}

/* A sound container that calls itself a model must also open as one. *unsupported: valid, but this build cannot run it. */
static void check_model(const char *path, problems *p, lp_status *unsupported)
{
    lp_gguf *gguf;
    if (lp_container_open(path, &gguf)) return; /* lp_verify has said why */
    lp_string type = {0};
    bool is_model = lp_gguf_find(gguf, "general.architecture") != NULL;
    if (lp_gguf_get_string(gguf, "general.type", false, &type) == LP_OK && type.n == 7 && memcmp(type.data, "imatrix", 7) == 0)
        is_model = false;
    lp_gguf_close(gguf);
    if (!is_model) return;
    lp_model *model;
    lp_status status = lp_model_open(path, &model);
    if (!status) {
        lp_model_close(model);
    } else if (status == LP_UNSUPPORTED) {
        *unsupported = status;
    } else {
        const char *text = lp_error();
        size_t n = strlen(path);
        if (strncmp(text, path, n) == 0 && strncmp(text + n, ": ", 2) == 0) text += n + 2;
        add_problem(p, "", text);
    }
}

static void print_json(const char *path, const problems *p, bool ok)
{
    cli_json json;
    cli_json_begin(&json, "verify");
    cli_json_text(&json, "file", path);
    cli_json_bool(&json, "ok", ok);
    cli_json_integer(&json, "n_problems", p->n);
    cli_json_array(&json, "problems");
    for (int i = 0; i < p->n_kept; i++) cli_json_text(&json, NULL, p->text[i]);
    cli_json_close(&json);
    cli_json_end(&json);
}

static void print_human(const char *path, const problems *p, bool ok)
{
    FILE *out = cli_out();
    for (int i = 0; i < p->n_kept; i++) {
        cli_print_bytes(out, path, strlen(path), false);
        fputs(": ", out);
        cli_print_bytes(out, p->text[i], strlen(p->text[i]), true);
        fputc('\n', out);
    }
    if (p->n > p->n_kept) fprintf(out, "... and %s more\n", cli_count(p->n - p->n_kept).text);
    if (p->n) fprintf(out, "%s problem%s\n", cli_count(p->n).text, p->n == 1 ? "" : "s");
    if (ok) {
        cli_print_bytes(out, path, strlen(path), false);
        fputs(": sound\n", out);
    }
}

static lp_status run(const void *argument)
{
    const cli_common *common = argument;
    const char *path = common->operand[0];
    lp_pool *pool;
    lp_status status = cli_pool(common, &pool), unsupported = LP_OK;
    if (status) return status;
    problems *p = cli_alloc(sizeof *p);
    *p = (problems){0};
    cli_progress progress;
    cli_progress_begin(&progress, common);
    status = lp_verify(path, pool, &progress.progress, add_problem, p);
    cli_progress_end(&progress);
    bool parsed = status == LP_OK || status == LP_CHECK;
    if (parsed) check_model(path, p, &unsupported);
    if (status == LP_OK && p->n) status = LP_CHECK;
    if (status == LP_INPUT && p->n == 0) add_problem(p, "", lp_error());
    if (common->json && (parsed || status == LP_INPUT))
        print_json(path, p, status == LP_OK);
    else if (parsed)
        print_human(path, p, status == LP_OK);
    if (status == LP_OK) status = unsupported;
    for (int i = 0; i < p->n_kept; i++) free(p->text[i]);
    free(p);
    lp_pool_destroy(pool);
    return status;
}

static const cli_common defaults = {0};

const cli_verb cli_verify = {
    .name = "verify",
    .usage = "FILE",
    .summary = "check a file: structure, shapes, every scale finite",
    .details = "Checks everything that a loader relies on, and that every scale and every float weight is finite. Exit "
               "code 0: sound; 1: problems, which are listed; 3: not a readable GGUF file; 5: sound, but of a kind "
               "that this build cannot run.",
    .examples = "lowp verify embedded\nlowp verify embedded --json\n",
    .options = {NULL},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
