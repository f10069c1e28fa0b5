"""A12: `InputNeuron`."""

import inspect

import pytest
import torch
from contract_networks import UNIT, emulator, handle_of, spikes

import gradspike.spiking as hxsnn


def test_a12_signature():
    names = list(inspect.signature(hxsnn.InputNeuron).parameters)
    assert names[:4] == ["size", "experiment", "chip_coordinate", "enable_spike_loopback"]
    instance = object()
    assert hxsnn.InputNeuron(5, hxsnn.Experiment(mock=True), execution_instance=instance).execution_instance is instance


def test_a12_identity_in_simulation():
    experiment, x = hxsnn.Experiment(mock=True), spikes().requires_grad_()
    handle = hxsnn.InputNeuron(5, experiment)(handle_of(x))
    hxsnn.run(experiment, 20)
    assert torch.equal(handle.spikes, x) and type(handle) is hxsnn.LIFObservables
    assert not handle.holds("current") and not handle.holds("membrane_cadc")
    assert torch.equal(torch.autograd.grad(handle.spikes.sum(), x)[0], torch.ones_like(x))


@pytest.mark.parametrize("explicit", [False, True])
def test_a12_on_a_backend_it_stands_in_front_of_projections_by_itself(explicit):
    experiment, x = emulator(), spikes()
    synapse, neurons = hxsnn.Synapse(5, 4, experiment), hxsnn.LIF(4, experiment, **UNIT)
    torch.nn.init.normal_(synapse.weight, 3, 3)
    inputs = hxsnn.InputNeuron(5, experiment) if explicit else None
    for _ in range(2):
        given = handle_of(x)
        handle = neurons(synapse(given if inputs is None else inputs(given)))
        hxsnn.run(experiment, 20)
    assert experiment.uploads == 1 and handle.spikes.any()


def test_a12_several_projections_read_one_input():
    x, results = spikes(), []
    for explicit in (False, True):
        torch.manual_seed(0)
        experiment = emulator()
        synapses = [hxsnn.Synapse(5, 4, experiment, hardware_weights=True) for _ in range(2)]
        for synapse in synapses:
            torch.nn.init.normal_(synapse.weight, 3, 3)
        neurons, given = hxsnn.LIF(4, experiment, **UNIT), handle_of(x)
        given = hxsnn.InputNeuron(5, experiment)(given) if explicit else given
        handle = neurons(*(synapse(given) for synapse in synapses))
        hxsnn.run(experiment, 20)
        results.append(handle.spikes)
    assert torch.equal(*results) and results[0].any()
