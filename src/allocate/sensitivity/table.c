/* The table of sensitivities: in memory, and as a JSON file with its provenance. */
#include "allocate/sensitivity/table.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "base/map.h"
#include "base/output.h"
#include "file/json.h"

static const char SCHEMA[] = "lowp.sensitivity/1";

/* The metrics, as members of an option. */
static const struct {
    const char *name;
    size_t offset;
} metric_fields[] = {
    {"kl_nats", offsetof(lp_swap_metrics, kl)},
    {"kl_standard_error", offsetof(lp_swap_metrics, kl_error)},
    {"cross_entropy_increase_nats", offsetof(lp_swap_metrics, loss_increase)},
    {"logit_noise", offsetof(lp_swap_metrics, logit_noise)},
    {"top1_agreement", offsetof(lp_swap_metrics, agreement)},
    {"local_error", offsetof(lp_swap_metrics, local_error)},
    {"weight_error", offsetof(lp_swap_metrics, weight_error)},
};
enum { N_METRICS = sizeof metric_fields / sizeof metric_fields[0] };

/* ---- in memory ----------------------------------------------------------------------------------------------------- */

lp_status lp_sensitivity_create(int64_t n_classes, lp_sensitivity **out)
{
    *out = NULL;
    lp_sensitivity *t = calloc(1, sizeof *t);
    lp_arena *memory = calloc(1, sizeof *memory);
    if (!t || !memory) {
        free(t);
        free(memory);
        return lp_fail_memory(sizeof *t, "sensitivities");
    }
    t->memory = memory;
    t->n_classes = n_classes;
    t->class_list = lp_arena_alloc_array(memory, (size_t)n_classes + 1, sizeof *t->class_list);
    if (!t->class_list) {
        lp_sensitivity_free(t);
        return LP_RESOURCE;
    }
    *out = t;
    return LP_OK;
}

void lp_sensitivity_free(lp_sensitivity *table)
{
    if (!table) return;
    lp_arena_free(table->memory);
    free(table->memory);
    free(table);
}

lp_status lp_sensitivity_set_class(lp_sensitivity *table, int64_t i, const char *name, size_t n_name, int most_options)
{
    lp_tensor_class *c = &table->class_list[i];
    c->name = lp_arena_copy_string(table->memory, name, n_name);
    c->option = lp_arena_alloc_array(table->memory, (size_t)most_options + 1, sizeof *c->option);
    return c->name && c->option ? LP_OK : LP_RESOURCE;
}

lp_status lp_sensitivity_add_option(lp_sensitivity *table, int64_t i, const char *format, size_t n_format, uint64_t n_bytes)
{
    lp_tensor_class *c = &table->class_list[i];
    lp_tensor_option *o = &c->option[c->n_options];
    o->format = lp_arena_copy_string(table->memory, format, n_format);
    o->n_bytes = n_bytes;
    if (!o->format) return LP_RESOURCE;
    c->n_options++;
    return LP_OK;
}

int lp_sensitivity_find_option(const lp_tensor_class *c, const char *format)
{
    for (int j = 0; j < c->n_options; j++)
        if (strcmp(c->option[j].format, format) == 0) return j;
    return -1;
}

