/* The best file of a given size: candidates, sensitivities, the knapsack, and corrections where the sum of single losses is not
 * the loss of the whole. Cards: allocate/layerwise-ip, budget-search, sensitivity-table. */
#include <lowp/allocate.h>

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "allocate/candidates.h"
#include "allocate/cost.h"
#include "allocate/sensitivity/harness.h"
#include "allocate/sensitivity/table.h"
#include "base/checked.h"
#include "base/fail.h"
#include "base/function.h"
#include "base/sha256.h"
#include "file/gguf.h"
#include "measure/windows.h"
#include "quantize/glob.h"
#include "quantize/plan.h"
#include "quantize/recipe.h"

enum {
    MOST_ROUNDS = 6,
    MOST_OPTIONS = 256, /* candidates */
    NEIGHBOURS = 2,     /* options to each side that a correction looks at */
    N_CURVE = 48,
    RULE_TEXT = 3       /* bytes of "; NAME=FORMAT" in the file's own record besides name and format */
};

typedef struct allocator {
    const lp_model *model;
    const lp_allocate_options *o;
    const lp_progress *progress;
    lp_candidates candidates;
    lp_harness *harness;
    lp_sensitivity *table;
    const lp_tensor **tensor;   /* [n_classes][most options]: the tensor of each option */
    int most_options;
    int64_t *order;             /* [n_classes] classes in the order of the forward */
    lp_choice *choice;          /* [n_classes][most options] */
    lp_choice_class *class_list;
    int64_t overhead;           /* bytes of a file beyond the costs of its classes */
    int *now;                   /* [n_classes] what the harness is set to; -1: the model's own */
    const lp_packing *base;
    lp_tensor_rule *rules;
    int n_rules;
} allocator;

static const lp_tensor **tensor_at(const allocator *a, int64_t i, int j) { return &a->tensor[i * a->most_options + j]; }

/* ---- classes ------------------------------------------------------------------------------------------------------- */

static bool has_rule(const allocator *a, const char *name)
{
    for (int r = 0; r < a->o->quantize.n_rules; r++)
        if (lp_glob_match(a->o->quantize.rules[r].glob, name)) return true;
    return false;
}

/* Matrices that the forward reads and no rule of the caller has settled. */
static bool has_choice(const allocator *a, const lp_tensor *t)
{
    bool vector = t->dim[1] == 1 && t->dim[2] == 1 && t->dim[3] == 1;
    return !vector && t->packing->can_decode && lp_tensor_rows(t) > 0 && !has_rule(a, t->name) && lp_harness_order(a->harness, t->name) >= 0;
}

static int compare_order(const void *x, const void *y, void *context)
{
    const allocator *a = context;
    int64_t i = *(const int64_t *)x, k = *(const int64_t *)y;
    int32_t p = lp_harness_order(a->harness, a->table->class_list[i].name), q = lp_harness_order(a->harness, a->table->class_list[k].name);
    if (p != q) return p < q ? -1 : 1;
    return i < k ? -1 : 1;
}

static lp_status list_classes(allocator *a)
{
    const lp_gguf *gguf = lp_model_gguf(a->model);
    int64_t n = 0, n_tensors = lp_gguf_tensor_count(gguf);
    for (int64_t i = 0; i < n_tensors; i++) n += has_choice(a, lp_gguf_tensor_at(gguf, i));
    if (n == 0) return lp_fail(LP_USAGE, "%s: no matrix is left to choose a format for", lp_gguf_path(gguf));
    a->most_options = a->candidates.n;
    if (a->most_options > MOST_OPTIONS) return lp_fail(LP_USAGE, "%d candidate formats: at most %d", a->most_options, MOST_OPTIONS);
    LP_TRY(lp_sensitivity_create(n, &a->table));
    size_t cells = (size_t)n * (size_t)a->most_options;
    a->tensor = calloc(cells, sizeof *a->tensor);
    a->choice = calloc(cells, sizeof *a->choice);
    a->class_list = calloc((size_t)n, sizeof *a->class_list);
    a->order = calloc((size_t)n, sizeof *a->order);
    a->now = calloc((size_t)n, sizeof *a->now);
    if (!a->tensor || !a->choice || !a->class_list || !a->order || !a->now) return lp_fail_memory(cells * 64, "the allocation");
    n = 0;
    for (int64_t t = 0; t < n_tensors; t++) {
        const lp_tensor *tensor = lp_gguf_tensor_at(gguf, t);
        if (!has_choice(a, tensor)) continue;
        LP_TRY(lp_sensitivity_set_class(a->table, n, tensor->name, strlen(tensor->name), a->most_options));
        lp_tensor_class *c = &a->table->class_list[n];
        c->n_values = lp_tensor_values(tensor);
        c->n_rows = lp_tensor_rows(tensor);
        c->n_columns = tensor->dim[0];
        for (int k = 0; k < a->candidates.n; k++) {
            const lp_tensor *option = lp_gguf_find_tensor(a->candidates.list[k].file, tensor->name);
            if (!option) return lp_fail(LP_INPUT, "%s: a candidate lacks this tensor", tensor->name);
            if (lp_sensitivity_find_option(c, option->packing->name) >= 0) continue; /* a fallback that is there already */
            *tensor_at(a, n, c->n_options) = option;
            LP_TRY(lp_sensitivity_add_option(a->table, n, option->packing->name, strlen(option->packing->name), option->n_bytes));
        }
        a->now[n] = -1;
        a->order[n] = n;
        n++;
    }
    qsort_r(a->order, (size_t)n, sizeof *a->order, compare_order, a);
    return LP_OK;
}

