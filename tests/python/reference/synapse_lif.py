"""The exact integer product followed by LIF neurons in float64, and the bit layout of packed spikes."""

import numpy

from reference.graded_spikes import graded_spikes
from reference.hardware_weights import hardware_weights
from reference.lif import lif


def synapse_lif(spikes, weight, parameters, scale, dt=1e-6, state=None):
    """`spikes` int64 [time, batch, in], `weight` float32; gives spikes, membrane, current and state as `lif`."""
    integers = hardware_weights(weight, scale)
    time, batch, inputs = spikes.shape
    summed = graded_spikes(spikes.reshape(-1, inputs), integers, scale, "model")
    return lif(summed.reshape(time, batch, weight.shape[0]), parameters, dt, state)


def pack(spikes):
    """Bits along the last axis: neuron n is bit n % 8 of byte n // 8."""
    return numpy.packbits(spikes != 0, axis=-1, bitorder="little")
