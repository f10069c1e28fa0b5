"""Presets of frameworks: what a file means to the framework that wrote it; units that are implausible."""

import nir
import numpy as np
import pytest
import torch

import gradspike
from gradspike.nir import PRESETS, NIRImportError, analyse, from_nir, neuron_arguments, to_nir
from nir_graphs import DT, chain, cubali, cubalif, graph, lif, simulate, spikes, weight


def hxtorch_lif(x, tau_mem, tau_syn, capacitance, leak, reset, threshold, dt, refractory=0):
    """hxtorch's step in float64: v from the old current with dt / C, then the current plus the bare weight."""
    i, v = torch.zeros_like(x[0]), torch.full_like(x[0], leak)
    left = torch.zeros_like(x[0])
    out = torch.zeros_like(x)
    for t in range(x.shape[0]):
        v = v + dt / capacitance * (i + capacitance / tau_mem * (leak - v))
        i = i * (1 - dt / tau_syn) + x[t]
        z = ((v > threshold) & (left == 0)).double()
        v = torch.where((v > threshold) | (left > 0), torch.full_like(v, reset), v)
        left = torch.where(z > 0, torch.full_like(left, float(refractory)), (left - 1).clamp(min=0))
        out[t] = z if threshold < 1e9 else v
    return out


def uniform(n, **values):
    return {name: np.full(n, value) for name, value in values.items()}


def test_hxtorch():
    """Milliseconds, the bare weight, w_in ignored, capacitance tau_mem / r, 1 us refractory, LI with 10 us."""
    lif_node = nir.CubaLIF(
        **uniform(5, tau_syn=5e-3, tau_mem=8e-3, r=2.0, v_leak=0.1, v_threshold=1.0, v_reset=-0.2, w_in=3.0)
    )
    li_node = nir.CubaLI(**uniform(2, tau_syn=5e-3, tau_mem=8e-3, r=2.0, v_leak=0.1, w_in=1.0))
    first, second = weight(5, 4), weight(2, 5, 1)
    module, report = from_nir(
        chain(nir.Linear(first), lif_node, nir.Linear(second), li_node), preset="hxtorch", dtype=torch.float64
    )
    x = spikes(60, 2, 4)
    fired = hxtorch_lif(x @ torch.from_numpy(first).T, 8e-6, 5e-6, 4e-6, 0.1, -0.2, 1.0, 1e-6, 1)
    hidden = module.cubalif(module.linear(x))
    assert torch.equal(hidden, fired) and fired.mean() > 0.02
    membrane = hxtorch_lif(fired @ torch.from_numpy(second).T, 8e-6, 5e-6, 10e-6, 0.1, 0.0, 1e10, 1e-6)
    torch.testing.assert_close(module(x), membrane, rtol=1e-9, atol=1e-9)
    assert module.linear.scale == 64.0 and module.linear.rounding == "none"
    assert [text.split(" is not read")[0] for text in report.approximations if "not read" in text] == [
        "w_in of 'cubalif'",
        "r of 'cubali'",
    ]
    assert any("refractory time of 1e-06 s" in text for text in report.approximations)
    assert (
        from_nir(
            chain(nir.Linear(first), lif_node), preset="hxtorch", refractory_time=0.0
        ).module.cubalif.refractory_time
        == 0.0
    )


def test_a_model_exported_for_hxtorch_comes_back():
    model = torch.nn.Sequential(
        gradspike.nn.Synapse(4, 5, rounding="none"),
        gradspike.nn.LIF(5, tau_mem=8e-6, membrane_capacitance=4e-6, threshold=0.3),
    )
    made = to_nir(model, time_unit="ms", spike="jump")
    assert made.nodes["1"].w_in.tolist() == [1.0] * 5 and made.nodes["1"].r.tolist() == [2.0] * 5
    assert made.nodes["1"].tau_mem.tolist() == [8e-3] * 5
    x = spikes(40, 2, 4).float()
    assert torch.equal(from_nir(made, preset="hxtorch", refractory_time=0.0).module(x), model(x))


def test_snntorch():
    """alpha and beta are 1 - dt / tau, r = tau_mem / dt, and the threshold is divided by w_in * dt / tau_syn."""
    dt, tau_syn, tau_mem, w_in, threshold = 1e-4, 5e-4, 1e-3, 1.5, 0.8
    node = nir.CubaLIF(
        **uniform(
            5,
            tau_syn=tau_syn,
            tau_mem=tau_mem,
            r=tau_mem / dt,
            v_leak=0.0,
            v_threshold=threshold,
            v_reset=0.0,
            w_in=w_in,
        )
    )
    matrix = weight(5, 4)
    module, report = from_nir(chain(nir.Linear(matrix), node), preset="snntorch", dtype=torch.float64)
    x = spikes(60, 2, 4)
    arriving = x @ torch.from_numpy(matrix).T
    alpha, beta, scaled = 1 - dt / tau_syn, 1 - dt / tau_mem, threshold / (w_in * dt / tau_syn)
    syn, mem = torch.zeros_like(arriving[0]), torch.zeros_like(arriving[0])
    expected = torch.zeros_like(arriving)
    for t in range(60):
        before = syn
        syn = alpha * syn + arriving[t]
        mem = beta * mem + before  # its own step takes the new current: one step earlier, as the report says
        expected[t] = (mem > scaled).double()
        mem = torch.where(mem > scaled, torch.zeros_like(mem), mem)
    assert torch.equal(module(x), expected) and expected.mean() > 0.05
    assert any("one step earlier" in note for note in report.notes)


