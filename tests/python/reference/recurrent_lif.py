"""Recurrent LIF in float64: the exact integer sums of both projections, then the step of the LIF reference.

x[t] = (sum over inputs of q_in s[t]) / scale_in + (sum over neurons of q_rec z[t - 1]) / scale_rec
"""

import numpy

from reference.graded_spikes import graded_spikes
from reference.lif import lif


def recurrent_lif(
    spikes,
    input_integers,
    recurrent_integers,
    parameters,
    input_scale,
    recurrent_scale,
    units="model",
    dt=1e-6,
    state=None,
    measured_spikes=None,
):
    """`spikes` int64 [time, batch, in], integers int64; gives spikes, membrane, current and the state [4, ..]."""
    time, batch, _ = spikes.shape
    neurons = input_integers.shape[0]
    traces = [numpy.zeros((time, batch, neurons)) for _ in range(3)]
    last = numpy.zeros((batch, neurons)) if state is None else state[3]
    leak = numpy.broadcast_to(numpy.asarray(parameters["leak"], dtype=numpy.float64), (batch, neurons))
    zeros = numpy.zeros((batch, neurons))
    rest = numpy.stack([zeros, leak, zeros]) if state is None else state[:3]
    for t in range(time):
        x = graded_spikes(spikes[t], input_integers, input_scale, units)
        x = x + graded_spikes(last.astype(numpy.int64), recurrent_integers, recurrent_scale, units)
        measured = None
        if measured_spikes is not None and t < measured_spikes.shape[0]:
            measured = measured_spikes[t : t + 1]
        *step, rest = lif(x[None], parameters, dt, rest, measured)
        for trace, row in zip(traces, step):
            trace[t] = row[0]
        last = step[0][0]
    return (*traces, numpy.concatenate([rest, last[None]]))
