"""A20: ranges and scales against the emulator."""

import pytest
import torch

import gradspike.spiking as hxsnn
from gradspike.spiking import MixedHXModelParameter as Mixed
from gradspike.spiking.utils import get_dynamic_range, get_trace_scaling, get_weight_scaling

PARAMETERS = {
    "leak": Mixed(0.0, 80),
    "reset": Mixed(0.0, 80),
    "threshold": Mixed(1.0, 150),
    "tau_mem": 6e-6,
    "tau_syn": 6e-6,
    "membrane_capacitance": 6e-6,
}


@pytest.mark.parametrize("preset", ["ideal", "noiseless", "calibrated"])
def test_a20_trace_scaling_is_model_units_per_reading(preset):
    """150 - 80 = 70 readings for one model unit."""
    assert get_trace_scaling(PARAMETERS, preset=preset) == pytest.approx(1 / 70, rel=0.04)


@pytest.mark.parametrize("circuits", [2, 4])
def test_a20_neurons_of_several_circuits_fill_one_chip(circuits):
    structure = hxsnn.morphology.SingleCompartmentNeuron(circuits)
    baseline, upper, _ = get_dynamic_range(PARAMETERS, neuron_structure=structure)
    assert baseline.shape == upper.shape == (512 // circuits,)
    assert get_trace_scaling(PARAMETERS, neuron_structure=structure) == pytest.approx(1 / 70, rel=0.04)


def test_a20_trace_scaling_has_the_distance_from_leak_to_threshold_as_its_numerator():
    shifted = {**PARAMETERS, "leak": Mixed(0.5, 80), "reset": Mixed(0.5, 80)}
    assert get_trace_scaling(shifted) == pytest.approx(0.5 / 70, rel=0.04)


def test_a20_weight_scaling_makes_up_for_the_gain_of_the_chip():
    assert get_weight_scaling(PARAMETERS, weight_step=10, backend="emulator") == 64.0
    assert get_weight_scaling(PARAMETERS, backend="emulator", nominal_scale=32.0) == 32.0
    measured = get_weight_scaling(PARAMETERS, backend="emulator", preset="calibrated", seed=1)
    assert measured != 64.0 and measured == pytest.approx(64.0, rel=0.1)


def test_a20_dynamic_range_encloses_rest_and_threshold():
    baseline, upper, lower = get_dynamic_range(PARAMETERS)
    assert baseline.shape == upper.shape == lower.shape == (512,)
    assert baseline.mean() == pytest.approx(80, abs=3) and upper.min() > 150 and lower.max() < 80


def test_a20_scaled_traces_are_model_units_again():
    """The measured scale in the neurons: the trace of the backend is that of the simulation."""
    scale = get_trace_scaling(PARAMETERS)
    traces = []
    for mock in (True, False):
        experiment = hxsnn.Experiment(mock=mock, backend="emulator")
        synapse = hxsnn.Synapse(1, 2, experiment, hardware_weights=True)
        with torch.no_grad():
            synapse.weight.fill_(1.0)
        readout = hxsnn.LI(2, experiment, **PARAMETERS, trace_scale=scale, trace_offset=80.0)
        spikes = torch.zeros(30, 1, 1)
        spikes[3] = 1
        handle = readout(synapse(hxsnn.LIFObservables(spikes=spikes)))
        hxsnn.run(experiment, 30)
        traces.append(handle.membrane_cadc.detach())
    torch.testing.assert_close(traces[1], traces[0], rtol=0.05, atol=1e-3)


def test_probes_leave_nothing_registered():
    from gradspike import chip

    before = chip.registered()
    get_weight_scaling(PARAMETERS, backend="emulator")
    assert chip.registered() == before
