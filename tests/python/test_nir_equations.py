"""Imported neurons against the equations of NIR, stepped in float64, for each node type, unit and spike convention."""

import nir
import numpy as np
import pytest
import torch

import gradspike.nir
from nir_graphs import (
    DT,
    UNITS,
    chain,
    cubali,
    cubalif,
    graph,
    integrate_and_fire,
    integrator,
    li,
    lif,
    simulate,
    spikes,
    weight,
)

MAKERS = {"CubaLIF": cubalif, "CubaLI": cubali, "LIF": lif, "LI": li, "IF": integrate_and_fire, "I": integrator}


@pytest.mark.parametrize("unit", ["s", "ms", "us", "steps"])
@pytest.mark.parametrize("spike", ["held", "dirac", "jump"])
@pytest.mark.parametrize("kind", MAKERS)
def test_every_neuron_follows_its_equation(kind, spike, unit):
    node = MAKERS[kind](7, unit=unit)
    size = 1.0 if spike == "held" else 0.3  # so that some neurons spike, and not all the time
    if spike == "dirac" or (spike == "jump" and kind in ("IF", "I")):
        size = DT / UNITS[unit]
    matrix = weight(7, 5, size=size)
    module, report = gradspike.nir.from_nir(
        chain(nir.Linear(matrix), node), dt=DT, time_unit=unit, spike=spike, lif="instant_synapse", dtype=torch.float64
    )
    x = spikes(60, 3, 5)
    membrane, fired = simulate(node, x @ torch.from_numpy(matrix).T, spike, unit)
    layer = getattr(module, report.module_of(kind.lower()))
    traces = layer.traces(getattr(module, report.module_of("linear"))(x))
    torch.testing.assert_close(traces.membrane, membrane, rtol=1e-9, atol=1e-9)
    if hasattr(node, "v_threshold"):
        assert torch.equal(module(x), fired) and 0.01 < fired.mean() < 0.9
    else:
        assert torch.equal(module(x), traces.membrane)


