"""The product over existing connections: the bits of the dense product, gradients, errors, and the module."""

import copy
import io

import numpy
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gradspike import nn
from gradspike.functional import graded_spikes, hardware_weights, sparse_graded_spikes
from reference import linear_saturating
from reference import sparse_graded_spikes as reference

BOUNDS = ((-63, 63), (0, 63), (-63, 0), (0, 0), (-127, 127), (-128, 128), (-315, 315))


def counts(*shape, largest=1, density=0.3):
    return ((torch.rand(shape) < density) * torch.randint(1, largest + 1, shape)).float()


def connections(out_features, in_features, density=0.3):
    """A random list, with at least the first neuron connected to nothing where there are several."""
    exists = torch.rand(out_features, in_features) < density
    exists[:1] = exists[:1] & (out_features == 1)
    return exists.nonzero().t().contiguous()


def dense(values, index, out_features, in_features):
    matrix = torch.zeros(out_features, in_features, dtype=values.dtype)
    return matrix.index_put((index[0], index[1]), values)


def same(actual, expected):
    """Equal bits, NaN in the same places."""
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    assert torch.equal(actual.isnan(), expected.isnan())
    assert torch.equal(actual.nan_to_num(7.0, 8.0, 9.0), expected.nan_to_num(7.0, 8.0, 9.0))


def inverse(scale):
    return float(numpy.float32(1.0) / numpy.float32(scale))


@pytest.mark.parametrize("units", ["model", "lsb"])
@pytest.mark.parametrize("rounding", ["half_even", "half_away"])
@pytest.mark.parametrize("bounds", BOUNDS)
def test_integer_sums_are_exact(bounds, rounding, units):
    spikes, index = counts(9, 4, 41, largest=5), connections(29, 41)
    values = torch.randn(index.shape[1]) * 4
    result = sparse_graded_spikes(spikes, values, index, 29, 47.3, *bounds, rounding=rounding, units=units)
    q = hardware_weights(values, 47.3, *bounds, rounding=rounding).long().numpy()
    total = reference.integer_sums(spikes.long().reshape(-1, 41).numpy(), q, index.numpy(), 29)
    factor = inverse(47.3) if units == "model" else 1.0
    assert torch.equal(result, (torch.from_numpy(total).float() * factor).reshape(9, 4, 29))
    expected = torch.from_numpy(
        reference.sparse_graded_spikes(spikes.long().reshape(-1, 41).numpy(), q, index.numpy(), 29, 47.3, units)
    )
    torch.testing.assert_close(result.double().reshape(-1, 29), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8])
