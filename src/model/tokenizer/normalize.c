/* Normalization forms (Unicode Standard Annex 15). */
#include <stdlib.h>
#include <string.h>

#include "base/checked.h"
#include "base/fail.h"
#include "model/tokenizer/unicode.h"
#include "model/tokenizer/unicode_forms.h"

enum { MAY_CHANGE = 255 };

static uint8_t table_of(uint32_t c) { return lp_order_of[(size_t)lp_order_block[c >> 8] * 256 + (c & 255)]; }

/* Combining class; 0: a starter. */
static uint8_t order_of(uint32_t c)
{
    uint8_t order = table_of(c);
    return order == MAY_CHANGE ? 0 : order;
}

bool lp_is_nfc(const uint8_t *text, size_t n)
{
    for (size_t at = 0; at < n;) {
        uint64_t eight;
        if (n - at >= 8 && (memcpy(&eight, text + at, 8), !(eight & UINT64_C(0x8080808080808080)))) {
            at += 8;
            continue;
        }
        if (text[at] < 0xcc) { /* below U+0300 nothing changes */
            at += text[at] < 0x80 ? 1 : 2;
            continue;
        }
        if (table_of(lp_utf8_decode(text, at, &at))) return false;
    }
    return true;
}

/* ---- decomposing -------------------------------------------------------------------------------------------------- */

typedef struct characters {
    uint32_t *c; /* [n] */
    size_t n, room;
} characters;

static bool put(characters *list, uint32_t c)
{
    if (list->n == list->room) {
        size_t room = list->room + list->room / 2 + 64, bytes;
        uint32_t *grown = lp_mul_size(room, sizeof *grown, &bytes) ? realloc(list->c, bytes) : NULL;
        if (!grown) return false;
        list->c = grown;
        list->room = room;
    }
    list->c[list->n++] = c;
    return true;
}

static const lp_decomposition *find_decomposition(uint32_t c, bool compatible)
{
    const lp_decomposition *table = compatible ? lp_compatible : lp_canonical;
    size_t low = 0, high = compatible ? lp_n_compatible : lp_n_canonical, n = high;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table[middle].from < c)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && table[low].from == c ? &table[low] : NULL;
}

/* Hangul syllables are 19 x 21 x 28 letters. */
enum { L_BASE = 0x1100, V_BASE = 0x1161, T_BASE = 0x11a7, S_BASE = 0xac00, N_L = 19, N_V = 21, N_T = 28, N_S = N_L * N_V * N_T };

static bool decompose(characters *list, uint32_t c, bool compatible)
{
    if (c < 0xa0) return put(list, c);
    if (c - S_BASE < N_S) {
        uint32_t index = c - S_BASE, last = index % N_T;
        return put(list, L_BASE + index / (N_V * N_T)) && put(list, V_BASE + index % (N_V * N_T) / N_T) && (!last || put(list, T_BASE + last));
    }
    const lp_decomposition *found = find_decomposition(c, compatible);
    if (!found) return put(list, c);
    for (int i = 0; i < found->n; i++)
        if (!put(list, lp_decomposed[found->at + i])) return false;
    return true;
}

/* ---- ordering ----------------------------------------------------------------------------------------------------- */

/* A run of marks by their class, equal ones as they stood: insertion, or counting where there are many. other: [n]. */
static void sort_marks(uint32_t *c, size_t n, uint32_t *other)
{
    size_t place[257] = {0};
    if (n <= 32) {
        for (size_t i = 1; i < n; i++) {
            uint32_t moved = c[i];
            size_t k = i;
            for (; k && order_of(c[k - 1]) > order_of(moved); k--) c[k] = c[k - 1];
            c[k] = moved;
        }
        return;
    }
    for (size_t i = 0; i < n; i++) place[order_of(c[i]) + 1]++;
    for (int k = 1; k < 257; k++) place[k] += place[k - 1];
    for (size_t i = 0; i < n; i++) other[place[order_of(c[i])]++] = c[i];
    memcpy(c, other, n * sizeof *c);
}

static lp_status reorder(characters *list)
{
    uint32_t *other = NULL;
    lp_status status = LP_OK;
    for (size_t i = 0, end; i < list->n && status == LP_OK; i = end + !(end > i)) {
        end = i;
        while (end < list->n && order_of(list->c[end])) end++;
        if (end - i > 32 && !other && !(other = malloc(list->n * sizeof *other))) status = lp_fail_memory(list->n * sizeof *other, "a text");
        if (end - i > 1 && status == LP_OK) sort_marks(list->c + i, end - i, other);
    }
    free(other);
    return status;
}

/* ---- composing ---------------------------------------------------------------------------------------------------- */

/* What two characters become; 0: they stay. */
static uint32_t compose_pair(uint32_t a, uint32_t b)
{
    if (a - L_BASE < N_L && b - V_BASE < N_V) return S_BASE + ((a - L_BASE) * N_V + (b - V_BASE)) * N_T;
    if (a - S_BASE < N_S && (a - S_BASE) % N_T == 0 && b - T_BASE - 1 < N_T - 1) return a + (b - T_BASE);
    if (b < 0x300) return 0;
    size_t low = 0, high = lp_n_composed;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const lp_composition *row = &lp_composed[middle];
        if (row->first < a || (row->first == a && row->second < b))
            low = middle + 1;
        else
            high = middle;
    }
    return low < lp_n_composed && lp_composed[low].first == a && lp_composed[low].second == b ? lp_composed[low].composed : 0;
}

/* A mark joins the last starter unless one of its own or a higher class stands between. */
static void compose(characters *list)
{
    size_t n = 0, starter = SIZE_MAX;
    uint8_t last = 0; /* class of the character before, if it is no starter */
    for (size_t i = 0; i < list->n; i++) {
        uint32_t c = list->c[i], composed = 0;
        uint8_t order = order_of(c);
        bool adjacent = starter != SIZE_MAX && starter + 1 == n;
        if (starter != SIZE_MAX && (adjacent || (last && last < order))) composed = compose_pair(list->c[starter], c);
        if (composed) {
            list->c[starter] = composed;
            continue;
        }
        if (!order) starter = n;
        last = order;
        list->c[n++] = c;
    }
    list->n = n;
}

/* ---- the whole ---------------------------------------------------------------------------------------------------- */

lp_status lp_normalize(lp_form form, const uint8_t *text, size_t n, lp_text_buffer *out)
{
    characters list = {0};
    bool compatible = form == LP_NFKC || form == LP_NFKD, complete = true;
    for (size_t at = 0; at < n && complete;) complete = decompose(&list, lp_utf8_decode(text, at, &at), compatible);
    lp_status status = complete ? reorder(&list) : lp_fail_memory(n * sizeof *list.c, "a text");
    if (status == LP_OK && (form == LP_NFC || form == LP_NFKC)) compose(&list);
    for (size_t i = 0; i < list.n && status == LP_OK; i++) {
        uint8_t bytes[4];
        status = lp_text_append(out, bytes, lp_utf8_encode(list.c[i], bytes));
    }
    free(list.c);
    return status;
}
