"""The loop in the style of hxtorch's simulation, from its published equations: traces filled by in-place stores.

Every step works out its coefficients again and stores current, membrane and spikes into preallocated traces, as the
simulation does; refractory time is off. Each store makes a node that copies the whole gradient on the way back, which
costs a time quadratic in the number of steps. Reset and threshold follow `loop.py`, with which it agrees bit for bit.
"""

from typing import Tuple

import torch
from loop import SuperSpike
from torch import Tensor


def lif(
    current: Tensor, tau_mem: float, tau_syn: float, capacitance: float, dt: float, alpha: float = 50.0
) -> Tuple[Tensor, Tensor, Tensor]:
    """Spikes, membrane and current of neurons with leak and reset 0 and threshold 1."""
    leak, reset, threshold = torch.tensor(0.0), torch.tensor(0.0), torch.tensor(1.0)
    spikes, membrane, trace = (torch.empty_like(current) for _ in range(3))
    i = torch.zeros_like(current[0])
    v = torch.zeros_like(i)
    for t in range(current.shape[0]):
        conductance = capacitance / tau_mem
        dv = dt / capacitance * (i + conductance * (leak - v))
        i = i * (1.0 - dt / tau_syn) + current[t]
        v = v + dv
        z = SuperSpike.apply(v - threshold, alpha)
        fired = z.detach()
        v = (1.0 - fired) * v + fired * reset
        trace[t] = i
        membrane[t] = v
        spikes[t] = z
    return spikes, membrane, trace
