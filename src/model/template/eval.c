/* Runs a template's syntax tree. */
#include "model/template/template.h"

#include <math.h>
#include <string.h>

static lp_value eval(lp_render *r, const lp_node *node);
static void run(lp_render *r, const lp_node *node);

/* ---- scopes ------------------------------------------------------------------------------------------------------ */

static bool equal(lp_string a, lp_string b) { return a.n == b.n && memcmp(a.data, b.data, a.n) == 0; }

void lp_scope_set(lp_render *r, lp_scope *scope, lp_string name, lp_value value)
{
    for (size_t i = 0; i < scope->n; i++)
        if (equal(scope->binding[i].name, name)) {
            scope->binding[i].value = value;
            return;
        }
    if (scope->n == scope->room) {
        size_t room = 2 * scope->room + 4;
        lp_binding *more = lp_render_alloc(r, room * sizeof *more);
        if (!more) return;
        if (scope->n) memcpy(more, scope->binding, scope->n * sizeof *more);
        scope->binding = more;
        scope->room = room;
    }
    scope->binding[scope->n++] = (lp_binding){name, value};
}

static lp_value *find(lp_render *r, lp_string name)
{
    for (lp_scope *s = r->scope; s; s = s->outer) {
        lp_render_step(r, 8 * s->n);
        for (size_t i = 0; i < s->n; i++)
            if (equal(s->binding[i].name, name)) return &s->binding[i].value;
    }
    return NULL;
}

static lp_scope *scope_push(lp_render *r, lp_scope *outer)
{
    lp_scope *scope = lp_render_alloc(r, sizeof *scope);
    if (!scope) return NULL;
    scope->outer = outer;
    r->scope = scope;
    return scope;
}

static void assign(lp_render *r, const lp_node *target, lp_value value)
{
    if (r->status) return;
    if (target->kind == LP_NODE_ATTRIBUTE) {
        lp_value *owner = find(r, target->a->string);
        if (!owner || owner->kind != LP_VALUE_NAMESPACE) lp_render_fail(r, "attributes are set of namespaces only");
        else if (target->string.data[0] == '_') lp_render_fail(r, "the name begins with an underscore");
        else lp_dict_set(r, *owner, lp_text_of(r, target->string.data, NULL, target->string.n, 0), value);
        return;
    }
    if (!target->next) {
        lp_scope_set(r, r->scope, target->string, value);
        return;
    }
    lp_value items = lp_iterable(r, value);
    size_t n = 0, i = 0;
    for (const lp_node *t = target; t; t = t->next) n++;
    if (r->status) return;
    if (lp_sequence_size(items) != n) {
        lp_render_fail(r, "%zu names for %zu values", n, lp_sequence_size(items));
        return;
    }
    for (const lp_node *t = target; t; t = t->next) lp_scope_set(r, r->scope, t->string, lp_sequence_at(items, i++));
}

/* ---- operators --------------------------------------------------------------------------------------------------- */

static lp_value joined(lp_render *r, lp_value a, lp_value b)
{
    size_t begin = r->n_out;
    lp_emit_value(r, a);
    lp_emit_value(r, b);
    return lp_capture(r, begin);
}

static lp_value repeat(lp_render *r, lp_value v, int64_t times)
{
    size_t n = v.kind == LP_VALUE_STRING ? v.text->n : v.list->n * sizeof(lp_value), total;
    if (times < 0) times = 0;
    if (__builtin_mul_overflow(n, (size_t)times, &total) || total > LP_TEMPLATE_OUTPUT) {
        lp_render_fail(r, "memory: a value of %zu bytes repeated %lld times", n, (long long)times);
        return lp_undefined();
    }
    if (v.kind == LP_VALUE_STRING) {
        size_t begin = r->n_out;
        for (int64_t i = 0; i < times && n && !r->status; i++) lp_emit_value(r, v);
        return lp_capture(r, begin);
    }
    lp_value out = lp_list_new(r, v.kind, n ? (size_t)times * v.list->n : 0);
    for (int64_t i = 0; i < times && n && !r->status; i++)
        for (size_t k = 0; k < v.list->n && !r->status; k++) lp_list_push(r, out, v.list->item[k]);
    return out;
}

static bool number(lp_value v) { return v.kind == LP_VALUE_BOOL || v.kind == LP_VALUE_INT || v.kind == LP_VALUE_REAL; }
static int64_t whole(lp_value v) { return v.kind == LP_VALUE_BOOL ? v.boolean : v.integer; }
static double real(lp_value v) { return v.kind == LP_VALUE_REAL ? v.real : (double)whole(v); }

