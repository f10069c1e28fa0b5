"""Experiments on a backend: which one, with what, and what happens when it fails."""

import sys
from pathlib import Path

import pytest
import torch
from contract_networks import ANALOG, Network, assert_same, emulator, spikes

import gradspike.spiking as hxsnn
from gradspike import chip


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


def test_the_environment_is_read_at_each_run(monkeypatch):
    monkeypatch.setenv("GRADSPIKE_BACKEND", "emulator")
    network = Network(hxsnn.Experiment())
    network.run(spikes())
    monkeypatch.setenv("GRADSPIKE_BACKEND", "nowhere")
    with pytest.raises(RuntimeError, match="nowhere"):
        network.run(spikes())


SERVERS = Path(__file__).parents[3]
SERVER = [sys.executable, str(SERVERS / "examples" / "backends" / "emulator_server.py")]
FAILING = [sys.executable, str(SERVERS / "tests" / "backends" / "failing_server.py")]


def test_a_program_is_a_backend():
    x = spikes()
    expected = Network(hxsnn.Experiment(mock=True, hardware_weights=True)).run(x)
    measured = Network(emulator(backend="process:" + " ".join(SERVER), hardware_weights=True)).run(x)
    for ours, theirs in zip(measured, expected):
        assert_same(ours, theirs)


def test_a_failed_run_of_a_program_can_be_repeated(tmp_path):
    chip.attach("lab", [*FAILING, "dies", str(tmp_path)], timeout=20.0)
    network, x = Network(emulator(backend="lab", hardware_weights=True)), spikes(batch=5)
    hidden, _ = network(x)
    with pytest.raises(chip.BackendError, match="2 of 5 batch entries") as caught:
        hxsnn.run(network.experiment, 20)
    assert caught.value.partial.spikes and not hidden.holds("spikes")
    hxsnn.run(network.experiment, 20)
    assert_same(hidden, Network(hxsnn.Experiment(mock=True, hardware_weights=True)).run(x)[0])


@pytest.mark.parametrize("way", ["experiment", "instance", "both", "object", "emulator"])
def test_a_calibration_reaches_the_backend(monkeypatch, way):
    asked = []
    deploy = chip.Network.deploy
    monkeypatch.setattr(
        chip.Network, "deploy", lambda self, *args: asked.append(args[-1]) or deploy(self, "emulator", *args[1:-1])
    )
    experiment = emulator(backend="emulator" if way == "emulator" else "lab")
    if way in ("experiment", "both", "emulator"):
        experiment.calibration = "mine.pbin"
    if way in ("instance", "both"):
        experiment.default_execution_instance.load_calib("default.pbin")
    if way == "object":
        experiment.calibration = object()
    Network(experiment).run(spikes())
    expected = {"experiment": "mine.pbin", "instance": "default.pbin", "both": "mine.pbin"}
    assert asked == [expected.get(way, "")]
