/* Filters that give their items one at a time, when they are asked for, and only once: map, select, unique and the like.
 * Nothing of them is evaluated, wrong arguments included, before the first item is wanted. */
#include "model/template/template.h"

#include <string.h>

typedef struct lazy_filter lazy_filter;

struct lp_lazy {
    const lazy_filter *filter;
    lp_value source;
    lp_arguments a;
    lp_iterator it;
    lp_value seen; /* unique: the keys so far */
    bool begun, ended;
};

struct lazy_filter {
    const char *name;
    bool (*begin)(lp_render *, struct lp_lazy *); /* false: no items, or failed */
    bool (*next)(lp_render *, struct lp_lazy *, lp_value *); /* false: the end, or failed */
    bool by_attribute, reject;
};

static lp_value keyword(const lp_arguments *a, const char *name)
{
    for (size_t i = 0; i < a->n_named; i++)
        if (a->name[i].n == strlen(name) && memcmp(a->name[i].data, name, a->name[i].n) == 0) return a->named[i];
    return lp_undefined();
}

/* The text of an argument that names a filter, a test or an attribute. */
static bool need_name(lp_render *r, const lp_arguments *a, size_t index, const char *what)
{
    if (index >= a->n) lp_render_fail(r, "%s is missing", what);
    else if (a->positional[index].kind != LP_VALUE_STRING) lp_render_fail(r, "%s is a %s, not a string", what, lp_kind_name(a->positional[index]));
    return !r->status;
}

static lp_string name_at(const lp_arguments *a, size_t index)
{
    const lp_text *text = a->positional[index].text;
    return (lp_string){text->data, text->n};
}

static lp_arguments behind(const lp_arguments *a, size_t n)
{
    return (lp_arguments){a->positional + n, a->n - n, a->name, a->named, a->n_named};
}

/* ---- map --------------------------------------------------------------------------------------------------------- */

static bool map_begin(lp_render *r, struct lp_lazy *lazy)
{
    if (!lp_truth(lazy->source)) return false;
    bool by_attribute = !lazy->a.n && keyword(&lazy->a, "attribute").kind != LP_VALUE_UNDEFINED;
    return (by_attribute || need_name(r, &lazy->a, 0, "map: the filter")) && lp_iterator_begin(r, lazy->source, &lazy->it);
}

static bool map_next(lp_render *r, struct lp_lazy *lazy, lp_value *item)
{
    if (!lp_iterator_next(r, &lazy->it, item)) return false;
    if (lazy->a.n) {
        lp_arguments rest = behind(&lazy->a, 1);
        *item = lp_apply_filter(r, *item, name_at(&lazy->a, 0), &rest);
    } else {
        *item = lp_path(r, *item, keyword(&lazy->a, "attribute"));
        if (item->kind == LP_VALUE_UNDEFINED) *item = keyword(&lazy->a, "default");
    }
    return !r->status;
}

/* ---- select, reject, selectattr, rejectattr ---------------------------------------------------------------------- */

static bool select_begin(lp_render *r, struct lp_lazy *lazy)
{
    if (!lp_truth(lazy->source)) return false;
    size_t test = lazy->filter->by_attribute;
    if (test && !lazy->a.n) lp_render_fail(r, "the attribute is missing");
    if (lazy->a.n > test) need_name(r, &lazy->a, test, "the test");
    return lp_iterator_begin(r, lazy->source, &lazy->it);
}

static bool select_next(lp_render *r, struct lp_lazy *lazy, lp_value *item)
{
    size_t test = lazy->filter->by_attribute;
    while (lp_iterator_next(r, &lazy->it, item)) {
        lp_value tested = test ? lp_path(r, *item, lazy->a.positional[0]) : *item;
        bool passes = lp_truth(tested);
        if (lazy->a.n > test && !r->status) {
            lp_arguments rest = behind(&lazy->a, test + 1);
            passes = lp_apply_test(r, tested, name_at(&lazy->a, test), &rest);
        }
        if (passes != lazy->filter->reject) return !r->status;
    }
    return false;
}

/* ---- unique, items, reverse -------------------------------------------------------------------------------------- */

static bool unique_begin(lp_render *r, struct lp_lazy *lazy)
{
    lazy->seen = lp_list_new(r, LP_VALUE_LIST, 0);
    return lp_iterator_begin(r, lazy->source, &lazy->it);
}

