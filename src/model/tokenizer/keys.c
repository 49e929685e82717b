/* The tokenizer.ggml.* keys of a GGUF file. Card: runtime/tokenizers. */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "model/tokenizer/tokenizer.h"

/* An array of strings into memory from malloc. */
static lp_status read_strings(const lp_gguf *gguf, const char *key, lp_string **out, size_t *n)
{
    const lp_gguf_key *found = lp_gguf_find(gguf, key);
    size_t bytes;
    if (!found) return lp_fail(LP_INPUT, "%s: %s: missing", lp_gguf_path(gguf), key);
    if (found->type != LP_GGUF_ARRAY || found->element != LP_GGUF_STRING)
        return lp_fail(LP_INPUT, "%s: %s: not an array of strings", lp_gguf_path(gguf), key);
    if (found->n_elements > INT32_MAX)
        return lp_fail(LP_INPUT, "%s: %s: %llu strings, at most 2147483647 are possible", lp_gguf_path(gguf), key,
                       (unsigned long long)found->n_elements);
    *n = (size_t)found->n_elements;
    if (!lp_mul_size(*n + 1, sizeof **out, &bytes) || !(*out = malloc(bytes))) return lp_fail_memory(*n * sizeof **out, key);
    return lp_gguf_strings(found, *out);
}

static lp_status read_types(const lp_gguf *gguf, size_t n_tokens, int32_t **out)
{
    const char *key = "tokenizer.ggml.token_type";
    const lp_gguf_key *found = lp_gguf_find(gguf, key);
    if (!found) return LP_OK;
    if (found->type != LP_GGUF_ARRAY || found->n_elements < n_tokens)
        return lp_fail(LP_INPUT, "%s: %s: not an array of at least %zu numbers, one for each token", lp_gguf_path(gguf), key,
                       n_tokens);
    if (!(*out = malloc((n_tokens + 1) * sizeof **out))) return lp_fail_memory(n_tokens * sizeof **out, key);
    for (size_t i = 0; i < n_tokens; i++) {
        int64_t value;
        if (lp_gguf_array_i64(found, i, &value) != LP_OK)
            return lp_fail(LP_INPUT, "%s: %s: not an array of integers", lp_gguf_path(gguf), key);
        if (value < 0 || value >= LP_TOKEN_TYPE_COUNT)
            return lp_fail(LP_INPUT, "%s: %s[%zu]: %lld is not a type (0 to 6)", lp_gguf_path(gguf), key, i, (long long)value);
        (*out)[i] = (int32_t)value;
    }
    return LP_OK;
}

static lp_status read_scores(const lp_gguf *gguf, size_t n_tokens, float **out)
{
    const char *key = "tokenizer.ggml.scores";
    const lp_gguf_key *found = lp_gguf_find(gguf, key);
    if (!found || found->type != LP_GGUF_ARRAY || found->n_elements < n_tokens)
        return lp_fail(LP_INPUT, "%s: %s: %s %zu numbers, one for each token", lp_gguf_path(gguf), key,
                       found ? "not an array of at least" : "missing: an array of", n_tokens);
    if (!(*out = malloc((n_tokens + 1) * sizeof **out))) return lp_fail_memory(n_tokens * sizeof **out, key);
    for (size_t i = 0; i < n_tokens; i++) {
        double value;
        if (lp_gguf_array_f64(found, i, &value) != LP_OK)
            return lp_fail(LP_INPUT, "%s: %s: not an array of numbers", lp_gguf_path(gguf), key);
        (*out)[i] = (float)value;
    }
    return LP_OK;
}

/* Ids of special tokens where the keys are absent, if there are as many tokens. */
static const int32_t default_named[][LP_NAMED_COUNT] = {
    [LP_TOKENIZER_BPE] = {-1, -1, -1, -1, -1, -1, -1, -1, -1},
    [LP_TOKENIZER_SPM] = {[LP_NAMED_BOS] = 1, [LP_NAMED_EOS] = 2, [LP_NAMED_EOT] = -1, [LP_NAMED_EOM] = -1,
                          [LP_NAMED_UNKNOWN] = 0, [LP_NAMED_FIM_PAD] = -1, [LP_NAMED_FIM_REP] = -1, [LP_NAMED_FIM_SEP] = -1,
                          [LP_NAMED_SEPARATOR] = -1},
    [LP_TOKENIZER_GEMMA4] = {-1, -1, -1, -1, -1, -1, -1, -1, -1},
    [LP_TOKENIZER_UNIGRAM] = {[LP_NAMED_BOS] = -1, [LP_NAMED_EOS] = 1, [LP_NAMED_EOT] = -1, [LP_NAMED_EOM] = -1,
                              [LP_NAMED_UNKNOWN] = 2, [LP_NAMED_FIM_PAD] = -1, [LP_NAMED_FIM_REP] = -1, [LP_NAMED_FIM_SEP] = -1,
                              [LP_NAMED_SEPARATOR] = -1},
    [LP_TOKENIZER_WORDPIECE] = {[LP_NAMED_BOS] = 101, [LP_NAMED_EOS] = -1, [LP_NAMED_EOT] = -1, [LP_NAMED_EOM] = -1,
                                [LP_NAMED_UNKNOWN] = 100, [LP_NAMED_FIM_PAD] = -1, [LP_NAMED_FIM_REP] = -1,
                                [LP_NAMED_FIM_SEP] = -1, [LP_NAMED_SEPARATOR] = 102},
};
_Static_assert(sizeof default_named / sizeof *default_named == LP_TOKENIZER_KIND_COUNT, "defaults for every kind");

