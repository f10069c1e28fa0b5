"""Operators on weights: the transform to integers, its statistics, and the connection list."""

import math
from dataclasses import dataclass
from typing import List, Tuple, Union

import torch
from torch import Tensor


@dataclass(frozen=True)
class WeightStatistics:
    """Numbers of one layer's weights, as Python numbers."""

    total: int
    """Number of weights."""
    clipped_low: int
    """Weights with scale * w below min_weight."""
    clipped_high: int
    """Weights with scale * w above max_weight."""
    to_zero: int
    """Weights that are not 0 but whose integer is 0."""
    nan: int
    """Weights that are NaN."""
    largest: float
    """Largest |scale * w| [LSB]; NaN left out."""
    rounding_error: float
    """Root mean square of integer minus clipped weight [LSB]; NaN left out."""
    hash: int
    """Content hash of the integers, their shape and bounds: 0 <= hash < 2**64, equal on every device."""

    @property
    def clipped_fraction(self) -> float:
        """Share of the weights beyond either bound; 0 for an empty layer."""
        return (self.clipped_low + self.clipped_high) / max(self.total, 1)

    @property
    def to_zero_fraction(self) -> float:
        """Share of the weights that are lost to rounding; 0 for an empty layer."""
        return self.to_zero / max(self.total, 1)


@dataclass(frozen=True)
class ScaleSuggestion:
    """A scale for a layer's weights and what it would lose."""

    scale: float
    """Power of two: model weight to LSB."""
    clipped_fraction: float
    """Share of the weights beyond a bound at this scale."""
    to_zero_fraction: float
    """Share of the weights that round to zero at this scale."""


def linear_saturating(
    weight: Tensor,
    scale: Union[float, Tensor] = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    gradient: str = "clipped",
) -> Tensor:
    """Scales and clips a weight: `min(max(scale * weight, min_weight), max_weight)`, without rounding.

    Args:
        weight: Any shape; float32 or float64, half and bfloat16 are widened to float32.
        scale: Model weight to LSB; finite and above 0, taken as float32. A tensor without dimensions is differentiable
            and not read: where it is not finite and above 0, the result is NaN.
        min_weight: Lower bound [LSB], at most max_weight.
        max_weight: Upper bound [LSB]; 63 is the 6-bit weight of one synapse circuit.
        gradient: Straight-through rule. "clipped": scale inside the bounds (inclusive), 0 outside; "identity": scale
            everywhere; "returning": as "clipped", and outside the bounds where descent moves the weight back inside.

    Returns:
        Tensor of the weight's shape and dtype [LSB], computed in float32 where that is narrower; NaN stays NaN.

    Raises:
        RuntimeError: an argument is out of its range; the sentence names it.

    Note:
        Differentiable in weight. Deterministic; no synchronisation.

    Source:
        hxtorch's weight transform of the same name.

    Example:
        >>> linear_saturating(torch.tensor([-2.0, 0.25, 1.0]), scale=50.0)
        tensor([-63.0000,  12.5000,  50.0000])
    """
    if not torch.jit.is_scripting() and isinstance(scale, Tensor):
        overload = torch.ops.gradspike.linear_saturating.tensor_scale
        scaled: Tensor = overload(weight, scale, min_weight, max_weight, gradient=gradient)
        return scaled
    assert not isinstance(scale, Tensor)  # TorchScript: torch.ops takes either
    result: Tensor = torch.ops.gradspike.linear_saturating(weight, scale, min_weight, max_weight, gradient=gradient)
    return result


