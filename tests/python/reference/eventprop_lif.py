"""The scheme of hxtorch's EventPropLIF in float64, one neuron at a time.

Forward: i = 0, v = leak and no spike in row 0; then i' = i (1 - dt/tau_syn) + x, v' = v + dt/tau_mem (leak - v + i'),
a spike where v' > threshold, v' = reset where it spikes. Backward: see `gradients`.
"""

import math

import numpy


def _value(parameter, neuron):
    array = numpy.asarray(parameter, dtype=numpy.float64)
    return float(array) if array.ndim == 0 else float(array[neuron])


def eventprop_lif(x, parameters, dt=1e-6, measured_spikes=None, measured_membrane=None):
    """Spikes, membrane, current `[time, batch, neuron]`; measurements may be shorter than x."""
    spikes, membrane, current = (numpy.zeros_like(x) for _ in range(3))
    z_steps = 0 if measured_spikes is None else len(measured_spikes)
    v_steps = 0 if measured_membrane is None else len(measured_membrane)
    for batch, neuron in numpy.ndindex(x.shape[1:]):
        p = {name: _value(value, neuron) for name, value in parameters.items()}
        i, v = 0.0, p["leak"]
        for t in range(x.shape[0]):
            if t > 0:
                i = i * (1 - dt / p["tau_syn"]) + x[t - 1, batch, neuron]
                v = v + dt / p["tau_mem"] * (p["leak"] - v + i)
            if t < v_steps:
                v = measured_membrane[t, batch, neuron]
            z = float(t > 0 and v > p["threshold"])
            if t < z_steps:
                z = measured_spikes[t, batch, neuron]
            if z and t >= v_steps:
                v = p["reset"]
            spikes[t, batch, neuron], membrane[t, batch, neuron], current[t, batch, neuron] = z, v, i
    return spikes, membrane, current


def _quotient(numerator, denominator):
    """The quotient, and whether it is a finite number; where it is not, 0."""
    with numpy.errstate(all="ignore"):
        value = float(numpy.float64(numerator) / numpy.float64(denominator))
    return (value, True) if math.isfinite(value) else (0.0, False)


def gradients(spikes, current, grad_spikes, parameters, dt=1e-6):
    """dL/dinput, dL/dadjoint, and the number of quotients that were not finite."""
    to_input, to_adjoint = numpy.zeros_like(spikes), numpy.zeros_like(spikes)
    dropped = 0
    for batch, neuron in numpy.ndindex(spikes.shape[1:]):
        p = {name: _value(value, neuron) for name, value in parameters.items()}
        lambda_i = lambda_v = 0.0
        for t in range(spikes.shape[0] - 1, 0, -1):
            i = current[t - 1, batch, neuron]
            a, b = p["leak"] - p["threshold"] + i, p["leak"] - p["reset"] + i
            lambda_i, decayed = (
                lambda_i + dt / p["tau_syn"] * (lambda_v - lambda_i),
                lambda_v * (1 - dt / p["tau_mem"]),
            )
            if spikes[t, batch, neuron]:
                jump, jump_is_finite = _quotient(b, a)
                drive, drive_is_finite = _quotient(grad_spikes[t, batch, neuron], a)
                dropped += (not jump_is_finite) + (not drive_is_finite)
                lambda_v = jump * decayed + drive
            else:
                lambda_v = decayed
            to_input[t - 1, batch, neuron] = p["tau_syn"] * lambda_i
            to_adjoint[t - 1, batch, neuron] = lambda_v - lambda_i
    return to_input, to_adjoint, dropped
