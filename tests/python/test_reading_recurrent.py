"""Reading recurrent layers: one population with two projections, with the bits of the operator."""

from typing import Tuple

import pytest
import torch
from torch import Tensor

from gradspike import chip, nn
from gradspike import functional as F
from reading import BLOCKS, SPIKES, one_sentence, recurrent, require_bits


def test_a_recurrent_layer_is_a_population_with_two_projections():
    description = chip.read(recurrent(name="hidden", mask=BLOCKS)).description
    (population,) = description["populations"]
    assert (population["name"], population["size"]) == ("hidden", 8)
    first, second = description["projections"]
    assert (first["name"], first["delay_steps"], first["position"]) == ("hidden_input", 0, 0)
    assert (second["name"], second["delay_steps"], second["position"]) == ("hidden_recurrent", 1, 1)
    assert second["columns"] == [
        {"source": {"kind": "population", "index": 0}, "first": 0, "step": 1, "count": 8}
    ]  # fmt: skip
    assert first["mask"] == "" and second["mask"] != ""
    assert [p["key"] for p in chip.registered()["projections"] if p["key"].startswith("network/hidden")] == [
        "network/hidden_input",
        "network/hidden_recurrent",
    ]


def test_unnamed_recurrent_layers_take_their_path():
    model = torch.nn.Sequential(nn.RecurrentLIF(5, 6), nn.RecurrentLIF(6, 4, name="second"))
    description = chip.read(model).description
    assert [p["name"] for p in description["populations"]] == ["0", "second"]
    names = [p["name"] for p in description["projections"]]
    assert names == ["0_input", "0_recurrent", "second_input", "second_recurrent"]
    assert model[0].population == "" and model[0].projection == "" and model[0].recurrent_projection == ""


OPTIONS = {
    "plain": {},
    "mask": {"mask": torch.rand(8, 8, generator=torch.Generator().manual_seed(1)) < 0.5},
    "no connection": {"mask": torch.zeros(8, 8, dtype=torch.bool)},
    "lsb": {"units": "lsb", "threshold": 10.0},
    "scales": {"input_scale": 24.0, "recurrent_scale": 17.0},
    "bounds": {"input_min_weight": 0, "recurrent_max_weight": 0},
    "half away": {"rounding": "half_away"},
    "refractory": {"refractory_time": 2.5e-6},
    "recompute": {"recompute_every": 4},
    "half precision": {"dtype": torch.bfloat16},
    "per neuron": {
        "threshold": torch.rand(8, generator=torch.Generator().manual_seed(2)) * 0.3 + 0.1,
        "tau_mem": torch.nn.Parameter(torch.full((8,), 7.3e-6)),
        "tau_syn": torch.tensor(6e-6),
        "reset": -0.05,
    },
}


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_a_recurrent_layer_has_the_bits_of_the_operator(name):
    torch.manual_seed(0)
    require_bits(recurrent(**OPTIONS[name]), SPIKES)


def test_float_products_with_weights_on_the_grid():
    torch.manual_seed(0)
    model = recurrent(rounding="none", input_scale=8.0, recurrent_scale=8.0)
    for weight in (model.input_weight, model.recurrent_weight):
        weight.data.mul_(8.0).round_().clamp_(-63, 63).div_(8.0)
    assert len(chip.check(model).data["approximations"]) == 2
    require_bits(model, SPIKES)


def test_recurrence_matters():
    """Equal bits would prove little if the spikes that come back changed nothing."""
    torch.manual_seed(0)
    model = recurrent()
    alone = recurrent(mask=torch.zeros(8, 8, dtype=torch.bool))
    alone.load_state_dict(model.state_dict(), strict=False)
    assert not torch.equal(model(SPIKES), alone(SPIKES))
    assert not torch.equal(chip.deploy(model)(SPIKES).outputs, chip.deploy(alone)(SPIKES).outputs)


def test_function_of_the_bare_operator():
    torch.manual_seed(0)
    first, second = torch.nn.Parameter(torch.randn(8, 5)), torch.nn.Parameter(torch.randn(8, 8))

    def net(spikes):
        return F.recurrent_lif(
            spikes, first, second, recurrent_mask=BLOCKS, input_scale=16.0, recurrent_scale=16.0,
            projection="in", recurrent_projection="back",
        ).spikes  # fmt: skip

    network = chip.read(net, SPIKES)
    assert [p["name"] for p in network.description["populations"]] == ["in"]  # of its first projection
    assert torch.equal(network.weights()["back"], second.detach() * BLOCKS)
    require_bits(net, SPIKES, network=network)