@pytest.mark.parametrize("preset", ["norse", "lava", "nengo", "spikingjelly"])
def test_frameworks_that_hold_spikes_in_seconds(preset):
    dt = PRESETS[preset].dt
    node = cubalif(5)
    scaled = nir.CubaLIF(
        node.tau_syn * dt / DT, node.tau_mem * dt / DT, node.r, node.v_leak, node.v_threshold, node.v_reset, node.w_in
    )
    module, _ = from_nir(chain(nir.Linear(weight(5, 4)), scaled), preset=preset, dtype=torch.float64)
    x = spikes(60, 2, 4)
    _, fired = simulate(scaled, x @ torch.from_numpy(weight(5, 4)).T, "held", "s", dt=dt)
    assert torch.equal(module(x), fired)


@pytest.mark.parametrize("preset", ["sinabs", "spyx", "rockpool"])
def test_frameworks_that_subtract_are_refused_unless_told(preset):
    node = cubalif(3, unit="s" if preset == "rockpool" else "steps") if preset != "sinabs" else lif(3, unit="steps")
    made = chain(nir.Linear(weight(3, 4)), node)
    options = {"preset": preset, "dt": DT, "lif": "instant_synapse"}
    with pytest.raises(NIRImportError) as error:
        from_nir(made, **options)
    assert [p.remedy.split(",")[0] for p in error.value.problems] == ["reset='value'"]
    module, _ = from_nir(made, **options, reset="value", dtype=torch.float64)
    x = spikes(60, 2, 4)
    for field in ("r", "w_in", "v_leak") if preset == "spyx" else ("r",) if preset == "sinabs" else ():
        setattr(node, field, np.full(3, 0.0 if field == "v_leak" else 1.0))
    unit = "s" if preset == "rockpool" else "steps"
    _, fired = simulate(node, x @ torch.from_numpy(weight(3, 4)).T, "jump", unit, exponential=preset != "spyx")
    assert torch.equal(module(x), fired)


def test_arguments_go_before_presets():
    made = chain(nir.Linear(weight(5, 4)), cubalif(5))
    _, report = from_nir(made, preset="snntorch", dt=1e-3)
    assert report.convention == {
        "preset": "snntorch",
        "dt": 1e-3,
        "time_unit": "s",
        "spike": "held",
        "reset": "value",
        "decay": "euler",
    }


def test_analysis_is_what_a_second_builder_needs():
    nodes = {
        "in": nir.Input(np.array([2, 2])),
        "f": nir.Flatten({"input": np.array([2, 2])}, 0),
        "w": nir.Linear(weight(3, 4)),
        "n": cubalif(3, unit="ms"),
        "v": nir.Linear(weight(3, 3)),
        "o": nir.Linear(weight(2, 3)),
        "li": cubali(2, unit="ms"),
        "out": nir.Output(np.array([2])),
    }
    edges = [("in", "f"), ("f", "w"), ("w", "n"), ("n", "v"), ("v", "n"), ("n", "o"), ("o", "li"), ("li", "out")]
    found = analyse(graph(nodes, edges), dt=DT, time_unit="ms")
    assert [(g.members, g.recurrent) for g in found.order] == [
        (("in",), False),
        (("n",), True),
        (("li",), False),
        (("out",), False),
    ]
    assert [(p.name, p.source, p.target, p.nodes) for p in found.projections] == [
        ("o", "n", "li", ("o",)),
        ("v", "n", "n", ("v",)),
        ("w", "in", "n", ("f", "w")),
        ("li->out", "li", "out", ()),
    ]
    assert found.units["in"].shape == (2, 2) and found.units["in"].size == 4
    np.testing.assert_allclose(found.units["n"].parameters["tau_mem"], nodes["n"].tau_mem * 1e-3, rtol=1e-15)
    arguments = neuron_arguments(found.units["n"], PRESETS["hxtorch"])
    np.testing.assert_allclose(arguments.membrane_capacitance, arguments.tau_mem / nodes["n"].r, rtol=1e-15)
    assert not found.problems and (arguments.sign == 1).all()
