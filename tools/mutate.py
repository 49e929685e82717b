#!/usr/bin/env python3
"""Mutation test of size checks: changes one check at a time in src/file and src/base and sees whether a test notices.

    tools/mutate.py BUILD [--files NAME ...] [--jobs N] [--least PERCENT] [--part K/N] [--list]

A mutant is a line with a check of a size in which one comparison has moved by one (< for <=, > for >=), was turned round (==, !=),
one bound is larger or smaller by one, or the check never holds. Only the changed object is compiled (with the address
sanitizer, so that a read beyond a buffer is noticed) and linked before the library into the tests of its room; the first test
that fails, crashes or runs longer than 20 s of processor time kills it. Prints the survivors."""
import argparse
import concurrent.futures
import json
import pathlib
import re
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

GGUF = ["tests/file/test_gguf_verdicts", "tests/file/test_gguf", "tests/file/test_gguf_write", "tests/file/test_edges", "tests/fuzz/replay_gguf", "tests/hard/test_memory GGUF"]
JSON = ["tests/file/test_json", "tests/file/test_safetensors", "tests/file/test_edges", "tests/fuzz/replay_json", "tests/fuzz/replay_safetensors", "tests/hard/test_memory folder"]
# Files with checks of sizes, and the tests that see them, the quickest first.
FILES = {
    "src/file/gguf_read.c": GGUF, "src/file/gguf_access.c": GGUF, "src/file/gguf_write.c": GGUF, "src/file/gguf_edit.c": GGUF[3:4] + GGUF,
    "src/file/gguf_split.c": GGUF[3:4] + GGUF, "src/file/names.c": GGUF, "src/file/json.c": JSON, "src/file/safetensors_read.c": JSON,
    "src/file/safetensors_folder.c": JSON, "src/file/safetensors_write.c": JSON,
    "src/base/arena.c": ["tests/base/test_arena", "tests/hard/test_memory chat"],
    "src/base/map.c": ["tests/base/test_map", "tests/hard/test_io GGUF"],
    "src/base/output.c": ["tests/base/test_output", "tests/hard/test_io GGUF"],
    "src/base/checked.h": ["tests/base/test_arena", "tests/file/test_gguf_verdicts", "tests/file/test_gguf_write", "tests/file/test_safetensors",
                           "tests/file/test_edges"],
}
INCLUDERS = ["src/base/arena.c", "src/file/gguf_read.c", "src/file/gguf_write.c", "src/file/safetensors_read.c", "src/file/json.c"]  # of checked.h

PLAIN = {"src/base/map.c"}  # signal handlers of its own: without the address sanitizer

SIZES = re.compile(r"n_\w*|\bn\b|size|left\(|\bleft\b|MAX|MIN|count|offset|\bat\b|limit|capacity|room|\bend\b|total|padded|span|depth|"
                   r"index|first|last|bits|dim|lp_(add|mul|align)_|overflow")
COMPARISON = re.compile(r"(?<![-<>=!])(<=|>=|==|!=|<|>)(?![<>=])")
MOVED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}


def checks(path):
    """(line number, what, new line) for each mutant of a file."""
    found = []
    in_comment = False
    for number, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1):
        code = re.sub(r"/\*.*?\*/", lambda m: " " * len(m.group()), re.sub(r'"(\\.|[^"\\])*"', lambda m: '"' + "_" * (len(m.group()) - 2) + '"', line))
        if in_comment or code.lstrip().startswith(("*", "#")) or "/*" in code:
            in_comment = ("/*" in code or in_comment) and "*/" not in code.split("/*")[-1]
            continue
        is_check = re.search(r"\b(if|while|return)\b|\?|&&|\|\|", code)
        if not is_check or not SIZES.search(code):
            continue
        for m in COMPARISON.finditer(code):
            after = code[m.end():].lstrip()
            if m.group() in ("==", "!=") and after.startswith(("NULL", "LP_", "MAP_FAILED")):
                continue  # no size
            new = line[:m.start()] + MOVED[m.group()] + line[m.end():]
            found.append((number, f"{m.group()} is {MOVED[m.group()]}", new))
            bound = re.match(r"\s*\w+(?:->\w+|\.\w+)*(?=\s*(\)|&&|\|\||\?|;|:))", code[m.end():])
            if bound and m.group() in ("<", ">", "<=", ">="):  # one way is the move above, the other goes too far as well
                step = "- 1" if m.group() in ("<", ">=") else "+ 1"
                new = line[:m.end()] + line[m.end():m.end() + bound.end()] + " " + step + line[m.end() + bound.end():]
                found.append((number, f"the bound {step}", new))
        m = re.search(r"!(__builtin_\w+_overflow\([^()]*\))", line)
        if m:
            found.append((number, "overflow is not noticed", line[:m.start()] + f"({m.group(1)}, 1)" + line[m.end():]))
        m = re.match(r"(\s*(?:\} )?(?:else )?if \()(.*)", line)
        if m and (COMPARISON.search(code) or "lp_" in code):
            depth = 1
            for i, c in enumerate(m.group(2)):
                depth += (c == "(") - (c == ")")
                if depth == 0:
                    found.append((number, "the check never holds", m.group(1) + "0 && (" + m.group(2)[:i] + ")" + m.group(2)[i:]))
                    break
    return found