@pytest.mark.parametrize("values_dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_bits_of_the_dense_product(dtype, values_dtype):
    spikes, index = counts(5, 3, 33, largest=7).to(dtype), connections(19, 33)
    values = torch.randn(index.shape[1]).to(values_dtype)
    matrix = dense(values, index, 19, 33)
    same(sparse_graded_spikes(spikes, values, index, 19, 50.0), graded_spikes(spikes, matrix, 50.0))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("odd", [0.5, -1.0, 128.0, -0.0, float("nan"), float("inf"), -float("inf")])
def test_spikes_that_are_no_counts_give_the_bits_of_the_dense_product(odd, dtype):
    spikes, index = counts(8, 30).to(dtype), connections(17, 30)
    spikes[2, 5], spikes[4, 7], spikes[4, 8] = odd, odd, 3.5
    values = torch.randn(index.shape[1])
    matrix = dense(values, index, 17, 30)
    same(sparse_graded_spikes(spikes, values, index, 17, 60.0), graded_spikes(spikes, matrix, 60.0))


@pytest.mark.parametrize("bounds", [(-63, 63), (-315, 315)])
def test_nan_weight_makes_its_neuron_nan_at_all_times(bounds):
    index = connections(6, 9, 0.6)
    values = torch.randn(index.shape[1])
    values[3] = float("nan")
    spikes = counts(7, 9)
    spikes[1] = 0.0
    result = sparse_graded_spikes(spikes, values, index, 6, 64.0, *bounds)
    same(result, graded_spikes(spikes, dense(values, index, 6, 9), 64.0, *bounds))
    assert result.isnan().all(0).sum() == 1


def test_uint8_beyond_127_and_sums_beyond_24_and_32_bit():
    index = connections(5, 40, 0.5)
    values = torch.randn(index.shape[1])
    spikes = torch.randint(0, 256, (6, 40), dtype=torch.uint8)
    same(sparse_graded_spikes(spikes, values, index, 5, 64.0), graded_spikes(spikes, dense(values, index, 5, 40), 64.0))
    index = torch.stack((torch.zeros(1031, dtype=torch.int64), torch.arange(1031)))
    result = sparse_graded_spikes(
        torch.full((1, 1031), 127.0), torch.full((1031,), 32767.0), index, 1, 1.0, -32767, 32767
    )
    assert result.item() == float(torch.tensor(1031 * 127 * 32767).float())


@pytest.mark.parametrize("units, factor", [("model", 1.0), ("lsb", 48.0)])
def test_rounding_none_is_summed_in_the_order_of_pre(units, factor):
    spikes, index = torch.randn(6, 20), connections(7, 20, 0.5)
    values = torch.randn(index.shape[1]) * 9
    result = sparse_graded_spikes(spikes, values, index, 7, 48.0, rounding="none", units=units)
    matrix, total = dense(values, index, 7, 20), torch.zeros(6, 7)
    for pre in range(20):
        total = total + spikes[:, pre : pre + 1] * matrix[:, pre]
    assert torch.equal(result, total * factor)


@pytest.mark.parametrize("shape", [(4,), (0, 4), (5, 0, 4), (2, 3, 2, 4)])
def test_leading_dimensions(shape):
    index = connections(3, 4, 0.7)
    values, spikes = torch.randn(index.shape[1]), counts(*shape)
    result = sparse_graded_spikes(spikes, values, index, 3, 64.0)
    same(result, graded_spikes(spikes, dense(values, index, 3, 4), 64.0))


@pytest.mark.parametrize("in_features, out_features", [(0, 3), (4, 0), (1, 1), (129, 1), (1, 65), (255, 257)])
def test_odd_sizes(in_features, out_features):
    index = connections(out_features, in_features)
    values, spikes = torch.randn(index.shape[1]), counts(3, 5, in_features)
    result = sparse_graded_spikes(spikes, values, index, out_features, 64.0)
    same(result, graded_spikes(spikes, dense(values, index, out_features, in_features), 64.0))


def test_no_connection_at_all():
    index, values = torch.empty(2, 0, dtype=torch.int64), torch.empty(0, requires_grad=True)
    spikes = torch.ones(3, 4, requires_grad=True)
    result = sparse_graded_spikes(spikes, values, index, 5)
    assert torch.equal(result, torch.zeros(3, 5))
    result.sum().backward()
    assert values.grad.shape == (0,) and torch.equal(spikes.grad, torch.zeros(3, 4))


def test_non_contiguous_and_projection_name():
    index = connections(8, 9, 0.5)
    values, spikes = torch.randn(2 * index.shape[1])[::2], counts(6, 4, 9)
    list_of_pairs = torch.stack((index.t(), index.t()), 2)[..., 0].t()
    expected = sparse_graded_spikes(spikes.contiguous(), values.contiguous(), index, 8, 64.0)
    result = sparse_graded_spikes(spikes.transpose(0, 1), values, list_of_pairs, 8, 64.0, projection="any/name")
    assert torch.equal(result, expected.transpose(0, 1))


def test_any_number_of_threads_gives_the_same_bits():
    index = connections(130, 200)
    spikes, values, gradient = counts(600, 200, density=0.1), torch.randn(index.shape[1]), torch.randn(600, 130)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 7):
        torch.set_num_threads(threads)
        s, v = spikes.clone().requires_grad_(), values.clone().requires_grad_()
        out = sparse_graded_spikes(s, v, index, 130, 64.0)
        out.backward(gradient)
        results.append((out.detach(), s.grad, v.grad))
    torch.set_num_threads(before)
    for other in results[1:]:
        assert all(torch.equal(a, b) for a, b in zip(results[0], other))


