"""The packed form of a weight: values, sizes, NaN, both integer types."""

import pytest
import torch

from gradspike.functional import PackedWeights, hardware_weights, prepack
from reference import prepack as reference


@pytest.mark.parametrize("bounds", [(-63, 63), (0, 63), (-127, 127), (-128, 128), (-315, 315)])
@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (64, 64), (65, 130), (0, 3), (3, 0)])
@pytest.mark.parametrize("rounding", ["half_even", "half_away"])
def test_values(shape, bounds, rounding):
    weight = torch.randn(shape) * 3
    if weight.numel() > 5:
        weight[0, 2] = weight[-1, 0] = float("nan")
    packed = prepack(weight, 47.3, *bounds, rounding=rounding)
    assert isinstance(packed, PackedWeights)
    integers = hardware_weights(weight, 47.3, *bounds, rounding=rounding)
    expected = reference.prepack(integers.long().numpy(), weight.isnan().numpy())
    assert packed.rows.dtype == packed.matrix.dtype == integers.dtype and packed.groups.dtype == torch.int8
    for name, value in zip(("rows", "groups", "matrix", "nan_posts"), expected):
        if name == "groups" and integers.dtype == torch.int16:
            assert packed.groups.numel() == 0
            continue
        assert torch.equal(getattr(packed, name).long(), torch.from_numpy(value).long()), name
    assert packed.nan_posts.dtype == torch.bool
    assert packed[4:] == (shape[0], 47.3, *bounds)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_dtypes_and_non_contiguous(dtype):
    weight = torch.randn(9, 6).to(dtype)
    assert torch.equal(prepack(weight.t(), 20.0).rows[:, :6], hardware_weights(weight, 20.0))
