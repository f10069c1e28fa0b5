"""What is in a NIR file: nodes, what their times may be counted in, what is imported, and what a chip takes of it."""

import json as _json
import warnings
from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch

from gradspike import chip
from gradspike.nir._analysis import analysed
from gradspike.nir._conventions import PRESETS
from gradspike.nir._import import from_nir, raw_graph
from gradspike.nir._network import Analysis, natural
from gradspike.nir._options import plain
from gradspike.nir._problems import NIRImportError, NIRWarning, table
from gradspike.nir._raw import FIELDS, RawGraph, RawNode, array_of
from gradspike.nir._units import SECONDS, TIME_CONSTANTS, TIME_UNITS

_STEPS = 10.0  # of the shortest time constant, where no dt is given

_BIOLOGICAL = (1e-3, 1.0)
_ACCELERATED = (1e-6, 2e-4)


def inspect(
    graph: Any, *, dt: Optional[float] = None, time_unit: Optional[str] = None, preset: Optional[str] = None,
    json: bool = False,
) -> str:  # fmt: skip
    """What a graph or file holds: nodes with sizes and parameters, plausible units, what is refused, what fits.

    Args:
        graph: A `nir.NIRGraph` or the path of a file.
        dt: Time step [s]; default: of the preset or the metadata, else a tenth of the shortest time constant.
        time_unit: Unit of its times; default: of the preset or the metadata, else the first that is plausible.
        preset: See `from_nir`.
        json: Whether to give JSON.

    Returns:
        Text. Nothing is decided by it: `from_nir` takes the unit that it is told.

    Raises:
        NIRImportError: the file is no NIR file, or a damaged one.
    """
    raw = raw_graph(graph)
    about = facts(raw, dt, time_unit, preset)
    return _json.dumps(about) if json else _text(about)


def facts(raw: RawGraph, dt: Optional[float], time_unit: Optional[str], preset: Optional[str]) -> Dict[str, Any]:
    """All that `inspect` says, as a dictionary."""
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"inspect: preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    if time_unit is not None and time_unit not in TIME_UNITS:
        raise ValueError(f"inspect: time_unit must be one of {', '.join(TIME_UNITS)}, got {time_unit!r}")
    constants = time_constants(raw)
    readings = plausible(constants)
    known = PRESETS[preset] if preset is not None else None
    ours = plain(raw.metadata.get("library")) == "gradspike"
    unit = time_unit or (known.time_unit if known else None) or (str(raw.metadata.get("time_unit", "")) if ours else "")
    assumed = [] if unit in TIME_UNITS else ["time_unit"]
    unit = unit if unit in TIME_UNITS else next(iter(readings), "s")
    step = dt or (known.dt if known else None) or (plain(raw.metadata.get("dt")) if ours else None)
    if not isinstance(step, (int, float)) or step <= 0:
        assumed.append("dt")
        step = (
            min(constants, default=1.0)
            * SECONDS.get(unit, 1.0)
            / (_STEPS if unit != "steps" else min(constants, default=1.0))
        )
    analysis = analysed(raw, float(step), unit)
    result: Dict[str, Any] = {
        "format": "gradspike.nir", "version": 1, "dt": float(step), "time_unit": unit, "assumed": assumed,
        "plausible_time_units": readings, "nodes": _nodes(raw, analysis), "edges": _edges(raw),
        "notes": analysis.notes,
    }  # fmt: skip
    return {**result, **_importable(raw, float(step), unit, preset)}


def time_constants(graph: RawGraph) -> List[float]:
    """All finite time constants above 0, as they stand."""
    found: List[float] = []
    for node in graph.nodes.values():
        if isinstance(node, RawGraph):
            found += time_constants(node)
            continue
        for field in TIME_CONSTANTS:
            array = array_of(node.fields[field]) if field in node.fields else None
            if array is not None and array.size:
                found += array[np.isfinite(array) & (array > 0)].reshape(-1).tolist()
    return found


def plausible(constants: List[float]) -> Dict[str, str]:
    """Units in which all time constants are those of neurons, biological or accelerated, and what they are then."""
    if not constants:
        return {}
    result: Dict[str, str] = {}
    low, high = min(constants), max(constants)
    for unit, seconds in SECONDS.items():
        for name, (shortest, longest) in (("biological", _BIOLOGICAL), ("as on the chip", _ACCELERATED)):
            if shortest <= low * seconds and high * seconds <= longest:
                result[unit] = f"{low * seconds:.3g} to {high * seconds:.3g} s, {name}"
    if low >= 1.0 and high <= 1e4:
        result["steps"] = f"{low:.3g} to {high:.3g} steps"
    return result


