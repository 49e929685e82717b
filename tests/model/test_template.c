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
#ifdef __OPTIMIZE__ /* not where coverage is counted */
        if (!getenv("ASAN_OPTIONS") && seconds > 0.1) fail_msg("%zu: %g s", i + 1, seconds);
#else
        (void)seconds;
#endif
    }
}

/* Filters that jinja2 gives as generators; the peer check compares more of them. */
static void map_and_select_give_their_items_once_and_when_asked(void **state)
{
    (void)state;
    expect("{% set s = m|map(attribute='role') %}{{ s|first }} {{ s|list }} {{ s|list }}", "system ['user', 'assistant'] []");
    expect("{% set s = [1,2,3]|map('string') %}{{ '2' in s }}{{ s|join }}", "True3");
    expect("{{ none|selectattr('a')|list }}{{ 0|map('upper')|list }}", "[][]");
    expect("{% if none|select %}yes{% endif %}", "yes");
    expect("{% set a = 5|map('nosuch') %}{% set b = [1]|select('nosuch') %}{% set c = none|unique %}unasked", "unasked");
    expect("{% set s = [1,2,3,4]|select %}{% for x in s %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}|{{ s|list }}", "12|[3, 4]");
    lp_rendering out;
    const char *const wrong[][2] = {{"{{ [1]|select('nosuch')|list }}", "unknown test"}, {"{{ 5|map('upper')|list }}", "no items"},
                                    {"{{ none|unique|list }}", "no items"}, {"{{ [1]|map('string') }}", "cannot be printed"},
                                    {"{{ [1]|select|length }}", "no length"}, {"{{ [1]|select|last }}", "no last item"}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        assert_int_equal(render(wrong[i][0], strlen(wrong[i][0]), &out), LP_INPUT);
        if (!strstr(lp_error(), wrong[i][1])) fail_msg("%s: %s", wrong[i][0], lp_error());
    }
}

static void a_loop_looks_ahead_only_when_it_is_asked(void **state)
{
    (void)state;
    expect("{% set n = namespace(k=0) %}{% for x in [1,2,3] if n.k != 2 %}{% set n.k = x %}{{ x }}{% endfor %}", "12");
    expect("{% set n = namespace(k=0) %}{% for x in [1,2,3] if n.k != 2 %}{{ x }}{{ loop.last }}{% set n.k = x %}{% endfor %}", "1False2False3True");
    expect("{% for x in [3,4,5] if x > 3 %}{{ loop.length }}{{ loop.index }}{{ x }}{{ loop.revindex0 }} {% endfor %}", "2141 2250 ");
    expect("{% for x in ['a','b']|map('upper') %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}", "<A>B A<B> ");
    expect("{% set l = [1] %}{% for x in l %}{{ x }}{% if x < 3 %}{% set _ = l.append(x + 1) %}{% endif %}{% endfor %}", "123");
}

static void what_stands_in_generation_is_marked(void **state)
{
    (void)state;
    static const char source[] = "{% macro f(x) %}<{% generation %}{{ x }}\n{% endgeneration %}>{% endmacro %}"
                                 "{% for x in messages %}{{ f(x.content)|trim }}{% endfor %}{% generation %}{% endgeneration %}";
    lp_rendering out;
    assert_int_equal(render(source, sizeof source - 1, &out), LP_OK);
    assert_string_equal(out.text, "<s\n><u\n><a\n>");
    char marks[16] = "";
    for (size_t i = 0; i < out.n_pieces; i++)
        for (size_t k = out.piece[i].begin; k < out.piece[i].end; k++) marks[k] = (char)('0' + out.piece[i].input + 2 * out.piece[i].generated);
    assert_string_equal(marks, "032003200320");
    lp_rendering_free(&out);
}

/* A template made of a piece n times, between two others; in a static buffer. */
static const char *repeated(const char *begin, const char *piece, int n, const char *end)
{
    static char text[300 << 10];
    size_t at = (size_t)snprintf(text, sizeof text, "%s", begin), length = strlen(piece);
    for (int i = 0; i < n && at + length < sizeof text; i++, at += length) memcpy(text + at, piece, length);
    snprintf(text + at, sizeof text - at, "%s", end);
    return text;
}

/* The template renders with `content` as message; or the error holds a text, if it is given. */
static void expect_within(const char *source, const char *content, size_t n_content, const char *variables, const char *error)
{
    lp_chat_message message = {"user", content, n_content};
    lp_chat chat = {.message = &message, .n_messages = 1, .variables = variables, .n_variables = variables ? strlen(variables) : 0};
    lp_template *t = NULL;
    lp_rendering out = {0};
    lp_status status = lp_template_parse(source, strlen(source), &t);
    if (!status) status = lp_template_render(t, &chat, &out);
    if (status && !error) fail_msg("%.100s: %s", source, lp_error());
    if (error && (status != LP_INPUT || !strstr(lp_error(), error))) fail_msg("%.100s: status %d, '%s' lacks '%s'", source, (int)status, lp_error(), error);
    lp_rendering_free(&out);
    lp_template_free(t);
}

