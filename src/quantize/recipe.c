/* Recipes as text: a table of stages and their parameters, and a table of methods. Cards: ptq/INDEX-ptq-a. */
#include "quantize/recipe.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/fail.h"

enum { MOST_TEXT = 512, UNSET = -1 };

/* ---- stages ------------------------------------------------------------------------------------------------------- */

typedef enum value_kind { VALUE_REAL, VALUE_WHOLE, VALUE_CHOICE } value_kind;

typedef enum stage_id { STAGE_REFERENCE, STAGE_RTN, STAGE_SMOOTH, STAGE_AWQ, STAGE_IMATRIX, STAGE_CLIP, STAGE_GPTQ, STAGE_DESCEND, STAGE_COUNT } stage_id;

typedef struct parameter {
    const char *name;
    value_kind kind;
    size_t offset;             /* in lp_recipe: double, int, or bool for a CHOICE of two */
    double least, most;
    const char *const *choice; /* NULL at the end */
} parameter;

static const char *const orders[] = {"natural", "act", NULL};
static const char *const groups[] = {"dynamic", "static", NULL};
static const char *const answers[] = {"no", "yes", NULL};
static const char *const prefixes[] = {"float", "layer", "group", NULL};

#define SOLVE(field) offsetof(lp_recipe, solve.field)

static const struct stage {
    const char *name;
    int phase;                 /* stages stand in ascending order */
    const char *note;
    parameter parameter[12];
} stages[] = {
    [STAGE_REFERENCE] = {"reference", 0, "the format's own search for scales (what quantize does without a recipe)", {{0}}},
    [STAGE_RTN] = {"rtn", 0, "plain rounding to nearest", {{0}}},
    [STAGE_SMOOTH] = {"smooth", 1,
                      "channels of activations divided, columns of weights multiplied by a^alpha / w^(1-alpha), a and w their largest "
                      "magnitudes; alpha=0.5, powers=no (yes: powers of two, which change no bit of the network)",
                      {{"alpha", VALUE_REAL, offsetof(lp_recipe, scale.alpha), 0, 1, NULL},
                       {"powers", VALUE_CHOICE, offsetof(lp_recipe, scale.powers), 0, 0, answers}}},
    [STAGE_AWQ] = {"awq", 1,
                   "the same with scales (mean |x|)^ratio, ratio by the error of each group of layers; grid=20 ratios from 0 on, powers=no",
                   {{"grid", VALUE_WHOLE, offsetof(lp_recipe, scale.grid), 2, 100, NULL},
                    {"powers", VALUE_CHOICE, offsetof(lp_recipe, scale.powers), 0, 0, answers}}},
    [STAGE_IMATRIX] = {"imatrix", 2,
                       "the reference search weighed by mean squares that are measured on the way; prefix=float (layer, group: on which "
                       "network)",
                       {{"prefix", VALUE_CHOICE, offsetof(lp_recipe, prefix), 0, 0, prefixes}}},
    [STAGE_CLIP] = {"clip", 2,
                    "scales of blocks by the error of the layer, channels taken one by one; reach=8 and reach_min=2 steps of scale and "
                    "offset each way, rounds=2, prefix=float",
                    {{"reach", VALUE_WHOLE, SOLVE(reach), 1, 64, NULL},
                     {"reach_min", VALUE_WHOLE, SOLVE(reach_b), 0, 64, NULL},
                     {"rounds", VALUE_WHOLE, SOLVE(rounds), 1, 16, NULL},
                     {"prefix", VALUE_CHOICE, offsetof(lp_recipe, prefix), 0, 0, prefixes}}},
    [STAGE_GPTQ] = {"gptq", 2,
                    "each column's rounding error goes to the columns behind it; damp=0.01, damp_tied=1 (for an embedding that is the "
                    "output head too), order=natural or act, groups=dynamic or static, prefix=layer (float, group: on which network its "
                    "inputs are measured; group with align), reach=0 and reach_min=0 steps of a search for scales with the error fed on, "
                    "rounds=1, align=0 (1: aim at what the float network's layer gives)",
                    {{"damp", VALUE_REAL, SOLVE(damp), 0, 10, NULL},
                     {"damp_tied", VALUE_REAL, offsetof(lp_recipe, damp_tied), 0, 1000, NULL},
                     {"order", VALUE_CHOICE, SOLVE(by_energy), 0, 0, orders},
                     {"groups", VALUE_CHOICE, SOLVE(fixed), 0, 0, groups},
                     {"prefix", VALUE_CHOICE, offsetof(lp_recipe, prefix), 0, 0, prefixes},
                     {"reach", VALUE_WHOLE, SOLVE(reach), 0, 64, NULL},
                     {"reach_min", VALUE_WHOLE, SOLVE(reach_b), 0, 64, NULL},
                     {"rounds", VALUE_WHOLE, SOLVE(rounds), 1, 16, NULL},
                     {"align", VALUE_REAL, SOLVE(align), 0, 1, NULL}}},
    [STAGE_DESCEND] = {"descend", 3, "codes and scales one by one to the best for the layer; passes=4, reach=1 (0: codes alone)",
                       {{"passes", VALUE_WHOLE, SOLVE(passes), 1, 100, NULL},
                        {"reach", VALUE_WHOLE, SOLVE(descent_reach), 0, 16, NULL}}},
};
_Static_assert(sizeof stages / sizeof stages[0] == STAGE_COUNT, "one row per stage");

