/* Values of chat templates: memory within its limit, strings with their origin, truth, equality, order. */
#include "model/template/template.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/fail.h"
#include "model/tokenizer/unicode.h"

void lp_render_fail(lp_render *r, const char *format, ...)
{
    if (r->status) return;
    char what[600];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    uint32_t line = 1, column = 1;
    if (r->at) lp_template_position(r->owner->text, r->owner->n, r->at->at, &line, &column);
    r->status = lp_fail(LP_INPUT, "chat template: line %u, column %u: %s", line, column, what);
}

void *lp_render_alloc(lp_render *r, size_t n)
{
    enum { BLOCK = 64 << 10 };
    if (r->status) return NULL;
    size_t wanted = n > LP_TEMPLATE_MEMORY ? n : (n + 15) & ~(size_t)15;
    if (wanted > LP_TEMPLATE_MEMORY - r->n_memory) {
        lp_render_fail(r, "memory: more than 64 MiB (%zu bytes asked for)", n);
        return NULL;
    }
    r->n_memory += wanted;
    char *p;
    if (wanted > BLOCK / 4) {
        p = lp_arena_alloc(&r->arena, wanted);
    } else {
        if (wanted > r->n_block) {
            r->block = lp_arena_alloc(&r->arena, BLOCK);
            r->n_block = r->block ? BLOCK : 0;
        }
        p = r->block;
        if (p) r->block += wanted, r->n_block -= wanted;
    }
    if (!p) r->status = LP_RESOURCE;
    return p;
}

/* A step costs 16 and 1 for every 16 bytes, so that the limit holds for time too. */
bool lp_render_step(lp_render *r, size_t n)
{
    r->n_steps += 16 + (int64_t)(n / 16);
    if (r->n_steps > LP_TEMPLATE_STEPS) lp_render_fail(r, "more than 50 million units of work (about 3 million steps)");
    return !r->status;
}

lp_value lp_undefined(void) { return (lp_value){.kind = LP_VALUE_UNDEFINED}; }
lp_value lp_none(void) { return (lp_value){.kind = LP_VALUE_NONE}; }
lp_value lp_bool(bool b) { return (lp_value){.kind = LP_VALUE_BOOL, .boolean = b}; }
lp_value lp_int(int64_t i) { return (lp_value){.kind = LP_VALUE_INT, .integer = i}; }
lp_value lp_real(double x) { return (lp_value){.kind = LP_VALUE_REAL, .real = x}; }

lp_value lp_text_of(lp_render *r, const char *data, const uint8_t *origin, size_t n, uint8_t origin_of_all)
{
    lp_text *text = lp_render_alloc(r, sizeof *text);
    if (!text) return lp_undefined();
    *text = (lp_text){data, origin, n, origin_of_all};
    return (lp_value){.kind = LP_VALUE_STRING, .text = text};
}

lp_value lp_text_copy(lp_render *r, const char *data, const uint8_t *origin, size_t n, uint8_t origin_of_all)
{
    lp_render_step(r, n);
    char *copy = lp_render_alloc(r, n + 1);
    uint8_t *copied = origin ? lp_render_alloc(r, n + 1) : NULL;
    if (r->status) return lp_undefined();
    if (n) memcpy(copy, data, n);
    if (n && copied) memcpy(copied, origin, n);
    return lp_text_of(r, copy, copied, n, origin_of_all);
}

lp_value lp_text_slice(lp_render *r, lp_value s, size_t begin, size_t end)
{
    const lp_text *t = s.text;
    return lp_text_of(r, t->data + begin, t->origin ? t->origin + begin : NULL, end - begin, t->origin_of_all);
}

lp_value lp_list_new(lp_render *r, lp_value_kind kind, size_t room)
{
    lp_list *list = lp_render_alloc(r, sizeof *list);
    if (!list) return lp_undefined();
    list->item = room ? lp_render_alloc(r, room * sizeof *list->item) : NULL; /* room counts things in memory */
    list->room = room;
    return (lp_value){.kind = kind, .list = list};
}

void lp_list_push(lp_render *r, lp_value v, lp_value item)
{
    if (r->status || !lp_render_step(r, 0)) return;
    lp_list *list = v.list;
    if (list->n == list->room) {
        size_t room = 2 * list->room + 4;
        lp_value *more = lp_render_alloc(r, room * sizeof *more);
        if (!more) return;
        if (list->n) memcpy(more, list->item, list->n * sizeof *more);
        list->item = more;
        list->room = room;
    }
    list->item[list->n++] = item;
}

lp_value lp_dict_new(lp_render *r, lp_value_kind kind)
{
    lp_dict *dict = lp_render_alloc(r, sizeof *dict);
    return dict ? (lp_value){.kind = kind, .dict = dict} : lp_undefined();
}

lp_value *lp_dict_find_text(lp_render *r, const lp_dict *d, const char *key, size_t n)
{
    lp_render_step(r, 8 * d->n);
    for (size_t i = 0; i < d->n; i++)
        if (d->key[i].kind == LP_VALUE_STRING && d->key[i].text->n == n && memcmp(d->key[i].text->data, key, n) == 0)
            return &d->value[i];
    return NULL;
}

