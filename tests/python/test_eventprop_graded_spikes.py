import pytest
import torch

from gradspike.functional import eventprop_graded_spikes, graded_spikes
from neurons import relative_error
from reference import eventprop_graded_spikes as reference


def spikes_of(*shape, dtype=torch.float32):
    return ((torch.rand(shape) < 0.3) * torch.randint(1, 4, shape)).to(dtype)


def gradients(spikes, weight, to_graded, to_adjoint, **options):
    spikes, weight = spikes.clone().requires_grad_(), weight.clone().requires_grad_()
    outputs = eventprop_graded_spikes(spikes, weight, **options)
    torch.autograd.backward(outputs, [to_graded, to_adjoint])
    return spikes.grad, weight.grad


@pytest.mark.parametrize("rounding", ["half_even", "half_away", "none"])
@pytest.mark.parametrize("units", ["model", "lsb"])
@pytest.mark.parametrize("shape", [(1, 1, 1), (7, 3, 5), (0, 2, 3), (4, 0, 3), (9, 2, 70)])
def test_forward_is_graded_spikes(shape, units, rounding):
    spikes, weight = spikes_of(*shape), torch.randn(11, shape[-1])
    graded, adjoint = eventprop_graded_spikes(spikes, weight, 40.0, rounding=rounding, units=units)
    assert torch.equal(graded, graded_spikes(spikes, weight, 40.0, rounding=rounding, units=units))
    assert adjoint.shape == graded.shape and adjoint.dtype == graded.dtype and not adjoint.any()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.uint8, torch.bfloat16])
def test_spikes_of_any_type(dtype):
    spikes, weight = spikes_of(6, 2, 5, dtype=dtype), torch.randn(3, 5)
    graded, adjoint = eventprop_graded_spikes(spikes, weight, 40.0)
    assert torch.equal(graded, graded_spikes(spikes, weight, 40.0))
    assert adjoint.dtype == graded.dtype


def test_adjoint_takes_no_memory():
    _, adjoint = eventprop_graded_spikes(spikes_of(50, 20, 5), torch.randn(300, 5))
    assert adjoint.stride() == (0, 0, 0)
    assert adjoint.untyped_storage().nbytes() == adjoint.element_size()


@pytest.mark.parametrize("shape", [(6, 5), (4, 3, 5), (2, 4, 3, 5)])
def test_gradients_in_float64(shape):
    spikes, weight = spikes_of(*shape, dtype=torch.float64), torch.randn(7, 5, dtype=torch.float64)
    to_graded, to_adjoint = torch.randn(2, *shape[:-1], 7, dtype=torch.float64)
    actual = gradients(spikes, weight, to_graded, to_adjoint, scale=32.0, max_weight=50.0, min_weight=-50.0)
    assert (weight.abs() * 32.0 > 50.0).any()
    expected = reference.eventprop_graded_spikes(
        *(t.reshape(-1, t.shape[-1]).numpy() if t is not weight else t.numpy() for t in (spikes, weight)),
        32.0,
        50.0,
        *(t.reshape(-1, 7).numpy() for t in (to_graded, to_adjoint)),
    )
    assert relative_error(actual[0], torch.from_numpy(expected[0]).reshape(shape)) < 1e-12
    assert relative_error(actual[1], torch.from_numpy(expected[1])) < 1e-12


@pytest.mark.parametrize("rounding", ["half_even", "none"])
@pytest.mark.parametrize("units", ["model", "lsb"])
@pytest.mark.parametrize("gradient", ["clipped", "identity", "returning"])
def test_gradients_are_those_of_graded_spikes_per_channel(gradient, units, rounding):
    """G0 makes the weight's gradient of graded_spikes, G1 the spikes'."""
    spikes, weight = spikes_of(6, 3, 5), torch.randn(7, 5) * 2
    to_graded, to_adjoint = torch.randn(2, 6, 3, 7)
    options = {"scale": 32.0, "gradient": gradient, "units": units, "rounding": rounding}
    to_spikes, to_weight = gradients(spikes, weight, to_graded, to_adjoint, **options)
    for gradient_in, position, actual in ((to_graded, 1, to_weight), (to_adjoint, 0, to_spikes)):
        leaves = (spikes.clone().requires_grad_(), weight.clone().requires_grad_())
        graded_spikes(*leaves, **options).backward(gradient_in)
        assert torch.equal(actual, leaves[position].grad)


