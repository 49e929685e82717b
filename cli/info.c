/* lowp info: what is in a model file. */
#include "cli.h"

#include <stdlib.h>
#include <string.h>

typedef struct info_options {
    cli_common common;
    bool tensors;
} info_options;

/* ---- metadata values --------------------------------------------------------------------------------------------- */

static const char *const type_names[LP_GGUF_TYPE_COUNT] = {"u8",   "i8",     "u16",   "i16", "u32", "i32", "f32",
                                                           "bool", "string", "array", "u64", "i64", "f64"};

/* The one value of a scalar key, by the library's typed readers. */
static void json_scalar(cli_json *json, const lp_gguf *gguf, const char *name, const lp_gguf_key *key)
{
    int64_t i = 0;
    double d = 0;
    bool b = false;
    lp_string s = {0};
    switch (key->type) {
    case LP_GGUF_STRING:
        lp_gguf_get_string(gguf, name, false, &s);
        cli_json_bytes(json, name, s.data, s.n);
        return;
    case LP_GGUF_BOOL:
        lp_gguf_get_bool(gguf, name, false, &b);
        cli_json_bool(json, name, b);
        return;
    case LP_GGUF_F32:
    case LP_GGUF_F64:
        lp_gguf_get_f64(gguf, name, false, &d);
        cli_json_real(json, name, d);
        return;
    default:
        if (lp_gguf_get_i64(gguf, name, false, &i) == LP_OK)
            cli_json_integer(json, name, i);
        else
            cli_json_null(json, name);
    }
}

static void print_scalar(FILE *out, const lp_gguf *gguf, const char *name, const lp_gguf_key *key)
{
    int64_t i = 0;
    double d = 0;
    bool b = false;
    lp_string s = {0};
    char text[72];
    switch (key->type) {
    case LP_GGUF_STRING:
        lp_gguf_get_string(gguf, name, false, &s);
        cli_printable(s.data, s.n, text, sizeof text);
        fputs(text, out);
        return;
    case LP_GGUF_BOOL:
        lp_gguf_get_bool(gguf, name, false, &b);
        fputs(b ? "true" : "false", out);
        return;
    case LP_GGUF_F32:
    case LP_GGUF_F64:
        lp_gguf_get_f64(gguf, name, false, &d);
        fprintf(out, "%.7g", d);
        return;
    default:
        if (lp_gguf_get_i64(gguf, name, false, &i) == LP_OK)
            fprintf(out, "%lld", (long long)i);
        else
            fputs("(above 2^63)", out);
    }
}

static char *key_name(const lp_gguf_key *key)
{
    char *name = cli_alloc(key->key.n + 1);
    memcpy(name, key->key.data, key->key.n);
    name[key->key.n] = 0;
    return name;
}

static void print_metadata(FILE *out, const lp_gguf *gguf)
{
    fputs("\nMetadata\n", out);
    for (int64_t i = 0; i < lp_gguf_key_count(gguf); i++) {
        const lp_gguf_key *key = lp_gguf_key_at(gguf, i);
        char *name = key_name(key);
        fputs("  ", out);
        cli_print_bytes(out, name, strlen(name), false);
        fputs(" = ", out);
        if (key->type == LP_GGUF_ARRAY)
            fprintf(out, "[%llu values of type %s]", (unsigned long long)key->n_elements, type_names[key->element]);
        else
            print_scalar(out, gguf, name, key);
        fputc('\n', out);
        free(name);
    }
}

static void json_metadata(cli_json *json, const lp_gguf *gguf)
{
    cli_json_object(json, "metadata");
    for (int64_t i = 0; i < lp_gguf_key_count(gguf); i++) {
        const lp_gguf_key *key = lp_gguf_key_at(gguf, i);
        char *name = key_name(key);
        if (key->type == LP_GGUF_ARRAY) {
            cli_json_object(json, name);
            cli_json_text(json, "element", type_names[key->element]);
            cli_json_unsigned(json, "n_elements", key->n_elements);
            cli_json_close(json);
        } else {
            json_scalar(json, gguf, name, key);
        }
        free(name);
    }
    cli_json_close(json);
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

static void print_tensors(FILE *out, const lp_gguf *gguf)
{
    fputs("\nTensors (the first dimension varies fastest)\n", out);
    cli_table *table = cli_table_create("name|shape|format|>size|>bits");
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(gguf, i);
        int64_t n = lp_tensor_values(t);
        cli_table_cell(table, "%s", t->name);
        cli_table_cell(table, "%s", cli_shape(t->n_dims, t->dim).text);
        cli_table_cell(table, "%s", t->packing->name);
        cli_table_cell(table, "%s", cli_bytes(t->n_bytes).text);
        cli_table_cell(table, "%.4g", n ? 8.0 * (double)t->n_bytes / (double)n : 0);
    }
    cli_table_print(table, out);
}