/* ---- sensitivities ------------------------------------------------------------------------------------------------- */

static void hash_text(const char *text, size_t n, char hex[65])
{
    lp_sha256 hash;
    lp_sha256_begin(&hash);
    lp_sha256_add(&hash, text, n);
    lp_sha256_end(&hash, hex);
}

static void hash_model(const lp_gguf *gguf, char hex[65])
{
    lp_sha256 hash;
    lp_sha256_begin(&hash);
    for (uint64_t at = 0, n; at < gguf->n_bytes; at += n) {
        n = 4 << 20;
        const uint8_t *bytes = lp_gguf_bytes(gguf, at, &n);
        lp_sha256_add(&hash, bytes, (size_t)n);
    }
    lp_sha256_end(&hash, hex);
}

static void set_provenance(allocator *a, const char *text, size_t n_text)
{
    lp_sensitivity *t = a->table;
    const lp_quantize_options *q = &a->o->quantize;
    hash_model(lp_model_gguf(a->model), t->model_sha256);
    hash_text(text, n_text, t->text_sha256);
    if (q->stats) strncpy(t->stats_sha256, lp_stats_sha256(q->stats), sizeof t->stats_sha256 - 1);
    lp_recipe recipe;
    const char *text_of_recipe = a->o->sensitivity_recipe ? a->o->sensitivity_recipe : q->recipe;
    if (text_of_recipe && lp_recipe_parse(text_of_recipe, &recipe) == LP_OK) lp_recipe_print(&recipe, t->recipe, sizeof t->recipe);
    else strncpy(t->recipe, q->search == LP_SEARCH_RTN ? "rtn" : "reference", sizeof t->recipe - 1);
    t->n_context = lp_harness_context(a->harness);
    t->n_windows = lp_harness_windows(a->harness);
    t->n_predictions = lp_harness_predictions(a->harness);
}

static void report(const allocator *a, const char *what, double done, double total)
{
    if (a->progress && a->progress->report) a->progress->report(a->progress->context, what, done, total);
}

/* Puts the harness to a choice; j < 0: the model's own. */
static lp_status set_option(allocator *a, int64_t i, int j)
{
    if (a->now[i] == j) return LP_OK;
    a->now[i] = j;
    return lp_harness_set(a->harness, a->table->class_list[i].name, j < 0 ? NULL : *tensor_at(a, i, j));
}

static lp_status evaluate(allocator *a, const int *choice, lp_swap_metrics *metrics)
{
    for (int64_t i = 0; i < a->table->n_classes; i++) LP_TRY(set_option(a, i, choice ? choice[i] : -1));
    return lp_harness_evaluate(a->harness, a->progress, metrics);
}

/* How a pass measures an option of a class. */
typedef enum depth { SKIP, LOCAL, WHOLE } depth;
typedef depth (*depth_fn)(const allocator *a, int64_t i, int j, const void *context);
typedef lp_status (*found_fn)(allocator *a, int64_t i, int j, depth d, const lp_swap_metrics *metrics, void *context);

