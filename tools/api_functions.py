#!/usr/bin/env python3
"""Names of the functions that the public headers declare, as C: API_FUNCTIONS(X) with X(name) for each."""
import re
import sys


def functions(paths):
    found = []
    for path in paths:
        with open(path, encoding="utf-8") as file:
            text = re.sub(r"/\*.*?\*/", " ", file.read(), flags=re.S)
        text = re.sub(r"^\s*#.*$", " ", text, flags=re.M)
        found += re.findall(r"\bLP_API\b[^;{}()]*?\b(lp_\w+)\s*\(", text)
    return found


if __name__ == "__main__":
    names = functions(sys.argv[1:])
    print("/* Made by tools/api_functions.py. */")
    print("#define API_FUNCTIONS(X) \\")
    print(" \\\n".join(f"    X({name})" for name in names))
