"""Synapses of which only the existing connections are kept."""

from typing import Union

import torch
from torch import Tensor


def sparse_graded_spikes(
    spikes: Tensor,
    values: Tensor,
    connections: Tensor,
    out_features: int,
    scale: Union[float, Tensor] = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
    gradient: str = "clipped",
    units: str = "model",
    projection: str = "",
) -> Tensor:
    """Spikes times the integers of the existing connections: `graded_spikes` without the zeros of a dense matrix.

    `out[.., post] = factor * sum over the connections k of post of q[k] * spikes[.., pre[k]]` with
    `q = hardware_weights(values, ...)`; factor is float32 1/scale (`units="model"`) or 1 (`units="lsb"`). Memory and
    work grow with the connections that exist. On a CPU each spike walks over the connections of its neuron, which is
    faster than the dense product where less than some 3 % of the pairs are connected.

    Args:
        spikes: Counts `[..., in_features]`; float32, float64, half, bfloat16 or uint8. Rows with values that are no
            integers in 0..127 are summed in floating point, in the order of pre.
        values: Weight of each connection, `[connections]`; float32 or float64, half and bfloat16 are widened.
        connections: int64 `[2, connections]`, rows post and pre, sorted by post, then pre, each pair once.
        out_features: Number of post neurons.
        scale: Model weight to LSB; finite and above 0, taken as float32. A tensor without dimensions is differentiable
            and not read: where it is not finite and above 0, the result is NaN.
        min_weight: Lower bound [LSB]; an integer, -32767 <= min_weight <= 0.
        max_weight: Upper bound [LSB]; an integer, 0 <= max_weight <= 32767.
        rounding: "half_even", "half_away", or "none": the float product with the values as they are (times scale where
            units is "lsb"), summed in the order of pre over the spikes other than 0.
        gradient: Straight-through rule to the values: "clipped", "identity" or "returning", see `linear_saturating`.
        units: "model" or "lsb".
        projection: Local name of the projection; does not change the result.

    Returns:
        `[..., out_features]`, float64 where spikes or values are float64, else float32. The bits of `graded_spikes`
        with the dense matrix: a post neuron with a NaN weight is NaN at all times, a spike that is NaN or infinite
        makes its row NaN.

    Raises:
        RuntimeError: a shape, dtype or argument is out of its range; the sentence names it. On the CPU also a
            connection that is outside or out of order; on a device an index outside counts as no connection, and an
            unsorted list gives wrong sums, since reading the list would wait for the device.

    Note:
        Differentiable in spikes (through q * factor) and values (straight through, existing connections only). Forward
        deterministic and equal on every device; no synchronisation. In autocast regions it computes in float32.

    Source:
        Straight-through estimator: Bengio, Leonard and Courville 2013, arXiv 1308.3432.

    Example:
        >>> connections = torch.tensor([[0, 1, 1], [1, 0, 2]])  # 1 -> 0, 0 -> 1, 2 -> 1
        >>> spikes = torch.tensor([[1.0, 1.0, 0.0]])
        >>> sparse_graded_spikes(spikes, torch.tensor([0.5, -0.25, 1.0]), connections, 2, scale=60.0, units="lsb")
        tensor([[ 30., -15.]])
    """
    if not torch.jit.is_scripting() and isinstance(scale, Tensor):
        overload = torch.ops.gradspike.sparse_graded_spikes.tensor_scale
        scaled: Tensor = overload(
            spikes,
            values,
            connections,
            out_features,
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
    result: Tensor = torch.ops.gradspike.sparse_graded_spikes(
        spikes,
        values,
        connections,
        out_features,
        scale,
        min_weight,
        max_weight,
        rounding=rounding,
        gradient=gradient,
        units=units,
        projection=projection,
    )
    return result