static lp_value real_result(lp_render *r, int kind, double x, double y)
{
    if (kind >= LP_NODE_DIVIDE && kind <= LP_NODE_MODULO && !(y < 0 || y > 0)) {
        lp_render_fail(r, "division by zero");
        return lp_undefined();
    }
    switch (kind) {
    case LP_NODE_ADD: return lp_real(x + y);
    case LP_NODE_SUBTRACT: return lp_real(x - y);
    case LP_NODE_MULTIPLY: return lp_real(x * y);
    case LP_NODE_DIVIDE: return lp_real(x / y);
    case LP_NODE_FLOOR: return lp_real(floor(x / y));
    case LP_NODE_MODULO: return lp_real(x - y * floor(x / y));
    default: return lp_real(pow(x, y));
    }
}

static lp_value whole_result(lp_render *r, int kind, int64_t x, int64_t y)
{
    int64_t out = 0;
    bool overflow = false;
    if (kind == LP_NODE_DIVIDE) return real_result(r, kind, (double)x, (double)y);
    if (kind == LP_NODE_POWER && y < 0) return real_result(r, kind, (double)x, (double)y);
    if ((kind == LP_NODE_FLOOR || kind == LP_NODE_MODULO) && y == 0) {
        lp_render_fail(r, "division by zero");
    } else if (kind == LP_NODE_ADD) {
        overflow = __builtin_add_overflow(x, y, &out);
    } else if (kind == LP_NODE_SUBTRACT) {
        overflow = __builtin_sub_overflow(x, y, &out);
    } else if (kind == LP_NODE_MULTIPLY) {
        overflow = __builtin_mul_overflow(x, y, &out);
    } else if (kind == LP_NODE_POWER) {
        out = 1;
        if (x >= -1 && x <= 1) out = x == 0 && y ? 0 : x == -1 && y % 2 ? -1 : 1;
        else for (int64_t i = 0; i < y && !overflow; i++) overflow = __builtin_mul_overflow(out, x, &out);
    } else if (y == -1) {
        if (kind == LP_NODE_FLOOR) overflow = __builtin_sub_overflow((int64_t)0, x, &out);
    } else {
        int64_t q = x / y, m = x % y;
        if (m && (m < 0) != (y < 0)) q--, m += y;
        out = kind == LP_NODE_FLOOR ? q : m;
    }
    if (overflow) lp_render_fail(r, "an integer beyond 64 bits");
    return lp_int(out);
}

static lp_value arithmetic(lp_render *r, const lp_node *node, lp_value a, lp_value b)
{
    int kind = (int)node->kind;
    if (number(a) && number(b)) {
        if (a.kind == LP_VALUE_REAL || b.kind == LP_VALUE_REAL) return real_result(r, kind, real(a), real(b));
        return whole_result(r, kind, whole(a), whole(b));
    }
    if (kind == LP_NODE_ADD && a.kind == LP_VALUE_STRING && b.kind == LP_VALUE_STRING) return joined(r, a, b);
    if (kind == LP_NODE_ADD && a.kind == b.kind && (a.kind == LP_VALUE_LIST || a.kind == LP_VALUE_TUPLE)) {
        lp_value out = lp_list_new(r, a.kind, a.list->n + b.list->n);
        for (size_t i = 0; i < a.list->n && !r->status; i++) lp_list_push(r, out, a.list->item[i]);
        for (size_t i = 0; i < b.list->n && !r->status; i++) lp_list_push(r, out, b.list->item[i]);
        return out;
    }
    bool a_repeats = a.kind == LP_VALUE_STRING || a.kind == LP_VALUE_LIST || a.kind == LP_VALUE_TUPLE;
    bool b_repeats = b.kind == LP_VALUE_STRING || b.kind == LP_VALUE_LIST || b.kind == LP_VALUE_TUPLE;
    if (kind == LP_NODE_MULTIPLY && a_repeats && number(b) && b.kind != LP_VALUE_REAL) return repeat(r, a, whole(b));
    if (kind == LP_NODE_MULTIPLY && b_repeats && number(a) && a.kind != LP_VALUE_REAL) return repeat(r, b, whole(a));
    static const char *const symbols[] = {"+", "-", "~", "*", "/", "//", "%", "**"};
    lp_render_fail(r, "operand types: %s %s %s", lp_kind_name(a), symbols[kind - LP_NODE_ADD], lp_kind_name(b));
    return lp_undefined();
}

