"""The baseline of EventProp: a loop of eager PyTorch over the time steps, forward and backward, of the same equations.

As hxtorch does it: one autograd function per layer whose forward and backward walk over time, a synapse with a second
channel for the adjoint. Lean on purpose, so that ratios are not flattered: rows by `unbind`, coefficients made once, no
trace that is not asked for, the weight gradient as one matrix product that sums over time and batch.
"""

from typing import Any, Tuple

import torch
from loop import Quantise
from torch import Tensor


class Synapse(torch.autograd.Function):
    """Graded spikes and a channel of zeros: the weight learns from the first, the spikes from the second."""

    @staticmethod
    def forward(ctx: Any, spikes: Tensor, weight: Tensor) -> Tuple[Tensor, Tensor]:
        ctx.save_for_backward(spikes, weight)
        graded = torch.nn.functional.linear(spikes, weight)
        return graded, torch.zeros_like(graded)

    @staticmethod
    def backward(ctx: Any, to_graded: Tensor, to_adjoint: Tensor) -> Tuple[Any, Tensor]:
        spikes, weight = ctx.saved_tensors
        to_weight = to_graded.flatten(0, 1).T @ spikes.flatten(0, 1)
        return (to_adjoint @ weight if ctx.needs_input_grad[0] else None), to_weight


class Neurons(torch.autograd.Function):
    """Spikes of neurons with leak and reset 0 and threshold 1."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, adjoint: Tensor, tau_mem: float, tau_syn: float, dt: float) -> Tensor:
        gain, decay = dt / tau_mem, 1.0 - dt / tau_syn
        i = torch.zeros_like(input[0])
        v, z = torch.zeros_like(i), torch.zeros_like(i)
        reset = torch.zeros(())
        spikes, current = [z], [i]
        for x in input.unbind(0)[:-1]:
            i = i * decay + x
            v = v + gain * (0.0 - v + i)
            fires = v > 1.0
            v = torch.where(fires, reset, v)
            spikes.append(fires.to(x.dtype))
            current.append(i)
        z = torch.stack(spikes)
        ctx.save_for_backward(z, torch.stack(current))
        ctx.times = (tau_mem, tau_syn, dt)
        return z

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tuple[Tensor, Tensor, None, None, None]:
        tau_mem, tau_syn, dt = ctx.times
        gain, decay = dt / tau_syn, 1.0 - dt / tau_mem
        spikes, current = (trace.unbind(0) for trace in ctx.saved_tensors)
        gradients = gradient.unbind(0)
        lambda_i = torch.zeros_like(gradients[0])
        lambda_v = torch.zeros_like(lambda_i)
        to_input, to_adjoint = [tau_syn * lambda_i], [lambda_v - lambda_i]
        for t in range(len(gradients) - 1, 0, -1):
            a, b = 0.0 - 1.0 + current[t - 1], 0.0 - 0.0 + current[t - 1]
            jump = torch.nan_to_num(spikes[t] * (b / a), 0.0, 0.0, 0.0)
            drive = torch.nan_to_num(spikes[t] * (gradients[t] / a), 0.0, 0.0, 0.0)
            lambda_i = lambda_i + gain * (lambda_v - lambda_i)
            lambda_v = lambda_v * decay
            lambda_v = (1.0 - spikes[t]) * lambda_v + jump * lambda_v + drive
            to_input.append(tau_syn * lambda_i)
            to_adjoint.append(lambda_v - lambda_i)
        return torch.stack(to_input[::-1]), torch.stack(to_adjoint[::-1]), None, None, None


def layer(spikes: Tensor, weight: Tensor, scale: float, tau_mem: float, tau_syn: float, dt: float) -> Tensor:
    """Spikes of one layer: integers of the weight, synapse, neurons."""
    inverse = float(1.0 / torch.tensor(scale))
    graded, adjoint = Synapse.apply(spikes, Quantise.apply(weight, scale, 63.0) * inverse)
    return Neurons.apply(graded, adjoint, tau_mem, tau_syn, dt)
