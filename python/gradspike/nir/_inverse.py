"""Neuron layers in the words of NIR: the fields that an import turns into these parameters again, to the last bit."""

from typing import Any, Dict, List, Optional, Tuple

import numpy as np
import torch
from torch import Tensor

from gradspike.nir._conventions import NO_LEAK, Convention, capacitance_of
from gradspike.nir._exact import exactly, solved
from gradspike.nir._signals import Spec

_PLAIN = {"leak": "v_leak", "reset": "v_reset", "threshold": "v_threshold"}


class Parameters:
    """Parameters of neurons as arrays, with their forms: numbers, tensors, trained parameters."""

    def __init__(self, layer: torch.nn.Module, names: Tuple[str, ...], size: int, part: Optional[slice] = None) -> None:
        self.arrays: Dict[str, np.ndarray] = {}
        self.forms: Dict[str, str] = {}
        self.dtypes: Dict[str, Any] = {}
        for name in names:
            value = getattr(layer, name)
            array = value.detach().double().cpu().numpy() if isinstance(value, Tensor) else np.float64(value)
            full = np.broadcast_to(np.asarray(array).reshape(-1), (size,)) if np.ndim(array) == 0 else np.asarray(array)
            self.arrays[name] = np.array(full if part is None else full[part], dtype=np.float64)
            double = not isinstance(value, Tensor) or value.dtype == torch.float64
            self.dtypes[name] = np.float64 if double else np.float32
            if isinstance(value, Tensor) and part is None:
                kind = "parameter" if isinstance(value, torch.nn.Parameter) else "tensor"
                self.forms[name] = (
                    f"{name}:{kind}:{'0' if value.dim() == 0 else 'n'}:{'float64' if double else 'float32'}"
                )

    @property
    def size(self) -> int:
        return int(self.arrays["tau_mem"].size)


def neuron_spec(p: Parameters, fires: bool, used: Convention, hint: Dict[str, Any]) -> Tuple[Spec, List[str]]:
    """The node of a population, and what of it an import gives back with another last bit.

    Args:
        p: The parameters.
        fires: Whether the neurons spike.
        used: The convention by which the graph is to be read.
        hint: "type" and "w_in" that the population had in the graph it came from.
    """
    kind = _kind(p, fires, used, str(hint.get("type", "")))
    fields = {_PLAIN[name]: array for name, array in p.arrays.items() if name in _PLAIN and _has(kind, _PLAIN[name])}
    off: List[str] = []
    times: Dict[str, Optional[np.ndarray]] = {"tau_mem": None, "tau_syn": None}
    for name in ("tau_mem", "tau_syn") if kind.startswith("Cuba") else ("tau_mem",) if kind in ("LIF", "LI") else ():
        guess = [_in_units(p.arrays[name], used)]
        (value,), right = solved(used.times.seconds, p.arrays[name], guess, rounding=p.dtypes[name])
        fields[name if kind.startswith("Cuba") else "tau"] = value
        times[name] = used.times.seconds(value)
        off += [] if right else [name]
    fields.update(_gain(kind, p, times, used, hint, off))
    return Spec(kind, {name: np.asarray(array, dtype=np.float64) for name, array in fields.items()}), off


def _kind(p: Parameters, fires: bool, used: Convention, wanted: str) -> str:
    instant = bool((np.abs(p.arrays["tau_syn"] / (used.dt or 1.0) - 1.0) < 1e-6).all())
    if instant and bool((p.arrays["tau_mem"] >= NO_LEAK).all()):
        return "IF" if fires else "I"
    if instant and wanted in ("LIF", "LI"):
        return wanted
    return "CubaLIF" if fires else "CubaLI"


def _has(kind: str, field: str) -> bool:
    return kind.endswith("F") if field in ("v_threshold", "v_reset") else kind not in ("I", "IF")


def _in_units(seconds: np.ndarray, used: Convention) -> np.ndarray:
    return exactly(lambda x: x / used.times.exact_unit, seconds)


def _gain(
    kind: str, p: Parameters, times: Dict[str, Optional[np.ndarray]], used: Convention, hint: Dict[str, Any],
    off: List[str],
) -> Dict[str, np.ndarray]:  # fmt: skip
    """r, and w_in where the node has one: such that the current counts spikes, unless the hint says another w_in."""
    ones = np.ones(p.size)
    wanted = p.arrays["membrane_capacitance"]
    cuba = kind.startswith("Cuba")

    def forward(r: np.ndarray, w_in: np.ndarray) -> np.ndarray:
        if kind in ("I", "IF"):  # per second, as units have it
            r = exactly(lambda x: x / used.times.exact_unit, r)
        return capacitance_of(kind, times["tau_mem"], times["tau_syn"], r, w_in, used)

    w_in = ones
    if cuba and times["tau_syn"] is not None:
        w_in = {"held": times["tau_syn"] / (used.dt or 1.0), "jump": ones}.get(
            used.spike, times["tau_syn"] / used.times.unit
        )
    found = hint.get("w_in")
    if cuba and isinstance(found, np.ndarray) and found.shape == ones.shape and (found > 0).all():
        w_in = found
    rounding = p.dtypes["membrane_capacitance"]
    r = forward(ones, w_in) / wanted
    if cuba:
        # Where r and w_in have gaps of one size between their numbers, another share between them has not.
        guesses = [(r / share, w_in * share) for share in (1.0, 1.5, 1.25, 1.75)]
        (r, w_in), right = solved(forward, wanted, *guesses, rounding=rounding)
    else:
        (r,), right = solved(lambda r: forward(r, ones), wanted, [r], rounding=rounding)
    off += [] if right else ["membrane_capacitance"]
    return {"r": r, "w_in": w_in} if cuba else {"r": r}
