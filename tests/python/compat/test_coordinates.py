"""Coordinates of the chip as values: ranges, order, conversions, texts; and that they reach the mapper."""

import copy
import warnings

import pytest
import torch

import gradspike.spiking as hxsnn
from gradspike.spiking import _hardware, _wishes
from gradspike.spiking import coordinates as halco
from gradspike.spiking.morphology import SingleCompartmentNeuron, circuits_per_neuron

RANGES = {
    "AtomicNeuronOnDLS": 512,
    "NeuronColumnOnDLS": 256,
    "NeuronRowOnDLS": 2,
    "HemisphereOnDLS": 2,
    "SynramOnDLS": 2,
    "NeuronConfigBlockOnDLS": 4,
    "NeuronBackendConfigBlockOnDLS": 2,
    "NeuronEventOutputOnDLS": 8,
    "SynapseRowOnSynram": 256,
    "SynapseOnSynapseRow": 256,
    "SynapticInputOnNeuron": 2,
    "AtomicNeuronOnLogicalNeuron": 256,
    "NeuronColumnOnLogicalNeuron": 128,
    "NeuronRowOnLogicalNeuron": 2,
    "CompartmentOnLogicalNeuron": 255,
    "DLSGlobal": 255,
}
UNBOUNDED = ("ExecutionInstanceID", "ConnectionOnExecutor", "ChipOnConnection", "TimeDomainOnTopology")


@pytest.mark.parametrize("name", RANGES)
def test_range(name):
    kind = getattr(halco, name)
    numbers = [int(value) for value in halco.iter_all(kind)]
    assert numbers == list(range(RANGES[name]))
    for outside in (-1, RANGES[name], 2**40):
        with pytest.raises(OverflowError, match=rf"{name} must be in 0\.\.{RANGES[name] - 1}, got {outside}"):
            kind(outside)


@pytest.mark.parametrize("name", UNBOUNDED)
def test_ids_are_unbounded(name):
    kind = getattr(halco, name)
    assert int(kind()) == 0 and int(kind(2**40)) == 2**40 and repr(kind(3)) == f"{name}(3)"
    with pytest.raises(OverflowError, match=f"{name} must be from 0, got -1"):
        kind(-1)
    with pytest.raises(TypeError, match="has no last one"):
        next(halco.iter_all(kind))


@pytest.mark.parametrize("name", [*RANGES, *UNBOUNDED])
def test_value_semantics(name):
    kind = getattr(halco, name)
    a, b = kind(1), kind(1)
    assert a == b and hash(a) == hash(b) and a is not b and kind(0) < a and a != kind(0) and max(a, kind(0)) is a
    assert copy.deepcopy(a) == a and {a: 1}[b] == 1 and a != 1 and a != "1"
    assert int(a) == 1 and a.value() == 1 and a.toEnum() == 1 and a.toEnum().value() == 1 and kind(a.toEnum()) == a
    assert kind(a) == a and range(3)[a] == 1
    with pytest.raises(AttributeError, match="is a value"):
        a.number = 2


def test_coordinates_of_different_kinds_differ():
    assert halco.NeuronRowOnDLS(1) != halco.HemisphereOnDLS(1)
    assert len({halco.NeuronRowOnDLS(1), halco.HemisphereOnDLS(1)}) == 2
    with pytest.raises(TypeError):
        assert halco.NeuronRowOnDLS(0) < halco.HemisphereOnDLS(1)


@pytest.mark.parametrize("value", [1.0, "1", None, True, halco.DLSGlobal(1), [1]])
def test_what_is_no_number(value):
    with pytest.raises(TypeError):
        halco.AtomicNeuronOnDLS(value)


def test_circuit_from_column_and_row_in_any_order():
    for x, y in ((0, 0), (3, 1), (255, 0), (255, 1)):
        expected = halco.AtomicNeuronOnDLS(256 * y + x)
        column, row = halco.NeuronColumnOnDLS(x), halco.NeuronRowOnDLS(y)
        for made in (
            halco.AtomicNeuronOnDLS(x, y),
            halco.AtomicNeuronOnDLS(column, row),
            halco.AtomicNeuronOnDLS(row, column),
            halco.AtomicNeuronOnDLS(halco.X(x), halco.Y(y)),
            halco.AtomicNeuronOnDLS(halco.Enum(256 * y + x)),
        ):
            assert made == expected
        assert repr(expected) == f"AtomicNeuronOnDLS({x}, {y}; {256 * y + x})"
    for pair in ((halco.NeuronRowOnDLS(0), halco.NeuronRowOnDLS(1)), (halco.NeuronColumnOnDLS(0),) * 2):
        with pytest.raises(TypeError):
            halco.AtomicNeuronOnDLS(*pair)
    with pytest.raises(OverflowError):
        halco.AtomicNeuronOnDLS(0, 2)


