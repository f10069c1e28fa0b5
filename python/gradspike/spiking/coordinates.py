"""Coordinates of the chip as values, for scripts that place neurons: names, ranges and order of the chip's own package.

A coordinate is made of a number, of another coordinate's `toEnum()`, or of what it consists of; it compares by value,
hashes, orders by its number, and `int` gives the number. Where modules of `gradspike.spiking` take a coordinate, they
take these classes, those of the chip's package, and plain integers.

Example:
    >>> neuron = AtomicNeuronOnDLS(NeuronColumnOnDLS(3), NeuronRowOnDLS(1))
    >>> neuron, int(neuron), neuron == AtomicNeuronOnDLS(259)
    (AtomicNeuronOnDLS(3, 1; 259), 259, True)
"""

import functools
from typing import Any, ClassVar, Dict, Iterable, Iterator, List, Mapping, Optional, Sequence, Tuple, Type

_COLUMNS_PER_EVENT_OUTPUT = 32
_COLUMNS_PER_HALF = 128


class Enum(int):
    """The number of a coordinate, what `toEnum` gives."""

    def value(self) -> int:
        """The plain number."""
        return int(self)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self)})"


class X(Enum):
    """Column of a coordinate in two dimensions."""


class Y(Enum):
    """Row of a coordinate in two dimensions."""


def number_of(value: Any) -> int:
    """The number of a coordinate of any package, or of a plain integer.

    Raises:
        TypeError: the value is neither.
    """
    enum = getattr(value, "toEnum", None)
    if callable(enum):
        value = enum()
    plain = getattr(value, "value", None)
    if callable(plain):
        value = plain()
    if isinstance(value, (bool, float, str)) or not hasattr(value, "__int__"):
        raise TypeError(f"a coordinate must be a whole number or an object with toEnum(), got {value!r}")
    return int(value)


@functools.total_ordering
class Coordinate:
    """A number from 0 with a meaning. Subclasses with `size` accept 0 to size - 1, others any number from 0.

    Args:
        value: The number, or another coordinate or number object.

    Raises:
        OverflowError: the number is out of range.
        TypeError: the value is not a whole number.
    """

    size: ClassVar[Optional[int]] = None

    def __init__(self, value: Any = 0) -> None:
        if isinstance(value, Coordinate) and type(value) is not type(self):
            raise TypeError(f"{type(self).__name__} cannot be made of {value!r}")
        self._set(number_of(value))

    def _set(self, number: int) -> None:
        limit = type(self).size
        if number < 0 or (limit is not None and number >= limit):
            allowed = "from 0" if limit is None else f"in 0..{limit - 1}"
            raise OverflowError(f"{type(self).__name__} must be {allowed}, got {number}")
        object.__setattr__(self, "_own", number)

    _own: int

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__} is a value and cannot be changed")

    def toEnum(self) -> Enum:
        """The number among all coordinates of the class."""
        return Enum(self._own)

    def value(self) -> int:
        """The plain number."""
        return self._own

    def __int__(self) -> int:
        return self._own

    __index__ = __int__

    def __eq__(self, other: object) -> bool:
        return self._own == other._own if isinstance(other, Coordinate) and type(other) is type(self) else False

    def __lt__(self, other: Any) -> bool:
        return self._own < other._own if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._own))

    def __reduce__(self) -> Any:
        return type(self), (self._own,)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._own})"


