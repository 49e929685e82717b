/* What templates may call: filters, tests, methods, functions. Each is a row of a table. */
#include "model/template/template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool named(lp_string s, const char *name) { return s.n == strlen(name) && memcmp(s.data, name, s.n) == 0; }

/* The argument at a place or of a name; undefined if it is not given. */
static lp_value argument(const lp_arguments *a, size_t index, const char *name)
{
    if (index < a->n) return a->positional[index];
    for (size_t i = 0; i < a->n_named; i++)
        if (named(a->name[i], name)) return a->named[i];
    return lp_undefined();
}

static lp_value text(lp_render *r, const char *s) { return lp_text_of(r, s, NULL, strlen(s), 0); }

static bool need_text(lp_render *r, lp_value v)
{
    if (v.kind != LP_VALUE_STRING) lp_render_fail(r, "a string is needed, this is a %s", lp_kind_name(v));
    return !r->status;
}

/* ---- look-up ----------------------------------------------------------------------------------------------------- */

lp_value lp_member(lp_render *r, lp_value v, lp_string name)
{
    if (name.n && name.data[0] == '_') lp_render_fail(r, "the name begins with an underscore");
    else if (v.kind == LP_VALUE_UNDEFINED) lp_render_fail(r, "'%.40s' of an undefined value", name.data);
    else if (v.kind == LP_VALUE_LOOP) return lp_loop_member(r, v.loop, name);
    else if (v.kind == LP_VALUE_DICT || v.kind == LP_VALUE_NAMESPACE) {
        lp_value *found = lp_dict_find_text(r, v.dict, name.data, name.n);
        return found ? *found : lp_undefined();
    }
    return lp_undefined();
}

lp_value lp_item(lp_render *r, lp_value v, lp_value key)
{
    if (key.kind == LP_VALUE_STRING && key.text->n > 1 && memcmp(key.text->data, "__", 2) == 0) {
        lp_render_fail(r, "the name begins with an underscore");
    } else if (v.kind == LP_VALUE_UNDEFINED) {
        lp_render_fail(r, "an item of an undefined value");
    } else if (v.kind == LP_VALUE_DICT || v.kind == LP_VALUE_NAMESPACE) {
        lp_value *found = lp_dict_find(r, v.dict, key);
        return found ? *found : lp_undefined();
    } else if (key.kind == LP_VALUE_INT && (v.kind == LP_VALUE_STRING || lp_is_sequence(v))) {
        lp_value items = lp_iterable(r, v);
        if (r->status) return items;
        int64_t n = (int64_t)lp_sequence_size(items), i = key.integer < 0 ? key.integer + n : key.integer;
        return i >= 0 && i < n ? lp_sequence_at(items, (size_t)i) : lp_undefined();
    }
    return lp_undefined();
}

/* ---- shared by filters and methods ------------------------------------------------------------------------------- */

static lp_value items_of(lp_render *r, lp_value v)
{
    lp_value list = lp_list_new(r, LP_VALUE_LIST, 0);
    for (size_t i = 0; v.kind == LP_VALUE_DICT && i < v.dict->n && !r->status; i++) {
        lp_value pair = lp_list_new(r, LP_VALUE_TUPLE, 2);
        lp_list_push(r, pair, v.dict->key[i]);
        lp_list_push(r, pair, v.dict->value[i]);
        lp_list_push(r, list, pair);
    }
    return list;
}

static lp_value replaced(lp_render *r, lp_value v, const lp_arguments *a)
{
    lp_value old = argument(a, 0, "old"), new = argument(a, 1, "new"), count = argument(a, 2, "count");
    if (!need_text(r, v) || !need_text(r, old) || !need_text(r, new)) return lp_undefined();
    int64_t most = count.kind == LP_VALUE_INT && count.integer >= 0 ? count.integer : INT64_MAX;
    size_t begin = r->n_out, n = v.text->n, at = 0;
    while (at <= n && !r->status) {
        const char *hit = most > 0 ? memmem(v.text->data + at, n - at, old.text->data, old.text->n) : NULL;
        size_t end = hit ? (size_t)(hit - v.text->data) : n;
        lp_emit_value(r, lp_text_slice(r, v, at, end));
        if (!hit) break;
        lp_emit_value(r, new);
        most--;
        at = end + old.text->n;
        if (!old.text->n) {
            size_t next = end;
            if (end == n) break;
            (void)lp_character_at(v.text->data, end, &next);
            lp_emit_value(r, lp_text_slice(r, v, end, next));
            at = next;
        }
    }
    return lp_capture(r, begin);
}

