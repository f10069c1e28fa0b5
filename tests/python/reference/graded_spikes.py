"""Spikes times integers, as exact Python integers."""

import numpy


def integer_product(spikes, integers):
    """sum over pre of q[post, pre] * spikes[row, pre], exact: int64 `[row, post]` from int64 arrays."""
    assert spikes.dtype == numpy.int64 and integers.dtype == numpy.int64
    return spikes @ integers.T


def graded_spikes(spikes, integers, scale, units):
    """float64: the exact sum over scale (model units), or the sum itself (LSB)."""
    total = integer_product(spikes, integers).astype(numpy.float64)
    return total / float(numpy.float32(scale)) if units == "model" else total
