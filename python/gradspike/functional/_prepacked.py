"""Weights that are made ready once, for inference loops."""

from typing import NamedTuple

import torch
from torch import Tensor


class PackedWeights(NamedTuple):
    """A weight as the kernels read it; the same data on every device, to be saved and moved as it is.

    Example:
        >>> packed = prepack(torch.ones(2, 3))
        >>> packed.rows.shape, packed.groups.shape, packed.matrix.shape, packed.nan_posts.tolist()
        (torch.Size([3, 64]), torch.Size([1, 64, 4]), torch.Size([2, 64]), [False, False])
    """

    rows: Tensor
    """int8 or int16 `[in_features, P]`, P the outputs padded to 64: a spike adds one row."""
    groups: Tensor
    """int8 `[ceil(in_features / 4), P, 4]`: operands of dot products of bytes; empty where rows are int16."""
    matrix: Tensor
    """int8 or int16 `[out_features, in_features padded to 64]`: operands of a product in tiles."""
    nan_posts: Tensor
    """bool `[out_features]`: neurons that have a NaN weight."""
    out_features: int
    scale: float
    min_weight: float
    max_weight: float


def prepack(
    weight: Tensor,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
) -> PackedWeights:
    """Quantises a weight and stores it in the forms that the kernels read, for `prepacked_graded_spikes`.

    `graded_spikes` does this in every call; over a few rows of spikes it takes most of the time. The result follows no
    later change of the weight.

    Args:
        weight: `[out_features, in_features]`; float32 or float64, half and bfloat16 are widened to float32.
        scale: Model weight to LSB; finite and above 0, taken as float32.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767.
        rounding: "half_even" or "half_away".

    Returns:
        PackedWeights: four tensors, and the numbers that belong to them.

    Raises:
        RuntimeError: an argument is out of its range; the sentence names it.

    Note:
        Not differentiable. Deterministic, equal on every device; no synchronisation.

    Source:
        None: the operands of the kernels of this library.

    Example:
        >>> prepack(torch.tensor([[0.5, -0.25]]), scale=64.0).rows[:, 0]
        tensor([ 32, -16], dtype=torch.int8)
    """
    rows, groups, matrix, nan_posts = torch.ops.gradspike.prepack(
        weight, scale, min_weight, max_weight, rounding=rounding
    )
    return PackedWeights(rows, groups, matrix, nan_posts, weight.size(0), scale, min_weight, max_weight)


def prepacked_graded_spikes(
    spikes: Tensor,
    rows: Tensor,
    groups: Tensor,
    matrix: Tensor,
    nan_posts: Tensor,
    out_features: int,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    units: str = "model",
    projection: str = "",
) -> Tensor:
    """`graded_spikes` with the weights of `prepack`: `prepacked_graded_spikes(spikes, *packed)`.

    Args:
        spikes: Counts `[..., in_features]`; float32, float64, half, bfloat16 or uint8.
        rows: From `prepack`.
        groups: From `prepack`.
        matrix: From `prepack`.
        nan_posts: From `prepack`.
        out_features: Number of post neurons.
        scale: As given to `prepack`.
        min_weight: As given to `prepack`.
        max_weight: As given to `prepack`.
        units: "model" or "lsb".
        projection: Local name of the projection; does not change the result.

    Returns:
        `[..., out_features]` with the bits of `graded_spikes`; float64 where spikes are float64, else float32.

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range, or a gradient is asked for; the sentence names it.
            The numbers in the packed tensors are trusted.

    Note:
        Not differentiable: spikes that require a gradient are refused, use `graded_spikes` to train. Deterministic and
        equal on every device for integer spikes; no synchronisation. In autocast regions it computes in float32.

    Source:
        None: `graded_spikes` in two steps.

    Example:
        >>> packed = prepack(torch.tensor([[0.26, -0.5]]), scale=64.0)
        >>> prepacked_graded_spikes(torch.tensor([[1.0, 2.0]]), *packed, units="lsb")
        tensor([[-47.]])
    """
    result: Tensor = torch.ops.gradspike.prepacked_graded_spikes(
        spikes,
        rows,
        groups,
        matrix,
        nan_posts,
        out_features,
        scale,
        min_weight,
        max_weight,
        units=units,
        projection=projection,
    )
    return result