static lp_value split(lp_render *r, lp_value v, const lp_arguments *a)
{
    lp_value by = argument(a, 0, "sep"), most = argument(a, 1, "maxsplit"), list = lp_list_new(r, LP_VALUE_LIST, 0);
    int64_t cuts = most.kind == LP_VALUE_INT && most.integer >= 0 ? most.integer : INT64_MAX;
    size_t n = v.text->n, at = 0, next = 0;
    lp_render_step(r, n);
    if (by.kind == LP_VALUE_UNDEFINED || by.kind == LP_VALUE_NONE) {
        while (!r->status) {
            while (at < n && lp_is_space(lp_character_at(v.text->data, at, &next))) at = next;
            if (at >= n) break;
            size_t end = at;
            if (cuts-- <= 0) {
                lp_list_push(r, list, lp_strip(r, lp_text_slice(r, v, at, n), NULL, false, true));
                break;
            }
            while (end < n && !lp_is_space(lp_character_at(v.text->data, end, &next))) end = next;
            lp_list_push(r, list, lp_text_slice(r, v, at, end));
            at = end;
        }
        return list;
    }
    if (!need_text(r, by)) return list;
    if (!by.text->n) lp_render_fail(r, "split by an empty string");
    while (!r->status) {
        const char *hit = cuts-- > 0 ? memmem(v.text->data + at, n - at, by.text->data, by.text->n) : NULL;
        size_t end = hit ? (size_t)(hit - v.text->data) : n;
        lp_list_push(r, list, lp_text_slice(r, v, at, end));
        if (!hit) break;
        at = end + by.text->n;
    }
    return list;
}

/* ASCII letters only: other letters have no case here. */
lp_value lp_change_case(lp_render *r, lp_value v, char how)
{
    if (!need_text(r, v)) return v;
    lp_value out = lp_text_copy(r, v.text->data, v.text->origin, v.text->n, v.text->origin_of_all);
    if (r->status) return out;
    char *s = (char *)out.text->data;
    bool start = true;
    for (size_t i = 0; i < out.text->n; i++) {
        bool upper = how == 'u' || (how == 'c' && i == 0) || (how == 't' && start);
        bool letter = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= 'A' && s[i] <= 'Z');
        if (letter) s[i] = (char)(upper ? s[i] & ~32 : s[i] | 32);
        start = !letter && (uint8_t)s[i] < 128 && s[i] != '\'';
    }
    return out;
}

static lp_value get(lp_render *r, lp_value v, const lp_arguments *a)
{
    lp_value *found = lp_dict_find(r, v.dict, argument(a, 0, "key"));
    if (found) return *found;
    return a->n > 1 || a->n_named ? argument(a, 1, "default") : lp_none();
}

static lp_value keys_or_values(lp_render *r, lp_value v, bool keys)
{
    lp_value list = lp_list_new(r, LP_VALUE_LIST, 0);
    for (size_t i = 0; i < v.dict->n && !r->status; i++) lp_list_push(r, list, keys ? v.dict->key[i] : v.dict->value[i]);
    return list;
}

static lp_value format_text(lp_render *r, lp_value v, const lp_arguments *a)
{
    size_t begin = r->n_out, n = v.text->n, used = 0;
    const char *s = v.text->data;
    for (size_t i = 0; i < n && !r->status;) {
        bool open = s[i] == '{';
        if ((open || s[i] == '}') && i + 1 < n && s[i + 1] == s[i]) {
            lp_emit_value(r, lp_text_slice(r, v, i, i + 1));
            i += 2;
        } else if (open && i + 1 < n && s[i + 1] == '}') {
            if (used >= a->n) lp_render_fail(r, "format field: too few arguments");
            else lp_emit_value(r, a->positional[used++]);
            i += 2;
        } else if (open || s[i] == '}') {
            lp_render_fail(r, "format field: only {} without format spec is supported");
        } else {
            size_t end = i;
            while (end < n && s[end] != '{' && s[end] != '}') end++;
            lp_emit_value(r, lp_text_slice(r, v, i, end));
            i = end;
        }
    }
    return lp_capture(r, begin);
}

