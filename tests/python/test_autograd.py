"""The operators as nodes of PyTorch's autograd: masks, hooks, retained graphs, in-place changes, inference mode."""

import pytest
import torch

from cases import CASES, DIFFERENTIABLE, gradients_of, outputs_of
from gradspike import functional as F


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_each_gradient_alone_has_the_bits_of_all_together(case):
    tensors = case.arguments()
    together = dict(zip(case.differentiable, gradients_of(case.call(*tensors), tensors)))
    for position, expected in together.items():
        single = [tensor.detach().requires_grad_(k == position) for k, tensor in enumerate(case.arguments())]
        (actual,) = gradients_of(case.call(*single), tuple(single))
        assert torch.equal(actual, expected)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_retained_graph_gives_the_same_twice(case):
    tensors = case.arguments()
    leaves = [tensor for tensor in tensors if tensor.requires_grad]
    loss = sum(output.sum() for output in outputs_of(case.call(*tensors)) if output.requires_grad)
    first = torch.autograd.grad(loss, leaves, retain_graph=True)
    second = torch.autograd.grad(loss, leaves)
    assert all(torch.equal(a, b) for a, b in zip(first, second))
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        torch.autograd.grad(loss, leaves)


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_saved_tensor_hooks_see_what_is_kept(case):
    tensors = case.arguments()
    expected = gradients_of(case.call(*tensors), tensors)
    packed = []

    def pack(tensor):
        packed.append(tensor)
        return tensor.clone()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = case.call(*tensors)
    assert packed
    assert all(torch.equal(a, e) for a, e in zip(gradients_of(result, tensors), expected))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_inference_mode(case):
    tensors = case.arguments(requires_grad=False)
    expected = outputs_of(case.call(*tensors))
    with torch.inference_mode():
        result = outputs_of(case.call(*tensors))
    assert all(torch.equal(a, e) for a, e in zip(result, expected))


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_arguments_are_left_alone(case):
    tensors = case.arguments()
    before = [tensor.detach().clone() for tensor in tensors]
    result = case.call(*tensors)
    if case.differentiable:
        gradients_of(result, tensors)
    assert all(torch.equal(tensor, copy) for tensor, copy in zip(tensors, before))
    assert all(tensor._version == 0 for tensor in tensors)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_results_share_no_memory(case):
    tensors = case.arguments(requires_grad=False)
    storages = [tensor.untyped_storage().data_ptr() for tensor in (*tensors, *outputs_of(case.call(*tensors)))]
    storages = [pointer for pointer in storages if pointer]
    assert len(storages) == len(set(storages))


@pytest.mark.parametrize("case", DIFFERENTIABLE, ids=lambda case: case.name)
def test_changing_a_result_in_place_is_exact_or_refused(case):
    tensors = case.arguments()
    leaves = [tensor for tensor in tensors if tensor.requires_grad]
    outputs = [output for output in outputs_of(case.call(*tensors)) if output.requires_grad]
    expected = torch.autograd.grad(sum((output * 3.0).sum() for output in outputs), leaves)
    outputs = [output for output in outputs_of(case.call(*tensors)) if output.requires_grad]
    try:
        actual = torch.autograd.grad(sum(output.mul_(3.0).sum() for output in outputs), leaves)
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error) or "a single memory location" in str(error)
    else:
        assert all(torch.allclose(a, e, rtol=1e-5) for a, e in zip(actual, expected))


def test_gradient_through_the_final_state_alone():
    x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: F.li(x, outputs="").state, (x,))
    F.lif(x, threshold=1e9, outputs="").state[:2].sum().backward()
    assert x.grad.abs().sum() > 0


def test_one_tensor_as_two_parameters():
    """Capacitance equal to tau_mem is unit gain: one parameter may be both."""
    x = torch.rand(8, 2, 3, dtype=torch.float64)
    tau = (torch.rand(3, dtype=torch.float64) * 5 + 5).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda tau: F.li(x, tau_mem=tau * 1e-6, membrane_capacitance=tau * 1e-6).membrane, (tau,)
    )
    shared = torch.full((3,), 8e-6, requires_grad=True)
    split = [torch.full((3,), 8e-6, requires_grad=True) for _ in range(2)]
    F.lif(x.float() * 4, tau_mem=shared, membrane_capacitance=shared).spikes.sum().backward()
    F.lif(x.float() * 4, tau_mem=split[0], membrane_capacitance=split[1]).spikes.sum().backward()
    torch.testing.assert_close(shared.grad, split[0].grad + split[1].grad)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(), (3,)])
def test_parameter_gradients_keep_shape_and_dtype(shape, dtype):
    leak = torch.full(shape, 0.25, dtype=dtype, requires_grad=True)
    F.lif(torch.randn(6, 2, 3) * 3, leak).spikes.sum().backward()
    assert leak.grad.shape == leak.shape and leak.grad.dtype == dtype and leak.grad.abs().sum() > 0


def test_expanded_arguments():
    x = torch.randn(6, 1, 3).expand(6, 4, 3)
    state = torch.zeros(3, 1, 1).expand(3, 4, 3)
    assert torch.equal(F.lif(x, initial_state=state).spikes, F.lif(x.contiguous()).spikes)
    spikes = torch.ones(1, 1, 5).expand(6, 4, 5)
    weight = torch.randn(1, 5).expand(7, 5)
    assert torch.equal(F.graded_spikes(spikes, weight), F.graded_spikes(spikes.contiguous(), weight.contiguous()))


def test_gradients_of_expanded_arguments():
    x, weight = torch.randn(6, 1, 3, requires_grad=True), torch.randn(1, 5, requires_grad=True)
    F.lif(x.expand(6, 4, 3)).spikes.sum().backward()
    F.graded_spikes(torch.ones(2, 5), weight.expand(7, 5), 10.0).sum().backward()
    assert x.grad.shape == (6, 1, 3)
    assert torch.equal(weight.grad, torch.where((weight.detach() * 10.0).abs() <= 63.0, 14.0, 0.0))


def test_long_runs():
    """Memory and time of the backward are linear in time: 20000 steps take a moment."""
    x = torch.randn(20000, 1, 8, requires_grad=True)
    F.lif(x).spikes.sum().backward()
    assert torch.isfinite(x.grad).all()
