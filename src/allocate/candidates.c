/* The list of formats that are worth trying at a size, and the model in each of them. */
#include "allocate/candidates.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fail.h"
#include "quantize/encode.h"

/* The lists that stand for formats: what llama.cpp runs too, and planes of our own. The tables of 4, 8 and 32 values are those of
 * least squared error for blocks of trained weights whose scale may take either sign (docs/methods.md). narrow: only for models with
 * rows that are no multiple of 256, where the others fall back. */
#define TABLE_2 "{-127,-43,17,87}"
#define TABLE_3 "{-127,-82,-48,-20,4,27,54,90}"
#define TABLE_5 \
    "{-127,-119,-110,-101,-94,-87,-79,-72,-65,-58,-51,-44,-37,-30,-23,-16,-9,-2,5,11,18,25,32,39,46,53,60,67,75,82,91,101}"
#define BLOCKS_16 ":16:(i6:16:f16)"
#define BLOCKS_32 ":32:(i6:8:f16)"
static const struct {
    const char *list, *format;
    bool narrow;
} usual[] = {
    {LP_CANDIDATES_GGUF, "iq1_s", false},  {LP_CANDIDATES_GGUF, "iq2_xxs", false}, {LP_CANDIDATES_GGUF, "iq2_xs", false},
    {LP_CANDIDATES_GGUF, "iq2_s", false},  {LP_CANDIDATES_GGUF, "q2_k", false},    {LP_CANDIDATES_GGUF, "iq3_xxs", false},
    {LP_CANDIDATES_GGUF, "iq3_s", false},  {LP_CANDIDATES_GGUF, "q3_k", false},    {LP_CANDIDATES_GGUF, "iq4_xs", false},
    {LP_CANDIDATES_GGUF, "mxfp4", true},   {LP_CANDIDATES_GGUF, "iq4_nl", true},   {LP_CANDIDATES_GGUF, "q4_k", false},
    {LP_CANDIDATES_GGUF, "q4_1", true},    {LP_CANDIDATES_GGUF, "q5_0", true},     {LP_CANDIDATES_GGUF, "q5_k", false},
    {LP_CANDIDATES_GGUF, "q5_1", true},    {LP_CANDIDATES_GGUF, "q6_k", false},    {LP_CANDIDATES_GGUF, "q8_0", false},
    {LP_CANDIDATES_GGUF, "f16", false},
    {LP_CANDIDATES_OWN, TABLE_2 BLOCKS_32, false}, {LP_CANDIDATES_OWN, TABLE_2 BLOCKS_16, false},
    {LP_CANDIDATES_OWN, TABLE_3 BLOCKS_32, false}, {LP_CANDIDATES_OWN, TABLE_3 BLOCKS_16, false},
    {LP_CANDIDATES_OWN, "iq4nl" BLOCKS_32, false}, {LP_CANDIDATES_OWN, "iq4nl" BLOCKS_16, false},
    {LP_CANDIDATES_OWN, TABLE_5 BLOCKS_32, false}, {LP_CANDIDATES_OWN, TABLE_5 BLOCKS_16, false},
    {LP_CANDIDATES_OWN, "i6" BLOCKS_16, false},    {LP_CANDIDATES_OWN, "i7" BLOCKS_16, false},
    {LP_CANDIDATES_OWN, "q8_0", false},            {LP_CANDIDATES_OWN, "f16", false},
};
enum { N_USUAL = sizeof usual / sizeof usual[0] };

static bool is_list(const char *name)
{
    for (int i = 0; i < N_USUAL; i++)
        if (!strcmp(name, usual[i].list)) return true;
    return false;
}

/* Beyond these multiples of the budget's bits per weight no tensor of a good choice is found. */
static const double LEAST_BITS = 0.5, MOST_BITS = 2;

static bool has_narrow_rows(const lp_gguf *gguf)
{
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(gguf, i);
        if (t->n_dims > 1 && t->dim[0] % 256 != 0) return true;
    }
    return false;
}

