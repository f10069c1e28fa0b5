"""The `gradspike` command: the same files and rules as gradspike-run, one line and exit code 3 for bad input."""

import pytest
import torch
from torch import nn

import gradspike
from commands import call, require_one_line
from gradspike.nn import LI, LIF, Synapse
from test_host_program import BAD_CSV


class TwoInputs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = Synapse(5, 8, name="a", scale=16.0), Synapse(4, 8, name="b", scale=16.0)
        self.lif = LIF(8, name="hidden", threshold=0.05)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.lif(self.a(x) + self.b(y))


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    folder = tmp_path_factory.mktemp("command")
    network = nn.Sequential(Synapse(5, 8, name="in", scale=16.0), LIF(8, name="hidden", threshold=0.05))
    gradspike.save(network, folder / "net.pt", card={"steps": 20})
    gradspike.save(TwoInputs(), folder / "two.pt")
    gradspike.save(nn.Sequential(Synapse(5, 3, name="in"), LI(3, name="readout")), folder / "li.pt")
    (folder / "in.csv").write_text("step,batch,neuron\n0,0,1\n1,2,3\n")
    (folder / "short.csv").write_text("step,batch,neuron,count\r\n\r\n2,0,1,3\r\n")
    return folder


def test_inputs_are_padded_to_one_batch_and_length(saved, capsys, tmp_path):
    spikes = ["--spikes", saved / "in.csv", "--spikes", saved / "short.csv"]
    for target in ("cpu", "emulator"):
        code, _, error = call(
            capsys, "run", saved / "two.pt", *spikes, "--target", target, "--output", tmp_path / f"{target}.csv"
        )
        assert code == 0, error
    x, y = torch.zeros(3, 3, 5), torch.zeros(3, 3, 4)
    x[0, 0, 1] = x[1, 2, 3] = 1.0
    y[2, 0, 1] = 3.0
    expected = gradspike.open_network(saved / "two.pt").run_model(x, y).spikes["hidden"]
    lines = [f"{t},{b},{n}" for b, t, n in expected.transpose(0, 1).nonzero().tolist()]
    for target in ("cpu", "emulator"):
        assert (tmp_path / f"{target}.csv").read_text().splitlines() == ["step,batch,neuron", *lines]


def test_batch_and_steps(saved, capsys):
    spikes = ["--spikes", saved / "in.csv"]
    assert call(capsys, "run", saved / "net.pt", *spikes, "--batch", "7", "--steps", "9")[0] == 0
    require_one_line(capsys, ["run", saved / "net.pt", *spikes, "--batch", "2"], "batch", "below 2")
    require_one_line(capsys, ["run", saved / "net.pt", *spikes, "--steps", "1"], "step", "below 1")


@pytest.mark.parametrize("name", sorted(BAD_CSV))
def test_bad_csv(saved, capsys, tmp_path, name):
    text, words = BAD_CSV[name]
    (tmp_path / "bad.csv").write_bytes(text.encode())
    require_one_line(capsys, ["run", saved / "net.pt", "--spikes", tmp_path / "bad.csv"], "bad.csv", *words)


def test_bad_arguments(saved, capsys):
    spikes = ["--spikes", saved / "in.csv"]
    cases = [
        ([], ("COMMAND",)),
        (["fly"], ("fly",)),
        (["run", saved / "net.pt"], ("--spikes",)),
        (["check", saved / "net.pt", "--nonsense"], ("--nonsense",)),
        (["run", saved / "net.pt", *spikes, "--steps", "-1"], ("--steps", "-1")),
        (["run", saved / "net.pt", *spikes, "--batch", "many"], ("--batch", "many")),
        (["run", saved / "net.pt", *spikes, *spikes], ("--spikes", "1 times", "2")),
        (["run", saved / "none.pt", *spikes], ("none.pt",)),
        (["run", saved / "net.pt", "--spikes", saved / "none.csv"], ("none.csv",)),
        (["run", saved / "net.pt", *spikes, "--population", "hiden"], ("'hiden'", "hidden")),
        (["run", saved / "net.pt", *spikes, "--target", "chip7"], ('"chip7"', "emulator")),
        (["run", saved / "li.pt", *spikes], ("no population that fires", "leaky integrators")),
    ]
    for arguments, words in cases:
        require_one_line(capsys, arguments, *words)
