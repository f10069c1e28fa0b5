"""Nodes that hold a state or end a signal: their parameters, checked, in seconds."""

from dataclasses import dataclass
from fractions import Fraction
from typing import Dict, List, Optional, Tuple

import numpy as np

from gradspike.nir._exact import exactly
from gradspike.nir._network import Unit
from gradspike.nir._problems import Problem
from gradspike.nir._raw import FIELDS, RawNode, array_of
from gradspike.nir._sizes import dimensions

NEURONS = ("I", "IF", "LI", "LIF", "CubaLI", "CubaLIF")
UNITS = ("Input", "Output", "Threshold", *NEURONS)
TIME_CONSTANTS = ("tau", "tau_mem", "tau_syn")

SECONDS = {"s": 1.0, "ms": 1e-3, "us": 1e-6}
"""Length of a time unit [s]; that of "steps" is dt."""

TIME_UNITS = (*SECONDS, "steps")

_LONG = 1e5  # steps of a time constant beyond which the unit is doubtful


@dataclass(frozen=True)
class Times:
    """How the numbers of a file become seconds."""

    dt: float
    time_unit: str

    def seconds(self, value: np.ndarray) -> np.ndarray:
        """Times of the file in s, each rounded once."""
        return value if self.time_unit == "s" else exactly(lambda x: x * self.exact_unit, value)

    @property
    def exact_unit(self) -> Fraction:
        """Length of the unit [s]."""
        parts = {"s": 1, "ms": 10**3, "us": 10**6}
        return Fraction(1, parts[self.time_unit]) if self.time_unit in parts else Fraction(self.dt)

    @property
    def unit(self) -> float:
        return float(self.exact_unit)


def unit_of(name: str, node: RawNode, size: int, times: Times) -> Tuple[Unit, List[Problem], List[str]]:
    """The unit of a node, what is wrong with its parameters, and what is doubtful."""
    shape = tuple(dimensions(node)) if node.type in ("Input", "Output") else ()
    unit = Unit(name, node.type, size, shape, metadata=node.metadata)
    problems: List[Problem] = []
    for field in FIELDS[node.type] if node.type not in ("Input", "Output") else ():
        array, reason = _per_neuron(node, field, size)
        if array is None:
            problems.append(Problem(name, node.type, reason, "correct the field"))
            continue
        if field in TIME_CONSTANTS:
            array = times.seconds(array)
        if field == "r" and node.type in ("I", "IF"):
            array = exactly(lambda x: x / times.exact_unit, array)
        unit.parameters[field] = array
    doubts: List[str] = []
    if not problems:
        problems += _implausible(unit, times)
        doubts += _doubtful(unit, times)
    return unit, problems, doubts


def _per_neuron(node: RawNode, field: str, size: int) -> Tuple[Optional[np.ndarray], str]:
    """A field as float64 `[size]`; a scalar stands for all neurons."""
    array = array_of(node.value(field))
    if array is None:
        return None, f"{field} must be numbers, got {type(node.value(field)).__name__}"
    if array.ndim > 0 and array.size != size:
        return None, f"{field} must have {size} elements, as the other fields, got {array.size}"
    if not np.isfinite(array).all():
        return None, f"{field} must be finite, got {array.reshape(-1)[~np.isfinite(array.reshape(-1))][0]}"
    flat = np.broadcast_to(array.reshape(-1), (size,)) if array.ndim == 0 else array.reshape(-1)
    if field in TIME_CONSTANTS and not (flat > 0).all():
        return None, f"{field} must be above 0, got {flat.min():g}"
    return np.array(flat), ""


def _implausible(unit: Unit, times: Times) -> List[Problem]:
    """Time constants shorter than a step: the integration would be unstable, and the unit is most likely another."""
    result = []
    for field in (f for f in TIME_CONSTANTS if f in unit.parameters):
        shortest = float(unit.parameters[field].min())
        if shortest < times.dt * (1 - 1e-12):
            reason = f"{field} = {shortest:.3g} s is shorter than the step, {times.dt:.3g} s"
            guess = likely_unit(shortest / times.unit, times.dt)
            remedy = f"time_unit='{guess}'?" if guess and guess != times.time_unit else "a smaller dt"
            result.append(Problem(unit.name, unit.type, reason, remedy))
    return result


def _doubtful(unit: Unit, times: Times) -> List[str]:
    result = []
    for field in (f for f in TIME_CONSTANTS if f in unit.parameters):
        longest = float(unit.parameters[field].max())
        if longest > _LONG * times.dt:
            guess = likely_unit(longest / times.unit, times.dt)
            hint = f": is the time unit '{guess}', not '{times.time_unit}'?" if guess else ""
            result.append(f"{field} of '{unit.name}' is {longest / times.dt:.3g} steps{hint}")
    return result


def likely_unit(value: float, dt: float) -> str:
    """The unit in which a time constant is 1 to 10 000 steps, nearest to 30 of them; "" where there is none."""
    steps = {unit: value * seconds / dt for unit, seconds in SECONDS.items()}
    steps["steps"] = value
    fitting = {unit: abs(np.log(n / 30.0)) for unit, n in steps.items() if 1.0 <= n <= 1e4}
    return min(fitting, key=lambda unit: float(fitting[unit])) if fitting else ""


def parameter_range(unit: Unit) -> Dict[str, Tuple[float, float]]:
    """Smallest and largest value of each parameter."""
    return {name: (float(array.min()), float(array.max())) for name, array in unit.parameters.items() if array.size}
