#!/usr/bin/env python3
"""Mutation test of size checks: changes one check at a time in src/file and src/base and sees whether a test notices.

    tools/mutate.py BUILD [--files NAME ...] [--jobs N] [--least PERCENT] [--list]

A mutant is a check of a size in which one comparison has moved by one (< for <=, > for >=), was turned round (==, !=),
one bound is larger or smaller by one, or the check never holds. All mutants of a file are compiled into one object (with the
address sanitizer, so that a read beyond a buffer is noticed), each behind a test of a number from the environment, and linked before
the library into the tests of its room. A first run of each test, unchanged, tells which checks it passes; only these tests run with a mutant of
that check, the quickest first. One that fails, crashes or takes more than 3 s of processor time beyond three times the unchanged run kills it. Mutants
that nothing can tell from the original stand in EQUIVALENT below with the reason and are not made. Prints the survivors and a table."""
import argparse
import concurrent.futures
import json
import pathlib
import re
import resource
import shlex
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent

GGUF = ["tests/file/test_gguf_verdicts", "tests/file/test_borders", "tests/file/test_gguf", "tests/file/test_gguf_write", "tests/file/test_edges",
        "tests/file/test_formats", "tests/fuzz/replay_gguf"]
JSON = ["tests/file/test_json", "tests/file/test_borders", "tests/file/test_safetensors", "tests/file/test_edges", "tests/fuzz/replay_json",
        "tests/fuzz/replay_safetensors"]
# Files with checks of sizes, and the tests that see them, the quickest first.
FILES = {
    "src/file/gguf_read.c": GGUF, "src/file/gguf_access.c": GGUF, "src/file/gguf_write.c": GGUF, "src/file/gguf_edit.c": [*GGUF, "tests/hard/test_io edit keys in"],
    "src/file/gguf_split.c": [*GGUF, "tests/model/test_convert"], "src/file/names.c": GGUF, "src/file/json.c": JSON, "src/file/safetensors_read.c": JSON,
    "src/file/safetensors_folder.c": JSON, "src/file/safetensors_write.c": JSON,
    "src/base/arena.c": ["tests/base/test_arena", "tests/hard/test_memory chat"],
    "src/base/map.c": ["tests/base/test_map", "tests/hard/test_io read a"],
    "src/base/output.c": ["tests/base/test_output", "tests/hard/test_io set", "tests/hard/test_io begin"],
    "src/base/checked.h": ["tests/base/test_arena", "tests/file/test_gguf_verdicts", "tests/file/test_gguf_write", "tests/file/test_safetensors",
                           "tests/file/test_edges"],
}
INCLUDERS = ["src/base/arena.c", "src/file/gguf_read.c", "src/file/gguf_write.c", "src/file/safetensors_read.c", "src/file/json.c"]  # of checked.h

PLAIN = {"src/base/map.c"}  # signal handlers of its own: without the address sanitizer

SIZES = re.compile(r"n_\w*|\bn\b|size|left\(|\bleft\b|MAX|MIN|count|offset|\bat\b|limit|capacity|room|\bend\b|total|padded|span|depth|"
                   r"index|first|last|bits|dim|lp_(add|mul|align)_|overflow")
COMPARISON = re.compile(r"(?<![-<>=!])(<=|>=|==|!=|<|>)(?![<>=])")
MOVED = {"<": "<=", "<=": "<", ">": ">=", ">=": ">", "==": "!=", "!=": "=="}

