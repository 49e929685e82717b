/* Fuzzes chat templates: the input is a template; it is refused, or its text is covered by pieces in order. */
#include <lowp/chat.h>

#include <stdio.h>
#include <stdlib.h>

#include "text_mutate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed);

static void require(int holds, const char *what)
{
    if (holds) return;
    fprintf(stderr, "%s (last error: %s)\n", what, lp_error());
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    static const char variables[] = "{\"tools\":[{\"name\":\"f\",\"n\":[1,2.5,null,true]}],\"u\":\" a\\u00e9 b\"}";
    static const lp_chat_message message[] = {{"user", " x <s> ", 7}, {"assistant", "\xff", 1}};
    lp_template *t;
    lp_rendering out;
    if (lp_template_parse((const char *)data, n, &t) != LP_OK) return 0;
    lp_chat chat = {.message = message, .n_messages = 2, .variables = variables, .n_variables = sizeof variables - 1};
    if (lp_template_render(t, &chat, &out) == LP_OK) {
        size_t at = 0;
        for (size_t i = 0; i < out.n_pieces; i++) {
            require(out.piece[i].begin == at && out.piece[i].end > at, "pieces in order");
            at = out.piece[i].end;
        }
        require(at == out.n, "pieces that cover the text");
        lp_rendering_free(&out);
    }
    lp_template_free(t);
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t room, unsigned seed)
{
    static const char *const fragments[] = {
        "{% for m in messages %}", "{% for i in range(3) %}", "{% for k, v in {'a':1}.items() %}", "{% for x in u if x %}", "{% else %}",
        "{% endfor %}", "{% if u %}", "{% elif tools is defined %}", "{% endif %}", "{% set x = 1 %}", "{% set x %}", "{% endset %}",
        "{% set ns = namespace(s='a') %}", "{% set ns.s = ns.s ~ ns.s %}", "{% macro f(n, m=2) %}", "{% endmacro %}", "{{ f(1) }}", "{{ f(n=n-1) }}",
        "{% filter upper|trim %}", "{% endfilter %}", "{% generation %}", "{% endgeneration %}", "{% break %}", "{% continue %}", "{{ u }}",
        "{{- m.content -}}", "{#- c -#}", "{%+ if 1 -%}", "messages", "tools", "u", "x", "loop.index", "loop.previtem", "none", "true", "1.5", "-1",
        "9223372036854775807", "'a'", "'\\n\\''", "\"b\"", "'\xc3\xa9'", "[1, 'a']", "(1,)", "{'k': [1]}", "x[0]", "x[-1:]", "x[::-1]", "x['k']", "x.k", "(1)",
        " + ", " - ", " * ", " ~ ", " // ", " % ", " ** ", " / ", " == ", " != ", " < ", " in ", " not in ", " and ", " or ", "not ", " if u else ", " is ",
        "|tojson", "|tojson(indent=2)", "|length", "|trim", "|join(',')", "|list", "|map(attribute='role')", "|map('upper')", "|selectattr('role', 'equalto', 'user')",
        "|default('d', true)", "|dictsort", "|sort", "|unique", "|indent(2)", "|replace('a', 'bb')", "|int", "|min", "|string", "|safe", "|first", "|reject('none')",
        "|items", "|lower", " is defined", " is string", " is mapping", " is none", " is iterable", ".split(' ')", ".strip()", ".items()", ".get('k')", ".append(1)",
        ".format('a')", ".startswith('a')", "raise_exception('no')", "strftime_now('%Y-%m-%d')", "namespace(a=1)", "range(100000)"};
    static const text_grammar grammar = {fragments, sizeof fragments / sizeof *fragments, "{[(", "}])", "{}[](),:|.'\" %\n"};
    return text_mutate(&grammar, data, n, room, seed);
}
