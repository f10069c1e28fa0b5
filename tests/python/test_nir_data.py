"""NIR data both ways: no spike is lost without a warning that counts it."""

import nir
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from gradspike.nir import NIRWarning, from_nir, from_nir_data, to_nir_data
from nir_graphs import chain, cubalif, weight


def events(*rows, n_neurons=3, t_max=1.0, samples=1):
    """(sample, time, neuron) as EventData, filled up with -1."""
    width = max([sum(1 for r in rows if r[0] == s) for s in range(samples)], default=0)
    idx, time = np.full((samples, width), -1), np.full((samples, width), np.inf)
    for s in range(samples):
        for k, (_, t, n) in enumerate(r for r in rows if r[0] == s):
            idx[s, k], time[s, k] = n, t
    return nir.EventData(idx, time, n_neurons, t_max)


def of(entry, observable="spikes"):
    return nir.NIRGraphData({"a": nir.NIRNodeData({observable: entry})})


def test_times_are_rounded_to_the_nearest_step():
    """0.3 / 0.1 is below 3 in binary: truncation would be off by one, in the length too."""
    made = from_nir_data(of(events((0, 0.3, 1), (0, 0.26, 2), (0, 0.24, 0), t_max=0.7)), dt=0.1)["a"]
    assert made.shape == (7, 1, 3) and made.nonzero().tolist() == [[2, 0, 0], [3, 0, 1], [3, 0, 2]]


def test_several_events_of_a_step_are_a_count():
    entry = of(events((0, 0.5, 1), (0, 0.52, 1), (1, 0.1, 0), samples=2))
    assert from_nir_data(entry, dt=0.1)["a"][5, 0].tolist() == [0.0, 2.0, 0.0]
    with pytest.warns(NIRWarning, match=r"from_nir_data: 1 spike lost, 1 of node 'a'"):
        assert from_nir_data(entry, dt=0.1, binary=True)["a"].max() == 1.0


@pytest.mark.parametrize(
    "entry, options, lost",
    [
        (events((0, 0.5, 1), (0, 2.0, 1), (0, -1.0, 1)), {}, 2),
        (events((0, 0.5, 1), (0, np.nan, 1), (0, np.inf, 2)), {}, 2),
        (events((0, 0.5, 1), (0, 0.9, 1)), {"steps": 6}, 1),
        (nir.TimeGriddedData(np.ones((1, 4, 3), dtype=bool), 0.1), {"steps": 2}, 6),
    ],
)
def test_spikes_outside_are_counted(entry, options, lost):
    with pytest.warns(NIRWarning, match=rf"{lost} spikes? lost"):
        from_nir_data(of(entry), dt=0.1, **options)


def test_the_last_half_step_is_kept():
    assert from_nir_data(of(events((0, 0.97, 1))), dt=0.1)["a"].shape[0] == 11
    assert from_nir_data(of(events((0, 0.94, 1))), dt=0.1)["a"].shape[0] == 10


def test_a_grid_of_another_step_is_gridded_again():
    data = np.zeros((1, 8, 2), dtype=bool)
    data[0, [0, 1, 5], 0] = True
    made = from_nir_data(of(nir.TimeGriddedData(data, 0.05)), dt=0.1)["a"]
    assert made[:, 0, 0].tolist() == [2.0, 0.0, 1.0, 0.0] and made.sum() == 3


def test_traces_values_and_nested_data():
    trace = np.random.default_rng(1).normal(size=(2, 5, 3))
    data = of(nir.TimeGriddedData(trace, 1e-3), "voltages")
    assert np.allclose(from_nir_data(data, dt=1e-3, observable="voltages")["a"].numpy(), trace.transpose(1, 0, 2))
    with pytest.raises(ValueError, match=r"node 'a': a trace must be on a grid of dt = 0\.002 s, got 0\.001 s"):
        from_nir_data(data, dt=2e-3, observable="voltages")
    valued = nir.ValuedEventData(np.array([[0, 1]]), np.array([[0.0, 0.2]]), 2, 0.4, np.array([[3.0, 0.5]]))
    assert from_nir_data(of(valued), dt=0.1)["a"][:, 0].tolist() == [[3.0, 0.0], [0.0, 0.0], [0.0, 0.5], [0.0, 0.0]]
    nested = nir.NIRGraphData({"g": of(events((0, 0.1, 0)))})
    assert list(from_nir_data(nested, dt=0.1)) == ["g.a"]