# Mutants that no test can tell from the original: (file, the line's text or its beginning, what changes or "*" for every mutant of the line, reason).
ADVICE = "advice to the kernel: no result depends on it, and lp_map_drop keeps to the map"
RACE = "a second look at an entry that measure_directory checked: differs only if another process rewrites the file between the two"
QUICK = "a quick way: without it the long way gives the same"
MEMORY = "how much is allocated at a time, not what is read"
EQUIVALENT = [
    ("src/file/names.c", "if (names->capacity >= UINT32_C(1) << 30)", ">= is >", "more than 2^30 names take 24 GiB"),
    ("src/file/json.c", "if (object->n <= 12) {", "*", QUICK),
    ("src/file/json.c", "if (at < p->n && (p->text[at] == '+'", "the bound - 1 at 8", "a sign that ends the text leaves no digits either way"),
    ("src/file/json.c", "while (end < p->n && p->text[end] >= 0x80)", "the bound - 1 at 35", "a run that ends with DEL is checked as one"),
    ("src/file/json.c", "if (end > at && !lp_name_is_text", "> is >= at 8", "an empty run is text"),
    ("src/file/json.c", "if (end > at && !lp_name_is_text", "> is >=", "an empty run is text"),
    ("src/file/json.c", "if (n > limits->n_bytes || n >= UINT32_MAX)", "the bound - 1 at 30", "takes a text of 4 GiB"),
    ("src/file/gguf_read.c", "static bool may_be_long", "the bound - 1 at 55", "reads the first byte of the type behind the key, which is no point"),
    ("src/file/gguf_read.c", "if (left(r) >= 8) {", ">= is >", QUICK),
    ("src/file/gguf_read.c", "if (left(r) >= 8) {", "the check never holds", QUICK),
    ("src/file/gguf_read.c", "if (length <= left(r) - 8 && length <= limit) {", "the check never holds", QUICK),
    ("src/file/gguf_read.c", "if (length <= left(r) - 8 && length <= limit) {", "<= is < at 12", QUICK),
    ("src/file/gguf_read.c", "if (length <= left(r) - 8 && length <= limit) {", "<= is < at 37", QUICK),
    ("src/file/gguf_read.c", "if (alignment == 0 ||", "the bound + 1 at 71", "a power of two is not 2^20 + 1"),
    ("src/file/gguf_read.c", "if (capacity > n) capacity = n;", "*", MEMORY),
    ("src/file/gguf_read.c", "if (left(r) < 12) return bad(r, \"\", \"the file changed", "*", RACE),
    ("src/file/gguf_read.c", "uint32_t n_dims = view.n > LP_GGUF_MAX_NAME", "*", RACE),
    ("src/file/gguf_read.c", "if (n_dims < 1 || n_dims > 4 || view.n + 1", "*", RACE),
    ("src/file/gguf_read.c", "(unsigned long long)*end, offset < *end", "*", "the two are not equal here"),
    ("src/file/gguf_access.c", "if (n_rows <= 0) return;", "*", ADVICE),
    ("src/file/gguf_access.c", "if (first_row < 0) first_row = 0;", "*", ADVICE),
    ("src/file/gguf_access.c", "if (last_row > n_rows) last_row = n_rows;", "*", ADVICE),
    ("src/file/gguf_access.c", "if (first_row >= last_row) return;", "*", ADVICE),
    ("src/file/gguf_access.c", "if (map->data && at >= start", "*", ADVICE),
    ("src/file/gguf_write.c", "if (alignment == 0 ||", "the bound + 1 at 71", "a power of two is not 2^20 + 1"),
    ("src/file/gguf_write.c", "!lp_align_u64(end, LP_GGUF_MAX_ALIGNMENT, &end) || end > INT64_MAX)", "> is >=", "a multiple of the alignment is not 2^63 - 1"),
    ("src/file/gguf_edit.c", "if (k > 0) done += (size_t)k;", "*", "pwrite to a regular file does not write 0 bytes"),
    ("src/file/gguf_edit.c", "for (size_t i = 0; edits && i < n; i++) free(edits[i].value);", "< is <=", "one more was allocated, of zeros"),
    ("src/file/safetensors_read.c", "t->begin > at ?", "*", "the two are not equal here"),
    ("src/file/safetensors_read.c", "for (uint32_t i = 0; i < f->n && status == LP_OK; i++) f->tensor[i].data", "< is <= at 24", "one more was allocated"),
    ("src/file/safetensors_folder.c", "while (n_folder > 1 && folder[n_folder - 1] == '/')", "*", "a slash more or less in a path"),
    ("src/file/safetensors_write.c", "if (!lp_add_size(text->n, n, &need) || need > SIZE_MAX / 2)", "> is >=", "no text has 2^63 bytes"),
    ("src/file/safetensors_write.c", "if (need > text->capacity) {", "> is >=", MEMORY),
    ("src/file/safetensors_write.c", "if (n < 0 || (size_t)n >= sizeof buffer)", "the bound - 1 at 7", "vsnprintf returns -1 for formats only that are not used"),
    ("src/file/safetensors_write.c", "for (size_t length = 1; length <= 4", "the bound + 1 at 32", "five bytes are no sequence where four are none"),
    ("src/file/safetensors_write.c", "size_t length = c < 0x80 ? 1", "the bound - 1", "DEL is a sequence of one byte"),
    ("src/base/output.c", "ssize_t written = write(output->file", "*", "no memory has SSIZE_MAX bytes"),
    ("src/base/output.c", "if (n == 0) return LP_OK;", "*", QUICK),
    ("src/base/output.c", "if (n > BUFFER - output->n_buffered) {", "> is >=", "the same bytes, buffered or not"),
    ("src/base/output.c", "if (n >= BUFFER) return write_through", "*", "the same bytes, buffered or not"),
    ("src/base/map.c", "return syscall(SYS_mmap2", "*", "not compiled on machines of 64 bits"),
    ("src/base/map.c", "if ((uint64_t)s.st_size > PTRDIFF_MAX)", "*", "no st_size is larger"),
    ("src/base/map.c", "if (map->data == NULL || first >= map->n_bytes) return;", "*", ADVICE),
    ("src/base/map.c", "last = last == map->n_bytes ?", "*", ADVICE),
    ("src/base/map.c", "if (first < last) (void)madvise", "*", ADVICE),
    ("src/base/arena.c", "size_t alignment = n >= HUGE_PAGE", "the bound - 1", "more alignment than is asked for"),
    ("src/base/arena.c", "if (!lp_add_size(n, alignment + sizeof(void *), &total) || total", "> is >= at 69", "no memory has 2^63 - 1 bytes"),
    ("src/base/arena.c", "if (!lp_add_size(n, alignment + sizeof(void *), &total) || total", "*", "no memory has 2^63 - 1 bytes: calloc refuses them too"),
    ("src/base/arena.c", "if (alignment == HUGE_PAGE) (void)madvise", "*", ADVICE),
    ("src/base/arena.c", "if (head == NULL || head->n_bytes - head->n_used < padded)", "the bound - 1 at 50", "all three are multiples of 64"),
    ("src/base/arena.c", "while (wanted < most && wanted < arena->n_bytes)", "the bound - 1 at 15", "both are powers of two"),
    ("src/base/arena.c", "while (wanted < most && wanted < arena->n_bytes)", "the bound - 1 at 32", MEMORY),
]
# The smaller of two, where both are right if they are equal; and pointers that are NULL, which tests/hard fails one by one.
CLAMP = re.compile(r"if \((\S+) > (.+?)\) \1 = \2;|= (\S+) < (.+?) \? (\(size_t\))?\3 : (\(size_t\))?\4;")
NO_MEMORY = re.compile(r"if \((!?[\w>*-]+( == NULL)?( \|\| ![\w>-]+)*)\) (return |status = )?(lp_)?fail_memory")

