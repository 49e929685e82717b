/* SentencePiece as a greedy merge by score. Card: runtime/tokenizers. */
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "model/tokenizer/heap.h"
#include "model/tokenizer/spm.h"
#include "model/tokenizer/unicode.h"

#define NONE UINT32_MAX

/* ---- scores ------------------------------------------------------------------------------------------------------- */

typedef struct scored {
    float score;
    uint32_t id;
} scored;

static int by_score(const void *a, const void *b)
{
    const scored *x = a, *y = b;
    return x->score > y->score ? -1 : x->score < y->score;
}

lp_status lp_spm_rank(uint32_t **rank, lp_arena *arena, const float *scores, size_t n)
{
    scored *order = malloc((n + 1) * sizeof *order);
    *rank = lp_arena_alloc_array(arena, n, sizeof **rank);
    if (!order || !*rank) {
        free(order);
        return lp_fail_memory((n + 1) * sizeof *order, "the scores of tokens");
    }
    for (size_t i = 0; i < n; i++) order[i] = (scored){scores[i], (uint32_t)i};
    qsort(order, n, sizeof *order, by_score);
    uint32_t place = 0;
    for (size_t i = 0; i < n; i++) {
        if (i && order[i].score < order[i - 1].score) place = (uint32_t)i;
        (*rank)[order[i].id] = place;
    }
    free(order);
    return LP_OK;
}

/* ---- words -------------------------------------------------------------------------------------------------------- */

bool lp_spm_words_end(const lp_vocabulary *vocabulary)
{
    for (int32_t id = 0; id < vocabulary->n; id++) {
        lp_string text = vocabulary->text[id];
        size_t at = 0;
        while (text.n - at >= 3 && !memcmp(text.data + at, LP_SPM_SPACE, 3)) at += 3;
        if (text.n > at && memmem(text.data + at, text.n - at, LP_SPM_SPACE, 3)) return false;
    }
    return true;
}

/* ---- merging ------------------------------------------------------------------------------------------------------ */

void lp_spm_scratch_free(lp_spm_scratch *scratch)
{
    free(scratch->text);
    free(scratch->symbol);
    free(scratch->heap);
    free(scratch->ids.id);
    lp_bpe_scratch_free(&scratch->bpe);
    *scratch = (lp_spm_scratch){0};
}

static lp_status reserve_text(lp_spm_scratch *scratch, size_t n)
{
    if (n <= scratch->n_text) return LP_OK;
    free(scratch->text);
    scratch->n_text = 0;
    if (!(scratch->text = malloc(n))) return lp_fail_memory(n, "a text");
    scratch->n_text = n;
    return LP_OK;
}

static lp_status reserve_symbols(lp_spm_scratch *scratch, size_t n)
{
    if (n <= scratch->n) return LP_OK;
    free(scratch->symbol);
    free(scratch->heap);
    scratch->symbol = NULL;
    scratch->heap = NULL;
    scratch->n = 0;
    size_t n_symbol, n_heap;
    if (!lp_mul_size(n, 4 * sizeof *scratch->symbol, &n_symbol) || !lp_mul_size(n, 2 * sizeof *scratch->heap, &n_heap))
        return lp_fail_memory(SIZE_MAX, "the symbols of a text");
    scratch->symbol = malloc(n_symbol);
    scratch->heap = malloc(n_heap);
    if (!scratch->symbol || !scratch->heap) return lp_fail_memory(n_symbol + n_heap, "the symbols of a text");
    scratch->n = n;
    return LP_OK;
}

/* Spaces escaped, one more in front if wanted. */
static lp_status escape(lp_spm_scratch *scratch, const uint8_t *text, size_t n, bool space_before, size_t *n_escaped)
{
    size_t length = n + (space_before ? 3 : 0);
    for (size_t i = 0; i < n; i++) length += text[i] == ' ' ? 2 : 0; /* n < 2^31 */
    if (length >= NONE) return lp_fail(LP_USAGE, "text: %zu bytes with spaces escaped, at most 4294967294 are possible", length);
    LP_TRY(reserve_text(scratch, length));
    uint8_t *out = scratch->text;
    if (space_before) memcpy(out, LP_SPM_SPACE, 3), out += 3;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == ' ') {
            memcpy(out, LP_SPM_SPACE, 3);
            out += 3;
        } else {
            *out++ = text[i];
        }
    }
    *n_escaped = length;
    return LP_OK;
}

/* Bytes of the character at the start of a text; one that is not part of well-formed UTF-8 stands alone, so that an
 * escaped space behind half a character stays whole. */
static size_t character(const uint8_t *text, size_t n)
{
    size_t length = lp_utf8_length(text, n);
    return length ? length : 1;
}

/* The symbols of a text, each named by its index among the characters. */
typedef struct symbols {
    const lp_spm *spm;
    const uint8_t *text;
    uint32_t n_text;
    uint32_t *begin;           /* byte where it begins */
    uint32_t *previous, *next; /* NONE: none */
    uint32_t *rank;            /* of the token that it and the next make; NONE: none */
    uint64_t *heap;            /* rank << 32 | symbol */
    size_t n_heap;
} symbols;

static uint32_t end_of(const symbols *s, uint32_t i) { return s->next[i] == NONE ? s->n_text : s->begin[s->next[i]]; }

