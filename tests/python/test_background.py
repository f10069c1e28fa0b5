"""Inputs whose spikes the chip's own generators make: wishes, spikes for training, emulators, archives, reports."""

import json
import re

import pytest
import torch
from torch import nn

import gradspike
from gradspike import chip
from gradspike.nn import LI, LIF, Synapse

RATE = 20e3
WISH = {"input1": {"background": {"kind": "poisson", "rate": RATE, "seed": 7}}}


class Noisy(nn.Module):
    """Signals and noise onto one layer."""

    def __init__(self, sources: int = 16) -> None:
        super().__init__()
        self.signal = Synapse(5, 20, name="signal", scale=16.0)
        self.noise = Synapse(sources, 20, name="noise", scale=16.0)
        self.hidden = LIF(20, name="hidden")
        self.out = Synapse(20, 3, name="out")
        self.readout = LI(3, name="readout")

    def forward(self, signals, noise):
        return self.readout(self.out(self.hidden(self.signal(signals) + self.noise(noise))))


def noise(batch: int = 4, sources: int = 16, trial: int = 0) -> torch.Tensor:
    return chip.background_spikes(50, batch, sources, rate=RATE, seed=7, trial=trial)


def signals(batch: int = 4) -> torch.Tensor:
    torch.manual_seed(1)
    return (torch.rand(50, batch, 5) < 0.1).float()


def read(model: nn.Module, **options):
    return chip.read(model, (signals(), noise()), "noisy", **options)


def test_the_wish_stands_in_the_description_and_only_there():
    torch.manual_seed(0)
    model = Noisy()
    network = read(model, inputs=WISH)
    assert [entry["name"] for entry in network.description["inputs"] if "background" in entry] == ["input1"]
    assert network.description["inputs"][1]["background"]["kind"] == "poisson"
    plain = read(model)
    assert "background" not in json.dumps(plain.description) and "generators" not in plain.map().data


def test_mapping_report_and_result_say_what_the_generators_do():
    torch.manual_seed(0)
    model = Noisy()
    network = read(model, inputs=WISH)
    (generator,) = network.map().data["generators"]
    assert generator["input"] == 1 and generator["mask"] == 15 and generator["seed"] == 7
    report = network.check()
    assert report.verdict == "fits with losses"
    assert any("generators make its random spikes" in text for text in report.data["approximations"])
    bars = {entry["quantity"]: entry for entry in report.data["resources"]}
    assert bars["background generators"]["used"] == 1 and bars["background generators"]["limit"] == 8
    ideal = network.deploy()(signals(), noise())
    assert torch.equal(ideal.outputs, model(signals(), noise()))
    assert ideal.counts["background_spikes"] == 0
    analog = network.deploy(preset="calibrated")(signals(), torch.zeros_like(noise()))
    assert analog.counts["background_spikes"] == int(noise().sum()) > 30
    assert re.search(r"the 0 spikes given for background inputs, in whose place .* made \d+", str(analog))
    trial = network.deploy(preset="calibrated")(signals(), noise(), seed=3)
    assert trial.counts["background_spikes"] == int(noise(trial=3).sum())
    assert 'input "input1"' in str(network.map()) or "input 1" in str(network.map())


def test_verbs_take_the_wish():
    model = Noisy()
    example = (signals(), noise())
    assert chip.check(model, example, inputs=WISH).verdict == "fits with losses"
    assert len(chip.map(model, example, inputs=WISH).data["generators"]) == 1
    deployed = chip.deploy(model, example=example, inputs=WISH)
    assert "background" in deployed.network.description["inputs"][1]


def test_archives_and_network_files_keep_the_wish(tmp_path):
    torch.manual_seed(2)
    model = Noisy()
    example = (signals(), noise())
    gradspike.save(model, tmp_path / "n.pt", network=tmp_path / "n.json", example=example, inputs=WISH)
    again = chip.read(gradspike.load(tmp_path / "n.pt"))
    assert again.description["inputs"][1]["background"]["seed"] == 7
    assert len(again.map().data["generators"]) == 1
    alone = chip.load_network(tmp_path / "n.json")
    assert alone.description == {**again.description}
    result = alone.deploy(preset="noiseless")(*example)
    assert result.counts["background_spikes"] == int(noise().sum())


