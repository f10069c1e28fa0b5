"""Reading populations that start from a state which code of the model gives, and which operators are read at all."""

from typing import Optional, Tuple

import pytest
import torch
from torch import Tensor

import gradspike
from gradspike import chip, nn
from gradspike import functional as F
from reading import SPIKES, recurrent, require_bits


class Streamed(torch.nn.Module):
    """Takes the state of each population and gives the next one: a run can be cut into chunks."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = recurrent(refractory_time=2e-6)
        self.fused = nn.SynapseLIF(8, 6, scale=16.0, threshold=0.2, refractory_time=1e-6)
        self.readout, self.scores = nn.Synapse(6, 3, scale=16.0), nn.LI(3)

    def forward(
        self, x: Tensor, a: Optional[Tensor] = None, b: Optional[Tensor] = None, c: Optional[Tensor] = None
    ) -> Tuple[Tensor, Tensor, Tensor, Tensor]:
        first = self.loop.traces(x, a)
        second = self.fused.traces(first.spikes, b)
        last = self.scores.traces(self.readout(second.spikes), c)
        return last.membrane, first.state, second.state, last.state


def test_chunks_that_hand_on_their_state_are_the_whole_run():
    torch.manual_seed(0)
    model = Streamed()
    deployed = chip.deploy(model)
    whole = deployed(SPIKES)
    assert all(torch.equal(a, b) for a, b in zip(whole.outputs, model(SPIKES)))
    for batch in (slice(None), slice(1, 2)):
        spikes, states, membranes, seen = SPIKES[:, batch], (), [], []
        for chunk in spikes.split([1, 7, 12]):
            result, expected = deployed(chunk.contiguous(), *states), model(chunk, *states)
            assert all(torch.equal(a, b) for a, b in zip(result.outputs, expected))
            membrane, *states = result.outputs
            membranes.append(membrane)
            seen.append(result.spikes["loop"])
        assert torch.equal(torch.cat(membranes), whole.outputs[0][:, batch])
        assert torch.equal(torch.cat(seen), whole.spikes["loop"][:, batch])
    assert (whole.outputs[1][3] == 1).any() and (whole.outputs[1][2] > 0).any()  # spikes and refractory steps count


def test_a_state_that_the_model_holds(tmp_path):
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = recurrent(name="loop")
            state = torch.stack([torch.rand(1, 8), torch.rand(1, 8) * 0.2, torch.zeros(1, 8), torch.ones(1, 8)])
            self.register_buffer("state", state)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer.traces(x, self.state.repeat(1, x.size(1), 1)).membrane

    torch.manual_seed(0)
    model = Model()
    result = require_bits(model, SPIKES)
    rest = nn.RecurrentLIF(5, 8, threshold=0.2)
    rest.load_state_dict(model.layer.state_dict())
    assert not torch.equal(result.outputs, rest.traces(SPIKES).membrane)


def test_a_network_file_holds_no_state(tmp_path):
    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = recurrent(name="loop")
            self.register_buffer("state", torch.zeros(4, 1, 8))

        def forward(self, x: Tensor) -> Tensor:
            return self.layer.traces(x, self.state).membrane

    gradspike.save(Streamed(), network=tmp_path / "net.json")  # starts at rest where no state is given
    with pytest.raises(RuntimeError, match="network file holds no states, but population 'loop'"):
        gradspike.save(Model(), network=tmp_path / "net.json")


STATES = {
    "batch": (torch.zeros(4, 2, 8), 'initial state of population "loop" must be'),
    "rows": (torch.zeros(3, 3, 8), "population 'loop': initial_state must have shape"),
    "order": (torch.zeros(3, 8, 4), "population 'loop': initial_state must have shape"),
    "counts": (torch.full((4, 3, 8), 2.0), "population 'loop': row 3 of initial_state must hold the spikes"),
}


@pytest.mark.parametrize("name", sorted(STATES))
def test_refused_states(name):
    state, words = STATES[name]
    with pytest.raises(RuntimeError, match=words):
        chip.deploy(Streamed())(SPIKES, state)


# ---- operators ------------------------------------------------------------------------------------------------------


def test_the_neurons_of_eventprop_lif_are_not_those_of_lif():
    """Why the reader refuses them: membranes are those of lif, but their current is one step behind."""
    current = torch.zeros(6, 1, 1)
    current[0] = 2.0
    other = F.eventprop_lif(current, torch.zeros_like(current), outputs="membrane+current")
    lif = F.lif(current, outputs="membrane+current")
    assert torch.equal(other.membrane, lif.membrane)
    assert torch.equal(other.current[1:], lif.current[:-1]) and lif.current[0] != 0


def test_every_public_operator_of_a_layer_is_read_or_refused_by_name():
    """A new operator with a key must not be taken for host code."""
    read = {"eventprop_graded_spikes", "exact_eventprop_lif", "graded_spikes", "li", "lif", "prepacked_graded_spikes"}
    read |= {"recurrent_lif", "sparse_graded_spikes", "synapse_lif", "aelif"}
    refused = {"eventprop_lif"}
    schemas = [schema for schema in torch._C._jit_get_all_schemas() if schema.name.startswith("gradspike::")]
    keyed = {
        schema.name.split("::")[1]
        for schema in schemas
        if {"projection", "population"} & {argument.name for argument in schema.arguments}
    }
    assert keyed == read | refused