static bool contains(lp_render *r, lp_value item, lp_value v)
{
    if (v.kind == LP_VALUE_STRING && item.kind == LP_VALUE_STRING) {
        lp_render_step(r, v.text->n);
        return memmem(v.text->data, v.text->n, item.text->data, item.text->n) != NULL;
    }
    if (v.kind == LP_VALUE_DICT) return lp_dict_find(r, v.dict, item) != NULL;
    if (v.kind == LP_VALUE_UNDEFINED) return false;
    if (!lp_is_sequence(v) && v.kind != LP_VALUE_LAZY) {
        lp_render_fail(r, "'in' looks for a %s in a %s", lp_kind_name(item), lp_kind_name(v));
        return false;
    }
    lp_iterator it;
    lp_value other;
    lp_iterator_begin(r, v, &it);
    while (lp_iterator_next(r, &it, &other))
        if (lp_value_same(r, other, item)) return true;
    return false;
}

static bool holds(lp_render *r, int operation, lp_value a, lp_value b)
{
    switch ((lp_comparison)operation) {
    case LP_COMPARE_EQ: return lp_value_same(r, a, b);
    case LP_COMPARE_NE: return !lp_value_same(r, a, b);
    case LP_COMPARE_IN: return contains(r, a, b);
    case LP_COMPARE_NOT_IN: return !contains(r, a, b);
    case LP_COMPARE_LT: return lp_value_order(r, a, b, false) < 0;
    case LP_COMPARE_LE: return lp_value_order(r, a, b, false) <= 0;
    case LP_COMPARE_GT: return lp_value_order(r, a, b, false) > 0;
    case LP_COMPARE_GE: return lp_value_order(r, a, b, false) >= 0;
    }
    return false;
}

/* ---- look-up and calls ------------------------------------------------------------------------------------------- */

static lp_value slice(lp_render *r, const lp_node *node)
{
    lp_value v = eval(r, node->a), part[3] = {lp_none(), lp_none(), lp_none()};
    const lp_node *nodes[3] = {node->b, node->c, node->d};
    for (int i = 0; i < 3; i++) {
        if (nodes[i]) part[i] = eval(r, nodes[i]);
        if (part[i].kind != LP_VALUE_INT && part[i].kind != LP_VALUE_NONE) lp_render_fail(r, "a slice needs integers");
    }
    if (v.kind != LP_VALUE_STRING && !lp_is_sequence(v)) lp_render_fail(r, "a %s has no slices", lp_kind_name(v));
    int64_t step = part[2].kind == LP_VALUE_INT ? part[2].integer : 1;
    if (step == 0) lp_render_fail(r, "a slice of step 0");
    if (step > LP_TEMPLATE_OUTPUT) step = LP_TEMPLATE_OUTPUT;
    if (step < -LP_TEMPLATE_OUTPUT) step = -LP_TEMPLATE_OUTPUT;
    bool text = v.kind == LP_VALUE_STRING;
    lp_value items = r->status ? v : text ? lp_iterable(r, v) : v;
    if (r->status) return lp_undefined();
    int64_t n = (int64_t)lp_sequence_size(items), low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    int64_t bound[2] = {step > 0 ? low : high, step > 0 ? high : low};
    for (int i = 0; i < 2; i++) {
        if (part[i].kind != LP_VALUE_INT) continue;
        int64_t x = part[i].integer < 0 ? part[i].integer + n : part[i].integer;
        bound[i] = x < low ? low : x > high ? high : x;
    }
    lp_value out = text ? lp_undefined() : lp_list_new(r, v.kind == LP_VALUE_TUPLE ? LP_VALUE_TUPLE : LP_VALUE_LIST, 0);
    size_t begin = r->n_out;
    for (int64_t i = bound[0]; (step > 0 ? i < bound[1] : i > bound[1]) && !r->status; i += step) {
        if (text) lp_emit_value(r, lp_sequence_at(items, (size_t)i));
        else lp_list_push(r, out, lp_sequence_at(items, (size_t)i));
    }
    return text ? lp_capture(r, begin) : out;
}