static bool begins(lp_render *r, lp_value v, lp_value part, bool at_end)
{
    if (part.kind == LP_VALUE_TUPLE) {
        for (size_t i = 0; i < part.list->n && !r->status; i++)
            if (part.list->item[i].kind == LP_VALUE_STRING && begins(r, v, part.list->item[i], at_end)) return true;
        return false;
    }
    if (!need_text(r, part) || part.text->n > v.text->n) return false;
    return memcmp(v.text->data + (at_end ? v.text->n - part.text->n : 0), part.text->data, part.text->n) == 0;
}

static lp_value change_list(lp_render *r, lp_value v, lp_string name, const lp_arguments *a)
{
    if (v.list->given) {
        lp_render_fail(r, "mutation: the list is part of the input");
        return lp_undefined();
    }
    if (named(name, "append")) {
        lp_list_push(r, v, argument(a, 0, "object"));
        return lp_none();
    }
    lp_value at = argument(a, 0, "index");
    int64_t n = (int64_t)v.list->n, i = at.kind == LP_VALUE_INT ? at.integer : -1;
    if (i < 0) i += n;
    if (i < 0 || i >= n) {
        lp_render_fail(r, "pop: index out of range");
        return lp_undefined();
    }
    lp_value item = v.list->item[i];
    memmove(v.list->item + i, v.list->item + i + 1, (size_t)(n - 1 - i) * sizeof item);
    v.list->n--;
    return item;
}

/* ---- methods ----------------------------------------------------------------------------------------------------- */

bool lp_is_method(lp_value v, lp_string name)
{
    static const char *const of_text[] = {"split", "strip", "lstrip", "rstrip", "startswith", "endswith", "replace", "format",
                                          "upper", "lower", "title", "capitalize", NULL},
                      *const of_dict[] = {"items", "keys", "values", "get", NULL}, *const of_list[] = {"append", "pop", NULL};
    const char *const *names = v.kind == LP_VALUE_STRING ? of_text : v.kind == LP_VALUE_DICT ? of_dict : v.kind == LP_VALUE_LIST ? of_list : NULL;
    for (; names && *names; names++)
        if (named(name, *names)) return true;
    return false;
}

