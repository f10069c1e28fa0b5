"""Integers and statistics in one pass: the results of the two operators, and of the references."""

import pytest
import torch

from gradspike.functional import hardware_weights, hardware_weights_with_statistics, weight_statistics
from reference import hardware_weights_with_statistics as reference


def check(weight, *args):
    integers, statistics = hardware_weights_with_statistics(weight, *args)
    expected = hardware_weights(weight, *args)
    assert integers.dtype == expected.dtype and torch.equal(integers, expected)
    assert statistics == weight_statistics(weight, *args)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("rounding", ["half_even", "half_away"])
@pytest.mark.parametrize("bounds", [(-63, 63), (0, 63), (0, 0), (-128, 128), (-315, 315)])
def test_values_of_the_two_operators(bounds, rounding, dtype):
    check(torch.randn(71, 43).to(dtype), 50.3, *bounds, rounding)


@pytest.mark.parametrize("bounds", [(-63, 63), (-315, 315)])
def test_adversarial_weights(bounds):
    inf, nan = float("inf"), float("nan")
    check(torch.tensor([[0.5, -0.5, 0.0, -0.0, nan], [inf, -inf, 63.0, 63.1, -63.5]]), 1.0, *bounds)


def test_reference():
    weight = torch.randn(9, 11)
    integers, statistics = hardware_weights_with_statistics(weight, 40.0)
    expected, numbers = reference.hardware_weights_with_statistics(weight.numpy(), 40.0)
    assert torch.equal(integers.long(), torch.from_numpy(expected).long())
    assert (statistics.hash, statistics.clipped_low) == (numbers["hash"], numbers["clipped_low"])


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (1, 1)])
def test_empty_and_single(shape):
    check(torch.randn(shape), 4.0)


def test_non_contiguous_and_any_number_of_threads():
    weight, before = torch.randn(401, 700).t(), torch.get_num_threads()
    for threads in (1, 2, 7):
        torch.set_num_threads(threads)
        check(weight, 40.0)
    torch.set_num_threads(before)