def hardware_weights(
    weight: Tensor,
    scale: Union[float, Tensor] = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
) -> Tensor:
    """The integers that the chip holds: `round(min(max(scale * weight, min_weight), max_weight))`.

    Args:
        weight: Any shape; float32 or float64, half and bfloat16 are widened to float32.
        scale: Model weight to LSB; finite and above 0, taken as float32. A tensor without dimensions is differentiable
            and not read: where it is not finite and above 0, the result is NaN.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0. 0 for an excitatory projection.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767. 0 for an inhibitory projection. Beyond 63
            an input needs several synapse rows.
        rounding: "half_even" or "half_away".

    Returns:
        int8 where both bounds lie within 127, else int16. NaN is the lowest value of the type (-128 or -32768).

    Raises:
        RuntimeError: an argument is out of its range; the sentence names it.

    Note:
        Not differentiable: `graded_spikes` holds the straight-through gradient. Deterministic; no synchronisation.

    Source:
        6-bit synapses with the sign of their row, Pehle et al. 2022, doi 10.3389/fnins.2022.795876.

    Example:
        >>> hardware_weights(torch.tensor([-2.0, 0.25, 0.5, 1.0]), scale=50.0)
        tensor([-63,  12,  25,  50], dtype=torch.int8)
    """
    if not torch.jit.is_scripting() and isinstance(scale, Tensor):
        overload = torch.ops.gradspike.hardware_weights.tensor_scale
        scaled: Tensor = overload(weight, scale, min_weight, max_weight, rounding=rounding)
        return scaled
    assert not isinstance(scale, Tensor)  # TorchScript: torch.ops takes either
    result: Tensor = torch.ops.gradspike.hardware_weights(weight, scale, min_weight, max_weight, rounding=rounding)
    return result


def weight_statistics(
    weight: Tensor,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
) -> WeightStatistics:
    """Counts what the integers of a weight lose, and hashes them, in one pass.

    With `x = scale * weight` and `q` its integer: counts of x beyond either bound, of weights other than 0 with q = 0
    and of NaN; the largest |x|, `sqrt(mean((q - clip(x))**2))`, and the content hash of q.

    Args:
        weight: `[out_features, in_features]`; float32 or float64, half and bfloat16 are widened to float32.
        scale: Model weight to LSB; finite and above 0, taken as float32.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767.
        rounding: "half_even" or "half_away".

    Returns:
        WeightStatistics, as Python numbers.

    Raises:
        RuntimeError: an argument is out of its range; the sentence names it.

    Note:
        Reading the numbers waits for the device; `torch.ops.gradspike.weight_statistics` gives them as tensors without
        waiting, and is the form for TorchScript. Not differentiable. Deterministic, equal on every device.

    Source:
        Hash: a sum of SplitMix64 shares, Steele, Lea and Flood 2014, doi 10.1145/2660193.2660195.

    Example:
        >>> statistics = weight_statistics(torch.tensor([[2.0, 0.001, 0.5]]), scale=64.0)
        >>> statistics.clipped_high, statistics.to_zero, statistics.largest
        (1, 1, 128.0)
    """
    counts, measures, content = torch.ops.gradspike.weight_statistics(
        weight, scale, min_weight, max_weight, rounding=rounding
    )
    return _statistics_of(counts, measures, content)


def hardware_weights_with_statistics(
    weight: Tensor,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
) -> Tuple[Tensor, WeightStatistics]:
    """The integers of `hardware_weights` and the numbers of `weight_statistics`, in one pass over the weight.

    Args:
        weight: `[out_features, in_features]`; float32 or float64, half and bfloat16 are widened to float32.
        scale: Model weight to LSB; finite and above 0, taken as float32.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767.
        rounding: "half_even" or "half_away".

    Returns:
        The integers, int8 or int16, and WeightStatistics as Python numbers.

    Raises:
        RuntimeError: an argument is out of its range; the sentence names it.

    Note:
        Reading the numbers waits for the device; `torch.ops.gradspike.hardware_weights_with_statistics` gives integers,
        counts, measures and hash as tensors without waiting, and is the form for TorchScript. Not differentiable.
        Deterministic, equal on every device.

    Source:
        As `hardware_weights` and `weight_statistics`.

    Example:
        >>> integers, statistics = hardware_weights_with_statistics(torch.tensor([[2.0, 0.001, 0.5]]), scale=64.0)
        >>> integers.tolist(), statistics.clipped_high
        ([[63, 0, 32]], 1)
    """
    integers, counts, measures, content = torch.ops.gradspike.hardware_weights_with_statistics(
        weight, scale, min_weight, max_weight, rounding=rounding
    )
    return integers, _statistics_of(counts, measures, content)


def _statistics_of(counts: Tensor, measures: Tensor, content: Tensor) -> WeightStatistics:
    """The numbers of the operators' tensors; waits for the device."""
    total, clipped_low, clipped_high, to_zero, nan = counts.tolist()
    largest, rounding_error = measures.tolist()
    return WeightStatistics(
        total=total,
        clipped_low=clipped_low,
        clipped_high=clipped_high,
        to_zero=to_zero,
        nan=nan,
        largest=largest,
        rounding_error=rounding_error,
        hash=int(content.item()) % 2**64,
    )


