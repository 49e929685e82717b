#!/usr/bin/env python3
"""Writes src/format/codebook.c: the code books of the IQ block formats, checked by their CRC-32.

The input lists each book as a bitmap of its patterns (format constants of GGUF): lines "name dims levels count crc32
hexbitmap". Pattern t = sum of level_i levels^i is bit t mod 8 of byte t div 8; index k of a book is the k-th set bit.
An entry is written with its levels in fields of 2 or 3 bits, element 0 lowest.

    tools/codebook_table.py iq-codebooks.txt > src/format/codebook.c
"""
import struct
import sys
import zlib


def books(path):
    for line in open(path):
        if line.startswith("#") or not line.strip():
            continue
        name, dims, levels, count, crc, bitmap = line.split()
        dims, levels, bitmap = int(dims), int(levels), bytes.fromhex(bitmap)
        patterns = [t for t in range(8 * len(bitmap)) if bitmap[t // 8] >> t % 8 & 1]
        assert len(patterns) == int(count) and patterns[-1] < levels ** dims, name
        assert zlib.crc32(struct.pack(f"<{len(patterns)}H", *patterns)) == int(crc, 16), name
        width = (levels - 1).bit_length()
        yield name, [sum(t // levels ** i % levels << width * i for i in range(dims)) for t in patterns]


print("/* The code books of the IQ formats. Written by tools/codebook_table.py: do not edit. */")
print('#include "format/codebook.h"')
print("\n/* clang-format off */")
for name, entries in books(sys.argv[1]):
    print(f"const uint16_t lp_codebook_{name}[{len(entries)}] = {{")
    for i in range(0, len(entries), 16):
        print("    " + ", ".join(f"0x{e:04x}" for e in entries[i:i + 16]) + ",")
    print("};")