PRELUDE = r"""
#include <fcntl.h>
#include <unistd.h>
extern char **environ;
static int lp_mutant; /* 0: none; -1: tell which are passed */
static int lp_mutant_file;
static unsigned char lp_mutant_seen[4096];
static const char *lp_mutant_variable(const char *name, int n)
{
    for (char **e = environ; e && *e; e++)
        if (!__builtin_strncmp(*e, name, n)) return *e + n;
    return 0;
}
__attribute__((constructor)) static void lp_mutant_begin(void)
{
    const char *number = lp_mutant_variable("LOWP_MUTANT=", 12), *path = lp_mutant_variable("LOWP_MUTANT_FILE=", 17);
    for (; number && *number >= '0' && *number <= '9'; number++) lp_mutant = lp_mutant * 10 + *number - '0';
    if (path) lp_mutant = -1, lp_mutant_file = open(path, O_WRONLY | O_APPEND);
}
static inline int lp_mutant_is(int n)
{
    if (lp_mutant == -1 && !lp_mutant_seen[n]) {
        lp_mutant_seen[n] = 1;
        char text[8] = {'0' + n / 1000, '0' + n / 100 % 10, '0' + n / 10 % 10, '0' + n % 10, '\n'};
        (void)!write(lp_mutant_file, text, 5);
    }
    return lp_mutant == n;
}
"""