static lp_status read_named(const lp_gguf *gguf, size_t n_tokens, lp_tokenizer_kind kind, int32_t named[LP_NAMED_COUNT])
{
    for (int i = 0; i < LP_NAMED_COUNT; i++) {
        const char *key = lp_named_token_key((lp_named_token)i);
        int64_t id = default_named[kind][i] < (int64_t)n_tokens ? default_named[kind][i] : -1;
        LP_TRY(lp_gguf_get_i64(gguf, key, false, &id));
        if (lp_gguf_find(gguf, key) && (id < 0 || id >= (int64_t)n_tokens))
            return lp_fail(LP_INPUT, "%s: %s: %lld is not a token (there are %zu)", lp_gguf_path(gguf), key, (long long)id,
                           n_tokens);
        named[i] = (int32_t)id;
    }
    return LP_OK;
}

/* Whether general.name speaks of Phi-3. */
static bool is_phi3(const lp_gguf *gguf)
{
    lp_string name = {0};
    char text[64];
    if (!lp_gguf_find(gguf, "general.name") || lp_gguf_get_string(gguf, "general.name", false, &name) != LP_OK) return false;
    size_t n = name.n < sizeof text - 1 ? name.n : sizeof text - 1;
    for (size_t i = 0; i < n; i++) text[i] = (char)(name.data[i] >= 'A' && name.data[i] <= 'Z' ? name.data[i] | 0x20 : name.data[i]);
    text[n] = 0;
    return strstr(text, "phi-3") || strstr(text, "phi3");
}

/* *value stays where the key is absent. */
static lp_status read_bool(const lp_gguf *gguf, const char *key, int *value)
{
    bool found = false;
    if (!lp_gguf_find(gguf, key)) return LP_OK;
    LP_TRY(lp_gguf_get_bool(gguf, key, true, &found));
    *value = found;
    return LP_OK;
}

static lp_status read_charsmap(const lp_gguf *gguf, uint8_t **out, size_t *n)
{
    const char *key = "tokenizer.ggml.precompiled_charsmap";
    const lp_gguf_key *found = lp_gguf_find(gguf, key);
    if (!found) return LP_OK;
    if (found->type != LP_GGUF_ARRAY || (found->element != LP_GGUF_U8 && found->element != LP_GGUF_I8))
        return lp_fail(LP_INPUT, "%s: %s: not an array of bytes", lp_gguf_path(gguf), key);
    *n = (size_t)found->n_elements;
    if (!(*out = malloc(*n + 1))) return lp_fail_memory(*n, key);
    for (size_t i = 0; i < *n; i++) {
        int64_t value = 0;
        LP_TRY(lp_gguf_array_i64(found, i, &value));
        (*out)[i] = (uint8_t)value;
    }
    return LP_OK;
}

/* GGUF has no keys for how special tokens are found in a text; these arrays of ids are lowp's own. */
static lp_status read_flags(const lp_gguf *gguf, size_t n_tokens, uint8_t **out)
{
    for (int k = 0; k < LP_TOKEN_FLAG_KEYS; k++) {
        const char *key = lp_token_flag_keys[k].key;
        const lp_gguf_key *found = lp_gguf_find(gguf, key);
        if (!found) continue;
        if (found->type != LP_GGUF_ARRAY) return lp_fail(LP_INPUT, "%s: %s: not an array", lp_gguf_path(gguf), key);
        if (!*out && !(*out = calloc(n_tokens + 1, 1))) return lp_fail_memory(n_tokens, key);
        for (uint64_t i = 0; i < found->n_elements; i++) {
            int64_t id = -1;
            if (lp_gguf_array_i64(found, i, &id) != LP_OK || id < 0 || id >= (int64_t)n_tokens)
                return lp_fail(LP_INPUT, "%s: %s[%llu]: not a token (there are %zu)", lp_gguf_path(gguf), key, (unsigned long long)i, n_tokens);
            (*out)[id] |= (uint8_t)lp_token_flag_keys[k].flag;
        }
    }
    return LP_OK;
}

/* Arrays of a file on their way into a tokenizer. */
typedef struct arrays {
    lp_string *tokens, *merges;
    int32_t *types;
    float *scores;
    uint8_t *charsmap, *flags;
} arrays;

