"""Calls the `gradspike` command in this process, and prepares the files that its help texts name."""

import json

import torch
from torch import nn

import gradspike
from gradspike import __main__ as command
from gradspike.nn import LI, LIF, Synapse


def call(capsys, *arguments):
    """Exit code, standard output and standard error."""
    capsys.readouterr()
    try:
        code = command.main([str(argument) for argument in arguments])
    except SystemExit as stopped:
        code = stopped.code
    seen = capsys.readouterr()
    return code, seen.out, seen.err


def call_json(capsys, *arguments):
    """The one JSON object on standard output."""
    code, printed, error = call(capsys, *arguments, "--json")
    assert code in (0, 1), error
    assert len(printed.splitlines()) == 1
    return json.loads(printed)


def require_one_line(capsys, arguments, *words):
    """Bad input: exit code 3, nothing on standard output, one line on standard error that holds the words."""
    code, printed, error = call(capsys, *arguments)
    assert code == 3 and printed == "", (code, printed, error)
    assert len(error.splitlines()) == 1 and error.startswith("gradspike: "), error
    for word in words:
        assert word in error, error


class Classifier(nn.Sequential):
    """5 inputs, 8 hidden neurons that do fire, 3 readouts."""

    def __init__(self) -> None:
        torch.manual_seed(0)
        super().__init__(
            Synapse(5, 8, name="in", scale=16.0),
            LIF(8, name="hidden", threshold=0.05),
            Synapse(8, 3, name="out", scale=16.0),
            LI(3, name="readout"),
        )


def write_files(folder):
    """net.pt, net.json, in.csv, labels.csv and report.json."""
    card = {"steps": 20, "class_names": ["a", "b", "c"]}
    network = gradspike.save(Classifier(), folder / "net.pt", network=folder / "net.json", card=card)
    spikes = (torch.rand(20, 4, 5, generator=torch.Generator().manual_seed(3)) < 0.3).nonzero().tolist()
    lines = ["step,batch,neuron", *(",".join(map(str, spike)) for spike in spikes)]
    (folder / "in.csv").write_text("\n".join(lines) + "\n")
    (folder / "labels.csv").write_text("batch,label\n0,0\n1,2\n2,1\n3,0\n")
    (folder / "report.json").write_text(network.check().to_json() + "\n")
    return folder
