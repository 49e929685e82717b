/* A parsed chat template, and the values that it computes with. Card: runtime/chat-template. */
#ifndef LP_MODEL_TEMPLATE_H
#define LP_MODEL_TEMPLATE_H

#include <lowp/chat.h>

#include "base/arena.h"

enum {
    LP_TEMPLATE_SOURCE = 256 << 10, LP_TEMPLATE_NODES = 20000, LP_TEMPLATE_NESTING = 128, LP_TEMPLATE_MACROS = 64,
    LP_TEMPLATE_STEPS = 50000000, LP_TEMPLATE_RANGE = 100000, LP_TEMPLATE_OUTPUT = 16 << 20, LP_TEMPLATE_MEMORY = 64 << 20,
    LP_TEMPLATE_JSON_DEPTH = 128,
    LP_TEMPLATE_DEPTH = 2000 /* evaluations inside one another, macros included: bounds the stack */
};

/* ---- syntax ------------------------------------------------------------------------------------------------------ */

typedef enum lp_node_kind {
    /* statements */
    LP_NODE_TEXT,     /* string */
    LP_NODE_PRINT,    /* a */
    LP_NODE_IF,       /* a: condition; b: body; c: else body */
    LP_NODE_FOR,      /* a: iterable; b: body; c: else body; d: filter; e: targets */
    LP_NODE_SET,      /* a: value; e: targets */
    LP_NODE_BLOCK_SET, /* b: body; e: target; d: filters applied to LP_NODE_CAPTURED */
    LP_NODE_MACRO,    /* string: name; e: parameters, each with default a; b: body */
    LP_NODE_FILTER_BLOCK, /* b: body; d: filters applied to LP_NODE_CAPTURED */
    LP_NODE_GENERATION, /* b: body */
    LP_NODE_BREAK, LP_NODE_CONTINUE,
    /* expressions */
    LP_NODE_NAME,     /* string */
    LP_NODE_INTEGER, LP_NODE_REAL, LP_NODE_STRING, LP_NODE_TRUE, LP_NODE_FALSE, LP_NODE_NONE,
    LP_NODE_LIST, LP_NODE_TUPLE, /* e: items */
    LP_NODE_DICT,     /* e: keys, each with its value in f */
    LP_NODE_ATTRIBUTE, /* a.string */
    LP_NODE_INDEX,    /* a[b] */
    LP_NODE_SLICE,    /* a[b:c:d], each may be NULL */
    LP_NODE_CALL,     /* a(e...); arguments by name have kind LP_NODE_KEYWORD */
    LP_NODE_KEYWORD,  /* string = a */
    LP_NODE_FILTER,   /* a | string(e...) */
    LP_NODE_TEST,     /* a is string(e) */
    LP_NODE_NOT, LP_NODE_NEGATE, LP_NODE_PLUS, /* a */
    LP_NODE_AND, LP_NODE_OR, LP_NODE_ADD, LP_NODE_SUBTRACT, LP_NODE_CONCATENATE, LP_NODE_MULTIPLY, LP_NODE_DIVIDE,
    LP_NODE_FLOOR, LP_NODE_MODULO, LP_NODE_POWER, /* a, b */
    LP_NODE_COMPARE,  /* a, then e: right sides, each an LP_NODE_COMPARISON */
    LP_NODE_COMPARISON, /* operation, a */
    LP_NODE_CONDITIONAL, /* b if a else c; c may be NULL */
    LP_NODE_CAPTURED  /* the text that a block collected */
} lp_node_kind;

typedef enum lp_comparison { LP_COMPARE_EQ, LP_COMPARE_NE, LP_COMPARE_LT, LP_COMPARE_LE, LP_COMPARE_GT, LP_COMPARE_GE, LP_COMPARE_IN, LP_COMPARE_NOT_IN } lp_comparison;

typedef struct lp_node {
    uint8_t kind; /* lp_node_kind */
    uint8_t operation;
    uint32_t at; /* byte of the text */
    lp_string string;
    union {
        int64_t integer;
        double real;
    };
    struct lp_node *a, *b, *c, *d, *e, *f;
    struct lp_node *next; /* in a list */
} lp_node;

struct lp_template {
    lp_arena arena;
    const char *text; /* normalised */
    size_t n;
    lp_node *body;
};

