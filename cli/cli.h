/* What the verbs of the `lowp` program share: options, output, errors, progress. */
#ifndef CLI_H
#define CLI_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <lowp/lowp.h>

/* ---- verbs and options (options.c) ------------------------------------------------------------------------------- */

/* What every verb understands. It stands first in each verb's own struct of options. */
typedef struct cli_common {
    const char *operand[4]; /* what is no option, in order; NULL beyond n_operands */
    int n_operands;
    int64_t n_threads; /* 0: one per processor */
    int64_t seed;
    const char *isa; /* NULL: LOWP_ISA, or the best */
    bool quiet, verbose, json, force, dry_run, help;
} cli_common;

/* The strings of an option that may be repeated. */
typedef struct cli_list {
    const char **text;
    int n;
} cli_list;

typedef enum cli_kind {
    CLI_FLAG,    /* bool */
    CLI_TEXT,    /* const char * */
    CLI_INTEGER, /* int64_t */
    CLI_REAL,    /* double */
    CLI_CHOICE,  /* int: index in choices */
    CLI_LIST     /* cli_list */
} cli_kind;

typedef struct cli_option {
    const char *name; /* without dashes; NULL ends the table */
    char letter;      /* of the short form, or 0 */
    cli_kind kind;
    size_t offset;              /* of the field in the verb's struct */
    const char *value;          /* what stands for the value in --help; NULL for a CHOICE: its choices */
    double least, most;         /* INTEGER and REAL: the range, ends included */
    const char *const *choices; /* CHOICE: names, NULL at the end */
    const char *help;
} cli_option;

typedef struct cli_verb {
    const char *name;
    const char *usage;   /* operands and the options that are needed */
    const char *summary; /* one line */
    const char *details; /* paragraphs of --help; lines are wrapped */
    const char *examples;           /* shell lines that work on `embedded`, each ends with \n */
    const cli_option *options[4];   /* tables, NULL at the end */
    size_t options_size;            /* of the verb's struct */
    const void *defaults;           /* such a struct */
    int least_operands, most_operands;
    bool writes, long_running;      /* --force and --dry-run have a meaning */
    lp_status (*run)(const void *options);
} cli_verb;

extern const cli_verb *const cli_verbs[]; /* all, in the order of --help; NULL at the end (main.c) */
enum { CLI_MOST_VERBS = 63 };
extern const cli_verb cli_info,
    cli_formats,
    cli_methods,
    cli_cast,
    cli_quantize,
    cli_calibrate,
    cli_eval,
    cli_compare,
    cli_run,
    cli_tokenize,
    cli_verify,
    cli_convert,
    cli_diff,
    cli_edit,
    cli_bench,
    cli_help;

/* Fills options (a copy of the defaults) from the arguments behind the verb. Errors: LP_USAGE naming the option. */
lp_status cli_parse(const cli_verb *verb, int n_arguments, char **arguments, void *options);
void cli_free_options(const cli_verb *verb, void *options); /* its lists too */

/* The tables that a verb understands, its own first; NULL at the end. The last is that of all verbs. */
enum { CLI_MOST_TABLES = 8 };
void cli_list_tables(const cli_verb *verb, const cli_option **tables);
extern const cli_option *const cli_common_options;

/* The nearest of the names (NULL at the end) to a misspelt word, or NULL if none is near. */
const char *cli_nearest(const char *word, const char *const *names);

/* ---- what is made from the tables (help.c, man.c, completion.c) -------------------------------------------------- */

/* Errors: LP_USAGE with the nearest name. */
lp_status cli_find_verb(const char *name, const cli_verb **verb);
void cli_print_overview(FILE *out);
void cli_print_help(const cli_verb *verb);
void cli_print_man(FILE *out); /* mdoc(7) */
extern const char *const cli_shells[]; /* bash zsh fish */
void cli_print_completion(FILE *out, int shell);

/* ---- options that eval, compare and calibrate share (measure_options.c) ------------------------------------------ */

typedef struct cli_measure {
    cli_common common;
    const char *text;
    int64_t n_context, n_windows, n_chunk;
    int activations; /* index of a choice, or -1 */
    int protocol;
    bool spread;
} cli_measure;

extern const cli_option cli_text_options[];     /* text, context, windows, activations */
extern const cli_option cli_protocol_options[]; /* protocol, spread, chunk */
extern const char *const cli_activation_names[]; /* f32 i8 */
extern const char *const cli_protocol_names[];

lp_activation cli_activation(int choice);
/* Reads --text, or fails with advice if it is not given. */
lp_status cli_read_text(const cli_measure *options, char **text, size_t *n);
/* The window length that an evaluation of this model will use. */
int64_t cli_window_length(const lp_model *model, int64_t asked, int64_t usual);
/* Windows of n_context tokens in a text for a dry run. Errors: LP_INPUT if it is shorter than one. */
lp_status cli_count_windows(const lp_model *model, const cli_measure *options, const char *text, size_t n_text,
                            int64_t n_context, int64_t *n_tokens, int64_t *n_windows);
lp_eval_options cli_eval_options(const cli_measure *options, lp_pool *pool);