class _Grid(Coordinate):
    """A coordinate of columns and rows; its number is `row * columns + column`."""

    column_type: ClassVar[Type[Coordinate]]
    row_type: ClassVar[Type[Coordinate]]

    def __init__(self, first: Any = 0, second: Any = None) -> None:
        if second is None:
            super().__init__(first)
            return
        if isinstance(first, (self.row_type, Y)) or isinstance(second, (self.column_type, X)):
            first, second = second, first
        column, row = self.column_type(first), self.row_type(second)
        self._set(int(row) * self._columns() + int(column))

    @classmethod
    def _columns(cls) -> int:
        assert cls.column_type.size is not None
        return cls.column_type.size

    def x(self) -> X:
        """The column."""
        return X(self._own % self._columns())

    def y(self) -> Y:
        """The row."""
        return Y(self._own // self._columns())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({int(self.x())}, {int(self.y())}; {self._own})"


class NeuronColumnOnDLS(Coordinate):
    """Column of neuron circuits."""

    size = 256


class NeuronRowOnDLS(Coordinate):
    """Row of neuron circuits: 0 top, 1 bottom."""

    size = 2
    top: ClassVar["NeuronRowOnDLS"]
    bottom: ClassVar["NeuronRowOnDLS"]


class HemisphereOnDLS(Coordinate):
    """Half of the chip with a row of neurons and its synapses: 0 top, 1 bottom."""

    size = 2
    top: ClassVar["HemisphereOnDLS"]
    bottom: ClassVar["HemisphereOnDLS"]


class SynramOnDLS(Coordinate):
    """Synapse array: 0 top, 1 bottom."""

    size = 2
    top: ClassVar["SynramOnDLS"]
    bottom: ClassVar["SynramOnDLS"]


for _vertical in (NeuronRowOnDLS, HemisphereOnDLS, SynramOnDLS):
    _vertical.top, _vertical.bottom = _vertical(0), _vertical(1)


class NeuronConfigBlockOnDLS(Coordinate):
    """Quadrant of 128 neuron circuits: row * 2 + half."""

    size = 4


class NeuronBackendConfigBlockOnDLS(Coordinate):
    """Chip half, left or right, of 256 neuron circuits in both rows."""

    size = 2


class NeuronEventOutputOnDLS(Coordinate):
    """Output through which the spikes of 32 columns leave."""

    size = 8


class SynapseRowOnSynram(Coordinate):
    """Row of synapses; row r belongs to driver r // 2."""

    size = 256


class SynapseOnSynapseRow(Coordinate):
    """Synapse in a row: the column of its neuron circuit."""

    size = 256


class SynapticInputOnNeuron(Coordinate):
    """Synaptic input: 0 excitatory, 1 inhibitory."""

    size = 2
    excitatory: ClassVar["SynapticInputOnNeuron"]
    inhibitory: ClassVar["SynapticInputOnNeuron"]


SynapticInputOnNeuron.excitatory, SynapticInputOnNeuron.inhibitory = SynapticInputOnNeuron(0), SynapticInputOnNeuron(1)


class AtomicNeuronOnDLS(_Grid):
    """A neuron circuit: `AtomicNeuronOnDLS(number)`, or column and row, where typed ones come in any order."""

    size = 512
    column_type = NeuronColumnOnDLS
    row_type = NeuronRowOnDLS

    def toNeuronColumnOnDLS(self) -> NeuronColumnOnDLS:
        """Its column."""
        return NeuronColumnOnDLS(self.x())

    def toNeuronRowOnDLS(self) -> NeuronRowOnDLS:
        """Its row."""
        return NeuronRowOnDLS(self.y())

    def toSynramOnDLS(self) -> SynramOnDLS:
        """The synapses that drive it."""
        return SynramOnDLS(self.y())

    def toHemisphereOnDLS(self) -> HemisphereOnDLS:
        """Its hemisphere."""
        return HemisphereOnDLS(self.y())

    def toNeuronConfigBlockOnDLS(self) -> NeuronConfigBlockOnDLS:
        """Its quadrant."""
        return NeuronConfigBlockOnDLS(2 * int(self.y()) + int(self.x()) // _COLUMNS_PER_HALF)

    def toNeuronBackendConfigBlockOnDLS(self) -> NeuronBackendConfigBlockOnDLS:
        """Its chip half."""
        return NeuronBackendConfigBlockOnDLS(int(self.x()) // _COLUMNS_PER_HALF)

    def toNeuronEventOutputOnDLS(self) -> NeuronEventOutputOnDLS:
        """The output of its spikes."""
        return NeuronEventOutputOnDLS(int(self.x()) // _COLUMNS_PER_EVENT_OUTPUT)


class NeuronColumnOnLogicalNeuron(Coordinate):
    """Column of a circuit within a neuron of several circuits."""

    size = 128


class NeuronRowOnLogicalNeuron(Coordinate):
    """Row of a circuit within a neuron of several circuits."""

    size = 2
    top: ClassVar["NeuronRowOnLogicalNeuron"]
    bottom: ClassVar["NeuronRowOnLogicalNeuron"]


NeuronRowOnLogicalNeuron.top, NeuronRowOnLogicalNeuron.bottom = NeuronRowOnLogicalNeuron(0), NeuronRowOnLogicalNeuron(1)


class AtomicNeuronOnLogicalNeuron(_Grid):
    """A circuit within a neuron of several circuits, from its top left one."""

    size = 256
    column_type = NeuronColumnOnLogicalNeuron
    row_type = NeuronRowOnLogicalNeuron


class CompartmentOnLogicalNeuron(Coordinate):
    """A compartment of a neuron."""

    size = 255


class DLSGlobal(Coordinate):
    """A chip in an installation."""

    size = 255


class ExecutionInstanceID(Coordinate):
    """A run of a chip, to which parts of a network are assigned."""


class ConnectionOnExecutor(Coordinate):
    """A connection to chips."""


class ChipOnConnection(Coordinate):
    """A chip on a connection."""


class TimeDomainOnTopology(Coordinate):
    """Parts of a network that share a time."""


class CompartmentOnNeuron(Coordinate):
    """A compartment of a neuron of a network."""


class _Composed:
    """A value of several parts, which `_parts` gives."""

    def _parts(self) -> Tuple[Any, ...]:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return isinstance(other, type(self)) and self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash((type(self).__name__, self._parts()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._parts()))})"


class ExecutionInstanceOnExecutor(_Composed):
    """An execution instance and the connection that it runs on."""

    def __init__(self, execution_instance_id: Any = 0, connection_on_executor: Any = 0) -> None:
        self.execution_instance_id = ExecutionInstanceID(execution_instance_id)
        self.connection_on_executor = ConnectionOnExecutor(connection_on_executor)

    def _parts(self) -> Tuple[Any, ...]:
        return self.execution_instance_id, self.connection_on_executor


class LogicalNeuronCompartments(_Composed):
    """Circuits of each compartment of a neuron, before it is placed.

    Args:
        compartments: Circuits `AtomicNeuronOnLogicalNeuron` by `CompartmentOnLogicalNeuron`.

    Raises:
        RuntimeError: a circuit is in two compartments.
    """

    def __init__(self, compartments: Optional[Mapping[Any, Iterable[Any]]] = None) -> None:
        given = compartments or {}
        self._compartments: Dict[CompartmentOnLogicalNeuron, List[AtomicNeuronOnLogicalNeuron]] = {
            CompartmentOnLogicalNeuron(key): [AtomicNeuronOnLogicalNeuron(circuit) for circuit in circuits]
            for key, circuits in given.items()
        }
        circuits = [circuit for part in self._compartments.values() for circuit in part]
        if len(set(circuits)) != len(circuits):
            raise RuntimeError("LogicalNeuronCompartments: Multiple compartments contain the same neuron(s).")

    def get_compartments(self) -> Dict[CompartmentOnLogicalNeuron, List[AtomicNeuronOnLogicalNeuron]]:
        """Circuits by compartment."""
        return {key: list(circuits) for key, circuits in self._compartments.items()}

    def __len__(self) -> int:
        return len(self._compartments)

    def _parts(self) -> Tuple[Any, ...]:
        return tuple((key, *self._compartments[key]) for key in sorted(self._compartments))


class LogicalNeuronOnDLS(_Composed):
    """A neuron of one or several circuits on the chip.

    Args:
        compartments: Its circuits, `LogicalNeuronCompartments`.
        anchor: The circuit of the chip at its top left.

    Raises:
        RuntimeError: a circuit lies outside of the grid, or the circuits lie in both chip halves.
    """

    def __init__(self, compartments: Any, anchor: Any) -> None:
        self._compartments, self._anchor = compartments, AtomicNeuronOnDLS(anchor)
        self._placed = {key: list(map(self._place, part)) for key, part in compartments.get_compartments().items()}
        halves = {circuit.toNeuronBackendConfigBlockOnDLS() for circuit in self.get_atomic_neurons()}
        if len(halves) > 1:
            raise RuntimeError(f"LogicalNeuronOnDLS at {self._anchor!r} has circuits in both halves of the chip")

    def _place(self, circuit: Any) -> AtomicNeuronOnDLS:
        number, columns = number_of(circuit), AtomicNeuronOnLogicalNeuron._columns()
        column, row = number % columns + int(self._anchor.x()), number // columns + int(self._anchor.y())
        try:
            return AtomicNeuronOnDLS(column, row)
        except OverflowError:
            raise RuntimeError(
                "LogicalNeuron anchor results in placement of compartments outside of neuron grid: "
                f"{circuit!r} from {self._anchor!r}"
            ) from None

    def get_placed_compartments(self) -> Dict[Any, List[AtomicNeuronOnDLS]]:
        """Circuits on the chip by compartment."""
        return {key: list(circuits) for key, circuits in self._placed.items()}

    def get_atomic_neurons(self) -> List[AtomicNeuronOnDLS]:
        """All circuits on the chip."""
        return [circuit for circuits in self._placed.values() for circuit in circuits]

    def get_anchor(self) -> AtomicNeuronOnDLS:
        """The circuit at its top left."""
        return self._anchor

    def _parts(self) -> Tuple[Any, ...]:
        return self._compartments, self._anchor


def iter_all(kind: Type[Coordinate]) -> Iterator[Coordinate]:
    """All coordinates of a class, in ascending order."""
    if kind.size is None:
        raise TypeError(f"{kind.__name__} has no last one")
    return (kind(number) for number in range(kind.size))


def circuits_in(values: Sequence[Any]) -> Optional[List[int]]:
    """Circuits of a list of coordinates of any package, one after the other; None where an entry is something else."""
    found: List[int] = []
    for value in values:
        atomic = getattr(value, "get_atomic_neurons", None)
        try:
            found += [number_of(circuit) for circuit in atomic()] if callable(atomic) else [number_of(value)]
        except TypeError:
            return None
    return found
