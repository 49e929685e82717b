/* lowp diff: what differs between two models' files. */
#include "cli.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct diff_options {
    cli_common common;
    bool tensors;
} diff_options;

/* How a tensor of A relates to B's. */
typedef struct comparison {
    const lp_tensor *a, *b; /* NULL: absent */
    const char *what;       /* NULL: equal */
    double error;           /* rms of the change relative to A's rms; NaN where it has no meaning */
} comparison;

typedef struct differences {
    cli_json json;
    cli_table *keys, *tensors;
    bool as_json;
    int64_t n_keys, n_tensors, n_equal;
} differences;

/* ---- keys -------------------------------------------------------------------------------------------------------- */

static const lp_gguf_key *find_key(const lp_gguf *gguf, lp_string name)
{
    char *text = cli_alloc(name.n + 1);
    memcpy(text, name.data, name.n);
    text[name.n] = 0;
    const lp_gguf_key *key = lp_gguf_find(gguf, text);
    free(text);
    return key;
}

/* A scalar as text; arrays by their length. */
static void show_value(const lp_gguf_key *key, char *out, size_t n_out)
{
    int64_t i;
    double d;
    if (!key) {
        snprintf(out, n_out, "-");
    } else if (key->type == LP_GGUF_ARRAY) {
        snprintf(out, n_out, "array of %llu", (unsigned long long)key->n_elements);
    } else if (key->type == LP_GGUF_STRING) {
        lp_string s;
        if (lp_gguf_strings(key, &s)) snprintf(out, n_out, "?");
        else cli_printable(s.data, s.n, out, n_out);
    } else if (lp_gguf_array_i64(key, 0, &i) == LP_OK) {
        snprintf(out, n_out, key->type == LP_GGUF_BOOL ? (i ? "true" : "false") : "%lld", (long long)i);
    } else if (lp_gguf_array_f64(key, 0, &d) == LP_OK) {
        snprintf(out, n_out, "%.9g", d);
    } else {
        snprintf(out, n_out, "a value above 2^63");
    }
}

static void report_key(differences *d, const lp_gguf_key *ka, const lp_gguf_key *kb)
{
    char name[128], va[64], vb[64];
    const lp_gguf_key *k = ka ? ka : kb;
    const char *what = !ka ? "only in B" : !kb ? "only in A" : ka->type != kb->type || ka->element != kb->element ? "type" : "value";
    show_value(ka, va, sizeof va);
    show_value(kb, vb, sizeof vb);
    d->n_keys++;
    if (d->as_json) {
        cli_json_object(&d->json, NULL);
        cli_json_bytes(&d->json, "key", k->key.data, k->key.n);
        cli_json_text(&d->json, "difference", what);
        cli_json_text(&d->json, "a", ka ? va : NULL);
        cli_json_text(&d->json, "b", kb ? vb : NULL);
        cli_json_close(&d->json);
        return;
    }
    cli_printable(k->key.data, k->key.n, name, sizeof name);
    if (!d->keys) d->keys = cli_table_create("key|differs in|A|B");
    cli_table_cell(d->keys, "%s", name);
    cli_table_cell(d->keys, "%s", what);
    cli_table_cell(d->keys, "%s", va);
    cli_table_cell(d->keys, "%s", vb);
}

static bool same_key(const lp_gguf_key *a, const lp_gguf_key *b)
{
    return a->type == b->type && a->element == b->element && a->n_elements == b->n_elements && a->n_raw == b->n_raw &&
           memcmp(a->raw, b->raw, a->n_raw) == 0;
}

static void compare_keys(differences *d, const lp_gguf *a, const lp_gguf *b)
{
    for (int64_t i = 0; i < lp_gguf_key_count(a); i++) {
        const lp_gguf_key *ka = lp_gguf_key_at(a, i), *kb = find_key(b, ka->key);
        if (!kb || !same_key(ka, kb)) report_key(d, ka, kb);
    }
    for (int64_t i = 0; i < lp_gguf_key_count(b); i++)
        if (!find_key(a, lp_gguf_key_at(b, i)->key)) report_key(d, NULL, lp_gguf_key_at(b, i));
}

/* ---- tensors ----------------------------------------------------------------------------------------------------- */

/* Row by row, so that memory does not grow with the tensor. */
static double relative_error(const lp_tensor *a, const lp_tensor *b)
{
    double change = 0, norm = 0;
    if (!a->packing->can_decode || !b->packing->can_decode) return NAN;
    float *x = cli_alloc(2 * (size_t)a->dim[0] * sizeof *x), *y = x + a->dim[0];
    for (int64_t row = 0; row < lp_tensor_rows(a); row++) {
        lp_tensor_decode_row(a, row, x);
        lp_tensor_decode_row(b, row, y);
        for (int64_t i = 0; i < a->dim[0]; i++) {
            double e = (double)y[i] - (double)x[i];
            change += e * e;
            norm += (double)x[i] * (double)x[i];
        }
    }
    free(x);
    return change == 0 ? 0 : sqrt(change / norm);
}

static comparison compare_tensor(const lp_tensor *a, const lp_tensor *b)
{
    comparison c = {a, b, NULL, NAN};
    if (!a || !b) c.what = a ? "only in A" : "only in B";
    else if (a->n_dims != b->n_dims || memcmp(a->dim, b->dim, sizeof a->dim) != 0) c.what = "shape";
    else if (!lp_packing_equal(a->packing, b->packing)) c.what = "format";
    else if (a->n_bytes && memcmp(a->data, b->data, a->n_bytes) != 0) c.what = "values";
    if (c.what && a && b && strcmp(c.what, "shape") != 0) c.error = relative_error(a, b);
    return c;
}

