"""The notebooks run from start to end, and what is stored in them has no error and was run in order."""

import json
import os
import re
import time
from pathlib import Path

import pytest

import pages

NOTEBOOKS = sorted((pages.DOCS / "notebooks").glob("*.ipynb"))
SECONDS = 60


def name(path: Path) -> str:
    return path.stem


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_stored_outputs(path: Path) -> None:
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell["outputs"]]
    assert outputs and not any(output["output_type"] == "error" for output in outputs)
    assert not any(output.get("name") == "stderr" for output in outputs)
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert len(path.read_bytes()) < 1_000_000


@pytest.mark.parametrize("path", NOTEBOOKS, ids=name)
def test_notebook_runs(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    for module in re.findall(r"^import (nir)\b", path.read_text(encoding="utf-8"), flags=re.MULTILINE):
        pytest.importorskip(module)
    monkeypatch.setenv("PYTHONPATH", str(pages.ROOT / "python"), prepend=os.pathsep)
    notebook = nbformat.read(path, as_version=4)
    start = time.monotonic()
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3", resources=resources).execute()
    assert time.monotonic() - start < 10 * SECONDS  # of a machine that others use too