def connections(
    weight: Tensor,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
) -> Tensor:
    """The connection list of a dense projection: row `post * in_features + pre` is `(pre, post, q[post, pre])`.

    Args:
        weight: `[out_features, in_features]`; float32 or float64, half and bfloat16 are widened to float32.
        scale: Model weight to LSB; finite and above 0, taken as float32.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767.
        rounding: "half_even" or "half_away".

    Returns:
        int32 `[out_features * in_features, 3]`, post outer and pre inner, zeros included.

    Raises:
        RuntimeError: a weight is NaN, or an argument is out of its range; the sentence names it.

    Note:
        For a weight on a CUDA device the search for NaN waits for the device. Not differentiable. Deterministic.

    Source:
        Order and rounding of hxtorch's `get_connections`.

    Example:
        >>> connections(torch.tensor([[0.5, -2.0]]), scale=64.0)
        tensor([[  0,   0,  32],
                [  1,   0, -63]], dtype=torch.int32)
    """
    if weight.is_cuda:
        _refuse_nan(weight)
    result: Tensor = torch.ops.gradspike.connections(weight, scale, min_weight, max_weight, rounding=rounding)
    return result


def suggest_scale(
    weight: Tensor,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
    max_clipped: float = 0.02,
) -> ScaleSuggestion:
    """The largest power of two that clips at most a given share of the weights.

    A larger scale loses fewer small weights to rounding and more large ones to the bounds; a power of two has an exact
    inverse, so scaling back to model units adds no rounding. The search starts where nothing clips and doubles.

    Args:
        weight: `[out_features, in_features]`, finite or NaN (left out).
        min_weight: Lower bound [LSB], see `hardware_weights`. Where it is 0, negative weights clip at any scale and do
            not steer the search; likewise positive ones where max_weight is 0.
        max_weight: Upper bound [LSB].
        rounding: "half_even" or "half_away".
        max_clipped: Share of the weights that may clip, 0 <= max_clipped < 1.

    Returns:
        ScaleSuggestion with the scale and both shares at this scale; the scale is 1 where all weights are 0 or both
        bounds are.

    Raises:
        ValueError: max_clipped is out of its range, or a weight is infinite.

    Note:
        Reads numbers from the device at each step of the search.

    Example:
        >>> suggest_scale(torch.tensor([[0.3, -0.2], [0.1, 0.05]])).scale
        128.0
    """
    if not 0.0 <= max_clipped < 1.0:
        raise ValueError(f"suggest_scale: max_clipped must lie in [0, 1), got {max_clipped}")
    largest = weight_statistics(weight, 1.0, min_weight, max_weight, rounding).largest
    if math.isinf(largest):
        raise ValueError("suggest_scale: weight must be finite, got an infinite value")
    exponent = _largest_exponent(weight, min_weight, max_weight, rounding, max_clipped, largest)
    scale = 2.0**exponent
    statistics = weight_statistics(weight, scale, min_weight, max_weight, rounding)
    return ScaleSuggestion(scale, statistics.clipped_fraction, statistics.to_zero_fraction)


# Beyond 2^60 a float32 scale times a weight comes close to overflow, and no weight of a network is that small.
_MAX_EXPONENT = 60


def _largest_exponent(
    weight: Tensor, min_weight: float, max_weight: float, rounding: str, max_clipped: float, largest: float
) -> int:
    bound = max(max_weight, -min_weight)
    if largest <= 0.0 or bound <= 0.0:
        return 0
    exponent = max(min(math.floor(math.log2(bound / largest)), _MAX_EXPONENT), -_MAX_EXPONENT)
    while exponent < _MAX_EXPONENT:
        statistics = weight_statistics(weight, 2.0 ** (exponent + 1), min_weight, max_weight, rounding)
        clipped = (statistics.clipped_low if min_weight < 0.0 else 0) + (
            statistics.clipped_high if max_weight > 0.0 else 0
        )
        if clipped > max_clipped * statistics.total:
            break
        exponent += 1
    return exponent


def _refuse_nan(weight: Tensor) -> None:
    found = torch.isnan(weight).nonzero()
    if found.numel() > 0:
        index: List[int] = found[0].tolist()
        raise RuntimeError(f"connections: weight must not be NaN, got NaN at index {index}")