@pytest.mark.parametrize("kind", ["CubaLIF", "CubaLI", "LIF", "LI"])
def test_exponential_decay_is_the_exact_one(kind):
    node = MAKERS[kind](6)
    matrix = weight(6, 5)
    module, _ = gradspike.nir.from_nir(
        chain(nir.Linear(matrix), node),
        dt=DT,
        time_unit="s",
        decay="exponential",
        lif="instant_synapse",
        dtype=torch.float64,
    )
    x = spikes(60, 2, 5)
    membrane, _ = simulate(node, x @ torch.from_numpy(matrix).T, "held", "s", exponential=True)
    layer = getattr(module, kind.lower())
    torch.testing.assert_close(layer.traces(module.linear(x)).membrane, membrane, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("kind", MAKERS)
def test_the_same_value_for_all_neurons_is_a_number(kind):
    node = MAKERS[kind](4)
    for field in vars(node):
        if isinstance(getattr(node, field), np.ndarray) and field not in ("input_type", "output_type"):
            setattr(node, field, np.full(4, getattr(node, field)[0]))
    module, _ = gradspike.nir.from_nir(
        chain(nir.Linear(weight(4, 3)), node), dt=DT, time_unit="s", lif="instant_synapse"
    )
    layer = getattr(module, "if_" if kind == "IF" else kind.lower())
    assert not list(layer.buffers()) and not list(layer.parameters())
    x = spikes(50, 2, 3)
    membrane, _ = simulate(node, x @ torch.from_numpy(weight(4, 3)).T, "held", "s")
    torch.testing.assert_close(layer.traces(module.linear(x.float())).membrane.double(), membrane, rtol=1e-4, atol=1e-4)


def test_negative_and_zero_gains_move_into_the_weights():
    node = cubalif(4, r=np.array([1.0, -1.0, 0.0, 2.0]), w_in=np.array([3.0, 3.0, 3.0, -2.0]))
    matrix = weight(4, 5)
    module, report = gradspike.nir.from_nir(chain(nir.Linear(matrix), node), dt=DT, time_unit="s", dtype=torch.float64)
    x = spikes(50, 2, 5)
    membrane, fired = simulate(node, x @ torch.from_numpy(matrix).T, "held", "s")
    torch.testing.assert_close(module.cubalif.traces(module.linear(x)).membrane, membrane, rtol=1e-9, atol=1e-9)
    assert torch.equal(module(x), fired) and report.exact


def test_several_inputs_sums_and_outputs():
    nodes = {
        "x10": nir.Input(np.array([3])),
        "x2": nir.Input(np.array([4])),
        "a": nir.Linear(weight(5, 4)),
        "b": nir.Linear(weight(5, 3, 1)),
        "hidden": cubalif(5),
        "c": nir.Linear(weight(2, 5, 2)),
        "read": cubali(2),
        "spikes": nir.Output(np.array([5])),
        "membrane": nir.Output(np.array([2])),
    }
    edges = [
        ("read", "membrane"),
        ("c", "read"),
        ("hidden", "c"),
        ("hidden", "spikes"),
        ("b", "hidden"),
        ("a", "hidden"),
        ("x2", "a"),
        ("x10", "b"),
    ]
    module, report = gradspike.nir.from_nir(graph(nodes, edges), dt=DT, time_unit="s", dtype=torch.float64)
    assert report.inputs == ["x2", "x10"] and report.outputs == ["membrane", "spikes"]
    x, y = spikes(40, 2, 4), spikes(40, 2, 3, 1)
    arriving = x @ torch.from_numpy(nodes["a"].weight).T + y @ torch.from_numpy(nodes["b"].weight).T
    _, fired = simulate(nodes["hidden"], arriving, "held", "s")
    voltage, _ = simulate(nodes["read"], fired @ torch.from_numpy(nodes["c"].weight).T, "held", "s")
    membrane, out = module(x, y)
    assert torch.equal(out, fired)
    torch.testing.assert_close(membrane, voltage, rtol=1e-9, atol=1e-9)
    swapped, _ = gradspike.nir.from_nir(
        graph(nodes, edges),
        dt=DT,
        time_unit="s",
        dtype=torch.float64,
        inputs=["x10", "x2"],
        outputs=["spikes", "membrane"],
    )
    assert torch.equal(swapped(y, x)[0], out)


def recurrent_reference(node, arriving, matrix):
    """Spikes of one step come back in the next."""
    fired = torch.zeros_like(arriving)
    state = {"current": 0.0, "v": torch.from_numpy(node.v_leak) + torch.zeros_like(arriving[0])}
    t = {
        name: torch.from_numpy(getattr(node, name))
        for name in ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in")
    }
    before = torch.zeros_like(arriving[0])
    for step in range(arriving.shape[0]):
        v = state["v"] + DT / t["tau_mem"] * (t["v_leak"] - state["v"] + t["r"] * state["current"])
        total = arriving[step] + before @ matrix.T
        state["current"] = state["current"] * (1 - DT / t["tau_syn"]) + t["w_in"] * DT / t["tau_syn"] * total
        before = (v > t["v_threshold"]).double()
        state["v"] = torch.where(before > 0, t["v_reset"], v)
        fired[step] = before
    return fired


def test_a_loop_through_one_weight():
    nodes = {
        "input": nir.Input(np.array([4])),
        "in": nir.Linear(weight(6, 4)),
        "lif": cubalif(6),
        "rec": nir.Linear(weight(6, 6, 1)),
        "output": nir.Output(np.array([6])),
    }
    edges = [("lif", "rec"), ("rec", "lif"), ("lif", "output"), ("in", "lif"), ("input", "in")]
    module, report = gradspike.nir.from_nir(graph(nodes, edges), dt=DT, time_unit="s", dtype=torch.float64)
    x = spikes(60, 3, 4)
    expected = recurrent_reference(
        nodes["lif"], x @ torch.from_numpy(nodes["in"].weight).T, torch.from_numpy(nodes["rec"].weight)
    )
    assert torch.equal(module(x), expected) and expected.mean() > 0.02
    assert report.module_of("rec") == report.module_of("lif") == "lif"
    assert isinstance(module.lif, gradspike.nn.RecurrentLIF) and module.lif.mask is None


def test_a_loop_through_two_populations_is_one_layer_with_masks():
    nodes = {
        "x": nir.Input(np.array([4])),
        "in": nir.Linear(weight(3, 4)),
        "a": cubalif(3),
        "ab": nir.Linear(weight(2, 3, 1)),
        "b": cubalif(2, 7),
        "ba": nir.Linear(weight(3, 2, 2)),
        "out": nir.Output(np.array([2])),
    }
    edges = [("x", "in"), ("in", "a"), ("a", "ab"), ("ab", "b"), ("b", "ba"), ("ba", "a"), ("b", "out")]
    module, _ = gradspike.nir.from_nir(graph(nodes, edges), dt=DT, time_unit="s", dtype=torch.float64)
    layer = module.a_b
    assert layer.mask.int().tolist() == [[0, 0, 0, 1, 1]] * 3 + [[1, 1, 1, 0, 0]] * 2
    assert layer.input_mask.int().tolist() == [[1] * 4] * 3 + [[0] * 4] * 2
    joined = cubalif(
        5,
        **{
            name: np.concatenate([getattr(nodes["a"], name), getattr(nodes["b"], name)])
            for name in ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold", "v_reset", "w_in")
        },
    )
    matrix = torch.zeros(5, 5, dtype=torch.float64)
    matrix[:3, 3:], matrix[3:, :3] = torch.from_numpy(nodes["ba"].weight), torch.from_numpy(nodes["ab"].weight)
    x = spikes(60, 3, 4)
    arriving = torch.zeros(60, 3, 5, dtype=torch.float64)
    arriving[..., :3] = x @ torch.from_numpy(nodes["in"].weight).T
    expected = recurrent_reference(joined, arriving, matrix)
    assert torch.equal(module(x), expected[..., 3:]) and expected.mean() > 0.02
    (module(x).sum() + layer.traces(x).membrane.sum()).backward()
    assert not layer.input_weight.grad[~layer.input_mask].any() and not layer.recurrent_weight.grad[~layer.mask].any()


def test_chains_of_linear_nodes_are_one_weight():
    scale, second = np.array([0.5, 2.0, -1.0]), np.array([1.0, 3.0])
    nodes = (
        nir.Scale(np.array([1.0, 0.5, 2.0, 1.0])),
        nir.Linear(weight(3, 4)),
        nir.Scale(scale),
        nir.Linear(weight(2, 3, 1)),
        nir.Scale(second),
        cubalif(2),
    )
    module, report = gradspike.nir.from_nir(chain(*nodes), dt=DT, time_unit="s", dtype=torch.float64)
    matrix = np.diag(second) @ nodes[3].weight @ np.diag(scale) @ nodes[1].weight @ np.diag(nodes[0].scale)
    x = spikes(40, 2, 4)
    _, fired = simulate(nodes[-1], x @ torch.from_numpy(matrix).T, "held", "s")
    assert torch.equal(module(x), fired)
    assert {n.status for n in report.nodes if n.type in ("Linear", "Scale")} == {"folded"}


def test_neurons_without_a_weight_before_them():
    node = cubalif(3, w_in=np.full(3, 12.0))
    module, report = gradspike.nir.from_nir(
        chain(nir.Flatten({"input": np.array([1, 3])}, 0), node), dt=DT, time_unit="s"
    )
    x = spikes(50, 2, 3, rate=0.5)
    _, fired = simulate(node, x, "held", "s")
    assert torch.equal(module(x.float()).double(), fired) and fired.mean() > 0.03
    assert not any(p.requires_grad for p in module.parameters())
    assert "flattened from [1, 3]" in str(report)


def test_delays_of_inputs_and_inside():
    nodes = (
        nir.Delay(np.array([2e-3, 0.0, 1e-3])),
        nir.Linear(weight(2, 3)),
        cubalif(2),
        nir.Delay(np.array([3e-3, 3e-3])),
        nir.Linear(weight(2, 2, 1)),
        cubali(2),
    )
    module, report = gradspike.nir.from_nir(chain(*nodes), dt=DT, time_unit="s", dtype=torch.float64)
    x = spikes(40, 2, 3)
    shifted = torch.stack(
        [torch.cat([torch.zeros(d, 2, dtype=torch.float64), x[: 40 - d, :, k]]) for k, d in enumerate((2, 0, 1))], -1
    )
    _, fired = simulate(nodes[2], shifted @ torch.from_numpy(nodes[1].weight).T, "held", "s")
    late = torch.cat([torch.zeros(3, 2, 2, dtype=torch.float64), fired[:-3]])
    membrane, _ = simulate(nodes[5], late @ torch.from_numpy(nodes[4].weight).T, "held", "s")
    torch.testing.assert_close(module(x), membrane, rtol=1e-9, atol=1e-9)
    assert report.not_for_chip == ["the delay behind 'cubalif'"]


@pytest.mark.parametrize("after", ["Input", "CubaLI"])
def test_thresholds(after):
    threshold = nir.Threshold(np.array([0.2, 0.5, 0.1]))
    first = [] if after == "Input" else [nir.Linear(weight(3, 3)), cubali(3)]
    module, report = gradspike.nir.from_nir(
        chain(*first, threshold, nir.Linear(weight(2, 3, 1)), cubalif(2)), dt=DT, time_unit="s", dtype=torch.float64
    )
    x = torch.rand(40, 2, 3, dtype=torch.float64)
    signal = simulate(first[1], x @ torch.from_numpy(first[0].weight).T, "held", "s")[0] if first else x
    encoded = (signal > torch.from_numpy(threshold.threshold)).double()
    last = cubalif(2)
    _, fired = simulate(last, encoded @ torch.from_numpy(weight(2, 3, 1)).T, "held", "s")
    assert torch.equal(module(x), fired)
    assert bool(report.not_for_chip) == bool(first)


@pytest.mark.parametrize("spike", ["held", "dirac", "jump"])
def test_a_bias_as_a_shift_of_the_leak_is_right_in_the_steady_state(spike):
    node, bias = cubali(4), np.array([0.3, -0.2, 0.0, 0.1])
    module, report = gradspike.nir.from_nir(
        chain(nir.Affine(weight(4, 3), bias), node), dt=DT, time_unit="s", spike=spike, bias="leak", dtype=torch.float64
    )
    end = module(torch.zeros(400, 1, 3, dtype=torch.float64))[-1, 0]
    constant = torch.from_numpy(bias).expand(400, 1, 4)
    # a constant is a signal that is held, also where spikes are pulses
    membrane, _ = simulate(node, constant, "held" if spike == "dirac" else spike, "s")
    torch.testing.assert_close(end, membrane[-1, 0], rtol=1e-6, atol=1e-8)
    assert not report.exact and "bias='leak'" in report.approximations[0]


@pytest.mark.parametrize("spike", ["held", "jump"])
def test_a_bias_that_is_added_is_exact(spike):
    node, bias = cubalif(4), np.array([0.3, -0.2, 0.0, 0.1])
    module, report = gradspike.nir.from_nir(
        chain(nir.Affine(weight(4, 3, size=0.3), bias), node),
        dt=DT,
        time_unit="s",
        spike=spike,
        bias="add",
        dtype=torch.float64,
    )
    x = spikes(50, 2, 3)
    arriving = x @ torch.from_numpy(weight(4, 3, size=0.3)).T + torch.from_numpy(bias)
    _, fired = simulate(node, arriving, spike, "s")
    assert torch.equal(module(x), fired) and report.exact and report.not_for_chip


def test_nested_graphs_and_names_with_dots():
    inner = nir.NIRGraph(
        {
            "in": nir.Input(np.array([3])),
            "w.1": nir.Linear(weight(2, 3)),
            "lif.lif": cubalif(2),
            "out": nir.Output(np.array([2])),
        },
        [("in", "w.1"), ("w.1", "lif.lif"), ("lif.lif", "out")],
    )
    nodes = {
        "0": nir.Input(np.array([3])),
        "block.a": inner,
        "class": nir.Linear(weight(2, 2, 1)),
        "1": cubali(2),
        "2": nir.Output(np.array([2])),
    }
    edges = [("0", "block.a"), ("block.a", "class"), ("class", "1"), ("1", "2")]
    module, report = gradspike.nir.from_nir(graph(nodes, edges), dt=DT, time_unit="s", dtype=torch.float64)
    x = spikes(40, 2, 3)
    _, fired = simulate(inner.nodes["lif.lif"], x @ torch.from_numpy(weight(2, 3)).T, "held", "s")
    membrane, _ = simulate(nodes["1"], fired @ torch.from_numpy(weight(2, 2, 1)).T, "held", "s")
    torch.testing.assert_close(module(x), membrane, rtol=1e-9, atol=1e-9)
    assert report.module_of("block.a.lif.lif") == "block_a_lif_lif" and report.module_of("class") == "class_"
    assert module.block_a_lif_lif.population == "block.a.lif.lif"
