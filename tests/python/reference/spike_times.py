"""Spike times of current-based LIF neurons in continuous time, float64, from event to event.

    C dv/dt = i + C/tau_mem (leak - v),   tau_syn di/dt = -i,   i jumps by w at an input spike of weight w;
    at v = threshold (from below) a spike; then v stays at reset for refractory_time.

Between events the membrane is a sum of two exponentials, so a spike time is a root, found by bisection.
"""

import math


def membrane_after(s, i, v, p):
    """Membrane s after a time at which current and membrane were i and v; tau_mem and tau_syn must differ."""
    decay_mem, decay_syn = math.exp(-s / p["tau_mem"]), math.exp(-s / p["tau_syn"])
    response = (decay_syn - decay_mem) / (1.0 / p["tau_mem"] - 1.0 / p["tau_syn"])
    return p["leak"] + (v - p["leak"]) * decay_mem + i / p["membrane_capacitance"] * response


def crossing(i, v, p, duration, pieces=400):
    """First time within `duration` at which the membrane reaches the threshold, or None."""
    low = 0.0
    for k in range(1, pieces + 1):
        high = duration * k / pieces
        if membrane_after(high, i, v, p) > p["threshold"]:
            for _ in range(100):
                middle = 0.5 * (low + high)
                if membrane_after(middle, i, v, p) > p["threshold"]:
                    high = middle
                else:
                    low = middle
            return 0.5 * (low + high)
        low = high
    return None


def neuron(events, p, end):
    """Spike times before `end` of one neuron; `events` are (time, weight), sorted."""
    i, v, now, free = 0.0, p["leak"], 0.0, 0.0  # free: the end of the refractory time
    spikes = []
    for event, weight in [*events, (end, 0.0)]:
        while True:
            start = max(now, free)
            if start >= event:
                break
            i *= math.exp(-(start - now) / p["tau_syn"])
            v = p["reset"] if start > now else v
            now = start
            wait = crossing(i, v, p, event - now)
            if wait is None:
                break
            i *= math.exp(-wait / p["tau_syn"])
            now += wait
            spikes.append(now)
            v, free = p["reset"], now + p["refractory_time"]
        v = p["reset"] if free >= event else membrane_after(event - now, i, v, p)
        i = i * math.exp(-(event - now) / p["tau_syn"]) + weight
        now = event
    return spikes


def layer(inputs, weight, p, end):
    """Spike times of every neuron: `inputs` is a list of times per presynaptic neuron, `weight` [post][pre]."""
    return [
        neuron(sorted((time, row[pre]) for pre, times in enumerate(inputs) for time in times), p, end) for row in weight
    ]
