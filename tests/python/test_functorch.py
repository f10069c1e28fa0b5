"""torch.func.grad; forward mode and double backward are refused, not silently zero. vmap: test_vmap.py."""

import pytest
import torch

from cases import DIFFERENTIABLE, gradients_of, outputs_of


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


def several(tensor):
    return torch.stack([tensor, tensor * 1.25]) if tensor.is_floating_point() else torch.stack([tensor, tensor])


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_forward_mode_of_samples_is_refused(case):
    tensors = tuple(several(tensor.detach()) for tensor in case.arguments())
    tangents = tuple(torch.ones_like(tensor) for tensor in tensors)
    with pytest.raises(NotImplementedError, match="forward"):
        torch.vmap(lambda *args: torch.func.jvp(case.call, args[: len(tensors)], args[len(tensors) :]))(
            *tensors, *tangents
        )


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_double_backward_of_samples_is_refused(case):
    """Also where the samples have weights of their own: a stack."""
    tensors = tuple(several(tensor.detach()) for tensor in case.arguments())

    def loss(*args):
        return sum(output.square().sum() for output in outputs_of(case.call(*args)) if output.is_floating_point())

    def of_gradient(*args):
        gradients = torch.func.grad(loss, argnums=case.differentiable)(*args)
        return sum(gradient.square().sum() for gradient in gradients)

    with pytest.raises(RuntimeError, match="second derivative of gradspike::.* is not implemented"):
        torch.vmap(torch.func.grad(of_gradient, argnums=case.differentiable))(*tensors)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_jacobian_in_chunks(case):
    """Chunks of rows of the Jacobian, each one call of the backward."""
    tensors = tuple(tensor.detach() for tensor in case.arguments(batch=1))
    argument = case.differentiable[0]

    def first(tensor):
        return outputs_of(case.call(*tensors[:argument], tensor, *tensors[argument + 1 :]))[0]

    whole = torch.func.jacrev(first)(tensors[argument])
    torch.testing.assert_close(torch.func.jacrev(first, chunk_size=3)(tensors[argument]), whole)
