/* The sampler: state of a request and the chain penalties, top-k, typical, top-p, min-p, temperature, draw.
 * Card: runtime/sampling.
 *
 * A weight is exp(logit - greatest logit) rounded to a multiple of 2^-32, so that a float64 sum of up to 2^21 weights is
 * exact: no order of summation, no vector width can change a token. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <lowp/sample.h>

#include "base/arena.h"
#include "base/environment.h"
#include "base/fail.h"
#include "base/function.h"
#include "base/random.h"
#include "infer/sample/select.h"
#include "kernel/kernel.h"

struct lp_sampler {
    lp_arena arena;
    lp_sampler_options options;
    int32_t n_vocab;
    lp_mt19937 random;
    float temperature; /* 0: greedy */
    bool penalises;

    /* The last accepted tokens: counts for the penalties, and the ring that tells which one leaves. */
    int32_t *count;    /* [n_vocab] */
    int32_t *place;    /* [n_vocab] index in seen where count > 0 */
    int32_t *seen;     /* [n_seen] tokens with count > 0 */
    int32_t n_seen;
    int32_t *ring;     /* [repeat_last_n]; NULL: all are kept */
    int32_t n_ring, ring_at;

    float *logit;      /* [n_vocab] after the penalties */
    lp_selection selection;
    size_t n_finite;   /* logits above -infinity */

    /* Candidates by descending logit, equal ones by ascending id. While `open`, they may be only the first n of all
     * that have a finite logit, and extend() brings the others. */
    int32_t *id;       /* [n_vocab] */
    float *value;      /* [n_vocab] logit */
    float *weight;     /* [n_vocab]; of the last draw: probability */
    size_t n;
    bool open;
};

/* ---- creation ----------------------------------------------------------------------------------------------------- */

lp_sampler_options lp_sampler_defaults(void)
{
    return (lp_sampler_options){.temperature = 0.8, .top_k = 40, .top_p = 0.95, .min_p = 0.05, .typical_p = 1,
                                .repeat_penalty = 1, .repeat_last_n = 64};
}

/* What an option may be; NaN is outside every range. */
typedef struct range {
    const char *name;
    double value, low, high;
    const char *wanted;
} range;

enum { LONGEST_HISTORY = 1 << 24 };

static lp_status check_options(const lp_sampler_options *o, int32_t n_vocab)
{
    const double most = 3.4028234663852886e38; /* of float32 */
    const range ranges[] = {
        {"temperature", o->temperature, -most, most, "a finite number"},
        {"top_p", o->top_p, 0, 1, "within [0, 1]"},
        {"min_p", o->min_p, -most, 1, "at most 1"},
        {"typical_p", o->typical_p, 0, most, "a number from 0"},
        {"repeat_penalty", o->repeat_penalty, 1 / most, most, "finite and above 0, as its inverse"},
        {"frequency_penalty", o->frequency_penalty, -most, most, "a finite number"},
        {"presence_penalty", o->presence_penalty, -most, most, "a finite number"},
        {"repeat_last_n", o->repeat_last_n, -1, LONGEST_HISTORY, "from -1 (all) to 16777216"},
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].value >= ranges[i].low && ranges[i].value <= ranges[i].high))
            return lp_fail(LP_USAGE, "sampler: %s: %g is not %s", ranges[i].name, ranges[i].value, ranges[i].wanted);
    if (n_vocab < 1) return lp_fail(LP_USAGE, "sampler: a vocabulary of %d tokens", n_vocab);
    return LP_OK;
}

static lp_status allocate(lp_sampler *s)
{
    size_t n = (size_t)s->n_vocab;
    s->logit = lp_arena_alloc_array(&s->arena, n, sizeof *s->logit);
    s->id = lp_arena_alloc_array(&s->arena, n, sizeof *s->id);
    s->value = lp_arena_alloc_array(&s->arena, n, sizeof *s->value);
    s->weight = lp_arena_alloc_array(&s->arena, n, sizeof *s->weight);
    if (!s->logit || !s->id || !s->value || !s->weight) return LP_RESOURCE;
    LP_TRY(lp_selection_init(&s->selection, &s->arena, n));
    if (!s->penalises) return LP_OK;
    s->count = lp_arena_alloc_array(&s->arena, n, sizeof *s->count);
    s->place = lp_arena_alloc_array(&s->arena, n, sizeof *s->place);
    s->seen = lp_arena_alloc_array(&s->arena, n, sizeof *s->seen);
    if (!s->count || !s->place || !s->seen) return LP_RESOURCE;
    if (s->options.repeat_last_n < 0) return LP_OK;
    s->ring = lp_arena_alloc_array(&s->arena, (size_t)s->options.repeat_last_n, sizeof *s->ring);
    return s->ring ? LP_OK : LP_RESOURCE;
}

