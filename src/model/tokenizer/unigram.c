/* Unigram: Viterbi's search for the best cut. Card: runtime/unigram-and-tokenizer-json. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "model/tokenizer/spm.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/unigram.h"

enum { N_SPACE = sizeof LP_SPM_SPACE - 1 };

lp_status lp_text_append(lp_text_buffer *buffer, const void *bytes, size_t n)
{
    if (buffer->room - buffer->n < n) {
        size_t room;
        if (!lp_add_size(buffer->n, n, &room) || room > SIZE_MAX / 2) return lp_fail_memory(SIZE_MAX, "a text");
        room += room / 2 + 64;
        uint8_t *grown = realloc(buffer->data, room);
        if (!grown) return lp_fail_memory(room, "a text");
        buffer->data = grown;
        buffer->room = room;
    }
    if (n) memcpy(buffer->data + buffer->n, bytes, n);
    buffer->n += n;
    return LP_OK;
}

/* ---- normalizing -------------------------------------------------------------------------------------------------- */

static bool is_white_space(const char *text, size_t n)
{
    size_t end;
    const uint8_t *p = (const uint8_t *)text;
    return n && lp_utf8_length(p, n) == n && lp_category_set(lp_utf8_decode(p, 0, &end)) & LP_SPACES;
}

/* Appends what a text was replaced by. pending: spaces that are not written before it is known what follows; those at the start,
 * `first`, are not written at all. *solid: end of the last text that is no white space. */
static lp_status append_replaced(const lp_unigram *u, lp_string text, size_t first, bool *pending, size_t *solid, lp_text_buffer *out)
{
    for (size_t i = 0; i < text.n;) {
        if (text.data[i] == ' ') {
            if (u->collapses)
                *pending = true;
            else
                LP_TRY(lp_text_append(out, LP_SPM_SPACE, N_SPACE));
            i++;
            continue;
        }
        const char *space = memchr(text.data + i, ' ', text.n - i);
        size_t end = space ? (size_t)(space - text.data) : text.n;
        if (*pending && out->n > first) LP_TRY(lp_text_append(out, LP_SPM_SPACE, N_SPACE));
        *pending = false;
        LP_TRY(lp_text_append(out, text.data + i, end - i));
        if (!is_white_space(text.data + i, end - i)) *solid = out->n;
        i = end;
    }
    return LP_OK;
}

lp_status lp_unigram_normalize(const lp_unigram *unigram, const uint8_t *text, size_t n, lp_space_before before, lp_text_buffer *out)
{
    size_t first = out->n, solid = first;
    bool pending = false;
    if (!n) return LP_OK;
    if (!unigram->collapses && before == LP_SPACE_ALWAYS) LP_TRY(lp_text_append(out, LP_SPM_SPACE, N_SPACE));
    for (size_t at = 0; at < n;) {
        lp_string piece = {(const char *)text + at, 0};
        size_t length = lp_charsmap_find(&unigram->charsmap, text + at, n - at, &piece);
        if (!length) {
            piece.n = length = lp_utf8_length(text + at, n - at);
            if (!length) piece = (lp_string){"\xef\xbf\xbd", 3}, length = 1; /* of no use to the charsmap */
        }
        if (unigram->white_space && is_white_space(piece.data, piece.n)) piece = (lp_string){" ", 1};
        LP_TRY(append_replaced(unigram, piece, first, &pending, &solid, out));
        at += length;
    }
    if (unigram->strips) out->n = solid;
    if (pending && unigram->keeps_last) LP_TRY(lp_text_append(out, LP_SPM_SPACE, N_SPACE));
    bool wanted = unigram->collapses ? before != LP_SPACE_NEVER : before == LP_SPACE_UNLESS;
    bool present = before == LP_SPACE_UNLESS && out->n - first >= N_SPACE && !memcmp(out->data + first, LP_SPM_SPACE, N_SPACE);
    if (!wanted || present || out->n == first) return LP_OK;
    LP_TRY(lp_text_append(out, LP_SPM_SPACE, N_SPACE));
    memmove(out->data + first + N_SPACE, out->data + first, out->n - first - N_SPACE);
    memcpy(out->data + first, LP_SPM_SPACE, N_SPACE);
    return LP_OK;
}