def test_host_code_may_use_every_trace_and_the_state():
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = recurrent()

        def forward(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
            traces = self.layer.traces(x)
            return traces.spikes, traces.membrane, traces.current, traces.state

    torch.manual_seed(0)
    result = require_bits(Model(), SPIKES)
    assert result.outputs[3].shape == (4, 3, 8)
    assert torch.equal(result.outputs[3][3], result.outputs[0][-1])  # the spikes of the last step


def test_populations_of_a_block_mask_go_their_own_ways():
    """A cycle between populations is one layer over their concatenation; its parts are slices."""

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            mask = torch.tensor([[False, True], [True, False]]).repeat_interleave(4, 0).repeat_interleave(4, 1)
            self.both = recurrent(mask=mask)
            self.readout, self.scores = nn.Synapse(4, 3, scale=16.0), nn.LI(3)
            self.second, self.last = nn.Synapse(4, 6, scale=16.0), nn.LIF(6, threshold=0.2)

        def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
            z = self.both(x)
            return self.scores(self.readout(z[:, :, :4])), self.last(self.second(z[:, :, 4:]))

    torch.manual_seed(0)
    require_bits(Model(), SPIKES)


def test_recurrent_layers_between_other_layers():
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = nn.SynapseLIF(5, 6, scale=16.0, threshold=0.2)
            self.loop = nn.RecurrentLIF(13, 8, threshold=0.2)
            self.again = nn.RecurrentLIF(8, 4, threshold=0.2, refractory_time=1e-6)
            self.skip, self.sparse = nn.Synapse(8, 3, scale=16.0), nn.SparseSynapse(torch.eye(4)[:, :3], scale=16.0)
            self.out = nn.LI(3)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            hidden = self.first(x)
            z = self.loop(torch.cat([y.repeat(1, 1, 2)[:, :, :7], hidden], dim=2))
            return self.out(self.skip(z) + self.sparse(self.again(z)))

    torch.manual_seed(0)
    require_bits(Model(), SPIKES, SPIKES.flip(0))


def test_masked_connections_take_no_synapse_whatever_their_weight():
    torch.manual_seed(0)
    model = recurrent(name="loop", mask=BLOCKS)
    with torch.no_grad():
        model.recurrent_weight[~BLOCKS] = float("nan")
    network = chip.read(model)
    assert (network.integers()["loop_recurrent"][~BLOCKS] == 0).all()
    everything = chip.read(recurrent(name="loop"), network="all").map().data
    assert len(network.map().data["synapses"]) < len(everything["synapses"])
    require_bits(model, SPIKES, network=chip.read(model))
    with torch.no_grad():
        model.recurrent_weight[2, 1] = float("nan")
    with pytest.raises(RuntimeError, match=r"projection 'loop_recurrent': weight\[2, 1\] is NaN"):
        chip.deploy(model)


def test_a_mask_that_is_trained_is_no_mask_of_the_chip():
    class Gated(torch.nn.Module):
        def __init__(self, trained: bool) -> None:
            super().__init__()
            self.layer = recurrent(name="loop")
            self.gate = torch.nn.Parameter(torch.randn(8, 8), requires_grad=trained)

        def forward(self, x: Tensor) -> Tensor:
            return F.recurrent_lif(
                x, self.layer.input_weight, self.layer.recurrent_weight, threshold=0.2, recurrent_mask=self.gate > 0,
                input_scale=16.0, recurrent_scale=16.0, projection="in", recurrent_projection="back",
            ).spikes  # fmt: skip

    torch.manual_seed(0)
    model = Gated(True)
    network = chip.read(model, SPIKES)
    assert network.description["projections"][0]["mask"] == ""
    assert chip.read(Gated(False), SPIKES, "fixed").description["projections"][0]["mask"] != ""
    assert (network.integers()["back"][model.gate <= 0] == 0).all()
    require_bits(model, SPIKES, network=network)


def test_training_a_recurrent_layer_changes_what_was_deployed():
    model = recurrent(name="loop")
    for weight in (model.input_weight, model.recurrent_weight):
        deployed = chip.deploy(model)
        assert not deployed.changed
        with torch.no_grad():
            weight.neg_()
        assert deployed.changed
        assert torch.equal(deployed.network.deploy()(SPIKES).outputs, model(SPIKES))


@pytest.mark.parametrize("membrane", ["readout", "all"])
def test_a_recurrent_layer_is_trained_in_the_loop(membrane):
    torch.manual_seed(0)
    model = torch.nn.Sequential(recurrent(mask=BLOCKS), nn.SparseSynapse(torch.eye(8)[:, :3], scale=8.0), nn.LI(3))
    loop = chip.in_the_loop(model, membrane=membrane)
    assert torch.equal(loop(SPIKES), model(SPIKES))
    loop(SPIKES).square().sum().backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.parameters())