lp_status lp_sensitivity_adopt(lp_sensitivity *table, const lp_sensitivity *old, const char *path)
{
    const struct {
        const char *what, *now, *then;
    } texts[] = {
        {"of another model", table->model_sha256, old->model_sha256},
        {"measured on another text", table->text_sha256, old->text_sha256},
        {"measured with other statistics", table->stats_sha256, old->stats_sha256},
        {"of another recipe", table->recipe, old->recipe},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        if (strcmp(texts[i].now, texts[i].then) != 0) {
            lp_fail(LP_USAGE, "%s: these sensitivities are %s (%.16s..., here it is %.16s...)", path, texts[i].what, texts[i].then,
                    texts[i].now);
            return lp_hint(LP_USAGE, "name another file: it is made if it does not exist");
        }
    if (table->n_context != old->n_context || table->n_windows != old->n_windows)
        return lp_fail(LP_USAGE, "%s: measured on %" PRId64 " windows of %" PRId64 " tokens, asked for are %" PRId64 " of %" PRId64,
                       path, old->n_windows, old->n_context, table->n_windows, table->n_context);
    for (int64_t i = 0; i < table->n_classes; i++)
        for (int64_t k = 0; k < old->n_classes; k++) {
            if (strcmp(table->class_list[i].name, old->class_list[k].name) != 0) continue;
            for (int j = 0; j < table->class_list[i].n_options; j++) {
                lp_tensor_option *o = &table->class_list[i].option[j];
                int found = lp_sensitivity_find_option(&old->class_list[k], o->format);
                if (found < 0 || old->class_list[k].option[found].n_bytes != o->n_bytes) continue;
                o->metrics = old->class_list[k].option[found].metrics;
                o->measured = old->class_list[k].option[found].measured;
                o->local = old->class_list[k].option[found].local;
            }
        }
    return LP_OK;
}

/* ---- the file ------------------------------------------------------------------------------------------------------ */

static double *metric_of(lp_swap_metrics *m, int i) { return (double *)(void *)((char *)m + metric_fields[i].offset); }

static void print_option(FILE *f, const lp_tensor_option *o, bool first)
{
    lp_swap_metrics m = o->metrics;
    fprintf(f, "%s{\"format\":\"%s\",\"n_bytes\":%" PRIu64 ",\"measured\":%s", first ? "" : ",\n   ", o->format, o->n_bytes,
            o->measured ? "true" : "false");
    for (int i = 0; i < N_METRICS; i++) fprintf(f, ",\"%s\":%.17g", metric_fields[i].name, *metric_of(&m, i));
    fputc('}', f);
}

/* Names of tensors may hold any character. */
static void print_string(FILE *f, const char *s)
{
    fputc('"', f);
    for (; *s; s++) {
        unsigned char c = (unsigned char)*s;
        if (c == '"' || c == '\\') fprintf(f, "\\%c", c);
        else if (c < 0x20) fprintf(f, "\\u%04x", c);
        else fputc(c, f);
    }
    fputc('"', f);
}

static void print_table(FILE *f, const lp_sensitivity *t)
{
    fprintf(f, "{\"schema\":\"%s\",\n \"model_sha256\":\"%s\",\n \"text_sha256\":\"%s\",\n \"stats_sha256\":\"%s\",\n", SCHEMA,
            t->model_sha256, t->text_sha256, t->stats_sha256);
    fprintf(f, " \"recipe\":\"%s\",\"n_context\":%" PRId64 ",\"n_windows\":%" PRId64 ",\"n_predictions\":%" PRId64 ",\n \"tensors\":[",
            t->recipe, t->n_context, t->n_windows, t->n_predictions);
    for (int64_t i = 0; i < t->n_classes; i++) {
        const lp_tensor_class *c = &t->class_list[i];
        bool first = true;
        fputs(i ? ",\n  {\"name\":" : "\n  {\"name\":", f);
        print_string(f, c->name);
        fputs(",\"options\":[", f);
        for (int j = 0; j < c->n_options; j++) {
            if (!c->option[j].local) continue;
            print_option(f, &c->option[j], first);
            first = false;
        }
        fputs("]}", f);
    }
    fputs("]}\n", f);
}

lp_status lp_sensitivity_write(const lp_sensitivity *table, const char *path)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return lp_fail_memory(0, "sensitivities");
    print_table(f, table);
    if (fclose(f) != 0) {
        free(text);
        return lp_fail_memory(n, "sensitivities");
    }
    lp_output *output;
    lp_status status = lp_output_create(path, true, &output);
    if (status == LP_OK) {
        status = lp_output_write(output, text, n);
        if (status == LP_OK) status = lp_output_finish(output, NULL);
        else lp_output_abort(output);
    }
    free(text);
    return status;
}

static bool copy_text(const lp_json *node, char *out, size_t n_out)
{
    if (!node || node->kind != LP_JSON_STRING || node->n >= n_out || memchr(node->text, 0, node->n)) return false;
    memcpy(out, node->text, node->n);
    out[node->n] = 0;
    return true;
}

