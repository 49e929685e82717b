/* From a template's tokens to its syntax tree: the grammar. */
#include "model/template/lex.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/fail.h"
#include "model/tokenizer/unicode.h"

enum { NODES_AT_ONCE = 64 };
_Static_assert(LP_TEMPLATE_SOURCE < UINT32_MAX && LP_NODE_CAPTURED <= UINT8_MAX, "what a node keeps in few bits");

static lp_node *make(parser *p, lp_node_kind kind, size_t at)
{
    if (p->status) return NULL;
    if (++p->n_nodes > LP_TEMPLATE_NODES) return lp_lex_wrong(p, at, "more than 20000 nodes");
    if (p->n_made == 0) {
        p->node = lp_arena_alloc_array(&p->owner->arena, NODES_AT_ONCE, sizeof *p->node);
        if (!p->node) {
            p->status = LP_RESOURCE;
            return NULL;
        }
        p->n_made = NODES_AT_ONCE;
    }
    lp_node *node = p->node++;
    p->n_made--;
    node->kind = (uint8_t)kind;
    node->at = (uint32_t)at;
    return node;
}

/* ---- expressions ------------------------------------------------------------------------------------------------- */

static lp_node *expression(parser *p);
static lp_node *parse_or(parser *p);
static lp_node *unary(parser *p, bool with_filters);
static lp_node *postfix(parser *p, lp_node *node);

static bool enter(parser *p)
{
    if (p->nesting++ >= LP_TEMPLATE_NESTING) lp_lex_wrong(p, p->token.at, "nesting deeper than 128");
    return !p->status;
}

static void leave(parser *p) { p->nesting--; }

static lp_node *binary(parser *p, lp_node_kind kind, size_t at, lp_node *a, lp_node *b)
{
    lp_node *node = make(p, kind, at);
    if (!node) return NULL;
    node->a = a;
    node->b = b;
    return node;
}

/* items up to the closing bracket, or with commas only. */
static lp_node *items(parser *p, const char *close, lp_node *(*item)(parser *))
{
    lp_node *first = NULL, **last = &first;
    while (!p->status && !lp_lex_is(p, OPERATOR, close)) {
        *last = item(p);
        if (p->status) return NULL;
        last = &(*last)->next;
        if (!lp_lex_take(p, OPERATOR, ",")) break;
    }
    lp_lex_need(p, OPERATOR, close);
    return first;
}

static lp_node *pair(parser *p)
{
    lp_node *key = expression(p);
    lp_lex_need(p, OPERATOR, ":");
    lp_node *value = expression(p);
    lp_node *node = binary(p, LP_NODE_KEYWORD, p->token.at, key, NULL);
    if (node) node->f = value;
    return node;
}

static lp_node *argument(parser *p)
{
    if (p->token.kind == NAME) {
        size_t next = lp_lex_skip_space(p, p->at);
        if (next + 1 < p->n && p->text[next] == '=' && p->text[next + 1] != '=') {
            lp_node *node = make(p, LP_NODE_KEYWORD, p->token.at);
            lp_string name = lp_lex_name(p);
            lp_lex_need(p, OPERATOR, "=");
            lp_node *value = expression(p);
            if (!node || p->status) return NULL;
            node->string = name;
            node->a = value;
            return node;
        }
    }
    return expression(p);
}

/* Behind "(": everything up to ")", a tuple if there is a comma. */
static lp_node *parenthesis(parser *p, size_t at)
{
    lp_node *first = NULL, **last = &first;
    bool comma = false;
    while (!p->status && !lp_lex_is(p, OPERATOR, ")")) {
        *last = expression(p);
        if (p->status) return NULL;
        last = &(*last)->next;
        if (!lp_lex_take(p, OPERATOR, ",")) break;
        comma = true;
    }
    lp_lex_need(p, OPERATOR, ")");
    if (p->status) return NULL;
    if (first && !comma) return first;
    lp_node *node = make(p, LP_NODE_TUPLE, at);
    if (node) node->e = first;
    return node;
}

