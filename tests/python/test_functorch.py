"""vmap, grad, jacrev; forward mode and double backward are refused, not silently zero."""

import pytest
import torch

from cases import CASES, DIFFERENTIABLE, gradients_of, outputs_of
from gradspike import functional as F

# The operators have no rule of their own for a mapped dimension yet, and PyTorch says so.
pytestmark = pytest.mark.filterwarnings("ignore:There is a performance drop:UserWarning")


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_vmap_is_a_loop(case):
    runs = [tuple(tensor * 2**k for tensor in case.arguments(requires_grad=False)) for k in range(3)]
    mapped = torch.vmap(case.call)(*(torch.stack(tensors) for tensors in zip(*runs)))
    expected = [outputs_of(case.call(*tensors)) for tensors in runs]
    for position, output in enumerate(outputs_of(mapped)):
        wanted = torch.stack([outputs[position] for outputs in expected])
        if case.name == "graded_spikes_float":  # the library's float product, whose order is its own
            torch.testing.assert_close(output, wanted)
        else:
            assert torch.equal(output, wanted)


def _ramp_sum(output):
    return (output * torch.linspace(-1.0, 1.0, output.numel(), dtype=output.dtype).reshape(output.shape)).sum()


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_func_grad(case):
    tensors = case.arguments()
    expected = gradients_of(case.call(*tensors), tensors)

    def loss(*args):
        return sum(_ramp_sum(output) for output in outputs_of(case.call(*args)))

    detached = tuple(tensor.detach() for tensor in tensors)
    actual = torch.func.grad(loss, argnums=case.differentiable)(*detached)
    for a, e in zip(actual, expected):
        torch.testing.assert_close(a, e)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_func_grad_of_leaves_that_ask_for_a_gradient(case):
    """As `torch.func.functional_call` with the parameters of a module: the outer tape sees the inner call too."""
    tensors = case.arguments()
    expected = gradients_of(case.call(*tensors), tensors)

    def loss(*args):
        return sum(_ramp_sum(output) for output in outputs_of(case.call(*args)))

    actual = torch.func.grad(loss, argnums=case.differentiable)(*tensors)
    for a, e in zip(actual, expected):
        torch.testing.assert_close(a.detach(), e)


def test_gradient_per_sample():
    weight, spikes = torch.randn(3, 5), (torch.rand(4, 6, 5) < 0.5).float()

    def loss(weight, sample):
        return F.graded_spikes(sample, weight, 64.0).square().sum()

    per_sample = torch.vmap(torch.func.grad(loss), in_dims=(None, 0))(weight, spikes)
    for k in range(4):
        torch.testing.assert_close(per_sample[k], torch.func.grad(loss)(weight, spikes[k]))


def test_jacrev():
    x = torch.randn(4, 1, 2, dtype=torch.float64)
    jacobian = torch.func.jacrev(lambda x: F.li(x).membrane)(x)
    expected = torch.autograd.functional.jacobian(lambda x: F.li(x).membrane, x)
    torch.testing.assert_close(jacobian, expected)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_forward_mode_is_refused(case):
    tensors = tuple(tensor.detach() for tensor in case.arguments())
    tangents = tuple(torch.ones_like(tensor) for tensor in tensors)
    with pytest.raises(NotImplementedError, match="forward"):
        torch.func.jvp(case.call, tensors, tangents)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_double_backward_is_refused(case):
    tensors = case.arguments()
    outputs = [output for output in outputs_of(case.call(*tensors)) if output.requires_grad]
    leaves = [tensor for tensor in tensors if tensor.requires_grad]
    loss = sum(output.square().sum() for output in outputs)
    gradients = torch.autograd.grad(loss, leaves, create_graph=True)
    with pytest.raises(RuntimeError, match="second derivative of gradspike::.* is not implemented"):
        torch.autograd.grad(sum(gradient.square().sum() for gradient in gradients), leaves)
