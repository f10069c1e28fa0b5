"""A graph as its file has it: types, arrays, edges. From `nir.NIRGraph` objects and, in `_file`, from files.

Nothing here constructs a node of `nir`, whose checks stop at the first fault and with an exception of Python's.
"""

from dataclasses import dataclass, field
from typing import Any, Dict, List, Mapping, Optional, Tuple, Union

import numpy as np

_NEURON = ("r", "v_leak")
_FIRING = ("v_threshold", "v_reset")
_CONV = ("input_shape", "weight", "stride", "padding", "dilation", "groups", "bias")
_POOL = ("kernel_size", "stride", "padding")

FIELDS: Dict[str, Tuple[str, ...]] = {
    "Input": ("shape",),
    "Output": ("shape",),
    "Linear": ("weight",),
    "Affine": ("weight", "bias"),
    "Scale": ("scale",),
    "Flatten": ("input_type", "start_dim", "end_dim"),
    "Delay": ("delay",),
    "Threshold": ("threshold",),
    "I": ("r",),
    "IF": ("r", *_FIRING),
    "LI": ("tau", *_NEURON),
    "LIF": ("tau", *_NEURON, *_FIRING),
    "CubaLI": ("tau_syn", "tau_mem", *_NEURON, "w_in"),
    "CubaLIF": ("tau_syn", "tau_mem", *_NEURON, *_FIRING, "w_in"),
    "Conv1d": _CONV,
    "Conv2d": _CONV,
    "SumPool2d": _POOL,
    "AvgPool2d": _POOL,
}
"""Fields of the types that are read; any other type is refused by its name."""

OPTIONAL: Dict[str, Any] = {"v_reset": 0.0, "w_in": 1.0, "input_type": None, "input_shape": None}
"""Fields that older files lack, and what stands in their place."""


@dataclass
class RawNode:
    """One node: the name of its type and its fields."""

    type: str
    fields: Dict[str, Any]
    metadata: Dict[str, Any] = field(default_factory=dict)

    def missing(self) -> List[str]:
        """Fields that the type has and this node has not."""
        return [name for name in FIELDS.get(self.type, ()) if name not in self.fields and name not in OPTIONAL]

    def value(self, name: str) -> Any:
        return self.fields.get(name, OPTIONAL.get(name))


@dataclass
class RawGraph:
    """A graph, with graphs among its nodes."""

    nodes: Dict[str, Union[RawNode, "RawGraph"]]
    edges: List[Tuple[str, str]]
    metadata: Dict[str, Any] = field(default_factory=dict)


def raw_of(graph: Any) -> RawGraph:
    """A `nir.NIRGraph`, or anything with its attributes, as a raw graph."""
    if not (isinstance(getattr(graph, "nodes", None), dict) and hasattr(graph, "edges")):
        raise TypeError(f"from_nir: graph must be a nir.NIRGraph or the path of a file, got {type(graph).__name__}")
    nodes: Dict[str, Union[RawNode, RawGraph]] = {}
    for name, node in graph.nodes.items():
        nodes[str(name)] = raw_of(node) if hasattr(node, "nodes") else _raw_node(node)
    return RawGraph(nodes, [(str(a), str(b)) for a, b in graph.edges], _metadata(graph))


def _raw_node(node: Any) -> RawNode:
    kind = type(node).__name__
    fields = {name: value for name in FIELDS.get(kind, ()) if (value := _attribute(node, kind, name)) is not None}
    return RawNode(kind, fields, _metadata(node))


def _attribute(node: Any, kind: str, name: str) -> Any:
    if name in ("shape", "input_type"):
        types = getattr(node, "output_type" if kind == "Output" else "input_type", None)
        return next(iter(types.values()), None) if isinstance(types, Mapping) else types
    return getattr(node, name, None)


def _metadata(node: Any) -> Dict[str, Any]:
    found: Optional[Any] = getattr(node, "metadata", None)
    return dict(found) if isinstance(found, Mapping) else {}


def array_of(value: Any) -> Optional[np.ndarray]:
    """A float64 array, or None where the value is none."""
    if value is None:
        return None
    try:
        return np.asarray(value, dtype=np.float64)
    except (TypeError, ValueError):
        return None