static bool unique_next(lp_render *r, struct lp_lazy *lazy, lp_value *item)
{
    lp_value sensitive = lazy->a.n ? lazy->a.positional[0] : keyword(&lazy->a, "case_sensitive");
    lp_value attribute = lazy->a.n > 1 ? lazy->a.positional[1] : keyword(&lazy->a, "attribute");
    while (lp_iterator_next(r, &lazy->it, item)) {
        lp_value key = attribute.kind == LP_VALUE_UNDEFINED ? *item : lp_path(r, *item, attribute);
        if (key.kind == LP_VALUE_STRING && !lp_truth(sensitive)) key = lp_change_case(r, key, 'l');
        bool found = false;
        for (size_t i = 0; !r->status && i < lazy->seen.list->n && !found; i++) found = lp_value_same(r, lazy->seen.list->item[i], key);
        if (found) continue;
        lp_list_push(r, lazy->seen, key);
        return !r->status;
    }
    return false;
}

static bool items_begin(lp_render *r, struct lp_lazy *lazy)
{
    lp_value v = lazy->source;
    if (v.kind != LP_VALUE_DICT && v.kind != LP_VALUE_UNDEFINED) lp_render_fail(r, "a %s has no items", lp_kind_name(v));
    return v.kind == LP_VALUE_DICT;
}

static bool items_next(lp_render *r, struct lp_lazy *lazy, lp_value *item)
{
    const lp_dict *dict = lazy->source.dict;
    if (lazy->it.at >= dict->n) return false;
    *item = lp_list_new(r, LP_VALUE_TUPLE, 2);
    if (r->status) return false;
    lp_list_push(r, *item, dict->key[lazy->it.at]);
    lp_list_push(r, *item, dict->value[lazy->it.at++]);
    return !r->status;
}

static bool sequence_begin(lp_render *r, struct lp_lazy *lazy) { return lp_iterator_begin(r, lazy->source, &lazy->it); }
static bool sequence_next(lp_render *r, struct lp_lazy *lazy, lp_value *item) { return lp_iterator_next(r, &lazy->it, item); }

/* A string reversed is a string, a lazy list reversed is a list. */
static lp_value reversed(lp_render *r, lp_value v)
{
    lp_value items = lp_iterable(r, v), out = lp_list_new(r, LP_VALUE_LIST, 0);
    size_t begin = r->n_out;
    for (size_t i = r->status ? 0 : lp_sequence_size(items); i > 0 && !r->status; i--) {
        if (v.kind == LP_VALUE_STRING) lp_emit_value(r, lp_sequence_at(items, i - 1));
        else lp_list_push(r, out, lp_sequence_at(items, i - 1));
    }
    return v.kind == LP_VALUE_STRING ? lp_capture(r, begin) : out;
}

/* ---- all of them ------------------------------------------------------------------------------------------------- */

static const lazy_filter filters[] = {
    {"map", map_begin, map_next, false, false},
    {"select", select_begin, select_next, false, false},
    {"reject", select_begin, select_next, false, true},
    {"selectattr", select_begin, select_next, true, false},
    {"rejectattr", select_begin, select_next, true, true},
    {"unique", unique_begin, unique_next, false, false},
    {"items", items_begin, items_next, false, false},
    {"reverse", sequence_begin, sequence_next, false, false},
};

bool lp_lazy_create(lp_render *r, lp_value v, lp_string name, const lp_arguments *a, lp_value *out)
{
    *out = lp_undefined();
    for (size_t i = 0; i < sizeof filters / sizeof *filters; i++) {
        const lazy_filter *filter = &filters[i];
        if (strlen(filter->name) != name.n || memcmp(filter->name, name.data, name.n) != 0) continue;
        if (filter->next == sequence_next) {
            bool done = v.kind == LP_VALUE_STRING || v.kind == LP_VALUE_LAZY;
            v = reversed(r, v);
            if (done) *out = v;
            if (done || r->status) return true;
        }
        struct lp_lazy *lazy = lp_render_alloc(r, sizeof *lazy);
        if (!lazy) return true;
        *lazy = (struct lp_lazy){.filter = filter, .source = v, .a = *a};
        *out = (lp_value){.kind = LP_VALUE_LAZY, .lazy = lazy};
        return true;
    }
    return false;
}

bool lp_lazy_next(lp_render *r, struct lp_lazy *lazy, lp_value *item)
{
    if (r->depth >= LP_TEMPLATE_DEPTH) lp_render_fail(r, "filters nested deeper than %d", (int)LP_TEMPLATE_DEPTH);
    if (r->status || lazy->ended) return false;
    r->depth++;
    bool more = lazy->begun || lazy->filter->begin(r, lazy);
    lazy->begun = true;
    more = more && lazy->filter->next(r, lazy, item);
    lazy->ended = !more;
    r->depth--;
    return more;
}
