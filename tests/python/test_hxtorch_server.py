"""The server for hxtorch, against a stand-in that refuses what hxtorch's interface does not promise."""

import array
import os
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from gradspike import chip
from gradspike.nn import LI, LIF, PlasticityRule, RecurrentLIF, Synapse

ROOT = Path(__file__).parents[2]
SERVER = [sys.executable, str(ROOT / "examples" / "backends" / "hxtorch_server.py"), "--chip", "HICANN-X 7"]
STAND_IN = str(Path(__file__).parent / "stand_in")
SPIKES = (torch.rand(20, 5, 6, generator=torch.Generator().manual_seed(5)) < 0.3).float()
SCALE = 55.0  # LSB per model weight of the stand-in's chip


@pytest.fixture(autouse=True)
def laboratory(monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", STAND_IN)
    monkeypatch.setenv("HXTORCH_STAND_IN_LOG", str(tmp_path / "calls"))


def calls(tmp_path):
    return (tmp_path / "calls").read_text().splitlines()


def attach(*arguments):
    chip.attach("bss2", [*SERVER, *arguments], timeout=60.0)


def randomise(model, seed=1):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(0.6 * torch.randn(parameter.shape, generator=generator))
    return model


def layers(**settings) -> nn.Sequential:
    return randomise(
        nn.Sequential(
            Synapse(6, 8, name="in", scale=SCALE),
            LIF(8, name="hidden", **settings),
            Synapse(8, 3, name="out", scale=SCALE),
            LI(3, name="readout"),
        )
    )


def require_like_emulator(found, model, spikes=SPIKES):
    """The stand-in's chip is ideal, in float64: the same spikes, membranes up to the rounding of float32."""
    expected = chip.deploy(model, example=spikes)(spikes, membrane="*")
    assert sum(int(s.sum()) for s in expected.spikes.values()) > 10
    for name, fired in expected.spikes.items():
        assert torch.equal(found.spikes[name], fired)
    for name, membrane in found.membrane.items():
        torch.testing.assert_close(membrane, expected.membrane[name], rtol=1e-4, atol=1e-4)


def test_a_network_runs_like_on_the_ideal_emulator(tmp_path):
    attach()
    model = layers()
    deployed = chip.deploy(model, target="bss2")
    result = deployed(SPIKES, membrane="*")
    require_like_emulator(result, model)
    assert result.target == "bss2 HICANN-X 7"
    assert result.counts["events_sent"] == int(SPIKES.sum())
    assert chip.health("bss2") == {"status": "ready", "hxtorch": "stand-in"}
    assert calls(tmp_path) == [
        "init_hardware",
        "Experiment dt=1e-06",
        "Synapse 6 8 None",
        "Synapse 8 3 None",
        "LIF 8 cadc=True",
        "LI 3 cadc=True",
        "run 20",
    ]
    chip.detach("bss2")  # the server ends with its last network, which the result refers to
    del deployed, result
    assert calls(tmp_path)[-1] == "release_hardware"


def test_settings_of_neurons_arrive():
    attach()
    model = layers(tau_mem=6e-6, tau_syn=5e-6, threshold=0.6, reset=-0.2, refractory_time=3e-6)
    require_like_emulator(chip.deploy(model, target="bss2")(SPIKES, membrane="*"), model)


class Branches(nn.Module):
    """Repeated inputs, two sources in one projection, two projections into one population, unsigned receptors."""

    def __init__(self) -> None:
        super().__init__()
        self.twice = Synapse(12, 8, scale=SCALE)
        self.positive = Synapse(6, 8, scale=SCALE, min_weight=0, max_weight=63)
        self.hidden = LIF(8)
        self.joined = Synapse(14, 4, scale=SCALE)
        self.negative = Synapse(8, 4, scale=SCALE, min_weight=-63, max_weight=0)
        self.readout = LIF(4, threshold=0.5)

    def forward(self, spikes):
        hidden = self.hidden(self.twice(torch.cat([spikes, spikes], 2)) + self.positive(spikes))
        return self.readout(self.joined(torch.cat([hidden, spikes], 2)) + self.negative(hidden))


def test_branches(tmp_path):
    attach()
    model = randomise(Branches(), seed=3)
    require_like_emulator(chip.deploy(model, target="bss2", example=SPIKES)(SPIKES), model)
    made = [call for call in calls(tmp_path) if call.startswith("Synapse")]
    assert sorted(made) == [
        "Synapse 6 4 None",
        "Synapse 6 8 None",
        "Synapse 6 8 None",
        "Synapse 6 8 excitatory",
        "Synapse 8 4 None",
        "Synapse 8 4 inhibitory",
    ]


def recurrent(**settings):
    hidden = RecurrentLIF(6, 8, name="hidden", input_scale=SCALE, recurrent_scale=SCALE, **settings)
    return randomise(nn.Sequential(hidden, Synapse(8, 3, name="out", scale=SCALE), LI(3, name="readout")), seed=4)


def test_a_recurrent_layer_is_a_wrapper(tmp_path):
    attach("--entries", "3")
    model = recurrent()
    result = chip.deploy(model, target="bss2")(SPIKES, membrane="*")
    require_like_emulator(result, model)
    with torch.no_grad():
        model[0].recurrent_weight.zero_()
    assert not torch.equal(chip.deploy(model)(SPIKES).spikes["hidden"], result.spikes["hidden"])  # the loop matters
    assert "the delay of recurrent projections is that of the chip, not one time step" in result.not_modelled
    made = [call for call in calls(tmp_path) if call.startswith(("HXModuleWrapper", "run"))]
    assert made == ["HXModuleWrapper Synapse LIF", "run 20", "run 20"]


def test_a_loop_with_stacked_weights_and_several_layers(tmp_path):
    attach()
    first = RecurrentLIF(6, 8, name="first", input_scale=SCALE, recurrent_scale=SCALE, recurrent_max_weight=126)
    second = RecurrentLIF(8, 5, name="second", input_scale=SCALE, recurrent_scale=SCALE)
    model = randomise(nn.Sequential(first, second), seed=6)
    with torch.no_grad():
        first.recurrent_weight[0, 1] = 2.0
    require_like_emulator(chip.deploy(model, target="bss2")(SPIKES), model)
    made = [call for call in calls(tmp_path) if call.startswith("HXModuleWrapper")]
    assert made == ["HXModuleWrapper Synapse Synapse LIF", "HXModuleWrapper Synapse LIF"]


@pytest.mark.parametrize(
    ("part", "change", "words"),
    [
        (
            "hidden_recurrent",
            {"delay_steps": 2},
            "'hidden_recurrent' has a delay of 2 steps, and hxtorch sets none",
        ),
        ("out", {"delay_steps": 1}, "'out' has a delay of a step from another population or an input"),
        ("out", {"plasticity_rule": "k", "plasticity_period": 0}, "'out': its rule needs a period above 0, got 0 s"),
        ("input0", {"background": {"rate": 1}}, "'input0' is made by background generators"),
    ],
)
def test_what_hxtorch_does_not_set_is_refused(monkeypatch, part, change, words):
    """By the server itself: the mapper takes few of them."""
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "backends"))
    import hxtorch_network
    import protocol

    handle = chip.read(recurrent(), SPIKES)
    network = handle.description
    next(p for p in [*network["projections"], *network["inputs"]] if p["name"] == part).update(change)
    blobs = {f"integers/{name}": ("u8", (len(r),), array.array("B", r)) for name, r in handle.records().items()}
    with pytest.raises(protocol.Refused, match=words):
        hxtorch_network.ChipNetwork(network, hxtorch_network.CONSTANTS, blobs, 1e-6)


