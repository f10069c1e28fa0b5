"""The pages of docs/: their Python blocks run in order, as one program per page, and print what the page says.

A block of Python may be followed by a block titled "Output": what it prints, where "..." stands for any text. A block
that cannot run has a line `<!-- not run: REASON -->` before it; a page that needs a package that may be missing has a
line `<!-- needs: MODULE -->`. `python tests/python/pages.py PAGE...` writes the blocks titled "Output" anew.
"""

import contextlib
import doctest
import importlib.util
import io
import re
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Iterator, List, Optional

import torch

import gradspike

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
FENCE = re.compile(
    r"(?P<reason><!-- not run: .+? -->\n+)?^(?P<indent> *)```python(?P<info>[^\n]*)\n(?P<code>.*?)^(?P=indent)```\n"
    r"(?P<output>\n(?P=indent)```text title=\"Output\"\n(?P<text>.*?)^(?P=indent)```\n)?",
    flags=re.DOTALL | re.MULTILINE,
)


@dataclass
class Block:
    """A block of Python: its code, what it should print (None: nothing is said), and where these stand in the page."""

    code: str
    expected: Optional[str]
    is_run: bool
    text_span: Optional[tuple[int, int]]


def all_pages() -> List[Path]:
    return sorted(DOCS.rglob("*.md"))


def name_of(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


def missing_modules(page: Path) -> List[str]:
    """What the page needs and this environment lacks."""
    needed = re.findall(r"^<!-- needs: ([\w.]+) -->$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return [name for name in needed if importlib.util.find_spec(name) is None]


def blocks(page: Path) -> List[Block]:
    found = []
    for match in FENCE.finditer(page.read_text(encoding="utf-8")):
        indent = len(match["indent"])
        code = "".join(line[indent:] or "\n" for line in match["code"].splitlines(keepends=True))
        span = match.span("text") if match["output"] else None
        found.append(Block(code, match["text"], match["reason"] is None, span))
    return found


@contextlib.contextmanager
def program(page: Path, folder: Path) -> Iterator[types.ModuleType]:
    """An empty module whose source file in `folder` has the blocks of the page: scripting reads source lines."""
    name = "page_" + re.sub(r"\W", "_", name_of(page))
    script = folder / f"{name}.py"
    script.write_text("\n".join(block.code for block in blocks(page) if block.is_run), encoding="utf-8")
    module = types.ModuleType(name)
    module.__file__ = str(script)
    sys.modules[name] = module
    try:
        yield module
    finally:
        del sys.modules[name]


def outputs(page: Path, folder: Path) -> Iterator[tuple[Block, str]]:
    """Runs the page and gives each block with what it printed. Nothing is registered before, and the seed is 0."""
    gradspike.chip.clear()
    for name in set(gradspike.chip.backends()) - {"emulator"}:  # of other tests in this process
        gradspike.chip.detach(name)
    torch.manual_seed(0)
    with program(page, folder) as module:
        line = 0
        for block in blocks(page):
            if not block.is_run:
                continue
            code = compile("\n" * line + block.code, str(module.__file__), "exec")
            line += block.code.count("\n") + 1
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(code, module.__dict__)
            yield block, printed.getvalue()


def agrees(expected: str, printed: str) -> bool:
    checker = doctest.OutputChecker()
    strip = lambda text: "".join(line.rstrip() + "\n" for line in text.splitlines())  # noqa: E731
    return checker.check_output(strip(expected), strip(printed), doctest.ELLIPSIS)


def rewrite(page: Path, folder: Path) -> None:
    """Puts what the blocks print into the blocks titled "Output" that do not agree."""
    text = page.read_text(encoding="utf-8")
    changes = [
        (block.text_span, printed)
        for block, printed in outputs(page, folder)
        if block.text_span is not None and not agrees(block.expected or "", printed)
    ]
    for span, printed in reversed(changes):
        assert span is not None
        printed = "".join(line.rstrip() + "\n" for line in printed.splitlines())
        text = text[: span[0]] + printed + text[span[1] :]
    page.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    import os
    import tempfile
    import traceback

    pages = [Path(argument).resolve() for argument in sys.argv[1:]] or all_pages()
    for path in pages:
        if missing_modules(path):
            continue
        with tempfile.TemporaryDirectory() as temporary:
            os.chdir(temporary)
            try:
                rewrite(path, Path(temporary))
            except Exception:
                print(name_of(path))
                traceback.print_exc(limit=-3)
            finally:
                os.chdir(ROOT)
