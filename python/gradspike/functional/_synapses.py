"""Synapses: the product of spikes and the integers of a weight."""

from typing import Union

import torch
from torch import Tensor


def graded_spikes(
    spikes: Tensor,
    weight: Tensor,
    scale: Union[float, Tensor] = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
    gradient: str = "clipped",
    units: str = "model",
    projection: str = "",
) -> Tensor:
    """Spikes times the integers of a weight: `factor * sum over pre of q[post, pre] * spikes[.., pre]`.

    `q = hardware_weights(weight, ...)`, `factor` is float32 1/scale (`units="model"`) or 1 (`units="lsb"`). The sum is
    one of integers, hence exact in any order, and rounded once.

    Args:
        spikes: Counts `[..., in_features]`; float32, float64, half, bfloat16 or uint8. Rows with values that are no
            integers in 0..127 are summed in floating point, in the order of pre.
        weight: `[out_features, in_features]`; float32 or float64, half and bfloat16 are widened to float32. A stack
            `[*V, out_features, in_features]` is as many products, of spikes `[*V, ..., in_features]`.
        scale: Model weight to LSB; finite and above 0, taken as float32. A tensor without dimensions is differentiable
            and not read: where it is not finite and above 0, the result is NaN.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767.
        rounding: "half_even", "half_away", or "none": the float product with the weight as it is, neither clipped nor
            rounded (times scale where units is "lsb").
        gradient: Straight-through rule to the weight: "clipped", "identity" or "returning", see `linear_saturating`.
        units: "model" or "lsb".
        projection: Local name of the projection on the chip; does not change the result.

    Returns:
        `[..., out_features]`, float64 where spikes or weight are float64, else float32. A post neuron with a NaN weight
        is NaN at all times.

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it.

    Note:
        Differentiable in spikes (through q * factor) and weight (straight through). Forward deterministic and equal on
        every device for integer spikes; no synchronisation. In autocast regions it computes in float32.

    Source:
        Straight-through estimator: Bengio, Leonard and Courville 2013, arXiv 1308.3432.

    Example:
        >>> spikes = torch.tensor([[1.0, 0.0], [1.0, 2.0]])
        >>> graded_spikes(spikes, torch.tensor([[0.26, -0.5]]), scale=64.0, units="lsb")
        tensor([[ 17.],
                [-47.]])
    """
    if not torch.jit.is_scripting() and isinstance(scale, Tensor):
        overload = torch.ops.gradspike.graded_spikes.tensor_scale
        scaled: Tensor = overload(
            spikes,
            weight,
            scale,
            min_weight,
            max_weight,
            rounding=rounding,
            gradient=gradient,
            units=units,
            projection=projection,
        )
        return scaled
    assert not isinstance(scale, Tensor)  # TorchScript: torch.ops takes either
    result: Tensor = torch.ops.gradspike.graded_spikes(
        spikes,
        weight,
        scale,
        min_weight,
        max_weight,
        rounding=rounding,
        gradient=gradient,
        units=units,
        projection=projection,
    )
    return result
