"""gradspike plot: each kind of figure, from networks, spikes and reports, and what it refuses."""

import json
import sys

import numpy
import pytest
import torch

import gradspike
from commands import call, call_json, require_one_line
from gradspike import nn
from gradspike.plot import _axes

matplotlib = pytest.importorskip("matplotlib")

BEGINS = {".png": b"\x89PNG", ".svg": b"<?xml", ".pdf": b"%PDF"}


def draw(capsys, folder, output, *arguments, file="net.pt"):
    return call_json(capsys, "plot", folder / file, "-o", output, *arguments)


@pytest.fixture
def figures(monkeypatch):
    """The figures that were made."""
    made = []
    make = _axes.new_figure

    def new_figure(*arguments):
        made.append(make(*arguments))
        return made[-1]

    monkeypatch.setattr(_axes, "new_figure", new_figure)
    return made


@pytest.mark.parametrize("suffix", BEGINS)
@pytest.mark.parametrize(
    "kind, panels",
    [
        ("chip-map", ["net on the chip"]),
        ("weights", ["in: 5 to 8, scale 16", "out: 8 to 3, scale 16"]),
        ("report", ["resources of the chip", "losses of the weights"]),
        ("raster", None),
        ("traces", ["hidden", "readout"]),
        ("psp", ["hidden, net, emulator ideal"]),
        ("comparison", ["hidden: spikes", "readout: membranes"]),
    ],
)
def test_kind(kind, panels, suffix, prepared, capsys, tmp_path):
    output = tmp_path / f"figure{suffix}"
    spikes = ["--spikes", prepared / "in.csv"] if kind in ("raster", "traces", "psp", "comparison") else []
    data = draw(capsys, prepared, output, "--kind", kind, *spikes)
    assert (data["format"], data["version"], data["kind"]) == ("gradspike.plot", 1, kind)
    assert data["output"] == str(output)
    if panels is not None:
        assert data["panels"][: len(panels)] == panels
    begin = output.read_bytes()
    assert begin.startswith(BEGINS[suffix]) and len(begin) > 5000


def test_defaults(prepared, capsys, tmp_path):
    output = tmp_path / "figure.png"
    spikes = ["--spikes", prepared / "in.csv"]
    assert draw(capsys, prepared, output)["kind"] == "chip-map"
    assert draw(capsys, prepared, output, *spikes)["kind"] == "raster"
    assert draw(capsys, prepared, output, file="in.csv")["kind"] == "raster"
    numpy.save(tmp_path / "in.npy", numpy.ones((4, 2, 3), dtype="uint8"))
    assert draw(capsys, tmp_path, output, "--sample", "1", file="in.npy")["spikes"] == 12
    assert draw(capsys, prepared, output, file="report.json")["kind"] == "report"
    assert draw(capsys, prepared, output, file="net.json")["kind"] == "chip-map"
    assert draw(capsys, prepared, output, "--kind", "weights", file="net.json")["projections"] == ["in", "out"]


def test_without_json_only_the_file_is_named(prepared, capsys, tmp_path):
    code, printed, error = call(capsys, "plot", prepared / "net.pt", "-o", tmp_path / "figure.png")
    assert (code, printed, error) == (0, "", f"gradspike: wrote {tmp_path / 'figure.png'}\n")


def test_raster_counts_the_spikes_of_the_sample(prepared, capsys, tmp_path, figures):
    run = call_json(capsys, "run", prepared / "net.pt", "--spikes", prepared / "in.csv")
    arguments = ["--spikes", prepared / "in.csv", "--sample", "2", "--population", "hidden", "--target", "cpu"]
    data = draw(capsys, prepared, tmp_path / "figure.png", *arguments)
    count = sum(event[1] == 2 for event in run["events"])
    assert data["spikes"] == {"hidden": count} and data["target"] == "cpu"
    assert len(figures[-1].axes[0].collections[0].get_offsets()) == count


