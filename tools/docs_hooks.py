"""Hooks of the documentation site: tables of measurements, and notebooks as pages.

A line `<!-- measured: NAME -->` becomes the table of tests/benchmarks/results/NAME.md with its commands,
`<!-- measured: NAME rows=TEXT -->` the rows of it whose case holds TEXT; numbers are typed nowhere. Each notebook in
docs/notebooks becomes a page with the outputs that are stored in it.
"""

import itertools
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "tests" / "benchmarks" / "results"
MARK = re.compile(r"^<!-- measured: (\w+)(?: rows=(.+?))? -->$", flags=re.MULTILINE)


def shared_words(cases: list[str]) -> str:
    """What all cases begin with, up to a comma; "" for one case."""
    split = [case.split(", ") for case in cases]
    same = itertools.takewhile(lambda words: len(set(words)) == 1, zip(*split))
    return ", ".join([*(words[0] for words in same), ""]) if len(set(cases)) > 1 else ""


def table(name: str, rows: str) -> str:
    """The table of one result file, the sentence on met targets where it has one, and where the numbers come from."""
    text = (RESULTS / f"{name}.md").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if line.startswith("|")]
    chosen = [line for line in lines[2:] if rows in line.split("|")[1]]
    if not chosen:
        raise ValueError(f"{name}.md has no row with {rows!r}")
    shared = shared_words([line[2:] for line in chosen])
    chosen = [f"| {line[2 + len(shared) :]}" for line in chosen]
    met = re.findall(r"^\d+ of \d+ targets are met\.$", text, flags=re.MULTILINE)
    heading = [*met, f"All cases: {shared[:-2]}." if shared else "", "", '<div class="measured" markdown>', ""]
    details = [f"    {line}" for line in text.split("Sources:\n", 1)[1].strip().splitlines()]
    note = ["", "</div>", "", '??? note "Commands, machine and versions"', "", *details, ""]
    return "\n".join([*heading, *lines[:2], *chosen, *note])


def cell_text(cell: dict[str, Any]) -> str:
    """A cell of a notebook in Markdown, with its stored outputs."""
    source = "".join(cell["source"])
    if cell["cell_type"] == "markdown":
        return source
    parts = [f"```python\n{source}\n```"]
    for output in cell["outputs"]:
        data = output.get("data", {})
        if "image/png" in data:
            parts.append(f"![figure](data:image/png;base64,{''.join(data['image/png']).strip()})")
        else:
            text = "".join(output.get("text", data.get("text/plain", ""))).rstrip()
            parts.append(f'```text title="Output"\n{text}\n```')
    return "\n\n".join(parts)


def notebook_text(path: Path) -> str:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    cells = [cell_text(cell) for cell in notebook["cells"]]
    note = f"The notebook is `docs/notebooks/{path.name}`; it runs in under a minute."
    return "\n\n".join([cells[0], note, *cells[1:]]) + "\n"


def on_files(files: Files, config: MkDocsConfig) -> Files:
    for path in sorted(Path(config.docs_dir, "notebooks").glob("*.ipynb")):
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=notebook_text(path)))
    return files


def on_page_markdown(markdown: str, page: Page, **_: Any) -> str:
    if page.file.src_uri.startswith("refusals/"):  # long sentences, no tables
        markdown = markdown.replace('```text title="Output"', '```{.text .wrapped title="Output"}')
    return MARK.sub(lambda mark: table(mark[1], mark[2] or ""), markdown)