/* Looks up the pair that begins at i and queues it. */
static void offer(symbols *s, uint32_t i)
{
    s->rank[i] = NONE;
    if (s->next[i] == NONE) return;
    size_t n = end_of(s, s->next[i]) - s->begin[i];
    if (n > s->spm->max_token) return;
    int32_t id = lp_vocabulary_find(s->spm->vocabulary, s->text + s->begin[i], n);
    if (id < 0) return;
    s->rank[i] = s->spm->rank[id];
    lp_heap_push(s->heap, &s->n_heap, (uint64_t)s->rank[i] << 32 | i);
}

/* A key is stale, and skipped, when the pair at its symbol has another rank by now. A merge removes one key and adds at
 * most two, so 2 n keys suffice. */
static void merge(symbols *s, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) offer(s, i);
    while (s->n_heap) {
        uint64_t key = lp_heap_pop(s->heap, &s->n_heap);
        uint32_t at = (uint32_t)key;
        if (s->rank[at] != key >> 32) continue;
        uint32_t gone = s->next[at], after = s->next[gone];
        s->rank[gone] = NONE;
        s->next[at] = after;
        if (after != NONE) s->previous[after] = at;
        offer(s, at);
        if (s->previous[at] != NONE) offer(s, s->previous[at]);
    }
}

/* Appends the ids of bytes that are no token together. */
static lp_status put_bytes(const lp_spm *spm, const uint8_t *text, size_t n, lp_ids *out)
{
    LP_TRY(lp_ids_reserve(out, n));
    for (size_t k = 0; k < n; k++) {
        int32_t id = spm->byte_id[text[k]];
        if (id < 0) return lp_fail(LP_INPUT, "text: byte 0x%02x: the vocabulary has no token for it and no unknown token", text[k]);
        out->id[out->n++] = id;
    }
    return LP_OK;
}

static lp_status emit(const symbols *s, lp_ids *out)
{
    const lp_spm *spm = s->spm;
    for (uint32_t i = 0; i != NONE; i = s->next[i]) {
        size_t n = end_of(s, i) - s->begin[i];
        const uint8_t *text = s->text + s->begin[i];
        int32_t id = n <= spm->max_token ? lp_vocabulary_find(spm->vocabulary, text, n) : -1;
        LP_TRY(lp_ids_reserve(out, n));
        if (id >= 0) {
            out->id[out->n++] = id;
            continue;
        }
        LP_TRY(put_bytes(spm, text, n, out));
    }
    return LP_OK;
}

/* By the list of merges. A character without a token is -1 less its place among the bytes. */
static lp_status encode_by_merges(const lp_spm *spm, lp_spm_scratch *scratch, size_t n_text, lp_ids *out)
{
    const uint8_t *text = scratch->text;
    lp_ids *ids = &scratch->ids;
    ids->n = 0;
    if (n_text > INT32_MAX) return lp_fail(LP_USAGE, "text: %zu bytes with spaces escaped, at most 2147483647 are possible", n_text);
    LP_TRY(lp_ids_reserve(ids, n_text));
    for (size_t at = 0, length; at < n_text; at += length) {
        length = character(text + at, n_text - at);
        int32_t id = lp_vocabulary_find(spm->vocabulary, text + at, length);
        ids->id[ids->n++] = id >= 0 ? id : -1 - (int32_t)at;
    }
    LP_TRY(lp_bpe_merge(spm->merges, &scratch->bpe, ids->id, &ids->n));
    LP_TRY(lp_ids_reserve(out, ids->n));
    for (size_t i = 0; i < ids->n; i++) {
        int32_t id = ids->id[i];
        if (id >= 0) {
            LP_TRY(lp_ids_reserve(out, 1));
            out->id[out->n++] = id;
        } else {
            size_t at = (size_t)(-1 - id);
            LP_TRY(put_bytes(spm, text + at, character(text + at, n_text - at), out));
        }
    }
    return LP_OK;
}

lp_status lp_spm_encode(const lp_spm *spm, lp_spm_scratch *scratch, const uint8_t *text, size_t n, bool space_before,
                        lp_ids *out)
{
    size_t n_text = 0;
    uint32_t n_symbols = 0;
    LP_TRY(escape(scratch, text, n, space_before, &n_text));
    if (!n_text) return LP_OK;
    if (spm->merges) return encode_by_merges(spm, scratch, n_text, out);
    for (size_t at = 0; at < n_text; at += character(scratch->text + at, n_text - at)) n_symbols++;
    LP_TRY(reserve_symbols(scratch, n_symbols));
    symbols s = {.spm = spm, .text = scratch->text, .n_text = (uint32_t)n_text, .begin = scratch->symbol, .heap = scratch->heap};
    s.previous = s.begin + n_symbols;
    s.next = s.previous + n_symbols;
    s.rank = s.next + n_symbols;
    size_t at = 0;
    for (uint32_t i = 0; i < n_symbols; i++) {
        s.begin[i] = (uint32_t)at;
        s.previous[i] = i ? i - 1 : NONE;
        s.next[i] = i + 1 < n_symbols ? i + 1 : NONE;
        at += character(s.text + at, n_text - at);
    }
    merge(&s, n_symbols);
    return emit(&s, out);
}
