"""Spikes as bits."""

from typing import NamedTuple, Optional

import torch
from torch import Tensor


class PackSpikesOutput(NamedTuple):
    """Spikes as bits, and how many of them a bit could not hold."""

    packed: Tensor
    """uint8 `[..., ceil(neurons / 8)]`: neuron n is bit n & 7 of byte n >> 3, the least significant bit first."""
    lost: Tensor
    """int64 `[1]`: number of spikes that are neither 0 nor 1."""


def pack_spikes(spikes: Tensor) -> PackSpikesOutput:
    """Packs spikes into bits along the last axis: a bit is 1 where the spike is not 0.

    Args:
        spikes: `[..., neurons]`; float32, float64, half, bfloat16, uint8 or bool.

    Returns:
        PackSpikesOutput: `packed` uint8 `[..., ceil(neurons / 8)]`, padding bits 0, and `lost` int64 `[1]`, the number
        of spikes that are neither 0 nor 1 (counts above 1, fractions, NaN), of which only "not 0" is kept.

    Raises:
        RuntimeError: a shape or dtype is out of its range; the sentence names it.

    Note:
        Not differentiable. Deterministic, equal on every device; no synchronisation.

    Source:
        None: a storage format of this library, numpy's `packbits(..., bitorder="little")`.

    Example:
        >>> pack_spikes(torch.tensor([[1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]])).packed
        tensor([[5, 1]], dtype=torch.uint8)
    """
    packed, lost = torch.ops.gradspike.pack_spikes(spikes)
    return PackSpikesOutput(packed, lost)


def unpack_spikes(packed: Tensor, neurons: int, dtype: Optional[torch.dtype] = None) -> Tensor:
    """Spikes 0 and 1 from bits along the last axis: the inverse of `pack_spikes` where nothing was lost.

    Args:
        packed: uint8 `[..., ceil(neurons / 8)]`; bits beyond the last neuron are ignored.
        neurons: Number of neurons, the last axis of the result.
        dtype: torch.float32 (None), torch.float64 or torch.uint8.

    Returns:
        `[..., neurons]` of 0 and 1.

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.

    Note:
        Not differentiable. Deterministic, equal on every device; no synchronisation.

    Source:
        None: a storage format of this library, numpy's `unpackbits(..., bitorder="little")`.

    Example:
        >>> unpack_spikes(torch.tensor([5, 1], dtype=torch.uint8), 9)
        tensor([1., 0., 1., 0., 0., 0., 0., 0., 1.])
    """
    result: Tensor = torch.ops.gradspike.unpack_spikes(packed, neurons, dtype=dtype)
    return result
