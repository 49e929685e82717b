"""Counts test functions in meson's test log: prints "PASSED FAILED", and on stderr what failed.

Every "ok" and "not ok" line of the TAP output is a test. A program that ends badly without a "not ok", or that did not run
all tests of its plan, is one failure more.
"""
import json
import re
import sys


def count(test):
    passed, skipped, planned, failures = 0, 0, 0, []
    for line in test.get("stdout", "").splitlines():
        plan = re.match(r"1\.\.(\d+)", line)
        if plan:
            planned += int(plan.group(1))
        elif re.match(r"(not )?ok\b.*# *SKIP", line, re.IGNORECASE):
            skipped += 1  # cmocka writes "not ok N # SKIP name"
        elif re.match(r"ok\b", line):
            passed += 1
        elif re.match(r"not ok\b", line):
            failures.append(line[len("not ok"):].strip())
    if test["result"] == "SKIP":
        return 0, []
    if not test.get("stdout", "").strip() and test["result"] == "OK":
        passed = 1  # a test without TAP output
    missing = planned - passed - skipped - len(failures)
    if test["result"] != "OK" and not failures:
        failures.append(f"ended with {test['result']} (exit {test['returncode']})")
    elif missing > 0:
        failures.append(f"{missing} tests of its plan did not run")
    return passed, failures


def main():
    passed = failed = 0
    with open(sys.argv[1]) as log:
        for line in log:
            test = json.loads(line)
            p, failures = count(test)
            passed += p
            failed += len(failures)
            for text in failures:
                print(f"   not ok: {test['name']}: {text}", file=sys.stderr)
            if failures:
                for stream in ("stdout", "stderr"):
                    for text in test.get(stream, "").splitlines()[-25:]:
                        if not text.startswith("ok "):
                            print(f"      {text}", file=sys.stderr)
    print(passed, failed)


main()