/* Strings side by side are one. Together they are shorter than the source. */
static void join_strings(parser *p, lp_node *node)
{
    char *joined = malloc(p->n);
    size_t n = node->string.n;
    if (!joined) {
        p->status = lp_fail_memory(p->n, "a chat template");
        return;
    }
    memcpy(joined, node->string.data, n);
    for (; !p->status && p->token.kind == STRING; lp_lex_advance(p)) {
        memcpy(joined + n, p->token.text.data, p->token.text.n);
        n += p->token.text.n;
    }
    char *both = lp_lex_keep(p, n);
    if (both) node->string = (lp_string){memcpy(both, joined, n), n};
    free(joined);
}

static lp_node *primary(parser *p)
{
    static const struct {
        const char *name;
        lp_node_kind kind;
    } constants[] = {{"true", LP_NODE_TRUE}, {"True", LP_NODE_TRUE}, {"false", LP_NODE_FALSE}, {"False", LP_NODE_FALSE},
                     {"none", LP_NODE_NONE}, {"None", LP_NODE_NONE}};
    size_t at = p->token.at;
    if (p->status) return NULL;
    if (p->token.kind == NAME) {
        for (size_t i = 0; i < sizeof constants / sizeof *constants; i++)
            if (lp_lex_take(p, NAME, constants[i].name)) return make(p, constants[i].kind, at);
        lp_node *node = make(p, LP_NODE_NAME, at);
        lp_string name = lp_lex_name(p);
        if (node) node->string = name;
        return node;
    }
    if (p->token.kind == STRING) {
        lp_node *node = make(p, LP_NODE_STRING, at);
        if (node) node->string = p->token.text;
        lp_lex_advance(p);
        if (node && !p->status && p->token.kind == STRING) join_strings(p, node);
        return node;
    }
    if (p->token.kind == INTEGER || p->token.kind == REAL) {
        lp_node *node = make(p, p->token.kind == REAL ? LP_NODE_REAL : LP_NODE_INTEGER, at);
        if (!node) return NULL;
        if (p->token.kind == REAL) node->real = p->token.real;
        else node->integer = p->token.integer;
        lp_lex_advance(p);
        return node;
    }
    if (lp_lex_take(p, OPERATOR, "(")) return parenthesis(p, at);
    bool list = lp_lex_is(p, OPERATOR, "[");
    if (list || lp_lex_is(p, OPERATOR, "{")) {
        lp_lex_advance(p);
        lp_node *node = make(p, list ? LP_NODE_LIST : LP_NODE_DICT, at);
        lp_node *inner = items(p, list ? "]" : "}", list ? expression : pair);
        if (node) node->e = inner;
        return node;
    }
    return lp_lex_wrong(p, at, p->token.kind == END_TAG ? "the expression ends too early" : "no expression begins so");
}

static lp_node *subscript(parser *p, lp_node *node, size_t at)
{
    lp_node *part[3] = {NULL, NULL, NULL};
    int n = 0;
    while (!p->status && !lp_lex_is(p, OPERATOR, "]")) {
        if (lp_lex_take(p, OPERATOR, ":")) {
            if (++n > 2) return lp_lex_wrong(p, p->token.at, "a slice has at most three parts");
        } else if (part[n]) {
            return lp_lex_wrong(p, p->token.at, "']' is missing here");
        } else {
            part[n] = expression(p);
        }
    }
    lp_lex_need(p, OPERATOR, "]");
    if (p->status) return NULL;
    if (n == 0 && !part[0]) return lp_lex_wrong(p, at, "an index is missing here");
    lp_node *result = make(p, n ? LP_NODE_SLICE : LP_NODE_INDEX, at);
    if (!result) return NULL;
    result->a = node;
    result->b = part[0];
    result->c = part[1];
    result->d = part[2];
    return result;
}

static lp_node *call(parser *p, lp_node *node, size_t at)
{
    lp_node *result = binary(p, LP_NODE_CALL, at, node, NULL);
    lp_node *arguments = items(p, ")", argument);
    if (result) result->e = arguments;
    return result;
}

static lp_node *postfix(parser *p, lp_node *node)
{
    int n = 0;
    while (!p->status) {
        size_t at = p->token.at;
        if (n++ > LP_TEMPLATE_NESTING) return lp_lex_wrong(p, at, "nesting deeper than 128");
        if (lp_lex_take(p, OPERATOR, ".")) {
            bool number = p->token.kind == INTEGER;
            lp_node *result = binary(p, number ? LP_NODE_INDEX : LP_NODE_ATTRIBUTE, at, node, NULL);
            if (number) {
                lp_node *index = primary(p);
                if (result) result->b = index;
            } else {
                lp_string name = lp_lex_name(p);
                if (result) result->string = name;
            }
            node = result;
        } else if (lp_lex_take(p, OPERATOR, "[")) {
            node = subscript(p, node, at);
        } else if (lp_lex_take(p, OPERATOR, "(")) {
            node = call(p, node, at);
        } else {
            break;
        }
    }
    return node;
}

