"""Sizes of signals. A signal is flat: a shape counts by its number of elements, in row-major order."""

import math
from typing import Any, Dict, List, Optional, Tuple

import numpy as np

from gradspike.nir._inline import PORT, Flat
from gradspike.nir._problems import Problem
from gradspike.nir._raw import FIELDS, RawNode, array_of

ELEMENTWISE = ("Scale", "Delay", "Threshold", "I", "IF", "LI", "LIF", "CubaLI", "CubaLIF", "Flatten", PORT)
"""Types whose output has as many elements as their input."""

Sizes = Dict[str, Tuple[Optional[int], Optional[int]]]
"""Elements of what goes in and of what comes out, by node."""


def sizes_of(flat: Flat) -> Sizes:
    """Sizes from the fields, and of what has none, from its neighbours. Contradictions become problems."""
    sizes: Sizes = {name: _own(node) for name, node in flat.nodes.items()}
    while _spread(flat, sizes):
        pass
    for a, b in flat.edges:
        out, into = sizes[a][1], sizes[b][0]
        if out is not None and into is not None and out != into:
            reason = f"it takes {into} elements and gets {out} from '{a}'"
            remedy = "make the sizes equal: a Flatten, or another weight"
            flat.problems.append(Problem(b, flat.nodes[b].type, reason, remedy))
    for name, (into, out) in sizes.items():
        if into is None or out is None:
            reason = "its size is not known, neither from its fields nor from its neighbours"
            flat.problems.append(Problem(name, flat.nodes[name].type, reason, "give its fields a shape"))
    return sizes


def _spread(flat: Flat, sizes: Sizes) -> bool:
    changed = False
    for a, b in flat.edges:
        (a_in, a_out), (b_in, b_out) = sizes[a], sizes[b]
        if a_out is None and b_in is not None:
            sizes[a], changed = _filled(flat.nodes[a], a_in, b_in), True
        elif b_in is None and a_out is not None:
            sizes[b], changed = _filled(flat.nodes[b], a_out, b_out), True
    return changed


def _filled(node: RawNode, into: Optional[int], out: Optional[int]) -> Tuple[Optional[int], Optional[int]]:
    same = node.type in (*ELEMENTWISE, "Input", "Output")
    return (into or out, out or into) if same else (into, out)


def _own(node: RawNode) -> Tuple[Optional[int], Optional[int]]:
    if node.type in ("Input", "Output", PORT, "Flatten"):
        size = _elements(node.value("input_type" if node.type == "Flatten" else "shape"))
        return size, size
    if node.type in ("Linear", "Affine"):
        weight = array_of(node.value("weight"))
        return (weight.shape[1], weight.shape[0]) if weight is not None and weight.ndim == 2 else (0, 0)
    if node.type in ELEMENTWISE:
        arrays = [array_of(node.value(name)) for name in FIELDS[node.type]]
        shaped = [array.size for array in arrays if array is not None and array.ndim > 0]
        return (max(shaped), max(shaped)) if shaped else (None, None)
    return 0, 0  # of a type that is refused anyway


def _elements(shape: Any) -> Optional[int]:
    array = array_of(shape)
    if array is None or array.size == 0 or not np.isfinite(array).all():
        return None
    size = math.prod(int(entry) for entry in array.reshape(-1).tolist())
    return size if size > 0 else None


def dimensions(node: RawNode) -> List[int]:
    """The shape that an Input or Output states, as it stands."""
    array = array_of(node.value("shape"))
    return [] if array is None or not np.isfinite(array).all() else [int(entry) for entry in array.reshape(-1).tolist()]
