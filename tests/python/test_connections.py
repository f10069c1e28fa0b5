import pytest
import torch

from gradspike.functional import connections
from reference import connections as reference
from reference import hardware_weights


def expected(weight, *args):
    rows = reference.connections(hardware_weights.hardware_weights(weight.numpy(), *args))
    return torch.tensor(rows, dtype=torch.int32).reshape(-1, 3)


@pytest.mark.parametrize("rounding", ["half_even", "half_away"])
@pytest.mark.parametrize("bounds", [(-63, 63), (0, 63), (-63, 0), (-315, 315)])
@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (1, 1), (17, 1), (64, 33)])
def test_values(shape, bounds, rounding):
    weight = torch.randn(shape)
    result = connections(weight, 63.0, *bounds, rounding=rounding)
    assert result.dtype == torch.int32
    assert torch.equal(result, expected(weight, 63.0, *bounds, rounding))


def test_post_is_outer_and_zeros_stay():
    assert connections(torch.tensor([[1.0, 0.0], [2.0, 3.0]])).tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 2], [1, 1, 3]]


@pytest.mark.parametrize("shape", [(0, 4), (4, 0), (0, 0)])
def test_empty(shape):
    assert connections(torch.randn(shape)).shape == (0, 3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_dtypes(dtype):
    weight = torch.randn(4, 3).to(dtype)
    wide = weight.double() if dtype == torch.float64 else weight.float()
    assert torch.equal(connections(weight, 20.0), expected(wide, 20.0))


def test_non_contiguous():
    weight = torch.randn(4, 6)
    assert torch.equal(connections(weight.t(), 20.0), connections(weight.t().contiguous(), 20.0))


def test_nan_is_refused_with_its_place():
    weight = torch.ones(3, 4)
    weight[1, 2] = float("nan")
    with pytest.raises(RuntimeError, match=r"connections: .*NaN"):
        connections(weight)


def test_infinite_weights_take_the_bound():
    assert connections(torch.tensor([[float("inf"), -float("inf")]]))[:, 2].tolist() == [63, -63]


def test_result_has_no_gradient():
    assert not connections(torch.ones(2, 2, requires_grad=True)).requires_grad
