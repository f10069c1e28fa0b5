"""What a file does not say: what a spike is, what a step does, how neurons reset. One preset per framework.

Sources of the presets: the frameworks' own conversions to and from NIR, as of nir 1.0; the conventions and what they
cost are discussed in Pedersen et al. 2024, doi 10.1038/s41467-024-52259-9.
"""

from dataclasses import dataclass, fields, replace
from fractions import Fraction
from typing import Any, Dict, Optional, Tuple

import numpy as np

from gradspike.nir._exact import exactly
from gradspike.nir._network import Unit
from gradspike.nir._units import TIME_UNITS, Times

SPIKES = ("held", "dirac", "jump")
RESETS = ("value", "subtract")
DECAYS = ("euler", "exponential")

NO_LEAK = 1e300
"""Membrane time constant [s] of neurons without leak: C / tau_mem is 0 in float32 and in float64."""


@dataclass(frozen=True)
class Convention:
    """How the numbers of a graph are meant. See `gradspike.nir.from_nir` for the fields."""

    dt: Optional[float] = None
    time_unit: Optional[str] = None
    spike: str = "held"
    reset: str = "value"
    decay: str = "euler"
    ignored: Tuple[str, ...] = ()
    """Fields that the framework does not read, as "CubaLI.r": the value 1 stands in their place."""
    refractory_time: float = 0.0
    capacitance: Optional[float] = None
    """Membrane capacitance of CubaLI, where r is ignored."""
    scale: Optional[float] = None
    """Model weight to LSB."""
    remark: str = ""

    @property
    def times(self) -> Times:
        assert self.dt is not None and self.time_unit is not None
        return Times(self.dt, self.time_unit)


_EARLIER = "it lets the membrane see the new current: its spikes come one step earlier per layer"

PRESETS: Dict[str, Convention] = {
    "hxtorch": Convention(
        1e-6, "ms", "jump", ignored=("CubaLIF.w_in", "CubaLI.w_in", "CubaLI.r"), refractory_time=1e-6,
        capacitance=10e-6, scale=64.0, remark="the refractory time of 1 us is hxtorch's default, no part of the file",
    ),
    "norse": Convention(1e-3, "s", remark=_EARLIER),
    "snntorch": Convention(1e-4, "s", remark=_EARLIER),
    "lava": Convention(1e-4, "s", remark=_EARLIER),
    "nengo": Convention(1e-3, "s"),
    "spikingjelly": Convention(1e-4, "s"),
    "rockpool": Convention(None, "s", "jump", "subtract", "exponential"),
    "sinabs": Convention(1.0, "steps", "jump", "subtract", "exponential", ("LIF.r", "LI.r")),
    "spyx": Convention(
        1.0, "steps", "jump", "subtract", ignored=("CubaLIF.r", "CubaLI.r", "LIF.r", "LI.r", "CubaLIF.w_in",
        "CubaLI.w_in", "CubaLIF.v_leak", "CubaLI.v_leak", "LIF.v_leak", "LI.v_leak"),
    ),
}  # fmt: skip
"""What a framework means by a file that it wrote; explicit arguments go first."""


def convention(preset: Optional[str], metadata: Dict[str, Any], **given: Any) -> Tuple[Convention, Dict[str, Any]]:
    """The convention in force, and what of it comes from the metadata of the graph.

    Arguments that are given go first, then the preset, then the metadata that `to_nir` writes, then the defaults.
    """
    if preset is not None and preset not in PRESETS:
        raise ValueError(f"from_nir: preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    base = PRESETS[preset] if preset is not None else Convention()
    used: Dict[str, Any] = {}
    if preset is None and metadata.get("library") == "gradspike":
        known = {f.name for f in fields(Convention)} & {"dt", "time_unit", "spike", "reset", "decay"}
        used = {key: _plain(metadata[key]) for key in known & set(metadata) if given.get(key) is None}
        base = replace(base, **used)
    result = replace(base, **{key: value for key, value in given.items() if value is not None})
    _check(result)
    return result, used


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, (np.generic, np.ndarray)) else value