/* One pass along the network: every wanted option alone, in the base that the harness is set to. */
static lp_status measure(allocator *a, const char *what, depth_fn wanted, found_fn found, void *context)
{
    int64_t n = 0, done = 0;
    for (int64_t i = 0; i < a->table->n_classes; i++)
        for (int j = 0; j < a->table->class_list[i].n_options; j++) n += wanted(a, i, j, context) == WHOLE;
    LP_TRY(lp_harness_begin(a->harness));
    for (int64_t k = 0; k < a->table->n_classes; k++) {
        int64_t i = a->order[k];
        const lp_tensor_class *c = &a->table->class_list[i];
        for (int j = 0; j < c->n_options; j++) {
            depth d = wanted(a, i, j, context);
            if (d == SKIP) continue;
            report(a, what, (double)done, (double)n);
            done += d == WHOLE;
            lp_swap_metrics m;
            const lp_tensor *base = a->now[i] < 0 ? NULL : *tensor_at(a, i, a->now[i]), *option = *tensor_at(a, i, j);
            LP_TRY(lp_harness_start(a->harness, c->name, a->progress));
            LP_TRY((d == WHOLE ? lp_harness_swap : lp_harness_swap_local)(a->harness, c->name, option, base, &m));
            LP_TRY(found(a, i, j, d, &m, context));
        }
    }
    return LP_OK;
}

/* Options in ascending order of size; equal ones in the order of the list. order: [n_options]. */
static void sort_options(const lp_tensor_class *c, int *order)
{
    for (int j = 0; j < c->n_options; j++) {
        int at = j;
        for (; at > 0 && c->option[order[at - 1]].n_bytes > c->option[j].n_bytes; at--) order[at] = order[at - 1];
        order[at] = j;
    }
}

/* Anchors lie in the middles of equal parts of the options by size. A table that was read may have enough of them elsewhere. */
static bool is_anchor(const allocator *a, const lp_tensor_class *c, int j)
{
    int order[MOST_OPTIONS], n = c->n_options, n_anchors = a->o->n_anchors, n_measured = 0;
    if (n_anchors < 1 || n_anchors >= n) return true;
    for (int k = 0; k < n; k++) n_measured += c->option[k].measured;
    if (n_measured >= n_anchors) return false;
    sort_options(c, order);
    for (int k = 0; k < n_anchors; k++)
        if (order[(2 * k + 1) * n / (2 * n_anchors)] == j) return true;
    return false;
}

static depth missing(const allocator *a, int64_t i, int j, const void *context)
{
    const lp_tensor_class *c = &a->table->class_list[i];
    (void)context;
    if (c->n_options == 1 || c->option[j].measured) return SKIP;
    return is_anchor(a, c, j) ? WHOLE : c->option[j].local ? SKIP : LOCAL;
}

/* What is measured is kept at once: an interrupted run goes on where it stood. */
static lp_status keep_in_table(allocator *a, int64_t i, int j, depth d, const lp_swap_metrics *metrics, void *context)
{
    lp_tensor_class *c = &a->table->class_list[i];
    (void)context;
    c->option[j].metrics = *metrics;
    c->option[j].measured = d == WHOLE;
    c->option[j].local = true;
    return a->o->table && j + 1 == c->n_options ? lp_sensitivity_write(a->table, a->o->table) : LP_OK;
}

/* KL of an option that was not measured through the network. For small changes it is proportional to the squared error of the
 * layer's output; between two measured options ln KL is linear in the logarithm of that error. */
static double estimate(const lp_tensor_class *c, int j)
{
    double e = c->option[j].metrics.local_error, below_e = 0, below = 0, above_e = INFINITY, above = 0;
    if (!(e > 0)) return 0;
    for (int k = 0; k < c->n_options; k++) {
        const lp_swap_metrics *m = &c->option[k].metrics;
        if (!c->option[k].measured || !(m->local_error > 0) || !(m->kl > 0)) continue;
        if (m->local_error <= e && m->local_error > below_e) {
            below_e = m->local_error;
            below = m->kl;
        }
        if (m->local_error >= e && m->local_error < above_e) {
            above_e = m->local_error;
            above = m->kl;
        }
    }
    if (below > 0 && above > 0 && above_e > below_e) {
        double t = lp_log(e / below_e) / lp_log(above_e / below_e);
        return lp_exp(lp_log(below) + t * (lp_log(above) - lp_log(below)));
    }
    if (below > 0) return below * (e / below_e);
    return above > 0 ? above * (e / above_e) : 0;
}

static void estimate_others(allocator *a)
{
    for (int64_t i = 0; i < a->table->n_classes; i++) {
        lp_tensor_class *c = &a->table->class_list[i];
        for (int j = 0; j < c->n_options; j++)
            if (!c->option[j].measured) c->option[j].metrics.kl = estimate(c, j);
    }
}

static bool exists(const char *path)
{
    FILE *f = fopen(path, "re");
    if (f) fclose(f);
    return f != NULL;
}

