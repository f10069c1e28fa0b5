"""Spikes times the integers of a list of connections, as exact Python integers."""

import numpy


def integer_sums(spikes, integers, connections, out_features):
    """int64 `[row, post]`: one connection after the other."""
    assert spikes.dtype == numpy.int64 and integers.dtype == numpy.int64
    sums = numpy.zeros((spikes.shape[0], out_features), dtype=numpy.int64)
    for weight, post, pre in zip(integers, connections[0], connections[1]):
        sums[:, post] += weight * spikes[:, pre]
    return sums


def sparse_graded_spikes(spikes, integers, connections, out_features, scale, units):
    """float64: the exact sum over scale (model units), or the sum itself (LSB)."""
    total = integer_sums(spikes, integers, connections, out_features).astype(numpy.float64)
    return total / float(numpy.float32(scale)) if units == "model" else total


def value_gradient(grad, spikes, connections):
    """float64 `[connections]`: sum over rows of grad[row, post] * spikes[row, pre], before factor and transform."""
    return numpy.array([(grad[:, post] * spikes[:, pre]).sum() for post, pre in zip(*connections)])


def spike_gradient(grad, weights, connections, in_features):
    """float64 `[row, pre]`: sum over the connections of pre of weight * grad[row, post], before the factor."""
    result = numpy.zeros((grad.shape[0], in_features))
    for weight, post, pre in zip(weights, connections[0], connections[1]):
        result[:, pre] += weight * grad[:, post]
    return result