class Build:
    def __init__(self, folder):
        self.folder = folder.resolve()
        self.commands = {}
        for entry in json.loads((self.folder / "compile_commands.json").read_text()):
            path = (self.folder / entry["file"]).resolve()
            if path.is_relative_to(ROOT):
                self.commands.setdefault(str(path.relative_to(ROOT)), entry["command"])
        self.links = {}

    def compile(self, source, text, out, extra=(), sanitize="-fsanitize=address"):
        changed = out.with_suffix(".c")
        changed.write_text(text, encoding="utf-8")
        words = shlex.split(self.commands[source])
        keep, skip = [], False
        for word in words:
            if skip:
                skip = False
            elif word in ("-o", "-c", "-MF", "-MQ"):
                skip = True
            elif not word.startswith("-O") and word not in ("-MD",):
                keep.append(word)
        keep += [*extra, "-O1", "-g1", "-w", sanitize, f"-I{ROOT / pathlib.Path(source).parent}", "-c", str(changed), "-o", str(out)]
        if keep[0] == "ccache":
            keep = keep[1:]
        place = keep.index(next(w for w in keep if w.startswith("-I")))
        keep[place:place] = extra
        return subprocess.run(keep, cwd=self.folder, capture_output=True, text=True).returncode == 0

    def link(self, test, objects, out, sanitize):
        if test not in self.links:
            lines = subprocess.run(["ninja", "-C", str(self.folder), "-t", "commands", test], capture_output=True, text=True).stdout.splitlines()
            self.links[test] = shlex.split(lines[-1])
        words = list(self.links[test])
        words[words.index("-o") + 1] = str(out)
        place = next(i for i, w in enumerate(words) if w.endswith(".o"))
        words[place:place] = [*map(str, objects), sanitize]
        if words[0] == "ccache":
            words = words[1:]
        return subprocess.run(words, cwd=self.folder, capture_output=True, text=True).returncode == 0

    def killed_by(self, path, mutant, tests):
        """Name of the test that fails; "" for a survivor; None if the mutant does not compile."""
        number, _, new = mutant
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        lines[number - 1] = new
        text = "\n".join(lines) + "\n"
        sanitize = "-g1" if path in PLAIN else "-fsanitize=address"
        with tempfile.TemporaryDirectory(prefix="lowp-mutant-") as name:
            folder = pathlib.Path(name)
            objects = []
            if path.endswith(".h"):
                header = folder / "include" / pathlib.Path(path).relative_to("src")
                header.parent.mkdir(parents=True)
                header.write_text(text, encoding="utf-8")
                for i, source in enumerate(INCLUDERS):
                    objects.append(folder / f"m{i}.o")
                    if not self.compile(source, (ROOT / source).read_text(encoding="utf-8"), objects[-1], [f"-I{folder / 'include'}"]):
                        return None
            else:
                objects.append(folder / "m.o")
                if not self.compile(path, text, objects[0], sanitize=sanitize):
                    return None
            for test in dict.fromkeys(tests):
                program = folder / "test"
                test, *arguments = test.split()
                if not self.link(test, objects, program, sanitize):
                    return None
                words = ["prlimit", "--cpu=20", str(program), *arguments]
                if "replay_" in test:
                    words.append(str(ROOT / "tests/fuzz" / test.split("/")[-1].replace("replay_", "corpus-")))
                try:
                    done = subprocess.run(words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=300,
                                          env={"PATH": "/usr/bin:/bin", "ASAN_OPTIONS": "allocator_may_return_null=1:detect_leaks=1"})
                    if done.returncode:
                        return test
                except subprocess.TimeoutExpired:
                    return test + " (time)"
        return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--files", nargs="*", default=[])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--least", type=float, default=0)
    parser.add_argument("--part", default="1/1", help="the k-th of every n mutants")
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    part, parts = map(int, options.part.split("/"))
    work = [(path, m) for path in FILES if not options.files or any(f in path for f in options.files) for m in checks(path)]
    work = work[part - 1::parts]
    if options.list:
        for path, (number, what, new) in work:
            print(f"{path}:{number}: {what}: {new.strip()}")
        print(len(work))
        return
    build = Build(options.build)
    counts = {}
    for path in dict.fromkeys(path for path, _ in work):
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
        failing = build.killed_by(path, (1, "", lines[0]), FILES[path])
        if failing != "":
            sys.exit(f"{path}: without a change {failing or 'it does not build'} fails")
    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        results = pool.map(lambda w: build.killed_by(w[0], w[1], FILES[w[0]]), work)
        for (path, (number, what, _)), result in zip(work, results):
            if result is None:
                continue
            n = counts.setdefault(path, [0, 0])
            n[0] += result != ""
            n[1] += 1
            if result == "":
                line = (ROOT / path).read_text(encoding="utf-8").splitlines()[number - 1].strip()
                print(f"survives: {path}:{number}: {what}: {line}", flush=True)
    for path, (killed, n) in counts.items():
        print(f"{path:34} {killed:4} of {n:4} killed  {100 * killed / n:5.1f} %")
    killed, n = (sum(c[i] for c in counts.values()) for i in (0, 1))
    percent = 100 * killed / max(n, 1)
    print(f"{'all':34} {killed:4} of {n:4} killed  {percent:5.1f} %")
    if percent < options.least:
        sys.exit(f"{percent:.1f} % of the mutants are killed, {options.least:g} % are wanted")


if __name__ == "__main__":
    main()
