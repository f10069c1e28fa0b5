"""A6: the functional interface."""

import pytest
import torch

from gradspike.spiking import functional
from reference import hxtorch_contract as reference

CLAMPED = {0.0: 0.0, 0.5: 0.5, 1.0: 1.0, 1.5: 1.4824820, 2.0: 1.4999995, 2.5: 1.5, 3.0: 1.5}
"""Golden values of the exponential clamp for cap 1.5 and start 61."""


def test_a6_linear():
    x, weight, bias = torch.randn(4, 2, 3), torch.randn(5, 3), torch.randn(5)
    torch.testing.assert_close(functional.linear(x, weight), x @ weight.t())
    torch.testing.assert_close(functional.linear(x, weight, bias), x @ weight.t() + bias)


def test_a6_linear_sparse_zeroes_in_place():
    x, weight = torch.randn(4, 2, 3), torch.nn.Parameter(torch.randn(2, 3))
    mask = torch.tensor([[True, False, True], [False, True, False]])
    expected = x @ (weight.detach() * mask).t()
    result = functional.linear_sparse(x, weight, mask.nonzero().t().tolist())
    torch.testing.assert_close(result, expected)
    assert torch.equal(weight != 0, mask)


def test_a6_linear_sparse_without_connections_leaves_the_weight_alone():
    x, weight = torch.randn(4, 2, 3), torch.nn.Parameter(torch.randn(2, 3))
    before = weight.detach().clone()
    torch.testing.assert_close(functional.linear_sparse(x, weight), x @ before.t())
    assert torch.equal(weight, before)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_a6_exponential_clamp_golden_values(sign):
    weight = sign * torch.tensor(list(CLAMPED)).reshape(1, -1)
    result = functional.linear_exponential_clamp(torch.eye(7), weight, cap=1.5, start_weight=61.0).flatten()
    torch.testing.assert_close(result, sign * torch.tensor(list(CLAMPED.values())), rtol=0, atol=2e-7)


def test_a6_exponential_clamp_quantised_golden_value():
    weight = torch.tensor([[1.5, -1.5]])
    result = functional.linear_exponential_clamp(torch.eye(2), weight, quantize=True).flatten()
    torch.testing.assert_close(result, torch.tensor([1.4761904, -1.4761904]), rtol=0, atol=2e-7)


def test_a6_exponential_clamp_golden_gradients():
    weight = torch.tensor([[1.0, 2.0, -2.0]], requires_grad=True)
    (gradient,) = torch.autograd.grad(functional.linear_exponential_clamp(torch.eye(3), weight).sum(), weight)
    torch.testing.assert_close(gradient, torch.tensor([[1.0, 1.013e-5, 1.013e-5]]), rtol=1e-3, atol=0)


@pytest.mark.parametrize("quantize", [False, True])
@pytest.mark.parametrize("cap, start", [(1.5, 61.0), (1.0, 0.0), (0.7, 40.0)])
def test_a6_exponential_clamp_is_its_equation(cap, start, quantize):
    weight = torch.linspace(-3, 3, 60, dtype=torch.float64).reshape(5, 12).requires_grad_()
    x = torch.randn(4, 2, 12, dtype=torch.float64)
    ours = functional.linear_exponential_clamp(x, weight, cap=cap, start_weight=start, quantize=quantize)
    theirs = x @ reference.exponential_clamp(weight, cap, start, quantize).t()
    torch.testing.assert_close(ours, theirs)
    ramp = torch.linspace(-1, 1, ours.numel(), dtype=torch.float64).reshape(ours.shape)
    a, b = (torch.autograd.grad((value * ramp).sum(), weight)[0] for value in (ours, theirs))
    torch.testing.assert_close(a, b)


def test_a6_exponential_clamp_is_smooth_odd_and_bounded():
    joint = 61 / 63 * 1.5
    weight = torch.tensor([joint - 1e-9, joint + 1e-9, 1e6], dtype=torch.float64, requires_grad=True)
    value = functional.linear_exponential_clamp(torch.eye(3, dtype=torch.float64), weight.unsqueeze(0)).flatten()
    (slope,) = torch.autograd.grad(value.sum(), weight)
    assert abs(value[0] - value[1]) < 1e-8 and abs(slope[0] - slope[1]) < 1e-6
    assert value[2] == 1.5 and slope[2] == 0
    mirrored = functional.linear_exponential_clamp(torch.eye(3, dtype=torch.float64), -weight.unsqueeze(0)).flatten()
    assert torch.equal(mirrored, -value)


def test_a6_exponential_clamp_of_infinite_and_huge_weights_has_finite_gradients():
    weight = torch.tensor([[1e30, -1e30, 0.0]], requires_grad=True)
    result = functional.linear_exponential_clamp(torch.eye(3), weight, start_weight=0.0)
    (gradient,) = torch.autograd.grad(result.sum(), weight)
    assert result.isfinite().all() and gradient.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a6_threshold_is_strict_and_of_the_dtype(dtype):
    x = torch.tensor([-1.0, 0.0, 1e-30, 2.0], dtype=dtype, requires_grad=True)
    result = functional.threshold(x, "superspike", 50.0)
    assert result.dtype == dtype and result.tolist() == [0.0, 0.0, 1.0, 1.0]
    (gradient,) = torch.autograd.grad(result.sum(), x)
    torch.testing.assert_close(gradient, 1 / (50.0 * x.detach().abs() + 1) ** 2)


def test_a6_other_thresholds_are_refused():
    with pytest.raises(ValueError, match="Threshold function 'fancy' is not implemented yet"):
        functional.threshold(torch.zeros(1), "fancy", 1.0)


def test_a6_unterjubel_gives_the_second_and_the_gradient_to_the_first():
    x, y = torch.randn(3, requires_grad=True), torch.randn(3, requires_grad=True)
    result = functional.Unterjubel.apply(x, y)
    assert torch.equal(result, y)
    to_x, to_y = torch.autograd.grad((result * torch.arange(3.0)).sum(), (x, y), allow_unused=True)
    assert torch.equal(to_x, torch.arange(3.0)) and to_y is None


def test_a6_input_neuron():
    x = torch.rand(4, 1, 2, requires_grad=True)
    assert functional.input_neuron(x) is x
    measured = torch.rand(6, 1, 2)
    result = functional.input_neuron(x, measured)
    assert torch.equal(result, measured[:4])
    assert torch.equal(torch.autograd.grad(result.sum(), x)[0], torch.ones(4, 1, 2))
    short = functional.input_neuron(x, measured[:3])
    assert torch.equal(short[:3], measured[:3]) and torch.equal(short[3], x[3])


def test_a6_batch_dropout_does_not_rescale():
    x, mask = torch.rand(4, 2, 3), torch.tensor([True, False, True])
    assert torch.equal(functional.batch_dropout(x, mask), x * torch.tensor([1.0, 0.0, 1.0]))


@pytest.mark.parametrize("kind", ["li", "lif"])
def test_a6_deprecated_integrations_warn(kind):
    x = torch.zeros(3, 1, 2)
    with pytest.warns(DeprecationWarning, match=f"exp_cuba_{kind}_integration is deprecated"):
        if kind == "li":
            functional.exp_cuba_li_integration(x, leak=0.0, tau_syn_exp=0.9, tau_mem_exp=0.9)
        else:
            functional.exp_cuba_lif_integration(x, leak=0.0, reset=0.0, threshold=1.0, tau_syn_exp=0.9, tau_mem_exp=0.9)
