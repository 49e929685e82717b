/* Chat templates: the card's vectors, hostile templates, limits, and special tokens in what a user wrote. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <lowp/chat.h>

#include "mini_vocabulary.h"

static const lp_chat_message conversation[] = {{"system", "s", 1}, {"user", "u", 1}, {"assistant", "a", 1}};

/* LP_OK and the text, or the status. */
static lp_status render(const char *source, size_t n, lp_rendering *out)
{
    lp_template *t;
    lp_status status = lp_template_parse(source, n, &t);
    if (status) return status;
    static const char variables[] = "{\"m\":[{\"role\":\"system\"},{\"role\":\"user\"},{\"role\":\"assistant\"}]}";
    lp_chat chat = {.message = conversation, .n_messages = 3, .variables = variables, .n_variables = sizeof variables - 1,
                    .now = 1700000000};
    status = lp_template_render(t, &chat, out);
    lp_template_free(t);
    return status;
}

static void expect(const char *source, const char *wanted)
{
    lp_rendering out;
    if (render(source, strlen(source), &out)) fail_msg("%s: %s", source, lp_error());
    assert_string_equal(out.text, wanted);
    assert_int_equal(out.n, strlen(wanted));
    lp_rendering_free(&out);
}

static void the_cards_vectors_render_as_jinja2_does(void **state)
{
    (void)state;
    expect("{% for x in m[:2] %}\n  {{ x.role }}\n{% endfor %}\nend\n", "  system\n  user\nend");
    expect("a\n  {% if 1 %}\nb\n  {% endif %}\nc", "a\nb\nc");
    expect("x {# c #}\ny {#- d -#} z", "x yz");
    expect("  {{ 1 }}\n  {{- 2 -}}\n 3", "  123");
    expect("\ta{% if 1 %}\n\nb{% endif %} \n  {%+ if 1 %}c{% endif +%}\nd", "\ta\nb \n  c\nd");
    expect("a\n\n{% set x=1 %}\n\nb\n\n", "a\n\n\nb\n");
    expect("{{ {'b':1.0,'a':[1e20,none,'é<&']}|tojson }}", "{\"b\": 1.0, \"a\": [1e+20, null, \"é<&\"]}");
    expect("{{ {'a':[1,{}]}|tojson(indent=2) }}", "{\n  \"a\": [\n    1,\n    {}\n  ]\n}");
    expect("{{ {'a':'é😀'}|tojson(ensure_ascii=true) }}", "{\"a\": \"\\u00e9\\ud83d\\ude00\"}");
    expect("{{ [1,'a',none,{'k':'it\\'s'},(1,)] }}", "[1, 'a', None, {'k': \"it's\"}, (1,)]");
    expect("{{ m[1:]|length }}{{ m[::-1][0].role }}{{ 'abc'[-2:] }}", "2assistantbc");
    expect("{% set x=1 %}{% for i in [1,2] %}{% set x=x+1 %}{{ x }}{% endfor %}{{ x }}", "221");
    expect("{% set n=namespace(x=1) %}{% for i in [1,2] %}{% set n.x=n.x+1 %}{{ n.x }}{% endfor %}{{ n.x }}", "233");
    expect("{% for x in m if x.role!='user' %}{{ loop.index }}{{ loop.last }}{% endfor %}", "1False2True");
    expect("{% for i in [1,2] %}{{ loop.previtem }}<{{ i }}>{{ loop.nextitem }} {% endfor %}", "<1>2 1<2> ");
    expect("{% macro f(a,b='d') %}[{{a}}{{b}}]{% endmacro %}{{ f(1)~f(b=3,a=4)~f() }}", "[1d][43][d]");
    expect("{{ 'a,,c'.split(',') }}{{ ' a  b '.split() }}{{ 'abcab'.lstrip('ba') }}", "['a', '', 'c']['a', 'b']cab");
    expect("{% generation %}g\n{% endgeneration %}\n!", "g\n!");
    expect("{{ u|default('d') }}{{ none|default('d') }}{{ ''|default('e',true) }}", "dNonee");
    expect("{{ m|map(attribute='role')|join(',') }}{{ {'b':1,'A':2}|dictsort }}{{ 1 if false }}",
           "system,user,assistant[('A', 2), ('b', 1)]");
}

static void arithmetic_is_that_of_python(void **state)
{
    (void)state;
    expect("{{ 4/2 }} {{ -7//2 }} {{ -7%3 }} {{ true==1 }} {{ 1+true }} {{ 'a'*3 }} {{ [1]+[2] }} {{ '1'==1 }} {{ -1|abs if false }}",
           "2.0 -4 2 True 2 aaa [1, 2] False ");
    expect("{{ '3.7'|int }}{{ 1e16 }} {{ 1.0 }} {{ 1 < 2 < 3 }} {{ 'b' in 'abc' }}", "31e+16 1.0 True True");
}

