"""One strict JSON object on stdin: no NaN, no name twice. Arguments: its schema, then names that it must hold."""
import json
import sys


def refuse(text):
    raise ValueError(f"JSON holds {text}")


def unique(pairs):
    names = [name for name, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"a name twice: {names}")
    return dict(pairs)


data = json.loads(sys.stdin.buffer.read().decode("utf-8"), parse_constant=refuse, object_pairs_hook=unique)
assert data["schema"] == sys.argv[1], data["schema"]
for name in sys.argv[2:]:
    at = data
    for part in name.split("."):
        at = at[0] if part == "0" else at[part]
