"""Signals of a model that is exported: sums of what nodes give, with elements picked and put together."""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional, Set, Tuple

import numpy as np


@dataclass(frozen=True)
class Term:
    """One node's signal, or a choice of its elements: index -1 is an element that is 0."""

    node: str
    size: int
    """Elements of what the node gives."""
    index: Optional[np.ndarray] = None

    def picked(self, index: np.ndarray) -> "Term":
        values = np.where(index < 0, -1, index if self.index is None else self.index[index])
        whole = values.size == self.size and bool((values == np.arange(self.size)).all())
        return Term(self.node, self.size, None if whole else values)

    @property
    def is_zero(self) -> bool:
        return self.index is not None and bool((self.index < 0).all())


@dataclass(frozen=True)
class Signal:
    """A sum of terms, and a constant on top."""

    terms: Tuple[Term, ...]
    size: int
    bias: Optional[np.ndarray] = None

    def picked(self, index: np.ndarray) -> "Signal":
        """Elements in a new order; -1: 0."""
        terms = [term.picked(index) for term in self.terms]
        kept = tuple(term for term in terms if not term.is_zero) or tuple(terms[:1])
        bias = None if self.bias is None else np.where(index < 0, 0.0, self.bias[index])
        return Signal(kept, index.size, bias)


def added(a: Signal, b: Signal) -> Signal:
    biases = [s.bias for s in (a, b) if s.bias is not None]
    return Signal(a.terms + b.terms, a.size, sum(biases[1:], biases[0]) if biases else None)


def concatenated(signals: List[Signal]) -> Signal:
    """One after the other along the neurons."""
    total = sum(s.size for s in signals)
    result, start = Signal((), total), 0
    for signal in signals:
        index = np.full(total, -1)
        index[start : start + signal.size] = np.arange(signal.size)
        part = signal.picked(index)
        result, start = added(result, part) if result.terms else part, start + signal.size
    return result


@dataclass
class Spec:
    """A node to be: its type, its fields, its metadata."""

    type: str
    fields: Dict[str, np.ndarray]
    metadata: Dict[str, Any] = field(default_factory=dict)


class Sketch:
    """Nodes and edges of a graph to be."""

    def __init__(self) -> None:
        self.nodes: Dict[str, Spec] = {}
        self.edges: List[Tuple[str, str]] = []
        self._taken: Set[str] = set()

    def reserve(self, wanted: str) -> str:
        """A name that is free; "/" would split it in a file."""
        base = wanted.replace("/", ".") or "node"
        name, number = base, 2
        while name in self._taken:
            name, number = f"{base}_{number}", number + 1
        self._taken.add(name)
        return name

    def add(self, name: str, spec: Spec) -> str:
        self.nodes[name] = spec
        return name

    def connect(self, signal: Signal, target: str) -> None:
        """Feeds a node with a signal; a choice of elements becomes a weight of ones and zeros."""
        nodes = [self._plain(term) for term in signal.terms]
        if signal.bias is not None:
            nodes[0] = self._with_bias(nodes[0], signal.bias, signal.size)
        for place, node in enumerate(nodes):
            while (node, target) in self.edges:  # NIR sums edges, but not two of the same nodes
                node = self._again(node, signal.size)
            self.edges.append((node, target))
            if len(nodes) > 1 and self.nodes[node].type in ("Linear", "Affine", "Scale"):
                self.nodes[node].metadata["place"] = place

    def _plain(self, term: Term) -> str:
        if term.index is None:
            return term.node
        weight = picked_columns(np.eye(term.index.size, dtype=np.float32), term.index, term.size)
        name = self.add(self.reserve(f"{term.node}_part"), Spec("Linear", {"weight": weight}))
        self.edges.append((term.node, name))
        return name

    def _again(self, node: str, size: int) -> str:
        name = self.add(self.reserve(f"{node}_again"), Spec("Scale", {"scale": np.ones(size, dtype=np.float32)}))
        self.edges.append((node, name))
        return name

    def _with_bias(self, node: str, bias: np.ndarray, size: int) -> str:
        spec = self.nodes[node]
        shared = sum(a == node for a, _ in self.edges) > 0
        if spec.type == "Linear" and not shared:
            self.nodes[node] = Spec("Affine", {**spec.fields, "bias": bias}, spec.metadata)
            return node
        fields = {"weight": np.eye(size, dtype=np.float32), "bias": bias}
        name = self.add(self.reserve(f"{node}_bias"), Spec("Affine", fields))
        self.edges.append((node, name))
        return name


def picked_columns(weight: np.ndarray, index: np.ndarray, size: int) -> np.ndarray:
    """A weight over a choice of elements as one over all elements of the source."""
    result = np.zeros((weight.shape[0], size), dtype=weight.dtype)
    there = index >= 0
    np.add.at(result.T, index[there], weight[:, there].T)  # an element may be picked more than once
    return result
