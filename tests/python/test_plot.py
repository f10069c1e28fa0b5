import sys

import pytest
import torch

from gradspike import plot

pytest.importorskip("matplotlib")

MAPPING = {
    "populations": [{"name": "hidden", "circuits": list(range(120))}, {"name": "out", "circuits": [300, 301, 511]}],
    "rows": [
        {"hemisphere": 0, "row": 0, "mode": "excitatory", "columns": [0, 1, 2, 7]},
        {"hemisphere": 1, "row": 255, "mode": "inhibitory"},
    ],
}

FIGURES = {
    "spike_raster": lambda ax: plot.spike_raster((torch.rand(30, 2, 9) < 0.2).float(), ax, title="hidden"),
    "membrane_traces": lambda ax: plot.membrane_traces(torch.randn(30, 2, 3), ax, threshold=1.0, decision=True),
    "weight_histogram": lambda ax: plot.weight_histogram(torch.randn(20, 5), ax, scale=50.0),
    "learning_curve": lambda ax: plot.learning_curve({"float": [0.5, 0.9], "integer": [0.4, 0.8]}, ax),
    "chip_map": lambda ax: plot.chip_map(MAPPING, ax),
}


def new_axes():
    from matplotlib.figure import Figure

    return Figure().add_subplot()


@pytest.mark.parametrize("name", FIGURES)
def test_draws_a_labelled_figure(name, tmp_path):
    ax = FIGURES[name](None)
    assert ax.get_xlabel() and ax.get_ylabel()
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
    assert set(FIGURES) == set(plot.__all__)


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


def test_chip_map_draws_runs_as_one_patch():
    assert plot._runs([0, 1, 2, 7]) == [(0, 3), (7, 1)]


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
