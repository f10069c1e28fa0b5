"""Spikes as bits: values, what is lost, sizes, dtypes, threads."""

import numpy
import pytest
import torch

from gradspike.functional import pack_spikes, unpack_spikes
from reference import pack_spikes as reference

SIZES = [0, 1, 7, 8, 9, 31, 32, 33, 64, 100, 257]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.uint8, torch.bool]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("neurons", SIZES)
def test_values(neurons, dtype):
    spikes = (torch.rand(5, 3, neurons) < 0.3).to(dtype)
    result = pack_spikes(spikes)
    packed, lost = reference.pack_spikes(spikes.to(torch.float64).numpy())
    assert result.packed.dtype == torch.uint8 and result.lost.dtype == torch.int64
    assert torch.equal(result.packed, torch.from_numpy(packed))
    assert result.lost.tolist() == [lost] == [0]
    assert torch.equal(unpack_spikes(result.packed, neurons), spikes.float())


def test_is_numpys_little_order():
    spikes = (torch.rand(4, 37) < 0.5).to(torch.uint8)
    expected = numpy.packbits(spikes.numpy(), axis=-1, bitorder="little")
    assert torch.equal(pack_spikes(spikes).packed, torch.from_numpy(expected))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_other_values_are_set_and_counted(dtype):
    spikes = torch.tensor([[0.0, -0.0, 1.0, 2.0, 0.5, -1.0, float("nan"), float("inf"), 1e-30]], dtype=dtype)
    result = pack_spikes(spikes)
    assert result.packed.tolist() == [[0b11111100, 1]]
    assert result.lost.tolist() == [6]
    assert pack_spikes(torch.tensor([0, 1, 2, 255], dtype=torch.uint8)).lost.tolist() == [2]


@pytest.mark.parametrize("shape", [(4,), (0, 4), (5, 0, 4), (2, 3, 2, 4)])
def test_shapes(shape):
    spikes = (torch.rand(shape) < 0.5).float()
    result = pack_spikes(spikes)
    assert result.packed.shape == (*shape[:-1], 1)
    assert torch.equal(unpack_spikes(result.packed, 4), spikes)


def test_non_contiguous_and_threads():
    spikes = torch.randint(0, 3, (70, 400, 50)).float().transpose(0, 2)
    before, results = torch.get_num_threads(), []
    for threads in (1, 2, 7):
        torch.set_num_threads(threads)
        results.append(pack_spikes(spikes))
    torch.set_num_threads(before)
    packed, lost = pack_spikes(spikes.contiguous())
    assert lost.item() == int((spikes == 2).sum())
    for result in results:
        assert torch.equal(result.packed, packed) and torch.equal(result.lost, lost)