def test_each_channel_alone():
    spikes, weight = spikes_of(6, 3, 5).requires_grad_(), torch.randn(7, 5, requires_grad=True)
    eventprop_graded_spikes(spikes, weight, 32.0)[0].sum().backward()
    assert spikes.grad is None and weight.grad.any()
    weight.grad = None
    eventprop_graded_spikes(spikes, weight, 32.0)[1].sum().backward()
    assert spikes.grad.any() and weight.grad is None


def test_no_gradient_to_the_spikes_asks_for_none_of_the_neurons():
    """The first layer: its spikes are data, so the adjoint channel is not differentiable."""
    weight = torch.randn(7, 5, requires_grad=True)
    graded, adjoint = eventprop_graded_spikes(spikes_of(6, 3, 5), weight)
    assert graded.requires_grad and not adjoint.requires_grad
    graded, adjoint = eventprop_graded_spikes(spikes_of(6, 3, 5).requires_grad_(), weight.detach())
    assert graded.requires_grad and adjoint.requires_grad


def test_channels_of_several_projections_add():
    """Two projections into one population: both tensors of a pair are summed."""
    spikes, weights = spikes_of(6, 3, 5), [torch.randn(7, 5, requires_grad=True) for _ in range(2)]
    leaf = spikes.clone().requires_grad_()
    pairs = [eventprop_graded_spikes(leaf, weight, 32.0) for weight in weights]
    to_adjoint = torch.randn(6, 3, 7)
    (pairs[0][1] + pairs[1][1]).backward(to_adjoint)
    expected = sum(gradients(spikes, w.detach(), to_adjoint, to_adjoint, scale=32.0)[0] for w in weights)
    torch.testing.assert_close(leaf.grad, expected)


def test_weight_gradient_is_never_of_the_size_of_the_batch():
    """Peak memory of the backward: rows in and out and a few matrices, not batch x weight."""
    time, batch, n_in, n_out = 4, 512, 128, 256
    spikes, weight = spikes_of(time, batch, n_in), torch.randn(n_out, n_in, requires_grad=True)
    graded, _ = eventprop_graded_spikes(spikes, weight, 32.0)
    gradient = torch.randn_like(graded)
    with torch.autograd.profiler.profile(profile_memory=True) as profile:
        graded.backward(gradient)
    largest = max(event.self_cpu_memory_usage for event in profile.function_events)
    assert largest < 4 * time * batch * (n_in + n_out) + 8 * n_in * n_out  # batch x weight would be 64 MB
    assert 4 * batch * n_in * n_out > 10 * largest


@pytest.mark.parametrize("threads", [2, 7])
def test_thread_counts(threads):
    spikes, weight, before = spikes_of(40, 50, 60), torch.randn(130, 60), torch.get_num_threads()
    to_graded, to_adjoint = torch.randn(2, 40, 50, 130)
    try:
        torch.set_num_threads(1)
        expected = gradients(spikes, weight, to_graded, to_adjoint, scale=32.0)
        torch.set_num_threads(threads)
        actual = gradients(spikes, weight, to_graded, to_adjoint, scale=32.0)
    finally:
        torch.set_num_threads(before)
    assert torch.equal(actual[1], expected[1])
    torch.testing.assert_close(actual[0], expected[0])


def test_non_contiguous():
    spikes, weight = spikes_of(5, 3, 6).transpose(0, 2), torch.randn(5, 7).t()
    graded, _ = eventprop_graded_spikes(spikes, weight, 32.0)
    assert torch.equal(graded, graded_spikes(spikes.contiguous(), weight.contiguous(), 32.0))
    gradient = torch.randn(7, 3, 6).transpose(0, 2)
    actual = gradients(spikes, weight, gradient, gradient, scale=32.0)
    expected = gradients(
        spikes.contiguous(), weight.contiguous(), gradient.contiguous(), gradient.contiguous(), scale=32.0
    )
    torch.testing.assert_close(actual, expected)


def test_backward_needs_the_gradients_that_it_is_asked_for():
    arguments = (torch.ones(2, 3, 5), torch.ones(7, 5), torch.ones(7, 5, dtype=torch.int8))
    rest = (1.0, -63.0, 63.0, "half_even", "clipped", "model")
    with pytest.raises(RuntimeError, match="_eventprop_graded_spikes_backward: grad must be given"):
        torch.ops.gradspike._eventprop_graded_spikes_backward(None, None, *arguments, *rest, [False, True])
