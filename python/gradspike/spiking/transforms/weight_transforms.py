"""From the weight of the model to the weight of the chip."""

import functools
import math
from typing import Any, Callable, Dict, NamedTuple, Optional

import torch
from torch import Tensor

from gradspike.functional import linear_saturating as _linear_saturating

_DEFAULTS = {"scale": 1.0, "min_weight": -63.0, "max_weight": 63.0}


def linear_saturating(
    weight: Tensor, scale: float = 1.0, min_weight: float = -63.0, max_weight: float = 63.0
) -> Tensor:
    """`clamp(scale * weight, min_weight, max_weight)`, see `gradspike.functional.linear_saturating`.

    Bind the scale with `functools.partial(linear_saturating, scale=64.0)`; the layers read a transform again at each
    use, so its keywords may change between batches.

    Example:
        >>> linear_saturating(torch.tensor([0.5, -2.0]), scale=64.0)
        tensor([ 32., -63.])
    """
    return _linear_saturating(weight, float(scale), float(min_weight), float(max_weight))


class LinearTransform(NamedTuple):
    """What a transform that is `linear_saturating` says. Weights in LSB."""

    scale: float
    min_weight: float
    max_weight: float

    @property
    def holds_integers(self) -> bool:
        """Whether the bounds are integers that the chip can hold."""
        whole = all(math.isfinite(bound) and bound == int(bound) for bound in self[1:])
        return whole and -32767 <= self.min_weight <= 0 <= self.max_weight <= 32767

    def within(self, receptor: str) -> "LinearTransform":
        """Bounds of a projection with this receptor: excitatory ones hold nothing below 0, inhibitory nothing above."""
        low = 0.0 if receptor == "excitatory" else self.min_weight
        high = 0.0 if receptor == "inhibitory" else self.max_weight
        return LinearTransform(self.scale, low, high)


CHIP_RANGE = LinearTransform(1.0, -63.0, 63.0)
"""Bounds of a transform that names none [LSB]: one synapse."""


def linear_transform(transform: Callable[..., Tensor]) -> Optional[LinearTransform]:
    """Scale and bounds where `transform` is `linear_saturating`, bare or in `functools.partial`; else None."""
    keywords: Dict[str, Any] = {}
    while isinstance(transform, functools.partial):
        if transform.args:
            return None
        keywords = {**transform.keywords, **keywords}
        transform = transform.func
    if not _is_linear(transform) or not set(keywords) <= set(_DEFAULTS):
        return None
    values = {name: float(keywords.get(name, default)) for name, default in _DEFAULTS.items()}
    return LinearTransform(**values)


def _is_linear(function: Any) -> bool:
    """gradspike's function, or that of the library it is compatible with."""
    if function in (linear_saturating, _linear_saturating):
        return True
    module = str(getattr(function, "__module__", ""))
    return getattr(function, "__name__", "") == "linear_saturating" and module.startswith("hxtorch.")


def rounded(lsb: Tensor) -> Tensor:
    """Integers of a transform of the user [LSB], half to even, with the gradient of the identity."""
    return lsb + (torch.round(lsb) - lsb).detach()


def transformed(transform: Callable[..., Tensor], weight: Tensor) -> Tensor:
    """What an arbitrary transform makes of a copy of the weight."""
    result = transform(weight.detach().clone())
    if not isinstance(result, Tensor) or result.shape != weight.shape:
        got = f"shape {list(result.shape)}" if isinstance(result, Tensor) else type(result).__name__
        raise ValueError(f"transform must give a tensor of shape {list(weight.shape)}, got {got}")
    return result if result.is_floating_point() else result.to(torch.float32)
