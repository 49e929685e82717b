/* The report of an allocation: one HTML page with inline SVG, readable without scripts and without the network. */
#include <lowp/allocate.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/output.h"

static const char STYLE[] =
    "body{font:15px/1.5 system-ui,sans-serif;color:#1c2430;background:#fff;max-width:1000px;margin:32px auto;padding:0 20px}"
    "h1{font-size:24px;margin:0 0 4px}h2{font-size:18px;margin:36px 0 8px}p{margin:6px 0;max-width:75ch}"
    "table{border-collapse:collapse;font-variant-numeric:tabular-nums}td,th{padding:3px 12px 3px 0;text-align:right;"
    "border-bottom:1px solid #e4e8ee;white-space:nowrap}th{font-weight:600;color:#51607a}.l{text-align:left}"
    "td.l,th.l{text-align:left}.figures{display:flex;flex-wrap:wrap;margin:18px 0}.figures div{padding:0 40px 10px 0}"
    ".figures b{display:block;font-size:22px}.small{color:#51607a;font-size:13px}svg{display:block;max-width:100%;height:auto}"
    "svg text{font:12px system-ui,sans-serif;fill:#51607a}.scroll{overflow-x:auto}";

/* Text from files: nothing of it is markup. */
static void put_text(FILE *f, const char *s)
{
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '<') fputs("&lt;", f);
        else if (c == '>') fputs("&gt;", f);
        else if (c == '&') fputs("&amp;", f);
        else if (c == '"') fputs("&quot;", f);
        else if (c < 0x20 || c == 0x7f) fputc(' ', f);
        else fputc(c, f);
    }
}

static double bits_of(const lp_tensor_class *c, int j)
{
    return c->n_values ? 8.0 * (double)c->option[j].n_bytes / (double)c->n_values : 0;
}

/* ---- the curve ----------------------------------------------------------------------------------------------------- */

enum { WIDTH = 900, HEIGHT = 380, LEFT = 70, RIGHT = 30, TOP = 16, BOTTOM = 48 };

typedef struct axes {
    double x0, x1, y0, y1; /* megabytes; log10 of KL */
} axes;

static double at_x(const axes *a, double x) { return LEFT + (x - a->x0) / (a->x1 - a->x0) * (WIDTH - LEFT - RIGHT); }
static double at_y(const axes *a, double y) { return TOP + (a->y1 - y) / (a->y1 - a->y0) * (HEIGHT - TOP - BOTTOM); }

static void widen(axes *a, uint64_t n_bytes, double kl)
{
    double x = (double)n_bytes * 1e-6;
    if (!(kl > 0)) return;
    double y = log10(kl);
    if (x < a->x0) a->x0 = x;
    if (x > a->x1) a->x1 = x;
    if (y < a->y0) a->y0 = y;
    if (y > a->y1) a->y1 = y;
}

static axes find_axes(const lp_allocation *r)
{
    axes a = {INFINITY, -INFINITY, INFINITY, -INFINITY};
    widen(&a, r->n_bytes, r->joint.kl);
    for (int i = 0; i < r->n_singles; i++) widen(&a, r->singles[i].n_bytes, r->singles[i].metrics.kl);
    double low = isfinite(a.y0) ? a.y0 - 0.3 : -6;
    for (int i = 0; i < r->n_curve; i++)
        if (r->curve[i].predicted > 0 && log10(r->curve[i].predicted) > low) widen(&a, r->curve[i].n_bytes, r->curve[i].predicted);
    if (!(a.x1 > a.x0)) a.x1 = (a.x0 = isfinite(a.x0) ? a.x0 - 1 : 0) + 2;
    if (!(a.y1 > a.y0)) a.y1 = (a.y0 = isfinite(a.y0) ? a.y0 - 1 : -3) + 2;
    double margin = (a.x1 - a.x0) * 0.04;
    a.x0 -= margin;
    a.x1 += margin;
    a.y0 -= 0.12;
    a.y1 += 0.15;
    return a;
}

