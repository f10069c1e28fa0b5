import itertools
import math

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradspike.functional import graded_spikes
from gradspike.functional import hardware_weights as integers_of
from reference import graded_spikes as reference
from reference import hardware_weights, linear_saturating

BOUNDS = ((-63, 63), (0, 63), (-63, 0), (0, 0), (-126, 126), (-127, 127), (-128, 128), (-256, 256), (-315, 315))


def counts(*shape, largest=1, density=0.3):
    return (torch.rand(shape) < density) * torch.randint(1, largest + 1, shape)


def inverse(scale):
    """The float32 inverse of the scale, as a float."""
    return float(numpy.float32(1.0) / numpy.float32(scale))


def exact(spikes, weight, scale, bounds, rounding, units):
    """The float32 (or float64) value nearest to the exact sum, times the float32 factor, rounded once more."""
    integers = hardware_weights.hardware_weights(weight.numpy(), scale, *bounds, rounding)
    rows = spikes.to(torch.int64).numpy().reshape(math.prod(spikes.shape[:-1]), weight.shape[1])
    total = torch.from_numpy(reference.integer_product(rows, integers)).reshape(*spikes.shape[:-1], weight.shape[0])
    real = torch.float64 if torch.float64 in (spikes.dtype, weight.dtype) else torch.float32
    factor = inverse(scale) if units == "model" else 1.0
    return total.to(real) * factor


@pytest.mark.parametrize("units", ["model", "lsb"])
@pytest.mark.parametrize("rounding", ["half_even", "half_away"])
@pytest.mark.parametrize("bounds", BOUNDS)
def test_integer_product_is_exact(bounds, rounding, units):
    spikes = counts(11, 3, 45, largest=5).float()
    weight = torch.randn(29, 45) * 4
    result = graded_spikes(spikes, weight, 47.3, *bounds, rounding=rounding, units=units)
    assert torch.equal(result, exact(spikes, weight, 47.3, bounds, rounding, units))


@pytest.mark.parametrize("rounding", ["half_even", "half_away"])
def test_ties_and_alternating_extremes(rounding):
    weight = torch.empty(6, 512)
    weight[0::2] = torch.tensor([63.0, -63.0]).repeat(256)
    weight[1::2] = torch.arange(512) % 127 - 63.5
    spikes = counts(64, 512, largest=127, density=0.9).float()
    result = graded_spikes(spikes, weight, 1.0, rounding=rounding, units="lsb")
    assert torch.equal(result, exact(spikes, weight, 1.0, (-63, 63), rounding, "lsb"))


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_sums_beyond_24_bit_are_rounded_once(sign):
    spikes = torch.full((2, 9001), 127.0)
    spikes[1, 1::2] = 126.0
    weight = torch.full((3, 9001), sign * 315.0)
    weight[1, ::3] = sign * 314.0
    result = graded_spikes(spikes, weight, 1.0, -315, 315, units="lsb")
    assert torch.equal(result, exact(spikes, weight, 1.0, (-315, 315), "half_even", "lsb"))


