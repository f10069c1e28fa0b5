"""Products of spikes and weights, for synapses of your own."""

from typing import Any, List, Optional, Sequence

import torch
from torch import Tensor

_LARGEST_WEIGHT = 63
"""Largest weight of a synapse of the chip [LSB]."""


def linear(input: Tensor, weight: Tensor, bias: Optional[Tensor] = None) -> Tensor:
    """`input @ weight.T (+ bias)`: `[..., in_features] -> [..., out_features]`."""
    return torch.nn.functional.linear(input, weight, bias)


def linear_sparse(
    input: Tensor, weight: Tensor, connections: Optional[Sequence[List[int]]] = None, bias: Optional[Tensor] = None
) -> Tensor:
    """`linear` with a weight that is 0 where no connection exists; sets those entries in place.

    Args:
        input: Spikes `[..., in_features]`.
        weight: `[out_features, in_features]`.
        connections: Two lists, post-synaptic and pre-synaptic neurons; None: every connection exists.
        bias: `[out_features]`.
    """
    if connections is not None:
        kept = torch.zeros(weight.shape, dtype=torch.bool, device=weight.device)
        kept[connections[0], connections[1]] = True
        with torch.no_grad():
            weight.data.masked_fill_(~kept, 0)
        weight = weight * kept
    return linear(input, weight, bias)


class _Quantised(torch.autograd.Function):
    """Rounds half to even onto a grid, with the gradient of the identity."""

    @staticmethod
    def forward(ctx: Any, weight: Tensor, step: float) -> Tensor:
        return torch.round(weight / step) * step

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        return gradients[0], None


def clamp_exponentially(weight: Tensor, cap: float = 1.5, start_weight: float = 61.0) -> Tensor:
    """The weight up to a part of `cap`, beyond it a smooth approach to `cap`; odd, and smooth where the parts meet.

    Args:
        weight: Weight of the model.
        cap: Largest magnitude, that of 63 LSB.
        start_weight: Where the approach sets in [LSB], below 63.
    """
    start = start_weight / _LARGEST_WEIGHT
    steepness = 1.0 / (1.0 - start)
    magnitude = weight.abs()
    beyond = (magnitude / cap - start).clamp(min=0.0)
    approach = weight.sign() * cap * (1.0 - torch.exp(-steepness * beyond) / steepness)
    return torch.where(magnitude > start * cap, approach, weight)


def linear_exponential_clamp(
    inputs: Tensor,
    weight: Tensor,
    bias: Optional[Tensor] = None,
    cap: float = 1.5,
    start_weight: float = 61.0,
    quantize: bool = False,
) -> Tensor:
    """`linear` with weights that approach `cap` exponentially and, with `quantize`, lie on the grid of the chip.

    With s = 1 / (1 - start_weight/63), beyond `start_weight/63 * cap` a weight becomes
    `cap * (1 - exp(-s * (|w|/cap - start_weight/63)) / s)` with its sign. The grid is cap/63; rounding is half to even,
    its gradient that of the identity.

    Args:
        inputs: Spikes `[..., in_features]`.
        weight: `[out_features, in_features]`.
        bias: `[out_features]`.
        cap: Largest magnitude of a weight.
        start_weight: Where the approach sets in [LSB], below 63.
        quantize: Whether weights lie on the grid.

    Example:
        >>> linear_exponential_clamp(torch.eye(2), torch.tensor([[1.0, 2.0]]), quantize=True).flatten()
        tensor([1.0000, 1.5000])
    """
    weight = clamp_exponentially(weight, cap, start_weight)
    if quantize:
        weight = _Quantised.apply(weight, cap / _LARGEST_WEIGHT)
    return linear(inputs, weight, bias)
