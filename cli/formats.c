/* lowp formats: the named number formats, and one of them explained. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- values of an element ---------------------------------------------------------------------------------------- */

enum { MOST_VALUES = 256 };

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    if (x != y) return x < y ? -1 : 1;
    return (int)!!signbit(y) - (int)!!signbit(x); /* -0 first */
}

/* Finite values of an element of at most 8 bits, ascending; returns their number (0 for wider elements). */
static int list_values(const lp_element *e, double *values, int *n_special)
{
    int n = 0;
    *n_special = 0;
    if (e->bits > 8) return 0;
    for (uint32_t code = 0; code < (1u << e->bits); code++) {
        double v = lp_element_value(e, code);
        if (isfinite(v))
            values[n++] = v;
        else
            ++*n_special;
    }
    qsort(values, (size_t)n, sizeof *values, by_value);
    return n;
}

/* Least and largest finite value of an element of any width. */
static void value_range(const lp_element *e, double *least, double *most)
{
    double values[MOST_VALUES];
    int n_special, n = list_values(e, values, &n_special);
    if (n) {
        *least = values[0];
        *most = values[n - 1];
        return;
    }
    if (e->kind == LP_ELEMENT_FLOAT) {
        int top = (1 << e->exponent) - 1 - e->bias - (e->specials == LP_SPECIALS_IEEE);
        *most = ldexp(2 - ldexp(1, -e->mantissa), top);
        *least = e->is_signed ? -*most : 0;
    } else {
        double all = ldexp(1, e->bits);
        bool bipolar = e->kind == LP_ELEMENT_BIPOLAR;
        double step = e->kind == LP_ELEMENT_FIXED ? ldexp(1, -e->fraction) : 1;
        bool is_signed = e->is_signed || e->kind == LP_ELEMENT_FIXED;
        *least = bipolar ? 1 - all : is_signed ? -all / 2 * step : 0;
        *most = bipolar ? all - 1 : (is_signed ? all / 2 - 1 : all - 1) * step;
    }
}

/* ---- words ------------------------------------------------------------------------------------------------------- */

static const char *const special_words[] = {"infinities and NaN", "no infinities, one NaN per sign",
                                            "no infinities, no -0, one NaN", "every code is finite"};

static void describe_element(const lp_element *e, char *out, size_t n)
{
    switch (e->kind) {
    case LP_ELEMENT_INT:
        snprintf(out, n, "%s integer of %d bit%s", e->is_signed ? "signed" : "unsigned", e->bits, e->bits == 1 ? "" : "s");
        break;
    case LP_ELEMENT_BIPOLAR: snprintf(out, n, "odd integer, one of %d", e->n_levels); break;
    case LP_ELEMENT_FLOAT:
        snprintf(out, n, "float of %d bits: %s%d exponent and %d mantissa bits, bias %d", e->bits,
                 e->is_signed ? "sign, " : "no sign, ", e->exponent, e->mantissa, e->bias);
        break;
    case LP_ELEMENT_FIXED:
        snprintf(out, n, "fixed point of %d bits, %d of them behind the point", e->bits, e->fraction);
        break;
    case LP_ELEMENT_POSIT:
        snprintf(out, n, "posit of %d bits with %d exponent bit%s", e->bits, e->exponent, e->exponent == 1 ? "" : "s");
        break;
    case LP_ELEMENT_POWER:
        snprintf(out, n, "power of two with a sign, %d bits%s", e->bits, e->n_levels < 1 << e->bits ? ", and zero" : ", no zero");
        break;
    case LP_ELEMENT_COMPLEX: snprintf(out, n, "one of 1 i -1 -i by quarter turns"); break;
    case LP_ELEMENT_TABLE:
        snprintf(out, n, "%d-bit index into a table of %d values%s%s", e->bits, e->n_levels, e->table_name ? ", " : "",
                 e->table_name ? e->table_name : "");
        break;
    }
}

