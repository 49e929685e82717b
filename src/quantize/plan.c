/* What becomes of each tensor: rules, fallbacks, importance. */
#include "quantize/plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "quantize/encode.h"
#include "quantize/glob.h"
#include "quantize/mixture.h"
#include "quantize/recipe.h"

enum { FALLBACK_TEXT = 128 };

/* Where a row is no multiple of the block: the next larger type with blocks of 32, then F16. */
static const struct {
    const char *from, *to;
} fallbacks[] = {
    {"q2_k", "iq4_nl"}, {"q3_k", "iq4_nl"}, {"tq1_0", "iq4_nl"}, {"tq2_0", "iq4_nl"}, {"iq4_xs", "iq4_nl"},
    {"iq1_s", "iq4_nl"}, {"iq1_m", "iq4_nl"}, {"iq2_xxs", "iq4_nl"}, {"iq2_xs", "iq4_nl"}, {"iq2_s", "iq4_nl"},
    {"iq3_xxs", "iq4_nl"}, {"iq3_s", "iq4_nl"}, {"q2_0", "iq4_nl"}, {"q1_0", "iq4_nl"}, {"nvfp4", "mxfp4"},
    {"q4_k", "q5_0"},   {"q5_k", "q5_1"},   {"q6_k", "q8_0"},
};

static const lp_packing *fall_back(const lp_packing *wanted, int64_t k)
{
    for (size_t i = 0; i < sizeof fallbacks / sizeof fallbacks[0]; i++) {
        if (strcmp(fallbacks[i].from, wanted->name) != 0) continue;
        const lp_packing *next = lp_packing_by_name(fallbacks[i].to);
        if (k % next->n_values == 0) return next;
    }
    return lp_packing_by_name("f16");
}

/* ---- rules ------------------------------------------------------------------------------------------------------- */

static bool is_vector(const lp_tensor *tensor)
{
    return tensor->dim[1] == 1 && tensor->dim[2] == 1 && tensor->dim[3] == 1;
}

/* Integers and doubles are no weights that this program converts. */
static bool is_number_array(const lp_packing *packing)
{
    return !packing->can_decode && packing->n_values == 1;
}

/* Every rule must match a tensor that it can change. */
static lp_status check_rule(const lp_gguf *source, const lp_tensor_rule *rule)
{
    const lp_tensor *vector = NULL, *nearest = NULL;
    int least = 0;
    for (int64_t i = 0; i < lp_gguf_tensor_count(source); i++) {
        const lp_tensor *tensor = lp_gguf_tensor_at(source, i);
        if (lp_glob_match(rule->glob, tensor->name)) {
            if (!is_vector(tensor)) return LP_OK;
            if (!vector) vector = tensor;
        }
        int distance = lp_glob_distance(rule->glob, tensor->name);
        if (!nearest || distance < least) {
            nearest = tensor;
            least = distance;
        }
    }
    if (vector)
        return lp_fail(LP_USAGE, "%s: rule '%s' matches only one-dimensional tensors, which stay F32 (%s)",
                       lp_gguf_path(source), rule->glob, vector->name);
    lp_fail(LP_USAGE, "%s: rule '%s' matches no tensor", lp_gguf_path(source), rule->glob);
    return nearest ? lp_hint(LP_USAGE, "The nearest name is %s.", nearest->name) : LP_USAGE;
}

static lp_status check_rules(const lp_gguf *source, const lp_quantize_options *options)
{
    for (int i = 0; i < options->n_rules; i++) {
        const lp_tensor_rule *rule = &options->rules[i];
        if (!rule->packing->can_encode)
            return lp_fail(LP_USAGE, "%s: the format of rule '%s' cannot be encoded", rule->packing->name, rule->glob);
        LP_TRY(check_rule(source, rule));
    }
    return LP_OK;
}

static lp_status check_options(const lp_gguf *source, const lp_quantize_options *options)
{
    if (options->mixture) return check_rules(source, options);
    if (!options->packing) return lp_fail(LP_USAGE, "%s: no format was named", lp_gguf_path(source));
    if (!options->packing->can_encode)
        return lp_fail(LP_USAGE, "%s: this format cannot be encoded", options->packing->name);
    return check_rules(source, options);
}

