"""Transforms of the user: one integer in connections, simulation and on the chip."""

import functools
import warnings

import pytest
import torch
from contract_networks import UNIT, assert_same, emulator, handle_of, scaled, spikes

import gradspike
import gradspike.spiking as hxsnn
from gradspike.spiking.transforms.weight_transforms import linear_saturating


def steep(weight, scale=16.0):
    return (weight * weight.abs() * scale).clamp(-63, 63)


def with_transform(experiment, transform, **options):
    torch.manual_seed(0)
    synapse = hxsnn.Synapse(5, 4, experiment, transform=transform, name="in", **options)
    torch.nn.init.normal_(synapse.weight, 1, 1)
    neurons = hxsnn.LIF(4, experiment, **UNIT)

    def run():
        handle = neurons(synapse(handle_of(spikes())))
        hxsnn.run(experiment, 20)
        return handle

    return synapse, run


def test_keywords_of_a_transform_of_the_user_are_read_again():
    transform = functools.partial(steep, scale=16.0)
    experiment = emulator()
    synapse, run = with_transform(experiment, transform)
    mapped = []
    experiment.post_mapping_hook = mapped.append
    for k, scale in enumerate((16.0, 16.0, 5.0, 30.0)):
        transform.keywords["scale"] = scale
        assert synapse.changed_input_data == (k != 1)
        run()
        expected = steep(synapse.weight.detach(), scale).round().short()
        assert torch.equal(experiment.last_run_chip_configs["in"], expected)
        assert torch.equal(synapse.hardware_weight().short(), expected)
    assert experiment.uploads == 3 and len(mapped) == 1


def test_a_transform_that_changes_without_notice_is_noticed():
    state = {"scale": 10.0}
    experiment = emulator()
    synapse, run = with_transform(experiment, lambda weight: steep(weight, state["scale"]))
    run()
    state["scale"] = 20.0
    assert synapse.changed_input_data
    run()
    expected = steep(synapse.weight.detach(), 20.0).round().short()
    assert torch.equal(experiment.last_run_chip_configs["in"], expected)


@pytest.mark.parametrize("scale", [3.0, 7.7, 16.0])
def test_halves_of_a_transform_of_the_user_are_one_integer_everywhere(scale):
    """Outputs that lie on n + 1/2: connections, simulation and chip agree, whatever the scale is."""
    halves = (torch.arange(20.0).reshape(4, 5) - 10) + 0.5
    results = []
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        synapse, run = with_transform(experiment, lambda weight: weight * 0 + halves, weight_scale=scale)
        results.append(run())
        assert torch.equal(synapse.hardware_weight().float(), torch.round(halves))
    assert_same(*results)
    assert torch.equal(experiment.last_run_chip_configs["in"].float(), torch.round(halves))
    assert torch.equal(results[0].current[0], (spikes()[0] @ torch.round(halves).t()) * (1 / torch.tensor(scale)))


def test_a_transform_beyond_the_range_of_a_synapse_is_clipped_in_simulation_as_on_the_chip():
    results = []
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        synapse, run = with_transform(experiment, lambda weight: weight * 100.0, weight_scale=50.0)
        if experiment.mock:
            results.append(run())
            continue
        beyond = int((synapse.weight.detach() * 100).round().abs().gt(63).sum())
        with pytest.warns(UserWarning, match=rf"Synapse 'in': weight_transform gives {beyond} weights beyond -63") as w:
            results.append(run())
        assert len(w) == 1 and beyond
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # once, not at each upload
            synapse.weight.data.mul_(1.1)
            run()
            synapse.weight.data.div_(1.1)
            run()
    assert_same(*results)
    held = experiment.last_run_chip_configs["in"]
    assert held.abs().max() == 63 and torch.equal(held.int(), synapse.hardware_weight())
    unclipped = (synapse.weight.detach() * 100).round().int()
    assert torch.equal(synapse.connection_array()[:, 2].reshape(4, 5), unclipped)
    assert [c.weight for c in synapse.get_connections()] == unclipped.flatten().tolist()