static lp_status fill_table(allocator *a, const char *text, size_t n_text)
{
    set_provenance(a, text, n_text);
    if (a->o->table && exists(a->o->table)) {
        lp_sensitivity *old;
        LP_TRY(lp_sensitivity_read(a->o->table, &old));
        lp_status status = lp_sensitivity_adopt(a->table, old, a->o->table);
        lp_sensitivity_free(old);
        LP_TRY(status);
    }
    LP_TRY(measure(a, "sensitivities", missing, keep_in_table, NULL));
    estimate_others(a);
    return LP_OK;
}

/* ---- times --------------------------------------------------------------------------------------------------------- */

/* A product of the same shape and format that was timed before. */
static double known_time(const allocator *a, int64_t i, int j)
{
    const lp_tensor_class *c = &a->table->class_list[i];
    for (int64_t k = 0; k < i; k++) {
        const lp_tensor_class *o = &a->table->class_list[k];
        int found = o->n_rows == c->n_rows && o->n_columns == c->n_columns ? lp_sensitivity_find_option(o, c->option[j].format) : -1;
        if (found < 0 || !(o->option[found].ns > 0)) continue;
        return o->option[found].ns * (double)c->n_rows / (double)lp_harness_product_rows(a->harness, o->name);
    }
    return 0;
}

/* Times of all options for one token. Each shape and format is timed once. */
static lp_status fill_times(allocator *a)
{
    for (int64_t i = 0; i < a->table->n_classes; i++) {
        lp_tensor_class *c = &a->table->class_list[i];
        int64_t rows = lp_harness_product_rows(a->harness, c->name);
        report(a, "times", (double)i, (double)a->table->n_classes);
        for (int j = 0; j < c->n_options && rows > 0; j++) {
            double whole = known_time(a, i, j);
            if (!(whole > 0)) LP_TRY(lp_cost_measure(*tensor_at(a, i, j), a->o->n_bytes, a->o->quantize.pool, &whole));
            c->option[j].ns = rows == c->n_rows ? whole : whole * (double)rows / (double)c->n_rows;
        }
    }
    return LP_OK;
}

static double milliseconds_of(const allocator *a, const int *choice)
{
    double ns = 0;
    for (int64_t i = 0; i < a->table->n_classes; i++) ns += a->table->class_list[i].option[choice[i]].ns;
    return ns * 1e-6;
}

/* The fastest that the candidates allow. */
static lp_status check_time(allocator *a)
{
    double least = 0;
    for (int64_t i = 0; i < a->table->n_classes; i++) {
        const lp_tensor_class *c = &a->table->class_list[i];
        double fastest = INFINITY;
        for (int j = 0; j < c->n_options; j++)
            if (c->option[j].ns < fastest) fastest = c->option[j].ns;
        least += ceil(fastest);
    }
    if (least <= floor(a->o->milliseconds * 1e6)) return LP_OK;
    return lp_fail(LP_USAGE, "%s: %.4g ms for the products of one token are asked for; on this machine these formats take at least %.4g ms",
                   lp_gguf_path(lp_model_gguf(a->model)), a->o->milliseconds, least * 1e-6);
}

/* ---- sizes --------------------------------------------------------------------------------------------------------- */

static int64_t alignment_of(const lp_gguf *gguf)
{
    int64_t n = LP_GGUF_ALIGNMENT;
    if (lp_gguf_get_i64(gguf, "general.alignment", true, &n) != LP_OK || n < 1) return LP_GGUF_ALIGNMENT;
    return n;
}

/* Rules for a choice, behind the caller's own. */
static void set_rules(allocator *a, const int *choice)
{
    const lp_quantize_options *q = &a->o->quantize;
    a->n_rules = q->n_rules;
    for (int64_t i = 0; i < a->table->n_classes; i++)
        a->rules[a->n_rules++] = (lp_tensor_rule){a->table->class_list[i].name,
                                                 lp_candidates_packing(&a->candidates, (*tensor_at(a, i, choice[i]))->packing)};
}

static lp_status file_size(allocator *a, const int *choice, uint64_t *n_bytes)
{
    lp_quantize_options q = a->o->quantize;
    lp_quantize_result result;
    set_rules(a, choice);
    q.packing = a->base;
    q.mixture = NULL;
    q.rules = a->rules;
    q.n_rules = a->n_rules;
    q.dry_run = true;
    LP_TRY(lp_quantize(lp_model_gguf(a->model), "", &q, NULL, &result));
    *n_bytes = result.n_bytes;
    lp_quantize_result_free(&result);
    return LP_OK;
}

