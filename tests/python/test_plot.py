import io
import sys

import pytest
import torch

from gradspike import chip, nn, plot
from gradspike.examples import yinyang_training
from gradspike.plot import _chip_map

pytest.importorskip("matplotlib")

MAPPING = {
    "populations": [{"name": "hidden", "circuits": list(range(120))}, {"name": "out", "circuits": [300, 301, 511]}],
    "rows": [
        {"hemisphere": 0, "row": 0, "mode": "excitatory", "columns": [0, 1, 2, 7]},
        {"hemisphere": 1, "row": 255, "mode": "inhibitory"},
    ],
}


def layer(neurons=8):
    torch.manual_seed(1)
    return torch.nn.Sequential(
        nn.Synapse(5, neurons, name="in", scale=40.0),
        nn.LIF(neurons, name="hidden", threshold=0.3),
        nn.Synapse(neurons, 3, name="out", scale=40.0),
        nn.LI(3, name="readout"),
    )


def spikes_of(steps=30, batch=2, neurons=5):
    return (torch.rand(steps, batch, neurons, generator=torch.Generator().manual_seed(2)) < 0.3).float()


@pytest.fixture(scope="module")
def runs():
    """A run of the operators and one of the calibrated emulator."""
    network = chip.read(layer(), network="plot")
    return network.run_model(spikes_of()), network.deploy("emulator", "calibrated", seed=1)(spikes_of(), membrane="*")


@pytest.fixture(scope="module")
def report():
    return chip.report(layer(), spikes_of(), torch.tensor([0, 2]), seeds=2)


def report_of(**changes):
    data = chip.check(layer()).data
    return {**data, **changes}


RUN = {
    "variants": [
        {"name": "float", "accuracies": [0.5], "accuracy": {"mean": 0.5}},
        {"name": "calibrated", "accuracies": [0.25, 0.75], "accuracy": {"mean": 0.5}},
    ]
}

FIGURES = {
    "spike_raster": lambda ax: plot.spike_raster((torch.rand(30, 2, 9) < 0.2).float(), ax, title="hidden"),
    "membrane_traces": lambda ax: plot.membrane_traces(torch.randn(30, 2, 3), ax, threshold=1.0, decision=True),
    "weight_histogram": lambda ax: plot.weight_histogram(torch.randn(20, 5), ax, scale=50.0),
    "learning_curve": lambda ax: plot.learning_curve({"float": [0.5, 0.9], "integer": [0.4, 0.8]}, ax),
    "chip_map": lambda ax: plot.chip_map(MAPPING, ax),
    "psp_overlay": lambda ax: plot.psp_overlay(torch.randn(30, 2, 3), spikes_of(), ax),
    "spike_comparison": lambda ax: plot.spike_comparison(spikes_of(), spikes_of().flip(0), ax),
    "trace_comparison": lambda ax: plot.trace_comparison(torch.randn(30, 2, 3), torch.randn(30, 2, 3), ax),
    "resource_usage": lambda ax: plot.resource_usage(report_of(), ax),
    "weight_losses": lambda ax: plot.weight_losses(report_of(), ax),
    "integer_histogram": lambda ax: plot.integer_histogram(report_of(), "in", ax),
    "accuracies": lambda ax: plot.accuracies(report_of(check_run=RUN), ax),
}
WHOLE = {"report_figure", "run_comparison"}  # give a Figure


def new_axes():
    from matplotlib.figure import Figure

    return Figure().add_subplot()


@pytest.mark.parametrize("name", FIGURES)
def test_draws_a_labelled_figure(name, tmp_path):
    ax = FIGURES[name](None)
    assert ax.get_xlabel() and (ax.get_ylabel() or ax.get_yticklabels()[0].get_text())
    assert len(ax.collections) + len(ax.lines) + len(ax.patches) > 0
    path = tmp_path / "figure.png"
    ax.figure.savefig(path)
    assert path.stat().st_size > 3000


@pytest.mark.parametrize("name", FIGURES)
def test_draws_into_given_axes(name):
    ax = new_axes()
    assert FIGURES[name](ax) is ax


@pytest.mark.parametrize("name", FIGURES)
def test_legend_covers_no_data(name):
    ax = FIGURES[name](None)
    ax.figure.canvas.draw()
    legend = ax.get_legend()
    if legend is not None:
        assert legend.get_window_extent().x0 >= ax.get_window_extent().x1


def test_all_functions_are_covered():
    assert set(FIGURES) | WHOLE == set(plot.__all__)


