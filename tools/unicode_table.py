#!/usr/bin/env python3
"""Writes src/model/tokenizer/unicode_table.c: the general category of every code point, as a two-stage table; with
`mappings`, unicode_mappings.c: decompositions without non-spacing marks, and lower case.

The version is that of the `tokenizers` library (0.23: Unicode 16.0), whose splits the models were trained on. Needs
`pip install unicodedata2==16.0.0`; Python's own unicodedata serves if it has the same version.

    tools/unicode_table.py > src/model/tokenizer/unicode_table.c
    tools/unicode_table.py mappings > src/model/tokenizer/unicode_mappings.c
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