static lp_status read_keys(const lp_gguf *gguf, arrays *a, lp_tokenizer **out)
{
    lp_tokenizer_source source = {.name = lp_gguf_path(gguf), .adds_bos = -1, .adds_space = -1};
    lp_tokenizer_kind kind = LP_TOKENIZER_BPE;
    int adds_eos = 0, lowercase = 1, strip_accents, by_merges = 0, space_once = 0, space_unless = 0, collapses = 0, space_last = 0, white_space = 0, strips = 0;
    int64_t most_characters = 0;
    LP_TRY(lp_gguf_get_string(gguf, "tokenizer.ggml.model", true, &source.model));
    LP_TRY(lp_tokenizer_find_kind(source.name, source.model, &kind)); /* before keys that other models lack are missed */
    LP_TRY(lp_gguf_get_string(gguf, "tokenizer.ggml.pre", false, &source.pre));
    size_t n_tokens = 0;
    LP_TRY(read_strings(gguf, "tokenizer.ggml.tokens", &a->tokens, &n_tokens));
    if (lp_tokenizer_kind_has_scores(kind)) LP_TRY(read_scores(gguf, n_tokens, &a->scores));
    LP_TRY(read_bool(gguf, LP_KEY_BY_MERGES, &by_merges));
    LP_TRY(read_bool(gguf, LP_KEY_SPACE_ONCE, &space_once));
    LP_TRY(read_bool(gguf, LP_KEY_SPACE_UNLESS, &space_unless));
    LP_TRY(read_bool(gguf, LP_KEY_SPACE_LAST, &space_last));
    LP_TRY(read_bool(gguf, LP_KEY_STRIPS, &strips));
    LP_TRY(read_bool(gguf, LP_KEY_WHITE_SPACE, &white_space));
    LP_TRY(lp_gguf_get_i64(gguf, LP_KEY_MOST_CHARACTERS, false, &most_characters));
    if (most_characters < 0 || most_characters > UINT32_MAX)
        return lp_fail(LP_INPUT, "%s: " LP_KEY_MOST_CHARACTERS ": %lld is no length", source.name, (long long)most_characters);
    LP_TRY(read_bool(gguf, "tokenizer.ggml.remove_extra_whitespaces", &collapses));
    if (kind == LP_TOKENIZER_UNIGRAM) LP_TRY(read_charsmap(gguf, &a->charsmap, &source.n_charsmap));
    LP_TRY(read_flags(gguf, n_tokens, &a->flags));
    if (kind == LP_TOKENIZER_BPE || kind == LP_TOKENIZER_GEMMA4 || (kind == LP_TOKENIZER_SPM && by_merges)) LP_TRY(read_strings(gguf, "tokenizer.ggml.merges", &a->merges, &source.n_merges));
    LP_TRY(read_types(gguf, n_tokens, &a->types));
    LP_TRY(read_named(gguf, n_tokens, kind, source.named));
    LP_TRY(read_bool(gguf, "tokenizer.ggml.add_bos_token", &source.adds_bos));
    LP_TRY(read_bool(gguf, "tokenizer.ggml.add_eos_token", &adds_eos));
    LP_TRY(read_bool(gguf, "tokenizer.ggml.add_space_prefix", &source.adds_space));
    LP_TRY(read_bool(gguf, "tokenizer.ggml.normalizer.lowercase", &lowercase));
    strip_accents = lowercase;
    LP_TRY(read_bool(gguf, "tokenizer.ggml.normalizer.strip_accents", &strip_accents));
    source.keeps_case = !lowercase;
    source.keeps_accents = !strip_accents;
    if (kind == LP_TOKENIZER_UNIGRAM && !lp_gguf_find(gguf, "tokenizer.ggml.add_eos_token")) adds_eos = source.named[LP_NAMED_EOS] >= 0;
    source.adds_eos = adds_eos;
    source.by_merges = by_merges;
    source.space_once = space_once;
    source.space_unless = space_unless;
    source.collapses_spaces = collapses;
    source.keeps_last_space = space_last;
    source.strips_end = strips;
    source.all_white_space = white_space;
    source.most_characters = (uint32_t)most_characters;
    source.charsmap = a->charsmap;
    source.flags = a->flags;
    source.special_take_space = is_phi3(gguf);
    source.scores = a->scores;
    source.tokens = a->tokens;
    source.n_tokens = (int32_t)n_tokens;
    source.types = a->types;
    source.merges = a->merges;
    return lp_tokenizer_create_from(&source, out);
}

lp_status lp_tokenizer_create(const lp_gguf *gguf, lp_tokenizer **out)
{
    arrays a = {0};
    *out = NULL;
    lp_status status = read_keys(gguf, &a, out);
    free(a.tokens);
    free(a.merges);
    free(a.types);
    free(a.scores);
    free(a.charsmap);
    free(a.flags);
    return status;
}
