"""The baseline: a list-and-stack loop of eager PyTorch over the time steps, of the same equations as the operators.

It is lean on purpose, so that ratios are not flattered: `unbind` instead of indexing (whose backward is quadratic in
the number of steps), no refractory counter, no trace that is not asked for, one matrix product for all steps.
"""

from typing import Any, Tuple

import torch
from torch import Tensor


class Quantise(torch.autograd.Function):
    """Integers of a weight, with the gradient of the clipped weight."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, scale: float, bound: float) -> Tensor:
        scaled = weight * scale
        ctx.save_for_backward(scaled.abs() <= bound)
        ctx.scale = scale
        return scaled.clamp(-bound, bound).round()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tuple[Tensor, None, None]:
        (inside,) = ctx.saved_tensors
        return gradient * inside * ctx.scale, None, None


class SuperSpike(torch.autograd.Function):
    """[x > 0] with the derivative 1 / (alpha |x| + 1)^2."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.alpha = alpha
        return (x > 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        return gradient / (ctx.alpha * x.abs() + 1.0) ** 2, None


def graded_spikes(spikes: Tensor, weight: Tensor, scale: float, bound: float = 63.0) -> Tensor:
    """Integer product in float32 (exact), then the inverse scale."""
    product = torch.nn.functional.linear(spikes, Quantise.apply(weight, scale, bound))
    return product * float(1.0 / torch.tensor(scale))


def lif(current: Tensor, tau_mem: float, tau_syn: float, capacitance: float, dt: float, alpha: float = 50.0) -> Tensor:
    """Spikes of neurons with leak and reset 0 and threshold 1."""
    k, g, d = dt / capacitance, capacitance / tau_mem, 1.0 - dt / tau_syn
    i = torch.zeros_like(current[0])
    v = torch.zeros_like(i)
    reset = torch.zeros(())
    spikes = []
    for x in current.unbind(0):
        dv = k * (i + g * (0.0 - v))
        i = i * d + x
        v = v + dv
        z = SuperSpike.apply(v - 1.0, alpha)
        v = torch.where(z.detach() > 0, reset, v)
        spikes.append(z)
    return torch.stack(spikes)


def li(current: Tensor, tau_mem: float, tau_syn: float, capacitance: float, dt: float) -> Tensor:
    """Membrane of leaky integrators with leak 0."""
    k, g, d = dt / capacitance, capacitance / tau_mem, 1.0 - dt / tau_syn
    i = torch.zeros_like(current[0])
    v = torch.zeros_like(i)
    membrane = []
    for x in current.unbind(0):
        dv = k * (i + g * (0.0 - v))
        i = i * d + x
        v = v + dv
        membrane.append(v)
    return torch.stack(membrane)