static void draw_grid(FILE *f, const axes *a)
{
    double step = pow(10, floor(log10((a->x1 - a->x0) / 4)));
    while ((a->x1 - a->x0) / step > 9) step *= (a->x1 - a->x0) / step > 22 ? 5 : 2;
    for (double x = ceil(a->x0 / step) * step; x <= a->x1; x += step)
        fprintf(f, "<line x1=\"%.1f\" x2=\"%.1f\" y1=\"%d\" y2=\"%d\" stroke=\"#eef1f5\"/><text x=\"%.1f\" y=\"%d\" text-anchor=\"middle\">%.4g</text>\n",
                at_x(a, x), at_x(a, x), TOP, HEIGHT - BOTTOM, at_x(a, x), HEIGHT - BOTTOM + 18, x);
    static const double marks[] = {1, 2, 5};
    for (int e = (int)floor(a->y0); e <= (int)ceil(a->y1); e++)
        for (int m = 0; m < 3; m++) {
            double value = marks[m] * pow(10, e), y = log10(value);
            if (y < a->y0 || y > a->y1) continue;
            fprintf(f, "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"%s\"/><text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3g</text>\n",
                    LEFT, WIDTH - RIGHT, at_y(a, y), at_y(a, y), m ? "#f4f6f9" : "#e4e8ee", LEFT - 8, at_y(a, y) + 4, value);
        }
    fprintf(f, "<text x=\"%d\" y=\"%d\" text-anchor=\"middle\">size of the file, MB</text>\n", (WIDTH + LEFT - RIGHT) / 2, HEIGHT - 8);
    fprintf(f, "<text transform=\"translate(16 %d) rotate(-90)\" text-anchor=\"middle\">KL divergence, nats per token</text>\n",
            (HEIGHT - BOTTOM + TOP) / 2);
}

static void draw_curve(FILE *f, const lp_allocation *r)
{
    axes a = find_axes(r);
    fprintf(f, "<svg viewBox=\"0 0 %d %d\" role=\"img\" aria-label=\"Size against divergence\">\n", WIDTH, HEIGHT);
    draw_grid(f, &a);
    fputs("<polyline fill=\"none\" stroke=\"#2a6fdb\" stroke-width=\"2\" points=\"", f);
    for (int i = 0; i < r->n_curve; i++) {
        if (!(r->curve[i].predicted > 0) || log10(r->curve[i].predicted) < a.y0) continue;
        fprintf(f, "%.1f,%.1f ", at_x(&a, (double)r->curve[i].n_bytes * 1e-6), at_y(&a, log10(r->curve[i].predicted)));
    }
    fputs("\"/>\n", f);
    for (int i = 0; i < r->n_singles; i++) {
        if (!(r->singles[i].metrics.kl > 0)) continue;
        double x = at_x(&a, (double)r->singles[i].n_bytes * 1e-6), y = at_y(&a, log10(r->singles[i].metrics.kl));
        bool left = x > WIDTH - 120;
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"4.5\" fill=\"#fff\" stroke=\"#7a8698\" stroke-width=\"2\"/><text x=\"%.1f\" y=\"%.1f\"%s>", x,
                y, left ? x - 9 : x + 9, y - (left ? 9 : 4), left ? " text-anchor=\"end\"" : "");
        put_text(f, r->singles[i].format);
        fputs("</text>\n", f);
    }
    if (r->joint.kl > 0) {
        double x = at_x(&a, (double)r->n_bytes * 1e-6), y = at_y(&a, log10(r->joint.kl));
        fprintf(f, "<circle cx=\"%.1f\" cy=\"%.1f\" r=\"7\" fill=\"#d9480f\"/><text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\" "
                   "style=\"font-weight:600;fill:#d9480f\">this file</text>\n", x, y, x - 11, y + 16);
    }
    fputs("</svg>\n", f);
}

/* ---- the map of bits ----------------------------------------------------------------------------------------------- */

enum { CELL_WIDTH = 62, CELL_HEIGHT = 24, NAME_WIDTH = 120, MOST_ROLES = 64 };

/* Layer and role of "blk.LAYER.ROLE.weight"; false for tensors outside the layers. */
static bool split_name(const char *name, int64_t *layer, const char **role, size_t *n_role)
{
    char *end;
    if (strncmp(name, "blk.", 4) != 0) return false;
    *layer = strtoll(name + 4, &end, 10);
    if (end == name + 4 || *end != '.' || *layer < 0 || *layer > 4095) return false;
    *role = end + 1;
    const char *suffix = strstr(*role, ".weight");
    *n_role = suffix ? (size_t)(suffix - *role) : strlen(*role);
    return *n_role > 0;
}

/* Few bits are light, many dark. */
static void draw_cell(FILE *f, double x, double y, double width, const lp_tensor_class *c, int j, double low, double high)
{
    double bits = bits_of(c, j), t = high > low ? (bits - low) / (high - low) : 0.5;
    fprintf(f, "<g><title>");
    put_text(f, c->name);
    fprintf(f, ": %.3g bits</title><rect x=\"%.0f\" y=\"%.0f\" width=\"%.0f\" height=\"%d\" rx=\"3\" fill=\"hsl(213,70%%,%.0f%%)\"/>", bits, x, y,
            width - 2, CELL_HEIGHT - 2, 92 - 57 * t);
    fprintf(f, "<text x=\"%.0f\" y=\"%.0f\" text-anchor=\"middle\" style=\"fill:%s\">", x + width / 2 - 1, y + 15, t > 0.5 ? "#fff" : "#1c2430");
    put_text(f, c->option[j].format);
    fputs("</text></g>\n", f);
}