static lp_node *filter(parser *p, lp_node *node, size_t at)
{
    lp_node *result = binary(p, LP_NODE_FILTER, at, node, NULL);
    lp_string name = lp_lex_name(p);
    lp_node *arguments = lp_lex_take(p, OPERATOR, "(") ? items(p, ")", argument) : NULL;
    if (!result || p->status) return NULL;
    result->string = name;
    result->e = arguments;
    return result;
}

static lp_node *test(parser *p, lp_node *node, size_t at)
{
    bool negated = lp_lex_take(p, NAME, "not");
    lp_node *result = binary(p, LP_NODE_TEST, at, node, NULL);
    lp_string name = lp_lex_name(p);
    lp_node *arguments = NULL;
    static const char *const words[] = {"else", "or", "and", "if", "in", "not", NULL};
    bool word = false;
    for (int i = 0; words[i]; i++) word = word || lp_lex_is(p, NAME, words[i]);
    if (lp_lex_is(p, NAME, "is")) return lp_lex_wrong(p, p->token.at, "tests cannot be chained");
    if (lp_lex_take(p, OPERATOR, "(")) arguments = items(p, ")", argument);
    else if (!word && !p->status && (p->token.kind == STRING || p->token.kind == NAME || p->token.kind == INTEGER || p->token.kind == REAL ||
                       lp_lex_is(p, OPERATOR, "[") || lp_lex_is(p, OPERATOR, "{")))
        arguments = postfix(p, primary(p));
    if (!result || p->status) return NULL;
    if (arguments && arguments->next) return lp_lex_wrong(p, at, "a test has at most one argument");
    result->string = name;
    result->e = arguments;
    return negated ? binary(p, LP_NODE_NOT, at, result, NULL) : result;
}

static lp_node *filters(parser *p, lp_node *node)
{
    int n = 0;
    while (!p->status) {
        size_t at = p->token.at;
        if (n++ > LP_TEMPLATE_NESTING) return lp_lex_wrong(p, at, "nesting deeper than 128");
        if (lp_lex_take(p, OPERATOR, "|")) node = filter(p, node, at);
        else if (lp_lex_take(p, NAME, "is")) node = test(p, node, at);
        else if (lp_lex_take(p, OPERATOR, "(")) node = call(p, node, at);
        else break;
    }
    return node;
}

static lp_node *unary(parser *p, bool with_filters)
{
    size_t at = p->token.at;
    bool minus = lp_lex_take(p, OPERATOR, "-"), sign = minus || lp_lex_take(p, OPERATOR, "+");
    if (sign && !enter(p)) return NULL;
    lp_node *node = sign ? binary(p, minus ? LP_NODE_NEGATE : LP_NODE_PLUS, at, unary(p, false), NULL) : primary(p);
    if (sign) leave(p);
    node = postfix(p, node);
    return with_filters ? filters(p, node) : node;
}

/* Left-associative levels, loosest first: sums, ~, products, powers. */
static lp_node *arithmetic(parser *p, int level)
{
    static const struct {
        int level;
        const char *text;
        lp_node_kind kind;
    } operators[] = {{0, "+", LP_NODE_ADD}, {0, "-", LP_NODE_SUBTRACT}, {1, "~", LP_NODE_CONCATENATE},
                     {2, "*", LP_NODE_MULTIPLY}, {2, "/", LP_NODE_DIVIDE}, {2, "//", LP_NODE_FLOOR},
                     {2, "%", LP_NODE_MODULO}, {3, "**", LP_NODE_POWER}};
    lp_node *node = level == 3 ? unary(p, true) : arithmetic(p, level + 1);
    int n = 0;
    while (!p->status) {
        size_t at = p->token.at, i = 0;
        while (i < 8 && !(operators[i].level == level && lp_lex_is(p, OPERATOR, operators[i].text))) i++;
        if (i == 8) break;
        if (n++ > 1000) return lp_lex_wrong(p, at, "more than 1000 operands in a row");
        lp_lex_advance(p);
        node = binary(p, operators[i].kind, at, node, level == 3 ? unary(p, true) : arithmetic(p, level + 1));
    }
    return node;
}

