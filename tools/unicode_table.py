#!/usr/bin/env python3
"""Writes src/model/tokenizer/unicode_table.c: the general category of every code point, as a two-stage table; with
`mappings`, unicode_mappings.c: decompositions without non-spacing marks, and lower case; with `forms`,
unicode_forms.c: what the normalization forms need.

The version is that of the `tokenizers` library (0.23: Unicode 16.0), whose splits the models were trained on. Needs
`pip install unicodedata2==16.0.0`; Python's own unicodedata serves if it has the same version.

    tools/unicode_table.py > src/model/tokenizer/unicode_table.c
    tools/unicode_table.py mappings > src/model/tokenizer/unicode_mappings.c
    tools/unicode_table.py forms > src/model/tokenizer/unicode_forms.c
"""
import sys

VERSION = "16.0.0"
try:
    import unicodedata2 as unicodedata
except ImportError:
    import unicodedata
if unicodedata.unidata_version != VERSION:
    sys.exit(f"unicode_table.py: this Python knows Unicode {unicodedata.unidata_version}, wanted {VERSION}: "
             f"pip install unicodedata2=={VERSION}")

# The order of enum lp_category in unicode.h; the last two are controls that count as white space.
CATEGORIES = ("Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cc Cf Cs Co Cn "
              "newline control_space").split()
BLOCK = 256


def category(c):
    if c in (0x0A, 0x0D):
        return CATEGORIES.index("newline")
    if c in (0x09, 0x0B, 0x0C, 0x85):
        return CATEGORIES.index("control_space")
    return CATEGORIES.index(unicodedata.category(chr(c)))


def rows(values):
    line = ""
    for v in values:
        piece = f"{v},"
        if len(line) + len(piece) > 116:
            yield "    " + line
            line = ""
        line += piece
    yield "    " + line


# Lower case that Unicode 15 and 16 added, for a Python whose own str.lower() is older.
NEW_LOWER = {0x1C89: 0x1C8A, 0xA7CB: 0x264, 0xA7CC: 0xA7CD, 0xA7DA: 0xA7DB, 0xA7DC: 0x19B}
NEW_LOWER.update({0x10D50 + i: 0x10D70 + i for i in range(22)})


def mapping(name, what, of):
    pairs = []
    for c in range(0x110000):
        to = of(c) if not 0xD800 <= c < 0xE000 else [c]
        if to != [c]:
            assert len(to) <= 3
            pairs.append("{0x%x,{%s}}" % (c, ",".join("0x%x" % x for x in to) or "0"))
    print(f"\n/* {what} */\nconst size_t lp_n_{name} = {len(pairs)};\nconst lp_mapping lp_{name}[{len(pairs)}] = {{")
    print("\n".join(rows(pairs)))
    print("};")


if sys.argv[1:] == ["mappings"]:
    print(f"/* Mappings of Unicode {VERSION}. Written by tools/unicode_table.py: do not edit. */")
    print('#include "model/tokenizer/unicode.h"\n\n/* clang-format off */')
    mapping("unaccented", "Canonical decomposition without non-spacing marks; Hangul is computed.", lambda c: [c] if 0xAC00 <= c < 0xD7A4
            else [ord(x) for x in unicodedata.normalize("NFD", chr(c)) if unicodedata.category(x) != "Mn"])
    mapping("lower", "Lower case.", lambda c: [NEW_LOWER[c]] if c in NEW_LOWER else [ord(x) for x in chr(c).lower()])
    sys.exit()

def decompositions(form, name, what, pool):
    pairs = []
    for c in range(0x110000):
        to = unicodedata.normalize(form, chr(c)) if not (0xD800 <= c < 0xE000 or 0xAC00 <= c < 0xD7A4) else chr(c)
        if to != chr(c):
            at = pool.setdefault(to, sum(map(len, pool)))
            pairs.append("{0x%x,%d,%d}" % (c, at, len(to)))
    print(f"\n/* {what} */\nconst size_t lp_n_{name} = {len(pairs)};\nconst lp_decomposition lp_{name}[{len(pairs)}] = {{")
    print("\n".join(rows(pairs)))
    print("};")


if sys.argv[1:] == ["forms"]:
    print(f"/* Normalization forms of Unicode {VERSION}. Written by tools/unicode_table.py: do not edit. */")
    print('#include "model/tokenizer/unicode_forms.h"\n\n/* clang-format off */')
    pool = {}
    decompositions("NFD", "canonical", "Canonical decomposition, complete; Hangul is computed.", pool)
    decompositions("NFKD", "compatible", "Compatibility decomposition, complete; Hangul is computed.", pool)
    characters = [ord(c) for text in pool for c in text]
    assert len(characters) < 65536
    print(f"\n/* What they become. */\nconst uint32_t lp_decomposed[{len(characters)}] = {{")
    print("\n".join(rows(["0x%x" % c for c in characters])))
    print("};")
    pairs = []
    for c in range(0x110000):
        d = unicodedata.decomposition(chr(c)).split()
        if len(d) == 2 and d[0][0] != "<" and unicodedata.normalize("NFC", chr(c)) == chr(c):
            pairs.append((int(d[0], 16), int(d[1], 16), c))
    print(f"\n/* Pairs that become one character, in order; Hangul is computed. */\nconst size_t lp_n_composed = {len(pairs)};\n"
          f"const lp_composition lp_composed[{len(pairs)}] = {{")
    print("\n".join(rows(["{0x%x,0x%x,0x%x}" % p for p in sorted(pairs)])))
    print("};")
    seconds = {b for a, b, c in pairs} | set(range(0x1161, 0x1176)) | set(range(0x11A8, 0x11C3))
    blocks, index = {}, []
    for first in range(0, 0x110000, BLOCK):
        block = []
        for c in range(first, first + BLOCK):
            known = not 0xD800 <= c < 0xE000
            order = unicodedata.combining(chr(c)) if known else 0
            # 255: order 0, but a character before it may swallow it, or it is none of the form NFC
            block.append(order or (255 if known and (c in seconds or unicodedata.normalize("NFC", chr(c)) != chr(c)) else 0))
        index.append(blocks.setdefault(tuple(block), len(blocks)))
    assert len(blocks) <= 256
    print(f"\n/* Combining class; 255: 0, but NFC may change it. */\nconst uint8_t lp_order_block[{len(index)}] = {{")
    print("\n".join(rows(index)))
    print(f"}};\nconst uint8_t lp_order_of[{len(blocks)} * {BLOCK}] = {{")
    for block in blocks:
        print("\n".join(rows(block)))
    print("};")
    sys.exit()

values = [category(c) for c in range(0x110000)]
blocks, index = {}, []
for first in range(0, 0x110000, BLOCK):
    index.append(blocks.setdefault(tuple(values[first:first + BLOCK]), len(blocks)))
assert len(blocks) <= 256

print(f"/* General categories of Unicode {VERSION}. Written by tools/unicode_table.py: do not edit. */")
print('#include "model/tokenizer/unicode.h"')
print("\n/* clang-format off */")
print(f"const uint8_t lp_category_block[{len(index)}] = {{")
print("\n".join(rows(index)))
print("};\n")
print(f"const uint8_t lp_category_of[{len(blocks)} * {BLOCK}] = {{")
for block in blocks:
    print("\n".join(rows(block)))
print("};")