def test_raster_of_a_file(prepared, capsys, tmp_path, figures):
    draw(capsys, prepared, tmp_path / "figure.png", "--sample", "1", "--title", "mine", file="in.csv")
    points = figures[-1].axes[0].collections[0].get_offsets().tolist()
    lines = [line.split(",") for line in (prepared / "in.csv").read_text().splitlines()[1:]]
    assert sorted(points) == sorted([float(step), float(neuron)] for step, batch, neuron in lines if batch == "1")
    assert figures[-1].axes[0].get_title() == "mine"


def test_traces_have_threshold_spikes_and_decision(prepared, capsys, tmp_path, figures):
    arguments = ["--kind", "traces", "--spikes", prepared / "in.csv", "--neurons", "2,0", "--population", "hidden"]
    draw(capsys, prepared, tmp_path / "figure.png", *arguments)
    (ax,) = figures[-1].axes
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert labels == ["neuron 2", "neuron 0", "threshold", "spikes"]
    (threshold,) = [line for line in ax.lines if line.get_label() == "threshold"]
    assert threshold.get_ydata() == pytest.approx([0.05, 0.05])
    draw(capsys, prepared, tmp_path / "figure.png", "--kind", "traces", "--spikes", prepared / "in.csv")
    labels = [text.get_text() for text in figures[-1].axes[1].get_legend().get_texts()]
    assert labels[:3] == ["a", "b", "c"] and labels[3].startswith("decision: ")


def test_comparison_says_what_differs(prepared, capsys, tmp_path):
    arguments = ["--kind", "comparison", "--spikes", prepared / "in.csv"]
    ideal = draw(capsys, prepared, tmp_path / "a.png", *arguments, "--preset", "ideal")
    assert ideal["differences"]["hidden"]["differing"] == 0
    noisy = draw(capsys, prepared, tmp_path / "b.png", *arguments, "--seed", "2", "--population", "hidden")
    assert noisy["targets"][0] == "cpu" and "calibrated seed=2" in noisy["targets"][1]
    assert noisy["panels"] == ["hidden: spikes", "hidden: membranes"]


def test_execution_instances(capsys, tmp_path):
    model = torch.nn.Sequential(nn.Synapse(20, 600, name="in"), nn.LIF(600, name="hidden"))
    gradspike.save(model, tmp_path / "large.pt")
    data = draw(capsys, tmp_path, tmp_path / "figure.png", "--instance", "1", file="large.pt")
    count = data["instances"]
    assert count > 1 and data["panels"] == [f"large on the chip, execution instance 1 of {count}"]
    arguments = ["plot", tmp_path / "large.pt", "-o", tmp_path / "x.png", "--instance", "99"]
    require_one_line(capsys, arguments, "instance must lie in 0 to", "99")


def test_dots_per_inch(prepared, capsys, tmp_path):
    sizes = []
    for dpi in (50, 100):
        draw(capsys, prepared, tmp_path / "figure.png", "--dpi", dpi)
        sizes.append(matplotlib.image.imread(tmp_path / "figure.png").shape[:2])
    assert sizes[1] == (2 * sizes[0][0], 2 * sizes[0][1])


