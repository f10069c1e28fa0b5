"""A9: arguments of AELIF, LIF and LI, and what follows from their step."""

import inspect
import itertools
import math

import numpy
import pytest
import torch
from contract_networks import UNIT

import gradspike.spiking as hxsnn
from reference import hxtorch_contract as reference

FLAGS = ("leaky", "fire", "exponential", "subthreshold_adaptation", "spike_triggered_adaptation")


def run(neurons, *inputs):
    handle = neurons(*(hxsnn.SynapseHandle(graded_spikes=values) for values in inputs))
    hxsnn.run(neurons.experiment, inputs[0].shape[0])
    return handle


# Arguments


def test_a9_arguments_and_defaults():
    neurons = hxsnn.AELIF(2, hxsnn.Experiment(mock=True), refractory_time=1e-6)
    defaults = {
        "leak": 80,
        "reset": 80,
        "threshold": 125,
        "tau_mem": 10e-6,
        "tau_syn": 10e-6,
        "i_synin_gm": 500,
        "membrane_capacitance": 10e-6,
        "leak_conductance": None,
        "refractory_time": 1e-6,
        "synapse_dac_bias": 600,
        "holdoff_time": 0.0,
        "exponential_slope": 50e-3,
        "exponential_threshold": 110,
        "subthreshold_adaptation_strength": 1,
        "spike_triggered_adaptation_increment": 1,
        "clock_scale_adaptation_pulse": (5, 5),
        "tau_adap": 100e-6,
        "leak_adaptation": None,
    }
    assert {name: getattr(neurons, name).model_value for name in defaults} == defaults
    assert (neurons.method, neurons.alpha) == ("superspike", 50.0)
    recording = {
        "enable_spike_recording": True,
        "enable_cadc_recording": True,
        "enable_cadc_recording_placement_in_dram": False,
        "enable_madc_recording": False,
        "record_neuron_id": None,
        "placement_constraint": None,
        "trace_offset": 0.0,
        "trace_scale": 1.0,
        "cadc_time_shift": 0,
        "shift_cadc_to_first": False,
        "interpolation_mode": "linear",
        "neuron_structure": None,
    }
    assert {name: getattr(neurons, name) for name in recording} == recording
    assert all(getattr(neurons, flag) for flag in FLAGS)
    names = list(inspect.signature(hxsnn.AELIF).parameters)
    assert names[:9] == [
        "size",
        "experiment",
        "leak",
        "reset",
        "threshold",
        "tau_mem",
        "tau_syn",
        "i_synin_gm",
        "membrane_capacitance",
    ]


def test_a9_lif_and_li_are_aelif_with_flags():
    experiment = hxsnn.Experiment(mock=True)
    lif, li = hxsnn.LIF(2, experiment), hxsnn.LI(2, experiment)
    assert isinstance(lif, hxsnn.AELIF) and isinstance(li, hxsnn.AELIF)
    assert [getattr(lif, flag) for flag in FLAGS] == [True, True, False, False, False]
    assert [getattr(li, flag) for flag in FLAGS] == [True, False, False, False, False]
    assert li.refractory_time.model_value == 0 and li.enable_spike_recording is False


def test_a9_lif_is_aelif_bit_for_bit():
    x = torch.randn(40, 3, 4) * 3
    results = []
    for kind, flags in ((hxsnn.LIF, {}), (hxsnn.AELIF, {flag: False for flag in FLAGS[2:]})):
        neurons = kind(4, hxsnn.Experiment(mock=True), **UNIT, refractory_time=2.5e-6, **flags)
        results.append(run(neurons, x))
    for name in ("spikes", "membrane_cadc", "current"):
        assert torch.equal(getattr(results[0], name), getattr(results[1], name))
    assert results[0].spikes.any()


