/* lowp cast: raw floats on stdin rounded to a number format. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct cast_options {
    cli_common common;
    const char *format;
    int rounding, overflow, subnormals, from;
    int64_t random_bits;
    bool codes;
} cast_options;

enum { FROM_F32, FROM_F64 };
static const char *const from_names[] = {"f32", "f64", NULL};
static const char *const mode_names[] = {"nearest-even", "nearest-away", "nearest-zero", "half-up", "half-down", "toward-zero",
                                         "up", "down", "odd", "stochastic", "stochastic-equal", NULL};
static const char *const overflow_names[] = {"saturate", "symmetric", "zero", "infinity", "nan", "wrap", NULL};
static const char *const subnormal_names[] = {"keep", "flush", "none", NULL};

enum { PIECE = 1 << 20 }; /* numbers at a time: a multiple of 8, so that pieces of codes end with a byte */

/* Reads until the buffer is full or the input ends. */
static size_t read_fully(FILE *in, uint8_t *buffer, size_t n)
{
    size_t got = 0;
    while (got < n) {
        size_t part = fread(buffer + got, 1, n - got, in);
        if (part == 0) break;
        got += part;
    }
    return got;
}

static lp_status cast_piece(const cast_options *o, const lp_element *element, const lp_rounding *rule, const uint8_t *in, int64_t n,
                            uint8_t *out, size_t *n_out, lp_pool *pool)
{
    bool wide = o->from == FROM_F64;
    *n_out = o->codes ? lp_codes_bytes(element, n) : (size_t)n * (wide ? 8 : 4);
    const void *x = in;
    void *y = out;
    if (o->codes && wide) return lp_round_codes_f64(element, rule, x, n, y, pool);
    if (o->codes) return lp_round_codes_f32(element, rule, x, n, y, pool);
    return wide ? lp_round_f64(element, rule, x, n, y, pool) : lp_round_f32(element, rule, x, n, y, pool);
}

static lp_status cast_stream(const cast_options *o, const lp_element *element, lp_pool *pool)
{
    size_t size = o->from == FROM_F64 ? 8 : 4;
    lp_rounding rule = {.mode = (lp_rounding_mode)o->rounding, .overflow = (lp_overflow)o->overflow,
                        .subnormals = (lp_subnormals)o->subnormals, .random_bits = (int)o->random_bits,
                        .seed = (uint64_t)o->common.seed};
    lp_status status = lp_rounding_check(element, &rule);
    if (status) return status;
    uint8_t *in = cli_alloc(PIECE * size), *out = cli_alloc(PIECE * size);
    for (size_t got = PIECE * size; !status && got == PIECE * size && !cli_out_closed(); rule.first += PIECE) {
        got = read_fully(stdin, in, PIECE * size);
        size_t n_out;
        if (ferror(stdin)) {
            status = cli_fail(LP_INPUT, NULL, "stdin cannot be read");
        } else if (got % size) {
            status = cli_fail(LP_INPUT, o->from == FROM_F64 ? "float64 is 8 bytes each, little-endian"
                                                            : "float32 is 4 bytes each, little-endian; --from f64 reads float64",
                              "stdin: it ends inside a number (%zu bytes are left)", got % size);
        } else if (got) {
            status = cast_piece(o, element, &rule, in, (int64_t)(got / size), out, &n_out, pool);
            if (!status) fwrite(out, 1, n_out, cli_out());
        }
    }
    free(in);
    free(out);
    return status;
}

static lp_status run(const void *argument)
{
    const cast_options *o = argument;
    if (!o->format) return cli_fail(LP_USAGE, "such as --format e4m3 ('lowp formats' lists them)", "--format is missing");
    lp_format *format;
    lp_status status = lp_format_parse(o->format, &format);
    if (status) return status;
    lp_pool *pool = NULL;
    if (format->scale)
        status = cli_fail(LP_USAGE, "cast rounds each number by itself; 'lowp quantize' writes blocks",
                          "--format %.200s: a format with scales", o->format);
    if (!status) status = cli_pool(&o->common, &pool);
    if (!status) status = cast_stream(o, &format->element, pool);
    lp_pool_destroy(pool);
    lp_format_free(format);
    return status;
}

static const cli_option options_table[] = {
    {"format", 0, CLI_TEXT, offsetof(cast_options, format), "F", 0, 0, NULL,
     "number format without scales: e4m3, f16, bf16, p16.1, q3.4, i8, nf4 ..."},
    {"rounding", 0, CLI_CHOICE, offsetof(cast_options, rounding), "R", 0, 0, mode_names,
     "nearest-even (default), nearest-away, nearest-zero, half-up, half-down, toward-zero, up, down, odd, stochastic or "
     "stochastic-equal"},
    {"overflow", 0, CLI_CHOICE, offsetof(cast_options, overflow), "O", 0, 0, overflow_names,
     "numbers beyond the largest: saturate (default), symmetric, zero, infinity, nan or wrap"},
    {"subnormals", 0, CLI_CHOICE, offsetof(cast_options, subnormals), NULL, 0, 0, subnormal_names,
     "keep them, flush them to zero after rounding, or round as if there were none (keep)"},
    {"random-bits", 0, CLI_INTEGER, offsetof(cast_options, random_bits), "N", 1, 32, NULL,
     "random bits of stochastic rounding (32)"},
    {"from", 0, CLI_CHOICE, offsetof(cast_options, from), NULL, 0, 0, from_names, "what stdin holds (f32); stdout holds the same"},
    {"codes", 0, CLI_FLAG, offsetof(cast_options, codes), NULL, 0, 0, NULL,
     "write packed codes, the first in the lowest bits, instead of values"},
    {0},
};

static const cast_options defaults = {.random_bits = 32};

const cli_verb cli_cast = {
    .name = "cast",
    .usage = "--format F [options] <NUMBERS >ROUNDED",
    .summary = "round raw floats to a number format",
    .details = "Reads float32 (or float64) numbers from stdin, little-endian, and writes each of them rounded to a value of "
               "the format, or its code. Every result is exact: rounded once, on every machine the same. Stochastic rounding "
               "depends on --seed and on the position in the input only.",
    .examples = "printf '\\0\\0\\200\\077' | lowp cast --format e4m3 | od -A n -t f4\n"
                "printf '\\0\\0\\300\\077' | lowp cast --format i8 --rounding stochastic --seed 1 --codes | od -A n -t d1\n",
    .options = {options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .run = run,
};
