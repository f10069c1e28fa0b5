"""What a report tells beyond capacity: layers, time and units, provenance."""

import hashlib
import json
import platform
import re
import struct
from collections import Counter
from typing import TYPE_CHECKING, Any, Dict, Optional, Tuple

import torch
from torch import Tensor

from gradspike import _library, _reading
from gradspike.chip._report import Report

if TYPE_CHECKING:
    from gradspike.chip._network import Network

VERSION = 2

_HEADER = struct.Struct("<4sIQQQ")  # of a record of integers

CONVENTIONS = {
    "layout": "[time, batch, neuron]; weights [post, pre]",
    "spikes": "whole numbers per neuron and step, 0 to 127",
    "threshold": "a neuron spikes where its membrane is above the threshold, not at it",
    "reset": "the membrane is set to the reset potential after a spike and through the refractory time",
    "synaptic delay": "spikes of step t reach the membrane at step t + 1",
    "weights": "round(clip(scale * weight, min_weight, max_weight)) [LSB]",
    "voltages and currents": "model units",
}


def report_of(network: "Network", target: str, *options: Any) -> Report:
    """The report of a network for one target: capacity and losses from the library, and everything else.

    `options` are further arguments of the library's own report.
    """
    description = network.description
    integers, hashes = _integers(network, description)
    data = json.loads(_reading.call(network._handle.report, target, *options))
    data["version"] = VERSION
    data["projections"] = _projections(description, integers, hashes)
    data["time"] = _time(network, description)
    data["conventions"] = dict(CONVENTIONS)
    data["check_run"] = None
    data["provenance"] = {**data["provenance"], **_provenance(description, target, data["projections"])}
    # No mapping is looked for where the limits are exceeded: that may take long.
    if data["verdict"] == "does not fit" or not network._mapping_text:
        return Report(data)
    data["provenance"]["mapping hash"] = network._mapping_hash
    return Report(data, lambda: _chip(network._mapping_text, description, integers))


def _chip(mapping: str, description: Dict[str, Any], integers: Dict[str, Tensor]) -> Dict[str, Any]:
    """What the map of a page shows."""
    return {"mapping": json.loads(mapping), "description": description, "integers": integers}


def _integers(network: "Network", description: Dict[str, Any]) -> Tuple[Dict[str, Tensor], Dict[str, str]]:
    """Integers and content hashes by projection; none where a weight is NaN, which other verbs refuse by name.

    From the records, which quantise once: little-endian magic, bits, out, in, hash, then the integers.
    """
    try:
        records = network.records()
    except RuntimeError:
        return {}, {}
    integers, hashes = {}, {}
    for p in description["projections"]:
        record = bytearray(records[p["name"]])
        _, bits, out_features, in_features, content = _HEADER.unpack_from(record)
        dtype = torch.int8 if bits == 8 else torch.int16
        matrix = (
            torch.frombuffer(record, dtype=dtype, offset=_HEADER.size) if out_features * in_features else torch.empty(0)
        )
        integers[p["name"]] = matrix.reshape(out_features, in_features).to(torch.int16)
        hashes[p["name"]] = f"{content:016x}"
    return integers, hashes


def _projections(
    description: Dict[str, Any], integers: Dict[str, Tensor], hashes: Dict[str, str]
) -> Dict[str, Dict[str, Any]]:
    populations, inputs = description["populations"], description["inputs"]
    result = {}
    for p in description["projections"]:
        sources = []
        for run in p["columns"]:
            named = inputs if run["source"]["kind"] == "input" else populations
            sources.append(str(named[run["source"]["index"]]["name"]))
        result[p["name"]] = {
            "sources": sorted(set(sources)),
            "target": populations[p["target"]]["name"],
            "in_features": p["in_features"],
            "out_features": p["out_features"],
            "scale": float32(p["scale"]),
            "min_weight": p["min_weight"],
            "max_weight": p["max_weight"],
            "receptor": p["receptor"],
            "rounding": p["rounding"],
            "units": p["units"],
            "delay_steps": p["delay_steps"],
            "histogram": _histogram(integers.get(p["name"])),
            "hash": hashes.get(p["name"]),
        }
    return result


def _histogram(integers: Optional[Tensor]) -> Optional[Dict[str, Any]]:
    """Counts of each integer from the smallest to the largest that occurs."""
    if integers is None or integers.numel() == 0:
        return None
    counts = Counter(integers.flatten().tolist())
    first, last = min(counts), max(counts)
    return {"first": first, "counts": [counts[value] for value in range(first, last + 1)]}


def _time(network: "Network", description: Dict[str, Any]) -> Dict[str, Any]:
    dt = float64(description["dt"])
    steps = int(description["model_card"]["steps"])
    return {
        "unit": "s",
        "dt": dt,
        "steps": steps or None,
        "duration": rounded(steps * dt) if steps else None,
        "populations": {name: _population(p) for name, p in json.loads(network._handle.time_constants()).items()},
    }


def _population(constants: Dict[str, Any]) -> Dict[str, Any]:
    """What the library says of a population, smallest and largest, in six digits."""
    return {
        name: [None if number is None else rounded(number) for number in value] if isinstance(value, list) else value
        for name, value in constants.items()
    }


def rounded(value: float) -> Optional[float]:
    """Six digits: what a float32 coefficient holds of the number it was made from."""
    return float(f"{value:.6g}") if abs(value) < float("inf") else None


def float32(bits: int) -> float:
    """The number of which the description holds the bits."""
    return float(struct.unpack("<f", struct.pack("<I", bits))[0])


def float64(bits: int) -> float:
    """The number of which the description holds the bits."""
    return float(struct.unpack("<d", struct.pack("<Q", bits))[0])


def _provenance(description: Dict[str, Any], target: str, projections: Dict[str, Dict[str, Any]]) -> Dict[str, str]:
    info = _library.version_info()
    preset, seed = target_options(target)
    canonical = json.dumps(description, sort_keys=True, separators=(",", ":"))
    result = {
        "gradspike": info.gradspike,
        "torch": info.torch,
        "python": platform.python_version(),
        "cuda": info.cuda.split(":")[0],
        "cpu": info.cpu_isa,
        "network hash": sha256(canonical),
    }
    result.update({f"weights of {name}": p["hash"] for name, p in projections.items() if p["hash"]})
    if preset:
        result["preset"] = preset
    if seed:
        result["seed"] = seed
    return result


def target_options(target: str) -> Tuple[str, str]:
    """Preset and seed of a target such as "emulator analog preset=calibrated seed=3"; "" where it has none."""
    words = dict(re.findall(r"(\w+)=(\S+)", target))
    preset = words.get("preset", "ideal" if "ideal" in target.split() else "")
    return preset, words.get("seed", "")


def sha256(text: str) -> str:
    """The first 16 hexadecimal digits of the SHA-256; "" for no text."""
    return "" if not text else hashlib.sha256(text.encode()).hexdigest()[:16]