static void draw_map(FILE *f, const lp_allocation *r)
{
    const lp_sensitivity *s = r->table;
    const char *role[MOST_ROLES], *of;
    size_t n_role[MOST_ROLES], n_of;
    int n_roles = 0;
    int64_t n_layers = 0, layer, n_outside = 0;
    double low = INFINITY, high = 0;
    for (int64_t i = 0; i < s->n_classes; i++) {
        double bits = bits_of(&s->class_list[i], r->choice[i]);
        if (bits < low) low = bits;
        if (bits > high) high = bits;
        if (!split_name(s->class_list[i].name, &layer, &of, &n_of)) {
            n_outside++;
            continue;
        }
        if (layer + 1 > n_layers) n_layers = layer + 1;
        int k = 0;
        while (k < n_roles && (n_role[k] != n_of || strncmp(role[k], of, n_of) != 0)) k++;
        if (k < n_roles || n_roles == MOST_ROLES) continue;
        role[n_roles] = of;
        n_role[n_roles++] = n_of;
    }
    int64_t width = NAME_WIDTH + n_layers * CELL_WIDTH, height = (n_roles + n_outside + 1) * CELL_HEIGHT + 10;
    if (width < NAME_WIDTH + 240) width = NAME_WIDTH + 240;
    fprintf(f, "<div class=\"scroll\"><svg viewBox=\"0 0 %" PRId64 " %" PRId64 "\" width=\"%" PRId64 "\" style=\"max-width:none\" role=\"img\" "
               "aria-label=\"Format of every tensor\">\n", width, height, width);
    for (int64_t l = 0; l < n_layers; l++)
        fprintf(f, "<text x=\"%" PRId64 "\" y=\"16\" text-anchor=\"middle\">%" PRId64 "</text>\n", NAME_WIDTH + l * CELL_WIDTH + CELL_WIDTH / 2, l);
    fputs("<text x=\"0\" y=\"16\">layer</text>\n", f);
    for (int k = 0; k < n_roles; k++) fprintf(f, "<text x=\"0\" y=\"%d\">%.*s</text>\n", (k + 1) * CELL_HEIGHT + 15, (int)n_role[k], role[k]);
    int64_t outside = 0;
    for (int64_t i = 0; i < s->n_classes; i++) {
        const lp_tensor_class *c = &s->class_list[i];
        if (!split_name(c->name, &layer, &of, &n_of)) {
            double y = (double)((n_roles + 1 + outside++) * CELL_HEIGHT + 6);
            fprintf(f, "<text x=\"0\" y=\"%.0f\">", y + 15);
            put_text(f, c->name);
            fputs("</text>\n", f);
            draw_cell(f, NAME_WIDTH + 20, y, 2 * CELL_WIDTH, c, r->choice[i], low, high);
            continue;
        }
        for (int k = 0; k < n_roles; k++)
            if (n_role[k] == n_of && strncmp(role[k], of, n_of) == 0)
                draw_cell(f, (double)(NAME_WIDTH + layer * CELL_WIDTH), (double)((k + 1) * CELL_HEIGHT), CELL_WIDTH, c, r->choice[i], low, high);
    }
    fputs("</svg></div>\n", f);
}

/* ---- tables -------------------------------------------------------------------------------------------------------- */

static void print_singles(FILE *f, const lp_allocation *r)
{
    fputs("<table><tr><th class=\"l\">file</th><th>bytes</th><th>KL</th><th>same first choice</th><th>loss increase</th></tr>\n", f);
    for (int i = 0; i <= r->n_singles; i++) {
        bool own = i == r->n_singles;
        const lp_swap_metrics *m = own ? &r->joint : &r->singles[i].metrics;
        fputs("<tr><td class=\"l\">", f);
        if (own) fputs("<b>this file</b>", f);
        else fputs("all tensors in ", f), put_text(f, r->singles[i].format);
        fprintf(f, "</td><td>%" PRIu64 "</td><td>%.6f &#177; %.6f</td><td>%.2f %%</td><td>%+.6f</td></tr>\n",
                own ? r->n_bytes : r->singles[i].n_bytes, m->kl, m->kl_error, 100 * m->agreement, m->loss_increase);
    }
    fputs("</table>\n", f);
}

