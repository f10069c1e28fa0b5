"""Spikes as bits, one neuron at a time."""

import numpy


def pack_spikes(spikes):
    """(uint8 `[..., bytes]`, number of entries that are neither 0 nor 1)."""
    rows = spikes.reshape(int(numpy.prod(spikes.shape[:-1])), spikes.shape[-1])
    packed = numpy.zeros((rows.shape[0], -(-rows.shape[1] // 8)), dtype=numpy.uint8)
    lost = 0
    for r, row in enumerate(rows):
        for n, spike in enumerate(row):
            if spike != 0:
                packed[r, n // 8] += 2 ** (n % 8)
            lost += spike not in (0, 1)
    return packed.reshape(*spikes.shape[:-1], packed.shape[1]), lost
