"""EventProp for the step of LIF in float64, one neuron at a time, from the derivatives of its spike times.

v' = v + k (i + g (leak - v)), i' = i d + x. Backwards, with Li and Lv the derivatives of the loss to i and v after a
step, and G the gradient to a spike (minus the derivative to its time, in steps):

* without a spike: Li = d Li' + k Lv', Lv = (1 - k g) Lv'
* a spike, free again r steps later: first Lv' = (b Lv_r + G / k) / a with a = i + g (leak - threshold), and
  b = i_r + g (leak - reset), where i is the current before the step of the spike and i_r that before step r
* in the r steps the membrane stays at the reset: Lv = 0
"""

import numpy

from reference.lif import _value, lif, steps_of


def exact_eventprop_lif(x, parameters, dt=1e-6, state=None):
    """Spikes, membrane, current and state of `lif`."""
    return lif(x, parameters, dt, state)


def gradients(x, parameters, grad_spikes, dt=1e-6, state=None):
    """dL/dinput and dL/dadjoint for a run without measured data that starts free of a refractory time."""
    spikes, _, current, _ = lif(x, parameters, dt, state)
    to_input, to_adjoint = numpy.zeros_like(x), numpy.zeros_like(x)
    for batch, neuron in numpy.ndindex(x.shape[1:]):
        p = {name: _value(value, neuron) for name, value in parameters.items()}
        k, g = dt / p["membrane_capacitance"], p["membrane_capacitance"] / p["tau_mem"]
        d, blocked = 1 - dt / p["tau_syn"], steps_of(p["refractory_time"], dt)
        start = 0.0 if state is None else state[0, batch, neuron]
        before = numpy.concatenate([[start], current[:, batch, neuron]])  # before[t]: the current before step t
        last = x.shape[0] - 1
        fired = [t for t in range(x.shape[0]) if spikes[t, batch, neuron]]
        ends = {t + blocked: t for t in fired}  # last pinned step -> its spike; the spike itself where nothing blocks
        pinned = {t + r for t in fired for r in range(1, blocked + 1)}
        carried = {}
        li = lv = 0.0
        for t in range(last, -1, -1):
            to_input[t, batch, neuron] = li
            to_adjoint[t, batch, neuron] = k * lv - (1 - d) * li
            if t in ends:
                carried[ends[t]] = (before[t] + g * (p["leak"] - p["reset"])) * lv
            if t in fired:
                a = before[t] + g * (p["leak"] - p["threshold"])
                lv = (carried.get(t, 0.0) + grad_spikes[t, batch, neuron] / k) / a
            elif t in pinned:
                lv = 0.0
            li, lv = d * li + k * lv, (1 - k * g) * lv
    return to_input, to_adjoint
