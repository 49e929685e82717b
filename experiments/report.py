#!/usr/bin/env python3
"""Writes docs/results.md from the studies' JSON: report.py OUT.md FILE.json..."""
import json
import os
import shutil
import sys

HEAD = """# Results of the studies

Written by `make experiments` from the programs in `experiments/`: do not edit. Every figure that a method card computed stands
beside ours, with the tolerance that the card states (or that follows from its digits); statements that must hold are shown as a
comparison. *paper* is what the source says, *simpler* the same data by something simpler. All rounding is done by lowp.

"""


def number(value, word=False):
    return "-" if value is None else f"{int(value):08x}" if word else f"{value:.7g}"


def beside(row):
    if row["word"]:
        return number(row["card"], True)
    if row["card"] is not None:
        return f"{number(row['card'])} ± {number(row['tolerance'])}"
    if row["relation"]:
        return f"{row['relation'].replace('<', '&lt;').replace('>', '&gt;')} {number(row['compared'])}"
    return ""


def verdict(row, notes):
    if row["holds"] is None:
        return ""
    if row["holds"]:
        return "yes"
    if row["reason"] is None:
        return "**no**"
    if row["reason"] not in notes:
        notes.append(row["reason"])
    return f"no ({notes.index(row['reason']) + 1})"


def table(study):
    out, notes, heading = [], [], None
    for row in study["rows"]:
        if row["heading"] != heading:
            heading = row["heading"]
            out += ["", f"| {heading} | ours | card | within | paper | simpler |", "|---|---:|---:|---|---|---|"]
        rival = f"{row['rival']}: {number(row['rival_value'])}" if row["rival"] else ""
        cells = [row["what"], number(row["ours"], row["word"]), beside(row), verdict(row, notes), row["paper"] or "", rival]
        out.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if notes:
        out.append("")
    for index, note in enumerate(notes):
        out.append(f"({index + 1}) {note}.  ")
    return out


def main():
    target, files = sys.argv[1], sys.argv[2:]
    studies = []
    for name in files:
        with open(name) as f:
            studies.append(json.load(f))
        picture = os.path.splitext(name)[0] + ".svg"
        if os.path.exists(picture):
            shutil.copy(picture, os.path.dirname(target))
            studies[-1]["picture"] = os.path.basename(picture)
    lines = ["| study | rows with a figure or a statement | within | out, with a reason | out | finding |", "|---|---:|---:|---:|---:|---|"]
    for study in studies:
        judged = [row for row in study["rows"] if row["holds"] is not None]
        out = [row for row in judged if not row["holds"]]
        explained = [row for row in out if row["reason"]]
        lines.append(f"| [{study['name']}](#{study['name']}) | {len(judged)} | {len(judged) - len(out)} | {len(explained)} | "
                     f"{len(out) - len(explained)} | {study['finding']} |")
    for study in studies:
        lines += ["", f"## {study['name']}", "", f"{study['title']}. Source: {study['source']}."]
        if "picture" in study:
            lines += ["", f"![{study['title']}]({study['picture']})"]
        lines += table(study)
    with open(target, "w") as f:
        f.write(HEAD + "\n".join(lines) + "\n")


main()
