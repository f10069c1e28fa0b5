"""Experiments on a backend: readings of the converters."""

import pytest
import torch
from contract_networks import ANALOG, Network, emulator, handle_of, scaled, spikes

import gradspike.spiking as hxsnn
from gradspike.spiking import _readout
from gradspike.spiking.coordinates import AtomicNeuronOnDLS, LogicalNeuronOnDLS
from gradspike.spiking.morphology import SingleCompartmentNeuron


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
        ({n: 80.0 + n for n in (2, 0, 3, 1)}, {AtomicNeuronOnDLS(n): 1.0 + n for n in (3, 2, 1, 0)}),
    ],
)
def test_offset_and_scale_by_neuron(offset, scale):
    plain = mixed_network(hxsnn.Experiment(mock=True)).membrane_cadc
    measured = mixed_network(emulator(), trace_offset=offset, trace_scale=scale).membrane_cadc
    step = torch.arange(4.0)
    torch.testing.assert_close(measured, (plain * 70 - step) * (step + 1), rtol=1e-5, atol=1e-4)


def test_entries_by_place_follow_the_placement():
    places = [AtomicNeuronOnDLS(n) for n in (7, 3, 5, 4)]
    one = SingleCompartmentNeuron(1).compartments
    plain = mixed_network(hxsnn.Experiment(mock=True)).membrane_cadc
    for key in (int, AtomicNeuronOnDLS, lambda n: LogicalNeuronOnDLS(one, AtomicNeuronOnDLS(n))):
        offset = {key(n): 80.0 + [7, 3, 5, 4].index(n) for n in (3, 4, 5, 7)}
        measured = mixed_network(emulator(), trace_offset=offset, placement_constraint=places).membrane_cadc
        torch.testing.assert_close(measured, plain * 70 - torch.arange(4.0), rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("entries", [{0: 5.0}, {n: 1.0 for n in range(5)}, {0: 1.0, 1: 1.0, 2: 1.0, "three": 1.0}, {}])
@pytest.mark.parametrize("argument", ["trace_offset", "trace_scale"])
def test_a_dictionary_has_one_entry_for_each_neuron(argument, entries):
    text = rf"LIF 1: {argument} must have one entry for each of the 4 neurons, .*, got {len(entries)} with the keys"
    with pytest.raises(ValueError, match=text):
        mixed_network(emulator(), **{argument: entries})


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


def test_readings_of_an_integrator_take_the_gain_of_the_firing_neurons():
    results = []
    for experiment, options in (
        (hxsnn.Experiment(mock=True), {}),
        (emulator(), {"trace_offset": 80.0, "trace_scale": 1 / 70}),
    ):
        torch.manual_seed(0)
        into, out = (
            hxsnn.Synapse(i, o, experiment, transform=scaled(), hardware_weights=True) for i, o in ((5, 6), (6, 3))
        )
        torch.nn.init.normal_(into.weight, 2, 1)
        rest = hxsnn.MixedHXModelParameter(0.0, 80)
        hidden = hxsnn.LIF(6, experiment, rest, rest, hxsnn.MixedHXModelParameter(1.0, 150), **options)
        readout = hxsnn.LI(3, experiment, hxsnn.MixedHXModelParameter(0.0, 80), **options)
        results.append(readout(out(hidden(into(handle_of(spikes()))))))
        hxsnn.run(experiment, 20)
    torch.testing.assert_close(results[1].membrane_cadc, results[0].membrane_cadc, rtol=1e-4, atol=1e-5)
    assert results[0].membrane_cadc.any()


def test_an_integrator_between_firing_neurons_of_different_gain_warns_once():
    experiment = emulator()
    rest = hxsnn.MixedHXModelParameter(0.0, 80)
    into = [hxsnn.Synapse(5, 3, experiment, transform=scaled()) for _ in range(2)]
    hidden = [hxsnn.LIF(3, experiment, rest, rest, hxsnn.MixedHXModelParameter(1.0, top)) for top in (150, 120)]
    out, readout = hxsnn.Synapse(3, 2, experiment, transform=scaled()), hxsnn.LI(2, experiment, rest)

    def run():
        first, _ = (neurons(synapse(handle_of(spikes()))) for neurons, synapse in zip(hidden, into))
        readout(out(first))
        hxsnn.run(experiment, 20)

    with pytest.warns(UserWarning, match=r"LI \d: the firing neurons of the experiment have different gains") as caught:
        run()
        run()
    assert len(caught) == 1
    hidden[1].threshold = hidden[0].threshold
    assert _readout.lsb_per_unit(readout) == 70.0
