/* Tokens of a template, and the state of reading one. */
#ifndef LP_TEMPLATE_LEX_H
#define LP_TEMPLATE_LEX_H

#include "model/template/template.h"

typedef enum token_kind { END_TAG, NAME, STRING, INTEGER, REAL, OPERATOR } token_kind;

typedef struct token {
    token_kind kind;
    size_t at;
    lp_string text; /* a string without quotes, escapes resolved */
    int64_t integer;
    double real;
} token;

typedef struct parser {
    lp_template *owner;
    const char *text;
    size_t n, at;
    const char *end; /* of the tag that is open: "}}" or "%}" */
    token token;
    lp_node *node; /* [n_made] of them are still free: the arena's alignment is paid once for many */
    size_t n_nodes, n_made;
    char *kept; /* [n_kept] still free, for small texts */
    size_t n_kept;
    int nesting, open; /* brackets that are open */
    bool dot;          /* the last token was '.', so that digits are an index */
    lp_status status;
    int loops;
} parser;

/* Fails with "line, column: what" unless something failed before. Returns NULL. */
void *lp_lex_wrong(parser *p, size_t at, const char *what);

/* n + 1 zeroed bytes that live as long as the template, side by side; NULL: failed. */
char *lp_lex_keep(parser *p, size_t n);

/* Moves to the next token of the open tag. */
void lp_lex_advance(parser *p);

/* Whether the token is this; lp_lex_take also moves on, lp_lex_need fails if it is not. */
bool lp_lex_is(const parser *p, token_kind kind, const char *s);
bool lp_lex_take(parser *p, token_kind kind, const char *s);
void lp_lex_need(parser *p, token_kind kind, const char *s);

/* The name that must stand here, copied; moves on. */
lp_string lp_lex_name(parser *p);

/* The first place from `at` that is no white space; whether s stands at `at` <= p->n. */
size_t lp_lex_skip_space(const parser *p, size_t at);
bool lp_lex_starts(const parser *p, size_t at, const char *s);

/* Whether c may begin a name (first), or go on in one. */
bool lp_lex_in_name(char c, bool first);

#endif