static lp_arguments arguments(lp_render *r, const lp_node *node)
{
    lp_arguments a = {0};
    size_t n = 0;
    for (const lp_node *e = node; e; e = e->next) n++;
    if (!n) return a;
    a.positional = lp_render_alloc(r, n * sizeof *a.positional);
    a.named = lp_render_alloc(r, n * sizeof *a.named);
    a.name = lp_render_alloc(r, n * sizeof *a.name);
    for (const lp_node *e = node; e && !r->status; e = e->next) {
        if (e->kind == LP_NODE_KEYWORD) {
            a.name[a.n_named] = e->string;
            a.named[a.n_named++] = eval(r, e->a);
        } else if (a.n_named) {
            lp_render_fail(r, "an argument without name after one with name");
        } else {
            a.positional[a.n++] = eval(r, e);
        }
    }
    return a;
}

static lp_value call_macro(lp_render *r, const lp_macro *macro, const lp_arguments *a)
{
    if (r->macro_depth >= LP_TEMPLATE_MACROS) lp_render_fail(r, "macro depth: more than 64 calls inside one another");
    lp_scope *outer = r->scope;
    if (r->status || !scope_push(r, macro->scope)) return lp_undefined();
    r->macro_depth++;
    size_t n = 0, used = 0;
    for (const lp_node *p = macro->node->e; p && !r->status; p = p->next, n++) {
        lp_value value = lp_undefined();
        bool given = n < a->n;
        if (given) value = a->positional[n];
        for (size_t i = 0; i < a->n_named; i++)
            if (equal(a->name[i], p->string)) {
                if (given) lp_render_fail(r, "the argument '%.40s' is given twice", p->string.data);
                value = a->named[i];
                given = true;
                used++;
            }
        if (!given && p->a) value = eval(r, p->a);
        lp_scope_set(r, r->scope, p->string, value);
    }
    if (a->n > n || used < a->n_named) lp_render_fail(r, "macro '%.40s' was given unknown or too many arguments", macro->node->string.data);
    size_t begin = r->n_out;
    run(r, macro->node->b);
    r->macro_depth--;
    r->scope = outer;
    return lp_capture(r, begin);
}

static lp_value call(lp_render *r, const lp_node *node)
{
    const lp_node *callee = node->a;
    if (callee->kind == LP_NODE_ATTRIBUTE) {
        lp_value owner = eval(r, callee->a);
        if (r->status) return lp_undefined();
        if (lp_is_method(owner, callee->string)) {
            lp_arguments a = arguments(r, node->e);
            r->at = node;
            return r->status ? lp_undefined() : lp_call_method(r, owner, callee->string, &a);
        }
        lp_value member = lp_member(r, owner, callee->string);
        lp_arguments a = arguments(r, node->e);
        if (r->status) return lp_undefined();
        if (member.kind == LP_VALUE_MACRO && member.macro) return call_macro(r, member.macro, &a);
        lp_render_fail(r, "a %s has no method '%.40s'", lp_kind_name(owner), callee->string.data);
        return lp_undefined();
    }
    if (callee->kind == LP_NODE_NAME) {
        lp_value *v = find(r, callee->string), out = lp_undefined();
        lp_arguments a = arguments(r, node->e);
        r->at = node;
        if (r->status) return lp_undefined();
        if (v) {
            v = find(r, callee->string); /* the arguments may have moved it */
            if (v && v->kind == LP_VALUE_MACRO && v->macro) return call_macro(r, v->macro, &a);
        } else if (lp_call_global(r, callee->string, &a, &out)) {
            return out;
        }
        lp_render_fail(r, "'%.40s' cannot be called%s", callee->string.data, v ? "" : ": it is undefined");
        return lp_undefined();
    }
    lp_render_fail(r, "this cannot be called");
    return lp_undefined();
}

static lp_value collection(lp_render *r, const lp_node *node)
{
    if (node->kind == LP_NODE_DICT) {
        lp_value dict = lp_dict_new(r, LP_VALUE_DICT);
        for (const lp_node *e = node->e; e && !r->status; e = e->next) {
            lp_value key = eval(r, e->a), value = eval(r, e->f);
            lp_dict_set(r, dict, key, value);
        }
        return dict;
    }
    lp_value list = lp_list_new(r, node->kind == LP_NODE_LIST ? LP_VALUE_LIST : LP_VALUE_TUPLE, 0);
    for (const lp_node *e = node->e; e && !r->status; e = e->next) lp_list_push(r, list, eval(r, e));
    return list;
}