def test_a9_li_is_lif_that_never_fires():
    x = torch.randn(40, 3, 4)
    li = run(hxsnn.LI(4, hxsnn.Experiment(mock=True), leak=0.3), x)
    lif = run(hxsnn.LIF(4, hxsnn.Experiment(mock=True), leak=0.3, threshold=1e9), x)
    assert torch.equal(li.membrane_cadc, lif.membrane_cadc) and torch.equal(li.current, lif.current)


def test_a9_li_takes_the_arguments_of_lif():
    neurons = hxsnn.LI(
        2, hxsnn.Experiment(mock=True), leak=0.0, threshold=1.0, alpha=50, reset=0.0, method="superspike"
    )
    assert run(neurons, torch.ones(5, 1, 2)).membrane_cadc.shape == (5, 1, 2)


def test_a9_unknown_keywords_become_attributes():
    neurons = hxsnn.LIF(2, hxsnn.Experiment(mock=True), dt=2e-6, anything=3)
    assert isinstance(neurons.anything, hxsnn.HXParameter) and neurons.anything.model_value == 3
    assert neurons.dt.model_value == 2e-6 and neurons.experiment.dt == 1e-6


def test_a9_values_are_not_checked_before_they_are_used():
    neurons = hxsnn.LIF(2, hxsnn.Experiment(mock=True), tau_syn=None, leak=lambda: 1)
    with pytest.raises(TypeError, match="LIF: (leak|tau_syn) must be a number or a tensor to compute with"):
        run(neurons, torch.zeros(3, 1, 2))


def test_a9_placement_constraint_has_one_entry_for_each_neuron():
    with pytest.raises(ValueError, match="one entry for each of the 3 neurons, got 2"):
        hxsnn.LIF(3, hxsnn.Experiment(mock=True), placement_constraint=[0, 1])


def test_a9_neurons_have_a_single_compartment():
    class Structure:
        def __init__(self, count):
            self.compartments = list(range(count))

    experiment = hxsnn.Experiment(mock=True)
    assert hxsnn.LIF(3, experiment, neuron_structure=Structure(1)).neuron_structure.compartments == [0]
    with pytest.raises(ValueError, match="Currently only neurons with a single compartment are supported"):
        hxsnn.LIF(3, experiment, neuron_structure=Structure(2))


@pytest.mark.parametrize("name", ["leak", "reset", "threshold", "tau_mem", "tau_syn", "membrane_capacitance"])
def test_a9_values_per_neuron_broadcast_over_the_batch(name):
    values = {**UNIT, "tau_mem": 8e-6, "tau_syn": 5e-6, "membrane_capacitance": 9e-6}
    each = torch.tensor([0.8, 1.0, 1.3]) * (values[name] or 0.3)
    x = torch.randn(30, 2, 3) * 3
    together = run(hxsnn.LIF(3, hxsnn.Experiment(mock=True), **{**values, name: each}), x)
    for k in range(3):
        alone = hxsnn.LIF(1, hxsnn.Experiment(mock=True), **{**values, name: each[k : k + 1]})
        assert torch.equal(together.membrane_cadc[..., k : k + 1], run(alone, x[..., k : k + 1]).membrane_cadc)


def test_a9_output_types_follow_the_flags():
    experiment = hxsnn.Experiment(mock=True)
    for fire, adapts in itertools.product((False, True), repeat=2):
        flags = {"fire": fire, "subthreshold_adaptation": adapts, "spike_triggered_adaptation": False}
        fields = set(hxsnn.AELIF(2, experiment, refractory_time=0.0, **flags).output_type.__dataclass_fields__)
        wanted = {"current", "membrane_cadc", "membrane_madc"}
        wanted |= {"spikes"} if fire else set()
        wanted |= {"adaptation_cadc", "adaptation_madc"} if adapts else set()
        assert fields == wanted
    assert hxsnn.LIF(2, experiment).output_type is hxsnn.LIFObservables
    assert hxsnn.LI(2, experiment).output_type is hxsnn.LIObservables


