/* Mixtures: a format per role and layer, as the names with _s, _m and _l mean in llama.cpp. One row each.
 *
 * Not covered: the special cases for Falcon and for models of exactly eight experts. Card: runtime/llama-cpp-peer.md. */
#include "quantize/mixture.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

typedef enum role { ROLE_NONE, ROLE_ATTN_V, ROLE_ATTN_Q, ROLE_ATTN_K, ROLE_ATTN_OUTPUT, ROLE_FFN_DOWN, ROLE_FFN_IN } role;

/* Which layers a rule takes, i of n counted from 0; or the models with 4 or more query heads per key head. */
typedef enum selection {
    ALL,
    FIRST_2,
    FIRST_4,
    FIRST_8TH,    /* i < n / 8 */
    FIRST_16TH,   /* i < n / 16 */
    SENSITIVE,    /* the first and last eighth, and every third between them */
    MIDDLE,       /* all but the first and last eighth */
    SHARED_HEADS
} selection;

typedef struct rule {
    role role;
    selection selection;
    const char *format;
} rule;

enum { MOST_RULES = 6 };

struct lp_mixture {
    const char *name;
    const char *base;      /* what no rule takes */
    uint32_t file_type;    /* general.file_type */
    const char *output;    /* of the output head, and of embeddings that serve as one */
    const char *embedding; /* of embeddings beside an output head */
    rule rules[MOST_RULES]; /* the first that takes a tensor counts */
};

static const lp_mixture mixtures[] = {
    {"q2_k_s", "q2_k", 21, "q6_k", "q2_k", {{ROLE_ATTN_V, SHARED_HEADS, "q4_k"}, {ROLE_FFN_DOWN, FIRST_8TH, "q4_k"}}},
    {"q2_k_m", "q2_k", 10, "q6_k", "q2_k",
     {{ROLE_ATTN_V, SHARED_HEADS, "q4_k"}, {ROLE_ATTN_V, ALL, "q3_k"}, {ROLE_FFN_DOWN, ALL, "q3_k"}, {ROLE_ATTN_OUTPUT, ALL, "q3_k"}}},
    {"q3_k_s", "q3_k", 11, "q6_k", "q3_k", {{0}}},
    {"q3_k_m", "q3_k", 12, "q6_k", "q3_k",
     {{ROLE_ATTN_V, FIRST_2, "q5_k"}, {ROLE_ATTN_V, ALL, "q4_k"}, {ROLE_FFN_DOWN, FIRST_16TH, "q5_k"},
      {ROLE_FFN_DOWN, ALL, "q4_k"}, {ROLE_ATTN_OUTPUT, ALL, "q4_k"}}},
    {"q3_k_l", "q3_k", 13, "q6_k", "q3_k",
     {{ROLE_ATTN_V, ALL, "q5_k"}, {ROLE_FFN_DOWN, ALL, "q5_k"}, {ROLE_ATTN_OUTPUT, ALL, "q5_k"}}},
    {"q4_k_s", "q4_k", 14, "q6_k", "q4_k", {{ROLE_ATTN_V, FIRST_4, "q5_k"}, {ROLE_FFN_DOWN, FIRST_8TH, "q5_k"}}},
    {"q4_k_m", "q4_k", 15, "q6_k", "q4_k", {{ROLE_ATTN_V, SENSITIVE, "q6_k"}, {ROLE_FFN_DOWN, SENSITIVE, "q6_k"}}},
    {"q5_k_s", "q5_k", 16, "q6_k", "q5_k", {{0}}},
    {"q5_k_m", "q5_k", 17, "q6_k", "q5_k", {{ROLE_ATTN_V, SENSITIVE, "q6_k"}, {ROLE_FFN_DOWN, SENSITIVE, "q6_k"}}},
    {"iq2_m", "iq2_s", 29, "q5_k", "iq3_s",
     {{ROLE_ATTN_V, SHARED_HEADS, "q4_k"}, {ROLE_ATTN_V, ALL, "iq3_s"}, {ROLE_FFN_DOWN, FIRST_8TH, "iq3_s"},
      {ROLE_ATTN_OUTPUT, ALL, "iq3_s"}}},
    {"iq3_xs", "iq3_s", 22, "q6_k", "iq3_s",
     {{ROLE_ATTN_V, SHARED_HEADS, "q4_k"}, {ROLE_ATTN_Q, ALL, "iq3_xxs"}, {ROLE_ATTN_K, ALL, "iq3_xxs"}, {ROLE_FFN_IN, MIDDLE, "iq3_xxs"}}},
    {"iq3_m", "iq3_s", 27, "q6_k", "iq3_s",
     {{ROLE_ATTN_V, ALL, "q4_k"}, {ROLE_FFN_DOWN, FIRST_8TH, "q4_k"}, {ROLE_ATTN_OUTPUT, ALL, "q4_k"}}},
};
enum { N_MIXTURES = sizeof mixtures / sizeof mixtures[0] };

int lp_mixture_count(void) { return N_MIXTURES; }

