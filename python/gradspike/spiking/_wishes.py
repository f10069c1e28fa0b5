"""What modules ask of the mapper: places, circuits per neuron, execution instances, plasticity rules."""

import re
from typing import Any, Dict, Iterable, List

from gradspike import nn
from gradspike.spiking.coordinates import circuits_in, number_of
from gradspike.spiking.modules.types import Population, Projection
from gradspike.spiking.morphology import circuits_per_neuron
from gradspike.spiking.plasticity_rule import PlasticityRule

_CIRCUITS = re.compile(r"AtomicNeuronOnDLS\(.*\)|\[?\s*\d+(\s*,\s*\d+)*\s*\]?")
"""Coordinates that the mapper reads, see `gradspike.chip.read`."""

_MICROSECONDS = 1e6
"""In a second. A quotient is the nearest number, a product with 1e-6 is not."""


def wishes_of(names: Dict[Any, str]) -> Dict[str, Dict[str, Any]]:
    """Wishes of `gradspike.chip.read` by projection."""
    wishes: Dict[str, Dict[str, Any]] = {}
    instances = _Instances(module for module in names if isinstance(module, Projection))
    for module, name in names.items():
        if not isinstance(module, Projection):
            continue
        targets = module.experiment.modules.target_populations(module)
        target = targets[0] if len(targets) == 1 else None  # a projection into two is for the simulation alone
        coordinate = _circuits(target) or _text(module.chip_coordinate)
        wish: Dict[str, Any] = {"chip_coordinate": coordinate} if coordinate else {}
        circuits = circuits_per_neuron(getattr(target, "neuron_structure", None)) or _circuits_per_place(target)
        if circuits > 0:
            wish["circuits_per_neuron"] = circuits
        instance = instances.wish_of(module, target)
        if instance:
            wish["execution_instance"] = instance
        if module.plasticity_rule is not None:
            wish["plasticity_rule"] = plasticity_rule(module.plasticity_rule)
        if wish:
            wishes[name] = wish
    return wishes


def _circuits(population: Any) -> str:
    """Circuits of the neurons of a population, where it has a constraint."""
    places = getattr(population, "placement_constraint", None)
    if places is None:
        return _text(getattr(population, "chip_coordinate", None)) if isinstance(population, Population) else ""
    return "[" + ", ".join(str(circuit) for place in places for circuit in circuits_of(place)) + "]"


def _circuits_per_place(population: Any) -> int:
    """Circuits of a neuron where a constraint names several for it; 0 where it does not."""
    places = getattr(population, "placement_constraint", None)
    circuits = len(circuits_of(places[0])) if places else 0
    return circuits if circuits > 1 else 0


def circuits_of(place: Any) -> List[int]:
    """Numbers of the circuits of a coordinate: a number, an atomic neuron, or a logical neuron with its circuits."""
    circuits = circuits_in([place])
    if circuits is None:
        raise TypeError(f"placement_constraint: a place must be a number or a coordinate of the chip, got {place!r}")
    return circuits


def _text(coordinate: Any) -> str:
    """The coordinate as the mapper reads it; "" for what it does not."""
    if isinstance(coordinate, list):
        return str(circuits_in(coordinate) or "")
    if type(coordinate).__name__ == "AtomicNeuronOnDLS":
        return f"AtomicNeuronOnDLS({number_of(coordinate)})"
    if hasattr(coordinate, "get_atomic_neurons"):
        return str(circuits_in([coordinate]))
    text = coordinate if isinstance(coordinate, str) else ""
    return text if _CIRCUITS.fullmatch(text.strip()) else ""


def _chip_of(coordinate: Any) -> str:
    """The chip in a pair of chip and connection; "" for what is none."""
    numbers = circuits_in(coordinate) if isinstance(coordinate, tuple) and len(coordinate) == 2 else None
    return f"chip {numbers[0]} of connection {numbers[1]}" if numbers else ""


class _Instances:
    """Execution instances by name: numbers keep theirs, other objects are counted in the order of their appearance.

    Chips, given as pairs of chip and connection, are instances where projections name several of them.
    """

    def __init__(self, projections: Iterable[Any]) -> None:
        self._objects: List[Any] = []
        chips = {_chip_of(projection.chip_coordinate) for projection in projections}
        self._several_chips = len(chips - {""}) > 1

    def wish_of(self, projection: Any, target: Any) -> str:
        """The instance of a projection or of its target, by itself or as the key of a coordinate; "" without one."""
        for module in (projection, target):
            instance = getattr(module, "execution_instance", None)
            if instance is None:
                coordinate = getattr(module, "chip_coordinate", None)
                instance = next(iter(coordinate), None) if isinstance(coordinate, dict) else None
            if instance is not None:
                return self._name(instance)
        return _chip_of(projection.chip_coordinate) if self._several_chips else ""

    def _name(self, instance: Any) -> str:
        if isinstance(instance, str):
            return instance
        try:
            return str(number_of(getattr(instance, "execution_instance_id", instance)))
        except TypeError:
            pass
        if not any(instance is known for known in self._objects):
            self._objects.append(instance)
        return "instance " + str(next(k for k, known in enumerate(self._objects) if known is instance))


def plasticity_rule(rule: Any) -> nn.PlasticityRule:
    """A rule of hxtorch, with a timer in microseconds, as gradspike's."""
    if isinstance(rule, nn.PlasticityRule):
        return rule
    if not hasattr(rule, "kernel"):  # hxtorch's own
        rule = PlasticityRule(rule.generate_kernel(), rule.timer)
    timer = rule.timer
    return nn.PlasticityRule(
        rule.kernel,
        period=float(timer.period) / _MICROSECONDS,
        start=float(timer.start) / _MICROSECONDS,
        executions=int(timer.num_periods),
    )