/* What a stage means before its parameters are read. */
static void begin_stage(stage_id id, lp_recipe *r)
{
    switch (id) {
    case STAGE_REFERENCE: r->search = LP_SEARCH_REFERENCE; break;
    case STAGE_RTN: r->search = LP_SEARCH_RTN; break;
    case STAGE_IMATRIX: r->calibrated = r->measured = true; break;
    case STAGE_SMOOTH:
        r->calibrated = true;
        r->scale.policy = LP_SCALE_POLICY_SMOOTH;
        r->scale.alpha = 0.5;
        break;
    case STAGE_AWQ:
        r->calibrated = true;
        r->scale.policy = LP_SCALE_POLICY_AWQ;
        r->scale.grid = 20;
        break;
    case STAGE_CLIP:
        r->calibrated = r->measured = r->solves = true;
        r->solve.reach = 8;
        r->solve.reach_b = 2;
        r->solve.rounds = 2;
        break;
    case STAGE_GPTQ:
        r->calibrated = r->measured = r->solves = r->solve.feedback = true;
        r->prefix = UNSET;
        r->solve.damp = 0.01;
        r->damp_tied = 1.0;
        r->solve.rounds = 1;
        break;
    case STAGE_DESCEND:
        r->solve.passes = 4;
        r->solve.descent_reach = 1;
        break;
    case STAGE_COUNT: break;
    }
}

/* ---- parsing ------------------------------------------------------------------------------------------------------ */

static void list_parameters(const struct stage *s, char text[MOST_TEXT])
{
    size_t n = 0;
    text[0] = 0;
    for (const parameter *p = s->parameter; p->name; p++)
        n += (size_t)snprintf(text + n, MOST_TEXT - n, "%s%s", n ? ", " : "", p->name);
    if (!n) snprintf(text, MOST_TEXT, "none");
}

static lp_status set_parameter(const struct stage *s, const char *name, const char *value, lp_recipe *r)
{
    const parameter *p = s->parameter;
    while (p->name && strcmp(p->name, name) != 0) p++;
    if (!p->name) {
        char known[MOST_TEXT];
        list_parameters(s, known);
        lp_fail(LP_USAGE, "recipe: %s: unknown parameter '%s'", s->name, name);
        return lp_hint(LP_USAGE, "It has: %s.", known);
    }
    char *field = (char *)r + p->offset;
    if (p->kind == VALUE_CHOICE) {
        for (int i = 0; p->choice[i]; i++) {
            if (strcmp(p->choice[i], value) != 0) continue;
            if (p->choice == prefixes) memcpy(field, &i, sizeof i);
            else memcpy(field, &(bool){i != 0}, sizeof(bool));
            return LP_OK;
        }
        return lp_fail(LP_USAGE, "recipe: %s: %s: '%s' is not one of %s, %s%s%s", s->name, name, value, p->choice[0], p->choice[1],
                       p->choice[2] ? ", " : "", p->choice[2] ? p->choice[2] : "");
    }
    char *end;
    double x = strtod(value, &end);
    bool whole = x == (double)(long long)x;
    if (end == value || *end || !(x >= p->least && x <= p->most) || (p->kind == VALUE_WHOLE && !whole))
        return lp_fail(LP_USAGE, "recipe: %s: %s: '%s' is no %s from %g to %g", s->name, name, value,
                       p->kind == VALUE_WHOLE ? "whole number" : "number", p->least, p->most);
    if (p->kind == VALUE_REAL) memcpy(field, &x, sizeof x);
    else memcpy(field, &(int){(int)x}, sizeof(int));
    return LP_OK;
}