static lp_value eval_node(lp_render *r, const lp_node *node)
{
    lp_value a, b;
    switch (node->kind) {
    case LP_NODE_NAME: {
        lp_value *v = find(r, node->string);
        if (!v && lp_is_global(node->string)) return (lp_value){.kind = LP_VALUE_MACRO, .macro = NULL};
        return v ? *v : lp_undefined();
    }
    case LP_NODE_INTEGER: return lp_int(node->integer);
    case LP_NODE_REAL: return lp_real(node->real);
    case LP_NODE_STRING: return lp_text_of(r, node->string.data, NULL, node->string.n, 0);
    case LP_NODE_TRUE: return lp_bool(true);
    case LP_NODE_FALSE: return lp_bool(false);
    case LP_NODE_NONE: return lp_none();
    case LP_NODE_LIST: case LP_NODE_TUPLE: case LP_NODE_DICT: return collection(r, node);
    case LP_NODE_ATTRIBUTE:
        a = eval(r, node->a);
        r->at = node;
        if (!r->status && lp_is_method(a, node->string)) lp_render_fail(r, "the method '%.40s' must be called", node->string.data);
        return r->status ? a : lp_member(r, a, node->string);
    case LP_NODE_INDEX:
        a = eval(r, node->a);
        b = eval(r, node->b);
        r->at = node;
        return r->status ? a : lp_item(r, a, b);
    case LP_NODE_SLICE: return slice(r, node);
    case LP_NODE_CALL: return call(r, node);
    case LP_NODE_FILTER: {
        a = eval(r, node->a);
        lp_arguments arguments_ = arguments(r, node->e);
        r->at = node;
        return r->status ? a : lp_apply_filter(r, a, node->string, &arguments_);
    }
    case LP_NODE_TEST: {
        a = eval(r, node->a);
        lp_arguments arguments_ = arguments(r, node->e);
        r->at = node;
        return lp_bool(!r->status && lp_apply_test(r, a, node->string, &arguments_));
    }
    case LP_NODE_NOT: return lp_bool(!lp_truth(eval(r, node->a)));
    case LP_NODE_NEGATE: case LP_NODE_PLUS:
        a = eval(r, node->a);
        if (a.kind == LP_VALUE_REAL) return lp_real(node->kind == LP_NODE_PLUS ? a.real : -a.real);
        if (!number(a)) lp_render_fail(r, "operand types: the sign of a %s", lp_kind_name(a));
        return r->status ? a : whole_result(r, node->kind == LP_NODE_PLUS ? LP_NODE_ADD : LP_NODE_SUBTRACT, 0, whole(a));
    case LP_NODE_AND:
        a = eval(r, node->a);
        return lp_truth(a) ? eval(r, node->b) : a;
    case LP_NODE_OR:
        a = eval(r, node->a);
        return lp_truth(a) ? a : eval(r, node->b);
    case LP_NODE_CONCATENATE:
        a = eval(r, node->a);
        b = eval(r, node->b);
        return r->status ? a : joined(r, a, b);
    case LP_NODE_ADD: case LP_NODE_SUBTRACT: case LP_NODE_MULTIPLY: case LP_NODE_DIVIDE: case LP_NODE_FLOOR:
    case LP_NODE_MODULO: case LP_NODE_POWER:
        a = eval(r, node->a);
        b = eval(r, node->b);
        r->at = node;
        return r->status ? a : arithmetic(r, node, a, b);
    case LP_NODE_COMPARE:
        a = eval(r, node->a);
        for (const lp_node *e = node->e; e && !r->status; e = e->next) {
            b = eval(r, e->a);
            r->at = e;
            if (r->status || !holds(r, e->operation, a, b)) return lp_bool(false);
            a = b;
        }
        return lp_bool(true);
    case LP_NODE_CONDITIONAL: return lp_truth(eval(r, node->a)) ? eval(r, node->b) : node->c ? eval(r, node->c) : lp_undefined();
    case LP_NODE_CAPTURED: return r->captured;
    default: return lp_undefined();
    }
}

