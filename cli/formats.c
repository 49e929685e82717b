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
    if (e->kind == LP_ELEMENT_FLOAT && e->bits > 16) {
        int top = (1 << e->exponent) - 1 - e->bias - (e->specials == LP_SPECIALS_IEEE);
        *most = ldexp(2 - ldexp(1, -e->mantissa), top);
        *least = e->is_signed ? -*most : 0;
        return;
    }
    *least = INFINITY;
    *most = -INFINITY;
    for (uint32_t code = 0; code < 1u << e->bits; code++) {
        double v = lp_element_value(e, code);
        if (!isfinite(v)) continue;
        if (v < *least) *least = v;
        if (v > *most) *most = v;
    }
}

/* The least positive value, and the distance from 1 to the next value above it (0 where 1 is no value or the last one). */
static void value_steps(const lp_element *e, double *smallest, double *epsilon)
{
    *smallest = INFINITY;
    *epsilon = INFINITY;
    bool has_one = false;
    if (e->kind == LP_ELEMENT_FLOAT && e->bits > 16) {
        *smallest = ldexp(1, 1 - e->bias - e->mantissa);
        *epsilon = ldexp(1, -e->mantissa);
        return;
    }
    for (uint32_t code = 0; code < 1u << e->bits; code++) {
        double v = lp_element_value(e, code);
        if (!isfinite(v)) continue;
        if (v > 0 && v < *smallest) *smallest = v;
        if (v > 1 && v - 1 < *epsilon) *epsilon = v - 1;
        has_one |= v == 1;
    }
    if (!has_one || isinf(*epsilon)) *epsilon = 0;
    if (isinf(*smallest)) *smallest = 0;
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
    case LP_ELEMENT_EXPONENT:
        snprintf(out, n, "integer q of %d bits as sign(q) (|q|/%d)^(1/%.3g)", e->bits, (1 << (e->bits - 1)) - 1,
                 (double)e->fraction / 1000);
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

/* ---- the picture as SVG ------------------------------------------------------------------------------------------ */

/* A tick per value above an axis with numbers, at most 65536 values. */
static lp_status write_svg(const char *path, const char *title, const lp_element *e)
{
    enum { WIDTH = 1000, HEIGHT = 170, MARGIN = 40, AXIS = 110, N_LABELS = 9 };
    double least, most;
    value_range(e, &least, &most);
    if (e->bits > 16 || !(most > least))
        return cli_fail(LP_USAGE, "elements of at most 16 bits have one", "--svg: no picture of %s", title);
    bool to_stdout = strcmp(path, "-") == 0;
    FILE *f = to_stdout ? cli_out() : fopen(path, "wx");
    if (!f) return cli_fail(LP_USAGE, NULL, "%s: it cannot be created, or exists", path);
    bool logarithmic = least > 0 && most / least > 1e4;
    double low = logarithmic ? log(least) : least, high = logarithmic ? log(most) : most;
    fprintf(f,
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 %d %d\" font-family=\"sans-serif\" font-size=\"14\">\n"
            "<rect width=\"%d\" height=\"%d\" fill=\"white\"/>\n<text x=\"%d\" y=\"25\">%s%s</text>\n"
            "<path stroke=\"black\" d=\"M%d %dH%d\"/>\n<path stroke=\"#1f5fbf\" stroke-width=\"%s\" d=\"",
            WIDTH, HEIGHT, WIDTH, HEIGHT, MARGIN, title, logarithmic ? " (logarithmic)" : "", MARGIN, AXIS, WIDTH - MARGIN,
            e->bits > 6 ? "0.5" : "2");
    for (uint32_t code = 0; code < 1u << e->bits; code++) {
        double v = lp_element_value(e, code), at = logarithmic ? log(v) : v;
        if (isfinite(v)) fprintf(f, "M%.2f %dV%d", MARGIN + (at - low) / (high - low) * (WIDTH - 2 * MARGIN), AXIS - 60, AXIS);
    }
    fputs("\"/>\n", f);
    for (int i = 0; i < N_LABELS; i++) {
        double part = (double)i / (N_LABELS - 1), v = low + part * (high - low);
        fprintf(f, "<text x=\"%.2f\" y=\"%d\" text-anchor=\"middle\">%.4g</text>\n", MARGIN + part * (WIDTH - 2 * MARGIN), AXIS + 25,
                logarithmic ? exp(v) : v);
    }
    fputs("</svg>\n", f);
    if (to_stdout) return LP_OK;
    bool failed = ferror(f);
    failed |= fclose(f) != 0;
    return failed ? cli_fail(LP_RESOURCE, NULL, "%s: it cannot be written", path) : LP_OK;
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
    return p->name[0] == 'i' ? "patterns of a code book with signs: known by its bytes, no text describes it"
                             : "-1 0 1 2 times a scale: known by its bytes, no text describes it";
}

/* Whether planes of our own hold it. */
static bool has_planes(const lp_format *f)
{
    const lp_packing *own;
    if (lp_packing_create(f, &own)) return false;
    lp_packing_free(own);
    return true;
}

static void print_storage(FILE *out, const lp_packing *p, const lp_format *f)
{
    if (!p && f && has_planes(f)) {
        char text[256];
        lp_format_print(f, text, sizeof text);
        fputs("  in files planes of codes and scales in a GGUF file that only lowp reads\n", out);
        fprintf(out, "  write it 'lowp quantize MODEL -o OUT --format %s'\n", text);
        return;
    }
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
    for (int i = 0; i < f->n_alternatives; i++) {
        describe_element(&f->alternative[i], line, sizeof line);
        fprintf(out, "  or       %s%s\n", line, i + 1 == f->n_alternatives ? ": a choice per block" : "");
    }
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
    print_storage(out, packing ? packing : cli_packing_of(f), f);
    fprintf(out, "  range    %.9g to %.9g%s\n", least, most, f->scale ? " (of the element)" : "");
    double smallest, epsilon;
    value_steps(&f->element, &smallest, &epsilon);
    if (f->element.kind != LP_ELEMENT_COMPLEX) fprintf(out, "  smallest %.9g above zero\n", smallest);
    if (epsilon > 0) fprintf(out, "  epsilon  %.9g (from 1 to the next value)\n", epsilon);
    if (n > MOST_SHOWN && !verbose)
        fprintf(out, "  values   %d (-v lists them)\n", n);
    else if (f->element.kind == LP_ELEMENT_COMPLEX)
        fputs("  values   1 i -1 -i\n", out);
    else if (n)
        print_values(out, values, n);
    if (n_special)
        fprintf(out, "           and %d code%s %s\n", n_special, n_special == 1 ? "" : "s",
                f->element.kind == LP_ELEMENT_FLOAT || f->element.kind == LP_ELEMENT_POSIT ? "without a finite value" : "not in use");
    if (n && f->element.kind != LP_ELEMENT_COMPLEX) print_line(out, values, n);
}

static void json_format(cli_json *json, const char *name, const char *text, const char *note, const lp_format *f)
{
    const lp_packing *p = name ? lp_packing_by_name(name) : cli_packing_of(f);
    cli_json_object(json, NULL);
    cli_json_text(json, "name", name);
    cli_json_text(json, "text", text);
    cli_json_real(json, "bits_per_value", lp_format_bits(f));
    cli_json_text(json, "note", note);
    cli_json_bool(json, "can_quantize", p ? p->can_encode : has_planes(f));
    double least, most, values[MOST_VALUES];
    value_range(&f->element, &least, &most);
    cli_json_real(json, "element_minimum", least);
    cli_json_real(json, "element_maximum", most);
    double smallest, epsilon;
    value_steps(&f->element, &smallest, &epsilon);
    cli_json_real(json, "element_smallest", smallest);
    cli_json_real(json, "element_epsilon", epsilon);
    int n_special, n = list_values(&f->element, values, &n_special);
    cli_json_array(json, "element_values");
    for (int i = 0; i < n; i++) cli_json_real(json, NULL, values[i]);
    cli_json_close(json);
    cli_json_close(json);
}

typedef struct formats_options {
    cli_common common;
    const char *svg;
} formats_options;

static lp_status explain_one(const formats_options *options)
{
    const cli_common *common = &options->common;
    const char *text = common->operand[0];
    lp_format *format;
    const lp_packing *layout = lp_packing_by_name(text);
    if (layout && layout->can_decode && !layout->text[0] && !common->json) {
        fprintf(cli_out(), "%s\n  %s\n  bits     %.6g per value, scales included\n", layout->name, layout_note(layout),
                8.0 * layout->n_bytes / layout->n_values);
        print_storage(cli_out(), layout, NULL);
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
        if (!options->svg || strcmp(options->svg, "-") != 0) explain(cli_out(), text, format, common->verbose);
    }
    if (options->svg) {
        char title[256];
        lp_format_print(format, title, sizeof title);
        status = write_svg(options->svg, title, &format->element);
    }
    lp_format_free(format);
    return status;
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
    for (int i = 0; i < lp_packing_count(); i++) {
        const lp_packing *p = lp_packing_at(i);
        if (!p->can_decode || p->text[0]) continue;
        cli_json_object(&json, NULL); /* code books: no element, so no text */
        cli_json_text(&json, "name", p->name);
        cli_json_text(&json, "text", NULL);
        cli_json_real(&json, "bits_per_value", 8.0 * p->n_bytes / p->n_values);
        cli_json_text(&json, "note", layout_note(p));
        cli_json_bool(&json, "can_quantize", p->can_encode);
        cli_json_close(&json);
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
    const formats_options *options = argument;
    const cli_common *common = &options->common;
    if (common->n_operands) return explain_one(options);
    if (options->svg) return cli_fail(LP_USAGE, "lowp formats e4m3 --svg e4m3.svg", "--svg: a picture shows one format");
    return common->json ? list_json() : list_table(common);
}

static const cli_option options_table[] = {
    {"svg", 0, CLI_TEXT, offsetof(formats_options, svg), "FILE", 0, 0, NULL,
     "also write a picture of the values on a number line (- is stdout)"},
    {0},
};

static const formats_options defaults = {0};

const cli_verb cli_formats = {
    .name = "formats",
    .usage = "[NAME or TEXT]",
    .summary = "the number formats, or one of them explained",
    .details = "Without an argument: all named formats. With a name (q4_k) or a text (e2m1:32:e8m0: element, values per "
               "scale, format of the scale): its values, range and bits, and where the values lie on a line.",
    .examples = "lowp formats\nlowp formats e2m1:32:e8m0\nlowp formats q4_k\nlowp formats nf4 --json\nlowp formats p8.0 --svg p8.svg\n",
    .options = {options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .most_operands = 1,
    .run = run,
};
