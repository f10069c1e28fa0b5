"""The list-and-stack loop with its step compiled by `torch.compile`: the same equations and bits as `loop.py`."""

from typing import Any, Tuple

import torch
from loop import SuperSpike
from torch import Tensor

# A process compiles the step for several shapes, with and without gradient.
torch._dynamo.config.recompile_limit = 64


def _lif_step(
    i: Tensor, v: Tensor, x: Tensor, k: float, g: float, d: float, alpha: float
) -> Tuple[Tensor, Tensor, Tensor]:
    dv = k * (i + g * (0.0 - v))
    i = i * d + x
    v = v + dv
    z = SuperSpike.apply(v - 1.0, alpha)
    v = torch.where(z.detach() > 0, 0.0, v)
    return i, v, z


def _li_step(i: Tensor, v: Tensor, x: Tensor, k: float, g: float, d: float) -> Tuple[Tensor, Tensor]:
    dv = k * (i + g * (0.0 - v))
    return i * d + x, v + dv


_compiled_lif_step: Any = torch.compile(_lif_step, dynamic=False)
_compiled_li_step: Any = torch.compile(_li_step, dynamic=False)


def lif(current: Tensor, tau_mem: float, tau_syn: float, capacitance: float, dt: float, alpha: float = 50.0) -> Tensor:
    """Spikes of neurons with leak and reset 0 and threshold 1."""
    k, g, d = dt / capacitance, capacitance / tau_mem, 1.0 - dt / tau_syn
    i = torch.zeros_like(current[0])
    v = torch.zeros_like(i)
    spikes = []
    for x in current.unbind(0):
        i, v, z = _compiled_lif_step(i, v, x, k, g, d, alpha)
        spikes.append(z)
    return torch.stack(spikes)


def li(current: Tensor, tau_mem: float, tau_syn: float, capacitance: float, dt: float) -> Tensor:
    """Membrane of leaky integrators with leak 0."""
    k, g, d = dt / capacitance, capacitance / tau_mem, 1.0 - dt / tau_syn
    i = torch.zeros_like(current[0])
    v = torch.zeros_like(i)
    membrane = []
    for x in current.unbind(0):
        i, v = _compiled_li_step(i, v, x, k, g, d)
        membrane.append(v)
    return torch.stack(membrane)