static lp_node *compare(parser *p)
{
    static const char *const operators[] = {"==", "!=", "<", "<=", ">", ">="};
    lp_node *left = arithmetic(p, 0), *first = NULL, **last = &first;
    size_t begin = p->token.at;
    while (!p->status) {
        size_t at = p->token.at;
        int operation = -1;
        for (int i = 0; i < 6; i++)
            if (lp_lex_is(p, OPERATOR, operators[i])) operation = i;
        if (lp_lex_is(p, NAME, "in")) operation = LP_COMPARE_IN;
        if (lp_lex_is(p, NAME, "not")) {
            size_t next = lp_lex_skip_space(p, p->at);
            if (!lp_lex_starts(p, next, "in") || (next + 2 < p->n && lp_lex_in_name(p->text[next + 2], false))) break;
            lp_lex_advance(p);
            operation = LP_COMPARE_NOT_IN;
        }
        if (operation < 0) break;
        lp_lex_advance(p);
        lp_node *node = binary(p, LP_NODE_COMPARISON, at, arithmetic(p, 0), NULL);
        if (!node) return NULL;
        node->operation = (uint8_t)operation;
        *last = node;
        last = &node->next;
    }
    if (!first || p->status) return left;
    lp_node *node = binary(p, LP_NODE_COMPARE, begin, left, NULL);
    if (node) node->e = first;
    return node;
}

static lp_node *parse_not(parser *p)
{
    size_t at = p->token.at;
    if (!lp_lex_take(p, NAME, "not")) return compare(p);
    if (!enter(p)) return NULL;
    lp_node *node = binary(p, LP_NODE_NOT, at, parse_not(p), NULL);
    leave(p);
    return node;
}

static lp_node *parse_and(parser *p)
{
    lp_node *node = parse_not(p);
    int n = 0;
    for (size_t at = p->token.at; lp_lex_take(p, NAME, "and"); at = p->token.at) {
        if (n++ > 1000) return lp_lex_wrong(p, at, "more than 1000 operands in a row");
        node = binary(p, LP_NODE_AND, at, node, parse_not(p));
    }
    return node;
}

static lp_node *parse_or(parser *p)
{
    lp_node *node = parse_and(p);
    int n = 0;
    for (size_t at = p->token.at; lp_lex_take(p, NAME, "or"); at = p->token.at) {
        if (n++ > 1000) return lp_lex_wrong(p, at, "more than 1000 operands in a row");
        node = binary(p, LP_NODE_OR, at, node, parse_and(p));
    }
    return node;
}

static lp_node *expression(parser *p)
{
    if (!enter(p)) return NULL;
    lp_node *node = parse_or(p);
    int n = 0;
    for (size_t at = p->token.at; lp_lex_take(p, NAME, "if"); at = p->token.at) {
        if (n++ > LP_TEMPLATE_NESTING) return lp_lex_wrong(p, at, "nesting deeper than 128");
        lp_node *condition = parse_or(p);
        lp_node *otherwise = lp_lex_take(p, NAME, "else") ? expression(p) : NULL;
        node = binary(p, LP_NODE_CONDITIONAL, at, condition, node);
        if (node) node->c = otherwise;
    }
    leave(p);
    return node;
}

/* One expression, or a tuple without brackets. */
static lp_node *expressions(parser *p, lp_node *(*item)(parser *))
{
    size_t at = p->token.at;
    lp_node *first = item(p);
    if (p->status || !lp_lex_is(p, OPERATOR, ",")) return first;
    lp_node **last = &first->next;
    while (lp_lex_take(p, OPERATOR, ",")) {
        if (p->token.kind == END_TAG) break;
        *last = item(p);
        if (p->status) return NULL;
        last = &(*last)->next;
    }
    lp_node *node = make(p, LP_NODE_TUPLE, at);
    if (node) node->e = first;
    return node;
}

/* ---- statements -------------------------------------------------------------------------------------------------- */

static lp_node *body(parser *p, const char *const *ends, const char *opened, size_t opened_at);

static void close_tag(parser *p)
{
    if (!p->status && p->token.kind != END_TAG) lp_lex_wrong(p, p->token.at, "the tag should end here");
}

