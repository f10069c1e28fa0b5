"""The placed network as the script of the page takes it: JSON with binary columns, safe inside a script element."""

import base64
import json
import sys
from array import array
from typing import Any, Dict, List, Optional, Sequence, Tuple

# Columns of a synapse in the mapping: hemisphere, row, column, label, projection, pre, post, part, inhibitory.
_COLUMNS: Tuple[Tuple[str, int, str], ...] = (
    ("label", 3, "B"),
    ("projection", 4, "H"),
    ("pre", 5, "I"),
    ("post", 6, "H"),
    ("part", 7, "H"),
    ("inhibitory", 8, "B"),
)
_ROWS = _NEURON_COLUMNS = 256


def chip_json(chip: Optional[Dict[str, Any]]) -> str:
    """The text of the data element; "null" where nothing is placed."""
    if chip is None:
        return "null"
    mapping, description = chip["mapping"], chip["description"]
    data = {
        "inputs": description["inputs"],
        "populations": [_population(p, k) for p, k in zip(mapping["populations"], description["populations"])],
        "projections": _projections(mapping["projections"], description["projections"], chip["integers"]),
        "row_modes": mapping["row_modes"],
        "synapses": _synapses(mapping["synapses"]),
    }
    return _inside_script(json.dumps(data, separators=(",", ":")))


def _inside_script(text: str) -> str:
    """JSON without the characters by which a browser would leave the element."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _population(placed: Dict[str, Any], described: Dict[str, Any]) -> Dict[str, Any]:
    neurons = placed["neurons"]
    return {
        "name": placed["name"],
        "kind": described["kind"],
        "circuits": [neuron["circuits"] for neuron in neurons],
        "addresses": [neuron["address"] for neuron in neurons],
    }


def _projections(
    names: Sequence[str], described: List[Dict[str, Any]], integers: Dict[str, Any]
) -> List[Dict[str, Any]]:
    """In the order in which synapses name them."""
    by_name = {p["name"]: p for p in described}
    return [_projection(by_name[name], integers.get(name)) for name in names]


def _projection(described: Dict[str, Any], integers: Any) -> Dict[str, Any]:
    runs = [
        [int(run["source"]["kind"] == "population"), run["source"]["index"], run["first"], run["step"], run["count"]]
        for run in described["columns"]
    ]
    rows = [[run["target_first"], run["row_first"], run["row_step"], run["count"]] for run in described["rows"]]
    weights = None if integers is None else _packed("h", integers.flatten().tolist())
    return {
        "name": described["name"],
        "target": described["target"],
        "columns": runs,
        "rows": rows,
        "in_features": described["in_features"],
        "weights": weights,
    }


def _synapses(synapses: List[List[int]]) -> Dict[str, Any]:
    place = [(s[0] * _ROWS + s[1]) * _NEURON_COLUMNS + s[2] for s in synapses]
    columns = {name: _packed(kind, [s[k] for s in synapses]) for name, k, kind in _COLUMNS}
    return {"count": len(synapses), "place": _packed("I", place), **columns}


def _packed(kind: str, values: Sequence[int]) -> str:
    """Base64 of the little-endian integers."""
    numbers = array(kind, values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