/* Small matrices that decide much stay as they are, as in llama.cpp: routers of experts, and norms of single heads. */
static bool is_kept(const lp_tensor *tensor)
{
    static const char *const ends[] = {"ffn_gate_inp.weight", "_norm.weight"};
    size_t n = strlen(tensor->name);
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        if (n >= strlen(ends[i]) && strcmp(tensor->name + n - strlen(ends[i]), ends[i]) == 0) return tensor->packing->is_float;
    return false;
}

static const lp_packing *wanted_packing(const lp_gguf *source, const lp_quantize_options *options, const lp_tensor *tensor)
{
    if (is_number_array(tensor->packing)) return tensor->packing;
    if (is_vector(tensor)) return lp_packing_by_name("f32");
    for (int i = 0; i < options->n_rules; i++)
        if (lp_glob_match(options->rules[i].glob, tensor->name)) return options->rules[i].packing;
    if (is_kept(tensor)) return tensor->packing;
    return options->mixture ? lp_mixture_choose(options->mixture, source, tensor) : options->packing;
}

/* ---- importance -------------------------------------------------------------------------------------------------- */

static lp_status find_importance(const lp_gguf *source, const lp_quantize_options *options, const lp_packing *packing,
                                 lp_quantize_step *step)
{
    const lp_tensor *tensor = step->tensor;
    if (!options->stats || !lp_encode_uses_importance(packing, options->search)) return LP_OK;
    int64_t n = 0, k = tensor->dim[0], n_matrices = tensor->dim[2] * tensor->dim[3];
    const float *importance = lp_stats_mean_square(options->stats, tensor->name, &n);
    if (!importance) return LP_OK;
    int64_t n_all;
    step->per_matrix = n_matrices > 1 && lp_mul_i64(k, n_matrices, &n_all) && n == n_all;
    if (n != k && !step->per_matrix) {
        lp_fail(LP_INPUT, "%s: %s: the statistics have %" PRId64 " columns, the tensor %" PRId64, lp_gguf_path(source),
                tensor->name, n, k);
        return lp_hint(LP_INPUT, "Use statistics that were made with this model.");
    }
    step->importance = importance;
    return LP_OK;
}

/* ---- the plan ---------------------------------------------------------------------------------------------------- */

static lp_status plan_tensor(const lp_gguf *source, const lp_quantize_options *options, lp_quantize_step *step,
                             lp_quantize_row *row, char *fallback_text)
{
    const lp_tensor *tensor = step->tensor;
    row->n_dims = tensor->n_dims;
    memcpy(row->dim, tensor->dim, sizeof row->dim);
    row->source = tensor->packing;
    const lp_packing *wanted = wanted_packing(source, options, tensor);
    row->packing = wanted;
    if (tensor->dim[0] % wanted->n_values != 0) {
        row->packing = fall_back(wanted, tensor->dim[0]);
        snprintf(fallback_text, FALLBACK_TEXT, "rows of %" PRId64 " values are no multiple of a %s block (%d)", tensor->dim[0],
                 wanted->name, wanted->n_values);
        row->fallback = fallback_text;
    }
    step->copy = lp_packing_equal(row->packing, row->source);
    if (!step->copy && !row->source->can_decode) {
        lp_fail(LP_UNSUPPORTED, "%s: %s: values of type %s cannot be decoded", lp_gguf_path(source), tensor->name, row->source->name);
        return lp_hint(LP_UNSUPPORTED, "Quantize from the file in F16, BF16 or F32 that it was made from.");
    }
    if (!lp_packing_tensor_bytes(row->packing, tensor->dim[0], lp_tensor_rows(tensor), &row->n_bytes))
        return lp_fail(LP_RESOURCE, "%s: %s: its size overflows", lp_gguf_path(source), tensor->name);
    if (!step->copy) LP_TRY(find_importance(source, options, row->packing, step));
    bool calibrated = false; /* importance is measured on the way */
    LP_TRY(lp_recipe_check(options->recipe, &calibrated));
    row->method = step->copy ? "" : options->search == LP_SEARCH_RTN ? "rtn" : "reference";
    if (!step->copy && !step->importance && !calibrated && lp_encode_needs_importance(row->packing, options->search)) {
        lp_fail(LP_USAGE, "%s: %s: format %s needs importance, and there %s", lp_gguf_path(source), tensor->name, row->packing->name,
                options->stats ? "is none for this tensor in the statistics" : "are no statistics");
        return lp_hint(LP_USAGE, options->stats ? "Give this tensor another format: --tensor '%s=q4_k'."
                                                : "Make them with 'lowp calibrate' and pass them with --stats (first was %s).", tensor->name);
    }
    if (!step->copy && !lp_encode_has_search(row->packing, options->search))
        return lp_fail(LP_USAGE, "%s: %s: %s cannot be written by plain rounding: leave out --recipe rtn", lp_gguf_path(source),
                       tensor->name, row->packing->name);
    row->importance = step->importance != NULL;
    return LP_OK;
}

