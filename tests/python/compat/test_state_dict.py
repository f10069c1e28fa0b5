"""Keys of `state_dict` are those of hxtorch, so that weights trained here load there and those from there here."""

import pytest
import torch

import gradspike.spiking as hxsnn


def make(kind="Synapse"):
    experiment = hxsnn.Experiment(mock=True)
    if kind == "SparseSynapse":
        return hxsnn.SparseSynapse(torch.ones(5, 3), experiment)
    return getattr(hxsnn, kind)(5, 3, experiment)


def test_projections_have_their_weight():
    for kind in ("Synapse", "SparseSynapse", "EventPropSynapse"):
        state = make(kind).state_dict()
        assert {key: list(value.shape) for key, value in state.items()} == {"weight": [3, 5]}


@pytest.mark.filterwarnings("ignore:.*deprecated:DeprecationWarning")
def test_populations_and_functions_have_nothing():
    experiment = hxsnn.Experiment(mock=True)
    for module in (
        hxsnn.LIF(3, experiment, threshold=torch.ones(3)),
        hxsnn.LI(3, experiment),
        hxsnn.AELIF(3, experiment),
        hxsnn.EventPropLIF(3, experiment),
        hxsnn.NeuronExp(3, experiment),
        hxsnn.ReadoutNeuronExp(3, experiment),
        hxsnn.InputNeuron(3, experiment),
        hxsnn.BatchDropout(3, 0.5, experiment),
        hxsnn.HXModuleWrapper(experiment, synapse=make()),
    ):
        assert list(module.state_dict()) == [], type(module).__name__


def test_trainable_parameters_appear_by_name():
    experiment = hxsnn.Experiment(mock=True)
    neurons = hxsnn.LIF(3, experiment, threshold=hxsnn.TrainableModelParameter(1.0))
    assert list(neurons.state_dict()) == ["threshold._model_value"]
    assert [name for name, _ in neurons.named_parameters()] == ["threshold._model_value"]


class Network(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.exp = hxsnn.Experiment(mock=True)
        self.linear_h = hxsnn.Synapse(5, 4, self.exp)
        self.lif_h = hxsnn.LIF(4, self.exp)
        self.linear_o = hxsnn.Synapse(4, 3, self.exp)
        self.li_readout = hxsnn.LI(3, self.exp)


def test_a_network_has_the_weights_alone():
    network = Network()
    assert list(network.state_dict()) == ["linear_h.weight", "linear_o.weight"]
    foreign = {"linear_h.weight": torch.randn(4, 5), "linear_o.weight": torch.randn(3, 4)}  # of the other library
    network.load_state_dict(foreign)
    assert all(torch.equal(network.state_dict()[key], value) for key, value in foreign.items())
