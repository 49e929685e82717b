/* The part of `lowp quantize` that chooses formats by measurement: --size, --bpw, --time. */
#ifndef CLI_ALLOCATE_H
#define CLI_ALLOCATE_H

#include "cli.h"

typedef struct cli_allocate {
    const char *size, *sensitivity_recipe, *sensitivities, *candidates, *report;
    double bpw, milliseconds;
    int64_t n_context, n_windows, n_rounds, n_anchors;
} cli_allocate;

/* Rows of --help; offset: of the cli_allocate in the verb's struct. */
#define CLI_ALLOCATE_OPTIONS(offset_)                                                                                         \
    {"size", 0, CLI_TEXT, (offset_) + offsetof(cli_allocate, size), "S", 0, 0, NULL,                                          \
     "instead of --format: the best file of at most this size, every tensor in the format that measurements choose: 18MB "    \
     "(10^6 bytes), 4.7G (2^30), 4.5bpw (bits per weight of the whole file)"},                                                \
    {"bpw", 0, CLI_REAL, (offset_) + offsetof(cli_allocate, bpw), "B", 0.1, 64, NULL, "the same as --size Bbpw"},             \
    {"time", 0, CLI_REAL, (offset_) + offsetof(cli_allocate, milliseconds), "MS", 0, 1e9, NULL,                               \
     "with --size: also at most this many milliseconds for the products of one token, as timed on this machine; files then "  \
     "differ from machine to machine"},                                                                                       \
    {"report", 0, CLI_TEXT, (offset_) + offsetof(cli_allocate, report), "R.html", 0, 0, NULL,                                 \
     "with --size: also write a page that shows the choice: bits of every tensor, the curve of size and loss"},               \
    {"sensitivities", 0, CLI_TEXT, (offset_) + offsetof(cli_allocate, sensitivities), "FILE", 0, 0, NULL,                     \
     "with --size: measured losses are kept in this file (JSON) and used again; those of another model or text are refused"}, \
    {"candidates", 0, CLI_TEXT, (offset_) + offsetof(cli_allocate, candidates), "LIST", 0, 0, NULL,                           \
     "with --size: the formats to choose from, between commas; gguf: those of GGUF that come near the size, which llama.cpp runs "  \
     "too (default); own: tables and integers with signed scales in blocks of 16 and 32, which lowp alone runs and which lose less"},              \
    {"sensitivity-recipe", 0, CLI_TEXT, (offset_) + offsetof(cli_allocate, sensitivity_recipe), "R", 0, 0, NULL,              \
     "with --size: measure on what this recipe makes, and write the file by --recipe, which may be slow"},                    \
    {"sensitivity-context", 0, CLI_INTEGER, (offset_) + offsetof(cli_allocate, n_context), "N", 2, 2147483647, NULL,          \
     "with --size: tokens per window of the text; default 512"},                                                              \
    {"sensitivity-windows", 0, CLI_INTEGER, (offset_) + offsetof(cli_allocate, n_windows), "N", 1, 2147483647, NULL,          \
     "with --size: windows, spread evenly over the text; default 8"},                                                         \
    {"sensitivity-anchors", 0, CLI_INTEGER, (offset_) + offsetof(cli_allocate, n_anchors), "N", 0, 100, NULL,                 \
     "with --size: formats of each tensor that are measured through the whole network; the others by the error of the layer's "\
     "own output, from these; 0: all; default 3"},                                                                            \
    {"sensitivity-rounds", 0, CLI_INTEGER, (offset_) + offsetof(cli_allocate, n_rounds), "N", 0, 100, NULL,                   \
     "with --size: most corrections around the solution; default: until none helps"}

/* Whether a size is asked for. */
bool cli_allocate_wanted(const cli_allocate *options);

/* Chooses: fills q's packing and rules, which live as long as *result; q holds model and calibration text. output: the file that
 * will be written. */
lp_status cli_allocate_run(const cli_common *common, const cli_allocate *options, const char *output, lp_quantize_options *q,
                           lp_allocation *result);

void cli_allocate_json(cli_json *json, const lp_allocation *result);
void cli_allocate_print(FILE *out, const lp_allocation *result);

#endif
