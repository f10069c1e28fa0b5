"""The analog presets of the emulator from Python: targets, samples, losses, constants, seeds and refusals."""

import math
import pickle

import pytest
import torch

import gradspike
from gradspike import nn

STEPS, BATCH = 40, 6


def network(seed=0):
    torch.manual_seed(seed)
    model = torch.nn.Sequential(
        nn.Synapse(5, 20, name="hidden", scale=24),
        nn.LIF(20, name="hidden"),
        nn.Synapse(20, 3, name="readout", scale=32),
        nn.LI(3, name="readout"),
    )
    torch.nn.init.normal_(model[0].weight, 0.8, 0.5)
    return model


def spikes(seed=1, rate=0.1):
    torch.manual_seed(seed)
    return (torch.rand(STEPS, BATCH, 5) < rate).float()


def test_a_result_names_its_target_and_what_is_not_modelled():
    result = gradspike.chip.deploy(network(), preset="calibrated", seed=3, constants={"cadc_noise": 0.5})(spikes())
    assert result.target == "emulator analog preset=calibrated seed=3 cadc_noise=0.5"
    assert str(result).startswith(result.target + "; not modelled: short-term plasticity")
    assert result.constants["cadc_noise"] == 0.5
    assert (
        result.constants["cadc_offset_spread"] == gradspike.chip.presets()["calibrated"]["cadc_offset_spread"]["value"]
    )
    assert result.report.data["target"] == result.target
    assert result.timing["chip"] == pytest.approx(BATCH * (STEPS + 5) * 1e-6)


def test_a_result_can_be_kept_in_a_file():
    result = gradspike.chip.deploy(network(), preset="calibrated")(spikes(), membrane="*")
    kept = pickle.loads(pickle.dumps(result))
    assert kept.report.to_json() == result.report.to_json() and kept.lost == result.lost
    assert torch.equal(kept.membrane["hidden"], result.membrane["hidden"])


def test_a_membrane_is_its_samples_interpolated():
    constants = {"cadc_period": 2e-6}
    result = gradspike.chip.deploy(network(), preset="calibrated", constants=constants)(spikes(), membrane="hidden")
    samples = result.cadc["hidden"]
    assert samples.dtype == torch.int16 and samples.shape == (20, BATCH, 20)
    assert torch.allclose(result.cadc["times"], torch.arange(20, dtype=torch.float64) * 2e-6)
    units = (samples.double() - 80) / 45
    expected = torch.empty(STEPS, BATCH, 20, dtype=torch.float64)
    expected[0::2] = units
    expected[1:-1:2] = (units[:-1] + units[1:]) / 2
    expected[-1] = units[-1]
    torch.testing.assert_close(result.membrane["hidden"].double(), expected, rtol=0, atol=1e-6)
    assert set(result.cadc) == {"hidden", "readout", "times"}


def test_the_fast_converter_records_one_neuron():
    result = gradspike.chip.deploy(network(), preset="noiseless")(spikes(), madc=("hidden", 4), membrane="hidden")
    samples, times = result.madc["hidden"], result.madc["times"]
    assert samples.shape == (len(times), BATCH) and samples.dtype == torch.int16
    assert times[1] == 24e-9 and times[-1] <= (STEPS - 1) * 1e-6 < times[-1] + 24e-9
    slow = result.cadc["hidden"][5, :, 4]
    nearest = samples[int((times - 10e-6).abs().argmin())]
    assert (nearest / 4 - slow).abs().max() <= 2


def test_without_noise_it_comes_near_to_training_where_steps_are_short():
    """Time constants of 100 steps: Euler's error is small, and so is the difference in rate and readout."""
    torch.manual_seed(0)
    tau = 100e-6
    model = torch.nn.Sequential(
        nn.Synapse(5, 40, name="hidden", scale=24),
        nn.LIF(40, name="hidden", tau_mem=tau, tau_syn=tau, membrane_capacitance=tau),
        nn.Synapse(40, 3, name="readout", scale=32),
        nn.LI(3, name="readout", tau_mem=tau, tau_syn=tau, membrane_capacitance=tau),
    )
    torch.nn.init.normal_(model[0].weight, 0.8, 0.5)
    inputs = (torch.rand(400, 32, 5) < 0.005).float()
    ideal = gradspike.chip.deploy(model)(inputs)
    constants = {"cadc_max_samples": 1000, "cadc_lsb_per_unit": 20, "cadc_zero": 128}
    analog = gradspike.chip.deploy(model, preset="noiseless", constants=constants)(inputs, inter_batch_wait=5e-3)
    counts = ideal.spikes["hidden"].sum(0), analog.spikes["hidden"].sum(0)
    assert counts[0].sum() > 300
    assert (counts[0] - counts[1]).abs().sum() < 0.06 * counts[0].sum()
    difference = (ideal.membrane["readout"] - analog.membrane["readout"]).abs().mean()
    assert difference < 0.05 * ideal.membrane["readout"].abs().max()