def test_raster_marks_every_spike():
    spikes = torch.zeros(10, 1, 4)
    spikes[3, 0, 2] = spikes[7, 0, 0] = 1.0
    points = plot.spike_raster(spikes, dt=2e-6).collections[0].get_offsets().tolist()
    assert points == [[6.0, 2.0], [14.0, 0.0]]


def test_decision_marks_the_largest_value():
    membrane = torch.zeros(5, 1, 3)
    membrane[2, 0, 1] = 4.0
    ax = plot.membrane_traces(membrane, decision=True)
    marked = ax.lines[-1]
    assert (marked.get_xdata()[0], marked.get_ydata()[0]) == (2.0, 4.0)
    assert marked.get_label() == "decision: neuron 1"


def test_histogram_counts_clipped_and_lost_weights():
    ax = plot.weight_histogram(torch.tensor([2.0, -2.0, 0.001, 0.5, float("nan")]), scale=64.0)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "clip: 2 of 4" in labels and "round to 0: 1" in labels
    assert sum(patch.get_height() for patch in ax.patches) == 4


def test_weight_histogram_leaves_out_what_overflows():
    ax = plot.weight_histogram(torch.tensor([1e37, -1e37, 2.0, 0.5, float("nan")]), scale=64.0)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert "clip: 1 of 2" in labels and "left out, not finite: 3" in labels
    assert sum(patch.get_height() for patch in ax.patches) == 2


def test_chip_map_draws_runs_as_one_patch():
    assert _chip_map._runs([0, 1, 2, 7]) == [(0, 3), (7, 1)]


@pytest.mark.parametrize(
    "mapping, message",
    [
        ({"populations": [{"name": "a", "circuits": [512]}]}, "circuit must lie in 0 to 511, got 512"),
        ({"rows": [{"hemisphere": 2, "row": 0}]}, "hemisphere must lie in 0 to 1, got 2"),
        ({"rows": [{"hemisphere": 0, "row": 256}]}, "row must lie in 0 to 255, got 256"),
        ({"rows": [{"hemisphere": 0, "row": 1, "mode": "x"}]}, "mode must be one of"),
    ],
)
def test_chip_map_errors(mapping, message):
    with pytest.raises(ValueError, match=message):
        plot.chip_map(mapping)


def test_shape_errors():
    with pytest.raises(ValueError, match="spike_raster: traces must have shape"):
        plot.spike_raster(torch.zeros(3))
    with pytest.raises(ValueError, match="membrane_traces: batch must lie in 0 to 1, got 2"):
        plot.membrane_traces(torch.zeros(3, 2, 1), batch=2)


def test_missing_matplotlib_is_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setitem(sys.modules, "matplotlib.backends.backend_agg", None)
    with pytest.raises(ImportError, match="gradspike.plot needs matplotlib: install it with pip install matplotlib"):
        plot.learning_curve({"a": [1.0]})


def test_no_figure_stays_behind():
    if "matplotlib.pyplot" in sys.modules:
        assert not sys.modules["matplotlib.pyplot"].get_fignums()
    plot.learning_curve({"a": [1.0]})
    assert "matplotlib.pyplot" not in sys.modules or not sys.modules["matplotlib.pyplot"].get_fignums()


# ---- placement -------------------------------------------------------------------------------------------------------


def test_chip_map_shows_the_mapping():
    mapping = chip.read(yinyang_training.YinYangNetwork(), network="yinyang").map()
    shown = _chip_map._as_drawn(mapping.instances[0])
    circuits = {population["name"]: population["circuits"] for population in shown["populations"]}
    assert {name: len(set(used)) for name, used in circuits.items()} == {"hidden": 120, "readout": 3}
    assert sum(len(row["columns"]) for row in shown["rows"]) == len(mapping.data["synapses"])
    assert {row["mode"] for row in shown["rows"]} == {"excitatory", "inhibitory"}
    ax = plot.chip_map(mapping)
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    assert legend == ["hidden (120 circuits)", "readout (3 circuits)", "excitatory row", "inhibitory row"]


def test_chip_map_shows_one_of_several_instances():
    mapping = chip.read(torch.nn.Sequential(nn.Synapse(20, 600, name="in"), nn.LIF(600, name="hidden"))).map()
    assert len(mapping.instances) > 1
    names = [plot.chip_map(mapping, instance=k).get_legend().get_texts()[0].get_text() for k in (0, 1)]
    assert names[0] != names[1] and all(name.startswith("hidden[") for name in names)
    with pytest.raises(ValueError, match=r"chip_map: instance must lie in 0 to \d, got 9"):
        plot.chip_map(mapping, instance=9)


