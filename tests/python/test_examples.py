import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import gradspike
from gradspike import chip, functional, nn
from gradspike.examples import yinyang, yinyang_figures, yinyang_report, yinyang_training

ROOT = Path(__file__).resolve().parents[2]
DATA = Path(yinyang.__file__).parent / "data"
RUN = ROOT / "build" / "bin" / "gradspike-run"
FIGURES = ["chip_map.png", "learning_curve.png", "raster.png", "readout.png", "weights.png"]
FILES = ["net.json", "report.json", "yinyang.pt", "yinyang_hidden.csv", "yinyang_in.csv"]


@pytest.fixture(scope="module")
def data():
    return yinyang_training.load_data(500, 200)


@pytest.fixture(scope="module")
def quick_run(tmp_path_factory, data):
    """Folder and outcome of a run of one epoch, without figures."""
    folder = tmp_path_factory.mktemp("yinyang")
    outcome = yinyang.run(yinyang_training.Settings(epochs=1), folder, data, plots=False)
    return folder, outcome


def read_spikes(path, neurons, steps=yinyang_training.NUM_STEPS):
    rows = [tuple(map(int, line.split(","))) for line in path.read_text().splitlines()[1:]]
    spikes = torch.zeros(steps, 1 + max(row[1] for row in rows), neurons)
    for row in rows:
        spikes[row] = 1.0
    return spikes


def test_command_line_writes_every_file(tmp_path, capsys):
    threads = torch.get_num_threads()
    code = yinyang.main(["--quick", "--no-plots", "--output", str(tmp_path / "run")])
    printed = capsys.readouterr().out
    assert code == 0
    assert torch.get_num_threads() == threads
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == FILES
    for text in ("hardware integers", "float weights", "emulator ideal", "clipped", "rounded to zero", "gradspike-run"):
        assert text in printed


@pytest.mark.parametrize("arguments", [["--epochs", "0"], ["--threads", "two"], ["--unknown"]])
def test_command_line_refuses(arguments):
    with pytest.raises(SystemExit) as error:
        yinyang.main(arguments)
    assert error.value.code == 2


def test_training_and_emulator_do_not_differ(quick_run):
    _, outcome = quick_run
    hidden, readout = outcome.comparison.layers
    assert outcome.comparison.differences == 0 and outcome.comparison.lost == 0
    assert outcome.comparison.accuracy == outcome.accuracy_integer
    assert 0.01 < hidden.firing_rate < 0.5
    assert (hidden.values, readout.values) == (38 * 200 * 120, 38 * 200 * 3)
    assert not readout.fires


def test_graph_of_the_file_gives_the_traces_of_the_modules(quick_run, data):
    folder, _ = quick_run
    network = yinyang_training.YinYangNetwork()
    network.load_state_dict(gradspike.load(folder / "yinyang.pt").state_dict())
    spikes, membranes = yinyang_report.training_forward(network, data.test_spikes)
    seen = chip.read(network, network="graph").run_model(data.test_spikes)
    assert torch.equal(seen.spikes["hidden"], spikes["hidden"])
    for name, membrane in membranes.items():
        assert torch.equal(seen.membrane[name], membrane)


def test_comparison_counts_single_differences(quick_run, data):
    folder, _ = quick_run
    other = yinyang_training.YinYangNetwork()
    other.load_state_dict(gradspike.load(folder / "yinyang.pt").state_dict())
    with torch.no_grad():
        other.readout_synapse.weight[1, 7] += 2.0 / other.readout_synapse.scale
    comparison = yinyang_report.compare(other, folder / "yinyang.pt", data)
    hidden, readout = comparison.layers
    assert hidden.spikes_differ == hidden.membranes_differ == 0
    assert 0 < readout.membranes_differ == comparison.differences


def test_bits_are_compared():
    first = torch.tensor([0.0, 1.0, float("nan")])
    assert yinyang_report._count_different(first, first.clone()) == 0
    assert yinyang_report._count_different(first, torch.tensor([-0.0, 1.0, float("nan")])) == 1
    with pytest.raises(RuntimeError, match="must agree in shape"):
        yinyang_report._count_different(first, first[:2])


def test_report_holds_what_the_table_shows(quick_run):
    folder, outcome = quick_run
    report = json.loads((folder / "report.json").read_text())
    assert report["outcome"]["accuracy_integer"] == outcome.accuracy_integer
    assert report["outcome"]["weights"]["hidden"]["total"] == 600
    assert report["differences"] == 0
    assert set(report["history"]) == {"hardware integers", "float weights"}
    assert all(len(values) == 1 for values in report["history"]["float weights"].values())


