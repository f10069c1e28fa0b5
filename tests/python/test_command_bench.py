"""gradspike bench: what it times, what it prints, and what it refuses."""

import pytest
import torch

from commands import call, call_json, require_one_line
from gradspike import _benchmark_layer, _command_bench, _timing

SMALL = ["--inputs", "20", "--neurons", "9", "--batch", "3", "--steps", "12", "--samples", "2", "--seconds", "0.05"]
OPERATORS, PASSES = ("graded_spikes and lif", "synapse_lif"), ("forward", "forward and backward")
ENTRIES = [f"{name}, {kind}" for name in OPERATORS for kind in PASSES]


def test_layer(capsys):
    threads = torch.get_num_threads()
    data = call_json(capsys, "bench", *SMALL, "--threads", "1")
    assert (data["format"], data["version"], data["device"], data["threads"]) == ("gradspike.bench", 1, "cpu", 1)
    assert torch.get_num_threads() == threads
    assert {"gradspike", "torch", "python", "cpu_isa"} <= set(data["versions"])
    assert {"processor", "cores", "system"} <= set(data["machine"])
    (result,) = data["results"]
    assert result["title"].startswith("layer 20 to 9, 12 steps, batch 3, 0.05 input spikes")
    assert [entry["name"] for entry in result["entries"]] == ENTRIES
    for entry in result["entries"]:
        assert entry["clock"] == "wall_ms" and 0 < entry["minimum_ms"] <= entry["median_ms"]
        assert entry["samples"] == 2
        assert entry["samples_per_second"] == pytest.approx(3 * entry["runs_per_second"])
        assert entry["runs_per_second"] == pytest.approx(1e3 / entry["median_ms"])


def test_table(capsys):
    code, printed, error = call(capsys, "bench", *SMALL)
    assert code == 0 and error == ""
    for text in (*ENTRIES, "layer 20 to 9", "min [ms]", "median [ms]", "samples/s", "PyTorch", "cores", "thread"):
        assert text in printed, text
    assert max(map(len, printed.splitlines())) <= 120


def test_network_on_operators_and_target(prepared, capsys):
    data = call_json(capsys, "bench", prepared / "net.pt", "--spikes", prepared / "in.csv", "--samples", "2",
                     "--seconds", "0.05", "--preset", "calibrated", "--seed", "4")  # fmt: skip
    (result,) = data["results"]
    assert result["title"] == "network net, 20 steps, batch 4" and result["device"] == "cpu"
    names = [entry["name"] for entry in result["entries"]]
    assert names == ["model, cpu", "emulator analog preset=calibrated seed=4"]


def test_random_input_of_the_steps_of_the_card(prepared, capsys):
    options = ["--samples", "2", "--seconds", "0.05", "--batch", "2"]
    data = call_json(capsys, "bench", prepared / "net.json", *options)
    (result,) = data["results"]  # a network file holds no operators
    assert result["title"] == "network net, 20 steps, batch 2" and result["batch"] == 2


def test_different_spikes_are_refused(monkeypatch, capsys):
    monkeypatch.setattr(_benchmark_layer, "fused", lambda layer: _benchmark_layer.separate(layer) + 1)
    require_one_line(capsys, ["bench", *SMALL], "must give the same spikes")


def test_gpu_times_are_those_of_events(monkeypatch, capsys):
    """Of four layers in turn; without a GPU by a stand-in that counts."""
    made = []
    seconds = {"gpu_ms": {"minimum": 1.0, "median": 2.0, "mad": 0.0, "samples": [1.0, 3.0]}}
    make = _benchmark_layer.make_layer
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    monkeypatch.setattr(
        _benchmark_layer, "make_layer", lambda sizes, density, device, seed: made.append(device) or make(sizes, density)
    )
    monkeypatch.setattr(
        _timing, "interleaved", lambda entries, device, *_: made.append(device) or dict.fromkeys(entries, seconds)
    )
    data = call_json(capsys, "bench", *SMALL, "--device", "cuda")
    assert (
        made == ["cuda"] * _command_bench._GPU_SETS + [dict.fromkeys(ENTRIES, "cuda")]
        and data["machine"]["gpu"] == "a GPU"
    )
    assert {entry["clock"] for entry in data["results"][0]["entries"]} == {"gpu_ms"}
    assert data["results"][0]["entries"][0]["runs_per_second"] == 500.0


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--batch", "0"], ("--batch", "'0'")),
        (["--density", "0"], ("--density", "above 0, at most 1", "'0'")),
        (["--density", "1.5"], ("--density", "'1.5'")),
        (["--seconds", "nan"], ("--seconds", "'nan'")),
        (["--threads", "-1"], ("--threads", "'-1'")),
        (["--device", "tpu"], ("--device", "tpu")),
        (["--seed", "-1"], ("--seed", "from 0", "'-1'")),
        (["--target", "cpu", "--seed", "0"], ("--target, --seed are for a saved network, and no file was given",)),
        (["--spikes", "in.csv", "--constant", "a=1"], ("--spikes, --constant are for a saved network",)),
        (["--preset", "ideal"], ("--preset is for a saved network",)),
        (["--density", "1e-9", *SMALL], ("the input must hold a spike", "--density 1e-09")),
    ],
)
def test_refusals(arguments, words, capsys):
    require_one_line(capsys, ["bench", *arguments], *words)


@pytest.mark.parametrize(
    "file, arguments, words",
    [
        ("net.pt", ["--inputs", "5", "--neurons", "3"], ("--inputs, --neurons are for the layer alone",)),
        ("net.pt", ["--density", "0.1", "--spikes", "in.csv"], ("--density is for random input",)),
        ("net.json", ["--device", "cpu"], ("--device is for operators, and a network file holds none",)),
    ],
)
def test_options_of_other_work_are_refused(file, arguments, words, prepared, capsys, monkeypatch):
    monkeypatch.chdir(prepared)
    require_one_line(capsys, ["bench", file, *arguments], *words)


def test_model_and_target_take_turns(monkeypatch):
    """Also where a GPU is one of them and has its own clock."""
    taken = []

    def sample(device, clock):
        return lambda work, repeats: taken.append((work(), device)) or {clock: 1.0}

    monkeypatch.setattr(_timing, "synchronise", lambda device: None)
    monkeypatch.setattr(_timing, "_sample_gpu", sample("cuda", "gpu_ms"))
    monkeypatch.setattr(_timing, "_sample_cpu", sample("cpu", "wall_ms"))
    times = _timing.interleaved({"a": lambda: "a", "b": lambda: "b"}, {"a": "cuda", "b": "cpu"}, 2, 10.0)
    assert taken == [("a", "cuda"), ("b", "cpu"), ("b", "cpu"), ("a", "cuda")]
    assert [list(clocks) for clocks in times.values()] == [["gpu_ms"], ["wall_ms"]]


def test_no_gpu_is_one_line(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    require_one_line(capsys, ["bench", "--device", "cuda"], "--device must be cpu", "no CUDA device")


def test_spikes_without_a_spike(prepared, capsys, tmp_path):
    (tmp_path / "empty.csv").write_text("step,batch,neuron\n")
    arguments = ["bench", prepared / "net.pt", "--spikes", tmp_path / "empty.csv"]
    require_one_line(capsys, arguments, "--spikes must hold a spike")
