/* The pieces of format text that several files share. */
#ifndef LP_FORMAT_TEXT_H
#define LP_FORMAT_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include <lowp/format.h>

/* Longest text that is parsed. */
enum { LP_FORMAT_TEXT_MAX = 255 };

/* element.c: one word. On failure *why is a constant text, or NULL if no element has such a name. */
bool lp_element_parse(const char *word, size_t n, lp_element *out, const char **why);
void lp_element_print(const lp_element *element, char buffer[32]);
bool lp_element_equal(const lp_element *a, const lp_element *b);

/* dynamic_map.c: bitsandbytes' 8-bit dynamic map, ascending. */
extern const float lp_dyn8[256];

/* names.c: nearest name of an element, or NULL. */
const char *lp_element_suggest(const char *word, size_t n);

/* text.c: the canonical text, never a name; as snprintf. */
size_t lp_format_print_text(const lp_format *format, char *buffer, size_t n);

#endif