def test_a_file_with_clipped_weights_warns(tmp_path):
    experiment = hxsnn.Experiment(mock=True)
    synapse, run = with_transform(experiment, lambda weight: weight * 0 + 100.0, weight_scale=50.0)
    run()
    with pytest.warns(UserWarning, match="Synapse 'in': weight_transform gives 20 weights beyond -63..63 LSB") as w:
        network = hxsnn.save(experiment, tmp_path / "network.pt")
    assert len(w) == 1
    assert torch.equal(network.integers()["in"].int(), synapse.hardware_weight())


@pytest.mark.parametrize("receptor", [None, "excitatory", "inhibitory"])
@pytest.mark.parametrize("transform", [scaled(20.0), lambda weight: weight * 30.0])
def test_the_integers_of_a_receptor_are_those_of_the_chip(transform, receptor):
    synapse, run = with_transform(emulator(), transform, receptor=receptor)
    synapse.weight.data.clamp_(-2, 2)
    run()
    held = synapse.experiment.last_run_chip_configs["in"]
    assert torch.equal(held.int(), synapse.hardware_weight()) and held.any()


def test_the_integers_of_a_sparse_projection_are_those_of_the_chip():
    experiment = emulator()
    synapse = hxsnn.SparseSynapse(torch.eye(4), experiment, transform=lambda weight: weight + 100.0, name="in")
    with pytest.warns(UserWarning, match="gives 4 weights beyond"):
        hxsnn.LIF(4, experiment, **UNIT)(synapse(handle_of(spikes(size=4))))
        hxsnn.run(experiment, 20)
    assert torch.equal(synapse.hardware_weight(), 63 * torch.eye(4, dtype=torch.int32))
    assert torch.equal(experiment.last_run_chip_configs["in"].int(), synapse.hardware_weight())


@pytest.mark.filterwarnings("ignore:.*beyond -63")
def test_what_is_clipped_is_no_change():
    state = {"value": 70.0}
    synapse, run = with_transform(emulator(), lambda weight: weight * 0 + state["value"])
    run()
    state["value"] = 80.0
    assert not synapse.changed_input_data
    run()
    assert synapse.experiment.uploads == 1
    state["value"] = 60.0
    assert synapse.changed_input_data
    run()
    assert synapse.experiment.uploads == 2


def test_fractional_bounds_of_the_linear_transform():
    transform = functools.partial(linear_saturating, scale=30.0, min_weight=-20.6, max_weight=40.5)
    results = []
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        synapse, run = with_transform(experiment, transform)
        results.append(run())
    assert_same(*results)
    held = experiment.last_run_chip_configs["in"]
    assert torch.equal(held.int(), synapse.hardware_weight()) and held.min() >= -21 and held.max() == 40


def test_a_transform_of_ones_own_is_what_the_chip_holds():
    def cubic(weight):
        return (weight**3 * 8).clamp(-63, 63)

    experiment, x = emulator(), spikes()
    synapse = hxsnn.Synapse(5, 4, experiment, transform=cubic, weight_scale=16.0, hardware_weights=True, name="in")
    torch.nn.init.normal_(synapse.weight, 1, 1)
    handle = hxsnn.LIF(4, experiment, **UNIT)(synapse(handle_of(x)))
    hxsnn.run(experiment, 20)
    integers = cubic(synapse.weight.detach()).round()
    assert torch.equal(experiment.last_run_chip_configs["in"].float(), integers)
    (measured,) = experiment.result.spikes.values()
    expected = gradspike.functional.lif(
        (x @ integers.t()) / 16.0,
        **UNIT,
        tau_mem=10e-6,
        tau_syn=10e-6,
        membrane_capacitance=10e-6,
        refractory_time=1e-6,
    ).spikes
    assert torch.equal(handle.spikes, measured) and torch.equal(measured, expected) and measured.any()


def test_wider_bounds_of_the_transform_are_stacked_synapses():
    results, x = [], spikes()
    wide = functools.partial(linear_saturating, scale=40.0, min_weight=-126.0, max_weight=126.0)
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        torch.manual_seed(0)
        synapse = hxsnn.Synapse(5, 4, experiment, transform=wide)
        torch.nn.init.normal_(synapse.weight, 1, 2)
        handle = hxsnn.LIF(4, experiment, **UNIT)(synapse(handle_of(x)))
        hxsnn.run(experiment, 20)
        results.append(handle)
    assert_same(*results)
    assert next(iter(experiment.last_run_chip_configs.values())).abs().max() > 63
