"""The ways between units: what lies on each is multiplied into one weight."""

from dataclasses import dataclass, replace
from typing import Any, Dict, Iterator, List, Optional, Tuple

import numpy as np

from gradspike.nir._inline import Flat
from gradspike.nir._network import Bias, Projection
from gradspike.nir._problems import Problem
from gradspike.nir._raw import RawNode, array_of
from gradspike.nir._units import UNITS, Times

_MOST_WAYS = 100_000
_WHOLE = 1e-4  # of a step, within which a delay is a whole number of steps


@dataclass(frozen=True)
class _Way:
    """What lies between a signal and a target, seen from the target."""

    node: str
    nodes: Tuple[str, ...] = ()
    weights: Tuple[str, ...] = ()
    weight: Optional[np.ndarray] = None
    exact: bool = True
    dtype: Any = np.float64
    delay: Optional[np.ndarray] = None
    metadata: Optional[Dict[str, Any]] = None
    exists: Optional[np.ndarray] = None
    matrices: int = 0


class Ways:
    """Collects the projections and biases of a flat graph."""

    def __init__(self, flat: Flat, times: Times) -> None:
        self.flat = flat
        self.times = times
        self.predecessors = flat.predecessors()
        self.projections: List[Projection] = []
        self.biases: List[Bias] = []
        self.problems: List[Problem] = []

    def trace(self) -> None:
        """Walks backward from every unit."""
        for name, node in self.flat.nodes.items():
            if node.type in UNITS and node.type != "Input":
                self._trace(name)

    def _trace(self, target: str) -> None:
        stack = [_Way(name) for name in reversed(self.predecessors[target])]
        while stack:
            way = stack.pop()
            node = self.flat.nodes[way.node]
            if node.type in UNITS:
                self._arrive(way, target)
            elif way.node in way.nodes:
                reason = "it is in a loop without neurons: its output would need itself"
                self._refuse(way.node, reason, "put neurons into the loop")
            else:
                stack += [replace(w, node=name) for w in self._through(way, node, target)
                          for name in reversed(self.predecessors[way.node])]  # fmt: skip
            if len(self.projections) > _MOST_WAYS:
                self._refuse(target, f"more than {_MOST_WAYS} ways lead to it", "multiply its weights beforehand")
                return

    def _refuse(self, name: str, reason: str, remedy: str) -> None:
        problem = Problem(name, self.flat.nodes[name].type, reason, remedy)
        if problem not in self.problems:
            self.problems.append(problem)

    def _arrive(self, way: _Way, target: str) -> None:
        delay = way.delay if way.delay is not None and way.delay.any() else None
        self.projections.append(
            Projection(
                way.nodes,
                way.weights,
                way.node,
                target,
                way.weight,
                way.exact,
                way.dtype,
                delay,
                way.metadata or {},
                way.exists if way.matrices == 1 else None,
            )
        )

    def _through(self, way: _Way, node: RawNode, target: str) -> Iterator[_Way]:
        """The way with one more node; none where the node is refused."""
        way = replace(way, nodes=(way.node, *way.nodes))
        weight = node.value("scale" if node.type == "Scale" else "weight")
        if node.type == "Delay":
            yield from self._delayed(way, node)
        elif node.type in ("Linear", "Affine", "Scale"):
            factor = array_of(weight)
            assert factor is not None
            if node.type == "Affine":
                self._add_bias(way, node, target)
            if factor.ndim == 2 and way.delay is not None and way.delay.size > 1:
                reason = "its output is delayed by a different time for each element"
                self._refuse(way.node, reason, "delay the input of the weight, or all elements alike")
                return
            first = way.weight is None
            yield replace(
                way,
                weights=(way.node, *way.weights),
                weight=product(way.weight, factor.reshape(-1) if node.type == "Scale" else factor),
                exact=first and node.type != "Scale",
                dtype=np.asarray(weight).dtype if first else np.dtype(np.float64),
                metadata=node.metadata if first else way.metadata,
                exists=node.fields.get("exists", way.exists),
                matrices=way.matrices + int(node.type != "Scale"),
            )
        else:
            yield way  # Flatten and ports of nested graphs

    def _add_bias(self, way: _Way, node: RawNode, target: str) -> None:
        bias = array_of(node.value("bias"))
        if bias is None or not bias.any():
            return
        if way.delay is not None and way.delay.any():
            self._refuse(way.node, "it has a bias and its output is delayed", "delay its input")
        factor = way.weight
        flat = np.broadcast_to(bias.reshape(-1), (self._out(node),))
        value = flat if factor is None else factor * flat if factor.ndim == 1 else factor @ flat
        self.biases.append(Bias(way.node, target, np.array(value, dtype=np.float64)))

    @staticmethod
    def _out(node: RawNode) -> int:
        return int(np.shape(node.value("weight"))[0])

    def _delayed(self, way: _Way, node: RawNode) -> Iterator[_Way]:
        delay = array_of(node.value("delay"))
        assert delay is not None
        steps = self.times.seconds(delay.reshape(-1)) / self.times.dt
        whole = np.rint(steps)
        if (whole < 0).any():
            self._refuse(way.node, f"delay must be at least 0, got {delay.min():g}", "shift the other signals")
        elif (np.abs(steps - whole) > _WHOLE).any():
            worst = steps[np.argmax(np.abs(steps - whole))]
            reason = f"a delay of {worst:.6g} steps is no whole number of steps"
            self._refuse(way.node, reason, "a dt that divides the delays")
        else:
            whole = whole[:1] if (whole == whole[0]).all() else whole
            yield replace(way, delay=whole if way.delay is None else way.delay + whole)


def product(after: Optional[np.ndarray], before: np.ndarray) -> np.ndarray:
    """The weight of two in a row; one-dimensional ones are diagonals, those of one element factors."""
    if after is None:
        return before
    if after.ndim == 2 and before.ndim == 2:
        return np.asarray(after @ before)
    return np.asarray(after[:, None] * before if before.ndim == 2 else after * before)