# ---- notebooks -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", FIGURES)
def test_figure_of_new_axes_shows_itself(name):
    """Where pyplot was never used nobody has taught a notebook to show figures."""
    image, about = FIGURES[name](None).figure._repr_png_()
    assert image.startswith(b"\x89PNG\r\n") and len(image) > 3000
    assert 700 <= about["width"] <= 900


def test_notebook_shows_a_chip_map_without_pyplot():
    formatters = pytest.importorskip("IPython.core.formatters")
    data, metadata = formatters.DisplayFormatter().format(plot.chip_map(MAPPING).figure)
    assert data["image/png"] and metadata["image/png"]["width"] == 900


# ---- traces ----------------------------------------------------------------------------------------------------------


def lines_of(ax, label):
    return [line for line in ax.lines if line.get_label() == label]


def test_threshold_is_a_line_or_a_band():
    ax = plot.membrane_traces(torch.zeros(4, 2), threshold=0.7)
    assert lines_of(ax, "threshold")[0].get_ydata() == [0.7, 0.7]
    ax = plot.membrane_traces(torch.zeros(4, 2), threshold=(0.5, 0.5))
    assert lines_of(ax, "threshold")[0].get_ydata() == [0.5, 0.5]
    ax = plot.membrane_traces(torch.zeros(4, 2), threshold=[0.5, 0.9])
    (band,) = ax.patches
    assert band.get_label() == "thresholds" and (band.get_y(), band.get_height()) == (0.5, pytest.approx(0.4))


def test_spikes_are_marked_above_the_traces():
    membrane, spikes = torch.randn(9, 1, 3), torch.zeros(9, 1, 3)
    spikes[4, 0, 2] = spikes[7, 0, 2] = spikes[1, 0, 0] = 1.0
    ax = plot.membrane_traces(membrane, neurons=[2, 0], spikes=spikes, dt=2e-6)
    rows = [line for line in ax.lines if line.get_marker() == "|" and len(line.get_xdata())]
    assert [row.get_xdata().tolist() for row in rows] == [[8.0, 14.0], [2.0]]
    assert all(min(row.get_ydata()) > membrane.max() for row in rows)
    with pytest.raises(ValueError, match="membrane_traces: spikes must have the shape of membrane"):
        plot.membrane_traces(membrane, spikes=spikes[:5])


def test_psp_is_aligned_at_the_spike_and_starts_at_zero():
    spikes = torch.zeros(100, 2, 2)
    spikes[10, 0, 0] = spikes[50, 1, 0] = spikes[60, 0, 1] = 1.0
    membrane = nn.LI(3)(nn.Synapse(2, 3, scale=30.0)(spikes)).detach() + 0.5
    ax = plot.psp_overlay(membrane, spikes, sources=[0], neurons=[1], before=3, after=20, dt=2e-6)
    mean = lines_of(ax, "neuron 1 (2 windows)")[0]
    assert mean.get_xdata()[[0, -1]].tolist() == [-6.0, 40.0]
    expected = (membrane[7:31, 0, 1] + membrane[47:71, 1, 1]) / 2 - 0.5
    assert torch.allclose(torch.tensor(mean.get_ydata()), expected, atol=1e-6)
    assert mean.get_ydata()[3] == 0.0


@pytest.mark.parametrize(
    "by, labels",
    [
        ("neuron", ["neuron 0 (3 windows)", "neuron 1 (3 windows)"]),
        ("source", ["source 0 (4 windows)", "source 1 (2 windows)"]),
        ("batch", ["batch 0 (4 windows)", "batch 1 (2 windows)"]),
    ],
)
def test_psp_groups(by, labels):
    spikes = torch.zeros(30, 2, 2)
    spikes[2, 0, 0] = spikes[9, 1, 0] = spikes[20, 0, 1] = 1.0
    ax = plot.psp_overlay(torch.randn(30, 2, 2), spikes, by=by)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == [*labels, "input spike"]