static lp_node *targets(parser *p)
{
    lp_node *first = NULL, **last = &first;
    bool bracket = lp_lex_take(p, OPERATOR, "(");
    do {
        if (first && p->token.kind != NAME) break;
        lp_node *node = make(p, LP_NODE_NAME, p->token.at);
        lp_string name = lp_lex_name(p);
        if (!node || p->status) return NULL;
        node->string = name;
        *last = node;
        last = &node->next;
    } while (lp_lex_take(p, OPERATOR, ","));
    if (bracket) lp_lex_need(p, OPERATOR, ")");
    return first;
}

static lp_node *parse_if(parser *p, size_t at)
{
    lp_node *node = make(p, LP_NODE_IF, at);
    lp_node *condition = expressions(p, expression);
    close_tag(p);
    if (!node || p->status || !enter(p)) return NULL;
    node->a = condition;
    static const char *const ends[] = {"elif", "else", "endif", NULL}, *const last[] = {"endif", NULL};
    /* elif is a loop, so that a long chain is not deep */
    lp_node *tail = node;
    tail->b = body(p, ends, "if", at);
    for (int n = 0; lp_lex_is(p, NAME, "elif"); n++) {
        size_t here = p->token.at;
        if (n > 1000) return lp_lex_wrong(p, here, "more than 1000 branches");
        lp_lex_advance(p);
        lp_node *next = make(p, LP_NODE_IF, here);
        lp_node *other = expressions(p, expression);
        close_tag(p);
        if (!next || p->status) return NULL;
        next->a = other;
        next->b = body(p, ends, "if", at);
        tail->c = next;
        tail = next;
    }
    if (lp_lex_take(p, NAME, "else")) {
        close_tag(p);
        tail->c = body(p, last, "if", at);
    }
    lp_lex_need(p, NAME, "endif");
    close_tag(p);
    leave(p);
    return node;
}

static lp_node *parse_for(parser *p, size_t at)
{
    static const char *const ends[] = {"else", "endfor", NULL}, *const last[] = {"endfor", NULL};
    lp_node *node = make(p, LP_NODE_FOR, at);
    lp_node *target = targets(p);
    lp_lex_need(p, NAME, "in");
    lp_node *iterable = expressions(p, parse_or);
    lp_node *condition = lp_lex_take(p, NAME, "if") ? expression(p) : NULL;
    close_tag(p);
    if (!node || p->status || !enter(p)) return NULL;
    node->e = target;
    node->a = iterable;
    node->d = condition;
    p->loops++;
    node->b = body(p, ends, "for", at);
    p->loops--;
    if (lp_lex_take(p, NAME, "else")) {
        close_tag(p);
        node->c = body(p, last, "for", at);
    }
    lp_lex_need(p, NAME, "endfor");
    close_tag(p);
    leave(p);
    return node;
}

/* A body between the tag that is open and endX, in a nesting of its own. */
static lp_node *block(parser *p, const char *name, const char *end, size_t at)
{
    const char *const ends[] = {end, NULL};
    close_tag(p);
    if (p->status || !enter(p)) return NULL;
    int loops = p->loops;
    if (strcmp(name, "macro") == 0) p->loops = 0;
    lp_node *inner = body(p, ends, name, at);
    p->loops = loops;
    lp_lex_need(p, NAME, end);
    close_tag(p);
    leave(p);
    return inner;
}

static lp_node *parse_set(parser *p, size_t at)
{
    lp_node *node = make(p, LP_NODE_SET, at), *target;
    size_t next = p->token.kind == NAME ? lp_lex_skip_space(p, p->at) : p->n;
    if (next < p->n && p->text[next] == '.') {
        target = make(p, LP_NODE_ATTRIBUTE, p->token.at);
        lp_node *owner = make(p, LP_NODE_NAME, p->token.at);
        lp_string name = lp_lex_name(p);
        lp_lex_need(p, OPERATOR, ".");
        lp_string attribute = lp_lex_name(p);
        if (!target || !owner || p->status) return NULL;
        owner->string = name;
        target->a = owner;
        target->string = attribute;
    } else {
        target = targets(p);
    }
    if (!node || p->status) return NULL;
    node->e = target;
    if (lp_lex_take(p, OPERATOR, "=")) {
        node->a = expressions(p, expression);
        close_tag(p);
        return node;
    }
    if (target->next) return lp_lex_wrong(p, at, "a block set has one target");
    node->kind = LP_NODE_BLOCK_SET;
    node->d = filters(p, make(p, LP_NODE_CAPTURED, at));
    node->b = block(p, "set", "endset", at);
    return node;
}