def _check(result: Convention) -> None:
    if result.dt is None or result.time_unit is None:
        missing = " and ".join(name for name in ("dt", "time_unit") if getattr(result, name) is None)
        raise ValueError(
            f"from_nir: {missing} must be given, since a NIR file does not say: dt is a time step in s, time_unit one "
            f"of {', '.join(TIME_UNITS)}; preset= has those of a framework"
        )
    for argument, choices in (("spike", SPIKES), ("reset", RESETS), ("decay", DECAYS), ("time_unit", TIME_UNITS)):
        if getattr(result, argument) not in choices:
            given = getattr(result, argument)
            raise ValueError(f"from_nir: {argument} must be one of {', '.join(choices)}, got {given!r}")
    if not (isinstance(result.dt, (int, float)) and np.isfinite(result.dt) and result.dt > 0):
        raise ValueError(f"from_nir: dt must be a number of seconds above 0, got {result.dt!r}")


@dataclass
class NeuronArguments:
    """A population in the words of `gradspike.functional.lif`: float64, one entry per neuron."""

    tau_mem: np.ndarray
    tau_syn: np.ndarray
    membrane_capacitance: np.ndarray
    leak: np.ndarray
    reset: np.ndarray
    threshold: np.ndarray
    sign: np.ndarray
    """1, -1 or 0: what the weights of a neuron are multiplied with, where its gain is not above 0."""


def neuron_arguments(unit: Unit, used: Convention) -> NeuronArguments:
    """Time constants, potentials and gain of a population under a convention.

    The gain of an input is dt / membrane_capacitance; it holds r, w_in and what a spike is, so that weights stay as
    they are. The convention must have passed its check.
    """
    assert used.dt is not None
    p = {name: _value(unit, name, used) for name in unit.parameters}
    ones = np.ones(unit.size)
    tau_mem = decayed(p.get("tau_mem", p.get("tau")), used)
    tau_syn = decayed(p.get("tau_syn"), used)
    gain = p["r"] * p.get("w_in", ones)
    sign = np.sign(gain)
    r, w_in = np.where(sign == 0, 1.0, np.abs(p["r"])), np.where(sign == 0, 1.0, np.abs(p.get("w_in", ones)))
    if used.capacitance is not None and unit.type == "CubaLI":
        capacitance = ones * used.capacitance
    else:
        capacitance = capacitance_of(unit.type, tau_mem, tau_syn, r, w_in, used)
    return NeuronArguments(
        ones * NO_LEAK if tau_mem is None else tau_mem,
        ones * used.dt if tau_syn is None else tau_syn,
        capacitance,
        p.get("v_leak", 0.0 * ones), p.get("v_reset", 0.0 * ones), p.get("v_threshold", ones), sign,
    )  # fmt: skip


def _value(unit: Unit, name: str, used: Convention) -> np.ndarray:
    if f"{unit.type}.{name}" in used.ignored:
        return np.full(unit.size, 0.0 if name == "v_leak" else 1.0)
    return unit.parameters[name]


def decayed(tau: Optional[np.ndarray], used: Convention) -> Optional[np.ndarray]:
    """The time constant whose Euler step has the decay of the convention: 1 - dt/tau' = exp(-dt/tau)."""
    if tau is None or used.decay == "euler":
        return tau
    assert used.dt is not None
    result: np.ndarray = -used.dt / np.expm1(-used.dt / tau)
    return result


def capacitance_of(
    kind: str, tau_mem: Optional[np.ndarray], tau_syn: Optional[np.ndarray], r: np.ndarray, w_in: np.ndarray,
    used: Convention,
) -> np.ndarray:  # fmt: skip
    """dt over the step of the membrane per spike of weight 1 (CubaLIF: per unit of the current, in units of a spike).

    A spike lifts what it reaches, the current of a CubaLIF or the membrane of a LIF or IF, by: "held", its value for
    one step; "dirac", an area of 1 in the time unit of the file; "jump", the weight itself.
    """
    assert used.dt is not None
    step, unit = Fraction(used.dt), used.times.exact_unit
    if kind in ("CubaLIF", "CubaLI"):
        assert tau_mem is not None and tau_syn is not None
        if used.spike == "jump":
            return exactly(lambda tm, r, w: tm / (r * w), tau_mem, r, w_in)
        span = step if used.spike == "held" else unit
        return exactly(lambda tm, ts, r, w: tm * ts / (r * w * span), tau_mem, tau_syn, r, w_in)
    if used.spike == "jump" or (used.spike == "dirac" and tau_mem is None):
        per_spike = unit if tau_mem is None else 1
        return exactly(lambda r: step / (r * per_spike), r)
    if tau_mem is None:
        return exactly(lambda r: 1 / r, r)
    if used.spike == "held":
        return exactly(lambda tm, r: tm / r, tau_mem, r)
    return exactly(lambda tm, r: step * tm / (r * unit), tau_mem, r)