/* ---- errors (report.c) ------------------------------------------------------------------------------------------- */

/* Sets the text that main prints and returns status. advice: the line below it, or NULL. */
lp_status cli_fail(lp_status status, const char *advice, const char *format, ...) __attribute__((format(printf, 3, 4)));

/* Prints the error of a verb that ended with status: cli_fail's text, or else lp_error(). */
void cli_print_error(lp_status status);

/* A line on stderr, unless -q. */
void cli_note(const cli_common *common, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* malloc that does not return NULL: it ends the program with exit code 4. realloc and strdup likewise. */
void *cli_alloc(size_t n);
void *cli_realloc(void *old, size_t n);
char *cli_copy(const char *text);

/* ---- stdout (report.c) ------------------------------------------------------------------------------------------- */

/* Results go here. A reader that closed the pipe is no error; whatever else fails is remembered. */
FILE *cli_out(void);
bool cli_out_closed(void);  /* the reader has gone: work for it is in vain */
lp_status cli_out_finish(void);

/* ---- progress and interruption (progress.c) ---------------------------------------------------------------------- */

typedef struct cli_progress {
    lp_progress progress; /* what the library is given */
    bool visible;
    double start_s, shown_s;
    char what[48];
} cli_progress;

void cli_progress_begin(cli_progress *progress, const cli_common *common);
void cli_progress_end(cli_progress *progress); /* clears the line */

/* Until the first cli_progress_begin, Ctrl-C ends the program at once. From then on the first asks to stop, the second
 * ends. */
void cli_catch_interrupts(void);
bool cli_interrupted(void);
void cli_forget_interrupt(void);
double cli_now_s(void);

/* ---- JSON (json.c) ----------------------------------------------------------------------------------------------- */

typedef struct cli_json {
    FILE *file;
    int depth;
    struct {
        bool array, empty, scalars;
    } level[8];
} cli_json;

/* One object: begin prints its schema, end closes it. In arrays, name is NULL. */
void cli_json_begin(cli_json *json, const char *verb);
void cli_json_end(cli_json *json);
void cli_json_object(cli_json *json, const char *name);
void cli_json_array(cli_json *json, const char *name);
void cli_json_close(cli_json *json); /* of the object or array that was opened last */
void cli_json_text(cli_json *json, const char *name, const char *text); /* NULL: null */
void cli_json_bytes(cli_json *json, const char *name, const char *bytes, size_t n); /* invalid UTF-8 becomes U+FFFD */
void cli_json_integer(cli_json *json, const char *name, int64_t value);
void cli_json_unsigned(cli_json *json, const char *name, uint64_t value);
void cli_json_real(cli_json *json, const char *name, double value); /* what is not finite becomes null */
void cli_json_bool(cli_json *json, const char *name, bool value);
void cli_json_null(cli_json *json, const char *name);

/* Length of the valid UTF-8 sequence at s (1 .. 4), or 0. */
size_t cli_utf8_length(const unsigned char *s, size_t n);

/* ---- text for people (table.c) ----------------------------------------------------------------------------------- */

typedef struct cli_table cli_table;

/* columns: titles between '|'; a leading '>' aligns to the right. */
cli_table *cli_table_create(const char *columns);
void cli_table_cell(cli_table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void cli_table_print(cli_table *table, FILE *file); /* and frees it */

typedef struct cli_text {
    char text[48];
} cli_text;

cli_text cli_bytes(uint64_t n);    /* "8.53 MB" */
cli_text cli_count(int64_t n);     /* "21,345" */
cli_text cli_number(int64_t n, const char *noun); /* "1 window", "2 windows"; a noun of at most 16 letters */
cli_text cli_large(int64_t n);     /* "4.2 M" */
cli_text cli_seconds(double s);    /* "1.4 s", "2 min 5 s" */
cli_text cli_shape(int n_dims, const int64_t *dim); /* "256 x 4096" */

/* Copies bytes from a file for a terminal: control characters and invalid UTF-8 become \xNN. Ends with NUL; "..." where
 * it was cut. */
void cli_printable(const char *bytes, size_t n, char *out, size_t n_out);
/* The same to a stream, uncut. keep_lines: newlines and tabs pass. */
void cli_print_bytes(FILE *file, const char *bytes, size_t n, bool keep_lines);

/* ---- small helpers (support.c) ----------------------------------------------------------------------------------- */

lp_status cli_pool(const cli_common *common, lp_pool **pool);
/* The byte layout of GGUF files that holds the values of a format, or NULL. */
const lp_packing *cli_packing_of(const lp_format *format);
/* The packing that a format name or text stands for. Errors: LP_USAGE with the nearest name and all that can be written. */
lp_status cli_writable_format(const char *text, const char *option, const lp_packing **packing);
/* "embedded (llama, 4.2 M parameters, 16.00 bits per weight)" */
void cli_describe_model(const lp_model *model, char *out, size_t n_out);
int64_t cli_parameters(const lp_gguf *gguf, uint64_t *n_tensor_bytes);
/* Refuses early, before hours of work, what the library would refuse at the end. */
lp_status cli_check_output(const char *path, bool force);

#endif
