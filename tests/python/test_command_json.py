"""--json: one object on standard output, whatever else is said goes to standard error. And how commands end."""

import io
import json
import subprocess
import sys

import pytest
import torch

import gradspike
from commands import call, call_json, require_one_line
from gradspike import __main__ as command
from gradspike import _progress


def test_run_says_what_ran(prepared, capsys):
    data = call_json(capsys, "run", prepared / "net.pt", "--spikes", prepared / "in.csv")
    assert (data["format"], data["version"], data["network"]) == ("gradspike.run", 1, "net")
    assert data["target"] == "emulator ideal" and data["output"] is None
    assert (data["population"], data["steps"], data["batch"]) == ("hidden", 20, 4)
    assert len(data["events"]) == data["spikes"]["hidden"] > 0
    network = gradspike.open_network(prepared / "net.pt")
    spikes = network.run_model(torch.zeros(20, 4, 5).index_put_(read(prepared / "in.csv"), torch.tensor(1.0)))
    rows = [[t, b, n, 1] for b, t, n in spikes.spikes["hidden"].transpose(0, 1).nonzero().tolist()]
    assert data["events"] == rows


def read(path):
    rows = [tuple(map(int, line.split(","))) for line in path.read_text().splitlines()[1:]]
    return tuple(torch.tensor(column) for column in zip(*rows))


def test_counts_are_those_of_a_chip(prepared, capsys):
    spikes = ["--spikes", prepared / "in.csv"]
    assert call_json(capsys, "run", prepared / "net.pt", *spikes)["counts"]
    assert "counts" not in call_json(capsys, "run", prepared / "net.pt", *spikes, "--target", "cpu")


def test_run_writes_spikes_where_it_is_told(prepared, capsys, tmp_path):
    spikes = ["--spikes", prepared / "in.csv", "--output", tmp_path / "out.csv"]
    data = call_json(capsys, "run", prepared / "net.pt", *spikes)
    assert data["events"] is None and data["output"] == str(tmp_path / "out.csv")
    lines = (tmp_path / "out.csv").read_text().splitlines()
    assert lines[0] == "step,batch,neuron" and len(lines) == 1 + data["spikes"]["hidden"]


@pytest.mark.parametrize("arguments", [["check"], ["map"], ["deploy", "--seeds", "1"]])
def test_reports(arguments, prepared, capsys):
    name, *rest = arguments
    spikes = ["--spikes", prepared / "in.csv"] if name == "deploy" else []
    data = call_json(capsys, name, prepared / "net.pt", *spikes, *rest)
    assert data["format"] == "gradspike.report" and data["network"] == "net"


def test_inspect(prepared, capsys):
    data = call_json(capsys, "inspect", prepared / "net.pt")
    assert set(data["integers"]) == {"in", "out"}


def test_demo(capsys, tmp_path):
    arguments = ["demo", "--quick", "--no-plots", "--output", tmp_path / "run", "--json"]
    code, printed, error = call(capsys, *arguments)
    data = json.loads(printed)
    assert code == 0 and len(printed.splitlines()) == 1
    assert data["format"] == "gradspike.example.yinyang" and data["differences"] == 0
    assert data["folder"] == str(tmp_path / "run")
    assert "accuracy, trained with hardware integers" in error
    written = json.loads((tmp_path / "run" / "report.json").read_text())
    assert {**written, "folder": data["folder"]} == data


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["demo", "--epochs", "0"], ("--epochs", "whole number from 1", "'0'")),
        (["demo", "--epochs", "two"], ("--epochs", "'two'")),
        (["demo", "--seed", "-1"], ("--seed", "from 0", "'-1'")),
        (["demo", "--output", __file__], ("--output must be a folder", "test_command_json.py' is a file")),
        (["demo", "--nonsense"], ("--nonsense",)),
        (["check", "net.pt", "--chips", "0"], ("--chips", "'0'")),
        (["inspect", "net.pt", "--dt", "0"], ("--dt", "above 0")),
    ],
)
def test_bad_options(arguments, words, capsys):
    require_one_line(capsys, arguments, *words)


# ---- how commands end ------------------------------------------------------------------------------------------------


