"""Bits as spikes, one neuron at a time."""

import numpy


def unpack_spikes(packed, neurons):
    """float64 `[..., neurons]` of 0 and 1."""
    rows = packed.reshape(int(numpy.prod(packed.shape[:-1])), packed.shape[-1])
    spikes = [[int(row[n // 8]) // 2 ** (n % 8) % 2 for n in range(neurons)] for row in rows]
    return numpy.array(spikes, dtype=numpy.float64).reshape(*packed.shape[:-1], neurons)
