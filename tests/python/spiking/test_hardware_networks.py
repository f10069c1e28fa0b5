"""Experiments on a backend: networks of many shapes, and host code behind them."""

import pytest
import torch
from contract_networks import ANALOG, UNIT, Network, assert_same, emulator, gradients, handle_of, scaled, spikes

import gradspike
import gradspike.spiking as hxsnn


def test_several_inputs():
    results, x, y = [], spikes(seed=1), spikes(size=7, seed=2)
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        torch.manual_seed(0)
        a, b = hxsnn.Synapse(5, 4, experiment, transform=scaled()), hxsnn.Synapse(7, 4, experiment, transform=scaled())
        neurons = hxsnn.LIF(4, experiment, **UNIT)
        for synapse in (a, b):
            torch.nn.init.normal_(synapse.weight, 1, 1)
        handle = neurons(a(handle_of(x)), b(handle_of(y)))
        hxsnn.run(experiment, 20)
        results.append(handle)
    assert_same(*results)
    assert results[0].spikes.any()


def test_inputs_of_other_lengths_are_brought_to_the_runtime():
    experiment = emulator()
    a, b, neurons = hxsnn.Synapse(5, 4, experiment), hxsnn.Synapse(7, 4, experiment), hxsnn.LIF(4, experiment, **UNIT)
    neurons(a(handle_of(spikes(20))), b(handle_of(spikes(20, size=7))))
    hxsnn.run(experiment, 25)
    assert experiment.result.spikes[next(iter(experiment.result.spikes))].shape == (25, 2, 4)


def test_two_outputs_and_a_skip_connection():
    results, x = [], spikes()
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        network = Network(experiment)
        skip, other = hxsnn.Synapse(5, 3, experiment, transform=scaled()), hxsnn.LIF(3, experiment, **UNIT)
        again = hxsnn.Synapse(12, 3, experiment, transform=scaled())
        torch.nn.init.normal_(skip.weight, 1, 1)
        torch.nn.init.normal_(again.weight, 1, 1)
        given = handle_of(x)
        hidden = network.hidden(network.synapse(given))
        first = network.readout(network.readout_synapse(hidden), skip(given))
        second = other(again(hidden))
        hxsnn.run(experiment, 20)
        results.append((hidden, first, second))
    for ours, theirs in zip(*results):
        assert_same(ours, theirs)
    assert results[0][2].spikes.any()


def test_an_adaptive_population_is_refused_by_name():
    """Neither backends nor files have adaptation or the exponential yet."""
    experiment = emulator()
    hxsnn.AELIF(4, experiment, **UNIT)(hxsnn.Synapse(5, 4, experiment)(handle_of(spikes())))
    with pytest.raises(NotImplementedError, match=r"AELIF 1: backends run LIF neurons .* exponential=True"):
        hxsnn.run(experiment, 20)


@pytest.mark.parametrize("fire", [True, False])
def test_an_adaptive_population_without_its_terms_is_one_of_the_others(fire):
    results = []
    off = {"exponential": False, "subthreshold_adaptation": False, "spike_triggered_adaptation": False}
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        torch.manual_seed(0)
        synapse = hxsnn.Synapse(5, 4, experiment, transform=scaled())
        neurons = hxsnn.AELIF(4, experiment, **UNIT, **off, fire=fire, refractory_time=2e-6 if fire else 0.0)
        torch.nn.init.normal_(synapse.weight, 2, 1)
        handle = neurons(synapse(handle_of(spikes())))
        hxsnn.run(experiment, 20)
        results.append(handle)
    assert_same(*results)
    assert not fire or results[0].spikes.any()


@pytest.mark.parametrize("kind", [hxsnn.NeuronExp, hxsnn.ReadoutNeuronExp])
def test_deprecated_neurons(kind):
    results, x = [], spikes(40)
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        torch.manual_seed(0)
        synapse = hxsnn.Synapse(5, 4, experiment, transform=scaled())
        torch.nn.init.normal_(synapse.weight, 3, 1)
        with pytest.warns(DeprecationWarning):
            neurons = kind(4, experiment, **UNIT)
        handle = neurons(synapse(handle_of(x)))
        hxsnn.run(experiment, 40)
        results.append(handle)
    torch.testing.assert_close(results[0].membrane_cadc, results[1].membrane_cadc)
    if kind is hxsnn.NeuronExp:
        assert torch.equal(results[0].spikes, results[1].spikes) and results[0].spikes.any()