def test_report_of_a_recurrent_layer_counts_existing_connections():
    model = recurrent(name="loop", mask=BLOCKS)
    weights = chip.check(model).data["weights"]
    assert weights["loop_input"]["count"] == 40 and weights["loop_recurrent"]["count"] == 32


def wrong_mask(self, x: Tensor) -> Tensor:
    return F.recurrent_lif(
        x, self.layer.input_weight, self.layer.recurrent_weight, recurrent_mask=self.wrong, projection="a",
        recurrent_projection="b",
    ).spikes  # fmt: skip


def mask_of_the_input(self, x: Tensor) -> Tensor:
    return F.recurrent_lif(
        x, self.layer.input_weight, self.layer.recurrent_weight, recurrent_mask=x[0, 0, 0] > self.wrong, projection="a",
        recurrent_projection="b",
    ).spikes  # fmt: skip


def no_recurrent_name(self, x: Tensor) -> Tensor:
    return F.recurrent_lif(x, self.layer.input_weight, self.layer.recurrent_weight, projection="a").spikes


def one_name_for_both(self, x: Tensor) -> Tensor:
    return F.recurrent_lif(
        x, self.layer.input_weight, self.layer.recurrent_weight, projection="a", recurrent_projection="a"
    ).spikes


def double_weight(self, x: Tensor) -> Tensor:
    return F.recurrent_lif(
        x, self.layer.input_weight, self.layer.recurrent_weight.double(), projection="a", recurrent_projection="b"
    ).spikes


def wrong_size(self, x: Tensor) -> Tensor:
    return F.recurrent_lif(
        x, self.layer.input_weight, self.layer.recurrent_weight[:7], projection="a", recurrent_projection="b"
    ).spikes


def bounds_that_are_no_integers(self, x: Tensor) -> Tensor:
    return F.recurrent_lif(
        x, self.layer.input_weight, self.layer.recurrent_weight, projection="a", recurrent_projection="b",
        recurrent_max_weight=1.5,
    ).spikes  # fmt: skip


def state_of_another_layer(self, x: Tensor) -> Tensor:
    return self.layer.traces(x, self.other.traces(x).state).spikes


def called_twice(self, x: Tensor) -> Tensor:
    return self.layer(x) + self.layer(x)


REFUSED = [
    (wrong_mask, ("recurrent_mask", "[neuron, neuron]", "8 neurons")),
    (mask_of_the_input, ("'b'", "depends on the input")),
    (no_recurrent_name, ("no name", "recurrent_projection=")),
    (one_name_for_both, ("'a'", "different weights", "unique")),
    (double_weight, ("'b'", "float64")),
    (wrong_size, ("recurrent_weight", "[neuron, neuron]", "[7, 8]")),
    (bounds_that_are_no_integers, ("recurrent_max_weight", "whole number", "1.5")),
    (state_of_another_layer, ("initial_state", "code before the network")),
    (called_twice, ("'layer_recurrent'", "two different inputs")),
]


@pytest.mark.parametrize(("forward", "words"), REFUSED, ids=[forward.__name__ for forward, _ in REFUSED])
def test_refused_recurrent_layers(forward, words):
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer, self.other = recurrent(), recurrent()
            self.register_buffer("wrong", torch.ones(8, 7, dtype=torch.bool))

    Model.forward = forward
    before = chip.registered()
    with pytest.raises(RuntimeError) as caught:
        chip.read(Model(), network="refused")
    text = one_sentence(caught.value)
    for word in words:
        assert word in text, text
    assert chip.registered() == before
