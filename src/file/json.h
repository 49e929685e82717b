/* A bounded reader of JSON texts from untrusted files: RFC 8259, strict UTF-8, no duplicate names. */
#ifndef LP_FILE_JSON_H
#define LP_FILE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <lowp/gguf.h>
#include <lowp/status.h>

typedef enum lp_json_kind {
    LP_JSON_NULL, LP_JSON_BOOL, LP_JSON_NUMBER, LP_JSON_STRING, LP_JSON_ARRAY, LP_JSON_OBJECT
} lp_json_kind;

/* A value. Its parts follow it: an array's elements one after the other, an object's members as name, value, name, ...
 * The next value of the same parent is at node + node->span. */
typedef struct lp_json {
    const char *text;   /* STRING: decoded, may hold NUL; NUMBER: the literal */
    uint32_t n;         /* bytes of text; elements; members; BOOL: 0 or 1 */
    uint32_t span;      /* nodes of this value, itself included */
    lp_json_kind kind;
} lp_json;

typedef struct lp_json_limits {
    size_t n_bytes;   /* of the text, at most 2^32 - 2 */
    size_t n_nodes;
    int depth;        /* arrays and objects inside each other */
} lp_json_limits;

typedef struct lp_json_document {
    lp_json *node;    /* [n_nodes]; node[0] is the whole value */
    size_t n_nodes, capacity;
    char *decoded;    /* strings that had escapes */
} lp_json_document;

/* Parses exactly one value with white space around it. The text must outlive the document. name: the file in messages.
 * Errors: LP_INPUT with the byte's position; LP_RESOURCE. On error the document is empty. */
lp_status lp_json_parse(const char *name, const char *text, size_t n, const lp_json_limits *limits, lp_json_document *out);
void lp_json_free(lp_json_document *document);

/* Value of a member; NULL if it is absent or object is none (or NULL). */
const lp_json *lp_json_find(const lp_json *object, const char *name);

/* True if node is a string (NULL is none) with this text. */
bool lp_json_is(const lp_json *node, const char *text);

/* An integer written without fraction and exponent that fits; else false. */
bool lp_json_integer(const lp_json *node, int64_t *value);

/* Any number, rounded to nearest; false for other kinds and beyond binary64. */
bool lp_json_real(const lp_json *node, double *value);

static inline lp_string lp_json_string(const lp_json *node) { return (lp_string){node->text, node->n}; }

#endif
