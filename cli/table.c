/* Text for people: aligned tables, numbers with units, bytes made harmless for a terminal. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_COLUMNS = 12 };

struct cli_table {
    int n_columns, n_cells;
    bool right[MOST_COLUMNS];
    size_t width[MOST_COLUMNS];
    char **cell; /* [n_cells], the titles first */
};

/* Columns that a UTF-8 text takes, characters counted. */
static size_t text_width(const char *text)
{
    size_t n = 0;
    for (; *text; text++) n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

static void add_cell(cli_table *table, char *text)
{
    table->cell = cli_realloc(table->cell, (size_t)(table->n_cells + 1) * sizeof *table->cell);
    int column = table->n_cells % table->n_columns;
    size_t width = text_width(text);
    if (width > table->width[column]) table->width[column] = width;
    table->cell[table->n_cells++] = text;
}

cli_table *cli_table_create(const char *columns)
{
    cli_table *table = cli_alloc(sizeof *table);
    *table = (cli_table){.n_columns = 1};
    for (const char *c = columns; *c; c++) table->n_columns += *c == '|';
    for (int i = 0; i < table->n_columns; i++) {
        table->right[i] = *columns == '>';
        columns += table->right[i];
        size_t n = strcspn(columns, "|");
        char *title = cli_alloc(n + 1);
        memcpy(title, columns, n);
        title[n] = 0;
        add_cell(table, title);
        columns += n + (columns[n] == '|');
    }
    return table;
}

void cli_table_cell(cli_table *table, const char *format, ...)
{
    char text[512], safe[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    cli_printable(text, strlen(text), safe, sizeof safe);
    add_cell(table, cli_copy(safe));
}

/* Blanks are printed before a cell, so that no line ends with them. */
static void print_row(const cli_table *table, char **cell, FILE *file)
{
    int blanks = 2;
    for (int i = 0; i < table->n_columns; i++) {
        int pad = (int)(table->width[i] - text_width(cell[i]));
        if (*cell[i]) fprintf(file, "%*s%s", blanks + (table->right[i] ? pad : 0), "", cell[i]);
        if (*cell[i]) blanks = 0;
        blanks += 2 + (*cell[i] ? (table->right[i] ? 0 : pad) : (int)table->width[i]);
    }
    fputc('\n', file);
}

void cli_table_print(cli_table *table, FILE *file)
{
    for (int i = 0; i < table->n_cells; i += table->n_columns) print_row(table, table->cell + i, file);
    for (int i = 0; i < table->n_cells; i++) free(table->cell[i]);
    free(table->cell);
    free(table);
}

/* ---- numbers ----------------------------------------------------------------------------------------------------- */

/* Three digits and a prefix of thousands. */
static cli_text scaled(double x, const char *unit)
{
    static const char *const prefix[] = {"", "k", "M", "G", "T", "P"};
    int i = 0;
    for (; x >= 999.5 && i < 5; i++) x /= 1000;
    int decimals = i == 0 ? 0 : x < 9.995 ? 2 : x < 99.95 ? 1 : 0;
    cli_text out;
    snprintf(out.text, sizeof out.text, "%.*f %s%s", decimals, x, prefix[i], unit);
    return out;
}

cli_text cli_bytes(uint64_t n) { return scaled((double)n, n == 1 ? "byte" : n < 1000 ? "bytes" : "B"); }

cli_text cli_large(int64_t n)
{
    cli_text out = scaled((double)n, "");
    size_t length = strlen(out.text);
    if (length && out.text[length - 1] == ' ') out.text[length - 1] = 0;
    return out;
}

cli_text cli_count(int64_t n)
{
    char digits[24];
    cli_text out;
    size_t length = (size_t)snprintf(digits, sizeof digits, "%lld", (long long)(n < 0 ? -n : n)), at = 0;
    if (n < 0) out.text[at++] = '-';
    for (size_t i = 0; i < length; i++) {
        if (i && (length - i) % 3 == 0) out.text[at++] = ',';
        out.text[at++] = digits[i];
    }
    out.text[at] = 0;
    return out;
}

cli_text cli_number(int64_t n, const char *noun)
{
    cli_text out;
    snprintf(out.text, sizeof out.text, "%.26s %.16s%s", cli_count(n).text, noun, n == 1 ? "" : "s");
    return out;
}

cli_text cli_seconds(double s)
{
    cli_text out;
    if (s < 0) s = 0;
    if (s < 0.0995)
        snprintf(out.text, sizeof out.text, "%.0f ms", 1000 * s);
    else if (s < 9.95)
        snprintf(out.text, sizeof out.text, "%.1f s", s);
    else if (s < 99.5)
        snprintf(out.text, sizeof out.text, "%.0f s", s);
    else
        snprintf(out.text, sizeof out.text, "%lld min %lld s", (long long)(s / 60), (long long)s % 60);
    return out;
}

cli_text cli_shape(int n_dims, const int64_t *dim)
{
    cli_text out;
    size_t n = 0;
    out.text[0] = 0;
    for (int i = 0; i < n_dims && n < sizeof out.text; i++)
        n += (size_t)snprintf(out.text + n, sizeof out.text - n, "%s%lld", i ? " x " : "", (long long)dim[i]);
    return out;
}

/* ---- bytes of a file --------------------------------------------------------------------------------------------- */

/* Length of the character at s that a terminal may be given as it is, or 0: control characters (U+0080 .. U+009F
 * too, which some terminals take for commands) and invalid UTF-8. */
static size_t harmless_length(const unsigned char *s, size_t n)
{
    size_t length = cli_utf8_length(s, n);
    bool control = s[0] < 0x20 || s[0] == 0x7f || (s[0] == 0xc2 && length == 2 && s[1] < 0xa0);
    return control ? 0 : length;
}

void cli_print_bytes(FILE *file, const char *bytes, size_t n, bool keep_lines)
{
    const unsigned char *s = (const unsigned char *)bytes;
    for (size_t i = 0; i < n;) {
        size_t length = harmless_length(s + i, n - i);
        if (!length && keep_lines && (s[i] == '\n' || s[i] == '\t')) length = 1;
        if (length)
            fwrite(s + i, 1, length, file);
        else
            fprintf(file, "\\x%02x", s[i]);
        i += length ? length : 1;
    }
}

void cli_printable(const char *bytes, size_t n, char *out, size_t n_out)
{
    const unsigned char *s = (const unsigned char *)bytes;
    size_t at = 0, i = 0;
    while (i < n && at + 8 < n_out) {
        size_t length = harmless_length(s + i, n - i);
        if (length)
            memcpy(out + at, s + i, length), at += length;
        else
            at += (size_t)snprintf(out + at, n_out - at, "\\x%02x", s[i]);
        i += length ? length : 1;
    }
    snprintf(out + at, n_out - at, "%s", i < n ? "..." : "");
}
