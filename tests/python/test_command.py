"""The `gradspike` command: the same files and rules as gradspike-run, one line and exit code 3 for bad input."""

import numpy
import pytest
import torch
from torch import nn

import gradspike
from commands import call, require_one_line
from gradspike import _command_line
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


def test_what_is_a_device():
    """The rule of `chip::is_device`: a backend may be named like a device, not as one."""
    for target, device in [("cpu", True), ("cuda", True), ("cuda:1", True), ("cudax", False), ("cpu:0", False)]:
        assert _command_line.is_device(target) == device, target


@pytest.mark.parametrize("dtype", ["uint8", "bool", "int64", "float32", "float64", ">i2"])
@pytest.mark.parametrize("target", ["cpu", "emulator"])
def test_arrays_are_the_same_as_csv(saved, capsys, tmp_path, dtype, target):
    array = numpy.zeros((20, 3, 5), dtype=dtype)
    array[0, 0, 1] = array[1, 2, 3] = 1
    numpy.save(tmp_path / "in.npy", array)
    outputs = []
    for file in (tmp_path / "in.npy", saved / "in.csv"):
        code, printed, error = call(capsys, "run", saved / "net.pt", "--spikes", file, "--target", target)
        assert code == 0, error
        outputs.append(printed)
    assert outputs[0] == outputs[1]


@pytest.mark.parametrize("command", [["deploy", "--seeds", "1"], ["bench", "--samples", "2", "--seconds", "0.02"]])
def test_other_commands_take_arrays(saved, capsys, tmp_path, command):
    numpy.save(tmp_path / "in.npy", numpy.ones((6, 2, 5), dtype="uint8"))
    name, *rest = command
    code, printed, error = call(capsys, name, saved / "net.pt", "--spikes", tmp_path / "in.npy", *rest)
    assert code in (0, 1) and printed, error


def test_output_as_an_array(saved, capsys, tmp_path):
    spikes = ["--spikes", saved / "in.csv"]
    assert call(capsys, "run", saved / "net.pt", *spikes, "--output", tmp_path / "out.npy")[0] == 0
    printed = call(capsys, "run", saved / "net.pt", *spikes)[1].splitlines()[1:]
    array = numpy.load(tmp_path / "out.npy")
    assert array.dtype == "uint8" and array.shape == (20, 3, 8)
    assert [f"{t},{b},{n}" for b, t, n in numpy.argwhere(array.transpose(1, 0, 2)).tolist()] == printed


def bad_array(change):
    array = numpy.zeros((2, 3, 5), dtype="float64")
    array[1, 2, 3] = change
    return array


@pytest.mark.parametrize(
    "array, words",
    [
        (bad_array(0.5), ("step 1, batch 2, neuron 3 must be a whole number in 0..127, got 0.5",)),
        (bad_array(128.0), ("0..127, got 128",)),
        (bad_array(-1.0), ("got -1",)),
        (bad_array(float("nan")), ("got nan",)),
        (numpy.zeros((2, 5)), ("must be [time, batch, 5], got [2, 5]",)),
        (numpy.zeros((2, 3, 4)), ("must be [time, batch, 5], got [2, 3, 4]",)),
        (numpy.zeros((2, 3, 5), dtype="complex64"), ("dtype", "complex64")),
        (numpy.array([{}]), ("cannot be read", "allow_pickle")),
    ],
)
def test_bad_arrays(saved, capsys, tmp_path, array, words):
    numpy.save(tmp_path / "bad.npy", array)
    require_one_line(capsys, ["run", saved / "net.pt", "--spikes", tmp_path / "bad.npy"], "bad.npy'", *words)


def test_damaged_and_mixed_arrays(saved, capsys, tmp_path):
    numpy.save(tmp_path / "a.npy", numpy.ones((4, 2, 5), dtype="uint8"))
    numpy.save(tmp_path / "b.npy", numpy.ones((4, 1, 4), dtype="uint8"))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "a.npy").read_bytes()[:-3])
    (tmp_path / "text.npy").write_text("step,batch,neuron\n")
    arrays = ["--spikes", tmp_path / "a.npy", "--spikes"]
    cases = [
        (["net.pt", "--spikes", tmp_path / "cut.npy"], ("cut.npy' cannot be read",)),
        (["net.pt", "--spikes", tmp_path / "text.npy"], ("text.npy' is no .npy file",)),
        (["net.pt", "--spikes", tmp_path / "a.npy", "--steps", "4"], ("--steps is for CSV files",)),
        (["two.pt", *arrays, saved / "short.csv"], ("all .npy or all CSV",)),
        (["two.pt", *arrays, tmp_path / "b.npy"], ("b.npy' must have", "[4, 2], got [4, 1]")),
    ]
    for (file, *arguments), words in cases:
        require_one_line(capsys, ["run", saved / file, *arguments], *words)


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
        (["run", saved / "net.pt", *spikes, "--steps", "-3"], ("--steps", "'-3'")),
        (["run", saved / "net.pt", *spikes, "--seed", "-1"], ("--seed", "from 0", "'-1'")),
        (["run", saved / "net.pt", *spikes, "--seed", str(2**63)], ("--seed", "below 2^63")),
        (["run", saved / "net.pt", *spikes, "--target", "cpu", "--seed", "0"], ("--seed is for backends", "'cpu'")),
        (
            ["run", saved / "net.pt", *spikes, "--target", "cuda:1", "--preset", "ideal", "--constant", "a=1"],
            ("--preset, --constant are for backends, and --target 'cuda:1' is a device",),
        ),
        (["run", saved / "net.pt", *spikes, "--target", "cudax"], ('"cudax"', "emulator")),
        (["run", saved / "li.pt", *spikes], ("no population that fires", "leaky integrators")),
    ]
    for arguments, words in cases:
        require_one_line(capsys, arguments, *words)