lp_value lp_call_method(lp_render *r, lp_value v, lp_string name, const lp_arguments *a)
{
    if (v.kind == LP_VALUE_LIST) return change_list(r, v, name, a);
    if (v.kind == LP_VALUE_DICT)
        return named(name, "items") ? items_of(r, v) : named(name, "get") ? get(r, v, a) : keys_or_values(r, v, named(name, "keys"));
    if (named(name, "split")) return split(r, v, a);
    if (named(name, "replace")) return replaced(r, v, a);
    if (named(name, "format")) return format_text(r, v, a);
    if (named(name, "startswith") || named(name, "endswith")) return lp_bool(begins(r, v, argument(a, 0, "prefix"), name.data[0] == 'e'));
    if (name.n >= 5 && memcmp(name.data + name.n - 5, "strip", 5) == 0) {
        lp_value set = argument(a, 0, "chars");
        return lp_strip(r, v, set.kind == LP_VALUE_STRING ? set.text : NULL, name.data[0] != 'r', name.data[0] != 'l');
    }
    return lp_change_case(r, v, name.data[0]);
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

bool lp_apply_test(lp_render *r, lp_value v, lp_string name, const lp_arguments *a)
{
    static const struct {
        const char *name;
        uint32_t kinds; /* those that pass */
    } kinds[] = {
#define KIND(k) (1u << LP_VALUE_##k)
        {"defined", ~KIND(UNDEFINED)}, {"undefined", KIND(UNDEFINED)}, {"none", KIND(NONE)}, {"string", KIND(STRING)},
        {"mapping", KIND(DICT)}, {"boolean", KIND(BOOL)}, {"integer", KIND(INT)}, {"float", KIND(REAL)},
        {"number", KIND(BOOL) | KIND(INT) | KIND(REAL)}, {"callable", KIND(MACRO)},
        {"iterable", KIND(STRING) | KIND(LIST) | KIND(TUPLE) | KIND(DICT) | KIND(RANGE) | KIND(LAZY) | KIND(UNDEFINED)},
        {"sequence", KIND(STRING) | KIND(LIST) | KIND(TUPLE) | KIND(DICT) | KIND(RANGE) | KIND(UNDEFINED)}};
    static const struct {
        const char *name;
        int operation;
    } comparisons[] = {{"equalto", LP_COMPARE_EQ}, {"eq", LP_COMPARE_EQ}, {"ne", LP_COMPARE_NE}, {"lt", LP_COMPARE_LT}, {"le", LP_COMPARE_LE}, {"gt", LP_COMPARE_GT}, {"ge", LP_COMPARE_GE}};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (named(name, kinds[i].name)) return kinds[i].kinds >> v.kind & 1;
    if (named(name, "true") || named(name, "false")) return v.kind == LP_VALUE_BOOL && v.boolean == (name.data[0] == 't');
    for (size_t i = 0; i < sizeof comparisons / sizeof *comparisons; i++) {
        if (!named(name, comparisons[i].name)) continue;
        lp_value other = argument(a, 0, "other");
        if (comparisons[i].operation <= LP_COMPARE_NE) return lp_value_same(r, v, other) == (comparisons[i].operation == LP_COMPARE_EQ);
        int order = lp_value_order(r, v, other, false);
        switch (comparisons[i].operation) {
        case LP_COMPARE_LT: return order < 0;
        case LP_COMPARE_LE: return order <= 0;
        case LP_COMPARE_GT: return order > 0;
        default: return order >= 0;
        }
    }
    if (named(name, "in")) {
        lp_iterator it;
        lp_value item;
        lp_iterator_begin(r, argument(a, 0, "seq"), &it);
        while (lp_iterator_next(r, &it, &item))
            if (lp_value_same(r, item, v)) return true;
        return false;
    }
    if ((named(name, "odd") || named(name, "even")) && v.kind == LP_VALUE_INT) return (v.integer % 2 != 0) == (name.data[0] == 'o');
    if (named(name, "divisibleby") && v.kind == LP_VALUE_INT && argument(a, 0, "num").kind == LP_VALUE_INT && argument(a, 0, "num").integer > 0)
        return v.integer % argument(a, 0, "num").integer == 0;
    lp_render_fail(r, "unknown test '%.40s' (of a %s)", name.data, lp_kind_name(v));
    return false;
}

/* ---- filters ----------------------------------------------------------------------------------------------------- */

lp_value lp_path(lp_render *r, lp_value v, lp_value name)
{
    if (name.kind == LP_VALUE_INT) return lp_item(r, v, name);
    if (!need_text(r, name)) return lp_undefined();
    size_t n = name.text->n;
    for (size_t at = 0; at <= n && !r->status;) {
        size_t end = at;
        while (end < n && name.text->data[end] != '.') end++;
        lp_value part = lp_text_slice(r, name, at, end);
        if (r->status) break;
        size_t digits = 0;
        int64_t index = 0;
        for (; digits < part.text->n && digits < 9 && (uint8_t)(part.text->data[digits] - '0') < 10; digits++)
            index = 10 * index + (part.text->data[digits] - '0');
        if (part.text->n && part.text->data[0] == '_') lp_render_fail(r, "the name begins with an underscore");
        else v = lp_item(r, v, part.text->n && digits == part.text->n ? lp_int(index) : part);
        at = end + 1;
    }
    return v;
}

static lp_value join(lp_render *r, lp_value v, const lp_arguments *a)
{
    lp_value items = lp_iterable(r, v), by = argument(a, 0, "d"), attribute = argument(a, 1, "attribute");
    size_t begin = r->n_out;
    for (size_t i = 0; !r->status && i < lp_sequence_size(items); i++) {
        lp_value item = lp_sequence_at(items, i);
        if (i) lp_emit_value(r, by);
        lp_emit_value(r, attribute.kind == LP_VALUE_UNDEFINED ? item : lp_path(r, item, attribute));
    }
    return lp_capture(r, begin);
}

/* Stable; by insertion, the steps being counted. key: which of a pair decides, or -1. */
static lp_value sorted(lp_render *r, lp_value items, int key, bool reverse, bool ignore_case, lp_value attribute)
{
    lp_value out = lp_list_new(r, LP_VALUE_LIST, 0);
    for (size_t i = 0; !r->status && i < lp_sequence_size(items); i++) {
        lp_value item = lp_sequence_at(items, i);
        lp_list_push(r, out, item);
        for (size_t k = r->status ? 0 : out.list->n - 1; k > 0 && !r->status; k--) {
            lp_value x = item, y = out.list->item[k - 1];
            if (key >= 0) x = x.list->item[key], y = y.list->item[key];
            if (attribute.kind != LP_VALUE_UNDEFINED) x = lp_path(r, x, attribute), y = lp_path(r, y, attribute);
            int order = lp_value_order(r, x, y, ignore_case);
            if (reverse ? order <= 0 : order >= 0) break;
            out.list->item[k] = out.list->item[k - 1];
            out.list->item[k - 1] = item;
        }
    }
    return out;
}

static lp_value indent(lp_render *r, lp_value v, const lp_arguments *a)
{
    if (!need_text(r, v)) return v;
    lp_value width = argument(a, 0, "width");
    bool first = lp_truth(argument(a, 1, "first")), blank = lp_truth(argument(a, 2, "blank"));
    int64_t n = width.kind == LP_VALUE_INT ? width.integer : 4;
    size_t begin = r->n_out;
    for (size_t at = 0; at < v.text->n && !r->status;) {
        const char *end = memchr(v.text->data + at, '\n', v.text->n - at);
        size_t stop = end ? (size_t)(end - v.text->data) : v.text->n;
        bool wanted = at ? blank || stop > at : first;
        for (int64_t i = 0; wanted && !r->status && (width.kind == LP_VALUE_STRING ? i < 1 : i < n); i++) {
            if (width.kind == LP_VALUE_STRING) lp_emit_value(r, width);
            else lp_emit(r, " ", NULL, 1, 0);
        }
        lp_emit_value(r, lp_text_slice(r, v, at, end ? stop + 1 : stop));
        at = end ? stop + 1 : stop;
    }
    return lp_capture(r, begin);
}

static lp_value to_json(lp_render *r, lp_value v, const lp_arguments *a)
{
    lp_json_style style = {.indent = -1, .item = ", ", .n_item = 2, .colon = ": ", .n_colon = 2};
    lp_value width = lp_undefined(), separators = lp_undefined();
    for (size_t i = 0; i < a->n_named; i++) {
        if (named(a->name[i], "ensure_ascii")) style.ascii = lp_truth(a->named[i]);
        else if (named(a->name[i], "sort_keys")) style.sort = lp_truth(a->named[i]);
        else if (named(a->name[i], "indent")) width = a->named[i];
        else if (named(a->name[i], "separators")) separators = a->named[i];
        else lp_render_fail(r, "tojson has no argument '%.40s'", a->name[i].data);
    }
    if (a->n) style.ascii = lp_truth(a->positional[0]);
    if (a->n > 1) width = a->positional[1];
    if (a->n > 2) separators = a->positional[2];
    if (width.kind == LP_VALUE_INT) style.indent = width.integer < 0 ? 0 : width.integer, style.item = ",", style.n_item = 1;
    bool pair = (separators.kind == LP_VALUE_TUPLE || separators.kind == LP_VALUE_LIST) && separators.list->n == 2;
    if (pair && need_text(r, separators.list->item[0]) && need_text(r, separators.list->item[1])) {
        style.item = separators.list->item[0].text->data, style.n_item = separators.list->item[0].text->n;
        style.colon = separators.list->item[1].text->data, style.n_colon = separators.list->item[1].text->n;
    }
    size_t begin = r->n_out;
    lp_emit_json(r, v, &style, 0);
    return lp_capture(r, begin);
}

static lp_value to_int(lp_render *r, lp_value v)
{
    if (v.kind == LP_VALUE_INT) return v;
    if (v.kind == LP_VALUE_BOOL) return lp_int(v.boolean);
    double x = v.kind == LP_VALUE_REAL ? v.real : 0;
    if (v.kind == LP_VALUE_STRING && v.text->n < 64) {
        char digits[64], *end;
        lp_value s = lp_strip(r, v, NULL, true, true);
        if (r->status) return s;
        memcpy(digits, s.text->data, s.text->n);
        digits[s.text->n] = 0;
        x = strpbrk(digits, "xXpPnN") ? 0 : strtod(digits, &end);
        if (strpbrk(digits, "xXpPnN") || *end) x = 0;
    }
    return lp_int(x > -9e18 && x < 9e18 ? (int64_t)x : 0);
}

static lp_value length(lp_render *r, lp_value v)
{
    if (v.kind == LP_VALUE_UNDEFINED) return lp_int(0);
    if (v.kind == LP_VALUE_STRING) {
        lp_render_step(r, v.text->n);
        return lp_int((int64_t)lp_count_characters(v.text->data, v.text->n));
    }
    if (v.kind == LP_VALUE_DICT) return lp_int((int64_t)v.dict->n);
    if (lp_is_sequence(v)) return lp_int((int64_t)lp_sequence_size(v));
    lp_render_fail(r, "a %s has no length", lp_kind_name(v));
    return lp_undefined();
}

static lp_value to_list(lp_render *r, lp_value v)
{
    lp_value items = lp_iterable(r, v), out = lp_list_new(r, LP_VALUE_LIST, 0);
    for (size_t i = 0; !r->status && i < lp_sequence_size(items); i++) lp_list_push(r, out, lp_sequence_at(items, i));
    return out;
}

static lp_value extreme(lp_render *r, lp_value v, bool largest)
{
    lp_value items = lp_iterable(r, v), best = lp_undefined();
    for (size_t i = 0; !r->status && i < lp_sequence_size(items); i++) {
        lp_value item = lp_sequence_at(items, i);
        int order = i ? lp_value_order(r, item, best, true) : 0;
        if (!i || (largest ? order > 0 : order < 0)) best = item;
    }
    return best;
}

static lp_value f_trim(lp_render *r, lp_value v, const lp_arguments *a)
{
    lp_value s = lp_to_text(r, v), set = argument(a, 0, "chars");
    return r->status ? s : lp_strip(r, s, set.kind == LP_VALUE_STRING ? set.text : NULL, true, true);
}
static lp_value f_string(lp_render *r, lp_value v, const lp_arguments *a) { return (void)a, lp_to_text(r, v); }
static lp_value f_safe(lp_render *r, lp_value v, const lp_arguments *a) { return (void)a, (void)r, v; }
static lp_value f_length(lp_render *r, lp_value v, const lp_arguments *a) { return (void)a, length(r, v); }
static lp_value f_list(lp_render *r, lp_value v, const lp_arguments *a) { return (void)a, to_list(r, v); }
static lp_value f_int(lp_render *r, lp_value v, const lp_arguments *a) { return (void)a, to_int(r, v); }
static lp_value f_min(lp_render *r, lp_value v, const lp_arguments *a) { return (void)a, extreme(r, v, false); }
static lp_value f_max(lp_render *r, lp_value v, const lp_arguments *a) { return (void)a, extreme(r, v, true); }
static lp_value f_lower(lp_render *r, lp_value v, const lp_arguments *a) { return (void)a, lp_change_case(r, lp_to_text(r, v), 'l'); }
static lp_value f_upper(lp_render *r, lp_value v, const lp_arguments *a) { return (void)a, lp_change_case(r, lp_to_text(r, v), 'u'); }
static lp_value f_title(lp_render *r, lp_value v, const lp_arguments *a) { return (void)a, lp_change_case(r, lp_to_text(r, v), 't'); }
static lp_value f_capitalize(lp_render *r, lp_value v, const lp_arguments *a) { return (void)a, lp_change_case(r, lp_to_text(r, v), 'c'); }
static lp_value f_default(lp_render *r, lp_value v, const lp_arguments *a)
{
    bool falsy = lp_truth(argument(a, 1, "boolean"));
    if (v.kind != LP_VALUE_UNDEFINED && !(falsy && !lp_truth(v))) return v;
    return a->n || a->n_named ? argument(a, 0, "default_value") : text(r, "");
}
static lp_value f_dictsort(lp_render *r, lp_value v, const lp_arguments *a)
{
    lp_value by = argument(a, 1, "by");
    bool value = by.kind == LP_VALUE_STRING && by.text->n == 5;
    if (v.kind != LP_VALUE_DICT) lp_render_fail(r, "dictsort of a %s", lp_kind_name(v));
    return sorted(r, items_of(r, v), value, lp_truth(argument(a, 2, "reverse")), !lp_truth(argument(a, 0, "case_sensitive")), lp_undefined());
}
static lp_value f_sort(lp_render *r, lp_value v, const lp_arguments *a)
{
    return sorted(r, lp_iterable(r, v), -1, lp_truth(argument(a, 0, "reverse")), !lp_truth(argument(a, 1, "case_sensitive")), argument(a, 2, "attribute"));
}
static lp_value f_first(lp_render *r, lp_value v, const lp_arguments *a)
{
    (void)a;
    lp_iterator it;
    lp_value item;
    return lp_iterator_begin(r, v, &it) && lp_iterator_next(r, &it, &item) ? item : lp_undefined();
}
static lp_value f_last(lp_render *r, lp_value v, const lp_arguments *a)
{
    (void)a;
    if (v.kind == LP_VALUE_LAZY) lp_render_fail(r, "a %s has no last item before it is a list", lp_kind_name(v));
    return r->status ? lp_undefined() : lp_item(r, lp_iterable(r, v), lp_int(-1));
}

lp_value lp_apply_filter(lp_render *r, lp_value v, lp_string name, const lp_arguments *a)
{
    static const struct {
        const char *name;
        lp_value (*apply)(lp_render *, lp_value, const lp_arguments *);
    } filters[] = {{"tojson", to_json}, {"length", f_length}, {"count", f_length}, {"trim", f_trim}, {"string", f_string},
                   {"default", f_default}, {"d", f_default}, {"join", join}, {"list", f_list}, {"safe", f_safe},
                   {"lower", f_lower}, {"upper", f_upper}, {"title", f_title}, {"capitalize", f_capitalize}, {"dictsort", f_dictsort}, {"replace", replaced}, {"indent", indent}, {"int", f_int}, {"min", f_min}, {"max", f_max},
                   {"sort", f_sort}, {"first", f_first}, {"last", f_last}};
    if (!lp_render_step(r, 0)) return lp_undefined();
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++)
        if (named(name, filters[i].name)) return filters[i].apply(r, v, a);
    lp_value lazy;
    if (lp_lazy_create(r, v, name, a, &lazy)) return lazy;
    lp_render_fail(r, "unknown filter '%.40s'", name.data);
    return lp_undefined();
}