/* One block of memory for the rows and their texts, so that the rows alone are freed. */
static lp_status allocate_rows(const lp_gguf *source, lp_quantize_result *result, char **text)
{
    size_t n = (size_t)result->n_rows, n_rows_bytes, n_text, n_bytes;
    bool fits = lp_mul_size(n, sizeof(lp_quantize_row), &n_rows_bytes) && lp_mul_size(n, FALLBACK_TEXT, &n_text);
    for (size_t i = 0; fits && i < n; i++)
        fits = lp_add_size(n_text, strlen(lp_gguf_tensor_at(source, (int64_t)i)->name) + 1, &n_text);
    fits = fits && lp_add_size(n_rows_bytes, n_text, &n_bytes) && lp_add_size(n_bytes, 1, &n_bytes);
    result->rows = fits ? calloc(1, n_bytes) : NULL;
    if (!result->rows) return lp_fail_memory(fits ? n_bytes : SIZE_MAX, "the plan");
    *text = (char *)result->rows + n_rows_bytes;
    return LP_OK;
}

lp_status lp_quantize_plan(const lp_gguf *source, const lp_quantize_options *options, lp_quantize_result *result,
                           lp_quantize_step **steps)
{
    LP_TRY(check_options(source, options));
    char *text = NULL;
    result->n_rows = lp_gguf_tensor_count(source);
    LP_TRY(allocate_rows(source, result, &text));
    *steps = calloc((size_t)result->n_rows + 1, sizeof **steps);
    if (!*steps) return lp_fail_memory(((size_t)result->n_rows + 1) * sizeof **steps, "the plan");

    for (int64_t i = 0; i < result->n_rows; i++) {
        lp_quantize_step *step = &(*steps)[i];
        lp_quantize_row *row = &result->rows[i];
        step->tensor = lp_gguf_tensor_at(source, i);
        size_t n_name = strlen(step->tensor->name) + 1;
        memcpy(text, step->tensor->name, n_name);
        row->name = text;
        text += n_name;
        LP_TRY(plan_tensor(source, options, step, row, text));
        text += FALLBACK_TEXT;
        result->n_tensor_bytes += row->n_bytes;
        result->n_parameters += lp_tensor_values(step->tensor);
        if (!step->copy && !row->source->is_float) result->requantized = true;
    }
    return LP_OK;
}

char *lp_quantize_recipe(const lp_quantize_options *options)
{
    char *text = NULL;
    size_t n;
    FILE *out = open_memstream(&text, &n);
    if (!out) return NULL;
    char stages[512] = "reference";
    lp_recipe recipe;
    if (options->recipe && lp_recipe_parse(options->recipe, &recipe) == LP_OK) lp_recipe_print(&recipe, stages, sizeof stages);
    else if (options->search == LP_SEARCH_RTN) strcpy(stages, "rtn");
    fprintf(out, "%s %s", stages,
            options->mixture ? lp_mixture_name(options->mixture) : options->packing->name);
    for (int i = 0; i < options->n_rules; i++)
        fprintf(out, "; %s=%s", options->rules[i].glob, options->rules[i].packing->name);
    if (fclose(out) != 0) {
        free(text);
        return NULL;
    }
    return text;
}