def test_the_madc_records_one_neuron(tmp_path):
    attach("--entries", "2")
    model = layers()
    deployed = chip.deploy(model, target="bss2")
    result = deployed(SPIKES, membrane="hidden", madc=("hidden", 3))
    readout, without = deployed(SPIKES[:, :1], madc=("readout", 0)), deployed(SPIKES)
    require_like_emulator(result, model)
    times, samples = result.madc["times"], result.madc["hidden"]
    assert torch.allclose(times, torch.arange(20, dtype=torch.float64) * 1e-6) and samples.shape == (20, 5)
    # The stand-in reads 4 LSB of the MADC per LSB of the CADC: 80 + 45 v; later entries are a cycle off.
    expected = (4 * (80 + 45 * result.membrane["hidden"][:, :, 3])).clamp(0, 1023)
    assert int((samples - expected).abs().max()) <= 1
    assert "MADC samples of a batch entry are those nearest to the sample times of the first" in result.not_modelled
    assert "LIF 8 cadc=True madc=3" in calls(tmp_path)
    assert readout.madc["readout"].shape == (20, 1) and "LI 3 cadc=True madc=0" in calls(tmp_path)
    assert without.madc == {}


def test_the_madc_of_a_recurrent_layer():
    attach()
    model = recurrent()
    result = chip.deploy(model, target="bss2")(SPIKES, membrane="hidden", madc=("hidden", 7))
    expected = (4 * (80 + 45 * result.membrane["hidden"][:, :, 7])).clamp(0, 1023)
    assert int((result.madc["hidden"] - expected).abs().max()) <= 1


KERNEL = "void PLASTICITY_RULE_KERNEL(std::array<SynapseArrayViewHandle, 1>& synapses) {}"


def plastic(rule, readout=()):
    synapse = Synapse(6, 8, name="in", scale=SCALE, receptor="excitatory", plasticity_rule=rule)
    model = nn.Sequential(synapse, LIF(8, name="hidden", threshold=0.5), *readout)
    with torch.no_grad():
        synapse.weight.copy_(torch.rand(8, 6, generator=torch.Generator().manual_seed(1)))
    return model


@pytest.mark.parametrize(("executions", "expected"), [(0, 4), (3, 3), (9, 4)])
def test_plasticity_rules_reach_the_chip(tmp_path, executions, expected):
    attach()
    model = plastic(PlasticityRule(KERNEL, period=5e-6, start=2e-6, executions=executions))
    deployed = chip.deploy(model, target="bss2")
    for result in [deployed(SPIKES), deployed(SPIKES)]:  # the second run starts from the weights of the model, too
        require_like_emulator(result, model)
    executed = [call for call in calls(tmp_path) if call.startswith("rule")]
    assert executed == [f"rule executed {expected} times"] * 2  # at 2, 7, 12 and 17 us of 20


