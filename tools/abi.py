#!/usr/bin/env python3
"""The binary interface: exported symbols of liblowp.so, and size and layout of every struct and value of every enum of the
public headers, compared with the committed list abi/x86_64.txt.

    tools/abi.py BUILD           compares; fails where they differ
    tools/abi.py BUILD --update  writes the list anew"""
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
LIST = ROOT / "abi/x86_64.txt"


def headers():
    text = ""
    for path in sorted((ROOT / "include/lowp").glob("*.h")):
        text += re.sub(r"/\*.*?\*/", " ", path.read_text(encoding="utf-8"), flags=re.S)
    return re.sub(r"^\s*#.*$", "", text, flags=re.M)


def fields(body):
    """Names of the members of a struct's body."""
    for declaration in filter(None, (d.strip() for d in body.split(";"))):
        function = re.search(r"\(\s*\*\s*(\w+)\s*\)", declaration)
        if function:
            yield function.group(1)
            continue
        for i, part in enumerate(declaration.split(",")):
            yield re.search(r"(\w+)\s*(\[[^\]]*\]\s*)*$", part.strip()).group(1)


def program(text):
    lines = ["#include <stddef.h>", "#include <stdio.h>", "#include <lowp/lowp.h>", "int main(void)", "{"]
    for name, body in sorted(re.findall(r"struct\s+(lp_\w+)\s*\{([^{}]*)\}", text)):
        lines.append(f'    printf("struct {name} size %zu alignment %zu\\n", sizeof(struct {name}), _Alignof(struct {name}));')
        for field in fields(body):
            lines.append(f'    printf("struct {name}.{field} at %zu size %zu\\n", offsetof(struct {name}, {field}), sizeof(((struct {name} *)0)->{field}));')
    for name, body in sorted(re.findall(r"enum\s+(lp_\w+)\s*\{([^{}]*)\}", text)):
        for value in re.findall(r"\b(LP_\w+)", re.sub(r"=[^,]*", "", body)):
            lines.append(f'    printf("enum {name} {value} %d\\n", (int){value});')
    return "\n".join(lines + ["    return 0;", "}"]) + "\n"


def main():
    if len(sys.argv) < 2:
        sys.exit(__doc__)
    build = pathlib.Path(sys.argv[1])
    out = subprocess.run(["nm", "-D", "--defined-only", str(build / "liblowp.so")], capture_output=True, text=True, check=True).stdout
    names = sorted(line.split()[-1] for line in out.splitlines())
    stray = [n for n in names if not n.startswith("lp_")]
    if stray:
        sys.exit("exported, but not of the library's names: " + " ".join(stray))
    now = [f"function {name}" for name in names]
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder) / "layout.c"
        source.write_text(program(headers()))
        subprocess.run(["cc", "-w", f"-I{ROOT / 'include'}", str(source), "-o", folder + "/layout"], check=True)
        now += subprocess.run([folder + "/layout"], capture_output=True, text=True, check=True).stdout.splitlines()
    if "--update" in sys.argv:
        LIST.parent.mkdir(exist_ok=True)
        LIST.write_text("\n".join(now) + "\n")
        print(f"{LIST.relative_to(ROOT)}: {len(now)} lines")
        return
    before = LIST.read_text().splitlines()
    gone, new = [x for x in before if x not in set(now)], [x for x in now if x not in set(before)]
    for line in gone:
        print("- " + line)
    for line in new:
        print("+ " + line)
    if gone:
        sys.exit("the interface is no longer the one that programs were built with: restore it, or raise the version in meson.build (and the\n"
                 "library's, `version:` of library()), say so in CHANGELOG.md, and write the list anew: tools/abi.py BUILD --update")
    if new:
        sys.exit("the interface has grown: say so in CHANGELOG.md and write the list anew: tools/abi.py BUILD --update")
    print(f"the interface is that of {LIST.relative_to(ROOT)} ({len(now)} lines)")


if __name__ == "__main__":
    main()