lp_value *lp_dict_find(lp_render *r, const lp_dict *d, lp_value key)
{
    if (key.kind == LP_VALUE_STRING) return lp_dict_find_text(r, d, key.text->data, key.text->n);
    for (size_t i = 0; i < d->n && !r->status; i++)
        if (lp_value_same(r, d->key[i], key)) return &d->value[i];
    return NULL;
}

void lp_dict_set(lp_render *r, lp_value v, lp_value key, lp_value value)
{
    if (r->status) return;
    if (key.kind >= LP_VALUE_LIST && key.kind != LP_VALUE_TUPLE) {
        lp_render_fail(r, "a %s cannot be a key", lp_kind_name(key));
        return;
    }
    lp_dict *d = v.dict;
    lp_value *old = lp_dict_find(r, d, key);
    if (old) {
        *old = value;
        return;
    }
    if (d->n == d->room) {
        size_t room = 2 * d->room + 4;
        lp_value *keys = lp_render_alloc(r, room * sizeof *keys), *values = lp_render_alloc(r, room * sizeof *values);
        if (r->status) return;
        if (d->n) memcpy(keys, d->key, d->n * sizeof *keys), memcpy(values, d->value, d->n * sizeof *values);
        d->key = keys;
        d->value = values;
        d->room = room;
    }
    d->key[d->n] = key;
    d->value[d->n++] = value;
}

bool lp_is_sequence(lp_value v)
{
    return v.kind == LP_VALUE_LIST || v.kind == LP_VALUE_TUPLE || v.kind == LP_VALUE_RANGE;
}

size_t lp_sequence_size(lp_value v) { return v.kind == LP_VALUE_RANGE ? (size_t)v.range->n : v.list->n; }

lp_value lp_sequence_at(lp_value v, size_t i)
{
    return v.kind == LP_VALUE_RANGE ? lp_int(v.range->first + v.range->step * (int64_t)i) : v.list->item[i];
}

lp_value lp_iterable(lp_render *r, lp_value v)
{
    if (lp_is_sequence(v)) return v;
    lp_value list = lp_list_new(r, LP_VALUE_LIST, 0), item;
    lp_iterator it;
    lp_iterator_begin(r, v, &it);
    while (lp_iterator_next(r, &it, &item)) lp_list_push(r, list, item);
    return list;
}

bool lp_iterator_begin(lp_render *r, lp_value v, lp_iterator *out)
{
    *out = (lp_iterator){.source = v};
    bool has_items = lp_is_sequence(v) || v.kind == LP_VALUE_STRING || v.kind == LP_VALUE_DICT || v.kind == LP_VALUE_LAZY ||
                     v.kind == LP_VALUE_UNDEFINED;
    if (!has_items) lp_render_fail(r, "a %s has no items", lp_kind_name(v));
    return !r->status;
}

static bool next_item(lp_render *r, lp_iterator *it, lp_value *item)
{
    lp_value v = it->source;
    if (lp_is_sequence(v)) {
        if (it->at >= lp_sequence_size(v)) return false;
        *item = lp_sequence_at(v, it->at++);
    } else if (v.kind == LP_VALUE_STRING) {
        size_t begin = it->at;
        if (begin >= v.text->n) return false;
        (void)lp_character_at(v.text->data, begin, &it->at);
        *item = lp_text_slice(r, v, begin, it->at);
    } else if (v.kind == LP_VALUE_DICT) {
        if (it->at >= v.dict->n) return false;
        *item = v.dict->key[it->at++];
    } else {
        return v.kind == LP_VALUE_LAZY && lp_lazy_next(r, v.lazy, item);
    }
    return true;
}

/* A list that grows meanwhile gives its new items too, as Python's does. */
bool lp_iterator_next(lp_render *r, lp_iterator *it, lp_value *item)
{
    if (r->status || it->ended || !lp_render_step(r, 0)) return false;
    it->ended = !next_item(r, it, item);
    return !it->ended && !r->status;
}

bool lp_truth(lp_value v)
{
    switch (v.kind) {
    case LP_VALUE_UNDEFINED: case LP_VALUE_NONE: return false;
    case LP_VALUE_BOOL: return v.boolean;
    case LP_VALUE_INT: return v.integer != 0;
    case LP_VALUE_REAL: return v.real < 0 || v.real > 0 || isnan(v.real);
    case LP_VALUE_STRING: return v.text->n > 0;
    case LP_VALUE_LIST: case LP_VALUE_TUPLE: case LP_VALUE_RANGE: return lp_sequence_size(v) > 0;
    case LP_VALUE_DICT: return v.dict->n > 0;
    default: return true;
    }
}

static bool is_number(lp_value v) { return v.kind == LP_VALUE_BOOL || v.kind == LP_VALUE_INT || v.kind == LP_VALUE_REAL; }

static int64_t whole(lp_value v) { return v.kind == LP_VALUE_BOOL ? v.boolean : v.integer; }

static double number(lp_value v) { return v.kind == LP_VALUE_REAL ? v.real : (double)whole(v); }

