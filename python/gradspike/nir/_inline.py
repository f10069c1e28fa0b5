"""One flat graph: nested graphs inlined under "G.name", implicit inputs and outputs added, edges checked."""

from dataclasses import dataclass, field
from typing import Dict, List, Set, Tuple

from gradspike.nir._problems import Problem
from gradspike.nir._raw import RawGraph, RawNode

PORT = "Port"
"""Type of an Input or Output of a nested graph: it passes its signal on."""


@dataclass
class Flat:
    """Nodes and edges with full names."""

    nodes: Dict[str, RawNode] = field(default_factory=dict)
    edges: List[Tuple[str, str]] = field(default_factory=list)
    problems: List[Problem] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)

    def predecessors(self) -> Dict[str, List[str]]:
        result: Dict[str, List[str]] = {name: [] for name in self.nodes}
        for a, b in self.edges:
            result[b].append(a)
        return result


def inline(graph: RawGraph) -> Flat:
    """The flat form of a graph. Several edges of the same two nodes stay several: their signals are summed."""
    flat = Flat()
    _add(graph, "", flat)
    _add_ends(flat)
    return flat


def _add(graph: RawGraph, prefix: str, flat: Flat) -> None:
    for name, node in graph.nodes.items():
        full = prefix + name
        if isinstance(node, RawGraph):
            _add(node, f"{full}.", flat)
            continue
        if full in flat.nodes:
            reason = "its name is also that of a node in a nested graph"
            flat.problems.append(Problem(full, node.type, reason, "rename one of the two"))
        elif prefix and node.type in ("Input", "Output"):
            flat.nodes[full] = RawNode(PORT, node.fields, node.metadata)
        else:
            flat.nodes[full] = node
    for source, target in graph.edges:
        ends = (_end(graph, prefix, source, "Output", flat), _end(graph, prefix, target, "Input", flat))
        if ends[0] and ends[1]:
            flat.edges.append(ends)


def _end(graph: RawGraph, prefix: str, name: str, side: str, flat: Flat) -> str:
    """The full name of an end of an edge: a node, the only port of a nested graph, or its port "G.name"; "": none."""
    full = prefix + name
    node = graph.nodes.get(name)
    if isinstance(node, RawNode):
        return full
    if isinstance(node, RawGraph):
        ports = [key for key, inner in node.nodes.items() if isinstance(inner, RawNode) and inner.type == side]
        if len(ports) == 1:
            return f"{full}.{ports[0]}"
        reason = f"an edge meets it, but it has {len(ports)} {side} nodes"
        remedy = f"name one of them in the edge, '{full}.port'" if ports else f"give it an {side} node"
        flat.problems.append(Problem(full, "NIRGraph", reason, remedy))
        return ""
    nested, _, inner = name.partition(".")
    child = graph.nodes.get(nested)
    if inner and isinstance(child, RawGraph):
        return _end(child, f"{prefix}{nested}.", inner, side, flat)
    remedy = "remove the edge, or add the node"
    flat.problems.append(Problem(full, "?", "an edge names it, but there is no such node", remedy))
    return ""


def _add_ends(flat: Flat) -> None:
    """Nodes that nothing feeds get an input, and those that feed nothing an output, as `nir.NIRGraph` adds them."""
    fed: Set[str] = {b for _, b in flat.edges}
    feeding: Set[str] = {a for a, _ in flat.edges}
    for name, node in list(flat.nodes.items()):
        if name not in fed and node.type != "Input":
            _add_end(flat, name, "Input", f"input_{name}")
        if name not in feeding and node.type != "Output":
            _add_end(flat, name, "Output", f"output_{name}")


def _add_end(flat: Flat, name: str, kind: str, wanted: str) -> None:
    end, number = wanted, 0
    while end in flat.nodes:
        end, number = f"{wanted}_{number}", number + 1
    flat.nodes[end] = RawNode(kind, {})
    flat.edges.append((end, name) if kind == "Input" else (name, end))
    verb = "is fed by nothing" if kind == "Input" else "feeds nothing"
    flat.notes.append(f"'{name}' {verb}: it gets the {kind.lower()} '{end}'")