/* Whether a calibrated recipe or statistics weigh the columns. */
static bool has_importance(const lp_allocate_options *o)
{
    bool calibrated = false;
    const char *recipe = o->sensitivity_recipe ? o->sensitivity_recipe : o->quantize.recipe;
    return o->quantize.stats || (recipe && lp_recipe_check(recipe, &calibrated) == LP_OK && calibrated);
}

/* A GGUF type by its name, or a format of our own by its text. */
static lp_status packing_of(const char *text, const lp_packing **out)
{
    lp_format *format;
    *out = lp_packing_by_name(text);
    if (!*out) {
        LP_TRY(lp_format_parse(text, &format));
        lp_status status = LP_OK;
        if (format->packing) *out = format->packing;
        else status = lp_packing_create(format, out);
        lp_format_free(format);
        LP_TRY(status);
    }
    if ((*out)->can_encode) return LP_OK;
    lp_packing_free(*out);
    return lp_fail(LP_USAGE, "%s: this format cannot be written", text);
}

/* Whether a format of a list is one to choose for this model and budget. */
static bool is_worth_trying(const lp_model *model, const lp_allocate_options *o, int i, const lp_packing *p)
{
    double bits = p->format ? lp_format_bits(p->format) : 8.0 * p->n_bytes / p->n_values;
    double budget = 8.0 * (double)o->n_bytes / (double)lp_model_get_info(model)->n_parameters;
    if (usual[i].narrow && !has_narrow_rows(lp_model_gguf(model))) return false;
    if (lp_encode_needs_importance(p, o->quantize.search) && !has_importance(o)) return false;
    if (!p->is_float && !lp_encode_has_search(p, o->quantize.search)) return false;
    return bits >= LEAST_BITS * budget && bits <= MOST_BITS * budget;
}

/* Takes over p. */
static void add_candidate(lp_candidates *c, const lp_packing *p)
{
    bool twice = false;
    for (int k = 0; k < c->n; k++) twice |= lp_packing_equal(c->list[k].packing, p);
    if (twice) lp_packing_free(p);
    else c->list[c->n++].packing = p;
}

static lp_status add_list(const lp_model *model, const lp_allocate_options *o, const char *name, lp_candidates *c)
{
    for (int i = 0; i < N_USUAL; i++) {
        if (strcmp(usual[i].list, name) != 0) continue;
        const lp_packing *p;
        LP_TRY(packing_of(usual[i].format, &p));
        if (is_worth_trying(model, o, i, p)) add_candidate(c, p);
        else lp_packing_free(p);
    }
    return LP_OK;
}

static lp_status list_formats(const lp_model *model, const lp_allocate_options *o, lp_candidates *c)
{
    static const char *const by_default[] = {LP_CANDIDATES_GGUF};
    const char *const *word = o->formats ? o->formats : by_default;
    const int n_words = o->formats ? o->n_formats : 1;
    size_t room = (size_t)n_words + N_USUAL;
    c->list = calloc(room, sizeof *c->list);
    if (!c->list) return lp_fail_memory(room * sizeof *c->list, "candidates");
    for (int i = 0; i < n_words; i++) {
        const lp_packing *p;
        if (is_list(word[i])) {
            LP_TRY(add_list(model, o, word[i], c));
            continue;
        }
        LP_TRY(packing_of(word[i], &p));
        add_candidate(c, p);
    }
    return c->n ? LP_OK : lp_fail(LP_USAGE, "no format comes near %llu bytes for this model", (unsigned long long)o->n_bytes);
}

/* "DIR/.NAME.lowp-candidate" for "DIR/NAME". To be freed. */
static char *scratch_path(const char *scratch)
{
    const char *slash = strrchr(scratch, '/'), *name = slash ? slash + 1 : scratch;
    char *path = NULL;
    if (asprintf(&path, "%.*s.%s.lowp-candidate", (int)(name - scratch), scratch, name) < 0) return NULL;
    return path;
}

