"""Bits as spikes: values, dtypes, bits beyond the last neuron."""

import pytest
import torch

from gradspike.functional import unpack_spikes
from reference import unpack_spikes as reference


@pytest.mark.parametrize("dtype", [None, torch.float32, torch.float64, torch.uint8])
@pytest.mark.parametrize("neurons", [0, 1, 7, 8, 9, 31, 33, 100])
def test_values(neurons, dtype):
    packed = torch.randint(0, 256, (3, 4, (neurons + 7) // 8), dtype=torch.uint8)
    result = unpack_spikes(packed, neurons, dtype=dtype)
    assert result.dtype == (dtype or torch.float32)
    assert torch.equal(result.double(), torch.from_numpy(reference.unpack_spikes(packed.numpy(), neurons)))


def test_bits_beyond_the_last_neuron_are_ignored():
    assert unpack_spikes(torch.tensor([255], dtype=torch.uint8), 3).tolist() == [1.0, 1.0, 1.0]


def test_non_contiguous():
    packed = torch.randint(0, 256, (5, 2, 3), dtype=torch.uint8)
    assert torch.equal(unpack_spikes(packed.transpose(0, 1), 20), unpack_spikes(packed, 20).transpose(0, 1))
