"""Morphologies: of which neuron circuits of the chip a neuron consists."""

from typing import Any, List, Mapping, Optional, Sized

from gradspike.spiking.coordinates import (
    AtomicNeuronOnLogicalNeuron,
    CompartmentOnLogicalNeuron,
    LogicalNeuronCompartments,
    NeuronColumnOnLogicalNeuron,
    NeuronRowOnLogicalNeuron,
)


class Morphology:
    """Base of the morphologies.

    Attributes:
        compartments: Circuits by compartment, a `LogicalNeuronCompartments`.
    """

    compartments: LogicalNeuronCompartments


class SingleCompartmentNeuron(Morphology):
    """A neuron of one compartment of `size` circuits: each has 256 synapses more.

    Only the first circuit has leak, threshold and capacitance; the mapper gives the neuron that many circuits.

    Args:
        size: Number of circuits, 1 to 256.
        expand_horizontally: Whether circuits fill a row; default: column by column, top and bottom.

    Raises:
        ValueError: size is out of range.

    Example:
        >>> SingleCompartmentNeuron(3).compartments.get_compartments()[CompartmentOnLogicalNeuron(0)]
        [AtomicNeuronOnLogicalNeuron(0, 0; 0), AtomicNeuronOnLogicalNeuron(0, 1; 128), \
AtomicNeuronOnLogicalNeuron(1, 0; 1)]
    """

    def __init__(self, size: int, expand_horizontally: bool = False) -> None:
        largest = AtomicNeuronOnLogicalNeuron.size
        assert largest is not None
        if isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= largest:
            raise ValueError(f"SingleCompartmentNeuron: size must be a whole number in 1..{largest}, got {size!r}")
        if expand_horizontally:
            circuits = [AtomicNeuronOnLogicalNeuron(number) for number in range(size)]
        else:
            circuits = [
                AtomicNeuronOnLogicalNeuron(NeuronColumnOnLogicalNeuron(k // 2), NeuronRowOnLogicalNeuron(k % 2))
                for k in range(size)
            ]
        self.compartments = LogicalNeuronCompartments({CompartmentOnLogicalNeuron(): circuits})

    def __repr__(self) -> str:
        return f"SingleCompartmentNeuron({circuits_per_neuron(self)})"


def compartments_of(structure: Any) -> Optional[Any]:
    """Circuits by compartment of a morphology of any package; None where it says nothing."""
    compartments = getattr(structure, "compartments", None)
    if callable(compartments):
        compartments = compartments()
    inner = getattr(compartments, "get_compartments", None)
    return inner() if callable(inner) else compartments


def circuits_per_neuron(structure: Any) -> int:
    """Number of circuits of a morphology; 0 where it says nothing: as many as its inputs need."""
    compartments = compartments_of(structure)
    parts: List[Sized] = list(compartments.values()) if isinstance(compartments, Mapping) else []
    return sum(map(len, parts))
