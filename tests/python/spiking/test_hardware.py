"""Experiments on a backend: the ideal emulator and the analog one."""

import functools

import pytest
import torch
from contract_networks import UNIT, Network, assert_same, emulator, gradients, handle_of, scaled, spikes

import gradspike
import gradspike.spiking as hxsnn
from gradspike import chip, nn
from gradspike.spiking.transforms.weight_transforms import linear_saturating

ANALOG = {"preset": "calibrated", "seed": 3}


def pair(**options):
    """The same network in simulation with the integers of the chip, and on the ideal emulator."""
    simulated = Network(hxsnn.Experiment(mock=True, hardware_weights=True), **options)
    measured = Network(emulator(hardware_weights=True), **options)
    return simulated, measured


# Ideal: the same bits


@pytest.mark.parametrize("readout", [True, False])
@pytest.mark.parametrize("steps, batch", [(20, 2), (1, 1), (57, 5)])
def test_the_ideal_emulator_gives_the_bits_of_the_simulation(readout, steps, batch):
    x = spikes(steps, batch)
    simulated, measured = (network.run(x) for network in pair(readout=readout))
    for ours, theirs in zip(simulated, measured):
        assert_same(ours, theirs)
    assert steps == 1 or simulated[0].spikes.any()


def test_gradients_are_those_of_the_model():
    """Where spikes alone are measured; a measured membrane is that after the reset, at which the surrogate is taken."""
    networks, x = pair(hidden={"enable_cadc_recording": False}), spikes()
    found = []
    for network in networks:
        hidden, readout = network.run(x)
        found.append(gradients(network, hidden.spikes, readout.membrane_cadc))
    for a, b in zip(*found):
        torch.testing.assert_close(a, b)
        assert a.any()


def test_measured_data_takes_the_place_of_the_models_and_gradients_are_those_of_the_operators():
    network, x = Network(emulator(**ANALOG)), spikes(rate=0.4)
    hidden, readout = network.run(x)
    result = network.experiment.result
    (spiked,) = result.spikes.values()
    traces = {trace.shape[-1]: trace for trace in result.membrane.values()}
    assert torch.equal(hidden.spikes, spiked) and spiked.any()
    assert torch.equal(hidden.membrane_cadc, traces[12]) and torch.equal(readout.membrane_cadc, traces[3])
    assert result.target.startswith("emulator analog")
    values = {**UNIT, "tau_mem": 6e-6, "tau_syn": 6e-6, "membrane_capacitance": 6e-6, "refractory_time": 1e-6}
    model_hidden = gradspike.functional.lif(
        x @ network.synapse.weight.t(), **values, measured_spikes=spiked, measured_membrane=traces[12]
    ).spikes
    model_readout = gradspike.functional.li(
        model_hidden @ network.readout_synapse.weight.t(),
        leak=0.0,
        tau_mem=10e-6,
        tau_syn=10e-6,
        membrane_capacitance=10e-6,
        measured_membrane=traces[3],
    ).membrane
    for a, b in zip(gradients(network, readout.membrane_cadc), gradients(network, model_readout)):
        torch.testing.assert_close(a, b)


def test_without_recording_of_the_membrane_it_stays_the_models():
    network, x = Network(emulator(**ANALOG), hidden={"enable_cadc_recording": False}), spikes(rate=0.4)
    hidden, _ = network.run(x)
    assert 12 not in {trace.shape[-1] for trace in network.experiment.result.membrane.values()}
    model = network.hidden.forward_func(
        hxsnn.SynapseHandle(graded_spikes=network.synapse.graded_spikes(x)),
        hw_data=hxsnn.Handle(
            spikes=hidden.spikes, voltage=hxsnn.AnalogObservable(), adaptation=hxsnn.AnalogObservable()
        ),
    )
    assert_same(hidden, model)


def test_without_recording_of_spikes_they_stay_the_models():
    network, x = Network(emulator(**ANALOG), hidden={"enable_spike_recording": False}), spikes(rate=0.4)
    hidden, _ = network.run(x)
    model = (hidden.membrane_cadc.detach() > 1.0).float()
    assert ((hidden.spikes - model) <= 0).all()  # the model's, from the measured membrane; refractory ones are blocked


def test_training_in_the_loop_lowers_the_loss():
    network, x = Network(emulator(**ANALOG)), spikes(batch=6)
    target = torch.rand(6, 3, generator=torch.Generator().manual_seed(5))
    optimizer = torch.optim.Adam(network.parameters(), lr=2e-2)
    losses = []
    for _ in range(25):
        optimizer.zero_grad()
        loss = (network.run(x)[1].membrane_cadc.amax(0) - target).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert sum(losses[-5:]) < 0.5 * sum(losses[:5])
    assert network.experiment.uploads > 10 and network.experiment.trial == 25