@pytest.mark.parametrize("suffix", BEGINS)
def test_the_same_figure_has_the_same_bytes(suffix, prepared, capsys, tmp_path):
    for name in ("a", "b"):
        draw(capsys, prepared, tmp_path / f"{name}{suffix}", "--kind", "report")
    assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_refusals(prepared, capsys, tmp_path):
    spikes = ["--spikes", prepared / "in.csv"]
    (tmp_path / "empty.csv").write_text("step,batch,neuron\n")
    (tmp_path / "old.json").write_text('{"format": "gradspike.report", "version": 1}')
    report = json.loads((prepared / "report.json").read_text())
    (tmp_path / "bare.json").write_text('{"format": "gradspike.report", "version": 3}')
    (tmp_path / "typed.json").write_text(json.dumps({**report, "time": {**report["time"], "dt": "1"}}))
    del report["projections"]["in"]["rounding"]
    (tmp_path / "cut.json").write_text(json.dumps(report))
    (tmp_path / "demo.json").write_text('{"format": "gradspike.example.yinyang", "version": 1}')
    (tmp_path / "text.json").write_text("{a")
    numpy.save(tmp_path / "flat.npy", numpy.zeros(3))
    cases = [
        ("net.pt", ["--kind", "pie"], ("--kind", "pie", "raster")),
        ("net.pt", ["-o", tmp_path / "x.gif"], ("--output must end in .png, .svg, .pdf", "x.gif")),
        ("net.pt", ["-o", tmp_path / "none" / "x.png"], ("none",)),
        ("net.pt", ["--kind", "raster"], ("--kind must be one of chip-map, weights, report", "without --spikes")),
        ("net.pt", ["--kind", "traces"], ("without --spikes", "'traces'")),
        ("in.csv", ["--kind", "weights"], ("--kind must be one of raster for spikes, got 'weights'",)),
        ("report.json", ["--kind", "raster"], ("--kind must be one of report for a report, got 'raster'",)),
        ("net.pt", [*spikes, "--sample", "4"], ("--sample must lie in 0 to 3, got 4",)),
        ("in.csv", ["--sample", "4"], ("batch must lie in 0 to 3, got 4",)),
        ("net.pt", [*spikes, "--population", "x"], ("--population must be one of hidden, got 'x'",)),
        ("net.pt", [*spikes, "--kind", "traces", "--population", "x"], ("hidden, readout, got 'x'",)),
        ("net.pt", [*spikes, "--kind", "traces", "--neurons", "9"], ("neuron must lie in 0 to 7, got 9",)),
        ("net.pt", [*spikes, "--neurons", "1,b"], ("--neurons", "'1,b'")),
        ("net.pt", ["--kind", "weights", "--projection", "x"], ("--projection must be one of in, out, got 'x'",)),
        ("net.pt", [*spikes, *spikes], ("--spikes must be given once per input, 1 times, got 2",)),
        ("net.pt", ["--spikes", tmp_path / "empty.csv"], ("--spikes must hold a spike",)),
        ("net.pt", [*spikes, "--kind", "comparison", "--target", "cpu"], ("--target must be cuda or a backend",)),
        ("net.json", [*spikes, "--kind", "comparison"], ("a network file holds no model",)),
        ("net.pt", [*spikes, "--target", "chip7"], ("chip7",)),
        ("net.pt", ["--dpi", "0"], ("--dpi", "'0'")),
        (tmp_path / "old.json", [], ("old.json' must be of version 3, got 1",)),
        (tmp_path / "bare.json", [], ("bare.json' is damaged: it lacks 'approximations'",)),
        (tmp_path / "cut.json", [], ("cut.json' is damaged: it lacks 'projections.in.rounding'",)),
        (tmp_path / "typed.json", [], ("typed.json' is damaged: 'time.dt' must be number",)),
        (tmp_path / "demo.json", [], ("demo.json'", "a report as --json", "format 'gradspike.example.yinyang'")),
        (tmp_path / "text.json", [], ("text.json' must be JSON",)),
        ("net.pt", [*spikes, "--target", "cpu", "--seed", "0"], ("--seed is for backends", "'cpu' is a device")),
        (tmp_path / "flat.npy", [], ("flat.npy' must be [time, batch, neuron], got [3]",)),
        (tmp_path / "none.pt", [], ("none.pt",)),
    ]
    for file, arguments, words in cases:
        require_one_line(capsys, ["plot", prepared / file, "-o", tmp_path / "x.png", *arguments], *words)


def test_missing_matplotlib_is_one_line(prepared, capsys, tmp_path, monkeypatch):
    for module in ("matplotlib", "matplotlib.figure", "matplotlib.backends.backend_agg"):
        monkeypatch.setitem(sys.modules, module, None)
    arguments = ["plot", prepared / "net.pt", "-o", tmp_path / "x.png"]
    require_one_line(capsys, arguments, "gradspike.plot needs matplotlib: install it with pip install matplotlib")
