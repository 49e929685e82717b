/* Where results and errors go: a stdout that remembers what failed, and the text of the last error. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- errors ------------------------------------------------------------------------------------------------------ */

static char error_text[4096];

lp_status cli_fail(lp_status status, const char *advice, const char *format, ...)
{
    char text[3072];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    snprintf(error_text, sizeof error_text, "%s%s%s", text, advice ? "\n" : "", advice ? advice : "");
    return status;
}

void cli_print_error(lp_status status)
{
    const char *text = *error_text ? error_text : lp_error();
    if (status == LP_INTERRUPTED) text = "interrupted";
    fputs("lowp: ", stderr);
    cli_print_bytes(stderr, *text ? text : lp_status_name(status), strlen(*text ? text : lp_status_name(status)), true);
    fputc('\n', stderr);
}

void cli_note(const cli_common *common, const char *format, ...)
{
    if (common->quiet) return;
    char text[2048];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cli_print_bytes(stderr, text, strlen(text), true);
    fputc('\n', stderr);
}

/* ---- memory ------------------------------------------------------------------------------------------------------ */

void *cli_realloc(void *old, size_t n)
{
    void *p = realloc(old, n ? n : 1);
    if (p) return p;
    fprintf(stderr, "lowp: out of memory (%zu bytes)\n", n);
    exit(LP_RESOURCE);
}

void *cli_alloc(size_t n) { return cli_realloc(NULL, n); }

char *cli_copy(const char *text)
{
    size_t n = strlen(text) + 1;
    return memcpy(cli_alloc(n), text, n);
}

/* ---- stdout ------------------------------------------------------------------------------------------------------ */

static FILE *out_file;
static int out_errno;
static bool out_is_closed;

/* Claims success after a failure: stdio would only try again, and out_errno tells what happened. */
static ssize_t write_out(void *cookie, const char *bytes, size_t n)
{
    (void)cookie;
    size_t done = 0;
    while (done < n && !out_errno && !out_is_closed) {
        ssize_t m = write(STDOUT_FILENO, bytes + done, n - done);
        if (m >= 0)
            done += (size_t)m;
        else if (errno == EPIPE)
            out_is_closed = true;
        else if (errno != EINTR)
            out_errno = errno;
    }
    return (ssize_t)n;
}

FILE *cli_out(void)
{
    if (!out_file) {
        out_file = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_out});
        if (!out_file) {
            fputs("lowp: out of memory\n", stderr);
            exit(LP_RESOURCE);
        }
    }
    return out_file;
}

bool cli_out_closed(void) { return out_is_closed || out_errno; }

lp_status cli_out_finish(void)
{
    if (out_file) fclose(out_file);
    out_file = NULL;
    if (!out_errno) return LP_OK;
    return cli_fail(LP_RESOURCE, NULL, "stdout cannot be written (%s)", strerror(out_errno));
}