# What is uploaded, and what is mapped again


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


# Networks of other shapes


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


# Recurrent networks


def recurrent(experiment, inputs=1, scales=(24.0, 24.0)):
    """The handle of a recurrent population, and its projections."""
    torch.manual_seed(0)
    into = [hxsnn.Synapse(5, 6, experiment, transform=scaled(scales[0])) for _ in range(inputs)]
    back = hxsnn.Synapse(6, 6, experiment, transform=scaled(scales[1]))
    neurons = hxsnn.LIF(6, experiment, **UNIT, tau_mem=6e-6, membrane_capacitance=6e-6, refractory_time=2e-6)
    for synapse in into:
        torch.nn.init.normal_(synapse.weight, 1.5, 1)
    torch.nn.init.normal_(back.weight, 0, 1)
    wrapper = hxsnn.HXModuleWrapper(
        experiment, **{f"into{k}": s for k, s in enumerate(into)}, back=back, neurons=neurons
    )

    def run(*given):
        promised = hxsnn.LIFObservables()
        neurons(*(s(handle_of(g)) for s, g in zip(into, given)), back(promised), output=promised)
        wrapper()
        hxsnn.run(experiment, given[0].shape[0])
        return promised

    return run, into, back, neurons


@pytest.mark.parametrize("integers", [False, True])
def test_a_recurrent_wrapper_is_the_recurrent_layer(integers):
    x = spikes(30)
    run, into, back, _ = recurrent(hxsnn.Experiment(mock=True, hardware_weights=integers), scales=(24.0, 16.0))
    handle = run(x)
    layer = nn.RecurrentLIF(
        5,
        6,
        input_scale=24.0,
        recurrent_scale=16.0,
        rounding="half_even" if integers else "none",
        **UNIT,
        tau_mem=6e-6,
        tau_syn=10e-6,
        membrane_capacitance=6e-6,
        refractory_time=2e-6,
    )
    layer.input_weight, layer.recurrent_weight = into[0].weight, back.weight
    assert torch.equal(handle.spikes, layer(x)) and handle.spikes.any()
    ramp = torch.linspace(-1, 1, handle.spikes.numel()).reshape(handle.spikes.shape)
    found = [torch.autograd.grad((s * ramp).sum(), (into[0].weight, back.weight)) for s in (handle.spikes, layer(x))]
    for a, b in zip(*found):
        assert torch.equal(a, b)


@pytest.mark.parametrize("inputs", [1, 2])
def test_a_recurrent_wrapper_on_a_backend(inputs):
    given, results, found = [spikes(30, seed=k) for k in range(inputs)], [], []
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        run, into, back, neurons = recurrent(experiment, inputs)
        for _ in range(2):
            handle = run(*given)
        results.append(handle)
        neurons.enable_cadc_recording = False  # the membrane after the reset has another surrogate
        handle = run(*given)
        loss = handle.membrane_cadc.sum() + handle.spikes.sum()
        found.append(torch.autograd.grad(loss, [into[0].weight, back.weight]))
    assert_same(*results)
    assert results[0].spikes.any() and experiment.uploads == 1
    for a, b in zip(*found):
        torch.testing.assert_close(a, b)
    for synapse in (*into, back):  # an upload follows each change
        synapse.weight.data.mul_(-1)
        run(*given)
        held = experiment.last_run_chip_configs.values()
        flipped = torch.cat([s.hardware_weight() for s in into], dim=1).short()
        assert any(torch.equal(t, flipped) for t in held)
        assert any(torch.equal(t, back.hardware_weight().short()) for t in held)


def test_a_recurrent_wrapper_in_a_larger_network():
    results, x = [], spikes(30)
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        torch.manual_seed(0)
        into, back, out = (hxsnn.Synapse(i, o, experiment, transform=scaled()) for i, o in ((5, 6), (6, 6), (6, 3)))
        neurons, readout = hxsnn.LIF(6, experiment, **UNIT), hxsnn.LI(3, experiment, leak=0.0)
        torch.nn.init.normal_(into.weight, 2, 1)
        wrapper = hxsnn.HXModuleWrapper(experiment, into=into, back=back, neurons=neurons)
        promised = hxsnn.LIFObservables()
        neurons(into(handle_of(x)), back(promised), output=promised)
        wrapper()
        handle = readout(out(promised))
        hxsnn.run(experiment, 30)
        results.append(handle)
    assert_same(*results)


# Readings of the converters