static lp_status read_option(lp_sensitivity *t, int64_t i, const lp_json *node, const char *path)
{
    char format[256];
    int64_t n_bytes;
    lp_tensor_class *c = &t->class_list[i];
    if (!copy_text(lp_json_find(node, "format"), format, sizeof format) || !lp_json_integer(lp_json_find(node, "n_bytes"), &n_bytes) ||
        n_bytes < 0)
        return lp_fail(LP_INPUT, "%s: %s: option %d has no format or size", path, c->name, c->n_options);
    LP_TRY(lp_sensitivity_add_option(t, i, format, strlen(format), (uint64_t)n_bytes));
    lp_tensor_option *o = &c->option[c->n_options - 1];
    const lp_json *measured = lp_json_find(node, "measured");
    if (!measured || measured->kind != LP_JSON_BOOL)
        return lp_fail(LP_INPUT, "%s: %s: %s: whether it was measured is not told", path, c->name, format);
    o->measured = measured->n != 0;
    o->local = true;
    for (int m = 0; m < N_METRICS; m++)
        if (!lp_json_real(lp_json_find(node, metric_fields[m].name), metric_of(&o->metrics, m)))
            return lp_fail(LP_INPUT, "%s: %s: %s: %s is missing", path, c->name, format, metric_fields[m].name);
    return LP_OK;
}

static lp_status read_classes(lp_sensitivity *t, const lp_json *tensors, const char *path)
{
    const lp_json *node = tensors + 1;
    for (int64_t i = 0; i < t->n_classes; i++, node += node->span) {
        const lp_json *name = lp_json_find(node, "name"), *options = lp_json_find(node, "options");
        if (!name || name->kind != LP_JSON_STRING || memchr(name->text, 0, name->n) || !options || options->kind != LP_JSON_ARRAY)
            return lp_fail(LP_INPUT, "%s: tensor %" PRId64 " has no name or options", path, i);
        LP_TRY(lp_sensitivity_set_class(t, i, name->text, name->n, (int)options->n));
        const lp_json *option = options + 1;
        for (uint32_t j = 0; j < options->n; j++, option += option->span) LP_TRY(read_option(t, i, option, path));
    }
    return LP_OK;
}

static lp_status read_document(const lp_json *root, const char *path, lp_sensitivity **out)
{
    const lp_json *tensors = lp_json_find(root, "tensors");
    if (!lp_json_is(lp_json_find(root, "schema"), SCHEMA) || !tensors || tensors->kind != LP_JSON_ARRAY)
        return lp_fail(LP_INPUT, "%s: no table of sensitivities (schema %s)", path, SCHEMA);
    lp_sensitivity *t;
    LP_TRY(lp_sensitivity_create(tensors->n, &t));
    *out = t;
    bool ok = copy_text(lp_json_find(root, "model_sha256"), t->model_sha256, sizeof t->model_sha256) &&
              copy_text(lp_json_find(root, "text_sha256"), t->text_sha256, sizeof t->text_sha256) &&
              copy_text(lp_json_find(root, "stats_sha256"), t->stats_sha256, sizeof t->stats_sha256) &&
              copy_text(lp_json_find(root, "recipe"), t->recipe, sizeof t->recipe) &&
              lp_json_integer(lp_json_find(root, "n_context"), &t->n_context) &&
              lp_json_integer(lp_json_find(root, "n_windows"), &t->n_windows) &&
              lp_json_integer(lp_json_find(root, "n_predictions"), &t->n_predictions);
    if (!ok) return lp_fail(LP_INPUT, "%s: where the sensitivities come from is not told", path);
    return read_classes(t, tensors, path);
}

lp_status lp_sensitivity_read(const char *path, lp_sensitivity **out)
{
    static const lp_json_limits limits = {.n_bytes = 256 << 20, .n_nodes = 8 << 20, .depth = 8};
    lp_json_document document = {0};
    lp_map map;
    *out = NULL;
    LP_TRY(lp_map_open(path, &map));
    lp_status status = lp_json_parse(path, (const char *)map.data, map.n_bytes, &limits, &document);
    if (status == LP_OK) status = read_document(document.node, path, out);
    if (lp_map_failed(&map)) status = lp_fail(LP_INPUT, "%s: the file became shorter while it was read", path);
    lp_json_free(&document);
    lp_map_close(&map);
    if (status != LP_OK) {
        lp_sensitivity_free(*out);
        *out = NULL;
    }
    return status;
}