static int64_t cost_of(const allocator *a, const int *choice)
{
    int64_t n = 0;
    for (int64_t i = 0; i < a->table->n_classes; i++) n += a->choice[i * a->most_options + choice[i]].cost[0];
    return n;
}

/* What a format of our own takes in the metadata: the tensor's key, less the dimensions that its directory entry then lacks. */
static int64_t key_bytes(const lp_tensor *t)
{
    char shape[96];
    int n = 0;
    if (!t->packing->format) return 0;
    for (int d = 0; d < t->n_dims; d++) n += snprintf(shape + n, sizeof shape - (size_t)n, "%s%" PRId64, d ? "x" : "", t->dim[d]);
    return (int64_t)(strlen("lowp.tensor.") + strlen(t->name) + strlen(t->packing->text)) + 8 + 4 + 8 + n + 1 - 8 * (t->n_dims - 1);
}

/* The costs of classes are exact: padded bytes and the rule's text. What all files have in common is found from one of them;
 * the padding before the tensors may differ. */
static lp_status set_costs(allocator *a, int *some_choice)
{
    const lp_gguf *gguf = lp_model_gguf(a->model);
    uint64_t alignment = (uint64_t)alignment_of(gguf), n_bytes;
    for (int64_t i = 0; i < a->table->n_classes; i++) {
        const lp_tensor_class *c = &a->table->class_list[i];
        a->class_list[i] = (lp_choice_class){a->choice + i * a->most_options, c->n_options};
        for (int j = 0; j < c->n_options; j++) {
            uint64_t padded = 0;
            if (!lp_align_u64(c->option[j].n_bytes, alignment, &padded)) return lp_fail(LP_RESOURCE, "%s: its size overflows", c->name);
            lp_choice *choice = &a->choice[i * a->most_options + j];
            choice->loss = c->option[j].metrics.kl;
            choice->cost[0] = (int64_t)padded + (int64_t)(strlen(c->name) + strlen(c->option[j].format)) + RULE_TEXT +
                              key_bytes(*tensor_at(a, i, j));
            choice->cost[1] = (int64_t)ceil(c->option[j].ns);
        }
    }
    /* Formats of our own make the file say so: once with such, where there are any, once without. */
    a->overhead = 0;
    for (int own = 0; own < 2; own++) {
        for (int64_t i = 0; i < a->table->n_classes; i++) {
            some_choice[i] = 0;
            for (int j = 0; j < a->table->class_list[i].n_options; j++)
                if (((*tensor_at(a, i, j))->packing->format != NULL) == (own != 0)) some_choice[i] = j;
        }
        LP_TRY(file_size(a, some_choice, &n_bytes));
        int64_t overhead = (int64_t)n_bytes - cost_of(a, some_choice) + (int64_t)alignment - 1;
        if (overhead > a->overhead) a->overhead = overhead;
    }
    return LP_OK;
}

/* ---- solving ------------------------------------------------------------------------------------------------------- */

static lp_status solve(allocator *a, int64_t n_bytes, lp_knapsack_result *result)
{
    lp_knapsack k = {.class_list = a->class_list, .n_classes = a->table->n_classes, .n_budgets = 1, .budget = {n_bytes - a->overhead}};
    if (a->o->milliseconds > 0) {
        k.n_budgets = 2;
        k.budget[1] = (int64_t)floor(a->o->milliseconds * 1e6);
    }
    return lp_knapsack_solve(&k, result);
}

/* The smallest file that the candidates allow. */
static lp_status check_budget(allocator *a, int *choice)
{
    uint64_t n_bytes;
    for (int64_t i = 0; i < a->table->n_classes; i++) {
        choice[i] = 0;
        for (int j = 1; j < a->table->class_list[i].n_options; j++)
            if (a->class_list[i].choice[j].cost[0] < a->class_list[i].choice[choice[i]].cost[0]) choice[i] = j;
    }
    if (cost_of(a, choice) + a->overhead <= (int64_t)a->o->n_bytes) return LP_OK;
    LP_TRY(file_size(a, choice, &n_bytes));
    lp_fail(LP_USAGE, "%s: a file of %" PRIu64 " bytes is asked for, the smallest that these formats give has %" PRIu64 " bytes (%.3f "
            "bits per weight)", lp_gguf_path(lp_model_gguf(a->model)), a->o->n_bytes, n_bytes,
            8.0 * (double)n_bytes / (double)lp_model_get_info(a->model)->n_parameters);
    return lp_hint(LP_USAGE, "formats of fewer bits need importance: make statistics with 'lowp calibrate' and pass them with --stats");
}