static const char *offset_formula(const lp_format *f)
{
    if (!f->scale) return "element";
    switch (f->offset) {
    case LP_OFFSET_NONE: return "scale x element";
    case LP_OFFSET_PLUS: return "scale x element + offset";
    case LP_OFFSET_MINUS: return "scale x element - offset";
    case LP_OFFSET_ZERO: return "scale x (element - offset)";
    }
    return "";
}

/* "one per 32 values", for the plane of scales (or offsets) of a format. */
static void describe_block(const lp_format *f, char *out, size_t n)
{
    if (f->block[0] == 0)
        snprintf(out, n, "one per %s", f->block[1] == 0 ? "tensor" : "row");
    else if (f->block[1] > 1)
        snprintf(out, n, "one per block of %d x %d values", f->block[1], f->block[0]);
    else
        snprintf(out, n, "one per %d values", f->block[0]);
}

static void print_plane(FILE *out, const char *what, const lp_format *plane, const lp_format *owner)
{
    char text[256], where[80];
    lp_format_print(plane, text, sizeof text);
    describe_block(owner, where, sizeof where);
    fprintf(out, "  %-8s %s, %s\n", what, text, where);
}

/* ---- the picture ------------------------------------------------------------------------------------------------- */

enum { LINE = 73 };

/* Column of a value on the line: linear, or logarithmic where all are positive and far apart (scales). */
static int column_of(double x, double least, double most, bool logarithmic)
{
    double part = logarithmic ? log(x / least) / log(most / least) : (x - least) / (most - least);
    return (int)lround(part * (LINE - 1));
}

/* The line itself with a mark at zero, and the numbers below it. */
static void print_axis(FILE *out, double least, double most, int zero)
{
    fputs("\n  ", out);
    for (int i = 0; i < LINE; i++) fputc(i == zero ? '+' : '-', out);
    char left[32], right[32];
    snprintf(left, sizeof left, "%.6g", least);
    snprintf(right, sizeof right, "%.6g", most);
    int at = (int)strlen(left);
    fprintf(out, "\n  %s", left);
    if (zero > at + 1 && zero < LINE - (int)strlen(right) - 1) at += fprintf(out, "%*s", zero - at + 1, "0");
    fprintf(out, "%*s\n", LINE - at, right);
}

/* Where the values lie between the least and the largest: '|' for one, '#' for several in one place. */
static void print_line(FILE *out, const double *values, int n)
{
    double least = values[0], most = values[n - 1];
    if (n < 2 || !(most > least)) return;
    bool logarithmic = least > 0 && most / least > 1e4, several = false;
    int count[LINE] = {0};
    for (int i = 0; i < n; i++)
        if (i == 0 || values[i] != values[i - 1]) /* -0 and 0 are one place */
            count[column_of(values[i], least, most, logarithmic)]++;
    fputs("\n  ", out);
    for (int i = 0; i < LINE; i++) {
        fputc(count[i] == 0 ? ' ' : count[i] == 1 ? '|' : '#', out);
        several |= count[i] > 1;
    }
    print_axis(out, least, most, least <= 0 && most >= 0 ? column_of(0, least, most, false) : -1);
    if (several || logarithmic)
        fprintf(out, "  (%s%s%s)\n", several ? "#: several values in one place" : "", several && logarithmic ? "; " : "",
                logarithmic ? "logarithmic" : "");
}

static void print_values(FILE *out, const double *values, int n)
{
    fputs("  values  ", out);
    int at = 10;
    for (int i = 0; i < n; i++) {
        char text[32];
        int length = snprintf(text, sizeof text, "%.6g", values[i]);
        if (at + 1 + length > 80) at = 10 + fprintf(out, "\n          ") - 11;
        at += fprintf(out, " %s", text);
    }
    fputc('\n', out);
}

/* ---- one format -------------------------------------------------------------------------------------------------- */

static const lp_format_row *row_of(const char *text, const lp_format *format)
{
    const lp_format_row *row = lp_format_row_find(text);
    char printed[256];
    if (row) return row;
    lp_format_print(format, printed, sizeof printed);
    return lp_format_row_find(printed);
}