GARBAGE = {
    "empty": b"",
    "no archive": b"PK\x03\x04 and then nothing",
    "no json": b"{",
    "other json": b'{"format": "other"}',
    "a list": b"[1, 2]",
    "binary": bytes(range(256)),
    "text": "ganz anders äöü".encode("latin-1"),
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(100),
}


@pytest.mark.parametrize("name", GARBAGE)
@pytest.mark.parametrize("command_line", ["inspect", "check", "map", "run", "deploy", "plot", "bench"])
def test_files_of_garbage(name, command_line, prepared, capsys, tmp_path):
    (tmp_path / "bad").write_bytes(GARBAGE[name])
    more = {
        "run": ["--spikes", prepared / "in.csv"],
        "deploy": ["--spikes", prepared / "in.csv"],
        "plot": ["-o", tmp_path / "figure.png"],
    }.get(command_line, [])
    require_one_line(capsys, [command_line, tmp_path / "bad", *more])


@pytest.mark.parametrize("command_line", ["inspect", "check", "map", "run", "deploy", "plot", "bench"])
def test_folders_and_missing_files(command_line, prepared, capsys, tmp_path):
    more = {
        "run": ["--spikes", prepared / "in.csv"],
        "deploy": ["--spikes", prepared / "in.csv"],
        "plot": ["-o", tmp_path / "figure.png"],
    }.get(command_line, [])
    require_one_line(capsys, [command_line, tmp_path, *more])
    require_one_line(capsys, [command_line, tmp_path / "none.pt", *more], "none.pt")


def test_an_interrupt_is_one_line(monkeypatch, capsys):
    def interrupted(arguments):
        raise KeyboardInterrupt

    monkeypatch.setitem(command._COMMANDS, "inspect", interrupted)
    assert call(capsys, "inspect", "net.pt") == (130, "", "gradspike: interrupted\n")


def test_an_error_without_a_text_has_a_name(monkeypatch, capsys):
    def failed(arguments):
        raise RuntimeError

    monkeypatch.setitem(command._COMMANDS, "inspect", failed)
    assert call(capsys, "inspect", "net.pt") == (3, "", "gradspike: RuntimeError\n")


def test_a_reader_that_leaves_ends_the_command(prepared):
    line = f"{sys.executable} -m gradspike run {prepared / 'net.pt'} --spikes {prepared / 'in.csv'} | head -c 1"
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=120, check=False)
    assert "Traceback" not in done.stderr and "Broken pipe" not in done.stderr


# ---- progress --------------------------------------------------------------------------------------------------------


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bars_are_for_terminals(monkeypatch):
    pytest.importorskip("tqdm")
    for terminal, wanted in ((Terminal(), True), (Terminal(), False), (io.StringIO(), True)):
        monkeypatch.setattr(sys, "stderr", terminal)
        if wanted:
            with _progress.wanted():
                assert list(_progress.steps([1, 2, 3], 3, "chips")) == [1, 2, 3]
        else:
            assert list(_progress.steps([1, 2, 3], 3, "chips")) == [1, 2, 3]
        assert ("chips" in terminal.getvalue()) == (terminal.isatty() and wanted)


def test_no_tqdm_no_bar(monkeypatch):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    monkeypatch.setattr(sys, "stderr", Terminal())
    with _progress.wanted():
        assert list(_progress.steps([1, 2], 2, "chips")) == [1, 2]
    assert sys.stderr.getvalue() == ""


@pytest.mark.parametrize("command_line", [["deploy", "--seeds", "3"], ["bench", "--samples", "2"]])
def test_long_commands_show_a_bar(command_line, prepared, monkeypatch, capsys):
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    name, *options = command_line
    assert command.main([name, str(prepared / "net.pt"), "--spikes", str(prepared / "in.csv"), *options]) in (0, 1)
    assert {"deploy": "calibrated", "bench": "timing"}[name] in terminal.getvalue()


def test_a_call_from_a_program_shows_no_bar(monkeypatch):
    from commands import Classifier

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    gradspike.chip.report(Classifier(), torch.ones(4, 1, 5), seeds=2)
    assert terminal.getvalue() == ""