/* Formats that cannot do without importance leave the tensors that have none to another format. */
static int add_rules_without_importance(const lp_model *model, const lp_allocate_options *o, const lp_packing *packing,
                                        lp_tensor_rule *rules)
{
    const lp_gguf *gguf = lp_model_gguf(model);
    int n = 0;
    if (!o->quantize.stats || !lp_encode_needs_importance(packing, o->quantize.search)) return 0;
    for (int64_t i = 0; i < lp_gguf_tensor_count(gguf); i++) {
        const lp_tensor *t = lp_gguf_tensor_at(gguf, i);
        int64_t n_columns;
        if (t->n_dims < 2 || lp_stats_mean_square(o->quantize.stats, t->name, &n_columns)) continue;
        rules[n++] = (lp_tensor_rule){t->name, lp_packing_by_name("q3_k")};
    }
    return n;
}

static lp_status make_candidate(const lp_model *model, const lp_allocate_options *o, const char *path,
                                const lp_progress *progress, lp_candidate *c)
{
    lp_quantize_options q = o->quantize;
    lp_quantize_result result;
    int64_t n_tensors = lp_gguf_tensor_count(lp_model_gguf(model));
    lp_tensor_rule *rules = calloc((size_t)(n_tensors + q.n_rules) + 1, sizeof *rules);
    if (!rules) return lp_fail_memory((size_t)n_tensors * sizeof *rules, "rules");
    if (q.n_rules) memcpy(rules, q.rules, (size_t)q.n_rules * sizeof *rules);
    q.n_rules += add_rules_without_importance(model, o, c->packing, rules + q.n_rules);
    q.rules = rules;
    q.packing = c->packing;
    q.mixture = NULL;
    if (o->sensitivity_recipe) q.recipe = o->sensitivity_recipe;
    q.force = true;
    q.dry_run = false;
    lp_status status = lp_quantize(lp_model_gguf(model), path, &q, progress, &result);
    free(rules);
    if (status == LP_OK) {
        c->n_bytes = result.n_bytes;
        lp_quantize_result_free(&result);
        status = lp_container_open(path, &c->file);
    }
    unlink(path); /* also after a failure behind the renaming */
    return status;
}

/* Says which candidate is being made, whatever the quantizer says. */
typedef struct step {
    const lp_progress *progress;
    int index, n;
} step;

static void report(void *context, const char *what, double done, double total)
{
    const step *s = context;
    (void)what;
    if (s->progress && s->progress->report)
        s->progress->report(s->progress->context, "candidates", s->index + (total > 0 ? done / total : 0), s->n);
}

static bool cancelled(void *context)
{
    const step *s = context;
    return s->progress && s->progress->cancelled && s->progress->cancelled(s->progress->context);
}

lp_status lp_candidates_make(const lp_model *model, const lp_allocate_options *options, const lp_progress *progress,
                             lp_candidates *out)
{
    memset(out, 0, sizeof *out);
    lp_status status = list_formats(model, options, out);
    char *path = scratch_path(options->scratch);
    if (!path && status == LP_OK) status = lp_fail_memory(strlen(options->scratch) + 32, "a path");
    for (int i = 0; i < out->n && status == LP_OK; i++) {
        step s = {progress, i, out->n};
        lp_progress inner = {report, cancelled, &s};
        status = make_candidate(model, options, path, &inner, &out->list[i]);
    }
    free(path);
    if (status != LP_OK) lp_candidates_free(out);
    return status;
}

void lp_candidates_free(lp_candidates *c)
{
    for (int i = 0; i < c->n; i++) {
        lp_gguf_close(c->list[i].file);
        lp_packing_free(c->list[i].packing);
    }
    free(c->list);
    memset(c, 0, sizeof *c);
}

const lp_packing *lp_candidates_packing(const lp_candidates *c, const lp_packing *packing)
{
    for (int i = 0; i < c->n; i++)
        if (lp_packing_equal(c->list[i].packing, packing)) return c->list[i].packing;
    return packing; /* a fallback: a row of the table of GGUF types */
}

int lp_candidates_base(const lp_candidates *c, uint64_t n_bytes)
{
    int best = 0;
    for (int i = 1; i < c->n; i++) {
        bool fits = c->list[i].n_bytes <= n_bytes, best_fits = c->list[best].n_bytes <= n_bytes;
        bool larger = c->list[i].n_bytes > c->list[best].n_bytes;
        if (fits ? !best_fits || larger : !best_fits && !larger) best = i;
    }
    return best;
}
