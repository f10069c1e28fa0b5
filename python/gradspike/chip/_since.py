"""What changed since another deployment: one of this process, or a report that was stored."""

import re
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, Tuple, Union

from gradspike.chip._terminal import seconds, span

Change = Dict[str, str]
"""What changed ("scale", "weights", ...), of which layer ("": of the network), and its value before and after."""

_TIMES = ("tau_mem", "tau_syn", "refractory_time")
_VALUES = ("membrane_capacitance", "leak", "reset", "threshold")
_WIRING = ("sources", "target", "receptor", "delay_steps", "rounding", "units")


class State(NamedTuple):
    """One deployment, as far as it is compared."""

    network: str
    target: str
    projections: Dict[str, Dict[str, Any]]
    time: Dict[str, Any]
    hashes: Dict[str, Optional[str]]  # of the integers, by projection
    provenance: Dict[str, str]


_last: Dict[str, State] = {}


def note(state: State) -> Optional[State]:
    """Keeps a deployment as the last one of its network, and gives the one before it in this process."""
    previous = _last.get(state.network)
    _last[state.network] = state
    return previous


def forget(network: str) -> None:
    """Forgets the deployments of a network; those of all networks where it is ""."""
    if network:
        _last.pop(network, None)
    else:
        _last.clear()


def state_of(data: Mapping[str, Any]) -> State:
    """The deployment of which this is the report."""
    projections = data["projections"]
    return State(
        data["network"], data["target"], projections, data["time"],
        {name: p["hash"] for name, p in projections.items()}, data["provenance"],
    )  # fmt: skip


def changes(before: State, after: State) -> List[Change]:
    """Every difference, the network first, then its layers; empty where both are the same."""
    layers = [*_populations(before, after), *_projections(before, after)]
    network = list(_network(before, after))
    hashes = [state.provenance.get("network hash", "") for state in (before, after)]
    if not layers and not network and "" not in hashes:  # what no field of a report shows, such as an index
        network += _differences("", {"wiring": (hashes[0], hashes[1])})
    return [*network, *layers, *_about(before, after)]


def _differences(layer: str, pairs: Mapping[str, Tuple[str, str]]) -> List[Change]:
    return [
        {"what": what, "layer": layer, "before": before, "after": after}
        for what, (before, after) in pairs.items()
        if before != after
    ]


def _network(before: State, after: State) -> List[Change]:
    def texts(state: State) -> Dict[str, str]:
        seed = re.search(r"\bseed=(\S+)", state.target)
        return {
            "network": state.network,
            "target": re.sub(r"\s*\bseed=\S+", "", state.target),
            "seed": seed[1] if seed else "none",
            "dt": seconds(state.time["dt"]),
            "steps": str(state.time["steps"] or "unknown"),
            "calibration": state.provenance.get("calibration hash", "none"),
        }

    return _paired("", texts(before), texts(after))


def _about(before: State, after: State) -> List[Change]:
    """Versions and hashes that both know."""
    names = ("mapping hash", "gradspike", "git revision")
    known = [name for name in names if name in before.provenance and name in after.provenance]
    return _paired("", *({name: state.provenance[name] for name in known} for state in (before, after)))


def _paired(layer: str, before: Dict[str, str], after: Dict[str, str]) -> List[Change]:
    names = dict.fromkeys([*before, *after])
    return _differences(layer, {name: (before.get(name, "none"), after.get(name, "none")) for name in names})


def _populations(before: State, after: State) -> Iterator[Change]:
    old, new = before.time["populations"], after.time["populations"]

    def texts(p: Dict[str, Any]) -> Dict[str, str]:
        times = {name: span(p[name], seconds) for name in _TIMES if name in p}
        values = {name: span(p[name], lambda value: f"{value:g}") for name in _VALUES if name in p}
        return {"neurons": f"{p['size']} {p['kind'].upper()}", **times, **values}

    for name in dict.fromkeys([*old, *new]):
        if name in old and name in new:
            yield from _paired(name, texts(old[name]), texts(new[name]))
        else:
            sizes = [texts(where[name])["neurons"] if name in where else "none" for where in (old, new)]
            yield from _differences(name, {"population": (sizes[0], sizes[1])})


def _projections(before: State, after: State) -> Iterator[Change]:
    old, new = before.projections, after.projections

    def texts(state: State, name: str) -> Dict[str, str]:
        p = state.projections[name]
        return {
            "size": f"{p['in_features']} x {p['out_features']}",
            **{key.replace("_", " "): _text(p[key]) for key in _WIRING},
            "scale": f"{p['scale']:.6g}",
            "bounds": f"{p['min_weight']}..{p['max_weight']}",
            "weights": state.hashes.get(name) or "unknown",
        }

    for name in dict.fromkeys([*old, *new]):
        if name in old and name in new:
            yield from _paired(name, texts(before, name), texts(after, name))
        else:
            sizes = [texts(s, name)["size"] if name in s.projections else "none" for s in (before, after)]
            yield from _differences(name, {"projection": (sizes[0], sizes[1])})


def _text(value: Union[str, int, Sequence[str]]) -> str:
    return str(value) if isinstance(value, (str, int)) else ", ".join(value)
