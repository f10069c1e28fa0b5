"""Networks too large for one chip: cut into execution instances, with the results of the training operators."""

import json

import pytest
import torch
from torch import Tensor

import gradspike
from gradspike import chip, nn

STEPS = 15


def image_network() -> torch.nn.Sequential:
    torch.manual_seed(3)
    return torch.nn.Sequential(
        nn.Synapse(784, 256, name="hidden", scale=300.0),
        nn.LIF(256, name="hidden", tau_mem=6e-6, tau_syn=6e-6, membrane_capacitance=3e-7),
        nn.Synapse(256, 10, name="out"),
        nn.LI(10, name="out"),
    )


def spikes(batch: int, size: int = 784, rate: float = 0.1) -> Tensor:
    torch.manual_seed(1)
    return (torch.rand(STEPS, batch, size) < rate).float()


@pytest.fixture(scope="module")
def image() -> torch.nn.Sequential:
    return image_network()


@pytest.fixture(scope="module")
def deployed(image: torch.nn.Sequential) -> chip.Deployed:
    return chip.deploy(image, network="image")


@pytest.mark.parametrize("batch", [1, 6])
def test_deployed_is_what_was_trained(image: torch.nn.Sequential, deployed: chip.Deployed, batch: int) -> None:
    inputs = spikes(batch)
    result = deployed(inputs, membrane="*")
    expected = deployed.network.run_model(inputs)
    assert torch.equal(result.outputs, image(inputs))
    assert result.spikes["hidden"].sum() > 100
    assert torch.equal(result.spikes["hidden"], expected.spikes["hidden"])
    for name in ("hidden", "out"):
        assert torch.equal(result.membrane[name], expected.membrane[name])
    assert result.counts["spikes_on_chip"] == int(result.spikes["hidden"].sum())


def test_takes_the_instances_of_the_hand_partition(deployed: chip.Deployed) -> None:
    report = deployed.report
    assert report.fits and report.chips == 5 and report.data["runs_per_sample"] == 5
    assert "5 chips, or one chip and 5 runs per sample" in str(report)
    assert "instance 4" in str(report)
    mapping = deployed.network.map()
    assert len(mapping.instances) == 5 and "5 execution instances" in str(mapping)
    assert json.loads(mapping.to_json())["format"] == "gradspike.partition"
    assert [part["slices"] for part in mapping.data["instances"]] == [
        [[0, 0, 64]], [[0, 64, 64]], [[0, 128, 64]], [[0, 192, 64]], [[1, 0, 10]]
    ]  # fmt: skip
    for instance in mapping.instances:
        assert sum(len(n["circuits"]) for p in instance["populations"] for n in p["neurons"]) <= 512


def test_check_allows_as_many_chips_as_are_given(image: torch.nn.Sequential) -> None:
    one = chip.check(image)
    assert not one.fits and one.misfits[0]["quantity"] == "neuron circuits"
    four = chip.check(image, chips=4)
    assert not four.fits
    assert [(m["quantity"], m["need"], m["limit"]) for m in four.misfits] == [("execution instances", 5, 4)]
    assert chip.check(image, chips=5).fits
    assert chip.check(torch.nn.Sequential(nn.Synapse(5, 4), nn.LIF(4)), chips=9).chips == 1
    for bad in (0, -1, 2**63):
        with pytest.raises(ValueError, match="chips must be at least 1"):
            chip.check(image, chips=bad)


def test_weights_are_uploaded_and_the_mapping_stays() -> None:
    model = image_network()
    network = chip.read(model)
    first = network.deploy()
    mapping = network.map()
    with torch.no_grad():
        model[0].weight.neg_()
    assert first.changed
    again = network.deploy()
    assert torch.equal(again(spikes(2)).outputs, model(spikes(2)))
    assert network.map() == mapping


def test_in_the_loop(image: torch.nn.Sequential) -> None:
    inputs = spikes(3)
    outputs = chip.in_the_loop(image)(inputs)
    assert torch.equal(outputs, image(inputs))
    outputs.sum().backward()
    assert image[0].weight.grad is not None


def test_analog_emulator(image: torch.nn.Sequential) -> None:
    result = chip.deploy(image, preset="calibrated", seed=2)(spikes(2), madc=("hidden", 200))
    assert result.target == "emulator analog preset=calibrated seed=2"
    assert result.outputs.shape == (STEPS, 2, 10) and result.timing["chip"] > 0
    assert result.madc["hidden"].shape[1] == 2
    assert result.cadc["out"].shape[1:] == (2, 10)


