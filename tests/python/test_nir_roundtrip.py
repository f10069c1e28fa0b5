"""from_nir(to_nir(model)) gives the bits of the model; to_nir(from_nir(graph)) gives the graph."""

import copy
import pickle
import warnings

import nir
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn as tnn

import gradspike
from gradspike.nir import NIRExportError, NIRWarning, from_nir, to_nir
from gradspike.nn import AELIF, LI, LIF, RecurrentLIF, SparseSynapse, Synapse, SynapseLIF
from nir_graphs import DT, cubali, cubalif, graph, lif, weight

SPIKES = ["held", "dirac", "jump"]
UNITS = ["s", "ms", "us", "steps"]


def some_spikes(*sizes, steps=50, dtype=torch.float32):
    generator = torch.Generator().manual_seed(3)
    return [(torch.rand(steps, 2, size, generator=generator) < 0.4).to(dtype) for size in sizes]


def same(model, *inputs, folder=None, **options):
    """The bits of the outputs and of what the model gives, through an object and through a file."""
    made = to_nir(model, **options)
    sources = [made]
    if folder is not None:
        nir.write(folder / "net.nir", made)
        sources.append(folder / "net.nir")
    expected = model(*inputs)
    expected = expected if isinstance(expected, tuple) else (expected,)
    for source in sources:
        module, report = from_nir(source)
        result = module(*inputs)
        result = result if isinstance(result, tuple) else (result,)
        assert len(result) == len(expected) and all(torch.equal(a, b) for a, b in zip(result, expected))
        assert report.exact
    assert all(bool(e.any()) for e in expected)
    return made


def sequential(rounding="half_even", **changed):
    values = {"tau_mem": 8e-6, "tau_syn": 3.3e-6, "membrane_capacitance": 7.7e-6, "threshold": 0.3, "leak": 0.02}
    return tnn.Sequential(
        Synapse(3, 6, rounding=rounding),
        LIF(6, **{**values, **changed}),
        Synapse(6, 2, rounding=rounding),
        LI(2, tau_mem=20e-6, membrane_capacitance=13e-6),
    )


@pytest.mark.parametrize("spike", SPIKES)
@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("rounding", ["half_even", "half_away", "none"])
def test_sequential(tmp_path, unit, spike, rounding):
    same(sequential(rounding), *some_spikes(3), folder=tmp_path, time_unit=unit, spike=spike)


@pytest.mark.parametrize("spike", SPIKES)
@pytest.mark.parametrize("form", ["tensor", "parameter", "scalar"])
def test_parameters_per_neuron_keep_their_form(tmp_path, spike, form):
    generator = torch.Generator().manual_seed(1)

    def drawn(low, high):
        value = torch.rand(() if form == "scalar" else (6,), generator=generator) * (high - low) + low
        return tnn.Parameter(value) if form == "parameter" else value

    model = sequential(
        tau_mem=drawn(5e-6, 2e-5),
        tau_syn=drawn(3e-6, 1e-5),
        membrane_capacitance=drawn(5e-6, 1e-5),
        leak=drawn(-0.1, 0.1),
        reset=drawn(-0.2, 0.0),
        threshold=drawn(0.2, 0.5),
    )
    made = same(model, *some_spikes(3), folder=tmp_path, spike=spike)
    again = from_nir(made).module
    kinds = [type(getattr(again.n1, name)) for name in ("tau_mem", "leak", "membrane_capacitance")]
    assert kinds == [tnn.Parameter if form == "parameter" else torch.Tensor] * 3


@given(
    st.floats(1.5e-6, 1e-3),
    st.floats(1.5e-6, 1e-3),
    st.floats(1e-7, 1e-2),
    st.sampled_from(SPIKES),
    st.floats(1e-7, 1.5e-6),
)
@settings(max_examples=100)
def test_numbers_come_back_to_the_last_bit(tau_mem, tau_syn, capacitance, spike, dt):
    model = tnn.Sequential(
        Synapse(2, 3), LIF(3, tau_mem=tau_mem, tau_syn=tau_syn, membrane_capacitance=capacitance, dt=dt)
    )
    layer = from_nir(to_nir(model, spike=spike)).module.n1
    assert (layer.tau_mem, layer.tau_syn, layer.membrane_capacitance) == (tau_mem, tau_syn, capacitance)


def test_a_time_that_a_unit_cannot_say_is_a_warning():
    times = np.linspace(3.0e-6, 9.0e-6, 64)
    model = tnn.Sequential(
        Synapse(2, 64), LIF(64, tau_mem=torch.tensor(times), membrane_capacitance=torch.tensor(times))
    )
    with pytest.warns(NIRWarning, match="time_unit='s' is exact"):
        to_nir(model, time_unit="ms")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        to_nir(model, time_unit="s")