/* ---- functions --------------------------------------------------------------------------------------------------- */

static lp_value range(lp_render *r, const lp_arguments *a)
{
    int64_t x[3] = {0, 0, 1};
    for (size_t i = 0; i < a->n; i++)
        if (i > 2 || a->positional[i].kind != LP_VALUE_INT) lp_render_fail(r, "range takes one to three integers");
    if (!a->n) lp_render_fail(r, "range takes one to three integers");
    lp_range *out = lp_render_alloc(r, sizeof *out);
    if (r->status) return lp_undefined();
    if (a->n == 1) x[1] = a->positional[0].integer;
    else for (size_t i = 0; i < a->n; i++) x[i] = a->positional[i].integer;
    /* Differences of int64 fit in uint64. */
    bool up = x[2] > 0, empty = x[2] == 0 || (up ? x[0] >= x[1] : x[0] <= x[1]);
    uint64_t span = up ? (uint64_t)x[1] - (uint64_t)x[0] : (uint64_t)x[0] - (uint64_t)x[1];
    uint64_t step = up ? (uint64_t)x[2] : 0 - (uint64_t)x[2], n = empty ? 0 : (span - 1) / step + 1;
    if (x[2] == 0) lp_render_fail(r, "a range of step 0");
    if (n > LP_TEMPLATE_RANGE) lp_render_fail(r, "range: more than 100,000 numbers");
    *out = (lp_range){x[0], x[2], (int64_t)n};
    return (lp_value){.kind = LP_VALUE_RANGE, .range = out};
}

