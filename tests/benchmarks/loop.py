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


def recurrent_lif(
    spikes: Tensor,
    weight: Tensor,
    recurrent: Tensor,
    scale: float,
    tau_mem: float,
    tau_syn: float,
    capacitance: float,
    dt: float,
    alpha: float = 50.0,
) -> Tensor:
    """Spikes of neurons as in `lif` whose spikes of step t reach each other's current at t + 1.

    Both weights have one scale, a power of two: the sums are exact in any order.
    """
    k, g, d = dt / capacitance, capacitance / tau_mem, 1.0 - dt / tau_syn
    q = Quantise.apply(recurrent, scale, 63.0) * (1.0 / scale)
    current = graded_spikes(spikes, weight, scale)
    i = torch.zeros_like(current[0])
    v = torch.zeros_like(i)
    z = torch.zeros_like(i)
    reset = torch.zeros(())
    result = []
    for x in current.unbind(0):
        dv = k * (i + g * (0.0 - v))
        i = i * d + (x + torch.nn.functional.linear(z, q))
        v = v + dv
        z = SuperSpike.apply(v - 1.0, alpha)
        v = torch.where(z.detach() > 0, reset, v)
        result.append(z)
    return torch.stack(result)


class EventPropLIF(torch.autograd.Function):
    """Neurons of hxtorch's EventPropLIF with leak and reset 0 and threshold 1: a loop forward, a loop backward."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, tau_mem: float, tau_syn: float, dt: float) -> Tensor:
        k, d = dt / tau_mem, 1.0 - dt / tau_syn
        i = torch.zeros_like(input[0])
        v = torch.zeros_like(i)
        reset = torch.zeros(())
        currents, spikes = [i], [torch.zeros_like(i)]
        for x in input[:-1].unbind(0):
            i = i * d + x
            v = v + k * (0.0 - v + i)
            fired = v > 1.0
            v = torch.where(fired, reset, v)
            currents.append(i)
            spikes.append(fired.to(input.dtype))
        result = torch.stack(spikes)
        ctx.save_for_backward(torch.stack(currents), result)
        ctx.constants = tau_mem, tau_syn, dt
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tuple[Tensor, None, None, None]:
        current, spikes = ctx.saved_tensors
        tau_mem, tau_syn, dt = ctx.constants
        k, m = dt / tau_syn, 1.0 - dt / tau_mem
        of_membrane = torch.zeros_like(gradient[0])
        of_current = torch.zeros_like(of_membrane)
        result = [of_current]
        zero = torch.zeros(())
        for t in range(gradient.shape[0] - 1, 0, -1):
            a, b = current[t - 1] - 1.0, current[t - 1]
            decayed = of_membrane * m
            of_current = of_current + k * (of_membrane - of_current)
            jump = b / a * decayed + gradient[t] / a
            jump = torch.where(jump.isfinite(), jump, zero)
            of_membrane = torch.where(spikes[t] > 0, jump, decayed)
            result.append(of_current)
        return torch.stack(result[::-1]) * tau_syn, None, None, None


def eventprop_lif(input: Tensor, tau_mem: float, tau_syn: float, dt: float) -> Tensor:
    """Spikes of `EventPropLIF`."""
    result: Tensor = EventPropLIF.apply(input, tau_mem, tau_syn, dt)
    return result
