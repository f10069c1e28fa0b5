"""Experiments on a backend: measured data, gradients, and the bits of the simulation on the ideal emulator."""

import pytest
import torch
from contract_networks import ANALOG, UNIT, Network, assert_same, emulator, gradients, pair, spikes

import gradspike
import gradspike.spiking as hxsnn


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