static lp_value eval(lp_render *r, const lp_node *node)
{
    if (!lp_render_step(r, 0)) return lp_undefined();
    r->at = node;
    if (r->depth >= LP_TEMPLATE_DEPTH) {
        lp_render_fail(r, "macro depth: evaluation nested deeper than %d", (int)LP_TEMPLATE_DEPTH);
        return lp_undefined();
    }
    r->depth++;
    lp_value v = eval_node(r, node);
    r->depth--;
    return r->status ? lp_undefined() : v;
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

bool lp_condition(lp_render *r, const lp_node *node, lp_scope *scope, lp_value item)
{
    lp_scope *kept = r->scope;
    r->scope = scope;
    scope->n = 0;
    assign(r, node->e, item);
    bool holds_ = lp_truth(eval(r, node->d));
    r->scope = kept;
    return holds_ && !r->status;
}

static void run_for(lp_render *r, const lp_node *node)
{
    lp_value source = eval(r, node->a), item;
    lp_scope *outer = r->scope, *scope = NULL;
    lp_loop *loop = r->status ? NULL : lp_loop_begin(r, node, source);
    if (!loop) return;
    while (r->scope = outer, lp_loop_next(r, loop, &item)) {
        if ((!scope || scope->kept) && !(scope = scope_push(r, outer))) break;
        scope->n = 0;
        r->scope = scope;
        lp_scope_set(r, scope, (lp_string){"loop", 4}, (lp_value){.kind = LP_VALUE_LOOP, .loop = loop});
        assign(r, node->e, item);
        run(r, node->b);
        bool ends = r->flow == LP_BREAK;
        r->flow = LP_GO_ON;
        if (ends) break;
    }
    r->scope = outer;
    if (!scope && node->c) run(r, node->c);
}

/* A body in a scope of its own; what it prints becomes r->captured for the filters of the block. */
static lp_value run_captured(lp_render *r, const lp_node *node)
{
    lp_scope *outer = r->scope;
    size_t begin = r->n_out;
    if (!scope_push(r, outer)) return lp_undefined();
    run(r, node->b);
    r->scope = outer;
    lp_value kept = r->captured;
    r->captured = lp_capture(r, begin);
    lp_value v = r->status ? lp_undefined() : node->d ? eval(r, node->d) : r->captured;
    r->captured = kept;
    return v;
}

static void run_one(lp_render *r, const lp_node *node)
{
    switch (node->kind) {
    case LP_NODE_TEXT: lp_emit(r, node->string.data, NULL, node->string.n, 0); return;
    case LP_NODE_PRINT: {
        lp_value v = eval(r, node->a);
        r->at = node;
        if (!r->status) lp_emit_value(r, v);
        return;
    }
    case LP_NODE_IF:
        for (; node; node = node->c) {
            if (lp_truth(eval(r, node->a))) {
                run(r, node->b);
                return;
            }
            if (!node->c || node->c->kind != LP_NODE_IF || node->c->next) break;
        }
        if (node && !r->status) run(r, node->c);
        return;
    case LP_NODE_FOR: run_for(r, node); return;
    case LP_NODE_SET: assign(r, node->e, eval(r, node->a)); return;
    case LP_NODE_BLOCK_SET: assign(r, node->e, run_captured(r, node)); return;
    case LP_NODE_FILTER_BLOCK: {
        lp_value v = run_captured(r, node);
        if (!r->status) lp_emit_value(r, v);
        return;
    }
    case LP_NODE_MACRO: {
        lp_macro *macro = lp_render_alloc(r, sizeof *macro);
        if (!macro) return;
        *macro = (lp_macro){node, r->scope};
        for (lp_scope *s = r->scope; s; s = s->outer) s->kept = true;
        lp_scope_set(r, r->scope, node->string, (lp_value){.kind = LP_VALUE_MACRO, .macro = macro});
        return;
    }
    case LP_NODE_GENERATION: {
        lp_scope *outer = r->scope;
        size_t begin = r->n_out;
        if (!scope_push(r, outer)) return;
        run(r, node->b);
        r->scope = outer;
        for (size_t i = begin; i < r->n_out; i++) r->out_origin[i] |= LP_ORIGIN_GENERATED;
        return;
    }
    case LP_NODE_BREAK: r->flow = LP_BREAK; return;
    case LP_NODE_CONTINUE: r->flow = LP_CONTINUE; return;
    default: return;
    }
}

static void run(lp_render *r, const lp_node *node)
{
    if (r->depth >= LP_TEMPLATE_DEPTH) lp_render_fail(r, "macro depth: evaluation nested deeper than %d", (int)LP_TEMPLATE_DEPTH);
    r->depth++;
    for (; node && !r->status && r->flow == LP_GO_ON; node = node->next) {
        r->at = node;
        if (lp_render_step(r, 0)) run_one(r, node);
    }
    r->depth--;
}

void lp_template_run(lp_render *r, const lp_node *node) { run(r, node); }
