"""Help texts: every command has one, with a description, and examples that run as they stand."""

import re
import shlex
import subprocess
import sys

import pytest

from commands import call, write_files
from gradspike import __main__ as command

COMMANDS = ("demo", "inspect", "check", "map", "deploy", "run", "plot", "bench")


def help_of(*arguments):
    line = [sys.executable, "-m", "gradspike", *arguments, "--help"]
    done = subprocess.run(line, capture_output=True, text=True, timeout=120, check=True)
    assert done.stderr == ""
    return done.stdout


def parser_of(name):
    return command._parser()._subparsers._group_actions[0].choices[name]


def examples_of(name):
    return re.findall(r"^example: (.+)$", parser_of(name).format_help(), flags=re.MULTILINE)


EXAMPLES = [example for name in COMMANDS for example in examples_of(name)]


def test_top_lists_every_command():
    text = help_of()
    assert set(command._COMMANDS) == set(COMMANDS)
    for name in COMMANDS:
        assert re.search(rf"^    {name} +\S", text, flags=re.MULTILINE), name


def test_version(capsys):
    assert call(capsys, "--version")[1].startswith("gradspike 0.")


@pytest.mark.parametrize("name", COMMANDS)
def test_help(name, capsys):
    code, text, _ = call(capsys, name, "--help")
    assert code == 0
    parser = parser_of(name)
    assert parser.description in text and "Exit codes: 0 " in text and "3 bad input" in text
    assert "--json" in text and "as one JSON object on standard output" in " ".join(text.split())
    assert examples_of(name)
    for action in parser._actions:
        assert action.help, action.dest
    assert max(map(len, text.splitlines())) <= 120


def test_every_example_is_of_its_command():
    for name in COMMANDS:
        for example in examples_of(name):
            assert example.startswith(f"gradspike {name} ")


@pytest.mark.parametrize("example", EXAMPLES)
def test_example_runs(example, tmp_path, monkeypatch, capsys):
    if " plot " in example:
        pytest.importorskip("matplotlib")
    write_files(tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("GRADSPIKE_BACKEND", raising=False)
    before = set(tmp_path.iterdir())
    code, printed, error = call(capsys, *shlex.split(example)[1:])
    assert code in ((0, 1) if example.split()[1] in ("check", "map", "deploy") else (0,)), error
    for name in re.findall(r"(?:--output|--html|-o) (\S+)", example):
        assert (tmp_path / name).exists()
    written = set(tmp_path.iterdir()) - before
    assert printed.strip() or written
