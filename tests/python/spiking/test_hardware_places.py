"""Experiments on a backend: places on the chip, and errors."""

import pytest
import torch
from contract_networks import UNIT, Network, assert_same, emulator, handle_of, scaled, spikes

import gradspike.spiking as hxsnn
from gradspike import chip, nn


def test_a_placement_constraint_places_the_neurons():
    class Atomic:
        def __init__(self, circuit):
            self.circuit = circuit

        def toEnum(self):
            return self.circuit

    class Logical:
        def __init__(self, *circuits):
            self.circuits = circuits

        def get_atomic_neurons(self):
            return [Atomic(c) for c in self.circuits]

    wanted = [17, 3, 300, 42]
    texts = []
    for places in (wanted, [Atomic(c) for c in wanted], [Logical(c) for c in wanted]):
        experiment = emulator(hardware_weights=True, name="placed")
        synapse = hxsnn.Synapse(5, 4, experiment, name="in")
        neurons = hxsnn.LIF(4, experiment, **UNIT, placement_constraint=places, name="out")
        torch.nn.init.normal_(synapse.weight, 3, 1)
        handle = neurons(synapse(handle_of(spikes())))
        hxsnn.run(experiment, 20)
        assert handle.spikes.any()
        texts.append(experiment.mapping.to_json())
    assert texts[0] == texts[1] == texts[2]
    (population,) = experiment.mapping.data["populations"]
    assert [neuron["circuits"] for neuron in population["neurons"]] == [[circuit] for circuit in wanted]


@pytest.mark.parametrize("coordinate", ["AtomicNeuronOnDLS(3)", [17, 3, 300, 42], "[17, 3, 300, 42]"])
def test_a_chip_coordinate_reaches_the_description(coordinate):
    experiment = emulator()
    synapse = hxsnn.Synapse(5, 4, experiment, coordinate, name="in")
    hxsnn.LIF(4, experiment, **UNIT)(synapse(handle_of(spikes())))
    hxsnn.run(experiment, 20)
    (entry,) = [p for p in chip.registered()["projections"] if p["key"] == f"{experiment.name}/in"]
    assert entry["chip_coordinate"] == str(coordinate)


def test_an_execution_instance_reaches_the_description():
    experiment = emulator()
    synapse = hxsnn.Synapse(5, 4, experiment, execution_instance=1, name="in")
    hxsnn.LIF(4, experiment, **UNIT)(synapse(handle_of(spikes())))
    hxsnn.run(experiment, 20)
    (entry,) = [p for p in chip.registered()["projections"] if p["key"] == f"{experiment.name}/in"]
    assert entry["execution_instance"] == "1"


@pytest.mark.parametrize("coordinate", [lambda: 1, object(), "somewhere", {"a": 1}])
def test_a_coordinate_that_the_mapper_does_not_know_is_no_obstacle(coordinate):
    experiment = emulator()
    synapse = hxsnn.Synapse(5, 4, experiment, coordinate)
    handle = hxsnn.LIF(4, experiment, **UNIT)(synapse(handle_of(spikes())))
    hxsnn.run(experiment, 20)
    assert handle.holds("spikes")


def test_a_projection_without_a_population_is_legal_in_simulation_alone():
    x = spikes()
    experiment = hxsnn.Experiment(mock=True)
    handle = hxsnn.Synapse(5, 4, experiment)(handle_of(x))
    hxsnn.run(experiment, 20)
    assert handle.holds("graded_spikes")
    experiment = emulator()
    hxsnn.Synapse(5, 4, experiment, name="lonely")(handle_of(x))
    with pytest.raises(ValueError, match=r"Synapse 'lonely': on hardware a projection needs a population behind it"):
        hxsnn.run(experiment, 20)


@pytest.mark.parametrize("wrong", [hxsnn.TensorHandle(tensor=torch.ones(3, 1, 5)), handle_of(torch.ones(3, 5))])
def test_inputs_on_a_backend_are_spikes(wrong):
    experiment = emulator()
    hxsnn.LIF(4, experiment)(hxsnn.Synapse(5, 4, experiment)(wrong))
    with pytest.raises(ValueError, match=r"on hardware the inputs are handles with spikes \[time, batch, neuron\]"):
        hxsnn.run(experiment, 3)


def test_inputs_of_other_numbers_of_entries_are_refused():
    network = Network(emulator())
    with pytest.raises((ValueError, RuntimeError), match="whole number"):
        network.run(spikes() * 0.5)


def test_scales_of_two_projections_into_one_population_may_differ_on_the_ideal_emulator():
    results, x = [], spikes()
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        torch.manual_seed(0)
        synapses = [hxsnn.Synapse(5, 4, experiment, transform=scaled(s)) for s in (24.0, 17.0)]
        for synapse in synapses:
            torch.nn.init.normal_(synapse.weight, 1, 1)
        given = handle_of(x)
        handle = hxsnn.LIF(4, experiment, **UNIT)(*(synapse(given) for synapse in synapses))
        hxsnn.run(experiment, 20)
        results.append(handle)
    assert_same(*results)


def test_a_network_that_does_not_fit_names_its_misfits():
    experiment = emulator()
    synapse, neurons = hxsnn.Synapse(40_000, 4, experiment), hxsnn.LIF(4, experiment)
    neurons(synapse(handle_of(torch.zeros(2, 1, 40_000))))
    with pytest.raises(RuntimeError, match=r"layer \"lif1\": synapse rows of one neuron: needs 80000"):
        hxsnn.run(experiment, 2)


def test_a_changed_place_maps_again():
    experiment = emulator()
    synapse = hxsnn.Synapse(5, 2, experiment, name="in")
    neurons = hxsnn.LIF(2, experiment, **UNIT, name="out")
    for places in ([4, 9], [4, 9], [200, 7]):
        neurons.placement_constraint = places
        neurons(synapse(handle_of(spikes())))
        hxsnn.run(experiment, 20)
        (population,) = experiment.mapping.data["populations"]
        assert [neuron["circuits"] for neuron in population["neurons"]] == [[circuit] for circuit in places]


def test_a_changed_rule_is_read_again():
    experiment = emulator()
    synapse, neurons = hxsnn.Synapse(5, 2, experiment, receptor="excitatory", name="in"), hxsnn.LIF(2, experiment)
    for kernel in ("first", "second"):
        synapse.plasticity_rule = nn.PlasticityRule(kernel, period=1e-3)
        neurons(synapse(handle_of(spikes())))
        hxsnn.run(experiment, 20)
        (projection,) = experiment._hardware.network.description["projections"]
        assert projection["plasticity_rule"] == kernel
