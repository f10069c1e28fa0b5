"""AELIF in float64, one neuron at a time, from the step of hxtorch's AELIF:

1. dv = dt/C * (i + g (leak - v) [leaky] + g s exp((v - vT)/s) [exponential] - w [any adaptation]), g = C/tau_mem,
   with the old i, v and w
2. i  = i * (1 - dt/tau_syn) + x[t]
3. v  = v + dv, or the measured membrane
4. z  = [v > threshold], or the measured spike, if fire; else 0
5. w  = w * (1 - dt/tau_adap) + dt/tau_adap a (v - leak) [subthreshold] + b z [spike-triggered], if any adaptation; or
   the measured adaptation
6. v  = (1 - z) v + z reset, if fire and the membrane is not measured
7. refractory, if fire: m = [c > 0]; v = (1 - m) v + m reset (then the measured membrane); z = (1 - m) z (then the
   measured spike); c = (1 - z) max(c - m, 0) + z * refractory_time / dt

The state starts at 0, the membrane at leak if leaky or subthreshold.
"""

import math

import numpy

from reference.lif import _value, steps_of

FLAGS = ("leaky", "fire", "exponential", "subthreshold_adaptation", "spike_triggered_adaptation")


def aelif(x, parameters, flags, dt=1e-6, state=None, measured=None):
    """`x` float64 [time, batch, neuron]; gives spikes, membrane, current, adaptation of this shape and the state.

    `measured` maps "spikes", "membrane" and "adaptation" to arrays of the first time steps.
    """
    traces = [numpy.zeros_like(x) for _ in range(4)]
    final = numpy.zeros((4, *x.shape[1:]))
    for batch, neuron in numpy.ndindex(x.shape[1:]):
        p = {name: _value(value, neuron) for name, value in parameters.items()}
        start = p["leak"] if flags["leaky"] or flags["subthreshold_adaptation"] else 0.0
        now = (0.0, start, 0.0, 0.0) if state is None else state[:, batch, neuron]
        for t in range(x.shape[0]):
            given = {n: v[t, batch, neuron] for n, v in (measured or {}).items() if t < v.shape[0]}
            now, z = _step(x[t, batch, neuron], now, p, flags, dt, given)
            for trace, value in zip(traces, (z, now[1], now[0], now[3]), strict=True):
                trace[t, batch, neuron] = value
        final[:, batch, neuron] = now
    return (*traces, final)


def _step(x, state, p, flags, dt, given):
    i, v, c, w = state
    capacitance = p["membrane_capacitance"]
    g = capacitance / p["tau_mem"]
    adapts = flags["subthreshold_adaptation"] or flags["spike_triggered_adaptation"]
    drive = i
    if flags["leaky"]:
        drive += g * (p["leak"] - v)
    if flags["exponential"]:
        slope = p["exponential_slope"]
        drive += g * slope * math.exp((v - p["exponential_threshold"]) / slope)
    if adapts:
        drive -= w
    i = i * (1 - dt / p["tau_syn"]) + x
    v = given.get("membrane", v + dt / capacitance * drive)
    z = given.get("spikes", float(v > p["threshold"])) if flags["fire"] else 0.0
    if adapts:
        w = w * (1 - dt / p["tau_adap"])
        if flags["subthreshold_adaptation"]:
            w += dt / p["tau_adap"] * p["subthreshold_adaptation_strength"] * (v - p["leak"])
        if flags["spike_triggered_adaptation"]:
            w += p["spike_triggered_adaptation_increment"] * z
        w = given.get("adaptation", w)
    if flags["fire"]:
        if "membrane" not in given:
            v = (1 - z) * v + z * p["reset"]
        blocked = float(c > 0)
        if "membrane" not in given:
            v = (1 - blocked) * v + blocked * p["reset"]
        if "spikes" not in given:
            z = (1 - blocked) * z
        c = (1 - z) * max(c - blocked, 0.0) + z * steps_of(p["refractory_time"], dt)
    return (i, v, c, w), z
