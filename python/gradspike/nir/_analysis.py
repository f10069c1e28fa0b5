"""From a raw graph to its normal form."""

from typing import Any, Dict, List, Set, Tuple

import numpy as np

from gradspike.nir._inline import PORT, Flat, inline
from gradspike.nir._network import Analysis, Group, Projection, Unit, natural
from gradspike.nir._problems import Problem
from gradspike.nir._raw import FIELDS, OPTIONAL, RawGraph, RawNode, array_of
from gradspike.nir._sizes import sizes_of
from gradspike.nir._units import TIME_UNITS, UNITS, Times, unit_of
from gradspike.nir._unroll import UNROLLED, unroll
from gradspike.nir._ways import Ways

_LINEAR = ("Linear", "Affine", "Scale", "Delay", "Flatten", PORT)


def analysed(graph: RawGraph, dt: float, time_unit: str, conv: str = "refuse") -> Analysis:
    """The normal form; all that is wrong is in `problems`, and nothing is raised for it."""
    if time_unit not in TIME_UNITS:
        raise ValueError(f"from_nir: time_unit must be one of {', '.join(TIME_UNITS)}, got {time_unit!r}")
    if not (isinstance(dt, (int, float)) and np.isfinite(dt) and dt > 0):
        raise ValueError(f"from_nir: dt must be a number of seconds above 0, got {dt!r}")
    times = Times(float(dt), time_unit)
    flat = inline(graph)
    types = {name: node.type for name, node in flat.nodes.items()}
    if conv == "unroll":
        unroll(flat)
    known = {problem.node for problem in flat.problems}
    flat.problems += [p for name, node in flat.nodes.items() if name not in known for p in _faults(name, node)]
    result = Analysis({}, [], [], [], flat.problems, flat.notes, types, graph.metadata)
    faulty = {problem.node for problem in flat.problems}
    sized = Flat(flat.nodes, [(a, b) for a, b in flat.edges if not {a, b} & faulty])
    sizes = sizes_of(sized)
    flat.problems += [p for p in sized.problems if p.node not in faulty]
    faulty |= {problem.node for problem in flat.problems}
    for name, node in flat.nodes.items():
        if node.type in UNITS and name not in faulty:
            _add_unit(result, name, node, sizes[name][0] or 0, times)
    if not faulty:
        _add_projections(result, flat, times)
    _check_ends(result)
    return result


def _faults(name: str, node: RawNode) -> List[Problem]:
    """What is wrong with one node, whatever surrounds it."""
    if node.type not in UNITS and node.type not in _LINEAR:
        remedy = "replace it by nodes that are: " + ", ".join((*UNITS, *_LINEAR[:-1]))
        if node.type in UNROLLED:
            remedy = "conv='unroll' writes it out as a Linear node"
        return [Problem(name, node.type, "nodes of this type are not imported", remedy)]
    missing = node.missing() if node.type not in ("Input", "Output") else []
    if missing:
        return [Problem(name, node.type, f"it lacks the field {', '.join(missing)}", "write the file again")]
    for field in FIELDS.get(node.type, ()) if node.type in ("Linear", "Affine", "Scale", "Delay") else ():
        reason = _fault_of_array(node, field)
        if reason:
            return [Problem(name, node.type, reason, "correct the field")]
    return []


def _fault_of_array(node: RawNode, field: str) -> str:
    value = node.value(field)
    array = array_of(value)
    if array is None:
        return f"{field} must be numbers, got {type(value).__name__}"
    if field == "weight" and array.ndim != 2:
        return f"{field} must have two dimensions, got {array.ndim}"
    if array.size == 0:
        return f"{field} must not be empty, got shape {list(array.shape)}"
    if not np.isfinite(array).all():
        return f"{field} must be finite, got {array[~np.isfinite(array)].reshape(-1)[0]}"
    weight = array_of(node.value("weight")) if field == "bias" else None
    if weight is not None and weight.ndim == 2 and array.size not in (1, weight.shape[0]):
        return f"bias must have {weight.shape[0]} elements, as the weight has rows, got {array.size}"
    return ""