def _nodes(raw: RawGraph, analysis: Analysis) -> List[Dict[str, Any]]:
    refused = {p.node for p in analysis.problems}
    return [
        {"name": name, "type": node.type, "size": _size(node), "parameters": _ranges(node), "refused": name in refused}
        for name, node in sorted(_flat(raw, ""), key=lambda entry: natural(entry[0]))
    ]


def _flat(graph: RawGraph, prefix: str) -> List[Tuple[str, RawNode]]:
    result: List[Tuple[str, RawNode]] = []
    for name, node in graph.nodes.items():
        full = prefix + name
        result += _flat(node, f"{full}.") if isinstance(node, RawGraph) else [(full, node)]
    return result


def _edges(graph: RawGraph, prefix: str = "") -> List[List[str]]:
    result = [[prefix + a, prefix + b] for a, b in graph.edges]
    for name, node in graph.nodes.items():
        result += _edges(node, f"{prefix}{name}.") if isinstance(node, RawGraph) else []
    return result


def _size(node: RawNode) -> str:
    """ "5 x 120" of a weight, "120" of neurons, "2 x 28 x 28" of an input."""
    if node.type in ("Input", "Output", "Flatten"):
        shape = array_of(node.value("input_type" if node.type == "Flatten" else "shape"))
        return "?" if shape is None or not shape.size else " x ".join(f"{n:g}" for n in shape.reshape(-1))
    shapes = [
        np.shape(node.fields[f]) for f in FIELDS.get(node.type, ()) if f in node.fields and np.shape(node.fields[f])
    ]
    return " x ".join(str(n) for n in max(shapes, key=len)) if shapes else "?"


def _ranges(node: RawNode) -> Dict[str, List[float]]:
    """Smallest and largest value of each numeric field."""
    result = {}
    for field, value in node.fields.items():
        array = array_of(value)
        if field not in ("shape", "input_type") and array is not None and array.size:
            result[field] = [float(array.min()), float(array.max())]
    return result


def _importable(raw: RawGraph, dt: float, unit: str, preset: Optional[str]) -> Dict[str, Any]:
    """Refusals as the graph stands; and with every approximation on, what a chip would say."""
    refusals: List[Dict[str, str]] = []
    options: Dict[str, Any] = {"dt": dt, "time_unit": unit, "preset": preset}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NIRWarning)
        try:
            _import(raw, **options)
        except NIRImportError as error:
            refusals = [problem.as_dict() for problem in error.problems]
        try:
            module, report = _import(
                raw, **options, bias="leak", lif="instant_synapse", reset="value", rounding="half_even", conv="unroll"
            )
        except NIRImportError:
            return {"refused": refusals, "not_for_chip": [], "chip": "unknown: the graph is not imported", "fits": None}
    example = tuple(torch.zeros(1, 1, size) for size in module.meta["gradspike.nir"]["input_sizes"])
    try:
        checked = chip.check(module, example)
        verdict = (
            "fits one" if checked.fits else "does not fit one: gradspike check tells why, once it is imported and saved"
        )
        return {"refused": refusals, "not_for_chip": report.not_for_chip, "chip": verdict, "fits": checked.fits}
    except (RuntimeError, ValueError) as error:
        sentence = str(error).split("\n", 1)[0]
        return {"refused": refusals, "not_for_chip": report.not_for_chip, "chip": f"no: {sentence}", "fits": False}


def _import(raw: RawGraph, **options: Any) -> Any:
    return from_nir(raw, **options)


def _text(about: Dict[str, Any]) -> str:
    rows = [("node", "type", "size", "parameters")]
    for node in about["nodes"]:
        shown = ", ".join(f"{k} {_range(*v)}" for k, v in node["parameters"].items())
        rows.append((node["name"], node["type"] + (" (refused)" if node["refused"] else ""), node["size"], shown))
    lines = [f"NIR graph of {len(about['nodes'])} nodes and {len(about['edges'])} edges", table(rows)]
    readings = about["plausible_time_units"]
    said = "; ".join(f"{unit} ({what})" for unit, what in readings.items()) or "none is plausible"
    lines.append(f"  time units: {said}; the file does not say")
    assumed = f" ({' and '.join(about['assumed'])} assumed)" if about["assumed"] else ""
    lines.append(f"  read with dt = {about['dt']:.3g} s in {about['time_unit']}{assumed}")
    if about["refused"]:
        lines.append("  refused as it stands:")
        lines.append(table([("node", "type", "reason", "remedy"), *(tuple(p.values()) for p in about["refused"])]))
    lines += [f"  note: {note}" for note in about["notes"]]
    lines += [f"  not for a chip: {entry}" for entry in about["not_for_chip"]]
    lines.append(f"  chip: {about['chip']}")
    return "\n".join(lines)


def _range(low: float, high: float) -> str:
    return f"{low:.3g}" if low == high else f"{low:.3g}..{high:.3g}"
