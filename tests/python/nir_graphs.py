"""Graphs of NIR for the tests, and the equations of NIR as float64 loops, independent of the library."""

import nir
import numpy as np
import torch

DT = 1e-3
UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "steps": DT}


def values(n, low, high, seed, same=False):
    generator = np.random.default_rng(seed)
    drawn = generator.uniform(low, high, n)
    return np.full(n, drawn[0]) if same else drawn


def cubalif(n, seed=0, unit="s", same=False, **changed):
    """Neurons with time constants of 4 to 20 steps, in the unit of the file."""
    per_second = 1.0 / UNITS[unit]
    fields = {
        "tau_syn": values(n, 4e-3, 10e-3, seed, same) * per_second,
        "tau_mem": values(n, 8e-3, 20e-3, seed + 1, same) * per_second,
        "r": values(n, 0.5, 2.0, seed + 2, same),
        "v_leak": values(n, -0.2, 0.2, seed + 3, same),
        "v_threshold": values(n, 0.5, 1.0, seed + 4, same),
        "v_reset": values(n, -0.3, 0.1, seed + 5, same),
        "w_in": values(n, 2.0, 4.0, seed + 6, same),
    }
    return nir.CubaLIF(**{**fields, **changed})


def cubali(n, seed=0, unit="s", same=False, **changed):
    node = cubalif(n, seed, unit, same)
    fields = {name: getattr(node, name) for name in ("tau_syn", "tau_mem", "r", "v_leak", "w_in")}
    return nir.CubaLI(**{**fields, **changed})


def lif(n, seed=0, unit="s", same=False, **changed):
    node = cubalif(n, seed, unit, same)
    fields = {name: getattr(node, name) for name in ("r", "v_leak", "v_threshold", "v_reset")}
    return nir.LIF(**{"tau": node.tau_mem, **fields, **changed})


def li(n, seed=0, unit="s", same=False):
    node = lif(n, seed, unit, same)
    return nir.LI(tau=node.tau, r=node.r, v_leak=node.v_leak)


def integrate_and_fire(n, seed=0, unit="s"):
    node = lif(n, seed)
    return nir.IF(r=node.r * UNITS[unit] / 5e-3, v_threshold=node.v_threshold, v_reset=node.v_reset)


def integrator(n, seed=0, unit="s"):
    return nir.I(r=integrate_and_fire(n, seed, unit).r)


def weight(out, into, seed=0, size=1.0):
    return np.random.default_rng(seed + 100).normal(0.3 * size, size, (out, into))


def graph(nodes, edges, **options):
    return nir.NIRGraph(nodes=nodes, edges=edges, **options)


def chain(*nodes):
    return nir.NIRGraph.from_list(*nodes)


def spikes(steps, batch, size, seed=0, rate=0.2):
    generator = torch.Generator().manual_seed(seed)
    return (torch.rand(steps, batch, size, generator=generator) < rate).double()


def simulate(node, x, spike, unit, dt=DT, exponential=False):
    """Explicit Euler of the equations of `nir`: membrane after each step and spikes, from summed weights times spikes.

    x is what arrives, [time, batch, neuron]: spikes of the weight x. The current lasts as its equation says; a node
    without one is driven by x itself, one step later, as the instant synapse has it.
    """
    x = x.numpy()
    kind = type(node).__name__
    second = UNITS[unit]
    rate = (lambda tau: 1 - np.exp(-dt / tau)) if exponential else (lambda tau: dt / tau)
    current = np.zeros(x.shape[1:])
    leak = getattr(node, "v_leak", np.zeros(x.shape[2]))
    v = np.zeros(x.shape[1:]) + leak
    membrane, fired = np.zeros(x.shape), np.zeros(x.shape)
    before = np.zeros(x.shape[1:])
    for t in range(x.shape[0]):
        if kind.startswith("Cuba"):
            tau_syn, tau_mem = node.tau_syn * second, node.tau_mem * second
            v = v + rate(tau_mem) * (leak - v + node.r * current)
            jump = {"held": rate(tau_syn), "dirac": 1.0 / node.tau_syn, "jump": 1.0}[spike]
            current = current * (1 - rate(tau_syn)) + node.w_in * jump * x[t]
        elif kind.startswith("LI"):
            tau = node.tau * second
            lift = {"held": rate(tau) * node.r, "dirac": node.r / node.tau, "jump": node.r}[spike]
            v = v + rate(tau) * (leak - v) + lift * before
        else:
            lift = {"held": node.r * dt / second, "dirac": node.r, "jump": node.r}[spike]
            v = v + lift * before
        before = x[t]
        if hasattr(node, "v_threshold"):
            z = v > node.v_threshold
            v = np.where(z, node.v_reset, v)
            fired[t] = z
        membrane[t] = v
    return torch.from_numpy(membrane), torch.from_numpy(fired)