static void report_tensor(differences *d, const comparison *c)
{
    const lp_tensor *t = c->a ? c->a : c->b;
    if (!c->what) {
        d->n_equal++;
        return;
    }
    d->n_tensors++;
    if (d->as_json) {
        cli_json_object(&d->json, NULL);
        cli_json_text(&d->json, "name", t->name);
        cli_json_text(&d->json, "difference", c->what);
        cli_json_text(&d->json, "format_a", c->a ? c->a->packing->name : NULL);
        cli_json_text(&d->json, "format_b", c->b ? c->b->packing->name : NULL);
        cli_json_real(&d->json, "error", c->error);
        cli_json_close(&d->json);
        return;
    }
    if (!d->tensors) d->tensors = cli_table_create("tensor|differs in|shape A|shape B|format A|format B|>error");
    cli_table_cell(d->tensors, "%s", t->name);
    cli_table_cell(d->tensors, "%s", c->what);
    cli_table_cell(d->tensors, "%s", c->a ? cli_shape(c->a->n_dims, c->a->dim).text : "-");
    cli_table_cell(d->tensors, "%s", c->b ? cli_shape(c->b->n_dims, c->b->dim).text : "-");
    cli_table_cell(d->tensors, "%s", c->a ? c->a->packing->name : "-");
    cli_table_cell(d->tensors, "%s", c->b ? c->b->packing->name : "-");
    if (isnan(c->error)) cli_table_cell(d->tensors, "-");
    else cli_table_cell(d->tensors, "%.4g %%", 100 * c->error);
}

static lp_status compare_tensors(differences *d, const lp_gguf *a, const lp_gguf *b)
{
    for (int64_t i = 0; i < lp_gguf_tensor_count(a); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(a, i);
        const lp_tensor *other = lp_gguf_find_tensor(b, t->name);
        comparison c = compare_tensor(t, other);
        report_tensor(d, &c);
        lp_gguf_drop_pages(a, t, 0, lp_tensor_rows(t));
        if (other) lp_gguf_drop_pages(b, other, 0, lp_tensor_rows(other));
    }
    for (int64_t i = 0; i < lp_gguf_tensor_count(b); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(b, i);
        if (lp_gguf_find_tensor(a, t->name)) continue;
        comparison c = compare_tensor(NULL, t);
        report_tensor(d, &c);
    }
    lp_status status = lp_gguf_check_intact(a);
    return status ? status : lp_gguf_check_intact(b);
}

/* ---- the whole --------------------------------------------------------------------------------------------------- */

static lp_status print_json(const diff_options *options, differences *d, const lp_gguf *a, const lp_gguf *b)
{
    cli_json_begin(&d->json, "diff");
    cli_json_text(&d->json, "a", lp_gguf_path(a));
    cli_json_text(&d->json, "b", lp_gguf_path(b));
    cli_json_array(&d->json, "keys");
    if (!options->tensors) compare_keys(d, a, b);
    cli_json_close(&d->json);
    cli_json_array(&d->json, "tensors");
    lp_status status = compare_tensors(d, a, b);
    cli_json_close(&d->json);
    cli_json_bool(&d->json, "equal", d->n_keys + d->n_tensors == 0);
    cli_json_end(&d->json);
    return status;
}

static lp_status print_human(const diff_options *options, differences *d, const lp_gguf *a, const lp_gguf *b)
{
    if (!options->tensors) compare_keys(d, a, b);
    lp_status status = compare_tensors(d, a, b);
    FILE *out = cli_out();
    if (d->n_keys) {
        cli_table_print(d->keys, out);
        fputc('\n', out);
    }
    if (d->n_tensors) {
        cli_table_print(d->tensors, out);
        fputs("\nerror: rms of the change relative to A's rms.\n\n", out);
    }
    if (d->n_keys + d->n_tensors == 0) {
        fprintf(out, "equal (%s)\n", cli_number(d->n_equal, "tensor").text);
        return status;
    }
    fprintf(out, "different in %s and ", cli_number(d->n_keys, "key").text);
    fprintf(out, "%s (%s are equal)\n", cli_number(d->n_tensors, "tensor").text, cli_number(d->n_equal, "tensor").text);
    return status;
}

static lp_status run(const void *argument)
{
    const diff_options *options = argument;
    lp_gguf *a = NULL, *b = NULL;
    differences *d = cli_alloc(sizeof *d);
    *d = (differences){.as_json = options->common.json};
    lp_status status = lp_container_open(options->common.operand[0], &a);
    if (!status) status = lp_container_open(options->common.operand[1], &b);
    if (!status) status = d->as_json ? print_json(options, d, a, b) : print_human(options, d, a, b);
    if (!status && d->n_keys + d->n_tensors) status = LP_CHECK;
    lp_gguf_close(a);
    lp_gguf_close(b);
    free(d);
    return status;
}

static const cli_option options_table[] = {
    {"tensors", 0, CLI_FLAG, offsetof(diff_options, tensors), NULL, 0, 0, NULL, "compare tensors only, no keys"},
    {0},
};

static const diff_options defaults = {0};

const cli_verb cli_diff = {
    .name = "diff",
    .usage = "A B [--tensors]",
    .summary = "what differs between two files: keys and tensors",
    .details = "Compares all keys, and of every tensor the shape, the format and the bytes; where the bytes differ, the "
               "relative error. Exit code 0: equal; 1: different.",
    .examples = "lowp diff embedded embedded\nlowp quantize embedded -o small.gguf --format q8_0\n"
                "lowp diff embedded small.gguf || test $? -eq 1\n",
    .options = {options_table},
    .options_size = sizeof defaults,
    .defaults = &defaults,
    .least_operands = 2,
    .most_operands = 2,
    .run = run,
};
