"""The examples on the analog emulator: they run, print what they say, and their parts do what their names promise."""

import argparse
import json

import pytest
import torch

import gradspike
from gradspike.examples import delgrad, digits, in_the_loop
from gradspike.examples import yinyang_training as training


def test_training_in_the_loop_regains_accuracy(tmp_path, capsys):
    """Few samples, one chip: what is measured on the chip after tuning is clearly better than before."""
    data = training.load_data(2000, 500)
    options = argparse.Namespace(epochs=6, tuning_epochs=3, learning_rate=2e-3, preset="calibrated", chips=1, seed=0)
    (chip,) = in_the_loop.run(options, data)
    assert chip.in_the_loop > chip.deployed + 0.05
    printed = capsys.readouterr().out
    assert f"emulator calibrated\n  chip   deployed   in the loop\n     0   {chip.deployed:8.4f}" in printed


def test_in_the_loop_writes_its_accuracies(tmp_path, capsys):
    assert in_the_loop.main(["--quick", "--json", str(tmp_path / "chips.json")]) == 0
    written = json.loads((tmp_path / "chips.json").read_text())
    assert written["preset"] == "calibrated" and [chip["seed"] for chip in written["chips"]] == [0]
    assert 0.0 <= written["chips"][0]["deployed"] <= 1.0


def test_tuning_leaves_the_network_alone():
    data = training.load_data(100, 50)
    torch.manual_seed(0)
    network = training.YinYangNetwork()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    tuned = in_the_loop.tune(network, data, "noiseless", 0, training.Settings(epochs=1))
    assert all(torch.equal(network.state_dict()[name], value) for name, value in before.items())
    assert any(not torch.equal(tuned.state_dict()[name], value) for name, value in before.items())


def test_delgrad_prints_the_published_figures(capsys):
    assert delgrad.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    for text in ("96.7 (simulation)", "84.9 (hardware-aware), 84.9 (chip)", "emulator delgrad-2024"):
        assert text in printed


def test_digits_use_the_whole_chip(capsys):
    pytest.importorskip("sklearn")
    assert digits.main(["--quick"]) == 0
    printed = capsys.readouterr().out
    assert "512 of 512 neuron circuits" in printed
    lines = {line.split()[1]: line.split()[2] for line in printed.splitlines() if line.startswith("emulator")}
    assert list(lines) == ["ideal", "noiseless", "delgrad-2024", "calibrated"]
    assert f"hardware integers, simulation  {lines['ideal']}" in printed


def test_digits_are_split_and_encoded_as_documented():
    pytest.importorskip("sklearn")
    data = digits.load_data(100)
    assert data.train_spikes.shape == (40, 80, 256) and data.test_spikes.shape == (40, 20, 256)
    assert data.train_spikes.sum(0).max() == 1
    assert gradspike.chip.check(digits.DigitsNetwork()).fits