static double predicted(const allocator *a, const int *choice)
{
    double sum = 0;
    for (int64_t i = 0; i < a->table->n_classes; i++) sum += a->table->class_list[i].option[choice[i]].metrics.kl;
    return sum;
}

/* ---- single formats ------------------------------------------------------------------------------------------------ */

/* The option that candidate k's file has for a class. */
static int option_of(const allocator *a, int64_t i, int k)
{
    const lp_tensor_class *c = &a->table->class_list[i];
    return lp_sensitivity_find_option(c, lp_gguf_find_tensor(a->candidates.list[k].file, c->name)->packing->name);
}

static int smaller_first(const void *x, const void *y)
{
    const lp_single *a = x, *b = y;
    if (a->n_bytes != b->n_bytes) return a->n_bytes < b->n_bytes ? -1 : 1;
    return strcmp(a->format, b->format);
}

/* Measures every single-format file; best: the choice of the best that fits (its KL in *kl, INFINITY: none). */
static lp_status measure_singles(allocator *a, lp_allocation *r, int *best, double *kl)
{
    int64_t n = a->table->n_classes;
    int *choice = calloc((size_t)n, sizeof *choice);
    r->singles = calloc((size_t)a->candidates.n, sizeof *r->singles);
    lp_status status = choice && r->singles ? LP_OK : lp_fail_memory((size_t)n * sizeof *choice, "choices");
    *kl = INFINITY;
    for (int k = 0; k < a->candidates.n && status == LP_OK; k++) {
        lp_single *s = &r->singles[k];
        report(a, "single formats", k, a->candidates.n);
        for (int64_t i = 0; i < n; i++) choice[i] = option_of(a, i, k);
        *s = (lp_single){.format = a->candidates.list[k].packing->name, .n_bytes = a->candidates.list[k].n_bytes};
        status = evaluate(a, choice, &s->metrics);
        if (status != LP_OK) break;
        r->n_singles++;
        bool fits = cost_of(a, choice) + a->overhead <= (int64_t)a->o->n_bytes && s->n_bytes <= a->o->n_bytes &&
                    (a->o->milliseconds <= 0 || milliseconds_of(a, choice) <= a->o->milliseconds);
        if (!fits || s->metrics.kl >= *kl) continue;
        *kl = s->metrics.kl;
        memcpy(best, choice, (size_t)n * sizeof *best);
    }
    free(choice);
    if (status == LP_OK) qsort(r->singles, (size_t)r->n_singles, sizeof *r->singles, smaller_first);
    return status;
}

/* ---- corrections --------------------------------------------------------------------------------------------------- */

typedef struct correction {
    const int *choice;  /* the solution around which is measured */
    double *kl;         /* [n_classes][most options]; NAN: not measured */
} correction;

/* Options of a class that are larger than option j and no larger than option `at`, or the other way round: how many steps of
 * size lie between them. */
static int steps_between(const lp_tensor_class *c, int at, int j)
{
    uint64_t low = c->option[at].n_bytes, high = c->option[j].n_bytes;
    int n = 0;
    if (low > high) {
        uint64_t t = low;
        low = high;
        high = t;
    }
    for (int k = 0; k < c->n_options; k++) {
        if (k == at || c->option[k].n_bytes < low || c->option[k].n_bytes > high) continue;
        bool dominated = false; /* by the single losses: such options are no step */
        for (int d = 0; d < c->n_options && !dominated; d++)
            dominated = d != k && c->option[d].n_bytes <= c->option[k].n_bytes && c->option[d].metrics.kl < c->option[k].metrics.kl;
        n += !dominated || k == j;
    }
    return n;
}

static depth neighbour(const allocator *a, int64_t i, int j, const void *context)
{
    const correction *x = context;
    bool near = j != x->choice[i] && steps_between(&a->table->class_list[i], x->choice[i], j) <= NEIGHBOURS;
    return near ? WHOLE : SKIP;
}

static lp_status keep_neighbour(allocator *a, int64_t i, int j, depth d, const lp_swap_metrics *metrics, void *context)
{
    const correction *x = context;
    (void)d;
    x->kl[i * a->most_options + j] = metrics->kl;
    return LP_OK;
}

/* Solves with the losses that were measured around the solution; options that were not are out. share: how far the losses
 * move from the table's to the measured ones. */