static lp_value raise(lp_render *r, const lp_arguments *a)
{
    lp_value message = lp_to_text(r, argument(a, 0, "message"));
    if (r->status) return message;
    char shown[400];
    size_t n = 0;
    for (size_t i = 0; i < message.text->n && n < sizeof shown - 6; i++) {
        uint8_t c = (uint8_t)message.text->data[i];
        if (c < 32 || c == 127) n += (size_t)snprintf(shown + n, 5, "\\x%02x", c);
        else shown[n++] = (char)c;
    }
    shown[n] = 0;
    lp_render_fail(r, "the template refuses this conversation: %s", shown);
    return lp_undefined();
}

static lp_value now(lp_render *r, const lp_arguments *a)
{
    static const char *const months[] = {"January", "February", "March", "April", "May", "June", "July", "August",
                                         "September", "October", "November", "December"};
    lp_value form = argument(a, 0, "format");
    if (!need_text(r, form)) return form;
    time_t seconds = (time_t)r->now;
    struct tm t;
    size_t begin = r->n_out;
    if (!gmtime_r(&seconds, &t)) lp_render_fail(r, "strftime_now: the clock is out of range");
    for (size_t i = 0; i < form.text->n && !r->status; i++) {
        char out[32], c = form.text->data[i];
        if (c != '%') {
            lp_emit_value(r, lp_text_slice(r, form, i, i + 1));
            continue;
        }
        c = ++i < form.text->n ? form.text->data[i] : 0;
        switch (c) {
        case 'Y': snprintf(out, sizeof out, "%d", t.tm_year + 1900); break;
        case 'm': snprintf(out, sizeof out, "%02d", t.tm_mon + 1); break;
        case 'd': snprintf(out, sizeof out, "%02d", t.tm_mday); break;
        case 'H': snprintf(out, sizeof out, "%02d", t.tm_hour); break;
        case 'M': snprintf(out, sizeof out, "%02d", t.tm_min); break;
        case 'S': snprintf(out, sizeof out, "%02d", t.tm_sec); break;
        case 'b': snprintf(out, sizeof out, "%.3s", months[t.tm_mon]); break;
        case 'B': snprintf(out, sizeof out, "%s", months[t.tm_mon]); break;
        case '%': snprintf(out, sizeof out, "%%"); break;
        default: lp_render_fail(r, "strftime_now: only %%Y %%m %%d %%b %%B %%H %%M %%S are known"); out[0] = 0;
        }
        lp_emit(r, out, NULL, strlen(out), 0);
    }
    return lp_capture(r, begin);
}