lp_status lp_sampler_create(const lp_sampler_options *options, int32_t n_vocab, lp_sampler **out)
{
    *out = NULL;
    LP_TRY(check_options(options, n_vocab));
    lp_sampler *s = calloc(1, sizeof *s);
    if (!s) return lp_fail_memory(sizeof *s, "a sampler");
    s->options = *options;
    s->n_vocab = n_vocab;
    s->temperature = options->temperature > 0 ? (float)options->temperature : 0; /* the least ones round to 0 */
    s->penalises = options->repeat_last_n != 0 &&
                   (options->repeat_penalty != 1 || options->frequency_penalty != 0 || options->presence_penalty != 0);
    lp_mt19937_seed(&s->random, options->seed);
    lp_status status = allocate(s);
    if (status != LP_OK) {
        lp_sampler_free(s);
        return status;
    }
    *out = s;
    return LP_OK;
}

void lp_sampler_free(lp_sampler *sampler)
{
    if (!sampler) return;
    lp_arena_free(&sampler->arena);
    free(sampler);
}

/* ---- history and penalties ---------------------------------------------------------------------------------------- */

static void forget(lp_sampler *s, int32_t token)
{
    if (--s->count[token]) return;
    int32_t last = s->seen[--s->n_seen];
    s->seen[s->place[token]] = last;
    s->place[last] = s->place[token];
}

void lp_sampler_accept(lp_sampler *sampler, int32_t token)
{
    lp_sampler *s = sampler;
    if (!s->penalises || token < 0 || token >= s->n_vocab) return;
    if (s->ring) {
        if (s->n_ring == s->options.repeat_last_n)
            forget(s, s->ring[s->ring_at]);
        else
            s->n_ring++;
        s->ring[s->ring_at] = token;
        s->ring_at = (s->ring_at + 1) % s->options.repeat_last_n;
    }
    if (!s->count[token]) {
        s->place[token] = s->n_seen;
        s->seen[s->n_seen++] = token;
    }
    if (s->count[token] < INT32_MAX) s->count[token]++;
}

static lp_status penalise(lp_sampler *s)
{
    const float repeat = (float)s->options.repeat_penalty, frequency = (float)s->options.frequency_penalty,
                presence = (float)s->options.presence_penalty;
    for (int32_t i = 0; i < s->n_seen; i++) {
        int32_t id = s->seen[i];
        float l = s->logit[id];
        l = l > 0 ? l / repeat : l * repeat;
        l -= (float)s->count[id] * frequency + presence;
        if (!(l < INFINITY)) return lp_fail(LP_INPUT, "sampler: the penalties make the logit of token %d infinite", id);
        s->logit[id] = l + 0.0f;
    }
    return LP_OK;
}

/* ---- candidates --------------------------------------------------------------------------------------------------- */

/* The k best of all logits as candidates. */
static void take(lp_sampler *s, size_t k)
{
    s->n = k < s->n_finite ? k : s->n_finite;
    lp_select_top(&s->selection, s->logit, (size_t)s->n_vocab, s->n, s->id, s->value);
}

/* While the set is open: all candidates. False if these are all already. */
static bool extend(lp_sampler *s)
{
    if (!s->open || s->n == s->n_finite) return false;
    take(s, s->n_finite);
    return true;
}

static void take_all(lp_sampler *s)
{
    extend(s);
    s->open = false;
}

/* Rounded to a multiple of 2^-32 by an addition whose last place that is. */
static inline double rounded(float weight) { return ((double)weight + 0x1.8p20) - 0x1.8p20; }

/* weight[i] = exp(fl(fl(logit[i] - top) / t)); weight may not be logit. */
static void weigh(const float *logit, size_t n, float top, float t, float *weight)
{
    for (size_t i = 0; i < n; i++) weight[i] = (logit[i] - top) / t;
    lp_kernels_current()->exp_f32(weight, (int64_t)n, weight);
}

static double sum_weights(const float *weight, size_t n)
{
    double sum[4] = {0, 0, 0, 0}; /* exact, so in any order */
    size_t i = 0;
    for (; i + 4 <= n; i += 4)
        for (int j = 0; j < 4; j++) sum[j] += rounded(weight[i + (size_t)j]);
    for (; i < n; i++) sum[0] += rounded(weight[i]);
    return (sum[0] + sum[1]) + (sum[2] + sum[3]);
}

/* Sum of the untempered weights of all candidates, those that an open set has not brought yet included. */
static double total_weight(const lp_sampler *s)
{
    float block[1024];
    const float *logit = s->open ? s->logit : s->value;
    size_t n = s->open ? (size_t)s->n_vocab : s->n;
    double total = 0;
    for (size_t first = 0; first < n; first += 1024) {
        size_t m = n - first < 1024 ? n - first : 1024;
        weigh(logit + first, m, s->value[0], 1, block);
        total += sum_weights(block, m);
    }
    return total;
}

/* ---- the chain ---------------------------------------------------------------------------------------------------- */

/* Keeps the candidates whose -ln p is nearest to the entropy, until their probabilities exceed typical_p. With
 * d = logit - top, -ln p - H = sum(p d) - d: no logarithm is needed. */