static void print_tensors(FILE *f, const lp_allocation *r)
{
    bool timed = r->milliseconds > 0;
    fprintf(f, "<div class=\"scroll\"><table><tr><th class=\"l\">tensor</th><th class=\"l\">format</th><th>bits</th><th>bytes</th>"
               "<th>KL alone</th><th>error of its output</th>%s</tr>\n", timed ? "<th>&#181;s a token</th>" : "");
    for (int64_t i = 0; i < r->table->n_classes; i++) {
        const lp_tensor_class *c = &r->table->class_list[i];
        const lp_tensor_option *o = &c->option[r->choice[i]];
        fputs("<tr><td class=\"l\">", f);
        put_text(f, c->name);
        fputs("</td><td class=\"l\">", f);
        put_text(f, o->format);
        fprintf(f, "</td><td>%.3f</td><td>%" PRIu64 "</td><td>%s%.3e</td><td>%.3f %%</td>", bits_of(c, r->choice[i]), o->n_bytes,
                o->measured ? "" : "&#8776; ", o->metrics.kl, 100 * sqrt(o->metrics.local_error));
        if (timed) fprintf(f, "<td>%.2f</td>", o->ns * 1e-3);
        fputs("</tr>\n", f);
    }
    fputs("</table></div>\n", f);
}

static void print_page(FILE *f, const lp_allocation *r, const char *model, const char *file)
{
    const lp_sensitivity *s = r->table;
    fputs("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>", f);
    put_text(f, file);
    fprintf(f, "</title><style>%s</style></head><body>\n<h1>", STYLE);
    put_text(f, file);
    fputs("</h1>\n<p class=\"small\">made from ", f);
    put_text(f, model);
    fprintf(f, " by lowp %s: every tensor in the format that measurements chose</p>\n<div class=\"figures\">", lp_version());
    fprintf(f, "<div><b>%.3f MB</b>%" PRIu64 " bytes</div><div><b>%.5f</b>KL, nats per token</div><div><b>%.2f %%</b>same first choice</div>",
            (double)r->n_bytes * 1e-6, r->n_bytes, r->joint.kl, 100 * r->joint.agreement);
    if (r->milliseconds > 0) fprintf(f, "<div><b>%.4g ms</b>products of a token</div>", r->milliseconds);
    fputs("</div>\n<h2>Size and loss</h2>\n", f);
    draw_curve(f, r);
    fputs("<p class=\"small\">Line: the least sum of the tensors' own losses at each size. Rings: files in which all tensors have one "
          "format, measured. Dot: this file, measured.</p>\n<h2>Format of every tensor</h2>\n", f);
    draw_map(f, r);
    fputs("<h2>Beside files of one format</h2>\n", f);
    print_singles(f, r);
    fprintf(f, "<p class=\"small\">Measured on %" PRId64 " predictions (%" PRId64 " x %" PRId64 " tokens) of the allocation text, float32 "
               "activations; &#177; is the standard error. Judge the file on another text: <code>lowp compare</code>.</p>\n",
            s->n_predictions, s->n_windows, s->n_context);
    fprintf(f, "<p class=\"small\">The choice solves the allocation problem with objective %.6g; no choice has less than %.6g%s. The first "
               "solution measured %.6f as a whole; after %d correction%s around it this file measures %.6f. The losses of its tensors alone "
               "sum to %.6f.</p>\n",
            r->objective, r->lower_bound, r->optimal ? " (proven)" : "", r->first.kl, r->n_rounds, r->n_rounds == 1 ? "" : "s", r->joint.kl,
            r->predicted);
    fputs("<h2>Tensors</h2>\n", f);
    print_tensors(f, r);
    fprintf(f, "<p class=\"small\">KL alone: of the model in which only this tensor has its format; &#8776;: estimated from formats of the same "
               "tensor that were measured. model SHA-256 %s, text %s, recipe ", s->model_sha256, s->text_sha256);
    put_text(f, s->recipe);
    fputs(".</p>\n</body></html>\n", f);
}

lp_status lp_allocation_write_report(const lp_allocation *allocation, const char *model, const char *file, const char *path,
                                     bool force)
{
    char *text = NULL;
    size_t n = 0;
    lp_output *output;
    FILE *f = open_memstream(&text, &n);
    if (!f) return lp_fail_memory(0, "the report");
    print_page(f, allocation, model, file);
    if (fclose(f) != 0) {
        free(text);
        return lp_fail_memory(n, "the report");
    }
    lp_status status = lp_output_create(path, force, &output);
    if (status == LP_OK) {
        status = lp_output_write(output, text, n);
        if (status == LP_OK) status = lp_output_finish(output, NULL);
        else lp_output_abort(output);
    }
    free(text);
    return status;
}