const lp_mixture *lp_mixture_at(int index) { return index >= 0 && index < N_MIXTURES ? &mixtures[index] : NULL; }

const lp_mixture *lp_mixture_by_name(const char *name)
{
    for (int i = 0; i < N_MIXTURES; i++)
        if (!strcasecmp(mixtures[i].name, name)) return &mixtures[i];
    return NULL;
}

const char *lp_mixture_name(const lp_mixture *mixture) { return mixture->name; }
const lp_packing *lp_mixture_base(const lp_mixture *mixture) { return lp_packing_by_name(mixture->base); }
uint32_t lp_mixture_file_type(const lp_mixture *mixture) { return mixture->file_type; }

/* ---- roles -------------------------------------------------------------------------------------------------------- */

static const struct {
    const char *stem; /* of "blk.N.STEM.weight" */
    role role;
} stems[] = {
    {"attn_v", ROLE_ATTN_V},           {"attn_qkv", ROLE_ATTN_V},         {"attn_kv_b", ROLE_ATTN_V},
    {"attn_q", ROLE_ATTN_Q},           {"attn_k", ROLE_ATTN_K},           {"attn_output", ROLE_ATTN_OUTPUT},
    {"ffn_down", ROLE_FFN_DOWN},       {"ffn_down_exps", ROLE_FFN_DOWN},  {"ffn_gate", ROLE_FFN_IN},
    {"ffn_gate_exps", ROLE_FFN_IN},    {"ffn_up", ROLE_FFN_IN},           {"ffn_up_exps", ROLE_FFN_IN},
};

/* Role and layer of a tensor; ROLE_NONE for one outside the layers. */
static role role_of(const char *name, int64_t *layer)
{
    char stem[64];
    if (sscanf(name, "blk.%" SCNd64 ".%63[^.].weight", layer, stem) != 2) return ROLE_NONE;
    for (size_t i = 0; i < sizeof stems / sizeof stems[0]; i++)
        if (!strcmp(stems[i].stem, stem)) return stems[i].role;
    return ROLE_NONE;
}

static int64_t n_layers(const lp_gguf *source)
{
    int64_t most = -1, layer;
    for (int64_t i = 0; i < lp_gguf_tensor_count(source); i++)
        if (role_of(lp_gguf_tensor_at(source, i)->name, &layer) != ROLE_NONE && layer > most) most = layer;
    return most + 1;
}

/* Query heads per key head; 1 where the file does not say. */
static int64_t heads_per_key(const lp_gguf *source)
{
    lp_string architecture = {0};
    int64_t n = 0, n_key = 0;
    char key[128];
    if (lp_gguf_get_architecture(source, true, &architecture)) return 1;
    snprintf(key, sizeof key, "%.*s.attention.head_count", (int)architecture.n, architecture.data);
    if (lp_gguf_get_i64(source, key, true, &n)) return 1;
    snprintf(key, sizeof key, "%.*s.attention.head_count_kv", (int)architecture.n, architecture.data);
    if (lp_gguf_get_i64(source, key, true, &n_key) || n_key < 1) return 1;
    return n / n_key;
}

static bool selects(selection which, int64_t i, int64_t n, int64_t shared)
{
    switch (which) {
    case ALL: return true;
    case FIRST_2: return i < 2;
    case FIRST_4: return i < 4;
    case FIRST_8TH: return i < n / 8;
    case FIRST_16TH: return i < n / 16;
    case SENSITIVE: return i < n / 8 || i >= 7 * n / 8 || (i - n / 8) % 3 == 2;
    case MIDDLE: return i >= n / 8 && i < 7 * n / 8;
    case SHARED_HEADS: return shared >= 4;
    }
    return false;
}

/* ---- choice ------------------------------------------------------------------------------------------------------- */

const lp_packing *lp_mixture_choose(const lp_mixture *mixture, const lp_gguf *source, const lp_tensor *tensor)
{
    const lp_packing *base = lp_packing_by_name(mixture->base);
    bool embedding = !strcmp(tensor->name, "token_embd.weight"), tied = !lp_gguf_find_tensor(source, "output.weight");
    if (!strcmp(tensor->name, "output.weight") || (embedding && tied))
        return lp_packing_by_name(tensor->dim[0] % base->n_values ? "q8_0" : mixture->output);
    if (embedding) return lp_packing_by_name(mixture->embedding);
    int64_t layer = 0, n = n_layers(source), shared = heads_per_key(source);
    role r = role_of(tensor->name, &layer);
    if (r == ROLE_NONE) return base;
    for (int i = 0; i < MOST_RULES; i++) {
        const rule *entry = &mixture->rules[i];
        if (entry->role != r || !selects(entry->selection, layer, n, shared)) continue;
        /* Models of 80 layers with shared heads have so small a matrix here that more bits cost nothing. */
        bool small = r == ROLE_ATTN_V && n == 80 && shared > 1 && strcmp(mixture->base, "iq2_s") != 0;
        bool few = !strcmp(entry->format, "q3_k") || !strcmp(entry->format, "q4_k");
        return lp_packing_by_name(small && few ? "q5_k" : entry->format);
    }
    return base;
}
