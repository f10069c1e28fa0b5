"""Dense spikes of events, one event at a time."""

import math

import numpy


def step_of(seconds, dt):
    """The step nearest to seconds / dt; half away from zero."""
    ratio = seconds / dt
    return math.copysign(math.floor(abs(ratio) + 0.5), ratio) if math.isfinite(ratio) else ratio


def events_to_spikes(events, time, batch, neuron, binary=False, largest=2**24):
    """(float64 `[time, batch, neuron]`, number of events left out); events hold time steps."""
    spikes, dropped = numpy.zeros((time, batch, neuron)), 0
    for t, b, n in events:
        inside = 0 <= t < time and 0 <= b < batch and 0 <= n < neuron
        inside = inside and float(b).is_integer() and float(n).is_integer()
        if not inside or (not binary and spikes[int(t), int(b), int(n)] >= largest):
            dropped += 1
        elif binary:
            spikes[int(t), int(b), int(n)] = 1
        else:
            spikes[int(t), int(b), int(n)] += 1
    return spikes, dropped