static lp_node *parameter(parser *p)
{
    lp_node *node = make(p, LP_NODE_NAME, p->token.at);
    lp_string name = lp_lex_name(p);
    lp_node *value = lp_lex_take(p, OPERATOR, "=") ? expression(p) : NULL;
    if (!node || p->status) return NULL;
    node->string = name;
    node->a = value;
    return node;
}

static lp_node *parse_macro(parser *p, size_t at)
{
    lp_node *node = make(p, LP_NODE_MACRO, at);
    lp_string name = lp_lex_name(p);
    lp_lex_need(p, OPERATOR, "(");
    lp_node *parameters = items(p, ")", parameter);
    if (!node || p->status) return NULL;
    node->string = name;
    node->e = parameters;
    node->b = block(p, "macro", "endmacro", at);
    return node;
}

static lp_node *parse_filter_block(parser *p, size_t at)
{
    lp_node *node = make(p, LP_NODE_FILTER_BLOCK, at);
    lp_node *chain = filters(p, filter(p, make(p, LP_NODE_CAPTURED, at), at));
    if (!node || p->status) return NULL;
    node->d = chain;
    node->b = block(p, "filter", "endfilter", at);
    return node;
}

static lp_node *parse_generation(parser *p, size_t at)
{
    lp_node *node = make(p, LP_NODE_GENERATION, at);
    lp_node *inner = block(p, "generation", "endgeneration", at);
    if (node) node->b = inner;
    return node;
}

static lp_node *parse_jump(parser *p, size_t at, lp_node_kind kind)
{
    if (!p->loops) return lp_lex_wrong(p, at, "not inside a loop");
    close_tag(p);
    return make(p, kind, at);
}

static lp_node *parse_break(parser *p, size_t at) { return parse_jump(p, at, LP_NODE_BREAK); }
static lp_node *parse_continue(parser *p, size_t at) { return parse_jump(p, at, LP_NODE_CONTINUE); }

static const struct {
    const char *name;
    lp_node *(*parse)(parser *, size_t);
} statements[] = {{"if", parse_if}, {"for", parse_for}, {"set", parse_set}, {"macro", parse_macro},
                  {"filter", parse_filter_block}, {"generation", parse_generation}, {"break", parse_break},
                  {"continue", parse_continue}};

static lp_node *statement(parser *p)
{
    size_t at = p->token.at;
    for (size_t i = 0; i < sizeof statements / sizeof *statements; i++)
        if (lp_lex_take(p, NAME, statements[i].name)) return statements[i].parse(p, at);
    char what[96];
    snprintf(what, sizeof what, "unknown or misplaced tag '%.*s'", (int)(p->token.text.n > 40 ? 40 : p->token.text.n),
             p->token.kind == NAME ? p->token.text.data : "");
    return lp_lex_wrong(p, at, what);
}

/* Text up to the next tag, with the white space that the tag removes cut off. */
static lp_node *text_before(parser *p, size_t begin, size_t tag)
{
    size_t end = tag;
    bool block_tag = tag < p->n && p->text[tag + 1] != '{';
    char sign = tag + 2 < p->n ? p->text[tag + 2] : 0;
    if (tag < p->n && sign == '-') {
        while (end > begin) {
            size_t at = end - 1, next;
            while (at > begin && ((uint8_t)p->text[at] & 0xc0) == 0x80) at--;
            if (!lp_is_space(lp_character_at(p->text, at, &next))) break;
            end = at;
        }
    } else if (block_tag && sign != '+') {
        size_t line = tag;
        while (line > begin && p->text[line - 1] != '\n') line--;
        if ((line > begin || begin == 0 || p->text[begin - 1] == '\n') && lp_lex_skip_space(p, line) >= tag) end = line;
    }
    if (end == begin) return NULL;
    lp_node *node = make(p, LP_NODE_TEXT, begin);
    if (node) node->string = (lp_string){p->text + begin, end - begin}; /* which lives as long */
    return node;
}

