"""Whether a man page or a completion has every verb with just its options. Arguments: tables.json FILE."""
import json
import re
import sys

verbs = json.load(open(sys.argv[1]))["verbs"]
tables = {v["name"]: v for v in verbs}
if len(tables) != len(verbs):
    sys.exit("a verb is in the list twice")
path = sys.argv[2]
text = open(path).read()
common = set.intersection(*({o["name"] for o in v["options"]} for v in tables.values()))


def options_of(lines, pattern):
    """(name, letter) of each match; groups: name, letter."""
    return {m.group("name"): m.group("letter") or None for m in re.finditer(pattern, lines, re.M)}


def man():
    item = r"^\.It (Fl (?P<letter>\w) , )?Fl \\-(?P<name>[\w\\-]+)"
    unescape = lambda found: {k.replace("\\-", "-"): v for k, v in found.items()}
    for_all = unescape(options_of(re.search(r"^\.Sh OPTIONS OF ALL VERBS\n(.*?)^\.Sh", text, re.M | re.S).group(1), item))
    parts = re.split(r"^\.Ss (\w+)\n", re.search(r"^\.Sh VERBS\n(.*?)^\.Sh", text, re.M | re.S).group(1), flags=re.M)
    return {name: {**for_all, **unescape(options_of(body, item))} for name, body in zip(parts[1::2], parts[2::2])}


def bash():
    verbs = {}
    for name, options in re.findall(r"^        (\w+)\)\n            options='([^']*)'", text, re.M):
        words, found = options.split(), {}
        for word in words:
            if word.startswith("--"):
                found[last := word[2:]] = None
            else:
                found[last] = word[1:]
        verbs[name] = found
    return verbs


def zsh():
    parts = re.split(r"^        (\w+)\)\n            _arguments", text, flags=re.M)
    item = r"^ +'(\(-(?P<letter>\w) --[\w-]+\))?\*?--(?P<name>[\w-]+)=?\["
    return {name: options_of(body.split("\n            ;;")[0], item) for name, body in zip(parts[1::2], parts[2::2])}


def fish():
    verbs = {}
    for name, option, letter in re.findall(r"^complete -c lowp -n '__lowp_verb (\w+)' -l ([\w-]+)(?: -s (\w))?", text, re.M):
        verbs.setdefault(name, {})[option] = letter or None
    return verbs


found = {"1": man, "bash": bash, "zsh": zsh, "fish": fish}[path.rsplit(".", 1)[1]]()
wanted = {name: {o["name"]: o["letter"] for o in v["options"]} for name, v in tables.items()}
if len(wanted) < 10 or len(common) < 5:
    sys.exit("the tables are too small to be true")
if found != wanted:
    for name in sorted(set(found) | set(wanted)):
        if found.get(name) != wanted.get(name):
            print(f"{name}: has {found.get(name)}, wanted {wanted.get(name)}")
    sys.exit(1)