def masked(text):
    """The text with comments, strings and preprocessor lines blanked out, byte for byte."""
    blank = lambda m: re.sub(r"[^\n]", " ", m.group())
    text = re.sub(r"/\*.*?\*/", blank, text, flags=re.S)
    text = re.sub(r'"(\\.|[^"\\\n])*"|' + r"'(\\.|[^'\\\n])+'", lambda m: m.group()[0] + "_" * (len(m.group()) - 2) + m.group()[-1], text)
    return re.sub(r"^[ \t]*#(.*\\\n)*.*$", blank, text, flags=re.M)


def operands(code, begin, end):
    """Where the comparison around the operator at [begin, end) begins and ends."""
    depth, i = 0, begin
    while True:
        i -= 1
        c = code[i]
        if c in ")]":
            depth += 1
        elif c in "([":
            if depth == 0:
                break
            depth -= 1
        elif depth == 0 and (c in ",;{}?" or code[i - 1:i + 1] in ("&&", "||") or c == ":" or
                             c == "=" and code[i - 1] not in "=!<>" and code[i + 1] != "=" or code[i - 5:i + 1] == "return"):
            break
    depth, j = 0, end
    while True:
        c = code[j]
        if c in "([":
            depth += 1
        elif c in ")]":
            if depth == 0:
                break
            depth -= 1
        elif depth == 0 and (c in ",;{}?:" or code[j:j + 2] in ("&&", "||")):
            break
        j += 1
    return i + 1, j


class Mutant:
    def __init__(self, number, what, begin, end, new, line):
        self.number, self.what, self.begin, self.end, self.new, self.line = number, what, begin, end, new, line
        self.id = 0


def checks(path):
    """The mutants of a file, in order of their place; equivalent ones are left out."""
    text = (ROOT / path).read_text(encoding="utf-8")
    code = masked(text)
    found = []
    place = 0
    for number, (line, shown) in enumerate(zip(code.split("\n"), text.split("\n")), 1):
        start, place = place, place + len(line) + 1
        is_check = re.search(r"\b(if|while|return)\b|\?|&&|\|\|", line)
        if not is_check or not SIZES.search(line) or NO_MEMORY.search(line):
            continue

        def add(what, begin, end, new):
            text_of = shown.strip()
            is_equal = what.startswith(("< is <=", "> is >=")) and CLAMP.search(text_of)
            if not is_equal and not any(f == path and text_of.startswith(t) and w in (what, "*") for f, t, w, _ in EQUIVALENT):
                found.append(Mutant(number, what, begin, end, new, text_of))
        for m in COMPARISON.finditer(line):
            after = line[m.end():].lstrip()
            if m.group() in ("==", "!=") and after.startswith(("NULL", "LP_", "MAP_FAILED")):
                continue  # no size
            at, behind = start + m.start(), start + m.end()
            begin, end = operands(code, at, behind)
            column = f" at {m.start() - (len(line) - len(line.lstrip())) + 1}" if len(COMPARISON.findall(line)) > 1 else ""
            add(f"{m.group()} is {MOVED[m.group()]}{column}", begin, end, text[begin:at] + MOVED[m.group()] + text[behind:end])
            bound = re.match(r"\s*\w+(?:->\w+|\.\w+)*(?=\s*(\)|&&|\|\||\?|;|:))", line[m.end():])
            if bound and m.group() in ("<", ">", "<=", ">="):  # one way is the move above, the other goes too far as well
                step = "- 1" if m.group() in ("<", ">=") else "+ 1"
                add(f"the bound {step}{column}", begin, end, text[begin:behind + bound.end()] + " " + step + text[behind + bound.end():end])
        for m in re.finditer(r"!(__builtin_\w+_overflow\([^()]*\))", line):
            add("overflow is not noticed", start + m.start(), start + m.end(), f"({m.group(1)}, 1)")
        m = re.match(r"(\s*(?:\} )?(?:else )?if \()", line)
        if m and (COMPARISON.search(line) or "lp_" in line):
            begin = end = start + m.end()
            depth = 1
            while depth:
                depth += (code[end] == "(") - (code[end] == ")")
                end += 1
            add("the check never holds", begin, end - 1, f"0 && ({text[begin:end - 1]})")
    found.sort(key=lambda m: (m.begin, -m.end))
    for i, mutant in enumerate(found, 1):
        mutant.id = i
    return text, found