static lp_status solve_around(allocator *a, const correction *x, double kl, lp_knapsack_result *result)
{
    int64_t n = a->table->n_classes;
    lp_choice *kept = malloc((size_t)n * (size_t)a->most_options * sizeof *kept);
    if (!kept) return lp_fail_memory((size_t)n * sizeof *kept, "choices");
    memcpy(kept, a->choice, (size_t)n * (size_t)a->most_options * sizeof *kept);
    for (int64_t i = 0; i < n; i++)
        for (int j = 0; j < a->most_options; j++) {
            double v = x->kl[i * a->most_options + j];
            lp_choice *c = &a->choice[i * a->most_options + j];
            if (j == x->choice[i]) c->loss = 0;
            else if (isnan(v)) c->cost[0] = (int64_t)1 << 40;
            else c->loss = v - kl;
        }
    lp_status status = solve(a, (int64_t)a->o->n_bytes, result);
    memcpy(a->choice, kept, (size_t)n * (size_t)a->most_options * sizeof *kept);
    free(kept);
    return status;
}

/* Measures around the solution, solves again, and keeps the new one if it is better as a whole: until it is not. */
static lp_status correct(allocator *a, int *choice, lp_allocation *r)
{
    int64_t n = a->table->n_classes;
    size_t cells = (size_t)n * (size_t)a->most_options;
    int most = a->o->n_rounds < 0 ? MOST_ROUNDS : a->o->n_rounds;
    correction x = {choice, malloc(cells * sizeof(double))};
    lp_status status = x.kl ? LP_OK : lp_fail_memory(cells * sizeof(double), "losses");
    for (int round = 0; round < most && status == LP_OK; round++) {
        lp_knapsack_result s = {0};
        lp_swap_metrics m;
        for (size_t k = 0; k < cells; k++) x.kl[k] = NAN;
        for (int64_t i = 0; i < n && status == LP_OK; i++) status = set_option(a, i, choice[i]);
        if (status == LP_OK) status = measure(a, "corrections", neighbour, keep_neighbour, &x);
        if (status == LP_OK) status = solve_around(a, &x, r->joint.kl, &s);
        if (status == LP_OK) status = evaluate(a, s.choice, &m);
        bool better = status == LP_OK && m.kl < r->joint.kl;
        if (better) {
            r->objective = r->joint.kl + s.objective;
            r->lower_bound = r->joint.kl + s.lower_bound;
            r->relaxation = r->joint.kl + s.relaxation;
            r->optimal = s.optimal;
            r->joint = m;
            r->n_rounds++;
            memcpy(choice, s.choice, (size_t)n * sizeof *choice);
        }
        lp_knapsack_result_free(&s);
        if (!better) break;
    }
    free(x.kl);
    return status;
}

/* ---- the whole ----------------------------------------------------------------------------------------------------- */

/* What the additive model promises at other sizes. */
static lp_status draw_curve(allocator *a, lp_allocation *r)
{
    int64_t least = a->overhead, most = a->overhead;
    for (int64_t i = 0; i < a->table->n_classes; i++) {
        int64_t low = INT64_MAX, high = 0;
        for (int j = 0; j < a->class_list[i].n_choices; j++) {
            int64_t c = a->class_list[i].choice[j].cost[0];
            if (c < low) low = c;
            if (c > high) high = c;
        }
        least += low;
        most += high;
    }
    r->curve = calloc(N_CURVE + 1, sizeof *r->curve);
    if (!r->curve) return lp_fail_memory(N_CURVE * sizeof *r->curve, "the curve");
    for (int p = 0; p <= N_CURVE; p++) {
        lp_knapsack k = {.class_list = a->class_list, .n_classes = a->table->n_classes, .n_budgets = 1, .most_states = 1024};
        lp_knapsack_result s;
        k.budget[0] = least - a->overhead + (most - least) / N_CURVE * p;
        LP_TRY(lp_knapsack_solve(&k, &s));
        r->curve[r->n_curve++] = (lp_curve_point){(uint64_t)(s.cost[0] + a->overhead), s.objective};
        lp_knapsack_result_free(&s);
    }
    return LP_OK;
}