def test_a9_inputs_are_summed():
    x, y = torch.randn(2, 20, 2, 3).unbind(0)
    summed = run(hxsnn.LIF(3, hxsnn.Experiment(mock=True), **UNIT), x, y)
    once = run(hxsnn.LIF(3, hxsnn.Experiment(mock=True), **UNIT), x + y)
    assert torch.equal(summed.membrane_cadc, once.membrane_cadc)


@pytest.mark.parametrize("handle", [hxsnn.TensorHandle(tensor=torch.ones(3, 1, 2)), hxsnn.SynapseHandle()])
def test_a9_an_input_without_graded_spikes_is_refused(handle):
    experiment = hxsnn.Experiment(mock=True)
    hxsnn.LIF(2, experiment)(handle)
    with pytest.raises(AssertionError, match="LIF 0: each input must be a handle with graded_spikes"):
        hxsnn.run(experiment, 3)


def test_a9_the_mask_has_no_effect_on_the_simulation():
    neurons = hxsnn.LIF(3, hxsnn.Experiment(mock=True), **UNIT)
    assert neurons.mask.dtype == bool and neurons.mask.all() and neurons.mask.shape == (3,)
    x = torch.full((20, 1, 3), 2.0)
    before = run(neurons, x).spikes
    neurons.mask = torch.tensor([True, False, False])
    assert neurons.mask.tolist() == [True, False, False] and isinstance(neurons.mask, numpy.ndarray)
    assert torch.equal(run(neurons, x).spikes, before)
    neurons.mask = None
    assert neurons.mask is None


def test_a9_other_names_of_parameters():
    neurons = hxsnn.LIF(2, hxsnn.Experiment(mock=True))
    for alias, name in {
        "v_leak": "leak",
        "v_reset": "reset",
        "v_threshold": "threshold",
        "tau_membrane": "tau_mem",
        "tau_syn_E": "tau_syn",
        "tau_syn_I": "tau_syn",
        "i_synin_gm_E": "i_synin_gm",
        "i_synin_gm_I": "i_synin_gm",
        "tau_refrac": "refractory_time",
    }.items():
        assert getattr(neurons, alias) is getattr(neurons, name)


# Consequences


@pytest.mark.parametrize("steps", [*range(1, 31), 0.3, 1.5, 2.01, 7.9])
def test_a9_a_spike_blocks_the_next_whole_steps(steps):
    """A neuron that is driven far above threshold spikes as soon as it may."""
    neurons = hxsnn.LIF(1, hxsnn.Experiment(mock=True), **UNIT, refractory_time=steps * 1e-6)
    fired = run(neurons, torch.full((100, 1, 1), 1e3)).spikes.flatten().nonzero().flatten()
    assert (fired.diff() == math.ceil(steps) + 1).all()


def test_a9_refractory_is_off_where_all_values_are_zero():
    x = torch.full((20, 1, 2), 1e3)
    for value, expected_gaps in ((0.0, (1, 1)), (torch.tensor([0.0, 2e-6]), (1, 3))):
        fired = run(hxsnn.LIF(2, hxsnn.Experiment(mock=True), **UNIT, refractory_time=value), x).spikes[:, 0]
        for k, gap in enumerate(expected_gaps):
            assert (fired[:, k].nonzero().flatten().diff() == gap).all()


def test_a9_a_refractory_time_without_fire_warns_and_is_ignored():
    experiment = hxsnn.Experiment(mock=True)
    with pytest.warns(UserWarning, match="refractory_time has no effect without fire"):
        warned = hxsnn.AELIF(2, experiment, fire=False, exponential=False, refractory_time=5e-6)
    silent = hxsnn.AELIF(2, experiment, fire=False, exponential=False, refractory_time=0.0)
    x = torch.randn(20, 1, 2)
    assert torch.equal(run(warned, x).membrane_cadc, run(silent, x).membrane_cadc)