@pytest.mark.parametrize("unit, per_second", [("s", 1.0), ("ms", 1e3), ("us", 1e6), ("steps", 1e6)])
def test_time_units(unit, per_second):
    spikes = (torch.rand(20, 3, 4) < 0.3).float()
    for as_events in (False, True):
        made = to_nir_data({"a": spikes}, dt=1e-6, time_unit=unit, events=as_events)
        entry = made.nodes["a"].observables["spikes"]
        assert entry.t_max == pytest.approx(20e-6 * per_second)
        assert torch.equal(from_nir_data(made, dt=1e-6, time_unit=unit)["a"], spikes)


@given(st.integers(0, 30), st.integers(1, 3), st.integers(1, 4), st.integers(0, 5), st.floats(1e-7, 1e-2))
def test_events_round_trip(steps, batch, neurons, seed, dt):
    spikes = torch.randint(0, 4, (steps, batch, neurons), generator=torch.Generator().manual_seed(seed)).float()
    assert torch.equal(from_nir_data(to_nir_data({"a": spikes}, dt=dt, events=True), dt=dt)["a"], spikes)


def test_counts_on_a_grid_of_truth_values_are_counted():
    spikes = torch.tensor([[[0.0, 3.0]], [[1.0, 2.0]]])
    with pytest.warns(NIRWarning, match=r"to_nir_data: 3 spikes lost, 3 of node 'a': events=True keeps them"):
        made = to_nir_data({"a": spikes}, dt=1e-6)
    assert made.nodes["a"].observables["spikes"].data.dtype == bool


def test_files_and_an_imported_module(tmp_path):
    module, report = from_nir(chain(nir.Linear(weight(3, 4)), cubalif(3)), dt=1e-3, time_unit="s")
    x = (torch.rand(30, 2, 4) < 0.3).float()
    nir.write_data(tmp_path / "x.nir", to_nir_data({"input": x}, dt=1e-3, events=True))
    tensors = from_nir_data(nir.read_data(tmp_path / "x.nir"), dt=1e-3)
    out = module(*(tensors[name] for name in report.inputs))
    assert torch.equal(out, module(x))
    made = to_nir_data({"cubalif": {"spikes": out.detach(), "voltages": torch.rand(30, 2, 3)}}, dt=1e-3)
    assert set(made.nodes["cubalif"].observables) == {"spikes", "voltages"}


BAD = {
    "dt": (lambda: from_nir_data(of(events()), dt=0.0), ValueError, "dt must be a number of seconds above 0"),
    "unit": (lambda: from_nir_data(of(events()), dt=1.0, time_unit="h"), ValueError, "time_unit must be one of"),
    "steps": (lambda: from_nir_data(of(events()), dt=1.0, steps=-1), ValueError, "steps must be a whole number"),
    "observable": (
        lambda: from_nir_data(of(events()), dt=1.0, observable="v"),
        ValueError,
        "no node has the observable 'v'",
    ),
    "type": (lambda: from_nir_data(3, dt=1.0), TypeError, r"data must be a nir\.NIRGraphData, got int"),
    "entry": (lambda: from_nir_data(of(3), dt=1.0), TypeError, "node 'a' has neither events nor a grid"),
    "neuron": (
        lambda: from_nir_data(of(events((0, 0.0, 7))), dt=1.0),
        ValueError,
        r"idx must lie in 0\.\.2, or be -1 for none, got 7",
    ),
    "negative": (lambda: from_nir_data(of(events((0, 0.0, -2))), dt=1.0), ValueError, "got -2"),
    "shape": (
        lambda: to_nir_data({"a": torch.zeros(3, 4)}, dt=1.0),
        ValueError,
        r"spikes of node 'a' must be a tensor \[time, batch, neuron\]",
    ),
    "fractions": (
        lambda: to_nir_data({"a": torch.full((1, 1, 1), 0.5)}, dt=1.0),
        ValueError,
        "must be whole numbers of at least 0",
    ),
    "nan": (
        lambda: to_nir_data({"a": torch.full((1, 1, 1), float("nan"))}, dt=1.0),
        ValueError,
        "must be whole numbers",
    ),
    "no tensor": (lambda: to_nir_data({"a": 3}, dt=1.0), ValueError, "got int"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_data(case):
    call, error, text = BAD[case]
    with pytest.raises(error, match=text):
        call()


def test_a_nir_without_data_is_said(monkeypatch):
    monkeypatch.delattr(nir, "NIRGraphData")
    with pytest.raises(ImportError, match=r"has no NIR data: pip install 'nir>=1\.0\.8'"):
        to_nir_data({}, dt=1.0)
