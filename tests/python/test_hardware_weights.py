import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradspike.functional import hardware_weights
from reference import hardware_weights as reference

BOUNDS = (
    (-63, 63),
    (0, 63),
    (-63, 0),
    (0, 0),
    (-126, 126),
    (-127, 127),
    (-128, 128),
    (-256, 256),
    (-315, 315),
    (-32767, 32767),
)
ROUNDINGS = ("half_even", "half_away")


def expected(weight, *args):
    return torch.from_numpy(reference.hardware_weights(weight.numpy(), *args))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rounding", ROUNDINGS)
@pytest.mark.parametrize("bounds", BOUNDS)
def test_integers_of_random_weights(bounds, rounding, dtype):
    weight = torch.randn(31, 17, dtype=dtype) * 2
    result = hardware_weights(weight, 61.3, *bounds, rounding=rounding)
    assert result.dtype == (torch.int8 if max(-bounds[0], bounds[1]) <= 127 else torch.int16)
    assert torch.equal(result.to(torch.int64), expected(weight, 61.3, *bounds, rounding))


@pytest.mark.parametrize("rounding", ROUNDINGS)
def test_exact_ties_and_their_neighbours(rounding):
    ties = torch.arange(-70, 70, dtype=torch.float32) + 0.5
    infinity = torch.tensor(float("inf"))
    weight = torch.cat([ties, torch.nextafter(ties, infinity), torch.nextafter(ties, -infinity)])
    result = hardware_weights(weight, 1.0, rounding=rounding)
    assert torch.equal(result.to(torch.int64), expected(weight, 1.0, -63, 63, rounding))


def test_known_ties():
    weight = torch.tensor([0.5, 1.5, 2.5, -0.5, -1.5, 0.49999997, -0.49999997])
    assert hardware_weights(weight).tolist() == [0, 2, 2, 0, -2, 0, 0]
    assert hardware_weights(weight, rounding="half_away").tolist() == [1, 2, 3, -1, -2, 0, 0]


def test_product_is_rounded_before_the_integer():
    # 0.1 * 5 is below 0.5 in exact arithmetic of these floats or above it; only the rounded product is a tie.
    weight = torch.tensor([0.1, 0.3, 0.7, 1.1])
    for scale in (5.0, 15.0, 3.3):
        assert torch.equal(hardware_weights(weight, scale).to(torch.int64), expected(weight, scale))


@pytest.mark.parametrize("bounds, lowest", [((-63, 63), -128), ((0, 127), -128), ((-128, 63), -32768)])
def test_nan_is_the_lowest_value_of_the_type(bounds, lowest):
    assert hardware_weights(torch.tensor([float("nan"), 1.0]), 1.0, *bounds).tolist() == [lowest, 1]


def test_infinite_and_overflowing_weights_take_the_bound():
    weight = torch.tensor([float("inf"), -float("inf"), 3e38, -3e38])
    assert hardware_weights(weight, 4.0, -63, 31).tolist() == [31, -63, 31, -63]


def test_scale_is_taken_as_float32():
    weight = torch.rand(1000, dtype=torch.float64) * 60
    scale = 1.0 + 1e-9  # 1 in float32
    assert torch.equal(hardware_weights(weight, scale), hardware_weights(weight, 1.0))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_narrow_weights_are_widened(dtype):
    weight = torch.randn(200).to(dtype)
    assert torch.equal(hardware_weights(weight, 63.0), hardware_weights(weight.float(), 63.0))


def test_float64_weights_are_not_narrowed():
    weight = torch.tensor([0.5 + 1e-12], dtype=torch.float64)
    assert hardware_weights(weight).item() == 1
    assert hardware_weights(weight.float()).item() == 0


@pytest.mark.parametrize("shape", [(), (0,), (0, 4), (1,), (3, 4, 5)])
def test_any_shape(shape):
    weight = torch.randn(shape)
    assert torch.equal(hardware_weights(weight, 30.0).double(), torch.round((weight * 30.0).clamp(-63, 63)).double())


def test_non_contiguous():
    weight = torch.randn(13, 17)
    assert torch.equal(hardware_weights(weight.t(), 30.0), hardware_weights(weight, 30.0).t())
    assert torch.equal(hardware_weights(weight[:, ::4], 30.0), hardware_weights(weight, 30.0)[:, ::4])


def test_large_weight_equals_eager_rounding():
    weight = torch.randn(1025, 1023) * 2
    assert torch.equal(hardware_weights(weight, 64.0), torch.round((weight * 64.0).clamp(-63, 63)).to(torch.int8))


def test_result_has_no_gradient():
    assert not hardware_weights(torch.randn(4, requires_grad=True)).requires_grad


@settings(max_examples=80, deadline=None)
@given(
    st.lists(st.floats(width=32), min_size=1, max_size=16),
    st.floats(min_value=2.0**-10, max_value=2.0**10, width=32),
    st.sampled_from(BOUNDS),
    st.sampled_from(ROUNDINGS),
)
def test_any_float(weights, scale, bounds, rounding):
    weight = torch.tensor(weights, dtype=torch.float32)
    result = hardware_weights(weight, scale, *bounds, rounding=rounding)
    assert numpy.array_equal(result.numpy(), reference.hardware_weights(weight.numpy(), scale, *bounds, rounding))