/* Both from 1; a column is a character. */
void lp_template_position(const char *text, size_t n, size_t at, uint32_t *line, uint32_t *column);

/* ---- values ------------------------------------------------------------------------------------------------------ */

typedef enum lp_value_kind {
    LP_VALUE_UNDEFINED, LP_VALUE_NONE, LP_VALUE_BOOL, LP_VALUE_INT, LP_VALUE_REAL, LP_VALUE_STRING, LP_VALUE_LIST,
    LP_VALUE_TUPLE, LP_VALUE_DICT, LP_VALUE_NAMESPACE, LP_VALUE_MACRO, LP_VALUE_RANGE, LP_VALUE_LOOP,
    LP_VALUE_LAZY /* a filter that gives its items when they are asked for, and once: it cannot be printed */
} lp_value_kind;

/* Where a byte came from, through every operation. */
enum { LP_ORIGIN_INPUT = 1, LP_ORIGIN_GENERATED = 2 }; /* what the template was given; what stands in {% generation %} */

typedef struct lp_text {
    const char *data;
    const uint8_t *origin; /* [n]; NULL: all of origin_of_all */
    size_t n;
    uint8_t origin_of_all;
} lp_text;

typedef struct lp_value {
    lp_value_kind kind;
    union {
        bool boolean;
        int64_t integer;
        double real;
        lp_text *text;
        struct lp_list *list; /* LIST, TUPLE */
        struct lp_dict *dict; /* DICT, NAMESPACE */
        struct lp_macro *macro;
        struct lp_range *range;
        struct lp_loop *loop;
        struct lp_lazy *lazy;
    };
} lp_value;

typedef struct lp_list {
    lp_value *item;
    size_t n, room;
    bool given; /* part of the input: not to be changed */
} lp_list;

typedef struct lp_dict {
    lp_value *key, *value;
    size_t n, room;
} lp_dict;

typedef struct lp_range {
    int64_t first, step, n;
} lp_range;

typedef struct lp_binding {
    lp_string name;
    lp_value value;
} lp_binding;

typedef struct lp_scope {
    struct lp_scope *outer;
    lp_binding *binding;
    size_t n, room;
    bool kept; /* a macro was defined here */
} lp_scope;

typedef struct lp_macro {
    const lp_node *node;
    lp_scope *scope;
} lp_macro;

/* A place in something that has items. */
typedef struct lp_iterator {
    lp_value source;
    size_t at; /* the next item; in a string the next byte */
    bool ended; /* for good, even if a list grows */
} lp_iterator;

/* One rendering. The first failure sticks: from then on everything returns at once. */
typedef struct lp_render {
    lp_arena arena;
    char *block;       /* small pieces are cut from it */
    size_t n_block, n_memory;
    int64_t n_steps;
    lp_status status;
    const lp_template *owner;
    int macro_depth, depth;
    lp_scope *scope;
    lp_value captured;
    const lp_node *at; /* what is being evaluated, for messages */
    char *out;         /* output, captures on top of one another */
    uint8_t *out_origin;
    size_t n_out, out_room;
    int64_t now;
    enum { LP_GO_ON, LP_BREAK, LP_CONTINUE } flow;
} lp_render;