/* What a layout without a format text is. */
static const char *layout_note(const lp_packing *p)
{
    return p->name[0] == 'i' ? "patterns of a code book with signs" : "-1 0 1 2 times a scale";
}

static void print_storage(FILE *out, const lp_packing *p)
{
    if (!p) {
        fputs("  in files not in GGUF files\n", out);
        return;
    }
    fprintf(out, "  in files GGUF type %u (%s): %d value%s in %d bytes%s\n", (unsigned)p->gguf_id, p->name, p->n_values,
            p->n_values == 1 ? "" : "s", p->n_bytes,
            p->can_encode ? "" : p->can_decode ? "; read, not written" : "; neither read nor written");
    if (p->can_encode) fprintf(out, "  write it 'lowp quantize MODEL -o OUT --format %s'\n", p->name);
}

enum { MOST_SHOWN = 64 }; /* values that fit on a screen */

static void explain(FILE *out, const char *text, const lp_format *f, bool verbose)
{
    char line[256];
    const lp_format_row *row = row_of(text, f);
    double values[MOST_VALUES], least, most;
    int n_special, n = list_values(&f->element, values, &n_special);
    value_range(&f->element, &least, &most);
    lp_format_print(f, line, sizeof line);
    fputs(row ? row->name : line, out);
    if (row && strcmp(row->name, row->text) != 0) fprintf(out, " = %s", row->text);
    fprintf(out, "\n%s%s%s", row ? "  " : "", row ? row->note : "", row ? "\n" : "");
    describe_element(&f->element, line, sizeof line);
    fprintf(out, "  element  %s\n", line);
    if (f->element.kind == LP_ELEMENT_FLOAT) fprintf(out, "  special  %s\n", special_words[f->element.specials]);
    if (f->scale) print_plane(out, "scale", f->scale, f);
    if (f->zero) print_plane(out, "offset", f->zero, f);
    if (f->tensor_scale) {
        lp_format_print(f->tensor_scale, line, sizeof line);
        fprintf(out, "  scale 2  %s, one per tensor\n", line);
    }
    fprintf(out, "  value    %s%s\n", offset_formula(f), f->tensor_scale ? " x scale 2" : "");
    fprintf(out, "  bits     %.6g per value%s\n", lp_format_bits(f), f->scale ? ", scales included" : "");
    const lp_packing *packing = row ? lp_packing_by_name(row->name) : NULL;
    print_storage(out, packing ? packing : cli_packing_of(f));
    fprintf(out, "  range    %.9g to %.9g%s\n", least, most, f->scale ? " (of the element)" : "");
    if (n > MOST_SHOWN && !verbose)
        fprintf(out, "  values   %d (-v lists them)\n", n);
    else if (n)
        print_values(out, values, n);
    if (n_special)
        fprintf(out, "           and %d code%s %s\n", n_special, n_special == 1 ? "" : "s",
                f->element.kind == LP_ELEMENT_FLOAT ? "without a finite value" : "not in use");
    if (n) print_line(out, values, n);
}

static void json_format(cli_json *json, const char *name, const char *text, const char *note, const lp_format *f)
{
    const lp_packing *p = name ? lp_packing_by_name(name) : cli_packing_of(f);
    cli_json_object(json, NULL);
    cli_json_text(json, "name", name);
    cli_json_text(json, "text", text);
    cli_json_real(json, "bits_per_value", lp_format_bits(f));
    cli_json_text(json, "note", note);
    cli_json_bool(json, "can_quantize", p && p->can_encode);
    double least, most, values[MOST_VALUES];
    value_range(&f->element, &least, &most);
    cli_json_real(json, "element_minimum", least);
    cli_json_real(json, "element_maximum", most);
    int n_special, n = list_values(&f->element, values, &n_special);
    cli_json_array(json, "element_values");
    for (int i = 0; i < n; i++) cli_json_real(json, NULL, values[i]);
    cli_json_close(json);
    cli_json_close(json);
}

