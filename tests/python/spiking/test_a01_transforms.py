"""A0 and A1: conventions, and the transform of weights."""

import functools

import pytest
import torch
from contract_networks import UNIT, handle_of, scaled, spikes

import gradspike.spiking as hxsnn
from gradspike.spiking.transforms.weight_transforms import linear_saturating


def test_a0_tensors_are_time_batch_neurons_and_weights_out_in():
    experiment = hxsnn.Experiment(mock=True)
    synapse, neurons = hxsnn.Synapse(5, 7, experiment), hxsnn.LIF(7, experiment)
    graded = synapse(handle_of(spikes(11, 2, 5)))
    result = neurons(graded)
    hxsnn.run(experiment, 11)
    assert synapse.weight.shape == (7, 5)
    for trace in (graded.graded_spikes, result.spikes, result.membrane_cadc, result.current):
        assert trace.shape == (11, 2, 7)


def test_a0_spikes_are_float_zeros_and_ones():
    experiment = hxsnn.Experiment(mock=True)
    result = hxsnn.LIF(3, experiment, **UNIT)(hxsnn.SynapseHandle(graded_spikes=torch.full((30, 2, 3), 1.5)))
    hxsnn.run(experiment, 30)
    assert result.spikes.dtype == torch.float32
    assert set(result.spikes.unique().tolist()) == {0.0, 1.0}


def test_a0_handles_are_empty_until_run():
    experiment = hxsnn.Experiment(mock=True)
    synapse, neurons = hxsnn.Synapse(5, 7, experiment), hxsnn.LIF(7, experiment)
    graded = synapse(handle_of(spikes()))
    result = neurons(graded)
    assert not graded.holds("graded_spikes")
    assert all(getattr(result, name) is None for name in result.__dataclass_fields__)
    hxsnn.run(experiment, 20)
    assert graded.holds("graded_spikes") and result.holds("spikes")


def test_a0_there_is_no_bias():
    synapse = hxsnn.Synapse(3, 2, hxsnn.Experiment(mock=True))
    assert [name for name, _ in synapse.named_parameters()] == ["weight"]


@pytest.mark.parametrize("kind", [hxsnn.LIF, hxsnn.LI, hxsnn.AELIF])
def test_a0_input_at_a_step_reaches_the_membrane_one_step_later(kind):
    experiment = hxsnn.Experiment(mock=True)
    options = {"exponential": False, "leak": 0.0} if kind is hxsnn.AELIF else {"leak": 0.0}
    x = torch.zeros(8, 1, 1)
    x[3] = 10.0
    result = kind(1, experiment, **options)(hxsnn.SynapseHandle(graded_spikes=x))
    hxsnn.run(experiment, 8)
    assert result.current.flatten().nonzero()[0] == 3
    assert result.membrane_cadc.flatten().nonzero()[0] == 4


def test_a1_linear_saturating_scales_and_clamps():
    weight = torch.tensor([-3.0, -0.5, 0.0, 0.25, 0.5, 2.0])
    assert torch.equal(linear_saturating(weight), weight)
    assert linear_saturating(weight, scale=64.0).tolist() == [-63.0, -32.0, 0.0, 16.0, 32.0, 63.0]
    assert linear_saturating(weight, 1.0, -1.0, 0.3).tolist() == pytest.approx([-1.0, -0.5, 0.0, 0.25, 0.3, 0.3])
    assert linear_saturating(weight, scale=2.0, min_weight=-1.0, max_weight=1.5).tolist() == [-1, -1, 0, 0.5, 1, 1.5]


def test_a1_it_is_differentiable_like_clamp():
    weight = torch.tensor([-2.0, -63 / 64, -0.5, 0.0, 63 / 64, 2.0], requires_grad=True)
    (ours,) = torch.autograd.grad(linear_saturating(weight, scale=64.0).sum(), weight)
    (theirs,) = torch.autograd.grad((64.0 * weight).clamp(-63.0, 63.0).sum(), weight)
    assert torch.equal(ours, theirs)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a1_dtype_and_device_are_preserved(dtype):
    result = linear_saturating(torch.tensor([0.5, -9.0], dtype=dtype), scale=8.0)
    assert result.dtype == dtype and result.device.type == "cpu" and result.tolist() == [4.0, -63.0]


def test_a1_the_partial_is_stored_as_given_and_read_again_at_each_use():
    transform = scaled(1.0)
    synapse = hxsnn.Synapse(1, 1, hxsnn.Experiment(mock=True), transform=transform)
    torch.nn.init.constant_(synapse.weight, 0.5)
    assert synapse.weight_transform is transform
    assert synapse.get_connections()[0].weight == 0
    synapse.weight_transform.keywords["scale"] = 64.0
    assert synapse.get_connections()[0].weight == 32
    synapse.weight_transform.keywords["max_weight"] = 10.0
    assert synapse.get_connections()[0].weight == 10
    synapse.weight_transform = functools.partial(linear_saturating, scale=2.0)
    assert synapse.get_connections()[0].weight == 1


def test_a1_positional_arguments_of_a_partial_count():
    synapse = hxsnn.Synapse(1, 1, hxsnn.Experiment(mock=True), transform=lambda w: linear_saturating(w, 64.0))
    torch.nn.init.constant_(synapse.weight, 0.5)
    assert synapse.get_connections()[0].weight == 32
