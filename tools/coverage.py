#!/usr/bin/env python3
"""Line and branch coverage of the readers of hostile files, from a build with -Db_coverage=true whose tests have run.

    tools/coverage.py BUILD [--missing] [--least PERCENT]

Prints a line per file of src/file, src/model/tokenizer and src/model/hf, and fails if the branches taken of the first two together are below
--least percent. --missing lists the lines whose branches were not all taken. Nothing is left out: what cannot be reached (sums of sizes in
memory that overflow 64 bits) counts as missing."""
import argparse
import json
import pathlib
import subprocess
import sys

DEMANDED = ("src/file/", "src/model/tokenizer/")  # what --least is about
FOLDERS = (*DEMANDED, "src/model/hf/")
ROOT = pathlib.Path(__file__).resolve().parent.parent


def measured(build):
    """{file: {line: [times run, {branch: taken}]}}, summed over the objects."""
    files = {}
    notes = [p for p in build.rglob("*.gcda") if any(f.replace("/", "_") in p.name for f in FOLDERS)]
    if not notes:
        sys.exit(f"{build}: no tests have run in it with coverage")
    for note in notes:
        out = subprocess.run(["gcov", "--json-format", "--stdout", "--branch-probabilities", str(note.resolve())], cwd=build,
                             capture_output=True, text=True, check=True).stdout
        for text in filter(None, out.splitlines()):
            for entry in json.loads(text)["files"]:
                path = (build / entry["file"]).resolve()
                if not path.is_relative_to(ROOT) or not str(path.relative_to(ROOT)).startswith(FOLDERS):
                    continue
                lines = files.setdefault(str(path.relative_to(ROOT)), {})
                for line in entry["lines"]:
                    at = lines.setdefault(line["line_number"], [0, {}])
                    at[0] += line["count"]
                    for i, branch in enumerate(line["branches"]):
                        key = (line.get("function_name"), i)
                        at[1][key] = at[1].get(key, 0) + branch["count"]
    return files


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--missing", action="store_true")
    parser.add_argument("--least", type=float, default=0)
    options = parser.parse_args()
    demanded, rest = [0, 0, 0, 0], [0, 0, 0, 0]
    print(f"{'':42} {'lines':>15} {'branches':>17}")
    for path, lines in sorted(measured(options.build).items()):
        source = (ROOT / path).read_text(encoding="utf-8").splitlines()
        counts = [0, 0, 0, 0]
        missing = []
        for number, (count, branches) in sorted(lines.items()):
            taken = sum(n > 0 for n in branches.values())
            counts = [a + b for a, b in zip(counts, (count > 0, 1, taken, len(branches)))]
            if taken < len(branches) or count == 0:
                missing.append(f"    {number}: {taken}/{len(branches)} {source[number - 1].strip()[:110]}")
        total = demanded if path.startswith(DEMANDED) else rest
        total[:] = [a + b for a, b in zip(total, counts)]
        show(path, counts)
        if options.missing and missing:
            print("\n".join(missing))
    show("src/file and src/model/tokenizer", demanded)
    show("src/model/hf", rest)
    percent = 100 * demanded[2] / max(demanded[3], 1)
    if percent < options.least:
        sys.exit(f"branches: {percent:.1f} % are taken, {options.least:g} % are wanted (tools/coverage.py {options.build} --missing)")


def show(name, counts):
    lines, n_lines, taken, n_branches = counts
    print(f"{name:42} {lines:5}/{n_lines:<5} {100 * lines / max(n_lines, 1):5.1f} {taken:5}/{n_branches:<5} {100 * taken / max(n_branches, 1):5.1f}")


if __name__ == "__main__":
    main()