static lp_status allocate(allocator *a, const char *text, size_t n_text, int *choice, int *single, lp_allocation *r)
{
    int64_t n = a->table->n_classes;
    double single_kl;
    lp_knapsack_result s;
    LP_TRY(set_costs(a, choice));
    LP_TRY(check_budget(a, choice)); /* before hours of measuring */
    if (a->o->milliseconds > 0) {
        LP_TRY(fill_times(a));
        LP_TRY(check_time(a));
    }
    LP_TRY(fill_table(a, text, n_text));
    LP_TRY(set_costs(a, choice));
    LP_TRY(solve(a, (int64_t)a->o->n_bytes, &s));
    memcpy(choice, s.choice, (size_t)n * sizeof *choice);
    r->objective = s.objective;
    r->lower_bound = s.lower_bound;
    r->relaxation = s.relaxation;
    r->optimal = s.optimal;
    lp_knapsack_result_free(&s);
    LP_TRY(evaluate(a, choice, &r->joint));
    r->first = r->joint;
    LP_TRY(measure_singles(a, r, single, &single_kl));
    if (single_kl < r->joint.kl) {
        memcpy(choice, single, (size_t)n * sizeof *choice);
        LP_TRY(evaluate(a, choice, &r->joint));
    }
    LP_TRY(correct(a, choice, r));
    LP_TRY(draw_curve(a, r));
    r->predicted = predicted(a, choice);
    LP_TRY(file_size(a, choice, &r->n_bytes));
    r->milliseconds = milliseconds_of(a, choice);
    int64_t run, whole;
    lp_harness_work(a->harness, &run, &whole);
    r->work = whole ? (double)run / (double)whole : 0;
    return LP_OK;
}

static lp_status begin(allocator *a, const char *text, size_t n_text)
{
    LP_TRY(lp_harness_open(a->model, text, n_text, &a->o->sensitivity, a->progress, &a->harness));
    LP_TRY(lp_candidates_make(a->model, a->o, a->progress, &a->candidates));
    a->base = a->candidates.list[lp_candidates_base(&a->candidates, a->o->n_bytes)].packing;
    LP_TRY(list_classes(a));
    a->rules = calloc((size_t)(a->table->n_classes + a->o->quantize.n_rules) + 1, sizeof *a->rules);
    if (!a->rules) return lp_fail_memory((size_t)a->table->n_classes * sizeof *a->rules, "rules");
    if (a->o->quantize.n_rules) memcpy(a->rules, a->o->quantize.rules, (size_t)a->o->quantize.n_rules * sizeof *a->rules);
    return LP_OK;
}

lp_status lp_allocate(const lp_model *model, const char *text, size_t n_text, const lp_allocate_options *options,
                      const lp_progress *progress, lp_allocation *result)
{
    double start = lp_seconds();
    memset(result, 0, sizeof *result);
    lp_allocate_options settled = *options;
    allocator a = {.model = model, .o = &settled, .progress = progress};
    lp_recipe recipe;
    LP_TRY(lp_recipe_parse(options->quantize.recipe, &recipe));
    if (options->quantize.recipe) settled.quantize.search = recipe.search;
    settled.quantize.model = model;
    settled.quantize.calibration = text;
    settled.quantize.n_calibration = n_text;
    lp_status status = begin(&a, text, n_text);
    int64_t n = status == LP_OK ? a.table->n_classes : 0;
    int *choice = calloc((size_t)n + 1, sizeof *choice), *single = calloc((size_t)n + 1, sizeof *single);
    if (status == LP_OK && (!choice || !single)) status = lp_fail_memory((size_t)n * 8, "choices");
    if (status == LP_OK) status = allocate(&a, text, n_text, choice, single, result);
    result->table = a.table;
    result->choice = choice;
    result->rules = a.rules;
    result->n_rules = a.n_rules;
    result->base = a.base;
    result->seconds = lp_seconds() - start;
    lp_harness_close(a.harness);
    result->packings = calloc((size_t)a.candidates.n + 1, sizeof *result->packings);
    if (!result->packings && status == LP_OK) status = lp_fail_memory((size_t)a.candidates.n * 8, "formats");
    for (int k = 0; k < a.candidates.n && result->packings; k++) {
        result->packings[result->n_packings++] = a.candidates.list[k].packing;
        a.candidates.list[k].packing = NULL;
    }
    lp_candidates_free(&a.candidates);
    free(single);
    free(a.tensor);
    free(a.order);
    free(a.choice);
    free(a.class_list);
    free(a.now);
    if (status != LP_OK) lp_allocation_free(result);
    return status;
}

void lp_allocation_free(lp_allocation *r)
{
    lp_sensitivity_free(r->table);
    free(r->choice);
    free(r->rules);
    free(r->singles);
    free(r->curve);
    for (int k = 0; k < r->n_packings; k++) lp_packing_free(r->packings[k]);
    free(r->packings);
    memset(r, 0, sizeof *r);
}
