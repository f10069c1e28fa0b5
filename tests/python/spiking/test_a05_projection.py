"""A5: the base of projections, their populations, and elements of an experiment."""

import dataclasses

import pytest
import torch
from contract_networks import emulator, handle_of, spikes

import gradspike.spiking as hxsnn
from gradspike import nn
from gradspike.spiking._wishes import plasticity_rule


@pytest.fixture
def experiment():
    return hxsnn.Experiment(mock=True)


def test_a5_fields(experiment):
    synapse = hxsnn.Synapse(3, 2, experiment, receptor="inhibitory")
    assert synapse._signed_projection is False and synapse._receptor == "inhibitory"
    assert synapse.plasticity_rule_descriptor is None
    assert hxsnn.Synapse(3, 2, experiment)._signed_projection is True


def test_a5_populations_are_found_through_functional_modules(experiment):
    first, dropout = hxsnn.LIF(4, experiment), hxsnn.BatchDropout(4, 0.5, experiment)
    into, onward, last = hxsnn.Synapse(5, 4, experiment), hxsnn.Synapse(4, 3, experiment), hxsnn.LI(3, experiment)
    last(onward(dropout(first(into(handle_of(spikes()))))))
    assert onward.source_population() is first and onward.target_population() is last
    assert into.source_population() is None and into.target_population() is first
    hxsnn.run(experiment, 20)
    assert onward.source_population() is first  # of what ran last


def test_a5_an_input_neuron_is_a_population(experiment):
    inputs, into, neurons = hxsnn.InputNeuron(5, experiment), hxsnn.Synapse(5, 4, experiment), hxsnn.LIF(4, experiment)
    neurons(into(inputs(handle_of(spikes()))))
    assert into.source_population() is inputs


def test_a5_a_projection_has_one_source_and_one_target(experiment):
    synapse = hxsnn.Synapse(4, 4, experiment)
    sources = [hxsnn.LIF(4, experiment) for _ in range(2)]
    targets = [hxsnn.LIF(4, experiment) for _ in range(2)]
    graded = torch.zeros(5, 1, 4)
    for neurons in sources:
        handle = synapse(neurons(hxsnn.SynapseHandle(graded_spikes=graded)))
    for neurons in targets:
        neurons(handle)
    with pytest.raises(AssertionError, match="On hardware, a projection can only have one source population"):
        synapse.source_population()
    with pytest.raises(AssertionError, match="On hardware, a projection can only have one target population"):
        synapse.target_population()


def test_a5_post_process_gives_nothing(experiment):
    assert hxsnn.Synapse(3, 2, experiment).post_process(None, 1.0) is None


def test_a5_modules_are_elements_of_their_experiment(experiment):
    modules = [hxsnn.Synapse(3, 2, experiment), hxsnn.LIF(2, experiment), hxsnn.InputNeuron(3, experiment)]
    assert experiment.elements == modules
    assert all(module.changed_topology for module in modules)
    assert modules[0].changed_input_data


def test_a5_a_run_on_a_backend_marks_elements_as_written():
    experiment = emulator()
    synapse, neurons = hxsnn.Synapse(5, 4, experiment), hxsnn.LIF(4, experiment)
    neurons(synapse(handle_of(spikes())))
    hxsnn.run(experiment, 20)
    assert not synapse.changed_topology and not neurons.changed_topology and not synapse.changed_input_data
    synapse.weight.data += 1.0
    assert synapse.changed_input_data


@dataclasses.dataclass
class Timer:
    """Microseconds, as that of the chip's library."""

    start: float = 100.0
    period: float = 1000.0
    num_periods: int = 3


@dataclasses.dataclass
class Rule:
    kernel: str = "void PLASTICITY_RULE_KERNEL() {}"
    timer: Timer = dataclasses.field(default_factory=Timer)


def test_a5_timers_are_microseconds():
    rule = plasticity_rule(Rule())
    assert rule == nn.PlasticityRule(Rule().kernel, period=1e-3, start=1e-4, executions=3)
    assert plasticity_rule(rule) is rule


@pytest.mark.parametrize("rule", [Rule(), nn.PlasticityRule(Rule().kernel, period=1e-3, start=1e-4, executions=3)])
def test_a5_a_plasticity_rule_reaches_the_network_description(rule):
    experiment = emulator()
    synapse = hxsnn.Synapse(5, 4, experiment, receptor="excitatory", plasticity_rule=rule, name="in")
    hxsnn.LIF(4, experiment)(synapse(handle_of(spikes())))
    result = hxsnn.run(experiment, 20)
    (projection,) = experiment._hardware.network.description["projections"]
    assert projection["plasticity_rule"] == Rule().kernel and projection["plasticity_executions"] == 3
    assert any("plasticity" in phrase for phrase in result.not_modelled)