static lp_status explain_one(const cli_common *common)
{
    const char *text = common->operand[0];
    lp_format *format;
    const lp_packing *layout = lp_packing_by_name(text);
    if (layout && layout->can_decode && !layout->text[0] && !common->json) {
        fprintf(cli_out(), "%s\n  %s\n  bits     %.6g per value, scales included\n", layout->name, layout_note(layout),
                8.0 * layout->n_bytes / layout->n_values);
        print_storage(cli_out(), layout);
        return LP_OK;
    }
    lp_status status = lp_format_parse(text, &format);
    if (status) return status;
    if (common->json) {
        const lp_format_row *row = row_of(text, format);
        char printed[256];
        lp_format_print(format, printed, sizeof printed);
        cli_json json;
        cli_json_begin(&json, "formats");
        cli_json_array(&json, "formats");
        json_format(&json, row ? row->name : NULL, row ? row->text : printed, row ? row->note : NULL, format);
        cli_json_close(&json);
        cli_json_end(&json);
    } else {
        explain(cli_out(), text, format, common->verbose);
    }
    lp_format_free(format);
    return LP_OK;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static lp_status list_json(void)
{
    cli_json json;
    cli_json_begin(&json, "formats");
    cli_json_array(&json, "formats");
    for (int i = 0; i < lp_format_row_count(); i++) {
        const lp_format_row *row = lp_format_row_at(i);
        lp_format *format;
        lp_status status = lp_format_parse(row->name, &format);
        if (status) return status;
        json_format(&json, row->name, row->text, row->note, format);
        lp_format_free(format);
    }
    cli_json_close(&json);
    cli_json_end(&json);
    return LP_OK;
}

static lp_status list_table(const cli_common *common)
{
    cli_table *table = cli_table_create(common->verbose ? "name|>bits|quantize|text|what it is" : "name|>bits|quantize|what it is");
    lp_status status = LP_OK;
    for (int i = 0; i < lp_format_row_count() && !status; i++) {
        const lp_format_row *row = lp_format_row_at(i);
        lp_format *format;
        if ((status = lp_format_parse(row->name, &format))) break;
        const lp_packing *p = lp_packing_by_name(row->name);
        cli_table_cell(table, "%s", row->name);
        cli_table_cell(table, "%.5g", lp_format_bits(format));
        cli_table_cell(table, "%s", p && p->can_encode ? "yes" : p && p->can_decode ? "read only" : "-");
        if (common->verbose) cli_table_cell(table, "%s", row->text);
        cli_table_cell(table, "%s", row->note);
        lp_format_free(format);
    }
    for (int i = 0; i < lp_packing_count() && !status; i++) {
        const lp_packing *p = lp_packing_at(i);
        if (!p->can_decode || p->text[0]) continue; /* those with a text have a row */
        cli_table_cell(table, "%s", p->name);
        cli_table_cell(table, "%.5g", 8.0 * p->n_bytes / p->n_values);
        cli_table_cell(table, "%s", p->can_encode ? "yes" : "read only");
        if (common->verbose) cli_table_cell(table, "-");
        cli_table_cell(table, "%s", layout_note(p));
    }
    cli_table_print(table, cli_out());
    if (!status)
        fputs("\nbits: per value, scales included. quantize: 'lowp quantize --format NAME' writes it.\n"
              "'lowp formats NAME' explains one; -v adds the text that a name stands for.\n",
              cli_out());
    return status;
}

static lp_status run(const void *argument)
{
    const cli_common *common = argument;
    if (common->n_operands) return explain_one(common);
    return common->json ? list_json() : list_table(common);
}

static const cli_common defaults = {0};

const cli_verb cli_formats = {
    .name = "formats",
    .usage = "[NAME or TEXT]",
    .summary = "the number formats, or one of them explained",
    .details = "Without an argument: all named formats. With a name (q4_k) or a text (e2m1:32:e8m0: element, values per "
               "scale, format of the scale): its values, range and bits, and where the values lie on a line.",
    .examples = "lowp formats\nlowp formats e2m1:32:e8m0\nlowp formats q4_k\nlowp formats nf4 --json\n",
    .options = {NULL},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .most_operands = 1,
    .run = run,
};