def test_event_prop():
    """On a chip the neurons are those of the chip; what was measured decides the gradient."""
    experiment, x = emulator(), spikes()
    synapse, neurons = (
        hxsnn.EventPropSynapse(5, 4, experiment, transform=scaled()),
        hxsnn.EventPropLIF(4, experiment, **UNIT),
    )
    torch.nn.init.normal_(synapse.weight, 2, 1)
    handle = neurons(synapse(handle_of(x)))
    hxsnn.run(experiment, 20)
    (measured,) = experiment.result.spikes.values()
    assert torch.equal(handle.spikes, measured) and measured.any() and handle.current is None
    (gradient,) = gradients(synapse, handle.spikes)
    assert gradient.isfinite().all() and gradient.any()
    plain = gradspike.functional.lif(
        gradspike.functional.graded_spikes(x, synapse.weight, 24.0),
        **UNIT,
        tau_mem=10e-6,
        tau_syn=10e-6,
        membrane_capacitance=10e-6,
        refractory_time=1e-6,
    )
    assert torch.equal(plain.spikes, measured)


def test_a_sparse_projection():
    results, x = [], spikes(size=20)
    connections = (torch.rand(20, 6, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        torch.manual_seed(0)
        synapse = hxsnn.SparseSynapse(connections, experiment, transform=scaled())
        torch.nn.init.normal_(synapse.weight, 2, 1)
        synapse.weight.data *= synapse.mask
        handle = hxsnn.LIF(6, experiment, **UNIT)(synapse(handle_of(x)))
        hxsnn.run(experiment, 20)
        results.append(handle)
    assert_same(*results)
    assert results[0].spikes.any()


@pytest.mark.parametrize("receptor", ["excitatory", "inhibitory"])
def test_a_receptor_takes_half_of_the_synapses(receptor):
    counts = {}
    for kind in (None, receptor):
        experiment = emulator(hardware_weights=True)
        synapse = hxsnn.Synapse(5, 4, experiment, receptor=kind, transform=scaled())
        neurons = hxsnn.LIF(4, experiment, **UNIT, leak_adaptation=None)
        torch.nn.init.normal_(synapse.weight, 0, 2)
        handle = neurons(synapse(handle_of(spikes())))
        hxsnn.run(experiment, 20)
        counts[kind] = len(experiment.mapping.data["synapses"])
        assert torch.equal(handle.current, _current(synapse))
    assert counts[receptor] * 2 == counts[None]


def _current(synapse):
    neurons = hxsnn.LIF(4, hxsnn.Experiment(mock=True), **UNIT)
    return neurons.forward_func(hxsnn.SynapseHandle(graded_spikes=synapse.graded_spikes(spikes()))).current


def test_larger_than_a_chip():
    """600 neurons and 300 signed inputs need several execution instances."""
    results, x = [], spikes(12, 1, 300, rate=0.1)
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        network = Network(experiment, sizes=(300, 600, 10))
        torch.nn.init.normal_(network.synapse.weight, 0.05, 0.3)
        results.append(network.run(x))
    for ours, theirs in zip(*results):
        assert_same(ours, theirs)
    assert len(experiment.mapping.instances) > 1 and results[0][0].spikes.any()


def test_a_readout_that_host_code_reads_is_measured_beside_others():
    class Decoder(hxsnn.HXModule):
        def forward_func(self, input):
            return hxsnn.TensorHandle(tensor=input.membrane_cadc.amax(0))

    experiment, x = emulator(**ANALOG), spikes()
    network, decoder = Network(experiment), Decoder(experiment)
    other_synapse, other = hxsnn.Synapse(12, 7, experiment), hxsnn.LI(7, experiment, leak=0.0)
    hidden = network.hidden(network.synapse(handle_of(x)))
    read = network.readout(network.readout_synapse(hidden))
    scores, unread = decoder(read), other(other_synapse(hidden))
    hxsnn.run(experiment, 20)
    traces = {trace.shape[-1]: trace for trace in experiment.result.membrane.values()}
    assert torch.equal(read.membrane_cadc, traces[3]) and torch.equal(unread.membrane_cadc, traces[7])
    assert torch.equal(scores.tensor, traces[3].amax(0))


def test_a_partitioned_layer_that_is_called_for_each_part():
    results, x = [], spikes(size=6)
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        torch.manual_seed(0)
        parts = [hxsnn.Synapse(2, 4, experiment, transform=scaled()) for _ in range(3)]
        hidden = [hxsnn.LIF(4, experiment, **UNIT) for _ in parts]
        onward = [hxsnn.Synapse(4, 3, experiment, transform=scaled()) for _ in parts]
        for synapse in (*parts, *onward):
            torch.nn.init.normal_(synapse.weight, 2, 1)
        outer = hxsnn.LI(3, experiment, leak=0.0)
        for k in range(3):
            part = x[..., 2 * k : 2 * k + 2]
            handle = outer(onward[k](hidden[k](parts[k](handle_of(part)))))
        hxsnn.run(experiment, 20)
        results.append(handle)
    assert_same(*results)
    assert results[0].membrane_cadc.any()


def test_populations_of_one():
    network = Network(emulator(hardware_weights=True), sizes=(1, 1, 1))
    hidden, _ = network.run(spikes(5, 3, 1))
    assert hidden.spikes.shape == (5, 3, 1)
