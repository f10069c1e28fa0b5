"""Convolutions and poolings as the matrices that they are, with a mask of the connections that exist."""

import math
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from torch.nn import functional

from gradspike.nir._inline import PORT, Flat
from gradspike.nir._problems import Problem
from gradspike.nir._raw import RawNode, array_of
from gradspike.nir._sizes import dimensions

UNROLLED = ("Conv1d", "Conv2d", "SumPool2d", "AvgPool2d")

_MOST_WEIGHTS = 2**28

Shape = Tuple[int, ...]


def unroll(flat: Flat) -> None:
    """Puts a Linear or Affine node in the place of each convolution and pooling; what cannot be becomes a problem."""
    shapes: Dict[str, Optional[Shape]] = {}
    predecessors = flat.predecessors()
    for name, node in list(flat.nodes.items()):
        if node.type in UNROLLED:
            _replace(flat, name, predecessors, shapes)


def _replace(
    flat: Flat, name: str, predecessors: Dict[str, List[str]], shapes: Dict[str, Optional[Shape]]
) -> Optional[Shape]:
    """The shape of what the node gives; None where it is refused."""
    if name in shapes:
        return shapes[name]
    shapes[name] = None  # where a loop comes back here
    node = flat.nodes[name]
    shape = _input_shape(flat, name, predecessors, shapes)
    try:
        if node.missing():
            raise ValueError(f"it lacks the field {', '.join(node.missing())}")
        if shape is None:
            raise ValueError("the shape of its input is not known")
        replaced, shapes[name] = _written_out(node, shape)
        flat.nodes[name] = replaced
    except (ValueError, RuntimeError, TypeError, IndexError) as error:
        reason = f"it cannot be written out: {str(error).strip().split(chr(10), 1)[0]}"
        flat.problems.append(Problem(name, node.type, reason, "write it out as a Linear node"))
    return shapes[name]


def _input_shape(
    flat: Flat, name: str, predecessors: Dict[str, List[str]], shapes: Dict[str, Optional[Shape]]
) -> Optional[Shape]:
    """Channels and extent: what the node states, else what comes to it."""
    node = flat.nodes[name]
    stated, weight = array_of(node.value("input_shape")), array_of(node.value("weight"))
    if stated is not None and weight is not None and weight.ndim > 2:
        groups = int(np.asarray(node.value("groups") or 1))
        return (weight.shape[1] * groups, *(int(n) for n in stated.reshape(-1)))
    for before in predecessors[name]:
        found = _output_shape(flat, before, predecessors, shapes)
        if found is not None:
            return found
    return None


def _output_shape(
    flat: Flat, start: str, predecessors: Dict[str, List[str]], shapes: Dict[str, Optional[Shape]]
) -> Optional[Shape]:
    """The shape of a signal: walks back to a node that says one."""
    name, seen = start, set()
    while name not in seen:
        seen.add(name)
        node = flat.nodes[name]
        if name in shapes or node.type in UNROLLED:
            return _replace(flat, name, predecessors, shapes)
        own = dimensions(node) if node.type in ("Input", PORT) else []
        arrays = [array_of(value) for field, value in node.fields.items() if field not in ("shape", "input_type")]
        own = own or next((list(a.shape) for a in arrays if a is not None and a.ndim > 1), [])
        if own or not predecessors[name] or node.type == "Flatten":
            return tuple(own) or None
        name = predecessors[name][0]
    return None


def _written_out(node: RawNode, shape: Shape) -> Tuple[RawNode, Shape]:
    """The node as a matrix, and the shape of what it gives."""
    spatial = 1 if node.type == "Conv1d" else 2
    if len(shape) != spatial + 1:
        raise ValueError(f"its input must be channels and {spatial} dimensions, got shape {list(shape)}")
    weight = _weight(node, shape[0])
    options: Dict[str, Any] = {
        "stride": _numbers(node, "stride", spatial),
        "padding": node.value("padding")
        if isinstance(node.value("padding"), str)
        else _numbers(node, "padding", spatial),
        "dilation": _numbers(node, "dilation", spatial) if "dilation" in node.fields else 1,
        "groups": shape[0] if "Pool" in node.type else int(np.asarray(node.value("groups"))),
    }
    convolve = functional.conv1d if spatial == 1 else functional.conv2d
    size = math.prod(shape)
    one = convolve(torch.zeros(1, *shape, dtype=torch.float64), weight, **options)
    out: Shape = tuple(one.shape[1:])
    if size * math.prod(out) > _MOST_WEIGHTS:
        raise ValueError(f"{size} x {math.prod(out)} weights are more than {_MOST_WEIGHTS}")
    unit = torch.eye(size, dtype=torch.float64).reshape(size, *shape)
    matrix = convolve(unit, weight, **options).reshape(size, -1).T
    exists = convolve(unit, torch.ones_like(weight), **options).reshape(size, -1).T > 0
    dtype = np.asarray(node.value("weight")).dtype if "weight" in node.fields else np.dtype(np.float64)
    fields: Dict[str, Any] = {"weight": matrix.numpy().astype(dtype), "exists": exists.numpy()}
    bias = array_of(node.value("bias"))
    if bias is None:
        return RawNode("Linear", fields, node.metadata), out
    fields["bias"] = np.repeat(np.broadcast_to(bias.reshape(-1), (out[0],)), math.prod(out[1:]))
    return RawNode("Affine", fields, node.metadata), out


def _weight(node: RawNode, channels: int) -> torch.Tensor:
    if "Pool" in node.type:
        kernel = _numbers(node, "kernel_size", 2)
        value = 1.0 if node.type == "SumPool2d" else 1.0 / math.prod(kernel)
        return torch.full((channels, 1, *kernel), value, dtype=torch.float64)
    return torch.as_tensor(np.asarray(node.value("weight"), dtype=np.float64))


def _numbers(node: RawNode, field: str, spatial: int) -> Tuple[int, ...]:
    """One number per dimension; one for all is repeated."""
    found = array_of(node.value(field))
    if found is None or found.size not in (1, spatial) or not np.isfinite(found).all():
        raise ValueError(f"{field} must be {spatial} whole numbers, got {node.value(field)}")
    return tuple(int(n) for n in np.broadcast_to(found.reshape(-1), (spatial,)))