static lp_status unknown_stage(const char *name)
{
    char known[MOST_TEXT];
    size_t n = 0;
    for (int i = 0; i < STAGE_COUNT; i++) n += (size_t)snprintf(known + n, MOST_TEXT - n, "%s%s", i ? ", " : "", stages[i].name);
    lp_fail(LP_USAGE, "recipe: unknown stage or method '%s'", name);
    return lp_hint(LP_USAGE, "Stages are %s; 'lowp methods' lists the methods.", known);
}

/* "name" or "name(a=b,c=d)"; the text is cut up. */
static lp_status parse_stage(char *text, int *phase, lp_recipe *r)
{
    char *open = strchr(text, '(');
    if (open) {
        size_t n = strlen(open);
        if (open[n - 1] != ')') return lp_fail(LP_USAGE, "recipe: '%s' does not end with ')'", text);
        open[n - 1] = 0;
        *open++ = 0;
    }
    int id = 0;
    while (id < STAGE_COUNT && strcasecmp(stages[id].name, text) != 0) id++;
    if (id == STAGE_COUNT) return unknown_stage(text);
    const struct stage *s = &stages[id];
    if (s->phase <= *phase) {
        lp_fail(LP_USAGE, "recipe: %s cannot stand here", s->name);
        return lp_hint(LP_USAGE, "The order is: reference or rtn, then smooth or awq, then imatrix, clip or gptq, then descend; one of each.");
    }
    *phase = s->phase;
    begin_stage((stage_id)id, r);
    char *rest = NULL;
    for (char *one = open ? strtok_r(open, ",", &rest) : NULL; one; one = strtok_r(NULL, ",", &rest)) {
        char *equals = strchr(one, '=');
        if (!equals) return lp_fail(LP_USAGE, "recipe: %s: '%s' is not NAME=VALUE", s->name, one);
        *equals = 0;
        LP_TRY(set_parameter(s, one, equals + 1, r));
    }
    return LP_OK;
}

lp_status lp_recipe_parse(const char *text, lp_recipe *out)
{
    memset(out, 0, sizeof *out);
    if (!text || !*text) return LP_OK;
    const lp_method *method = lp_method_by_name(text);
    if (method) text = method->recipe;
    char copy[MOST_TEXT];
    if (strlen(text) >= sizeof copy) return lp_fail(LP_USAGE, "recipe: the text is longer than %d characters", MOST_TEXT - 1);
    strcpy(copy, text);
    int phase = -1;
    char *rest = NULL;
    for (char *one = strtok_r(copy, "+", &rest); one; one = strtok_r(NULL, "+", &rest)) LP_TRY(parse_stage(one, &phase, out));
    if (phase < 0) return lp_fail(LP_USAGE, "recipe: '%s' names no stage", text);
    /* Aiming at the float network corrects what came before; measured ahead of the same layer's other weights, it is corrected twice. */
    if (out->prefix == UNSET) out->prefix = out->solve.align > 0.0 ? LP_PREFIX_GROUP : LP_PREFIX_LAYER;
    if (out->solve.align > 0.0 && out->prefix != LP_PREFIX_GROUP)
        return lp_fail(LP_USAGE, "recipe: gptq: align needs prefix=group (inputs measured behind everything that is quantized before)");
    if (out->solve.passes && !out->solves) return lp_fail(LP_USAGE, "recipe: descend needs codes to begin with: gptq+descend");
    return LP_OK;
}

lp_status lp_recipe_check(const char *recipe, bool *needs_calibration)
{
    lp_recipe r;
    *needs_calibration = false;
    LP_TRY(lp_recipe_parse(recipe, &r));
    *needs_calibration = r.calibrated;
    return LP_OK;
}

/* ---- printing ----------------------------------------------------------------------------------------------------- */

