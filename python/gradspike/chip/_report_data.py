"""What Python adds to the report of the library: the state of the process, and what the map of a page shows."""

import hashlib
import json
import platform
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Dict, Tuple, Union

from torch import Tensor

from gradspike import _library, _reading
from gradspike.chip._report import Report
from gradspike.chip._revision import git_revision

if TYPE_CHECKING:
    from gradspike.chip._network import Network


def report_of(network: "Network", target: str, *options: Any) -> Report:
    """The report of a network for one target. `options` are further arguments of the library's own report."""
    data = json.loads(_reading.call(network._handle.report, target, *options))
    description = network.description
    # JSON has them in the order of the alphabet.
    data["projections"] = {p["name"]: data["projections"][p["name"]] for p in description["projections"]}
    populations = data["time"]["populations"]
    data["time"]["populations"] = {p["name"]: populations[p["name"]] for p in description["populations"]}
    data["provenance"] = {**data["provenance"], **_provenance(network, target)}
    # No mapping is looked for where the limits are exceeded: that may take long.
    if not _is_mappable(data) or not network._mapping_text:
        return Report(data)
    data["provenance"]["mapping hash"] = network._mapping_hash
    integers = _integers(network)
    return Report(data, lambda: _chip(network._mapping_text, description, integers))


def _is_mappable(data: Dict[str, Any]) -> bool:
    return not any(misfit["blocks_mapping"] for misfit in data["misfits"])


def _chip(mapping: str, description: Dict[str, Any], integers: Dict[str, Tensor]) -> Dict[str, Any]:
    """What the map of a page shows."""
    return {"mapping": json.loads(mapping), "description": description, "integers": integers}


def _integers(network: "Network") -> Dict[str, Tensor]:
    """Integers by projection; none where a weight is NaN, which other verbs refuse by name."""
    try:
        return network.integers()
    except RuntimeError:
        return {}


def _provenance(network: "Network", target: str) -> Dict[str, str]:
    info = _library.versions()
    preset, seed = target_options(target)
    result = {
        "torch": info.torch,
        "python": platform.python_version(),
        "cuda": info.cuda.split(":")[0],
        "cpu": info.cpu_isa,
        "git revision": git_revision(),
        "network hash": network._network_hash,
        "preset": preset,
        "seed": seed,
    }
    return {name: value for name, value in result.items() if value}


def target_options(target: str) -> Tuple[str, str]:
    """Preset and seed of a target such as "emulator analog preset=calibrated seed=3"; "" where it has none."""
    words = dict(re.findall(r"(\w+)=(\S+)", target))
    preset = words.get("preset", "ideal" if "ideal" in target.split() else "")
    return preset, words.get("seed", "")


def sha256(text: Union[str, bytes]) -> str:
    """The first 16 hexadecimal digits of the SHA-256; "" for no text."""
    data = text.encode() if isinstance(text, str) else text
    return "" if not data else hashlib.sha256(data).hexdigest()[:16]


def file_hash(name: str) -> str:
    """Of what a file holds, or of the name where there is no such file here."""
    try:
        return sha256(Path(name).read_bytes()) if name else ""
    except (OSError, ValueError):
        return sha256(name)
