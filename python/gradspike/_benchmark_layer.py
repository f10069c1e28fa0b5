"""A linear layer with LIF neurons that benchmarks time: separate operators and the fused one."""

from dataclasses import dataclass
from typing import Any, Callable, Dict, Optional, Sequence

import torch
from torch import Tensor

from gradspike import functional

SCALE = 64.0
TAU = 10e-6
DT = 1e-6
NEURON: Dict[str, Any] = {"tau_mem": TAU, "tau_syn": TAU, "membrane_capacitance": TAU}


@dataclass(frozen=True)
class Sizes:
    """Steps, batch, inputs and neurons."""

    time: int = 100
    batch: int = 256
    inputs: int = 256
    neurons: int = 512


@dataclass(frozen=True)
class Layer:
    """Input, weight and the gradient that arrives at the output.

    Attributes:
        spikes: `[time, batch, input]`.
        weight: `[neuron, input]`, a leaf.
        dequantised: What the integers of `weight` mean, a leaf: the weight of float layers.
        gradient: `[time, batch, neuron]`.
    """

    spikes: Tensor
    weight: Tensor
    dequantised: Tensor
    gradient: Tensor


Run = Callable[[Layer], Tensor]


def make_layer(
    sizes: Sizes, density: float, device: str = "cpu", spikes: Optional[Tensor] = None, seed: int = 0
) -> Layer:
    """Bernoulli input (or the given one), and weights with which about 5 % of the neurons' steps spike."""
    generator = torch.Generator().manual_seed(seed)
    if spikes is None:
        spikes = (torch.rand(sizes.time, sizes.batch, sizes.inputs, generator=generator) < density).float()
    power = float(spikes.square().mean()) * sizes.inputs
    if power == 0.0:
        raise ValueError(f"the input must hold a spike, and it has none: --density {density:g} is too low for its size")
    weight = torch.randn(sizes.neurons, sizes.inputs, generator=generator) * (0.75 / power**0.5)
    gradient = torch.randn(sizes.time, sizes.batch, sizes.neurons, generator=generator)
    dequantised = functional.hardware_weights(weight, SCALE).float() / SCALE
    tensors = (tensor.to(device) for tensor in (spikes, weight, dequantised, gradient))
    spikes, weight, dequantised, gradient = tensors
    return Layer(spikes, weight.requires_grad_(), dequantised.requires_grad_(), gradient)


def separate(layer: Layer) -> Tensor:
    """Spikes by `graded_spikes` and `lif`."""
    current = functional.graded_spikes(layer.spikes, layer.weight, SCALE)
    return functional.lif(current, **NEURON).spikes


def fused(layer: Layer) -> Tensor:
    """Spikes by `synapse_lif`."""
    return functional.synapse_lif(layer.spikes, layer.weight, scale=SCALE, **NEURON).spikes


def forward_of(run: Run, layers: Sequence[Layer]) -> Callable[[], Any]:
    """A forward pass without graph, of the layers in turn."""
    turn = _Turn(layers)

    def work() -> None:
        with torch.no_grad():
            run(turn.next())

    return work


def both_of(run: Run, layers: Sequence[Layer], dequantised: bool = False) -> Callable[[], Any]:
    """Forward and backward to the weight, or to the dequantised one, of the layers in turn."""
    turn = _Turn(layers)

    def work() -> None:
        layer = turn.next()
        torch.autograd.grad(run(layer), [layer.dequantised if dequantised else layer.weight], layer.gradient)

    return work


class _Turn:
    def __init__(self, layers: Sequence[Layer]) -> None:
        self.layers, self.index = layers, -1

    def next(self) -> Layer:
        self.index = (self.index + 1) % len(self.layers)
        return self.layers[self.index]