/* One line per format: how many tensors and bytes use it. */
static void print_formats(FILE *out, const lp_gguf *gguf)
{
    fputs("\nFormats\n", out);
    cli_table *table = cli_table_create("format|>tensors|>weights|>size|>bits per weight");
    int64_t n = lp_gguf_tensor_count(gguf);
    for (int64_t f = 0; f < n; f++) {
        const lp_packing *p = lp_gguf_tensor_at(gguf, f)->packing;
        int64_t n_tensors = 0, n_values = 0, first = 0;
        uint64_t n_bytes = 0;
        while (!lp_packing_equal(lp_gguf_tensor_at(gguf, first)->packing, p)) first++;
        if (first < f) continue; /* in an earlier line */
        for (int64_t i = f; i < n; i++) {
            const lp_tensor *t = lp_gguf_tensor_at(gguf, i);
            if (!lp_packing_equal(t->packing, p)) continue;
            n_tensors++;
            n_values += lp_tensor_values(t);
            n_bytes += t->n_bytes;
        }
        cli_table_cell(table, "%s", p->name);
        cli_table_cell(table, "%s", cli_count(n_tensors).text);
        cli_table_cell(table, "%s", cli_count(n_values).text);
        cli_table_cell(table, "%s", cli_bytes(n_bytes).text);
        cli_table_cell(table, "%.4g", n_values ? 8.0 * (double)n_bytes / (double)n_values : 0);
    }
    cli_table_print(table, out);
}

/* ---- the verb ---------------------------------------------------------------------------------------------------- */

/* A number of the architecture's own, such as llama.block_count. */
static void print_shape(FILE *out, const lp_gguf *gguf, lp_string architecture, const char *key, const char *what)
{
    char name[128];
    int64_t value = -1;
    snprintf(name, sizeof name, "%.*s.%s", (int)(architecture.n > 64 ? 64 : architecture.n), architecture.data, key);
    if (lp_gguf_get_i64(gguf, name, false, &value) == LP_OK && value >= 0)
        fprintf(out, "  %-16s%s\n", what, cli_count(value).text);
}

static void print_text(FILE *out, const lp_gguf *gguf, const char *key, const char *what)
{
    lp_string s = {0};
    char text[256];
    if (lp_gguf_get_string(gguf, key, false, &s) || !s.n) return;
    cli_printable(s.data, s.n, text, sizeof text);
    fprintf(out, "  %-16s%s\n", what, text);
}

