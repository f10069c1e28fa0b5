"""Hooks of the documentation site: tables of measurements come from the result files, and are typed nowhere.

A line `<!-- measured: NAME -->` becomes the table of tests/benchmarks/results/NAME.md with its commands,
`<!-- measured: NAME rows=TEXT -->` the rows of it whose case holds TEXT.
"""

import re
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parents[1] / "tests" / "benchmarks" / "results"
MARK = re.compile(r"^<!-- measured: (\w+)(?: rows=(.+?))? -->$", flags=re.MULTILINE)


def table(name: str, rows: str) -> str:
    """The table of one result file, the sentence on met targets where it has one, and where the numbers come from."""
    text = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    chosen = lines[:2] + [line for line in lines[2:] if rows in line.split("|")[1]]
    if len(chosen) == 2:
        raise ValueError(f"{name}.md has no row with {rows!r}")
    met = re.findall(r"^\d+ of \d+ targets are met\.$", text, flags=re.MULTILINE)
    sources = text.split("Sources:\n", 1)[1].strip()
    details = "\n".join("    " + line for line in sources.splitlines())
    return "\n".join([*met, "", *chosen, "", '??? note "Commands, machine and versions"', "", details, ""])


def on_page_markdown(markdown: str, **_: Any) -> str:
    return MARK.sub(lambda mark: table(mark[1], mark[2] or ""), markdown)
