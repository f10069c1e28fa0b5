"""Leaky integrator in float64: v' = v + dt/C (i + C/tau_mem (leak - v)), i' = i (1 - dt/tau_syn) + x."""

import numpy

from reference.lif import _value


def li(x, parameters, dt=1e-6, state=None, measured_membrane=None):
    """`x` float64 [time, batch, neuron]; gives membrane and current of this shape and the state [2, ..]."""
    membrane, current = numpy.zeros_like(x), numpy.zeros_like(x)
    final = numpy.zeros((2, *x.shape[1:]))
    for batch, neuron in numpy.ndindex(x.shape[1:]):
        p = {name: _value(value, neuron) for name, value in parameters.items()}
        capacitance = p["membrane_capacitance"]
        i, v = (0.0, p["leak"]) if state is None else state[:, batch, neuron]
        for t in range(x.shape[0]):
            dv = dt / capacitance * (i + capacitance / p["tau_mem"] * (p["leak"] - v))
            i = i * (1 - dt / p["tau_syn"]) + x[t, batch, neuron]
            v = v + dv if measured_membrane is None else measured_membrane[t, batch, neuron]
            membrane[t, batch, neuron], current[t, batch, neuron] = v, i
        final[:, batch, neuron] = i, v
    return membrane, current, final
