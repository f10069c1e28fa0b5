"""The C++ program gradspike-run: the spikes of Python without Python, listings, and one line for every mistake."""

import csv
import itertools
import json
import os
import re
import subprocess
import zipfile
from pathlib import Path

import numpy
import pytest
import torch
from torch import Tensor, nn

import gradspike
from gradspike import _library, chip
from gradspike.chip import _terminal
from gradspike.nn import LI, LIF, RecurrentLIF, SparseSynapse, Synapse
from json_schema import errors
from networks import network_model


@pytest.fixture(scope="module")
def program() -> Path:
    """Beside the libraries: lib/ and bin/ of a build or of an installation."""
    path = _library.find_directory().parent / "bin" / "gradspike-run"
    if not path.is_file():
        pytest.skip(f"there is no program {path}")
    return path


def run(program: Path, *arguments, environment=None) -> subprocess.CompletedProcess:
    command = [str(program), *(str(argument) for argument in arguments)]
    variables = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "GRADSPIKE_BACKEND")}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**variables, **(environment or {})}, check=False
    )


def write_csv(path: Path, spikes: Tensor, counts: bool = True) -> None:
    with open(path, "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["step", "batch", "neuron"] + (["count"] if counts else []))
        for t, b, n in spikes.nonzero().tolist():
            count = int(spikes[t, b, n])
            writer.writerow([t, b, n] + ([count] if counts else []))


def read_csv(path: Path, shape) -> Tensor:
    result = torch.zeros(shape)
    with open(path, newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0][:3] == ["step", "batch", "neuron"]
    for row in rows[1:]:
        result[int(row[0]), int(row[1]), int(row[2])] += int(row[3]) if len(rows[0]) > 3 else 1
    return result


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Folder with net.pt, net.json and in.csv, and what Python gives."""
    folder = tmp_path_factory.mktemp("saved")
    torch.manual_seed(7)
    spikes = torch.poisson(torch.full((20, 4, 5), 0.3))
    spikes[-1, -1, 0] = 1  # the last step and batch entry have a spike, so the file tells their number
    model = network_model()
    card = {"class_names": ["yin", "yang", "dot"], "encoder": "latency", "decoder": "max over time"}
    gradspike.save(model, folder / "net.pt", network=folder / "net.json", card=card, example=spikes)
    gradspike.export(model, folder / "net.pt2", card=card, example=spikes)
    write_csv(folder / "in.csv", spikes)
    result = chip.deploy(model)(spikes)
    assert result.spikes["hidden"].sum() > 20
    return folder, spikes, result


@pytest.mark.parametrize(
    ("file", "target"),
    [
        ("net.pt", "cpu"),
        ("net.pt", "emulator"),
        ("net.pt2", "cpu"),
        ("net.pt2", "emulator"),
        ("net.json", "emulator"),
        ("net.pt", None),
    ],
)
def test_same_spikes_and_membranes_as_python(program, saved, tmp_path, file, target):
    folder, _, expected = saved
    arguments = [folder / file, "--spikes", folder / "in.csv", "--output", tmp_path / "out.csv"]
    arguments += ["--membrane", tmp_path / "membrane.csv", *(["--target", target] if target else [])]
    done = run(program, *arguments)
    assert done.returncode == 0, done.stderr
    assert f"target {'cpu' if target == 'cpu' else 'emulator ideal'}:" in done.stderr
    assert torch.equal(read_csv(tmp_path / "out.csv", (20, 4, 8)), expected.spikes["hidden"])
    membrane = torch.full((20, 4, 3), float("nan"))
    with open(tmp_path / "membrane.csv", newline="") as lines:
        for row in csv.DictReader(lines):
            assert row["population"] == "readout"
            membrane[int(row["step"]), int(row["batch"]), int(row["neuron"])] = float(row["membrane"])
    assert torch.equal(membrane, expected.membrane["readout"])  # the decimals give the same float32 again


@pytest.mark.parametrize(
    ("file", "target"),
    [("net.pt", "cpu"), ("net.pt", "emulator"), ("net.pt2", "cpu"), ("net.pt2", "emulator"), ("net.json", "emulator")],
)
def test_recurrent_and_sparse_layers(program, tmp_path, file, target):
    torch.manual_seed(2)
    model = nn.Sequential(
        RecurrentLIF(5, 8, name="loop", threshold=0.2, mask=torch.rand(8, 8) < 0.6),
        SparseSynapse(torch.rand(8, 6) < 0.5, name="sparse", scale=16.0),
        LIF(6, name="last", threshold=0.2),
    )
    spikes = torch.poisson(torch.full((20, 4, 5), 0.3))
    spikes[-1, -1, 0] = 1
    gradspike.save(model, tmp_path / "net.pt", network=tmp_path / "net.json")
    gradspike.export(model, tmp_path / "net.pt2", example=spikes)
    write_csv(tmp_path / "in.csv", spikes)
    arguments = [tmp_path / file, "--spikes", tmp_path / "in.csv", "--output", tmp_path / "out.csv"]
    for population, expected in (("loop", model[0](spikes)), ("last", model(spikes))):
        done = run(program, *arguments, "--target", target, "--population", population)
        assert done.returncode == 0, done.stderr
        assert torch.equal(read_csv(tmp_path / "out.csv", expected.shape), expected) and expected.sum() > 0


def test_spikes_on_standard_output(program, saved):
    folder, _, expected = saved
    done = run(program, folder / "net.pt", "--spikes", folder / "in.csv", "--population", "hidden")
    assert done.stdout.startswith("step,batch,neuron\n")
    assert len(done.stdout.splitlines()) == 1 + int(expected.spikes["hidden"].sum())


def test_output_can_be_an_input(program, tmp_path):
    """What one network writes the next reads: the same format on both sides."""
    gradspike.save(network_model(), tmp_path / "net.pt")
    second = nn.Sequential(Synapse(8, 4, name="a", scale=16.0), LIF(4, name="b", threshold=0.2))
    gradspike.save(second, tmp_path / "second.pt")
    write_csv(tmp_path / "in.csv", torch.ones(10, 1, 5))
    assert (
        run(program, tmp_path / "net.pt", "--spikes", tmp_path / "in.csv", "--output", tmp_path / "mid.csv").returncode
        == 0
    )
    assert run(program, tmp_path / "second.pt", "--spikes", tmp_path / "mid.csv").returncode == 0


def test_model_with_an_encoder_takes_spikes_of_the_network(program, tmp_path):
    """Host code is not run by the program: its inputs are those that --list shows."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.lif = Synapse(5, 6, scale=16.0), LIF(6, threshold=0.3)

        def forward(self, values: Tensor) -> Tensor:
            spikes = (values.unsqueeze(0).repeat(12, 1, 1) > 0.5).float()
            return self.lif(self.a(spikes)).sum(0)

    model, values = Model(), torch.rand(3, 5)
    values[:, 0] = 0.9
    gradspike.save(model, tmp_path / "net.pt", example=values)
    gradspike.export(model, tmp_path / "net.pt2", example=values)
    write_csv(tmp_path / "in.csv", (values.unsqueeze(0).repeat(12, 1, 1) > 0.5).float())
    for file, target in itertools.product(("net.pt", "net.pt2"), ("cpu", "emulator")):
        done = run(
            program,
            tmp_path / file,
            "--spikes",
            tmp_path / "in.csv",
            "--target",
            target,
            "--output",
            tmp_path / "out.csv",
        )
        assert done.returncode == 0, done.stderr
        assert torch.equal(read_csv(tmp_path / "out.csv", (12, 3, 6)).sum(0), model(values))
    assert model(values).sum() > 0


def test_two_inputs_in_the_order_of_the_network(program, tmp_path):
    """The model uses its second argument first, and one file ends earlier than the other."""

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.lif = Synapse(5, 6, scale=16.0), Synapse(5, 6, scale=16.0), LIF(6, threshold=0.2)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            return self.lif(self.b(y) + self.a(x))

    model = Model()
    x, y = torch.poisson(torch.full((9, 3, 5), 0.5)), torch.poisson(torch.full((9, 3, 5), 0.5))
    y[5:], y[:, 2] = 0, 0
    x[8, 2, 0] = 1
    gradspike.save(model, tmp_path / "net.pt")
    gradspike.export(model, tmp_path / "net.pt2", example=(x, y))
    write_csv(tmp_path / "x.csv", x)
    write_csv(tmp_path / "y.csv", y)
    for file, target in itertools.product(("net.pt", "net.pt2"), ("cpu", "emulator")):
        done = run(
            program,
            tmp_path / file,
            "--spikes",
            tmp_path / "y.csv",
            "--spikes",
            tmp_path / "x.csv",
            "--target",
            target,
            "--output",
            tmp_path / "out.csv",
        )
        assert done.returncode == 0, done.stderr
        assert torch.equal(read_csv(tmp_path / "out.csv", (9, 3, 6)), model(x, y))


def test_list(program, saved):
    folder, _, _ = saved
    for file in ("net.pt", "net.pt2", "net.json"):
        done = run(program, folder / file, "--list")
        assert done.returncode == 0
        words = [line.split() for line in done.stdout.splitlines()]
        assert words[0][:3] == ["projection", "source", "target"]
        assert words[1][:5] == ["net/in", "input0", "hidden", "5", "8"]
        assert words[2][:5] == ["net/out", "hidden", "readout", "8", "3"]
        assert "yin, yang, dot" in done.stdout and "latency" in done.stdout and "max over time" in done.stdout
        assert "20" in [w[1] for w in words if w and w[0] == "steps"]


def test_json(program, saved):
    folder, _, _ = saved
    listed = json.loads(run(program, folder / "net.pt", "--json").stdout)
    network = chip.load_network(folder / "net.json")
    assert listed["network"] == network.description
    hashes = {name: record[24:32][::-1].hex() for name, record in network.records().items()}
    assert listed["hashes"] == hashes


@pytest.mark.parametrize("file", ["net.pt", "net.pt2", "net.json"])
def test_map(program, saved, tmp_path, file):
    folder, _, _ = saved
    assert run(program, folder / file, "--map", tmp_path / "map.json").returncode == 0
    network = chip.load_network(folder / "net.json")
    assert (tmp_path / "map.json").read_text() == network.map().to_json()
    gradspike.save(nn.Sequential(Synapse(300, 600, scale=16.0), LIF(600)), network=tmp_path / "large.json")
    assert run(program, tmp_path / "large.json", "--map", tmp_path / "map.json").returncode == 0
    assert json.loads((tmp_path / "map.json").read_text())["format"] == "gradspike.partition"


def test_check_and_its_exit_code(program, saved, tmp_path):
    folder, _, _ = saved
    done = run(program, folder / "net.pt", "--check")
    assert done.returncode in (0, 1) and "net" in done.stdout
    gradspike.save(nn.Sequential(Synapse(300, 600, scale=16.0), LIF(600)), tmp_path / "large.pt")
    done = run(program, tmp_path / "large.pt", "--check")
    assert done.returncode == 2 and "neuron circuits" in done.stdout
    done = run(program, tmp_path / "large.pt", "--check", "--json")
    assert json.loads(done.stdout)["verdict"] == "does not fit"


@pytest.mark.parametrize("name", ["net.pt", "net.json", "large.pt"])
def test_check_says_what_python_says(program, saved, tmp_path, name):
    """All but what only Python knows: versions and hashes of its own, the order of JSON and blocks in UTF-8."""
    folder, _, _ = saved
    if name == "large.pt":
        folder = tmp_path
        model = nn.Sequential(
            Synapse(300, 600, scale=16.0), LIF(600, tau_mem=80e-6, refractory_time=0.0, threshold=4.0)
        )
        gradspike.save(model, folder / name)
    found = json.loads(run(program, folder / name, "--check", "--json").stdout)
    assert errors(found, chip.Report.schema(), chip.Report.schema()) == []
    expected = gradspike.open_network(folder / name).check().data
    assert expected["provenance"].items() >= found["provenance"].items()
    assert found["provenance"].keys() >= {"gradspike", *(f"weights of {p}" for p in expected["projections"])}
    expected["provenance"] = found["provenance"]
    assert found == expected
    assert run(program, folder / name, "--check").stdout == _terminal.render(expected)


def test_steps_and_batch(program, saved, tmp_path):
    folder, _, _ = saved
    (tmp_path / "one.csv").write_text("step,batch,neuron\n0,0,0\n")
    done = run(
        program,
        folder / "net.json",
        "--spikes",
        tmp_path / "one.csv",
        "--steps",
        "7",
        "--batch",
        "3",
        "--membrane",
        tmp_path / "m.csv",
    )
    assert done.returncode == 0, done.stderr
    with open(tmp_path / "m.csv", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 7 * 3 * 3


def test_file_without_spikes(program, saved, tmp_path):
    folder, _, _ = saved
    (tmp_path / "none.csv").write_text("step,batch,neuron\n")
    for file in ("net.pt", "net.json"):
        done = run(program, folder / file, "--spikes", tmp_path / "none.csv")
        assert done.returncode == 0, done.stderr
        assert done.stdout == "step,batch,neuron\n"


def test_line_ends_of_other_systems_and_empty_lines(program, saved, tmp_path):
    folder, spikes, expected = saved
    text = (folder / "in.csv").read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n") + b"\r\n"
    (tmp_path / "dos.csv").write_bytes(text)
    done = run(program, folder / "net.pt", "--spikes", tmp_path / "dos.csv", "--output", tmp_path / "out.csv")
    assert done.returncode == 0, done.stderr
    assert torch.equal(read_csv(tmp_path / "out.csv", (20, 4, 8)), expected.spikes["hidden"])
    assert spikes.sum() > 0


# ---- one line on standard error, exit code 3 -------------------------------------------------------------------------

BAD_CSV = {
    "header": ("time,batch,neuron\n0,0,0\n", ("header", "step,batch,neuron", "time")),
    "no header": ("", ("header",)),
    "negative": ("step,batch,neuron\n0,0,-1\n", ("line 2", "-1", "whole number")),
    "fraction": ("step,batch,neuron\n0,0.5,1\n", ("line 2", "0.5")),
    "text": ("step,batch,neuron\n0,0,1\nx,0,1\n", ("line 3", "'x'")),
    "blank": ("step,batch,neuron\n0, 0,1\n", ("line 2",)),
    "too few fields": ("step,batch,neuron\n0,0\n", ("line 2", "3 fields", "2")),
    "too many fields": ("step,batch,neuron\n0,0,1,1\n", ("line 2", "3 fields", "4")),
    "comma at the end": ("step,batch,neuron\n0,0,1,\n", ("line 2",)),
    "neuron": ("step,batch,neuron\n0,0,5\n", ("line 2", "neuron", "5")),
    "step": ("step,batch,neuron\n20,0,1\n", ("step", "20")),
    "count": ("step,batch,neuron,count\n0,0,1,128\n", ("line 2", "count", "127", "128")),
    "count in two lines": ("step,batch,neuron,count\n0,0,1,100\n0,0,1,28\n", ("step 0", "neuron 1", "127")),
    "huge step": (f"step,batch,neuron\n{2**63 - 1},0,1\n", ("line 2", "too large")),
    "beyond 64 bits": (f"step,batch,neuron\n{2**70},0,1\n", ("line 2",)),
    "huge batch": ("step,batch,neuron\n0,1000000000,1\n", ("too many",)),
    "binary": ("\x00\x01\x02", ("header",)),
}


def require_one_line(done: subprocess.CompletedProcess, *words: str) -> None:
    assert done.returncode == 3, (done.returncode, done.stderr)
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert done.stderr.startswith("gradspike-run: ")
    for word in words:
        assert word in done.stderr, done.stderr


@pytest.mark.parametrize("name", sorted(BAD_CSV))
def test_bad_csv(program, saved, tmp_path, name):
    folder, _, _ = saved
    text, words = BAD_CSV[name]
    (tmp_path / "bad.csv").write_text(text)
    require_one_line(run(program, folder / "net.pt", "--spikes", tmp_path / "bad.csv"), "bad.csv", *words)


def test_bad_arguments(program, saved, tmp_path):
    folder, _, _ = saved
    spikes = ["--spikes", folder / "in.csv"]
    cases = [
        ([], ("network",)),
        ([folder / "net.pt"], ("nothing to do",)),
        ([folder / "net.pt", "--nonsense"], ("--nonsense",)),
        ([folder / "net.pt", *spikes, "--steps", "many"], ("--steps", "many")),
        ([folder / "net.pt", *spikes, "--steps", "-3"], ("--steps", "whole number", "'-3'")),
        ([folder / "net.pt", *spikes, "--seed", "-1"], ("--seed", "whole number", "'-1'")),
        ([folder / "net.pt", *spikes, "--target", "cpu", "--preset", "calibrated"], ("--preset", "'cpu'")),
        ([folder / "net.pt", *spikes, "--target", "cpu", "--seed", "3"], ("--seed", "'cpu'")),
        ([folder / "net.pt", *spikes, *spikes], ("--spikes", "1 times", "2")),
        ([folder / "none.pt", *spikes], ("none.pt",)),
        ([folder, "--list"], ("cannot read",)),
        ([folder / "net.pt", "--spikes", folder / "none.csv"], ("none.csv",)),
        ([folder / "net.pt", "--spikes", folder], ("cannot read",)),
        ([folder / "net.pt", *spikes, "--target", "chip7"], ('"chip7"', "emulator")),
        ([folder / "net.pt", *spikes, "--preset", "magic"], ('"magic"', "ideal")),
        ([folder / "net.pt", *spikes, "--population", "hiden"], ('"hiden"', '"hidden"')),
        ([folder / "net.pt", *spikes, "--population", "readout"], ("'readout'", "--membrane")),
        ([folder / "net.json", *spikes, "--target", "cpu"], ("'cpu'", "saved model")),
        ([folder / "net.pt", *spikes, "--output", tmp_path / "no" / "out.csv"], ("cannot write", "out.csv")),
        ([folder / "net.pt", *spikes, "--output", tmp_path], ("cannot write",)),
        ([folder / "net.pt", *spikes, "--membrane", tmp_path / "no" / "m.csv", "--output", os.devnull], ("m.csv",)),
        ([folder / "net.pt", *spikes, "--steps", "3"], ("step", "below 3")),
        ([folder / "net.pt", *spikes, "--batch", "2"], ("batch", "below 2")),
    ]
    for arguments, words in cases:
        require_one_line(run(program, *arguments), *words)


def test_network_without_a_population_that_fires(program, saved, tmp_path):
    folder, _, _ = saved
    gradspike.save(nn.Sequential(Synapse(5, 3, name="in"), LI(3, name="readout")), tmp_path / "li.pt")
    arguments = [tmp_path / "li.pt", "--spikes", folder / "in.csv"]
    require_one_line(run(program, *arguments), "no population that fires", "--membrane")
    done = run(program, *arguments, "--membrane", tmp_path / "m.csv")
    assert done.returncode == 0 and done.stdout == "", done.stderr
    assert (tmp_path / "m.csv").read_text().startswith("population,step,batch,neuron,membrane\nreadout,0,0,0,")


def test_slices_of_one_input_are_one_file(program, tmp_path):
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b, self.lif = Synapse(3, 4), Synapse(3, 4), LIF(4)

        def forward(self, x: Tensor) -> Tensor:
            return self.lif(self.a(x[:, :, :3]) + self.b(x[:, :, 2:5]))

    gradspike.save(Model(), tmp_path / "net.pt", example=torch.zeros(4, 1, 6))
    (tmp_path / "in.csv").write_text("step,batch,neuron\n0,0,5\n")
    done = run(program, tmp_path / "net.pt", "--spikes", tmp_path / "in.csv")
    assert done.returncode == 0, done.stderr


def test_full_disk(program, saved):
    if not os.path.exists("/dev/full"):
        pytest.skip("there is no /dev/full")
    folder, _, _ = saved
    arguments = [folder / "net.pt", "--spikes", folder / "in.csv", "--output", "/dev/full"]
    require_one_line(run(program, *arguments), "cannot write")


def test_backend_of_the_environment(program, saved):
    folder, _, _ = saved
    arguments = [folder / "net.pt", "--spikes", folder / "in.csv"]
    done = run(program, *arguments, environment={"GRADSPIKE_BACKEND": "chip7"})
    require_one_line(done, '"chip7"', "GRADSPIKE_BACKEND")  # never a silent emulator
    assert run(program, *arguments, environment={"GRADSPIKE_BACKEND": "emulator"}).returncode == 0


def test_help(program):
    done = run(program, "--help")
    assert done.returncode == 0
    for option in ("--spikes", "--target", "--list", "--json", "--check", "--output", "--membrane"):
        assert option in done.stdout


# ---- arrays, results, comparisons ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [bool, "uint8", "int64", "float32", "float64"])
def test_arrays_in_and_out(program, saved, tmp_path, dtype):
    folder, spikes, expected = saved
    if dtype is bool:
        spikes = (spikes > 0).float()
        expected = chip.load_network(folder / "net.json").deploy()(spikes)
    numpy.save(tmp_path / "in.npy", spikes.numpy().astype(dtype))
    arguments = ["--spikes", tmp_path / "in.npy", "--output", tmp_path / "out.npy", "--membrane", tmp_path / "m.npy"]
    done = run(program, folder / "net.json", *arguments, "--result", tmp_path / "result.json")
    assert done.returncode == 0, done.stderr
    out, membrane = numpy.load(tmp_path / "out.npy"), numpy.load(tmp_path / "m.npy")
    assert out.dtype == numpy.uint8 and membrane.dtype == numpy.float32
    assert torch.equal(torch.from_numpy(out).float(), expected.spikes["hidden"])
    assert torch.equal(torch.from_numpy(membrane), expected.membrane["readout"])
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["target"] == "emulator ideal" and result["losses"]["spikes_lost"] == 0
    assert result["spikes"] == {"hidden": int(expected.spikes["hidden"].sum())} and result["seconds"] > 0


def test_verify_says_equal_or_where_not(program, saved):
    folder, _, _ = saved
    done = run(program, folder / "net.pt2", "--spikes", folder / "in.csv", "--verify", "cpu,emulator")
    assert done.returncode == 0 and "cpu and emulator ideal: equal, 640 spike counts" in done.stdout, done.stderr
    done = run(
        program, folder / "net.pt", "--spikes", folder / "in.csv", "--verify", "cpu,emulator", "--preset", "calibrated"
    )
    assert done.returncode == 1
    assert "differ, first" in done.stdout and "of population 'hidden' at step" in done.stdout


def arrays(spikes):
    """Bad arrays: what is written, and words of the sentence."""
    negative = spikes.copy()
    negative[3, 2, 1] = -1
    fraction = spikes.copy()
    fraction[0, 0, 4] = 0.5
    return {
        "negative": (negative, ("step 3, batch 2, neuron 1", "-1")),
        "fraction": (fraction, ("neuron 4", "0.5")),
        "too many": (spikes + 200, ("127",)),
        "not a number": (spikes * float("nan"), ("nan",)),
        "shape": (spikes[..., :4], ("[time, batch, 5]",)),
        "dimensions": (spikes[0], ("2 dimensions",)),
        "columns": (numpy.asfortranarray(spikes), ("ascontiguousarray",)),
        "complex": (spikes.astype("complex64"), ("dtype",)),
        "big endian": (spikes.astype(">f4"), ("dtype",)),
        "objects": (numpy.array([None, 1]), ("dtype",)),
    }


@pytest.mark.parametrize("name", sorted(arrays(numpy.zeros((20, 4, 5), numpy.float32))))
def test_bad_arrays(program, saved, tmp_path, name):
    folder, spikes, _ = saved
    array, words = arrays(spikes.numpy())[name]
    numpy.save(tmp_path / "bad.npy", array, allow_pickle=True)
    require_one_line(run(program, folder / "net.json", "--spikes", tmp_path / "bad.npy"), "bad.npy", *words)


@pytest.mark.parametrize("length", [0, 5, 9, 40, 127, 140])
def test_cut_arrays(program, saved, tmp_path, length):
    folder, spikes, _ = saved
    numpy.save(tmp_path / "bad.npy", spikes.numpy())
    (tmp_path / "bad.npy").write_bytes((tmp_path / "bad.npy").read_bytes()[:length])
    require_one_line(run(program, folder / "net.json", "--spikes", tmp_path / "bad.npy"), "bad.npy")


def test_bad_uses_of_arrays(program, saved, tmp_path):
    folder, spikes, _ = saved
    numpy.save(tmp_path / "in.npy", spikes.numpy())
    call = [program, folder / "net.json", "--spikes", tmp_path / "in.npy"]
    require_one_line(run(*call, "--steps", "3"), "--steps", "array")
    require_one_line(run(*call, "--verify", "emulator"), "--verify", "two targets")
    require_one_line(
        run(*call, "--verify", "emulator,emulator", "--output", tmp_path / "o.npy"), "--verify", "--output"
    )
    require_one_line(
        run(program, folder / "net.json", "--list", "--output", tmp_path / "o.npy"), "--output", "--spikes"
    )
    require_one_line(run(*call, "--check"), "--check", "--spikes")
    require_one_line(run(*call, "--verify", "cpu,emulator"), "cpu")
    require_one_line(run(*call, "--result", tmp_path / "no" / "r.json"), "cannot write")
    require_one_line(run(*call, "--output", tmp_path / "no" / "o.npy"), "cannot write")


def damaged_program(path: Path, target: Path, change) -> None:
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as result:
        for entry in source.infolist():
            content = change(entry.filename, source.read(entry))
            if content is not None:
                result.writestr(zipfile.ZipInfo(entry.filename), content)


def edited_json(ending, edit):
    def change(name, content):
        if not name.endswith(ending):
            return content
        value = json.loads(content)
        edit(value)
        return json.dumps(value).encode()

    return change


def graph_of(program_json):
    return program_json["graph_module"]["graph"]


def meta_of(config):
    return next(iter(config["config"].values()))["tensor_meta"]


def without(ending):
    return lambda name, content: None if name.endswith(ending) else content


DAMAGED_PROGRAMS = {
    "no program": (without("models/model.json"), "native code"),
    "not JSON": (lambda n, c: b"{" if n.endswith("model.json") else c, "no JSON object"),
    "no graph": (edited_json("model.json", lambda p: p.pop("graph_module")), "damaged"),
    "no network": (without("network.json"), "gradspike.export"),
    "integers": (without("integers/in.bin.base64"), "integers of projection 'in' are missing"),
    "integers text": (lambda n, c: b"%" if n.endswith("in.bin.base64") else c, "integers/in.bin"),
    "weight": (without("weights/weight_0"), "cannot be loaded|damaged"),
    "short weight": (lambda n, c: c[:8] if n.endswith("weight_0") else c, "needs 160 bytes, the file has 8"),
    "unknown operator": (
        edited_json("model.json", lambda p: graph_of(p)["nodes"][0].update(target="torch.ops.gradspike.magic.default")),
        "gradspike::magic is not registered",
    ),
    "no operator": (
        edited_json("model.json", lambda p: graph_of(p)["nodes"][0].update(target="_operator.matmul")),
        "'_operator.matmul' is no operator",
    ),
    "unknown value": (
        edited_json(
            "model.json", lambda p: graph_of(p)["nodes"][0]["inputs"][0]["arg"]["as_tensor"].update(name="nothing")
        ),
        "'nothing' is used before it is computed",
    ),
    "empty argument": (
        edited_json("model.json", lambda p: graph_of(p)["nodes"][0]["inputs"][0].update(arg={})),
        "an argument must be an object with one entry",
    ),
    "empty input": (
        edited_json("model.json", lambda p: p["graph_module"]["signature"]["input_specs"].insert(0, {})),
        "an input must be an object with one entry",
    ),
    "storage offset": (
        edited_json("weights_config.json", lambda c: meta_of(c)["storage_offset"].update(as_int=-(2**62))),
        "begins at element",
    ),
    "fraction of a size": (
        edited_json("weights_config.json", lambda c: meta_of(c)["sizes"][0].update(as_int=8.9)),
        "a size must be a whole number",
    ),
    "another library": (
        edited_json("model.json", lambda p: graph_of(p)["nodes"][0].update(target="torch.ops.other.op.default")),
        "another library",
    ),
    "unknown argument": (
        edited_json("model.json", lambda p: graph_of(p)["nodes"][0]["inputs"][0].update(name="nonsense")),
        "misses its argument|has no argument",
    ),
}


@pytest.mark.parametrize("name", sorted(DAMAGED_PROGRAMS))
def test_damaged_programs(program, saved, tmp_path, name):
    folder, _, _ = saved
    change, sentence = DAMAGED_PROGRAMS[name]
    damaged_program(folder / "net.pt2", tmp_path / "bad.pt2", change)
    done = run(program, tmp_path / "bad.pt2", "--list")
    require_one_line(done, "bad.pt2")
    assert re.search(sentence, done.stderr), done.stderr


def test_cut_programs(program, saved, tmp_path):
    folder, _, _ = saved
    content = (folder / "net.pt2").read_bytes()
    for length in (2, 100, len(content) // 2, len(content) - 30):
        (tmp_path / "cut.pt2").write_bytes(content[:length])
        require_one_line(run(program, tmp_path / "cut.pt2", "--list"), "cut.pt2")