def test_psp_windows_are_cut_at_the_ends_of_the_record():
    spikes = torch.zeros(6, 1)
    spikes[1] = 1.0
    ax = plot.psp_overlay(torch.arange(6.0).unsqueeze(1), spikes, before=3, after=9, baseline=False)
    values = torch.tensor(lines_of(ax, "neuron 0 (1 window)")[0].get_ydata())
    assert values.isnan().tolist() == [True] * 2 + [False] * 6 + [True] * 5
    assert values[2:8].tolist() == [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"by": "weight"}, "by must be one of neuron, source, batch, got 'weight'"),
        ({"before": -1}, "before must be at least 0 and after at least 1, got before=-1 and after=40"),
        ({"sources": [2]}, "psp_overlay: sources: neuron must lie in 0 to 1, got 2"),
        ({"sources": [1]}, "spikes must hold a spike of a source that is shown, got none"),
        ({"neurons": [3]}, "neuron must lie in 0 to 2, got 3"),
    ],
)
def test_psp_errors(options, message):
    spikes = torch.zeros(30, 1, 2)
    spikes[3, 0, 0] = 1.0
    with pytest.raises(ValueError, match=message):
        plot.psp_overlay(torch.zeros(30, 1, 3), spikes, **options)
    with pytest.raises(ValueError, match="spikes must have time and batch of membrane"):
        plot.psp_overlay(torch.zeros(29, 1, 3), spikes)


# ---- two runs --------------------------------------------------------------------------------------------------------


def points(ax, label):
    (found,) = [part for part in ax.collections if str(part.get_label()).replace("\n", " ").startswith(label)]
    return sorted(map(tuple, found.get_offsets().tolist()))


def test_spike_comparison_sorts_every_spike():
    first, second = torch.zeros(10, 2, 4), torch.zeros(10, 2, 4)
    first[2, 1, 3] = second[2, 1, 3] = first[5, 1, 0] = second[6, 1, 0] = 1.0
    first[8, 1, 1], second[8, 1, 1] = 1.0, 3.0
    ax = plot.spike_comparison(first, second, batch=1, labels=("model", "chip"))
    assert points(ax, "in both: 2") == [(2.0, 3.0), (8.0, 1.0)]
    assert points(ax, "model only: 1") == [(5.0, 0.0)]
    assert points(ax, "chip only: 3") == [(6.0, 0.0), (8.0, 1.0)]
    assert lines_of(ax, "first difference: 5 µs")[0].get_xdata() == [5.0, 5.0]
    same = plot.spike_comparison(first, first)
    assert not [line for line in same.lines if "difference" in line.get_label()]


def test_trace_comparison_names_the_largest_difference():
    first = torch.zeros(10, 1, 3)
    second = first.clone()
    second[3, 0, 2], second[7, 0, 1] = 0.5, -0.25
    ax = plot.trace_comparison(first, second, dt=2e-6)
    assert lines_of(ax, "largest difference: 0.5,\nneuron 2, 6 µs")[0].get_xdata() == [6.0, 6.0]
    ax = plot.trace_comparison(first, second, neurons=[1])
    assert lines_of(ax, "largest difference: 0.25,\nneuron 1, 7 µs")
    assert lines_of(plot.trace_comparison(first, second, neurons=[0]), "no difference")


def test_run_comparison_draws_each_population(runs):
    figure = plot.run_comparison(*runs)
    assert [ax.get_title() for ax in figure.axes] == ["hidden: spikes", "readout: membranes"]
    both = plot.run_comparison(*runs, "hidden", threshold=0.3, labels=("model", "emulator"), title="two runs")
    assert [ax.get_title() for ax in both.axes] == ["hidden: spikes", "hidden: membranes"]
    assert lines_of(both.axes[1], "threshold") and both._suptitle.get_text() == "two runs"
    spikes = [run.spikes["hidden"][:, 0] for run in runs]
    assert len(points(both.axes[0], "in both")) == int((spikes[0] * spikes[1]).sum())
    with pytest.raises(ValueError, match="population must be one that both runs recorded, hidden, readout, got 'x'"):
        plot.run_comparison(*runs, "x")


def test_runs_of_other_shapes_are_refused():
    for function in (plot.spike_comparison, plot.trace_comparison):
        with pytest.raises(ValueError, match=r"second must have the shape of first, \[3, 1, 2\], got \[4, 1, 2\]"):
            function(torch.zeros(3, 1, 2), torch.zeros(4, 1, 2))


# ---- reports ---------------------------------------------------------------------------------------------------------


def test_resources_are_those_of_the_report(report):
    ax = plot.resource_usage(report)
    names = [label.get_text() for label in ax.get_yticklabels()]
    wide = {entry["quantity"]: entry for entry in report.data["resources"] if not entry["layer"]}
    assert names and "neuron circuits" in names and not any("OnDLS" in name for name in names)
    for name, bar in zip(names, ax.patches):
        assert bar.get_width() == pytest.approx(100.0 * wide[name]["used"] / wide[name]["limit"])
    of_layer = plot.resource_usage(report, layer="hidden")
    assert "synapses" in [label.get_text() for label in of_layer.get_yticklabels()]
    with pytest.raises(ValueError, match="layer must be one of the report, hidden, readout, got 'x'"):
        plot.resource_usage(report, layer="x")


