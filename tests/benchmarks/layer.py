"""The layer that `bench_layer.py` and `bench_memory.py` share: Linear 256 to 512 with LIF, T = 100, batch 256."""

from dataclasses import dataclass

import loop
import torch
from torch import Tensor

from gradspike import functional

TIME, BATCH, INPUTS, NEURONS = 100, 256, 256, 512
DENSITY = 0.05
SCALE = 64.0
TAU = 10e-6


@dataclass(frozen=True)
class Layer:
    """Input spikes, weight and the gradient that arrives at the output."""

    spikes: Tensor
    weight: Tensor
    gradient: Tensor


def make_layer(seed: int = 0) -> Layer:
    """Bernoulli input of 5 %, and weights with which about 5 % of the neurons' steps spike."""
    generator = torch.Generator().manual_seed(seed)
    spikes = (torch.rand(TIME, BATCH, INPUTS, generator=generator) < DENSITY).float()
    weight = torch.randn(NEURONS, INPUTS, generator=generator) * 0.21
    gradient = torch.randn(TIME, BATCH, NEURONS, generator=generator)
    return Layer(spikes, weight.requires_grad_(), gradient)


def ours(layer: Layer) -> Tensor:
    """Spikes by the operators."""
    current = functional.graded_spikes(layer.spikes, layer.weight, SCALE)
    return functional.lif(current, tau_mem=TAU, tau_syn=TAU, membrane_capacitance=TAU).spikes


def theirs(layer: Layer) -> Tensor:
    """Spikes by the loop."""
    return loop.lif(loop.graded_spikes(layer.spikes, layer.weight, SCALE), TAU, TAU, TAU, 1e-6)
