"""A3: `EventPropSynapse`."""

import inspect

import pytest
import torch
from contract_networks import handle_of, spikes

import gradspike.spiking as hxsnn


def graded(synapse, x):
    handle = synapse(handle_of(x))
    hxsnn.run(synapse.experiment, x.shape[0])
    return handle.graded_spikes


@pytest.fixture
def synapse():
    return hxsnn.EventPropSynapse(5, 7, hxsnn.Experiment(mock=True), dtype=torch.float64)


def test_a3_same_constructor_and_a_kind_of_synapse():
    assert inspect.signature(hxsnn.EventPropSynapse) == inspect.signature(hxsnn.Synapse)
    assert issubclass(hxsnn.EventPropSynapse, hxsnn.Synapse)
    assert hxsnn.modules.EventPropSynapse is hxsnn.EventPropSynapse


def test_a3_a_leading_axis_of_the_product_and_of_zeros(synapse):
    x = spikes(dtype=torch.float64)
    result = graded(synapse, x)
    assert result.shape == (2, 20, 2, 7)
    torch.testing.assert_close(result[0], x @ synapse.weight.t())
    assert not result[1].any()


def test_a3_backward_sends_each_channel_its_own_way(synapse):
    x = spikes(dtype=torch.float64).requires_grad_()
    gradient = torch.randn(2, 20, 2, 7, dtype=torch.float64)
    to_spikes, to_weight = torch.autograd.grad(graded(synapse, x), (x, synapse.weight), gradient)
    torch.testing.assert_close(to_spikes, gradient[1] @ synapse.weight.detach())
    torch.testing.assert_close(to_weight, torch.einsum("tbo,tbi->oi", gradient[0], x.detach()))


def test_a3_the_weight_gradient_is_summed_over_the_batch(synapse):
    """No gradient per batch entry is ever made."""
    (gradient,) = torch.autograd.grad(graded(synapse, spikes(dtype=torch.float64)).sum(), synapse.weight)
    assert gradient.shape == synapse.weight.shape


def test_a3_other_neurons_refuse_its_handle(synapse):
    experiment = synapse.experiment
    hxsnn.LIF(7, experiment)(synapse(handle_of(spikes(dtype=torch.float64))))
    with pytest.raises((AssertionError, RuntimeError, ValueError), match=r"EventPropLIF|time, batch, neuron"):
        hxsnn.run(experiment, 20)


def test_a3_integers_of_the_chip_in_simulation():
    experiment = hxsnn.Experiment(mock=True, hardware_weights=True)
    synapse, x = hxsnn.EventPropSynapse(5, 7, experiment), spikes()
    torch.nn.init.normal_(synapse.weight, std=20)
    assert torch.equal(graded(synapse, x)[0], x @ synapse.weight.detach().round().clamp(-63, 63).t())
