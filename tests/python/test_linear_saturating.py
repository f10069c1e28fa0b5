import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradspike.functional import linear_saturating
from reference import linear_saturating as reference

RULES = ("clipped", "identity", "returning")
BOUNDS = ((-63.0, 63.0), (0.0, 63.0), (-63.0, 0.0), (0.0, 0.0), (0.25, 0.5), (-1e9, 1e9))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("bounds", BOUNDS)
@pytest.mark.parametrize("scale", [1.0, 63.7, 1e-3])
def test_values_are_the_bits_of_the_equation(dtype, bounds, scale):
    weight = torch.randn(37, 11, dtype=dtype) * 3
    expected = reference.linear_saturating(weight.numpy(), scale, *bounds)
    assert torch.equal(linear_saturating(weight, scale, *bounds), torch.from_numpy(expected))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_weights_are_computed_in_float32(dtype):
    weight = torch.randn(50).to(dtype)
    result = linear_saturating(weight, 60.1)
    assert result.dtype == dtype
    assert torch.equal(result, linear_saturating(weight.float(), 60.1).to(dtype))


def test_special_values():
    weight = torch.tensor([float("nan"), float("inf"), -float("inf"), 0.0, 3e38])
    result = linear_saturating(weight, 2.0)
    assert torch.equal(torch.isnan(result), torch.tensor([True, False, False, False, False]))
    assert result[1:].tolist() == [63.0, -63.0, 0.0, 63.0]


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_rules(rule, dtype):
    weight = torch.randn(40, 5, dtype=dtype)
    weight[0] = torch.tensor([1.0, -1.0, 2.0, -2.0, float("nan")], dtype=dtype)  # on, beyond the bounds of +-32
    weight.requires_grad_()
    gradient = torch.randn(40, 5, dtype=dtype)
    linear_saturating(weight, 32.0, -32.0, 32.0, gradient=rule).backward(gradient)
    expected = reference.weight_gradient(gradient.numpy(), weight.detach().numpy(), 32.0, -32.0, 32.0, rule)
    assert torch.equal(weight.grad, torch.from_numpy(expected))


def test_rules_differ_beyond_the_bounds():
    results = {}
    for rule in RULES:
        weight = torch.tensor([2.0, 2.0, -2.0, -2.0, 0.5], requires_grad=True)
        linear_saturating(weight, 63.0, gradient=rule).backward(torch.tensor([1.0, -1.0, 1.0, -1.0, 1.0]))
        results[rule] = weight.grad.tolist()
    assert results["clipped"] == [0.0, 0.0, 0.0, 0.0, 63.0]
    assert results["identity"] == [63.0, -63.0, 63.0, -63.0, 63.0]
    assert results["returning"] == [63.0, 0.0, 0.0, -63.0, 63.0]


def test_gradcheck_away_from_the_bounds():
    weight = torch.tensor([-2.0, -0.7, 0.0, 0.3, 1.4], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: linear_saturating(w, 50.0), (weight,))


def test_gradient_of_narrow_weight_has_its_dtype():
    weight = torch.randn(5).to(torch.bfloat16).requires_grad_()
    linear_saturating(weight, 8.0).sum().backward()
    assert weight.grad.dtype == torch.bfloat16
    assert torch.equal(weight.grad, torch.full((5,), 8.0, dtype=torch.bfloat16))


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3, 4, 5)])
def test_any_shape(shape):
    weight = torch.randn(shape)
    assert torch.equal(linear_saturating(weight, 20.0), torch.clamp(weight * 20.0, -63.0, 63.0))


def test_non_contiguous():
    weight = torch.randn(13, 17)
    assert torch.equal(linear_saturating(weight.t(), 70.0), linear_saturating(weight, 70.0).t())
    assert torch.equal(linear_saturating(weight[::2, 1::3], 70.0), linear_saturating(weight, 70.0)[::2, 1::3])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=20),
    st.floats(min_value=2.0**-10, max_value=2.0**10, width=32),
    st.floats(-100, 0),
    st.floats(0, 100),
)
def test_properties(weights, scale, low, high):
    result = linear_saturating(torch.tensor(weights), scale, low, high)
    low32, high32 = numpy.float32(low), numpy.float32(high)
    assert bool(((result >= low32) & (result <= high32)).all())
    order = torch.tensor(weights).argsort()
    assert bool((result[order].diff() >= 0).all())
