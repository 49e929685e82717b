/* A for loop: its items, drawn one at a time, and what the name `loop` tells about it. Whoever asks for the end or the
 * length makes the loop look ahead. */
#include "model/template/template.h"

#include <string.h>

struct lp_loop {
    lp_iterator it;
    const lp_node *node;  /* targets and condition */
    lp_scope *condition;  /* where the condition is evaluated, NULL if there is none */
    lp_value previous, current, after;
    bool has_current, has_after;
    int64_t index;        /* of the current item, from 0 */
    int64_t n;            /* all items; -1: nobody asked */
};

lp_loop *lp_loop_begin(lp_render *r, const lp_node *node, lp_value source)
{
    lp_loop *loop = lp_render_alloc(r, sizeof *loop);
    if (!loop || !lp_iterator_begin(r, source, &loop->it)) return NULL;
    loop->node = node;
    loop->index = -1;
    loop->n = -1;
    if (node->d) {
        loop->condition = lp_render_alloc(r, sizeof *loop->condition);
        if (!loop->condition) return NULL;
        loop->condition->outer = r->scope;
    }
    return loop;
}

static bool draw(lp_render *r, lp_loop *loop, lp_value *item)
{
    while (lp_iterator_next(r, &loop->it, item))
        if (!loop->condition || lp_condition(r, loop->node, loop->condition, *item)) return !r->status;
    return false;
}

bool lp_loop_next(lp_render *r, lp_loop *loop, lp_value *item)
{
    loop->previous = loop->has_current ? loop->current : lp_undefined();
    loop->has_current = loop->has_after || draw(r, loop, &loop->after);
    loop->has_after = false;
    if (!loop->has_current || r->status) return false;
    *item = loop->current = loop->after;
    loop->index++;
    return true;
}

static bool look_ahead(lp_render *r, lp_loop *loop)
{
    if (!loop->has_after) loop->has_after = draw(r, loop, &loop->after);
    return loop->has_after;
}

/* Draws what is left, unless the number of items is known without. */
static int64_t length(lp_render *r, lp_loop *loop)
{
    lp_value v = loop->it.source;
    if (loop->n >= 0) return loop->n;
    if (!loop->condition && lp_is_sequence(v)) return loop->n = (int64_t)lp_sequence_size(v);
    if (!loop->condition && v.kind == LP_VALUE_DICT) return loop->n = (int64_t)v.dict->n;
    lp_value rest = lp_list_new(r, LP_VALUE_LIST, 0), item;
    while (draw(r, loop, &item)) lp_list_push(r, rest, item);
    if (r->status) return 0;
    loop->it = (lp_iterator){.source = rest};
    loop->condition = NULL; /* it held for all of them */
    return loop->n = loop->index + 1 + loop->has_after + (int64_t)rest.list->n;
}

static lp_value m_index(lp_render *r, lp_loop *loop) { return (void)r, lp_int(loop->index + 1); }
static lp_value m_index0(lp_render *r, lp_loop *loop) { return (void)r, lp_int(loop->index); }
static lp_value m_revindex(lp_render *r, lp_loop *loop) { return lp_int(length(r, loop) - loop->index); }
static lp_value m_revindex0(lp_render *r, lp_loop *loop) { return lp_int(length(r, loop) - loop->index - 1); }
static lp_value m_first(lp_render *r, lp_loop *loop) { return (void)r, lp_bool(loop->index == 0); }
static lp_value m_last(lp_render *r, lp_loop *loop) { return lp_bool(!look_ahead(r, loop)); }
static lp_value m_length(lp_render *r, lp_loop *loop) { return lp_int(length(r, loop)); }
static lp_value m_previtem(lp_render *r, lp_loop *loop) { return (void)r, loop->previous; }
static lp_value m_nextitem(lp_render *r, lp_loop *loop) { return look_ahead(r, loop) ? loop->after : lp_undefined(); }

lp_value lp_loop_member(lp_render *r, lp_loop *loop, lp_string name)
{
    static const struct {
        const char *name;
        lp_value (*get)(lp_render *, lp_loop *);
    } members[] = {{"index", m_index}, {"index0", m_index0}, {"revindex", m_revindex}, {"revindex0", m_revindex0},
                   {"first", m_first}, {"last", m_last}, {"length", m_length}, {"previtem", m_previtem},
                   {"nextitem", m_nextitem}};
    for (size_t i = 0; i < sizeof members / sizeof *members; i++)
        if (strlen(members[i].name) == name.n && memcmp(members[i].name, name.data, name.n) == 0) return members[i].get(r, loop);
    lp_render_fail(r, "loop has no '%.40s'", name.data);
    return lp_undefined();
}
