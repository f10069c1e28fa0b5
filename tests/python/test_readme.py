"""The blocks of README.md are programs: they run, and the C++ lines are those of a program that is compiled."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.DOTALL | re.MULTILINE)


def test_python_blocks_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    code = blocks("python")
    assert len(code) == 4
    script = tmp_path / "readme.py"  # reading a function needs its source lines
    script.write_text("\n".join(code), encoding="utf-8")
    exec(compile(script.read_text(), str(script), "exec"), {"__name__": "readme"})
    printed = capsys.readouterr().out
    assert "torch.Size([10, 5]) hidden" in printed
    assert "fits" in printed
    assert "emulator analog preset=calibrated seed=3; not modelled: " in printed
    assert "torch.Size([38, 200, 120]) ExperimentModule" in printed
    assert (tmp_path / "report.html").stat().st_size > 10_000


def test_cpp_block_is_part_of_a_program_that_is_compiled() -> None:
    program = (ROOT / "tests" / "consumer" / "readme.cpp").read_text(encoding="utf-8")
    (code,) = blocks("cpp")
    for line in code.splitlines():
        assert line.split("//")[0].strip() in program, line


def test_commands_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for target in re.findall(r"make ([a-z-]+)", README + (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_operator_table_lists_every_public_operator() -> None:
    import torch

    import gradspike  # noqa: F401  # registers the operators

    names = {
        name.split("::")[1].split(".")[0]
        for name in torch._C._dispatch_get_all_op_names()
        if name.startswith("gradspike::") and not name.startswith("gradspike::_")
    }
    table = re.findall(r"^\| ((?:`\w+`(?:, )?)+) \|", README.split("## Operators")[1], flags=re.MULTILINE)
    assert {name for row in table for name in re.findall(r"\w+", row)} == names