# ---- gradients ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("units", ["model", "lsb"])
@pytest.mark.parametrize("rule", ["clipped", "identity", "returning"])
def test_gradients(rule, units, dtype, tolerances):
    index = connections(17, 31)
    spikes = counts(12, 5, 31, largest=3).to(dtype).requires_grad_()
    values = (torch.randn(index.shape[1]) * 1.2).to(dtype).requires_grad_()
    gradient = torch.randn(12, 5, 17, dtype=dtype)
    sparse_graded_spikes(spikes, values, index, 17, 50.0, gradient=rule, units=units).backward(gradient)
    factor = inverse(50.0) if units == "model" else 1.0
    g, s = gradient.double().reshape(-1, 17).numpy(), spikes.detach().double().reshape(-1, 31).numpy()
    grad_q = reference.value_gradient(g, s, index.numpy()) * factor
    expected = linear_saturating.weight_gradient(grad_q, values.detach().numpy(), 50.0, -63, 63, rule)
    close = dict(tolerances[dtype], atol=tolerances[dtype]["atol"] * 100)  # sums of 60 terms of size 50
    torch.testing.assert_close(values.grad.double(), torch.from_numpy(expected), **close)
    q = hardware_weights(values.detach(), 50.0).double().numpy()
    expected = reference.spike_gradient(g, q, index.numpy(), 31) * factor
    torch.testing.assert_close(spikes.grad.double().reshape(-1, 31), torch.from_numpy(expected), **close)


def test_value_gradient_has_the_bits_of_the_dense_gradient():
    index = connections(40, 60)
    values, spikes = torch.randn(index.shape[1]).requires_grad_(), counts(700, 60, density=0.1)
    matrix = dense(values.detach(), index, 40, 60).requires_grad_()
    gradient = torch.randn(700, 40)
    sparse_graded_spikes(spikes, values, index, 40, 64.0).backward(gradient)
    graded_spikes(spikes, matrix, 64.0).backward(gradient)
    assert torch.equal(values.grad, matrix.grad[index[0], index[1]])


@pytest.mark.parametrize("units", ["model", "lsb"])
def test_rounding_none_gradcheck(units):
    index = connections(5, 4, 0.6)
    spikes = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    values = torch.randn(index.shape[1], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda s, v: sparse_graded_spikes(s, v, index, 5, 8.0, rounding="none", units=units), (spikes, values)
    )


@pytest.mark.parametrize("which", ["spikes", "values"])
def test_gradient_to_one_argument_alone(which):
    index = connections(3, 6, 0.7)
    spikes, values = counts(4, 6), torch.randn(index.shape[1])
    both = [spikes.clone().requires_grad_(), values.clone().requires_grad_()]
    one = [spikes.clone().requires_grad_(which == "spikes"), values.clone().requires_grad_(which == "values")]
    sparse_graded_spikes(*both, index, 3, 64.0).square().sum().backward()
    sparse_graded_spikes(*one, index, 3, 64.0).square().sum().backward()
    for full, single in zip(both, one):
        assert single.grad is None or torch.equal(full.grad, single.grad)
    assert sum(tensor.grad is not None for tensor in one) == 1


def test_gradients_have_the_dtype_of_their_argument():
    index = connections(3, 6, 0.7)
    spikes = counts(4, 6).bfloat16().requires_grad_()
    values = torch.randn(index.shape[1]).half().requires_grad_()
    sparse_graded_spikes(spikes, values, index, 3, 64.0).sum().backward()
    assert spikes.grad.dtype == torch.bfloat16 and values.grad.dtype == torch.float16


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 20), st.integers(0, 9), st.integers(0, 6), st.floats(0.0, 1.0), st.integers(0, 2**31))
def test_any_sizes(rows, in_features, out_features, density, seed):
    torch.manual_seed(seed)
    index = connections(out_features, in_features, density)
    values, spikes = torch.randn(index.shape[1]), counts(rows, in_features, largest=127, density=0.7)
    result = sparse_graded_spikes(spikes, values, index, out_features, 30.0, units="lsb")
    same(result, graded_spikes(spikes, dense(values, index, out_features, in_features), 30.0, units="lsb"))


