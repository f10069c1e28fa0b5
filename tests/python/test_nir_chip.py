"""Imported graphs on the way to the chip: read, mapped, deployed, saved, scripted, loaded."""

import nir
import numpy as np
import pytest
import torch

import gradspike
from gradspike.nir import from_nir, to_nir
from nir_graphs import DT, cubali, cubalif, graph, integrate_and_fire, lif, spikes, weight


def feed_forward():
    return nir.NIRGraph.from_list(
        nir.Linear(weight(6, 4)), cubalif(6), nir.Scale(np.full(6, 0.5)), nir.Linear(weight(2, 6, 1)), cubali(2)
    )


def recurrent():
    nodes = {
        "x": nir.Input(np.array([4])),
        "y": nir.Input(np.array([3])),
        "w.x": nir.Linear(weight(3, 4)),
        "w.y": nir.Linear(weight(2, 3)),
        "a": cubalif(3),
        "ab": nir.Linear(weight(2, 3, 1)),
        "b": cubalif(2, 7),
        "ba": nir.Linear(weight(3, 2, 2)),
        "read": nir.Linear(weight(2, 2, 3)),
        "li": cubali(2),
        "out": nir.Output(np.array([2])),
    }
    edges = [
        ("x", "w.x"),
        ("w.x", "a"),
        ("a", "ab"),
        ("ab", "b"),
        ("b", "ba"),
        ("ba", "a"),
        ("b", "read"),
        ("read", "li"),
        ("li", "out"),
        ("y", "w.y"),
        ("w.y", "b"),
    ]
    return graph(nodes, edges)


def shared():
    """One weight into two populations, an identity, a delayed input, two outputs."""
    nodes = {
        "x": nir.Input(np.array([4])),
        "d": nir.Delay(np.full(4, 2e-3)),
        "w": nir.Linear(weight(3, 4)),
        "a": cubalif(3),
        "b": cubalif(3, 7),
        "c": cubalif(3, 9, w_in=np.full(3, 12.0)),
        "o1": nir.Output(np.array([3])),
        "o2": nir.Output(np.array([3])),
    }
    edges = [("x", "d"), ("d", "w"), ("w", "a"), ("w", "b"), ("a", "c"), ("c", "o1"), ("b", "o2")]
    return graph(nodes, edges)


GRAPHS = {"feed-forward": feed_forward, "recurrent": recurrent, "shared": shared}


def inputs_of(module, report, made):
    return [
        spikes(40, 2, int(made.nodes[name].input_type["input"][0]), k).float() for k, name in enumerate(report.inputs)
    ]


def outputs_of(results):
    return results if isinstance(results, (tuple, list)) else [results]


@pytest.mark.parametrize("rounding", ["half_even", "none"])
@pytest.mark.parametrize("case", GRAPHS)
def test_an_imported_graph_is_read_deployed_saved_and_loaded(tmp_path, case, rounding):
    made = GRAPHS[case]()
    module, report = from_nir(made, dt=DT, time_unit="s", rounding=rounding)
    x = inputs_of(module, report, made)
    expected = outputs_of(module(*x))
    network = gradspike.chip.read(module, network="imported", example=x)
    names = {p["name"] for p in network.description["populations"]}
    if case != "recurrent":
        assert names == {n.name for n in report.nodes if n.type in ("CubaLIF", "CubaLI")}
    gradspike.save(module, tmp_path / "net.pt", example=x)
    loaded = gradspike.load(tmp_path / "net.pt")
    assert all(torch.equal(a, b) for a, b in zip(outputs_of(loaded(*x)), expected))
    scripted = gradspike._reading.scripted(module)
    assert all(torch.equal(a, b) for a, b in zip(outputs_of(scripted(*x)), expected))
    if rounding == "half_even":  # the chip has integers
        result = network.deploy()(*x)
        assert all(torch.equal(a, b) for a, b in zip(outputs_of(result.outputs), expected))
        assert network.check().fits
    assert any(bool(e.any()) for e in expected)


def test_the_names_of_the_graph_are_those_of_the_report():
    module, report = from_nir(recurrent(), dt=DT, time_unit="s", rounding="half_even")
    description = gradspike.chip.read(module, tuple(inputs_of(module, report, recurrent()))).description
    assert [p["name"] for p in description["populations"]] == ["a+b", "li"]
    assert {p["name"] for p in description["projections"]} >= {"read"}
    assert report.module_of("a") == report.module_of("ab") == "a_b"


@pytest.mark.parametrize("make", [lif, integrate_and_fire])
def test_neurons_without_current_or_leak_are_read(make):
    made = nir.NIRGraph.from_list(nir.Linear(weight(3, 4)), make(3))
    module, _ = from_nir(made, dt=DT, time_unit="s", lif="instant_synapse", rounding="half_even")
    x = spikes(40, 2, 4).float()
    assert torch.equal(gradspike.chip.read(module).deploy()(x).outputs, module(x)) and module(x).any()


def test_what_no_chip_does_is_in_the_report_and_refused_when_read():
    made = nir.NIRGraph.from_list(nir.Affine(weight(3, 4), np.ones(3)), cubalif(3))
    module, report = from_nir(made, dt=DT, time_unit="s", bias="add")
    assert report.not_for_chip == ["the bias of 'affine' is added in every step"]
    with pytest.raises(RuntimeError, match="without a projection between them|aten::add"):
        gradspike.chip.read(module, spikes(10, 1, 4).float())


def test_scale_is_an_argument_by_node_or_the_suggestion():
    made = feed_forward()
    module, _ = from_nir(made, dt=DT, time_unit="s", rounding="half_even", scale={"linear": 8.0})
    assert module.linear.scale == 8.0
    other = next(layer for name, layer in module.named_children() if name.startswith("scale"))
    assert other.scale == gradspike.suggest_scale(other.weight.detach()).scale
    module, _ = from_nir(made, dt=DT, time_unit="s", scale=5.0, min_weight=-31.0, max_weight=31.0, gradient="identity")
    assert (module.linear.scale, module.linear.max_weight, module.linear.gradient) == (5.0, 31.0, "identity")


def test_an_import_draws_no_random_numbers():
    torch.manual_seed(7)
    expected = torch.rand(3)
    torch.manual_seed(7)
    from_nir(shared(), dt=DT, time_unit="s")
    to_nir(from_nir(recurrent(), dt=DT, time_unit="s").module)
    assert torch.equal(torch.rand(3), expected)


def test_a_loaded_model_runs_on_both_emulators(tmp_path):
    made = feed_forward()
    nir.write(tmp_path / "net.nir", made)
    module, _ = from_nir(tmp_path / "net.nir", dt=1e-6, time_unit="ms", spike="held", rounding="half_even")
    x = spikes(40, 2, 4).float()
    deployed = gradspike.chip.deploy(module)
    assert torch.equal(deployed(x).outputs, module(x))