static void print_summary(FILE *out, const lp_gguf *gguf, const info_options *options)
{
    uint64_t n_tensor_bytes;
    int64_t n_parameters = cli_parameters(gguf, &n_tensor_bytes);
    lp_string architecture = {0};
    lp_gguf_get_architecture(gguf, false, &architecture);
    const char *path = lp_gguf_path(gguf);
    cli_print_bytes(out, path, strlen(path), false);
    fprintf(out, ": GGUF version %u, %s\n", (unsigned)lp_gguf_version(gguf), cli_bytes(lp_gguf_size(gguf)).text);
    print_text(out, gguf, "general.type", "type");
    print_text(out, gguf, "general.name", "name");
    print_text(out, gguf, lp_gguf_find(gguf, "lowp.base_architecture") ? "lowp.base_architecture" : "general.architecture", "architecture");
    print_text(out, gguf, "general.license", "licence");
    print_text(out, gguf, "tokenizer.ggml.model", "tokenizer");
    print_text(out, gguf, "tokenizer.ggml.pre", "pre-tokenizer");
    static const char *const shapes[][2] = {{"context_length", "context"},       {"block_count", "layers"},
                                            {"embedding_length", "width"},       {"feed_forward_length", "FFN width"},
                                            {"attention.head_count", "heads"},   {"attention.head_count_kv", "key/value heads"},
                                            {"expert_count", "experts"}};
    for (size_t i = 0; architecture.n && i < sizeof shapes / sizeof *shapes; i++)
        print_shape(out, gguf, architecture, shapes[i][0], shapes[i][1]);
    if (n_parameters)
        fprintf(out, "  %-16s%s (%s)\n  %-16s%.3f in the tensors, %.3f of the whole file\n", "parameters",
                cli_count(n_parameters).text, cli_large(n_parameters).text, "bits per weight",
                8.0 * (double)n_tensor_bytes / (double)n_parameters,
                8.0 * (double)lp_gguf_size(gguf) / (double)n_parameters);
    print_text(out, gguf, "lowp.recipe", "recipe");
    print_formats(out, gguf);
    if (options->common.verbose) print_metadata(out, gguf);
    if (options->tensors) print_tensors(out, gguf);
}

static void json_summary(const lp_gguf *gguf)
{
    uint64_t n_tensor_bytes;
    int64_t n_parameters = cli_parameters(gguf, &n_tensor_bytes);
    double n = (double)n_parameters;
    cli_json json;
    cli_json_begin(&json, "info");
    cli_json_text(&json, "file", lp_gguf_path(gguf));
    cli_json_integer(&json, "gguf_version", lp_gguf_version(gguf));
    lp_string architecture = {0};
    if (lp_gguf_get_architecture(gguf, true, &architecture) == LP_OK)
        cli_json_bytes(&json, "architecture", architecture.data, architecture.n);
    else
        cli_json_null(&json, "architecture");
    cli_json_integer(&json, "n_parameters", n_parameters);
    cli_json_unsigned(&json, "n_bytes", lp_gguf_size(gguf));
    cli_json_unsigned(&json, "n_tensor_bytes", n_tensor_bytes);
    cli_json_real(&json, "bits_per_weight", 8.0 * (double)n_tensor_bytes / n);
    cli_json_real(&json, "file_bits_per_weight", 8.0 * (double)lp_gguf_size(gguf) / n);
    json_metadata(&json, gguf);
    cli_json_array(&json, "tensors");
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(gguf, i);
        cli_json_object(&json, NULL);
        cli_json_text(&json, "name", t->name);
        cli_json_array(&json, "shape");
        for (int d = 0; d < t->n_dims; d++) cli_json_integer(&json, NULL, t->dim[d]);
        cli_json_close(&json);
        cli_json_text(&json, "format", t->packing->name);
        cli_json_unsigned(&json, "n_bytes", t->n_bytes);
        cli_json_close(&json);
    }
    cli_json_close(&json);
    cli_json_end(&json);
}

static lp_status run(const void *argument)
{
    const info_options *options = argument;
    lp_gguf *gguf;
    lp_status status = lp_container_open(options->common.operand[0], &gguf);
    if (status) return status;
    for (int i = 0; lp_gguf_warning(gguf, i); i++) cli_note(&options->common, "note: %s", lp_gguf_warning(gguf, i));
    if (options->common.json)
        json_summary(gguf);
    else
        print_summary(cli_out(), gguf, options);
    status = lp_gguf_check_intact(gguf);
    lp_gguf_close(gguf);
    return status;
}

static const cli_option options_table[] = {
    {"tensors", 0, CLI_FLAG, offsetof(info_options, tensors), NULL, 0, 0, NULL, "list every tensor"},
    {0},
};

static const info_options defaults = {0};

const cli_verb cli_info = {
    .name = "info",
    .usage = "MODEL [--tensors] [-v]",
    .summary = "what is in a model file: shapes, formats, sizes",
    .details = "Prints a summary of a GGUF file. -v adds all metadata, --tensors every tensor. Any GGUF file can be "
               "looked at, also one that cannot be run.",
    .examples = "lowp info embedded\nlowp info embedded --tensors\nlowp info embedded --json\n",
    .options = {options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 1,
    .most_operands = 1,
    .run = run,
};