def test_spikes_for_training():
    spikes = chip.background_spikes(4000, 2, 8, rate=50e3, seed=3)
    assert spikes.dtype == torch.float32 and spikes.shape == (4000, 2, 8)
    assert spikes.mean().item() == pytest.approx(0.05, rel=0.03)
    assert torch.equal(spikes[:, :1], chip.background_spikes(4000, 1, 8, rate=50e3, seed=3))
    assert not torch.equal(spikes, chip.background_spikes(4000, 2, 8, rate=50e3, seed=4))
    regular = chip.background_spikes(21, 1, 1, rate=2e5, kind="regular")
    assert regular[:, 0, 0].nonzero().flatten().tolist() == [5, 10, 15, 20]
    assert chip.background_spikes(0, 0, 4, rate=1e4).shape == (0, 0, 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"rate": 0.0}, "rate must be finite and above 0 Hz, got 0"),
        ({"rate": float("nan")}, "rate must be finite and above 0 Hz"),
        ({"rate": 1e9}, "highest rate of background spikes"),
        ({"rate": 0.5}, "lowest rate of background spikes"),
        ({"rate": 1e4, "size": 12}, "use 8 or 16 sources"),
        ({"rate": 1e4, "size": 0}, "size >= 1"),
        ({"rate": 1e4, "steps": -1}, "steps >= 0"),
        ({"rate": 1e4, "kind": "loud"}, "'poisson' or 'regular', got 'loud'"),
        ({"rate": 1e4, "kind": "regular"}, "regular background generator"),
        ({"rate": 1e4, "seed": -1}, "seed must lie in 0..2^32 - 1, got -1"),
        ({"rate": 1e4, "dt": 0.0}, "dt must be finite and above 0 s"),
        ({"rate": 1e4, "steps": 2**61}, "too large"),
    ],
)
def test_bad_spikes_for_training(arguments, words):
    given = {"steps": 10, "batch": 1, "size": 4, **arguments}
    with pytest.raises(RuntimeError, match=re.escape(words)):
        chip.background_spikes(given.pop("steps"), given.pop("batch"), given.pop("size"), **given)
    with pytest.raises(TypeError, match="steps must be of type int"):
        chip.background_spikes(1.5, 1, 4, rate=1e4)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("wish", "words"),
    [
        ({"input2": WISH["input1"]}, "the network has no input 'input2'; nearest: \"input0\""),
        ({"input1": {"backgrounds": {}}}, "input 'input1' has no option 'backgrounds', only background"),
        ({"input1": {"background": {"speed": 1}}}, "has no option 'speed', only kind, rate, seed"),
        ({"input1": {"background": {"rate": 1e4, "kind": "loud"}}}, "'poisson' or 'regular', got 'loud'"),
        ({"input1": {"background": {"rate": 1e4, "seed": 2**32}}}, "0..2^32 - 1"),
        ({"input1": {"background": {"seed": 3}}}, "rate of background spikes must be finite and above 0 Hz, got 0"),
        ({"input1": {"background": {"rate": "fast"}}}, "option 'rate' has the wrong type"),
        ({"input1": 3}, "input 'input1' must be a dictionary"),
    ],
)
def test_bad_wishes(wish, words):
    with pytest.raises(RuntimeError, match=re.escape(words)):
        read(Noisy(), inputs=wish)


def test_misfits_are_named():
    model = Noisy(12)
    example = (signals(), torch.zeros(50, 4, 12))
    report = chip.check(model, example, inputs=WISH)
    assert not report.fits
    assert "input1" in str(report) and "use 8 or 16 sources" in str(report)
    fast = {"input1": {"background": {"rate": 1e9}}}
    with pytest.raises(RuntimeError, match="highest rate of background spikes"):
        chip.deploy(Noisy(), example=(signals(), noise()), inputs=fast)


def test_permutations_are_honoured_or_refused():
    model = nn.Sequential(Synapse(5, 6, name="a"), LIF(6), Synapse(6, 2, name="b"), LI(2))
    order = [300, 7, 12, 511, 2, 90, 40, 41]
    network = chip.read(model, network="order", neuron_permutation=order)
    placed = [n["circuits"][0] for p in network.map().data["populations"] for n in p["neurons"]]
    assert placed == order
    short = chip.read(model, network="order", neuron_permutation=order[:5])
    assert "free circuits of the neuron permutation" in str(short.check())
    assert len(short.map().instances) == 2  # each of them has these circuits
    with pytest.raises(RuntimeError, match="lists circuit 7 twice"):
        chip.read(model, network="order", neuron_permutation=[7, 7])
    with pytest.raises(RuntimeError, match=re.escape("circuits in 0..511, got 512")):
        chip.read(model, network="order", neuron_permutation=[512])


def test_permutations_are_saved(tmp_path):
    model = nn.Sequential(Synapse(5, 6, name="a"), LIF(6))
    gradspike.save(model, tmp_path / "p.pt", neuron_permutation=[9, 8, 7, 6, 5, 4])
    again = chip.read(gradspike.load(tmp_path / "p.pt"))
    assert again.description["neuron_permutation"] == [9, 8, 7, 6, 5, 4]
    assert [n["circuits"] for n in again.map().data["populations"][0]["neurons"]] == [[9], [8], [7], [6], [5], [4]]
