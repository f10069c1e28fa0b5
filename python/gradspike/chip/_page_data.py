"""The placed network as the script of the page takes it: JSON with binary columns, safe inside a script element."""

import base64
import json
import sys
from array import array
from typing import Any, Dict, List, Optional, Sequence, Tuple

# Columns of a synapse in a mapping: hemisphere, row, column, label, projection, pre, post, part, inhibitory.
_LABEL, _PROJECTION, _PRE, _POST, _PART, _INHIBITORY = range(3, 9)
_ROWS = _NEURON_COLUMNS = 256

Slice = Tuple[int, int, int]
"""Population, first neuron, number of neurons."""


def chip_json(chip: Optional[Dict[str, Any]]) -> str:
    """The text of the data element; "null" where nothing is placed.

    Neurons and columns of weights count as in the whole network, also where its mapping is one of several execution
    instances, each with parts of populations.
    """
    if chip is None:
        return "null"
    mapping, description, integers = chip["mapping"], chip["description"], chip["integers"]
    populations = description["populations"]
    whole: List[Slice] = [(k, 0, p["size"]) for k, p in enumerate(populations)]
    instances = mapping.get("instances", [{"mapping": mapping, "slices": whole}])
    data = {
        "inputs": description["inputs"],
        "populations": [{"name": p["name"], "kind": p["kind"], "size": p["size"]} for p in populations],
        "projections": [_projection(p, integers.get(p["name"])) for p in description["projections"]],
        "instances": [_instance(one["mapping"], description, one["slices"]) for one in instances],
    }
    return _inside_script(json.dumps(data, separators=(",", ":")))


def _inside_script(text: str) -> str:
    """JSON without the characters by which a browser would leave the element."""
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return text


def _projection(described: Dict[str, Any], integers: Any) -> Dict[str, Any]:
    runs = [
        [int(run["source"]["kind"] == "population"), run["source"]["index"], run["first"], run["step"], run["count"]]
        for run in described["columns"]
    ]
    rows = [[run["target_first"], run["row_first"], run["row_step"], run["count"]] for run in described["rows"]]
    return {
        "name": described["name"],
        "target": described["target"],
        "columns": runs,
        "rows": rows,
        "in_features": described["in_features"],
        "weights": None if integers is None else _encoded("h", integers.flatten().tolist()),
    }


def _instance(mapping: Dict[str, Any], description: Dict[str, Any], slices: Sequence[Slice]) -> Dict[str, Any]:
    neurons = [
        [population, first + k, neuron["address"], neuron["circuits"]]
        for (population, first, _), placed in zip(slices, mapping["populations"])
        for k, neuron in enumerate(placed["neurons"])
    ]
    return {
        "neurons": neurons,
        "row_modes": mapping["row_modes"],
        "synapses": _synapses(mapping["synapses"], _parts(mapping["projections"], description, slices)),
    }


def _parts(names: Sequence[str], description: Dict[str, Any], slices: Sequence[Slice]) -> List[Tuple[int, int]]:
    """By projection of an instance: projection of the whole network, and first neuron of its target there.

    Instances name a projection onto a part of a population "hidden[64:128]".
    """
    found = {}
    for index, projection in enumerate(description["projections"]):
        for population, first, count in slices:
            if projection["target"] == population:
                whole = first == 0 and count == description["populations"][population]["size"]
                name = projection["name"] if whole else f"{projection['name']}[{first}:{first + count}]"
                found[name] = (index, first)
    return [found[name] for name in names]


def _synapses(synapses: List[List[int]], parts: Sequence[Tuple[int, int]]) -> Dict[str, Any]:
    columns = {
        "place": [(s[0] * _ROWS + s[1]) * _NEURON_COLUMNS + s[2] for s in synapses],
        "label": [s[_LABEL] for s in synapses],
        "projection": [parts[s[_PROJECTION]][0] for s in synapses],
        "pre": [s[_PRE] for s in synapses],
        "post": [parts[s[_PROJECTION]][1] + s[_POST] for s in synapses],
        "part": [s[_PART] for s in synapses],
        "inhibitory": [s[_INHIBITORY] for s in synapses],
    }
    return {name: _packed(values) for name, values in columns.items()}


def _packed(values: Sequence[int]) -> List[Any]:
    """Bytes of one number, and the numbers, in the fewest bytes that hold all."""
    size = next(size for size in (1, 2, 4) if max(values, default=0) < 256**size)
    return [size, _encoded({1: "B", 2: "H", 4: "I"}[size], values)]


def _encoded(kind: str, values: Sequence[int]) -> str:
    """Base64 of the little-endian integers."""
    numbers = array(kind, values)
    if sys.byteorder == "big":
        numbers.byteswap()
    return base64.b64encode(numbers.tobytes()).decode()
