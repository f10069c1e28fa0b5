"""Loops in the style of hxtorch's simulation, from its published equations: traces filled by in-place stores.

Every step works out its coefficients again and stores current, membrane and spikes into preallocated traces, as the
simulation does. Each store makes a node that copies the whole gradient on the way back, which costs a time quadratic in
the number of steps. `lif` is for `bench_layer.py`: no refractory time, reset and threshold of `loop.py`, with which it
agrees bit for bit. `cuba` and EventProp are for `bench_spiking.py`, with all parameters, as numbers. Handles and graph,
which would only take time, are left out.
"""

from typing import Any, Dict, Optional, Tuple

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


def text_of_step(fire: bool, refractory: bool) -> str:
    """A step of `cuba`."""
    lines = [
        "dv = dt / capacitance * (i + capacitance / tau_mem * (leak - v))",
        "i = i * (1.0 - dt / tau_syn) + graded[t]",
        "v = v + dv",
    ]
    if fire:
        lines += ["z = spike(v - threshold, alpha)", "v = (1.0 - z.detach()) * v + z.detach() * reset"]
    if fire and refractory:
        lines += [
            "blocked = (counter > 0).to(v.dtype)",
            "v = (1.0 - blocked) * v + blocked * reset",
            "z = (1.0 - blocked) * z",
            "counter = (1.0 - z.detach()) * (counter - blocked).clamp(min=0.0) + z.detach() * refractory_time / dt",
        ]
    return "\n".join([*lines, "current[t], membrane[t], spikes[t] = i, v, z"])


def cuba(graded: Tensor, parameters: Dict[str, float], fire: bool, text: bool) -> Tuple[Tensor, Tensor, Tensor]:
    """Spikes, membrane and current of neurons, or of integrators, whose spikes are 0.

    Args:
        graded: Summed graded spikes `[time, batch, neuron]`.
        parameters: leak, tau_mem, tau_syn, capacitance and dt; reset, threshold, refractory_time and alpha of neurons.
        fire: Whether there are spikes.
        text: Whether each step executes its text, as hxtorch does, or what it compiles to.
    """
    step: Any = text_of_step(fire, parameters.get("refractory_time", 0.0) > 0)
    if not text:
        step = compile(step, "step", "exec")
    names: Dict[str, Any] = {**parameters, "graded": graded, "spike": SuperSpike.apply}
    names.update({name: torch.zeros_like(graded) for name in ("spikes", "membrane", "current")})
    zero = torch.zeros_like(graded[0])
    names.update(i=zero, v=torch.full_like(zero, parameters["leak"]), z=zero, counter=zero)
    for t in range(graded.shape[0]):
        names["t"] = t
        exec(step, names)
    return names["spikes"], names["membrane"], names["current"]


class EventPropLinear(torch.autograd.Function):
    """Both channels of EventProp's synapse: the product, and zeros that carry the second gradient back."""

    @staticmethod
    def forward(ctx: Any, spikes: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(spikes, weight)
        graded = torch.nn.functional.linear(spikes, weight)
        return torch.stack([graded, torch.zeros_like(graded)])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tuple[Optional[Tensor], Tensor]:
        spikes, weight = ctx.saved_tensors
        of_spikes = torch.matmul(gradient[1], weight) if ctx.needs_input_grad[0] else None
        return of_spikes, torch.matmul(gradient[0].flatten(0, 1).t(), spikes.flatten(0, 1))


class EventPropNeurons(torch.autograd.Function):
    """Spikes, membrane and current of EventProp's neurons: a loop forward, a loop backward, in-place stores."""

    @staticmethod
    def forward(
        ctx: Any,
        input: Tensor,
        leak: float,
        reset: float,
        threshold: float,
        tau_mem: float,
        tau_syn: float,
        dt: float,
    ) -> Tuple[Tensor, Tensor, Tensor]:
        graded = input[0]
        spikes, current = torch.zeros_like(graded), torch.zeros_like(graded)
        membrane = torch.full_like(graded, leak)
        for t in range(graded.shape[0] - 1):
            current[t + 1] = current[t] * (1.0 - dt / tau_syn) + graded[t]
            v = membrane[t] + dt / tau_mem * (leak - membrane[t] + current[t + 1])
            fired = (v > threshold).to(v.dtype)
            spikes[t + 1] = fired
            membrane[t + 1] = (1.0 - fired) * v + fired * reset
        ctx.save_for_backward(current, spikes)
        ctx.constants = leak, reset, threshold, tau_mem, tau_syn, dt
        return spikes, membrane, current

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, *others: Any) -> Tuple[Any, ...]:
        current, spikes = ctx.saved_tensors
        leak, reset, threshold, tau_mem, tau_syn, dt = ctx.constants
        of_membrane, of_current = torch.zeros_like(current), torch.zeros_like(current)
        zero = torch.zeros(())
        for t in range(current.shape[0] - 1, 0, -1):
            before, after = leak - threshold + current[t - 1], leak - reset + current[t - 1]
            of_current[t - 1] = of_current[t] + dt / tau_syn * (of_membrane[t] - of_current[t])
            decayed = of_membrane[t] * (1.0 - dt / tau_mem)
            jump = after / before * decayed + gradient[t] / before
            jump = torch.where(jump.isfinite(), jump, zero)
            of_membrane[t - 1] = (1.0 - spikes[t]) * decayed + spikes[t] * jump
        return torch.stack([tau_syn * of_current, of_membrane - of_current]), *(None,) * 6