def test_sums_beyond_32_bit():
    spikes = torch.full((1, 1031), 127.0)
    weight = torch.full((1, 1031), 32767.0)
    result = graded_spikes(spikes, weight, 1.0, -32767, 32767, units="lsb")
    assert torch.equal(result, exact(spikes, weight, 1.0, (-32767, 32767), "half_even", "lsb"))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize("weight_dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_dtypes(dtype, weight_dtype):
    spikes = counts(5, 2, 33, largest=7).to(dtype)
    weight = torch.randn(9, 33).to(weight_dtype)
    result = graded_spikes(spikes, weight, 50.0)
    wide = weight if weight_dtype == torch.float64 else weight.float()
    assert result.dtype == (torch.float64 if torch.float64 in (dtype, weight_dtype) else torch.float32)
    assert torch.equal(result, exact(spikes, wide, 50.0, (-63, 63), "half_even", "model"))


def test_uint8_counts_up_to_255_are_exact():
    spikes = torch.randint(0, 256, (13, 40), dtype=torch.uint8)
    weight = torch.randn(7, 40)
    assert torch.equal(
        graded_spikes(spikes, weight, 64.0), exact(spikes, weight, 64.0, (-63, 63), "half_even", "model")
    )


def in_order(spikes, weight, scale):
    """The floating path: products and sums in the order of pre, each rounded, then the factor."""
    q = integers_of(weight, scale).to(spikes.dtype)
    total = torch.zeros(spikes.shape[0], weight.shape[0], dtype=spikes.dtype)
    for pre in range(weight.shape[1]):
        total = total + spikes[:, pre : pre + 1] * q[:, pre]
    return total * inverse(scale)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_rows_with_other_spikes_are_summed_in_order(dtype):
    spikes = torch.randn(20, 37, dtype=dtype)
    spikes[::2] = counts(10, 37).to(dtype)  # every other row is made of counts
    spikes[1, 0], spikes[3, 1], spikes[5, 2] = 0.5, -1.0, 128.0
    weight = torch.randn(8, 37)
    assert torch.equal(graded_spikes(spikes, weight, 60.0), in_order(spikes, weight, 60.0))


@pytest.mark.parametrize("odd", [0.5, -1.0, 128.0, 1e-7, float("inf"), -0.25])
def test_one_odd_spike_changes_its_row_alone(odd):
    spikes = counts(4, 30).float()
    weight = torch.randn(6, 30)
    clean = graded_spikes(spikes, weight, 64.0)
    spikes[2, 29] = odd
    result = graded_spikes(spikes, weight, 64.0)
    rows = torch.tensor([0, 1, 3])
    assert torch.equal(result[rows], clean[rows])
    assert torch.equal(result.nan_to_num(7.0), in_order(spikes, weight, 64.0).nan_to_num(7.0))


def test_nan_spike_reaches_its_row_alone():
    spikes = torch.ones(3, 4)
    spikes[1, 1] = float("nan")
    result = graded_spikes(spikes, torch.randn(5, 4), 64.0)
    assert torch.isnan(result).all(1).tolist() == [False, True, False]


@pytest.mark.parametrize("bounds", [(-63, 63), (-315, 315)])
def test_nan_weight_makes_its_neuron_nan_at_all_times(bounds):
    weight = torch.randn(5, 4)
    weight[3, 2] = float("nan")
    result = graded_spikes(torch.zeros(6, 2, 4), weight, 64.0, *bounds)
    assert torch.isnan(result[..., 3]).all()
    assert not torch.isnan(result[..., [0, 1, 2, 4]]).any()


def test_infinite_weights_take_the_bound():
    weight = torch.tensor([[float("inf"), -float("inf")]])
    assert graded_spikes(torch.tensor([[1.0, 0.0], [0.0, 1.0]]), weight, units="lsb").tolist() == [[63.0], [-63.0]]


@pytest.mark.parametrize("units, factor", [("model", 1.0), ("lsb", 48.0)])
def test_rounding_none_is_the_float_product(units, factor, tolerances):
    spikes, weight = torch.randn(6, 3, 20), torch.randn(7, 20) * 9
    result = graded_spikes(spikes, weight, 48.0, rounding="none", units=units)
    expected = spikes.double() @ weight.double().t() * factor
    torch.testing.assert_close(result.double(), expected, rtol=1e-4, atol=1e-4 * factor)
    assert (result.abs() > 63.0).any()  # nothing clips


@pytest.mark.parametrize("shape", [(4,), (0, 4), (5, 0, 4), (0, 3, 4), (2, 3, 2, 4), (1, 1, 4)])
def test_leading_dimensions(shape):
    spikes, weight = counts(*shape).float(), torch.randn(3, 4)
    result = graded_spikes(spikes, weight, 64.0)
    assert result.shape == (*shape[:-1], 3)
    assert torch.equal(result, exact(spikes, weight, 64.0, (-63, 63), "half_even", "model"))


@pytest.mark.parametrize("in_features, out_features", [(0, 3), (4, 0), (1, 1), (129, 1), (1, 65), (255, 257)])
def test_odd_sizes(in_features, out_features):
    spikes, weight = counts(3, 5, in_features).float(), torch.randn(out_features, in_features)
    result = graded_spikes(spikes, weight, 64.0)
    assert torch.equal(result, exact(spikes, weight, 64.0, (-63, 63), "half_even", "model"))


def test_non_contiguous():
    spikes, weight = counts(6, 4, 9).float(), torch.randn(9, 11)
    result = graded_spikes(spikes.transpose(0, 1), weight.t(), 64.0)
    assert torch.equal(result, graded_spikes(spikes, weight.t().contiguous(), 64.0).transpose(0, 1))
    assert torch.equal(graded_spikes(spikes[::2], weight.t(), 64.0), result.transpose(0, 1)[::2])


@pytest.mark.parametrize("rounding", ["half_even", "none"])
@pytest.mark.parametrize("stack", [(3,), (2, 3), (0,), (2, 0)])
@pytest.mark.parametrize("leading", [(), (4,), (5, 2), (0,)])
def test_a_stack_of_weights_is_as_many_products(stack, leading, rounding):
    spikes = counts(*stack, *leading, 6).float().requires_grad_()
    weight = torch.randn(*stack, 7, 6).requires_grad_()
    out = graded_spikes(spikes, weight, 32.0, rounding=rounding)
    gradient = torch.randn_like(out)
    out.backward(gradient)
    assert out.shape == (*stack, *leading, 7)
    for index in itertools.product(*(range(size) for size in stack)):
        s, w = (tensor[index].detach().requires_grad_() for tensor in (spikes, weight))
        expected = graded_spikes(s, w, 32.0, rounding=rounding)
        expected.backward(gradient[index])
        assert torch.equal(out[index], expected)
        assert torch.equal(spikes.grad[index], s.grad) and torch.equal(weight.grad[index], w.grad)


def test_a_stack_of_views():
    spikes, weight = (
        counts(4, 1, 5, 6).float().expand(4, 3, 5, 6).transpose(0, 1),
        torch.randn(7, 6).t().expand(3, 6, 7),
    )
    weight = weight.transpose(1, 2)
    expected = graded_spikes(spikes.contiguous(), weight.contiguous(), 32.0)
    assert torch.equal(graded_spikes(spikes, weight, 32.0), expected)
    assert torch.equal(expected[1], graded_spikes(spikes[1], weight[1], 32.0))


@pytest.mark.parametrize("shape", [(2, 4, 6), (6,), (3,)])
def test_spikes_without_the_dimensions_of_the_stack_are_refused(shape):
    with pytest.raises(RuntimeError, match="graded_spikes: .*spikes must"):
        graded_spikes(torch.zeros(shape), torch.zeros(3, 7, 6)[..., : shape[-1]])


def test_projection_name_changes_nothing():
    spikes, weight = counts(3, 4).float(), torch.randn(5, 4)
    assert torch.equal(graded_spikes(spikes, weight, projection="any/name"), graded_spikes(spikes, weight))


# ---- gradients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("units", ["model", "lsb"])
@pytest.mark.parametrize("rule", ["clipped", "identity", "returning"])
def test_gradients(rule, units, dtype, tolerances):
    spikes = counts(12, 5, 31, largest=3).to(dtype).requires_grad_()
    weight = (torch.randn(17, 31) * 1.2).to(dtype).requires_grad_()
    gradient = torch.randn(12, 5, 17, dtype=dtype)
    graded_spikes(spikes, weight, 50.0, gradient=rule, units=units).backward(gradient)
    q = integers_of(weight.detach(), 50.0).double()
    factor = inverse(50.0) if units == "model" else 1.0
    g, s = gradient.double().reshape(-1, 17), spikes.detach().double().reshape(-1, 31)
    grad_q = (g.t() @ s * factor).numpy()
    expected = linear_saturating.weight_gradient(grad_q, weight.detach().numpy(), 50.0, -63, 63, rule)
    close = dict(tolerances[dtype], atol=tolerances[dtype]["atol"] * 100)  # sums of 60 terms of size 50
    torch.testing.assert_close(weight.grad.double(), torch.from_numpy(expected), **close)
    torch.testing.assert_close(spikes.grad.double().reshape(-1, 31), g @ q * factor, **close)


def test_gradient_of_clipped_weights_is_zero_inside_the_rule_only():
    weight = torch.tensor([[2.0, 0.5]], requires_grad=True)
    graded_spikes(torch.tensor([[1.0, 1.0]]), weight, 64.0).sum().backward()
    assert weight.grad.tolist() == [[0.0, 1.0]]


@pytest.mark.parametrize("units", ["model", "lsb"])
def test_rounding_none_gradcheck(units):
    spikes = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda s, w: graded_spikes(s, w, 8.0, rounding="none", units=units), (spikes, weight)
    )


