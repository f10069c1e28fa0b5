"""The product with packed weights: the bits of graded_spikes, no gradient, the module, saving."""

import io

import pytest
import torch

from gradspike import nn
from gradspike.functional import graded_spikes, prepack, prepacked_graded_spikes
from reference import prepacked_graded_spikes as reference


def counts(*shape, largest=1, density=0.3):
    return ((torch.rand(shape) < density) * torch.randint(1, largest + 1, shape)).float()


def same(actual, expected):
    assert actual.dtype == expected.dtype and actual.shape == expected.shape
    assert torch.equal(actual.isnan(), expected.isnan())
    assert torch.equal(actual.nan_to_num(7.0, 8.0, 9.0), expected.nan_to_num(7.0, 8.0, 9.0))


@pytest.mark.parametrize("units", ["model", "lsb"])
@pytest.mark.parametrize("rounding", ["half_even", "half_away"])
@pytest.mark.parametrize("bounds", [(-63, 63), (0, 63), (0, 0), (-127, 127), (-128, 128), (-315, 315)])
@pytest.mark.parametrize("density", [0.05, 0.9])
def test_bits_of_graded_spikes(density, bounds, rounding, units):
    spikes, weight = counts(9, 4, 45, largest=9, density=density), torch.randn(70, 45) * 4
    weight[3, 4], spikes[2, 1, 7], spikes[3, 3, 8] = float("nan"), 0.5, float("inf")
    packed = prepack(weight, 47.3, *bounds, rounding=rounding)
    result = prepacked_graded_spikes(spikes, *packed, units=units)
    same(result, graded_spikes(spikes, weight, 47.3, *bounds, rounding=rounding, units=units))


def test_exact_sums():
    spikes, weight = counts(30, 45, largest=127), torch.randn(70, 45)
    packed = prepack(weight, 50.0)
    expected = reference.prepacked_graded_spikes(spikes.long().numpy(), packed.rows.numpy(), 70)
    assert torch.equal(prepacked_graded_spikes(spikes, *packed, units="lsb"), torch.from_numpy(expected).float())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8])
def test_dtypes(dtype):
    spikes, weight = counts(5, 2, 33, largest=7).to(dtype), torch.randn(9, 33)
    same(prepacked_graded_spikes(spikes, *prepack(weight, 50.0)), graded_spikes(spikes, weight, 50.0))


@pytest.mark.parametrize("shape", [(4,), (0, 4), (5, 0, 4), (2, 3, 2, 4)])
@pytest.mark.parametrize("out_features", [0, 1, 3, 65])
def test_shapes(shape, out_features):
    spikes, weight = counts(*shape), torch.randn(out_features, shape[-1])
    same(prepacked_graded_spikes(spikes, *prepack(weight, 50.0)), graded_spikes(spikes, weight, 50.0))


def test_no_inputs():
    same(prepacked_graded_spikes(torch.zeros(3, 0), *prepack(torch.zeros(2, 0))), torch.zeros(3, 2))


def test_sums_beyond_32_bit():
    packed = prepack(torch.full((1, 1031), 32767.0), 1.0, -32767, 32767)
    result = prepacked_graded_spikes(torch.full((1, 1031), 127.0), *packed)
    same(
        result * 32767,
        graded_spikes(torch.full((1, 1031), 127.0), torch.full((1, 1031), 32767.0), 1.0, -32767, 32767) * 32767,
    )


def test_views_and_other_memory():
    spikes, weight = counts(6, 4, 9), torch.randn(11, 9)
    packed = prepack(weight, 64.0)
    moved = [torch.cat((part.flatten()[:1], part.flatten()))[1:].view(part.shape) for part in packed[:4]]
    expected = graded_spikes(spikes, weight, 64.0)
    same(prepacked_graded_spikes(spikes.transpose(0, 1), *moved, *packed[4:]), expected.transpose(0, 1))


def test_threads():
    spikes, packed = counts(900, 100, density=0.1), prepack(torch.randn(130, 100), 64.0)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 7):
        torch.set_num_threads(threads)
        results.append(prepacked_graded_spikes(spikes, *packed))
    torch.set_num_threads(before)
    assert torch.equal(results[0], results[1]) and torch.equal(results[0], results[2])


def test_a_gradient_is_refused():
    spikes, packed = counts(3, 4).requires_grad_(), prepack(torch.randn(2, 4), 64.0)
    with pytest.raises(
        RuntimeError, match="spikes must not require a gradient, since there is none: use graded_spikes"
    ):
        prepacked_graded_spikes(spikes, *packed)
    with torch.no_grad():
        assert not prepacked_graded_spikes(spikes, *packed).requires_grad


def test_opcheck():
    spikes, packed = counts(3, 4, 9), prepack(torch.randn(5, 9), 64.0)
    torch.library.opcheck(torch.ops.gradspike.prepacked_graded_spikes.default, (spikes, *packed))


# ---- the module --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"units": "lsb", "name": "out"}, {"min_weight": -315, "max_weight": 315}])
def test_module(options):
    synapse, spikes = nn.Synapse(9, 70, **options), counts(11, 3, 9)
    inference = synapse.prepacked()
    expected = synapse(spikes).detach()
    assert torch.equal(inference(spikes), expected)
    assert torch.equal(torch.compile(inference, fullgraph=True, backend="aot_eager")(spikes), expected)
    buffer = io.BytesIO()
    torch.jit.save(torch.jit.script(inference), buffer)
    buffer.seek(0)
    assert torch.equal(torch.jit.load(buffer)(spikes), expected)
    assert list(inference.parameters()) == [] and set(inference.state_dict()) == {
        "rows",
        "groups",
        "matrix",
        "nan_posts",
    }
    assert "9, 70" in repr(inference)


def test_module_with_mask_and_transform_keeps_the_weights_of_the_moment():
    synapse = nn.Synapse(6, 4, mask=torch.rand(4, 6) < 0.5, transform=torch.abs)
    spikes = counts(5, 6)
    inference, before = synapse.prepacked(), synapse(spikes).detach()
    with torch.no_grad():
        synapse.weight.mul_(-2.0).add_(1.0)
    assert torch.equal(inference(spikes), before) and not torch.equal(synapse(spikes), before)


def test_module_in_a_scripted_network():
    synapse = nn.Synapse(5, 6, name="in")
    model = torch.nn.Sequential(synapse.prepacked(), nn.LI(6))
    spikes = counts(7, 2, 5)
    assert torch.equal(torch.jit.script(model)(spikes), torch.nn.Sequential(synapse, model[1])(spikes).detach())
