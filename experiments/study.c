/* The table of a study, as text, JSON and TAP. */
#include "study.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum row_kind { ROW_FIGURE, ROW_CLAIM, ROW_MEASURED } row_kind;

typedef struct row {
    row_kind kind;
    const char *heading, *what, *paper, *rival_name, *reason; /* NULL where a row has none; the study owns them */
    double ours, expected, tolerance, rival;            /* of a claim expected is what ours is compared with */
    char relation;
    bool holds, is_word; /* is_word: printed in hexadecimal */
} row;

struct study {
    const char *name, *title, *source, *finding, *path;
    bool tap;
    row *rows;
    int n_rows, room;
    const char *heading;
    char **texts; /* [n_texts] all that rows point to */
    int n_texts, texts_room;
};

void *study_allocate(int64_t n, int64_t size)
{
    void *p = n >= 0 ? calloc((size_t)n + 1, (size_t)size) : NULL;
    if (!p) {
        fprintf(stderr, "no memory for %lld items\n", (long long)n);
        exit(3);
    }
    return p;
}

/* Room for n more characters of text that lives as long as the study. */
static char *keep(study *s, size_t n)
{
    if (s->n_texts == s->texts_room) {
        s->texts_room = s->texts_room * 2 + 64;
        s->texts = realloc(s->texts, (size_t)s->texts_room * sizeof *s->texts);
        if (!s->texts) exit(3);
    }
    return s->texts[s->n_texts++] = study_allocate((int64_t)n + 1, 1);
}

static const char *copy_text(study *s, const char *text)
{
    return strcpy(keep(s, strlen(text)), text);
}

static const char *print_text(study *s, const char *format, va_list arguments)
{
    char text[512];
    vsnprintf(text, sizeof text, format, arguments);
    return copy_text(s, text);
}

study *study_begin(int argc, char **argv, const char *name, const char *title, const char *source)
{
    study *s = study_allocate(1, sizeof *s);
    s->name = name;
    s->title = title;
    s->source = source;
    s->finding = "";
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--tap") == 0)
            s->tap = true;
        else
            s->path = argv[i];
    return s;
}

void study_heading(study *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    s->heading = print_text(s, format, arguments);
    va_end(arguments);
}

static row *add_row(study *s, row_kind kind, double ours, const char *format, va_list arguments)
{
    if (s->n_rows == s->room) {
        s->room = s->room * 2 + 32;
        s->rows = realloc(s->rows, (size_t)s->room * sizeof *s->rows);
        if (!s->rows) exit(3);
    }
    row *r = &s->rows[s->n_rows++];
    *r = (row){.kind = kind, .heading = s->heading, .what = print_text(s, format, arguments), .ours = ours, .holds = true};
    return r;
}

void study_figure(study *s, double ours, double expected, double tolerance, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    row *r = add_row(s, ROW_FIGURE, ours, format, arguments);
    va_end(arguments);
    r->expected = expected;
    r->tolerance = tolerance;
    r->holds = fabs(ours - expected) <= tolerance * (1 + 1e-12); /* a tolerance in decimals is no binary number */
}

void study_sampled(study *s, const double *ours, int n, double expected, double tolerance, const char *format, ...)
{
    double mean = 0, squares = 0;
    for (int i = 0; i < n; i++) mean += ours[i] / n;
    for (int i = 0; i < n; i++) squares += (ours[i] - mean) * (ours[i] - mean);
    double deviation = sqrt(squares / (n - 1));
    va_list arguments;
    va_start(arguments, format);
    row *r = add_row(s, ROW_FIGURE, mean, format, arguments);
    va_end(arguments);
    r->expected = expected;
    r->tolerance = tolerance;
    r->holds = fabs(mean - expected) <= tolerance * (1 + 1e-12);
    if (!r->holds && fabs(mean - expected) <= tolerance + 3 * deviation * sqrt(1 + 1.0 / n)) {
        char text[160];
        snprintf(text, sizeof text,
                 "the card's figure is of one sample; one sample's standard deviation is %.2g here (%d samples)",
                 deviation, n);
        study_reason(s, text);
    }
}

void study_word(study *s, uint32_t ours, uint32_t expected, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    row *r = add_row(s, ROW_FIGURE, ours, format, arguments);
    va_end(arguments);
    r->expected = expected;
    r->holds = ours == expected;
    r->is_word = true;
}

void study_claim(study *s, double ours, char relation, double rival, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    row *r = add_row(s, ROW_CLAIM, ours, format, arguments);
    va_end(arguments);
    r->expected = rival;
    r->relation = relation;
    r->holds = relation == '<' ? ours < rival : relation == '>' ? ours > rival : ours == rival;
}

void study_measured(study *s, double ours, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    add_row(s, ROW_MEASURED, ours, format, arguments);
    va_end(arguments);
}

void study_paper(study *s, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    s->rows[s->n_rows - 1].paper = print_text(s, format, arguments);
    va_end(arguments);
}

void study_rival(study *s, double value, const char *name)
{
    row *r = &s->rows[s->n_rows - 1];
    r->rival = value;
    r->rival_name = copy_text(s, name);
}

void study_reason(study *s, const char *text)
{
    s->rows[s->n_rows - 1].reason = copy_text(s, text);
}

void study_finding(study *s, const char *text) { s->finding = text; }

