/* The tokenizer.ggml.* keys of a GGUF file. Card: runtime/tokenizers. */
#include <stdlib.h>

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

static lp_status read_named(const lp_gguf *gguf, size_t n_tokens, int32_t named[LP_NAMED_COUNT])
{
    for (int i = 0; i < LP_NAMED_COUNT; i++) {
        const char *key = lp_named_token_key((lp_named_token)i);
        int64_t id = -1;
        LP_TRY(lp_gguf_get_i64(gguf, key, false, &id));
        if (lp_gguf_find(gguf, key) && (id < 0 || id >= (int64_t)n_tokens))
            return lp_fail(LP_INPUT, "%s: %s: %lld is not a token (there are %zu)", lp_gguf_path(gguf), key, (long long)id,
                           n_tokens);
        named[i] = (int32_t)id;
    }
    return LP_OK;
}

/* Arrays of a file on their way into a tokenizer. */
typedef struct arrays {
    lp_string *tokens, *merges;
    int32_t *types;
} arrays;

static lp_status read_keys(const lp_gguf *gguf, arrays *a, lp_tokenizer **out)
{
    lp_tokenizer_source source = {.name = lp_gguf_path(gguf), .adds_bos = -1};
    LP_TRY(lp_gguf_get_string(gguf, "tokenizer.ggml.model", true, &source.model));
    LP_TRY(lp_tokenizer_check_model(source.name, source.model)); /* before keys that other models lack are missed */
    LP_TRY(lp_gguf_get_string(gguf, "tokenizer.ggml.pre", false, &source.pre));
    size_t n_tokens = 0;
    LP_TRY(read_strings(gguf, "tokenizer.ggml.tokens", &a->tokens, &n_tokens));
    LP_TRY(read_strings(gguf, "tokenizer.ggml.merges", &a->merges, &source.n_merges));
    LP_TRY(read_types(gguf, n_tokens, &a->types));
    LP_TRY(read_named(gguf, n_tokens, source.named));
    if (lp_gguf_find(gguf, "tokenizer.ggml.add_bos_token")) {
        bool adds_bos = false;
        LP_TRY(lp_gguf_get_bool(gguf, "tokenizer.ggml.add_bos_token", true, &adds_bos));
        source.adds_bos = adds_bos;
    }
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
    return status;
}