def test_seeds_of_chip_and_trial():
    model, inputs = network(), spikes(rate=0.2)
    chip = gradspike.chip.deploy(model, preset="calibrated", seed=1)
    assert torch.equal(chip(inputs, seed=5).spikes["hidden"], chip(inputs, seed=5).spikes["hidden"])
    assert not torch.equal(chip(inputs, seed=5).cadc["readout"], chip(inputs, seed=6).cadc["readout"])
    other = gradspike.chip.deploy(model, preset="calibrated", seed=2, network="other")
    assert not torch.equal(chip(inputs).cadc["readout"], other(inputs).cadc["readout"])


def test_batch_entries_are_apart_where_asked():
    inputs = spikes(rate=0.3)[:, :1].expand(-1, BATCH, -1)
    deployed = gradspike.chip.deploy(network(), preset="noiseless")
    close = deployed(inputs).membrane["readout"]
    assert not torch.equal(close[:, 0], close[:, 1])
    apart = deployed(inputs, inter_batch_wait=5e-3)
    assert torch.equal(apart.membrane["readout"][:, 0], apart.membrane["readout"][:, 1])
    assert apart.timing["chip"] == pytest.approx(BATCH * 5.005e-3)


def test_every_preset_says_where_its_constants_come_from():
    presets = gradspike.chip.presets()
    assert list(presets) == sorted(["ideal", "noiseless", "calibrated", "delgrad-2024"])
    assert presets["ideal"] == {}
    for preset in ("noiseless", "calibrated", "delgrad-2024"):
        for name, constant in presets[preset].items():
            assert constant["meaning"] and constant["source"], name
            assert math.isfinite(constant["value"])
        deployed = gradspike.chip.deploy(network(), preset=preset)
        assert deployed(spikes()).constants == {name: c["value"] for name, c in presets[preset].items()}
    assert presets["delgrad-2024"]["threshold_trial_spread"]["value"] == pytest.approx(0.04 / 2.6)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"preset": "perfect"}, 'no preset "perfect"; there are: ideal, noiseless, calibrated, delgrad-2024'),
        ({"preset": "calibrated", "constants": {"noise": 1.0}}, 'no constant "noise"; nearest:'),
        ({"preset": "calibrated", "constants": {"cadc_period": 1e-6}}, "cadc_period"),
        ({"preset": "calibrated", "constants": {"cadc_noise": math.nan}}, "cadc_noise"),
        ({"preset": "ideal", "constants": {"cadc_noise": 1.0}}, "ideal preset has no constants"),
    ],
)
def test_wrong_presets_are_refused(arguments, text):
    with pytest.raises(RuntimeError, match=text):
        gradspike.chip.deploy(network(), **arguments)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"madc": ("hidden", 20)}, "must lie in 0..19"),
        ({"madc": ("hiden", 2)}, 'no population "hiden"; nearest: "hidden"'),
        ({"membrane": "out"}, 'no population "out"'),
        ({"inter_batch_wait": -1.0}, "inter_batch_wait"),
    ],
)
def test_wrong_options_of_a_run_are_refused(arguments, text):
    deployed = gradspike.chip.deploy(network(), preset="noiseless")
    with pytest.raises(RuntimeError, match=text):
        deployed(spikes(), **arguments)


def test_seeds_are_whole_numbers_of_64_bits():
    deployed = gradspike.chip.deploy(network(), preset="noiseless")
    with pytest.raises(ValueError, match="seed must have 64 bits"):
        deployed(spikes(), seed=2**63)
    with pytest.raises(TypeError, match="seed must be of type int, got float"):
        deployed(spikes(), seed=1.5)


class ReadsCurrent(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.synapse = nn.Synapse(5, 3, name="out")
        self.neurons = nn.LI(3, name="out")

    def forward(self, input):
        return self.neurons.traces(self.synapse(input)).current


class ReadsState(ReadsCurrent):
    def forward(self, input):
        return self.neurons.traces(self.synapse(input)).state


def test_what_a_chip_cannot_measure_is_refused_by_name():
    with pytest.raises(RuntimeError, match='population "out": the chip has no readout of synaptic currents'):
        gradspike.chip.deploy(ReadsCurrent(), preset="noiseless")(spikes())
    with pytest.raises(RuntimeError, match="population 'out': the model reads its final state, which target"):
        gradspike.chip.deploy(ReadsState(), preset="noiseless")(spikes())
