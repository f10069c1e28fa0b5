"""The documentation: its programs run and print what it says, its refusals exist, and nothing public is left out."""

import importlib
import json
import pkgutil
import re
import subprocess
from pathlib import Path

import pytest

import gradspike
import pages

ROOT, DOCS = pages.ROOT, pages.DOCS
REFUSALS = sorted(page for page in (DOCS / "refusals").glob("*.md") if page.name != "index.md")
SITE = ROOT / ".venv-docs" / "bin" / "mkdocs"


@pytest.mark.parametrize("page", pages.all_pages(), ids=pages.name_of)
def test_programs_run_and_print_what_the_page_says(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    missing = pages.missing_modules(page)
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    monkeypatch.chdir(tmp_path)
    for block, printed in pages.outputs(page, tmp_path):
        if block.expected is not None:
            assert pages.agrees(block.expected, printed), f"expected\n{block.expected}\nprinted\n{printed}"


def test_blocks_that_do_not_run_are_marked() -> None:
    """A fence that the extractor does not see would never run."""
    for page in pages.all_pages():
        text = page.read_text(encoding="utf-8")
        assert len(pages.blocks(page)) == len(re.findall(r"^ *```py", text, flags=re.MULTILINE)), pages.name_of(page)


# ---- refusals --------------------------------------------------------------------------------------------------------


def messages_of(page: Path) -> list[str]:
    """The texts that a refusal page says its message is made of."""
    head = page.read_text(encoding="utf-8").split("---\n")[1]
    return [json.loads(line[4:]) for line in head.splitlines() if line.startswith("  - ")]


def literals() -> str:
    """All sources, with string literals that stand side by side joined to one."""
    folders = (ROOT / name for name in ("csrc", "ops", "python"))
    paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.suffix in (".cpp", ".h", ".py")]
    text = "\n".join(path.read_text(encoding="utf-8") for path in paths)
    text = re.sub(r'"\s*\n\s*f?"', "", text)
    return text.replace('\\"', '"')


SOURCES = literals()


@pytest.mark.parametrize("page", REFUSALS, ids=lambda page: page.stem)
def test_refusal_is_one_of_the_sources(page: Path) -> None:
    found = messages_of(page)
    assert found
    for message in found:
        assert message in SOURCES, message


@pytest.mark.parametrize("page", REFUSALS, ids=lambda page: page.stem)
def test_refusal_page_says_what_why_and_what_to_try(page: Path) -> None:
    headings = re.findall(r"^## (.+)$", page.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert headings[0] == "What it says" and headings[-1] == "What to try"
    assert headings[1] in ("Why the chip has this limit", "Why there is this limit")


def test_every_misfit_has_a_page() -> None:
    paths = (ROOT / "csrc" / "chip").glob("*.cpp")
    text = "\n".join(text for text in (path.read_text() for path in sorted(paths)) if "isfit" in text)
    quantities = re.findall(r'refuse\(capacity, projection, "([^"]+)"', text)
    quantities += re.findall(r'isfits\.push_back\(\s*\{[^{}"]*?(?:"",)?\s*"([^"]+)"', text)
    quantities += re.findall(r'(?:failure_ =|return)\s*\{[^{}"]*?(?:"",)?\s*"([^"]+)"', text)
    assert len(quantities) >= 24
    documented = {message for page in REFUSALS for message in messages_of(page)}
    assert set(quantities) <= documented


def test_index_lists_every_refusal() -> None:
    index = (DOCS / "refusals" / "index.md").read_text(encoding="utf-8")
    linked = re.findall(r"\]\(([\w-]+)\.md\)", index)
    assert sorted(linked) == [page.stem for page in REFUSALS]


# ---- the site --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["functional", "chip", "nir"])
def test_api_page_lists_every_class(name: str) -> None:
    """Functions come from the filter of the page, classes are listed behind them."""
    text = (DOCS / "api" / f"{name}.md").read_text(encoding="utf-8")
    listed = re.findall(rf"^::: gradspike\.{name}\.(\w+)$", text, flags=re.MULTILINE)
    public = importlib.import_module(f"gradspike.{name}").__all__
    assert sorted(listed) == sorted(entry for entry in public if entry[0].isupper())


def test_every_public_module_has_an_api_page() -> None:
    modules = {name for name in dir(gradspike) if name in {m.name for m in pkgutil.iter_modules(gradspike.__path__)}}
    public = {name for name in modules if not name.startswith("_")} - {"examples"}
    assert public <= {page.stem for page in (DOCS / "api").glob("*.md")}


def test_navigation_lists_every_page() -> None:
    configuration = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    for page in pages.all_pages():
        assert pages.name_of(page) in configuration, pages.name_of(page)


def test_texts_hold_no_local_paths() -> None:
    for page in [*pages.all_pages(), *DOCS.rglob("*.ipynb")]:
        text = page.read_text(encoding="utf-8")
        assert not re.search(r"/work/|/root/|/home/|site-packages|/tmp/", text), pages.name_of(page)


@pytest.mark.slow
def test_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Where `make docs` has made its environment."""
    if not SITE.is_file():
        pytest.skip("make docs has made no environment")
    command = [str(SITE), "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "site" / "index.html").is_file()