def test_a9_adaptation_grows_in_refractory_steps_that_cross_the_threshold():
    options = {"exponential": False, "subthreshold_adaptation": False, "spike_triggered_adaptation_increment": 0.5}
    neurons = hxsnn.AELIF(1, hxsnn.Experiment(mock=True), **UNIT, **options, tau_adap=1e9, refractory_time=4e-6)
    result = run(neurons, torch.full((12, 1, 1), 1e3))
    first = int(result.spikes.flatten().nonzero()[0])
    grown = result.adaptation_cadc.flatten()[first : first + 4]
    torch.testing.assert_close(grown, torch.tensor([0.5, 1.0, 1.5, 2.0]))
    assert result.spikes.flatten()[first + 1 : first + 4].sum() == 0


def test_a9_the_gain_of_an_input_is_dt_over_capacitance():
    x = torch.zeros(3, 1, 1)
    x[0] = 4.0
    for capacitance, tau in ((10e-6, 10e-6), (10e-6, 6e-6), (6e-6, 6e-6)):
        options = {"leak": 0.0, "membrane_capacitance": capacitance, "tau_mem": tau}
        membrane = run(hxsnn.LI(1, hxsnn.Experiment(mock=True), **options), x).membrane_cadc.flatten()
        assert float(membrane[1]) == pytest.approx(4.0 * 1e-6 / capacitance, rel=1e-6)


def test_a9_golden_peak_of_the_default_neuron():
    x = torch.zeros(60, 1, 1)
    x[5] = 63.0
    membrane = run(hxsnn.LIF(1, hxsnn.Experiment(mock=True)), x).membrane_cadc.flatten()
    assert int(membrane.argmax()) in (14, 15)
    assert float(membrane.max()) - 80.0 == pytest.approx(24.407, abs=5e-4)
    exact = reference.aelif(
        x.double(), leak=80.0, reset=80.0, threshold=125.0, tau_syn=1e-5, capacitance=1e-5, conductance=1.0, dt=1e-6
    )[1].flatten()
    assert float(exact[14]) - 80 == pytest.approx(24.407, abs=5e-4) and exact[14] == pytest.approx(float(exact[15]))


def test_a9_the_leak_conductance_takes_the_place_of_capacitance_over_tau():
    x = torch.randn(30, 2, 3, dtype=torch.float64)
    options = {"leak": 0.2, "membrane_capacitance": 9e-6}
    given = run(hxsnn.LI(3, hxsnn.Experiment(mock=True), **options, leak_conductance=1.5, tau_mem=1.0), x)
    theirs = reference.aelif(x, leak=0.2, tau_syn=10e-6, capacitance=9e-6, conductance=1.5, dt=1e-6, fire=False)[1]
    torch.testing.assert_close(given.membrane_cadc, theirs, rtol=1e-9, atol=1e-12)


def test_a9_the_time_step_is_that_of_the_experiment():
    x = torch.randn(30, 2, 3, dtype=torch.float64)
    ours = run(hxsnn.LI(3, hxsnn.Experiment(mock=True, dt=2e-6), leak=0.2), x).membrane_cadc
    theirs = reference.aelif(x, leak=0.2, tau_syn=1e-5, capacitance=1e-5, conductance=1.0, dt=2e-6, fire=False)[1]
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a9_results_have_the_dtype_of_the_input(dtype):
    result = run(hxsnn.LIF(3, hxsnn.Experiment(mock=True)), torch.randn(5, 2, 3, dtype=dtype))
    assert {result.spikes.dtype, result.membrane_cadc.dtype, result.current.dtype} == {dtype}


@pytest.mark.parametrize("shape", [(0, 2, 3), (5, 0, 3), (1, 1, 3)])
def test_a9_empty_and_single_axes(shape):
    assert run(hxsnn.LIF(3, hxsnn.Experiment(mock=True)), torch.zeros(shape)).spikes.shape == shape
