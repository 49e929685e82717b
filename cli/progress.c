/* The progress line on a terminal, and Ctrl-C. */
#include "cli.h"

#include <signal.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* ---- interruption ------------------------------------------------------------------------------------------------ */

static volatile sig_atomic_t interrupted, cancellable;

static void on_interrupt(int number)
{
    (void)number;
    if (!cancellable || interrupted) _exit(LP_INTERRUPTED);
    interrupted = 1;
}

/* No SA_RESTART: a wait for input ends too. A signal that the caller ignores (nohup, a script's background job) stays
 * ignored. */
void cli_catch_interrupts(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        struct sigaction action = {0};
        sigaction(numbers[i], NULL, &action);
        if (action.sa_handler == SIG_IGN) continue;
        action = (struct sigaction){.sa_handler = on_interrupt};
        sigemptyset(&action.sa_mask);
        sigaction(numbers[i], &action, NULL);
    }
    signal(SIGPIPE, SIG_IGN);
}

bool cli_interrupted(void) { return interrupted != 0; }

void cli_forget_interrupt(void) { interrupted = 0; }

double cli_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- the line ---------------------------------------------------------------------------------------------------- */

enum { BAR = 24 };

static void show(void *context, const char *what, double done, double total)
{
    cli_progress *p = context;
    if (!p->visible) return;
    double now = cli_now_s();
    if (strncmp(p->what, what, sizeof p->what - 1) != 0) {
        snprintf(p->what, sizeof p->what, "%s", what);
        p->start_s = now;
        p->shown_s = 0;
    }
    if (now - p->shown_s < 0.1 || now - p->start_s < 0.2) return; /* short work needs no line */
    p->shown_s = now;
    double part = total > 0 ? done / total : 0;
    part = part < 0 ? 0 : part > 1 ? 1 : part;
    int filled = (int)(part * BAR);
    fprintf(stderr, "\r\033[K%.24s [%.*s%*s] %3.0f %%", p->what, filled, "########################", BAR - filled, "",
            100 * part);
    double elapsed = now - p->start_s;
    if (part > 0.02) fprintf(stderr, "  %s left", cli_seconds(elapsed * (1 - part) / part).text);
    fflush(stderr);
}

static bool cancelled(void *context)
{
    (void)context;
    return interrupted || cli_out_closed();
}

void cli_progress_begin(cli_progress *p, const cli_common *common)
{
    *p = (cli_progress){.progress = {show, cancelled, p}, .visible = !common->quiet && isatty(STDERR_FILENO)};
    cancellable = 1;
}

void cli_progress_end(cli_progress *p)
{
    if (p->visible && p->shown_s > 0) fputs("\r\033[K", stderr);
    p->shown_s = 0;
    p->what[0] = 0;
}
