"""Weights before they become integers."""

import math
from typing import Any, List, Optional

import torch
from torch import Tensor

from gradspike import functional
from gradspike.plot import _axes


def weight_histogram(
    weight: Tensor,
    ax: Optional[Any] = None,
    *,
    scale: float = 1.0,
    min_weight: float = -63.0,
    max_weight: float = 63.0,
    rounding: str = "half_even",
    title: Optional[str] = None,
) -> Any:
    """Histogram of `scale * weight` in LSB, with the bounds beyond which weights clip and the bin that rounds to zero.

    Args:
        weight: Any shape; values that are NaN or infinite, themselves or scaled, are left out, and the legend says how
            many.
        ax: Axes to draw into; None: new ones.
        scale: Model weight to LSB.
        min_weight: Lower bound [LSB].
        max_weight: Upper bound [LSB].
        rounding: "half_even" or "half_away".
        title: Title; None: none.

    Returns:
        The Axes.

    Raises:
        RuntimeError: the bounds or the rounding are none of a projection.
        ImportError: matplotlib is missing.

    Example:
        >>> import torch
        >>> ax = weight_histogram(torch.tensor([2.0, -2.0, 0.001, 0.5]), scale=64.0)
        >>> [text.get_text() for text in ax.get_legend().get_texts()]
        ['weights', 'round to 0: 1', 'clip: 2 of 4', 'bounds']
    """
    ax = _axes.axes(ax)
    values = weight.detach().cpu().reshape(1, -1)
    scaled = functional.linear_saturating(values, scale, -math.inf, math.inf)
    finite = torch.isfinite(values) & torch.isfinite(scaled)
    left_out = int((~finite).sum())
    values, scaled = values[finite].unsqueeze(0), scaled[finite].double()
    statistics = functional.weight_statistics(values, scale, min_weight, max_weight, rounding)
    zero = functional.hardware_weights(values, scale, min_weight, max_weight, rounding).flatten() == 0
    edges = _bins(min([min_weight, *scaled.tolist()]), max([max_weight, *scaled.tolist()]))
    outside = (scaled < min_weight) | (scaled > max_weight)
    clipped = statistics.clipped_low + statistics.clipped_high
    labels = ["weights", f"round to 0: {statistics.to_zero}", f"clip: {clipped} of {statistics.total}"]
    parts = [scaled[~zero & ~outside].numpy(), scaled[zero & ~outside].numpy(), scaled[outside].numpy()]
    ax.hist(parts, bins=edges, stacked=True, color=[_axes.PLAIN, _axes.LOST, _axes.OVER], label=labels)
    for bound, text in ((min_weight, "bounds"), (max_weight, None)):
        ax.axvline(bound, color=_axes.GREY, linestyle="--", label=text)
    if left_out:
        ax.plot([], [], " ", label=f"left out, not finite: {left_out}")
    _axes.legend_outside(ax)
    return _axes.finish(ax, "scale × weight [LSB]", "number of weights", title)


def _bins(low: float, high: float) -> List[float]:
    """Edges at half integers, so that no bin mixes two integers; at most 256 bins."""
    first, last = math.floor(low) - 0.5, math.ceil(high) + 0.5
    width = max(1, math.ceil((last - first) / 256))
    return [first + width * i for i in range(math.ceil((last - first) / width) + 1)]