def test_conversions_of_every_circuit():
    for circuit in halco.iter_all(halco.AtomicNeuronOnDLS):
        row, column = divmod(int(circuit), 256)
        assert (int(circuit.x()), int(circuit.y())) == (column, row)
        assert circuit.toNeuronColumnOnDLS() == halco.NeuronColumnOnDLS(column)
        assert circuit.toNeuronRowOnDLS() == halco.NeuronRowOnDLS(row)
        assert circuit.toHemisphereOnDLS() == halco.HemisphereOnDLS(row)
        assert circuit.toSynramOnDLS() == halco.SynramOnDLS(row)
        assert circuit.toNeuronConfigBlockOnDLS() == halco.NeuronConfigBlockOnDLS(2 * row + (column >= 128))
        assert circuit.toNeuronBackendConfigBlockOnDLS() == halco.NeuronBackendConfigBlockOnDLS(
            (column >= 128 and 1) or 0
        )
        assert circuit.toNeuronEventOutputOnDLS() == halco.NeuronEventOutputOnDLS(column // 32)


def test_names_of_rows_and_inputs():
    assert halco.NeuronRowOnDLS.top == halco.NeuronRowOnDLS(0)
    assert halco.HemisphereOnDLS.bottom == halco.HemisphereOnDLS(1)
    assert halco.SynapticInputOnNeuron.inhibitory == halco.SynapticInputOnNeuron(1)


def test_order_of_sources_of_the_converters():
    from gradspike.compat._packages import ReadoutSource

    assert [source.name for source in ReadoutSource] == ["membrane", "exc_synin", "inh_synin", "adaptation"]
    assert [int(source) for source in ReadoutSource] == [0, 1, 2, 3]


# Neurons of several circuits


@pytest.mark.parametrize("size", [1, 2, 3, 8, 256])
def test_circuits_fill_columns_or_rows(size):
    circuits = SingleCompartmentNeuron(size).compartments.get_compartments()[halco.CompartmentOnLogicalNeuron()]
    assert [(int(c.x()), int(c.y())) for c in circuits] == [(k // 2, k % 2) for k in range(size)]
    circuits = SingleCompartmentNeuron(size, expand_horizontally=True).compartments.get_compartments()
    assert [int(c) for c in circuits[halco.CompartmentOnLogicalNeuron()]] == list(range(size))
    assert circuits_per_neuron(SingleCompartmentNeuron(size)) == size


@pytest.mark.parametrize("size", [0, 257, 1.5, True])
def test_sizes_of_neurons(size):
    with pytest.raises(ValueError, match="size must be a whole number in 1..256"):
        SingleCompartmentNeuron(size)


def test_logical_neurons_lie_at_their_anchor():
    compartments = SingleCompartmentNeuron(4).compartments
    neuron = halco.LogicalNeuronOnDLS(compartments, halco.AtomicNeuronOnDLS(10, 0))
    assert [int(circuit) for circuit in neuron.get_atomic_neurons()] == [10, 266, 11, 267]
    assert neuron.get_placed_compartments() == {halco.CompartmentOnLogicalNeuron(0): neuron.get_atomic_neurons()}
    assert (
        neuron == halco.LogicalNeuronOnDLS(SingleCompartmentNeuron(4).compartments, 10) and len({neuron, neuron}) == 1
    )
    assert neuron != halco.LogicalNeuronOnDLS(compartments, 11)
    assert neuron.get_anchor() == halco.AtomicNeuronOnDLS(10)
    with pytest.raises(RuntimeError, match="outside of neuron grid"):
        halco.LogicalNeuronOnDLS(compartments, halco.AtomicNeuronOnDLS(10, 1))
    with pytest.raises(RuntimeError, match="both halves"):
        halco.LogicalNeuronOnDLS(compartments, halco.AtomicNeuronOnDLS(127, 0))


def test_a_circuit_is_in_one_compartment():
    circuit = halco.AtomicNeuronOnLogicalNeuron()
    with pytest.raises(RuntimeError, match="Multiple compartments contain the same neuron"):
        halco.LogicalNeuronCompartments({0: [circuit], 1: [circuit]})


def test_several_compartments_are_refused():
    two = SingleCompartmentNeuron(1)
    two.compartments = halco.LogicalNeuronCompartments({0: [0], 1: [1]})
    with pytest.raises(ValueError, match="single compartment"):
        hxsnn.LIF(2, hxsnn.Experiment(mock=True), neuron_structure=two)


# On the way to the mapper


class TheirEnum:
    """As the chip's package has it: no number by itself, `value()` gives it."""

    def __init__(self, number):
        self.number = number

    def value(self):
        return self.number

    def __int__(self):
        return self.number


class AtomicNeuronOnDLS:
    """A coordinate of another package."""

    def __init__(self, number):
        self.number = number

    def toEnum(self):
        return TheirEnum(self.number)


class TheirLogicalNeuron:
    def __init__(self, *numbers):
        self.numbers = numbers

    def get_atomic_neurons(self):
        return [AtomicNeuronOnDLS(number) for number in self.numbers]


class TheirCompartments:
    """Has no length."""

    def get_compartments(self):
        return {TheirEnum(0): [AtomicNeuronOnDLS(0), AtomicNeuronOnDLS(128)]}


class TheirMorphology:
    compartments = TheirCompartments()


def logical(*anchors, size=1):
    return [halco.LogicalNeuronOnDLS(SingleCompartmentNeuron(size).compartments, anchor) for anchor in anchors]


def mapped(projection=None, population=None, wait=0):
    """Circuits of the three neurons of a small network on the emulator."""
    experiment = hxsnn.Experiment(backend="emulator", inter_batch_entry_wait=wait)
    synapse = hxsnn.Synapse(5, 3, experiment, **(projection or {}))
    neurons = hxsnn.LI(3, experiment, **(population or {}))
    handle = neurons(synapse(hxsnn.LIFObservables(spikes=torch.ones(6, 1, 5))))
    hxsnn.run(experiment, 6)
    assert handle.membrane_cadc.shape == (6, 1, 3)
    return [neuron["circuits"] for neuron in experiment.mapping.instances[0]["populations"][0]["neurons"]]


PLACES = {
    "integers": [258, 3, 300],
    "circuits": [halco.AtomicNeuronOnDLS(number) for number in (258, 3, 300)],
    "neurons": logical(258, 3, 300),
    "other package": [AtomicNeuronOnDLS(number) for number in (258, 3, 300)],
    "other neurons": [TheirLogicalNeuron(number) for number in (258, 3, 300)],
}


@pytest.mark.parametrize("kind", PLACES)
def test_placement_constraint(kind):
    assert mapped(population={"placement_constraint": PLACES[kind]}) == [[258], [3], [300]]


@pytest.mark.parametrize("structure", [SingleCompartmentNeuron(2), TheirMorphology()])
def test_circuits_of_a_morphology(structure):
    assert [len(circuits) for circuits in mapped(population={"neuron_structure": structure})] == [2, 2, 2]


def test_places_of_several_circuits_need_no_morphology():
    assert mapped(population={"placement_constraint": logical(10, 20, 30, size=2)}) == [[10, 266], [20, 276], [30, 286]]
    theirs = [TheirLogicalNeuron(n, n + 256) for n in (10, 20, 30)]
    assert mapped(population={"placement_constraint": theirs}) == [[10, 266], [20, 276], [30, 286]]


COORDINATES = {
    "text": "AtomicNeuronOnDLS(7)",
    "value": halco.AtomicNeuronOnDLS(7),
    "other package": AtomicNeuronOnDLS(7),
    "integers": [7, 8, 9],
    "values": [halco.AtomicNeuronOnDLS(number) for number in (7, 8, 9)],
    "neurons": logical(7, 8, 9),
}


@pytest.mark.parametrize("kind", COORDINATES)
@pytest.mark.parametrize("where", ["projection", "population"])
def test_chip_coordinate(kind, where):
    assert mapped(**{where: {"chip_coordinate": COORDINATES[kind]}}) == [[7], [8], [9]]


@pytest.mark.parametrize(
    "coordinate",
    [
        None,
        0,
        (halco.ChipOnConnection(), halco.ConnectionOnExecutor()),
        (0, 0),
        {halco.ExecutionInstanceID(0): halco.DLSGlobal(0)},
        {0: 0},
        lambda: None,
    ],
)
def test_coordinates_of_chips_leave_the_placement_free(coordinate):
    free = mapped()
    assert mapped(projection={"chip_coordinate": coordinate}) == free
    assert mapped(population={"chip_coordinate": coordinate}) == free


def test_a_place_that_is_none():
    with pytest.raises(TypeError, match="placement_constraint: a place must be a number or a coordinate of the chip"):
        mapped(population={"placement_constraint": ["a", "b", "c"]})


def instances(first, second):
    """Number of execution instances of a network of two layers, and the wishes of its projections."""
    experiment = hxsnn.Experiment(backend="emulator")
    a, b = hxsnn.LIF(4, experiment), hxsnn.LI(3, experiment)
    into, out = hxsnn.Synapse(5, 4, experiment, **first), hxsnn.Synapse(4, 3, experiment, **second)
    b(out(a(into(hxsnn.LIFObservables(spikes=torch.ones(6, 1, 5))))))
    wishes = _hardware.wishes_of({into: "a", out: "b"})
    hxsnn.run(experiment, 6)
    return len(experiment.mapping.instances), [wishes.get(name, {}).get("execution_instance") for name in ("a", "b")]


def test_execution_instances():
    one, other = hxsnn.ExecutionInstance(), hxsnn.ExecutionInstance()

    def instance(value):
        return {"execution_instance": value}

    def coordinate(value):
        return {"chip_coordinate": value}

    assert instances({}, {}) == (1, [None, None])
    assert instances(instance(one), instance(one)) == (1, ["instance 0", "instance 0"])
    assert instances(instance(other), instance(one)) == (2, ["instance 0", "instance 1"])
    assert instances(instance(0), instance(1)) == (2, ["0", "1"])
    ids = [halco.ExecutionInstanceID(number) for number in (0, 1)]
    assert instances(instance(ids[0]), instance(1)) == (2, ["0", "1"])
    assert instances(instance(ids[1]), instance(halco.ExecutionInstanceOnExecutor(1, 0))) == (1, ["1", "1"])
    assert instances(coordinate({ids[0]: halco.DLSGlobal(3)}), coordinate({1: 4})) == (2, ["0", "1"])
    chips = [(halco.ChipOnConnection(number), halco.ConnectionOnExecutor()) for number in (0, 1)]
    assert instances(coordinate(chips[0]), coordinate(chips[0])) == (1, [None, None])
    assert instances(coordinate(chips[0]), coordinate(chips[1]))[0] == 2
    assert instances(coordinate((0, 0)), coordinate((0, 1)))[0] == 2


def test_times_between_batch_entries():
    assert _hardware._seconds(125 * 50) == pytest.approx(50e-6)
    assert _hardware._seconds(50e-6) == 50e-6 and _hardware._seconds(0) == 0.0 and _hardware._seconds(None) == 0.0
    mapped(wait=125 * 50)


def test_a_calibration_is_handed_to_a_backend_as_its_path():
    from pathlib import Path

    from gradspike.spiking.utils import calib_helper

    for calibration in ("a.pbin", Path("a.pbin"), calib_helper.fixture_calibration_from_file(Path("a.pbin"))):
        experiment = hxsnn.Experiment(backend="other", calibration=calibration)
        assert experiment._hardware._options()[-1] == "a.pbin"
        experiment = hxsnn.Experiment(backend="emulator", calibration=calibration)
        assert experiment._hardware._options()[-1] == ""
    experiment = hxsnn.Experiment(backend="other")
    experiment.default_execution_instance.load_calib(calib_helper.nightly_calix_native_path("spiking2"))
    assert experiment._hardware._options()[-1] == "spiking2_calix-native.pkl"


def test_a_run_may_take_longer_than_its_input():
    for kind, projection in (("LIF", "Synapse"), ("LI", "Synapse"), ("EventPropLIF", "EventPropSynapse")):
        experiment = hxsnn.Experiment(backend="emulator")
        synapse = getattr(hxsnn, projection)(5, 3, experiment)
        handle = getattr(hxsnn, kind)(3, experiment)(synapse(hxsnn.LIFObservables(spikes=torch.ones(6, 2, 5))))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            hxsnn.run(experiment, 8)
        assert handle.membrane_cadc.shape == (6, 2, 3)


# Plasticity rules


class TheirRule:
    """As hxtorch has it: the kernel is behind a method."""

    def __init__(self, kernel, timer):
        self._kernel, self.timer = kernel, timer

    def generate_kernel(self):
        return self._kernel


@pytest.mark.parametrize("kind", [hxsnn.PlasticityRule, TheirRule])
def test_plasticity_rules(kind):
    rule = _wishes.plasticity_rule(kind("kernel", hxsnn.Timer(start=3, period=100, num_periods=7)))
    assert (rule.kernel, rule.executions) == ("kernel", 7)
    assert rule.start == pytest.approx(3e-6) and rule.period == pytest.approx(100e-6)
    assert _wishes.plasticity_rule(rule) is rule


# Sources of the converters


class Theirs:
    name = "membrane"


def test_backends_record_membranes():
    from gradspike.compat._packages import ReadoutSource

    for source in ("voltage", ReadoutSource.membrane, Theirs()):
        mapped(population={"cadc_readout_source": source})
    for source in (ReadoutSource.adaptation, ReadoutSource.exc_synin, "adaptation"):
        with pytest.raises(ValueError, match="LI 1: backends record membranes, got cadc_readout_source="):
            mapped(population={"cadc_readout_source": source})
        with pytest.raises(ValueError, match="backends record membranes, got madc_readout_source="):
            mapped(population={"madc_readout_source": source, "enable_madc_recording": True, "record_neuron_id": 0})