/* ---- searching ---------------------------------------------------------------------------------------------------- */

/* The best cut of the text up to a byte. */
typedef struct lp_unigram_best {
    double sum;
    uint32_t begin; /* of the last token */
    int32_t id;     /* -1: unknown */
} lp_unigram_best;

void lp_unigram_scratch_free(lp_unigram_scratch *scratch)
{
    free(scratch->best);
    *scratch = (lp_unigram_scratch){0};
}

static lp_status reserve(lp_unigram_scratch *scratch, size_t n)
{
    size_t bytes;
    if (n <= scratch->n) return LP_OK;
    lp_unigram_scratch_free(scratch);
    if (!lp_mul_size(n, sizeof *scratch->best, &bytes) || !(scratch->best = malloc(bytes))) return lp_fail_memory(n * 16, "a text's cuts");
    scratch->n = n;
    return LP_OK;
}

/* Ids of an unknown run: its bytes' tokens, or one. */
static lp_status put_unknown(const lp_unigram *u, const uint8_t *text, size_t n, lp_ids *out)
{
    if (!u->byte_id && u->unknown < 0)
        return lp_fail(LP_INPUT, "text: a character that begins with byte 0x%02x: the vocabulary has no token for it and no unknown token", text[0]);
    LP_TRY(lp_ids_reserve(out, n));
    if (!u->byte_id) return out->id[out->n++] = u->unknown, LP_OK;
    for (size_t i = 0; i < n; i++) out->id[out->n++] = u->byte_id[text[i]];
    return LP_OK;
}

/* Turns the chain of last tokens round: of a byte where a token begins, id becomes that token and begin its end. */
static void turn(lp_unigram_best *best, size_t n)
{
    uint32_t end = (uint32_t)n, begin = best[n].begin;
    int32_t id = best[n].id;
    while (end) {
        lp_unigram_best before = best[begin];
        best[begin].id = id;
        best[begin].begin = end;
        id = before.id;
        end = begin;
        begin = before.begin;
    }
}

lp_status lp_unigram_encode(const lp_unigram *unigram, lp_unigram_scratch *scratch, const uint8_t *text, size_t n, lp_ids *out)
{
    if (!n) return LP_OK;
    if (n >= UINT32_MAX) return lp_fail(LP_USAGE, "text: %zu bytes, at most 4294967294 are possible", n);
    LP_TRY(reserve(scratch, n + 1));
    lp_unigram_best *best = scratch->best;
    for (size_t i = 0; i <= n; i++) best[i].sum = -INFINITY;
    best[0] = (lp_unigram_best){0, 0, -1};
    for (size_t at = 0, next; at < n; at = next) {
        lp_utf8_decode(text, at, &next);
        bool single = false;
        double sum = best[at].sum;
        uint32_t state = 0;
        for (size_t end = at; end < n && (state = lp_trie_step(&unigram->trie, state, text[end])) != 0;) {
            int32_t id = unigram->trie.id[state];
            end++;
            if (id < 0) continue;
            single |= end == next;
            if (sum + unigram->score[id] > best[end].sum) best[end] = (lp_unigram_best){sum + unigram->score[id], (uint32_t)at, id};
        }
        if (!single && sum + unigram->unknown_score > best[next].sum)
            best[next] = (lp_unigram_best){sum + unigram->unknown_score, (uint32_t)at, -1};
    }
    turn(best, n);
    LP_TRY(lp_ids_reserve(out, n));
    for (size_t at = 0; at < n;) {
        size_t end = best[at].begin;
        if (best[at].id >= 0) {
            out->id[out->n++] = best[at].id;
        } else {
            while (end < n && best[end].id < 0) end = best[end].begin;
            LP_TRY(put_unknown(unigram, text + at, end - at, out));
            LP_TRY(lp_ids_reserve(out, n - end));
        }
        at = end;
    }
    return LP_OK;
}
