import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradspike.functional import WeightStatistics, suggest_scale, weight_statistics
from reference import weight_statistics as reference

NAMES = ("total", "clipped_low", "clipped_high", "to_zero", "nan", "largest", "hash")


def check(weight, *args):
    result = weight_statistics(weight, *args)
    expected = reference.weight_statistics(weight.numpy(), *args)
    for name in NAMES:
        assert getattr(result, name) == expected[name], name
    # Squares are counted in units of 2^-32 LSB^2, each to half a unit.
    assert result.rounding_error**2 == pytest.approx(expected["rounding_error"] ** 2, rel=1e-9, abs=2.0**-33)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("rounding", ["half_even", "half_away"])
@pytest.mark.parametrize("bounds", [(-63, 63), (0, 63), (-63, 0), (0, 0), (-128, 128), (-315, 315)])
def test_values(bounds, rounding, dtype):
    check(torch.randn(19, 23, dtype=dtype), 50.3, *bounds, rounding)


def test_adversarial_weights():
    weight = torch.tensor([[0.5, -0.5, 0.0, -0.0, float("nan")], [float("inf"), -float("inf"), 63.0, 63.1, -63.5]])
    check(weight, 1.0, -63, 63, "half_even")
    statistics = weight_statistics(weight)
    assert (statistics.to_zero, statistics.nan, statistics.clipped_low, statistics.clipped_high) == (2, 1, 2, 2)
    assert math.isinf(statistics.largest)


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (0, 0), (1, 1)])
def test_empty_and_single(shape):
    check(torch.randn(shape), 4.0, -63, 63, "half_even")


def test_fractions():
    statistics = weight_statistics(torch.tensor([[2.0, 0.001, -3.0, 0.5]]), 64.0)
    assert (statistics.clipped_fraction, statistics.to_zero_fraction) == (0.5, 0.25)
    assert weight_statistics(torch.empty(0, 4)).clipped_fraction == 0.0


def test_hash_tells_shape_bounds_and_order_apart():
    weight = torch.arange(12, dtype=torch.float32)
    hashes = {
        weight_statistics(weight.reshape(3, 4)).hash,
        weight_statistics(weight.reshape(4, 3)).hash,
        weight_statistics(weight.flip(0).reshape(3, 4)).hash,
        weight_statistics(weight.reshape(3, 4), 1.0, -63, 62).hash,
        weight_statistics(weight.reshape(3, 4), 1.0, -62, 63).hash,
        weight_statistics(weight.reshape(3, 4) + 1).hash,
    }
    assert len(hashes) == 6
    assert all(0 <= value < 2**64 for value in hashes)


def test_hash_is_that_of_the_integers_not_of_the_floats():
    weight = torch.randn(5, 5)
    same = torch.round(weight * 64).clamp(-63, 63) / 64
    assert weight_statistics(weight, 64.0).hash == weight_statistics(same, 64.0).hash


def test_non_contiguous():
    weight = torch.randn(8, 9)
    assert weight_statistics(weight.t(), 30.0) == weight_statistics(weight.t().contiguous(), 30.0)
    assert weight_statistics(weight.t(), 30.0).hash != weight_statistics(weight, 30.0).hash


def test_any_number_of_threads_gives_the_same_numbers():
    weight = torch.randn(700, 501)
    threads = torch.get_num_threads()
    results = []
    for count in (1, 2, 3):
        torch.set_num_threads(count)
        results.append(weight_statistics(weight, 40.0))
    torch.set_num_threads(threads)
    assert results[0] == results[1] == results[2]


@settings(max_examples=40, deadline=None)
@given(st.lists(st.floats(width=32), min_size=4, max_size=4), st.floats(min_value=0.125, max_value=128.0, width=32))
def test_any_float(weights, scale):
    check(torch.tensor(weights, dtype=torch.float32).reshape(2, 2), scale, -63, 63, "half_even")


class TestSuggestScale:
    def test_nothing_clips_where_none_may(self):
        weight = torch.randn(40, 40)
        suggestion = suggest_scale(weight, max_clipped=0.0)
        assert suggestion.clipped_fraction == 0.0
        assert weight_statistics(weight, suggestion.scale * 2).clipped_fraction > 0.0

    def test_is_the_largest_power_of_two_within_the_share(self):
        weight = torch.randn(60, 60) * 0.2
        suggestion = suggest_scale(weight, max_clipped=0.03)
        assert math.log2(suggestion.scale).is_integer()
        assert suggestion.clipped_fraction <= 0.03 < weight_statistics(weight, suggestion.scale * 2).clipped_fraction
        assert suggestion.to_zero_fraction == weight_statistics(weight, suggestion.scale).to_zero_fraction

    def test_unsigned_bounds_are_steered_by_their_own_sign(self):
        weight = torch.tensor([[-100.0, 0.5, 0.25]])
        assert suggest_scale(weight, 0.0, 63.0, max_clipped=0.0).scale == 64.0

    @pytest.mark.parametrize("weight", [torch.zeros(3, 3), torch.empty(0, 3)])
    def test_nothing_to_scale(self, weight):
        assert suggest_scale(weight).scale == 1.0

    def test_errors(self):
        with pytest.raises(ValueError, match="suggest_scale: max_clipped must lie in"):
            suggest_scale(torch.ones(1, 1), max_clipped=1.0)
        with pytest.raises(ValueError, match="suggest_scale: weight must be finite"):
            suggest_scale(torch.full((1, 1), float("inf")))


def test_result_is_made_of_python_numbers():
    statistics = weight_statistics(torch.ones(2, 2))
    assert isinstance(statistics, WeightStatistics)
    assert all(type(getattr(statistics, name)) is int for name in NAMES if name != "largest")