static lp_value new_dict(lp_render *r, const lp_arguments *a, lp_value_kind kind)
{
    lp_value out = lp_dict_new(r, kind);
    if (a->n == 1 && a->positional[0].kind == LP_VALUE_DICT)
        for (size_t i = 0; i < a->positional[0].dict->n; i++)
            lp_dict_set(r, out, a->positional[0].dict->key[i], a->positional[0].dict->value[i]);
    else if (a->n) lp_render_fail(r, "namespace and dict take names with values");
    for (size_t i = 0; i < a->n_named && !r->status; i++) {
        if (a->name[i].data[0] == '_') lp_render_fail(r, "the name begins with an underscore");
        else lp_dict_set(r, out, lp_text_of(r, a->name[i].data, NULL, a->name[i].n, 0), a->named[i]);
    }
    return out;
}

static lp_value new_namespace(lp_render *r, const lp_arguments *a) { return new_dict(r, a, LP_VALUE_NAMESPACE); }
static lp_value plain_dict(lp_render *r, const lp_arguments *a) { return new_dict(r, a, LP_VALUE_DICT); }

static const struct {
    const char *name;
    lp_value (*call)(lp_render *, const lp_arguments *);
} globals[] = {{"range", range}, {"namespace", new_namespace}, {"dict", plain_dict}, {"raise_exception", raise}, {"strftime_now", now}};
enum { N_GLOBALS = sizeof globals / sizeof *globals };

bool lp_is_global(lp_string name)
{
    for (size_t i = 0; i < N_GLOBALS; i++)
        if (named(name, globals[i].name)) return true;
    return false;
}

bool lp_call_global(lp_render *r, lp_string name, const lp_arguments *a, lp_value *out)
{
    for (size_t i = 0; i < N_GLOBALS; i++)
        if (named(name, globals[i].name)) {
            *out = globals[i].call(r, a);
            return true;
        }
    return false;
}