static void skip_comment(parser *p, size_t tag)
{
    size_t at = tag + 2;
    while (at < p->n && !lp_lex_starts(p, at, "#}")) at++;
    if (at >= p->n) {
        lp_lex_wrong(p, tag, "a comment that does not end");
        return;
    }
    char before = at > tag + 2 ? p->text[at - 1] : 0;
    p->at = at + 2;
    if (before == '-') p->at = lp_lex_skip_space(p, p->at);
    else if (before != '+' && p->at < p->n && p->text[p->at] == '\n') p->at++;
}

static void open_tag(parser *p, size_t tag, const char *end)
{
    p->at = tag + 2;
    if (p->at < p->n && (p->text[p->at] == '-' || p->text[p->at] == '+')) {
        /* "{{+" is a plus sign, "{%+" belongs to the tag */
        if (p->text[p->at] == '-' || *end == '%') p->at++;
    }
    p->end = end;
    p->open = 0;
    p->dot = false;
    p->token.kind = OPERATOR;
    lp_lex_advance(p);
}

/* Statements up to one of the ends, whose name is then the current token; ends NULL: up to the end of the text. */
static lp_node *body(parser *p, const char *const *ends, const char *opened, size_t opened_at)
{
    lp_node *first = NULL, **last = &first;
    while (!p->status) {
        size_t tag = p->at;
        while (tag + 1 < p->n && !(p->text[tag] == '{' && strchr("{%#", p->text[tag + 1]) && p->text[tag + 1])) tag++;
        if (tag + 1 >= p->n) tag = p->n;
        lp_node *text = text_before(p, p->at, tag);
        if (text) *last = text, last = &text->next;
        if (p->status) break;
        if (tag == p->n) {
            p->at = p->n;
            char what[64];
            snprintf(what, sizeof what, "'%s' is never closed", opened);
            if (ends) lp_lex_wrong(p, opened_at, what);
            break;
        }
        lp_node *node = NULL;
        if (p->text[tag + 1] == '#') {
            skip_comment(p, tag);
        } else if (p->text[tag + 1] == '{') {
            open_tag(p, tag, "}}");
            node = make(p, LP_NODE_PRINT, tag);
            lp_node *value = expressions(p, expression);
            close_tag(p);
            if (node) node->a = value;
        } else {
            open_tag(p, tag, "%}");
            for (int i = 0; ends && ends[i]; i++)
                if (lp_lex_is(p, NAME, ends[i])) return first;
            node = statement(p);
        }
        if (node && !p->status) {
            *last = node;
            last = &node->next;
        }
    }
    return first;
}

/* ---- whole templates --------------------------------------------------------------------------------------------- */

/* Line ends become LF; one at the end is dropped. Returns the new length. */
static size_t normalise(const char *text, size_t n, char *out)
{
    size_t length = 0;
    for (size_t i = 0; i < n; i++) {
        if (text[i] == '\r' && i + 1 < n && text[i + 1] == '\n') continue;
        out[length++] = text[i] == '\r' ? '\n' : text[i];
    }
    return length && out[length - 1] == '\n' ? length - 1 : length;
}

lp_status lp_template_parse(const char *text, size_t n, lp_template **out)
{
    *out = NULL;
    if (n > LP_TEMPLATE_SOURCE)
        return lp_fail(LP_INPUT, "chat template: the source has %zu bytes, more than %d", n, (int)LP_TEMPLATE_SOURCE);
    if (lp_utf8_valid_prefix((const uint8_t *)text, n) != n)
        return lp_fail(LP_INPUT, "chat template: byte %zu: no valid UTF-8", lp_utf8_valid_prefix((const uint8_t *)text, n));
    lp_template *t = calloc(1, sizeof *t);
    if (t) t->arena.most_chunk = 256 << 10; /* so that 20,000 nodes and all texts stay below 4 MiB */
    char *copy = t ? lp_arena_alloc(&t->arena, n + 1) : NULL;
    if (!copy) {
        lp_template_free(t);
        return lp_fail_memory(n, "a chat template");
    }
    parser p = {.owner = t, .text = copy, .n = normalise(text, n, copy), .token = {.kind = OPERATOR}};
    t->body = body(&p, NULL, "", 0);
    t->text = copy;
    t->n = p.n;
    if (p.status) {
        lp_template_free(t);
        return p.status;
    }
    *out = t;
    return LP_OK;
}

void lp_template_free(lp_template *t)
{
    if (!t) return;
    lp_arena_free(&t->arena);
    free(t);
}
