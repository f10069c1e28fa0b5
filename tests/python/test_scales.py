"""Scales that are suggested and measured."""

import pytest
import torch

import gradspike
from gradspike import functional, nn
from gradspike.chip import measure_scales, suggest_scales


def network(scale=24.0):
    torch.manual_seed(0)
    return torch.nn.Sequential(
        nn.Synapse(5, 12, name="hidden", scale=scale),
        nn.LIF(12, name="hidden", tau_mem=6e-6, tau_syn=6e-6, membrane_capacitance=6e-6),
        nn.Synapse(12, 3, name="out", scale=32, min_weight=0, max_weight=63),
        nn.LI(3, name="out", tau_mem=6e-6, tau_syn=6e-6),
    )


def test_suggested_scales_are_those_of_the_weights():
    model = network()
    suggested = suggest_scales(model, max_clipped=0.1)
    assert suggested["hidden"] == functional.suggest_scale(model[0].weight, max_clipped=0.1)
    assert suggested["out"] == functional.suggest_scale(model[2].weight, 0, 63, max_clipped=0.1)


def test_the_ideal_emulator_has_gain_one():
    for name, measured in measure_scales(network()).items():
        assert measured.gain == 1.0 and measured.suggested_scale == measured.scale, name
        assert measured.clipped == measured.suggested_clipped and measured.target == "emulator ideal"


def test_a_measured_scale_makes_up_for_the_gain():
    """Time constants that are not matched: the chip responds more weakly; with the suggested scale it does not."""
    constants = {"matched_steps": 0.0, "cadc_lsb_per_unit": 20.0, "cadc_zero": 128.0}
    before = measure_scales(network(), preset="noiseless", constants=constants)["hidden"]
    assert before.gain == pytest.approx(0.92, abs=0.03) and before.clipped_readings == 0
    assert before.suggested_scale == pytest.approx(24 / before.gain)
    model = network(before.suggested_scale)
    weights = gradspike.chip.read(model).integers()["hidden"]
    statistics = functional.weight_statistics(model[0].weight, before.suggested_scale)
    assert before.suggested_clipped == statistics.clipped_fraction
    assert (
        before.suggested_to_zero
        == statistics.to_zero_fraction
        == ((weights == 0) & (model[0].weight != 0)).float().mean()
    )
    # The same float weight gives a larger integer; each LSB of it is worth 1/24 on that chip, times the gain.
    response = before.gain / 24 * before.suggested_scale
    assert response == pytest.approx(1.0)


def test_offsets_and_noise_are_in_model_units():
    constants = {"cadc_offset_spread": 4.5, "cadc_noise": 0.9}
    measured = measure_scales(network(), preset="noiseless", constants=constants)["hidden"]
    assert measured.offset_spread == pytest.approx(0.1, rel=0.2)
    assert 0.01 < measured.noise < 0.03


def test_wrong_seeds_and_presets_are_refused_by_name():
    with pytest.raises(ValueError, match="measure_scales: seed must have 64 bits"):
        measure_scales(network(), seed=2**63)
    with pytest.raises(TypeError, match="measure_scales: preset must be of type str, got int"):
        measure_scales(network(), preset=3)


def test_wrong_targets_are_refused():
    with pytest.raises(RuntimeError, match='no backend "chip"'):
        measure_scales(network(), "chip")
    with pytest.raises(RuntimeError, match='no preset "best"'):
        measure_scales(network(), preset="best")
    with pytest.raises(RuntimeError, match="the response to a spike must grow with the weight"):
        measure_scales(network(), preset="noiseless", constants={"dead_synapse_rate": 1.0})
