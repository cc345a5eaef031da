"""Reads results.ktap with tap.py and junit.xml with junitparser, and prints what each made of every test."""

import pathlib
import sys

from junitparser import JUnitXml
from tap.parser import Parser

folder = pathlib.Path(sys.argv[1])


def tap(text, indent=""):
    """The tests of one level. tap.py reads TAP, which has no levels below; KTAP indents them by two spaces."""
    parser = Parser()
    below = []
    for line in text.replace("KTAP version 1", "TAP version 13").splitlines():
        if line.startswith("  "):
            below.append(line[2:])
            continue
        if below:
            tap("\n".join(below), indent + "  ")
            below = []
        found = parser.parse_line(line)
        if found.category == "test":
            word = "todo" if found.todo else "skip" if found.skip else "ok" if found.ok else "not ok"
            print(f"{indent}{found.number} {found.description}: {word}")
        elif found.category == "plan":
            print(f"{indent}plan {found.expected_tests}")
        elif found.category == "unknown":
            sys.exit(f"tap.py does not know: {line}")


print("tap.py")
tap((folder / "results.ktap").read_text())

print("junitparser")
xml = JUnitXml.fromfile(folder / "junit.xml")
for suite in xml:
    print(f"{suite.name}: {suite.tests} tests, {suite.failures} failures, {suite.errors} errors, {suite.skipped} skipped")
    for case in suite:
        result = [f"{type(found).__name__.lower()} ({found.type})" for found in case.result] or ["passed"]
        print(f"  {case.classname} {case.name}: {', '.join(result)}")
