"""LIF in float64, one neuron at a time, from the step of hxtorch's AELIF without adaptation and exponential term:

1. dv = dt/C * (i + C/tau_mem * (leak - v)) with the old i and v
2. i  = i * (1 - dt/tau_syn) + x[t]
3. v  = v + dv, or the measured membrane
4. z  = [v > threshold], or the measured spike
5. v  = (1 - z) v + z reset, unless the membrane is measured
6. refractory: m = [c > 0]; v = (1 - m) v + m reset (then the measured membrane); z = (1 - m) z (then the measured
   spike); c = (1 - z) max(c - m, 0) + z * refractory_time / dt
"""

import math

import numpy


def _value(parameter, neuron):
    array = numpy.asarray(parameter, dtype=numpy.float64)
    return float(array) if array.ndim == 0 else float(array[neuron])


def steps_of(refractory_time, dt):
    """Whole steps that are blocked; a time within one part in a million of a whole number is that number."""
    steps = refractory_time / dt
    return round(steps) if abs(steps - round(steps)) <= steps * 2.0**-23 else math.ceil(steps)


def lif(x, parameters, dt=1e-6, state=None, measured_spikes=None, measured_membrane=None):
    """`x` float64 [time, batch, neuron]; gives spikes, membrane, current of this shape and the state [3, ..]."""
    spikes, membrane, current = (numpy.zeros_like(x) for _ in range(3))
    final = numpy.zeros((3, *x.shape[1:]))
    for batch, neuron in numpy.ndindex(x.shape[1:]):
        p = {name: _value(value, neuron) for name, value in parameters.items()}
        i, v, c = (0.0, p["leak"], 0.0) if state is None else state[:, batch, neuron]
        for t in range(x.shape[0]):
            v_measured = None if measured_membrane is None else measured_membrane[t, batch, neuron]
            z_measured = None if measured_spikes is None else measured_spikes[t, batch, neuron]
            i, v, c, z = _step(x[t, batch, neuron], i, v, c, p, dt, z_measured, v_measured)
            spikes[t, batch, neuron], membrane[t, batch, neuron], current[t, batch, neuron] = z, v, i
        final[:, batch, neuron] = i, v, c
    return spikes, membrane, current, final


def _step(x, i, v, c, p, dt, z_measured, v_measured):
    capacitance = p["membrane_capacitance"]
    dv = dt / capacitance * (i + capacitance / p["tau_mem"] * (p["leak"] - v))
    i = i * (1 - dt / p["tau_syn"]) + x
    v = v + dv if v_measured is None else v_measured
    z = float(v > p["threshold"]) if z_measured is None else z_measured
    if v_measured is None:
        v = (1 - z) * v + z * p["reset"]
    blocked = float(c > 0)
    if v_measured is None:
        v = (1 - blocked) * v + blocked * p["reset"]
    if z_measured is None:
        z = (1 - blocked) * z
    c = (1 - z) * max(c - blocked, 0.0) + z * steps_of(p["refractory_time"], dt)
    return i, v, c, z