def test_a_rule_that_records_is_refused():
    attach()
    rule = PlasticityRule(KERNEL, period=1e-5, recording=("weights", "rates"))
    with pytest.raises(chip.BackendError, match=r"refuses.*its rule records weights, rates"):
        chip.deploy(plastic(rule), target="bss2")


def test_a_rule_of_several_synapse_modules_is_refused():
    attach()

    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.model = plastic(PlasticityRule(KERNEL, period=1e-5))

        def forward(self, spikes):
            return self.model(torch.cat([spikes[:, :, :3], spikes[:, :, :3]], 2))

    with pytest.raises(chip.BackendError, match=r"refuses.*'in' takes 2 Synapse modules of hxtorch"):
        chip.deploy(Twice(), target="bss2", example=SPIKES)


def test_membranes_are_refused_while_a_rule_runs():
    attach()
    rule = PlasticityRule(KERNEL, period=1e-5)
    with pytest.raises(chip.BackendError, match=r"takes no CADC samples, and membranes of hidden are to be recorded"):
        chip.deploy(plastic(rule), target="bss2")(SPIKES, membrane="hidden")
    readout = (Synapse(8, 3, name="out", scale=SCALE), LI(3, name="readout"))
    with pytest.raises(chip.BackendError, match=r"membranes of readout are to be recorded"):
        chip.deploy(plastic(rule, readout), target="bss2")(SPIKES)


def test_weights_beyond_one_circuit():
    attach()
    model = randomise(
        nn.Sequential(Synapse(6, 8, name="in", scale=SCALE, min_weight=-126, max_weight=126), LIF(8, name="hidden"))
    )
    with torch.no_grad():
        model[0].weight.mul_(3.0)
    require_like_emulator(chip.deploy(model, target="bss2")(SPIKES), model)


def test_other_weights_are_uploaded(tmp_path):
    """hxtorch may not see that weights changed: another deployment is another experiment."""
    attach()
    model = layers()
    chip.deploy(model, target="bss2")(SPIKES)
    randomise(model, seed=2)
    require_like_emulator(chip.deploy(model, target="bss2")(SPIKES), model)
    assert sum(call.startswith("Experiment") for call in calls(tmp_path)) == 2


def test_several_events_in_a_step_are_counted():
    attach()
    model = layers()
    result = chip.deploy(model, target="bss2")(2.0 * SPIKES)
    assert result.lost["events_dropped"] == int(SPIKES.sum())
    assert torch.equal(result.spikes["hidden"], chip.deploy(model)(SPIKES).spikes["hidden"])


def test_entries_go_out_in_parts(tmp_path):
    attach("--entries", "2")
    model = layers()
    require_like_emulator(chip.deploy(model, target="bss2")(SPIKES), model)
    assert [call for call in calls(tmp_path) if call.startswith("run")] == ["run 20"] * 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"tau_mem": 100e-6}, r"tau_mem \[s\] must be in 5e-07..6e-05, got 0.0001"),
        ({"tau_syn": 0.2e-6, "dt": 0.1e-6}, r"tau_syn \[s\] must be in 3e-07..3e-05"),
        ({"threshold": 4.0}, r"threshold \[CADC LSB\] must be in 50..220, got 260"),
        ({"reset": -1.0}, r"reset \[CADC LSB\] must be in 50..160, got 35"),
    ],
)
def test_what_the_chip_cannot_do_is_refused(settings, words):
    attach()
    dt = settings.pop("dt", 1e-6)
    model = nn.Sequential(Synapse(6, 8, name="in", scale=SCALE), LIF(8, name="hidden", dt=dt, **settings))
    with pytest.raises(chip.BackendError, match=f"refuses.*{words}"):
        chip.deploy(model, target="bss2")


def test_unknown_options_are_refused():
    attach()
    with pytest.raises(chip.BackendError, match="a chip has no presets"):
        chip.deploy(layers(), target="bss2", preset="analog")


def test_failures_of_hxtorch(monkeypatch):
    model = layers()
    monkeypatch.setenv("HXTORCH_STAND_IN_FAILURE", "run")
    attach()
    deployed = chip.deploy(model, target="bss2")
    for _ in range(2):
        with pytest.raises(chip.BackendError, match="hxtorch failed: RuntimeError: Could not place population"):
            deployed(SPIKES)
    monkeypatch.setenv("HXTORCH_STAND_IN_FAILURE", "no chip")
    attach()
    with pytest.raises(chip.BackendError, match="there is no hxtorch with a chip: RuntimeError: No connection"):
        chip.deploy(model, target="bss2")


def test_without_hxtorch(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", os.devnull)
    attach()
    with pytest.raises(chip.BackendError, match="there is no hxtorch with a chip: ModuleNotFoundError"):
        chip.health("bss2")