# ---- the list of connections -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("pairs", "words"),
    [
        ([[0, 2], [0, 1]], r"within .* \[2, 3\], got \(2, 1\) at 1"),
        ([[0, 1], [0, 3]], r"within .* got \(1, 3\) at 1"),
        ([[-1, 1], [0, 1]], r"within .* got \(-1, 0\) at 0"),
        ([[1, 0], [0, 0]], r"sorted by post, then pre, each once, got \(0, 0\) at 1 after \(1, 0\)"),
        ([[0, 0], [1, 0]], "sorted by post"),
        ([[0, 0], [1, 1]], "each once"),
    ],
)
def test_a_bad_connection_is_refused_with_its_place(pairs, words):
    with pytest.raises(RuntimeError, match=f"sparse_graded_spikes: connections must .*{words}"):
        sparse_graded_spikes(torch.zeros(1, 3), torch.ones(2), torch.tensor(pairs), 2)


# ---- the module --------------------------------------------------------------------------------------------------


def module_like():
    mask = torch.rand(9, 6) < 0.5
    return mask, nn.SparseSynapse(mask, name="sparse")


@pytest.mark.filterwarnings("ignore:Sparse CSR tensor support:UserWarning")
def test_module_takes_dense_sparse_and_pairs():
    mask, synapse = module_like()
    for other in (
        nn.SparseSynapse(mask.float() * torch.randn(9, 6)),
        nn.SparseSynapse(mask.float().to_sparse()),
        nn.SparseSynapse(mask.float().to_sparse_csr()),
        nn.SparseSynapse.from_index(synapse.connections.flip(1), 9, 6),
    ):
        assert torch.equal(other.connections, synapse.connections)
        assert (other.in_features, other.out_features) == (9, 6)
    assert torch.equal(synapse.to_dense() != 0, mask.t())


def test_module_forward_is_the_dense_product():
    _, synapse = module_like()
    spikes = counts(11, 3, 9)
    expected = graded_spikes(spikes, synapse.to_dense(), synapse.scale)
    assert torch.equal(synapse(spikes), expected)
    assert torch.equal(torch.jit.script(synapse)(spikes), expected)
    assert torch.equal(torch.compile(synapse, fullgraph=True, backend="aot_eager")(spikes), expected)


def test_module_connection_list_and_statistics():
    _, synapse = module_like()
    listed = synapse.connection_list()
    assert listed.dtype == torch.int32
    matrix = torch.zeros(6, 9, dtype=torch.int32)
    matrix[listed[:, 1].long(), listed[:, 0].long()] = listed[:, 2]
    assert torch.equal(matrix, hardware_weights(synapse.to_dense().detach(), synapse.scale).int())
    assert synapse.statistics().total == synapse.weight.numel()
    assert "connections=" in repr(synapse) and "name=sparse" in repr(synapse)


def test_module_initialisation_loses_little():
    torch.manual_seed(3)
    synapse = nn.SparseSynapse(torch.rand(200, 300) < 0.1)
    statistics = synapse.statistics()
    assert statistics.clipped_fraction < 0.05 and statistics.to_zero_fraction < 0.05


@pytest.mark.parametrize(("receptor", "sign"), [("excitatory", 1), ("inhibitory", -1)])
def test_module_receptor(receptor, sign):
    synapse = nn.SparseSynapse(torch.ones(4, 5), receptor=receptor)
    assert bool((synapse.weight * sign >= 0).all())
    assert bool((synapse.connection_list()[:, 2] * sign >= 0).all())


def test_module_copies_moves_saves_and_trains():
    _, synapse = module_like()
    twin = copy.deepcopy(synapse)
    buffer = io.BytesIO()
    torch.save(synapse.state_dict(), buffer)
    buffer.seek(0)
    twin.load_state_dict(torch.load(buffer))
    assert torch.equal(twin.to_dense(), synapse.to_dense())
    double = copy.deepcopy(synapse).double()
    assert double.weight.dtype == torch.float64 and double.connections.dtype == torch.int64
    spikes, optimizer = counts(20, 9), torch.optim.SGD(synapse.parameters(), lr=0.1)
    before = synapse.weight.detach().clone()
    synapse(spikes).square().sum().backward()
    optimizer.step()
    assert synapse.weight.shape == before.shape and not torch.equal(synapse.weight, before)


def test_module_transform():
    synapse = nn.SparseSynapse(torch.ones(3, 2), transform=torch.abs)
    assert bool((synapse.connection_list()[:, 2] >= 0).all())
    assert torch.equal(synapse(torch.ones(1, 3)), graded_spikes(torch.ones(1, 3), synapse.to_dense(), synapse.scale))