def test_saved_and_loaded(image: torch.nn.Sequential, tmp_path) -> None:
    gradspike.save(image, tmp_path / "image.pt", network=tmp_path / "image.json")
    expected = image(spikes(2))
    loaded = gradspike.open_network(tmp_path / "image.pt")
    assert torch.equal(loaded.deploy()(spikes(2)).outputs, expected)
    stored = chip.load_network(tmp_path / "image.json")
    assert torch.equal(stored.deploy()(spikes(2)).membrane["out"], expected)


def test_wishes_for_execution_instances() -> None:
    torch.manual_seed(2)
    model = torch.nn.Sequential(
        nn.Synapse(6, 20, name="a"),
        nn.LIF(20, name="a", membrane_capacitance=1e-6),
        nn.Synapse(20, 3, name="b"),
        nn.LI(3),
    )
    inputs = spikes(2, 6, 0.4)
    wishes = {"a": {"execution_instance": "early"}, "b": {"execution_instance": "late"}}
    network = chip.read(model, inputs, projections=wishes)
    assert [part["wish"] for part in network.map().data["instances"]] == ["early", "late"]
    assert torch.equal(network.deploy()(inputs).outputs, model(inputs))
    network = chip.read(model, inputs, projections={"a": {"execution_instance": "only"}})
    assert len(network.map().instances) == 1
    large = chip.read(image_network(), projections={"hidden": {"execution_instance": "only"}})
    with pytest.raises(RuntimeError, match='one execution instance holds all of it: execution instance "only"'):
        large.map()


def test_deep_stacked_and_wide() -> None:
    """Bounds beyond 63 take several synapses, fan-ins beyond 128 several circuits; branches skip layers."""

    class Model(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(5)
            self.a = nn.Synapse(150, 200, min_weight=-150, max_weight=150, scale=300.0)
            self.b = nn.Synapse(200, 180, scale=200.0)
            self.skip = nn.Synapse(90, 180, scale=150.0)
            self.c = nn.Synapse(180 + 200, 10, scale=100.0)
            neuron = {"membrane_capacitance": 1e-6, "refractory_time": 2e-6}
            self.first = nn.LIF(200, **neuron)
            self.second = nn.LIF(180, **neuron)
            self.readout = nn.LI(10)

        def forward(self, x: Tensor) -> Tensor:
            z = self.first(self.a(x))
            y = self.second(self.b(z) + self.skip(x[..., 20:110]))
            return self.readout(self.c(torch.cat([y, z], -1)))

    model = Model()
    for batch in (1, 4):
        inputs = spikes(batch, 150, 0.3)
        result = chip.deploy(model, example=inputs)(inputs)
        assert result.report is not None and result.report.chips > 1
        assert torch.equal(result.outputs, model(inputs))
        assert all(z.sum() > 0 for z in result.spikes.values())


def recurrent_network(size: int) -> torch.nn.Sequential:
    torch.manual_seed(6)
    return torch.nn.Sequential(
        nn.Synapse(784, 100, name="first", scale=300.0),
        nn.LIF(100, name="first", membrane_capacitance=1e-6),
        nn.RecurrentLIF(100, size, name="memory", membrane_capacitance=1e-6),
        nn.Synapse(size, 10, name="out"),
        nn.LI(10, name="out"),
    )


def test_recurrent_layer_stays_together_and_equals_the_operators() -> None:
    model = recurrent_network(80)
    deployed = chip.deploy(model)
    mapping = deployed.network.map()
    assert len(mapping.instances) > 1
    names = mapping.data["populations"]
    held = [[names[p] for p, _, _ in part["slices"]] for part in mapping.data["instances"]]
    assert sum("memory" in part for part in held) == 1
    for batch in (1, 3):
        inputs = spikes(batch)
        result = deployed(inputs, membrane="*")
        expected = deployed.network.run_model(inputs)
        assert torch.equal(result.outputs, model(inputs))
        for name in ("first", "memory"):
            assert torch.equal(result.spikes[name], expected.spikes[name]) and result.spikes[name].sum() > 0
            assert torch.equal(result.membrane[name], expected.membrane[name])


def test_a_recurrent_layer_that_is_too_large_is_named() -> None:
    with pytest.raises(RuntimeError) as caught:
        chip.map(recurrent_network(300))
    assert 'layer "memory": neuron circuits' in str(caught.value)
    assert 'delayed (recurrent) projection "memory_recurrent"' in str(caught.value)
