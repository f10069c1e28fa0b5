"""What an analysis gives: populations, the projections between them, the order, and what is refused.

This is the interface for builders of modules, see `gradspike.nir.analyse`:

- Times are in seconds, and every parameter is a float64 array with one entry per neuron.
- A projection is all that lies between two units: one weight, the product of the weights on its way, or an identity.
  Several projections into one target are summed, in the order of the list.
- `order` lists groups of units so that a group needs spikes of earlier ones alone. A group of several members, or of
  one that feeds itself, is `recurrent`: spikes inside it arrive one step later.
- What a spike does to a current is not decided here but by a `Convention` (`_conventions`).
"""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from gradspike.nir._problems import Problem


@dataclass
class Unit:
    """A node that ends projections: an input, neurons, a threshold, or an output."""

    name: str
    type: str
    """Type of the NIR node: "Input", "CubaLIF", "Threshold", "Output", ..."""
    size: int
    shape: Tuple[int, ...] = ()
    """What an Input or Output states; signals are flat all the same."""
    parameters: Dict[str, np.ndarray] = field(default_factory=dict)
    """By the names of NIR, float64 `[size]`; "tau", "tau_mem" and "tau_syn" in s, "r" of I and IF per second."""
    metadata: Dict[str, Any] = field(default_factory=dict)

    @property
    def fires(self) -> bool:
        return self.type in ("CubaLIF", "LIF", "IF")

    @property
    def is_population(self) -> bool:
        return self.type in ("CubaLIF", "CubaLI", "LIF", "LI", "IF", "I")


@dataclass
class Projection:
    """All that lies on one way from a unit to a unit."""

    nodes: Tuple[str, ...]
    """Names of the nodes on the way, first to last; empty for an edge without any."""
    weights: Tuple[str, ...]
    """Those of them that hold a weight."""
    source: str
    target: str
    weight: Optional[np.ndarray]
    """float64: a matrix `[target size, source size]`, a diagonal `[size]`, or None: element by element, weight 1."""
    exact: bool = True
    """Whether `weight` is the field of one node; else it is a product, rounded in float64."""
    dtype: Any = np.float64
    """dtype of the weight in the graph."""
    delay: Optional[np.ndarray] = None
    """Whole steps by which the source's signal comes later, `[1]` or `[source size]`."""
    metadata: Dict[str, Any] = field(default_factory=dict)
    """Of the node that holds the weight."""
    exists: Optional[np.ndarray] = None
    """Boolean like the weight: which connections there are, where the weight is a convolution written out."""

    @property
    def name(self) -> str:
        """Name for a module: that of the weight nodes, else of the two ends."""
        return "+".join(self.weights) if self.weights else f"{self.source}->{self.target}"

    def matrix(self, size: int) -> np.ndarray:
        """The weight as a matrix, for a target of that size."""
        weight = np.ones(size) if self.weight is None else self.weight
        return np.diag(weight) if weight.ndim == 1 else weight


@dataclass
class Bias:
    """What an affine node adds to the input of a unit in every step."""

    node: str
    target: str
    value: np.ndarray
    """float64 `[target size]`, not all 0."""


@dataclass
class Group:
    """Units that are computed together."""

    members: Tuple[str, ...]
    recurrent: bool = False


@dataclass
class Analysis:
    """A graph in normal form."""

    units: Dict[str, Unit]
    projections: List[Projection]
    biases: List[Bias]
    order: List[Group]
    problems: List[Problem]
    """Refusals that no builder can lift; a builder adds its own."""
    notes: List[str]
    """What happened that is exact, but worth knowing."""
    types: Dict[str, str]
    """Type of every node by its full name."""
    metadata: Dict[str, Any]
    """Of the graph."""

    @property
    def inputs(self) -> List[Unit]:
        """In natural order of names: "x2" before "x10"."""
        return self._ordered("Input")

    @property
    def outputs(self) -> List[Unit]:
        return self._ordered("Output")

    def _ordered(self, kind: str) -> List[Unit]:
        return sorted((u for u in self.units.values() if u.type == kind), key=lambda u: natural(u.name))

    def into(self, target: str) -> List[Projection]:
        """Projections of a unit, in the order in which they are summed."""
        return [p for p in self.projections if p.target == target]

    def biases_of(self, target: str) -> List[Bias]:
        return [b for b in self.biases if b.target == target]


def natural(name: str) -> Tuple[Tuple[int, int, str], ...]:
    """Key that sorts "x2" before "x10"."""
    parts: List[str] = []
    for character in name:
        if parts and parts[-1].isdigit() == character.isdigit():
            parts[-1] += character
        else:
            parts.append(character)
    # isdecimal: int() takes no superscripts
    return tuple((0, int(p), p) if p.isdecimal() else (1, 0, p) for p in parts)