def test_bars_beyond_a_limit_stay_in_the_picture():
    ax = plot.resource_usage(chip.check(torch.nn.Sequential(nn.Synapse(9, 2000), nn.LIF(2000))))
    widest = max(bar.get_width() for bar in ax.patches)
    assert widest > 300 and ax.get_xlim()[1] > widest
    assert ax.patches[0].get_facecolor() != plot.resource_usage(chip.check(layer())).patches[0].get_facecolor()


def test_losses_are_those_of_the_report(report):
    ax = plot.weight_losses(report)
    losses = [entry[kind] / entry["count"] for entry in report.data["weights"].values()
              for kind in ("clipped", "rounded_to_zero")]  # fmt: skip
    assert [bar.get_width() for bar in ax.patches] == pytest.approx([100.0 * share for share in losses])
    with pytest.raises(ValueError, match="report must be one of a model with weights"):
        plot.weight_losses(report_of(weights={}))


def test_integers_are_those_of_the_network(report):
    q = chip.read(layer()).integers()["in"]
    heights = {round(bar.get_x() + bar.get_width() / 2): bar.get_height()
               for bar in plot.integer_histogram(report, "in").patches}  # fmt: skip
    assert heights == {k: int((q == k).sum()) for k in range(-63, 64)}
    with pytest.raises(ValueError, match="projection must be one of in, out, got 'x'"):
        plot.integer_histogram(report, "x")
    projections = {"in": {**report.data["projections"]["in"], "histogram": None}}
    with pytest.raises(ValueError, match="projection 'in' must have weights that are numbers"):
        plot.integer_histogram(report_of(projections=projections), "in")


def test_accuracies_are_those_of_the_report(report):
    ax = plot.accuracies(report)
    variants = report.data["check_run"]["variants"]
    assert [label.get_text() for label in ax.get_yticklabels()] == [variant["name"] for variant in variants]
    drawn = [part.get_offsets()[:, 0].tolist() for part in ax.collections]
    assert drawn == [pytest.approx(variant["accuracies"]) for variant in variants]
    with pytest.raises(ValueError, match="report must be one of gradspike.chip.report with labels"):
        plot.accuracies(report_of())


def test_report_figure_holds_every_part(report):
    titles = [ax.get_title().split(":")[0] for ax in plot.report_figure(report).axes]
    assert titles == ["resources of the chip", "losses of the weights", "accuracy", "in", "out"]
    assert plot.report_figure(report, title="mine")._suptitle.get_text() == "mine"
    titles = [ax.get_title().split(":")[0] for ax in plot.report_figure(report_of(weights={})).axes]
    assert titles == ["resources of the chip", "in", "out"]


def test_texts_are_inside_the_picture(report):
    for figure in (plot.report_figure(report), plot.resource_usage(report).figure):
        image = io.BytesIO()
        figure.savefig(image, format="png")
        width = figure.get_window_extent().width
        for ax in figure.axes:
            for text in [*ax.texts, *ax.get_yticklabels()]:
                box = text.get_window_extent()
                assert box.x0 >= 0 and box.x1 <= width, text.get_text()


@pytest.mark.parametrize("name", ["_hidden", "$\\frac$", "a$b$c", "x\ny", " "])
def test_names_are_shown_as_they_are(name, tmp_path):
    """No mathematics where a name holds dollars, and no legend entry lost to an underscore."""
    model = torch.nn.Sequential(nn.Synapse(5, 8, name=name, scale=16.0), nn.LIF(8, name=name))
    network = chip.read(model, network="names")
    run = network.run_model(spikes_of())
    labels = (name, name)
    axes = [
        plot.chip_map(network.map(), title=name),
        plot.integer_histogram(network.check(), name),
        plot.learning_curve({name: [1.0]}, title=name),
        plot.membrane_traces(run.membrane[name], neurons=[0], labels=[name], title=name),
        plot.spike_comparison(run.spikes[name], run.spikes[name], labels=labels),
        plot.trace_comparison(run.membrane[name], run.membrane[name], labels=labels),
    ]
    figures = [ax.figure for ax in axes] + [plot.report_figure(network.check()), plot.run_comparison(run, run, name)]
    for figure in figures:
        figure.savefig(tmp_path / "figure.png")
    for ax in (axes[0], axes[2], axes[3]):
        assert name in ax.get_legend().get_texts()[0].get_text()
