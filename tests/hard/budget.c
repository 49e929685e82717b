/* Holds refusals to a budget: linked with the tests of malformed files, it stands between them and the functions that open files
 * (--wrap), and ends the program where a refusal took more than 50 ms, 4 MiB beyond the file, or said nothing. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <lowp/lowp.h>

#include "file/json.h"
#include "file/safetensors.h"
#include "inject.h"
#include "model/tokenizer/tokenizer.h"

#if defined(__SANITIZE_ADDRESS__)
enum { SLOWER = 20 };
#elif !defined(__OPTIMIZE__)
enum { SLOWER = 5 }; /* with --coverage */
#else
enum { SLOWER = 1 };
#endif
/* Rendering has limits of its own: 64 MiB and 100 ms, and 16 MiB of text with a mark for each byte. */
typedef enum kind { FILES, RENDERING } kind;
static const struct {
    double ms, kib;
} budget[] = {[FILES] = {50, 4096}, [RENDERING] = {100, (64 + 2 * 16 + 1) * 1024}};

typedef struct measurement {
    size_t held;
    struct timespec begin;
} measurement;

static long n_refusals;
static double most_ms, most_kib;

static void tell(void)
{
    printf("# %ld refusals; the most: %.1f ms, %.1f KiB\n", n_refusals, most_ms, most_kib);
    fflush(stdout);
    if (n_refusals == 0) _exit(1);
}

static measurement begin(void)
{
    measurement m = {.held = inject_live_bytes()};
    if (n_refusals == 0) {
        static int told;
        if (!told++) atexit(tell);
    }
    inject_peak_reset();
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &m.begin);
    return m;
}

static lp_status end(const measurement *m, lp_status status, const char *function, kind which)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    if (status == LP_OK) return status;
    double ms = (double)(now.tv_sec - m->begin.tv_sec) * 1e3 + (double)(now.tv_nsec - m->begin.tv_nsec) * 1e-6;
    double kib = (double)(inject_peak_bytes() - m->held) / 1024;
    n_refusals++;
    if (ms > most_ms) most_ms = ms;
    if (kib > most_kib) most_kib = kib;
    const char *why = ms > budget[which].ms * SLOWER ? "took too long"
                      : kib > budget[which].kib          ? "took too much memory"
                      : !lp_error()[0]                 ? "said nothing"
                                                  : NULL;
    if (!why) return status;
    fprintf(stderr, "%s: a refusal %s: %.1f ms, %.1f KiB: %s\n", function, why, ms, kib, lp_error());
    abort();
}

#define BUDGET(name, parameters, arguments, kind)                                     \
    lp_status __real_##name parameters;                                               \
    lp_status __wrap_##name parameters;                                               \
    lp_status __wrap_##name parameters                                                \
    {                                                                                 \
        measurement m = begin();                                                      \
        return end(&m, __real_##name arguments, #name, kind);                         \
    }

BUDGET(lp_gguf_open, (const char *path, lp_gguf **out), (path, out), FILES)
BUDGET(lp_gguf_open_memory, (const void *data, size_t n, const char *name, lp_gguf **out), (data, n, name, out), FILES)
BUDGET(lp_container_open, (const char *path, lp_gguf **out), (path, out), FILES)
BUDGET(lp_safetensors_open, (const char *path, lp_safetensors **out), (path, out), FILES)
BUDGET(lp_safetensors_open_memory, (const void *data, size_t n, const char *name, lp_safetensors **out), (data, n, name, out), FILES)
BUDGET(lp_safetensors_folder_open, (const char *path, lp_safetensors_folder *out), (path, out), FILES)
BUDGET(lp_json_parse, (const char *name, const char *text, size_t n, const lp_json_limits *limits, lp_json_document *out),
       (name, text, n, limits, out), FILES)
BUDGET(lp_stats_read_memory, (const void *data, size_t n, const char *name, lp_stats **out), (data, n, name, out), FILES)
BUDGET(lp_model_open, (const char *path, lp_model **out), (path, out), FILES)
BUDGET(lp_tokenizer_create, (const lp_gguf *gguf, lp_tokenizer **out), (gguf, out), FILES)
BUDGET(lp_tokenizer_create_from, (const lp_tokenizer_source *source, lp_tokenizer **out), (source, out), FILES)
BUDGET(lp_template_parse, (const char *text, size_t n, lp_template **out), (text, n, out), FILES)
BUDGET(lp_template_render, (const lp_template *t, const lp_chat *chat, lp_rendering *out), (t, chat, out), RENDERING)