/* As large as sources may be, and refused at their end: tests/hard/budget.c holds this to 4 MiB. */
static void large_templates_of_every_kind_of_node_are_refused_at_their_end(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *piece, *end, *error;
    } shapes[] = {
        {"", "{{a.b}}", "{{", "20000 nodes"},
        {"", "{{'x'}}-", "{{", "20000 nodes"},
        {"{{ [", "'\\x41',", "", "20000 nodes"},
        {"{{ [", "averylongname(an='\\u00e9 of some length'),", "", NULL},
        {"{{ ", "'' ", "", NULL},
        {"{{ ", "'\\u00e9' ", "", NULL},
        {"{{ '", "\\n", "' 'x' 'y'", NULL},
        {"{% set a=1", "\n", "", NULL},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        size_t n_piece = strlen(shapes[i].piece), most = (256 << 10) - 64;
        char *text = malloc(most + 64), *at = text + sprintf(text, "%s", shapes[i].begin);
        while ((size_t)(at - text) + n_piece < most) at += sprintf(at, "%s", shapes[i].piece);
        strcpy(at, shapes[i].end);
        lp_template *t;
        assert_int_equal(lp_template_parse(text, strlen(text), &t), LP_INPUT);
        assert_null(t);
        if (shapes[i].error && !strstr(lp_error(), shapes[i].error)) fail_msg("%zu: %s", i, lp_error());
        free(text);
    }
}

static void strings_side_by_side_are_one(void **state)
{
    (void)state;
    static const char begin[] = "{{ ", piece[] = "'\\x41b' \"c\"  ";
    enum { N = 15000 };
    char *text = malloc(sizeof begin + N * sizeof piece + 8), *at = text + sprintf(text, "%s", begin);
    for (int i = 0; i < N; i++) at += sprintf(at, "%s", piece);
    strcpy(at, "}}");
    lp_template *t;
    lp_rendering r;
    assert_int_equal(lp_template_parse(text, strlen(text), &t), LP_OK);
    assert_int_equal(lp_template_render(t, &(lp_chat){0}, &r), LP_OK);
    assert_int_equal(r.n, 3 * N);
    for (int i = 0; i < N; i++) assert_memory_equal(r.text + 3 * i, "Abc", 3);
    lp_rendering_free(&r);
    lp_template_free(t);
    free(text);
}

static void limits_of_the_source_hold_exactly(void **state)
{
    (void)state;
    static const struct {
        const char *begin, *piece, *end;
        int n; /* so many are allowed, one more is not */
        const char *error;
    } limits[] = {
        {"", "x", "", 256 << 10, "262145 bytes"},
        {"", "{{1}}", "", 10000, "20000 nodes"},
        {"{{ ", "(", "", 127, NULL}, /* its end is made below */
        {"", "{% if 1 %}", "", 128, NULL},
        {"{{ ", "- ", "1 }}", 127, NULL},
        {"{{ 1", " or 1", " }}", 1001, "1000 operands"},
        {"{{ 1", "+1", " }}", 1001, "1000 operands"},
        {"{% if 1 %}", "{% elif 1 %}", "{% endif %}", 1001, "1000 branches"},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        for (int more = 0; more < 2; more++) {
            int n = limits[i].n + more;
            char *end = malloc(16 * (size_t)n + 64);
            strcpy(end, limits[i].end);
            if (i == 2) memset(end, ')', (size_t)n), strcpy(end + n, " }}"), end[0] = '1', memmove(end + 1, end, (size_t)n + 4), end[1] = ')';
            if (i == 3) for (int k = 0; k < n; k++) strcpy(end + 11 * k, "{% endif %}");
            const char *error = limits[i].error ? limits[i].error : "nesting deeper than 128";
            expect_within(repeated(limits[i].begin, limits[i].piece, n, end), "", 0, NULL, more ? error : NULL);
            free(end);
        }
    }
}