def _add_unit(result: Analysis, name: str, node: RawNode, size: int, times: Times) -> None:
    unit, problems, doubts = unit_of(name, node, size, times)
    result.units[name] = unit
    result.problems += problems
    result.notes += doubts
    absent = [f for f in FIELDS[node.type] if f in OPTIONAL and f not in node.fields]
    for field in absent:
        result.notes.append(f"'{name}' has no {field}: {OPTIONAL[field]:g} is taken")


def _add_projections(result: Analysis, flat: Flat, times: Times) -> None:
    ways = Ways(flat, times)
    ways.trace()
    result.problems += ways.problems
    result.biases = ways.biases
    result.projections = sorted(ways.projections, key=_place)
    result.order = _ordered(result)
    for group in result.order:
        if group.recurrent:
            result.problems += _cycle_problems(result, group)


def _place(projection: Projection) -> Tuple[Any, ...]:
    """Where it stands in a sum: as its metadata says, else by name. Files have no order of their own."""
    place = projection.metadata.get("place", 0)
    number = int(place) if isinstance(place, (int, float, np.integer)) else 0
    return natural(projection.target), number, natural(projection.name), natural(projection.source)


def _cycle_problems(result: Analysis, group: Group) -> List[Problem]:
    loop = " -> ".join((*group.members, group.members[0]))
    problems = []
    for name in group.members:
        unit = result.units[name]
        if not unit.fires:
            reason = f"it is in the loop {loop}, where only neurons that spike can be"
            problems.append(Problem(name, unit.type, reason, "leave the loop open at this node"))
    for p in result.projections:
        if p.source in group.members and p.target in group.members and p.delay is not None:
            reason = f"it is in the loop {loop}, whose spikes come back after one step"
            remedy = "remove the delay, or take it as dt"
            problems.append(Problem(p.nodes[0], result.types[p.nodes[0]], reason, remedy))
    return problems


def _ordered(result: Analysis) -> List[Group]:
    """Strongly connected groups of units, each after those that it needs: Tarjan's algorithm without recursion."""
    needed: Dict[str, List[str]] = {name: [] for name in result.units}
    for p in result.projections:
        needed[p.target].append(p.source)
    own = {p.target for p in result.projections if p.target == p.source}
    groups: List[Group] = []
    index: Dict[str, int] = {}
    lowest: Dict[str, int] = {}
    waiting: List[str] = []
    on_stack: Set[str] = set()
    for root in sorted(needed, key=natural):
        work = [(root, iter(sorted(set(needed[root]), key=natural)))] if root not in index else []
        while work:
            name, rest = work[-1]
            if name not in index:
                index[name] = lowest[name] = len(index)
                waiting.append(name)
                on_stack.add(name)
            following = next(rest, None)
            if following is None:
                work.pop()
                _close(name, index, lowest, waiting, on_stack, groups, own)
                if work:
                    lowest[work[-1][0]] = min(lowest[work[-1][0]], lowest[name])
            elif following not in index:
                work.append((following, iter(sorted(set(needed[following]), key=natural))))
            elif following in on_stack:
                lowest[name] = min(lowest[name], index[following])
    return groups


def _close(
    name: str, index: Dict[str, int], lowest: Dict[str, int], waiting: List[str], on_stack: Set[str],
    groups: List[Group], own: Set[str],
) -> None:  # fmt: skip
    if lowest[name] != index[name]:
        return
    place = waiting.index(name)
    members = tuple(sorted(waiting[place:], key=natural))
    del waiting[place:]
    on_stack.difference_update(members)
    groups.append(Group(members, len(members) > 1 or name in own))


def _check_ends(result: Analysis) -> None:
    ends: Dict[str, List[Unit]] = {"Input": result.inputs, "Output": result.outputs}
    for kind, found in ends.items():
        if not found and not any(p.type == kind for p in result.problems):
            result.problems.append(Problem("the graph", "NIRGraph", f"it has no {kind}", f"add an {kind} node"))