def with_mutants(path, text, mutants):
    """The file with all mutants in it, each behind its number."""
    def render(begin, end, inside):
        out, at, i = "", begin, 0
        while i < len(inside):
            first = inside[i]
            same = [m for m in inside[i:] if (m.begin, m.end) == (first.begin, first.end)]
            within = [m for m in inside[i:] if m.begin < first.end and m not in same]
            original = render(first.begin, first.end, within)
            white = len(text[first.begin:first.end]) - len(text[first.begin:first.end].lstrip())
            choice = "".join(f"lp_mutant_is({m.id}) ? ({m.new.strip()}) : " for m in same)
            out += text[at:first.begin + white] + f"({choice}({original.strip()}))"
            at = first.end
            i += len(same) + len(within)
        return out + text[at:end]
    return PRELUDE + f'#line 1 "{ROOT / path}"\n' + render(0, len(text), mutants)


class Build:
    def __init__(self, folder):
        self.folder = folder.resolve()
        self.commands = {}
        for entry in json.loads((self.folder / "compile_commands.json").read_text()):
            path = (self.folder / entry["file"]).resolve()
            if path.is_relative_to(ROOT):
                self.commands.setdefault(str(path.relative_to(ROOT)), entry["command"])

    def run(self, words):
        done = subprocess.run(words[1:] if words[0] == "ccache" else words, cwd=self.folder, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{' '.join(words)}\n{done.stderr[:4000]}")

    def compile(self, source, text, out, include, sanitize):
        changed = out.with_suffix(".c")
        changed.write_text(text, encoding="utf-8")
        keep, skip = [], False
        for word in shlex.split(self.commands[source]):
            if skip:
                skip = False
            elif word in ("-o", "-c", "-MF", "-MQ"):
                skip = True
            elif not word.startswith("-O") and word != "-MD":
                keep.append(word)
        place = keep.index(next(w for w in keep if w.startswith("-I")))
        keep[place:place] = include
        self.run(keep + ["-O1", "-g1", "-w", sanitize, f"-I{ROOT / pathlib.Path(source).parent}", "-c", str(changed), "-o", str(out)])

    def link(self, test, objects, out, sanitize):
        lines = subprocess.run(["ninja", "-C", str(self.folder), "-t", "commands", test], capture_output=True, text=True).stdout.splitlines()
        words = shlex.split(lines[-1])
        words[words.index("-o") + 1] = str(out)
        place = next(i for i, w in enumerate(words) if w.endswith(".o"))
        words[place:place] = [*map(str, objects), sanitize]
        self.run(words)


class Subject:
    """A file's mutants, built into its tests."""
    def __init__(self, build, path, folder):
        self.path, self.folder = path, folder
        text, self.mutants = checks(path)
        changed = with_mutants(path, text, self.mutants)
        sanitize = "-g1" if path in PLAIN else "-fsanitize=address"
        if path.endswith(".h"):
            header = folder / "include" / pathlib.Path(path).relative_to("src")
            header.parent.mkdir(parents=True)
            header.write_text(changed, encoding="utf-8")
            objects = [folder / f"m{i}.o" for i in range(len(INCLUDERS))]
            for source, out in zip(INCLUDERS, objects):
                build.compile(source, (ROOT / source).read_text(encoding="utf-8"), out, [f"-I{folder / 'include'}"], sanitize)
        else:
            objects = [folder / "m.o"]
            build.compile(path, changed, objects[0], [], sanitize)
        self.tests = []  # (name, command, seconds, numbers of the mutants that it passes)
        for i, name in enumerate(dict.fromkeys(FILES[path])):
            test, *arguments = name.split()
            program = folder / f"test{i}"
            build.link(test, objects, program, sanitize)
            if "replay_" in test:
                arguments.append(str(ROOT / "tests/fuzz" / test.split("/")[-1].replace("replay_", "corpus-")))
            seen = folder / "seen"
            seen.write_text("")
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            if self.run([str(program), *arguments], 60, {"LOWP_MUTANT_FILE": str(seen)}):
                sys.exit(f"{path}: without a change {name} fails")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
            self.tests.append((name, [str(program), *arguments], seconds, {int(n) for n in seen.read_text().split()}))
        self.tests.sort(key=lambda t: t[2])

    def run(self, words, seconds, variables):
        with tempfile.TemporaryDirectory(dir=self.folder) as place:
            try:
                done = subprocess.run(["prlimit", f"--cpu={seconds}", *words], cwd=place, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                      timeout=20 * seconds, env={"PATH": "/usr/bin:/bin", "TMPDIR": place,
                                                                 "ASAN_OPTIONS": "allocator_may_return_null=1:detect_leaks=1", **variables})
                return done.returncode != 0
            except subprocess.TimeoutExpired:
                return True

    def killed_by(self, mutant):
        """Name of the test that fails; "" for a survivor."""
        for name, words, seconds, passes in self.tests:
            if mutant.id in passes and self.run(words, int(3 * seconds + 3), {"LOWP_MUTANT": str(mutant.id)}):
                return name
        return ""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--files", nargs="*", default=[])
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--least", type=float, default=0)
    parser.add_argument("--list", action="store_true")
    options = parser.parse_args()
    paths = [path for path in FILES if not options.files or any(f in path for f in options.files)]
    if options.list:
        for path in paths:
            for m in checks(path)[1]:
                print(f"{path}:{m.number}: {m.what}: {m.line}")
        return
    build = Build(options.build)
    table = []
    for path in paths:
        with tempfile.TemporaryDirectory(prefix="lowp-mutants-") as folder:
            subject = Subject(build, path, pathlib.Path(folder))
            results = []
            with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
                for mutant, result in zip(subject.mutants, pool.map(subject.killed_by, subject.mutants)):
                    results.append(result)
                    if not result:
                        passed = any(mutant.id in t[3] for t in subject.tests)
                        print(f"survives{'' if passed else ', never reached'}: {path}:{mutant.number}: {mutant.what}: {mutant.line}", flush=True)
        table.append((path, sum(r != "" for r in results), len(results), sum(e[0] == path for e in EQUIVALENT)))
        print("%-34s %4d of %4d" % table[-1][:3], flush=True)
    table.append(("all", *(sum(row[i] for row in table) for i in (1, 2, 3))))
    print(f"\n| {'file':32} | mutants | killed |      % | rows of EQUIVALENT |\n|{'-' * 34}|--------:|-------:|-------:|-------------------:|")
    for path, killed, n, equivalent in table:
        print(f"| {path:32} | {n:7} | {killed:6} | {100 * killed / max(n, 1):6.1f} | {equivalent:18} |")
    percent = 100 * table[-1][1] / max(table[-1][2], 1)
    if percent < options.least:
        sys.exit(f"{percent:.1f} % of the mutants are killed, {options.least:g} % are wanted")


if __name__ == "__main__":
    main()