@pytest.mark.parametrize("units", ["model", "lsb"])
@pytest.mark.parametrize("rounding", ["half_even", "none"])
def test_backward_leaves_its_inputs_alone(rounding, units):
    spikes, weight = torch.randn(6, 4).requires_grad_(), torch.randn(5, 4).requires_grad_()
    before, version = weight.detach().clone(), weight._version
    graded_spikes(spikes, weight, 8.0, rounding=rounding, units=units).sum().backward()
    assert torch.equal(weight.detach(), before)
    assert weight._version == version


@pytest.mark.parametrize("which", ["spikes", "weight"])
def test_gradient_to_one_argument_alone(which):
    spikes, weight = counts(4, 6).float(), torch.randn(3, 6)
    both = [spikes.clone().requires_grad_(), weight.clone().requires_grad_()]
    one = [spikes.clone().requires_grad_(which == "spikes"), weight.clone().requires_grad_(which == "weight")]
    graded_spikes(*both, 64.0).square().sum().backward()
    graded_spikes(*one, 64.0).square().sum().backward()
    for full, single in zip(both, one):
        assert single.grad is None or torch.equal(full.grad, single.grad)
    assert sum(tensor.grad is not None for tensor in one) == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_gradients_have_the_dtype_of_their_argument(dtype):
    spikes, weight = counts(4, 6).to(dtype).requires_grad_(), torch.randn(3, 6).to(dtype).requires_grad_()
    graded_spikes(spikes, weight, 64.0).sum().backward()
    assert spikes.grad.dtype == weight.grad.dtype == dtype


