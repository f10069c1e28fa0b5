"""Options of building, and what the metadata of a node adds to them."""

import math
from dataclasses import dataclass
from typing import Any, Dict, Mapping, Optional, Union

import numpy as np
import torch

from gradspike.nn._checks import SURROGATES, choice

BIASES = ("refuse", "leak", "add")
LIFS = ("refuse", "instant_synapse")

Scale = Union[None, float, Mapping[str, float]]


@dataclass(frozen=True)
class Options:
    """Arguments of `from_nir` beyond the convention; None: what the metadata says, else the default."""

    bias: str = "refuse"
    lif: Optional[str] = None
    conv: str = "refuse"
    rounding: Optional[str] = None
    scale: Scale = None
    min_weight: Optional[float] = None
    max_weight: Optional[float] = None
    gradient: Optional[str] = None
    surrogate: Optional[str] = None
    alpha: Optional[float] = None
    refractory_time: Optional[float] = None
    dtype: Optional[torch.dtype] = None
    device: Any = None
    metadata: bool = True

    def check(self) -> None:
        """Raises ValueError or TypeError naming the argument."""
        choice("from_nir", "bias", self.bias, BIASES)
        if self.lif is not None:
            choice("from_nir", "lif", self.lif, LIFS)
        choice("from_nir", "conv", self.conv, ("refuse", "unroll"))
        if self.rounding is not None:
            choice("from_nir", "rounding", self.rounding, ("half_even", "half_away", "none"))
        if self.gradient is not None:
            choice("from_nir", "gradient", self.gradient, ("clipped", "identity", "returning"))
        if self.surrogate is not None:
            choice("from_nir", "surrogate", self.surrogate, SURROGATES)
        if self.dtype not in (None, torch.float32, torch.float64):
            raise ValueError(f"from_nir: dtype must be torch.float32 or torch.float64, got {self.dtype}")
        scales = self.scale.values() if isinstance(self.scale, Mapping) else [self.scale]
        if not all(s is None or (isinstance(s, (int, float)) and math.isfinite(s) and s > 0) for s in scales):
            raise ValueError(f"from_nir: scale must be above 0, or such numbers by weight node, got {self.scale!r}")
        time = self.refractory_time
        if time is not None and not (isinstance(time, (int, float)) and math.isfinite(time) and time >= 0):
            raise ValueError(f"from_nir: refractory_time must be a number of seconds of at least 0, got {time!r}")


class Choices:
    """Looks options up: the argument first, then the metadata of the node, then a default."""

    def __init__(self, options: Options, graph_metadata: Mapping[str, Any]) -> None:
        self.options = options
        self.trusted = options.metadata and plain(graph_metadata.get("library")) == "gradspike"
        self.used: Dict[str, Any] = {}

    def get(self, name: str, node: str, metadata: Mapping[str, Any], default: Any) -> Any:
        """An option by its name. Metadata of another type than the default is not taken."""
        given = getattr(self.options, name, None)
        if given is not None:
            return given
        found = self.stored(name, node, metadata)
        kind = (int, float) if isinstance(default, float) or default is None else type(default)
        return found if isinstance(found, kind) else default

    def stored(self, name: str, node: str, metadata: Mapping[str, Any]) -> Any:
        """What a gradspike file says; None elsewhere."""
        if not self.trusted or name not in metadata:
            return None
        value = plain(metadata[name])
        self.used[f"{node}.{name}"] = "..." if isinstance(value, np.ndarray) else value
        return value


def plain(value: Any) -> Any:
    """A NumPy scalar or 0-dim array as Python's."""
    return (
        value.item() if isinstance(value, np.generic) or (isinstance(value, np.ndarray) and not value.ndim) else value
    )