def mixed_network(experiment, **options):
    """A potential of 1 in the model is 70 LSB on the chip, rest is 80 LSB."""
    torch.manual_seed(0)
    synapse = hxsnn.Synapse(5, 4, experiment, transform=scaled(), hardware_weights=True)
    neurons = hxsnn.LIF(
        4,
        experiment,
        leak=hxsnn.MixedHXModelParameter(0.0, 80),
        reset=hxsnn.MixedHXModelParameter(0.0, 80),
        threshold=hxsnn.MixedHXModelParameter(1.0, 150),
        **options,
    )
    torch.nn.init.normal_(synapse.weight, 2, 1)
    handle = neurons(synapse(handle_of(spikes(20))))
    hxsnn.run(experiment, 20)
    return handle


def test_readings_become_model_units_by_offset_and_scale():
    plain = mixed_network(hxsnn.Experiment(mock=True)).membrane_cadc
    raw = mixed_network(emulator()).membrane_cadc
    torch.testing.assert_close(raw, plain * 70 + 80)
    scaled_back = mixed_network(emulator(), trace_offset=80.0, trace_scale=1 / 70).membrane_cadc
    torch.testing.assert_close(scaled_back, plain, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    "offset, scale",
    [
        (torch.tensor([80.0, 81.0, 82.0, 83.0]), torch.tensor([1.0, 2.0, 3.0, 4.0])),
        ({n: 80.0 + n for n in range(4)}, {n: 1.0 + n for n in range(4)}),
    ],
)
def test_offset_and_scale_by_neuron(offset, scale):
    plain = mixed_network(hxsnn.Experiment(mock=True)).membrane_cadc
    measured = mixed_network(emulator(), trace_offset=offset, trace_scale=scale).membrane_cadc
    step = torch.arange(4.0)
    torch.testing.assert_close(measured, (plain * 70 - step) * (step + 1), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("shift", [1, 5, -3, 0, 100])
def test_readings_are_shifted_in_time(shift):
    """Positive: earlier; the edge value fills what is missing."""
    raw = mixed_network(emulator()).membrane_cadc.detach()
    shifted = mixed_network(emulator(), cadc_time_shift=shift).membrane_cadc
    for t in range(20):
        assert torch.equal(shifted[t], raw[min(max(t + shift, 0), 19)])


def test_the_first_reading_may_be_subtracted_in_the_place_of_the_offset():
    raw = mixed_network(emulator()).membrane_cadc
    shifted = mixed_network(emulator(), shift_cadc_to_first=True, trace_offset=1e3).membrane_cadc
    torch.testing.assert_close(shifted, raw - raw[:1])


def test_post_process_gives_a_bundle():
    network = Network(emulator())
    network.run(spikes())
    bundle = network.hidden.post_process(network.hidden.hw_observables, 20e-6)
    assert bundle.spikes.shape == (20, 2, 12) and bundle.voltage.cadc.shape == (20, 2, 12)
    assert bundle.voltage.madc is None and bundle.adaptation.cadc is None


def test_the_fast_converter_records_one_neuron():
    network = Network(emulator(**ANALOG), hidden={"enable_madc_recording": True, "record_neuron_id": 2})
    hidden, _ = network.run(spikes())
    raw = hidden.membrane_madc
    assert raw.dim() == 3 and raw.shape[0] == 2 and raw.shape[2] == 2 and raw.shape[1] > 20
    times, values = raw
    assert (times.diff(dim=0) > 0).all() and times.min() >= 0 and times.max() < 30e-6
    assert values.unique().numel() > 1 and values.min() >= 0


def test_the_fast_converter_needs_a_neuron_and_records_one_population():
    network = Network(emulator(**ANALOG), hidden={"enable_madc_recording": True})
    with pytest.raises(ValueError, match="LIF 1: enable_madc_recording needs record_neuron_id"):
        network.run(spikes())
    network.experiment.modules.clear()
    network.hidden.record_neuron_id = network.readout.record_neuron_id = 0
    network.readout.enable_madc_recording = True
    with pytest.raises(ValueError, match="the fast converter records one population in a run, asked for 'lif"):
        network.run(spikes())


# Places


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


# Errors


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


# Backends


def test_one_warning_where_no_backend_is_named(monkeypatch):
    monkeypatch.delenv("GRADSPIKE_BACKEND", raising=False)
    network = Network(hxsnn.Experiment(name="unnamed"))
    with pytest.warns(UserWarning, match=r"unnamed: no backend is named, the network runs on the emulator \(ideal\)"):
        network.run(spikes())
    network.run(spikes())  # warnings are errors here: no second one


def test_the_environment_names_a_backend(monkeypatch):
    monkeypatch.setenv("GRADSPIKE_BACKEND", "emulator")
    network = Network(hxsnn.Experiment())
    network.run(spikes())
    assert network.experiment.result.target == "emulator ideal"
    monkeypatch.setenv("GRADSPIKE_BACKEND", "nowhere")
    with pytest.raises(RuntimeError, match="nowhere"):
        Network(hxsnn.Experiment()).run(spikes())
    Network(emulator()).run(spikes())  # the argument goes first


def test_an_unknown_backend_is_an_error():
    with pytest.raises(RuntimeError, match="nowhere"):
        Network(emulator(backend="nowhere")).run(spikes())


def test_a_failed_run_can_be_repeated():
    """The calls are still there, and the next run succeeds."""
    network, x = Network(emulator(backend="nowhere")), spikes()
    _, readout = network(x)
    with pytest.raises(RuntimeError):
        hxsnn.run(network.experiment, 20)
    network.experiment.backend = "emulator"
    hxsnn.run(network.experiment, 20)
    assert readout.holds("membrane_cadc")


def test_seed_preset_and_constants_reach_the_backend():
    network = Network(emulator(**ANALOG, constants={"threshold_offset": 0.25}))
    network.run(spikes())
    result = network.experiment.result
    assert result.target == "emulator analog preset=calibrated seed=3 threshold_offset=0.25"
    assert result.constants["threshold_offset"] == 0.25


def test_trials_differ():
    network, x = Network(emulator(**ANALOG)), spikes(rate=0.4)
    first, second = (network.run(x)[1].membrane_cadc for _ in range(2))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("wait", [0, None, 5e-6])
def test_wait_between_batch_entries(wait):
    network = Network(emulator(**ANALOG, inter_batch_entry_wait=wait))
    network.run(spikes())
    assert network.experiment.result.timing["chip"] > 0


@pytest.mark.parametrize("given", ["calib.pbin", object(), None])
def test_a_calibration_is_accepted(given):
    experiment = emulator()
    experiment.calibration = given
    experiment.default_execution_instance.load_calib("other.pbin")
    Network(experiment).run(spikes())


def test_a_subclass_with_float_weights_on_a_backend_is_close_to_the_simulation():
    """Float weights in the model, integers on the chip: spikes are measured, the rest is the model's."""
    network, x = Network(emulator()), spikes()
    hidden, _ = network.run(x)
    torch.testing.assert_close(hidden.current, Network(hxsnn.Experiment(mock=True)).run(x)[0].current)


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


def test_sparse_projections_in_a_recurrent_wrapper():
    results, x = [], spikes(30)
    generator = torch.Generator().manual_seed(1)
    into_mask, back_mask = (torch.rand(n, 6, generator=generator) < 0.5 for n in (5, 6))
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        torch.manual_seed(0)
        into = hxsnn.SparseSynapse(into_mask, experiment, transform=scaled())
        back = hxsnn.SparseSynapse(back_mask, experiment, transform=scaled())
        neurons = hxsnn.LIF(6, experiment, **UNIT)
        for synapse in (into, back):  # also where no connection exists
            torch.nn.init.normal_(synapse.weight, 2, 1)
        wrapper = hxsnn.HXModuleWrapper(experiment, into=into, back=back, neurons=neurons)
        promised = hxsnn.LIFObservables()
        neurons(into(handle_of(x)), back(promised), output=promised)
        wrapper()
        hxsnn.run(experiment, 30)
        results.append(promised)
    assert_same(*results)
    assert results[0].spikes.any()
    held = sorted(experiment.last_run_chip_configs.values(), key=lambda t: t.shape[1])
    assert torch.equal(held[0] != 0, into_mask.t() & (held[0] != 0)) and not held[1][~back_mask.t()].any()


def test_an_input_projection_of_a_wrapper_takes_one_handle():
    experiment = hxsnn.Experiment(mock=True)
    run, into, _back, _neurons = recurrent(experiment)
    first, second = hxsnn.LIF(5, experiment), hxsnn.LIF(5, experiment)
    graded = hxsnn.SynapseHandle(graded_spikes=torch.zeros(20, 2, 5))
    into[0](first(graded))
    into[0](second(graded))
    with pytest.raises(ValueError, match="each of its 1 input projections takes one handle, got"):
        run(spikes())


# Transforms of the user


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
        _, run = with_transform(experiment, lambda weight: weight * 100.0, weight_scale=50.0)
        results.append(run())
    assert_same(*results)
    assert experiment.last_run_chip_configs["in"].abs().max() == 63


def test_fractional_bounds_of_the_linear_transform():
    transform = functools.partial(linear_saturating, scale=30.0, min_weight=-20.6, max_weight=40.5)
    results = []
    for experiment in (hxsnn.Experiment(mock=True, hardware_weights=True), emulator(hardware_weights=True)):
        synapse, run = with_transform(experiment, transform)
        results.append(run())
    assert_same(*results)
    held = experiment.last_run_chip_configs["in"]
    assert torch.equal(held.int(), synapse.hardware_weight()) and held.min() >= -21 and held.max() == 40


# Host code behind the network


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
