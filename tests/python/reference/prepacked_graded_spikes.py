"""Spikes times the rows of a packed weight, as exact Python integers."""

import numpy


def prepacked_graded_spikes(spikes, rows, out_features):
    """int64 `[row, post]`: the sum of the rows of the inputs that spiked, times their counts."""
    assert spikes.dtype == numpy.int64
    return (spikes @ rows.astype(numpy.int64))[:, :out_features]