def test_files_carry_card_and_integers(quick_run):
    folder, _ = quick_run
    model = gradspike.load(folder / "yinyang.pt")
    network = chip.read(model)
    weight = dict(model.named_parameters())["hidden_synapse.weight"].detach()
    expected = functional.hardware_weights(weight, yinyang_training.HIDDEN_SCALE)
    assert network.name == "yinyang"
    assert network.description["model_card"]["steps"] == 38
    assert network.description["model_card"]["class_names"] == ["yin", "yang", "dot"]
    assert torch.equal(network.integers()["hidden"], expected.to(torch.int16))
    assert torch.equal(chip.load_network(folder / "net.json").integers()["hidden"], expected.to(torch.int16))


def test_same_seed_same_network(data):
    settings = yinyang_training.Settings(epochs=1, seed=5)
    first, second = (yinyang_training.train("half_even", data, settings, "t").network for _ in range(2))
    assert torch.equal(first.hidden_synapse.weight, second.hidden_synapse.weight)
    assert torch.equal(first.readout_synapse.weight, second.readout_synapse.weight)


def test_diverged_training_is_an_error(data):
    with pytest.raises(RuntimeError, match="training diverged"):
        yinyang_training.train("none", data, yinyang_training.Settings(epochs=1, learning_rate=float("inf")), "t")


def test_runs_without_tqdm(monkeypatch, capsys, data):
    monkeypatch.setitem(sys.modules, "tqdm", None)
    yinyang_training.train("half_even", data, yinyang_training.Settings(epochs=2), "bare")
    printed = capsys.readouterr().out
    assert "tqdm is not installed" in printed and "epoch 2 of 2, loss" in printed


def test_runs_without_matplotlib(monkeypatch, capsys, tmp_path, data):
    for module in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, module, None)
    assert yinyang._draw(tmp_path, yinyang_training.YinYangNetwork(), data, {"a": {"loss": [1.0]}}) == []
    assert (
        capsys.readouterr().out == "no figures: matplotlib is not installed: install it with pip install matplotlib\n"
    )


def test_draws_every_figure(tmp_path, data):
    pytest.importorskip("matplotlib")
    history = {"loss": [1.0, 0.5], "test accuracy": [0.4, 0.8]}
    names = yinyang_figures.draw_all(tmp_path, yinyang_training.YinYangNetwork(), data, {"a": history, "b": history})
    assert sorted(names) == FIGURES
    assert all((tmp_path / name).stat().st_size > 5000 for name in names)


def test_silent_class_keeps_a_gradient(data):
    torch.manual_seed(0)
    network = yinyang_training.YinYangNetwork()
    yinyang_training.loss_of(network(data.train_spikes[:, :50]), data.train_classes[:50]).backward()
    assert (network.readout_synapse.weight.grad != 0).any(1).all()


# The archive in the package, its input and the spikes that every way of running it has to give.


def test_packaged_archive_is_small_and_trained():
    archive = DATA / "yinyang.pt"
    assert archive.stat().st_size < 100_000
    full = yinyang_training.load_data(1, 1000)
    with torch.no_grad():
        scores = gradspike.load(archive)(full.test_spikes)
    assert yinyang_training.accuracy(scores, full.test_classes) >= 0.97


def test_packaged_input_is_that_of_the_test_set():
    full = yinyang_training.load_data(1, yinyang.SHOWN_SAMPLES)
    assert torch.equal(read_spikes(DATA / "yinyang_in.csv", 5), full.test_spikes)


def test_python_gives_the_packaged_spikes():
    spikes = read_spikes(DATA / "yinyang_in.csv", 5)
    expected = read_spikes(DATA / "yinyang_hidden.csv", 120)
    network = chip.read(gradspike.load(DATA / "yinyang.pt"))
    assert expected.sum() > 100
    assert torch.equal(network.run_model(spikes).spikes["hidden"], expected)
    assert torch.equal(network.deploy()(spikes).spikes["hidden"], expected)


def test_modules_give_the_packaged_spikes():
    network = yinyang_training.YinYangNetwork()
    network.load_state_dict(gradspike.load(DATA / "yinyang.pt").state_dict())
    recorder = nn.Recorder(network)
    recorder(read_spikes(DATA / "yinyang_in.csv", 5))
    assert torch.equal(recorder.spikes["hidden"], read_spikes(DATA / "yinyang_hidden.csv", 120))


@pytest.mark.parametrize("target", ["cpu", "emulator"])
def test_program_gives_the_packaged_spikes(target, tmp_path):
    if not RUN.exists():
        pytest.skip("build/bin/gradspike-run is not built")
    output = tmp_path / "spikes.csv"
    command = [RUN, DATA / "yinyang.pt", "--spikes", DATA / "yinyang_in.csv", "--output", output, "--target", target]
    subprocess.run(command, check=True, capture_output=True)
    assert output.read_bytes() == (DATA / "yinyang_hidden.csv").read_bytes()


@pytest.mark.parametrize("script", ["examples/yinyang.py"])
def test_script_at_the_root_runs(script):
    result = subprocess.run([sys.executable, ROOT / script, "--help"], capture_output=True, text=True, check=False)
    assert result.returncode == 0 and "--epochs" in result.stdout