const char *study_beside(study *s, const char *ending)
{
    if (!s->path) return NULL;
    size_t n = strlen(s->path);
    char *path = keep(s, n + strlen(ending));
    strcpy(path, s->path);
    char *dot = strrchr(path, '.');
    strcpy(dot ? dot : path + n, ending);
    return path;
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

static const char *verdict(const row *r)
{
    return r->kind == ROW_MEASURED ? "" : r->holds ? "yes" : r->reason ? "no, see below" : "NO";
}

static void print_beside(const row *r, char *out, size_t n)
{
    if (r->is_word)
        snprintf(out, n, "%08x", (unsigned)r->expected);
    else if (r->kind == ROW_FIGURE)
        snprintf(out, n, "%.7g +- %.3g", r->expected, r->tolerance);
    else if (r->kind == ROW_CLAIM)
        snprintf(out, n, "%c %.7g", r->relation, r->expected);
    else
        snprintf(out, n, "-");
}

static void print_table(const study *s)
{
    printf("%s\n%s\n", s->title, s->source);
    const char *heading = NULL;
    for (int i = 0; i < s->n_rows; i++) {
        const row *r = &s->rows[i];
        if (r->heading != heading) printf("\n  %-52s %12s  %-24s %s\n", r->heading, "ours", "expected", "within");
        heading = r->heading;
        char beside[64];
        print_beside(r, beside, sizeof beside);
        char ours[32];
        if (r->is_word)
            snprintf(ours, sizeof ours, "%08x", (unsigned)r->ours);
        else
            snprintf(ours, sizeof ours, "%.7g", r->ours);
        printf("  %-52s %12s  %-24s %s", r->what, ours, beside, verdict(r));
        if (r->paper) printf("  paper: %s", r->paper);
        if (r->rival_name) printf("  %s: %.6g", r->rival_name, r->rival);
        printf("\n");
        if (r->reason) printf("      %s\n", r->reason);
    }
    if (*s->finding) printf("\n%s\n", s->finding);
}

/* A statement that is known to fail is no test. */
static bool is_test(const row *r)
{
    return r->kind == ROW_FIGURE || (r->kind == ROW_CLAIM && (r->holds || !r->reason));
}

static void print_tap(const study *s)
{
    int n = 0;
    for (int i = 0; i < s->n_rows; i++) {
        const row *r = &s->rows[i];
        if (!is_test(r)) continue;
        char beside[64];
        print_beside(r, beside, sizeof beside);
        printf("%sok %d - %s: %s: %s: %.9g, %s\n", r->holds || r->reason ? "" : "not ", ++n, s->name,
               r->heading ? r->heading : "", r->what, r->ours, beside);
    }
    printf("1..%d\n", n);
}

static void write_string(FILE *f, const char *key, const char *text, bool last)
{
    fprintf(f, "\"%s\": ", key);
    if (!text)
        fprintf(f, "null");
    else {
        fputc('"', f);
        for (; *text; text++) {
            if (*text == '"' || *text == '\\') fputc('\\', f);
            fputc(*text, f);
        }
        fputc('"', f);
    }
    fprintf(f, "%s", last ? "" : ", ");
}

static void write_number(FILE *f, const char *key, double value, bool known)
{
    if (known && isfinite(value))
        fprintf(f, "\"%s\": %.10g, ", key, value);
    else
        fprintf(f, "\"%s\": null, ", key);
}

static bool write_json(const study *s)
{
    FILE *f = fopen(s->path, "w");
    if (!f) return false;
    fprintf(f, "{");
    write_string(f, "name", s->name, false);
    write_string(f, "title", s->title, false);
    write_string(f, "source", s->source, false);
    write_string(f, "finding", s->finding, false);
    fprintf(f, "\n\"rows\": [");
    for (int i = 0; i < s->n_rows; i++) {
        const row *r = &s->rows[i];
        fprintf(f, "%s\n  {", i ? "," : "");
        write_string(f, "heading", r->heading, false);
        write_string(f, "what", r->what, false);
        write_number(f, "ours", r->ours, true);
        write_number(f, "card", r->expected, r->kind == ROW_FIGURE);
        write_number(f, "tolerance", r->tolerance, r->kind == ROW_FIGURE);
        char relation[2] = {r->relation, 0};
        write_string(f, "relation", r->kind == ROW_CLAIM ? relation : NULL, false);
        write_number(f, "compared", r->expected, r->kind == ROW_CLAIM);
        fprintf(f, "\"word\": %s, ", r->is_word ? "true" : "false");
        fprintf(f, "\"holds\": %s, ", r->kind == ROW_MEASURED ? "null" : r->holds ? "true" : "false");
        write_string(f, "paper", r->paper, false);
        write_string(f, "rival", r->rival_name, false);
        write_number(f, "rival_value", r->rival, r->rival_name != NULL);
        write_string(f, "reason", r->reason, true);
        fprintf(f, "}");
    }
    fprintf(f, "\n]}\n");
    return fclose(f) == 0;
}

int study_end(study *s)
{
    int n_out = 0;
    for (int i = 0; i < s->n_rows; i++) n_out += !s->rows[i].holds && !s->rows[i].reason;
    if (s->tap)
        print_tap(s);
    else
        print_table(s);
    if (n_out) fprintf(stderr, "%s: %d rows are out of tolerance\n", s->name, n_out);
    int status = n_out ? 1 : 0;
    if (s->path && !write_json(s)) {
        fprintf(stderr, "%s: cannot be written\n", s->path);
        status = 3;
    }
    for (int i = 0; i < s->n_texts; i++) free(s->texts[i]);
    free(s->texts);
    free(s->rows);
    free(s);
    return status;
}