/* value.c: memory, strings, comparison */
void lp_render_fail(lp_render *r, const char *format, ...) __attribute__((format(printf, 2, 3)));
void *lp_render_alloc(lp_render *r, size_t n); /* zeroed, 16-byte aligned; NULL: failed */
bool lp_render_step(lp_render *r, size_t n);   /* false: failed */
lp_value lp_undefined(void);
lp_value lp_none(void);
lp_value lp_bool(bool b);
lp_value lp_int(int64_t i);
lp_value lp_real(double x);
lp_value lp_text_of(lp_render *r, const char *data, const uint8_t *origin, size_t n, uint8_t origin_of_all); /* not copied */
lp_value lp_text_copy(lp_render *r, const char *data, const uint8_t *origin, size_t n, uint8_t origin_of_all);
lp_value lp_text_slice(lp_render *r, lp_value s, size_t begin, size_t end);
lp_value lp_list_new(lp_render *r, lp_value_kind kind, size_t room);
void lp_list_push(lp_render *r, lp_value list, lp_value item);
lp_value lp_dict_new(lp_render *r, lp_value_kind kind);
lp_value *lp_dict_find(lp_render *r, const lp_dict *d, lp_value key);
lp_value *lp_dict_find_text(lp_render *r, const lp_dict *d, const char *key, size_t n);
void lp_dict_set(lp_render *r, lp_value d, lp_value key, lp_value value);
bool lp_truth(lp_value v);
bool lp_value_same(lp_render *r, lp_value a, lp_value b);
int lp_value_order(lp_render *r, lp_value a, lp_value b, bool ignore_case); /* fails where there is none */
bool lp_is_sequence(lp_value v); /* list, tuple, range */
size_t lp_sequence_size(lp_value v);
lp_value lp_sequence_at(lp_value v, size_t i);
lp_value lp_iterable(lp_render *r, lp_value v); /* as a sequence: characters, keys, nothing of undefined; a lazy one is used up */
bool lp_iterator_begin(lp_render *r, lp_value v, lp_iterator *out);    /* false: it has no items, an error */
bool lp_iterator_next(lp_render *r, lp_iterator *it, lp_value *item); /* false: the end, or failed */
const char *lp_kind_name(lp_value v);
size_t lp_count_characters(const char *s, size_t n);
uint32_t lp_character_at(const char *s, size_t at, size_t *next);
bool lp_is_space(uint32_t c); /* str.isspace */
lp_value lp_strip(lp_render *r, lp_value s, const lp_text *set, bool left, bool right);

/* print.c: the output buffer, str(), repr(), JSON both ways */
void lp_emit(lp_render *r, const char *data, const uint8_t *origin, size_t n, uint8_t origin_of_all);
void lp_emit_value(lp_render *r, lp_value v);
lp_value lp_capture(lp_render *r, size_t begin); /* takes what was emitted since */
lp_value lp_to_text(lp_render *r, lp_value v);
typedef struct lp_json_style {
    bool ascii, sort;
    int64_t indent; /* -1: one line */
    const char *item, *colon; /* separators */
    size_t n_item, n_colon;
} lp_json_style;
void lp_emit_json(lp_render *r, lp_value v, const lp_json_style *style, int depth);
lp_value lp_json_read(lp_render *r, const char *text, size_t n);

/* builtin.c */
typedef struct lp_arguments {
    lp_value *positional;
    size_t n;
    lp_string *name; /* [n_named] */
    lp_value *named;
    size_t n_named;
} lp_arguments;
lp_value lp_apply_filter(lp_render *r, lp_value v, lp_string name, const lp_arguments *a);
bool lp_apply_test(lp_render *r, lp_value v, lp_string name, const lp_arguments *a);
lp_value lp_call_method(lp_render *r, lp_value v, lp_string name, const lp_arguments *a);
bool lp_is_method(lp_value v, lp_string name);
bool lp_call_global(lp_render *r, lp_string name, const lp_arguments *a, lp_value *out); /* false: no such function */
bool lp_is_global(lp_string name); /* its value is a macro of NULL: defined, and called by its name only */
lp_value lp_member(lp_render *r, lp_value v, lp_string name);
lp_value lp_item(lp_render *r, lp_value v, lp_value key);
lp_value lp_path(lp_render *r, lp_value v, lp_value name); /* "a.b.0" of a value, or an index */
lp_value lp_change_case(lp_render *r, lp_value v, char how); /* u, l, t, c: upper, lower, title, capitalize */

/* lazy.c */
bool lp_lazy_create(lp_render *r, lp_value v, lp_string name, const lp_arguments *a, lp_value *out); /* false: no such filter */
bool lp_lazy_next(lp_render *r, struct lp_lazy *lazy, lp_value *item);

/* loop.c */
typedef struct lp_loop lp_loop;
lp_loop *lp_loop_begin(lp_render *r, const lp_node *node, lp_value source); /* node: the LP_NODE_FOR; NULL: failed */
bool lp_loop_next(lp_render *r, lp_loop *loop, lp_value *item);             /* false: the end, or failed */
lp_value lp_loop_member(lp_render *r, lp_loop *loop, lp_string name);

/* eval.c */
void lp_template_run(lp_render *r, const lp_node *body);
/* Whether the condition of a for loop holds for an item, in a scope whose names are replaced. */
bool lp_condition(lp_render *r, const lp_node *node, lp_scope *scope, lp_value item);
void lp_scope_set(lp_render *r, lp_scope *scope, lp_string name, lp_value value);

#endif