static void limits_of_a_rendering_hold_exactly(void **state)
{
    (void)state;
    enum { MIB = 1 << 20 };
    static char text[MIB];
    memset(text, 'x', sizeof text);
    static const struct {
        const char *source, *error;
    } limits[] = {
        {"{% macro f(n) %}{% if n > 1 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(64) }}", NULL},
        {"{% macro f(n) %}{% if n > 1 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(65) }}", "macro depth: more than 64"},
        {"{{ range(100000)|length }}{{ range(5, -99995, -1)|length }}", NULL},
        {"{{ range(100001)|length }}", "range: more than 100,000"},
        {"{{ range(5, -99996, -1)|length }}", "range: more than 100,000"},
        {"{{ messages[0].content * 16 }}", NULL},
        {"{{ messages[0].content * 16 }}y", "output: more than 16 MiB"},
        {"{{ messages[0].content * 17 }}", "memory: a value of 1048576 bytes repeated 17 times"},
        /* the message has room for 3 MiB, and every copy is one more */
        {"{% set l = [] %}{% for i in range(60) %}{% set _ = l.append(messages[0].content ~ '') %}{% endfor %}", NULL},
        {"{% set l = [] %}{% for i in range(61) %}{% set _ = l.append(messages[0].content ~ '') %}{% endfor %}", "memory: more than 64 MiB"},
        {"{% for i in range(100) %}{% for j in range(700) %}{% endfor %}{% endfor %}", NULL},
        {"{% for i in range(100) %}{% for j in range(70000) %}{% endfor %}{% endfor %}", "more than 50 million units of work"},
        {"{% set n = namespace(x=[1]) %}{% for i in range(1000) %}{% set n.x = n.x|map('string') %}{% endfor %}{{ n.x|list }}", NULL},
        {"{% set n = namespace(x=[1]) %}{% for i in range(3000) %}{% set n.x = n.x|map('string') %}{% endfor %}{{ n.x|list }}", "filters nested deeper than 2000"},
        {"{% set n = namespace(x=[1]) %}{% for i in range(3000) %}{% set n.x = [n.x]|map('list') %}{% endfor %}{{ n.x|list }}", "filters nested deeper than 2000"},
        {"{% set n = namespace(x=[]) %}{% for i in range(128) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}{{ n.x|tojson }}", NULL},
        {"{% set n = namespace(x=[]) %}{% for i in range(129) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x }}", "deeper than 128"},
        {"{% set n = namespace(x=[]) %}{% for i in range(129) %}{% set n.x = [n.x] %}{% endfor %}{{ n.x|tojson }}", "JSON nested deeper than 128"},
        {"{{ 9223372036854775807 }}{{ -9223372036854775807 - 1 }}", NULL},
        {"{{ 9223372036854775807 + 1 }}", "beyond 64 bits"},
        {"{{ 9223372036854775808 }}", "beyond 64 bits"},
    };
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) expect_within(limits[i].source, text, sizeof text, NULL, limits[i].error);
}

static void variables_nest_128_deep_and_no_deeper(void **state)
{
    (void)state;
    for (int more = 0; more < 2; more++) {
        int n = 127 + more; /* in an object */
        char json[300] = "{\"x\":";
        memset(json + 5, '[', (size_t)n);
        memset(json + 5 + n, ']', (size_t)n);
        strcpy(json + 5 + 2 * n, "}");
        expect_within("{{ x|length }}", "", 0, json, more ? "byte 132: no valid JSON" : NULL);
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
    /* one of the template, half of it inside {% generation %} */
    static const char halves[] = "{% for x in messages %}{% generation %}<|im_{% endgeneration %}start|>{{ x.role }}{% endfor %}";
    assert_int_equal(lp_template_parse(halves, sizeof halves - 1, &t), LP_OK);
    message.role = "<|im_start|>";
    assert_int_equal(lp_chat_encode(tokenizer, t, &(lp_chat){.message = &message, .n_messages = 1}, &ids, &n), LP_OK);
    assert_int_equal(n, 1 + 12);
    assert_int_equal(ids[0], 268);
    for (size_t i = 1; i < n; i++) assert_int_not_equal(ids[i], 268);
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
        cmocka_unit_test(map_and_select_give_their_items_once_and_when_asked),
        cmocka_unit_test(a_loop_looks_ahead_only_when_it_is_asked),
        cmocka_unit_test(what_stands_in_generation_is_marked),
        cmocka_unit_test(large_templates_of_every_kind_of_node_are_refused_at_their_end),
        cmocka_unit_test(strings_side_by_side_are_one),
        cmocka_unit_test(limits_of_the_source_hold_exactly),
        cmocka_unit_test(limits_of_a_rendering_hold_exactly),
        cmocka_unit_test(variables_nest_128_deep_and_no_deeper),
        cmocka_unit_test(errors_name_line_and_column),
        cmocka_unit_test(every_cut_of_a_template_is_rendered_or_refused),
        cmocka_unit_test(special_tokens_in_user_text_stay_text),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