def test_gradient_with_an_expanded_gradient_and_empty_batch():
    weight = torch.randn(3, 6, requires_grad=True)
    graded_spikes(torch.zeros(4, 0, 6), weight).sum().backward()
    assert torch.equal(weight.grad, torch.zeros(3, 6))


def test_nan_weight_gets_no_clipped_gradient():
    weight = torch.tensor([[float("nan"), 0.5]], requires_grad=True)
    graded_spikes(torch.ones(1, 2), weight, 64.0).backward(torch.ones(1, 1))
    assert weight.grad.tolist() == [[0.0, 1.0]]


def test_training_reduces_a_loss_through_integers():
    spikes, target = counts(40, 12).float(), torch.randn(40, 3)
    weight = torch.nn.Parameter(torch.zeros(3, 12))
    optimizer = torch.optim.Adam([weight], lr=0.05)
    losses = []
    for _ in range(60):
        loss = (graded_spikes(spikes, weight, 32.0) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 6),
    st.integers(0, 9),
    st.integers(0, 5),
    st.integers(1, 127),
    st.sampled_from(BOUNDS),
    st.sampled_from(["half_even", "half_away"]),
    st.floats(min_value=0.5, max_value=200.0, width=32),
    st.randoms(use_true_random=False),
)
def test_any_sizes(rows, in_features, out_features, largest, bounds, rounding, scale, random):
    torch.manual_seed(random.randrange(2**31))
    spikes = counts(rows, in_features, largest=largest, density=0.7).float()
    weight = torch.randn(out_features, in_features) * 2
    result = graded_spikes(spikes, weight, scale, *bounds, rounding=rounding, units="lsb")
    assert torch.equal(result, exact(spikes, weight, scale, bounds, rounding, "lsb"))


def test_a_scale_without_a_finite_inverse_is_refused():
    with pytest.raises(RuntimeError, match="and so must 1/scale"):
        torch.ops.gradspike.graded_spikes(torch.ones(1, 3), torch.ones(1, 3), 1e-42)
