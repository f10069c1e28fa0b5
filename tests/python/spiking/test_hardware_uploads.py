"""Experiments on a backend: what is uploaded, and what is mapped again."""

import numpy as np
import pytest
import torch
from contract_networks import Network, assert_same, emulator, handle_of, pair, scaled, spikes

import gradspike.spiking as hxsnn
from gradspike.spiking import _hardware


def counted(network):
    """Mappings that were made, in a list."""
    made = []
    network.experiment.post_mapping_hook = made.append
    return made


def test_weights_are_uploaded_by_content():
    network, x = Network(emulator()), spikes()
    mapped = counted(network)
    network.run(x)
    network.run(x)
    assert network.experiment.uploads == 1
    with torch.no_grad():
        network.synapse.weight.add_(1e-7)  # the same integers
    network.run(x)
    assert network.experiment.uploads == 1
    network.synapse.weight.data.mul_(-1)
    network.run(x)
    assert network.experiment.uploads == 2 and len(mapped) == 1
    network.synapse.weight.data = network.synapse.weight.data * -1  # another tensor in the parameter
    network.run(x)
    assert network.experiment.uploads == 3 and len(mapped) == 1
    assert network.experiment.mapping is mapped[0]
    held = network.experiment.last_run_chip_configs
    assert torch.equal(next(t for t in held.values() if t.shape == (12, 5)).int(), network.synapse.hardware_weight())


def test_a_parameter_that_is_replaced_is_read_again():
    network, x = Network(emulator(hardware_weights=True)), spikes()
    mapped = counted(network)
    network.run(x)
    network.synapse.weight = torch.nn.Parameter(-network.synapse.weight.detach())
    network.run(x)
    held = network.experiment.last_run_chip_configs
    assert torch.equal(next(t for t in held.values() if t.shape == (12, 5)).int(), network.synapse.hardware_weight())
    assert len(mapped) == 1


def test_a_changed_scale_keeps_the_mapping():
    networks, x = pair(), spikes()
    mapped = counted(networks[1])
    for scale in (24.0, 30.0, 9.5):
        for network in networks:
            network.synapse.weight_transform.keywords["scale"] = scale
        simulated, measured = (network.run(x) for network in networks)
        assert_same(simulated[1], measured[1])
    assert len(mapped) == 1 and networks[1].experiment.uploads == 3


def test_changed_topology_maps_again():
    experiment, x = emulator(hardware_weights=True), spikes()
    network = Network(experiment)
    mapped = counted(network)
    network.run(x)
    skip = hxsnn.Synapse(5, 3, experiment, transform=scaled())
    hidden = network.hidden(network.synapse(handle_of(x)))
    network.readout(network.readout_synapse(hidden), skip(handle_of(x)))
    hxsnn.run(experiment, 20)
    assert len(mapped) == 2 and len(experiment.last_run_chip_configs) == 3
    network.run(x)  # the first network again
    assert len(mapped) == 3 and len(experiment.last_run_chip_configs) == 2


def test_changed_parameters_of_neurons_keep_the_mapping():
    networks, x = pair(), spikes()
    mapped = counted(networks[1])
    for threshold in (1.0, 0.5, torch.full((12,), 0.8)):
        for network in networks:
            network.hidden.threshold.hardware_value = threshold
        simulated, measured = (network.run(x) for network in networks)
        assert_same(simulated[0], measured[0])
    assert len(mapped) == 1


def test_a_parameter_that_trains_is_uploaded():
    threshold = torch.full((12,), 0.9)
    simulated, measured = pair(hidden={})
    for network in (simulated, measured):
        network.hidden.threshold = hxsnn.TrainableModelParameter(threshold.clone())
    x = spikes()
    for _ in range(3):
        ours, theirs = (network.run(x) for network in (simulated, measured))
        assert_same(ours[0], theirs[0])
        for network in (simulated, measured):
            network.hidden.threshold.model_value.data.sub_(0.15)
    assert ours[0].spikes.any()


def test_changed_batch_size_and_runtime():
    networks = pair()
    mapped = counted(networks[1])
    for steps, batch in ((20, 2), (20, 5), (33, 1), (7, 3), (20, 2)):
        x = spikes(steps, batch, seed=steps)
        simulated, measured = (network.run(x) for network in networks)
        assert_same(simulated[1], measured[1])
    assert len(mapped) == 1 and networks[1].experiment.uploads == 1


@pytest.mark.parametrize("runtime", [30, 20, 11, 1])
def test_a_runtime_longer_or_shorter_than_the_input(runtime):
    """A measurement is as long as the run; the model ends with its input, and goes on alone after a shorter run."""
    networks, x = pair(), spikes(20)
    simulated = networks[0].run(x)
    measured = networks[1].run(x, runtime)
    for ours, theirs in zip(simulated, measured):
        for name in ("membrane_cadc", "current"):
            assert getattr(theirs, name).shape[0] == 20
            assert torch.equal(getattr(ours, name), getattr(theirs, name))
    assert next(iter(networks[1].experiment.result.spikes.values())).shape[0] == runtime


def test_several_experiments_side_by_side():
    x, networks = spikes(), [Network(emulator(hardware_weights=True), seed=k) for k in range(3)]
    expected = [Network(hxsnn.Experiment(mock=True, hardware_weights=True), seed=k).run(x) for k in range(3)]
    for _ in range(2):
        for network, wanted in zip(networks, expected):
            assert_same(network.run(x)[1], wanted[1])
    assert [network.experiment.uploads for network in networks] == [1, 1, 1]
    assert len({network.experiment.name for network in networks}) == 3


def test_two_experiments_of_one_name_take_turns():
    x, networks = spikes(), [Network(emulator(hardware_weights=True, name="shared"), seed=k) for k in range(2)]
    expected = [Network(hxsnn.Experiment(mock=True, hardware_weights=True), seed=k).run(x) for k in range(2)]
    for _ in range(2):
        for network, wanted in zip(networks, expected):
            assert_same(network.run(x)[1], wanted[1])


def test_flags_that_changed_are_seen():
    """What was an LIF without a leak is refused, not run as the neurons that were there before."""
    network = Network(emulator())
    network.run(spikes())
    network.hidden.leaky = False
    for _ in range(2):
        with pytest.raises(NotImplementedError, match=r"LIF 1: backends run LIF neurons .* leaky=False"):
            network.run(spikes())
        network.experiment.modules.clear()
    network.hidden.leaky = True
    hidden, _ = network.run(spikes())
    assert hidden.spikes.any()


@pytest.mark.parametrize("kind", [np.int64, np.int32, np.uint8])
def test_whole_numbers_of_numpy_are_whole_numbers(kind):
    network = Network(emulator(inter_batch_entry_wait=kind(100)))
    hidden, _ = network.run(spikes(), runtime=kind(20))
    assert hidden.spikes.shape[0] == 20 and network.experiment.runtime_in_s == pytest.approx(20e-6)
    assert _hardware._seconds(kind(100)) == _hardware._seconds(100) == pytest.approx(800e-9)