def test_float64_models(tmp_path):
    model = sequential().double()
    same(model, *some_spikes(3, dtype=torch.float64), folder=tmp_path)


class TwoInputs(tnn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = Synapse(5, 8, name="a", scale=16.0), Synapse(4, 8, name="b", scale=16.0)
        self.c = SparseSynapse((torch.rand(5, 8) < 0.4).float(), name="c", scale=16.0)
        self.hidden = LIF(8, name="hidden", threshold=0.3)
        self.out = Synapse(12, 3, name="out")
        self.li = LI(3)
        self.drop = tnn.Dropout(0.5)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden = self.hidden(self.c(x) + self.b(y) + self.a(x))
        skip = torch.cat([self.drop(hidden), y], -1)
        return hidden, self.li(self.out(skip))


def test_several_inputs_sums_concatenations_and_sparse_layers(tmp_path):
    model = TwoInputs().eval()
    made = same(model, *some_spikes(5, 4), folder=tmp_path)
    assert made.nodes["out"].weight.shape == (3, 8) and made.nodes["out_1"].weight.shape == (3, 4)
    assert isinstance(from_nir(made).module.c, SparseSynapse)
    assert sorted(made.inputs) == ["x", "y"] and sorted(made.outputs) == ["output0", "output1"]


def test_an_order_of_three_summands_is_kept(tmp_path):
    class Three(tnn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.z, self.b, self.m = (Synapse(4, 6, rounding="none") for _ in range(3))
            self.lif = LIF(6, threshold=0.3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.lif(self.z(x) + self.b(x) + self.m(x))

    same(Three(), *some_spikes(4), folder=tmp_path)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("rounding", ["half_even", "none"])
def test_recurrent(tmp_path, rounding, masked):
    mask = torch.rand(8, 8) < 0.5 if masked else None
    inner = torch.rand(8, 5) < 0.5 if masked else None
    layer = RecurrentLIF(
        5, 8, threshold=0.3, tau_syn=4e-6, mask=mask, input_mask=inner, rounding=rounding, input_scale=16.0
    )
    model = tnn.Sequential(layer, Synapse(8, 2), LI(2))
    made = same(model, *some_spikes(5), folder=tmp_path)
    assert set(made.nodes) == {"input", "0", "0_input", "0_recurrent", "1", "2", "output"}
    again = from_nir(made).module.n0
    assert again.input_scale == 16.0 and (again.mask is not None) == masked and (again.input_mask is not None) == masked
    if masked:
        assert torch.equal(again.mask, mask) and torch.equal(again.input_mask, inner)


def test_the_mask_of_the_inputs_is_checked():
    with pytest.raises(ValueError, match=r"RecurrentLIF: input_mask must be boolean of shape \[8, 5\], got torch.bool"):
        RecurrentLIF(5, 8, input_mask=torch.ones(5, 8, dtype=torch.bool))


def test_fused_layers_and_plain_aelif(tmp_path):
    plain = {"exponential": False, "subthreshold_adaptation": False, "spike_triggered_adaptation": False}
    model = tnn.Sequential(
        SynapseLIF(5, 8, threshold=0.3, name="w", population="h"),
        Synapse(8, 4),
        AELIF(4, threshold=0.3, **plain),
        Synapse(4, 2),
        AELIF(2, fire=False, **plain),
    )
    made = to_nir(model)
    x = some_spikes(5)[0]
    module, _ = from_nir(made)
    assert torch.equal(module(x), model(x)) and model(x).any()
    assert {"w", "h"} <= set(made.nodes) and isinstance(made.nodes["4"], nir.CubaLI)


@pytest.mark.parametrize("weights", ["model", "quantised", "integers"])
def test_weights_as_model_weights_or_integers(weights):
    model = tnn.Sequential(Synapse(5, 8, scale=16.0), LIF(8, threshold=0.3), Synapse(8, 2, scale=32.0), LI(2))
    made = to_nir(model, weights=weights)
    x = some_spikes(5)[0]
    assert torch.equal(from_nir(made).module(x), model(x))
    integers = gradspike.functional.hardware_weights(model[0].weight, 16.0).float().numpy()
    expected = {"model": model[0].weight.detach().numpy(), "quantised": integers / 16.0, "integers": integers}[weights]
    assert np.array_equal(made.nodes["0"].weight, expected)
    # without its metadata too, the quantised graph means what the chip computes
    if weights != "model":
        module, _ = from_nir(made, dt=1e-6, time_unit="s", metadata=False)
        assert torch.equal(module(x), model(x))


def test_a_trained_scale_becomes_a_number():
    model = tnn.Sequential(Synapse(5, 8, scale=tnn.Parameter(torch.tensor(13.7))), LIF(8, threshold=0.3))
    x = some_spikes(5)[0]
    module = from_nir(to_nir(model)).module
    assert torch.equal(module(x), model(x)) and module.n0.scale == float(model[0].scale.detach())


def test_layers_in_lsb():
    model = tnn.Sequential(Synapse(5, 8, scale=16.0, units="lsb"), LIF(8, threshold=5.0))
    x = some_spikes(5)[0]
    assert torch.equal(from_nir(to_nir(model)).module(x), model(x)) and model(x).any()


def test_refractory_time_is_in_the_metadata_and_said():
    model = tnn.Sequential(Synapse(5, 8), LIF(8, threshold=0.1, refractory_time=3e-6))
    with pytest.warns(NIRWarning, match="refractory time of '1'"):
        made = to_nir(model)
    x = some_spikes(5)[0]
    module, report = from_nir(made)
    assert torch.equal(module(x), model(x)) and report.from_metadata["1.refractory_time"] == 3e-6
    ignored, report = from_nir(made, dt=1e-6, time_unit="s", metadata=False)
    assert not torch.equal(ignored(x), model(x)) and not report.from_metadata
    given, report = from_nir(made, refractory_time=0.0)
    assert given[1].refractory_time == 0.0 if hasattr(given, "__getitem__") else given.n1.refractory_time == 0.0


def test_nothing_depends_on_the_metadata_but_what_it_says():
    model = sequential("none")
    made, x = to_nir(model, spike="jump", time_unit="us"), some_spikes(3)[0]
    module, report = from_nir(made, dt=1e-6, time_unit="us", spike="jump", metadata=False)
    assert torch.equal(module(x), model(x)) and not report.from_metadata
    bare = to_nir(model, spike="jump", time_unit="us", metadata=False)
    assert not bare.metadata and not any(node.metadata for node in bare.nodes.values())
    module, _ = from_nir(bare, dt=1e-6, time_unit="us", spike="jump")
    assert torch.equal(module(x), model(x))
    with pytest.raises(ValueError, match="dt and time_unit must be given"):
        from_nir(bare)


def test_an_imported_graph_is_exported_as_it_was():
    nodes = {
        "x": nir.Input(np.array([4])),
        "w.in": nir.Linear(weight(3, 4)),
        "a.1": cubalif(3),
        "ab": nir.Linear(weight(2, 3, 1)),
        "b": cubalif(2, 7),
        "ba": nir.Linear(weight(3, 2, 2)),
        "read.w": nir.Linear(weight(2, 2, 3)),
        "read.li": cubali(2),
        "d": nir.Delay(np.array([2e-3, 2e-3])),
        "l": nir.Linear(weight(3, 2, 4)),
        "lif": lif(3),
        "out": nir.Output(np.array([2])),
        "spikes": nir.Output(np.array([3])),
    }
    edges = [
        ("x", "w.in"),
        ("w.in", "a.1"),
        ("a.1", "ab"),
        ("ab", "b"),
        ("b", "ba"),
        ("ba", "a.1"),
        ("b", "read.w"),
        ("read.w", "read.li"),
        ("read.li", "out"),
        ("b", "d"),
        ("d", "l"),
        ("l", "lif"),
        ("lif", "spikes"),
    ]
    module, _ = from_nir(graph(nodes, edges), dt=DT, time_unit="s", lif="instant_synapse", dtype=torch.float64)
    again = to_nir(module)
    named = {"a.1->b": "ab", "b->a.1": "ba", "x->a.1": "w.in", "b_delay": "d"}
    assert {named.get(name, name) for name in again.nodes} == set(nodes)
    assert {(named.get(a, a), named.get(b, b)) for a, b in again.edges} == set(edges)
    for name, node in again.nodes.items():
        original = nodes[named.get(name, name)]
        assert type(node) is type(original)
        for field in ("weight", "tau", "tau_mem", "tau_syn", "r", "v_leak", "v_threshold", "v_reset", "w_in", "delay"):
            if hasattr(original, field):
                np.testing.assert_allclose(getattr(node, field), getattr(original, field), rtol=1e-15)
    x = some_spikes(4, dtype=torch.float64)[0]
    assert all(torch.equal(a, b) for a, b in zip(from_nir(again).module(x), module(x)))


def test_identities_are_edges_again():
    nodes = {"x": nir.Input(np.array([3])), "a": cubalif(3, w_in=np.full(3, 9.0)), "y": nir.Output(np.array([3]))}
    module, _ = from_nir(graph(nodes, [("x", "a"), ("a", "y")]), dt=DT, time_unit="s")
    assert set(to_nir(module).edges) == {("x", "a"), ("a", "y")}


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_imported_modules_copy_and_pickle(copied):
    module, _ = from_nir(to_nir(TwoInputs().eval()))
    other = copied(module)
    inputs = some_spikes(5, 4)
    assert all(torch.equal(a, b) for a, b in zip(other(*inputs), module(*inputs)))
    assert set(to_nir(other).nodes) == set(to_nir(module).nodes)


def test_imported_modules_train_and_load_state():
    module, _ = from_nir(to_nir(sequential()))
    module(*some_spikes(3)).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in module.parameters())
    other, _ = from_nir(to_nir(sequential()))
    other.load_state_dict(module.state_dict())
    assert torch.equal(other(*some_spikes(3)), module(*some_spikes(3)))


# ---- what cannot be exported ----------------------------------------------------------------------------------------


class Calls(tnn.Module):
    """A model of one function around layers."""

    def __init__(self, function, **layers):
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.function(self, x)


REFUSED = {
    "AdEx": (tnn.Sequential(Synapse(3, 4), AELIF(4)), "AELIF .*leaky and fire alone"),
    "EventProp": (tnn.Sequential(gradspike.nn.EventPropSynapse(3, 4)), "EventPropSynapse"),
    "prepacked": (tnn.Sequential(Synapse(3, 4).prepacked(), LIF(4)), "PrepackedSynapse .*the Synapse it was made from"),
    "another layer": (tnn.Sequential(Synapse(3, 4), tnn.ReLU()), "ReLU"),
    "an operation": (Calls(lambda m, x: m.s(x).amax(0), s=Synapse(3, 4)), "amax .*no counterpart"),
    "a product": (Calls(lambda m, x: m.s(x) * 2.0, s=Synapse(3, 4)), "mul .*no counterpart"),
    "a tensor outside": (Calls(lambda m, x: m.s(x) + m.s.weight.sum(), s=Synapse(3, 4)), "outside a layer"),
    "time steps picked": (Calls(lambda m, x: m.s(x)[0], s=Synapse(3, 4)), "getitem"),
    "batches joined": (Calls(lambda m, x: torch.cat([m.s(x), m.s(x)], 1), s=Synapse(3, 4)), "cat .*no counterpart"),
    "no size": (Calls(lambda m, x: torch.cat([x, x], -1)), "give example="),
    "code that looks at numbers": (
        Calls(lambda m, x: m.s(x) if x.sum() > 0 else x, s=Synapse(3, 4)),
        "cannot be traced",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_exported_is_named(case):
    model, text = REFUSED[case]
    with pytest.raises(NIRExportError, match=text):
        to_nir(model)


def test_all_refusals_come_at_once():
    model = tnn.Sequential(Synapse(3, 4), AELIF(4), Synapse(4, 4), tnn.ReLU())
    with pytest.raises(NIRExportError) as error:
        to_nir(model)
    assert [p.type for p in error.value.problems] == ["AELIF"]  # what follows hangs on it
    assert "1" in str(error.value)


@pytest.mark.parametrize(
    "options, error, text",
    [
        ({"time_unit": "min"}, ValueError, "time_unit must be one of s, ms, us, steps, got 'min'"),
        ({"spike": "soft"}, ValueError, "spike must be one of"),
        ({"weights": "float"}, ValueError, "weights must be one of model, quantised, integers"),
    ],
)
def test_bad_arguments_of_to_nir(options, error, text):
    with pytest.raises(error, match=text):
        to_nir(sequential(), **options)


def test_other_bad_models():
    with pytest.raises(TypeError, match=r"model must be a torch\.nn\.Module, got int"):
        to_nir(3)
    with pytest.raises(ValueError, match="one dt, got 1e-06 s"):
        to_nir(tnn.Sequential(Synapse(3, 4), LIF(4), Synapse(4, 4), LIF(4, dt=2e-6)))
    with pytest.raises(NIRExportError, match="a scripted model"):
        to_nir(torch.jit.script(sequential()))
    two = tnn.Sequential(Synapse(3, 4, scale=4.0), LIF(4))
    assert to_nir(two, example=torch.zeros(1, 1, 3)).nodes["input"].input_type["input"].tolist() == [3]