/* Nested values are as deep as the program that built them had steps for: the depth is bounded. */
static bool same(lp_render *r, lp_value a, lp_value b, int depth)
{
    if (!lp_render_step(r, 0)) return false;
    if (depth > LP_TEMPLATE_JSON_DEPTH) {
        lp_render_fail(r, "values nested deeper than 128");
        return false;
    }
    if (is_number(a) && is_number(b)) {
        if (a.kind != LP_VALUE_REAL && b.kind != LP_VALUE_REAL) return whole(a) == whole(b);
        return number(a) <= number(b) && number(a) >= number(b);
    }
    if (a.kind == LP_VALUE_RANGE && b.kind == LP_VALUE_RANGE) return a.range == b.range;
    if (a.kind != b.kind) return false;
    switch (a.kind) {
    case LP_VALUE_UNDEFINED: case LP_VALUE_NONE: return true;
    case LP_VALUE_STRING:
        lp_render_step(r, a.text->n);
        return a.text->n == b.text->n && memcmp(a.text->data, b.text->data, a.text->n) == 0;
    case LP_VALUE_LIST: case LP_VALUE_TUPLE: {
        if (a.list->n != b.list->n) return false;
        for (size_t i = 0; i < a.list->n; i++)
            if (!same(r, a.list->item[i], b.list->item[i], depth + 1)) return false;
        return true;
    }
    case LP_VALUE_DICT: {
        if (a.dict->n != b.dict->n) return false;
        for (size_t i = 0; i < a.dict->n; i++) {
            lp_value *other = lp_dict_find(r, b.dict, a.dict->key[i]);
            if (!other || !same(r, a.dict->value[i], *other, depth + 1)) return false;
        }
        return true;
    }
    default: return a.text == b.text;
    }
}

bool lp_value_same(lp_render *r, lp_value a, lp_value b) { return same(r, a, b, 0); }

static int order_text(const lp_text *a, const lp_text *b, bool ignore_case)
{
    size_t n = a->n < b->n ? a->n : b->n;
    for (size_t i = 0; i < n; i++) {
        uint8_t x = (uint8_t)a->data[i], y = (uint8_t)b->data[i];
        if (ignore_case && x >= 'A' && x <= 'Z') x = (uint8_t)(x + 32);
        if (ignore_case && y >= 'A' && y <= 'Z') y = (uint8_t)(y + 32);
        if (x != y) return x < y ? -1 : 1;
    }
    return (a->n > b->n) - (a->n < b->n);
}

int lp_value_order(lp_render *r, lp_value a, lp_value b, bool ignore_case)
{
    if (!lp_render_step(r, 0)) return 0;
    if (is_number(a) && is_number(b)) {
        if (a.kind != LP_VALUE_REAL && b.kind != LP_VALUE_REAL) return (whole(a) > whole(b)) - (whole(a) < whole(b));
        return (number(a) > number(b)) - (number(a) < number(b));
    }
    if (a.kind == LP_VALUE_STRING && b.kind == LP_VALUE_STRING) {
        lp_render_step(r, a.text->n);
        return order_text(a.text, b.text, ignore_case);
    }
    lp_render_fail(r, "a %s and a %s have no order", lp_kind_name(a), lp_kind_name(b));
    return 0;
}

const char *lp_kind_name(lp_value v)
{
    static const char *const names[] = {"undefined value", "none", "boolean", "integer", "float", "string", "list", "tuple",
                                        "dict", "namespace", "macro", "range", "loop", "generator"};
    _Static_assert(sizeof names / sizeof *names == LP_VALUE_LAZY + 1, "a name for each kind");
    return names[v.kind];
}

size_t lp_count_characters(const char *s, size_t n)
{
    size_t count = 0;
    for (size_t i = 0; i < n; i++) count += ((uint8_t)s[i] & 0xc0) != 0x80;
    return count;
}

uint32_t lp_character_at(const char *s, size_t at, size_t *next) { return lp_utf8_decode((const uint8_t *)s, at, next); }

bool lp_is_space(uint32_t c) { return c < 0x110000 && ((lp_category_set(c) & LP_SPACES) || (c >= 0x1c && c <= 0x1f)); }

static bool strips(uint32_t c, const lp_text *set)
{
    if (!set) return lp_is_space(c);
    for (size_t at = 0; at < set->n;)
        if (lp_character_at(set->data, at, &at) == c) return true;
    return false;
}

lp_value lp_strip(lp_render *r, lp_value s, const lp_text *set, bool left, bool right)
{
    size_t begin = 0, end = s.text->n, next;
    lp_render_step(r, end * (set ? set->n + 1 : 1));
    if (r->status) return s;
    while (left && begin < end && strips(lp_character_at(s.text->data, begin, &next), set)) begin = next;
    while (right && end > begin) {
        size_t at = end - 1;
        while (at > begin && ((uint8_t)s.text->data[at] & 0xc0) == 0x80) at--;
        if (!strips(lp_character_at(s.text->data, at, &next), set)) break;
        end = at;
    }
    return lp_text_slice(r, s, begin, end);
}