static void cut_typical(lp_sampler *s)
{
    take_all(s);
    weigh(s->value, s->n, s->value[0], 1, s->weight);
    double total = sum_weights(s->weight, s->n), mean = 0;
    for (size_t i = 0; i < s->n; i++) /* a weight of 0 may belong to an infinite difference */
        if (rounded(s->weight[i]) > 0)
            mean += rounded(s->weight[i]) * ((double)s->value[i] - (double)s->value[0]);
    mean /= total;
    uint64_t *order = s->selection.key; /* |difference| as float32 above the index: ties by the better candidate */
    for (size_t i = 0; i < s->n; i++) {
        float distance = (float)fabs((double)s->value[i] - (double)s->value[0] - mean);
        order[i] = (uint64_t)lp_float_image(distance) << 32 | i;
    }
    lp_sort_keys(&s->selection, s->n);
    double sum = 0;
    size_t kept = 0;
    while (kept < s->n) {
        sum += rounded(s->weight[(uint32_t)s->selection.key[kept++]]);
        if (sum > s->options.typical_p * total) break;
    }
    /* Back to descending logits: mark, then squeeze. */
    for (size_t i = 0; i < s->n; i++) s->weight[i] = 0;
    for (size_t i = 0; i < kept; i++) s->weight[(uint32_t)s->selection.key[i]] = 1;
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++)
        if (s->weight[i] != 0) {
            s->id[n] = s->id[i];
            s->value[n++] = s->value[i];
        }
    s->n = n;
}

/* Keeps the shortest prefix whose probability is at least top_p. */
static void cut_top_p(lp_sampler *s)
{
    double wanted = s->options.top_p * total_weight(s), sum = 0;
    size_t i = 0;
    do {
        weigh(s->value + i, s->n - i, s->value[0], 1, s->weight + i);
        for (; i < s->n; i++) {
            sum += rounded(s->weight[i]);
            if (sum >= wanted) {
                s->n = i + 1;
                s->open = false;
                return;
            }
        }
    } while (extend(s));
    s->open = false;
}

/* Keeps p >= min_p times the greatest p. */
static void cut_min_p(lp_sampler *s)
{
    double least = lp_log(s->options.min_p);
    size_t i = 1; /* the best one stays */
    do {
        for (; i < s->n; i++)
            if ((double)s->value[i] - (double)s->value[0] < least) {
                s->n = i;
                s->open = false;
                return;
            }
    } while (extend(s));
    s->open = false;
}

static int32_t draw_one(lp_sampler *s)
{
    if (s->temperature == 0) {
        s->n = 1;
        s->weight[0] = 1;
        return s->id[0];
    }
    weigh(s->value, s->n, s->value[0], s->temperature, s->weight);
    double total = sum_weights(s->weight, s->n), sum = 0;
    double wanted = lp_mt19937_uniform(&s->random) * total;
    size_t drawn = 0;
    while (drawn + 1 < s->n && (sum += rounded(s->weight[drawn])) < wanted) drawn++;
    for (size_t i = 0; i < s->n; i++) s->weight[i] = (float)(rounded(s->weight[i]) / total);
    return s->id[drawn];
}

/* Copies the logits (-0 as +0, since they are equal) and checks them. */
static lp_status read_logits(lp_sampler *s, const float *logits)
{
    size_t n = (size_t)s->n_vocab, n_low = 0, n_bad = 0;
    for (size_t i = 0; i < n; i++) {
        float l = logits[i] + 0.0f;
        s->logit[i] = l;
        n_bad += l < INFINITY ? 0 : 1;
        n_low += l == -INFINITY ? 1 : 0;
    }
    for (size_t i = 0; n_bad && i < n; i++)
        if (!(logits[i] < INFINITY)) return lp_fail(LP_INPUT, "sampler: the logit of token %zu is %g", i, (double)logits[i]);
    s->n_finite = n - n_low;
    return s->n_finite ? LP_OK : lp_fail(LP_INPUT, "sampler: all %zu logits are -infinite", n);
}

/* Candidates that are looked at first where nothing says how many are wanted: a model is rarely less sure. */
enum { FIRST_LOOK = 1024 };

static lp_status run_chain(lp_sampler *s, const float *logits, int32_t *token)
{
    const lp_sampler_options *o = &s->options;
    LP_TRY(read_logits(s, logits));
    if (s->penalises) LP_TRY(penalise(s));
    s->open = o->top_k <= 0;
    bool typical = o->typical_p < 1;
    take(s, o->top_k > 0 ? (size_t)o->top_k : s->temperature == 0 && !typical ? 1 : FIRST_LOOK);
    if (typical) cut_typical(s);
    if (s->temperature > 0) { /* else the best candidate, which these always keep */
        if (o->top_p < 1) cut_top_p(s);
        if (o->min_p > 0) cut_min_p(s);
        take_all(s);
    }
    *token = draw_one(s);
    return LP_OK;
}

lp_status lp_sampler_draw(lp_sampler *sampler, const float *logits, int32_t *token)
{
    uint64_t environment = lp_environment_enter();
    lp_status status = run_chain(sampler, logits, token);
    lp_environment_leave(environment);
    if (status != LP_OK) sampler->n = 0;
    return status;
}

size_t lp_sampler_candidates(const lp_sampler *sampler, const int32_t **ids, const float **p)
{
    *ids = sampler->id;
    *p = sampler->weight;
    return sampler->n;
}