static void hostile_templates_end_with_the_expected_error_in_100_ms(void **state)
{
    (void)state;
    static char nested[700];
    snprintf(nested, sizeof nested, "{{ %0300d", 0);
    memset(nested + 3, '(', 300);
    static char doubling[4000] = "{% set ns=namespace(s='xxxxxxxxxx') %}";
    for (int i = 0; i < 60; i++) strcat(doubling, "{% set ns.s=ns.s+ns.s %}");
    const char *const hostile[][2] = {
        {"{% for i in range(100001) %}{% endfor %}", "range"},
        {"{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "steps"},
        {"{{ 'x'*999999999999 }}", "memory"},
        {doubling, "output"}, /* the text stands in the output first, and 16 MiB is the smaller limit */
        {"{% macro f(n) %}{{ f(n+1) }}{% endmacro %}{{ f(0) }}", "macro depth"},
        {nested, "nesting"},
        {"{{ ''.__class__.__mro__ }}", "underscore"},
        {"{{ '{0.__class__}'.format(1) }}", "format field"},
        {"{{ '%999999999d' % 1 }}", "operand types"},
        {"{{ messages.append(1) }}", "mutation"},
        {"{{ cycler.__init__ }}", "underscore"},
        {"{{ '{:>999999999}'.format('a') }}", "format spec"}};
    for (size_t i = 0; i < sizeof hostile / sizeof *hostile; i++) {
        lp_rendering out;
        clock_t start = clock();
        assert_int_equal(render(hostile[i][0], strlen(hostile[i][0]), &out), LP_INPUT);
        double seconds = (double)(clock() - start) / CLOCKS_PER_SEC;
        if (!strstr(lp_error(), hostile[i][1])) fail_msg("%zu: %s", i + 1, lp_error());
        if (!getenv("ASAN_OPTIONS") && seconds > 0.1) fail_msg("%zu: %g s", i + 1, seconds);
    }
}

static void errors_name_line_and_column(void **state)
{
    (void)state;
    lp_rendering out;
    assert_int_equal(render("a\né{% foo %}", 12, &out), LP_INPUT);
    assert_non_null(strstr(lp_error(), "line 2, column 5"));
    assert_int_equal(render("\n {{ 1 + 'a' }}", 15, &out), LP_INPUT);
    assert_non_null(strstr(lp_error(), "line 2, column 7"));
    assert_int_equal(render("{{ raise_exception('no\\nway') }}", 32, &out), LP_INPUT);
    assert_non_null(strstr(lp_error(), "no\\x0away"));
}

static void every_cut_of_a_template_is_rendered_or_refused(void **state)
{
    (void)state;
    static const char source[] = "{% for x in m if x.role!='user' %}{{ loop.index ~ x['role'][::-1]|upper }}{% else %}{# c #}{% endfor %}{% set y %}b{% endset %}"
                                 "{% macro f(a, b={'k': [1, (2,)]}) %}{{ a is not none and b }}{% endmacro %}{{- f(1) if m else 2 -}}";
    for (size_t n = 0; n < sizeof source; n++) {
        lp_rendering out = {0};
        lp_status status = render(source, n, &out);
        assert_true(status == LP_OK || status == LP_INPUT);
        lp_rendering_free(&out);
    }
}

static void special_tokens_in_user_text_stay_text(void **state)
{
    (void)state;
    static mini m;
    mini_fill(&m, "gpt-2", false);
    lp_tokenizer *tokenizer;
    assert_int_equal(lp_tokenizer_create_from(&m.source, &tokenizer), LP_OK);
    static const char source[] = "{% for x in messages %}<|im_start|>{{ (x.content ~ '')|trim }}{% endfor %}<|im_start|>";
    lp_template *t;
    assert_int_equal(lp_template_parse(source, sizeof source - 1, &t), LP_OK);
    lp_chat_message message = {"user", " hello<|im_start|> ", 19};
    int32_t *ids;
    size_t n;
    assert_int_equal(lp_chat_encode(tokenizer, t, &(lp_chat){.message = &message, .n_messages = 1}, &ids, &n), LP_OK);
    static const int32_t wanted[] = {268, 259, 60, 124, 105, 109, 95, 115, 116, 97, 114, 116, 124, 62, 268};
    assert_int_equal(n, sizeof wanted / sizeof *wanted);
    assert_memory_equal(ids, wanted, sizeof wanted);
    free(ids);
    lp_template_free(t);
    lp_tokenizer_free(tokenizer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_cards_vectors_render_as_jinja2_does),
        cmocka_unit_test(arithmetic_is_that_of_python),
        cmocka_unit_test(hostile_templates_end_with_the_expected_error_in_100_ms),
        cmocka_unit_test(errors_name_line_and_column),
        cmocka_unit_test(every_cut_of_a_template_is_rendered_or_refused),
        cmocka_unit_test(special_tokens_in_user_text_stay_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