static bool has_stage(const lp_recipe *r, int id)
{
    switch ((stage_id)id) {
    case STAGE_REFERENCE: return !r->calibrated && r->search == LP_SEARCH_REFERENCE;
    case STAGE_RTN: return r->search == LP_SEARCH_RTN;
    case STAGE_IMATRIX: return r->measured && !r->solves;
    case STAGE_SMOOTH: return r->scale.policy == LP_SCALE_POLICY_SMOOTH;
    case STAGE_AWQ: return r->scale.policy == LP_SCALE_POLICY_AWQ;
    case STAGE_CLIP: return r->solves && !r->solve.feedback;
    case STAGE_GPTQ: return r->solve.feedback;
    case STAGE_DESCEND: return r->solve.passes > 0;
    case STAGE_COUNT: break;
    }
    return false;
}

static size_t append(char *buffer, size_t n, size_t at, const char *text)
{
    size_t length = strlen(text);
    for (size_t i = 0; i <= length && at + i < n; i++) buffer[at + i] = text[i];
    if (n && at + length >= n) buffer[n - 1] = 0;
    return at + length;
}

size_t lp_recipe_print(const lp_recipe *recipe, char *buffer, size_t n)
{
    size_t at = append(buffer, n, 0, "");
    for (int id = 0; id < STAGE_COUNT; id++) {
        const struct stage *s = &stages[id];
        if (!has_stage(recipe, id)) continue;
        if (at) at = append(buffer, n, at, "+");
        at = append(buffer, n, at, s->name);
        for (const parameter *p = s->parameter; p->name; p++) {
            const char *field = (const char *)recipe + p->offset;
            char text[64];
            double real;
            int whole;
            memcpy(&real, field, sizeof real);
            memcpy(&whole, field, sizeof whole);
            if (p->kind == VALUE_REAL) snprintf(text, sizeof text, "%s=%.9g", p->name, real);
            else if (p->kind == VALUE_WHOLE) snprintf(text, sizeof text, "%s=%d", p->name, whole);
            else snprintf(text, sizeof text, "%s=%s", p->name, p->choice[p->choice == prefixes ? whole : *(const bool *)field]);
            at = append(buffer, n, at, p == s->parameter ? "(" : ",");
            at = append(buffer, n, at, text);
        }
        if (s->parameter[0].name) at = append(buffer, n, at, ")");
    }
    return at;
}

int lp_stage_count(void) { return STAGE_COUNT; }

lp_stage lp_stage_at(int index)
{
    return index >= 0 && index < STAGE_COUNT ? (lp_stage){stages[index].name, stages[index].note} : (lp_stage){"", ""};
}

/* ---- methods ------------------------------------------------------------------------------------------------------ */

static const lp_method methods[] = {
    {"reference", "reference", "the format's own search, as ggml's"},
    {"rtn", "rtn", "rounding to nearest"},
    {"imatrix", "imatrix", "llama.cpp: mean squares as weights of the reference search (here measured layer by layer)"},
    {"smoothquant", "rtn+smooth(alpha=0.5)", "SmoothQuant (ICML 2023)"},
    {"awq", "awq(grid=20)+clip", "AWQ (MLSys 2024)"},
    {"clip", "clip", "ranges by the layer's weighted error (AWQ's second half, imatrix)"},
    {"gptq", "gptq(damp=0.01)", "GPTQ (ICLR 2023), scales fitted by the reference search"},
    {"gptq-act", "gptq(damp=0.01,order=act)", "GPTQ with columns of large input first"},
    {"gptq-search", "gptq(damp=0.01,reach=4,reach_min=2)", "GPTQ; every scale by the error with feedback"},
    {"gptaq", "gptq(damp=0.01,align=1)", "as GPTAQ (2025): GPTQ that aims at the outputs of the float network"},
    {"gptaq-search", "gptq(damp=0.02,reach=4,reach_min=2,align=1)", "both; the least loss measured with 30 tokens per channel and more, worse with 8"},
    {"best", "gptq(damp=0.02,reach=4,reach_min=2)", "what loses least with little text too (docs/methods.md)"},
};

int lp_method_count(void) { return (int)(sizeof methods / sizeof methods[0]); }
const lp_method *lp_method_at(int index) { return index >= 0 && index < lp_method_count() ? &methods[index] : NULL; }

const lp_method *lp_method_by_name(const char *name)
{
    for (int i = 0; i < lp_method_count(); i++)
        if (!strcasecmp(methods[i].name, name)) return &methods[i];
    return NULL;
}
